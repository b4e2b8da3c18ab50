//! The access server's side of an RFC 2217 session: what is asked, in order, and the acknowledgements it is owed.
//! Pure: it does not know the port. Its owner takes one [`Request`] after the other, does it, and says what is in force
//! then; that value is the acknowledgement, whether or not the wish was granted.
//!
//! Order is kept between data and settings: bytes that follow a setting are handed out after it was settled.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::codes::{Command, NOP, TelnetOption};
use crate::com_port::{ByteCode, Message, value};
use crate::{Event, Policy, Side, Telnet};

/// How much may wait to be settled before no more is read from the client, in requests and in bytes for the UART.
const MAX_WAITING: usize = 256;
const MAX_WAITING_BYTES: usize = 64 * 1024;

/// What an access server performs, and lets its client perform.
const POLICY: Policy = Policy {
    us: &[
        TelnetOption::BINARY,
        TelnetOption::ECHO,
        TelnetOption::SUPPRESS_GO_AHEAD,
    ],
    him: &[
        TelnetOption::BINARY,
        TelnetOption::SUPPRESS_GO_AHEAD,
        TelnetOption::COM_PORT,
    ],
};

/// What is in force at the port, in the numbers of RFC 2217 ([`value`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InForce {
    /// Symbols per second.
    pub baud: u32,
    /// 5 to 8.
    pub data_size: u8,
    /// [`value::parity`].
    pub parity: u8,
    /// [`value::stop_size`].
    pub stop_size: u8,
    /// For both directions: [`value::control::FLOW_NONE`], `FLOW_XON_XOFF` or `FLOW_HARDWARE`.
    pub flow: u8,
    /// Whether a break is being sent.
    pub sending_break: bool,
    /// Data Terminal Ready.
    pub dtr: bool,
    /// Request To Send.
    pub rts: bool,
    /// The modem lines: bits DCD, RI, DSR, CTS of [`value::modem_state`].
    pub modem: u8,
}

/// Something that the client wants, to be done and then [settled](AccessServer::settle).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Bytes for the UART. They need no settling.
    Write(Bytes),
    /// A baud rate, not 0.
    SetBaud(u32),
    /// 5 to 8 data bits.
    SetDataSize(u8),
    /// A value of [`value::parity`].
    SetParity(u8),
    /// A value of [`value::stop_size`].
    SetStopSize(u8),
    /// `FLOW_NONE`, `FLOW_XON_XOFF` or `FLOW_HARDWARE`.
    SetFlow(u8),
    /// Begin or end a break.
    SetBreak(bool),
    /// Drive DTR.
    SetDtr(bool),
    /// Drive RTS.
    SetRts(bool),
    /// A value of [`value::purge`].
    Purge(u8),
    /// A break of the length that is usual (the telnet command BRK).
    SendBreak,
}

/// One client's session.
#[derive(Debug)]
pub struct AccessServer {
    telnet: Telnet,
    signature: &'static str,
    in_force: InForce,
    waiting: VecDeque<Waiting>,
    /// The request that was handed out and is not settled.
    under_way: Option<Ack>,
    modem_mask: u8,
    line_mask: u8,
    /// The modem lines as they were last told.
    told_modem: u8,
    /// Line states that were not told because the client had asked for silence.
    untold_line: u8,
    suspended: bool,
}

/// What waits for its turn.
#[derive(Debug)]
enum Waiting {
    Write(BytesMut),
    Request(Request, Ack),
    Acknowledge(Ack),
}

/// An acknowledgement; its value is what is in force when its turn comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ack {
    /// There is none.
    Nothing,
    Baud,
    DataSize,
    Parity,
    StopSize,
    Flow,
    InboundFlow,
    Break,
    Dtr,
    Rts,
    /// RFC 2217 gives purging no value of its own, so it is repeated; 0 is "none was purged".
    Purge(u8),
}

impl AccessServer {
    /// A session that begins now: offers what RFC 2217 needs. `signature` is the text of the SIGNATURE command.
    pub fn new(signature: &'static str, in_force: InForce, out: &mut BytesMut) -> AccessServer {
        let mut telnet = Telnet::new(POLICY);
        for option in [TelnetOption::BINARY, TelnetOption::SUPPRESS_GO_AHEAD] {
            telnet.want(Side::Us, option, true, out);
            telnet.want(Side::Him, option, true, out);
        }
        telnet.want(Side::Us, TelnetOption::ECHO, true, out);
        telnet.want(Side::Him, TelnetOption::COM_PORT, true, out);
        AccessServer {
            telnet,
            signature,
            in_force,
            waiting: VecDeque::new(),
            under_way: None,
            modem_mask: 0xFF,
            line_mask: 0,
            told_modem: in_force.modem,
            untold_line: 0,
            suspended: false,
        }
    }

    // --- getters

    /// Whether it can take more input.
    pub fn wants_input(&self) -> bool {
        if self.waiting.is_empty() {
            return true;
        }
        let bytes = self.waiting.iter().map(|waiting| match waiting {
            Waiting::Write(bytes) => bytes.len(),
            Waiting::Request(..) | Waiting::Acknowledge(_) => 0,
        });
        self.waiting.len() < MAX_WAITING && bytes.sum::<usize>() < MAX_WAITING_BYTES
    }

    /// Whether everything the client sent was handed out and settled.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_none()
    }

    /// Whether this input is only bytes for the UART, and nothing before it waits: whoever writes them to the UART may leave
    /// out [`AccessServer::handle_input`] and the request that would come of it.
    pub fn is_plain(&self, input: &[u8]) -> bool {
        self.is_idle() && self.telnet.is_plain(input)
    }

    /// Whether [`AccessServer::send_data`] would append this data as it is.
    pub fn sends_as_it_is(&self, data: &[u8]) -> bool {
        self.telnet.sends_as_it_is(data)
    }

    /// Whether the client has asked for silence (FLOWCONTROL-SUSPEND): no data and no notifications are due then.
    /// Acknowledgements are still given: a client that waits for one would otherwise wait for ever.
    pub fn is_suspended(&self) -> bool {
        self.suspended
    }

    /// Whether the client speaks RFC 2217.
    pub fn is_agreed(&self) -> bool {
        self.telnet.is_on(Side::Him, TelnetOption::COM_PORT)
    }

    /// Which line states the client wants to be told ([`value::line_state`]); 0: none.
    pub fn line_mask(&self) -> u8 {
        self.line_mask
    }

    // --- the world spoke

    /// The client sent bytes, in any pieces. Answers to negotiations are appended to `out`.
    pub fn handle_input(&mut self, input: &[u8], out: &mut BytesMut) {
        let AccessServer {
            telnet,
            signature,
            in_force,
            waiting,
            modem_mask,
            line_mask,
            told_modem,
            untold_line,
            suspended,
            ..
        } = self;
        let mut agreed = telnet.is_on(Side::Him, TelnetOption::COM_PORT);
        telnet.handle_input(input, out, |event, out| match event {
            Event::Data(data) => write(waiting, data),
            Event::Command(Command::Break) => {
                waiting.push_back(Waiting::Request(Request::SendBreak, Ack::Nothing));
            }
            // Visible evidence would be text that the UART never sent; a NOP is evidence enough for a program.
            Event::Command(Command::AreYouThere) => {
                out.extend_from_slice(&[crate::codes::IAC, NOP])
            }
            Event::Option {
                side: Side::Him,
                option: TelnetOption::COM_PORT,
                on,
            } => {
                agreed = on;
                *suspended = false;
                if on {
                    // The masks last for a session, and it begins here. Clients wait for a first notification.
                    (*modem_mask, *line_mask, *told_modem) = (0xFF, 0, in_force.modem);
                    *untold_line = 0;
                    send(out, &Message::Byte(ByteCode::ModemState, in_force.modem));
                }
            }
            Event::Subnegotiation {
                option: Some(TelnetOption::COM_PORT),
                payload,
            } if agreed => {
                let Ok(message) = Message::from_client(payload) else {
                    return;
                };
                match message {
                    Message::Signature(text) if text.is_empty() => {
                        send(out, &Message::Signature(signature.as_bytes().to_vec()));
                    }
                    Message::Signature(_) => {}
                    Message::Suspend => *suspended = true,
                    Message::Resume => *suspended = false,
                    Message::BaudRate(0) => waiting.push_back(Waiting::Acknowledge(Ack::Baud)),
                    Message::BaudRate(rate) => {
                        waiting.push_back(Waiting::Request(Request::SetBaud(rate), Ack::Baud));
                    }
                    Message::Byte(ByteCode::LineStateMask, mask) => {
                        *line_mask = mask;
                        send(out, &Message::Byte(ByteCode::LineStateMask, mask));
                    }
                    Message::Byte(ByteCode::ModemStateMask, mask) => {
                        *modem_mask = mask;
                        send(out, &Message::Byte(ByteCode::ModemStateMask, mask));
                    }
                    Message::Byte(ByteCode::ModemState, _) => {
                        *told_modem = in_force.modem;
                        send(out, &Message::Byte(ByteCode::ModemState, in_force.modem));
                    }
                    // The line is asked for; nothing has gone wrong that was not told.
                    Message::Byte(ByteCode::LineState, _) => {
                        send(out, &Message::Byte(ByteCode::LineState, 0))
                    }
                    Message::Byte(code, value) => waiting.push_back(wish(code, value)),
                }
            }
            Event::Option { .. }
            | Event::Refused { .. }
            | Event::Command(_)
            | Event::Subnegotiation { .. }
            | Event::SubnegotiationTooLong { .. } => {}
        });
        // The client may have ended its silence.
        self.notify(out);
    }

    /// The request handed out last was done, or could not be; this is in force now. Its acknowledgement is appended.
    pub fn settle(&mut self, in_force: InForce, out: &mut BytesMut) {
        self.handle_in_force(in_force, out);
        if let Some(ack) = self.under_way.take() {
            self.acknowledge(ack, out);
        }
    }

    /// Something has changed at the port, by whomever. Changes of modem lines are told if the client wants to know.
    pub fn handle_in_force(&mut self, in_force: InForce, out: &mut BytesMut) {
        self.in_force = in_force;
        self.notify(out);
    }

    /// Receive errors or a break happened ([`value::line_state`]); they are told if the client wants to know.
    pub fn handle_line_state(&mut self, state: u8, out: &mut BytesMut) {
        self.untold_line |= state & self.line_mask;
        self.notify(out);
    }

    // --- what to do now

    /// The next thing to do. `None`: nothing, or the one before is not settled. Acknowledgements of questions whose turn
    /// comes are appended to `out`.
    pub fn poll_request(&mut self, out: &mut BytesMut) -> Option<Request> {
        while self.under_way.is_none() {
            let Some(next) = self.waiting.pop_front() else {
                // An idle connection holds no buffer.
                self.waiting = VecDeque::new();
                return None;
            };
            match next {
                Waiting::Acknowledge(ack) => self.acknowledge(ack, out),
                Waiting::Write(bytes) => return Some(Request::Write(bytes.freeze())),
                Waiting::Request(request, ack) => {
                    self.under_way = Some(ack);
                    return Some(request);
                }
            }
        }
        None
    }

    /// Appends data of the UART.
    pub fn send_data(&mut self, data: &[u8], out: &mut BytesMut) {
        self.telnet.send_data(data, out);
    }

    /// Appends what the client is to know and was not told.
    fn notify(&mut self, out: &mut BytesMut) {
        if self.suspended || !self.is_agreed() {
            return;
        }
        let line = std::mem::take(&mut self.untold_line);
        if line != 0 {
            send(out, &Message::Byte(ByteCode::LineState, line));
        }
        let modem = modem_state(self.told_modem, self.in_force.modem) & self.modem_mask;
        if self.told_modem != self.in_force.modem && modem != 0 {
            send(out, &Message::Byte(ByteCode::ModemState, modem));
        }
        self.told_modem = self.in_force.modem;
    }

    fn acknowledge(&self, ack: Ack, out: &mut BytesMut) {
        use value::control::{
            BREAK_OFF, BREAK_ON, DTR_OFF, DTR_ON, FLOW_NONE, FLOW_XON_XOFF, INBOUND_HARDWARE,
            INBOUND_NONE, INBOUND_XON_XOFF, RTS_OFF, RTS_ON,
        };
        let now = &self.in_force;
        let control = |value| Message::Byte(ByteCode::Control, value);
        send(
            out,
            &match ack {
                Ack::Nothing => return,
                Ack::Baud => Message::BaudRate(now.baud),
                Ack::DataSize => Message::Byte(ByteCode::DataSize, now.data_size),
                Ack::Parity => Message::Byte(ByteCode::Parity, now.parity),
                Ack::StopSize => Message::Byte(ByteCode::StopSize, now.stop_size),
                Ack::Flow => control(now.flow),
                Ack::InboundFlow => control(match now.flow {
                    FLOW_NONE => INBOUND_NONE,
                    FLOW_XON_XOFF => INBOUND_XON_XOFF,
                    _ => INBOUND_HARDWARE,
                }),
                Ack::Break => control(if now.sending_break {
                    BREAK_ON
                } else {
                    BREAK_OFF
                }),
                Ack::Dtr => control(if now.dtr { DTR_ON } else { DTR_OFF }),
                Ack::Rts => control(if now.rts { RTS_ON } else { RTS_OFF }),
                Ack::Purge(value) => Message::Byte(ByteCode::Purge, value),
            },
        );
    }
}

/// The modem lines, with what has changed since they were told.
fn modem_state(told: u8, now: u8) -> u8 {
    use value::modem_state::{CTS, DCD, DELTA_CTS, DELTA_DCD, DELTA_DSR, DSR, RI, TRAILING_RI};
    let changed = told ^ now;
    let deltas = [
        (changed & DCD, DELTA_DCD),
        (changed & DSR, DELTA_DSR),
        (changed & CTS, DELTA_CTS),
        // Only the trailing edge of RI has a delta.
        (changed & told & RI, TRAILING_RI),
    ];
    let set = deltas.into_iter().filter(|(changed, _)| *changed != 0);
    set.fold(now, |state, (_, delta)| state | delta)
}

/// Bytes for the UART go behind what waits, into one piece if the last is one already.
fn write(waiting: &mut VecDeque<Waiting>, data: &[u8]) {
    if let Some(Waiting::Write(last)) = waiting.back_mut() {
        last.extend_from_slice(data);
    } else {
        waiting.push_back(Waiting::Write(BytesMut::from(data)));
    }
}

/// What a command of one byte asks for. A value that RFC 2217 reserves is a question for what is in force.
fn wish(code: ByteCode, value: u8) -> Waiting {
    use value::control::*;
    let request = match (code, value) {
        (ByteCode::DataSize, 5..=8) => Some(Request::SetDataSize(value)),
        (ByteCode::Parity, 1..=5) => Some(Request::SetParity(value)),
        (ByteCode::StopSize, 1..=3) => Some(Request::SetStopSize(value)),
        (ByteCode::Purge, 1..=3) => Some(Request::Purge(value)),
        (ByteCode::Control, FLOW_NONE | FLOW_XON_XOFF | FLOW_HARDWARE) => {
            Some(Request::SetFlow(value))
        }
        (ByteCode::Control, BREAK_ON | BREAK_OFF) => Some(Request::SetBreak(value == BREAK_ON)),
        (ByteCode::Control, DTR_ON | DTR_OFF) => Some(Request::SetDtr(value == DTR_ON)),
        (ByteCode::Control, RTS_ON | RTS_OFF) => Some(Request::SetRts(value == RTS_ON)),
        _ => None,
    };
    let ack = match code {
        ByteCode::DataSize => Ack::DataSize,
        ByteCode::Parity => Ack::Parity,
        ByteCode::StopSize => Ack::StopSize,
        ByteCode::Purge if request.is_some() => Ack::Purge(value),
        ByteCode::Purge => Ack::Purge(0),
        _ => match value {
            ASK_BREAK..=BREAK_OFF => Ack::Break,
            ASK_DTR..=DTR_OFF => Ack::Dtr,
            ASK_RTS..=RTS_OFF => Ack::Rts,
            ASK_INBOUND_FLOW..=INBOUND_HARDWARE | INBOUND_DTR => Ack::InboundFlow,
            _ => Ack::Flow,
        },
    };
    match request {
        Some(request) => Waiting::Request(request, ack),
        None => Waiting::Acknowledge(ack),
    }
}

fn send(out: &mut BytesMut, message: &Message) {
    let mut payload = BytesMut::new();
    message.encode_from_server(&mut payload);
    crate::telnet::subnegotiate(TelnetOption::COM_PORT, &payload, out);
}
