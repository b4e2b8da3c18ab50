//! A terminal in raw mode, and its return: by the guard, on a panic, and once only. Not what is typed or shown.

use std::io;
use std::sync::{Mutex, Once, PoisonError};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// The modes to go back to, while the terminal is raw. Static, because a panic hook has nothing else to look at.
static SAVED: Mutex<Option<Termios>> = Mutex::new(None);

static HOOK: Once = Once::new();

/// The terminal of stdin, raw as long as this lives.
#[derive(Debug)]
pub(crate) struct RawTerminal(());

impl RawTerminal {
    /// Makes the terminal of stdin raw.
    ///
    /// # Errors
    /// What the operating system says; the terminal then is as it was.
    pub(crate) fn enter() -> io::Result<RawTerminal> {
        HOOK.call_once(|| {
            let report = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore();
                report(panic);
            }));
        });
        let saved = tcgetattr(io::stdin())?;
        *saved_modes() = Some(saved.clone());
        let guard = RawTerminal(());
        set_raw(&saved)?;
        Ok(guard)
    }

    /// Makes it raw again after something else used it: a shell gives a stopped process a terminal of the shell's own modes.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn enter_again(&self) -> io::Result<()> {
        match &*saved_modes() {
            Some(saved) => set_raw(saved),
            None => Ok(()),
        }
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        restore();
    }
}

fn set_raw(modes: &Termios) -> io::Result<()> {
    let mut raw = modes.clone();
    raw.make_raw();
    Ok(tcsetattr(io::stdin(), OptionalActions::Now, &raw)?)
}

fn restore() {
    if let Some(modes) = saved_modes().take() {
        // A terminal that is gone needs nothing back.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &modes);
    }
}

fn saved_modes() -> std::sync::MutexGuard<'static, Option<Termios>> {
    SAVED.lock().unwrap_or_else(PoisonError::into_inner)
}
