//! What a server says unasked: something happened to the open port.

use serde::{Deserialize, Serialize};

use super::{Inputs, Outputs, State};

/// `{"event":"gap",…}`: something happened to the open port. Every event names the port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// Bytes this client will not get.
    Gap {
        /// The port.
        port: String,
        /// The first offset missed.
        from: u64,
        /// The first offset that follows.
        to: u64,
        /// Why: `lagged`, `expired`, or `new-epoch` (then how much is missing cannot be known).
        why: GapWhy,
    },
    /// The device came or went.
    State {
        /// The port.
        port: String,
        /// Whether it is there.
        state: State,
        /// Why it is absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// The line settings in force.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        line: Option<String>,
        /// The offset at which that was.
        at: u64,
        /// How often the device was lost in this epoch.
        losses: u64,
    },
    /// Line settings were changed.
    Line {
        /// The port.
        port: String,
        /// The settings in force.
        line: String,
    },
    /// Signals changed.
    Signals {
        /// The port.
        port: String,
        /// The output lines.
        outputs: Outputs,
        /// The input lines.
        inputs: Inputs,
    },
    /// Who may write changed.
    Lease {
        /// The port.
        port: String,
        /// Who holds it; absent: nobody.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        holder: Option<String>,
        /// Whether that is this client.
        yours: bool,
    },
    /// This client's typing and somebody's ask are in each other's way.
    AskTurn {
        /// The port.
        port: String,
        /// Who waits: `waits` (the ask, for the end of this client's line), `runs` (this client's bytes, for the end of the
        /// ask), `over` (nobody any more).
        turn: String,
        /// Who asks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
        /// For `waits`: after how much silence of this client the ask goes ahead all the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hold_ms: Option<u64>,
    },
    /// The UART has taken this client's bytes below this write offset.
    Written {
        /// The port.
        port: String,
        /// The write offset.
        offset: u64,
    },
    /// This client's bytes in this range will never reach the UART.
    WriteLost {
        /// The port.
        port: String,
        /// The first write offset lost.
        from: u64,
        /// The first that follows.
        to: u64,
        /// Why.
        reason: String,
    },
    /// The gateway has closed this port for this client.
    Closed {
        /// The port.
        port: String,
        /// Why: `lagged`, `unread`, `shutdown`.
        reason: String,
    },
    /// An event from a newer gateway.
    #[serde(other)]
    Unknown,
}

/// Why bytes are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GapWhy {
    /// The client was slower than the history is long.
    Lagged,
    /// The offset asked for has left the history.
    Expired,
    /// The offset asked for belongs to an earlier life of the gateway.
    NewEpoch,
    /// A reason from a newer gateway.
    #[serde(other)]
    Unknown,
}
