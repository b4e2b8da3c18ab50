//! pyserial as the client, over `rfc2217://` and `socket://`: settings, signals, break, purge, and a megabyte each way.
//! The program itself is Python's, in `pyserial_client.py`.

use std::time::Duration;

use anyhow::Result;
use uartnet_tests::binaries;

use super::gateway::{Gateway, script, succeed};
use super::needs::{Need, PYTHON, PYTHON_VENV};
use super::{Case, folder};

/// The last release, and so the one that everybody has.
pub(super) const PYSERIAL: Need = Need::Python {
    package: "pyserial==3.5",
    module: "serial",
};

pub(super) const PLUG: Case = Case {
    name: "pyserial-rfc2217",
    what: "pyserial over rfc2217:// on a loopback plug: settings, signals, break, purge, 1 MB",
    needs: &[PYTHON, PYTHON_VENV, PYSERIAL],
    run: plug,
};

pub(super) const BOARD: Case = Case {
    name: "pyserial-pty",
    what: "pyserial over rfc2217:// to a board on a pseudo-terminal: the same, 1 MB each way at once",
    needs: &[PYTHON, PYTHON_VENV, PYSERIAL],
    run: board,
};

pub(super) const RAW: Case = Case {
    name: "pyserial-raw",
    what: "pyserial over socket:// on a loopback plug: all byte values, 1 MB",
    needs: &[PYTHON, PYTHON_VENV, PYSERIAL],
    run: raw,
};

const LIMIT: Duration = Duration::from_secs(180);

fn plug() -> Result<()> {
    let gateway = Gateway::start("loopback:")?;
    let url = format!("rfc2217://{}", gateway.address("rfc2217")?);
    client(PLUG.name, &gateway, &["plug", &url], &[])
}

fn board() -> Result<()> {
    let device = folder(BOARD.name)?.join("board0").display().to_string();
    let gateway = Gateway::start(&format!("pty:{device}"))?;
    let url = format!("rfc2217://{}", gateway.address("rfc2217")?);
    client(BOARD.name, &gateway, &["board", &url], &[&device])
}

fn raw() -> Result<()> {
    let gateway = Gateway::start("loopback:")?;
    let url = format!("socket://{}", gateway.address("raw")?);
    client(RAW.name, &gateway, &["bytes", &url], &[])
}

fn client(case: &str, gateway: &Gateway, way: &[&str], board: &[&str]) -> Result<()> {
    let mut program = script(case, include_str!("pyserial_client.py"))?;
    program
        .args(way)
        .arg(&binaries()?.uart)
        .arg(gateway.daemon.gateway())
        .args(board);
    succeed(&mut program, LIMIT).map(|_| ())
}
