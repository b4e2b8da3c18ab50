//! `uart`, the command-line client. What the commands do is in `commands`, one file each; here they meet the runtime and
//! the exit code.

mod access;
mod cli;
mod commands;
mod credentials;
mod duration;
mod escape;
mod exit;
mod expectation;
mod input;
mod known_gateways;
#[cfg(target_os = "linux")]
mod line_sync;
mod lines;
mod notice;
mod output;
mod private_file;
mod record;
mod remap;
mod sanitize;
mod screen;
mod start;
mod stop;
mod style;
mod terminal;
mod trust;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let result = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(commands::run(cli)));
    exit::report(result)
}
