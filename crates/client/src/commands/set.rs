//! `uart set`: a port's line settings, for everybody, to stay or for as long as a command runs.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use anyhow::{Context, Result};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use uart_iface::LineSettings;
use uartnet_client::{Session, Target};
use uartnet_proto::message::{self, Done, Request};

use super::{Controlled, connect};
use crate::cli::Common;
use crate::exit::{Exit, UsageError};
use crate::output;

/// Change a port's line settings, for everybody, and print those that the hardware took
///
/// With a COMMAND behind `--`, they last as long as it runs: another command of uart, or with --exec a program. Afterwards
/// the gateway gives the device what was in force before, also if uart is killed or the connection breaks. What the
/// command prints is all that is printed, and its exit code is the exit code.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  uart set board0 --line 9600
  uart set board0 --line 115200-7e1-rtscts
  uart set board0 --line 9600-8n1 -- ask board0 ID?
  uart set board0 --line 57600 --exec -- ./flash.sh image.bin")]
pub(crate) struct Set {
    /// The port; or rfc2217://HOST:PORT (tls+ in front for TLS)
    port: Target,
    /// Baud rate, data bits, parity, stop bits, flow control: 115200-8n1, 9600-7e1-rtscts
    #[arg(long, value_name = "SETTINGS")]
    line: LineSettings,
    /// One JSON object
    #[arg(long, conflicts_with = "command")]
    json: bool,
    /// COMMAND is a program, not a command of uart
    #[arg(long, requires = "command")]
    exec: bool,
    /// What to run while the settings are in force
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Set {
    pub(crate) async fn run(self, common: Common) -> Result<Exit> {
        let set = |hold| message::Set {
            set: self.port.to_string(),
            line: self.line.to_string(),
            hold,
        };
        if !self.command.is_empty() {
            return self.hold(set(Some(true)), &common).await;
        }
        let mut port = Controlled::connect(&self.port, &common).await?;
        let done = port.control(Request::Set(set(None))).await?;
        if self.json {
            output::json(&done)?;
        } else if let Some(line) = &done.line {
            output::line(&crate::sanitize::harmless(line.as_bytes()))?;
        }
        Ok(Exit::Done)
    }

    /// Runs the command while the settings are in force.
    async fn hold(&self, set: message::Set, common: &Common) -> Result<Exit> {
        if let Target::Foreign(address) = &self.port {
            let problem = format!(
                "{address} is no uartnet gateway, so nobody would set the line back; set it, run the command, and set it again"
            );
            return Err(UsageError(problem).into());
        }
        let mut session = connect(common).await?;
        let port = set.set.clone();
        session.control(Request::Set(set)).await?;
        // What the terminal sends to both is the command's to heed; the settings must be given back after it.
        let mut interrupts = signal(SignalKind::interrupt())?;
        let mut quits = signal(SignalKind::quit())?;
        let mut child = self.spawn(common)?;
        let (status, lost) = loop {
            tokio::select! {
                status = child.wait() => break (status, None),
                _ = interrupts.recv() => {}
                _ = quits.recv() => {}
                heard = session.next() => if let Err(lost) = heard {
                    output::notice(&format!("{lost}; the line settings of {port} are no longer held"));
                    break (child.wait().await, Some(lost));
                },
            }
        };
        let status = status.context("cannot wait for the command")?;
        if lost.is_none() {
            give_back(&mut session, port).await?;
        }
        Ok(exit(status))
    }

    fn spawn(&self, common: &Common) -> Result<Child> {
        let mut words = self.command.iter();
        let mut command = if self.exec {
            Command::new(words.next().cloned().unwrap_or_default())
        } else {
            let uart = std::env::current_exe().context("cannot find uart itself")?;
            let mut command = Command::new(uart);
            let timeout = humantime::format_duration(common.connect_timeout).to_string();
            command.args(["--connect-timeout", &timeout]);
            if common.insecure_token {
                command.arg("--insecure-token");
            }
            if common.insecure_token {
                command.arg("--insecure-token");
            }
            command
        };
        command
            .args(words)
            .env("UART_GATEWAY", common.gateway.to_string());
        let what = self.command.first().map(|word| word.to_string_lossy());
        command
            .spawn()
            .with_context(|| format!("cannot run {}", what.unwrap_or_default()))
    }
}

/// Says that the settings are no longer wanted, so that they are back when this ends.
async fn give_back(session: &mut Session, port: String) -> Result<Done> {
    let release = message::Set {
        set: port,
        line: String::new(),
        hold: Some(false),
    };
    let given_back = session.control(Request::Set(release)).await;
    given_back.context("the line settings were not set back")
}

fn exit(status: ExitStatus) -> Exit {
    let code = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
    match (status.code(), status.signal()) {
        (Some(number), _) => Exit::Of(code(number)),
        (None, Some(number)) => Exit::Signal(code(number)),
        (None, None) => Exit::Refused,
    }
}
