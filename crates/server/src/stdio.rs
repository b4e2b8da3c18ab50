//! Text for people on stdout and stderr: columns that line up, and no panic when nobody reads it.

use std::io::{self, Write};

/// Writes all of it to stdout. A closed pipe (`uartd devices | head -1`) is what the reader wanted.
///
/// # Errors
/// Any other error of stdout, such as a full disk.
pub fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Writes all of it to stderr. If that fails, there is nobody left to be told.
pub fn tell(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Rows whose columns line up, two spaces in, each row a line.
pub(crate) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            line.push_str(&format!("  {cell:<width$}"));
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
    fn columns_line_up() {
        let row = |a: &str, b: &str| [a.to_owned(), b.to_owned()];
        assert_eq!(
            columns(&[row("a", "b"), row("längst", ""), row("cc", "d")]),
            "  a       b\n  längst\n  cc      d\n"
        );
        assert_eq!(columns::<2>(&[]), "");
    }
}
