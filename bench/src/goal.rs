//! What is to be reached, and whether it was. The goals stand beside the measurements; they are not changed to be reached.

use serde::Serialize;

use crate::stats::Spread;

/// A bound.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// The ratio to the floor is at most this.
    RatioAtMost(f64),
    /// The ratio to the floor is at least this.
    RatioAtLeast(f64),
    /// The figure itself is at most this.
    AtMost(f64),
}

impl Goal {
    /// Whether the medians reach it; `None` if it is about a ratio and there is none.
    pub fn is_reached(self, value: Spread, ratio: Option<Spread>) -> Option<bool> {
        match self {
            Goal::RatioAtMost(limit) => ratio.map(|ratio| ratio.median <= limit),
            Goal::RatioAtLeast(limit) => ratio.map(|ratio| ratio.median >= limit),
            Goal::AtMost(limit) => Some(value.median <= limit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_reached_at_its_bound_and_not_beyond() {
        let spread = |median| Spread {
            median,
            min: 0.0,
            max: 9.0,
        };
        for (goal, value, ratio, reached) in [
            (Goal::RatioAtMost(1.05), 9.0, Some(1.05), Some(true)),
            (Goal::RatioAtMost(1.05), 0.0, Some(1.06), Some(false)),
            (Goal::RatioAtLeast(0.9), 0.0, Some(0.89), Some(false)),
            (Goal::RatioAtLeast(0.9), 0.0, Some(0.9), Some(true)),
            (Goal::RatioAtMost(1.05), 0.0, None, None),
            (Goal::AtMost(6.0), 6.0, None, Some(true)),
            (Goal::AtMost(6.0), 6.1, Some(0.1), Some(false)),
        ] {
            assert_eq!(
                goal.is_reached(spread(value), ratio.map(spread)),
                reached,
                "{goal:?} {value} {ratio:?}"
            );
        }
    }
}
