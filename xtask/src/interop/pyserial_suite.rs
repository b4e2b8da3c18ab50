//! pyserial's own test suite, from its source package, on a loopback plug behind `rfc2217://`. What its client cannot
//! pass on any server stands here, each with the reason; everything else must pass.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use uartnet_tests::{Daemon, Process, exit_code, uartd_command};

use super::gateway::script;
use super::needs::{Need, PYTHON, PYTHON_VENV, sources};
use super::pyserial_client::PYSERIAL;
use super::{Case, folder, shortened};
use crate::run::run as run_to_end;

pub(super) const CASE: Case = Case {
    name: "pyserial-suite",
    what: "pyserial's own tests over rfc2217:// on a loopback plug: all that its client can pass",
    needs: &[
        PYTHON,
        PYTHON_VENV,
        PYSERIAL,
        Need::PythonSource {
            package: "pyserial==3.5",
            file: ARCHIVE,
        },
    ],
    run,
};

const ARCHIVE: &str = "pyserial-3.5.tar.gz";

/// The modules of the suite, in groups that take about the same time. Each group has a plug of its own, since a plug
/// shared by two clients gives each the other's bytes.
const GROUPS: [&[&str]; 4] = [
    &["test"],
    &["test_advanced"],
    &[
        "test_readline",
        "test_threaded",
        "test_cancel",
        "test_context",
    ],
    &[
        "test_exclusive",
        "test_high_load",
        "test_iolib",
        "test_pty",
        "test_rfc2217",
        "test_rs485",
        "test_settings_dict",
        "test_timeout_class",
        "test_url",
        "test_util",
    ],
];

/// What does not pass, and why. `test_asyncio` is not run: it asks for a module that pyserial 3.5 no longer has.
const CANNOT: &[(&str, &str)] = &[
    (
        "test.Test4_Nonblocking.test2_Loopback",
        "its read with timeout=0 gives one byte at a time, however many have arrived",
    ),
    (
        "test.Test4_Nonblocking.test2_LoopbackTimeout",
        "its read with timeout=0 gives one byte at a time, however many have arrived",
    ),
    (
        "test.Test_MoreTimeouts.test_WriteTimeout",
        "its client has no write timeout, and refuses to open with one",
    ),
    (
        "test_cancel.TestCancelRead.test_cancel_once",
        "its client has no cancel_read",
    ),
    (
        "test_cancel.TestCancelWrite.test_cancel_once",
        "its client has no cancel_write",
    ),
];

/// How many pass, so that a suite which was not found does not pass as a whole.
const PASSING: usize = 51;

fn run() -> Result<()> {
    let unpacked = folder(CASE.name)?;
    run_to_end(
        Command::new("tar")
            .arg("-xzf")
            .arg(sources()?.join(ARCHIVE))
            .arg("-C")
            .arg(&unpacked),
    )?;
    let suite = unpacked
        .join(ARCHIVE.trim_end_matches(".tar.gz"))
        .join("test");

    let mut uartd = uartd_command()?;
    for group in 0..GROUPS.len() {
        uartd
            .args(["--listen", &format!("rfc2217=127.0.0.1:0,plug{group}")])
            .arg(format!("plug{group}=loopback:"));
    }
    let daemon = Daemon::run(&mut uartd, GROUPS.len())?;
    let mut running = Vec::new();
    for (group, modules) in GROUPS.iter().enumerate() {
        let port = format!("plug{group}");
        let mut listening = daemon.listening().iter();
        let listening = listening
            .find(|listening| listening.port.as_deref() == Some(&port))
            .context("a listener is missing")?;
        running.push(start(&suite, &listening.address, modules)?);
    }

    let mut outcomes = BTreeMap::new();
    for process in &mut running {
        let code = exit_code(process.wait()?);
        let said = process.stdout.text();
        ensure!(
            code == 0 && said.ends_with("done\n"),
            "the suite broke off with exit code {code}\n{}",
            process.said()
        );
        for line in said.lines().filter(|line| *line != "done") {
            // Some tests print.
            if let Some((test, outcome)) = outcome(line) {
                // A test and its tear-down may each fail.
                outcomes.entry(test).or_insert(outcome);
            }
        }
    }
    judge(&outcomes)
}

fn start(suite: &Path, address: &str, modules: &[&str]) -> Result<Process> {
    let mut program = script(CASE.name, include_str!("pyserial_suite.py"))?;
    program
        .arg(suite)
        .arg(format!("rfc2217://{address}"))
        .args(modules);
    println!("$ {}", crate::run::shown(&program));
    let mut process = Process::spawn(&mut program)?;
    process.end_input();
    Ok(process)
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

/// The test and its outcome that a line tells of.
fn outcome(line: &str) -> Option<(String, Outcome)> {
    let (word, rest) = line.split_once(' ')?;
    let (test, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let outcome = match word {
        "passed" => Outcome::Passed,
        "failed" => Outcome::Failed(reason.to_owned()),
        "skipped" => Outcome::Skipped(reason.to_owned()),
        _ => return None,
    };
    Some((test.to_owned(), outcome))
}

fn judge(outcomes: &BTreeMap<String, Outcome>) -> Result<()> {
    let cannot: BTreeMap<&str, &str> = CANNOT.iter().copied().collect();
    let mut passed = 0;
    let mut wrong = Vec::new();
    for (test, outcome) in outcomes {
        match (outcome, cannot.get(test.as_str())) {
            (Outcome::Passed, None) => passed += 1,
            (Outcome::Skipped(reason), None) => {
                println!("  skips itself: {test}: {}", shortened(reason))
            }
            (Outcome::Failed(_), Some(why)) => println!("  cannot pass: {test}: {why}"),
            (Outcome::Failed(reason), None) => wrong.push(format!("{test} failed: {reason}")),
            (_, Some(_)) => wrong.push(format!("{test} was expected to fail, and did not")),
        }
    }
    println!("  {passed} tests of pyserial's suite pass");
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    ensure!(
        passed >= PASSING,
        "only {passed} tests of the {PASSING} that pass were run"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_suite_are_told_from_what_tests_print() {
        assert_eq!(
            outcome("failed test.A.b False is not true : CTS -> 0"),
            Some((
                "test.A.b".to_owned(),
                Outcome::Failed("False is not true : CTS -> 0".to_owned())
            ))
        );
        assert_eq!(
            outcome("passed test.A.b"),
            Some(("test.A.b".to_owned(), Outcome::Passed))
        );
        assert_eq!(outcome("hello world"), None);
    }

    #[test]
    fn a_failure_that_is_not_expected_fails_and_so_does_a_suite_that_is_not_there() {
        let passing = || (0..PASSING).map(|number| (format!("t{number}"), Outcome::Passed));
        let outcomes: BTreeMap<String, Outcome> = passing().collect();
        assert!(judge(&outcomes).is_ok());
        let mut failing: BTreeMap<String, Outcome> = passing().collect();
        failing.insert("new".to_owned(), Outcome::Failed("why".to_owned()));
        assert!(judge(&failing).is_err());
        let mut surprising: BTreeMap<String, Outcome> = passing().collect();
        surprising.insert(CANNOT[0].0.to_owned(), Outcome::Passed);
        assert!(judge(&surprising).is_err());
        assert!(judge(&BTreeMap::new()).is_err());
    }
}
