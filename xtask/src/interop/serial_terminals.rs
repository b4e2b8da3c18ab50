//! The terminal programs that people have, typed at on a virtual serial device.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use uartnet_tests::{DEADLINE, Terminal, exit_code};

use super::needs::{Need, Proof};
use super::virtual_port::VirtualPort;
use super::{Case, folder};
use crate::run::shown;

pub(super) const PICOCOM: Case = Case {
    name: "picocom",
    what: "picocom on uart pty, typed at; its speed keys reach the real port",
    needs: &[Need::Debian {
        package: "picocom",
        proof: Proof::Runs(&["picocom", "--help"]),
    }],
    run: picocom,
};

pub(super) const MINICOM: Case = Case {
    name: "minicom",
    what: "minicom on uart pty, typed at, and with a script of its own",
    needs: &[Need::Debian {
        package: "minicom",
        proof: Proof::Runs(&["sh", "-c", "command -v minicom && command -v runscript"]),
    }],
    run: minicom,
};

pub(super) const TIO: Case = Case {
    name: "tio",
    what: "tio on uart pty, typed at",
    needs: &[Need::Debian {
        package: "tio",
        proof: Proof::Runs(&["tio", "--version"]),
    }],
    run: tio,
};

/// What the simulated board is asked, and how its answer begins.
const QUESTION: &[u8] = b"ID?\r";
const ANSWER: &str = "uart-interpreter 1.0 #";

fn picocom() -> Result<()> {
    let port = VirtualPort::start(PICOCOM.name, "sim:interpreter")?;
    let mut terminal = start(
        Command::new("picocom")
            .args(["--baud", "57600", "--stopbits", "2"])
            .arg(&port.link),
    )?;
    terminal.tty.screen.wait_for("Terminal ready")?;
    port.wait_line("57600-8n2")?;
    ask(&mut terminal)?;
    // Ctrl-A Ctrl-U is the next higher speed, Ctrl-A Ctrl-X the end.
    terminal.tty.type_in(b"\x01\x15")?;
    terminal.tty.screen.wait_for("*** baud: 115200 ***")?;
    port.wait_line("115200-8n2")?;
    println!("  typed: Ctrl-A Ctrl-U; uart info: 115200-8n2");
    end(terminal, b"\x01\x18")?;
    port.end()
}

fn minicom() -> Result<()> {
    let port = VirtualPort::start(MINICOM.name, "sim:interpreter")?;
    let home = folder(MINICOM.name)?;
    // Debian's minicom begins with RTS/CTS.
    for (file, text) in [(".minirc.dfl", "pu rtscts No\n"), ("script", SCRIPT)] {
        let file = home.join(file);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let mut terminal = start(&mut minicom_on(&port.link, &home))?;
    terminal.tty.screen.wait_for("Press CTRL-A Z for help")?;
    port.wait_line("9600-8n1")?;
    ask(&mut terminal)?;
    leave_minicom(terminal)?;

    let mut with_script = minicom_on(&port.link, &home);
    let terminal = start(with_script.arg("--script").arg(home.join("script")))?;
    terminal.tty.screen.wait_for("the board has answered")?;
    println!("  its script asked, and saw the answer");
    leave_minicom(terminal)?;
    port.end()
}

fn minicom_on(link: &Path, home: &Path) -> Command {
    let mut command = Command::new("minicom");
    command
        .env_remove("MINICOM")
        .env("HOME", home)
        .args(["--noinit", "--color=off", "--baudrate", "9600", "--device"])
        .arg(link);
    command
}

/// Ctrl-A X asks whether to leave; Enter says yes. While a script runs, and until minicom has noticed its end, keys are
/// swallowed, so they are pressed again.
fn leave_minicom(mut terminal: Terminal) -> Result<()> {
    let begin = Instant::now();
    while !terminal.tty.screen.text().contains("Leave Minicom?") {
        ensure!(begin.elapsed() < DEADLINE, "minicom takes no keys");
        terminal.tty.type_in(b"\x01x")?;
        thread::sleep(Duration::from_millis(500));
    }
    end(terminal, b"\r")
}

/// For minicom's interpreter of scripts. What it prints just before it ends, minicom may forget to show.
const SCRIPT: &str = r#"
send "ID?"
expect {
    "uart-interpreter 1.0 #" break
    timeout 30 goto silent
}
print "the board has answered"
sleep 1
exit 0
silent:
print "the board is silent"
sleep 1
exit 1
"#;

fn tio() -> Result<()> {
    let port = VirtualPort::start(TIO.name, "sim:interpreter")?;
    let mut terminal = start(
        Command::new("tio")
            .args(["--baudrate", "230400", "--flow", "hard"])
            .arg(&port.link),
    )?;
    terminal.tty.screen.wait_for("Connected")?;
    port.wait_line("230400-8n1-rtscts")?;
    ask(&mut terminal)?;
    // Ctrl-T Q ends it.
    end(terminal, b"\x14q")?;
    port.end()
}

fn start(command: &mut Command) -> Result<Terminal> {
    println!("$ {}", shown(command));
    Terminal::spawn(command.env("LC_ALL", "C"))
}

fn ask(terminal: &mut Terminal) -> Result<()> {
    terminal.tty.wait_cooked(false)?;
    terminal.tty.type_in(QUESTION)?;
    terminal
        .tty
        .screen
        .wait_for(ANSWER)
        .context("the board did not answer what was typed")?;
    println!("  typed: ID?, answered: {ANSWER}…");
    Ok(())
}

/// Types the keys that end the program, and demands that it ends well.
fn end(mut terminal: Terminal, keys: &[u8]) -> Result<()> {
    terminal.tty.type_in(keys)?;
    let code = exit_code(terminal.process.wait()?);
    ensure!(
        code == 0,
        "it ended with exit code {code}\n{}",
        terminal.tty.screen.text()
    );
    Ok(())
}
