//! Modbus RTU through `raw` and through `uart pty`: pymodbus is the master, a slave of forty lines is the board. The programs are Python's, in
//! `modbus.py`.

use std::time::Duration;

use anyhow::Result;

use super::gateway::{Gateway, script, succeed};
use super::needs::{Need, PYTHON, PYTHON_VENV};
use super::pyserial_client::PYSERIAL;
use super::virtual_port::VirtualPort;
use super::{Case, folder};

pub(super) const CASE: Case = Case {
    name: "modbus",
    what: "pymodbus as RTU master over raw, a slave at a pty: port",
    needs: NEEDS,
    run,
};

pub(super) const VIRTUAL: Case = Case {
    name: "modbus-pty",
    what: "pymodbus as RTU master on uart pty, a slave at a pty: port",
    needs: NEEDS,
    run: run_virtual,
};

const NEEDS: &[Need] = &[PYTHON, PYTHON_VENV, PYSERIAL, PYMODBUS];

pub(super) const PYMODBUS: Need = Need::Python {
    package: "pymodbus==3.16.1",
    module: "pymodbus",
};

const LIMIT: Duration = Duration::from_secs(60);

fn run() -> Result<()> {
    let device = folder(CASE.name)?.join("board0").display().to_string();
    let gateway = Gateway::start(&format!("pty:{device}"))?;
    let address = gateway.address("raw")?;
    let mut program = script(CASE.name, include_str!("modbus.py"))?;
    program.args([device, address.ip().to_string(), address.port().to_string()]);
    succeed(&mut program, LIMIT).map(|_| ())
}

fn run_virtual() -> Result<()> {
    let (port, board) = VirtualPort::with_board(VIRTUAL.name)?;
    let mut program = script(VIRTUAL.name, include_str!("modbus.py"))?;
    succeed(program.arg(board).arg(&port.link), LIMIT)?;
    port.wait_line("19200-8n1")?;
    port.end()
}
