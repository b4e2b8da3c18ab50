//! The frame: `LEN_PAYLOAD`, where LEN is decimal ASCII and counts the whole frame, its own digits and the underscore
//! included. Not what a payload means; that is [`crate::message`].

use bytes::{Bytes, BytesMut};

/// The largest frame accepted where nothing else is configured, in bytes, prefix included.
pub const DEFAULT_MAX_FRAME: usize = 65_536;

/// What a peer can get wrong in a frame. Every variant carries `at`: the position of the offending byte in the stream,
/// counted from 0 at the beginning of the connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A byte that is neither a digit nor the underscore stands in LEN.
    #[error("byte {at}: {found} where a digit or \"_\" of LEN must be")]
    NotADigit {
        /// Where.
        at: u64,
        /// The byte, printable or as hex.
        found: String,
    },
}

/// The length of the frame for a payload of this length: the smallest LEN that is right.
pub fn frame_len(_payload: usize) -> usize {
    todo!()
}

/// Appends one frame whose payload is `parts` one after the other (so that a header and shared bytes need no copy of
/// their own). The frame's length is not bounded here: what is too long is the sender's to split.
pub fn encode(_parts: &[&[u8]], _out: &mut BytesMut) {
    todo!()
}

/// Takes a stream of bytes in any pieces, gives payloads. After its first error it gives nothing but that error.
#[derive(Debug)]
pub struct FrameDecoder {
    buffer: BytesMut,
    max_frame: usize,
}

impl FrameDecoder {
    /// A decoder that refuses frames longer than `max_frame` bytes (at least 2), before buffering them.
    pub fn new(max_frame: usize) -> FrameDecoder {
        FrameDecoder { buffer: BytesMut::new(), max_frame }
    }

    /// Bytes arrived. They are kept until [`FrameDecoder::poll_frame`] takes them: poll until it has no more before
    /// handing in the next, then never more than one frame and one read are kept.
    pub fn handle_input(&mut self, _bytes: &[u8]) {
        todo!()
    }

    /// The next payload; `None` until more bytes arrive.
    ///
    /// # Errors
    /// What the peer got wrong, and where. The same error again from then on.
    pub fn poll_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        todo!()
    }

    /// The stream ended here.
    ///
    /// # Errors
    /// The stream ended inside a frame.
    pub fn handle_end(&self) -> Result<(), FrameError> {
        todo!()
    }
}
