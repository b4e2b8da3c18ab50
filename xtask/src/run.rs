//! How other programs are started: from the repository's root, without input, with a deadline.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// How long one program may take. The longest, a first build with all tests on a busy machine of two cores, takes a
/// quarter of this.
const DEADLINE: Duration = Duration::from_secs(40 * 60);

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().map_or_else(|| xtask.clone(), PathBuf::from)
}

/// The cargo that started us, with these arguments, from the repository's root.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(args);
    command
}

/// Runs a program to its end; what it says goes where ours goes.
///
/// # Errors
/// It cannot be started, fails, or does not end.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let mut child = command
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {shown}"))?;
    let deadline = Instant::now() + DEADLINE;
    let status = loop {
        if let Some(status) = child
            .try_wait()
            .with_context(|| format!("cannot ask after {shown}"))?
        {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().ok();
            child.wait().ok();
            bail!(
                "{shown} did not end within {} minutes",
                DEADLINE.as_secs() / 60
            );
        }
        thread::sleep(Duration::from_millis(20));
    };
    ensure!(status.success(), "{shown}: {status}");
    Ok(())
}

/// Runs a program to its end and returns what it printed.
///
/// # Errors
/// It cannot be started or fails; the error has what it said.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {shown}"))?;
    ensure!(
        output.status.success(),
        "{shown}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    let mut words = vec![program.rsplit('/').next().unwrap_or_default().to_owned()];
    words.extend(
        command
            .get_args()
            .map(|argument| quoted(&argument.to_string_lossy())),
    );
    words.join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,?@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("\"{word}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_they_are_typed() {
        let mut command = Command::new("/somewhere/uart");
        command.args(["ask", "board0", "LED ON", ""]);
        assert_eq!(shown(&command), "uart ask board0 \"LED ON\" \"\"");
    }

    #[test]
    fn a_failing_program_is_an_error_with_its_words() {
        let error = output(Command::new("sh").args(["-c", "echo no such thing >&2; exit 3"]))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no such thing") && error.contains('3'),
            "{error}"
        );
    }
}
