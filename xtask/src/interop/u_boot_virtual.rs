//! U-Boot through a virtual serial device, by a script of the kind that people have for boards on their desk.

use std::time::Duration;

use anyhow::Result;

use super::Case;
use super::gateway::{script, succeed};
use super::needs::{PYTHON, PYTHON_VENV};
use super::pyserial_client::PYSERIAL;
use super::u_boot::{QEMU, U_BOOT, device_of, start_machine};
use super::virtual_port::VirtualPort;

pub(super) const CASE: Case = Case {
    name: "u-boot-pty",
    what: "a Python script on uart pty stops U-Boot's countdown and asks for its version",
    needs: &[QEMU, U_BOOT, PYTHON, PYTHON_VENV, PYSERIAL],
    run,
};

/// Presses Enter until the prompt is there, and then asks as a person would.
const SCRIPT: &str = r#"
import sys, time
import serial

PROMPT = b"\r\n=> "
port = serial.Serial(sys.argv[1], 115200, timeout=1)
deadline = time.monotonic() + 60
while not port.read_until(PROMPT).endswith(PROMPT):
    if time.monotonic() > deadline:
        sys.exit("U-Boot never came to its prompt")
    port.write(b"\r")
# An Enter too many is answered by a prompt too many.
port.timeout = 2
while port.read_until(PROMPT):
    pass
port.timeout = 20

def ask(command):
    port.write(command + b"\r")
    echoed = port.read_until(b"\r\n")
    if echoed != command + b"\r\n":
        sys.exit(f"{command} was echoed as {echoed}")
    said = port.read_until(PROMPT)
    if not said.endswith(PROMPT):
        sys.exit(f"{command} was answered {said}")
    return said[:-len(PROMPT)].decode()

version = ask(b"version")
if not version.startswith("U-Boot 20"):
    sys.exit(f"that is no version of U-Boot: {version!r}")
print(version.splitlines()[0])
environment = ask(b"printenv")
if "Environment size: " not in environment.splitlines()[-1]:
    sys.exit(f"printenv ended with {environment[-100:]!r}")
print(environment.splitlines()[-1])
"#;

fn run() -> Result<()> {
    let machine = start_machine()?;
    let port = VirtualPort::start(CASE.name, &device_of(&machine)?)?;
    let mut program = script(CASE.name, SCRIPT)?;
    succeed(program.arg(&port.link), Duration::from_secs(120))?;
    port.end()
}
