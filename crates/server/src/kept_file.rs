//! Small files that the gateway keeps and that change while it runs: replaced as a whole or not at all, told from what they
//! were, looked at again whenever they have changed. Not what is in them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use uart_iface::watch::{Target, Watch, WatchError};
use uartnet_reactor::sleep;

/// How often files are looked at where changes cannot be told.
const LOOK: Duration = Duration::from_secs(2);

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    size: u64,
    mode: u32,
    changed: (i64, i64),
}

/// What could not be done, and why: `("write", …)`.
pub(crate) type Failed = (&'static str, io::Error);

/// What state a file is in; `None`: there is none, or it cannot be seen.
pub(crate) fn stamp(path: &Path) -> Option<Stamp> {
    let meta = fs::metadata(path).ok()?;
    Some(Stamp {
        inode: meta.ino(),
        size: meta.size(),
        mode: meta.mode(),
        changed: (meta.ctime(), meta.ctime_nsec()),
    })
}

/// The folder a file is in.
pub(crate) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Makes the folder of a file, for nobody else, if it is not there.
///
/// # Errors
/// It cannot be made.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(folder(path))
}

/// Writes a file that is not there yet.
///
/// # Errors
/// It could not be written, or is there.
pub(crate) fn write_new(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Replaces a file in a folder that is there. Who reads it meanwhile gets the old or the new one, also when the power fails.
///
/// # Errors
/// It could not be written; the old one is still there.
pub(crate) fn replace(path: &Path, text: &str, mode: u32) -> Result<(), Failed> {
    let mut fresh = path.to_owned().into_os_string();
    fresh.push(format!(".{}", std::process::id()));
    let fresh = PathBuf::from(fresh);
    let replaced = put(&fresh, path, text, mode);
    if replaced.is_err() {
        // Should that fail as well, what is left over is as private as the file.
        fs::remove_file(&fresh).ok();
    }
    replaced
}

fn put(fresh: &Path, path: &Path, text: &str, mode: u32) -> Result<(), Failed> {
    let failed = |doing| move |error| (doing, error);
    // What a crashed process of the same number has left is in the way of create_new.
    fs::remove_file(fresh).ok();
    write_new(fresh, text, mode).map_err(failed("write"))?;
    fs::rename(fresh, path).map_err(failed("replace"))?;
    File::open(folder(path))
        .and_then(|folder| folder.sync_all())
        .map_err(failed("sync"))
}

/// Calls `refresh` now and whenever one of these files has changed, after the time they take to `settle`. Never ends.
/// `what` they are stands in the log.
pub(crate) async fn keep_fresh(
    what: &str,
    files: &[PathBuf],
    settle: Duration,
    refresh: impl Fn(),
) {
    let mut told = false;
    loop {
        let error = match Watch::new(files.iter().map(Target::content)) {
            Ok(watch) => follow(watch, settle, &refresh).await,
            Err(error) => error,
        };
        if !told {
            tracing::warn!(%error, "{what} is looked at every {LOOK:?} instead");
            told = true;
        }
        sleep(LOOK).await;
        refresh();
    }
}

async fn follow(mut watch: Watch, settle: Duration, refresh: &impl Fn()) -> WatchError {
    loop {
        // What changed before it was watched counts too.
        refresh();
        if let Err(error) = watch.changed().await {
            return error;
        }
        if !settle.is_zero() {
            sleep(settle).await;
        }
    }
}
