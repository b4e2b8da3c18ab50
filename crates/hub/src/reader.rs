//! One client's place in the history: what it is given next, what it missed, and whether the UART is held up for it.
//!
//! A reader's lag is an offset, not memory: nothing is kept for it beyond the history everybody shares. What happens
//! when its next byte is about to fall out of the history is its [`OnLag`]:
//!
//! - *gap*: nothing, until it asks; then it is told once which offsets are gone, and goes on with the oldest byte kept.
//! - *disconnect*, or a protocol that cannot carry a gap: it is cut off when the byte has fallen out.
//! - *stall*: reading the UART pauses as soon as less than [`read_size`] bytes may still arrive before the byte falls
//!   out. Because an owner never reads more than that at once, no byte is lost to a stalling laggard.
//!   Reading resumes when the laggard has caught up to half the history. Until then it must make progress: a laggard that
//!   had bytes waiting and took none of them for [`GRACE`] has stopped, and is given up at once; and one that is slow
//!   without stopping is given up after the stall limit. A reader that was given up does not hold the UART up again
//!   before it has caught up to half the history; when its byte falls out it gets a gap, or is cut off.
//!
//! So a client that stopped altogether delays the others by at most [`GRACE`], and only once.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::history::History;
use crate::time::after;
use crate::{CloseReason, Epoch, GapWhy, Offset, OnLag, ReadFrom};

/// How long a laggard may take nothing before it counts as stopped. Long enough for a busy machine to schedule a slow
/// client's task and for a round trip in a building, short enough that the UART's other readers hardly notice.
pub(crate) const GRACE: Duration = Duration::from_millis(50);

/// The most an owner reads from the UART at once: 64 KiB, or a quarter of a history too short for that.
pub(crate) fn read_size(history_limit: usize) -> usize {
    (history_limit / 4).clamp(1, 64 * 1024)
}

/// One client's place in the history.
#[derive(Debug)]
pub(crate) struct Reader {
    /// The offset of the next byte it will be given.
    next: u64,
    /// A gap it has to be told before that byte. Few readers begin with one.
    gap: Option<Box<Gap>>,
    on_lag: OnLag,
    /// Whether it chose that itself, whatever the port's setting is.
    chose_on_lag: bool,
    can_carry_gap: bool,
    /// Since when bytes wait for it without its taking any.
    waiting_since: Instant,
    stall: Stall,
}

#[derive(Debug, Clone, Copy)]
struct Gap {
    from: u64,
    to: u64,
    why: GapWhy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stall {
    No,
    /// The UART is held up for it, since then.
    Since(Instant),
    GivenUp,
}

/// What a reader is given.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Data {
        offset: Offset,
        bytes: Bytes,
    },
    Gap {
        from: Offset,
        to: Offset,
        why: GapWhy,
    },
}

/// What a reader is created with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) read: ReadFrom,
    /// What it wants done when it lags.
    pub(crate) own_on_lag: Option<OnLag>,
    /// The port's setting, for a reader that wants nothing in particular.
    pub(crate) on_lag: OnLag,
    pub(crate) can_carry_gap: bool,
}

impl Reader {
    pub(crate) fn new(now: Instant, start: Start, history: &History, epoch: Epoch) -> Reader {
        let (oldest, end) = (history.start(), history.end());
        let (next, gap) = match start.read {
            ReadFrom::Live => (end, None),
            ReadFrom::Start => (oldest, None),
            ReadFrom::Last(count) => (end.saturating_sub(count).max(oldest), None),
            ReadFrom::At { epoch: other, .. } if other != epoch => (
                oldest,
                Some(Box::new(Gap {
                    from: 0,
                    to: oldest,
                    why: GapWhy::NewEpoch,
                })),
            ),
            ReadFrom::At { offset, .. } if offset.0 < oldest => (
                oldest,
                Some(Box::new(Gap {
                    from: offset.0,
                    to: oldest,
                    why: GapWhy::Expired,
                })),
            ),
            ReadFrom::At { offset, .. } => (offset.0.min(end), None),
        };
        Reader {
            next,
            gap,
            on_lag: start.own_on_lag.unwrap_or(start.on_lag),
            chose_on_lag: start.own_on_lag.is_some(),
            can_carry_gap: start.can_carry_gap,
            waiting_since: now,
            stall: Stall::No,
        }
    }

    /// The offset of the first byte it will be given or told as a gap.
    pub(crate) fn first(&self) -> Offset {
        Offset(self.gap.as_ref().map_or(self.next, |gap| gap.from))
    }

    /// Why a reader cannot even begin: it starts with a gap that its protocol cannot carry.
    pub(crate) fn refuses_to_start(&self) -> Option<CloseReason> {
        let gap = self.gap.as_ref().filter(|_| !self.can_carry_gap)?;
        Some(CloseReason::Lagged {
            from: Offset(gap.from),
            to: Offset(gap.to),
        })
    }

    /// Whether it has something to take below `end`.
    pub(crate) fn has_until(&self, end: u64) -> bool {
        self.gap.is_some() || self.next < end
    }

    /// Whether the UART is held up for it.
    pub(crate) fn stalls(&self) -> bool {
        matches!(self.stall, Stall::Since(_))
    }

    /// Bytes were appended to the history, whose end was `end_before`. Says why this reader must be cut off, if it must.
    pub(crate) fn arrived(
        &mut self,
        now: Instant,
        history: &History,
        end_before: u64,
        can_pause: bool,
    ) -> Option<CloseReason> {
        if self.next == end_before {
            self.waiting_since = now;
        }
        if self.next < history.start() {
            if self.on_lag == OnLag::Disconnect || !self.can_carry_gap {
                return Some(CloseReason::Lagged {
                    from: self.first(),
                    to: Offset(history.start()),
                });
            }
            if self.stalls() {
                self.stall = Stall::GivenUp;
            }
        }
        self.consider_stall(now, history, can_pause);
        None
    }

    /// Begins to hold the UART up if the next byte is about to fall out and this reader is worth it.
    pub(crate) fn consider_stall(&mut self, now: Instant, history: &History, can_pause: bool) {
        if self.stall != Stall::No || !self.wants_stall(can_pause) {
            return;
        }
        let lag = history.end() - self.next;
        let reach = (history.limit() as u64).saturating_sub(lag);
        if reach < read_size(history.limit()) as u64 {
            let stopped = now >= after(self.waiting_since, GRACE);
            self.stall = if stopped {
                Stall::GivenUp
            } else {
                Stall::Since(now)
            };
        }
    }

    /// The device changed: whether it can be paused decides about [`OnLag::Auto`].
    pub(crate) fn handle_can_pause(&mut self, can_pause: bool) {
        if self.stalls() && !self.wants_stall(can_pause) {
            self.stall = Stall::No;
        }
    }

    /// The port's setting for laggards has changed.
    pub(crate) fn handle_on_lag(&mut self, on_lag: OnLag, can_pause: bool) {
        if !self.chose_on_lag {
            self.on_lag = on_lag;
            self.handle_can_pause(can_pause);
        }
    }

    /// When it will be given up.
    pub(crate) fn poll_timeout(&self, stall_limit: Duration) -> Option<Instant> {
        match self.stall {
            Stall::Since(since) => {
                Some(after(since, stall_limit).min(after(self.waiting_since, GRACE)))
            }
            Stall::No | Stall::GivenUp => None,
        }
    }

    /// Gives it up if it is time.
    pub(crate) fn handle_timeout(&mut self, now: Instant, stall_limit: Duration) {
        if self.poll_timeout(stall_limit).is_some_and(|at| at <= now) {
            self.stall = Stall::GivenUp;
        }
    }

    /// The next bytes, at most `limit`, or the gap before them.
    pub(crate) fn take(&mut self, now: Instant, history: &History, limit: usize) -> Option<Taken> {
        if let Some(gap) = self.gap.take() {
            let Gap { from, to, why } = *gap;
            return Some(Taken::Gap {
                from: Offset(from),
                to: Offset(to),
                why,
            });
        }
        if self.next < history.start() {
            let from = std::mem::replace(&mut self.next, history.start());
            return Some(Taken::Gap {
                from: Offset(from),
                to: Offset(self.next),
                why: GapWhy::Lagged,
            });
        }
        if self.next == history.end() {
            return None;
        }
        let bytes = history.read(self.next, limit.max(1));
        let offset = Offset(self.next);
        self.next += bytes.len() as u64;
        self.waiting_since = now;
        if self.stall != Stall::No && history.end() - self.next <= history.limit() as u64 / 2 {
            self.stall = Stall::No;
        }
        Some(Taken::Data { offset, bytes })
    }

    /// What is before `end` is not for it.
    pub(crate) fn skip_to(&mut self, now: Instant, end: u64) {
        self.next = end;
        self.gap = None;
        self.waiting_since = now;
        self.stall = Stall::No;
    }

    fn wants_stall(&self, can_pause: bool) -> bool {
        match self.on_lag {
            OnLag::Stall => true,
            OnLag::Auto => can_pause,
            OnLag::Gap | OnLag::Disconnect => false,
        }
    }
}
