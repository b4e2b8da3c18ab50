//! A descriptor that is watched, as its owner sees it. Not how that is done, which is `reactor`.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll, ready};

use crate::reactor::{self, Slot};

/// What a descriptor can be ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// There are bytes to read, or a connection to accept, or the end of them.
    Read,
    /// There is room to write, or nobody to write to any more.
    Write,
}

/// What a descriptor is watched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// [`Half::Read`] alone.
    Read,
    /// Both, and whether there is something urgent.
    ReadWrite,
}

/// Something with a descriptor that does not block, watched on this thread until it is dropped.
///
/// Readiness comes in edges (`EPOLLET`, epoll(7)): it is told when something has arrived or room was made, and holds until
/// [`Watched::clear`], which is for whoever has found that there is no more. That the other side has closed is never
/// forgotten. One task at a time waits for it, for both halves.
pub struct Watched<T: AsFd> {
    io: T,
    slot: Slot,
    /// It belongs to the thread.
    _here: PhantomData<*const ()>,
}

impl<T: AsFd> Watched<T> {
    /// It is not known to be ready for anything yet. Must be called where a [`Park`](crate::Park) is, or within a runtime of
    /// tokio's for one thread.
    ///
    /// # Errors
    /// The operating system cannot watch it, or not so many.
    pub fn new(io: T, interest: Interest) -> io::Result<Watched<T>> {
        let slot = reactor::enter(io.as_fd(), interest)?;
        Ok(Watched {
            io,
            slot,
            _here: PhantomData,
        })
    }

    /// What it is watched for from now on. What it was ready for is forgotten, and told again if it is so.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn watch_for(&self, interest: Interest) -> io::Result<()> {
        reactor::change(self.slot, self.io.as_fd(), interest)
    }

    /// Whether it may be ready. If not, the task is woken when it is; whoever waited before is forgotten.
    pub fn poll_ready(&self, cx: &Context<'_>, half: Half) -> Poll<()> {
        reactor::poll_ready(self.slot, cx, half)
    }

    /// After a read that was shorter than it could have been: whether there may be more. If not, the task is woken when there
    /// is. A stream has no more then, except where it has ended, or where an urgent byte of TCP stands: a read ends
    /// before it, however much is there behind it.
    pub fn poll_behind(&self, cx: &Context<'_>) -> Poll<()> {
        reactor::poll_behind(self.slot, cx)
    }

    /// There was nothing more: it is ready again when the operating system says so.
    pub fn clear(&self, half: Half) {
        reactor::clear(self.slot, half);
    }

    /// Does this as soon as it does not say [`io::ErrorKind::WouldBlock`], which is tried again when it is ready.
    ///
    /// # Errors
    /// Those of `work`, but that one.
    pub fn poll_io<R>(
        &self,
        cx: &Context<'_>,
        half: Half,
        mut work: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            ready!(self.poll_ready(cx, half));
            match work(&self.io) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.clear(half),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return Poll::Ready(done),
            }
        }
    }

    /// What is watched.
    pub fn get_ref(&self) -> &T {
        &self.io
    }
}

impl<T: AsFd> AsFd for Watched<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

impl<T: AsFd> Drop for Watched<T> {
    fn drop(&mut self) {
        reactor::leave(self.slot, self.io.as_fd());
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watched").field(&self.io).finish()
    }
}
