//! The five commands of docs/security.md, typed by somebody who has never had a gateway: they give a TLS listener and a
//! token that can watch and cannot write.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use uartnet_tests::{Daemon, Process, Typist, exit_code};

const PAGE: &str = include_str!("../../docs/security.md");

#[test]
fn the_five_commands_give_a_token_that_can_watch_and_cannot_write() {
    let typist = Typist::new(("8443", "0.0.0.0:0"));
    let port = typist.port();
    let commands = typist.commands(PAGE, "## Five commands to the Internet");
    let [init, token, serve, login, watch] = commands.as_slice() else {
        panic!("{commands:?}")
    };
    for command in [init, token] {
        let (code, _, stderr) = typist.run(command);
        assert_eq!(code, 0, "{command}: {stderr}");
    }
    let serve = serve.strip_suffix(" &").unwrap();
    let daemon = Daemon::run(&mut typist.shell(serve), 1).unwrap();
    assert_eq!(daemon.gateway(), format!("0.0.0.0:{port}"));
    let (code, _, stderr) = typist.run(login);
    assert_eq!(code, 0, "{stderr}");

    let mut watching = Process::spawn(&mut typist.shell(watch)).unwrap();
    // Somebody else, who may, makes the board speak until it is seen.
    let (code, secret, _) = typist.run("uartd token create anna --access write");
    assert_eq!(code, 0);
    let secret = secret.trim();
    let gateway = format!("tls://localhost:{port}");
    while !watching.stdout.text().contains("ID?") {
        let ask = format!("env UART_TOKEN={secret} uart --gateway {gateway} ask board0 ID?");
        let (code, _, stderr) = typist.run(&ask);
        assert_eq!(code, 0, "{stderr}");
    }
    // Who logged in may watch, and no more.
    for write in [
        "ask board0 ID?",
        "set board0 --line 9600",
        "signal board0 dtr=off",
    ] {
        let (code, stdout, stderr) = typist.run(&format!("uart --gateway {gateway} {write}"));
        assert!(code == 1 && stdout.is_empty(), "{write}: {code}, {stdout}");
        assert!(stderr.contains("(forbidden)"), "{write}: {stderr}");
    }
    // In the clear there is nothing, and without a token neither.
    let (code, _, _) = typist.run(&format!("uart --gateway localhost:{port} ls"));
    assert_eq!(code, 3);
    let (code, _, stderr) = typist.run(&format!("uart --gateway {gateway} logout"));
    assert_eq!(code, 0, "{stderr}");
    let (code, _, stderr) = typist.run(&format!("uart --gateway {gateway} ls"));
    assert!(code == 1 && stderr.contains("(unauthorized)"), "{stderr}");
    // It ends with its token.
    let (code, _, _) = typist.run("uartd token revoke ci");
    assert_eq!(code, 0);
    assert_eq!(exit_code(watching.wait().unwrap()), 1);
}
