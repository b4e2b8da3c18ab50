//! Clients that mean harm, on every endpoint there is: garbage, conversations that break off anywhere, single bytes,
//! floods, and what scanners say. After each, whoever behaves is served as before, and nothing of it has reached the
//! board but what the endpoint is there to carry.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;
use uartnet_tests::{DEADLINE, Daemon, Peer, frame, uart, uartd};

/// An endpoint under attack, with a board of its own that sends back what it hears.
struct Target {
    protocol: String,
    port: String,
    address: SocketAddr,
    /// How much its board has heard for good reasons.
    allowed: u64,
}

/// The names of all endpoints, as `uartd --help` lists them: a new one is attacked the day it is added.
fn endpoints() -> Vec<String> {
    let help = uartd().arg("--help").output().unwrap().stdout;
    let help = String::from_utf8(help).unwrap();
    let (_, rest) = help.split_once("\nProtocols:\n").unwrap();
    let (list, _) = rest.split_once("\n\n").unwrap();
    let names = list.lines().filter(|line| !line.starts_with("   "));
    names.map(|line| line.trim().to_owned()).collect()
}

/// A whole conversation as a good client has it, cut into the steps after each of which it may break off. Nothing in it is for
/// the board but its last step.
fn conversation(protocol: &str) -> Vec<Vec<u8>> {
    match protocol {
        "uartnet" => [
            r#"{"hello":"uartnet/1","client":"hostile"}"#,
            r#"{"list":"ports","id":1}"#,
            r#"{"open":"target-uartnet","from":"start","id":2}"#,
            r#"{"ask":"target-uartnet","command":"never","id":3}"#,
        ]
        .map(frame)
        .to_vec(),
        "raw" => vec![b"never".to_vec()],
        "rfc2217" => [
            // WILL COM-PORT-OPTION, SET-BAUDRATE 9600, SET-CONTROL DTR off, NOTIFY-MODEMSTATE
            &b"\xff\xfb\x2c"[..],
            b"\xff\xfa\x2c\x01\x00\x00\x25\x80\xff\xf0",
            b"\xff\xfa\x2c\x05\x09\xff\xf0",
            b"\xff\xfa\x2c\x0b\xff\xff\xff\xf0",
            b"never",
        ]
        .map(<[u8]>::to_vec)
        .to_vec(),
        other => panic!("nobody has said what a conversation over {other} is"),
    }
}

/// Whether what anybody sends is for the board, by the endpoint's very purpose.
fn carries_anything(protocol: &str) -> bool {
    match protocol {
        "uartnet" => false,
        "raw" | "rfc2217" => true,
        other => panic!("nobody has said what {other} carries"),
    }
}

/// What scanners and lost programs say first.
const PROBES: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\nHost: gateway\r\nUser-Agent: scanner\r\n\r\n",
    b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n",
    // ClientHello of TLS 1.2 with one cipher
    b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\x00\x00\x04\x00\x2f\x00\xff\x01\x00",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    // SMB1 negotiate
    b"\x00\x00\x00\x2f\xffSMB\x72\x00\x00\x00\x00\x18\x01\x28\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    b"\r\n\r\n",
    b"HELP\r\n",
    b"EHLO scanner\r\n",
    b"\xff\xff\xff\xff\xff\xf4\xff\xfd\x06",
    // SOCKS 5, MQTT CONNECT, X11
    b"\x05\x01\x00",
    b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04scan",
    b"l\x00\x0b\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    b"\x80\x9e\x01\x03\x01\x00u\x00\x00\x00 ",
    b"99999999999999999999_",
    b"{\"hello\":\"uartnet/1\"}",
];

/// Numbers that look random and are the same in every run (xorshift).
struct Garbage(u64);

impl Garbage {
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let next = |_| {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0.to_le_bytes()[3]
        };
        (0..count).map(next).collect()
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, DEADLINE).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    // Who does not take more has had enough of us.
    stream
        .set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    stream
}

/// Says each, and goes: every other one by closing at once, the rest by ending what they say and waiting for the end of what is
/// answered. An endpoint may take a while for that, so it is waited for all of them together.
fn say_and_go(address: SocketAddr, sayings: impl IntoIterator<Item = Vec<u8>>) {
    let mut polite = Vec::new();
    for (index, bytes) in sayings.into_iter().enumerate() {
        let mut stream = connect(address);
        let _ = stream.write_all(&bytes);
        if index % 2 == 1 {
            let _ = stream.shutdown(Shutdown::Write);
            polite.push(stream);
        }
    }
    for stream in polite {
        let mut answer = Vec::new();
        if let Err(error) = stream.take(1 << 24).read_to_end(&mut answer) {
            let reset = error.kind() == std::io::ErrorKind::ConnectionReset;
            assert!(reset, "{error} after {} bytes", answer.len());
        }
    }
}

fn garbage(target: &Target) -> Vec<TcpStream> {
    let sayings = (1..=40).map(|seed: u64| {
        let mut garbage = Garbage(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let count = usize::from(garbage.bytes(1)[0]) * 16 + 1;
        // What begins like a frame is looked at longer.
        let head: &[u8] = if seed.is_multiple_of(3) {
            b"5000_"
        } else {
            b""
        };
        [head, &garbage.bytes(count)].concat()
    });
    say_and_go(target.address, sayings);
    Vec::new()
}

fn truncation(target: &Target) -> Vec<TcpStream> {
    let whole = conversation(&target.protocol).concat();
    // Each twice, so that it breaks off in both ways everywhere.
    let ends = (0..whole.len()).flat_map(|end| [end, end]);
    say_and_go(target.address, ends.map(|end| whole[..end].to_vec()));
    Vec::new()
}

/// One byte at a time, and never an end: they stay, while others are served.
fn slowness(target: &Target) -> Vec<TcpStream> {
    let whole = conversation(&target.protocol).concat();
    (0..30)
        .map(|step| {
            let mut stream = connect(target.address);
            stream.set_nodelay(true).unwrap();
            let end = (step * 3).min(whole.len() - 1);
            for byte in &whole[..end] {
                stream.write_all(&[*byte]).unwrap();
            }
            stream
        })
        .collect()
}

/// As much as it takes, without reading an answer: garbage, and what must be answered.
fn floods(target: &Target) -> Vec<TcpStream> {
    let questions = match target.protocol.as_str() {
        "uartnet" => {
            let hello = frame(r#"{"hello":"uartnet/1"}"#);
            let list = frame(r#"{"list":"ports"}"#);
            [hello, list.repeat(20_000)].concat()
        }
        // DO of an option that nobody has, answered WONT; a command that is acknowledged
        "rfc2217" => b"\xff\xfd\x63\xff\xfa\x2c\x01\x00\x00\x00\x00\xff\xf0".repeat(100_000),
        _ => Vec::new(),
    };
    let long = [b"65000_".to_vec(), vec![b'x'; 60_000]].concat();
    let garbage = Garbage(7).bytes(4 << 20);
    [questions, long, garbage]
        .iter()
        .map(|flood| {
            let mut stream = connect(target.address);
            let _ = stream.write_all(flood);
            stream
        })
        .collect()
}

fn probes(target: &Target) -> Vec<TcpStream> {
    let twice = PROBES.iter().flat_map(|probe| [probe, probe]);
    say_and_go(target.address, twice.map(|probe| probe.to_vec()));
    Vec::new()
}

fn connect_and_close(target: &Target) -> Vec<TcpStream> {
    (0..300).for_each(|_| drop(connect(target.address)));
    Vec::new()
}

/// Half of them closed their sending half at once, half of them say nothing at all; all of them stay.
fn half_open(target: &Target) -> Vec<TcpStream> {
    let streams: Vec<TcpStream> = (0..40).map(|_| connect(target.address)).collect();
    for stream in streams.iter().step_by(2) {
        stream.shutdown(Shutdown::Write).unwrap();
    }
    streams
}

type Attack = fn(&Target) -> Vec<TcpStream>;

/// Every attack; what it gives back are connections that stay open while others are served.
const ATTACKS: &[(&str, Attack)] = &[
    ("garbage", garbage),
    ("truncation", truncation),
    ("slowness", slowness),
    ("floods", floods),
    ("probes", probes),
    ("connect and close", connect_and_close),
    ("half open", half_open),
];

/// A good client of the same endpoint is served: what it sends comes back from the board.
fn serves(target: &mut Target, round: usize) {
    let mut peer = Peer::connect(target.address);
    let mark = format!("MARK-{round}-HERE");
    if carries_anything(&target.protocol) {
        peer.send(&mark);
        let mut heard = Vec::new();
        let mut piece = [0; 4096];
        let is_there = |heard: &[u8]| heard.windows(mark.len()).any(|at| at == mark.as_bytes());
        while !is_there(&heard) {
            let count = peer.stream().read(&mut piece).unwrap();
            assert_ne!(count, 0, "{}: it was cut off", target.protocol);
            heard.extend_from_slice(&piece[..count]);
        }
    } else {
        peer.send(frame(&mark));
        assert_eq!(peer.text(), "Server notification: data received");
        target.allowed += mark.len() as u64;
    }
}

fn info(daemon: &Daemon, port: &str) -> Value {
    let output = uart(daemon)
        .args(["info", port, "--json"])
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
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

#[test]
fn whatever_hostile_clients_do_others_are_served_and_the_board_hears_nothing_of_it() {
    let names = endpoints();
    assert!(names.len() >= 3, "{names:?}");
    let mut text = String::from(
        "[[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\nport = \"good\"\n\
         [[port]]\nname = \"good\"\ndevice = \"sim:interpreter\"\n",
    );
    for name in &names {
        text += &format!(
            "[[listen]]\nprotocol = \"{name}\"\naddress = \"127.0.0.1:0\"\nport = \"target-{name}\"\n\
             [[port]]\nname = \"target-{name}\"\ndevice = \"sim:echo\"\nhistory = \"64KiB\"\n\
             [port.interpreter]\nprofile = \"none\"\n"
        );
    }
    let mut daemon = Daemon::with_config(&text).unwrap();
    let mut targets: Vec<Target> = daemon.listening()[1..]
        .iter()
        .map(|listening| Target {
            protocol: listening.protocol.clone(),
            port: listening.port.clone().unwrap(),
            address: listening.address.parse().unwrap(),
            allowed: 0,
        })
        .collect();
    let pid = daemon.process().id();
    let mut good = Peer::connect(daemon.address());
    let mut rounds = 0;
    let mut ask = || {
        good.send(frame("LED?"));
        assert_eq!(good.text(), "OFF");
    };
    ask();
    for target in &mut targets {
        serves(target, 0);
    }
    let (before, descriptors) = usage(pid);
    for target in &mut targets {
        for (name, attack) in ATTACKS {
            let what = format!("{name} on {}", target.protocol);
            rounds += 1;
            let staying = attack(target);
            // Those who were there before, and those who come now, while the hostile ones stay.
            ask();
            serves(target, rounds);
            let (memory, _) = usage(pid);
            assert!(
                memory < before + 64 * 1024,
                "{what}: {before} KiB became {memory}"
            );
            drop(staying);
            ask();
            let heard = info(&daemon, &target.port)["counters"]["bytes_written"].clone();
            if !carries_anything(&target.protocol) {
                assert_eq!(heard, target.allowed, "{what}: something reached the board");
            }
        }
    }
    // All of them are gone, and so is what they cost.
    let deadline = Instant::now() + DEADLINE;
    while usage(pid).1 > descriptors + 2 {
        assert!(
            Instant::now() < deadline,
            "{:?} of {descriptors}",
            usage(pid)
        );
        ask();
    }
    let heard = info(&daemon, "good")["counters"]["bytes_written"]
        .as_u64()
        .unwrap();
    assert_eq!(heard % 5, 0, "only LED? and CR");
    let log = daemon.log();
    assert!(
        !log.contains("panicked") && !log.contains("internal error"),
        "{log}"
    );
    assert!(daemon.stop().unwrap().success());
}
