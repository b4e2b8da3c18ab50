//! The reply to one command, whatever its profile: which matcher looks for its end, and whether it is the board's error.
//! How each matcher does that is in `text`, `at`, `raw_repl` and `modbus`; what happens after a failure is not known here.

use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::at::At;
use crate::modbus::Modbus;
use crate::raw_repl::RawRepl;
use crate::text::Text;
use crate::{Pattern, Profile, ReplyEnd};

/// How long an undecided CR, an undecided echo that ends with the prompt, or a line that may precede an echo, is left
/// undecided.
pub const SETTLE: Duration = Duration::from_millis(50);

/// How much of a board's words is repeated in a sentence, in characters.
const SHOWN: usize = 200;

/// What is known of a board's echo before a command is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echoes {
    /// Nothing. An echo is one at the very beginning only.
    Unknown,
    /// It echoed the last command. What stands in front of a whole line that is the command is not a part of the reply.
    /// *Line* waits for such an echo for [`SETTLE`] only: the lines may be the reply.
    Usual,
    /// It echoes, and still owes the reply to an older command: nothing in front of the echo is a reply, and there is
    /// none without an echo.
    Required,
}

/// The reply to one command, as far as it has arrived.
#[derive(Debug)]
pub struct Reply {
    matcher: Box<dyn Matcher>,
    error: Option<Pattern>,
    last_byte: Option<Instant>,
}

/// A whole reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The reply without echo, prompt and the last end of line; the board's words, if it is an error.
    pub reply: Bytes,
    /// How many of the bytes that arrived belong to it, echo and prompt included.
    pub consumed: u64,
    /// If it is the board's error.
    pub refused: Option<Refused>,
    /// Lines that no command asked for, each with CR LF, where that can be told.
    pub unsolicited: Bytes,
}

/// What makes a reply an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// For people.
    pub sentence: String,
    /// What the board said before the words of its error, where that can be told.
    pub before: Bytes,
}

/// What looks for the end of a reply.
pub(crate) trait Matcher: fmt::Debug + Send {
    /// Bytes arrived (not empty). The reply, if this completes it.
    fn handle_data(&mut self, now: Instant, bytes: &[u8]) -> Option<Found>;

    /// Time passed. The reply, if this completes it.
    fn handle_timeout(&mut self, now: Instant) -> Option<Found>;

    /// When time alone would change something.
    fn poll_timeout(&self) -> Option<Instant>;

    /// How long the reply is at least.
    fn least_len(&self) -> usize;

    /// Whether the echo was seen; `None` if none is looked for.
    fn echoed(&self) -> Option<bool>;

    /// Says what has arrived so far, and goes on looking for the end without keeping more than that needs.
    fn discard(&mut self) -> Bytes;

    /// Whether no reply comes at all.
    fn expects_nothing(&self) -> bool {
        false
    }
}

impl Reply {
    /// The command as it was given to [`Profile::frame`].
    pub fn new(profile: &Profile, command: &Bytes, echoes: Echoes) -> Reply {
        let echoes = profile.strip_echo.then_some(echoes);
        let matcher: Box<dyn Matcher> = match &profile.end {
            ReplyEnd::At { unsolicited } => {
                Box::new(At::new(unsolicited.clone(), command.clone(), echoes))
            }
            ReplyEnd::RawRepl => Box::new(RawRepl::default()),
            ReplyEnd::ModbusRtu { quiet } => Box::new(Modbus::new(command, *quiet)),
            ReplyEnd::None
            | ReplyEnd::Line { .. }
            | ReplyEnd::Prompt(_)
            | ReplyEnd::PromptLike(_)
            | ReplyEnd::Quiet(_)
            | ReplyEnd::Until { .. } => Box::new(Text::new(profile.end.clone(), command, echoes)),
        };
        Reply {
            matcher,
            error: profile.error.clone(),
            last_byte: None,
        }
    }

    /// Bytes arrived (not empty). The reply, if this completes it.
    pub fn handle_data(&mut self, now: Instant, bytes: &[u8]) -> Option<Found> {
        self.last_byte = Some(now);
        let found = self.matcher.handle_data(now, bytes);
        found.map(|found| self.judged(found))
    }

    /// Time passed. The reply, if this completes it.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Found> {
        if self.poll_timeout().is_none_or(|at| now < at) {
            return None;
        }
        let found = self.matcher.handle_timeout(now);
        found.map(|found| self.judged(found))
    }

    /// When time alone would change something.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.matcher.poll_timeout()
    }

    /// Whether the command was all, because no reply comes.
    pub fn expects_nothing(&self) -> bool {
        self.matcher.expects_nothing()
    }

    /// Whether the reply can no longer fit into `limit` bytes.
    pub fn is_beyond(&self, limit: usize) -> bool {
        self.matcher.least_len() > limit
    }

    /// When the last byte arrived.
    pub fn last_byte(&self) -> Option<Instant> {
        self.last_byte
    }

    /// Whether the echo was seen; `None` if none is looked for.
    pub fn echoed(&self) -> Option<bool> {
        self.matcher.echoed()
    }

    /// Says what has arrived so far, without an echo, and goes on looking for the end without keeping anything.
    pub fn discard(&mut self) -> Bytes {
        self.matcher.discard()
    }

    fn judged(&self, mut found: Found) -> Found {
        if let Some(error) = &self.error
            && found.refused.is_none()
        {
            let mut lines = found.reply.split(|byte| matches!(byte, b'\r' | b'\n'));
            let line = lines.find(|line| error.is_in(line));
            if line.is_some() || error.is_in(&found.reply) {
                let words = line.unwrap_or(&found.reply);
                found.refused = Some(Refused {
                    sentence: format!("the board answered {}", shown(words)),
                    before: Bytes::new(),
                });
            }
        }
        found
    }
}

impl Found {
    /// A reply that is no error.
    pub(crate) fn new(reply: Bytes, consumed: u64) -> Found {
        Found {
            reply,
            consumed,
            refused: None,
            unsolicited: Bytes::new(),
        }
    }
}

/// When what came at `since` is the reply although no echo has come: nothing follows any more, or nothing but chatter.
pub(crate) fn settled(last_byte: Instant, since: Instant) -> Option<Instant> {
    let silent = last_byte.checked_add(SETTLE)?;
    Some(silent.min(since.checked_add(10 * SETTLE)?))
}

/// A board's words within a sentence: one line, bounded, harmless to a terminal.
pub(crate) fn shown(words: &[u8]) -> String {
    let text = String::from_utf8_lossy(words);
    let mut shown = String::new();
    for c in text.trim().chars().take(SHOWN) {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    if text.trim().chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// The length of `bytes` without the end of line they end with, if they do.
pub(crate) fn without_end_of_line(bytes: &[u8]) -> usize {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.len()
        - bytes
            .iter()
            .rev()
            .take_while(|&&byte| byte == b'\r')
            .count()
}
