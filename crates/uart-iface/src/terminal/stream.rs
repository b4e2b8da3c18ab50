//! Bytes in and out of a terminal's descriptor, without blocking: what a real tty and a pseudo-terminal have in common.
//! Not settings and not signals.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};

use rustix::io::Errno;

use super::ioctl::Registered;
use crate::PortError;

/// A non-blocking terminal descriptor, registered with the runtime.
#[derive(Debug)]
pub(crate) struct Stream {
    fd: Registered,
    device: String,
}

impl Stream {
    /// `fd` must be non-blocking; `device` is the spec for error messages. Must be called within a tokio runtime.
    pub(crate) fn new(fd: OwnedFd, device: &str) -> io::Result<Stream> {
        Ok(Stream {
            fd: Registered::new(fd)?,
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
            let mut ready = ready!(self.fd.poll_write_ready(cx))
                .map_err(|error| self.io_error("epoll", error))?;
            match rustix::io::write(&self.fd, bytes) {
                Ok(0) | Err(Errno::AGAIN) => ready.clear_ready(),
                Ok(count) => {
                    if count < bytes.len() {
                        ready.clear_ready();
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Poll::Ready(Err(self.error("write", errno))),
            }
        }
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
