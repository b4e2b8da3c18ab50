//! The firmware of `examples/firmware` as the board: built, run under simavr on a pseudo-terminal, and asked and typed at as the
//! simulated board is in `tests/tests/conformance.rs`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use uartnet_tests::{Daemon, Process, conformance, uart_command};

use super::needs::{Need, Proof};
use super::{Case, finish, folder};
use crate::run::{run as run_shown, shown};

pub(super) const CASE: Case = Case {
    name: "firmware",
    what: "the firmware of examples/firmware on simavr's ATmega328P conforms to docs/interpreter.md",
    needs: &[AVR_GCC, AVR_LIBC, SIMAVR, ELF, GCC, MAKE],
    run,
};

const AVR_GCC: Need = Need::Debian {
    package: "gcc-avr",
    proof: Proof::Runs(&["avr-gcc", "--version"]),
};
const AVR_LIBC: Need = Need::Debian {
    package: "avr-libc",
    proof: Proof::File("/usr/lib/avr/include/avr/io.h"),
};
const SIMAVR: Need = Need::Debian {
    package: "libsimavr-dev",
    proof: Proof::File("/usr/include/simavr/sim_avr.h"),
};
const ELF: Need = Need::Debian {
    package: "libelf-dev",
    proof: Proof::File("/usr/include/libelf.h"),
};
const GCC: Need = Need::Debian {
    package: "gcc",
    proof: Proof::Runs(&["gcc", "--version"]),
};
const MAKE: Need = Need::Debian {
    package: "make",
    proof: Proof::Runs(&["make", "--version"]),
};

/// Where the firmware's sources are.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/firmware");

fn run() -> Result<()> {
    let built = build()?;
    let (_board, device) = start_board(&built)?;
    let port = format!("board0={device},prompt=> ");
    println!("$ uartd \"{port}\"");
    let daemon = Daemon::start(&[&port])?;
    wait_ready(&daemon)?;
    let conformed = conformance(daemon.gateway(), "board0")?;
    println!(
        "  conformance.txt: {} commands and {} exchanges, all as on the simulated board",
        conformed.commands, conformed.exchanges
    );
    Ok(())
}

/// Its banner may come before anybody listens, or meanwhile. When ID? is answered and the prompt is there, it waits for commands.
fn wait_ready(daemon: &Daemon) -> Result<()> {
    let answer = r"^uart-interpreter 1\.0 #[0-9A-F]{8}\r\n> $";
    let mut expect = uart_command(daemon.gateway())?;
    expect.args(["expect", "board0", answer, "--send", "ID?"]);
    println!("$ uart expect board0 '{answer}' --send ID?");
    let (code, said) = finish(&mut expect)?;
    said.lines().for_each(|line| println!("  {line}"));
    ensure!(code == 0, "the firmware does not answer");
    Ok(())
}

/// Builds the firmware and its runner, and says where they are.
fn build() -> Result<PathBuf> {
    let built = folder(CASE.name)?;
    let mut make = Command::new("make");
    make.args(["-C", SOURCES, "all", "sim"]);
    make.arg(format!("BUILD={}", built.display()));
    run_shown(&mut make)?;
    Ok(built)
}

/// Runs the firmware, and says where its UART is.
fn start_board(built: &Path) -> Result<(Process, String)> {
    let mut simulate = Command::new(built.join("simulate"));
    simulate.arg(built.join("interpreter.elf"));
    println!("$ {}", shown(&simulate));
    let board = Process::start(
        simulate
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    )?;
    let is_line = |line: &&str| line.starts_with("uart /dev/");
    let complete = |text: &str| text.ends_with('\n') && text.lines().any(|line| is_line(&line));
    let text = board
        .stdout
        .wait("the line that names its UART", complete)?;
    let line = text.lines().find(is_line).context("it names no UART")?;
    let device = line.trim_start_matches("uart ").to_owned();
    Ok((board, device))
}
