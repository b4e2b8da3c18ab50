//! The one list of endpoints: the network protocols a port is offered on. Each connection's conversation is a
//! [`Session`], pure over the gateway: bytes, a `now` and the hubs' notices in, bytes out. No socket, no clock, no tokio.

mod bridge;
mod native;
mod output;
mod raw;
mod rfc2217;
mod writer;

use std::fmt;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
pub use output::Output;

use uart_iface::PortName;

use crate::access::{AllowedPort, Farewell, Visitor};
use crate::config::StreamOptions;

/// Every endpoint, in the order help and documentation show them. A new one is one file and one line here.
pub const ENDPOINTS: &[&dyn EndpointKind] = &[&native::Native, &raw::Raw, &rfc2217::Rfc2217];

/// How an endpoint relates to the ports of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortNeed {
    /// It speaks to one port and must be told which (unless the gateway has only one).
    One,
    /// It speaks to every port; naming one adds something (`uartnet`: the plain conversation's port).
    Optional,
    /// It speaks to every port; naming one is an error.
    All,
}

/// One kind of endpoint: it describes itself and makes a session for each connection.
pub trait EndpointKind: Sync {
    /// Its name in configuration, on the command line, and in the `listening` line.
    fn name(&self) -> &'static str;

    /// One line for `uartd --help` and the documentation.
    fn summary(&self) -> &'static str;

    /// How it relates to ports.
    fn port_need(&self) -> PortNeed;

    /// The keys of its own that a listener may have, e.g. `from` ([`StreamOptions`]).
    fn options(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether a client can present a token over it.
    fn carries_token(&self) -> bool {
        false
    }

    /// The conversation with a client that has just connected.
    fn session(&self, now: Instant, connection: Connection) -> Box<dyn Session>;

    /// What a client is told that cannot be served now; empty where the protocol has no way to say it.
    fn busy(&self, _sentence: &str) -> Bytes {
        Bytes::new()
    }
}

/// A client that has just connected.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Who it is, and the only way to the ports.
    pub visitor: Rc<Visitor>,
    /// The listener's port.
    pub port: Option<PortName>,
    /// What the listener was told besides.
    pub options: StreamOptions,
}

impl Connection {
    /// The listener's port, if it has one and this client may see it.
    fn port(&self) -> Option<AllowedPort> {
        self.visitor.port(self.port.as_ref()?.as_str())
    }
}

/// A conversation with one client, as a pure state machine. Dropping it is the end of the connection.
pub trait Session: fmt::Debug {
    /// Bytes arrived. Not called while [`Session::wants_input`] is false or after the end of input.
    fn handle_input(&mut self, now: Instant, bytes: &[u8]);

    /// The client has shut down its sending half.
    fn handle_end_of_input(&mut self, now: Instant);

    /// After the end of input: the client is gone for good, and nothing said reaches it. What it sent is still carried out.
    fn handle_gone(&mut self, _now: Instant) {}

    /// The daemon is stopping: finish what is under way and come to an end.
    fn handle_stop(&mut self, now: Instant);

    /// Time passed: called when [`Session::poll_timeout`] is reached.
    fn handle_timeout(&mut self, _now: Instant) {}

    /// When [`Session::handle_timeout`] should be called next.
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Appends what there is to say until it [is full](Output::is_full); not less. Called whenever the socket has taken
    /// everything, and there was more than that or something may have changed: input arrived, time passed, the nudge was
    /// rung.
    fn poll_output(&mut self, now: Instant, out: &mut Output);

    /// Whether the input that it was given last gave it nothing to say and no reason to end: it is then not asked, unless
    /// something else happens.
    fn stays_silent(&self) -> bool {
        false
    }

    /// Whether it can take more input now. It can become true in [`Session::poll_output`].
    fn wants_input(&self) -> bool;

    /// What is said last to a client that is shown out; empty where the protocol has no way to say it. The session is
    /// dropped then.
    fn farewell(&self, _farewell: &Farewell) -> Bytes {
        Bytes::new()
    }

    /// Whether, and how, the connection closes once the output is flushed.
    fn finished(&self) -> Option<Finish>;
}

/// How a connection closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The client has said all it wants to say: close.
    Close,
    /// The client may still be sending: shut down our sending half, and read and discard for a while, so that what we
    /// said last reaches it (closing with unread input makes TCP throw away what is on its way).
    Linger,
}
