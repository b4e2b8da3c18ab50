//! `uart info`: everything about one port, or the gateway as a whole.

use std::io;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use uart_iface::PortName;
use uartnet_proto::message::{GatewayStatus, Inputs, Outputs, PortDetails};

use super::connect;
use super::ls::state_text;
use crate::cli::Common;
use crate::exit::Exit;
use crate::output;

/// Show everything about one port, or, without one, the gateway as a whole
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  uart info
  uart info board0
  uart info board0 --json | jq .counters")]
pub(crate) struct Info {
    /// The port
    port: Option<PortName>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

impl Info {
    pub(crate) async fn run(self, common: Common) -> Result<Exit> {
        let mut session = connect(&common).await?;
        match &self.port {
            Some(port) => self.show(&session.info(port).await?, rows)?,
            None => self.show(&session.status().await?, gateway_rows)?,
        }
        Ok(Exit::Done)
    }

    fn show<T: Serialize>(&self, what: &T, rows: fn(&T) -> Vec<[String; 2]>) -> io::Result<()> {
        if self.json {
            output::json(what)
        } else {
            output::table(&rows(what))
        }
    }
}

/// The gateway as a table of two columns.
fn gateway_rows(gateway: &GatewayStatus) -> Vec<[String; 2]> {
    let uptime = humantime::format_duration(Duration::from_secs(gateway.uptime_s)).to_string();
    let ports = format!("{}, of them {} present", gateway.ports, gateway.present);
    let mut rows = vec![
        ["name".to_owned(), gateway.name.clone()],
        ["server".to_owned(), gateway.server.clone()],
        ["epoch".to_owned(), gateway.epoch.clone()],
        ["uptime".to_owned(), uptime],
        ["ports".to_owned(), ports],
    ];
    let counters = gateway.counters.iter();
    rows.extend(counters.map(|(name, count)| [name.clone(), count.to_string()]));
    rows
}

/// The port as a table of two columns.
pub(crate) fn rows(port: &PortDetails) -> Vec<[String; 2]> {
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String| rows.push([name.to_owned(), value]);
    let summary = &port.summary;
    row("name", summary.name.clone());
    row("device", summary.device.clone());
    row(
        "state",
        match &port.absent_reason {
            Some(reason) => format!("{}: {reason}", state_text(summary.state)),
            None => state_text(summary.state).to_owned(),
        },
    );
    row("line", summary.line.clone());
    row("profile", summary.profile.clone());
    row(
        "write",
        match &port.lease {
            Some(holder) => format!("{}, leased by {holder}", summary.write),
            None => summary.write.clone(),
        },
    );
    row("clients", summary.clients.to_string());
    if let Some(outputs) = port.outputs {
        row("outputs", outputs_text(outputs));
    }
    if let Some(inputs) = port.inputs {
        row("inputs", inputs_text(inputs));
    }
    row(
        "history",
        format!(
            "{}..{} kept, at most {} bytes",
            port.history_start, port.history_end, port.history_size
        ),
    );
    row("epoch", port.epoch.clone());
    if port.stalled {
        row(
            "stalled",
            "the UART is not read, for a slow reader's sake".to_owned(),
        );
    }
    if !port.sequences.is_empty() {
        row("sequences", port.sequences.join(", "));
    }
    for (name, count) in &port.counters {
        row(name, count.to_string());
    }
    rows
}

/// The output lines as a person types them.
pub(crate) fn outputs_text(outputs: Outputs) -> String {
    uart_iface::OutputSignals {
        dtr: outputs.dtr,
        rts: outputs.rts,
    }
    .to_string()
}

/// The input lines, in the same form.
pub(crate) fn inputs_text(inputs: Inputs) -> String {
    let Inputs { cts, dsr, ri, dcd } = inputs;
    uart_iface::InputSignals { cts, dsr, ri, dcd }.to_string()
}
