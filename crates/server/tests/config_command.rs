//! `uartd check`, `uartd devices` and wrong usage, as a person or a script meets them: the real program, its exit code,
//! and what goes to stdout and what to stderr.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

use std::fs;
use std::process::{Command, Stdio};

struct Outcome {
    code: i32,
    stdout: String,
    stderr: String,
}

fn uartd(arguments: &[&str]) -> Outcome {
    let output = Command::new(env!("CARGO_BIN_EXE_uartd"))
        .args(arguments)
        .env_remove("UARTD_LOG")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Outcome {
        code: output.status.code().expect("it was not killed"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn a_right_file_is_summed_up_on_stdout() {
    let outcome = uartd(&["check", "tests/config_valid/minimal.toml"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    let first = "tests/config_valid/minimal.toml is right: gateway ";
    assert!(outcome.stdout.starts_with(first), "{}", outcome.stdout);
    assert!(
        outcome.stdout.contains("\n  port  board0  /dev/ttyUSB0 "),
        "{}",
        outcome.stdout
    );
    assert!(
        outcome.stdout.contains("It names no listener"),
        "{}",
        outcome.stdout
    );
}

#[test]
fn a_wrong_file_is_explained_on_stderr() {
    for command in [&["check"][..], &["--config"]] {
        let file = "tests/config_invalid/unknown_keys.toml";
        let outcome = uartd(&[command, &[file]].concat());
        let expected = fs::read_to_string("tests/config_invalid/unknown_keys.expected").unwrap();
        assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""));
        assert_eq!(outcome.stderr, expected);
    }
}

#[test]
fn a_missing_file_is_one_sentence() {
    let outcome = uartd(&["check", "no/such.toml"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""));
    assert!(
        outcome
            .stderr
            .starts_with("uartd: cannot read no/such.toml: "),
        "{}",
        outcome.stderr
    );
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for (arguments, hint) in [
        (&["chek"][..], "did you mean the command \"check\"?"),
        (&["a=/dev/ttyUSB0,115200-9n1"], "is not a line setting"),
        (&["--listen", "uartnet=0.0.0.0:0"], "uartd tls init"),
        (&["--listen", "uartnet=0.0.0.0:0"], "--tls"),
        (&["--lisen", "uartnet=:0"], "'--listen'"),
        (&["--log", "loud"], "write error, warn, info"),
        (&["check"], "<FILE>"),
    ] {
        let outcome = uartd(arguments);
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (2, ""),
            "{arguments:?}"
        );
        assert!(
            outcome.stderr.contains(hint),
            "{arguments:?}: {}",
            outcome.stderr
        );
    }
}

#[test]
fn devices_are_listed_for_people_and_for_programs() {
    let table = uartd(&["devices"]);
    assert_eq!((table.code, table.stderr.as_str()), (0, ""));
    assert!(table.stdout.contains("sim:interpreter"), "{}", table.stdout);

    let json = uartd(&["devices", "--json"]);
    assert_eq!((json.code, json.stderr.as_str()), (0, ""));
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert!(json["devices"].is_array(), "{json}");
    assert_eq!(json["simulated"][0]["spec"], "sim:interpreter");
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    for arguments in [
        &["devices"][..],
        &["devices", "--json"],
        &["check", "tests/config_valid/minimal.toml"],
        &["--help"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_uartd"))
            .args(arguments)
            .stdout(writer)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    }
}

#[test]
fn a_full_disk_is_one() {
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_uartd"))
        .arg("devices")
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.starts_with("uartd: cannot write to stdout: "),
        "{stderr}"
    );
}
