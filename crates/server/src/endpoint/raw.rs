//! The `raw` endpoint: a TCP connection is the UART, byte for byte, and nothing else is ever sent on it.
//! How a client is held, ended and cut off is `bridge`'s.

use std::sync::Arc;
use std::time::Instant;

use uartnet_hub::Notice;

use super::bridge::{Bridge, OPTIONS};
use super::{Connection, EndpointKind, Finish, Output, PortNeed, Session};

/// How many bytes are taken from the history in one piece.
const PIECE: usize = 64 * 1024;

/// The `raw` endpoint.
#[derive(Debug)]
pub(super) struct Raw;

impl EndpointKind for Raw {
    fn name(&self) -> &'static str {
        "raw"
    }

    fn summary(&self) -> &'static str {
        "bytes in, bytes out: for nc, socat, and software that opens a socket to a serial server"
    }

    fn port_need(&self) -> PortNeed {
        PortNeed::One
    }

    fn options(&self) -> &'static [&'static str] {
        OPTIONS
    }

    fn session(&self, now: Instant, connection: Connection) -> Box<dyn Session> {
        match Bridge::new(now, &connection) {
            Ok(bridge) => Box::new(RawSession {
                bridge,
                banner: connection.options.banner.clone(),
            }),
            Err(no_port) => Box::new(no_port),
        }
    }
}

/// One connection.
#[derive(Debug)]
struct RawSession {
    bridge: Bridge,
    /// What is to be said first.
    banner: Option<Arc<String>>,
}

impl Session for RawSession {
    fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        self.bridge.handle_bytes(now, bytes);
    }

    fn handle_end_of_input(&mut self, now: Instant) {
        self.bridge.handle_end_of_input(now);
    }

    fn handle_gone(&mut self, now: Instant) {
        self.bridge.handle_gone(now);
    }

    fn handle_stop(&mut self, _now: Instant) {
        self.bridge.handle_stop();
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.bridge.handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.bridge.timeout()
    }

    fn poll_output(&mut self, now: Instant, out: &mut Output) {
        if let Some(banner) = self.banner.take() {
            out.push(banner.as_bytes());
        }
        self.bridge.resume(now);
        while !out.is_full() {
            match self.bridge.poll(now, PIECE) {
                Some(Notice::Data { bytes, .. }) => out.push_shared(bytes),
                // Settings and signals have no place in a stream of bytes.
                Some(_) => {}
                None => break,
            }
            if self.bridge.finds_nothing() {
                break;
            }
        }
    }

    fn stays_silent(&self) -> bool {
        self.bridge.flows()
    }

    fn wants_input(&self) -> bool {
        self.bridge.has_room()
    }

    fn finished(&self) -> Option<Finish> {
        self.bridge.finished()
    }
}
