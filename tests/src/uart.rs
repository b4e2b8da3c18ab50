//! How the two binaries are called: without anything from the environment that would change what they do.

use std::process::Command;

use anyhow::Result;

use crate::{DEADLINE, Daemon, binaries};

/// Where nothing is kept, so that what the machine's user has stored plays no part.
const NOWHERE: &str = "/nonexistent";

/// `uart --gateway …` for this daemon, ready to be asserted on.
///
/// # Panics
/// The binaries do not build.
pub fn uart(daemon: &Daemon) -> assert_cmd::Command {
    let command = uart_command(daemon.gateway()).unwrap_or_else(|error| panic!("{error:#}"));
    let mut command = assert_cmd::Command::from_std(command);
    command.timeout(DEADLINE);
    command
}

/// `uartd`, ready to be asserted on.
///
/// # Panics
/// The binaries do not build.
pub fn uartd() -> assert_cmd::Command {
    let mut command =
        assert_cmd::Command::from_std(uartd_command().unwrap_or_else(|error| panic!("{error:#}")));
    command.timeout(DEADLINE);
    command
}

/// `uart --gateway GATEWAY`.
///
/// # Errors
/// The binaries do not build.
pub fn uart_command(gateway: &str) -> Result<Command> {
    let mut command = Command::new(&binaries()?.uart);
    command
        .env_remove("UART_GATEWAY")
        .env_remove("UART_TOKEN")
        .env("XDG_CONFIG_HOME", NOWHERE)
        .env_remove("NO_COLOR")
        .args(["--gateway", gateway]);
    Ok(command)
}

/// `uartd`.
///
/// # Errors
/// The binaries do not build.
pub fn uartd_command() -> Result<Command> {
    let mut command = Command::new(&binaries()?.uartd);
    command
        .env_remove("UARTD_LOG")
        .env_remove("RUST_LOG")
        .env_remove("NOTIFY_SOCKET")
        .env("STATE_DIRECTORY", NOWHERE);
    Ok(command)
}
