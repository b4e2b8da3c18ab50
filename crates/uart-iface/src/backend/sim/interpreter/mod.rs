//! `sim:interpreter`: a board with a line-oriented command shell, as docs/interpreter.md specifies it.
//! The command table is in `command`, what the sensors show in `sensors`, the options of the spec in `config`.

mod command;
mod config;
mod sensors;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use self::command::{COMMANDS, Error, Id};
pub(super) use self::config::{Config, Kind};
use super::Board;
use crate::OutputSignals;

/// What is printed when a command may be typed.
const PROMPT: &str = "> ";
/// The first line after a start.
const BANNER: &str = "UART interpreter 1.0, type HELP";
/// What HELLO is answered.
const GREETING: &str = "Hello from the UART interpreter!";

/// The longest command line, in bytes.
const MAX_LINE: usize = 127;
/// How many received bytes wait while the program is busy.
const RX_BUFFER: usize = 256;
/// The program stops while so many bytes wait to be sent.
const TX_BUFFER: usize = 64;
const PINS: usize = 14;

const CTRL_C: u8 = 0x03;
const BACKSPACE: u8 = 0x08;
const TAB: u8 = 0x09;
const DELETE: u8 = 0x7f;

/// The board.
#[derive(Debug)]
pub(super) struct Interpreter {
    config: Config,
    /// When it last started. `None` before its first moment.
    booted: Option<Instant>,
    /// Received, not looked at yet. At most [`RX_BUFFER`].
    rx: VecDeque<u8>,
    /// How many bytes were lost since `rx` was last empty. Nothing is received until it is empty again.
    lost: u32,
    /// To be sent. The program goes on only while it is below [`TX_BUFFER`].
    tx: VecDeque<u8>,
    /// The command line so far. At most [`MAX_LINE`].
    line: Vec<u8>,
    /// Why the line will not be executed.
    damage: Option<Error>,
    /// The last byte looked at was CR, so that an LF now belongs to it.
    after_cr: bool,
    echo: bool,
    prompt: bool,
    led: bool,
    pins: [Pin; PINS],
    stream: Option<Stream>,
    /// Until when a SLEEP lasts.
    asleep: Option<Instant>,
    dtr: bool,
}

/// A digital pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pin {
    /// An input with a pull-up, to which nothing is connected.
    Input,
    Output(bool),
}

/// Telemetry under way.
#[derive(Debug, Clone, Copy)]
struct Stream {
    period: Duration,
    due: Instant,
    /// How many lines have fallen due.
    count: u32,
}

/// What a command is answered.
enum Answer {
    Line(String),
    /// Lines, and then OK.
    List(Vec<String>),
    /// Nothing yet.
    Later,
    /// The start's own banner.
    Start,
}

impl Interpreter {
    pub(super) fn new(config: Config) -> Interpreter {
        Interpreter {
            config,
            booted: None,
            rx: VecDeque::new(),
            lost: 0,
            tx: VecDeque::new(),
            line: Vec::new(),
            damage: None,
            after_cr: false,
            echo: config.echo,
            prompt: config.prompt,
            led: false,
            pins: [Pin::Input; PINS],
            stream: None,
            asleep: None,
            dtr: false,
        }
    }

    /// The first thing the program does. What was received is still there.
    fn boot(&mut self, now: Instant) {
        *self = Interpreter {
            booted: Some(now),
            rx: std::mem::take(&mut self.rx),
            lost: self.lost,
            tx: std::mem::take(&mut self.tx),
            after_cr: self.after_cr,
            dtr: self.dtr,
            ..Interpreter::new(self.config)
        };
        self.newline();
        self.print_line(BANNER);
        self.print_prompt();
    }

    /// The reset pin: the UART begins anew as well.
    fn hard_reset(&mut self, now: Instant) {
        self.rx.clear();
        self.lost = 0;
        self.tx.clear();
        self.after_cr = false;
        self.boot(now);
    }

    /// Lets the program run until `now`.
    fn run(&mut self, now: Instant) {
        if self.booted.is_none() {
            self.boot(now);
        }
        loop {
            if self.asleep.is_none() {
                self.work_off_input(now);
            }
            let due = self.poll_timeout().filter(|due| *due <= now);
            let Some(due) = due else { return };
            if self.asleep == Some(due) {
                self.asleep = None;
                self.answer("OK");
                // The commands that waited are executed at the moment the sleep ended.
                self.work_off_input(due);
            } else {
                self.telemetry(due, now);
            }
        }
    }

    /// Looks at received bytes as long as there is room for what they cause.
    fn work_off_input(&mut self, now: Instant) {
        while self.asleep.is_none() && self.tx.len() < TX_BUFFER {
            let Some(byte) = self.rx.pop_front() else {
                break;
            };
            self.handle_byte(now, byte);
        }
        if self.rx.is_empty() && self.lost > 0 {
            let earlier = match self.damage {
                Some(Error::InputOverrun(lost)) => lost,
                _ => 0,
            };
            self.damage = Some(Error::InputOverrun(earlier.saturating_add(self.lost)));
            self.lost = 0;
        }
    }

    fn handle_byte(&mut self, now: Instant, byte: u8) {
        let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
        match byte {
            b'\n' if after_cr => {}
            b'\r' | b'\n' => self.end_line(now),
            CTRL_C => self.abandon_line(),
            BACKSPACE | DELETE => {
                if self.line.pop().is_some() && self.echo {
                    self.print("\x08 \x08");
                }
            }
            0..0x20 if byte != TAB => {}
            _ if self.line.len() == MAX_LINE => {
                self.damage.get_or_insert(Error::LineTooLong);
            }
            _ => {
                self.line.push(byte);
                if self.echo {
                    self.tx.push_back(byte);
                }
            }
        }
    }

    fn abandon_line(&mut self) {
        self.line.clear();
        self.damage = None;
        if self.echo {
            self.print("^C");
            self.newline();
        }
        self.print_prompt();
    }

    fn end_line(&mut self, now: Instant) {
        if self.echo {
            self.newline();
        }
        let line = std::mem::take(&mut self.line);
        let result = match self.damage.take() {
            Some(damage) => Err(damage),
            None => {
                let words = command::words(&line);
                if words.is_empty() {
                    return self.print_prompt();
                }
                self.execute(now, &words)
            }
        };
        match result {
            Ok(Answer::Line(text)) => self.answer(&text),
            Ok(Answer::List(lines)) => {
                for line in &lines {
                    self.print_line(line);
                }
                self.answer("OK");
            }
            Ok(Answer::Later) => {}
            Ok(Answer::Start) => self.boot(now),
            Err(error) => self.answer(&error.to_string()),
        }
    }

    fn execute(&mut self, now: Instant, words: &[String]) -> Result<Answer, Error> {
        let command = command::find(words)?;
        let arguments: Vec<&str> = words[1..].iter().map(String::as_str).collect();
        let answer = match (command.id, arguments.as_slice()) {
            (Id::Help, _) => Some(Answer::List(help())),
            (Id::Hello, _) => Some(Answer::Line(GREETING.to_owned())),
            (Id::Identity, ["?"]) => {
                let seed = self.config.seed;
                Some(Answer::Line(format!("uart-interpreter 1.0 #{seed:08X}")))
            }
            (Id::Uptime, ["?"]) => {
                let uptime = self.uptime(now);
                let (s, ms) = (uptime / 1000, uptime % 1000);
                Some(Answer::Line(format!("{s}.{ms:03} s")))
            }
            (Id::Echo, [word]) => switch(&mut self.echo, word),
            (Id::Prompt, [word]) => switch(&mut self.prompt, word),
            (Id::Led, [word]) => switch(&mut self.led, word),
            (Id::Gpio, [pin, action]) => match command::number(pin, 0..=PINS as u32 - 1) {
                Some(pin) => self.gpio(pin as usize, action)?,
                None => None,
            },
            (Id::Adc, ["?", channel]) => command::number(channel, 0..=7).map(|channel| {
                let reading = sensors::adc(self.config.seed, self.uptime(now), channel);
                Answer::Line(reading.to_string())
            }),
            (Id::Temperature, ["?"]) => {
                let temperature = sensors::temperature(self.config.seed, self.uptime(now));
                Some(Answer::Line(format!("{temperature} C")))
            }
            (Id::Stream, [word]) => self.set_stream(now, word),
            (Id::Sleep, [ms]) => command::number(ms, 0..=60_000).map(|ms| {
                self.asleep = Some(now + Duration::from_millis(u64::from(ms)));
                Answer::Later
            }),
            (Id::Reset, _) => Some(Answer::Start),
            _ => None,
        };
        answer.ok_or(Error::BadArgument(command.usage))
    }

    /// `None`: there is no such action.
    fn gpio(&mut self, pin: usize, action: &str) -> Result<Option<Answer>, Error> {
        let pin = &mut self.pins[pin];
        *pin = match (action, *pin) {
            ("IN", _) => Pin::Input,
            ("OUT", Pin::Input) => Pin::Output(false),
            ("OUT", output) => output,
            ("0" | "1", Pin::Input) => return Err(Error::PinIsInput),
            ("0", Pin::Output(_)) => Pin::Output(false),
            ("1", Pin::Output(_)) => Pin::Output(true),
            ("?", Pin::Input) => return Ok(Some(Answer::Line("IN 1".to_owned()))),
            ("?", Pin::Output(level)) => {
                return Ok(Some(Answer::Line(format!("OUT {}", u8::from(level)))));
            }
            _ => return Ok(None),
        };
        Ok(Some(ok()))
    }

    /// `None`: the word is not right.
    fn set_stream(&mut self, now: Instant, word: &str) -> Option<Answer> {
        match word {
            "?" => {
                return Some(Answer::Line(match self.stream {
                    Some(stream) => format!("{} ms", stream.period.as_millis()),
                    None => "OFF".to_owned(),
                }));
            }
            "OFF" => self.stream = None,
            period => {
                let ms = command::number(period, 10..=60_000)?;
                let period = Duration::from_millis(u64::from(ms));
                self.stream = Some(Stream {
                    period,
                    due: now + period,
                    count: 0,
                });
            }
        }
        Some(ok())
    }

    /// A telemetry line falls due at `due`. It is printed between commands only, and not while the sender is held up;
    /// then every line that fell due until `now` is left out, and its number with it.
    fn telemetry(&mut self, due: Instant, now: Instant) {
        let free = self.asleep.is_none()
            && self.tx.len() < TX_BUFFER
            && self.line.is_empty()
            && self.damage.is_none();
        let uptime = self.uptime(due);
        let Some(stream) = &mut self.stream else {
            return;
        };
        let left_out = if free {
            0
        } else {
            // Periods are at least 10 ms: the quotient is below 2^32 for more than a year.
            ((now - due).as_nanos() / stream.period.as_nanos()) as u32
        };
        stream.count = stream.count.wrapping_add(1 + left_out);
        stream.due = due + stream.period * (1 + left_out);
        if free {
            let n = stream.count;
            let temperature = sensors::temperature(self.config.seed, uptime);
            let adc = sensors::adc(self.config.seed, uptime, 0);
            if self.prompt {
                self.newline();
            }
            self.answer(&format!("T {n} {temperature} {adc}"));
        }
    }

    fn receive(&mut self, now: Instant, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let count = bytes.len().min(self.input_room());
            if count == 0 {
                let lost = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                self.lost = self.lost.saturating_add(lost);
                return;
            }
            self.rx.extend(&bytes[..count]);
            bytes = &bytes[count..];
            self.run(now);
        }
    }

    /// Milliseconds since the start.
    fn uptime(&self, now: Instant) -> u64 {
        let since = self.booted.map_or(Duration::ZERO, |booted| now - booted);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn answer(&mut self, line: &str) {
        self.print_line(line);
        self.print_prompt();
    }

    fn print_line(&mut self, line: &str) {
        self.print(line);
        self.newline();
    }

    fn print_prompt(&mut self) {
        if self.prompt {
            self.print(PROMPT);
        }
    }

    fn newline(&mut self) {
        self.print("\r\n");
    }

    fn print(&mut self, text: &str) {
        self.tx.extend(text.as_bytes());
    }
}

impl Board for Interpreter {
    fn input_room(&self) -> usize {
        if self.lost > 0 {
            0
        } else {
            RX_BUFFER - self.rx.len()
        }
    }

    fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        self.run(now);
        self.receive(now, bytes);
    }

    fn handle_outputs(&mut self, now: Instant, outputs: OutputSignals) {
        let rising = outputs.dtr && !self.dtr;
        self.dtr = outputs.dtr;
        if self.booted.is_some() && rising && self.config.reset_on_dtr {
            self.hard_reset(now);
        }
        self.run(now);
    }

    /// A break is seen as Ctrl-C.
    fn handle_break(&mut self, now: Instant, on: bool) {
        if on {
            self.handle_input(now, &[CTRL_C]);
        }
    }

    fn handle_power_cycle(&mut self, now: Instant) {
        self.hard_reset(now);
    }

    fn poll_output(&mut self, now: Instant, limit: usize, out: &mut Vec<u8>) {
        self.run(now);
        let mut left = limit;
        while left > 0 && !self.tx.is_empty() {
            let count = left.min(self.tx.len());
            out.extend(self.tx.drain(..count));
            left -= count;
            self.run(now);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let telemetry = self.stream.map(|stream| stream.due);
        [self.asleep, telemetry].into_iter().flatten().min()
    }

    fn prompt(&self) -> Option<&str> {
        self.config.prompt.then_some(PROMPT)
    }
}

fn ok() -> Answer {
    Answer::Line("OK".to_owned())
}

/// `None`: the word is not right.
fn switch(value: &mut bool, word: &str) -> Option<Answer> {
    match word {
        "ON" => *value = true,
        "OFF" => *value = false,
        "?" => return Some(Answer::Line(if *value { "ON" } else { "OFF" }.to_owned())),
        _ => return None,
    }
    Some(ok())
}

fn help() -> Vec<String> {
    COMMANDS
        .iter()
        .map(|command| format!("{:<28}{}", command.usage, command.summary))
        .collect()
}
