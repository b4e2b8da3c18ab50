//! `uart purge`: throws away what is queued in a device.

use anyhow::Result;
use clap::ValueEnum;
use uart_iface::PortName;
use uartnet_proto::message::{self, Queues, Request};

use super::connect;
use crate::cli::Common;
use crate::exit::Exit;

/// Throw away what is queued in a port's device
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  uart purge board0 tx")]
pub(crate) struct Purge {
    /// The port
    port: PortName,
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
        connect(&common)
            .await?
            .control(Request::Purge(purge))
            .await?;
        Ok(Exit::Done)
    }
}
