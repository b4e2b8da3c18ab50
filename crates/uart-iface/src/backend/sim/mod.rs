//! Simulated boards: the list of them, what a board is, and the device spec `sim:NAME?key=value&key=value`.
//! A board itself is pure; the file `port` holds the one adapter that makes it a [`Port`] with a clock.

mod answering;
mod echo;
mod flaky;
mod flood;
mod interpreter;
mod micropython;
mod modbus;
mod modem;
mod noisy;
mod options;
mod pacer;
mod port;
mod random;

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Instant;

pub(crate) use options::did_you_mean;
pub use options::{OptionHelp, Options};
pub(crate) use pacer::Pacer;

use rustix::io::Errno;

use crate::backend::{Backend, Device};
use crate::{LineSettings, OpenError, OutputSignals, Port, SpecError};

/// Every simulated board. A new one is one file and one line here.
pub const BOARDS: &[&dyn BoardKind] = &[
    &interpreter::Kind,
    &echo::Kind,
    &noisy::Kind,
    &flaky::Kind,
    &flood::Kind,
    &modem::Kind,
    &micropython::Kind,
    &modbus::Kind,
];

/// The option every simulated board has (and the loopback plug too).
pub const PACE: OptionHelp = OptionHelp {
    name: "pace",
    values: "none|line",
    default: "none",
    meaning: "bytes arrive at once, or one by one at the baud rate in force",
};

/// One kind of simulated board: it parses its own options and describes itself.
pub trait BoardKind: Sync {
    /// What follows `sim:`.
    fn name(&self) -> &'static str;

    /// One line for help and documentation.
    fn summary(&self) -> &'static str;

    /// The options it has besides [`PACE`], for help and documentation.
    fn options(&self) -> &'static [OptionHelp];

    /// Builds the board, taking the options it knows out of `options`; what is left is refused by the caller.
    ///
    /// # Errors
    /// An option whose value is not right.
    fn build(&self, options: &mut Options) -> Result<Box<dyn Board>, SpecError>;
}

/// A board as a pure state machine: bytes and a `now` in, bytes out. It knows no clock, no thread and no socket.
///
/// A board comes to life at the first `now` it is told. No later `now` is before an earlier one.
pub trait Board: fmt::Debug {
    /// How many bytes the board can take now without losing any. It grows when output is taken and when time passes.
    fn input_room(&self) -> usize;

    /// Bytes arrived on the board's RX pin. What is more than [`Board::input_room`] is lost, as on a real board.
    fn handle_input(&mut self, now: Instant, bytes: &[u8]);

    /// The host changed DTR or RTS. Only changes are told; both are off before the first.
    fn handle_outputs(&mut self, _now: Instant, _outputs: OutputSignals) {}

    /// The host began or ended a break. Only changes are told.
    fn handle_break(&mut self, _now: Instant, _on: bool) {}

    /// The board lost its power and has it again: everything volatile is as at the beginning.
    fn handle_power_cycle(&mut self, now: Instant);

    /// Appends what the board has sent until `now`. The board is always asked up to `limit` bytes at a time, and keeps
    /// what does not fit: a board that nobody reads is held up, it does not lose bytes.
    fn poll_output(&mut self, now: Instant, limit: usize, out: &mut Vec<u8>);

    /// When the board will next do something by itself: later than the last moment it was told. That bytes wait to be
    /// sent is no reason. Before its first moment: `None`.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Whether the board is there at `now`, and until when that holds. The default: always.
    fn presence(&mut self, _now: Instant) -> Presence {
        Presence::Here { until: None }
    }

    /// Whether this fails at `now`, with an I/O error, although the board is there; asked each time it is done. The default:
    /// never.
    fn fails(&mut self, _now: Instant, _doing: Doing) -> bool {
        false
    }

    /// The prompt of its interpreter, if it has one that is always printed.
    fn prompt(&self) -> Option<&str> {
        None
    }

    /// The name of the interpreter profile it is talked to by, if it has an interpreter.
    fn profile(&self) -> Option<&'static str> {
        self.prompt().map(|_| "prompt")
    }
}

/// Whether a board is plugged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It is there, for ever or until that moment.
    Here {
        /// When it will vanish.
        until: Option<Instant>,
    },
    /// It has vanished, and will be back at that moment.
    Away {
        /// When it will be back.
        until: Instant,
    },
}

/// What can fail at a board that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// Opening a port to it.
    Open,
    /// Reading from it.
    Read,
    /// Writing to it.
    Write,
}

/// How fast bytes travel between a simulated board and the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// At once. Nothing is lost: the wire waits until the board has room.
    None,
    /// One character after the other, at the baud rate in force.
    Line,
}

impl Pace {
    /// Takes the option `pace`.
    ///
    /// # Errors
    /// A value that is neither `none` nor `line`.
    pub(crate) fn take(options: &mut Options) -> Result<Pace, SpecError> {
        let pace = options.take(PACE.name, "none or line", |value| match value {
            "none" => Some(Pace::None),
            "line" => Some(Pace::Line),
            _ => None,
        })?;
        Ok(pace.unwrap_or(Pace::None))
    }
}

/// The backend of simulated boards.
#[derive(Debug)]
pub struct Sim;

impl Backend for Sim {
    fn scheme(&self) -> &'static str {
        "sim"
    }

    fn summary(&self) -> &'static str {
        "a simulated board: interpreter, echo, noisy, flaky, flood, modem, micropython, modbus; ?key=value&key=value for its options"
    }

    fn examples(&self) -> &'static [&'static str] {
        &[
            "sim:interpreter",
            "sim:interpreter?pace=line&seed=7",
            "sim:echo",
            "sim:noisy?rate=10",
            "sim:flaky?up=2s&down=500ms",
            "sim:flaky?fault=any&seed=3",
            "sim:flood?rate=2MB/s&bytes=64MiB",
            "sim:modbus?address=17",
        ]
    }

    fn parse(&self, spec: &str, rest: &str) -> Result<Box<dyn Device>, SpecError> {
        let (name, query) = rest.split_once('?').unwrap_or((rest, ""));
        let Some(kind) = BOARDS.iter().find(|kind| kind.name() == name) else {
            return Err(SpecError::new(spec, unknown_board(name)));
        };
        let mut options = Options::parse(spec, &format!("sim:{name}"), query)?;
        let pace = Pace::take(&mut options)?;
        let board = kind.build(&mut options)?;
        options.finish()?;
        Ok(Box::new(SimDevice {
            spec: spec.to_owned(),
            prompt: board.prompt().map(str::to_owned),
            profile: board.profile(),
            pace,
            board: Rc::new(RefCell::new(board)),
        }))
    }
}

fn unknown_board(name: &str) -> String {
    let names: Vec<&str> = BOARDS.iter().map(|kind| kind.name()).collect();
    format!(
        "there is no simulated board \"{name}\"{}; there is {}",
        did_you_mean(name, names.iter().copied()),
        names.join(", ")
    )
}

/// A simulated board, which lives on while no port to it is open.
#[derive(Debug)]
struct SimDevice {
    spec: String,
    prompt: Option<String>,
    profile: Option<&'static str>,
    pace: Pace,
    board: SharedBoard,
}

/// A board, held by its device and by the port to it, if one is open. Only the port touches it then.
type SharedBoard = Rc<RefCell<Box<dyn Board>>>;

impl Device for SimDevice {
    fn spec(&self) -> &str {
        &self.spec
    }

    fn open(
        &mut self,
        line: LineSettings,
        outputs: OutputSignals,
    ) -> Result<Box<dyn Port>, OpenError> {
        if Rc::strong_count(&self.board) > 1 {
            return Err(OpenError::Busy {
                path: self.spec.clone().into(),
                pid: Some(std::process::id()),
            });
        }
        let now = uartnet_reactor::now();
        if let Presence::Away { .. } = self.board.borrow_mut().presence(now) {
            return Err(OpenError::NotFound {
                spec: self.spec.clone(),
            });
        }
        if self.board.borrow_mut().fails(now, Doing::Open) {
            return Err(OpenError::Io {
                spec: self.spec.clone(),
                doing: "open",
                source: Errno::IO.into(),
            });
        }
        let spec = self.spec.clone();
        let board = self.board.clone();
        Ok(Box::new(port::SimPort::open(
            spec, board, self.pace, line, outputs,
        )))
    }

    fn prompt(&self) -> Option<&str> {
        self.prompt.as_deref()
    }

    fn profile(&self) -> Option<&'static str> {
        self.profile
    }
}
