//! Round trips: bytes from a client to the board and back, one at a time. The load is one thread that is client and board.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{Bench, Measurement, Metric, Place, Running, Workload};
use crate::content::Content;
use crate::goal::Goal;
use crate::kernel;
use crate::peer::{Peer, frame};
use crate::report::Unit;
use crate::stats::percentile;
use crate::subject::{Protocol, Subject};

/// Round trips of each size, through each protocol.
pub(super) const ROUND_TRIP: Workload = Workload {
    name: "round-trip",
    what: "1, 64 and 1024 bytes to the board and back",
    run: round_trip,
};

/// Asks.
pub(super) const ASK: Workload = Workload {
    name: "ask",
    what: "an ask and its reply, beside the same bytes through the floor",
    run: ask,
};

/// What the kernel is asked for.
pub(super) const SYSTEM_CALLS: Workload = Workload {
    name: "system-calls",
    what: "system calls a round trip of one byte (needs strace)",
    run: system_calls,
};

/// Before anything is counted.
const WARM_UP: usize = 200;
/// In each of which as many trips are counted.
const SLICES: usize = 10;
const TRIPS: usize = 150;
/// In each slice, before its trips are counted: the other servers were at work.
const WARM_UP_AGAIN: usize = 20;

fn round_trip(bench: &mut Bench) -> Result<()> {
    let content = Content::default();
    for place in [Place::OwnCpu, Place::OneCpu] {
        for protocol in [Protocol::Raw, Protocol::Rfc2217, Protocol::Session] {
            for size in [1, 64, 1024] {
                let goals = goals(place, protocol);
                let metrics = [
                    Metric {
                        name: "p50",
                        unit: Unit::Microseconds,
                        goal: goals.map(|goals| goals.0),
                    },
                    Metric {
                        name: "p99",
                        unit: Unit::Microseconds,
                        goal: None,
                    },
                    Metric {
                        name: "CPU a round trip",
                        unit: Unit::Microseconds,
                        goal: goals.map(|goals| goals.1),
                    },
                ];
                let case = format!("{}, {size} B, {}", protocol.name(), place.name());
                if !bench.wants(&case) {
                    continue;
                }
                let servers = bench.servers(protocol, 1, 1, place)?;
                bench.interleave("round-trip", &case, &metrics, servers, |running| {
                    let mut peer =
                        Peer::connect(running.server.addresses[0], running.server.protocol)?;
                    let mut trips = Trips::new(&content, size);
                    running.boards[0].drain()?;
                    Timed::begin(running, move |running| trips.one(&mut peer, running))
                })?;
            }
        }
    }
    Ok(())
}

/// The goals for p50 and for CPU; none for a session, which does more than a relay.
fn goals(place: Place, protocol: Protocol) -> Option<(Goal, Goal)> {
    let (p50, cpu) = match (place, protocol) {
        (_, Protocol::Session) => return None,
        (Place::OwnCpu, Protocol::Raw) => (1.03, 1.05),
        (Place::OwnCpu, Protocol::Rfc2217) => (1.05, 1.05),
        (Place::OneCpu, _) => (1.10, 1.30),
    };
    Some((Goal::RatioAtMost(p50), Goal::RatioAtMost(cpu)))
}

/// Trips of a kind, one after the other, and what they took.
struct Timed<F> {
    trip: F,
    times: Vec<Duration>,
    cpu: Duration,
}

impl<F: FnMut(&mut Running) -> Result<()>> Timed<F> {
    /// With some that are not counted.
    fn begin(running: &mut Running, mut trip: F) -> Result<Timed<F>> {
        for _ in 0..WARM_UP {
            trip(running)?;
        }
        Ok(Timed {
            trip,
            times: Vec::with_capacity(SLICES * TRIPS),
            cpu: Duration::ZERO,
        })
    }
}

impl<F: FnMut(&mut Running) -> Result<()>> Measurement for Timed<F> {
    const SLICES: usize = SLICES;

    fn slice(&mut self, running: &mut Running) -> Result<()> {
        for _ in 0..WARM_UP_AGAIN {
            (self.trip)(running)?;
        }
        let before = kernel::cpu_time(running.server.pid())?;
        for _ in 0..TRIPS {
            let begin = Instant::now();
            (self.trip)(running)?;
            self.times.push(begin.elapsed());
        }
        self.cpu += kernel::cpu_time(running.server.pid())? - before;
        Ok(())
    }

    /// p50, p99 and CPU a trip, in microseconds.
    fn figures(mut self) -> Vec<f64> {
        vec![
            micros(percentile(&mut self.times, 0.5)),
            micros(percentile(&mut self.times, 0.99)),
            micros(self.cpu) / (SLICES * TRIPS) as f64,
        ]
    }
}

/// Round trips with content that is known.
struct Trips<'a> {
    content: &'a Content,
    position: u64,
    there: Vec<u8>,
    back: Vec<u8>,
}

impl Trips<'_> {
    fn new(content: &Content, size: usize) -> Trips<'_> {
        Trips {
            content,
            position: 0,
            there: vec![0; size],
            back: vec![0; size],
        }
    }

    fn one(&mut self, peer: &mut Peer, running: &mut Running) -> Result<()> {
        let sent = self.content.at(self.position, self.there.len());
        peer.sender.send(sent)?;
        running.boards[0].read_exactly(&mut self.there)?;
        running.boards[0].write_all(&self.there)?;
        peer.receiver.receive_exactly(&mut self.back)?;
        ensure!(
            self.there == sent && self.back == sent,
            "the bytes changed at {}",
            self.position
        );
        self.position += self.there.len() as u64;
        Ok(())
    }
}

fn ask(bench: &mut Bench) -> Result<()> {
    const COMMAND: &[u8] = b"LED ON\r";
    const REPLY: &[u8] = b"LED ON\r\nok\r\n> ";
    for place in [Place::OwnCpu, Place::OneCpu] {
        let metrics = [
            Metric {
                name: "p50",
                unit: Unit::Microseconds,
                goal: None,
            },
            Metric {
                name: "p99",
                unit: Unit::Microseconds,
                goal: None,
            },
            Metric {
                name: "CPU an ask",
                unit: Unit::Microseconds,
                goal: None,
            },
        ];
        let case = format!("LED ON, {}", place.name());
        if !bench.wants(&case) {
            continue;
        }
        let servers = vec![
            bench.server(Subject::Floor, Protocol::Raw, 1, "", place)?,
            bench.server(Subject::Uartd, Protocol::Session, 1, ",prompt=> ", place)?,
        ];
        bench.interleave("ask", &case, &metrics, servers, |running| {
            let mut peer = Peer::connect(running.server.addresses[0], running.server.protocol)?;
            let is_session = running.server.protocol == Protocol::Session;
            let mut heard = vec![0; COMMAND.len()];
            let mut reply = vec![0; REPLY.len()];
            running.boards[0].drain()?;
            let mut id = 0;
            Timed::begin(running, move |running| {
                if is_session {
                    let ask = format!("{{\"ask\":\"p0\",\"command\":\"LED ON\",\"id\":{id}}}");
                    peer.sender.send_wire(&frame(ask.as_bytes()))?;
                    id += 1;
                } else {
                    peer.sender.send(COMMAND)?;
                }
                running.boards[0].read_exactly(&mut heard)?;
                ensure!(heard == COMMAND, "the board heard {heard:?}");
                running.boards[0].write_all(REPLY)?;
                if is_session {
                    peer.receiver.wait_reply()
                } else {
                    peer.receiver.receive_exactly(&mut reply)
                }
            })
        })?;
    }
    Ok(())
}

fn system_calls(bench: &mut Bench) -> Result<()> {
    const COUNTED: usize = 200;
    if Command::new("strace")
        .arg("-V")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_err()
    {
        bench
            .report
            .note("system-calls: NOT MEASURED, strace is not here".to_owned());
        return Ok(());
    }
    let content = Content::default();
    for protocol in [Protocol::Raw, Protocol::Rfc2217] {
        let case = format!("{}, 1 B", protocol.name());
        if !bench.wants(&case) {
            continue;
        }
        let servers = bench.servers(protocol, 1, 1, Place::OwnCpu)?;
        for mut running in servers {
            let subject = running.server.subject;
            let mut peer = Peer::connect(running.server.addresses[0], running.server.protocol)?;
            let mut trips = Trips::new(&content, 1);
            running.boards[0].drain()?;
            for _ in 0..WARM_UP {
                trips.one(&mut peer, &mut running)?;
            }
            let file =
                std::env::temp_dir().join(format!("uartnet-bench-{}.strace", std::process::id()));
            let mut tracer = Command::new("strace")
                .args(["-f", "-qq", "-o"])
                .arg(&file)
                .args(["-p", &running.server.pid().to_string()])
                .stderr(Stdio::null())
                .spawn()
                .context("cannot start strace")?;
            // Until it has attached, round trips go on unseen; what it sees is counted between two marks of the server's
            // work, so the first and the last trip are not needed to be whole.
            let begin = Instant::now();
            while fs::metadata(&file).map_or(0, |file| file.len()) == 0 {
                ensure!(
                    begin.elapsed() < Duration::from_secs(10),
                    "strace did not attach"
                );
                trips.one(&mut peer, &mut running)?;
            }
            let seen = || -> Result<usize> { Ok(fs::read_to_string(&file)?.lines().count()) };
            let before = seen()?;
            for _ in 0..COUNTED {
                trips.one(&mut peer, &mut running)?;
            }
            let text = fs::read_to_string(&file)?;
            rustix::process::kill_process(
                rustix::process::Pid::from_raw(tracer.id().cast_signed()).context("no pid")?,
                rustix::process::Signal::INT,
            )?;
            tracer.wait()?;
            fs::remove_file(&file).ok();
            let calls: Vec<&str> = text.lines().skip(before).filter_map(call).collect();
            let mut kinds: Vec<&str> = calls.clone();
            kinds.sort_unstable();
            kinds.dedup();
            let goal = Some(Goal::AtMost(6.0));
            let metric = Metric {
                name: "system calls a round trip",
                unit: Unit::Count,
                goal,
            };
            let per_trip = (calls.len() as f64 / COUNTED as f64 * 10.0).round() / 10.0;
            bench.add("system-calls", &case, subject, metric, vec![per_trip]);
            bench.report.note(format!(
                "system calls of {} ({}): {}",
                subject.name(),
                protocol.name(),
                kinds.join(", ")
            ));
        }
    }
    Ok(())
}

/// The name of the call in a line of strace: `1234  read(9, …`.
fn call(line: &str) -> Option<&str> {
    let rest = line.split_once(' ').map_or(line, |(pid, rest)| {
        if pid.parse::<u32>().is_ok() {
            rest.trim_start()
        } else {
            line
        }
    });
    let name = rest.split('(').next()?;
    (!name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
    .then_some(name)
}

fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calls_of_a_trace_are_found() {
        assert_eq!(call("1234  read(9, \"x\", 65536) = 1"), Some("read"));
        assert_eq!(
            call("1234  <... epoll_wait resumed>[…], 1024, -1) = 1"),
            None,
            "counted when it began"
        );
        assert_eq!(call("epoll_wait(3, [], 1024, -1) = 0"), Some("epoll_wait"));
    }
}
