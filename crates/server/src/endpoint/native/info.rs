//! How ports and what happens to them are told in a session's messages: the conversion from the hub's words to the wire's.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use uart_iface::{ErrorCounters, InputSignals, OutputSignals};
use uartnet_hub::{
    AskTurn, CloseReason, DeviceState, GapWhy, HubInfo, Notice, OnLag, Profile, ReadFrom, Sequence,
    Step, WritePolicy,
};
use uartnet_hub::{Epoch, Offset};
use uartnet_proto::message::{
    self, Event, GatewayStatus, Inputs, Outputs, PortDetails, PortSummary, StartAt, State,
};

use super::failure::Failure;
use crate::access::{AllowedPort, Visitor};
use crate::log::LogCounters;

/// The program that speaks.
pub(super) const SERVER: &str = concat!("uartd ", env!("CARGO_PKG_VERSION"));

/// One line of `uart ls`.
pub(super) fn summary(port: &AllowedPort) -> PortSummary {
    summarise(port, &port.info())
}

/// Everything about one port.
pub(super) fn details(port: &AllowedPort, now: Instant) -> PortDetails {
    let errors = port.look(now);
    let info = port.info();
    let (absent_reason, outputs, inputs) = match &info.state {
        DeviceState::Present {
            outputs, inputs, ..
        } => (None, Some(to_outputs(*outputs)), Some(to_inputs(*inputs))),
        DeviceState::Absent { reason } => (Some(reason.clone()), None, None),
    };
    let all = port.sequences();
    PortDetails {
        summary: summarise(port, &info),
        absent_reason,
        outputs,
        inputs,
        epoch: info.epoch.to_string(),
        history_start: info.start.0,
        history_end: info.end.0,
        history_size: info.history as u64,
        lease: info.lease.clone(),
        sequences: all.iter().map(|it| it.name.clone()).collect(),
        sequence_steps: all.iter().map(steps).collect(),
        stalled: info.stalled,
        counters: counters(&info, errors, port.log_counters()),
    }
}

/// The gateway as a whole, as this visitor may see it.
pub(super) fn status(visitor: &Rc<Visitor>, now: Instant) -> GatewayStatus {
    let ports = visitor.ports();
    let is_present = |port: &&AllowedPort| matches!(port.info().state, DeviceState::Present { .. });
    let connections = visitor.connections();
    let strangers = visitor.gate_counters();
    let counters = [
        ("connections", connections.accepted - connections.ended),
        ("connections_accepted", connections.accepted),
        ("connections_cut", connections.cut),
        ("connections_refused", connections.refused),
        ("tokens_refused", strangers.tokens_refused),
        ("unauthenticated", strangers.unauthenticated),
        ("handshakes_failed", strangers.handshakes_failed),
        ("certificates_refused", strangers.certificates_refused),
        ("addresses_refused", strangers.not_allowed),
        ("audit_lost", strangers.audit_lost),
    ];
    GatewayStatus {
        name: visitor.gateway_name().to_string(),
        server: SERVER.to_owned(),
        epoch: visitor.epoch().to_string(),
        uptime_s: visitor.uptime(now).as_secs(),
        ports: ports.len() as u64,
        present: ports.iter().filter(is_present).count() as u64,
        counters: counters
            .into_iter()
            // Who comes and goes is no business of somebody who is let in to some of the ports.
            .filter(|_| visitor.may_see_everything())
            .map(|(name, count)| (name.to_owned(), count))
            .collect(),
    }
}

/// What is told of a notice that is about an open port and is neither data nor an answer.
pub(super) fn event(port: &str, notice: Notice) -> Option<Event> {
    let port = port.to_owned();
    Some(match notice {
        Notice::Gap { from, to, why } => Event::Gap {
            port,
            from: from.0,
            to: to.0,
            why: to_gap_why(why),
        },
        Notice::State { state, at, losses } => {
            let (state, reason, line) = match state {
                DeviceState::Present { line, .. } => (State::Present, None, Some(line.to_string())),
                DeviceState::Absent { reason } => (State::Absent, Some(reason), None),
            };
            Event::State {
                port,
                state,
                reason,
                line,
                at: at.0,
                losses,
            }
        }
        Notice::Line(line) => Event::Line {
            port,
            line: line.to_string(),
        },
        Notice::Signals { outputs, inputs } => Event::Signals {
            port,
            outputs: to_outputs(outputs),
            inputs: to_inputs(inputs),
        },
        Notice::Lease { holder, yours } => Event::Lease {
            port,
            holder,
            yours,
        },
        Notice::AskTurn(turn) => {
            let (turn, by, hold) = match turn {
                AskTurn::Waits { whose, hold } => ("waits", Some(whose), Some(hold)),
                AskTurn::Runs { whose } => ("runs", Some(whose), None),
                AskTurn::Over => ("over", None, None),
            };
            Event::AskTurn {
                port,
                turn: turn.to_owned(),
                by,
                hold_ms: hold.map(|hold| u64::try_from(hold.as_millis()).unwrap_or(u64::MAX)),
            }
        }
        Notice::Written { up_to } => Event::Written {
            port,
            offset: up_to,
        },
        Notice::WriteLost { from, to, reason } => Event::WriteLost {
            port,
            from,
            to,
            reason,
        },
        Notice::Closed(reason) => {
            let reason = match reason {
                CloseReason::Lagged { .. } => "lagged",
                CloseReason::Unread { .. } => "unread",
                CloseReason::Shutdown => "shutdown",
                CloseReason::Removed => "removed",
            };
            Event::Closed {
                port,
                reason: reason.to_owned(),
            }
        }
        // Counters are asked for, with `info`.
        Notice::Errors(_) => return None,
        Notice::Data { .. } | Notice::AskDone { .. } | Notice::ControlDone { .. } => return None,
    })
}

/// From where to read.
pub(super) fn read_from(from: &StartAt) -> Result<ReadFrom, Failure> {
    Ok(match from {
        StartAt::Live => ReadFrom::Live,
        StartAt::Start => ReadFrom::Start,
        StartAt::Last(count) => ReadFrom::Last(*count),
        StartAt::At { offset, epoch } => {
            let is_hex = epoch.len() == 16 && epoch.bytes().all(|byte| byte.is_ascii_hexdigit());
            let parsed = is_hex
                .then(|| u64::from_str_radix(epoch, 16).ok())
                .flatten()
                .ok_or_else(|| {
                    let sentence = "open: epoch must be the 16 hex digits that \"opened\" told";
                    Failure::new(message::ErrorCode::BadMessage, sentence)
                })?;
            ReadFrom::At {
                offset: Offset(*offset),
                epoch: Epoch(parsed),
            }
        }
    })
}

/// What to do with a client that lags.
pub(super) fn on_lag(on_lag: message::OnLag) -> OnLag {
    match on_lag {
        message::OnLag::Auto => OnLag::Auto,
        message::OnLag::Gap => OnLag::Gap,
        message::OnLag::Disconnect => OnLag::Disconnect,
        message::OnLag::Stall => OnLag::Stall,
    }
}

fn summarise(port: &AllowedPort, info: &HubInfo) -> PortSummary {
    let (state, line) = match &info.state {
        DeviceState::Present { line, .. } => (State::Present, *line),
        DeviceState::Absent { .. } => (State::Absent, port.line()),
    };
    PortSummary {
        name: port.name().to_string(),
        device: port.device(),
        state,
        line: line.to_string(),
        profile: profile_name(port.profile().as_ref()).to_owned(),
        write: match info.write {
            WritePolicy::Shared => "shared",
            WritePolicy::Exclusive => "exclusive",
            WritePolicy::None => "none",
        }
        .to_owned(),
        clients: info.clients as u64,
    }
}

fn profile_name(profile: Option<&Profile>) -> &'static str {
    profile.map_or("none", |profile| profile.name)
}

/// Which there are is in docs/wire.md.
fn counters(
    info: &HubInfo,
    device: Option<ErrorCounters>,
    logs: Option<LogCounters>,
) -> BTreeMap<String, u64> {
    let counters = &info.counters;
    let ours = [
        ("asks_board_error", counters.asks_board_error),
        ("asks_cancelled", counters.asks_cancelled),
        ("asks_device_lost", counters.asks_device_lost),
        ("asks_failed", counters.asks_failed),
        ("asks_queued", info.asks_queued as u64),
        ("asks_refused", counters.asks_refused),
        ("asks_replied", counters.asks_replied),
        ("asks_timed_out", counters.asks_timed_out),
        ("asks_too_big", counters.asks_too_big),
        ("bytes_read", info.end.0),
        ("bytes_write_lost", counters.bytes_write_lost),
        ("bytes_written", counters.bytes_written),
        ("cuts", counters.cuts),
        ("device_losses", counters.device_losses),
        ("device_returns", counters.device_returns),
        ("gap_bytes", counters.gap_bytes),
        ("gaps", counters.gaps),
        ("readers", info.readers as u64),
        ("write_queue", info.write_queue as u64),
    ];
    let device = device.map(|errors| {
        [
            ("breaks", errors.breaks),
            ("buffer_overruns", errors.buffer_overrun),
            ("framing_errors", errors.framing),
            ("overruns", errors.overrun),
            ("parity_errors", errors.parity),
        ]
    });
    let logs = logs.map(|logs| {
        [
            ("log_bytes", logs.bytes),
            ("log_lag", logs.lag),
            ("log_lost_bytes", logs.lost_bytes),
            ("log_lost_records", logs.lost_records),
            ("log_records", logs.records),
            ("log_write_errors", logs.write_errors),
        ]
    });
    ours.into_iter()
        .chain(device.into_iter().flatten())
        .chain(logs.into_iter().flatten())
        .map(|(name, count)| (name.to_owned(), count))
        .collect()
}

/// A sequence's name and its steps, as they are written.
fn steps(sequence: &Sequence) -> (String, Vec<String>) {
    let steps = sequence.steps.iter().map(Step::to_string);
    (sequence.name.clone(), steps.collect())
}

fn to_outputs(outputs: OutputSignals) -> Outputs {
    Outputs {
        dtr: outputs.dtr,
        rts: outputs.rts,
    }
}

fn to_inputs(inputs: InputSignals) -> Inputs {
    Inputs {
        cts: inputs.cts,
        dsr: inputs.dsr,
        ri: inputs.ri,
        dcd: inputs.dcd,
    }
}

fn to_gap_why(why: GapWhy) -> message::GapWhy {
    match why {
        GapWhy::Lagged => message::GapWhy::Lagged,
        GapWhy::Expired => message::GapWhy::Expired,
        GapWhy::NewEpoch => message::GapWhy::NewEpoch,
    }
}

#[cfg(test)]
mod tests {
    use uartnet_hub::Counters;

    use super::*;

    #[test]
    fn what_drivers_and_logs_count_is_told_under_its_documented_name() {
        let driver = ErrorCounters {
            framing: 11,
            parity: 12,
            overrun: 13,
            buffer_overrun: 14,
            breaks: 15,
        };
        let logs = LogCounters {
            records: 21,
            bytes: 22,
            lag: 23,
            lost_bytes: 24,
            lost_records: 25,
            write_errors: 26,
        };
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/wire.md");
        let document = std::fs::read_to_string(path).unwrap();
        let info = HubInfo {
            state: DeviceState::Absent {
                reason: "away".to_owned(),
            },
            epoch: Epoch(1),
            start: Offset(0),
            end: Offset(0),
            history: 4096,
            write: WritePolicy::Shared,
            lease: None,
            clients: 0,
            readers: 0,
            stalled: false,
            counters: Counters::default(),
            write_queue: 0,
            asks_queued: 0,
        };
        let told = counters(&info, Some(driver), Some(logs));
        for (name, count) in [
            ("framing_errors", 11),
            ("parity_errors", 12),
            ("overruns", 13),
            ("buffer_overruns", 14),
            ("breaks", 15),
            ("log_records", 21),
            ("log_bytes", 22),
            ("log_lag", 23),
            ("log_lost_bytes", 24),
            ("log_lost_records", 25),
            ("log_write_errors", 26),
        ] {
            assert_eq!(told.get(name), Some(&count), "{name}");
            assert!(document.contains(&format!("\n| `{name}` |")), "{name}");
        }
        // Nothing stands for what cannot be known.
        let told = counters(&info, None, None);
        assert!(!told.contains_key("breaks") && !told.contains_key("log_lag"));
    }
}
