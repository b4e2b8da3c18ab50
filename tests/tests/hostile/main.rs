//! Clients that mean harm, on every endpoint there is, in the clear, over TLS, and where nobody is let in without a token:
//! garbage, conversations that break off anywhere, single bytes, floods, and what scanners say. After each, whoever behaves
//! is served as before, and nothing of it has reached the board but what the endpoint is there to carry. What is said
//! instead of a TLS handshake is in `tls`.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod target;
mod tls;

use target::{Bench, Line, Target, connect};
use uartnet_tests::frame;

/// A whole conversation as a good client has it, cut into the steps after each of which it may break off. Nothing in it is for
/// the board but its last step.
fn conversation(target: &Target) -> Vec<Vec<u8>> {
    match target.protocol.as_str() {
        "uartnet" => [
            r#"{"hello":"uartnet/1","client":"hostile"}"#,
            r#"{"list":"ports","id":1}"#,
            r#"{"open":"PORT","from":"start","id":2}"#,
            r#"{"ask":"PORT","command":"never","id":3}"#,
        ]
        .map(|payload| frame(payload.replace("PORT", &target.port)))
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

/// Says each, and goes: every other one by closing at once, the rest by ending what they say and waiting for the end of what is
/// answered. An endpoint may take a while for that, so it is waited for all of them together.
fn say_and_go(bench: &Bench, target: &Target, sayings: impl IntoIterator<Item = Vec<u8>>) {
    let mut polite = Vec::new();
    for (index, bytes) in sayings.into_iter().enumerate() {
        let mut line = target.open(&bench.keys);
        line.say(&bytes);
        if index % 2 == 1 {
            line.end();
            polite.push(line);
        }
    }
    for mut line in polite {
        line.rest();
    }
}

fn garbage(bench: &Bench, target: &Target) -> Vec<Line> {
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
    say_and_go(bench, target, sayings);
    Vec::new()
}

fn truncation(bench: &Bench, target: &Target) -> Vec<Line> {
    let whole = conversation(target).concat();
    // Where hands must be shaken first, which takes long, it breaks off at fewer places.
    let step = if target.tls { 5 } else { 1 };
    // Each twice, so that it breaks off in both ways everywhere.
    let ends = (0..whole.len()).step_by(step).flat_map(|end| [end, end]);
    say_and_go(bench, target, ends.map(|end| whole[..end].to_vec()));
    Vec::new()
}

/// One byte at a time, and never an end: they stay, while others are served.
fn slowness(bench: &Bench, target: &Target) -> Vec<Line> {
    let whole = conversation(target).concat();
    (0..30)
        .map(|step| {
            let mut line = target.open(&bench.keys);
            let end = (step * 3).min(whole.len() - 1);
            for byte in &whole[..end] {
                line.say(&[*byte]);
            }
            line
        })
        .collect()
}

/// As much as it takes, without reading an answer: garbage, and what must be answered.
fn floods(bench: &Bench, target: &Target) -> Vec<Line> {
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
            let mut line = target.open(&bench.keys);
            line.say(flood);
            line
        })
        .collect()
}

fn probes(bench: &Bench, target: &Target) -> Vec<Line> {
    let twice = PROBES.iter().flat_map(|probe| [probe, probe]);
    say_and_go(bench, target, twice.map(|probe| probe.to_vec()));
    Vec::new()
}

fn connect_and_close(bench: &Bench, target: &Target) -> Vec<Line> {
    (0..300).for_each(|_| drop(connect(target.address)));
    (0..20).for_each(|_| drop(target.open(&bench.keys)));
    Vec::new()
}

/// Half of them ended what they say at once, half of them say nothing at all; all of them stay.
fn half_open(bench: &Bench, target: &Target) -> Vec<Line> {
    let mut lines: Vec<Line> = (0..40).map(|_| target.open(&bench.keys)).collect();
    lines.iter_mut().step_by(2).for_each(Line::end);
    lines
}

type Attack = fn(&Bench, &Target) -> Vec<Line>;

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

fn attack(tls: bool) {
    let (mut bench, mut targets) = Bench::new(tls);
    for target in &mut targets {
        let nothing = !target.carries_anything();
        for (name, attack) in ATTACKS {
            bench.withstands(target, name, attack, nothing);
        }
    }
    bench.rests();
}

#[test]
fn whatever_hostile_clients_do_others_are_served_and_the_board_hears_nothing_of_it() {
    attack(false);
}

#[test]
fn what_hostile_clients_do_over_tls_is_no_worse() {
    attack(true);
}
