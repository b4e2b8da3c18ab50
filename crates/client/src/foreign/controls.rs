//! Requests of ours, done by an access server that speaks RFC 2217: what to set, and when which request is answered with
//! what. Pure: time is an argument. The session with the server is [`AccessClient`]'s.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use uart_iface::LineSettings;
use uartnet_proto::message::{
    Answer, Done, ErrorAnswer, ErrorCode, Event, Inputs, Outputs, Queues, Request,
};
use uartnet_telnet::access_client::{AccessClient, Setting, Told};
use uartnet_telnet::com_port::value::{control, modem_state, purge};

use super::ForeignAddress;
use super::line::{LINE, number, with};
use crate::Followed;

/// The most requests that wait for the server.
const MAX_PENDING: usize = 16;

/// The longest break, so that its end can always be waited for.
const LONGEST_BREAK: Duration = Duration::from_secs(60);

/// What is known of a port behind an access server, and what was asked of it.
#[derive(Debug)]
pub(super) struct Controls {
    address: ForeignAddress,
    line: LineSettings,
    /// Which of the line's settings the server has told.
    known: Vec<Setting>,
    dtr: Option<bool>,
    rts: Option<bool>,
    inputs: Option<Inputs>,
    pending: VecDeque<Pending>,
    /// What the line was last set to, to be set again on the next connection.
    wanted: Option<LineSettings>,
}

/// A request under way.
#[derive(Debug)]
struct Pending {
    /// Whom to answer; `None`: it is our own.
    id: Option<u64>,
    what: What,
    /// The settings whose acknowledgement is owed.
    owed: Vec<Setting>,
    /// Those that were not acknowledged.
    unanswered: Vec<Setting>,
    /// The server said that something else is in force.
    refused: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Look,
    Set(LineSettings),
    Signals,
    Purge,
    /// A break that goes on until then, or has ended.
    Break(Option<Instant>),
}

/// What a request, a word of the server's or the clock leads to.
pub(super) type Happened = VecDeque<Followed>;

impl Controls {
    /// Nothing is known yet. `wanted` is what an earlier connection had set the line to.
    pub(super) fn new(address: ForeignAddress, wanted: Option<LineSettings>) -> Controls {
        Controls {
            address,
            line: LineSettings::default(),
            known: Vec::new(),
            dtr: None,
            rts: None,
            inputs: None,
            pending: VecDeque::new(),
            wanted,
        }
    }

    // --- getters

    /// The line settings in force, if the server has told all of them.
    pub(super) fn line(&self) -> Option<LineSettings> {
        LINE.iter()
            .all(|setting| self.known.contains(setting))
            .then_some(self.line)
    }

    /// What the line was last set to.
    pub(super) fn wanted(&self) -> Option<LineSettings> {
        self.wanted
    }

    /// Whether the server still has to say what the line is.
    pub(super) fn is_looking(&self) -> bool {
        self.pending
            .iter()
            .any(|pending| pending.what == What::Look)
    }

    // --- commands

    /// Asks what the line is.
    pub(super) fn look(&mut self, now: Instant, client: &mut AccessClient, out: &mut BytesMut) {
        for setting in LINE {
            client.ask(now, setting, out);
        }
        self.pend(None, What::Look, LINE.to_vec());
    }

    /// Sets the line to what it was set to on the connection before, if it is something else.
    pub(super) fn restore(&mut self, now: Instant, client: &mut AccessClient, out: &mut BytesMut) {
        if let Some(wanted) = self.wanted {
            let owed = self.set_line(now, wanted, client, out);
            if !owed.is_empty() {
                self.pend(None, What::Set(wanted), owed);
            }
        }
    }

    /// Begins what is asked for, or says at once what comes of it.
    pub(super) fn handle_request(
        &mut self,
        id: u64,
        request: &Request,
        now: Instant,
        client: &mut AccessClient,
        out: &mut BytesMut,
        happened: &mut Happened,
    ) {
        let begun = if self.pending.len() >= MAX_PENDING {
            Err((
                ErrorCode::Busy,
                "too many requests wait for their acknowledgement".to_owned(),
            ))
        } else {
            self.begin(request, now, client, out)
        };
        match begun {
            Ok((what, owed)) => {
                self.pend(Some(id), what, owed);
                self.finish(happened);
            }
            Err((error, message)) => {
                happened.push_back(Followed::Answer(id, error_answer(error, message)));
            }
        }
    }

    // --- the world spoke

    /// The server told something that is not data.
    pub(super) fn handle_told(&mut self, told: Told, happened: &mut Happened) {
        match told {
            Told::Settled {
                setting,
                wanted,
                in_force,
            } => {
                self.settle(setting, wanted, in_force);
                self.finish(happened);
            }
            Told::InForce(setting, number) => {
                let before = self.line();
                self.learn(setting, number);
                let idle = !self.pending.iter().any(|one| one.owed.contains(&setting));
                if idle && self.line() != before {
                    self.tell_line(happened);
                }
            }
            Told::Modem(state) => {
                let on = |bit| state & bit != 0;
                let inputs = Inputs {
                    cts: on(modem_state::CTS),
                    dsr: on(modem_state::DSR),
                    ri: on(modem_state::RI),
                    dcd: on(modem_state::DCD),
                };
                // The first notification is how things are, not a change.
                if self
                    .inputs
                    .replace(inputs)
                    .is_some_and(|before| before != inputs)
                {
                    happened.push_back(Followed::Inputs(inputs));
                }
            }
            Told::Data(_) | Told::Agreed | Told::NotSpoken | Told::Line(_) | Told::Signature(_) => {
            }
        }
    }

    /// Time passed: a break may have to end.
    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        client: &mut AccessClient,
        out: &mut BytesMut,
    ) {
        for pending in &mut self.pending {
            if let What::Break(Some(ends)) = pending.what
                && ends <= now
            {
                pending.what = What::Break(None);
                pending.owed.push(Setting::Break);
                client.set(now, Setting::Break, control::BREAK_OFF.into(), out);
            }
        }
    }

    // --- what to do now

    /// When [`Controls::handle_timeout`] should be called next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let ends = self
            .pending
            .iter()
            .filter_map(|pending| match pending.what {
                What::Break(ends) => ends,
                _ => None,
            });
        ends.min()
    }

    fn begin(
        &mut self,
        request: &Request,
        now: Instant,
        client: &mut AccessClient,
        out: &mut BytesMut,
    ) -> Result<(What, Vec<Setting>), (ErrorCode, String)> {
        match request {
            Request::Set(set) => {
                let line: LineSettings = set
                    .line
                    .parse()
                    .map_err(|error| (ErrorCode::BadMessage, format!("{error}")))?;
                self.wanted = Some(line);
                Ok((What::Set(line), self.set_line(now, line, client, out)))
            }
            Request::Signals(signals) => {
                let mut owed = Vec::new();
                let lines = [
                    (Setting::Dtr, signals.dtr, control::DTR_ON, control::DTR_OFF),
                    (Setting::Rts, signals.rts, control::RTS_ON, control::RTS_OFF),
                ];
                for (setting, wish, on, off) in lines {
                    if let Some(wish) = wish {
                        let code = if wish { on } else { off };
                        client.set(now, setting, code.into(), out);
                        owed.push(setting);
                    }
                }
                Ok((What::Signals, owed))
            }
            Request::Break(wanted) => {
                let is_break = |one: &Pending| matches!(one.what, What::Break(_));
                if self.pending.iter().any(is_break) {
                    return Err((ErrorCode::Busy, "a break is being sent".to_owned()));
                }
                client.set(now, Setting::Break, control::BREAK_ON.into(), out);
                let ends = now + Duration::from_millis(wanted.ms).min(LONGEST_BREAK);
                Ok((What::Break(Some(ends)), vec![Setting::Break]))
            }
            Request::Purge(wanted) => {
                let code = match wanted.queues {
                    Queues::Receive => purge::RECEIVE,
                    Queues::Transmit => purge::TRANSMIT,
                    Queues::Both => purge::BOTH,
                };
                client.set(now, Setting::Purge, code.into(), out);
                Ok((What::Purge, vec![Setting::Purge]))
            }
            other => Err((ErrorCode::UnknownMessage, cannot(&self.address, other))),
        }
    }

    /// Sends those settings of a line that are not in force as far as is known, and says which.
    fn set_line(
        &self,
        now: Instant,
        wanted: LineSettings,
        client: &mut AccessClient,
        out: &mut BytesMut,
    ) -> Vec<Setting> {
        let mut owed = Vec::new();
        for setting in LINE {
            let known = self.known.contains(&setting);
            if let Some(value) = number(wanted, setting)
                && !(known && number(self.line, setting) == Some(value))
            {
                client.set(now, setting, value, out);
                owed.push(setting);
            }
        }
        owed
    }

    fn pend(&mut self, id: Option<u64>, what: What, owed: Vec<Setting>) {
        self.pending.push_back(Pending {
            id,
            what,
            owed,
            unanswered: Vec::new(),
            refused: false,
        });
    }

    /// The server gave, or owes for good, the answer to the oldest question for a setting.
    fn settle(&mut self, setting: Setting, wanted: Option<u32>, in_force: Option<u32>) {
        if let Some(number) = in_force {
            self.learn(setting, number);
        }
        let Some(pending) = self
            .pending
            .iter_mut()
            .find(|pending| pending.owed.contains(&setting))
        else {
            return;
        };
        if let Some(at) = pending.owed.iter().position(|owed| *owed == setting) {
            pending.owed.remove(at);
        }
        match (wanted, in_force) {
            (Some(_), None) => pending.unanswered.push(setting),
            (Some(wanted), Some(found)) => {
                pending.refused |= !is_as_wanted(setting, wanted, found);
            }
            (None, _) => {}
        }
    }

    fn learn(&mut self, setting: Setting, number: u32) {
        if let Some(line) = with(self.line, setting, number) {
            self.line = line;
            if !self.known.contains(&setting) {
                self.known.push(setting);
            }
        }
        let is = |code: u8| number == u32::from(code);
        match setting {
            Setting::Dtr => self.dtr = Some(is(control::DTR_ON)),
            Setting::Rts => self.rts = Some(is(control::RTS_ON)),
            _ => {}
        }
    }

    /// Answers every request that has all its acknowledgements, or the last of them for good.
    fn finish(&mut self, happened: &mut Happened) {
        let is_over =
            |one: &Pending| one.owed.is_empty() && !matches!(one.what, What::Break(Some(_)));
        while let Some(at) = self.pending.iter().position(is_over) {
            let Some(over) = self.pending.remove(at) else {
                return;
            };
            let answer = self.answer(&over);
            let failed = matches!(answer, Answer::Error(_));
            if failed && let What::Set(line) = over.what {
                if self.wanted == Some(line) {
                    self.wanted = None;
                }
                self.tell_line(happened);
            }
            happened.extend(over.id.map(|id| Followed::Answer(id, answer)));
        }
    }

    fn answer(&self, over: &Pending) -> Answer {
        let address = &self.address;
        if !over.unanswered.is_empty() {
            let names: Vec<&str> = over.unanswered.iter().map(|one| name(*one)).collect();
            let names = names.join(", ");
            let message = format!(
                "{address} did not acknowledge: {names}; whether that was done is not known"
            );
            return error_answer(ErrorCode::Timeout, message);
        }
        let mut done = Done::default();
        done.done = match over.what {
            What::Look => "look",
            What::Set(wanted) => {
                if over.refused {
                    let message = format!("{address} took {} instead of {wanted}", self.line);
                    return error_answer(ErrorCode::Device, message);
                }
                done.line = Some(self.line().unwrap_or(wanted).to_string());
                "set"
            }
            What::Signals => {
                let outputs = self.dtr.zip(self.rts);
                done.outputs = outputs.map(|(dtr, rts)| Outputs { dtr, rts });
                if over.refused {
                    let message = format!("{address} says that the lines are as they were");
                    return error_answer(ErrorCode::Device, message);
                }
                "signals"
            }
            What::Purge => "purge",
            What::Break(_) => "break",
        }
        .to_owned();
        Answer::Done(done)
    }

    fn tell_line(&self, happened: &mut Happened) {
        if let Some(line) = self.line() {
            happened.push_back(Followed::Event(Event::Line {
                port: self.address.to_string(),
                line: line.to_string(),
            }));
        }
    }
}

/// What cannot be asked of a gateway that is not uartnet's, as a sentence.
pub(super) fn cannot(address: &ForeignAddress, request: &Request) -> String {
    format!(
        "{address} is no uartnet gateway and cannot be asked for \"{}\"",
        request.kind()
    )
}

pub(super) fn error_answer(error: ErrorCode, message: String) -> Answer {
    Answer::Error(ErrorAnswer::new(error, message))
}

/// Whether an acknowledgement grants the wish. A divider seldom makes a rate to the symbol; UARTs understand each other up to
/// about 3 %. Some servers answer the end of a break as its beginning, and a purge with what they purged.
fn is_as_wanted(setting: Setting, wanted: u32, found: u32) -> bool {
    match setting {
        Setting::Baud => u64::from(wanted.abs_diff(found)) * 100 <= u64::from(wanted) * 3,
        Setting::Break | Setting::Purge => true,
        _ => wanted == found,
    }
}

fn name(setting: Setting) -> &'static str {
    match setting {
        Setting::Baud => "baud rate",
        Setting::DataSize => "data bits",
        Setting::Parity => "parity",
        Setting::StopSize => "stop bits",
        Setting::Flow | Setting::InboundFlow => "flow control",
        Setting::Break => "break",
        Setting::Dtr => "DTR",
        Setting::Rts => "RTS",
        Setting::Purge => "purge",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uartnet_proto::message::{Break, Info, Set, Signals};
    use uartnet_telnet::access_client::ANSWER;

    /// Everything a server has to say to begin: DO/WILL BINARY, DO/WILL SGA, DO COM-PORT, WONT COM-PORT.
    const AGREES: &[u8] =
        b"\xff\xfd\x00\xff\xfb\x00\xff\xfd\x03\xff\xfb\x03\xff\xfd\x2c\xff\xfc\x2c";
    /// 115200-8n1, as ser2net 4.3.11 and pyserial 3.5 answer the questions.
    const LINE_ANSWER: &[u8] = b"\xff\xfa\x2c\x65\x00\x01\xc2\x00\xff\xf0\xff\xfa\x2c\x66\x08\xff\xf0\xff\xfa\x2c\x67\x01\xff\xf0\xff\xfa\x2c\x68\x01\xff\xf0\xff\xfa\x2c\x69\x01\xff\xf0";

    struct Desk {
        controls: Controls,
        client: AccessClient,
        now: Instant,
        out: BytesMut,
        happened: Happened,
    }

    impl Desk {
        fn new(wanted: Option<&str>) -> Desk {
            let (now, mut out) = (Instant::now(), BytesMut::new());
            let address = "rfc2217://moxa:4001".parse().unwrap();
            let wanted = wanted.map(|line| line.parse().unwrap());
            let mut desk = Desk {
                controls: Controls::new(address, wanted),
                client: AccessClient::new(now, &mut out),
                now,
                out,
                happened: Happened::new(),
            };
            desk.hear(AGREES);
            desk.controls.look(now, &mut desk.client, &mut desk.out);
            assert!(desk.controls.is_looking());
            desk.hear(LINE_ANSWER);
            assert!(!desk.controls.is_looking());
            desk.out.clear();
            desk
        }

        fn hear(&mut self, bytes: &[u8]) -> Vec<Followed> {
            self.client.handle_input(bytes, &mut self.out);
            self.tell()
        }

        fn wait(&mut self, time: Duration) -> Vec<Followed> {
            self.now += time;
            self.client.handle_timeout(self.now);
            self.controls
                .handle_timeout(self.now, &mut self.client, &mut self.out);
            self.tell()
        }

        fn tell(&mut self) -> Vec<Followed> {
            while let Some(told) = self.client.poll_told() {
                self.controls.handle_told(told, &mut self.happened);
            }
            self.happened.drain(..).collect()
        }

        fn request(&mut self, id: u64, request: Request) -> Vec<Followed> {
            self.controls.handle_request(
                id,
                &request,
                self.now,
                &mut self.client,
                &mut self.out,
                &mut self.happened,
            );
            self.tell()
        }

        fn sent(&mut self) -> BytesMut {
            self.out.split()
        }
    }

    fn set(line: &str) -> Request {
        Request::Set(Set {
            set: String::new(),
            line: line.to_owned(),
            hold: None,
        })
    }

    fn answer(mut followed: Vec<Followed>) -> Answer {
        match followed.pop() {
            Some(Followed::Answer(7, answer)) => answer,
            other => panic!("{other:?} is no answer"),
        }
    }

    fn error(followed: Vec<Followed>) -> (ErrorCode, String) {
        match answer(followed) {
            Answer::Error(error) => (error.error, error.message),
            other => panic!("{other:?} is no error"),
        }
    }

    #[test]
    fn only_what_differs_is_set_and_the_line_in_force_is_the_answer() {
        let mut desk = Desk::new(None);
        assert!(desk.request(7, set("9600-7n1")).is_empty());
        assert_eq!(
            desk.sent(),
            b"\xff\xfa\x2c\x01\0\0\x25\x80\xff\xf0\xff\xfa\x2c\x02\x07\xff\xf0"[..]
        );
        assert!(
            desk.hear(b"\xff\xfa\x2c\x65\0\0\x25\x7f\xff\xf0")
                .is_empty()
        );
        let Answer::Done(done) = answer(desk.hear(b"\xff\xfa\x2c\x66\x07\xff\xf0")) else {
            panic!("it was done");
        };
        assert_eq!(done.line.as_deref(), Some("9599-7n1"), "near enough");
        assert!(matches!(
            answer(desk.request(7, set("9599-7n1"))),
            Answer::Done(_)
        ));
        assert_eq!(desk.sent(), b""[..], "it is in force");
    }

    #[test]
    fn a_value_that_is_kept_is_a_refusal_and_says_what_is_in_force() {
        let mut desk = Desk::new(None);
        desk.request(7, set("115200-8m1"));
        let mut told = desk.hear(b"\xff\xfa\x2c\x67\x01\xff\xf0");
        assert_eq!(
            error(vec![told.pop().unwrap()]),
            (
                ErrorCode::Device,
                "rfc2217://moxa:4001 took 115200-8n1 instead of 115200-8m1".to_owned()
            )
        );
        assert!(
            matches!(&told[..], [Followed::Event(Event::Line { line, .. })] if line == "115200-8n1")
        );
        assert_eq!(desk.controls.wanted(), None, "it is not tried again");
    }

    #[test]
    fn what_is_never_acknowledged_is_named() {
        let mut desk = Desk::new(None);
        // As ser2net: no answer for 1.5 stop bits.
        desk.request(7, set("9600-8n1.5"));
        assert!(
            desk.hear(b"\xff\xfa\x2c\x65\0\0\x25\x80\xff\xf0")
                .is_empty()
        );
        assert_eq!(
            error(desk.wait(ANSWER)),
            (
                ErrorCode::Timeout,
                "rfc2217://moxa:4001 did not acknowledge: stop bits; whether that was done is not known".to_owned()
            )
        );
    }

    #[test]
    fn a_break_begins_ends_in_time_and_is_done_when_both_are_acknowledged() {
        let mut desk = Desk::new(None);
        let hold = |ms| {
            Request::Break(Break {
                port: String::new(),
                ms,
            })
        };
        desk.request(7, hold(250));
        assert_eq!(desk.sent(), b"\xff\xfa\x2c\x05\x05\xff\xf0"[..]);
        assert!(desk.hear(b"\xff\xfa\x2c\x69\x05\xff\xf0").is_empty());
        assert_eq!(
            error(desk.request(7, hold(1))).0,
            ErrorCode::Busy,
            "one at a time"
        );
        assert_eq!(
            desk.controls.poll_timeout(),
            Some(desk.now + Duration::from_millis(250))
        );
        desk.wait(Duration::from_millis(249));
        assert_eq!(desk.sent(), b""[..]);
        desk.wait(Duration::from_millis(1));
        assert_eq!(desk.sent(), b"\xff\xfa\x2c\x05\x06\xff\xf0"[..]);
        // As ser2net says it.
        let Answer::Done(done) = answer(desk.hear(b"\xff\xfa\x2c\x69\x05\xff\xf0")) else {
            panic!("it was done");
        };
        assert_eq!(done.done, "break");
    }

    #[test]
    fn signals_are_driven_and_told_together() {
        let mut desk = Desk::new(None);
        let signals = Signals {
            signals: String::new(),
            dtr: Some(false),
            rts: Some(true),
        };
        desk.request(7, Request::Signals(signals));
        assert_eq!(
            desk.sent(),
            b"\xff\xfa\x2c\x05\x09\xff\xf0\xff\xfa\x2c\x05\x0b\xff\xf0"[..]
        );
        let told = desk.hear(b"\xff\xfa\x2c\x69\x09\xff\xf0\xff\xfa\x2c\x69\x0b\xff\xf0");
        let Answer::Done(done) = answer(told) else {
            panic!("it was done");
        };
        let outputs = Outputs {
            dtr: false,
            rts: true,
        };
        assert_eq!(done.outputs, Some(outputs));
    }

    #[test]
    fn what_only_uartnet_can_do_is_refused_by_name() {
        let mut desk = Desk::new(None);
        let info = Request::Info(Info {
            info: "x".to_owned(),
        });
        assert_eq!(
            error(desk.request(7, info)),
            (
                ErrorCode::UnknownMessage,
                "rfc2217://moxa:4001 is no uartnet gateway and cannot be asked for \"info\""
                    .to_owned()
            )
        );
    }

    #[test]
    fn somebody_elses_change_is_told_once_the_line_is_another() {
        let mut desk = Desk::new(None);
        assert!(desk.hear(LINE_ANSWER).is_empty(), "the same again");
        let told = desk.hear(b"\xff\xfa\x2c\x68\x02\xff\xf0");
        assert!(
            matches!(&told[..], [Followed::Event(Event::Line { line, .. })] if line == "115200-8n2"),
            "{told:?}"
        );
    }

    #[test]
    fn the_next_connection_sets_what_the_one_before_had_set() {
        let mut desk = Desk::new(Some("9600-8n1"));
        desk.controls
            .restore(desk.now, &mut desk.client, &mut desk.out);
        assert_eq!(desk.sent(), b"\xff\xfa\x2c\x01\0\0\x25\x80\xff\xf0"[..]);
        assert!(
            desk.hear(b"\xff\xfa\x2c\x65\0\0\x25\x80\xff\xf0")
                .is_empty()
        );
        assert_eq!(desk.controls.line().unwrap().to_string(), "9600-8n1");
    }

    #[test]
    fn changes_of_modem_lines_are_told_and_the_first_word_is_no_change() {
        let mut desk = Desk::new(None);
        assert!(desk.hear(b"\xff\xfa\x2c\x6b\xb0\xff\xf0").is_empty());
        assert!(desk.hear(b"\xff\xfa\x2c\x6b\xb0\xff\xf0").is_empty());
        let told = desk.hear(b"\xff\xfa\x2c\x6b\xa1\xff\xf0");
        assert!(
            matches!(
                &told[..],
                [Followed::Inputs(Inputs {
                    cts: false,
                    dsr: true,
                    ri: false,
                    dcd: true
                })]
            ),
            "{told:?}"
        );
    }
}
