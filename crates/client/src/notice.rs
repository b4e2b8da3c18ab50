//! What happened to a followed port, as sentences. Not where they are shown.

use std::time::Duration;

use humantime::format_duration;
use uartnet_client::{Followed, ReadEvent};
use uartnet_proto::message::{Event, GapWhy, State};

use crate::commands::info::{inputs_text, outputs_text};
use crate::sanitize::harmless;

/// Tells what is worth telling: a state that is told again after a reconnection, and is the same, is not.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    state: Option<(State, u64)>,
    signals: Option<String>,
    lease: Option<String>,
}

impl Notices {
    /// The sentence for what happened, if it is worth one. Nothing in it needs to be made harmless.
    pub(crate) fn tell(&mut self, followed: &Followed) -> Option<String> {
        let sentence = match followed {
            Followed::Opened { again: true, .. } => "connected again".to_owned(),
            Followed::Opened { .. } | Followed::Answer(..) => return None,
            Followed::Read(event) => return read_sentence(event),
            Followed::Event(event) => {
                return self
                    .event_sentence(event)
                    .map(|text| harmless(text.as_bytes()));
            }
            Followed::WriteRefused(error, bytes) => {
                format!(
                    "{} not written: {} ({})",
                    count(bytes.len() as u64),
                    error.message,
                    error.error
                )
            }
            Followed::WriteUncertain(bytes) => format!(
                "the gateway cannot say any more: whether \"{}\" was written is not known",
                harmless(bytes)
            ),
            Followed::MissedUnknown => {
                "what the board sent while there was no connection is not known".to_owned()
            }
            Followed::Inputs(inputs) => format!("signals: {}", inputs_text(*inputs)),
            Followed::Lost(error, _) => format!("connection lost, reconnecting … ({error})"),
        };
        Some(harmless(sentence.as_bytes()))
    }

    fn event_sentence(&mut self, event: &Event) -> Option<String> {
        match event {
            Event::State {
                state,
                reason,
                line,
                losses,
                ..
            } => {
                let before = self.state.replace((*state, *losses));
                match (state, before) {
                    (_, Some(before)) if before == (*state, *losses) => None,
                    (State::Absent, _) => Some(match reason {
                        Some(reason) => format!("device absent: {reason}"),
                        None => "device absent".to_owned(),
                    }),
                    // The ordinary state of a port that was just opened.
                    (State::Present, None) => None,
                    (State::Present, Some(_)) => Some(match line {
                        Some(line) => format!("device present, {line}"),
                        None => "device present".to_owned(),
                    }),
                }
            }
            Event::Line { line, .. } => Some(format!("line settings: {line}")),
            Event::Signals {
                outputs, inputs, ..
            } => {
                let text = format!(
                    "signals: {} {}",
                    outputs_text(*outputs),
                    inputs_text(*inputs)
                );
                (self.signals.replace(text.clone()) != Some(text.clone())).then_some(text)
            }
            Event::Lease { holder, yours, .. } => {
                let text = match holder {
                    _ if *yours => "the write lease is yours".to_owned(),
                    Some(holder) => format!("{holder} holds the write lease"),
                    None => "nobody holds the write lease".to_owned(),
                };
                (self.lease.replace(text.clone()) != Some(text.clone())).then_some(text)
            }
            Event::AskTurn {
                turn, by, hold_ms, ..
            } => {
                let by = by.as_deref().unwrap_or("somebody");
                let hold = hold_ms.map(Duration::from_millis).map(format_duration);
                match (turn.as_str(), hold) {
                    ("waits", Some(hold)) => Some(format!(
                        "an ask of {by} waits until you end this line, or type nothing for {hold}"
                    )),
                    ("waits", None) => {
                        Some(format!("an ask of {by} waits until you end this line"))
                    }
                    ("runs", _) => Some(format!("an ask of {by} runs; what you type waits")),
                    ("over", _) => {
                        Some("asks and you are out of each other's way again".to_owned())
                    }
                    _ => None,
                }
            }
            Event::WriteLost {
                from, to, reason, ..
            } => Some(format!(
                "{} not written: {reason}",
                count(to.saturating_sub(*from))
            )),
            Event::Closed { reason, .. } => Some(format!("the gateway closed the port: {reason}")),
            // Gaps are told by what the reader makes of them; writing what was written is no news.
            Event::Gap { .. } | Event::Written { .. } | Event::Unknown => None,
        }
    }
}

fn read_sentence(event: &ReadEvent) -> Option<String> {
    match event {
        ReadEvent::Data { .. } => None,
        ReadEvent::Gap { from, to, why } => {
            let missed = format!("{} missed ({from}..{to})", count(to - from));
            Some(match why {
                Some(GapWhy::Lagged) => format!("{missed}: this client was too slow"),
                Some(GapWhy::Expired) => format!("{missed}: no longer in the gateway's history"),
                Some(GapWhy::NewEpoch | GapWhy::Unknown) | None => missed,
            })
        }
        ReadEvent::NewEpoch { had, offset } => Some(format!(
            "the gateway was restarted: what the board sent meanwhile is not known (was at {had}, goes on at {offset})"
        )),
    }
}

fn count(bytes: u64) -> String {
    if bytes == 1 {
        "1 byte".to_owned()
    } else {
        format!("{bytes} bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(state: State, losses: u64) -> Followed {
        let reason = (state == State::Absent).then(|| "un\x1bplugged".to_owned());
        let line = (state == State::Present).then(|| "115200-8n1".to_owned());
        Followed::Event(Event::State {
            port: "b".to_owned(),
            state,
            reason,
            line,
            at: 0,
            losses,
        })
    }

    #[test]
    fn a_state_is_told_when_it_changes() {
        let mut notices = Notices::default();
        let mut tell = |followed: Followed| notices.tell(&followed).unwrap_or_default();
        assert_eq!(tell(state(State::Present, 0)), "");
        assert_eq!(
            tell(state(State::Absent, 1)),
            "device absent: un\\x1bplugged"
        );
        assert_eq!(tell(state(State::Absent, 1)), "");
        assert_eq!(tell(state(State::Present, 1)), "device present, 115200-8n1");
        assert_eq!(
            tell(state(State::Present, 2)),
            "device present, 115200-8n1",
            "it was away in between"
        );
    }

    #[test]
    fn a_gap_says_how_many_and_which() {
        let gap = ReadEvent::Gap {
            from: 81920,
            to: 82432,
            why: Some(GapWhy::Expired),
        };
        let told = Notices::default().tell(&Followed::Read(gap)).unwrap();
        assert_eq!(
            told,
            "512 bytes missed (81920..82432): no longer in the gateway's history"
        );
    }
}
