//! The session by payloads written by hand, against a real hub and a board that the test plays.

use std::time::Duration;

use crate::support::{Client, World, hub, interpreter};
use uart_iface::{OutputChange, Purge};
use uartnet_hub::{Access, Action, HubConfig, Sequence, Step, WritePolicy};
use uartnet_server::endpoint::Finish;

const WELCOME: &str = concat!(
    r#"{"welcome":"uartnet/1","gateway":"bench1","server":"uartd "#,
    env!("CARGO_PKG_VERSION"),
    r#"","epoch":"0123456789abcdef","max_frame":65536}"#
);
const PRESENT: &str =
    r#"{"event":"state","port":"board0","state":"present","line":"115200-8n1","at":0,"losses":0}"#;

/// A client that was welcomed.
fn welcomed(world: &World) -> Client {
    let mut client = world.client();
    client.sends(world, r#"24_{"hello":"uartnet/1"}"#);
    let said = client.hears_payloads(world);
    assert!(said[0].starts_with(r#"{"welcome":"uartnet/1""#), "{said:?}");
    client
}

/// A client that has opened `board0` so, with what it heard of that.
fn opened(world: &World, how: &str) -> (Client, Vec<String>) {
    let mut client = welcomed(world);
    client.sends_frame(world, &format!(r#"{{"open":"board0"{how},"id":1}}"#));
    let said = client.hears_payloads(world);
    (client, said)
}

#[test]
fn hello_is_answered_with_a_welcome_and_the_session_goes_on() {
    let world = World::new(hub());
    let mut client = world.client();
    client.sends(&world, r#"24_{"hello":"uartnet/1"}13_{"ping":7}"#);
    assert_eq!(client.hears_payloads(&world), [WELCOME, r#"{"pong":7}"#]);
    client.sends_frame(
        &world,
        r#"{"ping":8,"id":3,"what":"unknown fields are ignored"}"#,
    );
    assert_eq!(client.hears_payloads(&world), [r#"{"pong":8,"id":3}"#]);
    assert_eq!(client.finished(), None);
}

#[test]
fn another_version_is_refused_and_the_connection_closes() {
    let world = World::new(hub());
    let mut client = world.client();
    client.sends(&world, r#"24_{"hello":"uartnet/9"}13_{"ping":7}"#);
    let said = client.hears_payloads(&world);
    assert_eq!(
        said,
        [
            r#"{"error":"version","message":"\"uartnet/9\" is not spoken here; this gateway speaks uartnet/1"}"#
        ]
    );
    assert_eq!(client.finished(), Some(Finish::Linger));
}

#[test]
fn a_hello_that_is_none_is_refused_and_the_connection_closes() {
    let world = World::new(hub());
    let mut client = world.client();
    client.sends_frame(&world, r#"{"hello":1,"id":9}"#);
    let said = client.hears_payloads(&world);
    assert!(
        said[0].contains(r#""error":"bad-message""#) && said[0].contains(r#""id":9"#),
        "{said:?}"
    );
    assert_eq!(client.finished(), Some(Finish::Linger));
}

#[test]
fn what_cannot_be_understood_is_answered_and_the_session_goes_on() {
    let world = World::new(hub());
    let mut client = welcomed(&world);
    for (payload, code) in [
        ("", "bad-message"),
        ("hello", "bad-message"),
        ("{", "bad-message"),
        ("12", "bad-message"),
        (r#"{"dance":1}"#, "unknown-message"),
        (r#"{"hello":"uartnet/1"}"#, "bad-message"),
        (r#"{"list":"clients"}"#, "bad-message"),
        (r#"{"info":"nobody"}"#, "unknown-port"),
        (r#"{"open":"nobody"}"#, "unknown-port"),
        (
            r#"{"open":"board0","from":{"at":{"offset":0,"epoch":"12"}}}"#,
            "bad-message",
        ),
        (r#"{"open":"board0","writer":""}"#, "bad-message"),
        (r#"{"close":"board0"}"#, "not-open"),
        (r#"{"lease":"board0","action":"take"}"#, "not-open"),
        ("0:x", "not-open"),
        (r#"{"ask":"nobody","command":"x"}"#, "unknown-port"),
        (r#"{"ask":"board0","command":"x"}"#, "no-profile"),
        (
            r#"{"ask":"board0","command":"x","timeout_ms":0}"#,
            "bad-message",
        ),
        (
            r#"{"ask":"board0","command":"x","wait_ms":3600001}"#,
            "bad-message",
        ),
        (
            r#"{"ask":"board0","command":"x","timeout_ms":18446744073709551615}"#,
            "bad-message",
        ),
        // One more than is allowed; as much as is allowed comes to where a profile is missed.
        (
            r#"{"ask":"board0","command":"x","timeout_ms":3600001}"#,
            "bad-message",
        ),
        (
            r#"{"ask":"board0","command":"x","timeout_ms":3600000}"#,
            "no-profile",
        ),
        (r#"{"set":"board0","line":"fast"}"#, "bad-message"),
        (r#"{"break":"board0","ms":0}"#, "bad-message"),
        (
            r#"{"break":"board0","ms":18446744073709551615}"#,
            "bad-message",
        ),
        (r#"{"run":"board0","sequence":"reset"}"#, "no-sequence"),
    ] {
        client.sends_frame(&world, payload);
        let said = client.hears_payloads(&world);
        assert_eq!(said.len(), 1, "{payload}: {said:?}");
        assert!(
            said[0].starts_with(&format!(r#"{{"error":"{code}","#)),
            "{payload}: {said:?}"
        );
    }
    client.sends_frame(&world, r#"{"ping":1}"#);
    assert_eq!(client.hears_payloads(&world), [r#"{"pong":1}"#]);
}

#[test]
fn ports_are_listed_and_described() {
    let world = World::new(interpreter());
    world.board_says("boot\r\n");
    let mut client = welcomed(&world);
    client.sends_frame(&world, r#"{"list":"ports","id":1}"#);
    let port = |name: &str| {
        format!(
            r#"{{"name":"{name}","device":"/dev/ttyTEST","state":"present","line":"115200-8n1","profile":"line","write":"shared","clients":0}}"#
        )
    };
    assert_eq!(
        client.hears_payloads(&world),
        [format!(
            r#"{{"ports":[{},{}],"id":1}}"#,
            port("board0"),
            port("board1")
        )]
    );
    world.vanish("unplugged");
    client.sends_frame(&world, r#"{"info":"board0","id":2}"#);
    let said = client.hears_payloads(&world).remove(0);
    for part in [
        r#""state":"absent""#,
        r#""absent_reason":"unplugged""#,
        r#""epoch":"0123456789abcdef""#,
        r#""history_start":0"#,
        r#""history_end":6"#,
        r#""history_size":4096"#,
        r#""bytes_read":6"#,
        r#""device_losses":1"#,
        r#""stalled":false"#,
        r#""id":2"#,
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[test]
fn an_opened_port_streams_with_offsets() {
    let world = World::new(hub());
    world.board_says("missed");
    let (mut client, said) = opened(&world, "");
    assert_eq!(
        said,
        [
            r#"{"opened":"board0","epoch":"0123456789abcdef","offset":6,"end":6,"write_offset":0,"id":1}"#,
            PRESENT,
        ]
    );
    world.board_says("hello");
    assert!(client.nudge.take());
    assert_eq!(client.hears(&world), "9_6:hello");
    world.board_says("!");
    assert_eq!(client.hears(&world), "6_11:!");
    client.sends_frame(&world, r#"{"close":"board0","id":2}"#);
    world.board_says("nobody hears this");
    assert_eq!(
        client.hears_payloads(&world),
        [r#"{"closed":"board0","id":2}"#]
    );
    assert_eq!(world.port().info().clients, 0);
}

#[test]
fn a_reader_begins_where_it_wants_to() {
    for (from, offset, data) in [
        (r#""start""#, 0, Some("0:0123456789")),
        (r#"{"last":3}"#, 7, Some("7:789")),
        (
            r#"{"at":{"offset":4,"epoch":"0123456789abcdef"}}"#,
            4,
            Some("4:456789"),
        ),
        (
            r#"{"at":{"offset":99,"epoch":"0123456789abcdef"}}"#,
            10,
            None,
        ),
        (r#""live""#, 10, None),
    ] {
        let world = World::new(hub());
        world.board_says("0123456789");
        let (_, said) = opened(&world, &format!(r#","from":{from}"#));
        assert!(
            said[0].contains(&format!(r#""offset":{offset},"end":10"#)),
            "{from}: {said:?}"
        );
        assert_eq!(said.get(2).map(String::as_str), data, "{from}: {said:?}");
    }
}

#[test]
fn what_is_missing_is_told_exactly() {
    // The history keeps 4096 bytes.
    let world = World::new(hub());
    let (mut client, _) = opened(&world, "");
    for _ in 0..8 {
        world.board_says([b'x'; 1000]);
    }
    let said = client.hears_payloads(&world);
    assert_eq!(
        said[0],
        r#"{"event":"gap","port":"board0","from":0,"to":3904,"why":"lagged"}"#
    );
    assert!(said[1].starts_with("3904:xxx"), "{}", said[1]);
    let bytes: usize = said[1..].iter().map(|data| data.len() - 5).sum();
    assert_eq!(bytes, 4096);

    // What had left the history before it came.
    let (_, said) = opened(
        &world,
        r#","from":{"at":{"offset":10,"epoch":"0123456789abcdef"}}"#,
    );
    let gap = r#"{"event":"gap","port":"board0","from":10,"to":3904,"why":"expired"}"#;
    assert!(said.iter().any(|it| it == gap), "{said:?}");

    // An offset of another life of the daemon.
    let (_, said) = opened(
        &world,
        r#","from":{"at":{"offset":10,"epoch":"00000000000000ff"}}"#,
    );
    let gap = said
        .iter()
        .find(|it| it.contains(r#""event":"gap""#))
        .unwrap();
    assert!(gap.contains(r#""why":"new-epoch""#), "{gap}");
}

#[test]
fn one_port_at_a_time_and_asks_beside_it() {
    let world = World::new(interpreter());
    let (mut client, _) = opened(&world, "");
    client.sends_frame(&world, r#"{"open":"board1","id":2}"#);
    let said = client.hears_payloads(&world);
    assert!(
        said[0].starts_with(r#"{"error":"not-open""#) && said[0].ends_with(r#""id":2}"#),
        "{said:?}"
    );
    // Opened for reading, it can still be asked: that is what the credential allows.
    client.sends_frame(&world, r#"{"ask":"board0","command":"ID?","id":3}"#);
    assert_eq!(world.board_heard(), "ID?\r");
    world.board_says("ID?\r\nboard 7\r\n");
    let said = client.hears_payloads(&world);
    let reply = said
        .iter()
        .find(|it| it.starts_with(r#"{"reply""#))
        .unwrap();
    assert!(
        reply.starts_with(r#"{"reply":"board 7","from":0,"to":14,"took_us":"#),
        "{reply}"
    );
    assert!(reply.ends_with(r#","id":3}"#), "{reply}");
    assert!(
        said.iter().any(|it| it == "0:ID?\r\nboard 7\r\n"),
        "the stream has it too: {said:?}"
    );
    assert_eq!(world.port().info().clients, 1, "the visit is over");
}

#[test]
fn written_bytes_are_acknowledged_at_their_offsets() {
    let world = World::new(hub());
    let (mut client, _) = opened(&world, r#","mode":"write","writer":"w1""#);
    client.sends(&world, "9_0:hello");
    assert_eq!(client.hears(&world), "");
    assert_eq!(world.board_heard(), "hello");
    assert!(client.nudge.take());
    assert_eq!(
        client.hears_payloads(&world),
        [r#"{"event":"written","port":"board0","offset":5}"#]
    );
    // Twice the same, an overlap, and a hole.
    client.sends_frame(&world, "0:hello");
    client.sends_frame(&world, "3:lo, world");
    client.sends_frame(&world, "13:!");
    assert_eq!(world.board_heard(), ", world");
    let said = client.hears_payloads(&world);
    assert_eq!(
        said,
        [
            r#"{"error":"bad-offset","message":"the data begins at 13, and the next write offset is 12","write_offset":12}"#,
            r#"{"event":"written","port":"board0","offset":12}"#,
        ]
    );
    // The same writer on another connection goes on where this one was.
    drop(client);
    let (mut client, said) = opened(&world, r#","mode":"write","writer":"w1""#);
    assert!(said[0].contains(r#""write_offset":12"#), "{said:?}");
    client.sends_frame(&world, "10:ld!");
    assert_eq!(world.board_heard(), "!");
}

#[test]
fn a_full_queue_stops_the_reading_and_nothing_is_lost() {
    let world = World::new(HubConfig {
        write_queue: 16,
        ..hub()
    });
    let (mut client, _) = opened(&world, r#","mode":"write""#);
    client.sends(&world, "16_0:0123456789a15_11:bcdefghij");
    assert!(!client.session.wants_input());
    assert_eq!(client.hears(&world), "");
    assert_eq!(world.board_heard(), "0123456789a");
    assert!(client.nudge.take(), "there is room again");
    assert_eq!(
        client.hears_payloads(&world),
        [r#"{"event":"written","port":"board0","offset":11}"#]
    );
    assert!(client.session.wants_input());
    assert_eq!(world.board_heard(), "bcdefghij");
}

#[test]
fn bytes_that_waited_for_room_in_a_device_that_is_lost_are_told_from_where() {
    let world = World::new(HubConfig {
        write_queue: 16,
        ..hub()
    });
    let (mut client, _) = opened(&world, r#","mode":"write""#);
    client.sends(&world, "16_0:0123456789a15_11:bcdefghij");
    world.vanish("unplugged");
    world.appear();
    let said = client.hears_payloads(&world);
    let told = |start: &str| said.iter().find(|it| it.contains(start));
    let lost = told(r#""event":"write-lost""#).expect("the queued ones");
    assert!(lost.contains(r#""from":0,"to":11"#), "{lost}");
    let refused = told(r#"{"error":"absent""#).expect("those that waited");
    assert!(refused.ends_with(r#","write_offset":11}"#), "{refused}");
    assert_eq!(world.board_heard(), "");
    client.sends_frame(&world, "11:again");
    assert_eq!(world.board_heard(), "again");
}

#[test]
fn bytes_for_an_absent_device_are_refused_and_lost_ones_are_told() {
    let world = World::new(hub());
    let (mut client, _) = opened(&world, r#","mode":"write""#);
    client.sends_frame(&world, "0:abc");
    world.vanish("unplugged");
    client.sends_frame(&world, "3:def");
    let said = client.hears_payloads(&world);
    let lost = said
        .iter()
        .find(|it| it.contains(r#""event":"write-lost""#))
        .unwrap();
    assert!(lost.contains(r#""from":0,"to":3"#), "{lost}");
    let refused = said
        .iter()
        .find(|it| it.starts_with(r#"{"error":"absent""#))
        .unwrap();
    assert!(refused.ends_with(r#","write_offset":3}"#), "{refused}");
    let state = said
        .iter()
        .find(|it| it.contains(r#""event":"state""#))
        .unwrap();
    assert!(
        state.contains(r#""state":"absent","reason":"unplugged""#),
        "{state}"
    );
    world.appear();
    client.sends_frame(&world, "3:def");
    assert_eq!(world.board_heard(), "def");
}

#[test]
fn a_port_opened_for_reading_is_not_written_to() {
    let world = World::new(hub());
    let (mut client, _) = opened(&world, "");
    client.sends_frame(&world, "0:x");
    let said = client.hears_payloads(&world);
    assert!(said[0].starts_with(r#"{"error":"forbidden""#), "{said:?}");
    assert_eq!(world.board_heard(), "");
    // And one that nobody may write to is not opened for writing.
    let world = World::new(HubConfig {
        write: WritePolicy::None,
        ..hub()
    });
    let (_, said) = opened(&world, r#","mode":"write""#);
    assert!(said[0].starts_with(r#"{"error":"read-only""#), "{said:?}");
    assert_eq!(world.port().info().clients, 0);
}

#[test]
fn asks_are_answered_by_id_and_can_be_taken_back() {
    let world = World::new(interpreter());
    let mut client = welcomed(&world);
    for id in 1..=3 {
        client.sends_frame(
            &world,
            &format!(r#"{{"ask":"board0","command":"C{id}","id":{id}}}"#),
        );
    }
    assert_eq!(world.board_heard(), "C1\r");
    client.sends_frame(&world, r#"{"cancel":2,"id":9}"#);
    world.board_says("r1\r\n");
    assert_eq!(world.board_heard(), "C3\r");
    world.board_says("r3\r\n");
    let said = client.hears_payloads(&world);
    assert_eq!(said.len(), 4, "{said:?}");
    assert_eq!(said[0], r#"{"done":"cancel","id":9}"#);
    for (kind, id) in [
        ("reply\":\"r1", 1),
        ("error\":\"cancelled", 2),
        ("reply\":\"r3", 3),
    ] {
        let ending = format!(r#""id":{id}}}"#);
        assert!(
            said.iter()
                .any(|it| it.contains(kind) && it.ends_with(&ending)),
            "{kind} in {said:?}"
        );
    }
    // Taking back what has ended, or never was, changes nothing.
    client.sends_frame(&world, r#"{"cancel":2}"#);
    assert_eq!(client.hears_payloads(&world), [r#"{"done":"cancel"}"#]);
}

#[test]
fn failures_of_asks_have_codes_and_what_had_arrived() {
    let mut world = World::new(interpreter());
    let mut client = welcomed(&world);
    client.sends_frame(
        &world,
        r#"{"ask":"board0","command":"A","timeout_ms":100,"id":1}"#,
    );
    assert_eq!(world.board_heard(), "A\r");
    world.board_says("half");
    world.pass(Duration::from_millis(100));
    assert_eq!(
        client.hears_payloads(&world),
        [r#"{"error":"timeout","message":"no whole reply within 100ms","partial":"half","id":1}"#]
    );
}

#[test]
fn unanswered_requests_are_bounded() {
    let world = World::new(interpreter());
    let mut client = welcomed(&world);
    for id in 0..70 {
        let ask = format!(r#"{{"ask":"board0","command":"x","id":{id}}}"#);
        client.sends_frame(&world, &ask);
    }
    let said = client.hears_payloads(&world);
    assert_eq!(said.len(), 6, "{said:?}");
    for (id, answer) in (64..70).zip(&said) {
        assert!(answer.starts_with(r#"{"error":"busy""#), "{answer}");
        assert!(answer.ends_with(&format!(r#""id":{id}}}"#)), "{answer}");
    }
}

#[test]
fn answers_nobody_takes_are_bounded() {
    let world = World::new(hub());
    let mut client = welcomed(&world);
    let mut sent = 0;
    while client.session.wants_input() {
        client.sends(&world, r#"13_{"ping":7}"#.repeat(100));
        sent += 100;
        assert!(
            sent < 100_000,
            "it stops reading a client that does not listen"
        );
    }
    assert_eq!(
        client.hears_payloads(&world).len(),
        sent,
        "and nothing is lost"
    );
    assert!(client.session.wants_input());
}

#[test]
fn control_operations_reach_the_device_and_are_answered() {
    let sequence = Sequence {
        name: "reset".into(),
        steps: [Step::Outputs(OutputChange {
            dtr: Some(false),
            rts: None,
        })]
        .into(),
    };
    let mut world = World::new(HubConfig {
        sequences: vec![sequence],
        ..hub()
    });
    let (mut client, _) = opened(&world, r#","mode":"write""#);
    let dtr_off = OutputChange {
        dtr: Some(false),
        rts: None,
    };
    for (request, action, answer) in [
        (
            r#"{"set":"board0","line":"9600-7e1","id":1}"#,
            Action::Apply("9600-7e1".parse().unwrap()),
            r#"{"done":"set","line":"9600-7e1","id":1}"#,
        ),
        (
            r#"{"signals":"board0","dtr":false,"id":2}"#,
            Action::SetOutputs(dtr_off),
            r#"{"done":"signals","outputs":{"dtr":false,"rts":true},"id":2}"#,
        ),
        (
            r#"{"purge":"board0","queues":"receive","id":3}"#,
            Action::Purge(Purge::Receive),
            r#"{"done":"purge","id":3}"#,
        ),
        (
            r#"{"run":"board0","sequence":"reset","id":4}"#,
            Action::SetOutputs(dtr_off),
            r#"{"done":"run","steps":[{"step":"dtr=off","at_us":0,"took_us":0}],"id":4}"#,
        ),
    ] {
        client.sends_frame(&world, request);
        assert_eq!(world.device_does(), [action], "{request}");
        let said = client.hears_payloads(&world);
        assert!(said.iter().any(|it| it == answer), "{request}: {said:?}");
    }
    client.sends_frame(&world, r#"{"break":"board0","ms":250,"id":5}"#);
    assert_eq!(world.device_does(), [Action::SetBreak(true)]);
    assert_eq!(client.hears_payloads(&world), [""; 0]);
    world.pass(Duration::from_millis(250));
    assert_eq!(world.device_does(), [Action::SetBreak(false)]);
    assert_eq!(
        client.hears_payloads(&world),
        [r#"{"done":"break","id":5}"#]
    );
}

#[test]
fn the_lease_is_taken_by_opening_refused_to_others_and_stolen() {
    let world = World::new(HubConfig {
        write: WritePolicy::Exclusive,
        ..hub()
    });
    let (mut first, _) = opened(&world, r#","mode":"write""#);
    let (mut second, said) = opened(&world, r#","mode":"write""#);
    assert!(said[0].starts_with(r#"{"opened""#), "{said:?}");
    second.sends_frame(&world, "0:x");
    let said = second.hears_payloads(&world);
    assert!(
        said[0].starts_with(r#"{"error":"leased","message":"127.0.0.1:5122 holds"#),
        "{said:?}"
    );
    second.sends_frame(&world, r#"{"lease":"board0","action":"take","id":2}"#);
    assert!(second.hears_payloads(&world)[0].starts_with(r#"{"error":"leased""#));
    first.hears(&world);
    second.sends_frame(&world, r#"{"lease":"board0","action":"steal","id":3}"#);
    let said = second.hears_payloads(&world);
    assert!(
        said.iter().any(|it| it == r#"{"done":"lease","id":3}"#),
        "{said:?}"
    );
    let told = first.hears_payloads(&world);
    assert!(
        told.iter()
            .any(|it| it.contains(r#""event":"lease""#) && it.contains(r#""yours":false"#)),
        "{told:?}"
    );
    second.sends_frame(&world, "0:x");
    second.sends_frame(&world, r#"{"lease":"board0","action":"release","id":4}"#);
    assert_eq!(world.board_heard(), "x");
    let told = first.hears_payloads(&world);
    assert!(
        told.iter()
            .any(|it| it.contains(r#""event":"lease","port":"board0","yours":false"#)),
        "{told:?}"
    );
}

#[test]
fn one_lease_counts_for_the_data_and_the_asks_of_a_session() {
    let world = World::new(HubConfig {
        write: WritePolicy::Exclusive,
        ..interpreter()
    });
    let (mut client, _) = opened(&world, r#","mode":"write""#);
    client.sends_frame(&world, r#"{"ask":"board0","command":"A","id":2}"#);
    assert_eq!(world.board_heard(), "A\r");
    world.board_says("a\r\n");
    assert!(
        client
            .hears_payloads(&world)
            .iter()
            .any(|it| it.starts_with(r#"{"reply":"a""#))
    );
}

#[test]
fn a_reader_may_not_write_whatever_it_asks_for() {
    let world = World::new(interpreter());
    let mut client = world.client_of(None, Access::Read);
    client.sends_frame(&world, r#"{"hello":"uartnet/1"}"#);
    client.sends_frame(&world, r#"{"ask":"board0","command":"A","id":1}"#);
    client.sends_frame(&world, r#"{"signals":"board0","dtr":false,"id":2}"#);
    client.sends_frame(&world, r#"{"open":"board0","mode":"write","id":3}"#);
    client.sends_frame(&world, r#"{"open":"board0","id":4}"#);
    let said = client.hears_payloads(&world);
    for id in 1..=3 {
        let ending = format!(r#""id":{id}}}"#);
        let answer = said.iter().find(|it| it.ends_with(&ending)).unwrap();
        assert!(answer.starts_with(r#"{"error":"forbidden""#), "{answer}");
    }
    assert!(
        said.iter().any(|it| it.starts_with(r#"{"opened""#)),
        "{said:?}"
    );
    assert_eq!(
        (world.board_heard().as_str(), world.device_does().len()),
        ("", 0)
    );
}

#[test]
fn what_happens_to_the_port_is_told() {
    let world = World::new(hub());
    let (mut client, _) = opened(&world, "");
    let mut other = welcomed(&world);
    other.sends_frame(&world, r#"{"set":"board0","line":"9600"}"#);
    world.device_does();
    let inputs = uart_iface::InputSignals {
        cts: false,
        dsr: true,
        ri: false,
        dcd: true,
    };
    world
        .port()
        .with_hub(world.now, |hub| hub.handle_inputs(world.now, inputs));
    let said = client.hears_payloads(&world);
    for event in [
        r#"{"event":"line","port":"board0","line":"9600-8n1"}"#,
        concat!(
            r#"{"event":"signals","port":"board0","outputs":{"dtr":true,"rts":true},"#,
            r#""inputs":{"cts":false,"dsr":true,"ri":false,"dcd":true}}"#
        ),
    ] {
        assert!(said.iter().any(|it| it == event), "{event} in {said:?}");
    }
}

#[test]
fn no_frame_is_longer_than_allowed() {
    let world = World::with_max_frame(
        HubConfig {
            history: 100_000,
            ..interpreter()
        },
        256,
    );
    let (mut client, _) = opened(&world, "");
    world.board_says([b'x'; 50_000]);
    let said = client.hears_payloads(&world);
    assert!(
        said.iter().all(|it| it.len() <= 252),
        "{}",
        said.iter().map(String::len).max().unwrap()
    );
    let bytes: usize = said
        .iter()
        .map(|data| data.split_once(':').unwrap().1.len())
        .sum();
    assert_eq!(bytes, 50_000);
    client.sends_frame(&world, r#"{"ask":"board0","command":"A","id":2}"#);
    assert_eq!(world.board_heard(), "A\r");
    world.board_says([[b'x'; 300].as_slice(), b"\r\n"].concat());
    let said = client.hears_payloads(&world);
    assert!(
        said.iter()
            .any(|it| it.starts_with(r#"{"error":"too-big""#) && it.ends_with(r#""id":2}"#)),
        "{said:?}"
    );
}

#[test]
fn a_broken_frame_is_told_after_what_is_owed() {
    let world = World::new(interpreter());
    let (mut client, _) = opened(&world, "");
    client.sends_frame(&world, r#"{"ask":"board0","command":"A","id":2}"#);
    client.sends(&world, "+5_x");
    assert!(!client.hears(&world).contains("bad-frame"));
    assert_eq!(client.finished(), None);
    assert_eq!(world.board_heard(), "A\r");
    world.board_says("a\r\n");
    let said = client.hears_payloads(&world);
    assert!(
        said.iter().any(|it| it.starts_with(r#"{"reply":"a""#)),
        "{said:?}"
    );
    assert!(
        said.last()
            .unwrap()
            .starts_with(r#"{"error":"bad-frame","message":"byte "#),
        "{said:?}"
    );
    assert_eq!(client.finished(), Some(Finish::Linger));
}

#[test]
fn a_half_closed_session_ends_when_nothing_is_owed_any_more() {
    let world = World::new(interpreter());
    let (mut client, _) = opened(&world, r#","mode":"write""#);
    client.sends_frame(&world, "0:x");
    client.sends_frame(&world, r#"{"ask":"board0","command":"A","id":2}"#);
    client.ends(&world);
    assert_eq!(client.hears(&world), "");
    assert_eq!(client.finished(), None);
    let mut heard = world.board_heard();
    heard += &world.board_heard();
    assert_eq!(heard, "xA\r");
    world.board_says("a\r\n");
    let said = client.hears_payloads(&world);
    assert!(
        said.iter().any(|it| it.contains(r#""event":"written""#)),
        "{said:?}"
    );
    assert!(
        said.iter().any(|it| it.starts_with(r#"{"reply":"a""#)),
        "{said:?}"
    );
    assert_eq!(client.finished(), Some(Finish::Close));
}

#[test]
fn closing_a_port_answers_what_was_asked_through_it() {
    let world = World::new(interpreter());
    let (mut client, _) = opened(&world, r#","mode":"write""#);
    client.sends_frame(&world, r#"{"ask":"board0","command":"A","id":2}"#);
    client.sends_frame(&world, r#"{"close":"board0","id":3}"#);
    let said = client.hears_payloads(&world);
    assert!(
        said[0].starts_with(r#"{"error":"cancelled""#) && said[0].ends_with(r#""id":2}"#),
        "{said:?}"
    );
    assert_eq!(said[1], r#"{"closed":"board0","id":3}"#);
}

#[test]
fn a_stop_is_told_and_what_is_owed_is_delivered_first() {
    let world = World::new(hub());
    let (mut reader, _) = opened(&world, "");
    let mut idle = welcomed(&world);
    world.board_says("last words");
    for client in [&mut reader, &mut idle] {
        client.session.handle_stop(world.now);
    }
    world
        .port()
        .with_hub(world.now, |hub| hub.shut_down(world.now));
    assert!(reader.nudge.take());
    let said = reader.hears_payloads(&world);
    assert_eq!(
        said,
        [
            "0:last words",
            r#"{"event":"closed","port":"board0","reason":"shutdown"}"#
        ]
    );
    assert_eq!(reader.finished(), Some(Finish::Linger));
    assert_eq!(
        idle.hears_payloads(&world),
        [r#"{"error":"shutdown","message":"the gateway is stopping"}"#]
    );
    assert_eq!(idle.finished(), Some(Finish::Linger));
}

#[test]
fn a_reader_that_wants_no_gaps_is_cut_with_the_reason() {
    let world = World::new(hub());
    let (mut client, _) = opened(&world, r#","on_lag":"disconnect""#);
    world.board_says([b'x'; 5000]);
    let said = client.hears_payloads(&world);
    let closed = r#"{"event":"closed","port":"board0","reason":"lagged"}"#;
    assert_eq!(said.last().map(String::as_str), Some(closed), "{said:?}");
    assert_eq!(client.finished(), Some(Finish::Linger));
}
