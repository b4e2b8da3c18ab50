//! The client that docs/wire.md shows, run as it stands there: whoever copies it has a client that works.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use uartnet_tests::Daemon;

use super::needs::PYTHON;
use super::{Case, finish, folder};
use crate::run::{root, shown};

pub(super) const CASE: Case = Case {
    name: "wire-client",
    what: "the Python client of docs/wire.md holds a plain conversation",
    needs: &[PYTHON],
    run,
};

/// Where the document's client connects to.
const DOCUMENTED_PORT: &str = "8000";

fn run() -> Result<()> {
    let document =
        fs::read_to_string(root().join("docs/wire.md")).context("cannot read docs/wire.md")?;
    let program = python_block(&document)
        .context("docs/wire.md shows no client: no block marked `python` with `socket`")?;
    ensure!(
        program.contains(DOCUMENTED_PORT),
        "the client of docs/wire.md does not connect to port {DOCUMENTED_PORT}"
    );
    let daemon = Daemon::start(&["sim0=sim:interpreter"])?;
    let program = program.replace(DOCUMENTED_PORT, &daemon.address().port().to_string());
    let file = folder("wire-client")?.join("client.py");
    fs::write(&file, program).with_context(|| format!("cannot write {}", file.display()))?;

    let mut python = Command::new("python3");
    python.arg(&file);
    println!("$ {}", shown(&python));
    let (code, said) = finish(&mut python)?;
    said.lines().for_each(|line| println!("  {line}"));
    ensure!(code == 0, "it ended with exit code {code}");
    ensure!(
        said.contains("Hello from the UART interpreter!"),
        "it did not print the board's answer to `Hello IoT!`"
    );
    Ok(())
}

/// The first Python block that speaks to a socket.
fn python_block(document: &str) -> Option<String> {
    let blocks = document.split("\n```python\n").skip(1);
    blocks
        .filter_map(|rest| rest.split_once("\n```"))
        .map(|(block, _)| format!("{block}\n"))
        .find(|b| b.contains("socket"))
}

#[cfg(test)]
mod tests {
    use super::python_block;

    #[test]
    fn the_client_is_found_among_other_blocks() {
        let document = "a\n```python\nprint(1)\n```\nb\n```sh\nsocket\n```\n```python\nimport socket\nx\n```\n";
        assert_eq!(
            python_block(document).as_deref(),
            Some("import socket\nx\n")
        );
        assert_eq!(python_block("nothing"), None);
    }
}
