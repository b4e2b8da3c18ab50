//! The `asciicast` format, version 2, which `asciinema play` plays: a header, then an event a line. Pure. It is text in
//! UTF-8 and nothing else, so it is lossy: what is no UTF-8 is played as U+FFFD. The record of truth is `text`.

use std::time::SystemTime;

use serde_json::json;

use super::event::Event;
use super::piece::{Piece, What};

/// What a recording says of its terminal, since a UART has no size.
const COLUMNS: u32 = 80;
const ROWS: u32 = 24;
/// How many bytes one event has at most, about.
const LONGEST: usize = 4096;

/// The state of one recording, from file to file.
#[derive(Debug, Clone)]
pub(super) struct Recorder {
    /// What the events' times count from.
    began: SystemTime,
    /// The time of the last event: they must not go back.
    last: f64,
    /// The beginning of a character whose end has not come.
    received: Vec<u8>,
}

impl Recorder {
    /// Nothing is recorded yet.
    pub(super) fn new() -> Recorder {
        Recorder {
            began: SystemTime::UNIX_EPOCH,
            last: 0.0,
            received: Vec::new(),
        }
    }

    /// A file begins.
    pub(super) fn header(&mut self, now: SystemTime, title: &str) -> Vec<u8> {
        let since = now.duration_since(SystemTime::UNIX_EPOCH);
        (self.began, self.last) = (now, 0.0);
        line(json!({
            "version": 2,
            "width": COLUMNS,
            "height": ROWS,
            "timestamp": since.unwrap_or_default().as_secs(),
            "title": title,
        }))
    }

    /// A piece as events, and how many: received bytes as output, sent ones (if wanted) as input, what else happened as
    /// markers.
    pub(super) fn encode(&mut self, piece: &Piece, sent: bool) -> (Vec<u8>, u64) {
        let mut events = Vec::new();
        match &piece.what {
            What::Received(_, bytes) => {
                for part in bytes.chunks(LONGEST) {
                    self.received.extend_from_slice(part);
                    let text = whole_characters(&mut self.received);
                    events.extend(self.event(piece.time, "o", &text));
                }
            }
            What::Sent(_, bytes) if sent => {
                events.extend(self.event(piece.time, "i", &String::from_utf8_lossy(bytes)));
            }
            What::Sent(..) => {}
            What::Event(event) => {
                events.extend(self.event(piece.time, "o", &self.rest()));
                self.received.clear();
                if let Some(label) = label(event) {
                    events.extend(self.event(piece.time, "m", &label));
                }
            }
        }
        (events.concat(), events.len() as u64)
    }

    /// The beginning of a character that will not go on.
    fn rest(&self) -> String {
        String::from_utf8_lossy(&self.received).into_owned()
    }

    fn event(&mut self, time: SystemTime, code: &str, text: &str) -> Option<Vec<u8>> {
        if text.is_empty() {
            return None;
        }
        let since = time.duration_since(self.began).unwrap_or_default();
        self.last = self.last.max(since.as_micros() as f64 / 1e6);
        Some(line(json!([self.last, code, text])))
    }
}

fn line(value: serde_json::Value) -> Vec<u8> {
    let mut line = value.to_string().into_bytes();
    line.push(b'\n');
    line
}

/// The text as far as its last character is whole; the rest stays.
fn whole_characters(bytes: &mut Vec<u8>) -> String {
    let mut text = String::new();
    let mut left = Vec::new();
    let mut chunks = bytes.utf8_chunks().peekable();
    while let Some(chunk) = chunks.next() {
        text.push_str(chunk.valid());
        let invalid = chunk.invalid();
        if chunks.peek().is_none() && may_go_on(invalid) {
            left = invalid.to_vec();
        } else if !invalid.is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    *bytes = left;
    text
}

/// Whether these bytes are the beginning of a character of more bytes.
fn may_go_on(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

/// What a marker says; `None` for what is not worth one.
fn label(event: &Event) -> Option<String> {
    Some(match event {
        Event::Present { line, .. } => format!("present {line}"),
        Event::Absent { reason } => format!("absent: {reason}"),
        Event::Line { line } => format!("line {line}"),
        Event::Signals { outputs, inputs } => format!("signals {outputs} {inputs}"),
        Event::Errors { what } => format!("errors: {}", what.join(" ")),
        Event::Gap { from, to } => format!("gap: {} bytes are missing", to.saturating_sub(*from)),
        Event::Missed { records } => format!("missed: {records} records"),
        Event::Trouble { reason, since } => format!("not recorded since {since}: {reason}"),
        Event::Stop => "uartd stops".to_owned(),
        Event::Ask { .. } | Event::Log { .. } | Event::Damaged { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;
    use uartnet_hub::LogPlace;

    use super::*;

    fn record(recorder: &mut Recorder, micros: u64, what: What) -> Vec<Value> {
        let piece = Piece {
            time: SystemTime::UNIX_EPOCH + Duration::from_micros(micros),
            what,
            after: LogPlace::default(),
        };
        let (bytes, records) = recorder.encode(&piece, true);
        let events: Vec<Value> = bytes
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        assert_eq!(events.len() as u64, records);
        events
    }

    #[test]
    fn what_was_received_is_played_with_its_timing() {
        let mut recorder = Recorder::new();
        let begin = SystemTime::UNIX_EPOCH + Duration::from_secs(5);
        let header: Value = serde_json::from_slice(&recorder.header(begin, "board0")).unwrap();
        assert_eq!(header["version"], 2);
        assert_eq!(header["timestamp"], 5);
        let hello = What::Received(0, "hello\r\n".into());
        assert_eq!(
            record(&mut recorder, 5_250_000, hello),
            [json!([0.25, "o", "hello\r\n"])]
        );
        let typed = What::Sent(0, "x\r".into());
        assert_eq!(
            record(&mut recorder, 5_500_000, typed),
            [json!([0.5, "i", "x\r"])]
        );
        let early = What::Received(7, "y".into());
        assert_eq!(
            record(&mut recorder, 1_000_000, early),
            [json!([0.5, "o", "y"])],
            "a clock that was set back does not turn a recording back"
        );
        let gone = Event::Absent {
            reason: "unplugged".to_owned(),
        };
        assert_eq!(
            record(&mut recorder, 6_000_000, What::Event(gone)),
            [json!([1.0, "m", "absent: unplugged"])]
        );
    }

    #[test]
    fn characters_are_whole_wherever_the_bytes_were_cut_and_the_rest_is_marked() {
        let text = "größer 日本 🙂";
        for cut in 0..=text.len() {
            let mut recorder = Recorder::new();
            let mut played = String::new();
            for part in [&text.as_bytes()[..cut], &text.as_bytes()[cut..]] {
                for event in record(&mut recorder, 0, What::Received(0, part.to_vec().into())) {
                    played.push_str(event[2].as_str().unwrap());
                }
            }
            assert_eq!(played, text, "cut at {cut}");
        }
        let mut recorder = Recorder::new();
        let wrong = What::Received(0, b"a\xffb\xc3".to_vec().into());
        assert_eq!(record(&mut recorder, 0, wrong)[0][2], "a\u{fffd}b");
        assert_eq!(
            record(&mut recorder, 0, What::Event(Event::Stop))[0][2],
            "\u{fffd}"
        );
    }
}
