//! TLS to a gateway: whom this side takes for the gateway, and the certificate by which it says who it is itself. Not where
//! that was learnt; that is the program's.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ring::digest::{SHA256, digest};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, ring as provider, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme,
};
use subtle::ConstantTimeEq;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use uartnet_proto::KeyFingerprint;

use crate::connection::{dial, lookup};
use crate::{Address, ClientError, Stream};

/// Where systems keep the certificates of the authorities that they trust.
const SYSTEM_ROOTS: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
];

/// Whom this side takes for the gateway.
#[derive(Debug, Clone, Default)]
pub enum Trust {
    /// Nobody: no connection comes about.
    #[default]
    Nobody,
    /// Whoever has this key. What else its certificate says is not looked at.
    Key {
        /// The key.
        key: KeyFingerprint,
        /// From where it is known, as it continues a sentence; `None`: it was given.
        known: Option<String>,
    },
    /// Whoever has a certificate for the name of the host, in force, that one of these has signed.
    Authorities(Arc<RootCertStore>),
}

/// A certificate and its key, by which this side says who it is.
#[derive(Clone)]
pub struct OwnCertificate {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
}

/// Everything about TLS that a connection needs to know.
#[derive(Debug, Clone, Default)]
pub struct TlsOptions {
    /// Whom to take for the gateway.
    pub trust: Trust,
    /// Who this side is, where the gateway asks for a certificate.
    pub own: Option<OwnCertificate>,
}

/// A file of certificates or keys that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct CertificateFileError {
    /// The file.
    pub path: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Why no TLS came about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsFailure {
    /// It has another key than the one that is known.
    #[error(
        "THIS IS NOT THE GATEWAY THAT IS KNOWN, OR ITS KEY HAS CHANGED: its key is {found}, and not {expected}{}; somebody may be in between, so nothing was said to it", .known.as_deref().unwrap_or_default()
    )]
    OtherKey {
        /// The key it should have.
        expected: KeyFingerprint,
        /// The key it has.
        found: KeyFingerprint,
        /// From where the first is known.
        known: Option<String>,
    },
    /// Its certificate does not convince.
    #[error("its certificate is not accepted: {0}")]
    Certificate(String),
    /// It has refused ours, or the want of one.
    #[error("it does not let in whoever this is: {0}")]
    Refused(String),
    /// It speaks no TLS.
    #[error(
        "it speaks no TLS; write its address without tls, if nobody else can hear what is said"
    )]
    NoTls,
    /// Anything else.
    #[error("the TLS handshake failed: {0}")]
    Other(String),
}

impl Trust {
    /// The authorities in this file, or those of the system, if it is `system`.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn authorities(file: &str) -> Result<Trust, CertificateFileError> {
        let path = match file {
            "system" => SYSTEM_ROOTS
                .iter()
                .find(|path| Path::new(path).exists())
                .ok_or_else(|| CertificateFileError {
                    path: "system".to_owned(),
                    problem: "no certificates of authorities are found on this machine".to_owned(),
                })?,
            path => path,
        };
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(certificates(path)?);
        if added == 0 {
            return Err(wrong(path, "no certificate in it is one of an authority"));
        }
        Ok(Trust::Authorities(Arc::new(roots)))
    }
}

impl OwnCertificate {
    /// From the files of a certificate (and those that it was signed by) and of its key, both PEM.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub fn read(certificate: &str, key: &str) -> Result<OwnCertificate, CertificateFileError> {
        let chain = certificates(certificate)?;
        let bytes = std::fs::read(key).map_err(|error| wrong(key, crate::describe_io(&error)))?;
        let key = PrivateKeyDer::from_pem_slice(&bytes)
            .map_err(|_| wrong(key, "there is no private key in it, as PEM"))?;
        Ok(OwnCertificate {
            chain,
            key: Arc::new(key),
        })
    }
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, CertificateFileError> {
    let bytes = std::fs::read(path).map_err(|error| wrong(path, crate::describe_io(&error)))?;
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(wrong(path, "there is no certificate in it, as PEM")),
    }
}

fn wrong(path: &str, problem: impl Into<String>) -> CertificateFileError {
    CertificateFileError {
        path: path.to_owned(),
        problem: problem.into(),
    }
}

/// The key of whoever answers at this address. That it has this key is proven; nothing else is known of it.
///
/// # Errors
/// As [`crate::Connection::connect`]. `None`: it is no address of TLS.
pub async fn key_of(
    gateway: &Address,
    limit: Duration,
) -> Result<Option<KeyFingerprint>, ClientError> {
    let Address::Tls { host, port } = gateway else {
        return Ok(None);
    };
    let verifier = KeyVerifier::new(None);
    let asked = async {
        let stream = lookup(host, *port).await?;
        shake_hands(stream, host, verifier.clone(), None).await
    };
    dial(asked, gateway, limit).await?;
    let seen = *verifier.seen();
    Ok(seen)
}

/// TLS over a connection to this host.
pub(crate) async fn connect(
    stream: TcpStream,
    host: &str,
    options: &TlsOptions,
) -> io::Result<Box<dyn Stream>> {
    match &options.trust {
        Trust::Nobody => Err(io::Error::other(TlsFailure::Certificate(
            "nothing is known of the gateway".to_owned(),
        ))),
        Trust::Key { key, known } => {
            let verifier = KeyVerifier::new(Some(*key));
            let shaken = shake_hands(stream, host, verifier.clone(), options.own.as_ref()).await;
            let seen = *verifier.seen();
            match (shaken, seen) {
                (Err(_), Some(found)) if found != *key => {
                    Err(io::Error::other(TlsFailure::OtherKey {
                        expected: *key,
                        found,
                        known: known.clone(),
                    }))
                }
                (shaken, _) => shaken,
            }
        }
        Trust::Authorities(roots) => {
            let provider = Arc::new(provider::default_provider());
            let verifier =
                WebPkiServerVerifier::builder_with_provider(roots.clone(), provider).build();
            let verifier = verifier.map_err(io::Error::other)?;
            shake_hands(stream, host, verifier, options.own.as_ref()).await
        }
    }
}

async fn shake_hands(
    stream: TcpStream,
    host: &str,
    verifier: Arc<dyn ServerCertVerifier>,
    own: Option<&OwnCertificate>,
) -> io::Result<Box<dyn Stream>> {
    let provider = Arc::new(provider::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous() // that is: with a verifier of our own
        .with_custom_certificate_verifier(verifier);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => builder
            .with_client_auth_cert(own.chain.clone(), own.key.clone_key())
            .map_err(|error| failure(io::Error::other(error)))?,
    };
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, stream).await.map_err(failure)?;
    Ok(Box::new(stream))
}

/// rustls' errors in our words; what the operating system says stays as it is.
fn failure(error: io::Error) -> io::Error {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref()) else {
        return error;
    };
    io::Error::other(match tls {
        Error::InvalidMessage(_) => TlsFailure::NoTls,
        // Another one of the same name has not signed it either.
        Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => TlsFailure::Certificate(
            "none of the authorities that are trusted here has signed it".to_owned(),
        ),
        Error::InvalidCertificate(error) => TlsFailure::Certificate(error.to_string()),
        Error::AlertReceived(alert) => refused(*alert),
        error => TlsFailure::Other(error.to_string()),
    })
}

/// Why no TLS came about, if that is why no connection did.
pub(crate) fn failure_in(error: &io::Error) -> Option<TlsFailure> {
    error.get_ref()?.downcast_ref().cloned()
}

/// What the gateway has against whoever this is, if that is why a connection broke.
pub(crate) fn refusal(error: &io::Error) -> Option<TlsFailure> {
    match error.get_ref()?.downcast_ref()? {
        Error::AlertReceived(alert) => Some(refused(*alert)),
        _ => None,
    }
}

/// What an alert of a gateway means to whoever shows it a certificate (RFC 8446 section 6.2).
fn refused(alert: AlertDescription) -> TlsFailure {
    TlsFailure::Refused(match alert {
        AlertDescription::CertificateRequired => {
            "it asks for a certificate; give one with --cert FILE".to_owned()
        }
        AlertDescription::UnknownCA => {
            "no authority that it trusts has signed the certificate of --cert".to_owned()
        }
        AlertDescription::CertificateExpired => "the certificate of --cert has expired".to_owned(),
        AlertDescription::CertificateUnknown | AlertDescription::AccessDenied => {
            "it knows nobody by the certificate of --cert".to_owned()
        }
        alert => format!("{alert:?}"),
    })
}

/// Takes whoever has one key, or anybody, and remembers whom it saw. That they have the key is always verified.
struct KeyVerifier {
    expected: Option<KeyFingerprint>,
    seen: Mutex<Option<KeyFingerprint>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl KeyVerifier {
    fn new(expected: Option<KeyFingerprint>) -> Arc<KeyVerifier> {
        Arc::new(KeyVerifier {
            expected,
            seen: Mutex::default(),
            algorithms: provider::default_provider().signature_verification_algorithms,
        })
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Option<KeyFingerprint>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServerCertVerifier for KeyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let mut found = KeyFingerprint([0; 32]);
        let digest = digest(&SHA256, &parsed.subject_public_key_info());
        found.0.copy_from_slice(digest.as_ref());
        *self.seen() = Some(found);
        match self.expected {
            Some(expected) if !bool::from(expected.0.ct_eq(&found.0)) => {
                Err(CertificateError::ApplicationVerificationFailure.into())
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl fmt::Debug for KeyVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyVerifier")
            .field("expected", &self.expected)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for OwnCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnCertificate(…)")
    }
}
