//! `uart` as a person and a script meet it: what it prints, and how it ends.

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;

use predicates::prelude::*;
use predicates::str::{contains, is_empty};
use serde_json::Value;
use uartnet_tests::{Daemon, Process, binaries, exit_code, uart, uart_command};

fn interpreter() -> Daemon {
    Daemon::start(&["board0=sim:interpreter", "board1=sim:echo"]).expect("a gateway")
}

/// `uart` without a gateway.
fn bare() -> assert_cmd::Command {
    let mut command = assert_cmd::Command::new(&binaries().expect("the binaries").uart);
    command
        .env_remove("UART_GATEWAY")
        .timeout(uartnet_tests::DEADLINE);
    command
}

fn json(assert: &assert_cmd::assert::Assert) -> Value {
    serde_json::from_slice(&assert.get_output().stdout).expect("JSON")
}

#[test]
fn ask_prints_the_boards_answer_and_nothing_else() {
    let daemon = interpreter();
    uart(&daemon)
        .args(["ask", "board0", "LED ON"])
        .assert()
        .code(0)
        .stdout("OK\n")
        .stderr(is_empty());
    uart(&daemon)
        .args(["ask", "board0", "LED?", "GPIO 3?"])
        .assert()
        .code(0)
        .stdout("ON\nIN 1\n");
    uart(&daemon)
        .args(["ask", "board0", "NONSENSE"])
        .assert()
        .code(0)
        .stdout("ERR 1 unknown command, try HELP\n");
}

#[test]
fn send_holds_the_plain_conversation() {
    let daemon = interpreter();
    let greeting = "Hello from the UART interpreter!\n";
    uart(&daemon)
        .args(["send", "Hello IoT!"])
        .assert()
        .code(0)
        .stdout(greeting)
        .stderr(is_empty());
    uart(&daemon)
        .args(["send", "LED ON", "LED?"])
        .assert()
        .code(0)
        .stdout("OK\nON\n");
    uart(&daemon)
        .arg("send")
        .write_stdin("LED OFF\nLED?\n")
        .assert()
        .code(0)
        .stdout("OK\nOFF\n");
    uart(&daemon)
        .arg("send")
        .write_stdin("")
        .assert()
        .code(0)
        .stdout(is_empty());
}

#[test]
fn the_gateway_can_be_named_by_the_environment() {
    let daemon = interpreter();
    bare()
        .env("UART_GATEWAY", daemon.gateway())
        .args(["ask", "board0", "LED?"])
        .assert()
        .code(0)
        .stdout("OFF\n");
}

#[test]
fn ports_are_listed_and_described_for_people_and_for_programs() {
    let daemon = interpreter();
    uart(&daemon).arg("ls").assert().code(0).stdout(
        contains("board0")
            .and(contains("sim:interpreter"))
            .and(contains("board1"))
            .and(contains("115200-8n1")),
    );
    let list = json(&uart(&daemon).args(["ls", "--json"]).assert().code(0));
    let names: Vec<&str> = list
        .as_array()
        .expect("an array")
        .iter()
        .filter_map(|port| port["name"].as_str())
        .collect();
    assert_eq!(names, ["board0", "board1"]);

    uart(&daemon)
        .args(["info", "board0"])
        .assert()
        .code(0)
        .stdout(contains("board0").and(contains("present")));
    let info = json(
        &uart(&daemon)
            .args(["info", "board0", "--json"])
            .assert()
            .code(0),
    );
    assert_eq!(
        (&info["name"], &info["state"]),
        (&"board0".into(), &"present".into()),
        "{info}"
    );
}

#[test]
fn asks_and_their_failures_are_json_where_a_program_reads() {
    let daemon = interpreter();
    let asked = json(
        &uart(&daemon)
            .args(["ask", "board0", "LED?", "--json"])
            .assert()
            .code(0),
    );
    assert_eq!(
        (&asked["port"], &asked["command"], &asked["reply"]),
        (&"board0".into(), &"LED?".into(), &"OFF".into())
    );
    let failed = uart(&daemon)
        .args([
            "ask",
            "board0",
            "SLEEP 3000",
            "--timeout",
            "100ms",
            "--json",
        ])
        .assert()
        .code(4);
    assert_eq!(json(&failed)["error"], "timeout");
}

#[test]
fn line_settings_and_queues_can_be_changed() {
    let daemon = interpreter();
    uart(&daemon)
        .args(["set", "board0", "--line", "9600-7e1"])
        .assert()
        .code(0);
    let info = json(
        &uart(&daemon)
            .args(["info", "board0", "--json"])
            .assert()
            .code(0),
    );
    assert_eq!(info["line"], "9600-7e1");
    uart(&daemon)
        .args(["set", "board0", "--line", "9600-9n1"])
        .assert()
        .code(2)
        .stderr(contains("9600-9n1"));
    uart(&daemon).args(["purge", "board0"]).assert().code(0);
}

#[test]
fn exit_code_1_when_the_gateway_or_the_board_says_no() {
    let daemon = interpreter();
    for (arguments, said) in [
        (&["ask", "nowhere", "ID?"][..], "nowhere"),
        (&["info", "nowhere"], "nowhere"),
        (&["watch", "nowhere", "--lines", "1"], "nowhere"),
        (&["attach", "nowhere"], "nowhere"),
        (&["ask", "board1", "ID?"], "profile"),
        (&["run", "board0", "reset"], "reset"),
    ] {
        let assert = uart(&daemon)
            .args(arguments)
            .assert()
            .code(1)
            .stdout(is_empty());
        let stderr = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        assert!(
            stderr.starts_with("uart: ") && stderr.contains(said) && stderr.lines().count() == 1,
            "{stderr}"
        );
    }
}

#[test]
fn exit_code_2_when_what_was_typed_makes_no_sense() {
    let daemon = interpreter();
    for arguments in [
        &["dance"][..],
        &["ask"],
        &["ask", "board 0", "ID?"],
        &["watch", "board0", "--lines", "x"],
        &["--no-such"],
    ] {
        uart(&daemon)
            .args(arguments)
            .assert()
            .code(2)
            .stdout(is_empty())
            .stderr(is_empty().not());
    }
    bare().args(["--gateway", "", "ls"]).assert().code(2);
}

#[test]
fn exit_code_3_and_one_sentence_when_there_is_no_gateway() {
    // Bound and dropped: nobody else is likely to get it at once.
    let address = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .unwrap()
        .to_string();
    for arguments in [
        &["send", "Hello IoT!"][..],
        &["ask", "board0", "ID?"],
        &["ls"],
        &["info", "board0"],
        &["attach", "board0"],
        &["watch", "board0"],
    ] {
        let assert = bare()
            .args(["--gateway", &address])
            .args(arguments)
            .assert()
            .code(3)
            .stdout(is_empty());
        let stderr = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        assert!(
            stderr.contains(&address) && stderr.contains("uartd") && stderr.lines().count() == 1,
            "{stderr}"
        );
    }
}

#[test]
fn exit_code_3_when_what_answers_is_no_gateway() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().expect("a client");
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").ok();
        stream.read_to_end(&mut Vec::new()).ok();
    });
    let assert = bare()
        .args(["--gateway", &address, "ls"])
        .assert()
        .code(3)
        .stdout(is_empty());
    assert!(String::from_utf8_lossy(&assert.get_output().stderr).contains(&address));
    server.join().unwrap();
}

#[test]
fn exit_code_4_when_the_board_takes_too_long() {
    let daemon = interpreter();
    let ask = ["ask", "board0", "SLEEP 3000", "--timeout", "100ms"];
    uart(&daemon)
        .args(ask)
        .assert()
        .code(4)
        .stdout(is_empty())
        .stderr(contains("100ms"));
}

#[test]
fn the_help_of_every_command_shows_an_example() {
    let help = bare().arg("--help").assert().code(0);
    let help = String::from_utf8_lossy(&help.get_output().stdout).into_owned();
    assert!(help.contains("Exit codes"), "{help}");
    for command in [
        "send", "ask", "ls", "info", "attach", "watch", "set", "signal", "run", "purge",
    ] {
        assert!(
            help.contains(&format!("  {command}")),
            "{command} is not listed"
        );
        let example = format!("  uart {command}");
        bare()
            .args([command, "--help"])
            .assert()
            .code(0)
            .stdout(contains("Example").and(contains(example)));
    }
}

#[test]
fn watch_shows_lines_for_people_and_records_for_programs() {
    let daemon = interpreter();
    let mut watch = Process::spawn(
        uart_command(daemon.gateway())
            .unwrap()
            .args(["watch", "board0", "--from", "start", "--json"]),
    )
    .unwrap();
    uart(&daemon)
        .args(["ask", "board0", "LED ON"])
        .assert()
        .code(0);
    watch.stdout.wait_for("LED ON").unwrap();
    let text = watch.stdout.wait_for("\"OK\"").unwrap();
    for line in text.lines().take_while(|line| line.ends_with('}')) {
        let record: Value = serde_json::from_str(line).unwrap();
        assert_eq!(record["port"], "board0", "{record}");
        assert!(record["time"].is_string(), "{record}");
    }
    assert_eq!(
        exit_code(watch.stop().unwrap()) & !0x8f,
        0,
        "{}",
        watch.said()
    );

    let people = [
        "watch", "board0", "board1", "--from", "start", "--lines", "3",
    ];
    uart(&daemon)
        .args(people)
        .assert()
        .code(0)
        .stdout(contains("board0 | ").and(contains("\u{1b}").not()));
}

#[test]
fn watch_gives_bytes_as_they_are() {
    let daemon = interpreter();
    uart(&daemon)
        .args(["attach", "board1"])
        .write_stdin(vec![0, 255, b'\r', b'\n', 27, b'['])
        .assert()
        .code(0);
    let raw = [
        "watch", "board1", "--from", "start", "--raw", "--bytes", "6",
    ];
    uart(&daemon)
        .args(raw)
        .assert()
        .code(0)
        .stdout(&[0, 255, b'\r', b'\n', 27, b'['][..]);
}

#[test]
fn attach_takes_a_pipe_and_gives_what_the_board_says() {
    let daemon = interpreter();
    let assert = uart(&daemon)
        .args(["attach", "board0"])
        .write_stdin("LED ON\rLED?\r")
        .assert()
        .code(0);
    let said = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
    assert!(
        said.contains("OK\r\n") && said.contains("ON\r\n"),
        "{said:?}"
    );
}

#[test]
fn nothing_is_lost_of_a_long_pipe() {
    let daemon = interpreter();
    let bytes: Vec<u8> = (0..300_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    uart(&daemon)
        .args(["attach", "board1", "--linger", "3s"])
        .write_stdin(bytes.clone())
        .assert()
        .code(0)
        .stdout(predicate::eq(bytes));
}

#[test]
fn a_full_disk_is_said_to_be_stdouts() {
    let daemon = interpreter();
    let full = std::fs::File::create("/dev/full").unwrap();
    let output = uart_command(daemon.gateway())
        .unwrap()
        .args(["ask", "board0", "ID?"])
        .stdout(full)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.starts_with("uart: cannot write to stdout: No space left"),
        "{said}"
    );
}

#[test]
fn whoever_closes_the_pipe_has_seen_enough() {
    let daemon = interpreter();
    uart(&daemon)
        .args(["ask", "board0", "STREAM 10"])
        .assert()
        .code(0);
    for command in [
        &["watch", "board0", "--from", "start"][..],
        &["attach", "board0", "--read-only", "--from", "start"],
    ] {
        let mut watch = uart_command(daemon.gateway()).unwrap();
        let mut watch = watch
            .args(command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = watch.stdout.take().expect("a pipe");
        let head = Command::new("head")
            .args(["-n", "2"])
            .stdin(out)
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&head.stdout).lines().count(), 2);
        let output = watch.wait_with_output().unwrap();
        assert_eq!(
            exit_code(output.status),
            0,
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
    for command in ["--help", "ls"] {
        let script = format!(
            "\"$0\" --gateway {} {command} | true; exit ${{PIPESTATUS[0]}}",
            daemon.gateway()
        );
        let uart = &binaries().unwrap().uart;
        let status = Command::new("bash")
            .arg("-c")
            .arg(script)
            .arg(uart)
            .status()
            .unwrap();
        assert_eq!(exit_code(status), 0, "{command}");
    }
}
