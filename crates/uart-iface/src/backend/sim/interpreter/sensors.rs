//! What the simulated sensors show: a slow triangle and a little noise, from nothing but seed and uptime, in whole
//! numbers. A real board measures here.

use std::fmt;

use super::super::random::mix;

/// A temperature in tenths of a degree Celsius; prints as `21.5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Temperature(u32);

/// 19.4 to 23.6 °C, there and back in 10 minutes.
pub(super) fn temperature(seed: u32, uptime_ms: u64) -> Temperature {
    let noise = mix(seed ^ low(uptime_ms / 1000)) % 3;
    Temperature(194 + triangle(uptime_ms, 600_000, 40) + noise)
}

/// 0 to 1023, there and back in 10 s on channel 0, in 10 s more on each further channel.
pub(super) fn adc(seed: u32, uptime_ms: u64, channel: u32) -> u32 {
    let noise = mix(seed ^ (channel << 24) ^ low(uptime_ms / 10)) % 5;
    let period = 10_000 * (u64::from(channel) + 1);
    (triangle(uptime_ms, period, 1023) + noise).clamp(2, 1025) - 2
}

/// Rises from 0 to `top` in the first half of each period, and falls in the second.
fn triangle(time: u64, period: u64, top: u32) -> u32 {
    let time = time % period;
    let half = period / 2;
    let distance = if time < half { time } else { period - time };
    (distance * u64::from(top) / half) as u32
}

fn low(x: u64) -> u32 {
    (x & u64::from(u32::MAX)) as u32
}

impl fmt::Display for Temperature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 10, self.0 % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_triangle_goes_there_and_back() {
        for (time, expected) in [
            (0, 0),
            (250, 50),
            (500, 100),
            (750, 50),
            (999, 0),
            (1250, 50),
        ] {
            assert_eq!(triangle(time, 1000, 100), expected, "{time}");
        }
    }

    #[test]
    fn readings_stay_in_their_range_at_any_time_and_seed() {
        for i in 0..200_000u64 {
            let (seed, time) = (mix(i as u32), i * 37);
            assert!(adc(seed, time, (i % 8) as u32) <= 1023);
            assert!((194..=236).contains(&temperature(seed, time).0));
        }
        adc(u32::MAX, u64::MAX, 7);
        temperature(u32::MAX, u64::MAX);
    }

    #[test]
    fn temperatures_are_printed_with_one_decimal() {
        assert_eq!(Temperature(205).to_string(), "20.5");
        assert_eq!(Temperature(190).to_string(), "19.0");
    }
}
