//! The steps of a named sequence, as people write them, and the sequences that every port has. Not when a step is done; that
//! is `sequencer`.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use humantime::format_duration;
use uart_iface::{Baud, LineSettings, OutputChange, Purge};
use uartnet_interpreter::Pattern;

/// A named list of steps, e.g. `dtr=off rts=on`, `100ms`, `rts=off`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// Its name.
    pub name: String,
    /// Its steps, in order.
    pub steps: VecDeque<Step>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `dtr=on`, `rts=off`, or both.
    Outputs(OutputChange),
    /// `break=on` or `break=off`.
    Break(bool),
    /// `break=250ms`: a break of this length.
    BreakFor(Duration),
    /// A delay, counted from when the step before was due, so that delays do not add up errors.
    Delay(Duration),
    /// `line=9600-8n1`: these line settings. They stay when the sequence is done, and go back when it fails.
    Line(LineSettings),
    /// `baud=1500000`: this rate, the rest as it is; otherwise as [`Step::Line`].
    Baud(Baud),
    /// `purge=receive`, `purge=transmit`, `purge=both`.
    Purge(Purge),
    /// `send=TEXT`, `hex=0d0a`: these bytes are written.
    Send(Bytes),
    /// `expect=TEXT`, `expect_regex=PATTERN`, `within=2s expect=TEXT`: goes on when this has arrived.
    Expect {
        /// What is waited for.
        what: Expected,
        /// How long they may take, from when the step before was due.
        within: Duration,
    },
}

/// What a step waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// These bytes, not empty.
    Text(Bytes),
    /// What this matches.
    Pattern(Pattern),
}

impl Expected {
    /// Where it ends in these bytes, the first time it is there at or behind `start`.
    pub(crate) fn end_in(&self, bytes: &[u8], start: usize) -> Option<usize> {
        match self {
            Expected::Text(text) => {
                let rest = bytes.get(start..)?;
                let at = rest.windows(text.len()).position(|at| at == text)?;
                Some(start + at + text.len())
            }
            // What stands before `start` tells whether a line begins there.
            Expected::Pattern(pattern) => Some(pattern.find_from(bytes, start)?.end),
        }
    }
}

/// A step that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not a step: {problem}")]
pub struct SequenceError {
    /// The step as it was given.
    pub text: String,
    /// What would be right.
    pub problem: String,
}

/// The longest delay of one step, and the longest wait: a typing error should not hold a port for a day.
const LONGEST_DELAY: Duration = Duration::from_secs(3600);

/// How long a text is waited for where nothing is said.
const WITHIN: Duration = Duration::from_secs(5);

/// The most that one step sends or waits for, in bytes.
const LONGEST_TEXT: usize = 4096;

/// What every port has, unless a sequence of its own has the same name.
///
/// - The ESP ones are for boards whose RTS pulls EN low and whose DTR pulls IO0 low, each only while the other line is not
///   asserted (the two transistors of Espressif's development boards): EN low resets the chip, and the level of IO0 when EN
///   rises decides between the loader in ROM (low) and the flashed program (high).
/// - Arduino boards reset when DTR (on some adapters RTS) becomes asserted, through a capacitor; the time before lets it
///   discharge, the time after lets the boot loader come up.
const BUILT_IN: &[(&str, &[&str])] = &[
    (
        "esp-bootloader",
        &[
            "dtr=off rts=on",
            "100ms",
            "dtr=on rts=off",
            "50ms",
            "dtr=off",
        ],
    ),
    ("esp-reset", &["dtr=off rts=on", "100ms", "rts=off"]),
    (
        "arduino-reset",
        &["dtr=off rts=off", "250ms", "dtr=on rts=on", "50ms"],
    ),
];

impl Sequence {
    /// The sequences of a port: its own, and those that every port has and that its own do not replace.
    pub fn all(own: &[Sequence]) -> Vec<Sequence> {
        let built_in = BUILT_IN
            .iter()
            .filter(|(name, _)| own.iter().all(|sequence| sequence.name != *name));
        let built_in = built_in.map(|(name, steps)| Sequence {
            name: (*name).to_owned(),
            steps: steps.iter().flat_map(|step| step.parse()).collect(),
        });
        own.iter().cloned().chain(built_in).collect()
    }
}

impl FromStr for Step {
    type Err = SequenceError;

    /// `dtr=on`, `rts=off`, `dtr=off rts=on`, `break=on`, `break=off`, `break=250ms`; a delay: `100ms`, `1.5s`, at most one
    /// hour; `line=9600-8n1`, `baud=9600`; `purge=receive`; `send=TEXT`, `hex=0d0a`; `expect=TEXT`, `expect_regex=PATTERN`,
    /// `within=2s expect=TEXT`.
    fn from_str(text: &str) -> Result<Self, SequenceError> {
        parse(text).map_err(|problem| SequenceError {
            text: text.to_owned(),
            problem: problem.into_owned(),
        })
    }
}

type Problem = Cow<'static, str>;

const USAGE: &str = "write dtr=on, rts=off, break=250ms, line=9600-8n1, baud=9600, purge=receive, send=TEXT, hex=0d0a, \
     expect=TEXT, expect_regex=PATTERN or a delay like 100ms";

fn parse(text: &str) -> Result<Step, Problem> {
    // A text to send or to wait for goes on to the very end, spaces included.
    let begun = text.trim_start();
    let Some((name, value)) = begun.split_once('=') else {
        return match humantime::parse_duration(text.trim()) {
            Ok(delay) if delay <= LONGEST_DELAY => Ok(Step::Delay(delay)),
            Ok(_) => Err("a delay is at most one hour".into()),
            Err(_) => Err(USAGE.into()),
        };
    };
    let word = value.trim_end();
    match name {
        "send" => Ok(Step::Send(text_of("send", value)?)),
        "hex" => Ok(Step::Send(hex(value)?)),
        "expect" | "expect_regex" => Ok(Step::Expect {
            what: expected(begun)?,
            within: WITHIN,
        }),
        "within" => {
            let (within, rest) = value.split_once(' ').unwrap_or((value, ""));
            Ok(Step::Expect {
                what: expected(rest.trim_start())?,
                within: time("within", within, LONGEST_DELAY)?,
            })
        }
        "line" => match word.parse() {
            Ok(line) => Ok(Step::Line(line)),
            Err(error) => Err(error.to_string().into()),
        },
        "baud" => match word.parse::<LineSettings>() {
            Ok(line) if word.bytes().all(|digit| digit.is_ascii_digit()) => {
                Ok(Step::Baud(line.baud))
            }
            _ => Err(format!("\"{word}\" is not a baud rate").into()),
        },
        "purge" => match word {
            "receive" => Ok(Step::Purge(Purge::Receive)),
            "transmit" => Ok(Step::Purge(Purge::Transmit)),
            "both" => Ok(Step::Purge(Purge::Both)),
            _ => Err(format!("\"{word}\" should be receive, transmit or both").into()),
        },
        "break" if !word.contains(' ') && !matches!(word, "on" | "off") => Ok(Step::BreakFor(
            time("a break", word, crate::sequencer::LONGEST_BREAK)?,
        )),
        _ => outputs(text),
    }
}

/// `expect=TEXT` or `expect_regex=PATTERN`.
fn expected(text: &str) -> Result<Expected, Problem> {
    if let Some(text) = text.strip_prefix("expect=") {
        return Ok(Expected::Text(text_of("expect", text)?));
    }
    match text.strip_prefix("expect_regex=").map(str::parse) {
        Some(Ok(pattern)) => Ok(Expected::Pattern(pattern)),
        Some(Err(error)) => Err(error.to_string().into()),
        None => Err("write what is waited for behind it: within=2s expect=TEXT".into()),
    }
}

/// `dtr=on`, `rts=off`, both in one, or `break=on`.
fn outputs(text: &str) -> Result<Step, Problem> {
    let mut outputs = OutputChange::default();
    let mut holds_break = None;
    for part in text.split_whitespace() {
        let Some((name, value)) = part.split_once('=') else {
            return Err(
                format!("\"{part}\" stands beside a signal; a delay is a step of its own").into(),
            );
        };
        let signal = match name {
            "dtr" => &mut outputs.dtr,
            "rts" => &mut outputs.rts,
            "break" => &mut holds_break,
            _ => return Err(format!("there is no \"{name}\"; {USAGE}").into()),
        };
        let on = match value {
            "on" => true,
            "off" => false,
            _ => return Err(format!("\"{value}\" should be on or off").into()),
        };
        if signal.replace(on).is_some() {
            return Err(format!("{name} is there twice").into());
        }
    }
    match holds_break {
        None => Ok(Step::Outputs(outputs)),
        Some(on) if outputs == OutputChange::default() => Ok(Step::Break(on)),
        Some(_) => Err("a break is a step of its own".into()),
    }
}

fn time(what: &str, text: &str, longest: Duration) -> Result<Duration, Problem> {
    match humantime::parse_duration(text) {
        Ok(time) if !time.is_zero() && time <= longest => Ok(time),
        Ok(_) => Err(format!(
            "{what} takes more than 0s and at most {}",
            format_duration(longest)
        )
        .into()),
        Err(_) => Err(format!("\"{text}\" is not a time").into()),
    }
}

fn text_of(what: &str, text: &str) -> Result<Bytes, Problem> {
    let bytes = unescape(text)?;
    match bytes.len() {
        1..=LONGEST_TEXT => Ok(bytes.into()),
        0 => Err(format!("{what} needs a text").into()),
        _ => Err(format!("{what} takes at most {LONGEST_TEXT} bytes").into()),
    }
}

fn hex(text: &str) -> Result<Bytes, Problem> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16))
        .collect::<Option<_>>()
        .ok_or("hex is digits 0 to 9 and a to f: hex=01 ff 0d")?;
    if digits.is_empty() || digits.len() % 2 == 1 || digits.len() > 2 * LONGEST_TEXT {
        return Err(format!("hex is two digits a byte, 1 to {LONGEST_TEXT} bytes").into());
    }
    let bytes = digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8);
    Ok(bytes.collect())
}

/// The bytes of a text in which `\r \n \t \0 \e \\` and `\xHH` are escapes.
///
/// # Errors
/// What is wrong with it, as a part of a sentence.
pub fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        bytes.push(match rest.next() {
            Some('r') => b'\r',
            Some('n') => b'\n',
            Some('t') => b'\t',
            Some('0') => 0,
            Some('e') => 0x1b,
            Some('\\') => b'\\',
            Some('x') => {
                let digits: String = rest.by_ref().take(2).collect();
                let two_digits =
                    digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                match u8::from_str_radix(&digits, 16) {
                    Ok(byte) if two_digits => byte,
                    _ => return Err("\\x must be followed by two hexadecimal digits".to_owned()),
                }
            }
            Some(other) => return Err(format!("there is no escape \\{other}")),
            None => return Err("it ends in a single \\".to_owned()),
        });
    }
    Ok(bytes)
}

impl fmt::Display for Step {
    /// As it is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on_off = |on: bool| if on { "on" } else { "off" };
        match self {
            Step::Outputs(OutputChange { dtr, rts }) => {
                let dtr = dtr.map(|on| format!("dtr={}", on_off(on)));
                let rts = rts.map(|on| format!("rts={}", on_off(on)));
                let both: Vec<String> = dtr.into_iter().chain(rts).collect();
                f.write_str(&both.join(" "))
            }
            Step::Break(on) => write!(f, "break={}", on_off(*on)),
            Step::BreakFor(length) => write!(f, "break={}", format_duration(*length)),
            Step::Delay(delay) => write!(f, "{}", format_duration(*delay)),
            Step::Line(line) => write!(f, "line={line}"),
            Step::Baud(baud) => write!(f, "baud={baud}"),
            Step::Purge(Purge::Receive) => f.write_str("purge=receive"),
            Step::Purge(Purge::Transmit) => f.write_str("purge=transmit"),
            Step::Purge(Purge::Both) => f.write_str("purge=both"),
            Step::Send(bytes) => write!(f, "send={}", escaped(bytes)),
            Step::Expect { what, within } => {
                let within = format_duration(*within).to_string().replace(' ', "");
                match what {
                    Expected::Text(text) => write!(f, "within={within} expect={}", escaped(text)),
                    Expected::Pattern(pattern) => {
                        write!(f, "within={within} expect_regex={pattern}")
                    }
                }
            }
        }
    }
}

/// A text that [`unescape`] makes these bytes of.
fn escaped(bytes: &[u8]) -> String {
    let quoted = |c: char| matches!(c, '\'' | '"');
    // Quotes need no escape here, and have none.
    bytes
        .iter()
        .map(|&byte| match byte {
            _ if quoted(byte.into()) => char::from(byte).to_string(),
            _ => byte.escape_ascii().to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_people_write() {
        let outputs = |dtr, rts| Step::Outputs(OutputChange { dtr, rts });
        let expect = |text: &'static str, within| Step::Expect {
            what: Expected::Text(text.into()),
            within,
        };
        for (text, step) in [
            ("dtr=on", outputs(Some(true), None)),
            ("rts=off", outputs(None, Some(false))),
            (" dtr=off  rts=on ", outputs(Some(false), Some(true))),
            ("break=on", Step::Break(true)),
            ("break=off", Step::Break(false)),
            ("break=250ms", Step::BreakFor(Duration::from_millis(250))),
            ("100ms", Step::Delay(Duration::from_millis(100))),
            ("1.5s", Step::Delay(Duration::from_millis(1500))),
            ("2s", Step::Delay(Duration::from_secs(2))),
            ("1h", Step::Delay(Duration::from_secs(3600))),
            ("line=9600-7e1", Step::Line("9600-7e1".parse().unwrap())),
            (
                "baud=1500000",
                Step::Baud("1500000".parse::<LineSettings>().unwrap().baud),
            ),
            ("purge=both", Step::Purge(Purge::Both)),
            ("send=AT\\r", Step::Send("AT\r".into())),
            ("send= = \"'", Step::Send(" = \"'".into())),
            ("hex=0d 0A ff", Step::Send((&b"\r\n\xff"[..]).into())),
            ("expect=login: ", expect("login: ", WITHIN)),
            (
                "within=1m expect=\\xff= ",
                Step::Expect {
                    what: Expected::Text((&b"\xff= "[..]).into()),
                    within: Duration::from_secs(60),
                },
            ),
            (
                r"within=2s expect_regex=^login: |\d+=\xff ",
                Step::Expect {
                    what: Expected::Pattern(r"^login: |\d+=\xff ".parse().unwrap()),
                    within: Duration::from_secs(2),
                },
            ),
        ] {
            assert_eq!(text.parse::<Step>().unwrap(), step, "{text}");
            assert_eq!(step.to_string().parse::<Step>().unwrap(), step, "{step}");
        }
    }

    #[test]
    fn everything_else_says_what_would_be_right() {
        for (text, problem) in [
            ("", "write dtr=on"),
            ("100", "write dtr=on"),
            ("-1s", "write dtr=on"),
            ("2h", "at most one hour"),
            ("dtr", "write dtr=on"),
            ("dtr=1", "\"1\" should be on or off"),
            ("cts=on", "there is no \"cts\"; write dtr=on"),
            ("=", "there is no \"\""),
            ("dtr=on 100ms", "\"100ms\" stands beside a signal"),
            ("dtr=on dtr=off", "dtr is there twice"),
            ("break=on rts=on", "a step of its own"),
            ("break=0s", "more than 0s"),
            ("break=2m", "at most 1m"),
            ("break=long", "\"long\" is not a time"),
            ("line=9600-9n1", "is not a line setting"),
            ("baud=9600-8n1", "is not a baud rate"),
            ("purge=all", "receive, transmit or both"),
            ("send=", "send needs a text"),
            ("send=\\q", "there is no escape \\q"),
            ("hex=1", "two digits a byte"),
            ("hex=xy", "digits 0 to 9"),
            ("expect=", "expect needs a text"),
            ("expect_regex=", "1 to 256 bytes"),
            ("expect_regex=(", "unclosed group"),
            ("within=2s", "within=2s expect=TEXT"),
            ("within=2s 100ms", "within=2s expect=TEXT"),
            ("within=2 expect=x", "\"2\" is not a time"),
        ] {
            let error = text.parse::<Step>().unwrap_err().to_string();
            assert!(
                error.contains(problem) && error.contains(&format!("\"{text}\"")),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn what_every_port_has_can_be_read_and_replaced() {
        let all = Sequence::all(&[]);
        assert_eq!(all.len(), BUILT_IN.len());
        for (sequence, (name, steps)) in all.iter().zip(BUILT_IN) {
            assert_eq!(
                (sequence.name.as_str(), sequence.steps.len()),
                (*name, steps.len())
            );
        }
        let own = Sequence {
            name: "esp-reset".into(),
            steps: VecDeque::new(),
        };
        let all = Sequence::all(std::slice::from_ref(&own));
        assert_eq!(all.len(), BUILT_IN.len());
        assert_eq!(all[0], own);
    }
}
