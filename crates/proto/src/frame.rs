//! The frame: `LEN_PAYLOAD`, where LEN is decimal ASCII and counts the whole frame, its own digits and the underscore
//! included. Not what a payload means; that is [`crate::message`].

use bytes::{Bytes, BytesMut};

use crate::text::{decimal_digits, put_decimal, shown};

/// The largest frame accepted where nothing else is configured, in bytes, prefix included.
pub const DEFAULT_MAX_FRAME: usize = 65_536;

/// What ends LEN.
const MARK: u8 = b'_';

/// What a peer can get wrong in a frame. Every variant carries `at`: the position of the offending byte in the stream,
/// counted from 0 at the beginning of the connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A byte that is neither a digit nor the underscore stands in LEN: a sign, a space, a letter, anything.
    #[error("byte {at}: {} where a digit or \"_\" of LEN must be", shown(*found))]
    NotADigit {
        /// Where.
        at: u64,
        /// The byte.
        found: u8,
    },
    /// The underscore stands where LEN must begin.
    #[error("byte {at}: \"_\" without a LEN before it")]
    NoLen {
        /// Where the underscore is.
        at: u64,
    },
    /// LEN begins with a zero.
    #[error("byte {at}: LEN begins with 0")]
    LeadingZero {
        /// Where the zero is.
        at: u64,
    },
    /// LEN goes on where the largest frame allowed must have had its underscore.
    #[error(
        "byte {at}: no \"_\" after {digits} digits, and the largest frame allowed has {max_frame} bytes"
    )]
    TooManyDigits {
        /// Where the first digit too many is.
        at: u64,
        /// How many digits the largest frame allowed needs.
        digits: usize,
        /// The largest frame allowed, in bytes.
        max_frame: usize,
    },
    /// LEN is larger than the largest frame allowed. It is refused at the digit that makes it so.
    #[error("byte {at}: LEN is {len} or more, and the largest frame allowed has {max_frame} bytes")]
    TooLong {
        /// Where the digit is.
        at: u64,
        /// LEN as far as it was read.
        len: u64,
        /// The largest frame allowed, in bytes.
        max_frame: usize,
    },
    /// LEN does not even count its own digits and the underscore.
    #[error("byte {at}: LEN is {len}, but its own digits and \"_\" take {prefix} bytes")]
    TooShort {
        /// Where the underscore is.
        at: u64,
        /// LEN.
        len: u64,
        /// The bytes its digits and the underscore take.
        prefix: usize,
    },
    /// The stream ended inside LEN.
    #[error("byte {at}: the stream ends inside LEN (digits so far: {digits})")]
    EndInLen {
        /// Where the stream ended.
        at: u64,
        /// How many digits had come.
        digits: usize,
    },
    /// The stream ended inside a payload.
    #[error("byte {at}: the stream ends after {got} of the {len} bytes of a frame")]
    EndInPayload {
        /// Where the stream ended.
        at: u64,
        /// How many bytes of the frame had come, prefix included.
        got: usize,
        /// LEN.
        len: usize,
    },
}

impl FrameError {
    /// The position of the offending byte in the stream, counted from 0 at the beginning of the connection.
    pub fn at(&self) -> u64 {
        match *self {
            FrameError::NotADigit { at, .. }
            | FrameError::NoLen { at }
            | FrameError::LeadingZero { at }
            | FrameError::TooManyDigits { at, .. }
            | FrameError::TooLong { at, .. }
            | FrameError::TooShort { at, .. }
            | FrameError::EndInLen { at, .. }
            | FrameError::EndInPayload { at, .. } => at,
        }
    }
}

/// The length of the frame for a payload of this length: the smallest LEN that is right.
pub fn frame_len(payload: usize) -> usize {
    // One more digit makes the frame one byte longer, and LEN never more than one digit longer, so the two meet.
    let mut digits = 1;
    loop {
        let len = payload.saturating_add(digits + 1);
        if decimal_digits(len as u64) <= digits {
            return len;
        }
        digits += 1;
    }
}

/// Appends one frame whose payload is `parts` one after the other (so that a header and shared bytes need no copy of
/// their own). The frame's length is not bounded here: what is too long is the sender's to split.
pub fn encode(parts: &[&[u8]], out: &mut BytesMut) {
    let len = frame_len(parts.iter().map(|part| part.len()).sum());
    out.reserve(len);
    put_decimal(len as u64, out);
    out.extend_from_slice(&[MARK]);
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Takes a stream of bytes in any pieces, gives payloads. After its first error it gives nothing but that error.
///
/// It keeps memory only for bytes that have arrived, never for a length that a peer claims: at most twice the bytes of
/// an unfinished frame, and none at all between frames. A payload it gives keeps at most four times its own length
/// alive, however large the read was that brought it.
#[derive(Debug)]
pub struct FrameDecoder {
    buffer: Vec<u8>,
    /// How much of `buffer` belongs to frames already given.
    taken: usize,
    /// The position of `buffer`'s first byte in the stream.
    position: u64,
    max_frame: usize,
    failed: Option<FrameError>,
}

impl FrameDecoder {
    /// A decoder that refuses frames longer than `max_frame` bytes (at least 2), before buffering them.
    pub fn new(max_frame: usize) -> FrameDecoder {
        FrameDecoder {
            buffer: Vec::new(),
            taken: 0,
            position: 0,
            max_frame: max_frame.max(2),
            failed: None,
        }
    }

    /// From the next frame on, frames longer than `max_frame` bytes (at least 2) are refused.
    pub fn set_max_frame(&mut self, max_frame: usize) {
        self.max_frame = max_frame.max(2);
    }

    /// How many bytes wait for the rest of their frame, or for [`FrameDecoder::poll_frame`].
    pub fn buffered(&self) -> usize {
        self.buffer.len() - self.taken
    }

    /// Whether [`FrameDecoder::poll_frame`] has nothing to give before more bytes arrive: neither a payload nor an error.
    pub fn buffered_is_unfinished(&self) -> bool {
        let whole = |prefix: Prefix| prefix.frame <= self.buffered();
        self.failed.is_none()
            && self
                .parse_prefix()
                .is_ok_and(|prefix| !prefix.is_some_and(whole))
    }

    /// How many bytes of memory the decoder holds.
    pub fn allocated(&self) -> usize {
        self.buffer.capacity()
    }

    /// Bytes arrived. They are kept until [`FrameDecoder::poll_frame`] takes them: poll until it has no more before
    /// handing in the next, then never more than one frame and one read are kept.
    pub fn handle_input(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next payload; `None` until more bytes arrive.
    ///
    /// # Errors
    /// What the peer got wrong, and where. The same error again from then on.
    pub fn poll_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        match self.parse_prefix() {
            Ok(Some(prefix)) if prefix.frame <= self.buffered() => Ok(Some(self.take(prefix))),
            Ok(_) => {
                self.give_back();
                Ok(None)
            }
            Err(error) => {
                self.buffer = Vec::new();
                self.taken = 0;
                self.failed = Some(error.clone());
                Err(error)
            }
        }
    }

    /// The stream ended here. Frames that are whole but not polled yet are no error.
    ///
    /// # Errors
    /// The stream ended inside a frame.
    pub fn handle_end(&self) -> Result<(), FrameError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let end = self.position + self.buffer.len() as u64;
        let mut rest = &self.buffer[self.taken..];
        while !rest.is_empty() {
            match Prefix::parse(rest, end - rest.len() as u64, self.max_frame)? {
                None => {
                    return Err(FrameError::EndInLen {
                        at: end,
                        digits: rest.len(),
                    });
                }
                Some(prefix) if prefix.frame > rest.len() => {
                    return Err(FrameError::EndInPayload {
                        at: end,
                        got: rest.len(),
                        len: prefix.frame,
                    });
                }
                Some(prefix) => rest = &rest[prefix.frame..],
            }
        }
        Ok(())
    }

    fn parse_prefix(&self) -> Result<Option<Prefix>, FrameError> {
        Prefix::parse(
            &self.buffer[self.taken..],
            self.position + self.taken as u64,
            self.max_frame,
        )
    }

    /// Takes the frame that begins at `taken` and is wholly there.
    fn take(&mut self, prefix: Prefix) -> Bytes {
        let begin = self.taken + prefix.prefix;
        let end = self.taken + prefix.frame;
        if 2 * (end - begin) < self.buffer.len() {
            // A small part of a large read is copied out, so that a payload somebody keeps does not keep the read alive.
            self.taken = end;
            return Bytes::copy_from_slice(&self.buffer[begin..end]);
        }
        let rest = self.buffer.split_off(end);
        let whole = std::mem::replace(&mut self.buffer, rest);
        self.position += end as u64;
        self.taken = 0;
        Bytes::from(whole).slice(begin..)
    }

    /// Forgets what was taken; keeps no more memory than what is left of it.
    fn give_back(&mut self) {
        if self.taken > 0 {
            self.position += self.taken as u64;
            self.buffer = self.buffer.split_off(self.taken);
            self.taken = 0;
        }
    }
}

/// What stands before a payload.
#[derive(Debug, Clone, Copy)]
struct Prefix {
    /// The length of LEN and the underscore.
    prefix: usize,
    /// LEN.
    frame: usize,
}

impl Prefix {
    /// Reads a frame's prefix, whose first byte is at position `at`. `None`: it is right so far, and not whole.
    fn parse(bytes: &[u8], at: u64, max_frame: usize) -> Result<Option<Prefix>, FrameError> {
        let max_digits = decimal_digits(max_frame as u64);
        let mut len: u64 = 0;
        for (index, &byte) in bytes.iter().enumerate() {
            let at = at + index as u64;
            match byte {
                MARK if index == 0 => return Err(FrameError::NoLen { at }),
                MARK => {
                    let prefix = index + 1;
                    if len < prefix as u64 {
                        return Err(FrameError::TooShort { at, len, prefix });
                    }
                    return Ok(Some(Prefix {
                        prefix,
                        frame: len as usize,
                    })); // at most max_frame, so it fits
                }
                b'0' if index == 0 => return Err(FrameError::LeadingZero { at }),
                b'0'..=b'9' if index == max_digits => {
                    return Err(FrameError::TooManyDigits {
                        at,
                        digits: max_digits,
                        max_frame,
                    });
                }
                b'0'..=b'9' => {
                    len = len
                        .saturating_mul(10)
                        .saturating_add(u64::from(byte - b'0'));
                    if len > max_frame as u64 {
                        return Err(FrameError::TooLong { at, len, max_frame });
                    }
                }
                found => return Err(FrameError::NotADigit { at, found }),
            }
        }
        Ok(None)
    }
}
