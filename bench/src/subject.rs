//! The servers that are compared, each as a process of its own: ours with its default settings, the floor, and today's where they
//! are installed. Not what is done with them; that is in `workload`.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use serde::Serialize;

use crate::kernel;
use crate::tty::Board;

/// How long a server may take until it accepts.
const START: Duration = Duration::from_secs(20);

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// The minimal relay
    Floor,
    /// Ours, with its default settings
    Uartd,
    /// Another build of ours, with its default settings
    #[value(skip)]
    Before,
    /// ser2net as it is shipped
    Ser2net,
    /// ser2net with TCP_NODELAY and without its character delay
    Ser2netTuned,
    /// socat with TCP_NODELAY and a buffer of 64 KiB
    Socat,
}

/// What a server speaks to its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// The bytes and nothing else.
    Raw,
    /// Telnet with RFC 2217.
    Rfc2217,
    /// A session of the native protocol; only `uartd` speaks it.
    Session,
}

/// Where the binaries that we built are.
#[derive(Debug, Clone)]
pub struct Programs {
    /// `uartd`.
    pub uartd: PathBuf,
    /// Another build of it.
    pub before: Option<PathBuf>,
    /// `uart`.
    pub uart: PathBuf,
    /// The floor.
    pub floor: PathBuf,
}

/// A server that accepts. It ends with this value.
#[derive(Debug)]
pub struct Server {
    /// Its kind.
    pub subject: Subject,
    /// What it speaks.
    pub protocol: Protocol,
    /// Where each board is served, in their order.
    pub addresses: Vec<SocketAddr>,
    /// From its start to its last listener.
    pub started_in: Duration,
    process: Child,
    /// Removed at the end.
    file: Option<PathBuf>,
}

impl Subject {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Subject::Floor => "floor",
            Subject::Uartd => "uartd",
            Subject::Before => "uartd before",
            Subject::Ser2net => "ser2net as shipped",
            Subject::Ser2netTuned => "ser2net tuned",
            Subject::Socat => "socat",
        }
    }

    /// Whether it is here.
    pub fn is_installed(self) -> bool {
        let program = match self {
            Subject::Floor | Subject::Uartd | Subject::Before => return true,
            Subject::Ser2net | Subject::Ser2netTuned => "ser2net",
            Subject::Socat => "socat",
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .chain([PathBuf::from("/usr/sbin")])
            .any(|folder| folder.join(program).exists())
    }

    /// Whether it speaks this protocol, to this many clients of one board.
    pub fn can(self, protocol: Protocol, clients: usize) -> bool {
        match (self, protocol) {
            (Subject::Uartd | Subject::Before, _) => true,
            (Subject::Floor, Protocol::Raw) => true,
            (Subject::Socat, Protocol::Raw) => clients == 1,
            (Subject::Ser2net | Subject::Ser2netTuned, protocol) => protocol != Protocol::Session,
            _ => false,
        }
    }
}

impl Protocol {
    /// Its name on `uartd`'s command line.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Raw => "raw",
            Protocol::Rfc2217 => "rfc2217",
            Protocol::Session => "uartnet",
        }
    }
}

impl Server {
    /// Starts a server for these boards, on one CPU if one is named, and waits until it accepts. `options` follow each device on
    /// `uartd`'s command line (`,prompt=> `), and mean nothing to others.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(
        subject: Subject,
        protocol: Protocol,
        programs: &Programs,
        boards: &[Board],
        options: &str,
        cpu: Option<usize>,
    ) -> Result<Server> {
        let (mut command, file, addresses) = command(subject, protocol, programs, boards, options)?;
        command
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .stdout(Stdio::piped());
        // A child begins where its parent runs.
        kernel::run_on(cpu)?;
        let begin = Instant::now();
        let spawned = command.spawn();
        kernel::run_on(None)?;
        let process = spawned.with_context(|| format!("cannot start {}", subject.name()))?;
        let mut server = Server {
            subject,
            protocol,
            addresses,
            started_in: Duration::ZERO,
            process,
            file,
        };
        if server.addresses.is_empty() {
            server.addresses =
                listening(&mut server.process, boards.len()).with_context(|| subject.name())?;
            server.started_in = begin.elapsed();
        } else {
            server.wait_for_listeners()?;
        }
        Ok(server)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    fn wait_for_listeners(&mut self) -> Result<()> {
        // These say nothing when they listen. Whoever connects takes their one client's place, so only the last is tried.
        let deadline = Instant::now() + START;
        let Some(address) = self
            .addresses
            .last()
            .filter(|_| self.subject != Subject::Socat)
        else {
            thread::sleep(Duration::from_millis(300));
            return Ok(());
        };
        while TcpStream::connect(address).is_err() {
            ensure!(
                Instant::now() < deadline,
                "{} does not listen",
                self.subject.name()
            );
            thread::sleep(Duration::from_millis(20));
        }
        thread::sleep(Duration::from_millis(300));
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
        if let Some(file) = &self.file {
            fs::remove_file(file).ok();
        }
    }
}

fn command(
    subject: Subject,
    protocol: Protocol,
    programs: &Programs,
    boards: &[Board],
    options: &str,
) -> Result<(Command, Option<PathBuf>, Vec<SocketAddr>)> {
    Ok(match subject {
        Subject::Floor => {
            let mut command = Command::new(&programs.floor);
            command.args(boards.iter().map(Board::path));
            (command, None, Vec::new())
        }
        Subject::Uartd | Subject::Before => {
            let program = match subject {
                Subject::Before => programs.before.as_ref().context("it is not named")?,
                _ => &programs.uartd,
            };
            let mut command = Command::new(program);
            for (index, board) in boards.iter().enumerate() {
                command.arg("--listen");
                command.arg(format!("{}=127.0.0.1:0,p{index}", protocol.name()));
                command.arg(format!("p{index}={}{options}", board.path().display()));
            }
            (command, None, Vec::new())
        }
        Subject::Ser2net | Subject::Ser2netTuned => {
            let addresses = free_addresses(boards.len())?;
            let file = ser2net_file(subject, protocol, boards, &addresses)?;
            let mut command = Command::new("ser2net");
            command.args(["-n", "-c"]).arg(&file);
            (command, Some(file), addresses)
        }
        Subject::Socat => {
            let addresses = free_addresses(1)?;
            let [board] = boards else {
                bail!("socat serves one board")
            };
            let mut command = Command::new("socat");
            let port = addresses[0].port();
            command.args(["-b", "65536"]);
            // With fork each client has a process of its own, and its CPU time is not the parent's.
            command.arg(format!(
                "TCP-LISTEN:{port},bind=127.0.0.1,nodelay,reuseaddr"
            ));
            command.arg(format!("{},raw,echo=0", board.path().display()));
            (command, None, addresses)
        }
    })
}

fn ser2net_file(
    subject: Subject,
    protocol: Protocol,
    boards: &[Board],
    addresses: &[SocketAddr],
) -> Result<PathBuf> {
    let tuned = subject == Subject::Ser2netTuned;
    let nodelay = if tuned { "(nodelay)" } else { "" };
    let telnet = if protocol == Protocol::Rfc2217 {
        "telnet(rfc2217),"
    } else {
        ""
    };
    let mut text = String::from("%YAML 1.1\n---\n");
    for (index, (board, address)) in boards.iter().zip(addresses).enumerate() {
        let (path, port) = (board.path().display(), address.port());
        write!(
            text,
            "connection: &p{index}\n  accepter: {telnet}tcp{nodelay},127.0.0.1,{port}\n  connector: serialdev,{path},115200n81,local\n  options:\n    max-connections: 1000\n",
        )?;
        if tuned {
            text.push_str("    chardelay: false\n");
        }
    }
    let name = format!(
        "uartnet-bench-{}-{}.yaml",
        std::process::id(),
        addresses[0].port()
    );
    let file = std::env::temp_dir().join(name);
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// Addresses that nobody listens on now.
fn free_addresses(count: usize) -> Result<Vec<SocketAddr>> {
    let held: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<Result<_, _>>()?;
    Ok(held
        .iter()
        .map(TcpListener::local_addr)
        .collect::<Result<_, _>>()?)
}

/// The addresses that a server of ours prints.
fn listening(process: &mut Child, count: usize) -> Result<Vec<SocketAddr>> {
    let stdout = process.stdout.take().context("the server has no stdout")?;
    let (send, lines) = mpsc::channel();
    // It ends with the server, whose stdout it goes on reading.
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            send.send(line).ok();
        }
    });
    let deadline = Instant::now() + START;
    let mut addresses = Vec::with_capacity(count);
    while addresses.len() < count {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = lines
            .recv_timeout(left)
            .context("it did not say where it listens")?;
        let mut words = line.split_whitespace();
        if words.next() == Some("listening") {
            addresses.push(words.nth(1).context("no address")?.parse()?);
        }
    }
    Ok(addresses)
}

/// The size of a program, in bytes.
///
/// # Errors
/// It is not there.
pub fn size(program: &Path) -> Result<u64> {
    Ok(fs::metadata(program)
        .with_context(|| program.display().to_string())?
        .len())
}
