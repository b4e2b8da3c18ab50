//! openssl, and pyserial behind socat, as clients that are known by a certificate: they are let in by it, and nobody is
//! without one, or with one of somebody else.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use uartnet_tests::{Daemon, Keys, Process, binaries, exit_code};

use super::Case;
use super::gateway::{script, succeed};
use super::needs::{PYTHON, PYTHON_VENV};
use super::openssl::OPENSSL;
use super::pipes::SOCAT;
use super::pyserial_client::PYSERIAL;
use crate::run::shown;

pub(super) const CASE: Case = Case {
    name: "certificates",
    what: "openssl s_client -cert over raw, pyserial over rfc2217 through socat OPENSSL:…,cert=: who is known is let in, and nobody else",
    needs: &[OPENSSL, SOCAT, PYTHON, PYTHON_VENV, PYSERIAL],
    run,
};

const LIMIT: Duration = Duration::from_secs(180);

fn run() -> Result<()> {
    let keys = Keys::new();
    keys.said(&["tls", "ca"]);
    let identity = client(&keys, "ci", &["--access", "write", "--port", "board0"])?;
    client(&keys, "stranger", &[])?;
    let listen = |protocol: &str| {
        format!(
            "[[listen]]\nprotocol = \"{protocol}\"\naddress = \"127.0.0.1:0\"\nport = \"board0\"\ntls = true\n\
             client_ca = \"{}\"\n",
            keys.path("client-ca.pem").display()
        )
    };
    let daemon = keys.start(&format!(
        "[[port]]\nname = \"board0\"\ndevice = \"loopback:\"\n{}{}\
         [[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\n\n{identity}\n",
        listen("raw"),
        listen("rfc2217"),
    ));
    for version in ["-tls1_2", "-tls1_3"] {
        let own = pem(&keys, "ci");
        let mut known = Process::spawn(&mut s_client(&daemon, &keys, version, Some(own)))?;
        known.type_in(b"there and back\n")?;
        known.stdout.wait_for("there and back\n")?;
        println!("  {version}: known, and heard");
        for (own, alert) in [
            (None, "certificate required"),
            (Some(pem(&keys, "stranger")), "certificate unknown"),
        ] {
            // Over TLS 1.3 it is told when it has shaken hands already, and reads.
            let mut stranger = Process::spawn(&mut s_client(&daemon, &keys, version, own))?;
            let code = exit_code(stranger.wait()?);
            stranger.stderr.wait_end()?;
            let said = stranger.stderr.text();
            ensure!(code != 0, "a stranger was let in");
            ensure!(said.contains(alert), "it was not told why: {said}");
            println!("  {version}: a stranger is told: {alert}");
        }
    }
    through_socat(&daemon, &keys)
}

/// A certificate, and the identity that is printed for it.
fn client(keys: &Keys, name: &str, more: &[&str]) -> Result<String> {
    let file = pem(keys, name);
    let file = file.to_str().context("a path that is no text")?;
    Ok(keys.said(&[&["tls", "client", name, "--out", file], more].concat()))
}

fn pem(keys: &Keys, name: &str) -> PathBuf {
    keys.path(&format!("{name}.pem"))
}

fn s_client(daemon: &Daemon, keys: &Keys, version: &str, own: Option<PathBuf>) -> Command {
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-quiet", "-verify_return_error", version])
        .args(["-connect", daemon.gateway(), "-CAfile"])
        .arg(keys.path("certificate.pem"));
    if let Some(own) = own {
        // The key is in the same file.
        command.arg("-cert").arg(own);
    }
    command
}

/// pyserial speaks no TLS: socat does, and shows the certificate.
fn through_socat(daemon: &Daemon, keys: &Keys) -> Result<()> {
    let [_, rfc2217, uartnet] = daemon.listening() else {
        anyhow::bail!("there are three listeners");
    };
    let here = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let target = format!(
        "OPENSSL:{},cert={},cafile={},commonname=localhost",
        rfc2217.address,
        pem(keys, "ci").display(),
        keys.path("certificate.pem").display()
    );
    let listen = format!(
        "TCP-LISTEN:{},bind={},reuseaddr,fork",
        here.port(),
        here.ip()
    );
    let mut socat = Command::new("socat");
    socat.args(["-d", "-d", &listen, &target]);
    println!("$ {}", shown(&socat));
    let mut socat = Process::spawn(&mut socat)?;
    socat.stderr.wait_for("listening on")?;
    let mut program = script(CASE.name, include_str!("pyserial_client.py"))?;
    program
        .args(["plug", &format!("rfc2217://{here}")])
        .arg(&binaries()?.uart)
        .arg(&uartnet.address);
    succeed(&mut program, LIMIT)?;
    socat.stop()?;
    Ok(())
}
