//! What holds for every endpoint, whatever it speaks. It walks the list, so a new entry is tested the day it is added.

use std::collections::BTreeSet;
use std::time::Duration;

use uartnet_server::config::StreamOptions;
use uartnet_server::endpoint::{ENDPOINTS, EndpointKind};

use crate::support::{Client, World, interpreter};

/// Longer than any endpoint may keep a client that has nothing more to say.
const LONG: Duration = Duration::from_secs(300);

/// Bytes that mean something to one protocol and nothing to the others, and bytes that mean nothing to anyone.
const INPUTS: &[&[u8]] = &[
    b"",
    b"13_Hello IoT!",
    b"23_{\"hello\":\"uartnet/1\"}",
    b"LED ON\r\n",
    b"\xff\xfb\x2c\xff\xfd\x00\xff\xfa\x2c\x01\x00\x00\x25\x80\xff\xf0",
    b"\xff\xfa\x2c",
    b"999999999999999999999_",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    &[0; 5000],
    &[0xff; 5000],
    &[b'9'; 5000],
];

fn each(test: impl Fn(&'static dyn EndpointKind)) {
    assert!(ENDPOINTS.len() >= 3, "the list is not empty");
    ENDPOINTS.iter().for_each(|endpoint| test(*endpoint));
}

fn connect(world: &World, endpoint: &dyn EndpointKind) -> Client {
    world.client_by(endpoint.name(), StreamOptions::default())
}

/// Feeds all of it, in pieces of this size, as long as it is taken; the board takes what it is given.
fn feed(world: &World, client: &mut Client, input: &[u8], size: usize) {
    for piece in input.chunks(size) {
        if !client.session.wants_input() {
            break;
        }
        client.session.handle_input(world.now, piece);
        world.device_does();
        world.board_heard_bytes();
        client.hears_bytes(world);
    }
}

#[test]
fn each_describes_itself_by_a_name_of_its_own() {
    let mut names = BTreeSet::new();
    each(|endpoint| {
        assert!(!endpoint.summary().is_empty(), "{}", endpoint.name());
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        assert!(endpoint.name().bytes().all(plain), "{}", endpoint.name());
    });
    for endpoint in ENDPOINTS {
        assert!(
            names.insert(endpoint.name()),
            "{} stands twice",
            endpoint.name()
        );
    }
}

#[test]
fn no_input_in_any_pieces_takes_the_port_from_anybody_else() {
    each(|endpoint| {
        for input in INPUTS {
            for size in [1, 7, 65_536] {
                let world = World::new(interpreter());
                let mut other = world.client_by("raw", StreamOptions::default());
                other.hears_bytes(&world);
                let mut client = connect(&world, endpoint);
                feed(&world, &mut client, input, size);
                world.board_says("still here");
                assert_eq!(other.hears(&world), "still here", "{}", endpoint.name());
                drop(client);
                assert_eq!(
                    world.port().info().clients,
                    1,
                    "{} stays attached",
                    endpoint.name()
                );
            }
        }
    });
}

#[test]
fn each_comes_to_an_end_after_the_end_of_input() {
    each(|endpoint| {
        for input in INPUTS {
            let mut world = World::new(interpreter());
            let mut client = connect(&world, endpoint);
            feed(&world, &mut client, input, 65_536);
            client.ends(&world);
            let mut waited = Duration::ZERO;
            while client.finished().is_none() {
                client.hears_bytes(&world);
                world.device_does();
                world.board_heard_bytes();
                world.pass(Duration::from_secs(1));
                client.session.handle_timeout(world.now);
                waited += Duration::from_secs(1);
                let what = input.escape_ascii();
                assert!(
                    waited < LONG,
                    "{} keeps a client that sent {what}",
                    endpoint.name()
                );
            }
        }
    });
}

#[test]
fn each_comes_to_an_end_when_the_daemon_stops() {
    each(|endpoint| {
        for input in INPUTS {
            let world = World::new(interpreter());
            let mut client = connect(&world, endpoint);
            feed(&world, &mut client, input, 65_536);
            client.session.handle_stop(world.now);
            world
                .port()
                .with_hub(world.now, |hub| hub.shut_down(world.now));
            world.board_heard_bytes();
            world.board_says("OK\r\nOK\r\n");
            client.hears_bytes(&world);
            let what = input.escape_ascii();
            assert!(
                client.finished().is_some(),
                "{} goes on after {what}",
                endpoint.name()
            );
        }
    });
}

#[test]
fn a_client_that_nobody_can_serve_is_not_read_without_end() {
    each(|endpoint| {
        let world = World::absent(interpreter(), 65_536);
        let mut client = connect(&world, endpoint);
        let mut taken = 0;
        // A frame header that promises much, so that an endpoint with frames waits for the rest of it.
        for piece in [b"60000_".to_vec(), vec![b'x'; 1024]].iter().cycle() {
            if !client.session.wants_input() || client.finished().is_some() {
                break;
            }
            client.session.handle_input(world.now, piece);
            client.hears_bytes(&world);
            taken += piece.len();
            assert!(taken < 4 << 20, "{} reads without end", endpoint.name());
        }
    });
}
