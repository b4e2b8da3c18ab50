//! Bytes in and out of a terminal's descriptor, without blocking: what a real tty and a pseudo-terminal have in common.
//! Not settings and not signals.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use uartnet_reactor::{Half, Interest, Watched};

use crate::PortError;

/// So many writes in a row must find room at once until a terminal is not watched for room any more.
const AT_ONCE: u8 = 64;

/// A non-blocking terminal descriptor, watched on this thread.
#[derive(Debug)]
pub(crate) struct Stream {
    fd: Watched<OwnedFd>,
    /// Whether it is watched for room to write, and how many writes in a row found room since.
    ///
    /// It is so only while writes do not: a driver tells of room whenever it has sent something, and a pseudo-terminal
    /// whenever the other end has read, so that each write would wake us once more for nothing.
    watched_for_room: Option<u8>,
    device: String,
}

impl Stream {
    /// `fd` must be non-blocking; `device` is the spec for error messages. Must be called where descriptors can
    /// be [watched](Watched::new).
    pub(crate) fn new(fd: OwnedFd, device: &str) -> io::Result<Stream> {
        Ok(Stream {
            fd: Watched::new(fd, Interest::Read)?,
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
            ready!(self.fd.poll_ready(cx, Half::Read));
            match rustix::io::read(&self.fd, &mut *buf) {
                Ok(0) => return Poll::Ready(Err(gone(&self.device, "hang-up".to_owned()))),
                Ok(count) => {
                    if short_is_empty && count < buf.len() {
                        self.fd.clear(Half::Read);
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(Errno::AGAIN) => self.fd.clear(Half::Read),
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
            if let Some(at_once) = &mut self.watched_for_room
                && self.fd.poll_ready(cx, Half::Write).is_pending()
            {
                *at_once = 0;
                return Poll::Pending;
            }
            match rustix::io::write(&self.fd, bytes) {
                Ok(0) | Err(Errno::AGAIN) => match self.watched_for_room {
                    Some(_) => self.fd.clear(Half::Write),
                    None => self.watch_for_room(true)?,
                },
                Ok(count) => {
                    if count < bytes.len() {
                        self.fd.clear(Half::Write);
                    }
                    self.found_room()?;
                    return Poll::Ready(Ok(count));
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Poll::Ready(Err(self.error("write", errno))),
            }
        }
    }

    fn found_room(&mut self) -> Result<(), PortError> {
        match &mut self.watched_for_room {
            None => Ok(()),
            Some(AT_ONCE..) => self.watch_for_room(false),
            Some(at_once) => {
                *at_once += 1;
                Ok(())
            }
        }
    }

    fn watch_for_room(&mut self, on: bool) -> Result<(), PortError> {
        let interest = if on {
            Interest::ReadWrite
        } else {
            Interest::Read
        };
        self.watched_for_room = on.then_some(0);
        let watched = self.fd.watch_for(interest);
        watched.map_err(|error| self.io_error("epoll", error))
    }

    /// What an OS error means for this port: that the device is gone, or that one operation failed.
    pub(crate) fn error(&self, doing: &'static str, errno: Errno) -> PortError {
        self.io_error(doing, errno.into())
    }

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
