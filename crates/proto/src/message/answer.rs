//! What a server can say: answers to requests. What it says unasked is in `event`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Blob, ErrorCode, Event, kinds};

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
    /// `reloaded`: the answer to reload.
    Reloaded(Reloaded),
    /// `pong`: the answer to ping.
    Pong(Pong),
    /// `error`: the answer to anything that was refused or failed.
    Error(ErrorAnswer),
    /// `event`: something happened.
    Event(Event),
    /// `records`: the answer to log.
    Records(Records),
    /// `status`: the answer to status.
    Status(Box<StatusAnswer>),
}

kinds! {
    /// The kinds a server can send, in the order they are looked for: `event` first, because events have a field `port`.
    pub const ANSWER_KINDS of Answer:
    "event" => Event,
    "welcome" => Welcome,
    "ports" => Ports,
    "port" => Port,
    "opened" => Opened,
    "closed" => Closed,
    "reply" => Reply,
    "done" => Done,
    "reloaded" => Reloaded,
    "pong" => Pong,
    "error" => Error,
    "records" => Records,
    "status" => Status,
}

/// `{"welcome":"uartnet/1","gateway":"bench1","server":"uartd 0.1.0","epoch":"…","max_frame":65536}`
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
    /// The longest frame either side may send on this connection, in bytes, prefix included.
    pub max_frame: u64,
    /// The name of the credential that was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
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
    /// Their steps, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sequence_steps: BTreeMap<String, Vec<String>>,
    /// Whether the UART is not read now for a slow reader's sake.
    pub stalled: bool,
    /// Counters by name; which there are is in docs/wire.md.
    pub counters: BTreeMap<String, u64>,
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
    /// Lines the board sent meanwhile that are not the command's, where the profile can tell (`at`), each with its CR LF.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsolicited: Option<Blob>,
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
    /// When the steps were done (`run`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepTime>,
}

/// `{"step":"rts=off","at_us":100012,"took_us":41}`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StepTime {
    /// The step, as it is written.
    pub step: String,
    /// When it began, in microseconds since the sequence began.
    pub at_us: u64,
    /// How long it took, in microseconds.
    pub took_us: u64,
}

/// `{"reloaded":["port board0 changed: write"]}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// What has changed, one sentence each; empty: nothing.
    pub reloaded: Vec<String>,
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
    /// What had arrived before a `timeout` or `device-lost`; what the board said before the words of a `board-error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<Blob>,
    /// The board's own words (`board-error`). They are not called `reply`, because that names another kind of message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<Blob>,
    /// The offset of the first byte looked at (`board-error`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// The first offset after the board's words (`board-error`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// From the command's first byte to the end of the board's words, in microseconds (`board-error`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_us: Option<u64>,
    /// As in [`Reply::unsolicited`] (`board-error`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsolicited: Option<Blob>,
    /// The write offset the next data must carry, where data was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_offset: Option<u64>,
}

impl ErrorAnswer {
    /// A code and a sentence, and nothing else.
    pub fn new(error: ErrorCode, message: impl Into<String>) -> ErrorAnswer {
        ErrorAnswer {
            error,
            message: message.into(),
            partial: None,
            words: None,
            from: None,
            to: None,
            took_us: None,
            unsolicited: None,
            write_offset: None,
        }
    }
}

/// `{"records":[…],"next":"3:8192","more":false}`
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Records {
    /// In the order they were written.
    pub records: Vec<LogRecord>,
    /// Where the next page begins.
    pub next: String,
    /// Where the log ended when this page was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// Whether there is more already.
    #[serde(default)]
    pub more: bool,
    /// Records that stood where this page should begin have been deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skipped: bool,
}

/// One record of a log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogRecord {
    /// When, RFC 3339 in UTC with microseconds.
    pub time: String,
    /// Of received bytes and events, the offset among what was received; of sent bytes, that among what was sent.
    pub offset: u64,
    /// What.
    #[serde(flatten)]
    pub content: LogContent,
}

/// What a record of a log says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogContent {
    /// Bytes from the UART.
    Received(Blob),
    /// Bytes for the UART.
    Sent(Blob),
    /// Something happened: an object with the key `event`, see docs/logs.md.
    Event(Value),
}

/// `{"status":{…}}`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusAnswer {
    /// The gateway.
    pub status: GatewayStatus,
}

/// The gateway as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GatewayStatus {
    /// Its name.
    pub name: String,
    /// The program that speaks.
    pub server: String,
    /// Which life of the daemon offsets belong to, 16 hex digits.
    pub epoch: String,
    /// How long it has lived, in seconds.
    pub uptime_s: u64,
    /// How many ports this client may see.
    pub ports: u64,
    /// How many of them are present.
    pub present: u64,
    /// Counters by name; which there are is in docs/wire.md.
    pub counters: BTreeMap<String, u64>,
}
