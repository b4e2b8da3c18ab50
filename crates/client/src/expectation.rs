//! Looking for something in a port's stream, across the pieces in which it comes. Pure: time is an argument. Where the
//! pieces come from, and how long anybody waits, is decided in `commands/expect`.

use std::ops::Range;
use std::time::{Duration, Instant};

use uartnet_interpreter::Pattern;

/// How many of the newest bytes are looked at; what is longer is not found.
const WINDOW: usize = 64 << 10;

/// What is found at the end of what has come may only be the beginning of it: the rest of its line is given this long.
const SETTLE: Duration = Duration::from_millis(50);

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Match {
    /// Which of the patterns it is, from 0.
    pub(crate) which: usize,
    /// Its offsets in the stream.
    pub(crate) offsets: Range<u64>,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
    /// The line it is in, or the lines, as far as they have come; without the end of the last.
    pub(crate) lines: Vec<u8>,
}

/// Looks for patterns in a stream.
#[derive(Debug)]
pub(crate) struct Expectation {
    patterns: Vec<Pattern>,
    window: Vec<u8>,
    /// The offset of the window's first byte.
    offset: u64,
    /// How many bytes at the window's beginning are only there to tell whether a line begins behind them.
    context: usize,
    /// Something is found, and may become longer until then.
    settled: Option<Instant>,
}

impl Expectation {
    /// Looks for any of these.
    pub(crate) fn new(patterns: Vec<Pattern>) -> Expectation {
        Expectation {
            patterns,
            window: Vec::new(),
            offset: 0,
            context: 0,
            settled: None,
        }
    }

    /// The pattern with this number.
    pub(crate) fn pattern(&self, which: usize) -> &Pattern {
        &self.patterns[which]
    }

    /// The newest bytes that have come since the last gap, at most so many.
    pub(crate) fn newest(&self, count: usize) -> &[u8] {
        &self.window[self.window.len().saturating_sub(count)..]
    }

    /// Bytes arrived. They follow those before, or a gap was told.
    pub(crate) fn handle_data(&mut self, now: Instant, offset: u64, bytes: &[u8]) -> Option<Match> {
        if self.window.is_empty() {
            self.offset = offset;
        }
        for piece in bytes.chunks(WINDOW / 2) {
            self.window.extend_from_slice(piece);
            if let Some(found) = self.look(now) {
                return Some(found);
            }
            let surplus = self.window.len().saturating_sub(WINDOW);
            if surplus > 0 {
                self.window.drain(..surplus);
                self.offset += surplus as u64;
                self.context = 1;
            }
        }
        None
    }

    /// Bytes are missing here: nothing is found across them.
    pub(crate) fn handle_gap(&mut self) {
        self.window.clear();
        self.context = 0;
        self.settled = None;
    }

    /// Time passed: call it when [`Expectation::poll_timeout`] is reached.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Option<Match> {
        let settled = self.settled?;
        if now < settled { None } else { self.find() }
    }

    /// When [`Expectation::handle_timeout`] should be called.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.settled
    }

    fn look(&mut self, now: Instant) -> Option<Match> {
        let Some(found) = self.find() else {
            self.settled = None;
            return None;
        };
        let settled = *self.settled.get_or_insert(now + SETTLE);
        let end = (found.offsets.end - self.offset) as usize;
        let line_is_complete =
            found.bytes.ends_with(b"\n") || self.window[end..].contains(&b'\n') || now >= settled;
        line_is_complete.then_some(found)
    }

    /// What begins first; of those, the pattern that was named first.
    fn find(&self) -> Option<Match> {
        let (which, range) = self
            .patterns
            .iter()
            .enumerate()
            .filter_map(|(which, pattern)| {
                let range = pattern.find_from(&self.window, self.context)?;
                Some((which, range))
            })
            .min_by_key(|(which, range)| (range.start, *which))?;
        let begin = self.window[..range.start]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        // A match that ends with its line does not take the next one along.
        let inside = range.end.saturating_sub(1).max(range.start);
        let rest = self.window[inside..].iter();
        let end = rest.clone().position(|byte| *byte == b'\n');
        let mut lines = &self.window[begin..end.map_or(self.window.len(), |at| inside + at)];
        while let Some(rest) = lines.strip_suffix(b"\r") {
            lines = rest;
        }
        Some(Match {
            which,
            offsets: self.offset + range.start as u64..self.offset + range.end as u64,
            bytes: self.window[range].to_vec(),
            lines: lines.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expectation(patterns: &[&str]) -> Expectation {
        let patterns = patterns.iter().map(|text| text.parse().unwrap());
        Expectation::new(patterns.collect())
    }

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn every_split_finds_the_same() {
        let stream = b"boot 1\r\nversion 12.5 ready\r\n> ";
        let now = Instant::now();
        for split in 0..=stream.len() {
            let mut expectation = expectation(&[r"version (\d+)\.\d+"]);
            let (head, tail) = stream.split_at(split);
            let found = expectation
                .handle_data(now, 100, head)
                .or_else(|| expectation.handle_data(now, 100 + split as u64, tail));
            let found = found.unwrap_or_else(|| panic!("split at {split}"));
            assert_eq!(found.offsets, 108..120, "split at {split}");
            assert_eq!(text(&found.bytes), "version 12.5");
            assert_eq!(text(&found.lines), "version 12.5 ready");
        }
    }

    #[test]
    fn a_prompt_is_found_when_its_line_does_not_go_on() {
        let now = Instant::now();
        let mut expectation = expectation(&["login: $"]);
        assert_eq!(expectation.handle_data(now, 0, b"\nlogin: "), None);
        assert_eq!(expectation.handle_timeout(now), None);
        let due = expectation.poll_timeout().unwrap();
        let found = expectation.handle_timeout(due).unwrap();
        assert_eq!((text(&found.lines), found.offsets), ("login: ", 1..8));
    }

    #[test]
    fn the_end_of_what_has_come_is_not_the_end_of_a_line() {
        let now = Instant::now();
        let mut expectation = expectation(&["^OK$"]);
        assert_eq!(expectation.handle_data(now, 0, b"OK"), None);
        assert_eq!(expectation.handle_data(now, 2, b"AY\r\n"), None);
        assert_eq!(expectation.poll_timeout(), None);
        assert!(expectation.handle_data(now, 6, b"OK\r\n").is_some());
    }

    #[test]
    fn nothing_is_found_across_a_gap() {
        let now = Instant::now();
        let mut expectation = expectation(&["ab"]);
        assert_eq!(expectation.handle_data(now, 0, b"a"), None);
        expectation.handle_gap();
        assert_eq!(expectation.handle_data(now, 10, b"b\n"), None);
        let found = expectation.handle_data(now, 12, b"ab\n").unwrap();
        assert_eq!(found.offsets, 12..14);
    }

    #[test]
    fn of_several_the_first_in_the_stream_is_found() {
        let now = Instant::now();
        let mut both = expectation(&["FAIL", "PASS"]);
        let found = both.handle_data(now, 0, b"PASS\nFAIL\n").unwrap();
        assert_eq!((found.which, text(&found.lines)), (1, "PASS"));
        let mut same = expectation(&["P", "PASS"]);
        assert_eq!(same.handle_data(now, 0, b"PASS\n").unwrap().which, 0);
    }

    #[test]
    fn memory_is_bounded_and_what_fits_is_found() {
        let now = Instant::now();
        let mut expectation = expectation(&["^x", "needle"]);
        assert_eq!(expectation.handle_data(now, 0, b"y"), None);
        let noise = vec![b'x'; 30_001];
        let mut offset = 1;
        for _ in 0..20 {
            // No line begins, wherever the window is cut.
            assert_eq!(expectation.handle_data(now, offset, &noise), None);
            offset += noise.len() as u64;
        }
        assert!(expectation.window.len() <= WINDOW);
        assert!(expectation.window.capacity() <= 4 * WINDOW);
        assert_eq!(expectation.newest(3), b"xxx");
        let found = expectation.handle_data(now, offset, b"needle\n").unwrap();
        assert_eq!((found.which, found.offsets), (1, offset..offset + 6));
        assert_eq!(found.lines.len(), WINDOW + 6);
    }
}
