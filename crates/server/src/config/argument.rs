//! `NAME=DEVICE[,SETTINGS]` and `PROTO=ADDR[,PORT]`: ports and listeners written as one argument each. They become the
//! same raw tables that a file has, so that there is one check for both.

use std::ops::Range;

use toml::Spanned;
use uart_iface::suggest::closest;

use super::problem::{Place, Report, Source, Wrong};
use super::raw::{RawGateway, RawInterpreter, RawListener, RawPort, Scalar, Written};
use super::values::{help_with_words, listed};

/// The keys that may stand in SETTINGS, as `KEY=VALUE`.
pub(crate) const SETTINGS: &[&str] = &[
    "flow",
    "profile",
    "prompt",
    "prompt_regex",
    "lines",
    "quiet",
    "until",
    "until_regex",
    "error",
    "interrupt",
    "eol",
    "echo",
    "timeout",
    "history",
    "write",
    "on_lag",
    "pacing",
];

/// What may be typed in place of a port.
const COMMANDS: [&str; 3] = ["check", "devices", "help"];

/// Reads `NAME=DEVICE[,SETTINGS]`.
pub(super) fn port(source: &Source, report: &mut Report) -> Option<Spanned<RawPort>> {
    let argument = Argument { source };
    let text = &source.text;
    let Some((name, device_and_settings)) = argument.split(0..text.len(), '=') else {
        let help = match closest(text, COMMANDS) {
            Some(command) if command == text => {
                format!(
                    "the command \"{command}\" stands first, and without ports: uartd {command}"
                )
            }
            Some(command) => {
                format!("did you mean the command \"{command}\"? A port is NAME=DEVICE")
            }
            None => "write NAME=DEVICE, e.g. board0=/dev/ttyUSB0,115200-8n1".to_owned(),
        };
        report.add(
            &argument.place(0..text.len()),
            Wrong::new(format!("\"{text}\" is not a port"), help),
        );
        return None;
    };
    let mut parts = argument.parts(device_and_settings);
    let device = parts.next().unwrap_or_default();
    let mut port = RawPort {
        name: Some(argument.written(name)),
        device: Some(argument.written(device)),
        ..RawPort::default()
    };
    let mut interpreter = None;
    let mut complete = true;
    for part in parts {
        if let Err(wrong) = setting(&argument, part.clone(), &mut port, &mut interpreter) {
            report.add(&argument.place(part), wrong);
            complete = false;
        }
    }
    port.interpreter = interpreter;
    complete.then(|| Spanned::new(0..text.len(), port))
}

/// Reads one setting: a line setting, or `KEY=VALUE`.
fn setting(
    argument: &Argument<'_>,
    part: Range<usize>,
    port: &mut RawPort,
    interpreter: &mut Option<Spanned<RawInterpreter>>,
) -> Result<(), Wrong> {
    let text = &argument.source.text[part.clone()];
    let (key, field, value) = match argument.split(part.clone(), '=') {
        Some((key, value)) => {
            let key = &argument.source.text[key];
            let own = |interpreter| {
                Spanned::get_mut(Option::get_or_insert_with(interpreter, || {
                    Spanned::new(part.clone(), RawInterpreter::default())
                }))
            };
            let field = match key {
                "flow" => &mut port.flow,
                "history" => &mut port.history,
                "write" => &mut port.write,
                "on_lag" => &mut port.on_lag,
                "pacing" => &mut port.write_pacing,
                "profile" => &mut own(interpreter).profile,
                "prompt" => &mut own(interpreter).prompt,
                "prompt_regex" => &mut own(interpreter).prompt_regex,
                "lines" => &mut own(interpreter).lines,
                "quiet" => &mut own(interpreter).quiet,
                "until" => &mut own(interpreter).until,
                "until_regex" => &mut own(interpreter).until_regex,
                "error" => &mut own(interpreter).error,
                "interrupt" => &mut own(interpreter).interrupt,
                "eol" => &mut own(interpreter).eol,
                "echo" => &mut own(interpreter).echo,
                "timeout" => &mut own(interpreter).timeout,
                _ => {
                    return Err(Wrong::new(
                        format!("unknown setting \"{key}\""),
                        help_with_words(key, SETTINGS.iter().copied()),
                    ));
                }
            };
            (key, field, value)
        }
        None if text.starts_with(|first: char| first.is_ascii_digit()) => {
            ("line settings", &mut port.line, part)
        }
        None => {
            let help = format!(
                "write line settings, e.g. 115200-8n1, or KEY=VALUE; there are {}",
                listed(SETTINGS.iter())
            );
            return Err(Wrong::new(format!("\"{text}\" is not a setting"), help));
        }
    };
    if field.is_some() {
        return Err(Wrong::new(
            format!("{key} given twice"),
            "take one of them out",
        ));
    }
    *field = Some(argument.written(value));
    Ok(())
}

/// What `--name` says, as a file would.
pub(super) fn gateway(source: &Source) -> RawGateway {
    let whole = 0..source.text.len();
    RawGateway {
        name: Some(Argument { source }.written(whole)),
        ..RawGateway::default()
    }
}

/// What was said of every `--listen`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct OfEveryListener {
    /// `--tls`
    pub(super) tls: bool,
    /// `--insecure`
    pub(super) insecure: bool,
}

/// Reads `PROTO=ADDR[,PORT]`.
pub(super) fn listener(
    source: &Source,
    options: OfEveryListener,
    report: &mut Report,
) -> Option<Spanned<RawListener>> {
    let argument = Argument { source };
    let whole = 0..source.text.len();
    let Some((protocol, rest)) = argument.split(whole.clone(), '=') else {
        report.add(
            &argument.place(whole),
            Wrong::new(
                format!("\"{}\" is not a listener", source.text),
                "write PROTO=ADDR, e.g. uartnet=127.0.0.1:8000",
            ),
        );
        return None;
    };
    // A port's name has no slash, so a comma inside the path of a Unix socket is part of the path.
    let (address, port) = match source.text[rest.clone()]
        .rfind(',')
        .map(|comma| rest.start + comma)
    {
        Some(comma) if !source.text[comma..].contains('/') => {
            (rest.start..comma, Some(comma + 1..rest.end))
        }
        _ => (rest, None),
    };
    let is_unix = source.text[address.clone()].starts_with("unix:");
    let flag = |given: bool| given.then(|| Spanned::new(whole.clone(), Scalar("true".to_owned())));
    let listener = RawListener {
        protocol: Some(argument.written(protocol)),
        address: Some(argument.written(address)),
        port: port.map(|port| argument.written(port)),
        // A Unix socket does not leave this machine.
        tls: flag(options.tls && !is_unix),
        insecure: flag(options.insecure),
        ..RawListener::default()
    };
    Some(Spanned::new(whole, listener))
}

/// One argument, and how to cut it into parts without losing where each stands.
struct Argument<'a> {
    source: &'a Source,
}

impl<'a> Argument<'a> {
    fn place(&self, span: Range<usize>) -> Place<'a> {
        Place {
            source: self.source,
            span,
        }
    }

    fn written(&self, span: Range<usize>) -> Written {
        Spanned::new(span.clone(), Scalar(self.source.text[span].to_owned()))
    }

    /// What stands before and after the first `separator` within `span`.
    fn split(&self, span: Range<usize>, separator: char) -> Option<(Range<usize>, Range<usize>)> {
        let at = span.start + self.source.text[span.clone()].find(separator)?;
        Some((span.start..at, at + separator.len_utf8()..span.end))
    }

    /// The parts of `span` between commas; at least one.
    fn parts(&self, span: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let mut start = span.start;
        self.source.text[span].split(',').map(move |part| {
            let range = start..start + part.len();
            start = range.end + 1;
            range
        })
    }
}
