//! What the kernel says of a process: CPU time, memory, wakeups; and on which CPU it runs. Linux only, as is the benchmark.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_setaffinity};

/// CPU time that all threads of a process have had, to the nanosecond (`/proc/PID/task/TID/schedstat`).
///
/// # Errors
/// The process is gone, or the kernel keeps no such account.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    sum(pid, "schedstat", |text| text.split_whitespace().next()).map(Duration::from_nanos)
}

/// How often the threads of a process have gone to sleep by themselves, and so how often they were woken.
///
/// # Errors
/// The process is gone.
pub fn wakeups(pid: u32) -> Result<u64> {
    sum(pid, "status", |text| {
        value(text, "voluntary_ctxt_switches:")
    })
}

/// Memory of a process, in bytes: pages of its own and its share of those it has in common with others (PSS).
///
/// # Errors
/// The process is gone.
pub fn memory(pid: u32) -> Result<u64> {
    let text = read(format!("/proc/{pid}/smaps_rollup"))?;
    let kib = value(&text, "Pss:").context("smaps_rollup has no Pss")?;
    Ok(kib.parse::<u64>()? * 1024)
}

/// Open file descriptors of a process.
///
/// # Errors
/// The process is gone.
pub fn descriptors(pid: u32) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// Lets this thread, and what it starts from here on, run on one CPU only; on any where `None`.
///
/// # Errors
/// There is no such CPU.
pub fn run_on(cpu: Option<usize>) -> Result<()> {
    let mut set = CpuSet::new();
    match cpu {
        Some(cpu) => set.set(cpu),
        None => (0..cpus()).for_each(|cpu| set.set(cpu)),
    }
    sched_setaffinity(None, &set).with_context(|| format!("cannot run on CPU {cpu:?}"))
}

/// How many CPUs there are.
pub fn cpus() -> usize {
    std::thread::available_parallelism()
        .map_or(1, usize::from)
        .max(present())
}

/// Time that the CPUs were taken away from this machine or were busy, in ticks: `(stolen, busy, all)` since the start.
///
/// # Errors
/// `/proc/stat` cannot be read.
pub fn machine() -> Result<(u64, u64, u64)> {
    let text = read("/proc/stat")?;
    let line = text.lines().next().context("/proc/stat is empty")?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .filter_map(|word| word.parse().ok())
        .collect();
    let at = |index: usize| ticks.get(index).copied().unwrap_or(0);
    let all = ticks.iter().take(8).sum::<u64>();
    Ok((at(7), all - at(3) - at(4), all))
}

/// The processor's name.
pub fn processor() -> String {
    let text = read("/proc/cpuinfo").unwrap_or_default();
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or_else(
        || "an unknown processor".to_owned(),
        |(_, name)| name.trim().to_owned(),
    )
}

/// The kernel's release.
pub fn release() -> String {
    rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned()
}

fn present() -> usize {
    // `available_parallelism` counts the CPUs this thread may use, and this thread is pinned at times.
    let text = read("/sys/devices/system/cpu/present").unwrap_or_default();
    let last = text
        .trim()
        .rsplit(['-', ','])
        .next()
        .and_then(|last| last.parse::<usize>().ok());
    last.map_or(1, |last| last + 1)
}

fn sum(pid: u32, file: &str, pick: impl Fn(&str) -> Option<&str>) -> Result<u64> {
    let mut total = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))
        .with_context(|| format!("process {pid} is gone"))?
    {
        // A thread may end between the two calls.
        if let Ok(text) = read(task?.path().join(file)) {
            total += pick(&text)
                .context("an account of an unknown form")?
                .parse::<u64>()?;
        }
    }
    Ok(total)
}

fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.split_whitespace().next())
}

fn read(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
