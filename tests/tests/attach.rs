//! `uart attach` at a terminal: typing, the escape key, and the terminal that is always given back.

use uartnet_tests::{Daemon, Signal, Terminal, exit_code, uart_command};

fn attach(daemon: &Daemon, options: &[&str]) -> Terminal {
    let mut command = uart_command(daemon.gateway()).expect("the binaries");
    let terminal =
        Terminal::spawn(command.args(["attach", "board0"]).args(options)).expect("a terminal");
    terminal
        .tty
        .screen
        .wait_for("attached to board0")
        .expect("a greeting");
    terminal
}

fn interpreter() -> Daemon {
    Daemon::start(&["board0=sim:interpreter"]).expect("a gateway")
}

#[test]
fn what_is_typed_goes_to_the_board_and_the_escape_key_quits() {
    let daemon = interpreter();
    let mut terminal = attach(&daemon, &[]);
    let screen = terminal.tty.screen.clone();
    assert!(
        screen.text().contains("Ctrl-]") || screen.text().contains("^]"),
        "{}",
        screen.text()
    );
    assert!(
        !terminal.tty.is_cooked().unwrap(),
        "keys would be kept back until Enter"
    );
    terminal.tty.type_in(b"led on\r").unwrap();
    screen.wait_for("OK\r\n").unwrap();
    terminal.tty.type_in(b"led?\r").unwrap();
    screen.wait_for("ON\r\n").unwrap();
    terminal.tty.type_in(b"\x1d?").unwrap();
    screen.wait_for("this help").unwrap();
    terminal.tty.type_in(b"\x1d.").unwrap();
    assert_eq!(exit_code(terminal.process.wait().unwrap()), 0);
    assert!(
        terminal.tty.is_cooked().unwrap(),
        "the terminal was not given back"
    );
}

#[test]
fn ctrl_c_is_for_the_board() {
    let daemon = interpreter();
    let mut terminal = attach(&daemon, &[]);
    terminal.tty.type_in(b"half a line\x03").unwrap();
    terminal.tty.screen.wait_for("half a line^C").unwrap();
    terminal.tty.type_in(b"led?\r").unwrap();
    terminal.tty.screen.wait_for("OFF\r\n").unwrap();
    terminal.tty.type_in(b"\x1d.").unwrap();
    assert_eq!(exit_code(terminal.process.wait().unwrap()), 0);
}

#[test]
fn another_escape_key_and_none() {
    let daemon = interpreter();
    let mut terminal = attach(&daemon, &["--escape", "^A"]);
    terminal.tty.type_in(b"\x01.").unwrap();
    assert_eq!(exit_code(terminal.process.wait().unwrap()), 0);

    let mut terminal = attach(&daemon, &["--escape", "none"]);
    terminal.tty.type_in(b"led on\r").unwrap();
    terminal.tty.screen.wait_for("OK\r\n").unwrap();
    terminal.process.stop().unwrap();
    assert!(
        terminal.tty.is_cooked().unwrap(),
        "the terminal was not given back"
    );
}

#[test]
fn the_terminal_is_given_back_however_it_ends() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        let daemon = interpreter();
        let mut terminal = attach(&daemon, &[]);
        terminal.tty.type_in(b"typed").unwrap();
        terminal.tty.screen.wait_for("typed").unwrap();
        terminal.process.signal(signal).unwrap();
        terminal.process.wait().unwrap();
        assert!(terminal.tty.is_cooked().unwrap(), "not after {signal:?}");
    }
    let mut daemon = interpreter();
    let mut terminal = attach(&daemon, &["--no-reconnect"]);
    daemon.stop().unwrap();
    assert_ne!(exit_code(terminal.process.wait().unwrap()), 0);
    assert!(
        terminal.tty.is_cooked().unwrap(),
        "not after the gateway stopped"
    );
}

#[test]
fn two_people_see_each_other_type() {
    let daemon = interpreter();
    let mut first = attach(&daemon, &[]);
    let second = attach(&daemon, &[]);
    first.tty.type_in(b"gpio 3?\r").unwrap();
    for screen in [&first.tty.screen, &second.tty.screen] {
        screen.wait_for("gpio 3?\r\nIN 1\r\n").unwrap();
    }
}
