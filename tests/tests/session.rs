//! The session, spoken by hand: hello, requests and their answers, the stream at offsets, gaps, and what is refused.

use serde_json::{Value, json};
use uartnet_tests::{Daemon, Peer, Session, frame};

fn interpreter() -> Daemon {
    Daemon::start(&["board0=sim:interpreter", "board1=sim:echo"]).expect("a gateway")
}

#[test]
fn hello_is_welcomed() {
    let daemon = interpreter();
    let session = Session::open(daemon.address());
    let epoch = session.welcome["epoch"].as_str().expect("an epoch");
    assert!(
        epoch.len() == 16 && epoch.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{epoch}"
    );
    assert!(
        session.welcome["gateway"].is_string(),
        "{}",
        session.welcome
    );
    assert!(
        session.welcome["server"]
            .as_str()
            .expect("a program")
            .starts_with("uartd ")
    );
}

#[test]
fn another_version_is_refused_and_the_connection_closes() {
    let daemon = interpreter();
    let mut peer = Peer::connect(daemon.address());
    peer.send(frame(r#"{"hello":"uartnet/99"}"#));
    let error: Value = serde_json::from_slice(&peer.frame()).unwrap();
    assert_eq!(error["error"], "version", "{error}");
    peer.expect_end();
}

#[test]
fn ports_are_listed_and_described() {
    let daemon = interpreter();
    let mut session = Session::open(daemon.address());
    let list = session.request(json!({"list": "ports"}));
    let names: Vec<&Value> = list["ports"]
        .as_array()
        .expect("ports")
        .iter()
        .map(|port| &port["name"])
        .collect();
    assert_eq!(names, ["board0", "board1"]);
    let info = session.request(json!({"info": "board0"}));
    assert_eq!(info["port"]["name"], "board0", "{info}");
    assert_eq!(info["port"]["state"], "present", "{info}");
    assert_eq!(info["port"]["line"], "115200-8n1", "{info}");
    assert_eq!(info["port"]["epoch"], session.welcome["epoch"]);
}

#[test]
fn asks_are_answered_each_by_its_id() {
    let daemon = interpreter();
    let mut session = Session::open(daemon.address());
    let commands = [
        "LED ON",
        "LED?",
        "GPIO 3 OUT",
        "GPIO 3 1",
        "GPIO 3?",
        "NONSENSE",
    ];
    let ids: Vec<u64> = commands
        .iter()
        .map(|command| session.send(json!({"ask": "board0", "command": command})))
        .collect();
    let replies: Vec<Value> = ids
        .iter()
        .map(|id| session.answer(*id)["reply"].clone())
        .collect();
    assert_eq!(
        replies,
        [
            "OK",
            "ON",
            "OK",
            "OK",
            "OUT 1",
            "ERR 1 unknown command, try HELP"
        ]
    );
}

#[test]
fn a_late_reply_is_not_given_to_the_next_ask() {
    let daemon = interpreter();
    let mut session = Session::open(daemon.address());
    let late = session.send(json!({"ask": "board0", "command": "SLEEP 2500", "timeout_ms": 1500}));
    let next = session.send(json!({"ask": "board0", "command": "ID?", "timeout_ms": 30_000}));
    assert_eq!(session.answer(late)["error"], "timeout");
    let reply = session.answer(next);
    assert!(
        reply["reply"]
            .as_str()
            .is_some_and(|reply| reply.starts_with("uart-interpreter")),
        "{reply}"
    );
}

#[test]
fn an_ask_can_be_taken_back() {
    let daemon = interpreter();
    let mut session = Session::open(daemon.address());
    let running =
        session.send(json!({"ask": "board0", "command": "SLEEP 1000", "timeout_ms": 30_000}));
    let waiting = session.send(json!({"ask": "board0", "command": "LED ON"}));
    let cancel = session.send(json!({"cancel": waiting}));
    assert_eq!(session.answer(waiting)["error"], "cancelled");
    assert_eq!(session.answer(cancel)["done"], "cancel");
    assert_eq!(session.answer(running)["reply"], "OK");
    assert_eq!(
        session.request(json!({"ask": "board0", "command": "LED?"}))["reply"],
        "OFF"
    );
}

#[test]
fn what_is_written_comes_back_at_its_offset() {
    let daemon = interpreter();
    let mut session = Session::open(daemon.address());
    let opened = session.request(json!({"open": "board1", "mode": "write", "from": "live"}));
    assert_eq!(
        (&opened["opened"], &opened["write_offset"]),
        (&json!("board1"), &json!(0)),
        "{opened}"
    );
    session.write(0, "first ");
    session.write(6, "second\n");
    let (offset, bytes) = session.read_until("second\n");
    assert_eq!(json!(offset), opened["offset"]);
    assert_eq!(String::from_utf8_lossy(&bytes), "first second\n");
    let written =
        session.control(|control| control["event"] == "written" && control["offset"] == 13);
    assert_eq!(written["port"], "board1");
}

#[test]
fn all_byte_values_pass_both_ways() {
    let daemon = interpreter();
    let mut session = Session::open(daemon.address());
    session.request(json!({"open": "board1", "mode": "write"}));
    let all: Vec<u8> = (0..=255).collect();
    session.write(0, [all.as_slice(), b"end"].concat());
    let (_, bytes) = session.read_until("end");
    assert_eq!(&bytes[..256], all.as_slice());
}

#[test]
fn a_second_reader_resumes_where_the_first_stopped() {
    let daemon = interpreter();
    let mut first = Session::open(daemon.address());
    let opened = first.request(json!({"open": "board1", "mode": "write"}));
    first.write(0, "one two three four");
    let (start, bytes) = first.read_until("two");
    drop(first);

    let mut second = Session::open(daemon.address());
    let at = json!({"offset": start + bytes.len() as u64, "epoch": opened["epoch"]});
    let again = second.request(json!({"open": "board1", "from": {"at": at}}));
    assert_eq!(again["offset"], json!(start + 7), "{again}");
    let (offset, bytes) = second.read_until("four");
    assert_eq!(
        (offset, String::from_utf8_lossy(&bytes).as_ref()),
        (start + 7, " three four")
    );
}

#[test]
fn from_start_and_from_the_last_bytes() {
    let daemon = interpreter();
    let mut writer = Session::open(daemon.address());
    writer.request(json!({"open": "board1", "mode": "write"}));
    writer.write(0, "0123456789");
    writer.read_until("9");
    for (from, expected) in [(json!("start"), "0123456789"), (json!({"last": 3}), "789")] {
        let mut reader = Session::open(daemon.address());
        reader.request(json!({"open": "board1", "from": from}));
        assert_eq!(String::from_utf8_lossy(&reader.read_until("9").1), expected);
    }
}

#[test]
fn bytes_that_left_the_history_are_a_gap_with_numbers() {
    let daemon = Daemon::start(&["board1=sim:echo,history=100"]).expect("a gateway");
    let mut writer = Session::open(daemon.address());
    let opened = writer.request(json!({"open": "board1", "mode": "write"}));
    let text = format!("{}end", "x".repeat(500));
    let mut offset = 0;
    for piece in text.as_bytes().chunks(50) {
        writer.write(offset, piece);
        offset += piece.len() as u64;
    }
    writer.read_until("end");
    let mut reader = Session::open(daemon.address());
    let at = json!({"offset": opened["offset"], "epoch": opened["epoch"]});
    reader.request(json!({"open": "board1", "from": {"at": at}}));
    let gap = reader.event("gap");
    assert_eq!(
        (&gap["why"], &gap["from"]),
        (&json!("expired"), &opened["offset"]),
        "{gap}"
    );
    let (from, bytes) = reader.read_until("end");
    assert_eq!(
        json!(from),
        gap["to"],
        "what follows the gap begins at its end"
    );
    assert_eq!(from + bytes.len() as u64, 503);
    assert!(bytes.len() <= 100, "{}", bytes.len());
}

#[test]
fn an_offset_of_another_life_of_the_gateway_is_a_gap_of_unknown_size() {
    let daemon = interpreter();
    let mut session = Session::open(daemon.address());
    let at = json!({"offset": 12, "epoch": "0123456789abcdef"});
    session.request(json!({"open": "board1", "from": {"at": at}}));
    assert_eq!(session.event("gap")["why"], "new-epoch");
}

#[test]
fn every_mistake_is_answered_and_the_session_goes_on() {
    let daemon = interpreter();
    let mut session = Session::open(daemon.address());
    for (request, code) in [
        (json!({"ask": "nowhere", "command": "ID?"}), "unknown-port"),
        (json!({"info": "nowhere"}), "unknown-port"),
        (json!({"open": "nowhere"}), "unknown-port"),
        (json!({"close": "board0"}), "not-open"),
        (json!({"dance": "board0"}), "unknown-message"),
        (json!({"ask": "board0"}), "bad-message"),
        (json!({"ask": "board0", "command": 7}), "bad-message"),
        (json!({"ask": "board0", "command": "a\nb"}), "bad-command"),
        (json!({"ask": "board1", "command": "x"}), "no-profile"),
        (
            json!({"set": "board0", "line": "115200-9n1"}),
            "bad-message",
        ),
        (json!({"run": "board0", "sequence": "reset"}), "no-sequence"),
        (json!({"lease": "board0", "action": "take"}), "not-open"),
    ] {
        let answer = session.request(request.clone());
        assert_eq!(answer["error"], code, "{request}: {answer}");
        assert!(
            answer["message"]
                .as_str()
                .is_some_and(|message| message.len() > 8),
            "{answer}"
        );
    }
    assert_eq!(session.request(json!({"ping": 7}))["pong"], 7);
}

#[test]
fn payloads_that_are_no_messages_are_answered_and_the_session_goes_on() {
    let daemon = interpreter();
    let mut session = Session::open(daemon.address());
    let deep = format!("{{\"ask\":{}", "[".repeat(60_000));
    for payload in [
        "",
        "hello",
        "{",
        "{}",
        "[1]",
        "{\"ask\":",
        "{\"\u{0}\":1}",
        "12",
        "x:y",
        "1 :a",
        &deep,
    ] {
        session.send_payload(payload);
        let answer = session.error();
        let code = answer["error"].as_str().expect("a code");
        assert!(
            ["bad-message", "unknown-message", "not-open", "bad-offset"].contains(&code),
            "{payload:.20}: {answer}"
        );
    }
    assert_eq!(session.request(json!({"ping": 1}))["pong"], 1);
}

#[test]
fn data_at_a_wrong_offset_is_refused() {
    let daemon = interpreter();
    let mut session = Session::open(daemon.address());
    session.request(json!({"open": "board1", "mode": "write"}));
    session.write(5, "too early");
    let answer = session.error();
    assert_eq!(answer["error"], "bad-offset", "{answer}");
    session.write(0, "right\n");
    assert_eq!(session.read_until("right\n").1, b"right\n");
}

#[test]
fn a_reader_may_not_write() {
    let daemon = interpreter();
    let mut session = Session::open(daemon.address());
    session.request(json!({"open": "board1", "mode": "read"}));
    session.write(0, "not for me");
    let answer = session.error();
    assert!(answer["error"].is_string(), "{answer}");
}

#[test]
fn an_exclusive_port_has_one_writer_and_its_lease_can_be_stolen() {
    let daemon = Daemon::start(&["board1=sim:echo,write=exclusive"]).expect("a gateway");
    let open = json!({"open": "board1", "mode": "write"});
    let mut first = Session::open(daemon.address());
    first.request(open.clone());
    first.write(0, "mine\n");
    first.read_until("mine\n");

    let mut second = Session::open(daemon.address());
    second.request(open);
    let refused = second.request(json!({"lease": "board1", "action": "take"}));
    assert_eq!(refused["error"], "leased", "{refused}");
    assert_eq!(
        second.request(json!({"lease": "board1", "action": "steal"}))["done"],
        "lease"
    );
    let lost = first.control(|control| control["event"] == "lease" && control["yours"] == false);
    assert!(lost["holder"].is_string(), "{lost}");
    second.write(0, "stolen\n");
    assert_eq!(first.read_until("stolen\n").1, b"stolen\n");
}

#[test]
fn line_settings_are_applied_and_everybody_is_told() {
    let daemon = interpreter();
    let mut watcher = Session::open(daemon.address());
    watcher.request(json!({"open": "board1"}));
    let mut other = Session::open(daemon.address());
    let done = other.request(json!({"set": "board1", "line": "9600-7e1"}));
    assert_eq!(
        (&done["done"], &done["line"]),
        (&json!("set"), &json!("9600-7e1")),
        "{done}"
    );
    assert_eq!(watcher.event("line")["line"], "9600-7e1");
}

#[test]
fn a_session_ends_when_the_client_has_had_its_say() {
    let daemon = interpreter();
    let mut session = Session::open(daemon.address());
    let id = session.send(json!({"ask": "board0", "command": "LED?"}));
    session.peer().finish();
    let said = session.end();
    assert!(
        said.iter()
            .any(|answer| answer["id"] == id && answer["reply"] == "OFF"),
        "{said:?}"
    );
}
