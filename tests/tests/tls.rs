//! TLS, as clients and strangers meet it: both binaries, real files, every endpoint.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use predicates::prelude::*;
use predicates::str::{contains, starts_with};
use uartnet_tests::{DEADLINE, Daemon, Keys, Process, frame};

const PORT: &str = "[[port]]\nname = \"board0\"\ndevice = \"sim:interpreter\"\n";

fn listener(protocol: &str, more: &str) -> String {
    format!(
        "[[listen]]\nprotocol = \"{protocol}\"\naddress = \"127.0.0.1:0\"\ntls = true\nport = \"board0\"\n{more}\n"
    )
}

/// A gateway with one listener, its key, and how `uart` calls it.
fn gateway(keys: &Keys, protocol: &str, more: &str) -> (Daemon, String) {
    let daemon = keys.start(&format!("{PORT}{}", listener(protocol, more)));
    let port = daemon.address().port();
    (daemon, format!("tls://localhost:{port}"))
}

#[test]
fn a_key_is_made_once_and_shown() {
    let keys = Keys::new();
    let shown = keys.said(&["tls", "show"]);
    assert!(shown.starts_with("sha256:") && shown.len() == 71, "{shown}");
    let mut again = assert_cmd::Command::from_std(keys.uartd());
    again
        .args(["tls", "init"])
        .assert()
        .code(1)
        .stderr(contains("--force"));
    assert_eq!(keys.said(&["tls", "show"]), shown);
    assert_ne!(keys.init(&["--force"]), shown);
}

#[test]
fn a_gateway_is_known_by_its_key_and_another_key_is_refused_loudly() {
    let keys = Keys::new();
    let (_daemon, gateway) = gateway(&keys, "uartnet", "");
    let fingerprint = keys.said(&["tls", "show"]);
    let uart = |arguments: &[&str]| keys.uart(&gateway).args(arguments).assert();
    // A program cannot be asked.
    uart(&["ls"])
        .code(3)
        .stdout("")
        .stderr(contains(&fingerprint).and(contains("--accept-new")));
    let wrong = format!("sha256:{}", "0".repeat(64));
    uart(&["--pin", &wrong, "ls"])
        .code(3)
        .stderr(contains(&fingerprint).and(contains(&wrong)));
    uart(&["--pin", &fingerprint, "ls"]).code(0);
    uart(&["ls"]).code(3);
    uart(&["--accept-new", "ls"]).code(0);
    uart(&["ask", "board0", "LED?"]).code(0).stdout("OFF\n");
    uart(&["send", "LED?"]).code(0);
    let file = keys.path("state/uart/known_gateways");
    let known = fs::read_to_string(&file).unwrap();
    assert_eq!(known.lines().count(), 1, "{known}");
    // Somebody is in between.
    let other = known.replace(&fingerprint, &wrong);
    fs::write(&file, format!("# mine\n{other}")).unwrap();
    for more in [&["ls"][..], &["--accept-new", "ls"]] {
        uart(more).code(3).stdout("").stderr(
            contains("KEY HAS CHANGED")
                .and(contains("known_gateways:2"))
                .and(contains("uart forget --gateway tls://")),
        );
    }
    uart(&["forget"]).code(0);
    uart(&["forget"]).code(1);
    uart(&["--accept-new", "ls"]).code(0);
}

#[test]
fn an_authority_is_trusted_for_the_name_of_the_host() {
    let keys = Keys::new();
    // The certificate names the address of the first, and not that of the second.
    let first = listener("uartnet", "");
    let second = first.replace("127.0.0.1", "127.0.0.2");
    let daemon = keys.start(&format!("{PORT}{first}{second}"));
    let gateway = format!("tls://localhost:{}", daemon.address().port());
    let file = |name: &str| keys.path(name).to_str().unwrap().to_owned();
    let ca = file("certificate.pem");
    let uart = |gateway: &str, ca: &str| keys.uart(gateway).args(["--ca", ca, "ls"]).assert();
    uart(&gateway, &ca).code(0);
    uart(&format!("tls://{}", daemon.gateway()), &ca).code(0);
    uart(&format!("tls://{}", daemon.listening()[1].address), &ca)
        .code(3)
        .stderr(contains("not valid for name"));
    let other = Keys::new();
    let foreign = other.path("certificate.pem").to_str().unwrap().to_owned();
    uart(&gateway, &foreign)
        .code(3)
        .stderr(contains("none of the authorities"));
    uart(&gateway, &file("key.pem"))
        .code(1)
        .stderr(contains("no certificate in it"));
    uart(daemon.gateway(), &ca)
        .code(2)
        .stderr(contains("tls://"));
}

#[test]
fn a_token_goes_over_tls_and_a_read_only_one_cannot_write() {
    let keys = Keys::new();
    let (_daemon, gateway) = gateway(&keys, "uartnet", "access = \"none\"");
    let secret = keys.said(&["token", "create", "ci", "--access", "read"]);
    let pin = keys.said(&["tls", "show"]);
    let mut login = keys.uart(&gateway);
    login
        .args(["--pin", &pin, "login"])
        .write_stdin(secret)
        .assert()
        .code(0);
    let uart = |arguments: &[&str]| keys.uart(&gateway).args(arguments).assert();
    uart(&["ls"]).code(0);
    uart(&["ask", "board0", "LED ON"])
        .code(1)
        .stderr(contains("forbidden"));
    uart(&["expect", "board0", "type HELP", "--from", "start"]).code(0);
}

#[test]
fn every_endpoint_speaks_over_tls_in_any_fragments_and_half_closes() {
    let keys = Keys::new();
    let text = format!(
        "{PORT}{}{}{}",
        listener("uartnet", ""),
        listener("raw", ""),
        listener("rfc2217", "")
    );
    let daemon = keys.start(&text);
    for (listening, hello, answer) in [
        (0, frame("LED?"), frame("OFF")),
        (1, b"LED?\r".to_vec(), b"LED?\r\nOFF".to_vec()),
        // WILL BINARY is agreed to.
        (2, b"\xff\xfb\x00".to_vec(), b"\xff\xfd\x00".to_vec()),
    ] {
        let address = daemon.listening()[listening].address.parse().unwrap();
        for pieces in [1, 7, usize::MAX] {
            let mut peer = keys.connect(address);
            let sealed = peer.encrypt(&hello);
            for piece in sealed.chunks(pieces) {
                peer.socket().write_all(piece).unwrap();
            }
            let mut came = Vec::new();
            while !came
                .windows(answer.len())
                .any(|window| window == answer.as_slice())
            {
                came.extend(peer.read(1));
            }
            // What is sent last is answered although nothing more is sent, and then the end is one that TLS has.
            if listening == 0 {
                peer.send(frame("LED?"));
                peer.finish();
                assert_eq!(peer.rest(), (frame("OFF"), true));
            } else {
                peer.finish();
                assert!(peer.rest().1, "listener {listening}");
            }
        }
    }
}

#[test]
fn a_connection_that_is_cut_is_no_orderly_end() {
    let keys = Keys::new();
    let text = format!("{PORT}{}", listener("uartnet", ""));
    fs::write(keys.path("uartd.toml"), text).unwrap();
    let mut command = keys.uartd();
    command
        .args(["--log", "debug", "--config"])
        .arg(keys.path("uartd.toml"));
    let daemon = Daemon::run(&mut command, 1).unwrap();
    let mut peer = keys.connect(daemon.address());
    peer.send(frame("LED ON"));
    assert_eq!(peer.read(4), frame("OK"));
    peer.cut();
    daemon.wait_log("connection lost").unwrap();
    let mut orderly = keys.connect(daemon.address());
    orderly.finish();
    assert_eq!(orderly.rest(), (Vec::new(), true));
    assert_eq!(daemon.log().matches("connection lost").count(), 1);
}

#[test]
fn whoever_speaks_no_tls_is_turned_away_and_why_is_said() {
    let keys = Keys::new();
    let text = format!(
        "[gateway]\naudit = \"stderr\"\nhello_timeout = \"1s\"\n{PORT}{}",
        listener("uartnet", "")
    );
    let mut daemon = keys.start(&text);
    for (turned_away, (garbage, why)) in (1..).zip([
        (&b"13_Hello IoT!"[..], "speaks no TLS"),
        (b"GET / HTTP/1.1\r\n\r\n", "speaks no TLS"),
        (b"\x16\x03", "in time"),
        (b"", "in time"),
    ]) {
        let mut stream = TcpStream::connect(daemon.address()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(garbage).unwrap();
        let mut said = Vec::new();
        stream.read_to_end(&mut said).ok();
        // An alert at most; nothing that came was taken for a frame.
        assert!(said.len() <= 7 && !said.starts_with(b"1"), "{said:?}");
        let stderr = &daemon.process().stderr;
        let told = stderr
            .wait("a line of the audit log", |log| {
                log.matches("turned-away").count() == turned_away
            })
            .unwrap();
        let mut lines = told.lines().rev();
        let last = lines.find(|line| line.contains("turned-away")).unwrap();
        assert!(last.contains(why), "{last}");
    }
    assert!(daemon.log().contains("speaks no TLS"));
    let gateway = format!("tls://localhost:{}", daemon.address().port());
    let mut status = keys.uart(&gateway);
    status
        .args(["--accept-new", "info", "--json"])
        .assert()
        .code(0)
        .stdout(contains("\"handshakes_failed\":4"));
    keys.uart(daemon.gateway())
        .arg("ls")
        .assert()
        .code(3)
        .stderr(contains("write tls://"));
}

#[test]
fn strangers_who_do_not_shake_hands_are_bounded() {
    let keys = Keys::new();
    let (daemon, gateway) = gateway(&keys, "uartnet", "");
    let crowd: Vec<_> = (0..16)
        .map(|_| TcpStream::connect(daemon.address()).unwrap())
        .collect();
    // One more of the same address gets no handshake.
    let mut more = TcpStream::connect(daemon.address()).unwrap();
    more.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut said = Vec::new();
    more.read_to_end(&mut said).ok();
    assert!(said.is_empty(), "{said:?}");
    daemon.wait_log("have not said who they are").unwrap();
    drop(crowd);
    // They are gone as soon as that is noticed.
    let try_once = || keys.uart(&gateway).args(["--accept-new", "ls"]).ok();
    while try_once().is_err() {}
}

#[test]
fn a_client_of_tls_at_a_gateway_without_is_told_so() {
    let keys = Keys::new();
    let daemon = Daemon::start(&["board0=sim:interpreter"]).unwrap();
    let gateway = format!("tls://{}", daemon.gateway());
    keys.uart(&gateway)
        .args(["--accept-new", "ls"])
        .assert()
        .code(3)
        .stderr(contains("speaks no TLS"));
}

#[test]
fn a_new_certificate_is_in_force_and_no_connection_is_dropped() {
    let keys = Keys::new();
    let (daemon, gateway) = gateway(&keys, "uartnet", "");
    let mut before = keys.connect(daemon.address());
    let old = keys.said(&["tls", "show"]);
    let certificate = fs::read(keys.path("certificate.pem")).unwrap();
    fs::write(keys.path("certificate.pem"), "nothing").unwrap();
    daemon.wait_log("the old one stays in force").unwrap();
    let uart = |pin: &str| keys.uart(&gateway).args(["--pin", pin, "ls"]).assert();
    uart(&old).code(0);
    fs::write(keys.path("certificate.pem"), certificate).unwrap();
    let new = keys.init(&["--force"]);
    daemon.wait_log(&format!("fingerprint={new}")).unwrap();
    uart(&new).code(0);
    uart(&old).code(3);
    before.send(frame("LED?"));
    assert_eq!(before.read(5), frame("OFF"));
}

#[test]
fn without_a_certificate_the_start_says_what_to_type() {
    let keys = Keys::new();
    fs::remove_file(keys.path("key.pem")).unwrap();
    let mut command = assert_cmd::Command::from_std(keys.uartd());
    command
        .args(["--listen", "uartnet=0.0.0.0:0", "--tls", "board0=sim:echo"])
        .assert()
        .code(1)
        .stdout("")
        .stderr(contains("key.pem").and(contains("uartd tls init")));
}

#[test]
fn beyond_this_machine_it_takes_tls_and_a_credential() {
    let keys = Keys::new();
    let check = |listen: &str| {
        let file = keys.path("check.toml");
        fs::write(&file, format!("{PORT}[[listen]]\n{listen}")).unwrap();
        let mut command = assert_cmd::Command::from_std(keys.uartd());
        command.arg("check").arg(file).assert()
    };
    let public = "protocol = \"uartnet\"\naddress = \"0.0.0.0:0\"\n";
    check(&format!("{public}tls = true"))
        .code(0)
        .stdout(contains("TLS"));
    for (more, said) in [
        ("", "uartd tls init"),
        ("access = \"none\"", "uartd tls init"),
        ("tls = true\naccess = \"read\"", "take access out"),
    ] {
        check(&format!("{public}{more}"))
            .code(1)
            .stderr(contains("can be reached from other machines").and(contains(said)));
    }
    check("protocol = \"raw\"\naddress = \"0.0.0.0:0\"\ntls = true")
        .code(1)
        .stderr(contains("cannot carry a token"));
}

#[test]
fn a_watch_goes_on_over_tls() {
    let keys = Keys::new();
    let (_daemon, gateway) = gateway(&keys, "uartnet", "");
    let mut known = keys.uart(&gateway);
    known
        .args(["--accept-new", "ls"])
        .assert()
        .code(0)
        .stdout(starts_with("NAME"));
    let mut watch = uartnet_tests::uart_command(&gateway).unwrap();
    watch
        .env("XDG_STATE_HOME", keys.path("state"))
        .args(["watch", "board0"]);
    let watching = Process::spawn(&mut watch).unwrap();
    let asked = || {
        keys.uart(&gateway)
            .args(["ask", "board0", "ID?"])
            .assert()
            .code(0);
    };
    // Once it is there, it hears what others ask.
    while !watching.stdout.text().contains("ID?") {
        asked();
    }
}

#[test]
fn a_flood_of_strangers_is_told_as_a_number_and_not_one_by_one() {
    const FLOOD: usize = 300;
    let keys = Keys::new();
    let text = format!(
        "[gateway]\naudit = \"stderr\"\n{PORT}{}",
        listener("uartnet", "")
    );
    let mut daemon = keys.start(&text);
    for _ in 0..FLOOD {
        let mut stream = TcpStream::connect(daemon.address()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(b"13_Hello IoT!").ok();
        stream.read_to_end(&mut Vec::new()).ok();
    }
    // Without waiting for anybody else to come.
    daemon.wait_log("turned away: others").unwrap();
    assert!(daemon.stop().unwrap().success());
    let log = daemon.log();
    let about = |what: &'static str| log.lines().filter(move |line| line.contains(what));
    let others: usize = about("turned away: others")
        .map(|line| {
            let (_, rest) = line.split_once("more=").unwrap();
            let digits = rest.split(|it: char| !it.is_ascii_digit()).next();
            digits.unwrap().parse::<usize>().unwrap()
        })
        .sum();
    let told = about("turned away: ").count() - about("turned away: others").count();
    // One way or the other, each of them is in the log; and in the audit log.
    assert_eq!(told + others, FLOOD, "{log}");
    assert!(told * 10 < FLOOD, "{log}");
    let suppressed: usize = about(r#""event":"suppressed""#)
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|line| line["lines"].as_u64().unwrap() as usize)
        .sum();
    let written = about(r#""event":"turned-away""#).count();
    assert!(written + suppressed <= FLOOD, "{log}");
    assert!(written >= 100, "{log}");
}
