//! Every profile in the list, on the hub, against a hostile board: replies that come late, early, twice, in pieces of any
//! size, garbled, endlessly or not at all, with prompts and log lines in them. What must hold: each ask ends once; a reply holds nothing
//! that was written in answer to another ask; and after whatever failure the next command gets its own answer.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

mod support;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use support::*;
use uartnet_hub::*;
use uartnet_interpreter::{PROFILES, Settings};

const TIMEOUT: Duration = Duration::from_millis(300);

/// What the board does with one command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Answers,
    /// After so many milliseconds, later than the timeout and sooner than the port gives up waiting.
    AnswersLate(u64),
    AnswersTwice,
    /// An answer whose ends cannot be recognised.
    Garbles,
    /// Nothing but the echo.
    IsSilent,
    /// A log line tears the echo.
    LogsMeanwhile,
    /// What ends a reply stands within it.
    ShowsPrompts,
    /// More than a reply may have, and then its end.
    Floods,
    /// An error of its own.
    Refuses,
}

fn does() -> impl Strategy<Value = Does> {
    prop_oneof![
        3 => Just(Does::Answers),
        2 => (310u64..480).prop_map(Does::AnswersLate),
        1 => Just(Does::AnswersTwice),
        1 => Just(Does::Garbles),
        1 => Just(Does::IsSilent),
        1 => Just(Does::LogsMeanwhile),
        1 => Just(Does::ShowsPrompts),
        1 => Just(Does::Floods),
        1 => Just(Does::Refuses),
    ]
}

fn profile(name: &str) -> Profile {
    let is_text = !["at", "micropython", "modbus-rtu", "none"].contains(&name);
    let settings = Settings {
        prompt: (name == "prompt").then(|| "=> ".into()),
        until_regex: (name == "custom").then(|| "^(END|ERR.*)$".parse().unwrap()),
        quiet: (name == "quiet").then_some(30 * MS),
        error: is_text.then(|| "^ERR".parse().unwrap()),
        timeout: Some(TIMEOUT),
        max_reply: Some(2000),
        ..Settings::default()
    };
    let kind = PROFILES.iter().find(|kind| kind.name == name).unwrap();
    kind.profile(&settings).unwrap()
}

/// A board as each profile expects it. Every answer to the command number `n` has the word `r<n>.` in it.
struct Board {
    profile: &'static str,
    script: VecDeque<Does>,
    input: Vec<u8>,
    /// What it will say, and when.
    says: VecDeque<(Instant, Vec<u8>)>,
}

impl Board {
    fn command(&self, number: usize) -> Vec<u8> {
        match self.profile {
            "at" => format!("AT+T={number}").into_bytes(),
            "micropython" => format!("for i in range(1):\n  print({number})").into_bytes(),
            "modbus-rtu" => vec![1, 3, 0, number as u8, 0, 1],
            _ => format!("tell {number}").into_bytes(),
        }
    }

    fn take(&mut self, now: Instant, bytes: &[u8]) {
        for &byte in bytes {
            self.take_byte(now, byte);
        }
    }

    fn take_byte(&mut self, now: Instant, byte: u8) {
        self.input.push(byte);
        match (self.profile, byte) {
            ("none", _) => self.input.clear(),
            ("modbus-rtu", _) if self.input.len() == 8 => {
                let number = usize::from(self.input[3]);
                self.input.clear();
                self.execute(now, number, Vec::new());
            }
            ("modbus-rtu", _) => {}
            ("micropython", 3) => self.interrupt(now, b"\r\n>>> "),
            ("micropython", 2) => {
                self.input.clear();
                self.say(now, b"\r\nMicroPython v1\r\n>>> ".to_vec());
            }
            ("micropython", 4) => {
                let number = number_in(&std::mem::take(&mut self.input));
                let greeting = b"raw REPL; CTRL-B to exit\r\n>OK".to_vec();
                self.execute(now, number, greeting);
            }
            ("micropython", _) => {}
            (_, 3) => self.interrupt(now, b"<INTERRUPT>\r\n=> "),
            (_, b'\r') => {
                let mut line = std::mem::take(&mut self.input);
                line.pop();
                if line.is_empty() {
                    let prompt = [&b"\r\n"[..], self.prompt()].concat();
                    return self.say(now, prompt);
                }
                let number = number_in(&line);
                line.extend_from_slice(b"\r\n");
                self.execute(now, number, line);
            }
            _ => {}
        }
    }

    fn prompt(&self) -> &'static [u8] {
        match self.profile {
            "prompt" | "u-boot" => b"=> ",
            _ => b"",
        }
    }

    fn interrupt(&mut self, now: Instant, answer: &[u8]) {
        self.input.clear();
        self.says.retain(|(at, _)| *at <= now);
        self.say(now, answer.to_vec());
    }

    /// It does one thing after the other.
    fn say(&mut self, at: Instant, bytes: Vec<u8>) {
        let at = self.says.back().map_or(at, |(last, _)| at.max(*last));
        self.says.push_back((at, bytes));
    }

    fn execute(&mut self, now: Instant, number: usize, echo: Vec<u8>) {
        let does = self.script.pop_front().unwrap_or(Does::Answers);
        let word = format!("r{number}.");
        let (content, end, prompt): (Vec<u8>, &[u8], &[u8]) = match self.profile {
            "at" => (format!("+T: {word}\r\n").into(), b"\r\nOK\r\n", b""),
            "custom" => (format!("{word}\r\n").into(), b"END\r\n", b""),
            "micropython" => (format!("{word}\r\n").into(), b"\x04\x04>", b""),
            "modbus-rtu" => (with_crc(&[1, 3, 2, 0, number as u8]), b"", b""),
            _ => (format!("{word}\r\n").into(), b"", self.prompt()),
        };
        let whole = [&content[..], end, prompt].concat();
        let refusal = match self.profile {
            "at" => format!("+CME ERROR: {word}\r\n").into_bytes(),
            "micropython" => format!("\x04Traceback:\r\nError: {word}\r\n\x04>").into_bytes(),
            "modbus-rtu" => with_crc(&[1, 0x83, 2]),
            _ => [format!("ERR {word}\r\n").as_bytes(), prompt].concat(),
        };
        let torn = echo.len() > 6 && self.profile != "micropython";
        match does {
            Does::LogsMeanwhile if torn => {
                let log: &[u8] = b"\r\n[0.5] a log line\r\n";
                self.say(now, [&echo[..3], log, &echo[3..]].concat());
            }
            _ => self.say(now, echo),
        }
        match does {
            Does::Answers | Does::LogsMeanwhile => self.say(now, whole),
            Does::AnswersLate(ms) => self.say(now + MS * ms as u32, whole),
            Does::AnswersTwice => self.say(now, [&whole[..], &whole].concat()),
            Does::Garbles => {
                let garbled = whole
                    .iter()
                    .map(|byte| {
                        if byte.is_ascii_alphanumeric() {
                            *byte
                        } else {
                            0xfe
                        }
                    })
                    .collect();
                self.say(now, garbled);
            }
            Does::IsSilent => {}
            Does::ShowsPrompts => {
                let inside: &[u8] = match self.profile {
                    "prompt" | "u-boot" => b"a => b\r\n=> c\r\nd=>\r\n",
                    "at" => b"not OK\r\nOK?\r\nERRORS: 0\r\n",
                    "micropython" => b">>> OK >\r\n>\r\n",
                    "custom" => b"THE END\r\nENDED\r\n",
                    _ => b"",
                };
                // One read: what stands behind a prompt shows that it is none.
                self.say(now, [inside, &whole].concat());
            }
            Does::Floods => {
                let flood = vec![b'y'; 3000];
                self.say(now, [&flood, &b"\r\n"[..], &whole].concat());
            }
            Does::Refuses => self.say(now, refusal),
        }
    }

    fn said(&mut self, now: Instant) -> Vec<u8> {
        let mut said = Vec::new();
        while self.says.front().is_some_and(|(at, _)| *at <= now) {
            said.extend(self.says.pop_front().unwrap().1);
        }
        said
    }
}

fn number_in(command: &[u8]) -> usize {
    let text = String::from_utf8_lossy(command);
    let digits = text.rsplit(|c: char| !c.is_ascii_digit());
    digits
        .into_iter()
        .find_map(|part| part.parse().ok())
        .unwrap()
}

fn with_crc(frame: &[u8]) -> Vec<u8> {
    let crc = frame.iter().fold(0xffff_u16, |crc, &byte| {
        (0..8).fold(crc ^ u16::from(byte), |crc, _| {
            if crc & 1 == 1 {
                (crc >> 1) ^ 0xa001
            } else {
                crc >> 1
            }
        })
    });
    [frame, &crc.to_le_bytes()].concat()
}

/// The numbers of the commands whose answers these bytes hold.
fn answers_in(profile: &str, bytes: &[u8]) -> Vec<usize> {
    if profile == "modbus-rtu" {
        return match bytes {
            [1, 3, 2, _, number] => vec![usize::from(*number)],
            _ => Vec::new(),
        };
    }
    let text = String::from_utf8_lossy(bytes);
    let words = text.split('r').skip(1);
    words
        .filter_map(|word| word.split_once('.')?.0.parse().ok())
        .collect()
}

/// Plays the script: every command asked at once, the board's words given in pieces of `piece` bytes, one a millisecond.
fn play(name: &'static str, script: &[Does], piece: usize) -> Result<(), TestCaseError> {
    let mut bench = Bench::new(HubConfig {
        profile: Some(profile(name)),
        ..config()
    });
    let client = bench.attach(client("a"));
    let mut board = Board {
        profile: name,
        script: script.iter().copied().collect(),
        input: Vec::new(),
        says: VecDeque::new(),
    };
    // One that it answers comes first, so that its echo is known, and one last.
    board.script.push_front(Does::Answers);
    let count = script.len() + 2;
    let ids: Vec<AskId> = (0..count)
        .map(|number| {
            let ask = Ask {
                command: Bytes::from(board.command(number)),
                profile: None,
                timeout: None,
                wait: Some(Duration::from_secs(3600)),
            };
            bench.hub.ask(bench.now, client, ask)
        })
        .collect();
    let mut ends: Vec<(AskId, AskOutcome)> = Vec::new();
    let mut wire: VecDeque<u8> = VecDeque::new();
    for _ in 0..60_000 {
        let written = bench.transmit();
        board.take(bench.now, &written);
        wire.extend(board.said(bench.now));
        if !wire.is_empty() {
            // A flood is over before the port gives up waiting for its end.
            let piece = if wire.len() > 400 { 400 } else { piece };
            let piece: Vec<u8> = wire.drain(..piece.min(wire.len())).collect();
            bench.data(piece);
        }
        ends.extend(
            bench
                .notices(client)
                .into_iter()
                .filter_map(|notice| match notice {
                    Notice::AskDone { ask, outcome } => Some((ask, outcome)),
                    _ => None,
                }),
        );
        if ends.len() >= count {
            break;
        }
        bench.pass(MS);
    }
    bench.pass(Duration::from_secs(5));
    prop_assert!(bench.notices(client).is_empty(), "an ask has ended twice");
    let ended: Vec<AskId> = ends.iter().map(|(id, _)| *id).collect();
    prop_assert_eq!(ended, ids, "each ask ends once, in order");
    for (number, (_, outcome)) in ends.iter().enumerate() {
        let does = match number {
            0 => Does::Answers,
            _ => script.get(number - 1).copied().unwrap_or(Does::Answers),
        };
        let context = format!("{name}: ask {number} of {script:?}, {does:?}: {outcome:?}");
        let said = match outcome {
            AskOutcome::Reply { reply, .. } => reply,
            AskOutcome::BoardError(error) => &error.words,
            _ => &Bytes::new(),
        };
        let answers = answers_in(name, said);
        prop_assert!(answers.iter().all(|answer| *answer == number), "{context}");
        let is_reply = matches!(outcome, AskOutcome::Reply { .. });
        match does {
            Does::Answers | Does::AnswersTwice | Does::LogsMeanwhile if name != "none" => {
                prop_assert!(is_reply && !answers.is_empty(), "{context}");
            }
            Does::Refuses if name != "none" => {
                prop_assert!(matches!(outcome, AskOutcome::BoardError(_)), "{context}");
            }
            Does::AnswersLate(_) if name != "none" => {
                prop_assert!(matches!(outcome, AskOutcome::TimedOut { .. }), "{context}");
            }
            _ => {}
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_board_does_each_ask_gets_its_own_answer_or_none(
        script in vec(does(), 1..6),
        piece in prop_oneof![Just(1usize), 2usize..40, Just(10_000)],
    ) {
        for kind in PROFILES {
            // A second copy of a Modbus response cannot be told from the next one's.
            if kind.name == "modbus-rtu" && script.contains(&Does::AnswersTwice) {
                continue;
            }
            // One byte at a time, what is only a part of an answer looks like its end.
            let prompts = script.contains(&Does::ShowsPrompts);
            if prompts && piece < 10_000 && ["prompt", "u-boot"].contains(&kind.name) {
                continue;
            }
            play(kind.name, &script, piece)?;
        }
    }
}
