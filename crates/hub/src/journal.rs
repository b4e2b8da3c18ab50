//! What happened to a port beside the bytes it received, in order and bounded: what somebody who writes everything down
//! needs in addition to the history. Not who writes it down, nor how.
//!
//! It is kept only while somebody wants it ([`crate::Hub::keep_journal`]). Like a reader, whoever writes it down has a
//! place of its own ([`LogPlace`]), so its lag is two numbers and not memory: what has left the history is told as a gap,
//! and what has left the journal is counted. It never holds the UART up, and is no client.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use uart_iface::{InputSignals, LineSettings, OutputSignals};

use crate::history::History;
use crate::{DeviceState, Offset, ReceiveErrors};

/// How many happenings are kept.
const HAPPENINGS: usize = 4096;
/// How many bytes the sent bytes among them may have.
const SENT_BYTES: usize = 1 << 20;
/// How many times of arrival are kept. When there are more, every second one is forgotten: bytes then have the time of
/// a read a little before theirs.
const ARRIVALS: usize = 4096;

/// How far somebody has written a port down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct LogPlace {
    /// The offset of the next received byte.
    pub offset: Offset,
    /// The number of the next happening, counted from when the journal was first kept.
    pub happening: u64,
}

/// The next thing to write down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Logged {
    /// Bytes from the UART.
    Received {
        /// When they were read, or a little before the time they were.
        at: Instant,
        /// The offset of the first of them.
        offset: Offset,
        /// The bytes, shared with the history.
        bytes: Bytes,
    },
    /// Received bytes that have left the history.
    Gap {
        /// The first offset missed.
        from: Offset,
        /// The first offset that follows.
        to: Offset,
    },
    /// Something else.
    Happened {
        /// When.
        at: Instant,
        /// The offset of the next byte that arrived after it.
        offset: Offset,
        /// What.
        what: Happening,
    },
    /// Happenings that have left the journal. How many sent bytes were among them is seen by their offsets.
    Missed {
        /// How many.
        happenings: u64,
    },
}

/// What can happen to a port beside receiving.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// The UART took bytes.
    Sent {
        /// How many bytes it had taken in this epoch before them.
        from: u64,
        /// The bytes.
        bytes: Bytes,
    },
    /// The device came or went.
    State(DeviceState),
    /// The line settings in force changed.
    Line(LineSettings),
    /// Signals changed. The lines we observe are known to change only while somebody reads the port.
    Signals {
        /// The lines we drive.
        outputs: OutputSignals,
        /// The lines we observe.
        inputs: InputSignals,
    },
    /// Receive errors or a break, known only while somebody is told of them.
    Errors(ReceiveErrors),
    /// An ask ended.
    Asked {
        /// The label of the client that asked; empty if it has left.
        client: String,
        /// How it ended.
        end: AskEnd,
    },
}

/// How an ask ended, without the bytes: those were sent and received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskEnd {
    /// With a reply.
    Replied {
        /// The first offset looked at.
        from: Offset,
        /// The first offset after the reply.
        to: Offset,
        /// From the command's first byte to the reply's end.
        took: Duration,
    },
    /// In another way.
    Failed {
        /// Which, as the counters name it: `timed_out`, `refused`, ….
        how: &'static str,
    },
}

/// What happened, the newest of it.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    kept: Option<Box<Kept>>,
    /// The number of the next happening.
    end: u64,
    /// Something came since this was last asked.
    news: bool,
}

#[derive(Debug)]
struct Kept {
    since: Instant,
    happenings: VecDeque<Entry>,
    /// How many sent bytes those have.
    sent_bytes: usize,
    /// Where the history ended when a read arrived, and when that was.
    arrivals: VecDeque<(u64, Instant)>,
}

#[derive(Debug)]
struct Entry {
    at: Instant,
    offset: u64,
    what: Happening,
}

impl Journal {
    /// Begins to keep what happens, or ends it.
    pub(crate) fn keep(&mut self, now: Instant, on: bool) {
        match (&self.kept, on) {
            (None, true) => self.kept = Some(Box::new(Kept::new(now))),
            (Some(_), false) => self.kept = None,
            (None, false) | (Some(_), true) => {}
        }
    }

    /// The number of the next happening.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    pub(crate) fn has_news(&self) -> bool {
        self.news
    }

    pub(crate) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// Bytes are about to be appended to a history that ends here.
    pub(crate) fn arrived(&mut self, now: Instant, end: u64) {
        let Some(kept) = &mut self.kept else { return };
        self.news = true;
        if kept.arrivals.len() >= ARRIVALS {
            let mut keep = false;
            kept.arrivals.retain(|_| {
                keep = !keep;
                keep
            });
        }
        kept.arrivals.push_back((end, now));
    }

    /// What no longer is in a history that begins here needs no time of arrival.
    pub(crate) fn forget_before(&mut self, start: u64) {
        let Some(kept) = &mut self.kept else { return };
        while kept.arrivals.get(1).is_some_and(|(at, _)| *at <= start) {
            kept.arrivals.pop_front();
        }
    }

    /// Something happened. `what` is made only if it is kept.
    pub(crate) fn happened(&mut self, now: Instant, offset: u64, what: impl FnOnce() -> Happening) {
        let Some(kept) = &mut self.kept else { return };
        self.news = true;
        self.end += 1;
        let what = what();
        kept.sent_bytes += what.sent_bytes();
        kept.happenings.push_back(Entry {
            at: now,
            offset,
            what,
        });
        while kept.happenings.len() > HAPPENINGS || kept.sent_bytes > SENT_BYTES {
            let Some(oldest) = kept.happenings.pop_front() else {
                break;
            };
            kept.sent_bytes -= oldest.what.sent_bytes();
        }
    }

    /// What comes next at a place, which moves behind it; received bytes in pieces of at most `limit`.
    pub(crate) fn read(
        &self,
        history: &History,
        place: &mut LogPlace,
        limit: usize,
    ) -> Option<Logged> {
        let kept = self.kept.as_ref()?;
        let oldest = self.end - kept.happenings.len() as u64;
        if place.happening < oldest {
            let happenings = oldest - place.happening;
            place.happening = oldest;
            return Some(Logged::Missed { happenings });
        }
        let next = kept.happenings.get((place.happening - oldest) as usize);
        // Bytes that arrived before it come before it; those that are gone as well.
        let until = next.map_or(history.end(), |entry| entry.offset);
        let offset = place.offset;
        if offset.0 < history.start().min(until) {
            place.offset = Offset(history.start().min(until));
            return Some(Logged::Gap {
                from: offset,
                to: place.offset,
            });
        }
        if offset.0 < until {
            let (at, arrived_until) = kept.arrival(offset.0);
            let most = (until.min(arrived_until) - offset.0).min(limit.max(1) as u64);
            let bytes = history.read(offset.0, most as usize);
            place.offset.0 += bytes.len() as u64;
            return Some(Logged::Received { at, offset, bytes });
        }
        let entry = next?;
        place.happening += 1;
        Some(Logged::Happened {
            at: entry.at,
            offset: Offset(entry.offset),
            what: entry.what.clone(),
        })
    }
}

impl Kept {
    fn new(now: Instant) -> Kept {
        Kept {
            since: now,
            happenings: VecDeque::new(),
            sent_bytes: 0,
            arrivals: VecDeque::new(),
        }
    }

    /// When the byte at this offset arrived, and the offset from which on that is not true any more.
    fn arrival(&self, offset: u64) -> (Instant, u64) {
        let after = self.arrivals.partition_point(|(from, _)| *from <= offset);
        let until = self.arrivals.get(after).map_or(u64::MAX, |(from, _)| *from);
        let known = after.checked_sub(1).and_then(|it| self.arrivals.get(it));
        (known.map_or(self.since, |(_, at)| *at), until)
    }
}

impl Happening {
    fn sent_bytes(&self) -> usize {
        match self {
            Happening::Sent { bytes, .. } => bytes.len(),
            _ => 0,
        }
    }
}
