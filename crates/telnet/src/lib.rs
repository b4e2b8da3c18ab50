//! Telnet (RFC 854, 855, 856, 857, 858, 1143) and its COM-PORT-OPTION (RFC 2217): events to and from bytes.
//! Sans-IO: no socket, no clock, no device. It does not know what a serial port can do; [`com_port`] carries the numbers
//! of the RFC, and whoever owns the port turns them into settings.
//!
//! [`Telnet`] is one end of one connection, server or client. Bytes go into [`Telnet::handle_input`] in any pieces;
//! events come out, and answers to negotiations are appended to the output that the caller sends. What is appended is
//! bounded by what came in: at most three bytes for each byte of input. [`access_server`] and [`access_client`] put the two
//! sides of an RFC 2217 session on top of it.

pub mod access_client;
pub mod access_server;
pub mod codes;
pub mod com_port;
mod escape;
mod options;
mod parser;
mod telnet;

pub use codes::{Command, TelnetOption};
pub use options::{Policy, Side};
pub use parser::MAX_SUBNEGOTIATION;
pub use telnet::{Event, Telnet};
