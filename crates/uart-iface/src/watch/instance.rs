//! The one inotify instance of a thread, and which of its events concern which [`Watch`](super::Watch). Not which
//! directories those want to hear of.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::{Rc, Weak};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use uartnet_reactor::{Half, Interest as Readiness, Watched};

use super::WatchError;

/// Who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct WatchId(u64);

/// The kernel's number of something watched.
type Descriptor = i32;

pub(super) struct Instance {
    inotify: Watched<OwnedFd>,
    waiting: Arc<Waiting>,
    /// Wakes everybody who waits.
    waker: Waker,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// Whom the events of each concern.
    interests: HashMap<Descriptor, Vec<Interest>>,
    /// Whether there is something that each was not told.
    changed: HashMap<WatchId, bool>,
    next: u64,
}

/// What one watch wants to hear of something. That it is removed, or goes elsewhere, is always of interest.
#[derive(Debug)]
struct Interest {
    watch: WatchId,
    of: Of,
    events: WatchFlags,
}

/// What it is, of which events are told.
#[derive(Debug)]
pub(super) enum Of {
    /// A file, a device or a directory by itself.
    Itself,
    /// This name in a directory.
    Name(OsString),
    /// Any name in a directory.
    Entries,
}

/// Those who wait for events.
#[derive(Debug, Default)]
struct Waiting(Mutex<Vec<Waker>>);

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Vec<Waker>> {
        // Whoever panicked with it had done all or nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, waker: &Waker) {
        let mut waiting = self.lock();
        if !waiting.iter().any(|other| other.will_wake(waker)) {
            waiting.push(waker.clone());
        }
    }
}

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        let waiting = std::mem::take(&mut *self.lock());
        waiting.into_iter().for_each(Waker::wake);
    }
}

thread_local! {
    static SHARED: RefCell<Weak<Instance>> = const { RefCell::new(Weak::new()) };
}

impl Instance {
    /// The one that lives on this thread, or a new one.
    pub(super) fn of_this_thread() -> Result<Rc<Instance>, WatchError> {
        SHARED.with_borrow_mut(|shared| {
            if let Some(instance) = shared.upgrade() {
                return Ok(instance);
            }
            let inotify =
                inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).map_err(not_made)?;
            let inotify = Watched::new(inotify, Readiness::Read);
            let inotify = inotify.map_err(|source| WatchError::Io {
                doing: "epoll",
                source,
            })?;
            let waiting = Arc::<Waiting>::default();
            let instance = Rc::new(Instance {
                inotify,
                waker: Waker::from(waiting.clone()),
                waiting,
                state: RefCell::default(),
            });
            *shared = Rc::downgrade(&instance);
            Ok(instance)
        })
    }

    pub(super) fn new_watch(&self) -> WatchId {
        let mut state = self.state.borrow_mut();
        state.next += 1;
        let id = WatchId(state.next);
        state.changed.insert(id, false);
        id
    }

    pub(super) fn forget(&self, id: WatchId) {
        self.state.borrow_mut().changed.remove(&id);
    }

    pub(super) fn take_changed(&self, id: WatchId) -> bool {
        let mut state = self.state.borrow_mut();
        state.changed.get_mut(&id).is_some_and(std::mem::take)
    }

    /// Ready when events may have arrived, which are read then. Another watch may have read them before. Any number of
    /// tasks may wait.
    pub(super) fn poll_arrived(&self, cx: &Context<'_>) -> Poll<Result<(), WatchError>> {
        self.waiting.enter(cx.waker());
        ready!(
            self.inotify
                .poll_ready(&Context::from_waker(&self.waker), Half::Read)
        );
        // Before they are read, or the end of this would be taken for the end of those that come meanwhile.
        self.inotify.clear(Half::Read);
        Poll::Ready(self.read())
    }

    /// Reads every event there is, for all watches.
    pub(super) fn read(&self) -> Result<(), WatchError> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.inotify, &mut buffer);
        loop {
            match events.next() {
                Ok(event) => self.state.borrow_mut().handle(&event),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(errno) => {
                    return Err(WatchError::Io {
                        doing: "read",
                        source: errno.into(),
                    });
                }
            }
        }
    }

    /// How many files and directories it watches.
    #[cfg(test)]
    pub(super) fn watched(&self) -> usize {
        self.state.borrow().interests.len()
    }

    /// Begins to say anew what a watch wants to hear of.
    pub(super) fn placing(&self, watch: WatchId) -> Placing<'_> {
        Placing {
            instance: self,
            watch,
            wanted: Vec::new(),
        }
    }
}

impl State {
    fn handle(&mut self, event: &inotify::Event<'_>) {
        let happened = event.events();
        if happened.contains(ReadFlags::QUEUE_OVERFLOW) {
            self.changed
                .values_mut()
                .for_each(|changed| *changed = true);
            return;
        }
        let Some(interests) = self.interests.get(&event.wd()) else {
            return; // nobody wants to hear of it any more
        };
        let name = event
            .file_name()
            .map(|name| OsStr::from_bytes(name.to_bytes()));
        for interest in interests {
            if interest.concerns(happened, name)
                && let Some(changed) = self.changed.get_mut(&interest.watch)
            {
                *changed = true;
            }
        }
        if happened.contains(ReadFlags::IGNORED) {
            self.interests.remove(&event.wd());
        }
    }
}

impl Interest {
    fn concerns(&self, happened: ReadFlags, name: Option<&OsStr>) -> bool {
        let gone =
            ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT | ReadFlags::IGNORED;
        let meant = match &self.of {
            Of::Itself => name.is_none(),
            Of::Name(wanted) => name == Some(wanted),
            Of::Entries => true,
        };
        happened.intersects(gone) || meant && self.events.bits() & happened.bits() != 0
    }
}

/// What a watch wants to hear of, while it is being said.
pub(super) struct Placing<'a> {
    instance: &'a Instance,
    watch: WatchId,
    wanted: Vec<(Descriptor, Interest)>,
}

impl Placing<'_> {
    /// Everything that happens there after this is heard of.
    pub(super) fn want(&mut self, path: &Path, of: Of, events: WatchFlags) -> Result<(), Errno> {
        // The same inode may be of interest to several, each for its own reason.
        let gone = WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF | WatchFlags::MASK_ADD;
        let kind = match of {
            Of::Itself => WatchFlags::empty(),
            Of::Name(_) | Of::Entries => WatchFlags::ONLYDIR,
        };
        let descriptor = inotify::add_watch(&self.instance.inotify, path, events | gone | kind)?;
        let watch = self.watch;
        self.wanted
            .push((descriptor, Interest { watch, of, events }));
        Ok(())
    }

    /// Something changed while it was looked at, so it must be looked at once more.
    pub(super) fn changed(&mut self) {
        let mut state = self.instance.state.borrow_mut();
        state.changed.insert(self.watch, true);
    }

    /// Only what was said is heard of from now on. Nothing is missed meanwhile: events wait to be read.
    pub(super) fn finish(self) {
        let mut state = self.instance.state.borrow_mut();
        for interests in state.interests.values_mut() {
            interests.retain(|interest| interest.watch != self.watch);
        }
        for (descriptor, interest) in self.wanted {
            state
                .interests
                .entry(descriptor)
                .or_default()
                .push(interest);
        }
        state.interests.retain(|&descriptor, interests| {
            if interests.is_empty() {
                // It fails if what was watched is gone, and with it the watch.
                let _ = inotify::remove_watch(&self.instance.inotify, descriptor);
            }
            !interests.is_empty()
        });
    }
}

pub(super) fn not_made(errno: Errno) -> WatchError {
    let source = io::Error::from(errno);
    match errno {
        // The kernel says the same of both limits.
        Errno::MFILE => WatchError::Exhausted {
            limit: "/proc/sys/fs/inotify/max_user_instances, or the limit of open files,",
            source,
        },
        _ => WatchError::Io {
            doing: "inotify_init1",
            source,
        },
    }
}
