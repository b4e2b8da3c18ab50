//! What somebody who writes a port down is given: everything once, in order, and the exact size of what it missed.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

mod support;

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use support::*;
use uartnet_hub::*;

/// Everything there is to write down from a place on.
fn drain(hub: &Hub, place: &mut LogPlace, limit: usize) -> Vec<Logged> {
    std::iter::from_fn(|| hub.read_log(place, limit)).collect()
}

fn write(bench: &mut Bench, id: ClientId, bytes: &str) {
    bench.hub.write(bench.now, id, bytes.as_bytes()).unwrap();
    let given = bench.hub.poll_transmit(bench.now).unwrap().len();
    bench.hub.handle_transmitted(bench.now, given);
}

#[test]
fn received_sent_and_events_come_in_the_order_they_happened_each_with_its_time() {
    let mut bench = Bench::new(config());
    bench.hub.keep_journal(bench.now, true);
    let mut place = bench.hub.log_end();
    let id = bench.attach(client("anna"));
    let begin = bench.now;
    bench.data("one");
    bench.now += MS;
    write(&mut bench, id, "LED ON\r");
    bench.now += MS;
    bench.data("two");
    bench.hub.handle_lost(bench.now, "unplugged");
    let received = |ms, offset, text: &'static str| Logged::Received {
        at: begin + ms * MS,
        offset: Offset(offset),
        bytes: Bytes::from(text),
    };
    let happened = |ms, offset, what| Logged::Happened {
        at: begin + ms * MS,
        offset: Offset(offset),
        what,
    };
    let expected = [
        received(0, 0, "one"),
        happened(
            1,
            3,
            Happening::Sent {
                from: 0,
                bytes: "LED ON\r".into(),
            },
        ),
        received(2, 3, "two"),
        happened(
            2,
            6,
            Happening::State(DeviceState::Absent {
                reason: "unplugged".to_owned(),
            }),
        ),
    ];
    assert!(bench.hub.take_log_news());
    assert_eq!(drain(&bench.hub, &mut place.clone(), 100), expected);
    assert_eq!(
        drain(&bench.hub, &mut place, 100),
        expected,
        "reading takes nothing away"
    );
    assert_eq!(place, bench.hub.log_end());
    assert!(!bench.hub.take_log_news());
}

#[test]
fn an_ask_is_told_with_who_asked_and_how_it_ended() {
    let mut bench = Bench::new(config());
    bench.hub.keep_journal(bench.now, true);
    let mut place = bench.hub.log_end();
    let id = bench.attach(client("anna"));
    let ask = Ask {
        command: "x".into(),
        profile: None,
        timeout: None,
        wait: None,
    };
    bench.hub.ask(bench.now, id, ask);
    let told = drain(&bench.hub, &mut place, 100);
    let [Logged::Happened { what, .. }] = &told[..] else {
        panic!("{told:?}");
    };
    let end = AskEnd::Failed { how: "refused" };
    let client = "anna".to_owned();
    assert_eq!(*what, Happening::Asked { client, end });
}

#[test]
fn what_nobody_writes_down_is_not_kept() {
    let mut bench = Bench::new(config());
    let mut place = bench.hub.log_end();
    bench.data("one");
    assert_eq!(drain(&bench.hub, &mut place, 100), []);
    assert!(!bench.hub.take_log_news());
    bench.hub.keep_journal(bench.now, true);
    let mut place = bench.hub.log_end();
    bench.data("two");
    assert_eq!(drain(&bench.hub, &mut place, 100).len(), 1);
    bench.hub.keep_journal(bench.now, false);
    assert_eq!(drain(&bench.hub, &mut LogPlace::default(), 100), []);
}

#[test]
fn more_than_the_journal_holds_is_counted() {
    let mut bench = Bench::new(config());
    bench.hub.keep_journal(bench.now, true);
    let mut place = bench.hub.log_end();
    let id = bench.attach(client("anna"));
    for _ in 0..5000 {
        write(&mut bench, id, "x");
    }
    let told = drain(&bench.hub, &mut place, 100);
    assert_eq!(told[0], Logged::Missed { happenings: 904 });
    assert_eq!(told.len(), 4097);
    let Logged::Happened {
        what: Happening::Sent { from, .. },
        ..
    } = &told[1]
    else {
        panic!("{:?}", told[1]);
    };
    assert_eq!(
        *from, 904,
        "the sent bytes that are missing are known by their offsets"
    );
}

#[test]
fn times_of_arrival_are_bounded_and_never_too_late() {
    let mut bench = Bench::new(config());
    bench.hub.keep_journal(bench.now, true);
    let mut place = bench.hub.log_end();
    let begin = bench.now;
    for _ in 0..20_000 {
        bench.data("x");
        bench.now += MS;
    }
    let mut pieces = 0;
    for logged in drain(&bench.hub, &mut place, usize::MAX) {
        let Logged::Received { at, offset, .. } = logged else {
            panic!("{logged:?}");
        };
        let arrived = begin + MS * u32::try_from(offset.0).unwrap();
        assert!(
            at <= arrived && arrived < at + Duration::from_millis(16),
            "{offset}"
        );
        pieces += 1;
    }
    assert!(pieces <= 5000, "{pieces}");
}

#[derive(Debug, Clone)]
enum Op {
    Data(u16),
    Write(u8),
    Lost,
    Opened,
    Read(usize, usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (1..300_u16).prop_map(Op::Data),
        2 => (1..20_u8).prop_map(Op::Write),
        1 => Just(Op::Lost),
        1 => Just(Op::Opened),
        4 => (0..2_usize, 1..200_usize).prop_map(|(log, limit)| Op::Read(log, limit)),
    ]
}

/// What one log was given, checked as it comes.
#[derive(Default)]
struct Log {
    place: LogPlace,
    sent: u64,
    missed: bool,
}

impl Log {
    fn read(&mut self, hub: &Hub, limit: usize) -> bool {
        let before = self.place;
        let Some(logged) = hub.read_log(&mut self.place, limit) else {
            return false;
        };
        assert!(self.place > before, "it always moves");
        match logged {
            Logged::Received { offset, bytes, .. } => {
                assert_eq!(offset, before.offset);
                assert_eq!(self.place.offset.0, offset.0 + bytes.len() as u64);
                assert!(!bytes.is_empty() && bytes.len() <= limit);
                for (at, byte) in (offset.0..).zip(&bytes) {
                    assert_eq!(*byte, (at % 251) as u8);
                }
            }
            Logged::Gap { from, to } => {
                assert_eq!((from, to), (before.offset, self.place.offset));
                assert!(from < to);
            }
            Logged::Happened { what, offset, .. } => {
                assert_eq!(offset, self.place.offset);
                if let Happening::Sent { from, bytes } = what {
                    assert!(from == self.sent || self.missed);
                    self.sent = from + bytes.len() as u64;
                }
            }
            Logged::Missed { .. } => self.missed = true,
        }
        true
    }
}

proptest! {
    #[test]
    fn every_log_has_everything_or_knows_what_it_has_not(ops in prop::collection::vec(op(), 1..200)) {
        let config = HubConfig { history: 700, ..config() };
        let mut bench = Bench::new(config);
        bench.hub.keep_journal(bench.now, true);
        let mut logs = [Log::default(), Log::default()];
        for log in &mut logs {
            log.place = bench.hub.log_end();
        }
        let id = bench.attach(client("anna"));
        let (mut received, mut present) = (0_u64, true);
        for op in ops {
            bench.now += MS;
            match op {
                Op::Data(count) => {
                    let bytes: Vec<u8> = (received..received + u64::from(count)).map(|at| (at % 251) as u8).collect();
                    received += u64::from(count);
                    bench.hub.handle_uart_data(bench.now, &bytes);
                }
                Op::Write(count) if present => write(&mut bench, id, &"w".repeat(count.into())),
                Op::Write(_) => {}
                Op::Lost => {
                    present = false;
                    bench.hub.handle_lost(bench.now, "gone");
                }
                Op::Opened if !present => {
                    present = true;
                    bench.hub.handle_opened(bench.now, support::present(), true);
                }
                Op::Opened => {}
                Op::Read(log, limit) => {
                    logs[log].read(&bench.hub, limit);
                }
            }
        }
        for log in &mut logs {
            while log.read(&bench.hub, 64) {}
            prop_assert_eq!(log.place, bench.hub.log_end());
            prop_assert!(!log.missed);
            prop_assert_eq!(log.sent, bench.hub.info().counters.bytes_written);
        }
    }
}
