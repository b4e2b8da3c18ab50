//! How one task of the thread tells another that there is something to do, without a channel: a flag and a waker.
//! Not what there is to do; whoever is nudged looks for itself.

use std::cell::{Cell, RefCell};
use std::task::{Context, Waker};

/// One task's bell. Ringing it twice before the task has looked is ringing it once.
#[derive(Debug, Default)]
pub struct Nudge {
    due: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Nudge {
    /// There is something to do.
    pub fn ring(&self) {
        self.due.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Whether it was rung since this was last asked.
    pub fn take(&self) -> bool {
        self.due.take()
    }

    /// The task is awake and will look by itself: ringing needs no waker until [`Nudge::poll`].
    pub(crate) fn awake(&self) {
        self.waker.borrow_mut().take();
    }

    /// Whether it was rung since this was last asked; if not, the task is woken when it is.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> bool {
        if self.due.take() {
            return true;
        }
        *self.waker.borrow_mut() = Some(cx.waker().clone());
        false
    }
}
