//! pyserial on a virtual serial device: settings, queues, and a megabyte each way. The program itself is Python's, in
//! `pyserial_virtual.py`.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use uartnet_tests::binaries;

use super::Case;
use super::gateway::{script, succeed};
use super::needs::{PYTHON, PYTHON_VENV};
use super::pyserial_client::PYSERIAL;
use super::virtual_port::VirtualPort;

pub(super) const CASE: Case = Case {
    name: "pyserial-virtual",
    what: "pyserial on uart pty: settings, queues, 1 MB on a loopback plug, 1 MB each way at once to a board",
    needs: &[PYTHON, PYTHON_VENV, PYSERIAL],
    run,
};

const LIMIT: Duration = Duration::from_secs(120);

fn run() -> Result<()> {
    let port = VirtualPort::start(CASE.name, "loopback:")?;
    program(&port, None)?;
    port.end()?;

    let (port, board) = VirtualPort::with_board(CASE.name)?;
    program(&port, Some(&board))?;
    port.end()
}

fn program(port: &VirtualPort, board: Option<&Path>) -> Result<()> {
    let mut program = script(CASE.name, include_str!("pyserial_virtual.py"))?;
    program
        .arg(&port.link)
        .arg(&binaries()?.uart)
        .arg(port.gateway.daemon.gateway())
        .args(board);
    succeed(&mut program, LIMIT).map(drop)
}
