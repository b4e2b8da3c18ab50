//! How long to wait before connecting again. Pure: time is an argument.

use std::time::{Duration, Instant};

/// Waits that double from 100 ms to 5 s, and begin anew after a connection that lasted.
#[derive(Debug, Clone)]
pub struct Backoff {
    next: Duration,
    opened: Option<Instant>,
}

impl Backoff {
    /// The first wait.
    pub const FIRST: Duration = Duration::from_millis(100);
    /// The longest wait, and how long a connection must have lasted for the next wait to be the first again: a gateway
    /// that accepts and drops at once is not asked ten times a second.
    pub const LONGEST: Duration = Duration::from_secs(5);

    /// The state before the first loss.
    pub fn new() -> Backoff {
        Backoff {
            next: Backoff::FIRST,
            opened: None,
        }
    }

    /// A connection came about.
    pub fn handle_opened(&mut self, now: Instant) {
        self.opened = Some(now);
    }

    /// A connection was lost or did not come about: how long to wait before the next try.
    pub fn handle_failure(&mut self, now: Instant) -> Duration {
        if self
            .opened
            .take()
            .is_some_and(|opened| now.saturating_duration_since(opened) >= Backoff::LONGEST)
        {
            self.next = Backoff::FIRST;
        }
        let wait = self.next;
        self.next = (wait * 2).min(Backoff::LONGEST);
        wait
    }
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut backoff = Backoff::new();
        let now = Instant::now();
        let waits: Vec<u128> = (0..8)
            .map(|_| backoff.handle_failure(now).as_millis())
            .collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    }

    #[test]
    fn only_a_connection_that_lasted_begins_anew() {
        let mut backoff = Backoff::new();
        let start = Instant::now();
        for _ in 0..3 {
            backoff.handle_failure(start);
        }
        backoff.handle_opened(start);
        assert_eq!(
            backoff
                .handle_failure(start + Duration::from_millis(4999))
                .as_millis(),
            800
        );
        backoff.handle_opened(start);
        assert_eq!(
            backoff.handle_failure(start + Backoff::LONGEST),
            Backoff::FIRST
        );
    }
}
