//! The one list of backends, each named by the scheme of a device spec, and how a spec becomes an opened [`Port`].
//! Not what a port can do once it is open; that is the trait.

mod loopback;
mod pty;
pub mod sim;
mod tty;
mod usb;

use std::fmt;

use crate::{LineSettings, OpenError, OutputSignals, Port, SpecError};

/// Every kind of device, in the order help and documentation show them. A new backend is one file and one line here;
/// the conformance battery in `tests/battery.rs` walks this list.
pub const BACKENDS: &[&dyn Backend] = &[&tty::Tty, &usb::Usb, &pty::Pty, &sim::Sim, &loopback::Loopback];

/// One kind of device: it parses its own options and describes itself.
pub trait Backend: Sync {
    /// The part of the spec before the first `:`, e.g. `sim`. The tty backend's is the empty string: its specs are paths.
    fn scheme(&self) -> &'static str;

    /// One line for `uartd --help` and the documentation.
    fn summary(&self) -> &'static str;

    /// Specs that parse, the most typical first.
    fn examples(&self) -> &'static [&'static str];

    /// Understands what follows the scheme. `spec` is the whole text, for error messages.
    ///
    /// # Errors
    /// What is wrong, and what would be right. Whether the device is there now is not asked here.
    fn parse(&self, spec: &str, rest: &str) -> Result<Box<dyn Device>, SpecError>;

    /// The real devices of this kind that are there now, stable names first.
    fn found(&self) -> Vec<FoundDevice> {
        Vec::new()
    }
}

/// A device that a spec names, there or not. It outlives the ports opened from it (a simulated board keeps its state,
/// a pseudo-terminal its link).
pub trait Device: fmt::Debug {
    /// The spec, as it should be shown.
    fn spec(&self) -> &str;

    /// Opens it with these settings and signals. What the hardware really took is in [`Port::status`].
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Any [`OpenError`]; all of them may pass, trying again is right.
    fn open(&mut self, line: LineSettings, outputs: OutputSignals) -> Result<Box<dyn Port>, OpenError>;

    /// The prompt of the board's interpreter, where the device knows it by itself (simulated boards do): then a port
    /// without an `interpreter` section talks to it by profile `prompt`.
    fn prompt(&self) -> Option<&str> {
        None
    }
}

/// A real device, as `uartd devices` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundDevice {
    /// What to write in a config, the most stable name it has (`usb:0403:6001:A5069RR4`, or a path).
    pub spec: String,
    /// Where it is now.
    pub path: std::path::PathBuf,
    /// Links that point to it, e.g. below `/dev/serial/by-id`.
    pub links: Vec<std::path::PathBuf>,
    /// What is known of it: driver, USB manufacturer, product, serial number, interface.
    pub description: String,
}

/// Understands a device spec: a path, or `scheme:rest`.
///
/// # Errors
/// [`SpecError`] with what would be right.
pub fn parse_device(_spec: &str) -> Result<Box<dyn Device>, SpecError> {
    todo!()
}

/// The real devices of this machine that are there now, from every backend.
pub fn found_devices() -> Vec<FoundDevice> {
    BACKENDS.iter().flat_map(|backend| backend.found()).collect()
}
