//! The library under `uart`: an [`Address`], a [`Connection`] that speaks frames, a [`Session`] that asks typed questions,
//! and a [`Follower`] that reads (and writes) one port across lost connections. A [`Foreign`] does the same at a gateway that
//! is not uartnet's, as far as such a gateway can; a [`Link`] is either. It knows neither the server nor a terminal.
//!
//! Decisions are pure and tested without a socket: [`Resume`] (what to read next, what was missed), [`Outbox`] (what to
//! write again), [`Backoff`] and [`Liveness`] (when). [`Follower`] and [`Session`] are the thin shells around them.

mod address;
mod backoff;
mod connection;
mod error;
mod follow;
mod foreign;
mod gateway;
mod link;
mod liveness;
mod outbox;
mod resume;
mod session;
mod tls;

pub use address::{Address, AddressError, DEFAULT_PORT};
pub use backoff::Backoff;
pub use connection::{Connection, MAX_FRAME, Stream};
pub use error::{ClientError, describe_io};
pub use follow::{Dial, FollowOptions, Followed, Follower};
pub use foreign::line as line_numbers;
pub use foreign::{
    Asker, Foreign, ForeignAddress, ForeignAddressError, ForeignError, ForeignGateway, Scheme,
};
pub use gateway::Gateway;
pub use link::{Link, Target, TargetError};
pub use liveness::{Liveness, LivenessAction};
pub use outbox::{Outbox, Reopened};
pub use resume::{ReadEvent, Resume};
pub use session::Session;
pub use tls::{CertificateFileError, OwnCertificate, TlsFailure, TlsOptions, Trust, key_of};
