//! After an ask that ended without its reply: waiting for what is still owed, so that it is not taken for the next reply.
//!
//! The rest of a command the UART took a part of is written first, however long that takes. Then, for at most one more
//! timeout (the ask's or the profile's, whichever is longer):
//!
//! - *prompt*: an end of line is sent. Two prompts are owed, the old command's and that of the end of line (one, if the
//!   old one has come without being recognised, because something followed it); when they have come, nothing follows the
//!   last one and nothing arrives for [`QUIET`], the board is ready.
//!   A board that owes fewer (it never got the command, or swallowed the end of line) makes the wait as long as it can be.
//! - *line*: the lines owed, then [`QUIET`].
//! - *quiet*: the reply, if none of it had come, and the silence that ends it.
//!
//! After a command that was only written to its end now, *line* and *quiet* wait for as long as it can be: how much of
//! its echo has come already is not known.
//!
//! When that time is over and not everything has come, the reply is still owed: the next ask then tells its own reply by
//! its echo, if the board echoes (`ask`).

use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};

use crate::time::{after, earlier};
use crate::{Profile, ReplyEnd};
use uartnet_interpreter::{Reply, prompt_at_end};

/// How long nothing must arrive after everything that was owed.
pub(crate) const QUIET: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(crate) struct Resync {
    /// What the UART has yet to take of the old command.
    command: Bytes,
    /// What is sent to get a prompt.
    nudge: Bytes,
    owed: Owed,
    timeout: Duration,
    last_byte: Option<Instant>,
    /// Whether the echo of the command was seen.
    echoed: bool,
    /// When waiting ends. `None` as long as the command is not wholly written.
    until: Option<Instant>,
    over: bool,
}

#[derive(Debug)]
enum Owed {
    Nothing,
    Prompts(Prompts),
    Reply(Reply),
    /// Everything has come, but for a silence of this length.
    Silence(Duration),
    /// That cannot be known.
    Unknown,
}

#[derive(Debug)]
struct Prompts {
    prompt: Bytes,
    missing: usize,
    /// The newest bytes, one more than the prompt has; what came before the reply counts as an end of line.
    window: Vec<u8>,
}

impl Resync {
    /// `command` is what is left of the command, `reply` knows what came as long as it was waited for, and `partial` is
    /// that.
    pub(crate) fn new(
        now: Instant,
        profile: Profile,
        timeout: Duration,
        command: Bytes,
        reply: Reply,
        partial: &[u8],
    ) -> Resync {
        let mut resync = Resync {
            command,
            nudge: Bytes::new(),
            owed: Owed::Nothing,
            timeout,
            last_byte: reply.last_byte(),
            echoed: reply.echoed() == Some(true),
            until: None,
            over: false,
        };
        let written = resync.command.is_empty();
        resync.owed = match profile.end {
            ReplyEnd::None => Owed::Nothing,
            ReplyEnd::Prompt(prompt) => {
                resync.nudge = profile.eol;
                let mut prompts = Prompts {
                    prompt,
                    missing: 2,
                    window: vec![b'\n'],
                };
                if written {
                    prompts.handle_data(partial);
                    prompts.missing = prompts.missing.max(1);
                }
                Owed::Prompts(prompts)
            }
            ReplyEnd::Line { .. } | ReplyEnd::Quiet(_) if written => Owed::Reply(reply),
            ReplyEnd::Line { .. } | ReplyEnd::Quiet(_) => Owed::Unknown,
        };
        if written {
            resync.command_is_written(now);
        }
        resync
    }

    /// What to write now.
    pub(crate) fn unsent(&self) -> &Bytes {
        if self.command.is_empty() {
            &self.nudge
        } else {
            &self.command
        }
    }

    pub(crate) fn transmitted(&mut self, now: Instant, count: usize) {
        if self.command.is_empty() {
            self.nudge.advance(count.min(self.nudge.len()));
            return;
        }
        self.command.advance(count.min(self.command.len()));
        if self.command.is_empty() {
            self.command_is_written(now);
        }
    }

    pub(crate) fn handle_data(&mut self, now: Instant, bytes: &[u8]) {
        self.last_byte = Some(now);
        match &mut self.owed {
            Owed::Prompts(prompts) => prompts.handle_data(bytes),
            Owed::Reply(reply) => {
                let ended = reply.handle_data(now, bytes).is_some();
                self.echoed |= reply.echoed() == Some(true);
                if ended {
                    self.owed = Owed::Silence(QUIET);
                }
            }
            Owed::Nothing | Owed::Silence(_) | Owed::Unknown => {}
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let Owed::Reply(reply) = &mut self.owed
            && reply.handle_timeout(now).is_some()
        {
            // It was silence that ended it.
            self.owed = Owed::Silence(Duration::ZERO);
        }
        if earlier(self.silence_end(), self.until).is_some_and(|at| at <= now) {
            self.over = true;
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let until = self.until?;
        let sooner = match &self.owed {
            Owed::Reply(reply) => reply.poll_timeout(),
            _ => self.silence_end(),
        };
        earlier(Some(until), sooner)
    }

    /// Whether the old command is not wholly written yet.
    pub(crate) fn is_writing(&self) -> bool {
        !self.command.is_empty()
    }

    /// Whether something that was owed has not come.
    pub(crate) fn is_owed(&self) -> bool {
        match &self.owed {
            Owed::Nothing | Owed::Silence(_) => false,
            Owed::Prompts(prompts) => prompts.missing > 0,
            Owed::Reply(_) | Owed::Unknown => true,
        }
    }

    /// Whether the board has echoed the command.
    pub(crate) fn echoed(&self) -> bool {
        self.echoed
    }

    /// Whether the next ask can have its turn.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    fn command_is_written(&mut self, now: Instant) {
        self.until = Some(after(now, self.timeout));
        self.over = matches!(self.owed, Owed::Nothing);
    }

    /// When there was silence for long enough after everything that was owed.
    fn silence_end(&self) -> Option<Instant> {
        let quiet = match &self.owed {
            Owed::Silence(quiet) => *quiet,
            Owed::Prompts(prompts) if prompts.are_all_there() && self.unsent().is_empty() => QUIET,
            _ => return None,
        };
        Some(after(self.last_byte?, quiet))
    }
}

impl Prompts {
    fn handle_data(&mut self, bytes: &[u8]) {
        let keep = self.prompt.len() + 1;
        for &byte in bytes {
            self.window.push(byte);
            if self.is_at_prompt() {
                self.missing = self.missing.saturating_sub(1);
            }
            // Cutting in bulk keeps this cheap for a long reply.
            if self.window.len() >= 4096 + keep {
                self.window.drain(..4096);
            }
        }
        self.window.drain(..self.window.len().saturating_sub(keep));
    }

    fn is_at_prompt(&self) -> bool {
        // Only the very first prompt may begin where the window begins, and that has an end of line before it.
        prompt_at_end(&self.window, &self.prompt)
            .is_some_and(|at| at > 0 || self.window.len() > self.prompt.len())
    }

    fn are_all_there(&self) -> bool {
        self.missing == 0 && self.is_at_prompt()
    }
}
