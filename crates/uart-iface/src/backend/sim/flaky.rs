//! `sim:flaky`: another simulated board on a bad plug. It is there for a while, vanishes for a while, and comes back
//! having lost its power.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::random::Random;
use super::{BOARDS, Board, BoardKind, OptionHelp, Options, Presence, unknown_board};
use crate::{OutputSignals, SpecError};

/// How long a time may be.
const RANGE: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(3600);

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
                name: "jitter",
                values: "0 to 90",
                default: "0",
                meaning: "by how many per cent each time is shorter or longer, at random",
            },
            OptionHelp {
                name: "seed",
                values: "0 to 4294967295",
                default: "0",
                meaning: "where the jitter comes from",
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
        Ok(Box::new(Flaky {
            up: options.duration("up", Duration::from_secs(5), RANGE)?,
            down: options.duration("down", Duration::from_secs(1), RANGE)?,
            // The range is far below that of u32.
            jitter: options.number("jitter", 0, 0..=90)? as u32,
            random: Random::new(options.seed()?, 1),
            board: kind.build(options)?,
            here: true,
            until: None,
            seen: None,
        }))
    }
}

#[derive(Debug)]
struct Flaky {
    board: Box<dyn Board>,
    up: Duration,
    down: Duration,
    /// Per cent.
    jitter: u32,
    random: Random,
    here: bool,
    /// When it vanishes or comes back. `None` before its first moment.
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
}

impl Board for Flaky {
    fn input_room(&self) -> usize {
        self.board.input_room()
    }

    fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        self.board.handle_input(now, bytes);
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
        self.board.poll_timeout()
    }

    /// It is always seen to vanish, however late it is asked: when it has been away and back since it was last asked,
    /// it says that it is away once more.
    fn presence(&mut self, now: Instant) -> Presence {
        let mut until = match self.until {
            Some(until) => until,
            None => now + self.lasts(),
        };
        let seen = self.seen.replace(now).unwrap_or(now);
        let was_here = self.here;
        while until <= now {
            self.here = !self.here;
            if self.here {
                // It starts when its power is back; but its time never runs backwards.
                self.board.handle_power_cycle(until.max(seen));
            }
            until += self.lasts();
            if was_here {
                break;
            }
        }
        self.until = Some(until);
        if self.here {
            Presence::Here { until: Some(until) }
        } else {
            Presence::Away { until }
        }
    }

    fn prompt(&self) -> Option<&str> {
        self.board.prompt()
    }

    fn profile(&self) -> Option<&'static str> {
        self.board.profile()
    }
}
