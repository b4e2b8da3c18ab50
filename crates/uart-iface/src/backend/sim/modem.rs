//! `sim:modem`: a modem with a handful of AT commands (ITU-T V.250, 3GPP TS 27.007), to try the profile `at` on. It has no network.

use std::time::Instant;

use super::answering::{Answering, Program};
use super::{Board, BoardKind, OptionHelp, Options};
use crate::SpecError;

/// The longest command line, in bytes.
const MAX_LINE: usize = 256;

/// The entry in the list of boards.
#[derive(Debug)]
pub(super) struct Kind;

impl BoardKind for Kind {
    fn name(&self) -> &'static str {
        "modem"
    }

    fn summary(&self) -> &'static str {
        "a modem: ATI, AT+CSQ, AT+CREG?, AT+COPS?, AT+CPIN?, ATD, ATE0, ATE1"
    }

    fn options(&self) -> &'static [OptionHelp] {
        &[]
    }

    fn build(&self, _options: &mut Options) -> Result<Box<dyn Board>, SpecError> {
        Ok(Box::new(Answering::new(Modem::default())))
    }
}

#[derive(Debug)]
struct Modem {
    line: Vec<u8>,
    echo: bool,
}

impl Default for Modem {
    fn default() -> Modem {
        Modem {
            line: Vec::new(),
            echo: true,
        }
    }
}

impl Program for Modem {
    const PROFILE: &'static str = "at";

    fn handle_byte(&mut self, _now: Instant, byte: u8, out: &mut Vec<u8>) {
        if self.echo {
            out.push(byte);
        }
        match byte {
            b'\r' => {
                let line = std::mem::take(&mut self.line);
                let line = String::from_utf8_lossy(&line).trim().to_ascii_uppercase();
                for answer in self.answers(&line) {
                    out.extend(format!("\r\n{answer}\r\n").into_bytes());
                }
            }
            b'\n' => {}
            0x08 => {
                self.line.pop();
            }
            _ if self.line.len() < MAX_LINE => self.line.push(byte),
            _ => {}
        }
    }

    fn restart(&mut self, out: &mut Vec<u8>) {
        *self = Modem::default();
        out.extend_from_slice(b"\r\nRDY\r\n");
    }
}

impl Modem {
    fn answers(&mut self, line: &str) -> &'static [&'static str] {
        match line {
            "ATE0" | "ATE1" => {
                self.echo = line == "ATE1";
                &["OK"]
            }
            "AT" | "ATZ" | "ATH" => &["OK"],
            "ATI" => &["uartnet modem", "revision 1", "OK"],
            "AT+CSQ" => &["+CSQ: 18,99", "OK"],
            "AT+CREG?" => &["+CREG: 0,1", "OK"],
            // News of the registration comes in between.
            "AT+COPS?" => &["+CREG: 1", "+COPS: 0,0,\"uartnet\"", "OK"],
            "AT+CPIN?" => &["+CME ERROR: 10"],
            _ if line.starts_with("ATD") => &["NO CARRIER"],
            "" => &[],
            _ => &["ERROR"],
        }
    }
}
