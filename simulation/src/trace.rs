//! What happened, in order: as text where somebody reads it, as one number where runs are compared.

use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A run's trace.
#[derive(Debug)]
pub(crate) struct Trace {
    shown: bool,
    kept: bool,
    lines: String,
    now_ms: u128,
    hash: DefaultHasher,
}

/// What becomes of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Nothing.
    Nothing,
    /// One number of it all.
    Hash,
    /// It is printed as it happens.
    Shown,
}

impl Trace {
    pub(crate) fn new(keep: Keep) -> Trace {
        Trace {
            shown: keep == Keep::Shown,
            kept: keep != Keep::Nothing,
            lines: String::new(),
            now_ms: 0,
            hash: DefaultHasher::new(),
        }
    }

    pub(crate) fn pass(&mut self, now_ms: u128) {
        self.now_ms = now_ms;
    }

    pub(crate) fn say(&mut self, what: impl FnOnce() -> String) {
        if !self.kept {
            return;
        }
        self.lines.clear();
        write!(self.lines, "{:>7} ms  {}", self.now_ms, what()).unwrap();
        if self.shown {
            println!("{}", self.lines);
        }
        self.lines.hash(&mut self.hash);
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash.finish()
    }
}
