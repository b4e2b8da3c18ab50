//! Pseudo-terminals: a person's terminal for `uart`, and the plug in which a foreign board sits.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{
    LocalModes, OptionalActions, Termios, Winsize, tcgetattr, tcsetattr, tcsetwinsize,
};

use crate::{Collected, DEADLINE, Process};

/// One pseudo-terminal; we hold both of its ends.
#[derive(Debug)]
pub struct Tty {
    ours: File,
    theirs: File,
    /// What was written to the terminal so far.
    pub screen: Collected,
}

/// A program that runs in a terminal of 80 columns and 24 lines.
#[derive(Debug)]
pub struct Terminal {
    /// The terminal.
    pub tty: Tty,
    /// The program.
    pub process: Process,
}

impl Tty {
    /// A new one, in the state in which a login finds it: echo, lines, signals.
    ///
    /// # Errors
    /// The system has none left.
    pub fn open() -> Result<Tty> {
        let (ours, name) = open_master()?;
        let theirs = open_board(&name)?;
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&theirs, size).context("the pseudo-terminal takes no size")?;
        let screen = Collected::of(
            ours.try_clone()
                .context("the pseudo-terminal cannot be shared")?,
        );
        Ok(Tty {
            ours,
            theirs,
            screen,
        })
    }

    /// Types on its keyboard.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn type_in(&mut self, bytes: &[u8]) -> Result<()> {
        self.ours
            .write_all(bytes)
            .context("the terminal takes no input")
    }

    /// Whether it is in the state in which people type lines: echo and line editing are on.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn is_cooked(&self) -> Result<bool> {
        Ok(self
            .settings()?
            .local_modes
            .contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG))
    }

    /// Waits until a program has switched it to (or from) the state in which people type lines: what is typed before is
    /// taken in the other one. A terminal tells nobody of the change, so it is looked at again and again.
    ///
    /// # Errors
    /// It does not come about, or the terminal is gone.
    pub fn wait_cooked(&self, cooked: bool) -> Result<()> {
        let begun = Instant::now();
        while self.is_cooked()? != cooked {
            ensure!(
                begun.elapsed() < DEADLINE,
                "the terminal's line editing never became {cooked}"
            );
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Its settings.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn settings(&self) -> Result<Termios> {
        tcgetattr(&self.theirs).context("the terminal tells no settings")
    }
}

impl Terminal {
    /// Runs a command with the terminal as its three standard streams.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn(command: &mut Command) -> Result<Terminal> {
        let tty = Tty::open()?;
        let theirs = || {
            tty.theirs
                .try_clone()
                .context("the terminal cannot be shared")
        };
        command
            .env("TERM", "xterm")
            .stdin(theirs()?)
            .stdout(theirs()?)
            .stderr(theirs()?);
        let process = Process::start(command)?;
        Ok(Terminal { tty, process })
    }
}

/// The end of a new pseudo-terminal that is not the terminal, and the terminal's path.
pub(crate) fn open_master() -> Result<(File, PathBuf)> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
        .context("there is no pseudo-terminal to be had")?;
    grantpt(&master)
        .and_then(|()| unlockpt(&master))
        .context("the pseudo-terminal cannot be unlocked")?;
    let name = ptsname(&master, Vec::new()).context("the pseudo-terminal has no name")?;
    let path = PathBuf::from(OsStr::from_bytes(name.as_bytes()));
    Ok((master.into(), path))
}

/// Opens a terminal device as a program that is a board would, without making it the controlling terminal.
///
/// # Errors
/// It cannot be opened.
pub fn open_board(path: &Path) -> Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = i32::try_from(OFlags::NOCTTY.bits()).context("no such flag")?;
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))
}

/// Reads exactly so many bytes of a terminal device.
///
/// # Panics
/// They do not come.
pub fn read_exactly(device: &mut File, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    let mut filled = 0;
    let patience = Timespec {
        tv_sec: i64::try_from(DEADLINE.as_secs()).expect("some seconds"),
        tv_nsec: 0,
    };
    while filled < count {
        let mut fds = [PollFd::new(&*device, PollFlags::IN)];
        let ready = poll(&mut fds, Some(&patience)).expect("the device can be waited for");
        assert!(ready > 0, "only {filled} of {count} bytes came");
        filled += device
            .read(&mut bytes[filled..])
            .expect("the device can be read");
    }
    bytes
}

/// Makes a terminal device transparent for all bytes.
///
/// # Errors
/// It is no terminal.
pub fn make_raw(device: &File) -> Result<()> {
    let mut settings = tcgetattr(device).context("the device tells no settings")?;
    settings.make_raw();
    tcsetattr(device, OptionalActions::Now, &settings).context("the device takes no settings")
}
