//! The work of all ports, connections and listeners of a thread, in turns: what a UART has delivered makes work for
//! connections, and what a connection has received makes work for a port. Who is rung for it has their turn after a few of
//! those for whom the operating system has something, and before all others of them. So what was read is written before
//! much else is read, and a few read, and then a few write. Not what the work is.
//!
//! Turns are given by the loop of the [runtime](crate::runtime) in which the thread sleeps, or, where there is none, as in
//! tests, by a task of tokio's.
//!
//! A member weighs less than a task of its own would, and its turn begins with fewer instructions. Members share the task
//! fairly: none of them is polled within another one's turn, each bounds what it does in one, and after [`A_TURN`] of them, and
//! before the next one of whoever has more to do, everybody else is looked after. A panic in one of them is that
//! one's end.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, replace};
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use tokio::task::{spawn_local, unconstrained, yield_now};

use crate::clock;

/// How many turns there are in one of the runtime's.
const A_TURN: usize = 256;
/// So many of those whom the runtime has woken have their turns in a row, and then those whom they have rung. Who does as the
/// one before finds the code of it in the processor's cache, ours and the kernel's. With more of them the first one's bytes
/// wait longer, and nothing is gained (docs/performance.md).
const WOKEN_IN_A_ROW: usize = 16;
/// So many of those who were rung have their turns in a row, so that whoever is woken does not wait longer than that while
/// others keep ringing each other.
const RUNG_IN_A_ROW: usize = 64;

thread_local! {
    static CREW: ManuallyDrop<Crew> = const { ManuallyDrop::new(Crew::new()) };
}

/// The members of this thread. It is never dropped: to look whether it was would cost more than all else here. Its members
/// are dropped with the task that polls them.
struct Crew {
    members: RefCell<Vec<Slot>>,
    /// The first free slot.
    free: Cell<Option<u32>>,
    /// Those who were rung, in their order.
    rung: RefCell<VecDeque<Id>>,
    /// Those whom the runtime has woken, in their order.
    woken: RefCell<VecDeque<Id>>,
    /// Those who have more to do than was for one turn.
    again: RefCell<Vec<Id>>,
    /// Whose turn it is.
    at_work: Cell<Option<Id>>,
    /// They were only rung, and the runtime has nothing for them.
    only_rung: Cell<bool>,
    /// Somebody gives turns: a task, or a loop.
    is_led: Cell<bool>,
    /// The task sleeps, and this wakes it. A loop looks before it sleeps.
    asleep: Cell<Option<Waker>>,
    elsewhere: OnceCell<Arc<Elsewhere>>,
}

/// Which of the two kinds, woken or rung, has its turns in a row now.
#[derive(Default)]
struct Order {
    is_rung: bool,
    in_a_row: usize,
}

/// A member, or one that was: a slot has another generation each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Id {
    slot: u32,
    generation: Generation,
}

/// From 1 on, so that there is room for who is nobody.
type Generation = NonZeroU32;

enum Slot {
    Free {
        generation: Generation,
        next: Option<u32>,
    },
    Taken {
        generation: Generation,
        /// It waits for a turn because the runtime has woken it.
        is_woken: Cell<bool>,
        member: Rc<dyn Member>,
    },
}

trait Member {
    /// Says whether its work is over.
    fn poll(&self) -> Poll<()>;
}

struct Work<F> {
    /// Its bell, as what the runtime takes.
    waker: Waker,
    /// `None`: it has panicked.
    future: RefCell<Option<F>>,
}

/// How the runtime tells that there is something for a member.
struct Bell {
    id: Id,
    elsewhere: Arc<Elsewhere>,
}

/// What other threads have done for this crew.
#[derive(Default)]
struct Elsewhere {
    is_any: AtomicBool,
    list: Mutex<Woken>,
}

#[derive(Default)]
struct Woken {
    members: Vec<Id>,
    /// Of the task.
    waker: Option<Waker>,
}

/// Its turns are given by whoever holds this, and not by a task. At its end all members are dropped.
pub(crate) struct Lead(PhantomData<*const ()>);

impl Lead {
    /// The crew of this thread. There must not be another one who leads it.
    pub(crate) fn new() -> Lead {
        CREW.with(|crew| {
            crew.is_led.set(true);
            crew.expect_others();
        });
        Lead(PhantomData)
    }

    /// Gives some members who wait for their turn one. Says whether nobody waits any more. `waker` is for other threads.
    pub(crate) fn turns(&self, waker: &Waker) -> bool {
        CREW.with(|crew| crew.turns(waker))
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        CREW.with(|crew| crew.disband());
    }
}

/// Makes this work a member of the crew of this thread; it has its first turn soon. Must be called where somebody
/// [leads](Lead), or within a runtime where tasks of one thread can be spawned, and there must not be two of them on a thread
/// at a time.
pub(crate) fn join(work: impl Future<Output = ()> + Unpin + 'static) -> Id {
    CREW.with(|crew| crew.join(work))
}

/// Ends a member, if it is not over: its work is dropped at once, or, in its own turn, after that.
pub(crate) fn abort(id: Id) {
    CREW.with(|crew| drop(crew.vacate(id)));
}

/// Whose turn it is. `None`: whoever asks is no member.
pub(crate) fn at_work() -> Option<Id> {
    CREW.with(|crew| crew.at_work.get())
}

/// It is this member's turn next, or soon if others were rung before.
pub(crate) fn ring(id: Id) {
    CREW.with(|crew| {
        crew.rung.borrow_mut().push_back(id);
        crew.wake_task();
    });
}

/// Whether whose turn it is was only rung, so that the runtime has nothing for them. Not so of who is no member.
pub(crate) fn was_only_rung() -> bool {
    CREW.with(|crew| crew.only_rung.get())
}

/// Whether somebody was rung and has had no turn yet. If so, whoever asks ends their turn here, and has another one
/// directly after those. Not so of who is no member.
pub(crate) fn gives_way() -> bool {
    CREW.with(|crew| {
        let mut rung = crew.rung.borrow_mut();
        match crew.at_work.get() {
            Some(id) if !rung.is_empty() => {
                rung.push_back(id);
                true
            }
            _ => false,
        }
    })
}

impl Crew {
    /// Nobody is there yet.
    const fn new() -> Crew {
        Crew {
            members: RefCell::new(Vec::new()),
            free: Cell::new(None),
            rung: RefCell::new(VecDeque::new()),
            woken: RefCell::new(VecDeque::new()),
            again: RefCell::new(Vec::new()),
            at_work: Cell::new(None),
            only_rung: Cell::new(false),
            is_led: Cell::new(false),
            asleep: Cell::new(None),
            elsewhere: OnceCell::new(),
        }
    }

    fn elsewhere(&self) -> &Arc<Elsewhere> {
        self.elsewhere.get_or_init(Arc::default)
    }

    /// Whoever gives turns begins by looking there, and leaves a waker.
    fn expect_others(&self) {
        self.elsewhere().is_any.store(true, Ordering::Release);
    }

    fn join(&self, work: impl Future<Output = ()> + Unpin + 'static) -> Id {
        if !self.is_led.replace(true) {
            self.expect_others();
            // Tokio's budget is a task's; every member has bounds of its own.
            spawn_local(unconstrained(Turns));
        }
        let id = self.next_free();
        let bell = Arc::new(Bell {
            id,
            elsewhere: self.elsewhere().clone(),
        });
        let member = Rc::new(Work {
            waker: Waker::from(bell),
            future: RefCell::new(Some(work)),
        });
        self.members.borrow_mut()[id.slot as usize] = Slot::Taken {
            generation: id.generation,
            is_woken: Cell::new(false),
            member,
        };
        self.wake(id);
        id
    }

    /// Of a slot that is free, and not any more.
    fn next_free(&self) -> Id {
        let mut members = self.members.borrow_mut();
        let slot = self.free.take().unwrap_or_else(|| {
            members.push(Slot::Free {
                generation: Generation::MIN,
                next: None,
            });
            u32::try_from(members.len() - 1).unwrap_or(u32::MAX)
        });
        let place = &members[slot as usize];
        if let Slot::Free { next, .. } = place {
            self.free.set(*next);
        }
        Id {
            slot,
            generation: place.generation(),
        }
    }

    /// What is dropped with it may ring others: nothing of the crew may be borrowed then.
    fn vacate(&self, id: Id) -> Option<Rc<dyn Member>> {
        let mut members = self.members.borrow_mut();
        let slot = members.get_mut(id.slot as usize)?;
        match slot {
            Slot::Taken { generation, .. } if *generation == id.generation => {}
            _ => return None,
        }
        let free = Slot::Free {
            generation: id.generation.checked_add(1).unwrap_or(Generation::MIN),
            next: self.free.replace(Some(id.slot)),
        };
        match replace(slot, free) {
            Slot::Taken { member, .. } => Some(member),
            Slot::Free { .. } => None,
        }
    }

    /// This member, unless it is over, and whether it was woken.
    fn with_member<R>(
        &self,
        id: Id,
        look: impl FnOnce(&Rc<dyn Member>, &Cell<bool>) -> R,
    ) -> Option<R> {
        match self.members.borrow().get(id.slot as usize)? {
            Slot::Taken {
                generation,
                is_woken,
                member,
            } if *generation == id.generation => Some(look(member, is_woken)),
            _ => None,
        }
    }

    fn wake(&self, id: Id) {
        if self.with_member(id, |_, is_woken| is_woken.replace(true)) != Some(false) {
            return;
        }
        if self.at_work.get() == Some(id) {
            self.again.borrow_mut().push(id);
        } else {
            self.woken.borrow_mut().push_back(id);
            self.wake_task();
        }
    }

    fn wake_task(&self) {
        if let Some(waker) = self.asleep.take() {
            waker.wake();
        }
    }

    /// Gives this member its turn, if it is not over.
    fn turn(&self, id: Id, only_rung: bool) {
        let member = self.with_member(id, |member, is_woken| {
            if !only_rung {
                is_woken.set(false);
            }
            member.clone()
        });
        let Some(member) = member else {
            return;
        };
        self.at_work.set(Some(id));
        self.only_rung.set(only_rung);
        let polled = catch_unwind(AssertUnwindSafe(|| member.poll()));
        if !matches!(polled, Ok(Poll::Pending)) {
            self.vacate(id);
        }
    }

    /// Whose turn is next, and whether they were only rung.
    fn next(&self, prefers_rung: bool) -> Option<(Id, bool)> {
        let rung = || Some((self.rung.borrow_mut().pop_front()?, true));
        let woken = || Some((self.woken.borrow_mut().pop_front()?, false));
        if prefers_rung {
            rung().or_else(woken)
        } else {
            woken().or_else(rung)
        }
    }

    /// As many turns as there are at a time. Says whether nobody waits any more.
    fn turns(&self, waker: &Waker) -> bool {
        self.begin(waker);
        let mut waits = true;
        let mut order = Order::default();
        for _ in 0..A_TURN {
            let Some((id, only_rung)) = self.next(order.prefers_rung()) else {
                waits = !self.again.borrow().is_empty();
                break;
            };
            self.turn(id, only_rung);
            order.handle_turn(only_rung);
        }
        self.rest();
        !waits
    }

    fn begin(&self, waker: &Waker) {
        clock::passes();
        let mut again = self.again.borrow_mut();
        if !again.is_empty() {
            self.woken.borrow_mut().extend(again.drain(..));
        }
        drop(again);
        let elsewhere = self.elsewhere();
        if elsewhere.is_any.load(Ordering::Acquire) {
            let mut list = elsewhere.lock();
            elsewhere.is_any.store(false, Ordering::Release);
            list.waker = Some(waker.clone());
            list.members.drain(..).for_each(|id| self.wake(id));
        }
    }

    /// Nobody has their turn.
    fn rest(&self) {
        self.at_work.set(None);
        self.only_rung.set(false);
    }

    /// Whoever gave turns is gone, and all members with it.
    fn disband(&self) {
        let members: Vec<Id> = (0..)
            .zip(&*self.members.borrow())
            .map(|(slot, place)| Id {
                slot,
                generation: place.generation(),
            })
            .collect();
        for id in members {
            drop(self.vacate(id));
        }
        self.rest();
        self.rung.borrow_mut().clear();
        self.woken.borrow_mut().clear();
        self.again.borrow_mut().clear();
        *self.elsewhere().lock() = Woken::default();
        self.asleep.set(None);
        self.is_led.set(false);
    }
}

impl Order {
    fn prefers_rung(&self) -> bool {
        let most = if self.is_rung {
            RUNG_IN_A_ROW
        } else {
            WOKEN_IN_A_ROW
        };
        self.is_rung == (self.in_a_row < most)
    }

    fn handle_turn(&mut self, is_rung: bool) {
        self.in_a_row = if is_rung == self.is_rung {
            self.in_a_row + 1
        } else {
            1
        };
        self.is_rung = is_rung;
    }
}

impl Slot {
    fn generation(&self) -> Generation {
        match self {
            Slot::Free { generation, .. } | Slot::Taken { generation, .. } => *generation,
        }
    }
}

impl<F: Future<Output = ()> + Unpin> Member for Work<F> {
    fn poll(&self) -> Poll<()> {
        let mut future = self.future.borrow_mut();
        let polling = Polling(&mut future);
        let Some(work) = polling.0 else {
            return Poll::Ready(());
        };
        let polled = Pin::new(work).poll(&mut Context::from_waker(&self.waker));
        if polled.is_ready() {
            *polling.0 = None;
        }
        polled
    }
}

/// While a work is being polled.
struct Polling<'a, F>(&'a mut Option<F>);

impl<F> Drop for Polling<'_, F> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // It can tell so while that lasts.
            *self.0 = None;
        }
    }
}

/// The task that gives all members their turns.
struct Turns;

impl Future for Turns {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        CREW.with(|crew| {
            crew.asleep.set(None);
            if crew.turns(cx.waker()) {
                crew.asleep.set(Some(cx.waker().clone()));
                return Poll::Pending;
            }
            // Woken when the runtime has looked after everybody else, and not before.
            pin!(yield_now()).poll(cx)
        })
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        CREW.with(|crew| crew.disband());
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        CREW.with(|crew| {
            let here = crew.elsewhere.get();
            if here.is_some_and(|it| Arc::ptr_eq(it, &self.elsewhere)) {
                crew.wake(self.id);
            } else {
                self.elsewhere.wake(self.id);
            }
        });
    }
}

impl Elsewhere {
    fn lock(&self) -> MutexGuard<'_, Woken> {
        // Whoever panicked with it had done all or nothing.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, id: Id) {
        let mut list = self.lock();
        if list.members.contains(&id) {
            return;
        }
        list.members.push(id);
        self.is_any.store(true, Ordering::Release);
        if let Some(waker) = &list.waker {
            waker.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::task::LocalSet;

    use super::*;
    use crate::nudge::Nudge;

    /// Somebody with a nudge, who does something each time it is rung.
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
        /// What they do as a member.
        fn at_home(self: Rc<Self>) -> impl Future<Output = ()> + Unpin {
            poll_fn(move |cx| {
                self.nudge.awake();
                loop {
                    if self.nudge.take() {
                        (self.work)();
                    } else if !self.nudge.poll(cx) {
                        return Poll::Pending;
                    }
                }
            })
        }
    }

    fn note(log: &Log, what: &str) -> impl Fn() + use<> + 'static {
        let (log, what) = (log.clone(), what.to_owned());
        move || log.borrow_mut().push(what.clone())
    }

    fn run(work: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        LocalSet::new().block_on(&runtime, work);
    }

    /// A member that is woken by the runtime when this is notified, and notes so.
    fn woken_by(
        bell: Rc<tokio::sync::Notify>,
        note: impl Fn() + 'static,
    ) -> impl Future<Output = ()> + Unpin {
        Box::pin(async move {
            bell.notified().await;
            note();
        })
    }

    #[test]
    fn who_is_rung_comes_after_a_few_whom_the_runtime_has_woken_and_before_the_others() {
        run(async {
            let log = Log::default();
            let last = somebody(note(&log, "last"));
            let (noted, rung) = (log.clone(), last.clone());
            let next = somebody(move || {
                rung.nudge.ring();
                noted.borrow_mut().push("next".to_owned());
            });
            let bell = Rc::<tokio::sync::Notify>::default();
            for _ in 0..2 * WOKEN_IN_A_ROW + 1 {
                let (noted, rung) = (log.clone(), next.clone());
                join(woken_by(bell.clone(), move || {
                    rung.nudge.ring();
                    noted.borrow_mut().push("woken".to_owned());
                }));
            }
            for each in [&next, &last] {
                join(each.clone().at_home());
            }
            yield_now().await;
            bell.notify_waiters();
            yield_now().await;
            let a_row = |count| [vec!["woken"; count], vec!["next", "last"]].concat();
            let expected = [WOKEN_IN_A_ROW, WOKEN_IN_A_ROW, 1].map(a_row).concat();
            assert_eq!(*log.borrow(), expected);
        });
    }

    #[test]
    fn many_who_were_rung_have_a_bounded_number_of_turns_before_the_next_who_is_woken() {
        run(async {
            let log = Log::default();
            let many: Vec<_> = (0..=RUNG_IN_A_ROW)
                .map(|_| somebody(note(&log, "rung")))
                .collect();
            let bell = Rc::<tokio::sync::Notify>::default();
            for _ in 0..=WOKEN_IN_A_ROW {
                let (noted, many) = (log.clone(), many.clone());
                join(woken_by(bell.clone(), move || {
                    many.iter().for_each(|each| each.nudge.ring());
                    noted.borrow_mut().push("woken".to_owned());
                }));
            }
            for each in &many {
                join(each.clone().at_home());
            }
            yield_now().await;
            bell.notify_waiters();
            yield_now().await;
            let woken_at = |count| log.borrow()[count] == "woken";
            let first_run = WOKEN_IN_A_ROW + RUNG_IN_A_ROW;
            assert!(!(WOKEN_IN_A_ROW..first_run).any(woken_at));
            assert!((0..WOKEN_IN_A_ROW).chain([first_run]).all(woken_at));
        });
    }

    #[test]
    fn who_gives_way_goes_on_after_those_who_were_rung_and_knows_that_it_was_only_rung() {
        run(async {
            let log = Log::default();
            let rung = somebody(note(&log, "rung"));
            let (noted, other) = (log.clone(), rung.clone());
            let mut stage = 0;
            let first = poll_fn(move |_| {
                stage += 1;
                noted
                    .borrow_mut()
                    .push(format!("{stage} {}", was_only_rung()));
                match stage {
                    1 => {
                        assert!(!gives_way(), "nobody was rung");
                        other.nudge.ring();
                        assert!(gives_way());
                        Poll::Pending
                    }
                    _ => Poll::Ready(()),
                }
            });
            join(rung.at_home());
            yield_now().await;
            join(first);
            while log.borrow().len() < 3 {
                yield_now().await;
            }
            assert_eq!(*log.borrow(), ["1 false", "rung", "2 true"]);
            assert!(!gives_way() && !was_only_rung(), "this is no member");
        });
    }

    #[test]
    fn two_who_keep_ringing_each_other_hold_up_nobody() {
        run(async {
            let log = Log::default();
            let others = Rc::new(RefCell::new(Vec::<Rc<Somebody>>::new()));
            let pair: Vec<_> = (0..2)
                .map(|index| {
                    let others = others.clone();
                    somebody(move || others.borrow()[1 - index].nudge.ring())
                })
                .collect();
            others.borrow_mut().extend(pair.clone());
            for one in &pair {
                join(one.clone().at_home());
            }
            yield_now().await;
            pair[0].nudge.ring();
            let bell = Rc::<tokio::sync::Notify>::default();
            join(woken_by(bell.clone(), note(&log, "woken")));
            for _ in 0..3 {
                yield_now().await;
            }
            bell.notify_waiters();
            for _ in 0..10 {
                yield_now().await;
            }
            assert_eq!(*log.borrow(), ["woken"]);
            others.borrow_mut().clear();
        });
    }

    #[test]
    fn who_has_more_to_do_goes_on_after_the_runtime_has_looked_after_others() {
        run(async {
            let log = Log::default();
            let busy = note(&log, "busy");
            join(poll_fn(move |cx| {
                busy();
                cx.waker().wake_by_ref();
                Poll::Pending
            }));
            let other = note(&log, "other");
            spawn_local(async move {
                loop {
                    other();
                    yield_now().await;
                }
            });
            while log.borrow().len() < 8 {
                yield_now().await;
            }
            let log = log.borrow();
            let thrice = log.windows(3).any(|three| three == ["busy"; 3]);
            assert!(!thrice, "{log:?}");
        });
    }

    #[test]
    fn many_have_their_turns_and_the_runtime_looks_after_others_between() {
        run(async {
            let log = Log::default();
            let many: Vec<_> = (0..3 * A_TURN).map(|_| somebody(note(&log, ""))).collect();
            for each in &many {
                join(each.clone().at_home());
            }
            for _ in 0..5 {
                yield_now().await;
            }
            many.iter().for_each(|one| one.nudge.ring());
            let mut seen = Vec::new();
            while log.borrow().len() < many.len() {
                seen.push(log.borrow().len());
                yield_now().await;
            }
            assert_eq!(seen, [0, A_TURN, 2 * A_TURN]);
        });
    }

    #[test]
    fn another_thread_can_wake_a_member() {
        run(async {
            let (tell, told) = tokio::sync::oneshot::channel();
            let ended = Rc::new(());
            let held = ended.clone();
            join(Box::pin(async move {
                told.await.unwrap();
                drop(held);
            }));
            for _ in 0..3 {
                yield_now().await;
            }
            std::thread::spawn(move || tell.send(()).unwrap());
            while Rc::strong_count(&ended) > 1 {
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
                noted.borrow_mut().push("went on".to_owned());
            });
            join(first.clone().at_home());
            join(bad.at_home());
            yield_now().await;
            first.nudge.ring();
            while panicked.get().is_none() {
                yield_now().await;
            }
            assert_eq!(panicked.get(), Some(true), "it was dropped by its panic");
            first.nudge.ring();
            while log.borrow().len() < 2 {
                yield_now().await;
            }
        });
    }

    #[test]
    fn an_aborted_member_is_dropped_at_once_and_its_place_is_not_mistaken_for_the_next_ones() {
        run(async {
            let log = Log::default();
            let first = somebody(note(&log, "first"));
            let left = Rc::downgrade(&first);
            let id = join(first.at_home());
            yield_now().await;
            abort(id);
            assert!(left.upgrade().is_none());
            let second = somebody(note(&log, "second"));
            let next = join(second.clone().at_home());
            assert_eq!(next.slot, id.slot, "its place is free");
            yield_now().await;
            abort(id);
            ring(id);
            second.nudge.ring();
            yield_now().await;
            assert_eq!(*log.borrow(), ["second"]);
        });
    }

    #[test]
    fn a_member_that_aborts_itself_is_dropped_after_its_turn() {
        run(async {
            let ended = Rc::new(());
            let (held, id) = (ended.clone(), Rc::<Cell<Option<Id>>>::default());
            let own = id.clone();
            id.set(Some(join(poll_fn(move |_| {
                own.get().into_iter().for_each(abort);
                assert!(Rc::strong_count(&held) > 1);
                Poll::Pending
            }))));
            yield_now().await;
            assert_eq!(Rc::strong_count(&ended), 1);
        });
    }

    #[test]
    fn members_are_dropped_with_the_runtime_and_others_can_join_in_the_next_one() {
        let log = Log::default();
        let first = somebody(note(&log, "first"));
        run(async {
            join(first.clone().at_home());
            yield_now().await;
        });
        assert_eq!(Rc::strong_count(&first), 1);
        first.nudge.ring();
        let second = somebody(note(&log, "second"));
        run(async {
            join(second.clone().at_home());
            yield_now().await;
            second.nudge.ring();
            yield_now().await;
        });
        assert_eq!(*log.borrow(), ["second"]);
    }
}
