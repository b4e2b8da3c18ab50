//! `uart pty`: programs of this machine use a virtual device as they would use the board's own.
#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use rustix::termios::{
    ControlModes, OptionalActions, QueueSelector, Termios, tcdrain, tcflush, tcgetattr, tcsetattr,
};
use serde_json::Value;
use uartnet_tests::{
    DEADLINE, Daemon, Process, Relay, echo_through_cuts, exit_code, open_board, read_exactly, uart,
    uart_command,
};

/// `uart pty board0 ARGS`, when it has said where the device is.
fn virtual_device(gateway: &str, args: &[&str]) -> (Process, PathBuf) {
    let mut command = uart_command(gateway).expect("the binaries");
    let process = Process::spawn(command.args(["pty", "board0"]).args(args)).expect("uart pty");
    let said = process
        .stdout
        .wait("a whole line", |text| text.ends_with('\n'))
        .unwrap_or_else(|error| panic!("{error:#}\n{}", process.said()));
    let words: Vec<&str> = said.split_whitespace().collect();
    let ["virtual", "device", path, "board0"] = words[..] else {
        panic!("{said:?}");
    };
    let path = PathBuf::from(path);
    (process, path)
}

fn set(device: &File, change: impl FnOnce(&mut Termios)) {
    let mut termios = tcgetattr(device).unwrap();
    change(&mut termios);
    tcsetattr(device, OptionalActions::Now, &termios).unwrap();
}

fn line_of(daemon: &Daemon) -> String {
    let output = uart(daemon)
        .args(["info", "board0", "--json"])
        .output()
        .unwrap();
    let info: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    info["line"].as_str().unwrap().to_owned()
}

/// Waits until it is so; nothing says when another process has done something.
fn until(what: &str, so: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + DEADLINE;
    while !so() {
        assert!(std::time::Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Bytes that say where they are, so that a hole or a repetition shows.
fn pattern(length: usize) -> Vec<u8> {
    (0..length.div_ceil(8))
        .flat_map(|index| {
            (index as u64)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .to_be_bytes()
        })
        .take(length)
        .collect()
}

/// Writes from a thread of its own while this one reads the echo.
fn echoes(device: &File, bytes: &[u8]) -> Vec<u8> {
    let mut reader = device.try_clone().unwrap();
    let mut writer = device.try_clone().unwrap();
    let sent = bytes.to_vec();
    let writing = thread::spawn(move || writer.write_all(&sent).unwrap());
    let received = read_exactly(&mut reader, bytes.len());
    writing.join().unwrap();
    received
}

#[test]
fn every_byte_goes_both_ways() {
    let daemon = Daemon::start(&["board0=loopback:"]).unwrap();
    let (mut pty, path) = virtual_device(daemon.gateway(), &[]);
    let device = open_board(&path).unwrap();
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(echoes(&device, &all), all);
    let much = pattern(1 << 20);
    assert!(echoes(&device, &much) == much, "1 MiB came back different");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    drop(device);
    pty.stderr.wait_for("closed by the program").unwrap();
    assert_eq!(exit_code(pty.stop().unwrap()), 0);
}

#[test]
fn what_a_program_sets_is_set_at_the_uart_and_what_others_set_is_shown_to_it() {
    let daemon = Daemon::start(&["board0=loopback:,57600-7e1"]).unwrap();
    let (_pty, path) = virtual_device(daemon.gateway(), &[]);
    let device = open_board(&path).unwrap();
    assert_eq!(tcgetattr(&device).unwrap().output_speed(), 57_600);
    set(&device, |termios| termios.set_speed(74_880).unwrap());
    until("the speed is set", || line_of(&daemon) == "74880-7e1");
    set(&device, |termios| {
        termios.control_modes |= ControlModes::CSTOPB | ControlModes::CRTSCTS;
    });
    until("the rest is set", || line_of(&daemon) == "74880-7e2-rtscts");

    uart(&daemon)
        .args(["set", "board0", "--line", "300-8n1"])
        .assert()
        .code(0);
    until("the program sees it", || {
        let termios = tcgetattr(&device).unwrap();
        termios.output_speed() == 300 && !termios.control_modes.contains(ControlModes::CRTSCTS)
    });
    assert_eq!(line_of(&daemon), "300-8n1", "not set back");
}

#[test]
fn a_change_takes_its_place_among_the_bytes_and_a_flush_forgets() {
    let daemon = Daemon::start(&["board0=sim:interpreter"]).unwrap();
    let (_pty, path) = virtual_device(daemon.gateway(), &[]);
    let mut device = open_board(&path).unwrap();
    // As most programs begin: configure, flush, write at once.
    set(&device, |termios| termios.set_speed(9600).unwrap());
    tcflush(&device, QueueSelector::IOFlush).unwrap();
    device.write_all(b"ID?\r").unwrap();
    let wanted = b"uart-interpreter 1.0";
    let mut said = Vec::new();
    while !said.windows(wanted.len()).any(|window| window == wanted) {
        said.extend(read_exactly(&mut device, 1));
    }
    until("the speed is set", || line_of(&daemon) == "9600-8n1");
}

#[test]
fn a_program_that_drains_and_flushes_loses_nothing_that_the_device_has_taken() {
    let daemon = Daemon::start(&["board0=loopback:,pacing=1ms/byte"]).unwrap();
    let (_pty, path) = virtual_device(daemon.gateway(), &[]);
    let mut device = open_board(&path).unwrap();
    let sent = pattern(1000);
    device.write_all(&sent).unwrap();
    // The first bytes are back, so the device has taken all, and most of them still wait for the UART.
    let mut received = read_exactly(&mut device, 100);
    tcdrain(&device).unwrap();
    tcflush(&device, QueueSelector::OFlush).unwrap();
    received.extend(read_exactly(&mut device, 900));
    assert!(received == sent);
}

#[test]
fn data_bits_and_parity_are_set_by_the_person() {
    let daemon = Daemon::start(&["board0=loopback:,115200-8n1"]).unwrap();
    let (_pty, path) = virtual_device(daemon.gateway(), &["--line", "7e1"]);
    until("the format is set", || line_of(&daemon) == "115200-7e1");
    let device = open_board(&path).unwrap();
    set(&device, |termios| termios.set_speed(9600).unwrap());
    until("the speed is set", || line_of(&daemon) == "9600-7e1");
}

#[test]
fn a_program_keeps_its_device_while_the_connection_is_cut_and_misses_nothing() {
    let daemon = Daemon::start(&["board0=loopback:"]).unwrap();
    let relay = Relay::to(daemon.address()).unwrap();
    let (pty, path) = virtual_device(&relay.address().to_string(), &[]);
    let device = open_board(&path).unwrap();
    let much = pattern(1_000_000);
    let writer = device.try_clone().unwrap();
    let mut reader = device.try_clone().unwrap();
    let received = echo_through_cuts(
        &relay,
        writer,
        move |count| read_exactly(&mut reader, count),
        &much,
    );
    assert!(received == much, "something is missing, or came twice");
    let said = pty.stderr.wait_for("connected again").unwrap();
    assert!(said.contains("connection lost"), "{said}");
    assert!(!said.contains("missed"), "{said}");
}

#[test]
fn settings_made_while_the_connection_is_cut_are_made_afterwards() {
    let daemon = Daemon::start(&["board0=loopback:"]).unwrap();
    let relay = Relay::to(daemon.address()).unwrap();
    let (pty, path) = virtual_device(&relay.address().to_string(), &[]);
    let device = open_board(&path).unwrap();
    assert_eq!(echoes(&device, b"before"), b"before");
    relay.cut();
    pty.stderr.wait_for("connection lost").unwrap();
    set(&device, |termios| termios.set_speed(4800).unwrap());
    relay.mend();
    until("the speed is set", || line_of(&daemon) == "4800-8n1");
    assert_eq!(echoes(&device, b"after"), b"after");
}

#[test]
fn a_program_that_never_reads_can_go_on_writing() {
    let daemon = Daemon::start(&["board0=loopback:"]).unwrap();
    let (pty, path) = virtual_device(daemon.gateway(), &[]);
    let mut device = open_board(&path).unwrap();
    // More than all buffers on the way hold together.
    device.write_all(&pattern(8 << 20)).unwrap();
    pty.stderr.wait_for("writes and does not read").unwrap();
}

#[test]
fn the_link_is_made_for_programs_and_goes_at_the_end() {
    let daemon = Daemon::start(&["board0=loopback:"]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("board0");
    let text = link.to_str().unwrap();
    symlink("/dev/pts/999999", &link).unwrap();
    for signal in [uartnet_tests::Signal::TERM, uartnet_tests::Signal::INT] {
        let (mut pty, path) = virtual_device(daemon.gateway(), &["--link", text, "--mode", "0640"]);
        assert_eq!(fs::read_link(&link).unwrap(), path);
        assert_eq!(fs::metadata(&link).unwrap().mode() & 0o777, 0o640);
        let mut device = open_board(&link).unwrap();
        device.write_all(b"last words").unwrap();
        pty.signal(signal).unwrap();
        assert_eq!(exit_code(pty.wait().unwrap()), 0);
        assert!(fs::symlink_metadata(&link).is_err(), "the link is left");
    }
    // What was written right before the end reached the board, and its echo the history.
    let output = uart(&daemon)
        .args([
            "watch", "board0", "--raw", "--from", "start", "--bytes", "20",
        ])
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"last wordslast words");

    fs::write(&link, "precious").unwrap();
    uart(&daemon)
        .args(["pty", "board0", "--link", text])
        .assert()
        .code(1)
        .stderr(predicates::str::contains("something else is there"));
    assert_eq!(fs::read(&link).unwrap(), b"precious");
}

#[test]
fn what_nobody_hears_is_counted_and_history_waits_for_the_first_program() {
    let daemon = Daemon::start(&["board0=loopback:"]).unwrap();
    let write = |text: &'static str| {
        uart(&daemon)
            .args(["attach", "board0"])
            .write_stdin(text)
            .assert()
            .code(0);
    };
    write("history");
    let (old, old_path) = virtual_device(daemon.gateway(), &["--from", "start"]);
    let (pty, path) = virtual_device(daemon.gateway(), &[]);
    write("unheard");
    let mut device = open_board(&path).unwrap();
    pty.stderr
        .wait_for("7 bytes had come while nobody had it open")
        .unwrap();
    device.write_all(b"!").unwrap();
    assert_eq!(read_exactly(&mut device, 1), b"!");
    let mut device = open_board(&old_path).unwrap();
    assert_eq!(read_exactly(&mut device, 15), b"historyunheard!");
    drop(old);
}

#[test]
fn mistakes_are_told() {
    let daemon = Daemon::start(&["board0=loopback:"]).unwrap();
    for (args, code, reason) in [
        (&["pty", "nosuch"][..], 1, "unknown-port"),
        (&["pty", "board0", "--mode", "rw"], 2, "octal"),
        (&["pty", "board0", "--line", "7x1"], 2, "not a line setting"),
        (
            &["pty", "board0", "--link", "/nonexistent/board0"],
            1,
            "cannot make the link",
        ),
    ] {
        uart(&daemon)
            .args(args)
            .assert()
            .code(code)
            .stderr(predicates::str::contains(reason));
    }
}
