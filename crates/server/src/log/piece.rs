//! What a log is given to write, whatever its format: pieces of what happened, in order, each with its time.
//! Taken from the hub here; how they are written is the formats' business.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use uartnet_hub::{Happening, Hub, LogPlace, Logged};

use super::event::Event;

/// How long the beginning of a line waits for its end before it is written as it is. It waits in the hub, not here.
const LINE_PATIENCE: Duration = Duration::from_millis(100);
/// The beginning of a line that is longer than this does not wait.
const LONG_LINE: usize = 4096;
/// How many bytes one batch has at most, about.
const BATCH_BYTES: usize = 256 * 1024;
/// How many pieces one batch has at most.
const BATCH_PIECES: usize = 8192;

/// Something to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) time: SystemTime,
    pub(super) what: What,
    /// How far the port is written down when this is.
    pub(super) after: LogPlace,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// Bytes from the UART, from this offset on.
    Received(u64, Bytes),
    /// Bytes for the UART, after so many others.
    Sent(u64, Bytes),
    Event(Event),
}

/// Pieces in a log's format: bytes, and where in them the port is written down how far.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    pub(super) bytes: Vec<u8>,
    pub(super) units: Vec<Unit>,
}

/// What is written together or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unit {
    /// Where its bytes end.
    pub(super) end: usize,
    /// How many records they are.
    pub(super) records: u64,
    /// How far the port is written down when they are.
    pub(super) after: LogPlace,
}

impl Encoded {
    /// The bytes appended since the last unit are one.
    pub(super) fn unit(&mut self, records: u64, after: LogPlace) {
        self.units.push(Unit {
            end: self.bytes.len(),
            records,
            after,
        });
    }
}

/// What there is to write now.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) pieces: Vec<Piece>,
    /// How far the port is written down after it.
    pub(super) next: LogPlace,
    /// When the beginning of a line, which is there and not in the batch, has waited long enough.
    pub(super) again: Option<Instant>,
    /// More is there than one batch takes.
    pub(super) more: bool,
}

/// Both clocks at one moment, so that the hub's time can be told as the time of day.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clocks {
    pub(super) now: Instant,
    pub(super) wall: SystemTime,
}

impl Clocks {
    pub(super) fn read() -> Clocks {
        Clocks {
            now: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    fn wall(&self, at: Instant) -> SystemTime {
        let ago = self.now.saturating_duration_since(at);
        self.wall.checked_sub(ago).unwrap_or(self.wall)
    }
}

/// Takes what there is at this place, or what there is of it before `until`; `all`: also a line that has no end yet.
pub(super) fn gather(
    hub: &Hub,
    from: LogPlace,
    until: Option<LogPlace>,
    clocks: Clocks,
    all: bool,
) -> Batch {
    let mut batch = Batch {
        next: from,
        ..Batch::default()
    };
    let mut bytes = 0;
    loop {
        if until.is_some_and(|until| batch.next >= until) {
            break;
        }
        let left = until.map_or(u64::MAX, |until| until.offset.0 - batch.next.offset.0);
        let most = BATCH_BYTES.min(usize::try_from(left).unwrap_or(usize::MAX));
        let Some(logged) = hub.read_log(&mut batch.next, most) else {
            break;
        };
        let (at, what) = match logged {
            Logged::Received { at, offset, bytes } => (at, What::Received(offset.0, bytes)),
            Logged::Gap { from, to } => {
                let gap = Event::Gap {
                    from: from.0,
                    to: to.0,
                };
                (clocks.now, What::Event(gap))
            }
            Logged::Missed { happenings } => {
                let missed = Event::Missed {
                    records: happenings,
                };
                (clocks.now, What::Event(missed))
            }
            Logged::Happened { at, what, .. } => match what {
                Happening::Sent { from, bytes } => (at, What::Sent(from, bytes)),
                other => match Event::of(&other) {
                    Some(event) => (at, What::Event(event)),
                    None => continue,
                },
            },
        };
        bytes += what.len();
        if let (What::Sent(from, bytes), Some(last)) = (&what, batch.pieces.last_mut())
            && last.take_sent(*from, bytes, batch.next)
        {
            continue;
        }
        batch.pieces.push(Piece {
            time: clocks.wall(at),
            what,
            after: batch.next,
        });
        if bytes >= BATCH_BYTES || batch.pieces.len() >= BATCH_PIECES {
            batch.more = true;
            return batch;
        }
    }
    if !all {
        batch.leave_beginning_of_line(clocks);
    }
    batch
}

impl Batch {
    /// Leaves the beginning of a line in the hub, if it is short and fresh.
    fn leave_beginning_of_line(&mut self, clocks: Clocks) {
        // The received bytes at the end, from the piece in which the last line ends.
        let mut first = self.pieces.len();
        let mut length = 0;
        let mut ended = None;
        for (index, piece) in self.pieces.iter().enumerate().rev() {
            let What::Received(_, bytes) = &piece.what else {
                break;
            };
            first = index;
            if let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') {
                ended = Some(end + 1);
                length += bytes.len() - (end + 1);
                break;
            }
            length += bytes.len();
        }
        if length == 0 || length > LONG_LINE {
            return;
        }
        // A piece that ends with its line stays whole; the beginning of the next line is in the piece behind it.
        let cut_in = match ended {
            Some(end) if self.pieces[first].what.len() > end => Some((first, end)),
            Some(_) => None,
            None => Some((first, 0)),
        };
        let (index, keep) = cut_in.unwrap_or((first + 1, 0));
        let Some(time) = self.pieces.get(index).map(|piece| piece.time) else {
            return;
        };
        let age = clocks.wall.duration_since(time).unwrap_or_default();
        if age >= LINE_PATIENCE {
            return;
        }
        self.again = Some(clocks.now + (LINE_PATIENCE - age));
        self.pieces.truncate(index + 1);
        if let Some(mut last) = self.pieces.pop() {
            self.next.offset.0 -= length as u64;
            if let What::Received(_, bytes) = &mut last.what
                && keep > 0
            {
                bytes.truncate(keep);
                last.after = self.next;
                self.pieces.push(last);
            }
        }
    }
}

impl Piece {
    /// Appends bytes that were sent right behind this piece's, if it has any: a UART that is paced takes one at a time.
    fn take_sent(&mut self, from: u64, more: &Bytes, after: LogPlace) -> bool {
        match &mut self.what {
            What::Sent(first, bytes)
                if *first + bytes.len() as u64 == from && after.offset == self.after.offset =>
            {
                *bytes = [&bytes[..], more].concat().into();
                self.after = after;
                true
            }
            _ => false,
        }
    }
}

impl What {
    pub(super) fn len(&self) -> usize {
        match self {
            What::Received(_, bytes) | What::Sent(_, bytes) => bytes.len(),
            What::Event(_) => 0,
        }
    }
}
