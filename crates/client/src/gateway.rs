//! A gateway as a client comes to it: where it is, and who the client says it is. Not where that was learnt.

use std::fmt;

use uartnet_proto::message::Secret;

use crate::{Address, TlsOptions};

/// Where a gateway is, and with which credential to come.
#[derive(Debug, Clone)]
pub struct Gateway {
    /// Where it is.
    pub address: Address,
    /// The token to present; `None`: come as nobody.
    pub token: Option<Secret>,
    /// Present the token also where others can read it on its way.
    pub insecure: bool,
    /// Where it is reached by TLS: whom to take for it, and who this side is.
    pub tls: TlsOptions,
}

impl Gateway {
    /// Whether the token, if there is one, may be presented over a connection that is private or not.
    pub(crate) fn allows(&self, private: bool) -> bool {
        private || self.insecure || self.token.is_none()
    }
}

impl From<Address> for Gateway {
    /// Come as nobody.
    fn from(address: Address) -> Gateway {
        Gateway {
            address,
            token: None,
            insecure: false,
            tls: TlsOptions::default(),
        }
    }
}

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_presented_in_private_or_on_purpose() {
        let token = || Some(Secret::from("uart_x"));
        for (token, private, insecure, allowed) in [
            (token(), true, false, true),
            (token(), false, false, false),
            (token(), false, true, true),
            (None, false, false, true),
        ] {
            let gateway = Gateway {
                address: Address::Unix("/x".into()),
                token,
                insecure,
                tls: TlsOptions::default(),
            };
            assert_eq!(gateway.allows(private), allowed, "{gateway:?}");
        }
    }
}
