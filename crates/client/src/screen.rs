//! Where `uart attach` shows what the board says, and what it has to say itself. Not when.

use std::io::{self, IsTerminal, Write};

use crate::output;
use crate::style::Style;

/// stdout for the board, stderr for us.
#[derive(Debug)]
pub(crate) struct Screen {
    /// A raw terminal needs a carriage return with each line feed of ours.
    raw: bool,
    /// Both streams are on terminals, so a notice must begin on a line of its own.
    shared: bool,
    at_line_start: bool,
    style: Style,
}

impl Screen {
    pub(crate) fn new(raw: bool) -> Screen {
        let shared = io::stdout().is_terminal() && io::stderr().is_terminal();
        Screen {
            raw,
            shared,
            at_line_start: true,
            style: Style::of(&io::stderr()),
        }
    }

    /// Shows bytes as they are.
    pub(crate) fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(last) = bytes.last() {
            self.at_line_start = *last == b'\n';
        }
        output::bytes(bytes)
    }

    /// Says something of ours, in one line.
    pub(crate) fn notice(&mut self, text: &str) {
        self.text(&self.style.notice(&format!("[uart] {text}")));
    }

    /// Says something of ours, in lines.
    pub(crate) fn text(&mut self, text: &str) {
        let end = if self.raw { "\r\n" } else { "\n" };
        let mut shown = String::new();
        if self.shared && !self.at_line_start {
            shown.push_str(end);
        }
        for line in text.lines() {
            shown.push_str(line);
            shown.push_str(end);
        }
        self.at_line_start = true;
        // A stderr that is closed cannot be told so.
        let _ = io::stderr().write_all(shown.as_bytes());
    }
}
