//! What the hub refused or could not do, in the protocol's codes: one place for plain conversation and session.

use std::time::Duration;

use bytes::Bytes;
use humantime::format_duration;
use uartnet_hub::{AskOutcome, ControlError, Offset, Refusal};
use uartnet_proto::message::{Blob, ErrorAnswer, ErrorCode, Reply};
use uartnet_proto::plain::failure;

/// How much of what a board had said before a failure is shown in a plain conversation, in bytes.
const SHOWN: usize = 200;

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) code: ErrorCode,
    pub(super) sentence: String,
    /// What the board had said until then.
    pub(super) partial: Bytes,
    /// The write offset the next data must carry, where data was refused.
    pub(super) write_offset: Option<u64>,
    /// The board's own words, where they are the failure.
    pub(super) board: Option<Box<Replied>>,
}

impl Failure {
    pub(super) fn new(code: ErrorCode, sentence: impl Into<String>) -> Failure {
        Failure {
            code,
            sentence: sentence.into(),
            partial: Bytes::new(),
            write_offset: None,
            board: None,
        }
    }

    /// The answer of a plain conversation.
    pub(super) fn plain(&self) -> Bytes {
        let mut sentence = self.sentence.clone();
        if !self.partial.is_empty() {
            let shown = &self.partial[..self.partial.len().min(SHOWN)];
            let more = if shown.len() < self.partial.len() {
                " …"
            } else {
                ""
            };
            sentence += &format!("; until then: \"{}\"{more}", shown.escape_ascii());
        }
        failure(&self.code, &sentence).into()
    }

    /// The answer of a session.
    pub(super) fn answer(self) -> ErrorAnswer {
        let answer = ErrorAnswer {
            partial: some(self.partial),
            write_offset: self.write_offset,
            ..ErrorAnswer::new(self.code, self.sentence)
        };
        let Some(board) = self.board.map(|board| board.answer()) else {
            return answer;
        };
        ErrorAnswer {
            words: Some(board.reply),
            from: Some(board.from),
            to: Some(board.to),
            took_us: Some(board.took_us),
            unsolicited: board.unsolicited,
            ..answer
        }
    }
}

impl From<&Refusal> for Failure {
    fn from(refusal: &Refusal) -> Failure {
        let code = match refusal {
            Refusal::Access { .. } => ErrorCode::Forbidden,
            Refusal::ReadOnly => ErrorCode::ReadOnly,
            Refusal::Leased { .. } => ErrorCode::Leased,
            Refusal::TakenOver => ErrorCode::TakenOver,
            Refusal::NotExclusive => ErrorCode::NotExclusive,
            Refusal::Absent { .. } => ErrorCode::Absent,
            Refusal::Busy { .. } => ErrorCode::Busy,
            Refusal::Waited { .. } => ErrorCode::Waited,
            Refusal::NoProfile => ErrorCode::NoProfile,
            Refusal::Command(_) => ErrorCode::BadCommand,
            Refusal::NoSequence { .. } => ErrorCode::NoSequence,
            Refusal::TooLong { .. } => ErrorCode::BadMessage,
            Refusal::NotAttached => ErrorCode::NotOpen,
            Refusal::Shutdown | Refusal::Removed => ErrorCode::Shutdown,
        };
        Failure::new(code, refusal.to_string())
    }
}

impl From<&ControlError> for Failure {
    fn from(error: &ControlError) -> Failure {
        match error {
            ControlError::Refused(refusal) => refusal.into(),
            ControlError::Device(sentence) => Failure::new(ErrorCode::Device, sentence),
            ControlError::Step { .. } => Failure::new(ErrorCode::Device, error.to_string()),
            ControlError::NotSeen { arrived, .. } => Failure {
                partial: arrived.clone(),
                ..Failure::new(ErrorCode::Timeout, error.to_string())
            },
        }
    }
}

/// A board's reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Replied {
    pub(super) reply: Bytes,
    pub(super) unsolicited: Bytes,
    pub(super) from: Offset,
    pub(super) to: Offset,
    pub(super) took: Duration,
}

impl Replied {
    /// The answer of a session.
    pub(super) fn answer(self) -> Reply {
        Reply {
            reply: Blob(self.reply),
            from: self.from.0,
            to: self.to.0,
            took_us: u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX),
            unsolicited: some(self.unsolicited),
        }
    }
}

/// Nothing is not told.
fn some(bytes: Bytes) -> Option<Blob> {
    (!bytes.is_empty()).then_some(Blob(bytes))
}

/// How an ask ended.
pub(super) fn replied(outcome: AskOutcome) -> Result<Replied, Failure> {
    Err(match outcome {
        AskOutcome::Reply {
            reply,
            unsolicited,
            from,
            to,
            took,
        } => {
            return Ok(Replied {
                reply,
                unsolicited,
                from,
                to,
                took,
            });
        }
        AskOutcome::BoardError(board) => Failure {
            partial: board.before,
            board: Some(Box::new(Replied {
                reply: board.words,
                unsolicited: board.unsolicited,
                from: board.from,
                to: board.to,
                took: board.took,
            })),
            ..Failure::new(ErrorCode::BoardError, board.sentence)
        },
        AskOutcome::TimedOut { partial, after } => Failure {
            partial,
            ..Failure::new(
                ErrorCode::Timeout,
                format!("no whole reply within {}", format_duration(after)),
            )
        },
        AskOutcome::DeviceLost { partial, reason } => Failure {
            partial,
            ..Failure::new(
                ErrorCode::DeviceLost,
                format!("the device was lost before the reply was whole: {reason}"),
            )
        },
        AskOutcome::Refused(refusal) => (&refusal).into(),
        AskOutcome::TooBig { limit } => Failure::new(
            ErrorCode::TooBig,
            format!("the reply is longer than {limit} bytes"),
        ),
        AskOutcome::Cancelled => Failure::new(ErrorCode::Cancelled, "the ask was taken back"),
    })
}
