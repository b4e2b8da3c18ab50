//! esptool over `rfc2217`: it resets a board into its loader by DTR and RTS, and speaks to the loader. The board is a ROM
//! loader of few commands, in `esp_rom.py`; the order of the signals is what another client of the port is told.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use uartnet_tests::{Process, Session};

use super::gateway::{Gateway, PORT, script, succeed};
use super::needs::{Need, PYTHON, PYTHON_VENV, python};
use super::pyserial_client::PYSERIAL;
use super::{Case, folder};

pub(super) const CASE: Case = Case {
    name: "esptool",
    what: "esptool over rfc2217:// resets and syncs with a scripted ROM loader",
    needs: &[
        PYTHON,
        PYTHON_VENV,
        PYSERIAL,
        Need::Python {
            package: "esptool==5.6.0",
            module: "esptool",
        },
    ],
    run,
};

const LIMIT: Duration = Duration::from_secs(60);

/// DTR and RTS as esptool drives them, one step for each change. DTR holds the chip's boot pin down, RTS holds it in reset.
const STEPS: &[(bool, bool, &str)] = &[
    (false, true, "in reset"),
    (true, true, "in reset, boot pin down"),
    (true, false, "running, boot pin down: it enters the loader"),
    (false, false, "boot pin let go"),
    (false, true, "at the end, in reset again"),
    (false, false, "running"),
];

fn run() -> Result<()> {
    let device = folder(CASE.name)?.join("board0").display().to_string();
    let gateway = Gateway::start(&format!("pty:{device}"))?;
    let mut witness = Session::open(gateway.daemon.address());
    witness.request(json!({"open": PORT}));
    let board = Process::spawn(script(CASE.name, include_str!("esp_rom.py"))?.arg(&device))?;
    board
        .stdout
        .wait_for("ready")
        .with_context(|| board.said())?;

    let mut esptool = Command::new(python()?);
    esptool
        .args(["-W", "ignore", "-m", "esptool", "--chip", "esp8266"])
        .args(["--no-stub", "--port"])
        .arg(format!("rfc2217://{}", gateway.address("rfc2217")?))
        .arg("read-mac");
    let said = succeed(&mut esptool, LIMIT)?;
    ensure!(
        said.contains("MAC:                18:fe:34:22:33:44"),
        "the MAC address is another one"
    );
    ensure!(
        said.matches("Connecting...").count() == 1,
        "it had to try again"
    );

    for &(dtr, rts, what) in STEPS {
        let event = witness.event("signals");
        let outputs = |name: &str| event["outputs"][name].clone();
        ensure!(
            (outputs("dtr"), outputs("rts")) == (Value::Bool(dtr), Value::Bool(rts)),
            "instead of dtr={dtr} rts={rts} ({what}) came {event}"
        );
        println!("  dtr={dtr} rts={rts}: {what}");
    }
    Ok(())
}
