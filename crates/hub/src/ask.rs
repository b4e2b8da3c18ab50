//! Asks: whose turn it is, the one that runs, and its one end. Where a reply ends is `uartnet-interpreter`'s, what happens after one
//! that did not come is in `resync`.
//!
//! - **Turns.** First come, first served within a client; clients take turns. An ask's command takes its place by arrival
//!   among plain writes too. While an ask runs, or the port resynchronises, nothing else is written.
//! - **Begin.** The reply begins at the end of the history when the UART takes the first byte of the command; what
//!   arrived before is not part of it, so no command begins while a laggard keeps the UART from being read. It cannot end before the UART took the command's last byte.
//! - **Deadline.** It counts from the turn: from when the command is first offered to the UART. An ask whose turn is next
//!   but which a UART that takes no bytes holds up for as long as its timeout, ends as timed out too.
//! - **Waiting.** How long an ask may wait for its turn is a bound of its own. It counts while other clients, or the UART,
//!   are what it waits for; what it waits for its own client's earlier asks does not count.
//! - **One end.** Every ask ends exactly once: reply, the board's error, timeout, device lost, refused, too big, or cancelled.
//! - **Late replies.** After a timeout, a reply that was too big and a cancelled ask, the port resynchronises before the
//!   next turn, for at most one more timeout, the ask's or the profile's, whichever is longer: what arrives of the old
//!   reply within that time is never given to another ask. A reply that is later still is not given to the next ask where
//!   the board echoes (it echoed the ask whose reply is owed, or the last one before it): the next reply then begins
//!   behind the echo of its own command, and there is none without one. Where the board does not echo, such a reply
//!   cannot be told from the next one's.
//! - **Whole commands.** A command the UART took nothing of is not written after its ask has ended. One that it took a
//!   part of is written to its end, because half a command and the next one together would be a third.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};

use crate::queue::Queue;
use crate::resync::Resync;
use crate::time::{after, earlier};
use crate::transmit::Turn;
use crate::{AskId, AskOutcome, BoardError, ClientId, Offset, Profile, Refusal};
use uartnet_interpreter::{Echoes, Found, Reply};

/// An ask that was accepted.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) id: AskId,
    pub(crate) turn: Turn,
    pub(crate) command: Bytes,
    /// What is written for it.
    pub(crate) frame: Bytes,
    pub(crate) profile: Profile,
    pub(crate) timeout: Duration,
    /// How long it may wait for its turn.
    pub(crate) wait: Duration,
    /// Since when no ask of its own client is before it.
    pub(crate) since: Instant,
}

/// An ask whose turn did not come in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overdue {
    pub(crate) client: ClientId,
    pub(crate) id: AskId,
    pub(crate) waited: Duration,
}

/// An ask that ended.
pub(crate) type Ended = (ClientId, AskId, AskOutcome);

#[derive(Debug)]
pub(crate) struct Asks {
    waiting: BTreeMap<ClientId, VecDeque<Accepted>>,
    /// The clients with waiting asks, the next one first.
    turns: Queue<ClientId>,
    count: usize,
    /// How many bytes of commands wait.
    bytes: usize,
    limit: usize,
    limit_bytes: usize,
    running: Option<Box<Running>>,
    /// Whether the board echoed the last command whose echo was looked for.
    echoes: bool,
    /// A resynchronisation ended before everything that was owed had come, and no whole reply has come since.
    owes: bool,
    /// Since when the next ask waits without the UART taking a byte.
    stuck_since: Option<Instant>,
    ended: Queue<Ended>,
}

#[derive(Debug)]
enum Running {
    Ask(Active),
    Resync(Resync),
}

/// The ask whose turn it is.
#[derive(Debug)]
struct Active {
    id: AskId,
    client: ClientId,
    profile: Profile,
    timeout: Duration,
    deadline: Instant,
    /// What the UART has yet to take of the command.
    unsent: Bytes,
    /// When the UART took the first byte of the command.
    begun: Option<Instant>,
    /// The end of the history when the command was last offered without a byte of it having been taken.
    from: u64,
    /// What arrived while the command was being written.
    early: BytesMut,
    reply: Reply,
    /// The end of the reply was seen, so nothing more is owed.
    whole: bool,
}

impl Asks {
    /// At most `limit` asks wait, with at most `limit_bytes` bytes of commands (or one command, if it is longer).
    pub(crate) fn new(limit: usize, limit_bytes: usize) -> Asks {
        Asks {
            waiting: BTreeMap::new(),
            turns: Queue::default(),
            count: 0,
            bytes: 0,
            limit: limit.max(1),
            limit_bytes,
            running: None,
            echoes: false,
            owes: false,
            stuck_since: None,
            ended: Queue::default(),
        }
    }

    /// Asks waiting or running.
    pub(crate) fn len(&self) -> usize {
        self.count + usize::from(matches!(self.running.as_deref(), Some(Running::Ask(_))))
    }

    /// Whether an ask of this client waits or runs.
    pub(crate) fn has(&self, client: ClientId) -> bool {
        self.waiting.contains_key(&client)
            || matches!(self.running.as_deref(), Some(Running::Ask(active)) if active.client == client)
    }

    /// Whether an ask runs or the port resynchronises, so that nobody else may write.
    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Whether an ask runs whose command the UART took nothing of.
    pub(crate) fn is_unbegun(&self) -> bool {
        matches!(self.running.as_deref(), Some(Running::Ask(active)) if active.begun.is_none())
    }

    /// How many asks, and how many bytes of commands, may wait from now on; those that do stay.
    pub(crate) fn set_limits(&mut self, limit: usize, limit_bytes: usize) {
        (self.limit, self.limit_bytes) = (limit.max(1), limit_bytes);
    }

    /// Whether another command of this length can wait.
    pub(crate) fn room_for(&self, len: usize) -> Result<(), Refusal> {
        if self.count >= self.limit {
            return Err(Refusal::Busy {
                what: "asks",
                queued: self.count,
                limit: self.limit,
            });
        }
        if self.bytes > 0 && self.bytes + len > self.limit_bytes {
            return Err(Refusal::Busy {
                what: "bytes",
                queued: self.bytes,
                limit: self.limit_bytes,
            });
        }
        Ok(())
    }

    /// Queues an ask for which there is room.
    pub(crate) fn push(&mut self, now: Instant, client: ClientId, ask: Accepted) {
        self.count += 1;
        self.bytes += ask.command.len();
        let queue = self.waiting.entry(client).or_default();
        if queue.is_empty() {
            self.turns.push_back(client);
        }
        queue.push_back(ask);
        self.stuck_since.get_or_insert(now);
    }

    /// The next ask's place in the order of everything, and whose it is.
    pub(crate) fn next(&self) -> Option<(Turn, ClientId)> {
        let client = *self.turns.front()?;
        Some((self.waiting.get(&client)?.front()?.turn, client))
    }

    /// It is the next ask's turn. The history ends at `end`.
    pub(crate) fn start(&mut self, now: Instant, end: u64) {
        let Some((client, ask)) = self.pop_next(now) else {
            return;
        };
        let Accepted {
            id,
            command,
            frame,
            profile,
            timeout,
            ..
        } = ask;
        let echoes = match (self.echoes, self.owes) {
            (false, _) => Echoes::Unknown,
            (true, false) => Echoes::Usual,
            (true, true) => Echoes::Required,
        };
        let reply = Reply::new(&profile, &command, echoes);
        let mut active = Active {
            id,
            client,
            profile,
            timeout,
            deadline: after(now, timeout),
            unsent: frame,
            begun: None,
            from: end,
            early: BytesMut::new(),
            reply,
            whole: false,
        };
        // A command without a byte to write is written already.
        let outcome = if active.unsent.is_empty() {
            active.transmitted(now, 0)
        } else {
            None
        };
        self.running = Some(Box::new(Running::Ask(active)));
        self.end_with(now, outcome);
    }

    /// The next ask ends without having had its turn.
    pub(crate) fn refuse_next(&mut self, now: Instant, refusal: Refusal) {
        if let Some((client, ask)) = self.pop_next(now) {
            self.ended
                .push_back((client, ask.id, AskOutcome::Refused(refusal)));
            self.wait_anew(now, client);
        }
    }

    /// What the running ask, or the resynchronisation, has to write is offered to the UART. The history ends at `end`.
    pub(crate) fn handle_offered(&mut self, end: u64) {
        if let Some(Running::Ask(active)) = self.running.as_deref_mut()
            && active.begun.is_none()
        {
            active.from = end;
        }
    }

    /// What that is.
    pub(crate) fn transmit(&self) -> Option<&[u8]> {
        let unsent = match self.running.as_deref()? {
            Running::Ask(active) => &active.unsent,
            Running::Resync(resync) => resync.unsent(),
        };
        (!unsent.is_empty()).then_some(unsent)
    }

    /// The UART took so many bytes of that.
    pub(crate) fn transmitted(&mut self, now: Instant, count: usize) {
        match self.running.as_deref_mut() {
            Some(Running::Ask(active)) => {
                let outcome = active.transmitted(now, count);
                self.end_with(now, outcome);
            }
            Some(Running::Resync(resync)) => {
                resync.transmitted(now, count);
                self.end_resync(now);
            }
            None => {}
        }
    }

    /// The UART took bytes, or could not be expected to until now: the next ask is not stuck.
    pub(crate) fn unstuck(&mut self, now: Instant) {
        self.stuck_since = (self.count > 0).then_some(now);
    }

    /// The UART delivered bytes.
    pub(crate) fn handle_data(&mut self, now: Instant, bytes: &[u8]) {
        match self.running.as_deref_mut() {
            Some(Running::Ask(active)) => {
                let outcome = active.handle_data(now, bytes);
                self.end_with(now, outcome);
            }
            Some(Running::Resync(resync)) => {
                resync.handle_data(now, bytes);
                self.end_resync(now);
            }
            None => {}
        }
    }

    /// Time passed. `held`: the UART is not offered anything now, so nothing is stuck.
    pub(crate) fn handle_timeout(&mut self, now: Instant, held: bool) {
        match self.running.as_deref_mut() {
            Some(Running::Ask(active)) => {
                let outcome = active.handle_timeout(now);
                self.end_with(now, outcome);
            }
            Some(Running::Resync(resync)) => {
                resync.handle_timeout(now);
                self.end_resync(now);
            }
            None => {}
        }
        if !held
            && self.stuck_timeout().is_some_and(|at| at <= now)
            && let Some((client, ask)) = self.pop_next(now)
        {
            let outcome = AskOutcome::TimedOut {
                partial: Bytes::new(),
                after: ask.timeout,
            };
            self.ended.push_back((client, ask.id, outcome));
            self.wait_anew(now, client);
        }
    }

    /// Takes an ask out that has waited for its turn as long as it may.
    pub(crate) fn take_overdue(&mut self, now: Instant) -> Option<Overdue> {
        let (_, client) = self.next_overdue().filter(|(at, _)| *at <= now)?;
        let ask = self.waiting.get_mut(&client)?.pop_front()?;
        self.removed(now, client, ask.command.len());
        self.wait_anew(now, client);
        Some(Overdue {
            client,
            id: ask.id,
            waited: ask.wait,
        })
    }

    /// When to look again. `held` as in [`Asks::handle_timeout`].
    pub(crate) fn poll_timeout(&self, held: bool) -> Option<Instant> {
        let running = match self.running.as_deref() {
            Some(Running::Ask(active)) => {
                earlier(Some(active.deadline), active.reply.poll_timeout())
            }
            Some(Running::Resync(resync)) => resync.poll_timeout(),
            None => None,
        };
        let stuck = if held { None } else { self.stuck_timeout() };
        let overdue = self.next_overdue().map(|(at, _)| at);
        earlier(earlier(running, stuck), overdue)
    }

    /// The client takes an ask back.
    pub(crate) fn cancel(&mut self, now: Instant, client: ClientId, id: AskId) {
        if let Some(Running::Ask(active)) = self.running.as_deref_mut()
            && (active.client, active.id) == (client, id)
        {
            return self.end_with(now, Some(AskOutcome::Cancelled));
        }
        let Some(queue) = self.waiting.get_mut(&client) else {
            return;
        };
        let Some(at) = queue.iter().position(|ask| ask.id == id) else {
            return;
        };
        if let Some(ask) = queue.remove(at) {
            self.ended
                .push_back((client, ask.id, AskOutcome::Cancelled));
            self.removed(now, client, ask.command.len());
            if at == 0 {
                self.wait_anew(now, client);
            }
        }
    }

    /// The client takes all its asks back.
    pub(crate) fn cancel_all(&mut self, now: Instant, client: ClientId) {
        let running = match self.running.as_deref() {
            Some(Running::Ask(active)) if active.client == client => Some(active.id),
            _ => None,
        };
        let waiting = self
            .waiting
            .get(&client)
            .into_iter()
            .flatten()
            .map(|ask| ask.id);
        let ids: Vec<AskId> = running.into_iter().chain(waiting).collect();
        for id in ids {
            self.cancel(now, client, id);
        }
    }

    /// Every waiting ask ends without having had its turn.
    pub(crate) fn refuse_waiting(&mut self, refusal: &Refusal) {
        self.turns.clear();
        (self.count, self.bytes, self.stuck_since) = (0, 0, None);
        for (client, asks) in std::mem::take(&mut self.waiting) {
            let refused = asks
                .into_iter()
                .map(|ask| (client, ask.id, AskOutcome::Refused(refusal.clone())));
            refused.for_each(|end| self.ended.push_back(end));
        }
    }

    /// The device vanished.
    pub(crate) fn lost(&mut self, reason: &str) {
        (self.echoes, self.owes) = (false, false);
        if let Some(Running::Ask(mut active)) = self.running.take().map(|running| *running) {
            let outcome = match active.begun {
                Some(_) => AskOutcome::DeviceLost {
                    partial: active.partial(),
                    reason: reason.to_owned(),
                },
                None => AskOutcome::Refused(Refusal::Absent {
                    reason: reason.to_owned(),
                }),
            };
            self.ended.push_back((active.client, active.id, outcome));
        }
        self.refuse_waiting(&Refusal::Absent {
            reason: reason.to_owned(),
        });
    }

    /// The next ask that has ended and was not told yet.
    pub(crate) fn poll_end(&mut self) -> Option<Ended> {
        self.ended.pop_front()
    }

    /// Whose ask runs.
    pub(crate) fn running_client(&self) -> Option<ClientId> {
        match self.running.as_deref() {
            Some(Running::Ask(active)) => Some(active.client),
            _ => None,
        }
    }

    /// How many asks wait for their turn.
    pub(crate) fn waiting(&self) -> usize {
        self.count
    }

    /// Whether none runs, none waits, and the port does not resynchronise.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.running.is_none() && self.count == 0
    }

    /// Whether there is none, nor anything to tell of those there were.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_at_rest() && self.ended.is_empty()
    }

    /// Which ask has waited for its turn long enough first, and when.
    fn next_overdue(&self) -> Option<(Instant, ClientId)> {
        let running = self.running_client();
        let others = self.waiting.iter();
        let others = others.filter(|(client, _)| Some(**client) != running);
        let due = others.filter_map(|(&client, asks)| {
            let ask = asks.front()?;
            Some((after(ask.since, ask.wait), client))
        });
        due.min()
    }

    /// What was before this client's next ask was an ask of its own, and is gone.
    fn wait_anew(&mut self, now: Instant, client: ClientId) {
        if let Some(ask) = self.waiting.get_mut(&client).and_then(VecDeque::front_mut) {
            ask.since = now;
        }
    }

    fn stuck_timeout(&self) -> Option<Instant> {
        match self.running.as_deref() {
            None => {}
            Some(Running::Resync(resync)) if resync.is_writing() => {}
            Some(_) => return None,
        }
        let client = self.turns.front()?;
        let next = self.waiting.get(client)?.front()?;
        Some(after(self.stuck_since?, next.timeout))
    }

    fn pop_next(&mut self, now: Instant) -> Option<(ClientId, Accepted)> {
        let client = *self.turns.front()?;
        let ask = self.waiting.get_mut(&client)?.pop_front()?;
        // The client's next ask waits behind every other client's.
        self.turns.rotate();
        self.removed(now, client, ask.command.len());
        Some((client, ask))
    }

    /// An ask of this client was taken out of its queue.
    fn removed(&mut self, now: Instant, client: ClientId, len: usize) {
        if self.waiting.get(&client).is_some_and(VecDeque::is_empty) {
            self.waiting.remove(&client);
            self.turns.retain(|&other| other != client);
        }
        self.count -= 1;
        self.bytes -= len;
        self.unstuck(now);
    }

    /// Ends the running ask, if it has come to an outcome, and resynchronises if a late reply may follow.
    fn end_with(&mut self, now: Instant, outcome: Option<AskOutcome>) {
        let Some(mut outcome) = outcome else { return };
        let Some(Running::Ask(mut active)) = self.running.take().map(|running| *running) else {
            return;
        };
        let came = active.partial();
        self.learn(&active, &came);
        if let AskOutcome::TimedOut { partial, .. } = &mut outcome {
            *partial = came.clone();
        }
        self.ended.push_back((active.client, active.id, outcome));
        self.wait_anew(now, active.client);
        if !active.whole && active.begun.is_some() {
            let Active {
                profile,
                timeout,
                unsent,
                reply,
                ..
            } = active;
            let window = timeout.max(profile.timeout);
            let resync = Resync::new(now, profile.recovery(), window, unsent, reply, &came);
            self.running = Some(Box::new(Running::Resync(resync)));
            self.end_resync(now);
        }
        self.unstuck(now);
    }

    fn end_resync(&mut self, now: Instant) {
        let Some(Running::Resync(resync)) = self.running.as_deref() else {
            return;
        };
        if resync.is_over() {
            self.owes = resync.is_owed();
            self.echoes |= resync.echoed();
            self.running = None;
            self.unstuck(now);
        }
    }

    /// What an ask that has ended says about the board's echo; `came` is what had arrived.
    fn learn(&mut self, active: &Active, came: &[u8]) {
        match active.reply.echoed() {
            Some(true) => self.echoes = true,
            // A board that was expected to echo and says other things does not any more: it should cost one ask only.
            Some(false) if active.whole || (self.owes && !came.is_empty()) => self.echoes = false,
            Some(false) | None => {}
        }
        self.owes &= !active.whole;
    }
}

impl Active {
    fn transmitted(&mut self, now: Instant, count: usize) -> Option<AskOutcome> {
        self.begun.get_or_insert(now);
        self.unsent.advance(count.min(self.unsent.len()));
        if !self.unsent.is_empty() {
            return None;
        }
        if self.reply.expects_nothing() {
            let nothing = Found {
                reply: Bytes::new(),
                consumed: 0,
                refused: None,
                unsolicited: Bytes::new(),
            };
            return Some(self.outcome(now, nothing));
        }
        if self.early.is_empty() {
            return None;
        }
        let early = std::mem::take(&mut self.early);
        self.handle_data(now, &early)
    }

    fn handle_data(&mut self, now: Instant, bytes: &[u8]) -> Option<AskOutcome> {
        self.begun?;
        if !self.unsent.is_empty() {
            self.early.extend_from_slice(bytes);
            return (self.early.len()
                > self
                    .profile
                    .max_reply
                    .saturating_add(self.unsent.len() + EARLY_ECHO))
            .then_some(AskOutcome::TooBig {
                limit: self.profile.max_reply,
            });
        }
        if let Some(found) = self.reply.handle_data(now, bytes) {
            return Some(self.outcome(now, found));
        }
        let limit = self.profile.max_reply;
        self.reply
            .is_beyond(limit)
            .then_some(AskOutcome::TooBig { limit })
    }

    fn handle_timeout(&mut self, now: Instant) -> Option<AskOutcome> {
        // A reply that is complete by the deadline is a reply.
        if let Some(found) = self.reply.handle_timeout(now) {
            return Some(self.outcome(now, found));
        }
        (self.deadline <= now).then(|| AskOutcome::TimedOut {
            partial: Bytes::new(),
            after: self.timeout,
        })
    }

    fn outcome(&mut self, now: Instant, found: Found) -> AskOutcome {
        self.whole = true;
        let limit = self.profile.max_reply;
        if found.reply.len() > limit {
            return AskOutcome::TooBig { limit };
        }
        let Found {
            reply,
            consumed,
            refused,
            unsolicited,
        } = found;
        let (from, to) = (Offset(self.from), Offset(self.from + consumed));
        let took = self
            .begun
            .map_or(Duration::ZERO, |begun| now.saturating_duration_since(begun));
        match refused {
            None => AskOutcome::Reply {
                reply,
                unsolicited,
                from,
                to,
                took,
            },
            Some(refused) => AskOutcome::BoardError(Box::new(BoardError {
                words: reply,
                sentence: refused.sentence,
                before: refused.before,
                unsolicited,
                from,
                to,
                took,
            })),
        }
    }

    /// What has arrived so far, without an echo; what comes is not kept any more.
    fn partial(&mut self) -> Bytes {
        if self.unsent.is_empty() {
            return self.reply.discard();
        }
        // The echo of a command that is not wholly written is no whole echo, so there is nothing to strip.
        std::mem::take(&mut self.early).freeze()
    }
}

/// How much more than a reply may arrive while a command is being written: its echo, generously.
const EARLY_ECHO: usize = 64 * 1024;
