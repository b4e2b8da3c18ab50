//! What can go wrong between a client and its gateway, each with its operands.

use std::io;
use std::time::Duration;

use uartnet_proto::KeyFingerprint;
use uartnet_proto::frame::FrameError;
use uartnet_proto::message::{ErrorAnswer, ErrorCode, MessageError};

use crate::{Address, ForeignError, TlsFailure};

/// What can go wrong between a client and its gateway.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection came about.
    #[error("cannot reach the gateway at {gateway}: {}; is uartd running? start one with: uartd", describe_io(.cause))]
    Unreachable {
        /// Where it should be.
        gateway: Address,
        /// What the operating system said.
        cause: io::Error,
    },
    /// No connection, or no welcome, came about in time.
    #[error("cannot reach the gateway at {gateway}: {awaited} within {}", human(.limit))]
    ConnectTimedOut {
        /// Where it should be.
        gateway: Address,
        /// What did not come: `no connection`, `no answer to hello`.
        awaited: &'static str,
        /// How long it was given.
        limit: Duration,
    },
    /// TLS was wanted, and did not come about.
    #[error("no TLS with the gateway at {gateway}: {cause}")]
    Tls {
        /// Where it should be.
        gateway: Address,
        /// Why.
        cause: TlsFailure,
    },
    /// The gateway is not known, and nobody said that its key is right.
    #[error(
        "the gateway at {gateway} is not known here, so nothing was said to it. Its key is {key}; if that is what \"uartd tls show\" prints there, give --pin {key} (uart login remembers it), or --accept-new"
    )]
    UnknownKey {
        /// Where it is.
        gateway: Address,
        /// The key of whoever answers there.
        key: KeyFingerprint,
    },
    /// The connection broke.
    #[error("the connection to the gateway at {gateway} broke: {}", describe_io(.cause))]
    Lost {
        /// The gateway.
        gateway: Address,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The gateway closed the connection while something was expected of it.
    #[error("the gateway at {gateway} closed the connection")]
    Closed {
        /// The gateway.
        gateway: Address,
    },
    /// The connection is open, but nothing comes, not even the answer to a ping.
    #[error("the gateway at {gateway} has been silent for {}", human(.silence))]
    Silent {
        /// The gateway.
        gateway: Address,
        /// For how long.
        silence: Duration,
    },
    /// What the gateway sent is no frame.
    #[error("what answers at {gateway} does not speak uartnet: {cause}{}", hint(.cause))]
    Frame {
        /// The gateway.
        gateway: Address,
        /// What is wrong, and where.
        cause: FrameError,
    },
    /// What the gateway sent is no message.
    #[error("the gateway at {gateway} sent something that is no message: {cause}")]
    Message {
        /// The gateway.
        gateway: Address,
        /// What is wrong.
        cause: MessageError,
    },
    /// The gateway sent a message that is no answer to the question.
    #[error("the gateway at {gateway} answered {found} where {wanted} was expected")]
    Unexpected {
        /// The gateway.
        gateway: Address,
        /// The kind of message the question is answered with.
        wanted: &'static str,
        /// What it sent instead.
        found: String,
    },
    /// The gateway lives, but does not answer this.
    #[error("no answer to {question} from the gateway at {gateway} within {}", human(.limit))]
    NoAnswer {
        /// The gateway.
        gateway: Address,
        /// The kind of question.
        question: &'static str,
        /// How long it was given.
        limit: Duration,
    },
    /// A gateway that is not uartnet's is meant, and something is wrong with it.
    #[error(transparent)]
    Foreign(#[from] ForeignError),
    /// A token would travel where others can read it.
    #[error(
        "the token for {gateway} is not sent, because nothing hides it on the way; use tls://, or an SSH tunnel, or give --insecure-token"
    )]
    Unprotected {
        /// The gateway.
        gateway: Address,
    },
    /// The gateway said no, or what it tried failed.
    #[error("{} ({})", .0.message, .0.error)]
    Refused(Box<ErrorAnswer>),
}

impl ClientError {
    /// Whether connecting again can help.
    pub fn can_pass(&self) -> bool {
        match self {
            ClientError::Unreachable { .. }
            | ClientError::ConnectTimedOut { .. }
            | ClientError::Lost { .. }
            | ClientError::Closed { .. }
            | ClientError::Silent { .. }
            | ClientError::NoAnswer { .. } => true,
            ClientError::Refused(answer) => {
                matches!(answer.error, ErrorCode::Shutdown | ErrorCode::Busy)
            }
            ClientError::Frame { .. }
            | ClientError::Message { .. }
            | ClientError::Unexpected { .. }
            | ClientError::Unprotected { .. }
            | ClientError::Tls { .. }
            | ClientError::UnknownKey { .. }
            | ClientError::Foreign(_) => false,
        }
    }
}

/// The operating system's words without their number, as part of a sentence.
pub fn describe_io(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => "an error without a name".to_owned(),
    }
}

/// What a first byte that begins an alert of TLS means.
fn hint(cause: &FrameError) -> &'static str {
    match cause {
        FrameError::NotADigit { at: 0, found: 0x15 } => {
            "; perhaps it speaks TLS: write tls:// before the address"
        }
        _ => "",
    }
}

fn human(duration: &Duration) -> humantime::FormattedDuration {
    humantime::format_duration(*duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_gateway_is_one_clear_sentence() {
        let error = ClientError::Unreachable {
            gateway: "127.0.0.1:8000".parse().unwrap(),
            cause: io::Error::from_raw_os_error(111),
        };
        assert_eq!(
            error.to_string(),
            "cannot reach the gateway at 127.0.0.1:8000: connection refused; is uartd running? start one with: uartd"
        );
    }

    #[test]
    fn a_refusal_is_the_gateways_sentence_and_its_code() {
        let answer = ErrorAnswer::new(ErrorCode::UnknownPort, "there is no port \"x\"");
        assert_eq!(
            ClientError::Refused(Box::new(answer)).to_string(),
            "there is no port \"x\" (unknown-port)"
        );
    }
}
