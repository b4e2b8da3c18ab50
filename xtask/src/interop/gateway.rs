//! What the cases of foreign clients share: a gateway that offers one port in every protocol, and scripts that speak to it.
//! Not what a client does.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use uartnet_tests::{DEADLINE, Daemon, Process, exit_code, uartd_command};

use super::needs::python;
use super::{folder, info, shortened};
use crate::run::shown;

/// The port's name.
pub(super) const PORT: &str = "board0";

/// A gateway whose one port, [`PORT`], is offered as `uartnet`, `raw` and `rfc2217`.
#[derive(Debug)]
pub(super) struct Gateway {
    /// The daemon.
    pub(super) daemon: Daemon,
}

impl Gateway {
    /// Starts one; `device` is a device spec, settings may follow it.
    ///
    /// # Errors
    /// It does not come up.
    pub(super) fn start(device: &str) -> Result<Gateway> {
        const PROTOCOLS: [&str; 3] = ["uartnet", "raw", "rfc2217"];
        let mut uartd = uartd_command()?;
        for protocol in PROTOCOLS {
            uartd.args(["--listen", &format!("{protocol}=127.0.0.1:0")]);
        }
        uartd.arg(format!("{PORT}={device}"));
        println!("$ {}", shown(&uartd));
        let daemon = Daemon::run(&mut uartd, PROTOCOLS.len())?;
        Ok(Gateway { daemon })
    }

    /// Where this protocol is offered.
    ///
    /// # Errors
    /// Nowhere.
    pub(super) fn address(&self, protocol: &str) -> Result<SocketAddr> {
        let mut listening = self.daemon.listening().iter();
        let found = listening
            .find(|listening| listening.protocol == protocol)
            .with_context(|| format!("the gateway does not offer {protocol}"))?;
        found
            .address
            .parse()
            .with_context(|| format!("{} is no address", found.address))
    }

    /// What `uart info` says of the port.
    ///
    /// # Errors
    /// It says nothing, or no JSON.
    pub(super) fn info(&self) -> Result<Value> {
        info(&self.daemon, PORT)
    }

    /// Waits until what `uart info` says is accepted, and returns it.
    ///
    /// # Errors
    /// It never is.
    pub(super) fn wait_info(&self, what: &str, accept: impl Fn(&Value) -> bool) -> Result<Value> {
        let begin = Instant::now();
        loop {
            let info = self.info()?;
            if accept(&info) {
                return Ok(info);
            }
            ensure!(
                begin.elapsed() < DEADLINE,
                "{what} never came about; last there was {info}"
            );
        }
    }
}

/// A Python program of ours, written to a file below target/, for the Python of the virtual environment.
///
/// # Errors
/// It cannot be written.
pub(super) fn script(case: &str, text: &str) -> Result<Command> {
    let file = folder(case)?.join("program.py");
    // One that was started before may be about to read it.
    let unfinished = file.with_extension("py.new");
    fs::write(&unfinished, text)
        .and_then(|()| fs::rename(&unfinished, &file))
        .with_context(|| format!("cannot write {}", file.display()))?;
    let mut command = Command::new(python()?);
    // pyserial 3.5 uses what later Pythons warn of.
    command.args(["-W", "ignore", "-u"]).arg(file);
    Ok(command)
}

/// Runs a program to its end, shows what it prints, and demands that it succeeds.
///
/// # Errors
/// It fails, or does not end within `limit`.
pub(super) fn succeed(command: &mut Command, limit: Duration) -> Result<String> {
    println!("$ {}", shown(command));
    let mut process = Process::spawn(command)?;
    process.end_input();
    let begin = Instant::now();
    while process.ended()?.is_none() {
        if begin.elapsed() > limit {
            bail!("it did not end within {limit:?}\n{}", process.said());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let code = exit_code(process.wait()?);
    let said = process.stdout.text();
    said.lines()
        .for_each(|line| println!("  {}", shortened(line)));
    ensure!(
        code == 0,
        "it ended with exit code {code}\n{}",
        process.stderr.text()
    );
    Ok(said)
}
