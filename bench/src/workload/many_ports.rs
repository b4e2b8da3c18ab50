//! Many boards at a usual rate, each with a client, both ways.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use super::{Bench, Metric, Place, Workload};
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
const PERIODS: u64 = 150;

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
        |running| {
            let addresses = running.server.addresses.clone();
            let mut peers: Vec<Peer> = addresses
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
            for (index, (peer, board)) in peers.iter().zip(&boards).enumerate() {
                epoll::add(
                    &epoll,
                    peer.receiver.stream(),
                    EventData::new_u64(index as u64),
                    EventFlags::IN,
                )?;
                epoll::add(
                    &epoll,
                    board,
                    EventData::new_u64((PORTS + index) as u64),
                    EventFlags::IN,
                )?;
            }
            let mut heard = vec![0_u64; 2 * PORTS];
            let mut delays = [Vec::new(), Vec::new()];
            let mut buffer = vec![0; 4096];
            let mut events = Vec::with_capacity(2 * PORTS);
            let before = kernel::cpu_time(running.server.pid())?;
            let mut due = Instant::now();
            for period in 0..PERIODS {
                // Everybody speaks at once, and the period ends when everybody was heard.
                let position = period * PIECE as u64;
                let goal = position + PIECE as u64;
                let mut said = vec![Instant::now(); 2 * PORTS];
                let mut left = 2 * PORTS;
                for index in 0..PORTS {
                    let piece = content.at(position, PIECE);
                    said[index] = Instant::now();
                    write_all(&mut boards[index], piece)?;
                    said[PORTS + index] = Instant::now();
                    peers[index].sender.send(piece)?;
                }
                while left > 0 {
                    wait_many(&epoll, &mut events)?;
                    ensure!(
                        !events.is_empty(),
                        "{left} of {} streams stand still",
                        2 * PORTS
                    );
                    for event in &events {
                        let index = event.data.u64() as usize;
                        let bytes = if index < PORTS {
                            peers[index].receiver.receive_now()?
                        } else {
                            let len = read_some(&mut boards[index - PORTS], &mut buffer)?;
                            &buffer[..len]
                        };
                        ensure!(
                            content.is(heard[index], bytes),
                            "stream {index} has wrong bytes after {}",
                            heard[index]
                        );
                        heard[index] += bytes.len() as u64;
                        if !bytes.is_empty() && heard[index] == goal {
                            delays[index / PORTS].push(said[index].elapsed());
                            left -= 1;
                        }
                    }
                }
                due += PERIOD;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            let cpu = kernel::cpu_time(running.server.pid())? - before;
            let bytes = (PERIODS as usize * PIECE * 2 * PORTS) as f64;
            let [to_net, to_board] = &mut delays;
            let micros = |time: Duration| time.as_nanos() as f64 / 1000.0;
            Ok(vec![
                cpu.as_nanos() as f64 / bytes,
                micros(percentile(to_net, 0.5)),
                micros(percentile(to_board, 0.5)),
            ])
        },
    )
}
