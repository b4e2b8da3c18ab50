//! A board with a serial port of its own, as far as a pseudo-terminal can be one: we are the board, `uartd` opens the
//! terminal. What goes wrong here is a panic: that is how a test fails.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::read_exactly;
use crate::terminal::open_master;

/// A board. Dropping it hangs its serial port up.
#[derive(Debug)]
pub struct Board {
    /// The board's end.
    pub end: File,
    /// The serial port: a path for a device spec.
    pub terminal: PathBuf,
}

impl Board {
    /// A board that has said nothing yet.
    ///
    /// # Panics
    /// There is no pseudo-terminal to be had.
    #[allow(clippy::new_without_default)] // it takes something from the system, which a default does not
    pub fn new() -> Board {
        let (end, terminal) = open_master().expect("a pseudo-terminal");
        Board { end, terminal }
    }

    /// Puts it in, as udev does: the directory, then the link.
    ///
    /// # Panics
    /// There is something at `link`.
    pub fn plug_in(&self, link: &Path) {
        fs::create_dir_all(link.parent().expect("it is in a folder")).expect("a folder");
        symlink(&self.terminal, link).expect("a link");
    }

    /// Pulls it out again.
    ///
    /// # Panics
    /// It was not in.
    pub fn unplug(self, link: &Path) {
        // The link goes first: the number of the pseudo-terminal may be somebody else's at once.
        fs::remove_file(link).expect("it was plugged in");
        drop(self.end);
    }

    /// Reads exactly this text.
    ///
    /// # Panics
    /// Something else comes, or nothing.
    pub fn hears(&mut self, text: &str) {
        let heard = read_exactly(&mut self.end, text.len());
        assert_eq!(
            heard.escape_ascii().to_string(),
            text.escape_default().to_string()
        );
    }

    /// Sends this text.
    ///
    /// # Panics
    /// The terminal takes nothing.
    pub fn says(&mut self, text: &str) {
        self.end.write_all(text.as_bytes()).expect("it is taken");
    }
}
