//! What a serial port is: line settings, signals, device specs, the [`Port`] trait, and the backends behind it.
//! It knows no protocol, no client and no hub.
//!
//! Without the feature `backends` this crate is vocabulary only (no tokio, no OS calls), which is what
//! `uartnet-hub` and `uartnet-client` build on. With it, [`backend::BACKENDS`] lists everything a device spec can name.

mod error;
mod line;
mod name;
mod port;
mod signals;
pub mod suggest;

#[cfg(all(feature = "backends", not(target_os = "linux")))]
compile_error!("uart-iface: the feature \"backends\" exists for Linux only");

#[cfg(all(feature = "backends", target_os = "linux"))]
pub mod backend;

pub use error::{OpenError, PortError, SpecError};
pub use line::{Baud, DataBits, FlowControl, LineError, LineSettings, Parity, StopBits};
pub use name::{NameError, PortName};
pub use port::{ErrorCounters, Port, PortStatus, Purge};
pub use signals::{InputSignals, OutputChange, OutputSignals};
