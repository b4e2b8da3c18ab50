//! What a daemon that was killed leaves behind is in nobody's way.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;

use rustix::fs::{FlockOperation, flock};
use rustix::termios::{
    ControlModes, LocalModes, OptionalActions, OutputModes, tcgetattr, tcsetattr,
};
use serde_json::json;
use uartnet_tests::{Board, Daemon, Session, Signal, open_board, uartd_command};

#[test]
fn after_a_kill_the_next_start_with_the_same_file_works_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let free: SocketAddr = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port");
    let text = format!(
        "[[port]]\nname = \"a\"\ndevice = \"pty:{}\"\n\
         [[listen]]\nprotocol = \"uartnet\"\naddress = \"{free}\"\n\
         [[listen]]\nprotocol = \"uartnet\"\naddress = \"unix:{}\"\n",
        at("board"),
        at("socket")
    );
    fs::write(at("file"), text).expect("a file");
    for _ in 0..3 {
        let mut command = uartd_command().expect("a binary");
        command.args(["--config", &at("file")]);
        let mut daemon = Daemon::run(&mut command, 2).expect("a gateway");
        let mut session = Session::open(free);
        session.request(json!({"open": "a", "mode": "write"}));
        while session.event("state")["state"] != "present" {}
        UnixStream::connect(at("socket")).expect("somebody answers");
        // The daemon's end closes first, which is the one that leaves TIME_WAIT behind.
        daemon.process().signal(Signal::KILL).expect("a process");
        daemon.wait().expect("it ends");
        assert!(fs::symlink_metadata(at("board")).is_ok(), "nothing is left");
        assert!(
            fs::symlink_metadata(at("socket")).is_ok(),
            "nothing is left"
        );
    }
}

/// The serial port of this board, with these settings, as a port of a gateway.
fn start(board: &Board, settings: &str) -> Daemon {
    Daemon::with_config(
        &format!("{settings}\n[[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\n",)
            .replace("DEVICE", &board.terminal.display().to_string()),
    )
    .expect("a gateway")
}

fn open(daemon: &Daemon) -> Session {
    let mut session = Session::open(daemon.address());
    session.request(json!({"open": "a", "mode": "write"}));
    session.control(|control| control["state"] == "present");
    session
}

#[test]
fn a_tty_whose_daemon_was_killed_is_taken_over_at_once_whatever_was_done_to_it() {
    const PORT: &str = "[[port]]\nname = \"a\"\ndevice = \"DEVICE\"\nline = \"57600-8n2-rtscts\"\n";
    let mut board = Board::new();
    let tty = open_board(&board.terminal).expect("the terminal");
    for life in 0..3 {
        let mut daemon = start(&board, PORT);
        let mut session = open(&daemon);
        // As it is configured, whatever the life before and others have left.
        let state = tcgetattr(&tty).expect("its settings");
        assert_eq!(state.output_speed(), 57600);
        assert!(
            state
                .control_modes
                .contains(ControlModes::CSTOPB | ControlModes::CRTSCTS)
        );
        assert!(state.local_modes.is_empty() && state.output_modes.is_empty());
        // It is this one's alone.
        flock(&tty, FlockOperation::NonBlockingLockExclusive).expect_err("it is locked");
        let second = start(&board, PORT);
        let holder = format!("busy, held by pid {}", daemon.process().id());
        let mut other = Session::open(second.address());
        other.request(json!({"open": "a"}));
        other.control(|control| {
            let reason = control["reason"].as_str();
            control["state"] == "absent" && reason.is_some_and(|it| it.contains(&holder))
        });
        drop(second);

        let set = session.request(json!({"set": "a", "line": "9600-8n1"}));
        assert!(set["error"].is_null(), "{set}");
        session.write(0, format!("life {life}"));
        board.hears(&format!("life {life}"));
        daemon.process().signal(Signal::KILL).expect("a process");
        daemon.wait().expect("it ends");
        // The kernel takes no setting back; it gives up the lock.
        let left = tcgetattr(&tty).expect("its settings");
        assert_eq!(left.output_speed(), 9600);
        assert!(left.local_modes.is_empty());
        flock(&tty, FlockOperation::NonBlockingLockExclusive).expect("nobody has it");
        flock(&tty, FlockOperation::Unlock).expect("it was ours");
        // Somebody repairs what they take for a broken terminal (`stty sane`).
        let mut sane = left;
        sane.local_modes |= LocalModes::ICANON | LocalModes::ECHO;
        sane.output_modes |= OutputModes::OPOST | OutputModes::ONLCR;
        tcsetattr(&tty, OptionalActions::Now, &sane).expect("taken");
    }
}
