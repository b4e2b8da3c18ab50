//! Where no thread sleeps in a park, a task of tokio's does what it would do.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::future::poll_fn;
use std::io::Write;
use std::time::{Duration, Instant};

use uartnet_reactor::{Interest, Late, Park, now, sleep, timeout};

mod support;
use support::{pair, poll_read};

async fn exchange() {
    let (socket, mut theirs) = pair(Interest::Read);
    for byte in [b"x", b"y"] {
        let read = poll_fn(|cx| poll_read(&socket, cx));
        let write = async {
            tokio::task::yield_now().await;
            theirs.write_all(byte).unwrap();
        };
        let (read, ()) = tokio::join!(read, write);
        assert_eq!(read.unwrap(), byte);
    }
}

#[tokio::test]
async fn what_comes_is_told() {
    exchange().await;
}

#[test]
fn one_runtime_after_the_other_and_then_a_park_and_then_a_runtime() {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        runtime.block_on(exchange());
    };
    run();
    run();
    drop(Park::new().unwrap());
    run();
}

#[test]
fn where_nobody_takes_events_nothing_can_be_watched() {
    let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    assert!(uartnet_reactor::Watched::new(ours, Interest::Read).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_stopped_goes_by_what_is_waited_for() {
    let (real, begin) = (Instant::now(), now());
    sleep(Duration::from_secs(3600)).await;
    assert!(now() - begin >= Duration::from_secs(3600));
    let late = timeout(Duration::from_secs(3600), std::future::pending::<()>()).await;
    assert_eq!(late, Err(Late));
    assert!(real.elapsed() < Duration::from_secs(3600));
}
