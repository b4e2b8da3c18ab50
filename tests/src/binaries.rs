//! Where the two binaries are, built from the sources as they are now. Not how they are started.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

/// The freshly built binaries.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// The gateway daemon.
    pub uartd: PathBuf,
    /// The client.
    pub uart: PathBuf,
}

/// The binaries, built on first use in this process and with the profile this process was built with.
///
/// Cargo builds the binaries of *other* packages neither for a test nor after an edit, so whoever runs
/// `cargo test -p uartnet-tests` would otherwise test yesterday's, or none.
///
/// # Errors
/// Cargo's own words when the build fails.
pub fn binaries() -> Result<&'static Binaries> {
    static BUILT: OnceLock<Result<Binaries, String>> = OnceLock::new();
    BUILT
        .get_or_init(|| build().map_err(|error| format!("{error:#}")))
        .as_ref()
        .map_err(|error| anyhow!("{error}"))
}

fn build() -> Result<Binaries> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut command = Command::new(cargo);
    command.current_dir(root).args([
        "build",
        "--workspace",
        "--bins",
        "--message-format=json-render-diagnostics",
    ]);
    command.args(["--profile", &own_profile()?]);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        bail!(
            "the binaries do not build:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    Ok(Binaries {
        uartd: executable(&messages, "uartd")?,
        uart: executable(&messages, "uart")?,
    })
}

/// The profile's name, from where this executable lies: `target/debug/deps/x`, `target/release/xtask`.
fn own_profile() -> Result<String> {
    let this = env::current_exe().context("cannot find out where this executable is")?;
    let folder = this
        .ancestors()
        .skip(1)
        .filter_map(|folder| folder.file_name())
        .find(|name| *name != "deps")
        .with_context(|| format!("{} lies in no folder of a profile", this.display()))?;
    Ok(match folder.to_string_lossy().as_ref() {
        "debug" => "dev".to_owned(),
        other => other.to_owned(),
    })
}

/// Cargo's messages are one JSON object a line; an artifact that can be run says where it is.
fn executable(messages: &str, name: &str) -> Result<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .with_context(|| format!("cargo built no binary called {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_found_among_other_messages() {
        let messages = concat!(
            "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"uart\"},\"executable\":null}\n",
            "not json\n",
            "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"uart\"},\"executable\":\"/t/uart\"}\n",
        );
        assert_eq!(
            executable(messages, "uart").unwrap(),
            PathBuf::from("/t/uart")
        );
        assert!(executable(messages, "uartd").is_err());
    }

    #[test]
    fn tests_are_built_with_a_profile_cargo_knows() {
        assert!(["dev", "release"].contains(&own_profile().unwrap().as_str()));
    }
}
