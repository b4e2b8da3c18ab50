//! Where the commands of `uart ask` come from: its arguments, a file, or stdin; and what a line of a script is.
//! Not how they are asked.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use tokio::sync::mpsc::Receiver;
use uartnet_proto::message::Blob;

use crate::exit::UsageError;
use crate::input;

/// The largest file taken, in bytes. It is read whole, so that its mistakes are found before its first command is asked.
const LARGEST: u64 = 16 << 20;

/// One command, and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) bytes: Bytes,
    /// `None`: it is an argument.
    pub(super) place: Option<Place>,
}

/// A line of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The file, or `stdin`.
    pub(super) file: Rc<str>,
    /// Its number, from 1.
    pub(super) line: u64,
}

/// Where commands come from.
#[derive(Debug)]
pub(super) enum Source {
    /// They are all known, and at least one.
    Fixed(Vec<Command>),
    /// They come line by line.
    Stdin(Lines),
}

/// The commands of stdin, as they come.
#[derive(Debug)]
pub(super) struct Lines {
    lines: Receiver<io::Result<Vec<u8>>>,
    place: Place,
    hex: bool,
    /// Taken already, and still to be given.
    first: Option<Command>,
}

impl Source {
    /// The arguments, each a command.
    ///
    /// # Errors
    /// One that should be hex is not.
    pub(super) fn arguments(arguments: Vec<OsString>, hex: bool) -> Result<Source, UsageError> {
        let command = |argument: OsString| {
            let text = argument.into_vec();
            let bytes = meant(&text, hex).map_err(UsageError)?;
            Ok(Command { bytes, place: None })
        };
        let commands: Result<Vec<Command>, UsageError> =
            arguments.into_iter().map(command).collect();
        commands.map(Source::Fixed)
    }

    /// A file, one command a line.
    ///
    /// # Errors
    /// It cannot be read, is too large, has a line that is no command, or has none at all.
    pub(super) fn file(path: &Path, hex: bool) -> Result<Source> {
        let name = path.display().to_string();
        let cannot = || format!("cannot read {name}");
        let mut text = Vec::new();
        let file = File::open(path).with_context(cannot)?;
        file.take(LARGEST + 1)
            .read_to_end(&mut text)
            .with_context(cannot)?;
        if text.len() as u64 > LARGEST {
            return Err(anyhow!("{name} is larger than {} MiB", LARGEST >> 20));
        }
        let mut place = Place::before(&name);
        let mut commands = Vec::new();
        for line in text.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            commands.extend(place.next(line, hex)?);
        }
        if commands.is_empty() {
            return Err(UsageError(format!("there is no command in {name}")).into());
        }
        Ok(Source::Fixed(commands))
    }

    /// Stdin, one command a line.
    pub(super) fn stdin(hex: bool) -> Source {
        Source::Stdin(Lines {
            lines: input::lines(),
            place: Place::before("stdin"),
            hex,
            first: None,
        })
    }

    /// As [`Source::stdin`], once its first command is there; `None` if there is none at all.
    ///
    /// # Errors
    /// As [`Lines::next`].
    pub(super) async fn stdin_with_commands(hex: bool) -> Result<Option<Source>> {
        let mut source = Source::stdin(hex);
        if let Source::Stdin(lines) = &mut source {
            lines.first = lines.next().await?;
            if lines.first.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(source))
    }
}

impl Lines {
    /// The next command; `None` at the end. Dropping the future loses nothing.
    ///
    /// # Errors
    /// Stdin cannot be read, or a line is no command.
    pub(super) async fn next(&mut self) -> Result<Option<Command>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        while let Some(line) = self.lines.recv().await {
            let line = line.context("cannot read stdin")?;
            let command = self.place.next(&line, self.hex)?;
            if command.is_some() {
                return Ok(command);
            }
        }
        Ok(None)
    }
}

impl Place {
    fn before(file: &str) -> Place {
        Place {
            file: file.into(),
            line: 0,
        }
    }

    /// Goes on to the next line, and gives the command it is; `None` if it is a comment or blank.
    fn next(&mut self, line: &[u8], hex: bool) -> Result<Option<Command>, UsageError> {
        self.line += 1;
        let Some(text) = command_text(line) else {
            return Ok(None);
        };
        let bytes = meant(text, hex).map_err(|problem| UsageError(format!("{self}: {problem}")))?;
        let place = Some(self.clone());
        Ok(Some(Command { bytes, place }))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// The command in a line of a script. A backslash at the beginning is taken away, and what follows it is the command
/// whatever it looks like: `\# not a comment`, `\` for an empty command.
fn command_text(line: &[u8]) -> Option<&[u8]> {
    if let Some(rest) = line.strip_prefix(b"\\") {
        return Some(rest);
    }
    match line.trim_ascii_start().first() {
        None | Some(b'#') => None,
        Some(_) => Some(line),
    }
}

fn meant(text: &[u8], hex: bool) -> Result<Bytes, String> {
    if !hex {
        return Ok(Bytes::copy_from_slice(text));
    }
    let digits: String = String::from_utf8_lossy(text)
        .split_ascii_whitespace()
        .collect();
    let bytes = Blob::from_hex(&digits)
        .map_err(|problem| format!("{problem}; with --hex a command is written 01 03 00 6b"))?;
    Ok(bytes.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_blank_lines_are_no_commands_and_a_backslash_makes_anything_one() {
        for (line, expected) in [
            (&b""[..], None),
            (b" \t ", None),
            (b"# why", None),
            (b"  # why", None),
            (b"LED ON", Some(&b"LED ON"[..])),
            (b"  LED ON ", Some(b"  LED ON ")),
            (b"LED # ON", Some(b"LED # ON")),
            (b"\\# ON", Some(b"# ON")),
            (b"\\\\n", Some(b"\\n")),
            (b"\\", Some(b"")),
            (b"\xff", Some(b"\xff")),
        ] {
            assert_eq!(command_text(line), expected, "{}", line.escape_ascii());
        }
    }

    fn file(text: &[u8], hex: bool) -> Result<Vec<Command>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("commands.txt");
        std::fs::write(&path, text)?;
        match Source::file(&path, hex)? {
            Source::Fixed(commands) => Ok(commands),
            Source::Stdin(_) => Err(anyhow!("that is stdin")),
        }
    }

    #[test]
    fn a_file_is_read_whole_and_every_command_knows_its_line() {
        let commands = file(b"# begin\r\nLED ON\r\n\r\nLED?\nlast", false).unwrap();
        let found: Vec<(&[u8], u64)> = commands
            .iter()
            .map(|command| (&command.bytes[..], command.place.as_ref().unwrap().line))
            .collect();
        assert_eq!(
            found,
            [(&b"LED ON"[..], 2), (&b"LED?"[..], 4), (&b"last"[..], 5)]
        );
    }

    #[test]
    fn mistakes_name_file_and_line() {
        let error = file(b"01 03\n# fine\n0x\n", true).unwrap_err();
        assert!(error.is::<UsageError>(), "{error:#}");
        assert!(
            error.to_string().contains("commands.txt:3: 'x' at"),
            "{error:#}"
        );
        let error = file(b"# nothing\n\n", false).unwrap_err().to_string();
        assert!(error.starts_with("there is no command in "), "{error}");
        let missing = Source::file(Path::new("/no/such/file"), false).unwrap_err();
        assert!(format!("{missing:#}").starts_with("cannot read /no/such/file: "));
    }

    #[test]
    fn hex_may_have_spaces() {
        assert_eq!(
            meant(b" 01 03 006B\t", true).as_deref(),
            Ok(&[1, 3, 0, 0x6b][..])
        );
        assert_eq!(meant(b"01 03", false).as_deref(), Ok(&b"01 03"[..]));
        for wrong in [&b"1"[..], b"0g", b"\xff\xff", b"01:03"] {
            assert!(
                meant(wrong, true)
                    .unwrap_err()
                    .contains("is written 01 03 00 6b")
            );
        }
    }
}
