//! What a line or an event of `uart watch` looks like: for people, or as JSON for programs.

use std::io;
use std::time::SystemTime;

use serde::Serialize;
use uart_iface::PortName;
use uartnet_client::{Followed, ReadEvent};
use uartnet_proto::message::{Event, GapWhy};

use crate::commands::watch::Timestamps;
use crate::lines::Line;
use crate::sanitize::{harmless, harmless_json};
use crate::style::Style;

/// For whom records are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    /// People.
    Text(Timestamps),
    /// Programs: one JSON object a line.
    Json,
}

/// Writes records of several ports.
#[derive(Debug)]
pub(crate) struct Recorder {
    form: Form,
    ports: Vec<PortName>,
    /// The width of the column of names; none for a single port.
    width: Option<usize>,
    began: SystemTime,
    style: Style,
}

#[derive(Serialize)]
struct LineRecord<'a> {
    port: &'a str,
    offset: u64,
    time: String,
    #[serde(flatten)]
    content: Content,
    complete: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Content {
    Text(String),
    Hex(String),
}

#[derive(Serialize)]
struct EventRecord<'a> {
    port: &'a str,
    time: String,
    #[serde(flatten)]
    what: What<'a>,
}

/// What only this side of the connection knows.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum What<'a> {
    Opened {
        epoch: &'a str,
        offset: u64,
        again: bool,
    },
    Gap {
        from: u64,
        to: u64,
        why: Option<GapWhy>,
    },
    NewEpoch {
        had: u64,
        offset: u64,
    },
    ConnectionLost {
        reason: String,
    },
}

/// An event of the gateway, which names its port itself.
#[derive(Serialize)]
struct GatewayRecord<'a> {
    time: String,
    #[serde(flatten)]
    event: &'a Event,
}

impl Recorder {
    /// Records of these ports, by their index; times relative to `began`.
    pub(crate) fn new(form: Form, ports: Vec<PortName>, began: SystemTime) -> Recorder {
        let widest = ports
            .iter()
            .map(|port| port.as_str().len())
            .max()
            .unwrap_or(0);
        Recorder {
            form,
            width: (ports.len() > 1).then_some(widest),
            ports,
            began,
            style: Style::of(&io::stdout()),
        }
    }

    /// Appends a line. Says whether there was anything to show: for people, the bare end of a line whose beginning was shown
    /// before is nothing.
    pub(crate) fn line(&self, port: usize, line: &Line, out: &mut Vec<u8>) -> bool {
        match self.form {
            Form::Text(_) if line.continues && line.bytes.is_empty() => return false,
            Form::Text(timestamps) => {
                let text = harmless(&line.bytes);
                self.text(port, timestamps, line.time, &text, out);
            }
            Form::Json => {
                let record = LineRecord {
                    port: self.ports[port].as_str(),
                    offset: line.offset,
                    time: utc(line.time),
                    content: Content::of(&line.bytes),
                    complete: line.complete,
                };
                push_json(&record, out);
            }
        }
        true
    }

    /// Appends an event; `sentence` is what people are told of it.
    pub(crate) fn event(
        &self,
        port: usize,
        time: SystemTime,
        followed: &Followed,
        sentence: Option<&str>,
        out: &mut Vec<u8>,
    ) {
        match self.form {
            Form::Json => self.json_event(port, time, followed, out),
            Form::Text(timestamps) => {
                if let Some(sentence) = sentence {
                    let text = self.style.notice(&format!("[uart] {sentence}"));
                    self.text(port, timestamps, time, &text, out);
                }
            }
        }
    }

    fn text(
        &self,
        port: usize,
        timestamps: Timestamps,
        time: SystemTime,
        text: &str,
        out: &mut Vec<u8>,
    ) {
        let time = match timestamps {
            Timestamps::None => String::new(),
            Timestamps::Utc => utc(time) + " ",
            Timestamps::Relative => {
                // A clock that was set back in between makes this 0, not an error.
                let since = time.duration_since(self.began).unwrap_or_default();
                format!("{:12.6} ", since.as_secs_f64())
            }
        };
        out.extend_from_slice(self.style.aside(&time).as_bytes());
        if let Some(width) = self.width {
            let name = format!("{:width$} | ", self.ports[port].as_str());
            out.extend_from_slice(self.style.port(port, &name).as_bytes());
        }
        out.extend_from_slice(text.as_bytes());
        out.push(b'\n');
    }

    fn json_event(&self, port: usize, time: SystemTime, followed: &Followed, out: &mut Vec<u8>) {
        let time = utc(time);
        let what = match followed {
            Followed::Opened { opened, again } => What::Opened {
                epoch: &opened.epoch,
                offset: opened.offset,
                again: *again,
            },
            Followed::Read(ReadEvent::Gap { from, to, why }) => What::Gap {
                from: *from,
                to: *to,
                why: *why,
            },
            Followed::Read(ReadEvent::NewEpoch { had, offset }) => What::NewEpoch {
                had: *had,
                offset: *offset,
            },
            Followed::Lost(error, _) => What::ConnectionLost {
                reason: error.to_string(),
            },
            Followed::Event(event) => return push_json(&GatewayRecord { time, event }, out),
            // A watcher neither asks nor writes.
            Followed::Read(ReadEvent::Data { .. })
            | Followed::Answer(..)
            | Followed::WriteRefused(..)
            | Followed::WriteUncertain(_)
            | Followed::MissedUnknown
            | Followed::Inputs(_) => return,
        };
        push_json(
            &EventRecord {
                port: self.ports[port].as_str(),
                time,
                what,
            },
            out,
        );
    }
}

impl Content {
    fn of(bytes: &[u8]) -> Content {
        match std::str::from_utf8(bytes) {
            Ok(text) => Content::Text(text.to_owned()),
            Err(_) => Content::Hex(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        }
    }
}

fn utc(time: SystemTime) -> String {
    humantime::format_rfc3339_micros(time).to_string()
}

fn push_json(record: &impl Serialize, out: &mut Vec<u8>) {
    // These records have string keys and plain values only, so there is nothing serde_json could refuse.
    if let Ok(json) = harmless_json(record) {
        out.extend_from_slice(json.as_bytes());
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn recorder(form: Form, names: &[&str]) -> Recorder {
        let ports = names.iter().map(|name| name.parse().unwrap()).collect();
        Recorder {
            style: Style::PLAIN,
            ..Recorder::new(form, ports, SystemTime::UNIX_EPOCH)
        }
    }

    fn line(bytes: &[u8]) -> Line {
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(1_500_000);
        Line {
            offset: 7,
            time,
            bytes: bytes.to_vec(),
            complete: true,
            continues: false,
        }
    }

    fn shown(recorder: &Recorder, port: usize, line: &Line) -> String {
        let mut out = Vec::new();
        recorder.line(port, line, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn people_see_time_port_and_harmless_text() {
        let utc = recorder(Form::Text(Timestamps::Utc), &["b"]);
        assert_eq!(
            shown(&utc, 0, &line(b"a\x1b[2J")),
            "1970-01-01T00:00:01.500000Z a\\x1b[2J\n"
        );
        let relative = recorder(Form::Text(Timestamps::Relative), &["b", "board1"]);
        assert_eq!(
            shown(&relative, 0, &line(b"x")),
            "    1.500000 b      | x\n"
        );
        let none = recorder(Form::Text(Timestamps::None), &["b"]);
        assert_eq!(shown(&none, 0, &line(b"x")), "x\n");
    }

    #[test]
    fn the_bare_end_of_a_line_is_nothing_to_people_and_something_to_programs() {
        let rest = Line {
            continues: true,
            ..line(b"")
        };
        assert_eq!(
            shown(&recorder(Form::Text(Timestamps::None), &["b"]), 0, &rest),
            ""
        );
        assert!(shown(&recorder(Form::Json, &["b"]), 0, &rest).contains("\"text\":\"\""));
    }

    #[test]
    fn programs_get_one_object_a_record() {
        let json = recorder(Form::Json, &["b"]);
        assert_eq!(
            shown(&json, 0, &line(b"hi\x1b")),
            "{\"port\":\"b\",\"offset\":7,\"time\":\"1970-01-01T00:00:01.500000Z\",\"text\":\"hi\\u001b\",\"complete\":true}\n"
        );
        assert!(shown(&json, 0, &line(b"\xff\x00")).contains("\"hex\":\"ff00\""));
        let mut out = Vec::new();
        let gap = Followed::Read(ReadEvent::Gap {
            from: 1,
            to: 5,
            why: Some(GapWhy::Expired),
        });
        json.event(0, SystemTime::UNIX_EPOCH, &gap, None, &mut out);
        let event = Event::Line {
            port: "b".to_owned(),
            line: "9600-8n1".to_owned(),
        };
        json.event(
            0,
            SystemTime::UNIX_EPOCH,
            &Followed::Event(event),
            None,
            &mut out,
        );
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"port\":\"b\",\"time\":\"1970-01-01T00:00:00.000000Z\",\"event\":\"gap\",\"from\":1,\"to\":5,\"why\":\"expired\"}\n\
             {\"time\":\"1970-01-01T00:00:00.000000Z\",\"event\":\"line\",\"port\":\"b\",\"line\":\"9600-8n1\"}\n"
        );
    }
}
