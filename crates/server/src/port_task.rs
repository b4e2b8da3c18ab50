//! The one place that awaits a UART: it keeps a port's device open, and carries bytes, actions and signals between it
//! and the hub. What any of them means is the hub's business.

mod life;

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use uart_iface::backend::Device;
use uart_iface::watch::{Watch, WatchError};
use uart_iface::{ErrorCounters, LineSettings, OpenError, Port, PortError};
use uartnet_hub::{Action, ActionDone, DeviceState, Hub, ReceiveErrors};
use uartnet_reactor::Alarm;

use self::life::{Failed, Life, Waits};
use crate::clock;
use crate::gateway::PortHandle;
use crate::scratch::with_scratch;

/// Reads in one turn, so that a flood on one port leaves time for the others.
const READS_A_TURN: usize = 32;
/// Bytes written in one turn, for the same reason.
const WRITES_A_TURN: usize = 32;
/// Actions in one turn, for the same reason.
const ACTIONS_A_TURN: usize = 32;
/// Rounds through all stages in one turn.
const ROUNDS_A_TURN: usize = 16;
/// When this many bytes were read without the UART ever having no more, everything that had arrived before the first of
/// them was read too (the kernel keeps less than this), and it is right to transmit although it floods us.
const FLOOD: usize = 128 * 1024;

/// How often a device is asked for its error counters while somebody is told of errors; no driver tells by itself.
const ERRORS_EVERY: Duration = Duration::from_millis(100);

/// Keeps one port's device open, until it has nothing left to [drain](PortHandle::drain); then the device is closed, as it
/// is when this is dropped. What is queued in the hub then is not written.
///
/// It is a future by hand and no `async fn`, which would keep most of this two or three times: there may be hundreds of
/// ports that do nothing.
#[derive(Debug)]
pub(crate) struct PortTask {
    handle: Rc<PortHandle>,
    device: Box<dyn Device>,
    life: Life,
    /// When to do something although nothing happens.
    alarm: Alarm,
    /// Bytes read since the UART last had no more.
    backlog: usize,
    /// The device's error counters, looked at while somebody is told of errors.
    errors: Option<Box<ErrorWatch>>,
    /// The device has input lines to look at.
    has_inputs: bool,
    /// The device is absent, and what can be done to notice its return was done.
    waits: bool,
    /// While the device is absent, and as far as that is possible.
    watch: Option<Box<Watch>>,
    /// Why the device cannot be watched for, so that it is logged once.
    unwatched: Option<Box<str>>,
}

impl PortTask {
    /// A task for this port, whose device is tried once at once, so that a client which comes early finds it open.
    /// Must be called where descriptors can be [watched](uartnet_reactor::Watched::new).
    pub(crate) fn new(handle: Rc<PortHandle>, device: Box<dyn Device>) -> PortTask {
        PortTask::with_waits(handle, device, &Waits::USUAL)
    }

    /// [`PortTask::new`], with waits of its own.
    pub(crate) fn with_waits(
        handle: Rc<PortHandle>,
        device: Box<dyn Device>,
        waits: &'static Waits,
    ) -> PortTask {
        let life = Life::new(Instant::now(), handle.line(), waits);
        let mut task = PortTask {
            handle,
            device,
            life,
            alarm: Alarm::default(),
            backlog: 0,
            errors: None,
            has_inputs: false,
            waits: false,
            watch: None,
            unwatched: None,
        };
        task.open();
        task
    }

    #[cold]
    fn open(&mut self) {
        if let Some(line) = self.handle.take_wanted_line() {
            self.life.handle_configured(line);
        }
        let failed = match self.try_open() {
            Ok(()) => return,
            Err(error) => self.life.handle_failed(Instant::now(), &error),
        };
        match failed {
            Failed::Refuses(reason) => {
                tracing::warn!(
                    port = %self.handle.name(), device = self.handle.device(), reason,
                    "the settings last in force are refused; trying those of the configuration"
                );
                if let Err(error) = self.try_open() {
                    let failed = self.life.handle_failed(Instant::now(), &error);
                    self.tell_absent(failed);
                }
            }
            failed => self.tell_absent(failed),
        }
    }

    fn try_open(&mut self) -> Result<(), OpenError> {
        let (line, outputs) = self.life.to_open();
        let mut uart = self.device.open(line, outputs)?;
        let status = uart.status().map_err(|source| OpenError::Setup {
            spec: self.device.spec().to_owned(),
            source,
        })?;
        let now = Instant::now();
        let identity = uart.identity();
        let (port, device) = (self.handle.name(), self.handle.device());
        tracing::info!(%port, device, line = %status.line, is = identity, "device opened");
        if let Some(before) = self.life.handle_opened(now, &status, identity) {
            tracing::warn!(%port, device, is = identity, was = before, "this is another device than before");
        }
        self.watch = None;
        self.has_inputs = status.has_modem_lines;
        self.handle.set_line(status.line);
        let state = DeviceState::Present {
            line: status.line,
            outputs: status.outputs,
            inputs: status.inputs,
        };
        self.handle
            .drive(now, |hub| hub.handle_opened(now, state, uart.can_pause()));
        self.handle.uart().replace(Some(uart));
        Ok(())
    }

    #[cold]
    fn lost(&mut self, reason: String) {
        self.settle_outputs(self.handle.runs_sequence());
        let failed = self.life.handle_lost(Instant::now(), reason);
        self.tell_absent(failed);
    }

    fn tell_absent(&mut self, failed: Failed) {
        if let Failed::Tell(reason) | Failed::Refuses(reason) = failed {
            tracing::warn!(port = %self.handle.name(), device = self.handle.device(), reason, "device absent");
            let now = Instant::now();
            self.handle.drive(now, |hub| hub.handle_lost(now, &reason));
        }
    }

    /// Signals are as somebody wants them to be, unless a sequence is at work on them.
    fn settle_outputs(&mut self, in_sequence: bool) {
        if !in_sequence {
            self.life.handle_steady();
        }
    }

    /// Until it is time to try the device again. The hub still lives: leases expire, clients come and go.
    #[cold]
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        if !self.waits {
            self.waits = true;
            self.watch_for_it();
        }
        self.handle.kick().awake();
        loop {
            let now = Instant::now();
            if self.handle.has_drained() {
                return Poll::Ready(Ended::Drained);
            }
            if let Some(watch) = &mut self.watch
                && let Poll::Ready(seen) = watch.poll_changed(cx)
            {
                match seen {
                    Ok(()) => self.life.handle_sign(now),
                    Err(error) => self.cannot_watch(now, &error),
                }
                continue;
            }
            let again = self.life.due();
            if now >= again {
                return Poll::Ready(Ended::Waited);
            }
            let timeout = self.handle.drive(now, |hub| {
                if hub.poll_timeout().is_some_and(|at| at <= now) {
                    hub.handle_timeout(now);
                }
                hub.poll_timeout()
            });
            let next = timeout.map_or(again, |at| at.min(again));
            if self.alarm.poll(cx, Some(next)).is_pending() && !self.handle.kick().poll(cx) {
                return Poll::Pending;
            }
        }
    }

    /// Has the return of the device seen, where it can be.
    fn watch_for_it(&mut self) {
        if self.watch.is_some() {
            return;
        }
        let signs = self.device.signs();
        if signs.is_empty() {
            return;
        }
        let now = Instant::now();
        match Watch::new(signs) {
            Ok(watch) => {
                self.watch = Some(Box::new(watch));
                self.life.handle_watched(now);
            }
            Err(error) => self.cannot_watch(now, &error),
        }
    }

    fn cannot_watch(&mut self, now: Instant, error: &WatchError) {
        self.watch = None;
        self.life.handle_unwatched(now);
        let reason = error.to_string().into_boxed_str();
        if self.unwatched.as_ref() != Some(&reason) {
            tracing::warn!(
                port = %self.handle.name(), device = self.handle.device(), reason,
                "the return of the device cannot be watched for; it is tried every 2 s"
            );
            self.unwatched = Some(reason);
        }
    }

    /// Until the device is lost. It is out of the handle while it is worked on: should that panic, it is closed.
    fn poll_serve(&mut self, cx: &mut Context<'_>, mut uart: Box<dyn Port>) -> Poll<Ended> {
        let handle = self.handle.clone();
        let mut turn = Turn {
            task: self,
            handle: &handle,
            now: None,
            is_past: true,
        };
        let polled = turn.poll(cx, &mut *uart);
        if polled.is_pending() {
            handle.uart().replace(Some(uart));
        }
        polled
    }

    /// Nothing that belonged to what was done until now is kept.
    fn begin_anew(&mut self) {
        self.alarm = Alarm::default();
        self.backlog = 0;
        self.errors = None;
        self.waits = false;
    }
}

impl Future for PortTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let uart = self.handle.uart().take();
            let ended = ready!(match uart {
                Some(uart) => self.poll_serve(cx, uart),
                None => self.poll_wait(cx),
            });
            self.begin_anew();
            match ended {
                Ended::Drained => {
                    self.handle.uart().take();
                    return Poll::Ready(());
                }
                Ended::Lost(reason) => self.lost(reason),
                Ended::Waited => self.open(),
            }
        }
    }
}

/// Why a port's task stopped doing what it did.
enum Ended {
    /// The device is no longer there; the sentence says how we know.
    Lost(String),
    /// It is time to try the device again.
    Waited,
    /// The daemon stops, and nothing is left to do.
    Drained,
}

impl Drop for PortTask {
    fn drop(&mut self) {
        self.handle.uart().take();
    }
}

/// An opened device at work.
struct Turn<'a> {
    task: &'a mut PortTask,
    handle: &'a PortHandle,
    /// Read from the clock when it is first needed, and again after everything that takes time, which is what the kernel is
    /// asked for.
    now: Option<Instant>,
    /// The kernel was asked for something since it was read.
    is_past: bool,
}

/// The device's error counters.
#[derive(Debug)]
struct ErrorWatch {
    alarm: Alarm,
    /// When they are looked at next.
    at: Instant,
    /// What they were.
    before: ErrorCounters,
}

/// How a stage of a round went.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Went {
    /// There was nothing to do.
    Idle,
    /// It did something.
    Busy,
    /// It did as much as a turn allows; there is more.
    Limit,
}

impl Turn<'_> {
    /// One turn. The order is what makes the port behave:
    ///
    /// 1. *Read* until the UART has nothing more: what came before a command must be in the hub before the command is
    ///    written, or it would be taken for its reply. (Unless a laggard has reading paused.)
    /// 2. *Error counters*, only while somebody is told of errors: before the actions, so that what an action causes counts
    ///    for who began to watch before it.
    /// 3. *Actions*, because settings and signals must be in force before what was written after them.
    /// 4. *Transmit* what the hub gives.
    /// 5. *Timers*: after the bytes, so that a reply that is already there beats its own timeout.
    /// 6. *Inputs*, the modem lines, last and only if somebody is told: they are looked at with a system call.
    ///
    /// Then it sleeps until the UART can be read or written, the hub was spoken to, the hub's timeout is reached, or
    /// the inputs change.
    fn poll(&mut self, cx: &mut Context<'_>, uart: &mut dyn Port) -> Poll<Ended> {
        let handle = self.handle;
        handle.kick().awake();
        for _ in 0..ROUNDS_A_TURN {
            // What it was rung for is seen in this round.
            handle.kick().take();
            let went = handle.work(|hub| {
                let went = self.round(hub, cx, uart);
                (went, self.now)
            });
            match went {
                Err(gone) => return Poll::Ready(Ended::Lost(gone)),
                // Also of a UART that never falls silent.
                Ok(_) if handle.has_drained() => return Poll::Ready(Ended::Drained),
                Ok(Went::Limit) => break,
                Ok(Went::Busy) => {}
                Ok(Went::Idle) if handle.kick().poll(cx) => {}
                Ok(Went::Idle) => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// All stages that may have something to do.
    fn round(
        &mut self,
        hub: &mut Hub,
        cx: &mut Context<'_>,
        uart: &mut dyn Port,
    ) -> Result<Went, String> {
        let read = self.read(hub, cx, uart)?;
        if read == Went::Limit && self.task.backlog < FLOOD {
            return Ok(Went::Limit);
        }
        if hub.wants_errors() || self.task.errors.is_some() {
            self.look_at_errors(hub, cx, uart)?;
        }
        let mut acted = Went::Idle;
        if hub.may_act() || self.handle.wants_line() {
            acted = self.act(hub, uart)?;
        }
        let transmitted = self.transmit(hub, cx, uart)?;
        let timed = self.time(hub, cx);
        let mut looked = Went::Idle;
        if self.task.has_inputs && hub.has_readers() {
            looked = self.look(hub, cx, uart)?;
        }
        if [read, acted, transmitted].contains(&Went::Limit) {
            return Ok(Went::Limit);
        }
        // Only these can have made work for a stage before them: an expired ask lets the next write go, inputs that
        // were told must be looked at once more to be woken by their next change.
        Ok(if timed == Went::Busy || looked == Went::Busy {
            Went::Busy
        } else {
            Went::Idle
        })
    }

    /// The time, as it was when the kernel was last asked for something.
    fn now(&mut self) -> Instant {
        match self.now {
            Some(now) if !self.is_past => now,
            _ => self.is_now(clock::latest()),
        }
    }

    /// The time, after the kernel was asked for something.
    fn later(&mut self) -> Instant {
        self.is_now(clock::read())
    }

    fn is_now(&mut self, now: Instant) -> Instant {
        self.is_past = false;
        *self.now.insert(now)
    }

    /// The kernel was asked for something, and the time is not needed.
    fn passes(&mut self) {
        self.is_past = true;
        clock::passes();
    }

    fn read(
        &mut self,
        hub: &mut Hub,
        cx: &mut Context<'_>,
        uart: &mut dyn Port,
    ) -> Result<Went, String> {
        with_scratch(|buffer| {
            for _ in 0..READS_A_TURN {
                if hub.reading_paused() {
                    return Ok(Went::Idle);
                }
                let size = hub.read_size().min(buffer.len());
                match uart.poll_read(cx, &mut buffer[..size]) {
                    Poll::Pending => {
                        self.task.backlog = 0;
                        return Ok(Went::Idle);
                    }
                    Poll::Ready(Ok(count)) => {
                        self.task.backlog = self.task.backlog.saturating_add(count);
                        hub.handle_uart_data(self.later(), &buffer[..count]);
                    }
                    Poll::Ready(Err(error)) => return Err(self.gone("reading", error)),
                }
            }
            Ok(Went::Limit)
        })
    }

    #[cold]
    fn act(&mut self, hub: &mut Hub, uart: &mut dyn Port) -> Result<Went, String> {
        let mut went = Went::Idle;
        if let Some(line) = self.handle.take_wanted_line() {
            went = Went::Busy;
            self.follow_configuration(hub, uart, line)?;
        }
        for _ in 0..ACTIONS_A_TURN {
            let now = self.now();
            let Some(action) = hub.poll_action(now) else {
                return Ok(went);
            };
            went = Went::Busy;
            let in_sequence = hub.runs_sequence();
            // What came before is over, unless this is a part of it.
            self.task.settle_outputs(in_sequence);
            let done = match action {
                Action::Apply(wanted) => uart.apply(wanted).map(ActionDone::Line),
                Action::SetOutputs(change) => uart.set_outputs(change).map(ActionDone::Outputs),
                Action::SetBreak(on) => uart.set_break(on).map(|()| ActionDone::Done),
                Action::Purge(queues) => uart.purge(queues).map(|()| ActionDone::Done),
            };
            let done = match done {
                Ok(done) => Ok(done),
                Err(error @ PortError::Gone { .. }) => return Err(self.gone("an action", error)),
                Err(error) => Err(error.to_string()),
            };
            match done {
                Ok(ActionDone::Line(line)) => self.handle_line(hub, uart, line),
                Ok(ActionDone::Outputs(outputs)) => {
                    self.task.life.handle_outputs(outputs);
                    if !in_sequence {
                        self.task.life.handle_steady();
                    }
                }
                Ok(ActionDone::Done) | Err(_) => {}
            }
            hub.handle_action_done(self.later(), done);
        }
        Ok(Went::Limit)
    }

    /// The configuration wants other line settings.
    fn follow_configuration(
        &mut self,
        hub: &mut Hub,
        uart: &mut dyn Port,
        wanted: LineSettings,
    ) -> Result<(), String> {
        self.task.life.handle_configured(wanted);
        let line = match uart.apply(wanted) {
            Ok(line) => line,
            Err(error @ PortError::Gone { .. }) => return Err(self.gone("an action", error)),
            Err(error) => {
                tracing::warn!(port = %self.handle.name(), line = %wanted, %error, "line settings not applied");
                return Ok(());
            }
        };
        self.handle_line(hub, uart, line);
        hub.handle_line(self.later(), line);
        Ok(())
    }

    /// The device has these line settings now.
    fn handle_line(&mut self, hub: &mut Hub, uart: &mut dyn Port, line: LineSettings) {
        self.task.life.handle_line(line);
        self.handle.set_line(line);
        // Flow control decides about it. If reading goes on again, another round must begin with it.
        hub.handle_can_pause(uart.can_pause());
        self.handle.kick().ring();
    }

    fn transmit(
        &mut self,
        hub: &mut Hub,
        cx: &mut Context<'_>,
        uart: &mut dyn Port,
    ) -> Result<Went, String> {
        let mut went = Went::Idle;
        for _ in 0..WRITES_A_TURN {
            if !hub.may_transmit() {
                return Ok(went);
            }
            let now = self.now();
            let Some(bytes) = hub.poll_transmit(now) else {
                return Ok(went);
            };
            match uart.poll_write(cx, bytes) {
                Poll::Pending => return Ok(went),
                // It never waits, so this is the time at which they were taken.
                Poll::Ready(Ok(count)) => {
                    went = Went::Busy;
                    hub.handle_transmitted(now, count);
                    self.passes();
                }
                Poll::Ready(Err(error)) => return Err(self.gone("writing", error)),
            }
        }
        Ok(Went::Limit)
    }

    fn time(&mut self, hub: &mut Hub, cx: &mut Context<'_>) -> Went {
        let Some(at) = hub.poll_timeout() else {
            return Went::Idle;
        };
        if self.task.alarm.poll(cx, Some(at)).is_pending() {
            return Went::Idle;
        }
        hub.handle_timeout(self.later());
        Went::Busy
    }

    fn look(
        &mut self,
        hub: &mut Hub,
        cx: &mut Context<'_>,
        uart: &mut dyn Port,
    ) -> Result<Went, String> {
        match uart.poll_inputs(cx) {
            Poll::Pending => Ok(Went::Idle),
            Poll::Ready(Ok(inputs)) => {
                hub.handle_inputs(self.later(), inputs);
                Ok(Went::Busy)
            }
            Poll::Ready(Err(error)) => Err(self.gone("looking at the input lines", error)),
        }
    }

    #[cold]
    fn look_at_errors(
        &mut self,
        hub: &mut Hub,
        cx: &mut Context<'_>,
        uart: &mut dyn Port,
    ) -> Result<(), String> {
        if !hub.wants_errors() {
            self.task.errors = None;
            return Ok(());
        }
        if let Some(watch) = &mut self.task.errors
            && watch.alarm.poll(cx, Some(watch.at)).is_pending()
        {
            return Ok(());
        }
        let status = uart.status();
        let status = status.map_err(|error| self.gone("reading its error counters", error))?;
        let now = self.later();
        let counted = status.errors.unwrap_or_default();
        let before = self.task.errors.as_ref().map(|watch| watch.before);
        if let Some(before) = before {
            let errors = ReceiveErrors {
                framing: counted.framing > before.framing,
                parity: counted.parity > before.parity,
                overrun: (counted.overrun, counted.buffer_overrun)
                    != (before.overrun, before.buffer_overrun),
                break_seen: counted.breaks > before.breaks,
            };
            if errors != ReceiveErrors::default() {
                hub.handle_errors(now, errors);
            }
        }
        let at = now + ERRORS_EVERY;
        let watch = self.task.errors.get_or_insert_with(|| {
            Box::new(ErrorWatch {
                alarm: Alarm::default(),
                at,
                before: counted,
            })
        });
        (watch.at, watch.before) = (at, counted);
        // It is woken then.
        let _ = watch.alarm.poll(cx, Some(at));
        Ok(())
    }

    /// The reason for giving the device up. Errors of reading and writing that are not [`PortError::Gone`] are treated
    /// as it: a stream with a hole in it must not be passed off as whole.
    #[cold]
    fn gone(&self, doing: &'static str, error: PortError) -> String {
        match error {
            PortError::Gone { reason, .. } => reason,
            error => {
                tracing::error!(port = %self.handle.name(), doing, %error, "device given up");
                error.to_string()
            }
        }
    }
}

#[cfg(test)]
mod battery;
#[cfg(test)]
mod driver_errors;
#[cfg(test)]
mod tests;
