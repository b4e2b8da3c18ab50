//! Those who have not said who they are: how many there are of which address, and who has guessed. Pure; bounded whatever
//! comes.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use super::gate::Crowded;

/// How many of one address may be waiting to say who they are.
pub(super) const OF_ONE_ORIGIN: usize = 16;

/// How long who has presented a token that is not in force waits for the answer: this, doubled with every further time,
/// up to that. The answers to one address come one after the other, so guessing on many connections is no faster.
const FIRST_DELAY: Duration = Duration::from_millis(250);
const LONGEST_DELAY: Duration = Duration::from_secs(8);
/// No answer waits for longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// After so long without a failure an address begins anew.
const FORGET: Duration = Duration::from_secs(600);
/// How many addresses are remembered; who was quiet for longest is forgotten first.
const REMEMBERED: usize = 1024;

/// What counts as one and the same address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// An IPv4 address.
    Address(Ipv4Addr),
    /// The first 64 bits of an IPv6 address: whoever has one address that begins with them has them all.
    Network([u8; 8]),
    /// This machine, by a Unix socket.
    Local,
}

/// How many there are of each address.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    of_origin: HashMap<Origin, usize>,
    len: usize,
}

/// How many have not said who they are.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    counts: Counts,
}

/// Who has presented tokens that are not in force.
#[derive(Debug, Default)]
pub(super) struct Failures {
    of_origin: HashMap<Origin, Guesser>,
    count: u64,
}

#[derive(Debug, Clone, Copy)]
struct Guesser {
    delay: Duration,
    last: Instant,
    /// When the last answer was, or is, due.
    told: Instant,
}

impl Origin {
    /// The origin of a client with this address; `None`: it came by a Unix socket.
    pub fn of(address: Option<IpAddr>) -> Origin {
        match address.map(|address| address.to_canonical()) {
            None => Origin::Local,
            Some(IpAddr::V4(address)) => Origin::Address(address),
            Some(IpAddr::V6(address)) => {
                let network = address.to_bits() >> 64;
                Origin::Network((network as u64).to_be_bytes())
            }
        }
    }

    /// Whether it is this machine itself.
    pub(crate) fn is_this_machine(self) -> bool {
        match self {
            Origin::Address(address) => address.is_loopback(),
            // ::1 without its last 64 bits; no other address of that network is anybody's.
            Origin::Network(network) => network == [0; 8],
            Origin::Local => true,
        }
    }
}

impl Counts {
    /// One more. Those of its address are not to be more than `limit`.
    ///
    /// # Errors
    /// There are so many already, and there they stay.
    pub(crate) fn enter(&mut self, origin: Origin, limit: usize) -> Result<(), usize> {
        let there = self.of_origin.get(&origin).copied().unwrap_or_default();
        if there >= limit {
            return Err(there);
        }
        self.of_origin.insert(origin, there + 1);
        self.len += 1;
        Ok(())
    }

    /// One less.
    pub(crate) fn leave(&mut self, origin: Origin) {
        let Some(count) = self.of_origin.get_mut(&origin) else {
            return;
        };
        *count -= 1;
        self.len -= 1;
        if *count == 0 {
            self.of_origin.remove(&origin);
        }
    }
}

impl Crowd {
    pub(super) fn len(&self) -> usize {
        self.counts.len
    }

    pub(super) fn enter(&mut self, origin: Origin, limit: usize) -> Result<(), Crowded> {
        if self.counts.len >= limit {
            return Err(Crowded {
                count: self.counts.len,
                of_origin: false,
            });
        }
        let entered = self.counts.enter(origin, OF_ONE_ORIGIN);
        entered.map_err(|count| Crowded {
            count,
            of_origin: true,
        })
    }

    pub(super) fn leave(&mut self, origin: Origin) {
        self.counts.leave(origin);
    }
}

impl Failures {
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// One more. Says when whoever it was may be told.
    pub(super) fn note(&mut self, now: Instant, origin: Origin) -> Instant {
        self.count += 1;
        let known = self.of_origin.get(&origin).copied();
        let guesser = match known.filter(|it| now.saturating_duration_since(it.last) < FORGET) {
            None => Guesser {
                delay: FIRST_DELAY,
                last: now,
                told: now + FIRST_DELAY,
            },
            Some(before) => {
                let delay = (before.delay * 2).min(LONGEST_DELAY);
                Guesser {
                    delay,
                    last: now,
                    told: (before.told.max(now) + delay).min(now + LONGEST_WAIT),
                }
            }
        };
        if known.is_none() && self.of_origin.len() >= REMEMBERED {
            let quietest = self
                .of_origin
                .iter()
                .min_by_key(|(_, guesser)| guesser.last);
            if let Some(quietest) = quietest.map(|(origin, _)| *origin) {
                self.of_origin.remove(&quietest);
            }
        }
        self.of_origin.insert(origin, guesser);
        guesser.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        Origin::of(Some(text.parse().unwrap()))
    }

    #[test]
    fn an_origin_is_an_ipv4_address_or_an_ipv6_network() {
        assert_eq!(origin("10.0.0.1"), origin("::ffff:10.0.0.1"));
        assert_ne!(origin("10.0.0.1"), origin("10.0.0.2"));
        assert_eq!(origin("2001:db8::1"), origin("2001:db8::ffff:2"));
        assert_ne!(origin("2001:db8::1"), origin("2001:db8:0:1::1"));
        assert_ne!(Origin::of(None), origin("127.0.0.1"));
    }

    #[test]
    fn a_crowd_is_bounded_in_all_and_by_origin() {
        let mut crowd = Crowd::default();
        let (a, b) = (origin("10.0.0.1"), origin("10.0.0.2"));
        for _ in 0..OF_ONE_ORIGIN {
            crowd.enter(a, 20).unwrap();
        }
        assert!(crowd.enter(a, 20).unwrap_err().of_origin);
        for _ in 0..4 {
            crowd.enter(b, 20).unwrap();
        }
        let full = crowd.enter(origin("10.0.0.3"), 20).unwrap_err();
        assert_eq!((full.count, full.of_origin), (20, false));
        crowd.leave(a);
        crowd.enter(origin("10.0.0.3"), 20).unwrap();
        for (origin, count) in [(a, OF_ONE_ORIGIN - 1), (b, 4), (origin("10.0.0.3"), 1)] {
            (0..count).for_each(|_| crowd.leave(origin));
        }
        assert_eq!((crowd.len(), crowd.counts.of_origin.len()), (0, 0));
    }

    #[test]
    fn who_guesses_is_answered_ever_later_and_one_at_a_time() {
        let start = Instant::now();
        let mut failures = Failures::default();
        let a = origin("10.0.0.1");
        let waits: Vec<u128> = (0..8)
            .map(|_| (failures.note(start, a) - start).as_millis())
            .collect();
        assert_eq!(waits, [250, 750, 1750, 3750, 7750, 15_750, 23_750, 30_000]);
        let other = failures.note(start, origin("10.0.0.2"));
        assert_eq!(other - start, FIRST_DELAY, "others are not slowed");
        let later = start + FORGET;
        assert_eq!(failures.note(later, a) - later, FIRST_DELAY);
        assert_eq!(failures.count(), 10);
    }

    #[test]
    fn no_number_of_addresses_takes_more_memory() {
        let start = Instant::now();
        let mut failures = Failures::default();
        for n in 0..3 * REMEMBERED as u32 {
            let address = Origin::Address(n.into());
            failures.note(start + Duration::from_millis(n.into()), address);
        }
        assert_eq!(failures.of_origin.len(), REMEMBERED);
    }
}
