//! A model of what clients, the UART and the board must see of a hub under any sequence of operations:
//! no byte duplicated, reordered or silently missing in either direction; every ask and every control operation ends
//! exactly once; bounds hold; nobody sleeps through news; deadlines make progress. Not where the operations come from: that
//! is proptest in `properties.rs`, and libFuzzer in `fuzz/src/hub.rs`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use uart_iface::{InputSignals, LineSettings, OutputChange, OutputSignals, Purge};
use uartnet_hub::*;

use super::{Bench, MS, config, present};

/// The history a hub has at first.
pub const HISTORY: usize = 1000;
const WRITE_QUEUE: usize = 300;
const STALL_LIMIT: Duration = Duration::from_millis(200);
/// How many losses are told again.
const LOSSES: usize = 64;
const EPOCH: Epoch = Epoch(1);

/// What the board says.
#[derive(Debug, Clone)]
pub enum Says {
    Text(Bytes),
    /// So many bytes.
    Many(usize),
}

/// One thing that happens to the hub.
#[derive(Debug, Clone)]
pub enum Op {
    Data {
        says: Says,
        heeds_pause: bool,
    },
    Attach {
        read: Option<ReadFrom>,
        on_lag: Option<OnLag>,
        can_carry_gap: bool,
        access: Access,
        name: Option<u8>,
    },
    Detach(usize),
    Poll {
        client: usize,
        limit: usize,
        times: usize,
    },
    Write {
        client: usize,
        len: usize,
    },
    Ask {
        client: usize,
        profile: u8,
    },
    Cancel(usize),
    Control {
        client: usize,
        kind: u8,
    },
    Act {
        fails: bool,
    },
    Transmit(usize),
    Lost,
    Opened {
        can_pause: bool,
    },
    Inputs(bool),
    TakeLease(usize),
    StealLease(usize),
    ReleaseLease(usize),
    Pass(u64),
    ShutDown,
    Reconfigure {
        history: usize,
        write: WritePolicy,
        on_lag: OnLag,
    },
    Dismiss(usize),
}

/// A hub with bounds that are reached soon, and sequences of each kind.
pub fn small() -> HubConfig {
    let steps = |steps: &[&str]| steps.iter().map(|step| step.parse().unwrap()).collect();
    HubConfig {
        history: HISTORY,
        stall_limit: STALL_LIMIT,
        write_queue: WRITE_QUEUE,
        ask_queue: 4,
        sequences: vec![
            Sequence {
                name: "reset".into(),
                steps: steps(&["dtr=off", "30ms", "dtr=on", "break=on", "5ms"]),
            },
            Sequence {
                name: "talk".into(),
                steps: steps(&[
                    "line=9600",
                    "send=\\r",
                    "within=40ms expect=ok",
                    "hex=0d",
                    "2ms",
                ]),
            },
            Sequence {
                name: "empty".into(),
                steps: steps(&[]),
            },
        ],
        ..config()
    }
}

/// What the world must look like.
pub struct World {
    bench: Bench,
    config: HubConfig,
    /// The oldest byte that is kept.
    start: u64,
    present: bool,
    shut_down: bool,
    /// Every byte received.
    stream: Vec<u8>,
    clients: Vec<Client>,
    writers: BTreeMap<Writer, WriterModel>,
    /// Every byte accepted and not yet taken, in the order of the UART, with the operation that accepted it.
    queue: VecDeque<(usize, Writer, u64)>,
    /// Asks and control operations that have not ended, by their client.
    asks: BTreeMap<AskId, usize>,
    controls: BTreeMap<ControlId, usize>,
    /// The operations that asked for a purge of what is queued, in their order.
    purges: VecDeque<(ControlId, usize)>,
    /// What the UART took of the command it is in the middle of.
    command: Vec<u8>,
    /// Commands written, each once.
    commands: BTreeSet<Vec<u8>>,
    next_command: u64,
    acting: Option<Action>,
    /// Since when reading has been paused for the same laggards.
    paused_since: Option<Instant>,
    /// How many operations there were.
    step: usize,
}

/// A writer's name, or its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Writer {
    Named(u8),
    Nameless(usize),
}

#[derive(Debug, Default, Clone)]
struct WriterModel {
    accepted: u64,
    taken: u64,
    told: u64,
    lost: VecDeque<(u64, u64, String)>,
    lost_told: VecDeque<(u64, u64, String)>,
    /// Who wrote under this name before, and below which write offset.
    earlier: Vec<(Writer, u64)>,
}

struct Client {
    id: ClientId,
    attached: bool,
    closed: bool,
    /// It was asked to leave.
    dismissed: bool,
    /// The next offset it must be given; `None` if it is no reader.
    next: Option<u64>,
    writer: Writer,
    can_carry_gap: bool,
    /// A newer client has its name.
    taken_over: bool,
    /// It was told that there is nothing more, and was not woken since.
    asleep: bool,
    /// How often it may be woken: once since it was told that, and once for each refusal as busy.
    news_wakes: u32,
    room_wakes: u32,
}

fn written_byte(writer: Writer, offset: u64) -> u8 {
    let salt = match writer {
        Writer::Named(name) => u64::from(name),
        Writer::Nameless(client) => 3 + client as u64,
    };
    0x80 | ((offset * 7 + salt * 13) % 128) as u8
}

impl World {
    /// Nothing has happened yet.
    pub fn new(config: HubConfig) -> World {
        World {
            bench: Bench::new(config.clone()),
            config,
            start: 0,
            present: true,
            shut_down: false,
            stream: Vec::new(),
            clients: Vec::new(),
            writers: BTreeMap::new(),
            queue: VecDeque::new(),
            asks: BTreeMap::new(),
            controls: BTreeMap::new(),
            purges: VecDeque::new(),
            command: Vec::new(),
            commands: BTreeSet::new(),
            next_command: 0,
            acting: None,
            paused_since: None,
            step: 0,
        }
    }

    /// This happens, and everything must be as it should.
    pub fn run(&mut self, op: Op) {
        self.step += 1;
        let cuts = self.bench.hub.info().counters.cuts;
        let now = self.bench.now;
        match op {
            Op::Data { says, heeds_pause } => {
                if heeds_pause && self.bench.hub.reading_paused() {
                    return;
                }
                let bytes = match says {
                    Says::Text(bytes) => bytes,
                    // Each byte says where it is, as far as one byte can.
                    Says::Many(len) => (self.stream.len()..)
                        .map(|at| b'A' + (at % 23) as u8)
                        .take(len)
                        .collect(),
                };
                self.stream.extend_from_slice(&bytes);
                self.bench.data(bytes);
                self.forget();
                self.paused_since = None;
            }
            Op::Attach {
                read,
                on_lag,
                can_carry_gap,
                access,
                name,
            } => {
                self.attach(read, on_lag, can_carry_gap, access, name);
                self.paused_since = None;
            }
            Op::Detach(at) => {
                if let Some(at) = self.pick(at) {
                    self.detach(at);
                }
            }
            Op::Poll {
                client,
                limit,
                times,
            } => {
                if let Some(at) = self.pick(client) {
                    for _ in 0..times {
                        self.poll(at, limit);
                    }
                }
            }
            Op::Write { client, len } => self.write(client, len),
            Op::Ask { client, profile } => self.ask(client, profile),
            Op::Cancel(nth) => {
                if let Some((&ask, &client)) = self.asks.iter().nth(nth) {
                    self.bench.hub.cancel(now, self.clients[client].id, ask);
                }
            }
            Op::Control { client, kind } => self.control(client, kind),
            Op::Act { fails } => self.act(fails),
            Op::Transmit(most) => self.transmit(most),
            Op::Lost => {
                self.bench
                    .hub
                    .handle_lost(now, &format!("loss {}", self.step));
                self.device_is_gone();
            }
            Op::Opened { can_pause } => {
                if !self.present {
                    self.bench.hub.handle_opened(now, present(), can_pause);
                    self.present = true;
                }
            }
            Op::Inputs(ri) => {
                self.bench.hub.handle_inputs(
                    now,
                    InputSignals {
                        ri,
                        ..InputSignals::ABSENT_LINES
                    },
                );
            }
            Op::TakeLease(at) => {
                if let Some(at) = self.pick(at) {
                    let _ = self.bench.hub.take_lease(now, self.clients[at].id);
                }
            }
            Op::StealLease(at) => {
                if let Some(at) = self.pick(at) {
                    let _ = self.bench.hub.steal_lease(now, self.clients[at].id);
                }
            }
            Op::ReleaseLease(at) => {
                if let Some(at) = self.pick(at) {
                    self.bench.hub.release_lease(now, self.clients[at].id);
                }
            }
            Op::Pass(ms) => self.pass(MS * ms as u32),
            Op::ShutDown => {
                self.bench.hub.shut_down(now);
                self.shut_down = true;
            }
            Op::Reconfigure {
                history,
                write,
                on_lag,
            } => {
                self.config = HubConfig {
                    history,
                    write,
                    on_lag,
                    ..self.config.clone()
                };
                self.bench.hub.reconfigure(now, self.config.clone());
                self.forget();
                self.paused_since = None;
            }
            Op::Dismiss(at) => {
                if let Some(at) = self.pick(at) {
                    self.bench.hub.dismiss(now, self.clients[at].id);
                    self.clients[at].dismissed = true;
                }
            }
        }
        self.check();
        if self.bench.hub.info().counters.cuts != cuts {
            // Whoever was cut off is told before it asks for more, so that what it asked for after that is not awaited.
            self.poll_everybody();
        }
    }

    /// One of the clients that are attached and not closed.
    fn pick(&self, at: usize) -> Option<usize> {
        let open =
            |client: &&usize| self.clients[**client].attached && !self.clients[**client].closed;
        let all: Vec<usize> = (0..self.clients.len()).collect();
        let open: Vec<usize> = all.iter().filter(open).copied().collect();
        (!open.is_empty()).then(|| open[at % open.len()])
    }

    fn attach(
        &mut self,
        read: Option<ReadFrom>,
        on_lag: Option<OnLag>,
        can_carry_gap: bool,
        access: Access,
        name: Option<u8>,
    ) {
        let attach = Attach {
            label: format!("client {}", self.clients.len()).into(),
            access,
            read,
            on_lag,
            can_carry_gap,
            writer: name.map(|name| format!("writer {name}")),
        };
        let attached = self.bench.hub.attach(self.bench.now, attach);
        let (start, end) = (self.start(), self.stream.len() as u64);
        assert_eq!(attached.end, Offset(end));
        let first = match read {
            None | Some(ReadFrom::Live) => end,
            Some(ReadFrom::Start) => start,
            Some(ReadFrom::Last(count)) => end.saturating_sub(count).max(start),
            Some(ReadFrom::At { epoch, .. }) if epoch != EPOCH => 0,
            Some(ReadFrom::At { offset, .. }) => offset.0.min(end),
        };
        assert_eq!(attached.offset, Offset(first));

        let index = self.clients.len();
        let writer = match name {
            Some(name) if access >= Access::Write => Writer::Named(name),
            _ => Writer::Nameless(index),
        };
        // The name's client so far goes on without it.
        for (other, client) in self.clients.iter_mut().enumerate() {
            if client.writer == writer && client.attached {
                client.writer = Writer::Nameless(other);
                client.taken_over = true;
                let named = self.writers.get_mut(&writer).unwrap();
                let own = WriterModel {
                    earlier: Vec::new(),
                    ..named.clone()
                };
                named.earlier.push((client.writer, named.accepted));
                self.writers.insert(client.writer, own);
            }
        }
        let model = self.writers.entry(writer).or_default();
        model.told = 0;
        // Its newest client may not have heard of them.
        let untold = std::mem::replace(&mut model.lost, std::mem::take(&mut model.lost_told));
        model.lost.extend(untold);
        assert_eq!(attached.write_offset, model.accepted);
        self.clients.push(Client {
            id: attached.client,
            attached: true,
            closed: false,
            dismissed: false,
            next: read.map(|_| first),
            writer,
            can_carry_gap,
            taken_over: false,
            asleep: false,
            news_wakes: 1,
            room_wakes: 0,
        });
        assert!(
            matches!(self.poll(index, 1), Some(Notice::State { .. })),
            "the state comes first"
        );
    }

    fn detach(&mut self, at: usize) {
        self.bench.hub.detach(self.bench.now, self.clients[at].id);
        self.clients[at].attached = false;
        self.asks.retain(|_, client| *client != at);
        self.controls.retain(|_, client| *client != at);
        assert_eq!(self.bench.poll(self.clients[at].id), None);
    }

    fn poll(&mut self, at: usize, limit: usize) -> Option<Notice> {
        let (start, end) = (self.start(), self.stream.len() as u64);
        let client = &mut self.clients[at];
        let is_told = self.bench.hub.finds_nothing(client.id);
        let notice = self.bench.hub.poll_notice(self.bench.now, client.id, limit);
        assert!(
            !is_told || notice.is_none(),
            "{notice:?}, and nothing to find"
        );
        let Some(told) = &notice else {
            assert!(
                client.closed || client.next.is_none_or(|next| next == end),
                "bytes are missing in silence"
            );
            client.asleep = true;
            client.news_wakes = 1;
            return None;
        };
        assert!(!client.closed, "{told:?} after the end");
        assert!(!client.asleep, "{told:?}, and nobody woke it");
        let writer = self.writers.get_mut(&client.writer).unwrap();
        match told {
            Notice::Data { offset, bytes } => {
                let next = client.next.as_mut().unwrap();
                assert!(!bytes.is_empty() && bytes.len() <= limit);
                assert_eq!(offset.0, *next);
                assert_eq!(bytes, &self.stream[*next as usize..][..bytes.len()]);
                *next += bytes.len() as u64;
            }
            Notice::Gap { from, to, why } => {
                let next = client.next.as_mut().unwrap();
                assert!(client.can_carry_gap);
                assert_eq!(from.0, *next);
                match why {
                    GapWhy::Lagged => assert!(from < to && to.0 == start),
                    GapWhy::Expired => assert!(from < to && to.0 <= start),
                    GapWhy::NewEpoch => assert!(from.0 == 0 && to.0 <= start),
                }
                *next = to.0;
            }
            Notice::Written { up_to } => {
                let loss = writer.lost.front().map_or(u64::MAX, |(from, ..)| *from);
                assert!(writer.told < *up_to);
                assert_eq!(*up_to, writer.taken.min(loss));
                writer.told = *up_to;
            }
            Notice::WriteLost { from, to, reason } => {
                assert!(writer.told >= writer.taken.min(*from), "out of order");
                let lost = (*from, *to, reason.clone());
                assert_eq!(writer.lost.pop_front().as_ref(), Some(&lost));
                writer.lost_told.push_back(lost);
                if writer.lost_told.len() > LOSSES {
                    writer.lost_told.pop_front();
                }
            }
            Notice::AskDone { ask, .. } => {
                assert_eq!(self.asks.remove(ask), Some(at), "an end too many")
            }
            Notice::ControlDone { control, .. } => {
                assert_eq!(self.controls.remove(control), Some(at), "an end too many");
            }
            Notice::Closed(reason) => {
                client.closed = true;
                assert!(
                    !self.asks.values().any(|&asker| asker == at),
                    "an ask did not end"
                );
                match reason {
                    CloseReason::Lagged { from, to } => {
                        assert_eq!(from.0, client.next.unwrap());
                        assert!(from < to || !client.can_carry_gap);
                        assert!(to.0 <= start);
                        // Its control operations are still done, but it is not told.
                        self.controls.retain(|_, client| *client != at);
                    }
                    CloseReason::Shutdown => {
                        assert!(self.shut_down || client.dismissed);
                        assert!(
                            !self.controls.values().any(|&asker| asker == at),
                            "a control did not end"
                        );
                    }
                    CloseReason::Removed => panic!("nobody removed it"),
                    CloseReason::Unread { .. } => panic!("nothing piles up here"),
                }
            }
            Notice::State { .. }
            | Notice::Line(_)
            | Notice::Signals { .. }
            | Notice::Errors(_)
            | Notice::AskTurn(_)
            | Notice::Lease { .. } => {}
        }
        notice
    }

    fn poll_everybody(&mut self) {
        for at in 0..self.clients.len() {
            while self.clients[at].attached
                && !self.clients[at].closed
                && self.poll(at, 10_000).is_some()
            {}
        }
    }

    fn write(&mut self, client: usize, len: usize) {
        let Some(at) = self.pick(client) else { return };
        let writer = self.clients[at].writer;
        let model = self.writers.get_mut(&writer).unwrap();
        let offsets = model.accepted..model.accepted + len as u64;
        let bytes: Vec<u8> = offsets
            .clone()
            .map(|offset| written_byte(writer, offset))
            .collect();
        let room = self.bench.hub.write_room();
        match self
            .bench
            .hub
            .write(self.bench.now, self.clients[at].id, &bytes)
        {
            Ok(()) => {
                assert!(len <= room && self.present && !self.shut_down);
                assert!(!self.clients[at].taken_over, "its name is another's");
                model.accepted = offsets.end;
                self.queue
                    .extend(offsets.map(|offset| (self.step, writer, offset)));
            }
            Err(Refusal::Busy { .. }) => {
                assert!(len > room);
                self.clients[at].room_wakes += 1;
            }
            Err(_) => {}
        }
    }

    fn ask(&mut self, client: usize, kind: u8) {
        let Some(at) = self.pick(client) else { return };
        let end = match kind {
            0 => ReplyEnd::None,
            1 => ReplyEnd::Line { count: 1 },
            2 => ReplyEnd::Line { count: 3 },
            3 => ReplyEnd::Prompt("=> ".into()),
            _ => ReplyEnd::Quiet(20 * MS),
        };
        let profile = Profile {
            timeout: 100 * MS,
            max_reply: 1000,
            ..Profile::new(end)
        };
        self.next_command += 1;
        let command = format!("{};", self.next_command).into();
        let ask = Ask {
            command,
            profile: Some(profile),
            timeout: None,
            wait: None,
        };
        let id = self.bench.hub.ask(self.bench.now, self.clients[at].id, ask);
        assert_eq!(self.asks.insert(id, at), None);
    }

    fn control(&mut self, client: usize, kind: u8) {
        let Some(at) = self.pick(client) else { return };
        let control = match kind {
            0 => Control::SetLine(LineSettings::default()),
            1 => Control::SetOutputs(OutputChange {
                dtr: Some(false),
                rts: None,
            }),
            2 => Control::Break(15 * MS),
            3 => Control::Purge(Purge::Receive),
            4 => Control::Purge(Purge::Both),
            5 => Control::Run("reset".into()),
            6 => Control::Run("empty".into()),
            7 => Control::Run("talk".into()),
            8 => Control::HoldLine("9600-7e1".parse().unwrap()),
            9 => Control::HoldLine("1200".parse().unwrap()),
            10 => Control::GiveLineBack,
            _ => Control::Run("none".into()),
        };
        let purges = control == Control::Purge(Purge::Both);
        let id = self
            .bench
            .hub
            .control(self.bench.now, self.clients[at].id, control);
        assert_eq!(self.controls.insert(id, at), None);
        if purges {
            self.purges.push_back((id, self.step));
        }
    }

    /// The port's task does what it should do.
    fn act(&mut self, fails: bool) {
        let now = self.bench.now;
        if self.acting.is_none() {
            self.acting = self.bench.hub.poll_action(now);
            assert!(self.acting.is_none() || self.present);
            if self.acting == Some(Action::Purge(Purge::Both)) {
                // Refused ones never come; the first that is not refused is this one.
                let before = self.bench.hub.info().write_queue;
                while let Some((_, step)) = self.purges.pop_front() {
                    if self
                        .queue
                        .iter()
                        .filter(|(accepted, ..)| *accepted > step)
                        .count()
                        == before
                    {
                        self.lose("purged", |accepted| accepted < step);
                        break;
                    }
                }
            }
            return;
        }
        assert_eq!(
            self.bench.hub.poll_action(now),
            None,
            "the last one is not done"
        );
        let result = match self.acting.take().unwrap() {
            _ if fails => Err("it failed".to_owned()),
            Action::Apply(line) => Ok(ActionDone::Line(line)),
            Action::SetOutputs(change) => {
                Ok(ActionDone::Outputs(OutputSignals::ASSERTED.with(change)))
            }
            Action::SetBreak(_) | Action::Purge(_) => Ok(ActionDone::Done),
        };
        self.bench.hub.handle_action_done(now, result);
    }

    /// The UART takes some bytes.
    fn transmit(&mut self, most: usize) {
        let mut left = most;
        while left > 0 {
            let Some(bytes) = self.bench.hub.poll_transmit(self.bench.now) else {
                break;
            };
            assert!(!bytes.is_empty() && self.present);
            let bytes = bytes[..bytes.len().min(left)].to_vec();
            self.bench
                .hub
                .handle_transmitted(self.bench.now, bytes.len());
            left -= bytes.len();
            for byte in bytes {
                self.taken(byte);
            }
        }
    }

    fn taken(&mut self, byte: u8) {
        match byte {
            0x80.. => {
                assert!(self.command.is_empty(), "a write inside a command");
                let (_, writer, offset) = self
                    .queue
                    .pop_front()
                    .expect("the UART got a byte nobody wrote");
                assert_eq!(byte, written_byte(writer, offset));
                for writer in self.concerned(writer, offset) {
                    self.writers.get_mut(&writer).unwrap().taken = offset + 1;
                }
            }
            b'\r' => assert!(self.command.is_empty(), "an end of line inside a command"),
            b';' => {
                let command = std::mem::take(&mut self.command);
                assert!(self.commands.insert(command), "a command was written twice");
            }
            _ => self.command.push(byte),
        }
    }

    fn device_is_gone(&mut self) {
        self.present = false;
        self.acting = None;
        self.command.clear();
        self.purges.clear();
        self.lose(&format!("the device is absent: loss {}", self.step), |_| {
            true
        });
    }

    /// What was accepted in these steps will never be written.
    fn lose(&mut self, reason: &str, is_lost: impl Fn(usize) -> bool) {
        let lost: Vec<_> = self
            .queue
            .iter()
            .filter(|(step, ..)| is_lost(*step))
            .copied()
            .collect();
        self.queue.retain(|(step, ..)| !is_lost(*step));
        for (_, writer, offset) in lost {
            for writer in self.concerned(writer, offset) {
                let lost = &mut self.writers.get_mut(&writer).unwrap().lost;
                match lost.back_mut() {
                    Some((_, to, why)) if *to == offset && why == reason => *to += 1,
                    _ => lost.push_back((offset, offset + 1, reason.to_owned())),
                }
            }
        }
    }

    /// Who is told what becomes of the byte at this write offset.
    fn concerned(&self, writer: Writer, offset: u64) -> Vec<Writer> {
        let earlier = self.writers[&writer].earlier.iter();
        let earlier = earlier.filter(|(_, limit)| offset < *limit);
        std::iter::once(writer)
            .chain(earlier.map(|(earlier, _)| *earlier))
            .collect()
    }

    fn pass(&mut self, time: Duration) {
        let end = self.bench.now + time;
        while let Some(at) = self.bench.hub.poll_timeout().filter(|&at| at <= end) {
            self.bench.now = self.bench.now.max(at);
            self.bench.hub.handle_timeout(self.bench.now);
            let next = self.bench.hub.poll_timeout();
            assert!(
                next.is_none_or(|next| next > self.bench.now),
                "no progress at a deadline"
            );
            self.check();
        }
        self.bench.now = end;
        self.bench.hub.handle_timeout(end);
    }

    fn start(&self) -> u64 {
        self.start
    }

    /// What no longer fits the history is gone for good.
    fn forget(&mut self) {
        let kept = self.config.history as u64;
        self.start = self
            .start
            .max((self.stream.len() as u64).saturating_sub(kept));
    }

    /// What is always true.
    fn check(&mut self) {
        let info = self.bench.hub.info();
        assert_eq!(
            (info.start.0, info.end.0),
            (self.start(), self.stream.len() as u64)
        );
        assert_eq!(info.write_queue, self.queue.len());
        assert!(info.write_queue <= WRITE_QUEUE && info.asks_queued <= 5);
        assert_eq!(
            info.clients,
            self.clients.iter().filter(|client| client.attached).count()
        );

        while let Some(id) = self.bench.hub.poll_wake() {
            let client = self
                .clients
                .iter_mut()
                .find(|client| client.id == id)
                .unwrap();
            assert!(client.attached);
            let budget = if client.news_wakes > 0 {
                &mut client.news_wakes
            } else {
                &mut client.room_wakes
            };
            *budget = budget.checked_sub(1).expect("woken twice");
            client.asleep = false;
        }

        if !self.bench.hub.reading_paused() {
            self.paused_since = None;
        } else {
            let since = *self.paused_since.get_or_insert(self.bench.now);
            assert!(self.bench.now < since + STALL_LIMIT, "paused for too long");
        }
    }

    /// Lets everything come to its end.
    pub fn drain(&mut self) {
        if !self.present {
            self.step += 1;
            self.bench
                .hub
                .handle_opened(self.bench.now, present(), true);
            self.present = true;
        }
        for _ in 0..3_000 {
            self.act(false);
            self.transmit(usize::MAX);
            self.pass(5 * MS);
            self.check();
            self.poll_everybody();
            let info = self.bench.hub.info();
            if info.asks_queued == 0
                && info.write_queue == 0
                && self.controls.is_empty()
                && self.bench.hub.is_idle()
                && self.acting.is_none()
            {
                break;
            }
        }
        self.pass(Duration::from_secs(2));
        self.check();
        self.poll_everybody();
        assert_eq!(self.asks, BTreeMap::new(), "asks that never ended");
        assert_eq!(
            self.controls,
            BTreeMap::new(),
            "control operations that never ended"
        );
        assert!(
            self.queue.is_empty(),
            "bytes that were neither written nor told as lost"
        );
        assert!(
            self.bench.hub.poll_timeout().is_none(),
            "nothing is left to do"
        );
        for client in self
            .clients
            .iter()
            .filter(|client| client.attached && !client.closed)
        {
            let writer = &self.writers[&client.writer];
            assert!(
                writer.lost.is_empty() && writer.told == writer.taken,
                "a writer was not told"
            );
            assert!(!self.shut_down && !client.dismissed, "it was not closed");
        }
        let lost: u64 = self.bench.hub.info().counters.bytes_write_lost;
        assert!(lost <= self.writers.values().map(|writer| writer.accepted).sum());
    }
}
