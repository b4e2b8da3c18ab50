//! The door of one listener: what whoever comes by it may do without a credential, and who is in by it. When that becomes
//! less, those who could do more are shown out. Not what a credential grants; that is the gate's.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Instant;

use uartnet_hub::Access;

use super::visitor::Visitor;

/// The door of one listener.
#[derive(Debug)]
pub(crate) struct Door {
    access: Cell<Option<Access>>,
    visitors: RefCell<Vec<Weak<Visitor>>>,
}

impl Door {
    /// Whoever comes without a credential may do this much, on every port; `None`: they need one.
    pub(crate) fn new(access: Option<Access>) -> Door {
        Door {
            access: Cell::new(access),
            visitors: RefCell::default(),
        }
    }

    /// From now on they may do this much. Whoever is in and may do more is shown out; whoever may do less stays so.
    pub(crate) fn set_access(&self, now: Instant, access: Option<Access>) {
        self.access.set(access);
        let visitors: Vec<_> = self
            .visitors
            .borrow()
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        for visitor in visitors {
            visitor.handle_door(now, access);
        }
    }

    /// Somebody comes in. What they were promised when they connected may be more than holds by now.
    pub(crate) fn enter(&self, now: Instant, visitor: &Rc<Visitor>) {
        let mut visitors = self.visitors.borrow_mut();
        visitors.retain(|visitor| visitor.strong_count() > 0);
        visitors.push(Rc::downgrade(visitor));
        visitor.handle_door(now, self.access.get());
    }
}
