//! Many clients that ask one board at once: each gets its own answer, and nobody waits without end.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use uartnet_tests::{Daemon, Session};

const CLIENTS: usize = 100;

/// So many sessions, each with asks under way that only its own answer fits.
fn asked_by_all(daemon: &Daemon, rounds: usize) -> Vec<(Session, Vec<(u64, String)>)> {
    let sessions: Vec<Session> = (0..CLIENTS)
        .map(|_| Session::open(daemon.address()))
        .collect();
    let sessions = sessions.into_iter().enumerate();
    let asked = sessions.map(|(client, mut session)| {
        let asks = (0..rounds).map(|round| {
            let token = format!("client {client} round {round}");
            let ask = json!({"ask": "board0", "command": token, "wait_ms": 600_000});
            (session.send(ask), token)
        });
        let asks = asks.collect();
        (session, asks)
    });
    asked.collect()
}

#[test]
fn a_hundred_clients_each_get_their_own_answer() {
    let daemon = Daemon::start(&["board0=sim:echo,profile=line,eol=lf,echo=false"]).unwrap();
    // The places of the replies in what the board said.
    let mut places: BTreeSet<u64> = BTreeSet::new();
    for (mut session, asks) in asked_by_all(&daemon, 5) {
        for (id, token) in asks {
            let answer = session.answer(id);
            assert_eq!(answer["reply"], token, "{answer}");
            places.insert(answer["from"].as_u64().unwrap());
        }
    }
    assert_eq!(
        places.len(),
        5 * CLIENTS,
        "every reply is a place of its own"
    );
}

#[test]
fn a_hundred_clients_of_a_board_that_comes_and_goes_each_get_one_end_that_is_theirs() {
    let daemon = Daemon::start(&[
        "board0=sim:flaky?of=echo&up=300ms&down=50ms,profile=line,eol=lf,echo=false",
    ])
    .unwrap();
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    for round in 0..4 {
        for (mut session, asks) in asked_by_all(&daemon, 5) {
            for (id, token) in asks {
                let answer = session.answer(id);
                let end = match &answer["error"] {
                    Value::Null => {
                        assert_eq!(answer["reply"], token, "somebody else's answer");
                        "replied".to_owned()
                    }
                    code => code.as_str().unwrap().to_owned(),
                };
                assert!(
                    ["replied", "absent", "device-lost", "timeout"].contains(&end.as_str()),
                    "round {round}: {answer}"
                );
                *ends.entry(end).or_default() += 1;
            }
            // One answer each: what follows is the answer to this.
            assert_eq!(session.request(json!({"ping": 1}))["pong"], 1);
            session.peer().finish();
            assert_eq!(session.end(), Vec::<Value>::new(), "an answer too many");
        }
    }
    assert!(ends["replied"] > 0, "{ends:?}");
    assert_eq!(ends.values().sum::<usize>(), 4 * 5 * CLIENTS);
}

#[test]
fn an_ask_whose_turn_does_not_come_in_time_says_so() {
    let daemon = Daemon::with_config(
        "[[port]]\nname = \"board0\"\ndevice = \"sim:interpreter\"\nask_wait = \"100ms\"\n\
         [[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\n",
    )
    .unwrap();
    let mut slow = Session::open(daemon.address());
    let slow_id =
        slow.send(json!({"ask": "board0", "command": "SLEEP 3000", "timeout_ms": 30_000}));
    let mut hurried = Session::open(daemon.address());
    let mut patient = Session::open(daemon.address());
    // It may be asked before the slow one has its turn, so it is asked until it is not.
    let waited = loop {
        let answer = hurried.request(json!({"ask": "board0", "command": "LED?"}));
        if answer["error"] == "waited" {
            break answer;
        }
        assert_eq!(answer["reply"], "OFF");
    };
    let message = waited["message"].as_str().unwrap();
    assert!(message.contains("an ask of 127.0.0.1:"), "{message}");
    let patient_id = patient.send(json!({"ask": "board0", "command": "LED?", "wait_ms": 60_000}));
    assert_eq!(slow.answer(slow_id)["reply"], "OK");
    assert_eq!(patient.answer(patient_id)["reply"], "OFF");
}

#[test]
fn an_ask_waits_for_the_end_of_a_line_that_is_being_typed_and_both_sides_know() {
    let daemon = Daemon::with_config(
        "[[port]]\nname = \"board0\"\ndevice = \"sim:interpreter\"\ntyping_hold = \"10m\"\n\
         [[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\n",
    )
    .unwrap();
    let mut typist = Session::open(daemon.address());
    typist.request(json!({"open": "board0", "mode": "write"}));
    typist.write(0, "LED O");
    typist.event("written");
    let mut asker = Session::open(daemon.address());
    let hurried = asker.request(json!({"ask": "board0", "command": "LED?", "wait_ms": 100}));
    assert_eq!(hurried["error"], "waited", "{hurried}");
    let message = hurried["message"].as_str().unwrap();
    assert!(message.contains("is typing a line"), "{message}");
    let patient = asker.send(json!({"ask": "board0", "command": "LED?", "wait_ms": 600_000}));
    let told = typist.event("ask-turn");
    assert_eq!(
        (&told["turn"], &told["hold_ms"]),
        (&json!("waits"), &json!(600_000)),
        "{told}"
    );
    typist.write(5, "N\r");
    assert_eq!(
        asker.answer(patient)["reply"],
        "ON",
        "the line was not torn"
    );
    assert_eq!(typist.event("ask-turn")["turn"], "over");
}
