//! Text of a board, made harmless for a terminal: nothing in it moves the cursor, recolours, or reorders what is shown.

use serde::Serialize;

/// The text with everything that a terminal would obey written as an escape: `\x1b`, `\r`, `\u{9b}`. Tabs stay; bytes that
/// are not UTF-8 become `\xff`. Backslashes are not doubled, so that ordinary text stays as it is.
pub(crate) fn harmless(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\r' => shown.push_str("\\r"),
                '\n' => shown.push_str("\\n"),
                '\t' => shown.push('\t'),
                '\0'..='\x1f' | '\x7f' => shown.push_str(&format!("\\x{:02x}", letter as u32)),
                _ if is_unseen(letter) => shown.extend(letter.escape_unicode()),
                _ => shown.push(letter),
            }
        }
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    shown
}

/// The same, but lines stay lines: for what a board says over several of them.
pub(crate) fn harmless_lines(bytes: &[u8]) -> String {
    let lines = bytes.split(|byte| *byte == b'\n');
    let lines = lines.map(|line| {
        let end = line.iter().rposition(|byte| *byte != b'\r');
        harmless(&line[..end.map_or(0, |end| end + 1)])
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A value as JSON on one line that a terminal can show: the same value as `serde_json` writes, which leaves DEL, the C1 controls
/// and what reorders text as they are.
pub(crate) fn harmless_json(value: &impl Serialize) -> serde_json::Result<String> {
    let plain = serde_json::to_string(value)?;
    let mut shown = String::with_capacity(plain.len());
    for letter in plain.chars() {
        // Such letters stand only in texts, and none of them needs two units of UTF-16.
        match letter {
            _ if letter == '\x7f' || is_unseen(letter) => {
                shown.push_str(&format!("\\u{:04x}", letter as u32));
            }
            _ => shown.push(letter),
        }
    }
    Ok(shown)
}

/// The C1 controls, and what changes the order or the lines of the text around it.
fn is_unseen(letter: char) -> bool {
    matches!(letter, '\u{80}'..='\u{9f}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_stays() {
        for text in [
            "",
            "ok",
            "tab\tbed",
            "20 °C, größer",
            "日本",
            "C:\\x41",
            "🙂",
        ] {
            assert_eq!(harmless(text.as_bytes()), text);
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        for (bytes, shown) in [
            (&b"\x1b[2J"[..], "\\x1b[2J"),
            (b"a\rb\nc\0\x07\x7f", "a\\rb\\nc\\x00\\x07\\x7f"),
            ("\u{9b}2J".as_bytes(), "\\u{9b}2J"),
            ("\u{202e}txt".as_bytes(), "\\u{202e}txt"),
            (b"\xff\x9b2J\xc3", "\\xff\\x9b2J\\xc3"),
        ] {
            assert_eq!(harmless(bytes), shown);
        }
    }

    #[test]
    fn json_stays_the_same_value() {
        let text = "größer\u{1b}\u{9b}\u{7f}\u{202e}";
        let json = harmless_json(&text).unwrap();
        assert_eq!(json, "\"größer\\u001b\\u009b\\u007f\\u202e\"");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn lines_stay_lines() {
        assert_eq!(harmless_lines(b"a\r\r\n\x1b[2J\rb\n"), "a\n\\x1b[2J\\rb\n");
    }

    #[test]
    fn no_byte_at_all_gets_through_as_a_control() {
        let all: Vec<u8> = (0..=255).collect();
        assert!(!harmless(&all).chars().any(|c| c.is_control() && c != '\t'));
    }
}
