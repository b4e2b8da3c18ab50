//! `uart info`: everything about one port.

use anyhow::Result;
use uart_iface::PortName;
use uartnet_proto::message::{Inputs, Outputs, PortDetails};

use super::connect;
use super::ls::state_text;
use crate::cli::Common;
use crate::exit::Exit;
use crate::output;

/// Show everything about one port
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  uart info board0
  uart info board0 --json | jq .counters")]
pub(crate) struct Info {
    /// The port
    port: PortName,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

impl Info {
    pub(crate) async fn run(self, common: Common) -> Result<Exit> {
        let details = connect(&common).await?.info(&self.port).await?;
        if self.json {
            output::json(&details)?;
        } else {
            output::table(&rows(&details))?;
        }
        Ok(Exit::Done)
    }
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
