//! The door of one listener: from where clients may come, what they may do without a credential, and who is in by it. When
//! that becomes less, those whom it no longer covers are shown out. Not what a credential grants; that is the gate's.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::time::Instant;

use uartnet_hub::Access;

use super::allowed::Allowed;
use super::visitor::Visitor;

/// The door of one listener.
#[derive(Debug)]
pub(crate) struct Door {
    rules: RefCell<DoorRules>,
    visitors: RefCell<Vec<(Weak<Visitor>, Option<IpAddr>)>>,
}

/// Whom a door lets through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DoorRules {
    /// From where they may come.
    pub(crate) allowed: Allowed,
    /// Whoever comes without a credential may do this much, on every port; `None`: they need one.
    pub(crate) access: Option<Access>,
}

impl Door {
    /// A door with these rules.
    pub(crate) fn new(rules: DoorRules) -> Door {
        Door {
            rules: RefCell::new(rules),
            visitors: RefCell::default(),
        }
    }

    /// These rules hold from now on. Whoever is in and may do more, or came from elsewhere, is shown out; whoever may do
    /// less stays so.
    pub(crate) fn set_rules(&self, now: Instant, rules: DoorRules) {
        *self.rules.borrow_mut() = rules;
        for (visitor, address) in &*self.visitors.borrow() {
            if let Some(visitor) = visitor.upgrade() {
                self.look_at(now, &visitor, *address);
            }
        }
    }

    /// Somebody comes in, from there. What they were promised when they connected may be more than holds by now.
    pub(crate) fn enter(&self, now: Instant, visitor: &Rc<Visitor>, address: Option<IpAddr>) {
        let mut visitors = self.visitors.borrow_mut();
        visitors.retain(|(visitor, _)| visitor.strong_count() > 0);
        visitors.push((Rc::downgrade(visitor), address));
        self.look_at(now, visitor, address);
    }

    fn look_at(&self, now: Instant, visitor: &Visitor, address: Option<IpAddr>) {
        let rules = self.rules.borrow();
        visitor.handle_door(now, rules.access, rules.allowed.contains(address));
    }
}
