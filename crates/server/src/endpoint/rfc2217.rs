//! The `rfc2217` endpoint: telnet with the COM-PORT-OPTION, for software that sets line settings and signals over the
//! network (pyserial, esptool, C-Kermit). Here the numbers of the RFC meet the settings of a port; the protocol itself is
//! `uartnet_telnet`'s, and how a client is held, ended and cut off is `bridge`'s.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use uart_iface::{
    Baud, DataBits, FlowControl, InputSignals, LineSettings, OutputChange, OutputSignals, Parity,
    Purge, StopBits,
};
use uartnet_hub::{ActionDone, Control, ControlError, ControlId, DeviceState, Notice};
use uartnet_telnet::access_server::{AccessServer, InForce, Request};
use uartnet_telnet::com_port::value;

use super::bridge::{Bridge, OPTIONS};
use super::{Connection, EndpointKind, Finish, Output, PortNeed, Session};

/// How many bytes are taken from the history, and escaped, in one piece.
const PIECE: usize = 16 * 1024;
/// How many bytes of acknowledgements may wait for their socket before no more commands are looked at.
const UNSAID: usize = 64 * 1024;
/// The telnet command BRK says nothing of a length; this is what serial tools send.
const BREAK: Duration = Duration::from_millis(250);

/// The `rfc2217` endpoint.
#[derive(Debug)]
pub(super) struct Rfc2217;

impl EndpointKind for Rfc2217 {
    fn name(&self) -> &'static str {
        "rfc2217"
    }

    fn summary(&self) -> &'static str {
        "telnet with RFC 2217: for pyserial, esptool, C-Kermit, and telnet itself"
    }

    fn port_need(&self) -> PortNeed {
        PortNeed::One
    }

    fn options(&self) -> &'static [&'static str] {
        OPTIONS
    }

    fn session(&self, now: Instant, connection: Connection) -> Box<dyn Session> {
        let bridge = match Bridge::new(now, &connection) {
            Ok(bridge) => bridge,
            Err(no_port) => return Box::new(no_port),
        };
        let handle = bridge.client().port();
        let mut port = Known {
            line: handle.line(),
            outputs: OutputSignals::ASSERTED,
            inputs: None,
            sending_break: false,
        };
        port.handle_state(&handle.info().state);
        let mut said = BytesMut::new();
        let signature = concat!("uartd ", env!("CARGO_PKG_VERSION"));
        let server = AccessServer::new(signature, port.in_force(), &mut said);
        Box::new(Rfc2217Session {
            bridge,
            server,
            port,
            said,
            doing: None,
            ended: false,
            banner: connection.options.banner.clone(),
        })
    }
}

/// One connection.
#[derive(Debug)]
struct Rfc2217Session {
    bridge: Bridge,
    server: AccessServer,
    port: Known,
    /// Negotiations and acknowledgements, on their way.
    said: BytesMut,
    /// The request that is not settled.
    doing: Option<Doing>,
    /// The client has shut down its sending half; the bridge learns of it when everything before was handed on.
    ended: bool,
    /// What is to be said first.
    banner: Option<Arc<String>>,
}

/// A request that the port's task is carrying out.
#[derive(Debug, Clone, Copy)]
struct Doing {
    control: ControlId,
    /// The break that will be on, or not, once it is done.
    sending_break: Option<bool>,
}

/// What is known of the port.
#[derive(Debug, Clone, Copy)]
struct Known {
    line: LineSettings,
    outputs: OutputSignals,
    /// `None` while the device is absent: then every line is down.
    inputs: Option<InputSignals>,
    sending_break: bool,
}

impl Session for Rfc2217Session {
    fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        if self.bridge.has_room() && self.server.is_plain(bytes) {
            return self.bridge.handle_bytes(now, bytes);
        }
        let watched = self.watched_errors();
        self.server.handle_input(bytes, &mut self.said);
        let watches = self.watched_errors();
        if watches != watched {
            let client = self.bridge.client();
            client.with_hub(now, |hub, id| hub.watch_errors(id, watches));
        }
        self.work(now);
    }

    fn handle_end_of_input(&mut self, now: Instant) {
        self.ended = true;
        self.work(now);
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
            self.server.send_data(banner.as_bytes(), &mut self.said);
        }
        self.bridge.resume(now);
        loop {
            self.work(now);
            // An idle connection holds no buffer.
            if !self.said.is_empty() {
                out.push_shared(std::mem::take(&mut self.said).freeze());
            }
            if out.is_full() {
                return;
            }
            let limit = if self.server.is_suspended() { 0 } else { PIECE };
            match self.bridge.poll(now, limit) {
                Some(Notice::Data { bytes, .. }) if self.server.sends_as_it_is(&bytes) => {
                    out.push_shared(bytes);
                    if self.server.is_idle() && self.bridge.finds_nothing() {
                        return;
                    }
                }
                Some(notice) => self.handle_notice(notice),
                None => return,
            }
        }
    }

    fn stays_silent(&self) -> bool {
        self.bridge.flows() && self.server.is_idle() && self.said.is_empty()
    }

    fn wants_input(&self) -> bool {
        !self.ended
            && self.server.wants_input()
            && self.bridge.has_room()
            && self.said.len() < UNSAID
    }

    fn finished(&self) -> Option<Finish> {
        self.bridge.finished()
    }
}

impl Rfc2217Session {
    /// Whether the client wants to be told of receive errors.
    fn watched_errors(&self) -> bool {
        self.server.line_mask() != 0
    }

    /// Hands on what the client asked for, one request after the other.
    fn work(&mut self, now: Instant) {
        if self.server.is_idle() && !self.ended {
            return;
        }
        while self.doing.is_none() && self.bridge.has_room() {
            let Some(request) = self.server.poll_request(&mut self.said) else {
                break;
            };
            match request {
                Request::Write(bytes) => self.bridge.handle_bytes(now, &bytes),
                request => self.begin(now, &request),
            }
        }
        if self.ended && self.server.is_idle() && self.doing.is_none() {
            self.bridge.handle_end_of_input(now);
        }
    }

    /// Everything but writing is a control operation; its end is the acknowledgement.
    fn begin(&mut self, now: Instant, request: &Request) {
        let Some(control) = self.port.control(request) else {
            // Nothing a port could do, e.g. a baud rate that is none.
            self.server.settle(self.port.in_force(), &mut self.said);
            return;
        };
        let client = self.bridge.client();
        let discards = matches!(control, Control::Purge(Purge::Receive | Purge::Both));
        let sending_break = match control {
            Control::HoldBreak(on) => Some(on),
            _ => None,
        };
        if discards {
            client.with_hub(now, |hub, id| hub.skip_unread(now, id));
        }
        let control = client.control(now, control);
        self.doing = Some(Doing {
            control,
            sending_break,
        });
    }

    fn handle_notice(&mut self, notice: Notice) {
        match notice {
            Notice::Data { bytes, .. } => self.server.send_data(&bytes, &mut self.said),
            Notice::State { state, .. } => {
                self.port.handle_state(&state);
                self.tell();
            }
            Notice::Line(line) => {
                self.port.line = line;
                self.tell();
            }
            Notice::Signals { outputs, inputs } => {
                (self.port.outputs, self.port.inputs) = (outputs, Some(inputs));
                self.tell();
            }
            Notice::Errors(errors) => {
                use value::line_state::{BREAK, FRAMING, OVERRUN, PARITY};
                let seen = [
                    (errors.break_seen, BREAK),
                    (errors.framing, FRAMING),
                    (errors.parity, PARITY),
                    (errors.overrun, OVERRUN),
                ];
                self.server.handle_line_state(bits(seen), &mut self.said);
            }
            Notice::ControlDone {
                control, result, ..
            } => self.handle_done(control, &result),
            // The bridge keeps these to itself.
            Notice::Gap { .. }
            | Notice::Lease { .. }
            | Notice::AskTurn(_)
            | Notice::Written { .. }
            | Notice::WriteLost { .. }
            | Notice::AskDone { .. }
            | Notice::Closed(_) => {}
        }
    }

    fn handle_done(&mut self, control: ControlId, result: &Result<ActionDone, ControlError>) {
        let Some(doing) = self.doing.take_if(|doing| doing.control == control) else {
            return;
        };
        match result {
            Ok(ActionDone::Line(line)) => self.port.line = *line,
            Ok(ActionDone::Outputs(outputs)) => self.port.outputs = *outputs,
            Ok(ActionDone::Done) => {
                self.port.sending_break = doing.sending_break.unwrap_or(self.port.sending_break);
            }
            Err(error) => {
                let port = self.bridge.client().port().name();
                tracing::info!(%port, "RFC 2217: refused, and answered with the value in force: {error}");
            }
        }
        self.server.settle(self.port.in_force(), &mut self.said);
    }

    fn tell(&mut self) {
        self.server
            .handle_in_force(self.port.in_force(), &mut self.said);
    }
}

impl Known {
    fn handle_state(&mut self, state: &DeviceState) {
        match state {
            DeviceState::Present {
                line,
                outputs,
                inputs,
            } => {
                self.line = *line;
                self.outputs = *outputs;
                self.inputs = Some(*inputs);
            }
            DeviceState::Absent { .. } => {
                self.inputs = None;
                self.sending_break = false;
            }
        }
    }

    /// What is in force, in the numbers of the RFC.
    fn in_force(&self) -> InForce {
        use value::modem_state::{CTS, DCD, DSR, RI};
        let modem = self.inputs.map_or(0, |inputs| {
            bits([
                (inputs.dcd, DCD),
                (inputs.ri, RI),
                (inputs.dsr, DSR),
                (inputs.cts, CTS),
            ])
        });
        InForce {
            baud: self.line.baud.get(),
            data_size: match self.line.data_bits {
                DataBits::Five => 5,
                DataBits::Six => 6,
                DataBits::Seven => 7,
                DataBits::Eight => 8,
            },
            parity: match self.line.parity {
                Parity::None => value::parity::NONE,
                Parity::Odd => value::parity::ODD,
                Parity::Even => value::parity::EVEN,
                Parity::Mark => value::parity::MARK,
                Parity::Space => value::parity::SPACE,
            },
            stop_size: match self.line.stop_bits {
                StopBits::One => value::stop_size::ONE,
                StopBits::OnePointFive => value::stop_size::ONE_AND_A_HALF,
                StopBits::Two => value::stop_size::TWO,
            },
            flow: match self.line.flow {
                FlowControl::None => value::control::FLOW_NONE,
                FlowControl::RtsCts => value::control::FLOW_HARDWARE,
                FlowControl::XonXoff => value::control::FLOW_XON_XOFF,
            },
            sending_break: self.sending_break,
            dtr: self.outputs.dtr,
            rts: self.outputs.rts,
            modem,
        }
    }

    /// The control operation that a request asks for.
    fn control(&self, request: &Request) -> Option<Control> {
        let line = self.line;
        Some(match *request {
            Request::SetBaud(rate) => Control::SetLine(LineSettings {
                baud: Baud::new(rate)?,
                ..line
            }),
            Request::SetDataSize(size) => Control::SetLine(LineSettings {
                data_bits: match size {
                    5 => DataBits::Five,
                    6 => DataBits::Six,
                    7 => DataBits::Seven,
                    8 => DataBits::Eight,
                    _ => return None,
                },
                ..line
            }),
            Request::SetParity(parity) => Control::SetLine(LineSettings {
                parity: match parity {
                    value::parity::NONE => Parity::None,
                    value::parity::ODD => Parity::Odd,
                    value::parity::EVEN => Parity::Even,
                    value::parity::MARK => Parity::Mark,
                    value::parity::SPACE => Parity::Space,
                    _ => return None,
                },
                ..line
            }),
            Request::SetStopSize(size) => Control::SetLine(LineSettings {
                stop_bits: match size {
                    value::stop_size::ONE => StopBits::One,
                    value::stop_size::TWO => StopBits::Two,
                    value::stop_size::ONE_AND_A_HALF => StopBits::OnePointFive,
                    _ => return None,
                },
                ..line
            }),
            Request::SetFlow(flow) => Control::SetLine(LineSettings {
                flow: match flow {
                    value::control::FLOW_NONE => FlowControl::None,
                    value::control::FLOW_HARDWARE => FlowControl::RtsCts,
                    value::control::FLOW_XON_XOFF => FlowControl::XonXoff,
                    _ => return None,
                },
                ..line
            }),
            Request::SetBreak(on) => Control::HoldBreak(on),
            Request::SendBreak => Control::Break(BREAK),
            Request::SetDtr(on) => Control::SetOutputs(OutputChange {
                dtr: Some(on),
                rts: None,
            }),
            Request::SetRts(on) => Control::SetOutputs(OutputChange {
                dtr: None,
                rts: Some(on),
            }),
            Request::Purge(queues) => Control::Purge(match queues {
                value::purge::RECEIVE => Purge::Receive,
                value::purge::TRANSMIT => Purge::Transmit,
                value::purge::BOTH => Purge::Both,
                _ => return None,
            }),
            Request::Write(_) => return None,
        })
    }
}

/// The bits whose condition holds.
fn bits(conditions: [(bool, u8); 4]) -> u8 {
    let holding = conditions.into_iter().filter(|(holds, _)| *holds);
    holding.fold(0, |bits, (_, bit)| bits | bit)
}
