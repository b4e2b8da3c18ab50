//! One board, many readers: what each of them costs, and what one that has stopped reading does to the others.

use std::time::Duration;

use anyhow::Result;

use super::pace::{Heard, Pace, hear};
use super::{Bench, Metric, Place, Running, Workload};
use crate::content::Content;
use crate::goal::Goal;
use crate::kernel;
use crate::peer::{Peer, Receiver};
use crate::report::Unit;
use crate::stats::percentile;
use crate::subject::{Protocol, Subject};

/// Many readers.
pub(super) const FAN_OUT: Workload = Workload {
    name: "fan-out",
    what: "11.5 kB/s and 1 MB/s to 1, 10, 100 and 1000 readers",
    run: fan_out,
};

/// A reader that has stopped.
pub(super) const STALLED: Workload = Workload {
    name: "stalled",
    what: "ten readers at 2 MB/s, and one more that has stopped reading",
    run: stalled,
};

fn fan_out(bench: &mut Bench) -> Result<()> {
    let content = Content::default();
    for (rate, name) in [(11_500, "11.5 kB/s"), (1_000_000, "1 MB/s")] {
        for readers in [1, 10, 100, 1000] {
            let goal = match (rate, readers) {
                (11_500, 1000) => Some(Goal::RatioAtMost(1.1)),
                (1_000_000, 100) => Some(Goal::RatioAtMost(1.2)),
                _ => None,
            };
            let metrics = [
                Metric {
                    name: "CPU for each byte delivered",
                    unit: Unit::NanosecondsPerByte,
                    goal,
                },
                Metric {
                    name: "p99 of the delay",
                    unit: Unit::Milliseconds,
                    goal: None,
                },
                Metric {
                    name: "rate at each reader",
                    unit: Unit::MebibytesPerSecond,
                    goal: None,
                },
            ];
            let periods = if rate * readers >= 1_000_000_000 {
                60
            } else {
                150
            };
            let pace = Pace { rate, periods };
            let case = format!("{name} to {readers}");
            if !bench.wants(&case) {
                continue;
            }
            let servers = bench.servers(Protocol::Raw, 1, readers as usize, Place::OwnCpu)?;
            bench.interleave("fan-out", &case, &metrics, servers, |running| {
                running.boards[0].drain()?;
                let mut receivers = connect(running, readers as usize)?;
                let before = kernel::cpu_time(running.server.pid())?;
                let mut heard = hear(&running.boards[0], &mut receivers, pace, &content)?;
                let cpu = kernel::cpu_time(running.server.pid())? - before;
                let delivered = (pace.bytes() * readers) as f64;
                Ok(vec![
                    cpu.as_nanos() as f64 / delivered,
                    millis(percentile(&mut heard.delays, 0.99)),
                    pace.bytes() as f64 / heard.took.as_secs_f64() / f64::from(1 << 20),
                ])
            })?;
        }
    }
    Ok(())
}

/// Only ours is measured: every other server stands still, which `tests` and the reports of their users show well enough, and a
/// stand-still has no ratio.
fn stalled(bench: &mut Bench) -> Result<()> {
    let content = Content::default();
    // More than the kernel keeps for one that does not read.
    let pace = Pace {
        rate: 2_000_000,
        periods: 600,
    };
    let mut without = Vec::new();
    let mut with = Vec::new();
    let mut ratios = Vec::new();
    let mut held_up = Vec::new();
    let mut longest = Vec::new();
    let mut silent_without = Vec::new();
    let mut silent_with = Vec::new();
    kernel::run_on(Some(0))?;
    for round in 0..bench.rounds.min(5) {
        bench
            .report
            .progress(&format!("stalled: round {}", round + 1));
        let measure = |stopped: usize| -> Result<Heard> {
            let running = bench.server(Subject::Uartd, Protocol::Raw, 1, "", Place::OwnCpu)?;
            kernel::run_on(Some(0))?;
            let mut receivers = connect(&running, 10)?;
            let _stopped = connect(&running, stopped)?;
            hear(&running.boards[0], &mut receivers, pace, &content)
        };
        let mut quiet = measure(0)?;
        let mut loud = measure(1)?;
        let (p99_without, p99_with) = (
            percentile(&mut quiet.delays, 0.99),
            percentile(&mut loud.delays, 0.99),
        );
        without.push(millis(p99_without));
        with.push(millis(p99_with));
        ratios.push(millis(p99_with) / millis(p99_without).max(0.001));
        longest.push(millis(percentile(&mut loud.delays, 1.0)));
        silent_without.push(millis(quiet.silence));
        silent_with.push(millis(loud.silence));
        held_up.push(millis(loud.held_up));
    }
    let to_without = Some(Goal::AtMost(2.0));
    let silence = Some(Goal::AtMost(50.0));
    for (name, unit, goal, figures) in [
        (
            "p99 of the delay, nobody stalled",
            Unit::Milliseconds,
            None,
            without,
        ),
        (
            "p99 of the delay, one stalled",
            Unit::Milliseconds,
            None,
            with,
        ),
        (
            "p99 with one stalled to p99 without",
            Unit::Count,
            to_without,
            ratios,
        ),
        (
            "longest delay, one stalled",
            Unit::Milliseconds,
            None,
            longest,
        ),
        (
            "longest silence at any of the ten, nobody stalled",
            Unit::Milliseconds,
            None,
            silent_without,
        ),
        (
            "longest silence at any of the ten, one stalled",
            Unit::Milliseconds,
            silence,
            silent_with,
        ),
        (
            "the board was held up for",
            Unit::Milliseconds,
            None,
            held_up,
        ),
    ] {
        let metric = Metric { name, unit, goal };
        bench.add(
            "stalled",
            "ten readers at 2 MB/s",
            Subject::Uartd,
            metric,
            figures,
        );
    }
    Ok(())
}

fn connect(running: &Running, readers: usize) -> Result<Vec<Receiver>> {
    let address = running.server.addresses[0];
    let receivers = (0..readers).map(|_| Ok(Peer::connect(address, Protocol::Raw)?.receiver));
    let receivers = receivers.collect::<Result<Vec<_>>>()?;
    // A raw client is not told that it is served; all of these are before the board says anything.
    std::thread::sleep(Duration::from_millis(50 + readers as u64 / 5));
    Ok(receivers)
}

fn millis(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e6
}
