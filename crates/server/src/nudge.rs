//! How one task of the thread tells another that there is something to do, without a channel: a flag and a waker.
//! Not what there is to do; whoever is nudged looks for itself.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::task::{Context, Waker};

use crate::in_place::{self, WeakPlace};

/// One task's bell. Ringing it twice before the task has looked is ringing it once.
#[derive(Default)]
pub struct Nudge {
    due: Cell<bool>,
    /// The task sleeps, and must be woken.
    asleep: Cell<bool>,
    /// Of the task when it last slept. Kept while it is awake, because it is almost always the same.
    waker: Cell<Option<Waker>>,
    /// Where that task can be found, if its work may be done in another one's turn.
    place: RefCell<Option<WeakPlace>>,
}

impl Nudge {
    /// There is something to do.
    pub fn ring(&self) {
        self.due.set(true);
        if !self.asleep.take() {
            return;
        }
        let place = self.place.borrow();
        if place.as_ref().is_some_and(in_place::note) {
            return;
        }
        if let Some(waker) = self.waker.take() {
            waker.wake_by_ref();
            self.waker.set(Some(waker));
        }
    }

    /// Whether it was rung since this was last asked.
    pub fn take(&self) -> bool {
        self.due.take()
    }

    /// The task is awake and will look by itself: ringing needs no waker until [`Nudge::poll`].
    pub(crate) fn awake(&self) {
        self.asleep.set(false);
    }

    /// Whether it was rung since this was last asked; if not, the task is woken when it is.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> bool {
        if self.due.take() {
            return true;
        }
        self.asleep.set(true);
        let known = self.waker.take();
        let known = known.filter(|waker| waker.will_wake(cx.waker()));
        let waker = known.unwrap_or_else(|| {
            self.place.replace(in_place::at_work());
            cx.waker().clone()
        });
        self.waker.set(Some(waker));
        false
    }
}

impl fmt::Debug for Nudge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nudge")
            .field("due", &self.due)
            .finish_non_exhaustive()
    }
}
