//! How one task of the thread tells another that there is something to do, without a channel: a flag, and whom to tell.
//! Not what there is to do; whoever is nudged looks for itself.

use std::cell::Cell;
use std::fmt;
use std::task::{Context, Waker};

use crate::crew;

/// One task's bell. Ringing it twice before the task has looked is ringing it once.
#[derive(Default)]
pub struct Nudge {
    due: Cell<bool>,
    /// Whoever it is sleeps, and must be told.
    asleep: Cell<bool>,
    /// Who it was when they last slept, if it is a member of the crew.
    member: Cell<Option<crew::Id>>,
    /// Of the task when it last slept, if it is none, which is rare. Kept while it is awake, because it is almost always the
    /// same.
    waker: Cell<Option<Box<Waker>>>,
}

impl Nudge {
    /// There is something to do.
    pub fn ring(&self) {
        self.due.set(true);
        if !self.asleep.take() {
            return;
        }
        if let Some(id) = self.member.get() {
            crew::ring(id);
        } else if let Some(waker) = self.waker.take() {
            waker.wake_by_ref();
            self.waker.set(Some(waker));
        }
    }

    /// Whether it was rung since this was last asked.
    pub fn take(&self) -> bool {
        self.due.take()
    }

    /// The task is awake and will look by itself: ringing tells nobody until [`Nudge::poll`].
    pub(crate) fn awake(&self) {
        self.asleep.set(false);
    }

    /// Whether it was rung since this was last asked; if not, the task is told when it is.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> bool {
        if self.due.take() {
            return true;
        }
        self.asleep.set(true);
        let member = crew::at_work();
        self.member.set(member);
        if member.is_none() {
            let known = self.waker.take();
            let known = known.filter(|waker| waker.will_wake(cx.waker()));
            self.waker
                .set(Some(known.unwrap_or_else(|| Box::new(cx.waker().clone()))));
        }
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
