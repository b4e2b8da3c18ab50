//! `sim:noisy`: the interpreter on a console it has to share. Log lines come between and inside its replies, and
//! garbage anywhere. Clients and profiles are tried on it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::interpreter::{self, Interpreter};
use super::random::Random;
use super::{Board, BoardKind, OptionHelp, Options};
use crate::{OutputSignals, SpecError};

/// While so many bytes wait to be sent, nothing is added.
const BUFFER: usize = 1024;

/// What log lines say.
const EVENTS: [&str; 4] = [
    "wifi: beacon lost",
    "sensor: recalibrated",
    "watchdog: fed late",
    "flash: wear level 3",
];

/// Garbage: what a bad line or another program may send. The text in it is none of the interpreter's.
const GARBAGE: [&[u8]; 8] = [
    b"\x00",
    b"\xff",
    b"\x80",
    b"\xc3\x28",
    b"\xe2\x82",
    b"\x1b[31m",
    b"\x1b[0m",
    b"\x07",
];

/// The entry in the list of boards.
#[derive(Debug)]
pub(super) struct Kind;

impl BoardKind for Kind {
    fn name(&self) -> &'static str {
        "noisy"
    }

    fn summary(&self) -> &'static str {
        "the interpreter with log lines and garbage in between; takes the interpreter's options too"
    }

    fn options(&self) -> &'static [OptionHelp] {
        &[
            OptionHelp {
                name: "logs",
                values: "0 to 100",
                default: "25",
                meaning: "the chance in per cent that a log line follows a line of the interpreter",
            },
            OptionHelp {
                name: "every",
                values: "0s to 1h",
                default: "1s",
                meaning: "the mean time between log lines that come by themselves; 0s: none do",
            },
            OptionHelp {
                name: "rate",
                values: "0 to 1000",
                default: "1",
                meaning: "how many pieces of garbage come per second on average",
            },
            OptionHelp {
                name: "seed",
                values: "0 to 4294967295",
                default: "0",
                meaning: "where all that is accidental comes from",
            },
        ]
    }

    fn build(&self, options: &mut Options) -> Result<Box<dyn Board>, SpecError> {
        let config = interpreter::Config::take(options)?;
        let seed = options.seed()?;
        let hour = Duration::from_secs(3600);
        let every = options.duration("every", Duration::from_secs(1), Duration::ZERO..=hour)?;
        // Both ranges are far below that of u32.
        let rate = options.number("rate", 1, 0..=1000)? as u32;
        let chance = options.number("logs", 25, 0..=100)? as u32;
        Ok(Box::new(Noisy {
            board: Interpreter::new(config),
            tx: VecDeque::new(),
            at_line_start: true,
            started: None,
            chance,
            random: Random::new(seed, 2),
            count: 0,
            logs: Source::new(every, seed, 3),
            garbage: Source::new(
                Duration::from_secs(1).checked_div(rate).unwrap_or_default(),
                seed,
                4,
            ),
        }))
    }
}

#[derive(Debug)]
struct Noisy {
    board: Interpreter,
    /// To be sent.
    tx: VecDeque<u8>,
    at_line_start: bool,
    started: Option<Instant>,
    /// Per cent.
    chance: u32,
    random: Random,
    /// How many log lines there were.
    count: u64,
    logs: Source,
    garbage: Source,
}

/// Moments at random.
#[derive(Debug)]
struct Source {
    /// Zero: never.
    mean: Duration,
    random: Random,
    due: Option<Instant>,
}

impl Source {
    fn new(mean: Duration, seed: u32, stream: u32) -> Source {
        Source {
            mean,
            random: Random::new(seed, stream),
            due: None,
        }
    }

    /// Chooses the next moment, after `after`.
    fn schedule(&mut self, after: Instant) {
        self.due = (!self.mean.is_zero()).then(|| after + self.random.around(self.mean));
    }
}

impl Noisy {
    /// Lets everything happen that happens until `now`, in its order.
    fn run(&mut self, now: Instant) {
        if self.started.is_none() {
            self.started = Some(now);
            self.logs.schedule(now);
            self.garbage.schedule(now);
        }
        loop {
            let due = self.poll_timeout().filter(|due| *due <= now);
            let at = due.unwrap_or(now);
            self.listen(at);
            if due.is_none() {
                return;
            }
            let held_up = self.tx.len() >= BUFFER;
            if self.logs.due == due {
                if !held_up {
                    self.log(at, true);
                }
                self.logs.schedule(if held_up { now } else { at });
            }
            if self.garbage.due == due {
                if !held_up {
                    let piece = GARBAGE[self.random.below(GARBAGE.len() as u32) as usize];
                    self.say(piece);
                }
                self.garbage.schedule(if held_up { now } else { at });
            }
            if held_up {
                // The interpreter's own telemetry is left out until now too.
                self.board.poll_output(now, 0, &mut Vec::new());
            }
        }
    }

    /// Passes on what the interpreter has said until `now`, with log lines behind some of its lines.
    fn listen(&mut self, now: Instant) {
        let mut said = Vec::new();
        let room = BUFFER.saturating_sub(self.tx.len());
        self.board.poll_output(now, room, &mut said);
        for byte in said {
            self.say(&[byte]);
            if byte == b'\n' && self.random.below(100) < self.chance {
                self.log(now, false);
            }
        }
    }

    /// A log line. One that comes by itself begins a line of its own, whatever stands there.
    fn log(&mut self, now: Instant, by_itself: bool) {
        if by_itself && !self.at_line_start {
            self.say(b"\r\n");
        }
        self.count += 1;
        let uptime = self.started.map_or(Duration::ZERO, |started| now - started);
        let event = EVENTS[self.random.below(EVENTS.len() as u32) as usize];
        let (s, ms, n) = (uptime.as_secs(), uptime.subsec_millis(), self.count);
        self.say(format!("[{s}.{ms:03}] {n} {event}\r\n").as_bytes());
    }

    fn say(&mut self, bytes: &[u8]) {
        self.tx.extend(bytes);
        self.at_line_start = bytes.last() == Some(&b'\n');
    }
}

impl Board for Noisy {
    fn input_room(&self) -> usize {
        self.board.input_room()
    }

    fn handle_input(&mut self, now: Instant, mut bytes: &[u8]) {
        self.run(now);
        while !bytes.is_empty() {
            // Where the interpreter has no room, it loses what comes.
            let count = match self.board.input_room() {
                0 => bytes.len(),
                room => room.min(bytes.len()),
            };
            self.board.handle_input(now, &bytes[..count]);
            bytes = &bytes[count..];
            self.run(now);
        }
    }

    fn handle_outputs(&mut self, now: Instant, outputs: OutputSignals) {
        self.run(now);
        self.board.handle_outputs(now, outputs);
    }

    fn handle_break(&mut self, now: Instant, on: bool) {
        self.run(now);
        self.board.handle_break(now, on);
    }

    fn handle_power_cycle(&mut self, now: Instant) {
        self.tx.clear();
        self.at_line_start = true;
        self.started = None;
        self.count = 0;
        self.board.handle_power_cycle(now);
    }

    fn poll_output(&mut self, now: Instant, limit: usize, out: &mut Vec<u8>) {
        self.run(now);
        let mut left = limit;
        while left > 0 && !self.tx.is_empty() {
            let count = left.min(self.tx.len());
            out.extend(self.tx.drain(..count));
            left -= count;
            self.run(now);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        [self.board.poll_timeout(), self.logs.due, self.garbage.due]
            .into_iter()
            .flatten()
            .min()
    }

    fn prompt(&self) -> Option<&str> {
        self.board.prompt()
    }

    fn profile(&self) -> Option<&'static str> {
        self.board.profile()
    }
}
