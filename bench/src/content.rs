//! What is sent: bytes that are known at each position, so that loss, corruption and a wrong order are seen. All 256 values
//! occur, 0xFF and CR among them, because they are what telnet has to escape.

/// The length after which the bytes repeat: a prime, so that no buffer size divides it.
const PERIOD: usize = 65_521;

/// An endless stream of known bytes.
#[derive(Debug)]
pub struct Content {
    /// Two periods, so that a slice from anywhere in the first has any length up to a period.
    bytes: Vec<u8>,
}

impl Default for Content {
    fn default() -> Content {
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        let period: Vec<u8> = (0..PERIOD)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            })
            .collect();
        Content {
            bytes: [period.as_slice(), &period].concat(),
        }
    }
}

impl Content {
    /// The bytes from this position, at most this many; fewer only beyond 65,521.
    pub fn at(&self, position: u64, len: usize) -> &[u8] {
        let from = (position % PERIOD as u64) as usize;
        &self.bytes[from..from + len.min(PERIOD)]
    }

    /// Whether these bytes are the ones from this position.
    pub fn is(&self, position: u64, bytes: &[u8]) -> bool {
        let mut position = position;
        bytes.chunks(PERIOD).all(|chunk| {
            let right = self.at(position, chunk.len()) == chunk;
            position += chunk.len() as u64;
            right
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_a_changed_and_a_moved_byte_are_seen() {
        let content = Content::default();
        let mut sent = content.at(65_000, 2000).to_vec();
        assert!(content.is(65_000, &sent));
        assert!(!content.is(65_001, &sent), "a lost byte");
        sent.swap(700, 701);
        assert!(!content.is(65_000, &sent), "a wrong order");
        sent.swap(700, 701);
        sent[1999] ^= 1;
        assert!(!content.is(65_000, &sent), "a changed byte");
    }

    #[test]
    fn every_value_occurs() {
        let content = Content::default();
        let mut seen = [false; 256];
        for byte in content.at(0, PERIOD) {
            seen[usize::from(*byte)] = true;
        }
        assert_eq!(seen, [true; 256]);
    }
}
