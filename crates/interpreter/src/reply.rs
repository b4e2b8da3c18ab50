//! Where a reply begins and ends in what a board sends. It knows the bytes and a clock that is an argument; not whose
//! turn it is and not what happens after a failure.
//!
//! - **End of line**: any number of CRs followed by one LF, or CRs alone. A CR is therefore undecided until the next byte;
//!   when none comes for [`SETTLE`], it was the end of the line.
//! - **Echo**: the command's text at the very beginning (line ends before it do not matter) and the end of line after it.
//!   It is only an echo with both; a reply that merely begins like the command is left alone. An empty command has none.
//!   A board without echo that answers a command with the command's own text needs `strip_echo` off: whether that text
//!   is an echo whose reply does not come, or the reply, nobody can tell.
//! - **Late echo**: something that was not asked for may come in front of the echo. Where the board is known to echo
//!   ([`Echoes`]), the echo is looked for in every line, and the reply begins behind it.
//! - **Lines**: `n` ended lines after the echo. Empty lines before the first other one are skipped, later ones count.
//! - **Prompt**: the literal at the beginning of a line (or of the reply) and at the very end of what has arrived. A reply
//!   that contains such a prompt ends there if the board pauses behind it just then; there is no delay to find out.
//! - **Quiet**: nothing for so long after the first byte. An echo is not a first byte: a slow command whose echo is prompt
//!   would end before it began.

use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};

use crate::ReplyEnd;

/// How long an undecided CR, or an undecided echo that ends with the prompt, is left undecided.
pub const SETTLE: Duration = Duration::from_millis(50);

/// How many CRs and LFs may stand before an echo.
const LEADING: usize = 4;

/// What is known of a board's echo before a command is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echoes {
    /// Nothing. An echo is one at the very beginning only.
    Unknown,
    /// It echoed the last command. By *prompt* and *quiet*, what stands in front of a whole line that is the command is
    /// not a part of the reply. *Line* does not wait for it: the lines in front of it may be the reply.
    Usual,
    /// It echoes, and still owes the reply to an older command: nothing in front of the echo is a reply, and there is
    /// none without an echo.
    Required,
}

/// The reply to one command, as far as it has arrived.
#[derive(Debug)]
pub struct Reply {
    end: ReplyEnd,
    echoes: Echoes,
    echo: Echo,
    /// Whether the echo was seen; `None` if none is looked for.
    echoed: Option<bool>,
    /// What is held because it may be an echo.
    held: Vec<u8>,
    /// Up to where an echo that did not come first was looked for in the body.
    seeking: usize,
    /// What follows the echo; empty once nobody wants it any more.
    body: BytesMut,
    wanted: bool,
    /// How many bytes followed the echo.
    body_len: usize,
    lines: Lines,
    /// How many bytes have arrived.
    seen: u64,
    last_byte: Option<Instant>,
}

#[derive(Debug)]
enum Echo {
    /// So many bytes of the command's text were seen.
    Text(Bytes, usize),
    /// It did not come first, and is looked for in what has arrived.
    Sought(Bytes),
    /// The text and at least one CR were seen.
    Cr,
    /// It was seen, or it is known that there is none.
    Over,
}

/// The lines of the body. Positions count from the end of the echo.
#[derive(Debug, Default)]
struct Lines {
    /// How much of the body was read.
    read: usize,
    /// Where the first line that is not empty begins.
    first: Option<usize>,
    /// Where the content of the line that is being read ends, once its CR was seen.
    cr: Option<usize>,
    ended: usize,
}

/// A whole reply.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// The reply without echo, prompt and the last end of line.
    pub reply: Bytes,
    /// How many of the bytes that arrived belong to it, echo and prompt included.
    pub consumed: u64,
}

impl Reply {
    /// `echoes`: `None` if an echo is not to be stripped.
    pub fn new(end: ReplyEnd, command: &Bytes, echoes: Option<Echoes>) -> Reply {
        let (echo, echoed, echoes) = match echoes.filter(|_| !command.is_empty()) {
            Some(echoes) => (Echo::Text(command.clone(), 0), Some(false), echoes),
            None => (Echo::Over, None, Echoes::Unknown),
        };
        Reply {
            end,
            echoes,
            echo,
            echoed,
            held: Vec::new(),
            seeking: 0,
            body: BytesMut::new(),
            wanted: true,
            body_len: 0,
            lines: Lines::default(),
            seen: 0,
            last_byte: None,
        }
    }

    /// Bytes arrived (not empty). The reply, if this completes it.
    pub fn handle_data(&mut self, now: Instant, bytes: &[u8]) -> Option<Found> {
        self.last_byte = Some(now);
        self.seen += bytes.len() as u64;
        self.take(bytes);
        if let Some(rest) = self.seek_echo() {
            self.take(&rest);
        }
        let found = match &self.end {
            _ if self.is_waiting_for_echo() => None,
            ReplyEnd::None | ReplyEnd::Quiet(_) => None,
            ReplyEnd::Prompt(_) => self.find_prompt(),
            ReplyEnd::Line { count } => self.find_lines(*count),
        };
        self.drop_unwanted();
        found
    }

    /// Time passed. The reply, if this completes it.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Found> {
        if self.poll_timeout().is_none_or(|at| now < at) {
            return None;
        }
        match &self.end {
            ReplyEnd::None => None,
            ReplyEnd::Line { count } => {
                let count = (*count).max(1);
                let end = self.lines.settle()?;
                (self.lines.ended == count).then(|| self.found(end, self.seen))
            }
            ReplyEnd::Prompt(_) => {
                self.give_up_echo();
                if self.is_waiting_for_echo() {
                    return None;
                }
                self.find_prompt()
            }
            ReplyEnd::Quiet(_) => {
                self.give_up_echo();
                if self.is_waiting_for_echo() {
                    return None;
                }
                let end = without_end_of_line(&self.body);
                Some(self.found(end, self.seen))
            }
        }
    }

    /// When time alone would change something.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let last = self.last_byte?;
        match &self.end {
            _ if self.is_waiting_for_echo() => None,
            ReplyEnd::None => None,
            ReplyEnd::Line { .. } => self.lines.cr.and_then(|_| last.checked_add(SETTLE)),
            ReplyEnd::Prompt(prompt) => {
                prompt_at_end(&self.held, prompt).and_then(|_| last.checked_add(SETTLE))
            }
            ReplyEnd::Quiet(quiet) => {
                let begun = self.body_len > 0 || !self.held.is_empty();
                begun.then(|| last.checked_add(*quiet)).flatten()
            }
        }
    }

    /// Whether the reply can no longer fit into `limit` bytes.
    pub fn is_beyond(&self, limit: usize) -> bool {
        let not_reply = match &self.end {
            ReplyEnd::Prompt(prompt) => prompt.len() + 2,
            _ => 2,
        };
        self.body.len().saturating_sub(not_reply) > limit
    }

    /// When the last byte arrived.
    pub fn last_byte(&self) -> Option<Instant> {
        self.last_byte
    }

    /// Whether the echo was seen; `None` if none is looked for.
    pub fn echoed(&self) -> Option<bool> {
        self.echoed
    }

    /// Says what has arrived so far, without an echo, and goes on looking for the end without keeping anything.
    pub fn discard(&mut self) -> Bytes {
        let partial = [&self.body[..], &self.held].concat().into();
        self.wanted = false;
        self.drop_unwanted();
        partial
    }

    /// Whether nothing of what has arrived can be the reply, because the echo has not come.
    fn is_waiting_for_echo(&self) -> bool {
        self.echoes == Echoes::Required && matches!(self.echo, Echo::Sought(_))
    }

    /// Looks for the echo in what has arrived, if it did not come first. If it is there, everything up to its text is
    /// dropped; what follows the text is to be taken now.
    fn seek_echo(&mut self) -> Option<BytesMut> {
        let Echo::Sought(text) = &self.echo else {
            return None;
        };
        let found = (self.seeking..self.body.len()).find(|&at| {
            let rest = &self.body[at..];
            rest.starts_with(text)
                && matches!(rest.get(text.len()), Some(b'\r' | b'\n'))
                && self.begins_line(at)
        });
        let Some(at) = found else {
            self.seeking = self.body.len().saturating_sub(text.len());
            return None;
        };
        let (text, len) = (text.clone(), text.len());
        let rest = self.body.split_off(at + len);
        self.body.clear();
        self.body_len = 0;
        self.echo = Echo::Text(text, len);
        Some(rest)
    }

    /// Whether an echo can begin here: at the beginning of a line, or behind a prompt. Where the prompt is not known,
    /// anything but a letter or digit will do, if the echo must come.
    fn begins_line(&self, at: usize) -> bool {
        let before = &self.body[..at];
        match (before.last(), &self.end) {
            // What is no longer kept may have been the beginning of this line.
            (None, _) => self.body_len == self.body.len(),
            (Some(b'\r' | b'\n'), _) => true,
            (Some(_), ReplyEnd::Prompt(prompt)) => prompt_at_end(before, prompt).is_some(),
            (Some(last), _) => self.echoes == Echoes::Required && !last.is_ascii_alphanumeric(),
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            if !self.echo_takes(byte) {
                break;
            }
            rest = after;
        }
        self.append(rest);
    }

    /// Whether this byte is a part of the echo. If not, the echo is over.
    fn echo_takes(&mut self, byte: u8) -> bool {
        let line_end = matches!(byte, b'\r' | b'\n');
        match &mut self.echo {
            Echo::Over | Echo::Sought(_) => false,
            Echo::Text(_, 0) if line_end && self.held.len() < LEADING => {
                self.held.push(byte);
                true
            }
            Echo::Text(text, matched) if text.get(*matched) == Some(&byte) => {
                *matched += 1;
                self.held.push(byte);
                true
            }
            Echo::Text(text, matched) if *matched == text.len() && line_end => {
                self.held = Vec::new();
                self.echoed = Some(true);
                self.echo = if byte == b'\n' { Echo::Over } else { Echo::Cr };
                true
            }
            Echo::Text(..) => {
                self.give_up_echo();
                false
            }
            Echo::Cr if byte == b'\r' => true,
            Echo::Cr => {
                self.echo = Echo::Over;
                byte == b'\n'
            }
        }
    }

    /// What was held was not an echo.
    fn give_up_echo(&mut self) {
        let may_follow = match self.echoes {
            Echoes::Unknown => false,
            Echoes::Usual => !matches!(self.end, ReplyEnd::Line { .. }),
            Echoes::Required => true,
        };
        self.echo = match std::mem::replace(&mut self.echo, Echo::Over) {
            Echo::Text(text, _) | Echo::Sought(text) if may_follow => Echo::Sought(text),
            _ => Echo::Over,
        };
        let held = std::mem::take(&mut self.held);
        self.append(&held);
    }

    fn append(&mut self, bytes: &[u8]) {
        self.body_len += bytes.len();
        self.body.extend_from_slice(bytes);
    }

    fn drop_unwanted(&mut self) {
        if self.wanted {
            return;
        }
        let keep = match (&self.echo, &self.end) {
            // An echo that has arrived in part, and what is in front of it.
            (Echo::Sought(text), ReplyEnd::Prompt(prompt)) => text.len() + prompt.len() + 2,
            (Echo::Sought(text), _) => text.len() + 2,
            _ => 0,
        };
        self.body.advance(self.body.len().saturating_sub(keep));
        self.seeking = 0;
    }

    fn find_prompt(&mut self) -> Option<Found> {
        let (ReplyEnd::Prompt(prompt), Echo::Over | Echo::Sought(_)) = (&self.end, &self.echo)
        else {
            return None;
        };
        let at = prompt_at_end(&self.body, prompt)?;
        let end = without_end_of_line(&self.body[..at]);
        Some(self.found(end, self.seen))
    }

    fn find_lines(&mut self, count: usize) -> Option<Found> {
        let unread = self.body_len - self.lines.read;
        let unread = &self.body[self.body.len().saturating_sub(unread)..];
        let (content_end, line_end) = self.lines.scan(unread, count.max(1))?;
        let beyond = (self.body_len - line_end) as u64;
        Some(self.found(content_end, self.seen - beyond))
    }

    /// The reply, from the first line that is not empty (if lines are what counts) to `end`.
    fn found(&mut self, end: usize, consumed: u64) -> Found {
        let body = std::mem::take(&mut self.body).freeze();
        let first = self.lines.first.unwrap_or(0);
        let reply = if self.wanted {
            body.slice(first.min(end)..end)
        } else {
            Bytes::new()
        };
        Found { reply, consumed }
    }
}

impl Lines {
    /// Reads on. Where the content of the line number `count` and its end of line end, if `bytes` end it.
    fn scan(&mut self, bytes: &[u8], count: usize) -> Option<(usize, usize)> {
        for &byte in bytes {
            let at = self.read;
            self.read += 1;
            if let Some(content_end) = self.cr {
                if byte == b'\r' {
                    continue;
                }
                self.cr = None;
                self.ended += 1;
                let line_feed = usize::from(byte == b'\n');
                if self.ended == count {
                    return Some((content_end, at + line_feed));
                }
                if line_feed == 1 {
                    continue;
                }
            }
            match (byte, self.first) {
                (b'\r' | b'\n', None) => {}
                (b'\r', Some(_)) => self.cr = Some(at),
                (b'\n', Some(_)) => {
                    self.ended += 1;
                    if self.ended == count {
                        return Some((at, at + 1));
                    }
                }
                (_, None) => self.first = Some(at),
                (_, Some(_)) => {}
            }
        }
        None
    }

    /// Nothing came after a CR: it was the end of a line. Where the line's content ended.
    fn settle(&mut self) -> Option<usize> {
        let content_end = self.cr.take()?;
        self.ended += 1;
        Some(content_end)
    }
}

/// Where the prompt begins, if `bytes` end with it at the beginning of a line.
pub fn prompt_at_end(bytes: &[u8], prompt: &[u8]) -> Option<usize> {
    if prompt.is_empty() || !bytes.ends_with(prompt) {
        return None;
    }
    let at = bytes.len() - prompt.len();
    let is_end_of_line = |byte: Option<&u8>| matches!(byte, Some(b'\r' | b'\n'));
    let begins_line =
        at == 0 || is_end_of_line(bytes.get(at - 1)) || is_end_of_line(prompt.first());
    begins_line.then_some(at)
}

/// The length of `bytes` without the end of line they end with, if they do.
fn without_end_of_line(bytes: &[u8]) -> usize {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.len()
        - bytes
            .iter()
            .rev()
            .take_while(|&&byte| byte == b'\r')
            .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn line(count: usize) -> ReplyEnd {
        ReplyEnd::Line { count }
    }

    fn prompt(text: &'static str) -> ReplyEnd {
        ReplyEnd::Prompt(Bytes::from_static(text.as_bytes()))
    }

    /// Feeds the parts a millisecond apart, then lets time pass.
    fn play(end: &ReplyEnd, command: &'static str, parts: &[&[u8]]) -> Option<Found> {
        let mut now = Instant::now();
        let mut reply = Reply::new(
            end.clone(),
            &Bytes::from_static(command.as_bytes()),
            Some(Echoes::Unknown),
        );
        for part in parts.iter().filter(|part| !part.is_empty()) {
            if let Some(found) = reply.handle_data(now, part) {
                return Some(found);
            }
            now += MS;
            assert_eq!(reply.handle_timeout(now), None, "too soon");
        }
        let at = reply.poll_timeout()?;
        assert_eq!(reply.handle_timeout(at - MS / 2), None, "before it is time");
        let found = reply.handle_timeout(at);
        assert!(
            found.is_some() || reply.poll_timeout().is_none_or(|next| next > at),
            "no progress"
        );
        found
    }

    #[test]
    fn replies_are_found_however_they_are_split() {
        let quiet = ReplyEnd::Quiet(30 * MS);
        for (end, command, arrives, reply, extra) in [
            (line(1), "ID?", "ID?\r\nboard 7\r\n", "board 7", ""),
            (line(1), "ID?", "ID?\rboard 7\r\n", "board 7", ""),
            (line(1), "ID?", "ID?\nboard 7\n", "board 7", ""),
            (line(1), "ID?", "ID?\r\r\nboard 7\r\r\n", "board 7", ""),
            (line(1), "ID?", "\r\nID?\r\nboard 7\r\n", "board 7", ""),
            (line(1), "ID?", "board 7\r\n", "board 7", ""),
            (line(1), "ID?", "\r\n\n\rboard 7\r\n", "board 7", ""),
            (line(1), "ID?", "ID?=7\r\n", "ID?=7", ""),
            (line(1), "ID?", "ID\r\n", "ID", ""),
            (line(1), "ID?", "ID?\r\nboard 7\r", "board 7", ""),
            (line(1), "", "board 7\r\n", "board 7", ""),
            (line(1), "ID?", "board 7\r\nnoise", "board 7", "noise"),
            (line(1), "ID?", "ID?\r\n  \r\n", "  ", ""),
            (line(2), "ID?", "ID?\r\na\r\n\r\n", "a\r\n", ""),
            (line(2), "ID?", "ID?\ra\rb\rc", "a\rb", "c"),
            (line(3), "ID?", "\na\nb\r\nc\nd\n", "a\nb\r\nc", "d\n"),
            (line(0), "ID?", "a\n", "a", ""),
            (
                prompt("=> "),
                "ver",
                "ver\r\nU-Boot\r\nGCC\r\n=> ",
                "U-Boot\r\nGCC",
                "",
            ),
            (prompt("=> "), "ver", "U-Boot\r\n\r\n=> ", "U-Boot\r\n", ""),
            (prompt("=> "), "ver", "=> ", "", ""),
            (prompt("=> "), "ver", "ver\r\n=> ", "", ""),
            (prompt("=> "), "ver", "ver\r=> ", "", ""),
            (
                prompt("=> "),
                "ver",
                "a => b\r\nc => d\n=> ",
                "a => b\r\nc => d",
                "",
            ),
            (prompt("=> "), "ver", "=>\r\n=> ", "=>", ""),
            (prompt("\n> "), "ver", "ver\r\nyes\r\n> ", "yes", ""),
            (prompt("> "), "> x", "> ", "", ""),
            (prompt("=> "), "", "\r\n=> ", "", ""),
            (
                quiet.clone(),
                "ID?",
                "ID?\r\nboard\r\n7\r\n",
                "board\r\n7",
                "",
            ),
            (quiet.clone(), "ID?", "board", "board", ""),
            (quiet.clone(), "ID?", "ID", "ID", ""),
        ] {
            let bytes = arrives.as_bytes();
            let expected = Some((reply.as_bytes(), (arrives.len() - extra.len()) as u64));
            for i in 0..=bytes.len() {
                for j in i..=bytes.len() {
                    let found = play(&end, command, &[&bytes[..i], &bytes[i..j], &bytes[j..]]);
                    let found = found
                        .as_ref()
                        .map(|found| (&found.reply[..], found.consumed));
                    assert_eq!(
                        found, expected,
                        "{end:?} {command:?} {arrives:?} split at {i} and {j}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_no_end_is_none() {
        for (end, command, arrives) in [
            (line(1), "ID?", ""),
            (line(1), "ID?", "board 7"),
            (line(1), "ID?", "\r\n\r\n\r\n"),
            (line(1), "ID?", "ID?\r\n"),
            (line(2), "ID?", "a\n"),
            (prompt("=> "), "ver", "a => "),
            (prompt("=> "), "ver", "\r\n=> b"),
            (prompt("=> "), "ver", "\r\n=>"),
            (ReplyEnd::Quiet(30 * MS), "ID?", "ID?\r\n"),
            (ReplyEnd::Quiet(30 * MS), "ID?", ""),
        ] {
            assert_eq!(
                play(&end, command, &[arrives.as_bytes()]),
                None,
                "{end:?} {arrives:?}"
            );
        }
    }

    #[test]
    fn without_stripping_the_echo_is_a_line_like_any_other() {
        let mut reply = Reply::new(line(1), &Bytes::from_static(b"ID?"), None);
        let found = reply
            .handle_data(Instant::now(), b"ID?\r\nboard 7\r\n")
            .unwrap();
        assert_eq!((&found.reply[..], found.consumed), (&b"ID?"[..], 5));
    }

    #[test]
    fn an_unwanted_reply_still_ends_and_keeps_nothing() {
        let now = Instant::now();
        let mut reply = Reply::new(line(2), &Bytes::from_static(b"ID?"), Some(Echoes::Unknown));
        assert_eq!(reply.handle_data(now, b"ID?\r\nboa"), None);
        assert_eq!(reply.discard(), "boa");
        assert_eq!(reply.handle_data(now, b"rd 7"), None);
        assert_eq!(reply.body.len(), 0);
        assert_eq!(reply.handle_data(now, b"\r\nsecond"), None);
        assert_eq!(reply.handle_data(now, b"\r\n").unwrap().consumed, 22);
    }
}
