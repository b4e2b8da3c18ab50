//! A connection that is cut: the client comes back by itself, and nothing is missing.

use std::io::Read;

use serde_json::Value;
use uartnet_tests::{Daemon, Process, Relay, Terminal, uart, uart_command, wait_telemetry};

fn watch(gateway: &str, options: &[&str]) -> Process {
    let mut command = uart_command(gateway).expect("the binaries");
    Process::spawn(
        command
            .args(["watch", "board0", "--from", "start"])
            .args(options),
    )
    .expect("a watcher")
}

#[test]
fn a_watcher_that_was_cut_misses_nothing() {
    let daemon = Daemon::start(&["board0=sim:interpreter"]).unwrap();
    let relay = Relay::to(daemon.address()).unwrap();
    let whole = watch(daemon.gateway(), &["--raw"]);
    let cut = watch(&relay.address().to_string(), &["--raw"]);
    uart(&daemon)
        .args(["ask", "board0", "STREAM 20"])
        .assert()
        .code(0)
        .stdout("OK\n");

    for round in 1..=3 {
        wait_telemetry(&cut, round * 20).unwrap();
        relay.cut();
        relay.wait_refused(round).unwrap();
        wait_telemetry(&whole, round * 20 + 10).unwrap();
        relay.mend();
        wait_telemetry(&cut, round * 20 + 10).unwrap();
    }
    uart(&daemon)
        .args(["ask", "board0", "STREAM OFF"])
        .assert()
        .code(0)
        .stdout("OK\n");
    uart(&daemon)
        .args(["ask", "board0", "ID?"])
        .assert()
        .code(0);
    let last = "uart-interpreter 1.0 #00000000\r\n> ";
    whole.stdout.wait_for(last).unwrap();
    cut.stdout.wait_for(last).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&cut.stdout.bytes()),
        String::from_utf8_lossy(&whole.stdout.bytes())
    );

    let output = uart(&daemon)
        .args(["info", "board0", "--json"])
        .assert()
        .code(0)
        .get_output()
        .stdout
        .clone();
    let info: Value = serde_json::from_slice(&output).unwrap();
    assert_eq!(
        info["history_end"],
        whole.stdout.bytes().len(),
        "the watchers have every byte there was"
    );
    assert!(relay.relayed() >= 4, "{} connections", relay.relayed());
    assert!(
        cut.stderr.text().contains("connected again"),
        "{}",
        cut.stderr.text()
    );
}

#[test]
fn what_could_not_be_had_is_said_with_its_offsets() {
    let daemon = Daemon::start(&["board0=sim:interpreter,history=1KiB"]).unwrap();
    let relay = Relay::to(daemon.address()).unwrap();
    let whole = watch(daemon.gateway(), &["--raw"]);
    let cut = watch(&relay.address().to_string(), &["--json"]);
    uart(&daemon)
        .args(["ask", "board0", "STREAM 10"])
        .assert()
        .code(0)
        .stdout("OK\n");
    wait_telemetry(&cut, 10).unwrap();
    relay.cut();
    relay.wait_refused(1).unwrap();
    // 18 bytes or more a line: far more than the history holds.
    wait_telemetry(&whole, 200).unwrap();
    relay.mend();
    let goes_on = |text: &str| {
        text.rsplit("\"gap\"")
            .next()
            .is_some_and(|rest| rest != text && rest.contains("\"T "))
    };
    cut.stdout
        .wait("a gap and telemetry after it", goes_on)
        .unwrap();

    let records: Vec<Value> = cut
        .stdout
        .text()
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let gaps: Vec<&Value> = records
        .iter()
        .filter(|record| record["event"] == "gap")
        .collect();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    let (from, to) = (
        gaps[0]["from"].as_u64().unwrap(),
        gaps[0]["to"].as_u64().unwrap(),
    );
    assert!(from < to, "{}", gaps[0]);
    // What it has, and what the gap says, is where it belongs in the whole.
    let all = whole.stdout.bytes();
    for record in records.iter().filter(|record| record["text"].is_string()) {
        let at = usize::try_from(record["offset"].as_u64().unwrap()).unwrap();
        let text = record["text"].as_str().unwrap().as_bytes();
        assert!(
            at + text.len() <= usize::try_from(from).unwrap() || at >= usize::try_from(to).unwrap(),
            "{record}"
        );
        if at + text.len() <= all.len() {
            assert_eq!(
                String::from_utf8_lossy(&all[at..at + text.len()]),
                String::from_utf8_lossy(text),
                "{record}"
            );
        }
    }
}

#[test]
fn what_was_typed_meanwhile_is_written_once() {
    let daemon = Daemon::start(&["board0=sim:interpreter"]).unwrap();
    let relay = Relay::to(daemon.address()).unwrap();
    let mut command = uart_command(&relay.address().to_string()).unwrap();
    let mut terminal = Terminal::spawn(command.args(["attach", "board0"])).unwrap();
    terminal.tty.screen.wait_for("attached to board0").unwrap();
    terminal.tty.type_in(b"hello one\r").unwrap();
    terminal.tty.screen.wait_for("Hello from").unwrap();
    relay.cut();
    relay.wait_refused(1).unwrap();
    terminal.tty.screen.wait_for("connection lost").unwrap();
    terminal.tty.type_in(b"hello two\r").unwrap();
    relay.mend();
    terminal.tty.screen.wait_for("connected again").unwrap();
    terminal
        .tty
        .screen
        .wait_for("hello two\r\nHello from")
        .unwrap();
    terminal.tty.type_in(b"id?\r").unwrap();
    let screen = terminal
        .tty
        .screen
        .wait_for("uart-interpreter 1.0")
        .unwrap();
    for typed in ["hello one\r\n", "hello two\r\n"] {
        assert_eq!(screen.matches(typed).count(), 1, "{typed:?} in {screen}");
    }
    terminal.tty.type_in(b"\x1d.").unwrap();
    terminal.process.wait().unwrap();
}

#[test]
fn the_relay_itself_relays_and_cuts() {
    let daemon = Daemon::start(&["board0=sim:interpreter"]).unwrap();
    let relay = Relay::to(daemon.address()).unwrap();
    let mut peer = uartnet_tests::Peer::connect(relay.address());
    peer.send(b"6_LED?");
    assert_eq!(peer.text(), "OFF");
    relay.cut();
    assert_eq!(peer.stream().read(&mut [0]).unwrap_or(0), 0);
    let mut refused = uartnet_tests::Peer::connect(relay.address());
    assert_eq!(refused.rest().0, b"");
    relay.mend();
    let mut peer = uartnet_tests::Peer::connect(relay.address());
    peer.send(b"6_LED?");
    peer.finish();
    assert_eq!(peer.text(), "OFF");
    peer.expect_end();
}
