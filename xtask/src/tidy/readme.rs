//! Runs the transcripts of README and of docs/interpreters.md with the freshly built binaries first in PATH, in order, each document as one session at one terminal.

use std::env;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use uartnet_tests::{Process, Signal, binaries, exit_code, send_signal_to_group};

use super::transcript::{Typed, begins_with, matches, read};
use super::tree::Tree;
use crate::run::root;

/// The documents whose transcripts are run.
const DOCUMENTS: [&str; 2] = ["README.md", "docs/interpreters.md"];

/// Where a gateway without arguments listens.
const DEFAULT_GATEWAY: &str = "127.0.0.1:8000";

/// Commands that do something else than their document shows.
pub(super) fn run_commands(tree: &Tree) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for document in DOCUMENTS {
        found.extend(run_document(document, tree)?);
    }
    Ok(found)
}

fn run_document(document: &str, tree: &Tree) -> Result<Vec<String>> {
    let typed = read(tree.text(document)?);
    if typed.is_empty() {
        return Ok(vec![format!(
            "{document} has no transcript: no block marked `console`"
        )]);
    }
    if TcpListener::bind(DEFAULT_GATEWAY).is_err() {
        let what = format!(
            "{DEFAULT_GATEWAY} is in use by another program, so the commands of {document} cannot be run"
        );
        return Ok(vec![what]);
    }
    let mut shell = Shell::default();
    let mut found = Vec::new();
    for typed in &typed {
        if let Err(error) = shell.run(typed, tree) {
            found.push(format!(
                "{document}:{}: `{}`: {error:#}",
                typed.line, typed.command
            ));
            if typed.background {
                // What follows speaks to it.
                break;
            }
        }
    }
    found.extend(shell.end(document));
    Ok(found)
}

/// What a person's shell would remember between commands.
#[derive(Default)]
struct Shell {
    background: Vec<(String, Process)>,
    exports: String,
}

impl Shell {
    fn run(&mut self, typed: &Typed, tree: &Tree) -> Result<()> {
        match what_to_do(&typed.command, tree)? {
            ToDo::Nothing => {}
            ToDo::Remember => self.exports += &format!("{}\n", typed.command),
            ToDo::Run => {
                println!("    $ {}", typed.command);
                let process = self.spawn(&typed.command)?;
                self.follow(typed, process)?;
            }
        }
        Ok(())
    }

    fn spawn(&self, command: &str) -> Result<Process> {
        let folder = binaries()?
            .uartd
            .parent()
            .context("the binaries lie in no folder")?;
        let mut path = vec![folder.to_path_buf()];
        path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
        let mut shell = Command::new("bash");
        // A group of its own, so that a signal reaches the command and not only the shell around it.
        shell
            .process_group(0)
            .current_dir(root())
            .env_remove("UART_GATEWAY")
            .env_remove("RUST_LOG");
        shell.env("PATH", env::join_paths(path)?);
        let mut process = Process::spawn(
            shell
                .arg("-c")
                .arg(format!("exec 2>&1\n{}{command}", self.exports)),
        )?;
        process.end_input();
        Ok(process)
    }

    fn follow(&mut self, typed: &Typed, mut process: Process) -> Result<()> {
        if !typed.background && !typed.interrupted {
            return finish(typed, process);
        }
        let enough = |output: &str| match typed.shown.is_empty() {
            true => output.contains('\n'),
            false => begins_with(&typed.shown, output),
        };
        if let Err(error) = process.stdout.wait("what is shown", enough) {
            send_signal_to_group(process.id(), Signal::TERM).ok();
            return Err(error);
        }
        if typed.background {
            self.background.push((typed.command.clone(), process));
        } else {
            send_signal_to_group(process.id(), Signal::INT)?;
            process.wait()?;
        }
        Ok(())
    }

    /// Stops what runs in the background, and demands that each ends well.
    fn end(self, document: &str) -> Vec<String> {
        let mut found = Vec::new();
        for (command, mut process) in self.background {
            match send_signal_to_group(process.id(), Signal::TERM).and_then(|()| process.wait()) {
                Ok(status) if exit_code(status) == 0 => {}
                Ok(status) => found.push(format!(
                    "{document}: `{command} &` ended with {status}\n{}",
                    process.said()
                )),
                Err(error) => {
                    found.push(format!("{document}: `{command} &` did not stop: {error:#}"))
                }
            }
        }
        found
    }
}

fn finish(typed: &Typed, mut process: Process) -> Result<()> {
    let status = process.wait()?;
    let output = process.stdout.text();
    ensure!(
        exit_code(status) == 0,
        "exit code {}:\n{output}",
        exit_code(status)
    );
    let right = typed.shown.is_empty() || matches(&typed.shown, &output);
    ensure!(
        right,
        "shown is\n{}\nand it prints\n{output}",
        typed.shown.join("\n")
    );
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum ToDo {
    Run,
    /// It was done before, or by whoever runs this.
    Nothing,
    /// It changes the environment of what follows.
    Remember,
}

/// Getting and building the sources has happened already, and a task is not run within a task: those are only checked.
fn what_to_do(command: &str, tree: &Tree) -> Result<ToDo> {
    let words: Vec<&str> = command
        .split_whitespace()
        .take_while(|word| !word.starts_with('#'))
        .collect();
    match words.get(..2).unwrap_or_default() {
        ["git", "clone"] | ["cd", _] => Ok(ToDo::Nothing),
        ["export", _] => Ok(ToDo::Remember),
        ["cargo", "xtask"] => {
            crate::Cli::try_parse_from(["cargo xtask"].iter().chain(&words[2..]))?;
            Ok(ToDo::Nothing)
        }
        ["cargo", "build" | "test" | "install"] => {
            let path = words
                .iter()
                .position(|word| *word == "--path")
                .and_then(|at| words.get(at + 1));
            ensure!(
                path.is_none_or(|path| tree.has(path)),
                "there is no such path"
            );
            Ok(ToDo::Nothing)
        }
        ["cargo", other] => {
            bail!("`cargo {other}` is not known to tidy (xtask/src/tidy/readme.rs)")
        }
        _ => Ok(ToDo::Run),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn building_and_tasks_are_recognised_and_not_run() {
        let tree = Tree::of(&[("crates/server/Cargo.toml", "")]);
        for (command, to_do) in [
            ("git clone somewhere", Some(ToDo::Nothing)),
            ("cd uartnet", Some(ToDo::Nothing)),
            ("cargo build --release", Some(ToDo::Nothing)),
            ("cargo install --path crates/server", Some(ToDo::Nothing)),
            ("cargo install --path crates/gone", None),
            ("cargo xtask demo --keep", Some(ToDo::Nothing)),
            ("cargo xtask demo  # shows it", Some(ToDo::Nothing)),
            ("cargo xtask demo --kept", None),
            ("cargo xtask dance", None),
            ("cargo dance", None),
            ("export UART_GATEWAY=127.0.0.1:8000", Some(ToDo::Remember)),
            ("uartd", Some(ToDo::Run)),
            ("uart ls", Some(ToDo::Run)),
        ] {
            assert_eq!(what_to_do(command, &tree).ok(), to_do, "{command}");
        }
    }

    #[test]
    fn commands_are_run_and_compared() {
        let session = |document: &str| -> Vec<bool> {
            let mut shell = Shell::default();
            let typed = read(document);
            let ends = typed
                .iter()
                .map(|typed| shell.run(typed, &Tree::default()).is_ok())
                .collect();
            assert_eq!(shell.end("here"), Vec::<String>::new());
            ends
        };
        let good = "```console\n$ export WHO=board\n$ echo hello $WHO\nhello …\n$ printf 'a\\nb\\n'\na\n…\n```\n";
        assert_eq!(session(good), [true, true, true]);
        let bad = "```console\n$ echo hello\nbye\n$ false\n$ true\n$ echo x >&2\nx\n```\n";
        assert_eq!(session(bad), [false, false, true, true]);
        let long = "```console\n$ trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done &\nup\n\
                    $ echo tick; exec sleep 600\ntick\n^C\n```\n";
        assert_eq!(session(long), [true, true]);
    }
}
