//! Which processes have a terminal open, as far as /proc shows. The answers improve messages, keep us from taking a link
//! that is in use, and tell a virtual device whether its last program has left.

use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process;

/// A process that has `path` open, other than through `except`. As far as /proc shows: not other users' processes,
/// unless we are root.
pub(crate) fn holder_of(path: &Path, except: Option<BorrowedFd<'_>>) -> Option<u32> {
    let path = fs::canonicalize(path).ok()?;
    let excepted = except.map(|fd| fd.as_raw_fd().to_string());
    processes().find(|pid| {
        open_files(*pid).any(|(number, file)| {
            file == path && !(*pid == process::id() && Some(number) == excepted)
        })
    })
}

/// The process that made the pseudo-terminal whose terminal side is `path` and keeps both its sides open, as we do.
pub(crate) fn maker_of(path: &Path) -> Option<u32> {
    processes().find(|pid| {
        let (mut terminal_side, mut other_side) = (false, false);
        for (_, file) in open_files(*pid) {
            terminal_side |= file == path;
            other_side |= file == Path::new("/dev/ptmx") || file == Path::new("/dev/pts/ptmx");
        }
        terminal_side && other_side
    })
}

/// At most this many processes, and this many files of each, are looked at: the answer only improves a message.
const LOOK_AT: usize = 4096;

fn processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .take(LOOK_AT)
}

/// The number and the target of each descriptor of a process.
fn open_files(pid: u32) -> impl Iterator<Item = (String, PathBuf)> {
    fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten()
        .take(LOOK_AT)
        .filter_map(|entry| {
            let number = entry.file_name().into_string().ok()?;
            Some((number, fs::read_link(entry.path()).ok()?))
        })
}
