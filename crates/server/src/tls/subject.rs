//! What a certificate says of whoever shows it, read from its DER (X.690, RFC 5280 section 4.1). Pure. Nothing is verified
//! here: whoever asks has seen to that, so a certificate that makes no sense is refused, and never guessed at.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;

use super::fingerprint_of;
use crate::access::{AlternativeName, Subject};

/// It is no certificate as RFC 5280 has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the certificate makes no sense")]
pub struct NoSubject;

type Read<T> = Result<T, NoSubject>;

// Tags: universal ones, and those that a certificate gives its own parts.
const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const ISSUER_ID: u8 = 0x81;
const SUBJECT_ID: u8 = 0x82;
const EXTENSIONS: u8 = 0xa3;
// Of a GeneralName.
const EMAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const URI: u8 = 0x86;
const IP: u8 = 0x87;

/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// 2.5.29.17
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// Reads what a certificate says of whoever shows it.
///
/// # Errors
/// It makes no sense.
pub fn read_subject(certificate: &CertificateDer<'_>) -> Result<Subject, NoSubject> {
    let key = ParsedCertificate::try_from(certificate).map_err(|_| NoSubject)?;
    let key = fingerprint_of(&key.subject_public_key_info());
    let mut whole = Der(certificate);
    let mut fields = Der(whole.expect(SEQUENCE)?);
    let mut fields = Der(fields.expect(SEQUENCE)?);
    fields.accept(VERSION)?;
    fields.expect(INTEGER)?; // its serial number
    fields.expect(SEQUENCE)?; // how it is signed
    fields.expect(SEQUENCE)?; // by whom
    let ends = ends(fields.expect(SEQUENCE)?)?;
    let common_name = common_name(fields.expect(SEQUENCE)?)?;
    fields.expect(SEQUENCE)?; // its key
    fields.accept(ISSUER_ID)?;
    fields.accept(SUBJECT_ID)?;
    let names = match fields.accept(EXTENSIONS)? {
        Some(extensions) => alternative_names(extensions)?,
        None => Vec::new(),
    };
    Ok(Subject {
        key,
        common_name,
        names,
        ends,
    })
}

/// Two times: from when, and up to and with when.
fn ends(validity: &[u8]) -> Read<SystemTime> {
    let mut validity = Der(validity);
    validity.any()?;
    let (tag, text) = validity.any()?;
    let text = std::str::from_utf8(text).map_err(|_| NoSubject)?;
    let text = match tag {
        // RFC 5280 section 4.1.2.5.1: what is 50 and more was in the last century.
        UTC_TIME if text < "50" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return Err(NoSubject),
    };
    if text.len() != 15 || !text.is_ascii() {
        return Err(NoSubject);
    }
    let (date, time) = text.split_at(8);
    let (year, day) = date.split_at(4);
    let day = format!("{year}-{}-{}", &day[..2], &day[2..]);
    let time = format!("{}:{}:{}", &time[..2], &time[2..4], &time[4..]);
    let last = humantime::parse_rfc3339(&format!("{day}T{time}")).map_err(|_| NoSubject)?;
    last.checked_add(Duration::from_secs(1)).ok_or(NoSubject)
}

/// `None` too if there are several: which is meant would be a guess.
fn common_name(subject: &[u8]) -> Read<Option<String>> {
    let mut subject = Der(subject);
    let mut found = Vec::new();
    while !subject.is_empty() {
        let mut set = Der(subject.expect(SET)?);
        while !set.is_empty() {
            let mut attribute = Der(set.expect(SEQUENCE)?);
            let kind = attribute.expect(OID)?;
            let (tag, value) = attribute.any()?;
            if kind == COMMON_NAME {
                found.push((tag, value));
            }
        }
    }
    let [(UTF8_STRING | PRINTABLE_STRING | IA5_STRING, name)] = found[..] else {
        return Ok(None);
    };
    Ok(String::from_utf8(name.to_vec()).ok())
}

fn alternative_names(extensions: &[u8]) -> Read<Vec<AlternativeName>> {
    let mut extensions = Der(Der(extensions).expect(SEQUENCE)?);
    let mut names = Vec::new();
    while !extensions.is_empty() {
        let mut extension = Der(extensions.expect(SEQUENCE)?);
        let kind = extension.expect(OID)?;
        extension.accept(BOOLEAN)?; // whether it is critical
        let value = extension.expect(OCTET_STRING)?;
        if kind == SUBJECT_ALT_NAME {
            let mut list = Der(Der(value).expect(SEQUENCE)?);
            while !list.is_empty() {
                let (tag, name) = list.any()?;
                names.extend(alternative_name(tag, name));
            }
        }
    }
    Ok(names)
}

/// `None`: it is of another kind.
fn alternative_name(tag: u8, name: &[u8]) -> Option<AlternativeName> {
    let text = || Some(std::str::from_utf8(name).ok()?.to_owned());
    Some(match tag {
        EMAIL => AlternativeName::Email(text()?),
        DNS => AlternativeName::Dns(text()?.to_ascii_lowercase()),
        URI => AlternativeName::Uri(text()?),
        IP => AlternativeName::Ip(match name.len() {
            4 => IpAddr::from(<[u8; 4]>::try_from(name).ok()?),
            _ => IpAddr::from(<[u8; 16]>::try_from(name).ok()?),
        }),
        _ => return None,
    })
}

/// Values one after the other, each with its tag and its length.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next value, whatever it is: its tag and what is in it.
    fn any(&mut self) -> Read<(u8, &'a [u8])> {
        let [tag, first, rest @ ..] = self.0 else {
            return Err(NoSubject);
        };
        // From 0x80 on the length stands in as many bytes as the lower bits say.
        let (length, rest) = match usize::from(*first) {
            short @ ..=0x7f => (short, rest),
            long @ 0x81..=0x84 if rest.len() >= long - 0x80 => {
                let (length, rest) = rest.split_at(long - 0x80);
                let length = length.iter();
                let length = length.fold(0_u64, |length, byte| (length << 8) | u64::from(*byte));
                (usize::try_from(length).map_err(|_| NoSubject)?, rest)
            }
            _ => return Err(NoSubject),
        };
        let (value, rest) = rest.split_at_checked(length).ok_or(NoSubject)?;
        self.0 = rest;
        Ok((*tag, value))
    }

    /// What is in the next value, which must have this tag.
    fn expect(&mut self, tag: u8) -> Read<&'a [u8]> {
        let (found, value) = self.any()?;
        if found == tag {
            Ok(value)
        } else {
            Err(NoSubject)
        }
    }

    /// What is in the next value, if it has this tag.
    fn accept(&mut self, tag: u8) -> Read<Option<&'a [u8]>> {
        if self.0.first() == Some(&tag) {
            return self.expect(tag).map(Some);
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair, PublicKeyData, SanType};

    use super::*;

    /// A certificate with these names, that ends on the first of this year.
    fn certificate(
        common_names: &[&str],
        names: Vec<SanType>,
        year: i32,
    ) -> (CertificateDer<'static>, KeyPair) {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "bench");
        for name in common_names {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        params.subject_alt_names = names;
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().der().clone(), key)
    }

    #[test]
    fn what_a_certificate_says_is_read() {
        let names = vec![
            SanType::DnsName("CI.example.org".try_into().unwrap()),
            SanType::Rfc822Name("ci@example.org".try_into().unwrap()),
            SanType::URI("urn:ci".try_into().unwrap()),
            SanType::IpAddress("192.0.2.7".parse().unwrap()),
            SanType::IpAddress("2001:db8::7".parse().unwrap()),
        ];
        // RFC 5280 writes times from 2050 on in another way.
        for (year, ends) in [
            (2049, "2049-01-01T00:00:01Z"),
            (2050, "2050-01-01T00:00:01Z"),
        ] {
            let (certificate, key) = certificate(&["Anna Ö"], names.clone(), year);
            let subject = read_subject(&certificate).unwrap();
            let said: Vec<String> = subject.names.iter().map(ToString::to_string).collect();
            assert_eq!(
                said,
                [
                    "DNS:ci.example.org",
                    "email:ci@example.org",
                    "URI:urn:ci",
                    "IP:192.0.2.7",
                    "IP:2001:db8::7"
                ]
            );
            assert_eq!(subject.common_name.as_deref(), Some("Anna Ö"));
            assert_eq!(humantime::format_rfc3339(subject.ends).to_string(), ends);
            assert_eq!(subject.key, fingerprint_of(&key.subject_public_key_info()));
        }
        let (nameless, _) = certificate(&[], Vec::new(), 2030);
        let subject = read_subject(&nameless).unwrap();
        assert_eq!((subject.common_name, subject.names), (None, Vec::new()));
    }

    #[test]
    fn of_several_common_names_none_is_meant() {
        let attribute = |name: &str| {
            let value = [&[UTF8_STRING, name.len() as u8], name.as_bytes()].concat();
            let pair = [&[OID, 3], COMMON_NAME, &value].concat();
            let pair = [&[SEQUENCE, pair.len() as u8], &pair[..]].concat();
            [&[SET, pair.len() as u8], &pair[..]].concat()
        };
        assert_eq!(common_name(&attribute("ci")), Ok(Some("ci".to_owned())));
        let two = [attribute("ci"), attribute("anna")].concat();
        assert_eq!(common_name(&two), Ok(None));
        let mut other_letters = attribute("ci");
        let at = other_letters.len() - 4;
        other_letters[at] = 0x1e; // a BMPString
        assert_eq!(common_name(&other_letters), Ok(None));
    }

    #[test]
    fn a_time_is_a_date_or_nothing() {
        let times = |tag: u8, text: &str| {
            let time = [&[tag, text.len() as u8], text.as_bytes()].concat();
            ends(&[&time[..], &time].concat())
        };
        let said = |time: Read<SystemTime>| humantime::format_rfc3339(time.unwrap()).to_string();
        for (tag, text, ends) in [
            (UTC_TIME, "981231235959Z", "1999-01-01T00:00:00Z"),
            (UTC_TIME, "491231235959Z", "2050-01-01T00:00:00Z"),
            (GENERALIZED_TIME, "19981231235959Z", "1999-01-01T00:00:00Z"),
        ] {
            assert_eq!(said(times(tag, text)), ends);
        }
        for (tag, text) in [
            (UTC_TIME, "981231235959"),
            (UTC_TIME, "981331235959Z"),
            (UTC_TIME, "9812312359Z"),
            (UTC_TIME, "9812312359ÖZ"),
            (UTC_TIME, "981231235959+0100"),
            (GENERALIZED_TIME, "1998123123595Ö"),
            (UTF8_STRING, "19981231235959Z"),
        ] {
            assert_eq!(times(tag, text), Err(NoSubject), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_it_is_ends_in_a_value(bytes: Vec<u8>) {
            let _ = common_name(&bytes);
            let _ = alternative_names(&bytes);
            let _ = ends(&bytes);
            prop_assert!(read_subject(&CertificateDer::from(bytes)).is_err());
        }

        #[test]
        fn a_damaged_certificate_is_read_or_refused(at: prop::sample::Index, to: u8) {
            let names = vec![SanType::DnsName("ci".try_into().unwrap())];
            let mut bytes = certificate(&["ci"], names, 2030).0.to_vec();
            let at = at.index(bytes.len());
            bytes[at] = to;
            let _ = read_subject(&CertificateDer::from(bytes));
        }
    }
}
