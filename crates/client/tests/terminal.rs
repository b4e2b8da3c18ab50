//! `uart attach` on a real pseudo-terminal: its modes while it runs and afterwards, the escape key, what is typed and shown.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod support;

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, OutputModes, Termios, tcgetattr};
use serde_json::json;
use support::{Gateway, PATIENCE, Peer};

/// A terminal with a `uart` on it, as the person in front of it sees both.
struct Terminal {
    keys: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
    line: File,
    modes_before: Termios,
    child: Child,
}

impl Terminal {
    fn start(gateway: &Gateway, arguments: &[&str]) -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let path = std::path::Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
        // This end stays open here, so that its modes can still be looked at when the child has gone.
        let line = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .unwrap();
        let modes_before = tcgetattr(&line).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_uart"))
            .args(arguments)
            .env("UART_GATEWAY", &gateway.address)
            .env("NO_COLOR", "1")
            .stdin(line.try_clone().unwrap())
            .stdout(line.try_clone().unwrap())
            .stderr(line.try_clone().unwrap())
            .spawn()
            .unwrap();
        let keys = File::from(master);
        let mut output = keys.try_clone().unwrap();
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut piece = [0; 1024];
            while let Ok(length @ 1..) = output.read(&mut piece) {
                if sender.send(piece[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Terminal {
            keys,
            screen,
            seen: String::new(),
            line,
            modes_before,
            child,
        }
    }

    fn type_keys(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).unwrap();
    }

    /// Waits until this is on the screen, after what was waited for before.
    #[track_caller]
    fn expect(&mut self, text: &str) {
        loop {
            if let Some(position) = self.seen.find(text) {
                self.seen.drain(..position + text.len());
                return;
            }
            match self.screen.recv_timeout(PATIENCE) {
                Ok(piece) => self.seen.push_str(&String::from_utf8_lossy(&piece)),
                Err(_) => panic!("{text:?} does not come; {:?} came", self.seen),
            }
        }
    }

    fn is_raw(&self) -> bool {
        let modes = tcgetattr(&self.line).unwrap();
        !modes
            .local_modes
            .intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
            && !modes.output_modes.contains(OutputModes::OPOST)
    }

    /// Waits for the end of the child, which must have given the terminal back.
    #[track_caller]
    fn expect_end(self, code: i32) {
        let ran = support::finish(self.child);
        assert_eq!(ran.code, Some(code));
        let modes = tcgetattr(&self.line).unwrap();
        assert_eq!(modes.local_modes, self.modes_before.local_modes);
        assert_eq!(modes.output_modes, self.modes_before.output_modes);
        assert_eq!(modes.input_modes, self.modes_before.input_modes);
    }
}

/// A gateway with one open port that answers what is written with itself.
fn echoing(requests: impl FnOnce(&mut Peer) + Send + 'static) -> Gateway {
    Gateway::start(move |door| {
        let mut peer = door.welcome();
        peer.open(0);
        peer.data(0, "hello\r\n");
        requests(&mut peer);
        peer.until_end();
    })
}

#[test]
fn the_terminal_is_raw_while_it_lasts_and_given_back_on_quit() {
    let gateway = echoing(|peer| {
        assert_eq!(
            peer.expect_data(0),
            "x\x03\r",
            "Ctrl-C and Enter are the board's"
        );
        peer.say(json!({"event": "written", "port": "b", "offset": 3}));
        peer.data(7, "\x1b[1mbold");
    });
    let mut terminal = Terminal::start(&gateway, &["attach", "b"]);
    terminal.expect("[uart] attached to b at");
    terminal.expect("Ctrl-] ? for help, Ctrl-] . to quit\r\n");
    terminal.expect("hello\r\n");
    assert!(terminal.is_raw());
    terminal.type_keys(b"x\x03\r");
    terminal.expect("\x1b[1mbold");
    terminal.type_keys(b"\x1d");
    terminal.type_keys(b".");
    // What the board said last has no end of line, so ours begins with one.
    terminal.expect("\r\n[uart] detached\r\n");
    terminal.expect_end(0);
    gateway.finish();
}

#[test]
fn commands_after_the_escape_key_do_what_the_help_says() {
    let gateway = echoing(|peer| {
        let hold = peer.expect("break");
        assert_eq!((&hold["break"], &hold["ms"]), (&json!("b"), &json!(250)));
        peer.answer(&hold, json!({"done": "break"}));
        let lease = peer.expect("lease");
        assert_eq!(lease["action"], "take");
        peer.answer(
            &lease,
            json!({"error": "not-exclusive", "message": "this port is shared"}),
        );
        // The key itself, and what was typed just before quitting, in as many pieces as they come.
        let mut typed = String::new();
        while typed.len() < 3 {
            typed += &peer.expect_data(typed.len() as u64);
        }
        assert_eq!(typed, "\x1de\n");
        peer.say(json!({"event": "written", "port": "b", "offset": 3}));
    });
    let mut terminal = Terminal::start(&gateway, &["attach", "b", "--eol", "lf"]);
    terminal.expect("hello");
    for (keys, shown) in [
        (
            &b"\x1d?"[..],
            "Ctrl-] b              send a break (250 ms)\r\n",
        ),
        (b"\x1db", "[uart] break sent\r\n"),
        (b"\x1dw", "[uart] this port is shared (not-exclusive)\r\n"),
        (b"\x1dZ", "[uart] no such command; Ctrl-] ? for help\r\n"),
    ] {
        terminal.type_keys(keys);
        terminal.expect(shown);
    }
    terminal.type_keys(b"\x1d\x1d");
    terminal.type_keys(b"\x1de");
    terminal.expect("[uart] local echo on\r\n");
    terminal.type_keys(b"e\r");
    terminal.expect("e\r\n");
    terminal.type_keys(b"\x1dq");
    terminal.expect_end(0);
    gateway.finish();
}

#[test]
fn signals_give_the_terminal_back() {
    for signal in [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT] {
        let gateway = echoing(|_| {});
        let mut terminal = Terminal::start(&gateway, &["attach", "b"]);
        terminal.expect("hello");
        assert!(terminal.is_raw());
        kill_process(Pid::from_child(&terminal.child), signal).unwrap();
        terminal.expect_end(128 + signal.as_raw());
        gateway.finish();
    }
}

#[test]
fn a_signal_in_the_first_moment_gives_the_terminal_back() {
    for _ in 0..25 {
        let gateway = Gateway::start(|door| {
            let mut peer = door.welcome();
            peer.open(0);
            peer.until_end();
        });
        let terminal = Terminal::start(&gateway, &["attach", "b"]);
        let begun = Instant::now();
        while !terminal.is_raw() {
            assert!(begun.elapsed() < PATIENCE, "it never becomes raw");
        }
        kill_process(Pid::from_child(&terminal.child), Signal::TERM).unwrap();
        terminal.expect_end(128 + Signal::TERM.as_raw());
        gateway.finish();
    }
}

#[test]
fn a_gateway_that_fails_gives_the_terminal_back() {
    let gateway = Gateway::start(|door| {
        let mut peer = door.welcome();
        peer.open(0);
        peer.data(0, "hello");
        peer.raw(b"this is no frame");
        peer.until_end();
    });
    let mut terminal = Terminal::start(&gateway, &["attach", "b"]);
    terminal.expect("does not speak uartnet");
    terminal.expect_end(3);
    gateway.finish();
}

#[test]
fn a_port_that_cannot_be_written_to_is_shown_and_the_person_told() {
    let gateway = Gateway::start(|door| {
        let mut peer = door.welcome();
        let open = peer.expect("open");
        peer.answer(
            &open,
            json!({"error": "read-only", "message": "this port is read-only"}),
        );
        peer.until_end();
        let mut peer = door.welcome();
        assert_eq!(peer.open(0)["mode"], "read");
        peer.data(0, "hello");
        assert_eq!(peer.next(), None, "nothing is sent");
    });
    let mut terminal = Terminal::start(&gateway, &["attach", "b"]);
    terminal.expect(", read-only; Ctrl-] ? for help");
    terminal.expect("hello");
    terminal.type_keys(b"abc\x1d.");
    terminal.expect("what you type is not sent\r\n[uart] detached\r\n");
    terminal.expect_end(0);
    gateway.finish();
}
