//! Signals of the operating system as something that a task can wait for. Not what they mean.

use std::future::poll_fn;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use signal_hook::low_level::pipe;
use uartnet_reactor::{Half, Interest, Watched};

/// Signals that do not end the process any more, but are told here, each as often as it comes.
#[derive(Debug)]
pub(crate) struct Signals(Watched<UnixStream>);

impl Signals {
    /// Those with these numbers (signal(7)). Must be called where descriptors can be [watched](Watched::new).
    ///
    /// # Errors
    /// There are no more descriptors, or this signal cannot be caught.
    pub(crate) fn catch(numbers: &[i32]) -> io::Result<Signals> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        for number in numbers {
            pipe::register(*number, OwnedFd::from(theirs.try_clone()?))?;
        }
        Ok(Signals(Watched::new(ours, Interest::Read)?))
    }

    /// Until one of them comes.
    pub(crate) async fn next(&self) {
        // A byte for each; whoever writes them lives as long as the process.
        let read = |mut from: &UnixStream| from.read_exact(&mut [0]);
        let _ = poll_fn(|cx| self.0.poll_io(cx, Half::Read, read)).await;
    }
}
