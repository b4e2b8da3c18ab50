//! The client's side of RFC 2217 against bytes recorded from ser2net 4.3.11 (on a pseudo-terminal) and from pyserial
//! 3.5's `PortManager` (on `loop://`), and against servers that do worse.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use proptest::prelude::*;
use uartnet_telnet::access_client::{ANSWER, AccessClient, Setting, Told};

/// WILL/DO BINARY, WILL/DO SGA, WILL/DO COM-PORT.
const HELLO: &[u8] = b"\xff\xfb\x00\xff\xfd\x00\xff\xfb\x03\xff\xfd\x03\xff\xfb\x2c\xff\xfd\x2c";

/// What ser2net says to our hello: its own, then its answers.
const SER2NET: &[u8] = b"\xff\xfb\x03\xff\xfd\x03\xff\xfb\x01\xff\xfe\x01\xff\xfd\x00\xff\xfb\x00\xff\xfd\x2c\xff\xfd\x03\xff\xfa\x2c\x6b\x00\xff\xf0\xff\xfc\x2c";
/// What pyserial's server says.
const PYSERIAL: &[u8] = b"\xff\xfb\x01\xff\xfb\x03\xff\xfd\x00\xff\xfb\x2c\xff\xfb\x00\xff\xfd\x03\xff\xfd\x2c\xff\xfa\x2c\x6b\xbb\xff\xf0\xff\xfa\x2c\x6b\xb0\xff\xf0";

const LINE: [Setting; 5] = [
    Setting::Baud,
    Setting::DataSize,
    Setting::Parity,
    Setting::StopSize,
    Setting::Flow,
];
/// Both servers' answer to the question for these.
const LINE_ANSWER: &[u8] = b"\xff\xfa\x2c\x65\x00\x01\xc2\x00\xff\xf0\xff\xfa\x2c\x66\x08\xff\xf0\xff\xfa\x2c\x67\x01\xff\xf0\xff\xfa\x2c\x68\x01\xff\xf0\xff\xfa\x2c\x69\x01\xff\xf0";

struct Peer {
    client: AccessClient,
    now: Instant,
    out: BytesMut,
}

impl Peer {
    fn new() -> Peer {
        let (now, mut out) = (Instant::now(), BytesMut::new());
        let client = AccessClient::new(now, &mut out);
        assert_eq!(out.split(), HELLO);
        Peer { client, now, out }
    }

    fn agreed() -> Peer {
        let mut peer = Peer::new();
        assert_eq!(
            peer.hear(SER2NET),
            [Told::Modem(0), Told::Agreed],
            "ser2net"
        );
        // DONT ECHO is answered by nothing, WILL ECHO by DO.
        assert_eq!(peer.out.split(), b"\xff\xfd\x01"[..]);
        peer
    }

    fn hear(&mut self, bytes: &[u8]) -> Vec<Told> {
        self.client.handle_input(bytes, &mut self.out);
        std::iter::from_fn(|| self.client.poll_told()).collect()
    }

    fn wait(&mut self, time: Duration) -> Vec<Told> {
        self.now += time;
        self.client.handle_timeout(self.now);
        std::iter::from_fn(|| self.client.poll_told()).collect()
    }

    fn set(&mut self, setting: Setting, value: u32) -> BytesMut {
        self.client.set(self.now, setting, value, &mut self.out);
        self.out.split()
    }

    fn ask(&mut self, setting: Setting) -> BytesMut {
        self.client.ask(self.now, setting, &mut self.out);
        self.out.split()
    }
}

fn settled(setting: Setting, wanted: Option<u32>, in_force: Option<u32>) -> Told {
    Told::Settled {
        setting,
        wanted,
        in_force,
    }
}

#[test]
fn both_recorded_servers_agree() {
    let peer = Peer::agreed();
    assert!(peer.client.is_agreed() && peer.client.is_binary() && peer.client.wants_data());

    let mut peer = Peer::new();
    assert_eq!(
        peer.hear(PYSERIAL),
        [Told::Modem(0xbb), Told::Modem(0xb0), Told::Agreed]
    );
    assert_eq!(peer.out.split(), b"\xff\xfd\x01"[..]);
    assert!(peer.client.is_binary());
}

#[test]
fn the_line_is_asked_for_and_told_in_the_numbers_of_the_rfc() {
    let mut peer = Peer::agreed();
    let asked: Vec<u8> = LINE.iter().flat_map(|one| peer.ask(*one)).collect();
    assert_eq!(
        asked,
        b"\xff\xfa\x2c\x01\0\0\0\0\xff\xf0\xff\xfa\x2c\x02\0\xff\xf0\xff\xfa\x2c\x03\0\xff\xf0\xff\xfa\x2c\x04\0\xff\xf0\xff\xfa\x2c\x05\0\xff\xf0"
    );
    let told = peer.hear(LINE_ANSWER);
    let values = [115_200, 8, 1, 1, 1];
    let expected: Vec<Told> = LINE
        .into_iter()
        .zip(values)
        .map(|(setting, value)| settled(setting, None, Some(value)))
        .collect();
    assert_eq!(told, expected);
    assert_eq!(peer.client.poll_timeout(), None);
}

#[test]
fn a_baud_rate_with_an_iac_in_it_is_doubled_both_ways() {
    let mut peer = Peer::agreed();
    assert_eq!(
        peer.set(Setting::Baud, 255),
        b"\xff\xfa\x2c\x01\0\0\0\xff\xff\xff\xf0"[..]
    );
    // As ser2net and pyserial answer it.
    assert_eq!(
        peer.hear(b"\xff\xfa\x2c\x65\0\0\0\xff\xff\xff\xf0"),
        [settled(Setting::Baud, Some(255), Some(255))]
    );
}

#[test]
fn what_ser2net_never_answers_is_told_when_its_time_is_up() {
    let mut peer = Peer::agreed();
    peer.set(Setting::StopSize, 3);
    peer.wait(Duration::from_secs(1));
    peer.set(Setting::Baud, 9600);
    peer.set(Setting::Dtr, 9);
    assert_eq!(
        peer.hear(b"\xff\xfa\x2c\x65\x00\x00\x25\x80\xff\xf0"),
        [settled(Setting::Baud, Some(9600), Some(9600))],
        "what comes later does not wait for what never comes"
    );
    assert_eq!(peer.wait(ANSWER - Duration::from_millis(1001)), []);
    assert_eq!(
        peer.wait(Duration::from_millis(1)),
        [settled(Setting::StopSize, Some(3), None)]
    );
    assert_eq!(
        peer.client.poll_timeout(),
        Some(peer.now + Duration::from_secs(1))
    );
    assert_eq!(peer.wait(ANSWER), [settled(Setting::Dtr, Some(9), None)]);
}

#[test]
fn the_value_in_force_is_told_where_it_is_not_the_one_wanted() {
    let mut peer = Peer::agreed();
    peer.set(Setting::Parity, 4);
    assert_eq!(
        peer.hear(b"\xff\xfa\x2c\x67\x01\xff\xf0"),
        [settled(Setting::Parity, Some(4), Some(1))]
    );
}

#[test]
fn signals_and_break_answer_each_its_own() {
    let mut peer = Peer::agreed();
    for (setting, value) in [(Setting::Dtr, 9), (Setting::Rts, 11), (Setting::Break, 6)] {
        peer.set(setting, value);
    }
    // ser2net answers "break on" to break off; pyserial notifies the lines in between.
    assert_eq!(
        peer.hear(b"\xff\xfa\x2c\x69\x05\xff\xf0\xff\xfa\x2c\x69\x09\xff\xf0\xff\xfa\x2c\x6b\x92\xff\xf0\xff\xfa\x2c\x69\x0b\xff\xf0"),
        [
            settled(Setting::Break, Some(6), Some(5)),
            settled(Setting::Dtr, Some(9), Some(9)),
            Told::Modem(0x92),
            settled(Setting::Rts, Some(11), Some(11)),
        ]
    );
}

#[test]
fn a_question_that_is_answered_with_the_question_has_no_value() {
    let mut peer = Peer::agreed();
    assert_eq!(peer.ask(Setting::Dtr), b"\xff\xfa\x2c\x05\x07\xff\xf0"[..]);
    assert_eq!(
        peer.hear(b"\xff\xfa\x2c\x69\x07\xff\xf0"),
        [settled(Setting::Dtr, None, None)]
    );
    assert_eq!(peer.hear(b"\xff\xfa\x2c\x69\x07\xff\xf0"), []);
}

#[test]
fn acknowledgements_of_other_clients_settings_are_news() {
    let mut peer = Peer::agreed();
    assert_eq!(
        peer.hear(LINE_ANSWER)[..2],
        [
            Told::InForce(Setting::Baud, 115_200),
            Told::InForce(Setting::DataSize, 8)
        ]
    );
}

#[test]
fn a_padded_reply_is_its_beginning_and_a_short_one_nothing() {
    let mut peer = Peer::agreed();
    peer.set(Setting::Baud, 9600);
    // One byte is Cisco's table code; sredird appends four bytes.
    assert_eq!(peer.hear(b"\xff\xfa\x2c\x65\x0e\xff\xf0"), []);
    assert_eq!(
        peer.hear(b"\xff\xfa\x2c\x65\x00\x00\x25\x80\x01\x02\x03\x04\xff\xf0"),
        [settled(Setting::Baud, Some(9600), Some(9600))]
    );
}

#[test]
fn data_waits_for_the_offers_and_for_a_server_that_asks_for_silence() {
    let mut peer = Peer::new();
    assert!(!peer.client.wants_data(), "BINARY is not decided");
    peer.hear(SER2NET);
    peer.out.clear();
    peer.client.send_data(b"a\r\xff", &mut peer.out);
    assert_eq!(peer.out.split(), b"a\r\xff\xff"[..]);
    // With and without the 100 added.
    for (suspend, resume) in [(108, 109), (8, 9)] {
        peer.hear(&[255, 250, 44, suspend, 255, 240]);
        assert!(!peer.client.wants_data());
        peer.hear(&[255, 250, 44, resume, 255, 240]);
        assert!(peer.client.wants_data());
    }
}

#[test]
fn either_direction_of_the_option_will_do() {
    for (bytes, spoken) in [
        (&b"\xff\xfd\x2c\xff\xfc\x2c"[..], true),
        (b"\xff\xfe\x2c\xff\xfb\x2c", true),
        (b"\xff\xfe\x2c\xff\xfc\x2c", false),
    ] {
        let mut peer = Peer::new();
        peer.hear(b"\xff\xfd\x00\xff\xfb\x00\xff\xfd\x03\xff\xfb\x03");
        let told = peer.hear(bytes);
        let expected = if spoken {
            Told::Agreed
        } else {
            Told::NotSpoken
        };
        assert_eq!((told, peer.client.is_agreed()), (vec![expected], spoken));
    }
}

#[test]
fn a_server_that_leaves_offers_unanswered_is_taken_as_it_is() {
    let mut peer = Peer::new();
    assert_eq!(peer.hear(b"\xff\xfd\x2c"), []);
    assert_eq!(peer.wait(ANSWER), [Told::Agreed]);
    assert!(peer.client.wants_data() && !peer.client.is_binary());

    let mut silent = Peer::new();
    assert_eq!(silent.hear(b"login: "), [Told::Data("login: ".into())]);
    assert_eq!(silent.client.poll_timeout(), Some(silent.now + ANSWER));
    assert_eq!(silent.wait(ANSWER), [Told::NotSpoken]);
    assert_eq!(silent.client.poll_timeout(), None);
}

#[test]
fn the_signature_and_the_line_state_are_told() {
    let mut peer = Peer::agreed();
    assert_eq!(
        peer.hear(b"\xff\xfa\x2c\x64ser2net\xff\xf0\xff\xfa\x2c\x6a\x10\xff\xf0"),
        [Told::Signature(b"ser2net".to_vec()), Told::Line(16)]
    );
}

proptest! {
    #[test]
    fn how_the_bytes_are_cut_makes_no_difference(cuts in proptest::collection::vec(1usize..9, 1..60)) {
        let whole = [PYSERIAL, LINE_ANSWER, b"data\r\0\xff\xffmore"].concat();
        let joined = |told: Vec<Told>| {
            let mut data = Vec::new();
            let rest: Vec<Told> = told.into_iter().filter_map(|told| match told {
                Told::Data(bytes) => { data.extend_from_slice(&bytes); None }
                told => Some(told),
            }).collect();
            (rest, data)
        };
        let mut at_once = Peer::new();
        let expected = joined(at_once.hear(&whole));
        let mut cut = Peer::new();
        let (mut told, mut rest) = (Vec::new(), &whole[..]);
        for length in cuts.into_iter().cycle() {
            if rest.is_empty() { break; }
            let (piece, left) = rest.split_at(length.min(rest.len()));
            told.extend(cut.hear(piece));
            rest = left;
        }
        prop_assert_eq!(&expected.1[..], b"data\r\0\xffmore");
        // The moment of agreement is that of the last answer; that it is told once is what matters.
        let sorted = |mut told: Vec<Told>| { told.sort_by_key(|told| format!("{told:?}")); told };
        let found = joined(told);
        prop_assert_eq!(sorted(found.0), sorted(expected.0));
        prop_assert_eq!(found.1, expected.1);
        prop_assert_eq!(cut.out, at_once.out);
    }

    #[test]
    fn no_bytes_panic_and_output_is_bounded_by_input(bytes in proptest::collection::vec(prop_oneof![Just(255u8), Just(250), Just(240), Just(44), Just(105), any::<u8>()], 0..400)) {
        let mut peer = Peer::new();
        peer.client.set(peer.now, Setting::Baud, 1, &mut peer.out);
        peer.out.clear();
        let told = peer.hear(&bytes);
        prop_assert!(peer.out.len() <= 3 * bytes.len());
        prop_assert!(told.len() <= bytes.len() + 1);
    }
}
