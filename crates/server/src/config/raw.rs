//! What a configuration file may say: its tables and keys, each value still as it was written, with its place.
//! Whether the values make sense together is asked in `check`.

use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Report, SHOWN, Source, Wrong};
use super::values::help_with_words;

/// A value as it was written, and where.
pub(super) type Written = Spanned<Scalar>;

/// A string, a whole number, `true` or `false`, as text: `history = 1000` and `history = "1000"` are the same, and so
/// is `history=1000` on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scalar(pub(super) String);

/// The whole file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) gateway: Option<RawGateway>,
    #[serde(default, rename = "port")]
    pub(super) ports: Vec<Spanned<RawPort>>,
    #[serde(default, rename = "listen")]
    pub(super) listeners: Vec<Spanned<RawListener>>,
    #[serde(default, rename = "identity")]
    pub(super) identities: Vec<Spanned<RawIdentity>>,
}

/// `[gateway]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGateway {
    pub(super) name: Option<Written>,
    pub(super) drain: Option<Written>,
    pub(super) max_connections: Option<Written>,
    pub(super) max_connections_per_peer: Option<Written>,
    pub(super) dead_peer: Option<Written>,
    pub(super) max_frame: Option<Written>,
    pub(super) tokens: Option<Written>,
    pub(super) audit: Option<Written>,
    pub(super) hello_timeout: Option<Written>,
    pub(super) max_unauthenticated: Option<Written>,
}

/// `[[port]]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPort {
    pub(super) name: Option<Written>,
    pub(super) device: Option<Written>,
    pub(super) line: Option<Written>,
    pub(super) flow: Option<Written>,
    pub(super) history: Option<Written>,
    pub(super) write: Option<Written>,
    pub(super) lease_idle: Option<Written>,
    pub(super) on_lag: Option<Written>,
    pub(super) stall_limit: Option<Written>,
    pub(super) write_queue: Option<Written>,
    pub(super) on_loss: Option<Written>,
    pub(super) write_pacing: Option<Written>,
    pub(super) ask_queue: Option<Written>,
    pub(super) ask_wait: Option<Written>,
    pub(super) typing_hold: Option<Written>,
    pub(super) interpreter: Option<Spanned<RawInterpreter>>,
    #[serde(default, rename = "sequence")]
    pub(super) sequences: Vec<Spanned<RawSequence>>,
    #[serde(default, rename = "log")]
    pub(super) logs: Vec<Spanned<RawLog>>,
}

/// `[port.interpreter]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawInterpreter {
    pub(super) profile: Option<Written>,
    pub(super) prompt: Option<Written>,
    pub(super) prompt_regex: Option<Written>,
    pub(super) lines: Option<Written>,
    pub(super) quiet: Option<Written>,
    pub(super) until: Option<Written>,
    pub(super) until_regex: Option<Written>,
    pub(super) unsolicited: Option<Spanned<Vec<Written>>>,
    pub(super) error: Option<Written>,
    pub(super) interrupt: Option<Written>,
    pub(super) eol: Option<Written>,
    pub(super) echo: Option<Written>,
    pub(super) timeout: Option<Written>,
    pub(super) max_reply: Option<Written>,
}

/// `[[port.sequence]]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSequence {
    pub(super) name: Option<Written>,
    pub(super) steps: Option<Spanned<Vec<Written>>>,
}

/// `[[port.log]]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLog {
    pub(super) path: Option<Written>,
    pub(super) format: Option<Written>,
    pub(super) what: Option<Written>,
    pub(super) rotate_size: Option<Written>,
    pub(super) rotate_age: Option<Written>,
    pub(super) keep_files: Option<Written>,
    pub(super) keep_size: Option<Written>,
    pub(super) keep_age: Option<Written>,
    pub(super) sync: Option<Written>,
    pub(super) mode: Option<Written>,
}

/// `[[listen]]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawListener {
    pub(super) protocol: Option<Written>,
    pub(super) address: Option<Written>,
    pub(super) port: Option<Written>,
    pub(super) tls: Option<Written>,
    pub(super) certificate: Option<Written>,
    pub(super) key: Option<Written>,
    pub(super) client_ca: Option<Written>,
    pub(super) insecure: Option<Written>,
    pub(super) access: Option<Written>,
    pub(super) allow: Option<Spanned<Vec<Written>>>,
    pub(super) from: Option<Written>,
    pub(super) when_absent: Option<Written>,
    pub(super) banner: Option<Written>,
}

/// `[[identity]]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIdentity {
    pub(super) name: Option<Written>,
    pub(super) fingerprint: Option<Written>,
    pub(super) common_name: Option<Written>,
    pub(super) san: Option<Written>,
    pub(super) access: Option<Written>,
    pub(super) ports: Option<Spanned<Vec<Written>>>,
}

/// Reads a file's text. What cannot be read is added to the report, all of it: the syntax errors, or else every key and
/// value that has no place where it stands.
pub(super) fn read(source: &Source, report: &mut Report) -> RawConfig {
    let (mut document, errors) = DeTable::parse_recoverable(&source.text);
    if errors.is_empty() {
        return read_tables(source, report, &mut document);
    }
    // After a syntax error the rest may have gone to another table; what follows would be guesses.
    for error in &errors {
        let message = format!("this is not TOML: {}", error.message());
        report.add(&place(source, error), Wrong::new(message, ""));
    }
    RawConfig::default()
}

/// Every mistake that serde finds ends its work, so the offending key is noted and taken out, and serde starts again.
fn read_tables(
    source: &Source,
    report: &mut Report,
    document: &mut Spanned<DeTable<'_>>,
) -> RawConfig {
    loop {
        let error = match RawConfig::deserialize(toml::Deserializer::from(document.clone())) {
            Ok(config) => return config,
            Err(error) => error,
        };
        let place = place(source, &error);
        let taken = take_out(document.get_mut(), &place.span);
        report.add(
            &place,
            explain(error.message(), taken.as_deref(), place.text()),
        );
        // Each turn costs a pass over the file, so their number is bounded.
        if taken.is_none() || report.len() > SHOWN {
            return RawConfig::default();
        }
    }
}

fn place<'a>(source: &'a Source, error: &toml::de::Error) -> Place<'a> {
    Place {
        source,
        span: error.span().unwrap_or(0..0),
    }
}

/// Removes the innermost key that the span is, or whose value the span is in, and says which it was.
fn take_out(table: &mut DeTable<'_>, span: &Range<usize>) -> Option<String> {
    let within = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    for (_, value) in table.iter_mut() {
        let inner = match value.get_mut() {
            DeValue::Table(table) => take_out(table, span),
            DeValue::Array(array) => array.iter_mut().find_map(|item| match item.get_mut() {
                DeValue::Table(table) => take_out(table, span),
                _ => None,
            }),
            _ => None,
        };
        if inner.is_some() {
            return inner;
        }
    }
    let key = table
        .iter()
        .find(|(key, value)| within(key.span()) || within(value.span()))
        .map(|(key, _)| key.get_ref().to_string())?;
    table.remove(key.as_str());
    Some(key)
}

/// serde's messages in our words. `key` is the key at fault, `written` the text the message is about.
fn explain(message: &str, key: Option<&str>, written: &str) -> Wrong {
    if let Some(rest) = message.strip_prefix("unknown field ") {
        // unknown field `a`, expected one of `b`, `c`
        let mut quoted = rest.split('`').skip(1).step_by(2);
        let unknown = quoted.next().unwrap_or_default();
        let known: Vec<&str> = quoted.collect();
        let help = help_with_words(unknown, known.iter().copied());
        return Wrong::new(format!("unknown key \"{unknown}\""), help);
    }
    let key = key.unwrap_or_default();
    let many = matches!(key, "port" | "listen" | "identity" | "sequence" | "log");
    let one = matches!(key, "gateway" | "interpreter");
    // A table's message is about its heading.
    let name = written.trim_matches(['[', ']', ' ', '\t']);
    let is_heading = written.starts_with('[')
        && !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'.');
    if is_heading && (many || one) {
        return if many {
            Wrong::new(
                format!("[{name}] must be [[{name}]]"),
                "there may be several of them",
            )
        } else {
            Wrong::new(
                format!("[[{name}]] must be [{name}]"),
                "there can be only one",
            )
        };
    }
    let help = match key {
        "port" | "listen" | "identity" | "gateway" | "interpreter" | "sequence" | "log" => {
            "this is a table, see docs/config.md"
        }
        "unsolicited" => "write a list of how lines begin: [\"RING\", \"+CREG:\"]",
        "allow" => "write a list of addresses: [\"10.0.0.0/8\", \"fd00::/8\"]",
        "ports" => "write a list of ports: [\"board0\", \"board1\"]",
        "steps" => "write a list of steps: [\"dtr=off\", \"100ms\", \"dtr=on\"]",
        _ => "write the value in quotes",
    };
    // invalid type: map, expected a sequence
    let (found, _) = message.split_once(", expected ").unwrap_or((message, ""));
    let found = match found.strip_prefix("invalid type: ") {
        Some("map") => "a table",
        Some("sequence") => "a list",
        Some(other) => other,
        None if found.starts_with("invalid length") => "a list",
        None => return Wrong::new(format!("\"{key}\" cannot be that: {message}"), help),
    };
    Wrong::new(format!("\"{key}\" cannot be {found}"), help)
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Scalar, D::Error> {
        struct AsText;
        impl Visitor<'_> for AsText {
            type Value = Scalar;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a whole number, true or false")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar(text.to_owned()))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }
            fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Scalar, E> {
                Ok(Scalar(flag.to_string()))
            }
        }
        deserializer.deserialize_any(AsText)
    }
}
