//! What was received, by absolute offset: a ring bounded in bytes, shared with its readers by reference.
//! Not who reads it; that is `reader`.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

/// Chunks smaller than this are merged with their neighbours, so that a stream that arrives one byte at a time does not
/// keep a chunk per byte. Each byte is copied at most twice more. Larger ones stay as they came: a tty gives 4095 bytes in one read at
/// most.
const LARGE: usize = 1024;

/// Small chunks are merged when they make so many bytes together.
const MERGED: usize = 4096;

/// This many small chunks are merged even before they make [`MERGED`] bytes together.
const FRESH: usize = 64;

/// Small chunks share an allocation of so many of the size of its first one, within these bounds: what one of them keeps in
/// memory is in proportion to what arrives.
const SHARED: usize = 8;
const LEAST_SHARED: usize = 256;
const MOST_SHARED: usize = 4096;

/// The newest bytes received, never more than `limit` of them.
#[derive(Debug)]
pub(crate) struct History {
    /// `None`: nothing has ever arrived.
    kept: Option<Box<Kept>>,
    limit: usize,
    /// The offset of the next byte that will arrive.
    end: u64,
}

#[derive(Debug, Default)]
struct Kept {
    chunks: VecDeque<Chunk>,
    /// Room for small chunks. It is empty: what was put in was split off.
    room: BytesMut,
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
            kept: None,
            limit: limit.max(1),
            end: 0,
        }
    }

    /// The offset of the oldest byte kept.
    pub(crate) fn start(&self) -> u64 {
        let oldest = self.kept.as_ref().and_then(|kept| kept.chunks.front());
        oldest.map_or(self.end, |chunk| chunk.at)
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
        if let Some(kept) = &mut self.kept {
            kept.trim(self.end.saturating_sub(self.limit as u64));
        }
    }

    /// Appends what arrived and forgets what no longer fits.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let kept = self.kept.get_or_insert_default();
        self.end += bytes.len() as u64;
        let bytes = &bytes[bytes.len().saturating_sub(self.limit)..];
        let at = self.end - bytes.len() as u64;
        kept.push(at, bytes);
        kept.trim(self.end.saturating_sub(self.limit as u64));
        kept.merge();
    }

    /// At most `limit` bytes from `at` on, which must lie between start and end; empty only at the end.
    /// It may be fewer than there are: a read never copies, so it ends with a chunk.
    pub(crate) fn read(&self, at: u64, limit: usize) -> Bytes {
        debug_assert!((self.start()..=self.end).contains(&at));
        let Some(chunk) = self.kept.as_ref().and_then(|kept| kept.find(at)) else {
            return Bytes::new();
        };
        let skip = ((at - chunk.at) as usize).min(chunk.bytes.len());
        let take = limit.min(chunk.bytes.len() - skip);
        if skip == 0 && take == chunk.bytes.len() {
            return chunk.bytes.clone();
        }
        chunk.bytes.slice(skip..skip + take)
    }
}

impl Kept {
    fn push(&mut self, at: u64, bytes: &[u8]) {
        let bytes = if bytes.len() < LARGE {
            self.fresh += 1;
            self.small += 1;
            self.small_bytes += bytes.len();
            self.share(bytes)
        } else {
            self.end_small_run();
            Bytes::copy_from_slice(bytes)
        };
        self.chunks.push_back(Chunk { at, bytes });
    }

    /// A small chunk of these bytes. With an allocation of its own, and another one when it is first shared with a reader, a
    /// byte would cost several times what else is done with it.
    fn share(&mut self, bytes: &[u8]) -> Bytes {
        if self.room.capacity() < bytes.len() {
            let size = (SHARED * bytes.len()).clamp(LEAST_SHARED, MOST_SHARED);
            self.room = BytesMut::with_capacity(size);
        }
        self.room.extend_from_slice(bytes);
        self.room.split().freeze()
    }

    fn find(&self, at: u64) -> Option<&Chunk> {
        // The newest chunk is where almost every reader is.
        match self.chunks.back() {
            Some(newest) if newest.at <= at => Some(newest),
            _ => {
                let after = self.chunks.partition_point(|chunk| chunk.at <= at);
                self.chunks.get(after.checked_sub(1)?)
            }
        }
    }

    fn trim(&mut self, keep_from: u64) {
        while let Some(front) = self.chunks.front_mut() {
            if front.at >= keep_from {
                return;
            }
            let excess = keep_from - front.at;
            if excess < front.bytes.len() as u64 {
                front.bytes.advance(excess as usize);
                front.at = keep_from;
                return;
            }
            self.chunks.pop_front();
            // A history shorter than a run of small chunks may have forgotten a part of the run.
            self.fresh = self.fresh.min(self.chunks.len());
            self.small = self.small.min(self.chunks.len());
        }
    }

    fn merge(&mut self) {
        if self.small_bytes >= MERGED {
            self.end_small_run();
        } else if self.fresh >= FRESH {
            self.merge_tail(self.fresh);
            self.small -= self.fresh - 1;
            self.fresh = 0;
        }
    }

    fn end_small_run(&mut self) {
        if self.small > 1 {
            self.merge_tail(self.small);
        }
        (self.fresh, self.small, self.small_bytes) = (0, 0, 0);
    }

    fn merge_tail(&mut self, count: usize) {
        let first = self.chunks.len() - count;
        let (Some(oldest), Some(newest)) = (self.chunks.get(first), self.chunks.back()) else {
            return;
        };
        let (at, end) = (oldest.at, newest.at + newest.bytes.len() as u64);
        let mut merged = BytesMut::with_capacity((end - at) as usize);
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
                history.push(&pattern(end..end + size));
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
            history.push(b"x");
            most = most.max(history.kept.as_ref().unwrap().chunks.len());
        }
        assert!(
            history.kept.as_ref().unwrap().chunks.len() <= 100_000 / MERGED + 2 * FRESH,
            "{} chunks",
            history.kept.as_ref().unwrap().chunks.len()
        );
        assert!(
            most <= 100_000 / MERGED + 2 * FRESH,
            "{most} chunks at worst"
        );
    }

    #[test]
    fn what_a_small_chunk_keeps_in_memory_is_in_proportion_to_it() {
        for (size, most) in [(1, LEAST_SHARED), (100, 800), (1000, MOST_SHARED)] {
            let mut history = History::new(1 << 20);
            history.push(&vec![1; size]);
            let room = history.kept.as_ref().unwrap().room.capacity();
            assert_eq!(size + room, most);
            let first = history.read(0, size);
            history.push(&vec![1; size]);
            let second = history.read(size as u64, size);
            assert_eq!(first.as_ptr_range().end, second.as_ptr(), "they share it");
        }
    }

    #[test]
    fn large_chunks_are_shared_and_not_copied() {
        let mut history = History::new(1 << 20);
        history.push(&[7; 4095]);
        let chunk = history.read(0, usize::MAX);
        assert_eq!(chunk.len(), 4095);
        history.push(&[7; 4095]);
        assert_eq!(history.read(100, 50).as_ptr(), chunk[100..].as_ptr());
        for _ in 0..1000 {
            history.push(&[8; 50]);
        }
        assert_eq!(
            history.read(0, usize::MAX).as_ptr(),
            chunk.as_ptr(),
            "nor are they merged with small ones"
        );
        assert!(
            history
                .kept
                .unwrap()
                .chunks
                .iter()
                .skip(1)
                .all(|chunk| chunk.bytes.len() < 2 * MERGED)
        );
    }
}
