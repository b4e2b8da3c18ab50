//! Asks against a scripted board: replies that come late, early, twice, in pieces, garbled, endlessly or not at all.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

mod support;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use support::*;
use uartnet_hub::*;

const TIMEOUT: Duration = Duration::from_millis(500);

fn line() -> Profile {
    Profile {
        timeout: TIMEOUT,
        ..Profile::new(ReplyEnd::Line { count: 1 })
    }
}

fn prompt() -> Profile {
    Profile {
        timeout: TIMEOUT,
        ..Profile::new(ReplyEnd::Prompt("=> ".into()))
    }
}

fn quiet() -> Profile {
    Profile {
        timeout: TIMEOUT,
        ..Profile::new(ReplyEnd::Quiet(30 * MS))
    }
}

fn none() -> Profile {
    Profile {
        timeout: TIMEOUT,
        ..Profile::new(ReplyEnd::None)
    }
}

fn with(profile: Profile) -> Bench {
    Bench::new(HubConfig {
        profile: Some(profile),
        ..config()
    })
}

impl Bench {
    fn ask(&mut self, client: ClientId, command: &str) -> AskId {
        let command = Bytes::copy_from_slice(command.as_bytes());
        self.hub.ask(
            self.now,
            client,
            Ask {
                command,
                profile: None,
                timeout: None,
                wait: None,
            },
        )
    }

    /// The ends this client is told now.
    fn ends(&mut self, client: ClientId) -> Vec<(AskId, AskOutcome)> {
        let notices = self.notices(client).into_iter();
        notices
            .filter_map(|notice| match notice {
                Notice::AskDone { ask, outcome } => Some((ask, outcome)),
                _ => None,
            })
            .collect()
    }

    /// The one end this client is told now, as text.
    fn end(&mut self, client: ClientId) -> String {
        let ends = self.ends(client);
        assert_eq!(ends.len(), 1, "{ends:?}");
        text(&ends[0].1)
    }
}

/// An outcome in short.
fn text(outcome: &AskOutcome) -> String {
    let utf8 = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    match outcome {
        AskOutcome::Reply { reply, .. } => utf8(reply),
        AskOutcome::BoardError(board) => format!("<board error: {}>", utf8(&board.words)),
        AskOutcome::TimedOut { partial, .. } => format!("<timed out: {}>", utf8(partial)),
        AskOutcome::DeviceLost { partial, reason } => {
            format!("<lost: {}: {reason}>", utf8(partial))
        }
        AskOutcome::Refused(refusal) => format!("<refused: {refusal}>"),
        AskOutcome::TooBig { limit } => format!("<too big: {limit}>"),
        AskOutcome::Cancelled => "<cancelled>".into(),
    }
}

// --- turns

#[test]
fn clients_take_turns_and_each_is_served_in_its_own_order() {
    let mut bench = with(line());
    let a = bench.attach(client("a"));
    let b = bench.attach(client("b"));
    for (id, command) in [(a, "a1"), (a, "a2"), (a, "a3"), (b, "b1"), (b, "b2")] {
        bench.ask(id, command);
    }
    let mut order = Vec::new();
    for _ in 0..5 {
        let command = String::from_utf8(bench.transmit()).unwrap();
        order.push(command.trim_end().to_owned());
        bench.data("OK\n");
    }
    assert_eq!(order, ["a1", "b1", "a2", "b2", "a3"]);
    assert_eq!((bench.ends(a).len(), bench.ends(b).len()), (3, 2));
    assert_eq!(bench.hub.info().counters.asks_replied, 5);
}

#[test]
fn an_ask_takes_its_turn_among_writes_and_holds_later_ones() {
    let mut bench = with(line());
    let a = bench.attach(client("a"));
    let b = bench.attach(client("b"));
    bench.write(b, "before ").unwrap();
    bench.ask(a, "ask");
    bench.write(b, "after").unwrap();
    assert_eq!(bench.transmit(), b"before ask\r");
    bench.data("ask\r\n");
    assert_eq!(bench.transmit(), b"");
    bench.data("yes\r\n");
    assert_eq!(bench.transmit(), b"after");
    assert_eq!(bench.end(a), "yes");
}

#[test]
fn a_write_the_uart_has_begun_to_take_is_finished_before_an_ask() {
    let mut bench = with(line());
    let a = bench.attach(client("a"));
    bench.write(a, "0123456789").unwrap();
    bench.hub.poll_transmit(bench.now);
    bench.hub.handle_transmitted(bench.now, 4);
    bench.ask(a, "ask");
    assert_eq!(bench.transmit(), b"456789ask\r");
}

#[test]
fn an_older_ask_does_not_come_between_the_parts_of_a_write() {
    let mut bench = with(line());
    let a = bench.attach(client("a"));
    let b = bench.attach(client("b"));
    bench.ask(a, "a1");
    bench.ask(a, "a2");
    bench.write(b, "write").unwrap();
    let next = bench.ask(b, "b1");
    assert_eq!(bench.transmit(), b"a1\r");
    bench.data("OK\n");
    assert!(
        bench
            .hub
            .poll_transmit(bench.now)
            .is_some_and(|bytes| bytes == b"write")
    );
    bench.hub.handle_transmitted(bench.now, 2);
    bench.hub.cancel(bench.now, b, next);
    assert_eq!(bench.transmit(), b"itea2\r");
}

#[test]
fn what_arrived_before_the_command_was_taken_is_not_its_reply() {
    let mut bench = with(line());
    let a = bench.attach(client("a"));
    bench.data("noise\n");
    bench.ask(a, "ask");
    bench.data("more noise\n");
    assert!(bench.hub.poll_transmit(bench.now).is_some());
    bench.data("offered, but the UART is busy\n");
    assert_eq!(bench.transmit(), b"ask\r");
    bench.pass(7 * MS);
    bench.data("reply\nextra");
    let ends = bench.ends(a);
    let AskOutcome::Reply {
        reply,
        from,
        to,
        took,
        ..
    } = &ends[0].1
    else {
        panic!("{ends:?}")
    };
    assert_eq!(
        (&reply[..], *from, *to, *took),
        (&b"reply"[..], Offset(47), Offset(53), 7 * MS)
    );
}

#[test]
fn no_command_begins_while_a_laggard_keeps_the_uart_unread() {
    let mut bench = Bench::new(HubConfig {
        history: 1000,
        profile: Some(line()),
        ..config()
    });
    let slow = bench.attach(reader("slow", ReadFrom::Live));
    let a = bench.attach(client("a"));
    bench.data(vec![b'.'; 900]);
    assert!(bench.hub.reading_paused());
    bench.ask(a, "ask");
    assert_eq!(bench.transmit(), b"", "\"old\" lies unread in the UART");

    // The laggard has read; what lay there is read before the command is written, and is not its reply.
    bench.notices(slow);
    assert!(!bench.hub.reading_paused());
    bench.data("old\r\n");
    assert_eq!(bench.transmit(), b"ask\r");
    bench.data("new\r\n");
    assert_eq!(bench.end(a), "new");
}

#[test]
fn a_laggard_that_stopped_holds_a_command_up_for_the_grace_only() {
    let mut bench = Bench::new(HubConfig {
        history: 1000,
        profile: Some(line()),
        ..config()
    });
    bench.attach(reader("stopped", ReadFrom::Live));
    let a = bench.attach(client("a"));
    bench.data(vec![b'.'; 900]);
    bench.ask(a, "ask");
    assert_eq!(bench.transmit(), b"");
    bench.pass(50 * MS);
    assert_eq!(bench.transmit(), b"ask\r");
}

#[test]
fn a_reply_cannot_end_before_its_command_is_written() {
    let mut bench = with(line());
    let a = bench.attach(client("a"));
    bench.ask(a, "ask");
    bench.hub.poll_transmit(bench.now);
    bench.hub.handle_transmitted(bench.now, 2);
    bench.data("as");
    assert_eq!(bench.transmit(), b"k\r");
    bench.data("k\r\nreply\r\n");
    assert_eq!(bench.end(a), "reply");
}

#[test]
fn replies_come_whole_from_every_split() {
    for (profile, arrives) in [
        (line(), "ID?\r\nboard 7\r\n"),
        (prompt(), "ID?\r\nboard 7\r\n=> "),
        (quiet(), "ID?\r\nboard 7\r\n"),
    ] {
        for i in 0..=arrives.len() {
            let mut bench = with(profile.clone());
            let a = bench.attach(client("a"));
            bench.ask(a, "ID?");
            bench.transmit();
            bench.data(&arrives[..i]);
            bench.pass(MS);
            bench.data(&arrives[i..]);
            bench.pass(30 * MS);
            assert_eq!(bench.end(a), "board 7", "split at {i}");
            let counters = bench.hub.info().counters;
            assert_eq!((counters.asks_replied, counters.asks_failed), (1, 0));
        }
    }
}

#[test]
fn each_ask_may_bring_its_own_profile_and_timeout() {
    let mut bench = with(line());
    let a = bench.attach(client("a"));
    let ask = Ask {
        command: "x".into(),
        profile: Some(prompt()),
        timeout: Some(10 * MS),
        wait: None,
    };
    bench.hub.ask(bench.now, a, ask);
    bench.transmit();
    bench.data("one\r\ntwo\r\n");
    bench.pass(10 * MS);
    assert_eq!(bench.end(a), "<timed out: one\r\ntwo\r\n>");
}

#[test]
fn under_none_the_command_is_written_as_it_is() {
    let mut bench = with(none());
    let a = bench.attach(client("a"));
    bench.ask(a, "two\r\nlines");
    bench.ask(a, "");
    bench.write(a, "!").unwrap();
    assert_eq!(bench.ends(a), []);
    assert_eq!(bench.transmit(), b"two\r\nlines!");
    let ends: Vec<String> = bench
        .ends(a)
        .iter()
        .map(|(_, outcome)| text(outcome))
        .collect();
    assert_eq!(ends, ["", ""]);
}

// --- refusals

#[test]
fn refusals_come_as_ends() {
    let mut bench = Bench::new(HubConfig {
        ask_queue: 1,
        ..config()
    });
    let a = bench.attach(client("a"));
    bench.ask(a, "x");
    assert_eq!(
        bench.end(a),
        "<refused: this port has no interpreter profile>"
    );
    for (profile, command, end) in [
        (
            Some(line()),
            "a\rb",
            "<refused: the command contains an end of line>",
        ),
        (
            Some(prompt()),
            "a\n",
            "<refused: the command contains an end of line>",
        ),
        (
            Some(quiet()),
            "\n",
            "<refused: the command contains an end of line>",
        ),
        (
            Some(Profile::new(ReplyEnd::Prompt(Bytes::new()))),
            "x",
            "<refused: this port has no interpreter profile>",
        ),
    ] {
        bench.hub.ask(
            bench.now,
            a,
            Ask {
                command: command.into(),
                profile,
                timeout: None,
                wait: None,
            },
        );
        assert_eq!(bench.end(a), end);
    }
    let hours = Duration::from_secs(7200);
    let ask = Ask {
        command: "x".into(),
        profile: Some(line()),
        timeout: Some(hours),
        wait: None,
    };
    bench.hub.ask(bench.now, a, ask);
    assert_eq!(
        bench.end(a),
        "<refused: a timeout of 7200s is too long, 3600s is the longest>"
    );
    for _ in 0..2 {
        bench.hub.ask(
            bench.now,
            a,
            Ask {
                command: "x".into(),
                profile: Some(line()),
                timeout: None,
                wait: None,
            },
        );
    }
    assert_eq!(
        bench.end(a),
        "<refused: busy: 1 of 1 asks are queued; try again in a moment>"
    );
    bench.hub.handle_lost(bench.now, "unplugged");
    assert_eq!(bench.end(a), "<refused: the device is absent: unplugged>");
    bench.hub.ask(
        bench.now,
        a,
        Ask {
            command: "x".into(),
            profile: Some(line()),
            timeout: None,
            wait: None,
        },
    );
    assert_eq!(bench.end(a), "<refused: the device is absent: unplugged>");
    assert_eq!(bench.hub.info().counters.asks_failed, 9);
}

#[test]
fn commands_that_wait_are_bounded_in_bytes() {
    let mut bench = Bench::new(HubConfig {
        profile: Some(line()),
        write_queue: 100,
        ..config()
    });
    let a = bench.attach(client("a"));
    bench.ask(a, &"x".repeat(1000));
    bench.ask(a, "y");
    assert_eq!(
        bench.end(a),
        "<refused: busy: 1000 of 100 bytes are queued; try again in a moment>"
    );
    assert_eq!(bench.transmit().len(), 1001);
}

#[test]
fn who_does_not_read_replies_gets_no_more() {
    let mut bench = with(line());
    let a = bench.attach(client("a"));
    let b = bench.attach(client("b"));
    for _ in 0..3 {
        bench.ask(a, "big");
        bench.transmit();
        bench.data([&[b'x'; 600_000][..], b"\n"].concat());
    }
    let queued = bench.ask(a, "no");
    bench.ask(b, "yes");
    assert_eq!(bench.transmit(), b"yes\r", "others are served");
    let ends = bench.ends(a);
    let (ask, AskOutcome::Refused(Refusal::Busy { what, .. })) = &ends[2] else {
        panic!("{}", ends.len())
    };
    assert_eq!((ends.len(), *what), (4, "bytes of unread replies"));
    assert!(*ask < queued && ends[3].0 == queued);
}

// --- ends without a reply

#[test]
fn a_silent_board_times_each_ask_out_once() {
    for profile in [line(), prompt(), quiet()] {
        let mut bench = with(profile.clone());
        let a = bench.attach(client("a"));
        for _ in 0..3 {
            bench.ask(a, "hello");
        }
        bench.transmit();
        bench.pass(TIMEOUT - MS);
        assert_eq!(bench.ends(a), []);
        bench.pass(MS);
        assert_eq!(bench.end(a), "<timed out: >");
        for _ in 0..2 {
            let nudge = bench.transmit();
            assert_eq!(nudge, if profile == prompt() { &b"\r"[..] } else { b"" });
            bench.pass(TIMEOUT);
            assert_eq!(bench.ends(a), [], "the port resynchronises");
            assert_eq!(bench.transmit(), b"hello\r");
            bench.pass(TIMEOUT);
            assert_eq!(bench.end(a), "<timed out: >");
        }
        bench.pass(TIMEOUT);
        assert_eq!(
            (bench.hub.poll_timeout(), bench.hub.info().asks_queued),
            (None, 0)
        );
    }
}

#[test]
fn an_echo_is_not_a_reply() {
    for profile in [line(), prompt(), quiet()] {
        let mut bench = with(profile);
        let a = bench.attach(client("a"));
        bench.ask(a, "hello");
        bench.transmit();
        bench.data("hello\r\n");
        bench.pass(TIMEOUT);
        assert_eq!(bench.end(a), "<timed out: >");
    }
}

#[test]
fn a_garbled_reply_is_a_timeout_with_what_came() {
    let mut bench = with(prompt());
    let a = bench.attach(client("a"));
    bench.ask(a, "hello");
    bench.transmit();
    bench.data(b"hello\r\n\xff\x00 wor\r\n=\x00> ");
    bench.pass(TIMEOUT);
    let ends = bench.ends(a);
    let AskOutcome::TimedOut { partial, after } = &ends[0].1 else {
        panic!("{ends:?}")
    };
    assert_eq!(
        (&partial[..], *after),
        (&b"\xff\x00 wor\r\n=\x00> "[..], TIMEOUT)
    );
}

#[test]
fn an_endless_reply_is_too_big_and_the_port_recovers() {
    for profile in [line(), prompt(), quiet()] {
        let mut bench = with(Profile {
            max_reply: 1000,
            ..profile
        });
        let a = bench.attach(client("a"));
        bench.ask(a, "yes");
        bench.ask(a, "next");
        bench.transmit();
        let mut written = Vec::new();
        for _ in 0..600 {
            bench.data("yyyyyyyyyy");
            bench.pass(MS);
            written.extend(bench.transmit());
        }
        assert_eq!(bench.end(a), "<too big: 1000>");
        assert!(
            written.ends_with(b"next\r"),
            "the wait for its end is bounded"
        );
    }
}

#[test]
fn a_reply_of_exactly_the_limit_is_one() {
    for (len, end) in [(1000, "x".repeat(1000)), (1001, "<too big: 1000>".into())] {
        for (profile, tail) in [(line(), "\r\n"), (prompt(), "\r\n=> ")] {
            let mut bench = with(Profile {
                max_reply: 1000,
                ..profile
            });
            let a = bench.attach(client("a"));
            bench.ask(a, "big");
            bench.transmit();
            for _ in 0..len {
                bench.data("x");
            }
            for byte in tail.bytes() {
                bench.data([byte]);
            }
            assert_eq!(bench.end(a), end);
        }
    }
}

#[test]
fn a_lost_device_ends_the_running_ask_with_what_came_and_refuses_the_rest() {
    let mut bench = with(line());
    let a = bench.attach(client("a"));
    bench.ask(a, "one");
    bench.ask(a, "two");
    bench.transmit();
    bench.data("one\r\nhal");
    bench.hub.handle_lost(bench.now, "unplugged");
    let ends: Vec<String> = bench
        .ends(a)
        .iter()
        .map(|(_, outcome)| text(outcome))
        .collect();
    assert_eq!(
        ends,
        [
            "<lost: hal: unplugged>",
            "<refused: the device is absent: unplugged>"
        ]
    );
    bench.hub.handle_opened(bench.now, present(), true);
    bench.ask(a, "three");
    assert_eq!(bench.transmit(), b"three\r", "there is nothing to wait for");
}

#[test]
fn only_the_asker_can_cancel() {
    let mut bench = with(line());
    let a = bench.attach(client("a"));
    let b = bench.attach(client("b"));
    let running = bench.ask(a, "one");
    let waiting = bench.ask(a, "two");
    bench.transmit();
    bench.hub.cancel(bench.now, b, running);
    bench.hub.cancel(bench.now, b, waiting);
    assert_eq!(bench.ends(a), []);
    for id in [waiting, running] {
        bench.hub.cancel(bench.now, a, id);
        bench.hub.cancel(bench.now, a, id);
        assert_eq!(bench.ends(a), [(id, AskOutcome::Cancelled)]);
    }
    bench.ask(b, "three");
    assert_eq!(
        bench.transmit(),
        b"",
        "the reply to the first is still owed"
    );
    bench.data("one\r\nlate\r\n");
    bench.pass(50 * MS);
    assert_eq!(bench.transmit(), b"three\r");
}

#[test]
fn leaving_cancels() {
    let mut bench = with(line());
    let a = bench.attach(client("a"));
    let b = bench.attach(client("b"));
    bench.ask(a, "one");
    bench.ask(a, "two");
    bench.ask(b, "three");
    bench.transmit();
    bench.hub.detach(bench.now, a);
    assert_eq!(bench.hub.info().asks_queued, 1);
    bench.data("late\r\n");
    bench.pass(50 * MS);
    assert_eq!(bench.transmit(), b"three\r");
    bench.data("mine\r\n");
    assert_eq!(bench.end(b), "mine");
}

#[test]
fn a_command_not_begun_is_not_written_after_its_end() {
    let mut bench = with(line());
    let a = bench.attach(client("a"));
    let b = bench.attach(client("b"));
    let first = bench.ask(a, "never");
    assert!(
        bench.hub.poll_transmit(bench.now).is_some(),
        "offered, not taken"
    );
    bench.ask(b, "next");
    bench.hub.cancel(bench.now, a, first);
    assert_eq!(bench.transmit(), b"next\r");
}

#[test]
fn a_command_begun_is_written_to_its_end_before_anything_else() {
    for profile in [line(), prompt(), quiet(), none()] {
        let mut bench = with(profile.clone());
        let a = bench.attach(client("a"));
        let first = bench.ask(a, "begun");
        bench.hub.poll_transmit(bench.now);
        bench.hub.handle_transmitted(bench.now, 2);
        bench.hub.cancel(bench.now, a, first);
        assert_eq!(bench.end(a), "<cancelled>");
        bench.ask(a, "next");
        bench.pass(10 * TIMEOUT);
        assert_eq!(
            bench.end(a),
            "<timed out: >",
            "the UART takes nothing, so its turn cannot come"
        );
        bench.ask(a, "other");
        let eol = if profile == none() { "" } else { "\r" };
        let nudge = if profile == prompt() { "\r" } else { "" };
        let mut written = bench.transmit();
        bench.pass(TIMEOUT);
        written.extend(bench.transmit());
        assert_eq!(
            String::from_utf8(written).unwrap(),
            format!("gun{eol}{nudge}other{eol}")
        );
    }
}

#[test]
fn an_ask_behind_a_uart_that_takes_nothing_times_out() {
    let mut bench = with(line());
    let a = bench.attach(client("a"));
    bench.write(a, "stuck").unwrap();
    bench.ask(a, "one");
    bench.ask(a, "two");
    bench.pass(TIMEOUT);
    assert_eq!(bench.end(a), "<timed out: >");
    bench.hub.poll_transmit(bench.now);
    bench.hub.handle_transmitted(bench.now, 1);
    bench.pass(TIMEOUT - MS);
    assert_eq!(bench.ends(a), []);
    bench.ask(a, "three");
    bench.pass(MS);
    assert_eq!(
        bench.end(a),
        "<timed out: >",
        "the UART took one byte, and then none for as long as the timeout"
    );
    assert_eq!(bench.transmit(), b"tuckthree\r");
    bench.data("yes\r\n");
    assert_eq!(bench.end(a), "yes");
}

#[test]
fn a_sequence_does_not_time_a_waiting_ask_out() {
    let steps = ["2s"].iter().map(|step| step.parse().unwrap()).collect();
    let sequences = vec![Sequence {
        name: "wait".into(),
        steps,
    }];
    let mut bench = Bench::new(HubConfig {
        profile: Some(line()),
        sequences,
        ..config()
    });
    let a = bench.attach(client("a"));
    bench.hub.control(bench.now, a, Control::Run("wait".into()));
    assert_eq!(bench.hub.poll_action(bench.now), None);
    bench.ask(a, "ask");
    bench.pass(Duration::from_secs(2) + MS);
    assert_eq!(bench.transmit(), b"ask\r");
}

// --- late replies

/// A board that takes its time: `wait 300` is answered after 300 ms with `done wait 300`. It reads one line at a time.
struct Slow {
    echoes: bool,
    prompt: &'static str,
    /// What it does with what is typed while it works: keeps it, or drops it.
    keeps_input: bool,
    typed: Vec<u8>,
    busy: Option<Instant>,
    input: VecDeque<u8>,
}

impl Slow {
    fn new(prompt: &'static str) -> Slow {
        Slow {
            echoes: true,
            prompt,
            keeps_input: true,
            typed: Vec::new(),
            busy: None,
            input: VecDeque::new(),
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        if self.keeps_input || self.busy.is_none() {
            self.input.extend(bytes);
        }
    }

    /// What it says now.
    fn say(&mut self, now: Instant) -> Vec<u8> {
        let mut said = Vec::new();
        loop {
            if let Some(at) = self.busy {
                if now < at {
                    return said;
                }
                self.busy = None;
                let command = String::from_utf8(std::mem::take(&mut self.typed)).unwrap();
                said.extend(format!("done {command}\r\n{}", self.prompt).bytes());
            }
            match self.input.pop_front() {
                None => return said,
                Some(b'\r') => {
                    if self.echoes {
                        said.extend(b"\r\n");
                    }
                    let command = String::from_utf8_lossy(&self.typed);
                    let wait = command
                        .rsplit(' ')
                        .next()
                        .and_then(|ms| ms.parse().ok())
                        .unwrap_or(0);
                    if self.typed.is_empty() {
                        said.extend(self.prompt.bytes());
                    } else {
                        self.busy = Some(now + MS * wait);
                    }
                }
                Some(byte) => {
                    self.typed.push(byte);
                    if self.echoes {
                        said.push(byte);
                    }
                }
            }
        }
    }
}

/// Asks all commands at once and says how each ended, once all have.
fn converse(profile: &Profile, board: &mut Slow, commands: &[&str]) -> Vec<String> {
    let mut bench = with(profile.clone());
    let a = bench.attach(client("a"));
    let asked: Vec<AskId> = commands
        .iter()
        .map(|command| bench.ask(a, command))
        .collect();
    let ends = told(&mut bench, a, board, commands.len());
    assert_eq!(
        ends.iter().map(|(ask, _)| *ask).collect::<Vec<_>>(),
        asked,
        "each once, in order"
    );
    ends.iter().map(|(_, outcome)| text(outcome)).collect()
}

/// Lets the board and the bench talk until so many asks of this client have ended.
fn told(
    bench: &mut Bench,
    client: ClientId,
    board: &mut Slow,
    count: usize,
) -> Vec<(AskId, AskOutcome)> {
    let mut ends = Vec::new();
    for _ in 0..20_000 {
        let written = bench.transmit();
        board.take(&written);
        let said = board.say(bench.now);
        if !said.is_empty() {
            bench.data(said);
        }
        ends.extend(bench.ends(client));
        if ends.len() == count {
            break;
        }
        bench.pass(MS);
    }
    ends
}

#[test]
fn a_late_reply_is_never_given_to_the_next_ask() {
    for profile in [line(), prompt(), quiet()] {
        let with_prompt = profile == prompt();
        for echoes in [true, false] {
            for keeps_input in [true, false] {
                for wait in [460, 501, 520, 700, 949, 950, 970, 995] {
                    let mut board = Slow {
                        echoes,
                        keeps_input,
                        ..Slow::new(if with_prompt { "=> " } else { "" })
                    };
                    let slow = format!("slow {wait}");
                    let ends = converse(&profile, &mut board, &[&slow, "quick", &slow, "fast"]);
                    let context = format!(
                        "{:?} wait {wait} echoes {echoes} keeps {keeps_input}: {ends:?}",
                        profile.end
                    );
                    assert_eq!(
                        ends[1..4].iter().step_by(2).collect::<Vec<_>>(),
                        ["done quick", "done fast"],
                        "{context}"
                    );
                    let on_time = wait < 500;
                    for end in [&ends[0], &ends[2]] {
                        let expected = if on_time {
                            format!("done {slow}")
                        } else {
                            "<timed out: >".into()
                        };
                        assert_eq!(*end, expected, "{context}");
                    }
                }
            }
        }
    }
}

/// Asks the board with the profile, the first command with a shorter timeout.
fn converse_impatiently(board: &mut Slow, profile: &Profile, commands: &[&str]) -> Vec<String> {
    let mut bench = with(profile.clone());
    let a = bench.attach(client("a"));
    for (i, command) in commands.iter().enumerate() {
        let ask = Ask {
            command: Bytes::copy_from_slice(command.as_bytes()),
            profile: None,
            timeout: (i == 0).then_some(TIMEOUT / 5),
            wait: None,
        };
        bench.hub.ask(bench.now, a, ask);
    }
    let ends = told(&mut bench, a, board, commands.len());
    ends.iter().map(|(_, outcome)| text(outcome)).collect()
}

#[test]
fn an_impatient_ask_is_resynchronised_for_as_long_as_the_profile_says() {
    for profile in [line(), prompt(), quiet()] {
        let with_prompt = profile == prompt();
        for echoes in [true, false] {
            for wait in [150, 250, 550] {
                let mut board = Slow {
                    echoes,
                    ..Slow::new(if with_prompt { "=> " } else { "" })
                };
                let slow = format!("slow {wait}");
                let ends = converse_impatiently(&mut board, &profile, &[&slow, "quick"]);
                assert_eq!(
                    ends,
                    ["<timed out: >", "done quick"],
                    "{:?} wait {wait} echoes {echoes}",
                    profile.end
                );
            }
        }
    }
}

#[test]
fn however_late_a_reply_is_a_board_that_echoes_tells_it_from_the_next() {
    for (profile, text) in [
        (line(), ""),
        (line(), "=> "),
        (prompt(), "=> "),
        (quiet(), ""),
        (quiet(), "=> "),
    ] {
        for wait in [1010, 1200, 1450] {
            let mut board = Slow::new(text);
            let slow = format!("slow {wait}");
            let commands = [&slow, "quick", "quicker"];
            let ends = converse(&profile, &mut board, &commands);
            let ends: Vec<&str> = ends
                .iter()
                .map(|end| end.trim_end_matches("\r\n=> "))
                .collect();
            assert_eq!(
                ends,
                ["<timed out: >", "done quick", "done quicker"],
                "{:?} with {text:?} wait {wait}",
                profile.end
            );
        }
    }
}

#[test]
fn a_board_that_stops_echoing_costs_one_ask() {
    let mut bench = with(line());
    let a = bench.attach(client("a"));
    for (command, said, end) in [
        ("one", "one\r\nyes\r\n", "yes"),
        ("slow", "slow\r\n", "<timed out: >"),
        ("echo off", "off\r\n", "<timed out: off\r\n>"),
        ("two", "yes\r\n", "yes"),
        ("three", "three\r\nyes\r\n", "yes"),
    ] {
        bench.ask(a, command);
        assert_eq!(bench.transmit(), format!("{command}\r").as_bytes());
        bench.data(said);
        bench.pass(TIMEOUT);
        assert_eq!(bench.end(a), end, "{command}");
        bench.pass(TIMEOUT);
    }
}

#[test]
fn what_a_board_that_echoes_says_in_front_of_an_echo_is_not_the_reply() {
    for profile in [prompt(), quiet()] {
        let mut bench = with(profile.clone());
        let a = bench.attach(client("a"));
        for (said, reply) in [
            (["tick", "\r\nls\r\na\r\n=> "], "tick\r\nls\r\na"),
            (["ls\r\na", "\r\n=> "], "a"),
            (["tick\r\nls", "\r\na\r\nls\r\n=> "], "a\r\nls"),
            (["ls -l\r\nl", "s\r\na\r\n=> "], "a"),
            (["too\r\nls", " -l\r\n=> "], "too\r\nls -l"),
            (["also\r\nls\r\n", "a\r\n=> "], "also\r\nls\r\na"),
        ] {
            bench.ask(a, "ls");
            assert_eq!(bench.transmit(), b"ls\r");
            for part in said {
                bench.data(part);
            }
            bench.pass(100 * MS);
            let end = bench.end(a);
            let end = end.trim_end_matches("\r\n=> ");
            assert_eq!(end, reply, "{:?} {said:?}", profile.end);
        }
    }
}

#[test]
fn a_board_in_time_costs_no_resynchronisation() {
    let mut board = Slow::new("=> ");
    let commands: Vec<String> = (0..50).map(|i| format!("wait {i}")).collect();
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    let expected: Vec<String> = commands
        .iter()
        .map(|command| format!("done {command}"))
        .collect();
    assert_eq!(converse(&prompt(), &mut board, &commands), expected);
}

#[test]
fn once_the_owed_prompts_have_come_the_next_ask_does_not_wait_longer() {
    let mut bench = with(prompt());
    let a = bench.attach(client("a"));
    bench.ask(a, "slow");
    bench.ask(a, "next");
    bench.transmit();
    bench.pass(TIMEOUT);
    assert_eq!(bench.transmit(), b"\r");
    bench.pass(10 * MS);
    bench.data("late reply\r\n=> ");
    bench.pass(60 * MS);
    assert_eq!(bench.transmit(), b"", "one prompt is still owed");
    bench.data("\r\n=> ");
    bench.pass(49 * MS);
    assert_eq!(bench.transmit(), b"", "not quiet for long enough");
    bench.pass(MS);
    assert_eq!(bench.transmit(), b"next\r");
}

#[test]
fn once_the_owed_line_has_come_there_must_be_quiet() {
    let mut bench = with(line());
    let a = bench.attach(client("a"));
    bench.ask(a, "slow");
    bench.ask(a, "next");
    bench.transmit();
    bench.pass(TIMEOUT);
    for late in ["late reply\r\n", "and more of it\r\n"] {
        bench.data(late);
        bench.pass(49 * MS);
        assert_eq!(bench.transmit(), b"");
    }
    bench.pass(MS);
    assert_eq!(bench.transmit(), b"next\r");
}

#[test]
fn a_prompt_that_was_there_but_not_at_the_end_is_not_owed_again() {
    let mut bench = with(prompt());
    let a = bench.attach(client("a"));
    bench.ask(a, "slow");
    bench.ask(a, "next");
    bench.transmit();
    bench.data("slow\r\nreply\r\n=> [log] a line the board says by itself\r\n");
    bench.pass(TIMEOUT);
    assert_eq!(bench.transmit(), b"\r");
    bench.data("\r\n=> ");
    bench.pass(50 * MS);
    assert_eq!(bench.transmit(), b"next\r");
}

#[test]
fn a_reply_said_twice_ends_one_ask_once() {
    for (profile, reply) in [
        (line(), "yes\r\n"),
        (prompt(), "yes\r\n=> "),
        (quiet(), "yes\r\n"),
    ] {
        let mut bench = with(profile);
        let a = bench.attach(client("a"));
        bench.ask(a, "one");
        bench.transmit();
        bench.data(reply);
        bench.data(reply);
        bench.pass(30 * MS);
        assert_eq!(bench.ends(a).len(), 1);
        bench.ask(a, "two");
        assert_eq!(
            bench.transmit(),
            b"two\r",
            "what was said before is not its reply"
        );
        bench.data("two\r\nsecond\r\n=> ");
        bench.pass(30 * MS);
        assert!(bench.end(a).starts_with("second"));
    }
}

#[test]
fn a_prompt_inside_the_data_is_data() {
    let mut bench = with(prompt());
    let a = bench.attach(client("a"));
    bench.ask(a, "help");
    bench.transmit();
    bench.data("help\r\ntype => to go on\r\n=> is the prompt\r\na =");
    bench.data("> b\r\n=> ");
    assert_eq!(
        bench.end(a),
        "type => to go on\r\n=> is the prompt\r\na => b"
    );
}
