//! What time it is for those who carry bytes on this thread: the clock is read once after each time that the kernel was asked
//! for something, by whoever asked, and not again by those whose turn comes of it. Not what is done when.

use std::cell::Cell;
use std::time::Instant;

thread_local! {
    /// `None`: time has passed since it was read.
    static LATEST: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The time, after the kernel was asked for something.
pub(crate) fn read() -> Instant {
    let now = Instant::now();
    LATEST.set(Some(now));
    now
}

/// The time, as it was when the kernel was last asked for something.
pub(crate) fn latest() -> Instant {
    LATEST.get().unwrap_or_else(read)
}

/// The kernel was asked for something, and the time is not needed: whoever needs it reads the clock.
pub(crate) fn passes() {
    LATEST.set(None);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_again_only_after_time_has_passed() {
        let first = read();
        assert_eq!((latest(), latest()), (first, first));
        passes();
        let second = latest();
        assert!(second > first);
        assert_eq!(latest(), second);
        assert!(read() > second);
    }
}
