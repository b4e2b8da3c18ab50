//! `cargo xtask bench`: builds what is measured as it is released, and has `bench/` measure it. With `--check`, counts the
//! instructions of the pure parts instead, which a noisy machine cannot change. Not how anything is measured; that is `bench/`.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::run::{cargo, output, root, run};

/// What the pure parts cost when this was last looked at.
const KNOWN: &str = "bench/instructions.json";
/// How much more a pure part may cost: 5 %.
const TOLERATED: f64 = 1.05;
/// A part is done so often, and then so often; the difference leaves out what happens once.
const TIMES: [u32; 2] = [1000, 3000];

/// What `cargo xtask bench` can be told.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench                                     everything; about ten minutes
  cargo xtask bench round-trip --rounds 15
  cargo xtask bench --against ser2net,ser2net-tuned,socat --json target/bench.json --plots docs/performance
  cargo xtask bench many-ports --before /tmp/uartd      beside another build of uartd, in the same rounds
  cargo xtask bench --check                             instructions of the pure parts against bench/instructions.json")]
pub(crate) struct Options {
    /// The workloads; all when none is named
    #[arg(value_name = "WORKLOAD")]
    workloads: Vec<String>,
    /// Servers to compare with, where they are installed: ser2net (as shipped), ser2net-tuned, socat
    #[arg(long, value_name = "SERVER,…")]
    against: Option<String>,
    /// Another build of uartd, measured in the same rounds: what a change has brought
    #[arg(long, value_name = "FILE")]
    before: Option<PathBuf>,
    /// Only the cases of round-trip, ask, throughput and fan-out with this in their names
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// How often everything is measured [default: 7]
    #[arg(long, value_name = "N")]
    rounds: Option<u16>,
    /// Write every figure to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the ratios into this folder, as SVG
    #[arg(long, value_name = "FOLDER")]
    plots: Option<PathBuf>,
    /// Show the workloads and end
    #[arg(long)]
    list: bool,
    /// Count the instructions of the pure parts (needs valgrind); more than 5 % above what is known fails
    #[arg(long, conflicts_with_all = ["workloads", "against", "before", "only", "rounds", "json", "plots", "list"])]
    check: bool,
    /// With --check: what is counted becomes what is known
    #[arg(long, requires = "check")]
    update: bool,
}

/// Measures, or counts.
///
/// # Errors
/// Something does not build, does not do what it should, or costs more than it did.
pub(crate) fn bench(options: &Options) -> Result<()> {
    let programs = build()?;
    if options.check {
        return check(&programs, options.update);
    }
    let mut command = Command::new(programs.join("uartnet-bench"));
    command
        .current_dir(root())
        .args(&options.workloads)
        .arg("--programs")
        .arg(&programs);
    if let Some(against) = &options.against {
        command.args(["--against", against]);
    }
    if let Some(only) = &options.only {
        command.args(["--only", only]);
    }
    if let Some(rounds) = options.rounds {
        command.args(["--rounds", &rounds.to_string()]);
    }
    for (name, path) in [
        ("--before", &options.before),
        ("--json", &options.json),
        ("--plots", &options.plots),
    ] {
        if let Some(path) = path {
            command.arg(name).arg(env::current_dir()?.join(path));
        }
    }
    if options.list {
        command.arg("--list");
    }
    run(&mut command)
}

/// Builds everything as it is released, and says where it is.
fn build() -> Result<PathBuf> {
    let packages = ["uartnet-server", "uartnet-client", "uartnet-bench"];
    let mut arguments = vec!["build", "--release", "--quiet"];
    arguments.extend(packages.iter().flat_map(|package| ["--package", package]));
    run(&mut cargo(&arguments))?;
    let metadata = output(&mut cargo(&["metadata", "--no-deps", "--format-version=1"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata is no JSON")?;
    let target = metadata["target_directory"]
        .as_str()
        .context("cargo metadata names no target_directory")?;
    Ok(PathBuf::from(target).join("release"))
}

fn check(programs: &std::path::Path, update: bool) -> Result<()> {
    let counted = programs.join("uartnet-counted");
    let valgrind = Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    ensure!(
        valgrind.is_ok(),
        "NOTHING WAS COUNTED: this needs valgrind, and it is not here"
    );
    let names = output(&mut Command::new(&counted))?;
    let compiler = output(Command::new("rustc").arg("--version"))?
        .trim()
        .to_owned();
    let file = root().join(KNOWN);
    let known: Value = match fs::read_to_string(&file) {
        Ok(text) => serde_json::from_str(&text).with_context(|| format!("{KNOWN} is no JSON"))?,
        Err(_) if update => Value::Null,
        Err(error) => bail!("cannot read {KNOWN}: {error}; --check --update makes it"),
    };
    let mut found = BTreeMap::new();
    let mut worse = Vec::new();
    println!("{:<18}{:>12}{:>12}{:>8}", "", "instructions", "known", "");
    for (name, what) in names.lines().filter_map(|line| line.split_once('\t')) {
        let [few, many] = TIMES.map(|times| instructions(&counted, name, times));
        let each = (many? - few?) as f64 / f64::from(TIMES[1] - TIMES[0]);
        let before = known["instructions"][name].as_f64();
        let ratio = before.map_or_else(String::new, |before| format!("{:.3}", each / before));
        let shown = before.map_or_else(|| "none".to_owned(), |before| format!("{before:.0}"));
        println!("{name:<18}{each:>12.0}{shown:>12}{ratio:>8}  {what}");
        match before {
            None => worse.push(format!("{name} is not in {KNOWN}")),
            Some(before) if each > before * TOLERATED => {
                worse.push(format!(
                    "{name} takes {each:.0} instructions and took {before:.0}"
                ));
            }
            Some(_) => {}
        }
        found.insert(name.to_owned(), each.round());
    }
    ensure!(!found.is_empty(), "there is nothing to count");
    if update {
        let text =
            serde_json::to_string_pretty(&json!({ "compiler": compiler, "instructions": found }))?;
        return fs::write(&file, text + "\n").with_context(|| format!("cannot write {KNOWN}"));
    }
    if known["compiler"].as_str() != Some(&compiler) {
        println!(
            "{KNOWN} was counted with {}, this is {compiler}",
            known["compiler"]
        );
    }
    ensure!(
        worse.is_empty(),
        "{}. If it is worth it, say so in the commit that runs `cargo xtask bench --check --update`",
        worse.join("; ")
    );
    Ok(())
}

/// How many instructions a program takes to do a part so often, by callgrind's count.
fn instructions(counted: &std::path::Path, name: &str, times: u32) -> Result<u64> {
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(counted)
        .args([name, &times.to_string()])
        .stdin(Stdio::null())
        .output()
        .context("cannot start valgrind")?;
    let said = String::from_utf8_lossy(&run.stderr);
    ensure!(run.status.success(), "valgrind: {}\n{said}", run.status);
    let line = said.lines().find_map(|line| line.split_once("Collected :"));
    let (_, count) = line.with_context(|| format!("valgrind counted nothing:\n{said}"))?;
    count
        .trim()
        .parse()
        .with_context(|| format!("valgrind counted {count:?}"))
}
