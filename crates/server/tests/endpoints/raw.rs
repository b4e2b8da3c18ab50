//! The `raw` endpoint against a real hub: bytes are bytes, nothing else is ever sent, and nothing a client sent is lost.

use std::sync::Arc;
use std::time::Duration;

use uartnet_hub::{HubConfig, OnLag, OnLoss, ReadFrom, WritePolicy};
use uartnet_server::config::{StreamOptions, WhenAbsent};
use uartnet_server::endpoint::Finish;

use crate::support::{Client, World, hub};

const SECOND: Duration = Duration::from_secs(1);

fn connect(world: &World) -> Client {
    world.client_by("raw", StreamOptions::default())
}

#[test]
fn all_byte_values_pass_both_ways_as_they_are() {
    let world = World::new(hub());
    let mut client = connect(&world);
    assert_eq!(client.hears_bytes(&world), b"", "there is no hello");
    let all: Vec<u8> = (0..=255).collect();
    client.sends(&world, &all);
    assert_eq!(world.board_heard_bytes(), all);
    world.board_says(&all);
    assert_eq!(client.hears_bytes(&world), all);
}

#[test]
fn a_client_begins_where_its_listener_says() {
    let world = World::new(hub());
    world.board_says("before");
    for (from, expected) in [
        (ReadFrom::Live, ""),
        (ReadFrom::Start, "before"),
        (ReadFrom::Last(3), "ore"),
    ] {
        let options = StreamOptions {
            from,
            ..StreamOptions::default()
        };
        assert_eq!(world.client_by("raw", options).hears(&world), expected);
    }
}

#[test]
fn every_client_gets_what_the_board_says_and_each_may_write() {
    let world = World::new(hub());
    let (mut one, mut two) = (connect(&world), connect(&world));
    one.sends(&world, "1");
    two.sends(&world, "2");
    assert_eq!(world.board_heard(), "12");
    world.board_says("both");
    assert_eq!(
        (one.hears(&world), two.hears(&world)),
        ("both".into(), "both".into())
    );
}

#[test]
fn what_does_not_fit_the_write_queue_waits_and_arrives_whole() {
    let world = World::new(hub());
    let mut client = connect(&world);
    client.sends(&world, "a".repeat(1000));
    client.sends(&world, "b".repeat(1000));
    assert!(
        !client.session.wants_input(),
        "the write queue has 1024 bytes"
    );
    client.ends(&world);
    let mut heard = String::new();
    while heard.len() < 2000 {
        let more = world.board_heard();
        assert!(!more.is_empty(), "{} of 2000 bytes arrived", heard.len());
        heard += &more;
        client.hears(&world);
    }
    assert_eq!(heard, "a".repeat(1000) + &"b".repeat(1000));
}

#[test]
fn a_slow_uart_may_take_its_time_and_one_that_is_stuck_may_not() {
    for takes in [true, false] {
        let mut world = World::new(hub());
        let mut client = connect(&world);
        client.sends(&world, "x".repeat(3000));
        client.ends(&world);
        let mut heard = 0;
        for _ in 0..3 {
            world.pass(40 * SECOND);
            if takes {
                heard += world.board_heard().len();
            }
            client.hears(&world);
            client.session.handle_timeout(world.now);
        }
        let finished = client.finished();
        assert_eq!(
            (heard, finished),
            if takes {
                (3000, None)
            } else {
                (0, Some(Finish::Close))
            }
        );
    }
}

#[test]
fn after_a_half_close_the_board_may_still_answer_until_it_is_silent() {
    let mut world = World::new(hub());
    let mut client = connect(&world);
    client.sends(&world, "VERSION\r");
    client.ends(&world);
    client.hears(&world);
    assert_eq!(world.board_heard(), "VERSION\r");
    client.hears(&world);
    for answer in ["1.", "0\r\n"] {
        world.pass(SECOND);
        client.session.handle_timeout(world.now);
        world.board_says(answer);
        assert_eq!(client.hears(&world), answer);
        assert_eq!(client.finished(), None);
    }
    assert_eq!(client.session.poll_timeout(), Some(world.now + 2 * SECOND));
    world.pass(2 * SECOND);
    client.session.handle_timeout(world.now);
    assert_eq!(client.finished(), Some(Finish::Close));
}

#[test]
fn a_board_that_never_falls_silent_does_not_keep_a_half_closed_client_for_ever() {
    let mut world = World::new(hub());
    let mut client = connect(&world);
    client.ends(&world);
    let mut seconds = 0;
    while client.finished().is_none() {
        world.board_says("tick ");
        client.hears(&world);
        world.pass(SECOND);
        client.session.handle_timeout(world.now);
        seconds += 1;
        assert!(seconds < 1000);
    }
    assert_eq!(seconds, 60);
}

#[test]
fn a_client_is_held_while_the_device_is_away_and_served_when_it_returns() {
    let world = World::absent(hub(), 65_536);
    let mut client = connect(&world);
    assert_eq!(client.hears(&world), "");
    client.sends(&world, "first ");
    client.sends(&world, "second");
    assert_eq!(
        client.hears(&world),
        "",
        "absence is never told as UART data"
    );
    assert_eq!(client.finished(), None);
    world.appear();
    client.hears(&world);
    assert_eq!(world.board_heard(), "first second");
    world.vanish("unplugged");
    client.sends(&world, " third");
    world.appear();
    client.hears(&world);
    assert_eq!(world.board_heard(), " third");
}

#[test]
fn what_was_sent_to_a_device_that_is_lost_does_not_reach_the_next_unless_it_is_kept() {
    for (on_loss, kept) in [
        (OnLoss::Discard, String::new()),
        (OnLoss::Keep, "a".repeat(1000) + &"b".repeat(1000)),
    ] {
        for looks in [false, true] {
            let world = World::new(HubConfig { on_loss, ..hub() });
            let mut client = connect(&world);
            client.hears(&world);
            // The write queue has 1024 bytes: the second piece waits for room.
            client.sends(&world, "a".repeat(1000));
            client.sends(&world, "b".repeat(1000));
            world.vanish("unplugged");
            if looks {
                client.hears(&world);
            }
            world.appear();
            client.hears(&world);
            let mut heard = world.board_heard();
            client.hears(&world);
            client.sends(&world, " next");
            heard += &world.board_heard();
            assert_eq!(heard, format!("{kept} next"), "{on_loss:?}, looks: {looks}");
            assert_eq!(client.finished(), None);
        }
    }
}

#[test]
fn what_waits_for_an_absent_device_is_bounded() {
    let world = World::absent(hub(), 65_536);
    let mut client = connect(&world);
    let mut taken = 0;
    while client.session.wants_input() {
        client.sends(&world, [b'x'; 1024]);
        taken += 1024;
        assert!(taken < 1 << 20);
    }
    assert_eq!(taken, 64 * 1024);
}

#[test]
fn a_listener_may_refuse_clients_while_the_device_is_absent() {
    let world = World::absent(hub(), 65_536);
    let options = StreamOptions {
        when_absent: WhenAbsent::Refuse,
        ..StreamOptions::default()
    };
    let mut client = world.client_by("raw", options);
    assert_eq!(client.hears(&world), "");
    assert_eq!(client.finished(), Some(Finish::Close));
}

#[test]
fn a_write_that_is_refused_closes_the_connection_and_says_nothing() {
    let world = World::new(HubConfig {
        write: WritePolicy::None,
        ..hub()
    });
    let mut client = connect(&world);
    world.board_says("watching is fine");
    assert_eq!(client.hears(&world), "watching is fine");
    client.sends(&world, "x");
    assert_eq!(client.hears(&world), "");
    assert_eq!(client.finished(), Some(Finish::Close));
}

#[test]
fn a_client_that_lags_is_cut_because_a_stream_of_bytes_cannot_say_what_is_missing() {
    let world = World::new(HubConfig {
        on_lag: OnLag::Gap,
        ..hub()
    });
    let mut client = connect(&world);
    client.hears(&world);
    for _ in 0..5 {
        world.board_says([b'x'; 1024]);
    }
    assert_eq!(client.hears(&world), "");
    assert_eq!(client.finished(), Some(Finish::Close));
}

#[test]
fn a_banner_is_said_first_where_it_was_asked_for() {
    let world = World::new(hub());
    let options = StreamOptions {
        banner: Some(Arc::new("board0 on bench1\r\n".to_owned())),
        from: ReadFrom::Start,
        ..StreamOptions::default()
    };
    world.board_says("boot");
    let mut client = world.client_by("raw", options);
    assert_eq!(client.hears(&world), "board0 on bench1\r\nboot");
}
