//! `sim:modbus`: a Modbus RTU device with a few holding registers, to try the profile `modbus-rtu` on (Modbus Application
//! Protocol V1.1b3).

use std::time::{Duration, Instant};

use super::answering::{Answering, Program};
use super::{Board, BoardKind, OptionHelp, Options};
use crate::SpecError;

/// How many holding registers there are. Number n begins with 100 × n.
const REGISTERS: usize = 16;

/// A frame that is not whole after this silence is none.
const SILENCE: Duration = Duration::from_millis(20);

const ILLEGAL_FUNCTION: u8 = 1;
const ILLEGAL_ADDRESS: u8 = 2;
const ILLEGAL_VALUE: u8 = 3;

/// The entry in the list of boards.
#[derive(Debug)]
pub(super) struct Kind;

impl BoardKind for Kind {
    fn name(&self) -> &'static str {
        "modbus"
    }

    fn summary(&self) -> &'static str {
        "a Modbus RTU device with 16 holding registers (functions 3, 6 and 16)"
    }

    fn options(&self) -> &'static [OptionHelp] {
        &[OptionHelp {
            name: "address",
            values: "1 to 247",
            default: "1",
            meaning: "the device's address",
        }]
    }

    fn build(&self, options: &mut Options) -> Result<Box<dyn Board>, SpecError> {
        let address = options.take("address", "1 to 247", |value| {
            value
                .parse()
                .ok()
                .filter(|address| (1..=247).contains(address))
        })?;
        Ok(Box::new(Answering::new(Slave::new(address.unwrap_or(1)))))
    }
}

#[derive(Debug)]
struct Slave {
    address: u8,
    registers: [u16; REGISTERS],
    frame: Vec<u8>,
    last_byte: Option<Instant>,
}

impl Slave {
    fn new(address: u8) -> Slave {
        Slave {
            address,
            registers: std::array::from_fn(|number| 100 * number as u16),
            frame: Vec::new(),
            last_byte: None,
        }
    }

    /// The response to a request without its CRC, or the exception.
    fn answer(&mut self, request: &[u8]) -> Result<Vec<u8>, u8> {
        let word = |at: usize| match request.get(at..at + 2) {
            Some(bytes) => Ok(u16::from_be_bytes([bytes[0], bytes[1]])),
            None => Err(ILLEGAL_VALUE),
        };
        let range = |first: u16, count: u16| {
            let (first, count) = (usize::from(first), usize::from(count));
            match count {
                0 => Err(ILLEGAL_VALUE),
                _ if first + count > REGISTERS => Err(ILLEGAL_ADDRESS),
                _ => Ok(first..first + count),
            }
        };
        match request[1] {
            3 => {
                let range = range(word(2)?, word(4)?)?;
                let values = self.registers[range].iter();
                let bytes: Vec<u8> = values.flat_map(|value| value.to_be_bytes()).collect();
                Ok([&[self.address, 3, bytes.len() as u8], &bytes[..]].concat())
            }
            6 => {
                let range = range(word(2)?, 1)?;
                self.registers[range].fill(word(4)?);
                Ok(request.to_vec())
            }
            16 => {
                let range = range(word(2)?, word(4)?)?;
                if usize::from(request[6]) != 2 * range.len() {
                    return Err(ILLEGAL_VALUE);
                }
                for (at, number) in range.enumerate() {
                    self.registers[number] = word(7 + 2 * at)?;
                }
                Ok(request[..6].to_vec())
            }
            _ => Err(ILLEGAL_FUNCTION),
        }
    }
}

impl Program for Slave {
    const PROFILE: &'static str = "modbus-rtu";

    fn handle_byte(&mut self, now: Instant, byte: u8, out: &mut Vec<u8>) {
        let last = self.last_byte.replace(now);
        if last.is_some_and(|last| now.saturating_duration_since(last) > SILENCE) {
            self.frame.clear();
        }
        self.frame.push(byte);
        let whole = match self.frame[..] {
            [_, 16, _, _, _, _, count, ..] => 9 + usize::from(count),
            _ => 8,
        };
        if self.frame.len() < whole {
            return;
        }
        let frame = std::mem::take(&mut self.frame);
        let (request, sum) = frame.split_at(frame.len() - 2);
        let is_for_us = request[0] == self.address || request[0] == 0;
        if crc(request).to_le_bytes() != sum || !is_for_us {
            return;
        }
        let answer = self
            .answer(request)
            .unwrap_or_else(|exception| vec![self.address, request[1] | 0x80, exception]);
        // Everybody obeys a broadcast, and nobody answers.
        if request[0] != 0 {
            out.extend_from_slice(&answer);
            out.extend_from_slice(&crc(&answer).to_le_bytes());
        }
    }

    fn restart(&mut self, _out: &mut Vec<u8>) {
        *self = Slave::new(self.address);
    }
}

/// CRC-16 of Modbus over Serial Line, section 6.2.2.
fn crc(bytes: &[u8]) -> u16 {
    let mut crc = 0xffff;
    for &byte in bytes {
        crc ^= u16::from(byte);
        for _ in 0..8 {
            let carry = crc & 1 == 1;
            crc >>= 1;
            if carry {
                crc ^= 0xa001;
            }
        }
    }
    crc
}
