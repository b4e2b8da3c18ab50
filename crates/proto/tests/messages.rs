//! Messages: every kind there and back whatever is in it, everything a peer can get wrong, and gateways newer than us.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

use bytes::{Bytes, BytesMut};
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use uartnet_proto::frame::{self, FrameDecoder, frame_len};
use uartnet_proto::message::*;

proptest! {
    #[test]
    fn what_a_client_says_comes_back_in_any_pieces(
        messages in vec(from_client(), 0..8),
        cuts in vec(any::<prop::sample::Index>(), 0..16),
    ) {
        let payloads = through_a_stream(&messages, FromClient::encode, &cuts);
        let got: Result<Vec<_>, _> = payloads.iter().map(FromClient::decode).collect();
        prop_assert_eq!(got, Ok(messages));
    }

    #[test]
    fn what_a_server_says_comes_back_in_any_pieces(
        messages in vec(from_server(), 0..8),
        cuts in vec(any::<prop::sample::Index>(), 0..16),
    ) {
        let payloads = through_a_stream(&messages, FromServer::encode, &cuts);
        let got: Result<Vec<_>, _> = payloads.iter().map(FromServer::decode).collect();
        prop_assert_eq!(got, Ok(messages));
    }

    /// Whatever arrives ends in a value, and a value can be said again and is then the same.
    #[test]
    fn no_bytes_panic(payload in hostile_payload()) {
        let payload = Bytes::from(payload);
        if let Ok(message) = FromClient::decode(&payload) {
            let mut again = BytesMut::new();
            message.encode(&mut again);
            prop_assert_eq!(FromClient::decode(&again.freeze()), Ok(message));
        }
        if let Ok(message) = FromServer::decode(&payload) {
            let mut again = BytesMut::new();
            message.encode(&mut again);
            prop_assert_eq!(FromServer::decode(&again.freeze()), Ok(message));
        }
        if let Err(error) = FromClient::decode(&payload) {
            prop_assert!(error.to_string().len() < 1_000, "{}", error);
        }
        begins_session(&payload);
    }
}

#[test]
fn bytes_in_json_are_text_or_hex() {
    let blob = |json: &str| {
        serde_json::from_str::<Blob>(json)
            .map(|blob| blob.0.to_vec())
            .map_err(|e| e.to_string())
    };
    assert_eq!(blob(r#""LED ON""#), Ok(b"LED ON".to_vec()));
    assert_eq!(blob(r#""gr\u00fc\u0000""#), Ok("grü\0".as_bytes().to_vec()));
    assert_eq!(blob(r#"{"hex":""}"#), Ok(vec![]));
    assert_eq!(blob(r#"{"hex":"00fFAa"}"#), Ok(vec![0x00, 0xff, 0xaa]));
    assert_eq!(blob(r#"{"hex":"41","later":[]}"#), Ok(b"A".to_vec()));
    for (json, problem) in [
        (r#"{"hex":"0"}"#, "hex has an odd number of digits"),
        (r#"{"hex":"000"}"#, "hex has an odd number of digits"),
        (r#"{"hex":"0x"}"#, "'x' at character 1 is not hex"),
        (r#"{"hex":"00 11"}"#, "' ' at character 2 is not hex"),
        (r#"{"hex":"+1"}"#, "'+' at character 0 is not hex"),
        (r#"{"hex":"１１"}"#, "'１' at character 0 is not hex"),
        (r#"{"hex":"00","hex":"11"}"#, "duplicate field `hex`"),
        (r#"{"HEX":"00"}"#, "missing field `hex`"),
        (r#"{"hex":["00"]}"#, "expected a string"),
        ("[0,255]", "expected a string or {\"hex\":\"…\"}"),
        ("null", "expected a string or {\"hex\":\"…\"}"),
    ] {
        let error = blob(json).unwrap_err();
        assert!(error.contains(problem), "{json}: {error}");
    }
    assert_eq!(
        serde_json::to_string(&Blob(Bytes::from_static(b"\x00\xff"))).unwrap(),
        r#"{"hex":"00ff"}"#
    );
    assert_eq!(
        serde_json::to_string(&Blob(Bytes::from_static(b"a\n"))).unwrap(),
        r#""a\n""#
    );
}

#[test]
fn a_session_begins_with_an_object_that_has_the_key_hello() {
    for payload in [
        r#"{"hello":"uartnet/1"}"#,
        r#"{"token":"x","hello":"uartnet/2"}"#,
        r#"{ "hello" : 5 }"#,
        r#"{"hello":"uartnet/1","ask":"two kinds, told when it is decoded"}"#,
        r#"{"h\u0065llo":"uartnet/1"}"#,
    ] {
        assert!(begins_session(payload.as_bytes()), "{payload}");
    }
    for payload in [
        "",
        "Hello IoT!",
        "hello",
        "{",
        "{}",
        r#"{"hello"}"#,
        r#"{"hello":"uartnet/1""#,
        r#"{"hello":"uartnet/1"} and more"#,
        r#" {"hello":"uartnet/1"}"#,
        r#"["hello"]"#,
        r#"{"Hello":"uartnet/1"}"#,
        r#"{"say":{"hello":"uartnet/1"}}"#,
        "0:{\"hello\":1}",
    ] {
        assert!(!begins_session(payload.as_bytes()), "{payload}");
    }
    assert!(!begins_session(b"{\"hello\":\"\xff\"}"));
}

#[test]
fn what_is_wrong_is_said_with_the_kind_and_the_id() {
    use MessageError::*;
    let bad_field = |kind, id, problem: &str| BadField {
        kind,
        problem: problem.into(),
        id,
    };
    for (payload, error) in [
        (&b""[..], NeitherControlNorData { found: "an empty one".into() }),
        (b"ask board0", NeitherControlNorData { found: "\"a\"".into() }),
        (b"[1]", NeitherControlNorData { found: "\"[\"".into() }),
        (b" {}", NeitherControlNorData { found: "\" \"".into() }),
        (b"-1:x", NeitherControlNorData { found: "\"-\"".into() }),
        (b"\xff", NeitherControlNorData { found: "0xff".into() }),
        (b"0", BadOffset { problem: "it ends at byte 1".into() }),
        (b"12x", BadOffset { problem: "byte 2 is \"x\"".into() }),
        (b"1 :x", BadOffset { problem: "byte 1 is \" \"".into() }),
        (b"1_:x", BadOffset { problem: "byte 1 is \"_\"".into() }),
        (b"00:x", BadOffset { problem: "it begins with 0".into() }),
        (b"01:x", BadOffset { problem: "it begins with 0".into() }),
        (b"18446744073709551616:x", BadOffset { problem: "it is larger than 18446744073709551615".into() }),
        (b"99999999999999999999:x", BadOffset { problem: "it is larger than 18446744073709551615".into() }),
        (b"000000000000000000001:x", BadOffset { problem: "more than 20 digits".into() }),
        (b"{", NotJson { problem: "EOF while parsing an object at line 1 column 1".into() }),
        (b"{}}", NotJson { problem: "trailing characters at line 1 column 3".into() }),
        (b"{\"ask\":\"\xc3\"}", NotJson { problem: "byte 8 is not UTF-8".into() }),
        (b"{\"ask\":\"\n\"}", NotJson {
            problem: "control character (\\u0000-\\u001F) found while parsing a string at line 1 column 8".into(),
        }),
        (b"{}", UnknownKind { keys: "it has none".into(), id: None }),
        (br#"{"id":3}"#, UnknownKind { keys: "it has none".into(), id: Some(3) }),
        (br#"{"frobnicate":"board0","id":3,"Ask":1}"#, UnknownKind { keys: "frobnicate, Ask".into(), id: Some(3) }),
        (br#"{"a\nb":1,"id":"x"}"#, UnknownKind { keys: "a\\nb".into(), id: None }),
        (br#"{"reply":"on"}"#, UnknownKind { keys: "reply".into(), id: None }),
        (br#"{"purge":"a","id":9,"ask":"b"}"#, TwoKinds { first: "ask", second: "purge", id: Some(9) }),
        (
            br#"{"ask":"board0","id":9}"#,
            bad_field("ask", Some(9), "missing field `command` at line 1 column 23"),
        ),
        (
            br#"{"info":7,"id":9}"#,
            bad_field("info", Some(9), "invalid type: integer `7`, expected a string at line 1 column 9"),
        ),
        (
            br#"{"info":"a","info":"b","id":9}"#,
            bad_field("info", Some(9), "duplicate field `info` at line 1 column 18"),
        ),
        (
            br#"{"lease":"a","action":"borrow","id":0}"#,
            bad_field(
                "lease",
                Some(0),
                "unknown variant `borrow`, expected one of `take`, `release`, `steal` at line 1 column 30",
            ),
        ),
        (
            br#"{"ping":-1}"#,
            bad_field("ping", None, "invalid value: integer `-1`, expected u64 at line 1 column 10"),
        ),
    ] {
        let shown = String::from_utf8_lossy(payload);
        assert_eq!(FromClient::decode(&Bytes::from_static(payload)), Err(error.clone()), "{shown}");
        let expected = match error {
            UnknownKind { .. } => ErrorCode::UnknownMessage,
            _ => ErrorCode::BadMessage,
        };
        assert_eq!(error.answer(), ErrorAnswer::new(expected, error.to_string()));
    }
}

#[test]
fn an_id_is_a_number_of_64_bits_or_absent() {
    let id = |id: &str| {
        let payload = format!("{{\"ping\":1,\"id\":{id}}}");
        FromClient::decode(&payload.into()).map(|message| match message {
            FromClient::Control(_, id) => id,
            FromClient::Data { .. } => panic!("not data"),
        })
    };
    assert_eq!(id("0"), Ok(Some(0)));
    assert_eq!(id("18446744073709551615"), Ok(Some(u64::MAX)));
    assert_eq!(id("null"), Ok(None));
    for wrong in [
        "18446744073709551616",
        "-1",
        "1.0",
        "1e0",
        "\"1\"",
        "true",
        "[1]",
        "{}",
        "1,\"id\":1",
    ] {
        let error = id(wrong).unwrap_err();
        assert!(
            matches!(
                error,
                MessageError::BadField {
                    kind: "ping",
                    id: None,
                    ..
                }
            ),
            "{wrong}: {error}"
        );
    }
}

#[test]
fn unknown_fields_are_ignored_and_null_is_absent() {
    let payload = br#"{"x":{"ask":1},"timeout_ms":null,"ask":"b","command":"C","id":null,"y":[[],{}],"z":1e99}"#;
    let ask = Ask {
        ask: "b".into(),
        command: Blob("C".into()),
        timeout_ms: None,
        wait_ms: None,
    };
    assert_eq!(
        FromClient::decode(&Bytes::from_static(payload)),
        Ok(FromClient::Control(Request::Ask(ask), None))
    );
    let open = Open {
        open: "b".into(),
        mode: Mode::Read,
        from: StartAt::Live,
        on_lag: None,
        writer: None,
    };
    assert_eq!(
        FromClient::decode(&Bytes::from_static(br#"{"open":"b"}"#)),
        Ok(FromClient::Control(Request::Open(open), None))
    );
}

#[test]
fn depth_costs_nothing() {
    let deep = 100_000;
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let value = open.repeat(deep) + "1" + &close.repeat(deep);
        for payload in [
            format!("{{\"id\":1,\"x\":{value}}}"),
            format!("{{\"ask\":{value},\"command\":\"C\"}}"),
            format!("{{\"ask\":\"a\",\"command\":{value}}}"),
            format!("{{\"ask\":\"a\",\"command\":{{\"hex\":{value}}}}}"),
            format!("{{\"ask\":\"a\",\"command\":\"C\",\"id\":{value}}}"),
            format!("{{\"open\":\"a\",\"from\":{value}}}"),
            format!("{{\"event\":\"gap\",\"port\":{value}}}"),
            format!("{{\"event\":\"gap\",\"x\":{value}}}"),
            format!("{{\"port\":{{\"x\":{value}}}}}"),
            format!("{{\"ports\":{value}}}"),
            open.repeat(deep),
        ] {
            let payload = Bytes::from(payload);
            let error = FromClient::decode(&payload).unwrap_err();
            assert!(error.to_string().len() < 400, "{error}");
            FromServer::decode(&payload).unwrap_err();
            assert!(!begins_session(&payload));
        }
        // In a field that nobody reads it is skipped.
        let payload = format!("{{\"ping\":1,\"x\":{value}}}");
        assert_eq!(
            FromClient::decode(&payload.into()),
            Ok(FromClient::Control(Request::Ping(Ping { ping: 1 }), None))
        );
    }
}

#[test]
fn an_error_never_repeats_much_of_what_it_is_about() {
    let long = "x".repeat(60_000);
    for payload in [
        format!("{{\"{long}\":1}}"),
        format!("{{\"lease\":\"a\",\"action\":\"{long}\"}}"),
        format!("{{\"ping\":\"{long}\"}}"),
        "{".to_owned()
            + &(0..5_000)
                .map(|n| format!("\"k{n}\":0,"))
                .collect::<String>()
            + "\"z\":0}",
    ] {
        let error = FromClient::decode(&Bytes::from(payload)).unwrap_err();
        assert!(error.to_string().len() < 400, "{error}");
    }
}

#[test]
fn data_shares_the_memory_of_its_payload() {
    let payload = Bytes::from("81920:on".to_owned());
    let Ok(FromServer::Data {
        offset: 81_920,
        bytes,
    }) = FromServer::decode(&payload)
    else {
        panic!("not data");
    };
    assert_eq!(bytes.as_ptr(), payload[6..].as_ptr());
    let mut out = BytesMut::from(&b"+"[..]);
    data_header(u64::MAX, &mut out);
    assert_eq!(&out[..], b"+18446744073709551615:");
}

#[test]
fn data_that_fills_its_room_makes_a_frame_that_is_just_allowed() {
    for max_frame in [25, 64, 100, 256, 999, 1000, 1001, 4096, 65_536] {
        let mut header = BytesMut::new();
        data_header(u64::MAX, &mut header);
        let len = frame_len(header.len() + data_room(max_frame));
        assert!(
            len == max_frame || len + 1 == max_frame,
            "{len} of {max_frame}"
        );
    }
    for max_frame in [0, 2, 24] {
        assert_eq!(data_room(max_frame), 1);
    }
}

#[test]
fn what_a_newer_gateway_says_is_a_value() {
    let decode =
        |payload: &'static str| FromServer::decode(&Bytes::from_static(payload.as_bytes()));
    assert_eq!(
        decode(r#"{"event":"weather","port":"board0","degrees":{"outside":-3}}"#),
        Ok(FromServer::Control(Answer::Event(Event::Unknown), None))
    );
    let error = |error| ErrorAnswer::new(error, "m");
    assert_eq!(
        decode(r#"{"error":"out-of-tune","message":"m","id":1,"pitch":440}"#),
        Ok(FromServer::Control(
            Answer::Error(error(ErrorCode::Unknown)),
            Some(1)
        ))
    );
    assert_eq!(
        decode(r#"{"event":"gap","port":"b","from":1,"to":2,"why":"moonlight"}"#),
        Ok(FromServer::Control(
            Answer::Event(Event::Gap {
                port: "b".into(),
                from: 1,
                to: 2,
                why: GapWhy::Unknown
            }),
            None
        ))
    );
    assert_eq!(
        decode(r#"{"melody":"c d e","id":1}"#),
        Err(MessageError::UnknownKind {
            keys: "melody".into(),
            id: Some(1)
        })
    );
    // A field of a later version may have the name of a kind.
    assert_eq!(
        decode(r#"{"pong":7,"error":"none","id":1}"#),
        Ok(FromServer::Control(Answer::Pong(Pong { pong: 7 }), Some(1)))
    );
}

#[test]
fn the_lists_of_kinds_are_those_of_the_messages() {
    let one_of = |strategy: BoxedStrategy<&'static str>| {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let mut kinds: Vec<_> = (0..2_000)
            .map(|_| strategy.new_tree(&mut runner).unwrap().current())
            .collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    };
    let sorted = |kinds: &[&'static str]| {
        let mut kinds = kinds.to_vec();
        kinds.sort_unstable();
        kinds
    };
    assert_eq!(
        one_of(request().prop_map(|request| request.kind()).boxed()),
        sorted(REQUEST_KINDS)
    );
    assert_eq!(
        one_of(answer().prop_map(|answer| answer.kind()).boxed()),
        sorted(ANSWER_KINDS)
    );
}

/// The payloads that come out of a stream of these messages, cut at these places.
fn through_a_stream<M>(
    messages: &[M],
    encode: fn(&M, &mut BytesMut),
    cuts: &[prop::sample::Index],
) -> Vec<Bytes> {
    let mut stream = BytesMut::new();
    for message in messages {
        let mut payload = BytesMut::new();
        encode(message, &mut payload);
        frame::encode(&[&payload], &mut stream);
    }
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    places.extend([0, stream.len()]);
    places.sort_unstable();
    let mut decoder = FrameDecoder::new(1 << 20);
    let mut payloads = Vec::new();
    for place in places.windows(2) {
        decoder.handle_input(&stream[place[0]..place[1]]);
        while let Some(payload) = decoder.poll_frame().unwrap() {
            payloads.push(payload);
        }
    }
    decoder.handle_end().unwrap();
    payloads
}

/// From noise to messages with one thing wrong.
fn hostile_payload() -> impl Strategy<Value = Vec<u8>> {
    let bytes = vec(any::<u8>(), 0..80);
    let words = vec(
        select(
            &[
                "{",
                "}",
                "[",
                "]",
                ":",
                ",",
                "\"",
                "\"ask\"",
                "\"event\"",
                "\"gap\"",
                "\"id\"",
                "\"hex\"",
                "\"port\"",
                "null",
                "0",
                "-1",
                "1e999",
                "\\u0000",
                "\\ud800",
                " ",
                "\"x\"",
            ][..],
        ),
        0..24,
    )
    .prop_map(|words| words.concat().into_bytes());
    let bitten = (
        prop_oneof![
            payload_of(from_client(), FromClient::encode),
            payload_of(from_server(), FromServer::encode)
        ],
        any::<prop::sample::Index>(),
        any::<u8>(),
    )
        .prop_map(|(mut payload, place, byte)| {
            if !payload.is_empty() {
                let place = place.index(payload.len());
                payload[place] = byte;
            }
            payload
        });
    prop_oneof![bytes, words, bitten]
}

fn payload_of<M: std::fmt::Debug>(
    messages: impl Strategy<Value = M>,
    encode: fn(&M, &mut BytesMut),
) -> impl Strategy<Value = Vec<u8>> {
    messages.prop_map(move |message| {
        let mut out = BytesMut::new();
        encode(&message, &mut out);
        out.to_vec()
    })
}

// The strategies are boxed: as one type they would not fit into the stack of a test's thread.

fn from_client() -> BoxedStrategy<FromClient> {
    prop_oneof![
        4 => (request(), any::<Option<u64>>()).prop_map(|(request, id)| FromClient::Control(request, id)),
        1 => (any::<u64>(), bytes()).prop_map(|(offset, bytes)| FromClient::Data { offset, bytes }),
    ]
    .boxed()
}

fn from_server() -> BoxedStrategy<FromServer> {
    prop_oneof![
        4 => (answer(), any::<Option<u64>>()).prop_map(|(answer, id)| FromServer::Control(answer, id)),
        1 => (any::<u64>(), bytes()).prop_map(|(offset, bytes)| FromServer::Data { offset, bytes }),
    ]
    .boxed()
}

fn request() -> BoxedStrategy<Request> {
    let mode = select(&[Mode::Read, Mode::Write][..]);
    let from = prop_oneof![
        Just(StartAt::Live),
        Just(StartAt::Start),
        any::<u64>().prop_map(StartAt::Last),
        (any::<u64>(), text()).prop_map(|(offset, epoch)| StartAt::At { offset, epoch }),
    ];
    let on_lag = select(&[OnLag::Auto, OnLag::Gap, OnLag::Disconnect, OnLag::Stall][..]);
    let queues = select(&[Queues::Receive, Queues::Transmit, Queues::Both][..]);
    let action = select(&[LeaseAction::Take, LeaseAction::Release, LeaseAction::Steal][..]);
    prop_oneof![
        (text(), of(text()), of(text())).prop_map(|(hello, token, client)| Request::Hello(Hello {
            hello,
            token: token.map(Secret::from),
            client
        })),
        text().prop_map(|list| Request::List(List { list })),
        text().prop_map(|info| Request::Info(Info { info })),
        (text(), mode, from, of(on_lag), of(text())).prop_map(
            |(open, mode, from, on_lag, writer)| {
                Request::Open(Open {
                    open,
                    mode,
                    from,
                    on_lag,
                    writer,
                })
            }
        ),
        text().prop_map(|close| Request::Close(Close { close })),
        (text(), bytes(), any::<Option<u64>>(), any::<Option<u64>>()).prop_map(
            |(ask, command, timeout_ms, wait_ms)| Request::Ask(Ask {
                ask,
                command: Blob(command),
                timeout_ms,
                wait_ms
            })
        ),
        any::<u64>().prop_map(|cancel| Request::Cancel(Cancel { cancel })),
        (text(), text(), any::<Option<bool>>()).prop_map(|(set, line, hold)| Request::Set(Set {
            set,
            line,
            hold
        })),
        (text(), any::<Option<bool>>(), any::<Option<bool>>())
            .prop_map(|(signals, dtr, rts)| Request::Signals(Signals { signals, dtr, rts })),
        (text(), any::<u64>()).prop_map(|(port, ms)| Request::Break(Break { port, ms })),
        (text(), queues).prop_map(|(purge, queues)| Request::Purge(Purge { purge, queues })),
        (text(), text()).prop_map(|(run, sequence)| Request::Run(Run { run, sequence })),
        (text(), action).prop_map(|(lease, action)| Request::Lease(Lease { lease, action })),
        text().prop_map(|reload| Request::Reload(Reload { reload })),
        any::<u64>().prop_map(|ping| Request::Ping(Ping { ping })),
        (text(), of(text()), of(text()), of(text()), of(text())).prop_map(
            |(log, since, until, after, to)| {
                Request::Log(Log {
                    log,
                    since,
                    until,
                    after,
                    to,
                })
            }
        ),
        text().prop_map(|status| Request::Status(Status { status })),
    ]
    .boxed()
}

fn answer() -> BoxedStrategy<Answer> {
    prop_oneof![
        (text(), text(), text(), text(), any::<u64>(), of(text())).prop_map(
            |(welcome, gateway, server, epoch, max_frame, identity)| {
                Answer::Welcome(Welcome {
                    welcome,
                    gateway,
                    server,
                    epoch,
                    max_frame,
                    identity,
                })
            }
        ),
        vec(summary(), 0..3).prop_map(|ports| Answer::Ports(Ports { ports })),
        details().prop_map(|port| Answer::Port(Box::new(PortInfo { port }))),
        (text(), text(), any::<[u64; 3]>()).prop_map(
            |(opened, epoch, [offset, end, write_offset])| {
                Answer::Opened(Opened {
                    opened,
                    epoch,
                    offset,
                    end,
                    write_offset,
                })
            }
        ),
        text().prop_map(|closed| Answer::Closed(Closed { closed })),
        (bytes(), any::<[u64; 3]>(), of(bytes())).prop_map(
            |(reply, [from, to, took_us], unsolicited)| Answer::Reply(Reply {
                reply: Blob(reply),
                from,
                to,
                took_us,
                unsolicited: unsolicited.map(Blob),
            })
        ),
        (text(), of(text()), of(outputs()), vec(step_time(), 0..3)).prop_map(
            |(done, line, outputs, steps)| Answer::Done(Done {
                done,
                line,
                outputs,
                steps
            })
        ),
        vec(text(), 0..4).prop_map(|reloaded| Answer::Reloaded(Reloaded { reloaded })),
        any::<u64>().prop_map(|pong| Answer::Pong(Pong { pong })),
        (
            select(ErrorCode::ALL),
            text(),
            [of(bytes()), of(bytes()), of(bytes())],
            [of(any::<u64>()), of(any::<u64>()), of(any::<u64>())],
            of(any::<u64>())
        )
            .prop_map(
                |(error, message, [partial, words, unsolicited], [from, to, took_us], offset)| {
                    Answer::Error(ErrorAnswer {
                        error,
                        message,
                        partial: partial.map(Blob),
                        words: words.map(Blob),
                        from,
                        to,
                        took_us,
                        unsolicited: unsolicited.map(Blob),
                        write_offset: offset,
                    })
                }
            ),
        event().prop_map(Answer::Event),
        (vec(record(), 0..3), text(), of(text()), any::<[bool; 2]>()).prop_map(
            |(records, next, end, [more, skipped])| {
                Answer::Records(Records {
                    records,
                    next,
                    end,
                    more,
                    skipped,
                })
            }
        ),
        (
            text(),
            text(),
            text(),
            any::<[u64; 3]>(),
            btree_map(text(), any::<u64>(), 0..3)
        )
            .prop_map(
                |(name, server, epoch, [uptime_s, ports, present], counters)| {
                    let status = GatewayStatus {
                        name,
                        server,
                        epoch,
                        uptime_s,
                        ports,
                        present,
                        counters,
                    };
                    Answer::Status(Box::new(StatusAnswer { status }))
                }
            ),
    ]
    .boxed()
}

fn record() -> BoxedStrategy<LogRecord> {
    let content = prop_oneof![
        bytes().prop_map(|bytes| LogContent::Received(Blob(bytes))),
        bytes().prop_map(|bytes| LogContent::Sent(Blob(bytes))),
        text().prop_map(|event| LogContent::Event(serde_json::json!({ "event": event }))),
    ];
    (text(), any::<u64>(), content)
        .prop_map(|(time, offset, content)| LogRecord {
            time,
            offset,
            content,
        })
        .boxed()
}

fn event() -> BoxedStrategy<Event> {
    let why = select(&[GapWhy::Lagged, GapWhy::Expired, GapWhy::NewEpoch][..]);
    prop_oneof![
        (text(), any::<[u64; 2]>(), why).prop_map(|(port, [from, to], why)| Event::Gap {
            port,
            from,
            to,
            why
        }),
        (text(), state(), of(text()), of(text()), any::<[u64; 2]>()).prop_map(
            |(port, state, reason, line, [at, losses])| Event::State {
                port,
                state,
                reason,
                line,
                at,
                losses
            }
        ),
        (text(), text()).prop_map(|(port, line)| Event::Line { port, line }),
        (text(), outputs(), inputs()).prop_map(|(port, outputs, inputs)| Event::Signals {
            port,
            outputs,
            inputs
        }),
        (text(), text(), of(text()), of(any::<u64>())).prop_map(|(port, turn, by, hold_ms)| {
            Event::AskTurn {
                port,
                turn,
                by,
                hold_ms,
            }
        }),
        (text(), of(text()), any::<bool>()).prop_map(|(port, holder, yours)| Event::Lease {
            port,
            holder,
            yours
        }),
        (text(), any::<u64>()).prop_map(|(port, offset)| Event::Written { port, offset }),
        (text(), any::<[u64; 2]>(), text()).prop_map(|(port, [from, to], reason)| {
            Event::WriteLost {
                port,
                from,
                to,
                reason,
            }
        }),
        (text(), text()).prop_map(|(port, reason)| Event::Closed { port, reason }),
        Just(Event::Unknown),
    ]
    .boxed()
}

fn summary() -> BoxedStrategy<PortSummary> {
    (any::<u64>(), state(), proptest::array::uniform5(text()))
        .prop_map(
            |(clients, state, [name, device, line, profile, write])| PortSummary {
                name,
                device,
                state,
                line,
                profile,
                write,
                clients,
            },
        )
        .boxed()
}

fn details() -> BoxedStrategy<PortDetails> {
    let optional = (of(text()), of(outputs()), of(inputs()), of(text()));
    let rest = (
        text(),
        any::<[u64; 3]>(),
        (
            vec(text(), 0..3),
            btree_map(text(), vec(text(), 0..3), 0..3),
        ),
        any::<bool>(),
        btree_map(text(), any::<u64>(), 0..3),
    );
    (summary(), optional, rest)
        .prop_map(
            |(
                summary,
                (absent_reason, outputs, inputs, lease),
                (
                    epoch,
                    [history_start, history_end, history_size],
                    (sequences, sequence_steps),
                    stalled,
                    counters,
                ),
            )| PortDetails {
                summary,
                absent_reason,
                outputs,
                inputs,
                epoch,
                history_start,
                history_end,
                history_size,
                lease,
                sequences,
                sequence_steps,
                stalled,
                counters,
            },
        )
        .boxed()
}

fn state() -> impl Strategy<Value = State> {
    select(&[State::Present, State::Absent][..])
}

fn step_time() -> impl Strategy<Value = StepTime> {
    (text(), any::<[u64; 2]>()).prop_map(|(step, [at_us, took_us])| StepTime {
        step,
        at_us,
        took_us,
    })
}

fn outputs() -> impl Strategy<Value = Outputs> {
    any::<[bool; 2]>().prop_map(|[dtr, rts]| Outputs { dtr, rts })
}

fn inputs() -> impl Strategy<Value = Inputs> {
    any::<[bool; 4]>().prop_map(|[cts, dsr, ri, dcd]| Inputs { cts, dsr, ri, dcd })
}

/// Short texts; those that JSON must escape and those that look like protocol among them.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9]{0,8}",
        "\\PC{0,4}",
        "[\\x00-\\x1f\"\\\\]{1,3}",
        Just("board0".to_owned())
    ]
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        vec(any::<u8>(), 0..40).prop_map(Bytes::from),
        text().prop_map(Bytes::from)
    ]
}
