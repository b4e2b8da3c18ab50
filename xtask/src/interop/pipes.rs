//! nc and socat on `raw`: the shell's ways to a socket, which know bytes and half-close and nothing else.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use uartnet_tests::{Process, exit_code};

use super::gateway::Gateway;
use super::needs::{Need, Proof};
use super::{Case, folder};
use crate::run::shown;

pub(super) const SOCAT: Need = Need::Debian {
    package: "socat",
    proof: Proof::File("/usr/bin/socat"),
};

pub(super) const CASE: Case = Case {
    name: "nc-socat",
    what: "nc and socat over raw: a command in a pipe, and 1 MB there and back through a half-closed connection",
    needs: &[
        Need::Debian {
            package: "netcat-openbsd",
            proof: Proof::File("/bin/nc.openbsd"),
        },
        SOCAT,
    ],
    run,
};

fn run() -> Result<()> {
    let board = Gateway::start("sim:interpreter")?;
    for mut client in clients(&board)? {
        let got = pipe(&mut client, b"LED ON\r")?;
        ensure!(
            got == b"LED ON\r\nOK\r\n> ",
            "the answer is {:?}",
            String::from_utf8_lossy(&got)
        );
        println!("  the answer, the whole answer, and nothing else");
    }
    let plug = Gateway::start("loopback:")?;
    let sent: Vec<u8> = (0..1024 * 1024_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for mut client in clients(&plug)? {
        let got = pipe(&mut client, &sent)?;
        ensure!(
            got == sent,
            "{} bytes came back of {}, or other ones",
            got.len(),
            sent.len()
        );
        println!("  1 MB there and back, unchanged");
    }
    Ok(())
}

/// Each of them shuts its sending half down when its input ends, and ends when the gateway closes.
fn clients(gateway: &Gateway) -> Result<[Command; 2]> {
    let address = gateway.address("raw")?;
    let mut nc = Command::new("/bin/nc.openbsd");
    nc.args(["-N", &address.ip().to_string(), &address.port().to_string()]);
    let mut socat = Command::new("/usr/bin/socat");
    socat.args(["-t", "60", "-", &format!("TCP:{address}")]);
    Ok([nc, socat])
}

/// Runs a client with this as its whole input, and returns its output.
fn pipe(client: &mut Command, input: &[u8]) -> Result<Vec<u8>> {
    println!("$ {} < input", shown(client));
    let file = folder(CASE.name)?.join("input");
    fs::write(&file, input).with_context(|| format!("cannot write {}", file.display()))?;
    let mut process = Process::start(
        client
            .stdin(File::open(&file).with_context(|| format!("cannot read {}", file.display()))?)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    )?;
    let code = exit_code(process.wait()?);
    ensure!(
        code == 0,
        "it ended with exit code {code}: {}",
        process.stderr.text()
    );
    Ok(process.stdout.bytes())
}
