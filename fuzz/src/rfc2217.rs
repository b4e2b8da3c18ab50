//! The access server of RFC 2217: whatever a client sends, in any pieces, with a device that is slow, refuses, or changes
//! by itself. Every command that is owed an acknowledgement gets one, in order, with the value in force; what is for the
//! device comes out in order and complete; what is sent is bounded by what came in; and it always takes more in the end.

use std::collections::VecDeque;

use bytes::BytesMut;
use uartnet_telnet::access_server::{AccessServer, InForce, Request};
use uartnet_telnet::com_port::{ByteCode, Message, value};
use uartnet_telnet::{Command, Event, Policy, Side, Telnet, TelnetOption};

use crate::choices::{Choices, understood};

const SIGNATURE: &str = "fuzz";

/// The options of RFC 2217, section 2, for the one who only listens.
const EVERY_OPTION: &[TelnetOption] = &[
    TelnetOption::BINARY,
    TelnetOption::ECHO,
    TelnetOption::SUPPRESS_GO_AHEAD,
    TelnetOption::COM_PORT,
];

/// The target.
pub fn rfc2217(data: &[u8]) {
    let Some((choices, input)) = understood(data) else {
        return;
    };
    let mut run = Run::new(choices);
    let mut rest = &input[..];
    while let Some(piece) = run.choices.piece(&mut rest) {
        if !run.server.wants_input() {
            run.carry_out(usize::MAX);
            assert!(
                run.server.wants_input(),
                "all is settled, and it takes nothing"
            );
        }
        run.client_sends(piece);
        match run.choices.below(8) {
            0 => run.carry_out(1),
            1 => run.carry_out(usize::MAX),
            2 => run.device_changes(),
            3 => run.device_sends(),
            _ => {}
        }
    }
    run.carry_out(usize::MAX);
    assert!(run.server.is_idle() && run.server.wants_input());
    assert_eq!(run.owed, [], "never acknowledged");
    assert!(run.done == run.wanted, "not what the client wanted");
}

/// What the device has to do, in order; neighbouring writes are one.
#[derive(Debug, PartialEq, Eq)]
enum Work {
    Write(Vec<u8>),
    Request(Request),
}

/// An acknowledgement that the client is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owed {
    Baud,
    DataSize,
    Parity,
    StopSize,
    Flow,
    Break,
    Dtr,
    Rts,
    InboundFlow,
    Purge(u8),
}

#[derive(Debug)]
struct Run {
    choices: Choices,
    server: AccessServer,
    out: BytesMut,
    /// Reads what the client sends, as a second opinion.
    client: Telnet,
    /// Reads what the server sends.
    reader: Telnet,
    agreed: bool,
    suspended: bool,
    in_force: InForce,
    wanted: Vec<Work>,
    done: Vec<Work>,
    owed: VecDeque<Owed>,
}

impl Run {
    fn new(choices: Choices) -> Run {
        let policy = Policy {
            us: EVERY_OPTION,
            him: EVERY_OPTION,
        };
        let mut client = Telnet::new(Policy {
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
        });
        // The offers of a server, RFC2217 and the two that carry bytes as they are.
        for option in [TelnetOption::BINARY, TelnetOption::SUPPRESS_GO_AHEAD] {
            client.want(Side::Us, option, true, &mut BytesMut::new());
            client.want(Side::Him, option, true, &mut BytesMut::new());
        }
        client.want(Side::Us, TelnetOption::ECHO, true, &mut BytesMut::new());
        client.want(
            Side::Him,
            TelnetOption::COM_PORT,
            true,
            &mut BytesMut::new(),
        );
        let in_force = InForce {
            baud: 115_200,
            data_size: 8,
            parity: value::parity::NONE,
            stop_size: value::stop_size::ONE,
            flow: value::control::FLOW_NONE,
            sending_break: false,
            dtr: true,
            rts: true,
            modem: value::modem_state::CTS,
        };
        let mut out = BytesMut::new();
        let server = AccessServer::new(SIGNATURE, in_force, &mut out);
        let mut run = Run {
            choices,
            server,
            out,
            client,
            reader: Telnet::new(policy),
            agreed: false,
            suspended: false,
            in_force,
            wanted: Vec::new(),
            done: Vec::new(),
            owed: VecDeque::new(),
        };
        assert_eq!(run.sent(), [], "it speaks before it is agreed");
        run
    }

    fn client_sends(&mut self, piece: &[u8]) {
        let (at_once, resumed) = self.understand(piece);
        let mut missed = 2 * resumed;
        self.server.handle_input(piece, &mut self.out);
        assert_eq!(self.server.is_agreed(), self.agreed);
        assert_eq!(self.server.is_suspended(), self.suspended);
        // The dearest: an agreement of 3 bytes is answered by one and a notification, 11 bytes. The first agreement may
        // be a part of a command.
        assert!(
            self.out.len() <= 4 * piece.len() + 40,
            "{} bytes are answered with {}",
            piece.len(),
            self.out.len()
        );
        let mut expected = at_once.iter().peekable();
        for message in self.sent() {
            if expected.next_if(|expected| **expected == message).is_some() {
                continue;
            }
            // What a silent client missed, of its modem lines and of errors, is told when it resumes.
            let told_late = matches!(
                message,
                Message::Byte(ByteCode::ModemState | ByteCode::LineState, _)
            );
            assert!(told_late && missed > 0, "{message:?} among {at_once:?}");
            missed -= 1;
        }
        assert_eq!(expected.next(), None, "not answered at once");
    }

    /// Notes what this piece asks for; gives what must be said to it without waiting for the device, and how often it
    /// ends a silence.
    fn understand(&mut self, piece: &[u8]) -> (Vec<Message>, usize) {
        let mut at_once = Vec::new();
        let mut resumed = 0;
        let Run {
            client,
            agreed,
            suspended,
            in_force,
            wanted,
            owed,
            ..
        } = self;
        client.handle_input(piece, &mut BytesMut::new(), |event, _| match event {
            Event::Data(data) => work(wanted, Work::Write(data.to_vec())),
            Event::Command(Command::Break) => work(wanted, Work::Request(Request::SendBreak)),
            Event::Option {
                side: Side::Him,
                option: TelnetOption::COM_PORT,
                on,
            } => {
                (*agreed, *suspended) = (on, false);
                if on {
                    at_once.push(Message::Byte(ByteCode::ModemState, in_force.modem));
                }
            }
            Event::Subnegotiation {
                option: Some(TelnetOption::COM_PORT),
                payload,
            } if *agreed => match Message::from_client(payload) {
                Ok(Message::Signature(text)) if text.is_empty() => {
                    at_once.push(Message::Signature(SIGNATURE.into()));
                }
                Ok(Message::Suspend) => *suspended = true,
                Ok(Message::Resume) => {
                    *suspended = false;
                    resumed += 1;
                }
                Ok(Message::BaudRate(rate)) => {
                    if rate != 0 {
                        work(wanted, Work::Request(Request::SetBaud(rate)));
                    }
                    owed.push_back(Owed::Baud);
                }
                Ok(Message::Byte(code, value)) => match code {
                    ByteCode::LineStateMask | ByteCode::ModemStateMask => {
                        at_once.push(Message::Byte(code, value));
                    }
                    ByteCode::LineState => at_once.push(Message::Byte(code, 0)),
                    ByteCode::ModemState => at_once.push(Message::Byte(code, in_force.modem)),
                    _ => {
                        let (request, owing) = setting(code, value);
                        if let Some(request) = request {
                            work(wanted, Work::Request(request));
                        }
                        owed.push_back(owing);
                    }
                },
                Ok(Message::Signature(_)) | Err(_) => {}
            },
            _ => {}
        });
        (at_once, resumed)
    }

    /// Does up to `count` of what is waiting.
    fn carry_out(&mut self, count: usize) {
        for _ in 0..count {
            let request = self.server.poll_request(&mut self.out);
            self.acknowledged();
            let Some(request) = request else { return };
            let settles = !matches!(request, Request::Write(_));
            if self.choices.below(4) != 0 {
                self.grant(&request);
            }
            match request {
                Request::Write(bytes) => work(&mut self.done, Work::Write(bytes.to_vec())),
                other => work(&mut self.done, Work::Request(other)),
            }
            if settles {
                assert!(!self.server.is_idle());
                assert_eq!(
                    self.server.poll_request(&mut self.out),
                    None,
                    "two at a time"
                );
                self.server.settle(self.in_force, &mut self.out);
                self.acknowledged();
            }
        }
    }

    /// What was sent since must be what is owed next; changes of modem lines may stand between.
    fn acknowledged(&mut self) {
        for message in self.sent() {
            if let Message::Byte(ByteCode::ModemState, _) = message {
                assert!(self.agreed && !self.suspended, "an unwanted {message:?}");
                continue;
            }
            let owed = self.owed.pop_front();
            let owed = owed.unwrap_or_else(|| panic!("nobody asked for {message:?}"));
            assert_eq!(message, acknowledgement(owed, &self.in_force));
        }
    }

    fn grant(&mut self, request: &Request) {
        let now = &mut self.in_force;
        match *request {
            Request::Write(_) | Request::Purge(_) | Request::SendBreak => {}
            Request::SetBaud(rate) => now.baud = rate,
            Request::SetDataSize(bits) => now.data_size = bits,
            Request::SetParity(parity) => now.parity = parity,
            Request::SetStopSize(size) => now.stop_size = size,
            Request::SetFlow(flow) => now.flow = flow,
            Request::SetBreak(on) => now.sending_break = on,
            Request::SetDtr(on) => now.dtr = on,
            Request::SetRts(on) => (now.rts, now.modem) = (on, now.modem ^ 0x10),
        }
    }

    /// Modem lines and errors of reception change, as they like.
    fn device_changes(&mut self) {
        self.in_force.modem = (self.choices.below(16) as u8) << 4;
        self.server.handle_in_force(self.in_force, &mut self.out);
        self.notified(ByteCode::ModemState, 0xFF);

        let state = self.choices.below(256) as u8;
        self.server.handle_line_state(state, &mut self.out);
        self.notified(ByteCode::LineState, state & self.server.line_mask());
    }

    fn notified(&mut self, code: ByteCode, may_say: u8) {
        match self.sent()[..] {
            [] => {}
            [Message::Byte(said, state)] if said == code => {
                assert!(self.agreed && !self.suspended, "an unwanted notification");
                assert!(state != 0 && state & !may_say == 0, "{state:#x} is told");
            }
            ref other => panic!("{other:?} instead of one notification"),
        }
    }

    fn device_sends(&mut self) {
        let data = [b'a', 0xFF, b'\r', 0xFF, 0xF0][..self.choices.below(6)].to_vec();
        self.server.send_data(&data, &mut self.out);
        assert!(self.out.len() <= 2 * data.len() + 1);
        assert_eq!(self.sent(), [], "data is not taken for a command");
    }

    /// What the server has sent since, understood.
    fn sent(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        let out = self.out.split();
        self.reader
            .handle_input(&out, &mut BytesMut::new(), |event, _| match event {
                Event::Subnegotiation { option, payload } => {
                    assert_eq!(option, Some(TelnetOption::COM_PORT));
                    let message = Message::from_server(payload);
                    messages.push(message.expect("what the server sends has a meaning"));
                }
                Event::SubnegotiationTooLong { option } => panic!("{option:?} is too long"),
                _ => {}
            });
        messages
    }
}

fn work(list: &mut Vec<Work>, next: Work) {
    match (list.last_mut(), next) {
        (Some(Work::Write(last)), Work::Write(bytes)) => last.extend_from_slice(&bytes),
        (_, next) => list.push(next),
    }
}

/// The tables of RFC 2217: what a command of one byte asks of the device, if anything, and what it is owed.
fn setting(code: ByteCode, value: u8) -> (Option<Request>, Owed) {
    let within = |range: std::ops::RangeInclusive<u8>, request: fn(u8) -> Request| {
        range.contains(&value).then(|| request(value))
    };
    match code {
        ByteCode::DataSize => (within(5..=8, Request::SetDataSize), Owed::DataSize),
        ByteCode::Parity => (within(1..=5, Request::SetParity), Owed::Parity),
        ByteCode::StopSize => (within(1..=3, Request::SetStopSize), Owed::StopSize),
        ByteCode::Purge => {
            let request = within(1..=3, Request::Purge);
            let purged = if request.is_some() { value } else { 0 };
            (request, Owed::Purge(purged))
        }
        _ => match value {
            1..=3 => (Some(Request::SetFlow(value)), Owed::Flow),
            4 => (None, Owed::Break),
            5..=6 => (Some(Request::SetBreak(value == 5)), Owed::Break),
            7 => (None, Owed::Dtr),
            8..=9 => (Some(Request::SetDtr(value == 8)), Owed::Dtr),
            10 => (None, Owed::Rts),
            11..=12 => (Some(Request::SetRts(value == 11)), Owed::Rts),
            13..=16 | 18 => (None, Owed::InboundFlow),
            _ => (None, Owed::Flow),
        },
    }
}

/// The acknowledgement that says what is in force.
fn acknowledgement(owed: Owed, now: &InForce) -> Message {
    let (code, value) = match owed {
        Owed::Baud => return Message::BaudRate(now.baud),
        Owed::DataSize => (ByteCode::DataSize, now.data_size),
        Owed::Parity => (ByteCode::Parity, now.parity),
        Owed::StopSize => (ByteCode::StopSize, now.stop_size),
        Owed::Flow => (ByteCode::Control, now.flow),
        Owed::Break => (ByteCode::Control, if now.sending_break { 5 } else { 6 }),
        Owed::Dtr => (ByteCode::Control, if now.dtr { 8 } else { 9 }),
        Owed::Rts => (ByteCode::Control, if now.rts { 11 } else { 12 }),
        Owed::InboundFlow => (ByteCode::Control, 13 + now.flow),
        Owed::Purge(value) => (ByteCode::Purge, value),
    };
    Message::Byte(code, value)
}
