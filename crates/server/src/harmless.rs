//! What may be written as it is into a file or onto a terminal for people to read, and what must not. Not how what must not
//! is written; a text log and JSON have escapes of their own.

use std::fmt::Write as _;

use serde::Serialize;

/// Whether a letter beyond ASCII may stand for itself: not controls, and nothing that hides or reorders text.
pub(crate) fn is_seen(letter: char) -> bool {
    !letter.is_control()
        && !matches!(
            letter,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff0}'..='\u{ffff}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// A value as JSON on one line that a terminal can show: the same value as `serde_json` writes, which escapes only what JSON demands
/// (so not DEL, not the C1 controls, and not what reorders text).
pub(crate) fn json(value: &impl Serialize) -> serde_json::Result<String> {
    let plain = serde_json::to_string(value)?;
    if plain.chars().all(is_seen) {
        return Ok(plain);
    }
    let mut shown = String::with_capacity(plain.len() + 16);
    for letter in plain.chars() {
        if is_seen(letter) {
            shown.push(letter);
            continue;
        }
        // Only in texts is there anything but ASCII, so an escape is right wherever it stands.
        for unit in letter.encode_utf16(&mut [0; 2]) {
            // Writing to a text cannot fail.
            let _ = write!(shown, "\\u{unit:04x}");
        }
    }
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_the_same_value_and_does_nothing_to_a_terminal() {
        for (text, shown) in [
            ("größer 日本 🙂", "\"größer 日本 🙂\""),
            ("\u{1b}[2J", "\"\\u001b[2J\""),
            ("\u{9b}2J\u{7f}\u{202e}", "\"\\u009b2J\\u007f\\u202e\""),
            ("\u{e0041}", "\"\\udb40\\udc41\""),
        ] {
            let json = json(&text).unwrap();
            assert_eq!(json, shown);
            let back: String = serde_json::from_str(&json).unwrap();
            assert_eq!(back, text);
        }
    }
}
