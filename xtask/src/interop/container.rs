//! A container that has the device directory mounted and nothing else of the machine: no /sys, no /proc. What comes and goes in
//! that directory is seen all the same, at once and under another path.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use uartnet_tests::{Board, DEADLINE, Daemon, Process, uart_command, uartd_command};

use super::machines::same_environment;
use super::needs::Need;
use super::{Case, folder, info};

pub(super) const CASE: Case = Case {
    name: "container",
    what: "only the device directory is mounted: devices that come and go there are found by event",
    needs: &[Need::Root],
    run,
};

/// The device directory is $1. What a terminal needs is in every container.
const CONTAINER: &str = "mkdir -p \"$1/pts\" && mount --rbind /dev/pts \"$1/pts\" && \
     touch \"$1/null\" && mount --bind /dev/null \"$1/null\" && mount --rbind \"$1\" /dev && \
     mount -t tmpfs tmpfs /sys && mount -t tmpfs tmpfs /proc && exec \"$0\" --config \"$2\"";

/// After so long a device that is away is looked for every 6 s and less often; so one that is found much sooner was seen.
const AWAY: Duration = Duration::from_secs(7);
const SEEN: Duration = Duration::from_secs(4);

fn run() -> Result<()> {
    let folder = folder(CASE.name)?;
    let devices = folder.join("dev");
    if devices.exists() {
        fs::remove_dir_all(&devices).context("what the last run has left")?;
    }
    fs::create_dir_all(&devices)?;
    let file = folder.join("uartd.toml");
    let text = "[[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\n\
         [[port]]\nname = \"board0\"\ndevice = \"/dev/serial/by-id/board0\"\n\
         [port.interpreter]\nprofile = \"line\"\n\
         [[port]]\nname = \"board1\"\ndevice = \"usb:0403:6001\"\n";
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    let uartd = uartd_command()?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", CONTAINER]);
    command.arg(uartd.get_program()).arg(&devices).arg(&file);
    same_environment(&mut command, &uartd);
    println!("$ uartd --config uartd.toml, with /dev alone");
    let daemon = Daemon::run(&mut command, 1)?;

    let reason = absent_reason(&daemon, "board1")?.context("it cannot be there")?;
    ensure!(reason.contains("there is no /sys"), "board1: {reason}");
    println!("  usb:0403:6001: {reason}");
    let mut watch = uart_command(daemon.gateway())?;
    let watcher = Process::spawn(watch.args(["watch", "board0"]))?;
    for (number, name) in ["ttyUSB0", "ttyUSB1"].into_iter().enumerate() {
        thread::sleep(AWAY);
        ensure!(
            absent_reason(&daemon, "board0")?.is_some(),
            "what is not plugged in is there"
        );
        let mut board = Board::new();
        plug_in(&devices, name, &board)?;
        let plugged = Instant::now();
        while absent_reason(&daemon, "board0")?.is_some() {
            ensure!(
                plugged.elapsed() < SEEN,
                "{name} was not seen\n{}",
                daemon.log()
            );
        }
        println!(
            "  {name}: open {} ms after it was plugged in",
            plugged.elapsed().as_millis()
        );
        let mut ask = uart_command(daemon.gateway())?;
        let mut ask = Process::spawn(ask.args(["ask", "board0", "WHO", "--timeout", "50s"]))?;
        board.hears("WHO\r");
        board.says(&format!("WHO\r\nI am {name}\r\n"));
        ensure!(ask.wait()?.success(), "{}", ask.said());
        watcher.stdout.wait_for(&format!("I am {name}"))?;

        // The adapter goes, and with it what udev has made of it.
        fs::remove_dir_all(devices.join("serial"))?;
        board.unplug(&devices.join(name));
        let begun = Instant::now();
        while absent_reason(&daemon, "board0")?.is_none() {
            ensure!(begun.elapsed() < DEADLINE, "that it went was not seen");
        }
        let lost = |text: &str| text.matches("absent").count() > number;
        watcher.stdout.wait("that it went", lost)?;
    }
    println!("  whoever watched has stayed, and was told");
    Ok(())
}

/// As udev does: the device, then the link that names it.
fn plug_in(devices: &Path, name: &str, board: &Board) -> Result<()> {
    board.plug_in(&devices.join(name));
    let links = devices.join("serial/by-id");
    fs::create_dir_all(&links)?;
    symlink(format!("../../{name}"), links.join("board0"))?;
    Ok(())
}

/// Why this port's device is not there, if it is not.
fn absent_reason(daemon: &Daemon, port: &str) -> Result<Option<String>> {
    let info = info(daemon, port)?;
    Ok(info["absent_reason"].as_str().map(str::to_owned))
}
