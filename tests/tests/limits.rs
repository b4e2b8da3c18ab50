//! Bounds: what one client may do to a gateway's memory, and to others.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use uartnet_tests::{DEADLINE, Daemon, Peer, Session, frame, uartd_command};

#[test]
fn connections_beyond_the_limit_wait_or_are_refused_and_others_go_on() {
    let daemon = Daemon::with_config(
        "[gateway]\nmax_connections = 3\n[[port]]\nname = \"board0\"\ndevice = \"sim:interpreter\"\n\
         [[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\n",
    )
    .expect("a gateway");
    let mut peers: Vec<Peer> = (0..3).map(|_| Peer::connect(daemon.address())).collect();
    for peer in &mut peers {
        peer.send(b"6_LED?");
        assert_eq!(peer.text(), "OFF");
    }
    let mut extra: Vec<Peer> = (0..20).map(|_| Peer::connect(daemon.address())).collect();
    for peer in &mut peers {
        peer.send(b"6_LED?");
        assert_eq!(peer.text(), "OFF");
    }
    extra.clear();
    drop(peers);
    // Whoever asks long enough gets a place again.
    let mut answered = false;
    for _ in 0..1000 {
        let mut stream = TcpStream::connect(daemon.address()).expect("a listener");
        stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        let mut answer = [0; 5];
        if stream.write_all(b"6_LED?").is_ok()
            && stream.read_exact(&mut answer).is_ok()
            && answer == *b"5_OFF"
        {
            answered = true;
            break;
        }
        thread::yield_now();
    }
    assert!(answered, "nobody is served after the crowd has gone");
}

#[test]
fn a_gateway_out_of_descriptors_serves_whom_it_has_says_so_once_and_recovers() {
    let uartd = uartd_command().expect("a binary");
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n 32 && exec \"$@\"", "sh"])
        .arg(uartd.get_program())
        .args(["--listen", "uartnet=127.0.0.1:0", "board0=sim:interpreter"]);
    let daemon = Daemon::run(&mut command, 1).expect("a gateway");
    let mut first = Peer::connect(daemon.address());
    first.send(b"6_LED?");
    assert_eq!(first.text(), "OFF");

    // The kernel completes their connections; the gateway has no descriptors for all of them.
    let mut crowd: Vec<Peer> = (0..48).map(|_| Peer::connect(daemon.address())).collect();
    daemon
        .wait_log("cannot accept; trying again")
        .expect("it notices");
    for _ in 0..20 {
        first.send(b"6_LED?");
        assert_eq!(first.text(), "OFF", "whoever is there is served");
    }
    // As those before them go, everybody has a turn.
    while !crowd.is_empty() {
        let mut next = crowd.remove(0);
        next.send(b"6_LED?");
        assert_eq!(next.text(), "OFF");
    }
    // That it is over is told when somebody comes after a calm second.
    let begun = Instant::now();
    while !daemon.log().contains("accepting again") {
        assert!(begun.elapsed() < DEADLINE, "it never recovers");
        let mut late = Peer::connect(daemon.address());
        late.send(b"6_LED?");
        assert_eq!(late.text(), "OFF");
        thread::sleep(Duration::from_millis(50)); // not to be the next crowd
    }
    let log = daemon.log();
    assert_eq!(
        log.matches("cannot accept; trying again").count(),
        1,
        "{log}"
    );
}

/// How many clients come at once.
const BURST: usize = 1000;
/// What each may cost while it says nothing, in bytes; in a debug build.
const MEMORY_PER_CLIENT: usize = 16 * 1024;

#[test]
fn a_burst_of_clients_is_served_also_where_the_soft_limit_of_descriptors_is_small() {
    // They are ours as well.
    let ours = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: ours.maximum,
        ..ours
    };
    setrlimit(Resource::Nofile, wanted).expect("descriptors");
    let uartd = uartd_command().expect("a binary");
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -S -n 64 && exec \"$@\"", "sh"])
        .arg(uartd.get_program())
        .args(["--listen", "uartnet=127.0.0.1:0", "board0=sim:interpreter"]);
    let mut daemon = Daemon::run(&mut command, 1).expect("a gateway");
    drop(Session::open(daemon.address())); // what the first one costs once for all
    let before = daemon.process().resident().expect("its memory");
    let mut clients: Vec<Peer> = (0..BURST)
        .map(|_| Peer::connect(daemon.address()))
        .collect();
    for client in &mut clients {
        client.send(frame(r#"{"hello":"uartnet/1"}"#));
    }
    for client in &mut clients {
        let welcome: Value = serde_json::from_slice(&client.frame()).expect("a JSON object");
        assert_eq!(welcome["welcome"], "uartnet/1", "{welcome}");
    }
    let grown = daemon
        .process()
        .resident()
        .expect("its memory")
        .saturating_sub(before);
    assert!(
        grown <= BURST * MEMORY_PER_CLIENT,
        "{} bytes for each client",
        grown / BURST
    );
    // All of them at once.
    let mut session = Session::open(daemon.address());
    let status = session.request(json!({"status": "gateway"}));
    let counters = &status["status"]["counters"];
    assert_eq!(counters["connections"], BURST + 1, "{status}");
    assert_eq!(counters["connections_refused"], 0, "{status}");
    let log = daemon.log();
    assert!(!log.contains("cannot accept"), "{log}");
}

#[test]
fn connections_of_one_address_beyond_what_it_may_have_are_refused_and_counted() {
    let daemon = Daemon::with_config(
        "[gateway]\nmax_connections_per_peer = 3\n[[port]]\nname = \"board0\"\ndevice = \"sim:interpreter\"\n\
         [[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\n",
    )
    .expect("a gateway");
    let mut sessions: Vec<Session> = (0..3).map(|_| Session::open(daemon.address())).collect();
    for _ in 0..2 {
        let mut refused = Peer::connect(daemon.address());
        assert_eq!(
            refused.text(),
            "error: busy: 3 connections of this address are in use, and it may have no more"
        );
        refused.expect_end();
    }
    let status = sessions[0].request(json!({"status": "gateway"}));
    let counters = &status["status"]["counters"];
    assert_eq!(counters["connections"], 3, "{status}");
    assert_eq!(counters["connections_refused"], 2, "{status}");
}

#[test]
fn a_gateway_with_256_ports_serves_each_of_them() {
    const PORTS: usize = 256;
    let ports: String = (0..PORTS)
        .map(|n| format!("[[port]]\nname = \"board{n}\"\ndevice = \"sim:echo\"\n"))
        .collect();
    let daemon = Daemon::with_config(&format!(
        "[[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\n{ports}"
    ))
    .expect("a gateway");
    let mut sessions: Vec<Session> = (0..PORTS)
        .map(|_| Session::open(daemon.address()))
        .collect();
    for (n, session) in sessions.iter_mut().enumerate() {
        let opened = session.request(json!({"open": format!("board{n}"), "mode": "write"}));
        assert_eq!(opened["write_offset"], 0, "{opened}");
        session.write(0, format!("I am {n}."));
    }
    for (n, session) in sessions.iter_mut().enumerate() {
        let (offset, said) = session.read_until(&format!("I am {n}."));
        assert_eq!((offset, said.len()), (0, format!("I am {n}.").len()));
    }
    let status = sessions[0].request(json!({"status": "gateway"}));
    assert_eq!(status["status"]["ports"], PORTS, "{status}");
    assert_eq!(status["status"]["present"], PORTS, "{status}");
}

#[test]
fn a_reader_that_never_reads_misses_bytes_by_number_and_others_miss_nothing() {
    let daemon = Daemon::start(&["board1=sim:echo,history=4KiB,on_lag=gap"]).expect("a gateway");
    let mut stuck = Session::open(daemon.address());
    let opened = stuck.request(json!({"open": "board1"}));
    let mut writer = Session::open(daemon.address());
    writer.request(json!({"open": "board1", "mode": "write"}));

    // More than the sockets between the gateway and the stuck reader can hold.
    let line = format!("{}\n", "x".repeat(4095));
    let lines: u64 = 8192;
    let mut offset = 0;
    for _ in 0..lines {
        writer.write(offset, &line);
        offset += line.len() as u64;
        assert_eq!(writer.read_until("\n").1.len(), line.len());
    }
    writer.write(offset, "end");
    writer.read_until("end");

    // What it got and what it was told to have missed are everything, without overlap.
    let (mut data, mut missed) = (0, 0);
    let mut next = opened["offset"].as_u64().expect("an offset");
    let end = next + offset + 3;
    while next < end {
        let payload = stuck.peer().frame();
        if payload[0] == b'{' {
            let event: Value = serde_json::from_slice(&payload).expect("control");
            if event["event"] == "gap" {
                assert_eq!(event["from"], next, "{event}");
                let to = event["to"].as_u64().expect("an offset");
                missed += to - next;
                next = to;
            }
            continue;
        }
        let colon = payload
            .iter()
            .position(|byte| *byte == b':')
            .expect("an offset");
        assert_eq!(String::from_utf8_lossy(&payload[..colon]), next.to_string());
        next += (payload.len() - colon - 1) as u64;
        data += (payload.len() - colon - 1) as u64;
    }
    assert_eq!(data + missed, offset + 3);
    assert!(
        missed > 0,
        "the sockets held all {offset} bytes, so this test tests nothing"
    );
}

#[test]
fn a_small_frame_limit_holds() {
    let daemon = Daemon::with_config(
        "[gateway]\nmax_frame = 256\n[[port]]\nname = \"board1\"\ndevice = \"sim:echo\"\n\
         [port.interpreter]\nprofile = \"none\"\n\
         [[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\nport = \"board1\"\n",
    )
    .expect("a gateway");
    let mut peer = Peer::connect(daemon.address());
    peer.send(frame([b'x'; 252]));
    assert_eq!(peer.text(), "Server notification: data received");
    peer.send(frame([b'x'; 253]));
    assert!(peer.text().starts_with("error: bad-frame: "));
    peer.expect_end();
}

#[test]
fn a_full_queue_of_asks_is_said_to_be_full() {
    let daemon = Daemon::with_config(
        "[[port]]\nname = \"board0\"\ndevice = \"sim:interpreter\"\nask_queue = 2\n\
         [[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\n",
    )
    .expect("a gateway");
    let mut session = Session::open(daemon.address());
    let ids: Vec<u64> = ["SLEEP 300", "LED?", "LED?", "LED?", "LED?"]
        .iter()
        .map(|command| {
            session.send(json!({"ask": "board0", "command": command, "timeout_ms": 30_000}))
        })
        .collect();
    let answers: Vec<Value> = ids.iter().map(|id| session.answer(*id)).collect();
    assert_eq!(answers[0]["reply"], "OK");
    let busy = answers
        .iter()
        .filter(|answer| answer["error"] == "busy")
        .count();
    let replied = answers
        .iter()
        .filter(|answer| answer["reply"].is_string())
        .count();
    assert!(
        busy > 0 && replied > 0 && busy + replied == 5,
        "{answers:?}"
    );
}
