//! Small files that nobody else may read or write: tokens, and the gateways that are known. Not what is in them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// A file bigger than this is none of ours, in bytes.
const LARGEST: u64 = 1 << 20;

/// A folder of the person's: what this variable says, or what stands below the home.
pub(crate) fn folder(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute(variable).or_else(|| Some(absolute("HOME")?.join(below_home)))
}

/// What is in it; nothing, if it is not there.
///
/// # Errors
/// It cannot be read, or others can.
pub(crate) fn read(path: &Path) -> Result<String> {
    let cannot_read = || format!("cannot read {}", path.display());
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        file => file.with_context(cannot_read)?,
    };
    let mode = file.metadata().with_context(cannot_read)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        let path = path.display();
        bail!("{path} can be used by others (its mode is {mode:03o}); write: chmod 600 {path}");
    }
    let mut text = String::new();
    file.take(LARGEST)
        .read_to_string(&mut text)
        .with_context(cannot_read)?;
    Ok(text)
}

/// Replaced as a whole or not at all.
///
/// # Errors
/// It cannot be written; it is as it was.
pub(crate) fn replace(path: &Path, text: &str) -> Result<()> {
    let cannot_write = || format!("cannot write {}", path.display());
    make_folder(path)?;
    let mut fresh = path.to_owned().into_os_string();
    fresh.push(format!(".{}", std::process::id()));
    let fresh = PathBuf::from(fresh);
    fs::remove_file(&fresh).ok();
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)
        .with_context(cannot_write)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&fresh, path))
        .with_context(cannot_write)
}

/// Adds a line in one write, so that two who do it at once are not in each other's way.
///
/// # Errors
/// It cannot be written.
pub(crate) fn append(path: &Path, line: &str) -> Result<()> {
    make_folder(path)?;
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn make_folder(path: &Path) -> Result<()> {
    let folder = path.parent().context("the file has no folder")?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make {}", folder.display()))
}
