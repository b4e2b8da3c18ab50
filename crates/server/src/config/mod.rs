//! What the daemon may assume: the checked configuration. Where it comes from is in `load`; what a file may say is in
//! `raw`; how one becomes the other, with errors that name file, line and column, is in `check`.

mod argument;
mod check;
mod identity;
mod interpreter;
mod limits;
mod load;
mod log;
mod problem;
mod raw;
mod summary;
mod values;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use uart_iface::backend::{self, Device};
use uart_iface::{LineSettings, PortName, SpecError};
use uartnet_hub::{Access, HubConfig, ReadFrom};

use crate::access::{Allowed, AuditTo, Holders};
use crate::endpoint::EndpointKind;
use crate::log::Keep;
use crate::tls::TlsFiles;

pub(crate) use argument::SETTINGS;
pub(crate) use check::collide;
pub use load::{Assumed, DEFAULT_LISTENER, DEFAULT_PORT, Given, Loaded, load};
pub use problem::{ConfigError, Problems};

/// Everything `uartd` needs to start.
#[derive(Debug, Clone)]
pub struct Config {
    /// The daemon as a whole.
    pub gateway: GatewayConfig,
    /// At least one port; names are unique.
    pub ports: Vec<PortConfig>,
    /// At least one listener; the ports they name exist.
    pub listeners: Vec<Arc<ListenerConfig>>,
    /// Who is known by a certificate.
    pub holders: Arc<Holders>,
}

/// The daemon as a whole.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// Its name, as clients see it. The default: the host's name.
    pub name: String,
    /// How long a graceful stop may take before what is left is cut. The default: 5 s.
    pub drain: Duration,
    /// How many connections may be open at once, over all listeners. The default: 4096.
    pub max_connections: usize,
    /// How many of them one address may have. `None`, the default: 1024, and those of this machine any number.
    pub max_connections_per_peer: Option<usize>,
    /// Within what time it is noticed that a client's machine has vanished. The default: 90 s.
    pub dead_peer: Duration,
    /// The largest frame accepted, in bytes. The default: 65,536.
    pub max_frame: usize,
    /// The file of tokens. The default: [`crate::access::default_path`].
    pub tokens: Option<PathBuf>,
    /// Where the audit log goes. The default: nowhere.
    pub audit: AuditTo,
    /// How long a client that must say who it is has to do so. The default: 10 s.
    pub hello_timeout: Duration,
    /// How many such clients there may be at once, over all listeners. The default: 256.
    pub max_unauthenticated: usize,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        GatewayConfig {
            name: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
            drain: limits::DRAIN.default,
            max_connections: limits::MAX_CONNECTIONS.default,
            max_connections_per_peer: None,
            dead_peer: limits::DEAD_PEER.default,
            max_frame: limits::MAX_FRAME.default,
            tokens: crate::access::default_path(),
            audit: AuditTo::default(),
            hello_timeout: limits::HELLO_TIMEOUT.default,
            max_unauthenticated: limits::MAX_UNAUTHENTICATED.default,
        }
    }
}

/// One port.
#[derive(Debug, Clone)]
pub struct PortConfig {
    /// Its name.
    pub name: PortName,
    /// What is behind it.
    pub device: DeviceSpec,
    /// The settings it is opened with.
    pub line: LineSettings,
    /// How it is shared; ports that are shared alike have one of these together.
    pub hub: Arc<HubConfig>,
    /// What is written to files of what happens to it; no two logs of a configuration have the same file.
    pub logs: Vec<LogConfig>,
}

/// A durable log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// The newest file.
    pub path: PathBuf,
    /// How it is written.
    pub format: LogFormat,
    /// What is written.
    pub what: WhatToLog,
    /// The largest a file may become, in bytes.
    pub rotate_size: u64,
    /// How old a file may become. `None`: that does not matter.
    pub rotate_age: Option<Duration>,
    /// Which old files are kept.
    pub keep: Keep,
    /// When what was written must be on the disk.
    pub sync: Sync,
    /// Who may read the files, as in chmod.
    pub mode: u32,
}

/// How a log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// A record a line, readable by people and by `uart log`, without loss.
    Text,
    /// The received bytes and nothing else.
    Raw,
    /// What `asciinema` plays.
    Asciicast,
}

/// What is written into a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhatToLog {
    /// What was received, and events.
    Received,
    /// What was sent, too.
    All,
}

/// When what was written must be on the disk, so that a loss of power does not lose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// When the operating system likes.
    Never,
    /// At most this long after it was written.
    Every(Duration),
    /// At once.
    Always,
}

/// One listener.
#[derive(Clone)]
pub struct ListenerConfig {
    /// The protocol it speaks.
    pub endpoint: &'static dyn EndpointKind,
    /// Where it listens.
    pub address: ListenAddress,
    /// The port that a single-port protocol, or a plain conversation, speaks to.
    pub port: Option<PortName>,
    /// With which files it speaks TLS; `None`: in the clear.
    pub tls: Option<TlsFiles>,
    /// `insecure = true` was written out.
    pub insecure: bool,
    /// What clients without a credential may do, on every port, or those with a certificate of no identity where one is
    /// asked for; `None`: they must have one.
    pub access: Option<Access>,
    /// From which addresses they may come; a Unix socket has none.
    pub allowed: Allowed,
    /// What the listener of a stream of bytes may be told besides.
    pub stream: StreamOptions,
}

/// What the listener of a stream of bytes (`raw`, `rfc2217`) may be told; other endpoints have no use for it.
#[derive(Debug, Clone, Default)]
pub struct StreamOptions {
    /// From where a new client reads.
    pub from: ReadFrom,
    /// What happens to a client while the device is absent.
    pub when_absent: WhenAbsent,
    /// Said to each new client before anything else. The default: nothing, since it is not UART data.
    pub banner: Option<Arc<String>>,
}

/// What happens to a client while the device is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenAbsent {
    /// It is held, and served when the device returns; what it sends meanwhile waits.
    #[default]
    Hold,
    /// Its connection is closed.
    Refuse,
}

/// Where a listener listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// TCP. Port 0: the system chooses, and the `listening` line tells.
    Tcp(SocketAddr),
    /// `unix:PATH`.
    Unix(PathBuf),
}

/// A device spec that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceSpec(Arc<str>);

impl ListenAddress {
    /// `IP:PORT`, `:PORT` or `unix:PATH`.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub fn parse(text: &str) -> Result<ListenAddress, String> {
        values::address(text).map_err(|wrong| format!("{}; {}", wrong.message, wrong.help))
    }
}

impl DeviceSpec {
    /// Checks that the spec can be understood; whether the device is there is not asked.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub fn parse(spec: &str) -> Result<DeviceSpec, SpecError> {
        backend::parse_device(spec).map(|_| DeviceSpec(spec.into()))
    }

    /// The device it names.
    ///
    /// # Errors
    /// None in practice: the spec was understood before.
    pub fn device(&self) -> Result<Box<dyn Device>, SpecError> {
        backend::parse_device(&self.0)
    }

    /// The spec as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same, shared.
    pub(crate) fn text(&self) -> Arc<str> {
        self.0.clone()
    }
}

impl fmt::Debug for ListenerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerConfig")
            .field("endpoint", &self.endpoint.name())
            .field("address", &self.address)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .field("insecure", &self.insecure)
            .field("access", &self.access)
            .field("allowed", &self.allowed)
            .field("stream", &self.stream)
            .finish()
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Tcp(address) => address.fmt(f),
            ListenAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
