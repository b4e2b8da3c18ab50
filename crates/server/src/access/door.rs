//! The door of one listener: from where clients may come, how, what they may do without a credential, and who is in by it.
//! When that becomes less, or a certificate is no longer what it was, those whom it no longer covers are shown out. Not what
//! a credential grants; that is the gate's.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::time::Instant;

use uartnet_hub::Access;

use super::allowed::Allowed;
use super::visitor::Visitor;
use crate::tls::{Chain, LiveTls};

/// The door of one listener.
#[derive(Debug)]
pub struct Door {
    rules: RefCell<DoorRules>,
    visitors: RefCell<Vec<(Weak<Visitor>, Came)>>,
}

/// Whom a door lets through.
#[derive(Debug, Clone)]
pub struct DoorRules {
    /// From where they may come.
    pub(crate) allowed: Allowed,
    /// Whoever comes without a credential, or with a certificate of no identity, may do this much, on every port; `None`:
    /// they need one.
    pub(crate) access: Option<Access>,
    /// What must be spoken underneath; `None`: nothing.
    pub(crate) tls: Option<Rc<LiveTls>>,
}

/// How somebody came.
#[derive(Debug)]
pub struct Came {
    /// From where; `None`: by a Unix socket.
    pub(crate) from: Option<IpAddr>,
    /// Over TLS.
    pub(crate) by_tls: bool,
    /// The certificate that they have shown.
    pub(crate) shown: Option<Box<Chain>>,
}

impl Came {
    /// By a Unix socket, which says nothing of who it is.
    pub fn locally() -> Came {
        Came {
            from: None,
            by_tls: false,
            shown: None,
        }
    }
}

impl Door {
    /// A door with these rules.
    pub fn new(rules: DoorRules) -> Door {
        Door {
            rules: RefCell::new(rules),
            visitors: RefCell::default(),
        }
    }

    /// These rules hold from now on. Whoever is in and would not get in so again is shown out; whoever may do less stays so.
    pub fn set_rules(&self, now: Instant, rules: DoorRules) {
        *self.rules.borrow_mut() = rules;
        self.look_around(now);
    }

    /// Looks at everybody who is in.
    pub(crate) fn look_around(&self, now: Instant) {
        for (visitor, came) in &*self.visitors.borrow() {
            if let Some(visitor) = visitor.upgrade() {
                self.look_at(now, &visitor, came);
            }
        }
    }

    /// Somebody comes in. What they were promised when they connected may be more than holds by now.
    pub fn enter(&self, now: Instant, visitor: &Rc<Visitor>, came: Came) {
        let mut visitors = self.visitors.borrow_mut();
        visitors.retain(|(visitor, _)| visitor.strong_count() > 0);
        self.look_at(now, visitor, &came);
        visitors.push((Rc::downgrade(visitor), came));
    }

    fn look_at(&self, now: Instant, visitor: &Visitor, came: &Came) {
        let rules = self.rules.borrow();
        if let Err(why) = rules.check(now, visitor, came) {
            visitor.show_to_the_door(now, &why);
        }
    }
}

impl DoorRules {
    /// Those of a door in the clear, to everybody: whoever comes may do this much.
    pub fn in_the_clear(access: Option<Access>) -> DoorRules {
        DoorRules {
            allowed: Allowed::default(),
            access,
            tls: None,
        }
    }

    /// Whether somebody who came so would get in again, and might do as much.
    ///
    /// # Errors
    /// Why not, for them and for the log.
    fn check(&self, now: Instant, visitor: &Visitor, came: &Came) -> Result<(), String> {
        if !self.allowed.contains(came.from) {
            return Err("clients of this address are not let in any more".to_owned());
        }
        let asked = match &self.tls {
            Some(_) if !came.by_tls => {
                return Err("nothing is said here in the clear any more, only over TLS".to_owned());
            }
            Some(tls) => tls.asks_for_certificate().then_some(tls),
            None => None,
        };
        match (asked, &came.shown) {
            (Some(tls), Some(chain)) => tls.check(chain, visitor.date(now))?,
            (Some(_), None) => return Err("everybody needs a certificate here by now".to_owned()),
            (None, Some(_)) => {
                return Err("certificates are not asked for here any more".to_owned());
            }
            (None, None) => {}
        }
        visitor.check_standing(self.access)
    }
}
