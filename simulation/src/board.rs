//! A UART and the board behind it. The board has an interpreter whose commands are `a<number>` and whose replies carry that
//! number; it replies late, cut short, or not at all, and speaks unasked. Bytes from 0x80 on are not for its interpreter:
//! writers' bytes come as such, each saying whose it is, and the board keeps them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use uartnet_hub::ReplyEnd;

use crate::plan::{PROMPT, Plan, TIMEOUT};
use crate::random::Random;

/// How many writers can be told apart.
pub(crate) const WRITERS: usize = 4;

/// The byte that this writer writes at this place of all it ever writes.
pub(crate) fn written_byte(writer: usize, place: usize) -> u8 {
    let choice = Random::new((writer as u64) << 32 | place as u64).next();
    0x80 | (writer as u8) << 5 | (choice % 32) as u8
}

/// What a command comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answers {
    After(Duration),
    /// With its end missing.
    CutShort,
    Never,
}

/// The UART and the board.
#[derive(Debug)]
pub(crate) struct Board {
    random: Random,
    end: ReplyEnd,
    echo: bool,
    latest: Duration,
    now: Instant,
    present: bool,
    /// Which one it is: another one after each loss.
    device: u64,
    /// Whether the gateway has it open. What is sent to nobody is nowhere.
    is_open: bool,
    /// Sent, and not yet read by the gateway.
    unread: VecDeque<u8>,
    /// To be sent.
    later: BTreeMap<(Instant, u64), Vec<u8>>,
    next_later: u64,
    held_up_until: Option<Instant>,
    /// A command, as far as it has come.
    line: Vec<u8>,
    busy_until: Instant,
    /// What each writer wrote.
    written: [Vec<u8>; WRITERS],
    /// The commands that came.
    commands: BTreeSet<u32>,
}

/// The whole reply to a command.
pub(crate) fn reply_to(command: u32) -> String {
    let mut random = Random::new(u64::from(command));
    let len = random.below(12);
    let text: String = (0..len)
        .map(|_| char::from(b'A' + random.below(26) as u8))
        .collect();
    format!("r{command}:{text}.")
}

/// How this command is answered, at the latest after this long: the same each time it is asked.
pub(crate) fn answers(command: u32, latest: Duration) -> Answers {
    let mut random = Random::new(u64::from(command) ^ 0xa5a5);
    match random.below(20) {
        0 => Answers::Never,
        1 => Answers::CutShort,
        2..=4 => Answers::After(random.ms(0, latest.as_millis() as usize)),
        _ => Answers::After(random.ms(0, 20)),
    }
}

pub(crate) fn is_cut_short(command: u32) -> bool {
    answers(command, TIMEOUT) == Answers::CutShort
}

impl Board {
    pub(crate) fn new(plan: &Plan, end: ReplyEnd, seed: u64, now: Instant) -> Board {
        Board {
            random: Random::new(seed),
            end,
            echo: plan.echo,
            latest: plan.latest,
            now,
            present: true,
            device: 0,
            is_open: false,
            unread: VecDeque::new(),
            later: BTreeMap::new(),
            next_later: 0,
            held_up_until: None,
            line: Vec::new(),
            busy_until: now,
            written: Default::default(),
            commands: BTreeSet::new(),
        }
    }

    // --- getters

    pub(crate) fn is_present(&self) -> bool {
        self.present
    }

    pub(crate) fn device(&self) -> u64 {
        self.device
    }

    pub(crate) fn written(&self, writer: usize) -> &[u8] {
        &self.written[writer]
    }

    pub(crate) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Whether this command came, and how it is answered.
    pub(crate) fn has_heard(&self, command: u32) -> bool {
        self.commands.contains(&command)
    }

    /// When something happens by itself.
    pub(crate) fn next_event(&self) -> Option<Instant> {
        let later = self.later.keys().next().map(|(at, _)| *at);
        later.into_iter().chain(self.held_up_until).min()
    }

    // --- what happens to it

    pub(crate) fn pass(&mut self, now: Instant) {
        self.now = now;
        if self.held_up_until.is_some_and(|at| at <= now) {
            self.held_up_until = None;
        }
        while let Some(first) = self.later.first_entry()
            && first.key().0 <= now
        {
            let bytes = first.remove();
            self.send(&bytes);
        }
    }

    pub(crate) fn unplug(&mut self) {
        self.present = false;
        self.close();
        self.device += 1;
    }

    pub(crate) fn plug(&mut self) {
        self.present = true;
    }

    pub(crate) fn hold_up(&mut self, until: Instant) {
        self.held_up_until = Some(until);
    }

    /// The board speaks unasked, unless it is busy: nothing that could be the end of a reply.
    pub(crate) fn chatter(&mut self, len: usize) {
        let bytes: Vec<u8> = (0..len).map(|_| 0x80 | self.random.next() as u8).collect();
        if self.line.is_empty() && self.busy_until <= self.now {
            self.send(&bytes);
        }
    }

    // --- the gateway's side of the UART

    pub(crate) fn open(&mut self) {
        self.is_open = true;
    }

    /// Its DTR falls, which resets the board.
    pub(crate) fn close(&mut self) {
        self.is_open = false;
        self.unread.clear();
        self.reset();
    }

    pub(crate) fn read(&mut self, most: usize) -> Vec<u8> {
        let count = most.min(self.unread.len());
        self.unread.drain(..count).collect()
    }

    pub(crate) fn purge_unread(&mut self) {
        self.unread.clear();
    }

    /// How many of these bytes it takes; 0: it cannot take any now.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> usize {
        if self.held_up_until.is_some() {
            return 0;
        }
        let count = if self.random.percent(50) {
            bytes.len()
        } else {
            self.random.between(1, bytes.len() + 1)
        };
        if self.random.percent(5) {
            self.held_up_until = Some(self.now + Duration::from_millis(1));
        }
        for byte in &bytes[..count] {
            self.hear(*byte);
        }
        count
    }

    pub(crate) fn takes_bytes(&self) -> bool {
        self.held_up_until.is_none()
    }

    // --- the board

    fn reset(&mut self) {
        self.later.clear();
        self.line.clear();
        self.busy_until = self.now;
    }

    fn send(&mut self, bytes: &[u8]) {
        if self.is_open {
            self.unread.extend(bytes);
        }
    }

    fn hear(&mut self, byte: u8) {
        if byte & 0x80 != 0 {
            assert!(
                self.line.is_empty(),
                "a writer's byte inside the command {:?}",
                String::from_utf8_lossy(&self.line)
            );
            return self.written[usize::from(byte >> 5 & 3)].push(byte);
        }
        if self.echo {
            let echoed: &[u8] = if byte == b'\r' { b"\r\n" } else { &[byte] };
            if self.busy_until > self.now {
                // It looks at its input when it has done what it is at.
                self.send_at(self.busy_until, echoed);
            } else {
                self.send(echoed);
            }
        }
        if byte != b'\r' {
            return self.line.push(byte);
        }
        let line = std::mem::take(&mut self.line);
        let prompt = matches!(self.end, ReplyEnd::Prompt(_));
        let ending = if prompt { PROMPT } else { "" };
        if line.is_empty() {
            // Only a board with prompts is sent an empty line.
            assert!(prompt, "an empty command");
            return self.send_after(Duration::ZERO, format!("\r\n{ending}").into_bytes());
        }
        let text = String::from_utf8_lossy(&line).into_owned();
        let command = text
            .strip_prefix('a')
            .and_then(|number| number.parse().ok());
        let command: u32 = command.unwrap_or_else(|| panic!("nobody sent the command {text:?}"));
        assert!(
            self.commands.insert(command),
            "the command {text} came twice"
        );
        let reply = format!("{}\r\n{ending}", reply_to(command)).into_bytes();
        match answers(command, self.latest) {
            Answers::Never => {}
            Answers::CutShort => {
                let end = self.random.between(1, reply.len() - ending.len() - 1);
                self.send_after(Duration::ZERO, reply[..end].to_vec());
            }
            Answers::After(delay) => self.send_after(delay, reply),
        }
    }

    fn send_at(&mut self, at: Instant, bytes: &[u8]) {
        self.later.insert((at, self.next_later), bytes.to_vec());
        self.next_later += 1;
    }

    /// One command after the other; what is sent comes in pieces.
    fn send_after(&mut self, delay: Duration, bytes: Vec<u8>) {
        let mut at = self.now.max(self.busy_until) + delay;
        assert!(delay < TIMEOUT * 5);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let piece;
            (piece, rest) = rest.split_at(self.random.between(1, rest.len() + 1));
            self.send_at(at, piece);
            at += Duration::from_millis(self.random.below(3) as u64);
        }
        self.busy_until = at;
    }
}
