//! Colours, where there is a person to see them.

use std::io::IsTerminal;

/// Whether to colour what goes to a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    colour: bool,
}

/// The colours of ports, told apart by their order on the command line.
const PORTS: [u8; 6] = [36, 35, 32, 34, 96, 95];

impl Style {
    /// No colours, whatever the tests' stdout is.
    #[cfg(test)]
    pub(crate) const PLAIN: Style = Style { colour: false };

    /// Colours for a terminal, unless `NO_COLOR` is set (no-color.org) or the terminal is dumb.
    pub(crate) fn of(stream: &impl IsTerminal) -> Style {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Style {
            colour: stream.is_terminal() && !refused && !dumb,
        }
    }

    /// What we say, as opposed to the board.
    pub(crate) fn notice(self, text: &str) -> String {
        self.paint(33, text)
    }

    /// What stands beside the matter.
    pub(crate) fn aside(self, text: &str) -> String {
        self.paint(2, text)
    }

    /// The name of the port with this index.
    pub(crate) fn port(self, index: usize, text: &str) -> String {
        self.paint(PORTS[index % PORTS.len()], text)
    }

    fn paint(self, code: u8, text: &str) -> String {
        if self.colour && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_only_where_they_are_wanted() {
        assert_eq!(Style::PLAIN.notice("x"), "x");
        assert_eq!(Style { colour: true }.notice("x"), "\x1b[33mx\x1b[0m");
        assert_eq!(
            Style { colour: true }.port(7, "x"),
            Style { colour: true }.port(1, "x")
        );
    }
}
