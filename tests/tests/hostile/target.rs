//! What is attacked: a gateway with every endpoint in every way it can be offered, and how it is found out that others are
//! still served.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, bind, connect as connect_socket, socket};
use serde_json::Value;
use uartnet_tests::{DEADLINE, Daemon, Keys, Peer, TlsPeer, frame, uartd};

/// The addresses that attacks come from, one after the other: 127.0.1.1 and so on. Others come from 127.0.0.1.
pub(crate) const ATTACKERS: u32 = 200;

/// How long who does not take more is waited for: they have had enough of us.
const ENOUGH: Duration = Duration::from_millis(500);

/// An endpoint under attack, with a board of its own that sends back what it hears.
pub(crate) struct Target {
    pub(crate) protocol: String,
    pub(crate) port: String,
    pub(crate) address: SocketAddr,
    pub(crate) tls: bool,
    /// Whether nobody is let in without a token.
    guarded: bool,
    /// How much its board has heard for good reasons.
    allowed: u64,
}

/// A gateway under attack.
pub(crate) struct Bench {
    pub(crate) keys: Keys,
    pub(crate) daemon: Daemon,
    token: String,
    /// Who was there before, and asks now and then.
    good: Peer,
    begun: Instant,
    rounds: usize,
    /// How much memory, in KiB, and how many descriptors it had.
    before: (u64, usize),
}

/// A connection of an attacker.
pub(crate) enum Line {
    Clear(TcpStream),
    Tls(Box<TlsPeer>),
}

/// The names of all endpoints, as `uartd --help` lists them: a new one is attacked the day it is added.
fn endpoints() -> Vec<String> {
    let help = uartd().arg("--help").output().unwrap().stdout;
    let help = String::from_utf8(help).unwrap();
    let (_, rest) = help.split_once("\nProtocols:\n").unwrap();
    let (list, _) = rest.split_once("\n\n").unwrap();
    let names = list.lines().filter(|line| !line.starts_with("   "));
    let names: Vec<String> = names.map(|line| line.trim().to_owned()).collect();
    assert!(names.len() >= 3, "{names:?}");
    names
}

/// Whether a token can be presented over it.
fn can_be_guarded(protocol: &str) -> bool {
    match protocol {
        "uartnet" => true,
        "raw" | "rfc2217" => false,
        other => panic!("nobody has said whether {other} carries a token"),
    }
}

/// Another address of this machine every time.
fn attacker() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed) % ATTACKERS;
    Ipv4Addr::from_bits(Ipv4Addr::new(127, 0, 1, 1).to_bits() + next)
}

/// A connection from the next address of an attacker.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    connect_from(attacker(), address)
}

/// A connection from this address.
pub(crate) fn connect_from(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddrV4::new(from, 0)).unwrap();
    connect_socket(&socket, &to).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(ENOUGH)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

impl Bench {
    /// Every endpoint, either in the clear or over TLS, and again guarded by a token where it can carry one.
    pub(crate) fn new(tls: bool) -> (Bench, Vec<Target>) {
        let keys = Keys::new();
        let token = keys.said(&["token", "create", "good", "--access", "admin"]);
        let mut text = format!(
            "[gateway]\naudit = {:?}\nhello_timeout = \"1m\"\n\
             [[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\nport = \"good\"\n\
             [[port]]\nname = \"good\"\ndevice = \"sim:interpreter\"\n",
            keys.path("audit"),
        );
        let mut targets = Vec::new();
        for protocol in endpoints() {
            for guarded in [false, true] {
                if guarded && !can_be_guarded(&protocol) {
                    continue;
                }
                let port = format!("target{}-{protocol}", targets.len());
                text += &format!(
                    "[[listen]]\nprotocol = \"{protocol}\"\naddress = \"127.0.0.1:0\"\nport = \"{port}\"\ntls = {tls}\n{}\
                     [[port]]\nname = \"{port}\"\ndevice = \"sim:echo\"\nhistory = \"64KiB\"\n\
                     [port.interpreter]\nprofile = \"none\"\n",
                    if guarded { "access = \"none\"\n" } else { "" },
                );
                targets.push((protocol.clone(), port, guarded));
            }
        }
        let mut daemon = keys.start(&text);
        let listening = daemon.listening()[1..].iter();
        let mut targets: Vec<Target> = listening
            .zip(targets)
            .map(|(listening, (protocol, port, guarded))| Target {
                protocol,
                port,
                address: listening.address.parse().unwrap(),
                tls,
                guarded,
                allowed: 0,
            })
            .collect();
        let good = Peer::connect(daemon.address());
        let pid = daemon.process().id();
        let mut bench = Bench {
            keys,
            daemon,
            token,
            good,
            begun: Instant::now(),
            rounds: 0,
            before: (0, 0),
        };
        bench.asks();
        for target in &mut targets {
            bench.serves(target);
        }
        bench.before = usage(pid);
        (bench, targets)
    }

    /// Attacks it, and demands that others are served meanwhile, that it costs no memory to speak of, and, if that is what
    /// `board_hears_nothing` says, that nothing reached the board.
    pub(crate) fn withstands(
        &mut self,
        target: &mut Target,
        name: &str,
        attack: impl FnOnce(&Bench, &Target) -> Vec<Line>,
        board_hears_nothing: bool,
    ) {
        let what = format!("{name} on {}", target.what());
        let staying = attack(self, target);
        // Those who were there before, and those who come now, while the hostile ones stay.
        self.asks();
        self.serves(target);
        let (memory, _) = usage(self.daemon.process().id());
        let (before, _) = self.before;
        assert!(
            memory < before + 64 * 1024,
            "{what}: {before} KiB became {memory}"
        );
        drop(staying);
        self.asks();
        let heard = self.counter(&target.port, "bytes_written");
        if board_hears_nothing {
            assert_eq!(heard, target.allowed, "{what}: something reached the board");
        }
        target.allowed = heard;
    }

    /// All attackers are gone, and so is what they cost; how often each counter counted is told.
    pub(crate) fn rests(&mut self) -> Value {
        let deadline = Instant::now() + DEADLINE;
        let status = loop {
            self.asks();
            let status = self.said(&["info", "--json"]);
            let (_, descriptors) = usage(self.daemon.process().id());
            let counters = &status["counters"];
            if descriptors <= self.before.1 + 2 && counters["unauthenticated"] == 0 {
                break status;
            }
            assert!(
                Instant::now() < deadline,
                "{descriptors} of {}, {status}",
                self.before.1
            );
        };
        assert_eq!(
            self.counter("good", "bytes_written") % 5,
            0,
            "only LED? and CR"
        );
        assert!(self.daemon.stop().unwrap().success());
        let log = self.daemon.log();
        assert!(
            !log.contains("panicked") && !log.contains("internal error"),
            "{log}"
        );
        // What strangers do does not fill it: 20 of them, and the number of the others, in 10 seconds.
        let periods = self.begun.elapsed().as_secs() as usize / 10 + 1;
        let told = log.matches("turned away: ").count();
        assert!(told <= 21 * periods, "{told} in {periods} periods: {log}");
        status["counters"].clone()
    }

    fn asks(&mut self) {
        self.good.send(frame("LED?"));
        assert_eq!(self.good.text(), "OFF");
    }

    /// A good client of this endpoint is served: what it sends comes back from the board.
    fn serves(&mut self, target: &mut Target) {
        self.rounds += 1;
        let mark = format!("MARK-{}-HERE", self.rounds);
        let socket = connect_from(Ipv4Addr::LOCALHOST, target.address);
        socket.set_write_timeout(Some(DEADLINE)).unwrap();
        let mut line = match target.tls {
            false => Line::Clear(socket),
            true => Line::Tls(Box::new(self.keys.shake_hands(socket).unwrap())),
        };
        let said = if can_be_guarded(&target.protocol) {
            [
                frame(format!(
                    r#"{{"hello":"uartnet/1","token":"{}"}}"#,
                    self.token
                )),
                frame(format!(r#"{{"open":"{}","mode":"write"}}"#, target.port)),
                frame(format!("0:{mark}")),
            ]
            .concat()
        } else {
            mark.clone().into_bytes()
        };
        line.try_say(&said).unwrap();
        let mut heard = Vec::new();
        let mut piece = [0; 4096];
        let is_there = |heard: &[u8]| heard.windows(mark.len()).any(|at| at == mark.as_bytes());
        while !is_there(&heard) {
            let count = line.read(&mut piece).unwrap();
            assert_ne!(count, 0, "{}: it was cut off", target.what());
            heard.extend_from_slice(&piece[..count]);
        }
        target.allowed += mark.len() as u64;
    }

    fn counter(&self, port: &str, name: &str) -> u64 {
        let info = self.said(&["info", port, "--json"]);
        info["counters"][name].as_u64().unwrap()
    }

    fn said(&self, arguments: &[&str]) -> Value {
        let mut uart = self.keys.uart(self.daemon.gateway());
        let output = uart.args(arguments).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Target {
    /// A connection of an attacker, with hands shaken where that is what is spoken.
    pub(crate) fn open(&self, keys: &Keys) -> Line {
        let socket = connect(self.address);
        match self.tls {
            false => Line::Clear(socket),
            true => Line::Tls(Box::new(keys.shake_hands(socket).unwrap())),
        }
    }

    /// Whether what anybody sends is for the board, by the endpoint's very purpose.
    pub(crate) fn carries_anything(&self) -> bool {
        match self.protocol.as_str() {
            "uartnet" => false,
            "raw" | "rfc2217" => true,
            other => panic!("nobody has said what {other} carries"),
        }
    }

    fn what(&self) -> String {
        let tls = if self.tls { " over TLS" } else { "" };
        let guarded = if self.guarded { ", with a token" } else { "" };
        format!("{}{tls}{guarded}", self.protocol)
    }
}

impl Line {
    /// Says this, as far as it is taken.
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        let _ = self.try_say(bytes);
    }

    fn try_say(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Line::Clear(socket) => socket.write_all(bytes),
            Line::Tls(peer) => peer.try_send(bytes),
        }
    }

    /// Says that nothing more is said.
    pub(crate) fn end(&mut self) {
        match self {
            Line::Clear(socket) => {
                let _ = socket.shutdown(Shutdown::Write);
            }
            Line::Tls(peer) => {
                let _ = peer.try_finish();
            }
        }
    }

    /// Everything up to the end, which may be a rude one.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        loop {
            match self.read(&mut piece) {
                Ok(0) => return answer,
                Ok(count) => answer.extend_from_slice(&piece[..count]),
                Err(error) => {
                    let hung = matches!(
                        error.kind(),
                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                    );
                    assert!(!hung, "no end, after {} bytes", answer.len());
                    return answer;
                }
            }
        }
    }

    /// What is read from now on is waited for so long.
    pub(crate) fn wait_for(&mut self, limit: Duration) {
        let socket = match self {
            Line::Clear(socket) => socket,
            Line::Tls(peer) => peer.socket(),
        };
        socket.set_read_timeout(Some(limit)).unwrap();
    }

    /// Whether the other side has ended it.
    pub(crate) fn is_over(&mut self) -> bool {
        match self.read(&mut [0; 4096]) {
            Ok(count) => count == 0,
            Err(error) => !matches!(
                error.kind(),
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
            ),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Line::Clear(socket) => socket.read(buffer),
            Line::Tls(peer) => peer.try_read_some(buffer),
        }
    }
}

/// So many KiB of memory, and so many descriptors, it has.
fn usage(pid: u32) -> (u64, usize) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let memory = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    (memory, descriptors)
}
