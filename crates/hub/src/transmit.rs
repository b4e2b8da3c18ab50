//! What waits to be written to the UART, in the order it arrived, and how fast it may go out. Not asks' commands; those
//! are in `ask`, and take their turn among these by their place in the same order.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crate::ClientId;
use crate::time::after;
use crate::writer::{WriterId, Writers};

/// A place in the order of everything that was asked of the port.
pub(crate) type Turn = u64;

/// How many writes may be queued, however small; their bookkeeping takes memory too.
const WRITES: usize = 4096;

/// Consecutive small writes of one writer are merged up to this size.
const MERGE: usize = 512;

/// So much memory is kept when nothing waits any more, for the next write.
const KEPT: usize = 1024;

/// The plain writes of all clients, first come, first served.
#[derive(Debug)]
pub(crate) struct WriteQueue {
    /// `None`: nothing was ever written.
    queued: Option<Box<Queued>>,
    limit: usize,
    /// Whether the UART has taken a part of the first write.
    begun: bool,
}

#[derive(Debug, Default)]
struct Queued {
    writes: VecDeque<Write>,
    /// The bytes of all of them, one after the other, behind so many that have left.
    bytes: Vec<u8>,
    left: usize,
}

#[derive(Debug)]
struct Write {
    turn: Turn,
    writer: WriterId,
    /// The write offset of the first byte that waits.
    from: u64,
    /// How many bytes wait. Not 0.
    len: usize,
}

impl WriteQueue {
    pub(crate) fn new(limit: usize) -> WriteQueue {
        WriteQueue {
            queued: None,
            limit,
            begun: false,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.queued.as_ref().map_or(0, |queued| queued.len())
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// How many bytes may wait from now on; those that do stay.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    pub(crate) fn room(&self) -> usize {
        match &self.queued {
            Some(queued) if queued.writes.len() >= WRITES => 0,
            Some(queued) => self.limit.saturating_sub(queued.len()),
            None => self.limit,
        }
    }

    /// Whether the UART has taken a part of a write, which must be finished before anything else.
    pub(crate) fn is_begun(&self) -> bool {
        self.begun
    }

    /// What waits of the first write.
    pub(crate) fn front(&self) -> Option<&[u8]> {
        let queued = self.queued.as_ref()?;
        let write = queued.writes.front()?;
        queued.bytes.get(queued.left..queued.left + write.len)
    }

    /// Whose the first write is.
    pub(crate) fn front_writer(&self) -> Option<WriterId> {
        Some(self.queued.as_ref()?.writes.front()?.writer)
    }

    pub(crate) fn front_turn(&self) -> Option<Turn> {
        Some(self.queued.as_ref()?.writes.front()?.turn)
    }

    /// Queues a write (not empty, not larger than the room).
    pub(crate) fn push(
        &mut self,
        turn: Turn,
        writers: &mut Writers,
        writer: WriterId,
        bytes: &[u8],
    ) {
        let from = writers.accept(writer, bytes.len());
        let queued = self.queued.get_or_insert_default();
        queued.arrive(bytes);
        if let Some(last) = queued.writes.back_mut()
            && last.writer == writer
            && last.turn + 1 == turn
            && last.len + bytes.len() <= MERGE
        {
            last.len += bytes.len();
            last.turn = turn;
            writers.merged(writer);
            return;
        }
        queued.writes.push_back(Write {
            turn,
            writer,
            from,
            len: bytes.len(),
        });
    }

    /// The UART took this many bytes of the first write. Says whose they were, and who is told of it as of
    /// [`Writers::taken`].
    pub(crate) fn taken(
        &mut self,
        writers: &mut Writers,
        count: usize,
    ) -> Option<(WriterId, Option<ClientId>)> {
        let queued = self.queued.as_mut()?;
        let front = queued.writes.front_mut()?;
        let count = count.min(front.len);
        front.len -= count;
        front.from += count as u64;
        let writer = front.writer;
        let whole = front.len == 0;
        let told = writers.taken(writer, front.from, whole);
        self.begun = !whole && (self.begun || count > 0);
        if whole {
            queued.writes.pop_front();
        }
        queued.leave(count);
        Some((writer, told))
    }

    /// Drops every write before `turn` and tells its writer why. Says how many bytes, and which clients are to be told.
    pub(crate) fn lose_before(
        &mut self,
        turn: Turn,
        writers: &mut Writers,
        reason: &str,
    ) -> (u64, BTreeSet<ClientId>) {
        let mut losers = BTreeSet::new();
        let Some(queued) = &mut self.queued else {
            return (0, losers);
        };
        let before = queued.len();
        while let Some(write) = queued.writes.pop_front_if(|write| write.turn < turn) {
            self.begun = false;
            queued.leave(write.len);
            // Before it is lost: whoever had the name earlier is forgotten once its own bytes are settled.
            losers.extend(writers.owners(write.writer));
            writers.lost(
                write.writer,
                write.from,
                write.from + write.len as u64,
                reason,
            );
        }
        ((before - queued.len()) as u64, losers)
    }
}

impl Queued {
    fn len(&self) -> usize {
        self.bytes.len() - self.left
    }

    /// These bytes wait behind all others.
    fn arrive(&mut self, bytes: &[u8]) {
        if self.left > self.len() && self.bytes.len() + bytes.len() > self.bytes.capacity() {
            self.bytes.drain(..self.left);
            self.left = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The first bytes wait no more.
    fn leave(&mut self, count: usize) {
        self.left += count;
        if self.left == self.bytes.len() {
            self.left = 0;
            self.bytes.clear();
            if self.bytes.capacity() > KEPT {
                self.bytes = Vec::new();
            }
        }
    }
}

/// How fast bytes go out.
#[derive(Debug)]
pub(crate) struct Pacing {
    /// `None`: as fast as they can.
    pace: Option<Box<Pace>>,
    not_before: Option<Instant>,
}

/// The time after each byte and each line; one of them at least is not zero.
#[derive(Debug)]
struct Pace {
    byte: Duration,
    line: Duration,
}

impl Pace {
    fn new(byte: Duration, line: Duration) -> Option<Box<Pace>> {
        let is_none = byte.is_zero() && line.is_zero();
        (!is_none).then(|| Box::new(Pace { byte, line }))
    }
}

impl Pacing {
    pub(crate) fn new(byte: Duration, line: Duration) -> Pacing {
        Pacing {
            pace: Pace::new(byte, line),
            not_before: None,
        }
    }

    /// How fast bytes go out from now on. A wait that has begun is waited out.
    pub(crate) fn set(&mut self, byte: Duration, line: Duration) {
        self.pace = Pace::new(byte, line);
    }

    pub(crate) fn is_ready(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|at| at <= now)
    }

    /// How much of `bytes` may go out in one go.
    pub(crate) fn portion(&self, bytes: &[u8]) -> usize {
        let Some(pace) = &self.pace else {
            return bytes.len();
        };
        if !pace.byte.is_zero() {
            bytes.len().min(1)
        } else {
            bytes
                .iter()
                .enumerate()
                .find(|&(at, _)| ends_line(bytes, at))
                .map_or(bytes.len(), |(at, _)| at + 1)
        }
    }

    /// The UART took the first `count` of `bytes`.
    pub(crate) fn taken(&mut self, now: Instant, bytes: &[u8], count: usize) {
        let (Some(pace), Some(last)) = (&self.pace, count.checked_sub(1)) else {
            return;
        };
        let wait = if ends_line(bytes, last) {
            pace.byte.max(pace.line)
        } else {
            pace.byte
        };
        if !wait.is_zero() {
            self.not_before = Some(after(now, wait));
        }
    }

    /// When the next byte may go out, if it must wait.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.not_before
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.is_ready(now) {
            self.not_before = None;
        }
    }
}

/// Whether a line ends with the byte at `at`: LF, or a CR without an LF after it.
fn ends_line(bytes: &[u8], at: usize) -> bool {
    match bytes.get(at) {
        Some(b'\n') => true,
        Some(b'\r') => bytes.get(at + 1) != Some(&b'\n'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(queue: &mut WriteQueue, writers: &mut Writers, step: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(bytes) = queue.front() {
            let count = step.min(bytes.len());
            out.extend_from_slice(&bytes[..count]);
            queue.taken(writers, count);
        }
        out
    }

    #[test]
    fn writes_leave_in_order_and_whole() {
        for step in [1, 2, 100] {
            let mut writers = Writers::default();
            let (a, b) = (writers.begin(ClientId(1)), writers.begin(ClientId(1)));
            let mut queue = WriteQueue::new(100);
            for (turn, (writer, text)) in [(a, "one "), (b, "two "), (b, "three "), (a, "four ")]
                .into_iter()
                .enumerate()
            {
                queue.push(turn as Turn, &mut writers, writer, text.as_bytes());
            }
            assert_eq!(queue.room(), 100 - 19);
            assert_eq!(
                drain(&mut queue, &mut writers, step),
                b"one two three four "
            );
            assert_eq!(queue.room(), 100);
            assert_eq!(
                writers.poll_notice(a),
                Some(crate::Notice::Written { up_to: 9 })
            );
            assert_eq!(
                writers.poll_notice(b),
                Some(crate::Notice::Written { up_to: 10 })
            );
        }
    }

    #[test]
    fn single_bytes_of_one_writer_are_merged_and_those_of_many_are_bounded() {
        let mut writers = Writers::default();
        let (a, b) = (writers.begin(ClientId(1)), writers.begin(ClientId(1)));
        let mut queue = WriteQueue::new(1 << 20);
        for turn in 0..10_000 {
            queue.push(turn, &mut writers, a, b"x");
        }
        assert!(queue.queued.as_ref().unwrap().writes.len() <= 10_000 / MERGE + 1);
        let mut turn = 10_000;
        while queue.room() > 0 {
            queue.push(turn, &mut writers, if turn % 2 == 0 { a } else { b }, b"x");
            turn += 1;
        }
        assert_eq!(queue.queued.as_ref().unwrap().writes.len(), WRITES);
    }

    #[test]
    fn a_queue_takes_memory_for_what_waits_and_gives_it_back() {
        let mut writers = Writers::default();
        let a = writers.begin(ClientId(1));
        let mut queue = WriteQueue::new(10_000);
        let mut expected = Vec::new();
        let mut heard = Vec::new();
        for turn in 0..1000u64 {
            let bytes = vec![turn as u8; queue.room().min(3000)];
            expected.extend_from_slice(&bytes);
            queue.push(turn, &mut writers, a, &bytes);
            let front = queue.front().unwrap();
            let count = front.len().min(2000);
            heard.extend_from_slice(&front[..count]);
            queue.taken(&mut writers, count);
            assert!(queue.queued.as_ref().unwrap().bytes.capacity() <= 4 * 10_000);
        }
        heard.extend(drain(&mut queue, &mut writers, 9999));
        assert_eq!(heard, expected);
        assert_eq!(queue.queued.unwrap().bytes.capacity(), 0);
    }

    #[test]
    fn what_came_after_a_purge_is_not_purged() {
        let mut writers = Writers::default();
        let a = writers.begin(ClientId(1));
        let mut queue = WriteQueue::new(100);
        queue.push(0, &mut writers, a, b"old");
        queue.taken(&mut writers, 1);
        queue.push(2, &mut writers, a, b"new");
        assert_eq!(
            queue.lose_before(1, &mut writers, "purged"),
            (2, [ClientId(1)].into())
        );
        assert!(!queue.is_begun());
        assert_eq!(drain(&mut queue, &mut writers, 9), b"new");
        assert_eq!(
            writers.poll_notice(a),
            Some(crate::Notice::Written { up_to: 1 })
        );
        assert_eq!(
            writers.poll_notice(a),
            Some(crate::Notice::WriteLost {
                from: 1,
                to: 3,
                reason: "purged".into()
            })
        );
        assert_eq!(
            writers.poll_notice(a),
            Some(crate::Notice::Written { up_to: 6 })
        );
    }

    #[test]
    fn pacing_by_byte_and_by_line() {
        let now = Instant::now();
        let ms = Duration::from_millis;
        let text = b"ab\r\ncd\refg";
        let line = Pacing::new(ms(0), ms(50));
        assert_eq!(line.portion(text), 4, "CR LF is one end of line");
        assert_eq!(line.portion(&text[4..]), 3);
        assert_eq!(line.portion(&text[7..]), 3);
        let mut both = Pacing::new(ms(1), ms(50));
        assert_eq!(both.portion(text), 1);
        for (at, wait) in [(0, 1), (2, 1), (3, 50), (6, 50)] {
            both.taken(now, &text[at..], 1);
            assert_eq!(both.poll_timeout(), Some(now + ms(wait)), "after byte {at}");
        }
        assert!(!both.is_ready(now + ms(49)));
        both.handle_timeout(now + ms(50));
        assert_eq!(both.poll_timeout(), None);
    }
}
