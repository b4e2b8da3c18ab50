//! The commands of docs/security.md that give a client a certificate, typed by somebody who has never had one: it may do what
//! was said when it was made, until its identity is taken out.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::fs;
use std::os::unix::fs::PermissionsExt;

use uartnet_tests::{Daemon, Signal, Typist};

const PAGE: &str = include_str!("../../docs/security.md");
const HEADING: &str = "## Certificates of clients";

#[test]
fn the_commands_give_a_client_a_certificate_that_is_taken_back_by_a_reload() {
    let typist = Typist::new(("4001", "0.0.0.0:0"));
    let written = typist.block(PAGE, HEADING, "toml");
    typist.write("uartd.toml", &written);
    let commands = typist.commands(PAGE, HEADING);
    let [init, ca, client, serve, ask] = commands.as_slice() else {
        panic!("{commands:?}")
    };
    for command in [init, ca, client] {
        let (code, _, stderr) = typist.run(command);
        assert_eq!(code, 0, "{command}: {stderr}");
    }
    for file in ["ci.pem", "state/client-ca-key.pem", "state/key.pem"] {
        let mode = fs::metadata(typist.path(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let serve = serve.strip_suffix(" &").unwrap();
    let mut daemon = Daemon::run(&mut typist.shell(serve), 1).unwrap();
    let (code, stdout, stderr) = typist.run(ask);
    assert_eq!((code, stdout.lines().count()), (0, 1), "{stderr}");
    // Nobody else.
    let (code, _, stderr) = typist.run(&ask.replace("--cert ci.pem", ""));
    assert!(code == 3 && stderr.contains("--cert FILE"), "{stderr}");

    let whole = fs::read_to_string(typist.path("uartd.toml")).unwrap();
    let (before, identity) = whole.split_once("\n[[identity]]\n").unwrap();
    let other = identity
        .replace("\"ci\"", "\"anna\"")
        .replace("sha256:", "");
    let other = other.replace("fingerprint = ", "common_name = ");
    fs::write(
        typist.path("uartd.toml"),
        format!("{before}\n[[identity]]\n{other}"),
    )
    .unwrap();
    daemon.process().signal(Signal::HUP).unwrap();
    daemon.wait_log("identity ci removed").unwrap();
    let (code, _, stderr) = typist.run(ask);
    assert!(code == 3 && stderr.contains("knows nobody"), "{stderr}");
}
