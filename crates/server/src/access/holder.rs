//! Who is known by a certificate: what a certificate says of whoever shows it, and which identity of the configuration that
//! is. Pure. Not whether the certificate is right; that is verified when hands are shaken, in `tls`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use uart_iface::PortName;
use uartnet_hub::Access;
use uartnet_proto::KeyFingerprint;

use super::identity::{Grant, Scope};

/// What a certificate says of whoever shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its public key.
    pub key: KeyFingerprint,
    /// The common name of its subject, if it has exactly one.
    pub common_name: Option<String>,
    /// Its subject alternative names, of the kinds that are known here.
    pub names: Vec<AlternativeName>,
    /// When it ends: the second after the last in which it is in force.
    pub ends: SystemTime,
}

/// A subject alternative name (RFC 5280 section 4.2.1.6), written as openssl writes it: `DNS:ci.example.org`,
/// `email:anna@example.org`, `URI:urn:ci`, `IP:192.0.2.7`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlternativeName {
    /// A name of DNS, in lower case.
    Dns(String),
    /// An address of mail.
    Email(String),
    /// A URI.
    Uri(String),
    /// An IP address.
    Ip(IpAddr),
}

/// A text that is no alternative name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not a subject alternative name")]
pub struct AlternativeNameError {
    /// The text as it was given.
    pub text: String,
}

/// Somebody whom the configuration knows by a certificate: everything that is said of it must be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// What they are called, in logs, in the audit log, and to other clients. Each has its own.
    pub name: PortName,
    /// The key of their certificate.
    pub fingerprint: Option<KeyFingerprint>,
    /// The common name in it.
    pub common_name: Option<String>,
    /// An alternative name in it.
    pub san: Option<AlternativeName>,
    /// What they may do.
    pub access: Access,
    /// On which ports.
    pub scope: Scope,
}

/// Everybody whom the configuration knows by a certificate, in its order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holders(Vec<Arc<Holder>>);

/// A certificate by which somebody has said who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is; `None`: no identity's, and their listener takes all that its authorities have signed.
    pub holder: Option<Arc<Holder>>,
    /// What it says.
    pub subject: Subject,
}

impl Holder {
    /// What they may do, where.
    pub fn grant(&self) -> Grant {
        Grant::Ports {
            access: self.access,
            scope: self.scope.clone(),
        }
    }

    /// Whether anything is said of them. Whoever is known by nothing is nobody.
    pub fn is_known(&self) -> bool {
        self.fingerprint.is_some() || self.common_name.is_some() || self.san.is_some()
    }

    fn is(&self, subject: &Subject) -> bool {
        let Holder {
            name: _,
            fingerprint,
            common_name,
            san,
            access: _,
            scope: _,
        } = self;
        self.is_known()
            && fingerprint.is_none_or(|key| key == subject.key)
            && common_name
                .as_ref()
                .is_none_or(|name| subject.common_name.as_ref() == Some(name))
            && san.as_ref().is_none_or(|san| subject.names.contains(san))
    }
}

impl Holders {
    /// These, whose names differ.
    pub fn new(list: impl IntoIterator<Item = Holder>) -> Holders {
        Holders(list.into_iter().map(Arc::new).collect())
    }

    /// All of them.
    pub fn list(&self) -> &[Arc<Holder>] {
        &self.0
    }

    /// Whose certificate says this: the first whom it fits.
    pub fn of(&self, subject: &Subject) -> Option<&Arc<Holder>> {
        self.0.iter().find(|holder| holder.is(subject))
    }
}

impl FromStr for AlternativeName {
    type Err = AlternativeNameError;

    fn from_str(text: &str) -> Result<AlternativeName, AlternativeNameError> {
        let wrong = || AlternativeNameError {
            text: text.to_owned(),
        };
        let (kind, name) = text.split_once(':').ok_or_else(wrong)?;
        if name.is_empty() || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(wrong());
        }
        Ok(match kind {
            "DNS" => AlternativeName::Dns(name.to_ascii_lowercase()),
            "email" => AlternativeName::Email(name.to_owned()),
            "URI" => AlternativeName::Uri(name.to_owned()),
            "IP" => AlternativeName::Ip(name.parse().map_err(|_| wrong())?),
            _ => return Err(wrong()),
        })
    }
}

impl fmt::Display for AlternativeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AlternativeName::Dns(name) => write!(f, "DNS:{name}"),
            AlternativeName::Email(name) => write!(f, "email:{name}"),
            AlternativeName::Uri(name) => write!(f, "URI:{name}"),
            AlternativeName::Ip(address) => write!(f, "IP:{address}"),
        }
    }
}

impl fmt::Display for Subject {
    /// What is needed to write an identity for it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.key)?;
        if let Some(name) = &self.common_name {
            write!(f, ", CN={}", name.escape_debug())?;
        }
        Ok(())
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.holder {
            Some(holder) => write!(f, "certificate {}", holder.name),
            None => write!(f, "certificate {}", self.subject.key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject() -> Subject {
        Subject {
            key: KeyFingerprint([1; 32]),
            common_name: Some("ci".to_owned()),
            names: vec![
                AlternativeName::Dns("ci.example.org".to_owned()),
                AlternativeName::Email("ci@example.org".to_owned()),
            ],
            ends: SystemTime::UNIX_EPOCH,
        }
    }

    fn holder(fingerprint: Option<u8>, common_name: Option<&str>, san: Option<&str>) -> Holder {
        Holder {
            name: "ci".parse().unwrap(),
            fingerprint: fingerprint.map(|byte| KeyFingerprint([byte; 32])),
            common_name: common_name.map(str::to_owned),
            san: san.map(|san| san.parse().unwrap()),
            access: Access::Read,
            scope: Scope::All,
        }
    }

    #[test]
    fn everything_that_is_said_of_somebody_must_be_so() {
        for (fingerprint, common_name, san, is) in [
            (Some(1), None, None, true),
            (Some(2), None, None, false),
            (None, Some("ci"), None, true),
            (None, Some("CI"), None, false),
            (None, Some("ci "), None, false),
            (None, None, Some("DNS:ci.example.org"), true),
            (None, None, Some("DNS:CI.example.org"), true),
            (None, None, Some("DNS:example.org"), false),
            (None, None, Some("email:ci@example.org"), true),
            (None, None, Some("URI:ci.example.org"), false),
            (None, None, Some("IP:::1"), false),
            (Some(1), Some("ci"), Some("DNS:ci.example.org"), true),
            (Some(2), Some("ci"), Some("DNS:ci.example.org"), false),
            (Some(1), Some("anna"), Some("DNS:ci.example.org"), false),
            (Some(1), Some("ci"), Some("DNS:anna.example.org"), false),
            // Nothing was said.
            (None, None, None, false),
        ] {
            let holder = holder(fingerprint, common_name, san);
            assert_eq!(holder.is(&subject()), is, "{holder:?}");
        }
        let nameless = Subject {
            common_name: None,
            ..subject()
        };
        assert!(!holder(None, Some("ci"), None).is(&nameless));
    }

    #[test]
    fn the_first_whom_it_fits_is_meant() {
        let mut by_name = holder(None, Some("ci"), None);
        by_name.name = "second".parse().unwrap();
        let by_key = holder(Some(1), None, None);
        let name = |holders: [&Holder; 2]| {
            let holders = Holders::new(holders.into_iter().cloned());
            holders.of(&subject()).unwrap().name.to_string()
        };
        assert_eq!(name([&by_key, &by_name]), "ci");
        assert_eq!(name([&by_name, &by_key]), "second");
        assert_eq!(Holders::default().of(&subject()), None);
    }

    #[test]
    fn an_alternative_name_is_read_as_it_is_written() {
        for text in [
            "DNS:ci.example.org",
            "email:ci@example.org",
            "URI:urn:uuid:1",
            "IP:192.0.2.7",
            "IP:2001:db8::7",
        ] {
            let name: AlternativeName = text.parse().unwrap();
            assert_eq!(name.to_string(), text);
        }
        for wrong in ["", "ci", "DNS:", "DNS:a b", "IP:ci", "dns:ci", "CN:ci"] {
            assert!(wrong.parse::<AlternativeName>().is_err(), "{wrong}");
        }
    }
}
