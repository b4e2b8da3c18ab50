//! Bytes in and out of a terminal's descriptor, without blocking: what a real tty and a pseudo-terminal have in common.
//! Not settings and not signals.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use tokio::io::Interest;

use super::ioctl::Registered;
use crate::PortError;

/// So many writes in a row must find room at once until a terminal is not watched for room any more.
const AT_ONCE: u8 = 64;

/// A non-blocking terminal descriptor, registered with the runtime.
#[derive(Debug)]
pub(crate) struct Stream {
    fd: Registered,
    /// Whether it is watched for room to write, and how many writes in a row found room since.
    ///
    /// It is so only while writes do not: a driver tells of room whenever it has sent something, and a pseudo-terminal
    /// whenever the other end has read, so that each write would wake us once more for nothing.
    watched_for_room: Option<u8>,
    device: String,
}

impl Stream {
    /// `fd` must be non-blocking; `device` is the spec for error messages. Must be called within a tokio runtime.
    pub(crate) fn new(fd: OwnedFd, device: &str) -> io::Result<Stream> {
        Ok(Stream {
            fd: Registered::new(fd)?,
            watched_for_room: None,
            device: device.to_owned(),
        })
    }

    /// [`Port::poll_read`](crate::Port::poll_read).
    ///
    /// Readiness comes in edges: once it is cleared, only bytes that arrive later set it again. Clearing it after a
    /// short read, which saves the read that would say EAGAIN, is right because a terminal in raw mode cuts a read
    /// short only when its buffer ran empty, and every later refill wakes the reader, also one from the buffers
    /// below it.
    #[cfg(feature = "backends")]
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<Result<usize, PortError>> {
        self.poll_read_once(cx, buf, true)
    }

    /// As [`Stream::poll_read`] of a terminal in packet mode, which also cuts a read short after a status byte: only
    /// EAGAIN says that nothing is left.
    #[cfg(feature = "virtual")]
    pub(crate) fn poll_read_packet(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<Result<usize, PortError>> {
        self.poll_read_once(cx, buf, false)
    }

    fn poll_read_once(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        short_is_empty: bool,
    ) -> Poll<Result<usize, PortError>> {
        loop {
            let mut ready = ready!(self.fd.poll_read_ready(cx))
                .map_err(|error| self.io_error("epoll", error))?;
            match rustix::io::read(&self.fd, &mut *buf) {
                Ok(0) => return Poll::Ready(Err(gone(&self.device, "hang-up".to_owned()))),
                Ok(count) => {
                    if short_is_empty && count < buf.len() {
                        ready.clear_ready();
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                Err(errno) => return Poll::Ready(Err(self.error("read", errno))),
            }
        }
    }

    /// [`Port::poll_write`](crate::Port::poll_write). A short write means a full queue, and the driver wakes the
    /// writer when there is room again; so readiness is cleared after it as after a short read.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, PortError>> {
        loop {
            let mut ready = None;
            if let Some(at_once) = &mut self.watched_for_room {
                match self.fd.poll_write_ready(cx) {
                    Poll::Ready(Ok(room)) => ready = Some(room),
                    Poll::Ready(Err(error)) => {
                        return Poll::Ready(Err(self.io_error("epoll", error)));
                    }
                    Poll::Pending => {
                        *at_once = 0;
                        return Poll::Pending;
                    }
                }
            }
            match rustix::io::write(&self.fd, bytes) {
                Ok(0) | Err(Errno::AGAIN) => match ready {
                    Some(mut room) => room.clear_ready(),
                    None => self.watch_for_room(cx, true)?,
                },
                Ok(count) => {
                    if let Some(room) = ready.as_mut().filter(|_| count < bytes.len()) {
                        room.clear_ready();
                    }
                    self.found_room(cx)?;
                    return Poll::Ready(Ok(count));
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Poll::Ready(Err(self.error("write", errno))),
            }
        }
    }

    fn found_room(&mut self, cx: &Context<'_>) -> Result<(), PortError> {
        match &mut self.watched_for_room {
            None => Ok(()),
            Some(AT_ONCE..) => self.watch_for_room(cx, false),
            Some(at_once) => {
                *at_once += 1;
                Ok(())
            }
        }
    }

    fn watch_for_room(&mut self, cx: &Context<'_>, on: bool) -> Result<(), PortError> {
        let interest = if on {
            Interest::READABLE | Interest::WRITABLE
        } else {
            Interest::READABLE
        };
        self.watched_for_room = on.then_some(0);
        let watched = self.fd.watch_for(interest);
        watched.map_err(|error| self.io_error("epoll", error))?;
        // The reader must wait anew, too.
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// What an OS error means for this port: that the device is gone, or that one operation failed.
    pub(crate) fn error(&self, doing: &'static str, errno: Errno) -> PortError {
        self.io_error(doing, errno.into())
    }

    #[cfg(feature = "backends")]
    pub(crate) fn device(&self) -> &str {
        &self.device
    }

    fn io_error(&self, doing: &'static str, source: io::Error) -> PortError {
        let vanished = [Errno::IO, Errno::NXIO, Errno::NODEV].map(Errno::raw_os_error);
        if source
            .raw_os_error()
            .is_some_and(|code| vanished.contains(&code))
        {
            return gone(&self.device, format!("{doing}: {source}"));
        }
        PortError::Io {
            device: self.device.clone(),
            doing,
            source,
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn gone(device: &str, reason: String) -> PortError {
    PortError::Gone {
        device: device.to_owned(),
        reason,
    }
}
