//! Tokens, as the people meet them who make, use and lose them: both binaries, a real file, a real audit log.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use predicates::prelude::*;
use predicates::str::contains;
use tempfile::TempDir;
use uartnet_tests::{Daemon, Peer, Process, frame, uart, uart_command, uartd, uartd_command};

/// A folder with a configuration whose listener lets nobody in without a token.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Bench {
        let bench = Bench {
            folder: tempfile::tempdir().unwrap(),
        };
        let text = format!(
            "[gateway]\ntokens = {:?}\naudit = {:?}\n\
             [[port]]\nname = \"board0\"\ndevice = \"sim:interpreter\"\n\
             [[port]]\nname = \"board1\"\ndevice = \"sim:interpreter\"\n\
             [[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\nport = \"board0\"\naccess = \"none\"\n",
            bench.path("tokens.toml"),
            bench.path("audit.jsonl"),
        );
        fs::write(bench.path("uartd.toml"), text).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&self) -> Daemon {
        let mut command = uartd_command().unwrap();
        command.arg("--config").arg(self.path("uartd.toml"));
        Daemon::run(&mut command, 1).unwrap()
    }

    fn token(&self, arguments: &[&str]) -> assert_cmd::Command {
        let mut command = uartd();
        command.arg("token").args(arguments);
        command.arg("--config").arg(self.path("uartd.toml"));
        command
    }

    /// Makes a token and returns its secret.
    fn create(&self, arguments: &[&str]) -> String {
        let assert = self.token(arguments).assert().code(0);
        let secret = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
        secret.strip_suffix('\n').unwrap().to_owned()
    }
}

#[test]
fn a_token_is_made_shown_once_and_stored_where_nobody_else_reads() {
    let bench = Bench::new();
    let secret = bench.create(&["create", "ci", "--port", "board0", "--expires", "90d"]);
    assert!(
        secret.starts_with("uart_") && secret.len() == 69,
        "{secret}"
    );
    let file = bench.path("tokens.toml");
    assert!(!fs::read_to_string(&file).unwrap().contains(&secret));
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let listed = bench.token(&["list"]).assert().code(0);
    listed.stdout(
        contains("ci")
            .and(contains("read"))
            .and(contains("board0"))
            .and(contains("in force"))
            .and(contains(&secret[5..]).not()),
    );
    let again = bench.token(&["create", "ci"]).assert().code(1);
    again
        .stdout("")
        .stderr(contains("there is a token ci already"));
    bench.token(&["revoke", "nobody"]).assert().code(1);
    bench.token(&["revoke", "ci"]).assert().code(0);
    let listed = bench.token(&["list"]).assert().code(0);
    listed.stdout(contains("revoked"));
    bench.create(&["create", "ci"]);
    // A file that is there is left as it is, and one that would be of no use is not left behind.
    let (kept, new) = (bench.path("kept"), bench.path("new"));
    fs::write(&kept, "mine").unwrap();
    for (name, out) in [("anna", &kept), ("ci", &new)] {
        let out = out.to_str().unwrap();
        let refused = bench
            .token(&["create", name, "--out", out])
            .assert()
            .code(1);
        refused.stdout("");
    }
    assert_eq!(fs::read_to_string(&kept).unwrap(), "mine");
    assert!(!new.exists());
    let listed = bench.token(&["list"]).assert().code(0);
    listed.stdout(contains("anna").not());
    for wrong in [&["create", "a b"][..], &["create", "../x"]] {
        bench.token(wrong).assert().code(1);
    }
    for wrong in [
        &["create", "x", "--access", "root"][..],
        &["create", "x", "--expires", "soon"],
        &["create", "x", "--port", "a/b"],
    ] {
        bench.token(wrong).assert().code(2);
    }
}

#[test]
fn a_read_only_token_can_watch_and_cannot_write() {
    let bench = Bench::new();
    let daemon = bench.start();
    // Made while the gateway runs: it is in force at once.
    let secret = bench.create(&["create", "ci", "--port", "board0", "--access", "read"]);
    let with = |secret: &str| {
        let mut command = uart(&daemon);
        command.env("UART_TOKEN", secret);
        command
    };
    let listed = with(&secret).arg("ls").assert().code(0);
    listed.stdout(contains("board0").and(contains("board1").not()));
    let asked = with(&secret)
        .args(["ask", "board0", "LED?"])
        .assert()
        .code(1);
    asked.stderr(contains("needs write access").and(contains("(forbidden)")));
    let hidden = with(&secret)
        .args(["ask", "board1", "LED?"])
        .assert()
        .code(1);
    hidden.stderr(contains("there is no port \"board1\" (unknown-port)"));
    let none = uart(&daemon).arg("ls").assert().code(1);
    none.stderr(contains("uart login").and(contains("(unauthorized)")));
    let wrong = with(&format!("uart_{}", "0".repeat(64)))
        .arg("ls")
        .assert()
        .code(1);
    wrong.stderr(contains("not in force").and(contains("(unauthorized)")));
    let plain = uart(&daemon).args(["send", "LED?"]).assert().code(1);
    plain.stderr(contains("cannot carry one").and(contains("(unauthorized)")));
    let writing = bench.create(&["create", "anna", "--access", "write"]);
    with(&writing)
        .args(["ask", "board0", "LED?"])
        .assert()
        .code(0);
    assert!(!daemon.log().contains(&secret) && !daemon.log().contains(&writing));
    let audit = fs::read_to_string(bench.path("audit.jsonl")).unwrap();
    assert!(audit.contains(r#""as":"token ci""#), "{audit}");
    assert!(audit.contains(r#""right":"ask""#), "{audit}");
    assert!(
        !audit.contains(&secret) && !audit.contains("LED?"),
        "{audit}"
    );
}

#[test]
fn a_revoked_token_ends_a_watch_at_once() {
    let bench = Bench::new();
    let secret = bench.create(&["create", "ci", "--access", "read"]);
    let daemon = bench.start();
    let mut watch = uart_command(daemon.gateway()).unwrap();
    watch
        .env("UART_TOKEN", &secret)
        .args(["watch", "board0", "--from", "start"]);
    let mut watching = Process::spawn(&mut watch).unwrap();
    watching.stdout.wait_for("UART interpreter").unwrap();
    bench.token(&["revoke", "ci"]).assert().code(0);
    let status = watching.wait().unwrap();
    assert_eq!(uartnet_tests::exit_code(status), 1);
    watching.stderr.wait_end().unwrap();
    let said = watching.stderr.text();
    assert!(
        said.contains("token ci was revoked (unauthorized)"),
        "{said}"
    );
}

#[test]
fn login_keeps_a_token_that_the_gateway_knows_and_logout_forgets_it() {
    let bench = Bench::new();
    let secret = bench.create(&["create", "anna", "--access", "write"]);
    let daemon = bench.start();
    let home = bench.path("home");
    let at_home = |arguments: &[&str], stdin: &str| {
        let mut command = uart(&daemon);
        command.env("XDG_CONFIG_HOME", &home).args(arguments);
        command.write_stdin(stdin.to_owned()).assert()
    };
    at_home(&["login"], "hunter2\n")
        .code(2)
        .stderr(contains("hunter2").not());
    let wrong = format!("uart_{}\n", "0".repeat(64));
    at_home(&["login"], &wrong).code(1);
    let file = home.join("uart/credentials.toml");
    assert!(!file.exists());
    at_home(&["login"], &format!("{secret}\n"))
        .code(0)
        .stderr(contains("knows you as anna"));
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    at_home(&["ask", "board0", "LED?"], "")
        .code(0)
        .stdout("OFF\n");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    at_home(&["ls"], "").code(1).stderr(contains("chmod 600"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    at_home(&["logout"], "").code(0);
    at_home(&["logout"], "").code(1);
    at_home(&["ls"], "")
        .code(1)
        .stderr(contains("unauthorized"));
}

#[test]
fn a_gateway_whose_tokens_others_can_read_does_not_start() {
    let bench = Bench::new();
    bench.create(&["create", "ci"]);
    let file = bench.path("tokens.toml");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o604)).unwrap();
    let mut command = uartd();
    command.arg("--config").arg(bench.path("uartd.toml"));
    let refused = command.assert().code(1);
    refused.stderr(contains("chmod 600"));
}

#[test]
fn strangers_are_bounded_by_their_address() {
    let bench = Bench::new();
    let daemon = bench.start();
    let silent: Vec<Peer> = (0..16).map(|_| Peer::connect(daemon.address())).collect();
    let mut refused = Peer::connect(daemon.address());
    let said = refused.text();
    assert!(
        said.starts_with("error: busy: 16 clients of this address"),
        "{said}"
    );
    drop(silent);
    // Their places are free when the gateway has seen that they left.
    loop {
        let mut peer = Peer::connect(daemon.address());
        peer.send_anyway(frame(r#"{"hello":"uartnet/1"}"#));
        if peer.text().contains("unauthorized") {
            break;
        }
    }
}

#[test]
fn what_is_insecure_is_said_at_every_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("uartd.toml");
    let text = "[[port]]\nname = \"board0\"\ndevice = \"sim:echo\"\n\
        [[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\ninsecure = true\naccess = \"read\"\n";
    fs::write(&file, text).unwrap();
    let mut command = uartd_command().unwrap();
    let daemon = Daemon::run(command.arg("--config").arg(&file), 1).unwrap();
    daemon.wait_log("insecure = true").unwrap();
    daemon.wait_log("read access without a credential").unwrap();
    let asked = uart(&daemon).args(["ask", "board0", "x"]).assert().code(1);
    asked.stderr(contains("forbidden"));
}
