//! The commands that ask and are answered: what they print, and their exit codes, against a gateway written by hand.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod support;

use serde_json::json;
use support::{Door, EPOCH, Gateway, run, uart};

fn port(name: &str) -> serde_json::Value {
    json!({"name": name, "device": "sim:\u{1b}[2J", "state": "present", "line": "115200-8n1", "profile": "line",
           "write": "shared", "clients": 2})
}

fn details(name: &str) -> serde_json::Value {
    let mut port = port(name);
    let more = json!({"epoch": EPOCH, "history_start": 0, "history_end": 7, "history_size": 1024, "sequences": ["reset"],
                      "stalled": false, "counters": {"gaps": 1}, "outputs": {"dtr": true, "rts": false}});
    port.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    port
}

#[test]
fn ask_prints_the_replies_and_nothing_else() {
    let gateway = Gateway::start(|door| {
        let mut peer = door.welcome();
        for (command, reply) in [
            ("LED ON", "ok"),
            ("ID?", "ERR 3 what"),
            ("DUMP", "a\r\nb\n"),
        ] {
            let ask = peer.expect("ask");
            assert_eq!(
                (&ask["ask"], &ask["command"], &ask["timeout_ms"]),
                (&json!("sim0"), &json!(command), &json!(2000))
            );
            // What is not an answer to this ask is none of its business.
            peer.say(json!({"event": "line", "port": "sim0", "line": "9600-8n1"}));
            peer.say(json!({"something": "from the future"}));
            peer.answer(
                &ask,
                json!({"reply": reply, "from": 1, "to": 5, "took_us": 1804}),
            );
        }
        peer.until_end();
    });
    let ran = run(
        &gateway.address,
        &["ask", "sim0", "LED ON", "ID?", "DUMP", "--timeout", "2s"],
        b"",
    );
    ran.expect(0, "ok\nERR 3 what\na\r\nb\n");
    assert_eq!(ran.stderr, "");
    gateway.finish();
}

#[test]
fn ask_gives_bytes_as_they_are_and_json_for_programs() {
    let script = |door: Door| {
        let mut peer = door.welcome();
        let ask = peer.expect("ask");
        peer.answer(
            &ask,
            json!({"reply": {"hex": "00ff0a41"}, "from": 1, "to": 5, "took_us": 9}),
        );
        peer.until_end();
    };
    let gateway = Gateway::start(script);
    let mut child = uart(&gateway.address, &["ask", "b", "x"]);
    assert_eq!(child.output().unwrap().stdout, b"\x00\xff\nA");
    gateway.finish();
    let gateway = Gateway::start(script);
    let ran = run(&gateway.address, &["ask", "b", "x", "--json"], b"");
    let begin = "{\"port\":\"b\",\"command\":\"x\",\"reply\":{\"hex\":\"00ff0a41\"},\"from\":1,\"to\":5,\"took_us\":9,\"index\":1,\"round\":1,\"sent_at\":\"2";
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(
        ran.stdout.starts_with(begin) && ran.stdout.ends_with("Z\"}\n"),
        "{}",
        ran.stdout
    );
    gateway.finish();
}

#[test]
fn a_refusal_is_said_on_stderr_and_ends_the_asking() {
    for (code, exit, stdout) in [
        ("timeout", 4, "one\n"),
        ("absent", 1, "one\n"),
        ("from-the-future", 1, "one\n"),
    ] {
        let gateway = Gateway::start(move |door| {
            let mut peer = door.welcome();
            let ask = peer.expect("ask");
            peer.answer(
                &ask,
                json!({"reply": "one", "from": 0, "to": 3, "took_us": 1}),
            );
            let ask = peer.expect("ask");
            peer.answer(
                &ask,
                json!({"error": code, "message": "no luck", "partial": "ha\u{1b}lf"}),
            );
            assert_eq!(peer.next(), None, "the third command must not be asked");
        });
        let ran = run(&gateway.address, &["ask", "b", "1", "2", "3"], b"");
        ran.expect(exit, stdout);
        assert!(
            ran.stderr.starts_with("uart: \"2\": no luck ("),
            "{}",
            ran.stderr
        );
        assert!(
            ran.stderr.contains("what had arrived: \"ha\\x1blf\""),
            "{}",
            ran.stderr
        );
        gateway.finish();
    }
}

#[test]
fn a_gateway_that_stops_may_still_answer_what_was_asked() {
    let stopping = json!({"error": "shutdown", "message": "the gateway is stopping"});
    for answers in [true, false] {
        let stopping = stopping.clone();
        let gateway = Gateway::start(move |door| {
            let mut peer = door.welcome();
            let ask = peer.expect("ask");
            peer.say(stopping);
            if answers {
                let reply = json!({"reply": "late", "from": 0, "to": 4, "took_us": 1});
                peer.answer(&ask, reply);
                assert_eq!(peer.next(), None);
            }
        });
        let ran = run(&gateway.address, &["ask", "b", "1"], b"");
        if answers {
            ran.expect(0, "late\n");
        } else {
            ran.expect(1, "");
            assert_eq!(ran.stderr, "uart: the gateway is stopping (shutdown)\n");
        }
        gateway.finish();
    }
}

#[test]
fn ls_and_info_are_tables_for_people_and_json_for_programs() {
    let script = |door: Door| {
        let mut peer = door.welcome();
        let list = peer.expect("list");
        peer.answer(&list, json!({"ports": [port("a"), port("board1")]}));
        peer.until_end();
    };
    let gateway = Gateway::start(script);
    run(&gateway.address, &["ls"], b"").expect(
        0,
        "NAME    STATE    LINE        PROFILE  WRITE   CLIENTS  DEVICE\n\
         a       present  115200-8n1  line     shared  2        sim:\\x1b[2J\n\
         board1  present  115200-8n1  line     shared  2        sim:\\x1b[2J\n",
    );
    gateway.finish();
    let gateway = Gateway::start(script);
    let ran = run(&gateway.address, &["ls", "--json"], b"");
    let ports: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(ports, json!([port("a"), port("board1")]));
    gateway.finish();

    let script = |door: Door| {
        let mut peer = door.welcome();
        let info = peer.expect("info");
        assert_eq!(info["info"], "a");
        peer.answer(&info, json!({"port": details("a")}));
        peer.until_end();
    };
    let gateway = Gateway::start(script);
    let ran = run(&gateway.address, &["info", "a"], b"");
    for row in [
        "device     sim:\\x1b[2J",
        "outputs    dtr=on rts=off",
        "sequences  reset",
        "gaps       1",
    ] {
        assert!(
            ran.stdout.lines().any(|line| line == row),
            "{row:?} in\n{}",
            ran.stdout
        );
    }
    gateway.finish();
    let gateway = Gateway::start(script);
    let ran = run(&gateway.address, &["info", "a", "--json"], b"");
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&ran.stdout).unwrap(),
        details("a")
    );
    gateway.finish();
}

#[test]
fn what_is_done_to_a_port_is_one_request_each() {
    let gateway = Gateway::start(|door| {
        let mut peer = door.welcome();
        let set = peer.expect("set");
        assert_eq!(
            (&set["set"], &set["line"]),
            (&json!("b"), &json!("9600-8n1"))
        );
        peer.answer(&set, json!({"done": "set", "line": "9615-8n1"}));
        peer.until_end();
        let mut peer = door.welcome();
        let signals = peer.expect("signals");
        assert_eq!(
            (&signals["dtr"], &signals["rts"]),
            (&json!(true), &json!(false))
        );
        peer.answer(
            &signals,
            json!({"done": "signals", "outputs": {"dtr": true, "rts": false}}),
        );
        let hold = peer.expect("break");
        assert_eq!(hold["ms"], 250);
        peer.answer(&hold, json!({"done": "break"}));
        peer.until_end();
        let mut peer = door.welcome();
        let run = peer.expect("run");
        assert_eq!(run["sequence"], "reset");
        peer.answer(
            &run,
            json!({"error": "no-sequence", "message": "there is no sequence \"reset\""}),
        );
        peer.until_end();
        let mut peer = door.welcome();
        let purge = peer.expect("purge");
        assert_eq!(purge["queues"], "transmit");
        peer.answer(&purge, json!({"done": "purge"}));
        peer.until_end();
    });
    let address = gateway.address.clone();
    run(&address, &["set", "b", "--line", "9600"], b"").expect(0, "9615-8n1\n");
    run(
        &address,
        &["signal", "b", "dtr=on", "rts=off", "break=250ms"],
        b"",
    )
    .expect(0, "dtr=on rts=off\n");
    let ran = run(&address, &["run", "b", "reset"], b"");
    ran.expect(1, "");
    assert_eq!(
        ran.stderr,
        "uart: there is no sequence \"reset\" (no-sequence)\n"
    );
    run(&address, &["purge", "b", "tx"], b"").expect(0, "");
    gateway.finish();
}

#[test]
fn send_is_the_articles_conversation() {
    let gateway = Gateway::start(|door| {
        let mut peer = door.accept();
        assert_eq!(peer.next().unwrap(), b"Hello IoT!");
        assert_eq!(peer.next(), None, "the sending half must be shut down");
        for byte in b"37_Server notification: data received" {
            peer.raw(&[*byte]);
        }
    });
    run(&gateway.address, &["send", "Hello IoT!"], b"")
        .expect(0, "Server notification: data received\n");
    gateway.finish();
}

#[test]
fn send_takes_lines_of_stdin_and_tells_failures_from_answers() {
    let gateway = Gateway::start(|door| {
        let mut peer = door.accept();
        for (text, answer) in [
            ("one", "1"),
            ("", "error: timeout: no reply"),
            ("three", "error: 5"),
        ] {
            assert_eq!(peer.next().unwrap(), text.as_bytes());
            peer.frame(answer.as_bytes());
        }
        assert_eq!(peer.next(), None);
    });
    let ran = run(&gateway.address, &["send"], b"one\r\n\nthree");
    ran.expect(4, "1\nerror: 5\n");
    assert_eq!(ran.stderr, "uart: no reply (timeout)\n");
    gateway.finish();
}

#[test]
fn send_ends_when_answers_stay_away() {
    let gateway = Gateway::start(|door| {
        let mut peer = door.accept();
        peer.next();
        peer.frame(b"only this");
        // The connection stays open until the test knocks.
        door.accept();
    });
    let ran = run(
        &gateway.address,
        &["send", "a", "b", "--timeout", "50ms"],
        b"",
    );
    ran.expect(4, "only this\n");
    assert!(ran.stderr.contains("1 of 2 answers came"), "{}", ran.stderr);
    std::net::TcpStream::connect(&gateway.address).unwrap();
    gateway.finish();
    let gateway = Gateway::start(|door| {
        door.accept().next();
    });
    let ran = run(&gateway.address, &["send", "a"], b"");
    ran.expect(3, "");
    assert!(ran.stderr.contains("0 of 1 answers came"), "{}", ran.stderr);
    gateway.finish();
}

#[test]
fn a_missing_gateway_is_one_sentence_and_exit_code_3() {
    let closed = Gateway::start(drop);
    let address = closed.address.clone();
    closed.finish();
    for arguments in [
        &["ls"][..],
        &["send", "x"],
        &["ask", "b", "x"],
        &["watch", "b"],
        &["attach", "b"],
    ] {
        let ran = run(&address, arguments, b"");
        ran.expect(3, "");
        let sentence = format!(
            "uart: cannot reach the gateway at {address}: connection refused; is uartd running? start one with: uartd\n"
        );
        assert_eq!(ran.stderr, sentence, "{arguments:?}");
    }
    let ran = run("unix:/nonexistent/socket", &["ls"], b"");
    ran.expect(3, "");
    assert!(
        ran.stderr
            .contains("unix:/nonexistent/socket: no such file"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_gateway_that_accepts_and_says_nothing_is_not_waited_for_longer_than_told() {
    let gateway = Gateway::start(|door| door.accept().until_end());
    let ran = run(&gateway.address, &["ls", "--connect-timeout", "50ms"], b"");
    ran.expect(3, "");
    assert!(
        ran.stderr.contains("no answer to hello within 50ms"),
        "{}",
        ran.stderr
    );
    gateway.finish();
}

#[test]
fn usage_errors_have_exit_code_2_and_say_what_would_be_right() {
    for (arguments, words) in [
        (&["ask", "b"][..], "nothing to ask; write: uart ask b"),
        (&["ask", "b/c", "x"], "is not a port name"),
        (&["set", "b", "--line", "fast"], "is not a line setting"),
        (&["signal", "b", "cts=on"], "only dtr, rts and break"),
        (&["--gateway", "a:b", "ls"], "number from 1 to 65535"),
        (&["watch", "b", "--from", "now"], "write live, start"),
        (&["watch", "a", "b", "--raw"], "--raw shows one port"),
        (&["watch", "a", "--raw", "--json"], "cannot be used with"),
        (&["attach", "b", "--escape", "ctrl-1"], "no control key"),
        (&["attach", "b", "--linger", "long"], "write e.g. 500ms"),
        (&["ask", "b", "x", "--timeout", "5"], "write e.g. 500ms"),
        (&["ask", "b", "x", "--timeout", "0s"], "at least 1ms"),
        (&["fly"], "unrecognized subcommand"),
    ] {
        let ran = run("127.0.0.1:1", arguments, b"");
        assert_eq!(ran.code, Some(2), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(words), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let gateway = Gateway::start(|door| {
        let mut peer = door.welcome();
        peer.open(0);
        peer.data(0, "line\n");
        // The client ends at its next write; until then there is always more.
        let mut offset = 5;
        while std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| peer.data(offset, "line\n")))
            .is_ok()
        {
            offset += 5;
        }
    });
    let mut child = uart(&gateway.address, &["watch", "b"]).spawn().unwrap();
    drop(child.stdout.take());
    let ran = support::finish(child);
    ran.expect(0, "");
    assert_eq!(ran.stderr, "");
    gateway.finish();
}
