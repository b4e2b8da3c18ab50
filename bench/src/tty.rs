//! Pseudo-terminals: the board's end, which is ours, and the device's end, which a server opens by its path.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// How long a peer that should answer may be silent before a measurement is given up.
pub const SILENCE: Duration = Duration::from_secs(20);

/// Opens a tty without waiting, and makes it raw.
///
/// # Errors
/// It cannot be opened or is no tty.
pub fn open_raw(path: &Path) -> Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let tty = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    let mut settings = tcgetattr(&tty).context("not a tty")?;
    settings.make_raw();
    tcsetattr(&tty, OptionalActions::Now, &settings).context("cannot make it raw")?;
    Ok(tty)
}

/// The board: one end of a pseudo-terminal, never blocking.
#[derive(Debug)]
pub struct Board {
    end: File,
    /// Held open, so that what a server leaves behind does not hang up the line.
    _device: File,
    path: PathBuf,
}

impl Board {
    /// A new one.
    ///
    /// # Errors
    /// The system has no pseudo-terminal left.
    pub fn new() -> Result<Board> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let end = openpt(flags).context("there is no pseudo-terminal to be had")?;
        grantpt(&end)?;
        unlockpt(&end)?;
        let name = ptsname(&end, Vec::new())?;
        let path = PathBuf::from(OsStr::from_bytes(name.as_bytes()));
        let device = open_raw(&path)?;
        rustix::fs::fcntl_setfl(&end, OFlags::NONBLOCK)?;
        Ok(Board {
            end: File::from(end),
            _device: device,
            path,
        })
    }

    /// The path of the device.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Another handle of the same end, for another thread.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn end(&self) -> io::Result<File> {
        self.end.try_clone()
    }

    /// Throws away what a server wrote before.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn drain(&mut self) -> Result<()> {
        let mut buffer = [0; 4096];
        while wait(&self.end, PollFlags::IN, Duration::from_millis(20))? {
            read_some(&mut self.end, &mut buffer)?;
        }
        Ok(())
    }

    /// Reads until the buffer is full.
    ///
    /// # Errors
    /// The board heard nothing for [`SILENCE`].
    pub fn read_exactly(&mut self, buffer: &mut [u8]) -> Result<()> {
        read_exactly(&mut self.end, buffer).context("at the board")
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// Nothing was taken for [`SILENCE`].
    pub fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        write_all(&mut self.end, bytes).context("at the board")
    }
}

/// Waits until a file is ready; says whether it is.
///
/// # Errors
/// The file is no longer there.
pub fn wait(file: &impl std::os::fd::AsFd, flags: PollFlags, limit: Duration) -> Result<bool> {
    let limit = Timespec::try_from(limit)?;
    loop {
        match poll(&mut [PollFd::new(file, flags)], Some(&limit)) {
            Err(rustix::io::Errno::INTR) => {}
            polled => return Ok(polled? > 0),
        }
    }
}

/// Waits until something has happened to one of those an epoll watches; `events` then says what, as far as they have room.
/// They are empty only when nothing happened for [`SILENCE`].
///
/// # Errors
/// The epoll cannot be waited for.
pub fn wait_many(epoll: &impl std::os::fd::AsFd, events: &mut Vec<epoll::Event>) -> Result<()> {
    let limit = Timespec::try_from(SILENCE)?;
    events.clear();
    loop {
        match epoll::wait(epoll, spare_capacity(events), Some(&limit)) {
            Err(rustix::io::Errno::INTR) => {}
            waited => {
                waited?;
                return Ok(());
            }
        }
    }
}

/// Reads until the buffer is full, waiting where nothing is there.
///
/// # Errors
/// The end of the stream, or nothing for [`SILENCE`].
pub fn read_exactly(file: &mut (impl Read + std::os::fd::AsFd), buffer: &mut [u8]) -> Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        ensure!(
            wait(file, PollFlags::IN, SILENCE)?,
            "{filled} of {} bytes came, then nothing",
            buffer.len()
        );
        let len = read_some(file, &mut buffer[filled..])?;
        filled += len;
    }
    Ok(())
}

/// Reads what is there, after [`wait`]; nothing if somebody else was faster.
///
/// # Errors
/// The end of the stream, or its loss.
pub fn read_some(file: &mut impl Read, buffer: &mut [u8]) -> Result<usize> {
    match file.read(buffer) {
        Ok(0) => Err(io::Error::from(ErrorKind::UnexpectedEof)).context("the peer has closed"),
        Ok(len) => Ok(len),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        Err(error) => Err(error).context("cannot read"),
    }
}

/// Writes all of it, waiting where there is no room.
///
/// # Errors
/// The peer is gone, or takes nothing for [`SILENCE`].
pub fn write_all(file: &mut (impl Write + std::os::fd::AsFd), mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(len) => bytes = &bytes[len..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let left = bytes.len();
                ensure!(
                    wait(file, PollFlags::OUT, SILENCE)?,
                    "{left} bytes were not taken"
                );
            }
            Err(error) => return Err(error).context("cannot write"),
        }
    }
    Ok(())
}
