//! Where no thread sleeps in a [`Park`](crate::Park): a task of tokio's takes the events of its thread. The only `unsafe` of
//! this crate: tokio cannot know that a descriptor stays open as long as it is registered.
#![allow(unsafe_code)] // see above; the other exception of the workspace is uart-iface's ioctl.rs

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;

use crate::reactor::{self, EVENTS};

/// Begins to take the events of this epoll instance, which is this thread's, as long as the runtime lives, and as what this
/// gives. Must be called within a runtime of tokio's for one thread.
pub(crate) fn take_events(epoll: BorrowedFd<'_>) -> io::Result<Arc<()>> {
    let runtime = Handle::try_current().map_err(io::Error::other)?;
    // SAFETY: the descriptor is open, and the AsyncFd closes it after it is deregistered; nobody else gets at it.
    let events = unsafe {
        AsyncFd::register_with_interest(epoll.try_clone_to_owned()?, Interest::READABLE)?
    };
    let taker = Arc::new(());
    runtime.spawn(take_for_ever(events, taker.clone()));
    Ok(taker)
}

async fn take_for_ever(events: AsyncFd<OwnedFd>, _taker: Arc<()>) {
    while let Ok(mut ready) = events.readable().await {
        // Before they are taken, or one that comes meanwhile would be lost.
        ready.clear_ready();
        loop {
            match reactor::turn_at_once() {
                Ok(EVENTS) => {}
                Ok(_) => break,
                Err(_) => return,
            }
        }
    }
}
