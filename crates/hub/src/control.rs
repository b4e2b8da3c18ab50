//! Control operations: line settings, signals, break, purge and named sequences, run one at a time with the daemon's
//! timing. Each is a list of steps; what a step does to the device is an [`Action`] for the port's task.

use std::collections::VecDeque;
use std::str::FromStr;
use std::time::Duration;

use uart_iface::{LineSettings, OutputChange, OutputSignals, Purge};

use crate::Refusal;

/// A control operation, as a client asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// Change line settings, for everybody.
    SetLine(LineSettings),
    /// Drive DTR and RTS.
    SetOutputs(OutputChange),
    /// Hold TX at space for this long.
    Break(Duration),
    /// Throw queued bytes away: in the device, and for `Transmit` and `Both` in the hub's write queue too.
    Purge(Purge),
    /// Run a configured sequence.
    Run(String),
}

/// What the port's task does to the device now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// [`uart_iface::Port::apply`].
    Apply(LineSettings),
    /// [`uart_iface::Port::set_outputs`].
    SetOutputs(OutputChange),
    /// [`uart_iface::Port::set_break`].
    SetBreak(bool),
    /// [`uart_iface::Port::purge`].
    Purge(Purge),
}

/// What an action, or a whole control operation, came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionDone {
    /// The line settings the hardware took.
    Line(LineSettings),
    /// The state of both output lines.
    Outputs(OutputSignals),
    /// Done; there is nothing to report.
    Done,
}

/// Why a control operation was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// It was not accepted.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The device refused it, or vanished; the sentence says which and why.
    #[error("{0}")]
    Device(String),
}

/// A named list of steps, e.g. `dtr=off rts=on`, `100ms`, `rts=off`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// Its name.
    pub name: String,
    /// Its steps, in order.
    pub steps: VecDeque<Step>,
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// `dtr=on`, `rts=off`, or both.
    Outputs(OutputChange),
    /// `break=on` or `break=off`.
    Break(bool),
    /// A delay, counted from when the step before was due, so that delays do not add up errors.
    Delay(Duration),
}

/// A step that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not a step: {problem}")]
pub struct SequenceError {
    /// The step as it was given.
    pub text: String,
    /// What would be right.
    pub problem: String,
}

impl FromStr for Step {
    type Err = SequenceError;
    fn from_str(_text: &str) -> Result<Self, SequenceError> {
        todo!()
    }
}
