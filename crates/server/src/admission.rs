//! From an accepted socket to a conversation, in one place for every protocol and in this order: from where
//! the client comes, limits, who it is, its session. What is said in it is the endpoint's, how it is carried is `conn_task`'s.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::mem::replace;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::access::{
    Arrival, Came, Counts, Door, DoorRules, Gate, Guarded, Identity, Origin, Visitor,
};
use crate::config::ListenerConfig;
use crate::conn_task::{self, Account, Bells, Serving, Stream};
use crate::crew;
use crate::endpoint::Connection;
use crate::nudge::Nudge;
use crate::tls::{Chain, LiveTls, Shaken, read_subject, shake_hands};
use bytes::Bytes;
use tokio_util::task::TaskTracker;

/// How many refused clients are answered at once; more than these are just closed.
const REFUSED_AT_ONCE: usize = 64;

/// How many clients one other machine may have here, unless the configuration says something else.
const PER_PEER: usize = 1024;

/// What a listener offers to whoever connects.
#[derive(Debug)]
pub(crate) struct Offer {
    /// What the configuration says of it.
    pub(crate) config: Arc<ListenerConfig>,
    /// What is spoken underneath, if it is not in the clear.
    pub(crate) tls: Option<Rc<LiveTls>>,
}

impl Offer {
    /// Whom it lets in.
    pub(crate) fn door_rules(&self) -> DoorRules {
        DoorRules {
            allowed: self.config.allowed.clone(),
            access: self.config.access,
            tls: self.tls.clone(),
        }
    }
}

/// Lets clients in, and counts those that are there.
#[derive(Debug)]
pub(crate) struct Admission {
    gate: Rc<Gate>,
    connections: TaskTracker,
    served: Cell<usize>,
    peers: RefCell<Counts>,
    refused: Cell<usize>,
    limits: Cell<Limits>,
    cut: Cell<CutShort>,
}

/// How much is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// How many clients may be there at once.
    pub(crate) connections: usize,
    /// How many of one address. `None`: [`PER_PEER`], and those of this machine any number.
    pub(crate) per_peer: Option<usize>,
    /// Within what time a vanished machine is noticed.
    pub(crate) dead_peer: Duration,
}

impl Limits {
    /// How many of this origin may be there at once.
    fn of(&self, origin: Origin) -> usize {
        match self.per_peer {
            Some(limit) if origin != Origin::Local => limit,
            None if !origin.is_this_machine() => PER_PEER,
            Some(_) | None => usize::MAX,
        }
    }
}

/// What became of connections that were cut.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CutShort {
    /// How many.
    pub(crate) connections: u64,
    /// Bytes their clients had not taken.
    pub(crate) unsent: u64,
}

impl Admission {
    /// Nobody is there yet.
    pub(crate) fn new(gate: Rc<Gate>, limits: Limits) -> Admission {
        Admission {
            gate,
            connections: TaskTracker::new(),
            served: Cell::new(0),
            peers: RefCell::default(),
            refused: Cell::new(0),
            limits: Cell::new(limits),
            cut: Cell::default(),
        }
    }

    /// Where everybody comes through.
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Lets in as much as this from now on. Who is in already stays.
    pub(crate) fn set_limits(&self, limits: Limits) {
        self.limits.set(limits);
    }

    /// How many clients are served.
    pub(crate) fn served(&self) -> usize {
        self.served.get()
    }

    /// What became of connections that were cut.
    pub(crate) fn cut_short(&self) -> CutShort {
        self.cut.get()
    }

    /// Until every connection is over. None may be admitted from now on.
    pub(crate) async fn wait(&self) {
        self.connections.close();
        self.connections.wait().await;
    }

    /// A client has connected.
    pub(crate) fn admit(
        self: &Rc<Self>,
        stream: Stream,
        offer: &Rc<Offer>,
        door: &Rc<Door>,
        bells: &Rc<Bells>,
    ) {
        let peer: Arc<str> = stream.peer().into();
        let address = stream.address();
        let origin = Origin::of(address);
        let endpoint = offer.config.endpoint;
        let protocol = endpoint.name();
        if !offer.config.allowed.contains(address) {
            let gate = &self.gate;
            return gate.handle_not_allowed(Instant::now(), origin, &peer, protocol);
        }
        if let Err(error) = stream.tune(self.limits.get().dead_peer) {
            tracing::debug!(peer = &*peer, %error, "a client left as it came");
            return;
        }
        let limit = self.limits.get().connections;
        if self.served.get() >= limit {
            let why = format!("all {limit} connections of this gateway are in use");
            self.gate
                .turn_away(Instant::now(), origin, &peer, protocol, &why);
            return self.refuse(stream, offer, &why, bells);
        }
        let seat = match Seat::new(self, origin) {
            Ok(seat) => seat,
            Err(count) => {
                let why = format!(
                    "{count} connections of this address are in use, and it may have no more"
                );
                self.gate
                    .turn_away(Instant::now(), origin, &peer, protocol, &why);
                return self.refuse(stream, offer, &why, bells);
            }
        };
        let arrival = self.gate.arrive(
            Instant::now(),
            origin,
            peer.clone(),
            protocol,
            match &offer.tls {
                None => Identity::anonymous(offer.config.access),
                // Whoever they are, they are a stranger until hands are shaken.
                Some(_) => Identity::anonymous(None),
            },
        );
        let arrival = match arrival {
            Ok(arrival) => arrival,
            Err(crowded) => {
                return self.refuse(stream, offer, &crowded.to_string(), bells);
            }
        };
        self.gate.gateway().connections().accepted();
        tracing::debug!(peer = &*peer, protocol, "connected");
        let arrived = Box::new(Arrived {
            stream,
            arrival,
            offer: offer.clone(),
            door: door.clone(),
            bells: bells.clone(),
        });
        crew::join(self.connections.track_future(Conversation {
            stage: Stage::Arrived(arrived),
            seat,
            protocol,
            peer,
        }));
    }

    fn refuse(self: &Rc<Self>, stream: Stream, offer: &Offer, why: &str, bells: &Bells) {
        self.gate.gateway().connections().refused();
        // To shake hands with all who come is what the limits are against.
        if self.refused.get() >= REFUSED_AT_ONCE || offer.tls.is_some() {
            return;
        }
        let answer = offer.config.endpoint.busy(why);
        let refused = Refused::new(self);
        let ending = bells.ending().clone();
        self.connections.spawn_local(async move {
            conn_task::refuse(stream, answer, ending).await;
            drop(refused);
        });
    }
}

/// All there is to one admitted client, from who it is to its end. Before it is served there is more to it than after, so
/// that is in a box.
struct Conversation {
    stage: Stage,
    seat: Seat,
    protocol: &'static str,
    peer: Arc<str>,
}

enum Stage {
    Arrived(Box<Arrived>),
    /// It comes to nothing if hands cannot be shaken.
    ShakingHands(Pin<Box<dyn Future<Output = Option<Serving<Guarded>>>>>),
    Serving(Serving<Guarded>),
    Over,
}

impl Future for Conversation {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let conversation = self.get_mut();
        loop {
            let stage = match &mut conversation.stage {
                Stage::Arrived(_) => match replace(&mut conversation.stage, Stage::Over) {
                    Stage::Arrived(arrived) => arrived.proceed(),
                    other => other,
                },
                Stage::ShakingHands(shaking) => match ready!(shaking.as_mut().poll(cx)) {
                    Some(serving) => Stage::Serving(serving),
                    None => return Poll::Ready(()),
                },
                Stage::Serving(serving) => {
                    if let Err(error) = ready!(Pin::new(serving).poll(cx)) {
                        tracing::debug!(peer = &*conversation.peer, %error, "connection lost");
                    }
                    return Poll::Ready(());
                }
                Stage::Over => return Poll::Ready(()),
            };
            conversation.stage = stage;
        }
    }
}

/// Somebody who was let in, before anything is known of them.
struct Arrived {
    stream: Stream,
    arrival: Arrival,
    offer: Rc<Offer>,
    door: Rc<Door>,
    bells: Rc<Bells>,
}

impl Arrived {
    /// What comes next.
    fn proceed(self: Box<Self>) -> Stage {
        match (&self.stream, &self.offer.tls) {
            (Stream::Tcp(_), Some(_)) => Stage::ShakingHands(Box::pin(shake(self))),
            _ => Stage::Serving(self.serve(None)),
        }
    }

    /// What is spoken with them. `chain`: the certificates that they have shown.
    fn serve(self, chain: Option<Chain>) -> Serving<Guarded> {
        let Arrived {
            stream,
            arrival,
            offer,
            door,
            bells,
        } = self;
        let came = Came {
            from: stream.address(),
            by_tls: offer.tls.is_some(),
            shown: chain.map(Box::new),
        };
        let nudge = Rc::<Nudge>::default();
        let visitor = Visitor::new(Instant::now(), arrival, nudge.clone());
        door.enter(Instant::now(), &visitor, came);
        let connection = Connection {
            visitor: visitor.clone(),
            port: offer.config.port.clone(),
            options: offer.config.stream.clone(),
        };
        let session = offer.config.endpoint.session(Instant::now(), connection);
        let session = Guarded::new(visitor, session);
        Serving::new(stream, session, nudge, bells)
    }
}

/// Hands are shaken, and it is asked who they are.
async fn shake(arrived: Box<Arrived>) -> Option<Serving<Guarded>> {
    let Arrived {
        stream,
        mut arrival,
        offer,
        door,
        bells,
    } = *arrived;
    let (Stream::Tcp(stream), Some(tls)) = (stream, &offer.tls) else {
        return None;
    };
    let shaking = shake_hands(stream, tls, arrival.deadline());
    match bells.ending().stop.run_until_cancelled(shaking).await {
        None => None,
        Some(Err(failed)) => {
            let (of_certificate, why) = (failed.why.is_of_certificate(), failed.why.to_string());
            arrival.handle_no_handshake(Instant::now(), of_certificate, &why);
            if let Some(told) = failed.told {
                let ending = bells.ending().clone();
                conn_task::refuse(Stream::Tcp(told), Bytes::new(), ending).await;
            }
            None
        }
        Some(Ok(Shaken { stream, chain })) => {
            tracing::debug!(peer = arrival.peer(), "hands shaken");
            arrival.identify(match chain.as_deref() {
                // It was understood when hands were shaken.
                Some([shown, ..]) => match read_subject(shown) {
                    Ok(subject) => arrival.known_by(subject, offer.config.access),
                    Err(_) => Identity::anonymous(None),
                },
                Some([]) | None => Identity::anonymous(offer.config.access),
            });
            let stream = Stream::Tls(stream);
            let arrived = Arrived {
                stream,
                arrival,
                offer,
                door,
                bells,
            };
            Some(arrived.serve(chain))
        }
    }
}

/// One who is refused, for as long as that takes; also when its task panics.
struct Refused(Rc<Admission>);

impl Refused {
    fn new(admission: &Rc<Admission>) -> Refused {
        admission.refused.update(|count| count + 1);
        Refused(admission.clone())
    }
}

impl Drop for Refused {
    fn drop(&mut self) {
        self.0.refused.update(|count| count - 1);
    }
}

/// One of those that are served, and of those that its address may have, for as long as it lives; also when its task panics.
struct Seat {
    admission: Rc<Admission>,
    origin: Origin,
}

impl Seat {
    /// # Errors
    /// How many its address has, which are all it may have.
    fn new(admission: &Rc<Admission>, origin: Origin) -> Result<Seat, usize> {
        let limit = admission.limits.get().of(origin);
        admission.peers.borrow_mut().enter(origin, limit)?;
        admission.served.update(|count| count + 1);
        Ok(Seat {
            admission: admission.clone(),
            origin,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.admission.served.update(|count| count - 1);
        self.admission.peers.borrow_mut().leave(self.origin);
    }
}

impl Drop for Conversation {
    /// It is told when it is over, however it ends.
    fn drop(&mut self) {
        let Account {
            received,
            sent,
            unsent,
            cut,
        } = match &self.stage {
            Stage::Serving(serving) => serving.account(),
            Stage::Arrived(_) | Stage::ShakingHands(_) | Stage::Over => Account::default(),
        };
        let (peer, protocol) = (&*self.peer, self.protocol);
        if std::thread::panicking() {
            tracing::error!(
                peer,
                protocol,
                received,
                sent,
                "connection ended by a defect of ours"
            );
        } else if cut {
            tracing::warn!(peer, protocol, received, sent, unsent, "connection cut");
        } else {
            tracing::debug!(peer, protocol, received, sent, "disconnected");
        }
        self.seat.admission.gate.gateway().connections().ended(cut);
        if cut {
            self.seat.admission.cut.update(|cut| CutShort {
                connections: cut.connections + 1,
                unsent: cut.unsent + unsent,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn how_many_one_address_may_have() {
        let limits = |per_peer| Limits {
            connections: 4096,
            per_peer,
            dead_peer: Duration::from_secs(90),
        };
        for (address, unsaid, said) in [
            (Some("192.0.2.7"), PER_PEER, 3),
            (Some("2001:db8::7"), PER_PEER, 3),
            (Some("127.0.0.1"), usize::MAX, 3),
            (Some("::ffff:127.0.0.1"), usize::MAX, 3),
            (Some("::1"), usize::MAX, 3),
            (None, usize::MAX, usize::MAX),
        ] {
            let address = address.map(|it| it.parse::<IpAddr>().unwrap());
            let origin = Origin::of(address);
            assert_eq!(limits(None).of(origin), unsaid, "{address:?}");
            assert_eq!(limits(Some(3)).of(origin), said, "{address:?}");
        }
    }
}
