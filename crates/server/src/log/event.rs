//! What a log says beside bytes: events, as they stand in the log's text. Not the bytes; those are `text`'s.

use serde::{Deserialize, Serialize};
use uartnet_hub::{AskEnd, DeviceState, Happening, ReceiveErrors};

use crate::harmless;

/// The format that [`Event::Log`] names.
pub(crate) const FORMAT: &str = "uartnet-log/1";

/// One event. docs/logs.md says what each means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Event {
    /// A log begins here, or goes on here in another file or another life of the gateway.
    Log {
        /// [`FORMAT`].
        format: String,
        /// The gateway's name.
        gateway: String,
        /// The port's name.
        port: String,
        /// Its device spec.
        device: String,
        /// Which life of the gateway the offsets that follow belong to.
        epoch: String,
    },
    /// The gateway stops.
    Stop,
    /// The device is there.
    Present {
        /// The line settings in force.
        line: String,
        /// The lines we drive.
        outputs: String,
        /// The lines we observe.
        inputs: String,
    },
    /// The device is not there.
    Absent {
        /// Why, as a sentence.
        reason: String,
    },
    /// The line settings in force changed.
    Line {
        /// To these.
        line: String,
    },
    /// Signals changed.
    Signals {
        /// The lines we drive.
        outputs: String,
        /// The lines we observe.
        inputs: String,
    },
    /// Something went wrong on the line.
    Errors {
        /// What: `framing`, `parity`, `overrun`, `break`.
        what: Vec<String>,
    },
    /// An ask ended.
    Ask {
        /// Who asked, as far as it is known.
        client: String,
        /// `replied`, or how else, as the counters name it.
        end: String,
        /// The first offset looked at.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<u64>,
        /// The first offset after the reply.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<u64>,
        /// From the command's first byte to the reply's end, in microseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        took_us: Option<u64>,
    },
    /// Received bytes that are not in the log.
    Gap {
        /// The first offset missed.
        from: u64,
        /// The first offset that follows.
        to: u64,
    },
    /// Sent bytes and events that are not in the log.
    Missed {
        /// How many records.
        records: u64,
    },
    /// The log could not be written for a while.
    Trouble {
        /// Why, as a sentence.
        reason: String,
        /// Since when.
        since: String,
    },
    /// Not written but read: a record that is not whole, since something cut it short or changed it.
    Damaged {
        /// How many bytes of it there are.
        bytes: u64,
    },
}

impl Event {
    /// What happened, unless it is bytes.
    pub(super) fn of(what: &Happening) -> Option<Event> {
        Some(match what {
            Happening::Sent { .. } => return None,
            Happening::State(state) => Event::state(state),
            Happening::Line(line) => Event::Line {
                line: line.to_string(),
            },
            Happening::Signals { outputs, inputs } => Event::Signals {
                outputs: outputs.to_string(),
                inputs: inputs.to_string(),
            },
            Happening::Errors(errors) => Event::Errors {
                what: error_names(*errors),
            },
            Happening::Asked { client, end } => {
                let (end, from, to, took_us) = match end {
                    AskEnd::Replied { from, to, took } => {
                        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                        ("replied", Some(from.0), Some(to.0), Some(took))
                    }
                    AskEnd::Failed { how } => (*how, None, None, None),
                };
                Event::Ask {
                    client: client.clone(),
                    end: end.to_owned(),
                    from,
                    to,
                    took_us,
                }
            }
        })
    }

    /// The device's state.
    pub(super) fn state(state: &DeviceState) -> Event {
        match state {
            DeviceState::Present {
                line,
                outputs,
                inputs,
            } => Event::Present {
                line: line.to_string(),
                outputs: outputs.to_string(),
                inputs: inputs.to_string(),
            },
            DeviceState::Absent { reason } => Event::Absent {
                reason: reason.clone(),
            },
        }
    }

    /// The event as JSON on one line.
    pub(super) fn json(&self) -> String {
        // Texts, numbers and lists of texts only, so there is nothing that could be refused.
        harmless::json(self).unwrap_or_default()
    }
}

fn error_names(errors: ReceiveErrors) -> Vec<String> {
    [
        (errors.framing, "framing"),
        (errors.parity, "parity"),
        (errors.overrun, "overrun"),
        (errors.break_seen, "break"),
    ]
    .into_iter()
    .filter(|(happened, _)| *happened)
    .map(|(_, name)| name.to_owned())
    .collect()
}
