//! The messages of a session: control (JSON objects) and data (`<offset>:<bytes>`), to and from payloads.
//! Not frames; a WebSocket or MQTT carries the same payloads without them.
//!
//! A control message is a JSON object. The one key that names its kind also carries its main operand
//! (`{"ask":"board0","command":"LED ON","id":4}`); unknown other keys are ignored, a message without any known kind is an
//! error. Every request may carry an `id`, which its answer repeats.

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

/// A payload of a session, as a client sends it.
#[derive(Debug, Clone, PartialEq)]
pub enum FromClient {
    /// A request, with the id its answer repeats.
    Control(Request, Option<u64>),
    /// Bytes for the UART of the open port.
    Data {
        /// The client's own write offset of the first byte.
        offset: u64,
        /// The bytes.
        bytes: Bytes,
    },
}

/// A payload of a session, as a server sends it.
#[derive(Debug, Clone, PartialEq)]
pub enum FromServer {
    /// An answer, with the id of its request, or an event (no id).
    Control(Answer, Option<u64>),
    /// Bytes of the open port's UART.
    Data {
        /// The port's offset of the first byte.
        offset: u64,
        /// The bytes.
        bytes: Bytes,
    },
}

/// What a client can ask for; the kind key is the field named like the variant.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// `hello`: begins the session. It must be the first payload.
    Hello(Hello),
    /// `list`: the ports this client may see.
    List(List),
    /// `info`: everything about one port.
    Info(Info),
    /// `open`: read (and write) one port's stream on this connection. One port at a time.
    Open(Open),
    /// `close`: end that.
    Close(Close),
    /// `ask`: one command, one reply.
    Ask(Ask),
    /// `cancel`: take an ask back.
    Cancel(Cancel),
    /// `set`: change line settings.
    Set(Set),
    /// `signals`: drive DTR and RTS.
    Signals(Signals),
    /// `break`: hold TX at space.
    Break(Break),
    /// `purge`: throw queued bytes away.
    Purge(Purge),
    /// `run`: run a named sequence.
    Run(Run),
    /// `lease`: take, release or steal the write lease of the open port.
    Lease(Lease),
    /// `ping`: is anybody there.
    Ping(Ping),
}

/// What a server can say.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// `welcome`: the answer to hello.
    Welcome(Welcome),
    /// `ports`: the answer to list.
    Ports(Ports),
    /// `port`: the answer to info.
    Port(Box<PortInfo>),
    /// `opened`: the answer to open.
    Opened(Opened),
    /// `closed`: the answer to close.
    Closed(Closed),
    /// `reply`: the board's answer to an ask.
    Reply(Reply),
    /// `done`: the answer to set, signals, break, purge, run, lease, cancel.
    Done(Done),
    /// `pong`: the answer to ping.
    Pong(Pong),
    /// `error`: the answer to anything that was refused or failed.
    Error(ErrorAnswer),
    /// `event`: something happened.
    Event(Event),
}

/// `{"hello":"uartnet/1"}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The protocol, `uartnet/1`.
    pub hello: String,
    /// A credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The program that speaks, for the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

/// `{"list":"ports"}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// What to list; `ports` is all there is.
    pub list: String,
}

/// `{"info":"board0"}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// The port.
    pub info: String,
}

/// `{"open":"board0","mode":"write","from":"live"}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// The port.
    pub open: String,
    /// Whether the client means to write.
    #[serde(default)]
    pub mode: Mode,
    /// From where to read.
    #[serde(default)]
    pub from: StartAt,
    /// What to do when this client lags; absent: the port's setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_lag: Option<OnLag>,
    /// A name under which this client's write offset survives its connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer: Option<String>,
}

/// Whether an opened port is to be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Read only.
    #[default]
    Read,
    /// Read and write; on an exclusive port this takes the lease if it is free.
    Write,
}

/// From where to read: `"live"`, `"start"`, `{"last":1000}`, `{"at":{"offset":81920,"epoch":"…"}}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StartAt {
    /// What arrives from now on.
    #[default]
    Live,
    /// The oldest byte kept.
    Start,
    /// The newest `n` bytes kept.
    Last(u64),
    /// An offset.
    At {
        /// Of the first byte wanted.
        offset: u64,
        /// The epoch it was learnt in, 16 hex digits as in `opened`.
        epoch: String,
    },
}

/// What to do with a client that lags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnLag {
    /// The gateway chooses.
    Auto,
    /// Skip, and say what was missed.
    Gap,
    /// Cut the connection.
    Disconnect,
    /// Hold the board up for a while.
    Stall,
}

/// `{"close":"board0"}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Close {
    /// The port.
    pub close: String,
}

/// `{"ask":"board0","command":"LED ON","timeout_ms":2000}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The port; it need not be open.
    pub ask: String,
    /// The command, without its end of line.
    pub command: Blob,
    /// How long the reply may take, from the moment its turn comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// Bytes inside JSON: a string where they are UTF-8, else `{"hex":"00ff"}`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Blob(pub Bytes);

impl Serialize for Blob {
    fn serialize<S: serde::Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
        todo!()
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: serde::Deserializer<'de>>(_deserializer: D) -> Result<Blob, D::Error> {
        todo!()
    }
}

/// `{"cancel":4}`: the ask with this id. The ask's own answer then is the error `cancelled`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// The id of the ask.
    pub cancel: u64,
}

/// `{"set":"board0","line":"9600-8n1"}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Set {
    /// The port.
    pub set: String,
    /// The line settings wanted, as `uart-iface` writes them.
    pub line: String,
}

/// `{"signals":"board0","dtr":true,"rts":false}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signals {
    /// The port.
    pub signals: String,
    /// Data Terminal Ready; absent: as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtr: Option<bool>,
    /// Request To Send; absent: as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rts: Option<bool>,
}

/// `{"break":"board0","ms":250}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Break {
    /// The port.
    #[serde(rename = "break")]
    pub port: String,
    /// For how long, in milliseconds.
    pub ms: u64,
}

/// `{"purge":"board0","queues":"receive"}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purge {
    /// The port.
    pub purge: String,
    /// Which queues.
    pub queues: Queues,
}

/// Which queues to throw away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Queues {
    /// Received by the device, not yet read by the gateway.
    Receive,
    /// Not yet sent.
    Transmit,
    /// Both.
    Both,
}

/// `{"run":"board0","sequence":"reset"}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The port.
    pub run: String,
    /// The sequence's name.
    pub sequence: String,
}

/// `{"lease":"board0","action":"take"}`: of the open port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The port.
    pub lease: String,
    /// What to do with it.
    pub action: LeaseAction,
}

/// What to do with the write lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeaseAction {
    /// Take it if it is free.
    Take,
    /// Give it back.
    Release,
    /// Take it from whoever has it.
    Steal,
}

/// `{"ping":7}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// Any number; pong repeats it.
    pub ping: u64,
}

/// `{"welcome":"uartnet/1","gateway":"bench1","server":"uartd 0.1.0","epoch":"…"}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The protocol, `uartnet/1`.
    pub welcome: String,
    /// The gateway's name.
    pub gateway: String,
    /// The program that speaks.
    pub server: String,
    /// Which life of the daemon offsets belong to, 16 hex digits.
    pub epoch: String,
}

/// `{"ports":[…]}`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ports {
    /// Every port this client may see, in the order of the configuration.
    pub ports: Vec<PortSummary>,
}

/// One line of `uart ls`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortSummary {
    /// The port's name.
    pub name: String,
    /// What is behind it.
    pub device: String,
    /// `present` or `absent`.
    pub state: State,
    /// The line settings in force, or those it will be opened with.
    pub line: String,
    /// The interpreter profile: `none`, `line`, `prompt`, …
    pub profile: String,
    /// `shared`, `exclusive` or `none`.
    pub write: String,
    /// How many clients are attached.
    pub clients: u64,
}

/// Whether the device is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Opened.
    Present,
    /// Not there; the port waits for it.
    Absent,
}

/// `{"port":{…}}`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PortInfo {
    /// Everything about the port.
    pub port: PortDetails,
}

/// Everything about one port.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PortDetails {
    /// What `list` says of it.
    #[serde(flatten)]
    pub summary: PortSummary,
    /// Why the device is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent_reason: Option<String>,
    /// The output lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Outputs>,
    /// The input lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Inputs>,
    /// Which life of the daemon offsets belong to, 16 hex digits.
    pub epoch: String,
    /// The offset of the oldest byte kept.
    pub history_start: u64,
    /// The offset of the next byte; also the count of bytes received.
    pub history_end: u64,
    /// How many bytes are kept at most.
    pub history_size: u64,
    /// Who holds the write lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<String>,
    /// The sequences that can be run.
    pub sequences: Vec<String>,
    /// Whether the UART is not read now for a slow reader's sake.
    pub stalled: bool,
    /// Counters by name; which there are is in docs/wire.md.
    pub counters: std::collections::BTreeMap<String, u64>,
}

/// The lines the gateway drives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outputs {
    /// Data Terminal Ready.
    pub dtr: bool,
    /// Request To Send.
    pub rts: bool,
}

/// The lines the gateway observes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// Clear To Send.
    pub cts: bool,
    /// Data Set Ready.
    pub dsr: bool,
    /// Ring Indicator.
    pub ri: bool,
    /// Data Carrier Detect.
    pub dcd: bool,
}

/// `{"opened":"board0","epoch":"…","offset":81920,"end":90000,"write_offset":0}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// The port.
    pub opened: String,
    /// Which life of the daemon offsets belong to, 16 hex digits.
    pub epoch: String,
    /// The offset of the first byte that will be sent (or told as a gap).
    pub offset: u64,
    /// The offset of the next byte the UART will deliver.
    pub end: u64,
    /// The write offset this client's first data must carry.
    pub write_offset: u64,
}

/// `{"closed":"board0"}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// The port.
    pub closed: String,
}

/// `{"reply":"on","from":120,"to":131,"took_us":1804}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The board's answer, without echo, prompt and the last end of line.
    pub reply: Blob,
    /// The offset of the first byte looked at.
    pub from: u64,
    /// The first offset after the reply.
    pub to: u64,
    /// From the command's first byte to the reply's end, in microseconds.
    pub took_us: u64,
}

/// `{"done":"set","line":"9600-8n1"}`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Done {
    /// The kind of the request that was done.
    pub done: String,
    /// The line settings the hardware took (`set`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// The state of the output lines (`signals`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Outputs>,
}

/// `{"pong":7}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    /// The number of the ping.
    pub pong: u64,
}

/// `{"error":"timeout","message":"…"}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorAnswer {
    /// A stable code, see [`ErrorCode`].
    pub error: ErrorCode,
    /// A sentence for people.
    pub message: String,
    /// What had arrived before a `timeout` or `device-lost`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<Blob>,
}

/// The stable codes of errors. A client must expect codes it does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// A frame is broken; the connection closes.
    BadFrame,
    /// A payload is neither data nor a message, or a message has a wrong field.
    BadMessage,
    /// A control message of a kind this gateway does not know.
    UnknownMessage,
    /// The protocol of hello is not spoken here; the connection closes.
    Version,
    /// There is no such port (or this client may not know of it).
    UnknownPort,
    /// Something that needs an open port came without one, or a second open.
    NotOpen,
    /// Client data whose offset does not follow what was accepted.
    BadOffset,
    /// A queue is full.
    Busy,
    /// No whole reply in time.
    Timeout,
    /// The device is not there.
    Absent,
    /// The device vanished while it was being used.
    DeviceLost,
    /// The device cannot do that, or failed doing it.
    Device,
    /// The credential does not allow that.
    Forbidden,
    /// The port is read-only.
    ReadOnly,
    /// Somebody else holds the write lease.
    Leased,
    /// The port is shared; there is no lease to take.
    NotExclusive,
    /// The port has no interpreter profile, so it cannot be asked.
    NoProfile,
    /// The command, or the reply, cannot be what it is.
    BadCommand,
    /// The reply is larger than allowed.
    TooBig,
    /// There is no such sequence.
    NoSequence,
    /// The ask was taken back.
    Cancelled,
    /// The gateway stops.
    Shutdown,
    /// A code from a newer gateway.
    #[serde(other)]
    Unknown,
}

/// `{"event":"gap",…}`: something happened to the open port. Every event names the port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// Bytes this client will not get.
    Gap {
        /// The port.
        port: String,
        /// The first offset missed.
        from: u64,
        /// The first offset that follows.
        to: u64,
        /// Why: `lagged`, `expired`, or `new-epoch` (then how much is missing cannot be known).
        why: GapWhy,
    },
    /// The device came or went.
    State {
        /// The port.
        port: String,
        /// Whether it is there.
        state: State,
        /// Why it is absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// The line settings in force.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        line: Option<String>,
        /// The offset at which that was.
        at: u64,
        /// How often the device was lost in this epoch.
        losses: u64,
    },
    /// Line settings were changed.
    Line {
        /// The port.
        port: String,
        /// The settings in force.
        line: String,
    },
    /// Signals changed.
    Signals {
        /// The port.
        port: String,
        /// The output lines.
        outputs: Outputs,
        /// The input lines.
        inputs: Inputs,
    },
    /// Who may write changed.
    Lease {
        /// The port.
        port: String,
        /// Who holds it; absent: nobody.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        holder: Option<String>,
        /// Whether that is this client.
        yours: bool,
    },
    /// The UART has taken this client's bytes below this write offset.
    Written {
        /// The port.
        port: String,
        /// The write offset.
        offset: u64,
    },
    /// This client's bytes in this range will never reach the UART.
    WriteLost {
        /// The port.
        port: String,
        /// The first write offset lost.
        from: u64,
        /// The first that follows.
        to: u64,
        /// Why.
        reason: String,
    },
    /// The gateway has closed this port for this client.
    Closed {
        /// The port.
        port: String,
        /// Why: `lagged`, `shutdown`.
        reason: String,
    },
    /// An event from a newer gateway.
    #[serde(other)]
    Unknown,
}

/// Why bytes are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GapWhy {
    /// The client was slower than the history is long.
    Lagged,
    /// The offset asked for has left the history.
    Expired,
    /// The offset asked for belongs to an earlier life of the gateway.
    NewEpoch,
}

/// What is wrong with a payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Neither `{` nor a digit begins it.
    #[error("a payload must begin with \"{{\" (control) or a digit (data), not {found}")]
    NeitherControlNorData {
        /// The first byte, printable or as hex.
        found: String,
    },
    /// Data without an offset.
    #[error("data must begin with a decimal offset and \":\": {problem}")]
    BadOffset {
        /// What is wrong.
        problem: String,
    },
    /// Not JSON.
    #[error("control is not JSON: {problem}")]
    NotJson {
        /// The parser's words, with line and column.
        problem: String,
    },
    /// JSON of no known kind.
    #[error("no known message: none of its keys names one ({keys})")]
    UnknownKind {
        /// The keys it has.
        keys: String,
        /// The id it carried, for the answer.
        id: Option<u64>,
    },
    /// A known kind with a wrong or missing field.
    #[error("{kind}: {problem}")]
    BadField {
        /// The kind.
        kind: &'static str,
        /// The parser's words.
        problem: String,
        /// The id it carried, for the answer.
        id: Option<u64>,
    },
}

/// The kinds a client can send, in the order they are looked for.
pub const REQUEST_KINDS: &[&str] = &[
    "hello", "list", "info", "open", "close", "ask", "cancel", "set", "signals", "break", "purge", "run", "lease", "ping",
];

/// Whether the first payload of a connection begins a session: a JSON object with the key `hello`.
/// Everything else begins a plain conversation.
pub fn begins_session(_payload: &[u8]) -> bool {
    todo!()
}

impl FromClient {
    /// Understands a payload.
    ///
    /// # Errors
    /// [`MessageError`]; the connection can go on.
    pub fn decode(_payload: &Bytes) -> Result<FromClient, MessageError> {
        todo!()
    }

    /// Appends the payload (without its frame).
    pub fn encode(&self, _out: &mut BytesMut) {
        todo!()
    }
}

impl FromServer {
    /// Understands a payload.
    ///
    /// # Errors
    /// [`MessageError`]; the connection can go on.
    pub fn decode(_payload: &Bytes) -> Result<FromServer, MessageError> {
        todo!()
    }

    /// Appends the payload (without its frame).
    pub fn encode(&self, _out: &mut BytesMut) {
        todo!()
    }
}

/// Appends the header of a data payload, `<offset>:`; the bytes follow it. For senders that frame shared bytes without
/// copying them into a payload first.
pub fn data_header(_offset: u64, _out: &mut BytesMut) {
    todo!()
}
