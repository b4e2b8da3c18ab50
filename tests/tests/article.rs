//! The plain conversation, by bytes written by hand: the article's own exchange, and everything a network does to it.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use uartnet_tests::{Daemon, Peer, frame};

/// What the simulated interpreter answers to `Hello IoT!`.
const GREETING: &str = "Hello from the UART interpreter!";

fn interpreter() -> Daemon {
    Daemon::start(&["board0=sim:interpreter"]).expect("a gateway")
}

/// A gateway whose board has no interpreter that we know, so that bytes are acknowledged as in the article.
fn acknowledging() -> Daemon {
    Daemon::start(&["board0=sim:echo,profile=none"]).expect("a gateway")
}

#[test]
fn the_articles_own_exchange() {
    let daemon = acknowledging();
    let mut peer = Peer::connect(daemon.address());
    peer.send(b"13_Hello IoT!");
    peer.finish();
    let (answer, orderly) = peer.rest();
    assert_eq!(
        String::from_utf8_lossy(&answer),
        "37_Server notification: data received"
    );
    assert!(orderly);
}

#[test]
fn with_a_board_behind_it_the_board_answers() {
    let daemon = interpreter();
    let mut peer = Peer::connect(daemon.address());
    peer.send(b"13_Hello IoT!");
    peer.finish();
    let (answer, orderly) = peer.rest();
    assert_eq!(String::from_utf8_lossy(&answer), format!("35_{GREETING}"));
    assert!(orderly);
}

#[test]
fn one_byte_at_a_time_with_pauses() {
    let daemon = interpreter();
    let mut peer = Peer::connect(daemon.address());
    for byte in b"13_Hello IoT!" {
        peer.send([*byte]);
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(peer.text(), GREETING);
}

#[test]
fn a_pipeline_in_one_segment_is_answered_in_order() {
    let daemon = interpreter();
    let mut peer = Peer::connect(daemon.address());
    peer.send(b"8_LED ON6_LED?13_Hello IoT!");
    assert_eq!(peer.text(), "OK");
    assert_eq!(peer.text(), "ON");
    assert_eq!(peer.text(), GREETING);
}

#[test]
fn every_pending_answer_comes_after_the_clients_end() {
    let daemon = interpreter();
    let mut peer = Peer::connect(daemon.address());
    let commands = 50;
    for _ in 0..commands {
        peer.send(b"13_Hello IoT!");
    }
    peer.finish();
    for _ in 0..commands {
        assert_eq!(peer.text(), GREETING);
    }
    peer.expect_end();
}

#[test]
fn what_the_board_says_is_an_answer_also_when_it_is_no() {
    let daemon = interpreter();
    let mut peer = Peer::connect(daemon.address());
    peer.send(frame("FROBNICATE"));
    assert_eq!(peer.text(), "ERR 1 unknown command, try HELP");
    peer.send(frame("HELP"));
    let help = peer.text();
    assert!(help.ends_with("OK") && help.lines().count() > 10, "{help}");
}

#[test]
fn a_failure_is_answered_by_code_and_sentence() {
    let daemon = Daemon::start(&["board0=sim:echo,profile=line,echo=false,timeout=200ms,eol=none"]);
    let daemon = match daemon {
        Ok(daemon) => daemon,
        Err(_) => {
            Daemon::start(&["board0=sim:echo,prompt=never,timeout=200ms"]).expect("a gateway")
        }
    };
    let mut peer = Peer::connect(daemon.address());
    peer.send(frame("nobody answers this"));
    let answer = peer.text();
    assert!(answer.starts_with("error: timeout: "), "{answer}");
    peer.send(frame("two\nlines"));
    let answer = peer.text();
    assert!(answer.starts_with("error: bad-command: "), "{answer}");
}

#[test]
fn two_hundred_clients_at_once() {
    let daemon = interpreter();
    let mut peers: Vec<Peer> = (0..200).map(|_| Peer::connect(daemon.address())).collect();
    for peer in &mut peers {
        peer.send(b"13_Hello IoT!");
        peer.send(b"6_LED?");
    }
    let mut answers = BTreeSet::new();
    for peer in &mut peers {
        assert_eq!(peer.text(), GREETING);
        answers.insert(peer.text());
        peer.finish();
        peer.expect_end();
    }
    assert_eq!(answers.into_iter().collect::<Vec<_>>(), ["OFF"]);
}

#[test]
fn a_client_that_never_sends_disturbs_nobody() {
    let daemon = interpreter();
    let mut silent = Peer::connect(daemon.address());
    let mut begun = Peer::connect(daemon.address());
    begun.send(b"13_Hel");
    let mut other = Peer::connect(daemon.address());
    other.send(b"13_Hello IoT!");
    assert_eq!(other.text(), GREETING);
    // Both are still served when they go on.
    begun.send(b"lo IoT!");
    assert_eq!(begun.text(), GREETING);
    silent.send(b"13_Hello IoT!");
    assert_eq!(silent.text(), GREETING);
}

#[test]
fn a_client_that_never_reads_disturbs_nobody() {
    let daemon = interpreter();
    let mut greedy = Peer::connect(daemon.address());
    greedy.stream().set_nonblocking(true).expect("no waiting");
    let many = frame("HELP").repeat(1000);
    // Until its own socket takes no more, or far beyond what a socket holds.
    for _ in 0..100 {
        if write_some(greedy.stream(), &many).is_none() {
            break;
        }
    }
    let mut other = Peer::connect(daemon.address());
    for _ in 0..20 {
        other.send(b"13_Hello IoT!");
        assert_eq!(other.text(), GREETING);
    }
    greedy.finish();
}

/// `None` when the socket takes nothing.
fn write_some(mut stream: &TcpStream, bytes: &[u8]) -> Option<usize> {
    use std::io::Write;
    stream.write(bytes).ok()
}

#[test]
fn garbage_after_a_good_frame_gets_one_answer_one_error_and_the_end() {
    let daemon = interpreter();
    for garbage in [
        &b"hello"[..],
        b"_",
        b"GET / HTTP/1.1\r\nHost: board\r\n\r\n",
        &[0xff; 200_000],
    ] {
        let mut peer = Peer::connect(daemon.address());
        peer.send(b"13_Hello IoT!");
        peer.send_anyway(garbage);
        assert_eq!(peer.text(), GREETING);
        let error = peer.text();
        assert!(error.starts_with("error: bad-frame: "), "{error}");
        peer.expect_end();
    }
}

#[test]
fn hostile_frames_get_one_error_that_arrives_and_the_end() {
    let daemon = interpreter();
    for hostile in [
        &b"+5_abc"[..],
        b"-5_abc",
        b" 5_abc",
        b"5 _abc",
        b"05_ab",
        b"0_",
        b"1_",
        b"_abc",
        b"x",
        b"5,abc",
        b"0x5_ab",
        b"99999999999999999999_",
        b"18446744073709551616_",
        b"1844674407370955161699999999_",
        b"123456",
        b"1234567890123456789012345678901234567890",
        b"65537_",
        b"1000000_",
        "\u{661}\u{663}_Hello IoT!".as_bytes(),
        "\u{ff11}\u{ff13}_Hello IoT!".as_bytes(),
        b"\0\0\0\x0dHello IoT!",
        b"13_Hello IoT!13-Hello IoT!",
    ] {
        let shown = String::from_utf8_lossy(hostile).into_owned();
        let mut peer = Peer::connect(daemon.address());
        peer.send(hostile);
        let mut last = String::new();
        while let Some(payload) = peer.next_frame() {
            assert!(
                !last.starts_with("error: "),
                "{shown}: something follows the error"
            );
            last = String::from_utf8_lossy(&payload).into_owned();
        }
        assert!(last.starts_with("error: bad-frame: "), "{shown}: {last}");
    }
    let mut peer = Peer::connect(daemon.address());
    peer.send(b"13_Hello IoT!");
    assert_eq!(peer.text(), GREETING);
}

#[test]
fn a_stream_that_ends_inside_a_frame_is_told_so() {
    let daemon = interpreter();
    for beginning in [&b"1"[..], b"13", b"13_", b"13_Hello IoT"] {
        let mut peer = Peer::connect(daemon.address());
        peer.send(beginning);
        peer.finish();
        let error = peer.text();
        assert!(error.starts_with("error: bad-frame: "), "{error}");
        peer.expect_end();
    }
}

#[test]
fn both_valid_lengths_of_a_payload_are_taken() {
    let daemon = acknowledging();
    for payload in [7, 96, 995] {
        // With one digit fewer and with one digit more: 9_ and 10_, 99_ and 100_, 999_ and 1000_.
        let short = payload + 1 + (payload + 2).to_string().len();
        for length in [short, short + 1] {
            let mut bytes = format!("{length}_").into_bytes();
            assert_eq!(
                bytes.len() + payload,
                length,
                "the table of this test is wrong"
            );
            bytes.resize(length, b'x');
            let mut peer = Peer::connect(daemon.address());
            peer.send(&bytes);
            assert_eq!(
                peer.text(),
                "Server notification: data received",
                "{length}"
            );
        }
    }
}

#[test]
fn the_largest_frame_is_taken_and_a_larger_one_is_not() {
    let daemon = acknowledging();
    let mut peer = Peer::connect(daemon.address());
    let mut largest = b"65536_".to_vec();
    largest.resize(65_536, b'x');
    peer.send(&largest);
    assert_eq!(peer.text(), "Server notification: data received");
    peer.send(b"65537_");
    let error = peer.text();
    assert!(
        error.starts_with("error: bad-frame: ") && error.contains("65536"),
        "{error}"
    );
    peer.expect_end();
}
