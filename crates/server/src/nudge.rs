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
    /// Who it was when they last slept. Kept while they are awake, because it is almost always the same.
    who: Cell<Who>,
}

#[derive(Default)]
enum Who {
    #[default]
    Nobody,
    Member(crew::Id),
    /// Who is no member of the crew.
    Task(Waker),
}

impl Nudge {
    /// There is something to do.
    pub fn ring(&self) {
        self.due.set(true);
        if !self.asleep.take() {
            return;
        }
        let who = self.who.take();
        match &who {
            Who::Nobody => {}
            Who::Member(id) => crew::ring(*id),
            Who::Task(waker) => waker.wake_by_ref(),
        }
        self.who.set(who);
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
        self.who.set(match (crew::at_work(), self.who.take()) {
            (Some(id), _) => Who::Member(id),
            (None, Who::Task(waker)) if waker.will_wake(cx.waker()) => Who::Task(waker),
            (None, _) => Who::Task(cx.waker().clone()),
        });
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
