//! Who somebody is, by which credential, and what was granted to them. Not how that is found out.

use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;

use uart_iface::PortName;
use uartnet_hub::Access;

use super::holder::Certificate;
use super::token::Token;

/// Somebody who has connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// How they said who they are.
    pub credential: Credential,
    /// What they may do.
    pub grant: Grant,
}

/// How somebody says who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// Not at all.
    Anonymous,
    /// By this token.
    Token(Rc<Token>),
    /// By this certificate.
    Certificate(Rc<Certificate>),
}

/// What somebody may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// Nothing: not even know which ports there are.
    Nothing,
    /// This much on these ports.
    Ports {
        /// How much.
        access: Access,
        /// On which.
        scope: Scope,
    },
}

/// Some of a gateway's ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every port there is, and will be.
    All,
    /// Those of these names, whether they exist or not.
    Only(BTreeSet<PortName>),
}

impl Identity {
    /// Somebody who did not say who they are, and whom a listener lets do this on every port.
    pub fn anonymous(access: Option<Access>) -> Identity {
        Identity {
            credential: Credential::Anonymous,
            grant: access.map_or(Grant::Nothing, |access| Grant::Ports {
                access,
                scope: Scope::All,
            }),
        }
    }
}

impl Credential {
    /// The name that was given to whoever has it; `None`: none was.
    pub fn name(&self) -> Option<&PortName> {
        match self {
            Credential::Anonymous => None,
            Credential::Token(token) => Some(&token.name),
            Credential::Certificate(certificate) => {
                certificate.holder.as_ref().map(|holder| &holder.name)
            }
        }
    }

    /// The certificate, if it is one.
    pub(super) fn certificate(&self) -> Option<&Rc<Certificate>> {
        match self {
            Credential::Certificate(certificate) => Some(certificate),
            Credential::Anonymous | Credential::Token(_) => None,
        }
    }
}

impl Grant {
    /// The access to this port; `None`: it does not exist for them.
    pub fn on(&self, port: &PortName) -> Option<Access> {
        match self {
            Grant::Nothing => None,
            Grant::Ports { access, scope } => scope.contains(port).then_some(*access),
        }
    }

    /// The access to everything, ports that may yet come included; `None`: some things do not exist for them.
    pub fn everywhere(&self) -> Option<Access> {
        match self {
            Grant::Ports {
                access,
                scope: Scope::All,
            } => Some(*access),
            Grant::Ports { .. } | Grant::Nothing => None,
        }
    }
}

impl Scope {
    /// Whether this port is one of them.
    pub fn contains(&self, port: &PortName) -> bool {
        match self {
            Scope::All => true,
            Scope::Only(names) => names.contains(port),
        }
    }
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credential::Anonymous => f.write_str("anonymous"),
            Credential::Token(token) => write!(f, "token {}", token.name),
            Credential::Certificate(certificate) => certificate.fmt(f),
        }
    }
}
