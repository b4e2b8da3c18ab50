//! The handshake with somebody who has connected, and why it failed, in words.

use std::io;
use std::time::Instant;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::files::{self, Subject};
use super::live::LiveTls;

/// Somebody whose handshake is done.
pub(crate) struct Shaken {
    /// What they say, and what is said to them.
    pub(crate) stream: Box<TlsStream<TcpStream>>,
    /// Whom the certificate is of that they have shown.
    pub(crate) subject: Option<Subject>,
}

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
    /// They have shown no certificate.
    #[error("has shown no certificate, and this listener asks for one")]
    NoCertificate,
    /// They have shown one that is not accepted.
    #[error("its certificate is not accepted: {0}")]
    BadCertificate(CertificateError),
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
) -> Result<Shaken, Failed> {
    let accept = TlsAcceptor::from(tls.config()).accept(stream);
    let accepted = match deadline {
        Some(at) => tokio::time::timeout_at(at.into(), accept)
            .await
            .map_err(|_| Failed::Late)?,
        None => accept.await,
    };
    let stream = Box::new(accepted.map_err(why)?);
    let shown = stream.get_ref().1.peer_certificates();
    let subject = match shown.and_then(<[_]>::first) {
        // It was understood when it was verified.
        Some(first) => files::subject(first).ok(),
        None => None,
    };
    Ok(Shaken { stream, subject })
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
        Some(Error::NoCertificatesPresented) => Failed::NoCertificate,
        Some(Error::InvalidCertificate(wrong)) => Failed::BadCertificate(wrong.clone()),
        Some(Error::AlertReceived(alert)) => Failed::OursRefused(*alert),
        Some(error @ (Error::PeerIncompatible(_) | Error::InvalidMessage(_))) => {
            Failed::Incompatible(error.clone())
        }
        _ => Failed::Other(error),
    }
}
