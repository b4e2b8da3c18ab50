//! A descriptor that any number of tasks may wait for, registered with tokio's runtime: for what is rarely ready. The only
//! `unsafe` of this crate: tokio cannot know that a descriptor stays open as long as it is registered.
#![allow(unsafe_code)] // see above; the other exception of the workspace is uart-iface's ioctl.rs

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

/// A descriptor watched for becoming readable. It cannot be taken out or exchanged, which is what makes it safe.
#[derive(Debug)]
pub struct Shared(AsyncFd<OwnedFd>);

impl Shared {
    /// Must be called within a runtime of tokio's.
    ///
    /// # Errors
    /// The operating system cannot watch it.
    pub fn new(fd: OwnedFd) -> io::Result<Shared> {
        // SAFETY: the descriptor is open, and is closed when the AsyncFd drops it, which is after it was deregistered;
        // nobody else gets at it by more than a shared reference.
        let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
        Ok(Shared(registered?))
    }

    /// Until it can be read, perhaps.
    ///
    /// # Errors
    /// The runtime ends.
    pub async fn readable(&self) -> io::Result<Readable<'_>> {
        self.0.readable().await.map(Readable)
    }
}

impl AsFd for Shared {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}

/// It can be read, until this is cleared.
#[derive(Debug)]
pub struct Readable<'a>(AsyncFdReadyGuard<'a, OwnedFd>);

impl Readable<'_> {
    /// There was nothing more: the next one waits.
    pub fn clear(mut self) {
        self.0.clear_ready();
    }
}
