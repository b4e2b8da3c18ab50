//! systemd's own judgement of examples/systemd/uartd.service: nothing in it is unknown, and it leaves little open.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use uartnet_tests::binaries;

use super::needs::{Need, Proof};
use super::{Case, folder};
use crate::run::{output, root};

pub(super) const CASE: Case = Case {
    name: "systemd",
    what: "systemd takes our unit, and finds its sandbox tight",
    needs: &[Need::Debian {
        package: "systemd",
        proof: Proof::Runs(&["systemd-analyze", "--version"]),
    }],
    run,
};

/// The most it may leave open, in tenths as systemd counts (0 is nothing, 100 everything; from 20 on it says "medium").
const EXPOSURE: &str = "15";

/// What must stay as it is, or serial devices cannot be opened or seen to come back.
const NEEDED: &[&str] = &[
    "DeviceAllow=char-ttyUSB rw",
    "DeviceAllow=char-ttyACM rw",
    "DevicePolicy=closed",
    "SupplementaryGroups=dialout",
];

fn run() -> Result<()> {
    let path = root().join("examples/systemd/uartd.service");
    let unit = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    for line in NEEDED {
        ensure!(unit.lines().any(|it| it == *line), "there is no {line}");
    }
    for line in unit.lines().filter(|it| it.starts_with("PrivateDevices=")) {
        ensure!(line.ends_with("no"), "{line} hides every serial device");
    }
    // It is verified as installed, so the program must be where the unit says.
    let uartd = &binaries()?.uartd;
    let installed = unit.replace("/usr/local/bin/uartd", &uartd.to_string_lossy());
    ensure!(
        installed != unit,
        "the unit does not start /usr/local/bin/uartd"
    );
    let file = folder(CASE.name)?.join("uartd.service");
    std::fs::write(&file, installed).with_context(|| format!("cannot write {}", file.display()))?;

    // What it does not know it says, and ends with 0.
    let verified = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&file)
        .output()
        .context("cannot start systemd-analyze")?;
    let said = String::from_utf8_lossy(&verified.stderr);
    let of_ours: Vec<&str> = said.lines().filter(|it| it.contains("uartd")).collect();
    ensure!(
        verified.status.success() && of_ours.is_empty(),
        "verify: {said}"
    );
    println!("$ systemd-analyze verify uartd.service");
    let told = output(
        Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager"])
            .arg(format!("--threshold={EXPOSURE}"))
            .arg(&file),
    )?;
    println!("$ systemd-analyze security --offline=true --threshold={EXPOSURE} uartd.service");
    let overall = told
        .lines()
        .find(|it| it.contains("Overall exposure level"));
    println!(
        "  {}",
        overall.context("it names no exposure level")?.trim()
    );
    Ok(())
}
