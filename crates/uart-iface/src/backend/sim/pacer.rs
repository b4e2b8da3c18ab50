//! Bytes on their way over a wire: a bounded queue whose bytes arrive one by one, each a character time after the one
//! before. It knows no clock and no task; `now` is an argument.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// One direction of a wire.
#[derive(Debug)]
pub(crate) struct Pacer {
    /// The bytes that have arrived and were not taken yet, then those on their way.
    bytes: VecDeque<u8>,
    /// How many of them have arrived.
    arrived: usize,
    /// When the first of the others arrives. Always there while there are others and the wire is not held.
    next: Option<Instant>,
    /// How long one character takes. Zero: bytes arrive as soon as they are sent.
    character: Duration,
    capacity: usize,
    held: bool,
}

impl Pacer {
    /// An empty wire that carries one byte per `character` time (zero: at once), and at most `capacity` bytes
    /// (arrived ones included) at the same time.
    pub(crate) fn new(character: Duration, capacity: usize) -> Pacer {
        Pacer {
            bytes: VecDeque::new(),
            arrived: 0,
            next: None,
            character,
            capacity,
            held: false,
        }
    }

    /// How many bytes can be sent now.
    pub(crate) fn room(&self) -> usize {
        self.capacity.saturating_sub(self.bytes.len())
    }

    /// How many bytes have arrived until `now` and were not taken yet.
    pub(crate) fn arrived(&mut self, now: Instant) -> usize {
        self.advance(now);
        self.arrived
    }

    /// When the next byte will arrive, if one is on its way.
    pub(crate) fn next_arrival(&self) -> Option<Instant> {
        self.next
    }

    /// Sends as many of `bytes` as there is room for, and says how many.
    pub(crate) fn send(&mut self, now: Instant, bytes: &[u8]) -> usize {
        self.advance(now);
        let count = bytes.len().min(self.room());
        self.bytes.extend(&bytes[..count]);
        self.start(now);
        self.advance(now);
        count
    }

    /// Takes what has arrived until `now` into `buf`, and says how much.
    pub(crate) fn take(&mut self, now: Instant, buf: &mut [u8]) -> usize {
        let count = self.arrived(now).min(buf.len());
        for (slot, byte) in buf.iter_mut().zip(self.bytes.drain(..count)) {
            *slot = byte;
        }
        self.arrived -= count;
        if self.bytes.is_empty() {
            // Buffers exist only while they hold data.
            self.bytes = VecDeque::new();
        }
        count
    }

    /// From now on a character takes this long, and so much fits on the wire. The character under way keeps its time.
    pub(crate) fn set_speed(&mut self, now: Instant, character: Duration, capacity: usize) {
        self.advance(now);
        self.character = character;
        self.capacity = capacity;
        self.advance(now);
    }

    /// Holds up the bytes that have not arrived, or lets them go on.
    pub(crate) fn hold(&mut self, now: Instant, held: bool) {
        self.advance(now);
        self.held = held;
        if held {
            self.next = None;
        }
        self.start(now);
    }

    /// Throws away what has arrived.
    pub(crate) fn purge_arrived(&mut self, now: Instant) {
        self.advance(now);
        self.bytes.drain(..self.arrived);
        self.arrived = 0;
    }

    /// Throws away what has not arrived.
    pub(crate) fn purge_pending(&mut self, now: Instant) {
        self.advance(now);
        self.bytes.truncate(self.arrived);
        self.next = None;
    }

    /// An idle wire that has something to carry begins with it.
    fn start(&mut self, now: Instant) {
        if self.next.is_none() && !self.held && self.arrived < self.bytes.len() {
            self.next = Some(now + self.character);
        }
    }

    fn advance(&mut self, now: Instant) {
        let Some(next) = self.next else { return };
        if next > now {
            return;
        }
        let pending = self.bytes.len() - self.arrived;
        let due = if self.character.is_zero() {
            pending
        } else {
            let more = (now - next).as_nanos() / self.character.as_nanos();
            pending.min(
                usize::try_from(more)
                    .unwrap_or(usize::MAX)
                    .saturating_add(1),
            )
        };
        self.arrived += due;
        // Where bytes are left, fewer than 2^32 of them have arrived: the capacity is far below.
        self.next = (due < pending).then(|| next + self.character * due as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn take(pacer: &mut Pacer, now: Instant) -> Vec<u8> {
        let mut buf = [0; 64];
        let count = pacer.take(now, &mut buf);
        buf[..count].to_vec()
    }

    #[test]
    fn a_byte_arrives_when_its_last_bit_has() {
        let start = Instant::now();
        let mut pacer = Pacer::new(MS, 64);
        assert_eq!(pacer.send(start, b"abc"), 3);
        assert_eq!(take(&mut pacer, start + MS - Duration::from_nanos(1)), b"");
        assert_eq!(take(&mut pacer, start + MS), b"a");
        assert_eq!(pacer.next_arrival(), Some(start + 2 * MS));
        assert_eq!(take(&mut pacer, start + 10 * MS), b"bc");
        assert_eq!(pacer.next_arrival(), None);
    }

    #[test]
    fn bytes_sent_while_the_wire_is_busy_follow_without_a_pause() {
        let start = Instant::now();
        let mut pacer = Pacer::new(MS, 64);
        pacer.send(start, b"ab");
        pacer.send(start + MS / 2, b"c");
        assert_eq!(take(&mut pacer, start + 3 * MS), b"abc");
        pacer.send(start + 10 * MS, b"d");
        assert_eq!(pacer.next_arrival(), Some(start + 11 * MS));
    }

    #[test]
    fn without_a_character_time_everything_arrives_at_once() {
        let start = Instant::now();
        let mut pacer = Pacer::new(Duration::ZERO, 4);
        assert_eq!(pacer.send(start, b"abcdef"), 4);
        assert_eq!(pacer.room(), 0);
        assert_eq!(take(&mut pacer, start), b"abcd");
        assert_eq!(pacer.room(), 4);
    }

    #[test]
    fn a_change_of_speed_leaves_the_character_under_way_alone() {
        let start = Instant::now();
        let mut pacer = Pacer::new(10 * MS, 64);
        pacer.send(start, b"abc");
        pacer.set_speed(start + MS, MS, 64);
        assert_eq!(take(&mut pacer, start + 10 * MS), b"a");
        assert_eq!(take(&mut pacer, start + 11 * MS), b"b");
        pacer.set_speed(start + 11 * MS, Duration::ZERO, 64);
        assert_eq!(take(&mut pacer, start + 12 * MS), b"c");
    }

    #[test]
    fn a_held_wire_keeps_what_has_not_arrived() {
        let start = Instant::now();
        let mut pacer = Pacer::new(MS, 64);
        pacer.send(start, b"abc");
        pacer.hold(start + MS, true);
        pacer.send(start + MS, b"d");
        assert_eq!(take(&mut pacer, start + 10 * MS), b"a");
        assert_eq!(pacer.next_arrival(), None);
        pacer.hold(start + 10 * MS, false);
        assert_eq!(take(&mut pacer, start + 13 * MS), b"bcd");
    }

    #[test]
    fn purging_tells_arrived_from_pending() {
        let start = Instant::now();
        let mut pacer = Pacer::new(MS, 64);
        pacer.send(start, b"abcd");
        pacer.purge_arrived(start + 2 * MS);
        assert_eq!(take(&mut pacer, start + 3 * MS), b"c");
        pacer.purge_pending(start + 3 * MS);
        assert_eq!(take(&mut pacer, start + 9 * MS), b"");
        assert_eq!(pacer.next_arrival(), None);
        assert_eq!(pacer.room(), 64);
    }
}
