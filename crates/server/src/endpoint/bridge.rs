//! One port's stream for protocols that carry bytes and cannot say anything else to their client: what `raw` and `rfc2217`
//! have in common. It holds a client while the device is away, writes all it sent before it lets it go, and bounds how
//! long a client that stopped sending may listen. Not the bytes on the wire.

use std::time::{Duration, Instant};

use uartnet_hub::{CloseReason, DeviceState, Notice, Refusal};

use super::writer::Writer;
use super::{Connection, Finish, Output, Session};
use crate::access::Wish;
use crate::config::WhenAbsent;
use crate::gateway::PortClient;

/// The keys of its own that a listener with a bridge may have ([`crate::config::StreamOptions`]).
pub(super) const OPTIONS: &[&str] = &["from", "when_absent", "banner"];

/// A client that has shut down its sending half is given what the board still says until the board has been silent for
/// this long, ...
const SILENCE: Duration = Duration::from_secs(2);
/// ... and at most for this long. Both count from when all it sent was written.
const LISTENING: Duration = Duration::from_secs(60);
/// How many bytes may wait for an absent device before no more are taken from the client.
const WAITING: usize = 64 * 1024;
/// How long the UART may take nothing of what a client sent before it ended: one held up by its flow control may never
/// take it.
const WRITING: Duration = Duration::from_secs(60);

/// One client of one port.
#[derive(Debug)]
pub(super) struct Bridge {
    client: PortClient,
    writer: Writer,
    when_absent: WhenAbsent,
    /// `None` until the first notice tells.
    present: Option<bool>,
    /// Sent by the client while the device was away.
    #[allow(clippy::box_collection)] // one word, as there is hardly ever anything
    waiting: Option<Box<Vec<u8>>>,
    ending: Option<Box<Ending>>,
    /// Nobody listens any more.
    gone: bool,
    finished: Option<Finish>,
}

/// A client that has shut down its sending half.
#[derive(Debug, Clone, Copy)]
enum Ending {
    /// What it sent is being written; until then at most, if nothing more is taken.
    Writing { until: Instant },
    /// It listens, until the board is silent (`quiet`), and at most `until`.
    Listening { quiet: Instant, until: Instant },
}

impl Bridge {
    /// A client of the listener's port.
    ///
    /// # Errors
    /// There is none for this client.
    pub(super) fn new(now: Instant, connection: &Connection) -> Result<Bridge, NoPort> {
        let port = connection.port().ok_or(NoPort)?;
        let options = &connection.options;
        let wish = Wish {
            read_only: false,
            read: Some(options.from),
            on_lag: None,
            can_carry_gap: false,
            writer: None,
        };
        let (client, attached) = port.attach(now, wish);
        let bridge = Bridge {
            client,
            writer: Writer::new(attached.write_offset),
            when_absent: options.when_absent,
            present: None,
            waiting: None,
            ending: None,
            gone: false,
            finished: None,
        };
        bridge.watch_writes(now);
        Ok(bridge)
    }

    // --- getters

    /// The client, for control operations.
    pub(super) fn client(&self) -> &PortClient {
        &self.client
    }

    /// Whether it can take more bytes from its client.
    pub(super) fn has_room(&self) -> bool {
        self.finished.is_none()
            && self.ending.is_none()
            && self.waiting_len() < WAITING
            && !self.writer.holds()
    }

    fn waiting_len(&self) -> usize {
        self.waiting.as_ref().map_or(0, |waiting| waiting.len())
    }

    /// Whether everything its client sent was handed over, and it can take more: nothing comes of input then but more bytes
    /// for the UART.
    pub(super) fn flows(&self) -> bool {
        self.has_room() && self.waiting_len() == 0
    }

    /// Whether, and how, the connection closes.
    pub(super) fn finished(&self) -> Option<Finish> {
        self.finished
    }

    /// When [`Bridge::handle_timeout`] is due.
    pub(super) fn timeout(&self) -> Option<Instant> {
        let ending = self.ending.as_deref();
        match *ending.filter(|_| self.finished.is_none())? {
            Ending::Writing { until } => Some(until),
            Ending::Listening { quiet, until } => Some(quiet.min(until)),
        }
    }

    // --- the world spoke

    /// The client sent bytes for the UART.
    pub(super) fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        if self.finished.is_some() {
            return;
        }
        if self.waiting_len() == 0 && !self.writer.holds() {
            let before = self.writer.end();
            let pushed = self.writer.push(now, &self.client, bytes);
            self.handle_pushed(pushed, bytes, before);
        } else {
            let waiting = self.waiting.get_or_insert_default();
            waiting.extend_from_slice(bytes);
        }
    }

    /// The client has shut down its sending half.
    pub(super) fn handle_end_of_input(&mut self, now: Instant) {
        if self.ending.is_some() {
            return;
        }
        self.ending = Some(Box::new(Ending::Writing {
            until: now + WRITING,
        }));
        self.watch_writes(now);
        self.settle_ending(now);
    }

    /// Nothing reaches the client any more: it is let go as soon as all it sent is written.
    pub(super) fn handle_gone(&mut self, now: Instant) {
        self.gone = true;
        if let Some(Ending::Listening { .. }) = self.ending.as_deref() {
            self.finished.get_or_insert(Finish::Close);
        }
        self.settle_ending(now);
    }

    /// The daemon stops: what was accepted is written by the hub; the client is let go.
    pub(super) fn handle_stop(&mut self) {
        self.finished.get_or_insert(Finish::Linger);
    }

    /// Time passed.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.timeout().is_none_or(|at| now < at) {
            return;
        }
        if let Some(Ending::Writing { .. }) = self.ending.as_deref() {
            let left = self.waiting_len() as u64 + self.writer.unsettled();
            tracing::warn!(port = %self.port(), bytes = left, "a client left, and the UART does not take its last bytes");
        }
        self.finished.get_or_insert(Finish::Close);
    }

    // --- what to do now

    /// The next thing for the client: data, or something a protocol may have a word for. After [`Bridge::resume`].
    pub(super) fn poll(&mut self, now: Instant, limit: usize) -> Option<Notice> {
        while self.finished.is_none() {
            let notice = self.client.poll_notice(now, limit)?;
            match &notice {
                Notice::Data { .. } => {
                    if let Some(Ending::Listening { quiet, .. }) = self.ending.as_deref_mut() {
                        *quiet = now + SILENCE;
                    }
                    return Some(notice);
                }
                Notice::State { state, .. } => {
                    self.handle_state(now, state);
                    return Some(notice);
                }
                Notice::Written { up_to } => {
                    self.writer.settle(*up_to);
                    if let Some(Ending::Writing { until }) = self.ending.as_deref_mut() {
                        *until = now + WRITING;
                    }
                }
                Notice::WriteLost { to, from, reason } => {
                    tracing::warn!(port = %self.port(), bytes = to - from, %reason, "bytes of a client are lost");
                    self.writer.settle(*to);
                    self.watch_writes(now);
                }
                Notice::Gap { from, to, .. } => {
                    // A reader that cannot carry gaps is cut when it lags; what is left is history that had expired
                    // before it came.
                    tracing::debug!(port = %self.port(), %from, %to, "a client begins after a gap");
                }
                Notice::Closed(reason) => self.handle_closed(reason),
                Notice::Lease { .. } | Notice::AskTurn(_) | Notice::AskDone { .. } => {}
                Notice::Line(_)
                | Notice::Signals { .. }
                | Notice::Errors(_)
                | Notice::ControlDone { .. } => {
                    return Some(notice);
                }
            }
            self.settle_ending(now);
        }
        None
    }

    /// Whether the last notice told everything, so that [`Bridge::poll`] would find none.
    pub(super) fn finds_nothing(&self) -> bool {
        self.client.finds_nothing()
    }

    fn handle_state(&mut self, now: Instant, state: &DeviceState) {
        self.present = Some(matches!(state, DeviceState::Present { .. }));
        match state {
            DeviceState::Present { .. } => self.resume(now),
            DeviceState::Absent { reason } if self.when_absent == WhenAbsent::Refuse => {
                self.refuse(&format!("the device is absent: {reason}"));
            }
            DeviceState::Absent { .. } => {}
        }
    }

    fn handle_closed(&mut self, reason: &CloseReason) {
        match reason {
            CloseReason::Lagged { from, to } => {
                self.refuse(&format!(
                    "it was too slow: bytes {from}..{to} have left the history"
                ));
            }
            CloseReason::Unread { notices } => {
                self.refuse(&format!("it left {notices} notices unread"));
            }
            CloseReason::Shutdown | CloseReason::Removed => self.handle_stop(),
        }
    }

    /// What waited for the device or for room is tried again.
    pub(super) fn resume(&mut self, now: Instant) {
        if self.writer.holds() {
            let held = self.writer.held_len();
            match self.writer.resume(now, &self.client) {
                Ok(()) => {}
                Err(Refusal::Absent { reason }) if self.when_absent == WhenAbsent::Hold => {
                    tracing::warn!(port = %self.port(), bytes = held, %reason, "bytes of a client are lost");
                }
                Err(refusal) => self.refuse(&refusal.to_string()),
            }
        }
        if self.present == Some(true)
            && !self.writer.holds()
            && let Some(waiting) = self.waiting.take()
        {
            let before = self.writer.end();
            let pushed = self.writer.push(now, &self.client, &waiting);
            self.handle_pushed(pushed, &waiting, before);
        }
        self.settle_ending(now);
    }

    /// `bytes` were to begin at write offset `from`.
    fn handle_pushed(&mut self, pushed: Result<(), Refusal>, bytes: &[u8], from: u64) {
        match pushed {
            Ok(()) => {}
            // The hub knows of it before its notice has come here.
            Err(Refusal::Absent { .. }) if self.when_absent == WhenAbsent::Hold => {
                let accepted = (self.writer.end() - from) as usize;
                let mut waiting = bytes[accepted..].to_vec();
                if let Some(behind) = self.waiting.take() {
                    waiting.extend_from_slice(&behind);
                }
                self.waiting = Some(Box::new(waiting));
                self.present = Some(false);
            }
            Err(refusal) => self.refuse(&refusal.to_string()),
        }
    }

    /// Only a client that is to end waits for what the UART takes.
    fn watch_writes(&self, now: Instant) {
        let on = self.ending.is_some();
        let client = &self.client;
        client.with_hub(now, |hub, id| hub.watch_writes(id, on));
    }

    /// Once all that a client sent is written, it may listen for a while.
    fn settle_ending(&mut self, now: Instant) {
        if let Some(Ending::Writing { .. }) = self.ending.as_deref()
            && self.waiting_len() == 0
            && !self.writer.is_unsettled()
        {
            if self.gone {
                self.finished.get_or_insert(Finish::Close);
            }
            self.ending = Some(Box::new(Ending::Listening {
                quiet: now + SILENCE,
                until: now + LISTENING,
            }));
        }
    }

    /// There is no word for this in the client's protocol, so it goes to the log and the connection closes.
    fn refuse(&mut self, why: &str) {
        if self.finished.is_none() {
            tracing::info!(port = %self.port(), "a client is cut off: {why}");
            self.finished = Some(Finish::Close);
        }
    }

    fn port(&self) -> &uart_iface::PortName {
        self.client.port().name()
    }
}

/// The conversation with a client for whom there is no port: there is nothing to say.
#[derive(Debug, Clone, Copy)]
pub(super) struct NoPort;

impl Session for NoPort {
    fn handle_input(&mut self, _now: Instant, _bytes: &[u8]) {}

    fn handle_end_of_input(&mut self, _now: Instant) {}

    fn handle_stop(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant, _out: &mut Output) {}

    fn wants_input(&self) -> bool {
        false
    }

    fn finished(&self) -> Option<Finish> {
        Some(Finish::Close)
    }
}
