//! Watched sockets, for the tests of both ways in which events are taken.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::task::{Context, Poll};

use uartnet_reactor::{Half, Interest, Watched};

/// A watched socket, and its other end.
pub(crate) fn pair(interest: Interest) -> (Watched<UnixStream>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Watched::new(ours, interest).unwrap(), theirs)
}

/// What there is to read at once.
pub(crate) fn poll_read(
    socket: &Watched<UnixStream>,
    cx: &Context<'_>,
) -> Poll<io::Result<Vec<u8>>> {
    socket.poll_io(cx, Half::Read, |mut io: &UnixStream| {
        let mut bytes = [0; 16];
        let count = io.read(&mut bytes)?;
        Ok(bytes[..count].to_vec())
    })
}
