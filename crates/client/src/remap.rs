//! Ends of lines on their way to and from a board: what Enter sends, and how a bare line feed is shown.
//! State machines over bytes that may be split anywhere.

use clap::ValueEnum;

/// What ends a line for the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Eol {
    /// Carriage return (0x0D)
    Cr,
    /// Line feed (0x0A)
    Lf,
    /// Both
    Crlf,
}

impl Eol {
    pub(crate) fn bytes(self) -> &'static [u8] {
        match self {
            Eol::Cr => b"\r",
            Eol::Lf => b"\n",
            Eol::Crlf => b"\r\n",
        }
    }
}

/// What stands for an end of line in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineEnd {
    /// CR: the Enter key of a terminal in raw mode. LF is Ctrl-J, and stays.
    Enter,
    /// LF, CR LF or CR: text from a file.
    Text,
}

/// Turns ends of lines of the input into those of the board.
#[derive(Debug)]
pub(crate) struct InputRemap {
    line_end: LineEnd,
    eol: Eol,
    after_cr: bool,
}

impl InputRemap {
    pub(crate) fn new(line_end: LineEnd, eol: Eol) -> InputRemap {
        InputRemap {
            line_end,
            eol,
            after_cr: false,
        }
    }

    /// The input as it goes to the board; at most twice as long.
    pub(crate) fn handle_input(&mut self, input: &[u8]) -> Vec<u8> {
        let mut mapped = Vec::with_capacity(input.len() + 16);
        for &byte in input {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match (byte, self.line_end) {
                (b'\r', _) => mapped.extend_from_slice(self.eol.bytes()),
                // The CR before it has already ended the line.
                (b'\n', LineEnd::Text) if after_cr => {}
                (b'\n', LineEnd::Text) => mapped.extend_from_slice(self.eol.bytes()),
                _ => mapped.push(byte),
            }
        }
        mapped
    }
}

/// Shows a line feed that no carriage return precedes as both, so that the next line begins at the left.
#[derive(Debug, Default)]
pub(crate) struct OutputRemap {
    after_cr: bool,
}

impl OutputRemap {
    /// The output as it goes to the terminal; at most twice as long.
    pub(crate) fn handle_output(&mut self, output: &[u8]) -> Vec<u8> {
        let mut mapped = Vec::with_capacity(output.len() + 16);
        for &byte in output {
            if byte == b'\n' && !self.after_cr {
                mapped.push(b'\r');
            }
            self.after_cr = byte == b'\r';
            mapped.push(byte);
        }
        mapped
    }
}

/// What is typed, as local echo shows it: Enter begins a new line, the delete key deletes, other controls are `^X`.
pub(crate) fn echo(typed: &[u8]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(typed.len() + 16);
    for &byte in typed {
        match byte {
            b'\r' | b'\n' => shown.extend_from_slice(b"\r\n"),
            b'\t' => shown.push(byte),
            0x08 | 0x7f => shown.extend_from_slice(b"\x08 \x08"),
            0..=0x1f => shown.extend_from_slice(&[b'^', byte | 0x40]),
            _ => shown.push(byte),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_every_split(input: &[u8], mut map: impl FnMut(&[&[u8]]) -> Vec<u8>, expected: &[u8]) {
        for split in 0..=input.len() {
            let (head, tail) = input.split_at(split);
            assert_eq!(map(&[head, tail]), expected, "{input:?} split at {split}");
        }
    }

    #[test]
    fn ends_of_lines_become_the_boards() {
        for (line_end, eol, input, expected) in [
            (LineEnd::Enter, Eol::Cr, &b"a\rb\nc"[..], &b"a\rb\nc"[..]),
            (LineEnd::Enter, Eol::Lf, b"a\r\rb", b"a\n\nb"),
            (LineEnd::Enter, Eol::Crlf, b"a\rb\n", b"a\r\nb\n"),
            (
                LineEnd::Text,
                Eol::Cr,
                b"a\nb\r\nc\rd\n\n",
                b"a\rb\rc\rd\r\r",
            ),
            (LineEnd::Text, Eol::Crlf, b"a\nb\r\n\r\n", b"a\r\nb\r\n\r\n"),
            (LineEnd::Text, Eol::Lf, b"\r\r\n\x00\xff", b"\n\n\x00\xff"),
        ] {
            let map = |pieces: &[&[u8]]| {
                let mut remap = InputRemap::new(line_end, eol);
                pieces
                    .iter()
                    .flat_map(|piece| remap.handle_input(piece))
                    .collect()
            };
            at_every_split(input, map, expected);
        }
    }

    #[test]
    fn a_bare_line_feed_is_shown_as_both() {
        let map = |pieces: &[&[u8]]| {
            let mut remap = OutputRemap::default();
            pieces
                .iter()
                .flat_map(|piece| remap.handle_output(piece))
                .collect()
        };
        at_every_split(b"a\nb\r\nc\n\n\r", map, b"a\r\nb\r\nc\r\n\r\n\r");
    }

    #[test]
    fn echo_shows_what_was_typed_and_obeys_nothing() {
        assert_eq!(
            echo(b"a\r\x7f\x1b[A\x03\t\xc3\xa9"),
            b"a\r\n\x08 \x08^[[A^C\t\xc3\xa9"
        );
    }
}
