//! From `[[port.log]]` to a [`LogConfig`]: which file, what is in it, and how long it is kept.

use std::path::{Path, PathBuf};

use toml::Spanned;

use super::check::Values;
use super::problem::{Place, Wrong};
use super::raw::RawLog;
use super::{LogConfig, LogFormat, Sync, WhatToLog, limits, values};
use crate::log::Keep;

const FORMATS: &[(&str, LogFormat)] = &[
    ("text", LogFormat::Text),
    ("raw", LogFormat::Raw),
    ("asciicast", LogFormat::Asciicast),
];

const WHAT: &[(&str, WhatToLog)] = &[("received", WhatToLog::Received), ("all", WhatToLog::All)];

/// Who may read a file: its owner, or its group too.
const MODES: &[(&str, u32)] = &[("0600", 0o600), ("0640", 0o640)];

/// The files of all logs so far, and where they were written.
pub(super) type Taken<'a> = Vec<(PathBuf, Place<'a>)>;

/// The logs of one port.
pub(super) fn logs<'a>(
    values: &mut Values<'_, 'a>,
    tables: &[Spanned<RawLog>],
    taken: &mut Taken<'a>,
) -> Vec<LogConfig> {
    tables
        .iter()
        .filter_map(|table| log(values, table, taken))
        .collect()
}

fn log<'a>(
    values: &mut Values<'_, 'a>,
    table: &Spanned<RawLog>,
    taken: &mut Taken<'a>,
) -> Option<LogConfig> {
    let raw = table.get_ref();
    let path = values.required(
        table,
        "[[port.log]]",
        ("path", &raw.path),
        "path = \"/var/log/uartnet/board0.log\"",
        path,
    );
    if let (Some(path), Some(written)) = (&path, &raw.path) {
        let place = Place {
            source: values.source,
            span: written.span(),
        };
        match taken.iter().find(|(other, _)| other == path) {
            None => taken.push((path.clone(), place)),
            Some((_, first)) => {
                let message = format!("two logs cannot share the file {}", path.display());
                let help = format!("the other one is {}; give each its own", first.described());
                values.report.add(&place, Wrong::new(message, help));
            }
        }
    }

    let mut format = LogFormat::Text;
    values.set(&mut format, &raw.format, |text| {
        values::word(text, "a log format", FORMATS)
    });
    let mut what = match format {
        LogFormat::Text => WhatToLog::All,
        LogFormat::Raw | LogFormat::Asciicast => WhatToLog::Received,
    };
    values.set(&mut what, &raw.what, |text| {
        let what = values::word(text, "a thing to log", WHAT)?;
        if format == LogFormat::Raw && what == WhatToLog::All {
            return Err(Wrong::new(
                "\"all\" has no meaning for format \"raw\"",
                "a raw log has received bytes only, since nothing in it could mark the others",
            ));
        }
        Ok(what)
    });
    let mut log = LogConfig {
        path: path?,
        format,
        what,
        rotate_size: limits::ROTATE_SIZE.default as u64,
        rotate_age: None,
        keep: Keep {
            files: None,
            size: Some(limits::KEEP_SIZE.default as u64),
            age: None,
        },
        sync: Sync::Every(limits::SYNC.default),
        mode: 0o600,
    };
    values.set(&mut log.rotate_size, &raw.rotate_size, |text| {
        values::size(text, limits::ROTATE_SIZE.range()).map(|size| size as u64)
    });
    values.set(&mut log.rotate_age, &raw.rotate_age, |text| {
        values::duration_or_never(text, limits::ROTATE_AGE)
    });
    values.set(&mut log.keep.files, &raw.keep_files, |text| {
        unlimited(text, |text| values::count(text, limits::KEEP_FILES))
    });
    values.set(&mut log.keep.size, &raw.keep_size, |text| {
        unlimited(text, |text| {
            values::size(text, limits::KEEP_SIZE.range()).map(|size| size as u64)
        })
    });
    values.set(&mut log.keep.age, &raw.keep_age, |text| {
        unlimited(text, |text| values::duration(text, limits::KEEP_AGE))
    });
    values.set(&mut log.sync, &raw.sync, sync);
    values.set(&mut log.mode, &raw.mode, |text| {
        values::word(text, "a file mode for a log", MODES)
    });
    if let (Some(written), Some(size)) = (&raw.keep_size, log.keep.size)
        && size < log.rotate_size
    {
        let wrong = Wrong::new(
            format!("\"{}\" is less than one file may have", written.get_ref().0),
            format!(
                "keep_size is at least rotate_size, which is {}",
                values::size_text(usize::try_from(log.rotate_size).unwrap_or(usize::MAX))
            ),
        );
        values.add(written, wrong);
    }
    Some(log)
}

/// A path that names a file, and not one of the old files of another log.
fn path(text: &str) -> Result<PathBuf, Wrong> {
    let wrong = |why: &str| {
        Wrong::new(
            format!("\"{text}\" is not a log file: {why}"),
            "write e.g. \"/var/log/uartnet/board0.log\"",
        )
    };
    let path = Path::new(text);
    let Some(stem) = path.file_stem().filter(|_| !text.ends_with('/')) else {
        return Err(wrong("it names no file"));
    };
    if text.contains('\0') {
        return Err(wrong("it contains a zero byte"));
    }
    let number = Path::new(stem).extension().and_then(|it| it.to_str());
    if number.is_some_and(|it| it.len() >= 6 && it.bytes().all(|digit| digit.is_ascii_digit())) {
        return Err(wrong("a number before the ending is for old files"));
    }
    Ok(path.to_owned())
}

fn sync(text: &str) -> Result<Sync, Wrong> {
    match text {
        "always" => Ok(Sync::Always),
        "never" => Ok(Sync::Never),
        _ => values::duration(text, limits::SYNC.range())
            .map(Sync::Every)
            .map_err(|wrong| Wrong {
                help: format!("{}, \"always\" or \"never\"", wrong.help),
                ..wrong
            }),
    }
}

fn unlimited<T>(
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, Wrong>,
) -> Result<Option<T>, Wrong> {
    if text == "unlimited" {
        return Ok(None);
    }
    parse(text).map(Some).map_err(|wrong| Wrong {
        help: format!("{}, or \"unlimited\"", wrong.help),
        ..wrong
    })
}
