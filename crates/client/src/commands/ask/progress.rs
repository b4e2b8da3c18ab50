//! How far `uart ask` has come, on stderr: only where a person looks, only when it takes long, and out of the way of what
//! else is written.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// What is over sooner needs no progress shown; after it, what is shown is brought up to date as often.
const PATIENCE: Duration = Duration::from_secs(1);

/// A line of progress.
#[derive(Debug)]
pub(super) struct Progress {
    /// `None`: nobody looks.
    ticks: Option<Interval>,
    text: String,
    shown: bool,
}

impl Progress {
    pub(super) fn new() -> Progress {
        let ticks = io::stderr().is_terminal().then(|| {
            let mut ticks = interval_at(Instant::now() + PATIENCE, PATIENCE);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        Progress {
            ticks,
            text: String::new(),
            shown: false,
        }
    }

    /// What to show from the next tick on; nothing in it may move the cursor.
    pub(super) fn set(&mut self, text: impl FnOnce() -> String) {
        if self.ticks.is_some() {
            self.text = text();
        }
    }

    /// Something else is about to be written.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }

    /// Waits for something, and shows meanwhile how far it has come.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            let ticks = &mut self.ticks;
            let tick = async {
                match ticks {
                    Some(ticks) => ticks.tick().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                done = &mut work => return done,
                _ = tick => {
                    let _ = write!(io::stderr(), "\r\x1b[K[uart] {}", self.text);
                    self.shown = true;
                }
            }
        }
    }
}
