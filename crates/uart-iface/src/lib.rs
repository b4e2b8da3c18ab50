//! What a serial port is: line settings, signals, device specs, the [`Port`] trait, and the backends behind it.
//! It knows no protocol, no client and no hub.
//!
//! Without the feature `backends` this crate is vocabulary only (no tokio, no OS calls), which is what
//! `uartnet-hub` builds on. With it, [`backend::BACKENDS`] lists everything a device spec can name, and [`watch`] tells
//! when a file or device may have changed. The feature `virtual` adds [`virtual_device`], the serial device that
//! `uartnet-client` makes on its own machine, and the feature `testing` adds `testing`, a device whose calls can be made
//! to fail.

mod error;
mod line;
mod name;
mod port;
mod signals;
pub mod suggest;

#[cfg(all(
    any(feature = "backends", feature = "virtual"),
    not(target_os = "linux")
))]
compile_error!("uart-iface: the features \"backends\" and \"virtual\" exist for Linux only");

#[cfg(all(feature = "backends", target_os = "linux"))]
pub mod backend;
#[cfg(all(any(feature = "backends", feature = "virtual"), target_os = "linux"))]
mod terminal;
#[cfg(all(feature = "testing", target_os = "linux"))]
pub mod testing;
#[cfg(all(feature = "virtual", target_os = "linux"))]
pub mod virtual_device;
#[cfg(all(feature = "backends", target_os = "linux"))]
pub mod watch;

pub use error::{OpenError, PortError, SpecError};
pub use line::{Baud, DataBits, FlowControl, LineError, LineSettings, Parity, StopBits};
pub use name::{NameError, PortName};
pub use port::{ErrorCounters, Port, PortStatus, Purge};
pub use signals::{InputSignals, OutputChange, OutputSignals};
#[cfg(all(feature = "backends", target_os = "linux"))]
pub use terminal::ioctl::peer_process;
