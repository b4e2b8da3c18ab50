//! Which certificates of clients are accepted: those that an authority of the listener has signed, that are in force, and
//! that somebody is known by. Who that is, and what they may do, is decided in `access`.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};

use super::files::{TlsError, certificates, wrong};
use super::read_subject;
use crate::access::{Holders, Subject};

/// The certificate that somebody has shown, and those that it was signed by, as they sent them.
pub(crate) type Chain = Box<[CertificateDer<'static>]>;

/// Whose certificates a listener wants.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// Who is known.
    pub(crate) holders: Arc<Holders>,
    /// Whoever is not known is welcome too.
    pub(crate) anybody: bool,
}

/// Decides whether the certificate of a client is accepted.
#[derive(Debug)]
pub(super) struct Clients {
    authorities: Arc<dyn ClientCertVerifier>,
    wanted: Wanted,
}

/// The certificate is right, and nobody is known by it.
#[derive(Debug, thiserror::Error)]
#[error("no [[identity]] is known by the certificate ({0})")]
struct Nobody(Subject);

impl Clients {
    /// Those that the authorities in this file have signed.
    ///
    /// # Errors
    /// The file cannot be used.
    pub(super) fn new(
        file: &Path,
        wanted: Wanted,
        provider: Arc<CryptoProvider>,
    ) -> Result<Clients, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(file).map_err(TlsError::of_authority)? {
            roots.add(certificate).map_err(|error| wrong(file, error))?;
        }
        let authorities = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        Ok(Clients {
            authorities: authorities.build().map_err(|error| wrong(file, error))?,
            wanted,
        })
    }

    /// Whether a certificate that was accepted still is.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn check(
        &self,
        chain: &[CertificateDer<'_>],
        date: SystemTime,
    ) -> Result<(), Error> {
        let (first, others) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        let since = date.duration_since(SystemTime::UNIX_EPOCH);
        let now = UnixTime::since_unix_epoch(since.unwrap_or(Duration::ZERO));
        self.verify(first, others, now).map(|_| ())
    }

    fn verify(
        &self,
        first: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.authorities.verify_client_cert(first, others, now);
        verified.map_err(|error| match error {
            // Another authority of the same name has not signed it either.
            Error::InvalidCertificate(CertificateError::BadSignature) => {
                CertificateError::UnknownIssuer.into()
            }
            error => error,
        })
    }
}

impl ClientCertVerifier for Clients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.authorities.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.verify(end_entity, intermediates, now)?;
        let subject = read_subject(end_entity).map_err(|_| CertificateError::BadEncoding)?;
        // Whoever stays outside is told so by an alert: most protocols have no other word for it.
        if !self.wanted.anybody && self.wanted.holders.of(&subject).is_none() {
            let nobody = OtherError(Arc::new(Nobody(subject)));
            return Err(CertificateError::Other(nobody).into());
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

/// Why a certificate is not accepted, in words.
pub(super) fn described(error: &CertificateError) -> impl fmt::Display {
    match error {
        CertificateError::Other(OtherError(error)) => error.to_string(),
        CertificateError::UnknownIssuer => {
            "no authority of this listener (client_ca) has signed the certificate".to_owned()
        }
        // What an authority has not signed was told above, so it is the handshake that has a wrong one.
        CertificateError::BadSignature => "the certificate was shown without its key".to_owned(),
        CertificateError::BadEncoding => "what was shown as a certificate is none".to_owned(),
        error => format!("the certificate is not accepted: {error}"),
    }
}
