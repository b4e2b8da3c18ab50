//! `uart run`: a port's named sequence, with the gateway's timing.

use std::time::Duration;

use anyhow::Result;
use humantime::format_duration;
use uart_iface::PortName;
use uartnet_proto::message::{self, PortDetails, Request, StepTime};

use super::connect;
use crate::cli::Common;
use crate::exit::Exit;
use crate::output;
use crate::sanitize::harmless;

/// Run a named sequence of a port, and print when each of its steps was done
///
/// Besides the sequences configured for the port there are those that every port has: esp-bootloader, esp-reset,
/// arduino-reset. None is run unless it is asked for.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  uart run board0 reset
  uart run board0 esp-bootloader --json
  uart run board0 --list")]
pub(crate) struct Run {
    /// The port
    port: PortName,
    /// The sequence
    #[arg(required_unless_present = "list", conflicts_with = "list")]
    sequence: Option<String>,
    /// Show which sequences there are, and their steps
    #[arg(long)]
    list: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

impl Run {
    pub(crate) async fn run(self, common: Common) -> Result<Exit> {
        let mut session = connect(&common).await?;
        let Some(sequence) = self.sequence else {
            let details = session.info(&self.port).await?;
            if self.json {
                output::json(&details.sequence_steps)?;
            } else {
                output::table(&listed(&details))?;
            }
            return Ok(Exit::Done);
        };
        let run = message::Run {
            run: self.port.to_string(),
            sequence,
        };
        let done = session.control(Request::Run(run)).await?;
        if self.json {
            output::json(&done)?;
        } else {
            output::table(&done.steps.iter().map(row).collect::<Vec<_>>())?;
        }
        Ok(Exit::Done)
    }
}

/// When the step began, how long it took, and what it was.
fn row(time: &StepTime) -> [String; 3] {
    [
        milliseconds(time.at_us),
        milliseconds(time.took_us),
        harmless(time.step.as_bytes()),
    ]
}

/// With as many places as its precision is worth: `100.012ms`.
fn milliseconds(us: u64) -> String {
    match us {
        0..1_000_000 => format!("{}.{:03}ms", us / 1000, us % 1000),
        _ => format_duration(Duration::from_millis(us / 1000)).to_string(),
    }
}

fn listed(port: &PortDetails) -> Vec<[String; 2]> {
    let names = port.sequences.iter();
    let rows = names.map(|name| {
        let steps = port.sequence_steps.get(name).map(|steps| steps.join(", "));
        [
            harmless(name.as_bytes()),
            harmless(steps.unwrap_or_default().as_bytes()),
        ]
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_readable() {
        for (us, text) in [
            (0, "0.000ms"),
            (41, "0.041ms"),
            (100_012, "100.012ms"),
            (1_250_000, "1s 250ms"),
        ] {
            assert_eq!(milliseconds(us), text);
        }
    }
}
