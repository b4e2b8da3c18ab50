//! When readers are told that bytes have arrived: at once, unless they are very many and the bytes few, which would cost a
//! system call for each reader and handful of bytes. Then they are told of all that arrived within a moment together. Not what they
//! are given; that is `reader`'s.

use std::time::{Duration, Instant};

use crate::time::after;

/// So many readers are very many.
const MANY: usize = 256;

/// They are told at most once in this time: less than a person notices, and more than the pause between two reads of a
/// UART at a usual rate.
const MOMENT: Duration = Duration::from_millis(20);

/// So many bytes wait for nothing, nor does a quarter of the history.
const ENOUGH: usize = 4096;

/// What they were not told yet.
#[derive(Debug, Default)]
pub(crate) struct Bundle {
    /// How many readers there were when bytes last arrived.
    readers: usize,
    /// When they were told last.
    told: Option<Instant>,
    /// How many bytes arrived since.
    bytes: usize,
}

impl Bundle {
    /// Bytes arrived. Whether readers are told now.
    pub(crate) fn arrived(&mut self, now: Instant, bytes: usize, history: usize) -> bool {
        self.bytes += bytes;
        let waits = self.readers >= MANY
            && self.bytes < ENOUGH.min(history / 4)
            && self.due().is_some_and(|due| now < due);
        if !waits {
            self.bytes = 0;
            // Nobody asks when it was who is always told at once.
            self.told = (self.readers >= MANY).then_some(now);
        }
        !waits
    }

    /// There are so many readers.
    pub(crate) fn count(&mut self, readers: usize) {
        self.readers = readers;
    }

    /// Whether there is something that they were not told.
    pub(crate) fn waits(&self) -> bool {
        self.bytes > 0
    }

    /// When they are to be told.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.due().filter(|_| self.waits())
    }

    /// Whether readers are told now.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> bool {
        let is_time = self.poll_timeout().is_some_and(|due| due <= now);
        if is_time {
            self.bytes = 0;
            self.told = Some(now);
        }
        is_time
    }

    fn due(&self) -> Option<Instant> {
        self.told.map(|told| after(told, MOMENT))
    }
}
