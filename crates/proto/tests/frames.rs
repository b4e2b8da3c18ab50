//! Frames: both lengths that are right, every split, everything hostile, and what memory it costs.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use uartnet_proto::frame::{DEFAULT_MAX_FRAME, FrameDecoder, FrameError, encode, frame_len};

#[test]
fn the_smallest_right_len_is_written() {
    for (payload, len) in [
        (0, 2),
        (1, 3),
        (6, 8),
        (7, 9),
        (8, 11),
        (10, 13),
        (95, 98),
        (96, 99),
        (97, 101),
        (994, 998),
        (995, 999),
        (996, 1_001),
        (9_994, 9_999),
        (9_995, 10_001),
        (65_530, 65_536),
    ] {
        assert_eq!(frame_len(payload), len, "payload of {payload}");
        let frame = frame(&vec![b'x'; payload]);
        assert_eq!(frame.len(), len, "payload of {payload}");
        assert!(
            frame.starts_with(format!("{len}_").as_bytes()),
            "payload of {payload}"
        );
    }
    assert_eq!(frame(b"Hello IoT!"), b"13_Hello IoT!");
    assert_eq!(frame(b""), b"2_");
    // No such payload can exist, but asking for its length ends.
    assert_eq!(frame_len(usize::MAX), usize::MAX);
}

#[test]
fn parts_are_one_payload() {
    let mut out = BytesMut::from(&b"before"[..]);
    encode(&[b"12", b"", b":", b"abcd"], &mut out);
    assert_eq!(&out[..], b"before9_12:abcd");
}

#[test]
fn both_right_lens_are_read() {
    for (payload, short, long) in [
        (7, "9_", "10_"),
        (96, "99_", "100_"),
        (995, "999_", "1000_"),
    ] {
        let payload = vec![b'x'; payload];
        for prefix in [short, long] {
            let stream = [prefix.as_bytes(), &payload, b"3_!"].concat();
            let (payloads, end) = decode(&[&stream], DEFAULT_MAX_FRAME);
            assert_eq!(payloads, [&payload[..], b"!"], "{prefix}");
            assert_eq!(end, Ok(()), "{prefix}");
        }
    }
}

#[test]
fn every_split_in_two_and_byte_by_byte() {
    let payloads: [&[u8]; 6] = [
        b"Hello IoT!",
        b"",
        b"1234567",
        &[b'y'; 96],
        b"_5_",
        &[0xff, 0x00, b'\n'],
    ];
    let stream = payloads.map(frame).concat();
    for split in 0..=stream.len() {
        let (got, end) = decode(&[&stream[..split], &stream[split..]], 101);
        assert_eq!(got, payloads, "split at {split}");
        assert_eq!(end, Ok(()), "split at {split}");
    }
    let (got, end) = decode(&stream.chunks(1).collect::<Vec<_>>(), 101);
    assert_eq!(got, payloads);
    assert_eq!(end, Ok(()));
}

#[test]
fn everything_hostile_is_refused_where_it_is_wrong() {
    let max_frame = 65_536;
    let not_a_digit = |at, found| FrameError::NotADigit { at, found };
    let table: &[(&[u8], FrameError, &str)] = &[
        (
            b"+13_Hello IoT!",
            not_a_digit(0, b'+'),
            "byte 0: \"+\" where a digit or \"_\" of LEN must be",
        ),
        (
            b"-1_",
            not_a_digit(0, b'-'),
            "byte 0: \"-\" where a digit or \"_\" of LEN must be",
        ),
        (
            b" 3_x",
            not_a_digit(0, b' '),
            "byte 0: \" \" where a digit or \"_\" of LEN must be",
        ),
        (
            b"3 _x",
            not_a_digit(1, b' '),
            "byte 1: \" \" where a digit or \"_\" of LEN must be",
        ),
        (
            b"1.5_",
            not_a_digit(1, b'.'),
            "byte 1: \".\" where a digit or \"_\" of LEN must be",
        ),
        (
            "１３_".as_bytes(),
            not_a_digit(0, 0xef),
            "byte 0: 0xef where a digit or \"_\" of LEN must be",
        ),
        (
            "1٣_".as_bytes(),
            not_a_digit(1, 0xd9),
            "byte 1: 0xd9 where a digit or \"_\" of LEN must be",
        ),
        (
            b"GET / HTTP/1.1",
            not_a_digit(0, b'G'),
            "byte 0: \"G\" where a digit or \"_\" of LEN must be",
        ),
        (
            b"\x16\x03\x01",
            not_a_digit(0, 0x16),
            "byte 0: 0x16 where a digit or \"_\" of LEN must be",
        ),
        (
            b"0x10_",
            FrameError::LeadingZero { at: 0 },
            "byte 0: LEN begins with 0",
        ),
        (
            b"013_Hello IoT!",
            FrameError::LeadingZero { at: 0 },
            "byte 0: LEN begins with 0",
        ),
        (
            b"0_",
            FrameError::LeadingZero { at: 0 },
            "byte 0: LEN begins with 0",
        ),
        (
            b"_",
            FrameError::NoLen { at: 0 },
            "byte 0: \"_\" without a LEN before it",
        ),
        (
            b"1_",
            FrameError::TooShort {
                at: 1,
                len: 1,
                prefix: 2,
            },
            "byte 1: LEN is 1, but its own digits and \"_\" take 2 bytes",
        ),
        (
            b"65537_",
            FrameError::TooLong {
                at: 4,
                len: 65_537,
                max_frame,
            },
            "byte 4: LEN is 65537 or more, and the largest frame allowed has 65536 bytes",
        ),
        (
            b"99999999999999999999999999",
            FrameError::TooLong {
                at: 4,
                len: 99_999,
                max_frame,
            },
            "byte 4: LEN is 99999 or more, and the largest frame allowed has 65536 bytes",
        ),
        (
            b"123456_",
            FrameError::TooManyDigits {
                at: 5,
                digits: 5,
                max_frame,
            },
            "byte 5: no \"_\" after 5 digits, and the largest frame allowed has 65536 bytes",
        ),
        (
            b"18446744073709551618_", // 2^64 + 2
            FrameError::TooManyDigits {
                at: 5,
                digits: 5,
                max_frame,
            },
            "byte 5: no \"_\" after 5 digits, and the largest frame allowed has 65536 bytes",
        ),
        (
            b"13",
            FrameError::EndInLen { at: 2, digits: 2 },
            "byte 2: the stream ends inside LEN (digits so far: 2)",
        ),
        (
            b"13_",
            FrameError::EndInPayload {
                at: 3,
                got: 3,
                len: 13,
            },
            "byte 3: the stream ends after 3 of the 13 bytes of a frame",
        ),
        (
            b"13_Hello",
            FrameError::EndInPayload {
                at: 8,
                got: 8,
                len: 13,
            },
            "byte 8: the stream ends after 8 of the 13 bytes of a frame",
        ),
    ];
    for (bad, error, text) in table {
        let shown = String::from_utf8_lossy(bad);
        assert_eq!(error.to_string(), *text);
        assert_eq!(
            decode(&[bad], max_frame),
            (vec![], Err(error.clone())),
            "{shown}"
        );
        for split in 0..bad.len() {
            assert_eq!(
                decode(&[&bad[..split], &bad[split..]], max_frame).1,
                Err(error.clone()),
                "{shown} at {split}"
            );
        }
        // After a good frame the position is that of the stream, and the good frame was given.
        let after_good = [b"13_Hello IoT!", *bad].concat();
        for split in [13, after_good.len()] {
            let (payloads, end) = decode(&[&after_good[..split], &after_good[split..]], max_frame);
            assert_eq!(payloads, ["Hello IoT!"], "{shown}");
            assert_eq!(end.unwrap_err().at(), error.at() + 13, "{shown}");
        }
    }
}

#[test]
fn the_end_of_the_stream_is_right_only_between_frames() {
    let stream = [frame(b"Hello IoT!"), frame(b""), frame(b"abc")].concat();
    let ends = [0, 13, 15, 20];
    for length in 0..=stream.len() {
        let (_, end) = decode(&[&stream[..length]], DEFAULT_MAX_FRAME);
        assert_eq!(end.is_ok(), ends.contains(&length), "{length}: {end:?}");
        if let Err(error) = end {
            assert_eq!(error.at(), length as u64);
        }
        // The same without having polled.
        let mut decoder = FrameDecoder::new(DEFAULT_MAX_FRAME);
        decoder.handle_input(&stream[..length]);
        assert_eq!(
            decoder.handle_end().is_ok(),
            ends.contains(&length),
            "{length}"
        );
    }
}

#[test]
fn max_frame_is_the_whole_frame_and_at_least_two() {
    assert_eq!(decode(&[b"13_Hello IoT!"], 13).1, Ok(()));
    assert_eq!(
        decode(&[b"13_Hello IoT!"], 12).1,
        Err(FrameError::TooLong {
            at: 1,
            len: 13,
            max_frame: 12
        })
    );
    for max_frame in [0, 1, 2] {
        assert_eq!(
            decode(&[b"2_2_"], max_frame),
            (vec![Bytes::new(); 2], Ok(()))
        );
        assert_eq!(
            decode(&[b"3_x"], max_frame).1,
            Err(FrameError::TooLong {
                at: 0,
                len: 3,
                max_frame: 2
            })
        );
    }
    // Even where everything is allowed, nothing overflows.
    let (_, end) = decode(&[b"99999999999999999999_x"], usize::MAX);
    assert!(
        matches!(end, Err(FrameError::EndInPayload { .. })),
        "{end:?}"
    );
    let (_, end) = decode(&[b"999999999999999999999_x"], usize::MAX);
    assert!(
        matches!(end, Err(FrameError::TooManyDigits { digits: 20, .. })),
        "{end:?}"
    );
}

#[test]
fn memory_is_for_bytes_that_arrived() {
    let mut decoder = FrameDecoder::new(1 << 30);
    assert_eq!(decoder.allocated(), 0);
    decoder.handle_input(b"1073741824_few");
    assert_eq!(decoder.poll_frame(), Ok(None));
    assert_eq!(decoder.buffered(), 14);
    assert!(
        decoder.allocated() <= 64,
        "{} bytes for 14",
        decoder.allocated()
    );

    // Byte by byte it never holds more than twice what came.
    let mut decoder = FrameDecoder::new(DEFAULT_MAX_FRAME);
    let stream = frame(&vec![b'x'; 50_000]);
    for (arrived, byte) in stream[..stream.len() - 1].iter().enumerate() {
        decoder.handle_input(&[*byte]);
        assert_eq!(decoder.poll_frame(), Ok(None));
        assert!(decoder.allocated() <= 64.max(2 * (arrived + 1)));
    }
    decoder.handle_input(b"x");
    assert_eq!(decoder.poll_frame().unwrap().unwrap().len(), 50_000);
    assert_eq!(decoder.poll_frame(), Ok(None));
    assert_eq!(decoder.allocated(), 0);
}

#[test]
fn nothing_is_held_between_frames_and_little_inside_one() {
    let mut decoder = FrameDecoder::new(DEFAULT_MAX_FRAME);
    let mut read = frame(b"small").repeat(8_000);
    decoder.handle_input(&read);
    while decoder.poll_frame().unwrap().is_some() {}
    assert_eq!((decoder.buffered(), decoder.allocated()), (0, 0));

    // The beginning of a frame at the end of a large read does not keep the read.
    read.extend_from_slice(b"30000_begun");
    decoder.handle_input(&read);
    while decoder.poll_frame().unwrap().is_some() {}
    assert_eq!(decoder.buffered(), 11);
    assert!(decoder.allocated() <= 64, "{}", decoder.allocated());

    // Nor does an error.
    decoder.handle_input(&vec![b'x'; 29_989]);
    decoder.handle_input(b"oops");
    assert_eq!(decoder.poll_frame().unwrap().unwrap().len(), 29_994);
    decoder.poll_frame().unwrap_err();
    decoder.handle_input(&read);
    assert_eq!((decoder.buffered(), decoder.allocated()), (0, 0));
}

#[test]
fn a_small_payload_does_not_keep_the_read_it_came_in() {
    for (before, payload) in [(0, 5), (4_000, 5), (4_000, 20_000), (10, 20_000)] {
        let mut decoder = FrameDecoder::new(DEFAULT_MAX_FRAME);
        let read = [
            frame(b"before").repeat(before),
            frame(&vec![b'x'; payload]),
            frame(b"behind").repeat(4_000),
        ];
        decoder.handle_input(&read.concat());
        for _ in 0..before {
            decoder.poll_frame().unwrap().unwrap();
        }
        let kept = decoder.poll_frame().unwrap().unwrap();
        while decoder.poll_frame().unwrap().is_some() {}
        // Nobody else has a share in it, and its memory is not much more than itself.
        let memory = kept.try_into_mut().unwrap().capacity();
        assert!(
            memory <= 4 * payload,
            "{memory} bytes are kept for {payload}"
        );
    }
}

#[test]
fn whether_only_more_input_can_help_is_known_without_polling() {
    let unfinished = |input: &[u8]| {
        let mut decoder = FrameDecoder::new(DEFAULT_MAX_FRAME);
        decoder.handle_input(input);
        let answer = decoder.buffered_is_unfinished();
        assert_eq!(
            answer,
            decoder.poll_frame() == Ok(None),
            "{}",
            input.escape_ascii()
        );
        (answer, decoder.buffered_is_unfinished())
    };
    assert_eq!(unfinished(b""), (true, true));
    assert_eq!(unfinished(b"13"), (true, true));
    assert_eq!(unfinished(b"13_Hello IoT"), (true, true));
    assert_eq!(unfinished(b"13_Hello IoT!"), (false, true));
    assert_eq!(unfinished(b"13_Hello IoT!2_"), (false, false));
    assert_eq!(unfinished(b"oops"), (false, false));
}

#[test]
fn a_large_payload_is_not_copied() {
    let mut decoder = FrameDecoder::new(DEFAULT_MAX_FRAME);
    decoder.handle_input(&frame(&vec![b'x'; 60_000]));
    let held = decoder.allocated();
    let payload = decoder.poll_frame().unwrap().unwrap();
    assert!(held > 60_000);
    // Its memory was handed over: nobody else has a share in it, so it can be written to again in place.
    let begin = payload.as_ptr();
    assert_eq!(payload.try_into_mut().unwrap().as_ptr(), begin);
    assert_eq!(decoder.allocated(), 0);
}

proptest! {
    #[test]
    fn any_payloads_in_any_pieces_come_back(
        payloads in proptest::collection::vec(payload(), 0..12),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..24),
    ) {
        let stream = payloads.iter().map(|payload| frame(payload)).collect::<Vec<_>>().concat();
        let (got, end) = decode(&cut(&stream, &cuts), DEFAULT_MAX_FRAME);
        prop_assert_eq!(got, payloads);
        prop_assert_eq!(end, Ok(()));
    }

    #[test]
    fn how_a_stream_is_cut_changes_nothing(
        stream in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..64),
            "[0-9_ x]{0,64}".prop_map(String::into_bytes),
            "([2-9]_[a-z]{0,7}){0,9}".prop_map(String::into_bytes),
        ],
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..24),
        max_frame in prop_oneof![0..120usize, Just(usize::MAX)],
    ) {
        prop_assert_eq!(decode(&cut(&stream, &cuts), max_frame), decode(&[&stream], max_frame));
    }
}

/// Payloads of all lengths, those where LEN gains a digit among them.
fn payload() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        0..20usize,
        90..110usize,
        990..1_010usize,
        9_990..10_010usize
    ]
    .prop_flat_map(|length| proptest::collection::vec(any::<u8>(), length))
    .prop_map(Bytes::from)
}

/// The stream in pieces, cut at these places.
fn cut<'a>(stream: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    places.extend([0, stream.len()]);
    places.sort_unstable();
    places
        .windows(2)
        .map(|place| &stream[place[0]..place[1]])
        .collect()
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    encode(&[payload], &mut out);
    out.to_vec()
}

/// Everything a stream gives, handed in as these pieces: the payloads, and how it ended.
fn decode(pieces: &[&[u8]], max_frame: usize) -> (Vec<Bytes>, Result<(), FrameError>) {
    let mut decoder = FrameDecoder::new(max_frame);
    let mut payloads = Vec::new();
    for piece in pieces {
        decoder.handle_input(piece);
        loop {
            match decoder.poll_frame() {
                Ok(Some(payload)) => payloads.push(payload),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.poll_frame(), Err(error.clone()), "an error stays");
                    assert_eq!(decoder.handle_end(), Err(error.clone()), "an error stays");
                    return (payloads, Err(error));
                }
            }
        }
    }
    let end = decoder.handle_end();
    (payloads, end)
}
