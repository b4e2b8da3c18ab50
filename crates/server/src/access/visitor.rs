//! One connection's view of the gateway: the ports its identity may see, and the way to become a client of one.
//! Not what is then said to the hub.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use uart_iface::{ErrorCounters, LineSettings, PortName};
use uartnet_hub::{Access, Attach, Attached, Epoch, HubInfo, OnLag, Profile, ReadFrom};

use super::identity::{Credential, Identity};
use crate::gateway::{Gateway, PortClient, PortHandle};
use crate::nudge::Nudge;

/// Somebody who has connected, and what they see of the gateway.
#[derive(Debug)]
pub struct Visitor {
    gateway: Rc<Gateway>,
    /// Where they are.
    peer: String,
    identity: RefCell<Identity>,
    nudge: Rc<Nudge>,
}

/// A port that a visitor may see.
#[derive(Debug, Clone)]
pub struct AllowedPort {
    port: Rc<PortHandle>,
    access: Access,
    visitor: Rc<Visitor>,
}

/// What a client of a port wishes to be. How much it may do is not among it.
#[derive(Debug, Clone)]
pub struct Wish {
    /// It will only read, whatever it may do besides.
    pub read_only: bool,
    /// [`Attach::read`].
    pub read: Option<ReadFrom>,
    /// [`Attach::on_lag`].
    pub on_lag: Option<OnLag>,
    /// [`Attach::can_carry_gap`].
    pub can_carry_gap: bool,
    /// [`Attach::writer`].
    pub writer: Option<String>,
}

impl Visitor {
    /// Somebody has connected from `peer`; `nudge` is rung when there is something to tell them.
    pub fn new(
        gateway: Rc<Gateway>,
        peer: String,
        identity: Identity,
        nudge: Rc<Nudge>,
    ) -> Rc<Visitor> {
        Rc::new(Visitor {
            gateway,
            peer,
            identity: RefCell::new(identity),
            nudge,
        })
    }

    /// The gateway's name.
    pub fn gateway_name(&self) -> &str {
        self.gateway.name()
    }

    /// Which life of the daemon this is.
    pub fn epoch(&self) -> Epoch {
        self.gateway.epoch()
    }

    /// The largest frame accepted or sent, in bytes.
    pub fn max_frame(&self) -> usize {
        self.gateway.max_frame()
    }

    /// Where they are, for logs.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// The ports they may see, in the order of the configuration.
    pub fn ports(self: &Rc<Self>) -> Vec<AllowedPort> {
        let ports = self.gateway.ports();
        ports.iter().filter_map(|port| self.allow(port)).collect()
    }

    /// The port of this name, if they may see it. There is no telling a hidden port from one that does not exist.
    pub fn port(self: &Rc<Self>, name: &str) -> Option<AllowedPort> {
        self.allow(&self.gateway.port(name)?)
    }

    fn allow(self: &Rc<Self>, port: &Rc<PortHandle>) -> Option<AllowedPort> {
        let access = self.identity.borrow().grant.on(port.name())?;
        Some(AllowedPort {
            port: port.clone(),
            access,
            visitor: self.clone(),
        })
    }

    /// The name of a writer of theirs: nobody can take over what somebody else wrote under the same name.
    fn writer(&self, name: &str) -> String {
        let owner = match &self.identity.borrow().credential {
            Credential::Anonymous => String::new(),
            Credential::Token(token) => token.clone(),
        };
        // No name of a credential holds a NUL.
        format!("{owner}\0{name}")
    }

    /// Who it is, for logs and for other clients' refusals.
    fn label(&self) -> String {
        match &self.identity.borrow().credential {
            Credential::Anonymous => self.peer.clone(),
            Credential::Token(name) => format!("{name} ({})", self.peer),
        }
    }
}

impl AllowedPort {
    /// Its name.
    pub fn name(&self) -> &PortName {
        self.port.name()
    }

    /// Its device spec.
    pub fn device(&self) -> &str {
        self.port.device()
    }

    /// [`PortHandle::profile`].
    pub fn profile(&self) -> Option<&Profile> {
        self.port.profile()
    }

    /// The names of its sequences.
    pub fn sequences(&self) -> &[String] {
        self.port.sequences()
    }

    /// [`PortHandle::line`].
    pub fn line(&self) -> LineSettings {
        self.port.line()
    }

    /// [`PortHandle::look`].
    pub fn look(&self, now: Instant) -> Option<ErrorCounters> {
        self.port.look(now)
    }

    /// Everything countable.
    pub fn info(&self) -> HubInfo {
        self.port.info()
    }

    /// Whether this client is of this very port.
    pub fn is_of(&self, client: &PortClient) -> bool {
        Rc::ptr_eq(client.port(), &self.port)
    }

    /// Becomes a client of the port, with the access that the visitor has there.
    pub fn attach(&self, now: Instant, wish: Wish) -> (PortClient, Attached) {
        let attach = Attach {
            label: self.visitor.label(),
            access: if wish.read_only {
                Access::Read
            } else {
                self.access
            },
            read: wish.read,
            on_lag: wish.on_lag,
            can_carry_gap: wish.can_carry_gap,
            writer: wish.writer.map(|name| self.visitor.writer(&name)),
        };
        self.port.attach(now, attach, &self.visitor.nudge)
    }
}
