//! What a process, a terminal or a board has said so far, collected by a thread so that nobody who writes is held up.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::DEADLINE;

/// Bytes read from somewhere, all of them from the beginning, and whether the end was reached.
#[derive(Debug, Clone)]
pub struct Collected {
    shared: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    ended: bool,
}

impl Collected {
    /// Begins to collect what `reader` gives, until its end or its first error.
    pub fn of(mut reader: impl Read + Send + 'static) -> Collected {
        let collected = Collected {
            shared: Arc::default(),
        };
        let shared = Arc::clone(&collected.shared);
        thread::spawn(move || {
            let mut buffer = [0; 16 * 1024];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                lock(&shared.0).bytes.extend_from_slice(&buffer[..count]);
                shared.1.notify_all();
            }
            lock(&shared.0).ended = true;
            shared.1.notify_all();
        });
        collected
    }

    /// Nothing, and already at its end.
    pub fn nothing() -> Collected {
        Collected {
            shared: Arc::new((
                Mutex::new(State {
                    bytes: Vec::new(),
                    ended: true,
                }),
                Condvar::new(),
            )),
        }
    }

    /// What has arrived so far.
    pub fn bytes(&self) -> Vec<u8> {
        lock(&self.shared.0).bytes.clone()
    }

    /// What has arrived so far, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&lock(&self.shared.0).bytes).into_owned()
    }

    /// Waits until what has arrived is accepted, and returns it.
    ///
    /// # Errors
    /// It ended, or [`DEADLINE`] passed, without `what`; the error shows what had arrived.
    pub fn wait(&self, what: &str, accept: impl Fn(&str) -> bool) -> Result<String> {
        let deadline = Instant::now() + DEADLINE;
        let mut state = lock(&self.shared.0);
        loop {
            let text = String::from_utf8_lossy(&state.bytes).into_owned();
            if accept(&text) {
                return Ok(text);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.ended {
                bail!("ended without {what}; there was:\n{text}");
            }
            if left.is_zero() {
                bail!("no {what} within {DEADLINE:?}; there was:\n{text}");
            }
            state = self
                .shared
                .1
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits until this text has arrived anywhere, and returns everything that has.
    ///
    /// # Errors
    /// As [`Collected::wait`].
    pub fn wait_for(&self, text: &str) -> Result<String> {
        self.wait(&format!("{text:?}"), |arrived| arrived.contains(text))
    }

    /// Waits for the end, and returns everything.
    ///
    /// # Errors
    /// It did not end within [`DEADLINE`].
    pub fn wait_end(&self) -> Result<Vec<u8>> {
        let deadline = Instant::now() + DEADLINE;
        let mut state = lock(&self.shared.0);
        while !state.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!(
                    "no end within {DEADLINE:?}; there was:\n{}",
                    String::from_utf8_lossy(&state.bytes)
                );
            }
            state = self
                .shared
                .1
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        Ok(state.bytes.clone())
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
