//! A board that vanishes and comes back: clients stay connected, and are told.

use std::io::Read;

use serde_json::json;
use uartnet_tests::{Daemon, Peer, Session, content, uart};

#[test]
fn clients_stay_and_are_told_when_the_board_goes_and_comes_back() {
    let daemon = Daemon::start(&["board0=sim:flaky?up=500ms&down=300ms"]).unwrap();
    let mut session = Session::open(daemon.address());
    session.request(json!({"open": "board0"}));
    let state = |state: &'static str| {
        move |control: &serde_json::Value| control["event"] == "state" && control["state"] == state
    };
    session.control(state("present"));
    let absent = session.control(state("absent"));
    assert!(
        absent["reason"]
            .as_str()
            .is_some_and(|reason| !reason.is_empty()),
        "{absent}"
    );
    let present = session.control(state("present"));
    assert!(present["losses"].as_u64() >= Some(1), "{present}");
    assert!(present["line"].is_string(), "{present}");
    assert_eq!(session.request(json!({"ping": 1}))["pong"], 1);
}

#[test]
fn a_device_that_was_never_there_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let device = folder.path().join("not-plugged-in");
    let daemon = Daemon::start(&[&format!("board0={}", device.display())]).unwrap();
    uart(&daemon)
        .args(["ls"])
        .assert()
        .code(0)
        .stdout(predicates::str::contains("absent"));
    let mut session = Session::open(daemon.address());
    let answer = session.request(json!({"info": "board0"}));
    assert!(answer["port"]["absent_reason"].is_string(), "{answer}");
}

/// The adapter's hiccups: a read or a write fails, then opening it does, then the board takes nothing for a while. A client
/// of `raw` notices nothing of it but the time it takes.
#[test]
fn whatever_fails_at_the_device_every_byte_arrives_once_where_it_is_kept() {
    for (fault, reason) in [
        ("read", "read: Input/output error"),
        ("write", "write: Input/output error"),
    ] {
        let daemon = Daemon::with_config(&format!(
            "[[port]]\nname = \"board0\"\non_loss = \"keep\"\n\
             device = \"sim:flaky?of=echo&up=50ms&fault={fault}&refuse=1&deaf=20ms\"\n\
             [[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\n\
             [[listen]]\nprotocol = \"raw\"\naddress = \"127.0.0.1:0\"\n"
        ))
        .unwrap();
        let mut session = Session::open(daemon.address());
        session.request(json!({"open": "board0"}));
        let mut raw = Peer::connect(daemon.listening()[1].address.parse().unwrap());
        let mut losses = 0;
        let mut sent = 0;
        while losses < 2 {
            let piece = content(sent..sent + 1000);
            raw.send(&piece);
            let mut echoed = vec![0; piece.len()];
            raw.stream().read_exact(&mut echoed).unwrap();
            assert!(
                echoed == piece,
                "{fault}: other bytes than were sent after {sent}"
            );
            sent += 1000;
            let info = session.request(json!({"info": "board0"}));
            let counters = &info["port"]["counters"];
            losses = counters["device_losses"].as_u64().unwrap();
            assert_eq!(counters["bytes_written"], sent, "{fault}: {info}");
            assert_eq!(counters["bytes_write_lost"], 0, "{fault}: {info}");
        }
        for reason in [reason, "open: Input/output error"] {
            session.control(|control| {
                let why = control["reason"].as_str();
                control["state"] == "absent" && why.is_some_and(|why| why.contains(reason))
            });
        }
    }
}
