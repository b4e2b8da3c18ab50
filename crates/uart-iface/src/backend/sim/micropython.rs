//! `sim:micropython`: what MicroPython's REPLs look like from outside, friendly and raw, to try the profile `micropython` on. It is
//! no Python: it knows `print` of one text or number, and how to divide by zero.

use std::time::Instant;

use super::answering::{Answering, Program};
use super::{Board, BoardKind, OptionHelp, Options};
use crate::SpecError;

/// The longest code, in bytes.
const MAX_CODE: usize = 1024;

const BANNER: &str =
    "\r\nMicroPython simulated by uartnet\r\nType \"help()\" for more information.\r\n>>> ";
const RAW_BANNER: &str = "raw REPL; CTRL-B to exit\r\n>";

/// The entry in the list of boards.
#[derive(Debug)]
pub(super) struct Kind;

impl BoardKind for Kind {
    fn name(&self) -> &'static str {
        "micropython"
    }

    fn summary(&self) -> &'static str {
        "the REPLs of MicroPython, with print(\"text\"), print(7) and 1/0 for a language"
    }

    fn options(&self) -> &'static [OptionHelp] {
        &[]
    }

    fn build(&self, _options: &mut Options) -> Result<Box<dyn Board>, SpecError> {
        Ok(Box::new(Answering::new(Repl::default())))
    }
}

#[derive(Debug, Default)]
struct Repl {
    raw: bool,
    code: Vec<u8>,
}

impl Program for Repl {
    const PROFILE: &'static str = "micropython";

    fn handle_byte(&mut self, _now: Instant, byte: u8, out: &mut Vec<u8>) {
        let mut say = |text: &str| out.extend_from_slice(text.as_bytes());
        match (byte, self.raw) {
            // Only an empty line is left for the raw REPL.
            (0x01, raw) if raw || self.code.is_empty() => {
                self.raw = true;
                self.code.clear();
                say(RAW_BANNER);
            }
            (0x02, _) => {
                self.raw = false;
                self.code.clear();
                say(BANNER);
            }
            (0x03, raw) => {
                self.code.clear();
                say(if raw { "" } else { "\r\n>>> " });
            }
            (0x04, true) => {
                let (output, traceback) = run(&std::mem::take(&mut self.code));
                say(&format!("OK{output}\x04{traceback}\x04>"));
            }
            (b'\r', false) => {
                let (output, traceback) = run(&std::mem::take(&mut self.code));
                say(&format!("\r\n{output}{traceback}>>> "));
            }
            (_, raw) if self.code.len() < MAX_CODE && (raw || byte >= 0x20) => {
                self.code.push(byte);
                if !raw {
                    out.push(byte);
                }
            }
            _ => {}
        }
    }

    fn restart(&mut self, out: &mut Vec<u8>) {
        *self = Repl::default();
        out.extend_from_slice(BANNER.as_bytes());
    }
}

/// What the code prints, and the traceback that ends it.
fn run(code: &[u8]) -> (String, String) {
    let code = String::from_utf8_lossy(code);
    let mut output = String::new();
    for (number, line) in code.lines().enumerate() {
        let line = line.trim();
        let printed = line
            .strip_prefix("print(")
            .and_then(|rest| rest.strip_suffix(')'))
            .and_then(literal);
        match (printed, line) {
            (Some(text), _) => output += &format!("{text}\r\n"),
            (None, "") => {}
            (None, _) => {
                let error = match line {
                    "1/0" => "ZeroDivisionError: divide by zero",
                    _ => "SyntaxError: invalid syntax",
                };
                let at = number + 1;
                let traceback = format!(
                    "Traceback (most recent call last):\r\n  File \"<stdin>\", line {at}, in <module>\r\n{error}\r\n"
                );
                return (output, traceback);
            }
        }
    }
    (output, String::new())
}

/// A number, or a text between quotes.
fn literal(text: &str) -> Option<&str> {
    let quoted = ['"', '\'']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote));
    let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    quoted.or(is_number.then_some(text))
}
