//! Configuration as a person meets it: `uartd check`, mistakes with their place and the right spelling, and the start
//! without any configuration.

use std::fs;
use std::net::TcpListener;

use predicates::prelude::*;
use predicates::str::contains;
use uartnet_tests::{Daemon, Peer, uart, uartd};

const GOOD: &str = "\
[gateway]
name = \"bench1\"

[[port]]
name = \"board0\"
device = \"sim:interpreter\"
line = \"115200-8n1\"
history = \"64KiB\"

[[port.sequence]]
name = \"reset\"
steps = [\"dtr=off\", \"rts=on\", \"10ms\", \"rts=off\"]

[[listen]]
protocol = \"uartnet\"
address = \"127.0.0.1:0\"
port = \"board0\"
";

#[test]
fn a_good_file_is_checked_and_served() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("good.toml");
    fs::write(&file, GOOD).unwrap();
    uartd()
        .arg("check")
        .arg(&file)
        .assert()
        .code(0)
        .stdout(contains("board0"));

    let daemon = Daemon::with_config(GOOD).unwrap();
    assert_eq!(daemon.listening()[0].protocol, "uartnet");
    assert_eq!(daemon.listening()[0].port.as_deref(), Some("board0"));
    uart(&daemon)
        .args(["ask", "board0", "LED?"])
        .assert()
        .code(0)
        .stdout("OFF\n");
}

#[test]
fn every_mistake_is_shown_with_its_place_and_what_would_be_right() {
    for (right, wrong, place, help) in [
        ("history = ", "histroy = ", ":8:1", "history"),
        ("name = \"board0\"", "nmae = \"board0\"", ":5:1", "name"),
        ("sim:interpreter", "sim:interpeter", ":6:10", "interpreter"),
        ("115200-8n1", "115200-9n1", ":7:8", "8"),
        ("\"64KiB\"", "\"64 potatoes\"", ":8:11", "KiB"),
        (
            "protocol = \"uartnet\"",
            "protocol = \"uartent\"",
            ":15:12",
            "uartnet",
        ),
        ("port = \"board0\"", "port = \"board1\"", ":17:8", "board0"),
        ("\"rts=on\"", "\"rst=on\"", ":12:21", "rts"),
        ("127.0.0.1:0", "127.0.0.1", ":16:11", "127.0.0.1:8000"),
        ("127.0.0.1:0", "0.0.0.0:0", ":16:11", "insecure"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("wrong.toml");
        let text = GOOD.replacen(right, wrong, 1);
        assert_ne!(text, GOOD, "{right} is not in the file");
        fs::write(&file, text).unwrap();
        let said = || {
            contains("wrong.toml")
                .and(contains(place))
                .and(contains(help))
        };
        uartd()
            .arg("check")
            .arg(&file)
            .assert()
            .code(1)
            .stderr(said());
        // Serving says the same, and serves nothing.
        uartd()
            .arg("--config")
            .arg(&file)
            .assert()
            .failure()
            .stderr(said())
            .stdout("");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    uartd()
        .args(["check", "/no/such/file.toml"])
        .assert()
        .code(1)
        .stderr(contains("/no/such/file.toml"));
    uartd()
        .args(["--config", "/no/such/file.toml"])
        .assert()
        .code(1)
        .stderr(contains("/no/such/file.toml"));
}

#[test]
fn arguments_are_checked_like_a_file() {
    for (arguments, said) in [
        (&["board0=sim:interpreter,9600-9n1"][..], "9600-9n1"),
        (&["board0=sim:interpeter"], "interpreter"),
        (&["board 0=sim:echo"], "board 0"),
        (&["board0"], "board0"),
        (
            &["--listen", "uartent=127.0.0.1:0", "board0=sim:echo"],
            "uartnet",
        ),
        (
            &["--listen", "uartnet=127.0.0.1:0,board1", "board0=sim:echo"],
            "board1",
        ),
        (
            &["--listen", "uartnet=0.0.0.0:0", "board0=sim:echo"],
            "insecure",
        ),
        (&["board0=sim:echo", "board0=sim:echo"], "board0"),
        (&["--no-such-flag"], "--no-such-flag"),
    ] {
        uartd()
            .args(arguments)
            .assert()
            .failure()
            .stderr(contains(said))
            .stdout("");
    }
}

#[test]
fn without_arguments_it_serves_something_useful_or_says_that_the_address_is_taken() {
    // Whoever has the port, this test or somebody else on this machine, it is taken.
    let _taken = TcpListener::bind("127.0.0.1:8000");
    uartd()
        .assert()
        .failure()
        .stderr(contains("127.0.0.1:8000").and(contains("in use")))
        .stdout("");
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    uartd()
        .args(["--listen", &format!("uartnet={address}"), "board0=sim:echo"])
        .assert()
        .failure()
        .stderr(contains(address).and(contains("in use")))
        .stdout("");
}

#[test]
fn a_simulated_board_is_served_when_only_a_listener_is_given() {
    let daemon = Daemon::start(&[]).unwrap();
    assert_eq!(daemon.listening()[0].port.as_deref(), Some("sim0"));
    uart(&daemon)
        .args(["ask", "sim0", "LED ON"])
        .assert()
        .code(0)
        .stdout("OK\n")
        .stderr("");
}

#[test]
fn several_listeners_each_with_its_port() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("uartd.sock");
    let mut command = uartnet_tests::uartd_command().unwrap();
    command.args([
        "--listen",
        "uartnet=127.0.0.1:0,a",
        "--listen",
        "uartnet=127.0.0.1:0,b",
        "--listen",
    ]);
    command.arg(format!("uartnet=unix:{}", socket.display()));
    let daemon = Daemon::run(
        command.args(["a=sim:interpreter?seed=1", "b=sim:interpreter?seed=2"]),
        3,
    )
    .unwrap();
    let answers: Vec<String> = daemon.listening()[..2]
        .iter()
        .map(|listening| {
            let mut peer = Peer::connect(listening.address.parse().unwrap());
            peer.send(b"5_ID?");
            peer.text()
        })
        .collect();
    assert_ne!(answers[0], answers[1]);

    let gateway = format!("unix:{}", socket.display());
    let mut command = uartnet_tests::uart_command(&gateway).unwrap();
    assert_cmd::Command::from_std(std::mem::replace(
        &mut command,
        std::process::Command::new("true"),
    ))
    .args(["ls"])
    .assert()
    .code(0)
    .stdout(contains("a").and(contains("b")));
}

#[test]
fn devices_are_listed_without_a_gateway() {
    uartd().args(["devices"]).assert().code(0);
    let output = uartd()
        .args(["devices", "--json"])
        .assert()
        .code(0)
        .get_output()
        .stdout
        .clone();
    let devices: serde_json::Value = serde_json::from_slice(&output).unwrap();
    assert!(!devices.is_null());
}

#[test]
fn every_example_is_right() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
    let mut checked = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            uartd().arg("check").arg(&path).assert().code(0);
            checked += 1;
        }
    }
    assert!(checked > 0, "there is no example in {folder}");
}
