//! `cargo xtask fuzz`: every fuzz target, or those named, under libFuzzer for some minutes each. Finding is done here;
//! that what was found stays fixed is what `cargo test` sees to, by replaying `fuzz/corpus`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::run::{output, root, run};

/// The package that cargo-fuzz builds, and where its targets are.
const PACKAGE: &str = "fuzz/libfuzzer";
const TARGETS: &str = "fuzz/libfuzzer/fuzz_targets";

/// The longest input, in bytes: what is found has to fit into the corpus, and targets repeat what is short.
const MAX_LEN: &str = "-max_len=1000";

/// What `cargo xtask fuzz` can be told.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How long each target is fuzzed
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=30))]
    minutes: u64,
    /// Add to `fuzz/corpus` what reaches code that nothing in it reaches
    #[arg(long)]
    keep: bool,
    /// The targets; all when none is named
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
}

/// Fuzzes each target, all of them whatever happens, and sums up.
///
/// # Errors
/// Something that is needed is missing, there is no such target, or something was found.
pub(crate) fn fuzz(options: &Options) -> Result<()> {
    let targets = chosen(&known()?, &options.targets)?;
    ready()?;
    let mut found = Vec::new();
    for target in &targets {
        println!("\n=== {target}: {} min", options.minutes);
        if let Err(error) = fuzz_one(target, options) {
            println!("{error:#}");
            found.push(target.as_str());
        }
    }
    ensure!(
        found.is_empty(),
        "found something: {}. Each input is below {PACKAGE}/artifacts; fix it with a test beside the code, and put the \
         input into fuzz/corpus",
        found.join(", ")
    );
    println!("\nnothing found in {}", targets.join(", "));
    Ok(())
}

fn fuzz_one(target: &str, options: &Options) -> Result<()> {
    // libFuzzer writes into the first folder, and reads the others.
    let scratch = root().join("target/fuzz").join(target);
    let corpus = root().join("fuzz/corpus").join(target);
    fs::create_dir_all(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
    let seconds = format!("-max_total_time={}", 60 * options.minutes);
    run(cargo_fuzz("run", target)
        .args([&scratch, &corpus])
        .args(["--", MAX_LEN, &seconds, "-timeout=10", "-rss_limit_mb=1024"])
        .args(["-print_final_stats=1", "-print_funcs=0", "-verbosity=0"]))?;
    if options.keep {
        run(cargo_fuzz("run", target).args([&corpus, &scratch]).args([
            "--",
            MAX_LEN,
            "-merge=1",
            "-verbosity=0",
        ]))?;
    }
    Ok(())
}

/// `cargo fuzz` by the nightly compiler, which has the instrumentation. Our code has nothing for a sanitizer of memory to
/// find: unsafe code stands in one file, which no target reaches.
fn cargo_fuzz(command: &str, target: &str) -> Command {
    let mut cargo = nightly_cargo();
    cargo.args(["fuzz", command, "--fuzz-dir", PACKAGE]);
    cargo.args(["--sanitizer", "none", target]);
    cargo
}

fn nightly_cargo() -> Command {
    let mut cargo = Command::new("rustup");
    cargo.current_dir(root()).args(["run", "nightly", "cargo"]);
    // The cargo that started us is of another toolchain, and would be used again.
    cargo.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
    cargo
}

fn ready() -> Result<()> {
    output(nightly_cargo().arg("--version")).context(
        "fuzzing needs a nightly compiler, which is not there: `rustup toolchain install nightly` (replaying the corpus \
         does not: `cargo test -p uartnet-fuzz`)",
    )?;
    output(nightly_cargo().args(["fuzz", "--version"])).context(
        "fuzzing needs cargo-fuzz, which is not there: `cargo install cargo-fuzz` (replaying the corpus does not: \
         `cargo test -p uartnet-fuzz`)",
    )?;
    Ok(())
}

fn known() -> Result<Vec<String>> {
    let folder = root().join(TARGETS);
    let entries =
        fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let paths: Vec<PathBuf> = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    let stems = paths.iter().filter_map(|path| path.file_stem());
    let mut names: Vec<String> = stems
        .map(|stem| stem.to_string_lossy().into_owned())
        .collect();
    names.sort();
    ensure!(!names.is_empty(), "there is no target in {TARGETS}");
    Ok(names)
}

fn chosen(known: &[String], named: &[String]) -> Result<Vec<String>> {
    for name in named {
        if !known.contains(name) {
            bail!(
                "there is no fuzz target \"{name}\"; there are {}",
                known.join(", ")
            );
        }
    }
    Ok(if named.is_empty() { known } else { named }.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_chosen_by_name_and_a_typo_is_told() {
        let known = known().unwrap();
        assert!(known.contains(&"rfc2217".to_owned()), "{known:?}");
        assert_eq!(chosen(&known, &[]).unwrap(), known);
        assert_eq!(chosen(&known, &["spec".into()]).unwrap(), ["spec"]);
        let error = chosen(&known, &["spek".into()]).unwrap_err().to_string();
        assert!(
            error.contains("\"spek\"") && error.contains("spec"),
            "{error}"
        );
    }
}
