//! How many times programs have a terminal open, by inotify. Not who they are.
//!
//! The kernel merges an event with the one before it if both are the same and nobody has read the first. Two programs that
//! open the device one after the other may be one opening, so no closing is the last one before /proc was asked. It does
//! not show the programs of other users, unless we are root: one of theirs that shares the device with one of ours counts
//! as gone when ours leaves.

use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::task::{Context, Poll, ready};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use uartnet_reactor::{Half, Interest, Watched};

use super::Happened;
use crate::terminal::holders::holder_of;

/// Counts openings and closings.
#[derive(Debug)]
pub(super) struct Users {
    watch: Watched<OwnedFd>,
    count: usize,
    buffer: Box<[MaybeUninit<u8>]>,
    /// Read and not yet given.
    pending: VecDeque<ReadFlags>,
}

impl Users {
    /// Nobody has it open but those who had before.
    pub(super) fn watch(path: &Path) -> io::Result<Users> {
        let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let events = WatchFlags::OPEN | WatchFlags::CLOSE_WRITE | WatchFlags::CLOSE_NOWRITE;
        inotify::add_watch(&watch, path, events)?;
        Ok(Users {
            watch: Watched::new(watch, Interest::Read)?,
            count: 0,
            buffer: Box::new([MaybeUninit::uninit(); 1024]),
            pending: VecDeque::new(),
        })
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Ready when [`Users::next_change`] may have something to say.
    pub(super) fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.watch.poll_ready(cx, Half::Read));
        self.watch.clear(Half::Read);
        Poll::Ready(())
    }

    /// The next opening or closing, if there was one until now. `ours` is the descriptor by which we have the terminal at
    /// `path` open ourselves.
    pub(super) fn next_change(&mut self, path: &Path, ours: BorrowedFd<'_>) -> Option<Happened> {
        loop {
            if self.pending.is_empty() {
                self.read();
            }
            let flags = self.pending.pop_front()?;
            if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                // Openings went by unseen; as long as somebody may have it open, nothing is thrown away.
                self.count = self.count.max(1);
            } else if flags.contains(ReadFlags::OPEN) {
                self.count += 1;
                return Some(Happened::Opened(self.count));
            } else if flags.intersects(ReadFlags::CLOSE_WRITE | ReadFlags::CLOSE_NOWRITE) {
                self.count = match holder_of(path, Some(ours)) {
                    Some(_) => self.count.saturating_sub(1).max(1),
                    None => 0,
                };
                return Some(Happened::Closed(self.count));
            }
        }
    }

    fn read(&mut self) {
        let mut events = inotify::Reader::new(&self.watch, &mut self.buffer);
        while let Ok(event) = events.next() {
            self.pending.push_back(event.events());
            if events.is_buffer_empty() {
                break;
            }
        }
    }
}
