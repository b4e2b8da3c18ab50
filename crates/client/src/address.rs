//! Where a gateway is, as a person writes it: `host:port`, `host`, `[::1]:8000`, `tls://host:port` or `unix:PATH`.
//! Not how it is reached; that is [`crate::Connection`].

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The port of an address that names none.
pub const DEFAULT_PORT: u16 = 8000;

/// Where a gateway is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A TCP port of a host, which is a name or an IP address (without brackets).
    Tcp {
        /// The host.
        host: String,
        /// The port, 1 to 65535.
        port: u16,
    },
    /// TLS over a TCP port of a host, as [`Address::Tcp`].
    Tls {
        /// The host.
        host: String,
        /// The port, 1 to 65535.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

/// A text that is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{text}\" is not the address of a gateway: {problem}; write HOST:PORT, tls://HOST:PORT or unix:PATH"
)]
pub struct AddressError {
    /// The text as it was given.
    pub text: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        let refuse = |problem| AddressError {
            text: text.to_owned(),
            problem,
        };
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() {
                return Err(refuse("a path must follow \"unix:\""));
            }
            return Ok(Address::Unix(PathBuf::from(path)));
        }
        let tls = text.strip_prefix("tls://");
        let (host, port) = host_and_port(tls.unwrap_or(text)).map_err(refuse)?;
        let (host, port) = (host.to_owned(), port.unwrap_or(DEFAULT_PORT));
        Ok(match tls {
            Some(_) => Address::Tls { host, port },
            None => Address::Tcp { host, port },
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { host, port } => write_host(f, host, *port),
            Address::Tls { host, port } => {
                f.write_str("tls://")?;
                write_host(f, host, *port)
            }
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

fn write_host(f: &mut fmt::Formatter<'_>, host: &str, port: u16) -> fmt::Result {
    match host.contains(':') {
        true => write!(f, "[{host}]:{port}"),
        false => write!(f, "{host}:{port}"),
    }
}

/// The host, without brackets, and the port where one is written; or what is wrong with the text.
pub(crate) fn host_and_port(text: &str) -> Result<(&str, Option<u16>), &'static str> {
    let (host, port) = split_host(text)?;
    if host.is_empty() {
        return Err("the host is missing");
    }
    if host
        .chars()
        .any(|c| c.is_whitespace() || c.is_control() || c == '/')
    {
        return Err("a host has no spaces and no slashes");
    }
    let number = |port: &str| match port.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err("the port must be a number from 1 to 65535"),
    };
    Ok((host, port.map(number).transpose()?))
}

/// The host, and the port where one is written. An IPv6 address without brackets is a host alone.
fn split_host(text: &str) -> Result<(&str, Option<&str>), &'static str> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("the \"[\" is never closed")?;
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err("only \":PORT\" may follow the \"]\""),
        };
    }
    Ok(match text.split_once(':') {
        Some((_, port)) if port.contains(':') => (text, None),
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_understood_and_printed_whole() {
        for (text, printed) in [
            ("127.0.0.1:8000", "127.0.0.1:8000"),
            ("bench1", "bench1:8000"),
            ("bench1:23", "bench1:23"),
            ("[::1]:9", "[::1]:9"),
            ("[::1]", "[::1]:8000"),
            ("::1", "[::1]:8000"),
            ("tls://bench1", "tls://bench1:8000"),
            ("tls://[::1]:8443", "tls://[::1]:8443"),
            ("unix:/run/uartd.sock", "unix:/run/uartd.sock"),
            ("unix:relative", "unix:relative"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), printed);
            assert_eq!(printed.parse::<Address>().unwrap(), address);
        }
    }

    #[test]
    fn everything_else_is_refused_with_the_text_and_the_reason() {
        for (text, reason) in [
            ("", "host is missing"),
            (":8000", "host is missing"),
            ("host:", "number from 1"),
            ("host:0", "number from 1"),
            ("host:65536", "number from 1"),
            ("host:-1", "number from 1"),
            ("host:80a", "number from 1"),
            ("[::1", "never closed"),
            ("[::1]8000", "may follow"),
            ("http://host", "number from 1"),
            ("a b:1", "no spaces"),
            ("a/b:1", "no slashes"),
            ("tls://", "host is missing"),
            ("tls:bench1", "number from 1"),
            ("unix:", "path must follow"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(
                error.contains(reason) && error.contains(&format!("\"{text}\"")),
                "{error}"
            );
        }
    }
}
