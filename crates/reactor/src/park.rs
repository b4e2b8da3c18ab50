//! A thread that sleeps until one of its descriptors is ready, or somebody wakes it. Not what it does when it is awake.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};

use crate::{reactor, timer};

/// The sleep of this thread, which can have one of these at a time. As long as it lives, events of what is
/// [watched](crate::Watched) here are taken in [`Park::wait`] alone, and so are moments that [come](crate::sleep_until).
#[derive(Debug)]
pub struct Park {
    bed: Arc<Bed>,
    waker: Waker,
    /// Held for its end: then nobody takes events.
    _taker: Arc<()>,
    /// It belongs to the thread.
    _here: PhantomData<*const ()>,
}

/// What those who wake it know of it.
#[derive(Debug)]
struct Bed {
    woken: AtomicBool,
    /// It sleeps, or is about to, and must be told.
    asleep: AtomicBool,
    /// An eventfd, by which it is told.
    bell: OwnedFd,
}

impl Park {
    /// # Errors
    /// There are no more descriptors.
    pub fn new() -> io::Result<Park> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let taker = reactor::taken_here(bell.as_fd())?;
        let bed = Arc::new(Bed {
            woken: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            bell,
        });
        Ok(Park {
            waker: Waker::from(bed.clone()),
            bed,
            _taker: taker,
            _here: PhantomData,
        })
    }

    /// It ends the sleep, from any thread.
    pub fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Whether the waker was used since this was last asked.
    pub fn take_woken(&self) -> bool {
        // Nobody else takes it away, and to look costs less than to write.
        self.bed.woken.load(Ordering::Relaxed) && self.bed.woken.swap(false, Ordering::AcqRel)
    }

    /// Wakes those who wait for descriptors that are ready or for moments that have come. Sleeps until there is one, unless the
    /// waker was used, or it may not.
    ///
    /// # Errors
    /// epoll_wait(2) failed, which it does not.
    pub fn wait(&self, may_sleep: bool) -> io::Result<()> {
        let due = timer::next_due();
        if may_sleep {
            self.sleep(due)?;
        } else {
            reactor::turn_at_once()?;
        }
        if due.is_some() {
            timer::wake_due(Instant::now());
        }
        Ok(())
    }
}

impl Park {
    fn sleep(&self, until: Option<Instant>) -> io::Result<()> {
        let bed = &self.bed;
        // This, and then a look whether it was woken; whoever wakes it does the same the other way round.
        bed.asleep.store(true, Ordering::SeqCst);
        let limit = if bed.woken.load(Ordering::SeqCst) {
            Some(Duration::ZERO)
        } else {
            until.map(|at| at.saturating_duration_since(Instant::now()))
        };
        let turned = reactor::turn(limit);
        bed.asleep.store(false, Ordering::Relaxed);
        turned.map(drop)
    }
}

impl Drop for Park {
    fn drop(&mut self) {
        reactor::not_taken_here();
    }
}

impl Wake for Bed {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst) {
            // It fails only if it is told already, 2^64 times.
            let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
        }
    }
}
