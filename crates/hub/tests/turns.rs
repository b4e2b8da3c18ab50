//! Many clients that ask one board at once: whose turn it is, and how long anybody may wait for it.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use support::*;
use uartnet_hub::*;

fn bench(ask_wait: Duration) -> Bench {
    let profile = Profile {
        timeout: Duration::from_secs(2),
        ..Profile::new(ReplyEnd::Line { count: 1 })
    };
    Bench::new(HubConfig {
        profile: Some(profile),
        on_loss: OnLoss::Discard,
        ask_queue: 1000,
        ask_wait,
        ..config()
    })
}

fn ask(bench: &mut Bench, client: ClientId, command: &str, wait: Option<Duration>) -> AskId {
    let ask = Ask {
        command: command.to_owned().into(),
        profile: None,
        timeout: None,
        wait,
    };
    bench.hub.ask(bench.now, client, ask)
}

/// What the UART is given now, as one command.
fn command(bench: &mut Bench) -> String {
    String::from_utf8(bench.transmit())
        .unwrap()
        .trim()
        .to_owned()
}

/// How this client's asks have ended since it was last asked, in short.
fn ends(bench: &mut Bench, client: ClientId) -> Vec<String> {
    let notices = bench.notices(client).into_iter();
    let ends = notices.filter_map(|notice| match notice {
        Notice::AskDone { outcome, .. } => Some(match outcome {
            AskOutcome::Reply { reply, .. } => String::from_utf8_lossy(&reply).into_owned(),
            AskOutcome::Refused(refusal) => refusal.to_string(),
            other => format!("{other:?}"),
        }),
        _ => None,
    });
    ends.collect()
}

#[test]
fn a_hundred_clients_each_get_their_own_answer_in_turn() {
    let mut bench = bench(Duration::from_secs(30));
    let clients: Vec<ClientId> = (0..100)
        .map(|n| bench.attach(client(&format!("c{n}"))))
        .collect();
    for round in 0..3 {
        for (n, &id) in clients.iter().enumerate() {
            ask(&mut bench, id, &format!("{n}.{round}"), None);
        }
    }
    for round in 0..3 {
        for n in 0..100 {
            let command = command(&mut bench);
            assert_eq!(command, format!("{n}.{round}"));
            bench.data(format!("you said {command}\n"));
        }
    }
    for (n, &id) in clients.iter().enumerate() {
        let own: Vec<String> = (0..3)
            .map(|round| format!("you said {n}.{round}"))
            .collect();
        assert_eq!(ends(&mut bench, id), own);
    }
}

#[test]
fn an_ask_whose_turn_does_not_come_ends_and_says_what_it_waited_for() {
    let mut bench = bench(Duration::from_secs(1));
    let (a, b, c) = (
        bench.attach(client("a")),
        bench.attach(client("b")),
        bench.attach(client("c")),
    );
    ask(&mut bench, a, "slow", None);
    assert_eq!(command(&mut bench), "slow");
    ask(&mut bench, b, "usual", None);
    ask(&mut bench, c, "hurried", Some(100 * MS));
    ask(&mut bench, c, "patient", Some(Duration::from_secs(60)));
    bench.pass(99 * MS);
    assert!(ends(&mut bench, c).is_empty());
    bench.pass(MS);
    assert_eq!(
        ends(&mut bench, c),
        [
            "its turn did not come within 100ms: an ask of a runs, and 2 more wait; nothing was written"
        ]
    );
    bench.pass(900 * MS);
    assert_eq!(
        ends(&mut bench, b),
        [
            "its turn did not come within 1s: an ask of a runs, and 1 more waits; nothing was written"
        ]
    );
    bench.data("ok\n");
    assert_eq!(ends(&mut bench, a), ["ok"]);
    assert_eq!(
        command(&mut bench),
        "patient",
        "those that ended are not written"
    );
    assert_eq!(bench.hub.info().counters.asks_failed, 2);
}

#[test]
fn waiting_for_ones_own_asks_is_not_waiting() {
    let mut bench = bench(Duration::from_secs(1));
    let a = bench.attach(client("a"));
    for n in 0..5 {
        ask(&mut bench, a, &n.to_string(), None);
    }
    for n in 0..5 {
        assert_eq!(command(&mut bench), n.to_string());
        bench.pass(900 * MS);
        bench.data("ok\n");
    }
    assert_eq!(ends(&mut bench, a), ["ok"; 5]);
}

#[test]
fn an_ask_may_not_wait_for_a_day() {
    let mut bench = bench(Duration::from_secs(1));
    let a = bench.attach(client("a"));
    ask(&mut bench, a, "x", Some(Duration::from_secs(86_400)));
    assert_eq!(
        ends(&mut bench, a),
        ["a wait of 86400s is too long, 3600s is the longest"]
    );
}

proptest! {
    /// Asks come at any time; the board takes its time, or does not answer at all. Between two turns of one client every
    /// other client that was waiting at the first has had one; a client's asks have theirs in order; nobody waits for
    /// longer than it wanted to.
    #[test]
    fn nobody_starves(steps in vec((0usize..6, 0u64..400, 0u8..10), 1..150)) {
        const WAIT: Duration = Duration::from_secs(3);
        let mut bench = bench(WAIT);
        let clients: Vec<ClientId> = (0..6).map(|n| bench.attach(client(&format!("c{n}")))).collect();
        let mut next = 0;
        // By client: the asks that wait for their turn, with their numbers.
        let mut waiting: BTreeMap<usize, Vec<(u32, AskId)>> = BTreeMap::new();
        // By client: who has yet to have a turn before its next one.
        let mut before: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (who, pause, what) in steps {
            if what < 5 {
                let id = ask(&mut bench, clients[who], &next.to_string(), None);
                waiting.entry(who).or_default().push((next, id));
                next += 1;
            } else if what < 9 {
                bench.data("ok\n");
            }
            let begun = bench.now;
            bench.pass(Duration::from_millis(pause));
            for (n, &id) in clients.iter().enumerate() {
                for notice in bench.notices(id) {
                    let Notice::AskDone { ask, outcome: AskOutcome::Refused(Refusal::Waited { .. }) } = notice else { continue };
                    let own = waiting.get_mut(&n).unwrap();
                    prop_assert_eq!(own.remove(0).1, ask, "a client's own asks end in order");
                    prop_assert!(bench.now >= begun);
                    if own.is_empty() {
                        before.values_mut().for_each(|others| others.retain(|&other| other != n));
                    }
                }
            }
            let written = bench.transmit();
            for command in String::from_utf8(written).unwrap().split_terminator('\r').filter(|it| !it.is_empty()) {
                let number: u32 = command.parse().unwrap();
                let turn = waiting.iter().find(|(_, own)| own.first().is_some_and(|(first, _)| *first == number));
                let (&who, _) = turn.expect("a turn out of order");
                prop_assert_eq!(before.remove(&who).unwrap_or_default(), Vec::<usize>::new());
                waiting.get_mut(&who).unwrap().remove(0);
                waiting.retain(|_, own| !own.is_empty());
                before.values_mut().for_each(|others| others.retain(|&other| other != who));
                before.insert(who, waiting.keys().copied().filter(|&other| other != who).collect());
            }
            waiting.retain(|_, own| !own.is_empty());
        }
    }
}
