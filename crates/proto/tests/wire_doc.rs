//! docs/wire.md is the specification: its examples are real payloads, its tables are complete, its links lead somewhere.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use serde_json::Value;
use uartnet_proto::DATA_RECEIVED;
use uartnet_proto::frame::{DEFAULT_MAX_FRAME, FrameDecoder, encode};
use uartnet_proto::message::*;

const DOC: &str = include_str!("../../../docs/wire.md");

#[test]
fn every_example_of_a_client_is_what_we_say() {
    let examples = golden("client");
    assert!(
        examples.len() >= 25,
        "only {} examples were found",
        examples.len()
    );
    let mut kinds = BTreeSet::new();
    for example in &examples {
        let message = FromClient::decode(&payload(example))
            .unwrap_or_else(|error| panic!("{example}: {error}"));
        check_again(example, |out| message.encode(out));
        kinds.insert(match message {
            FromClient::Control(request, _) => request.kind(),
            FromClient::Data { .. } => "data",
        });
    }
    let known: BTreeSet<_> = REQUEST_KINDS.iter().copied().chain(["data"]).collect();
    assert_eq!(kinds, known);
}

#[test]
fn every_example_of_a_server_is_what_we_say() {
    let examples = golden("server");
    assert!(
        examples.len() >= 35,
        "only {} examples were found",
        examples.len()
    );
    let mut kinds = BTreeSet::new();
    let mut events = BTreeSet::new();
    for example in &examples {
        let message = FromServer::decode(&payload(example))
            .unwrap_or_else(|error| panic!("{example}: {error}"));
        check_again(example, |out| message.encode(out));
        kinds.insert(match &message {
            FromServer::Control(answer, _) => answer.kind(),
            FromServer::Data { .. } => "data",
        });
        match message {
            FromServer::Control(Answer::Event(event), _) => {
                events.insert(event_name(&event));
            }
            FromServer::Control(Answer::Error(error), _) => {
                assert_ne!(error.error, ErrorCode::Unknown, "{example}")
            }
            _ => {}
        }
    }
    let known: BTreeSet<_> = ANSWER_KINDS.iter().copied().chain(["data"]).collect();
    assert_eq!(kinds, known);
    assert_eq!(events, BTreeSet::from(EVENTS));
    for event in EVENTS {
        assert!(
            DOC.contains(&format!("\n- **{event}**")),
            "{event} is not explained"
        );
    }
}

#[test]
fn the_table_of_errors_is_the_list_of_codes() {
    let documented = first_cells("7 Errors");
    let known: Vec<_> = ErrorCode::ALL.iter().map(ErrorCode::as_str).collect();
    assert_eq!(documented, known);
}

#[test]
fn the_order_in_which_kinds_are_looked_for_is_told() {
    let order = ANSWER_KINDS
        .iter()
        .map(|kind| format!("`{kind}`"))
        .collect::<Vec<_>>()
        .join(", ");
    assert!(
        DOC.split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .contains(&format!("its kind is the first of: {order}."))
    );
}

#[test]
fn the_counters_of_the_example_are_in_the_table() {
    let table = first_cells("8 Counters");
    assert!(table.len() >= 16, "{table:?}");
    let counters = golden("server").iter().find_map(|example| {
        let value: Value = serde_json::from_str(example).ok()?;
        Some(value.get("port")?.get("counters")?.as_object()?.clone())
    });
    for name in counters.unwrap().keys() {
        assert!(table.contains(&name.as_str()), "{name}");
    }
}

#[test]
fn the_frames_shown_are_right() {
    let rows: Vec<Vec<&str>> = DOC
        .lines()
        .skip_while(|line| *line != "| payload | frame | why |")
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            line.split('|')
                .map(|cell| cell.trim().trim_matches('`'))
                .collect()
        })
        .collect();
    assert_eq!(rows.len(), 5);
    for row in rows {
        let payload = if row[1] == "empty" { "" } else { row[1] };
        assert_eq!(frame(payload.as_bytes()), row[2].as_bytes());
    }
    for (shown, payload) in [
        ("client:  ", "Hello IoT!"),
        ("gateway: ", DATA_RECEIVED),
        ("the bytes `abc` at offset 81,920 are `", "81920:abc"),
    ] {
        let shown = format!(
            "{shown}{}",
            String::from_utf8(frame(payload.as_bytes())).unwrap()
        );
        assert!(DOC.contains(&shown), "{shown}");
    }
    // "For a payload of 7 bytes two LENs are right", and so on.
    for (payload, short, long) in [
        (7, "`9_`", "`10_`"),
        (96, "`99_`", "`100_`"),
        (995, "`999_`", "`1000_`"),
    ] {
        for len in [short, long] {
            assert!(DOC.contains(len), "{len}");
            let mut decoder = FrameDecoder::new(DEFAULT_MAX_FRAME);
            decoder.handle_input(len.trim_matches('`').as_bytes());
            decoder.handle_input(&vec![b'x'; payload]);
            assert_eq!(decoder.poll_frame().unwrap().unwrap().len(), payload);
            assert_eq!(decoder.buffered(), 0);
        }
    }
}

#[test]
fn every_link_leads_to_a_heading() {
    let headings: BTreeSet<String> = DOC
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let text = line.trim_start_matches('#').trim().to_lowercase();
            text.chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
                .collect::<String>()
                .replace(' ', "-")
        })
        .collect();
    let links: Vec<&str> = DOC
        .split("](#")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .collect();
    assert!(links.len() >= 20, "only {} links were found", links.len());
    for link in links {
        assert!(
            headings.contains(link),
            "#{link} is no heading of {headings:?}"
        );
    }
}

const EVENTS: [&str; 9] = [
    "gap",
    "state",
    "line",
    "signals",
    "lease",
    "ask-turn",
    "written",
    "write-lost",
    "closed",
];

/// An event's name. A new one does not compile here until it is added, and then is missed in the page.
fn event_name(event: &Event) -> &'static str {
    match event {
        Event::Gap { .. } => "gap",
        Event::State { .. } => "state",
        Event::Line { .. } => "line",
        Event::Signals { .. } => "signals",
        Event::Lease { .. } => "lease",
        Event::AskTurn { .. } => "ask-turn",
        Event::Written { .. } => "written",
        Event::WriteLost { .. } => "write-lost",
        Event::Closed { .. } => "closed",
        Event::Unknown => "unknown",
    }
}

/// The lines of the blocks marked `golden` of one side.
fn golden(side: &str) -> Vec<&'static str> {
    let mut examples = Vec::new();
    let mut block = None;
    for line in DOC.lines() {
        match (line.strip_prefix("```"), block) {
            (Some(_), Some(_)) => block = None,
            (Some(info), None) => block = Some(info),
            (None, Some(info)) if info == format!("golden {side}") => examples.push(line),
            _ => {}
        }
        if let Some(info) = block {
            let sides = ["golden client", "golden server"];
            assert!(
                !info.contains("golden") || sides.contains(&info),
                "a block is marked {info:?}"
            );
        }
    }
    assert_eq!(block, None, "a block does not end");
    examples
}

/// The payload an example stands for. In data `\r` and `\n` are written for the two bytes.
fn payload(example: &str) -> Bytes {
    match example.starts_with('{') {
        true => Bytes::from(example.to_owned()),
        false => Bytes::from(example.replace("\\r", "\r").replace("\\n", "\n")),
    }
}

/// What is encoded is the example again: data byte by byte, control as a value, in which only what `open` leaves out may
/// be filled in.
fn check_again(example: &str, encode: impl FnOnce(&mut BytesMut)) {
    let mut again = BytesMut::new();
    encode(&mut again);
    if !example.starts_with('{') {
        assert_eq!(again, payload(example));
        return;
    }
    let mut expected: Value = serde_json::from_str(example).unwrap();
    let fields = expected.as_object_mut().unwrap();
    if fields.contains_key("open") {
        fields.entry("mode").or_insert("read".into());
        fields.entry("from").or_insert("live".into());
    }
    assert_eq!(serde_json::from_slice::<Value>(&again).unwrap(), expected);
}

/// What stands in backticks in the first column of the tables of this section.
fn first_cells(section: &str) -> Vec<&'static str> {
    let heading = format!("## {section}");
    DOC.lines()
        .skip_while(|line| *line != heading)
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect()
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    encode(&[payload], &mut out);
    out.to_vec()
}
