//! Regular expressions over what boards send: bytes, not text, and bounded in size. Not when they are tried; that is the
//! matchers' business.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};

/// The longest pattern, in bytes.
pub const LONGEST_PATTERN: usize = 256;

/// How much memory a compiled pattern may take, in bytes: plenty for a prompt, too little for `(a{1000}){1000}`.
const COMPILED: usize = 256 << 10;

/// A regular expression over bytes, in the syntax of Rust's `regex` without Unicode classes: `\d`, `\w` and `\s` are ASCII,
/// `.` is any byte but LF. A letter beyond ASCII stands for its bytes in UTF-8.
#[derive(Clone)]
pub struct Pattern(Arc<Compiled>);

/// Shared: every ask has a copy.
struct Compiled {
    text: String,
    /// Matches somewhere; `^` and `$` are the beginning and end of a line.
    within: Regex,
    /// Matches a line as a whole.
    whole: Regex,
}

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct PatternError {
    problem: String,
}

impl Pattern {
    /// Whether it matches somewhere in these bytes. `^` and `$` are the beginning and the end of a line, however it ends.
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        self.0.within.is_match(bytes)
    }

    /// Whether it matches these bytes (one line) from their beginning to their end.
    pub fn is_whole(&self, line: &[u8]) -> bool {
        self.0.whole.is_match(line)
    }

    /// Where it matches first, at or behind `start`; what stands before `start` tells whether a line begins there.
    pub fn find_from(&self, bytes: &[u8], start: usize) -> Option<Range<usize>> {
        let found = self.0.within.find_at(bytes, start)?;
        Some(found.range())
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Pattern, PatternError> {
        if !(1..=LONGEST_PATTERN).contains(&text.len()) {
            let problem = format!("a pattern has 1 to {LONGEST_PATTERN} bytes");
            return Err(PatternError { problem });
        }
        let compile = |text: &str| {
            RegexBuilder::new(text)
                .unicode(false)
                .multi_line(true)
                .crlf(true)
                .size_limit(COMPILED)
                .build()
                .map_err(|error| PatternError {
                    problem: last_line(&error.to_string()),
                })
        };
        // Alone first: `a)(b` must not become right by the parentheses around it.
        let within = compile(text)?;
        let whole = compile(&format!(r"\A(?:{text})\z"))?;
        Ok(Pattern(Arc::new(Compiled {
            text: text.to_owned(),
            within,
            whole,
        })))
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.0.text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

/// What is wrong, without the drawing above it that the parser makes.
fn last_line(message: &str) -> String {
    let last = message.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_in_a_reply_or_is_a_whole_line() {
        for (text, bytes, within, whole) in [
            ("^ERR", &b"ok\r\nERR 5"[..], true, false),
            ("^ERR", b"no ERR 5", false, false),
            ("5$", b"ERR 5\r\nmore", true, false),
            (r"\w+[>#] ", b"board> ", true, true),
            (r"\w+[>#] ", b"a board> ", true, false),
            (r"a|b", b"ab", true, false),
            (r"\xff\d", b"\xff7", true, true),
            ("gr\u{fc}n", "gr\u{fc}n".as_bytes(), true, true),
            ("(?i)error", b"ERROR", true, true),
        ] {
            let pattern: Pattern = text.parse().unwrap();
            assert_eq!(pattern.is_in(bytes), within, "{text}");
            assert_eq!(pattern.is_whole(bytes), whole, "{text}");
        }
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        for (text, problem) in [
            ("", "a pattern has 1 to 256 bytes"),
            ("(", "unclosed group"),
            ("a)(b", "unopened group"),
            ("((a{1000}){1000}){9}", "Compiled regex exceeds size limit"),
        ] {
            let error = text.parse::<Pattern>().unwrap_err().to_string();
            assert!(error.starts_with(problem), "{text}: {error}");
        }
        assert!("x".repeat(257).parse::<Pattern>().is_err());
    }

    #[test]
    fn a_pattern_is_found_where_it_is() {
        for (pattern, bytes, found) in [
            (r"\d+", &b"T 17 21.5"[..], Some(&b"17"[..])),
            ("ready", b"not yet", None),
            (r"\xff\x00", b"a\xff\x00b", Some(b"\xff\x00")),
            ("a.b", b"a\xffb", Some(b"a\xffb")),
            ("ä+", "xäää".as_bytes(), Some("äää".as_bytes())),
            (r"\d+ °C|\\°", "21 °C".as_bytes(), Some("21 °C".as_bytes())),
            ("^ON$", b"LED?\r\nON\r\n> ", Some(b"ON")),
            (r"\AON\z", b"x\nON", None),
        ] {
            let parsed: Pattern = pattern.parse().unwrap();
            let range = parsed.find_from(bytes, 0);
            assert_eq!(range.map(|range| &bytes[range]), found, "{pattern}");
        }
        let line: Pattern = "^b".parse().unwrap();
        assert_eq!(line.find_from(b"ab", 1), None);
        assert_eq!(line.find_from(b"\nb", 1), Some(1..2));
    }
}
