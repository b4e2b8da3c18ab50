//! What is told of a changed file, by table: a file, the file after it, and the sentences.

use super::*;
use crate::config::{Given, load};

/// A file with this in it, beside a board and a listener that are always there.
fn config(text: &str) -> Config {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bench.toml");
    std::fs::write(&path, text).unwrap();
    let given = Given {
        file: Some(path),
        name: Some("bench1".to_owned()).filter(|_| !text.contains("[gateway]")),
        ..Given::default()
    };
    load(&given)
        .unwrap_or_else(|error| panic!("{error}"))
        .config
}

fn told(old: &str, new: &str) -> Vec<String> {
    Plan::new(&config(old), &config(new)).sentences()
}

const PORT: &str = "[[port]]\nname = \"a\"\ndevice = \"sim:echo\"\n";
const LISTEN: &str = "[[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:8000\"\n";

#[test]
fn a_file_that_says_the_same_changes_nothing() {
    let file = format!("{PORT}write = \"exclusive\"\n{LISTEN}");
    let reordered = format!("{LISTEN}# a comment\n{PORT}write = 'exclusive'\non_lag = \"auto\"\n");
    assert_eq!(told(&file, &reordered), [""; 0]);
}

#[test]
fn every_key_of_a_port_is_compared() {
    for (key, line) in [
        ("device", "device = \"loopback:\""),
        ("line", "line = \"9600-8n1\""),
        ("line", "flow = \"rtscts\""),
        ("history", "history = \"2MiB\""),
        ("write", "write = \"none\""),
        ("lease_idle", "lease_idle = \"1m\""),
        ("on_lag", "on_lag = \"gap\""),
        ("stall_limit", "stall_limit = \"1s\""),
        ("write_queue", "write_queue = \"8KiB\""),
        ("on_loss", "on_loss = \"keep\""),
        ("ask_queue", "ask_queue = 3"),
        ("ask_wait", "ask_wait = \"3s\""),
        ("write_pacing", "write_pacing = \"1ms/byte\""),
        ("write_pacing", "write_pacing = \"1ms/line\""),
        ("interpreter", "[port.interpreter]\nprofile = \"none\""),
        (
            "sequence",
            "[[port.sequence]]\nname = \"reset\"\nsteps = [\"dtr=off\"]",
        ),
    ] {
        let old = format!("[[port]]\nname = \"a\"\ndevice = \"sim:echo\"\n{LISTEN}");
        let new = if key == "device" {
            format!("[[port]]\nname = \"a\"\n{line}\n{LISTEN}")
        } else {
            format!("{PORT}{line}\n{LISTEN}")
        };
        assert_eq!(told(&old, &new), [format!("port a changed: {key}")]);
    }
}

#[test]
fn every_key_of_the_gateway_is_compared() {
    for (key, value) in [
        ("name", "\"other\""),
        ("drain", "\"1s\""),
        ("max_connections", "7"),
        ("max_connections_per_peer", "7"),
        ("dead_peer", "\"30s\""),
        ("max_frame", "\"1KiB\""),
        ("tokens", "\"other\""),
        ("audit", "\"audit.log\""),
        ("hello_timeout", "\"1s\""),
        ("max_unauthenticated", "3"),
    ] {
        let with = |text: &str| format!("[gateway]\n{text}{PORT}{LISTEN}");
        let new = with(&format!("{key} = {value}\n"));
        assert_eq!(told(&with(""), &new), [format!("gateway changed: {key}")]);
    }
}

#[test]
fn every_key_of_a_listener_is_compared() {
    let raw = "[[listen]]\nprotocol = \"raw\"\naddress = \"127.0.0.1:8001\"\n";
    let two = format!("{PORT}[[port]]\nname = \"b\"\ndevice = \"sim:interpreter\"\n");
    for (keys, before, after) in [
        ("port", "port = \"a\"", "port = \"b\""),
        ("from", "port = \"a\"", "port = \"a\"\nfrom = \"start\""),
        (
            "when_absent",
            "port = \"a\"",
            "port = \"a\"\nwhen_absent = \"refuse\"",
        ),
        ("banner", "port = \"a\"", "port = \"a\"\nbanner = \"hello\""),
        ("access", "port = \"a\"", "port = \"a\"\naccess = \"read\""),
        (
            "allow",
            "port = \"a\"\nallow = [\"::1\", \"10.0.0.0/8\"]",
            "port = \"a\"\nallow = [\"::1\"]",
        ),
        (
            "insecure",
            "port = \"a\"\ninsecure = false",
            "port = \"a\"\ninsecure = true",
        ),
    ] {
        assert_eq!(
            told(
                &format!("{two}{raw}{before}\n"),
                &format!("{two}{raw}{after}\n")
            ),
            [format!("listener raw 127.0.0.1:8001 changed: {keys}")]
        );
    }
    let other = raw.replace("\"raw\"", "\"rfc2217\"");
    assert_eq!(
        told(&format!("{PORT}{raw}"), &format!("{PORT}{other}")),
        ["listener rfc2217 127.0.0.1:8001 changed: protocol"]
    );
}

#[test]
fn ports_and_listeners_come_and_go() {
    let b = PORT.replace("\"a\"", "\"b\"");
    let elsewhere = LISTEN.replace("8000", "8001");
    let port = "port = \"a\"\n";
    assert_eq!(
        told(
            &format!("{PORT}{LISTEN}{port}"),
            &format!("{PORT}{b}{LISTEN}{port}{elsewhere}{port}")
        ),
        ["port b added", "listener uartnet 127.0.0.1:8001 added"]
    );
    assert_eq!(
        told(
            &format!("{PORT}{LISTEN}"),
            &format!("{}{elsewhere}", PORT.replace("\"a\"", "\"c\""))
        ),
        [
            "port a removed",
            "port c added",
            "listener uartnet 127.0.0.1:8000 removed",
            "listener uartnet 127.0.0.1:8001 added"
        ]
    );
}

#[test]
fn of_listeners_on_a_port_the_system_chooses_each_stays_what_it_was() {
    let any = LISTEN.replace("8000", "0");
    let raw = any.replace("uartnet", "raw");
    let old = config(&format!("{PORT}{any}{raw}{any}"));
    let new = config(&format!("{PORT}{raw}{any}{any}{any}"));
    let plan = Plan::new(&old, &new);
    let fates: Vec<&ListenerFate> = plan.listeners.iter().map(|(fate, _)| fate).collect();
    let kept = |index| ListenerFate::Kept(index, Keys::default());
    assert_eq!(fates, [&kept(1), &kept(0), &kept(2), &ListenerFate::New]);
    assert!(plan.listeners_gone.is_empty());
}

#[test]
fn every_key_of_an_identity_is_compared() {
    let listen = "[[listen]]\nprotocol = \"raw\"\naddress = \"127.0.0.1:8001\"\ntls = true\n\
        certificate = \"c\"\nkey = \"k\"\nclient_ca = \"ca\"\n";
    let with = |identities: &str| format!("{PORT}{listen}{identities}");
    let ci = "[[identity]]\nname = \"ci\"\ncommon_name = \"ci\"\nsan = \"DNS:ci\"\n";
    let key = format!("fingerprint = \"sha256:{}\"\n", "0f".repeat(32));
    for (changed, after) in [
        ("fingerprint", format!("{ci}{key}")),
        (
            "common_name",
            ci.replace("common_name = \"ci\"", "common_name = \"CI\""),
        ),
        ("san", ci.replace("DNS:ci", "DNS:other")),
        ("access", format!("{ci}access = \"write\"\n")),
        ("ports", format!("{ci}ports = [\"a\"]\n")),
    ] {
        assert_eq!(
            told(&with(ci), &with(&after)),
            [format!("identity ci changed: {changed}")]
        );
    }
    let anna = "[[identity]]\nname = \"anna\"\ncommon_name = \"anna\"\n";
    assert_eq!(
        told(&with(ci), &with(anna)),
        ["identity ci removed", "identity anna added"]
    );
    assert_eq!(
        told(&with(&format!("{ci}{anna}")), &with(&format!("{anna}{ci}"))),
        ["identities changed: their order"]
    );
    let other = listen.replace("client_ca = \"ca\"", "client_ca = \"other\"");
    assert_eq!(
        told(&with(ci), &format!("{PORT}{other}{ci}")),
        ["listener raw 127.0.0.1:8001 changed: client_ca"]
    );
    let plain = "[[listen]]\nprotocol = \"raw\"\naddress = \"127.0.0.1:8001\"\n";
    assert_eq!(
        told(
            &format!("{PORT}{plain}"),
            &format!("{PORT}{plain}tls = true\ncertificate = \"c\"\nkey = \"k\"\n")
        ),
        ["listener raw 127.0.0.1:8001 changed: tls"]
    );
}
