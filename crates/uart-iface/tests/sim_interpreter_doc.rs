//! docs/interpreter.md is true: its transcripts and exchanges are replayed against `sim:interpreter`, and counted.
#![allow(clippy::unwrap_used)] // the helpers of tests may fail them

use std::time::{Duration, Instant};

use uart_iface::backend::sim::{BOARDS, Board, Options, PACE};

const DOC: &str = include_str!("../../../docs/interpreter.md");

#[test]
fn the_transcripts_are_what_a_terminal_shows() {
    let mut commands = 0;
    for (line_number, block) in blocks("transcript") {
        let mut session = Session::start();
        let mut screen = String::new();
        if block.starts_with("UART interpreter") {
            screen = session.output().trim_start().to_owned();
        } else {
            session.output();
            screen += "> ";
        }
        for line in block.lines() {
            if let Some(time) = pass(line) {
                session.pass(time);
            } else if let Some(command) = line.strip_prefix("> ").filter(|rest| !rest.is_empty()) {
                commands += 1;
                session.input(format!("{command}\r").as_bytes());
            }
            screen += &session.output();
        }
        let shown = screen.replace("\r\n", "\n");
        let shown = lines(shown.strip_suffix("> ").unwrap_or(&shown));
        let expected = lines(block);
        assert_eq!(shown, expected, "the transcript at line {line_number}");
    }
    assert_eq!(commands, 30, "commands in transcripts");
}

#[test]
fn the_exchanges_are_what_the_wire_carries() {
    let mut answers = 0;
    for (line_number, block) in blocks("exchange") {
        let mut session = Session::start();
        if !block.starts_with("<-") {
            session.output();
        }
        for line in block.lines() {
            if let Some(time) = pass(line) {
                session.pass(time);
            } else if let Some(bytes) = line.strip_prefix("-> ") {
                session.input(&unescape(bytes));
            } else if let Some(bytes) = line.strip_prefix("<- ") {
                answers += 1;
                let sent = std::mem::take(&mut session.sent);
                assert_eq!(
                    sent.escape_ascii().to_string(),
                    unescape(bytes).escape_ascii().to_string(),
                    "the exchange at line {line_number}: {line}"
                );
            } else {
                panic!("{line}");
            }
        }
        assert_eq!(session.sent, b"", "the exchange at line {line_number}");
    }
    assert_eq!(answers, 16, "answers in exchanges");
}

#[test]
fn every_board_and_every_option_is_in_the_document() {
    let table = &DOC[DOC.find("# The simulated boards").unwrap()..];
    assert!(table.contains(&format!("`{}`", PACE.name)));
    for kind in BOARDS {
        let row = table
            .lines()
            .find(|line| line.starts_with(&format!("| `{}` |", kind.name())))
            .unwrap_or_else(|| panic!("no row for {}", kind.name()));
        for option in kind.options() {
            let named = [format!("`{}`", option.name), format!("`{}=", option.name)];
            let known = named.iter().any(|text| row.contains(text))
                || (option.name == "seed" && table.contains("`seed`"));
            assert!(known, "{} {}", kind.name(), option.name);
        }
    }
}

/// A board on a clock that only the document moves.
struct Session {
    board: Box<dyn Board>,
    now: Instant,
    sent: Vec<u8>,
}

impl Session {
    fn start() -> Session {
        let kind = BOARDS.iter().find(|kind| kind.name() == "interpreter");
        let mut options = Options::parse("sim:interpreter", "sim:interpreter", "").unwrap();
        let mut session = Session {
            board: kind.unwrap().build(&mut options).unwrap(),
            now: Instant::now(),
            sent: Vec::new(),
        };
        session.collect();
        session
    }

    fn input(&mut self, bytes: &[u8]) {
        self.board.handle_input(self.now, bytes);
        self.collect();
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.board.poll_timeout().filter(|due| *due <= end) {
            self.now = due;
            self.collect();
        }
        self.now = end;
        self.collect();
    }

    fn collect(&mut self) {
        self.board.poll_output(self.now, usize::MAX, &mut self.sent);
    }

    /// What was sent since it was last asked, as text.
    fn output(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.sent)).unwrap()
    }
}

/// The fenced blocks of this language, each with the number of its first line.
fn blocks(language: &str) -> Vec<(usize, &'static str)> {
    let fence = format!("\n```{language}\n");
    let mut blocks = Vec::new();
    for (at, _) in DOC.match_indices(&fence) {
        let body = &DOC[at + fence.len()..];
        let line_number = DOC[..at].lines().count() + 2;
        blocks.push((line_number, &body[..body.find("```").unwrap()]));
    }
    blocks
}

/// `(250 ms pass)`
fn pass(line: &str) -> Option<Duration> {
    let ms = line.strip_prefix('(')?.strip_suffix(" ms pass)")?;
    Some(Duration::from_millis(ms.parse().unwrap()))
}

/// Lines without the spaces at their ends, which an editor may take away, and without what only moves the clock.
fn lines(text: &str) -> Vec<String> {
    let lines = text.trim_end().lines();
    lines
        .filter(|line| pass(line).is_none())
        .map(|line| line.trim_end().to_owned())
        .collect()
}

/// A text in quotes, with the escapes \r \n \x41.
fn unescape(quoted: &str) -> Vec<u8> {
    let text = quoted
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let mut rest = text
        .unwrap_or_else(|| panic!("no quotes: {quoted}"))
        .as_bytes();
    let mut bytes = Vec::new();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'\\' {
            bytes.push(first);
            continue;
        }
        let length = match after[0] {
            b'r' => {
                bytes.push(b'\r');
                1
            }
            b'n' => {
                bytes.push(b'\n');
                1
            }
            b'x' => {
                let digits = std::str::from_utf8(&after[1..3]).unwrap();
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
                3
            }
            other => panic!("no such escape: {}", char::from(other)),
        };
        rest = &after[length..];
    }
    bytes
}
