//! `uartd`, the gateway daemon that owns serial ports: configuration, listeners, endpoints, port tasks, supervision.
//! The only crate with listening sockets, and the only one that reads the clock. It does not know the client.

pub mod config;
pub mod endpoint;
