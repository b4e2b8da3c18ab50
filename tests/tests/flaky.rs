//! A board that vanishes and comes back: clients stay connected, and are told.

use serde_json::json;
use uartnet_tests::{Daemon, Session, uart};

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
