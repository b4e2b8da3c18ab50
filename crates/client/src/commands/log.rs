//! `uart log`: what the gateway wrote down of a port, read back page by page.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;
use uart_iface::PortName;
use uartnet_client::{Backoff, ClientError, Session};
use uartnet_proto::message::{self, LogContent, LogRecord};

use super::connect;
use crate::cli::Common;
use crate::exit::Exit;
use crate::output;
use crate::sanitize::{harmless, harmless_json};

/// How often it is asked whether there is more.
const EVERY: Duration = Duration::from_millis(250);

/// Events that say what the log has not; they are always shown.
const ABOUT_THE_LOG: &[&str] = &["gap", "missed", "trouble", "damaged"];

/// Show what the gateway has written down of a port
///
/// The port must keep a log in format "text" ([[port.log]] in the gateway's configuration). What is missing in the log is
/// said where it is missing.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  uart log board0 --since 10m
  uart log board0 --since 2026-11-22T20:00:00Z --until 2026-11-22T20:15:00Z --sent --events
  uart log board0 --since 1h --follow
  uart log board0 --raw > received.bin
  uart log board0 --events --json | jq -c 'select(.event)'

A line is TIME MARK TEXT: < was received, > was sent, ! happened. Times are those of the gateway's clock, in UTC.
A JSON record has port, time, offset, and one of received, sent, event (docs/logs.md).")]
pub(crate) struct Log {
    /// The port
    port: PortName,
    /// Nothing from before: a time (2026-11-22T20:15:33Z), or how long ago (10m)
    #[arg(long, value_name = "WHEN", value_parser = when)]
    since: Option<String>,
    /// Nothing from then on, in the same forms
    #[arg(long, value_name = "WHEN", value_parser = when, conflicts_with = "follow")]
    until: Option<String>,
    /// Go on with what is written from now on, until stopped
    #[arg(long, short)]
    follow: bool,
    /// With --follow, end when the connection is lost, instead of going on where it was when there is one again
    #[arg(long, requires = "follow")]
    no_reconnect: bool,
    /// Also what was sent to the board
    #[arg(long, conflicts_with = "raw")]
    sent: bool,
    /// Also what happened to the port
    #[arg(long, conflicts_with = "raw")]
    events: bool,
    /// One JSON object a record
    #[arg(long, conflicts_with = "raw")]
    json: bool,
    /// The received bytes exactly as they are; what is missing goes to stderr
    #[arg(long)]
    raw: bool,
}

impl Log {
    pub(crate) async fn run(self, common: Common) -> Result<Exit> {
        let mut session = connect(&common).await?;
        let mut wanted = message::Log {
            log: self.port.to_string(),
            since: self.since.clone(),
            until: self.until.clone(),
            ..message::Log::default()
        };
        loop {
            let page = match session.log(wanted.clone()).await {
                Ok(page) => page,
                Err(error) if self.follow && !self.no_reconnect && error.can_pass() => {
                    session = connect_again(&common, &error).await?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if page.skipped {
                output::notice("records were deleted before they could be read");
            }
            self.show(&page.records)?;
            if !page.records.is_empty() {
                // What follows is later; and "10m ago" moves on while we read.
                wanted.since = None;
            }
            if !page.more {
                if !self.follow {
                    return Ok(Exit::Done);
                }
                tokio::time::sleep(EVERY).await;
            }
            wanted.after = Some(page.next);
            if !self.follow && wanted.to.is_none() {
                // A port that is faster than we are would never let us come to the end.
                wanted.to = page.end;
            }
        }
    }

    fn show(&self, records: &[LogRecord]) -> Result<()> {
        let mut out = Vec::new();
        for record in records {
            let is_shown = match &record.content {
                LogContent::Received(_) => true,
                LogContent::Sent(_) => self.sent,
                LogContent::Event(event) => self.events || is_about_the_log(event),
            };
            if is_shown {
                self.show_one(record, &mut out)?;
            }
        }
        Ok(output::bytes(&out)?)
    }

    fn show_one(&self, record: &LogRecord, out: &mut Vec<u8>) -> Result<()> {
        if self.json {
            /// The record and whose it is.
            #[derive(Serialize)]
            struct OfPort<'a> {
                port: &'a str,
                #[serde(flatten)]
                record: &'a LogRecord,
            }
            let port = self.port.as_str();
            let json = harmless_json(&OfPort { port, record })?;
            out.extend_from_slice(json.as_bytes());
            out.push(b'\n');
            return Ok(());
        }
        let (mark, text) = match &record.content {
            LogContent::Received(bytes) if self.raw => {
                out.extend_from_slice(&bytes.0);
                return Ok(());
            }
            LogContent::Received(bytes) => ('<', shown(&bytes.0)),
            LogContent::Sent(bytes) => ('>', shown(&bytes.0)),
            LogContent::Event(event) => ('!', sentence(event)),
        };
        if self.raw {
            output::notice(&text);
        } else {
            let line = format!("{} {mark} {text}\n", harmless(record.time.as_bytes()));
            out.extend_from_slice(line.as_bytes());
        }
        Ok(())
    }
}

/// Until there is a gateway again, or it says no.
async fn connect_again(common: &Common, lost: &ClientError) -> Result<Session> {
    let said = harmless(lost.to_string().as_bytes());
    output::notice(&format!("connection lost, reconnecting … ({said})"));
    let mut backoff = Backoff::new();
    loop {
        tokio::time::sleep(backoff.handle_failure(Instant::now())).await;
        match Session::connect(&common.gateway().await?, common.connect_timeout).await {
            Ok(session) => {
                output::notice("connected again");
                return Ok(session);
            }
            Err(error) if error.can_pass() => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn is_about_the_log(event: &Value) -> bool {
    let name = event.get("event").and_then(Value::as_str);
    name.is_some_and(|name| ABOUT_THE_LOG.contains(&name))
}

/// Bytes as one line, without the end of line they may have.
fn shown(bytes: &[u8]) -> String {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let end = line.iter().rposition(|byte| *byte != b'\r');
    harmless(&line[..end.map_or(0, |end| end + 1)])
}

/// An event of whatever kind as words: its name, then its fields.
fn sentence(event: &Value) -> String {
    let name = event.get("event").and_then(Value::as_str).unwrap_or("?");
    let mut words = vec![name.to_owned()];
    for (key, value) in event.as_object().into_iter().flatten() {
        match value {
            _ if key == "event" => {}
            Value::String(text) => words.push(format!("{key}=\"{text}\"")),
            other => words.push(format!("{key}={other}")),
        }
    }
    harmless(words.join(" ").as_bytes())
}

/// The gateway understands it; that it can is seen here.
fn when(text: &str) -> Result<String, String> {
    let is_time = humantime::parse_rfc3339_weak(text).is_ok();
    if is_time || humantime::parse_duration(text).is_ok() {
        return Ok(text.to_owned());
    }
    Err("write a time like 2026-11-22T20:15:33Z, or how long ago, like 10m".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn records_are_one_harmless_line() {
        assert_eq!(shown(b"LED on\r\r\n"), "LED on");
        assert_eq!(shown(b"\x1b[2J> "), "\\x1b[2J> ");
        assert_eq!(shown(b"\r\n"), "");
        let event = json!({"event": "absent", "reason": "gone\u{1b}[2J", "n": 5});
        assert_eq!(sentence(&event), "absent n=5 reason=\"gone\\x1b[2J\"");
        assert_eq!(sentence(&json!(5)), "?");
    }

    #[test]
    fn moments_are_times_or_how_long_ago() {
        for text in [
            "10m",
            "2h 5m",
            "2026-11-22T20:15:33Z",
            "2026-11-22 20:15:33.5",
        ] {
            assert_eq!(when(text), Ok(text.to_owned()));
        }
        for text in ["", "10", "yesterday", "2026-11-22"] {
            assert!(when(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_the_log_has_not_is_always_shown() {
        assert!(is_about_the_log(
            &json!({"event": "gap", "from": 1, "to": 2})
        ));
        assert!(!is_about_the_log(&json!({"event": "present"})));
    }
}
