//! From which addresses a listener takes clients. Pure; what becomes of whoever comes from elsewhere is the admission's to
//! say.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// From which addresses clients may come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Allowed {
    /// From all of them.
    #[default]
    Everywhere,
    /// From those that one of these holds.
    Only(Vec<Prefix>),
}

/// All addresses that begin alike, as in RFC 4632 section 3.1 and RFC 4291 section 2.3: `10.0.0.0/8`, `fd00::/8`. An IPv4
/// address is one in every notation (`::ffff:10.0.0.1` is 10.0.0.1), and no IPv6 prefix holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    /// All bits behind the first `len` are zero.
    network: IpAddr,
    len: u8,
}

/// Why a text is not a prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// What stands before the `/` is no IP address.
    #[error("\"{text}\" is not an address or a range of addresses")]
    Address {
        /// What was written.
        text: String,
    },
    /// What stands behind the `/` is no number of bits of such an address.
    #[error(
        "\"{text}\" is not a range of addresses: behind the / stands a number from 0 to {most}"
    )]
    Length {
        /// What was written.
        text: String,
        /// How many bits such an address has.
        most: u8,
    },
    /// It is an address within the range, and it is not clear which of both is meant.
    #[error("\"{text}\" is not a range of addresses: that range begins with {network}")]
    Bits {
        /// What was written.
        text: String,
        /// The first address of the range.
        network: IpAddr,
    },
}

impl Allowed {
    /// Whether clients may come from there; `None`: it is not known.
    pub fn contains(&self, address: Option<IpAddr>) -> bool {
        match self {
            Allowed::Everywhere => true,
            Allowed::Only(prefixes) => {
                address.is_some_and(|address| prefixes.iter().any(|it| it.contains(address)))
            }
        }
    }
}

impl Prefix {
    /// Whether this address begins so.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.network.is_ipv4() && masked(address, self.len) == self.network
    }
}

/// The address with zeros behind its first `len` bits.
fn masked(address: IpAddr, len: u8) -> IpAddr {
    // To shift by all bits is not defined, and leaves none.
    match address {
        IpAddr::V4(it) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
            IpAddr::V4((it.to_bits() & mask).into())
        }
        IpAddr::V6(it) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
            IpAddr::V6((it.to_bits() & mask).into())
        }
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    /// `10.0.0.0/8`, `fd00::/8`, or one address alone.
    fn from_str(text: &str) -> Result<Prefix, PrefixError> {
        let (written, len) = match text.split_once('/') {
            Some((address, len)) => (address, Some(len)),
            None => (text, None),
        };
        let wrong = || PrefixError::Address {
            text: text.to_owned(),
        };
        let written: IpAddr = written.parse().map_err(|_| wrong())?;
        let most = bits(written);
        let digits = |len: &&str| !len.is_empty() && len.bytes().all(|it| it.is_ascii_digit());
        let len = match len {
            None => most,
            Some(len) => Some(len)
                .filter(digits)
                .and_then(|len| len.parse().ok())
                .filter(|len| *len <= most)
                .ok_or_else(|| PrefixError::Length {
                    text: text.to_owned(),
                    most,
                })?,
        };
        let network = masked(written, len);
        if network != written {
            return Err(PrefixError::Bits {
                text: text.to_owned(),
                network,
            });
        }
        // ::ffff:10.0.0.0/104 is 10.0.0.0/8; a range that holds more than IPv4 addresses is one of IPv6.
        let canonical = network.to_canonical();
        let shorter = bits(network) - bits(canonical);
        Ok(match len.checked_sub(shorter) {
            Some(len) => Prefix {
                network: canonical,
                len,
            },
            None => Prefix { network, len },
        })
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.network.fmt(f)?;
        if self.len < bits(self.network) {
            write!(f, "/{}", self.len)?;
        }
        Ok(())
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Allowed::Everywhere => f.write_str("everywhere"),
            Allowed::Only(prefixes) => {
                let prefixes: Vec<String> = prefixes.iter().map(Prefix::to_string).collect();
                f.write_str(&prefixes.join(" "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_prefix_holds_the_addresses_that_begin_like_it() {
        for (prefix, inside, outside) in [
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::10.1.2.3"),
            ("192.168.4.0/23", "192.168.5.255", "192.168.6.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.7/32", "::ffff:192.0.2.7", "192.0.2.8"),
            ("0.0.0.0/0", "255.1.2.3", "fd00::1"),
            ("fd00::/8", "fdff::1", "fe00::"),
            (
                "2001:db8:0:8000::/49",
                "2001:db8:0:ffff::1",
                "2001:db8:0:7fff::1",
            ),
            ("::1", "::1", "::2"),
            ("::/0", "ffff::1", "10.0.0.1"),
            ("::/0", "::1", "::ffff:10.0.0.1"),
            ("::ffff:10.0.0.0/104", "10.9.9.9", "11.0.0.1"),
        ] {
            let parsed: Prefix = prefix.parse().unwrap();
            assert!(
                parsed.contains(inside.parse().unwrap()),
                "{prefix} {inside}"
            );
            assert!(
                !parsed.contains(outside.parse().unwrap()),
                "{prefix} {outside}"
            );
        }
    }

    #[test]
    fn what_is_no_prefix_is_refused() {
        for (text, why) in [
            ("", "is not an address"),
            ("all", "is not an address"),
            ("10.0.0/8", "is not an address"),
            ("10.0.0.0:80", "is not an address"),
            ("localhost", "is not an address"),
            ("[::1]", "is not an address"),
            ("10.0.0.0/", "0 to 32"),
            ("10.0.0.0/33", "0 to 32"),
            ("10.0.0.0/+8", "0 to 32"),
            ("10.0.0.0/8/8", "0 to 32"),
            ("fd00::/129", "0 to 128"),
            ("fd00::/999", "0 to 128"),
            ("10.0.0.1/8", "begins with 10.0.0.0"),
            ("fd00::1/64", "begins with fd00::"),
        ] {
            let error = text.parse::<Prefix>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn nobody_of_unknown_address_is_in_a_list() {
        assert!(Allowed::Everywhere.contains(None));
        let all = ["0.0.0.0/0", "::/0"].map(|it| it.parse().unwrap());
        let all = Allowed::Only(all.to_vec());
        assert!(!all.contains(None));
        assert!(all.contains(Some("10.0.0.1".parse().unwrap())));
        assert!(all.contains(Some("fd00::1".parse().unwrap())));
    }

    proptest! {
        #[test]
        fn a_prefix_is_what_it_is_shown_as(bits: u128, len in 0..=128u8, four: bool) {
            let (address, len): (IpAddr, u8) = match four {
                true => (IpAddr::V4((bits as u32).into()), len % 33),
                false => (IpAddr::V6(bits.into()), len),
            };
            let text = format!("{}/{len}", masked(address, len));
            let prefix: Prefix = text.parse().unwrap();
            prop_assert!(prefix.contains(address));
            prop_assert_eq!(prefix.to_string().parse::<Prefix>().unwrap(), prefix);
        }
    }
}
