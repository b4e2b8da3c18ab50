//! The exclusive use of a terminal: taking it, giving it back, and who has it if not us.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FlockOperation, flock, fstat, major, minor};
use rustix::io::Errno;
use rustix::termios::{ioctl_tiocexcl, ioctl_tiocnxcl};

use crate::OpenError;
use crate::terminal::holders::holder_of;
use crate::terminal::ioctl;

/// The exclusive use of a terminal, given back when this is dropped. It holds a descriptor of its own, so it should
/// be dropped after every other descriptor of the same opening: its close is the last one.
#[derive(Debug)]
pub(super) struct Claim {
    fd: Option<OwnedFd>,
}

impl Claim {
    /// Takes the terminal for us alone, by all means that others respect: `flock` and TIOCEXCL. The kernel lets root
    /// pass TIOCEXCL, so we ask for it (TIOCGEXCL).
    pub(super) fn take(
        spec: &str,
        path: &Path,
        fd: BorrowedFd<'_>,
        is_pseudo_terminal: bool,
    ) -> Result<Claim, OpenError> {
        let failed = |doing| {
            move |errno: Errno| OpenError::Io {
                spec: spec.to_owned(),
                doing,
                source: errno.into(),
            }
        };
        let busy = |pid| OpenError::Busy {
            path: path.to_owned(),
            pid,
        };

        if ioctl::is_exclusive(fd).map_err(failed("TIOCGEXCL"))? {
            let holder = holder_of(path, Some(fd));
            if holder.is_some() || !is_pseudo_terminal {
                return Err(busy(holder));
            }
        }
        match flock(fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(busy(lock_owner(fd).or_else(|| holder_of(path, Some(fd)))));
            }
            Err(errno) => return Err(failed("flock")(errno)),
        }
        // On a pseudo-terminal the mark would outlive a crash of ours, because the other side keeps the terminal
        // alive; only a descriptor could clear it, and nobody but root would get one.
        if !is_pseudo_terminal {
            ioctl_tiocexcl(fd).map_err(failed("TIOCEXCL"))?;
        }
        let own = fd.try_clone_to_owned().map_err(|source| OpenError::Io {
            spec: spec.to_owned(),
            doing: "dup",
            source,
        })?;
        Ok(Claim { fd: Some(own) })
    }
}

impl Drop for Claim {
    /// The last close of a serial port waits up to 30 s for what is still queued; a thread of its own can wait.
    fn drop(&mut self) {
        let Some(fd) = self.fd.take() else { return };
        // Either may fail because the device is gone; then there is nothing to give back.
        let _ = ioctl_tiocnxcl(&fd);
        let _ = flock(&fd, FlockOperation::Unlock);
        if ioctl::output_queue(fd.as_fd()).is_ok_and(|queued| queued > 0) {
            let _ = std::thread::Builder::new()
                .name("tty-close".to_owned())
                .spawn(move || drop(fd));
        }
    }
}

/// Whether this is the terminal side of a pseudo-terminal.
pub(super) fn is_pseudo_terminal(fd: BorrowedFd<'_>) -> bool {
    // UNIX98_PTY_SLAVE_MAJOR and the seven after it, admin-guide/devices.txt
    fstat(fd).is_ok_and(|stat| (136..=143).contains(&major(stat.st_rdev)))
}

/// Who holds the `flock` on this file, from /proc/locks: `1: FLOCK ADVISORY WRITE 4711 00:18:3 0 EOF`.
fn lock_owner(fd: BorrowedFd<'_>) -> Option<u32> {
    let stat = fstat(fd).ok()?;
    let (major, minor) = (major(stat.st_dev), minor(stat.st_dev));
    let file = format!("{major:02x}:{minor:02x}:{}", stat.st_ino);
    fs::read_to_string("/proc/locks")
        .ok()?
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|fields| fields.get(1) == Some(&"FLOCK") && fields.get(5) == Some(&file.as_str()))
        .and_then(|fields| fields.get(4)?.parse().ok())
}
