//! One run: who does what when, and what goes wrong, all of it from a seed. Then everything is made good, and everybody
//! must come to rest with their accounts settled. The clock is tokio's, paused, so an hour costs nothing.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use uartnet_hub::{DeviceState, ReplyEnd, WritePolicy};
use uartnet_proto::message::{LeaseAction, StartAt};

use crate::accounts::{AskAccount, AskEnd, Truth};
use crate::board::{Answers, Board, WRITERS, answers};
use crate::clients::{AnyBell, Client, Order, Plain, Prospect, Raw, Shared};
use crate::daemon::Daemon;
use crate::network::{Network, Wire};
use crate::plan::{Fault, Plan};
use crate::random::Random;
use crate::reload::{Change, File};
use crate::trace::{Keep, Trace};

/// How long everybody may take to come to rest once nothing goes wrong any more. (A client gives a silent gateway up after
/// 30 s, and waits at most 5 s before it connects again.)
const REST: Duration = Duration::from_secs(120);

/// What a run came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) trace: u64,
    pub(crate) read: u64,
    pub(crate) missed: u64,
    pub(crate) written: u64,
    pub(crate) replies: u64,
    pub(crate) asks: u64,
    pub(crate) lives: u64,
    pub(crate) faults: u64,
}

impl Outcome {
    pub(crate) fn add(&mut self, other: &Outcome) {
        self.read += other.read;
        self.missed += other.missed;
        self.written += other.written;
        self.replies += other.replies;
        self.asks += other.asks;
        self.lives += other.lives;
        self.faults += other.faults;
    }
}

/// Runs one seed. Panics if anything is not as it must be.
pub(crate) fn run(seed: u64, keep: Keep) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut world = World::new(seed, keep);
        world.live().await;
        world.rest().await;
        world.settle()
    })
}

struct World {
    random: Random,
    plan: Plan,
    start: Instant,
    shared: Rc<RefCell<Shared>>,
    all: Arc<AnyBell>,
    network: Network,
    board: Board,
    file: File,
    daemon: Option<Daemon>,
    epochs: u64,
    clients: Vec<Client>,
    plains: Vec<Plain>,
    raws: Vec<Raw>,
    /// What ends by itself, and when.
    until: Vec<(Instant, Restore)>,
    /// A client was told to purge what waits to be written.
    purged: bool,
    /// How often something went wrong.
    faults: u64,
}

/// What is made good again.
#[derive(Debug, Clone)]
enum Restore {
    Listen,
    Thaw(usize),
    Plug,
    Start,
    /// What a reload took away is given back.
    File,
    /// The keepalive of a connection whose peer vanished.
    Notice(Wire),
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy)]
enum Turn {
    Accept,
    Port,
    Conn(u64),
    Client(usize),
    Plain(usize),
    Raw(usize),
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl World {
    fn new(seed: u64, keep: Keep) -> World {
        let mut random = Random::new(seed);
        let plan = Plan::new(&mut random);
        let start = now();
        let profile = plan.hub.profile.as_ref().expect("it has an interpreter");
        let board = Board::new(&plan, profile.end.clone(), random.next(), start);
        let silence_ends = matches!(profile.end, ReplyEnd::Quiet(_));
        let mut trace = Trace::new(keep);
        trace.say(|| format!("seed {seed}: {plan:?}"));
        let mut world = World {
            network: Network::new(plan.capacity),
            random,
            start,
            shared: Rc::new(RefCell::new(Shared {
                truth: Truth::default(),
                asks: AskAccount::new(silence_ends),
                trace,
                taken_away: false,
            })),
            all: Arc::default(),
            board,
            file: File::new(&plan),
            daemon: None,
            epochs: 0,
            clients: Vec::new(),
            plains: Vec::new(),
            raws: Vec::new(),
            until: Vec::new(),
            purged: false,
            faults: 0,
            plan,
        };
        world.start();
        for number in 0..world.plan.followers {
            let from = match world.random.below(3) {
                0 => StartAt::Live,
                1 => StartAt::Start,
                _ => StartAt::Last(world.random.below(500) as u64),
            };
            // The last of the writers that can be told apart is the raw one.
            let writes = number + 1 < WRITERS && world.random.percent(70);
            let (network, all) = (&world.network, &world.all);
            let client = Client::new(number, from, writes, network, all, &world.shared);
            world.clients.push(client);
        }
        world
    }

    fn say(&self, what: impl FnOnce() -> String) {
        self.shared.borrow_mut().trace.say(what);
    }

    fn start(&mut self) {
        let epoch = self.epoch();
        let config = self.file.config();
        self.daemon = Some(Daemon::start(config, self.plan.can_pause, epoch, now()));
        self.network.set_missing(self.file.missing);
        self.network.set_open(true);
        self.say(|| format!("the daemon starts, epoch {epoch:016x}"));
    }

    fn epoch(&mut self) -> u64 {
        self.epochs += 1;
        // Epochs do not grow from one life to the next.
        Random::new(self.epochs).next()
    }

    /// The daemon reads its file again.
    fn reload(&mut self) {
        let epoch = self.epoch();
        let (file, board) = (&self.file, &mut self.board);
        if let Some(daemon) = &mut self.daemon
            && !daemon.is_stopping()
        {
            let truth = &mut self.shared.borrow_mut().truth;
            daemon.reload(now(), file.config(), epoch, board, truth);
            self.network.set_missing(file.missing);
        }
    }

    // --- the three acts

    /// Things happen.
    async fn live(&mut self) {
        for _ in 0..self.plan.events {
            let faulty = !self.plan.faults.is_empty() && self.random.percent(25);
            if faulty {
                let fault = self.random.pick(&self.plan.faults);
                self.go_wrong(fault);
            } else {
                self.happen();
            }
            let pause = match self.random.below(10) {
                0..=4 => Duration::ZERO,
                5..=7 => self.random.ms(1, 20),
                8 => self.random.ms(20, 700),
                _ => self.random.ms(700, 4000),
            };
            let turns = self.random.between(1, 60);
            self.go_on(now() + pause, turns).await;
        }
    }

    /// Everything is made good, and everybody comes to rest.
    async fn rest(&mut self) {
        self.say(|| "everything is made good".to_owned());
        for (_, restore) in std::mem::take(&mut self.until) {
            self.restore(restore);
        }
        let deadline = now() + REST;
        while !self.is_at_rest() {
            assert!(now() < deadline, "no rest: {}", self.unrest());
            self.go_on(now() + Duration::from_millis(500), usize::MAX)
                .await;
        }
    }

    /// The accounts.
    fn settle(self) -> Outcome {
        let daemon = self.daemon.as_ref().expect("it runs");
        let epoch = daemon.port().expect("it has a port").epoch().0;
        let shared = self.shared.borrow();
        let mut outcome = Outcome {
            trace: shared.trace.hash(),
            lives: self.epochs,
            faults: self.faults,
            ..Outcome::default()
        };
        for client in &self.clients {
            let state = client.state();
            state.reader.ends(&shared.truth, epoch);
            outcome.read += state.reader.read;
            outcome.missed += state.reader.missed;
        }
        for (number, client) in self.clients.iter().enumerate() {
            if let Some(writer) = &client.state().writer {
                writer.check(self.board.written(number));
                outcome.written += self.board.written(number).len() as u64;
            }
        }
        for mut raw in self.raws {
            outcome.read += raw.reader.read;
            raw.writer.is_told_nothing(raw.whole);
            raw.writer.check(self.board.written(WRITERS - 1));
        }
        for (number, end) in shared.asks.ends() {
            outcome.asks += 1;
            if let AskEnd::Reply(_) = end {
                outcome.replies += 1;
                assert!(
                    self.board.has_heard(number),
                    "a reply to a command that never came"
                );
                let answers = answers(number, self.plan.latest);
                assert_ne!(answers, Answers::Never, "a reply to ask {number}");
            }
        }
        outcome
    }

    // --- what happens

    fn happen(&mut self) {
        let client = self.random.below(self.clients.len());
        let order = match self.random.below(20) {
            0..=4 => {
                if self.plan.chatter {
                    let len = match self.random.below(4) {
                        0 => self.random.between(500, 3000),
                        _ => self.random.between(1, 200),
                    };
                    self.say(|| format!("the board says {len}"));
                    self.board.chatter(len);
                }
                return;
            }
            5..=10 => Order::Write(self.random.between(1, 120)),
            11..=14 => Order::Ask,
            15 if self.plan.cancels => Order::Cancel,
            15 if self.file.hub().write == WritePolicy::Exclusive => {
                Order::Lease(self.random.pick(&[
                    LeaseAction::Take,
                    LeaseAction::Steal,
                    LeaseAction::Steal,
                    LeaseAction::Release,
                ]))
            }
            16 => self
                .random
                .pick(&[Order::Purge, Order::Set, Order::TakeBack]),
            17 => {
                let count = self.random.between(1, 5);
                if let Some(wire) = self.network.connect("uartnet") {
                    let plain = Plain::new(wire, count, &mut self.shared.borrow_mut());
                    self.plains.push(plain);
                }
                return;
            }
            18 | 19 => {
                if self.raws.is_empty()
                    && let Some(wire) = self.network.connect(self.plan.stream)
                {
                    let port = self.daemon.as_ref().and_then(Daemon::port);
                    let prospect = Prospect {
                        whole: !self.purged && self.file.hub().write == WritePolicy::Shared,
                        sure: port.is_some_and(|port| {
                            matches!(port.info().state, DeviceState::Present { .. })
                        }),
                    };
                    let raw = Raw::new(wire, self.plan.stream, prospect, self.start);
                    self.raws.push(raw);
                }
                let count = self.random.between(1, 60);
                let commands = self.random.below(4);
                let mut purged = false;
                if let Some(raw) = self.raws.first_mut() {
                    raw.write(count);
                    for _ in 0..commands {
                        purged |= raw.command(&mut self.random);
                    }
                }
                if purged {
                    self.purged = true;
                    self.endanger_raw();
                }
                return;
            }
            _ => return,
        };
        if self.clients[client].writes {
            self.say(|| format!("client {client}: {order:?}"));
            if let Order::Purge = order {
                // It may be carried out much later, if the client is frozen.
                self.purged = true;
                self.endanger_raw();
            }
            self.clients[client].order(order);
        }
    }

    fn go_wrong(&mut self, fault: Fault) {
        self.faults += 1;
        self.say(|| format!("{fault:?}"));
        let soon = now() + self.random.ms(1, 3000);
        match fault {
            Fault::Cut | Fault::CutLater | Fault::Vanish => {
                let wires = self.daemon.as_ref().map_or(Vec::new(), Daemon::wires);
                if wires.is_empty() {
                    return;
                }
                let wire = &wires[self.random.below(wires.len())];
                let (up, down) = wire.under_way();
                match fault {
                    Fault::Cut => {
                        wire.cut(self.random.below(up + 1), self.random.below(down + 1));
                    }
                    Fault::CutLater => wire.cut_after(self.random.between(1, 500)),
                    _ => {
                        wire.fall_silent();
                        let noticed = now() + Duration::from_secs(30);
                        self.until.push((noticed, Restore::Notice(wire.clone())));
                    }
                }
                self.endanger_raw();
            }
            Fault::Unreachable => {
                self.network.set_open(false);
                self.until.push((soon, Restore::Listen));
            }
            Fault::Freeze => {
                let index = self.random.below(self.clients.len() + self.raws.len());
                self.set_frozen(index, true);
                let at = now() + self.random.ms(1, 45_000);
                self.until.push((at, Restore::Thaw(index)));
            }
            Fault::Unplug => {
                self.board.unplug();
                self.endanger_raw();
                self.until.push((soon, Restore::Plug));
            }
            Fault::HoldUp => {
                let until = now() + self.random.ms(1, 1500);
                self.board.hold_up(until);
            }
            Fault::Kill => {
                if let Some(daemon) = self.daemon.take() {
                    daemon.kill(&mut self.random);
                    self.ended(soon);
                }
            }
            Fault::Reload => self.edit(soon),
            Fault::Stop => {
                if let Some(daemon) = &mut self.daemon
                    && !daemon.is_stopping()
                {
                    self.network.set_open(false);
                    daemon.stop(now());
                    self.endanger_raw();
                }
            }
        }
    }

    /// Somebody edits the file, and the daemon reads it.
    fn edit(&mut self, mended: Instant) {
        let change = self.file.change(&mut self.random);
        self.say(|| format!("{change:?}: {:?}", self.file));
        if change != Change::Nothing {
            self.endanger_raw();
        }
        if change == Change::TakenAway {
            self.shared.borrow_mut().taken_away = true;
            self.until.push((mended, Restore::File));
        }
        let info = |world: &World| {
            let port = world.daemon.as_ref().and_then(Daemon::port);
            port.map(|port| format!("{:?}", port.info()))
        };
        let before = info(self);
        self.reload();
        if change == Change::Nothing {
            assert_eq!(info(self), before, "nobody may notice");
        }
    }

    /// The daemon is no more. It is started again.
    fn ended(&mut self, again: Instant) {
        self.network.set_open(false);
        self.board.close();
        self.endanger_raw();
        self.until.push((again, Restore::Start));
    }

    /// Something happens that can cost a client a byte that is told nothing.
    fn endanger_raw(&mut self) {
        self.raws.iter_mut().for_each(|raw| raw.whole = false);
    }

    fn set_frozen(&mut self, index: usize, frozen: bool) {
        if let Some(client) = self.clients.get_mut(index) {
            client.frozen = frozen;
        } else if let Some(raw) = self.raws.get_mut(index - self.clients.len()) {
            raw.frozen = frozen;
        }
    }

    fn restore(&mut self, restore: Restore) {
        self.say(|| restore.name());
        match restore {
            Restore::Listen => {
                let running = |daemon: &Daemon| !daemon.is_stopping();
                self.network
                    .set_open(self.daemon.as_ref().is_some_and(running));
            }
            Restore::Thaw(index) => self.set_frozen(index, false),
            Restore::Plug => self.board.plug(),
            Restore::Start => {
                if self.daemon.is_none() {
                    self.start();
                }
            }
            Restore::File => {
                self.file.mend();
                self.reload();
            }
            Restore::Notice(wire) => wire.cut(0, 0),
        }
    }

    // --- turns and time

    /// Lets everybody go on, at most so many turns, in any order; and time pass until then.
    async fn go_on(&mut self, until: Instant, most: usize) {
        let mut turns = 0;
        loop {
            self.pass().await;
            let ready = self.ready();
            if ready.is_empty() {
                if now() >= until {
                    return;
                }
                self.sleep(until).await;
                continue;
            }
            if turns >= most && now() >= until {
                return;
            }
            let turn = ready[self.random.below(ready.len())];
            self.take(turn);
            turns += 1;
            assert!(turns < 100_000, "nobody comes to an end: {turn:?}");
            if self.random.percent(3) {
                tokio::time::advance(self.random.ms(1, 4)).await;
            }
        }
    }

    /// What happens by itself until now.
    async fn pass(&mut self) {
        let now = now();
        self.shared
            .borrow_mut()
            .trace
            .pass(now.duration_since(self.start).as_millis());
        self.board.pass(now);
        if self
            .daemon
            .as_ref()
            .is_some_and(|daemon| daemon.has_stopped(now))
            && let Some(daemon) = self.daemon.take()
        {
            self.say(|| "the daemon has stopped".to_owned());
            daemon.kill(&mut self.random);
            let again = now + self.random.ms(1, 1000);
            self.ended(again);
        }
        while let Some(at) = self.until.iter().position(|(at, _)| *at <= now) {
            let (_, restore) = self.until.remove(at);
            self.restore(restore);
        }
    }

    fn ready(&mut self) -> Vec<Turn> {
        let mut ready = Vec::new();
        if let Some(daemon) = &mut self.daemon {
            if self.network.has_waiting() {
                ready.push(Turn::Accept);
            }
            let of_daemon = daemon.ready(now(), &self.board);
            ready.extend(
                of_daemon
                    .into_iter()
                    .map(|id| id.map_or(Turn::Port, Turn::Conn)),
            );
        }
        let clients = self.clients.iter().enumerate();
        ready.extend(
            clients
                .filter(|(_, client)| client.is_ready())
                .map(|(index, _)| Turn::Client(index)),
        );
        let plains = self.plains.iter().enumerate();
        ready.extend(
            plains
                .filter(|(_, plain)| plain.is_ready())
                .map(|(index, _)| Turn::Plain(index)),
        );
        let raws = self.raws.iter().enumerate();
        ready.extend(
            raws.filter(|(_, raw)| raw.is_ready())
                .map(|(index, _)| Turn::Raw(index)),
        );
        ready
    }

    fn take(&mut self, turn: Turn) {
        match turn {
            Turn::Accept => {
                if let Some(daemon) = &mut self.daemon
                    && let Some((protocol, wire)) = self.network.accept()
                {
                    let live = daemon.accept(now(), protocol, wire);
                    if protocol == self.plan.stream
                        && let Some((epoch, end)) = live
                        && let Some(raw) = self.raws.last_mut()
                    {
                        raw.reader.begins(epoch, end);
                    }
                }
            }
            Turn::Port => {
                if let Some(daemon) = &mut self.daemon {
                    let truth = &mut self.shared.borrow_mut().truth;
                    daemon.port_turn(now(), &mut self.board, truth, &mut self.random);
                }
            }
            Turn::Conn(id) => {
                if let Some(daemon) = &mut self.daemon {
                    daemon.conn_turn(now(), id, &mut self.random);
                }
            }
            Turn::Client(index) => self.clients[index].turn(),
            Turn::Plain(index) => self.plains[index].turn(&mut self.shared.borrow_mut()),
            Turn::Raw(index) => self.raws[index].turn(&mut self.shared.borrow_mut()),
        }
    }

    /// Until something happens by itself, and at most until then.
    async fn sleep(&mut self, until: Instant) {
        let restores = self.until.iter().map(|(at, _)| *at);
        let daemon = self.daemon.as_ref().and_then(Daemon::next_timeout);
        let next = restores
            .chain(daemon)
            .chain(self.board.next_event())
            .min()
            .map_or(until, |at| at.min(until))
            .max(now() + Duration::from_millis(1));
        let mut sleep = pin!(tokio::time::sleep_until(next.into()));
        poll_fn(|cx| {
            self.all.listen(cx.waker());
            if self.clients.iter().any(Client::is_ready) {
                return Poll::Ready(());
            }
            sleep.as_mut().poll(cx)
        })
        .await;
    }

    // --- rest

    fn is_at_rest(&self) -> bool {
        self.unrest().is_empty()
    }

    /// What keeps the world from resting.
    fn unrest(&self) -> String {
        let shared = self.shared.borrow();
        let mut unrest = BTreeSet::new();
        let Some(daemon) = self.daemon.as_ref().filter(|daemon| !daemon.is_stopping()) else {
            return "there is no daemon".to_owned();
        };
        let Some(port) = daemon.port() else {
            return "there is no port".to_owned();
        };
        let epoch = port.epoch().0;
        let end = shared.truth.end(epoch);
        if self.board.next_event().is_some() || self.board.has_unread() {
            unrest.insert("the board has something to say".to_owned());
        }
        for (index, client) in self.clients.iter().enumerate() {
            let state = client.state();
            if !state.is_open || state.reader.place() != Some((epoch, end)) {
                let place = state.reader.place();
                unrest.insert(format!("client {index} is at {place:?}, and not at {end}"));
            }
            if state.unwritten > 0 {
                unrest.insert(format!("client {index} has {} unwritten", state.unwritten));
            }
            if state
                .writer
                .as_ref()
                .is_some_and(|writer| !writer.is_settled())
            {
                unrest.insert(format!("client {index} was not told of all it wrote"));
            }
        }
        if self.plains.iter().any(|plain| !plain.is_settled()) {
            unrest.insert("a plain conversation goes on".to_owned());
        }
        let written = self.board.written(WRITERS - 1).len();
        if self.raws.iter().any(|raw| !raw.is_settled(end, written)) {
            unrest.insert("a raw connection has not read and written all".to_owned());
        }
        let open: Vec<u32> = shared.asks.open().collect();
        if !open.is_empty() {
            unrest.insert(format!("asks without an end: {open:?}"));
        }
        let info = port.info();
        if info.write_queue > 0 || info.asks_queued > 0 {
            unrest.insert(format!(
                "{} bytes and {} asks are queued",
                info.write_queue, info.asks_queued
            ));
        }
        unrest.into_iter().collect::<Vec<_>>().join("; ")
    }
}

impl Restore {
    fn name(&self) -> String {
        match self {
            Restore::Notice(_) => "a keepalive notices".to_owned(),
            other => format!("{other:?}"),
        }
    }
}
