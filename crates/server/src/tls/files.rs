//! From the files of a listener to a configuration of TLS. What cannot be used is said with the file and what to do.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, NoServerSessionStorage, ParsedCertificate};
use uartnet_proto::KeyFingerprint;

use super::clients::{Clients, Wanted};
use super::{TlsFiles, fingerprint_of};
use crate::access;

/// A file bigger than this is no certificate and no key, in bytes.
const LARGEST: u64 = 1 << 20;

/// Why TLS cannot be spoken with these files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that `uartd tls init` would make is not there.
    #[error("there is no {}: {make}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What to type.
        make: &'static str,
    },
    /// The operating system refused.
    #[error("cannot {doing} {}: {cause}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// Others may read the key.
    #[error("{} can be used by others (its mode is {mode:03o}); write: chmod 600 {}", path.display(), path.display())]
    NotPrivate {
        /// The key.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// What is in it cannot be used.
    #[error("{}: {problem}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// There is something that would be lost.
    #[error("{} exists: {whoever}; --force replaces it", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
        /// What would be lost.
        whoever: &'static str,
    },
}

impl TlsError {
    /// The same of a file of an authority: what to type where it is not there.
    pub(super) fn of_authority(self) -> TlsError {
        match self {
            TlsError::Missing { path, .. } => TlsError::Missing {
                path,
                make: "make an authority for the certificates of clients with: uartd tls ca",
            },
            error => error,
        }
    }
}

/// Where the certificate and the key are if nobody says: beside the file of tokens. `None`: it has no place either.
pub fn default_files(tokens: Option<&Path>) -> Option<(PathBuf, PathBuf)> {
    let own = access::default_path();
    let tokens = tokens.or(own.as_deref())?;
    Some((
        tokens.with_file_name("certificate.pem"),
        tokens.with_file_name("key.pem"),
    ))
}

/// The fingerprint of the key in this certificate.
///
/// # Errors
/// The file cannot be used.
pub fn read_fingerprint(certificate: &Path) -> Result<KeyFingerprint, TlsError> {
    let chain = certificates(certificate)?;
    let first = chain.first().map(ParsedCertificate::try_from);
    match first {
        Some(Ok(first)) => Ok(fingerprint_of(&first.subject_public_key_info())),
        _ => Err(wrong(certificate, "its first certificate makes no sense")),
    }
}

/// What is spoken, and with whom.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) config: Arc<ServerConfig>,
    /// Which certificates of clients are accepted; `None`: they need none.
    pub(super) clients: Option<Arc<Clients>>,
}

/// What is spoken with these files.
///
/// # Errors
/// One of them cannot be used.
pub(super) fn load(files: &TlsFiles, wanted: &Wanted) -> Result<Loaded, TlsError> {
    let chain = certificates(&files.certificate)?;
    let key = private_key(&files.key)?;
    let provider = Arc::new(ring::default_provider());
    let clients = match &files.client_ca {
        None => None,
        Some(file) => {
            let clients = Clients::new(file, wanted.clone(), provider.clone())?;
            Some(Arc::new(clients))
        }
    };
    let verifier: Arc<dyn ClientCertVerifier> = match &clients {
        Some(clients) => clients.clone(),
        None => Arc::new(NoClientAuth),
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&files.certificate, error))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                let problem = format!(
                    "this is not the key of the certificate in {}",
                    files.certificate.display()
                );
                wrong(&files.key, problem)
            }
            error => wrong(&files.certificate, error),
        })?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Loaded {
        config: Arc::new(config),
        clients,
    })
}

pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?.0).collect();
    let found = found.map_err(|error| unreadable(path, &error))?;
    if found.is_empty() {
        return Err(wrong(path, "there is no certificate in it"));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(private_text(path)?.as_bytes()).map_err(|error| match error {
        pem::Error::NoItemsFound => wrong(path, "there is no private key in it"),
        error => unreadable(path, &error),
    })
}

/// The text of a file that nobody else may read.
pub(super) fn private_text(path: &Path) -> Result<String, TlsError> {
    let (bytes, mode) = read(path)?;
    if mode & 0o077 != 0 {
        let path = path.to_owned();
        return Err(TlsError::NotPrivate { path, mode });
    }
    String::from_utf8(bytes).map_err(|_| wrong(path, "there is no private key in it, as PEM"))
}

/// The bytes of a file, and its permissions.
fn read(path: &Path) -> Result<(Vec<u8>, u32), TlsError> {
    let io = |cause| TlsError::Io {
        doing: "read",
        path: path.to_owned(),
        cause,
    };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(TlsError::Missing {
                path: path.to_owned(),
                make: "make a key and a certificate with: uartd tls init",
            });
        }
        file => file.map_err(io)?,
    };
    let mode = file.metadata().map_err(io)?.mode() & 0o777;
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > LARGEST {
        return Err(wrong(path, "it is too big"));
    }
    Ok((bytes, mode))
}

impl TlsFiles {
    /// All of them.
    pub(super) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.certificate, &self.key]
            .into_iter()
            .chain(&self.client_ca)
    }
}

/// What a PEM parser says, but never what it has read: it may be a key.
fn unreadable(path: &Path, error: &pem::Error) -> TlsError {
    match error {
        pem::Error::Io(cause) => wrong(path, cause),
        _ => wrong(path, "it is not PEM (-----BEGIN …) as it should be"),
    }
}

pub(super) fn wrong(path: &Path, problem: impl fmt::Display) -> TlsError {
    TlsError::Wrong {
        path: path.to_owned(),
        problem: problem.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::super::make;
    use super::*;

    fn nobody() -> Wanted {
        Wanted {
            holders: Default::default(),
            anybody: false,
        }
    }

    fn made() -> (tempfile::TempDir, TlsFiles) {
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles {
            certificate: folder.path().join("certificate.pem"),
            key: folder.path().join("key.pem"),
            client_ca: None,
        };
        make(&files.certificate, &files.key, &[], false).unwrap();
        (folder, files)
    }

    #[test]
    fn what_is_made_can_be_used() {
        let (_folder, files) = made();
        load(&files, &nobody()).unwrap();
        read_fingerprint(&files.certificate).unwrap();
    }

    #[test]
    fn what_cannot_be_used_is_said_with_the_file_and_what_to_do() {
        let (folder, files) = made();
        let (_other_folder, other) = made();
        let text = folder.path().join("text");
        fs::write(&text, "hello").unwrap();
        fs::set_permissions(&text, fs::Permissions::from_mode(0o600)).unwrap();
        let broken = folder.path().join("broken");
        fs::write(
            &broken,
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
        )
        .unwrap();
        let gone = folder.path().join("gone");
        let with = |certificate: &Path, key: &Path| TlsFiles {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            client_ca: None,
        };
        for (files, said) in [
            (with(&gone, &files.key), "gone: make a key"),
            (with(&files.certificate, &gone), "gone: make a key"),
            (with(&text, &files.key), "text: there is no certificate"),
            (with(&broken, &files.key), "broken: it is not PEM"),
            (
                with(&files.certificate, &text),
                "text: there is no private key",
            ),
            (
                with(&files.certificate, &other.key),
                "this is not the key of the certificate in",
            ),
        ] {
            let error = load(&files, &nobody()).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o640)).unwrap();
        let error = load(&files, &nobody()).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }
}
