//! TODO

use crate::SpecError;
use crate::backend::{Backend, Device};

/// TODO
#[derive(Debug)]
pub struct Usb;

impl Backend for Usb {
    fn scheme(&self) -> &'static str {
        todo!()
    }
    fn summary(&self) -> &'static str {
        todo!()
    }
    fn examples(&self) -> &'static [&'static str] {
        todo!()
    }
    fn parse(&self, _spec: &str, _rest: &str) -> Result<Box<dyn Device>, SpecError> {
        todo!()
    }
}
