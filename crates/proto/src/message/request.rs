//! What a client can ask for. Not how a request is carried out, and not the bytes it writes; those are data.

use serde::{Deserialize, Serialize};

use super::{Blob, Secret, kinds};

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
    /// `reload`: read the configuration again.
    Reload(Reload),
    /// `ping`: is anybody there.
    Ping(Ping),
    /// `log`: what was written down of a port.
    Log(Log),
    /// `status`: the gateway as a whole.
    Status(Status),
}

kinds! {
    /// The kinds a client can send. A request has exactly one of them as a key.
    pub const REQUEST_KINDS of Request:
    "hello" => Hello,
    "list" => List,
    "info" => Info,
    "open" => Open,
    "close" => Close,
    "ask" => Ask,
    "cancel" => Cancel,
    "set" => Set,
    "signals" => Signals,
    "break" => Break,
    "purge" => Purge,
    "run" => Run,
    "lease" => Lease,
    "reload" => Reload,
    "ping" => Ping,
    "log" => Log,
    "status" => Status,
}

/// `{"hello":"uartnet/1"}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The protocol, `uartnet/1`.
    pub hello: String,
    /// A credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
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
    /// How long it may wait for its turn while others have theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}

/// `{"cancel":4}`: the ask with this id. The ask's own answer then is the error `cancelled`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// The id of the ask.
    pub cancel: u64,
}

/// `{"set":"board0","line":"9600-8n1"}`, `{"set":"board0","line":"9600-8n1","hold":true}`, `{"set":"board0","hold":false}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Set {
    /// The port.
    pub set: String,
    /// The line settings wanted, as `uart-iface` writes them; empty where they are given back.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub line: String,
    /// `true`: they last as long as this session wants them. `false`: it does not want them any more. Absent: they stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<bool>,
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

/// `{"reload":"config"}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reload {
    /// What to read again; `config` is all there is.
    pub reload: String,
}

/// `{"ping":7}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// Any number; pong repeats it.
    pub ping: u64,
}

/// `{"log":"board0","since":"10m"}`: one page of the port's log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Log {
    /// The port; it need not be open.
    pub log: String,
    /// Nothing from before: a time in RFC 3339, or how long ago (`10m`) by the gateway's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Nothing from then on; in the same forms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// On from here: `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Nothing from here on: `end` of an earlier page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// `{"status":"gateway"}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Of what; `gateway` is all there is.
    pub status: String,
}
