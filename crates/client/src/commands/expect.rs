//! `uart expect`: waits until a board says something. What is looked for, and where in the stream, is decided in
//! `expectation`; here it meets a port, the clock and stderr.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use anyhow::{Result, bail};
use bytes::Bytes;
use serde::Serialize;
use tokio::time::Instant;
use uartnet_client::{FollowOptions, Followed, Follower, Link, ReadEvent, Target};
use uartnet_interpreter::Pattern;
use uartnet_proto::message::{Blob, ErrorAnswer, ErrorCode, Event, Mode, StartAt, State};

use super::at;
use crate::cli::Common;
use crate::exit::{Exit, UsageError};
use crate::expectation::{Expectation, Match};
use crate::notice::Notices;
use crate::remap::Eol;
use crate::sanitize::harmless;
use crate::{duration, output, start};

/// How many of the last bytes are shown when nothing was found.
const SHOWN: usize = 200;

/// Wait until a board says something, and print the line
///
/// What has been said already counts with --from. A connection that is lost comes back by itself and the waiting goes on; bytes
/// that are missing then are told, and nothing is found across them.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  uart expect board0 'login: ' --timeout 2m
  uart expect board0 'PASS' 'FAIL' --from start
  uart expect board0 'U-Boot \\d+\\.\\d+' --send reset
  uart expect board0 '^T (\\d+)' --json | jq -r .line

The exit code is 0 when it came, 4 when it did not in time; then the last that came is on stderr.
^ and $ are the edges of lines. A match is at most 64 KiB long.")]
pub(crate) struct Expect {
    /// The port; or rfc2217://HOST:PORT, tcp://HOST:PORT (tls+ in front for TLS)
    port: Target,
    /// What to wait for; of several, the first to come
    #[arg(required = true)]
    regex: Vec<Pattern>,
    /// How long to wait, connecting included
    #[arg(long, default_value = "30s", value_name = "DURATION", value_parser = duration::parse)]
    timeout: Duration,
    /// Write this once the port is open, and an end of line
    #[arg(long, value_name = "TEXT")]
    send: Option<OsString>,
    /// The end of line behind --send
    #[arg(long, default_value = "cr", value_name = "EOL", requires = "send")]
    eol: Eol,
    /// No end of line behind --send
    #[arg(long, requires = "send")]
    no_eol: bool,
    /// From where to look: live, start, last:BYTES, OFFSET@EPOCH
    #[arg(long, default_value = "live", value_name = "PLACE", value_parser = start::parse)]
    from: StartAt,
    /// One JSON object: port, which, pattern, match, line, from, to, epoch, took_us; or error, message, partial
    #[arg(long)]
    json: bool,
    /// End when the connection is lost
    #[arg(long)]
    no_reconnect: bool,
}

/// What `--json` says when it came.
#[derive(Serialize)]
struct Found<'a> {
    port: &'a str,
    /// Which of the patterns, from 1.
    which: usize,
    pattern: String,
    #[serde(rename = "match")]
    bytes: Blob,
    line: Blob,
    from: u64,
    to: u64,
    /// Absent at a gateway that is not uartnet's.
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<String>,
    took_us: u64,
}

/// What `--json` says when it did not.
#[derive(Serialize)]
struct Missed<'a> {
    port: &'a str,
    #[serde(flatten)]
    error: ErrorAnswer,
}

impl Expect {
    pub(crate) async fn run(self, common: Common) -> Result<Exit> {
        let link = self.link(&common).await?;
        let begin = Instant::now();
        Waiting {
            link,
            text: self.text(),
            expectation: Expectation::new(self.regex.clone()),
            notices: Notices::default(),
            epoch: None,
            begin,
            deadline: begin.checked_add(self.timeout),
            expect: self,
        }
        .run()
        .await
    }

    async fn link(&self, common: &Common) -> Result<Link> {
        let limit = common.connect_timeout;
        let port = match &self.port {
            Target::Foreign(address) => {
                start::only_live(&self.from, address)?;
                let foreign = super::foreign(common, address, !self.no_reconnect).await?;
                return Ok(Link::Foreign(Box::new(foreign)));
            }
            Target::Port(port) => port.clone(),
        };
        let options = FollowOptions {
            port,
            from: self.from.clone(),
            mode: match self.send {
                Some(_) => Mode::Write,
                None => Mode::Read,
            },
            reconnect: !self.no_reconnect,
            connect_timeout: limit,
        };
        let follower = Follower::new(common.gateway().await?, options);
        Ok(Link::Gateway(Box::new(follower)))
    }

    /// What to write, once the port is open.
    fn text(&self) -> Option<Bytes> {
        let text = self.send.as_ref()?.as_bytes();
        let eol = if self.no_eol { b"" } else { self.eol.bytes() };
        Some([text, eol].concat().into())
    }
}

/// A port on which something is expected.
struct Waiting {
    expect: Expect,
    link: Link,
    /// Still to be written.
    text: Option<Bytes>,
    expectation: Expectation,
    notices: Notices,
    epoch: Option<String>,
    begin: Instant,
    /// `None`: beyond what a clock can count.
    deadline: Option<Instant>,
}

impl Waiting {
    async fn run(mut self) -> Result<Exit> {
        loop {
            let settled = self.expectation.poll_timeout().map(Instant::from_std);
            let found = tokio::select! {
                // What has arrived was in time.
                biased;
                followed = self.link.next() => self.handle(followed?)?,
                () = at(settled) => self.expectation.handle_timeout(Instant::now().into_std()),
                () = at(self.deadline) => {
                    // What is at the end of the stream now will not become longer in time.
                    let found = settled.and_then(|due| self.expectation.handle_timeout(due.into_std()));
                    if found.is_none() {
                        return self.missed();
                    }
                    found
                }
            };
            if let Some(found) = found {
                self.written().await?;
                return self.found(&found);
            }
        }
    }

    /// What was to be written is written, also when what is looked for had come before it.
    async fn written(&mut self) -> Result<()> {
        while self.link.unwritten() > 0 {
            tokio::select! {
                biased;
                followed = self.link.next() => self.handle(followed?)?,
                () = at(self.deadline) => bail!("whether the text of --send was written is not known"),
            };
        }
        Ok(())
    }

    fn handle(&mut self, followed: Followed) -> Result<Option<Match>> {
        if let Some(sentence) = self.notices.tell(&followed) {
            output::notice(&sentence);
        }
        match followed {
            Followed::Opened { opened, .. } => {
                // One of ours has a history to come back to.
                self.epoch = matches!(self.link, Link::Gateway(_)).then_some(opened.epoch);
                self.send()?;
            }
            Followed::Read(ReadEvent::Data { offset, bytes }) => {
                let now = Instant::now().into_std();
                return Ok(self.expectation.handle_data(now, offset, &bytes));
            }
            Followed::Read(ReadEvent::Gap { .. } | ReadEvent::NewEpoch { .. })
            | Followed::MissedUnknown
            | Followed::Event(Event::State {
                state: State::Absent,
                ..
            }) => self.expectation.handle_gap(),
            Followed::WriteRefused(..) | Followed::Event(Event::WriteLost { .. }) => {
                bail!("the text of --send was not written")
            }
            Followed::WriteUncertain(_) => {
                bail!("whether the text of --send was written is not known")
            }
            _ => {}
        }
        Ok(None)
    }

    fn send(&mut self) -> Result<()> {
        if let Some(text) = self.text.take()
            && self.link.write(&text) < text.len()
        {
            let problem = format!("--send cannot write {} bytes at once", text.len());
            return Err(UsageError(problem).into());
        }
        Ok(())
    }

    fn found(&self, found: &Match) -> Result<Exit> {
        let pattern = self.expectation.pattern(found.which).to_string();
        if self.expect.json {
            let bytes = |bytes: &[u8]| Blob(Bytes::copy_from_slice(bytes));
            output::json(&Found {
                port: self.link.name(),
                which: found.which + 1,
                pattern,
                bytes: bytes(&found.bytes),
                line: bytes(&found.lines),
                from: found.offsets.start,
                to: found.offsets.end,
                epoch: self.epoch.clone(),
                took_us: u64::try_from(self.begin.elapsed().as_micros()).unwrap_or(u64::MAX),
            })?;
            return Ok(Exit::Done);
        }
        if self.expect.regex.len() > 1 {
            output::notice(&format!("this is \"{}\"", harmless(pattern.as_bytes())));
        }
        output::reply(&found.lines)?;
        Ok(Exit::Done)
    }

    fn missed(&self) -> Result<Exit> {
        let patterns: Vec<String> = (self.expect.regex.iter())
            .map(|pattern| format!("\"{}\"", harmless(pattern.to_string().as_bytes())))
            .collect();
        let message = format!(
            "{} did not come within {}",
            patterns.join(" or "),
            humantime::format_duration(self.expect.timeout)
        );
        let newest = self.expectation.newest(SHOWN);
        output::complain(&message);
        output::complain(&match newest.is_empty() {
            true => "nothing came".to_owned(),
            false => format!("the last that came: \"{}\"", harmless(newest)),
        });
        if self.expect.json {
            let error = ErrorAnswer {
                partial: Some(Blob(Bytes::copy_from_slice(newest))),
                ..ErrorAnswer::new(ErrorCode::Timeout, message)
            };
            let port = self.link.name();
            output::json(&Missed { port, error })?;
        }
        Ok(Exit::TimedOut)
    }
}
