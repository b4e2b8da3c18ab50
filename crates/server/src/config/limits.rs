//! The default and the range of every number in a configuration, in one place. docs/config.md says them to people.

use std::ops::RangeInclusive;
use std::time::Duration;

/// A value that a configuration may change within a range.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit<T> {
    pub(super) default: T,
    min: T,
    max: T,
}

impl<T: Copy> Limit<T> {
    const fn new(default: T, min: T, max: T) -> Limit<T> {
        Limit { default, min, max }
    }

    pub(super) fn range(&self) -> RangeInclusive<T> {
        self.min..=self.max
    }
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
/// 365.25 days, as humantime writes years.
const YEAR: Duration = Duration::from_secs(31_557_600);
const YEARS: Duration = Duration::from_secs(10 * 31_557_600);

/// A file bigger than this is no configuration, in bytes.
pub(super) const FILE: usize = MIB;

// [gateway]
pub(super) const DRAIN: Limit<Duration> = Limit::new(Duration::from_secs(5), Duration::ZERO, HOUR);
pub(super) const MAX_CONNECTIONS: Limit<usize> = Limit::new(4096, 1, 1_000_000);
pub(super) const MAX_CONNECTIONS_PER_PEER: RangeInclusive<usize> = 1..=1_000_000;
/// The kernel counts keepalive in whole seconds: one of silence, and three probes, leave no room for less.
pub(super) const DEAD_PEER: Limit<Duration> =
    Limit::new(Duration::from_secs(90), Duration::from_secs(5), HOUR);
pub(super) const MAX_FRAME: Limit<usize> =
    Limit::new(uartnet_proto::frame::DEFAULT_MAX_FRAME, 256, 16 * MIB);

pub(super) const HELLO_TIMEOUT: Limit<Duration> =
    Limit::new(Duration::from_secs(10), Duration::from_millis(100), MINUTE);
pub(super) const MAX_UNAUTHENTICATED: Limit<usize> = Limit::new(256, 1, 1_000_000);

// [[port]]; one GiB is also what a 32-bit machine can still address
pub(super) const HISTORY: Limit<usize> = Limit::new(MIB, 1, 1024 * MIB);
pub(super) const LEASE_IDLE: RangeInclusive<Duration> = SECOND..=DAY;
pub(super) const STALL_LIMIT: Limit<Duration> =
    Limit::new(Duration::from_secs(5), Duration::ZERO, HOUR);
pub(super) const WRITE_QUEUE: Limit<usize> = Limit::new(64 * KIB, KIB, 64 * MIB);
pub(super) const ASK_QUEUE: Limit<usize> = Limit::new(1024, 1, 65_536);
pub(super) const ASK_WAIT: Limit<Duration> = Limit::new(
    Duration::from_secs(30),
    MILLISECOND,
    uartnet_hub::LONGEST_TIMEOUT,
);
pub(super) const TYPING_HOLD: Limit<Duration> =
    Limit::new(Duration::from_secs(10), Duration::ZERO, HOUR);
pub(super) const PACING: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(10);

// [[port.log]]
pub(super) const ROTATE_SIZE: Limit<usize> = Limit::new(16 * MIB, 4 * KIB, 1024 * MIB);
pub(super) const ROTATE_AGE: RangeInclusive<Duration> = MINUTE..=YEAR;
pub(super) const KEEP_FILES: RangeInclusive<usize> = 0..=1_000_000;
pub(super) const KEEP_SIZE: Limit<usize> = Limit::new(1024 * MIB, 4 * KIB, 1 << 50);
pub(super) const KEEP_AGE: RangeInclusive<Duration> = MINUTE..=YEARS;
pub(super) const SYNC: Limit<Duration> =
    Limit::new(Duration::from_secs(10), Duration::from_millis(100), HOUR);

// [port.interpreter]
pub(super) const LINES: RangeInclusive<usize> = 1..=10_000;
pub(super) const QUIET: RangeInclusive<Duration> = MILLISECOND..=MINUTE;
pub(super) const TIMEOUT: Limit<Duration> = Limit::new(
    Duration::from_secs(2),
    MILLISECOND,
    uartnet_hub::LONGEST_TIMEOUT,
);
pub(super) const MAX_REPLY: Limit<usize> = Limit::new(MIB, 1, 64 * MIB);
/// The longest prompt, mark and beginning of a line, in bytes.
pub(super) const PROMPT: usize = 256;
/// How many beginnings of unsolicited lines there may be.
pub(super) const UNSOLICITED: usize = 256;
/// The longest end of line, in bytes.
pub(super) const EOL: usize = 16;
