//! The hub itself: the public methods, and how its parts are wired. Each part's own rules are in its own file.

use std::time::{Duration, Instant};

use bytes::Bytes;
use uart_iface::InputSignals;

use crate::{
    Action, ActionDone, Ask, AskId, Attach, Attached, ClientId, Control, ControlId, DeviceState, Epoch, HubInfo, Notice,
    OnLag, Profile, Refusal, Sequence, WritePolicy,
};

/// What a hub is made with.
#[derive(Debug, Clone)]
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
    /// How many asks may wait, over all clients.
    pub ask_queue: usize,
    /// How the board's interpreter is talked to; `None`: it has none that we know.
    pub profile: Option<Profile>,
    /// The sequences clients may run.
    pub sequences: Vec<Sequence>,
    /// Time between two bytes written to the UART (`write_pacing = "1ms/byte"`).
    pub byte_pacing: Duration,
    /// Time after each line written to the UART (`write_pacing = "50ms/line"`); a line ends with CR or LF.
    pub line_pacing: Duration,
}

/// One port's shared life.
#[derive(Debug)]
pub struct Hub {}

impl Hub {
    /// A hub whose device is absent (`reason`: "not opened yet").
    pub fn new(_config: HubConfig, _epoch: Epoch) -> Hub {
        todo!()
    }

    // --- getters

    /// Everything countable.
    pub fn info(&self) -> HubInfo {
        todo!()
    }

    /// Whether the UART should not be read now, for a laggard's sake.
    pub fn reading_paused(&self) -> bool {
        todo!()
    }

    /// How many bytes [`Hub::write`] would accept from anybody now.
    pub fn write_room(&self) -> usize {
        todo!()
    }

    /// Whether anybody is attached who is told about signals.
    pub fn has_readers(&self) -> bool {
        todo!()
    }

    // --- the world spoke

    /// The device was opened. `can_pause`: the UART can be left unread without loss.
    pub fn handle_opened(&mut self, _now: Instant, _state: DeviceState, _can_pause: bool) {
        todo!()
    }

    /// The device vanished, or could not be opened. Asks and control operations under way end, queued writes are lost
    /// and told to their writers.
    pub fn handle_lost(&mut self, _now: Instant, _reason: &str) {
        todo!()
    }

    /// The UART delivered bytes (not empty).
    pub fn handle_uart_data(&mut self, _now: Instant, _bytes: Bytes) {
        todo!()
    }

    /// The UART took the first `count` bytes of what [`Hub::poll_transmit`] last gave.
    pub fn handle_transmitted(&mut self, _now: Instant, _count: usize) {
        todo!()
    }

    /// The action last given by [`Hub::poll_action`] was done, or failed with this sentence.
    pub fn handle_action_done(&mut self, _now: Instant, _result: Result<ActionDone, String>) {
        todo!()
    }

    /// The input lines changed.
    pub fn handle_inputs(&mut self, _now: Instant, _inputs: InputSignals) {
        todo!()
    }

    /// Time passed: call it when [`Hub::poll_timeout`] is reached (calling it early does nothing).
    pub fn handle_timeout(&mut self, _now: Instant) {
        todo!()
    }

    /// The port is being removed or the daemon stops: nothing new is accepted, waiting asks are refused, and every client
    /// gets [`crate::CloseReason::Shutdown`] after what it is still owed. What is queued to the UART is still transmitted.
    pub fn shut_down(&mut self, _now: Instant) {
        todo!()
    }

    // --- a client spoke

    /// A new client. The first thing it is told is the device's state.
    pub fn attach(&mut self, _now: Instant, _attach: Attach) -> Attached {
        todo!()
    }

    /// The client left: its asks are cancelled and its lease is free; what it wrote is still written.
    pub fn detach(&mut self, _now: Instant, _client: ClientId) {
        todo!()
    }

    /// Queues bytes to the UART. All of them or none; never more than [`Hub::write_room`].
    /// On an exclusive port without a holder this takes the lease.
    ///
    /// # Errors
    /// The reason as a [`Refusal`]; nothing was queued then.
    pub fn write(&mut self, _now: Instant, _client: ClientId, _bytes: Bytes) -> Result<(), Refusal> {
        todo!()
    }

    /// Queues an ask. It ends in exactly one [`Notice::AskDone`], also when it is refused at once.
    pub fn ask(&mut self, _now: Instant, _client: ClientId, _ask: Ask) -> AskId {
        todo!()
    }

    /// Takes an ask back. It ends as `Cancelled`, unless it had ended already.
    pub fn cancel(&mut self, _now: Instant, _client: ClientId, _ask: AskId) {
        todo!()
    }

    /// Queues a control operation. It ends in exactly one [`Notice::ControlDone`], also when it is refused at once.
    pub fn control(&mut self, _now: Instant, _client: ClientId, _control: Control) -> ControlId {
        todo!()
    }

    /// Takes the write lease if it is free (or already yours).
    ///
    /// # Errors
    /// [`Refusal::Leased`], [`Refusal::NotExclusive`], [`Refusal::Access`], [`Refusal::ReadOnly`].
    pub fn take_lease(&mut self, _now: Instant, _client: ClientId) -> Result<(), Refusal> {
        todo!()
    }

    /// Takes the write lease, whoever has it. The loser is told.
    ///
    /// # Errors
    /// [`Refusal::NotExclusive`], [`Refusal::Access`] (it needs [`crate::Access::Admin`]), [`Refusal::ReadOnly`].
    pub fn steal_lease(&mut self, _now: Instant, _client: ClientId) -> Result<(), Refusal> {
        todo!()
    }

    /// Gives the lease back, if it is this client's.
    pub fn release_lease(&mut self, _now: Instant, _client: ClientId) {
        todo!()
    }

    // --- what to do now

    /// The next thing to tell this client; data in pieces of at most `limit` bytes (at least 1). `None`: nothing now, it
    /// will be woken.
    pub fn poll_notice(&mut self, _now: Instant, _client: ClientId, _limit: usize) -> Option<Notice> {
        todo!()
    }

    /// A client for which [`Hub::poll_notice`], or more [`Hub::write_room`] after it was refused as busy, has come since
    /// it last found none.
    pub fn poll_wake(&mut self) -> Option<ClientId> {
        todo!()
    }

    /// What the port's task should do to the device now. Each must be answered by [`Hub::handle_action_done`] before the
    /// next is given.
    pub fn poll_action(&mut self, _now: Instant) -> Option<Action> {
        todo!()
    }

    /// Bytes to give to the UART now (a cheap clone of what is queued). Ask again after [`Hub::handle_transmitted`].
    pub fn poll_transmit(&mut self, _now: Instant) -> Option<Bytes> {
        todo!()
    }

    /// When [`Hub::handle_timeout`] should be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }
}
