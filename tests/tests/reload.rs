//! The configuration is read again: what changed takes effect, what did not change is left alone, and a file that is
//! wrong changes nothing.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Output;

use serde_json::json;
use tempfile::TempDir;
use uartnet_tests::{Daemon, Keys, Peer, Session, Signal, exit_code, uartd_command};

/// A daemon with a file that can be changed.
struct Bench {
    folder: TempDir,
    daemon: Daemon,
}

impl Bench {
    /// With a listener `uartnet` on a port the system chooses, beside this.
    fn start(text: &str, listeners: usize) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bench.toml");
        fs::write(&path, with_listener(text)).unwrap();
        let mut command = uartd_command().unwrap();
        command.arg("--config").arg(&path);
        let daemon = Daemon::run(&mut command, 1 + listeners).unwrap();
        Bench { folder, daemon }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("bench.toml")
    }

    fn write(&self, text: &str) {
        fs::write(self.path(), with_listener(text)).unwrap();
    }

    /// `uartd reload`.
    fn reload(&self) -> Output {
        uartd_command()
            .unwrap()
            .args(["reload", "--gateway", &self.daemon.address().to_string()])
            .output()
            .unwrap()
    }

    /// It changes this.
    #[track_caller]
    fn reloads(&self, text: &str, changes: &str) {
        self.write(text);
        let output = self.reload();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        assert_eq!(String::from_utf8_lossy(&output.stdout), changes);
        assert_eq!(exit_code(output.status), 0);
    }

    fn session(&self) -> Session {
        Session::open(self.daemon.address())
    }
}

fn with_listener(text: &str) -> String {
    format!("[[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\nport = \"a\"\n{text}")
}

/// A port that no socket has at this moment, at any address of this machine: one of the tests takes it at all of them.
fn free_port() -> SocketAddr {
    let any = TcpListener::bind("0.0.0.0:0").unwrap();
    SocketAddr::from(([127, 0, 0, 1], any.local_addr().unwrap().port()))
}

const A: &str = "[[port]]\nname = \"a\"\ndevice = \"sim:echo\"\n";
const B: &str = "[[port]]\nname = \"b\"\ndevice = \"sim:interpreter\"\n";

#[test]
fn what_changed_takes_effect_and_the_rest_is_left_alone() {
    let bench = Bench::start(&format!("{A}{B}"), 0);
    let mut on_a = bench.session();
    on_a.request(json!({"open": "a", "mode": "write"}));
    on_a.write(0, "before");
    on_a.read_until("before");
    let mut on_b = bench.session();
    let opened = on_b.request(json!({"open": "b", "mode": "write"}));

    // b has another device, history and policy; c and a listener for it are new.
    let raw = free_port();
    let changed = format!(
        "{A}[[port]]\nname = \"b\"\ndevice = \"sim:echo\"\nhistory = \"4KiB\"\nwrite = \"exclusive\"\n\
         [[port]]\nname = \"c\"\ndevice = \"loopback:\"\n\
         [[listen]]\nprotocol = \"raw\"\naddress = \"{raw}\"\nport = \"c\"\n"
    );
    bench.reloads(
        &changed,
        &format!(
            "port b changed: device, history, write, interpreter\nport c added\nlistener raw {raw} added\n"
        ),
    );
    bench
        .daemon
        .wait_log("reloaded: port b changed: device, history, write, interpreter")
        .unwrap();

    // a did not notice.
    on_a.write(6, "after");
    let (offset, _) = on_a.read_until("after");
    assert_eq!(offset, 6);
    // b's client is still there, and was told; offsets go on.
    let state = on_b.event("state");
    assert_eq!(
        (&state["state"], &state["losses"]),
        (&json!("present"), &json!(0))
    );
    let state = on_b.event("state");
    assert_eq!(
        (&state["state"], &state["losses"]),
        (&json!("present"), &json!(1))
    );
    on_b.write(opened["write_offset"].as_u64().unwrap(), "new device");
    on_b.read_until("new device");
    let info = on_b.request(json!({"info": "b"}));
    assert_eq!(info["port"]["device"], "sim:echo");
    assert_eq!(info["port"]["history_size"], 4096);
    assert_eq!(info["port"]["write"], "exclusive");
    assert_eq!(info["port"]["epoch"], opened["epoch"]);
    // c is there.
    let mut on_c = Peer::connect(raw);
    on_c.send("plug");
    let mut back = [0; 4];
    on_c.stream().read_exact(&mut back).unwrap();
    assert_eq!(&back, b"plug");

    bench.reloads(&changed, "nothing has changed\n");
}

#[test]
fn whoever_used_what_is_gone_is_told() {
    let raw = free_port();
    let listen = format!("[[listen]]\nprotocol = \"raw\"\naddress = \"{raw}\"\nport = \"a\"\n");
    let bench = Bench::start(&format!("{A}{B}{listen}"), 1);
    let mut on_b = bench.session();
    let opened = on_b.request(json!({"open": "b", "mode": "write"}));
    on_b.write(0, "6_LED?\r");
    on_b.read_until("LED");
    let mut on_raw = Peer::connect(raw);
    bench.reloads(A, &format!("port b removed\nlistener raw {raw} removed\n"));
    let said = on_b.end();
    let closed = json!({"event": "closed", "port": "b", "reason": "removed"});
    assert!(said.contains(&closed), "{said:?}");
    on_raw.expect_end();
    assert!(
        std::net::TcpStream::connect(raw).is_err(),
        "it still listens"
    );
    let mut other = bench.session();
    assert_eq!(other.request(json!({"open": "b"}))["error"], "unknown-port");

    // A port of the same name that comes later is another one: its offsets belong to another epoch.
    bench.reloads(&format!("{A}{B}"), "port b added\n");
    let again = other.request(json!({
        "open": "b", "from": {"at": {"offset": 5, "epoch": opened["epoch"]}}
    }));
    assert_ne!(again["epoch"], opened["epoch"]);
    assert_eq!(other.event("gap")["why"], "new-epoch");
}

#[test]
fn whoever_may_do_less_after_a_reload_is_shown_out_and_others_stay() {
    let (native, raw) = (free_port(), free_port());
    let file = |access: &str| {
        let listen = |protocol: &str, address: SocketAddr, more: &str| {
            format!(
                "[[listen]]\nprotocol = \"{protocol}\"\naddress = \"{address}\"\nport = \"a\"\n{more}"
            )
        };
        let access = format!("access = \"{access}\"\n");
        let native = listen("uartnet", native, &access);
        format!("{A}{native}{}", listen("raw", raw, &access))
    };
    let bench = Bench::start(&file("write"), 2);
    let changes = |word: &str| {
        format!("listener uartnet {native} changed: {word}\nlistener raw {raw} changed: {word}\n")
    };
    let mut elsewhere = bench.session();
    let by_native = Session::open(native);
    let mut by_raw = Peer::connect(raw);
    by_raw.send("x");
    by_raw.stream().read_exact(&mut [0]).unwrap();

    bench.reloads(&file("read"), &changes("access"));
    let said = by_native.end();
    let last = said.last().unwrap();
    assert_eq!(last["error"], "unauthorized", "{said:?}");
    let why = "what may be done here without a credential has become less";
    assert_eq!(last["message"], why);
    by_raw.expect_end();

    // Who may do no more than before stays, also when others may do more from now on.
    let mut reader = Session::open(native);
    bench.reloads(&file("admin"), &changes("access"));
    bench.reloads(&file("read"), &changes("access"));
    reader.request(json!({"open": "a"}));
    let refused = reader.request(json!({"ask": "a", "command": "x"}));
    assert_eq!(refused["error"], "forbidden", "{refused}");
    elsewhere.request(json!({"open": "a", "mode": "write"}));
}

#[test]
fn a_file_that_is_wrong_changes_nothing_and_says_what_check_says() {
    let mut bench = Bench::start(A, 0);
    let mut client = bench.session();
    client.request(json!({"open": "a", "mode": "write"}));
    bench.write(&format!("{A}histroy = \"1MiB\"\n{B}wirte = 1\n"));
    let check = uartd_command()
        .unwrap()
        .arg("check")
        .arg(bench.path())
        .output()
        .unwrap();
    let reload = bench.reload();
    assert_eq!(exit_code(reload.status), 1);
    let told = String::from_utf8(reload.stderr).unwrap();
    assert_eq!(told, String::from_utf8(check.stderr).unwrap());
    assert!(
        told.contains("bench.toml:8:1") && told.contains("histroy"),
        "{told}"
    );

    // SIGHUP says the same in the log.
    bench.daemon.process().signal(Signal::HUP).unwrap();
    bench.daemon.wait_log("not reloaded").unwrap();

    fs::remove_file(bench.path()).unwrap();
    let gone = bench.reload();
    let told = String::from_utf8(gone.stderr).unwrap();
    assert!(told.starts_with("uartd: cannot read "), "{told}");

    client.write(0, "still here");
    client.read_until("still here");
}

#[test]
fn an_address_that_is_taken_changes_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let bench = Bench::start(A, 0);
    let wanted = format!(
        "{A}write = \"none\"\n{B}[[listen]]\nprotocol = \"raw\"\naddress = \"{address}\"\nport = \"b\"\n"
    );
    bench.write(&wanted);
    let output = bench.reload();
    assert_eq!(exit_code(output.status), 1);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.starts_with(&format!(
            "uartd: cannot listen on {address}: the address is in use"
        )),
        "{told}"
    );
    let mut session = bench.session();
    let ports = session.request(json!({"list": "ports"}));
    assert_eq!(ports["ports"].as_array().unwrap().len(), 1, "{ports}");
    assert_eq!(ports["ports"][0]["write"], "shared");
    drop(taken);
    bench.reloads(
        &wanted,
        &format!("port a changed: write\nport b added\nlistener raw {address} added\n"),
    );
}

#[test]
fn a_listener_keeps_its_socket_or_makes_way_for_a_wider_one() {
    let address = free_port();
    let any = SocketAddr::from(([0, 0, 0, 0], address.port()));
    let listen = |protocol: &str, address: SocketAddr, more: &str| {
        format!(
            "{A}{B}[[listen]]\nprotocol = \"{protocol}\"\naddress = \"{address}\"\nport = \"b\"\n{more}"
        )
    };
    let bench = Bench::start(&listen("raw", address, ""), 1);
    let mut before = Peer::connect(address);
    // Other options, and another protocol: the socket stays, and so does who came by it.
    bench.reloads(
        &listen("raw", address, "banner = \"hello\"\n"),
        &format!("listener raw {address} changed: banner\n"),
    );
    let with_banner = Peer::connect(address);
    let mut hello = [0; 5];
    with_banner.stream().read_exact(&mut hello).unwrap();
    assert_eq!(&hello, b"hello");
    bench.reloads(
        &listen("uartnet", address, ""),
        &format!("listener uartnet {address} changed: protocol, banner\n"),
    );
    let mut plain = Peer::connect(address);
    plain.send("6_LED?");
    assert_eq!(plain.text(), "OFF");
    before.send("LED?\r");
    let mut echo = [0; 4];
    before.stream().read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"LED?");

    // 0.0.0.0 in the place of 127.0.0.1, at the same port.
    bench.reloads(
        &listen("uartnet", any, "insecure = true\n"),
        &format!("listener uartnet {address} removed\nlistener uartnet {any} added\n"),
    );
    plain.expect_end();
    let mut plain = Peer::connect(address);
    plain.send("6_LED?");
    assert_eq!(plain.text(), "OFF");
}

#[test]
fn a_port_that_is_renamed_hands_its_device_over() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("board");
    let port = |name: &str, line: &str| {
        format!(
            "{A}[[port]]\nname = \"{name}\"\ndevice = \"pty:{}\"\nline = \"{line}\"\n",
            link.display()
        )
    };
    let bench = Bench::start(&port("old", "9600-8n1"), 0);
    bench.reloads(
        &port("new", "9600-8n1"),
        "port old removed\nport new added\n",
    );
    let mut session = bench.session();
    session.request(json!({"open": "new", "mode": "write"}));
    while session.event("state")["state"] != "present" {}
    // Line settings are applied to a device that is in use.
    bench.reloads(&port("new", "19200-8n1"), "port new changed: line\n");
    assert_eq!(session.event("line")["line"], "19200-8n1");
}

#[test]
fn a_gateway_that_only_speaks_tls_is_told_otherwise() {
    let keys = Keys::new();
    let folder = tempfile::tempdir().unwrap();
    let (socket, audit) = (
        folder.path().join("uartd.sock"),
        folder.path().join("audit"),
    );
    let tls = "[[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\ntls = true\n";
    let unix = format!(
        "[[listen]]\nprotocol = \"uartnet\"\naddress = \"unix:{}\"\n",
        socket.display()
    );
    let gateway = format!("[gateway]\naudit = {audit:?}\n{A}");
    let mut daemon = keys.start(&format!("{gateway}{tls}"));
    let reload = |address: &str| {
        let mut command = keys.uartd();
        let output = command.args(["reload", "--gateway", address]).output();
        let output = output.unwrap();
        (
            exit_code(output.status),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, _, told) = reload(daemon.gateway());
    assert_eq!(code, 1);
    for what_to_do in ["speaks TLS", "SIGHUP", "--gateway unix:PATH"] {
        assert!(told.contains(what_to_do), "{told}");
    }
    let (code, _, told) = reload("tls://localhost:1");
    assert_eq!(code, 2);
    assert!(told.contains("SIGHUP"), "{told}");

    // Both ways it names.
    fs::write(keys.path("uartd.toml"), format!("{gateway}{tls}{unix}")).unwrap();
    daemon.process().signal(Signal::HUP).unwrap();
    daemon.wait_log("reloaded: listener uartnet unix:").unwrap();
    let changed = format!("{gateway}history = \"4KiB\"\n{tls}{unix}");
    fs::write(keys.path("uartd.toml"), changed).unwrap();
    let (code, told, _) = reload(&format!("unix:{}", socket.display()));
    assert_eq!((code, told.as_str()), (0, "port a changed: history\n"));

    // Who asked is written down, and what came of it.
    let audit = fs::read_to_string(audit).unwrap();
    let lines: Vec<serde_json::Value> = audit
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let reloaded: Vec<_> = lines
        .iter()
        .filter(|it| it["event"] == "reloaded")
        .collect();
    assert_eq!(reloaded.len(), 2, "{audit}");
    assert_eq!(reloaded[1]["changes"], json!(["port a changed: history"]));
    let asked: Vec<_> = lines.iter().filter(|it| it["right"] == "reload").collect();
    assert_eq!(asked.len(), 1, "{audit}");
    assert_eq!(asked[0]["event"], "control");
    assert_eq!(asked[0]["as"], "anonymous");
}
