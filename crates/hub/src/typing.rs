//! Lines that somebody is typing: no ask goes out into the middle of one. Not who may write, which is `arbiter`'s, and not
//! the order of what is written.
//!
//! - A client's line is unfinished from the first byte of it that the UART has taken until one that ends or clears a line on
//!   any shell: CR, LF, Ctrl-C, Ctrl-D, Ctrl-U. While there is such a line no ask begins, and what clients type passes the
//!   asks that wait.
//! - Behind the end of a line comes what the board says to it, which must not become the reply to an ask: asks wait until the
//!   board has said nothing for [`QUIET`], for [`ANSWER`] at most.
//! - Nobody holds asks up for ever: a line to which nothing was added for the hold time counts as abandoned, and so does that
//!   of a client that leaves. What an ask finds on the board's line then is not known.
//! - The other way round typed bytes wait while an ask runs, as all writes do.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::time::after;
use crate::writer::WriterId;

/// How long a board is silent when it has answered a line.
const QUIET: Duration = Duration::from_millis(100);

/// The longest that the answer to a line is waited for.
const ANSWER: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct Typing {
    /// How long a line holds asks up after its last byte; zero: not at all.
    hold: Duration,
    /// Whose lines are unfinished, and when the UART took the last byte of each.
    lines: BTreeMap<WriterId, Instant>,
    /// The answer to a line that has ended: when the board will have been silent, and when it is waited for no longer.
    answer: Option<(Instant, Instant)>,
}

impl Typing {
    pub(crate) fn new(hold: Duration) -> Typing {
        Typing {
            hold,
            lines: BTreeMap::new(),
            answer: None,
        }
    }

    /// The UART took bytes of a writer that is still there, this one at last.
    pub(crate) fn typed(&mut self, now: Instant, writer: WriterId, last: u8) {
        match last {
            _ if self.hold.is_zero() => {}
            b'\r' | b'\n' | 0x03 | 0x04 | 0x15 => {
                self.lines.remove(&writer);
                self.answer = Some((after(now, QUIET), after(now, ANSWER)));
            }
            _ => {
                self.lines.insert(writer, now);
            }
        }
    }

    /// The writer left.
    pub(crate) fn left(&mut self, writer: WriterId) {
        self.lines.remove(&writer);
    }

    /// Whatever was on the board's line is on it no more, or has become a part of something else.
    pub(crate) fn forget(&mut self) {
        self.lines.clear();
        self.answer = None;
    }

    /// The UART delivered bytes.
    pub(crate) fn handle_data(&mut self, now: Instant) {
        if let Some((quiet, _)) = &mut self.answer {
            *quiet = after(now, QUIET);
        }
    }

    /// Whether an ask must wait now.
    pub(crate) fn holds(&self, now: Instant) -> bool {
        let answers = self
            .answer
            .is_some_and(|(quiet, bound)| now < quiet.min(bound));
        answers || self.typist(now).is_some()
    }

    /// Whose line holds asks up now: the one that was typed at last.
    pub(crate) fn typist(&self, now: Instant) -> Option<WriterId> {
        let lines = self.lines.iter();
        let fresh = lines.filter(|(_, last)| now < after(**last, self.hold));
        fresh
            .max_by_key(|(_, last)| **last)
            .map(|(writer, _)| *writer)
    }

    /// Whether there is a line, or an answer to one, that asks may have to wait for.
    pub(crate) fn is_under_way(&self) -> bool {
        self.answer.is_some() || !self.lines.is_empty()
    }

    /// When the last of them is abandoned, if nothing is typed until then.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let answer = self.answer.map(|(quiet, bound)| quiet.min(bound));
        let lines = self.lines.values().max();
        let lines = lines.map(|last| after(*last, self.hold));
        lines.into_iter().chain(answer).max()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let hold = self.hold;
        self.lines.retain(|_, last| now < after(*last, hold));
        self.answer = self.answer.filter(|(quiet, bound)| now < *quiet.min(bound));
    }
}
