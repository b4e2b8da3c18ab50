//! `uart set`: a port's line settings, for everybody.

use anyhow::Result;
use uart_iface::LineSettings;
use uartnet_client::Target;
use uartnet_proto::message::{self, Request};

use super::Controlled;
use crate::cli::Common;
use crate::exit::Exit;
use crate::output;

/// Change a port's line settings, for everybody, and print those that the hardware took
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  uart set board0 --line 9600
  uart set board0 --line 115200-7e1-rtscts")]
pub(crate) struct Set {
    /// The port; or rfc2217://HOST:PORT
    port: Target,
    /// Baud rate, data bits, parity, stop bits, flow control: 115200-8n1, 9600-7e1-rtscts
    #[arg(long, value_name = "SETTINGS")]
    line: LineSettings,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

impl Set {
    pub(crate) async fn run(self, common: Common) -> Result<Exit> {
        let set = message::Set {
            set: self.port.to_string(),
            line: self.line.to_string(),
        };
        let mut port = Controlled::connect(&self.port, &common).await?;
        let done = port.control(Request::Set(set)).await?;
        if self.json {
            output::json(&done)?;
        } else if let Some(line) = &done.line {
            output::line(&crate::sanitize::harmless(line.as_bytes()))?;
        }
        Ok(Exit::Done)
    }
}
