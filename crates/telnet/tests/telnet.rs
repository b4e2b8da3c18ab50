//! The telnet end as a whole: bytes of the RFCs and of foreign programs, any split of them, and what may never happen.

use bytes::BytesMut;
use proptest::prelude::*;
use uartnet_telnet::com_port::{ByteCode, ComPortError, Message};
use uartnet_telnet::{Command, Event, MAX_SUBNEGOTIATION, Policy, Side, Telnet, TelnetOption};

/// What a gateway allows.
const SERVER: Policy = Policy {
    us: &[
        TelnetOption::BINARY,
        TelnetOption::ECHO,
        TelnetOption::SUPPRESS_GO_AHEAD,
    ],
    him: &[
        TelnetOption::BINARY,
        TelnetOption::SUPPRESS_GO_AHEAD,
        TelnetOption::COM_PORT,
    ],
};

/// Events as text, data joined, and everything that was sent.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
struct Seen {
    events: Vec<String>,
    data: Vec<u8>,
    sent: Vec<u8>,
}

/// Feeds the pieces to one end and writes down what happens.
fn feed<'a>(telnet: &mut Telnet, pieces: impl IntoIterator<Item = &'a [u8]>) -> Seen {
    let mut seen = Seen::default();
    let mut out = BytesMut::new();
    for piece in pieces {
        telnet.handle_input(piece, &mut out, |event, _| match event {
            Event::Data(data) => {
                assert!(!data.is_empty());
                seen.data.extend_from_slice(data);
            }
            event => seen.events.push(format!("{} {event:?}", seen.data.len())),
        });
    }
    seen.sent = out.to_vec();
    seen
}

/// [`feed`], where what is plain is taken as it is.
fn feed_or_take<'a>(telnet: &mut Telnet, pieces: impl IntoIterator<Item = &'a [u8]>) -> Seen {
    let mut all = Seen::default();
    for piece in pieces {
        if telnet.is_plain(piece) {
            all.data.extend_from_slice(piece);
            continue;
        }
        let before = all.data.len();
        let seen = feed(telnet, [piece]);
        all.events.extend(seen.events.iter().map(|event| {
            let (at, event) = event.split_once(' ').expect("feed wrote it");
            let at: usize = at.parse().expect("feed wrote it");
            format!("{} {event}", before + at)
        }));
        all.data.extend(seen.data);
        all.sent.extend(seen.sent);
    }
    all
}

#[test]
fn the_hello_of_pyserial_is_agreed_to_and_nothing_is_answered_twice() {
    // pyserial 3.5, recorded: DO ECHO, WILL SGA, DO SGA, DO COM-PORT, WILL COM-PORT.
    let hello = b"\xff\xfd\x01\xff\xfb\x03\xff\xfd\x03\xff\xfd\x2c\xff\xfb\x2c";
    let mut telnet = Telnet::new(SERVER);
    let seen = feed(&mut telnet, [&hello[..]]);
    // WILL ECHO, DO SGA, WILL SGA, WONT COM-PORT, DO COM-PORT.
    assert_eq!(
        seen.sent,
        b"\xff\xfb\x01\xff\xfd\x03\xff\xfb\x03\xff\xfc\x2c\xff\xfd\x2c"
    );
    assert!(telnet.is_on(Side::Him, TelnetOption::COM_PORT));
    assert!(!telnet.is_on(Side::Us, TelnetOption::COM_PORT));
    // Said again, only what was refused is answered again.
    assert_eq!(feed(&mut telnet, [&hello[..]]).sent, b"\xff\xfc\x2c");
}

#[test]
fn the_hello_of_kermit_gets_a_refusal_for_each_option_we_do_not_have() {
    // C-Kermit, recorded: WILL 37, WILL TTYPE, WILL 39, WILL COM-PORT, DO SGA, WILL SGA, DO BINARY, WILL BINARY, DO ECHO.
    let hello = b"\xff\xfb\x25\xff\xfb\x18\xff\xfb\x27\xff\xfb\x2c\xff\xfd\x03\xff\xfb\x03\xff\xfd\x00\xff\xfb\x00\xff\xfd\x01";
    let seen = feed(&mut Telnet::new(SERVER), [&hello[..]]);
    assert_eq!(
        seen.sent,
        b"\xff\xfe\x25\xff\xfe\x18\xff\xfe\x27\xff\xfd\x2c\xff\xfb\x03\xff\xfd\x03\xff\xfb\x00\xff\xfd\x00\xff\xfb\x01"
    );
}

#[test]
fn the_hello_of_ser2net_is_not_answered_where_we_asked_first() {
    // ser2net 4.3.11, recorded: WILL SGA, DO SGA, WILL ECHO, DONT ECHO, DO BINARY, WILL BINARY, DO COM-PORT.
    let hello =
        b"\xff\xfb\x03\xff\xfd\x03\xff\xfb\x01\xff\xfe\x01\xff\xfd\x00\xff\xfb\x00\xff\xfd\x2c";
    let mut client = Telnet::new(Policy {
        us: SERVER.him,
        him: SERVER.us,
    });
    let mut out = BytesMut::new();
    client.want(Side::Us, TelnetOption::COM_PORT, true, &mut out);
    client.want(Side::Us, TelnetOption::BINARY, true, &mut out);
    client.want(Side::Him, TelnetOption::BINARY, true, &mut out);
    assert_eq!(&out[..], b"\xff\xfb\x2c\xff\xfb\x00\xff\xfd\x00");
    let seen = feed(&mut client, [&hello[..]]);
    assert_eq!(seen.sent, b"\xff\xfd\x03\xff\xfb\x03\xff\xfd\x01");
    assert!(client.is_on(Side::Us, TelnetOption::COM_PORT));
}

#[test]
fn a_baud_rate_full_of_iac_is_doubled_and_comes_back() {
    // RFC 2217 section 3: any 0xFF inside a subnegotiation is doubled. 4,294,967,295 is the worst there is.
    for (rate, wire) in [
        (255, &b"\xff\xfa\x2c\x01\x00\x00\x00\xff\xff\xff\xf0"[..]),
        (65_535, b"\xff\xfa\x2c\x01\x00\x00\xff\xff\xff\xff\xff\xf0"),
        (115_200, b"\xff\xfa\x2c\x01\x00\x01\xc2\x00\xff\xf0"),
        (
            u32::MAX,
            b"\xff\xfa\x2c\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xf0",
        ),
    ] {
        let (mut payload, mut out) = (BytesMut::new(), BytesMut::new());
        Message::BaudRate(rate).encode_from_client(&mut payload);
        let mut telnet = Telnet::new(SERVER);
        telnet.send_subnegotiation(TelnetOption::COM_PORT, &payload, &mut out);
        assert_eq!(&out[..], wire);
        let mut found = None;
        telnet.handle_input(wire, &mut BytesMut::new(), |event, _| {
            if let Event::Subnegotiation { payload, .. } = event {
                found = Some(Message::from_client(payload));
            }
        });
        assert_eq!(found, Some(Ok(Message::BaudRate(rate))));
    }
}

#[test]
fn every_com_port_message_is_numbered_as_in_the_rfc() {
    use ByteCode::*;
    let numbered = [
        (Message::Signature(b"uartd".to_vec()), 0, &b"uartd"[..]),
        (Message::BaudRate(9600), 1, b"\x00\x00\x25\x80"),
        (Message::Byte(DataSize, 8), 2, b"\x08"),
        (Message::Byte(Parity, 1), 3, b"\x01"),
        (Message::Byte(StopSize, 3), 4, b"\x03"),
        (Message::Byte(Control, 8), 5, b"\x08"),
        (Message::Byte(LineState, 16), 6, b"\x10"),
        (Message::Byte(ModemState, 0xb0), 7, b"\xb0"),
        (Message::Suspend, 8, b""),
        (Message::Resume, 9, b""),
        (Message::Byte(LineStateMask, 255), 10, b"\xff"),
        (Message::Byte(ModemStateMask, 0), 11, b"\x00"),
        (Message::Byte(Purge, 3), 12, b"\x03"),
    ];
    for (message, code, value) in numbered {
        let (mut client, mut server) = (BytesMut::new(), BytesMut::new());
        message.encode_from_client(&mut client);
        message.encode_from_server(&mut server);
        assert_eq!(client[..], [&[code], value].concat()[..]);
        assert_eq!(server[..], [&[code + 100], value].concat()[..]);
        assert_eq!(Message::from_client(&client), Ok(message.clone()));
        assert_eq!(Message::from_server(&server), Ok(message));
    }
}

#[test]
fn what_rfc_2217_does_not_know_is_an_error_value() {
    assert_eq!(Message::from_client(b""), Err(ComPortError::Empty));
    assert_eq!(
        Message::from_client(b"\x0d\x01"),
        Err(ComPortError::Unknown { code: 13 })
    );
    assert_eq!(
        Message::from_client(b"\x65\x00\x00\x25\x80"),
        Err(ComPortError::Unknown { code: 101 })
    );
    assert_eq!(
        Message::from_server(b"\x01\x00\x00\x25\x80"),
        Err(ComPortError::Unknown { code: 1 })
    );
    // A one-byte baud rate puts other servers into another dialect for ever; here it is only short.
    assert_eq!(
        Message::from_client(b"\x01\x0e"),
        Err(ComPortError::Short {
            code: 1,
            needed: 4,
            found: 1
        })
    );
    assert_eq!(
        Message::from_client(b"\x02"),
        Err(ComPortError::Short {
            code: 2,
            needed: 1,
            found: 0
        })
    );
    // Padding behind a value is seen from real servers.
    assert_eq!(
        Message::from_server(b"\x65\x00\x00\x25\x80\x00\x00\x00\x00"),
        Ok(Message::BaudRate(9600))
    );
    // Some servers send suspend and resume without the 100.
    assert_eq!(Message::from_server(b"\x08"), Ok(Message::Suspend));
    let long = [&[0][..], &[b'x'; 1000]].concat();
    assert_eq!(
        Message::from_client(&long),
        Ok(Message::Signature(vec![b'x'; 255]))
    );
}

#[test]
fn outside_binary_the_filler_of_a_bare_cr_is_not_data() {
    let mut telnet = Telnet::new(SERVER);
    assert_eq!(
        feed(&mut telnet, [&b"a\r\0b\r\nc\0d"[..]]).data,
        b"a\rb\r\nc\0d"
    );
    assert_eq!(feed(&mut telnet, [&b"\r"[..], b"\0", b"\0"]).data, b"\r\0");
    // WILL BINARY: from here a NUL after CR is data, in both directions.
    assert_eq!(feed(&mut telnet, [&b"\r\xff\xfb\x00\0"[..]]).data, b"\r\0");
    assert_eq!(feed(&mut telnet, [&b"a\r\0b"[..]]).data, b"a\r\0b");
    let mut out = BytesMut::new();
    telnet.send_data(b"\r", &mut out);
    telnet.handle_input(b"\xff\xfd\x00", &mut out, |_, _| {});
    telnet.send_data(b"\r\xff", &mut out);
    assert_eq!(
        &out[..],
        b"\r\0\xff\xfb\x00\r\xff\xff",
        "the CR sent before BINARY is completed before it begins"
    );
}

#[test]
fn a_synch_throws_data_away_until_its_mark_and_commands_survive() {
    let mut telnet = Telnet::new(SERVER);
    telnet.handle_urgent();
    assert!(!telnet.is_plain(b"lost"));
    let seen = feed(&mut telnet, [&b"lost\xff\xf6lost\xff\xf2kept"[..]]);
    assert_eq!(seen.data, b"kept");
    assert!(telnet.is_plain(b"kept"));
    assert_eq!(
        seen.events,
        ["0 Command(AreYouThere)", "0 Command(DataMark)"]
    );
}

#[test]
fn malformed_subnegotiations_do_not_change_what_follows() {
    for (wire, events) in [
        (
            &b"\xff\xfa\xff\xf0"[..],
            vec!["0 Subnegotiation { option: None, payload: [] }"],
        ),
        (
            b"\xff\xfa\x2c\xff\xf0",
            vec!["0 Subnegotiation { option: Some(TelnetOption(44)), payload: [] }"],
        ),
        (b"\xff\xf0", vec!["0 Command(Other(240))"]),
        // An IAC inside that nobody doubled is taken for data.
        (
            b"\xff\xfa\x2c\x00\xff\x41\xff\xf0",
            vec!["0 Subnegotiation { option: Some(TelnetOption(44)), payload: [0, 255, 65] }"],
        ),
        // One that never ended, and another that does.
        (
            b"\xff\xfa\x2c\x02\xff\xfa\x2c\x03\x01\xff\xf0",
            vec!["0 Subnegotiation { option: Some(TelnetOption(44)), payload: [3, 1] }"],
        ),
    ] {
        let seen = feed(&mut Telnet::new(SERVER), [wire, b"after"]);
        assert_eq!(seen.data, b"after");
        assert_eq!(seen.events, events);
        assert_eq!(seen.sent, b"");
    }
}

#[test]
fn the_longest_subnegotiation_is_kept_and_one_byte_more_is_skipped_whole() {
    for length in [
        MAX_SUBNEGOTIATION - 1,
        MAX_SUBNEGOTIATION,
        MAX_SUBNEGOTIATION + 1,
        100_000,
    ] {
        let wire = [&b"\xff\xfa\x2c"[..], &vec![7; length], b"\xff\xf0after"].concat();
        let (mut kept, mut skipped, mut data) = (None, 0, Vec::new());
        Telnet::new(SERVER).handle_input(&wire, &mut BytesMut::new(), |event, _| match event {
            Event::Subnegotiation { payload, .. } => kept = Some(payload.len()),
            Event::SubnegotiationTooLong { option } => {
                assert_eq!(option, TelnetOption::COM_PORT);
                skipped += 1;
            }
            Event::Data(bytes) => data.extend_from_slice(bytes),
            other => panic!("{other:?}"),
        });
        assert_eq!(
            (kept, skipped),
            if length <= MAX_SUBNEGOTIATION {
                (Some(length), 0)
            } else {
                (None, 1)
            }
        );
        assert_eq!(data, b"after");
    }
}

#[test]
fn every_command_is_told_by_its_name() {
    let names: Vec<String> = (240..=249)
        .map(|byte| {
            let mut name = String::new();
            Telnet::new(SERVER).handle_input(&[255, byte], &mut BytesMut::new(), |event, _| {
                match event {
                    Event::Command(Command::Other(byte)) => name = byte.to_string(),
                    Event::Command(command) => name = format!("{command:?}"),
                    other => panic!("{other:?}"),
                }
            });
            name
        })
        .collect();
    assert_eq!(
        names,
        [
            "240",
            "Nop",
            "DataMark",
            "Break",
            "InterruptProcess",
            "AbortOutput",
            "AreYouThere",
            "EraseCharacter",
            "EraseLine",
            "GoAhead"
        ]
    );
}

/// Bytes that look like telnet more often than chance.
fn telnet_like() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => Just(255u8),
        2 => 240u8..=254,
        2 => prop_oneof![Just(0u8), Just(1), Just(3), Just(44), Just(b'\r'), Just(b'\n')],
        2 => any::<u8>(),
    ];
    prop::collection::vec(byte, 0..300)
}

/// Cuts `bytes` into pieces at the given places.
fn pieces<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_mean_the_same_and_the_output_is_bounded(
        bytes in telnet_like(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let whole = feed(&mut Telnet::new(SERVER), [&bytes[..]]);
        prop_assert_eq!(&feed(&mut Telnet::new(SERVER), pieces(&bytes, &cuts)), &whole);
        prop_assert_eq!(&feed(&mut Telnet::new(SERVER), bytes.chunks(1)), &whole);
        prop_assert_eq!(&feed_or_take(&mut Telnet::new(SERVER), pieces(&bytes, &cuts)), &whole);
        prop_assert_eq!(&feed_or_take(&mut Telnet::new(SERVER), bytes.chunks(1)), &whole);
        prop_assert!(whole.sent.len() <= bytes.len() + 1, "{} bytes answered by {}", bytes.len(), whole.sent.len());
        prop_assert!(whole.data.len() <= bytes.len());
    }

    #[test]
    fn data_arrives_as_it_was_sent_in_binary_and_outside_it(
        data in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(0u8), Just(255), any::<u8>()], 0..200),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        binary in any::<bool>(),
    ) {
        let (mut sender, mut receiver) = (Telnet::new(SERVER), Telnet::new(SERVER));
        if binary {
            feed(&mut sender, [&b"\xff\xfd\x00"[..]]);
            feed(&mut receiver, [&b"\xff\xfb\x00"[..]]);
        }
        let mut wire = BytesMut::new();
        for piece in pieces(&data, &cuts) {
            let (before, as_it_is) = (wire.len(), sender.sends_as_it_is(piece));
            sender.send_data(piece, &mut wire);
            prop_assert!(!as_it_is || &wire[before..] == piece);
        }
        prop_assert_eq!(feed(&mut receiver, pieces(&wire, &cuts)).data, data);
    }

    #[test]
    fn any_subnegotiation_arrives_as_it_was_sent(payload in prop::collection::vec(prop_oneof![Just(255u8), any::<u8>()], 0..600)) {
        let mut wire = BytesMut::new();
        Telnet::new(SERVER).send_subnegotiation(TelnetOption(9), &payload, &mut wire);
        let mut found = None;
        Telnet::new(SERVER).handle_input(&wire, &mut BytesMut::new(), |event, _| {
            if let Event::Subnegotiation { option, payload } = event {
                found = Some((option, payload.to_vec()));
            }
        });
        prop_assert_eq!(found, Some((Some(TelnetOption(9)), payload)));
    }

    #[test]
    fn any_com_port_payload_is_a_message_or_an_error(payload in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(message) = Message::from_client(&payload) {
            let mut again = BytesMut::new();
            message.encode_from_client(&mut again);
            // NOTIFY-LINESTATE and NOTIFY-MODEMSTATE without a value are questions, and understood as with 0.
            let said = match payload[..] {
                [question @ (6 | 7)] => vec![question, 0],
                _ => payload.clone(),
            };
            prop_assert!(said.starts_with(&again), "what is understood is what was said");
        }
        let _ = Message::from_server(&payload);
    }
}
