//! The far side of a terminal, for tests that play the board: a pseudo-terminal by the system's own calls, none of ours.
#![allow(dead_code)] // each test binary uses its own part of this
#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};
use tokio::sync::oneshot;

/// Long enough for any machine; a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A pseudo-terminal: the side that plays the board, and the path of the other one.
pub(crate) fn pseudo_terminal() -> (File, PathBuf) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    unlockpt(&ours).unwrap();
    let path = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
    (ours.into(), path.into())
}

/// Opens the terminal side of a pseudo-terminal as a foreign program would.
pub(crate) fn open_terminal(path: &Path) -> File {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd: OwnedFd = open(path, flags, Mode::empty()).unwrap();
    fd.into()
}

/// Writes all of it from a thread, so that the port under test can read meanwhile.
pub(crate) async fn far_writes(far: &File, bytes: &[u8]) {
    let (mut far, bytes) = (far.try_clone().unwrap(), bytes.to_vec());
    elsewhere(move || far.write_all(&bytes).unwrap()).await;
}

/// Reads exactly so many bytes in a thread.
pub(crate) async fn far_reads(far: &File, count: usize) -> Vec<u8> {
    let mut far = far.try_clone().unwrap();
    elsewhere(move || {
        let mut bytes = vec![0; count];
        far.read_exact(&mut bytes).unwrap();
        bytes
    })
    .await
}

/// Runs what blocks in a thread that nobody joins, so that a test can give up on it.
async fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = oneshot::channel();
    thread::spawn(move || {
        let _ = done.send(work());
    });
    tokio::time::timeout(PATIENCE, result)
        .await
        .expect("the far side got no further")
        .expect("the far side failed")
}
