//! What a board, a device or a peer says is shown, and not obeyed: nothing that `uart` shows or `uartd` logs moves a
//! person's cursor. (`uart attach`, and what is asked for with `--raw`, pass everything: that is what they are for.)

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::io::{Read, Write};
use std::path::Path;
use std::thread;

use uartnet_tests::{
    Daemon, Peer, Terminal, frame, make_raw, open_board, uart_command, uartd_command,
};

/// What a terminal would obey: a clear screen by ESC and by C1, a title, a bell, a backspace, a reordering.
const EVIL: &str = "\u{1b}[2J\u{9b}2J\u{1b}]0;mine\u{7}\u{8}\u{7f}\u{202e}";

/// A board that answers with what nobody should be shown as it is: at once, as an error, or without an end.
fn play_board(path: &Path) {
    let mut device = open_board(path).unwrap();
    make_raw(&device).unwrap();
    thread::spawn(move || {
        let mut command = Vec::new();
        let mut byte = [0];
        while device.read(&mut byte).is_ok_and(|count| count == 1) {
            if byte != *b"\r" {
                command.push(byte[0]);
                continue;
            }
            let answer = match command.as_slice() {
                b"HANG" => EVIL.to_owned(),
                b"FAIL" => format!("ERROR {EVIL}\r\n"),
                _ => format!("fine {EVIL}\r\n"),
            };
            command.clear();
            if device.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    });
}

/// What of a text a terminal would obey.
fn obeyed(text: &str) -> Option<char> {
    text.chars().find(|letter| {
        let is_ours = matches!(letter, '\n' | '\r' | '\t');
        letter.is_control() && !is_ours || matches!(letter, '\u{202a}'..='\u{202e}')
    })
}

#[test]
fn what_others_say_is_shown_and_not_obeyed() {
    let folder = tempfile::tempdir().unwrap();
    let board = folder.path().join("board");
    let text =
        "[gateway]\nname = \"bench1\"\naudit = \"DIR/audit\"\n\
         [[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\nport = \"board0\"\n\
         [[port]]\nname = \"board0\"\ndevice = \"pty:DIR/board\"\n\
         [port.interpreter]\nprofile = \"custom\"\nuntil = \"\\n\"\nerror = \"ERROR.*\"\ntimeout = \"300ms\"\n\
         [[port.log]]\npath = \"DIR/b.log\"\n\
         [[port]]\nname = \"board1\"\ndevice = \"DIR/gone\"\n\
         [port.interpreter]\nprofile = \"line\"\n"
        .replace("DIR", folder.path().to_str().unwrap());
    let file = folder.path().join("uartd.toml");
    std::fs::write(&file, text).unwrap();
    let mut command = uartd_command().unwrap();
    command.args(["--log", "debug", "--config"]).arg(&file);
    let daemon = Daemon::run(&mut command, 1).unwrap();
    play_board(&board);

    // A peer that has an evil name for itself, and says what is not understood.
    let mut peer = Peer::connect(daemon.address());
    let evil = serde_json::to_string(EVIL).unwrap();
    peer.send(frame(format!(r#"{{"hello":"uartnet/1","client":{evil}}}"#)));
    peer.frame();
    peer.send(frame(format!(r#"{{"open":{evil},"mode":{evil}}}"#)));
    peer.frame();

    let long = &["--timeout", "300ms"];
    let mut shown = 0;
    // Each with the exit code it has, so that nothing is harmless because it was refused for another reason.
    for (words, code) in [
        (&["ask", "board0", "ID?"][..], 0),
        (&["ask", "board0", "FAIL"], 1),
        (&[&["ask", "board0", "HANG"], &long[..]].concat(), 4),
        (&["ask", "board1", "ID?"], 1),
        (&["send", "ID?"], 0),
        (&["send", "FAIL"], 1),
        (&["send", "HANG"], 4),
        (&["ls"], 0),
        (&["ask", "board0", "ID?", "--json"], 0),
        (&["log", "board0", "--json"], 0),
        (
            &[
                "watch", "board0", "--from", "start", "--lines", "3", "--json",
            ],
            0,
        ),
        (&["info"], 0),
        (&["info", "board0"], 0),
        (&["info", "board1"], 0),
        (&["log", "board0", "--sent", "--events"], 0),
        (&["watch", "board0", "--from", "start", "--lines", "3"], 0),
        (&["expect", "board0", "fine.*", "--from", "start"], 0),
        (
            &[&["expect", "board0", "never", "--from", "start"], &long[..]].concat(),
            4,
        ),
        (&["set", "board1", "--line", "9600-8n1"], 1),
        (&["signal", "board1", "dtr=on"], 1),
        (&["run", "board1", EVIL], 1),
        (&["purge", "board1", "rx"], 1),
    ] {
        let mut command = uart_command(daemon.gateway()).unwrap();
        command.args(words).env("NO_COLOR", "1");
        let mut terminal = Terminal::spawn(&mut command).unwrap();
        let status = terminal.process.wait().unwrap();
        drop(terminal.process);
        let said = terminal.tty.screen.text();
        assert_eq!(status.code(), Some(code), "{words:?}: {said:?}");
        assert_eq!(obeyed(&said), None, "{words:?}: {said:?}");
        shown += usize::from(said.contains("[2J"));
    }
    assert!(shown >= 7, "only {shown} showed it at all");

    let log = daemon.log();
    assert!(log.contains("[2J"), "{log}");
    assert_eq!(obeyed(&log), None, "{log:?}");
    let audit = std::fs::read_to_string(folder.path().join("audit")).unwrap();
    assert_eq!(obeyed(&audit), None, "{audit:?}");
}
