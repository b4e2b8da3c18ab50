//! Throughput: as many bytes as will go, each way and both, every one of them checked.

use std::fs::File;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use rustix::event::PollFlags;

use super::{Bench, Metric, Place, Workload};
use crate::content::Content;
use crate::goal::Goal;
use crate::kernel;
use crate::peer::{Peer, Receiver, Sender};
use crate::report::Unit;
use crate::subject::Protocol;
use crate::tty::{SILENCE, read_some, wait, write_all};

/// As many bytes as will go.
pub(super) const THROUGHPUT: Workload = Workload {
    name: "throughput",
    what: "as many bytes as will go: to the net, to the board, both",
    run: throughput,
};

/// In one direction of one measurement.
const BYTES: u64 = 16 << 20;
/// Written at once.
const CHUNK: usize = 16 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    ToNet,
    ToBoard,
    Both,
}

fn throughput(bench: &mut Bench) -> Result<()> {
    let content = Content::default();
    for protocol in [Protocol::Raw, Protocol::Rfc2217, Protocol::Session] {
        for (way, name, raw_cpu) in [
            (Way::ToNet, "to the net", 1.15),
            (Way::ToBoard, "to the board", 1.2),
            (Way::Both, "both", 1.3),
        ] {
            let (rate, cpu) = match protocol {
                Protocol::Raw => (Some(0.9), Some(raw_cpu)),
                Protocol::Rfc2217 => (Some(0.9), Some(1.5)),
                Protocol::Session => (None, None),
            };
            let metrics = [
                Metric {
                    name: "rate",
                    unit: Unit::MebibytesPerSecond,
                    goal: rate.map(Goal::RatioAtLeast),
                },
                Metric {
                    name: "CPU",
                    unit: Unit::SecondsPerGibibyte,
                    goal: cpu.map(Goal::RatioAtMost),
                },
            ];
            let case = format!("{}, {name}", protocol.name());
            if !bench.wants(&case) {
                continue;
            }
            let servers = bench.servers(protocol, 1, 1, Place::OwnCpu)?;
            bench.interleave("throughput", &case, &metrics, servers, |running| {
                let peer = Peer::connect(running.server.addresses[0], running.server.protocol)?;
                let board = &mut running.boards[0];
                board.drain()?;
                let (mut sender, mut receiver) = (peer.sender, peer.receiver);
                let before = kernel::cpu_time(running.server.pid())?;
                let begin = Instant::now();
                thread::scope(|scope| -> Result<()> {
                    let mut running = Vec::new();
                    if way != Way::ToBoard {
                        let mut end = board.end()?;
                        let content = &content;
                        running.push(scope.spawn(move || talk(&mut end, content)));
                        running.push(scope.spawn(move || hear_net(&mut receiver, content)));
                    }
                    if way != Way::ToNet {
                        let mut end = board.end()?;
                        let content = &content;
                        running.push(scope.spawn(move || type_in(&mut sender, content)));
                        running.push(scope.spawn(move || hear_board(&mut end, content)));
                    }
                    for one in running {
                        one.join()
                            .map_err(|_| anyhow!("a thread of the benchmark failed"))??;
                    }
                    Ok(())
                })?;
                let took = begin.elapsed().as_secs_f64();
                let cpu = kernel::cpu_time(running.server.pid())? - before;
                let bytes = (BYTES * if way == Way::Both { 2 } else { 1 }) as f64;
                Ok(vec![
                    bytes / took / f64::from(1 << 20),
                    cpu.as_secs_f64() / bytes * f64::from(1 << 30),
                ])
            })?;
        }
    }
    Ok(())
}

fn talk(board: &mut File, content: &Content) -> Result<()> {
    for position in (0..BYTES).step_by(CHUNK) {
        write_all(board, content.at(position, CHUNK)).context("the board cannot talk")?;
    }
    Ok(())
}

fn type_in(sender: &mut Sender, content: &Content) -> Result<()> {
    for position in (0..BYTES).step_by(CHUNK) {
        sender
            .send(content.at(position, CHUNK))
            .context("the client cannot send")?;
    }
    Ok(())
}

fn hear_net(receiver: &mut Receiver, content: &Content) -> Result<()> {
    let mut position = 0;
    while position < BYTES {
        let bytes = receiver
            .receive()
            .with_context(|| format!("after {position} bytes"))?;
        ensure!(
            content.is(position, &bytes),
            "bytes to the net are wrong after {position}"
        );
        position += bytes.len() as u64;
    }
    Ok(())
}

fn hear_board(board: &mut File, content: &Content) -> Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut position = 0;
    while position < BYTES {
        ensure!(
            wait(board, PollFlags::IN, SILENCE)?,
            "the board heard {position} bytes, then nothing"
        );
        let len = read_some(board, &mut buffer)?;
        ensure!(
            content.is(position, &buffer[..len]),
            "bytes to the board are wrong after {position}"
        );
        position += len as u64;
    }
    Ok(())
}
