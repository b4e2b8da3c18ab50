//! Moments that are waited for, in the thread that sleeps in [`Park`](crate::Park); where there is none, tokio's timers do
//! it, whose clock a test can stop. Not who waits.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::reactor;

thread_local! {
    static TIMERS: RefCell<Timers> = const { RefCell::new(Timers::new()) };
}

/// Who waits for which moment, the next one first.
struct Timers {
    waiting: BTreeMap<Key, Waker>,
    /// Tells those apart who wait for the same moment.
    next: u64,
}

type Key = (Instant, u64);

impl Timers {
    const fn new() -> Timers {
        Timers {
            waiting: BTreeMap::new(),
            next: 0,
        }
    }
}

/// When the next one is due.
pub(crate) fn next_due() -> Option<Instant> {
    TIMERS.with_borrow(|timers| Some(timers.waiting.first_key_value()?.0.0))
}

/// Wakes everybody whose moment has come.
pub(crate) fn wake_due(now: Instant) {
    loop {
        // Nothing is borrowed while somebody is woken.
        let due = TIMERS.with_borrow_mut(|timers| {
            let first = timers.waiting.first_entry()?;
            (first.key().0 <= now).then(|| first.remove())
        });
        match due {
            Some(waker) => waker.wake(),
            None => return,
        }
    }
}

/// The time by which moments are measured here.
pub fn now() -> Instant {
    if reactor::is_parked_here() {
        Instant::now()
    } else {
        tokio::time::Instant::now().into_std()
    }
}

/// Until a moment has come. It costs nothing until it is polled, and can be moved.
pub struct Sleep(Kind);

enum Kind {
    Ours {
        at: Instant,
        /// As which it waits.
        key: Option<Key>,
    },
    Tokios(Pin<Box<tokio::time::Sleep>>),
}

/// Until this moment. Must be called where a [`Park`](crate::Park) is, or within a runtime of tokio's that has timers.
pub fn sleep_until(at: Instant) -> Sleep {
    Sleep(if reactor::is_parked_here() {
        Kind::Ours { at, key: None }
    } else {
        Kind::Tokios(Box::pin(tokio::time::sleep_until(at.into())))
    })
}

/// For so long. Must be called as [`sleep_until`].
pub fn sleep(time: Duration) -> Sleep {
    sleep_until(now() + time)
}

impl Sleep {
    /// The moment.
    pub fn deadline(&self) -> Instant {
        match &self.0 {
            Kind::Ours { at, .. } => *at,
            Kind::Tokios(sleep) => sleep.deadline().into_std(),
        }
    }

    /// Another moment. Whoever waits must poll again.
    pub fn reset(&mut self, moment: Instant) {
        match &mut self.0 {
            Kind::Ours { at, key } => {
                *at = moment;
                forget(key);
            }
            Kind::Tokios(sleep) => sleep.as_mut().reset(moment.into()),
        }
    }
}

fn forget(key: &mut Option<Key>) {
    if let Some(key) = key.take() {
        // At the end of the thread there may be nothing to forget.
        let waker = TIMERS.try_with(|timers| timers.borrow_mut().waiting.remove(&key));
        // It may be the last of a task, and end it: nothing is borrowed then.
        drop(waker);
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let (at, key) = match &mut self.0 {
            Kind::Ours { at, key } => (*at, key),
            Kind::Tokios(sleep) => return sleep.as_mut().poll(cx),
        };
        if at <= Instant::now() {
            forget(key);
            return Poll::Ready(());
        }
        let before = TIMERS.with_borrow_mut(|timers| {
            let key = key.get_or_insert_with(|| {
                timers.next += 1;
                (at, timers.next)
            });
            timers.waiting.insert(*key, cx.waker().clone())
        });
        drop(before);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Kind::Ours { key, .. } = &mut self.0 {
            forget(key);
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep")
            .field("until", &self.deadline())
            .finish_non_exhaustive()
    }
}

/// One timer that is moved, not made anew; made when first needed.
#[derive(Debug, Default)]
pub struct Alarm {
    sleep: Option<Box<Sleep>>,
}

impl Alarm {
    /// Ready when this moment has come; if not, the task is woken when it does. `None`: never.
    pub fn poll(&mut self, cx: &mut Context<'_>, at: Option<Instant>) -> Poll<()> {
        let Some(at) = at else {
            self.sleep = None;
            return Poll::Pending;
        };
        if at <= now() {
            return Poll::Ready(());
        }
        let sleep = self.sleep.get_or_insert_with(|| Box::new(sleep_until(at)));
        if sleep.deadline() != at {
            sleep.reset(at);
        }
        Pin::new(&mut **sleep).poll(cx)
    }
}

/// It was not done in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not done in time")]
pub struct Late;

/// Does this, but no longer than so long. Must be called as [`sleep_until`].
///
/// # Errors
/// [`Late`]: it is not done, and was dropped.
pub async fn timeout<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, Late> {
    timeout_at(now() + limit, work).await
}

/// Does this, but not beyond this moment. Must be called as [`sleep_until`].
///
/// # Errors
/// [`Late`]: it is not done, and was dropped.
pub async fn timeout_at<T>(at: Instant, work: impl Future<Output = T>) -> Result<T, Late> {
    let mut work = pin!(work);
    let mut late = sleep_until(at);
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(done));
        }
        Pin::new(&mut late).poll(cx).map(|()| Err(Late))
    })
    .await
}
