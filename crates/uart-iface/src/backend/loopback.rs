//! `loopback:`, an emulated loopback plug: TX is wired to RX, RTS to CTS, and DTR to DSR and DCD.
//! The wire itself (pacing, bound) is the simulated boards' [`Pacer`].

use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use tokio::task::coop;
use uartnet_reactor::Alarm;

use super::sim::{Options, Pace, Pacer};
use crate::backend::{Backend, Device};
use crate::{
    ErrorCounters, FlowControl, InputSignals, LineSettings, OpenError, OutputChange, OutputSignals,
    Port, PortError, PortStatus, Purge, SpecError,
};

/// How many bytes the plug holds before a writer has to wait.
const BUFFER: usize = 65_536;

/// The backend of the loopback plug.
#[derive(Debug)]
pub(super) struct Loopback;

impl Backend for Loopback {
    fn scheme(&self) -> &'static str {
        "loopback"
    }

    fn summary(&self) -> &'static str {
        "an emulated loopback plug (TX-RX, RTS-CTS, DTR-DSR-DCD); ?pace=line for real time"
    }

    fn examples(&self) -> &'static [&'static str] {
        &["loopback:", "loopback:?pace=line"]
    }

    fn parse(&self, spec: &str, rest: &str) -> Result<Box<dyn Device>, SpecError> {
        let query = match rest.strip_prefix('?') {
            Some(query) => query,
            None if rest.is_empty() => "",
            None => {
                let problem =
                    format!("nothing but options may follow \"loopback:\", not \"{rest}\"");
                return Err(SpecError::new(spec, problem));
            }
        };
        let mut options = Options::parse(spec, "loopback:", query)?;
        let pace = Pace::take(&mut options)?;
        options.finish()?;
        Ok(Box::new(LoopbackDevice {
            spec: spec.to_owned(),
            pace,
        }))
    }
}

#[derive(Debug)]
struct LoopbackDevice {
    spec: String,
    pace: Pace,
}

impl Device for LoopbackDevice {
    fn spec(&self) -> &str {
        &self.spec
    }

    /// Each port opened has a plug of its own.
    fn open(
        &mut self,
        line: LineSettings,
        outputs: OutputSignals,
    ) -> Result<Box<dyn Port>, OpenError> {
        let mut port = LoopbackPort {
            pace: self.pace,
            line,
            outputs,
            told: inputs(outputs),
            breaking: false,
            breaks: 0,
            wire: Pacer::new(Duration::ZERO, BUFFER),
            alarm: Alarm::default(),
            reader: None,
            writer: None,
            watcher: None,
        };
        port.follow_line();
        Ok(Box::new(port))
    }
}

#[derive(Debug)]
struct LoopbackPort {
    pace: Pace,
    line: LineSettings,
    outputs: OutputSignals,
    /// The input lines as they were last told.
    told: InputSignals,
    breaking: bool,
    breaks: u64,
    wire: Pacer,
    alarm: Alarm,
    /// Who found nothing to read.
    reader: Option<Waker>,
    /// Who found no room to write, or CTS off.
    writer: Option<Waker>,
    /// Who waits for input lines to change.
    watcher: Option<Waker>,
}

impl LoopbackPort {
    /// Whether hardware flow control holds the transmitter: RTS is off, so CTS is.
    fn held(&self) -> bool {
        self.line.flow == FlowControl::RtsCts && !self.outputs.rts
    }

    /// Fits the wire to the settings and signals in force, and wakes whoever waits: things may go on.
    fn follow_line(&mut self) {
        let now = uartnet_reactor::now();
        let character = match self.pace {
            Pace::None => Duration::ZERO,
            Pace::Line => self.line.character_time(),
        };
        self.wire.set_speed(now, character, BUFFER);
        self.wire.hold(now, self.held());
        self.wake();
    }

    fn wake(&mut self) {
        for waker in [&mut self.reader, &mut self.writer, &mut self.watcher] {
            if let Some(waker) = waker.take() {
                waker.wake();
            }
        }
    }

    fn poll_time(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        ready!(self.alarm.poll(cx, self.wire.next_arrival()));
        Poll::Ready(uartnet_reactor::now())
    }
}

impl Port for LoopbackPort {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<Result<usize, PortError>> {
        let coop = ready!(coop::poll_proceed(cx));
        let mut now = uartnet_reactor::now();
        loop {
            let count = self.wire.take(now, buf);
            if count > 0 {
                coop.made_progress();
                if let Some(writer) = self.writer.take() {
                    writer.wake();
                }
                return Poll::Ready(Ok(count));
            }
            self.reader = Some(cx.waker().clone());
            now = ready!(self.poll_time(cx));
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, PortError>> {
        let coop = ready!(coop::poll_proceed(cx));
        let count = match self.held() {
            true => 0,
            false => self.wire.send(uartnet_reactor::now(), bytes),
        };
        if count == 0 {
            // Only a read, a purge or a signal makes room; each of them wakes.
            self.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        coop.made_progress();
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(count))
    }

    fn poll_inputs(&mut self, cx: &mut Context<'_>) -> Poll<Result<InputSignals, PortError>> {
        let inputs = inputs(self.outputs);
        if inputs == self.told {
            self.watcher = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.told = inputs;
        Poll::Ready(Ok(inputs))
    }

    fn apply(&mut self, wanted: LineSettings) -> Result<LineSettings, PortError> {
        if wanted != self.line {
            self.line = wanted;
            self.follow_line();
        }
        Ok(self.line)
    }

    fn set_outputs(&mut self, change: OutputChange) -> Result<OutputSignals, PortError> {
        self.outputs = self.outputs.with(change);
        self.follow_line();
        Ok(self.outputs)
    }

    fn set_break(&mut self, on: bool) -> Result<(), PortError> {
        self.breaks += u64::from(on && !self.breaking);
        self.breaking = on;
        Ok(())
    }

    fn purge(&mut self, queues: Purge) -> Result<(), PortError> {
        let now = uartnet_reactor::now();
        if matches!(queues, Purge::Receive | Purge::Both) {
            self.wire.purge_arrived(now);
        }
        if matches!(queues, Purge::Transmit | Purge::Both) {
            self.wire.purge_pending(now);
        }
        self.wake();
        Ok(())
    }

    fn status(&mut self) -> Result<PortStatus, PortError> {
        self.told = inputs(self.outputs);
        Ok(PortStatus {
            line: self.line,
            outputs: self.outputs,
            inputs: self.told,
            has_modem_lines: true,
            errors: Some(ErrorCounters {
                breaks: self.breaks,
                ..ErrorCounters::default()
            }),
        })
    }

    fn can_pause(&self) -> bool {
        true
    }
}

/// What the plug's wires make of our outputs.
fn inputs(outputs: OutputSignals) -> InputSignals {
    InputSignals {
        cts: outputs.rts,
        dsr: outputs.dtr,
        ri: false,
        dcd: outputs.dtr,
    }
}
