//! `watch`, `attach` and the follower under them, across connections that are cut: nothing twice, nothing missing without a
//! word. The gateway is written by hand.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod support;

use serde_json::{Value, json};
use support::{EPOCH, Gateway, Peer, finish, run, uart};

const OTHER_EPOCH: &str = "00000000000000bb";

fn place(offset: u64, epoch: &str) -> Value {
    json!({"at": {"offset": offset, "epoch": epoch}})
}

fn watch(gateway: &Gateway, more: &[&str]) -> support::Ran {
    let arguments = [&["watch", "b", "--timestamps", "none"], more].concat();
    run(&gateway.address, &arguments, b"")
}

#[test]
fn a_watcher_whose_connection_is_cut_goes_on_where_it_was() {
    let gateway = Gateway::start(|door| {
        let mut peer = door.welcome();
        let open = peer.open(100);
        assert_eq!(
            (&open["open"], &open["mode"], &open["from"]),
            (&json!("b"), &json!("read"), &json!("start"))
        );
        peer.data(100, "one\r\ntw");
        // A cut hits anywhere, also inside a frame.
        peer.raw(b"1000_107:o");
        drop(peer);
        // The next attempt is refused at once, the one after it is taken.
        drop(door.accept());
        let mut peer = door.welcome();
        assert_eq!(peer.open(107)["from"], place(107, EPOCH));
        peer.data(107, "o\nthree\n");
        peer.until_end();
    });
    let ran = watch(&gateway, &["--from", "start", "--lines", "3"]);
    // The cut is told where it happened, which is in the middle of a line.
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(
        (lines[0], lines[1], lines[3], lines[4]),
        ("one", "tw", "[uart] connected again", "o"),
        "{}",
        ran.stdout
    );
    assert!(
        lines[2].starts_with("[uart] connection lost, reconnecting …"),
        "{}",
        ran.stdout
    );
    assert_eq!(ran.code, Some(0));
    gateway.finish();
}

#[test]
fn what_was_missed_is_said_with_its_offsets() {
    let gateway = Gateway::start(|door| {
        let mut peer = door.welcome();
        peer.open(0);
        peer.data(0, "a\n");
        drop(peer);
        let mut peer = door.welcome();
        peer.open(2);
        peer.say(json!({"event": "gap", "port": "b", "from": 2, "to": 512, "why": "expired"}));
        // What was read before is not told again, and what is skipped without a word is told all the same.
        peer.data(500, "............b\n");
        peer.data(520, "c\n");
        drop(peer);
        let mut peer = door.welcome();
        assert_eq!(peer.open_in(OTHER_EPOCH, 7, 0)["from"], place(522, EPOCH));
        peer.say(json!({"event": "gap", "port": "b", "from": 522, "to": 7, "why": "new-epoch"}));
        peer.data(7, "d\n");
        peer.until_end();
    });
    let ran = watch(&gateway, &["--lines", "4"]);
    let told: Vec<&str> = ran
        .stdout
        .lines()
        .filter(|line| !line.contains("connect"))
        .collect();
    assert_eq!(
        told,
        [
            "a",
            "[uart] 510 bytes missed (2..512): no longer in the gateway's history",
            "b",
            "[uart] 6 bytes missed (514..520)",
            "c",
            "[uart] the gateway was restarted: what the board sent meanwhile is not known (was at 522, goes on at 7)",
            "d",
        ]
    );
    gateway.finish();
}

#[test]
fn records_for_programs_account_for_every_byte() {
    let gateway = Gateway::start(|door| {
        let mut peer = door.welcome();
        peer.open(5);
        peer.say(json!({"event": "state", "port": "b", "state": "present", "line": "115200-8n1", "at": 5, "losses": 0}));
        peer.data(5, "hi\u{1b}\r\n");
        peer.say(json!({"event": "gap", "port": "b", "from": 10, "to": 20, "why": "lagged"}));
        peer.data(20, "rest");
        peer.until_end();
    });
    let ran = run(
        &gateway.address,
        &["watch", "b", "--json", "--bytes", "9"],
        b"",
    );
    let mut records: Vec<Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for record in &mut records {
        let time = record.as_object_mut().unwrap().remove("time").unwrap();
        assert!(time.as_str().unwrap().ends_with('Z'), "{time}");
    }
    assert_eq!(
        records,
        [
            json!({"port": "b", "event": "opened", "epoch": EPOCH, "offset": 5, "again": false}),
            json!({"port": "b", "event": "state", "state": "present", "line": "115200-8n1", "at": 5, "losses": 0}),
            json!({"port": "b", "offset": 5, "text": "hi\u{1b}", "complete": true}),
            json!({"port": "b", "event": "gap", "from": 10, "to": 20, "why": "lagged"}),
            json!({"port": "b", "offset": 20, "text": "rest", "complete": false}),
        ]
    );
    gateway.finish();
}

#[test]
fn raw_is_the_bytes_and_nothing_else() {
    let gateway = Gateway::start(|door| {
        let mut peer = door.welcome();
        peer.open(0);
        peer.frame(b"0:\x00\xff\x1b[2J\r\n");
        peer.say(json!({"event": "gap", "port": "b", "from": 8, "to": 9, "why": "lagged"}));
        peer.frame(b"9:abcdef");
        peer.until_end();
    });
    let output = uart(&gateway.address, &["watch", "b", "--raw", "--bytes", "11"])
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"\x00\xff\x1b[2J\r\nabc");
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "[uart] 1 byte missed (8..9): this client was too slow\n"
    );
    gateway.finish();
}

#[test]
fn several_ports_have_a_connection_each_and_their_names_before_their_lines() {
    let gateway = Gateway::start(|door| {
        let mut peers: Vec<(Value, Peer)> = (0..2)
            .map(|_| {
                let mut peer = door.welcome();
                (peer.open(0)["open"].clone(), peer)
            })
            .collect();
        peers.sort_by_key(|(port, _)| port.to_string());
        let [(a, first), (b, second)] = &mut peers[..] else {
            panic!()
        };
        assert_eq!((&*a, &*b), (&json!("a"), &json!("board1")));
        first.data(0, "from a\x07\n");
        second.data(0, "from board1\n");
        first.until_end();
        second.until_end();
    });
    let ran = run(
        &gateway.address,
        &[
            "watch",
            "a",
            "board1",
            "--timestamps",
            "none",
            "--lines",
            "2",
        ],
        b"",
    );
    let mut lines: Vec<&str> = ran.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["a      | from a\\x07", "board1 | from board1"]);
    gateway.finish();
}

#[test]
fn a_port_that_is_refused_ends_it_and_one_that_is_lost_does_so_only_when_told() {
    let gateway = Gateway::start(|door| {
        let mut peer = door.welcome();
        let open = peer.expect("open");
        peer.answer(
            &open,
            json!({"error": "unknown-port", "message": "there is no port \"b\" here"}),
        );
        peer.until_end();
        let mut peer = door.welcome();
        peer.open(0);
        peer.data(0, "last words");
    });
    let ran = watch(&gateway, &[]);
    ran.expect(1, "");
    assert_eq!(
        ran.stderr,
        "uart: there is no port \"b\" here (unknown-port)\n"
    );
    let ran = watch(&gateway, &["--no-reconnect"]);
    ran.expect(3, "last words\n");
    assert!(
        ran.stderr.contains("closed the connection"),
        "{}",
        ran.stderr
    );
    gateway.finish();
}

#[test]
fn a_piped_attach_sends_everything_and_ends_when_it_is_quiet() {
    let gateway = Gateway::start(|door| {
        let mut peer = door.welcome();
        let open = peer.open(0);
        assert_eq!(
            (&open["mode"], &open["from"]),
            (&json!("write"), &json!("live"))
        );
        assert_eq!(open["writer"].as_str().unwrap().len(), 16);
        assert_eq!(
            peer.expect_data(0),
            "ID?\r\u{1d}.x\n",
            "the escape key is not for pipes"
        );
        peer.data(0, "board\x1b[0m");
        peer.say(json!({"event": "written", "port": "b", "offset": 8}));
        peer.until_end();
    });
    let ran = run(
        &gateway.address,
        &["attach", "b", "--linger", "50ms"],
        b"ID?\r\x1d.x\n",
    );
    ran.expect(0, "board\x1b[0m");
    gateway.finish();
}

#[test]
fn no_frame_is_longer_than_the_gateway_takes() {
    let gateway = Gateway::start(|door| {
        let mut peer = door.welcome_with(256);
        peer.open(0);
        let mut written = 0;
        while written < 3000 {
            let bytes = peer.expect_data(written).len() as u64;
            assert!(format!("256_{written}:").len() as u64 + bytes <= 256);
            written += bytes;
        }
        peer.say(json!({"event": "written", "port": "b", "offset": written}));
        peer.until_end();
    });
    let ran = run(
        &gateway.address,
        &["attach", "b", "--linger", "50ms"],
        &[b'x'; 3000],
    );
    ran.expect(0, "");
    gateway.finish();
}

#[test]
fn what_was_typed_is_written_once_however_often_the_connection_is_cut() {
    let gateway = Gateway::start(|door| {
        let mut peer = door.welcome();
        let writer = peer.open(0)["writer"].clone();
        assert_eq!(peer.expect_data(0), "one\rtwo\r");
        peer.say(json!({"event": "written", "port": "b", "offset": 4}));
        drop(peer);
        // Of the rest, two bytes had been accepted before the cut.
        let mut peer = door.welcome();
        let open = peer.open_in(EPOCH, 0, 6);
        assert_eq!(
            (&open["writer"], &open["from"]),
            (&writer, &place(0, EPOCH))
        );
        assert_eq!(peer.expect_data(6), "o\r");
        peer.say(json!({"event": "written", "port": "b", "offset": 8}));
        peer.until_end();
    });
    let ran = run(
        &gateway.address,
        &["attach", "b", "--eol", "cr", "--linger", "50ms"],
        b"one\ntwo\r\n",
    );
    ran.expect(0, "");
    gateway.finish();
}

#[test]
fn what_a_restarted_gateway_may_have_lost_is_said_and_not_written_again() {
    let gateway = Gateway::start(|door| {
        let mut peer = door.welcome();
        peer.open(0);
        assert_eq!(peer.expect_data(0), "RESET\r");
        peer.say(json!({"event": "written", "port": "b", "offset": 2}));
        drop(peer);
        let mut peer = door.welcome();
        peer.open_in(OTHER_EPOCH, 0, 0);
        peer.until_end();
    });
    let ran = run(
        &gateway.address,
        &["attach", "b", "--linger", "50ms"],
        b"RESET\r",
    );
    ran.expect(1, "");
    assert!(
        ran.stderr
            .contains("whether \"SET\\r\" was written is not known"),
        "{}",
        ran.stderr
    );
    gateway.finish();
}

#[test]
fn a_refused_write_is_said_and_what_follows_is_written() {
    let gateway = Gateway::start(|door| {
        let mut peer = door.welcome();
        peer.open(0);
        assert_eq!(peer.expect_data(0), "abc");
        let leased = "10.0.0.1 holds the write lease";
        peer.say(json!({"error": "leased", "message": leased, "write_offset": 1}));
        // Bytes under way when the first were refused are refused for following them; that is told once.
        peer.say(
            json!({"error": "bad-offset", "message": "the data begins at 3", "write_offset": 1}),
        );
        let ping = peer.expect("ping");
        peer.answer(&ping, json!({"pong": ping["ping"]}));
        // What was accepted is not written before the gateway says so.
        peer.say(json!({"event": "written", "port": "b", "offset": 1}));
        peer.data(0, "!");
        peer.until_end();
    });
    let ran = run(
        &gateway.address,
        &["attach", "b", "--linger", "50ms"],
        b"abc",
    );
    ran.expect(1, "!");
    assert_eq!(
        ran.stderr,
        "[uart] 2 bytes not written: 10.0.0.1 holds the write lease (leased)\n"
    );
    gateway.finish();
}

#[test]
fn a_gateway_that_does_not_say_what_it_expects_next_is_asked() {
    let gateway = Gateway::start(|door| {
        let mut peer = door.welcome();
        peer.open(0);
        assert_eq!(peer.expect_data(0), "abc");

        peer.say(json!({"error": "leased", "message": "10.0.0.1 holds the write lease"}));
        // Bytes under way when the first were refused are refused for following them; that is told once.
        peer.say(json!({"error": "bad-offset", "message": "the data begins at 3"}));
        let close = peer.expect("close");
        peer.answer(&close, json!({"closed": "b"}));
        peer.open_in(EPOCH, 0, 1);
        peer.say(json!({"event": "written", "port": "b", "offset": 1}));
        peer.data(0, "!");
        peer.until_end();
    });
    let ran = run(
        &gateway.address,
        &["attach", "b", "--linger", "50ms"],
        b"abc",
    );
    ran.expect(1, "!");
    assert_eq!(
        ran.stderr,
        "[uart] 2 bytes not written: 10.0.0.1 holds the write lease (leased)\n"
    );
    gateway.finish();
}

#[test]
fn a_pipe_to_a_port_that_cannot_be_written_to_is_an_error() {
    let gateway = Gateway::start(|door| {
        let mut peer = door.welcome();
        let open = peer.expect("open");
        peer.answer(
            &open,
            json!({"error": "read-only", "message": "this port is read-only"}),
        );
        peer.until_end();
    });
    let ran = run(&gateway.address, &["attach", "b"], b"never sent");
    ran.expect(1, "");
    assert_eq!(ran.stderr, "uart: this port is read-only (read-only)\n");
    gateway.finish();
}

#[test]
fn a_read_only_attach_shows_and_sends_nothing() {
    let gateway = Gateway::start(|door| {
        let mut peer = door.welcome();
        assert_eq!(peer.open(0)["mode"], "read");
        peer.data(0, "shown");
    });
    let ran = run(
        &gateway.address,
        &["attach", "b", "--read-only", "--no-reconnect"],
        b"never sent",
    );
    ran.expect(3, "shown");
    gateway.finish();
}

#[test]
fn a_signal_ends_attach_with_its_number() {
    let gateway = Gateway::start(|door| {
        let mut peer = door.welcome();
        peer.open(0);
        peer.data(0, "x");
        peer.until_end();
    });
    let mut child = uart(&gateway.address, &["attach", "b", "--linger", "forever"])
        .spawn()
        .unwrap();
    // It has shown something, so it waits for signals by now.
    let mut shown = [0];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut shown).unwrap();
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    assert_eq!(finish(child).code, Some(128 + 15));
    gateway.finish();
}
