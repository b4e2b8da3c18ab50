//! Every counter of the gateway as a whole that docs/wire.md names is told, and moves by exactly what happened. Those of a
//! port are in `crates/server/tests/endpoints/counters.rs`.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

use std::any::Any;
use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uartnet_tests::{DEADLINE, Daemon, Keys, Peer, Session, Signal, frame};

/// How many may be there at once, who looks included.
const MOST: usize = 8;

/// The listeners, in this order, behind the one that is looked at.
const LISTENERS: [(&str, &str); 5] = [
    ("uartnet", "access = \"none\""),
    ("uartnet", "tls = true"),
    (
        "uartnet",
        "tls = true\naccess = \"read\"\nclient_ca = \"DIR/client-ca.pem\"",
    ),
    ("raw", "allow = [\"10.0.0.0/8\"]"),
    // The last one, which goes with a reload.
    ("uartnet", ""),
];
const NEEDS_TOKEN: usize = 1;
const TLS: usize = 2;
const NEEDS_CERTIFICATE: usize = 3;
const ELSEWHERE: usize = 4;
const GOES: usize = 5;

/// A gateway with everything at which something can be counted, and somebody who looks.
struct World {
    keys: Keys,
    daemon: Daemon,
    watcher: Session,
}

impl World {
    fn new() -> World {
        let keys = Keys::new();
        keys.said(&["tls", "ca"]);
        let daemon = keys.start(&config(&keys, &LISTENERS));
        let watcher = Session::open(daemon.address());
        World {
            keys,
            daemon,
            watcher,
        }
    }

    fn counters(&mut self) -> Value {
        let status = self.watcher.request(json!({"status": "gateway"}));
        status["status"]["counters"].clone()
    }

    fn address(&self, listener: usize) -> SocketAddr {
        self.daemon.listening()[listener].address.parse().unwrap()
    }
}

fn config(keys: &Keys, listeners: &[(&str, &str)]) -> String {
    let mut text = format!(
        "[gateway]\ndrain = \"100ms\"\nmax_connections = {MOST}\naudit = \"/dev/full\"\n\
         [[port]]\nname = \"board0\"\ndevice = \"sim:interpreter\"\n"
    );
    for (protocol, more) in [("uartnet", "")].iter().chain(listeners) {
        text +=
            &format!("[[listen]]\nprotocol = \"{protocol}\"\naddress = \"127.0.0.1:0\"\n{more}\n");
    }
    text.replace("DIR", keys.path("").to_str().unwrap())
}

/// The names in the table of section 8 that are of `status`.
fn documented() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/wire.md");
    let text = fs::read_to_string(path).unwrap();
    let rows = text.lines().filter(|line| line.contains("(`status`)"));
    rows.filter_map(|line| {
        let (name, _) = line.strip_prefix("| `")?.split_once('`')?;
        Some(name.to_owned())
    })
    .collect()
}

/// Makes what a counter counts happen, and says by how much it should have moved; what it gives stays as long as it is
/// looked at.
fn happen(name: &str, world: &mut World) -> (u64, Box<dyn Any>) {
    let address = world.daemon.address();
    let sessions =
        |count: usize| -> Vec<Session> { (0..count).map(|_| Session::open(address)).collect() };
    let peers = |listener: usize, count: usize| -> Vec<Peer> {
        let address = world.address(listener);
        (0..count).map(|_| Peer::connect(address)).collect()
    };
    match name {
        "connections" => (3, Box::new(sessions(3))),
        "connections_accepted" => {
            drop(sessions(2));
            (3, Box::new(sessions(1)))
        }
        "connections_refused" => {
            let all = sessions(MOST - 1);
            for mut refused in peers(0, 2) {
                assert!(refused.text().starts_with("error: busy"));
            }
            (2, Box::new(all))
        }
        "connections_cut" => {
            let mut stuck = Session::open(world.address(GOES));
            let ask = json!({"ask": "board0", "command": "SLEEP 60000", "timeout_ms": 3_600_000});
            stuck.send(ask);
            stuck.request(json!({"ping": 1}));
            let text = config(&world.keys, &LISTENERS[..GOES - 1]);
            fs::write(world.keys.path("uartd.toml"), text).unwrap();
            world.daemon.process().signal(Signal::HUP).unwrap();
            stuck.end();
            (1, Box::new(()))
        }
        "tokens_refused" => {
            for mut stranger in peers(NEEDS_TOKEN, 2) {
                let token = format!("uart_{}", "0".repeat(64));
                let hello = json!({"hello": "uartnet/1", "token": token});
                stranger.send(frame(hello.to_string()));
                assert!(stranger.text().contains("unauthorized"));
            }
            (2, Box::new(()))
        }
        "unauthenticated" => (4, Box::new(peers(NEEDS_TOKEN, 4))),
        "handshakes_failed" => {
            for mut garbage in peers(TLS, 3) {
                garbage.send(b"GET / HTTP/1.0\r\n\r\n");
                garbage.rest();
            }
            (3, Box::new(()))
        }
        "certificates_refused" => {
            for _ in 0..2 {
                // A client of TLS 1.3 is told only after it thinks that hands are shaken.
                if let Ok(mut peer) = world
                    .keys
                    .try_connect(world.address(NEEDS_CERTIFICATE), None)
                {
                    peer.rest();
                }
            }
            (2, Box::new(()))
        }
        "addresses_refused" => {
            for mut peer in peers(ELSEWHERE, 3) {
                peer.expect_end();
            }
            (3, Box::new(()))
        }
        // That somebody came is a line.
        "audit_lost" => (2, Box::new(sessions(2))),
        other => panic!("nobody has said how {other} moves"),
    }
}

#[test]
fn every_counter_of_the_gateway_moves_by_what_happened() {
    let names = documented();
    assert!(names.len() >= 10, "{names:?}");
    for name in &names {
        let mut world = World::new();
        let before = world.counters();
        let (by, happened) = happen(name, &mut world);
        let count = |counters: &Value| {
            let count = counters[name].as_u64();
            count.unwrap_or_else(|| panic!("{name} is not told: {counters}"))
        };
        // A connection that has gone is counted a moment later.
        let expected = count(&before) + by;
        let begun = Instant::now();
        let mut after = world.counters();
        while count(&after) != expected {
            assert!(
                begun.elapsed() < DEADLINE,
                "{name} should become {expected}: {before} became {after}"
            );
            thread::sleep(Duration::from_millis(1)); // not to be the load that it waits for
            after = world.counters();
        }
        drop(happened);
        for told in after.as_object().unwrap().keys() {
            assert!(names.contains(told), "{told} is not in docs/wire.md");
        }
    }
}
