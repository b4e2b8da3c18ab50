//! What holds for every conversation, whatever is spoken: who does not say who they are in time is shown out, and so is
//! whoever is no longer let in. Not why; that is the visitor's.

use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;

use super::visitor::Visitor;
use crate::endpoint::{Finish, Output, Session};

/// A conversation with a visitor who can be shown out.
#[derive(Debug)]
pub struct Guarded {
    visitor: Rc<Visitor>,
    /// `None`: the visitor was shown out.
    session: Option<Box<dyn Session>>,
    /// What they are yet to be told, if they take it.
    last_words: Option<Box<Bytes>>,
}

impl Guarded {
    /// This session, with this visitor.
    pub fn new(visitor: Rc<Visitor>, session: Box<dyn Session>) -> Guarded {
        Guarded {
            visitor,
            session: Some(session),
            last_words: None,
        }
    }

    /// The conversation, while the visitor is in.
    fn inside(&mut self) -> Option<&mut Box<dyn Session>> {
        self.session.as_mut().filter(|_| !self.visitor.is_leaving())
    }

    /// Whoever is shown out leaves their ports as soon as it is time, also if they do not take what they are told.
    fn leave(&mut self, now: Instant) {
        if let Some(farewell) = self.visitor.farewell(now)
            && let Some(session) = self.session.take()
        {
            self.last_words = Some(Box::new(session.farewell(&farewell)));
        }
    }
}

impl Session for Guarded {
    fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        if let Some(session) = self.inside() {
            session.handle_input(now, bytes);
        }
    }

    fn handle_end_of_input(&mut self, now: Instant) {
        if let Some(session) = self.inside() {
            session.handle_end_of_input(now);
        }
    }

    fn handle_gone(&mut self, now: Instant) {
        match self.inside() {
            Some(session) => session.handle_gone(now),
            // Nobody is there to be told why.
            None => (self.session, self.last_words) = (None, None),
        }
    }

    fn handle_stop(&mut self, now: Instant) {
        if let Some(session) = self.inside() {
            session.handle_stop(now);
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.visitor.handle_timeout(now);
        self.leave(now);
        if let Some(session) = self.inside() {
            session.handle_timeout(now);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let session = self.session.as_ref()?;
        match self.visitor.timeout() {
            None => session.poll_timeout(),
            Some(ours) if self.visitor.is_leaving() => Some(ours),
            Some(ours) => Some(session.poll_timeout().map_or(ours, |at| at.min(ours))),
        }
    }

    fn poll_output(&mut self, now: Instant, out: &mut Output) {
        if let Some(session) = self.inside() {
            return session.poll_output(now, out);
        }
        self.leave(now);
        if let Some(last_words) = self.last_words.take() {
            out.push_shared(*last_words);
        }
    }

    fn stays_silent(&self) -> bool {
        let inside = self.session.as_ref().filter(|_| !self.visitor.is_leaving());
        inside.is_some_and(|session| session.stays_silent())
    }

    fn wants_input(&self) -> bool {
        let inside = self.session.as_ref().filter(|_| !self.visitor.is_leaving());
        inside.is_some_and(|session| session.wants_input())
    }

    fn finished(&self) -> Option<Finish> {
        match &self.session {
            None if self.last_words.is_some() => None,
            None => Some(Finish::Linger),
            Some(_) if self.visitor.is_leaving() => None,
            Some(session) => session.finished(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use uartnet_hub::{Access, Epoch};

    use super::*;
    use crate::access::{Audit, Came, Clock, Door, DoorRules, Gate, Identity, Origin, Rules};
    use crate::config::{Given, load};
    use crate::endpoint::{Connection, ENDPOINTS};
    use crate::gateway::Gateway;
    use crate::nudge::Nudge;

    #[test]
    fn who_is_shown_out_and_reads_nothing_leaves_their_port_and_costs_no_more_turns() {
        let config = load(&Given::default()).unwrap().config;
        let now = Instant::now();
        let gateway = Rc::new(Gateway::new(&config, Epoch(1), now));
        let rules = Rules {
            hello_timeout: Duration::from_secs(10),
            max_unauthenticated: 1,
        };
        let clock = Clock::From(now, SystemTime::UNIX_EPOCH);
        let gate = Gate::new(gateway.clone(), clock, rules, None, Audit::default()).unwrap();
        let identity = Identity::anonymous(Some(Access::Admin));
        let arrival = gate.arrive(now, Origin::Local, "somebody", "raw", identity);
        let nudge = Rc::<Nudge>::default();
        let visitor = Visitor::new(now, arrival.unwrap(), nudge);
        let door = Door::new(DoorRules::in_the_clear(Some(Access::Admin)));
        door.enter(now, &visitor, Came::locally());
        let connection = Connection {
            visitor: visitor.clone(),
            port: Some(config.ports[0].name.clone()),
            options: config.listeners[0].stream.clone(),
        };
        let raw = ENDPOINTS.iter().find(|it| it.name() == "raw").unwrap();
        let mut guarded = Guarded::new(visitor, raw.session(now, connection));
        let clients = || gateway.ports()[0].info().clients;
        assert_eq!(clients(), 1);

        door.set_rules(now, DoorRules::in_the_clear(None));
        let due = guarded.poll_timeout().unwrap();
        // Its socket takes nothing, so it is asked for nothing; only time passes.
        guarded.handle_timeout(due);
        assert_eq!(clients(), 0);
        assert_eq!(guarded.poll_timeout(), None);
        assert_eq!(guarded.finished(), None, "it was told nothing yet");
        guarded.poll_output(due, &mut Output::new());
        assert_eq!(guarded.finished(), Some(Finish::Linger));
    }
}
