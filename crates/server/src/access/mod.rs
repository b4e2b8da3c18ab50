//! Who is let in, and what they may do: the one place that decides it, for every protocol. Not how a credential travels;
//! that is the endpoints'.
//!
//! A connection belongs to a [`Visitor`], and a visitor has an [`Identity`]. An endpoint gets no port but from its visitor
//! ([`Visitor::port`], [`Visitor::ports`]), and becomes a client of one only through the [`AllowedPort`] it got, which
//! gives the hub the access this identity has there. What each access is enough for is one table,
//! [`uartnet_hub::Right::needs`], and the hub decides by it.

//!
//! The way in is the [`Gate`]: it knows the tokens and the holders of certificates, bounds those who have not said who they
//! are, and shows out whose token is no longer in force, as the `Door` of a listener does with whom it no longer covers,
//! through the `Guarded` conversation that every endpoint's session is wrapped in.

mod allowed;
mod audit;
mod complaints;
mod crowd;
mod door;
mod fresh;
mod gate;
mod guard;
mod holder;
mod identity;
mod overseer;
mod token;
mod token_file;
mod visitor;

pub use allowed::{Allowed, Prefix, PrefixError};
pub use audit::{Audit, AuditTo, Event, Who};
pub(crate) use crowd::Counts;
pub use crowd::Origin;
pub use door::{Came, Door, DoorRules};
pub(crate) use fresh::keep_fresh;
pub use gate::{Arrival, Clock, Crowded, Gate, GateCounters, Rules};
pub use guard::Guarded;
pub use holder::{AlternativeName, AlternativeNameError, Certificate, Holder, Holders, Subject};
pub use identity::{Credential, Grant, Identity, Scope};
pub(crate) use overseer::Overseer;
pub use token::{Fingerprint, NotInForce, Secret, Token, Tokens};
pub use token_file::{TokenFile, TokenFileError, default_path, read};
pub use visitor::{AllowedPort, Farewell, Visitor, Wish};
