//! Content for long transfers in which every place looks different, so that nothing can be missing, twice or elsewhere
//! without being seen.

use std::ops::Range;

/// The bytes at these places. Any eight of them say where they are.
pub fn content(places: Range<u64>) -> Vec<u8> {
    let byte = |at: u64| {
        // The finalizer of splitmix64: neighbouring numbers share nothing.
        let mut word = (at / 8).wrapping_add(0x9e37_79b9_7f4a_7c15);
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        word.to_le_bytes()[(at % 8) as usize]
    };
    places.map(byte).collect()
}

/// Where these bytes are not the first of [`content`]; `None` if they are.
pub fn differs_at(bytes: &[u8]) -> Option<usize> {
    let expected = content(0..bytes.len() as u64);
    (0..bytes.len()).find(|&at| bytes[at] != expected[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_the_same_in_pieces_and_what_differs_is_found() {
        let mut pieces = content(0..13);
        pieces.extend(content(13..1000));
        assert_eq!(differs_at(&pieces), None);
        pieces.remove(500);
        assert!(differs_at(&pieces).is_some_and(|at| at >= 500));
    }
}
