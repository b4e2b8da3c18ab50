//! A cable that is pulled between client and gateway: neither gets a FIN or RST, as when a machine loses its power. The
//! gateway must notice its clients' going within `dead_peer`, the clients that of the gateway, and nobody may be kept out.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use uartnet_tests::{Daemon, Process, exit_code, uart_command, uartd_command, wait_telemetry};

use super::machines::{Cable, Machine, NEEDS};
use super::{Case, finish, folder};
use crate::run::shown;

pub(super) const CASE: Case = Case {
    name: "lost-peer",
    what: "the cable is pulled: dead clients make way in time, and a watcher that comes back misses nothing",
    needs: &NEEDS,
    run,
};

/// What is configured; its default is 90 s.
const DEAD_PEER: Duration = Duration::from_secs(5);
/// How much later it may be seen here, on a machine that has much else to do.
const SLACK: Duration = Duration::from_secs(15);

/// The ports that somebody alone may write to, and the protocol each is used by. The board of the last one talks all the time, so
/// that its client's death is noticed by what it does not acknowledge; that of the others by their silence.
const LEASED: [(&str, &str); 3] = [
    ("session", "uartnet"),
    ("telnet", "rfc2217"),
    ("talks", "raw"),
];
/// The port that is watched.
const WATCHED: &str = "watched";

fn run() -> Result<()> {
    let (gateway, client) = (Machine::new()?, Machine::new()?);
    let cable = Cable::between([&gateway, &client], ["10.0.0.1/24", "10.0.0.2/24"])?;
    let lab = Lab::start(&gateway)?;

    for port in ["talks", WATCHED] {
        lab.ask(port, "STREAM 20")?;
    }
    let mut clients = Vec::new();
    for (port, protocol) in LEASED {
        let mut attach = lab.attach(protocol, "10.0.0.1", port)?;
        attach.args(["--linger", "forever", "--no-reconnect"]);
        let mut process = Process::spawn(&mut client.on(&attach))?;
        process.type_in(b"LED ?\r")?;
        process
            .stdout
            .wait_for("OFF\r\n")
            .with_context(|| process.said())?;
        clients.push(process);
        let holder = lab.lease(port)?.context("writing takes the lease")?;
        println!("  {port}: {holder} has the lease, by {protocol}");
    }
    let mut watch = uart_command(&lab.address("uartnet", "10.0.0.1")?)?;
    watch.args(["watch", WATCHED, "--raw", "--from", "start"]);
    let watcher = Process::spawn(&mut client.on(&watch))?;
    wait_telemetry(&watcher, 20)?;

    cable.pull()?;
    let pulled = Instant::now();
    println!("the cable is pulled");
    // Reading needs no lease, so whoever comes meanwhile is let in at once.
    let mut other = uart_command(&lab.address("uartnet", "127.0.0.1")?)?;
    other.args(["watch", "talks", "--lines", "3"]);
    let (code, _) = finish(&mut lab.gateway.on(&other))?;
    ensure!(code == 0, "who watches ended with exit code {code}");
    for (port, _) in LEASED {
        // Who looks late cannot know.
        let held = lab.lease(port)?.is_some() || pulled.elapsed() > DEAD_PEER / 2;
        ensure!(held, "{port}: it was free at once, so this shows nothing");
    }
    for (port, protocol) in LEASED {
        while lab.lease(port)?.is_some() {
            ensure!(
                pulled.elapsed() < DEAD_PEER + SLACK,
                "{port} is still held after {:?}\n{}",
                pulled.elapsed(),
                lab.daemon.log()
            );
        }
        let after = pulled.elapsed().as_secs_f32();
        println!("  {port} ({protocol}): free again after {after:.1} s");
        let mut next = lab.attach(protocol, "127.0.0.1", port)?;
        let mut next = Process::spawn(&mut lab.gateway.on(next.args(["--linger", "forever"])))?;
        next.type_in(b"LED ?\r")?;
        next.stdout.wait_for("OFF\r\n")?;
    }

    for ((port, _), client) in LEASED.iter().zip(&mut clients) {
        let code = exit_code(client.wait()?);
        let after = pulled.elapsed().as_secs_f32();
        ensure!(code == 3, "{port}: exit code {code}\n{}", client.said());
        println!("  the client of {port} noticed it, too ({after:.0} s): exit code 3");
    }
    watcher.stderr.wait_for("connection lost")?;
    cable.plug()?;
    println!("the cable is plugged in");
    watcher.stderr.wait_for("connected again")?;
    lab.ask(WATCHED, "STREAM OFF")?;
    lab.ask(WATCHED, "ID?")?;
    let info = lab.info(WATCHED)?;
    let end = info["history_end"].as_u64().context("an offset")?;
    let all = watcher
        .stdout
        .wait("all there is", |text| text.len() as u64 >= end)?;
    let mut whole = uart_command(&lab.address("uartnet", "127.0.0.1")?)?;
    whole.args(["watch", WATCHED, "--raw", "--from", "start"]);
    whole.args(["--bytes", &end.to_string()]);
    let (_, expected) = finish(&mut lab.gateway.on(&whole))?;
    ensure!(all == expected, "the watcher has something else");
    println!("  the watcher is back and has all {end} bytes, each once");
    Ok(())
}

/// A gateway on a machine of its own.
struct Lab<'a> {
    daemon: Daemon,
    gateway: &'a Machine,
}

impl<'a> Lab<'a> {
    fn start(gateway: &'a Machine) -> Result<Lab<'a>> {
        let file = folder(CASE.name)?.join("uartd.toml");
        let mut text = format!("[gateway]\ndead_peer = \"{}s\"\n", DEAD_PEER.as_secs());
        let mut listen = |protocol: &str, port: &str| {
            text += &format!(
                "[[listen]]\nprotocol = \"{protocol}\"\naddress = \"0.0.0.0:0\"\ninsecure = true\nport = \"{port}\"\n"
            );
        };
        for (port, protocol) in LEASED {
            listen(protocol, port);
        }
        for (port, write) in LEASED
            .map(|(port, _)| (port, "exclusive"))
            .into_iter()
            .chain([(WATCHED, "shared")])
        {
            text += &format!(
                "[[port]]\nname = \"{port}\"\ndevice = \"sim:interpreter\"\nwrite = \"{write}\"\n"
            );
        }
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        let mut uartd = uartd_command()?;
        uartd.arg("--config").arg(&file);
        println!("$ {}", shown(&uartd));
        let daemon = Daemon::run(&mut gateway.on(&uartd), LEASED.len())?;
        Ok(Lab { daemon, gateway })
    }

    /// Where this protocol is offered, for who calls this machine so.
    fn address(&self, protocol: &str, machine: &str) -> Result<String> {
        let mut listening = self.daemon.listening().iter();
        let found = listening.find(|it| it.protocol == protocol);
        let (_, port) = found
            .and_then(|it| it.address.rsplit_once(':'))
            .with_context(|| format!("{protocol} is not offered"))?;
        Ok(format!("{machine}:{port}"))
    }

    /// `uart attach` over this protocol.
    fn attach(&self, protocol: &str, machine: &str, port: &str) -> Result<Command> {
        let address = self.address(protocol, machine)?;
        let port = match protocol {
            "raw" => format!("tcp://{address}"),
            "rfc2217" => format!("rfc2217://{address}"),
            _ => port.to_owned(),
        };
        let mut attach = uart_command(&self.address("uartnet", machine)?)?;
        attach.args(["attach", &port]);
        Ok(attach)
    }

    fn ask(&self, port: &str, command: &str) -> Result<()> {
        let mut ask = uart_command(&self.address("uartnet", "127.0.0.1")?)?;
        let (code, said) = finish(&mut self.gateway.on(ask.args(["ask", port, command])))?;
        ensure!(code == 0, "{command}: exit code {code}\n{said}");
        Ok(())
    }

    fn info(&self, port: &str) -> Result<Value> {
        let mut info = uart_command(&self.address("uartnet", "127.0.0.1")?)?;
        let (code, said) = finish(&mut self.gateway.on(info.args(["info", port, "--json"])))?;
        ensure!(code == 0, "uart info ended with exit code {code}");
        serde_json::from_str(&said).context("uart info says no JSON")
    }

    /// Who alone may write.
    fn lease(&self, port: &str) -> Result<Option<String>> {
        Ok(self.info(port)?["lease"].as_str().map(str::to_owned))
    }
}
