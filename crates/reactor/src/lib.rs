//! Which file descriptors of a thread are ready, which moments have come, and who waits for that: the least there can be
//! between epoll and a task. Not tasks, and not what is read or written.
//!
//! Why not tokio's: a descriptor registered here weighs 24 bytes and not 256, and a wait with what follows from it takes
//! a third of the instructions, which is what most of a gateway's work is (docs/performance.md).
//!
//! The thread that carries bytes sleeps in [`Park::wait`]. Elsewhere, as in tests and in programs that carry little, a task
//! of tokio's runtime, which must be one of one thread, waits for all of them instead, and nobody has to care.

mod hosted;
mod park;
mod reactor;
mod timer;
mod watched;

pub use park::Park;
pub use timer::{Alarm, Late, Sleep, now, sleep, sleep_until, timeout, timeout_at};
pub use watched::{Half, Interest, Watched};
