//! `pty:PATH`: a foreign program is the board. Here this test is.

use std::fs::File;
use std::io::Write;

use uartnet_tests::{Collected, Daemon, Process, make_raw, open_board, uart, uart_command};

/// The test's end of the port, as any program would open it.
fn plug_in(daemon: &Daemon, path: &std::path::Path) -> (File, Collected) {
    let _ = daemon;
    let board = open_board(path).expect("the link leads to a device");
    make_raw(&board).expect("a terminal device");
    let received = Collected::of(board.try_clone().expect("a second handle"));
    (board, received)
}

#[test]
fn this_test_is_the_board() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("board0");
    let daemon = Daemon::start(&[&format!("board0=pty:{},prompt=> ", path.display())]).unwrap();
    let (mut board, received) = plug_in(&daemon, &path);

    let mut ask = Process::spawn(uart_command(daemon.gateway()).unwrap().args([
        "ask",
        "board0",
        "WHO ARE YOU",
        "--timeout",
        "50s",
    ]))
    .unwrap();
    received.wait_for("WHO ARE YOU\r").unwrap();
    board
        .write_all(b"WHO ARE YOU\r\na test\r\nin disguise\r\n> ")
        .unwrap();
    assert!(ask.wait().unwrap().success(), "{}", ask.said());
    assert_eq!(ask.stdout.text(), "a test\r\nin disguise\n");
}

#[test]
fn all_byte_values_pass() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("board0");
    let daemon = Daemon::start(&[&format!("board0=pty:{}", path.display())]).unwrap();
    let (mut board, received) = plug_in(&daemon, &path);
    let all: Vec<u8> = (0..=255).collect();

    let mut session = uartnet_tests::Session::open(daemon.address());
    session.request(serde_json::json!({"open": "board0", "mode": "write"}));
    session.write(0, [all.as_slice(), b"end"].concat());
    received.wait_for("end").unwrap();
    assert_eq!(received.bytes(), [all.as_slice(), b"end"].concat());
    board.write_all(&all).unwrap();
    board.write_all(b"end").unwrap();
    assert_eq!(session.read_until("end").1[..256], all);
}

#[test]
fn the_link_is_gone_when_the_gateway_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("board0");
    let mut daemon = Daemon::start(&[&format!("board0=pty:{}", path.display())]).unwrap();
    uart(&daemon).args(["ls"]).assert().code(0);
    assert!(path.exists());
    daemon.stop().unwrap();
    assert!(!path.is_symlink(), "{} was left behind", path.display());
}
