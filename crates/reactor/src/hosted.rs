//! Where no thread sleeps in a [`Park`](crate::Park): a task of tokio's takes the events of its thread. Not what they are.

use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixDatagram as Any;
use std::sync::Arc;

use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::runtime::Handle;

use crate::reactor::{self, EVENTS};

/// Begins to take the events of this epoll instance, which is this thread's, as long as the runtime lives, and as what this
/// gives. Must be called within a runtime of tokio's for one thread.
pub(crate) fn take_events(epoll: BorrowedFd<'_>) -> io::Result<Arc<()>> {
    let runtime = Handle::try_current().map_err(io::Error::other)?;
    // Tokio waits for sockets, or, by unsafe code, for anything (AsyncFd). It is told that this is a socket, and asked for
    // nothing but to wait: of that epoll is as capable.
    let any = Any::from(epoll.try_clone_to_owned()?);
    any.set_nonblocking(true)?;
    let events = UnixDatagram::from_std(any)?;
    let taker = Arc::new(());
    runtime.spawn(take_for_ever(events, taker.clone()));
    Ok(taker)
}

async fn take_for_ever(events: UnixDatagram, _taker: Arc<()>) {
    while events.readable().await.is_ok() {
        // Forgotten before they are taken, or one that comes meanwhile would be lost.
        let forget = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        let _ = events.try_io(Interest::READABLE, forget);
        loop {
            match reactor::turn_at_once() {
                Ok(EVENTS) => {}
                Ok(_) => break,
                Err(_) => return,
            }
        }
    }
}
