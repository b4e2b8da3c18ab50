//! `uart ask`: commands for a board's interpreter, each with its reply.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use serde::Serialize;
use uart_iface::PortName;
use uartnet_client::ClientError;
use uartnet_proto::message::{self, Blob, ErrorAnswer, Reply};

use super::connect;
use crate::cli::Common;
use crate::exit::Exit;
use crate::sanitize::harmless;
use crate::{duration, output};

/// Send a command to a board's interpreter and print its answer and nothing else
///
/// Several commands are asked in order; the first that gets no answer ends it. What the board answers is an answer, also
/// when it is an error of its interpreter: the exit code then is 0.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  uart ask sim0 'LED ON'
  uart ask sim0 ID? UPTIME?
  uart ask sim0 TEMP? --json | jq -r .reply

Put a command with spaces in quotes: each argument is a command of its own.")]
pub(crate) struct Ask {
    /// The port
    port: PortName,
    /// The commands, without their end of line
    #[arg(required = true)]
    command: Vec<OsString>,
    /// How long each reply may take, counted from its turn [default: the port's setting]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_limit)]
    timeout: Option<Duration>,
    /// One JSON object a command: port, command, reply, from, to, took_us; or error, message
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Asked<'a> {
    port: &'a str,
    command: &'a Blob,
    #[serde(flatten)]
    outcome: Outcome<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Outcome<'a> {
    Reply(&'a Reply),
    Error(&'a ErrorAnswer),
}

impl Ask {
    pub(crate) async fn run(self, common: Common) -> Result<Exit> {
        let mut session = connect(&common).await?;
        let several = self.command.len() > 1;
        for command in self.command {
            let command = Blob(Bytes::from(command.into_vec()));
            let ask = message::Ask {
                ask: self.port.to_string(),
                command: command.clone(),
                timeout_ms: self
                    .timeout
                    .map(|timeout| timeout.as_millis().try_into().unwrap_or(u64::MAX)),
            };
            let outcome = session.ask(ask).await;
            if self.json {
                let told = match &outcome {
                    Ok(reply) => Some(Outcome::Reply(reply)),
                    Err(ClientError::Refused(answer)) => Some(Outcome::Error(answer)),
                    Err(_) => None,
                };
                if let Some(outcome) = told {
                    output::json(&Asked {
                        port: self.port.as_str(),
                        command: &command,
                        outcome,
                    })?;
                }
            }
            let reply = match outcome {
                Ok(reply) => reply.reply.0,
                // Of several, it must be clear which.
                Err(error @ ClientError::Refused(_)) if several => {
                    let command = harmless(&command.0);
                    return Err(error).with_context(|| format!("\"{command}\""));
                }
                Err(error) => return Err(error.into()),
            };
            if !self.json {
                output::reply(&reply)?;
            }
        }
        Ok(Exit::Done)
    }
}
