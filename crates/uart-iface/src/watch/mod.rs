//! Being told that what is at a path, or in a directory, may have changed, by inotify. Not what it is then: whoever is
//! told looks for itself.
//!
//! inotify has its limits, which are per user and often small in containers, and says nothing of what the kernel does
//! below /proc and /sys, of changes on the far side of a network file system, and of what is mounted over a path. So who
//! must not miss a change also looks from time to time.

mod instance;
mod walk;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rustix::fs::inotify::WatchFlags;
use rustix::io::Errno;

use instance::{Instance, WatchId};

/// What is watched. Paths lead through symbolic links; each link on the way is watched too. Nothing of it need be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    path: PathBuf,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Presence,
    Content,
    Entries,
}

impl Target {
    /// Whether something is at `path`, what it is, and who may use it: it appears, vanishes, is replaced, or its owner or
    /// permissions change. Not what is written to it, which for a device happens all the time.
    pub fn presence(path: impl Into<PathBuf>) -> Target {
        Target::new(path, What::Presence)
    }

    /// As [`Target::presence`], and that a program which had the file open for writing has closed it.
    pub fn content(path: impl Into<PathBuf>) -> Target {
        Target::new(path, What::Content)
    }

    /// What is in the directory `path`: anything there appears, vanishes, is replaced, or changes its owner or permissions.
    pub fn entries(path: impl Into<PathBuf>) -> Target {
        Target::new(path, What::Entries)
    }

    fn new(path: impl Into<PathBuf>, what: What) -> Target {
        let path = path.into();
        Target { path, what }
    }

    /// The events in the directory that holds it (or that it is) which concern it.
    fn events(&self) -> WatchFlags {
        let presence = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::ATTRIB;
        match self.what {
            What::Presence | What::Entries => presence,
            What::Content => presence | WatchFlags::CLOSE_WRITE,
        }
    }
}

/// Why something cannot be watched. It may be possible later; until then, look from time to time.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// A limit of inotify, or of open files, is reached.
    #[error("cannot watch for changes: {limit} is reached: {source}")]
    Exhausted {
        /// Which limit: where the system has it.
        limit: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// A directory cannot be watched, mostly because it may not be read.
    #[error("cannot watch {} for changes: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Anything else the operating system said.
    #[error("cannot watch for changes: {doing}: {source}")]
    Io {
        /// The call that failed.
        doing: &'static str,
        /// Its error.
        source: io::Error,
    },
}

/// Tells when one of its targets may have changed. Changes that nobody has asked about yet are told as one.
///
/// All that are made on one thread share one inotify instance, of which a user has few.
pub struct Watch {
    targets: Vec<Target>,
    instance: Rc<Instance>,
    id: WatchId,
}

impl Watch {
    /// Begins to watch: every change after this is told. So make it first, and then look at what is there.
    /// Must be called where descriptors can be
    /// [watched](uartnet_reactor::Watched::new), and be used on that thread.
    ///
    /// # Errors
    /// [`WatchError`].
    pub fn new(targets: impl IntoIterator<Item = Target>) -> Result<Watch, WatchError> {
        let instance = Instance::of_this_thread()?;
        let watch = Watch {
            targets: targets.into_iter().collect(),
            id: instance.new_watch(),
            instance,
        };
        watch.place()?;
        Ok(watch)
    }

    /// Whether something has changed since this, [`Watch::poll_changed`] or [`Watch::changed`] last said so. Everything
    /// that happened before the call is known to it.
    ///
    /// # Errors
    /// A directory on the way to a target cannot be watched any more. What else there is to tell is still told; make
    /// another `Watch` to try again.
    pub fn has_changed(&mut self) -> Result<bool, WatchError> {
        self.instance.read()?;
        let changed = self.instance.take_changed(self.id);
        if changed {
            // Links may lead elsewhere, directories may have come and gone.
            self.place()?;
        }
        Ok(changed)
    }

    /// Ready when [`Watch::has_changed`] is true, or fails.
    ///
    /// # Errors
    /// As [`Watch::has_changed`].
    pub fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WatchError>> {
        loop {
            match self.has_changed() {
                Ok(false) => {}
                Ok(true) => return Poll::Ready(Ok(())),
                Err(error) => return Poll::Ready(Err(error)),
            }
            ready!(self.instance.poll_arrived(cx))?;
        }
    }

    /// Waits until something has changed.
    ///
    /// # Errors
    /// As [`Watch::has_changed`].
    pub async fn changed(&mut self) -> Result<(), WatchError> {
        poll_fn(|cx| self.poll_changed(cx)).await
    }

    /// Watches the way to each target as it is now, and nothing else.
    fn place(&self) -> Result<(), WatchError> {
        let mut placing = self.instance.placing(self.id);
        let placed = self
            .targets
            .iter()
            .try_for_each(|target| walk::place(target, &mut placing));
        placing.finish();
        placed
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.instance.placing(self.id).finish();
        self.instance.forget(self.id);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("targets", &self.targets)
            .finish_non_exhaustive()
    }
}

/// What a failed call on `directory` means.
fn refused(directory: &Path, errno: Errno) -> WatchError {
    let source = io::Error::from(errno);
    match errno {
        Errno::NOSPC => WatchError::Exhausted {
            limit: "/proc/sys/fs/inotify/max_user_watches",
            source,
        },
        _ => WatchError::Directory {
            path: directory.to_owned(),
            source,
        },
    }
}

#[cfg(test)]
mod tests;
