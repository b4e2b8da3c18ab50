//! `uart ask`: commands for a board's interpreter, each with its reply.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use serde::Serialize;
use uartnet_client::{Asker, ClientError, Session, Target};
use uartnet_interpreter::{Profile, ReplyEnd};
use uartnet_proto::message::{self, Blob, ErrorAnswer, Reply};

use super::connect;
use crate::cli::Common;
use crate::exit::{Exit, UsageError};
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
  uart ask rfc2217://moxa:4001 version --prompt '=> '

Put a command with spaces in quotes: each argument is a command of its own.")]
pub(crate) struct Ask {
    /// The port; or rfc2217://HOST:PORT, tcp://HOST:PORT
    port: Target,
    /// The commands, without their end of line
    #[arg(required = true)]
    command: Vec<OsString>,
    /// How long each reply may take, counted from its turn [default: the port's setting]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_limit)]
    timeout: Option<Duration>,
    /// The reply ends at this text at the beginning of a line (only with rfc2217:// and tcp://)
    #[arg(long, value_name = "TEXT", group = "end")]
    prompt: Option<String>,
    /// The reply ends after so many lines (only with rfc2217:// and tcp://)
    #[arg(long, value_name = "N", group = "end", value_parser = clap::value_parser!(u16).range(1..))]
    lines: Option<u16>,
    /// The reply ends when nothing has come for so long (only with rfc2217:// and tcp://)
    #[arg(long, value_name = "DURATION", group = "end", value_parser = humantime::parse_duration)]
    quiet: Option<Duration>,
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

/// Whoever can be asked.
enum Board {
    Gateway(Box<Session>),
    Foreign(Box<Asker>),
}

impl Board {
    async fn ask(&mut self, ask: message::Ask) -> Result<Reply, ClientError> {
        match self {
            Board::Gateway(session) => session.ask(ask).await,
            Board::Foreign(asker) => asker.ask(&ask.command.0).await,
        }
    }
}

impl Ask {
    async fn connect(&self, common: &Common) -> Result<Board> {
        let end = match (&self.prompt, self.lines, self.quiet) {
            (Some(prompt), ..) => Some(ReplyEnd::Prompt(prompt.clone().into())),
            (_, Some(count), _) => Some(ReplyEnd::Line {
                count: count.into(),
            }),
            (_, _, quiet) => quiet.map(ReplyEnd::Quiet),
        };
        match (&self.port, end) {
            (Target::Port(_), None) => Ok(Board::Gateway(Box::new(connect(common).await?))),
            (Target::Port(_), Some(_)) => {
                let problem = "where a reply of a gateway's port ends is configured there; --prompt, --lines and --quiet are for rfc2217:// and tcp://";
                Err(UsageError(problem.to_owned()).into())
            }
            (Target::Foreign(address), None) => {
                let problem = format!(
                    "{address} is no uartnet gateway: say how a reply ends, with --prompt TEXT, --lines N or --quiet 50ms"
                );
                Err(UsageError(problem).into())
            }
            (Target::Foreign(_), Some(ReplyEnd::Prompt(prompt))) if prompt.is_empty() => {
                Err(UsageError("a prompt has at least one character".to_owned()).into())
            }
            (Target::Foreign(address), Some(end)) => {
                let mut profile = Profile::new(end);
                profile.timeout = self.timeout.unwrap_or(profile.timeout);
                let asker = Asker::connect(address.clone(), common.connect_timeout, profile).await;
                Ok(Board::Foreign(Box::new(asker?)))
            }
        }
    }

    pub(crate) async fn run(self, common: Common) -> Result<Exit> {
        let mut board = self.connect(&common).await?;
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
            let outcome = board.ask(ask).await;
            if self.json {
                let told = match &outcome {
                    Ok(reply) => Some(Outcome::Reply(reply)),
                    Err(ClientError::Refused(answer)) => Some(Outcome::Error(answer)),
                    Err(_) => None,
                };
                if let Some(outcome) = told {
                    output::json(&Asked {
                        port: &self.port.to_string(),
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
