//! Lines out of a port's bytes, as `uart watch` shows them. Pure: time is an argument.

use std::time::{Duration, Instant, SystemTime};

/// A line longer than this is shown in pieces.
const LONGEST: usize = 4096;

/// A line whose end does not come is shown after this long without another byte: a prompt, say.
const PATIENCE: Duration = Duration::from_secs(1);

/// A line, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// The offset of its first byte.
    pub(crate) offset: u64,
    /// When its first byte arrived here.
    pub(crate) time: SystemTime,
    /// Its bytes, without the line feed and the carriage returns before it.
    pub(crate) bytes: Vec<u8>,
    /// Whether its end has come.
    pub(crate) complete: bool,
    /// Whether it goes on with a line whose beginning was shown before.
    pub(crate) continues: bool,
}

/// Collects the bytes of one port.
#[derive(Debug)]
pub(crate) struct LineAssembler {
    bytes: Vec<u8>,
    offset: u64,
    time: SystemTime,
    heard: Option<Instant>,
    continues: bool,
}

impl LineAssembler {
    pub(crate) fn new() -> LineAssembler {
        LineAssembler {
            bytes: Vec::new(),
            offset: 0,
            time: SystemTime::UNIX_EPOCH,
            heard: None,
            continues: false,
        }
    }

    /// Bytes arrived; the lines that end in them are appended to `lines`.
    pub(crate) fn handle_data(
        &mut self,
        now: Instant,
        time: SystemTime,
        offset: u64,
        bytes: &[u8],
        lines: &mut Vec<Line>,
    ) {
        for (index, &byte) in bytes.iter().enumerate() {
            if self.heard.is_none() {
                self.offset = offset.saturating_add(index as u64);
                self.time = time;
            }
            self.heard = Some(now);
            if byte == b'\n' {
                while self.bytes.last() == Some(&b'\r') {
                    self.bytes.pop();
                }
                lines.extend(self.end(true));
                continue;
            }
            self.bytes.push(byte);
            if self.bytes.len() == LONGEST {
                lines.extend(self.end(false));
            }
        }
    }

    /// Time passed: call it when [`LineAssembler::poll_timeout`] is reached.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Option<Line> {
        if self.poll_timeout().is_some_and(|timeout| now >= timeout) {
            self.flush()
        } else {
            None
        }
    }

    /// What has arrived of a line, because something else comes between it and the rest.
    pub(crate) fn flush(&mut self) -> Option<Line> {
        self.end(false)
    }

    /// When [`LineAssembler::handle_timeout`] should be called next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.heard.map(|heard| heard + PATIENCE)
    }

    fn end(&mut self, complete: bool) -> Option<Line> {
        self.heard.take()?;
        let continues = std::mem::replace(&mut self.continues, !complete);
        Some(Line {
            offset: self.offset,
            time: self.time,
            bytes: std::mem::take(&mut self.bytes),
            complete,
            continues,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: &[Line]) -> Vec<(u64, String, bool, bool)> {
        let text = |line: &Line| String::from_utf8_lossy(&line.bytes).into_owned();
        lines
            .iter()
            .map(|line| (line.offset, text(line), line.complete, line.continues))
            .collect()
    }

    #[test]
    fn lines_have_the_offset_and_the_time_of_their_first_byte() {
        let start = Instant::now();
        let second = |n| SystemTime::UNIX_EPOCH + Duration::from_secs(n);
        let mut assembler = LineAssembler::new();
        let mut lines = Vec::new();
        assembler.handle_data(start, second(1), 100, b"one\r\ntw", &mut lines);
        assembler.handle_data(start, second(2), 107, b"o\n\nthree\r\r\n", &mut lines);
        assert_eq!(
            texts(&lines),
            [
                (100, "one".to_owned(), true, false),
                (105, "two".to_owned(), true, false),
                (109, String::new(), true, false),
                (110, "three".to_owned(), true, false),
            ]
        );
        assert_eq!((lines[1].time, lines[2].time), (second(1), second(2)));
        assert_eq!(assembler.poll_timeout(), None);
    }

    #[test]
    fn every_split_gives_the_same_lines() {
        let input = b"one\r\n\r\ntwo\rx\nthree";
        let collect = |split: usize| {
            let mut assembler = LineAssembler::new();
            let mut lines = Vec::new();
            let (now, time) = (Instant::now(), SystemTime::UNIX_EPOCH);
            assembler.handle_data(now, time, 0, &input[..split], &mut lines);
            assembler.handle_data(now, time, split as u64, &input[split..], &mut lines);
            lines.extend(assembler.flush());
            texts(&lines)
        };
        let whole = collect(0);
        assert_eq!(whole.len(), 4);
        for split in 1..=input.len() {
            assert_eq!(collect(split), whole, "split at {split}");
        }
    }

    #[test]
    fn a_prompt_is_shown_after_a_while_and_its_rest_continues_it() {
        let start = Instant::now();
        let mut assembler = LineAssembler::new();
        let mut lines = Vec::new();
        assembler.handle_data(start, SystemTime::UNIX_EPOCH, 0, b"> ", &mut lines);
        assert_eq!(
            assembler.handle_timeout(start + PATIENCE - Duration::from_millis(1)),
            None
        );
        lines.extend(assembler.handle_timeout(assembler.poll_timeout().unwrap()));
        assert_eq!(assembler.handle_timeout(start + 2 * PATIENCE), None);
        assembler.handle_data(start, SystemTime::UNIX_EPOCH, 2, b"LED\nok\n", &mut lines);
        assert_eq!(
            texts(&lines),
            [
                (0, "> ".to_owned(), false, false),
                (2, "LED".to_owned(), true, true),
                (6, "ok".to_owned(), true, false),
            ]
        );
    }

    #[test]
    fn an_endless_line_comes_in_pieces_and_loses_nothing() {
        let mut assembler = LineAssembler::new();
        let mut lines = Vec::new();
        let input = vec![b'x'; 3 * LONGEST + 5];
        assembler.handle_data(
            Instant::now(),
            SystemTime::UNIX_EPOCH,
            0,
            &input,
            &mut lines,
        );
        lines.extend(assembler.flush());
        let lengths: Vec<usize> = lines.iter().map(|line| line.bytes.len()).collect();
        assert_eq!(lengths, [LONGEST, LONGEST, LONGEST, 5]);
        assert_eq!(lines[3].offset, 3 * LONGEST as u64);
    }
}
