//! TODO

use crate::SpecError;
use crate::backend::{Backend, Device};

/// TODO
#[derive(Debug)]
pub struct Pty;

impl Backend for Pty {
    fn scheme(&self) -> &'static str {
        "pty"
    }
    fn summary(&self) -> &'static str {
        "a pseudo-terminal that uartd makes and links at PATH, for a program that plays the board"
    }
    fn examples(&self) -> &'static [&'static str] {
        &["pty:/tmp/board0"]
    }
    fn parse(&self, _spec: &str, _rest: &str) -> Result<Box<dyn Device>, SpecError> {
        todo!()
    }
}
