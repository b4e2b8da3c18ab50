//! What can be wrong with a payload, and how that is told to whoever sent it.

use super::{ErrorAnswer, ErrorCode};

/// What is wrong with a payload. The texts are short: they travel back to the peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Neither `{` nor a digit begins it.
    #[error("a payload must begin with \"{{\" (control) or a digit (data), not {found}")]
    NeitherControlNorData {
        /// The first byte, printable or as hex.
        found: String,
    },
    /// Data without an offset.
    #[error("data must begin with a decimal offset and \":\": {problem}")]
    BadOffset {
        /// What is wrong.
        problem: String,
    },
    /// Not JSON.
    #[error("control is not JSON: {problem}")]
    NotJson {
        /// The parser's words, with line and column.
        problem: String,
    },
    /// JSON of no known kind.
    #[error("no known message: none of its keys names one ({keys})")]
    UnknownKind {
        /// The keys it has.
        keys: String,
        /// The id it carried, for the answer.
        id: Option<u64>,
    },
    /// Two keys that name a kind, so it is not clear what is wanted.
    #[error("two messages in one: both \"{first}\" and \"{second}\" name a kind")]
    TwoKinds {
        /// One of them, the first in the order of [`REQUEST_KINDS`](super::REQUEST_KINDS).
        first: &'static str,
        /// The next in that order.
        second: &'static str,
        /// The id it carried, for the answer.
        id: Option<u64>,
    },
    /// A known kind with a wrong or missing field.
    #[error("{kind}: {problem}")]
    BadField {
        /// The kind.
        kind: &'static str,
        /// The parser's words.
        problem: String,
        /// The id it carried, for the answer.
        id: Option<u64>,
    },
}

impl MessageError {
    /// The id the message carried, as far as it could be understood.
    pub fn id(&self) -> Option<u64> {
        match *self {
            MessageError::UnknownKind { id, .. }
            | MessageError::TwoKinds { id, .. }
            | MessageError::BadField { id, .. } => id,
            MessageError::NeitherControlNorData { .. }
            | MessageError::BadOffset { .. }
            | MessageError::NotJson { .. } => None,
        }
    }

    /// What to answer to whoever sent it (with [`MessageError::id`]).
    pub fn answer(&self) -> ErrorAnswer {
        let error = match self {
            MessageError::UnknownKind { .. } => ErrorCode::UnknownMessage,
            _ => ErrorCode::BadMessage,
        };
        ErrorAnswer::new(error, self.to_string())
    }
}
