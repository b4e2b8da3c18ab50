//! MicroPython as the board: its raw REPL, met on the UART of an emulated BBC micro:bit and asked through the profile
//! `micropython`.

use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use uartnet_tests::{Daemon, Process, uart_command};

use super::needs::{Need, Proof};
use super::u_boot::{QEMU, device_of};
use super::{Case, ask, finish};
use crate::run::shown;

pub(super) const CASE: Case = Case {
    name: "micropython",
    what: "MicroPython on an emulated micro:bit runs code through its profile",
    needs: &[
        QEMU,
        Need::Debian {
            package: "firmware-microbit-micropython",
            proof: Proof::File(FIRMWARE),
        },
    ],
    run,
};

const FIRMWARE: &str = "/usr/share/firmware-microbit-micropython/firmware.hex";

/// Code of several lines, which the friendly REPL would indent by itself.
const LOOP: &str = "def square(n):\n    return n * n\n\nfor n in range(4):\n    print(square(n))";

fn run() -> Result<()> {
    let machine = start_machine()?;
    let port = format!(
        "board0={},profile=micropython,timeout=20s",
        device_of(&machine)?
    );
    println!("$ uartd {port}");
    let daemon = Daemon::start(&[&port])?;
    for (code, printed) in [
        ("print(6 * 7)", "42\n"),
        (LOOP, "0\n1\n4\n9\n"),
        ("x = square(12)", ""),
        ("print(x)", "144\n"),
        ("print('>>> OK')", ">>> OK\n"),
        ("import gc; gc.collect(); print('ä' * 3)", "äää\n"),
    ] {
        let (exit, answer) = ask(&daemon, "board0", code)?;
        let answer = answer.replace("\r\n", "\n");
        ensure!(
            exit == 0 && answer == printed,
            "{code:?} printed {answer:?}, exit code {exit}"
        );
    }
    let (exit, long) = ask(&daemon, "board0", "print('0123456789' * 300)")?;
    ensure!(
        exit == 0 && long.trim_end() == "0123456789".repeat(300),
        "3000 characters came back as {}",
        long.len()
    );
    a_traceback_is_an_error(&daemon)?;
    endless_code_is_interrupted(&daemon)
}

fn a_traceback_is_an_error(daemon: &Daemon) -> Result<()> {
    let code = "print('before')\nprint(1 // 0)";
    let mut ask = uart_command(daemon.gateway())?;
    println!("$ uart ask board0 \"print('before') …\" --json");
    let (exit, said) = finish(ask.args(["ask", "board0", code, "--json"]))?;
    println!("  {}", said.trim_end());
    let record: serde_json::Value = serde_json::from_str(&said)?;
    let words = record["words"].as_str().unwrap_or_default();
    ensure!(
        exit == 1 && record["error"] == "board-error" && words.contains("ZeroDivisionError"),
        "a traceback is told as {record}"
    );
    ensure!(
        record["partial"].as_str().map(str::trim_end) == Some("before"),
        "what was printed before it is told as {}",
        record["partial"]
    );
    Ok(())
}

/// The ask ends at its deadline, and the next one is answered all the same.
fn endless_code_is_interrupted(daemon: &Daemon) -> Result<()> {
    let mut endless = uart_command(daemon.gateway())?;
    endless.args(["ask", "board0", "while True: pass", "--timeout", "1s"]);
    println!("$ uart ask board0 \"while True: pass\" --timeout 1s");
    let (exit, _) = finish(&mut endless)?;
    ensure!(exit == 4, "endless code ended with exit code {exit}");
    let (exit, answer) = ask(daemon, "board0", "print('again')")?;
    ensure!(
        exit == 0 && answer == "again\n",
        "after endless code the answer was {answer:?}, exit code {exit}"
    );
    Ok(())
}

/// The machine; its UART is a pseudo-terminal.
fn start_machine() -> Result<Process> {
    let mut qemu = Command::new("qemu-system-arm");
    qemu.args(["-M", "microbit", "-nographic", "-serial", "pty"]);
    qemu.args(["-monitor", "none", "-device"]);
    qemu.arg(format!("loader,file={FIRMWARE}"));
    println!("$ {}", shown(&qemu));
    Process::start(
        qemu.stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    )
}
