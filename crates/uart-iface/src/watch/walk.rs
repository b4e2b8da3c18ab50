//! The way from the root to a path, through its symbolic links, and what of it must be watched so that nothing which leads
//! elsewhere goes unseen. Not who is told.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

use rustix::fs::inotify::WatchFlags;
use rustix::io::Errno;

use super::instance::{Of, Placing};
use super::{Target, WatchError, What, refused};

/// As many symbolic links as the kernel follows.
const MOST_LINKS: usize = 40;

/// Watches the way to `target` as far as it is there. What is on it is watched first and looked at then, so that it cannot
/// change unseen in between.
pub(super) fn place(target: &Target, placing: &mut Placing<'_>) -> Result<(), WatchError> {
    // Without a current directory, the path is taken as from the root.
    let path = std::path::absolute(&target.path).unwrap_or_else(|_| target.path.clone());
    let mut left = names(&path);
    let mut here = PathBuf::from("/");
    let mut links = 0;
    while let Some(name) = left.pop_front() {
        if name == ".." {
            here.pop(); // which is right since no link is left in it
            continue;
        }
        let there = here.join(&name);
        let is_directory = |found: &fs::Metadata| found.is_dir();
        let leads_on = !left.is_empty() || target.what == What::Entries;
        if leads_on
            && fs::symlink_metadata(&there)
                .as_ref()
                .is_ok_and(is_directory)
        {
            // Of a directory on the way, only that it stays is of interest. One that may not be read leads on all the same.
            match placing.want(&there, Of::Itself, WatchFlags::empty()) {
                Ok(()) | Err(Errno::ACCESS) => {
                    here = there;
                    continue;
                }
                Err(Errno::NOSPC) => return Err(refused(&there, Errno::NOSPC)),
                Err(_) => {} // it is gone again
            }
        }
        match placing.want(&here, Of::Name(name), target.events()) {
            Ok(()) => {}
            // It was there a moment ago.
            Err(Errno::NOENT | Errno::NOTDIR) => {
                placing.changed();
                return Ok(());
            }
            Err(errno) => return Err(refused(&here, errno)),
        }
        let Ok(found) = fs::symlink_metadata(&there) else {
            return Ok(());
        };
        if found.is_symlink() && links < MOST_LINKS {
            links += 1;
            let Ok(leads_to) = fs::read_link(&there) else {
                placing.changed();
                return Ok(());
            };
            if leads_to.is_absolute() {
                here = PathBuf::from("/");
            }
            for name in names(&leads_to).into_iter().rev() {
                left.push_front(name);
            }
        } else if found.is_dir() && leads_on {
            here = there;
        } else {
            return end(&there, target, placing);
        }
    }
    if target.what == What::Entries {
        return match placing.want(&here, Of::Entries, target.events()) {
            Ok(()) => Ok(()),
            Err(Errno::NOENT | Errno::NOTDIR) => {
                placing.changed();
                Ok(())
            }
            Err(errno) => Err(refused(&here, errno)),
        };
    }
    Ok(())
}

/// What is there is also watched by itself: mounted alone from elsewhere, as containers have devices and secrets, it
/// changes without an event in the directory it is seen in.
fn end(there: &Path, target: &Target, placing: &mut Placing<'_>) -> Result<(), WatchError> {
    let alone = WatchFlags::ATTRIB | WatchFlags::CLOSE_WRITE;
    match placing.want(there, Of::Itself, target.events() & alone) {
        Err(Errno::NOSPC) => Err(refused(there, Errno::NOSPC)),
        // What may not be read cannot be watched; the directory tells when that changes.
        _ => Ok(()),
    }
}

fn names(path: &Path) -> VecDeque<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    });
    names.collect()
}
