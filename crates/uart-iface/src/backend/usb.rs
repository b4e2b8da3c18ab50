//! TODO

use crate::SpecError;
use crate::backend::{Backend, Device};

/// TODO
#[derive(Debug)]
pub struct Usb;

impl Backend for Usb {
    fn scheme(&self) -> &'static str {
        "usb"
    }
    fn summary(&self) -> &'static str {
        "a USB serial adapter by what it is: usb:VID:PID[:SERIAL][:ifNN]"
    }
    fn examples(&self) -> &'static [&'static str] {
        &[
            "usb:0403:6001:A5069RR4",
            "usb:2341:0043",
            "usb:0403:6011:FT4XYZ:if02",
        ]
    }
    fn parse(&self, _spec: &str, _rest: &str) -> Result<Box<dyn Device>, SpecError> {
        todo!()
    }
}
