//! Where a gateway is that is not uartnet's: `rfc2217://HOST:PORT` or `tcp://HOST:PORT`.

use std::fmt;
use std::str::FromStr;

use crate::Address;
use crate::address::host_and_port;

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

    /// Where it listens.
    pub(crate) fn address(&self) -> &Address {
        &self.address
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
        let scheme = match scheme {
            "rfc2217" => Scheme::Rfc2217,
            "tcp" => Scheme::Tcp,
            "telnet" => return Err(refuse("telnet with settings and signals is RFC 2217")),
            "socket" | "raw" => return Err(refuse("bytes over TCP are called tcp")),
            _ => return Err(refuse("nothing of that kind is known")),
        };
        if rest.contains('?') {
            return Err(refuse("there are no options behind a \"?\""));
        }
        let (host, port) = host_and_port(rest).map_err(refuse)?;
        let port = port.ok_or_else(|| refuse("the port is missing"))?;
        Ok(ForeignAddress {
            scheme,
            address: Address::Tcp {
                host: host.to_owned(),
                port,
            },
        })
    }
}

impl fmt::Display for ForeignAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Rfc2217 => "rfc2217",
            Scheme::Tcp => "tcp",
        };
        write!(f, "{scheme}://{}", self.address)
    }
}

/// What would be right: of the kind that was meant, as far as one was.
fn examples(text: &str) -> &'static str {
    match text.split_once("://").map(|(scheme, _)| scheme) {
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
        ] {
            let address: ForeignAddress = text.parse().unwrap();
            assert_eq!(
                (address.scheme(), address.to_string()),
                (scheme, text.to_owned())
            );
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
            ("http://moxa:23", "nothing of that kind", "(bytes only)"),
        ] {
            let error = text.parse::<ForeignAddress>().unwrap_err().to_string();
            assert!(error.contains(problem) && error.contains(right), "{error}");
        }
    }
}
