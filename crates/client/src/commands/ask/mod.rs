//! `uart ask`: commands for a board's interpreter, each with its reply. Where the commands come from is in `script`, when
//! the next round is due in `pace`.

mod pace;
mod progress;
mod script;

use std::ffi::OsString;
use std::future::pending;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Error, Result, anyhow};
use clap::builder::PossibleValuesParser;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};
use uartnet_client::{Asker, ClientError, Session, Target};
use uartnet_interpreter::{PROFILES, Pattern, Profile, Settings, find};
use uartnet_proto::message::{self, Blob, ErrorAnswer, Reply};

use self::pace::Pace;
use self::progress::Progress;
use self::script::{Command, Lines, Source};
use super::connect;
use crate::cli::Common;
use crate::exit::{self, Exit, UsageError};
use crate::sanitize::harmless;
use crate::{duration, output, trust};

/// How much of an unexpected answer is shown, in characters.
const SHOWN: usize = 200;

/// Send commands to a board's interpreter and print its answers and nothing else
///
/// Several commands are asked in order; the first that gets no answer ends it, or with --expect the first that is answered
/// otherwise. What the board answers is an answer, also when it is an error of its interpreter that the port's profile does
/// not know: the exit code then is 0.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  uart ask sim0 'LED ON'
  uart ask sim0 ID? UPTIME?
  uart ask sim0 TEMP? --json | jq -r .reply
  uart ask sim0 --file commands.txt --keep-going
  printf 'LED ON\\nLED?\\n' | uart ask sim0
  uart ask sim0 TEMP? --every 1s --json >> temperature.jsonl
  uart ask sim0 TEMP? --expect '^2\\d\\.\\d C$' || echo 'it is not warm'
  uart ask meter0 --hex '01 03 00 00 00 02'
  uart ask rfc2217://moxa:4001 version --profile u-boot
  uart ask tcp://10.0.0.7:23 status --prompt 'router# '

Put a command with spaces in quotes: each argument is a command of its own. In a file or on stdin each line is one; blank
lines and lines that begin with # are none, and a backslash at the beginning of a line is taken away: \\# is a command.")]
pub(crate) struct Ask {
    /// The port; or rfc2217://HOST:PORT, tcp://HOST:PORT (tls+ in front for TLS)
    port: Target,
    /// The commands, without their end of line; none, or `-`: the lines of stdin, each asked as it comes
    command: Vec<OsString>,
    /// The commands are the lines of this file (`-`: of stdin)
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    file: Option<PathBuf>,
    /// Go on after a command that failed; the exit code is 1 at the end if there was one
    #[arg(long)]
    keep_going: bool,
    /// Ask all commands so many times [default: once, or with --every for ever]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    repeat: Option<u64>,
    /// Begin a round of all commands every so often
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_limit)]
    every: Option<Duration>,
    /// Each answer must match this regular expression, or its command has failed
    #[arg(long, value_name = "REGEX")]
    expect: Option<Pattern>,
    /// How long each reply may take, counted from its turn [default: the port's setting]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_limit)]
    timeout: Option<Duration>,
    /// How long each command may wait for its turn while others have theirs [default: the port's setting]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_limit)]
    wait: Option<Duration>,
    /// How the board's interpreter is talked to (only with rfc2217:// and tcp://)
    #[arg(long, value_name = "NAME", group = "end", value_parser = PossibleValuesParser::new(ready_profiles()))]
    profile: Option<String>,
    /// The reply ends at this text at the beginning of a line (only with rfc2217:// and tcp://)
    #[arg(long, value_name = "TEXT", group = "end")]
    prompt: Option<String>,
    /// The reply ends after so many lines (only with rfc2217:// and tcp://)
    #[arg(long, value_name = "N", group = "end", value_parser = clap::value_parser!(u16).range(1..))]
    lines: Option<u16>,
    /// The reply ends when nothing has come for so long (only with rfc2217:// and tcp://)
    #[arg(long, value_name = "DURATION", group = "end", value_parser = humantime::parse_duration)]
    quiet: Option<Duration>,
    /// Commands are typed and answers printed in hex: 01 03 00 6b
    #[arg(long)]
    hex: bool,
    /// One JSON object a command: port, command, reply, from, to, took_us; or error, message; and when and which it was
    #[arg(long)]
    json: bool,
}

/// What `--json` says of one command.
#[derive(Serialize)]
struct Asked<'a> {
    port: String,
    command: Blob,
    #[serde(flatten)]
    outcome: Outcome<'a>,
    /// Whether the answer is as `--expect` wants it.
    #[serde(skip_serializing_if = "Option::is_none")]
    matched: Option<bool>,
    /// Counts the commands, from 1.
    index: u64,
    /// Counts the rounds, from 1.
    round: u64,
    /// How many rounds were missed before this one; with its first command.
    #[serde(skip_serializing_if = "is_zero")]
    missed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    /// When it was sent from here, in UTC.
    sent_at: String,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Outcome<'a> {
    Reply(&'a Reply),
    Error(&'a ErrorAnswer),
}

/// Whoever can be asked.
enum Board {
    Gateway(Box<Session>),
    Foreign(Box<Asker>),
}

impl Board {
    async fn ask(&mut self, ask: message::Ask) -> Result<Reply, ClientError> {
        match self {
            Board::Gateway(session) => session.ask(ask).await,
            Board::Foreign(asker) => asker.ask(&ask.command.0).await,
        }
    }

    /// Waits for what comes next while nothing is being asked: a connection that is lost then has lost no command.
    async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, ClientError> {
        let lost = async {
            match self {
                Board::Gateway(session) => loop {
                    if let Err(error) = session.next().await {
                        return error;
                    }
                },
                Board::Foreign(_) => pending().await,
            }
        };
        tokio::select! {
            biased;
            done = work => Ok(done),
            error = lost => Err(error),
        }
    }
}

impl Ask {
    pub(crate) async fn run(mut self, common: Common) -> Result<Exit> {
        // What was typed wrong needs no gateway to be found.
        let source = self.source().await?;
        let board = self.connect(&common).await?;
        let named = matches!(&source, Source::Fixed(commands) if commands.len() == 1);
        let mut asking = Asking {
            board,
            progress: Progress::new(),
            name_command: !named,
            asked: 0,
            failed: 0,
            round: 1,
            missed: 0,
            ask: self,
        };
        match source {
            Source::Fixed(commands) => asking.rounds(&commands).await?,
            Source::Stdin(lines) => asking.stream(lines).await?,
        }
        asking.end()
    }

    async fn source(&mut self) -> Result<Source> {
        let from_stdin = match &self.file {
            Some(file) => file.as_os_str() == "-",
            None => self.command.is_empty() || self.command == ["-"],
        };
        if !from_stdin {
            return match &self.file {
                Some(file) => Source::file(file, self.hex),
                None => {
                    let commands = std::mem::take(&mut self.command);
                    Ok(Source::arguments(commands, self.hex)?)
                }
            };
        }
        if self.repeat.is_some() || self.every.is_some() {
            let problem = "the lines of stdin cannot be asked again; --repeat and --every need commands or a --file";
            return Err(UsageError(problem.to_owned()).into());
        }
        if self.file.is_some() || !self.command.is_empty() {
            return Ok(Source::stdin(self.hex));
        }
        // Nobody has said that the commands are on stdin: without any there, they were forgotten.
        let found = match io::stdin().is_terminal() {
            true => None,
            false => Source::stdin_with_commands(self.hex).await?,
        };
        found.ok_or_else(|| {
            let problem = format!("nothing to ask; write: uart ask {} COMMAND", self.port);
            UsageError(problem).into()
        })
    }

    async fn connect(&self, common: &Common) -> Result<Board> {
        match (&self.port, self.profile()?) {
            (Target::Port(_), None) => Ok(Board::Gateway(Box::new(connect(common).await?))),
            (Target::Port(_), Some(_)) => {
                let problem = "where a reply of a gateway's port ends is configured there; --profile, --prompt, --lines and --quiet are for rfc2217:// and tcp://";
                Err(UsageError(problem.to_owned()).into())
            }
            (Target::Foreign(address), None) => {
                let problem = format!(
                    "{address} is no uartnet gateway: say how a reply ends, with --profile NAME, --prompt TEXT, --lines N or --quiet 50ms"
                );
                Err(UsageError(problem).into())
            }
            (Target::Foreign(address), _) if self.wait.is_some() => {
                let problem =
                    format!("{address} is no uartnet gateway and gives no turns to --wait for");
                Err(UsageError(problem).into())
            }
            (Target::Foreign(address), Some(profile)) => {
                let gateway = trust::foreign(common, address).await?;
                let asker = Asker::connect(gateway, common.connect_timeout, profile).await;
                Ok(Board::Foreign(Box::new(asker?)))
            }
        }
    }

    /// How the interpreter is talked to, as far as it was typed; a gateway's port has a profile of its own.
    fn profile(&self) -> Result<Option<Profile>, UsageError> {
        let mut settings = Settings {
            timeout: self.timeout,
            ..Settings::default()
        };
        let name = if let Some(prompt) = &self.prompt {
            if prompt.is_empty() {
                return Err(UsageError("a prompt has at least one character".to_owned()));
            }
            settings.prompt = Some(prompt.clone().into());
            "prompt"
        } else if let Some(lines) = self.lines {
            settings.lines = Some(lines.into());
            "line"
        } else if let Some(quiet) = self.quiet {
            settings.quiet = Some(quiet);
            "quiet"
        } else if let Some(name) = &self.profile {
            name
        } else {
            return Ok(None);
        };
        let kind =
            find(name).ok_or_else(|| UsageError(format!("there is no profile \"{name}\"")))?;
        let profile = kind.profile(&settings);
        profile
            .map(Some)
            .map_err(|missing| UsageError(missing.to_string()))
    }

    fn request(&self, command: &Command) -> message::Ask {
        message::Ask {
            ask: self.port.to_string(),
            command: Blob(command.bytes.clone()),
            timeout_ms: self.timeout.map(milliseconds),
            wait_ms: self.wait.map(milliseconds),
        }
    }

    fn unexpected(&self, reply: &Reply) -> Error {
        let pattern = self.expect.as_ref().map(Pattern::to_string);
        let pattern = pattern.unwrap_or_default();
        let answer = self.shown(&reply.reply.0);
        anyhow!("the answer is {answer}, which does not match \"{pattern}\"")
    }

    /// A command or an answer, as people see it in a sentence.
    fn shown(&self, bytes: &[u8]) -> String {
        if self.hex {
            return spaced_hex(bytes);
        }
        let text = harmless(bytes);
        match text.char_indices().nth(SHOWN) {
            Some((at, _)) => format!("\"{}\"…", &text[..at]),
            None => format!("\"{text}\""),
        }
    }
}

/// Commands being asked.
struct Asking {
    ask: Ask,
    board: Board,
    progress: Progress,
    /// There are several, so it must be said which failed.
    name_command: bool,
    asked: u64,
    failed: u64,
    round: u64,
    /// How many rounds were missed before this one, until that is told.
    missed: u64,
}

impl Asking {
    async fn rounds(&mut self, commands: &[Command]) -> Result<()> {
        let mut pace = self
            .ask
            .every
            .map(|period| Pace::new(Instant::now().into_std(), period));
        let last = match (self.ask.repeat, &pace) {
            (Some(rounds), _) => Some(rounds),
            (None, Some(_)) => None,
            (None, None) => Some(1),
        };
        loop {
            for command in commands {
                let (round, count) = (self.round, commands.len());
                let asked = self.asked;
                self.progress.set(|| match last {
                    Some(last) => format!("{asked} of {} asked", last * count as u64),
                    None => format!("round {round}, {asked} asked"),
                });
                self.one(command).await?;
            }
            if last == Some(self.round) {
                return Ok(());
            }
            self.round += 1;
            if let Some(pace) = &mut pace {
                let (due, missed) = pace.handle_end(Instant::now().into_std());
                self.tell_missed(missed);
                let wait = self.board.during(sleep_until(due.into()));
                self.progress.during(wait).await?;
            }
        }
    }

    async fn stream(&mut self, mut lines: Lines) -> Result<()> {
        loop {
            let asked = self.asked;
            self.progress
                .set(|| format!("{asked} asked, waiting for stdin"));
            let line = self.board.during(lines.next());
            let Some(command) = self.progress.during(line).await?? else {
                return Ok(());
            };
            self.progress.set(|| format!("{asked} asked"));
            self.one(&command).await?;
        }
    }

    /// Asks one command, and prints its answer.
    ///
    /// # Errors
    /// It failed, and that is the end of all.
    async fn one(&mut self, command: &Command) -> Result<()> {
        let request = self.ask.request(command);
        let sent_at = SystemTime::now();
        let outcome = self.progress.during(self.board.ask(request)).await;
        self.progress.clear();
        self.asked += 1;
        let matched = match (&outcome, &self.ask.expect) {
            (Ok(reply), Some(pattern)) => Some(pattern.is_in(&reply.reply.0)),
            _ => None,
        };
        self.print(command, &outcome, matched, sent_at)?;
        match outcome {
            Ok(reply) if matched == Some(false) => self.fail(command, self.ask.unexpected(&reply)),
            Ok(_) => Ok(()),
            Err(error @ ClientError::Refused(_)) => self.fail(command, error.into()),
            Err(error) => {
                let place = self.place(command);
                Err(Error::from(error).context(format!(
                    "{place} was being asked, and whether the board has executed it is not known"
                )))
            }
        }
    }

    /// A command failed: that is the end, or counted.
    fn fail(&mut self, command: &Command, failure: Error) -> Result<()> {
        let failure = match self.name_command {
            true => failure.context(self.place(command)),
            false => failure,
        };
        self.failed += 1;
        if !self.ask.keep_going {
            return Err(failure);
        }
        exit::complain(&failure);
        Ok(())
    }

    fn print(
        &mut self,
        command: &Command,
        outcome: &Result<Reply, ClientError>,
        matched: Option<bool>,
        sent_at: SystemTime,
    ) -> Result<()> {
        let hex = self.ask.hex;
        if !self.ask.json {
            match outcome {
                Ok(reply) if hex => output::line(&spaced_hex(&reply.reply.0))?,
                Ok(reply) => output::reply(&reply.reply.0)?,
                Err(_) => {}
            }
            return Ok(());
        }
        let outcome = match outcome {
            Ok(reply) => Outcome::Reply(reply),
            Err(ClientError::Refused(answer)) => Outcome::Error(answer),
            Err(_) => return Ok(()),
        };
        let place = command.place.as_ref();
        let asked = Asked {
            port: self.ask.port.to_string(),
            command: Blob(command.bytes.clone()),
            outcome,
            matched,
            index: self.asked,
            round: self.round,
            missed: std::mem::take(&mut self.missed),
            file: place.map(|place| &*place.file),
            line: place.map(|place| place.line),
            sent_at: humantime::format_rfc3339_micros(sent_at).to_string(),
        };
        if hex {
            output::json(&all_hex(serde_json::to_value(&asked)?))?;
        } else {
            output::json(&asked)?;
        }
        Ok(())
    }

    fn place(&self, command: &Command) -> String {
        let text = self.ask.shown(&command.bytes);
        match &command.place {
            Some(place) => format!("{place}: {text}"),
            None => text,
        }
    }

    fn tell_missed(&mut self, missed: u64) {
        self.missed = missed;
        if missed > 0 {
            self.progress.clear();
            let rounds = if missed == 1 { "round" } else { "rounds" };
            output::notice(&format!(
                "{missed} {rounds} missed: the one before took too long"
            ));
        }
    }

    fn end(mut self) -> Result<Exit> {
        self.progress.clear();
        if self.failed == 0 {
            return Ok(Exit::Done);
        }
        output::complain(&format!(
            "{} of {} commands failed",
            self.failed, self.asked
        ));
        Ok(Exit::Refused)
    }
}

/// The profiles that need nothing to be said of them. `none` has no replies to find.
fn ready_profiles() -> impl Iterator<Item = &'static str> {
    PROFILES
        .iter()
        .filter(|kind| kind.name != "none" && kind.profile(&Settings::default()).is_ok())
        .map(|kind| kind.name)
}

fn milliseconds(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}

/// `01 03 00 6b`
fn spaced_hex(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(" ")
}

/// The record with its texts of bytes as hex, whether or not they happen to be UTF-8.
fn all_hex(mut record: Value) -> Value {
    for name in ["command", "reply", "partial", "words", "unsolicited"] {
        if let Some(Value::String(text)) = record.get(name) {
            let bytes = Blob(text.clone().into());
            record[name] = json!({ "hex": bytes.to_hex() });
        }
    }
    record
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_hex_whatever_the_bytes_are() {
        let record = json!({"command": "AB", "reply": {"hex": "ff"}, "index": 1});
        assert_eq!(
            all_hex(record),
            json!({"command": {"hex": "4142"}, "reply": {"hex": "ff"}, "index": 1})
        );
        assert_eq!(spaced_hex(&[1, 0xab]), "01 ab");
    }
}
