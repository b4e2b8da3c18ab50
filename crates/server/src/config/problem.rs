//! A mistake in a configuration, shown the way a compiler shows one: what is wrong, where, the line with a mark under
//! the value, and what would be right. Not what counts as a mistake; that is `check`.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// More problems than this are not shown: the first few usually explain the rest.
pub(super) const SHOWN: usize = 20;

/// How much of a long message is shown, in characters: there may be a value of any length in it.
const MESSAGE_WIDTH: usize = 400;

/// How much of a long source line is shown, in characters.
const LINE_WIDTH: usize = 100;

/// Why there is no configuration to start with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is bigger than any configuration.
    #[error("{} is bigger than {}, so it is not read", path.display(), super::values::size_text(*limit))]
    TooBig {
        /// The file.
        path: PathBuf,
        /// The largest size that is read, in bytes.
        limit: usize,
    },
    /// The file is not text.
    #[error("{}:{line}: not UTF-8: the byte 0x{byte:02x} at offset {offset} begins no character", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The line of the offending byte, counted from 1.
        line: usize,
        /// The offending byte.
        byte: u8,
        /// Its offset in the file, counted from 0.
        offset: usize,
    },
    /// What it says is not right.
    #[error(transparent)]
    Wrong(#[from] Problems),
}

impl ConfigError {
    /// All there is to say to a person, in lines. Problems stand as they are, without a prefix that would move the marks.
    pub fn told(&self) -> String {
        match self {
            ConfigError::Wrong(problems) => format!("{problems}\n"),
            other => format!("uartd: {other}\n"),
        }
    }

    /// Whether all of it stands on the command line, so that it is a mistake in usage.
    pub fn is_usage(&self) -> bool {
        match self {
            ConfigError::Wrong(problems) => problems.list.iter().all(|problem| problem.in_argument),
            ConfigError::Unreadable { .. }
            | ConfigError::TooBig { .. }
            | ConfigError::NotUtf8 { .. } => false,
        }
    }
}

/// Everything that was found wrong, each problem ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    list: Vec<Problem>,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Problem {
    rendered: String,
    in_argument: bool,
    /// Where in the file, so that problems are shown in the order of its lines; 0 for an argument.
    position: usize,
}

/// What is wrong with a value, before it is known where the value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    /// What is wrong, with the value in it.
    pub(super) message: String,
    /// What would be right.
    pub(super) help: String,
}

impl Wrong {
    pub(super) fn new(message: impl Into<String>, help: impl Into<String>) -> Wrong {
        Wrong {
            message: message.into(),
            help: help.into(),
        }
    }
}

/// A text that was written by a person: a file, or one argument of the command line.
#[derive(Debug)]
pub(super) struct Source {
    /// The file's name, or which argument it is.
    pub(super) name: String,
    /// All of it.
    pub(super) text: String,
    /// Whether it is an argument.
    pub(super) is_argument: bool,
}

/// A part of a [`Source`].
#[derive(Debug, Clone)]
pub(super) struct Place<'a> {
    pub(super) source: &'a Source,
    pub(super) span: Range<usize>,
}

/// The problems found so far, up to one more than are shown.
#[derive(Debug, Default)]
pub(super) struct Report {
    list: Vec<Problem>,
}

impl Report {
    /// Notes a problem; `place` is what the mark is put under. What would not be shown is not kept: a file can have as
    /// many mistakes as lines.
    pub(super) fn add(&mut self, place: &Place<'_>, wrong: Wrong) {
        if self.list.len() > SHOWN {
            return;
        }
        let rendered = render(place, &wrong);
        // A parser that recovers finds what never ends again and again.
        if self.list.iter().any(|problem| problem.rendered == rendered) {
            return;
        }
        self.list.push(Problem {
            rendered,
            in_argument: place.source.is_argument,
            position: if place.source.is_argument {
                0
            } else {
                place.span.start
            },
        });
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// All of them as an error, if there are any.
    pub(super) fn result(&self) -> Result<(), Problems> {
        let mut list = self.list.clone();
        list.sort_by_key(|problem| (problem.in_argument, problem.position));
        if list.is_empty() {
            Ok(())
        } else {
            Err(Problems { list })
        }
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in self.list.iter().take(SHOWN) {
            writeln!(f, "{}", problem.rendered)?;
        }
        match self.list.len() {
            1 => write!(f, "1 error"),
            count if count > SHOWN => {
                write!(f, "more than {SHOWN} errors")
            }
            count => write!(f, "{count} errors"),
        }
    }
}

impl Place<'_> {
    /// The text itself; empty where the place is between characters.
    pub(super) fn text(&self) -> &str {
        self.source.text.get(self.span.clone()).unwrap_or_default()
    }

    /// Line and column of the first character, counted from 1; columns count characters.
    pub(super) fn line_and_column(&self) -> (usize, usize) {
        let (line_start, _) = self.line_bounds();
        let line = 1 + self.source.text[..line_start].matches('\n').count();
        let column = 1 + self.source.text[line_start..self.start()].chars().count();
        (line, column)
    }

    /// Where it is, as words in a sentence.
    pub(super) fn described(&self) -> String {
        if self.source.is_argument {
            format!("in \"{}\"", self.source.text)
        } else {
            format!("in line {}", self.line_and_column().0)
        }
    }

    fn start(&self) -> usize {
        floor_char(&self.source.text, self.span.start)
    }

    fn line_bounds(&self) -> (usize, usize) {
        let text = &self.source.text;
        let start = text[..self.start()]
            .rfind('\n')
            .map_or(0, |newline| newline + 1);
        let end = text[start..]
            .find('\n')
            .map_or(text.len(), |newline| start + newline);
        (start, end)
    }
}

/// The nearest character boundary at or before `index`.
fn floor_char(text: &str, index: usize) -> usize {
    let mut index = index.min(text.len());
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

fn render(place: &Place<'_>, wrong: &Wrong) -> String {
    let (line, column) = place.line_and_column();
    let (start, end) = place.line_bounds();
    let marked =
        floor_char(&place.source.text, place.span.end.clamp(place.start(), end)).max(place.start());
    let width = place.source.text[place.start().min(end)..marked.min(end)]
        .chars()
        .count()
        .max(1);
    let source = &place.source;
    let shown: Vec<char> = source.text[start..end]
        .trim_end()
        .chars()
        .map(printable)
        .collect();

    // A long line is cut so that the marked part is inside.
    let skip = if column > LINE_WIDTH * 3 / 4 {
        column - LINE_WIDTH / 2
    } else {
        0
    };
    let window: String = shown.iter().skip(skip).take(LINE_WIDTH).collect();
    let width = width
        .min(LINE_WIDTH.saturating_sub(column - 1 - skip))
        .max(1);
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    let mut text = format!("error: {}\n", sentence(&wrong.message));
    if source.is_argument {
        text.push_str(&format!("{margin}--> {}, column {column}\n", source.name));
    } else {
        text.push_str(&format!("{margin}--> {}:{line}:{column}\n", source.name));
    }
    text.push_str(&format!("{margin} |\n{number} | {window}\n"));
    text.push_str(&format!(
        "{margin} | {}{}\n",
        " ".repeat(column - 1 - skip),
        "^".repeat(width)
    ));
    if !wrong.help.is_empty() {
        text.push_str(&format!("{margin} = {}\n", sentence(&wrong.help)));
    }
    text
}

/// A message as it may be sent to a terminal.
fn sentence(message: &str) -> String {
    let mut text: String = message.chars().take(MESSAGE_WIDTH).map(printable).collect();
    if message.chars().nth(MESSAGE_WIDTH).is_some() {
        text.push('…');
    }
    text
}

/// What may be sent to a terminal in place of a character of the source.
fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, span: Range<usize>) -> String {
        let source = Source {
            name: "a.toml".into(),
            text: text.into(),
            is_argument: false,
        };
        render(
            &Place {
                source: &source,
                span,
            },
            &Wrong::new("it is wrong", "write it right"),
        )
    }

    #[test]
    fn a_mark_stands_under_the_value() {
        assert_eq!(
            shown("a = 1\nbé = \"x\" # c\n", 12..15),
            "error: it is wrong\n --> a.toml:2:6\n  |\n2 | bé = \"x\" # c\n  |      ^^^\n  = write it right\n"
        );
    }

    #[test]
    fn any_span_of_any_text_is_shown() {
        let texts = [
            "",
            "\n",
            "é",
            "a\r\nb",
            "\t\u{1b}[31m",
            "last line without end",
            &"x".repeat(1000),
        ];
        for text in texts {
            for start in 0..=text.len() + 2 {
                for end in [start, start + 1, start + 500] {
                    let shown = shown(text, start..end);
                    assert!(
                        shown.contains('^') && !shown.contains('\u{1b}'),
                        "{text:?} {start}..{end}: {shown}"
                    );
                    assert!(
                        shown
                            .lines()
                            .all(|line| line.chars().count() <= LINE_WIDTH + 8),
                        "{shown}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_long_list_is_counted() {
        let source = Source {
            name: "a".into(),
            text: "x".into(),
            is_argument: true,
        };
        let mut report = Report::default();
        for number in 0..25 {
            report.add(
                &Place {
                    source: &source,
                    span: 0..1,
                },
                Wrong::new(format!("no {number}"), ""),
            );
        }
        let text = report.result().unwrap_err().to_string();
        assert!(
            text.contains("no 19\n") && !text.contains("no 20\n"),
            "{text}"
        );
        assert!(text.ends_with("more than 20 errors"), "{text}");
    }

    #[test]
    fn the_same_mistake_is_shown_once() {
        let source = Source {
            name: "a.toml".into(),
            text: "a = [[[".into(),
            is_argument: false,
        };
        let mut report = Report::default();
        for span in [7..7, 7..7, 6..6] {
            let place = Place {
                source: &source,
                span,
            };
            report.add(&place, Wrong::new("it never ends", ""));
        }
        assert_eq!(report.len(), 2);
    }
}
