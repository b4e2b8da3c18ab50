//! Running control operations: one at a time, in the order they came, each as a list of steps. Not what the device does
//! with a step; the port's task does an [`Action`] and says what came of it.
//!
//! Delays count from when the step before was due, so that the time actions take does not add up. An operation that
//! was accepted runs to its end even if its client leaves, because a board must not be left half reset; a break that is on
//! when an operation ends or fails is ended. The one exception is [`Control::HoldBreak`], whose break belongs to its client
//! until that client ends it or leaves, within the bound of every break. Which line settings a device goes back to is
//! `line_hold`'s to say, when the turn of that operation has come.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::time::after;
use crate::transmit::Turn;
use crate::{
    Action, ActionDone, ClientId, Control, ControlError, ControlId, Refusal, Sequence, Step,
};

/// How many control operations may wait or run.
const LIMIT: usize = 64;

/// The longest break: a typing error should not hold a port for a day.
const LONGEST_BREAK: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(crate) struct Sequencer {
    /// The first one runs.
    queue: VecDeque<Operation>,
    /// What the port's task is doing.
    doing: Option<Work>,
    ended: VecDeque<Ended>,
    held: Option<HeldBreak>,
}

/// A break that outlasts the operation that began it.
#[derive(Debug, Clone, Copy)]
struct HeldBreak {
    client: ClientId,
    until: Instant,
    /// Its end is queued.
    ending: bool,
}

/// A control operation that ended.
pub(crate) type Ended = (ClientId, ControlId, Result<ActionDone, ControlError>);

#[derive(Debug)]
struct Operation {
    /// `None`: nobody asked for it, so nobody is told of its end.
    id: Option<ControlId>,
    client: ClientId,
    turn: Turn,
    steps: VecDeque<Todo>,
    /// Whether nothing may be written while it runs.
    holds: bool,
    kind: Kind,
    /// When the next step is due; `None` before the first one.
    due: Option<Instant>,
    break_on: bool,
    result: Result<ActionDone, ControlError>,
}

/// What is particular about an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It reports what its one action reports.
    One,
    /// The same, and the line settings last as long as its client wants them.
    HoldsLine,
    /// A break that it begins outlasts it.
    KeepsBreak,
    /// Its actions are steps, and none of them is its report.
    Steps,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Todo {
    Do(Work),
    Wait(Duration),
}

/// What an operation has to do to the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// This.
    Act(Action),
    /// Give the line settings back that its client holds.
    GiveLineBack,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) work: Work,
    pub(crate) client: ClientId,
    /// The operation's place in the order of everything.
    pub(crate) turn: Turn,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Worked {
    pub(crate) work: Work,
    pub(crate) kind: Kind,
    pub(crate) client: ClientId,
}

impl Sequencer {
    /// Queues an operation, or says why not.
    pub(crate) fn push(
        &mut self,
        client: ClientId,
        id: ControlId,
        turn: Turn,
        control: &Control,
        sequences: &[Sequence],
    ) -> Result<(), Refusal> {
        if self.queue.len() >= LIMIT {
            return Err(Refusal::Busy {
                what: "control operations",
                queued: self.queue.len(),
                limit: LIMIT,
            });
        }
        let steps = compile(control, sequences)?;
        let holds = steps.iter().any(|step| {
            matches!(
                step,
                Todo::Wait(_) | Todo::Do(Work::Act(Action::SetBreak(_)))
            )
        });
        self.queue.push_back(Operation {
            id: Some(id),
            client,
            turn,
            holds,
            kind: match control {
                Control::Run(_) => Kind::Steps,
                Control::HoldBreak(_) => Kind::KeepsBreak,
                Control::HoldLine(_) => Kind::HoldsLine,
                _ => Kind::One,
            },
            steps,
            due: None,
            break_on: false,
            result: Ok(ActionDone::Done),
        });
        Ok(())
    }

    /// Whether nothing may be written to the UART now.
    pub(crate) fn holds_transmit(&self) -> bool {
        self.held.is_some() || self.queue.front().is_some_and(|operation| operation.holds)
    }

    /// Whether a named sequence has begun and not ended.
    pub(crate) fn runs_sequence(&self) -> bool {
        let front = self.queue.front();
        front.is_some_and(|operation| operation.kind == Kind::Steps && operation.due.is_some())
    }

    /// The client left: a break that it held ends, at its place in the order of everything.
    pub(crate) fn detach(&mut self, client: ClientId, turn: Turn) {
        if self.held.is_some_and(|held| held.client == client) {
            self.end_held_break(turn);
        }
    }

    /// The line settings go back, at their place in the order of everything, and nobody asked for it.
    pub(crate) fn give_line_back(&mut self, client: ClientId, turn: Turn) {
        self.queue.push_back(Operation {
            id: None,
            client,
            turn,
            steps: [Todo::Do(Work::GiveLineBack)].into(),
            holds: false,
            kind: Kind::One,
            due: None,
            break_on: false,
            result: Ok(ActionDone::Done),
        });
    }

    /// Whether no operation waits or runs.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether an operation of this client waits or runs.
    pub(crate) fn has(&self, client: ClientId) -> bool {
        self.queue
            .iter()
            .any(|operation| operation.client == client)
    }

    /// What the port's task should do now.
    pub(crate) fn poll_action(&mut self, now: Instant) -> Option<Next> {
        if self.doing.is_some() {
            return None;
        }
        self.advance(now);
        let operation = self.queue.front_mut()?;
        let Some(&Todo::Do(work)) = operation.steps.front() else {
            return None;
        };
        operation.steps.pop_front();
        self.doing = Some(work);
        Some(Next {
            work,
            client: operation.client,
            turn: operation.turn,
        })
    }

    /// What was to be done is done, or failed with this sentence. Says what it was.
    pub(crate) fn handle_done(
        &mut self,
        now: Instant,
        result: &Result<ActionDone, String>,
    ) -> Option<Worked> {
        let work = self.doing.take()?;
        let operation = self.queue.front_mut()?;
        let (kind, client) = (operation.kind, operation.client);
        if let Work::Act(Action::SetBreak(on)) = work {
            let on = on && result.is_ok();
            operation.break_on = on && kind != Kind::KeepsBreak;
            self.held = (on && kind == Kind::KeepsBreak).then(|| HeldBreak {
                client: operation.client,
                until: after(now, LONGEST_BREAK),
                ending: false,
            });
        }
        match result {
            Ok(done) if kind != Kind::Steps && kind != Kind::KeepsBreak => {
                operation.result = operation.result.clone().map(|_| *done)
            }
            Ok(_) => {}
            Err(reason) => {
                operation.steps.clear();
                if operation.result.is_ok() {
                    operation.result = Err(ControlError::Device(reason.clone()));
                }
            }
        }
        self.advance(now);
        Some(Worked { work, kind, client })
    }

    /// Time passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant, turn: Turn) {
        if self
            .held
            .is_some_and(|held| !held.ending && held.until <= now)
        {
            self.end_held_break(turn);
        }
        if self.doing.is_none() {
            self.advance(now);
        }
    }

    /// When the next step is due, if it must wait.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let held = self.held.filter(|held| !held.ending).map(|held| held.until);
        [self.next_step(), held].into_iter().flatten().min()
    }

    /// The device vanished: a break is over with it.
    pub(crate) fn lost(&mut self, reason: &str) {
        self.held = None;
        let running = self.doing.take().is_some()
            || self.queue.front().is_some_and(|first| first.due.is_some());
        let queue = std::mem::take(&mut self.queue);
        for (at, operation) in queue.into_iter().enumerate() {
            let Some(id) = operation.id else { continue };
            let error = if at == 0 && running {
                ControlError::Device(reason.to_owned())
            } else {
                Refusal::Absent {
                    reason: reason.to_owned(),
                }
                .into()
            };
            self.ended
                .push_back((operation.client, id, operation.result.and(Err(error))));
        }
    }

    /// Every operation that has not begun ends.
    pub(crate) fn refuse_waiting(&mut self, refusal: &Refusal) {
        let begun = self.queue.front().is_some_and(|first| first.due.is_some());
        for operation in self.queue.split_off(usize::from(begun)) {
            let Some(id) = operation.id else {
                self.queue.push_back(operation);
                continue;
            };
            self.ended
                .push_back((operation.client, id, Err(refusal.clone().into())));
        }
    }

    /// The next operation that has ended and was not told yet.
    pub(crate) fn poll_end(&mut self) -> Option<Ended> {
        self.ended.pop_front()
    }

    fn next_step(&self) -> Option<Instant> {
        let operation = self.queue.front().filter(|_| self.doing.is_none())?;
        match (operation.steps.front()?, operation.due) {
            (Todo::Wait(delay), Some(due)) => Some(after(due, *delay)),
            _ => None,
        }
    }

    fn end_held_break(&mut self, turn: Turn) {
        if let Some(held) = &mut self.held
            && !std::mem::replace(&mut held.ending, true)
        {
            self.queue.push_back(Operation {
                id: None,
                client: held.client,
                turn,
                steps: [Todo::act(Action::SetBreak(false))].into(),
                holds: true,
                kind: Kind::KeepsBreak,
                due: None,
                break_on: false,
                result: Ok(ActionDone::Done),
            });
        }
    }

    /// Passes delays that are over, and ends operations that have no step left.
    fn advance(&mut self, now: Instant) {
        while let Some(operation) = self.queue.front_mut() {
            let due = *operation.due.get_or_insert(now);
            match operation.steps.front() {
                Some(Todo::Do(_)) => return,
                Some(Todo::Wait(delay)) => {
                    let over = after(due, *delay);
                    if now < over {
                        return;
                    }
                    operation.due = Some(over);
                    operation.steps.pop_front();
                }
                None if operation.break_on => operation
                    .steps
                    .push_back(Todo::act(Action::SetBreak(false))),
                None => {
                    if let Some(operation) = self.queue.pop_front()
                        && let Some(id) = operation.id
                    {
                        self.ended
                            .push_back((operation.client, id, operation.result));
                    }
                }
            }
        }
    }
}

fn compile(control: &Control, sequences: &[Sequence]) -> Result<VecDeque<Todo>, Refusal> {
    let steps = match control {
        Control::SetLine(line) | Control::HoldLine(line) => {
            [Todo::act(Action::Apply(*line))].into()
        }
        Control::GiveLineBack => [Todo::Do(Work::GiveLineBack)].into(),
        Control::SetOutputs(change) => [Todo::act(Action::SetOutputs(*change))].into(),
        Control::HoldBreak(on) => [Todo::act(Action::SetBreak(*on))].into(),
        Control::Purge(queues) => [Todo::act(Action::Purge(*queues))].into(),
        Control::Break(length) if *length > LONGEST_BREAK => {
            return Err(Refusal::TooLong {
                what: "a break",
                asked: *length,
                limit: LONGEST_BREAK,
            });
        }
        Control::Break(length) => [
            Todo::act(Action::SetBreak(true)),
            Todo::Wait(*length),
            Todo::act(Action::SetBreak(false)),
        ]
        .into(),
        Control::Run(name) => {
            let Some(sequence) = sequences.iter().find(|sequence| sequence.name == *name) else {
                return Err(Refusal::NoSequence { name: name.clone() });
            };
            sequence.steps.iter().map(|&step| step.into()).collect()
        }
    };
    Ok(steps)
}

impl Todo {
    fn act(action: Action) -> Todo {
        Todo::Do(Work::Act(action))
    }
}

impl From<Step> for Todo {
    fn from(step: Step) -> Todo {
        match step {
            Step::Outputs(change) => Todo::act(Action::SetOutputs(change)),
            Step::Break(on) => Todo::act(Action::SetBreak(on)),
            Step::Delay(delay) => Todo::Wait(delay),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uart_iface::{OutputChange, OutputSignals};

    const CLIENT: ClientId = ClientId(7);
    const MS: Duration = Duration::from_millis(1);
    const DONE: Result<ActionDone, String> = Ok(ActionDone::Done);

    fn sequence(name: &str, steps: &[&str]) -> Sequence {
        Sequence {
            name: name.into(),
            steps: steps.iter().map(|step| step.parse().unwrap()).collect(),
        }
    }

    fn push(
        sequencer: &mut Sequencer,
        id: u64,
        control: Control,
        sequences: &[Sequence],
    ) -> Result<(), Refusal> {
        sequencer.push(CLIENT, ControlId(id), id, &control, sequences)
    }

    fn action(sequencer: &mut Sequencer, now: Instant) -> Option<Action> {
        sequencer.poll_action(now).map(|next| match next.work {
            Work::Act(action) => action,
            Work::GiveLineBack => unreachable!("no test here gives line settings back"),
        })
    }

    #[test]
    fn delays_count_from_when_the_step_before_was_due() {
        let start = Instant::now();
        let mut sequencer = Sequencer::default();
        let reset = [sequence(
            "reset",
            &["dtr=off rts=on", "100ms", "rts=off", "50ms", "dtr=on"],
        )];
        push(&mut sequencer, 1, Control::Run("reset".into()), &reset).unwrap();
        assert!(sequencer.holds_transmit());
        let outputs = |dtr, rts| Some(Action::SetOutputs(OutputChange { dtr, rts }));
        assert_eq!(
            action(&mut sequencer, start),
            outputs(Some(false), Some(true))
        );
        assert_eq!(action(&mut sequencer, start), None, "the first is not done");
        sequencer.handle_done(
            start + 7 * MS,
            &Ok(ActionDone::Outputs(OutputSignals::ASSERTED)),
        );
        assert_eq!(sequencer.poll_timeout(), Some(start + 100 * MS));
        sequencer.handle_timeout(start + 99 * MS, 0);
        assert_eq!(action(&mut sequencer, start + 99 * MS), None);
        sequencer.handle_timeout(start + 103 * MS, 0);
        assert_eq!(
            action(&mut sequencer, start + 103 * MS),
            outputs(None, Some(false))
        );
        sequencer.handle_done(start + 104 * MS, &DONE);
        assert_eq!(sequencer.poll_timeout(), Some(start + 150 * MS));
        assert_eq!(
            action(&mut sequencer, start + 150 * MS),
            outputs(Some(true), None)
        );
        assert_eq!(sequencer.poll_end(), None);
        sequencer.handle_done(start + 150 * MS, &DONE);
        assert_eq!(
            sequencer.poll_end(),
            Some((CLIENT, ControlId(1), Ok(ActionDone::Done)))
        );
        assert!(!sequencer.holds_transmit());
    }

    #[test]
    fn a_break_is_ended_whatever_happens() {
        let now = Instant::now();
        let sequences = [
            sequence("forgets", &["break=on"]),
            sequence("fails", &["break=on", "rts=on", "10ms"]),
        ];
        for (name, failure) in [("forgets", None), ("fails", Some("no RTS"))] {
            let mut sequencer = Sequencer::default();
            push(&mut sequencer, 1, Control::Run(name.into()), &sequences).unwrap();
            assert_eq!(action(&mut sequencer, now), Some(Action::SetBreak(true)));
            sequencer.handle_done(now, &DONE);
            if let Some(reason) = failure {
                assert!(matches!(
                    action(&mut sequencer, now),
                    Some(Action::SetOutputs(_))
                ));
                sequencer.handle_done(now, &Err(reason.into()));
            }
            assert_eq!(sequencer.poll_end(), None, "{name}");
            assert_eq!(
                action(&mut sequencer, now),
                Some(Action::SetBreak(false)),
                "{name}"
            );
            sequencer.handle_done(now, &DONE);
            let result = failure
                .map_or(DONE, |reason| Err(reason.into()))
                .map_err(ControlError::Device);
            assert_eq!(
                sequencer.poll_end(),
                Some((CLIENT, ControlId(1), result)),
                "{name}"
            );
        }
    }

    #[test]
    fn a_break_that_cannot_be_ended_is_not_tried_for_ever() {
        let now = Instant::now();
        let mut sequencer = Sequencer::default();
        push(&mut sequencer, 1, Control::Break(MS), &[]).unwrap();
        assert_eq!(action(&mut sequencer, now), Some(Action::SetBreak(true)));
        sequencer.handle_done(now, &DONE);
        assert_eq!(
            action(&mut sequencer, now + MS),
            Some(Action::SetBreak(false))
        );
        sequencer.handle_done(now + MS, &Err("stuck".into()));
        assert_eq!(
            sequencer.poll_end(),
            Some((
                CLIENT,
                ControlId(1),
                Err(ControlError::Device("stuck".into()))
            ))
        );
        assert_eq!(action(&mut sequencer, now + MS), None);
    }

    #[test]
    fn a_lost_device_ends_them_all_once() {
        let now = Instant::now();
        let mut sequencer = Sequencer::default();
        push(&mut sequencer, 1, Control::Break(MS), &[]).unwrap();
        push(&mut sequencer, 2, Control::Break(MS), &[]).unwrap();
        assert!(action(&mut sequencer, now).is_some());
        sequencer.lost("unplugged");
        assert_eq!(sequencer.handle_done(now, &DONE), None, "too late");
        let ends: Vec<_> = std::iter::from_fn(|| sequencer.poll_end()).collect();
        assert_eq!(ends.len(), 2);
        assert_eq!(ends[0].2, Err(ControlError::Device("unplugged".into())));
        assert_eq!(
            ends[1].2,
            Err(Refusal::Absent {
                reason: "unplugged".into()
            }
            .into())
        );
        assert!(!sequencer.holds_transmit() && sequencer.poll_timeout().is_none());
    }

    #[test]
    fn refusals() {
        let mut sequencer = Sequencer::default();
        assert_eq!(
            push(&mut sequencer, 1, Control::Run("nope".into()), &[]),
            Err(Refusal::NoSequence {
                name: "nope".into()
            })
        );
        assert!(matches!(
            push(&mut sequencer, 1, Control::Break(Duration::MAX), &[]),
            Err(Refusal::TooLong { .. })
        ));
        for id in 0..LIMIT as u64 {
            push(
                &mut sequencer,
                id,
                Control::SetOutputs(OutputChange::default()),
                &[],
            )
            .unwrap();
        }
        assert_eq!(
            push(
                &mut sequencer,
                99,
                Control::SetOutputs(OutputChange::default()),
                &[]
            ),
            Err(Refusal::Busy {
                what: "control operations",
                queued: LIMIT,
                limit: LIMIT
            })
        );
    }

    #[test]
    fn a_held_break_lasts_until_its_client_ends_it_or_leaves_or_the_bound() {
        let start = Instant::now();
        let off = Some(Action::SetBreak(false));
        for ending in ["ends it", "leaves", "the bound"] {
            let mut sequencer = Sequencer::default();
            push(&mut sequencer, 1, Control::HoldBreak(true), &[]).unwrap();
            assert_eq!(action(&mut sequencer, start), Some(Action::SetBreak(true)));
            sequencer.handle_done(start, &DONE);
            assert_eq!(
                sequencer.poll_end(),
                Some((CLIENT, ControlId(1), Ok(ActionDone::Done)))
            );
            assert_eq!(action(&mut sequencer, start), None);
            assert!(sequencer.holds_transmit());
            let bound = start + LONGEST_BREAK;
            assert_eq!(sequencer.poll_timeout(), Some(bound));
            match ending {
                "ends it" => push(&mut sequencer, 2, Control::HoldBreak(false), &[]).unwrap(),
                "leaves" => {
                    sequencer.detach(ClientId(8), 1);
                    assert!(sequencer.is_empty(), "another client left");
                    sequencer.detach(CLIENT, 1);
                }
                _ => sequencer.handle_timeout(bound, 1),
            }
            assert_eq!(action(&mut sequencer, bound), off, "{ending}");
            assert!(sequencer.holds_transmit());
            sequencer.handle_done(bound, &DONE);
            assert!(!sequencer.holds_transmit(), "{ending}");
            assert_eq!(sequencer.poll_timeout(), None);
            let told = sequencer.poll_end().map(|(_, id, _)| id);
            assert_eq!(told, (ending == "ends it").then_some(ControlId(2)));
        }
    }
}
