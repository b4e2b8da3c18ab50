//! Our client at the real ser2net: telnet with RFC 2217, and bytes alone. The board behind ser2net is a virtual device of
//! `uart pty`, so that what ser2net does to its serial port is seen at our gateway.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use uartnet_tests::{DEADLINE, Daemon, Process, exit_code, uart_command};

use super::needs::{Need, Proof};
use super::{Case, finish, folder};
use crate::run::shown;

pub(super) const CASE: Case = Case {
    name: "ser2net",
    what: "uart attach, set, signal and pty at a port of ser2net's",
    needs: &[Need::Debian {
        package: "ser2net",
        proof: Proof::File("/usr/sbin/ser2net"),
    }],
    run,
};

fn run() -> Result<()> {
    let folder = folder("ser2net")?;
    let daemon = Daemon::start(&[
        "board0=loopback:",
        "sim0=sim:interpreter",
        "board1=loopback:",
    ])?;
    let loopback = folder.join("board0");
    let interpreter = folder.join("sim0");
    let second = folder.join("board1");
    let _devices = [
        device(&daemon, "board0", &loopback)?,
        device(&daemon, "sim0", &interpreter)?,
        device(&daemon, "board1", &second)?,
    ];
    let ports = [free_port()?, free_port()?, free_port()?];
    let config = folder.join("ser2net.yaml");
    let text = [
        connection(1, "telnet(rfc2217),tcp", ports[0], &loopback),
        connection(2, "telnet(rfc2217),tcp", ports[1], &interpreter),
        connection(3, "tcp", ports[2], &second),
    ]
    .concat();
    fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
    let mut command = Command::new("/usr/sbin/ser2net");
    command.args(["-n", "-u", "-c"]).arg(&config);
    println!("$ {}", shown(&command));
    let ser2net = Process::start(
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    )?;
    for port in ports {
        listens(port).with_context(|| ser2net.said())?;
    }
    let board = format!("rfc2217://127.0.0.1:{}", ports[0]);
    let sim = format!("rfc2217://127.0.0.1:{}", ports[1]);
    let raw = format!("tcp://127.0.0.1:{}", ports[2]);

    let (code, said, _) = uart(&["attach", &sim], b"LED ON\rLED?\r")?;
    ensure!(
        code == 0 && said.contains("OK") && said.contains("ON"),
        "the board said {said:?} ({code})"
    );

    let bytes: Vec<u8> = (0..=255).cycle().take(64 << 10).collect();
    for address in [&board, &raw] {
        let mut attach = start(&["attach", address])?;
        attach.type_in(&bytes)?;
        attach.end_input();
        let code = exit_code(attach.wait()?);
        let back = attach.stdout.bytes();
        ensure!(
            code == 0 && back == bytes,
            "{address}: of {} bytes {} came back, exit code {code}",
            bytes.len(),
            back.len()
        );
        println!("  {} bytes of every value came back", back.len());
    }

    let (code, said, _) = uart(&["set", &board, "--line", "57600-8n2"], b"")?;
    ensure!(code == 0 && said == "57600-8n2\n", "{said:?} ({code})");
    let (code, _, complaint) = uart(&["set", &board, "--line", "57600-8n1.5"], b"")?;
    ensure!(
        code == 4 && complaint.contains("did not acknowledge: stop bits"),
        "ser2net says nothing about 1.5 stop bits: {complaint:?} ({code})"
    );
    let (code, _, complaint) = uart(&["signal", &board, "dtr=off"], b"")?;
    ensure!(
        code == 4 && complaint.contains("did not acknowledge: DTR"),
        "ser2net says nothing about DTR of a pseudo-terminal: {complaint:?} ({code})"
    );
    let (code, _, complaint) = uart(&["signal", &board, "break=50ms"], b"")?;
    ensure!(code == 0, "{complaint:?} ({code})");
    let (code, _, complaint) = uart(&["purge", &board], b"")?;
    ensure!(code == 0, "{complaint:?} ({code})");

    let again = folder.join("again");
    let path = again.display().to_string();
    let pty = start(&["pty", &sim, "--link", &path])?;
    pty.stderr.wait_for("linked at")?;
    let mut board = uartnet_tests::open_board(&again)?;
    // ser2net takes a setting back when its connection closes; this one stays open.
    finish(Command::new("stty").arg("-F").arg(&again).arg("57600"))?;
    daemon_line(&daemon, "sim0", "57600-8n1")?;
    println!("  what a program sets at the virtual device reaches the board's port");
    let answers = uartnet_tests::Collected::of(board.try_clone()?);
    std::io::Write::write_all(&mut board, b"ID?\r")?;
    answers.wait_for("ID?\r\n")?;
    answers.wait("an answer", |text| text.matches('\n').count() >= 2)?;
    println!(
        "  a virtual device over ser2net answers: {:?}",
        answers.text()
    );
    Ok(())
}

/// One connection of ser2net's configuration.
fn connection(number: u32, accepter: &str, port: u16, device: &Path) -> String {
    format!(
        "connection: &c{number}\n  accepter: {accepter},127.0.0.1,{port}\n  connector: serialdev,{},115200n81,local\n  options:\n    max-connections: 4\n",
        device.display()
    )
}

/// `uart pty PORT --link PATH`, when the device is there.
fn device(daemon: &Daemon, port: &str, link: &Path) -> Result<Process> {
    let mut command = uart_command(daemon.gateway())?;
    command.args(["pty", port, "--link"]).arg(link);
    let process = Process::spawn(&mut command)?;
    process.stderr.wait_for("linked at")?;
    Ok(process)
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("there is no free port")?;
    Ok(listener.local_addr()?.port())
}

/// Waits until somebody listens there; ser2net does not say when.
fn listens(port: u16) -> Result<()> {
    let deadline = Instant::now() + DEADLINE;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        ensure!(
            Instant::now() < deadline,
            "ser2net does not listen on port {port}"
        );
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn start(args: &[&str]) -> Result<Process> {
    println!("$ uart {}", args.join(" "));
    Process::spawn(uart_command("127.0.0.1:1")?.args(args))
}

/// `uart ARGS` to its end, with this input: the exit code, stdout and stderr.
fn uart(args: &[&str], input: &[u8]) -> Result<(i32, String, String)> {
    let mut process = start(args)?;
    // It may not read its input at all.
    process.type_in(input).ok();
    process.end_input();
    let code = exit_code(process.wait()?);
    let (said, complaint) = (process.stdout.text(), process.stderr.text());
    said.lines()
        .chain(complaint.lines())
        .for_each(|line| println!("  {line}"));
    Ok((code, said, complaint))
}

/// Waits until this is the line of the port at our gateway, where ser2net's setting arrives by way of the virtual device.
fn daemon_line(daemon: &Daemon, port: &str, line: &str) -> Result<()> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let mut info = uart_command(daemon.gateway())?;
        let (_, said) = finish(info.args(["info", port, "--json"]))?;
        if said.contains(&format!("\"line\":\"{line}\"")) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "never {line}: {said}");
        thread::sleep(Duration::from_millis(50));
    }
}
