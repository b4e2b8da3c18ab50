//! Makes keys and certificates, for `uartd tls`: the gateway's, signed by itself; an authority's; and those of clients, which
//! it signs. The first two never end: what counts is that the other side knows the key, and one that ended one day would only
//! teach people to click it away.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, date_time_ymd,
};
use rustls::crypto::ring;
use uartnet_proto::KeyFingerprint;

use super::clients::{Clients, Wanted};
use super::files::{certificates, private_text, wrong};
use super::{TlsError, fingerprint_of, read_subject};
use crate::kept_file;

/// The last second that can be written, at the end of the year 9999, since 1970.
const LATEST: Duration = Duration::from_secs(253_402_300_799);

/// A key and a certificate that were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// What the other side knows it by.
    pub fingerprint: KeyFingerprint,
    /// The names and addresses it is for.
    pub names: Vec<String>,
}

/// The files of an authority that signs the certificates of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// Its certificate, as PEM: the `client_ca` of a listener.
    pub certificate: PathBuf,
    /// Its key, as PEM, which nobody else may read.
    pub key: PathBuf,
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
    let whoever = "whoever has pinned it would no longer connect";
    refuse_to_replace([key, certificate], replace, whoever)?;
    let failed = |error: rcgen::Error| wrong(certificate, error);
    let mut all = vec![host_name(), "localhost".to_owned()];
    all.extend(["127.0.0.1", "::1"].map(str::to_owned));
    all.extend(names.iter().cloned());
    all.retain(|name| !name.is_empty());
    let mut seen = std::collections::HashSet::new();
    all.retain(|name| seen.insert(name.clone()));

    let mut params = CertificateParams::new(all.clone()).map_err(failed)?;
    params.distinguished_name = common_name(&all[0]);
    Ok(Made {
        fingerprint: write_self_signed(params, certificate, key)?,
        names: all,
    })
}

impl Authority {
    /// Beside these files of the gateway.
    pub fn beside(certificate: &Path) -> Authority {
        Authority {
            certificate: certificate.with_file_name("client-ca.pem"),
            key: certificate.with_file_name("client-ca-key.pem"),
        }
    }

    /// Makes it.
    ///
    /// # Errors
    /// It exists and may not be replaced, or cannot be written.
    pub fn make(&self, replace: bool) -> Result<(), TlsError> {
        let whoever = "no certificate that it has signed would be accepted any more";
        refuse_to_replace([&self.key, &self.certificate], replace, whoever)?;
        let name = format!("clients of uartd on {}", host_name());
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(name.trim_end_matches(" on "));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        write_self_signed(params, &self.certificate, &self.key).map(|_| ())
    }

    /// Makes a key, and a certificate of it for a client of this name, which ends after this time, if any. Both go into one
    /// file that nobody else may read.
    ///
    /// # Errors
    /// The file exists and may not be replaced, or cannot be written, or there is no authority that can sign it.
    pub fn make_client(
        &self,
        file: &Path,
        name: &str,
        lifetime: Option<Duration>,
        replace: bool,
    ) -> Result<KeyFingerprint, TlsError> {
        refuse_to_replace(
            [file],
            replace,
            "whoever uses it would have to get the new one",
        )?;
        let failed = |error: rcgen::Error| wrong(file, error);
        let own = certificates(&self.certificate).map_err(TlsError::of_authority)?;
        let unfit = || {
            let problem =
                "this authority was not made by uartd tls ca: make certificates with what made it";
            wrong(&self.certificate, problem)
        };
        let subject = read_subject(&own[0]).map_err(|_| unfit())?;
        let text = private_text(&self.key).map_err(TlsError::of_authority)?;
        let signing = KeyPair::from_pem(&text)
            .map_err(|_| wrong(&self.key, "there is no private key in it, as PEM"))?;
        let mut authority = CertificateParams::default();
        authority.distinguished_name = common_name(&subject.common_name.unwrap_or_default());
        let issuer = Issuer::new(authority, signing);

        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        if let Some(lifetime) = lifetime {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            let ends = now.unwrap_or_default().saturating_add(lifetime);
            params.not_after = date_time_ymd(1970, 1, 1) + ends.min(LATEST);
        }
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let made = params.signed_by(&pair, &issuer).map_err(failed)?;
        let anybody = Wanted {
            holders: Default::default(),
            anybody: true,
        };
        let provider = ring::default_provider().into();
        Clients::new(&self.certificate, anybody, provider)?
            .check(&[made.der().clone()], SystemTime::now())
            .map_err(|_| unfit())?;
        write(
            file,
            &format!("{}{}", made.pem(), pair.serialize_pem()),
            0o600,
        )?;
        Ok(fingerprint_of(&pair.subject_public_key_info()))
    }
}

fn refuse_to_replace<'a>(
    files: impl IntoIterator<Item = &'a (impl AsRef<Path> + ?Sized + 'a)>,
    replace: bool,
    whoever: &'static str,
) -> Result<(), TlsError> {
    let mut files = files.into_iter().map(AsRef::as_ref);
    match files.find(|path| !replace && path.exists()) {
        None => Ok(()),
        Some(path) => Err(TlsError::Exists {
            path: path.to_owned(),
            whoever,
        }),
    }
}

/// A new key and its certificate, signed by itself.
fn write_self_signed(
    params: CertificateParams,
    certificate: &Path,
    key: &Path,
) -> Result<KeyFingerprint, TlsError> {
    let failed = |error: rcgen::Error| wrong(certificate, error);
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let made = params.self_signed(&pair).map_err(failed)?;
    // The certificate last: where there is one, there is a key.
    write(key, &pair.serialize_pem(), 0o600)?;
    write(certificate, &made.pem(), 0o644)?;
    Ok(fingerprint_of(&pair.subject_public_key_info()))
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
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

    #[test]
    fn an_authority_signs_certificates_of_clients_in_private_files() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::beside(&folder.path().join("new/certificate.pem"));
        let file = folder.path().join("ci.pem");
        let year = Some(Duration::from_secs(31_557_600));
        let made = |replace| authority.make_client(&file, "ci", year, replace);
        let error = made(false).unwrap_err().to_string();
        assert!(error.contains("uartd tls ca"), "{error}");
        authority.make(false).unwrap();
        let fingerprint = made(false).unwrap();

        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&authority.key), mode(&file)), (0o600, 0o600));
        let chain = certificates(&file).unwrap();
        let subject = read_subject(&chain[0]).unwrap();
        assert_eq!(subject.key, fingerprint);
        assert_eq!(subject.common_name.as_deref(), Some("ci"));
        let left = subject.ends.duration_since(SystemTime::now()).unwrap();
        assert!(
            left > Duration::from_secs(31_550_000)
                && Some(left) <= year.map(|it| it + Duration::from_secs(1))
        );

        // Neither is replaced unasked, and whom another authority has signed is not accepted.
        for error in [made(false).err(), authority.make(false).err()] {
            assert!(matches!(error, Some(TlsError::Exists { .. })), "{error:?}");
        }
        assert_ne!(made(true).unwrap(), fingerprint);
        let certificate = fs::read(&authority.certificate).unwrap();
        authority.make(true).unwrap();
        fs::write(&authority.certificate, certificate).unwrap();
        let error = made(true).unwrap_err().to_string();
        assert!(error.contains("not made by uartd tls ca"), "{error}");
    }
}
