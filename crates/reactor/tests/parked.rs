//! A thread that sleeps in a park: what wakes it, and whom it wakes.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};
use uartnet_reactor::{Alarm, Half, Interest, Late, Park, Watched, sleep, sleep_until, timeout};

mod support;
use support::{pair, poll_read};

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// How often it was woken.
#[derive(Debug, Default)]
struct Woken(AtomicUsize);

impl Woken {
    fn new() -> (Arc<Woken>, Waker) {
        let woken = Arc::<Woken>::default();
        (woken.clone(), Waker::from(woken))
    }

    fn so_far(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Since this was last asked.
    fn take(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Runs this to its end by waits alone.
fn block_on<F: Future>(park: &Park, work: F) -> F::Output {
    let mut work = std::pin::pin!(work);
    loop {
        if let Poll::Ready(done) = work.as_mut().poll(&mut Context::from_waker(park.waker())) {
            return done;
        }
        while !park.take_woken() {
            park.wait(true).unwrap();
        }
    }
}

#[test]
fn who_waits_for_what_has_come_is_woken_once_and_nobody_else() {
    let park = Park::new().unwrap();
    let (first, mut to_first) = pair(Interest::Read);
    let (second, _to_second) = pair(Interest::Read);
    let ((one, waker), (other, others)) = (Woken::new(), Woken::new());
    let cx = Context::from_waker(&waker);
    assert!(poll_read(&first, &cx).is_pending());
    assert!(poll_read(&second, &Context::from_waker(&others)).is_pending());
    to_first.write_all(b"x").unwrap();
    park.wait(true).unwrap();
    assert_eq!((one.take(), other.take()), (1, 0));
    // Nobody waits, so nobody is woken by what comes next, and it is not lost.
    to_first.write_all(b"y").unwrap();
    park.wait(true).unwrap();
    assert_eq!(one.take(), 0);
    assert!(matches!(poll_read(&first, &cx), Poll::Ready(Ok(read)) if read == b"xy"));
    assert!(poll_read(&first, &cx).is_pending());
}

#[test]
fn whoever_waits_last_is_woken() {
    let park = Park::new().unwrap();
    let (socket, mut theirs) = pair(Interest::Read);
    let ((first, before), (last, after)) = (Woken::new(), Woken::new());
    assert!(poll_read(&socket, &Context::from_waker(&before)).is_pending());
    assert!(poll_read(&socket, &Context::from_waker(&after)).is_pending());
    theirs.write_all(b"x").unwrap();
    park.wait(true).unwrap();
    assert_eq!((first.take(), last.take()), (0, 1));
}

#[test]
fn that_the_other_side_has_closed_is_not_forgotten() {
    let park = Park::new().unwrap();
    let (socket, theirs) = pair(Interest::ReadWrite);
    let cx = Context::from_waker(Waker::noop());
    drop(theirs);
    park.wait(true).unwrap();
    for _ in 0..2 {
        assert!(matches!(poll_read(&socket, &cx), Poll::Ready(Ok(read)) if read.is_empty()));
        socket.clear(Half::Read);
        socket.clear(Half::Write);
        assert!(socket.poll_behind(&cx).is_ready());
        assert!(socket.poll_ready(&cx, Half::Write).is_ready());
    }
}

#[test]
fn room_is_told_only_to_who_watches_for_it() {
    let park = Park::new().unwrap();
    let (socket, _theirs) = pair(Interest::Read);
    let (woken, waker) = Woken::new();
    let cx = Context::from_waker(&waker);
    assert!(socket.poll_ready(&cx, Half::Write).is_pending());
    park.wait(false).unwrap();
    assert_eq!(woken.take(), 0);
    socket.watch_for(Interest::ReadWrite).unwrap();
    park.wait(true).unwrap();
    assert_eq!(woken.take(), 1);
    assert!(socket.poll_ready(&cx, Half::Write).is_ready());
    // What it was ready for is forgotten.
    socket.watch_for(Interest::Read).unwrap();
    assert!(socket.poll_ready(&cx, Half::Write).is_pending());
}

#[test]
fn an_urgent_byte_may_stand_behind_a_short_read_and_nothing_else() {
    let park = Park::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    sockopt::set_socket_oobinline(&ours, true).unwrap();
    let ours = Watched::new(ours, Interest::ReadWrite).unwrap();
    let cx = Context::from_waker(Waker::noop());
    let mut got = Vec::new();
    let mut read = || {
        let mut bytes = [0; 16];
        let (count, _) = recv(ours.as_fd(), &mut bytes, RecvFlags::empty()).unwrap();
        got.extend_from_slice(&bytes[..count]);
        got.clone()
    };
    let ready = || {
        while ours.poll_ready(&cx, Half::Read).is_pending() {
            park.wait(true).unwrap();
        }
    };
    send(&theirs, b"before", SendFlags::empty()).unwrap();
    ready();
    assert_eq!(read(), b"before");
    assert!(ours.poll_behind(&cx).is_pending());
    send(&theirs, b"ab", SendFlags::empty()).unwrap();
    send(&theirs, b"!", SendFlags::OOB).unwrap();
    send(&theirs, b"behind", SendFlags::empty()).unwrap();
    loop {
        ready();
        if read().ends_with(b"behind") {
            break;
        }
        // It is there already, so that nothing more would tell of it.
        let _ = ours.poll_behind(&cx);
    }
    assert_eq!(got, b"beforeab!behind");
}

#[test]
fn a_place_that_is_left_is_the_next_ones_and_tells_nothing_of_the_last_one() {
    let park = Park::new().unwrap();
    let cx = Context::from_waker(Waker::noop());
    for _ in 0..1000 {
        let (socket, mut theirs) = pair(Interest::Read);
        assert!(socket.poll_ready(&cx, Half::Read).is_pending());
        theirs.write_all(b"x").unwrap();
        park.wait(true).unwrap();
        assert!(socket.poll_ready(&cx, Half::Read).is_ready());
    }
}

#[test]
fn the_waker_ends_the_sleep_from_another_thread_and_before_it_begins() {
    let park = Park::new().unwrap();
    park.waker().wake_by_ref();
    park.wait(true).unwrap();
    assert!(park.take_woken());
    assert!(!park.take_woken());
    for _ in 0..100 {
        let waker = park.waker().clone();
        let other = thread::spawn(move || waker.wake());
        while !park.take_woken() {
            park.wait(true).unwrap();
        }
        other.join().unwrap();
    }
}

#[test]
fn moments_come_in_their_order_and_can_be_moved_and_forgotten() {
    let park = Park::new().unwrap();
    let begin = Instant::now();
    let after = |ms| begin + Duration::from_millis(ms);
    let wakers: Vec<_> = (0..3).map(|_| Woken::new()).collect();
    let mut sleeps: Vec<_> = [40, 20, 3_600_000].map(|ms| sleep_until(after(ms))).into();
    for (sleep, (_, waker)) in sleeps.iter_mut().zip(&wakers) {
        assert!(
            Pin::new(sleep)
                .poll(&mut Context::from_waker(waker))
                .is_pending()
        );
    }
    sleeps[0].reset(after(3_600_000));
    sleeps[2].reset(after(1));
    assert_eq!(sleeps[2].deadline(), after(1));
    let mut cx = Context::from_waker(&wakers[2].1);
    let last = Pin::new(&mut sleeps[2]);
    assert!(last.poll(&mut cx).is_pending() || Instant::now() >= after(1));
    let woken = || [0, 1, 2].map(|each: usize| wakers[each].0.so_far());
    while woken()[1] == 0 {
        park.wait(true).unwrap();
    }
    assert!(Instant::now() >= after(20));
    assert_eq!(woken()[0], 0, "it was moved");
    sleeps.truncate(1);
    drop(sleeps);
    park.wait(false).unwrap();
    assert_eq!(woken()[0], 0, "it was forgotten");
}

#[test]
fn an_alarm_is_moved_and_a_moment_that_was_is_there_at_once() {
    let park = Park::new().unwrap();
    let (woken, waker) = Woken::new();
    let mut cx = Context::from_waker(&waker);
    let mut alarm = Alarm::default();
    assert!(alarm.poll(&mut cx, None).is_pending());
    assert!(alarm.poll(&mut cx, Some(Instant::now())).is_ready());
    let later = Instant::now() + DEADLINE;
    assert!(alarm.poll(&mut cx, Some(later)).is_pending());
    let soon = Instant::now() + Duration::from_millis(20);
    assert!(alarm.poll(&mut cx, Some(soon)).is_pending());
    while woken.take() == 0 {
        park.wait(true).unwrap();
    }
    assert!(alarm.poll(&mut cx, Some(soon)).is_ready());
}

#[test]
fn what_takes_too_long_is_dropped() {
    let park = Park::new().unwrap();
    let (late, done) = block_on(&park, async {
        let late = timeout(Duration::from_millis(5), std::future::pending::<()>()).await;
        let done = timeout(DEADLINE, sleep(Duration::from_millis(5))).await;
        (late, done)
    });
    assert_eq!((late, done), (Err(Late), Ok(())));
}
