//! A listener at work: whoever connects is admitted, until it is closed. Not its socket, which is `listener`, and not who
//! is let in, which is `admission`.

use std::cell::{OnceCell, Ref, RefCell};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::task::spawn_local;
use tokio_util::sync::{CancellationToken, DropGuard};
use uartnet_reactor::sleep;

use crate::access::Door;
use crate::admission::{Admission, Offer};
use crate::config::ListenAddress;
use crate::conn_task::{Bells, Ending};
use crate::crew;
use crate::listener::{Bound, Listener, Listening};
use crate::tls::LiveTls;

/// How many are accepted in one turn, so that a crowd leaves time for the others.
const ACCEPTED_A_TURN: usize = 64;

/// A listener that accepts, until it is closed or dropped.
#[derive(Debug)]
pub(crate) struct RunningListener {
    front: Rc<Front>,
    accepting: crew::Id,
}

/// What a listener and those who came by it have in common. There may be hundreds of listeners to which nobody ever
/// comes, so what only clients need is made for the first of them.
struct Front {
    /// `None` once it is closed.
    listener: RefCell<Option<Listener>>,
    /// Where, with the port number the system chose.
    address: ListenAddress,
    /// What it offers to whoever comes next.
    offer: RefCell<Rc<Offer>>,
    /// Whom it lets in, and who is in by it.
    door: OnceCell<Rc<Door>>,
    /// Held for its end: as long as it lives, its certificate is read again when it changes.
    fresh: RefCell<Option<DropGuard>>,
    /// How those who are in learn that they are to end.
    bells: OnceCell<Rc<Bells>>,
    /// Of the whole daemon.
    ending: Ending,
    admission: Rc<Admission>,
}

impl Front {
    fn door(&self) -> &Rc<Door> {
        self.door
            .get_or_init(|| Rc::new(Door::new(self.offer.borrow().door_rules())))
    }

    fn bells(&self) -> &Rc<Bells> {
        self.bells
            .get_or_init(|| Rc::new(Bells::new(self.ending.clone())))
    }

    fn keep_fresh(&self) {
        // Without a certificate nothing becomes stale, and so there need be no door yet.
        let tls = self.offer.borrow().tls.clone();
        let fresh = tls.map(|tls| keep_fresh(tls, self.door().clone()));
        self.fresh.replace(fresh);
    }
}

impl RunningListener {
    /// Accepts from now on. Must be called within the daemon's runtime.
    pub(crate) fn start(
        listener: Listener,
        offer: Rc<Offer>,
        admission: &Rc<Admission>,
        ending: &Ending,
    ) -> RunningListener {
        let front = Rc::new(Front {
            address: listener.address().clone(),
            listener: RefCell::new(Some(listener)),
            fresh: RefCell::default(),
            door: OnceCell::new(),
            bells: OnceCell::new(),
            offer: RefCell::new(offer),
            ending: ending.clone(),
            admission: admission.clone(),
        });
        front.keep_fresh();
        let accepting = crew::join(Accepting(front.clone()));
        RunningListener { front, accepting }
    }

    /// Where, with the port number the system chose.
    pub(crate) fn address(&self) -> &ListenAddress {
        &self.front.address
    }

    /// Its socket, as long as it accepts.
    pub(crate) fn socket(&self) -> Option<Rc<Bound>> {
        let listener = self.front.listener.borrow();
        listener.as_ref().map(|it| it.socket().clone())
    }

    /// What it offers to whoever comes next.
    pub(crate) fn offer(&self) -> Ref<'_, Offer> {
        Ref::map(self.front.offer.borrow(), |it| &**it)
    }

    /// It offers this from now on, also to those who are in as far as it takes something from them.
    pub(crate) fn set_offer(&self, now: Instant, offer: Rc<Offer>) {
        let rules = offer.door_rules();
        self.front.offer.replace(offer);
        self.front.keep_fresh();
        if let Some(door) = self.front.door.get() {
            door.set_rules(now, rules);
        }
    }

    /// The line that says that it accepts.
    pub(crate) fn listening(&self) -> Listening {
        let offer = self.offer();
        Listening {
            protocol: offer.config.endpoint.name(),
            address: self.front.address.clone(),
            port: offer.config.port.clone(),
        }
    }

    /// Nobody is accepted any more. Whoever is in stays.
    pub(crate) fn close(&self) {
        self.front.listener.take();
        crew::abort(self.accepting);
    }

    /// It is no longer wanted: nobody is accepted, and whoever came by it is asked to leave, and after `limit` cut off.
    pub(crate) fn leave(self, limit: Duration) {
        self.close();
        let Some(bells) = self.front.bells.get() else {
            return;
        };
        let Ending { stop, cut } = bells.ending().clone();
        stop.cancel();
        spawn_local(async move {
            if cut.run_until_cancelled(sleep(limit)).await.is_some() {
                cut.cancel();
            }
        });
    }
}

impl Drop for RunningListener {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// The certificate is read again when it changes, as long as what this gives lives; whoever came by this door is looked at
/// then.
fn keep_fresh(tls: Rc<LiveTls>, door: Rc<Door>) -> DropGuard {
    let over = CancellationToken::new();
    let end = over.clone();
    spawn_local(async move {
        let changed = || door.look_around(Instant::now());
        end.run_until_cancelled(tls.keep_fresh(changed)).await
    });
    over.drop_guard()
}

/// Accepts until the listener is closed. A future by hand and no `async fn`, which keeps what it is given twice.
struct Accepting(Rc<Front>);

impl Future for Accepting {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let front = &self.0;
        for _ in 0..ACCEPTED_A_TURN {
            let mut listener = front.listener.borrow_mut();
            let Some(listener) = &mut *listener else {
                return Poll::Ready(());
            };
            let stream = ready!(listener.poll_accept(cx));
            let offer = front.offer.borrow().clone();
            front
                .admission
                .admit(stream, &offer, front.door(), front.bells());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
