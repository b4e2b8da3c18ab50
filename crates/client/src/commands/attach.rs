//! `uart attach`: one port's stream on this terminal, both ways. The escape key is in `escape`, ends of lines in `remap`,
//! the terminal's modes in `terminal`; here they meet a link.

use std::io::{self, IsTerminal};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::Receiver;
use tokio::time::Instant;
use uartnet_client::{ClientError, FollowOptions, Followed, Follower, Link, ReadEvent, Target};
use uartnet_proto::message::{
    Answer, Break, ErrorCode, Event, Info, Lease, LeaseAction, Mode, Request, StartAt,
};

use super::{at, info};
use crate::cli::Common;
use crate::escape::{COMMANDS, Escape, EscapeCommand, EscapeKey, Typed};
use crate::exit::Exit;
use crate::notice::Notices;
use crate::remap::{Eol, InputRemap, LineEnd, OutputRemap, echo};
use crate::screen::Screen;
use crate::terminal::RawTerminal;
use crate::{duration, input, output, start};

/// How long the break of the escape command lasts.
const BREAK: Duration = Duration::from_millis(250);

/// How long quitting waits for what was typed to be written.
const FAREWELL: Duration = Duration::from_secs(1);

/// The most that one piece of input can become: 4096 bytes, each an end of line of two.
const PIECE: usize = 8192;

/// Connect this terminal to a port
///
/// What is typed goes to the board, what the board sends is shown. The escape key begins a command: `?` lists them, `.`
/// quits. A connection that is lost comes back by itself and goes on where it was, also with what was typed meanwhile.
///
/// When stdin is not a terminal, all of it is sent as it is, without an escape key; attach ends when all of it was written
/// and then nothing has arrived for as long as --linger says.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  uart attach board0
  uart attach board0 --from last:2000 --eol lf --echo
  printf 'ID?\\rTEMP?\\r' | uart attach sim0
  uart attach board0 --read-only | tee session.log
  uart attach rfc2217://moxa:4001    a gateway that is not uartnet's; tcp://HOST:PORT for bytes alone, tls+ in front for TLS")]
pub(crate) struct Attach {
    /// The port; or rfc2217://HOST:PORT, tcp://HOST:PORT (tls+ in front for TLS)
    port: Target,
    /// From where: live, start, last:BYTES, OFFSET@EPOCH
    #[arg(long, default_value = "live", value_name = "PLACE", value_parser = start::parse)]
    from: StartAt,
    /// Send nothing
    #[arg(long)]
    read_only: bool,
    /// The escape key: ctrl-], ^A, ~, or none
    #[arg(long, default_value = "ctrl-]", value_name = "KEY")]
    escape: EscapeArg,
    /// Show what is typed, for boards that do not echo
    #[arg(long)]
    echo: bool,
    /// What Enter sends; from a pipe, what each end of line becomes [default: cr; from a pipe, as it is]
    #[arg(long, value_name = "EOL")]
    eol: Option<Eol>,
    /// Show a line feed without a carriage return as both
    #[arg(long)]
    output_crlf: bool,
    /// How long to go on without another byte when a pipe has ended, or "forever"
    #[arg(long, default_value = "500ms", value_name = "DURATION")]
    linger: Linger,
    /// End when the connection is lost
    #[arg(long)]
    no_reconnect: bool,
}

/// An escape key, or none.
#[derive(Debug, Clone, Copy)]
struct EscapeArg(Option<EscapeKey>);

impl FromStr for EscapeArg {
    type Err = String;

    fn from_str(text: &str) -> Result<EscapeArg, String> {
        if text == "none" {
            Ok(EscapeArg(None))
        } else {
            text.parse().map(|key| EscapeArg(Some(key)))
        }
    }
}

/// How long silence lasts before a piped attach ends; `None` is for ever.
#[derive(Debug, Clone, Copy)]
struct Linger(Option<Duration>);

impl FromStr for Linger {
    type Err = String;

    fn from_str(text: &str) -> Result<Linger, String> {
        if text == "forever" {
            Ok(Linger(None))
        } else {
            duration::parse(text).map(|time| Linger(Some(time)))
        }
    }
}

impl Attach {
    pub(crate) async fn run(self, common: Common) -> Result<Exit> {
        let typing = io::stdin().is_terminal();
        let (link, read_only) = self.open(&common, typing).await?;
        // Before the terminal is touched: a signal that is not caught would leave it raw.
        let signals = Signals::new()?;
        let raw = if typing {
            Some(RawTerminal::enter().context("cannot make the terminal raw")?)
        } else {
            None
        };
        let line_end = if typing {
            LineEnd::Enter
        } else {
            LineEnd::Text
        };
        let reading = typing || !read_only;
        let mut attached = Attached {
            screen: Screen::new(raw.is_some()),
            escape: Escape::new(self.escape.0.filter(|_| typing)),
            key: self.escape.0,
            input_remap: self.eol.map(|eol| InputRemap::new(line_end, eol)),
            output_remap: self.output_crlf.then(OutputRemap::default),
            echo: self.echo,
            notices: Notices::default(),
            link,
            read_only,
            told_read_only: false,
            all_went_well: true,
            heard: Instant::now(),
        };
        if typing {
            attached.greet(&common);
        }
        let input = reading.then(input::pieces);
        attached
            .run(input, typing, signals, raw.as_ref(), self.linger.0)
            .await
    }

    /// Opens the port before the terminal is touched, so that a refusal is an ordinary error. A person gets a port that cannot
    /// be written to for reading, and is told when something is typed; for a pipe it is an error.
    async fn open(&self, common: &Common, typing: bool) -> Result<(Link, bool)> {
        let port = match &self.port {
            Target::Port(port) => port,
            Target::Foreign(address) => {
                start::only_live(&self.from, address)?;
                let reconnect = !self.no_reconnect;
                let mut foreign = super::foreign(common, address, reconnect).await?;
                foreign.next().await?;
                return Ok((Link::Foreign(Box::new(foreign)), self.read_only));
            }
        };
        let options = |mode| FollowOptions {
            port: port.clone(),
            from: self.from.clone(),
            mode,
            reconnect: !self.no_reconnect,
            connect_timeout: common.connect_timeout,
        };
        if !self.read_only {
            let mut follower = Follower::new(common.gateway().await?, options(Mode::Write));
            match follower.next().await {
                Ok(_) => return Ok((Link::Gateway(Box::new(follower)), false)),
                Err(ClientError::Refused(answer))
                    if typing
                        && matches!(answer.error, ErrorCode::ReadOnly | ErrorCode::Forbidden) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut follower = Follower::new(common.gateway().await?, options(Mode::Read));
        follower.next().await?;
        Ok((Link::Gateway(Box::new(follower)), true))
    }
}

/// A port and a terminal, connected.
struct Attached {
    link: Link,
    screen: Screen,
    escape: Escape,
    key: Option<EscapeKey>,
    input_remap: Option<InputRemap>,
    output_remap: Option<OutputRemap>,
    echo: bool,
    notices: Notices,
    read_only: bool,
    told_read_only: bool,
    /// Whether everything that was to be written was, as far as is known.
    all_went_well: bool,
    /// When something last arrived or was written.
    heard: Instant,
}

impl Attached {
    fn greet(&mut self, common: &Common) {
        let keys = match self.key {
            Some(key) => format!("{key} ? for help, {key} . to quit"),
            None => "there is no escape key".to_owned(),
        };
        let mode = if self.read_only { ", read-only" } else { "" };
        let name = self.link.name();
        let port = match &self.link {
            Link::Gateway(_) => format!("{name} at {}", common.gateway),
            Link::Foreign(_) => name.to_owned(),
        };
        self.screen
            .notice(&format!("attached to {port}{mode}; {keys}"));
        if let Some(limits) = self.link.limits() {
            self.screen.notice(limits);
        }
    }

    async fn run(
        mut self,
        mut input: Option<Receiver<io::Result<Vec<u8>>>>,
        typing: bool,
        mut signals: Signals,
        raw: Option<&RawTerminal>,
        linger: Option<Duration>,
    ) -> Result<Exit> {
        let piped = !typing && input.is_some();
        loop {
            // A person who types too much is told; a pipe waits.
            let room = typing || self.link.write_room() >= PIECE;
            let finished = piped && input.is_none() && self.link.unwritten() == 0;
            let quiet_at = linger
                .filter(|_| finished)
                .map(|linger| self.heard + linger);
            tokio::select! {
                followed = self.link.next() => self.handle_followed(followed?)?,
                piece = receive(&mut input, room) => match piece {
                    Some(piece) => {
                        if self.handle_input(&piece.context("cannot read stdin")?)? {
                            return self.quit().await;
                        }
                    }
                    None if typing => return Ok(Exit::Done),
                    None => {
                        input = None;
                        self.heard = Instant::now();
                    }
                },
                () = at(quiet_at) => return Ok(if self.all_went_well { Exit::Done } else { Exit::Refused }),
                happened = signals.next() => match happened {
                    Happened::Continued => if let Some(raw) = raw {
                        raw.enter_again().context("cannot make the terminal raw again")?;
                    },
                    Happened::End(number) => return Ok(Exit::Signal(number)),
                },
            }
        }
    }

    /// Ends it at the person's wish. What was typed just before is still on its way, so the gateway gets a moment to take it.
    async fn quit(mut self) -> Result<Exit> {
        let deadline = Instant::now() + FAREWELL;
        while self.link.unwritten() > 0 {
            tokio::select! {
                followed = self.link.next() => self.handle_followed(followed?)?,
                () = at(Some(deadline)) => break,
            }
        }
        match self.link.unwritten() {
            0 => self.screen.notice("detached"),
            left => self.screen.notice(&format!(
                "detached; whether the last {left} bytes typed were written is not known"
            )),
        }
        Ok(Exit::Done)
    }

    fn handle_followed(&mut self, followed: Followed) -> Result<()> {
        self.heard = Instant::now();
        match &followed {
            Followed::Read(ReadEvent::Data { bytes, .. }) => match &mut self.output_remap {
                Some(remap) => self.screen.data(&remap.handle_output(bytes))?,
                None => self.screen.data(bytes)?,
            },
            Followed::Answer(_, answer) => self.handle_answer(answer),
            other => {
                self.all_went_well &= !matches!(
                    other,
                    Followed::WriteRefused(..)
                        | Followed::WriteUncertain(_)
                        | Followed::Event(Event::WriteLost { .. })
                );
                if let Some(sentence) = self.notices.tell(other) {
                    self.screen.notice(&sentence);
                }
            }
        }
        Ok(())
    }

    fn handle_answer(&mut self, answer: &Answer) {
        match answer {
            Answer::Port(details) => self
                .screen
                .text(&output::layout(&info::rows(&details.port))),
            Answer::Done(done) if done.done == "break" => self.screen.notice("break sent"),
            Answer::Error(error) => self
                .screen
                .notice(&format!("{} ({})", error.message, error.error)),
            _ => {}
        }
    }

    /// Takes a piece of input apart; says whether it ends with the wish to quit.
    fn handle_input(&mut self, piece: &[u8]) -> Result<bool> {
        for typed in self.escape.handle_input(piece) {
            match typed {
                Typed::Data(bytes) => self.handle_data(bytes)?,
                Typed::Command(EscapeCommand::Quit) => return Ok(true),
                Typed::Command(command) => self.handle_command(command),
                Typed::Unknown(_) => {
                    let key = self.key.map(|key| key.to_string()).unwrap_or_default();
                    self.screen
                        .notice(&format!("no such command; {key} ? for help"));
                }
            }
        }
        Ok(false)
    }

    fn handle_data(&mut self, typed: &[u8]) -> Result<()> {
        if self.read_only {
            if !std::mem::replace(&mut self.told_read_only, true) {
                self.screen
                    .notice("this port is open for reading only; what you type is not sent");
            }
            return Ok(());
        }
        if self.echo {
            self.screen.data(&echo(typed))?;
        }
        let written = match &mut self.input_remap {
            Some(remap) => {
                let mapped = remap.handle_input(typed);
                mapped.len() - self.link.write(&mapped)
            }
            None => typed.len() - self.link.write(typed),
        };
        if written > 0 {
            self.all_went_well = false;
            self.screen.notice(&format!(
                "too much is waiting to be written; {written} bytes were not taken"
            ));
        }
        Ok(())
    }

    fn handle_command(&mut self, command: EscapeCommand) {
        let port = self.link.name().to_owned();
        let request = match command {
            EscapeCommand::Quit => return,
            EscapeCommand::Help => return self.help(),
            EscapeCommand::ToggleEcho => {
                self.echo = !self.echo;
                return self.screen.notice(if self.echo {
                    "local echo on"
                } else {
                    "local echo off"
                });
            }
            EscapeCommand::Break => Request::Break(Break {
                port,
                ms: BREAK.as_millis() as u64,
            }),
            EscapeCommand::Info => Request::Info(Info { info: port }),
            EscapeCommand::TakeLease => Request::Lease(Lease {
                lease: port,
                action: LeaseAction::Take,
            }),
            EscapeCommand::StealLease => Request::Lease(Lease {
                lease: port,
                action: LeaseAction::Steal,
            }),
        };
        if self.link.request(request).is_none() {
            self.screen.notice("there is no connection now");
        }
    }

    fn help(&mut self) {
        let Some(key) = self.key else { return };
        let mut rows: Vec<[String; 2]> = Vec::new();
        for (keys, _, meaning) in COMMANDS {
            let keys: Vec<String> = keys
                .iter()
                .map(|byte| format!("{key} {}", char::from(*byte)))
                .collect();
            rows.push([keys.join(" or "), (*meaning).to_owned()]);
        }
        rows.push([format!("{key} {key}"), format!("send {key} itself")]);
        self.screen.text(&output::layout(&rows));
    }
}

/// What the operating system tells this process.
enum Happened {
    /// It was stopped, and goes on.
    Continued,
    /// It is to end, by the signal of this number.
    End(u8),
}

/// The signals that end attach: they are caught so that the terminal is given back.
struct Signals {
    ending: [(Signal, u8); 4],
    continued: Signal,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        let ending = |kind: SignalKind| -> io::Result<(Signal, u8)> {
            Ok((
                signal(kind)?,
                u8::try_from(kind.as_raw_value()).unwrap_or(u8::MAX),
            ))
        };
        Ok(Signals {
            ending: [
                ending(SignalKind::interrupt())?,
                ending(SignalKind::terminate())?,
                ending(SignalKind::hangup())?,
                ending(SignalKind::quit())?,
            ],
            continued: signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?,
        })
    }

    async fn next(&mut self) -> Happened {
        std::future::poll_fn(|cx| {
            for (signal, number) in &mut self.ending {
                if signal.poll_recv(cx).is_ready() {
                    return std::task::Poll::Ready(Happened::End(*number));
                }
            }
            self.continued.poll_recv(cx).map(|_| Happened::Continued)
        })
        .await
    }
}

/// The next piece of input, when there is input and room for it; `None` is its end.
async fn receive(
    input: &mut Option<Receiver<io::Result<Vec<u8>>>>,
    room: bool,
) -> Option<io::Result<Vec<u8>>> {
    match input {
        Some(input) if room => input.recv().await,
        _ => std::future::pending().await,
    }
}
