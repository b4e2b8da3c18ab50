//! What can go wrong with a gateway that is not uartnet's.

use std::io;
use std::time::Duration;

use super::Scheme;
use crate::{ForeignAddress, TlsFailure, describe_io, tls};

/// What can go wrong with a gateway that is not uartnet's.
#[derive(Debug, thiserror::Error)]
pub enum ForeignError {
    /// No connection came about.
    #[error("cannot reach {address}: {}", describe_io(.cause))]
    Unreachable {
        /// Where it should be.
        address: ForeignAddress,
        /// What the operating system said.
        cause: io::Error,
    },
    /// No connection, or no agreement, came about in time.
    #[error("cannot reach {address}: {awaited} within {}", humantime::format_duration(*.limit))]
    TimedOut {
        /// Where it should be.
        address: ForeignAddress,
        /// What did not come.
        awaited: &'static str,
        /// How long it was given.
        limit: Duration,
    },
    /// What answers does not speak RFC 2217.
    #[error(
        "what answers at {address} does not speak RFC 2217; if it carries the bytes of a serial port as they are, write {} instead of {}",
        .address.beginning(Scheme::Tcp), .address.beginning(Scheme::Rfc2217)
    )]
    NotSpoken {
        /// Where it is.
        address: ForeignAddress,
    },
    /// The connection broke.
    #[error("the connection to {address} broke: {}", describe_io(.cause))]
    Lost {
        /// The gateway.
        address: ForeignAddress,
        /// What the operating system said.
        cause: io::Error,
    },
    /// No TLS came about.
    #[error("{address}: {cause}")]
    Tls {
        /// The gateway.
        address: ForeignAddress,
        /// Why.
        cause: Box<TlsFailure>,
    },
    /// The gateway closed the connection.
    #[error("{address} closed the connection{}", said(.words))]
    Closed {
        /// The gateway.
        address: ForeignAddress,
        /// What it sent before it was ready: some give their reason as if it were data.
        words: String,
    },
}

impl ForeignError {
    /// Whether connecting again can help.
    pub(super) fn can_pass(&self) -> bool {
        !matches!(
            self,
            ForeignError::NotSpoken { .. } | ForeignError::Tls { .. }
        )
    }

    /// No connection came about.
    pub(super) fn unreachable(address: ForeignAddress, cause: io::Error) -> ForeignError {
        match tls::failure_in(&cause) {
            Some(cause) => ForeignError::Tls {
                address,
                cause: Box::new(cause),
            },
            None => ForeignError::Unreachable { address, cause },
        }
    }

    /// The connection broke.
    pub(super) fn lost(address: &ForeignAddress, cause: io::Error) -> ForeignError {
        let address = address.clone();
        // In TLS 1.3 a refusal comes when this side has shaken hands already.
        match tls::refusal(&cause) {
            Some(cause) => ForeignError::Tls {
                address,
                cause: Box::new(cause),
            },
            None => ForeignError::Lost { address, cause },
        }
    }
}

fn said(words: &str) -> String {
    if words.is_empty() {
        String::new()
    } else {
        format!("; it said {words:?}")
    }
}
