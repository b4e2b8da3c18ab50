//! What a client has written and the UART has not yet taken, by write offset, so that a lost connection neither loses a byte
//! nor writes one twice. Pure; the connection around it is [`crate::Follower`].

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

/// Bytes on their way to a UART.
#[derive(Debug, Clone)]
pub struct Outbox {
    /// From the first byte that the UART has not taken, as far as the gateway has said, to the last one queued.
    bytes: BytesMut,
    /// The write offset of the first of them.
    settled: u64,
    /// How many of them were given to the connection, or to one before it that the gateway accepted them from.
    given: usize,
    /// The life of the gateway that these offsets belong to.
    epoch: Option<String>,
    limit: usize,
}

/// What a new connection means for bytes that were given to the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reopened {
    /// All is known: what the gateway had not accepted is given again.
    Continues,
    /// The gateway forgot this writer (it was restarted). Whether these bytes reached the UART cannot be known, and they are
    /// not written again: a command done twice can be worse than one not done.
    Uncertain(Bytes),
}

impl Outbox {
    /// Keeps at most `limit` bytes.
    pub fn new(limit: usize) -> Outbox {
        Outbox {
            bytes: BytesMut::new(),
            settled: 0,
            given: 0,
            epoch: None,
            limit,
        }
    }

    // --- getters

    /// How many bytes [`Outbox::push`] takes now.
    pub fn room(&self) -> usize {
        self.limit.saturating_sub(self.bytes.len())
    }

    /// How many bytes are kept: queued, or given and neither written nor told lost.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether everything was taken by the UART (or told lost).
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    // --- commands

    /// Queues as many of `bytes` as there is room for, and says how many.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room());
        self.bytes.extend_from_slice(&bytes[..taken]);
        taken
    }

    /// Forgets what was not given to the connection, and says how many bytes that was.
    pub fn discard_waiting(&mut self) -> usize {
        let waiting = self.bytes.len() - self.given;
        self.bytes.truncate(self.given);
        waiting
    }

    // --- the world spoke

    /// The port was opened on another connection, in this life of the gateway, which expects this write offset next. What
    /// lies below it was accepted; it is kept until it is known what became of it.
    pub fn handle_opened(&mut self, epoch: &str, write_offset: u64) -> Reopened {
        let known = self.epoch.as_deref() == Some(epoch);
        if known && self.was_given(write_offset) {
            self.given = self.length_to(write_offset);
            return Reopened::Continues;
        }
        // In another life the same offset is another byte's.
        self.epoch = Some(epoch.to_owned());
        let uncertain = self.bytes.split_to(self.given).freeze();
        self.given = 0;
        self.settled = write_offset;
        if uncertain.is_empty() {
            Reopened::Continues
        } else {
            Reopened::Uncertain(uncertain)
        }
    }

    /// The gateway refused what it was given from this write offset on, and expects that offset next. Says which bytes were
    /// refused; they are not given again.
    pub fn handle_refused(&mut self, write_offset: u64) -> Bytes {
        let accepted = self.length_to(write_offset).min(self.given);
        let mut behind = self.bytes.split_off(accepted);
        let refused = behind.split_to(self.given - accepted).freeze();
        self.bytes.unsplit(behind);
        self.given = accepted;
        refused
    }

    /// The UART has taken everything below this write offset.
    pub fn handle_written(&mut self, up_to: u64) {
        let length = self.length_to(up_to).min(self.given);
        self.bytes.advance(length);
        self.given -= length;
        self.settled += length as u64;
    }

    /// These bytes will never reach the UART; they are not given again. Whether that is news: a gateway that is connected to
    /// again repeats its losses, since it cannot know which of them were heard.
    pub fn handle_lost(&mut self, lost: Range<u64>) -> bool {
        let news = lost.end > self.settled;
        self.handle_written(lost.end);
        news
    }

    // --- what to do now

    /// The next bytes to give to the connection, at most `limit` of them, and their write offset.
    pub fn poll_data(&mut self, limit: usize) -> Option<(u64, Bytes)> {
        let waiting = &self.bytes[self.given..];
        if waiting.is_empty() {
            return None;
        }
        let piece = Bytes::copy_from_slice(&waiting[..waiting.len().min(limit)]);
        let offset = self.settled.saturating_add(self.given as u64);
        self.given += piece.len();
        Some((offset, piece))
    }

    /// Whether this write offset lies in what was given and not settled, or at its end.
    fn was_given(&self, write_offset: u64) -> bool {
        (self.settled..=self.settled.saturating_add(self.given as u64)).contains(&write_offset)
    }

    /// How many of the kept bytes lie below this write offset.
    fn length_to(&self, write_offset: u64) -> usize {
        let length = write_offset.saturating_sub(self.settled);
        usize::try_from(length)
            .unwrap_or(usize::MAX)
            .min(self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "00000000000000aa";
    const B: &str = "00000000000000bb";

    fn given(text: &str) -> Outbox {
        let mut outbox = Outbox::new(64);
        assert_eq!(outbox.handle_opened(A, 0), Reopened::Continues);
        assert_eq!(outbox.push(text.as_bytes()), text.len());
        while outbox.poll_data(4).is_some() {}
        outbox
    }

    fn all(outbox: &mut Outbox) -> Vec<(u64, String)> {
        std::iter::from_fn(|| outbox.poll_data(4))
            .map(|(offset, bytes)| (offset, String::from_utf8_lossy(&bytes).into_owned()))
            .collect()
    }

    #[test]
    fn only_what_was_not_given_can_be_forgotten() {
        let mut outbox = given("abc");
        outbox.push(b"defg");
        assert_eq!(outbox.discard_waiting(), 4);
        assert_eq!(outbox.poll_data(64), None);
        outbox.push(b"h");
        assert_eq!(outbox.poll_data(64), Some((3, Bytes::from_static(b"h"))));
    }

    #[test]
    fn bytes_are_given_in_pieces_with_their_offsets() {
        let mut outbox = Outbox::new(64);
        outbox.handle_opened(A, 100);
        outbox.push(b"abcdef");
        assert_eq!(
            all(&mut outbox),
            [(100, "abcd".to_owned()), (104, "ef".to_owned())]
        );
        outbox.push(b"g");
        assert_eq!(all(&mut outbox), [(106, "g".to_owned())]);
    }

    #[test]
    fn room_comes_back_only_with_the_uarts_word() {
        let mut outbox = Outbox::new(4);
        outbox.handle_opened(A, 0);
        assert_eq!(outbox.push(b"abcdef"), 4);
        assert_eq!(all(&mut outbox).len(), 1);
        assert_eq!(outbox.push(b"e"), 0);
        outbox.handle_written(3);
        assert_eq!((outbox.room(), outbox.is_empty()), (3, false));
        outbox.handle_lost(3..4);
        assert_eq!((outbox.room(), outbox.is_empty()), (4, true));
    }

    #[test]
    fn after_a_lost_connection_only_what_was_not_accepted_is_given_again() {
        let mut outbox = given("abcdef");
        outbox.handle_written(1);
        assert_eq!(outbox.handle_opened(A, 4), Reopened::Continues);
        assert_eq!(outbox.len(), 5, "what was accepted is not written yet");
        assert_eq!(all(&mut outbox), [(4, "ef".to_owned())]);
        outbox.handle_written(3);
        assert!(!outbox.is_empty());
        outbox.handle_written(6);
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_forgetful_gateway_makes_what_was_given_uncertain_and_nothing_else() {
        for epoch in [A, B] {
            let mut outbox = given("abc");
            outbox.handle_written(1);
            outbox.push(b"def");
            assert_eq!(
                outbox.handle_opened(epoch, 0),
                Reopened::Uncertain(Bytes::from_static(b"bc"))
            );
            assert_eq!(all(&mut outbox), [(0, "def".to_owned())]);
        }
    }

    #[test]
    fn an_offset_of_another_life_means_nothing_even_if_it_fits() {
        let mut outbox = given("abc");
        assert_eq!(
            outbox.handle_opened(B, 0),
            Reopened::Uncertain(Bytes::from_static(b"abc"))
        );
        assert_eq!(all(&mut outbox), []);
    }

    #[test]
    fn what_was_accepted_before_a_cut_is_uncertain_after_a_restart() {
        let mut outbox = given("abc");
        assert_eq!(outbox.handle_opened(A, 2), Reopened::Continues);
        assert_eq!(
            outbox.handle_opened(B, 0),
            Reopened::Uncertain(Bytes::from_static(b"ab"))
        );
        assert_eq!(all(&mut outbox), [(0, "c".to_owned())]);
    }

    #[test]
    fn a_loss_is_news_once() {
        let mut outbox = given("abcdef");
        outbox.handle_written(1);
        assert!(outbox.handle_lost(1..3));
        assert_eq!(outbox.handle_opened(A, 6), Reopened::Continues);
        assert!(!outbox.handle_lost(1..3));
        assert!(outbox.handle_lost(4..6));
        assert!(outbox.is_empty());
    }

    #[test]
    fn refused_bytes_are_named_and_their_offsets_used_again() {
        let mut outbox = given("abc");
        outbox.push(b"d");
        assert_eq!(outbox.handle_refused(1), "bc");
        assert_eq!(all(&mut outbox), [(1, "d".to_owned())]);
        assert_eq!(outbox.handle_refused(2), "", "all of it was accepted");
        outbox.handle_written(2);
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_gateway_that_acknowledges_too_much_moves_nothing_that_was_not_given() {
        let mut outbox = given("abc");
        outbox.push(b"d");
        outbox.handle_written(u64::MAX);
        assert_eq!(all(&mut outbox), [(3, "d".to_owned())]);
    }
}
