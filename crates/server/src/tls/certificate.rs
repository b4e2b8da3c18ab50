//! Makes a key and a certificate signed by itself, for `uartd tls init`. It never ends: what counts is that clients know
//! its key, and a certificate that ended one day would only teach people to click it away.

use std::io;
use std::path::Path;

use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use uartnet_proto::KeyFingerprint;

use super::{TlsError, fingerprint_of};
use crate::kept_file;

/// A key and a certificate that were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// What clients know it by.
    pub fingerprint: KeyFingerprint,
    /// The names and addresses it is for.
    pub names: Vec<String>,
}

/// Makes them, for this machine's name, `localhost`, and these names or IP addresses.
///
/// # Errors
/// They exist and may not be replaced, or cannot be written, or a name is none.
pub fn make(
    certificate: &Path,
    key: &Path,
    names: &[String],
    replace: bool,
) -> Result<Made, TlsError> {
    if !replace && let Some(path) = [key, certificate].into_iter().find(|path| path.exists()) {
        let path = path.to_owned();
        return Err(TlsError::Exists { path });
    }
    let failed = |error: rcgen::Error| TlsError::Wrong {
        path: certificate.to_owned(),
        problem: error.to_string(),
    };
    let mut all = vec![host_name(), "localhost".to_owned()];
    all.extend(["127.0.0.1", "::1"].map(str::to_owned));
    all.extend(names.iter().cloned());
    all.retain(|name| !name.is_empty());
    let mut seen = std::collections::HashSet::new();
    all.retain(|name| seen.insert(name.clone()));

    let mut params = CertificateParams::new(all.clone()).map_err(failed)?;
    params
        .distinguished_name
        .push(DnType::CommonName, all[0].as_str());
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let made = params.self_signed(&pair).map_err(failed)?;
    // The certificate last: where there is one, there is a key.
    write(key, &pair.serialize_pem(), 0o600)?;
    write(certificate, &made.pem(), 0o644)?;
    Ok(Made {
        fingerprint: fingerprint_of(&pair.subject_public_key_info()),
        names: all,
    })
}

/// Replaced as a whole or not at all.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), TlsError> {
    let io = |doing| {
        move |cause: io::Error| TlsError::Io {
            doing,
            path: path.to_owned(),
            cause,
        }
    };
    kept_file::make_folder(path).map_err(io("make the folder of"))?;
    kept_file::replace(path, text, mode).map_err(|(doing, cause)| io(doing)(cause))
}

/// This machine's name, as far as it can stand in a certificate.
fn host_name() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy().into_owned();
    if name.is_ascii() { name } else { String::new() }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::super::read_fingerprint;
    use super::*;

    #[test]
    fn the_key_is_private_and_nothing_is_replaced_unasked() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (
            folder.path().join("new/c.pem"),
            folder.path().join("new/k.pem"),
        );
        let names = ["bench1.example".to_owned(), "10.0.0.1".to_owned()];
        let made = make(&certificate, &key, &names, false).unwrap();
        assert!(made.names.ends_with(&names), "{made:?}");
        assert_eq!(read_fingerprint(&certificate).unwrap(), made.fingerprint);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&key), mode(&certificate)), (0o600, 0o644));

        assert!(matches!(
            make(&certificate, &key, &[], false),
            Err(TlsError::Exists { .. })
        ));
        fs::remove_file(&certificate).unwrap();
        assert!(matches!(
            make(&certificate, &key, &[], false),
            Err(TlsError::Exists { .. })
        ));
        let again = make(&certificate, &key, &[], true).unwrap();
        assert_ne!(again.fingerprint, made.fingerprint);
        assert_eq!(mode(&key), 0o600);
    }
}
