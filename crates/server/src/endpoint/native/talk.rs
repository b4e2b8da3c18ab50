//! One client of one port with the requests it waits for: which notice answers which request of the session.
//! Not the requests themselves.

use std::time::{Duration, Instant};

use uartnet_hub::{ActionDone, Ask, AskId, Control, ControlError, ControlId, Notice, StepTime};
use uartnet_proto::message::{self, Answer, Done, ErrorCode, Outputs};

use super::failure::{Failure, replied};
use crate::gateway::PortClient;

/// An answer, with the id of the request it answers.
pub(super) type Answered = (Answer, Option<u64>);

/// A client and what it waits for.
#[derive(Debug)]
pub(super) struct Talk {
    pub(super) client: PortClient,
    awaited: Vec<Awaited>,
    /// Line settings last as long as it does.
    holds_line: bool,
}

#[derive(Debug)]
struct Awaited {
    what: What,
    /// The request's own id.
    id: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Ask(AskId),
    /// With the kind of the request.
    Control(ControlId, &'static str),
}

impl Talk {
    pub(super) fn new(client: PortClient) -> Talk {
        Talk {
            client,
            awaited: Vec::new(),
            holds_line: false,
        }
    }

    /// How many requests are unanswered.
    pub(super) fn outstanding(&self) -> usize {
        self.awaited.len()
    }

    /// Whether line settings last as long as this client is attached.
    pub(super) fn holds_line(&self) -> bool {
        self.holds_line
    }

    /// Whether there is a reason to stay attached.
    pub(super) fn is_needed(&self) -> bool {
        self.holds_line || !self.awaited.is_empty()
    }

    pub(super) fn ask(&mut self, now: Instant, ask: Ask, id: Option<u64>) {
        let what = What::Ask(self.client.ask(now, ask));
        self.awaited.push(Awaited { what, id });
    }

    pub(super) fn control(
        &mut self,
        now: Instant,
        control: Control,
        kind: &'static str,
        id: Option<u64>,
    ) {
        match control {
            Control::HoldLine(_) => self.holds_line = true,
            Control::GiveLineBack => self.holds_line = false,
            _ => {}
        }
        let what = self.client.control(now, control);
        self.awaited.push(Awaited {
            what: What::Control(what, kind),
            id,
        });
    }

    /// Takes every ask with this id back; each still gets its own answer.
    pub(super) fn cancel(&self, now: Instant, id: u64) {
        for awaited in &self.awaited {
            if let What::Ask(ask) = awaited.what
                && awaited.id == Some(id)
            {
                self.client
                    .with_hub(now, |hub, client| hub.cancel(now, client, ask));
            }
        }
    }

    /// The answer, if the notice is the end of one of its requests.
    ///
    /// # Errors
    /// The notice, if it is about something else.
    pub(super) fn settle(&mut self, notice: Notice) -> Result<Answered, Notice> {
        match notice {
            Notice::AskDone { ask, ref outcome } => {
                let Some(awaited) = self.take(|what| *what == What::Ask(ask)) else {
                    return Err(notice);
                };
                let answer = replied(outcome.clone())
                    .map_or_else(failed, |replied| Answer::Reply(replied.answer()));
                Ok((answer, awaited.id))
            }
            Notice::ControlDone {
                control,
                ref result,
                ref steps,
            } => {
                let awaited =
                    self.take(|what| matches!(what, What::Control(it, _) if *it == control));
                let Some(Awaited {
                    what: What::Control(_, kind),
                    id,
                }) = awaited
                else {
                    return Err(notice);
                };
                Ok((
                    result
                        .as_ref()
                        .map_or_else(refused, |done| Answer::Done(told(kind, done, steps))),
                    id,
                ))
            }
            other => Err(other),
        }
    }

    /// Answers what is waited for as cancelled, because the hub will not tell any more.
    pub(super) fn abandon(&mut self) -> impl Iterator<Item = Answered> {
        self.holds_line = false;
        self.awaited.drain(..).map(|awaited| {
            (
                failed(Failure::new(
                    ErrorCode::Cancelled,
                    "the port was closed before this had an end",
                )),
                awaited.id,
            )
        })
    }

    fn take(&mut self, is_it: impl Fn(&What) -> bool) -> Option<Awaited> {
        let position = self
            .awaited
            .iter()
            .position(|awaited| is_it(&awaited.what))?;
        Some(self.awaited.remove(position))
    }
}

fn failed(failure: Failure) -> Answer {
    Answer::Error(failure.answer())
}

fn refused(error: &ControlError) -> Answer {
    failed(error.into())
}

fn step(step: &StepTime) -> message::StepTime {
    let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    message::StepTime {
        step: step.step.clone(),
        at_us: us(step.at),
        took_us: us(step.took),
    }
}

fn told(kind: &str, done: &ActionDone, steps: &[StepTime]) -> Done {
    let mut told = Done {
        done: kind.to_owned(),
        steps: steps.iter().map(step).collect(),
        ..Done::default()
    };
    match done {
        ActionDone::Line(line) => told.line = Some(line.to_string()),
        ActionDone::Outputs(outputs) => {
            told.outputs = Some(Outputs {
                dtr: outputs.dtr,
                rts: outputs.rts,
            })
        }
        ActionDone::Done => {}
    }
    told
}
