//! The thread that carries bytes: it gives ports, connections and listeners their turns, looks after the tasks around them,
//! and sleeps until a descriptor is ready or a moment has come. Not what any of them does.
//!
//! Of tokio's runtime there is only what runs work that blocks on threads of its own: it waits for nothing.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};

use tokio::runtime::Builder;
use tokio::task::LocalSet;
use uartnet_reactor::Park;

use crate::crew::Lead;

/// What the daemon runs in: everything of it on the thread that makes this.
#[derive(Debug)]
pub struct Runtime {
    park: Park,
    /// For work that blocks. `None`: it was dropped.
    blocking: Option<tokio::runtime::Runtime>,
}

/// A runtime. There must not be two of them on a thread at a time.
///
/// # Errors
/// The operating system refused a descriptor.
pub fn runtime() -> io::Result<Runtime> {
    Ok(Runtime {
        park: Park::new()?,
        blocking: Some(Builder::new_current_thread().build()?),
    })
}

impl Runtime {
    /// Runs this to its end, on this thread. All that it has spawned is dropped then.
    ///
    /// # Panics
    /// epoll_wait(2) failed, which it does not on a descriptor of our own.
    pub fn block_on<F: Future>(&self, work: F) -> F::Output {
        let waker = self.park.waker();
        let _blocking = self.blocking.as_ref().map(|it| it.enter());
        let tasks = LocalSet::new();
        // A member may spawn a task in its turn.
        let _tasks = tasks.enter();
        let lead = Lead::new();
        let mut work = pin!(tasks.run_until(work));
        waker.wake_by_ref();
        loop {
            if self.park.take_woken()
                && let Poll::Ready(done) = work.as_mut().poll(&mut Context::from_waker(waker))
            {
                return done;
            }
            let nobody_waits = lead.turns(waker);
            let waited = self.park.wait(nobody_waits);
            waited.expect("epoll_wait(2) on a descriptor of our own");
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(blocking) = self.blocking.take() {
            // A disk that hangs was waited for already, as long as it may be.
            blocking.shutdown_background();
        }
    }
}
