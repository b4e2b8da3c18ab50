//! `uartd`, the gateway daemon that owns serial ports: configuration, listeners, endpoints, port tasks, supervision.
//! The only crate with listening sockets, and the only one that reads the clock. It does not know the client.
//!
//! Everything between a UART and the sockets runs on one thread ([`Runtime`]), so hubs are shared without locks and
//! a byte passes without a channel or a timer.

pub mod access;
mod admission;
pub mod cli;
mod clock;
pub mod config;
mod conn_task;
mod crew;
pub mod descriptors;
pub mod devices;
pub mod endpoint;
pub mod gateway;
mod harmless;
mod keeper;
mod kept_file;
mod listener;
pub mod log;
pub mod nudge;
pub mod plan;
mod port_task;
pub mod reload;
pub mod remote;
mod running_listener;
mod runtime;
mod scratch;
pub mod service_manager;
mod signals;
mod socket;
pub mod stdio;
mod supervisor;
pub mod telemetry;
pub mod tls;
pub mod tls_command;
pub mod token_command;

pub use listener::{BindError, Listening};
pub use runtime::{Runtime, runtime};
pub use supervisor::{News, Orders, ReadConfig, RunError, Summary, run};
