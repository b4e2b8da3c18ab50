//! `uart forward`: programs of this machine use a port over TCP.
#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;

use uartnet_tests::{
    DEADLINE, Daemon, Process, Relay, echo_through_cuts, exit_code, uart, uart_command,
};

/// `uart forward board0 0 ARGS`, and where it listens.
fn forward(gateway: &str, args: &[&str]) -> (Process, SocketAddr) {
    let mut command = uart_command(gateway).expect("the binaries");
    let process =
        Process::spawn(command.args(["forward", "board0", "0"]).args(args)).expect("uart forward");
    let said = process
        .stdout
        .wait("a whole line", |text| text.ends_with('\n'))
        .unwrap_or_else(|error| panic!("{error:#}\n{}", process.said()));
    let words: Vec<&str> = said.split_whitespace().collect();
    let ["listening", "raw", address, "board0"] = words[..] else {
        panic!("{said:?}");
    };
    let address = address.parse().unwrap();
    (process, address)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn read(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| (index * 31 + index / 251) as u8)
        .collect()
}

#[test]
fn every_byte_goes_both_ways_and_a_half_closed_client_hears_the_rest() {
    let daemon = Daemon::start(&["board0=loopback:"]).unwrap();
    let (mut process, address) = forward(daemon.gateway(), &[]);
    let mut client = connect(address);
    let all: Vec<u8> = (0..=255).collect();
    client.write_all(&all).unwrap();
    assert_eq!(read(&mut client, 256), all);

    let much = pattern(1 << 20);
    let mut writer = client.try_clone().unwrap();
    let sent = much.clone();
    let writing = thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    client.read_to_end(&mut received).unwrap();
    writing.join().unwrap();
    assert!(
        received == much,
        "{} of {} bytes",
        received.len(),
        much.len()
    );
    assert_eq!(exit_code(process.stop().unwrap()), 0);
}

#[test]
fn several_clients_hear_the_board_and_one_that_does_not_read_harms_nobody() {
    let daemon = Daemon::start(&["board0=loopback:"]).unwrap();
    let (_process, address) = forward(daemon.gateway(), &["--from", "start"]);
    let mut first = connect(address);
    let _deaf = connect(address);
    let much = pattern(200_000);
    let mut writer = first.try_clone().unwrap();
    let sent = much.clone();
    let writing = thread::spawn(move || writer.write_all(&sent).unwrap());
    assert!(read(&mut first, much.len()) == much);
    writing.join().unwrap();
    let mut second = connect(address);
    assert!(read(&mut second, much.len()) == much, "the whole history");
}

#[test]
fn a_client_stays_while_the_connection_is_cut_and_misses_nothing() {
    let daemon = Daemon::start(&["board0=loopback:"]).unwrap();
    let relay = Relay::to(daemon.address()).unwrap();
    let (process, address) = forward(&relay.address().to_string(), &[]);
    let client = connect(address);
    let much = pattern(1_000_000);
    let writer = client.try_clone().unwrap();
    let mut reader = client.try_clone().unwrap();
    let received = echo_through_cuts(&relay, writer, move |count| read(&mut reader, count), &much);
    assert!(received == much, "something is missing, or came twice");
    let said = process.stderr.wait_for("connected again").unwrap();
    assert!(!said.contains("missed"), "{said}");
}

#[test]
fn what_was_sent_before_a_close_reaches_the_board() {
    let daemon = Daemon::start(&["board0=loopback:"]).unwrap();
    let (_process, address) = forward(daemon.gateway(), &[]);
    let mut client = connect(address);
    client.write_all(b"last words").unwrap();
    drop(client);
    let output = uart(&daemon)
        .args([
            "watch", "board0", "--raw", "--from", "start", "--bytes", "10",
        ])
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"last words");
}

#[test]
fn mistakes_are_told() {
    let daemon = Daemon::start(&["board0=loopback:"]).unwrap();
    for (args, code, reason) in [
        (&["forward", "nosuch", "0"][..], 1, "unknown-port"),
        (&["forward", "board0", "0.0.0.0:0"], 2, "--insecure"),
        (&["forward", "board0", "here"], 2, "write PORT"),
        (&["forward", "board0", "0", "--as", "ftp"], 2, "raw"),
    ] {
        uart(&daemon)
            .args(args)
            .assert()
            .code(code)
            .stderr(predicates::str::contains(reason));
    }
}
