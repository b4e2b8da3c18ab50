//! The escape key of `uart attach`, as a state machine over what is typed. Not what a command does, nor the terminal.

use std::fmt;
use std::str::FromStr;

/// What can be typed after the escape key; the key itself, typed again, is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EscapeCommand {
    Help,
    Quit,
    Break,
    ToggleEcho,
    Info,
    TakeLease,
    StealLease,
}

/// Every command: the keys that give it, and its line of the help.
pub(crate) const COMMANDS: &[(&[u8], EscapeCommand, &str)] = &[
    (b"?h", EscapeCommand::Help, "this help"),
    (b".q", EscapeCommand::Quit, "quit"),
    (b"b", EscapeCommand::Break, "send a break (250 ms)"),
    (b"e", EscapeCommand::ToggleEcho, "local echo on or off"),
    (b"i", EscapeCommand::Info, "show everything about the port"),
    (
        b"w",
        EscapeCommand::TakeLease,
        "take the write lease of an exclusive port",
    ),
    (
        b"W",
        EscapeCommand::StealLease,
        "take it from whoever has it",
    ),
];

/// A part of what was typed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Typed<'a> {
    /// For the board.
    Data(&'a [u8]),
    /// For us.
    Command(EscapeCommand),
    /// No command: this key followed the escape key. Neither of them is sent.
    Unknown(u8),
}

/// The key that begins a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EscapeKey(u8);

/// The state between two keys.
#[derive(Debug)]
pub(crate) struct Escape {
    key: Option<EscapeKey>,
    armed: bool,
}

impl Escape {
    /// Without a key everything typed is for the board.
    pub(crate) fn new(key: Option<EscapeKey>) -> Escape {
        Escape { key, armed: false }
    }

    /// Takes what was typed apart. A command may begin in one piece of input and end in another.
    pub(crate) fn handle_input<'a>(&mut self, input: &'a [u8]) -> Vec<Typed<'a>> {
        let Some(EscapeKey(key)) = self.key else {
            return if input.is_empty() {
                Vec::new()
            } else {
                vec![Typed::Data(input)]
            };
        };
        let mut parts = Vec::new();
        let mut start = 0;
        for (index, &byte) in input.iter().enumerate() {
            if !self.armed {
                if byte == key {
                    push_data(&mut parts, &input[start..index]);
                    self.armed = true;
                    start = index + 1;
                }
                continue;
            }
            self.armed = false;
            if byte == key {
                // It is data after all, and begins the next run of it.
                start = index;
                continue;
            }
            start = index + 1;
            parts.push(
                match COMMANDS.iter().find(|(keys, ..)| keys.contains(&byte)) {
                    Some((_, command, _)) => Typed::Command(*command),
                    None => Typed::Unknown(byte),
                },
            );
        }
        push_data(&mut parts, &input[start..]);
        parts
    }
}

fn push_data<'a>(parts: &mut Vec<Typed<'a>>, data: &'a [u8]) {
    if !data.is_empty() {
        parts.push(Typed::Data(data));
    }
}

impl FromStr for EscapeKey {
    type Err = String;

    /// `ctrl-]` or `^]` in either case, or one printable ASCII character.
    fn from_str(text: &str) -> Result<EscapeKey, String> {
        let lower = text.to_ascii_lowercase();
        let controlled = match text.strip_prefix('^') {
            Some(rest) if !rest.is_empty() => Some(rest),
            _ => lower.strip_prefix("ctrl-"),
        };
        match controlled.unwrap_or(text).as_bytes() {
            [letter] if controlled.is_some() => match letter.to_ascii_uppercase() {
                b'?' => Ok(EscapeKey(0x7f)),
                upper @ b'@'..=b'_' => Ok(EscapeKey(upper & 0x1f)),
                _ => Err(format!("there is no control key \"{text}\"")),
            },
            [key @ 0x21..=0x7e] => Ok(EscapeKey(*key)),
            _ => Err("write ctrl-], ^A, one character such as ~, or none".to_owned()),
        }
    }
}

impl fmt::Display for EscapeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0x7f => f.write_str("Ctrl-?"),
            control @ 0..=0x1f => write!(f, "Ctrl-{}", char::from(control | 0x40)),
            key => write!(f, "{}", char::from(key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use EscapeCommand::{Break, Help, Quit};
    use Typed::{Command, Data, Unknown};

    fn escape() -> Escape {
        Escape::new(Some("^]".parse().unwrap()))
    }

    #[test]
    fn commands_are_taken_out_of_what_is_typed() {
        for (input, parts) in [
            (&b"hello"[..], vec![Data(b"hello")]),
            (b"", vec![]),
            (b"ab\x1dbcd", vec![Data(b"ab"), Command(Break), Data(b"cd")]),
            (b"\x1d?\x1dq", vec![Command(Help), Command(Quit)]),
            (b"\x1d.", vec![Command(Quit)]),
            (b"\x1dz!", vec![Unknown(b'z'), Data(b"!")]),
            (b"a\x1d\x1db", vec![Data(b"a"), Data(b"\x1db")]),
            (b"\x1d\x1d\x1d\x1d", vec![Data(b"\x1d"), Data(b"\x1d")]),
        ] {
            assert_eq!(escape().handle_input(input), parts, "{input:?}");
        }
    }

    #[test]
    fn pieces_of_input_make_no_difference() {
        let input = b"ab\x1d\x1dcd\x1dbef\x1dzg\x1d";
        let flatten = |parts: Vec<Typed<'_>>, out: &mut Vec<String>| {
            for part in parts {
                match part {
                    Data(bytes) => out.extend(bytes.iter().map(|byte| format!("{byte:02x}"))),
                    other => out.push(format!("{other:?}")),
                }
            }
        };
        let mut whole = Vec::new();
        flatten(escape().handle_input(input), &mut whole);
        for split in 0..=input.len() {
            let mut machine = escape();
            let mut parts = Vec::new();
            flatten(machine.handle_input(&input[..split]), &mut parts);
            flatten(machine.handle_input(&input[split..]), &mut parts);
            assert_eq!(parts, whole, "split at {split}");
        }
    }

    #[test]
    fn without_a_key_everything_is_data() {
        let mut escape = Escape::new(None);
        assert_eq!(escape.handle_input(b"\x1d."), [Data(b"\x1d.")]);
        assert_eq!(escape.handle_input(b""), []);
    }

    #[test]
    fn keys_are_named_as_people_name_them() {
        for (text, byte, shown) in [
            ("ctrl-]", 0x1d, "Ctrl-]"),
            ("Ctrl-A", 0x01, "Ctrl-A"),
            ("^a", 0x01, "Ctrl-A"),
            ("^?", 0x7f, "Ctrl-?"),
            ("^@", 0x00, "Ctrl-@"),
            ("^", b'^', "^"),
            ("~", b'~', "~"),
        ] {
            let key: EscapeKey = text.parse().unwrap();
            assert_eq!((key, key.to_string()), (EscapeKey(byte), shown.to_owned()));
        }
        for text in ["", "ab", "ctrl-", "ctrl-1", "^é", " ", "é"] {
            assert!(text.parse::<EscapeKey>().is_err(), "{text}");
        }
    }

    #[test]
    fn no_key_gives_two_commands() {
        let mut keys: Vec<u8> = COMMANDS
            .iter()
            .flat_map(|(keys, ..)| keys.iter().copied())
            .collect();
        let all = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), all);
    }
}
