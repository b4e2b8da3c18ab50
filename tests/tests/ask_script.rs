//! `uart ask` with many commands: from a file, from a pipe, in rounds; and what a script learns when one fails.

use std::fs;
use std::path::PathBuf;

use predicates::prelude::*;
use predicates::str::{contains, ends_with, is_empty};
use serde_json::Value;
use tempfile::TempDir;
use uartnet_tests::{Daemon, Process, Relay, Terminal, exit_code, uart, uart_command};

fn interpreter() -> Daemon {
    Daemon::start(&["board0=sim:interpreter"]).expect("a gateway")
}

/// A file with this text, in a folder of its own.
fn script(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("commands.txt");
    fs::write(&file, text).expect("a file");
    (folder, file)
}

fn records(stdout: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(stdout);
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

#[test]
fn a_file_is_asked_line_by_line() {
    let daemon = interpreter();
    let text = "# switch it on\nLED ON\r\n\n  # and look\nLED?\n\\# no comment";
    let (_folder, file) = script(text);
    uart(&daemon)
        .args(["ask", "board0", "--file"])
        .arg(&file)
        .assert()
        .code(0)
        .stdout("OK\nON\nERR 1 unknown command, try HELP\n")
        .stderr(is_empty());
}

#[test]
fn the_first_failure_ends_a_script_and_names_its_line() {
    let daemon = interpreter();
    let (_folder, file) = script("LED ON\n\nSLEEP 60000\nLED OFF\n");
    uart(&daemon)
        .args(["ask", "board0", "--timeout", "200ms", "--file"])
        .arg(&file)
        .assert()
        .code(4)
        .stdout("OK\n")
        .stderr(contains("commands.txt:3: \"SLEEP 60000\": ").and(contains("(timeout)")));
}

#[test]
fn what_the_board_calls_an_error_ends_a_script() {
    let daemon = Daemon::with_config(
        r#"
        [[port]]
        name = "board0"
        device = "sim:interpreter"
        [port.interpreter]
        profile = "prompt"
        prompt = "> "
        error = "^ERR"
        [[listen]]
        protocol = "uartnet"
        address = "127.0.0.1:0"
        "#,
    )
    .unwrap();
    let (_folder, file) = script("LED ON\nLED GREEN\nLED OFF\n");
    uart(&daemon)
        .args(["ask", "board0", "--file"])
        .arg(&file)
        .assert()
        .code(1)
        .stdout("OK\n")
        .stderr(contains("commands.txt:2: \"LED GREEN\": ").and(contains("(board-error)")));
    uart(&daemon)
        .args(["ask", "board0", "LED?"])
        .assert()
        .stdout("ON\n");
}

#[test]
fn with_keep_going_failures_are_told_and_counted() {
    let daemon = interpreter();
    let (_folder, file) = script("LED ON\nLED GREEN\nLED?\nNONSENSE\n");
    let asked = uart(&daemon)
        .args(["ask", "board0", "--keep-going", "--json"])
        .args(["--expect", "^(OK|ON)$", "--file"])
        .arg(&file)
        .assert()
        .code(1)
        .stderr(
            contains("commands.txt:2: \"LED GREEN\": the answer is \"ERR 3 bad argument")
                .and(contains("commands.txt:4: \"NONSENSE\": "))
                .and(ends_with("uart: 2 of 4 commands failed\n")),
        );
    let records = records(&asked.get_output().stdout);
    let told: Vec<(u64, u64, bool)> = records
        .iter()
        .map(|record| {
            let number = |name: &str| record[name].as_u64().expect("a number");
            let matched = record["matched"].as_bool().expect("a truth");
            (number("index"), number("line"), matched)
        })
        .collect();
    assert_eq!(
        told,
        [(1, 1, true), (2, 2, false), (3, 3, true), (4, 4, false)]
    );
    assert!(
        records[0]["sent_at"]
            .as_str()
            .is_some_and(|time| time.ends_with('Z')),
        "{}",
        records[0]
    );
}

#[test]
fn a_pipe_is_asked_as_its_lines_come() {
    let daemon = interpreter();
    let mut command = uart_command(daemon.gateway()).unwrap();
    let mut ask = Process::spawn(command.args(["ask", "board0"])).unwrap();
    // The next line is written only when the answer to the one before is there.
    for (line, answer) in [("LED ON\n", "OK\n"), ("# why\n\nLED?\n", "OK\nON\n")] {
        ask.type_in(line.as_bytes()).unwrap();
        ask.stdout.wait_for(answer).unwrap();
    }
    ask.end_input();
    assert_eq!(exit_code(ask.wait().unwrap()), 0, "{}", ask.said());
    assert_eq!(ask.stdout.text(), "OK\nON\n");

    uart(&daemon)
        .args(["ask", "board0", "--file", "-", "--expect", "^O"])
        .write_stdin("LED?\nID?\nLED OFF\n")
        .assert()
        .code(1)
        .stdout(contains("ON\nuart-interpreter"))
        .stderr(contains(
            "stdin:2: \"ID?\": the answer is \"uart-interpreter",
        ));
    uart(&daemon)
        .args(["ask", "board0", "LED?"])
        .assert()
        .stdout("ON\n");
}

#[test]
fn rounds_are_repeated_and_missed_ones_are_told() {
    let daemon = interpreter();
    let rounds = ["ask", "board0", "LED ON", "LED?", "--repeat", "3"];
    uart(&daemon)
        .args(rounds)
        .assert()
        .code(0)
        .stdout("OK\nON\nOK\nON\nOK\nON\n")
        .stderr(is_empty());

    // A round takes 5 periods and a bit; the others fall due meanwhile and are left out.
    let slow = [
        "ask",
        "board0",
        "SLEEP 260",
        "--every",
        "50ms",
        "--repeat",
        "2",
        "--json",
    ];
    let asked = uart(&daemon)
        .args(slow)
        .assert()
        .code(0)
        .stderr(contains("rounds missed"));
    let records = records(&asked.get_output().stdout);
    let rounds: Vec<Option<u64>> = records
        .iter()
        .map(|record| record["round"].as_u64())
        .collect();
    assert_eq!(rounds, [Some(1), Some(2)]);
    assert_eq!(records[0].get("missed"), None);
    assert!(
        records[1]["missed"].as_u64().is_some_and(|n| n >= 5),
        "{}",
        records[1]
    );
}

#[test]
fn every_without_repeat_goes_on_until_it_is_stopped() {
    let daemon = interpreter();
    let mut command = uart_command(daemon.gateway()).unwrap();
    let every = ["ask", "board0", "LED?", "--every", "10ms"];
    let mut ask = Process::spawn(command.args(every)).unwrap();
    ask.stdout.wait_for(&"OFF\n".repeat(10)).unwrap();
    let status = ask.stop().unwrap();
    assert_eq!(exit_code(status), 128 + 15, "{}", ask.said());
}

#[test]
fn binary_commands_and_answers_are_hex() {
    let daemon = interpreter();
    uart(&daemon)
        .args(["ask", "board0", "--hex", "4c 45 44 3f"])
        .assert()
        .code(0)
        .stdout("4f 46 46\n");
    let json = uart(&daemon)
        .args(["ask", "board0", "--hex", "4C45443f", "--json"])
        .assert()
        .code(0);
    let records = records(&json.get_output().stdout);
    assert_eq!(records[0]["reply"]["hex"], "4f4646");
    assert_eq!(records[0]["command"]["hex"], "4c45443f");
}

#[test]
fn what_cannot_be_asked_is_told_before_anything_is() {
    let daemon = interpreter();
    let (_folder, wrong) = script("4c45443f\nnot hex\n");
    let (_other, empty) = script("# nothing\n\n");
    let wrong = wrong.to_str().unwrap();
    for (arguments, said) in [
        (&["--hex", "--file", wrong][..], "commands.txt:2: "),
        (&["--file", empty.to_str().unwrap()], "no command"),
        (&["--expect", "a(b", "LED?"], "unclosed group"),
        (&["--repeat", "2", "-"], "cannot be asked again"),
        (&["--every", "1s"], "cannot be asked again"),
        (&["--repeat", "0", "LED?"], "--repeat"),
        (&["--file", wrong, "LED?"], "--file"),
    ] {
        uart(&daemon)
            .args(["ask", "board0"])
            .args(arguments)
            .write_stdin("LED?\n")
            .assert()
            .code(2)
            .stdout(is_empty())
            .stderr(contains(said));
    }
    uart(&daemon)
        .args(["ask", "board0", "--file", "/no/such/file"])
        .assert()
        .code(1)
        .stderr(contains("cannot read /no/such/file: "));
}

#[test]
fn a_command_under_way_when_the_connection_breaks_is_not_asked_again() {
    let daemon = interpreter();
    let relay = Relay::to(daemon.address()).unwrap();
    let mut command = uart_command(&relay.address().to_string()).unwrap();
    let mut ask = Process::spawn(command.args(["ask", "board0", "--keep-going"])).unwrap();
    ask.type_in(b"LED ON\nSLEEP 60000\nLED?\n").unwrap();
    ask.stdout.wait_for("OK\n").unwrap();
    let mut watch = uart_command(daemon.gateway()).unwrap();
    let watch =
        Process::spawn(watch.args(["watch", "board0", "--from", "start", "--raw"])).unwrap();
    watch.stdout.wait_for("SLEEP 60000\r\n").unwrap();
    relay.cut();
    assert_eq!(exit_code(ask.wait().unwrap()), 3, "{}", ask.said());
    ask.stderr
        .wait_for("stdin:2: \"SLEEP 60000\" was being asked, and whether the board has executed it is not known: ")
        .unwrap();
    assert_eq!(ask.stdout.text(), "OK\n");
    assert_eq!(relay.relayed(), 1, "it connected again");
}

#[test]
fn a_connection_that_breaks_between_two_commands_loses_none() {
    let daemon = interpreter();
    let relay = Relay::to(daemon.address()).unwrap();
    let mut command = uart_command(&relay.address().to_string()).unwrap();
    let mut ask = Process::spawn(command.args(["ask", "board0"])).unwrap();
    ask.type_in(b"LED ON\n").unwrap();
    ask.stdout.wait_for("OK\n").unwrap();
    relay.cut();
    assert_eq!(exit_code(ask.wait().unwrap()), 3, "{}", ask.said());
    assert!(!ask.stderr.text().contains("executed"), "{}", ask.said());
}

#[test]
fn waiting_for_a_turn_is_bounded() {
    let daemon = interpreter();
    let mut busy = uart_command(daemon.gateway()).unwrap();
    busy.args(["ask", "board0", "SLEEP 60000", "--timeout", "60s"]);
    let mut busy = Process::spawn(&mut busy).unwrap();
    uart(&daemon)
        .args(["expect", "board0", "SLEEP 60000", "--from", "start"])
        .assert()
        .code(0);
    let asked = uart(&daemon)
        .args(["ask", "board0", "LED ON", "--wait", "100ms", "--json"])
        .assert()
        .code(4)
        .stderr(contains("within 100ms").and(contains("(waited)")));
    assert_eq!(records(&asked.get_output().stdout)[0]["error"], "waited");
    busy.stop().unwrap();
    uart(&daemon)
        .args(["ask", "tcp://127.0.0.1:1", "x", "--lines", "1"])
        .args(["--wait", "1s"])
        .assert()
        .code(2)
        .stderr(contains("gives no turns"));
}

#[test]
fn progress_is_for_people_who_wait() {
    let daemon = interpreter();
    let mut command = uart_command(daemon.gateway()).unwrap();
    let slow = ["ask", "board0", "LED ON", "SLEEP 1500", "LED?"];
    let mut terminal = Terminal::spawn(command.args(slow)).unwrap();
    terminal.tty.screen.wait_for("[uart] 1 of 3 asked").unwrap();
    let screen = terminal.tty.screen.wait_for("ON\r\n").unwrap();
    assert!(screen.contains("\r\u{1b}[KOK\r\n"), "{screen:?}");
    assert_eq!(exit_code(terminal.process.wait().unwrap()), 0);
}
