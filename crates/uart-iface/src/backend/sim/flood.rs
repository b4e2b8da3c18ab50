//! `sim:flood`: a board that sends a pattern in which every byte tells its own offset, as fast as it is read, at a
//! rate, or so many bytes and no more. For tests and benchmarks: whoever receives it can say which bytes are missing.

use std::time::{Duration, Instant};

use super::{Board, BoardKind, OptionHelp, Options};
use crate::SpecError;

/// How long one line of the pattern `lines` is.
const LINE: u64 = 16;

/// The entry in the list of boards.
#[derive(Debug)]
pub(super) struct Kind;

impl BoardKind for Kind {
    fn name(&self) -> &'static str {
        "flood"
    }

    fn summary(&self) -> &'static str {
        "sends a counting pattern without end, at a rate, or so many bytes; ignores its input"
    }

    fn options(&self) -> &'static [OptionHelp] {
        &[
            OptionHelp {
                name: "rate",
                values: "none, or e.g. 2MB/s",
                default: "none",
                meaning: "how fast (B, kB, KiB, MB or MiB per second); none: as fast as it is read",
            },
            OptionHelp {
                name: "bytes",
                values: "none, or e.g. 64KiB",
                default: "none",
                meaning: "how much (B, kB, KiB, MB, MiB, GB or GiB; without a unit: bytes); none: no end",
            },
            OptionHelp {
                name: "pattern",
                values: "lines|bytes",
                default: "lines",
                meaning: "lines of 16 bytes, each its own offset in 14 digits and CRLF; or the bytes 0 to 255 in turn",
            },
            OptionHelp {
                name: "start",
                values: "power|input",
                default: "power",
                meaning: "whether it begins at once or at the first byte it gets",
            },
        ]
    }

    fn build(&self, options: &mut Options) -> Result<Box<dyn Board>, SpecError> {
        let rate = options.take("rate", "none, or a rate such as 2MB/s", |value| {
            or_none(value, |value| size(value.strip_suffix("/s")?))
        })?;
        let bytes = options.take("bytes", "none, or a size such as 64KiB", |value| {
            or_none(value, size)
        })?;
        let pattern = options.take("pattern", "lines or bytes", |value| match value {
            "lines" => Some(Pattern::Lines),
            "bytes" => Some(Pattern::Bytes),
            _ => None,
        })?;
        let waits = options.take("start", "power or input", |value| match value {
            "power" => Some(false),
            "input" => Some(true),
            _ => None,
        })?;
        Ok(Box::new(Flood {
            rate: rate.flatten(),
            total: bytes.flatten().unwrap_or(u64::MAX),
            pattern: pattern.unwrap_or(Pattern::Lines),
            waits: waits.unwrap_or(false),
            started: None,
            now: None,
            sent: 0,
        }))
    }
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pattern {
    /// `00000000000016\r\n`
    Lines,
    /// 0, 1, … 255, 0, …
    Bytes,
}

#[derive(Debug)]
struct Flood {
    /// Bytes per second; `None`: no limit.
    rate: Option<u64>,
    total: u64,
    pattern: Pattern,
    /// Whether it begins with the first input only.
    waits: bool,
    started: Option<Instant>,
    /// The last moment it was told.
    now: Option<Instant>,
    sent: u64,
}

impl Flood {
    fn look(&mut self, now: Instant) {
        self.now = Some(now);
        if !self.waits {
            self.started.get_or_insert(now);
        }
    }

    /// How many bytes should have been sent by now, whether somebody took them or not.
    fn due(&self) -> u64 {
        let (Some(started), Some(now)) = (self.started, self.now) else {
            return 0;
        };
        let due = match self.rate {
            None => u128::MAX,
            Some(rate) => (now - started).as_nanos() * u128::from(rate) / NANOS,
        };
        due.min(u128::from(self.total)) as u64
    }

    fn append(&self, count: u64, out: &mut Vec<u8>) {
        let end = self.sent + count;
        match self.pattern {
            Pattern::Bytes => out.extend((self.sent..end).map(|offset| offset as u8)),
            Pattern::Lines => {
                let mut at = self.sent;
                while at < end {
                    let line = at - at % LINE;
                    let text = format!("{:014}\r\n", line % 100_000_000_000_000);
                    let to = end.min(line + LINE);
                    out.extend(&text.as_bytes()[(at - line) as usize..(to - line) as usize]);
                    at = to;
                }
            }
        }
    }
}

const NANOS: u128 = 1_000_000_000;

impl Board for Flood {
    fn input_room(&self) -> usize {
        usize::MAX
    }

    fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        self.look(now);
        if !bytes.is_empty() {
            self.started.get_or_insert(now);
        }
    }

    fn handle_power_cycle(&mut self, now: Instant) {
        self.started = None;
        self.sent = 0;
        self.look(now);
    }

    fn poll_output(&mut self, now: Instant, limit: usize, out: &mut Vec<u8>) {
        self.look(now);
        let count = (self.due() - self.sent).min(limit as u64);
        self.append(count, out);
        self.sent += count;
    }

    /// The moment when a millisecond's worth of bytes is due, but at least one byte.
    fn poll_timeout(&self) -> Option<Instant> {
        let (started, rate) = (self.started?, self.rate?);
        if self.sent == self.total || self.due() > self.sent {
            return None;
        }
        let next = (self.sent + (rate / 1000).max(1)).min(self.total);
        let nanos = (u128::from(next) * NANOS).div_ceil(u128::from(rate));
        Some(started + Duration::from_nanos(u64::try_from(nanos).ok()?))
    }
}

/// `none`, or what `parse` makes of it.
fn or_none<T>(value: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
    if value == "none" {
        Some(None)
    } else {
        parse(value).map(Some)
    }
}

/// A number of bytes with a unit or without; at least 1, at most 2^62.
fn size(text: &str) -> Option<u64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit: u64 = match unit {
        "" | "B" => 1,
        "kB" => 1000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        _ => return None,
    };
    let size = number.parse::<u64>().ok()?.checked_mul(unit)?;
    (1..=1 << 62).contains(&size).then_some(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("1", Some(1)),
            ("64KiB", Some(65_536)),
            ("2MB", Some(2_000_000)),
            ("1GiB", Some(1 << 30)),
            ("0", None),
            ("", None),
            ("kB", None),
            ("1.5MB", None),
            ("-1", None),
            ("1mb", None),
            ("18446744073709551615", None),
            ("18446744073709551615GiB", None),
        ] {
            assert_eq!(size(text), expected, "{text}");
        }
    }
}
