//! Line settings that last as long as a client wants them, and what the device goes back to.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

mod support;

use proptest::collection::vec;
use proptest::prelude::*;
use support::*;
use uart_iface::{InputSignals, LineSettings, OutputSignals};
use uartnet_hub::*;

fn line(text: &str) -> LineSettings {
    text.parse().unwrap()
}

/// A device whose line settings are looked at.
struct Desk {
    bench: Bench,
    /// What the device was given last.
    given: LineSettings,
    present: bool,
}

impl Desk {
    fn new() -> Desk {
        Desk {
            bench: Bench::new(config()),
            given: LineSettings::default(),
            present: true,
        }
    }

    fn ask_for(&mut self, client: ClientId, control: Control) {
        self.bench.hub.control(self.bench.now, client, control);
    }

    /// The device does everything it is told.
    fn act(&mut self) {
        while let Some(action) = self.bench.hub.poll_action(self.bench.now) {
            let Action::Apply(line) = action else {
                panic!("{action:?}")
            };
            self.given = line;
            let done = Ok(ActionDone::Line(line));
            self.bench.hub.handle_action_done(self.bench.now, done);
        }
    }

    fn does(&mut self, client: ClientId, control: Control) -> LineSettings {
        self.ask_for(client, control);
        self.act();
        self.given
    }

    fn leaves(&mut self, client: ClientId) -> LineSettings {
        self.bench.hub.detach(self.bench.now, client);
        self.act();
        self.given
    }

    fn lose(&mut self) {
        self.bench.hub.handle_lost(self.bench.now, "unplugged");
        self.present = false;
    }

    /// It is opened with what was in force last.
    fn open(&mut self) {
        let state = DeviceState::Present {
            line: self.given,
            outputs: OutputSignals::ASSERTED,
            inputs: InputSignals::ABSENT_LINES,
        };
        self.bench.hub.handle_opened(self.bench.now, state, true);
        self.present = true;
    }
}

#[test]
fn settings_last_as_long_as_their_client() {
    for how in ["leaves", "gives them back"] {
        let mut desk = Desk::new();
        let a = desk.bench.attach(client("a"));
        let before = desk.given;
        assert_eq!(desk.does(a, Control::HoldLine(line("9600"))), line("9600"));
        let now = match how {
            "leaves" => desk.leaves(a),
            _ => desk.does(a, Control::GiveLineBack),
        };
        assert_eq!(now, before, "{how}");
    }
}

#[test]
fn the_last_who_came_has_its_way_and_the_one_before_it_gets_its_own_back() {
    let mut desk = Desk::new();
    let (a, b) = (
        desk.bench.attach(client("a")),
        desk.bench.attach(client("b")),
    );
    desk.does(a, Control::HoldLine(line("9600")));
    assert_eq!(desk.does(b, Control::HoldLine(line("1200"))), line("1200"));
    assert_eq!(desk.leaves(b), line("9600"));
    assert_eq!(desk.leaves(a), LineSettings::default());

    let mut desk = Desk::new();
    let (a, b) = (
        desk.bench.attach(client("a")),
        desk.bench.attach(client("b")),
    );
    desk.does(a, Control::HoldLine(line("9600")));
    desk.does(b, Control::HoldLine(line("1200")));
    assert_eq!(desk.leaves(a), line("1200"), "they were not in force");
    assert_eq!(desk.leaves(b), LineSettings::default());
}

#[test]
fn what_is_set_to_stay_stays() {
    let mut desk = Desk::new();
    let (a, b) = (
        desk.bench.attach(client("a")),
        desk.bench.attach(client("b")),
    );
    desk.does(a, Control::HoldLine(line("9600")));
    desk.does(b, Control::SetLine(line("57600")));
    assert_eq!(desk.leaves(a), line("57600"));

    // Also where it is set while the one who holds is on its way out.
    let mut desk = Desk::new();
    let (a, b) = (
        desk.bench.attach(client("a")),
        desk.bench.attach(client("b")),
    );
    desk.does(a, Control::HoldLine(line("9600")));
    desk.ask_for(b, Control::SetLine(line("57600")));
    desk.bench.hub.detach(desk.bench.now, a);
    desk.act();
    assert_eq!(desk.given, line("57600"));
}

#[test]
fn a_client_that_leaves_before_it_has_its_settings_leaves_nothing_behind() {
    let mut desk = Desk::new();
    let a = desk.bench.attach(client("a"));
    desk.ask_for(a, Control::HoldLine(line("9600")));
    desk.bench.hub.detach(desk.bench.now, a);
    desk.act();
    assert_eq!(desk.given, LineSettings::default());
}

#[test]
fn what_could_not_be_given_back_to_an_absent_device_is_when_it_returns() {
    let mut desk = Desk::new();
    let a = desk.bench.attach(client("a"));
    desk.does(a, Control::HoldLine(line("9600")));
    desk.lose();
    assert_eq!(desk.leaves(a), line("9600"), "it is not there");
    desk.open();
    desk.act();
    assert_eq!(desk.given, LineSettings::default());
    assert!(desk.bench.hub.is_idle());
}

#[test]
fn giving_back_reports_what_is_in_force() {
    let mut desk = Desk::new();
    let a = desk.bench.attach(client("a"));
    desk.does(a, Control::GiveLineBack);
    let ends = desk.bench.notices(a);
    let in_force = Ok(ActionDone::Line(LineSettings::default()));
    assert!(
        matches!(&ends[..], [Notice::ControlDone { result, .. }] if *result == in_force),
        "{ends:?}"
    );
}

#[derive(Debug, Clone)]
enum Op {
    Hold(usize, u32),
    Set(usize, u32),
    GiveBack(usize),
    Leave(usize),
    Act,
    Lose,
    Open,
}

fn op() -> impl Strategy<Value = Op> {
    let baud = prop_oneof![Just(1200u32), Just(9600), Just(57_600), Just(115_200)];
    let who = 0usize..4;
    prop_oneof![
        4 => (who.clone(), baud.clone()).prop_map(|(who, baud)| Op::Hold(who, baud)),
        1 => (who.clone(), baud).prop_map(|(who, baud)| Op::Set(who, baud)),
        2 => who.clone().prop_map(Op::GiveBack),
        3 => who.prop_map(Op::Leave),
        4 => Just(Op::Act),
        1 => Just(Op::Lose),
        2 => Just(Op::Open),
    ]
}

proptest! {
    /// Whatever happens, in whatever order: once everybody has left and the device is there, it has the settings that
    /// were set to stay last, or those it began with.
    #[test]
    fn nobody_who_has_left_has_its_settings_in_force(ops in vec(op(), 1..60)) {
        let mut desk = Desk::new();
        let mut clients: Vec<ClientId> = (0..4).map(|n| desk.bench.attach(client(&format!("c{n}")))).collect();
        let mut stays = desk.given;
        // What was set to stay, in the order it was accepted, and not yet done.
        let mut accepted: Vec<LineSettings> = Vec::new();
        for op in ops {
            match op {
                Op::Hold(who, baud) => {
                    desk.ask_for(clients[who], Control::HoldLine(line(&baud.to_string())));
                }
                Op::Set(who, baud) => {
                    let line = line(&baud.to_string());
                    desk.ask_for(clients[who], Control::SetLine(line));
                    if desk.present {
                        accepted.push(line);
                    }
                }
                Op::GiveBack(who) => desk.ask_for(clients[who], Control::GiveLineBack),
                Op::Leave(who) => {
                    desk.bench.hub.detach(desk.bench.now, clients[who]);
                    clients[who] = desk.bench.attach(client("another"));
                }
                Op::Act => {
                    desk.act();
                    stays = accepted.drain(..).next_back().unwrap_or(stays);
                }
                Op::Lose => {
                    desk.lose();
                    accepted.clear();
                }
                Op::Open if !desk.present => desk.open(),
                Op::Open => {}
            }
        }
        if !desk.present {
            desk.open();
        }
        for client in clients {
            desk.leaves(client);
        }
        desk.act();
        stays = accepted.pop().unwrap_or(stays);
        prop_assert_eq!(desk.given, stays);
        prop_assert!(desk.bench.hub.is_idle());
    }
}
