//! Control operations: line settings, signals, break, purge and named sequences, run one at a time with the daemon's
//! timing. Each is a list of steps; what a step does to the device is an [`Action`] for the port's task.

use std::time::Duration;

use bytes::Bytes;
use uart_iface::{LineSettings, OutputChange, OutputSignals, Purge};

use crate::Refusal;

/// A control operation, as a client asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// Change line settings, for everybody.
    SetLine(LineSettings),
    /// Change line settings, for everybody, until this client gives them back or leaves: see [`Control::GiveLineBack`].
    HoldLine(LineSettings),
    /// End [`Control::HoldLine`]: the device goes back to what an earlier holder still holds, or else to what was in force
    /// before the first of them; unless somebody has set what is to stay. Reports what is in force then.
    GiveLineBack,
    /// Drive DTR and RTS.
    SetOutputs(OutputChange),
    /// Hold TX at space for this long.
    Break(Duration),
    /// Begin a break that lasts until this client ends it or leaves, for 60 s at most; or end it. Nothing is written while
    /// it lasts.
    HoldBreak(bool),
    /// Throw queued bytes away: in the device, and for `Transmit` and `Both` in the hub's write queue too.
    Purge(Purge),
    /// Run a sequence of the port: its own, or one that every port has.
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
    /// The device failed at a step of a sequence.
    #[error("{step}: {reason}")]
    Step {
        /// At which.
        step: StepPlace,
        /// Why, as a sentence.
        reason: String,
    },
    /// What a step of a sequence waits for did not arrive.
    #[error("{step}: it did not arrive within {}", humantime::format_duration(*.within))]
    NotSeen {
        /// At which.
        step: StepPlace,
        /// How long it had.
        within: Duration,
        /// What had arrived since the sequence began, or since what was waited for before; the last of it, if it is much.
        arrived: Bytes,
    },
}

/// A step of a sequence, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("step {number} of {of} (\"{text}\")")]
pub struct StepPlace {
    /// Which, from 1.
    pub number: usize,
    /// How many the sequence has.
    pub of: usize,
    /// The step as it is written.
    pub text: String,
}

/// When a step of a sequence was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepTime {
    /// The step as it is written.
    pub step: String,
    /// When it began, from when the sequence began.
    pub at: Duration,
    /// How long it took.
    pub took: Duration,
}
