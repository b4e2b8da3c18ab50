//! How the key of a gateway's or a client's certificate is written: `sha256:` and 64 hex digits. Not how it is computed,
//! nor compared with a certificate; that is done by whoever speaks TLS.

use std::fmt;
use std::str::FromStr;

/// SHA-256 of the public key in a certificate (its `SubjectPublicKeyInfo` in DER, RFC 5280 section 4.1). It stays the same
/// when a certificate is renewed for the same key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyFingerprint(pub [u8; 32]);

/// A text that is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{text}\" is not the fingerprint of a key: write sha256: and 64 hex digits, as uartd tls show prints them"
)]
pub struct KeyFingerprintError {
    /// The text as it was given.
    pub text: String,
}

impl FromStr for KeyFingerprint {
    type Err = KeyFingerprintError;

    fn from_str(text: &str) -> Result<KeyFingerprint, KeyFingerprintError> {
        parse(text).ok_or_else(|| KeyFingerprintError {
            text: text.to_owned(),
        })
    }
}

fn parse(text: &str) -> Option<KeyFingerprint> {
    let digits = text.strip_prefix("sha256:")?;
    let mut bytes = [0; 32];
    if digits.len() != 2 * bytes.len() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(KeyFingerprint(bytes))
}

impl fmt::Display for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_is_written() {
        let text = format!("sha256:{}", "0f".repeat(32));
        let fingerprint: KeyFingerprint = text.parse().unwrap();
        assert_eq!(fingerprint, KeyFingerprint([15; 32]));
        assert_eq!(fingerprint.to_string(), text);
        let upper = format!("sha256:{}", "0F".repeat(32));
        assert_eq!(upper.parse(), Ok(fingerprint));
        for wrong in [
            "",
            "0f",
            &text[7..],
            &text[..70],
            &format!("{text}0"),
            &text.replace("0f", "+f"),
            &text.replace("sha256", "sha1"),
        ] {
            assert!(wrong.parse::<KeyFingerprint>().is_err(), "{wrong}");
        }
    }
}
