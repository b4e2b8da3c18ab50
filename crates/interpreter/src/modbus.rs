//! Modbus RTU (Modbus over Serial Line V1.02, Modbus Application Protocol V1.1b3): a request framed with its CRC, and the
//! response found by address, function code, length and CRC. Not what registers mean.
//!
//! A frame is a reply when it is of the addressed device, of the function that was asked for (or its exception), has the
//! length its function code says and the right CRC, and the line was silent behind it. Of a function whose length is not
//! known, silence alone says where it ends. Anything else is passed over: a damaged frame is no reply, and the ask times out.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::CommandError;
use crate::reply::{Found, Matcher, Refused};

/// The longest frame, CRC included.
const LONGEST_FRAME: usize = 256;
const CRC: usize = 2;

/// How much of what arrives is looked at: a frame, and what may be left of an older one.
const KEPT: usize = 2 * LONGEST_FRAME;

/// Set in the function code of an exception.
const EXCEPTION: u8 = 0x80;

/// The address that every device obeys and none answers.
const BROADCAST: u8 = 0;

#[derive(Debug)]
pub(crate) struct Modbus {
    address: u8,
    function: u8,
    quiet: Duration,
    /// The newest bytes.
    buffer: BytesMut,
    seen: u64,
    last_byte: Option<Instant>,
}

/// What is written for this command: the command and its CRC.
pub(crate) fn frame(command: &[u8]) -> Result<Bytes, CommandError> {
    let most = LONGEST_FRAME - CRC;
    if !(2..=most).contains(&command.len()) {
        let len = command.len();
        return Err(CommandError::NotAFrame { len, most });
    }
    Ok([command, &crc(command).to_le_bytes()].concat().into())
}

/// CRC-16 with the polynomial 0xA001, as section 6.2.2 of Modbus over Serial Line describes it.
fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |crc, &byte| {
        (0..8).fold(crc ^ u16::from(byte), |crc, _| match crc & 1 {
            1 => (crc >> 1) ^ 0xa001,
            _ => crc >> 1,
        })
    })
}

/// How long a response is, CRC included.
#[derive(Debug, PartialEq, Eq)]
enum Length {
    Bytes(usize),
    /// The byte that says it has not come.
    NotYet,
    /// The function code does not say.
    Unknown,
}

fn response_length(frame: &[u8], function: u8) -> Length {
    let counted = |at: usize, more: usize| match frame.get(at) {
        Some(&count) => Length::Bytes(at + 1 + usize::from(count) + more + CRC),
        None => Length::NotYet,
    };
    match frame.get(1) {
        None => Length::NotYet,
        Some(&code) if code != function => Length::Bytes(3 + CRC),
        Some(0x01..=0x04 | 0x0c | 0x11 | 0x14 | 0x15 | 0x17) => counted(2, 0),
        Some(0x05 | 0x06 | 0x0b | 0x0f | 0x10) => Length::Bytes(6 + CRC),
        Some(0x07) => Length::Bytes(3 + CRC),
        Some(0x16) => Length::Bytes(8 + CRC),
        // Two bytes of count, of which the first is 0: at most 31 registers.
        Some(0x18) => counted(3, 0),
        Some(_) => Length::Unknown,
    }
}

impl Modbus {
    pub(crate) fn new(command: &[u8], quiet: Duration) -> Modbus {
        Modbus {
            address: command.first().copied().unwrap_or(BROADCAST),
            function: command.get(1).copied().unwrap_or_default(),
            quiet,
            buffer: BytesMut::new(),
            seen: 0,
            last_byte: None,
        }
    }

    /// Where the first whole frame begins and ends. `silent`: nothing followed what has arrived.
    fn find(&self, silent: bool) -> Option<(usize, usize)> {
        (0..self.buffer.len()).find_map(|at| {
            let rest = &self.buffer[at..];
            let is_ours = rest[0] == self.address
                && rest
                    .get(1)
                    .is_some_and(|&code| code & !EXCEPTION == self.function & !EXCEPTION);
            if !is_ours {
                return None;
            }
            let len = match response_length(rest, self.function) {
                Length::Bytes(len) => len,
                Length::Unknown if silent => rest.len(),
                Length::Unknown | Length::NotYet => return None,
            };
            let frame = rest.get(..len).filter(|frame| frame.len() >= 2 + CRC)?;
            let (content, sum) = frame.split_at(len - CRC);
            (crc(content).to_le_bytes() == sum).then_some((at, at + len))
        })
    }

    fn found(&mut self, at: usize, end: usize) -> Found {
        let consumed = self.seen - (self.buffer.len() - end) as u64;
        let reply = self.buffer.split().freeze().slice(at..end - CRC);
        let refused = (reply[1] != self.function).then(|| {
            let code = reply.get(2).copied().unwrap_or_default();
            Refused {
                sentence: format!("the board answered exception {code}, {}", meaning(code)),
                before: Bytes::new(),
            }
        });
        Found {
            refused,
            ..Found::new(reply, consumed)
        }
    }
}

impl Matcher for Modbus {
    fn handle_data(&mut self, now: Instant, bytes: &[u8]) -> Option<Found> {
        // What follows a frame without a silence is not a part of it; what was silent before it is over.
        let found = self
            .last_byte
            .and_then(|last| last.checked_add(self.quiet))
            .filter(|&at| at <= now)
            .and_then(|_| self.find(true));
        if let Some((at, end)) = found {
            self.last_byte = Some(now);
            return Some(self.found(at, end));
        }
        self.last_byte = Some(now);
        self.seen += bytes.len() as u64;
        for part in bytes.chunks(KEPT) {
            self.buffer.extend_from_slice(part);
            let beyond = self.buffer.len().saturating_sub(KEPT);
            let _ = self.buffer.split_to(beyond);
        }
        None
    }

    fn handle_timeout(&mut self, _now: Instant) -> Option<Found> {
        let (at, end) = self.find(true)?;
        Some(self.found(at, end))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        // What is no frame now is none later either, unless more comes.
        self.find(true)?;
        self.last_byte?.checked_add(self.quiet)
    }

    fn least_len(&self) -> usize {
        0
    }

    fn echoed(&self) -> Option<bool> {
        None
    }

    fn discard(&mut self) -> Bytes {
        Bytes::copy_from_slice(&self.buffer)
    }

    fn expects_nothing(&self) -> bool {
        self.address == BROADCAST
    }
}

/// The names of the exceptions (Modbus Application Protocol, section 7).
fn meaning(exception: u8) -> &'static str {
    match exception {
        0x01 => "illegal function",
        0x02 => "illegal data address",
        0x03 => "illegal data value",
        0x04 => "server device failure",
        0x05 => "acknowledge",
        0x06 => "server device busy",
        0x08 => "memory parity error",
        0x0a => "gateway path unavailable",
        0x0b => "gateway target device failed to respond",
        _ => "which has no name",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_is_that_of_the_specification() {
        // Modbus over Serial Line, 6.2.2: the frame 02 07 has the CRC 0x1241, sent as 41 12.
        assert_eq!(frame(&[0x02, 0x07]).unwrap()[..], [0x02, 0x07, 0x41, 0x12]);
        assert_eq!(
            frame(&[1]).unwrap_err().to_string(),
            "a Modbus RTU command is an address, a function code and its data, without CRC: 2 to 254 bytes, and not 1"
        );
    }

    #[test]
    fn the_length_of_a_response_is_known_by_its_function() {
        for (frame, len) in [
            (&[9, 3][..], Length::NotYet),
            (&[9, 3, 4], Length::Bytes(9)),
            (&[9, 0x83], Length::Bytes(5)),
            (&[9, 3, 250], Length::Bytes(255)),
        ] {
            assert_eq!(response_length(frame, 3), len, "{frame:?}");
        }
        for (function, len) in [
            (6, Length::Bytes(8)),
            (7, Length::Bytes(5)),
            (0x16, Length::Bytes(10)),
            (0x18, Length::Bytes(8)),
            (0x2b, Length::Unknown),
        ] {
            assert_eq!(response_length(&[9, function, 0, 2], function), len);
        }
    }
}
