//! The plain conversation by bytes written by hand, against a real hub and a board that the test plays.

use std::time::Duration;

use crate::support::{World, frame, hub, interpreter};
use uartnet_hub::{Access, HubConfig};
use uartnet_server::endpoint::Finish;

const RECEIVED: &str = "37_Server notification: data received";

#[test]
fn the_articles_exchange_one_byte_at_a_time() {
    let world = World::new(hub());
    let mut client = world.client();
    for byte in b"13_Hello IoT!" {
        assert_eq!(
            (world.board_heard().as_str(), client.hears(&world).as_str()),
            ("", "")
        );
        client.sends(&world, [*byte]);
    }
    client.ends(&world);
    assert_eq!(client.hears(&world), "", "it is not written yet");
    assert_eq!(client.finished(), None);
    assert_eq!(world.board_heard(), "Hello IoT!");
    assert!(
        client.nudge.take(),
        "the connection is woken when the UART took the bytes"
    );
    assert_eq!(client.hears(&world), RECEIVED);
    assert_eq!(client.finished(), Some(Finish::Close));
}

#[test]
fn an_interpreter_answers_with_its_reply() {
    let world = World::new(interpreter());
    let mut client = world.client();
    client.sends(&world, "8_LED ON");
    assert_eq!(world.board_heard(), "LED ON\r");
    world.board_says("LED ON\r\n");
    assert_eq!(client.hears(&world), "");
    world.board_says("OK led is on\r\n");
    assert!(client.nudge.take());
    assert_eq!(client.hears(&world), "15_OK led is on");
    assert_eq!(client.finished(), None, "the conversation goes on");
}

#[test]
fn frames_of_one_segment_are_answered_in_their_order() {
    let world = World::new(interpreter());
    let mut client = world.client();
    client.sends(&world, "3_A3_B2_4_CC");
    client.ends(&world);
    let mut heard = String::new();
    for (command, reply) in [
        ("A\r", "a\r\n"),
        ("B\r", "b\r\n"),
        ("\r", "empty\r\n"),
        ("CC\r", "cc\r\n"),
    ] {
        assert_eq!(world.board_heard(), command);
        world.board_says(reply);
        heard += &client.hears(&world);
    }
    assert_eq!(heard, "3_a3_b7_empty4_cc");
    assert_eq!(client.finished(), Some(Finish::Close));
}

#[test]
fn wherever_the_stream_is_cut_the_answers_are_the_same() {
    let stream = b"3_A13_Hello IoT!2_4_CCx";
    for cut in 0..stream.len() {
        let world = World::new(interpreter());
        let mut client = world.client();
        for part in [&stream[..cut], &stream[cut..]] {
            client.sends(&world, part);
        }
        let (mut heard, mut said) = (Vec::new(), Vec::new());
        while client.finished().is_none() {
            heard.push(world.board_heard());
            world.board_says(format!("re {}\n", heard.last().unwrap()));
            said.extend(client.hears_payloads(&world));
        }
        assert_eq!(heard, ["A\r", "Hello IoT!\r", "\r", "CC\r"], "cut at {cut}");
        let (error, replies) = said.split_last().unwrap();
        assert_eq!(
            replies,
            ["re A", "re Hello IoT!", "re ", "re CC"],
            "cut at {cut}"
        );
        assert!(
            error.starts_with("error: bad-frame: byte 22: "),
            "cut at {cut}: {error}"
        );
    }
}

#[test]
fn too_many_unanswered_frames_stop_the_reading_until_some_are_answered() {
    let world = World::new(interpreter());
    let mut client = world.client();
    client.sends(&world, "3_x".repeat(100));
    assert!(!client.session.wants_input());
    assert_eq!(client.hears(&world), "");
    let mut answered = 0;
    for _ in 0..100 {
        assert_eq!(world.board_heard(), "x\r");
        world.board_says("y\r\n");
        answered += client.hears(&world).matches("3_y").count();
        assert!(
            client.session.wants_input() == (answered > 36),
            "{answered}"
        );
    }
    assert_eq!(answered, 100);
}

#[test]
fn after_a_half_close_every_pending_answer_is_delivered() {
    let mut world = World::new(interpreter());
    let mut client = world.client();
    client.sends(&world, "6_SLOW8_SLOWER");
    client.ends(&world);
    assert_eq!(world.board_heard(), "SLOW\r");
    world.pass(Duration::from_secs(1));
    world.board_says("done\r\n");
    assert_eq!(client.hears(&world), "6_done");
    assert_eq!(client.finished(), None);
    assert_eq!(world.board_heard(), "SLOWER\r");
    world.pass(Duration::from_secs(3));
    assert_eq!(
        client.hears(&world),
        "43_error: timeout: no whole reply within 2s"
    );
    assert_eq!(client.finished(), Some(Finish::Close));
}

#[test]
fn garbage_after_a_good_frame_is_told_after_the_answer() {
    let world = World::new(interpreter());
    let mut client = world.client();
    client.sends(&world, "3_A-5_B");
    assert!(
        !client.session.wants_input(),
        "nothing after it is looked at"
    );
    assert_eq!(client.hears(&world), "", "the answer comes first");
    assert_eq!(world.board_heard(), "A\r");
    world.board_says("a\r\n");
    assert_eq!(
        client.hears(&world),
        "3_a68_error: bad-frame: byte 3: \"-\" where a digit or \"_\" of LEN must be"
    );
    assert_eq!(
        client.finished(),
        Some(Finish::Linger),
        "the client may still be sending"
    );
    assert_eq!(client.hears(&world), "", "it is told once");
}

#[test]
fn a_broken_first_frame_and_an_end_inside_one_are_told() {
    for (bytes, ends, sentence) in [
        ("GET / HTTP/1.1\r\n", false, "byte 0: "),
        ("99999999_", false, "byte 4: "),
        (
            "13_Hello",
            true,
            "byte 8: the stream ends after 8 of the 13 bytes of a frame",
        ),
        ("13", true, "byte 2: the stream ends inside LEN"),
    ] {
        let world = World::new(interpreter());
        let mut client = world.client();
        client.sends(&world, bytes);
        if ends {
            client.ends(&world);
        }
        let said = client.hears_payloads(&world);
        assert_eq!(said.len(), 1, "{bytes}: {said:?}");
        assert!(
            said[0].starts_with(&format!("error: bad-frame: {sentence}")),
            "{said:?}"
        );
        assert_eq!(client.finished(), Some(Finish::Linger));
    }
}

#[test]
fn nothing_said_nothing_answered() {
    let world = World::new(interpreter());
    let mut client = world.client();
    client.ends(&world);
    assert_eq!(client.hears(&world), "");
    assert_eq!(client.finished(), Some(Finish::Close));
}

#[test]
fn failures_are_sentences_with_a_code() {
    // The device is absent.
    let world = World::absent(interpreter(), 65_536);
    world.vanish("no such device");
    let mut client = world.client();
    client.sends(&world, "4_ID");
    assert_eq!(
        client.hears_payloads(&world),
        ["error: absent: the device is absent: no such device"]
    );

    // It vanishes before the reply is whole.
    world.appear();
    client.sends(&world, "4_ID");
    assert_eq!(world.board_heard(), "ID\r");
    world.board_says("ID\r\nboa");
    world.vanish("hung up");
    let said = client.hears_payloads(&world);
    assert!(said[0].starts_with("error: device-lost: "), "{said:?}");
    assert!(
        said[0].ends_with("hung up; until then: \"boa\""),
        "{said:?}"
    );

    // A command that cannot be one line.
    world.appear();
    client.sends(&world, "7_ID\rID");
    assert_eq!(
        client.hears_payloads(&world),
        ["error: bad-command: the command contains an end of line"]
    );

    // Too many asks of everybody.
    let world = World::new(HubConfig {
        ask_queue: 1,
        ..interpreter()
    });
    let mut client = world.client();
    client.sends(&world, "4_ID".repeat(3));
    let (mut said, mut heard) = (Vec::new(), 0);
    while said.len() < 3 {
        heard += usize::from(!world.board_heard().is_empty());
        world.board_says("x\r\n");
        said.extend(client.hears_payloads(&world));
    }
    assert!(
        said.iter().any(|it| it.starts_with("error: busy: ")),
        "{said:?}"
    );
    assert_eq!(
        said.iter().filter(|it| *it == "x").count(),
        heard,
        "{said:?}"
    );
}

#[test]
fn a_reply_too_long_for_a_frame_is_an_error_and_not_a_broken_frame() {
    let world = World::with_max_frame(interpreter(), 200);
    let mut client = world.client();
    client.sends(&world, "4_ID");
    assert_eq!(world.board_heard(), "ID\r");
    world.board_says([b"x".repeat(300), b"\r\n".to_vec()].concat());
    let said = client.hears_payloads(&world);
    assert_eq!(
        said,
        ["error: too-big: the reply has 300 bytes, and the largest frame allowed has 200"]
    );
}

#[test]
fn a_listener_without_a_port_says_so() {
    let world = World::new(interpreter());
    let mut client = world.client_of(None, Access::Admin);
    client.sends(&world, "4_ID4_ID");
    let said = client.hears_payloads(&world);
    assert_eq!(said.len(), 2);
    assert!(said[0].starts_with("error: unknown-port: "), "{said:?}");
}

#[test]
fn bytes_without_an_interpreter_wait_for_room_and_are_acknowledged_when_written() {
    // The queue holds 16 bytes, so a frame of 40 can only go in pieces.
    let world = World::new(HubConfig {
        write_queue: 16,
        ..hub()
    });
    let mut client = world.client();
    let long = "0123456789".repeat(4);
    client.sends(&world, [frame(&long), b"5_end".to_vec()].concat());
    assert!(
        !client.session.wants_input(),
        "what is held stops the reading"
    );
    let (mut heard, mut said) = (String::new(), String::new());
    for _ in 0..20 {
        heard += &world.board_heard();
        assert!(
            said.is_empty() || heard.starts_with(&long),
            "acknowledged before it was written"
        );
        said += &client.hears(&world);
    }
    assert_eq!(heard, long + "end");
    assert_eq!(said, RECEIVED.repeat(2));
    assert!(client.session.wants_input());
}

#[test]
fn bytes_that_never_reach_the_board_are_not_acknowledged() {
    let world = World::new(hub());
    let mut client = world.client();
    client.sends(&world, "4_no");
    world.vanish("unplugged");
    let said = client.hears_payloads(&world);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("error: device-lost: "), "{said:?}");
    // The conversation goes on when the device is back.
    world.appear();
    client.sends(&world, "5_yes");
    assert_eq!(world.board_heard(), "yes");
    assert_eq!(client.hears(&world), RECEIVED);
}

#[test]
fn a_stop_lets_the_running_ask_end_and_refuses_the_waiting_ones() {
    let world = World::new(interpreter());
    let mut client = world.client();
    client.sends(&world, "3_A3_B");
    assert_eq!(world.board_heard(), "A\r");
    client.session.handle_stop(world.now);
    world
        .port()
        .with_hub(world.now, |hub| hub.shut_down(world.now));
    let mut said = client.hears_payloads(&world);
    world.board_says("a\r\n");
    said.extend(client.hears_payloads(&world));
    assert_eq!(said, ["a", "error: shutdown: the gateway is stopping"]);
    assert_eq!(client.finished(), Some(Finish::Linger));
}

#[test]
fn a_client_that_leaves_is_no_client_any_more() {
    let world = World::new(interpreter());
    let mut client = world.client();
    client.sends(&world, "3_A3_B");
    assert_eq!(world.board_heard(), "A\r");
    assert_eq!(world.port().info().clients, 1);
    drop(client);
    let info = world.port().info();
    assert_eq!(info.clients, 0);
    assert!(
        info.asks_queued <= 1,
        "its asks are taken back: {}",
        info.asks_queued
    );
}

#[test]
fn a_board_that_never_takes_the_bytes_does_not_keep_a_half_closed_connection_for_ever() {
    let mut world = World::new(hub());
    let mut client = world.client();
    client.sends(&world, "4_no");
    client.ends(&world);
    assert_eq!(client.hears(&world), "");
    let at = client.session.poll_timeout().expect("it gives up some day");
    assert!(at - world.now >= Duration::from_secs(60));
    world.now = at;
    client.session.handle_timeout(at);
    assert!(client.finished().is_some());
}
