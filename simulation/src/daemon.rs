//! One life of the gateway: the real hub and the real endpoints, with this file in the place of the port's task, of the
//! connections' tasks and of the supervisor. Not the network, not the board.

use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use uart_iface::{InputSignals, LineSettings, OutputSignals, Purge};
use uartnet_hub::{Access, Action, ActionDone, DeviceState, Epoch};
use uartnet_server::access::{Audit, Clock, Gate, Guarded, Identity, Origin, Rules, Visitor};
use uartnet_server::config::{Config, DeviceSpec, GatewayConfig, PortConfig, StreamOptions};
use uartnet_server::endpoint::{Connection, ENDPOINTS, Finish, Output, Session};
use uartnet_server::gateway::{Gateway, PortHandle};
use uartnet_server::nudge::Nudge;

use crate::accounts::Truth;
use crate::board::Board;
use crate::network::{Read, Way, Wire};
use crate::plan::Plan;
use crate::random::Random;

/// How long an absent device is left alone.
const RETRY: Duration = Duration::from_millis(100);

/// How long a graceful stop may take.
const DRAIN: Duration = Duration::from_secs(5);

/// A running gateway.
#[derive(Debug)]
pub(crate) struct Daemon {
    gate: Rc<Gate>,
    port: Rc<PortHandle>,
    epoch: u64,
    /// The device that is open.
    device: Option<u64>,
    retry_at: Instant,
    can_pause: bool,
    /// The UART took nothing more when it was last offered bytes.
    held_up: bool,
    conns: Vec<Conn>,
    next_conn: u64,
    /// When a graceful stop is cut short.
    stop_until: Option<Instant>,
}

impl Daemon {
    pub(crate) fn start(plan: &Plan, epoch: u64, now: Instant) -> Daemon {
        let config = Config {
            gateway: GatewayConfig {
                name: "bench1".into(),
                max_frame: plan.max_frame,
                ..GatewayConfig::default()
            },
            ports: vec![PortConfig {
                name: "board0".parse().unwrap(),
                device: DeviceSpec::parse("/dev/ttyTEST").unwrap(),
                line: LineSettings::default(),
                hub: plan.hub.clone().into(),
                logs: Vec::new(),
            }],
            listeners: Vec::new(),
            holders: Default::default(),
        };
        let gateway = Rc::new(Gateway::new(&config, Epoch(epoch), now));
        let clock = Clock::From(now, SystemTime::UNIX_EPOCH);
        let rules = Rules {
            hello_timeout: Duration::from_secs(10),
            max_unauthenticated: 64,
        };
        let gate = Gate::new(gateway.clone(), clock, rules, None, Audit::default()).unwrap();
        Daemon {
            port: gateway.port("board0").unwrap(),
            gate,
            epoch,
            device: None,
            retry_at: now,
            can_pause: plan.can_pause,
            held_up: false,
            conns: Vec::new(),
            next_conn: 0,
            stop_until: None,
        }
    }

    // --- getters

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stop_until.is_some()
    }

    /// The connections that are open.
    pub(crate) fn wires(&self) -> Vec<Wire> {
        self.conns.iter().map(|conn| conn.wire.clone()).collect()
    }

    pub(crate) fn port(&self) -> &Rc<PortHandle> {
        &self.port
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let conns = self.conns.iter().filter_map(|conn| conn.timeout());
        let retry = self.device.is_none().then_some(self.retry_at);
        conns
            .chain(self.port.timeout())
            .chain(retry)
            .chain(self.stop_until)
            .min()
    }

    // --- commands

    /// A client has connected. Gives the offset at which a `raw` one begins to read.
    pub(crate) fn accept(&mut self, now: Instant, protocol: &'static str, wire: Wire) -> u64 {
        let nudge = Rc::<Nudge>::default();
        let mut endpoints = ENDPOINTS.iter();
        let endpoint = endpoints.find(|it| it.name() == protocol).unwrap();
        let arrival = self.gate.arrive(
            now,
            Origin::of(None),
            format!("peer {}", self.next_conn),
            protocol,
            Identity::anonymous(Some(Access::Admin)),
        );
        let visitor = Visitor::new(now, arrival.unwrap(), nudge.clone());
        let connection = Connection {
            visitor: visitor.clone(),
            port: Some(self.port.name().clone()),
            options: StreamOptions::default(),
        };
        let session = endpoint.session(now, connection);
        let end = self.port.info().end.0;
        self.conns.push(Conn {
            id: self.next_conn,
            wire,
            session: Box::new(Guarded::new(visitor, session)),
            nudge,
            nudged: true,
            output: Output::new(),
            ended: false,
            broken: false,
            told_gone: false,
        });
        self.next_conn += 1;
        end
    }

    /// It is killed: every connection breaks, with what is under way.
    pub(crate) fn kill(self, random: &mut Random) {
        for conn in &self.conns {
            let (_, down) = conn.wire.under_way();
            conn.wire.cut(0, random.below(down + 1));
        }
    }

    /// It begins to stop gracefully.
    pub(crate) fn stop(&mut self, now: Instant) {
        self.stop_until = Some(now + DRAIN);
        self.port.shut_down(now);
        for conn in &mut self.conns {
            conn.session.handle_stop(now);
            conn.nudged = true;
        }
    }

    /// Whether it has stopped.
    pub(crate) fn has_stopped(&self, now: Instant) -> bool {
        self.stop_until
            .is_some_and(|until| until <= now || self.conns.is_empty() && self.port.has_drained())
    }

    // --- turns

    /// Whose turn it could be: `None` is the port.
    pub(crate) fn ready(&mut self, now: Instant, board: &Board) -> Vec<Option<u64>> {
        let mut ready = Vec::new();
        if self.port_is_ready(now, board) {
            ready.push(None);
        }
        for conn in &mut self.conns {
            if conn.is_ready(now) {
                ready.push(Some(conn.id));
            }
        }
        ready
    }

    fn port_is_ready(&self, now: Instant, board: &Board) -> bool {
        let gone = self.device.is_some_and(|device| device != board.device());
        let appeared = self.device.is_none() && board.is_present() && self.retry_at <= now;
        let readable = self.device.is_some() && board.has_unread() && !self.port.reading_paused();
        let due = self.port.timeout().is_some_and(|at| at <= now);
        let kicked = self.port.kick().take();
        if kicked {
            // It was only looked at.
            self.port.kick().ring();
        }
        let writable = self.held_up && board.takes_bytes();
        gone || appeared || readable || writable || due || kicked
    }

    /// One turn of the port's task, in the order of `crates/server/src/port_task.rs`.
    pub(crate) fn port_turn(
        &mut self,
        now: Instant,
        board: &mut Board,
        truth: &mut Truth,
        random: &mut Random,
    ) {
        let port = self.port.clone();
        port.kick().take();
        if self.device.is_some_and(|device| device != board.device()) {
            self.device = None;
            self.held_up = false;
            self.retry_at = now + RETRY;
            port.drive(now, |hub| hub.handle_lost(now, "unplugged"));
        }
        if self.device.is_none() && board.is_present() && self.retry_at <= now {
            board.open();
            self.device = Some(board.device());
            let state = DeviceState::Present {
                line: port.line(),
                outputs: OutputSignals::ASSERTED,
                inputs: InputSignals::ABSENT_LINES,
            };
            port.drive(now, |hub| hub.handle_opened(now, state, self.can_pause));
        } else if self.device.is_none() {
            self.retry_at = self.retry_at.max(now + RETRY);
        }
        if self.device.is_some() {
            while !port.reading_paused() && board.has_unread() {
                let bytes = board.read(port.read_size().min(random.between(1, 200)));
                truth.received(self.epoch, &bytes);
                port.drive(now, |hub| hub.handle_uart_data(now, Bytes::from(bytes)));
            }
            while let Some(action) = port.drive(now, |hub| hub.poll_action(now)) {
                let done = act(action, board);
                port.drive(now, |hub| hub.handle_action_done(now, done));
            }
            self.held_up = false;
            while let Some(bytes) = port.drive(now, |hub| hub.poll_transmit(now)) {
                let count = board.write(&bytes);
                self.held_up = count == 0;
                if self.held_up {
                    break;
                }
                port.drive(now, |hub| hub.handle_transmitted(now, count));
            }
        }
        if port.timeout().is_some_and(|at| at <= now) {
            port.drive(now, |hub| hub.handle_timeout(now));
            // Another round: it may have made work for the stages before it.
            port.kick().ring();
        }
        let info = port.info();
        assert_eq!(info.end.0, truth.end(self.epoch), "the count of bytes");
        assert!(info.end.0 - info.start.0 <= info.history as u64, "{info:?}");
        truth.history_starts(self.epoch, info.start.0);
        if self.is_stopping() && self.conns.is_empty() {
            port.drain();
        }
    }

    /// One turn of a connection. Whether it is over now.
    pub(crate) fn conn_turn(&mut self, now: Instant, id: u64, random: &mut Random) -> bool {
        let position = self.conns.iter().position(|conn| conn.id == id).unwrap();
        let over = self.conns[position].turn(now, random);
        if over {
            self.conns.remove(position);
            self.port.kick().ring();
        }
        over
    }
}

fn act(action: Action, board: &mut Board) -> Result<ActionDone, String> {
    Ok(match action {
        Action::Apply(line) => ActionDone::Line(line),
        Action::SetOutputs(change) => ActionDone::Outputs(OutputSignals::ASSERTED.with(change)),
        Action::SetBreak(_) => ActionDone::Done,
        Action::Purge(queues) => {
            if matches!(queues, Purge::Receive | Purge::Both) {
                board.purge_unread();
            }
            ActionDone::Done
        }
    })
}

/// One connection: what `crates/server/src/conn_task.rs` is to a socket.
#[derive(Debug)]
struct Conn {
    id: u64,
    wire: Wire,
    session: Box<dyn Session>,
    nudge: Rc<Nudge>,
    nudged: bool,
    output: Output,
    ended: bool,
    broken: bool,
    told_gone: bool,
}

impl Conn {
    fn timeout(&self) -> Option<Instant> {
        self.session.poll_timeout()
    }

    fn is_ready(&mut self, now: Instant) -> bool {
        self.nudged |= self.nudge.take();
        let writes = !self.output.is_empty() && self.wire.has_room(Way::Down);
        let reads = !self.ended && self.session.wants_input() && self.wire.has_news(Way::Up);
        let due = self.timeout().is_some_and(|at| at <= now);
        self.nudged || writes || reads || due
    }

    /// Output before input, as far as both go.
    fn turn(&mut self, now: Instant, random: &mut Random) -> bool {
        self.nudged = false;
        loop {
            self.nudge.take();
            let flushed = self.write(now, random);
            if flushed && let Some(finish) = self.session.finished() {
                self.wire.end(Way::Down);
                if finish == Finish::Close {
                    self.wire.stop_reading(Way::Up);
                }
                return true;
            }
            let read = self.read(now, random);
            let due = self.timeout().is_some_and(|at| at <= now);
            if due {
                self.session.handle_timeout(now);
            }
            if !read && !due && !self.nudge.take() {
                return false;
            }
        }
    }

    fn write(&mut self, now: Instant, random: &mut Random) -> bool {
        loop {
            while !self.output.is_empty() {
                let mut slices = [std::io::IoSlice::new(&[])];
                self.output.slices(&mut slices);
                let most = slices[0].len().min(random.between(1, 5000));
                match self.wire.write(Way::Down, &slices[0][..most]) {
                    Some(0) => return false,
                    Some(count) => self.output.advance(count),
                    None => {
                        self.output.take();
                        self.broken = true;
                        self.handle_gone(now);
                    }
                }
            }
            self.session.poll_output(now, &mut self.output);
            if self.broken {
                self.output.take();
            }
            if self.output.is_empty() {
                return true;
            }
        }
    }

    fn read(&mut self, now: Instant, random: &mut Random) -> bool {
        if self.ended || !self.session.wants_input() {
            return false;
        }
        match self.wire.read(Way::Up, random.between(1, 500)) {
            Read::Nothing => return false,
            Read::Bytes(bytes) => self.session.handle_input(now, &bytes),
            end => {
                self.ended = true;
                self.broken |= end == Read::Broken;
                self.session.handle_end_of_input(now);
                self.handle_gone(now);
            }
        }
        true
    }

    fn handle_gone(&mut self, now: Instant) {
        if self.broken && self.ended && !self.told_gone {
            self.told_gone = true;
            self.session.handle_gone(now);
        }
    }
}
