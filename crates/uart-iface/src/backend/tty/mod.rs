//! The tty backend: serial ports named by the path of their device file. Not by what USB calls them; that is `usb`.

mod claim;
mod port;
mod sysfs;

use std::path::Path;

use crate::backend::{Backend, Device, FoundDevice};
use crate::watch::Target;
use crate::{LineSettings, OpenError, OutputSignals, Port, SpecError};

pub(super) use port::TtyPort;
pub(super) use sysfs::{SerialTty, System, UsbIdentity, usb_spec};

/// Real serial ports by path, and the terminal side of pseudo-terminals.
#[derive(Debug)]
pub(super) struct Tty;

impl Backend for Tty {
    fn scheme(&self) -> &'static str {
        ""
    }

    fn summary(&self) -> &'static str {
        "a serial port by its path, or the terminal side of a pseudo-terminal"
    }

    fn examples(&self) -> &'static [&'static str] {
        &[
            "/dev/ttyUSB0",
            "/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A5069RR4-if00-port0",
        ]
    }

    fn parse(&self, spec: &str, rest: &str) -> Result<Box<dyn Device>, SpecError> {
        if !rest.starts_with('/') {
            return Err(SpecError::new(spec, "a path must begin with \"/\""));
        }
        Ok(Box::new(TtyDevice { path: rest.into() }))
    }

    /// All but the USB adapters, which the usb backend tells with better names.
    fn found(&self) -> Vec<FoundDevice> {
        let system = System::default();
        let ttys = system.serial_ttys().into_iter();
        ttys.filter(|tty| tty.usb.is_none())
            .map(|tty| tty.found_as(&system, None))
            .collect()
    }
}

#[derive(Debug)]
struct TtyDevice {
    /// The spec and nothing else, because paths have no scheme.
    path: Box<str>,
}

impl TtyDevice {
    fn path(&self) -> &Path {
        Path::new(&*self.path)
    }
}

impl Device for TtyDevice {
    fn spec(&self) -> &str {
        &self.path
    }

    fn signs(&self) -> Vec<Target> {
        vec![Target::presence(self.path())]
    }

    /// The path behind all symbolic links, as far as it is there now.
    fn identity(&self) -> Option<String> {
        let path = self.path().canonicalize();
        let path = path.as_deref().unwrap_or(self.path());
        Some(path.display().to_string())
    }

    fn open(
        &mut self,
        line: LineSettings,
        outputs: OutputSignals,
    ) -> Result<Box<dyn Port>, OpenError> {
        let port = TtyPort::open(&self.path, self.path(), line, outputs)?;
        Ok(Box::new(port))
    }
}
