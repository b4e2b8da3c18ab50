//! The interpreter's command set: the one table of commands, how a line becomes words, and every error it can answer.
//! What the commands do is in the parent module.

use std::fmt;
use std::ops::RangeInclusive;

/// One command of the set.
pub(super) struct Command {
    pub(super) id: Id,
    /// Its first word, in upper case.
    pub(super) name: &'static str,
    /// How many words follow.
    pub(super) arguments: RangeInclusive<usize>,
    /// How it is written.
    pub(super) usage: &'static str,
    /// What it does, for HELP.
    pub(super) summary: &'static str,
}

/// Which command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Id {
    Help,
    Hello,
    Identity,
    Uptime,
    Echo,
    Prompt,
    Led,
    Gpio,
    Adc,
    Temperature,
    Stream,
    Sleep,
    Reset,
}

/// Every command, in the order HELP lists them.
pub(super) const COMMANDS: &[Command] = &[
    command(Id::Help, "HELP", 0..=0, "HELP", "this list"),
    command(
        Id::Hello,
        "HELLO",
        0..=usize::MAX,
        "HELLO [text]",
        "a greeting",
    ),
    command(Id::Identity, "ID", 1..=1, "ID?", "what this is"),
    command(
        Id::Uptime,
        "UPTIME",
        1..=1,
        "UPTIME?",
        "time since the start",
    ),
    command(
        Id::Echo,
        "ECHO",
        1..=1,
        "ECHO ON|OFF|?",
        "send typed characters back",
    ),
    command(
        Id::Prompt,
        "PROMPT",
        1..=1,
        "PROMPT ON|OFF|?",
        "send a prompt",
    ),
    command(Id::Led, "LED", 1..=1, "LED ON|OFF|?", "the LED"),
    command(
        Id::Gpio,
        "GPIO",
        2..=2,
        "GPIO <0-13> IN|OUT|0|1|?",
        "a digital pin",
    ),
    command(
        Id::Adc,
        "ADC",
        2..=2,
        "ADC? <0-7>",
        "an analog input, 0-1023",
    ),
    command(Id::Temperature, "TEMP", 1..=1, "TEMP?", "temperature"),
    command(
        Id::Stream,
        "STREAM",
        1..=1,
        "STREAM <10-60000 ms>|OFF|?",
        "telemetry lines",
    ),
    command(
        Id::Sleep,
        "SLEEP",
        1..=1,
        "SLEEP <0-60000 ms>",
        "do nothing for so long",
    ),
    command(Id::Reset, "RESET", 0..=0, "RESET", "start again"),
];

const fn command(
    id: Id,
    name: &'static str,
    arguments: RangeInclusive<usize>,
    usage: &'static str,
    summary: &'static str,
) -> Command {
    Command {
        id,
        name,
        arguments,
        usage,
        summary,
    }
}

/// Everything that is answered with `ERR`. The numbers never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Error {
    UnknownCommand,
    MissingArgument(&'static str),
    BadArgument(&'static str),
    TooManyArguments(&'static str),
    LineTooLong,
    PinIsInput,
    InputOverrun(u32),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::UnknownCommand => write!(f, "ERR 1 unknown command, try HELP"),
            Error::MissingArgument(usage) => write!(f, "ERR 2 missing argument: {usage}"),
            Error::BadArgument(usage) => write!(f, "ERR 3 bad argument: {usage}"),
            Error::TooManyArguments(usage) => write!(f, "ERR 4 too many arguments: {usage}"),
            Error::LineTooLong => write!(f, "ERR 5 line too long"),
            Error::PinIsInput => write!(f, "ERR 6 pin is an input"),
            Error::InputOverrun(lost) => write!(f, "ERR 7 input overrun, {lost} bytes lost"),
        }
    }
}

/// The words of a line, in upper case: what stands between spaces and tabs; a question mark is a word of its own
/// wherever it stands.
pub(super) fn words(line: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(line).to_ascii_uppercase();
    text.replace('?', " ? ")
        .split([' ', '\t'])
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The command these words begin with (they are not empty), with a right number of arguments.
pub(super) fn find(words: &[String]) -> Result<&'static Command, Error> {
    let command = words
        .first()
        .and_then(|name| COMMANDS.iter().find(|command| command.name == name))
        .ok_or(Error::UnknownCommand)?;
    let arguments = words.len() - 1;
    if arguments < *command.arguments.start() {
        return Err(Error::MissingArgument(command.usage));
    }
    if arguments > *command.arguments.end() {
        return Err(Error::TooManyArguments(command.usage));
    }
    Ok(command)
}

/// A number within `range`: 1 to 10 decimal digits, nothing else.
pub(super) fn number(word: &str, range: RangeInclusive<u32>) -> Option<u32> {
    if word.len() > 10 || !word.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    word.parse().ok().filter(|number| range.contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_words() {
        for (line, expected) in [
            (&b""[..], &[][..]),
            (b"  \t ", &[]),
            (b"led on", &["LED", "ON"]),
            (b"\tLED\t  oN ", &["LED", "ON"]),
            (b"TEMP?", &["TEMP", "?"]),
            (b"gpio 3?", &["GPIO", "3", "?"]),
            (b"ADC?0", &["ADC", "?", "0"]),
            (b"a\xffb", &["A\u{fffd}B"]),
        ] {
            assert_eq!(words(line), expected, "{line:?}");
        }
    }

    #[test]
    fn numbers_are_digits_only_and_in_range() {
        for (word, expected) in [
            ("0", Some(0)),
            ("13", Some(13)),
            ("0000000013", Some(13)),
            ("00000000013", None),
            ("14", None),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.0", None),
            ("0X1", None),
            ("9999999999", None),
            ("١", None),
        ] {
            assert_eq!(number(word, 0..=13), expected, "{word}");
        }
    }

    #[test]
    fn no_command_hides_another() {
        for (i, a) in COMMANDS.iter().enumerate() {
            assert!(
                COMMANDS[i + 1..]
                    .iter()
                    .all(|b| a.name != b.name && a.id != b.id)
            );
            assert!(a.usage.starts_with(a.name));
        }
    }
}
