//! The thread that carries bytes: it gives ports, connections and listeners their turns, looks after the tasks around them,
//! and sleeps until a descriptor is ready. Not what any of them does.
//!
//! What is outside of a byte's path (timers, signals, files that change, work that blocks) is tokio's, whose runtime waits for
//! it on a thread of its own and wakes this one. A byte never crosses from one to the other.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle};
use tokio::sync::Notify;
use tokio::task::LocalSet;
use uartnet_reactor::Park;

use crate::crew::Lead;

/// What the daemon runs in: everything of it on the thread that makes it.
#[derive(Debug)]
pub struct Runtime {
    park: Park,
    outside: Handle,
    over: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

/// A runtime, whose second thread waits already.
///
/// # Errors
/// The operating system refused a descriptor or a thread.
pub fn runtime() -> io::Result<Runtime> {
    let outside = Builder::new_current_thread().enable_all().build()?;
    let handle = outside.handle().clone();
    let over = Arc::new(Notify::new());
    let end = over.clone();
    let wait = move || {
        outside.block_on(end.notified());
        // A disk that hangs was waited for already, as long as it may be.
        outside.shutdown_background();
    };
    let thread = thread::Builder::new().name("outside".to_owned());
    Ok(Runtime {
        park: Park::new()?,
        outside: handle,
        over,
        thread: Some(thread.spawn(wait)?),
    })
}

impl Runtime {
    /// Runs this to its end, on this thread. All that it has spawned is dropped then.
    ///
    /// # Panics
    /// epoll_wait(2) failed, which it does not on a descriptor of our own.
    pub fn block_on<F: Future>(&self, work: F) -> F::Output {
        let waker = self.park.waker();
        let _outside = self.outside.enter();
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
        self.over.notify_one();
        if let Some(thread) = self.thread.take() {
            // It cannot fail but by a defect, which was told then.
            let _ = thread.join();
        }
    }
}
