//! Regular expressions over a board's bytes, as they are typed after `--expect` and `uart expect`. Not where they are
//! looked for.

use std::fmt;
use std::ops::Range;

use regex::bytes::{Regex, RegexBuilder};

/// How much memory a compiled expression may take, in bytes: a typed `x{9999999}` is a mistake to tell, not to carry out.
const SIZE_LIMIT: usize = 1 << 20;

/// A regular expression over bytes: any of them, not only UTF-8. `^` and `$` are the edges of lines that end in LF or CR LF,
/// and classes such as `\w` are ASCII's.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// Understands what was typed.
    ///
    /// # Errors
    /// It is no regular expression; the words of the error show where.
    pub(crate) fn parse(text: &str) -> Result<Pattern, String> {
        let regex = RegexBuilder::new(&in_ascii(text))
            .unicode(false)
            .multi_line(true)
            .crlf(true)
            .size_limit(SIZE_LIMIT)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Pattern {
            text: text.to_owned(),
            regex,
        })
    }

    /// Where it is found first.
    pub(crate) fn find(&self, bytes: &[u8]) -> Option<Range<usize>> {
        self.find_from(bytes, 0)
    }

    /// Where it is found first, from this place on; what stands before it tells whether a line begins there.
    pub(crate) fn find_from(&self, bytes: &[u8], start: usize) -> Option<Range<usize>> {
        self.regex.find_at(bytes, start).map(|found| found.range())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A letter beyond ASCII as its bytes in UTF-8, which is what a board sends for it. In a class, `[äö]`, that is any of these
/// bytes.
fn in_ascii(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    let mut in_class = false;
    let mut escaped = false;
    for letter in text.chars() {
        if letter.is_ascii() {
            match letter {
                _ if escaped => {}
                '[' => in_class = true,
                ']' => in_class = false,
                _ => {}
            }
            escaped = letter == '\\' && !escaped;
            pattern.push(letter);
            continue;
        }
        escaped = false;
        let mut buffer = [0; 4];
        let bytes = letter.encode_utf8(&mut buffer).bytes();
        let bytes: String = bytes.map(|byte| format!("\\x{byte:02x}")).collect();
        pattern.push_str(&match in_class {
            true => bytes,
            false => format!("(?:{bytes})"),
        });
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'a>(pattern: &str, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let pattern = Pattern::parse(pattern).unwrap();
        pattern.find(bytes).map(|range| &bytes[range])
    }

    #[test]
    fn any_byte_can_be_looked_for() {
        for (pattern, bytes, expected) in [
            (r"\d+", &b"T 17 21.5"[..], Some(&b"17"[..])),
            ("ready", b"not yet", None),
            (r"\xff\x00", b"a\xff\x00b", Some(b"\xff\x00")),
            ("a.b", b"a\xffb", Some(b"a\xffb")),
            ("(?i)ok", b"OK", Some(b"OK")),
            ("ä+", "xäää".as_bytes(), Some("äää".as_bytes())),
            (r"\d+ °C|\\°", "21 °C".as_bytes(), Some("21 °C".as_bytes())),
            ("[°x]C", "21 °C".as_bytes(), Some(b"\xb0C")),
        ] {
            assert_eq!(found(pattern, bytes), expected, "{pattern}");
        }
    }

    #[test]
    fn edges_are_those_of_lines_whatever_ends_them() {
        assert_eq!(found("^ON$", b"LED?\r\nON\r\n> "), Some(&b"ON"[..]));
        assert_eq!(found("^ON$", b"LED?\nON\n"), Some(&b"ON"[..]));
        assert_eq!(found("^ON$", b"LED ON"), None);
        assert_eq!(found(r"\AON\z", b"x\nON"), None);
    }

    #[test]
    fn mistakes_are_shown_and_monsters_refused() {
        assert!(Pattern::parse("a(b").unwrap_err().contains("unclosed"));
        assert!(
            Pattern::parse("(x{1000}){1000}")
                .unwrap_err()
                .contains("size limit")
        );
    }
}
