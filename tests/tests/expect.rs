//! `uart expect`: what a board says is waited for, in time or not, across pieces and lost connections.

use std::time::Instant;

use predicates::prelude::*;
use predicates::str::{contains, is_empty};
use serde_json::Value;
use uartnet_tests::{
    DEADLINE, Daemon, Process, Relay, exit_code, uart, uart_command, wait_telemetry,
};

fn boards() -> Daemon {
    Daemon::start(&["board0=sim:interpreter", "echo0=sim:echo"]).expect("a gateway")
}

fn expect(gateway: &str, arguments: &[&str]) -> Process {
    let mut command = uart_command(gateway).expect("the binaries");
    Process::spawn(command.arg("expect").args(arguments)).expect("uart expect")
}

fn json(stdout: &[u8]) -> Value {
    serde_json::from_slice(stdout).expect("JSON")
}

#[test]
fn what_was_said_before_is_found_if_asked_for() {
    let daemon = boards();
    uart(&daemon)
        .args(["expect", "board0", "interpreter (\\d+)", "--from", "start"])
        .assert()
        .code(0)
        .stdout("UART interpreter 1.0, type HELP\n")
        .stderr(is_empty());
    uart(&daemon)
        .args(["expect", "board0", "HELP", "--timeout", "100ms"])
        .assert()
        .code(4)
        .stdout(is_empty())
        .stderr(contains("\"HELP\" did not come within 100ms").and(contains("nothing came")));
}

#[test]
fn what_is_sent_once_is_answered() {
    let daemon = boards();
    uart(&daemon)
        .args(["expect", "board0", "^uart-interpreter .*$", "--send", "ID?"])
        .assert()
        .code(0)
        .stdout("uart-interpreter 1.0 #00000000\n");
    // Written although what is looked for was there before.
    uart(&daemon)
        .args(["expect", "board0", "HELP", "--from", "start"])
        .args(["--send", "LED ON"])
        .assert()
        .code(0);
    uart(&daemon)
        .args(["ask", "board0", "LED?"])
        .assert()
        .stdout("ON\n");
    // With the end of line that was asked for, and none.
    for (eol, wire) in [
        (&["--eol", "crlf"][..], "a\\r\\n"),
        (&["--no-eol"], "a$"),
        (&["--eol", "lf"], "a\\n"),
    ] {
        uart(&daemon)
            .args(["expect", "echo0", &format!("\\A{wire}"), "--send", "a"])
            .args(eol)
            .assert()
            .code(0);
    }
}

#[test]
fn in_vain_the_last_that_came_is_shown() {
    let daemon = boards();
    let missed = uart(&daemon)
        .args(["expect", "board0", "NEVER", "AND NEVER", "--json"])
        .args(["--from", "start", "--timeout", "200ms"])
        .assert()
        .code(4)
        .stderr(
            contains("\"NEVER\" or \"AND NEVER\" did not come within 200ms")
                .and(contains("the last that came: \"\\r\\nUART interpreter")),
        );
    let record = json(&missed.get_output().stdout);
    assert_eq!(record["error"], "timeout");
    assert!(
        record["partial"]
            .as_str()
            .is_some_and(|text| text.ends_with("> ")),
        "{record}"
    );
}

#[test]
fn of_several_it_is_said_which_came() {
    let daemon = boards();
    let several = ["expect", "board0", "PASS", "type \\w+", "--from", "start"];
    uart(&daemon)
        .args(several)
        .assert()
        .code(0)
        .stdout("UART interpreter 1.0, type HELP\n")
        .stderr(contains("this is \"type \\w+\""));
    let found = uart(&daemon).args(several).arg("--json").assert().code(0);
    let record = json(&found.get_output().stdout);
    assert_eq!(
        (&record["which"], &record["pattern"], &record["match"]),
        (&2.into(), &"type \\w+".into(), &"type HELP".into())
    );
    assert_eq!((&record["from"], &record["to"]), (&24.into(), &33.into()));

    // From there the waiting can go on: what comes behind the match, and nothing twice.
    let (to, epoch) = (&record["to"], record["epoch"].as_str().expect("an epoch"));
    let place = format!("{to}@{epoch}");
    uart(&daemon)
        .args(["expect", "board0", "(?s).+", "--json", "--from", &place])
        .assert()
        .code(0)
        .stdout(contains("\"match\":\"\\r\\n> \""));
}

#[test]
fn it_is_found_across_a_lost_connection() {
    let daemon = boards();
    let relay = Relay::to(daemon.address()).unwrap();
    let through = relay.address().to_string();
    let pattern = "(?s)T 1 .*T 60 [^\\n]*\\n";
    let mut cut = expect(&through, &["board0", pattern, "--json"]);
    let mut raw = uart_command(daemon.gateway()).unwrap();
    let whole = Process::spawn(raw.args(["watch", "board0", "--raw", "--from", "start"])).unwrap();
    whole.stdout.wait_for("HELP").unwrap();
    // It hears the board once the board has two clients that read.
    let begin = Instant::now();
    loop {
        let info = uart(&daemon).args(["info", "board0", "--json"]).assert();
        if json(&info.get_output().stdout)["clients"] == 2 {
            break;
        }
        assert!(begin.elapsed() < DEADLINE, "{}", cut.said());
    }
    uart(&daemon)
        .args(["ask", "board0", "STREAM 20"])
        .assert()
        .stdout("OK\n");
    wait_telemetry(&whole, 20).unwrap();
    relay.cut();
    relay.wait_refused(1).unwrap();
    wait_telemetry(&whole, 40).unwrap();
    relay.mend();
    let status = cut.wait().unwrap();
    assert_eq!(exit_code(status), 0, "{}", cut.said());
    cut.stderr.wait_for("connection lost").unwrap();
    let record = json(&cut.stdout.bytes());
    let found = record["match"].as_str().expect("text");
    for line in 1..=60 {
        assert!(found.contains(&format!("T {line} ")), "{line}: {found}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let daemon = boards();
    for (arguments, code, said) in [
        (&["board0", "a(b"][..], 2, "unclosed group"),
        (&["board0"], 2, "<REGEX>"),
        (&["board0", "x", "--no-eol"], 2, "--send"),
        (&["board0", "x", "--from", "now"], 2, "write live"),
        (
            &["tcp://127.0.0.1:1", "x", "--from", "start"],
            2,
            "no history",
        ),
        (&["nowhere", "x"], 1, "nowhere"),
        (&["tcp://127.0.0.1:1", "x"], 3, "127.0.0.1:1"),
    ] {
        uart(&daemon)
            .arg("expect")
            .args(arguments)
            .assert()
            .code(code)
            .stdout(is_empty())
            .stderr(contains(said));
    }
}
