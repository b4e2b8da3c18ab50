//! Numbers that look accidental and are the same for the same seed, so that a simulation can be repeated.
//! Not for secrets.

use std::time::Duration;

/// A sequence drawn from a seed.
#[derive(Debug, Clone)]
pub(crate) struct Random {
    state: u32,
}

impl Random {
    /// The sequence of this seed. `stream` tells apart sequences that should not resemble each other.
    pub(crate) fn new(seed: u32, stream: u32) -> Random {
        Random {
            state: mix(seed) ^ mix(stream.wrapping_add(0x9e37_79b9)),
        }
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u32 {
        self.state = self.state.wrapping_add(0x9e37_79b9);
        mix(self.state)
    }

    /// The next number, below `bound` (at least 1).
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        // The upper half of the product is evenly spread without a division.
        ((u64::from(self.next()) * u64::from(bound)) >> 32) as u32
    }

    /// A time between 0 and twice `mean`, so that `mean` is what comes out in the long run; at least 1 ms.
    pub(crate) fn around(&mut self, mean: Duration) -> Duration {
        (mean * 2)
            .mul_f64(f64::from(self.next()) / f64::from(u32::MAX))
            .max(Duration::from_millis(1))
    }
}

/// Spreads the bits of `x` over the whole word, one to one.
pub(crate) fn mix(x: u32) -> u32 {
    let mut x = x;
    x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_another_seed_others() {
        let take = |seed, stream| {
            let mut random = Random::new(seed, stream);
            (0..8).map(|_| random.next()).collect::<Vec<_>>()
        };
        assert_eq!(take(7, 1), take(7, 1));
        assert_ne!(take(7, 1), take(8, 1));
        assert_ne!(take(7, 1), take(7, 2));
    }

    #[test]
    fn numbers_stay_below_their_bound_and_reach_all_of_it() {
        let mut random = Random::new(1, 1);
        let mut seen = [0; 5];
        for _ in 0..1000 {
            seen[random.below(5) as usize] += 1;
        }
        assert!(seen.iter().all(|&times| times > 100), "{seen:?}");
    }

    #[test]
    fn times_have_their_mean() {
        let mut random = Random::new(1, 1);
        let mean = Duration::from_millis(100);
        let total: Duration = (0..10_000).map(|_| random.around(mean)).sum();
        assert!((90..110).contains(&(total / 10_000).as_millis()));
    }
}
