//! TODO

use crate::SpecError;
use crate::backend::{Backend, Device};

/// TODO
#[derive(Debug)]
pub struct Tty;

impl Backend for Tty {
    fn scheme(&self) -> &'static str {
        ""
    }
    fn summary(&self) -> &'static str {
        "a serial port by its path, also the terminal side of a pseudo-terminal"
    }
    fn examples(&self) -> &'static [&'static str] {
        &[
            "/dev/ttyUSB0",
            "/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A5069RR4-if00-port0",
        ]
    }
    fn parse(&self, _spec: &str, _rest: &str) -> Result<Box<dyn Device>, SpecError> {
        todo!()
    }
}
