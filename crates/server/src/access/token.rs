//! Tokens: how a secret looks, what is kept of it, and whether one that is presented is in force. Not the file they are
//! kept in.

use std::fmt;
use std::rc::Rc;
use std::time::SystemTime;

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use ring::rand::{SecureRandom, SystemRandom};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use uart_iface::PortName;
use uartnet_hub::Access;

use super::identity::{Credential, Grant, Identity, Scope};

/// What every secret begins with, so that people and scanners know one when they see it.
const PREFIX: &str = "uart_";
/// How many bytes of it are random.
const RANDOM: usize = 32;

/// A token's secret. It is shown once, to whoever made it, and never printed by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// What is kept of a secret. It is random enough that a slow hash would add nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; SHA256_OUTPUT_LEN]);

/// A token, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its name: in logs, in the audit log, and to other clients. Each has its own.
    pub name: PortName,
    /// Of its secret.
    pub fingerprint: Fingerprint,
    /// What it allows.
    pub access: Access,
    /// On which ports.
    pub scope: Scope,
    /// When it was made.
    pub created: SystemTime,
    /// When it ends; `None`: it does not.
    pub expires: Option<SystemTime>,
    /// When it was revoked.
    pub revoked: Option<SystemTime>,
}

/// Every token of a gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tokens {
    list: Vec<Rc<Token>>,
}

/// Why a token is not accepted. For the log only: who presents one is told the same for all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotInForce {
    /// No token has this secret.
    Unknown,
    /// It has expired.
    Expired(PortName),
    /// It was revoked.
    Revoked(PortName),
    /// Its entry in the file is not what it was.
    Changed(PortName),
    /// The file of tokens cannot be used, so nobody knows.
    Unusable,
}

impl Secret {
    /// A new one.
    ///
    /// # Errors
    /// The operating system has no random bytes.
    pub fn generate() -> Result<Secret, ring::error::Unspecified> {
        let mut bytes = [0; RANDOM];
        SystemRandom::new().fill(&mut bytes)?;
        Ok(Secret(format!("{PREFIX}{}", hex(&bytes))))
    }

    /// The secret itself, to be shown to whoever made it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.0)
    }
}

impl Fingerprint {
    fn of(secret: &str) -> Fingerprint {
        let mut bytes = [0; SHA256_OUTPUT_LEN];
        bytes.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
        Fingerprint(bytes)
    }

    /// From 64 hex digits.
    pub fn parse(text: &str) -> Option<Fingerprint> {
        let mut bytes = [0; SHA256_OUTPUT_LEN];
        if text.len() != 2 * bytes.len() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
        }
        Some(Fingerprint(bytes))
    }
}

impl Token {
    /// Whether it is in force.
    ///
    /// # Errors
    /// Why it is not.
    pub fn check(&self, now: SystemTime) -> Result<(), NotInForce> {
        if self.revoked.is_some() {
            Err(NotInForce::Revoked(self.name.clone()))
        } else if self.expires.is_some_and(|expires| expires <= now) {
            Err(NotInForce::Expired(self.name.clone()))
        } else {
            Ok(())
        }
    }

    /// Whoever presents it.
    pub fn identity(self: &Rc<Self>) -> Identity {
        Identity {
            credential: Credential::Token(self.clone()),
            grant: Grant::Ports {
                access: self.access,
                scope: self.scope.clone(),
            },
        }
    }
}

impl Tokens {
    /// These, whose names differ.
    pub fn new(list: impl IntoIterator<Item = Token>) -> Tokens {
        Tokens {
            list: list.into_iter().map(Rc::new).collect(),
        }
    }

    /// All of them.
    pub fn list(&self) -> &[Rc<Token>] {
        &self.list
    }

    /// The one of this name.
    pub fn named(&self, name: &str) -> Option<&Rc<Token>> {
        self.list.iter().find(|token| token.name.as_str() == name)
    }

    /// The token that this secret is of, if it is in force. Takes as long whatever comes out: every token is compared.
    ///
    /// # Errors
    /// Why not; to be told to nobody but the log.
    pub fn check(&self, secret: &str, now: SystemTime) -> Result<Rc<Token>, NotInForce> {
        let presented = Fingerprint::of(secret);
        let mut found = u32::MAX;
        for (index, token) in (0..).zip(&self.list) {
            let same: Choice = presented.0.ct_eq(&token.fingerprint.0);
            found = u32::conditional_select(&found, &index, same);
        }
        let token = self.list.get(found as usize).ok_or(NotInForce::Unknown)?;
        token.check(now)?;
        Ok(token.clone())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(…)")
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Display for NotInForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotInForce::Unknown => f.write_str("no token has this secret"),
            NotInForce::Expired(name) => write!(f, "token {name} has expired"),
            NotInForce::Revoked(name) => write!(f, "token {name} was revoked"),
            NotInForce::Changed(name) => write!(f, "token {name} was changed"),
            NotInForce::Unusable => f.write_str("the file of tokens cannot be used"),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn token(name: &str, secret: &Secret) -> Token {
        Token {
            name: name.parse().unwrap(),
            fingerprint: secret.fingerprint(),
            access: Access::Read,
            scope: Scope::All,
            created: SystemTime::UNIX_EPOCH,
            expires: None,
            revoked: None,
        }
    }

    #[test]
    fn a_secret_is_256_random_bits_behind_a_prefix_and_does_not_print_itself() {
        let (one, other) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        assert_ne!(one, other);
        let digits = one.reveal().strip_prefix("uart_").unwrap();
        assert_eq!(digits.len(), 64);
        assert!(digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let shown = format!("{one:?} {:?}", token("a", &one));
        assert!(!shown.contains(digits) && !shown.contains(&one.fingerprint().to_string()));
    }

    #[test]
    fn what_is_kept_is_the_sha_256_of_the_secret() {
        // FIPS 180-2, B.1
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Fingerprint::of("abc").to_string(), abc);
        assert_eq!(Fingerprint::parse(abc), Some(Fingerprint::of("abc")));
        for wrong in ["", "ba", &abc.replace('b', "g"), &format!("{abc}00"), "é"] {
            assert_eq!(Fingerprint::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_a_token_in_force_is_accepted() {
        let secrets: Vec<Secret> = (0..4).map(|_| Secret::generate().unwrap()).collect();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let tokens = Tokens::new([
            token("good", &secrets[0]),
            Token {
                expires: Some(now),
                ..token("old", &secrets[1])
            },
            Token {
                revoked: Some(now),
                ..token("gone", &secrets[2])
            },
        ]);
        let check = |secret: &str, now| tokens.check(secret, now).map(|it| it.name.to_string());
        assert_eq!(check(secrets[0].reveal(), now), Ok("good".to_owned()));
        let before = now - Duration::from_nanos(1);
        assert_eq!(check(secrets[1].reveal(), before), Ok("old".to_owned()));
        let name = |name: &str| name.parse().unwrap();
        for (secret, why) in [
            (secrets[1].reveal(), NotInForce::Expired(name("old"))),
            (secrets[2].reveal(), NotInForce::Revoked(name("gone"))),
            (secrets[3].reveal(), NotInForce::Unknown),
            ("", NotInForce::Unknown),
            (&secrets[0].reveal()[1..], NotInForce::Unknown),
            (&secrets[0].fingerprint().to_string(), NotInForce::Unknown),
        ] {
            assert_eq!(check(secret, now), Err(why));
        }
        assert_eq!(
            Tokens::default().check(secrets[0].reveal(), now),
            Err(NotInForce::Unknown)
        );
    }
}
