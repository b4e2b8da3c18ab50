//! uartnet's native wire protocol: frames and messages to and from bytes. Sans-IO: no socket, no clock, no device.
//!
//! [`frame`] is the layer every connection speaks (`13_Hello IoT!`); [`message`] is what a *session* says in its frames.
//! A *plain conversation* has frames only. docs/wire.md is the specification.

pub mod frame;
pub mod message;

/// The protocol this crate speaks, as it stands in hello and welcome.
pub const VERSION: &str = "uartnet/1";

/// What a plain conversation answers to bytes that went to a board without an interpreter.
pub const DATA_RECEIVED: &str = "Server notification: data received";
