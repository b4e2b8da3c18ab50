//! The `uartnet` endpoint: frames in, frames out, and the first payload that decides which conversation they are.
//! What the payloads mean is in `plain` and `session`; the bytes themselves are `uartnet_proto`'s.

mod failure;
mod framing;
mod info;
mod pages;
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
use crate::access::Farewell;

/// How long the first frame of a client may be that has not said who it is, in bytes.
const FIRST_FRAME: usize = 4096;
/// How many asks and control operations of one connection may be unanswered.
const OUTSTANDING: usize = 64;
/// What a client is told that must say who it is and cannot in a plain conversation.
const NO_PLAIN: &str = "this listener lets in who has a token, and a plain conversation cannot carry one; \
    use a session (uart ask, with UART_TOKEN or uart login), or give the listener access = \"read\" or \"write\"";
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

    fn carries_token(&self) -> bool {
        true
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
        let max_frame = connection.visitor.max_frame();
        let first = if connection.visitor.may_see_anything() {
            max_frame
        } else {
            max_frame.min(FIRST_FRAME)
        };
        NativeSession {
            decoder: FrameDecoder::new(first),
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
                    if let Some(max_frame) = self.conversation.handle_payload(now, payload) {
                        self.decoder.set_max_frame(max_frame);
                    }
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
                let sentence = error.to_string();
                self.conversation
                    .say_last(ErrorCode::BadFrame, sentence, out);
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

    fn farewell(&self, farewell: &Farewell) -> Bytes {
        let mut out = Output::new();
        self.conversation
            .say_last(ErrorCode::Unauthorized, farewell.to_string(), &mut out);
        out.take().into()
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

    /// Says how long frames may be from now on, where the payload decides it.
    fn handle_payload(&mut self, now: Instant, payload: Bytes) -> Option<usize> {
        let mut max_frame = None;
        if let Conversation::Undecided(connection) = self {
            let visitor = &connection.visitor;
            max_frame = Some(visitor.max_frame());
            if begins_session(&payload) {
                let session = SessionConversation::new(connection.clone());
                *self = Conversation::Session(Box::new(session));
            } else if visitor.may_see_anything() {
                *self = Conversation::Plain(Plain::new(now, connection));
            } else {
                visitor.turn_away(now, NO_PLAIN);
                return None;
            }
        }
        match self {
            Conversation::Undecided(_) => {}
            Conversation::Plain(plain) => plain.handle_payload(now, payload),
            Conversation::Session(session) => session.handle_payload(now, payload),
        }
        max_frame
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

    fn say_last(&self, code: ErrorCode, sentence: String, out: &mut Output) {
        match self {
            Conversation::Session(_) => framing::say_error(out, code, sentence),
            Conversation::Undecided(_) | Conversation::Plain(_) => {
                framing::say(out, failure(&code, &sentence).as_bytes());
            }
        }
    }
}
