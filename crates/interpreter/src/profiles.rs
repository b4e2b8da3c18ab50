//! The list of interpreter profiles: the name of each, what it is for, its own settings, and the [`Profile`] they make. A new
//! one is an entry here; if it ends replies in a way of its own, that is a variant of [`ReplyEnd`] and a matcher.

use std::time::Duration;

use bytes::Bytes;

use crate::{Pattern, Profile, ReplyEnd, Until};

/// One entry of the list.
#[derive(Debug)]
pub struct Kind {
    /// As it is written.
    pub name: &'static str,
    /// What it is for, in one line.
    pub summary: &'static str,
    /// The settings it takes, by their names in [`Settings`]; every profile takes `timeout` too.
    pub settings: &'static [&'static str],
    end: fn(&Settings) -> Result<ReplyEnd, Missing>,
    interrupt: &'static [u8],
}

/// What a profile can be made of. What is `None` is the profile's own default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// What the board prints when it waits, not empty.
    pub prompt: Option<Bytes>,
    /// The same as a pattern.
    pub prompt_regex: Option<Pattern>,
    /// How many lines a reply has, at least 1.
    pub lines: Option<usize>,
    /// The silence that ends a reply.
    pub quiet: Option<Duration>,
    /// What a reply ends with, not empty.
    pub until: Option<Bytes>,
    /// Which line a reply ends with.
    pub until_regex: Option<Pattern>,
    /// How lines begin that no command asked for.
    pub unsolicited: Option<Vec<Bytes>>,
    /// Which replies are errors of the board.
    pub error: Option<Pattern>,
    /// What stops a command.
    pub interrupt: Option<Bytes>,
    /// What ends a command.
    pub eol: Option<Bytes>,
    /// Whether the board may echo.
    pub echo: Option<bool>,
    /// How long a reply may take.
    pub timeout: Option<Duration>,
    /// The largest reply.
    pub max_reply: Option<usize>,
}

/// A profile needs more than it was given, or was given two things of which it takes one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Missing {
    /// What is wrong.
    pub what: String,
    /// What to write.
    pub help: String,
}

/// How long silence lasts that ends a reply, unless said otherwise.
const QUIET: Duration = Duration::from_millis(50);

/// 3.5 characters of 11 bits at 9600 baud are 4 ms. From 19200 baud on the specification has 1.75 ms for all.
const MODBUS_QUIET: Duration = Duration::from_millis(5);

/// The prompts U-Boot is built with: `=> `, and those with its name or its board's.
const U_BOOT_PROMPT: &str =
    r"(?:[\w.-]+ )*[\w.-]*(?:=>|(?:[Uu]-?[Bb]oot|U-BOOT|[Zz]ynq(?:MP)?|STM32MP|Marvell) ?>{1,2}) ";

const CTRL_C: &[u8] = b"\x03";

/// What modems say by themselves, by 3GPP TS 27.005 and 27.007 and the manuals of common ones.
const UNSOLICITED: &[&str] = &[
    "RING",
    "+CRING:",
    "+CLIP:",
    "+CREG:",
    "+CGREG:",
    "+CEREG:",
    "+CMTI:",
    "+CMT:",
    "+CDSI:",
    "+CDS:",
    "+CUSD:",
    "+CIEV:",
    "+CGEV:",
    "+CTZV:",
    "+CTZE:",
    "*PSUTTZ:",
    "+QIND:",
    "+QIURC:",
    "Call Ready",
    "SMS Ready",
    "RDY",
    "WIFI ",
];

/// The settings of every profile whose replies are text that ends in some way.
macro_rules! text_settings {
    ($($own:literal),*) => {
        &[$($own,)* "eol", "echo", "error", "max_reply"]
    };
}

/// Every profile.
pub const PROFILES: &[Kind] = &[
    Kind {
        name: "none",
        summary: "there is no interpreter: commands are written as they are, and answered by an acknowledgement",
        settings: &[],
        end: |_| Ok(ReplyEnd::None),
        interrupt: b"",
    },
    Kind {
        name: "line",
        summary: "a reply is one line, or `lines` of them",
        settings: text_settings!("lines"),
        end: |settings| {
            let count = settings.lines.unwrap_or(1).max(1);
            Ok(ReplyEnd::Line { count })
        },
        interrupt: b"",
    },
    Kind {
        name: "prompt",
        summary: "a reply ends at the prompt, a text or a regular expression",
        settings: text_settings!("prompt", "prompt_regex", "interrupt"),
        end: |settings| {
            prompt(settings)?.ok_or_else(|| Missing {
                what: "profile \"prompt\" needs the prompt of the board".to_owned(),
                help: "write e.g. prompt = \"=> \"".to_owned(),
            })
        },
        interrupt: b"",
    },
    Kind {
        name: "quiet",
        summary: "a reply ends when nothing has come for the time `quiet`",
        settings: text_settings!("quiet"),
        end: |settings| Ok(ReplyEnd::Quiet(settings.quiet.unwrap_or(QUIET))),
        interrupt: b"",
    },
    Kind {
        name: "at",
        summary: "a modem: replies end at OK, ERROR, +CME ERROR and the like; unsolicited lines are told apart",
        settings: &["unsolicited", "eol", "echo", "max_reply"],
        end: |settings| {
            let unsolicited = match &settings.unsolicited {
                Some(given) => given.iter().cloned().collect(),
                None => UNSOLICITED
                    .iter()
                    .map(|prefix| Bytes::from_static(prefix.as_bytes()))
                    .collect(),
            };
            Ok(ReplyEnd::At { unsolicited })
        },
        interrupt: b"",
    },
    Kind {
        name: "u-boot",
        summary: "U-Boot: replies end at \"=> \" or another of its prompts; Ctrl-C stops a command that takes too long",
        settings: text_settings!("prompt", "prompt_regex", "interrupt"),
        end: |settings| match prompt(settings)? {
            Some(end) => Ok(end),
            None => pattern(U_BOOT_PROMPT).map(ReplyEnd::PromptLike),
        },
        interrupt: CTRL_C,
    },
    Kind {
        name: "micropython",
        summary: "MicroPython's raw REPL: a command is code, of any number of lines; a traceback is an error",
        settings: &["max_reply"],
        end: |_| Ok(ReplyEnd::RawRepl),
        interrupt: b"",
    },
    Kind {
        name: "modbus-rtu",
        summary: "Modbus RTU: a command is address, function and data; the CRC is put on and checked; an exception is an error",
        settings: &["quiet"],
        end: |settings| {
            let quiet = settings.quiet.unwrap_or(MODBUS_QUIET);
            Ok(ReplyEnd::ModbusRtu { quiet })
        },
        interrupt: b"",
    },
    Kind {
        name: "custom",
        summary: "a reply ends at a text or line of your choice, which is a part of it, or at a silence",
        settings: text_settings!("until", "until_regex", "quiet", "interrupt"),
        end: |settings| {
            let until = match (&settings.until, &settings.until_regex) {
                (Some(_), Some(_)) => return Err(one_of("until", "until_regex")),
                (Some(text), None) => Some(Until::Text(text.clone())),
                (None, Some(pattern)) => Some(Until::Line(pattern.clone())),
                (None, None) => None,
            };
            match (until, settings.quiet) {
                (Some(until), quiet) => Ok(ReplyEnd::Until { until, quiet }),
                (None, Some(quiet)) => Ok(ReplyEnd::Quiet(quiet)),
                (None, None) => Err(Missing {
                    what: "profile \"custom\" does not say where a reply ends".to_owned(),
                    help: "write e.g. until_regex = '^(OK|ERROR)', until = \"ok\", or quiet = \"50ms\""
                        .to_owned(),
                }),
            }
        },
        interrupt: b"",
    },
];

/// The profile of this name.
pub fn find(name: &str) -> Option<&'static Kind> {
    PROFILES.iter().find(|kind| kind.name == name)
}

impl Kind {
    /// The profile with these settings. Those that are not among [`Kind::settings`] are ignored.
    ///
    /// # Errors
    /// A setting is missing without which there is no such profile, or two exclude each other.
    pub fn profile(&self, settings: &Settings) -> Result<Profile, Missing> {
        let takes = |setting| self.settings.contains(&setting);
        let mut profile = Profile::new((self.end)(settings)?);
        profile.name = self.name;
        profile.interrupt = Bytes::from_static(self.interrupt);
        profile.timeout = settings.timeout.unwrap_or(profile.timeout);
        if let Some(eol) = settings.eol.as_ref().filter(|_| takes("eol")) {
            profile.eol = eol.clone();
        }
        if let Some(echo) = settings.echo.filter(|_| takes("echo")) {
            profile.strip_echo = echo;
        }
        if let Some(max_reply) = settings.max_reply.filter(|_| takes("max_reply")) {
            profile.max_reply = max_reply;
        }
        if let Some(interrupt) = settings.interrupt.as_ref().filter(|_| takes("interrupt")) {
            profile.interrupt = interrupt.clone();
        }
        profile.error = settings.error.clone().filter(|_| takes("error"));
        Ok(profile)
    }
}

fn prompt(settings: &Settings) -> Result<Option<ReplyEnd>, Missing> {
    match (&settings.prompt, &settings.prompt_regex) {
        (Some(_), Some(_)) => Err(one_of("prompt", "prompt_regex")),
        (Some(text), None) => Ok(Some(ReplyEnd::Prompt(text.clone()))),
        (None, Some(pattern)) => Ok(Some(ReplyEnd::PromptLike(pattern.clone()))),
        (None, None) => Ok(None),
    }
}

fn one_of(a: &str, b: &str) -> Missing {
    Missing {
        what: format!("{a} and {b} exclude each other"),
        help: "take one of them out".to_owned(),
    }
}

fn pattern(text: &str) -> Result<Pattern, Missing> {
    text.parse().map_err(|error: crate::PatternError| Missing {
        what: error.to_string(),
        help: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_is_there_once_and_every_one_can_be_made() {
        let settings = Settings {
            prompt: Some("> ".into()),
            until: Some("ok".into()),
            ..Settings::default()
        };
        for (i, kind) in PROFILES.iter().enumerate() {
            assert!(PROFILES[..i].iter().all(|other| other.name != kind.name));
            let profile = kind.profile(&settings).unwrap();
            assert_eq!(profile.name, kind.name);
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        for (name, what) in [
            ("prompt", "profile \"prompt\" needs the prompt of the board"),
            (
                "custom",
                "profile \"custom\" does not say where a reply ends",
            ),
        ] {
            let missing = find(name).unwrap().profile(&Settings::default());
            assert_eq!(missing.unwrap_err().to_string(), what);
        }
        let both = Settings {
            prompt: Some("> ".into()),
            prompt_regex: Some("> ".parse().unwrap()),
            ..Settings::default()
        };
        for name in ["prompt", "u-boot"] {
            let error = find(name).unwrap().profile(&both).unwrap_err();
            assert_eq!(
                error.to_string(),
                "prompt and prompt_regex exclude each other"
            );
        }
    }

    #[test]
    fn prompts_of_u_boot_are_known_and_other_lines_are_none() {
        let pattern: Pattern = U_BOOT_PROMPT.parse().unwrap();
        for prompt in [
            "=> ",
            "U-Boot> ",
            "u-boot=> ",
            "MX28EVK U-Boot > ",
            "zynq-uboot> ",
            "ZynqMP> ",
            "STM32MP> ",
            "Marvell>> ",
        ] {
            assert!(pattern.is_whole(prompt.as_bytes()), "{prompt}");
        }
        for line in [
            "=>",
            "> ",
            "# ",
            "a => b",
            "Hit any key to stop autoboot:  3 ",
            "<INTERRUPT>",
        ] {
            assert!(!pattern.is_whole(line.as_bytes()), "{line}");
        }
    }
}
