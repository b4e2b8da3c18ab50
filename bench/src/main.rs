//! `uartnet-bench`: runs the workloads and says what came of them. Started by `cargo xtask bench`, which builds what it measures.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use uartnet_bench::kernel;
use uartnet_bench::plot::plots;
use uartnet_bench::report::Report;
use uartnet_bench::subject::{Programs, Subject};
use uartnet_bench::workload::{Bench, WORKLOADS};

/// Measure uartd beside a minimal relay and today's servers
#[derive(Debug, Parser)]
struct Options {
    /// The workloads; all when none is named
    #[arg(value_name = "WORKLOAD")]
    workloads: Vec<String>,
    /// Servers to compare with, where they are installed
    #[arg(long, value_delimiter = ',', value_name = "SERVER")]
    against: Vec<Subject>,
    /// Another build of uartd, measured in the same rounds: what a change has brought
    #[arg(long, value_name = "FILE")]
    before: Option<PathBuf>,
    /// Only the cases of round-trip, ask, throughput and fan-out with this in their names
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// How often everything is measured
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Write every figure to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the ratios into this folder, as SVG
    #[arg(long, value_name = "FOLDER")]
    plots: Option<PathBuf>,
    /// Show the workloads and end
    #[arg(long)]
    list: bool,
    /// The folder with uartd, uart and uartnet-floor
    #[arg(long, value_name = "FOLDER")]
    programs: PathBuf,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cargo xtask bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    if options.list {
        for workload in WORKLOADS {
            println!("{:<16}{}", workload.name, workload.what);
        }
        return Ok(());
    }
    let mut chosen = Vec::new();
    for name in &options.workloads {
        match WORKLOADS.iter().find(|workload| workload.name == name) {
            Some(workload) => chosen.push(workload),
            None => bail!("there is no workload \"{name}\"; --list shows them"),
        }
    }
    if chosen.is_empty() {
        chosen.extend(WORKLOADS);
    }
    if kernel::cpus() < 2 {
        bail!("this needs two CPUs: one for the load, one for the server");
    }
    if let Some(before) = &options.before {
        ensure!(before.is_file(), "there is no {}", before.display());
    }
    let mut bench = Bench {
        programs: Programs {
            uartd: options.programs.join("uartd"),
            before: options.before.clone(),
            uart: options.programs.join("uart"),
            floor: options.programs.join("uartnet-floor"),
        },
        rounds: options.rounds.into(),
        only: options.only.clone(),
        against: options.before.iter().map(|_| Subject::Before).collect(),
        report: Report::begin()?,
    };
    for subject in &options.against {
        if subject.is_installed() {
            bench.against.push(*subject);
        } else {
            bench.report.note(format!(
                "{}: NOT MEASURED, it is not installed",
                subject.name()
            ));
        }
    }
    for workload in chosen {
        workload.run(&mut bench)?;
    }
    bench.report.clear_progress();
    println!("{}", bench.report.tables());
    for note in &bench.report.notes {
        println!("- {note}");
    }
    println!("- {}", bench.report.machine()?);
    let (reached, goals) = bench.report.goals();
    println!("\n{reached} of {goals} goals reached");
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&bench.report)?;
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    if let Some(folder) = &options.plots {
        fs::create_dir_all(folder)?;
        for (name, text) in plots(&bench.report) {
            fs::write(folder.join(&name), text).with_context(|| format!("cannot write {name}"))?;
        }
    }
    Ok(())
}
