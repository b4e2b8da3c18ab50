//! `cargo xtask interop`: our gateway against software that is not ours. Every case is one entry of [`CASES`], says
//! what it needs, and stops only what it started.

mod asciinema;
mod certificates;
mod container;
mod esptool;
mod firmware;
mod full_disk;
mod gateway;
mod lost_peer;
mod lrzsz;
mod machines;
mod micropython;
mod miniterm;
mod modbus;
mod modbus_slave;
mod needs;
mod openssl;
mod pipes;
mod pyserial_board;
mod pyserial_client;
mod pyserial_suite;
mod pyserial_virtual;
mod ser2net;
mod serial_terminals;
mod stty;
mod systemd;
mod telnet_clients;
mod u_boot;
mod u_boot_virtual;
mod virtual_port;
mod wire_client;

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use uartnet_tests::{Daemon, Process, binaries, exit_code, uart_command};

use needs::Need;

/// What `cargo xtask interop` can be told.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The cases to run; all when none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Fetch what the cases need: Debian's packages with apt-get, Python's into a folder below target/
    #[arg(long)]
    install: bool,
    /// Show the cases and what each needs, and end
    #[arg(long)]
    list: bool,
}

struct Case {
    name: &'static str,
    what: &'static str,
    needs: &'static [Need],
    run: fn() -> Result<()>,
}

/// Every case. A new one is one file and one entry here.
const CASES: &[Case] = &[
    u_boot::CASE,
    firmware::CASE,
    micropython::CASE,
    modbus_slave::CASE,
    wire_client::CASE,
    pyserial_board::CASE,
    pyserial_client::PLUG,
    pyserial_client::BOARD,
    pyserial_client::RAW,
    miniterm::CASE,
    pyserial_suite::CASE,
    esptool::CASE,
    telnet_clients::KERMIT,
    telnet_clients::TELNET,
    telnet_clients::GENSIOT,
    pipes::CASE,
    openssl::CASE,
    certificates::CASE,
    lrzsz::CASE,
    modbus::CASE,
    ser2net::CASE,
    stty::CASE,
    serial_terminals::PICOCOM,
    serial_terminals::MINICOM,
    serial_terminals::TIO,
    pyserial_virtual::CASE,
    modbus::VIRTUAL,
    u_boot_virtual::CASE,
    lrzsz::VIRTUAL,
    asciinema::CASE,
    systemd::CASE,
    lost_peer::CASE,
    full_disk::CASE,
    container::CASE,
];

/// How much of an answer is shown: so many lines, each of so many characters.
const SHOWN_LINES: usize = 5;
const SHOWN_COLUMNS: usize = 80;

/// Runs the cases chosen, all of them whatever happens.
///
/// # Errors
/// A case failed, something it needs is missing, or there is no such case.
pub(crate) fn interop(options: &Options) -> Result<()> {
    let cases = chosen(&options.names)?;
    if options.list {
        for case in cases {
            let needs: Vec<&str> = case.needs.iter().map(Need::name).collect();
            println!(
                "{:<16}{} (needs {})",
                case.name,
                case.what,
                needs.join(", ")
            );
        }
        return Ok(());
    }
    let wanted: Vec<&Need> = cases.iter().flat_map(|case| case.needs).collect();
    if options.install {
        needs::install(&wanted)?;
    }
    needs::demand(&wanted)?;

    let mut failed = Vec::new();
    for case in &cases {
        println!("\n=== {}: {}", case.name, case.what);
        let begin = Instant::now();
        match (case.run)() {
            Ok(()) => println!("✓ {} ({:.1} s)", case.name, begin.elapsed().as_secs_f32()),
            Err(error) => {
                println!("✗ {}: {error:#}", case.name);
                failed.push(case.name);
            }
        }
    }
    println!(
        "\ninterop: {} passed, {} failed",
        cases.len() - failed.len(),
        failed.len()
    );
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

fn chosen(names: &[String]) -> Result<Vec<&'static Case>> {
    for name in names {
        if !CASES.iter().any(|case| case.name == name) {
            let known: Vec<&str> = CASES.iter().map(|case| case.name).collect();
            bail!(
                "there is no case \"{name}\"; there are {}",
                known.join(", ")
            );
        }
    }
    Ok(CASES
        .iter()
        .filter(|case| names.is_empty() || names.iter().any(|name| name == case.name))
        .collect())
}

/// A folder below target/ for what belongs to one case.
fn folder(name: &str) -> Result<PathBuf> {
    let built = &binaries()?.uartd;
    let target = built
        .ancestors()
        .nth(2)
        .context("the binaries lie in no folder of a profile")?;
    let folder = target.join("interop").join(name);
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// Shows and runs `uart ask PORT COMMAND`, and returns the exit code and the answer.
fn ask(daemon: &Daemon, port: &str, command: &str) -> Result<(i32, String)> {
    let mut ask = uart_command(daemon.gateway())?;
    let (code, answer) = finish(ask.args(["ask", port, command]))?;
    println!("$ uart ask {port} \"{}\"", shortened(command));
    let lines: Vec<&str> = answer.lines().collect();
    let (first, left) = lines.split_at(lines.len().min(SHOWN_LINES));
    first
        .iter()
        .for_each(|line| println!("  {}", shortened(line)));
    if !left.is_empty() {
        println!("  … and {} lines more", left.len());
    }
    Ok((code, answer))
}

/// What `uart info PORT` says.
fn info(daemon: &Daemon, port: &str) -> Result<Value> {
    let mut info = uart_command(daemon.gateway())?;
    let (code, said) = finish(info.args(["info", port, "--json"]))?;
    ensure!(code == 0, "uart info ended with exit code {code}");
    serde_json::from_str(&said).context("uart info says no JSON")
}

/// A line as far as a terminal shows it.
fn shortened(line: &str) -> String {
    match line.char_indices().nth(SHOWN_COLUMNS) {
        Some((at, _)) => format!("{}… ({} characters)", &line[..at], line.chars().count()),
        None => line.to_owned(),
    }
}

/// Runs a program to its end, and returns its exit code and what it printed; what it complained of is shown.
fn finish(command: &mut Command) -> Result<(i32, String)> {
    let mut process = Process::spawn(command)?;
    process.end_input();
    let status = process.wait()?;
    process
        .stderr
        .text()
        .lines()
        .for_each(|line| println!("  {line}"));
    Ok((exit_code(status), process.stdout.text()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_chosen_by_name_and_a_typo_is_told() {
        assert_eq!(
            chosen(&["u-boot".to_owned()])
                .map(|cases| cases.len())
                .unwrap_or(0),
            1
        );
        let Err(error) = chosen(&["uboot".to_owned()]) else {
            panic!("a typo was taken")
        };
        assert!(error.to_string().contains("u-boot"), "{error}");
    }
}
