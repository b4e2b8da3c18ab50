//! A running `uartd`: started on port 0, its `listening` lines read, stopped when the guard is dropped.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, ExitStatus};
use std::thread;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::{Process, exit_code, uartd_command};

/// A running gateway. Dropping it stops it, and a gateway that does not then stop as it should fails the test.
#[derive(Debug)]
pub struct Daemon {
    process: Process,
    listening: Vec<Listening>,
    stopped: bool,
    /// Where its configuration file is, as long as it runs.
    _folder: Option<TempDir>,
}

/// One `listening <protocol> <address> [port]` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// The protocol.
    pub protocol: String,
    /// The address, as the daemon writes it.
    pub address: String,
    /// The port behind a single-port protocol, or a plain conversation.
    pub port: Option<String>,
}

impl Daemon {
    /// Starts `uartd` with these ports on one `uartnet` listener, whose plain conversation is with the first of them.
    ///
    /// # Errors
    /// It does not come up; the error has its own words.
    pub fn start(ports: &[&str]) -> Result<Daemon> {
        let first = ports.first().and_then(|port| port.split_once('='));
        let spoken_to = first.map_or(String::new(), |(name, _)| format!(",{name}"));
        let mut command = uartd_command()?;
        command
            .args(["--listen", &format!("uartnet=127.0.0.1:0{spoken_to}")])
            .args(ports);
        Daemon::run(&mut command, 1)
    }

    /// Starts `uartd --config FILE` with this text in the file. Every `[[listen]]` in it should have port 0.
    ///
    /// # Errors
    /// It does not come up; the error has its own words.
    pub fn with_config(text: &str) -> Result<Daemon> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let file = folder.path().join("uartd.toml");
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        let mut command = uartd_command()?;
        command.arg("--config").arg(&file);
        let mut daemon = Daemon::run(&mut command, text.matches("[[listen]]").count())?;
        daemon._folder = Some(folder);
        Ok(daemon)
    }

    /// Starts this command and waits for so many `listening` lines.
    ///
    /// # Errors
    /// It does not come up; the error has its own words.
    pub fn run(command: &mut Command, listeners: usize) -> Result<Daemon> {
        let process = Process::spawn(command)?;
        let up = process.stdout.wait("the listening lines", |text| {
            parse_listening(text).len() >= listeners
        });
        let text = up.with_context(|| {
            process.stderr.wait_end().ok();
            format!("{command:?} did not come up\n{}", process.said())
        })?;
        Ok(Daemon {
            process,
            listening: parse_listening(&text),
            stopped: false,
            _folder: None,
        })
    }

    /// The `listening` lines.
    pub fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// The address of the first listener, as `--gateway` takes it.
    pub fn gateway(&self) -> &str {
        &self.listening[0].address
    }

    /// The address of the first listener, to connect to.
    ///
    /// # Panics
    /// It is no TCP address.
    pub fn address(&self) -> SocketAddr {
        self.gateway()
            .parse()
            .unwrap_or_else(|_| panic!("{} is no TCP address", self.gateway()))
    }

    /// The process itself.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.process.stderr.text()
    }

    /// Waits until it has logged this text.
    ///
    /// # Errors
    /// It has not in time.
    pub fn wait_log(&self, text: &str) -> Result<String> {
        self.process.stderr.wait_for(text)
    }

    /// Stops it gracefully, and returns how it ended.
    ///
    /// # Errors
    /// It does not end.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.stopped = true;
        self.process.stop()
    }

    /// Waits until it has ended (somebody sent it a signal).
    ///
    /// # Errors
    /// It does not end.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.stopped = true;
        self.process.wait()
    }

    /// Stops it and demands exit code 0 and no panic in its log.
    fn stop_cleanly(&mut self) -> Result<()> {
        let status = self.stop()?;
        ensure!(
            exit_code(status) == 0,
            "uartd ended with {status}\n{}",
            self.process.said()
        );
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let end = if self.stopped {
            Ok(())
        } else {
            self.stop_cleanly()
        };
        if thread::panicking() {
            return;
        }
        if let Err(error) = end {
            panic!("{error:#}");
        }
        assert!(
            !self.log().contains("panicked at"),
            "uartd panicked\n{}",
            self.process.said()
        );
    }
}

fn parse_listening(stdout: &str) -> Vec<Listening> {
    let complete = stdout.rsplit_once('\n').map_or("", |(lines, _)| lines);
    complete
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("listening")).then_some(())?;
            let protocol = words.next()?.to_owned();
            let address = words.next()?.to_owned();
            Some(Listening {
                protocol,
                address,
                port: words.next().map(str::to_owned),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_listening_lines_count() {
        let text = "hello\nlistening uartnet 127.0.0.1:40001 board0\nlistening raw 127.0.0.1:400";
        assert_eq!(
            parse_listening(text),
            [Listening {
                protocol: "uartnet".to_owned(),
                address: "127.0.0.1:40001".to_owned(),
                port: Some("board0".to_owned())
            }]
        );
    }
}
