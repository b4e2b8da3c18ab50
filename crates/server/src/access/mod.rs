//! Who is let in, and what they may do: the one place that decides it, for every protocol. Not how a credential travels;
//! that is the endpoints'.
//!
//! A connection belongs to a [`Visitor`], and a visitor has an [`Identity`]. An endpoint gets no port but from its visitor
//! ([`Visitor::port`], [`Visitor::ports`]), and becomes a client of one only through the [`AllowedPort`] it got, which
//! gives the hub the access this identity has there. What each access is enough for is one table,
//! [`uartnet_hub::Right::needs`], and the hub decides by it.

mod identity;
mod visitor;

pub use identity::{Credential, Grant, Identity, Scope};
pub use visitor::{AllowedPort, Visitor, Wish};
