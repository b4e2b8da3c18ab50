//! An RFC 2217 client of ours meets a gateway's session: what it asks for, as requests to the gateway, and what is in
//! force, in the numbers of the RFC. Pure; sockets are `commands/forward`'s, and the protocol is `uartnet_telnet`'s.

use anyhow::{Context, Result};
use bytes::{Bytes, BytesMut};
use uart_iface::{LineSettings, PortName};
use uartnet_client::line_numbers;
use uartnet_proto::message::{
    self, Answer, Break, Done, Event, Info, Inputs, Outputs, PortDetails, Queues, Request, Set,
    Signals, State,
};
use uartnet_telnet::access_client::Setting;
use uartnet_telnet::access_server::{AccessServer, InForce, Request as Wanted};
use uartnet_telnet::com_port::value;

/// How long a break is, in milliseconds: a gateway's session has no break that is held until it is ended.
const BREAK_MS: u64 = 250;

/// One client's session.
#[derive(Debug)]
pub(crate) struct Access {
    port: PortName,
    server: AccessServer,
    known: Known,
    doing: Option<Doing>,
    /// The request for everything about the port whose answer counts.
    look: Option<u64>,
}

/// What is known of the port.
#[derive(Debug, Clone, Copy)]
struct Known {
    line: LineSettings,
    outputs: Outputs,
    /// `None` while the device is absent: then every line is down.
    inputs: Option<Inputs>,
    sending_break: bool,
}

/// The request that is not settled.
#[derive(Debug, Clone, Copy, Default)]
struct Doing {
    /// Of the gateway's answer; not known before the request is sent.
    id: Option<u64>,
    /// The break that will be on, or not, once it is done.
    sending_break: Option<bool>,
    /// What was received before it is done is thrown away.
    discards: bool,
}

/// What is to be done next.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// Bytes for the UART.
    Write(Bytes),
    /// A request to the gateway, behind all bytes; [`Access::handle_asked`] is told its id.
    Ask(Request),
}

impl Access {
    /// A session that begins now, with the port as the gateway described it.
    ///
    /// # Errors
    /// The gateway told line settings that make no sense.
    pub(crate) fn new(port: PortName, details: &PortDetails, out: &mut BytesMut) -> Result<Access> {
        let known = Known::of(details)?;
        let signature = concat!("uart ", env!("CARGO_PKG_VERSION"));
        Ok(Access {
            port,
            server: AccessServer::new(signature, known.in_force(), out),
            known,
            doing: None,
            look: None,
        })
    }

    // --- getters

    /// Whether it can take more of what the client sends.
    pub(crate) fn wants_input(&self) -> bool {
        self.server.wants_input()
    }

    /// Whether everything the client sent was handed on and answered.
    pub(crate) fn is_idle(&self) -> bool {
        self.server.is_idle() && self.doing.is_none()
    }

    /// Whether the client has asked for silence: no data is due.
    pub(crate) fn is_suspended(&self) -> bool {
        self.server.is_suspended()
    }

    /// Whether what the board says now is thrown away, since the client has purged it.
    pub(crate) fn discards(&self) -> bool {
        self.doing.is_some_and(|doing| doing.discards)
    }

    /// The request whose answer describes the port; [`Access::handle_looking`] is told its id.
    pub(crate) fn look(&self) -> Request {
        Request::Info(Info {
            info: self.port.to_string(),
        })
    }

    // --- the world spoke

    /// The client sent bytes.
    pub(crate) fn handle_input(&mut self, bytes: &[u8], out: &mut BytesMut) {
        self.server.handle_input(bytes, out);
    }

    /// The step before was sent to the gateway, and its answer will carry this id; `None`: it could not be sent.
    pub(crate) fn handle_asked(&mut self, id: Option<u64>, out: &mut BytesMut) {
        match (&mut self.doing, id) {
            (Some(doing), Some(_)) => doing.id = id,
            _ => self.settle(out),
        }
    }

    /// The answer that carries this id describes the port.
    pub(crate) fn handle_looking(&mut self, id: Option<u64>) {
        self.look = id;
    }

    /// The connection to the gateway is lost. Whether a request under way was done is not known.
    pub(crate) fn handle_lost(&mut self, out: &mut BytesMut) {
        if self.doing.is_some() {
            self.settle(out);
        }
    }

    /// The gateway answered a request; gives why it refused one.
    pub(crate) fn handle_answer(
        &mut self,
        id: u64,
        answer: &Answer,
        out: &mut BytesMut,
    ) -> Option<String> {
        if let (Some(_), Answer::Port(info)) = (self.look.take_if(|look| *look == id), answer) {
            if let Ok(known) = Known::of(&info.port) {
                let sending_break = self.known.sending_break;
                self.known = Known {
                    sending_break,
                    ..known
                };
                self.tell(out);
            }
            return None;
        }
        let doing = self.doing.filter(|doing| doing.id == Some(id))?;
        let refused = match answer {
            Answer::Done(Done { line, outputs, .. }) => {
                if let Some(line) = line.as_deref().and_then(|line| line.parse().ok()) {
                    self.known.line = line;
                }
                self.known.outputs = outputs.unwrap_or(self.known.outputs);
                self.known.sending_break = doing.sending_break.unwrap_or(self.known.sending_break);
                None
            }
            Answer::Error(error) => Some(format!(
                "refused, and answered with the value in force: {} ({})",
                error.message, error.error
            )),
            _ => None,
        };
        self.settle(out);
        refused
    }

    /// Something happened to the port. Whether it is to be looked at again.
    pub(crate) fn handle_event(&mut self, event: &Event, out: &mut BytesMut) -> bool {
        match event {
            Event::Line { line, .. } => {
                self.known.line = line.parse().unwrap_or(self.known.line);
            }
            Event::Signals {
                outputs, inputs, ..
            } => (self.known.outputs, self.known.inputs) = (*outputs, Some(*inputs)),
            Event::State {
                state: State::Absent,
                ..
            } => (self.known.inputs, self.known.sending_break) = (None, false),
            Event::State {
                state: State::Present,
                ..
            } => return true,
            _ => return false,
        }
        self.tell(out);
        false
    }

    // --- what to do now

    /// The next thing to do; `None` also while the one before is not answered.
    pub(crate) fn poll_step(&mut self, out: &mut BytesMut) -> Option<Step> {
        loop {
            if self.doing.is_some() {
                return None;
            }
            let wanted = self.server.poll_request(out)?;
            if let Wanted::Write(bytes) = wanted {
                return Some(Step::Write(bytes));
            }
            self.doing = Some(Doing {
                id: None,
                sending_break: match wanted {
                    Wanted::SetBreak(on) => Some(on),
                    _ => None,
                },
                discards: matches!(
                    wanted,
                    Wanted::Purge(value::purge::RECEIVE | value::purge::BOTH)
                ),
            });
            if let Some(request) = self.request(&wanted) {
                return Some(Step::Ask(request));
            }
            // A break ends by itself; and there are numbers that no port could be set to.
            if let Wanted::SetBreak(false) = wanted {
                self.known.sending_break = false;
            }
            self.settle(out);
        }
    }

    /// Appends bytes of the board.
    pub(crate) fn send_data(&mut self, bytes: &[u8], out: &mut BytesMut) {
        self.server.send_data(bytes, out);
    }

    fn request(&self, wanted: &Wanted) -> Option<Request> {
        let port = self.port.to_string();
        let line = |setting, number| {
            let line = line_numbers::with(self.known.line, setting, number)?;
            Some(Request::Set(Set {
                set: self.port.to_string(),
                line: line.to_string(),
                hold: None,
            }))
        };
        Some(match *wanted {
            Wanted::SetBaud(rate) => line(Setting::Baud, rate)?,
            Wanted::SetDataSize(number) => line(Setting::DataSize, number.into())?,
            Wanted::SetParity(number) => line(Setting::Parity, number.into())?,
            Wanted::SetStopSize(number) => line(Setting::StopSize, number.into())?,
            Wanted::SetFlow(number) => line(Setting::Flow, number.into())?,
            Wanted::SetDtr(on) => Request::Signals(Signals {
                signals: port,
                dtr: Some(on),
                rts: None,
            }),
            Wanted::SetRts(on) => Request::Signals(Signals {
                signals: port,
                dtr: None,
                rts: Some(on),
            }),
            Wanted::SetBreak(true) | Wanted::SendBreak => {
                Request::Break(Break { port, ms: BREAK_MS })
            }
            Wanted::Purge(queues) => Request::Purge(message::Purge {
                purge: port,
                queues: match queues {
                    value::purge::RECEIVE => Queues::Receive,
                    value::purge::TRANSMIT => Queues::Transmit,
                    _ => Queues::Both,
                },
            }),
            Wanted::SetBreak(false) | Wanted::Write(_) => return None,
        })
    }

    fn settle(&mut self, out: &mut BytesMut) {
        self.doing = None;
        self.server.settle(self.known.in_force(), out);
    }

    fn tell(&mut self, out: &mut BytesMut) {
        self.server.handle_in_force(self.known.in_force(), out);
    }
}

impl Known {
    fn of(details: &PortDetails) -> Result<Known> {
        Ok(Known {
            line: details
                .summary
                .line
                .parse()
                .context("the gateway told line settings that make no sense")?,
            // What is not told is as it is after opening.
            outputs: details.outputs.unwrap_or(Outputs {
                dtr: true,
                rts: true,
            }),
            inputs: details.inputs,
            sending_break: false,
        })
    }

    fn in_force(&self) -> InForce {
        use value::modem_state::{CTS, DCD, DSR, RI};
        let modem = self.inputs.map_or(0, |inputs| {
            [
                (inputs.dcd, DCD),
                (inputs.ri, RI),
                (inputs.dsr, DSR),
                (inputs.cts, CTS),
            ]
            .into_iter()
            .filter(|(is_on, _)| *is_on)
            .fold(0, |bits, (_, bit)| bits | bit)
        });
        let number = |setting| {
            let number = line_numbers::number(self.line, setting);
            number.and_then(|number| u8::try_from(number).ok())
        };
        // Every line has a number for each of its settings.
        InForce {
            baud: self.line.baud.get(),
            data_size: number(Setting::DataSize).unwrap_or(0),
            parity: number(Setting::Parity).unwrap_or(0),
            stop_size: number(Setting::StopSize).unwrap_or(0),
            flow: number(Setting::Flow).unwrap_or(0),
            sending_break: self.sending_break,
            dtr: self.outputs.dtr,
            rts: self.outputs.rts,
            modem,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uartnet_proto::message::{ErrorAnswer, ErrorCode, FromServer};

    const PORT: &str = r#"{"port":{"name":"board0","device":"loopback:","state":"present","line":"9600-7e2-rtscts","profile":"none","write":"shared","clients":1,"outputs":{"dtr":true,"rts":false},"inputs":{"cts":true,"dsr":false,"ri":false,"dcd":true},"epoch":"00c0ffee00c0ffee","history_start":0,"history_end":0,"history_size":1024,"sequences":[],"stalled":false,"counters":{}}}"#;

    fn details() -> PortDetails {
        match FromServer::decode(&Bytes::from_static(PORT.as_bytes())).unwrap() {
            FromServer::Control(Answer::Port(info), _) => info.port,
            other => panic!("{other:?}"),
        }
    }

    /// A client that has agreed to the option and was told the modem lines.
    fn agreed() -> (Access, BytesMut) {
        let mut out = BytesMut::new();
        let mut access = Access::new("board0".parse().unwrap(), &details(), &mut out).unwrap();
        out.clear();
        access.handle_input(b"\xff\xfb\x2c", &mut out);
        assert_eq!(&out.split()[..], b"\xff\xfa\x2c\x6b\x90\xff\xf0");
        (access, out)
    }

    fn ask(access: &mut Access, command: &[u8], out: &mut BytesMut) -> Option<Step> {
        let mut bytes = b"\xff\xfa\x2c".to_vec();
        bytes.extend_from_slice(command);
        bytes.extend_from_slice(b"\xff\xf0");
        access.handle_input(&bytes, out);
        access.poll_step(out)
    }

    fn done(line: Option<&str>, outputs: Option<Outputs>) -> Answer {
        Answer::Done(Done {
            done: "it".to_owned(),
            line: line.map(str::to_owned),
            outputs,
            steps: Vec::new(),
        })
    }

    /// The payload of the one acknowledgement.
    fn acknowledged(out: &mut BytesMut) -> Vec<u8> {
        let out = out.split();
        let payload = out.strip_prefix(b"\xff\xfa\x2c").expect("one");
        payload.strip_suffix(b"\xff\xf0").expect("one").to_vec()
    }

    #[test]
    fn questions_are_answered_with_what_the_gateway_told() {
        let (mut access, mut out) = agreed();
        for (question, answer) in [
            (&b"\x01\0\0\0\0"[..], &b"\x65\0\0\x25\x80"[..]),
            (b"\x02\0", b"\x66\x07"),
            (b"\x03\0", b"\x67\x03"),
            (b"\x04\0", b"\x68\x02"),
            (b"\x05\0", b"\x69\x03"),
            (b"\x05\x07", b"\x69\x08"),
            (b"\x05\x0a", b"\x69\x0c"),
        ] {
            assert_eq!(ask(&mut access, question, &mut out), None);
            assert_eq!(acknowledged(&mut out), answer);
        }
    }

    #[test]
    fn a_wish_becomes_a_request_and_its_answer_the_acknowledgement() {
        let (mut access, mut out) = agreed();
        for (wish, request, line, acknowledgement) in [
            (
                &b"\x01\0\x01\xc2\0"[..],
                "115200-7e2-rtscts",
                "115200-7e2-rtscts",
                &b"\x65\0\x01\xc2\0"[..],
            ),
            (
                b"\x02\x08",
                "115200-8e2-rtscts",
                "115200-8e2-rtscts",
                b"\x66\x08",
            ),
            (
                b"\x03\x01",
                "115200-8n2-rtscts",
                "115200-8n2-rtscts",
                b"\x67\x01",
            ),
            // The device cannot, and says what it does.
            (
                b"\x04\x03",
                "115200-8n1.5-rtscts",
                "115200-8n1-rtscts",
                b"\x68\x01",
            ),
            (b"\x05\x01", "115200-8n1", "115200-8n1", b"\x69\x01"),
        ] {
            let Some(Step::Ask(Request::Set(set))) = ask(&mut access, wish, &mut out) else {
                panic!("{wish:?}")
            };
            assert_eq!((set.set.as_str(), set.line.as_str()), ("board0", request));
            access.handle_asked(Some(7), &mut out);
            access.handle_answer(6, &done(None, None), &mut out);
            assert!(
                out.is_empty() && !access.is_idle(),
                "somebody else's answer"
            );
            access.handle_answer(7, &done(Some(line), None), &mut out);
            assert_eq!(acknowledged(&mut out), acknowledgement);
            assert!(access.is_idle());
        }
    }

    #[test]
    fn what_is_refused_or_cannot_be_asked_is_acknowledged_with_what_is_in_force() {
        let (mut access, mut out) = agreed();
        assert!(ask(&mut access, b"\x05\x0b", &mut out).is_some());
        access.handle_asked(Some(1), &mut out);
        let error = Answer::Error(ErrorAnswer::new(ErrorCode::ReadOnly, "nobody may"));
        let told = access.handle_answer(1, &error, &mut out);
        assert!(told.is_some_and(|told| told.contains("nobody may")));
        assert_eq!(acknowledged(&mut out), b"\x69\x0c", "RTS is still off");

        assert!(ask(&mut access, b"\x05\x09", &mut out).is_some());
        access.handle_asked(None, &mut out);
        assert_eq!(acknowledged(&mut out), b"\x69\x08", "no connection");

        assert!(ask(&mut access, b"\x05\x09", &mut out).is_some());
        access.handle_asked(Some(2), &mut out);
        access.handle_lost(&mut out);
        assert_eq!(acknowledged(&mut out), b"\x69\x08", "lost on the way");
    }

    #[test]
    fn a_break_is_timed_and_its_end_is_acknowledged_at_once() {
        let (mut access, mut out) = agreed();
        let Some(Step::Ask(Request::Break(wish))) = ask(&mut access, b"\x05\x05", &mut out) else {
            panic!("no break")
        };
        assert_eq!(wish.ms, 250);
        access.handle_asked(Some(1), &mut out);
        access.handle_answer(1, &done(None, None), &mut out);
        assert_eq!(acknowledged(&mut out), b"\x69\x05");
        assert_eq!(ask(&mut access, b"\x05\x06", &mut out), None);
        assert_eq!(acknowledged(&mut out), b"\x69\x06");
    }

    #[test]
    fn a_purge_of_what_was_received_discards_until_it_is_done() {
        let (mut access, mut out) = agreed();
        for (queues, discards) in [(1, true), (2, false), (3, true)] {
            assert!(ask(&mut access, &[12, queues], &mut out).is_some());
            access.handle_asked(Some(u64::from(queues)), &mut out);
            assert_eq!(access.discards(), discards);
            access.handle_answer(u64::from(queues), &done(None, None), &mut out);
            assert_eq!(acknowledged(&mut out), [112, queues]);
            assert!(!access.discards());
        }
    }

    #[test]
    fn data_behind_a_setting_waits_for_it() {
        let (mut access, mut out) = agreed();
        assert!(ask(&mut access, b"\x05\x09", &mut out).is_some());
        access.handle_input(b"AT\r\n", &mut out);
        assert_eq!(access.poll_step(&mut out), None);
        access.handle_asked(Some(1), &mut out);
        access.handle_answer(1, &done(None, None), &mut out);
        let data = Bytes::from_static(b"AT\r\n");
        assert_eq!(access.poll_step(&mut out), Some(Step::Write(data)));
    }

    #[test]
    fn modem_lines_follow_the_port() {
        let (mut access, mut out) = agreed();
        let outputs = Outputs {
            dtr: true,
            rts: false,
        };
        let inputs = Inputs {
            cts: false,
            dsr: false,
            ri: false,
            dcd: true,
        };
        let port = "board0".to_owned();
        let signals = Event::Signals {
            port: port.clone(),
            outputs,
            inputs,
        };
        assert!(!access.handle_event(&signals, &mut out));
        assert_eq!(acknowledged(&mut out), b"\x6b\x81", "CTS fell");
        let state = |state| Event::State {
            port: port.clone(),
            state,
            reason: None,
            line: None,
            at: 0,
            losses: 1,
        };
        assert!(!access.handle_event(&state(State::Absent), &mut out));
        assert_eq!(acknowledged(&mut out), b"\x6b\x08", "DCD fell");
        assert!(access.handle_event(&state(State::Present), &mut out));
        assert!(out.is_empty());
        access.handle_looking(Some(9));
        let again = FromServer::decode(&Bytes::from_static(PORT.as_bytes()));
        let Ok(FromServer::Control(answer, _)) = again else {
            panic!("{again:?}")
        };
        access.handle_answer(9, &answer, &mut out);
        assert_eq!(acknowledged(&mut out), b"\x6b\x99", "both rose");
    }
}
