//! The line settings of a port and those of the virtual device that stands for it, kept equal without an echo: what an
//! application sets is asked for at the gateway, what is in force there is shown to the application. Pure.

use uart_iface::virtual_device::Carried;
use uart_iface::{DataBits, LineSettings, Parity};
use uartnet_proto::message::{Answer, ErrorAnswer, ErrorCode};

/// What keeps the two equal.
#[derive(Debug, Clone)]
pub(crate) struct LineSync {
    /// What a virtual device cannot carry, if a person has said what it is to be.
    format: Option<(DataBits, Parity)>,
    /// In force at the gateway, as last told.
    port: LineSettings,
    /// Wanted, and not known to be in force.
    wish: Option<Wish>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Wish {
    line: LineSettings,
    /// The request that asks for it.
    asked: Option<u64>,
    /// The device is not there; its wish waits for it.
    absent: bool,
}

/// What an answer to a wish means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answered {
    /// Nothing, or nothing yet.
    Nothing,
    /// The device is to show these settings, which are in force.
    Reflect(LineSettings),
    /// The wish was refused; the device is to show these settings again.
    Refused(LineSettings, ErrorAnswer),
}

impl LineSync {
    /// The port has these settings. With `wanted` it is to get those, and keeps their data bits and parity whatever the
    /// application does.
    pub(crate) fn new(port: LineSettings, wanted: Option<LineSettings>) -> LineSync {
        LineSync {
            format: wanted.map(|line| (line.data_bits, line.parity)),
            port,
            wish: wanted.filter(|wanted| *wanted != port).map(Wish::new),
        }
    }

    // --- getters

    /// In force at the gateway, as last told.
    pub(crate) fn port(&self) -> LineSettings {
        self.port
    }

    /// Whether what is written from here on belongs behind a request that cannot be sent yet.
    pub(crate) fn holds_data(&self) -> bool {
        self.poll_request().is_some()
    }

    // --- the world spoke

    /// The application changed the device's settings.
    pub(crate) fn handle_application(&mut self, carried: Carried) {
        let mut base = self.wish.as_ref().map_or(self.port, |wish| wish.line);
        if let Some((data_bits, parity)) = self.format {
            base.data_bits = data_bits;
            base.parity = parity;
        }
        let line = carried.onto(base);
        if self.wish.is_some() || line != self.port {
            self.wish = Some(Wish::new(line));
        }
    }

    /// These settings are in force at the gateway. Returns what the device is to show; nothing while a wish is on its way,
    /// which will be the newer word.
    pub(crate) fn handle_port(&mut self, line: LineSettings) -> Option<LineSettings> {
        self.port = line;
        match &mut self.wish {
            Some(wish) => {
                wish.absent = false;
                None
            }
            None => Some(line),
        }
    }

    /// The request of [`LineSync::poll_request`] was sent with this id.
    pub(crate) fn handle_asked(&mut self, id: u64) {
        if let Some(wish) = &mut self.wish {
            wish.asked = Some(id);
        }
    }

    /// A request was answered.
    pub(crate) fn handle_answer(&mut self, id: u64, answer: &Answer) -> Answered {
        let Some(wish) = self.wish.take_if(|wish| wish.asked == Some(id)) else {
            return Answered::Nothing;
        };
        match answer {
            Answer::Error(error) if error.error == ErrorCode::Absent => {
                self.wish = Some(Wish {
                    asked: None,
                    absent: true,
                    ..wish
                });
                Answered::Nothing
            }
            Answer::Error(error) => Answered::Refused(self.port, error.clone()),
            Answer::Done(done) => {
                let taken = done.line.as_ref().and_then(|line| line.parse().ok());
                self.port = taken.unwrap_or(wish.line);
                Answered::Reflect(self.port)
            }
            _ => Answered::Nothing,
        }
    }

    /// The connection is lost; whether the wish was heard is not known, so it is asked for again.
    pub(crate) fn handle_lost(&mut self) {
        if let Some(wish) = &mut self.wish {
            wish.asked = None;
        }
    }

    // --- what to do now

    /// Settings to ask the gateway for.
    pub(crate) fn poll_request(&self) -> Option<LineSettings> {
        let wish = self.wish.as_ref()?;
        (wish.asked.is_none() && !wish.absent).then_some(wish.line)
    }
}

impl Wish {
    fn new(line: LineSettings) -> Wish {
        Wish {
            line,
            asked: None,
            absent: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uartnet_proto::message::Done;

    fn line(text: &str) -> LineSettings {
        text.parse().unwrap()
    }

    fn done(text: &str) -> Answer {
        Answer::Done(Done {
            done: "set".to_owned(),
            line: Some(text.to_owned()),
            outputs: None,
            steps: Vec::new(),
        })
    }

    fn error(error: ErrorCode) -> Answer {
        Answer::Error(ErrorAnswer::new(error, "no"))
    }

    fn sync(port: &str) -> LineSync {
        LineSync::new(line(port), None)
    }

    #[test]
    fn what_the_application_sets_is_asked_for_once() {
        let mut sync = sync("115200-7e1");
        sync.handle_application(Carried::of(line("9600-8n1")));
        assert_eq!(sync.poll_request(), Some(line("9600-7e1")));
        assert!(sync.holds_data());
        sync.handle_asked(1);
        assert_eq!(sync.poll_request(), None);
        assert!(!sync.holds_data());
        assert_eq!(sync.handle_port(line("9600-7e1")), None);
        let answered = sync.handle_answer(1, &done("9615-7e1"));
        assert_eq!(answered, Answered::Reflect(line("9615-7e1")));
        sync.handle_application(Carried::of(line("9615-8n1")));
        assert_eq!(sync.poll_request(), None, "in force already");
    }

    #[test]
    fn others_changes_are_reflected_unless_a_newer_wish_is_on_its_way() {
        let mut sync = sync("115200-8n1");
        assert_eq!(sync.handle_port(line("300-8n1")), Some(line("300-8n1")));
        sync.handle_application(Carried::of(line("9600-8n1")));
        assert_eq!(sync.handle_port(line("1200-7o1")), None);
        assert_eq!(sync.poll_request(), Some(line("9600-8n1")));
        sync.handle_asked(1);
        // Back to what was in force: asked for all the same, because the other wish is under way.
        sync.handle_application(Carried::of(line("1200-8n1")));
        assert_eq!(sync.poll_request(), Some(line("1200-8n1")));
        sync.handle_asked(2);
        let stale = sync.handle_answer(1, &done("9600-8n1"));
        assert_eq!(stale, Answered::Nothing);
        let answered = sync.handle_answer(2, &done("1200-8n1"));
        assert_eq!(answered, Answered::Reflect(line("1200-8n1")));
    }

    #[test]
    fn a_refusal_shows_what_is_in_force_and_an_absent_device_is_waited_for() {
        let mut sync = sync("115200-8n1");
        sync.handle_application(Carried::of(line("9600-8n1")));
        sync.handle_asked(1);
        sync.handle_lost();
        assert_eq!(sync.poll_request(), Some(line("9600-8n1")), "asked again");
        sync.handle_asked(2);
        let absent = sync.handle_answer(2, &error(ErrorCode::Absent));
        assert_eq!(absent, Answered::Nothing);
        assert_eq!(sync.poll_request(), None);
        assert!(!sync.holds_data());
        assert_eq!(sync.handle_port(line("115200-8n1")), None, "it is back");
        assert_eq!(sync.poll_request(), Some(line("9600-8n1")));
        sync.handle_asked(3);
        assert!(matches!(
            sync.handle_answer(3, &error(ErrorCode::Device)),
            Answered::Refused(shown, _) if shown == line("115200-8n1")
        ));
        assert_eq!(sync.poll_request(), None);
    }

    #[test]
    fn a_format_given_by_a_person_is_kept() {
        let mut sync = LineSync::new(line("115200-8n1"), Some(line("9600-7e1")));
        assert_eq!(sync.poll_request(), Some(line("9600-7e1")));
        sync.handle_asked(1);
        sync.handle_answer(1, &done("9600-7e1"));
        sync.handle_port(line("9600-8n1"));
        sync.handle_application(Carried::of(line("4800-8n2")));
        assert_eq!(sync.poll_request(), Some(line("4800-7e2")));
    }

    #[derive(Debug, Clone)]
    enum Op {
        Application(u32),
        Other(u32),
        Send,
        Answer,
        Lose,
    }

    proptest! {
        /// Whatever is changed by whom and in which order: when all requests are answered, both sides show the same, and
        /// nothing is asked for any more.
        #[test]
        fn both_sides_become_equal(ops in prop::collection::vec(prop_oneof![
            (1..5_u32).prop_map(Op::Application),
            (1..5_u32).prop_map(Op::Other),
            Just(Op::Send),
            Just(Op::Answer),
            Just(Op::Lose),
        ], 0..40)) {
            let settings = |baud: u32| line(&format!("{baud}-8n1"));
            let mut sync = LineSync::new(settings(1), None);
            let (mut device, mut gateway) = (settings(1), settings(1));
            let mut requests = std::collections::VecDeque::new();
            let mut next_id = 0;
            let settle = [Op::Send, Op::Answer, Op::Answer].into_iter().cycle().take(120);
            for op in ops.into_iter().chain(settle) {
                match op {
                    Op::Application(baud) => {
                        // The device tells no change to what it shows already.
                        if settings(baud) != device {
                            device = settings(baud);
                            sync.handle_application(Carried::of(device));
                        }
                    }
                    Op::Other(baud) => {
                        gateway = settings(baud);
                        if let Some(shown) = sync.handle_port(gateway) {
                            device = shown;
                        }
                    }
                    Op::Send => if let Some(wish) = sync.poll_request() {
                        next_id += 1;
                        sync.handle_asked(next_id);
                        requests.push_back((next_id, wish));
                    },
                    Op::Answer => if let Some((id, wish)) = requests.pop_front() {
                        gateway = wish;
                        if let Answered::Reflect(shown) = sync.handle_answer(id, &done(&wish.to_string())) {
                            device = shown;
                        }
                    },
                    Op::Lose => {
                        // A lost request was carried out or not; the state after the reopening tells.
                        requests.clear();
                        sync.handle_lost();
                        if let Some(shown) = sync.handle_port(gateway) {
                            device = shown;
                        }
                    }
                }
            }
            prop_assert_eq!(device, gateway);
            prop_assert_eq!(sync.poll_request(), None);
        }
    }
}
