//! Who uses the gateway: uartnet's own client, as it is; a plain conversation; a raw connection. Each keeps its account.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use bytes::BytesMut;
use uartnet_client::{Address, ClientError, FollowOptions, Followed, Follower, Gateway, ReadEvent};
use uartnet_proto::frame::{self, FrameDecoder};
use uartnet_proto::message::{
    Answer, Ask, Blob, Cancel, Event, Lease, LeaseAction, Mode, Opened, Purge, Queues, Request,
    Set, StartAt,
};

use crate::accounts::{AskAccount, AskEnd, ReaderAccount, Truth, WriterAccount};
use crate::board::WRITERS;
use crate::com_port::ComPort;
use crate::network::{Network, Read, Way, Wire};
use crate::random::Random;
use crate::trace::Trace;

/// What everybody knows.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) truth: Truth,
    pub(crate) asks: AskAccount,
    pub(crate) trace: Trace,
    /// A reload took something away from clients, for a while at least.
    pub(crate) taken_away: bool,
}

/// Whether a future wants to be polled.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    due: AtomicBool,
    /// Wakes whoever waits for any bell.
    pub(crate) all: Arc<AnyBell>,
}

/// Rung with every bell.
#[derive(Debug, Default)]
pub(crate) struct AnyBell(std::sync::Mutex<Option<Waker>>);

impl AnyBell {
    pub(crate) fn listen(&self, waker: &Waker) {
        *self.0.lock().unwrap() = Some(waker.clone());
    }
}

impl Bell {
    fn ring(&self) {
        self.due.store(true, Ordering::Relaxed);
        if let Some(waker) = self.all.0.lock().unwrap().take() {
            waker.wake();
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }
}

/// What a client is told to do.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    Write(usize),
    Ask,
    /// The oldest of its asks.
    Cancel,
    Lease(LeaseAction),
    Purge,
    Set,
    TakeBack,
}

/// uartnet's own client.
pub(crate) struct Client {
    life: Pin<Box<dyn Future<Output = ()>>>,
    bell: Arc<Bell>,
    orders: Rc<RefCell<VecDeque<Order>>>,
    state: Rc<RefCell<State>>,
    /// It is not polled.
    pub(crate) frozen: bool,
    pub(crate) writes: bool,
}

/// Its accounts.
#[derive(Debug)]
pub(crate) struct State {
    who: String,
    pub(crate) reader: ReaderAccount,
    pub(crate) writer: Option<WriterAccount>,
    /// Its asks under way, by the ids of their requests on this connection.
    asks: BTreeMap<u64, u32>,
    /// Told, and its meaning not complete before what follows.
    opened: Option<Opened>,
    pub(crate) is_open: bool,
    /// As the client itself says.
    pub(crate) unwritten: usize,
}

impl Client {
    pub(crate) fn new(
        number: usize,
        from: StartAt,
        writes: bool,
        network: &Network,
        all: &Arc<AnyBell>,
        shared: &Rc<RefCell<Shared>>,
    ) -> Client {
        let options = FollowOptions {
            port: "board0".parse().unwrap(),
            from,
            mode: if writes { Mode::Write } else { Mode::Read },
            reconnect: true,
            connect_timeout: std::time::Duration::from_secs(10),
        };
        let who = format!("client {number}");
        let orders = Rc::<RefCell<VecDeque<Order>>>::default();
        let state = Rc::new(RefCell::new(State {
            reader: ReaderAccount::new(who.clone()),
            writer: writes.then(|| WriterAccount::new(who.clone(), number)),
            who,
            asks: BTreeMap::new(),
            opened: None,
            is_open: false,
            unwritten: 0,
        }));
        let life = live(
            network.clone(),
            options,
            orders.clone(),
            state.clone(),
            shared.clone(),
        );
        Client {
            life: Box::pin(tokio::task::unconstrained(life)),
            bell: Arc::new(Bell {
                due: AtomicBool::new(true),
                all: all.clone(),
            }),
            orders,
            state,
            frozen: false,
            writes,
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        !self.frozen && self.bell.due.load(Ordering::Relaxed)
    }

    pub(crate) fn state(&self) -> std::cell::Ref<'_, State> {
        self.state.borrow()
    }

    pub(crate) fn order(&mut self, order: Order) {
        self.orders.borrow_mut().push_back(order);
        self.bell.due.store(true, Ordering::Relaxed);
    }

    pub(crate) fn turn(&mut self) {
        self.bell.due.store(false, Ordering::Relaxed);
        let waker = Waker::from(self.bell.clone());
        let mut cx = Context::from_waker(&waker);
        assert!(self.life.as_mut().poll(&mut cx).is_pending());
    }
}

/// Follows orders, and keeps the accounts, for ever.
async fn live(
    network: Network,
    options: FollowOptions,
    orders: Rc<RefCell<VecDeque<Order>>>,
    state: Rc<RefCell<State>>,
    shared: Rc<RefCell<Shared>>,
) {
    let gateway = || Gateway::from("gateway:8000".parse::<Address>().unwrap());
    let mut follower = Follower::over(gateway(), network.dial(), options.clone());
    loop {
        // An order, or `None` when there is none: whoever gives one rings the bell, which polls this anew.
        let ordered = std::future::poll_fn(|_| match orders.borrow_mut().pop_front() {
            Some(order) => Poll::Ready(order),
            None => Poll::Pending,
        });
        tokio::select! {
            biased;
            order = ordered => state.borrow_mut().obey(order, &mut follower, &mut shared.borrow_mut()),
            followed = follower.next() => match followed {
                Ok(followed) => state.borrow_mut().note(followed, &mut shared.borrow_mut()),
                Err(error) => {
                    state.borrow_mut().give_up(&error, &mut shared.borrow_mut());
                    follower = Follower::over(gateway(), network.dial(), options.clone());
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            },
        }
        state.borrow_mut().unwritten = follower.unwritten();
    }
}

impl State {
    fn obey(&mut self, order: Order, follower: &mut Follower, shared: &mut Shared) {
        let port = || "board0".to_owned();
        let request = match order {
            Order::Write(count) => {
                // Before its first opening it may yet be made anew.
                if let Some(writer) = &mut self.writer
                    && self.reader.place().is_some()
                {
                    let taken = follower.write(&writer.next(count));
                    writer.accepted(taken);
                }
                return;
            }
            Order::TakeBack => {
                if let Some(writer) = &mut self.writer {
                    writer.taken_back(follower.discard_unsent());
                }
                return;
            }
            Order::Ask => {
                if !self.is_open {
                    return;
                }
                let number = shared.asks.begin();
                let ask = Request::Ask(Ask {
                    ask: port(),
                    command: Blob(format!("a{number}").into_bytes().into()),
                    timeout_ms: None,
                    wait_ms: None,
                });
                match follower.request(ask) {
                    Some(id) => drop(self.asks.insert(id, number)),
                    None => shared.asks.end(number, AskEnd::Lost),
                }
                return;
            }
            Order::Cancel => match self.asks.keys().next() {
                Some(id) => Request::Cancel(Cancel { cancel: *id }),
                None => return,
            },
            Order::Lease(action) => Request::Lease(Lease {
                lease: port(),
                action,
            }),
            Order::Purge => Request::Purge(Purge {
                purge: port(),
                queues: Queues::Transmit,
            }),
            Order::Set => Request::Set(Set {
                set: port(),
                line: "9600-8n1".to_owned(),
                hold: None,
            }),
        };
        follower.request_in_order(request);
    }

    /// Only who never got through gives up, or from whom it was taken.
    fn give_up(&mut self, error: &ClientError, shared: &mut Shared) {
        let who = &self.who;
        shared.trace.say(|| format!("{who} gives up: {error}"));
        let is_in = self.reader.place().is_some();
        assert!(!is_in || shared.taken_away, "{who}: {error}");
        self.settle_opening();
        self.lose_connection(shared);
        self.reader.gives_up();
        if let Some(writer) = &mut self.writer {
            writer.gives_up();
        }
    }

    fn lose_connection(&mut self, shared: &mut Shared) {
        self.is_open = false;
        for number in std::mem::take(&mut self.asks).into_values() {
            shared.asks.end(number, AskEnd::Lost);
        }
    }

    fn note(&mut self, followed: Followed, shared: &mut Shared) {
        let who = &self.who;
        shared.trace.say(|| format!("{who}: {}", shown(&followed)));
        let truth = &shared.truth;
        // The news of uncertain bytes follows that of the opening, and that of a new epoch stands between the two.
        match (&followed, &self.opened) {
            (Followed::Read(_) | Followed::Opened { .. }, _) | (_, None) => {}
            (Followed::WriteUncertain(bytes), Some(opened)) => {
                let epoch = epoch_of(opened);
                if let Some(writer) = &mut self.writer {
                    writer.opened(epoch, opened.write_offset, bytes);
                }
                self.opened = None;
                return;
            }
            (_, Some(_)) => self.settle_opening(),
        }
        match followed {
            Followed::Opened { opened, again } => {
                self.settle_opening();
                self.is_open = true;
                if !again {
                    self.reader.begins(epoch_of(&opened), opened.offset);
                }
                self.opened = Some(opened);
            }
            Followed::Read(ReadEvent::Data { offset, bytes }) => {
                self.reader.data(truth, offset, &bytes);
            }
            Followed::Read(ReadEvent::Gap { from, to, .. }) => self.reader.gap(truth, from, to),
            Followed::Read(ReadEvent::NewEpoch { had, offset }) => {
                let opened = self.opened.as_ref().expect("a new epoch out of nothing");
                self.reader.new_epoch(truth, epoch_of(opened), had, offset);
            }
            Followed::Event(Event::Written { offset, .. }) => {
                self.writer().written(offset);
            }
            Followed::Event(Event::WriteLost { from, to, .. }) => {
                self.writer().lost(from, to);
            }
            Followed::Event(_) => {}
            Followed::WriteRefused(error, bytes) => {
                let write_offset = error.write_offset.expect("where writing goes on");
                self.writer().refused(write_offset, &bytes);
            }
            Followed::WriteUncertain(bytes) => panic!("uncertain of {bytes:?} out of nothing"),
            Followed::Answer(id, answer) => {
                let Some(number) = self.asks.remove(&id) else {
                    assert!(!matches!(answer, Answer::Reply(_)), "a reply to nobody");
                    return;
                };
                let end = match answer {
                    Answer::Reply(reply) => {
                        let (epoch, _) = self.reader.place().expect("it is open");
                        truth.bytes(epoch, reply.from, reply.to);
                        AskEnd::Reply(reply.reply.0.to_vec())
                    }
                    Answer::Error(error) => AskEnd::Failed(error.error.as_str().to_owned()),
                    other => panic!("an ask is answered with {other:?}"),
                };
                shared.asks.end(number, end);
            }
            Followed::Lost(..) => self.lose_connection(shared),
            Followed::MissedUnknown | Followed::Inputs(_) => panic!("this gateway is uartnet's"),
        }
    }

    /// What an opening means for what was written before it, if nothing is uncertain.
    pub(crate) fn settle_opening(&mut self) {
        if let Some(opened) = self.opened.take()
            && let Some(writer) = &mut self.writer
        {
            writer.opened(epoch_of(&opened), opened.write_offset, &[]);
        }
    }

    fn writer(&mut self) -> &mut WriterAccount {
        self.writer.as_mut().expect("it writes")
    }
}

fn epoch_of(opened: &Opened) -> u64 {
    u64::from_str_radix(&opened.epoch, 16).expect("an epoch")
}

/// The same in every run of a seed: without names that a client makes up.
fn shown(followed: &Followed) -> String {
    match followed {
        Followed::Opened { opened, again } => format!("opened {opened:?} again {again}"),
        Followed::Read(ReadEvent::Data { offset, bytes }) => format!("{} at {offset}", bytes.len()),
        other => format!("{other:?}"),
    }
}

/// A plain conversation: commands in, as many answers out, in their order.
#[derive(Debug)]
pub(crate) struct Plain {
    wire: Wire,
    decoder: FrameDecoder,
    asks: VecDeque<u32>,
    /// What is yet to be sent.
    out: BytesMut,
    finishes: bool,
    pub(crate) over: bool,
}

impl Plain {
    pub(crate) fn new(wire: Wire, count: usize, shared: &mut Shared) -> Plain {
        let asks: VecDeque<u32> = (0..count).map(|_| shared.asks.begin()).collect();
        let mut out = BytesMut::new();
        for number in &asks {
            frame::encode(&[format!("a{number}").as_bytes()], &mut out);
        }
        Plain {
            wire,
            decoder: FrameDecoder::new(1 << 20),
            asks,
            out,
            finishes: true,
            over: false,
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        let writes = !self.out.is_empty() && self.wire.has_room(Way::Up);
        let finishes = self.out.is_empty() && self.finishes;
        !self.over && (writes || finishes || self.wire.has_news(Way::Down))
    }

    pub(crate) fn turn(&mut self, shared: &mut Shared) {
        if !self.out.is_empty() {
            match self.wire.write(Way::Up, &self.out) {
                Some(count) => drop(self.out.split_to(count)),
                None => self.out.clear(),
            }
        }
        if self.out.is_empty() && self.finishes {
            self.wire.end(Way::Up);
            self.finishes = false;
        }
        match self.wire.read(Way::Down, 1000) {
            Read::Nothing => {}
            Read::Bytes(bytes) => self.decoder.handle_input(&bytes),
            end => self.over = end == Read::End || end == Read::Broken,
        }
        while let Some(answer) = self.decoder.poll_frame().unwrap() {
            // The daemon's own last word has no command.
            let text = String::from_utf8_lossy(&answer).into_owned();
            shared.trace.say(|| format!("plain: {text}"));
            let Some(number) = self.asks.pop_front() else {
                assert!(text.starts_with("error: "), "an answer too many: {text}");
                continue;
            };
            let end = match text.strip_prefix("error: ") {
                Some(error) => AskEnd::Failed(error.split(':').next().unwrap().to_owned()),
                None => AskEnd::Reply(answer.to_vec()),
            };
            shared.asks.end(number, end);
        }
        if self.over {
            for number in self.asks.drain(..) {
                shared.asks.end(number, AskEnd::Lost);
            }
        }
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.over
    }
}

/// A connection that is bytes both ways, and nothing is told: `raw`, or `rfc2217`.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) wire: Wire,
    pub(crate) reader: ReaderAccount,
    pub(crate) writer: WriterAccount,
    /// What telnet makes of it.
    com_port: Option<ComPort>,
    out: BytesMut,
    /// Nothing happened that could cost it a byte.
    pub(crate) whole: bool,
    /// It was closed, by either side.
    pub(crate) over: bool,
    pub(crate) frozen: bool,
}

/// What it can expect if nothing happens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prospect {
    /// To lose no byte.
    pub(crate) whole: bool,
    /// To be refused no setting.
    pub(crate) sure: bool,
}

impl Raw {
    /// A connection that begins `now`.
    pub(crate) fn new(wire: Wire, protocol: &str, prospect: Prospect, now: Instant) -> Raw {
        let Prospect { whole, sure } = prospect;
        let mut out = BytesMut::new();
        Raw {
            wire,
            reader: ReaderAccount::new(protocol.to_owned()),
            writer: WriterAccount::new(protocol.to_owned(), WRITERS - 1),
            com_port: (protocol == "rfc2217").then(|| ComPort::new(now, sure, &mut out)),
            out,
            whole,
            over: false,
            frozen: false,
        }
    }

    pub(crate) fn write(&mut self, count: usize) {
        if self.over {
            return;
        }
        let bytes = self.writer.next(count);
        match &mut self.com_port {
            None => self.out.extend_from_slice(&bytes),
            Some(com_port) => com_port.write(&bytes, &mut self.out),
        }
        self.writer.accepted(count);
    }

    /// A setting or a signal, where the protocol has one. Whether that can cost somebody bytes.
    pub(crate) fn command(&mut self, random: &mut Random) -> bool {
        match &mut self.com_port {
            Some(com_port) if !self.over => com_port.command(random, &mut self.out),
            _ => false,
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        let writes = !self.out.is_empty() && self.wire.has_room(Way::Up);
        !self.over && !self.frozen && (writes || self.wire.has_news(Way::Down))
    }

    pub(crate) fn turn(&mut self, shared: &mut Shared) {
        match self.wire.write(Way::Up, &self.out) {
            Some(count) => drop(self.out.split_to(count)),
            None => self.out.clear(),
        }
        let data = match (self.wire.read(Way::Down, 1000), &mut self.com_port) {
            (Read::Nothing, _) => return,
            (Read::Bytes(bytes), None) => vec![bytes.into()],
            (Read::Bytes(bytes), Some(com_port)) => {
                com_port.read(&bytes, self.whole, &mut self.out)
            }
            _ => {
                (self.over, self.whole) = (true, false);
                return;
            }
        };
        for bytes in data {
            let (_, next) = self.reader.place().expect("it was accepted");
            shared
                .trace
                .say(|| format!("stream: {} at {next}", bytes.len()));
            self.reader.data(&shared.truth, next, &bytes);
        }
    }

    /// The board has sent up to `end`, and got so many bytes of this one.
    pub(crate) fn is_settled(&self, end: u64, got: usize) -> bool {
        let read = self.reader.place().is_some_and(|(_, next)| next == end);
        let written = !self.whole || self.writer.len() == got;
        let answered = self.com_port.as_ref().is_none_or(ComPort::is_settled);
        self.over || self.out.is_empty() && read && written && answered
    }
}
