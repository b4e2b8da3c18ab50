//! `uart ls`: the ports of a gateway.

use anyhow::Result;
use uartnet_proto::message::{PortSummary, State};

use super::connect;
use crate::cli::Common;
use crate::exit::Exit;
use crate::output;

/// List the ports of the gateway
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  uart ls
  uart ls --json | jq -r '.[] | select(.state == \"absent\") | .name'")]
pub(crate) struct Ls {
    /// One JSON array, an object a port
    #[arg(long)]
    json: bool,
}

impl Ls {
    pub(crate) async fn run(self, common: Common) -> Result<Exit> {
        let ports = connect(&common).await?.list().await?;
        if self.json {
            output::json(&ports)?;
        } else {
            let head = [
                "NAME", "STATE", "LINE", "PROFILE", "WRITE", "CLIENTS", "DEVICE",
            ]
            .map(str::to_owned);
            let rows: Vec<[String; 7]> = std::iter::once(head)
                .chain(ports.into_iter().map(row))
                .collect();
            output::table(&rows)?;
        }
        Ok(Exit::Done)
    }
}

fn row(port: PortSummary) -> [String; 7] {
    let state = state_text(port.state).to_owned();
    [
        port.name,
        state,
        port.line,
        port.profile,
        port.write,
        port.clients.to_string(),
        port.device,
    ]
}

/// The state as it stands in tables.
pub(crate) fn state_text(state: State) -> &'static str {
    match state {
        State::Present => "present",
        State::Absent => "absent",
    }
}
