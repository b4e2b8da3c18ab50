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
    what: "openssl s_client over TLS 1.2 and 1.3, socat as a tunnel; another authority, another name and TLS 1.1 are refused",
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
        let mut client = Process::spawn(&mut s_client(&daemon, &keys, "localhost", &[version]))?;
        client.type_in(b"13_Hello IoT!")?;
        client
            .stdout
            .wait_for("35_Hello from the UART interpreter!")?;
        println!("  {version}: a frame, and its answer");
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
    ] {
        let (code, _) = finish(&mut s_client(&daemon, authority, name, arguments))?;
        ensure!(code != 0, "{what} was accepted");
        println!("  {what}: refused");
    }
    daemon.wait_log("speaks no TLS 1.2 or 1.3")?;
    daemon.wait_log("does not accept the certificate of this listener")?;
    tunnel(&daemon, &keys)
}

fn s_client(daemon: &Daemon, authority: &Keys, name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-quiet", "-verify_return_error"])
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
