//! Replies that are text: an echo in front, then lines up to a prompt, a number of them, a mark or a silence. It knows the
//! bytes and a clock that is an argument; not whose turn it is and not what happens after a failure.
//!
//! - **End of line**: any number of CRs followed by one LF, or CRs alone. A CR is therefore undecided until the next byte;
//!   when none comes for [`SETTLE`], it was the end of the line.
//! - **Echo**: the command's text at the very beginning (line ends before it do not matter) and the end of line after it.
//!   It is only an echo with both; a reply that merely begins like the command is left alone. An empty command has none.
//!   A board without echo that answers a command with the command's own text needs `strip_echo` off: whether that text
//!   is an echo whose reply does not come, or the reply, nobody can tell.
//! - **Wrapped echo**: a board that counts columns breaks a long command with a CR, an LF or both, and maybe a space in
//!   front or behind. From [`ROW`] characters on that is still an echo; shorter ones are not broken by any terminal.
//! - **Late and torn echo**: something that was not asked for may come in front of the echo, or in the middle of it, as a
//!   line of its own. Where the board is known to echo ([`Echoes`]), the echo (or its other part) is looked for in every
//!   line, and the reply begins behind it.
//!   [`SETTLE`] passes before what came in front of it is the reply, where it has an end.
//! - **Lines**: `n` ended lines after the echo. Empty lines before the first other one are skipped, later ones count.
//! - **Prompt**: the literal at the beginning of a line (or of the reply), or a last line that all matches a pattern, at the
//!   very end of what has arrived. A reply that contains such a prompt ends there if the board pauses behind it just then;
//!   there is no delay to find out. A pattern is tried once for each time bytes arrive, on the last line only.
//! - **Until**: a text wherever it stands, or a line that a pattern matches. It belongs to the reply.
//! - **Quiet**: nothing for so long after the first byte. An echo is not a first byte: a slow command whose echo is prompt
//!   would end before it began.

use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};

use crate::lines::Lines as LineReader;
use crate::reply::{Found, Matcher, SETTLE, settled, without_end_of_line};
use crate::{Echoes, ReplyEnd, Until};

/// How many CRs and LFs may stand before an echo.
const LEADING: usize = 4;

/// A terminal has at least so many columns behind the prompt.
const ROW: usize = 8;

/// The longest line that can be a prompt by a pattern, in bytes.
pub(crate) const LONGEST_PROMPT: usize = 512;

/// The reply to one command, as far as it has arrived.
#[derive(Debug)]
pub(crate) struct Text {
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
    /// Lines that are the reply if no echo comes behind them: where their content and their last end of line end, and since
    /// when.
    candidate: Option<(usize, usize, Instant)>,
    /// Up to where the end was looked for (`Until`).
    searched: usize,
    reader: LineReader,
    /// How many bytes have arrived.
    seen: u64,
    last_byte: Option<Instant>,
}

#[derive(Debug)]
enum Echo {
    /// So many bytes of the command's text were seen.
    Text(Bytes, usize, Row),
    /// It did not come first, and is looked for in what has arrived.
    Sought(Bytes),
    /// The text and at least one CR were seen.
    Cr,
    /// It was seen, or it is known that there is none.
    Over,
}

/// Where in a row of the terminal the echo is.
#[derive(Debug, Default)]
struct Row {
    /// How many bytes of the text stand in it.
    len: usize,
    /// A space was seen that is not in the text; it belongs to the wrap that must follow.
    blank: bool,
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

impl Text {
    /// `echoes`: `None` if an echo is not to be stripped.
    pub(crate) fn new(end: ReplyEnd, command: &Bytes, echoes: Option<Echoes>) -> Text {
        let (echo, echoed, echoes) = match echoes.filter(|_| !command.is_empty()) {
            Some(echoes) => (
                Echo::Text(command.clone(), 0, Row::default()),
                Some(false),
                echoes,
            ),
            None => (Echo::Over, None, Echoes::Unknown),
        };
        Text {
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
            candidate: None,
            searched: 0,
            reader: LineReader::default(),
            seen: 0,
            last_byte: None,
        }
    }

    /// When it was silent for long enough, if silence ends the reply.
    fn silence_end(&self) -> Option<Instant> {
        let quiet = match &self.end {
            ReplyEnd::Quiet(quiet) => *quiet,
            ReplyEnd::Until { quiet, .. } => (*quiet)?,
            _ => return None,
        };
        let begun = self.body_len > 0 || !self.held.is_empty();
        self.last_byte
            .filter(|_| begun)
            .and_then(|last| last.checked_add(quiet))
    }

    fn find_silence(&mut self) -> Option<Found> {
        self.give_up_echo();
        if self.is_waiting_for_echo() {
            return None;
        }
        let end = without_end_of_line(&self.body);
        Some(self.found(end, self.seen))
    }

    /// Whether nothing of what has arrived can be the reply, because the echo has not come.
    fn is_waiting_for_echo(&self) -> bool {
        self.echoes == Echoes::Required && matches!(self.echo, Echo::Sought(_))
    }

    /// Looks for the echo, or what is left of it, in what has arrived, if it did not come first. If it is there, everything up to
    /// its text is dropped; what follows the text is to be taken now.
    fn seek_echo(&mut self) -> Option<BytesMut> {
        let Echo::Sought(text) = &self.echo else {
            return None;
        };
        let found = (self.seeking..self.body.len()).find_map(|at| {
            if !self.begins_line(at) {
                return None;
            }
            let rest = &self.body[at..];
            let len = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'))?;
            let line = &rest[..len];
            let is_echo = rest.starts_with(text) && len == text.len();
            (is_echo || self.is_other_part(text, line, at)).then_some(at + len)
        });
        let Some(end) = found else {
            self.seeking = self.body.len().saturating_sub(text.len());
            return None;
        };
        let text = text.clone();
        let rest = self.body.split_off(end);
        self.body.clear();
        self.body_len = 0;
        self.lines = Lines::default();
        self.candidate = None;
        (self.searched, self.reader) = (0, LineReader::default());
        let len = text.len();
        self.echo = Echo::Text(text, len, Row::default());
        Some(rest)
    }

    /// Whether this line, which begins at `at`, is the end of an echo whose beginning stands in front of another line.
    fn is_other_part(&self, text: &[u8], line: &[u8], at: usize) -> bool {
        if line.is_empty() || line.len() >= text.len() || !text.ends_with(line) {
            return false;
        }
        let beginning = &text[..text.len() - line.len()];
        (0..at).any(|from| self.body[from..at].starts_with(beginning) && self.begins_line(from))
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
            (Some(_), ReplyEnd::PromptLike(pattern)) => {
                last_line(before).is_some_and(|line| pattern.is_whole(line))
            }
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
            Echo::Text(_, 0, _) if line_end && self.held.len() < LEADING => {
                self.held.push(byte);
                true
            }
            Echo::Text(text, matched, row) if !row.blank && text.get(*matched) == Some(&byte) => {
                *matched += 1;
                row.len += 1;
                self.held.push(byte);
                true
            }
            Echo::Text(text, matched, _) if *matched == text.len() && line_end => {
                self.held = Vec::new();
                self.echoed = Some(true);
                self.echo = if byte == b'\n' { Echo::Over } else { Echo::Cr };
                true
            }
            // The row is full, or was just now.
            Echo::Text(text, matched, row)
                if (1..text.len()).contains(matched)
                    && line_end
                    && (row.len == 0 || row.len >= ROW) =>
            {
                *row = Row::default();
                self.held.push(byte);
                true
            }
            Echo::Text(text, matched, row)
                if *matched < text.len() && byte == b' ' && !row.blank && row.len >= ROW =>
            {
                row.blank = true;
                self.held.push(byte);
                true
            }
            Echo::Text(text, matched, row)
                if byte == b' '
                    && row.len == 0
                    && (1..text.len()).contains(matched)
                    && self.held.last() == Some(&b'\r') =>
            {
                self.held.push(byte);
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

    /// What was held was not an echo, or a part of one only.
    fn give_up_echo(&mut self) {
        let may_follow = self.echoes != Echoes::Unknown;
        self.echo = match std::mem::replace(&mut self.echo, Echo::Over) {
            Echo::Text(text, ..) | Echo::Sought(text) if may_follow => Echo::Sought(text),
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
        let end = match &self.end {
            ReplyEnd::Prompt(prompt) => prompt.len() + 2,
            ReplyEnd::PromptLike(_) => LONGEST_PROMPT + 2,
            ReplyEnd::Until {
                until: Until::Text(text),
                ..
            } => text.len(),
            _ => 0,
        };
        let keep = match &self.echo {
            // An echo that has arrived in part, and what is in front of it.
            Echo::Sought(text) => text.len() + end + 2,
            // Prompts and marks are found again in what is left.
            _ => end,
        };
        let beyond = self.body.len().saturating_sub(keep);
        self.body.advance(beyond);
        self.seeking = self.seeking.saturating_sub(beyond);
        self.searched = self.searched.saturating_sub(beyond);
        self.reader.cut(LONGEST_PROMPT + 1);
    }

    /// The reply, if what has arrived by now has its end.
    fn find(&mut self, now: Instant) -> Option<Found> {
        if self.is_waiting_for_echo() {
            return None;
        }
        match &self.end {
            ReplyEnd::Prompt(_) | ReplyEnd::PromptLike(_) if self.may_be_older() => None,
            ReplyEnd::Prompt(_) | ReplyEnd::PromptLike(_) => self.find_prompt(),
            ReplyEnd::Line { count } => self.find_lines(now, *count),
            ReplyEnd::Until { until, .. } => {
                let until = until.clone();
                self.find_mark(now, &until)
            }
            _ => None,
        }
    }

    /// Whether an end that was found may belong to an older command, because the echo has yet to come.
    fn may_be_older(&self) -> bool {
        matches!(self.echo, Echo::Sought(_)) && self.echoes == Echoes::Usual
    }

    fn find_prompt(&mut self) -> Option<Found> {
        let (Echo::Over | Echo::Sought(_)) = &self.echo else {
            return None;
        };
        let at = self.prompt_in(&self.body)?;
        let end = without_end_of_line(&self.body[..at]);
        Some(self.found(end, self.seen))
    }

    /// Where the prompt begins, if these bytes end with it.
    fn prompt_in(&self, bytes: &[u8]) -> Option<usize> {
        match &self.end {
            ReplyEnd::Prompt(prompt) => prompt_at_end(bytes, prompt),
            ReplyEnd::PromptLike(pattern) => {
                let line = last_line(bytes)?;
                (!line.is_empty() && pattern.is_whole(line)).then(|| bytes.len() - line.len())
            }
            _ => None,
        }
    }

    fn find_lines(&mut self, now: Instant, count: usize) -> Option<Found> {
        if self.candidate.is_some() {
            return None;
        }
        let unread = self.body_len - self.lines.read;
        let unread = &self.body[self.body.len().saturating_sub(unread)..];
        let (content_end, line_end) = self.lines.scan(unread, count.max(1))?;
        if self.may_be_older() {
            self.candidate = Some((content_end, line_end, now));
            return None;
        }
        let beyond = (self.body_len - line_end) as u64;
        Some(self.found(content_end, self.seen - beyond))
    }

    /// The reply, if it has its last text or line.
    fn find_mark(&mut self, now: Instant, until: &Until) -> Option<Found> {
        if self.candidate.is_some() {
            return None;
        }
        let kept_from = self.body_len - self.body.len();
        let end = match until {
            Until::Text(text) => {
                let from = self.searched.min(self.body.len());
                let found = self.body[from..]
                    .windows(text.len().max(1))
                    .position(|window| window == text);
                self.searched = (self.body.len() + 1).saturating_sub(text.len());
                found.map(|at| (from + at + text.len(), 0))
            }
            Until::Line(pattern) => {
                let unread = self.searched.min(self.body.len());
                let mut found = None;
                for at in unread..self.body.len() {
                    if let Some(line) = self.reader.push(self.body[at])
                        && pattern.is_in(&line.content)
                    {
                        let end = if line.before { at } else { at + 1 };
                        found = Some((end, 1));
                        break;
                    }
                }
                self.searched = self.body.len();
                found
            }
        };
        let (end, is_line) = end?;
        let content = match is_line {
            0 => end,
            _ => without_end_of_line(&self.body[..end]),
        };
        if self.may_be_older() {
            self.candidate = Some((content, kept_from + end, now));
            return None;
        }
        let beyond = (self.body_len - kept_from - end) as u64;
        Some(self.found(content, self.seen - beyond))
    }

    /// What could have been an older command's is the reply: no echo has come behind it.
    fn take_candidate(&mut self) -> Option<Found> {
        let (content_end, end, _) = self.candidate.take()?;
        let beyond = (self.body_len - end) as u64;
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
        Found::new(reply, consumed)
    }
}

impl Matcher for Text {
    fn handle_data(&mut self, now: Instant, bytes: &[u8]) -> Option<Found> {
        self.last_byte = Some(now);
        self.seen += bytes.len() as u64;
        self.take(bytes);
        if let Some(rest) = self.seek_echo() {
            self.take(&rest);
        }
        let found = self.find(now);
        self.drop_unwanted();
        found
    }

    fn handle_timeout(&mut self, now: Instant) -> Option<Found> {
        match &self.end {
            ReplyEnd::Line { count } => {
                if self.candidate.is_some() {
                    return self.take_candidate();
                }
                let count = (*count).max(1);
                let end = self.lines.settle()?;
                (self.lines.ended == count).then(|| self.found(end, self.seen))
            }
            ReplyEnd::Prompt(_) | ReplyEnd::PromptLike(_) => {
                self.give_up_echo();
                if self.is_waiting_for_echo() {
                    return None;
                }
                self.find_prompt()
            }
            ReplyEnd::Quiet(_) => self.find_silence(),
            ReplyEnd::Until { .. } if self.candidate.is_some() => self.take_candidate(),
            ReplyEnd::Until { until, .. } => {
                if let Until::Line(pattern) = until
                    && self.reader.is_undecided()
                    && let Some(line) = self.reader.settle()
                    && pattern.is_in(&line.content)
                {
                    let end = without_end_of_line(&self.body);
                    return Some(self.found(end, self.seen));
                }
                if self.silence_end().is_some_and(|at| at <= now) {
                    return self.find_silence();
                }
                None
            }
            _ => None,
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let last = self.last_byte?;
        if self.is_waiting_for_echo() {
            return None;
        }
        if let Some((.., since)) = self.candidate {
            return settled(last, since);
        }
        match &self.end {
            ReplyEnd::Line { .. } => self.lines.cr.and_then(|_| last.checked_add(SETTLE)),
            ReplyEnd::Prompt(_) | ReplyEnd::PromptLike(_) => {
                let undecided = match self.may_be_older() {
                    true => &self.body[..],
                    false => &self.held,
                };
                self.prompt_in(undecided)
                    .and_then(|_| last.checked_add(SETTLE))
            }
            ReplyEnd::Quiet(_) => self.silence_end(),
            ReplyEnd::Until { .. } => {
                let settled = self.reader.is_undecided().then(|| last.checked_add(SETTLE));
                [settled.flatten(), self.silence_end()]
                    .into_iter()
                    .flatten()
                    .min()
            }
            _ => None,
        }
    }

    fn least_len(&self) -> usize {
        let not_reply = match &self.end {
            ReplyEnd::Prompt(prompt) => prompt.len() + 2,
            ReplyEnd::PromptLike(_) => {
                LONGEST_PROMPT.min(last_line(&self.body).map_or(0, <[u8]>::len)) + 2
            }
            _ => 2,
        };
        self.body.len().saturating_sub(not_reply)
    }

    fn echoed(&self) -> Option<bool> {
        self.echoed
    }

    fn discard(&mut self) -> Bytes {
        let partial = [&self.body[..], &self.held].concat().into();
        self.wanted = false;
        self.drop_unwanted();
        partial
    }

    fn expects_nothing(&self) -> bool {
        self.end == ReplyEnd::None
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

/// The line that has not ended, if it is short enough to be a prompt.
fn last_line(bytes: &[u8]) -> Option<&[u8]> {
    let tail = &bytes[bytes.len().saturating_sub(LONGEST_PROMPT + 1)..];
    let line = tail
        .rsplit(|byte| matches!(byte, b'\r' | b'\n'))
        .next()
        .unwrap_or_default();
    (line.len() <= LONGEST_PROMPT).then_some(line)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn line(count: usize) -> ReplyEnd {
        ReplyEnd::Line { count }
    }

    fn prompt(text: &'static str) -> ReplyEnd {
        ReplyEnd::Prompt(Bytes::from_static(text.as_bytes()))
    }

    /// What `Reply` does with the time.
    fn due(reply: &mut Text, now: Instant) -> Option<Found> {
        reply.poll_timeout().filter(|&at| at <= now)?;
        reply.handle_timeout(now)
    }

    /// Feeds the parts a millisecond apart, then lets time pass.
    fn play(end: &ReplyEnd, command: &'static str, parts: &[&[u8]]) -> Option<Found> {
        let mut now = Instant::now();
        let mut reply = Text::new(
            end.clone(),
            &Bytes::from_static(command.as_bytes()),
            Some(Echoes::Unknown),
        );
        for part in parts.iter().filter(|part| !part.is_empty()) {
            if let Some(found) = reply.handle_data(now, part) {
                return Some(found);
            }
            now += MS;
            assert_eq!(due(&mut reply, now), None, "too soon");
        }
        let at = reply.poll_timeout()?;
        assert_eq!(due(&mut reply, at - MS / 2), None, "before it is time");
        let found = due(&mut reply, at);
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
        let mut reply = Text::new(line(1), &Bytes::from_static(b"ID?"), None);
        let found = reply
            .handle_data(Instant::now(), b"ID?\r\nboard 7\r\n")
            .unwrap();
        assert_eq!((&found.reply[..], found.consumed), (&b"ID?"[..], 5));
    }

    #[test]
    fn an_unwanted_reply_still_ends_and_keeps_nothing() {
        let now = Instant::now();
        let mut reply = Text::new(line(2), &Bytes::from_static(b"ID?"), Some(Echoes::Unknown));
        assert_eq!(reply.handle_data(now, b"ID?\r\nboa"), None);
        assert_eq!(reply.discard(), "boa");
        assert_eq!(reply.handle_data(now, b"rd 7"), None);
        assert_eq!(reply.body.len(), 0);
        assert_eq!(reply.handle_data(now, b"\r\nsecond"), None);
        assert_eq!(reply.handle_data(now, b"\r\n").unwrap().consumed, 22);
    }
}
