//! What a session has to say and its socket has not taken yet: shared chunks and a tail of small things.
//! Not who fills it, nor what is in it.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

/// Chunks below this are copied into the tail: one contiguous piece is cheaper to write than many small ones.
const SHARE_FROM: usize = 1024;

/// Bytes to be written to a socket, in order. It holds memory only while it holds bytes.
#[derive(Debug, Default)]
pub struct Output {
    /// The first chunk, if it was shared when there was nothing else: most outputs are one.
    head: Bytes,
    /// Between the first and the tail; few outputs have any.
    #[allow(clippy::box_collection)]
    // so that one which is not there is one word to make and to drop
    chunks: Option<Box<VecDeque<Bytes>>>,
    tail: BytesMut,
    len: usize,
}

impl Output {
    /// How full a session may fill it: once it holds this many bytes, nothing more is asked of the session until the
    /// socket has taken all of it.
    pub const FULL: usize = 64 * 1024;

    /// An empty one.
    pub fn new() -> Output {
        Output::default()
    }

    /// How many bytes it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether a session should stop filling it.
    pub fn is_full(&self) -> bool {
        self.len >= Output::FULL
    }

    /// Appends a copy.
    pub fn push(&mut self, bytes: &[u8]) {
        self.append(|tail| tail.extend_from_slice(bytes));
    }

    /// Appends what `write` appends to the buffer it is given.
    pub fn append(&mut self, write: impl FnOnce(&mut BytesMut)) {
        let before = self.tail.len();
        write(&mut self.tail);
        self.len += self.tail.len() - before;
    }

    /// Appends everything another one holds.
    pub fn append_all(&mut self, other: &mut Output) {
        if self.is_empty() {
            std::mem::swap(self, other);
            return;
        }
        self.push_shared(std::mem::take(&mut other.head));
        for chunk in other.chunks.take().into_iter().flat_map(|it| *it) {
            self.push_shared(chunk);
        }
        self.push_shared(other.tail.split().freeze());
        *other = Output::default();
    }

    /// Appends bytes that others hold too; large ones are not copied, nor is the first.
    pub fn push_shared(&mut self, bytes: Bytes) {
        if self.is_empty() {
            self.len = bytes.len();
            self.head = bytes;
            return;
        }
        if bytes.len() < SHARE_FROM {
            return self.push(&bytes);
        }
        self.len += bytes.len();
        let chunks = self.chunks.get_or_insert_default();
        if !self.tail.is_empty() {
            chunks.push_back(self.tail.split().freeze());
        }
        chunks.push_back(bytes);
    }

    /// All of it, if that is one piece.
    pub fn as_one_piece(&self) -> Option<&[u8]> {
        match self.len {
            0 => None,
            all if self.head.len() == all => Some(&self.head),
            all if self.tail.len() == all => Some(&self.tail),
            _ => None,
        }
    }

    /// The first pieces, for a vectored write; how many of `slices` were filled.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let head = (!self.head.is_empty()).then_some(&self.head[..]);
        let pieces = self.chunks.iter().flat_map(|it| it.iter());
        let pieces = pieces.map(|chunk| &chunk[..]);
        let tail = (!self.tail.is_empty()).then_some(&self.tail[..]);
        let pieces = head.into_iter().chain(pieces).chain(tail);
        let mut filled = 0;
        for (slot, piece) in slices.iter_mut().zip(pieces) {
            *slot = IoSlice::new(piece);
            filled += 1;
        }
        filled
    }

    /// The socket took the first `count` bytes (at most [`Output::len`]).
    pub fn advance(&mut self, mut count: usize) {
        self.len -= count;
        if self.len == 0 {
            *self = Output::default();
            return;
        }
        if count < self.head.len() {
            return self.head.advance(count);
        }
        count -= self.head.len();
        self.head = Bytes::new();
        while let Some(chunk) = self.chunks.as_mut().and_then(|it| it.front_mut()) {
            if count < chunk.len() {
                return chunk.advance(count);
            }
            count -= chunk.len();
            self.chunks.as_mut().and_then(|it| it.pop_front());
        }
        self.tail.advance(count);
    }

    /// Everything it holds as one piece, which it then no longer holds.
    pub fn take(&mut self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.len);
        all.extend_from_slice(&self.head);
        for chunk in self.chunks.iter().flat_map(|it| it.iter()) {
            all.extend_from_slice(chunk);
        }
        all.extend_from_slice(&self.tail);
        *self = Output::default();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Output, Vec<u8>) {
        let large: Vec<u8> = (0..4000).map(|i| i as u8).collect();
        let mut output = Output::new();
        output.push(b"small ");
        output.push_shared(Bytes::from_static(b"still small "));
        output.push_shared(Bytes::from(large.clone()));
        output.push_shared(Bytes::from(large.clone()));
        output.push(b"tail");
        (
            output,
            [b"small still small ", &large[..], &large[..], b"tail"].concat(),
        )
    }

    #[test]
    fn whatever_the_socket_takes_the_order_stays() {
        let expected = sample().1;
        for step in [1, 7, 18, 19, 999, 4000, 8021, 8022] {
            let (mut output, _) = sample();
            let mut written = Vec::new();
            while !output.is_empty() {
                let mut slices = [IoSlice::new(&[]); 3];
                let filled = output.slices(&mut slices);
                let joined = slices[..filled]
                    .iter()
                    .flat_map(|slice| slice.iter().copied())
                    .collect::<Vec<u8>>();
                assert_eq!(output.as_one_piece(), (filled == 1).then_some(&joined[..]));
                let count = step.min(joined.len());
                written.extend_from_slice(&joined[..count]);
                output.advance(count);
            }
            assert_eq!(written, expected, "in steps of {step}");
        }
    }

    #[test]
    fn large_chunks_are_shared_and_an_empty_one_holds_no_memory() {
        let chunk = Bytes::from(vec![7; SHARE_FROM]);
        let mut output = Output::new();
        output.push_shared(chunk.slice(..1));
        output.push_shared(chunk.clone());
        assert_eq!(output.head.as_ptr(), chunk.as_ptr());
        let chunks = output.chunks.as_ref().unwrap();
        assert_eq!(chunks[0].as_ptr(), chunk.as_ptr());
        output.push(b"x");
        output.advance(SHARE_FROM + 2);
        let alone = Bytes::from(vec![7; 5]);
        output.push_shared(alone.clone());
        output.advance(5);
        assert!(alone.is_unique(), "it is held no more");
        assert_eq!((output.chunks, output.tail.capacity()), (None, 0));
    }
}
