//! `sim:flaky`: another simulated board on a bad plug. It is there for a while, vanishes for a while, and comes back
//! having lost its power; or a read or a write fails, and it goes on as it was. It may refuse to be opened a few times, and
//! be deaf for a while when it was.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::random::Random;
use super::{BOARDS, Board, BoardKind, Doing, OptionHelp, Options, Presence, unknown_board};
use crate::{OutputSignals, SpecError};

/// How long a time may be.
const RANGE: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(3600);

/// How long it may be deaf.
const DEAF: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3600);

/// The entry in the list of boards.
#[derive(Debug)]
pub(super) struct Kind;

impl BoardKind for Kind {
    fn name(&self) -> &'static str {
        "flaky"
    }

    fn summary(&self) -> &'static str {
        "another board that is unplugged and comes back again and again; takes that board's options too"
    }

    fn options(&self) -> &'static [OptionHelp] {
        &[
            OptionHelp {
                name: "of",
                values: "the name of a board",
                default: "interpreter",
                meaning: "which board vanishes",
            },
            OptionHelp {
                name: "up",
                values: "10ms to 1h",
                default: "5s",
                meaning: "how long it is there",
            },
            OptionHelp {
                name: "down",
                values: "10ms to 1h",
                default: "1s",
                meaning: "how long it is away",
            },
            OptionHelp {
                name: "fault",
                values: "unplug|read|write|any",
                default: "unplug",
                meaning: "how the time it is there ends: it vanishes, or a read or a write fails; any: one of them, at random",
            },
            OptionHelp {
                name: "refuse",
                values: "0 to 100",
                default: "0",
                meaning: "how often it refuses to be opened when it is there (again)",
            },
            OptionHelp {
                name: "deaf",
                values: "0s to 1h",
                default: "0s",
                meaning: "how long it takes no byte when it was opened",
            },
            OptionHelp {
                name: "jitter",
                values: "0 to 90",
                default: "0",
                meaning: "by how many per cent the times up and down are shorter or longer, at random",
            },
            OptionHelp {
                name: "seed",
                values: "0 to 4294967295",
                default: "0",
                meaning: "where what is random comes from",
            },
        ]
    }

    fn build(&self, options: &mut Options) -> Result<Box<dyn Board>, SpecError> {
        let of = options
            .take("of", "the name of a board", |value| Some(value.to_owned()))?
            .unwrap_or_else(|| "interpreter".to_owned());
        let kind = match BOARDS.iter().find(|kind| kind.name() == of) {
            Some(kind) if of != self.name() => kind,
            Some(_) => return Err(options.refuse("a flaky board cannot be flaky once more")),
            None => return Err(options.refuse(unknown_board(&of))),
        };
        let faults = options.take("fault", "unplug, read, write or any", |value| match value {
            "unplug" => Some(Faults::Always(Fault::Unplug)),
            "read" => Some(Faults::Always(Fault::Read)),
            "write" => Some(Faults::Always(Fault::Write)),
            "any" => Some(Faults::Any),
            _ => None,
        })?;
        let refuse = options.number("refuse", 0, 0..=100)?;
        Ok(Box::new(Flaky {
            faults: faults.unwrap_or(Faults::Always(Fault::Unplug)),
            refuse,
            deaf: options.duration("deaf", Duration::ZERO, DEAF)?,
            up: options.duration("up", Duration::from_secs(5), RANGE)?,
            down: options.duration("down", Duration::from_secs(1), RANGE)?,
            // The range is far below that of u32.
            jitter: options.number("jitter", 0, 0..=90)? as u32,
            random: Random::new(options.seed()?, 1),
            board: kind.build(options)?,
            here: true,
            fault: Fault::Unplug,
            refusals: 0,
            hears_from: None,
            until: None,
            seen: None,
        }))
    }
}

/// How the time ends in which it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It vanishes.
    Unplug,
    /// A read fails. It is there all the same, and has what was not read.
    Read,
    /// A write fails, and so on.
    Write,
}

#[derive(Debug, Clone, Copy)]
enum Faults {
    Always(Fault),
    Any,
}

#[derive(Debug)]
struct Flaky {
    board: Box<dyn Board>,
    up: Duration,
    down: Duration,
    /// Per cent.
    jitter: u32,
    random: Random,
    faults: Faults,
    refuse: u64,
    deaf: Duration,
    here: bool,
    /// How the time that runs will end, if it is here.
    fault: Fault,
    /// How often it will still refuse to be opened.
    refusals: u64,
    /// When it is no longer deaf.
    hears_from: Option<Instant>,
    /// When it vanishes, fails or comes back. `None` before its first moment.
    until: Option<Instant>,
    /// When it was last asked whether it is there.
    seen: Option<Instant>,
}

impl Flaky {
    /// How long it will be there, or away.
    fn lasts(&mut self) -> Duration {
        let time = if self.here { self.up } else { self.down };
        let percent = 100 - self.jitter + self.random.below(2 * self.jitter + 1);
        time * percent / 100
    }

    /// It is there from now on; gives until when.
    fn begin(&mut self, now: Instant) -> Instant {
        self.here = true;
        self.refusals = self.refuse;
        self.fault = match self.faults {
            Faults::Always(fault) => fault,
            Faults::Any => match self.random.below(3) {
                0 => Fault::Unplug,
                1 => Fault::Read,
                _ => Fault::Write,
            },
        };
        now + self.lasts()
    }

    fn is_deaf(&self) -> bool {
        self.hears_from > self.seen
    }
}

impl Board for Flaky {
    fn input_room(&self) -> usize {
        if self.is_deaf() {
            return 0;
        }
        self.board.input_room()
    }

    fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        if !self.is_deaf() {
            self.board.handle_input(now, bytes);
        }
    }

    fn handle_outputs(&mut self, now: Instant, outputs: OutputSignals) {
        self.board.handle_outputs(now, outputs);
    }

    fn handle_break(&mut self, now: Instant, on: bool) {
        self.board.handle_break(now, on);
    }

    fn handle_power_cycle(&mut self, now: Instant) {
        self.board.handle_power_cycle(now);
    }

    fn poll_output(&mut self, now: Instant, limit: usize, out: &mut Vec<u8>) {
        self.board.poll_output(now, limit, out);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let hears = self.hears_from.filter(|_| self.is_deaf());
        self.board.poll_timeout().into_iter().chain(hears).min()
    }

    /// It is always seen to vanish, however late it is asked: when it has been away and back since it was last asked,
    /// it says that it is away once more.
    fn presence(&mut self, now: Instant) -> Presence {
        let mut until = match self.until {
            Some(until) => until,
            None => self.begin(now),
        };
        let seen = self.seen.replace(now).unwrap_or(now);
        let was_here = self.here;
        while until <= now && !(self.here && self.fault != Fault::Unplug) {
            if self.here {
                self.here = false;
                until += self.lasts();
            } else {
                // It starts when its power is back; but its time never runs backwards.
                self.board.handle_power_cycle(until.max(seen));
                until = self.begin(until);
            }
            if was_here {
                break;
            }
        }
        self.until = Some(until);
        if self.here {
            // A fault that is due waits for who runs into it.
            let until = Some(until).filter(|until| *until > now);
            Presence::Here { until }
        } else {
            Presence::Away { until }
        }
    }

    fn fails(&mut self, now: Instant, doing: Doing) -> bool {
        let fault = match doing {
            Doing::Open if self.refusals > 0 => {
                self.refusals -= 1;
                return true;
            }
            Doing::Open => {
                self.hears_from = Some(now + self.deaf);
                // However long nobody had it open, it works for a while.
                if self.fault != Fault::Unplug {
                    self.until = Some(now + self.lasts());
                }
                return false;
            }
            Doing::Read => Fault::Read,
            Doing::Write => Fault::Write,
        };
        let is_due = self.here && self.until.is_some_and(|until| until <= now);
        if !is_due || self.fault != fault {
            return false;
        }
        self.until = Some(self.begin(now));
        true
    }

    fn prompt(&self) -> Option<&str> {
        self.board.prompt()
    }

    fn profile(&self) -> Option<&'static str> {
        self.board.profile()
    }
}
