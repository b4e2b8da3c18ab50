//! `uart purge`: throws away what is queued in a device.

use anyhow::Result;
use clap::ValueEnum;
use uartnet_client::Target;
use uartnet_proto::message::{self, Queues, Request};

use super::Controlled;
use crate::cli::Common;
use crate::exit::Exit;

/// Throw away what is queued in a port's device
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  uart purge board0 tx")]
pub(crate) struct Purge {
    /// The port; or rfc2217://HOST:PORT (tls+ in front for TLS)
    port: Target,
    /// Which queue
    #[arg(default_value = "both")]
    queue: Queue,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Queue {
    /// What the device has received and the gateway has not read
    Rx,
    /// What is not yet sent
    Tx,
    /// Both
    Both,
}

impl Purge {
    pub(crate) async fn run(self, common: Common) -> Result<Exit> {
        let queues = match self.queue {
            Queue::Rx => Queues::Receive,
            Queue::Tx => Queues::Transmit,
            Queue::Both => Queues::Both,
        };
        let purge = message::Purge {
            purge: self.port.to_string(),
            queues,
        };
        let mut port = Controlled::connect(&self.port, &common).await?;
        port.control(Request::Purge(purge)).await?;
        Ok(Exit::Done)
    }
}
