//! What a run chooses besides its input: how the stream is cut, and what happens in between. All of it follows from the
//! first two bytes of the data, so that a corpus file is those two and then the bytes of a wire, readable as such.

/// A run's choices, the same for the same seed.
#[derive(Debug, Clone)]
pub(crate) struct Choices {
    state: u32,
    one_by_one: bool,
}

/// Cuts the data into its two parts. Byte 0 is the seed: 0 cuts the stream into single bytes, others into pieces of up to
/// 24. Byte 1 is how often the rest is repeated, as a power of two up to 128, so that small files reach large bounds.
pub(crate) fn understood(data: &[u8]) -> Option<(Choices, Vec<u8>)> {
    let [seed, repeat, stream @ ..] = data else {
        return None;
    };
    Some((Choices::new(*seed), stream.repeat(1 << (repeat % 8))))
}

impl Choices {
    /// Those of this seed.
    pub(crate) fn new(seed: u8) -> Choices {
        Choices {
            state: u32::from(seed) + 1,
            one_by_one: seed == 0,
        }
    }

    /// One of `count` possibilities, `0..count`.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        // xorshift: any sequence does that is the same each time.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        self.state as usize % count
    }

    /// The next piece off the front of a stream; `None` at its end.
    pub(crate) fn piece<'a>(&mut self, stream: &mut &'a [u8]) -> Option<&'a [u8]> {
        if stream.is_empty() {
            return None;
        }
        let wanted = if self.one_by_one {
            1
        } else {
            1 + self.below(24)
        };
        let (piece, rest) = stream.split_at(wanted.min(stream.len()));
        *stream = rest;
        Some(piece)
    }
}
