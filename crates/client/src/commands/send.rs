//! `uart send`: the plain conversation of the article. Each text is one frame, each answer is printed.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::{Instant, sleep_until};
use uartnet_client::{ClientError, Connection};
use uartnet_proto::plain;

use crate::cli::Common;
use crate::exit::{Exit, UsageError};
use crate::{duration, input, output};

/// No more input is taken while this many bytes wait to be sent.
const UNSENT: usize = 64 << 10;

/// Send texts to the gateway's own port, each as one frame, and print each answer
///
/// This is the plain conversation: the port is the one the gateway's listener names. When all is sent, the sending half of
/// the connection is shut down, and the answers that are still due are awaited.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  uart send 'Hello IoT!'
  printf 'LED ON\\nLED OFF\\n' | uart send

A failure is said on stderr, and makes the exit code 1 (4 for a timeout); the texts that follow are sent all the same.")]
pub(crate) struct Send {
    /// What to send; none, or `-`: the lines of stdin
    text: Vec<OsString>,
    /// How long to wait for the next answer
    #[arg(long, default_value = "10s", value_name = "DURATION", value_parser = duration::parse)]
    timeout: Duration,
}

impl Send {
    pub(crate) async fn run(self, common: Common) -> Result<Exit> {
        let from_stdin = self.text.is_empty() || self.text == ["-"];
        if self.text.is_empty() && std::io::stdin().is_terminal() {
            return Err(UsageError("nothing to send; write: uart send TEXT".to_owned()).into());
        }
        let gateway = common.gateway().await?;
        let mut connection = Connection::connect(&gateway, common.connect_timeout).await?;
        let mut lines = if from_stdin {
            Some(input::lines())
        } else {
            for text in &self.text {
                connection.send(&[&text.clone().into_vec()]);
            }
            connection.finish();
            None
        };
        let mut sent = if from_stdin { 0 } else { self.text.len() };
        let mut answered = 0;
        let mut exit = Exit::Done;
        let mut deadline = Instant::now() + self.timeout;
        while lines.is_some() || answered < sent {
            let room = connection.unsent() < UNSENT;
            let next_line = async {
                match &mut lines {
                    Some(lines) if room => lines.recv().await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                answer = connection.receive() => {
                    let Some(answer) = answer? else {
                        if exit != Exit::Done {
                            return Ok(exit);
                        }
                        return Err(ClientError::Closed { gateway: common.gateway })
                            .with_context(|| format!("{answered} of {sent} answers came"));
                    };
                    answered += 1;
                    deadline = Instant::now() + self.timeout;
                    match plain::as_failure(&answer) {
                        Some((code, sentence)) => {
                            output::complain(&format!("{sentence} ({code})"));
                            exit = Exit::of_code(&code);
                        }
                        None => output::reply(&answer)?,
                    }
                }
                line = next_line => match line {
                    Some(line) => {
                        if sent == answered {
                            deadline = Instant::now() + self.timeout;
                        }
                        connection.send(&[&line.context("cannot read stdin")?]);
                        sent += 1;
                    }
                    None => {
                        connection.finish();
                        lines = None;
                    }
                },
                () = sleep_until(deadline), if answered < sent => {
                    let error = ClientError::NoAnswer { gateway: common.gateway, question: "what was sent", limit: self.timeout };
                    return Err(error).with_context(|| format!("{answered} of {sent} answers came"));
                }
            }
        }
        Ok(exit)
    }
}
