//! The five commands of docs/security.md, typed by somebody who has never had a gateway: they give a TLS listener and a
//! token that can watch and cannot write.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use uartnet_tests::{Daemon, Process, binaries, exit_code};

const PAGE: &str = include_str!("../../docs/security.md");

/// What is typed, with another port: other tests run beside this one.
fn commands(port: u16) -> Vec<String> {
    let (_, section) = PAGE
        .split_once("## Five commands to the Internet\n")
        .unwrap();
    let (_, block) = section.split_once("```console\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    block
        .lines()
        .map(|line| line.strip_prefix("$ ").unwrap())
        .map(|line| line.replace("8443", &port.to_string()))
        .collect()
}

fn shell(home: &Path, command: &str) -> Command {
    let folder = binaries().unwrap().uartd.parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(folder).chain(std::env::split_paths(&path));
    let mut shell = Command::new("bash");
    shell
        .current_dir(home)
        .env("HOME", home)
        // Root keeps its state elsewhere than at home.
        .env("STATE_DIRECTORY", home.join("state"))
        .env("PATH", std::env::join_paths(paths).unwrap());
    for variable in [
        "UART_GATEWAY",
        "UART_TOKEN",
        "UARTD_LOG",
        "XDG_CONFIG_HOME",
        "XDG_STATE_HOME",
    ] {
        shell.env_remove(variable);
    }
    // The shell becomes the command, so that a signal reaches it.
    shell.args(["-c", &format!("exec {command}")]);
    shell
}

/// Its exit code, what it said on stdout, and on stderr.
fn run(home: &Path, command: &str) -> (i32, String, String) {
    let mut process = Process::spawn(&mut shell(home, command)).unwrap();
    process.end_input();
    let status = process.wait().unwrap();
    process.stderr.wait_end().unwrap();
    let (stdout, stderr) = (process.stdout.text(), process.stderr.text());
    (exit_code(status), stdout, stderr)
}

#[test]
fn the_five_commands_give_a_token_that_can_watch_and_cannot_write() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let port = TcpListener::bind("0.0.0.0:0")
        .and_then(|listener| listener.local_addr())
        .unwrap()
        .port();
    let commands = commands(port);
    let [init, token, serve, login, watch] = commands.as_slice() else {
        panic!("{commands:?}")
    };
    for command in [init, token] {
        let (code, _, stderr) = run(home, command);
        assert_eq!(code, 0, "{command}: {stderr}");
    }
    let serve = serve.strip_suffix(" &").unwrap();
    let daemon = Daemon::run(&mut shell(home, serve), 1).unwrap();
    assert_eq!(daemon.gateway(), format!("0.0.0.0:{port}"));
    let (code, _, stderr) = run(home, login);
    assert_eq!(code, 0, "{stderr}");

    let mut watching = Process::spawn(&mut shell(home, watch)).unwrap();
    // Somebody else, who may, makes the board speak until it is seen.
    let (code, secret, _) = run(home, "uartd token create anna --access write");
    assert_eq!(code, 0);
    let secret = secret.trim();
    let gateway = format!("tls://localhost:{port}");
    while !watching.stdout.text().contains("ID?") {
        let ask = format!("env UART_TOKEN={secret} uart --gateway {gateway} ask board0 ID?");
        let (code, _, stderr) = run(home, &ask);
        assert_eq!(code, 0, "{stderr}");
    }
    // Who logged in may watch, and no more.
    for write in [
        "ask board0 ID?",
        "set board0 --line 9600",
        "signal board0 dtr=off",
    ] {
        let (code, stdout, stderr) = run(home, &format!("uart --gateway {gateway} {write}"));
        assert!(code == 1 && stdout.is_empty(), "{write}: {code}, {stdout}");
        assert!(stderr.contains("(forbidden)"), "{write}: {stderr}");
    }
    // In the clear there is nothing, and without a token neither.
    let (code, _, _) = run(home, &format!("uart --gateway localhost:{port} ls"));
    assert_eq!(code, 3);
    let (code, _, stderr) = run(home, &format!("uart --gateway {gateway} logout"));
    assert_eq!(code, 0, "{stderr}");
    let (code, _, stderr) = run(home, &format!("uart --gateway {gateway} ls"));
    assert!(code == 1 && stderr.contains("(unauthorized)"), "{stderr}");
    // It ends with its token.
    let (code, _, _) = run(home, "uartd token revoke ci");
    assert_eq!(code, 0);
    assert_eq!(exit_code(watching.wait().unwrap()), 1);
}
