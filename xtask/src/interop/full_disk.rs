//! A disk that is really full: a small tmpfs that only the gateway sees, with a log and the audit log on it. The port goes
//! on, what it costs is told, and both logs go on when there is room again.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use uartnet_tests::{DEADLINE, Daemon, uart_command, uartd_command};

use super::machines::same_environment;
use super::needs::Need;
use super::{Case, finish, folder, info};
use crate::run::shown;

pub(super) const CASE: Case = Case {
    name: "full-disk",
    what: "a log on a tmpfs that is full: the port goes on, and the log when there is room again",
    needs: &[Need::Root],
    run,
};

/// What the board says in all.
const FLOOD: u64 = 1_000_000;
/// The disk, and what of it is taken by somebody else's file until that is deleted.
const DISK: &str = "4m";
const TAKEN: usize = 3_800_000;

fn run() -> Result<()> {
    for (history, is_all_there) in [("16MiB", true), ("16KiB", false)] {
        fill(history, is_all_there)?;
    }
    Ok(())
}

fn fill(history: &str, is_all_there: bool) -> Result<()> {
    let folder = folder(CASE.name)?;
    let disk = folder.join("disk");
    fs::create_dir_all(&disk)?;
    let file = folder.join("uartd.toml");
    let text = format!(
        "[gateway]\naudit = \"{disk}/audit.log\"\n\
         [[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\n\
         [[port]]\nname = \"board0\"\ndevice = \"sim:flood?rate=500kB/s&bytes={FLOOD}\"\nhistory = \"{history}\"\n\
         [[port.log]]\npath = \"{disk}/board0.log\"\n",
        disk = disk.display()
    );
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    let uartd = uartd_command()?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c"]);
    command.arg(format!(
        "mount -t tmpfs -o size={DISK} tmpfs \"$1\" && head -c {TAKEN} /dev/zero > \"$1/taken\" && exec \"$0\" --config \"$2\""
    ));
    command.arg(uartd.get_program()).arg(&disk).arg(&file);
    same_environment(&mut command, &uartd);
    println!("$ {} (history {history})", shown(&command));
    let mut daemon = Daemon::run(&mut command, 1)?;

    daemon.wait_log("No space left on device")?;
    let full = wait_info(&daemon, "the flood ends", |info| {
        info["history_end"] == FLOOD
    })?;
    let counters = &full["counters"];
    ensure!(
        counters["log_write_errors"].as_u64() > Some(0) && counters["log_lag"].as_u64() > Some(0),
        "the disk is full, and that is not counted: {counters}"
    );
    println!(
        "  full: the port has gone on to {FLOOD}, the log is {} behind",
        counters["log_lag"]
    );
    let lost = lose_audit(&daemon)?;
    println!("  full: {lost} lines of the audit log are lost, and counted");

    let seen = format!("/proc/{}/root{}", daemon.process().id(), disk.display());
    let seen = Path::new(&seen);
    fs::remove_file(seen.join("taken")).context("cannot make room")?;
    daemon.wait_log("the log is written again")?;
    let after = wait_info(&daemon, "the log is complete", |info| {
        info["counters"]["log_lag"] == 0
    })?;
    let missing = after["counters"]["log_lost_bytes"]
        .as_u64()
        .context("no log_lost_bytes")?;
    let (code, events) = uart(&daemon, &["log", "board0", "--json", "--events"])?;
    ensure!(code == 0, "uart log ended with exit code {code}");
    let (in_log, gaps) = account(&events)?;
    ensure!(
        in_log + gaps == FLOOD && gaps == missing,
        "the log has {in_log} bytes and gaps of {gaps}; {missing} are counted as lost"
    );
    ensure!(
        (missing == 0) == is_all_there,
        "{missing} bytes are missing"
    );
    ensure!(
        events.contains("\"trouble\""),
        "the log says nothing of its trouble"
    );
    println!("  room again: the log has {in_log} bytes, and says that {missing} are missing");

    // Whoever looks is audited, too.
    let status = status(&daemon)?;
    let audit = fs::read_to_string(seen.join("audit.log")).context("the audit log")?;
    let mut missing = 0;
    for line in audit.lines() {
        let line: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        if line["event"] == "lost" {
            missing += line["lines"].as_u64().context("no number")?;
        }
    }
    ensure!(
        status["counters"]["audit_lost"] == missing,
        "the audit log says that {missing} of its lines are missing, and {status} is counted"
    );
    println!("  room again: the audit log says that {missing} of its lines are missing");
    Ok(())
}

/// Does what is audited until a line of that is lost, and says how many are.
fn lose_audit(daemon: &Daemon) -> Result<u64> {
    let begun = Instant::now();
    loop {
        uart(daemon, &["set", "board0", "--line", "9600-8n1"])?;
        let status = status(daemon)?;
        if let Some(lost @ 1..) = status["counters"]["audit_lost"].as_u64() {
            return Ok(lost);
        }
        ensure!(begun.elapsed() < DEADLINE, "no line is lost: {status}");
    }
}

/// How many bytes the log has, and how many it says it has not; each offset once.
fn account(records: &str) -> Result<(u64, u64)> {
    let (mut next, mut missing) = (0, 0);
    for line in records.lines() {
        let record: Value = serde_json::from_str(line).context("a record is no JSON")?;
        let received = match &record["received"] {
            Value::Null => None,
            Value::String(text) => Some(text.len()),
            other => other["hex"].as_str().map(|hex| hex.len() / 2),
        };
        let event = &record["event"];
        if let Some(count) = received {
            ensure!(record["offset"] == next, "at {next}: {record}");
            next += count as u64;
        } else if event["event"] == "gap" {
            ensure!(event["from"] == next, "at {next}: {record}");
            let to = event["to"].as_u64().context("a gap without end")?;
            missing += to - next;
            next = to;
        }
    }
    Ok((next - missing, missing))
}

fn status(daemon: &Daemon) -> Result<Value> {
    let (_, said) = uart(daemon, &["info", "--json"])?;
    serde_json::from_str(&said).context("uart info says no JSON")
}

fn wait_info(daemon: &Daemon, what: &str, accept: impl Fn(&Value) -> bool) -> Result<Value> {
    let begun = Instant::now();
    loop {
        let info = info(daemon, "board0")?;
        if accept(&info) {
            return Ok(info);
        }
        ensure!(begun.elapsed() < DEADLINE, "{what}: {info}");
    }
}

fn uart(daemon: &Daemon, words: &[&str]) -> Result<(i32, String)> {
    finish(uart_command(daemon.gateway())?.args(words))
}
