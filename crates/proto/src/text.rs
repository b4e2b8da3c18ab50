//! Small helpers for numbers and texts on the wire, shared by frames and messages. Not a format of its own.

use bytes::BytesMut;

/// How many decimal digits this number has; 0 has one.
pub(crate) fn decimal_digits(value: u64) -> usize {
    value.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// Appends this number in decimal.
pub(crate) fn put_decimal(mut value: u64, out: &mut BytesMut) {
    let mut digits = [b'0'; 20]; // u64::MAX has 20
    let mut begin = digits.len();
    loop {
        begin -= 1;
        digits[begin] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[begin..]);
}

/// A byte as a person can read it: quoted if it is printable ASCII, else as hex.
pub(crate) fn shown(byte: u8) -> String {
    match byte {
        b' '..=b'~' => format!("\"{}\"", byte as char),
        _ => format!("0x{byte:02x}"),
    }
}

/// At most `limit` characters of a text, with `…` where something was left out: what a peer sent must not come back to
/// it at full length.
pub(crate) fn shortened(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
