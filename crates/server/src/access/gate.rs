//! The gate everybody comes through: it bounds those who have not said who they are, checks tokens, knows whose a
//! certificate is, slows down who guesses, and shows out whose credential is no longer in force. Not what somebody may do
//! once they are in.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;

use super::audit::{Audit, Event};
use super::complaints::Complaints;
use super::crowd::{Crowd, Failures, Origin};
use super::holder::{Certificate, Holders, Subject};
use super::identity::{Credential, Grant, Identity};
use super::token::{NotInForce, Token, Tokens};
use super::token_file::{self, TokenFileError};
use super::visitor::Visitor;
use crate::gateway::Gateway;
use crate::kept_file::{self, Stamp};
use uartnet_hub::Access;
use uartnet_reactor::sleep_until;

/// How the gate deals with those who have not said who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// How long they have to do it, from when they connect.
    pub hello_timeout: Duration,
    /// How many of them there may be, over all listeners.
    pub max_unauthenticated: usize,
}

/// What the date is. Sessions know only [`Instant`]s, and a token expires at a date.
#[derive(Debug, Clone, Copy)]
pub enum Clock {
    /// The system's.
    System,
    /// It was this date at that instant, and dates follow instants.
    From(Instant, SystemTime),
}

/// Where everybody comes through.
#[derive(Debug)]
pub struct Gate {
    gateway: Rc<Gateway>,
    rules: Cell<Rules>,
    clock: Clock,
    book: RefCell<Book>,
    holders: RefCell<Arc<Holders>>,
    visitors: RefCell<Vec<Weak<Visitor>>>,
    /// Of whoever came last.
    identity: RefCell<Weak<Identity>>,
    /// When any of them last did something, for what must be written down without a clock.
    latest: Cell<Instant>,
    crowd: RefCell<Crowd>,
    failures: RefCell<Failures>,
    audit: Audit,
    handshakes_failed: Cell<u64>,
    certificates_refused: Cell<u64>,
    not_allowed: Cell<u64>,
    complaints: RefCell<Complaints>,
    /// Rung when somebody is not let in.
    complained: Notify,
}

/// The tokens, as they were last read.
#[derive(Debug, Default)]
struct Book {
    path: Option<PathBuf>,
    stamp: Option<Stamp>,
    tokens: Tokens,
    /// The file cannot be used: nobody new is let in by a token.
    unusable: bool,
}

/// What a gate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateCounters {
    /// Hellos with a token that was not in force.
    pub tokens_refused: u64,
    /// Who has not said who they are.
    pub unauthenticated: u64,
    /// TLS handshakes that failed, but for these:
    pub handshakes_failed: u64,
    /// Who has shown no certificate where one is asked for, or one that is not accepted.
    pub certificates_refused: u64,
    /// Who came from an address that is not let in where they came.
    pub not_allowed: u64,
    /// Lines of the audit log that could not be written.
    pub audit_lost: u64,
}

/// Somebody has connected and has a place, as long as this lives.
#[derive(Debug)]
pub struct Arrival {
    pub(super) gate: Rc<Gate>,
    pub(super) origin: Origin,
    pub(super) peer: Arc<str>,
    pub(super) protocol: &'static str,
    pub(super) identity: Identity,
    pub(super) place: Option<Box<Place>>,
}

/// One of those who have not said who they are, as long as it lives.
#[derive(Debug)]
pub(super) struct Place {
    gate: Rc<Gate>,
    origin: Origin,
    /// Until when it must be said.
    pub(super) until: Instant,
}

/// There is no place for one more who has not said who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{count} clients{} have not said who they are yet, and more are not let in", if *.of_origin { " of this address" } else { "" })]
pub struct Crowded {
    /// How many there are.
    pub count: usize,
    /// Whether it is those of the same address that count.
    pub of_origin: bool,
}

impl Gate {
    /// A gate to this gateway, with the tokens in this file, if there is one.
    ///
    /// # Errors
    /// The file is there and cannot be used.
    pub fn new(
        gateway: Rc<Gateway>,
        clock: Clock,
        rules: Rules,
        tokens: Option<PathBuf>,
        audit: Audit,
    ) -> Result<Rc<Gate>, TokenFileError> {
        let mut book = Book {
            path: tokens,
            ..Book::default()
        };
        if let Some(path) = &book.path {
            book.stamp = kept_file::stamp(path);
            book.tokens = token_file::read(path)?;
        }
        let began = gateway.began();
        Ok(Rc::new(Gate {
            gateway,
            rules: Cell::new(rules),
            clock,
            book: RefCell::new(book),
            holders: RefCell::default(),
            visitors: RefCell::default(),
            identity: RefCell::default(),
            latest: Cell::new(began),
            crowd: RefCell::default(),
            failures: RefCell::default(),
            audit,
            handshakes_failed: Cell::new(0),
            certificates_refused: Cell::new(0),
            not_allowed: Cell::new(0),
            complaints: RefCell::default(),
            complained: Notify::new(),
        }))
    }

    // --- getters

    pub(crate) fn gateway(&self) -> &Rc<Gateway> {
        &self.gateway
    }

    /// The audit log.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// The file of tokens.
    pub fn token_path(&self) -> Option<PathBuf> {
        self.book.borrow().path.clone()
    }

    /// The date.
    pub fn date(&self, now: Instant) -> SystemTime {
        match self.clock {
            Clock::System => SystemTime::now(),
            Clock::From(instant, date) => date + now.saturating_duration_since(instant),
        }
    }

    /// What is counted here.
    pub fn counters(&self) -> GateCounters {
        GateCounters {
            tokens_refused: self.failures(),
            unauthenticated: self.unauthenticated() as u64,
            handshakes_failed: self.handshakes_failed.get(),
            certificates_refused: self.certificates_refused.get(),
            not_allowed: self.not_allowed.get(),
            audit_lost: self.audit.lost(),
        }
    }

    /// How many have not said who they are.
    pub fn unauthenticated(&self) -> usize {
        self.crowd.borrow().len()
    }

    /// How often a token that is not in force was presented.
    pub fn failures(&self) -> u64 {
        self.failures.borrow().count()
    }

    // --- commands

    /// Deals by these rules with whoever connects from now on.
    pub fn set_rules(&self, rules: Rules) {
        self.rules.set(rules);
    }

    /// These are known by their certificates from now on. Who is in is looked at by the door they came in by.
    pub fn set_holders(&self, holders: Arc<Holders>) {
        self.holders.replace(holders);
    }

    /// Whoever has shown a certificate that says this, where a certificate of no identity may do as much as `otherwise`.
    pub fn known_by(&self, subject: Subject, otherwise: Option<Access>) -> Identity {
        let holder = self.holders.borrow().of(&subject).cloned();
        let grant = match &holder {
            Some(holder) => holder.grant(),
            None => Identity::anonymous(otherwise).grant,
        };
        let certificate = Certificate { holder, subject };
        Identity {
            credential: Credential::Certificate(Rc::new(certificate)),
            grant,
        }
    }

    /// Somebody has connected. `identity` is what is known of them without a word of theirs.
    ///
    /// # Errors
    /// Nothing is known, and there are too many such already.
    pub fn arrive(
        self: &Rc<Self>,
        now: Instant,
        origin: Origin,
        peer: impl Into<Arc<str>>,
        protocol: &'static str,
        identity: Identity,
    ) -> Result<Arrival, Crowded> {
        let peer = peer.into();
        let place = if identity.grant == Grant::Nothing {
            let limit = self.rules.get().max_unauthenticated;
            if let Err(crowded) = self.crowd.borrow_mut().enter(origin, limit) {
                self.turn_away(now, origin, &peer, protocol, &crowded.to_string());
                return Err(crowded);
            }
            Some(Box::new(Place {
                gate: self.clone(),
                origin,
                until: now + self.rules.get().hello_timeout,
            }))
        } else {
            None
        };
        Ok(Arrival {
            gate: self.clone(),
            origin,
            peer,
            protocol,
            identity,
            place,
        })
    }

    /// The file of tokens may have changed: reads it again if it has, and shows out whose token is no longer what it was.
    pub fn refresh(&self, now: Instant) {
        let changed = {
            let book = self.book.borrow();
            let Some(path) = &book.path else { return };
            let stamp = kept_file::stamp(path);
            stamp != book.stamp || book.unusable
        };
        if changed {
            self.read_again(now);
        }
    }

    fn read_again(&self, now: Instant) {
        let before = {
            let mut book = self.book.borrow_mut();
            let Some(path) = book.path.clone() else {
                return;
            };
            // First the stamp: what changes after it is seen the next time.
            let stamp = kept_file::stamp(&path);
            match token_file::read(&path) {
                Ok(tokens) => {
                    book.stamp = stamp;
                    book.unusable = false;
                    std::mem::replace(&mut book.tokens, tokens)
                }
                Err(error) => {
                    if !book.unusable || book.stamp != stamp {
                        tracing::error!(%error, "the file of tokens cannot be used: nobody is let in by a token until it is put right");
                    }
                    book.stamp = stamp;
                    book.unusable = true;
                    return;
                }
            }
        };
        self.tell_changes(now, &before);
        for visitor in self.visitors() {
            visitor.check_credential(now);
        }
    }

    fn tell_changes(&self, now: Instant, before: &Tokens) {
        let book = self.book.borrow();
        let date = self.date(now);
        let mut names: Vec<_> = before.list().iter().chain(book.tokens.list()).collect();
        names.sort_by_key(|token| &token.name);
        names.dedup_by_key(|token| &token.name);
        for token in names {
            let name = token.name.as_str();
            let in_force = |tokens: &Tokens| {
                tokens
                    .named(name)
                    .filter(|token| token.check(date).is_ok())
                    .cloned()
            };
            let what = match (in_force(before), in_force(&book.tokens)) {
                (None, Some(_)) => "created",
                (Some(_), None) => "revoked",
                (Some(before), Some(after)) if before != after => "changed",
                _ => continue,
            };
            tracing::info!(token = name, "token {what}");
            self.audit.record(date, &Event::Token { token: name, what });
        }
    }

    /// The token that this secret is of.
    pub(super) fn check(&self, now: Instant, secret: &str) -> Result<Rc<Token>, NotInForce> {
        self.refresh(now);
        let book = self.book.borrow();
        let checked = book.tokens.check(secret, self.date(now));
        if book.unusable {
            return Err(NotInForce::Unusable);
        }
        checked
    }

    /// Whether this token is still what it was.
    pub(super) fn still_has(&self, token: &Rc<Token>, date: SystemTime) -> Result<(), NotInForce> {
        let book = self.book.borrow();
        match book.tokens.named(token.name.as_str()) {
            Some(known) if known == token => token.check(date),
            Some(known) if known.revoked.is_none() => Err(NotInForce::Changed(token.name.clone())),
            _ => Err(NotInForce::Revoked(token.name.clone())),
        }
    }

    /// Whether the holder of this certificate is still what they were.
    pub(super) fn still_knows(&self, certificate: &Certificate) -> Result<(), String> {
        let holders = self.holders.borrow();
        match (&certificate.holder, holders.of(&certificate.subject)) {
            (None, None) => Ok(()),
            (Some(before), Some(holder)) if before == holder => Ok(()),
            (Some(before), Some(holder)) if before.name == holder.name => {
                Err(format!("the identity {} has been changed", before.name))
            }
            (Some(before), _) => Err(format!("the identity {} is no longer known", before.name)),
            (None, Some(holder)) => Err(format!(
                "the certificate is that of the identity {} by now",
                holder.name
            )),
        }
    }

    /// Somebody presented a token that is not in force. Says when they may be told so.
    pub(super) fn handle_failure(&self, now: Instant, origin: Origin) -> Instant {
        self.failures.borrow_mut().note(now, origin)
    }

    /// Somebody came from an address that is not let in where they came.
    pub(crate) fn handle_not_allowed(
        &self,
        now: Instant,
        origin: Origin,
        peer: &str,
        protocol: &str,
    ) {
        self.not_allowed.update(|count| count + 1);
        let why = "clients of this address are not let in";
        self.turn_away(now, origin, peer, protocol, why);
    }

    /// Writes down why somebody is not let in, in the log and in the audit log, each as far as strangers may fill it.
    pub(crate) fn turn_away(
        &self,
        now: Instant,
        origin: Origin,
        peer: &str,
        protocol: &str,
        why: &str,
    ) {
        if self.complaints_until().is_some_and(|until| until <= now) {
            self.tell_left_out();
        }
        if self.complaints.borrow_mut().note(now, origin, why) {
            tracing::warn!(peer, protocol, "turned away: {why}");
        }
        self.complained.notify_one();
        let event = Event::TurnedAway {
            peer,
            protocol,
            why,
        };
        self.audit.record_stranger(self.date(now), &event);
    }

    /// Says in the log how many were not let in, beside those it has told of one by one.
    pub(crate) fn tell_left_out(&self) {
        let more = self.complaints.borrow_mut().take_left_out();
        if more > 0 {
            tracing::warn!(
                more,
                "turned away: others, for the same reasons or too many to tell"
            );
        }
    }

    /// When [`Gate::tell_left_out`] is due.
    fn complaints_until(&self) -> Option<Instant> {
        self.complaints.borrow().poll_timeout()
    }

    /// Tells how many more were not let in, as long as there are such. Never ends.
    pub(crate) async fn keep_telling(&self) {
        loop {
            match self.complaints_until() {
                None => self.complained.notified().await,
                Some(until) => {
                    sleep_until(until).await;
                    self.tell_left_out();
                }
            }
        }
    }

    pub(super) fn enter(&self, visitor: &Rc<Visitor>) {
        let mut visitors = self.visitors.borrow_mut();
        visitors.retain(|visitor| visitor.strong_count() > 0);
        visitors.push(Rc::downgrade(visitor));
    }

    /// This identity, in the same memory as that of whoever came before if they are the same.
    pub(super) fn share(&self, identity: Identity) -> Rc<Identity> {
        let mut last = self.identity.borrow_mut();
        let known = last.upgrade().filter(|last| **last == identity);
        known.unwrap_or_else(|| {
            let identity = Rc::new(identity);
            *last = Rc::downgrade(&identity);
            identity
        })
    }

    /// Somebody does something.
    pub(super) fn note_time(&self, now: Instant) {
        self.latest.set(now);
    }

    /// When anybody last did something.
    pub(super) fn latest(&self) -> Instant {
        self.latest.get()
    }

    fn visitors(&self) -> Vec<Rc<Visitor>> {
        let visitors = self.visitors.borrow();
        visitors.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Arrival {
    /// Where they are, for logs.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// [`Gate::known_by`].
    pub(crate) fn known_by(&self, subject: Subject, otherwise: Option<Access>) -> Identity {
        self.gate.known_by(subject, otherwise)
    }

    /// Their handshake is done, so this is who they are, by their certificate or until they say more.
    pub fn identify(&mut self, identity: Identity) {
        if identity.grant != Grant::Nothing {
            self.place = None;
        }
        self.identity = identity;
    }

    /// The TLS handshake with them has failed, because of their certificate or of something else: they leave before a word
    /// was said.
    pub fn handle_no_handshake(&self, now: Instant, of_certificate: bool, why: &str) {
        let counter = match of_certificate {
            true => &self.gate.certificates_refused,
            false => &self.gate.handshakes_failed,
        };
        counter.update(|count| count + 1);
        self.gate
            .turn_away(now, self.origin, &self.peer, self.protocol, why);
    }

    /// Until when they must say who they are; `None`: they need not.
    pub fn deadline(&self) -> Option<Instant> {
        self.place.as_ref().map(|place| place.until)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gate.crowd.borrow_mut().leave(self.origin);
    }
}
