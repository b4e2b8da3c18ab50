//! `uart run`: a port's named sequence, with the gateway's timing.

use anyhow::Result;
use uart_iface::PortName;
use uartnet_proto::message::{self, Request};

use super::connect;
use crate::cli::Common;
use crate::exit::Exit;

/// Run a named sequence of a port (`uart info` lists them), and wait for its end
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  uart run board0 reset")]
pub(crate) struct Run {
    /// The port
    port: PortName,
    /// The sequence
    sequence: String,
}

impl Run {
    pub(crate) async fn run(self, common: Common) -> Result<Exit> {
        let run = message::Run {
            run: self.port.to_string(),
            sequence: self.sequence,
        };
        connect(&common).await?.control(Request::Run(run)).await?;
        Ok(Exit::Done)
    }
}
