//! U-Boot as the board: a real interpreter, met on the emulated UART of an ARM machine.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use uartnet_tests::{DEADLINE, Daemon, Process, uart_command, uartd_command};

use super::gateway::{Gateway, script, succeed};
use super::needs::{Need, PYTHON, PYTHON_VENV, Proof};
use super::pyserial_client::PYSERIAL;
use super::{Case, ask, finish, folder, shortened};

pub(super) const CASE: Case = Case {
    name: "u-boot",
    what: "U-Boot on an emulated PL011 UART answers through the gateway",
    needs: &[QEMU, U_BOOT, PYTHON, PYTHON_VENV, PYSERIAL],
    run,
};

pub(super) const QEMU: Need = Need::Debian {
    package: "qemu-system-arm",
    proof: Proof::Runs(&["qemu-system-arm", "--version"]),
};
pub(super) const U_BOOT: Need = Need::Debian {
    package: "u-boot-qemu",
    proof: Proof::File(IMAGE),
};

/// Types a command, and prints what comes until the next prompt.
const CLIENT: &str = r#"
import sys, serial
port = serial.serial_for_url(sys.argv[1], 115200, timeout=20)
port.write(b"version\r")
sys.stdout.buffer.write(port.read_until(b"\r\n=> ") + b"\n")
port.close()
"#;

const IMAGE: &str = "/usr/lib/u-boot/qemu_arm/u-boot.bin";

fn run() -> Result<()> {
    let machine = start_machine()?;
    let device = device_of(&machine)?;
    println!("$ uartd board0={device},profile=u-boot,timeout=20s");
    let mut uartd = uartd_command()?;
    uartd.args([
        "--listen",
        "uartnet=127.0.0.1:0",
        "--listen",
        "raw=127.0.0.1:0",
        "--listen",
        "rfc2217=127.0.0.1:0",
        &format!("board0={device},profile=u-boot,timeout=20s"),
    ]);
    let gateway = Gateway {
        daemon: Daemon::run(&mut uartd, 3)?,
    };
    let daemon = &gateway.daemon;
    stop_autoboot(daemon)?;

    let (code, version) = ask(daemon, "board0", "version")?;
    ensure!(
        code == 0 && version.starts_with("U-Boot 20"),
        "that is no version of U-Boot"
    );

    let (code, environment) = ask(daemon, "board0", "printenv")?;
    ensure!(code == 0, "printenv was not answered");
    let size = environment.lines().last().unwrap_or_default();
    ensure!(
        size.starts_with("Environment size: "),
        "printenv ended with {size:?}"
    );
    ensure!(
        environment.lines().any(|line| line == "baudrate=115200"),
        "printenv lacks the baud rate"
    );

    let long: String = ('a'..='z').cycle().take(300).collect();
    let (code, echoed) = ask(daemon, "board0", &format!("echo {long}"))?;
    ensure!(
        code == 0 && echoed.trim_end_matches('\n') == long,
        "300 characters came back as {}",
        echoed.len()
    );

    let (code, refused) = ask(daemon, "board0", "frobnicate")?;
    ensure!(
        code == 0 && refused.contains("Unknown command 'frobnicate'"),
        "an unknown command was not refused"
    );

    let many = ["echo one", "echo two", "echo three"];
    let (code, answers) = finish(
        uart_command(daemon.gateway())?
            .args(["ask", "board0"])
            .args(many),
    )?;
    ensure!(
        code == 0 && answers == "one\ntwo\nthree\n",
        "three commands were answered {answers:?}"
    );
    as_a_script(daemon)?;
    as_a_stream(&gateway)?;
    caught_at_its_start(daemon)
}

/// Commands of a file, what they must say, and one that says something else.
fn as_a_script(daemon: &Daemon) -> Result<()> {
    let file = folder(CASE.name)?.join("commands.txt");
    let text = "# set and look\nsetenv greeting hello; printenv greeting\nmd.b 0 4\n\nversion\n";
    fs::write(&file, text).context("cannot write the script")?;
    let mut script = uart_command(daemon.gateway())?;
    script.args([
        "ask",
        "board0",
        "--expect",
        "^(greeting=hello|00000000: |U-Boot 20)",
        "--file",
    ]);
    script.arg(&file);
    println!("$ {}", crate::run::shown(&script));
    let (code, said) = finish(&mut script)?;
    said.lines()
        .for_each(|line| println!("  {}", shortened(line)));
    ensure!(code == 0, "the script ended with exit code {code}");
    Ok(())
}

/// Reset by hand, and stopped by whoever waits for the countdown.
fn caught_at_its_start(daemon: &Daemon) -> Result<()> {
    let mut expect = uart_command(daemon.gateway())?;
    let countdown = "Hit any key to stop autoboot";
    expect.args(["expect", "board0", countdown, "--send", "reset"]);
    println!("$ uart expect board0 \"{countdown}\" --send reset");
    let (code, line) = finish(&mut expect)?;
    println!("  {}", line.trim_end());
    ensure!(code == 0, "U-Boot did not count down after a reset");
    stop_autoboot(daemon)
}

/// The same board for pyserial, over both endpoints that carry a stream.
fn as_a_stream(gateway: &Gateway) -> Result<()> {
    for (scheme, protocol) in [("socket", "raw"), ("rfc2217", "rfc2217")] {
        let url = format!("{scheme}://{}", gateway.address(protocol)?);
        let mut client = script(CASE.name, CLIENT)?;
        let said = succeed(client.arg(url), DEADLINE)?;
        ensure!(
            said.contains("version\r\nU-Boot 20") && said.ends_with("\r\n=> \n"),
            "over {protocol} `version` was answered {said:?}"
        );
    }
    Ok(())
}

/// The machine. It is given no input of its own, so it cannot be stopped by the terminal we were started from.
pub(super) fn start_machine() -> Result<Process> {
    let mut qemu = Command::new("qemu-system-arm");
    qemu.args([
        "-M",
        "virt",
        "-nographic",
        "-nic",
        "none",
        "-serial",
        "pty",
        "-monitor",
        "none",
        "-bios",
        IMAGE,
    ]);
    println!("$ {}", crate::run::shown(&qemu));
    Process::start(
        qemu.stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    )
}

/// Where the machine's UART is, from the line that the emulator prints.
pub(super) fn device_of(machine: &Process) -> Result<String> {
    let redirected = |text: &str| text.contains("/dev/pts/") && text.ends_with('\n');
    let text = machine
        .stdout
        .wait("the name of the emulated UART", redirected)?;
    let mut words = text.split_whitespace();
    words
        .find(|word| word.starts_with("/dev/pts/"))
        .map(str::to_owned)
        .context("the emulator names no device")
}

/// Asks until U-Boot's prompt is there: the first character stops its countdown and may be swallowed, so the first
/// command need not be answered.
fn stop_autoboot(daemon: &Daemon) -> Result<()> {
    let begin = Instant::now();
    loop {
        let mut ask = uart_command(daemon.gateway())?;
        let (code, answer) = finish(ask.args(["ask", "board0", "echo ready", "--timeout", "3s"]))?;
        if code == 0 && answer == "ready\n" {
            return Ok(());
        }
        ensure!(
            begin.elapsed() < DEADLINE,
            "U-Boot never came to its prompt; last it said {answer:?}"
        );
    }
}
