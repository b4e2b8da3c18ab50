//! Sequences that talk to a board: what they send, what they wait for, and what is told of it.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use serde_json::{Value, json};
use uartnet_tests::{Daemon, Session, uart};

const CONFIG: &str = r#"
[[port]]
name = "board0"
device = "sim:interpreter"
[[port.sequence]]
name = "greet"
steps = ['send=\r', 'within=30s expect=> ', 'send=LED ON\r', 'expect=OK', 'break=5ms']
[[port.sequence]]
name = "wait"
steps = ["baud=9600", "send=ID?\\r", "within=50ms expect=never said"]
[[port.sequence]]
name = "arduino-reset"
steps = ["dtr=off", "20ms", "dtr=on"]
[[listen]]
protocol = "uartnet"
address = "127.0.0.1:0"
"#;

#[test]
fn a_sequence_talks_to_a_board_and_tells_when_each_step_was_done() {
    let daemon = Daemon::with_config(CONFIG).unwrap();
    let ran = uart(&daemon)
        .args(["run", "board0", "greet", "--json"])
        .assert()
        .code(0);
    let done: Value = serde_json::from_slice(&ran.get_output().stdout).unwrap();
    let steps = done["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 5, "{done}");
    assert_eq!(steps[2]["step"], "send=LED ON\\r");
    let at = |step: usize| steps[step]["at_us"].as_u64().unwrap();
    assert!((1..5).all(|step| at(step - 1) <= at(step)), "{done}");
    assert!(steps[4]["took_us"].as_u64().unwrap() >= 5_000, "{done}");
    let mut session = Session::open(daemon.address());
    let led = session.request(json!({"ask": "board0", "command": "LED?"}));
    assert_eq!(led["reply"], "ON", "{led}");
    uart(&daemon)
        .args(["run", "board0", "greet"])
        .assert()
        .code(0)
        .stdout(contains("ms  send=LED ON\\r\n"));
}

#[test]
fn a_sequence_that_waits_in_vain_names_its_step_and_puts_the_line_back() {
    let daemon = Daemon::with_config(CONFIG).unwrap();
    uart(&daemon)
        .args(["run", "board0", "wait"])
        .assert()
        .code(4)
        .stderr(
            contains(
                "step 3 of 3 (\"within=50ms expect=never said\"): it did not arrive within 50ms",
            )
            .and(contains("what had arrived: ")),
        );
    let info = Session::open(daemon.address()).request(json!({"info": "board0"}));
    assert_eq!(info["port"]["line"], "115200-8n1", "{info}");
}

#[test]
fn every_port_has_some_and_its_own_stand_above_them() {
    let daemon = Daemon::with_config(CONFIG).unwrap();
    uart(&daemon)
        .args(["run", "board0", "--list"])
        .assert()
        .code(0)
        .stdout(
            contains("arduino-reset   dtr=off, 20ms, dtr=on\n")
                .and(contains("esp-reset       dtr=off rts=on, 100ms, rts=off\n"))
                .and(contains("esp-bootloader  ")),
        );
    uart(&daemon)
        .args(["info", "board0"])
        .assert()
        .stdout(contains(
            "greet, wait, arduino-reset, esp-bootloader, esp-reset",
        ));
    uart(&daemon)
        .args(["run", "board0", "arduino-reset"])
        .assert()
        .code(0)
        .stdout(contains("  20ms\n"));
}
