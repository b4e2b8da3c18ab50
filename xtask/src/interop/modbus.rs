//! Modbus RTU through `raw`: pymodbus is the master, a slave of forty lines is the board. The programs are Python's, in
//! `modbus.py`.

use std::time::Duration;

use anyhow::Result;

use super::gateway::{Gateway, script, succeed};
use super::needs::{Need, PYTHON, PYTHON_VENV};
use super::pyserial_client::PYSERIAL;
use super::{Case, folder};

pub(super) const CASE: Case = Case {
    name: "modbus",
    what: "pymodbus as RTU master over raw, a slave at a pty: port",
    needs: &[
        PYTHON,
        PYTHON_VENV,
        PYSERIAL,
        Need::Python {
            package: "pymodbus==3.16.1",
            module: "pymodbus",
        },
    ],
    run,
};

const LIMIT: Duration = Duration::from_secs(60);

fn run() -> Result<()> {
    let device = folder(CASE.name)?.join("board0").display().to_string();
    let gateway = Gateway::start(&format!("pty:{device}"))?;
    let address = gateway.address("raw")?;
    let mut program = script(CASE.name, include_str!("modbus.py"))?;
    program.args([address.ip().to_string(), address.port().to_string(), device]);
    succeed(&mut program, LIMIT).map(|_| ())
}
