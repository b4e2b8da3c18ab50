//! TLS: the files of a key and its certificate, what they become when somebody connects, what certificate clients must
//! show, and that all of it may change while clients are there. Not what is carried over it; that is `conn_task`'s; nor who
//! the holder of a certificate is; that is decided in `access`.
//!
//! Only TLS 1.2 and 1.3, with ring, which is named wherever a choice is made: no process-wide default decides. Sessions
//! are not resumed, because that costs memory here.

mod certificate;
mod clients;
mod files;
mod handshake;
mod live;
mod subject;

use std::path::PathBuf;

use ring::digest::{SHA256, digest};
use uartnet_proto::KeyFingerprint;

pub use certificate::{Authority, Made, make};
pub(crate) use clients::{Chain, Wanted};
pub use files::{TlsError, default_files, read_fingerprint};
pub(crate) use handshake::{Shaken, shake_hands};
pub(crate) use live::LiveTls;
pub use subject::{NoSubject, read_subject};

/// What a listener that speaks TLS needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and those it was signed by, as PEM.
    pub certificate: PathBuf,
    /// Its private key, as PEM, which nobody else may read.
    pub key: PathBuf,
    /// The authorities that sign the certificates of clients, as PEM; `None`: clients need none.
    pub client_ca: Option<PathBuf>,
}

impl TlsFiles {
    /// Whether clients must show a certificate.
    pub(crate) fn ask_for_certificate(&self) -> bool {
        self.client_ca.is_some()
    }
}

/// The fingerprint of a public key.
fn fingerprint_of(subject_public_key_info: &[u8]) -> KeyFingerprint {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, subject_public_key_info).as_ref());
    KeyFingerprint(bytes)
}
