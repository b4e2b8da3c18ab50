//! The handshake with somebody who has connected, and why it failed, in words.

use std::io;
use std::time::Instant;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use uartnet_reactor::timeout_at;

use super::clients::{self, Chain};
use super::live::LiveTls;
use crate::socket::Socket;

/// Hands are shaken.
pub(crate) struct Shaken {
    /// What they say, and what is said to them.
    pub(crate) stream: Box<TlsStream<Socket>>,
    /// The certificate that they have shown, if they were asked for one.
    pub(crate) chain: Option<Chain>,
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
    #[error("has shown no certificate, and this listener asks for one (client_ca)")]
    NoCertificate,
    /// They have shown one that is not accepted.
    #[error("{}", clients::described(.0))]
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

impl Failed {
    /// Whether it is their certificate, or the want of one, that did not convince.
    pub(crate) fn is_of_certificate(&self) -> bool {
        matches!(self, Failed::NoCertificate | Failed::BadCertificate(_))
    }
}

/// No hands are shaken.
pub(crate) struct NotShaken {
    pub(crate) why: Failed,
    /// What they were told by an alert reaches them if this is not closed at once: they may have sent more meanwhile.
    pub(crate) told: Option<Socket>,
}

/// Shakes hands. What is wrong is said by an alert, as far as it is TLS that they speak.
///
/// # Errors
/// [`NotShaken`].
pub(crate) async fn shake_hands(
    stream: Socket,
    tls: &LiveTls,
    deadline: Option<Instant>,
) -> Result<Shaken, NotShaken> {
    let accept = TlsAcceptor::from(tls.config())
        .accept(stream)
        .into_fallible();
    let accepted = match deadline {
        Some(at) => timeout_at(at, accept).await.map_err(|_| NotShaken {
            why: Failed::Late,
            told: None,
        })?,
        None => accept.await,
    };
    let stream = accepted.map_err(|(error, stream)| {
        let why = why(error);
        NotShaken {
            told: why.is_of_certificate().then_some(stream),
            why,
        }
    })?;
    let chain = stream.get_ref().1.peer_certificates();
    Ok(Shaken {
        chain: chain.map(|chain| chain.to_vec().into()),
        stream: Box::new(stream),
    })
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
        Some(Error::InvalidCertificate(error)) => Failed::BadCertificate(error.clone()),
        Some(Error::AlertReceived(alert)) => Failed::OursRefused(*alert),
        Some(error @ (Error::PeerIncompatible(_) | Error::InvalidMessage(_))) => {
            Failed::Incompatible(error.clone())
        }
        _ => Failed::Other(error),
    }
}
