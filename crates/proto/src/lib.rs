//! uartnet's native wire protocol: frames and messages to and from bytes. Sans-IO: no socket, no clock, no device.
//!
//! [`frame`] is the layer every connection speaks (`13_Hello IoT!`); [`message`] is what a *session* says in its frames.
//! A *plain conversation* has frames only; [`plain`] has the two sentences in it that are not the board's.
//! docs/wire.md is the specification.

pub mod frame;
mod key_fingerprint;
pub mod message;
pub mod plain;
mod text;

pub use key_fingerprint::{KeyFingerprint, KeyFingerprintError};
pub use plain::DATA_RECEIVED;

/// The protocol this crate speaks, as it stands in hello and welcome.
pub const VERSION: &str = "uartnet/1";
