//! Tasks that work in each other's place. What a UART has delivered makes work for connections, and what a connection has
//! received makes work for a port; who is rung for it is polled within the turn of the task that rang, and not when the
//! scheduler comes round to it. So a byte that was read is written before the next descriptor is read. Not what the work is.
//!
//! A turn stays short: it polls [`AT_ONCE`] others at most, none of them within another one's, and wakes the rest. A
//! panic in one of them is that one's end, and not the end of whoever rang.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use tokio::task::unconstrained;

/// How many others are polled in one turn.
const AT_ONCE: usize = 256;

thread_local! {
    static TURN: Turn = const {
        Turn {
            left: Cell::new(None),
            rung: ManuallyDrop::new(RefCell::new(VecDeque::new())),
            busy: Cell::new(false),
            at_work: ManuallyDrop::new(RefCell::new(None)),
        }
    };
}

/// What is known of the turn that is under way on this thread. It is empty when that has ended, and is never dropped: to look
/// whether it was would cost more than all else here.
struct Turn {
    /// How many others it may still poll; `None`: there is no turn.
    left: Cell<Option<usize>>,
    rung: ManuallyDrop<RefCell<VecDeque<WeakPlace>>>,
    /// Another one is being polled.
    busy: Cell<bool>,
    /// Whose work is being polled.
    at_work: ManuallyDrop<RefCell<Option<Rc<dyn Place>>>>,
}

/// Where a task's work is found.
trait Place {
    /// Polls it, unless that is under way.
    fn poll_in_place(self: Rc<Self>);

    /// Lets its own task poll it.
    fn wake(&self);
}

/// Where a task's work is found, if it is not over.
#[derive(Clone)]
pub(crate) struct WeakPlace(Weak<dyn Place>);

/// The work of a task, which is polled in its place when one of its nudges is rung.
pub(crate) struct InPlace<F>(Rc<Work<F>>);

struct Work<F> {
    /// `None`: it is over.
    future: RefCell<Option<F>>,
    /// Of its own task.
    waker: Cell<Option<Waker>>,
}

impl<F: Future<Output = ()> + Unpin> InPlace<F> {
    /// A task for this work.
    pub(crate) fn new(work: F) -> InPlace<F> {
        InPlace(Rc::new(Work {
            future: RefCell::new(Some(work)),
            waker: Cell::new(None),
        }))
    }
}

impl<F: Future<Output = ()> + Unpin + 'static> Future for InPlace<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let _end = begin();
        let work = &self.0;
        let known = work.waker.take();
        let known = known.filter(|waker| waker.will_wake(cx.waker()));
        work.waker
            .set(Some(known.unwrap_or_else(|| cx.waker().clone())));
        let polled = work.poll(cx);
        while catch_up() {}
        polled
    }
}

impl<F: Future<Output = ()> + Unpin + 'static> Work<F> {
    fn poll(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Ok(mut future) = self.future.try_borrow_mut() else {
            // It is being polled, and may be past what it was rung for.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        };
        let before = TURN.with(|turn| turn.at_work.replace(Some(self.clone())));
        let polling = Polling {
            future: &mut *future,
            before,
        };
        let Some(work) = polling.future else {
            return Poll::Ready(());
        };
        let polled = Pin::new(work).poll(cx);
        if polled.is_ready() {
            *polling.future = None;
        }
        polled
    }
}

impl<F: Future<Output = ()> + Unpin + 'static> Place for Work<F> {
    fn poll_in_place(self: Rc<Self>) {
        let Some(waker) = self.waker.take() else {
            return;
        };
        let mut cx = Context::from_waker(&waker);
        // Tokio's budget is the host's; every guest has bounds of its own.
        let mut polling = unconstrained(poll_fn(|cx| self.poll(cx)));
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut polling).poll(&mut cx)));
        if !matches!(polled, Ok(Poll::Pending)) {
            // Its task ends.
            waker.wake_by_ref();
        }
        self.waker.set(Some(waker));
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake_by_ref();
            self.waker.set(Some(waker));
        }
    }
}

/// While a work is being polled.
struct Polling<'a, F> {
    future: &'a mut Option<F>,
    /// Whose work was being polled before.
    before: Option<Rc<dyn Place>>,
}

impl<F> Drop for Polling<'_, F> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // It can tell so while that lasts.
            *self.future = None;
        }
        let before = self.before.take();
        TURN.with(|turn| turn.at_work.replace(before));
    }
}

/// Where the work that is being polled is found; `None`: it has no place.
pub(crate) fn at_work() -> Option<WeakPlace> {
    TURN.with(|turn| {
        let place = turn.at_work.borrow();
        place.as_ref().map(|place| WeakPlace(Rc::downgrade(place)))
    })
}

/// Whether somebody who is rung now is polled in the turn that is under way. If not, they must be woken.
pub(crate) fn note(place: &WeakPlace) -> bool {
    TURN.with(|turn| {
        let has_begun = turn.left.get().is_some();
        if has_begun {
            turn.rung.borrow_mut().push_back(place.clone());
        }
        has_begun
    })
}

/// Whether what is being polled is so within the turn of somebody else.
pub(crate) fn is_guest() -> bool {
    TURN.with(|turn| turn.busy.get())
}

/// Polls those who were rung in this turn until now, unless it is one of them who asks. Says whether there were any.
/// Nothing may be borrowed that they need.
pub(crate) fn catch_up() -> bool {
    TURN.with(|turn| {
        let count = turn.rung.borrow().len();
        let left = turn.left.get().unwrap_or(0);
        let count = count.min(left);
        if count == 0 || turn.busy.replace(true) {
            return false;
        }
        turn.left.set(Some(left - count));
        for _ in 0..count {
            let next = turn.rung.borrow_mut().pop_front();
            if let Some(place) = next.and_then(|next| next.0.upgrade()) {
                place.poll_in_place();
            }
        }
        turn.busy.set(false);
        true
    })
}

fn begin() -> End {
    TURN.with(|turn| turn.left.set(Some(AT_ONCE)));
    End
}

/// The end of a turn, also if it panics: those who were not polled are woken.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        TURN.with(|turn| {
            turn.left.set(None);
            turn.busy.set(false);
            if turn.rung.borrow().is_empty() {
                return;
            }
            let rest = turn.rung.take();
            let rest = rest.iter().filter_map(|place| place.0.upgrade());
            rest.for_each(|place| place.wake());
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::{LocalSet, spawn_local, yield_now};

    use super::*;
    use crate::nudge::Nudge;

    /// Somebody with a nudge, who does something each time it is rung, and a log of what was done.
    struct Somebody {
        nudge: Nudge,
        work: Box<dyn Fn()>,
    }

    type Log = Rc<RefCell<Vec<String>>>;

    fn somebody(work: impl Fn() + 'static) -> Rc<Somebody> {
        Rc::new(Somebody {
            nudge: Nudge::default(),
            work: Box::new(work),
        })
    }

    impl Somebody {
        /// Their task.
        fn at_home(self: Rc<Self>) -> InPlace<impl Future<Output = ()> + Unpin> {
            InPlace::new(poll_fn(move |cx| {
                self.nudge.awake();
                loop {
                    if self.nudge.take() {
                        (self.work)();
                    } else if !self.nudge.poll(cx) {
                        return Poll::Pending;
                    }
                }
            }))
        }
    }

    fn note(log: &Log, what: &str) -> impl Fn() + 'static {
        let (log, what) = (log.clone(), what.to_owned());
        move || log.borrow_mut().push(what.clone())
    }

    fn run(work: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        LocalSet::new().block_on(&runtime, work);
    }

    #[test]
    fn who_is_rung_is_polled_in_the_turn_of_who_rang_and_not_inside_another() {
        run(async {
            let log = Log::default();
            let last = somebody(note(&log, "last"));
            let (noted, rung) = (log.clone(), last.clone());
            let next = somebody(move || {
                rung.nudge.ring();
                noted.borrow_mut().push("next".to_owned());
            });
            let (noted, rung) = (log.clone(), next.clone());
            let first = somebody(move || {
                rung.nudge.ring();
                assert!(catch_up(), "somebody was rung");
                noted.borrow_mut().push("first".to_owned());
            });
            for each in [&first, &next, &last] {
                spawn_local(each.clone().at_home());
            }
            let between = log.clone();
            spawn_local(async move {
                yield_now().await;
                yield_now().await;
                between.borrow_mut().push("the scheduler's next".to_owned());
            });
            yield_now().await;
            first.nudge.ring();
            while log.borrow().len() < 4 {
                yield_now().await;
            }
            let order = ["next", "first", "last", "the scheduler's next"];
            assert_eq!(*log.borrow(), order);
        });
    }

    #[test]
    fn a_turn_is_bounded_and_nobody_is_forgotten() {
        run(async {
            let log = Log::default();
            let many: Vec<_> = (0..3 * AT_ONCE).map(|_| somebody(note(&log, ""))).collect();
            let (all, noted) = (many.clone(), log.clone());
            let first = somebody(move || {
                all.iter().for_each(|one| one.nudge.ring());
                while catch_up() {}
                assert_eq!(noted.borrow().len(), AT_ONCE);
            });
            for each in many.iter().chain([&first]) {
                spawn_local(each.clone().at_home());
            }
            yield_now().await;
            first.nudge.ring();
            while log.borrow().len() < many.len() {
                yield_now().await;
            }
        });
    }

    #[test]
    fn a_panic_ends_who_panics_and_not_who_rang() {
        /// Says how it ended.
        struct Witness(Rc<Cell<Option<bool>>>);

        impl Drop for Witness {
            fn drop(&mut self) {
                self.0.set(Some(std::thread::panicking()));
            }
        }

        run(async {
            let log = Log::default();
            let panicked = Rc::<Cell<Option<bool>>>::default();
            let witness = Witness(panicked.clone());
            let bad = somebody(move || panic!("{:?}", witness.0.get()));
            let (noted, rung) = (log.clone(), Rc::downgrade(&bad));
            let first = somebody(move || {
                if let Some(bad) = rung.upgrade() {
                    bad.nudge.ring();
                }
                catch_up();
                noted.borrow_mut().push("went on".to_owned());
            });
            let first_task = spawn_local(first.clone().at_home());
            let bad_task = spawn_local(bad.at_home());
            yield_now().await;
            first.nudge.ring();
            bad_task.await.unwrap();
            assert_eq!(panicked.get(), Some(true), "it was dropped by its panic");
            first.nudge.ring();
            while log.borrow().len() < 2 {
                yield_now().await;
            }
            assert!(!first_task.is_finished());
        });
    }
}
