//! Line settings that last as long as somebody wants them.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

use std::process::Stdio;

use predicates::str::contains;
use serde_json::{Value, json};
use uartnet_tests::{Daemon, Session, uart, uart_command};

fn line(daemon: &Daemon) -> Value {
    let info = Session::open(daemon.address()).request(json!({"info": "board0"}));
    info["port"]["line"].clone()
}

/// Whoever has the port open, and waits until these settings are in force.
fn wait_for(watcher: &mut Session, line: &str) {
    watcher.control(|control| control["event"] == "line" && control["line"] == line);
}

#[test]
fn settings_hold_while_a_command_runs() {
    let daemon = Daemon::start(&["board0=sim:interpreter"]).unwrap();
    uart(&daemon)
        .args([
            "set", "board0", "--line", "9600-7e1", "--", "info", "board0",
        ])
        .assert()
        .code(0)
        .stdout(contains("9600-7e1"));
    assert_eq!(line(&daemon), "115200-8n1");
    uart(&daemon)
        .args([
            "set", "board0", "--line", "9600", "--", "ask", "board0", "LED?",
        ])
        .assert()
        .code(0)
        .stdout("OFF\n");
    assert_eq!(line(&daemon), "115200-8n1");
}

#[test]
fn the_exit_code_is_the_commands() {
    let daemon = Daemon::start(&["board0=sim:interpreter"]).unwrap();
    let set = ["set", "board0", "--line", "9600"];
    for (command, code) in [
        (&["--exec", "--", "sh", "-c", "exit 7"][..], 7),
        (&["--exec", "--", "sh", "-c", "kill -TERM $$"], 128 + 15),
        (&["--exec", "--", "/does/not/exist"], 1),
        (&["--", "ask", "nobody", "x"], 1),
        (&["--", "no-such-command"], 2),
    ] {
        uart(&daemon).args(set).args(command).assert().code(code);
        assert_eq!(line(&daemon), "115200-8n1", "{command:?}");
    }
    uart(&daemon)
        .args(["set", "rfc2217://127.0.0.1:9", "--line", "9600", "--", "ls"])
        .assert()
        .code(2)
        .stderr(contains("no uartnet gateway"));
}

#[test]
fn settings_go_back_although_whoever_held_them_was_killed() {
    let daemon = Daemon::start(&["board0=sim:interpreter"]).unwrap();
    let mut watcher = Session::open(daemon.address());
    watcher.request(json!({"open": "board0"}));
    let mut holder = uart_command(daemon.gateway())
        .unwrap()
        .args(["set", "board0", "--line", "9600"])
        .args(["--exec", "--", "sh", "-c", "read forever"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for(&mut watcher, "9600-8n1");
    holder.kill().unwrap();
    wait_for(&mut watcher, "115200-8n1");
    holder.wait().unwrap();
}

#[test]
fn sessions_that_hold_settings_at_once_get_what_they_are_owed() {
    let daemon = Daemon::start(&["board0=sim:interpreter"]).unwrap();
    let mut watcher = Session::open(daemon.address());
    watcher.request(json!({"open": "board0"}));
    let hold = |session: &mut Session, line: &str| {
        let answer = session.request(json!({"set": "board0", "line": line, "hold": true}));
        assert_eq!(answer["line"], line, "{answer}");
    };
    let (mut first, mut second) = (
        Session::open(daemon.address()),
        Session::open(daemon.address()),
    );
    hold(&mut first, "9600-8n1");
    hold(&mut second, "1200-8n1");
    // It is asked and answered in between, and goes on holding.
    assert_eq!(
        second.request(json!({"ask": "board0", "command": "LED?"}))["reply"],
        "OFF"
    );
    assert_eq!(line(&daemon), "1200-8n1");
    let given_back = second.request(json!({"set": "board0", "hold": false}));
    assert_eq!(given_back["line"], "9600-8n1", "{given_back}");
    drop(first);
    wait_for(&mut watcher, "115200-8n1");

    hold(&mut second, "9600-8n1");
    let to_stay = watcher.request(json!({"set": "board0", "line": "57600-8n1"}));
    assert_eq!(to_stay["line"], "57600-8n1");
    let nothing = second.request(json!({"set": "board0", "hold": false}));
    assert_eq!(nothing["line"], "57600-8n1", "what was set to stay stays");
}
