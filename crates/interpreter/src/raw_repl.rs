//! MicroPython's raw REPL: code in, output and traceback out, told apart. Not the raw paste mode, which needs a
//! conversation; a command of some kilobytes does without.
//!
//! Ctrl-A enters the raw REPL, Ctrl-D runs what was sent since, Ctrl-B goes back to the friendly one. All of it is sent at
//! once: the board reads it when it comes to it. It answers
//! `raw REPL; CTRL-B to exit` CR LF `>` `OK` output 0x04 traceback 0x04 `>`, then the friendly REPL's banner, which is not waited
//! for. The reply begins behind the `OK` that follows the greeting, so nothing from before can be in it.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use crate::CommandError;
use crate::reply::{Found, Matcher, Refused, shown, without_end_of_line};

const ENTER: u8 = 0x01;
const LEAVE: u8 = 0x02;
const RUN: u8 = 0x04;

/// Stops a program, and what that leaves behind, and goes back to the friendly REPL.
pub(crate) const INTERRUPT: &[u8] = b"\x03\x03\x02";

/// What the friendly REPL prints when it waits.
pub(crate) const FRIENDLY_PROMPT: &[u8] = b">>> ";

/// What comes in front of a command's output.
const GREETING: &[u8] = b"raw REPL; CTRL-B to exit\r\n>OK";

/// How much of what comes before the greeting is kept, to be shown where the greeting does not come.
const KEPT: usize = 4096;

#[derive(Debug, Default)]
pub(crate) struct RawRepl {
    /// What came since the greeting, or, as long as that has not come, the last of all.
    body: BytesMut,
    greeted: bool,
    /// Where the output ends.
    output: Option<usize>,
    /// Where the traceback ends.
    traceback: Option<usize>,
    /// How far the body was looked at.
    read: usize,
    seen: u64,
}

/// What is written for this command.
pub(crate) fn frame(command: &[u8]) -> Result<Bytes, CommandError> {
    if let Some(&byte) = command.iter().find(|byte| (0x01..=0x05).contains(*byte)) {
        return Err(CommandError::ControlByte { byte });
    }
    // To run nothing would be a soft reset.
    let command = if command.is_empty() { b"\n" } else { command };
    Ok([&[ENTER], command, &[RUN, LEAVE]].concat().into())
}

impl RawRepl {
    fn find_greeting(&mut self) {
        let found = (self.read..self.body.len()).find(|&at| self.body[at..].starts_with(GREETING));
        if let Some(at) = found {
            let _ = self.body.split_to(at + GREETING.len());
            self.greeted = true;
            self.read = 0;
            return;
        }
        if self.body.len() > 2 * KEPT {
            let _ = self.body.split_to(self.body.len() - KEPT);
        }
        self.read = (self.body.len() + 1).saturating_sub(GREETING.len());
    }

    fn found(&mut self, output: usize, traceback: usize, end: usize) -> Found {
        let consumed = self.seen - (self.body.len() - end) as u64;
        let body = self.body.split().freeze();
        let before = body.slice(..without_end_of_line(&body[..output]));
        let words = body.slice(output + 1..traceback);
        let words = words.slice(..without_end_of_line(&words));
        if words.is_empty() {
            return Found::new(before, consumed);
        }
        let last = words
            .rsplit(|&byte| byte == b'\n')
            .next()
            .unwrap_or_default();
        let sentence = format!("the board raised {}", shown(last));
        Found {
            refused: Some(Refused { sentence, before }),
            ..Found::new(words, consumed)
        }
    }
}

impl Matcher for RawRepl {
    fn handle_data(&mut self, _now: Instant, bytes: &[u8]) -> Option<Found> {
        self.seen += bytes.len() as u64;
        self.body.extend_from_slice(bytes);
        if !self.greeted {
            self.find_greeting();
        }
        if !self.greeted {
            return None;
        }
        while let Some(&byte) = self.body.get(self.read) {
            let at = self.read;
            self.read += 1;
            match (self.output, self.traceback) {
                (None, _) if byte == RUN => self.output = Some(at),
                (Some(_), None) if byte == RUN => self.traceback = Some(at),
                (Some(output), Some(traceback)) if byte == b'>' => {
                    return Some(self.found(output, traceback, at + 1));
                }
                _ => {}
            }
        }
        None
    }

    fn handle_timeout(&mut self, _now: Instant) -> Option<Found> {
        None
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn least_len(&self) -> usize {
        // The two separators and the prompt are no part of it.
        if self.greeted {
            self.body.len().saturating_sub(3)
        } else {
            0
        }
    }

    fn echoed(&self) -> Option<bool> {
        None
    }

    /// After this the end is not found any more: the program is interrupted, and a prompt shows that it has ended.
    fn discard(&mut self) -> Bytes {
        let partial = self.body.split().freeze();
        *self = RawRepl {
            seen: self.seen,
            ..RawRepl::default()
        };
        partial
    }
}
