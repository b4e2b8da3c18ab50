//! Running control operations: one at a time, in the order they came, each as a list of steps. Not what the device does
//! with a step; the port's task does an [`Action`] and says what came of it. How steps are written is in `step`.
//!
//! Delays count from when the step before was due, so that the time actions take does not add up; bytes that were sent and
//! texts that were waited for are due when that was done. What a sequence waits for is looked for in what has arrived since it
//! began, behind what it waited for before. One that sends or waits begins when no ask runs and no write is half written, and
//! keeps both away while it runs. When a step fails, the steps after it are not done, a break ends, and line settings that
//! the sequence has changed go back; where it succeeds they stay. An operation that
//! was accepted runs to its end even if its client leaves, because a board must not be left half reset; a break that is on
//! when an operation ends or fails is ended. The one exception is [`Control::HoldBreak`], whose break belongs to its client
//! until that client ends it or leaves, within the bound of every break. Which line settings a device goes back to is
//! `line_hold`'s to say, when the turn of that operation has come.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use uart_iface::{Baud, LineSettings, Purge};

use crate::queue::Queue;
use crate::time::after;
use crate::transmit::Turn;

use crate::{
    Action, ActionDone, ClientId, Control, ControlError, ControlId, Expected, Refusal, Sequence,
    Step, StepPlace, StepTime,
};

/// How many control operations may wait or run.
const LIMIT: usize = 64;

/// The longest break: a typing error should not hold a port for a day.
pub(crate) const LONGEST_BREAK: Duration = Duration::from_secs(60);

/// How long the UART may take no byte of what a step sends.
const STUCK: Duration = Duration::from_secs(10);

/// How much of what has arrived is looked at for what a step waits for, in bytes.
const WINDOW: usize = 64 * 1024;

/// How much of it is told when it was not there, in bytes.
const TOLD: usize = 1024;

/// Whose an operation is that nobody waits for: no client has this identity.
const NOBODY: ClientId = ClientId(0);

#[derive(Debug, Default)]
pub(crate) struct Sequencer {
    /// The first one runs.
    queue: Queue<Operation>,
    /// What the port's task is doing.
    doing: Option<Work>,
    ended: Queue<Ended>,
    held: Option<Box<HeldBreak>>,
    /// A sequence has changed the line settings, and they stay.
    line_stays: bool,
    /// A sequence has changed the line settings and cannot change them back; these were in force before.
    line_owed: Option<LineSettings>,
}

/// A break that outlasts the operation that began it.
#[derive(Debug)]
struct HeldBreak {
    client: ClientId,
    until: Instant,
    /// Its end is queued.
    ending: bool,
}

/// A control operation that ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) client: ClientId,
    pub(crate) id: ControlId,
    pub(crate) result: Result<ActionDone, ControlError>,
    /// When the steps of a sequence were done, as far as it came.
    pub(crate) steps: Vec<StepTime>,
}

#[derive(Debug)]
struct Operation {
    /// `None`: nobody asked for it, so nobody is told of its end.
    id: Option<ControlId>,
    client: ClientId,
    turn: Turn,
    /// What is left to do, each with the number of its step.
    steps: VecDeque<(usize, Todo)>,
    /// Whether nothing may be written while it runs.
    holds: bool,
    /// Whether it begins only when no ask runs and no write is half written.
    needs_turn: bool,
    kind: Kind,
    /// When the next step is due; `None` before the first one.
    due: Option<Instant>,
    break_on: bool,
    /// What was in force before its first change of line settings, and what is now.
    line: Option<(LineSettings, LineSettings)>,
    /// It was tried to change them back; what fails is not tried for ever.
    line_back: bool,
    result: Result<ActionDone, ControlError>,
    /// What a sequence knows of itself; of no use to others.
    run: Run,
}

/// The life of a sequence.
#[derive(Debug, Default)]
struct Run {
    /// Its steps as they are written.
    texts: Vec<String>,
    began: Option<Instant>,
    /// When the step at work began.
    step_began: Option<(usize, Instant)>,
    times: Vec<StepTime>,
    /// Whether a step waits for something.
    watches: bool,
    /// What has arrived since it began.
    window: Vec<u8>,
    /// How much of it was found by a step that waited for it.
    found: usize,
    /// Since when the UART takes no byte of what is sent.
    stuck_since: Option<Instant>,
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

#[derive(Debug, Clone, PartialEq, Eq)]
enum Todo {
    Do(Work),
    Wait(Duration),
    Send(Bytes),
    Expect(Expected, Duration),
}

/// What an operation has to do to the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// This.
    Act(Action),
    /// Change the rate, and nothing else.
    SetBaud(Baud),
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
        let texts = match control {
            Control::Run(name) => sequences.iter().find(|sequence| sequence.name == *name),
            _ => None,
        };
        let texts = texts.map(|sequence| sequence.steps.iter().map(Step::to_string).collect());
        self.queue.push_back(Operation {
            id: Some(id),
            kind: match control {
                Control::Run(_) => Kind::Steps,
                Control::HoldBreak(_) => Kind::KeepsBreak,
                Control::HoldLine(_) => Kind::HoldsLine,
                _ => Kind::One,
            },
            run: Run {
                texts: texts.unwrap_or_default(),
                watches: steps
                    .iter()
                    .any(|(_, todo)| matches!(todo, Todo::Expect(..))),
                ..Run::default()
            },
            ..Operation::new(client, turn, steps)
        });
        Ok(())
    }

    /// Whether nothing may be written to the UART now but what a sequence sends.
    pub(crate) fn holds_transmit(&self) -> bool {
        let front = self.queue.front();
        self.held.is_some()
            || front.is_some_and(|operation| operation.holds && !operation.waits_for_turn())
    }

    /// Whether a sequence waits until no ask runs and no write is half written, so that none may begin.
    pub(crate) fn wants_turn(&self) -> bool {
        self.queue.front().is_some_and(Operation::waits_for_turn)
    }

    /// Whether a named sequence has begun and not ended.
    pub(crate) fn runs_sequence(&self) -> bool {
        let front = self.queue.front();
        front.is_some_and(|operation| operation.kind == Kind::Steps && operation.due.is_some())
    }

    /// The client left: a break that it held ends, at its place in the order of everything.
    pub(crate) fn detach(&mut self, client: ClientId, turn: Turn) {
        if self.held.as_ref().is_some_and(|held| held.client == client) {
            self.end_held_break(turn);
        }
    }

    /// The line settings go back, at their place in the order of everything, and nobody asked for it.
    pub(crate) fn give_line_back(&mut self, turn: Turn) {
        let steps = one(Todo::Do(Work::GiveLineBack));
        self.queue.push_back(Operation::new(NOBODY, turn, steps));
    }

    /// Whether no operation waits or runs.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether there is none, nor anything to tell of those there were.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.queue.is_empty() && self.ended.is_empty() && !self.line_stays
    }

    /// Whether an operation of this client waits or runs.
    pub(crate) fn has(&self, client: ClientId) -> bool {
        self.queue
            .iter()
            .any(|operation| operation.client == client)
    }

    /// What the port's task should do now. `free`: no ask runs and no write is half written.
    pub(crate) fn poll_action(&mut self, now: Instant, free: bool) -> Option<Next> {
        if self.doing.is_some() {
            return None;
        }
        self.advance(now, free);
        let operation = self.queue.front_mut()?;
        let Some(&(_, Todo::Do(work))) = operation.steps.front() else {
            return None;
        };
        if operation.waits_for_turn() {
            return None;
        }
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
        match work {
            Work::Act(Action::SetBreak(on)) => {
                let on = on && result.is_ok();
                operation.break_on = on && kind != Kind::KeepsBreak;
                self.held = (on && kind == Kind::KeepsBreak).then(|| {
                    Box::new(HeldBreak {
                        client,
                        until: after(now, LONGEST_BREAK),
                        ending: false,
                    })
                });
            }
            Work::Act(Action::Purge(Purge::Receive | Purge::Both)) => {
                operation.run.window.clear();
                operation.run.found = 0;
            }
            _ => {}
        }
        match result {
            Ok(done) => {
                if let (ActionDone::Line(line), Some((_, in_force))) = (done, &mut operation.line) {
                    *in_force = *line;
                }
                if matches!(kind, Kind::One | Kind::HoldsLine) {
                    operation.result = operation.result.clone().map(|_| *done);
                }
            }
            Err(reason) => {
                let error = operation.error(reason.clone());
                operation.fail(now, error);
            }
        }
        self.advance(now, false);
        Some(Worked { work, kind, client })
    }

    /// The line settings in force, before the operation at work changes them.
    pub(crate) fn note_line(&mut self, line: LineSettings) {
        if let Some(operation) = self.queue.front_mut() {
            operation.line.get_or_insert((line, line));
        }
    }

    /// Whether a sequence has changed the line settings to stay, since this was last asked.
    pub(crate) fn take_line_stays(&mut self) -> bool {
        std::mem::take(&mut self.line_stays)
    }

    /// The line settings that a sequence ought to have changed back, and could not because the device vanished.
    pub(crate) fn take_line_owed(&mut self) -> Option<LineSettings> {
        self.line_owed.take()
    }

    /// What the sequence at work has to write.
    pub(crate) fn transmit(&self) -> Option<&[u8]> {
        let operation = self.queue.front()?;
        match operation.steps.front()? {
            (_, Todo::Send(bytes)) if operation.due.is_some() => Some(bytes),
            _ => None,
        }
    }

    /// The UART took so many bytes of that.
    pub(crate) fn transmitted(&mut self, now: Instant, count: usize) {
        let Some(operation) = self.queue.front_mut() else {
            return;
        };
        if let Some((_, Todo::Send(bytes))) = operation.steps.front_mut() {
            bytes.advance(count.min(bytes.len()));
            operation.run.stuck_since = Some(now);
        }
        self.advance(now, false);
    }

    /// The UART delivered bytes.
    pub(crate) fn handle_data(&mut self, now: Instant, bytes: &[u8]) {
        let Some(operation) = self.queue.front_mut() else {
            return;
        };
        if operation.due.is_none() || !operation.run.watches {
            return;
        }
        let window = &mut operation.run.window;
        window.extend_from_slice(bytes);
        let beyond = window.len().saturating_sub(WINDOW);
        window.drain(..beyond);
        operation.run.found = operation.run.found.saturating_sub(beyond);
        if self.doing.is_none() {
            self.advance(now, false);
        }
    }

    /// Time passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant, turn: Turn, free: bool) {
        if self
            .held
            .as_ref()
            .is_some_and(|held| !held.ending && held.until <= now)
        {
            self.end_held_break(turn);
        }
        if self.doing.is_none() {
            self.advance(now, free);
        }
    }

    /// When the next step is due, if it must wait.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let held = self.held.as_ref().filter(|held| !held.ending);
        let held = held.map(|held| held.until);
        [self.next_step(), held].into_iter().flatten().min()
    }

    /// The device vanished: a break is over with it.
    pub(crate) fn lost(&mut self, reason: &str) {
        self.held = None;
        let running = self.doing.take().is_some()
            || self.queue.front().is_some_and(|first| first.due.is_some());
        let queue = self.queue.split_off(0);
        for (at, operation) in queue.into_iter().enumerate() {
            if let Some((before, in_force)) = operation.line
                && before != in_force
            {
                self.line_owed = Some(before);
            }
            let Some(id) = operation.id else { continue };
            let error = if at == 0 && running {
                ControlError::Device(reason.to_owned())
            } else {
                Refusal::Absent {
                    reason: reason.to_owned(),
                }
                .into()
            };
            self.ended.push_back(Ended {
                client: operation.client,
                id,
                result: operation.result.and(Err(error)),
                steps: operation.run.times,
            });
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
            self.ended.push_back(Ended {
                client: operation.client,
                id,
                result: Err(refusal.clone().into()),
                steps: Vec::new(),
            });
        }
    }

    /// The next operation that has ended and was not told yet.
    pub(crate) fn poll_end(&mut self) -> Option<Ended> {
        self.ended.pop_front()
    }

    fn next_step(&self) -> Option<Instant> {
        let operation = self.queue.front().filter(|_| self.doing.is_none())?;
        let due = operation.due?;
        match &operation.steps.front()?.1 {
            Todo::Wait(delay) | Todo::Expect(_, delay) => Some(after(due, *delay)),
            Todo::Send(_) => Some(after(operation.run.stuck_since?, STUCK)),
            Todo::Do(_) => None,
        }
    }

    fn end_held_break(&mut self, turn: Turn) {
        if let Some(held) = &mut self.held
            && !std::mem::replace(&mut held.ending, true)
        {
            let steps = one(Todo::act(Action::SetBreak(false)));
            self.queue.push_back(Operation {
                kind: Kind::KeepsBreak,
                ..Operation::new(held.client, turn, steps)
            });
        }
    }

    /// Passes what is over, and ends operations that have no step left.
    fn advance(&mut self, now: Instant, free: bool) {
        while let Some(operation) = self.queue.front_mut() {
            if operation.waits_for_turn() && !free {
                return;
            }
            if operation.advance(now) {
                return;
            }
            let Some(mut operation) = self.queue.pop_front() else {
                return;
            };
            if let Some((before, in_force)) = operation.line
                && operation.kind == Kind::Steps
            {
                self.line_stays |= operation.result.is_ok() && before != in_force;
            }
            if let Some(id) = operation.id {
                self.ended.push_back(Ended {
                    client: operation.client,
                    id,
                    result: operation.result,
                    steps: std::mem::take(&mut operation.run.times),
                });
            }
        }
    }
}

impl Operation {
    /// One that nobody is told the end of.
    fn new(client: ClientId, turn: Turn, steps: VecDeque<(usize, Todo)>) -> Operation {
        let any = |is: fn(&Todo) -> bool| steps.iter().any(|(_, todo)| is(todo));
        let needs_turn = any(|todo| matches!(todo, Todo::Send(_) | Todo::Expect(..)));
        let waits = any(|todo| {
            matches!(
                todo,
                Todo::Wait(_) | Todo::Do(Work::Act(Action::SetBreak(_)))
            )
        });
        Operation {
            id: None,
            client,
            turn,
            steps,
            holds: needs_turn || waits,
            needs_turn,
            kind: Kind::One,
            due: None,
            break_on: false,
            line: None,
            line_back: false,
            result: Ok(ActionDone::Done),
            run: Run::default(),
        }
    }

    fn waits_for_turn(&self) -> bool {
        self.needs_turn && self.due.is_none()
    }

    /// Passes what is over. Whether there is still something to do.
    fn advance(&mut self, now: Instant) -> bool {
        let due = *self.due.get_or_insert(now);
        let began = *self.run.began.get_or_insert(now);
        loop {
            let front = self.steps.front();
            self.run.turn_to(now, began, front.map(|(step, _)| *step));
            let due = self.due.unwrap_or(due);
            match front.map(|(_, todo)| todo) {
                Some(Todo::Do(_)) => return true,
                Some(Todo::Wait(delay)) => {
                    let over = after(due, *delay);
                    if now < over {
                        return true;
                    }
                    self.due = Some(over);
                    self.steps.pop_front();
                }
                Some(Todo::Send(bytes)) => {
                    let since = *self.run.stuck_since.get_or_insert(now);
                    if bytes.is_empty() {
                        self.run.stuck_since = None;
                        self.due = Some(now);
                        self.steps.pop_front();
                    } else if after(since, STUCK) <= now {
                        let reason = format!(
                            "the UART took no byte for {}",
                            humantime::format_duration(STUCK)
                        );
                        let error = self.error(reason);
                        self.fail(now, error);
                    } else {
                        return true;
                    }
                }
                Some(Todo::Expect(what, within)) => {
                    if let Some(end) = what.end_in(&self.run.window, self.run.found) {
                        self.run.found = end;
                        self.due = Some(now);
                        self.steps.pop_front();
                        continue;
                    }
                    let within = *within;
                    if now < after(due, within) {
                        return true;
                    }
                    self.not_seen(now, within);
                }
                None if self.break_on => {
                    let end = (self.run.texts.len(), Todo::act(Action::SetBreak(false)));
                    self.steps.push_back(end);
                }
                None => match self.line {
                    Some((before, in_force))
                        if self.result.is_err() && before != in_force && !self.line_back =>
                    {
                        self.line_back = true;
                        let back = (self.run.texts.len(), Todo::act(Action::Apply(before)));
                        self.steps.push_back(back);
                    }
                    _ => return false,
                },
            }
        }
    }

    fn not_seen(&mut self, now: Instant, within: Duration) {
        let Some(step) = self.place() else { return };
        let window = &self.run.window[self.run.found..];
        let arrived = &window[window.len().saturating_sub(TOLD)..];
        let error = ControlError::NotSeen {
            step,
            within,
            arrived: Bytes::copy_from_slice(arrived),
        };
        self.fail(now, error);
    }

    /// The step at work failed: those after it are not done.
    fn fail(&mut self, now: Instant, error: ControlError) {
        self.steps.clear();
        self.run.stuck_since = None;
        self.due = Some(now);
        if self.result.is_ok() {
            self.result = Err(error);
        }
    }

    /// The device failed with this sentence.
    fn error(&self, reason: String) -> ControlError {
        match self.place() {
            Some(step) => ControlError::Step { step, reason },
            None => ControlError::Device(reason),
        }
    }

    /// The step at work, if this is a sequence.
    fn place(&self) -> Option<StepPlace> {
        let (at, _) = self.run.step_began?;
        Some(StepPlace {
            number: at + 1,
            of: self.run.texts.len(),
            text: self.run.texts.get(at)?.clone(),
        })
    }
}

impl Run {
    /// The step at work is this one from now on, if it was not already.
    fn turn_to(&mut self, now: Instant, began: Instant, step: Option<usize>) {
        let step = step.filter(|step| *step < self.texts.len());
        match self.step_began {
            Some((at, _)) if Some(at) == step => return,
            Some((at, since)) => {
                if let Some(text) = self.texts.get(at) {
                    self.times.push(StepTime {
                        step: text.clone(),
                        at: since.saturating_duration_since(began),
                        took: now.saturating_duration_since(since),
                    });
                }
            }
            None => {}
        }
        self.step_began = step.map(|step| (step, now));
    }
}

/// Where the text stands first.
fn one(todo: Todo) -> VecDeque<(usize, Todo)> {
    [(0, todo)].into()
}

fn compile(control: &Control, sequences: &[Sequence]) -> Result<VecDeque<(usize, Todo)>, Refusal> {
    Ok(match control {
        Control::SetLine(line) | Control::HoldLine(line) => one(Todo::act(Action::Apply(*line))),
        Control::GiveLineBack => one(Todo::Do(Work::GiveLineBack)),
        Control::SetOutputs(change) => one(Todo::act(Action::SetOutputs(*change))),
        Control::HoldBreak(on) => one(Todo::act(Action::SetBreak(*on))),
        Control::Purge(queues) => one(Todo::act(Action::Purge(*queues))),
        Control::Break(length) if *length > LONGEST_BREAK => {
            return Err(Refusal::TooLong {
                what: "a break",
                asked: *length,
                limit: LONGEST_BREAK,
            });
        }
        Control::Break(length) => numbered(0, break_for(*length)).collect(),
        Control::Run(name) => {
            let Some(sequence) = sequences.iter().find(|sequence| sequence.name == *name) else {
                return Err(Refusal::NoSequence { name: name.clone() });
            };
            let steps = sequence.steps.iter().enumerate();
            steps
                .flat_map(|(at, step)| numbered(at, todos(step)))
                .collect()
        }
    })
}

fn numbered(step: usize, todos: Vec<Todo>) -> impl Iterator<Item = (usize, Todo)> {
    todos.into_iter().map(move |todo| (step, todo))
}

fn break_for(length: Duration) -> Vec<Todo> {
    vec![
        Todo::act(Action::SetBreak(true)),
        Todo::Wait(length),
        Todo::act(Action::SetBreak(false)),
    ]
}

fn todos(step: &Step) -> Vec<Todo> {
    let todo = match step {
        Step::BreakFor(length) => return break_for(*length),
        Step::Outputs(change) => Todo::act(Action::SetOutputs(*change)),
        Step::Break(on) => Todo::act(Action::SetBreak(*on)),
        Step::Delay(delay) => Todo::Wait(*delay),
        Step::Line(line) => Todo::act(Action::Apply(*line)),
        Step::Baud(baud) => Todo::Do(Work::SetBaud(*baud)),
        Step::Purge(queues) => Todo::act(Action::Purge(*queues)),
        Step::Send(bytes) => Todo::Send(bytes.clone()),
        Step::Expect { what, within } => Todo::Expect(what.clone(), *within),
    };
    vec![todo]
}

impl Todo {
    fn act(action: Action) -> Todo {
        Todo::Do(Work::Act(action))
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

    fn end(
        sequencer: &mut Sequencer,
    ) -> Option<(ClientId, ControlId, Result<ActionDone, ControlError>)> {
        let ended = sequencer.poll_end()?;
        Some((ended.client, ended.id, ended.result))
    }

    fn action(sequencer: &mut Sequencer, now: Instant) -> Option<Action> {
        sequencer
            .poll_action(now, true)
            .map(|next| match next.work {
                Work::Act(action) => action,
                other => unreachable!("no test here has {other:?}"),
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
        sequencer.handle_timeout(start + 99 * MS, 0, true);
        assert_eq!(action(&mut sequencer, start + 99 * MS), None);
        sequencer.handle_timeout(start + 103 * MS, 0, true);
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
        assert_eq!(end(&mut sequencer), None);
        sequencer.handle_done(start + 150 * MS, &DONE);
        assert_eq!(
            end(&mut sequencer),
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
            assert_eq!(end(&mut sequencer), None, "{name}");
            assert_eq!(
                action(&mut sequencer, now),
                Some(Action::SetBreak(false)),
                "{name}"
            );
            sequencer.handle_done(now, &DONE);
            let result = failure.map_or(Ok(ActionDone::Done), |reason: &str| {
                Err(ControlError::Step {
                    step: StepPlace {
                        number: 2,
                        of: 3,
                        text: "rts=on".into(),
                    },
                    reason: reason.into(),
                })
            });
            assert_eq!(
                end(&mut sequencer),
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
            end(&mut sequencer),
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
        let ends: Vec<_> = std::iter::from_fn(|| end(&mut sequencer)).collect();
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
                end(&mut sequencer),
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
                _ => sequencer.handle_timeout(bound, 1, true),
            }
            assert_eq!(action(&mut sequencer, bound), off, "{ending}");
            assert!(sequencer.holds_transmit());
            sequencer.handle_done(bound, &DONE);
            assert!(!sequencer.holds_transmit(), "{ending}");
            assert_eq!(sequencer.poll_timeout(), None);
            let told = end(&mut sequencer).map(|(_, id, _)| id);
            assert_eq!(told, (ending == "ends it").then_some(ControlId(2)));
        }
    }
}
