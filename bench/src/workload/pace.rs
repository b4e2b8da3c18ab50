//! A board that talks at a steady rate, and readers that note when each piece of it arrived. One thread talks, one reads for
//! everybody.

use std::fs::File;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use crate::content::Content;
use crate::peer::Receiver;
use crate::tty::{Board, wait_many, write_all};

/// How often the board says something.
const PERIOD: Duration = Duration::from_millis(10);

/// How much, and how fast.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// In bytes a second.
    pub(super) rate: u64,
    /// How many times [`PERIOD`].
    pub(super) periods: u64,
}

/// What the readers saw.
#[derive(Debug)]
pub(super) struct Heard {
    /// From the board's write to a reader's read, of each piece at each reader.
    pub(super) delays: Vec<Duration>,
    /// From the first write to the last read.
    pub(super) took: Duration,
    /// The longest time in which a reader heard nothing, between its first byte and its last. The board says something every
    /// [`PERIOD`].
    pub(super) silence: Duration,
    /// How long the board's writes took beyond their time: it was held up.
    pub(super) held_up: Duration,
}

impl Pace {
    fn piece(self) -> usize {
        (self.rate * PERIOD.as_millis() as u64 / 1000) as usize
    }

    /// How many bytes in all.
    pub(super) fn bytes(self) -> u64 {
        self.piece() as u64 * self.periods
    }
}

/// The board talks, and everybody hears all of it.
///
/// # Errors
/// A reader got other bytes than the board said, or not all of them.
pub(super) fn hear(
    board: &Board,
    receivers: &mut [Receiver],
    pace: Pace,
    content: &Content,
) -> Result<Heard> {
    let said = Mutex::new(Vec::with_capacity(pace.periods as usize));
    let begin = Instant::now();
    let mut end = board.end()?;
    let (held_up, (delays, silence)) = thread::scope(|scope| -> Result<_> {
        let board = scope.spawn(|| talk(&mut end, pace, content, &said));
        let delays = read_all(receivers, pace, content, &said);
        let held_up = board
            .join()
            .map_err(|_| anyhow!("the board's thread failed"))?;
        Ok((held_up?, delays?))
    })?;
    Ok(Heard {
        delays,
        silence,
        took: begin.elapsed(),
        held_up,
    })
}

fn talk(
    board: &mut File,
    pace: Pace,
    content: &Content,
    said: &Mutex<Vec<Instant>>,
) -> Result<Duration> {
    let mut due = Instant::now();
    let mut held_up = Duration::ZERO;
    let mut position = 0;
    for _ in 0..pace.periods {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let begin = Instant::now();
        said.lock()
            .map_err(|_| anyhow!("a reader failed"))?
            .push(begin);
        write_all(board, content.at(position, pace.piece())).context("the board cannot talk")?;
        held_up += begin.elapsed().saturating_sub(PERIOD);
        position += pace.piece() as u64;
        due = (due + PERIOD).max(begin);
    }
    Ok(held_up)
}

fn read_all(
    receivers: &mut [Receiver],
    pace: Pace,
    content: &Content,
    said: &Mutex<Vec<Instant>>,
) -> Result<(Vec<Duration>, Duration)> {
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    for (index, receiver) in receivers.iter().enumerate() {
        epoll::add(
            &epoll,
            receiver.stream(),
            EventData::new_u64(index as u64),
            EventFlags::IN,
        )?;
    }
    let mut positions = vec![0; receivers.len()];
    let mut left = receivers.len();
    let mut delays = Vec::new();
    let mut last_heard = vec![None; receivers.len()];
    let mut silence = Duration::ZERO;
    let mut events = Vec::with_capacity(256);
    let piece = pace.piece() as u64;
    while left > 0 {
        wait_many(&epoll, &mut events)?;
        ensure!(
            !events.is_empty(),
            "{left} readers heard nothing more, the first at {:?}",
            positions.iter().min()
        );
        for event in &events {
            let index = event.data.u64() as usize;
            let bytes = receivers[index]
                .receive_now()
                .with_context(|| format!("reader {index}"))?;
            let position = &mut positions[index];
            ensure!(
                content.is(*position, bytes),
                "reader {index} got wrong bytes after {position}"
            );
            let before = *position / piece;
            *position += bytes.len() as u64;
            let arrived = Instant::now();
            if let Some(before) = last_heard[index].replace(arrived) {
                silence = silence.max(arrived.duration_since(before));
            }
            let said = said.lock().map_err(|_| anyhow!("the board failed"))?;
            for whole in before..*position / piece {
                delays.push(arrived.duration_since(said[whole as usize]));
            }
            left -= usize::from(!bytes.is_empty() && *position == pace.bytes());
        }
    }
    Ok((delays, silence))
}
