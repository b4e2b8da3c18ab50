//! The handshake with somebody who has connected, and why it failed, in words.

use std::io;
use std::time::Instant;

use rustls::{AlertDescription, Error, InvalidMessage};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::live::LiveTls;

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// What was sent is no TLS.
    #[error("speaks no TLS, and this listener speaks nothing else")]
    NoTls,
    /// It is not done.
    #[error("has not finished the TLS handshake in time")]
    Late,
    /// They have left.
    #[error("left during the TLS handshake")]
    Left,
    /// They do not accept ours.
    #[error("does not accept the certificate of this listener ({0:?})")]
    OursRefused(AlertDescription),
    /// They speak nothing that we speak.
    #[error("speaks no TLS 1.2 or 1.3 as it is spoken here: {0}")]
    Incompatible(Error),
    /// Anything else.
    #[error("the TLS handshake failed: {0}")]
    Other(io::Error),
}

/// Shakes hands. What is wrong is said by an alert, as far as it is TLS that they speak.
///
/// # Errors
/// [`Failed`].
pub(crate) async fn shake_hands(
    stream: TcpStream,
    tls: &LiveTls,
    deadline: Option<Instant>,
) -> Result<Box<TlsStream<TcpStream>>, Failed> {
    let accept = TlsAcceptor::from(tls.config()).accept(stream);
    let accepted = match deadline {
        Some(at) => tokio::time::timeout_at(at.into(), accept)
            .await
            .map_err(|_| Failed::Late)?,
        None => accept.await,
    };
    accepted.map(Box::new).map_err(why)
}

fn why(error: io::Error) -> Failed {
    if error.kind() == io::ErrorKind::UnexpectedEof
        || error.kind() == io::ErrorKind::ConnectionReset
    {
        return Failed::Left;
    }
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
    match tls {
        Some(
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType
                | InvalidMessage::UnknownProtocolVersion
                | InvalidMessage::MessageTooLarge
                | InvalidMessage::InvalidEmptyPayload,
            )
            | Error::InappropriateMessage { .. },
        ) => Failed::NoTls,
        Some(Error::AlertReceived(alert)) => Failed::OursRefused(*alert),
        Some(error @ (Error::PeerIncompatible(_) | Error::InvalidMessage(_))) => {
            Failed::Incompatible(error.clone())
        }
        _ => Failed::Other(error),
    }
}
