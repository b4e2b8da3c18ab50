//! What is written to stdout and stderr: replies, JSON lines, tables, complaints. Not what is worth writing.

use std::io::{self, IsTerminal, StdoutLock, Write};

use serde::Serialize;

use crate::sanitize::{harmless, harmless_json, harmless_lines};
use crate::style::Style;

/// Writes bytes to stdout as they are, at once.
pub(crate) fn bytes(bytes: &[u8]) -> io::Result<()> {
    write(|stdout| stdout.write_all(bytes))
}

/// Writes a reply to stdout: bytes as they are, and an end of line after text that has none. An empty reply is nothing. On a
/// terminal it is made harmless.
pub(crate) fn reply(reply: &[u8]) -> io::Result<()> {
    if reply.is_empty() {
        return Ok(());
    }
    write(|stdout| {
        if stdout.is_terminal() {
            let text = harmless_lines(reply);
            return writeln!(stdout, "{}", text.strip_suffix('\n').unwrap_or(&text));
        }
        stdout.write_all(reply)?;
        if !reply.ends_with(b"\n") && std::str::from_utf8(reply).is_ok() {
            stdout.write_all(b"\n")?;
        }
        Ok(())
    })
}

/// Writes one line of JSON to stdout.
pub(crate) fn json(value: &impl Serialize) -> io::Result<()> {
    line(&harmless_json(value)?)
}

/// Writes one line of text to stdout.
pub(crate) fn line(text: &str) -> io::Result<()> {
    bytes(format!("{text}\n").as_bytes())
}

/// Writes a table to stdout.
pub(crate) fn table<const N: usize>(rows: &[[String; N]]) -> io::Result<()> {
    bytes(layout(rows).as_bytes())
}

fn write(write: impl FnOnce(&mut StdoutLock<'_>) -> io::Result<()>) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    write(&mut stdout)
        .and_then(|()| stdout.flush())
        .map_err(|error| io::Error::new(error.kind(), format!("cannot write to stdout: {error}")))
}

/// Says on stderr what went wrong. A stderr that is closed cannot be told so.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "uart: {}", harmless(text.as_bytes()));
}

/// Says on stderr what happened, apart from the board's words.
pub(crate) fn notice(text: &str) {
    let line = Style::of(&io::stderr()).notice(&format!("[uart] {}", harmless(text.as_bytes())));
    let _ = writeln!(io::stderr(), "{line}");
}

/// A table as text, each column as wide as its widest cell; the cells are made harmless first.
pub(crate) fn layout<const N: usize>(rows: &[[String; N]]) -> String {
    let rows: Vec<[String; N]> = rows
        .iter()
        .map(|row| row.each_ref().map(|cell| harmless(cell.as_bytes())))
        .collect();
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_cells_are_harmless() {
        let row = |a: &str, b: &str| [a.to_owned(), b.to_owned()];
        let text = layout(&[
            row("NAME", "DEVICE"),
            row("größer", "\x1b[2J"),
            row("b", ""),
        ]);
        assert_eq!(text, "NAME    DEVICE\ngrößer  \\x1b[2J\nb\n");
    }
}
