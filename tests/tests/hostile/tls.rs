//! What is said to a listener of TLS instead of TLS, and what is done to TLS itself: none of it gets any further than TLS,
//! whatever is spoken over it.

use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use uartnet_tests::{DEADLINE, Keys, TlsPeer, frame};

use super::target::{Bench, Line, Target, connect, connect_from};
use super::{Garbage, PROBES, conversation};

/// A ClientHello of SSL 2 (an own format), of SSL 3, TLS 1.0 and TLS 1.1, each with ciphers of its time.
fn hellos_of_old() -> Vec<Vec<u8>> {
    let ssl2 = b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01\x00\x80\x02\x00\x80\x03\x00\x80\x04\x00\x80\x05\x00\x80\x06\x00\x40\x07\x00\xc0AAAAAAAAAAAAAAAA";
    let mut hellos = vec![ssl2.to_vec()];
    for minor in [0, 1, 2] {
        let mut hello = vec![3, minor];
        hello.extend([b'A'; 32]);
        hello.extend(b"\x00\x00\x06\x00\x0a\x00\x2f\x00\x35\x01\x00");
        let mut record = vec![0x16, 3, minor, 0, hello.len() as u8 + 4, 1, 0, 0];
        record.push(hello.len() as u8);
        record.extend(hello);
        hellos.push(record);
    }
    hellos
}

/// Says each twice, and goes in both ways. What is answered is at most an alert.
fn say_and_go(address: SocketAddr, sayings: impl IntoIterator<Item = Vec<u8>>) {
    for bytes in sayings {
        let _ = connect(address).write_all(&bytes);
        let mut stream = connect(address);
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let answer = Line::Clear(stream).rest();
        let shown = String::from_utf8_lossy(&answer);
        let is_alert = answer.len() == 7 && answer[0] == 0x15;
        assert!(answer.is_empty() || is_alert, "{bytes:?}: {shown:?}");
    }
}

fn no_tls(_: &Bench, target: &Target) -> Vec<Line> {
    let garbage = (1..=20).map(|seed: u64| {
        let mut garbage = Garbage(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        // Some begin as a handshake does.
        let head: &[u8] = if seed.is_multiple_of(2) {
            b"\x16\x03\x01\x01\x00"
        } else {
            b""
        };
        [head, &garbage.bytes(300)].concat()
    });
    let in_the_clear = conversation(target).concat();
    let sayings = PROBES.iter().map(|probe| probe.to_vec());
    let sayings = sayings.chain([in_the_clear]).chain(garbage);
    say_and_go(target.address, sayings.chain(hellos_of_old()));
    Vec::new()
}

/// Lengths that lie, records that hold nothing, and what does not belong here.
fn records(bench: &Bench, target: &Target) -> Vec<Line> {
    let hello = bench.keys.client_hello();
    let record = |kind: u8, length: u16, bytes: &[u8]| {
        let [high, low] = length.to_be_bytes();
        [&[kind, 3, 1, high, low], bytes].concat()
    };
    // A ClientHello of 16 MiB, of which 1 MiB comes.
    let big = record(22, 16_384, &[b'A'; 16_384]);
    let endless = [
        record(22, 4, b"\x01\xff\xff\xff"),
        big.repeat((1 << 20) / big.len()),
    ]
    .concat();
    let in_single_bytes: Vec<u8> = hello[5..]
        .iter()
        .flat_map(|it| record(22, 1, &[*it]))
        .collect();
    let sayings = [
        record(22, 0xffff, &[0; 70_000]),
        record(22, 0, b"").repeat(10_000),
        record(20, 1, b"\x01").repeat(10_000),
        // warnings: user canceled
        record(21, 2, b"\x01\x5a").repeat(10_000),
        record(23, 5, b"never"),
        // a heartbeat that asks for more than it brings
        record(24, 3, b"\x01\x40\x00"),
        endless,
        [&hello[..], &in_single_bytes].concat(),
        [&hello[..], b"never"].concat(),
    ];
    for bytes in sayings {
        let _ = connect(target.address).write_all(&bytes);
        let mut line = Line::Clear(connect(target.address));
        line.say(&bytes);
        line.end();
        let answer = line.rest();
        assert!(!answer.starts_with(b"5"), "{answer:?}");
    }
    Vec::new()
}

/// A handshake that breaks off after each of its bytes.
fn truncation(bench: &Bench, target: &Target) -> Vec<Line> {
    let hello = bench.keys.client_hello();
    say_and_go(
        target.address,
        (0..hello.len()).map(|end| hello[..end].to_vec()),
    );
    let mut end = 0;
    loop {
        let mut stream = connect(target.address);
        let last = bench.keys.end_of_handshake(&mut stream).unwrap();
        if end == last.len() {
            return Vec::new();
        }
        stream.write_all(&last[..end]).unwrap();
        if end % 2 == 1 {
            stream.shutdown(Shutdown::Write).unwrap();
            Line::Clear(stream).rest();
        }
        end += 1;
    }
}

/// Handshakes in single bytes that come to no end, handshakes whose answer is never read, and ones that never begin; they
/// stay.
fn slowness(bench: &Bench, target: &Target) -> Vec<Line> {
    let hello = bench.keys.client_hello();
    let slow = (0..60).map(|step| {
        let mut stream = connect(target.address);
        let end = (step * 5).min(hello.len());
        for byte in &hello[..end] {
            stream.write_all(&[*byte]).unwrap();
        }
        Line::Clear(stream)
    });
    slow.collect()
}

/// More of one address than it may have who do not shake hands: those who are too many are gone at once.
fn a_crowd(_: &Bench, target: &Target) -> Vec<Line> {
    let from = Ipv4Addr::new(127, 0, 2, 1);
    let mut crowd: Vec<TcpStream> = (0..60)
        .map(|_| connect_from(from, target.address))
        .collect();
    for late in crowd.split_off(16) {
        assert_eq!(Line::Clear(late).rest(), b"");
    }
    for early in &crowd {
        early.set_nonblocking(true).unwrap();
        let waits = early.peek(&mut [0]).unwrap_err();
        assert_eq!(waits.kind(), ErrorKind::WouldBlock);
    }
    crowd.into_iter().map(Line::Clear).collect()
}

/// Handshakes that are done, one after the other, and nothing else.
fn a_flood(bench: &Bench, target: &Target) -> Vec<Line> {
    (0..50).for_each(|_| drop(target.open(&bench.keys)));
    Vec::new()
}

/// What was sealed and is altered on its way, cut, comes behind the end, or is not sealed at all.
fn tampering(bench: &Bench, target: &Target) -> Vec<Line> {
    let last = conversation(target).concat();
    let peer = || {
        let socket = connect(target.address);
        bench.keys.shake_hands(socket).unwrap()
    };
    let say = |peer: TlsPeer, bytes: &[u8]| {
        let _ = peer.socket().write_all(bytes);
        let _ = peer.socket().shutdown(Shutdown::Write);
        Line::Tls(Box::new(peer)).rest();
    };
    let len = peer().encrypt(&last).len();
    // The first three bytes of a record are the same for all, and not what is protected (RFC 8446 section 5.2).
    for at in (3..len).step_by(7) {
        let mut peer = peer();
        let mut sealed = peer.encrypt(&last);
        sealed[at] ^= 1;
        say(peer, &sealed);
    }
    for cut in (0..len).step_by(7) {
        let mut peer = peer();
        let sealed = peer.encrypt(&last);
        say(peer, &sealed[..cut]);
    }
    let mut ended = peer();
    let sealed = ended.encrypt(&last);
    ended.finish();
    say(ended, &sealed);
    say(peer(), &last);
    Vec::new()
}

/// New keys all the time, each of which costs the other side a little; nothing of what it says is read.
fn new_keys(bench: &Bench, target: &Target) -> Vec<Line> {
    let mut peer = bench.keys.shake_hands(connect(target.address)).unwrap();
    for _ in 0..2000 {
        if peer.renew_keys().is_err() {
            break;
        }
    }
    vec![Line::Tls(Box::new(peer))]
}

type Attack = fn(&Bench, &Target) -> Vec<Line>;

const ATTACKS: &[(&str, Attack)] = &[
    ("no TLS", no_tls),
    ("records", records),
    ("a handshake that breaks off", truncation),
    ("a slow handshake", slowness),
    ("a crowd", a_crowd),
    ("a flood of handshakes", a_flood),
    ("tampering", tampering),
    ("new keys", new_keys),
];

#[test]
fn whatever_is_done_to_tls_others_are_served_and_no_board_hears_of_it() {
    let (mut bench, mut targets) = Bench::new(true);
    for target in &mut targets {
        for (name, attack) in ATTACKS {
            bench.withstands(target, name, attack, true);
        }
    }
    let audit = bench.keys.path("audit");
    let counters = bench.rests();
    let failed = counters["handshakes_failed"].as_u64().unwrap();
    assert!(failed > 500 * targets.len() as u64, "{counters}");
    let refused = counters["connections_refused"].as_u64().unwrap();
    assert_eq!(refused, 44 * targets.len() as u64, "{counters}");
    let audit = std::fs::read_to_string(audit).unwrap();
    let why = |what: &str| audit.contains(what);
    assert!(why("speaks no TLS, and this listener speaks nothing else"));
    assert!(why("speaks no TLS 1.2 or 1.3"));
}

/// Between two bytes of a slow peer.
const DRIP: Duration = Duration::from_millis(30);

/// Says one byte after the other. How many, before the other side had enough.
fn drip(line: &mut Line, bytes: &[u8]) -> usize {
    line.wait_for(DRIP);
    let said = bytes.iter().take_while(|byte| {
        line.say(&[**byte]);
        // This waits for an end, or for the time of the next byte.
        !line.is_over()
    });
    let said = said.count();
    line.wait_for(DEADLINE);
    said
}

#[test]
fn handshakes_and_hellos_that_are_dripped_end_in_time_and_frames_may_take_theirs() {
    let keys = Keys::new();
    let token = keys.said(&["token", "create", "ci"]);
    let mut daemon = keys.start(
        "[gateway]\naudit = \"stderr\"\nhello_timeout = \"1s\"\n\
         [[port]]\nname = \"board0\"\ndevice = \"sim:interpreter\"\n\
         [[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\ntls = true\naccess = \"none\"\n\
         [[listen]]\nprotocol = \"raw\"\naddress = \"127.0.0.1:0\"\ntls = true\n\
         [[listen]]\nprotocol = \"rfc2217\"\naddress = \"127.0.0.1:0\"\ntls = true\n",
    );
    let addresses = daemon.listening().iter();
    let addresses: Vec<SocketAddr> = addresses.map(|it| it.address.parse().unwrap()).collect();
    let hello = keys.client_hello();
    for address in &addresses {
        let mut line = Line::Clear(connect(*address));
        let said = drip(&mut line, &hello);
        assert!(said < hello.len(), "all {said} bytes were waited for");
    }
    let late = "\"why\":\"has not finished the TLS handshake in time\"";
    let stderr = &daemon.process().stderr;
    stderr
        .wait("three lines of the audit log", |log| {
            log.matches(late).count() == 3
        })
        .unwrap();

    let open = || {
        let socket = connect(addresses[0]);
        Line::Tls(Box::new(keys.shake_hands(socket).unwrap()))
    };
    let long = "x".repeat(200);
    let hello = frame(format!(r#"{{"hello":"uartnet/1","client":"{long}"}}"#));
    let said = drip(&mut open(), &hello);
    assert!(said < hello.len(), "all {said} bytes were waited for");
    daemon
        .wait_log("nobody has said who is there in time")
        .unwrap();

    let mut known = open();
    known.say(&frame(format!(
        r#"{{"hello":"uartnet/1","token":"{token}"}}"#
    )));
    // Longer than a hello may take.
    let list = frame(format!(
        r#"{{"list":"ports","nobody knows":"{}"}}"#,
        &long[..30]
    ));
    let (slow, last) = list.split_at(list.len() - 1);
    assert_eq!(drip(&mut known, slow), slow.len());
    known.say(last);
    known.end();
    let answer = String::from_utf8(known.rest()).unwrap();
    assert!(answer.contains("board0"), "{answer}");
}
