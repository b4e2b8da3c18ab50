//! The link to a pseudo-terminal, by which programs find it under a name that stays. Not the pseudo-terminal.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::holders::maker_of;

/// The link to a pseudo-terminal, removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Link {
    path: PathBuf,
    target: PathBuf,
}

/// Why a link was not made.
#[derive(Debug, thiserror::Error)]
#[cfg_attr(not(feature = "virtual"), allow(unreachable_pub))] // the virtual device's interface has it
pub enum LinkError {
    /// The link is there, and its pseudo-terminal is in use.
    #[error("cannot make the link {}: it leads to a terminal of process {pid}", path.display())]
    Busy {
        /// Where the link should be.
        path: PathBuf,
        /// Who made the terminal it leads to.
        pid: u32,
    },
    /// There is something that no crash of ours left behind.
    #[error(
        "cannot make the link {}: something else is there; choose another path, or remove it",
        path.display()
    )]
    Occupied {
        /// Where the link should be.
        path: PathBuf,
    },
    /// The operating system said no.
    #[error("cannot make the link {}: {source}", path.display())]
    Io {
        /// Where the link should be.
        path: PathBuf,
        /// Its error.
        source: io::Error,
    },
}

impl Link {
    /// Makes the link. One that a crash left behind is replaced; anything else that stands there is not touched.
    pub(crate) fn place(path: &Path, target: &Path) -> Result<Link, LinkError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AlreadyExists => LinkError::Occupied { path: path.into() },
            _ => LinkError::Io {
                path: path.into(),
                source,
            },
        };
        match fs::read_link(path) {
            // Left behind by a crash, and the system has given the same number again.
            Ok(old) if old == target => {
                return Ok(Link {
                    path: path.into(),
                    target: target.into(),
                });
            }
            Ok(old) if old.starts_with("/dev/pts") => {
                if let Some(pid) = maker_of(&old) {
                    return Err(LinkError::Busy {
                        path: path.into(),
                        pid,
                    });
                }
                fs::remove_file(path).map_err(failed)?;
            }
            Ok(_) => return Err(LinkError::Occupied { path: path.into() }),
            // Nothing is there, or no link; in either case making one says the rest.
            Err(_) => {}
        }
        std::os::unix::fs::symlink(target, path).map_err(failed)?;
        Ok(Link {
            path: path.into(),
            target: target.into(),
        })
    }

    /// Whether the link is there and leads where it should.
    pub(crate) fn is_in_place(&self) -> bool {
        fs::read_link(&self.path).is_ok_and(|target| target == self.target)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if self.is_in_place() {
            // Left behind, it is replaced by the next one that is made there.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::pair::Pair;

    #[test]
    fn a_link_left_behind_that_leads_to_our_terminal_by_chance_is_ours() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("board0");
        let pair = Pair::make().unwrap();
        std::os::unix::fs::symlink(&pair.path, &path).unwrap();
        let link = Link::place(&path, &pair.path).unwrap();
        assert!(link.is_in_place());
        drop(link);
        assert!(fs::symlink_metadata(&path).is_err());
    }
}
