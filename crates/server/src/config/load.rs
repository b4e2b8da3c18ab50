//! Where a configuration comes from: a file, the command line, and what is assumed when neither says anything.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::argument::OfEveryListener;
use super::check::{self, Everything, From};
use super::problem::{ConfigError, Place, Report, Source, Wrong};
use super::{Config, ListenAddress, argument, limits, raw};

/// The port that is there when none is given.
pub const DEFAULT_PORT: &str = "sim0=sim:interpreter";

/// The listener that is there when none is given.
pub const DEFAULT_LISTENER: &str = "uartnet=127.0.0.1:8000";

/// What the user gave to configure the daemon with.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// `--config FILE`.
    pub file: Option<PathBuf>,
    /// `--name NAME`.
    pub name: Option<String>,
    /// `--tokens PATH`.
    pub tokens: Option<PathBuf>,
    /// Each `--listen PROTO=ADDR[,PORT]`; they add to the file's.
    pub listen: Vec<String>,
    /// `--tls`, for each `--listen`.
    pub tls: bool,
    /// `--insecure`, for each `--listen`.
    pub insecure: bool,
    /// Each `NAME=DEVICE[,SETTINGS]`; they add to the file's.
    pub ports: Vec<String>,
}

/// A configuration, and what in it was assumed.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What the daemon is started with.
    pub config: Config,
    /// What nobody said.
    pub assumed: Assumed,
}

/// What was assumed where nothing was said.
#[derive(Debug, Clone, Copy)]
pub struct Assumed {
    /// No port was given, so there is [`DEFAULT_PORT`].
    pub default_port: bool,
    /// No listener was given, so there is [`DEFAULT_LISTENER`].
    pub default_listener: bool,
}

impl Assumed {
    /// For the person who started the daemon. Empty if everything was said.
    pub fn told(&self) -> String {
        let mut text = String::new();
        if self.default_port {
            text.push_str(&format!(
                "uartd: no port given, so this serves a simulated board: {DEFAULT_PORT}\n"
            ));
        }
        if self.default_listener {
            text.push_str(&format!(
                "uartd: no listener given, so this listens on {DEFAULT_LISTENER}\n"
            ));
        }
        text
    }

    /// What to type next, for the person who wanted to see something work, where this listener has come up.
    pub fn next_step(&self, protocol: &str, address: &ListenAddress) -> Option<String> {
        if !self.default_port || protocol != "uartnet" {
            return None;
        }
        // What `uart` assumes by itself need not be typed.
        let gateway = match address.to_string() {
            address if DEFAULT_LISTENER == format!("uartnet={address}") => String::new(),
            address => format!("--gateway {address} "),
        };
        Some(format!(
            "Now type, in another terminal:\n    \
             uart {gateway}ask sim0 \"LED ON\"\n    \
             uart {gateway}attach sim0\n\
             For a real board: uartd board0=/dev/ttyUSB0 (\"uartd devices\" lists what is there)\n"
        ))
    }
}

/// Reads and checks everything that was given.
///
/// # Errors
/// Everything that is wrong with it, each with its place.
pub fn load(given: &Given) -> Result<Loaded, ConfigError> {
    let default_port = given.file.is_none() && given.ports.is_empty();
    let port_arguments = arguments(
        "argument",
        &given.ports,
        default_port.then_some(DEFAULT_PORT),
    );
    let name_argument = arguments("--name", given.name.as_slice(), None);

    let file = given.file.as_deref().map(read_file).transpose()?;
    let mut report = Report::default();
    let raw = file
        .as_ref()
        .map(|file| raw::read(file, &mut report))
        .unwrap_or_default();

    let default_listener = given.listen.is_empty() && raw.listeners.is_empty();
    let listen_arguments = arguments(
        "--listen",
        &given.listen,
        default_listener.then_some(DEFAULT_LISTENER),
    );

    let mut everything = Everything {
        tokens: given.tokens.as_deref(),
        gateway: Vec::new(),
        ports: Vec::new(),
        listeners: Vec::new(),
        identities: Vec::new(),
    };
    if let Some(source) = &file {
        everything
            .gateway
            .extend(raw.gateway.map(|raw| From { source, raw }));
        everything
            .ports
            .extend(raw.ports.into_iter().map(|raw| From { source, raw }));
        everything
            .listeners
            .extend(raw.listeners.into_iter().map(|raw| From { source, raw }));
        everything
            .identities
            .extend(raw.identities.into_iter().map(|raw| From { source, raw }));
    }
    for source in &name_argument {
        everything.gateway.push(From {
            source,
            raw: argument::gateway(source),
        });
    }
    for source in &port_arguments {
        everything
            .ports
            .extend(argument::port(source, &mut report).map(|raw| From { source, raw }));
    }
    for source in &listen_arguments {
        let options = OfEveryListener {
            tls: given.tls,
            insecure: given.insecure,
        };
        let raw = argument::listener(source, options, &mut report);
        everything
            .listeners
            .extend(raw.map(|raw| From { source, raw }));
    }
    // What could not be read may be what the rest refers to: complaints about the rest would mislead.
    report.result()?;

    if let (true, Some(source)) = (everything.ports.is_empty(), &file) {
        let help =
            "write a [[port]] with a name and a device, or give NAME=DEVICE on the command line";
        report.add(
            &Place { source, span: 0..0 },
            Wrong::new("there is no port in this configuration", help),
        );
    }
    let config = check::check(&everything, &mut report);
    report.result()?;
    Ok(Loaded {
        config,
        assumed: Assumed {
            default_port,
            default_listener,
        },
    })
}

/// Each argument of one kind as a text of its own; the default when there is one to assume.
fn arguments(kind: &str, given: &[String], default: Option<&str>) -> Vec<Source> {
    let texts = given.iter().map(String::as_str).chain(default);
    texts
        .map(|text| Source {
            name: kind.to_owned(),
            text: text.to_owned(),
            is_argument: true,
        })
        .collect()
}

fn read_file(path: &Path) -> Result<Source, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    // One byte more than is allowed tells a file that is too big, a device without an end included.
    let limit = limits::FILE as u64 + 1;
    File::open(path)
        .map_err(unreadable)?
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() > limits::FILE {
        return Err(ConfigError::TooBig {
            path: path.to_owned(),
            limit: limits::FILE,
        });
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        let line = 1 + bytes[..offset]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        ConfigError::NotUtf8 {
            path: path.to_owned(),
            line,
            byte: bytes[offset],
            offset,
        }
    })?;
    Ok(Source {
        name: path.display().to_string(),
        text,
        is_argument: false,
    })
}
