//! One child process whose output is collected and which never outlives its guard.

use std::fs;
use std::io::Write;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::{Collected, DEADLINE};

/// How long a process that is no longer wanted gets to stop by itself when its guard is dropped.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running child process.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    /// Its standard output so far.
    pub stdout: Collected,
    /// Its standard error so far.
    pub stderr: Collected,
}

impl Process {
    /// Starts a command with all three standard streams in our hands.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn(command: &mut Command) -> Result<Process> {
        Process::start(
            command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped()),
        )
    }

    /// Starts a command with the standard streams it was given; those that are pipes are in our hands.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &mut Command) -> Result<Process> {
        let name = command
            .get_program()
            .to_string_lossy()
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        Ok(Process {
            name,
            stdin: child.stdin.take(),
            stdout: child
                .stdout
                .take()
                .map_or_else(Collected::nothing, Collected::of),
            stderr: child
                .stderr
                .take()
                .map_or_else(Collected::nothing, Collected::of),
            child,
        })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How much of its memory is in RAM, in bytes.
    ///
    /// # Errors
    /// It has ended.
    pub fn resident(&self) -> Result<usize> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB"))
            .context("no VmRSS in its status")?;
        Ok(kib.trim().parse::<usize>()? * 1024)
    }

    /// Writes to its standard input.
    ///
    /// # Errors
    /// It is closed, by us or by the process.
    pub fn type_in(&mut self, bytes: &[u8]) -> Result<()> {
        let stdin = self
            .stdin
            .as_mut()
            .with_context(|| format!("the input of {} is closed", self.name))?;
        stdin
            .write_all(bytes)
            .and_then(|()| stdin.flush())
            .with_context(|| format!("cannot write to {}", self.name))
    }

    /// Closes its standard input.
    pub fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Sends it a signal; nothing happens if it has ended.
    ///
    /// # Errors
    /// The system refuses.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        match self.ended()? {
            Some(_) => Ok(()),
            None => send_signal(self.id(), signal),
        }
    }

    /// Its exit status, if it has ended.
    ///
    /// # Errors
    /// The system cannot tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .with_context(|| format!("cannot ask after {}", self.name))
    }

    /// Waits until it has ended and all it said has been collected.
    ///
    /// # Errors
    /// [`DEADLINE`] passed; it is killed then.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let Some(status) = self.wait_until(Instant::now() + DEADLINE)? else {
            self.child.kill().ok();
            self.child.wait().ok();
            bail!(
                "{} did not end within {DEADLINE:?}\n{}",
                self.name,
                self.said()
            );
        };
        self.stdout.wait_end()?;
        self.stderr.wait_end()?;
        Ok(status)
    }

    /// Asks it to stop with SIGTERM, and waits as [`Process::wait`] does.
    ///
    /// # Errors
    /// As [`Process::wait`].
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait()
    }

    /// Everything it has said so far, for an error message.
    pub fn said(&self) -> String {
        format!(
            "{0} stdout:\n{1}\n{0} stderr:\n{2}",
            self.name,
            self.stdout.text(),
            self.stderr.text()
        )
    }

    fn wait_until(&mut self, deadline: Instant) -> Result<Option<ExitStatus>> {
        loop {
            if let Some(status) = self.ended()? {
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            // The standard library can wait for a child for ever or not at all.
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stdin = None;
        self.signal(Signal::TERM).ok();
        if !matches!(self.wait_until(Instant::now() + PATIENCE), Ok(Some(_))) {
            self.child.kill().ok();
            self.child.wait().ok();
        }
        if thread::panicking() {
            eprintln!("{}", self.said());
        }
    }
}

/// Sends a signal to a process by its id.
///
/// # Errors
/// There is no such process, or the system refuses.
pub fn send_signal(pid: u32, signal: Signal) -> Result<()> {
    kill_process(raw_pid(pid)?, signal)
        .with_context(|| format!("cannot send {signal:?} to process {pid}"))
}

/// Sends a signal to the process group with this id.
///
/// # Errors
/// There is no such group, or the system refuses.
pub fn send_signal_to_group(pid: u32, signal: Signal) -> Result<()> {
    kill_process_group(raw_pid(pid)?, signal)
        .with_context(|| format!("cannot send {signal:?} to group {pid}"))
}

/// The exit code as a shell shows it: 128 and the signal's number for a process that was killed.
pub fn exit_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(-1)
}

fn raw_pid(pid: u32) -> Result<Pid> {
    i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .with_context(|| format!("{pid} is no process id"))
}
