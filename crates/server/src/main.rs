//! The `uartd` program: parse the arguments, begin to log, run, turn an error into an exit code. Everything else is in
//! the library.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use uart_iface::backend::found_devices;
use uartnet_server::cli::{Cli, Command, Serve};
use uartnet_server::config::{self, ConfigError, Given};
use uartnet_server::{Listening, Shutdown, devices, run, runtime, stdio, telemetry};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        Some(Command::Check { file }) => check(file),
        Some(Command::Devices { json: true }) => print(&devices::json(&found_devices())),
        Some(Command::Devices { json: false }) => print(&devices::table(&found_devices())),
        Some(Command::Token { command }) => command.run().map(|()| ExitCode::SUCCESS),
        None => serve(cli.serve),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            stdio::tell(&format!("uartd: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}

/// `uartd check FILE`.
fn check(file: &Path) -> anyhow::Result<ExitCode> {
    let given = Given {
        file: Some(file.to_owned()),
        ..Given::default()
    };
    match config::load(&given) {
        Ok(loaded) => {
            let mut text = format!("{} is right: {}", file.display(), loaded.config.summary());
            if loaded.default_listener {
                text.push_str("It names no listener, so the default one is used.\n");
            }
            print(&text)
        }
        Err(error) => refuse(&error),
    }
}

/// `uartd` itself.
fn serve(arguments: Serve) -> anyhow::Result<ExitCode> {
    telemetry::start(arguments.log.clone());
    let loaded = match config::load(&arguments.given()) {
        Ok(loaded) => loaded,
        Err(error) => return refuse(&error),
    };
    stdio::tell(&loaded.assumed());
    let runtime = runtime().context("cannot start")?;
    let ended = runtime.block_on(async {
        let shutdown = Shutdown::on_signals().context("cannot handle signals")?;
        let mut next_step_told = false;
        let listening = |line: &Listening| {
            if let Err(error) = stdio::print(&format!("{line}\n")) {
                tracing::error!(%error, "cannot write to stdout");
            }
            if !next_step_told && let Some(text) = loaded.next_step(line.protocol, &line.address) {
                stdio::tell(&text);
                next_step_told = true;
            }
        };
        run(loaded.config.clone(), shutdown, listening).await?;
        Ok(ExitCode::SUCCESS)
    });
    // A disk that hangs was waited for already.
    runtime.shutdown_background();
    ended
}

/// Shows a mistake in the configuration as it is, without a prefix that would move the marks.
fn refuse(error: &ConfigError) -> anyhow::Result<ExitCode> {
    match error {
        ConfigError::Wrong(problems) => stdio::tell(&format!("{problems}\n")),
        other => stdio::tell(&format!("uartd: {other}\n")),
    }
    Ok(if error.is_usage() {
        ExitCode::from(2)
    } else {
        ExitCode::FAILURE
    })
}

fn print(text: &str) -> anyhow::Result<ExitCode> {
    stdio::print(text).context("cannot write to stdout")?;
    Ok(ExitCode::SUCCESS)
}
