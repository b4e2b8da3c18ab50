//! A Python program with pyserial as the board: it opens the other end of a `pty:` port as it would any serial device.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use uartnet_tests::{Daemon, Process};

use super::needs::{Need, PYTHON, PYTHON_VENV, python};
use super::{Case, ask, folder};
use crate::run::shown;

pub(super) const CASE: Case = Case {
    name: "pyserial-board",
    what: "a board made of pyserial answers at a pty: port",
    needs: &[
        PYTHON,
        PYTHON_VENV,
        Need::Python {
            package: "pyserial==3.5",
            module: "serial",
        },
    ],
    run,
};

/// A board that does not echo, and says each command backwards.
const BOARD: &str = r#"
import sys, serial
board = serial.Serial(sys.argv[1], 115200, timeout=60)
print("ready", flush=True)
while True:
    command = board.read_until(b"\r")
    if not command.endswith(b"\r"):
        break
    board.write(command[:-1][::-1] + b"\r\n> ")
"#;

fn run() -> Result<()> {
    let folder = folder("pyserial-board")?;
    let device = folder.join("board0").display().to_string();
    let program = folder.join("board.py");
    fs::write(&program, BOARD).with_context(|| format!("cannot write {}", program.display()))?;

    let daemon = Daemon::start(&[&format!("board0=pty:{device},prompt=> ,echo=false")])?;
    let mut command = Command::new(python()?);
    command.arg(&program).arg(&device);
    println!("$ {}", shown(&command));
    let board = Process::start(
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    )?;
    board
        .stdout
        .wait_for("ready")
        .with_context(|| board.said())?;

    let long: String = ('0'..='9').cycle().take(1000).collect();
    for command in ["drawkcab", "x", &long] {
        let (code, answer) = ask(&daemon, "board0", command)?;
        let backwards: String = command.chars().rev().collect();
        ensure!(
            code == 0 && answer.trim_end_matches('\n') == backwards,
            "{command:?} was answered {answer:?}"
        );
    }
    Ok(())
}
