//! How to talk to a board's interpreter: what ends a command, and how the end of a reply is recognised.
//! The matching itself is in `reply`.

use std::time::Duration;

use bytes::Bytes;

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
    /// When nothing has arrived for this long after the first byte.
    Quiet(Duration),
}

/// An interpreter profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
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
}

impl Profile {
    /// The profile with every default and this end of reply.
    pub fn new(end: ReplyEnd) -> Profile {
        Profile {
            end,
            eol: Bytes::from_static(b"\r"),
            strip_echo: true,
            timeout: Duration::from_secs(2),
            max_reply: 1 << 20,
        }
    }
}
