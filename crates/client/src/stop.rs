//! The signals that ask a command which would go on for ever to end.

use std::io;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT, SIGTERM and SIGHUP, caught from when this is made.
#[derive(Debug)]
pub(crate) struct Stop([Signal; 3]);

impl Stop {
    pub(crate) fn new() -> io::Result<Stop> {
        Ok(Stop([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    /// Ready at the next of them.
    pub(crate) async fn asked(&mut self) {
        std::future::poll_fn(|cx| {
            let mut signals = self.0.iter_mut();
            if signals.any(|signal| signal.poll_recv(cx).is_ready()) {
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await
    }
}
