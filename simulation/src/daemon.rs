//! One life of the gateway: the real hub and the real endpoints, with this file in the place of the port's task, of the
//! connections' tasks and of the supervisor. Not the network, not the board.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use uart_iface::{InputSignals, OutputSignals, Purge};
use uartnet_hub::{Action, ActionDone, DeviceState, Epoch};
use uartnet_server::access::{
    Audit, Came, Clock, Door, DoorRules, Gate, Guarded, Identity, Origin, Rules, Visitor,
};
use uartnet_server::config::{Config, ListenerConfig, PortConfig};
use uartnet_server::endpoint::{Connection, Finish, Output, Session};
use uartnet_server::gateway::{Gateway, PortHandle};
use uartnet_server::nudge::Nudge;
use uartnet_server::plan::{ListenerFate, Plan as Difference, PortChange};

use crate::accounts::Truth;
use crate::board::Board;
use crate::network::{Read, Way, Wire};
use crate::random::Random;
use crate::reload::DRAIN;

/// How long an absent device is left alone.
const RETRY: Duration = Duration::from_millis(100);

/// A running gateway.
#[derive(Debug)]
pub(crate) struct Daemon {
    config: Config,
    gate: Rc<Gate>,
    gateway: Rc<Gateway>,
    /// The one in the configuration is the last; those before it are no longer wanted, and still have the device.
    ports: VecDeque<Served>,
    /// In the order of the configuration.
    doors: Vec<Rc<Door>>,
    can_pause: bool,
    conns: Vec<Conn>,
    next_conn: u64,
    /// When a graceful stop is cut short.
    stop_until: Option<Instant>,
}

/// A port and what its task knows.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) handle: Rc<PortHandle>,
    /// The device that is open.
    device: Option<u64>,
    retry_at: Instant,
    /// The UART took nothing more when it was last offered bytes.
    held_up: bool,
    /// It is no longer wanted, and ends then at the latest.
    leaving: Option<Instant>,
}

impl Daemon {
    pub(crate) fn start(config: Config, can_pause: bool, epoch: u64, now: Instant) -> Daemon {
        let gateway = Rc::new(Gateway::new(&config, Epoch(epoch), now));
        let clock = Clock::From(now, SystemTime::UNIX_EPOCH);
        let rules = Rules {
            hello_timeout: Duration::from_secs(10),
            max_unauthenticated: 64,
        };
        let gate = Gate::new(gateway.clone(), clock, rules, None, Audit::default()).unwrap();
        let ports = gateway.ports().into_iter();
        Daemon {
            ports: ports.map(|port| Served::new(port, now)).collect(),
            doors: config.listeners.iter().map(|it| door(it)).collect(),
            config,
            gate,
            gateway,
            can_pause,
            conns: Vec::new(),
            next_conn: 0,
            stop_until: None,
        }
    }

    // --- getters

    pub(crate) fn is_stopping(&self) -> bool {
        self.stop_until.is_some()
    }

    /// The connections that are open.
    pub(crate) fn wires(&self) -> Vec<Wire> {
        self.conns.iter().map(|conn| conn.wire.clone()).collect()
    }

    /// The port of the configuration, if nothing else has its device.
    pub(crate) fn port(&self) -> Option<&Rc<PortHandle>> {
        let port = self.ports.front()?;
        port.leaving.is_none().then_some(&port.handle)
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let conns = self.conns.iter().filter_map(|conn| conn.timeout());
        let port = self.ports.front().and_then(Served::next_timeout);
        conns.chain(port).chain(self.stop_until).min()
    }

    // --- commands

    /// A client has connected. Gives the epoch and the offset at which one that reads live begins to read.
    pub(crate) fn accept(
        &mut self,
        now: Instant,
        protocol: &'static str,
        wire: Wire,
    ) -> Option<(u64, u64)> {
        let mut listeners = self.config.listeners.iter().zip(&self.doors);
        let (listener, door) = listeners.find(|(it, _)| it.endpoint.name() == protocol)?;
        let nudge = Rc::<Nudge>::default();
        let arrival = self.gate.arrive(
            now,
            Origin::of(None),
            peer(self.next_conn),
            protocol,
            Identity::anonymous(listener.access),
        );
        let visitor = Visitor::new(now, arrival.unwrap(), nudge.clone());
        door.enter(now, &visitor, Came::locally());
        let connection = Connection {
            visitor: visitor.clone(),
            port: listener.port.clone(),
            options: listener.stream.clone(),
        };
        let session = listener.endpoint.session(now, connection);
        self.conns.push(Conn {
            id: self.next_conn,
            protocol,
            wire,
            session: Box::new(Guarded::new(visitor, session)),
            nudge,
            nudged: true,
            output: Output::new(),
            ended: false,
            broken: false,
            told_gone: false,
            cut_at: None,
        });
        self.next_conn += 1;
        let port = self.ports.back().filter(|port| port.leaving.is_none())?;
        Some((port.handle.epoch().0, port.handle.info().end.0))
    }

    /// Another configuration is put in force, as `crates/server/src/supervisor.rs` does. A port that comes has this epoch.
    pub(crate) fn reload(
        &mut self,
        now: Instant,
        new: Config,
        epoch: u64,
        board: &mut Board,
        truth: &mut Truth,
    ) {
        let difference = Difference::new(&self.config, &new);
        self.gateway.reconfigure(&new.gateway);
        for change in &difference.ports {
            let config = new.ports.iter().find(|port| port.name == *change.port());
            self.change_port(now, change, config, epoch, board);
        }
        let wanted = self.ports.iter().filter(|port| port.leaving.is_none());
        let wanted: Vec<Rc<PortHandle>> = wanted.map(|port| port.handle.clone()).collect();
        for port in &wanted {
            truth.history_starts(port.epoch().0, port.info().start.0);
        }
        self.gateway.set_ports(wanted);
        for (at, _) in &difference.listeners_gone {
            let protocol = self.config.listeners[*at].endpoint.name();
            for conn in &mut self.conns {
                if conn.protocol == protocol {
                    conn.session.handle_stop(now);
                    conn.nudged = true;
                    conn.cut_at = Some(now + DRAIN);
                }
            }
        }
        let fates = difference.listeners.iter().zip(&new.listeners);
        let doors = fates.map(|((fate, _), listener)| match fate {
            ListenerFate::New => door(listener),
            ListenerFate::Kept(at, _) => {
                let kept = self.doors[*at].clone();
                kept.set_rules(now, DoorRules::in_the_clear(listener.access));
                kept
            }
        });
        self.doors = doors.collect();
        self.config = new;
    }

    fn change_port(
        &mut self,
        now: Instant,
        change: &PortChange,
        config: Option<&PortConfig>,
        epoch: u64,
        board: &mut Board,
    ) {
        let wanted = |port: &&mut Served| port.leaving.is_none();
        let known = self.ports.back_mut().filter(wanted);
        match (change, config, known) {
            (PortChange::New(_), Some(config), _) => {
                let handle = PortHandle::new(config, Epoch(epoch), now);
                self.ports.push_back(Served::new(Rc::new(handle), now));
            }
            (PortChange::Gone(_), _, Some(port)) => {
                port.leaving = Some(now + DRAIN);
                port.handle.remove(now);
                port.handle.drain();
            }
            (PortChange::Changed(_, keys), Some(config), Some(port)) => {
                if keys.has("device") {
                    port.close(board);
                }
                port.handle.reconfigure(now, config);
                if keys.has("device") {
                    port.handle.change_device(now, config);
                    let state = port.handle.info().state;
                    assert!(matches!(state, DeviceState::Absent { .. }), "{state:?}");
                    port.retry_at = now;
                }
            }
            impossible => panic!("{impossible:?}"),
        }
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
        self.ports
            .iter()
            .for_each(|port| port.handle.shut_down(now));
        for conn in &mut self.conns {
            conn.session.handle_stop(now);
            conn.nudged = true;
        }
    }

    /// Whether it has stopped.
    pub(crate) fn has_stopped(&self, now: Instant) -> bool {
        let mut ports = self.ports.iter();
        self.stop_until.is_some_and(|until| {
            until <= now || self.conns.is_empty() && ports.all(|port| port.handle.has_drained())
        })
    }

    // --- turns

    /// Whose turn it could be: `None` is the port.
    pub(crate) fn ready(&mut self, now: Instant, board: &Board) -> Vec<Option<u64>> {
        let mut ready = Vec::new();
        let port = self.ports.front();
        if port.is_some_and(|port| port.is_ready(now, board)) {
            ready.push(None);
        }
        for conn in &mut self.conns {
            if conn.is_ready(now) {
                ready.push(Some(conn.id));
            }
        }
        ready
    }

    /// One turn of the task that has the device.
    pub(crate) fn port_turn(
        &mut self,
        now: Instant,
        board: &mut Board,
        truth: &mut Truth,
        random: &mut Random,
    ) {
        let Some(port) = self.ports.front_mut() else {
            return;
        };
        port.turn(now, board, truth, random, self.can_pause);
        if self.stop_until.is_some() && self.conns.is_empty() {
            self.ports.iter().for_each(|port| port.handle.drain());
        } else if port.has_left(now) {
            port.close(board);
            self.ports.pop_front();
        }
    }

    /// One turn of a connection. Whether it is over now.
    pub(crate) fn conn_turn(&mut self, now: Instant, id: u64, random: &mut Random) -> bool {
        let position = self.conns.iter().position(|conn| conn.id == id).unwrap();
        let over = self.conns[position].turn(now, random);
        if over {
            drop(self.conns.remove(position));
            for port in &self.ports {
                let lease = port.handle.info().lease;
                let is_there = |who: &String| self.conns.iter().any(|conn| peer(conn.id) == *who);
                let left = lease.filter(|who| !is_there(who));
                assert_eq!(left, None, "a lease of somebody who has left");
            }
            self.ports.iter().for_each(|port| port.handle.kick().ring());
        }
        over
    }
}

impl Served {
    fn new(handle: Rc<PortHandle>, now: Instant) -> Served {
        Served {
            handle,
            device: None,
            retry_at: now,
            held_up: false,
            leaving: None,
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        let retry = self.device.is_none().then_some(self.retry_at);
        let timeouts = retry.into_iter().chain(self.leaving);
        timeouts.chain(self.handle.timeout()).min()
    }

    fn has_left(&self, now: Instant) -> bool {
        self.leaving
            .is_some_and(|until| until <= now || self.handle.has_drained())
    }

    fn close(&mut self, board: &mut Board) {
        if self.device.take() == Some(board.device()) {
            board.close();
        }
        self.held_up = false;
    }

    fn is_ready(&self, now: Instant, board: &Board) -> bool {
        let gone = self.device.is_some_and(|device| device != board.device());
        let appeared = self.device.is_none() && board.is_present() && self.retry_at <= now;
        let readable = self.device.is_some() && board.has_unread() && !self.handle.reading_paused();
        let due = self.handle.timeout().is_some_and(|at| at <= now);
        let kicked = self.handle.kick().take();
        if kicked {
            // It was only looked at.
            self.handle.kick().ring();
        }
        let writable = self.held_up && board.takes_bytes();
        gone || appeared || readable || writable || due || kicked || self.has_left(now)
    }

    /// One turn of the port's task, in the order of `crates/server/src/port_task.rs`.
    fn turn(
        &mut self,
        now: Instant,
        board: &mut Board,
        truth: &mut Truth,
        random: &mut Random,
        can_pause: bool,
    ) {
        let port = self.handle.clone();
        let epoch = port.epoch().0;
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
            if let Some(line) = port.take_wanted_line() {
                port.set_line(line);
            }
            let state = DeviceState::Present {
                line: port.line(),
                outputs: OutputSignals::ASSERTED,
                inputs: InputSignals::ABSENT_LINES,
            };
            port.drive(now, |hub| hub.handle_opened(now, state, can_pause));
        } else if self.device.is_none() {
            self.retry_at = self.retry_at.max(now + RETRY);
        }
        if self.device.is_some() {
            while !port.reading_paused() && board.has_unread() {
                let bytes = board.read(port.read_size().min(random.between(1, 200)));
                truth.received(epoch, &bytes);
                port.drive(now, |hub| hub.handle_uart_data(now, &bytes));
            }
            if let Some(line) = port.take_wanted_line() {
                port.set_line(line);
                port.drive(now, |hub| hub.handle_line(now, line));
            }
            while let Some(action) = port.drive(now, |hub| hub.poll_action(now)) {
                let done = act(action, board);
                port.drive(now, |hub| hub.handle_action_done(now, done));
            }
            self.held_up = false;
            while let Some(bytes) =
                port.drive(now, |hub| hub.poll_transmit(now).map(<[u8]>::to_vec))
            {
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
        assert_eq!(info.end.0, truth.end(epoch), "the count of bytes");
        assert!(info.end.0 - info.start.0 <= info.history as u64, "{info:?}");
        truth.history_starts(epoch, info.start.0);
    }
}

/// What others are told of who came by this connection.
fn peer(id: u64) -> String {
    format!("peer {id}")
}

fn door(listener: &ListenerConfig) -> Rc<Door> {
    Rc::new(Door::new(DoorRules::in_the_clear(listener.access)))
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
    protocol: &'static str,
    wire: Wire,
    session: Box<dyn Session>,
    nudge: Rc<Nudge>,
    nudged: bool,
    output: Output,
    ended: bool,
    broken: bool,
    told_gone: bool,
    /// Its listener is no longer wanted.
    cut_at: Option<Instant>,
}

impl Conn {
    fn timeout(&self) -> Option<Instant> {
        self.session
            .poll_timeout()
            .into_iter()
            .chain(self.cut_at)
            .min()
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
        if self.cut_at.is_some_and(|at| at <= now) {
            self.wire.cut(0, 0);
            return true;
        }
        for rounds in 0.. {
            assert!(rounds < 10_000, "a connection does not come to an end");
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
                break;
            }
        }
        false
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
