//! Boards that answer at once and do nothing by themselves: what they have in common. What they answer is their programs'.

use std::collections::VecDeque;
use std::fmt;
use std::time::Instant;

use super::Board;

/// How many bytes may wait to be sent.
const BUFFER: usize = 64 << 10;

/// How many bytes one received byte causes at most.
pub(super) const LONGEST_ANSWER: usize = 4 << 10;

/// What runs on such a board.
pub(super) trait Program: fmt::Debug {
    /// The name of the interpreter profile it is talked to by.
    const PROFILE: &'static str;

    /// A byte was received; what it causes, at most [`LONGEST_ANSWER`] bytes, is appended.
    fn handle_byte(&mut self, now: Instant, byte: u8, out: &mut Vec<u8>);

    /// The board has its power again.
    fn restart(&mut self, out: &mut Vec<u8>);
}

/// The board on which such a program runs.
#[derive(Debug)]
pub(super) struct Answering<P> {
    program: P,
    tx: VecDeque<u8>,
}

impl<P: Program> Answering<P> {
    pub(super) fn new(program: P) -> Answering<P> {
        Answering {
            program,
            tx: VecDeque::new(),
        }
    }
}

impl<P: Program> Board for Answering<P> {
    fn input_room(&self) -> usize {
        BUFFER.saturating_sub(self.tx.len()) / LONGEST_ANSWER
    }

    fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        for &byte in bytes {
            if self.input_room() == 0 {
                return;
            }
            let mut out = Vec::new();
            self.program.handle_byte(now, byte, &mut out);
            self.tx.extend(out);
        }
    }

    fn handle_power_cycle(&mut self, _now: Instant) {
        let mut out = Vec::new();
        self.program.restart(&mut out);
        self.tx = out.into();
    }

    fn poll_output(&mut self, _now: Instant, limit: usize, out: &mut Vec<u8>) {
        let count = limit.min(self.tx.len());
        out.extend(self.tx.drain(..count));
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn profile(&self) -> Option<&'static str> {
        Some(P::PROFILE)
    }
}
