//! The files of one log: where they are, what they are called, which of them are kept. Not what is in them.
//!
//! The newest is at the configured path. When another is begun it is given a number, `board0.log` becomes
//! `board0.000042.log`: numbers only ever grow, so their order needs no clock.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How many digits a number has at least.
const DIGITS: usize = 6;

/// Which old files are kept; the one that is being written always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// At most so many.
    pub files: Option<usize>,
    /// At most so many bytes in all, with the one that is being written at its largest.
    pub size: Option<u64>,
    /// None that was last written longer ago.
    pub age: Option<Duration>,
}

/// Where the files of one log are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Files {
    path: PathBuf,
}

/// An old file.
#[derive(Debug)]
pub(super) struct Old {
    pub(super) number: u64,
    pub(super) path: PathBuf,
}

impl Files {
    pub(super) fn new(path: PathBuf) -> Files {
        Files { path }
    }

    /// The newest.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the newest, which is made if it is not there. Folders that are missing are made too.
    pub(super) fn open(&self, mode: u32) -> io::Result<File> {
        if let Some(folder) = self.folder()
            && !folder.is_dir()
        {
            DirBuilder::new()
                .recursive(true)
                .mode(0o750)
                .create(folder)?;
        }
        let file = OpenOptions::new()
            .append(true)
            .read(true)
            .create(true)
            .mode(mode)
            // What is not a file, like a FIFO, could otherwise block here.
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
            .open(&self.path)?;
        if !file.metadata()?.is_file() {
            let what = format!("{} is not a file", self.path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        Ok(file)
    }

    /// The newest becomes an old one, with this number.
    pub(super) fn put_by(&self, number: u64) -> io::Result<()> {
        fs::rename(&self.path, self.numbered(number))
    }

    /// Names and numbers last through a loss of power.
    pub(super) fn sync_folder(&self) -> io::Result<()> {
        File::open(self.folder().unwrap_or(Path::new(".")))?.sync_all()
    }

    /// The old ones, oldest first.
    pub(super) fn old(&self) -> io::Result<Vec<Old>> {
        let mut old = Vec::new();
        let entries = match fs::read_dir(self.folder().unwrap_or(Path::new("."))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(old),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if let Some(number) = self.number_of(&entry.file_name().to_string_lossy()) {
                let path = entry.path();
                old.push(Old { number, path });
            }
        }
        old.sort_unstable_by_key(|old| old.number);
        Ok(old)
    }

    /// Deletes old ones until what is left may be kept. `largest`: how large the newest can become.
    pub(super) fn prune(&self, keep: Keep, largest: u64, now: SystemTime) -> io::Result<()> {
        let (mut count, mut size) = (0, largest);
        for old in self.old()?.into_iter().rev() {
            let Ok(known) = fs::metadata(&old.path) else {
                continue;
            };
            count += 1;
            size = size.saturating_add(known.len());
            let age = known.modified().ok();
            let age = age.and_then(|written| now.duration_since(written).ok());
            let is_kept = keep.files.is_none_or(|most| count <= most)
                && keep.size.is_none_or(|most| size <= most)
                && keep
                    .age
                    .is_none_or(|most| age.is_none_or(|age| age <= most));
            if !is_kept {
                fs::remove_file(&old.path)?;
            }
        }
        Ok(())
    }

    fn folder(&self) -> Option<&Path> {
        self.path.parent().filter(|it| !it.as_os_str().is_empty())
    }

    fn numbered(&self, number: u64) -> PathBuf {
        let mut name = OsString::from(self.path.file_stem().unwrap_or_default());
        name.push(format!(".{number:0DIGITS$}"));
        if let Some(extension) = self.path.extension() {
            name.push(".");
            name.push(extension);
        }
        self.path.with_file_name(name)
    }

    fn number_of(&self, name: &str) -> Option<u64> {
        let stem = self.path.file_stem()?.to_str()?;
        let rest = name.strip_prefix(stem)?.strip_prefix('.')?;
        let digits = match self.path.extension() {
            Some(extension) => rest.strip_suffix(extension.to_str()?)?.strip_suffix('.')?,
            None => rest,
        };
        let is_number = digits.len() >= DIGITS && digits.bytes().all(|it| it.is_ascii_digit());
        is_number.then(|| digits.parse().ok())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_folder(name: &str) -> (tempfile::TempDir, Files) {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(folder.path().join(name));
        (folder, files)
    }

    #[test]
    fn numbered_names_are_found_again_and_others_are_left_alone() {
        for name in ["board0.log", "board0", "a.b.log", "board0.cast"] {
            let (folder, files) = in_folder(name);
            for number in [3, 1_000_000, 20] {
                fs::write(files.path(), "x").unwrap();
                files.put_by(number).unwrap();
            }
            for other in [
                "board0.log.bak",
                "board0.1.log",
                "board01.000001.log",
                "x.000001.log",
            ] {
                fs::write(folder.path().join(other), "x").unwrap();
            }
            let old = files.old().unwrap();
            let numbers: Vec<u64> = old.iter().map(|old| old.number).collect();
            assert_eq!(numbers, [3, 20, 1_000_000], "{name}");
            assert!(old.iter().all(|old| old.path.is_file()));
        }
    }

    #[test]
    fn the_oldest_go_until_the_rest_may_be_kept() {
        let all = Keep {
            files: None,
            size: None,
            age: None,
        };
        let hour = Duration::from_secs(3600);
        for (keep, now, left) in [
            (all, SystemTime::now(), &[1, 2, 3, 4][..]),
            (
                Keep {
                    files: Some(2),
                    ..all
                },
                SystemTime::now(),
                &[3, 4],
            ),
            (
                Keep {
                    files: Some(0),
                    ..all
                },
                SystemTime::now(),
                &[],
            ),
            // 100 each, and 100 for the newest.
            (
                Keep {
                    size: Some(399),
                    ..all
                },
                SystemTime::now(),
                &[3, 4],
            ),
            (
                Keep {
                    age: Some(hour),
                    ..all
                },
                SystemTime::now(),
                &[1, 2, 3, 4],
            ),
            (
                Keep {
                    age: Some(hour),
                    ..all
                },
                SystemTime::now() + 2 * hour,
                &[],
            ),
        ] {
            let (_folder, files) = in_folder("board0.log");
            for number in 1..=4 {
                fs::write(files.path(), [b'x'; 100]).unwrap();
                files.put_by(number).unwrap();
            }
            fs::write(files.path(), "newest").unwrap();
            files.prune(keep, 100, now).unwrap();
            let numbers: Vec<u64> = files.old().unwrap().iter().map(|old| old.number).collect();
            assert_eq!(numbers, left, "{keep:?}");
            assert!(files.path().is_file());
        }
    }

    #[test]
    fn only_a_file_is_opened_and_it_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let (folder, files) = in_folder("deep/er/board0.log");
        let mode = files.open(0o600).unwrap().metadata().unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        assert!(Files::new(folder.path().to_owned()).open(0o600).is_err());
        let fifo = Files::new("/dev/null".into()).open(0o600).unwrap_err();
        assert!(fifo.to_string().contains("not a file"), "{fifo}");
    }
}
