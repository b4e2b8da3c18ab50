//! A serial port behind a gateway that is not uartnet's (ser2net, Moxa, ESP bridges), read and written across lost
//! connections in the words of [`Followed`], so that whoever can use a [`crate::Follower`] can use this.
//!
//! Such a gateway has no offsets, no history and no word for what was written. Offsets here count what has arrived here;
//! what was missed is told as [`Followed::MissedUnknown`]; what is called written was given to the operating system.

mod address;
mod ask;
mod controls;
mod conversation;
mod error;
pub mod line;

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;
use uart_iface::LineSettings;
use uartnet_proto::message::{Answer, Done, Event, Opened, Request};

pub use address::{ForeignAddress, ForeignAddressError, ForeignGateway, Scheme};
pub use ask::Asker;
pub use error::ForeignError;

use crate::{Backoff, ClientError, Followed, ReadEvent};
use conversation::{Conversation, Happened};

/// How many written bytes are kept while the gateway does not take them.
const OUTBOX: usize = 64 << 10;

/// How many bytes are given to the connection at once.
const PIECE: usize = 4096;

/// Follows one port behind a gateway that is not uartnet's.
pub struct Foreign {
    gateway: ForeignGateway,
    /// The address as text, which stands for the port's name.
    name: String,
    reconnect: bool,
    connect_timeout: Duration,
    outbox: BytesMut,
    /// How many bytes were read, and how many were written.
    received: u64,
    sent: u64,
    /// What the line was last set to, and what it was last told to be.
    wanted: Option<LineSettings>,
    line: Option<LineSettings>,
    backoff: Backoff,
    phase: Phase,
    opened_before: bool,
    next_id: u64,
    ready: VecDeque<Followed>,
}

type Attempt = Pin<Box<dyn Future<Output = Result<Conversation, ForeignError>> + Send>>;

enum Phase {
    Connecting(Attempt),
    Waiting(Pin<Box<tokio::time::Sleep>>),
    Open(Box<Conversation>),
    /// With the reason, until it is told.
    Ended(Option<ForeignError>),
}

impl Foreign {
    /// Begins to connect; connecting and agreeing on the protocol may take `connect_timeout`. Nothing happens until
    /// [`Foreign::next`] is waited for.
    pub fn new(
        gateway: impl Into<ForeignGateway>,
        reconnect: bool,
        connect_timeout: Duration,
    ) -> Foreign {
        let gateway = gateway.into();
        let mut foreign = Foreign {
            name: gateway.address.to_string(),
            gateway,
            reconnect,
            connect_timeout,
            outbox: BytesMut::new(),
            received: 0,
            sent: 0,
            wanted: None,
            line: None,
            backoff: Backoff::new(),
            phase: Phase::Ended(None),
            opened_before: false,
            next_id: 1,
            ready: VecDeque::new(),
        };
        foreign.phase = foreign.connecting();
        foreign
    }

    // --- getters

    /// Where it is.
    pub fn address(&self) -> &ForeignAddress {
        &self.gateway.address
    }

    /// The address as text.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The line settings in force, if the gateway has told them.
    pub fn line(&self) -> Option<LineSettings> {
        match &self.phase {
            Phase::Open(conversation) => conversation.line(),
            _ => self.line,
        }
    }

    /// How many bytes [`Foreign::write`] takes now.
    pub fn write_room(&self) -> usize {
        OUTBOX.saturating_sub(self.unwritten())
    }

    /// How many written bytes the operating system has not taken.
    pub fn unwritten(&self) -> usize {
        let unsent = match &self.phase {
            Phase::Open(conversation) => conversation.unsent(),
            _ => 0,
        };
        self.outbox.len() + unsent
    }

    // --- commands

    /// Queues bytes for the UART, as many as there is room for, and says how many. They are sent while [`Foreign::next`] is
    /// waited for.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.write_room());
        self.outbox.extend_from_slice(&bytes[..taken]);
        taken
    }

    /// Asks for line settings, signals, a break or a purge; the answer comes as [`Followed::Answer`] with the id returned,
    /// also for what such a gateway cannot do. `None`: there is no connection now.
    pub fn request(&mut self, request: &Request) -> Option<u64> {
        let Phase::Open(conversation) = &mut self.phase else {
            return None;
        };
        let id = self.next_id;
        self.next_id += 1;
        conversation.request(id, request);
        Some(id)
    }

    /// As [`Foreign::request`], but behind everything that was written before it.
    pub fn request_in_order(&mut self, request: &Request) -> Option<u64> {
        if let Phase::Open(conversation) = &mut self.phase
            && !self.outbox.is_empty()
        {
            conversation.give(self.outbox.split().freeze());
        }
        self.request(request)
    }

    /// Forgets what was written and not yet given to a connection, and says how many bytes that was.
    pub fn discard_unsent(&mut self) -> usize {
        let waiting = self.outbox.len();
        self.outbox.clear();
        waiting
    }

    // --- what happened

    /// What happened next. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The gateway cannot be reached in the first place, does not speak what it should, or, without `reconnect`, is lost.
    /// Nothing happens after an error.
    pub async fn next(&mut self) -> Result<Followed, ClientError> {
        loop {
            if let Some(followed) = self.ready.pop_front() {
                return Ok(followed);
            }
            match &mut self.phase {
                Phase::Connecting(attempt) => match attempt.await {
                    Ok(conversation) => self.handle_opened(conversation),
                    Err(error) => self.handle_failure(error),
                },
                Phase::Waiting(until) => {
                    until.await;
                    self.phase = self.connecting();
                }
                Phase::Open(conversation) => {
                    if !self.outbox.is_empty() && conversation.wants_data() {
                        let piece = self.outbox.len().min(PIECE);
                        conversation.give(self.outbox.split_to(piece).freeze());
                    }
                    match conversation.next().await {
                        Ok(happened) => self.handle_happened(happened),
                        Err(error) => self.handle_failure(error),
                    }
                }
                Phase::Ended(error) => {
                    let error = error.take().unwrap_or_else(|| ForeignError::Closed {
                        address: self.gateway.address.clone(),
                        words: String::new(),
                    });
                    return Err(error.into());
                }
            }
        }
    }

    /// Asks for something and waits until it is done; what arrives meanwhile is dropped.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when it was not done, and everything [`Foreign::next`] can end with.
    pub async fn control(&mut self, request: Request) -> Result<Done, ClientError> {
        let mut asked = None;
        loop {
            if asked.is_none() {
                asked = self.request(&request);
            }
            match self.next().await? {
                Followed::Answer(id, Answer::Done(done)) if Some(id) == asked => return Ok(done),
                Followed::Answer(id, Answer::Error(error)) if Some(id) == asked => {
                    return Err(ClientError::Refused(Box::new(error)));
                }
                Followed::Lost(..) => asked = None,
                _ => {}
            }
        }
    }

    fn connecting(&self) -> Phase {
        Phase::Connecting(Box::pin(Conversation::begin(
            self.gateway.clone(),
            self.connect_timeout,
            self.wanted,
        )))
    }

    fn handle_opened(&mut self, conversation: Conversation) {
        self.backoff.handle_opened(Instant::now().into_std());
        let again = std::mem::replace(&mut self.opened_before, true);
        self.ready.push_back(Followed::Opened {
            opened: Opened {
                opened: self.name.clone(),
                epoch: String::new(),
                offset: self.received,
                end: self.received,
                write_offset: self.sent,
            },
            again,
        });
        if again {
            self.ready.push_back(Followed::MissedUnknown);
        }
        let line = conversation.line();
        // What was set through here is being set again, and told if that fails.
        if again && self.wanted.is_none() && line != self.line {
            self.ready.extend(line.map(|line| {
                Followed::Event(Event::Line {
                    port: self.name.clone(),
                    line: line.to_string(),
                })
            }));
        }
        self.phase = Phase::Open(Box::new(conversation));
    }

    fn handle_happened(&mut self, happened: Option<Happened>) {
        match happened {
            Some(Happened::Data(bytes)) => {
                let offset = self.received;
                self.received += bytes.len() as u64;
                self.ready
                    .push_back(Followed::Read(ReadEvent::Data { offset, bytes }));
            }
            Some(Happened::Sent(count)) => {
                self.sent += count as u64;
                self.ready.push_back(Followed::Event(Event::Written {
                    port: self.name.clone(),
                    offset: self.sent,
                }));
            }
            Some(Happened::Followed(followed)) => self.ready.push_back(followed),
            None => {}
        }
    }

    fn handle_failure(&mut self, error: ForeignError) {
        let again = self.reconnect && self.opened_before && error.can_pass();
        if !again {
            self.phase = Phase::Ended(Some(error));
            return;
        }
        let wait = self.backoff.handle_failure(Instant::now().into_std());
        let waiting = Phase::Waiting(Box::pin(tokio::time::sleep(wait)));
        // One outage is told once, however many tries it takes.
        if let Phase::Open(conversation) = std::mem::replace(&mut self.phase, waiting) {
            self.wanted = conversation.wanted();
            self.line = conversation.line();
            let (uncertain, unsent) = conversation.end();
            self.keep(&unsent);
            self.ready.push_back(Followed::Lost(error.into(), wait));
            if !uncertain.is_empty() {
                self.sent += uncertain.len() as u64;
                self.ready.push_back(Followed::WriteUncertain(uncertain));
            }
        }
    }

    /// Puts bytes back before all others.
    fn keep(&mut self, unsent: &Bytes) {
        if !unsent.is_empty() {
            let waiting = std::mem::take(&mut self.outbox);
            self.outbox.extend_from_slice(unsent);
            self.outbox.unsplit(waiting);
        }
    }
}

impl fmt::Debug for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Foreign")
            .field("address", &self.gateway.address)
            .field("received", &self.received)
            .field("sent", &self.sent)
            .field("outbox", &self.outbox.len())
            .finish_non_exhaustive()
    }
}
