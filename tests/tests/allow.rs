//! From where a listener takes clients: whoever comes from elsewhere gets no further than the door, whatever it speaks, and
//! that is counted and said.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

use std::fs;

use predicates::str::contains;
use serde_json::json;
use uartnet_tests::{Daemon, Keys, Peer, Session, exit_code};

const PORT: &str = "[[port]]\nname = \"board0\"\ndevice = \"sim:interpreter\"\n";
const ELSEWHERE: &str = "allow = [\"10.0.0.0/8\", \"127.0.0.2\", \"::/0\"]\n";
const HERE: &str = "allow = [\"10.0.0.0/8\", \"127.0.0.1\"]\n";

fn listener(protocol: &str, more: &str) -> String {
    format!("[[listen]]\nprotocol = \"{protocol}\"\naddress = \"127.0.0.1:0\"\n{more}")
}

#[test]
fn whoever_comes_from_elsewhere_gets_no_further_than_the_door() {
    let keys = Keys::new();
    let kinds = [
        ("uartnet", ""),
        ("raw", "banner = \"hello\"\n"),
        ("rfc2217", ""),
        ("uartnet", "tls = true\n"),
    ];
    let mut text = format!(
        "[gateway]\naudit = \"stderr\"\n{PORT}{}",
        listener("uartnet", "")
    );
    for allow in [ELSEWHERE, HERE] {
        for (protocol, more) in kinds {
            text += &listener(protocol, &format!("{more}{allow}"));
        }
    }
    let mut daemon = keys.start(&text);
    let addresses: Vec<_> = daemon
        .listening()
        .iter()
        .map(|it| it.address.parse().unwrap())
        .collect();
    let (outside, inside) = addresses[1..].split_at(kinds.len());

    for address in outside {
        Peer::connect(*address).expect_end();
    }
    let told = daemon
        .process()
        .stderr
        .wait("the audit log", |log| {
            log.matches("\"turned-away\"").count() == kinds.len()
        })
        .unwrap();
    assert_eq!(
        told.matches("\"why\":\"clients of this address are not let in\"")
            .count(),
        kinds.len(),
        "{told}"
    );
    daemon
        .wait_log("turned away: clients of this address are not let in")
        .unwrap();
    keys.uart(daemon.gateway())
        .args(["info", "--json"])
        .assert()
        .code(0)
        .stdout(contains("\"addresses_refused\":4"));

    let mut plain = Peer::connect(inside[0]);
    plain.send("6_LED?");
    assert_eq!(plain.text(), "OFF");
    for address in &inside[1..3] {
        let mut first = [0];
        let peer = Peer::connect(*address);
        std::io::Read::read_exact(&mut peer.stream(), &mut first).unwrap();
    }
    let tls = format!("tls://localhost:{}", inside[3].port());
    keys.uart(&tls)
        .args([
            "--pin",
            &keys.said(&["tls", "show"]),
            "ask",
            "board0",
            "LED?",
        ])
        .assert()
        .code(0)
        .stdout("OFF\n");
}

#[test]
fn whoever_is_no_longer_let_in_after_a_reload_is_shown_out_and_others_stay() {
    let keys = Keys::new();
    let text = |one: &str, two: &str| {
        let listeners = ["", one, two].map(|allow| listener("uartnet", allow));
        format!("{PORT}{}", listeners.concat())
    };
    let all = "allow = [\"0.0.0.0/0\"]\n";
    let daemon = keys.start(&text(all, all));
    let address = |at: usize| daemon.listening()[at].address.parse().unwrap();
    let [one, mut two] = [1, 2].map(|at| Session::open(address(at)));

    reload(&keys, &daemon, &text(ELSEWHERE, HERE));
    let said = one.end();
    let last = said.last().unwrap();
    assert_eq!(last["error"], "unauthorized", "{said:?}");
    let why = "clients of this address are not let in any more";
    assert_eq!(last["message"], why);
    Peer::connect(address(1)).expect_end();
    two.request(json!({"list": "ports"}));

    reload(&keys, &daemon, &text("", ""));
    Session::open(address(1)).request(json!({"list": "ports"}));
    two.request(json!({"list": "ports"}));
}

fn reload(keys: &Keys, daemon: &Daemon, text: &str) {
    fs::write(keys.path("uartd.toml"), text).unwrap();
    let mut command = keys.uartd();
    let output = command
        .args(["reload", "--gateway", daemon.gateway()])
        .output()
        .unwrap();
    let changed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(exit_code(output.status), 0, "{changed}");
    assert_eq!(changed.matches(" changed: allow\n").count(), 2, "{changed}");
}
