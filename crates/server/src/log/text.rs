//! The `text` format: one record a line, readable by people, and by us without loss. Pure: pieces to bytes, and a line
//! back to its record. docs/logs.md is its specification.
//!
//! ```text
//! 2026-11-22T20:15:33.123456Z < 81920 UART interpreter 1.0\r\n
//! 2026-11-22T20:15:34.000001Z > 120 LED ON\r
//! 2026-11-22T20:15:35.000001Z ! 81946 {"event":"absent","reason":"unplugged"}
//! ```

use std::io::Write as _;
use std::time::SystemTime;

use uartnet_hub::{LogPlace, Offset};

use super::event::Event;
use super::piece::{Encoded, Piece, What};
use crate::harmless::is_seen;

/// How many bytes of a UART one record has at most.
const LONGEST: usize = 1024;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// When its first byte was read, or taken by the UART.
    pub(super) time: SystemTime,
    /// Of received bytes and of events, the offset among what was received; of sent bytes, that among what was sent.
    pub(super) offset: u64,
    pub(super) content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Received(Vec<u8>),
    Sent(Vec<u8>),
    Event(Event),
}

/// Pieces as text, with what was sent or without.
pub(super) fn encode(pieces: &[Piece], sent: bool) -> Encoded {
    let mut out = Encoded::default();
    let mut line: Option<Line> = None;
    for piece in pieces {
        match &piece.what {
            What::Received(from, bytes) => {
                let mut from = *from;
                for part in lines(bytes, b"\n") {
                    if let Some(long) = line.take_if(|it| it.bytes.len() + part.len() > LONGEST) {
                        long.write(&mut out);
                    }
                    let whole = line.get_or_insert_with(|| Line::new(piece.time, from));
                    whole.bytes.extend_from_slice(part);
                    from += part.len() as u64;
                    whole.after = LogPlace {
                        offset: Offset(from),
                        ..piece.after
                    };
                    if let Some(whole) = line.take_if(|it| it.bytes.ends_with(b"\n")) {
                        whole.write(&mut out);
                    }
                }
            }
            What::Sent(..) if !sent => {}
            other => {
                if let Some(line) = line.take() {
                    line.write(&mut out);
                }
                write_other(other, piece, &mut out);
            }
        }
    }
    if let Some(line) = line {
        line.write(&mut out);
    }
    out
}

/// What was sent, or an event. Bytes that were sent together are one unit: half of them could not be had again.
fn write_other(what: &What, piece: &Piece, out: &mut Encoded) {
    let mut records = 0;
    match what {
        What::Received(..) => return,
        What::Sent(from, bytes) => {
            let mut from = *from;
            for part in lines(bytes, b"\r\n") {
                write_head(&mut out.bytes, piece.time, b'>', from);
                escape(&mut out.bytes, part);
                out.bytes.push(b'\n');
                from += part.len() as u64;
                records += 1;
            }
        }
        What::Event(event) => {
            write_event(&mut out.bytes, piece.time, piece.after.offset.0, event);
            records = 1;
        }
    }
    out.unit(records, piece.after);
}

/// Appends an event's record.
pub(super) fn write_event(out: &mut Vec<u8>, time: SystemTime, offset: u64, event: &Event) {
    write_head(out, time, b'!', offset);
    out.extend_from_slice(event.json().as_bytes());
    out.push(b'\n');
}

/// A line that is being put together.
struct Line {
    time: SystemTime,
    from: u64,
    bytes: Vec<u8>,
    after: LogPlace,
}

impl Line {
    fn new(time: SystemTime, from: u64) -> Line {
        Line {
            time,
            from,
            bytes: Vec::new(),
            after: LogPlace::default(),
        }
    }

    fn write(self, out: &mut Encoded) {
        write_head(&mut out.bytes, self.time, b'<', self.from);
        escape(&mut out.bytes, &self.bytes);
        out.bytes.push(b'\n');
        out.unit(1, self.after);
    }
}

/// Bytes cut behind each of these ends of line, and where they become too long.
fn lines<'a>(bytes: &'a [u8], ends: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    bytes
        .split_inclusive(|byte| ends.contains(byte))
        .flat_map(|line| line.chunks(LONGEST))
}

fn write_head(out: &mut Vec<u8>, time: SystemTime, marker: u8, offset: u64) {
    // Writing to a vector cannot fail.
    let _ = write!(
        out,
        "{} {} {offset} ",
        humantime::format_rfc3339_micros(time),
        char::from(marker),
    );
}

/// Appends bytes so that they stand on one line, do nothing to a terminal, and can be told back.
fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                ' '..='~' if letter != '\\' => out.push(letter as u8),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\t' => out.extend_from_slice(b"\\t"),
                _ => {
                    let mut utf8 = [0; 4];
                    let utf8 = letter.encode_utf8(&mut utf8).as_bytes();
                    if is_seen(letter) {
                        out.extend_from_slice(utf8);
                    } else {
                        escape_hex(out, utf8);
                    }
                }
            }
        }
        escape_hex(out, chunk.invalid());
    }
}

fn escape_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(out, "\\x{byte:02x}");
    }
}

/// The bytes that [`escape`] wrote; `None` if it did not write this.
fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let (&kind, behind) = rest.split_first()?;
        rest = behind;
        bytes.push(match kind {
            b'\\' => b'\\',
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'x' => {
                let (digits, behind) = rest.split_at_checked(2)?;
                rest = behind;
                let nibble = |digit: u8| char::from(digit).to_digit(16);
                u8::try_from(nibble(digits[0])? * 16 + nibble(digits[1])?).ok()?
            }
            _ => return None,
        });
    }
    Some(bytes)
}

/// The record on this line, which has no end of line any more. `None`: it is none, or not whole.
pub(super) fn decode(line: &[u8]) -> Option<Record> {
    let mut words = line.splitn(4, |byte| *byte == b' ');
    let mut word = || words.next();
    let time = std::str::from_utf8(word()?).ok()?;
    let time = humantime::parse_rfc3339(time).ok()?;
    let marker = word()?;
    let offset = std::str::from_utf8(word()?).ok()?;
    let offset = offset
        .bytes()
        .all(|digit| digit.is_ascii_digit())
        .then(|| offset.parse().ok())??;
    let rest = word()?;
    let content = match marker {
        b"<" => Content::Received(unescape(rest)?),
        b">" => Content::Sent(unescape(rest)?),
        b"!" => Content::Event(serde_json::from_slice(rest).ok()?),
        _ => return None,
    };
    Some(Record {
        time,
        offset,
        content,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn at(micros: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_micros(micros)
    }

    fn place(offset: u64, happening: u64) -> LogPlace {
        LogPlace {
            offset: Offset(offset),
            happening,
        }
    }

    fn received(micros: u64, from: u64, bytes: &[u8]) -> Piece {
        Piece {
            time: at(micros),
            what: What::Received(from, bytes.to_vec().into()),
            after: place(from + bytes.len() as u64, 0),
        }
    }

    fn units(pieces: &[Piece], sent: bool) -> Vec<(String, u64, LogPlace)> {
        let encoded = encode(pieces, sent);
        let mut from = 0;
        let mut units = Vec::new();
        for unit in encoded.units {
            let text = String::from_utf8(encoded.bytes[from..unit.end].to_vec()).unwrap();
            units.push((text, unit.records, unit.after));
            from = unit.end;
        }
        assert_eq!(from, encoded.bytes.len());
        units
    }

    #[test]
    fn the_format_is_as_the_specification_shows_it() {
        let pieces = [
            received(1_500_000, 7, b"UART inter"),
            received(1_500_100, 17, b"preter 1.0\r\n> "),
            Piece {
                time: at(2_000_000),
                what: What::Sent(3, "LED ON\rLED?\r".into()),
                after: place(31, 1),
            },
            Piece {
                time: at(3_000_000),
                what: What::Event(Event::Absent {
                    reason: "unplugged".to_owned(),
                }),
                after: place(31, 2),
            },
        ];
        let line = |text: &str| format!("1970-01-01T00:00:0{text}\n");
        let prompt = (line("1.500100Z < 29 > "), 1, place(31, 0));
        let first = (
            line("1.500000Z < 7 UART interpreter 1.0\\r\\n"),
            1,
            place(29, 0),
        );
        let sent = line("2.000000Z > 3 LED ON\\r") + &line("2.000000Z > 10 LED?\\r");
        let event = line("3.000000Z ! 31 {\"event\":\"absent\",\"reason\":\"unplugged\"}");
        assert_eq!(
            units(&pieces, true),
            [
                first.clone(),
                prompt.clone(),
                (sent, 2, place(31, 1)),
                (event.clone(), 1, place(31, 2))
            ]
        );
        assert_eq!(
            units(&pieces, false),
            [first, prompt, (event, 1, place(31, 2))]
        );
    }

    #[test]
    fn what_is_readable_stays_readable_and_what_would_act_is_escaped() {
        for (bytes, shown) in [
            (&b"plain ~!\"'"[..], "plain ~!\"'"),
            (
                "20 °C, größer, 日本 🙂".as_bytes(),
                "20 °C, größer, 日本 🙂",
            ),
            (b"C:\\x41\t|", "C:\\\\x41\\t|"),
            (b"\x1b[2J\0\x7f\x07", "\\x1b[2J\\x00\\x7f\\x07"),
            (b"\xff\xc3", "\\xff\\xc3"),
            ("\u{202e}\u{9b}".as_bytes(), "\\xe2\\x80\\xae\\xc2\\x9b"),
        ] {
            let mut out = Vec::new();
            escape(&mut out, bytes);
            assert_eq!(String::from_utf8_lossy(&out), shown);
            assert_eq!(unescape(&out).as_deref(), Some(bytes));
        }
    }

    #[test]
    fn a_record_that_is_cut_or_changed_is_not_taken_for_another() {
        for line in [
            "",
            "1970-01-01T00:00:01.500000Z",
            "1970-01-01T00:00:01.500000Z <",
            "1970-01-01T00:00:01.500000Z < 7",
            "1970-01-01T00:00:01.500000Z < +7 x",
            "1970-01-01T00:00:01.500000Z < 99999999999999999999 x",
            "1970-01-01T00:00:01.500000Z = 7 x",
            "1970-01-01T00:00:01.500000Z < 7 x\\",
            "1970-01-01T00:00:01.500000Z < 7 x\\x1",
            "1970-01-01T00:00:01.500000Z < 7 x\\q",
            "1970-01-01T00:00:01.500000Z ! 7 {\"event\":\"abs",
            "1970-01-01T00:00:01.500000Z ! 7 {\"event\":\"unheard-of\"}",
            "yesterday < 7 x",
        ] {
            assert_eq!(decode(line.as_bytes()), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_cut_anywhere_come_back_in_records_of_one_line(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..1500), 1..8),
            sent in any::<bool>(),
        ) {
            let (mut pieces, mut from) = (Vec::new(), 0);
            for (index, chunk) in chunks.iter().enumerate() {
                let mut piece = received(index as u64, from, chunk);
                if sent {
                    piece.what = What::Sent(from, chunk.clone().into());
                    piece.after = place(0, index as u64 + 1);
                }
                pieces.push(piece);
                from += chunk.len() as u64;
            }
            let mut back = Vec::new();
            for (text, records, after) in units(&pieces, true) {
                prop_assert_eq!(text.lines().count() as u64, records);
                for line in text.split_terminator('\n') {
                    let record = decode(line.as_bytes()).unwrap();
                    prop_assert_eq!(record.offset, back.len() as u64);
                    match record.content {
                        Content::Received(bytes) if !sent => back.extend(bytes),
                        Content::Sent(bytes) if sent => back.extend(bytes),
                        other => prop_assert!(false, "{:?}", other),
                    }
                }
                prop_assert!(sent || after.offset.0 == back.len() as u64);
            }
            prop_assert_eq!(back, chunks.concat());
        }
    }
}
