//! `uart watch`: what boards say, line by line, until told to stop. Each port has a connection of its own, which comes back
//! by itself. What a line looks like is in `record`.

use std::io;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use clap::ValueEnum;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::Instant;
use uart_iface::PortName;
use uartnet_client::{ClientError, FollowOptions, Followed, Follower, ReadEvent};
use uartnet_proto::message::{Mode, StartAt};

use super::at;
use crate::cli::Common;
use crate::exit::{Exit, UsageError};
use crate::lines::{Line, LineAssembler};
use crate::notice::Notices;
use crate::record::{Form, Recorder};
use crate::{duration, output, start};

/// How much is gathered before it is written, in bytes, while more is there already.
const GATHERED: usize = 64 << 10;

/// Show what boards say, line by line, with timestamps
///
/// Each port has a connection of its own. A connection that is lost comes back by itself and goes on where it was; what
/// could not be had in between is said with its offsets. Control characters are shown, not obeyed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  uart watch board0
  uart watch board0 board1 --from last:2000 --timestamps relative
  uart watch board0 --json --for 10s | jq -r 'select(.text) | .text'
  uart watch board0 --raw --bytes 1000000 > dump.bin

Timestamps tell when the first byte of a line arrived here, in UTC.
A JSON record is a line (port, offset, time, text or hex, complete) or an event (port, time, event, …).")]
pub(crate) struct Watch {
    /// The ports
    #[arg(required = true)]
    port: Vec<PortName>,
    /// From where: live, start, last:BYTES, OFFSET@EPOCH
    #[arg(long, default_value = "live", value_name = "PLACE", value_parser = start::parse)]
    from: StartAt,
    /// What stands before each line
    #[arg(long, default_value = "utc", value_name = "KIND", conflicts_with_all = ["raw", "json"])]
    timestamps: Timestamps,
    /// The bytes exactly as they are, of one port; events go to stderr
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// End after so many bytes
    #[arg(long, value_name = "N")]
    bytes: Option<u64>,
    /// End after so many lines
    #[arg(long, value_name = "N")]
    lines: Option<u64>,
    /// End after this long
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    duration: Option<Duration>,
    /// End when a connection is lost
    #[arg(long)]
    no_reconnect: bool,
}

/// What stands before a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Timestamps {
    /// Nothing
    None,
    /// RFC 3339 with microseconds, in UTC
    Utc,
    /// Seconds since the beginning
    Relative,
}

/// Something that happened to one of the ports.
struct Happened {
    port: usize,
    now: Instant,
    time: SystemTime,
    what: Result<Followed, ClientError>,
}

impl Watch {
    pub(crate) async fn run(self, common: Common) -> Result<Exit> {
        if self.raw && self.port.len() > 1 {
            let problem = "--raw shows one port: the bytes of several could not be told apart";
            return Err(UsageError(problem.to_owned()).into());
        }
        let (sender, receiver) = channel(64);
        let gateway = common.gateway().await?;
        for (index, port) in self.port.iter().enumerate() {
            let options = FollowOptions {
                port: port.clone(),
                from: self.from.clone(),
                mode: Mode::Read,
                reconnect: !self.no_reconnect,
                connect_timeout: common.connect_timeout,
            };
            let follower = Follower::new(gateway.clone(), options);
            tokio::spawn(follow(index, follower, sender.clone()));
        }
        drop(sender);
        let deadline = self
            .duration
            .and_then(|duration| Instant::now().checked_add(duration));
        Watcher::new(self).run(receiver, deadline).await
    }
}

/// Hands on what happens to one port, until it ends or nobody listens.
async fn follow(port: usize, mut follower: Follower, sender: Sender<Happened>) {
    loop {
        let what = follower.next().await;
        let ended = what.is_err();
        let happened = Happened {
            port,
            now: Instant::now(),
            time: SystemTime::now(),
            what,
        };
        if sender.send(happened).await.is_err() || ended {
            return;
        }
    }
}

/// Turns what happens into output.
struct Watcher {
    recorder: Recorder,
    ports: Vec<Watched>,
    raw: bool,
    bytes_left: Option<u64>,
    lines_left: Option<u64>,
    gathered: Vec<u8>,
}

struct Watched {
    lines: LineAssembler,
    notices: Notices,
}

impl Watcher {
    fn new(watch: Watch) -> Watcher {
        let form = if watch.json {
            Form::Json
        } else {
            Form::Text(watch.timestamps)
        };
        let watched = |_: &PortName| Watched {
            lines: LineAssembler::new(),
            notices: Notices::default(),
        };
        Watcher {
            ports: watch.port.iter().map(watched).collect(),
            recorder: Recorder::new(form, watch.port, SystemTime::now()),
            raw: watch.raw,
            bytes_left: watch.bytes,
            lines_left: watch.lines,
            gathered: Vec::new(),
        }
    }

    async fn run(
        mut self,
        mut receiver: Receiver<Happened>,
        deadline: Option<Instant>,
    ) -> Result<Exit> {
        while !self.is_done() {
            if receiver.is_empty() || self.gathered.len() >= GATHERED {
                self.write_out()?;
            }
            let timeout = self
                .ports
                .iter()
                .filter_map(|port| port.lines.poll_timeout())
                .min();
            tokio::select! {
                // First what has arrived, so that a timeout never cuts a line whose rest is here already.
                biased;
                happened = receiver.recv() => match happened {
                    None => break,
                    Some(happened) => self.handle(happened)?,
                },
                () = at(timeout.map(Instant::from_std)) => self.handle_timeout(),
                () = at(deadline) => break,
            }
        }
        self.flush();
        self.write_out()?;
        Ok(Exit::Done)
    }

    fn is_done(&self) -> bool {
        self.bytes_left == Some(0) || self.lines_left == Some(0)
    }

    fn handle(&mut self, happened: Happened) -> Result<()> {
        let Happened {
            port,
            now,
            time,
            what,
        } = happened;
        let followed = match what {
            Ok(followed) => followed,
            Err(error) => {
                self.flush();
                self.write_out()?;
                return Err(error.into());
            }
        };
        if let Followed::Read(ReadEvent::Data { offset, bytes }) = &followed {
            let mut bytes = &bytes[..];
            if let Some(left) = &mut self.bytes_left {
                bytes = &bytes[..bytes
                    .len()
                    .min(usize::try_from(*left).unwrap_or(usize::MAX))];
                *left -= bytes.len() as u64;
            }
            if self.raw {
                self.gather_raw(bytes);
                return Ok(());
            }
            let mut lines = Vec::new();
            self.ports[port]
                .lines
                .handle_data(now.into_std(), time, *offset, bytes, &mut lines);
            for line in lines {
                self.gather_line(port, &line);
            }
            return Ok(());
        }
        let sentence = self.ports[port].notices.tell(&followed);
        if self.raw {
            if let Some(sentence) = sentence {
                output::notice(&sentence);
            }
            return Ok(());
        }
        // An event stands where it happened: after the bytes before it.
        if sentence.is_some()
            && let Some(line) = self.ports[port].lines.flush()
        {
            self.gather_line(port, &line);
        }
        self.recorder.event(
            port,
            time,
            &followed,
            sentence.as_deref(),
            &mut self.gathered,
        );
        Ok(())
    }

    fn handle_timeout(&mut self) {
        let now = Instant::now().into_std();
        for port in 0..self.ports.len() {
            if let Some(line) = self.ports[port].lines.handle_timeout(now) {
                self.gather_line(port, &line);
            }
        }
    }

    fn flush(&mut self) {
        for port in 0..self.ports.len() {
            if let Some(line) = self.ports[port].lines.flush() {
                self.gather_line(port, &line);
            }
        }
    }

    fn gather_line(&mut self, port: usize, line: &Line) {
        if self.lines_left == Some(0) {
            return;
        }
        let shown = self.recorder.line(port, line, &mut self.gathered);
        if let Some(left) = &mut self.lines_left
            && shown
        {
            *left -= 1;
        }
    }

    fn gather_raw(&mut self, bytes: &[u8]) {
        let mut end = bytes.len();
        if let Some(left) = &mut self.lines_left {
            for (index, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
                *left -= 1;
                if *left == 0 {
                    end = index + 1;
                    break;
                }
            }
        }
        self.gathered.extend_from_slice(&bytes[..end]);
    }

    fn write_out(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let result = output::bytes(&self.gathered);
        self.gathered.clear();
        result
    }
}
