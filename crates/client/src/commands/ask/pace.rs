//! When the next round of `uart ask --every` is due. Pure: `now` is an argument. Rounds are due at whole periods from the
//! beginning, so that they do not drift, and those that were missed are counted, not made up for.

use std::time::{Duration, Instant};

/// The rounds of a period.
#[derive(Debug)]
pub(super) struct Pace {
    period: Duration,
    due: Instant,
}

impl Pace {
    /// The first round is due at once. The period is not zero.
    pub(super) fn new(now: Instant, period: Duration) -> Pace {
        Pace { period, due: now }
    }

    /// A round has ended: when the next one is due, and how many were missed before it.
    pub(super) fn handle_end(&mut self, now: Instant) -> (Instant, u64) {
        let late = now.saturating_duration_since(self.due).as_nanos();
        // One that is due this very moment is not missed.
        let passed = late.div_ceil(self.period.as_nanos().max(1)).max(1);
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        self.due += self.period * passed;
        (self.due, u64::from(passed - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_do_not_drift_and_missed_ones_are_counted() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut pace = Pace::new(begin, Duration::from_millis(100));
        for (ended, due, missed) in [
            (30, 100, 0),
            (130, 200, 0),
            (300, 300, 0),
            (301, 400, 0),
            (501, 600, 1),
            (600, 700, 0),
            (1650, 1700, 9),
        ] {
            assert_eq!(
                pace.handle_end(at(ended)),
                (at(due), missed),
                "ended after {ended} ms"
            );
        }
    }

    #[test]
    fn after_a_round_that_took_for_ever_it_goes_on() {
        let begin = Instant::now();
        let mut pace = Pace::new(begin, Duration::from_nanos(1));
        let end = begin + Duration::from_secs(5);
        assert!(pace.handle_end(end).1 > 0);
    }
}
