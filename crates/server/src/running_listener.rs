//! A listener at work: whoever connects is admitted, until it is closed. Not its socket, which is `listener`, and not who
//! is let in, which is `admission`.

use std::cell::{Ref, RefCell};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::task::{AbortHandle, spawn_local};
use tokio::time::sleep;
use tokio_util::sync::DropGuard;

use crate::access::Door;
use crate::admission::{Admission, Offer};
use crate::config::ListenAddress;
use crate::conn_task::{Bells, Ending};
use crate::listener::{Bound, Listener, Listening};

/// A listener that accepts, until it is closed or dropped.
#[derive(Debug)]
pub(crate) struct RunningListener {
    front: Rc<Front>,
    accepting: AbortHandle,
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
    door: Rc<Door>,
    /// Held for its end: as long as it lives, its certificate is read again when it changes.
    fresh: RefCell<Option<DropGuard>>,
    /// How they learn that they are to end.
    bells: Rc<Bells>,
    admission: Rc<Admission>,
}

impl RunningListener {
    /// Accepts from now on. Must be called within the daemon's runtime.
    pub(crate) fn start(
        listener: Listener,
        offer: Rc<Offer>,
        admission: &Rc<Admission>,
        ending: &Ending,
    ) -> RunningListener {
        let door = Rc::new(Door::new(offer.door_rules()));
        let front = Rc::new(Front {
            address: listener.address().clone(),
            listener: RefCell::new(Some(listener)),
            fresh: RefCell::new(offer.keep_fresh(&door)),
            door,
            offer: RefCell::new(offer),
            bells: Rc::new(Bells::new(ending.clone())),
            admission: admission.clone(),
        });
        let accepting = spawn_local(Accepting(front.clone())).abort_handle();
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
        self.front.fresh.replace(offer.keep_fresh(&self.front.door));
        self.front.offer.replace(offer);
        self.front.door.set_rules(now, rules);
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
        self.accepting.abort();
    }

    /// It is no longer wanted: nobody is accepted, and whoever came by it is asked to leave, and after `limit` cut off.
    pub(crate) fn leave(self, limit: Duration) {
        self.close();
        let Ending { stop, cut } = self.front.bells.ending().clone();
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

/// Accepts until the listener is closed. A future by hand and no `async fn`, which keeps what it is given twice.
struct Accepting(Rc<Front>);

impl Future for Accepting {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let front = &self.0;
        loop {
            let mut listener = front.listener.borrow_mut();
            let Some(listener) = &mut *listener else {
                return Poll::Ready(());
            };
            let stream = ready!(listener.poll_accept(cx));
            let offer = front.offer.borrow().clone();
            front
                .admission
                .admit(stream, &offer, &front.door, &front.bells);
        }
    }
}
