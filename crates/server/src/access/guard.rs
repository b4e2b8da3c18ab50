//! What holds for every conversation, whatever is spoken: who does not say who they are in time is shown out, and so is
//! whoever is no longer let in. Not why; that is the visitor's.

use std::rc::Rc;
use std::time::Instant;

use super::visitor::Visitor;
use crate::endpoint::{Finish, Output, Session};

/// A conversation with a visitor who can be shown out.
#[derive(Debug)]
pub struct Guarded {
    visitor: Rc<Visitor>,
    /// `None`: the visitor was shown out.
    session: Option<Box<dyn Session>>,
}

impl Guarded {
    /// This session, with this visitor.
    pub fn new(visitor: Rc<Visitor>, session: Box<dyn Session>) -> Guarded {
        Guarded {
            visitor,
            session: Some(session),
        }
    }

    /// The conversation, while the visitor is in.
    fn inside(&mut self) -> Option<&mut Box<dyn Session>> {
        self.session.as_mut().filter(|_| !self.visitor.is_leaving())
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
            None => self.session = None,
        }
    }

    fn handle_stop(&mut self, now: Instant) {
        if let Some(session) = self.inside() {
            session.handle_stop(now);
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.visitor.handle_timeout(now);
        if let Some(session) = self.inside() {
            session.handle_timeout(now);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let session = self.session.as_ref()?;
        let ours = self.visitor.timeout();
        let theirs = session
            .poll_timeout()
            .filter(|_| !self.visitor.is_leaving());
        ours.into_iter().chain(theirs).min()
    }

    fn poll_output(&mut self, now: Instant, out: &mut Output) {
        if let Some(session) = self.inside() {
            return session.poll_output(now, out);
        }
        if let (Some(farewell), Some(session)) = (self.visitor.farewell(now), &self.session) {
            out.push_shared(session.farewell(&farewell));
            // It leaves its ports at once.
            self.session = None;
        }
    }

    fn wants_input(&self) -> bool {
        let inside = self.session.as_ref().filter(|_| !self.visitor.is_leaving());
        inside.is_some_and(|session| session.wants_input())
    }

    fn has_urgent_bytes(&self) -> bool {
        let session = self.session.as_ref();
        session.is_some_and(|session| session.has_urgent_bytes())
    }

    fn finished(&self) -> Option<Finish> {
        match &self.session {
            None => Some(Finish::Linger),
            Some(_) if self.visitor.is_leaving() => None,
            Some(session) => session.finished(),
        }
    }
}
