//! After an ask that ended without its reply: waiting for what is still owed, so that it is not taken for the next reply.
//!
//! The rest of a command the UART took a part of is written first, however long that takes. Then, for at most one more
//! timeout (the ask's or the profile's, whichever is longer):
//!
//! What is done is the profile's [`Recovery`]:
//!
//! - *prompt*: an end of line is sent, or what interrupts a command, if the profile has that. Two prompts are owed, the old command's and that of the end of line (one, if the
//!   old one has come without being recognised, because something followed it); of an interrupted command one. When they
//!   have come, nothing follows the last one and nothing arrives for [`QUIET`], the board is ready.
//!   A board that owes fewer (it never got the command, or swallowed the end of line) makes the wait as long as it can be.
//! - *reply* (lines, result codes, frames): what is owed, then [`QUIET`]; or, where silence ends a reply, that silence.
//! - *interrupt*: it is sent, then something, and [`QUIET`].
//!
//! After a command that was only written to its end now, *reply* waits for as long as it can be: how much of
//! its echo has come already is not known.
//!
//! When that time is over and not everything has come, the reply is still owed: the next ask then tells its own reply by
//! its echo, if the board echoes (`ask`).

use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};

use crate::time::{after, earlier};
use uartnet_interpreter::{Prompt, Recovery, Reply, prompt_at_end};

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
    /// What the board says to an interrupt. Whether it has said something.
    Interrupted(bool),
    /// Everything has come, but for a silence of this length.
    Silence(Duration),
    /// That cannot be known.
    Unknown,
}

#[derive(Debug)]
struct Prompts {
    prompt: Prompt,
    missing: usize,
    /// The newest bytes; what came before the reply counts as an end of line.
    window: Vec<u8>,
    /// Whether the last line, which has not ended, was counted.
    counted: bool,
}

impl Resync {
    /// `command` is what is left of the command, `reply` knows what came as long as it was waited for, and `partial` is
    /// that.
    pub(crate) fn new(
        now: Instant,
        recovery: Recovery,
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
        resync.owed = match recovery {
            Recovery::Nothing => Owed::Nothing,
            Recovery::Prompt {
                nudge,
                prompt,
                owed,
            } => {
                resync.nudge = nudge;
                let mut prompts = Prompts::new(prompt, owed);
                if written {
                    prompts.handle_data(partial);
                    prompts.missing = prompts.missing.max(1);
                }
                Owed::Prompts(prompts)
            }
            Recovery::Interrupt { nudge } => {
                resync.nudge = nudge;
                Owed::Interrupted(false)
            }
            Recovery::Reply if written => Owed::Reply(reply),
            Recovery::Reply => Owed::Unknown,
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
            // What came before it was sent is no answer to it.
            Owed::Interrupted(said) => *said = self.command.is_empty() && self.nudge.is_empty(),
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
            Owed::Interrupted(said) => !said,
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
            Owed::Interrupted(true) => QUIET,
            _ => return None,
        };
        Some(after(self.last_byte?, quiet))
    }
}

/// How many of the newest bytes are kept to know a prompt by a pattern.
const WINDOW: usize = 1024;

/// No prompt is longer, in bytes.
const LONGEST: usize = 64 << 10;

impl Prompts {
    fn new(prompt: Prompt, missing: usize) -> Prompts {
        Prompts {
            prompt,
            missing,
            window: vec![b'\n'],
            counted: false,
        }
    }

    fn handle_data(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match &self.prompt {
                Prompt::Text(_) => {
                    self.window.push(byte);
                    if self.is_at_prompt() {
                        self.missing = self.missing.saturating_sub(1);
                    }
                }
                // A pattern is looked at where a line ends; below it is where the bytes do.
                Prompt::Like(_) if matches!(byte, b'\r' | b'\n') => {
                    self.count_line();
                    self.window.push(byte);
                    self.counted = false;
                }
                Prompt::Like(_) => self.window.push(byte),
            }
            // Cutting in bulk keeps this cheap for a long reply.
            if self.window.len() >= 2 * LONGEST {
                self.window.drain(..LONGEST);
            }
        }
        if matches!(self.prompt, Prompt::Like(_)) {
            self.count_line();
        }
        let keep = match &self.prompt {
            Prompt::Text(text) => text.len() + 1,
            Prompt::Like(_) => WINDOW,
        };
        self.window.drain(..self.window.len().saturating_sub(keep));
    }

    fn count_line(&mut self) {
        if !self.counted && self.is_at_prompt() {
            self.counted = true;
            self.missing = self.missing.saturating_sub(1);
        }
    }

    fn is_at_prompt(&self) -> bool {
        match &self.prompt {
            // Only the very first prompt may begin where the window begins, and that has an end of line before it.
            Prompt::Text(text) => prompt_at_end(&self.window, text)
                .is_some_and(|at| at > 0 || self.window.len() > text.len()),
            Prompt::Like(_) => {
                let line = self
                    .window
                    .rsplit(|byte| matches!(byte, b'\r' | b'\n'))
                    .next()
                    .unwrap_or_default();
                !line.is_empty() && line.len() < self.window.len() && self.prompt.is_line(line)
            }
        }
    }

    fn are_all_there(&self) -> bool {
        self.missing == 0 && self.is_at_prompt()
    }
}
