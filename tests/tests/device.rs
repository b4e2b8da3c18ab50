//! A device that is not there, comes, goes, and comes back as another one behind the same link: its clients stay, and
//! nothing that was meant for the old one reaches the new one.
#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use rustix::termios::tcgetattr;
use serde_json::{Value, json};
use uartnet_tests::{Board, DEADLINE, Daemon, Session, read_exactly};

/// A port behind a link, with a listener of each protocol.
fn start(link: &Path, settings: &str) -> Daemon {
    let listeners: String = ["uartnet", "raw", "rfc2217"]
        .map(|protocol| {
            format!("[[listen]]\nprotocol = \"{protocol}\"\naddress = \"127.0.0.1:0\"\n")
        })
        .concat();
    let device = link.display();
    Daemon::with_config(&format!(
        "[[port]]\nname = \"board0\"\ndevice = \"{device}\"\n{settings}\n{listeners}"
    ))
    .unwrap()
}

fn connect(daemon: &Daemon, protocol: &str) -> TcpStream {
    let mut listening = daemon.listening().iter();
    let listening = listening.find(|it| it.protocol == protocol).unwrap();
    let stream = TcpStream::connect(&listening.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn reads(stream: &mut TcpStream, text: &str) {
    let mut bytes = vec![0; text.len()];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes.escape_ascii().to_string(), text);
}

/// The telnet stream says this sooner or later.
fn says(stream: &mut TcpStream, wanted: &[u8]) {
    let (mut said, mut piece) = (Vec::new(), [0; 256]);
    while !said.windows(wanted.len()).any(|window| window == wanted) {
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "it ends after {}", said.escape_ascii());
        said.extend_from_slice(&piece[..count]);
    }
}

fn absent(session: &mut Session, reason: &str) {
    session.control(|control| {
        let said = control["reason"].as_str().unwrap_or_default();
        control["event"] == "state" && control["state"] == "absent" && said.contains(reason)
    });
}

fn present(session: &mut Session) -> Value {
    session.control(|control| control["event"] == "state" && control["state"] == "present")
}

#[test]
fn clients_of_every_endpoint_stay_while_boards_come_and_go_behind_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("serial/by-id/board");
    let daemon = start(&link, "");
    let mut session = Session::open(daemon.address());
    session.request(json!({"open": "board0", "mode": "write"}));
    absent(&mut session, "no such device");
    let mut raw = connect(&daemon, "raw");
    let mut telnet = connect(&daemon, "rfc2217");
    // WILL COM-PORT-OPTION: the gateway tells the modem lines, which are all down.
    telnet.write_all(b"\xff\xfb\x2c").unwrap();
    says(&mut telnet, b"\xff\xfa\x2c\x6b\x00\xff\xf0");

    let mut board = Board::new();
    board.plug_in(&link);
    assert_eq!(present(&mut session)["losses"], 0);
    // CTS, DSR and DCD are taken to be up where there are no such lines.
    says(&mut telnet, b"\xff\xfa\x2c\x6b\xbb\xff\xf0");
    session.request(json!({"set": "board0", "line": "9600-8n1"}));
    session.write(0, "first");
    board.hears("first");
    board.says("one");
    assert_eq!(session.read_until("one"), (0, b"one".to_vec()));
    reads(&mut raw, "one");

    board.unplug(&link);
    absent(&mut session, "");
    says(&mut telnet, b"\xff\xfa\x2c\x6b\x0b\xff\xf0");
    session.write(5, "refused");
    assert_eq!(session.error()["error"], "absent");
    // Something else may stand where the device should be, or the directory be gone.
    fs::write(&link, "").unwrap();
    absent(&mut session, "not a serial device");
    fs::remove_dir_all(link.parent().unwrap()).unwrap();
    absent(&mut session, "no such device");
    raw.write_all(b"sent meanwhile").unwrap();

    let mut board = Board::new();
    board.plug_in(&link);
    let state = present(&mut session);
    assert_eq!(
        (&state["losses"], &state["line"]),
        (&json!(1), &json!("9600-8n1"))
    );
    assert_eq!(tcgetattr(&board.end).unwrap().output_speed(), 9600);
    says(&mut telnet, b"\xff\xfa\x2c\x6b\xbb\xff\xf0");
    board.hears("sent meanwhile");
    board.says("two");
    assert_eq!(session.read_until("two"), (3, b"two".to_vec()));
    reads(&mut raw, "two");
    says(&mut telnet, b"two");
}

/// What a board that reads nothing is written, so that a part of it must wait.
fn much() -> Vec<u8> {
    (0..60_000_u32)
        .flat_map(|n| [b'a' + (n % 23) as u8])
        .collect()
}

/// A board that reads nothing is unplugged while bytes wait for it. Says up to which write offset they were taken, and
/// what is told from then on.
fn lose_a_board_that_reads_nothing(
    settings: &str,
) -> (Daemon, Session, PathBuf, u64, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("board");
    let deaf = Board::new();
    deaf.plug_in(&link);
    let daemon = start(&link, settings);
    let mut session = Session::open(daemon.address());
    session.request(json!({"open": "board0", "mode": "write"}));
    present(&mut session);
    session.write(0, much());
    session.event("written");
    deaf.unplug(&link);
    absent(&mut session, "");
    let info = session.request(json!({"info": "board0"}));
    let taken = info["port"]["counters"]["bytes_written"].as_u64().unwrap();
    assert!((1..60_000).contains(&taken), "{info}");
    (daemon, session, link, taken, folder)
}

#[test]
fn what_was_meant_for_the_old_board_does_not_reach_the_new_one() {
    let (_daemon, mut session, link, taken, _folder) = lose_a_board_that_reads_nothing("");
    let lost = session.event("write-lost");
    assert_eq!(
        (&lost["from"], &lost["to"]),
        (&json!(taken), &json!(60_000))
    );
    let mut board = Board::new();
    board.plug_in(&link);
    present(&mut session);
    session.write(60_000, "for the new one");
    board.hears("for the new one");
    let info = session.request(json!({"info": "board0"}));
    let counters = &info["port"]["counters"];
    assert_eq!(counters["bytes_write_lost"], 60_000 - taken);
    assert_eq!(
        counters["bytes_written"],
        taken + "for the new one".len() as u64
    );
}

#[test]
fn unless_it_was_asked_for() {
    let (_daemon, mut session, link, taken, _folder) =
        lose_a_board_that_reads_nothing("on_loss = \"keep\"");
    let mut board = Board::new();
    board.plug_in(&link);
    present(&mut session);
    let rest = &much()[usize::try_from(taken).unwrap()..];
    assert!(
        read_exactly(&mut board.end, rest.len()) == rest,
        "it is the rest"
    );
    session.write(60_000, "next");
    board.hears("next");
    let info = session.request(json!({"info": "board0"}));
    assert_eq!(info["port"]["counters"]["bytes_write_lost"], 0);
}
