//! How to talk to a board's interpreter: what ends a command, how the end of a reply is recognised, what makes it an
//! error, and how to begin again after one that did not come. The matching itself is in `reply` and its neighbours.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::{Pattern, modbus, raw_repl};

/// How the end of a reply is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyEnd {
    /// There is no interpreter: a command is written as it is, and that is all.
    None,
    /// After so many lines (at least 1).
    Line {
        /// How many.
        count: usize,
    },
    /// At the prompt: this literal text (not empty) at the beginning of a line and at the end of what has arrived.
    Prompt(Bytes),
    /// At the prompt: this pattern, matching all of the last line, which has not ended.
    PromptLike(Pattern),
    /// When nothing has arrived for this long after the first byte.
    Quiet(Duration),
    /// At a text or line, which is the end of the reply and a part of it; or, if `quiet` is given, when nothing has arrived
    /// for so long after the first byte.
    Until {
        /// What the reply ends with.
        until: Until,
        /// The silence that ends it too.
        quiet: Option<Duration>,
    },
    /// At a final result code of a modem (ITU-T V.250, 3GPP TS 27.007). A line that begins with one of `unsolicited`, and
    /// not with what the command is about, is told apart.
    At {
        /// How lines begin that no command asked for.
        unsolicited: Arc<[Bytes]>,
    },
    /// Where MicroPython's raw REPL has run the command: output, traceback, prompt.
    RawRepl,
    /// After one whole Modbus RTU frame (Modbus over Serial Line V1.02) of the addressed device, and this silence.
    ModbusRtu {
        /// The silence, at least 3.5 characters.
        quiet: Duration,
    },
}

/// What a reply ends with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Until {
    /// This text (not empty), wherever it stands.
    Text(Bytes),
    /// A line that this pattern matches somewhere.
    Line(Pattern),
}

/// What a board prints when it waits for a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompt {
    /// This text.
    Text(Bytes),
    /// All of the last line matches.
    Like(Pattern),
}

/// What to do after an ask that ended without its reply, so that nothing of it is taken for the next one's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovery {
    /// Nothing: there is no reply.
    Nothing,
    /// The reply is waited for, and silence.
    Reply,
    /// `nudge` is sent, and so many prompts are waited for, and silence.
    Prompt {
        /// What is sent.
        nudge: Bytes,
        /// The prompt.
        prompt: Prompt,
        /// How many of them must come.
        owed: usize,
    },
    /// The nudge is sent; whatever the board says to it, and silence, is waited for.
    Interrupt {
        /// What is sent.
        nudge: Bytes,
    },
}

/// Why a command cannot be given to a board.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// It is more than one line, and the interpreter takes one at a time.
    #[error("the command contains an end of line")]
    NotOneLine,
    /// It has a byte that means something else to the raw REPL.
    #[error(
        "the command contains the control byte 0x{byte:02x}, which MicroPython's raw REPL does not take as code"
    )]
    ControlByte {
        /// Which.
        byte: u8,
    },
    /// It is no Modbus request.
    #[error(
        "a Modbus RTU command is an address, a function code and its data, without CRC: 2 to {most} bytes, and not {len}"
    )]
    NotAFrame {
        /// How many bytes it has.
        len: usize,
        /// How many it may have.
        most: usize,
    },
}

/// An interpreter profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its name in the list of profiles.
    pub name: &'static str,
    /// How the end of a reply is recognised.
    pub end: ReplyEnd,
    /// What ends a command. The default: CR.
    pub eol: Bytes,
    /// Whether the board may echo the command; an echo is stripped where it is seen. The default: true.
    pub strip_echo: bool,
    /// How long a reply may take, from the moment its turn comes. The default: 2 s.
    pub timeout: Duration,
    /// The largest reply, in bytes. The default: 1 MiB.
    pub max_reply: usize,
    /// A reply in which this matches is the board's error. The default: none is.
    pub error: Option<Pattern>,
    /// What is sent to stop a command whose reply did not come in time, e.g. Ctrl-C. The default: nothing.
    pub interrupt: Bytes,
}

impl Profile {
    /// The profile with every default and this end of reply.
    pub fn new(end: ReplyEnd) -> Profile {
        Profile {
            name: match &end {
                ReplyEnd::None => "none",
                ReplyEnd::Line { .. } => "line",
                ReplyEnd::Prompt(_) | ReplyEnd::PromptLike(_) => "prompt",
                ReplyEnd::Quiet(_) => "quiet",
                ReplyEnd::Until { .. } => "custom",
                ReplyEnd::At { .. } => "at",
                ReplyEnd::RawRepl => "micropython",
                ReplyEnd::ModbusRtu { .. } => "modbus-rtu",
            },
            strip_echo: !matches!(end, ReplyEnd::RawRepl | ReplyEnd::ModbusRtu { .. }),
            end,
            eol: Bytes::from_static(b"\r"),
            timeout: Duration::from_secs(2),
            max_reply: 1 << 20,
            error: None,
            interrupt: Bytes::new(),
        }
    }

    /// What is written to the board for this command.
    ///
    /// # Errors
    /// The command is none for this board.
    pub fn frame(&self, command: &Bytes) -> Result<Bytes, CommandError> {
        match &self.end {
            ReplyEnd::None => Ok(command.clone()),
            ReplyEnd::RawRepl => raw_repl::frame(command),
            ReplyEnd::ModbusRtu { .. } => modbus::frame(command),
            ReplyEnd::Line { .. }
            | ReplyEnd::Prompt(_)
            | ReplyEnd::PromptLike(_)
            | ReplyEnd::Quiet(_)
            | ReplyEnd::Until { .. }
            | ReplyEnd::At { .. } => {
                if command.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
                    return Err(CommandError::NotOneLine);
                }
                Ok([&command[..], &self.eol].concat().into())
            }
        }
    }

    /// What to do after an ask that ended without its reply.
    pub fn recovery(&self) -> Recovery {
        let prompt = match &self.end {
            ReplyEnd::None => return Recovery::Nothing,
            ReplyEnd::Prompt(text) => Prompt::Text(text.clone()),
            ReplyEnd::PromptLike(pattern) => Prompt::Like(pattern.clone()),
            ReplyEnd::RawRepl => {
                return Recovery::Prompt {
                    nudge: Bytes::from_static(raw_repl::INTERRUPT),
                    prompt: Prompt::Text(Bytes::from_static(raw_repl::FRIENDLY_PROMPT)),
                    owed: 1,
                };
            }
            ReplyEnd::Line { .. }
            | ReplyEnd::Quiet(_)
            | ReplyEnd::Until { .. }
            | ReplyEnd::At { .. }
            | ReplyEnd::ModbusRtu { .. } => {
                return if self.interrupt.is_empty() {
                    Recovery::Reply
                } else {
                    Recovery::Interrupt {
                        nudge: self.interrupt.clone(),
                    }
                };
            }
        };
        // An end of line is answered by a prompt of its own, behind the old command's. Whether an interrupt finds the
        // command running (one prompt) or over (two) is not known; the second follows the first at once.
        let (nudge, owed) = if self.interrupt.is_empty() {
            (self.eol.clone(), 2)
        } else {
            (self.interrupt.clone(), 1)
        };
        Recovery::Prompt {
            nudge,
            prompt,
            owed,
        }
    }
}

impl Prompt {
    /// Whether this line, which has not ended, is the prompt.
    pub fn is_line(&self, line: &[u8]) -> bool {
        match self {
            Prompt::Text(text) => line == &text[..],
            Prompt::Like(pattern) => pattern.is_whole(line),
        }
    }
}
