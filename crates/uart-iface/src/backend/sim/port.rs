//! The one adapter that makes a [`Board`](super::Board) a [`Port`]: it reads the clock, carries the bytes at the pace
//! asked for, and tells when the board has vanished. What a board does is the board's matter.

use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use tokio::task::coop;
use uartnet_reactor::Alarm;

use super::{Doing, Pace, Pacer, Presence, SharedBoard};
use crate::{
    ErrorCounters, FlowControl, InputSignals, LineSettings, OutputChange, OutputSignals, Port,
    PortError, PortStatus, Purge,
};

/// How many bytes may wait to be sent to a board at `pace=line`: what a Linux tty holds.
const TRANSMIT_BUFFER: usize = 4096;

/// The state of both lines while no port is open.
const CLOSED: OutputSignals = OutputSignals {
    dtr: false,
    rts: false,
};

/// What the board drives: it is there, so its lines are asserted.
const INPUTS: InputSignals = InputSignals {
    cts: true,
    dsr: true,
    ri: false,
    dcd: true,
};

/// An opened simulated board.
#[derive(Debug)]
pub(super) struct SimPort {
    spec: String,
    board: SharedBoard,
    pace: Pace,
    line: LineSettings,
    outputs: OutputSignals,
    breaking: bool,
    /// Empty unless `pace=line`: without it the board is given as much as it has room for.
    to_board: Pacer,
    /// Empty unless `pace=line`: without it bytes go from the board into the reader's buffer.
    from_board: Pacer,
    alarm: Alarm,
    /// Who found nothing to read.
    reader: Option<Waker>,
    /// Who found no room to write.
    writer: Option<Waker>,
    /// The last moment that was looked at.
    now: Instant,
}

impl SimPort {
    pub(super) fn open(
        spec: String,
        board: SharedBoard,
        pace: Pace,
        line: LineSettings,
        outputs: OutputSignals,
    ) -> SimPort {
        let now = uartnet_reactor::now();
        if outputs != CLOSED {
            board.borrow_mut().handle_outputs(now, outputs);
        }
        let mut port = SimPort {
            spec,
            board,
            pace,
            line,
            outputs,
            breaking: false,
            to_board: Pacer::new(Duration::ZERO, TRANSMIT_BUFFER),
            from_board: Pacer::new(Duration::ZERO, 0),
            alarm: Alarm::default(),
            reader: None,
            writer: None,
            now,
        };
        port.set_speed();
        port
    }

    /// Lets everything happen that happens until now.
    fn look(&mut self) -> Result<(), PortError> {
        self.now = uartnet_reactor::now().max(self.now);
        if let Presence::Away { .. } = self.board.borrow_mut().presence(self.now) {
            return Err(PortError::Gone {
                device: self.spec.clone(),
                reason: "the simulated board was unplugged".to_owned(),
            });
        }
        match self.pace {
            // The board may have room again, which it finds out by being asked for output.
            Pace::None => self
                .board
                .borrow_mut()
                .poll_output(self.now, 0, &mut Vec::new()),
            Pace::Line => {
                self.fetch();
                while self.deliver() {
                    self.fetch();
                }
            }
        }
        Ok(())
    }

    /// An error of the board's, if it is due.
    fn try_to(&self, doing: Doing, name: &'static str) -> Result<(), PortError> {
        if !self.board.borrow_mut().fails(self.now, doing) {
            return Ok(());
        }
        Err(PortError::Io {
            device: self.spec.clone(),
            doing: name,
            source: Errno::IO.into(),
        })
    }

    /// Puts what the board has to say on the wire, as far as the wire has room.
    fn fetch(&mut self) {
        let mut out = Vec::new();
        self.board
            .borrow_mut()
            .poll_output(self.now, self.from_board.room(), &mut out);
        self.from_board.send(self.now, &out);
    }

    /// Gives the board what has arrived at its end of the wire; says whether it was given anything.
    fn deliver(&mut self) -> bool {
        let arrived = self.to_board.arrived(self.now);
        let mut board = self.board.borrow_mut();
        let room = board.input_room();
        let count = match self.line.flow {
            // Nobody waits for a board that is too slow: it loses what it has no room for.
            FlowControl::None if room == 0 => arrived,
            _ => arrived.min(room),
        };
        let mut bytes = vec![0; count];
        self.to_board.take(self.now, &mut bytes);
        board.handle_input(self.now, &bytes);
        count > 0
    }

    /// Fits the wires to the line settings in force.
    fn set_speed(&mut self) {
        if self.pace == Pace::Line {
            let character = self.line.character_time();
            self.to_board
                .set_speed(self.now, character, TRANSMIT_BUFFER);
            self.from_board
                .set_speed(self.now, character, in_flight(character));
        }
    }

    fn read(&mut self, buf: &mut [u8]) -> usize {
        if self.pace == Pace::Line {
            return self.from_board.take(self.now, buf);
        }
        let mut out = Vec::new();
        self.board
            .borrow_mut()
            .poll_output(self.now, buf.len(), &mut out);
        buf[..out.len()].copy_from_slice(&out);
        out.len()
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        if self.pace == Pace::Line {
            return self.to_board.send(self.now, bytes);
        }
        let mut board = self.board.borrow_mut();
        let count = bytes.len().min(board.input_room());
        board.handle_input(self.now, &bytes[..count]);
        count
    }

    /// Ready when something may have changed by the passing of time; else the task is woken then.
    fn poll_time(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut board = self.board.borrow_mut();
        let vanishes = match board.presence(self.now) {
            Presence::Here { until } => until,
            Presence::Away { until } => Some(until),
        };
        let deadline = [
            vanishes,
            board.poll_timeout(),
            self.to_board.next_arrival(),
            self.from_board.next_arrival(),
        ]
        .into_iter()
        .flatten()
        .min();
        self.alarm.poll(cx, deadline)
    }

    /// A command may have given whoever waits something to do.
    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()] {
            waker.inspect(Waker::wake_by_ref);
        }
    }
}

impl Port for SimPort {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<Result<usize, PortError>> {
        // A board can talk without end; the other tasks of the thread get their turn all the same.
        let coop = ready!(coop::poll_proceed(cx));
        loop {
            self.look()?;
            self.try_to(Doing::Read, "read")?;
            let count = self.read(buf);
            if count > 0 {
                coop.made_progress();
                if let Some(writer) = self.writer.take() {
                    writer.wake();
                }
                return Poll::Ready(Ok(count));
            }
            self.reader = Some(cx.waker().clone());
            ready!(self.poll_time(cx));
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, PortError>> {
        let coop = ready!(coop::poll_proceed(cx));
        loop {
            self.look()?;
            self.try_to(Doing::Write, "write")?;
            let count = self.write(bytes);
            if count > 0 {
                coop.made_progress();
                if let Some(reader) = self.reader.take() {
                    reader.wake();
                }
                return Poll::Ready(Ok(count));
            }
            self.writer = Some(cx.waker().clone());
            ready!(self.poll_time(cx));
        }
    }

    fn poll_inputs(&mut self, cx: &mut Context<'_>) -> Poll<Result<InputSignals, PortError>> {
        loop {
            self.look()?;
            ready!(self.poll_time(cx));
        }
    }

    fn apply(&mut self, wanted: LineSettings) -> Result<LineSettings, PortError> {
        self.look()?;
        if wanted != self.line {
            self.line = wanted;
            self.set_speed();
            self.wake();
        }
        Ok(self.line)
    }

    fn set_outputs(&mut self, change: OutputChange) -> Result<OutputSignals, PortError> {
        self.look()?;
        let outputs = self.outputs.with(change);
        if outputs != self.outputs {
            self.outputs = outputs;
            self.board.borrow_mut().handle_outputs(self.now, outputs);
            self.wake();
        }
        Ok(outputs)
    }

    fn set_break(&mut self, on: bool) -> Result<(), PortError> {
        self.look()?;
        if on != self.breaking {
            self.breaking = on;
            self.board.borrow_mut().handle_break(self.now, on);
            self.wake();
        }
        Ok(())
    }

    fn purge(&mut self, queues: Purge) -> Result<(), PortError> {
        self.look()?;
        if matches!(queues, Purge::Receive | Purge::Both) {
            match self.pace {
                // What the board has said already would be in the driver's buffer.
                Pace::None => {
                    let mut out = Vec::new();
                    self.board
                        .borrow_mut()
                        .poll_output(self.now, TRANSMIT_BUFFER, &mut out);
                }
                Pace::Line => self.from_board.purge_arrived(self.now),
            }
        }
        if matches!(queues, Purge::Transmit | Purge::Both) {
            self.to_board.purge_arrived(self.now);
            self.to_board.purge_pending(self.now);
        }
        self.wake();
        Ok(())
    }

    fn status(&mut self) -> Result<PortStatus, PortError> {
        self.look()?;
        Ok(PortStatus {
            line: self.line,
            outputs: self.outputs,
            inputs: INPUTS,
            has_modem_lines: true,
            errors: Some(ErrorCounters::default()),
        })
    }

    fn can_pause(&self) -> bool {
        true
    }
}

impl Drop for SimPort {
    /// DTR and RTS fall when a port is closed, as on a real one.
    fn drop(&mut self) {
        let mut board = self.board.borrow_mut();
        if self.breaking {
            board.handle_break(self.now, false);
        }
        if self.outputs != CLOSED {
            board.handle_outputs(self.now, CLOSED);
        }
    }
}

/// How many bytes the wire takes from the board in advance, so that it is never idle while the task sleeps (timers
/// are good to 1 ms, and other tasks want their turn): 20 ms of them, but at least what a 16550 holds.
fn in_flight(character: Duration) -> usize {
    let characters = 20_000_000 / character.as_nanos().max(1);
    usize::try_from(characters)
        .unwrap_or(usize::MAX)
        .clamp(16, 65_536)
}
