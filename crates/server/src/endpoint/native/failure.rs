//! What the hub refused or could not do, in the protocol's codes: one place for plain conversation and session.

use std::time::Duration;

use bytes::Bytes;
use humantime::format_duration;
use uartnet_hub::{AskOutcome, ControlError, Offset, Refusal};
use uartnet_proto::message::{Blob, ErrorAnswer, ErrorCode};
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
}

impl Failure {
    pub(super) fn new(code: ErrorCode, sentence: impl Into<String>) -> Failure {
        Failure {
            code,
            sentence: sentence.into(),
            partial: Bytes::new(),
            write_offset: None,
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
        let partial = (!self.partial.is_empty()).then_some(Blob(self.partial));
        ErrorAnswer {
            error: self.code,
            message: self.sentence,
            partial,
            write_offset: self.write_offset,
        }
    }
}

impl From<&Refusal> for Failure {
    fn from(refusal: &Refusal) -> Failure {
        let code = match refusal {
            Refusal::Access { .. } => ErrorCode::Forbidden,
            Refusal::ReadOnly => ErrorCode::ReadOnly,
            Refusal::Leased { .. } => ErrorCode::Leased,
            Refusal::NotExclusive => ErrorCode::NotExclusive,
            Refusal::Absent { .. } => ErrorCode::Absent,
            Refusal::Busy { .. } => ErrorCode::Busy,
            Refusal::Waited { .. } => ErrorCode::Waited,
            Refusal::NoProfile => ErrorCode::NoProfile,
            Refusal::NotOneLine => ErrorCode::BadCommand,
            Refusal::NoSequence { .. } => ErrorCode::NoSequence,
            Refusal::TooLong { .. } => ErrorCode::BadMessage,
            Refusal::NotAttached => ErrorCode::NotOpen,
            Refusal::Shutdown => ErrorCode::Shutdown,
        };
        Failure::new(code, refusal.to_string())
    }
}

impl From<&ControlError> for Failure {
    fn from(error: &ControlError) -> Failure {
        match error {
            ControlError::Refused(refusal) => refusal.into(),
            ControlError::Device(sentence) => Failure::new(ErrorCode::Device, sentence),
        }
    }
}

/// A board's reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Replied {
    pub(super) reply: Bytes,
    pub(super) from: Offset,
    pub(super) to: Offset,
    pub(super) took: Duration,
}

/// How an ask ended.
pub(super) fn replied(outcome: AskOutcome) -> Result<Replied, Failure> {
    Err(match outcome {
        AskOutcome::Reply {
            reply,
            from,
            to,
            took,
        } => {
            return Ok(Replied {
                reply,
                from,
                to,
                took,
            });
        }
        AskOutcome::TimedOut { partial, after } => Failure {
            code: ErrorCode::Timeout,
            sentence: format!("no whole reply within {}", format_duration(after)),
            partial,
            write_offset: None,
        },
        AskOutcome::DeviceLost { partial, reason } => Failure {
            code: ErrorCode::DeviceLost,
            sentence: format!("the device was lost before the reply was whole: {reason}"),
            partial,
            write_offset: None,
        },
        AskOutcome::Refused(refusal) => (&refusal).into(),
        AskOutcome::TooBig { limit } => Failure::new(
            ErrorCode::TooBig,
            format!("the reply is longer than {limit} bytes"),
        ),
        AskOutcome::Cancelled => Failure::new(ErrorCode::Cancelled, "the ask was taken back"),
    })
}
