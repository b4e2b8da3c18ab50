//! The adapter that makes a simulated board a port, on a clock that the tests move.

mod sim_support;

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use sim_support::{
    Wakes, ask, assert_took, device, open, open_at, read_count, read_until, through, try_read,
    write_all,
};
use uart_iface::{
    ErrorCounters, LineSettings, OpenError, OutputChange, OutputSignals, PortError, Purge,
};

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn the_article_is_answered() {
    let mut port = open("sim:interpreter");
    assert_eq!(
        read_until(&mut port, "> ").await,
        "\r\nUART interpreter 1.0, type HELP\r\n> "
    );
    assert_eq!(
        ask(&mut port, "Hello IoT!").await,
        "Hello IoT!\r\nHello from the UART interpreter!\r\n> "
    );
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn echo_gives_back_a_megabyte_without_losing_a_byte() {
    let mut port = open("sim:echo");
    let sent: Vec<u8> = (0..1_000_000u32).map(|i| (i ^ (i >> 8)) as u8).collect();
    let received = through(&mut port, &sent).await;
    assert!(received == sent);
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_board_does_things_by_itself_when_their_time_has_come() {
    let start = tokio::time::Instant::now();
    let mut port = open("sim:interpreter?prompt=off&echo=off");
    read_until(&mut port, "HELP\r\n").await;
    write_all(&mut port, b"STREAM 250\r").await;
    assert_eq!(read_until(&mut port, "\r\n").await, "OK\r\n");
    for n in 1..=8 {
        let line = read_until(&mut port, "\r\n").await;
        assert!(line.starts_with(&format!("T {n} ")), "{line}");
    }
    assert_eq!(start.elapsed(), Duration::from_secs(2));
}

// --- pace

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn output_takes_the_time_its_characters_take() {
    for (count, line, seconds) in [
        (1000, "9600-8n1", 1000.0 * 10.0 / 9600.0),
        (1000, "9600-8e2", 1000.0 * 12.0 / 9600.0),
        (1000, "9600-5n1", 1000.0 * 7.0 / 9600.0),
        (3, "1-8n1", 30.0),
        (100_000, "115200-8n1", 100_000.0 * 10.0 / 115_200.0),
        (1_000_000, "12000000-8n1", 1_000_000.0 * 10.0 / 12_000_000.0),
    ] {
        let start = tokio::time::Instant::now();
        let mut port = open_at(&format!("sim:flood?pace=line&bytes={count}"), line);
        assert_eq!(read_count(&mut port, count).await.len(), count);
        assert_took(start, seconds);
    }
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn input_takes_the_time_its_characters_take() {
    let start = tokio::time::Instant::now();
    let mut port = open_at("sim:echo?pace=line", "9600-8n1");
    let sent: Vec<u8> = (0..2000u32).map(|i| (i * 7) as u8).collect();
    assert!(through(&mut port, &sent).await == sent);
    // The last character comes back one character time after it went, and wake-ups are a millisecond apart.
    let seconds = 2001.0 * 10.0 / 9600.0;
    let elapsed = start.elapsed().as_secs_f64();
    assert!(
        (seconds - 0.0001..seconds + 0.003).contains(&elapsed),
        "{elapsed} {seconds}"
    );
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn without_a_pace_no_time_passes() {
    let start = tokio::time::Instant::now();
    let mut port = open_at("sim:flood?bytes=1MB", "1-8n1");
    read_count(&mut port, 1_000_000).await;
    assert_took(start, 0.0);
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn another_baud_rate_counts_from_the_next_character() {
    let start = tokio::time::Instant::now();
    let mut port = open_at("sim:flood?pace=line&bytes=200", "100-8n1");
    read_count(&mut port, 1).await;
    assert_took(start, 0.1);
    assert_eq!(
        port.apply("1000-8n1".parse().unwrap()).unwrap().to_string(),
        "1000-8n1"
    );
    read_count(&mut port, 199).await;
    assert_took(start, 0.2 + 198.0 * 0.01);
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_paced_board_that_is_not_read_is_held_up_and_goes_on_at_its_pace() {
    let mut port = open_at("sim:flood?pace=line&bytes=100", "1000-8n1");
    assert_eq!(try_read(&mut port).await, b"");
    tokio::time::advance(Duration::from_secs(100)).await;
    // What was on the wire has arrived; the rest has not moved.
    let arrived = try_read(&mut port).await.len();
    assert_eq!(arrived, 16);
    let start = tokio::time::Instant::now();
    read_count(&mut port, 100 - arrived).await;
    assert_took(start, (100 - arrived) as f64 * 0.01);
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_board_that_is_too_slow_loses_input_unless_it_may_hold_it_up() {
    for (line, loses) in [
        ("9600-8n1", true),
        ("9600-8n1-rtscts", false),
        ("9600-8n1-xonxoff", false),
    ] {
        let mut port = open_at("sim:interpreter?pace=line&prompt=off&echo=off", line);
        read_until(&mut port, "HELP\r\n").await;
        write_all(&mut port, b"SLEEP 1000\r").await;
        write_all(&mut port, &b"LED?\r".repeat(100)).await;
        assert_eq!(read_until(&mut port, "OK\r\n").await, "OK\r\n");
        for _ in 0..51 {
            assert_eq!(read_until(&mut port, "\r\n").await, "OFF\r\n");
        }
        write_all(&mut port, b"\r").await;
        let next = read_until(&mut port, "\r\n").await;
        assert_eq!(
            next.starts_with("ERR 7 input overrun"),
            loses,
            "{line}: {next}"
        );
    }
}

// --- waiting

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn nothing_is_woken_while_nothing_happens() {
    for spec in [
        "sim:interpreter",
        "sim:echo",
        "sim:interpreter?pace=line",
        "loopback:",
        "loopback:?pace=line",
    ] {
        let mut port = open(spec);
        try_read(&mut port).await;
        tokio::time::advance(Duration::from_secs(1)).await;
        try_read(&mut port).await;
        let (wakes, waker) = Wakes::new();
        let mut cx = Context::from_waker(&waker);
        assert!(port.poll_read(&mut cx, &mut [0]).is_pending());
        assert!(port.poll_inputs(&mut cx).is_pending());
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(wakes.count(), 0, "{spec}");
        assert!(port.poll_write(&mut cx, b"\r").is_ready());
        assert!(
            wakes.count() > 0,
            "{spec}: who waits for something to read is told"
        );
    }
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn who_only_writes_is_woken_when_the_board_has_room_again() {
    let mut port = open("sim:interpreter?echo=off&prompt=off");
    read_until(&mut port, "HELP\r\n").await;
    write_all(&mut port, b"SLEEP 5000\r").await;
    write_all(&mut port, &[b'x'; 256]).await;
    let start = tokio::time::Instant::now();
    write_all(&mut port, b"\x03LED?\r").await;
    assert_took(start, 5.0);
    assert_eq!(read_until(&mut port, "OFF\r\n").await, "OK\r\nOFF\r\n");
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn who_waits_for_room_is_woken_by_a_read() {
    let mut port = open("sim:echo");
    let (wakes, waker) = Wakes::new();
    let mut cx = Context::from_waker(&waker);
    let mut written = 0;
    while let Poll::Ready(count) = port.poll_write(&mut cx, &[7; 1000]) {
        written += count.unwrap();
        assert!(written <= 4096);
    }
    assert_eq!((written, wakes.count()), (4096, 0));
    assert!(port.poll_read(&mut cx, &mut [0; 100]).is_ready());
    assert_eq!(wakes.count(), 1);
    assert!(port.poll_write(&mut cx, &[7; 1000]).is_ready());
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn an_endless_board_lets_other_tasks_have_their_turn() {
    let mut port = open("sim:flood");
    let mut reads = 0;
    poll_fn(|cx| {
        while port.poll_read(cx, &mut [0; 64]).is_ready() {
            reads += 1;
            assert!(reads < 10_000);
        }
        Poll::Ready(())
    })
    .await;
    assert!(reads > 0);
}

// --- one device, many openings

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_board_keeps_its_state_while_no_port_is_open() {
    let mut device = device("sim:interpreter");
    let line = LineSettings::default();
    let mut port = device.open(line, OutputSignals::ASSERTED).unwrap();
    read_until(&mut port, "> ").await;
    ask(&mut port, "LED ON").await;
    let busy = device.open(line, OutputSignals::ASSERTED).unwrap_err();
    assert!(matches!(busy, OpenError::Busy { .. }), "{busy}");
    drop(port);
    tokio::time::advance(Duration::from_secs(60)).await;
    let mut port = device.open(line, OutputSignals::ASSERTED).unwrap();
    assert_eq!(ask(&mut port, "LED?").await, "LED?\r\nON\r\n> ");
    assert_eq!(ask(&mut port, "UPTIME?").await, "UPTIME?\r\n60.000 s\r\n> ");
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn opening_a_port_resets_a_board_that_resets_on_dtr() {
    let mut device = device("sim:interpreter?reset=dtr");
    let line = LineSettings::default();
    for _ in 0..2 {
        let mut port = device.open(line, OutputSignals::ASSERTED).unwrap();
        let banner = "\r\nUART interpreter 1.0, type HELP\r\n> ";
        assert_eq!(read_until(&mut port, "> ").await, banner);
        assert_eq!(try_read(&mut port).await, b"");
        ask(&mut port, "LED ON").await;
        for (dtr, expected) in [(false, ""), (true, banner), (true, "")] {
            let change = OutputChange {
                dtr: Some(dtr),
                rts: None,
            };
            let outputs = port.set_outputs(change).unwrap();
            assert_eq!(outputs, OutputSignals { dtr, rts: true });
            assert_eq!(try_read(&mut port).await, expected.as_bytes());
        }
    }
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_flaky_board_is_gone_everywhere_and_comes_back() {
    let start = tokio::time::Instant::now();
    let mut device = device("sim:flaky?up=2s&down=500ms");
    let line = LineSettings::default();
    let mut port = device.open(line, OutputSignals::ASSERTED).unwrap();
    read_until(&mut port, "> ").await;
    let gone = poll_fn(|cx| port.poll_read(cx, &mut [0]))
        .await
        .unwrap_err();
    assert_took(start, 2.0);
    assert!(matches!(gone, PortError::Gone { .. }), "{gone}");
    assert_eq!(
        gone.to_string(),
        "sim:flaky?up=2s&down=500ms is gone: the simulated board was unplugged"
    );
    assert!(poll_fn(|cx| port.poll_write(cx, b"x")).await.is_err());
    assert!(poll_fn(|cx| port.poll_inputs(cx)).await.is_err());
    assert!(port.apply(line).is_err());
    assert!(port.set_outputs(OutputChange::default()).is_err());
    assert!(port.set_break(true).is_err());
    assert!(port.purge(Purge::Both).is_err());
    assert!(port.status().is_err());
    drop(port);
    let away = device.open(line, OutputSignals::ASSERTED).unwrap_err();
    assert!(matches!(away, OpenError::NotFound { .. }), "{away}");
    tokio::time::advance(Duration::from_millis(499)).await;
    assert!(device.open(line, OutputSignals::ASSERTED).is_err());
    tokio::time::advance(Duration::from_millis(1)).await;
    let mut port = device.open(line, OutputSignals::ASSERTED).unwrap();
    assert!(
        read_until(&mut port, "> ")
            .await
            .contains("UART interpreter")
    );
    // Who waits for signals only learns of it as well.
    assert!(poll_fn(|cx| port.poll_inputs(cx)).await.is_err());
    assert_took(start, 4.5);
}

// --- commands

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn settings_and_signals_are_taken_as_wanted() {
    let mut port = open("sim:echo");
    let status = port.status().unwrap();
    assert_eq!(status.outputs, OutputSignals::ASSERTED);
    assert_eq!(status.inputs.to_string(), "cts=on dsr=on ri=off dcd=on");
    assert!(status.has_modem_lines && port.can_pause());
    assert_eq!(status.errors, Some(ErrorCounters::default()));
    let odd = "31250-7m1.5-xonxoff".parse().unwrap();
    assert_eq!(port.apply(odd).unwrap(), odd);
    let change = OutputChange {
        dtr: None,
        rts: Some(false),
    };
    port.set_outputs(change).unwrap();
    let status = port.status().unwrap();
    assert_eq!(
        (status.line, status.outputs.to_string()),
        (odd, "dtr=on rts=off".to_owned())
    );
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_purge_throws_away_what_was_not_read_or_not_sent() {
    for (spec, queues, left) in [
        ("sim:echo", Purge::Receive, &b""[..]),
        ("sim:echo", Purge::Transmit, b"abcdefgh"),
        ("sim:echo", Purge::Both, b""),
        ("sim:echo?pace=line", Purge::Transmit, b"ab"),
        ("sim:echo?pace=line", Purge::Receive, b"bcdefgh"),
        ("sim:echo?pace=line", Purge::Both, b"b"),
    ] {
        let mut port = open_at(spec, "1000-8n1");
        write_all(&mut port, b"abcdefgh").await;
        for _ in 0..2 {
            // After two character times "a" is back, and "b" has been turned round.
            tokio::time::advance(Duration::from_millis(10)).await;
            assert!(
                poll_fn(|cx| Poll::Ready(port.poll_inputs(cx)))
                    .await
                    .is_pending()
            );
        }
        port.purge(queues).unwrap();
        let mut read = Vec::new();
        for _ in 0..100 {
            tokio::time::advance(Duration::from_millis(10)).await;
            read.extend(try_read(&mut port).await);
        }
        assert_eq!(
            read.escape_ascii().to_string(),
            left.escape_ascii().to_string(),
            "{spec} {queues:?}"
        );
    }
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_break_reaches_the_board() {
    let mut port = open("sim:interpreter");
    read_until(&mut port, "> ").await;
    write_all(&mut port, b"LED O").await;
    for on in [true, true, false, false] {
        port.set_break(on).unwrap();
    }
    assert_eq!(ask(&mut port, "LED?").await, "LED O^C\r\n> ");
    assert_eq!(read_until(&mut port, "> ").await, "LED?\r\nOFF\r\n> ");
}
