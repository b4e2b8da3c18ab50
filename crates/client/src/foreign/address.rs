//! Where a gateway is that is not uartnet's: `rfc2217://HOST:PORT` or `tcp://HOST:PORT`, with `tls+` in front where that is spoken
//! over TLS.

use std::fmt;
use std::str::FromStr;

use crate::address::host_and_port;
use crate::{Address, TlsOptions};

/// What such a gateway speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `rfc2217`: telnet with the COM-PORT-OPTION. Bytes, line settings, signals, breaks.
    Rfc2217,
    /// `tcp`: bytes, nothing else.
    Tcp,
}

/// Where a gateway is that is not uartnet's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignAddress {
    scheme: Scheme,
    address: Address,
}

/// A gateway that is not uartnet's, as a client comes to it.
#[derive(Debug, Clone)]
pub struct ForeignGateway {
    /// Where it is.
    pub address: ForeignAddress,
    /// Where it is reached by TLS: whom to take for it, and who this side is.
    pub tls: TlsOptions,
}

impl From<ForeignAddress> for ForeignGateway {
    /// Come as nobody, to nobody who is known: over TLS, nothing comes about.
    fn from(address: ForeignAddress) -> ForeignGateway {
        ForeignGateway {
            address,
            tls: TlsOptions::default(),
        }
    }
}

/// A text that is not such an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not the address of a serial port: {problem}; write {}", examples(.text))]
pub struct ForeignAddressError {
    /// The text as it was given.
    pub text: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl ForeignAddress {
    /// What it speaks.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Where it listens: [`Address::Tcp`] or [`Address::Tls`].
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// How such an address begins, with this scheme.
    pub(super) fn beginning(&self, scheme: Scheme) -> String {
        let tls = if matches!(self.address, Address::Tls { .. }) {
            "tls+"
        } else {
            ""
        };
        let scheme = match scheme {
            Scheme::Rfc2217 => "rfc2217",
            Scheme::Tcp => "tcp",
        };
        format!("{tls}{scheme}://")
    }

    /// What a gateway of this kind cannot do, as a sentence.
    pub fn limits(&self) -> &'static str {
        match self.scheme {
            Scheme::Rfc2217 => {
                "an RFC 2217 server keeps no history and does not say what was written: what a lost connection costs is not known"
            }
            Scheme::Tcp => {
                "tcp:// carries bytes only: no line settings, signals or break, and what a lost connection costs is not known"
            }
        }
    }
}

impl FromStr for ForeignAddress {
    type Err = ForeignAddressError;

    fn from_str(text: &str) -> Result<ForeignAddress, ForeignAddressError> {
        let refuse = |problem| ForeignAddressError {
            text: text.to_owned(),
            problem,
        };
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| refuse("it has no \"://\""))?;
        let (tls, scheme) = match scheme.strip_prefix("tls+") {
            Some(scheme) => (true, scheme),
            None => (false, scheme),
        };
        let scheme = match scheme {
            "rfc2217" => Scheme::Rfc2217,
            "tcp" => Scheme::Tcp,
            "tls" | "ssl" => return Err(refuse("what is spoken over TLS is missing")),
            "telnet" => return Err(refuse("telnet with settings and signals is RFC 2217")),
            "socket" | "raw" => return Err(refuse("bytes over TCP are called tcp")),
            _ => return Err(refuse("nothing of that kind is known")),
        };
        if rest.contains('?') {
            return Err(refuse("there are no options behind a \"?\""));
        }
        let (host, port) = host_and_port(rest).map_err(refuse)?;
        let port = port.ok_or_else(|| refuse("the port is missing"))?;
        let host = host.to_owned();
        Ok(ForeignAddress {
            scheme,
            address: match tls {
                true => Address::Tls { host, port },
                false => Address::Tcp { host, port },
            },
        })
    }
}

impl fmt::Display for ForeignAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address.to_string();
        let address = address.strip_prefix("tls://").unwrap_or(&address);
        write!(f, "{}{address}", self.beginning(self.scheme))
    }
}

/// What would be right: of the kind that was meant, as far as one was.
fn examples(text: &str) -> &'static str {
    match text.split_once("://").map(|(scheme, _)| scheme) {
        Some("tls+rfc2217" | "tls+telnet") => "tls+rfc2217://HOST:PORT",
        Some("tls+tcp" | "tls+raw" | "tls+socket") => "tls+tcp://HOST:PORT",
        Some("tls" | "ssl") => "tls+rfc2217://HOST:PORT or tls+tcp://HOST:PORT",
        Some("rfc2217" | "telnet") => "rfc2217://HOST:PORT",
        Some("tcp" | "socket" | "raw") => "tcp://HOST:PORT",
        _ => "rfc2217://HOST:PORT (settings and signals too) or tcp://HOST:PORT (bytes only)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_are_understood_and_printed_as_written() {
        for (text, scheme) in [
            ("rfc2217://moxa:4001", Scheme::Rfc2217),
            ("rfc2217://[::1]:2217", Scheme::Rfc2217),
            ("tcp://10.0.0.7:23", Scheme::Tcp),
            ("tls+rfc2217://moxa:4001", Scheme::Rfc2217),
            ("tls+tcp://[::1]:23", Scheme::Tcp),
        ] {
            let address: ForeignAddress = text.parse().unwrap();
            assert_eq!(
                (address.scheme(), address.to_string()),
                (scheme, text.to_owned())
            );
            let is_tls = matches!(address.address(), Address::Tls { .. });
            assert_eq!(is_tls, text.starts_with("tls+"));
        }
    }

    #[test]
    fn everything_else_is_refused_with_what_would_be_right() {
        for (text, problem, right) in [
            (
                "rfc2217://moxa",
                "the port is missing",
                "write rfc2217://HOST:PORT",
            ),
            (
                "rfc2217://moxa:4001?ign_set_control",
                "no options",
                "write rfc2217://HOST:PORT",
            ),
            (
                "rfc2217://:4001",
                "host is missing",
                "write rfc2217://HOST:PORT",
            ),
            ("tcp://moxa:0", "from 1 to 65535", "write tcp://HOST:PORT"),
            ("tcp://moxa:23/", "from 1 to 65535", "write tcp://HOST:PORT"),
            ("tcp://a/b:23", "no slashes", "write tcp://HOST:PORT"),
            (
                "telnet://moxa:23",
                "is RFC 2217",
                "write rfc2217://HOST:PORT",
            ),
            ("socket://moxa:23", "called tcp", "write tcp://HOST:PORT"),
            (
                "tls://moxa:23",
                "over TLS is missing",
                "write tls+rfc2217://",
            ),
            ("tls+tcp://moxa", "port is missing", "write tls+tcp://HOST"),
            ("tls+telnet://moxa:23", "RFC 2217", "write tls+rfc2217://"),
            ("tls+tls+tcp://moxa:23", "nothing of that kind", "tcp://"),
            ("http://moxa:23", "nothing of that kind", "(bytes only)"),
        ] {
            let error = text.parse::<ForeignAddress>().unwrap_err().to_string();
            assert!(error.contains(problem) && error.contains(right), "{error}");
        }
    }
}
