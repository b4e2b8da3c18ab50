//! The session: requests with answers, one open port, and data in both directions at offsets.
//! Not the frames; those are `mod`'s.

use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use uart_iface::{LineSettings, OutputChange, Purge};
use uartnet_hub::{Ask, Control, LONGEST_TIMEOUT, Notice, Refusal};
use uartnet_proto::VERSION;
use uartnet_proto::message::{
    self, Answer, Closed, Done, ErrorCode, FromClient, Hello, LeaseAction, Mode, Opened, Pong,
    PortInfo, Ports, Queues, Reloaded, Request, StatusAnswer, Welcome,
};

use super::failure::Failure;
use super::pages::Pages;
use super::talk::{Answered, Talk};
use super::{OUTSTANDING, UNSAID, framing, info};
use crate::access::{AllowedPort, Wish};
use crate::endpoint::writer::Writer;
use crate::endpoint::{Connection, Output};
use crate::reload::Ticket;

/// The longest break.
const MAX_BREAK: Duration = Duration::from_secs(60);
/// What a client is told that must say who it is.
const NO_TOKEN: &str = "this listener lets in who has a token; get one from whoever runs the gateway \
    (uartd token create NAME), then: uart login";
/// The longest name of a writer, in bytes.
const MAX_WRITER: usize = 64;

/// One session.
#[derive(Debug)]
pub(super) struct Conversation {
    connection: Connection,
    /// The largest frame either side may send, for as long as the session lasts.
    max_frame: usize,
    /// Answers that wait for room in the connection's output.
    said: Output,
    welcomed: bool,
    stopping: bool,
    over: bool,
    open: Option<Open>,
    /// Ports that are asked or controlled without being open for writing, for as long as an answer is awaited or line settings
    /// are held.
    visits: Vec<Talk>,
    pages: Pages,
    /// A reload that was asked for, and the id of the request.
    reload: Option<(Rc<Ticket>, Option<u64>)>,
}

/// The open port.
#[derive(Debug)]
struct Open {
    talk: Talk,
    mode: Mode,
    writer: Writer,
}

/// What a request comes to at once: an answer, or (`None`) one that comes later.
type Outcome = Result<Option<Answer>, Failure>;

impl Conversation {
    pub(super) fn new(connection: Connection) -> Conversation {
        Conversation {
            max_frame: connection.visitor.max_frame(),
            connection,
            said: Output::new(),
            welcomed: false,
            stopping: false,
            over: false,
            open: None,
            visits: Vec::new(),
            pages: Pages::default(),
            reload: None,
        }
    }

    pub(super) fn wants_payload(&self) -> bool {
        !self.over
            && self.said.len() < UNSAID
            && !self.open.as_ref().is_some_and(|open| open.writer.holds())
    }

    pub(super) fn handle_payload(&mut self, now: Instant, payload: Bytes) {
        match FromClient::decode(&payload) {
            Ok(FromClient::Control(request, id)) => match self.request(now, request, id) {
                Ok(Some(answer)) => self.say((answer, id)),
                Ok(None) => {}
                Err(failure) => self.say((Answer::Error(failure.answer()), id)),
            },
            Ok(FromClient::Data { offset, bytes }) => {
                if let Err(failure) = self.data(now, offset, bytes) {
                    self.say((Answer::Error(failure.answer()), None));
                }
            }
            Err(error) => self.say((Answer::Error(error.answer()), error.id())),
        }
        // Whatever came first was not a hello that can be answered with a welcome. Who is shown out is told why later.
        self.over |= !self.welcomed && !self.connection.visitor.is_leaving();
    }

    pub(super) fn handle_stop(&mut self, now: Instant) {
        self.stopping = true;
        match &self.open {
            // It is told when it has got what it is owed.
            Some(open) => open
                .talk
                .client
                .with_hub(now, |hub, id| hub.dismiss(now, id)),
            None if self.over => {}
            None => {
                let failure: Failure = (&Refusal::Shutdown).into();
                self.say((Answer::Error(failure.answer()), None));
            }
        }
    }

    pub(super) fn poll_output(&mut self, now: Instant, ending: bool, out: &mut Output) {
        self.resume(now);
        self.poll_reload();
        out.append_all(&mut self.said);
        self.poll_visits(now, out);
        while !out.is_full()
            && let Some((answer, id)) = self.pages.poll()
        {
            framing::say_answer(out, self.max_frame, answer, id);
        }
        while !out.is_full() && (!ending || self.owes()) {
            let limit = framing::data_limit(self.max_frame);
            let Some(open) = &mut self.open else { return };
            let Some(notice) = open.talk.client.poll_notice(now, limit) else {
                return;
            };
            self.handle_notice(notice, out);
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    pub(super) fn owes(&self) -> bool {
        !self.said.is_empty()
            || self.awaits_board()
            || self.reload.is_some()
            || self
                .open
                .as_ref()
                .is_some_and(|open| self.stopping || open.writer.is_unsettled())
    }

    pub(super) fn awaits_board(&self) -> bool {
        self.outstanding() > 0
    }

    // --- requests

    fn request(&mut self, now: Instant, request: Request, id: Option<u64>) -> Outcome {
        if !self.welcomed && !matches!(request, Request::Hello(_)) {
            return Err(Failure::new(
                ErrorCode::BadMessage,
                "a session begins with hello",
            ));
        }
        match request {
            Request::Hello(hello) => self.hello(now, &hello),
            Request::List(list) => self.list(&list),
            Request::Info(wanted) => {
                let port = self.port(&wanted.info)?;
                Ok(Some(Answer::Port(Box::new(PortInfo {
                    port: info::details(&port, now),
                }))))
            }
            Request::Open(open) => self.open(now, &open),
            Request::Close(close) => {
                self.the_open(&close.close)?;
                self.leave();
                Ok(Some(Answer::Closed(Closed {
                    closed: close.close,
                })))
            }
            Request::Ask(ask) => {
                let limit = |name, ms: Option<u64>| match ms.map(Duration::from_millis) {
                    Some(time) if time.is_zero() || time > LONGEST_TIMEOUT => {
                        Err(out_of_range(name, LONGEST_TIMEOUT))
                    }
                    time => Ok(time),
                };
                let timeout = limit("ask: timeout_ms", ask.timeout_ms)?;
                let wait = limit("ask: wait_ms", ask.wait_ms)?;
                let command = ask.command.0;
                self.talk(now, &ask.ask)?.ask(
                    now,
                    Ask {
                        command,
                        profile: None,
                        timeout,
                        wait,
                    },
                    id,
                );
                Ok(None)
            }
            Request::Cancel(cancel) => {
                for talk in self.talks() {
                    talk.cancel(now, cancel.cancel);
                }
                done("cancel")
            }
            Request::Set(set) => {
                if set.hold == Some(false) && set.line.is_empty() {
                    return self.give_line_back(now, &set.set, id);
                }
                let line: LineSettings = set.line.parse().map_err(|error| {
                    Failure::new(ErrorCode::BadMessage, format!("set: line: {error}"))
                })?;
                let control = match set.hold {
                    Some(true) => Control::HoldLine(line),
                    Some(false) | None => Control::SetLine(line),
                };
                self.control(now, &set.set, control, "set", id)
            }
            Request::Signals(signals) => {
                let change = OutputChange {
                    dtr: signals.dtr,
                    rts: signals.rts,
                };
                self.control(
                    now,
                    &signals.signals,
                    Control::SetOutputs(change),
                    "signals",
                    id,
                )
            }
            Request::Break(wanted) => {
                let long = Duration::from_millis(wanted.ms);
                if long.is_zero() || long > MAX_BREAK {
                    return Err(out_of_range("break: ms", MAX_BREAK));
                }
                self.control(now, &wanted.port, Control::Break(long), "break", id)
            }
            Request::Purge(purge) => {
                let queues = match purge.queues {
                    Queues::Receive => Purge::Receive,
                    Queues::Transmit => Purge::Transmit,
                    Queues::Both => Purge::Both,
                };
                self.control(now, &purge.purge, Control::Purge(queues), "purge", id)
            }
            Request::Run(run) => self.control(now, &run.run, Control::Run(run.sequence), "run", id),
            Request::Lease(lease) => {
                let open = self.the_open(&lease.lease)?;
                let client = &open.talk.client;
                let result = match lease.action {
                    LeaseAction::Take => client.take_lease(now),
                    LeaseAction::Steal => client.steal_lease(now),
                    LeaseAction::Release => {
                        client.with_hub(now, |hub, id| hub.release_lease(now, id));
                        Ok(())
                    }
                };
                result.map_err(|refusal| Failure::from(&refusal))?;
                done("lease")
            }
            Request::Log(log) => {
                let port = self.port(&log.log)?;
                self.check_outstanding()?;
                self.pages.ask(now, &port, &log, self.max_frame, id)?;
                Ok(None)
            }
            Request::Status(status) => {
                if status.status != "gateway" {
                    let sentence = "status: \"gateway\" is all whose status there is";
                    return Err(Failure::new(ErrorCode::BadMessage, sentence));
                }
                Ok(Some(Answer::Status(Box::new(StatusAnswer {
                    status: info::status(&self.connection.visitor, now),
                }))))
            }
            Request::Reload(reload) => self.reload(now, &reload, id),
            Request::Ping(ping) => Ok(Some(Answer::Pong(Pong { pong: ping.ping }))),
        }
    }

    fn hello(&mut self, now: Instant, hello: &Hello) -> Outcome {
        if self.welcomed {
            return Err(Failure::new(
                ErrorCode::BadMessage,
                "hello: this session has begun already",
            ));
        }
        if hello.hello != VERSION {
            let wanted: String = hello.hello.chars().take(40).collect();
            let sentence =
                format!("\"{wanted}\" is not spoken here; this gateway speaks {VERSION}");
            return Err(Failure::new(ErrorCode::Version, sentence));
        }
        let visitor = &self.connection.visitor;
        if let Some(token) = &hello.token {
            if !visitor.present(now, token.reveal()) {
                return Ok(None);
            }
        } else if !visitor.may_see_anything() {
            visitor.turn_away(now, NO_TOKEN);
            return Ok(None);
        }
        tracing::debug!(
            peer = self.connection.visitor.peer(),
            client = hello.client,
            "session begun"
        );
        self.welcomed = true;
        let visitor = &self.connection.visitor;
        Ok(Some(Answer::Welcome(Welcome {
            welcome: VERSION.to_owned(),
            gateway: visitor.gateway_name().to_string(),
            server: info::SERVER.to_owned(),
            epoch: visitor.epoch().to_string(),
            max_frame: self.max_frame as u64,
            identity: visitor.name(),
        })))
    }

    fn list(&self, list: &message::List) -> Outcome {
        if list.list != "ports" {
            return Err(Failure::new(
                ErrorCode::BadMessage,
                "list: \"ports\" is all that can be listed",
            ));
        }
        let ports = self.connection.visitor.ports();
        Ok(Some(Answer::Ports(Ports {
            ports: ports.iter().map(info::summary).collect(),
        })))
    }

    fn open(&mut self, now: Instant, wanted: &message::Open) -> Outcome {
        if let Some(open) = &self.open {
            let sentence = format!(
                "{} is open; a session has one open port at a time",
                open.talk.client.port().name()
            );
            return Err(Failure::new(ErrorCode::NotOpen, sentence));
        }
        let port = self.port(&wanted.open)?;
        if wanted
            .writer
            .as_ref()
            .is_some_and(|writer| writer.is_empty() || writer.len() > MAX_WRITER)
        {
            let sentence = format!("open: writer must have 1 to {MAX_WRITER} bytes");
            return Err(Failure::new(ErrorCode::BadMessage, sentence));
        }
        let wish = Wish {
            read_only: wanted.mode == Mode::Read,
            read: Some(info::read_from(&wanted.from)?),
            on_lag: wanted.on_lag.map(info::on_lag),
            can_carry_gap: true,
            writer: wanted.writer.clone(),
        };
        let (client, attached) = port.attach(now, wish);
        if wanted.mode == Mode::Write {
            match client.take_lease(now) {
                // Who holds it instead is told by an event; writing may be possible later.
                Ok(()) | Err(Refusal::NotExclusive | Refusal::Leased { .. }) => {}
                Err(refusal) => return Err((&refusal).into()),
            }
        }
        let opened = Opened {
            opened: wanted.open.clone(),
            epoch: port.epoch().to_string(),
            offset: attached.offset.0,
            end: attached.end.0,
            write_offset: attached.write_offset,
        };
        let writer = Writer::new(attached.write_offset);
        self.open = Some(Open {
            talk: Talk::new(client),
            mode: wanted.mode,
            writer,
        });
        Ok(Some(Answer::Opened(opened)))
    }

    fn control(
        &mut self,
        now: Instant,
        port: &str,
        control: Control,
        kind: &'static str,
        id: Option<u64>,
    ) -> Outcome {
        self.talk(now, port)?.control(now, control, kind, id);
        Ok(None)
    }

    /// As whoever of this session holds line settings of this port.
    fn give_line_back(&mut self, now: Instant, name: &str, id: Option<u64>) -> Outcome {
        let port = self.port(name)?;
        let holds = |talk: &&mut Talk| talk.holds_line() && port.is_of(&talk.client);
        let talk = match self.visits.iter_mut().find(holds) {
            Some(talk) => talk,
            None => self.talk(now, name)?,
        };
        talk.control(now, Control::GiveLineBack, "set", id);
        Ok(None)
    }

    fn reload(&mut self, now: Instant, wanted: &message::Reload, id: Option<u64>) -> Outcome {
        if wanted.reload != "config" {
            let sentence = "reload: \"config\" is all that can be read again";
            return Err(Failure::new(ErrorCode::BadMessage, sentence));
        }
        if self.reload.is_some() {
            let sentence = "this session waits for a reload already";
            return Err(Failure::new(ErrorCode::Busy, sentence));
        }
        let ticket = self.connection.visitor.reload(now);
        self.reload = Some((ticket.map_err(|refusal| Failure::from(&refusal))?, id));
        Ok(None)
    }

    fn data(&mut self, now: Instant, offset: u64, mut bytes: Bytes) -> Result<(), Failure> {
        let Some(open) = &mut self.open else {
            let sentence = "there is no open port for this data";
            return Err(Failure::new(ErrorCode::NotOpen, sentence));
        };
        let next = open.writer.end();
        let Some(known) = next.checked_sub(offset) else {
            let sentence =
                format!("the data begins at {offset}, and the next write offset is {next}");
            return Err(not_written(
                Failure::new(ErrorCode::BadOffset, sentence),
                &open.writer,
            ));
        };
        // What was accepted before the connection broke, and is sent again by a client that could not know.
        bytes.advance(
            usize::try_from(known)
                .unwrap_or(usize::MAX)
                .min(bytes.len()),
        );
        open.writer
            .push(now, &open.talk.client, &bytes)
            .map_err(|refusal| not_written((&refusal).into(), &open.writer))
    }

    // --- what comes back

    /// Tries again with bytes there was no room for.
    fn resume(&mut self, now: Instant) {
        let Some(open) = &mut self.open else { return };
        if !open.writer.holds() {
            return;
        }
        if let Err(refusal) = open.writer.resume(now, &open.talk.client) {
            let failure = not_written((&refusal).into(), &open.writer);
            self.say((Answer::Error(failure.answer()), None));
        }
    }

    fn poll_reload(&mut self) {
        let Some((ticket, id)) = &self.reload else {
            return;
        };
        let Some(outcome) = ticket.take_outcome() else {
            return;
        };
        let answer = match outcome {
            Ok(reloaded) => Answer::Reloaded(Reloaded { reloaded }),
            Err(why) => Answer::Error(Failure::new(ErrorCode::BadConfig, why).answer()),
        };
        let id = *id;
        self.reload = None;
        self.say((answer, id));
    }

    fn poll_visits(&mut self, now: Instant, out: &mut Output) {
        let max_frame = self.max_frame;
        self.visits.retain_mut(|talk| {
            while !out.is_full() && talk.is_needed() {
                let Some(notice) = talk.client.poll_notice(now, 1) else {
                    break;
                };
                let closed = matches!(notice, Notice::Closed(_));
                // What else happens to a port is for those who have it open.
                if let Ok((answer, id)) = talk.settle(notice) {
                    framing::say_answer(out, max_frame, answer, id);
                }
                if closed {
                    for (answer, id) in talk.abandon() {
                        framing::say_answer(out, max_frame, answer, id);
                    }
                }
            }
            talk.is_needed()
        });
    }

    fn handle_notice(&mut self, notice: Notice, out: &mut Output) {
        let max_frame = self.max_frame;
        let Some(open) = &mut self.open else { return };
        let notice = match notice {
            Notice::Data { offset, bytes } => return framing::say_data(out, offset.0, bytes),
            notice => match open.talk.settle(notice) {
                Ok((answer, id)) => return framing::say_answer(out, max_frame, answer, id),
                Err(notice) => notice,
            },
        };
        let closed = matches!(notice, Notice::Closed(_));
        match notice {
            Notice::Written { up_to } => open.writer.settle(up_to),
            Notice::WriteLost { to, .. } => open.writer.settle(to),
            _ => {}
        }
        if let Some(event) = info::event(open.talk.client.port().name().as_str(), notice) {
            framing::say_answer(out, max_frame, Answer::Event(event), None);
        }
        if closed {
            self.leave();
            out.append_all(&mut self.said);
            self.over = true;
        }
    }

    // --- helpers

    fn say(&mut self, (answer, id): Answered) {
        framing::say_answer(&mut self.said, self.max_frame, answer, id);
    }

    /// Closes the open port.
    fn leave(&mut self) {
        if let Some(mut open) = self.open.take() {
            open.talk.abandon().for_each(|answered| self.say(answered));
        }
    }

    fn port(&self, name: &str) -> Result<AllowedPort, Failure> {
        self.connection.visitor.port(name).ok_or_else(|| {
            let name: String = name.chars().take(80).collect();
            Failure::new(
                ErrorCode::UnknownPort,
                format!("there is no port \"{name}\""),
            )
        })
    }

    fn the_open(&mut self, name: &str) -> Result<&mut Open, Failure> {
        let open = self
            .open
            .as_mut()
            .filter(|open| open.talk.client.port().name().as_str() == name);
        open.ok_or_else(|| {
            let name: String = name.chars().take(80).collect();
            Failure::new(
                ErrorCode::NotOpen,
                format!("\"{name}\" is not open in this session"),
            )
        })
    }

    /// Whoever speaks to this port for this session: the open port if it is open for writing, so that one lease counts
    /// for both; else a visitor.
    fn talk(&mut self, now: Instant, name: &str) -> Result<&mut Talk, Failure> {
        let port = self.port(name)?;
        self.check_outstanding()?;
        let is_it = |talk: &Talk| port.is_of(&talk.client);
        if let Some(open) = &mut self.open
            && open.mode == Mode::Write
            && is_it(&open.talk)
        {
            return Ok(&mut open.talk);
        }
        let position = self.visits.iter().position(is_it).unwrap_or_else(|| {
            let wish = Wish {
                read_only: false,
                read: None,
                on_lag: None,
                can_carry_gap: true,
                writer: None,
            };
            let (client, _) = port.attach(now, wish);
            self.visits.push(Talk::new(client));
            self.visits.len() - 1
        });
        Ok(&mut self.visits[position])
    }

    fn check_outstanding(&self) -> Result<(), Failure> {
        let outstanding = self.outstanding();
        if outstanding < OUTSTANDING {
            return Ok(());
        }
        let sentence =
            format!("{outstanding} of {OUTSTANDING} requests of this session are unanswered");
        Err(Failure::new(ErrorCode::Busy, sentence))
    }

    fn talks(&self) -> impl Iterator<Item = &Talk> {
        self.visits
            .iter()
            .chain(self.open.as_ref().map(|open| &open.talk))
    }

    fn outstanding(&self) -> usize {
        self.talks().map(Talk::outstanding).sum::<usize>() + self.pages.len()
    }
}

fn done(kind: &str) -> Outcome {
    Ok(Some(Answer::Done(Done {
        done: kind.to_owned(),
        ..Done::default()
    })))
}

fn out_of_range(what: &str, max: Duration) -> Failure {
    Failure::new(
        ErrorCode::BadMessage,
        format!("{what} must be from 1 to {}", max.as_millis()),
    )
}

fn not_written(failure: Failure, writer: &Writer) -> Failure {
    Failure {
        write_offset: Some(writer.end()),
        ..failure
    }
}
