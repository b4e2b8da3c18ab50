//! `uart` and ports behind gateways that are not uartnet's: our own `raw` and `rfc2217` endpoints, which are standard
//! protocols, and peers made here of bytes written by hand.
#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;

use uartnet_tests::{
    DEADLINE, Daemon, Process, Relay, exit_code, open_board, read_exactly, uart, uart_command,
};

/// WILL/DO BINARY, WILL/DO SGA, WILL/DO COM-PORT: what the client begins with.
const HELLO: &[u8] = b"\xff\xfb\x00\xff\xfd\x00\xff\xfb\x03\xff\xfd\x03\xff\xfb\x2c\xff\xfd\x2c";
/// What ser2net 4.3.11 on a pseudo-terminal answers it with.
const SER2NET: &[u8] = b"\xff\xfb\x03\xff\xfd\x03\xff\xfb\x01\xff\xfe\x01\xff\xfd\x00\xff\xfb\x00\xff\xfd\x2c\xff\xfd\x03\xff\xfa\x2c\x6b\x00\xff\xf0\xff\xfc\x2c";
/// The client's answer to that: DO ECHO; and its questions: baud rate, data bits, parity, stop bits, flow control.
const QUESTIONS: &[u8] = b"\xff\xfd\x01\xff\xfa\x2c\x01\0\0\0\0\xff\xf0\xff\xfa\x2c\x02\0\xff\xf0\xff\xfa\x2c\x03\0\xff\xf0\xff\xfa\x2c\x04\0\xff\xf0\xff\xfa\x2c\x05\0\xff\xf0";
/// ser2net's answers: 115200-8n1.
const LINE: &[u8] = b"\xff\xfa\x2c\x65\x00\x01\xc2\x00\xff\xf0\xff\xfa\x2c\x66\x08\xff\xf0\xff\xfa\x2c\x67\x01\xff\xf0\xff\xfa\x2c\x68\x01\xff\xf0\xff\xfa\x2c\x69\x01\xff\xf0";

/// Our gateway, and its `rfc2217` and `raw` endpoints as a foreign client knows them.
fn gateway(port: &str) -> (Daemon, String, String) {
    let daemon = Daemon::with_config(&format!(
        r#"
[[port]]
name = "board0"
device = "{port}"
[[listen]]
protocol = "uartnet"
address = "127.0.0.1:0"
[[listen]]
protocol = "rfc2217"
address = "127.0.0.1:0"
port = "board0"
[[listen]]
protocol = "raw"
address = "127.0.0.1:0"
port = "board0"
"#
    ))
    .unwrap();
    let at = |protocol: &str| {
        let one = daemon
            .listening()
            .iter()
            .find(|one| one.protocol == protocol);
        one.unwrap().address.clone()
    };
    let rfc2217 = format!("rfc2217://{}", at("rfc2217"));
    let tcp = format!("tcp://{}", at("raw"));
    (daemon, rfc2217, tcp)
}

/// `uart ARGS`; no uartnet gateway is needed, and none is where the default one would be.
fn start(args: &[&str]) -> Process {
    let mut command = uart_command("127.0.0.1:1").unwrap();
    Process::spawn(command.args(args)).unwrap()
}

/// `uart ARGS` to its end, with this input: the exit code, stdout and stderr.
fn run(args: &[&str], input: &[u8]) -> (i32, String, String) {
    let mut process = start(args);
    process.type_in(input).ok();
    process.end_input();
    let status = process.wait().unwrap();
    (
        exit_code(status),
        process.stdout.text(),
        process.stderr.text(),
    )
}

/// A gateway made by hand: it takes so many clients, one after the other, and does this with each.
fn scripted(clients: usize, script: impl Fn(usize, Client) + Send + 'static) -> (String, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in 0..clients {
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            script(client, Client { stream });
        }
    });
    (format!("rfc2217://127.0.0.1:{port}"), port)
}

struct Client {
    stream: TcpStream,
}

impl Client {
    fn expect(&mut self, bytes: &[u8]) {
        let mut found = vec![0; bytes.len()];
        self.stream.read_exact(&mut found).unwrap();
        assert_eq!(found, bytes);
    }

    fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// As ser2net begins.
    fn agree(&mut self) {
        self.expect(HELLO);
        self.say(SER2NET);
        self.expect(QUESTIONS);
        self.say(LINE);
    }

    /// Until the client has closed.
    fn end(&mut self) {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).ok();
    }
}

#[test]
fn attach_talks_to_a_board_behind_both_kinds() {
    let (_daemon, rfc2217, tcp) = gateway("sim:interpreter");
    for address in [&rfc2217, &tcp] {
        let mut attach = start(&["attach", address, "--linger", "forever"]);
        attach.type_in(b"led on\r").unwrap();
        attach.stdout.wait_for("OK\r\n").unwrap();
        attach.type_in(b"led?\r").unwrap();
        attach.stdout.wait_for("ON\r\n").unwrap();
    }
}

#[test]
fn a_pipe_goes_through_whole_with_every_byte_value() {
    let (_daemon, rfc2217, tcp) = gateway("loopback:");
    let all: Vec<u8> = (0..=255).cycle().take(1 << 18).collect();
    for address in [&rfc2217, &tcp] {
        let mut attach = start(&["attach", address]);
        attach.type_in(&all).unwrap();
        attach.end_input();
        assert_eq!(exit_code(attach.wait().unwrap()), 0, "{}", attach.said());
        assert!(attach.stdout.bytes() == all, "{address}");
    }
}

#[test]
fn settings_signals_break_and_purge_go_to_the_uart() {
    let (daemon, rfc2217, tcp) = gateway("loopback:");
    let (code, said, _) = run(&["set", &rfc2217, "--line", "9600-7e2"], b"");
    assert_eq!((code, said.as_str()), (0, "9600-7e2\n"));
    let info = uart(&daemon).args(["info", "board0", "--json"]).output();
    let info: serde_json::Value = serde_json::from_slice(&info.unwrap().stdout).unwrap();
    assert_eq!(info["line"], "9600-7e2");

    let (code, said, _) = run(&["signal", &rfc2217, "dtr=off", "rts=on"], b"");
    assert_eq!((code, said.trim_end()), (0, "dtr=off rts=on"));
    let (code, _, complaint) = run(&["signal", &rfc2217, "break=10ms"], b"");
    assert_eq!(code, 0, "{complaint}");
    let (code, _, complaint) = run(&["purge", &rfc2217], b"");
    assert_eq!(code, 0, "{complaint}");

    let (code, _, complaint) = run(&["set", &tcp, "--line", "9600"], b"");
    assert_eq!(code, 1);
    assert!(
        complaint.contains("tcp:// carries bytes only"),
        "{complaint}"
    );
}

#[test]
fn a_virtual_device_stands_for_a_port_behind_both_kinds() {
    let (daemon, rfc2217, tcp) = gateway("loopback:");
    for address in [&rfc2217, &tcp] {
        let mut pty = start(&["pty", address]);
        let said = pty
            .stdout
            .wait("a whole line", |text| text.ends_with('\n'))
            .unwrap();
        let path = PathBuf::from(said.split_whitespace().nth(2).unwrap());
        let mut device = open_board(&path).unwrap();
        let set = std::process::Command::new("stty")
            .arg("-F")
            .arg(&path)
            .args(["57600"])
            .status();
        assert!(set.unwrap().success());
        let all: Vec<u8> = (0..=255).collect();
        device.write_all(&all).unwrap();
        assert_eq!(read_exactly(&mut device, 256), all, "{address}");
        if address == &tcp {
            pty.stderr
                .wait_for("this gateway carries bytes only")
                .unwrap();
        } else {
            // What was written after the setting came back, so the setting was made.
            let info = uart(&daemon).args(["info", "board0", "--json"]).output();
            let info: serde_json::Value = serde_json::from_slice(&info.unwrap().stdout).unwrap();
            assert_eq!(info["line"], "57600-8n1");
        }
        drop(device);
        pty.stop().unwrap();
    }
}

#[test]
fn a_lost_connection_comes_back_and_the_gap_is_told_as_unknown() {
    let (_daemon, rfc2217, _) = gateway("sim:interpreter");
    let target = rfc2217.strip_prefix("rfc2217://").unwrap();
    let relay = Relay::to(target.parse().unwrap()).unwrap();
    let address = format!("rfc2217://{}", relay.address());
    let mut attach = start(&["attach", &address, "--linger", "forever"]);
    attach.type_in(b"led on\r").unwrap();
    attach.stdout.wait_for("OK\r\n").unwrap();
    relay.cut();
    attach.stderr.wait_for("connection lost").unwrap();
    attach.type_in(b"led?\r").unwrap();
    relay.wait_refused(1).unwrap();
    relay.mend();
    attach
        .stderr
        .wait_for("what the board sent while there was no connection is not known")
        .unwrap();
    attach.stdout.wait_for("ON\r\n").unwrap();
}

#[test]
fn the_next_connection_gets_the_settings_of_the_one_before() {
    let set = b"\xff\xfa\x2c\x01\0\0\x25\x80\xff\xf0";
    let acknowledged = b"\xff\xfa\x2c\x65\0\0\x25\x80\xff\xf0";
    let (address, _) = scripted(2, move |_, mut client| {
        client.agree();
        // The first time the application asks for it, the second time nobody does.
        client.expect(set);
        client.say(acknowledged);
        client.say(b"data");
        let mut byte = [0];
        // One byte, then the connection is cut.
        client.stream.read_exact(&mut byte).unwrap();
    });
    let pty = start(&["pty", &address]);
    let said = pty
        .stdout
        .wait("a whole line", |text| text.ends_with('\n'))
        .unwrap();
    let path = PathBuf::from(said.split_whitespace().nth(2).unwrap());
    let mut device = open_board(&path).unwrap();
    let set = std::process::Command::new("stty")
        .arg("-F")
        .arg(&path)
        .arg("9600")
        .status();
    assert!(set.unwrap().success());
    for _ in 0..2 {
        assert_eq!(read_exactly(&mut device, 4), b"data");
        device.write_all(b"x").unwrap();
    }
    pty.stderr.wait_for("is not known").unwrap();
}

#[test]
fn what_a_gateway_never_acknowledges_is_said_by_name() {
    let (address, _) = scripted(1, |_, mut client| {
        client.agree();
        // DTR off; ser2net on a pseudo-terminal never answers it.
        client.expect(b"\xff\xfa\x2c\x05\x09\xff\xf0");
        client.end();
    });
    let (code, _, complaint) = run(&["signal", &address, "dtr=off"], b"");
    assert_eq!(code, 4);
    assert!(
        complaint.contains("did not acknowledge: DTR"),
        "{complaint}"
    );
}

#[test]
fn a_setting_that_is_not_taken_is_an_error_with_the_line_in_force() {
    let (address, _) = scripted(1, |_, mut client| {
        client.agree();
        client.expect(b"\xff\xfa\x2c\x03\x04\xff\xf0");
        client.say(b"\xff\xfa\x2c\x67\x01\xff\xf0");
        client.end();
    });
    let (code, _, complaint) = run(&["set", &address, "--line", "115200-8m1"], b"");
    assert_eq!(code, 1);
    assert!(
        complaint.contains("took 115200-8n1 instead of 115200-8m1"),
        "{complaint}"
    );
}

#[test]
fn a_gateway_that_turns_us_away_in_words_is_quoted() {
    let (address, _) = scripted(1, |_, mut client| {
        client.expect(HELLO);
        client.say(b"\xff\xfb\x03\xff\xfd\x03Port already in use\r\n");
    });
    let (code, said, complaint) = run(&["attach", &address], b"");
    assert_eq!((code, said.as_str()), (3, ""));
    assert!(
        complaint.contains("closed the connection; it said \"Port already in use\""),
        "{complaint}"
    );
}

#[test]
fn what_does_not_speak_rfc_2217_is_told_so_and_what_to_write_instead() {
    let (address, _) = scripted(1, |_, mut client| {
        client.expect(HELLO);
        // DONT and WONT for everything: a telnet server for people.
        client.say(b"\xff\xfe\x00\xff\xfc\x00\xff\xfe\x03\xff\xfc\x03\xff\xfe\x2c\xff\xfc\x2c");
        client.end();
    });
    let (code, _, complaint) = run(&["attach", &address], b"");
    assert_eq!(code, 3);
    assert!(complaint.contains("write tcp:// instead"), "{complaint}");
}

#[test]
fn what_cannot_be_is_said_before_anything_is_connected() {
    let (code, _, complaint) = run(&["attach", "tcp://127.0.0.1:1", "--from", "start"], b"");
    assert_eq!(code, 2);
    assert!(complaint.contains("keeps no history"), "{complaint}");
    let (code, _, complaint) = run(&["attach", "telnet://127.0.0.1:1"], b"");
    assert_eq!(code, 2);
    assert!(
        complaint.contains("write rfc2217://HOST:PORT"),
        "{complaint}"
    );
    let (code, _, complaint) = run(&["attach", "rfc2217://127.0.0.1:1"], b"");
    assert_eq!(code, 3);
    assert!(
        complaint.contains("cannot reach rfc2217://127.0.0.1:1: connection refused"),
        "{complaint}"
    );
}

#[test]
fn ask_finds_the_reply_by_what_the_person_says_ends_it() {
    let (_daemon, rfc2217, tcp) = gateway("sim:interpreter");
    for (address, end) in [
        (&rfc2217, ["--prompt", "> "]),
        (&tcp, ["--prompt", "> "]),
        (&rfc2217, ["--lines", "1"]),
        (&tcp, ["--quiet", "300ms"]),
    ] {
        let (code, said, complaint) = run(
            &["ask", address, "LED ON", "--timeout", "50s", end[0], end[1]],
            b"",
        );
        assert_eq!(code, 0, "{complaint}");
        assert!(said.starts_with("OK"), "{end:?}: {said:?}");
    }
    let asked = ["ask", &rfc2217, "LED?", "LED OFF", "LED?", "--prompt", "> "];
    let (code, said, _) = run(&asked, b"");
    assert_eq!((code, said.as_str()), (0, "ON\nOK\nOFF\n"));

    let short = [
        "ask",
        &rfc2217,
        "LED?",
        "--prompt",
        "never",
        "--timeout",
        "300ms",
    ];
    let (code, said, complaint) = run(&short, b"");
    assert_eq!((code, said.as_str()), (4, ""));
    assert!(
        complaint.contains("no whole reply within 300ms"),
        "{complaint}"
    );
    assert!(complaint.contains("OFF"), "what had arrived: {complaint}");

    let (code, _, complaint) = run(&["ask", &rfc2217, "LED?"], b"");
    assert_eq!(code, 2);
    assert!(complaint.contains("say how a reply ends"), "{complaint}");
}

#[test]
fn ask_knows_the_profiles_of_interpreters_behind_foreign_gateways_too() {
    let (_modem, rfc2217, _) = gateway("sim:modem");
    let ask = [
        "ask",
        &rfc2217,
        "AT+COPS?",
        "--profile",
        "at",
        "--timeout",
        "50s",
    ];
    let (code, said, complaint) = run(&ask, b"");
    assert_eq!(code, 0, "{complaint}");
    assert!(said.starts_with("+COPS:"), "{said:?}");
    let refused = [
        "ask",
        &rfc2217,
        "AT+CPIN?",
        "--profile",
        "at",
        "--timeout",
        "50s",
    ];
    let (code, said, complaint) = run(&refused, b"");
    assert_eq!((code, said.as_str()), (1, ""));
    assert!(complaint.contains("board-error"), "{complaint}");

    let (_plc, _, tcp) = gateway("sim:modbus");
    let hex = [
        "ask",
        &tcp,
        "--hex",
        "010300020002",
        "--profile",
        "modbus-rtu",
        "--timeout",
        "50s",
    ];
    let (code, said, complaint) = run(&hex, b"");
    assert_eq!(
        (code, said.as_str()),
        (0, "01 03 04 00 c8 01 2c\n"),
        "{complaint}"
    );

    let (code, _, complaint) = run(&["ask", &tcp, "x", "--profile", "custom"], b"");
    assert_eq!(
        code, 2,
        "custom has settings, and there is no option for them"
    );
    assert!(
        complaint.contains("u-boot"),
        "the ones there are: {complaint}"
    );
}
