//! The `uartnet` endpoint: frames in, frames out, and the first payload that decides which conversation they are.
//! What the payloads mean is in `plain` and `session`; the bytes themselves are `uartnet_proto`'s.

mod failure;
mod framing;
mod info;
mod plain;
mod session;
mod talk;

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use uartnet_proto::frame::{self, FrameDecoder, FrameError};
use uartnet_proto::message::{ErrorCode, begins_session};
use uartnet_proto::plain::failure;

use self::plain::Plain;
use self::session::Conversation as SessionConversation;
use super::{Connection, EndpointKind, Finish, Output, PortNeed, Session};

/// How many asks and control operations of one connection may be unanswered.
const OUTSTANDING: usize = 64;
/// How many bytes of answers may wait for their socket before no more requests are looked at.
const UNSAID: usize = 64 * 1024;
/// How long a connection from which nothing more comes stays for its last bytes to be written. (Asks have a deadline of
/// their own.) A write queue of 64 KiB takes that long at 9600 baud; a UART held up by its flow control may never take it.
const GIVE_UP: Duration = Duration::from_secs(70);

/// The `uartnet` endpoint.
#[derive(Debug)]
pub(super) struct Native;

impl EndpointKind for Native {
    fn name(&self) -> &'static str {
        "uartnet"
    }

    fn summary(&self) -> &'static str {
        "uartnet's own protocol: one frame asks the board one command; a session does everything, on all ports"
    }

    fn port_need(&self) -> PortNeed {
        PortNeed::Optional
    }

    fn session(&self, _now: Instant, connection: Connection) -> Box<dyn Session> {
        Box::new(NativeSession::new(connection))
    }

    fn busy(&self, sentence: &str) -> Bytes {
        let mut answer = BytesMut::new();
        frame::encode(
            &[failure(&ErrorCode::Busy, sentence).as_bytes()],
            &mut answer,
        );
        answer.freeze()
    }
}

/// One connection.
#[derive(Debug)]
struct NativeSession {
    decoder: FrameDecoder,
    conversation: Conversation,
    input: Input,
    /// When [`GIVE_UP`] is over.
    give_up: Option<Instant>,
    finished: Option<Finish>,
}

/// Which conversation it is.
#[derive(Debug)]
enum Conversation {
    /// The first payload has not come.
    Undecided(Connection),
    Plain(Plain),
    Session(Box<SessionConversation>),
}

/// What may still come from the client.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Input {
    /// Anything.
    Open,
    /// Nothing but what the decoder holds.
    Ended,
    /// Nothing that is looked at: the frame is broken.
    Broken(FrameError),
    /// Nothing that is looked at: the conversation is over, or the daemon stops.
    Ignored,
}

impl NativeSession {
    fn new(connection: Connection) -> NativeSession {
        NativeSession {
            decoder: FrameDecoder::new(connection.visitor.max_frame()),
            conversation: Conversation::Undecided(connection),
            input: Input::Open,
            give_up: None,
            finished: None,
        }
    }

    /// Looks at payloads for as long as the conversation can take one. Whether there was any.
    fn take_payloads(&mut self, now: Instant) -> bool {
        let mut taken = false;
        while matches!(self.input, Input::Open | Input::Ended) && self.conversation.wants_payload()
        {
            match self.decoder.poll_frame() {
                Ok(Some(payload)) => {
                    taken = true;
                    self.conversation.handle_payload(now, payload);
                }
                Ok(None) => {
                    if self.input == Input::Ended
                        && let Err(error) = self.decoder.handle_end()
                    {
                        self.end_input(now, Input::Broken(error));
                    }
                    break;
                }
                Err(error) => self.end_input(now, Input::Broken(error)),
            }
            if self.conversation.is_over() {
                self.end_input(now, Input::Ignored);
            }
        }
        taken
    }

    fn end_input(&mut self, now: Instant, input: Input) {
        self.input = input;
        self.give_up = Some(now + GIVE_UP);
    }

    /// Whether nothing more will be looked at, so that the connection ends when everything owed is said.
    fn is_ending(&self) -> bool {
        match self.input {
            Input::Open => false,
            Input::Ended => self.decoder.buffered() == 0,
            Input::Broken(_) | Input::Ignored => true,
        }
    }
}

impl Session for NativeSession {
    fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        self.decoder.handle_input(bytes);
        self.take_payloads(now);
    }

    fn handle_end_of_input(&mut self, now: Instant) {
        if self.input == Input::Open {
            self.end_input(now, Input::Ended);
            self.take_payloads(now);
        }
    }

    fn handle_stop(&mut self, now: Instant) {
        if self.input == Input::Open {
            self.end_input(now, Input::Ignored);
        }
        self.conversation.handle_stop(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.give_up.filter(|_| self.finished.is_none())
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.give_up.is_some_and(|at| at <= now) {
            if self.conversation.awaits_board() {
                self.give_up = Some(now + GIVE_UP);
            } else {
                self.finished = Some(Finish::Linger);
            }
        }
    }

    fn poll_output(&mut self, now: Instant, out: &mut Output) {
        if self.finished.is_some() {
            return;
        }
        loop {
            self.conversation.poll_output(now, self.is_ending(), out);
            if self.conversation.is_over() && self.input != Input::Ignored {
                self.end_input(now, Input::Ignored);
            }
            if out.is_full() {
                return;
            }
            if !self.take_payloads(now) {
                break;
            }
        }
        if self.is_ending() && !self.conversation.owes() {
            if let Input::Broken(error) = &self.input {
                self.conversation.say_broken(error, out);
            }
            self.finished = Some(if self.input == Input::Ended {
                Finish::Close
            } else {
                Finish::Linger
            });
        }
    }

    fn wants_input(&self) -> bool {
        self.input == Input::Open && self.finished.is_none() && self.conversation.wants_payload()
    }

    fn finished(&self) -> Option<Finish> {
        self.finished
    }
}

impl Conversation {
    fn wants_payload(&self) -> bool {
        match self {
            Conversation::Undecided(_) => true,
            Conversation::Plain(plain) => plain.wants_payload(),
            Conversation::Session(session) => session.wants_payload(),
        }
    }

    fn handle_payload(&mut self, now: Instant, payload: Bytes) {
        if let Conversation::Undecided(connection) = self {
            *self = if begins_session(&payload) {
                Conversation::Session(Box::new(SessionConversation::new(connection.clone())))
            } else {
                Conversation::Plain(Plain::new(now, connection))
            };
        }
        match self {
            Conversation::Undecided(_) => {}
            Conversation::Plain(plain) => plain.handle_payload(now, payload),
            Conversation::Session(session) => session.handle_payload(now, payload),
        }
    }

    fn handle_stop(&mut self, now: Instant) {
        if let Conversation::Session(session) = self {
            session.handle_stop(now);
        }
    }

    /// `ending`: nothing more comes from the client, so only what is owed matters.
    fn poll_output(&mut self, now: Instant, ending: bool, out: &mut Output) {
        match self {
            Conversation::Undecided(_) => {}
            Conversation::Plain(plain) => plain.poll_output(now, out),
            Conversation::Session(session) => session.poll_output(now, ending, out),
        }
    }

    /// Whether the gateway has decided to end it.
    fn is_over(&self) -> bool {
        match self {
            Conversation::Undecided(_) => false,
            Conversation::Plain(plain) => plain.is_over(),
            Conversation::Session(session) => session.is_over(),
        }
    }

    /// Whether the client is owed anything.
    fn owes(&self) -> bool {
        match self {
            Conversation::Undecided(_) => false,
            Conversation::Plain(plain) => plain.owes(),
            Conversation::Session(session) => session.owes(),
        }
    }

    /// Whether an ask or a control operation is under way.
    fn awaits_board(&self) -> bool {
        match self {
            Conversation::Undecided(_) => false,
            Conversation::Plain(plain) => plain.awaits_board(),
            Conversation::Session(session) => session.awaits_board(),
        }
    }

    fn say_broken(&self, error: &FrameError, out: &mut Output) {
        let sentence = error.to_string();
        match self {
            Conversation::Session(_) => framing::say_error(out, ErrorCode::BadFrame, sentence),
            Conversation::Undecided(_) | Conversation::Plain(_) => {
                framing::say(out, failure(&ErrorCode::BadFrame, &sentence).as_bytes());
            }
        }
    }
}
