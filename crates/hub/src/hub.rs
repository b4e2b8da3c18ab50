//! The hub itself: the public methods, and how its parts are wired. Each part's own rules are in its own file.

mod controlling;
mod permission;
mod reconfigure;
mod recording;
mod standoff;
mod telling;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use uart_iface::{InputSignals, Purge};

use self::standoff::Standoff;
use crate::arbiter::Arbiter;
use crate::ask::Asks;
use crate::bundle::Bundle;
use crate::client::{Client, Closing, News, Wakes, Writes};
use crate::history::History;
use crate::journal::{Happening, Journal};
use crate::line_hold::LineHolds;
use crate::reader::{self, Reader};
use crate::sequencer::{Ended, Sequencer};
use crate::slots::Slots;
use crate::time::earlier;
use crate::transmit::{Pacing, Turn, WriteQueue};
use crate::typing::Typing;
use crate::writer::{WriterId, Writers};
use crate::{
    Action, ActionDone, Ask, AskId, AskOutcome, Attach, Attached, ClientId, Control, ControlId,
    Counters, DeviceState, Epoch, HubInfo, Notice, Offset, OnLag, OnLoss, Profile, ReceiveErrors,
    Refusal, Right, Sequence, WritePolicy,
};

/// What a hub is made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubConfig {
    /// How many received bytes are kept. Memory is allotted only as bytes arrive. At least 1.
    pub history: usize,
    /// Who may write.
    pub write: WritePolicy,
    /// A lease that was not used for this long is free again. `None`: never.
    pub lease_idle: Option<Duration>,
    /// What happens to a reader that lags.
    pub on_lag: OnLag,
    /// How long one laggard may hold the UART up in one go.
    pub stall_limit: Duration,
    /// How many bytes may wait to be written, over all clients.
    pub write_queue: usize,
    /// What becomes of queued writes when the device is lost.
    pub on_loss: OnLoss,
    /// How many asks may wait, over all clients.
    pub ask_queue: usize,
    /// How long an ask may wait for its turn, unless it says so itself; at most [`crate::LONGEST_TIMEOUT`].
    pub ask_wait: Duration,
    /// How long a line that somebody types holds asks up after its last byte. Zero: not at all.
    pub typing_hold: Duration,
    /// How the board's interpreter is talked to; `None`: it has none that we know.
    pub profile: Option<Profile>,
    /// The sequences clients may run, beside those that every port has ([`Sequence::all`]).
    pub sequences: Vec<Sequence>,
    /// Time between two bytes written to the UART (`write_pacing = "1ms/byte"`).
    pub byte_pacing: Duration,
    /// Time after each line written to the UART (`write_pacing = "50ms/line"`); a line ends with CR or LF.
    pub line_pacing: Duration,
}

/// One port's shared life.
#[derive(Debug)]
pub struct Hub {
    config: Arc<HubConfig>,
    epoch: Epoch,
    state: DeviceState,
    /// The end of the history when the state last changed.
    state_at: u64,
    can_pause: bool,
    history: History,
    journal: Journal,
    clients: Slots<ClientId, Client>,
    /// How many of them are told of receive errors.
    error_watchers: usize,
    wakes: Wakes,
    bundle: Bundle,
    arbiter: Arbiter,
    writers: Writers,
    writes: WriteQueue,
    pacing: Pacing,
    asks: Asks,
    sequencer: Sequencer,
    line_holds: LineHolds,
    typing: Typing,
    standoff: Option<Box<Standoff>>,
    /// What [`Hub::poll_transmit`] last gave, until something happens to it.
    offered: Option<Offered>,
    /// Whether a reader holds the UART up.
    paused: bool,
    shutting_down: bool,
    /// It shuts down because the port is no longer wanted.
    removed: bool,
    /// `None`: nothing was counted yet, as on a port that nobody uses.
    counters: Option<Box<Counters>>,
    next_id: u64,
    next_turn: Turn,
}

/// Bytes given out to be written: the first of what their source has.
#[derive(Debug)]
struct Offered {
    count: usize,
    source: Source,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Ask,
    Write,
    Sequence,
}

impl Hub {
    /// A hub whose device is absent (`reason`: "not opened yet"). Hubs that are made alike can share what they are made with.
    pub fn new(config: impl Into<Arc<HubConfig>>, epoch: Epoch) -> Hub {
        let config = config.into();
        Hub {
            epoch,
            state: DeviceState::Absent {
                reason: "not opened yet".to_owned(),
            },
            state_at: 0,
            can_pause: false,
            history: History::new(config.history),
            journal: Journal::default(),
            clients: Slots::default(),
            error_watchers: 0,
            wakes: Wakes::default(),
            bundle: Bundle::default(),
            arbiter: Arbiter::new(config.write, config.lease_idle),
            writers: Writers::default(),
            writes: WriteQueue::new(config.write_queue),
            pacing: Pacing::new(config.byte_pacing, config.line_pacing),
            asks: Asks::new(config.ask_queue, config.write_queue),
            sequencer: Sequencer::default(),
            line_holds: LineHolds::default(),
            typing: Typing::new(config.typing_hold),
            standoff: None,
            offered: None,
            paused: false,
            shutting_down: false,
            removed: false,
            counters: None,
            next_id: 1,
            next_turn: 0,
            config,
        }
    }

    // --- getters

    /// Everything countable.
    pub fn info(&self) -> HubInfo {
        HubInfo {
            state: self.state.clone(),
            epoch: self.epoch,
            start: Offset(self.history.start()),
            end: Offset(self.history.end()),
            history: self.history.limit(),
            write: self.arbiter.policy(),
            lease: self.arbiter.holder().map(|holder| self.label(holder)),
            clients: self.clients.len(),
            readers: self
                .clients
                .values()
                .filter(|client| client.reader.is_some())
                .count(),
            stalled: self.paused,
            counters: self.counters(),
            write_queue: self.writes.len(),
            asks_queued: self.asks.len(),
        }
    }

    fn counters(&self) -> Counters {
        self.counters.as_deref().copied().unwrap_or_default()
    }

    fn counters_mut(&mut self) -> &mut Counters {
        self.counters.get_or_insert_default()
    }

    /// How the board's interpreter is talked to; `None`: it has none that we know.
    pub fn profile(&self) -> Option<&Profile> {
        self.config.profile.as_ref()
    }

    /// The sequences clients may run, those that every port has included. They are put together when somebody asks: what
    /// every port has would weigh more than all else of an idle one.
    pub fn sequences(&self) -> Vec<Sequence> {
        Sequence::all(&self.config.sequences)
    }

    /// Whether the UART should not be read now, for a laggard's sake. It may change in any call that takes `now`.
    pub fn reading_paused(&self) -> bool {
        self.paused
    }

    /// The most the owner should read from the UART at once: 64 KiB, or a quarter of the history if that is less. Only then
    /// it is true that a laggard for whose sake reading pauses loses nothing.
    pub fn read_size(&self) -> usize {
        reader::read_size(self.history.limit())
    }

    /// How many bytes [`Hub::write`] would accept from anybody now.
    pub fn write_room(&self) -> usize {
        self.writes.room()
    }

    /// How often the device was lost, if bytes that wait for room were then meant for a device that is no more;
    /// `None` if they may wait for the next ([`OnLoss::Keep`]).
    pub fn losses_that_discard(&self) -> Option<u64> {
        match self.config.on_loss {
            OnLoss::Discard => Some(self.counters().device_losses),
            OnLoss::Keep => None,
        }
    }

    /// Whether nothing is left to do to the device for anybody: no byte to write, no ask, no control operation, waiting or
    /// under way.
    pub fn is_idle(&self) -> bool {
        self.writes.len() == 0 && self.asks.len() == 0 && self.sequencer.is_empty()
    }

    /// Whether anybody is attached who is told about signals.
    pub fn has_readers(&self) -> bool {
        self.clients.values().any(|client| client.reader.is_some())
    }

    /// Whether anybody is told of receive errors, so that the device must be asked for them.
    pub fn wants_errors(&self) -> bool {
        self.error_watchers > 0
    }

    /// Whether a named sequence is under way, so that signals may be in a state that nobody wants to last.
    pub fn runs_sequence(&self) -> bool {
        self.sequencer.runs_sequence()
    }

    // --- the world spoke

    /// The device was opened. `can_pause`: the UART can be left unread without loss.
    pub fn handle_opened(&mut self, now: Instant, state: DeviceState, can_pause: bool) {
        if self.counters().device_losses > 0 && !self.is_present() {
            self.counters_mut().device_returns += 1;
        }
        self.state = state;
        self.state_at = self.history.end();
        self.note_state(now);
        self.handle_can_pause(can_pause);
        self.asks.unstuck(now);
        self.publish(|news, _| news.state = true);
        self.settle_line();
    }

    /// The line settings were changed, and with them, maybe, whether the UART can be left unread without loss.
    pub fn handle_can_pause(&mut self, can_pause: bool) {
        self.can_pause = can_pause;
        for client in self.clients.values_mut() {
            if let Some(reader) = &mut client.reader {
                reader.handle_can_pause(can_pause);
            }
        }
        self.update_paused();
    }

    /// The device vanished, or could not be opened. Asks and control operations under way end, queued writes are lost
    /// and told to their writers, unless they are [kept](OnLoss::Keep).
    pub fn handle_lost(&mut self, now: Instant, reason: &str) {
        if matches!(&self.state, DeviceState::Absent { reason: known } if known == reason) {
            return;
        }
        if self.is_present() {
            self.counters_mut().device_losses += 1;
        }
        self.state = DeviceState::Absent {
            reason: reason.to_owned(),
        };
        self.state_at = self.history.end();
        self.note_state(now);
        self.asks.lost(reason);
        self.typing.forget();
        self.sequencer.lost(reason);
        if let Some(line) = self.sequencer.take_line_owed() {
            self.line_holds.owe(line);
        }
        self.offered = None;
        if self.config.on_loss == OnLoss::Discard {
            self.lose_writes(Turn::MAX, &format!("the device is absent: {reason}"));
        }
        self.publish(|news, _| news.state = true);
        self.settle(now);
    }

    /// The UART delivered bytes.
    pub fn handle_uart_data(&mut self, now: Instant, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end_before = self.history.end();
        self.asks.handle_data(now, bytes);
        self.sequencer.handle_data(now, bytes);
        self.typing.handle_data(now);
        self.journal.arrived(now, end_before);
        let tells = self.bundle.arrived(now, bytes.len(), self.history.limit());
        self.history.push(bytes);
        self.journal.forget_before(self.history.start());
        let mut cut = Vec::new();
        let mut paused = false;
        let mut readers = 0;
        for (id, client) in self.clients.iter_mut() {
            let Some(reader) = &mut client.reader else {
                continue;
            };
            readers += 1;
            match reader.arrived(now, &self.history, end_before, self.can_pause) {
                Some(reason) => cut.push((id, reason)),
                None => {
                    paused |= reader.stalls();
                    if tells || reader.stalls() {
                        self.wakes.news(id, &mut client.wake);
                    }
                }
            }
        }
        self.bundle.count(readers);
        self.paused = paused;
        for (id, reason) in cut {
            self.cut(now, id, reason);
        }
        self.settle(now);
    }

    /// The UART took the first `count` bytes of what [`Hub::poll_transmit`] last gave. Nothing else may have been called in
    /// between.
    pub fn handle_transmitted(&mut self, now: Instant, count: usize) {
        let Some(Offered {
            count: most,
            source,
        }) = self.offered.take()
        else {
            return;
        };
        let count = count.min(most);
        let bytes = match source {
            Source::Sequence => self.sequencer.transmit(),
            Source::Ask => self.asks.transmit(),
            Source::Write => self.writes.front(),
        };
        let (Some(bytes), Some(last)) = (bytes, count.checked_sub(1)) else {
            return;
        };
        let last = bytes[last];
        let counters = self.counters.get_or_insert_default();
        let from = counters.bytes_written;
        counters.bytes_written += count as u64;
        self.journal
            .happened(now, self.history.end(), || Happening::Sent {
                from,
                bytes: Bytes::copy_from_slice(&bytes[..count]),
            });
        self.pacing.taken(now, bytes, count);
        match source {
            Source::Ask => self.asks.transmitted(now, count),
            Source::Sequence => self.sequencer.transmitted(now, count),
            Source::Write => {
                match self.writes.taken(&mut self.writers, count) {
                    Some((writer, Some(client))) => {
                        self.typing.typed(now, writer, last);
                        self.tell_writer(client);
                    }
                    Some((writer, None)) => {
                        let owners: Vec<_> = self.writers.owners(writer).collect();
                        if !owners.is_empty() {
                            self.typing.typed(now, writer, last);
                        }
                        owners.into_iter().for_each(|id| self.tell_writer(id));
                    }
                    None => {}
                }
                if self.wakes.is_room_wanted() {
                    self.tell_room();
                }
            }
        }
        self.asks.unstuck(now);
        self.settle(now);
    }

    /// The action last given by [`Hub::poll_action`] was done, or failed with this sentence.
    pub fn handle_action_done(&mut self, now: Instant, result: Result<ActionDone, String>) {
        let held = self.is_held();
        let Some(worked) = self.sequencer.handle_done(now, &result) else {
            return;
        };
        self.worked(now, worked, &result);
        self.unstick_after(held, now);
        self.settle(now);
    }

    /// The input lines changed.
    pub fn handle_inputs(&mut self, now: Instant, inputs: InputSignals) {
        self.update_present(now, |_, _, now_inputs| *now_inputs = inputs);
    }

    /// Receive errors or a break happened.
    pub fn handle_errors(&mut self, now: Instant, errors: ReceiveErrors) {
        self.note(now, || Happening::Errors(errors));
        for (id, client) in self.clients.iter_mut() {
            if client.watches_errors && !client.is_cut() {
                client.news.errors = client.news.errors.or(errors);
                self.wakes.news(id, &mut client.wake);
            }
        }
    }

    /// Time passed: call it when [`Hub::poll_timeout`] is reached (calling it early does nothing).
    pub fn handle_timeout(&mut self, now: Instant) {
        let held = self.is_held();
        let turn = self.new_turn();
        let free = self.is_free();
        self.sequencer.handle_timeout(now, turn, free);
        self.pacing.handle_timeout(now);
        self.typing.handle_timeout(now);
        self.unstick_after(held, now);
        self.asks.handle_timeout(now, self.is_held());
        self.end_overdue(now);
        let (asks, sequencer, writers, clients) =
            (&self.asks, &self.sequencer, &self.writers, &self.clients);
        let busy = |id| {
            let writes = clients
                .get(id)
                .and_then(|client| client.writer)
                .is_some_and(|writer| writers.has_queued(writer));
            writes || asks.has(id) || sequencer.has(id)
        };
        if self.arbiter.handle_timeout(now, busy) {
            self.publish(|news, _| news.lease = true);
        }
        if self.bundle.handle_timeout(now) {
            for (id, client) in self.clients.iter_mut() {
                if client.reader.is_some() {
                    self.wakes.news(id, &mut client.wake);
                }
            }
        }
        if self.paused {
            for client in self.clients.values_mut() {
                if let Some(reader) = &mut client.reader {
                    reader.handle_timeout(now, self.config.stall_limit);
                }
            }
            self.update_paused();
        }
        self.settle(now);
    }

    /// The daemon stops: nothing new is accepted, waiting asks are refused, and every client
    /// gets [`crate::CloseReason::Shutdown`] after what it is still owed: the ends of what is under way, what becomes of
    /// its queued writes, and the bytes received so far. What is queued to the UART is still transmitted.
    pub fn shut_down(&mut self, now: Instant) {
        if self.shutting_down {
            return;
        }
        self.shutting_down = true;
        let refusal = self.stopping();
        self.asks.refuse_waiting(&refusal);
        self.sequencer.refuse_waiting(&refusal);
        self.settle(now);
        let end = self.history.end();
        for (id, client) in self.clients.iter_mut() {
            if matches!(client.closing, Closing::No) {
                client.closing = Closing::Owed(end);
            }
            self.wakes.news(id, &mut client.wake);
        }
    }

    // --- a client spoke

    /// A new client. The first thing it is told is the device's state, and who has the lease if somebody has.
    /// A [`Attach::writer`] name that is not 1 to 160 bytes, or of a client that may not write, is none.
    pub fn attach(&mut self, now: Instant, attach: Attach) -> Attached {
        let Attach {
            label,
            access,
            read,
            on_lag,
            can_carry_gap,
            writer,
        } = attach;
        let mut reader = read.map(|read| {
            let start = reader::Start {
                read,
                own_on_lag: on_lag,
                on_lag: self.config.on_lag,
                can_carry_gap,
            };
            Reader::new(now, start, &self.history, self.epoch)
        });
        if let Some(reader) = &mut reader {
            reader.consider_stall(now, &self.history, self.can_pause);
        }
        let end = Offset(self.history.end());
        let offset = reader.as_ref().map_or(end, Reader::first);
        let refuses = reader.as_ref().and_then(Reader::refuses_to_start);
        let mut split_off = None;
        let mut write_offset = 0;
        let id = self.clients.insert(|id| {
            let own;
            (own, split_off) = self.writers.attach(id, writer.as_deref(), access);
            write_offset = own.map_or(0, |own| self.writers.write_offset(own));
            let mut client = Client::new(label, access, reader, own);
            client.news = News {
                state: true,
                lease: self.arbiter.holder().is_some(),
                ..News::default()
            };
            if self.shutting_down {
                client.closing = Closing::Owed(0);
            }
            client
        });
        if let Some((displaced_id, own)) = split_off
            && let Some(displaced) = self.clients.get_mut(displaced_id)
        {
            displaced.writer = Some(own);
            displaced.taken_over = true;
            displaced.writes = Writes::Moved;
            // While the port shuts down, that may have been the last thing it was owed.
            self.wakes.news(displaced_id, &mut displaced.wake);
            if self.arbiter.hand_over(now, displaced_id, id) {
                self.publish(|news, _| news.lease = true);
            }
        }
        self.tell_clients([id]);
        if let Some(reason) = refuses {
            self.cut(now, id, reason);
        }
        self.update_paused();
        Attached {
            client: id,
            offset,
            end,
            write_offset,
        }
    }

    /// The client left: its asks are cancelled and its lease is free; what it wrote is still written, and its control
    /// operations are still done.
    pub fn detach(&mut self, now: Instant, client: ClientId) {
        let turn = self.new_turn();
        self.sequencer.detach(client, turn);
        self.asks.cancel_all(now, client);
        self.release_lease(now, client);
        self.settle(now);
        if let Some(left) = self.clients.remove(client) {
            self.error_watchers -= usize::from(left.watches_errors);
            let held = self.is_held();
            if let Some(writer) = left.writer {
                self.typing.left(writer);
            }
            self.unstick_after(held, now);
            if let Some(writer) = left.writer {
                self.writers.detach(writer);
            }
        }
        self.wakes.forget(client);
        self.give_line_back(client);
        self.update_paused();
    }

    /// What has arrived and was not given to this client is not for it: it goes on with what arrives from now on, and is
    /// told of no gap.
    pub fn skip_unread(&mut self, now: Instant, client: ClientId) {
        let end = self.history.end();
        let client = self.clients.get_mut(client);
        if let Some(reader) = client.and_then(|it| it.reader.as_mut()) {
            reader.skip_to(now, end);
        }
        self.update_paused();
    }

    /// Whether this client is told of receive errors and breaks. At first it is not.
    pub fn watch_errors(&mut self, client: ClientId, on: bool) {
        if let Some(client) = self.clients.get_mut(client) {
            let before = std::mem::replace(&mut client.watches_errors, on);
            self.error_watchers += usize::from(on);
            self.error_watchers -= usize::from(before);
        }
    }

    /// Whether this client is told what the UART has taken of its writes ([`Notice::Written`]). At first it is, and again once
    /// some of them were lost, which it is told in any case, and first.
    pub fn watch_writes(&mut self, client: ClientId, on: bool) {
        if on {
            self.tell_clients([client]);
        } else if let Some(client) = self.clients.get_mut(client)
            && client
                .writer
                .is_none_or(|writer| self.writers.untold_losses(writer) == 0)
        {
            client.writes = Writes::Unwatched;
        }
    }

    /// Queues bytes to the UART. All of them or none; never more than [`Hub::write_room`].
    /// On an exclusive port without a holder this takes the lease.
    ///
    /// # Errors
    /// The reason as a [`Refusal`]; nothing was queued then.
    pub fn write(&mut self, now: Instant, client: ClientId, bytes: &[u8]) -> Result<(), Refusal> {
        let writer = self.may(client, Right::Write)?;
        if self.accepting(client)?.taken_over {
            return Err(Refusal::TakenOver);
        }
        self.check_present()?;
        let len = bytes.len();
        if len > self.writes.room() {
            self.wakes.wants_room(client);
            return Err(Refusal::Busy {
                what: "bytes",
                queued: self.writes.len(),
                limit: self.writes.limit(),
            });
        }
        if self.arbiter.wrote(now, client) {
            self.publish(|news, _| news.lease = true);
        }
        if len > 0 {
            let turn = self.new_turn();
            let writer = writer.unwrap_or_else(|| self.begin_writing(client));
            self.writes.push(turn, &mut self.writers, writer, bytes);
        }
        Ok(())
    }

    fn begin_writing(&mut self, client: ClientId) -> WriterId {
        let writer = self.writers.begin(client);
        if let Some(client) = self.clients.get_mut(client) {
            client.writer = Some(writer);
        }
        writer
    }

    /// Queues an ask. It ends in exactly one [`Notice::AskDone`], also when it is refused at once. Only a client that was
    /// cut off or has left is told nothing.
    pub fn ask(&mut self, now: Instant, client: ClientId, ask: Ask) -> AskId {
        let id = AskId(self.new_id());
        match self.accept_ask(now, id, client, ask) {
            Ok(accepted) => {
                self.arbiter.used(now, client);
                self.asks.push(now, client, accepted);
            }
            Err(refusal) => self.end_ask(now, client, id, AskOutcome::Refused(refusal)),
        }
        id
    }

    /// Takes an ask back. It ends as `Cancelled`, unless it had ended already.
    pub fn cancel(&mut self, now: Instant, client: ClientId, ask: AskId) {
        self.asks.cancel(now, client, ask);
        self.settle(now);
    }

    /// Queues a control operation. It ends in exactly one [`Notice::ControlDone`], also when it is refused at once.
    pub fn control(&mut self, now: Instant, client: ClientId, control: Control) -> ControlId {
        let id = ControlId(self.new_id());
        let turn = self.new_turn();
        let right = Right::to_control(&control);
        let accepted = self.may(client, right).and_then(|_| self.check_present());
        let sequences = match control {
            Control::Run(_) => self.sequences(),
            _ => Vec::new(),
        };
        match accepted.and_then(|()| self.sequencer.push(client, id, turn, &control, &sequences)) {
            Ok(()) => self.arbiter.used(now, client),
            Err(refusal) => {
                let ended = Ended {
                    client,
                    id,
                    result: Err(refusal.into()),
                    steps: Vec::new(),
                };
                self.end_control(now, ended);
            }
        }
        id
    }

    /// Takes the write lease if it is free (or already yours).
    ///
    /// # Errors
    /// [`Refusal::Leased`], [`Refusal::NotExclusive`], [`Refusal::Access`], [`Refusal::ReadOnly`],
    /// [`Refusal::NotAttached`], [`Refusal::Shutdown`].
    pub fn take_lease(&mut self, now: Instant, client: ClientId) -> Result<(), Refusal> {
        let access = self.accepting(client)?.access;
        let taken = self.arbiter.take(now, client, access);
        self.lease_changed(access, taken)
    }

    /// Takes the write lease, whoever has it. The loser is told.
    ///
    /// # Errors
    /// [`Refusal::NotExclusive`], [`Refusal::Access`] (it needs [`crate::Access::Admin`]), [`Refusal::ReadOnly`],
    /// [`Refusal::NotAttached`], [`Refusal::Shutdown`].
    pub fn steal_lease(&mut self, now: Instant, client: ClientId) -> Result<(), Refusal> {
        let access = self.accepting(client)?.access;
        let stolen = self.arbiter.steal(now, client, access);
        self.lease_changed(access, stolen)
    }

    /// Gives the lease back, if it is this client's.
    pub fn release_lease(&mut self, _now: Instant, client: ClientId) {
        if self.arbiter.release(client) {
            self.publish(|news, _| news.lease = true);
        }
    }

    // --- what to do now

    /// The next thing to tell this client; data in pieces of at most `limit` bytes, or with 0 everything but data and gaps.
    /// `None`: nothing now, it will be woken.
    pub fn poll_notice(&mut self, now: Instant, id: ClientId, limit: usize) -> Option<Notice> {
        if self.finds_nothing(id) {
            return None;
        }
        let notice = self.next_notice(now, id, limit);
        if notice.is_none()
            && let Some(client) = self.clients.get_mut(id)
        {
            client.wake.nothing_left();
        }
        notice
    }

    /// Whether this client was told everything with its last notice. If so, it has asked for the next and found none.
    pub fn finds_nothing(&mut self, client: ClientId) -> bool {
        let client = self.clients.get_mut(client);
        client.is_some_and(|client| client.wake.finds_nothing())
    }

    /// Whether [`Hub::poll_wake`] or [`Hub::take_log_news`] may have something to say.
    pub fn wants_to_wake(&self) -> bool {
        !self.wakes.is_empty() || self.journal.has_news()
    }

    /// A client for which [`Hub::poll_notice`] has come since it last found none, or more [`Hub::write_room`] after it was
    /// refused as busy.
    pub fn poll_wake(&mut self) -> Option<ClientId> {
        while let Some(id) = self.wakes.pop() {
            if self
                .clients
                .get_mut(id)
                .is_some_and(|client| client.wake.popped())
            {
                return Some(id);
            }
        }
        None
    }

    /// Whether [`Hub::poll_action`] may give anything.
    pub fn may_act(&self) -> bool {
        !self.sequencer.is_at_rest()
    }

    /// Whether [`Hub::poll_transmit`] may give anything.
    pub fn may_transmit(&self) -> bool {
        self.writes.len() > 0
            || !self.asks.is_at_rest()
            || !self.sequencer.is_at_rest()
            || self.standoff.is_some()
    }

    /// What the port's task should do to the device now. Each must be answered by [`Hub::handle_action_done`] before the
    /// next is given.
    pub fn poll_action(&mut self, now: Instant) -> Option<Action> {
        if !self.may_act() || !self.is_present() {
            return None;
        }
        let held = self.is_held();
        let next = self.next_action(now);
        if let Some((Action::Purge(Purge::Transmit | Purge::Both), turn)) = next {
            // What was written after the purge was asked for is not meant by it.
            self.lose_writes(turn, "purged");
        }
        self.unstick_after(held, now);
        self.settle(now);
        next.map(|(action, _)| action)
    }

    /// Bytes to give to the UART now. They are good until the hub is told anything else,
    /// so ask again before each attempt to write, and after [`Hub::handle_transmitted`].
    pub fn poll_transmit(&mut self, now: Instant) -> Option<&[u8]> {
        self.offered = None;
        if !self.may_transmit() || !self.is_present() || !self.pacing.is_ready(now) {
            return None;
        }
        let is_sequence = self.sequencer.transmit().is_some();
        if !is_sequence && !self.may_begin(now) {
            return None;
        }
        self.watch_standoff(now);
        let (bytes, source) = if is_sequence {
            (self.sequencer.transmit()?, Source::Sequence)
        } else if self.asks.is_running() {
            self.asks.handle_offered(self.history.end());
            (self.asks.transmit()?, Source::Ask)
        } else {
            (self.writes.front()?, Source::Write)
        };
        let count = self.pacing.portion(bytes);
        self.offered = Some(Offered { count, source });
        Some(&bytes[..count])
    }

    /// When [`Hub::handle_timeout`] should be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        // Asked with every byte; most ports wait for nothing.
        if self.asks.is_at_rest()
            && self.sequencer.poll_timeout().is_none()
            && self.pacing.poll_timeout().is_none()
            && !self.bundle.waits()
            && self.standoff.is_none()
            && self.arbiter.holder().is_none()
            && !self.paused
        {
            return None;
        }
        self.next_timeout()
    }

    #[cold]
    fn next_timeout(&self) -> Option<Instant> {
        let mut next = self.sequencer.poll_timeout();
        if !self.asks.is_at_rest() {
            next = earlier(next, self.asks.poll_timeout(self.is_held()));
            // Whose line is abandoned when is of interest to asks only.
            if self.asks.waiting() > 0 {
                next = earlier(next, self.typing.poll_timeout());
            }
        }
        next = earlier(next, self.pacing.poll_timeout());
        next = earlier(next, self.bundle.poll_timeout());
        next = earlier(next, self.standoff_timeout());
        next = earlier(next, self.arbiter.poll_timeout());
        if self.paused {
            for reader in self
                .clients
                .values()
                .filter_map(|client| client.reader.as_ref())
            {
                next = earlier(next, reader.poll_timeout(self.config.stall_limit));
            }
        }
        next
    }

    // --- what is written

    /// Whether asks and writes may be written now. Begins the next ask if it is its turn.
    fn may_begin(&mut self, now: Instant) -> bool {
        if self.sequencer.holds_transmit() {
            return false;
        }
        if self.paused && self.command_is_next() {
            // What lies unread in the UART would be taken for its reply.
            return false;
        }
        if self.is_free() {
            if self.sequencer.wants_turn() {
                return false;
            }
            if self.asks.next().is_some() && !self.typing.holds(now) {
                self.start_ask(now);
            }
        }
        true
    }

    /// Whether the first byte of a command is the next to be written.
    fn command_is_next(&self) -> bool {
        if self.asks.is_running() {
            return self.asks.is_unbegun();
        }
        let write = self.writes.front_turn();
        let ask = self.asks.next().map(|(turn, _)| turn);
        !self.writes.is_begun() && ask.is_some_and(|ask| write.is_none_or(|write| ask < write))
    }

    /// Begins the next ask if it came before the next write.
    fn start_ask(&mut self, now: Instant) {
        while let Some((turn, client)) = self.asks.next() {
            if self.writes.front_turn().is_some_and(|write| write < turn) {
                break;
            }
            match self.check_unread(client) {
                Ok(()) => {
                    self.typing.forget();
                    self.asks.start(now, self.history.end());
                }
                Err(refusal) => self.asks.refuse_next(now, refusal),
            }
            self.settle(now);
            if self.asks.is_running() {
                break;
            }
        }
    }

    /// Ends the asks that have waited for their turn as long as they may.
    fn end_overdue(&mut self, now: Instant) {
        while let Some(overdue) = self.asks.take_overdue(now) {
            let refusal = Refusal::Waited {
                waited: overdue.waited,
                holdup: self.holdup(now),
            };
            let outcome = AskOutcome::Refused(refusal);
            self.end_ask(now, overdue.client, overdue.id, outcome);
        }
    }

    /// Whether the UART is offered nothing now for reasons of ours.
    fn is_held(&self) -> bool {
        !self.is_present()
            || self.sequencer.holds_transmit()
            || self.sequencer.wants_turn()
            || self.typing.is_under_way()
            || self.pacing.poll_timeout().is_some()
    }

    /// Whether no ask runs and no write is half written.
    fn is_free(&self) -> bool {
        !self.writes.is_begun() && !self.asks.is_running()
    }

    fn unstick_after(&mut self, held: bool, now: Instant) {
        if held && !self.is_held() {
            self.asks.unstuck(now);
        }
    }

    fn lose_writes(&mut self, before: Turn, reason: &str) {
        self.offered = None;
        let (lost, losers) = self.writes.lose_before(before, &mut self.writers, reason);
        self.counters_mut().bytes_write_lost += lost;
        self.tell_clients(losers);
        self.tell_room();
    }

    fn is_present(&self) -> bool {
        matches!(self.state, DeviceState::Present { .. })
    }

    fn new_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    fn new_turn(&mut self) -> Turn {
        let turn = self.next_turn;
        self.next_turn += 1;
        turn
    }
}
