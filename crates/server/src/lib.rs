//! `uartd`, the gateway daemon that owns serial ports: configuration, listeners, endpoints, port tasks, supervision.
//! The only crate with listening sockets, and the only one that reads the clock. It does not know the client.

pub mod cli;
pub mod config;
pub mod devices;
pub mod endpoint;
pub mod stdout;
pub mod telemetry;
