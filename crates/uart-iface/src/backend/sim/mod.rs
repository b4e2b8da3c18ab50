//! Simulated boards: the list of them, and the one adapter that makes a [`Board`] a [`Port`](crate::Port).
//! A board itself is pure; the adapter owns the clock, the pacing and the device's comings and goings.

use std::fmt;
use std::time::Instant;

use crate::backend::{Backend, Device};
use crate::{OutputSignals, SpecError};

/// Every simulated board. A new one is one file and one line here.
pub const BOARDS: &[&dyn BoardKind] = &[];

/// One kind of simulated board: it parses its own options and describes itself.
pub trait BoardKind: Sync {
    /// What follows `sim:`.
    fn name(&self) -> &'static str;

    /// One line for help and documentation.
    fn summary(&self) -> &'static str;

    /// Builds the board, taking the options it knows out of `options`; what is left is refused by the caller.
    ///
    /// # Errors
    /// An option whose value is not right.
    fn build(&self, options: &mut Options) -> Result<Box<dyn Board>, SpecError>;
}

/// A board as a pure state machine: bytes and a `now` in, bytes out. It knows no clock, no thread and no socket.
pub trait Board: fmt::Debug {
    /// Bytes arrived on the board's RX pin.
    fn handle_input(&mut self, now: Instant, bytes: &[u8]);

    /// The host changed DTR or RTS. Only changes are told.
    fn handle_outputs(&mut self, _now: Instant, _outputs: OutputSignals) {}

    /// The host began or ended a break.
    fn handle_break(&mut self, _now: Instant, _on: bool) {}

    /// Appends what the board has sent until `now`. The board is always asked up to `limit` bytes at a time, and keeps
    /// what does not fit: a board that nobody reads is held up, it does not lose bytes.
    fn poll_output(&mut self, now: Instant, limit: usize, out: &mut Vec<u8>);

    /// When the board will next do something by itself.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Whether the board is there at `now`, and until when that holds. The default: always.
    fn presence(&mut self, _now: Instant) -> Presence {
        Presence::Here { until: None }
    }

    /// The prompt of its interpreter, if it has one that is always printed.
    fn prompt(&self) -> Option<&str> {
        None
    }
}

/// Whether a board is plugged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It is there, for ever or until that moment.
    Here {
        /// When it will vanish.
        until: Option<Instant>,
    },
    /// It has vanished, and will be back at that moment.
    Away {
        /// When it will be back.
        until: Instant,
    },
}

/// The options of a spec (`pace=line&seed=7`), each taken by whoever knows it.
#[derive(Debug)]
pub struct Options;
/// TODO
#[derive(Debug)]
pub struct Sim;

impl Backend for Sim {
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
