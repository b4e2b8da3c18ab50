//! Many boards at a usual rate, each with a client, both ways.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use super::{Bench, Measurement, Metric, Place, Running, Workload};
use crate::content::Content;
use crate::goal::Goal;
use crate::kernel;
use crate::peer::Peer;
use crate::report::Unit;
use crate::stats::percentile;
use crate::subject::Protocol;
use crate::tty::{read_some, wait_many, write_all};

/// 64 boards.
pub(super) const MANY_PORTS: Workload = Workload {
    name: "many-ports",
    what: "64 ports both ways at 115,200 baud",
    run: many_ports,
};

const PORTS: usize = 64;
/// 115,200 baud are 11,520 bytes a second.
const PIECE: usize = 115;
const PERIOD: Duration = Duration::from_millis(10);
/// In a slice.
const PERIODS: u64 = 15;

fn many_ports(bench: &mut Bench) -> Result<()> {
    let content = Content::default();
    let metrics = [
        Metric {
            name: "CPU for each byte",
            unit: Unit::NanosecondsPerByte,
            goal: Some(Goal::RatioAtMost(1.15)),
        },
        Metric {
            name: "p50 to the net",
            unit: Unit::Microseconds,
            goal: Some(Goal::RatioAtMost(1.1)),
        },
        Metric {
            name: "p50 to the board",
            unit: Unit::Microseconds,
            goal: Some(Goal::RatioAtMost(1.1)),
        },
    ];
    let servers = bench.servers(Protocol::Raw, PORTS, 1, Place::OwnCpu)?;
    bench.interleave(
        "many-ports",
        "64 ports, 115,200 baud, both ways",
        &metrics,
        servers,
        |running| Talk::begin(running, &content),
    )
}

/// Every board and its client talk to each other.
struct Talk<'a> {
    content: &'a Content,
    peers: Vec<Peer>,
    boards: Vec<File>,
    epoll: OwnedFd,
    /// So many periods are over.
    periods: u64,
    /// Of each board's client, then of each board: how many bytes it has heard.
    heard: Vec<u64>,
    /// To the net, and to the board.
    delays: [Vec<Duration>; 2],
    cpu: Duration,
}

impl Talk<'_> {
    fn begin<'a>(running: &mut Running, content: &'a Content) -> Result<Talk<'a>> {
        let peers: Vec<Peer> = running
            .server
            .addresses
            .iter()
            .map(|address| Peer::connect(*address, running.server.protocol))
            .collect::<Result<_>>()?;
        let mut boards = Vec::new();
        for board in &mut running.boards {
            board.drain()?;
            boards.push(board.end()?);
        }
        std::thread::sleep(Duration::from_millis(100));
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let watch = |source: BorrowedFd<'_>, index: usize| {
            epoll::add(
                &epoll,
                source,
                EventData::new_u64(index as u64),
                EventFlags::IN,
            )
        };
        for (index, (peer, board)) in peers.iter().zip(&boards).enumerate() {
            watch(peer.receiver.stream().as_fd(), index)?;
            watch(board.as_fd(), PORTS + index)?;
        }
        Ok(Talk {
            content,
            peers,
            boards,
            epoll,
            periods: 0,
            heard: vec![0; 2 * PORTS],
            delays: [Vec::new(), Vec::new()],
            cpu: Duration::ZERO,
        })
    }

    /// Everybody speaks at once, and the period ends when everybody was heard.
    fn period(&mut self, buffer: &mut [u8], events: &mut Vec<epoll::Event>) -> Result<()> {
        let position = self.periods * PIECE as u64;
        let goal = position + PIECE as u64;
        let mut said = vec![Instant::now(); 2 * PORTS];
        let mut left = 2 * PORTS;
        for index in 0..PORTS {
            let piece = self.content.at(position, PIECE);
            said[index] = Instant::now();
            write_all(&mut self.boards[index], piece)?;
            said[PORTS + index] = Instant::now();
            self.peers[index].sender.send(piece)?;
        }
        while left > 0 {
            wait_many(&self.epoll, events)?;
            ensure!(
                !events.is_empty(),
                "{left} of {} streams stand still",
                2 * PORTS
            );
            for event in events.iter() {
                let index = event.data.u64() as usize;
                let bytes = if index < PORTS {
                    self.peers[index].receiver.receive_now()?
                } else {
                    let len = read_some(&mut self.boards[index - PORTS], buffer)?;
                    &buffer[..len]
                };
                let heard = &mut self.heard[index];
                ensure!(
                    self.content.is(*heard, bytes),
                    "stream {index} has wrong bytes after {heard}"
                );
                *heard += bytes.len() as u64;
                if !bytes.is_empty() && *heard == goal {
                    self.delays[index / PORTS].push(said[index].elapsed());
                    left -= 1;
                }
            }
        }
        self.periods += 1;
        Ok(())
    }
}

impl Measurement for Talk<'_> {
    const SLICES: usize = 10;

    fn slice(&mut self, running: &mut Running) -> Result<()> {
        let mut buffer = vec![0; 4096];
        let mut events = Vec::with_capacity(2 * PORTS);
        let before = kernel::cpu_time(running.server.pid())?;
        let mut due = Instant::now();
        for _ in 0..PERIODS {
            self.period(&mut buffer, &mut events)?;
            due += PERIOD;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        self.cpu += kernel::cpu_time(running.server.pid())? - before;
        Ok(())
    }

    fn figures(mut self) -> Vec<f64> {
        let bytes: u64 = self.heard.iter().sum();
        let [to_net, to_board] = &mut self.delays;
        let micros = |time: Duration| time.as_nanos() as f64 / 1000.0;
        vec![
            self.cpu.as_nanos() as f64 / bytes as f64,
            micros(percentile(to_net, 0.5)),
            micros(percentile(to_board, 0.5)),
        ]
    }
}
