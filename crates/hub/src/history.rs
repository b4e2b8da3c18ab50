//! What was received, by absolute offset: a ring bounded in bytes, shared with its readers by reference.
//! Not who reads it; that is `reader`.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

/// Chunks smaller than this are merged with their neighbours, so that a stream that arrives one byte at a time does not
/// keep an allocation per byte. Each byte is copied at most twice.
const SMALL: usize = 4096;

/// This many small chunks are merged even before they make [`SMALL`] bytes together.
const FRESH: usize = 64;

/// The newest bytes received, never more than `limit` of them.
///
/// A chunk keeps the allocation it came in. The owner should therefore not hand over a few bytes as a slice of a big
/// buffer; small chunks are copied together sooner or later, large ones are kept as they are.
#[derive(Debug)]
pub(crate) struct History {
    chunks: VecDeque<Chunk>,
    limit: usize,
    /// The offset of the next byte that will arrive.
    end: u64,
    /// How many chunks at the tail are small and not merged at all.
    fresh: usize,
    /// How many chunks at the tail are small, merged once or not at all.
    small: usize,
    /// How many bytes those hold.
    small_bytes: usize,
}

#[derive(Debug)]
struct Chunk {
    at: u64,
    bytes: Bytes,
}

impl History {
    pub(crate) fn new(limit: usize) -> History {
        History {
            chunks: VecDeque::new(),
            limit: limit.max(1),
            end: 0,
            fresh: 0,
            small: 0,
            small_bytes: 0,
        }
    }

    /// The offset of the oldest byte kept.
    pub(crate) fn start(&self) -> u64 {
        self.chunks.front().map_or(self.end, |chunk| chunk.at)
    }

    /// The offset of the next byte that will arrive.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// How many bytes may be kept.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Keeps this many bytes from now on, and forgets what no longer fits.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit.max(1);
        self.trim();
    }

    /// Appends what arrived and forgets what no longer fits.
    pub(crate) fn push(&mut self, mut bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        self.end += bytes.len() as u64;
        if bytes.len() > self.limit {
            bytes.advance(bytes.len() - self.limit);
        }
        let (at, len) = (self.end - bytes.len() as u64, bytes.len());
        self.chunks.push_back(Chunk { at, bytes });
        self.trim();
        if len < SMALL {
            self.merge_small(len)
        } else {
            self.end_small_run()
        }
    }

    /// At most `limit` bytes from `at` on, which must lie between start and end; empty only at the end.
    /// It may be fewer than there are: a read never copies, so it ends with a chunk.
    pub(crate) fn read(&self, at: u64, limit: usize) -> Bytes {
        debug_assert!((self.start()..=self.end).contains(&at));
        // The newest chunk is where almost every reader is.
        let chunk = match self.chunks.back() {
            Some(newest) if newest.at <= at => newest,
            _ => {
                let after = self.chunks.partition_point(|chunk| chunk.at <= at);
                match after
                    .checked_sub(1)
                    .and_then(|index| self.chunks.get(index))
                {
                    Some(chunk) => chunk,
                    None => return Bytes::new(),
                }
            }
        };
        let skip = ((at - chunk.at) as usize).min(chunk.bytes.len());
        let take = limit.min(chunk.bytes.len() - skip);
        if skip == 0 && take == chunk.bytes.len() {
            return chunk.bytes.clone();
        }
        chunk.bytes.slice(skip..skip + take)
    }

    fn trim(&mut self) {
        let keep_from = self.end.saturating_sub(self.limit as u64);
        while let Some(front) = self.chunks.front_mut() {
            if front.at >= keep_from {
                break;
            }
            let excess = keep_from - front.at;
            if excess < front.bytes.len() as u64 {
                front.bytes.advance(excess as usize);
                front.at = keep_from;
                break;
            }
            self.chunks.pop_front();
        }
        // A history shorter than a run of small chunks may have forgotten a part of the run.
        self.fresh = self.fresh.min(self.chunks.len().saturating_sub(1));
        self.small = self.small.min(self.chunks.len().saturating_sub(1));
    }

    fn merge_small(&mut self, len: usize) {
        self.fresh += 1;
        self.small += 1;
        self.small_bytes += len;
        if self.small_bytes >= SMALL {
            self.merge_tail(self.small);
            self.end_small_run();
        } else if self.fresh >= FRESH {
            self.merge_tail(self.fresh);
            self.small -= self.fresh - 1;
            self.fresh = 0;
        }
    }

    fn end_small_run(&mut self) {
        (self.fresh, self.small, self.small_bytes) = (0, 0, 0);
    }

    fn merge_tail(&mut self, count: usize) {
        let first = self.chunks.len() - count;
        let Some(at) = self.chunks.get(first).map(|chunk| chunk.at) else {
            return;
        };
        let mut merged = BytesMut::with_capacity((self.end - at) as usize);
        for chunk in self.chunks.drain(first..) {
            merged.extend_from_slice(&chunk.bytes);
        }
        self.chunks.push_back(Chunk {
            at,
            bytes: merged.freeze(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(history: &History, from: u64, limit: usize) -> Vec<u8> {
        let (mut at, mut out) = (from, Vec::new());
        while at < history.end() {
            let bytes = history.read(at, limit);
            assert!(!bytes.is_empty() && bytes.len() <= limit);
            at += bytes.len() as u64;
            out.extend_from_slice(&bytes);
        }
        out
    }

    fn pattern(range: std::ops::Range<u64>) -> Vec<u8> {
        range.map(|i| (i * 31 % 251) as u8).collect()
    }

    #[test]
    fn any_sizes_come_back_from_any_offset_and_never_more_than_the_limit() {
        for limit in [1, 2, 7, 100, 4095, 4096, 10_000] {
            let mut history = History::new(limit);
            let mut end = 0;
            for size in [1, 1, 1, 50, 3, 4096, 1, 2, 9_000, 5, 20_000, 1, 1]
                .into_iter()
                .chain([1; 200])
                .chain([70; 130])
            {
                history.push(pattern(end..end + size).into());
                end += size;
                let start = end.saturating_sub(limit as u64);
                assert_eq!((history.start(), history.end()), (start, end));
                for from in [
                    start,
                    start + (end - start) / 2,
                    end.saturating_sub(1).max(start),
                    end,
                ] {
                    assert_eq!(
                        all(&history, from, 33),
                        pattern(from..end),
                        "limit {limit} from {from}"
                    );
                }
            }
        }
    }

    #[test]
    fn single_bytes_do_not_keep_a_chunk_each() {
        let mut history = History::new(1 << 20);
        let mut most = 0;
        for _ in 0..100_000 {
            history.push(Bytes::from_static(b"x"));
            most = most.max(history.chunks.len());
        }
        assert!(
            history.chunks.len() <= 100_000 / SMALL + 2 * FRESH,
            "{} chunks",
            history.chunks.len()
        );
        assert!(
            most <= 100_000 / SMALL + 2 * FRESH,
            "{most} chunks at worst"
        );
    }

    #[test]
    fn large_chunks_are_shared_and_not_copied() {
        let mut history = History::new(1 << 20);
        let chunk = Bytes::from(vec![7; 8192]);
        history.push(chunk.clone());
        assert_eq!(history.read(0, usize::MAX).as_ptr(), chunk.as_ptr());
        assert_eq!(history.read(100, 50).as_ptr(), chunk[100..].as_ptr());
        for _ in 0..1000 {
            history.push(Bytes::from_static(&[8; 50]));
        }
        assert_eq!(
            history.read(0, usize::MAX).as_ptr(),
            chunk.as_ptr(),
            "nor are they merged with small ones"
        );
        assert!(
            history
                .chunks
                .iter()
                .skip(1)
                .all(|chunk| chunk.bytes.len() < 2 * SMALL)
        );
    }
}
