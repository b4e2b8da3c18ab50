//! Both sides of a pseudo-terminal of our making. Not who reads and writes them.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, ptsname, unlockpt};

use super::termios::set_raw;

/// Both sides of a pseudo-terminal. Ours would read I/O errors while no program has the other one open, and the
/// terminal would forget its settings; so we keep the other one open too.
#[derive(Debug)]
pub(crate) struct Pair {
    /// The master, non-blocking.
    pub(crate) ours: OwnedFd,
    /// The terminal.
    pub(crate) theirs: OwnedFd,
    /// Where programs open the terminal.
    pub(crate) path: PathBuf,
}

impl Pair {
    /// A terminal in raw mode; the error comes with the call that failed.
    pub(crate) fn make() -> Result<Pair, (&'static str, io::Error)> {
        fn doing(call: &'static str) -> impl Fn(Errno) -> (&'static str, io::Error) {
            move |errno| (call, errno.into())
        }
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let ours = openpt(flags).map_err(doing("openpt"))?;
        grantpt(&ours).map_err(doing("grantpt"))?;
        unlockpt(&ours).map_err(doing("unlockpt"))?;
        rustix::io::ioctl_fionbio(&ours, true).map_err(doing("FIONBIO"))?;
        let name = ptsname(&ours, Vec::new()).map_err(doing("ptsname"))?;
        let theirs = ioctl_tiocgptpeer(&ours, flags).map_err(doing("TIOCGPTPEER"))?;
        set_raw(theirs.as_fd()).map_err(doing("TCSETS2"))?;
        Ok(Pair {
            ours,
            theirs,
            path: OsStr::from_bytes(name.to_bytes()).into(),
        })
    }
}
