//! What a gateway itself says in a plain conversation: the acknowledgement and failures. Not replies, which are the
//! board's own bytes.

use crate::message::ErrorCode;

/// What a plain conversation answers to bytes that went to a board without an interpreter.
pub const DATA_RECEIVED: &str = "Server notification: data received";

/// The answer to a command that failed: `error: <code>: <sentence>`.
pub fn failure(code: &ErrorCode, sentence: &str) -> String {
    format!("error: {code}: {sentence}")
}

/// The code and the sentence, if an answer is a failure: it has the form [`failure`] gives, with a code this crate knows.
/// A board may say the same words; a client that must tell the two apart should use a session.
pub fn as_failure(answer: &[u8]) -> Option<(ErrorCode, &str)> {
    let (code, sentence) = std::str::from_utf8(answer)
        .ok()?
        .strip_prefix("error: ")?
        .split_once(": ")?;
    Some((ErrorCode::known(code)?, sentence))
}
