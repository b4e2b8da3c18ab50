//! What the log tells of those who are not let in. They may come as often as they like, and a log is for people: the first
//! of each address and reason is told at once, all the others as one number when their period is over. Pure.

use std::time::{Duration, Instant};

use super::crowd::Origin;

/// How long a period is; it begins with whoever comes first.
const PERIOD: Duration = Duration::from_secs(10);
/// How many are told one by one in one period.
const ONE_BY_ONE: usize = 20;

/// Who was not let in lately.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    period: Option<Period>,
}

#[derive(Debug)]
struct Period {
    until: Instant,
    told: Vec<(Origin, String)>,
    left_out: u64,
}

impl Complaints {
    /// Somebody of this address is not let in. Whether that is to be told at once.
    pub(super) fn note(&mut self, now: Instant, origin: Origin, why: &str) -> bool {
        let period = self.period.get_or_insert_with(|| Period {
            until: now + PERIOD,
            told: Vec::new(),
            left_out: 0,
        });
        let is_it = |(other, reason): &(Origin, String)| *other == origin && reason == why;
        if period.told.len() >= ONE_BY_ONE || period.told.iter().any(is_it) {
            period.left_out += 1;
            return false;
        }
        period.told.push((origin, why.to_owned()));
        true
    }

    /// When the period is over; `None`: there is none.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.period.as_ref().map(|period| period.until)
    }

    /// Ends the period, and says how many of it were not told.
    pub(super) fn take_left_out(&mut self) -> u64 {
        self.period.take().map_or(0, |period| period.left_out)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn origin(last: u8) -> Origin {
        Origin::of(Some(Ipv4Addr::new(192, 0, 2, last).into()))
    }

    #[test]
    fn the_first_of_each_address_and_reason_is_told_and_the_rest_is_counted() {
        let now = Instant::now();
        let mut complaints = Complaints::default();
        assert_eq!(complaints.poll_timeout(), None);
        assert!(complaints.note(now, origin(1), "no TLS"));
        assert!(!complaints.note(now, origin(1), "no TLS"));
        assert!(complaints.note(now, origin(2), "no TLS"));
        assert!(complaints.note(now, origin(1), "late"));
        let later = now + Duration::from_secs(9);
        assert!(!complaints.note(later, origin(2), "no TLS"));
        assert_eq!(complaints.poll_timeout(), Some(now + PERIOD));
        assert_eq!(complaints.take_left_out(), 2);
        // Then it begins anew.
        assert_eq!(complaints.poll_timeout(), None);
        assert_eq!(complaints.take_left_out(), 0);
        assert!(complaints.note(later, origin(1), "no TLS"));
    }

    #[test]
    fn many_addresses_and_reasons_are_bounded_too() {
        let now = Instant::now();
        let mut complaints = Complaints::default();
        let told = (0..=255).filter(|last| complaints.note(now, origin(*last), "no TLS"));
        assert_eq!(told.count(), ONE_BY_ONE);
        let reasons = (0..1000).map(|it| format!("reason {it}"));
        let told = reasons.filter(|it| complaints.note(now, origin(1), it));
        assert_eq!(told.count(), 0);
        assert_eq!(complaints.take_left_out(), 1256 - ONE_BY_ONE as u64);
    }
}
