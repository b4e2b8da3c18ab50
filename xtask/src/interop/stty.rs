//! stty on a virtual serial device: what it sets is set at the real port, what is set there is what it shows, and what
//! neither can be is refused.

use std::io::Write;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use uartnet_tests::{Collected, DEADLINE, uart_command};

use super::gateway::PORT;
use super::needs::{Need, Proof};
use super::virtual_port::VirtualPort;
use super::{Case, finish};
use crate::run::shown;

pub(super) const CASE: Case = Case {
    name: "stty",
    what: "stty on uart pty sets the real port's line, and shows it",
    needs: &[Need::Debian {
        package: "coreutils",
        proof: Proof::Runs(&["stty", "--version"]),
    }],
    run,
};

fn run() -> Result<()> {
    let port = VirtualPort::start(CASE.name, "loopback:")?;
    // What is typed, the line that is in force then, and what `stty --all` shows.
    for (typed, line, shows) in [
        (
            "9600 cs8 -parenb crtscts",
            "9600-8n1-rtscts",
            ["speed 9600 baud", " -parenb ", " crtscts"],
        ),
        (
            "115200 cstopb -crtscts",
            "115200-8n2",
            ["speed 115200 baud", " cstopb ", " -crtscts"],
        ),
        (
            "-cstopb ixon ixoff",
            "115200-8n1-xonxoff",
            [" -cstopb ", " ixon ", " ixoff"],
        ),
        (
            "raw -echo 57600",
            "57600-8n1",
            ["speed 57600 baud", " -ixon ", " -icanon "],
        ),
        (
            "sane -opost 4000000",
            "4000000-8n1",
            ["speed 4000000 baud", " icanon ", " echo "],
        ),
    ] {
        let (code, _) = stty(&port, &typed.split(' ').collect::<Vec<_>>())?;
        ensure!(code == 0, "stty refused {typed:?} with exit code {code}");
        port.wait_line(line)?;
        shown_by_stty(&port, &shows)?;
        println!("  uart info: {line}; stty shows the same");
    }

    all_bytes_pass(&port)
        .context("after stty sane -opost, which turns line editing and echo on")?;

    let (code, _) = stty(&port, &["parenb"])?;
    ensure!(code == 1, "a parity that no device has was taken");
    let set = ["set", PORT, "--line", "19200-8n2-rtscts"];
    let (code, _) = finish(uart_command(port.gateway.daemon.gateway())?.args(set))?;
    ensure!(code == 0, "uart set ended with exit code {code}");
    port.wait_line("19200-8n2-rtscts")?;
    println!("  parity was refused, and 19200-8n2-rtscts set by somebody else");
    wait_shown_by_stty(&port, &["speed 19200 baud", " cstopb ", " crtscts"])?;
    port.end()
}

fn stty(port: &VirtualPort, words: &[&str]) -> Result<(i32, String)> {
    let mut command = Command::new("stty");
    command.env("LC_ALL", "C").arg("-F").arg(&port.link);
    command.args(words);
    println!("$ {}", shown(&command));
    finish(&mut command)
}

fn shown_by_stty(port: &VirtualPort, wanted: &[&str]) -> Result<()> {
    let (code, said) = stty(port, &["--all"])?;
    ensure!(code == 0, "stty --all ended with exit code {code}");
    // Line ends count as blanks, so that each word has one on both sides.
    let said = said.replace(['\n', ';'], " ");
    for words in wanted {
        ensure!(said.contains(words), "stty does not show {words:?}: {said}");
    }
    Ok(())
}

/// What others set is shown as soon as `uart pty` has heard of it; nothing says when.
fn wait_shown_by_stty(port: &VirtualPort, wanted: &[&str]) -> Result<()> {
    let begin = Instant::now();
    loop {
        match shown_by_stty(port, wanted) {
            Err(error) if begin.elapsed() > DEADLINE => return Err(error),
            Err(_) => thread::sleep(Duration::from_millis(100)),
            Ok(()) => return Ok(()),
        }
    }
}

/// Writes every byte value to the plug; the same must come back.
fn all_bytes_pass(port: &VirtualPort) -> Result<()> {
    let mut device = port.open()?;
    let reader = device.try_clone().context("a device cannot be shared")?;
    let arrived = Collected::of(reader);
    let mut bytes: Vec<u8> = (0..=255).collect();
    bytes.extend_from_slice(b"end");
    device
        .write_all(&bytes)
        .context("the device takes no bytes")?;
    arrived.wait_for("end")?;
    ensure!(
        arrived.bytes() == bytes,
        "not all byte values pass: {:?}",
        arrived.bytes()
    );
    println!("  all 256 byte values pass, with line editing and echo on");
    Ok(())
}
