//! A port, wherever it is: at a uartnet gateway, or behind one that is not. Whoever follows a port follows a link and need
//! not know which it is.

use std::fmt;
use std::str::FromStr;

use uart_iface::PortName;
use uartnet_proto::message::Request;

use crate::{ClientError, Followed, Follower, Foreign, ForeignAddress, Scheme};

/// Which port is meant, as a person writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A port of the gateway.
    Port(PortName),
    /// A port behind a gateway that is not uartnet's: `rfc2217://HOST:PORT`, `tcp://HOST:PORT`.
    Foreign(ForeignAddress),
}

/// A text that names no port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It cannot be a port's name.
    #[error(transparent)]
    Port(#[from] uart_iface::NameError),
    /// It cannot be the address of a port behind a gateway that is not uartnet's.
    #[error(transparent)]
    Foreign(#[from] crate::ForeignAddressError),
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Target, TargetError> {
        if text.contains("://") {
            Ok(Target::Foreign(text.parse()?))
        } else {
            Ok(Target::Port(text.parse()?))
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Port(name) => name.fmt(f),
            Target::Foreign(address) => address.fmt(f),
        }
    }
}

/// A port that is followed across lost connections.
#[derive(Debug)]
pub enum Link {
    /// At a uartnet gateway.
    Gateway(Box<Follower>),
    /// Behind a gateway that is not uartnet's.
    Foreign(Box<Foreign>),
}

impl Link {
    /// What the port is called in requests and in messages to people.
    pub fn name(&self) -> &str {
        match self {
            Link::Gateway(follower) => follower.port().as_str(),
            Link::Foreign(foreign) => foreign.name(),
        }
    }

    /// Whether line settings, signals and breaks can be asked for at all.
    pub fn carries_settings(&self) -> bool {
        match self {
            Link::Gateway(_) => true,
            Link::Foreign(foreign) => foreign.address().scheme() != Scheme::Tcp,
        }
    }

    /// What the gateway cannot do, as a sentence; `None` at a uartnet gateway.
    pub fn limits(&self) -> Option<&'static str> {
        match self {
            Link::Gateway(_) => None,
            Link::Foreign(foreign) => Some(foreign.address().limits()),
        }
    }

    /// As [`Follower::write_room`].
    pub fn write_room(&self) -> usize {
        match self {
            Link::Gateway(follower) => follower.write_room(),
            Link::Foreign(foreign) => foreign.write_room(),
        }
    }

    /// As [`Follower::unwritten`].
    pub fn unwritten(&self) -> usize {
        match self {
            Link::Gateway(follower) => follower.unwritten(),
            Link::Foreign(foreign) => foreign.unwritten(),
        }
    }

    /// As [`Follower::write`].
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        match self {
            Link::Gateway(follower) => follower.write(bytes),
            Link::Foreign(foreign) => foreign.write(bytes),
        }
    }

    /// As [`Follower::request`].
    pub fn request(&mut self, request: Request) -> Option<u64> {
        match self {
            Link::Gateway(follower) => follower.request(request),
            Link::Foreign(foreign) => foreign.request(&request),
        }
    }

    /// As [`Follower::request_in_order`].
    pub fn request_in_order(&mut self, request: Request) -> Option<u64> {
        match self {
            Link::Gateway(follower) => follower.request_in_order(request),
            Link::Foreign(foreign) => foreign.request_in_order(&request),
        }
    }

    /// As [`Follower::discard_unsent`].
    pub fn discard_unsent(&mut self) -> usize {
        match self {
            Link::Gateway(follower) => follower.discard_unsent(),
            Link::Foreign(foreign) => foreign.discard_unsent(),
        }
    }

    /// As [`Follower::next`].
    ///
    /// # Errors
    /// As [`Follower::next`].
    pub async fn next(&mut self) -> Result<Followed, ClientError> {
        match self {
            Link::Gateway(follower) => follower.next().await,
            Link::Foreign(foreign) => foreign.next().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_name_or_an_address() {
        assert!(matches!("board0".parse(), Ok(Target::Port(_))));
        assert!(matches!("tcp://h:1".parse(), Ok(Target::Foreign(_))));
        assert!(matches!(
            "tcp://h".parse::<Target>(),
            Err(TargetError::Foreign(_))
        ));
        assert!(matches!("h:1".parse::<Target>(), Err(TargetError::Port(_))));
    }
}
