//! Replies of modems to AT commands (ITU-T V.250, 3GPP TS 27.005 and 27.007): lines up to a final result code. Which
//! lines nobody asked for is a list of prefixes; not what result codes mean.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use crate::Echoes;
use crate::lines::Lines;
use crate::reply::{Found, Matcher, Refused, SETTLE, settled, shown};

/// A line longer than this is no result code; so much of it is kept where nobody wants the reply.
const LONGEST_CODE: usize = 256;

/// What ends a command well. A line that only begins with it is one if a space follows (`CONNECT 9600`).
const DONE: [&[u8]; 2] = [b"OK", b"CONNECT"];

/// What ends a command badly, alone in a line.
const FAILED: [&[u8]; 6] = [
    b"ERROR",
    b"BUSY",
    b"NO ANSWER",
    b"NO DIALTONE",
    b"NO DIAL TONE",
    b"ABORTED",
];

/// What ends a command badly, followed by a number or words.
const FAILED_WITH: [&[u8]; 2] = [b"+CME ERROR:", b"+CMS ERROR:"];

/// A call has ended: that of the command, if it dials, else one that nobody spoke of.
const HUNG_UP: &[u8] = b"NO CARRIER";

/// What asks for text behind the command, without an end of line (`AT+CMGS`).
const TEXT_PROMPT: &[u8] = b"> ";

#[derive(Debug)]
pub(crate) struct At {
    command: Bytes,
    /// What the command is about: the `+CREG` of `AT+CREG?`.
    own: Vec<Bytes>,
    unsolicited_prefixes: Arc<[Bytes]>,
    echoes: Echoes,
    /// A result that may be an older command's, because this one's echo has yet to come, and since when.
    candidate: Option<(Found, Instant)>,
    /// How many bytes of the command stood alone in a line.
    torn: usize,
    echoed: Option<bool>,
    lines: Lines,
    reply: BytesMut,
    unsolicited: BytesMut,
    wanted: bool,
    seen: u64,
    last_byte: Option<Instant>,
}

enum Code {
    Done,
    Failed,
}

impl At {
    pub(crate) fn new(unsolicited: Arc<[Bytes]>, command: Bytes, echoes: Option<Echoes>) -> At {
        let echoes = echoes.filter(|_| !command.is_empty());
        At {
            own: subjects(&command),
            command,
            unsolicited_prefixes: unsolicited,
            echoes: echoes.unwrap_or(Echoes::Unknown),
            candidate: None,
            torn: 0,
            echoed: echoes.map(|_| false),
            lines: Lines::default(),
            reply: BytesMut::new(),
            unsolicited: BytesMut::new(),
            wanted: true,
            seen: 0,
            last_byte: None,
        }
    }

    fn handle_line(&mut self, line: &[u8], consumed: u64) -> Option<Found> {
        if line.is_empty() {
            return None;
        }
        if self.echoed == Some(false) && self.is_echo(line) {
            self.echoed = Some(true);
            // What came in front of it is no answer to it.
            self.reply.clear();
            self.candidate = None;
            return None;
        }
        if self.candidate.is_some()
            || (self.echoes == Echoes::Required && self.echoed == Some(false))
        {
            return None;
        }
        if self.is_unsolicited(line) {
            self.unsolicited.extend_from_slice(line);
            self.unsolicited.extend_from_slice(b"\r\n");
            return None;
        }
        match code(line) {
            Some(Code::Failed) => {
                let before = self.reply.split().freeze();
                Some(Found {
                    reply: Bytes::copy_from_slice(line),
                    consumed,
                    refused: Some(Refused {
                        sentence: format!("the board answered {}", shown(line)),
                        before,
                    }),
                    unsolicited: self.unsolicited.split().freeze(),
                })
            }
            Some(Code::Done) => {
                if self.reply.is_empty() || line != DONE[0] {
                    self.append(line);
                }
                Some(Found {
                    unsolicited: self.unsolicited.split().freeze(),
                    ..Found::new(self.reply.split().freeze(), consumed)
                })
            }
            None => {
                self.append(line);
                None
            }
        }
    }

    /// Whether this line is the command, or the end of it whose beginning was torn off by another line.
    fn is_echo(&mut self, line: &[u8]) -> bool {
        if line == self.command || (self.torn > 0 && line == &self.command[self.torn..]) {
            return true;
        }
        if self.echoes != Echoes::Unknown && self.command.starts_with(line) {
            self.torn = line.len();
        }
        false
    }

    fn append(&mut self, line: &[u8]) {
        if !self.reply.is_empty() {
            self.reply.extend_from_slice(b"\r\n");
        }
        self.reply.extend_from_slice(line);
    }

    fn is_unsolicited(&self, line: &[u8]) -> bool {
        if line == HUNG_UP {
            return !self.own.is_empty();
        }
        let is_own = self.own.iter().any(|own| is_about(line, own));
        !is_own
            && self
                .unsolicited_prefixes
                .iter()
                .any(|prefix| line.starts_with(prefix))
    }

    fn drop_unwanted(&mut self) {
        if !self.wanted {
            self.reply.clear();
            self.unsolicited.clear();
            self.lines.cut(LONGEST_CODE + 1);
        }
    }
}

impl Matcher for At {
    fn handle_data(&mut self, now: Instant, bytes: &[u8]) -> Option<Found> {
        self.last_byte = Some(now);
        for &byte in bytes {
            self.seen += 1;
            if let Some(line) = self.lines.push(byte) {
                let consumed = self.seen - u64::from(line.before);
                if let Some(found) = self.handle_line(&line.content, consumed) {
                    if self.echoes != Echoes::Usual || self.echoed != Some(false) {
                        return Some(found);
                    }
                    self.candidate = Some((found, now));
                }
                self.drop_unwanted();
            }
        }
        self.drop_unwanted();
        let awaits_text = self.lines.current() == TEXT_PROMPT && self.command.contains(&b'=');
        if awaits_text && (self.echoes == Echoes::Unknown || self.echoed != Some(false)) {
            self.append(TEXT_PROMPT);
            return Some(Found {
                unsolicited: self.unsolicited.split().freeze(),
                ..Found::new(self.reply.split().freeze(), self.seen)
            });
        }
        None
    }

    fn handle_timeout(&mut self, _now: Instant) -> Option<Found> {
        if let Some((found, _)) = self.candidate.take() {
            return Some(found);
        }
        let line = self.lines.settle()?;
        self.handle_line(&line.content, self.seen)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if let Some((_, since)) = &self.candidate {
            return settled(self.last_byte?, *since);
        }
        let last = self.last_byte.filter(|_| self.lines.is_undecided())?;
        last.checked_add(SETTLE)
    }

    fn least_len(&self) -> usize {
        // The line that has not ended may be a result code.
        let line = self.lines.len();
        let line = if line > LONGEST_CODE { line } else { 0 };
        (self.reply.len() + line).max(self.unsolicited.len())
    }

    fn echoed(&self) -> Option<bool> {
        self.echoed
    }

    fn discard(&mut self) -> Bytes {
        let mut partial = self.reply.split();
        if !partial.is_empty() && !self.lines.current().is_empty() {
            partial.extend_from_slice(b"\r\n");
        }
        partial.extend_from_slice(self.lines.current());
        self.wanted = false;
        self.drop_unwanted();
        partial.freeze()
    }
}

fn code(line: &[u8]) -> Option<Code> {
    let begins = |code: &[u8]| {
        line.strip_prefix(code)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b" "))
    };
    if line == DONE[0] || begins(DONE[1]) {
        return Some(Code::Done);
    }
    let failed = line == HUNG_UP
        || FAILED.contains(&line)
        || FAILED_WITH.iter().any(|code| line.starts_with(code));
    failed.then_some(Code::Failed)
}

/// Whether a line is an answer about `subject`: `+CREG: 1` about `+CREG`, and not about `+CR`.
fn is_about(line: &[u8], subject: &[u8]) -> bool {
    line.len() >= subject.len()
        && line[..subject.len()].eq_ignore_ascii_case(subject)
        && !line
            .get(subject.len())
            .is_some_and(u8::is_ascii_alphanumeric)
}

/// What extended commands are about: `+CREG` and `+CSQ` of `AT+CREG?;+CSQ`.
fn subjects(command: &[u8]) -> Vec<Bytes> {
    let body = match command.get(..2) {
        Some(at) if at.eq_ignore_ascii_case(b"AT") => &command[2..],
        _ => command,
    };
    body.split(|&byte| byte == b';')
        .filter(|part| matches!(part.first(), Some(b'+' | b'*' | b'#' | b'^' | b'%' | b'$')))
        .map(|part| {
            let len = part[1..]
                .iter()
                .take_while(|byte| byte.is_ascii_alphanumeric())
                .count();
            Bytes::copy_from_slice(&part[..1 + len])
        })
        .collect()
}
