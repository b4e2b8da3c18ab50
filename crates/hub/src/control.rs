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

/// The longest delay of one step: a typing error should not hold a port for a day.
const LONGEST_DELAY: Duration = Duration::from_secs(3600);

impl FromStr for Step {
    type Err = SequenceError;

    /// `dtr=on`, `rts=off`, `dtr=off rts=on`, `break=on`, `break=off`, or a delay: `100ms`, `1.5s`, at most one hour.
    fn from_str(text: &str) -> Result<Self, SequenceError> {
        let refuse = |problem: String| {
            Err(SequenceError {
                text: text.to_owned(),
                problem,
            })
        };
        if !text.contains('=') {
            return match humantime::parse_duration(text.trim()) {
                Ok(delay) if delay <= LONGEST_DELAY => Ok(Step::Delay(delay)),
                Ok(_) => refuse("a delay is at most one hour".to_owned()),
                Err(_) => {
                    refuse("write dtr=on, rts=off, break=on or a delay like 100ms".to_owned())
                }
            };
        }
        let mut outputs = OutputChange::default();
        let mut holds_break = None;
        for part in text.split_whitespace() {
            let Some((name, value)) = part.split_once('=') else {
                return refuse(format!(
                    "\"{part}\" stands beside a signal; a delay is a step of its own"
                ));
            };
            let on = match value {
                "on" => true,
                "off" => false,
                _ => return refuse(format!("\"{value}\" should be on or off")),
            };
            let signal = match name {
                "dtr" => &mut outputs.dtr,
                "rts" => &mut outputs.rts,
                "break" => &mut holds_break,
                _ => return refuse(format!("\"{name}\" should be dtr, rts or break")),
            };
            if signal.replace(on).is_some() {
                return refuse(format!("{name} is there twice"));
            }
        }
        match holds_break {
            None => Ok(Step::Outputs(outputs)),
            Some(on) if outputs == OutputChange::default() => Ok(Step::Break(on)),
            Some(_) => refuse("a break is a step of its own".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_people_write() {
        let outputs = |dtr, rts| Step::Outputs(OutputChange { dtr, rts });
        for (text, step) in [
            ("dtr=on", outputs(Some(true), None)),
            ("rts=off", outputs(None, Some(false))),
            (" dtr=off  rts=on ", outputs(Some(false), Some(true))),
            ("break=on", Step::Break(true)),
            ("break=off", Step::Break(false)),
            ("100ms", Step::Delay(Duration::from_millis(100))),
            ("1.5s", Step::Delay(Duration::from_millis(1500))),
            ("2s", Step::Delay(Duration::from_secs(2))),
            ("1h", Step::Delay(Duration::from_secs(3600))),
        ] {
            assert_eq!(text.parse::<Step>().unwrap(), step, "{text}");
        }
    }

    #[test]
    fn everything_else_says_what_would_be_right() {
        for (text, problem) in [
            ("", "write dtr=on"),
            ("100", "write dtr=on"),
            ("-1s", "write dtr=on"),
            ("2h", "at most one hour"),
            ("dtr", "write dtr=on"),
            ("dtr=1", "\"1\" should be on or off"),
            ("cts=on", "\"cts\" should be dtr, rts or break"),
            ("=", "should be on or off"),
            ("dtr=on 100ms", "\"100ms\" stands beside a signal"),
            ("dtr=on dtr=off", "dtr is there twice"),
            ("break=on rts=on", "a step of its own"),
        ] {
            let error = text.parse::<Step>().unwrap_err().to_string();
            assert!(
                error.contains(problem) && error.contains(&format!("\"{text}\"")),
                "{text}: {error}"
            );
        }
    }
}
