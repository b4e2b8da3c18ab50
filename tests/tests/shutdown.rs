//! How a gateway stops: gracefully at the first signal, at once at the second.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

use std::io::Write;

use serde_json::json;
use uartnet_tests::{Board, Collected, Daemon, Peer, Session, Signal, exit_code, open_board};

#[test]
fn either_signal_stops_an_idle_gateway_with_exit_code_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut daemon = Daemon::start(&["board0=sim:interpreter"]).unwrap();
        daemon.process().signal(signal).unwrap();
        assert_eq!(exit_code(daemon.wait().unwrap()), 0, "{signal:?}");
    }
}

#[test]
fn clients_are_told_and_their_connections_end_in_order() {
    let mut daemon = Daemon::start(&["board0=sim:interpreter", "board1=sim:echo"]).unwrap();
    let mut plain = Peer::connect(daemon.address());
    plain.send(b"6_LED?");
    assert_eq!(plain.text(), "OFF");
    let mut reader = Session::open(daemon.address());
    reader.request(json!({"open": "board1", "mode": "write"}));
    reader.write(0, "the last words");
    reader.read_until("words");

    daemon.process().signal(Signal::TERM).unwrap();
    let said = reader.end();
    assert!(
        said.iter()
            .any(|event| event["event"] == "closed" && event["reason"] == "shutdown"),
        "{said:?}"
    );
    assert!(plain.rest().1, "a reset instead of an end");
    assert_eq!(exit_code(daemon.wait().unwrap()), 0);
}

#[test]
fn an_ask_under_way_is_still_answered() {
    let mut daemon = Daemon::start(&["board0=sim:interpreter"]).unwrap();
    let mut session = Session::open(daemon.address());
    let mut watcher = Session::open(daemon.address());
    watcher.request(json!({"open": "board0"}));
    let id = session.send(json!({"ask": "board0", "command": "SLEEP 1000", "timeout_ms": 30_000}));
    // The echo shows that the command has reached the board.
    watcher.read_until("SLEEP 1000");
    daemon.process().signal(Signal::TERM).unwrap();
    let said = session.end();
    assert!(
        said.iter()
            .any(|answer| answer["id"] == id && answer["reply"] == "OK"),
        "{said:?}"
    );
    assert_eq!(exit_code(daemon.wait().unwrap()), 0);
}

#[test]
fn a_client_that_does_not_go_is_cut_at_the_drain_deadline() {
    let mut daemon = Daemon::with_config(
        "[gateway]\ndrain = \"300ms\"\n[[port]]\nname = \"board0\"\ndevice = \"sim:interpreter\"\n\
         [[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\n",
    )
    .unwrap();
    let mut stuck = Session::open(daemon.address());
    stuck.send(json!({"ask": "board0", "command": "SLEEP 60000", "timeout_ms": 3_600_000}));
    stuck.request(json!({"ping": 1}));
    daemon.process().signal(Signal::TERM).unwrap();
    // 60 s of sleep are never waited for: the harness would call that hung.
    assert_eq!(exit_code(daemon.wait().unwrap()), 0, "{}", daemon.log());
}

#[test]
fn the_second_signal_cuts() {
    let mut daemon = Daemon::with_config(
        "[gateway]\ndrain = \"1h\"\n[[port]]\nname = \"board0\"\ndevice = \"sim:interpreter\"\n\
         [[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\n",
    )
    .unwrap();
    let mut stuck = Session::open(daemon.address());
    stuck.send(json!({"ask": "board0", "command": "SLEEP 60000", "timeout_ms": 3_600_000}));
    stuck.request(json!({"ping": 1}));
    daemon.process().signal(Signal::TERM).unwrap();
    daemon.wait_log("stop").unwrap();
    daemon.process().signal(Signal::TERM).unwrap();
    daemon.wait().unwrap();
}

/// A gateway that is stopped while it still has all but the first of these bytes to write, one in 20 ms. Gives what the board got
/// by then, and the gateway's log.
fn stop_while_writing(count: usize, drain: &str) -> (Vec<u8>, String) {
    let board = Board::new();
    // Held open, so that the board's end does not see its last user go.
    let mut terminal = open_board(&board.terminal).unwrap();
    let heard = Collected::of(board.end.try_clone().unwrap());
    let mut daemon = Daemon::with_config(&format!(
        "[gateway]\ndrain = \"{drain}\"\n[[port]]\nname = \"board0\"\ndevice = \"{}\"\nwrite_pacing = \"20ms/byte\"\n\
         [[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\n",
        board.terminal.display()
    ))
    .unwrap();
    let mut session = Session::open(daemon.address());
    session.request(json!({"open": "board0", "mode": "write"}));
    session.write(0, vec![b'x'; count]);
    heard.wait_for("x").unwrap();
    daemon.process().signal(Signal::TERM).unwrap();
    assert_eq!(exit_code(daemon.wait().unwrap()), 0);
    // A mark of our own, through the terminal that the gateway has left, shows where its bytes end.
    terminal.write_all(b".").unwrap();
    heard.wait_for(".").unwrap();
    let mut heard = heard.bytes();
    assert_eq!(heard.pop(), Some(b'.'));
    (heard, daemon.log())
}

#[test]
fn what_is_queued_for_a_slow_board_is_written_before_the_end() {
    let (heard, log) = stop_while_writing(25, "1h");
    assert_eq!(heard, [b'x'; 25]);
    assert!(log.contains("bytes_unwritten=0"), "{log}");
    assert!(!log.contains("cut before"), "{log}");
}

#[test]
fn what_a_slow_board_did_not_get_in_time_is_cut_and_named() {
    let (heard, log) = stop_while_writing(20_000, "200ms");
    assert!(!heard.is_empty() && heard.len() < 20_000);
    let cut = 20_000 - heard.len();
    for named in [
        format!("cut before the UART took them port=board0 bytes={cut}"),
        format!("bytes_unwritten={cut}"),
    ] {
        assert!(log.contains(&named), "{} were written\n{log}", heard.len());
    }
}
