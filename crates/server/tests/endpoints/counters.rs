//! Every counter that docs/wire.md names is told, and moves by what happened. Those of the gateway as a whole need
//! sockets: `tests/tests/counted.rs` has them.

use std::any::Any;
use std::time::Duration;

use serde_json::Value;
use uartnet_hub::{HubConfig, OnLag, Profile, ReplyEnd};

use crate::support::{Client, World, hub, unframe};

/// The names in the tables of section 8, and whether each is one of `status`.
fn documented() -> Vec<(String, bool)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/wire.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once("\n## 8 Counters\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let rows = section.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("| `")?.split_once('`')?;
        Some((name.to_owned(), rest.contains("(`status`)")))
    });
    rows.collect()
}

/// Those that the driver counts (`port_task/driver_errors.rs`) and logs do (`tests/tests/durable_log.rs`).
fn is_counted_elsewhere(name: &str) -> bool {
    let of_driver = ["errors", "overruns", "breaks"];
    name.starts_with("log_") || of_driver.iter().any(|ending| name.ends_with(ending))
}

fn session(world: &World, requests: &[&str]) -> Client {
    let mut client = world.client();
    client.sends_frame(world, r#"{"hello":"uartnet/1"}"#);
    requests.iter().for_each(|it| client.sends_frame(world, it));
    client.hears(world);
    client
}

fn counters(world: &World, request: &str) -> Value {
    let mut client = session(world, &[]);
    client.sends_frame(world, request);
    let said = client.hears(world);
    let answer: Value = serde_json::from_str(&unframe(&said)[0]).unwrap();
    let inside = if answer["port"].is_null() {
        "status"
    } else {
        "port"
    };
    answer[inside]["counters"].clone()
}

/// A port whose board has a prompt, knows errors, and says little at once.
fn configured() -> HubConfig {
    let mut profile = Profile::new(ReplyEnd::Line { count: 1 });
    profile.error = Some("^ERR".parse().unwrap());
    profile.max_reply = 64;
    HubConfig {
        profile: Some(profile),
        ..hub()
    }
}

const ASK: &str = r#"{"ask":"board0","command":"LED?","timeout_ms":1000}"#;
const OPEN: &str = r#"{"open":"board0","mode":"write"}"#;

/// An ask that the board has heard.
fn asked(world: &World) -> Client {
    let mut client = session(world, &[ASK]);
    assert!(world.board_heard().starts_with("LED?"));
    client.hears(world);
    client
}

/// A reader that lags by more than the history holds.
fn lagging(world: &World, on_lag: &str) -> Client {
    let open = format!(r#"{{"open":"board0","on_lag":"{on_lag}"}}"#);
    let mut client = session(world, &[&open]);
    for _ in 0..4 {
        world.board_says([b'x'; 2048]);
    }
    client.hears_bytes(world);
    client
}

/// Makes what a counter counts happen, and says by how much it should have moved; what it gives stays as long as it is
/// looked at.
fn happen(name: &str, world: &mut World) -> (u64, Box<dyn Any>) {
    let nobody: Box<dyn Any> = Box::new(());
    match name {
        "bytes_read" => {
            world.board_says("up");
            (2, nobody)
        }
        "bytes_written" => {
            let client = session(world, &[OPEN, "0:abc"]);
            assert_eq!(world.board_heard(), "abc");
            (3, Box::new(client))
        }
        "write_queue" => (3, Box::new(session(world, &[OPEN, "0:abc"]))),
        "bytes_write_lost" => {
            let client = session(world, &[OPEN, "0:abc"]);
            world.vanish("unplugged");
            (3, Box::new(client))
        }
        "device_losses" => {
            world.vanish("unplugged");
            (1, nobody)
        }
        "device_returns" => {
            world.vanish("unplugged");
            world.appear();
            (1, nobody)
        }
        "gaps" => (1, Box::new(lagging(world, "gap"))),
        // What was said and is no longer in the history.
        "gap_bytes" => (4 * 2048 - 4096, Box::new(lagging(world, "gap"))),
        "cuts" => (1, Box::new(lagging(world, "disconnect"))),
        "readers" => (1, Box::new(session(world, &[r#"{"open":"board0"}"#]))),
        "asks_replied" => {
            let mut client = asked(world);
            world.board_says("OFF\r\n");
            client.hears(world);
            (1, nobody)
        }
        "asks_board_error" => {
            let mut client = asked(world);
            world.board_says("ERR 1 no\r\n");
            client.hears(world);
            (1, nobody)
        }
        "asks_timed_out" => {
            let client = asked(world);
            world.pass(Duration::from_secs(2));
            (1, Box::new(client))
        }
        "asks_failed" | "asks_device_lost" => {
            let client = asked(world);
            world.vanish("unplugged");
            (1, Box::new(client))
        }
        "asks_refused" => {
            world.vanish("unplugged");
            drop(session(world, &[ASK, ASK]));
            (2, nobody)
        }
        "asks_too_big" => {
            let client = asked(world);
            world.board_says([b'x'; 100]);
            (1, Box::new(client))
        }
        "asks_cancelled" => {
            drop(asked(world));
            (1, nobody)
        }
        "asks_queued" => (3, Box::new(session(world, &[ASK, ASK, ASK]))),
        other => panic!("nobody has said how {other} moves"),
    }
}

#[test]
fn every_counter_of_a_port_moves_by_what_happened() {
    let names = documented();
    assert!(names.len() > 30, "{names:?}");
    for (name, _) in names
        .iter()
        .filter(|(name, of_gateway)| !of_gateway && !is_counted_elsewhere(name))
    {
        let config = HubConfig {
            on_lag: OnLag::Gap,
            ..configured()
        };
        let mut world = World::new(config);
        let before = counters(&world, r#"{"info":"board0"}"#);
        let (by, happened) = happen(name, &mut world);
        let after = counters(&world, r#"{"info":"board0"}"#);
        let count = |counters: &Value| {
            let count = counters[name].as_u64();
            count.unwrap_or_else(|| panic!("{name} is not told: {counters}"))
        };
        assert_eq!(
            count(&after) - count(&before),
            by,
            "{name}: {before} became {after}"
        );
        // Whatever happened, the sum is right.
        let parts = ["device_lost", "refused", "too_big", "cancelled"];
        let sum: u64 = parts
            .iter()
            .map(|part| after[format!("asks_{part}")].as_u64().unwrap())
            .sum();
        assert_eq!(after["asks_failed"], sum, "{name}: {after}");
        drop(happened);
    }
}

#[test]
fn every_counter_that_is_told_is_documented() {
    let world = World::new(configured());
    let names = documented();
    for (request, of_gateway) in [
        (r#"{"info":"board0"}"#, false),
        (r#"{"status":"gateway"}"#, true),
    ] {
        let told = counters(&world, request);
        for name in told.as_object().unwrap().keys() {
            assert!(
                names.contains(&(name.clone(), of_gateway)),
                "{name} is not in docs/wire.md"
            );
        }
        for (name, _) in names
            .iter()
            .filter(|(name, of)| *of == of_gateway && !is_counted_elsewhere(name))
        {
            assert!(
                told[name].is_u64(),
                "{name} is documented, and not told: {told}"
            );
        }
    }
}
