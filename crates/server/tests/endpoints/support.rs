//! A gateway whose UART the test plays, and a client that is bytes and an invented clock.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use uart_iface::{InputSignals, LineSettings, OutputSignals};
use uartnet_hub::{
    Access, Action, ActionDone, DeviceState, Epoch, HubConfig, OnLag, OnLoss, Profile, ReplyEnd,
    WritePolicy,
};
use uartnet_server::access::{Audit, Clock, Gate, Guarded, Identity, Origin, Rules, Visitor};
use uartnet_server::config::{Config, DeviceSpec, GatewayConfig, PortConfig, StreamOptions};
use uartnet_server::endpoint::{Connection, ENDPOINTS, Finish, Output, Session};
use uartnet_server::gateway::{Gateway, PortHandle};
use uartnet_server::nudge::Nudge;

/// When tests begin.
pub(crate) const DATE: SystemTime = SystemTime::UNIX_EPOCH;
pub(crate) const EPOCH: u64 = 0x0123_4567_89ab_cdef;

/// A hub's configuration with every bound small enough to be reached.
pub(crate) fn hub() -> HubConfig {
    HubConfig {
        history: 4096,
        write: WritePolicy::Shared,
        lease_idle: None,
        on_lag: OnLag::Gap,
        stall_limit: Duration::from_secs(1),
        write_queue: 1024,
        on_loss: OnLoss::Discard,
        ask_queue: 256,
        ask_wait: Duration::from_secs(30),
        typing_hold: Duration::ZERO,
        profile: None,
        sequences: Vec::new(),
        byte_pacing: Duration::ZERO,
        line_pacing: Duration::ZERO,
    }
}

/// The same, with an interpreter that answers one line.
pub(crate) fn interpreter() -> HubConfig {
    HubConfig {
        profile: Some(Profile::new(ReplyEnd::Line { count: 1 })),
        ..hub()
    }
}

/// A gate with small bounds. It is always the same date when a test begins.
pub(crate) fn gate(
    now: Instant,
    gateway: &Rc<Gateway>,
    tokens: Option<PathBuf>,
    audit: Audit,
) -> Rc<Gate> {
    let rules = Rules {
        hello_timeout: Duration::from_secs(10),
        max_unauthenticated: 20,
    };
    let clock = Clock::From(now, DATE);
    Gate::new(gateway.clone(), clock, rules, tokens, audit).unwrap()
}

/// A gateway with one port, `board0`, and the board that is behind it.
pub(crate) struct World {
    pub(crate) gateway: Rc<Gateway>,
    pub(crate) gate: Rc<Gate>,
    pub(crate) now: Instant,
}

impl World {
    /// The device is there.
    pub(crate) fn new(hub: HubConfig) -> World {
        let world = World::absent(hub, 65_536);
        world.appear();
        world
    }

    pub(crate) fn with_max_frame(hub: HubConfig, max_frame: usize) -> World {
        let world = World::absent(hub, max_frame);
        world.appear();
        world
    }

    pub(crate) fn absent(hub: HubConfig, max_frame: usize) -> World {
        let port = |name: &str| PortConfig {
            name: name.parse().unwrap(),
            device: DeviceSpec::parse("/dev/ttyTEST").unwrap(),
            line: LineSettings::default(),
            hub: hub.clone().into(),
            logs: Vec::new(),
        };
        let config = Config {
            gateway: GatewayConfig {
                name: "bench1".into(),
                max_frame,
                ..GatewayConfig::default()
            },
            ports: vec![port("board0"), port("board1")],
            listeners: Vec::new(),
            holders: Default::default(),
        };
        let now = Instant::now();
        let gateway = Rc::new(Gateway::new(&config, Epoch(EPOCH), now));
        World {
            gate: gate(now, &gateway, None, Audit::default()),
            gateway,
            now,
        }
    }

    pub(crate) fn port(&self) -> Rc<PortHandle> {
        self.gateway.port("board0").unwrap()
    }

    pub(crate) fn appear(&self) {
        let state = DeviceState::Present {
            line: LineSettings::default(),
            outputs: OutputSignals::ASSERTED,
            inputs: InputSignals::ABSENT_LINES,
        };
        for port in self.gateway.ports() {
            port.with_hub(self.now, |hub| {
                hub.handle_opened(self.now, state.clone(), false)
            });
        }
    }

    pub(crate) fn vanish(&self, reason: &str) {
        self.port()
            .with_hub(self.now, |hub| hub.handle_lost(self.now, reason));
    }

    /// The board sends.
    pub(crate) fn board_says(&self, bytes: impl AsRef<[u8]>) {
        self.port().with_hub(self.now, |hub| {
            hub.handle_uart_data(self.now, bytes.as_ref())
        });
    }

    /// What the board has been sent since this was last asked.
    pub(crate) fn board_heard(&self) -> String {
        String::from_utf8(self.board_heard_bytes()).unwrap()
    }

    pub(crate) fn board_heard_bytes(&self) -> Vec<u8> {
        let mut heard = Vec::new();
        while let Some(bytes) = self.port().with_hub(self.now, |hub| {
            hub.poll_transmit(self.now).map(<[u8]>::to_vec)
        }) {
            heard.extend_from_slice(&bytes);
            self.port().with_hub(self.now, |hub| {
                hub.handle_transmitted(self.now, bytes.len())
            });
        }
        heard
    }

    /// Does what the hub wants done to the device, and says what that was.
    pub(crate) fn device_does(&self) -> Vec<Action> {
        let mut done = Vec::new();
        while let Some(action) = self
            .port()
            .with_hub(self.now, |hub| hub.poll_action(self.now))
        {
            let result = match action {
                Action::Apply(line) => ActionDone::Line(line),
                Action::SetOutputs(change) => {
                    ActionDone::Outputs(OutputSignals::ASSERTED.with(change))
                }
                Action::SetBreak(_) | Action::Purge(_) => ActionDone::Done,
            };
            self.port()
                .with_hub(self.now, |hub| hub.handle_action_done(self.now, Ok(result)));
            done.push(action);
        }
        done
    }

    /// Time passes, and every timeout in it is kept.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for port in self.gateway.ports() {
            while let Some(at) = port
                .with_hub(self.now, |hub| hub.poll_timeout())
                .filter(|at| *at <= end)
            {
                let at = at.max(self.now);
                port.with_hub(at, |hub| hub.handle_timeout(at));
                self.now = at;
            }
        }
        self.now = end;
    }

    /// A client of the listener whose port is `board0`.
    pub(crate) fn client(&self) -> Client {
        self.client_of(Some("board0"), Access::Admin)
    }

    pub(crate) fn client_of(&self, port: Option<&str>, access: Access) -> Client {
        let identity = Identity::anonymous(Some(access));
        self.connect("uartnet", port, identity, StreamOptions::default())
    }

    /// A client of another endpoint's listener, whose port is `board0`.
    pub(crate) fn client_by(&self, protocol: &str, options: StreamOptions) -> Client {
        let identity = Identity::anonymous(Some(Access::Admin));
        self.connect(protocol, Some("board0"), identity, options)
    }

    /// Somebody connects to a listener of this protocol with this port.
    pub(crate) fn connect(
        &self,
        protocol: &str,
        port: Option<&str>,
        identity: Identity,
        options: StreamOptions,
    ) -> Client {
        let nudge = Rc::<Nudge>::default();
        let peer = "127.0.0.1:5122".to_owned();
        let mut endpoints = ENDPOINTS.iter();
        let endpoint = endpoints.find(|it| it.name() == protocol).unwrap();
        let origin = Origin::of(None);
        let arrival = self
            .gate
            .arrive(self.now, origin, peer, endpoint.name(), identity);
        let visitor = Visitor::new(self.now, arrival.unwrap(), nudge.clone());
        let connection = Connection {
            visitor: visitor.clone(),
            port: port.map(|name| name.parse().unwrap()),
            options,
        };
        let session = endpoint.session(self.now, connection);
        let session = Box::new(Guarded::new(visitor, session));
        Client { session, nudge }
    }
}

/// One connection, without its socket.
pub(crate) struct Client {
    pub(crate) session: Box<dyn Session>,
    pub(crate) nudge: Rc<Nudge>,
}

impl Client {
    /// Bytes, as they arrive in one read.
    pub(crate) fn sends(&mut self, world: &World, bytes: impl AsRef<[u8]>) {
        assert!(self.session.wants_input(), "it must not be read now");
        self.session.handle_input(world.now, bytes.as_ref());
    }

    /// One frame with this payload.
    pub(crate) fn sends_frame(&mut self, world: &World, payload: &str) {
        self.sends(world, frame(payload));
    }

    pub(crate) fn ends(&mut self, world: &World) {
        self.session.handle_end_of_input(world.now);
    }

    /// Everything there is to say, as the socket would carry it.
    pub(crate) fn hears_bytes(&mut self, world: &World) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            self.nudge.take();
            let mut out = Output::new();
            self.session.poll_output(world.now, &mut out);
            if out.is_empty() && !self.nudge.take() {
                return all;
            }
            all.extend(out.take());
        }
    }

    pub(crate) fn hears(&mut self, world: &World) -> String {
        String::from_utf8(self.hears_bytes(world)).unwrap()
    }

    /// The payloads of what there is to say.
    pub(crate) fn hears_payloads(&mut self, world: &World) -> Vec<String> {
        unframe(&self.hears(world))
    }

    pub(crate) fn finished(&self) -> Option<Finish> {
        self.session.finished()
    }
}

/// A frame, by code that shares nothing with `uartnet-proto`.
pub(crate) fn frame(payload: &str) -> Vec<u8> {
    let mut len = payload.len() + 2;
    while len.to_string().len() + 1 + payload.len() != len {
        len += 1;
    }
    format!("{len}_{payload}").into_bytes()
}

pub(crate) fn unframe(mut text: &str) -> Vec<String> {
    let mut payloads = Vec::new();
    while !text.is_empty() {
        let (len, _) = text.split_once('_').unwrap();
        let (frame, rest) = text.split_at(len.parse().unwrap());
        payloads.push(frame[len.len() + 1..].to_owned());
        text = rest;
    }
    payloads
}
