//! What the tests of the simulated devices share: opening one, and talking to it as the server does.
#![allow(dead_code)] // each test binary uses its own part of this
#![allow(clippy::unwrap_used)] // a helper may fail its test

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Wake, Waker};

use uart_iface::backend::{Device, parse_device};
use uart_iface::{LineSettings, OutputSignals, Port};

pub(crate) type AnyPort = Box<dyn Port>;

pub(crate) fn device(spec: &str) -> Box<dyn Device> {
    parse_device(spec).unwrap()
}

/// The port of this spec at the default settings, with both lines asserted.
pub(crate) fn open(spec: &str) -> AnyPort {
    open_at(spec, "115200-8n1")
}

pub(crate) fn open_at(spec: &str, line: &str) -> AnyPort {
    let line: LineSettings = line.parse().unwrap();
    device(spec).open(line, OutputSignals::ASSERTED).unwrap()
}

/// What can be read next, at least one byte.
pub(crate) async fn read_some(port: &mut AnyPort) -> Vec<u8> {
    let mut buf = [0; 4096];
    let count = poll_fn(|cx| port.poll_read(cx, &mut buf)).await.unwrap();
    buf[..count].to_vec()
}

/// What can be read now without waiting, perhaps nothing.
pub(crate) async fn try_read(port: &mut AnyPort) -> Vec<u8> {
    let mut all = Vec::new();
    poll_fn(|cx| {
        let mut buf = [0; 4096];
        while let Poll::Ready(count) = port.poll_read(cx, &mut buf) {
            all.extend(&buf[..count.unwrap()]);
        }
        Poll::Ready(())
    })
    .await;
    all
}

/// What arrives up to and including `end`, byte by byte so that nothing behind it is taken.
pub(crate) async fn read_until(port: &mut AnyPort, end: &str) -> String {
    let mut all = Vec::new();
    while !all.ends_with(end.as_bytes()) {
        let mut byte = [0];
        poll_fn(|cx| port.poll_read(cx, &mut byte)).await.unwrap();
        all.push(byte[0]);
    }
    String::from_utf8(all).unwrap()
}

pub(crate) async fn write_all(port: &mut AnyPort, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let count = poll_fn(|cx| port.poll_write(cx, bytes)).await.unwrap();
        bytes = &bytes[count..];
    }
}

/// Writes `bytes` and reads as many, both at the same time, as one task does that owns a port.
pub(crate) async fn through(port: &mut AnyPort, bytes: &[u8]) -> Vec<u8> {
    let mut received = Vec::new();
    let mut rest = bytes;
    poll_fn(|cx| {
        loop {
            let mut progress = false;
            if !rest.is_empty()
                && let Poll::Ready(count) = port.poll_write(cx, rest)
            {
                rest = &rest[count.unwrap()..];
                progress = true;
            }
            let mut buf = [0; 1000];
            if let Poll::Ready(count) = port.poll_read(cx, &mut buf) {
                received.extend(&buf[..count.unwrap()]);
                progress = true;
            }
            if received.len() >= bytes.len() {
                return Poll::Ready(());
            }
            if !progress {
                return Poll::Pending;
            }
        }
    })
    .await;
    received
}

/// A command, and everything up to the prompt that follows.
pub(crate) async fn ask(port: &mut AnyPort, command: &str) -> String {
    write_all(port, format!("{command}\r").as_bytes()).await;
    read_until(port, "\r\n> ").await
}

/// A waker that counts how often it was used.
#[derive(Debug, Default)]
pub(crate) struct Wakes(AtomicUsize);

impl Wakes {
    pub(crate) fn new() -> (Arc<Wakes>, Waker) {
        let wakes = Arc::new(Wakes::default());
        (wakes.clone(), Waker::from(wakes))
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Wakes>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Reads so many bytes.
pub(crate) async fn read_count(port: &mut AnyPort, count: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(read_some(port).await);
    }
    all
}

/// That `elapsed` is what was expected, as exactly as tokio's timers are: rounded up to a millisecond.
#[track_caller]
pub(crate) fn assert_took(start: tokio::time::Instant, seconds: f64) {
    let elapsed = start.elapsed().as_secs_f64();
    assert!(
        (seconds - 0.000_01..seconds + 0.002).contains(&elapsed),
        "{elapsed} s instead of {seconds} s"
    );
}
