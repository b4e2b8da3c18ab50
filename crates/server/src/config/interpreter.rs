//! From `[port.interpreter]` to a [`Profile`]: which keys belong to which profile, and what holds where none is named.

use bytes::Bytes;
use toml::Spanned;
use uartnet_hub::{Profile, ReplyEnd};

use super::check::Values;
use super::problem::Wrong;
use super::raw::{RawInterpreter, Written};
use super::{limits, values};

/// The profiles by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    None,
    Line,
    Prompt,
    Quiet,
}

const KINDS: &[(&str, Kind)] = &[
    ("none", Kind::None),
    ("line", Kind::Line),
    ("prompt", Kind::Prompt),
    ("quiet", Kind::Quiet),
];

/// How a port's interpreter is talked to. `device_prompt`: the prompt that the device has by itself, if it has one;
/// `None` when the device itself is not known.
pub(super) fn profile(
    values: &mut Values<'_, '_>,
    table: Option<&Spanned<RawInterpreter>>,
    device_prompt: Option<Option<&str>>,
) -> Option<Profile> {
    let own_prompt = device_prompt
        .flatten()
        .map(|prompt| Bytes::copy_from_slice(prompt.as_bytes()));
    let Some(table) = table else {
        return own_prompt.map(|prompt| Profile::new(ReplyEnd::Prompt(prompt)));
    };
    let raw = table.get_ref();
    let kind = match &raw.profile {
        Some(written) => values.one(written, named_kind)?,
        None => match implied_kind(raw, own_prompt.is_some()) {
            Some(kind) => kind,
            None => {
                if device_prompt.is_some() {
                    let help = format!(
                        "write e.g. profile = \"line\"; there are {}",
                        values::listed(KINDS.iter().map(|(name, _)| name))
                    );
                    values.add(table, Wrong::new("this interpreter has no profile", help));
                }
                return None;
            }
        },
    };
    refuse_keys_of_others(values, raw, kind);

    let end = match kind {
        Kind::None => ReplyEnd::None,
        Kind::Line => {
            let mut count = limits::LINES.default;
            values.set(&mut count, &raw.lines, |text| {
                values::count(text, limits::LINES.range())
            });
            ReplyEnd::Line { count }
        }
        Kind::Quiet => {
            let mut quiet = limits::QUIET.default;
            values.set(&mut quiet, &raw.quiet, |text| {
                values::duration(text, limits::QUIET.range())
            });
            ReplyEnd::Quiet(quiet)
        }
        Kind::Prompt => {
            let prompt = match &raw.prompt {
                Some(written) => values.one(written, prompt_text),
                None => own_prompt,
            };
            if prompt.is_none() && raw.prompt.is_none() && device_prompt.is_some() {
                values.add(
                    table,
                    Wrong::new(
                        "profile \"prompt\" needs the prompt of the board",
                        "write e.g. prompt = \"=> \"",
                    ),
                );
            }
            ReplyEnd::Prompt(prompt?)
        }
    };
    let mut profile = Profile {
        timeout: limits::TIMEOUT.default,
        max_reply: limits::MAX_REPLY.default,
        ..Profile::new(end)
    };
    values.set(&mut profile.eol, &raw.eol, values::eol);
    values.set(&mut profile.strip_echo, &raw.echo, values::flag);
    values.set(&mut profile.timeout, &raw.timeout, |text| {
        values::duration(text, limits::TIMEOUT.range())
    });
    values.set(&mut profile.max_reply, &raw.max_reply, |text| {
        values::size(text, limits::MAX_REPLY.range())
    });
    Some(profile)
}

fn named_kind(text: &str) -> Result<Kind, Wrong> {
    values::word(text, "a profile", KINDS).map_err(|wrong| match text {
        "u-boot" | "uboot" => Wrong {
            help: format!(
                "U-Boot answers to profile = \"prompt\" with prompt = \"=> \"; {}",
                wrong.help
            ),
            ..wrong
        },
        _ => wrong,
    })
}

/// The profile whose own key is there; else the one that the device's own prompt makes possible.
fn implied_kind(raw: &RawInterpreter, has_own_prompt: bool) -> Option<Kind> {
    let own_keys = [
        (&raw.prompt, Kind::Prompt),
        (&raw.quiet, Kind::Quiet),
        (&raw.lines, Kind::Line),
    ];
    let implied = own_keys
        .iter()
        .find(|(written, _)| written.is_some())
        .map(|(_, kind)| *kind);
    implied.or(has_own_prompt.then_some(Kind::Prompt))
}

/// A key that has no meaning under this profile is a misunderstanding, so it is an error.
fn refuse_keys_of_others(values: &mut Values<'_, '_>, raw: &RawInterpreter, kind: Kind) {
    let with_reply: &[Kind] = &[Kind::Line, Kind::Prompt, Kind::Quiet];
    let keys: [(&str, &Option<Written>, &[Kind]); 6] = [
        ("prompt", &raw.prompt, &[Kind::Prompt]),
        ("lines", &raw.lines, &[Kind::Line]),
        ("quiet", &raw.quiet, &[Kind::Quiet]),
        ("eol", &raw.eol, with_reply),
        ("echo", &raw.echo, with_reply),
        ("max_reply", &raw.max_reply, with_reply),
    ];
    for (key, written, kinds) in keys {
        if let Some(written) = written
            && !kinds.contains(&kind)
        {
            let theirs = match kinds {
                [only] => format!("profile \"{}\"", name(*only)),
                several => {
                    let names = several.iter().map(|kind| name(*kind));
                    format!("the profiles {}", values::listed(names))
                }
            };
            let wrong = Wrong::new(
                format!("\"{key}\" has no meaning for profile \"{}\"", name(kind)),
                format!("it belongs to {theirs}; take it out, or change the profile"),
            );
            values.add(written, wrong);
        }
    }
}

fn name(kind: Kind) -> &'static str {
    KINDS
        .iter()
        .find(|(_, other)| *other == kind)
        .map_or("", |(name, _)| name)
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
