//! A client's socket: bytes in and out of a connected TCP or Unix socket, without blocking. Not what they mean, and not TLS.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use uartnet_reactor::{Half, Interest, Watched};

/// A connected socket that does not block, watched on this thread.
#[derive(Debug)]
pub(crate) struct Socket(Watched<OwnedFd>);

/// What a read has shown of what comes behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behind {
    /// There may be more.
    Unknown,
    /// There is nothing, and the task that reads is woken when there is.
    Nothing,
}

impl Socket {
    /// Must be called where descriptors can be [watched](Watched::new).
    pub(crate) fn new(connected: OwnedFd) -> io::Result<Socket> {
        Watched::new(connected, Interest::ReadWrite).map(Socket)
    }

    /// Nothing read is the end of the input.
    ///
    /// The read that would find nothing is saved where a short one has shown that.
    pub(crate) fn poll_read_ahead(
        &mut self,
        cx: &Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Behind>> {
        let room = buffer.remaining();
        let count = ready!(self.poll_recv(cx, buffer))?;
        let is_short = 0 < count && count < room;
        Poll::Ready(Ok(if is_short && self.0.poll_behind(cx).is_pending() {
            Behind::Nothing
        } else {
            Behind::Unknown
        }))
    }

    fn poll_recv(&self, cx: &Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        self.0.poll_io(cx, Half::Read, |fd| {
            let (count, _) = recv(fd, buffer.initialize_unfilled(), RecvFlags::empty())?;
            buffer.advance(count);
            Ok(count)
        })
    }

    /// Writes this, as far as there is room, and says how much.
    pub(crate) fn poll_send(&mut self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let sent = |fd: &OwnedFd| Ok(send(fd, bytes, SendFlags::NOSIGNAL)?);
        let sent = self.0.poll_io(cx, Half::Write, sent);
        self.look_at_room(sent, bytes.len())
    }

    /// Writes several pieces, as [`Socket::poll_send`].
    pub(crate) fn poll_send_all(
        &mut self,
        cx: &Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // SIGPIPE is ignored, as Rust's programs do.
        let sent = |fd: &OwnedFd| Ok(rustix::io::writev(fd, pieces)?);
        let sent = self.0.poll_io(cx, Half::Write, sent);
        self.look_at_room(sent, pieces.iter().map(|piece| piece.len()).sum())
    }

    /// When less was written than was wanted there is no more room, and the write that would find none is saved.
    fn look_at_room(
        &self,
        sent: Poll<io::Result<usize>>,
        wanted: usize,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = sent
            && 0 < count
            && count < wanted
        {
            self.0.clear(Half::Write);
        }
        sent
    }

    /// Ends the sending half. It is no error that the other side has gone before.
    pub(crate) fn end(&self) -> io::Result<()> {
        match shutdown(&self.0, Shutdown::Write) {
            Err(Errno::NOTCONN) => Ok(()),
            ended => Ok(ended?),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_recv(cx, buffer).map_ok(drop)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_send(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_send_all(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Nothing is kept.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.end())
    }
}
