//! openssl and socat as clients of TLS: they verify our certificate by name and authority, and what must be refused is.

use std::process::Command;

use anyhow::{Result, anyhow, ensure};
use uartnet_tests::{Daemon, Keys, Process, exit_code};

use super::needs::{Need, Proof};
use super::pipes::SOCAT;
use super::{Case, finish};
use crate::run::shown;

pub(super) const CASE: Case = Case {
    name: "openssl",
    what: "openssl s_client over TLS 1.2 and 1.3, socat as a tunnel; other authorities, names, ciphers and versions are refused, nothing is resumed or renegotiated",
    needs: &[OPENSSL, SOCAT],
    run,
};

pub(super) const OPENSSL: Need = Need::Debian {
    package: "openssl",
    proof: Proof::File("/usr/bin/openssl"),
};

const CONFIG: &str = "[gateway]\naudit = \"stderr\"\n\
    [[port]]\nname = \"board0\"\ndevice = \"sim:interpreter\"\n\
    [[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\ntls = true\n\
    [[listen]]\nprotocol = \"raw\"\naddress = \"127.0.0.1:0\"\ntls = true\n";

fn run() -> Result<()> {
    let (keys, others) = (Keys::new(), Keys::new());
    let daemon = keys.start(CONFIG);
    for version in ["-tls1_2", "-tls1_3"] {
        speak(&daemon, &keys, &[version])?;
        println!("  {version}: a frame, and its answer");
    }
    // What may be agreed on in TLS 1.2; in TLS 1.3 nothing else is defined.
    for cipher in [
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
    ] {
        speak(&daemon, &keys, &["-tls1_2", "-cipher", cipher])?;
        println!("  {cipher}: a frame, and its answer");
    }
    for (authority, name, arguments, what) in [
        (&others, "localhost", &["-tls1_3"][..], "another authority"),
        (&keys, "example.org", &["-tls1_3"], "another name"),
        (
            &keys,
            "localhost",
            &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"],
            "TLS 1.1",
        ),
        (
            &keys,
            "localhost",
            &["-tls1", "-cipher", "DEFAULT@SECLEVEL=0"],
            "TLS 1.0",
        ),
        (
            &keys,
            "localhost",
            &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA384"],
            "a cipher with CBC",
        ),
        (
            &keys,
            "localhost",
            &["-tls1_2", "-cipher", "AES256-GCM-SHA384"],
            "a key that is not fresh",
        ),
    ] {
        let (code, _) = finish(&mut s_client(&daemon, authority, name, arguments))?;
        ensure!(code != 0, "{what} was accepted");
        println!("  {what}: refused");
    }
    daemon.wait_log("speaks no TLS 1.2 or 1.3")?;
    daemon.wait_log("does not accept the certificate of this listener")?;
    begin_again(&daemon, &keys)?;
    tunnel(&daemon, &keys)
}

/// A frame, and its answer.
fn speak(daemon: &Daemon, keys: &Keys, arguments: &[&str]) -> Result<()> {
    let mut client = Process::spawn(&mut s_client(daemon, keys, "localhost", arguments))?;
    client.type_in(b"13_Hello IoT!")?;
    client
        .stdout
        .wait_for("35_Hello from the UART interpreter!")?;
    Ok(())
}

/// Every connection is one of its own: none goes on with the keys of another, and none shakes hands a second time.
fn begin_again(daemon: &Daemon, keys: &Keys) -> Result<()> {
    let loud = |arguments: &[&str]| s_client_that(&[], daemon, keys, "localhost", arguments);
    for version in ["-tls1_2", "-tls1_3"] {
        let (_, said) = finish(&mut loud(&[version, "-reconnect"]))?;
        let begun = said.matches("New, TLSv1.").count();
        ensure!(begun == 6 && !said.contains("Reused"), "{said}");
        println!("  {version}: nothing is resumed");
    }
    let mut again = Process::spawn(&mut loud(&["-tls1_2"]))?;
    again.type_in(b"13_Hello IoT!")?;
    again.stdout.wait_for("Hello from")?;
    // At the beginning of what is typed it is a command of s_client's.
    again.type_in(b"R\n")?;
    again.stderr.wait_for("RENEGOTIATING")?;
    speak(daemon, keys, &[])?;
    let shaken = again.stdout.text().matches("SSL-Session:").count();
    ensure!(shaken == 1, "hands were shaken again: {}", again.said());
    println!("  whoever wants to shake hands again waits in vain, and others are served");
    Ok(())
}

fn s_client(daemon: &Daemon, authority: &Keys, name: &str, arguments: &[&str]) -> Command {
    s_client_that(&["-quiet"], daemon, authority, name, arguments)
}

fn s_client_that(
    how: &[&str],
    daemon: &Daemon,
    authority: &Keys,
    name: &str,
    arguments: &[&str],
) -> Command {
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-verify_return_error"])
        .args(how)
        .args(["-connect", daemon.gateway()])
        .args(["-verify_hostname", name, "-CAfile"])
        .arg(authority.path("certificate.pem"))
        .args(arguments);
    command
}

/// A command in a pipe through socat, which speaks TLS for programs that do not.
fn tunnel(daemon: &Daemon, keys: &Keys) -> Result<()> {
    let raw = daemon
        .listening()
        .iter()
        .find(|listening| listening.protocol == "raw")
        .ok_or_else(|| anyhow!("there is no raw listener"))?;
    let certificate = keys.path("certificate.pem");
    let target = format!(
        "OPENSSL:{},cafile={},commonname=localhost",
        raw.address,
        certificate.display()
    );
    let mut socat = Command::new("socat");
    socat.args(["-t", "10", "-", &target]);
    println!("$ {}", shown(&socat));
    let mut socat = Process::spawn(&mut socat)?;
    socat.type_in(b"LED ON\r")?;
    socat.stdout.wait_for("LED ON\r\nOK\r\n")?;
    socat.end_input();
    ensure!(exit_code(socat.wait()?) == 0, "{}", socat.said());
    println!("  the answer, and an orderly end");
    Ok(())
}
