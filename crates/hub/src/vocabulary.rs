//! The words the hub is spoken to in: identities, offsets, requests, notices and refusals.
//! Not behaviour; that is in the other modules.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uart_iface::{InputSignals, LineSettings, OutputSignals};

use crate::slots::{Identity, slot};

/// The absolute index of a byte received from the UART since the port's epoch began. The first byte is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(pub u64);

/// Which life of the daemon offsets belong to. A new one begins with every start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

/// One client of one port, from attach to detach. Never used again within an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

impl ClientId {
    /// A small number that no other client has which is attached to the port at the same time, for tables of clients.
    pub fn slot(self) -> usize {
        slot(self.0)
    }
}

impl Identity for ClientId {
    fn new(number: u64) -> ClientId {
        ClientId(number)
    }

    fn number(self) -> u64 {
        self.0
    }
}

/// One ask of one port. Never used again within an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u64);

/// One control operation of one port. Never used again within an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ControlId(pub u64);

/// What a credential allows on this port. Each level includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// Watch.
    Read,
    /// Write, ask, and control.
    Write,
    /// Steal somebody's lease.
    Admin,
}

/// Who may write to a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum WritePolicy {
    /// Everybody with [`Access::Write`]; writes interleave with each other, never inside one.
    #[default]
    Shared,
    /// Whoever holds the one lease.
    Exclusive,
    /// Nobody.
    None,
}

/// From where a new reader reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ReadFrom {
    /// What arrives from now on.
    #[default]
    Live,
    /// The oldest byte kept.
    Start,
    /// The newest `n` bytes kept.
    Last(u64),
    /// An offset. If it belongs to another epoch, the reader starts at the oldest byte kept and is told so by a
    /// [`GapWhy::NewEpoch`]. One that is not reached yet is clamped to the end.
    At {
        /// The offset of the first byte wanted.
        offset: Offset,
        /// The epoch the offset was learnt in.
        epoch: Epoch,
    },
}

/// What to do with a reader whose next byte is about to fall out of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnLag {
    /// Stall where the UART can be paused without loss, else gap or disconnect.
    #[default]
    Auto,
    /// Skip, and say exactly which offsets were missed.
    Gap,
    /// Cut the reader off.
    Disconnect,
    /// Pause reading the UART, as long as the laggard makes progress and at most [`crate::HubConfig::stall_limit`];
    /// then gap or disconnect.
    Stall,
}

/// What becomes of writes that wait in the queue when the device is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnLoss {
    /// They are lost, and told as lost: what was meant for one device does not reach the next.
    #[default]
    Discard,
    /// They wait for the device that comes next.
    Keep,
}

/// A client that wants to be one.
#[derive(Debug, Clone)]
pub struct Attach {
    /// Who it is, for logs and for other clients' refusals (`leased by 127.0.0.1:5122`).
    pub label: Arc<str>,
    /// What it may do.
    pub access: Access,
    /// From where it wants to read; `None` for a client that only asks and writes.
    pub read: Option<ReadFrom>,
    /// What happens when it lags. `None`: the port's own setting.
    pub on_lag: Option<OnLag>,
    /// Whether its protocol can carry a gap. If not, a gap becomes a disconnect.
    pub can_carry_gap: bool,
    /// A name under which its write offset survives its connection (1 to 160 bytes). `None`: it begins at 0.
    pub writer: Option<String>,
}

/// What a client finds when it has attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Its identity from now on.
    pub client: ClientId,
    /// The offset of the first byte it will be given (or told as a gap).
    pub offset: Offset,
    /// The offset of the next byte that will arrive.
    pub end: Offset,
    /// Its next write offset: everything below was accepted under this writer's name before.
    pub write_offset: u64,
}

/// Whether the UART is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceState {
    /// Opened; `line` and the signals are what the hardware took.
    Present {
        /// The line settings in force.
        line: LineSettings,
        /// The lines we drive.
        outputs: OutputSignals,
        /// The lines we observe.
        inputs: InputSignals,
    },
    /// Not there; the port waits for it.
    Absent {
        /// Why, as a sentence.
        reason: String,
    },
}

/// What a client is told, in this order of precedence: ends of its own asks and controls, state, then data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Bytes from the UART.
    Data {
        /// The offset of the first of them.
        offset: Offset,
        /// The bytes, shared with the history.
        bytes: Bytes,
    },
    /// Bytes this reader will not get.
    Gap {
        /// The first offset missed.
        from: Offset,
        /// The first offset that follows (`to - from` bytes are missing; unknown for a new epoch).
        to: Offset,
        /// Why.
        why: GapWhy,
    },
    /// The device came or went. Only the newest state is told; `losses` shows whether some were skipped.
    State {
        /// The state now.
        state: DeviceState,
        /// The offset at which that was.
        at: Offset,
        /// How often the device was lost in this epoch.
        losses: u64,
    },
    /// Line settings were changed (by anybody).
    Line(LineSettings),
    /// Signals changed.
    Signals {
        /// The lines we drive.
        outputs: OutputSignals,
        /// The lines we observe.
        inputs: InputSignals,
    },
    /// Receive errors or a break happened since this was last told; only clients that asked for it
    /// ([`crate::Hub::watch_errors`]) are told.
    Errors(ReceiveErrors),
    /// Who may write changed: `None` is nobody, the flag says whether the holder is this client.
    Lease {
        /// The label of the holder.
        holder: Option<String>,
        /// Whether that is you.
        yours: bool,
    },
    /// This client's typing and somebody's ask are in each other's way, for longer than a moment; or are no more.
    AskTurn(AskTurn),
    /// This client's own bytes below this write offset have been taken by the UART, but for those told as lost.
    Written {
        /// The write offset reached.
        up_to: u64,
    },
    /// This client's own bytes in this range will never reach the UART.
    WriteLost {
        /// The first write offset lost.
        from: u64,
        /// The first that follows.
        to: u64,
        /// Why, as a sentence.
        reason: String,
    },
    /// An ask of this client ended.
    AskDone {
        /// Which.
        ask: AskId,
        /// How.
        outcome: AskOutcome,
    },
    /// A control operation of this client ended.
    ControlDone {
        /// Which.
        control: ControlId,
        /// How.
        result: Result<crate::ActionDone, crate::ControlError>,
        /// When the steps of a sequence were done, as far as it came; else empty.
        steps: Vec<crate::StepTime>,
    },
    /// The hub has cut this client off; nothing more will come.
    Closed(CloseReason),
}

/// Who waits for whom, where a client types and another one asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskTurn {
    /// An ask waits until this client has ended the line it is typing, or has typed nothing for the hold time.
    Waits {
        /// The label of who asks.
        whose: String,
        /// The hold time.
        hold: Duration,
    },
    /// What this client has typed waits for the end of an ask.
    Runs {
        /// The label of who asks.
        whose: String,
    },
    /// Nobody waits any more.
    Over,
}

/// What went wrong on the line, or was seen on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ReceiveErrors {
    /// A stop bit was not where it had to be.
    pub framing: bool,
    /// A parity bit was wrong.
    pub parity: bool,
    /// Characters were lost before the gateway could read them.
    pub overrun: bool,
    /// A break condition was received.
    pub break_seen: bool,
}

impl ReceiveErrors {
    /// Whatever is in either.
    #[must_use]
    pub fn or(self, other: ReceiveErrors) -> ReceiveErrors {
        ReceiveErrors {
            framing: self.framing || other.framing,
            parity: self.parity || other.parity,
            overrun: self.overrun || other.overrun,
            break_seen: self.break_seen || other.break_seen,
        }
    }
}

/// Why bytes are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GapWhy {
    /// The reader was slower than the history is long.
    Lagged,
    /// The offset asked for has left the history.
    Expired,
    /// The offset asked for belongs to an earlier life of the daemon; how much is missing cannot be known.
    NewEpoch,
}

/// Why the hub cut a client off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseReason {
    /// It lagged, and gaps are not for it.
    Lagged {
        /// The first offset it did not get.
        from: Offset,
        /// The oldest byte kept.
        to: Offset,
    },
    /// It left so much unread (answers, replies, losses) that keeping it would cost others.
    Unread {
        /// How many notices it left; they are gone, ends of asks and control operations among them.
        notices: usize,
    },
    /// The daemon stops, or has asked this client to leave.
    Shutdown,
    /// The port is being removed.
    Removed,
}

/// One command, and how to know its reply.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The command without its end of line (the profile adds it).
    pub command: Bytes,
    /// How to talk to the interpreter. `None`: the port's profile.
    pub profile: Option<crate::Profile>,
    /// How long the reply may take, from the moment its turn comes; at most [`LONGEST_TIMEOUT`]. `None`: the profile's.
    pub timeout: Option<Duration>,
    /// How long it may wait for its turn while others have theirs; at most [`LONGEST_TIMEOUT`]. `None`: the port's setting.
    pub wait: Option<Duration>,
}

/// The longest timeout of an ask, and the longest wait for its turn: nobody else can write while it runs, so a typing error should not take a day.
pub const LONGEST_TIMEOUT: Duration = Duration::from_secs(3600);

/// The one end every ask has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskOutcome {
    /// The reply, without echo, prompt and the last end of line. Under [`crate::ReplyEnd::None`] it is empty and means
    /// that the command was written.
    Reply {
        /// The reply's bytes.
        reply: Bytes,
        /// Lines that no command asked for, each with CR LF, where the profile can tell.
        unsolicited: Bytes,
        /// The first offset looked at.
        from: Offset,
        /// The first offset after the reply (prompt included).
        to: Offset,
        /// From the first byte of the command given to the UART to the end of the reply.
        took: Duration,
    },
    /// A whole reply that is the board's error, by the profile.
    BoardError(Box<BoardError>),
    /// No end of reply in time.
    TimedOut {
        /// What had arrived (without echo).
        partial: Bytes,
        /// How long it was given.
        after: Duration,
    },
    /// The device vanished before the reply was whole.
    DeviceLost {
        /// What had arrived.
        partial: Bytes,
        /// Why, as a sentence.
        reason: String,
    },
    /// It was never written.
    Refused(Refusal),
    /// The reply outgrew [`crate::Profile::max_reply`].
    TooBig {
        /// The bound, in bytes.
        limit: usize,
    },
    /// The client took it back, or left.
    Cancelled,
}

/// What a board says when it refuses a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoardError {
    /// What the board said.
    pub words: Bytes,
    /// The same, for people.
    pub sentence: String,
    /// What it had said before those words, where the profile can tell.
    pub before: Bytes,
    /// As in [`AskOutcome::Reply`].
    pub unsolicited: Bytes,
    /// The first offset looked at.
    pub from: Offset,
    /// The first offset after the board's words (prompt included).
    pub to: Offset,
    /// From the first byte of the command given to the UART to the end of the board's words.
    pub took: Duration,
}

/// Why a write, an ask or a control operation was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The credential allows less.
    #[error("this needs {needed} access, and this client has {has} access")]
    Access {
        /// What it takes.
        needed: Access,
        /// What the client has.
        has: Access,
    },
    /// The port is `write = "none"`.
    #[error("this port is read-only")]
    ReadOnly,
    /// Somebody else has the lease.
    #[error("{holder} holds the write lease")]
    Leased {
        /// The label of the holder.
        holder: String,
    },
    /// A newer client writes under this client's name, and goes on where the bytes accepted so far end.
    #[error("a newer client goes on under this writer's name")]
    TakenOver,
    /// A lease was asked for on a port that has none.
    #[error("this port is shared, it has no lease")]
    NotExclusive,
    /// The device is not there.
    #[error("the device is absent: {reason}")]
    Absent {
        /// Why, as a sentence.
        reason: String,
    },
    /// A queue is full.
    #[error("busy: {queued} of {limit} {what} are queued; try again in a moment")]
    Busy {
        /// What is queued: `asks`, `bytes`, `control operations`.
        what: &'static str,
        /// How many.
        queued: usize,
        /// How many may be.
        limit: usize,
    },
    /// The turn of an ask did not come in time.
    #[error("its turn did not come within {}: {holdup}; nothing was written", humantime::format_duration(*.waited))]
    Waited {
        /// How long it waited.
        waited: Duration,
        /// What it waited for.
        holdup: String,
    },
    /// The port has no interpreter profile, so there is no telling where a reply ends.
    #[error("this port has no interpreter profile")]
    NoProfile,
    /// The command is none for this interpreter.
    #[error(transparent)]
    Command(#[from] uartnet_interpreter::CommandError),
    /// The sequence asked for is not configured.
    #[error("there is no sequence \"{name}\"")]
    NoSequence {
        /// The name asked for.
        name: String,
    },
    /// It would hold the port for too long.
    #[error("{what} of {asked:?} is too long, {limit:?} is the longest")]
    TooLong {
        /// What was asked for, e.g. `a break`.
        what: &'static str,
        /// For how long.
        asked: Duration,
        /// The longest there is.
        limit: Duration,
    },
    /// The client was cut off or has left.
    #[error("this client is not attached any more")]
    NotAttached,
    /// The daemon stops.
    #[error("the gateway is stopping")]
    Shutdown,
    /// The port is being removed.
    #[error("this port was taken out of the configuration")]
    Removed,
}

/// Everything countable about a port, for `info`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubInfo {
    /// The device's state.
    pub state: DeviceState,
    /// The epoch offsets belong to.
    pub epoch: Epoch,
    /// The oldest byte kept.
    pub start: Offset,
    /// The next byte that will arrive; this is also the count of bytes received.
    pub end: Offset,
    /// How many bytes the history may hold.
    pub history: usize,
    /// Who may write.
    pub write: WritePolicy,
    /// The label of the lease's holder.
    pub lease: Option<String>,
    /// Clients attached.
    pub clients: usize,
    /// Of them, readers.
    pub readers: usize,
    /// Whether the UART is not being read for a laggard's sake.
    pub stalled: bool,
    /// What happened so far.
    pub counters: Counters,
    /// Bytes accepted and not yet taken by the UART.
    pub write_queue: usize,
    /// Asks waiting or running.
    pub asks_queued: usize,
}

/// What happened so far in this epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Bytes taken by the UART.
    pub bytes_written: u64,
    /// Bytes accepted that never reached the UART.
    pub bytes_write_lost: u64,
    /// Times the device was lost.
    pub device_losses: u64,
    /// Times it came back after that.
    pub device_returns: u64,
    /// Gaps told to readers.
    pub gaps: u64,
    /// Bytes those gaps held.
    pub gap_bytes: u64,
    /// Readers cut off for lagging.
    pub cuts: u64,
    /// Asks that ended with a reply.
    pub asks_replied: u64,
    /// Asks that timed out.
    pub asks_timed_out: u64,
    /// Asks that ended with the board's error.
    pub asks_board_error: u64,
    /// Asks that ended in any other way: the sum of those that follow.
    pub asks_failed: u64,
    /// Asks during which the device vanished.
    pub asks_device_lost: u64,
    /// Asks that were never written.
    pub asks_refused: u64,
    /// Asks whose reply was too big.
    pub asks_too_big: u64,
    /// Asks that were taken back, or whose client left.
    pub asks_cancelled: u64,
}

impl Counters {
    /// An ask ended.
    pub(crate) fn count_ask(&mut self, outcome: &AskOutcome) {
        let counter = match outcome {
            AskOutcome::Reply { .. } => return self.asks_replied += 1,
            AskOutcome::BoardError(_) => return self.asks_board_error += 1,
            AskOutcome::TimedOut { .. } => return self.asks_timed_out += 1,
            AskOutcome::DeviceLost { .. } => &mut self.asks_device_lost,
            AskOutcome::Refused(_) => &mut self.asks_refused,
            AskOutcome::TooBig { .. } => &mut self.asks_too_big,
            AskOutcome::Cancelled => &mut self.asks_cancelled,
        };
        *counter += 1;
        self.asks_failed += 1;
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Access::Read => "read",
            Access::Write => "write",
            Access::Admin => "admin",
        })
    }
}
