//! `cargo xtask soak`: one gateway under everything that happens to one in weeks, in minutes: clients of every endpoint
//! that come, stay, stop and are killed, boards that are unplugged, reloads, logs that rotate. Each exchange is checked byte by
//! byte, and in the end the gateway must have neither more memory nor more descriptors than after its first rounds.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use uartnet_tests::{
    DEADLINE, Daemon, Peer, Process, Relay, Session, Signal, Terminal, binaries, content,
    exit_code, make_raw, open_board, read_exactly, uart_command, uartd_command,
};

use crate::run::output;

/// Rounds before the first measurement: histories are full, logs have rotated, the allocator has what it needs.
const WARM_UP: u64 = 20;
/// How much more memory the gateway may have in the end. Allocators do not give everything back; a leak of one connection
/// or one history in each round is more than this within some minutes.
const TOLERATED_KIB: u64 = 512;
/// How many old files a log keeps.
const KEPT_FILES: usize = 3;

/// What `cargo xtask soak` can be told.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How long, after the warm-up
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=24 * 60))]
    minutes: u64,
    /// So many rounds after the warm-up, however long they take
    #[arg(long, value_name = "N", conflicts_with = "minutes")]
    rounds: Option<u64>,
}

/// Soaks, and judges.
///
/// # Errors
/// Something went wrong, or grew. What a session by hand does not get is a panic, as in the tests.
pub(crate) fn soak(options: &Options) -> Result<()> {
    println!("Building uartd and uart …");
    binaries()?;
    let mut soak = Soak::start()?;
    for _ in 0..WARM_UP {
        soak.round()?;
    }
    let before = soak.settled()?;
    println!("warm: {before}");
    let begun = Instant::now();
    let wanted = Duration::from_secs(60 * options.minutes);
    let mut most = before;
    let mut told = Instant::now();
    loop {
        let enough = match options.rounds {
            Some(rounds) => soak.rounds >= WARM_UP + rounds,
            None => begun.elapsed() >= wanted,
        };
        if enough && !is_odd(soak.rounds) {
            break;
        }
        soak.round()
            .with_context(|| format!("in round {}", soak.rounds))?;
        let use_ = soak.gateway_use()?;
        most.kib = most.kib.max(use_.kib);
        most.descriptors = most.descriptors.max(use_.descriptors);
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            let seconds = begun.elapsed().as_secs();
            println!("{seconds:>5} s  round {:>5}  {use_}", soak.rounds);
        }
    }
    let after = soak.settled()?;
    soak.sum_up(begun.elapsed(), before, most, after)
}

/// What the gateway has of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Use {
    /// Its share of anonymous memory (PSS): what it has allocated. The pages of its program are shared with whatever else runs
    /// of it at the moment, and say nothing about it.
    kib: u64,
    descriptors: usize,
}

impl std::fmt::Display for Use {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} KiB, {} descriptors", self.kib, self.descriptors)
    }
}

struct Soak {
    gateway: Daemon,
    folder: tempfile::TempDir,
    relay: Relay,
    /// How many bytes the echo got, which is the offset of the next.
    echoed: u64,
    epoch: String,
    /// Who has the port open that comes and goes.
    on_extra: Option<Session>,
    rounds: u64,
    /// What was done, and how often.
    done: BTreeMap<&'static str, u64>,
}

impl Soak {
    fn start() -> Result<Soak> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let file = folder.path().join("soak.toml");
        fs::write(&file, config(folder.path(), 0)).context("the configuration")?;
        let mut command = uartd_command()?;
        command.arg("--config").arg(&file);
        // glibc gives threads heaps of their own, and which of them grows is chance: up to 1 MiB that is no leak and hides one.
        command.env("MALLOC_ARENA_MAX", "1");
        let gateway = Daemon::run(&mut command, 3)?;
        let relay = Relay::to(gateway.address())?;
        let epoch = Session::open(gateway.address()).welcome["epoch"].clone();
        Ok(Soak {
            relay,
            gateway,
            folder,
            echoed: 0,
            on_extra: None,
            epoch: epoch.as_str().unwrap_or_default().to_owned(),
            rounds: 0,
            done: BTreeMap::new(),
        })
    }

    /// Everything once, in turn.
    fn round(&mut self) -> Result<()> {
        self.rounds += 1;
        self.asks()?;
        self.watch_through_cuts()?;
        self.raw()?;
        self.rfc2217()?;
        self.crowd();
        self.pseudo_terminal()?;
        self.unplugged()?;
        self.reload()?;
        if self.rounds.is_multiple_of(4) {
            self.attach()?;
            self.killed_client()?;
            self.read_log()?;
        }
        Ok(())
    }

    fn count(&mut self, what: &'static str, count: u64) {
        *self.done.entry(what).or_default() += count;
    }

    /// Plain conversations, asks of a session, and `uart ask`.
    fn asks(&mut self) -> Result<()> {
        let mut plain = Peer::connect(self.gateway.address());
        for (command, expected) in [("LED ON", "OK"), ("LED?", "ON"), ("LED OFF", "OK")] {
            plain.send(uartnet_tests::frame(command));
            let reply = plain.text();
            ensure!(reply == expected, "{command}: {reply}");
        }
        let mut session = Session::open(self.gateway.address());
        let ids: Vec<u64> = (0..16)
            .map(|pin| session.send(json!({"ask": "board0", "command": format!("GPIO {pin}?")})))
            .collect();
        for id in ids {
            let answer = session.answer(id);
            ensure!(answer["reply"].is_string(), "{answer}");
        }
        let said = output(uart_command(self.gateway.gateway())?.args(["ask", "board0", "ID?"]))?;
        ensure!(said.starts_with("uart-interpreter"), "{said}");
        self.count("asks", 20);
        Ok(())
    }

    /// A watcher whose connection is cut while content passes.
    fn watch_through_cuts(&mut self) -> Result<()> {
        const LENGTH: u64 = 96 * 1024;
        let mut command = uart_command(&self.relay.address().to_string())?;
        let from = format!("{}@{}", self.echoed, self.epoch);
        command.args(["watch", "echo", "--raw", "--from", &from]);
        command.args(["--bytes", &LENGTH.to_string()]);
        let mut watcher = Process::spawn(&mut command)?;
        let mut session = Session::open(self.gateway.address());
        session.request(json!({"open": "echo", "mode": "write"}));
        let sent = content(self.echoed..self.echoed + LENGTH);
        let mut received = 0;
        for (piece, bytes) in sent.chunks(8 * 1024).enumerate() {
            if piece == 4 {
                // One that has not come yet would not come again.
                watcher.stdout.wait("anything", |text| !text.is_empty())?;
                self.relay.cut();
            }
            session.write(piece as u64 * 8 * 1024, bytes);
            while received < (piece + 1) * 8 * 1024 {
                received += session.read_some().1.len();
            }
            if piece == 8 {
                self.relay.mend();
            }
        }
        let status = watcher.wait()?;
        ensure!(exit_code(status) == 0, "{}", watcher.said());
        ensure!(
            watcher.stdout.bytes() == sent,
            "the watcher has something else"
        );
        self.echoed += LENGTH;
        self.count("cuts of connections", 1);
        self.count("bytes checked", 2 * LENGTH);
        Ok(())
    }

    fn raw(&mut self) -> Result<()> {
        let sent = content(self.echoed..self.echoed + 32 * 1024);
        let mut peer = Peer::connect(self.listener("raw")?.parse()?);
        peer.send(&sent);
        let mut received = vec![0; sent.len()];
        peer.stream().read_exact(&mut received)?;
        ensure!(received == sent, "the echo through raw is something else");
        self.echoed += sent.len() as u64;
        self.count("bytes checked", sent.len() as u64);
        Ok(())
    }

    /// Text, which telnet leaves as it is, among whatever the two have to negotiate.
    fn rfc2217(&mut self) -> Result<()> {
        let text = format!("round {} of many\n", self.rounds);
        let mut peer = Peer::connect(self.listener("rfc2217")?.parse()?);
        peer.send(&text);
        let (mut received, mut buffer) = (Vec::new(), [0; 1024]);
        while !contains(&received, text.as_bytes()) {
            let count = peer.stream().read(&mut buffer)?;
            ensure!(count > 0, "the echo through rfc2217 is {received:?}");
            received.extend_from_slice(&buffer[..count]);
        }
        self.echoed += text.len() as u64;
        self.count("bytes checked", text.len() as u64);
        Ok(())
    }

    /// Clients that come and go without a word, in the middle of a word, and without hearing an answer.
    fn crowd(&mut self) {
        for bytes in [
            "",
            "20_half a",
            "6_LED?",
            "nonsense",
            "25_{\"hello\":\"uartnet/1\"}",
        ] {
            for _ in 0..8 {
                Peer::connect(self.gateway.address()).send_anyway(bytes);
            }
        }
        self.count("connections dropped", 40);
    }

    /// A program plugs itself into the port, speaks, and goes.
    fn pseudo_terminal(&mut self) -> Result<()> {
        let mut session = Session::open(self.gateway.address());
        session.request(json!({"open": "plug", "mode": "write"}));
        let mut board = open_board(&self.folder.path().join("plug"))?;
        make_raw(&board)?;
        let text = format!("here is board {}\n", self.rounds);
        board.write_all(text.as_bytes())?;
        session.read_until(&text);
        let opened = session.request(json!({"ping": 1}));
        ensure!(opened["pong"] == 1, "{opened}");
        session.write(0, &text);
        ensure!(
            read_exactly(&mut board, text.len()) == text.as_bytes(),
            "the board gets something else"
        );
        self.count("programs plugged in", 1);
        Ok(())
    }

    /// A board that goes and comes back, and a client that stays.
    fn unplugged(&mut self) -> Result<()> {
        let mut session = Session::open(self.gateway.address());
        session.request(json!({"open": "flaky"}));
        for state in ["absent", "present"] {
            session.control(|control| control["event"] == "state" && control["state"] == state);
        }
        self.count("boards unplugged", 1);
        Ok(())
    }

    /// Another configuration: a port comes or goes, another one changes.
    fn reload(&mut self) -> Result<()> {
        let text = config(self.folder.path(), self.rounds);
        fs::write(self.folder.path().join("soak.toml"), text)?;
        let gateway = self.gateway.gateway().to_owned();
        let told = output(uartd_command()?.args(["reload", "--gateway", &gateway]))?;
        let change = ["port extra removed", "port extra added"][usize::from(is_odd(self.rounds))];
        ensure!(told.contains(change), "reload {}: {told}", self.rounds);
        if is_odd(self.rounds) {
            let mut session = Session::open(self.gateway.address());
            let opened = session.request(json!({"open": "extra", "mode": "write"}));
            ensure!(opened["opened"] == "extra", "{opened}");
            self.on_extra = Some(session);
        } else if let Some(mut session) = self.on_extra.take() {
            let closed = session.event("closed");
            ensure!(closed["reason"] == "removed", "{closed}");
        }
        self.count("reloads", 1);
        Ok(())
    }

    fn attach(&mut self) -> Result<()> {
        let mut command = uart_command(self.gateway.gateway())?;
        let mut terminal = Terminal::spawn(command.args(["attach", "board0"]))?;
        terminal.tty.screen.wait_for("attached to board0")?;
        terminal.tty.type_in(b"ID?\r")?;
        terminal.tty.screen.wait_for("uart-interpreter")?;
        terminal.tty.type_in(b"\x1d.")?;
        terminal.process.wait()?;
        self.count("attached terminals", 1);
        Ok(())
    }

    fn killed_client(&mut self) -> Result<()> {
        let mut command = uart_command(self.gateway.gateway())?;
        let mut watcher = Process::spawn(command.args(["watch", "echo", "--from", "start"]))?;
        watcher.stdout.wait("anything", |text| !text.is_empty())?;
        watcher.signal(Signal::KILL)?;
        watcher.wait()?;
        self.count("clients killed", 1);
        Ok(())
    }

    /// The log is within its bounds, and what it has kept has no hole.
    fn read_log(&mut self) -> Result<()> {
        let mut command = uart_command(self.gateway.gateway())?;
        let text = output(command.args(["log", "echo", "--json"]))?;
        let mut next = None;
        for line in text.lines() {
            let record: Value = serde_json::from_str(line)?;
            let offset = record["offset"].as_u64();
            let length = match &record["received"] {
                Value::Null => continue,
                Value::String(text) => text.len(),
                other => other["hex"].as_str().map_or(0, |hex| hex.len() / 2),
            };
            ensure!(
                next.is_none() || next == offset,
                "the log goes on with {record} where {next:?} is next"
            );
            next = offset.map(|offset| offset + length as u64);
        }
        ensure!(next.is_some(), "the log is empty");
        let files = fs::read_dir(self.folder.path().join("logs"))?.count();
        ensure!(files <= KEPT_FILES + 2, "{files} files of one log");
        self.count("readings of the log", 1);
        Ok(())
    }

    fn listener(&self, protocol: &str) -> Result<String> {
        let mut all = self.gateway.listening().iter();
        let found = all.find(|listening| listening.protocol == protocol);
        Ok(found.context("no such listener")?.address.clone())
    }

    fn gateway_use(&mut self) -> Result<Use> {
        let process = Path::new("/proc").join(self.gateway.process().id().to_string());
        let memory = fs::read_to_string(process.join("smaps_rollup"))?;
        let pss = memory
            .lines()
            .find_map(|line| line.strip_prefix("Pss_Anon:"))
            .and_then(|rest| rest.split_whitespace().next())
            .context("the system does not tell PSS of anonymous memory")?;
        Ok(Use {
            kib: pss.parse()?,
            descriptors: fs::read_dir(process.join("fd"))?.count(),
        })
    }

    /// What it has when nobody is connected any more.
    fn settled(&mut self) -> Result<Use> {
        let begun = Instant::now();
        loop {
            let mut session = Session::open(self.gateway.address());
            let status = session.request(json!({"status": "gateway"}));
            if status["status"]["counters"]["connections"] == 1 {
                break;
            }
            ensure!(
                begun.elapsed() < DEADLINE,
                "clients that have gone: {status}"
            );
        }
        // The descriptor of the session that asked is still to be closed.
        let mut last = self.gateway_use()?;
        loop {
            std::thread::sleep(Duration::from_millis(300));
            let use_ = self.gateway_use()?;
            if use_.descriptors == last.descriptors {
                return Ok(use_);
            }
            ensure!(begun.elapsed() < DEADLINE, "it never settles: {use_}");
            last = use_;
        }
    }

    fn sum_up(mut self, took: Duration, before: Use, most: Use, after: Use) -> Result<()> {
        let status = self.gateway.stop()?;
        println!(
            "\n{} rounds, {} of them in {:.0} s after the warm-up",
            self.rounds,
            self.rounds - WARM_UP,
            took.as_secs_f32()
        );
        for (what, count) in &self.done {
            println!("{count:>12} {what}");
        }
        println!("before: {before}\nmost:   {most}\nafter:  {after}");
        ensure!(exit_code(status) == 0, "uartd ended with {status}");
        let log = self.gateway.log();
        ensure!(!log.contains("panicked"), "uartd panicked:\n{log}");
        if after.descriptors != before.descriptors {
            bail!("the gateway has another number of descriptors than before");
        }
        ensure!(
            after.kib <= before.kib + TOLERATED_KIB,
            "the gateway has more than {TOLERATED_KIB} KiB more memory than before"
        );
        println!("all right: no descriptor more, less than {TOLERATED_KIB} KiB more");
        Ok(())
    }
}

/// The gateway's configuration in this round. In odd ones there is a port more.
fn config(folder: &Path, round: u64) -> String {
    let folder = folder.display();
    let mut text = format!(
        "[[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\nport = \"board0\"\n\
         [[listen]]\nprotocol = \"raw\"\naddress = \"127.0.0.1:0\"\nport = \"echo\"\n\
         [[listen]]\nprotocol = \"rfc2217\"\naddress = \"127.0.0.1:0\"\nport = \"echo\"\n\
         [[port]]\nname = \"board0\"\ndevice = \"sim:interpreter\"\nhistory = \"4KiB\"\n\
         [[port]]\nname = \"echo\"\ndevice = \"sim:echo\"\nhistory = \"256KiB\"\n\
         [[port.log]]\npath = \"{folder}/logs/echo.log\"\nrotate_size = \"128KiB\"\nkeep_files = {KEPT_FILES}\nsync = \"never\"\n\
         [[port]]\nname = \"plug\"\ndevice = \"pty:{folder}/plug\"\nhistory = \"1KiB\"\n\
         [[port]]\nname = \"flaky\"\ndevice = \"sim:flaky?up=200ms&down=100ms\"\nhistory = \"{}KiB\"\n",
        8 + round % 8,
    );
    if is_odd(round) {
        text += "[[port]]\nname = \"extra\"\ndevice = \"sim:echo\"\n";
    }
    text
}

fn is_odd(round: u64) -> bool {
    !round.is_multiple_of(2)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
