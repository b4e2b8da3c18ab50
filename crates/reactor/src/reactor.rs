//! The descriptors of a thread, its epoll instance, and what is known of each. Not who sleeps in it, which is `park`, or a
//! task of tokio's.

use std::cell::{Cell, RefCell};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

use crate::hosted;
use crate::watched::{Half, Interest};

/// Events taken at once; if there are more, the rest is taken next.
pub(crate) const EVENTS: usize = 256;

/// No entry.
const NONE: u32 = u32::MAX;

/// The number of something watched on this thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot(u32);

thread_local! {
    static REACTOR: Reactor = const { Reactor::new() };
}

struct Reactor {
    entries: RefCell<Vec<Entry>>,
    /// The first free entry, or [`NONE`].
    free: Cell<u32>,
    source: RefCell<Option<Source>>,
    is_parked_here: Cell<bool>,
}

/// Where events come from.
struct Source {
    epoll: OwnedFd,
    /// Whoever takes them holds the other side.
    taker: Weak<()>,
}

/// What is known of one descriptor, or of none.
struct Entry {
    waker: Cell<Option<Waker>>,
    /// The next free entry, if this is one. [`NONE`]: there is no other.
    next: Cell<u32>,
    ready: Cell<Bits>,
    /// What the waker is for.
    awaited: Cell<Bits>,
}

/// A set of what a descriptor can be ready for: flags of epoll_ctl(2), all of which are below 2¹⁶.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bits(u16);

impl Bits {
    const NONE: Bits = Bits(0);
    const URGENT: Bits = Bits::of(EventFlags::PRI);

    const fn of(flags: EventFlags) -> Bits {
        Bits(flags.bits() as u16)
    }

    /// Everything by which one half is ready. A hang-up and an error are the end of both.
    const fn ready(half: Half) -> Bits {
        let ended = EventFlags::HUP.union(EventFlags::ERR);
        Bits::of(match half {
            Half::Read => ended.union(EventFlags::IN).union(EventFlags::RDHUP),
            Half::Write => ended.union(EventFlags::OUT),
        })
    }

    /// What is cleared when there is no more.
    const fn cleared(half: Half) -> Bits {
        Bits::of(match half {
            Half::Read => EventFlags::IN.union(EventFlags::PRI),
            Half::Write => EventFlags::OUT,
        })
    }

    fn meets(self, other: Bits) -> bool {
        self.0 & other.0 != 0
    }

    fn with(self, other: Bits) -> Bits {
        Bits(self.0 | other.0)
    }

    fn without(self, other: Bits) -> Bits {
        Bits(self.0 & !other.0)
    }
}

/// Watches it from now on.
pub(crate) fn enter(fd: BorrowedFd<'_>, interest: Interest) -> io::Result<Slot> {
    REACTOR.with(|reactor| {
        reactor.have_source()?;
        let slot = reactor.take_entry();
        let watched = reactor.ask(
            |epoll, data| epoll::add(epoll, fd, data, flags(interest)),
            slot,
        );
        if watched.is_err() {
            reactor.free_entry(slot);
        }
        watched.map(|()| slot)
    })
}

/// Watches it for something else.
pub(crate) fn change(slot: Slot, fd: BorrowedFd<'_>, interest: Interest) -> io::Result<()> {
    REACTOR.with(|reactor| {
        reactor.with_entry(slot, |entry| entry.ready.set(Bits::NONE));
        reactor.ask(
            |epoll, data| epoll::modify(epoll, fd, data, flags(interest)),
            slot,
        )
    })
}

/// Watches it no more.
pub(crate) fn leave(slot: Slot, fd: BorrowedFd<'_>) {
    // At the end of the thread there may be nothing to leave.
    let _ = REACTOR.try_with(|reactor| {
        // Where it was entered may be gone, and then so is the kernel's note of it.
        let _ = reactor.ask(|epoll, _| epoll::delete(epoll, fd), slot);
        reactor.free_entry(slot);
    });
}

pub(crate) fn poll_ready(slot: Slot, cx: &Context<'_>, half: Half) -> Poll<()> {
    REACTOR.with(|reactor| reactor.with_entry(slot, |entry| entry.poll_ready(cx, half)))
}

pub(crate) fn poll_behind(slot: Slot, cx: &Context<'_>) -> Poll<()> {
    REACTOR.with(|reactor| {
        reactor.with_entry(slot, |entry| {
            if entry.ready.get().meets(Bits::URGENT) {
                return Poll::Ready(());
            }
            entry.clear(Half::Read);
            entry.poll_ready(cx, Half::Read)
        })
    })
}

pub(crate) fn clear(slot: Slot, half: Half) {
    REACTOR.with(|reactor| {
        reactor.with_entry(slot, |entry| entry.clear(half));
    });
}

/// Events of this thread are taken by whoever holds what this gives, and wakes whoever waits by [`turn`]. `bell` wakes it, and
/// is told as nobody's.
pub(crate) fn taken_here(bell: BorrowedFd<'_>) -> io::Result<Arc<()>> {
    REACTOR.with(|reactor| {
        let taker = Arc::new(());
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let nobodys = EventData::new_u64(u64::from(NONE));
        epoll::add(&epoll, bell, nobodys, EventFlags::IN | EventFlags::ET)?;
        reactor.source.replace(Some(Source {
            epoll,
            taker: Arc::downgrade(&taker),
        }));
        reactor.is_parked_here.set(true);
        Ok(taker)
    })
}

/// Nobody takes events here any more.
pub(crate) fn not_taken_here() {
    // The thread may be at its end.
    let _ = REACTOR.try_with(|reactor| {
        reactor.is_parked_here.set(false);
        reactor.source.replace(None);
    });
}

/// Whether this thread takes its events in a park.
pub(crate) fn is_parked_here() -> bool {
    REACTOR.with(|reactor| reactor.is_parked_here.get())
}

/// Waits until there are events, no longer than this (`None`: for ever), takes them, and wakes who waits for them. Says how
/// many there were.
pub(crate) fn turn(limit: Option<Duration>) -> io::Result<usize> {
    REACTOR.with(|reactor| reactor.turn(limit))
}

/// As [`turn`], without waiting.
pub(crate) fn turn_at_once() -> io::Result<usize> {
    turn(Some(Duration::ZERO))
}

fn flags(interest: Interest) -> EventFlags {
    let read = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
    match interest {
        Interest::Read => read,
        Interest::ReadWrite => read | EventFlags::OUT | EventFlags::PRI,
    }
}

impl Reactor {
    /// Nothing is watched yet.
    const fn new() -> Reactor {
        Reactor {
            entries: RefCell::new(Vec::new()),
            free: Cell::new(NONE),
            source: RefCell::new(None),
            is_parked_here: Cell::new(false),
        }
    }

    fn with_entry<R>(&self, slot: Slot, look: impl FnOnce(&Entry) -> R) -> R {
        look(&self.entries.borrow()[slot.0 as usize])
    }

    fn take_entry(&self) -> Slot {
        let mut entries = self.entries.borrow_mut();
        if let Some(free) = entries.get(self.free.get() as usize) {
            return Slot(self.free.replace(free.next.get()));
        }
        entries.push(Entry {
            waker: Cell::new(None),
            next: Cell::new(NONE),
            ready: Cell::new(Bits::NONE),
            awaited: Cell::new(Bits::NONE),
        });
        // A process cannot have as many descriptors.
        Slot(u32::try_from(entries.len() - 1).unwrap_or(NONE))
    }

    fn free_entry(&self, slot: Slot) {
        let waker = self.with_entry(slot, |entry| {
            entry.ready.set(Bits::NONE);
            entry.awaited.set(Bits::NONE);
            entry.next.set(self.free.replace(slot.0));
            entry.waker.take()
        });
        // It may be the last of a task, and end it.
        drop(waker);
    }

    /// Asks the kernel for something about this entry.
    fn ask(
        &self,
        question: impl FnOnce(&OwnedFd, EventData) -> Result<(), Errno>,
        slot: Slot,
    ) -> io::Result<()> {
        let data = EventData::new_u64(u64::from(slot.0));
        match &*self.source.borrow() {
            Some(source) => Ok(question(&source.epoll, data)?),
            None => Err(io::Error::other("this thread watches nothing")),
        }
    }

    /// There is somebody who takes events: if nobody else does, a task of tokio's.
    fn have_source(&self) -> io::Result<()> {
        let mut source = self.source.borrow_mut();
        if source.as_ref().is_some_and(Source::is_taken) {
            return Ok(());
        }
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let taker = hosted::take_events(epoll.as_fd())?;
        *source = Some(Source {
            epoll,
            taker: Arc::downgrade(&taker),
        });
        Ok(())
    }

    fn turn(&self, limit: Option<Duration>) -> io::Result<usize> {
        let limit = limit.map(whole_milliseconds);
        let mut events = [MaybeUninit::<Event>::uninit(); EVENTS];
        let source = self.source.borrow();
        let Some(source) = &*source else {
            return Ok(0);
        };
        match epoll::wait(&source.epoll, &mut events, limit.as_ref()) {
            Ok((events, _)) => {
                events.iter().for_each(|event| self.tell(event));
                Ok(events.len())
            }
            Err(Errno::INTR) => Ok(0),
            Err(errno) => Err(errno.into()),
        }
    }

    fn tell(&self, event: &Event) {
        let (flags, data) = (event.flags, event.data.u64());
        // What has left is told nothing more: nobody can leave while events are being told.
        if let Some(entry) = self.entries.borrow().get(data as usize) {
            entry.tell(Bits::of(flags));
        }
    }
}

impl Source {
    fn is_taken(&self) -> bool {
        self.taker.strong_count() > 0
    }
}

/// Rounded up: who wakes too early has nothing to do. epoll_wait(2) counts in milliseconds.
fn whole_milliseconds(time: Duration) -> Timespec {
    let milliseconds = time.as_nanos().div_ceil(1_000_000);
    // After 24 days it is woken once for nothing.
    let milliseconds = i64::try_from(milliseconds)
        .unwrap_or(i64::MAX)
        .min(i64::from(i32::MAX));
    Timespec {
        tv_sec: milliseconds / 1000,
        tv_nsec: milliseconds % 1000 * 1_000_000,
    }
}

impl Entry {
    fn poll_ready(&self, cx: &Context<'_>, half: Half) -> Poll<()> {
        let wanted = Bits::ready(half);
        if self.ready.get().meets(wanted) {
            return Poll::Ready(());
        }
        self.awaited.set(self.awaited.get().with(wanted));
        let known = self.waker.take();
        let known = known.filter(|waker| waker.will_wake(cx.waker()));
        self.waker
            .set(Some(known.unwrap_or_else(|| cx.waker().clone())));
        Poll::Pending
    }

    fn clear(&self, half: Half) {
        let ready = self.ready.get().without(Bits::cleared(half));
        self.ready.set(ready);
    }

    fn tell(&self, bits: Bits) {
        self.ready.set(self.ready.get().with(bits));
        if !bits.meets(self.awaited.get()) {
            return;
        }
        self.awaited.set(Bits::NONE);
        // It stays, because the same will wait next time.
        let waker = self.waker.take();
        if let Some(waker) = &waker {
            waker.wake_by_ref();
        }
        self.waker.set(waker);
    }
}
