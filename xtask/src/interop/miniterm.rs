//! miniterm, pyserial's terminal, typed at as a person does: over `rfc2217://` with its menu, and over `socket://`.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use uartnet_tests::{Terminal, exit_code};

use super::Case;
use super::gateway::Gateway;
use super::needs::{PYTHON, PYTHON_VENV, python};
use super::pyserial_client::PYSERIAL;
use crate::run::shown;

pub(super) const CASE: Case = Case {
    name: "miniterm",
    what: "miniterm typed at: a command, its menu's settings and signals, over rfc2217:// and socket://",
    needs: &[PYTHON, PYTHON_VENV, PYSERIAL],
    run,
};

/// Ctrl-T opens the menu, Ctrl-] ends the program.
const MENU: u8 = 0x14;
const QUIT: u8 = 0x1d;

fn run() -> Result<()> {
    let gateway = Gateway::start("sim:interpreter")?;

    let mut terminal = start(&format!("rfc2217://{}", gateway.address("rfc2217")?))?;
    talk(&mut terminal)?;
    // Ctrl-R and Ctrl-D switch RTS and DTR, Ctrl-B a break; letters and digits change the settings.
    for (key, shown, seen) in [
        (0x12, "--- RTS inactive ---", "/outputs/rts"),
        (0x04, "--- DTR inactive ---", "/outputs/dtr"),
    ] {
        menu(&mut terminal, key, shown)?;
        gateway.wait_info(shown, |info| {
            info.pointer(seen).is_some_and(|on| on == false)
        })?;
    }
    menu(&mut terminal, 0x02, "--- BREAK active ---")?;
    menu(&mut terminal, 0x02, "--- BREAK inactive ---")?;
    // The board takes a break as Ctrl-C.
    terminal.tty.screen.wait_for("^C")?;
    menu(&mut terminal, b'7', "7,N,1")?;
    menu(&mut terminal, b'e', "7,E,1")?;
    menu(&mut terminal, b'2', "7,E,2")?;
    menu(&mut terminal, b'b', "--- Baudrate: ")?;
    // It reads the number as a line, after it has asked for it.
    terminal.tty.wait_cooked(true)?;
    terminal.tty.type_in(b"9600\r")?;
    gateway.wait_info("9600-7e2", |info| info["line"] == "9600-7e2")?;
    println!("  menu: RTS, DTR, break, and 9600-7e2 by way of four commands");
    quit(terminal)?;

    let mut terminal = start(&format!("socket://{}", gateway.address("raw")?))?;
    talk(&mut terminal)?;
    quit(terminal)
}

fn start(url: &str) -> Result<Terminal> {
    let mut miniterm = Command::new(python()?);
    miniterm.args(["-W", "ignore", "-m", "serial.tools.miniterm", url, "115200"]);
    println!("$ {}", shown(&miniterm));
    let terminal = Terminal::spawn(&mut miniterm)?;
    terminal.tty.screen.wait_for("--- Quit: Ctrl+]")?;
    terminal.tty.wait_cooked(false)?;
    Ok(terminal)
}

fn talk(terminal: &mut Terminal) -> Result<()> {
    terminal.tty.type_in(b"Hello IoT!\r")?;
    terminal
        .tty
        .screen
        .wait_for("Hello from the UART interpreter!")
        .context("the board did not answer what was typed")?;
    println!("  typed: Hello IoT!, answered");
    Ok(())
}

/// Presses a key in the menu, and waits for what miniterm shows then.
fn menu(terminal: &mut Terminal, key: u8, shown: &str) -> Result<()> {
    terminal.tty.type_in(&[MENU, key])?;
    terminal.tty.screen.wait_for(shown)?;
    Ok(())
}

fn quit(mut terminal: Terminal) -> Result<()> {
    terminal.tty.type_in(&[QUIT])?;
    let code = exit_code(terminal.process.wait()?);
    ensure!(code == 0, "miniterm ended with exit code {code}");
    Ok(())
}
