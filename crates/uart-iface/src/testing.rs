//! A device for tests of whatever works on devices: each of its calls can be made to fail at any point, and it writes down
//! what was done to it. Not a kind of device; no spec names it.

use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::backend::Device;
use crate::watch::Target;
use crate::{
    ErrorCounters, InputSignals, LineSettings, OpenError, OutputChange, OutputSignals, Port,
    PortError, PortStatus, Purge,
};

/// What [`Bench::device`] is called in messages.
pub const SPEC: &str = "bench:";

/// What can be asked of a device and of an opened port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the call of its name")]
pub enum Call {
    Open,
    Status,
    Read,
    Write,
    Inputs,
    Apply,
    SetOutputs,
    SetBreak,
    Purge,
}

/// Every call there is.
pub const CALLS: [Call; 9] = [
    Call::Open,
    Call::Status,
    Call::Read,
    Call::Write,
    Call::Inputs,
    Call::Apply,
    Call::SetOutputs,
    Call::SetBreak,
    Call::Purge,
];

/// How a call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The device vanishes: the call fails so, and so does every later one of the same opening. (Opening: there is none.)
    Gone,
    /// The operating system says no.
    Io,
    /// The device cannot do it.
    Unsupported,
    /// Somebody else has it. (Opening only.)
    Busy,
    /// It may not be used. (Opening only.)
    Denied,
    /// At most so many bytes are carried. (Reading and writing only; at least 1.)
    Short(usize),
    /// So many times there is nothing to read, or no room; the task is woken at once each time.
    Stall(usize),
}

/// One of each kind.
pub const FAULTS: [Fault; 7] = [
    Fault::Gone,
    Fault::Io,
    Fault::Unsupported,
    Fault::Busy,
    Fault::Denied,
    Fault::Short(1),
    Fault::Stall(2),
];

impl Fault {
    /// Whether a call can end so.
    pub fn fits(self, call: Call) -> bool {
        match self {
            Fault::Gone | Fault::Io => true,
            Fault::Unsupported => matches!(call, Call::Open | Call::Apply | Call::SetBreak),
            Fault::Busy | Fault::Denied => call == Call::Open,
            Fault::Short(count) => matches!(call, Call::Read | Call::Write) && count > 0,
            Fault::Stall(_) => matches!(call, Call::Read | Call::Write | Call::Inputs),
        }
    }
}

/// What a board says to a line.
pub type Answer = fn(&[u8]) -> Vec<u8>;

/// One opening of the device, from its first call to its close.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The settings in force: at first those it was opened with.
    pub line: LineSettings,
    /// The signals in force: at first those it was opened with.
    pub outputs: OutputSignals,
    /// What it was opened with.
    pub with: (LineSettings, OutputSignals),
    /// Every byte the device took.
    pub heard: Vec<u8>,
    /// Whether it was closed.
    pub closed: bool,
}

/// A board on a bench: the test holds it, and the device under it goes to whoever is tested. Clones are the same bench.
#[derive(Debug, Clone, Default)]
pub struct Bench(Rc<RefCell<State>>);

#[derive(Debug, Default)]
struct State {
    plan: Vec<Planned>,
    /// How often each call was made.
    made: Vec<Call>,
    /// The board is not plugged in.
    away: bool,
    /// It is plugged in while there is something at this path.
    marker: Option<PathBuf>,
    /// What it says to each line it hears.
    answer: Option<Answer>,
    line: Vec<u8>,
    /// Said, and not read.
    said: VecDeque<u8>,
    /// `None`: as of a device without modem lines.
    inputs: Option<InputSignals>,
    inputs_told: bool,
    errors: ErrorCounters,
    openings: Vec<Opening>,
    breaking: bool,
    /// The port that is open was told that the device is gone.
    dead: bool,
    reader: Option<Waker>,
    misuse: Vec<String>,
}

#[derive(Debug)]
struct Planned {
    call: Call,
    /// How many calls of this kind come before it.
    after: usize,
    fault: Fault,
}

impl Bench {
    /// A board that is plugged in and says nothing by itself.
    pub fn new() -> Bench {
        Bench::default()
    }

    /// The device. All of one bench are the same.
    pub fn device(&self) -> Box<dyn Device> {
        Box::new(self.clone())
    }

    /// The call of this kind after `after` others, counted from now, ends so.
    ///
    /// # Panics
    /// Such a call cannot end so.
    pub fn plan(&self, call: Call, after: usize, fault: Fault) {
        assert!(fault.fits(call), "{call:?} cannot end in {fault:?}");
        let planned = Planned { call, after, fault };
        self.state().plan.push(planned);
    }

    /// How many planned faults have not happened yet.
    pub fn planned(&self) -> usize {
        self.state().plan.len()
    }

    /// Pulls the board out: the opened port is gone, and there is none to open.
    pub fn unplug(&self) {
        let mut state = self.state();
        state.away = true;
        state.die();
        state.wake();
    }

    /// Puts the board in again.
    pub fn plug_in(&self) {
        self.state().away = false;
    }

    /// From now on the board is plugged in while there is something at this path, which is also where its return shows.
    pub fn plugged_by(&self, path: impl Into<PathBuf>) {
        self.state().marker = Some(path.into());
    }

    /// The board says this.
    pub fn says(&self, bytes: &[u8]) {
        let mut state = self.state();
        state.said.extend(bytes);
        state.wake();
    }

    /// From now on the board says something to each line it hears; a line ends with CR, which is not given.
    pub fn answers(&self, answer: Answer) {
        self.state().answer = Some(answer);
    }

    /// The input lines are so.
    pub fn set_inputs(&self, inputs: InputSignals) {
        let mut state = self.state();
        state.inputs = Some(inputs);
        state.inputs_told = false;
        state.wake();
    }

    /// The driver has counted these errors since the device was opened.
    pub fn set_errors(&self, errors: ErrorCounters) {
        self.state().errors = errors;
    }

    /// Every opening so far, the one that is open included.
    pub fn openings(&self) -> Vec<Opening> {
        self.state().openings.clone()
    }

    /// Whether a break is being sent.
    pub fn is_breaking(&self) -> bool {
        self.state().breaking
    }

    /// Every call so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.state().made.clone()
    }

    /// What should not have been done to it: a call after it was gone, a second opening beside the first.
    pub fn misuse(&self) -> Vec<String> {
        self.state().misuse.clone()
    }

    fn state(&self) -> RefMut<'_, State> {
        self.0.borrow_mut()
    }
}

impl State {
    /// The call is made. Says how it ends if not well.
    fn made(&mut self, call: Call) -> Option<Fault> {
        self.made.push(call);
        if call != Call::Open && self.dead {
            self.misuse.push(format!("{call:?} after it was gone"));
        }
        let mut fault = None;
        let mut index = 0;
        while index < self.plan.len() {
            let planned = &mut self.plan[index];
            let due = planned.call == call && planned.after == 0;
            if planned.call == call {
                planned.after = planned.after.saturating_sub(1);
            }
            match (&mut planned.fault, due && fault.is_none()) {
                (Fault::Stall(times), true) if *times > 1 => {
                    fault = Some(Fault::Stall(*times));
                    *times -= 1;
                    index += 1;
                }
                (planned, true) => {
                    fault = Some(*planned);
                    self.plan.remove(index);
                }
                _ => index += 1,
            }
        }
        if fault == Some(Fault::Gone) {
            self.die();
        }
        fault
    }

    /// [`State::made`] for calls that fail or do not.
    fn outcome(&mut self, call: Call) -> Result<(), PortError> {
        let was_dead = self.dead;
        let fault = self.made(call);
        self.ended(fault, was_dead)
    }

    /// [`State::made`] for calls that carry something: how much at most.
    fn carried(
        &mut self,
        cx: &Context<'_>,
        call: Call,
        wanted: usize,
    ) -> Poll<Result<usize, PortError>> {
        let was_dead = self.dead;
        let fault = self.made(call);
        let (short, stalls) = match fault {
            Some(Fault::Short(count)) => (count, false),
            Some(Fault::Stall(_)) => (wanted, true),
            fault => return Poll::Ready(self.ended(fault, was_dead).map(|()| wanted)),
        };
        self.ended(None, was_dead)?;
        if stalls {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(wanted.min(short)))
    }

    fn ended(&mut self, fault: Option<Fault>, was_dead: bool) -> Result<(), PortError> {
        match fault {
            Some(Fault::Gone) => Err(gone()),
            Some(Fault::Io) => Err(io_error()),
            Some(_) => Err(PortError::Unsupported {
                device: SPEC.to_owned(),
                wanted: "what was planned".to_owned(),
            }),
            None if was_dead || self.is_away() => {
                self.dead = true;
                Err(gone())
            }
            None => Ok(()),
        }
    }

    fn inputs(&self) -> InputSignals {
        self.inputs.unwrap_or(InputSignals::ABSENT_LINES)
    }

    fn die(&mut self) {
        self.dead = self.openings.last().is_some_and(|opening| !opening.closed);
        self.said.clear();
        self.line.clear();
    }

    fn is_away(&self) -> bool {
        self.away || self.marker.as_ref().is_some_and(|marker| !marker.exists())
    }

    fn hear(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte != b'\r' {
                self.line.push(byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            if let Some(answer) = self.answer {
                self.said.extend(answer(&line));
            }
        }
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn opening(&mut self) -> Option<&mut Opening> {
        self.openings.last_mut()
    }
}

impl Device for Bench {
    fn spec(&self) -> &str {
        SPEC
    }

    fn open(
        &mut self,
        line: LineSettings,
        outputs: OutputSignals,
    ) -> Result<Box<dyn Port>, OpenError> {
        let mut state = self.state();
        if state.opening().is_some_and(|opening| !opening.closed) {
            state.misuse.push("it was opened twice".to_owned());
        }
        let spec = SPEC.to_owned();
        let path = PathBuf::from(SPEC);
        match state.made(Call::Open) {
            None if state.is_away() => return Err(OpenError::NotFound { spec }),
            None => {}
            Some(Fault::Busy) => return Err(OpenError::Busy { path, pid: None }),
            Some(Fault::Denied) => {
                let hint = "it was planned".to_owned();
                return Err(OpenError::Denied { path, hint });
            }
            Some(Fault::Io) => {
                return Err(OpenError::Io {
                    spec,
                    doing: "open",
                    source: os_error(),
                });
            }
            Some(Fault::Unsupported) => {
                let wanted = line.to_string();
                let source = PortError::Unsupported {
                    device: spec.clone(),
                    wanted,
                };
                return Err(OpenError::Setup { spec, source });
            }
            Some(_) => return Err(OpenError::NotFound { spec }),
        }
        state.dead = false;
        state.breaking = false;
        state.inputs_told = true;
        state.openings.push(Opening {
            line,
            outputs,
            with: (line, outputs),
            heard: Vec::new(),
            closed: false,
        });
        Ok(Box::new(Opened(self.clone())))
    }

    fn signs(&self) -> Vec<Target> {
        self.state().marker.iter().map(Target::presence).collect()
    }
}

/// The bench, opened.
#[derive(Debug)]
struct Opened(Bench);

impl Port for Opened {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<Result<usize, PortError>> {
        let mut state = self.0.state();
        let most = std::task::ready!(state.carried(cx, Call::Read, buf.len()))?;
        let count = most.min(state.said.len());
        if count == 0 {
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        for (place, byte) in buf.iter_mut().zip(state.said.drain(..count)) {
            *place = byte;
        }
        Poll::Ready(Ok(count))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, PortError>> {
        let mut state = self.0.state();
        let count = std::task::ready!(state.carried(cx, Call::Write, bytes.len()))?;
        if let Some(opening) = state.opening() {
            opening.heard.extend_from_slice(&bytes[..count]);
        }
        state.hear(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_inputs(&mut self, cx: &mut Context<'_>) -> Poll<Result<InputSignals, PortError>> {
        let mut state = self.0.state();
        std::task::ready!(state.carried(cx, Call::Inputs, 1))?;
        if state.inputs_told {
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.inputs_told = true;
        Poll::Ready(Ok(state.inputs()))
    }

    fn apply(&mut self, wanted: LineSettings) -> Result<LineSettings, PortError> {
        let mut state = self.0.state();
        state.outcome(Call::Apply)?;
        if let Some(opening) = state.opening() {
            opening.line = wanted;
        }
        Ok(wanted)
    }

    fn set_outputs(&mut self, change: OutputChange) -> Result<OutputSignals, PortError> {
        let mut state = self.0.state();
        state.outcome(Call::SetOutputs)?;
        let Some(opening) = state.opening() else {
            return Err(gone());
        };
        opening.outputs = opening.outputs.with(change);
        Ok(opening.outputs)
    }

    fn set_break(&mut self, on: bool) -> Result<(), PortError> {
        let mut state = self.0.state();
        state.outcome(Call::SetBreak)?;
        state.breaking = on;
        Ok(())
    }

    fn purge(&mut self, queues: Purge) -> Result<(), PortError> {
        let mut state = self.0.state();
        state.outcome(Call::Purge)?;
        if queues != Purge::Transmit {
            state.said.clear();
        }
        Ok(())
    }

    fn status(&mut self) -> Result<PortStatus, PortError> {
        let mut state = self.0.state();
        state.outcome(Call::Status)?;
        let (inputs, errors) = (state.inputs(), state.errors);
        let Some(opening) = state.opening() else {
            return Err(gone());
        };
        Ok(PortStatus {
            line: opening.line,
            outputs: opening.outputs,
            inputs,
            has_modem_lines: true,
            errors: Some(errors),
        })
    }

    fn can_pause(&self) -> bool {
        true
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if let Some(opening) = state.opening() {
            opening.closed = true;
        }
        state.breaking = false;
        state.dead = false;
    }
}

fn gone() -> PortError {
    PortError::Gone {
        device: SPEC.to_owned(),
        reason: "it was planned to be gone".to_owned(),
    }
}

fn io_error() -> PortError {
    PortError::Io {
        device: SPEC.to_owned(),
        doing: "a call",
        source: os_error(),
    }
}

/// ENOMEM: an error that says nothing of whether the device is there.
fn os_error() -> io::Error {
    io::Error::from_raw_os_error(rustix::io::Errno::NOMEM.raw_os_error())
}
