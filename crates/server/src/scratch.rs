//! The thread's one read buffer. A buffer per connection or port would be most of what an idle one costs.

use std::cell::RefCell;

/// How much is read at once, in bytes.
pub(crate) const SCRATCH: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// Lends the thread's buffer. It must not be asked for again inside, and what is in it is nobody's afterwards.
pub(crate) fn with_scratch<R>(use_it: impl FnOnce(&mut [u8]) -> R) -> R {
    BUFFER.with_borrow_mut(|buffer| use_it(buffer))
}
