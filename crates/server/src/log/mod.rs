//! Durable logs: what a port received, was sent, and what happened to it, written to files as it happens, and read back.
//! Not the daemon's own diagnostics; those are `telemetry`.
//!
//! A log is like a reader of the hub with a place of its own, so what it lags costs no memory, and a disk that is slow,
//! full or broken stops nobody: when it works again the log goes on with what the history still has, and says what it
//! has not. Files are touched on tokio's blocking threads only, of which there are none as long as no log is configured.
//!
//! - `piece`: what is taken from the hub, in batches;
//! - `text`, `cast`: the formats, pure; `event` is what they say beside bytes;
//! - `writer`, `files`: rotation, and records whole and once;
//! - `page`: reading back;
//! - `task`: who waits for what.

mod cast;
mod event;
mod files;
mod page;
mod piece;
mod task;
mod text;
mod writer;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use uartnet_hub::{LogPlace, Refusal};

pub use files::Keep;
pub(crate) use page::{Cursor, Page, Query, When};
pub(crate) use task::Logs;

use crate::config::{LogConfig, LogFormat};
use crate::nudge::Nudge;

/// How many questions to one log may wait.
const QUESTIONS: usize = 64;

/// One log of a port, as others see it.
#[derive(Debug)]
pub(crate) struct Log {
    config: LogConfig,
    /// There is something to write.
    news: Nudge,
    /// Somebody asked for a page.
    asked: Nudge,
    questions: RefCell<VecDeque<Question>>,
    place: Cell<LogPlace>,
    counters: Cell<LogCounters>,
    ending: Cell<bool>,
    /// What happens from here on is not for it.
    until: Cell<Option<LogPlace>>,
}

/// What became of what a log was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LogCounters {
    /// Records written.
    pub(crate) records: u64,
    /// Bytes written.
    pub(crate) bytes: u64,
    /// Received bytes that it will never have.
    pub(crate) lost_bytes: u64,
    /// Sent pieces and events that it will never have.
    pub(crate) lost_records: u64,
    /// Times that writing failed.
    pub(crate) write_errors: u64,
    /// Received bytes that are not written yet.
    pub(crate) lag: u64,
}

#[derive(Debug)]
struct Question {
    query: Query,
    answer: Rc<PageSlot>,
}

/// Where the answer to a question will be.
#[derive(Debug)]
pub(crate) struct PageSlot {
    page: RefCell<Option<io::Result<Page>>>,
    is_filled: Cell<bool>,
    nudge: Rc<Nudge>,
}

impl PageSlot {
    /// The page, once it is there.
    pub(crate) fn take(&self) -> Option<io::Result<Page>> {
        self.page.borrow_mut().take()
    }

    fn fill(&self, page: io::Result<Page>) {
        self.is_filled.set(true);
        *self.page.borrow_mut() = Some(page);
        self.nudge.ring();
    }
}

impl Drop for Question {
    /// Nobody waits for ever.
    fn drop(&mut self) {
        if !self.answer.is_filled.get() {
            let ended = io::Error::other("the log has ended");
            self.answer.fill(Err(ended));
        }
    }
}

/// Why a page cannot be asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoPage {
    /// It takes more access.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// There is no log that can be read back.
    #[error("this port keeps no text log")]
    NoLog,
    /// Too many wait already.
    #[error("busy: {limit} of {limit} pages of this log are waited for")]
    TooMany {
        /// How many.
        limit: usize,
    },
}

impl Log {
    fn new(config: LogConfig, place: LogPlace) -> Log {
        Log {
            config,
            news: Nudge::default(),
            asked: Nudge::default(),
            questions: RefCell::default(),
            place: Cell::new(place),
            counters: Cell::default(),
            ending: Cell::new(false),
            until: Cell::new(None),
        }
    }

    /// There is something to write.
    pub(crate) fn wake(&self) {
        self.news.ring();
    }

    /// Whether it can be read back.
    pub(crate) fn is_readable(&self) -> bool {
        self.config.format == LogFormat::Text
    }

    /// Asks for a page; `nudge` is rung when it is there.
    pub(crate) fn ask(&self, query: Query, nudge: &Rc<Nudge>) -> Result<Rc<PageSlot>, NoPage> {
        let mut questions = self.questions.borrow_mut();
        if questions.len() >= QUESTIONS {
            return Err(NoPage::TooMany { limit: QUESTIONS });
        }
        let answer = Rc::new(PageSlot {
            page: RefCell::default(),
            is_filled: Cell::new(false),
            nudge: nudge.clone(),
        });
        questions.push_back(Question {
            query,
            answer: answer.clone(),
        });
        self.asked.ring();
        Ok(answer)
    }

    /// What became of what it was given; the port has received so many bytes.
    pub(crate) fn counters(&self, received: u64) -> LogCounters {
        LogCounters {
            lag: received.saturating_sub(self.place.get().offset.0),
            ..self.counters.get()
        }
    }
}

impl LogCounters {
    /// Those of two logs together.
    pub(crate) fn and(self, other: LogCounters) -> LogCounters {
        LogCounters {
            records: self.records + other.records,
            bytes: self.bytes + other.bytes,
            lost_bytes: self.lost_bytes + other.lost_bytes,
            lost_records: self.lost_records + other.lost_records,
            write_errors: self.write_errors + other.write_errors,
            lag: self.lag + other.lag,
        }
    }
}
