//! From `[port.interpreter]` to a [`Profile`]: what was written becomes the settings of one entry of the list of profiles, which
//! says itself what it takes and what it needs.

use bytes::Bytes;
use toml::Spanned;
use uartnet_hub::Profile;
use uartnet_interpreter::{Kind, PROFILES, Pattern, Settings, find};

use super::check::Values;
use super::problem::Wrong;
use super::raw::{RawInterpreter, Written};
use super::{limits, values};

/// What a device is known to be asked by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct OwnInterpreter {
    /// The profile's name.
    pub(super) profile: Option<&'static str>,
    /// The prompt, if that is the profile.
    pub(super) prompt: Option<String>,
}

/// How a port's interpreter is talked to. `device`: what it has by itself; `None` when the device itself is not known.
pub(super) fn profile(
    values: &mut Values<'_, '_>,
    table: Option<&Spanned<RawInterpreter>>,
    device: Option<&OwnInterpreter>,
) -> Option<Profile> {
    let own_kind = device.and_then(|own| find(own.profile?));
    let own_prompt = device
        .and_then(|own| own.prompt.as_deref())
        .map(|prompt| Bytes::copy_from_slice(prompt.as_bytes()));
    let Some(table) = table else {
        let settings = Settings {
            prompt: own_prompt,
            ..Settings::default()
        };
        return own_kind.and_then(|kind| kind.profile(&settings).ok());
    };
    let raw = table.get_ref();
    let kind = match &raw.profile {
        Some(written) => values.one(written, named_kind)?,
        None => match implied_kind(raw).or(own_kind) {
            Some(kind) => kind,
            None => {
                if device.is_some() {
                    let help = format!(
                        "write e.g. profile = \"line\"; there are {}",
                        values::listed(names())
                    );
                    values.add(table, Wrong::new("this interpreter has no profile", help));
                }
                return None;
            }
        },
    };
    refuse_keys_of_others(values, raw, kind);

    let mut settings = settings(values, raw);
    let is_wrong = |written: &Option<Written>, is_right: bool| written.is_some() && !is_right;
    if is_wrong(&raw.prompt, settings.prompt.is_some())
        || is_wrong(&raw.prompt_regex, settings.prompt_regex.is_some())
        || is_wrong(&raw.until, settings.until.is_some())
        || is_wrong(&raw.until_regex, settings.until_regex.is_some())
        || is_wrong(&raw.quiet, settings.quiet.is_some())
    {
        // What is missing for that reason was said.
        return None;
    }
    if settings.prompt.is_none() && settings.prompt_regex.is_none() && kind.name == "prompt" {
        settings.prompt = own_prompt;
    }
    kind.profile(&settings)
        .map_err(|missing| {
            if device.is_some() {
                values.add(table, Wrong::new(missing.what, missing.help));
            }
        })
        .ok()
}

/// What was written and is right.
fn settings(values: &mut Values<'_, '_>, raw: &RawInterpreter) -> Settings {
    Settings {
        prompt: values.get(&raw.prompt, prompt_text),
        prompt_regex: values.get(&raw.prompt_regex, pattern),
        lines: values.get(&raw.lines, |text| values::count(text, limits::LINES)),
        quiet: values.get(&raw.quiet, |text| values::duration(text, limits::QUIET)),
        until: values.get(&raw.until, values::until),
        until_regex: values.get(&raw.until_regex, pattern),
        unsolicited: unsolicited(values, raw),
        error: values.get(&raw.error, pattern),
        interrupt: values.get(&raw.interrupt, values::interrupt),
        eol: values.get(&raw.eol, values::eol),
        echo: values.get(&raw.echo, values::flag),
        timeout: values
            .get(&raw.timeout, |text| {
                values::duration(text, limits::TIMEOUT.range())
            })
            .or(Some(limits::TIMEOUT.default)),
        max_reply: values
            .get(&raw.max_reply, |text| {
                values::size(text, limits::MAX_REPLY.range())
            })
            .or(Some(limits::MAX_REPLY.default)),
    }
}

fn unsolicited(values: &mut Values<'_, '_>, raw: &RawInterpreter) -> Option<Vec<Bytes>> {
    let list = raw.unsolicited.as_ref()?;
    if list.get_ref().len() > limits::UNSOLICITED {
        let wrong = Wrong::new(
            format!("a list of {} beginnings of lines", list.get_ref().len()),
            format!("write at most {}", limits::UNSOLICITED),
        );
        values.add(list, wrong);
        return None;
    }
    let texts = list.get_ref().iter();
    Some(
        texts
            .filter_map(|written| values.one(written, line_beginning))
            .collect(),
    )
}

fn names() -> impl Iterator<Item = &'static str> + Clone {
    PROFILES.iter().map(|kind| kind.name)
}

fn named_kind(text: &str) -> Result<&'static Kind, Wrong> {
    find(text).ok_or_else(|| {
        Wrong::new(
            format!("\"{text}\" is not a profile"),
            values::help_with_words(text, names()),
        )
    })
}

/// The profile whose own key is there.
fn implied_kind(raw: &RawInterpreter) -> Option<&'static Kind> {
    let own_keys = [
        (&raw.until, "custom"),
        (&raw.until_regex, "custom"),
        (&raw.prompt, "prompt"),
        (&raw.prompt_regex, "prompt"),
        (&raw.quiet, "quiet"),
        (&raw.lines, "line"),
    ];
    let (_, name) = own_keys.iter().find(|(written, _)| written.is_some())?;
    find(name)
}

/// A key that has no meaning under this profile is a misunderstanding, so it is an error.
fn refuse_keys_of_others(values: &mut Values<'_, '_>, raw: &RawInterpreter, kind: &Kind) {
    let keys: [(&str, &Option<Written>); 11] = [
        ("prompt", &raw.prompt),
        ("prompt_regex", &raw.prompt_regex),
        ("lines", &raw.lines),
        ("quiet", &raw.quiet),
        ("until", &raw.until),
        ("until_regex", &raw.until_regex),
        ("error", &raw.error),
        ("interrupt", &raw.interrupt),
        ("eol", &raw.eol),
        ("echo", &raw.echo),
        ("max_reply", &raw.max_reply),
    ];
    for (key, written) in keys {
        if let Some(written) = written {
            refuse_key(values, kind, key, written);
        }
    }
    if let Some(written) = &raw.unsolicited {
        refuse_key(values, kind, "unsolicited", written);
    }
}

fn refuse_key<T>(values: &mut Values<'_, '_>, kind: &Kind, key: &str, written: &Spanned<T>) {
    if kind.settings.contains(&key) {
        return;
    }
    let theirs: Vec<&str> = PROFILES
        .iter()
        .filter(|other| other.settings.contains(&key))
        .map(|other| other.name)
        .collect();
    let theirs = match theirs[..] {
        [only] => format!("profile \"{only}\""),
        _ => format!("the profiles {}", values::listed(theirs.iter())),
    };
    let wrong = Wrong::new(
        format!("\"{key}\" has no meaning for profile \"{}\"", kind.name),
        format!("it belongs to {theirs}; take it out, or change the profile"),
    );
    values.add(written, wrong);
}

fn prompt_text(text: &str) -> Result<Bytes, Wrong> {
    if (1..=limits::PROMPT).contains(&text.len()) {
        return Ok(Bytes::copy_from_slice(text.as_bytes()));
    }
    let help = "write what the board prints when it waits for a command, e.g. \"=> \"";
    let most = limits::PROMPT;
    Err(Wrong::new(
        format!("\"{text}\" is not a prompt: it has 1 to {most} bytes"),
        help,
    ))
}

fn line_beginning(text: &str) -> Result<Bytes, Wrong> {
    if (1..=limits::PROMPT).contains(&text.len()) {
        return Ok(Bytes::copy_from_slice(text.as_bytes()));
    }
    let most = limits::PROMPT;
    Err(Wrong::new(
        format!("\"{text}\" is not the beginning of a line: it has 1 to {most} bytes"),
        "write how the lines begin, e.g. [\"RING\", \"+CREG:\"]",
    ))
}

fn pattern(text: &str) -> Result<Pattern, Wrong> {
    text.parse().map_err(|error| {
        Wrong::new(
            format!("\"{text}\" is not a regular expression: {error}"),
            "write it in TOML's single quotes, e.g. '^(OK|ERROR)'",
        )
    })
}
