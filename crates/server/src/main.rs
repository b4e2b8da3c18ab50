//! The `uartd` program: parse the arguments, begin to log, run, turn an error into an exit code. Everything else is in
//! the library.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use uart_iface::backend::found_devices;
use uartnet_server::cli::{Cli, Command, Serve};
use uartnet_server::config::{self, ConfigError, Given, ListenAddress};
use uartnet_server::remote::{self, RemoteError};
use uartnet_server::service_manager::ServiceManager;
use uartnet_server::{
    News, Orders, ReadConfig, descriptors, devices, run, runtime, stdio, telemetry,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        Some(Command::Check { file }) => check(file),
        Some(Command::Reload { gateway }) => reload(gateway),
        Some(Command::Devices { json: true }) => print(&devices::json(&found_devices())),
        Some(Command::Devices { json: false }) => print(&devices::table(&found_devices())),
        Some(Command::Tls { command }) => command.run().map(|()| ExitCode::SUCCESS),
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
            if loaded.assumed.default_listener {
                text.push_str("It names no listener, so the default one is used.\n");
            }
            print(&text)
        }
        Err(error) => refuse(&error),
    }
}

/// `uartd reload`.
fn reload(gateway: &ListenAddress) -> anyhow::Result<ExitCode> {
    let token = std::env::var("UART_TOKEN").ok();
    match remote::reload(gateway, token.filter(|token| !token.is_empty())) {
        Ok(changes) if changes.is_empty() => print("nothing has changed\n"),
        Ok(changes) => print(&format!("{}\n", changes.join("\n"))),
        Err(RemoteError::BadConfig(text)) => {
            stdio::tell(&text);
            Ok(ExitCode::FAILURE)
        }
        Err(error) => Err(error.into()),
    }
}

/// `uartd` itself.
fn serve(arguments: Serve) -> anyhow::Result<ExitCode> {
    let (given, log) = arguments.into_given();
    telemetry::start(log);
    descriptors::raise_limit();
    let config::Loaded { config, assumed } = match config::load(&given) {
        Ok(loaded) => loaded,
        Err(error) => return refuse(&error),
    };
    stdio::tell(&assumed.told());
    let runtime = runtime().context("cannot start")?;
    runtime.block_on(async {
        let orders = Orders::on_signals().context("cannot handle signals")?;
        let read_again: ReadConfig = Arc::new(move || Ok(config::load(&given)?.config));
        let mut next_step = None;
        let mut next_step_told = false;
        // Printed all at once: a gateway may have hundreds, and whoever reads them would be woken for each.
        let mut lines = String::new();
        let manager = ServiceManager::from_environment();
        let tell = |news: News<'_>| {
            if let News::Listening(line) = news {
                lines.push_str(&format!("{line}\n"));
                if !next_step_told && next_step.is_none() {
                    next_step = assumed.next_step(line.protocol, &line.address);
                }
                return;
            }
            if !lines.is_empty()
                && let Err(error) = stdio::print(&std::mem::take(&mut lines))
            {
                tracing::error!(%error, "cannot write to stdout");
            }
            if let Some(text) = next_step.take() {
                stdio::tell(&text);
                next_step_told = true;
            }
            manager.tell(&news);
        };
        run(config, read_again, orders, tell).await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Shows what is wrong with the configuration.
fn refuse(error: &ConfigError) -> anyhow::Result<ExitCode> {
    stdio::tell(&error.told());
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
