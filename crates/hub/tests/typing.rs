//! People who type lines, and asks that do not go out into the middle of them.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

mod support;

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use support::*;
use uartnet_hub::*;

const HOLD: Duration = Duration::from_secs(10);

fn desk(ask_wait: Duration) -> Bench {
    let profile = Profile {
        timeout: Duration::from_secs(2),
        ..Profile::new(ReplyEnd::Line { count: 1 })
    };
    Bench::new(HubConfig {
        profile: Some(profile),
        typing_hold: HOLD,
        ask_wait,
        ..config()
    })
}

fn ask(bench: &mut Bench, client: ClientId, command: &str) {
    let ask = Ask {
        command: command.to_owned().into(),
        profile: None,
        timeout: None,
        wait: None,
    };
    bench.hub.ask(bench.now, client, ask);
}

fn written(bench: &mut Bench) -> String {
    bench.transmit().escape_ascii().to_string()
}

fn turns(bench: &mut Bench, client: ClientId) -> Vec<AskTurn> {
    let notices = bench.notices(client).into_iter();
    let turns = notices.filter_map(|notice| match notice {
        Notice::AskTurn(turn) => Some(turn),
        _ => None,
    });
    turns.collect()
}

#[test]
fn an_ask_waits_for_the_end_of_a_line_and_typing_for_the_end_of_an_ask() {
    for end in ["\r", "\n", "lo\r\n", "\x03", "\x04", "\x15"] {
        let mut bench = desk(HOLD * 10);
        let (typist, asker) = (
            bench.attach(client("typist")),
            bench.attach(client("asker")),
        );
        bench.write(typist, "hel").unwrap();
        assert_eq!(written(&mut bench), "hel");
        ask(&mut bench, asker, "ASK");
        assert_eq!(written(&mut bench), "");
        bench.write(typist, "p").unwrap();
        assert_eq!(written(&mut bench), "p", "typing passes the ask that waits");
        bench.write(typist, end).unwrap();
        assert_eq!(
            written(&mut bench),
            end.as_bytes().escape_ascii().to_string()
        );
        bench.pass(90 * MS);
        bench.data("what the board says to the line\n");
        bench.pass(99 * MS);
        assert_eq!(written(&mut bench), "", "it may say more");
        bench.pass(MS);
        assert_eq!(written(&mut bench), "ASK\\r");
        bench.write(typist, "next").unwrap();
        assert_eq!(written(&mut bench), "", "an ask runs");
        bench.data("reply\n");
        assert_eq!(written(&mut bench), "next");
    }
}

#[test]
fn a_line_that_nobody_ends_is_abandoned() {
    for how in ["silence", "its typist leaves", "the device is lost"] {
        let mut bench = desk(HOLD * 10);
        let (typist, asker) = (
            bench.attach(client("typist")),
            bench.attach(client("asker")),
        );
        bench.write(typist, "hel").unwrap();
        written(&mut bench);
        if how == "the device is lost" {
            bench.hub.handle_lost(bench.now, "unplugged");
            bench.hub.handle_opened(bench.now, present(), true);
        }
        ask(&mut bench, asker, "ASK");
        match how {
            "silence" => {
                bench.pass(HOLD - MS);
                assert_eq!(written(&mut bench), "");
                bench.pass(MS);
            }
            "its typist leaves" => bench.hub.detach(bench.now, typist),
            _ => {}
        }
        assert_eq!(written(&mut bench), "ASK\\r", "{how}");
    }
}

#[test]
fn both_are_told_when_it_takes_long() {
    let mut bench = desk(Duration::from_secs(3));
    let (typist, asker, other) = (
        bench.attach(client("typist")),
        bench.attach(client("asker")),
        bench.attach(client("other")),
    );
    bench.write(typist, "hel").unwrap();
    written(&mut bench);
    ask(&mut bench, asker, "ASK");
    written(&mut bench);
    bench.pass(999 * MS);
    assert_eq!(turns(&mut bench, typist), []);
    bench.pass(MS);
    assert_eq!(
        turns(&mut bench, typist),
        [AskTurn::Waits {
            whose: "asker".into(),
            hold: HOLD
        }]
    );
    bench.pass(Duration::from_secs(2));
    let ends = bench.notices(asker);
    assert!(
        matches!(&ends[..], [Notice::AskDone { outcome: AskOutcome::Refused(refusal), .. }]
            if refusal.to_string() == "its turn did not come within 3s: typist is typing a line; nothing was written"),
        "{ends:?}"
    );
    assert_eq!(turns(&mut bench, typist), [AskTurn::Over]);

    bench.write(typist, "\r").unwrap();
    ask(&mut bench, asker, "SLOW");
    assert_eq!(written(&mut bench), "\\r");
    bench.pass(100 * MS);
    assert_eq!(written(&mut bench), "SLOW\\r");
    bench.write(typist, "more").unwrap();
    written(&mut bench);
    bench.pass(Duration::from_secs(1));
    assert_eq!(
        turns(&mut bench, typist),
        [AskTurn::Runs {
            whose: "asker".into()
        }]
    );
    bench.data("at last\n");
    assert_eq!(written(&mut bench), "more");
    assert_eq!(turns(&mut bench, typist), [AskTurn::Over]);
    assert_eq!(turns(&mut bench, other), []);
}

#[test]
fn without_a_hold_time_asks_take_their_place_among_writes() {
    let mut bench = Bench::new(HubConfig {
        profile: Some(Profile::new(ReplyEnd::Line { count: 1 })),
        ..config()
    });
    let a = bench.attach(client("a"));
    bench.write(a, "hel").unwrap();
    ask(&mut bench, a, "ASK");
    assert_eq!(written(&mut bench), "helASK\\r");
}

#[derive(Debug, Clone)]
enum Op {
    Type(usize, &'static str),
    Ask,
    Reply,
    Pass(u64),
    Take(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let text = prop_oneof![Just("a"), Just("bc"), Just("\r"), Just("d\r"), Just("\re")];
    prop_oneof![
        4 => (0usize..3, text).prop_map(|(who, text)| Op::Type(who, text)),
        2 => Just(Op::Ask),
        3 => Just(Op::Reply),
        3 => prop_oneof![0u64..500, 5_000u64..12_000].prop_map(Op::Pass),
        5 => (1usize..5).prop_map(Op::Take),
    ]
}

proptest! {
    /// No ask begins behind an unfinished line to which something was added within the hold time; no typed byte comes between
    /// the bytes of an ask's command; every ask ends.
    #[test]
    fn asks_and_lines_do_not_mix(ops in vec(op(), 1..120)) {
        let mut bench = desk(Duration::from_secs(60));
        let typists: Vec<ClientId> = (0..3).map(|n| bench.attach(client(&format!("t{n}")))).collect();
        let asker = bench.attach(client("asker"));
        // The bytes of asks are upper case. Whose line is unfinished cannot be told from the bytes; that some line is, can.
        let (mut asked, mut ended) = (0, 0);
        let mut in_command = false;
        let mut last_typed: Option<(u8, std::time::Instant)> = None;
        for op in ops.into_iter().chain([Op::Pass(12_000), Op::Take(1_000_000)]) {
            match op {
                Op::Type(who, text) => bench.write(typists[who], text).unwrap(),
                Op::Ask => {
                    ask(&mut bench, asker, "ASK");
                    asked += 1;
                }
                Op::Reply => bench.data("ok\n"),
                Op::Pass(ms) => bench.pass(Duration::from_millis(ms)),
                Op::Take(mut left) => while left > 0 {
                    let Some(bytes) = bench.hub.poll_transmit(bench.now) else { break };
                    let count = bytes.len().min(left);
                    for &byte in &bytes[..count] {
                        if byte.is_ascii_uppercase() {
                            if !in_command && let Some((last, at)) = last_typed {
                                prop_assert!((last == b'\r' && bench.now >= at + 100 * MS) || bench.now >= at + HOLD, "an ask in the middle of a line");
                            }
                            in_command = true;
                        } else if in_command {
                            prop_assert_eq!(byte, b'\r', "typing in the middle of a command");
                            in_command = false;
                            last_typed = None;
                        } else {
                            last_typed = Some((byte, bench.now));
                        }
                    }
                    bench.hub.handle_transmitted(bench.now, count);
                    left -= count;
                },
            }
            ended += bench.notices(asker).iter().filter(|it| matches!(it, Notice::AskDone { .. })).count();
        }
        for _ in 0..asked + 2 {
            bench.transmit();
            bench.pass(Duration::from_secs(12));
            bench.data("ok\n");
            ended += bench.notices(asker).iter().filter(|it| matches!(it, Notice::AskDone { .. })).count();
        }
        prop_assert_eq!(ended, asked);
    }
}
