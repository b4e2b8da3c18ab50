//! One port, read and written across lost connections. The decisions are in [`Resume`], [`Outbox`] and [`Backoff`];
//! here they meet a [`Session`] and the clock.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use uart_iface::PortName;
use uartnet_proto::message::{
    Answer, Close, ErrorAnswer, ErrorCode, Event, FromServer, Inputs, Mode, Open, Opened, Ping,
    Request, StartAt,
};

use crate::{Backoff, ClientError, Gateway, Outbox, ReadEvent, Reopened, Resume, Session, Stream};

/// How many written bytes are kept until the UART has taken them.
const OUTBOX: usize = 64 << 10;

/// How many bytes go into one message, if the gateway takes as many: a cut connection repeats little.
const PIECE: usize = 4096;

/// What to follow, and how.
#[derive(Debug, Clone)]
pub struct FollowOptions {
    /// The port.
    pub port: PortName,
    /// From where to read at first.
    pub from: StartAt,
    /// Whether to write.
    pub mode: Mode,
    /// Whether to connect again, for ever, when the connection is lost.
    pub reconnect: bool,
    /// How long a connection and its welcome may take.
    pub connect_timeout: Duration,
}

/// What happened to a followed port.
#[derive(Debug)]
pub enum Followed {
    /// The port is open: for the first time, or again.
    Opened {
        /// What the gateway said.
        opened: Opened,
        /// Whether a connection had been lost before.
        again: bool,
    },
    /// Bytes, or bytes that will not come.
    Read(ReadEvent),
    /// Something else happened to the port, to its lease or to what was written.
    Event(Event),
    /// The answer to a request sent with [`Follower::request`], by its id.
    Answer(u64, Answer),
    /// The gateway refused what was written; these bytes are lost.
    WriteRefused(ErrorAnswer, Bytes),
    /// The gateway was restarted, or cannot say: nobody knows whether these written bytes reached the UART.
    WriteUncertain(Bytes),
    /// There was no connection, and the gateway cannot tell what the board sent meanwhile: it is not uartnet's.
    MissedUnknown,
    /// The modem lines, told by a gateway that is not uartnet's.
    Inputs(Inputs),
    /// The connection is lost. It is tried again, for the first time after this long.
    Lost(ClientError, Duration),
}

/// Makes a stream to a gateway, once for every attempt to connect.
pub type Dial =
    dyn Fn() -> Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>> + Send;

/// Follows one port.
pub struct Follower {
    gateway: Gateway,
    /// How the gateway is reached, if not by its address.
    dial: Option<Box<Dial>>,
    options: FollowOptions,
    /// Under this name the gateway keeps this client's write offset while there is no connection.
    writer: Option<String>,
    resume: Resume,
    outbox: Outbox,
    backoff: Backoff,
    phase: Phase,
    opened_before: bool,
    /// While it is not known for certain which written bytes were refused.
    refusal: Option<Refusal>,
    ready: VecDeque<Followed>,
}

/// What was written was refused, and so is what was under way behind it. Nothing more is written until a request behind
/// all of it is answered: a ping, if the gateway said what it expects next, else opening the port again, whose answer
/// says it.
struct Refusal {
    error: ErrorAnswer,
    /// The id of that request.
    awaited: u64,
}

/// One attempt to connect, say hello and open the port.
type Attempt = Pin<Box<dyn Future<Output = Result<(Session, Opened), ClientError>> + Send>>;

enum Phase {
    Connecting(Attempt),
    Waiting(Pin<Box<tokio::time::Sleep>>),
    Open(Box<Session>),
    /// With the reason, until it is told.
    Ended(Option<ClientError>),
}

impl Follower {
    /// Begins to connect. Nothing happens until [`Follower::next`] is waited for.
    pub fn new(gateway: Gateway, options: FollowOptions) -> Follower {
        Follower::reach(gateway, None, options)
    }

    /// As [`Follower::new`], over streams that `dial` makes: a tunnel, or a network that a test plays. `gateway` is what
    /// errors call their other end.
    pub fn over(gateway: Gateway, dial: Box<Dial>, options: FollowOptions) -> Follower {
        Follower::reach(gateway, Some(dial), options)
    }

    fn reach(gateway: Gateway, dial: Option<Box<Dial>>, options: FollowOptions) -> Follower {
        let mut follower = Follower {
            gateway,
            dial,
            writer: (options.mode == Mode::Write).then(random_name),
            resume: Resume::new(options.from.clone()),
            options,
            outbox: Outbox::new(OUTBOX),
            backoff: Backoff::new(),
            phase: Phase::Ended(None),
            opened_before: false,
            refusal: None,
            ready: VecDeque::new(),
        };
        follower.phase = follower.connecting();
        follower
    }

    // --- getters

    /// The port that is followed.
    pub fn port(&self) -> &PortName {
        &self.options.port
    }

    /// How many bytes [`Follower::write`] takes now.
    pub fn write_room(&self) -> usize {
        self.outbox.room()
    }

    /// How many written bytes the UART has not yet taken, as far as the gateway has said.
    pub fn unwritten(&self) -> usize {
        self.outbox.len()
    }

    // --- commands

    /// Queues bytes for the UART, as many as there is room for, and says how many. They are sent while
    /// [`Follower::next`] is waited for.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        self.outbox.push(bytes)
    }

    /// Sends a request over the connection; its answer comes as [`Followed::Answer`] with the id returned.
    /// `None`: there is no connection now.
    pub fn request(&mut self, request: Request) -> Option<u64> {
        match &mut self.phase {
            Phase::Open(session) => Some(session.send(request)),
            _ => None,
        }
    }

    /// As [`Follower::request`], but behind everything that was written before it.
    pub fn request_in_order(&mut self, request: Request) -> Option<u64> {
        self.give_data();
        self.request(request)
    }

    /// Forgets what was written and not yet given to a connection, and says how many bytes that was.
    pub fn discard_unsent(&mut self) -> usize {
        self.outbox.discard_waiting()
    }

    // --- what happened

    /// What happened next. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The gateway cannot be reached in the first place, refuses the port, or, without `reconnect`, is lost.
    /// Nothing happens after an error.
    pub async fn next(&mut self) -> Result<Followed, ClientError> {
        loop {
            if let Some(followed) = self.ready.pop_front() {
                return Ok(followed);
            }
            self.give_data();
            match &mut self.phase {
                Phase::Connecting(attempt) => match attempt.await {
                    Ok((session, opened)) => self.handle_opened(session, opened),
                    Err(error) => self.handle_failure(error),
                },
                Phase::Waiting(until) => {
                    until.await;
                    self.phase = self.connecting();
                }
                Phase::Open(session) => match session.next().await {
                    Ok(message) => self.handle_message(message),
                    Err(error) => self.handle_failure(error),
                },
                Phase::Ended(error) => {
                    let closed = || ClientError::Closed {
                        gateway: self.gateway.address.clone(),
                    };
                    return Err(error.take().unwrap_or_else(closed));
                }
            }
        }
    }

    fn open_request(&self) -> Request {
        Request::Open(Open {
            open: self.options.port.to_string(),
            mode: self.options.mode,
            from: self.resume.start_at(),
            on_lag: None,
            writer: self.writer.clone(),
        })
    }

    fn connecting(&self) -> Phase {
        let gateway = self.gateway.clone();
        let limit = self.options.connect_timeout;
        let open = self.open_request();
        let dialling = self.dial.as_ref().map(|dial| dial());
        Phase::Connecting(Box::pin(async move {
            let mut session = match dialling {
                None => Session::connect(&gateway, limit).await?,
                Some(dialling) => {
                    // Who can hear it is not known, so no token goes over it unasked.
                    let dialling = async { Ok((dialling.await?, false)) };
                    Session::connect_over(dialling, &gateway, limit).await?
                }
            };
            match session.request(open, Some(limit)).await? {
                Answer::Opened(opened) => Ok((session, opened)),
                other => Err(session.unexpected("opened", &other)),
            }
        }))
    }

    /// Gives the connection what waits to be written.
    fn give_data(&mut self) {
        let Phase::Open(session) = &mut self.phase else {
            return;
        };
        let piece = PIECE.min(session.data_room());
        while self.refusal.is_none()
            && let Some((offset, bytes)) = self.outbox.poll_data(piece)
        {
            session.send_data(offset, &bytes);
        }
    }

    fn handle_opened(&mut self, session: Session, opened: Opened) {
        self.backoff.handle_opened(Instant::now().into_std());
        self.phase = Phase::Open(Box::new(session));
        self.refusal = None;
        let missed = self.resume.handle_opened(&opened.epoch, opened.offset);
        let written = self
            .outbox
            .handle_opened(&opened.epoch, opened.write_offset);
        let again = std::mem::replace(&mut self.opened_before, true);
        self.ready.push_back(Followed::Opened { opened, again });
        self.ready.extend(missed.map(Followed::Read));
        if let Reopened::Uncertain(bytes) = written {
            self.ready.push_back(Followed::WriteUncertain(bytes));
        }
    }

    fn handle_message(&mut self, message: FromServer) {
        match message {
            FromServer::Data { offset, bytes } => {
                let (gap, data) = self.resume.handle_data(offset, bytes);
                self.ready
                    .extend(gap.into_iter().chain(data).map(Followed::Read));
            }
            FromServer::Control(Answer::Event(event), _) => self.handle_event(event),
            FromServer::Control(Answer::Error(error), None) => self.handle_error(error),
            FromServer::Control(answer, Some(id)) => self.handle_answer(id, answer),
            FromServer::Control(_, None) => {}
        }
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::Gap { from, to, why, .. } => {
                let gap = self.resume.handle_gap(from, to, why);
                self.ready.extend(gap.map(Followed::Read));
            }
            Event::Written { offset, .. } => {
                self.outbox.handle_written(offset);
                self.ready.push_back(Followed::Event(event));
            }
            Event::WriteLost { from, to, .. } => {
                if self.outbox.handle_lost(from..to) {
                    self.ready.push_back(Followed::Event(event));
                }
            }
            Event::Closed { .. } => {
                self.ready.push_back(Followed::Event(event));
                self.handle_failure(ClientError::Closed {
                    gateway: self.gateway.address.clone(),
                });
            }
            Event::Unknown => {}
            event => self.ready.push_back(Followed::Event(event)),
        }
    }

    fn handle_answer(&mut self, id: u64, answer: Answer) {
        let refusal = self.refusal.take_if(|refusal| refusal.awaited == id);
        match (refusal, answer) {
            (Some(Refusal { error, .. }), Answer::Pong(_)) if error.write_offset.is_some() => {
                let next = error.write_offset.unwrap_or_default();
                let refused = self.outbox.handle_refused(next);
                self.ready.push_back(Followed::WriteRefused(error, refused));
            }
            (Some(refusal), Answer::Opened(opened)) => {
                let missed = self.resume.handle_opened(&opened.epoch, opened.offset);
                self.ready.extend(missed.map(Followed::Read));
                let refused = self.outbox.handle_refused(opened.write_offset);
                self.ready
                    .push_back(Followed::WriteRefused(refusal.error, refused));
            }
            (Some(_), Answer::Error(error)) => {
                self.handle_failure(ClientError::Refused(Box::new(error)))
            }
            (_, Answer::Closed(_)) => {}
            (_, answer) => self.ready.push_back(Followed::Answer(id, answer)),
        }
    }

    /// An error that answers no request: either what was written is refused, or the session is over.
    fn handle_error(&mut self, error: ErrorAnswer) {
        if matches!(
            error.error,
            ErrorCode::BadFrame | ErrorCode::Shutdown | ErrorCode::Unauthorized
        ) {
            return self.handle_failure(ClientError::Refused(Box::new(error)));
        }
        // Of several in a row, the later ones are about bytes that followed those refused.
        if self.refusal.is_some() {
            return;
        }
        let open = self.open_request();
        if let Phase::Open(session) = &mut self.phase {
            let awaited = if error.write_offset.is_some() {
                session.send(Request::Ping(Ping { ping: 0 }))
            } else {
                session.send(Request::Close(Close {
                    close: self.options.port.to_string(),
                }));
                session.send(open)
            };
            self.refusal = Some(Refusal { error, awaited });
        }
    }

    fn handle_failure(&mut self, error: ClientError) {
        if !self.options.reconnect || !self.opened_before || !error.can_pass() {
            self.phase = Phase::Ended(Some(error));
            return;
        }
        let wait = self.backoff.handle_failure(Instant::now().into_std());
        let waiting = Phase::Waiting(Box::pin(tokio::time::sleep(wait)));
        // One outage is told once, however many tries it takes.
        if let Phase::Open(_) = std::mem::replace(&mut self.phase, waiting) {
            self.ready.push_back(Followed::Lost(error, wait));
        }
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower")
            .field("gateway", &self.gateway.address)
            .field("options", &self.options)
            .field("resume", &self.resume)
            .finish_non_exhaustive()
    }
}

/// A name that no other client has: 16 hex digits of the randomness that the standard library seeds its maps with.
fn random_name() -> String {
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    format!("{:016x}", hasher.finish())
}
