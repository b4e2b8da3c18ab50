//! The client's side of an RFC 2217 session: offers, what is asked of the access server, and its acknowledgements.
//! Pure: time is an argument. It does not know what a setting is for; values are the numbers of the RFC ([`value`]).
//!
//! It is made for servers as they are. An acknowledgement that never comes is told as such when its time is up; one that
//! nobody waits for tells what is in force all the same; either direction of the option will do.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::codes::TelnetOption;
use crate::com_port::{ByteCode, Message, value};
use crate::{Event, Policy, Side, Telnet};

/// How long the server may take to answer the offers, and to acknowledge a setting. pyserial waits as long.
pub const ANSWER: Duration = Duration::from_secs(3);

/// The most acknowledgements waited for; a further wish makes the oldest count as unanswered.
const MAX_WAITING: usize = 64;

/// What a client performs, and lets its server perform. Some servers offer COM-PORT themselves.
const POLICY: Policy = Policy {
    us: &[
        TelnetOption::BINARY,
        TelnetOption::SUPPRESS_GO_AHEAD,
        TelnetOption::COM_PORT,
    ],
    him: &[
        TelnetOption::BINARY,
        TelnetOption::ECHO,
        TelnetOption::SUPPRESS_GO_AHEAD,
        TelnetOption::COM_PORT,
    ],
};

/// What is offered and asked for at the beginning, in this order.
const OFFERS: [(Side, TelnetOption); 6] = [
    (Side::Us, TelnetOption::BINARY),
    (Side::Him, TelnetOption::BINARY),
    (Side::Us, TelnetOption::SUPPRESS_GO_AHEAD),
    (Side::Him, TelnetOption::SUPPRESS_GO_AHEAD),
    (Side::Us, TelnetOption::COM_PORT),
    (Side::Him, TelnetOption::COM_PORT),
];

/// Something that can be set or asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Setting {
    /// Symbols per second.
    Baud,
    /// 5 to 8.
    DataSize,
    /// [`value::parity`].
    Parity,
    /// [`value::stop_size`].
    StopSize,
    /// `FLOW_…` of [`value::control`], for both directions or outbound.
    Flow,
    /// `INBOUND_…` of [`value::control`].
    InboundFlow,
    /// `BREAK_ON` or `BREAK_OFF`.
    Break,
    /// `DTR_ON` or `DTR_OFF`.
    Dtr,
    /// `RTS_ON` or `RTS_OFF`.
    Rts,
    /// [`value::purge`]. It cannot be asked for.
    Purge,
}

/// What the server told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Bytes of the UART.
    Data(Bytes),
    /// The server speaks RFC 2217, and every other offer is decided too (or its time is up).
    Agreed,
    /// The server does not speak RFC 2217: it said so, or it said nothing within [`ANSWER`].
    NotSpoken,
    /// What was [set](AccessClient::set) or [asked for](AccessClient::ask) has its answer.
    Settled {
        /// Which setting.
        setting: Setting,
        /// The value wanted; `None`: it was only asked for.
        wanted: Option<u32>,
        /// The value in force; `None`: no answer came within [`ANSWER`], or the server does not know it either.
        in_force: Option<u32>,
    },
    /// A setting was changed by somebody else.
    InForce(Setting, u32),
    /// The modem lines, [`value::modem_state`].
    Modem(u8),
    /// Receive errors or a break, [`value::line_state`].
    Line(u8),
    /// What the server calls itself.
    Signature(Vec<u8>),
}

/// One session with an access server.
#[derive(Debug)]
pub struct AccessClient {
    telnet: Telnet,
    /// Until when the offers may stay unanswered; `None`: they are decided.
    undecided_until: Option<Instant>,
    waiting: VecDeque<Waiting>,
    told: VecDeque<Told>,
    suspended: bool,
}

/// An acknowledgement that is owed.
#[derive(Debug)]
struct Waiting {
    setting: Setting,
    wanted: Option<u32>,
    until: Instant,
}

impl AccessClient {
    /// A session that begins now: what RFC 2217 needs is offered.
    pub fn new(now: Instant, out: &mut BytesMut) -> AccessClient {
        let mut telnet = Telnet::new(POLICY);
        for (side, option) in OFFERS {
            telnet.want(side, option, true, out);
        }
        AccessClient {
            telnet,
            undecided_until: Some(now + ANSWER),
            waiting: VecDeque::new(),
            told: VecDeque::new(),
            suspended: false,
        }
    }

    // --- getters

    /// Whether the server speaks RFC 2217.
    pub fn is_agreed(&self) -> bool {
        self.undecided_until.is_none() && self.com_port_is_on()
    }

    /// Whether the server takes data: not before the offers are decided, since they say how data is written, and not while
    /// it has asked for silence (FLOWCONTROL-SUSPEND).
    pub fn wants_data(&self) -> bool {
        self.undecided_until.is_none() && !self.suspended
    }

    /// Whether all 256 byte values pass in both directions. Where the server refused BINARY, CR is more than a byte.
    pub fn is_binary(&self) -> bool {
        let on = |side| self.telnet.is_on(side, TelnetOption::BINARY);
        on(Side::Us) && on(Side::Him)
    }

    // --- commands

    /// Sets something; the answer is a [`Told::Settled`] later.
    pub fn set(&mut self, now: Instant, setting: Setting, value: u32, out: &mut BytesMut) {
        send(&encoded(setting, value), out);
        self.wait(now, setting, Some(value));
    }

    /// Asks for the value in force; the answer is a [`Told::Settled`] later. A purge cannot be asked for.
    pub fn ask(&mut self, now: Instant, setting: Setting, out: &mut BytesMut) {
        use value::control::{ASK_BREAK, ASK_DTR, ASK_FLOW, ASK_INBOUND_FLOW, ASK_RTS};
        let question = match setting {
            Setting::Baud | Setting::DataSize | Setting::Parity | Setting::StopSize => 0,
            Setting::Flow => ASK_FLOW,
            Setting::InboundFlow => ASK_INBOUND_FLOW,
            Setting::Break => ASK_BREAK,
            Setting::Dtr => ASK_DTR,
            Setting::Rts => ASK_RTS,
            Setting::Purge => return,
        };
        send(&encoded(setting, question.into()), out);
        self.wait(now, setting, None);
    }

    /// Appends bytes for the UART. Not before [`AccessClient::wants_data`].
    pub fn send_data(&mut self, data: &[u8], out: &mut BytesMut) {
        self.telnet.send_data(data, out);
    }

    // --- the world spoke

    /// The server sent bytes, in any pieces. Answers to negotiations are appended to `out`.
    pub fn handle_input(&mut self, input: &[u8], out: &mut BytesMut) {
        let AccessClient {
            telnet,
            waiting,
            told,
            suspended,
            ..
        } = self;
        telnet.handle_input(input, out, |event, _| match event {
            Event::Data(data) => told.push_back(Told::Data(Bytes::copy_from_slice(data))),
            Event::Subnegotiation {
                option: Some(TelnetOption::COM_PORT),
                payload,
            } => match Message::from_server(payload) {
                Ok(Message::Suspend) => *suspended = true,
                Ok(Message::Resume) => *suspended = false,
                Ok(Message::Signature(text)) => told.push_back(Told::Signature(text)),
                Ok(Message::BaudRate(rate)) => {
                    told.extend(acknowledged(waiting, Setting::Baud, Some(rate)));
                }
                Ok(Message::Byte(ByteCode::ModemState, state)) => {
                    told.push_back(Told::Modem(state))
                }
                Ok(Message::Byte(ByteCode::LineState, state)) => told.push_back(Told::Line(state)),
                Ok(Message::Byte(ByteCode::LineStateMask | ByteCode::ModemStateMask, _)) => {}
                Ok(Message::Byte(code, value)) => {
                    if let Some((setting, value)) = decoded(code, value) {
                        told.extend(acknowledged(waiting, setting, value));
                    }
                }
                // What makes no sense acknowledges nothing; the time of what it may have answered runs out.
                Err(_) => {}
            },
            Event::Option { .. }
            | Event::Refused { .. }
            | Event::Command(_)
            | Event::Subnegotiation { .. }
            | Event::SubnegotiationTooLong { .. } => {}
        });
        let undecided = OFFERS
            .iter()
            .any(|(side, option)| self.telnet.is_undecided(*side, *option));
        if !undecided {
            self.decide();
        }
    }

    /// Time passed: call it when [`AccessClient::poll_timeout`] is reached.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.undecided_until.is_some_and(|until| until <= now) {
            self.decide();
        }
        while let Some(late) = self.waiting.pop_front_if(|waiting| waiting.until <= now) {
            self.told.push_back(late.settled(None));
        }
    }

    // --- what to do now

    /// What the server told, in order.
    pub fn poll_told(&mut self) -> Option<Told> {
        self.told.pop_front()
    }

    /// When [`AccessClient::handle_timeout`] should be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let first = self.waiting.front().map(|waiting| waiting.until);
        match (self.undecided_until, first) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    fn com_port_is_on(&self) -> bool {
        let on = |side| self.telnet.is_on(side, TelnetOption::COM_PORT);
        on(Side::Us) || on(Side::Him)
    }

    /// The offers are answered, or as good as.
    fn decide(&mut self) {
        if self.undecided_until.take().is_some() {
            self.told.push_back(if self.com_port_is_on() {
                Told::Agreed
            } else {
                Told::NotSpoken
            });
        }
    }

    fn wait(&mut self, now: Instant, setting: Setting, wanted: Option<u32>) {
        if self.waiting.len() == MAX_WAITING
            && let Some(oldest) = self.waiting.pop_front()
        {
            self.told.push_back(oldest.settled(None));
        }
        let until = now + ANSWER;
        self.waiting.push_back(Waiting {
            setting,
            wanted,
            until,
        });
    }
}

impl Waiting {
    fn settled(self, in_force: Option<u32>) -> Told {
        Told::Settled {
            setting: self.setting,
            wanted: self.wanted,
            in_force,
        }
    }
}

/// The server says that this value is in force (`None`: it does not know): to whoever waits for it longest, or unasked.
fn acknowledged(
    waiting: &mut VecDeque<Waiting>,
    setting: Setting,
    in_force: Option<u32>,
) -> Option<Told> {
    let at = waiting.iter().position(|owed| owed.setting == setting);
    match at.and_then(|at| waiting.remove(at)) {
        Some(owed) => Some(owed.settled(in_force)),
        None => in_force.map(|value| Told::InForce(setting, value)),
    }
}

fn encoded(setting: Setting, value: u32) -> Message {
    let code = match setting {
        Setting::Baud => return Message::BaudRate(value),
        Setting::DataSize => ByteCode::DataSize,
        Setting::Parity => ByteCode::Parity,
        Setting::StopSize => ByteCode::StopSize,
        Setting::Purge => ByteCode::Purge,
        Setting::Flow | Setting::InboundFlow | Setting::Break | Setting::Dtr | Setting::Rts => {
            ByteCode::Control
        }
    };
    Message::Byte(code, u8::try_from(value).unwrap_or(u8::MAX))
}

/// Which setting an acknowledgement is about, and the value it says. ser2net answers a question that it cannot answer
/// with the question: that is no value.
fn decoded(code: ByteCode, value: u8) -> Option<(Setting, Option<u32>)> {
    use value::control::*;
    let (setting, question) = match (code, value) {
        (ByteCode::DataSize, _) => (Setting::DataSize, 0),
        (ByteCode::Parity, _) => (Setting::Parity, 0),
        (ByteCode::StopSize, _) => (Setting::StopSize, 0),
        (ByteCode::Purge, _) => return Some((Setting::Purge, Some(value.into()))),
        (ByteCode::Control, ASK_FLOW..=FLOW_HARDWARE | FLOW_DCD | FLOW_DSR) => {
            (Setting::Flow, ASK_FLOW)
        }
        (ByteCode::Control, ASK_BREAK..=BREAK_OFF) => (Setting::Break, ASK_BREAK),
        (ByteCode::Control, ASK_DTR..=DTR_OFF) => (Setting::Dtr, ASK_DTR),
        (ByteCode::Control, ASK_RTS..=RTS_OFF) => (Setting::Rts, ASK_RTS),
        (ByteCode::Control, ASK_INBOUND_FLOW..=INBOUND_HARDWARE | INBOUND_DTR) => {
            (Setting::InboundFlow, ASK_INBOUND_FLOW)
        }
        _ => return None,
    };
    Some((setting, (value != question).then(|| value.into())))
}

fn send(message: &Message, out: &mut BytesMut) {
    let mut payload = BytesMut::new();
    message.encode_from_client(&mut payload);
    crate::telnet::subnegotiate(TelnetOption::COM_PORT, &payload, out);
}
