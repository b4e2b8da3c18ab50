//! A Modbus RTU slave made of pymodbus as the board, asked through the profile `modbus-rtu`. The slave is Python's, in
//! `modbus_slave.py`.

use std::time::Instant;

use anyhow::{Result, ensure};
use uartnet_tests::{DEADLINE, Daemon, Process, Signal, exit_code, uart_command};

use super::gateway::script;
use super::needs::{PYTHON, PYTHON_VENV};
use super::pyserial_client::PYSERIAL;
use super::{Case, folder, modbus};

pub(super) const CASE: Case = Case {
    name: "modbus-slave",
    what: "a slave of pymodbus at a pty: port answers uart ask --hex through the profile modbus-rtu",
    needs: &[PYTHON, PYTHON_VENV, PYSERIAL, modbus::PYMODBUS],
    run,
};

/// Requests without their CRC, and what they are answered.
const REQUESTS: &[(&str, &str, &str)] = &[
    (
        "holding registers",
        "11 03 00 01 00 03",
        "11 03 06 01 01 02 02 03 03",
    ),
    (
        "input registers",
        "11 04 00 00 00 02",
        "11 04 04 03 e8 03 e9",
    ),
    ("coils", "11 01 00 00 00 0a", "11 01 02 55 01"),
    ("discrete inputs", "11 02 00 00 00 08", "11 02 01 aa"),
    ("a coil switched", "11 05 00 01 ff 00", "11 05 00 01 ff 00"),
    ("and read", "11 01 00 00 00 08", "11 01 01 57"),
    (
        "a register written",
        "11 06 00 05 0d 0a",
        "11 06 00 05 0d 0a",
    ),
    (
        "two registers written",
        "11 10 00 06 00 02 04 11 13 ff ff",
        "11 10 00 06 00 02",
    ),
    (
        "and all three read",
        "11 03 00 05 00 03",
        "11 03 06 0d 0a 11 13 ff ff",
    ),
    (
        "a register masked",
        "11 16 00 05 00 ff 12 00",
        "11 16 00 05 00 ff 12 00",
    ),
    ("and read", "11 03 00 05 00 01", "11 03 02 12 0a"),
];

fn run() -> Result<()> {
    let device = folder(CASE.name)?.join("board0").display().to_string();
    let port = format!("board0=pty:{device},19200-8n1,profile=modbus-rtu,timeout=2s");
    println!("$ uartd {port}");
    let daemon = Daemon::start(&[&port])?;
    let mut slave = script(CASE.name, include_str!("modbus_slave.py"))?;
    let mut slave = Process::spawn(slave.arg(&device))?;
    wait_ready(&daemon)?;

    for (what, request, response) in REQUESTS {
        let (code, said, _) = ask(&daemon, &[request])?;
        println!("  {what}: {request} → {}", said.trim_end());
        ensure!(
            code == 0 && said.trim_end() == *response,
            "{what}: {request} was answered {said:?}, exit code {code}"
        );
    }
    let (code, said, complaint) = ask(&daemon, &["11 03 01 00 00 01"])?;
    println!("  beyond the last register: {}", complaint.trim_end());
    ensure!(
        code == 1 && said.is_empty() && complaint.contains("board-error"),
        "an exception came as {complaint:?}, exit code {code}"
    );
    a_late_response_is_nobodys(&daemon, &mut slave)?;

    let (code, said, complaint) = ask(&daemon, &["11 03 00 07 00 01", "--repeat", "200"])?;
    let right = said
        .lines()
        .filter(|line| *line == "11 03 02 ff ff")
        .count();
    ensure!(
        code == 0 && right == 200,
        "{right} of 200 requests in a row were answered right\n{complaint}"
    );
    println!("  200 requests in a row");
    Ok(())
}

/// A slave that is held up until the request has timed out answers it then; the next request gets its own answer.
fn a_late_response_is_nobodys(daemon: &Daemon, slave: &mut Process) -> Result<()> {
    slave.signal(Signal::STOP)?;
    let late = ask(daemon, &["11 03 00 01 00 01", "--timeout", "1s"]);
    slave.signal(Signal::CONT)?;
    let (code, said, complaint) = late?;
    println!("  a slave that is held up: {}", complaint.trim_end());
    ensure!(
        code == 4,
        "a slave that is held up answered {said:?}, {complaint:?}, exit code {code}"
    );
    let (code, said, complaint) = ask(daemon, &["11 03 00 08 00 01"])?;
    ensure!(
        code == 0 && said.trim_end() == "11 03 02 08 08",
        "then the next request was answered {said:?}, {complaint:?}, exit code {code}"
    );
    println!("  and then: 11 03 00 08 00 01 → {}", said.trim_end());
    Ok(())
}

/// `uart ask board0 --hex …`: the exit code, what was said, what was complained of.
fn ask(daemon: &Daemon, arguments: &[&str]) -> Result<(i32, String, String)> {
    let mut ask = uart_command(daemon.gateway())?;
    ask.args(["ask", "board0", "--hex"]).args(arguments);
    let mut ask = Process::spawn(&mut ask)?;
    let code = exit_code(ask.wait()?);
    Ok((code, ask.stdout.text(), ask.stderr.text()))
}

/// It does not say when it listens; a request that comes too early is not answered.
fn wait_ready(daemon: &Daemon) -> Result<()> {
    let begin = Instant::now();
    loop {
        let (code, _, complaint) = ask(daemon, &["11 03 00 00 00 01", "--timeout", "500ms"])?;
        if code == 0 {
            return Ok(());
        }
        ensure!(
            begin.elapsed() < DEADLINE,
            "the slave never answered; last there was {complaint:?}"
        );
    }
}
