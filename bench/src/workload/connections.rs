//! Connections and ports that do nothing: what they weigh, whether they cost a wakeup, and how fast a burst of them is served.

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{Bench, Metric, Place, Workload};
use crate::goal::Goal;
use crate::kernel;
use crate::peer::{Peer, frame};
use crate::report::Unit;
use crate::subject::{Protocol, Subject, size};
use crate::tty::{SILENCE, write_all};

/// What is kept for those that do nothing.
pub(super) const MEMORY: Workload = Workload {
    name: "memory",
    what: "1, 16, 64 and 256 ports, 1000 idle connections, and the size of the programs",
    run: memory,
};

/// Many at once.
pub(super) const BURST: Workload = Workload {
    name: "burst",
    what: "1000 connections at once",
    run: burst,
};

/// Whether anything ticks.
pub(super) const IDLE: Workload = Workload {
    name: "idle",
    what: "wakeups while nothing happens, alone and with 1000 clients",
    run: idle,
};

const CONNECTIONS: usize = 1000;
const MEBIBYTE: f64 = 1024.0 * 1024.0;

fn memory(bench: &mut Bench) -> Result<()> {
    for (program, name, goal) in [
        (bench.programs.uartd.clone(), "uartd", 8.0),
        (bench.programs.uart.clone(), "uart", 6.0),
    ] {
        let metric = Metric {
            name: "stripped",
            unit: Unit::Bytes,
            goal: Some(Goal::AtMost(goal * MEBIBYTE)),
        };
        bench.add(
            "memory",
            &format!("size of {name}"),
            Subject::Uartd,
            metric,
            vec![size(&program)? as f64],
        );
    }
    for subject in [Subject::Floor, Subject::Uartd] {
        // By number of ports, then by round: how many pages of the program itself are mapped differs from start to start.
        let mut used = [1, 16, 64, 256].map(|ports| (ports, Vec::new()));
        for round in 0..bench.rounds {
            bench
                .report
                .progress(&format!("memory: ports, round {}", round + 1));
            for (ports, used) in &mut used {
                let running = bench.server(subject, Protocol::Raw, *ports, "", Place::OwnCpu)?;
                used.push(settled(running.server.pid())? as f64);
            }
        }
        let [(_, alone), .., (many, all)] = &used;
        let each = all.iter().zip(alone);
        let each = each.map(|(all, alone)| (all - alone) / (*many - 1) as f64);
        let metric = Metric {
            name: "PSS for each",
            unit: Unit::Bytes,
            goal: Some(Goal::AtMost(4096.0)),
        };
        bench.add("memory", "an idle port", subject, metric, each.collect());
        for (ports, used) in used {
            let goal = (ports == 256).then_some(Goal::AtMost(8.0 * MEBIBYTE));
            let metric = Metric {
                name: "PSS",
                unit: Unit::Bytes,
                goal,
            };
            let case = format!("{ports} idle ports");
            bench.add("memory", &case, subject, metric, used);
        }
    }
    for (subject, protocol, goal) in [
        (Subject::Floor, Protocol::Raw, None),
        (Subject::Uartd, Protocol::Raw, Some(1024.0)),
        (Subject::Uartd, Protocol::Rfc2217, Some(1536.0)),
        (Subject::Uartd, Protocol::Session, None),
    ] {
        let running = bench.server(subject, protocol, 1, "", Place::OwnCpu)?;
        let before = settled(running.server.pid())?;
        let peers = connect(&running.server.addresses, protocol)?;
        let after = settled(running.server.pid())?;
        let metric = Metric {
            name: "PSS for each",
            unit: Unit::Bytes,
            goal: goal.map(Goal::AtMost),
        };
        let each = after.saturating_sub(before) as f64 / peers.len() as f64;
        bench.add(
            "memory",
            &format!("an idle connection, {}", protocol.name()),
            subject,
            metric,
            vec![each],
        );
    }
    Ok(())
}

fn burst(bench: &mut Bench) -> Result<()> {
    let mut took = Vec::new();
    let running = bench.server(Subject::Uartd, Protocol::Session, 1, "", Place::OwnCpu)?;
    kernel::run_on(Some(0))?;
    for round in 0..bench.rounds {
        bench
            .report
            .progress(&format!("burst: round {}", round + 1));
        let begin = Instant::now();
        let mut streams = Vec::with_capacity(CONNECTIONS);
        for _ in 0..CONNECTIONS {
            let mut stream = TcpStream::connect(running.server.addresses[0])?;
            stream.set_read_timeout(Some(SILENCE))?;
            write_all(&mut stream, &frame(b"{\"hello\":\"uartnet/1\"}"))?;
            streams.push(stream);
        }
        for stream in &mut streams {
            let mut answer = [0; 16];
            let len = stream
                .read(&mut answer)
                .context("a client got no welcome")?;
            ensure!(len > 0, "a client was sent away");
        }
        took.push(begin.elapsed().as_secs_f64() * 1000.0);
        drop(streams);
        std::thread::sleep(Duration::from_millis(200));
    }
    let metric = Metric {
        name: "until the last has its welcome",
        unit: Unit::Milliseconds,
        goal: Some(Goal::AtMost(500.0)),
    };
    bench.add(
        "burst",
        "1000 connections at once",
        Subject::Uartd,
        metric,
        took,
    );
    Ok(())
}

fn idle(bench: &mut Bench) -> Result<()> {
    for clients in [0, CONNECTIONS] {
        for protocol in [Protocol::Raw, Protocol::Rfc2217, Protocol::Session] {
            if clients == 0 && protocol != Protocol::Raw {
                continue;
            }
            let running = bench.server(Subject::Uartd, protocol, 1, "", Place::OwnCpu)?;
            let peers = if clients == 0 {
                Vec::new()
            } else {
                connect(&running.server.addresses, protocol)?
            };
            bench
                .report
                .progress(&format!("idle: {clients} clients, {}", protocol.name()));
            std::thread::sleep(Duration::from_secs(2));
            let before = kernel::wakeups(running.server.pid())?;
            std::thread::sleep(Duration::from_secs(5));
            let woken = kernel::wakeups(running.server.pid())? - before;
            drop(peers);
            let metric = Metric {
                name: "wakeups in 5 s",
                unit: Unit::Count,
                goal: Some(Goal::AtMost(0.0)),
            };
            bench.add(
                "idle",
                &format!("{clients} clients, {}", protocol.name()),
                Subject::Uartd,
                metric,
                vec![woken as f64],
            );
        }
    }
    Ok(())
}

fn connect(addresses: &[std::net::SocketAddr], protocol: Protocol) -> Result<Vec<Peer>> {
    (0..CONNECTIONS)
        .map(|_| Peer::connect(addresses[0], protocol))
        .collect()
}

/// The memory of a process once it no longer changes.
fn settled(pid: u32) -> Result<u64> {
    let deadline = Instant::now() + SILENCE;
    let mut last = 0;
    loop {
        std::thread::sleep(Duration::from_millis(300));
        let used = kernel::memory(pid)?;
        if used == last {
            return Ok(used);
        }
        ensure!(
            Instant::now() < deadline,
            "the memory of process {pid} does not settle"
        );
        last = used;
    }
}
