//! One connection's view of the gateway: who it is, the ports it may see, and the way to become a client of one. Not what
//! is then said to the hub.

use std::cell::{Cell, RefCell, RefMut};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use uart_iface::{ErrorCounters, LineSettings, PortName};
use uartnet_hub::{
    Access, Attach, Attached, Epoch, HubInfo, OnLag, Profile, ReadFrom, Refusal, Right, Sequence,
};

use super::audit::{Event, Who};
use super::crowd::Origin;
use super::gate::{Arrival, Gate, GateCounters, Place};
use super::identity::{Credential, Grant, Identity};
use super::overseer::Overseer;
use super::token::NotInForce;
use crate::gateway::{ConnectionCounters, PortClient, PortHandle};
use crate::log::{LogCounters, NoPage, PageSlot, Query};
use crate::nudge::Nudge;
use crate::reload::Ticket;

/// A token's end is looked at at least this often: dates can be set, and instants stand still while a machine sleeps.
const LOOK_AT_DATE: Duration = Duration::from_secs(60);

/// How the right to have the configuration read again is called where rights to ports have their names.
const RELOAD: &str = "reload";

/// What is said to who presents a token where certificates are asked for.
const TOKEN_BESIDE_CERTIFICATE: &str = "this listener knows you by your certificate, and takes no token beside it; \
    come without one (uart logout, no UART_TOKEN)";

/// How many refusals of one connection are written down one by one.
const REFUSED_TOLD: usize = 32;

/// Somebody who has connected, and what they see of the gateway.
#[derive(Debug)]
pub struct Visitor {
    gate: Rc<Gate>,
    origin: Origin,
    /// Where they are.
    peer: Arc<str>,
    protocol: &'static str,
    /// Most have the same as others, and share it.
    identity: RefCell<Rc<Identity>>,
    unusual: RefCell<Option<Box<Unusual>>>,
    admitted: Cell<bool>,
    nudge: Rc<Nudge>,
}

/// What there is to few visitors.
#[derive(Debug, Default)]
struct Unusual {
    /// While they have not said who they are.
    place: Option<Box<Place>>,
    /// When the date is to be looked at next, because the token has an end.
    look_at: Option<Instant>,
    leaving: Option<Leaving>,
    refused: Refused,
}

/// They are shown out.
#[derive(Debug)]
struct Leaving {
    farewell: Farewell,
    /// When they are told.
    at: Instant,
}

/// What somebody is told last who is not, or no longer, let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Farewell(String);

/// What somebody was refused.
#[derive(Debug, Default)]
struct Refused {
    /// Of which port, if of one, and what.
    told: Vec<(Option<PortName>, &'static str)>,
    more: u64,
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
    /// Somebody has come in through the gate; `nudge` is rung when there is something to tell them.
    pub fn new(now: Instant, arrival: Arrival, nudge: Rc<Nudge>) -> Rc<Visitor> {
        let Arrival {
            gate,
            origin,
            peer,
            protocol,
            identity,
            place,
        } = arrival;
        let identity = gate.share(identity);
        let visitor = Rc::new(Visitor {
            gate,
            origin,
            peer,
            protocol,
            identity: RefCell::new(identity),
            unusual: RefCell::default(),
            admitted: Cell::new(false),
            nudge,
        });
        if place.is_some() {
            visitor.unusual().place = place;
        }
        visitor.gate.enter(&visitor);
        if visitor.may_see_anything() {
            visitor.admit(now);
        }
        if visitor.identity.borrow().credential.certificate().is_some() {
            visitor.check_credential(now);
        }
        visitor
    }

    // --- getters

    /// The gateway's name.
    pub fn gateway_name(&self) -> Rc<str> {
        self.gate.gateway().name()
    }

    /// Which life of the daemon this is.
    pub fn epoch(&self) -> Epoch {
        self.gate.gateway().epoch()
    }

    /// The largest frame accepted or sent, in bytes, on a connection that begins now.
    pub fn max_frame(&self) -> usize {
        self.gate.gateway().max_frame()
    }

    /// What became of those who connected, over all listeners.
    pub fn connections(&self) -> ConnectionCounters {
        self.gate.gateway().connections().counters()
    }

    /// What the gate has counted.
    pub fn gate_counters(&self) -> GateCounters {
        self.gate.counters()
    }

    /// How long the daemon has lived.
    pub fn uptime(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.gate.gateway().began())
    }

    /// Asks for the configuration to be read again.
    ///
    /// # Errors
    /// [`Refusal::Access`]: it needs admin access to everything.
    pub fn reload(&self, now: Instant) -> Result<Rc<Ticket>, Refusal> {
        let needed = Access::Admin;
        let everywhere = self.identity.borrow().grant.everywhere();
        if everywhere < Some(needed) {
            let has = everywhere.unwrap_or(Access::Read);
            self.note_refused_what(now, None, RELOAD, needed, has);
            return Err(Refusal::Access { needed, has });
        }
        self.record(now, |who| Event::Control {
            who,
            port: None,
            right: RELOAD,
            what: "config",
        });
        Ok(self.gate.gateway().reloads().ask(&self.nudge))
    }

    /// Where they are, for logs.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// The name of their credential; `None`: they have none.
    pub fn name(&self) -> Option<String> {
        let identity = self.identity.borrow();
        identity.credential.name().map(ToString::to_string)
    }

    /// Whether they may know of any port at all. Who may not must say who they are first.
    pub fn may_see_anything(&self) -> bool {
        self.identity.borrow().grant != Grant::Nothing
    }

    /// Whether they may see every port there is, and so what happens to the gateway as a whole.
    pub fn may_see_everything(&self) -> bool {
        self.identity.borrow().grant.everywhere().is_some()
    }

    /// The ports they may see, in the order of the configuration.
    pub fn ports(self: &Rc<Self>) -> Vec<AllowedPort> {
        let ports = self.gate.gateway().ports();
        ports.iter().filter_map(|port| self.allow(port)).collect()
    }

    /// The port of this name, if they may see it. There is no telling a hidden port from one that does not exist.
    pub fn port(self: &Rc<Self>, name: &str) -> Option<AllowedPort> {
        self.allow(&self.gate.gateway().port(name)?)
    }

    /// The date.
    pub(super) fn date(&self, now: Instant) -> SystemTime {
        self.gate.date(now)
    }

    /// Whether they would be who they are, and might do as much, if they came in again where this is permitted without a
    /// credential, or by a certificate of no identity.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn check_standing(&self, permitted: Option<Access>) -> Result<(), String> {
        let identity = self.identity.borrow();
        if let Credential::Certificate(certificate) = &identity.credential {
            self.gate.still_knows(certificate)?;
            if identity.grant == Grant::Nothing {
                return Err("no identity is known by the certificate".to_owned());
            }
        }
        if identity.credential.name().is_none() && identity.grant.everywhere() > permitted {
            return Err(match &identity.credential {
                Credential::Certificate(_) => {
                    "what may be done here by a certificate of no identity has become less"
                }
                _ => "what may be done here without a credential has become less",
            }
            .to_owned());
        }
        Ok(())
    }

    /// Whether they are being shown out: nothing they say is listened to.
    pub(crate) fn is_leaving(&self) -> bool {
        let unusual = self.unusual.borrow();
        unusual.as_ref().is_some_and(|it| it.leaving.is_some())
    }

    /// What they are to be told last, once its time has come.
    pub(crate) fn farewell(&self, now: Instant) -> Option<Farewell> {
        let unusual = self.unusual.borrow();
        let leaving = unusual.as_ref()?.leaving.as_ref();
        Some(leaving.filter(|it| it.at <= now)?.farewell.clone())
    }

    /// When [`Visitor::handle_timeout`] is due.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        let unusual = self.unusual.borrow();
        let Unusual {
            place,
            look_at,
            leaving,
            ..
        } = &**unusual.as_ref()?;
        if let Some(leaving) = leaving {
            return Some(leaving.at);
        }
        place.as_ref().map(|place| place.until).or(*look_at)
    }

    // --- the world spoke

    /// Time passed.
    pub(crate) fn handle_timeout(&self, now: Instant) {
        self.gate.note_time(now);
        let (late, look) = match &*self.unusual.borrow() {
            None => (false, false),
            Some(unusual) => (
                (unusual.place.as_ref()).is_some_and(|place| place.until <= now),
                unusual.look_at.is_some_and(|at| at <= now),
            ),
        };
        if late {
            self.turn_away(now, "nobody has said who is there in time");
        } else if look {
            self.check_credential(now);
        }
    }

    /// Their credential may not be what it was, or the date has come.
    pub(super) fn check_credential(&self, now: Instant) {
        if self.is_leaving() {
            return;
        }
        let date = self.gate.date(now);
        let until = match &self.identity.borrow().credential {
            Credential::Anonymous => return,
            Credential::Token(token) => match self.gate.still_has(token, date) {
                Ok(()) => Ok(token.expires),
                Err(why) => Err(why.to_string()),
            },
            Credential::Certificate(certificate) => match certificate.subject.ends {
                ends if ends <= date => Err("the certificate has expired".to_owned()),
                ends => Ok(Some(ends)),
            },
        };
        match until {
            Err(why) => self.show_to_the_door(now, &why),
            Ok(until) => {
                self.unusual().look_at = until.map(|until| {
                    let left = until.duration_since(date).unwrap_or_default();
                    now + left.min(LOOK_AT_DATE)
                });
            }
        }
    }

    /// Those who came in where they did are looked at, and this is to be said against them.
    pub(super) fn show_to_the_door(&self, now: Instant, why: &str) {
        if !self.is_leaving() {
            tracing::info!(peer = &*self.peer, "shown out: {why}");
            self.show_out(now, why);
        }
    }

    // --- commands

    /// They say who they are, by a token. Whether they are let in; if not, they are told so in a while, and leave.
    pub fn present(&self, now: Instant, secret: &str) -> bool {
        if self.identity.borrow().credential.certificate().is_some() {
            // Not even whether it is one is looked at: nobody is two at once.
            self.turn_away(now, TOKEN_BESIDE_CERTIFICATE);
            return false;
        }
        match self.gate.check(now, secret) {
            Ok(token) => {
                *self.identity.borrow_mut() = self.gate.share(token.identity());
                self.unusual().place = None;
                self.admit(now);
                self.check_credential(now);
                true
            }
            Err(why) => {
                self.refuse_token(now, &why);
                false
            }
        }
    }

    fn refuse_token(&self, now: Instant, why: &NotInForce) {
        let why = why.to_string();
        self.gate
            .turn_away(now, self.origin, &self.peer, self.protocol, &why);
        let at = self.gate.handle_failure(now, self.origin);
        self.show_out(at, "this token is not in force here");
    }

    /// They have not said who they are, and must.
    pub fn turn_away(&self, now: Instant, why: &str) {
        self.gate
            .turn_away(now, self.origin, &self.peer, self.protocol, why);
        self.show_out(now, why);
    }

    fn show_out(&self, at: Instant, why: &str) {
        let farewell = Farewell(why.to_owned());
        self.unusual().leaving = Some(Leaving { farewell, at });
        self.nudge.ring();
    }

    fn admit(&self, now: Instant) {
        self.admitted.set(true);
        self.record(now, |who| Event::Admitted { who });
    }

    // --- helpers

    fn unusual(&self) -> RefMut<'_, Unusual> {
        RefMut::map(self.unusual.borrow_mut(), |it| {
            &mut **it.get_or_insert_default()
        })
    }

    fn allow(self: &Rc<Self>, port: &Rc<PortHandle>) -> Option<AllowedPort> {
        let access = self.identity.borrow().grant.on(port.name())?;
        Some(AllowedPort {
            port: port.clone(),
            access,
            visitor: self.clone(),
        })
    }

    /// Writes down something that was refused them. The first time of each kind: a client may try for ever.
    pub(super) fn note_refused(&self, now: Instant, port: &PortName, right: Right, has: Access) {
        self.note_refused_what(now, Some(port), right.as_str(), right.needs(), has);
    }

    fn note_refused_what(
        &self,
        now: Instant,
        port: Option<&PortName>,
        right: &'static str,
        needed: Access,
        has: Access,
    ) {
        let kind = (port.cloned(), right);
        let refused = &mut self.unusual().refused;
        if refused.told.contains(&kind) || refused.told.len() >= REFUSED_TOLD {
            refused.more += 1;
            return;
        }
        refused.told.push(kind);
        let why = format!("needs {needed} access, has {has}");
        self.record(now, |who| Event::Refused {
            who,
            port: port.map(PortName::as_str),
            right,
            why: &why,
        });
    }

    pub(super) fn record<'a>(&'a self, now: Instant, event: impl FnOnce(Who<'a>) -> Event<'a>) {
        self.gate.note_time(now);
        let who = Who {
            peer: &self.peer,
            protocol: self.protocol,
            credential: self.identity.borrow().credential.clone(),
        };
        self.gate.audit().record(self.gate.date(now), &event(who));
    }

    /// The name of a writer of theirs: nobody can take over what somebody else wrote under the same name.
    fn writer(&self, name: &str) -> String {
        // No credential is written with a NUL.
        format!("{}\0{name}", self.identity.borrow().credential)
    }

    /// Who it is, for logs and for other clients' refusals.
    fn label(&self) -> Arc<str> {
        match self.name() {
            None => self.peer.clone(),
            Some(name) => format!("{name} ({})", self.peer).into(),
        }
    }
}

impl AllowedPort {
    /// Its name.
    pub fn name(&self) -> &PortName {
        self.port.name()
    }

    /// Which life of the port its offsets belong to.
    pub fn epoch(&self) -> Epoch {
        self.port.epoch()
    }

    /// Its device spec.
    pub fn device(&self) -> String {
        self.port.device()
    }

    /// [`PortHandle::profile`].
    pub fn profile(&self) -> Option<Profile> {
        self.port.profile()
    }

    /// Its sequences, and those that every port has.
    pub fn sequences(&self) -> Vec<Sequence> {
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

    /// What became of what its logs were given, all of them together; `None`: it keeps none.
    pub(crate) fn log_counters(&self) -> Option<LogCounters> {
        let received = self.port.info().end.0;
        let logs = self.port.logs();
        let counters = logs.iter().map(|log| log.counters(received));
        counters.reduce(LogCounters::and)
    }

    /// Asks for a page of its log; who asks is nudged when it is there.
    pub(crate) fn read_log(&self, now: Instant, query: Query) -> Result<Rc<PageSlot>, NoPage> {
        let right = Right::ReadLog;
        if !self.access.allows(right) {
            let visitor = &self.visitor;
            visitor.note_refused(now, self.port.name(), right, self.access);
            return Err(NoPage::Refused(Refusal::Access {
                needed: right.needs(),
                has: self.access,
            }));
        }
        let logs = self.port.logs();
        let log = logs.iter().find(|log| log.is_readable());
        log.ok_or(NoPage::NoLog)?.ask(query, &self.visitor.nudge)
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
        let access = attach.access;
        let (client, attached) = self.port.attach(now, attach, &self.visitor.nudge);
        let overseer = Overseer {
            visitor: self.visitor.clone(),
            access,
        };
        (client.overseen_by(overseer), attached)
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        if self.admitted.get() {
            let unusual = self.unusual.take().unwrap_or_default();
            let more_refused = unusual.refused.more;
            let why = unusual.leaving.map(|leaving| leaving.farewell.to_string());
            self.record(self.gate.latest(), |who| Event::Left {
                who,
                more_refused,
                why: why.as_deref(),
            });
        }
    }
}

impl fmt::Display for Farewell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
