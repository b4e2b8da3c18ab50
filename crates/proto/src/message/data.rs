//! Data: `<offset>:<bytes>`, the same in both directions.

use bytes::{Bytes, BytesMut};

use super::MessageError;
use crate::text::{decimal_digits, put_decimal, shown};

/// The digits of the largest offset.
const MAX_DIGITS: usize = 20;

/// Appends the header of a data payload, `<offset>:`; the bytes follow it. For senders that frame shared bytes without
/// copying them into a payload first.
pub fn data_header(offset: u64, out: &mut BytesMut) {
    put_decimal(offset, out);
    out.extend_from_slice(b":");
}

/// How many bytes of data a frame of at most `max_frame` bytes has room for, whatever their offset; at least 1, because
/// less would be a stream that never moves.
pub fn data_room(max_frame: usize) -> usize {
    let prefix = decimal_digits(max_frame as u64) + 1;
    max_frame.saturating_sub(prefix + MAX_DIGITS + 1).max(1)
}

/// Splits a data payload into its offset and its bytes, which share the payload's memory.
pub(super) fn decode(payload: &Bytes) -> Result<(u64, Bytes), MessageError> {
    let bad = |problem: String| MessageError::BadOffset { problem };
    let digits = payload
        .iter()
        .take(MAX_DIGITS + 1)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if digits > MAX_DIGITS {
        return Err(bad(format!("more than {MAX_DIGITS} digits")));
    }
    match payload.get(digits) {
        Some(b':') => {}
        Some(&other) => return Err(bad(format!("byte {digits} is {}", shown(other)))),
        None => return Err(bad(format!("it ends at byte {digits}"))),
    }
    if digits > 1 && payload[0] == b'0' {
        return Err(bad("it begins with 0".to_owned()));
    }
    let offset = payload[..digits]
        .iter()
        .try_fold(0u64, |value, digit| {
            value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        })
        .ok_or_else(|| bad(format!("it is larger than {}", u64::MAX)))?;
    Ok((offset, payload.slice(digits + 1..)))
}
