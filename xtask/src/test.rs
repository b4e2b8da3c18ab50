//! `cargo xtask test` and `cargo xtask e2e`: named steps, all of them run, one summary at the end.

use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail, ensure};

use crate::run::{cargo, run};

/// What `cargo xtask test` can be told.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The steps to run; all when none is named
    #[arg(value_name = "STEP")]
    steps: Vec<String>,
    /// Show the steps and end
    #[arg(long)]
    list: bool,
}

/// What `cargo xtask e2e` can be told.
#[derive(Debug, clap::Args)]
pub(crate) struct E2eOptions {
    /// What follows goes to `cargo test` as it is: the name of a test, `-- --nocapture`
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGS"
    )]
    args: Vec<String>,
}

struct Step {
    name: &'static str,
    what: &'static str,
    command: fn() -> Command,
}

/// Every step, cheap ones first. A new one is one entry here.
const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        what: "the sources are formatted",
        command: || cargo(&["fmt", "--all", "--check"]),
    },
    Step {
        name: "clippy",
        what: "no warnings",
        command: || {
            cargo(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ])
        },
    },
    Step {
        name: "docs",
        what: "the documentation builds without warnings",
        command: docs,
    },
    Step {
        name: "unit",
        what: "the tests of every crate",
        command: || cargo(&["test", "--workspace", "--exclude", "uartnet-tests"]),
    },
    Step {
        name: "e2e",
        what: "end to end: the real binaries",
        command: || cargo(&["test", "-p", "uartnet-tests"]),
    },
    Step {
        name: "demo",
        what: "the demonstration is all right",
        command: || cargo(&["xtask", "demo"]),
    },
    Step {
        name: "audit",
        what: "licences of what is depended on; known vulnerabilities are NOT looked for",
        command: || cargo(&["xtask", "audit", "--no-advisories"]),
    },
    Step {
        name: "soak",
        what: "nothing wrong, stuck or grown after some rounds of everything",
        command: || cargo(&["xtask", "soak", "--rounds", "8"]),
    },
    Step {
        name: "tidy",
        what: "what the documents claim",
        command: || cargo(&["xtask", "tidy"]),
    },
];

/// Runs the steps chosen, all of them whatever happens, and sums up.
///
/// # Errors
/// A step failed, or there is no such step.
pub(crate) fn test(options: &Options) -> Result<()> {
    if options.list {
        STEPS
            .iter()
            .for_each(|step| println!("{:<8}{}", step.name, step.what));
        return Ok(());
    }
    let steps = chosen(&options.steps)?;
    let ends: Vec<(&Step, Result<()>, f32)> = steps
        .into_iter()
        .map(|step| {
            println!("\n=== {}: {}", step.name, step.what);
            let begin = Instant::now();
            let end = run(&mut (step.command)());
            (step, end, begin.elapsed().as_secs_f32())
        })
        .collect();

    println!("\n=== summary");
    for (step, end, seconds) in &ends {
        let (mark, why) = match end {
            Ok(()) => ("✓", String::new()),
            Err(error) => ("✗", format!("  {error:#}")),
        };
        println!(
            "{mark} {:<8}{seconds:>7.1} s  {}{why}",
            step.name, step.what
        );
    }
    let failed: Vec<&str> = ends
        .iter()
        .filter(|(_, end, _)| end.is_err())
        .map(|(step, _, _)| step.name)
        .collect();
    println!(
        "steps: {} passed, {} failed",
        ends.len() - failed.len(),
        failed.len()
    );
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// Runs the end-to-end suite.
///
/// # Errors
/// A test failed.
pub(crate) fn e2e(options: &E2eOptions) -> Result<()> {
    run(cargo(&["test", "-p", "uartnet-tests"]).args(&options.args))
}

fn chosen(names: &[String]) -> Result<Vec<&'static Step>> {
    for name in names {
        if !STEPS.iter().any(|step| step.name == name) {
            let known: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
            bail!(
                "there is no step \"{name}\"; there are {}",
                known.join(", ")
            );
        }
    }
    Ok(STEPS
        .iter()
        .filter(|step| names.is_empty() || names.iter().any(|name| name == step.name))
        .collect())
}

fn docs() -> Command {
    let mut command = cargo(&["doc", "--workspace", "--no-deps"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_chosen_by_name_and_a_typo_is_told() {
        assert_eq!(
            chosen(&[]).map(|steps| steps.len()).unwrap_or(0),
            STEPS.len()
        );
        let names: Vec<&str> = chosen(&["tidy".to_owned(), "fmt".to_owned()])
            .unwrap_or_default()
            .iter()
            .map(|step| step.name)
            .collect();
        assert_eq!(names, ["fmt", "tidy"]);
        let Err(error) = chosen(&["clipy".to_owned()]) else {
            panic!("a typo was taken")
        };
        assert!(
            error.to_string().contains("\"clipy\"") && error.to_string().contains("clippy"),
            "{error}"
        );
    }
}
