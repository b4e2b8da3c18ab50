//! The access server's side of RFC 2217: recorded clients, order, masks, and what may never happen.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use uartnet_telnet::access_server::{AccessServer, InForce, Request};

const IN_FORCE: InForce = InForce {
    baud: 115_200,
    data_size: 8,
    parity: 1,
    stop_size: 1,
    flow: 1,
    sending_break: false,
    dtr: true,
    rts: true,
    modem: 0b1011_0000,
};

/// WILL BINARY, DO BINARY, WILL SGA, DO SGA, WILL ECHO, DO COM-PORT.
const HELLO: &[u8] = b"\xff\xfb\x00\xff\xfd\x00\xff\xfb\x03\xff\xfd\x03\xff\xfb\x01\xff\xfd\x2c";
/// WILL COM-PORT.
const WILL: &[u8] = b"\xff\xfb\x2c";
/// NOTIFY-MODEMSTATE with DCD, DSR and CTS, and no changes.
const FIRST_NOTICE: &[u8] = b"\xff\xfa\x2c\x6b\xb0\xff\xf0";

/// A subnegotiation of the COM-PORT-OPTION, escaped by hand.
fn sub(payload: &[u8]) -> Vec<u8> {
    let doubled = payload.iter().flat_map(|&byte| {
        if byte == 255 {
            vec![255, 255]
        } else {
            vec![byte]
        }
    });
    [255, 250, 44]
        .into_iter()
        .chain(doubled)
        .chain([255, 240])
        .collect()
}

/// A port that takes every setting, as a test sees it.
struct Peer {
    server: AccessServer,
    in_force: InForce,
    out: BytesMut,
    requests: Vec<Request>,
}

impl Peer {
    fn new() -> Peer {
        let mut out = BytesMut::new();
        let server = AccessServer::new("uartd", IN_FORCE, &mut out);
        assert_eq!(out.split(), HELLO);
        Peer {
            server,
            in_force: IN_FORCE,
            out,
            requests: Vec::new(),
        }
    }

    fn agreed() -> Peer {
        let mut peer = Peer::new();
        assert_eq!(peer.say(WILL), FIRST_NOTICE);
        peer
    }

    /// Feeds bytes, does everything that is asked, and gives what was sent.
    fn say(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.server.handle_input(bytes, &mut self.out);
        while let Some(request) = self.server.poll_request(&mut self.out) {
            self.requests.push(request.clone());
            let now = &mut self.in_force;
            match request {
                Request::Write(_) => continue,
                Request::SetBaud(rate) => now.baud = rate,
                Request::SetDataSize(size) => now.data_size = size,
                Request::SetParity(parity) => now.parity = parity,
                Request::SetStopSize(size) => now.stop_size = size,
                Request::SetFlow(flow) => now.flow = flow,
                Request::SetBreak(on) => now.sending_break = on,
                Request::SetDtr(on) => now.dtr = on,
                Request::SetRts(on) => now.rts = on,
                Request::Purge(_) | Request::SendBreak => {}
            }
            let in_force = self.in_force;
            self.server.settle(in_force, &mut self.out);
        }
        self.out.split().to_vec()
    }
}

#[test]
fn pyserial_opens_and_every_step_is_acknowledged_with_the_value_in_force() {
    let mut peer = Peer::new();
    // pyserial 3.5, recorded: DO ECHO, WILL SGA, DO SGA, DO COM-PORT, WILL COM-PORT, then its answers WILL and DO BINARY.
    let said = peer.say(
        b"\xff\xfd\x01\xff\xfb\x03\xff\xfd\x03\xff\xfd\x2c\xff\xfb\x2c\xff\xfb\x00\xff\xfd\x00",
    );
    // It asked for COM-PORT in the other direction too, and that is all that is refused.
    assert_eq!(said, [b"\xff\xfc\x2c", FIRST_NOTICE].concat());
    // Baud rate, data size, parity and stop size in one segment.
    let settings = [
        &sub(b"\x01\x00\x00\x25\x80")[..],
        &sub(b"\x02\x07"),
        &sub(b"\x03\x03"),
        &sub(b"\x04\x02"),
    ]
    .concat();
    let expected = [
        &sub(b"\x65\x00\x00\x25\x80")[..],
        &sub(b"\x66\x07"),
        &sub(b"\x67\x03"),
        &sub(b"\x68\x02"),
    ]
    .concat();
    assert_eq!(peer.say(&settings), expected);
    // Flow control, DTR, RTS, purge of both buffers one after the other.
    for (wish, answer) in [
        (b"\x05\x01", b"\x69\x01"),
        (b"\x05\x08", b"\x69\x08"),
        (b"\x05\x0c", b"\x69\x0c"),
        (b"\x0c\x01", b"\x70\x01"),
        (b"\x0c\x02", b"\x70\x02"),
    ] {
        assert_eq!(peer.say(&sub(wish)), sub(answer));
    }
    assert!(!peer.in_force.rts && peer.in_force.dtr);
}

#[test]
fn pyserial_whose_agreement_was_overtaken_by_our_wish_is_served() {
    // Recorded from pyserial 3.5: its reader has seen our DO COM-PORT before it came to say WILL, so it takes the option
    // for agreed on, and says nothing of it but the first settings.
    let hello = b"\xff\xfd\x00\xff\xfb\x00\xff\xfd\x2c";
    let settings = b"\xff\xfa\x2c\x01\x00\x00\x25\x80\xff\xf0\xff\xfa\x2c\x02\x08\xff\xf0\
                     \xff\xfa\x2c\x03\x01\xff\xf0\xff\xfa\x2c\x04\x01\xff\xf0";
    let mut peer = Peer::new();
    assert_eq!(peer.say(hello), b"\xff\xfc\x2c");
    let expected = [
        FIRST_NOTICE,
        &sub(b"\x65\x00\x00\x25\x80"),
        &sub(b"\x66\x08"),
        &sub(b"\x67\x01"),
        &sub(b"\x68\x01"),
    ]
    .concat();
    assert_eq!(peer.say(settings), expected);
    assert!(peer.server.is_agreed());
    // A WILL that comes late changes nothing, and is not answered.
    assert_eq!(peer.say(WILL), b"");
}

#[test]
fn a_client_that_refused_the_option_is_not_served_by_it() {
    let mut peer = Peer::new();
    assert_eq!(peer.say(b"\xff\xfc\x2c"), b"");
    assert_eq!(peer.say(&sub(b"\x01\x00\x00\x25\x80")), b"");
    assert!(peer.requests.is_empty() && !peer.server.is_agreed());
}

#[test]
fn a_wish_the_port_cannot_grant_is_acknowledged_with_the_old_value() {
    let mut peer = Peer::agreed();
    peer.server.handle_input(&sub(b"\x02\x07"), &mut peer.out);
    assert_eq!(
        peer.server.poll_request(&mut peer.out),
        Some(Request::SetDataSize(7))
    );
    peer.server.settle(IN_FORCE, &mut peer.out);
    assert_eq!(peer.out.split(), sub(b"\x66\x08"));
}

#[test]
fn questions_and_reserved_values_are_answered_and_touch_nothing() {
    let mut peer = Peer::agreed();
    for (question, answer) in [
        (&b"\x00"[..], &b"\x64uartd"[..]),
        (b"\x01\x00\x00\x00\x00", b"\x65\x00\x01\xc2\x00"),
        (b"\x02\x00", b"\x66\x08"),
        (b"\x02\x09", b"\x66\x08"),
        (b"\x03\x00", b"\x67\x01"),
        (b"\x03\x06", b"\x67\x01"),
        (b"\x04\x00", b"\x68\x01"),
        (b"\x04\xff", b"\x68\x01"),
        (b"\x05\x00", b"\x69\x01"),
        (b"\x05\x04", b"\x69\x06"),
        (b"\x05\x07", b"\x69\x08"),
        (b"\x05\x0a", b"\x69\x0b"),
        (b"\x05\x0d", b"\x69\x0e"),
        (b"\x05\x10", b"\x69\x0e"),
        (b"\x05\x11", b"\x69\x01"),
        (b"\x05\x12", b"\x69\x0e"),
        (b"\x05\x13", b"\x69\x01"),
        (b"\x05\x7f", b"\x69\x01"),
        (b"\x06\x00", b"\x6a\x00"),
        (b"\x07\x00", b"\x6b\xb0"),
        // As pyserial 3.5 asks with `?poll_modem`: without a value.
        (b"\x06", b"\x6a\x00"),
        (b"\x07", b"\x6b\xb0"),
        (b"\x0a\xff", b"\x6e\xff"),
        (b"\x0b\x0f", b"\x6f\x0f"),
        (b"\x0c\x00", b"\x70\x00"),
        (b"\x0c\x09", b"\x70\x00"),
        // Short, unknown and empty ones mean nothing, and change nothing.
        (b"\x01\x0e", b""),
        (b"\x02", b""),
        (b"\x63\x01", b""),
        (b"", b""),
    ] {
        let expected = if answer.is_empty() {
            Vec::new()
        } else {
            sub(answer)
        };
        assert_eq!(peer.say(&sub(question)), expected, "to {question:02x?}");
    }
    assert_eq!(peer.requests, []);
    assert_eq!(
        peer.say(&sub(b"\x01\x00\x00\x25\x80")),
        sub(b"\x65\x00\x00\x25\x80"),
        "no dialect was latched"
    );
}

#[test]
fn break_on_and_off_are_answered_as_what_they_are() {
    let mut peer = Peer::agreed();
    assert_eq!(peer.say(&sub(b"\x05\x05")), sub(b"\x69\x05"));
    assert_eq!(peer.say(&sub(b"\x05\x04")), sub(b"\x69\x05"));
    assert_eq!(peer.say(&sub(b"\x05\x06")), sub(b"\x69\x06"));
    assert_eq!(
        peer.say(b"\xff\xf3"),
        b"",
        "the NVT's BRK has no acknowledgement"
    );
    assert_eq!(
        peer.requests,
        [
            Request::SetBreak(true),
            Request::SetBreak(false),
            Request::SendBreak
        ]
    );
}

#[test]
fn data_waits_for_the_settings_before_it_and_a_question_for_its_turn() {
    let mut peer = Peer::agreed();
    let segment = [
        b"old".to_vec(),
        sub(b"\x01\x00\x00\x25\x80"),
        sub(b"\x01\x00\x00\x00\x00"),
        b"new".to_vec(),
    ]
    .concat();
    peer.server.handle_input(&segment, &mut peer.out);
    let (server, out) = (&mut peer.server, &mut peer.out);
    assert_eq!(
        server.poll_request(out),
        Some(Request::Write(Bytes::from_static(b"old")))
    );
    assert_eq!(server.poll_request(out), Some(Request::SetBaud(9600)));
    assert_eq!(
        server.poll_request(out),
        None,
        "the baud rate is not settled"
    );
    assert_eq!(&out[..], b"");
    assert!(!server.is_idle() && !server.is_plain(b"it waits"));
    server.settle(
        InForce {
            baud: 9600,
            ..IN_FORCE
        },
        out,
    );
    assert_eq!(
        server.poll_request(out),
        Some(Request::Write(Bytes::from_static(b"new")))
    );
    assert_eq!(
        out.split(),
        [sub(b"\x65\x00\x00\x25\x80"), sub(b"\x65\x00\x00\x25\x80")].concat()
    );
    assert!(server.is_idle() && server.is_plain(b"it waits for nothing"));
}

#[test]
fn modem_lines_are_told_with_their_changes_under_the_mask() {
    let mut peer = Peer::agreed();
    let change = |peer: &mut Peer, modem| {
        peer.server
            .handle_in_force(InForce { modem, ..IN_FORCE }, &mut peer.out);
        peer.out.split().to_vec()
    };
    assert_eq!(change(&mut peer, 0b1011_0000), b"", "nothing has changed");
    assert_eq!(
        change(&mut peer, 0b1010_0000),
        sub(&[107, 0b1010_0001]),
        "CTS fell"
    );
    assert_eq!(
        change(&mut peer, 0b1110_0000),
        sub(&[107, 0b1110_0000]),
        "RI rose, which has no delta"
    );
    assert_eq!(
        change(&mut peer, 0b1010_0000),
        sub(&[107, 0b1010_0100]),
        "RI fell"
    );
    assert_eq!(
        change(&mut peer, 0),
        sub(&[107, 0b0000_1010]),
        "DCD and DSR fell"
    );
    peer.say(&sub(&[11, 0b0001_0001]));
    assert_eq!(
        change(&mut peer, 0b1000_0000),
        b"",
        "DCD is not under the mask"
    );
    assert_eq!(change(&mut peer, 0b1001_0000), sub(&[107, 0b0001_0001]));
}

#[test]
fn line_states_are_told_only_under_the_mask_which_is_empty_at_first() {
    let mut peer = Peer::agreed();
    peer.server.handle_line_state(0b0001_1000, &mut peer.out);
    assert_eq!(peer.out.split(), b"".as_slice());
    peer.say(&sub(b"\x0a\x08"));
    peer.server.handle_line_state(0b0001_1000, &mut peer.out);
    assert_eq!(peer.out.split(), sub(b"\x6a\x08"));
}

#[test]
fn a_suspended_client_still_gets_its_acknowledgements_and_later_the_change_it_missed() {
    let mut peer = Peer::agreed();
    assert_eq!(peer.say(&sub(b"\x08")), b"");
    assert!(peer.server.is_suspended());
    peer.server.handle_in_force(
        InForce {
            modem: 0,
            ..IN_FORCE
        },
        &mut peer.out,
    );
    assert_eq!(peer.out.split(), b"".as_slice());
    assert_eq!(peer.say(&sub(b"\x05\x04")), sub(b"\x69\x06"));
    peer.say(&sub(b"\x0a\xff"));
    for state in [16, 8] {
        peer.server.handle_line_state(state, &mut peer.out);
    }
    assert_eq!(peer.out.split(), b"".as_slice());
    let missed = [sub(&[106, 16 + 8]), sub(&[107, 0b0000_1011])].concat();
    assert_eq!(peer.say(&sub(b"\x09")), missed);
    assert!(!peer.server.is_suspended());
}

#[test]
fn a_client_that_does_not_speak_rfc_2217_gets_plain_telnet() {
    let mut peer = Peer::new();
    // inetutils telnet, recorded: agrees to BINARY, ECHO and SGA and refuses COM-PORT.
    let said =
        peer.say(b"\xff\xfd\x00\xff\xfb\x00\xff\xfd\x03\xff\xfb\x03\xff\xfd\x01\xff\xfc\x2c");
    assert_eq!(said, b"");
    assert_eq!(
        peer.say(&sub(b"\x01\x00\x00\x25\x80")),
        b"",
        "the option is not agreed on"
    );
    assert_eq!(peer.say(b"\xff\xf6"), b"\xff\xf1", "are you there: a NOP");
    peer.say(b"LED ON\r\0");
    assert_eq!(
        peer.requests,
        [Request::Write(Bytes::from_static(b"LED ON\r\0"))],
        "BINARY is agreed on"
    );
    peer.server.handle_in_force(
        InForce {
            modem: 0,
            ..IN_FORCE
        },
        &mut peer.out,
    );
    assert_eq!(peer.out.split(), b"".as_slice());
}

#[test]
fn input_is_no_longer_wanted_when_too_much_waits_for_a_slow_port() {
    let mut peer = Peer::agreed();
    let mut sent = 0;
    while peer.server.wants_input() {
        peer.server
            .handle_input(&sub(b"\x01\x00\x00\x25\x80"), &mut peer.out);
        sent += 1;
        assert!(sent < 10_000, "it takes requests without end");
    }
    assert_eq!(
        peer.say(b"").len(),
        sent * sub(b"\x65\x00\x00\x25\x80").len(),
        "and every one of them is acknowledged"
    );
}

#[test]
fn bytes_behind_an_unsettled_setting_do_not_pile_up() {
    let mut peer = Peer::agreed();
    peer.server
        .handle_input(&sub(b"\x01\x00\x00\x25\x80"), &mut peer.out);
    assert_eq!(
        peer.server.poll_request(&mut peer.out),
        Some(Request::SetBaud(9600))
    );
    let mut taken = 0;
    while peer.server.wants_input() {
        peer.server.handle_input(&[b'\r'; 1000], &mut peer.out);
        taken += 1000;
        assert!(taken < 1_000_000, "it takes bytes without end");
    }
    peer.server.settle(IN_FORCE, &mut peer.out);
    let Some(Request::Write(bytes)) = peer.server.poll_request(&mut peer.out) else {
        panic!("the bytes are gone")
    };
    assert_eq!(bytes.len(), taken);
}

fn telnet_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 0..6).prop_map(|payload| sub(&payload)),
        3 => (0u8..13, any::<u8>()).prop_map(|(code, value)| sub(&[code, value])),
        2 => prop::collection::vec(any::<u8>(), 0..8),
        1 => (251u8..=254, prop_oneof![Just(0u8), Just(1), Just(3), Just(44), any::<u8>()]).prop_map(|(verb, option)| vec![255, verb, option]),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_ask_for_the_same_and_the_output_is_bounded(
        bytes in telnet_like(),
        step in 1usize..9,
    ) {
        let (mut whole, mut pieces) = (Peer::agreed(), Peer::agreed());
        let said = whole.say(&bytes);
        let said_in_pieces: Vec<u8> = bytes.chunks(step).flat_map(|piece| pieces.say(piece)).collect();
        let written = |peer: &Peer| {
            let mut all = Vec::new();
            for request in &peer.requests {
                match request {
                    Request::Write(bytes) => all.extend_from_slice(bytes),
                    other => all.extend_from_slice(format!("{other:?}").as_bytes()),
                }
            }
            all
        };
        prop_assert_eq!(written(&whole), written(&pieces));
        // Whoever leaves out what is plain misses nothing.
        let mut short = Peer::agreed();
        for piece in bytes.chunks(step) {
            if short.server.is_plain(piece) {
                short.requests.push(Request::Write(Bytes::copy_from_slice(piece)));
            } else {
                short.say(piece);
            }
        }
        prop_assert_eq!(written(&short), written(&pieces));
        // The longest answer is the signature's, 12 bytes to 6; a baud rate's answer may be longer than its question by
        // its doubled bytes.
        prop_assert!(said.len() <= 3 * bytes.len() + 16, "{} bytes answered by {}", bytes.len(), said.len());
        prop_assert!(said_in_pieces.len() <= 3 * bytes.len() + 16);
        prop_assert!(whole.server.is_idle());
    }
}
