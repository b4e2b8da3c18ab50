//! One battery over every simulated board, on an invented clock; then what is particular to one of them.
#![allow(clippy::unwrap_used)] // the helpers of tests may fail them

use std::time::{Duration, Instant};

use proptest::prelude::*;
use uart_iface::backend::sim::{BOARDS, Board, BoardKind, Doing, OptionHelp, Options, Presence};
use uart_iface::backend::{BACKENDS, parse_device};
use uart_iface::{OutputSignals, SpecError};

const MS: Duration = Duration::from_millis(1);

// --- every board

#[test]
fn what_a_board_says_of_itself_is_true() {
    assert_eq!(BOARDS.len(), 8);
    let backend = BACKENDS.iter().find(|backend| backend.scheme() == "sim");
    for kind in BOARDS {
        let name = kind.name();
        assert!(backend.unwrap().summary().contains(name), "{name}");
        assert!(!kind.summary().is_empty() && !kind.summary().contains('\n'));
        let mut options = options(name, "");
        kind.build(&mut options).unwrap();
        let own: Vec<&str> = kind.options().iter().map(|option| option.name).collect();
        let known: Vec<&str> = options.known().collect();
        assert!(own.iter().all(|name| known.contains(name)), "{name}");
        // Boards that wrap the interpreter take its options too, and say so.
        if !kind.summary().contains("options too") {
            assert_eq!(known.len(), own.len(), "{name} knows {known:?}");
        }
        for option in kind.options() {
            assert!(accepts_default(*kind, option), "{name} {option:?}");
        }
    }
}

fn accepts_default(kind: &dyn BoardKind, option: &OptionHelp) -> bool {
    let query = format!("{}={}", option.name, option.default);
    kind.build(&mut options(kind.name(), &query)).is_ok()
}

#[test]
fn a_board_that_nobody_reads_is_held_up_in_bounded_memory() {
    for kind in BOARDS {
        if kind.name() == "flood" {
            continue; // It makes its bytes when they are asked for, without end.
        }
        let mut now = Instant::now();
        let mut board = kind.build(&mut options(kind.name(), "")).unwrap();
        for _ in 0..200 {
            board.handle_input(now, &b"HELP\rSTREAM 10\rSLEEP 7\r\x08\x03x".repeat(100));
            now += 35 * MS;
        }
        board.poll_output(now, 0, &mut Vec::new());
        let mut out = Vec::new();
        board.poll_output(now, usize::MAX, &mut out);
        assert!(out.len() < 100_000, "{}: {}", kind.name(), out.len());
    }
}

#[test]
fn the_next_moment_is_always_ahead() {
    for (name, query) in [
        ("interpreter", ""),
        ("noisy", "every=5ms&rate=500"),
        ("flaky", "up=20ms&down=10ms&jitter=50"),
        ("flaky", "up=20ms&down=10ms&fault=any&refuse=1&deaf=5ms"),
        ("flood", "rate=3kB/s"),
        ("flood", ""),
    ] {
        let mut now = Instant::now();
        let mut board = build(name, query);
        board.handle_input(now, b"STREAM 10\r");
        for step in 0..500u32 {
            // Sometimes it is read, sometimes not.
            let limit = if step % 50 < 25 { 0 } else { 100 };
            board.poll_output(now, limit, &mut Vec::new());
            if let Presence::Here { until: Some(until) } = board.presence(now) {
                assert!(until > now, "{name}");
            }
            let due = board.poll_timeout();
            assert!(
                due.is_none_or(|due| due > now),
                "{name}: {due:?} at {now:?}"
            );
            now = match due {
                Some(due) if step % 3 > 0 => due,
                _ => now + 7 * MS,
            };
        }
    }
}

/// Commands, pieces of commands, line ends, editing and raw bytes.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => proptest::sample::select(vec![
            "help\r", "STREAM 20\r\n", "STREAM OFF\n", "SLEEP 30\r", "LED ON\r", "LED?\r", "GPIO 3 OUT\r", "GPIO 3 1\r",
            "ADC? 2\r", "RESET\r", "UPTIME?\r\n", "ECHO OFF\r", "ECHO ON\r", "PROMPT OFF\r", "PROMPT ON\r", "TEMP?\r",
            "LED", " ", "\r", "\n", "\x03", "\x08", "\x7f", "?", "Hello IoT!\r",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        2 => proptest::collection::vec(any::<u8>(), 0..20),
        1 => Just(vec![b'x'; 140]),
    ];
    proptest::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The same bytes at the same moments: how they are cut into pieces, and how the output is taken, changes nothing.
    #[test]
    fn output_does_not_depend_on_the_split(
        parts in proptest::collection::vec((input(), 0..60u32), 1..6),
        cuts in proptest::collection::vec(1..50usize, 1..20),
        limit in 1..40usize,
        seed in any::<u32>(),
    ) {
        for (name, query) in [
            ("interpreter", ""),
            ("interpreter", "echo=off&prompt=off"),
            ("echo", ""),
            ("noisy", "every=20ms&rate=50"),
            ("flood", "rate=20kB/s"),
        ] {
            let seed = match name { "interpreter" | "noisy" => format!("seed={seed}&{query}"), _ => query.to_owned() };
            let whole = play(&mut *build(name, &seed), &parts, &[usize::MAX], usize::MAX);
            let split = play(&mut *build(name, &seed), &parts, &cuts, limit);
            prop_assert_eq!(whole.escape_ascii().to_string(), split.escape_ascii().to_string(), "{}", name);
        }
    }

    /// Any bytes, in any amount, with no regard for the room there is: every line end that is seen is answered, nothing
    /// panics, and the board still answers afterwards.
    #[test]
    fn an_interpreter_survives_anything(
        chunks in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..600), 0..200u32, 0..300usize), 0..20),
    ) {
        let mut now = Instant::now();
        let mut board = build("interpreter", "");
        for (bytes, ms, limit) in chunks {
            board.handle_input(now, &bytes);
            now += ms * MS;
            board.poll_output(now, limit, &mut Vec::new());
        }
        now += Duration::from_secs(120);
        let mut out = Vec::new();
        board.poll_output(now, usize::MAX, &mut out);
        // Whatever line was begun, and whatever sleep or damage is under way, ends here.
        board.handle_input(now, b"\x03\x03PROMPT ON\rECHO ON\r");
        now += Duration::from_secs(120);
        board.poll_output(now, usize::MAX, &mut out);
        out.clear();
        board.handle_input(now, b"Hello IoT!\r");
        board.poll_output(now, usize::MAX, &mut out);
        let text = String::from_utf8_lossy(&out).into_owned();
        prop_assert!(text.ends_with("Hello IoT!\r\nHello from the UART interpreter!\r\n> "), "{:?}", text);
    }
}

/// Plays parts of input with pauses behind them, cut at `cuts` and never more than there is room for, while the output
/// is taken at most `limit` bytes at a time.
fn play(board: &mut dyn Board, parts: &[(Vec<u8>, u32)], cuts: &[usize], limit: usize) -> Vec<u8> {
    let mut now = Instant::now();
    let mut out = Vec::new();
    let mut cuts = cuts.iter().cycle();
    for (bytes, ms) in parts {
        let mut rest = &bytes[..];
        loop {
            drain(board, now, limit, &mut out);
            let count = rest
                .len()
                .min(*cuts.next().unwrap())
                .min(board.input_room());
            if count == 0 && !rest.is_empty() {
                // It is asleep and its buffer is full: only time helps.
                now = board.poll_timeout().unwrap();
                continue;
            }
            board.handle_input(now, &rest[..count]);
            rest = &rest[count..];
            if rest.is_empty() {
                break;
            }
        }
        let end = now + *ms * MS;
        loop {
            drain(board, now, limit, &mut out);
            match board.poll_timeout() {
                Some(due) if due <= end => now = due,
                _ => break,
            }
        }
        now = end;
    }
    drain(board, now, limit, &mut out);
    out
}

fn drain(board: &mut dyn Board, now: Instant, limit: usize, out: &mut Vec<u8>) {
    loop {
        let before = out.len();
        board.poll_output(now, limit, out);
        assert!(out.len() - before <= limit);
        if out.len() == before {
            return;
        }
    }
}

// --- specs

#[test]
fn specs_are_refused_with_what_would_be_right() {
    for (spec, what) in [
        (
            "sim:",
            "there is no simulated board \"\"; there is interpreter, echo, noisy, flaky, flood, modem, micropython, modbus",
        ),
        ("sim:interpretter", "(did you mean \"interpreter\"?)"),
        (
            "sim:interpreter?pase=line",
            "sim:interpreter has no option \"pase\" (did you mean \"pace\"?); it has echo, pace, prompt, reset, seed",
        ),
        (
            "sim:interpreter?pace=fast",
            "pace=fast is not right; pace is none or line",
        ),
        ("sim:interpreter?reset=rts", "reset is off or dtr"),
        (
            "sim:echo?seed=1",
            "sim:echo has no option \"seed\"; it has pace",
        ),
        ("sim:flaky?of=flaky", "cannot be flaky once more"),
        ("sim:flaky?of=ecko", "(did you mean \"echo\"?)"),
        (
            "sim:flaky?of=echo&prompt=off",
            "sim:flaky has no option \"prompt\"",
        ),
        ("sim:flaky?up=1ms", "up is a time from 10ms to 1h"),
        (
            "sim:flaky?fault=fire",
            "fault is unplug, read, write or any",
        ),
        (
            "sim:flaky?refuse=101",
            "refuse is a whole number from 0 to 100",
        ),
        ("sim:noisy?rate=1001", "a whole number from 0 to 1000"),
        ("sim:flood?rate=2MB", "a rate such as 2MB/s"),
        ("sim:flood?bytes=0", "a size such as 64KiB"),
        ("sim:flood?bytes", "\"bytes\" is not an option"),
        (
            "loopback:x",
            "nothing but options may follow \"loopback:\", not \"x\"",
        ),
        (
            "loopback:?seed=1",
            "loopback: has no option \"seed\"; it has pace",
        ),
    ] {
        let error: SpecError = parse_device(spec).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    }
}

#[test]
fn a_device_knows_the_prompt_of_its_interpreter() {
    for (spec, prompt) in [
        ("sim:interpreter", Some("> ")),
        ("sim:interpreter?prompt=off", None),
        ("sim:noisy", Some("> ")),
        ("sim:flaky", Some("> ")),
        ("sim:flaky?of=echo", None),
        ("sim:echo", None),
        ("sim:flood", None),
    ] {
        assert_eq!(parse_device(spec).unwrap().prompt(), prompt, "{spec}");
    }
}

// --- the interpreter

#[test]
fn what_does_not_fit_the_receive_buffer_is_counted_and_told() {
    let now = Instant::now();
    let mut board = build("interpreter", "echo=off&prompt=off");
    board.handle_input(now, b"SLEEP 100\r");
    assert_eq!(board.input_room(), 256);
    // 51 whole lines of 5 bytes and one byte of the next fit; 1 + 4 bytes are lost.
    let lines = b"LED?\r".repeat(51);
    board.handle_input(now, &lines);
    assert_eq!(board.input_room(), 1);
    board.handle_input(now, b"LE");
    assert_eq!(board.input_room(), 0);
    board.handle_input(now, b"D ON");
    let later = now + 100 * MS;
    let first = said(&mut *board, later);
    let answers: Vec<&str> = first.split_terminator("\r\n").skip(2).collect();
    assert_eq!(answers.len(), 52, "{first}");
    assert!(answers[0] == "OK" && answers[1..].iter().all(|answer| *answer == "OFF"));
    // The line with the hole in it is not executed, whatever it looks like now.
    board.handle_input(later, b"D ON\rLED?\r");
    assert_eq!(
        said(&mut *board, later),
        "ERR 7 input overrun, 5 bytes lost\r\nOFF\r\n"
    );
}

#[test]
fn after_an_overrun_nothing_is_received_until_the_buffer_is_empty() {
    let now = Instant::now();
    let mut board = build("interpreter", "echo=off&prompt=off");
    board.handle_input(now, b"SLEEP 100\r");
    board.handle_input(now, &b"ID?\r".repeat(64));
    board.handle_input(now, b"123");
    // Awake again, it works until its transmit buffer is full: its receive buffer is not, but not empty either.
    let later = now + 100 * MS;
    board.poll_output(later, 0, &mut Vec::new());
    assert_eq!(board.input_room(), 0);
    board.handle_input(later, b"45");
    said(&mut *board, later);
    assert_eq!(board.input_room(), 256);
    board.handle_input(later, b"\r");
    assert_eq!(
        said(&mut *board, later),
        "ERR 7 input overrun, 5 bytes lost\r\n"
    );
}

#[test]
fn a_reset_by_command_forgets_neither_what_was_received_nor_what_was_lost() {
    let now = Instant::now();
    let mut board = build("interpreter", "echo=off&prompt=off");
    board.handle_input(now, b"SLEEP 100\r");
    board.handle_input(now, format!("RESET\r{:250}", "LED ON\rLED?\r").as_bytes());
    board.handle_input(now, b"lost");
    let text = said(&mut *board, now + 100 * MS);
    assert!(text.ends_with("type HELP\r\nOK\r\nON\r\n"), "{text}");
    board.handle_input(now + 100 * MS, b"\r");
    assert_eq!(
        said(&mut *board, now + 100 * MS),
        "ERR 7 input overrun, 4 bytes lost\r\n"
    );
}

#[test]
fn what_waited_for_a_sleep_is_executed_when_the_sleep_ends_however_late_it_is_asked() {
    let now = Instant::now();
    let mut board = build("interpreter", "echo=off&prompt=off");
    said(&mut *board, now);
    board.handle_input(now, b"SLEEP 100\rUPTIME?\rSLEEP 50\rUPTIME?\r");
    assert_eq!(
        said(&mut *board, now + 500 * MS),
        "OK\r\n0.100 s\r\nOK\r\n0.150 s\r\n"
    );
}

#[test]
fn it_stops_reading_its_input_while_nobody_reads_its_output() {
    let now = Instant::now();
    let mut board = build("interpreter", "echo=off&prompt=off");
    let asked = 30;
    board.handle_input(now, &b"UPTIME?\r".repeat(asked));
    assert!(board.input_room() < 256);
    let answers = said(&mut *board, now);
    assert_eq!(answers.matches(" s\r\n").count(), asked);
    assert_eq!(board.input_room(), 256);
}

#[test]
fn telemetry_that_nobody_reads_is_left_out_and_its_number_with_it() {
    let mut now = Instant::now();
    let mut board = build("interpreter", "echo=off&prompt=off");
    board.handle_input(now, b"STREAM 10\r");
    said(&mut *board, now);
    for _ in 0..1000 {
        now += 10 * MS;
        board.poll_output(now, 0, &mut Vec::new());
    }
    let text = said(&mut *board, now);
    assert!(text.starts_with("T 1 ") && text.len() < 100, "{text}");
    now += 10 * MS;
    let text = said(&mut *board, now);
    assert!(text.starts_with("T 1001 "), "{text}");
}

#[test]
fn dtr_resets_it_if_it_was_asked_to() {
    let dtr = |on| OutputSignals {
        dtr: on,
        rts: false,
    };
    let banner = "\r\nUART interpreter 1.0, type HELP\r\n> ";
    for (query, expected) in [("reset=dtr", banner), ("", "")] {
        let now = Instant::now();
        let mut board = build("interpreter", query);
        board.handle_outputs(now, dtr(true));
        assert_eq!(said(&mut *board, now), banner, "one start, not two");
        board.handle_input(now, b"SLEEP 60000\rLED ON\r");
        said(&mut *board, now);
        board.handle_outputs(now, dtr(false));
        assert_eq!(said(&mut *board, now), "");
        board.handle_outputs(now, dtr(true));
        assert_eq!(said(&mut *board, now), expected);
    }
}

#[test]
fn a_break_throws_the_line_away() {
    let now = Instant::now();
    let mut board = build("interpreter", "");
    board.handle_input(now, b"LED O");
    said(&mut *board, now);
    board.handle_break(now, true);
    board.handle_break(now, false);
    assert_eq!(said(&mut *board, now), "^C\r\n> ");
}

#[test]
fn the_seed_makes_boards_different_and_repeatable() {
    let ask = |seed: &str| {
        let mut now = Instant::now();
        let mut board = build("interpreter", &format!("seed={seed}&echo=off&prompt=off"));
        let mut text = String::new();
        for _ in 0..50 {
            board.handle_input(now, b"ADC? 3\rTEMP?\r");
            text += &said(&mut *board, now);
            now += 777 * MS;
        }
        board.handle_input(now, b"ID?\r");
        (text, said(&mut *board, now))
    };
    assert_eq!(ask("7"), ask("7"));
    assert_ne!(ask("7").0, ask("8").0);
    assert_eq!(ask("4294967295").1, "uart-interpreter 1.0 #FFFFFFFF\r\n");
}

// --- noisy

#[test]
fn log_lines_are_whole_lines_and_numbered_and_garbage_is_garbage() {
    let start = Instant::now();
    let mut board = build("noisy", "every=30ms&rate=40&logs=50&seed=3");
    let mut out = Vec::new();
    let mut now = start;
    for _ in 0..200 {
        board.handle_input(now, b"ID?\r");
        let end = now + 50 * MS;
        while let Some(due) = board.poll_timeout().filter(|due| *due <= end) {
            now = due;
            board.poll_output(now, usize::MAX, &mut out);
        }
        now = end;
    }
    board.poll_output(now, usize::MAX, &mut out);
    let garbage = [
        &b"\xc3\x28"[..],
        b"\xe2\x82",
        b"\x1b[31m",
        b"\x1b[0m",
        b"\x00",
        b"\xff",
        b"\x80",
        b"\x07",
    ];
    let mut clean = Vec::new();
    let mut found = [0usize; 8];
    let mut rest = &out[..];
    while let Some(&first) = rest.first() {
        match garbage.iter().position(|piece| rest.starts_with(piece)) {
            Some(which) => {
                found[which] += 1;
                rest = &rest[garbage[which].len()..];
            }
            None => {
                clean.push(first);
                rest = &rest[1..];
            }
        }
    }
    assert!(found.iter().all(|&times| times > 10), "{found:?}");
    // 10 s at 40 a second.
    let total: usize = found.iter().sum();
    assert!((300..500).contains(&total), "{total}");
    let text = String::from_utf8(clean).unwrap();
    let mut logs = 0;
    let mut answers = 0;
    for line in text.split("\r\n") {
        if let Some((_, log)) = line.split_once("] ") {
            logs += 1;
            assert!(line.starts_with('['), "{line}");
            assert!(log.starts_with(&format!("{logs} ")), "{log}");
        } else if line == "uart-interpreter 1.0 #00000003" {
            answers += 1;
        } else {
            let known = ["", "> ", "ID?", "> ID?", "UART interpreter 1.0, type HELP"];
            assert!(known.contains(&line), "{line:?}");
        }
    }
    assert_eq!(answers, 200);
    assert!(logs > 300, "{logs}");
}

#[test]
fn without_its_noise_it_is_the_interpreter() {
    let parts = [(b"HELP\rSTREAM 10\rSLEEP 20\rled on\r".to_vec(), 200)];
    let noisy = play(
        &mut *build("noisy", "logs=0&every=0s&rate=0"),
        &parts,
        &[7],
        11,
    );
    let plain = play(&mut *build("interpreter", ""), &parts, &[7], 11);
    assert_eq!(
        noisy.escape_ascii().to_string(),
        plain.escape_ascii().to_string()
    );
}

// --- flaky

#[test]
fn it_vanishes_comes_back_and_starts_again() {
    let start = Instant::now();
    let at = |ms: u32| start + ms * MS;
    let mut board = build("flaky", "up=2s&down=500ms&echo=off&prompt=off");
    assert_eq!(
        board.presence(start),
        Presence::Here {
            until: Some(at(2000))
        }
    );
    said(&mut *board, start);
    board.handle_input(start, b"LED ON\r");
    assert_eq!(said(&mut *board, start), "OK\r\n");
    assert_eq!(
        board.presence(at(1999)),
        Presence::Here {
            until: Some(at(2000))
        }
    );
    assert_eq!(board.presence(at(2000)), Presence::Away { until: at(2500) });
    assert_eq!(board.presence(at(2499)), Presence::Away { until: at(2500) });
    assert_eq!(
        board.presence(at(2600)),
        Presence::Here {
            until: Some(at(4500))
        }
    );
    assert_eq!(
        said(&mut *board, at(2600)),
        "\r\nUART interpreter 1.0, type HELP\r\n"
    );
    board.handle_input(at(2600), b"LED?\rUPTIME?\r");
    assert_eq!(said(&mut *board, at(2600)), "OFF\r\n0.100 s\r\n");
    // Away and back while nobody asked: it is seen to be away all the same, once.
    assert_eq!(board.presence(at(6000)), Presence::Away { until: at(5000) });
    assert_eq!(
        board.presence(at(6000)),
        Presence::Here {
            until: Some(at(7000))
        }
    );
    assert!(said(&mut *board, at(6000)).contains("UART interpreter"));
}

#[test]
fn jitter_changes_each_time_within_its_bounds() {
    let start = Instant::now();
    let mut board = build("flaky", "up=1s&down=100ms&jitter=50&seed=9");
    let mut now = start;
    let mut ups = Vec::new();
    for _ in 0..50 {
        let (until, range) = match board.presence(now) {
            Presence::Here { until } => (until.unwrap(), 500..=1500),
            Presence::Away { until } => (until, 50..=150),
        };
        let ms = (until - now).as_millis();
        assert!(range.contains(&ms), "{ms} in {range:?}");
        ups.push(ms);
        now = until;
    }
    ups.sort_unstable();
    ups.dedup();
    assert!(ups.len() > 20, "{ups:?}");
}

#[test]
fn a_fault_waits_for_who_runs_into_it_and_then_the_plug_is_refused_and_the_board_deaf() {
    let start = Instant::now();
    let at = |ms: u32| start + ms * MS;
    for (fault, runs_into, other) in [
        ("read", Doing::Read, Doing::Write),
        ("write", Doing::Write, Doing::Read),
    ] {
        let options = format!("of=echo&up=1s&fault={fault}&refuse=2&deaf=100ms");
        let mut board = build("flaky", &options);
        // How often it refuses, and then it is open.
        let opens = |board: &mut dyn Board, ms| {
            board.presence(at(ms));
            let tries = std::iter::repeat_with(|| board.fails(at(ms), Doing::Open));
            tries.take_while(|refused| *refused).count()
        };
        let here = |until| Presence::Here {
            until: Some(at(until)),
        };
        assert_eq!(opens(&mut *board, 50), 2);
        assert_eq!(board.input_room(), 0);
        assert_eq!(board.poll_timeout(), Some(at(150)));
        assert_eq!(board.presence(at(150)), here(1050));
        assert!(board.input_room() > 0);
        board.handle_input(at(150), b"kept");
        assert!(!board.fails(at(1049), runs_into));
        // It is due, but there is nothing to wait for any more.
        assert_eq!(board.presence(at(5000)), Presence::Here { until: None });
        assert!(!board.fails(at(5000), other));
        assert!(board.fails(at(5000), runs_into), "{fault}");
        assert!(!board.fails(at(5000), runs_into), "once");
        // However long it takes, it is there for a while when it is open.
        assert_eq!(opens(&mut *board, 9000), 2);
        assert_eq!(board.input_room(), 0);
        assert_eq!(said(&mut *board, at(9000)), "kept");
        assert_eq!(board.presence(at(9001)), here(10_000));
    }
}

#[test]
fn any_fault_comes_sooner_or_later() {
    let start = Instant::now();
    let mut board = build("flaky", "up=1s&down=100ms&fault=any&seed=3");
    let mut met = [0; 3];
    let mut now = start;
    for _ in 0..100 {
        match board.presence(now) {
            Presence::Here { until: Some(until) } => now = until,
            Presence::Away { until } => {
                met[0] += 1;
                now = until;
            }
            Presence::Here { until: None } => {
                met[1] += usize::from(board.fails(now, Doing::Read));
                met[2] += usize::from(board.fails(now, Doing::Write));
            }
        }
    }
    assert!(met.iter().all(|count| *count > 5), "{met:?}");
}

// --- flood

#[test]
fn every_byte_of_a_flood_tells_its_offset() {
    let now = Instant::now();
    for limit in [1, 7, 16, 1000] {
        let mut board = build("flood", "bytes=1000");
        let mut out = Vec::new();
        drain(&mut *board, now, limit, &mut out);
        assert_eq!(out.len(), 1000);
        for (i, line) in out.chunks(16).enumerate() {
            let expected = format!("{:014}\r\n", i * 16);
            assert_eq!(line, &expected.as_bytes()[..line.len()]);
        }
        assert_eq!(board.poll_timeout(), None);
    }
    let mut board = build("flood", "bytes=600&pattern=bytes");
    let mut out = Vec::new();
    drain(&mut *board, now, 33, &mut out);
    assert!(out.iter().enumerate().all(|(i, byte)| *byte == i as u8));
    assert_eq!(out.len(), 600);
}

#[test]
fn a_flood_keeps_its_rate() {
    let start = Instant::now();
    for (rate, per_second) in [("1B/s", 1), ("9600B/s", 9600), ("2MB/s", 2_000_000)] {
        let mut board = build("flood", &format!("rate={rate}"));
        let mut out = Vec::new();
        board.poll_output(start, usize::MAX, &mut out);
        assert_eq!(out.len(), 0);
        for _ in 0..10 {
            let now = board.poll_timeout().unwrap();
            board.poll_output(now, usize::MAX, &mut out);
            let expected = (now - start).as_nanos() * per_second / 1_000_000_000;
            assert_eq!(out.len() as u128, expected, "{rate}");
        }
        assert!(!out.is_empty(), "{rate}");
        board.poll_output(start + Duration::from_secs(10), usize::MAX, &mut out);
        assert_eq!(out.len() as u128, 10 * per_second);
    }
}

#[test]
fn a_flood_can_wait_for_its_first_input() {
    let now = Instant::now();
    let mut board = build("flood", "start=input&bytes=16");
    assert_eq!(said(&mut *board, now), "");
    board.handle_input(now, b"");
    assert_eq!(said(&mut *board, now), "");
    board.handle_input(now + MS, b"g");
    assert_eq!(said(&mut *board, now + MS), "00000000000000\r\n");
    board.handle_input(now + MS, b"go on");
    assert_eq!(said(&mut *board, now + MS), "");
}

// --- helpers

fn options(name: &str, query: &str) -> Options {
    Options::parse(
        &format!("sim:{name}?{query}"),
        &format!("sim:{name}"),
        query,
    )
    .unwrap()
}

fn build(name: &str, query: &str) -> Box<dyn Board> {
    let kind = BOARDS.iter().find(|kind| kind.name() == name).unwrap();
    let mut options = options(name, query);
    let board = kind.build(&mut options).unwrap();
    options.finish().unwrap();
    board
}

/// What a board says now, as text.
fn said(board: &mut dyn Board, now: Instant) -> String {
    let mut out = Vec::new();
    board.poll_output(now, usize::MAX, &mut out);
    String::from_utf8(out).unwrap()
}
