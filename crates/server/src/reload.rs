//! How the configuration is asked to be read again, and how the answer comes back. Not what a difference in it changes,
//! which is `plan`, nor who changes it, which is `supervisor`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::sync::Notify;

use crate::nudge::Nudge;

/// What a reload came to: what changed, one sentence each, or why nothing did.
pub type Outcome = Result<Vec<String>, String>;

/// The reloads that were asked for and are not done.
#[derive(Debug, Default)]
pub struct Reloads {
    waiting: RefCell<Vec<Rc<Ticket>>>,
    bell: Notify,
    over: Cell<bool>,
}

/// One reload that a client waits for.
#[derive(Debug)]
pub struct Ticket {
    outcome: RefCell<Option<Outcome>>,
    nudge: Rc<Nudge>,
}

impl Reloads {
    /// Asks for the configuration to be read again; `nudge` is rung when that is done.
    pub fn ask(&self, nudge: &Rc<Nudge>) -> Rc<Ticket> {
        let ticket = Rc::new(Ticket {
            outcome: RefCell::default(),
            nudge: nudge.clone(),
        });
        self.waiting.borrow_mut().push(ticket.clone());
        if self.over.get() {
            self.end();
        } else {
            self.bell.notify_one();
        }
        ticket
    }

    /// Everyone who waits. One reload answers them all.
    pub fn take(&self) -> Vec<Rc<Ticket>> {
        self.waiting.take()
    }

    /// Until somebody asks.
    pub(crate) async fn asked(&self) {
        self.bell.notified().await;
    }

    /// The daemon stops: nothing is read again.
    pub(crate) fn end(&self) {
        self.over.set(true);
        for ticket in self.take() {
            ticket.answer(Err("uartd: the gateway is stopping\n".to_owned()));
        }
    }
}

impl Ticket {
    /// It is done.
    pub fn answer(&self, outcome: Outcome) {
        self.outcome.replace(Some(outcome));
        self.nudge.ring();
    }

    /// What it came to, once it is done; once.
    pub fn take_outcome(&self) -> Option<Outcome> {
        self.outcome.take()
    }
}
