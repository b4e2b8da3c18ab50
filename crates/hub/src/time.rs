//! Instants far away. Not a clock: the hub has none.

use std::time::{Duration, Instant};

/// Beyond this a deadline is as good as none.
const FAR: Duration = Duration::from_secs(10 * 365 * 86_400);

/// `at + wait`, also where `wait` is so long that an [`Instant`] cannot hold the sum.
pub(crate) fn after(at: Instant, wait: Duration) -> Instant {
    at.checked_add(wait).unwrap_or_else(|| at + FAR)
}

/// The earlier of two deadlines.
pub(crate) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
