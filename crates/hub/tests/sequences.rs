//! Sequences beside everything else a port does: bytes sent, texts waited for, line settings, asks and writes.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

mod support;

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use support::*;
use uart_iface::{InputSignals, LineSettings, OutputSignals};
use uartnet_hub::*;

fn desk(steps: &[&str]) -> Desk {
    let sequence = Sequence {
        name: "it".into(),
        steps: steps.iter().map(|step| step.parse().unwrap()).collect(),
    };
    let profile = Profile {
        timeout: 500 * MS,
        ..Profile::new(ReplyEnd::Line { count: 1 })
    };
    Desk {
        bench: Bench::new(HubConfig {
            sequences: vec![sequence],
            profile: Some(profile),
            ..config()
        }),
        did: Vec::new(),
    }
}

/// A step, when it began and how long it took, in ms.
type Timed = (String, u128, u128);

/// A hub, and what its device was told to do.
struct Desk {
    bench: Bench,
    did: Vec<String>,
}

impl Desk {
    fn run(&mut self, client: ClientId) {
        let control = Control::Run("it".into());
        self.bench.hub.control(self.bench.now, client, control);
        self.work(None);
    }

    /// The port's task does what there is to do; the action number `fails` goes wrong.
    fn work(&mut self, fails: Option<usize>) {
        loop {
            let mut idle = true;
            while let Some(action) = self.bench.hub.poll_action(self.bench.now) {
                idle = false;
                let done = match action {
                    _ if fails == Some(self.did.len()) => Err("it is stuck".to_owned()),
                    Action::Apply(line) => Ok(ActionDone::Line(line)),
                    Action::SetOutputs(change) => {
                        Ok(ActionDone::Outputs(OutputSignals::ASSERTED.with(change)))
                    }
                    Action::SetBreak(_) | Action::Purge(_) => Ok(ActionDone::Done),
                };
                self.did.push(match action {
                    Action::Apply(line) => line.to_string(),
                    Action::SetBreak(on) => format!("break {on}"),
                    other => format!("{other:?}"),
                });
                self.bench.hub.handle_action_done(self.bench.now, done);
            }
            let written = self.bench.transmit();
            if !written.is_empty() {
                idle = false;
                self.did.push(written.escape_ascii().to_string());
            }
            if idle {
                return;
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.bench.pass(time);
        self.work(None);
    }

    fn data(&mut self, text: &str) {
        self.bench.data(text);
        self.work(None);
    }

    fn ask(&mut self, client: ClientId, command: &'static str) {
        let ask = Ask {
            command: command.into(),
            profile: None,
            timeout: None,
            wait: None,
        };
        self.bench.hub.ask(self.bench.now, client, ask);
        self.work(None);
    }

    /// How the one control operation of this client ended, and when its steps were done, in ms.
    fn end(&mut self, client: ClientId) -> Option<(String, Vec<Timed>)> {
        let ends = self.bench.notices(client).into_iter().filter_map(|notice| {
            let Notice::ControlDone { result, steps, .. } = notice else {
                return None;
            };
            let result = result.map_or_else(|error| error.to_string(), |_| "done".to_owned());
            let steps = steps.into_iter();
            let steps = steps.map(|it| (it.step, it.at.as_millis(), it.took.as_millis()));
            Some((result, steps.collect()))
        });
        let ends: Vec<_> = ends.collect();
        assert!(ends.len() <= 1, "{ends:?}");
        ends.into_iter().next()
    }
}

fn step(text: &str, at: u128, took: u128) -> Timed {
    (text.into(), at, took)
}

#[test]
fn a_board_is_logged_in_to_and_each_step_is_timed() {
    let mut desk = desk(&[
        "baud=9600",
        "send=\\r",
        "within=2s expect=login: ",
        "send=root\\r",
        "20ms",
        "expect=# ",
    ]);
    let a = desk.bench.attach(client("a"));
    desk.run(a);
    assert_eq!(desk.did, ["9600-8n1", "\\r"]);
    desk.pass(30 * MS);
    desk.data("log");
    desk.data("in: ");
    assert_eq!(desk.did[2..], ["root\\r"]);
    // What comes during the delay is not missed.
    desk.data("board# ");
    assert_eq!(desk.end(a), None);
    desk.pass(20 * MS);
    let (result, steps) = desk.end(a).unwrap();
    assert_eq!(result, "done");
    assert_eq!(
        steps,
        [
            step("baud=9600", 0, 0),
            step("send=\\r", 0, 0),
            step("within=2s expect=login: ", 0, 30),
            step("send=root\\r", 30, 0),
            step("20ms", 30, 20),
            step("within=5s expect=# ", 50, 0),
        ]
    );
}

#[test]
fn what_does_not_arrive_ends_it_with_the_name_of_the_step() {
    let mut desk = desk(&[
        "line=9600",
        "break=on",
        "within=100ms expect=ready",
        "send=x",
    ]);
    let a = desk.bench.attach(client("a"));
    desk.run(a);
    desk.data("not read");
    desk.pass(99 * MS);
    assert_eq!(desk.end(a), None);
    desk.pass(MS);
    assert_eq!(
        desk.did,
        ["9600-8n1", "break true", "break false", "115200-8n1"],
        "the rest is not done, and everything is put back"
    );
    let (result, steps) = desk.end(a).unwrap();
    assert_eq!(
        result,
        "step 3 of 4 (\"within=100ms expect=ready\"): it did not arrive within 100ms"
    );
    assert_eq!(steps.len(), 3);
    assert_eq!(steps[2], step("within=100ms expect=ready", 0, 100));
}

#[test]
fn a_device_that_fails_at_a_step_is_put_back() {
    let mut desk = desk(&["line=9600", "dtr=off", "dtr=on"]);
    let a = desk.bench.attach(client("a"));
    let control = Control::Run("it".into());
    desk.bench.hub.control(desk.bench.now, a, control);
    desk.work(Some(1));
    assert_eq!(desk.did.len(), 3, "{:?}", desk.did);
    assert_eq!(desk.did[2], "115200-8n1");
    let (result, _) = desk.end(a).unwrap();
    assert_eq!(result, "step 2 of 3 (\"dtr=off\"): it is stuck");
}

#[test]
fn what_was_waited_for_before_is_not_found_again_and_a_purge_forgets() {
    let mut desk = desk(&[
        "expect=> ",
        "expect=> ",
        "purge=receive",
        "within=1s expect=> ",
    ]);
    let a = desk.bench.attach(client("a"));
    desk.data("> before it began");
    desk.run(a);
    assert_eq!(desk.end(a), None);
    desk.data("> ");
    assert_eq!(desk.end(a), None, "one is not two");
    desk.data("x> > ");
    assert_eq!(desk.did, ["Purge(Receive)"]);
    assert_eq!(desk.end(a), None, "the third was thrown away");
    desk.data("> ");
    assert_eq!(desk.end(a).unwrap().0, "done");
}

#[test]
fn a_regular_expression_is_waited_for_where_lines_begin_and_behind_what_was_found() {
    let mut desk = desk(&[
        r"within=1s expect_regex=v\d+\.\d",
        "expect_regex=^(login|password): $",
        "send=x",
    ]);
    let a = desk.bench.attach(client("a"));
    desk.run(a);
    desk.data("boot v20");
    assert_eq!(desk.end(a), None);
    desk.data("26.1login: ");
    assert_eq!(desk.end(a), None, "no line begins where the version ended");
    desk.data("\r\nlogin: ");
    assert_eq!(desk.end(a).unwrap().0, "done");
    assert_eq!(desk.did, ["x"]);
}

#[test]
fn a_sequence_that_sends_waits_for_the_ask_that_runs_and_the_next_ask_for_it() {
    let mut desk = desk(&["send=s\\r", "expect=S"]);
    let a = desk.bench.attach(client("a"));
    let b = desk.bench.attach(client("b"));
    desk.ask(a, "one");
    desk.run(b);
    desk.ask(a, "two");
    assert_eq!(desk.did, ["one\\r"]);
    desk.data("1\n");
    assert_eq!(desk.did, ["one\\r", "s\\r"]);
    desk.data("S");
    assert_eq!(desk.did, ["one\\r", "s\\r", "two\\r"]);
    assert_eq!(desk.end(b).unwrap().0, "done");
}

#[test]
fn a_uart_that_takes_nothing_fails_the_step() {
    let mut desk = desk(&["send=x"]);
    let a = desk.bench.attach(client("a"));
    let control = Control::Run("it".into());
    desk.bench.hub.control(desk.bench.now, a, control);
    assert_eq!(desk.bench.hub.poll_action(desk.bench.now), None);
    assert!(desk.bench.hub.poll_transmit(desk.bench.now).is_some());
    desk.bench.pass(Duration::from_secs(10));
    let (result, _) = desk.end(a).unwrap();
    assert_eq!(
        result,
        "step 1 of 1 (\"send=x\"): the UART took no byte for 10s"
    );
    assert_eq!(desk.bench.hub.poll_transmit(desk.bench.now), None);
}

#[test]
fn line_settings_that_a_lost_device_could_not_go_back_to_are_its_own_when_it_returns() {
    let mut desk = desk(&["line=9600", "expect=never"]);
    let a = desk.bench.attach(client("a"));
    desk.run(a);
    desk.bench.hub.handle_lost(desk.bench.now, "unplugged");
    assert_eq!(desk.end(a).unwrap().0, "unplugged");
    let state = DeviceState::Present {
        line: "9600".parse().unwrap(),
        outputs: OutputSignals::ASSERTED,
        inputs: InputSignals::ABSENT_LINES,
    };
    desk.bench.hub.handle_opened(desk.bench.now, state, true);
    desk.work(None);
    assert_eq!(desk.did, ["9600-8n1", "115200-8n1"]);
}

#[test]
fn a_sequence_that_fails_leaves_what_others_hold_alone() {
    let mut desk = desk(&["line=1200", "within=1ms expect=never"]);
    let (a, b) = (
        desk.bench.attach(client("a")),
        desk.bench.attach(client("b")),
    );
    let hold = Control::HoldLine("9600".parse::<LineSettings>().unwrap());
    desk.bench.hub.control(desk.bench.now, a, hold);
    desk.run(b);
    desk.pass(MS);
    desk.bench.hub.detach(desk.bench.now, a);
    desk.work(None);
    assert_eq!(desk.did, ["9600-8n1", "1200-8n1", "9600-8n1", "115200-8n1"]);
}

#[test]
fn what_every_port_has_can_be_run() {
    let mut desk = desk(&["dtr=on"]);
    let a = desk.bench.attach(client("a"));
    let run = Control::Run("esp-reset".into());
    desk.bench.hub.control(desk.bench.now, a, run);
    desk.work(None);
    assert_eq!(desk.did.len(), 1, "nothing else before its delay");
    desk.pass(100 * MS);
    let (result, steps) = desk.end(a).unwrap();
    assert_eq!((result.as_str(), steps.len()), ("done", 3));
    assert_eq!(desk.did.len(), 2);
}

proptest! {
    /// However the device's bytes are cut and whenever they come: what is waited for is found exactly once it has arrived,
    /// and every sequence ends exactly once.
    #[test]
    fn a_text_is_found_however_it_is_cut(noise in "[a-c]{0,20}", cuts in vec(1usize..6, 1..20)) {
        let mut desk = desk(&["send=?", "within=10s expect=abcab", "send=!"]);
        let a = desk.bench.attach(client("a"));
        desk.run(a);
        let stream = format!("{noise}abcab");
        let ends_at = stream.find("abcab").unwrap() + 5;
        let mut sent = 0;
        let mut cuts = cuts.into_iter().cycle();
        while sent < ends_at {
            prop_assert_eq!(&desk.did, &["?"]);
            let piece = cuts.next().unwrap().min(stream.len() - sent);
            desk.pass(MS);
            desk.bench.hub.handle_uart_data(desk.bench.now, &stream.as_bytes()[sent..sent + piece]);
            desk.work(None);
            sent += piece;
        }
        prop_assert_eq!(&desk.did, &["?", "!"]);
        prop_assert_eq!(desk.end(a).unwrap().0, "done");
        prop_assert!(desk.bench.hub.is_idle());
    }
}
