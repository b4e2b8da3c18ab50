//! `sim:echo`: a wire that comes back. Every byte is sent back, nothing else is ever sent.

use std::collections::VecDeque;
use std::time::Instant;

use super::{Board, BoardKind, OptionHelp, Options};
use crate::SpecError;

/// How many bytes may wait to be sent back.
const BUFFER: usize = 4096;

/// The entry in the list of boards.
#[derive(Debug)]
pub(super) struct Kind;

impl BoardKind for Kind {
    fn name(&self) -> &'static str {
        "echo"
    }

    fn summary(&self) -> &'static str {
        "sends back every byte it gets"
    }

    fn options(&self) -> &'static [OptionHelp] {
        &[]
    }

    fn build(&self, _options: &mut Options) -> Result<Box<dyn Board>, SpecError> {
        Ok(Box::new(Echo {
            buffer: VecDeque::new(),
        }))
    }
}

#[derive(Debug)]
struct Echo {
    buffer: VecDeque<u8>,
}

impl Board for Echo {
    fn input_room(&self) -> usize {
        BUFFER - self.buffer.len()
    }

    fn handle_input(&mut self, _now: Instant, bytes: &[u8]) {
        let count = bytes.len().min(self.input_room());
        self.buffer.extend(&bytes[..count]);
    }

    fn handle_power_cycle(&mut self, _now: Instant) {
        self.buffer.clear();
    }

    fn poll_output(&mut self, _now: Instant, limit: usize, out: &mut Vec<u8>) {
        let count = limit.min(self.buffer.len());
        out.extend(self.buffer.drain(..count));
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}
