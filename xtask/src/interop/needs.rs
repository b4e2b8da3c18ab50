//! What foreign software a case needs: whether it is there, and how it is fetched.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use super::folder;
use crate::run::{run, shown};

/// One thing a case needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// A package of Debian's.
    Debian {
        /// Its name.
        package: &'static str,
        /// How to see that it is there.
        proof: Proof,
    },
    /// A package of Python's, in a virtual environment below target/.
    Python {
        /// What to ask for, with its version.
        package: &'static str,
        /// The module that it brings.
        module: &'static str,
    },
    /// A source package of Python's, not unpacked, in [`sources`].
    PythonSource {
        /// What to ask for, with its version.
        package: &'static str,
        /// The archive that it comes in.
        file: &'static str,
    },
    /// To be root, who may make networks and mount.
    Root,
}

/// How to see that something is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// This file exists.
    File(&'static str),
    /// This command succeeds.
    Runs(&'static [&'static str]),
}

/// What a virtual environment is made with.
pub(super) const PYTHON: Need = Need::Debian {
    package: "python3",
    proof: Proof::Runs(&["python3", "-c", "import socket"]),
};
/// Debian's python3 comes without the module that makes environments.
pub(super) const PYTHON_VENV: Need = Need::Debian {
    package: "python3-venv",
    proof: Proof::Runs(&["python3", "-c", "import venv, ensurepip"]),
};

impl Need {
    /// The package's name.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Need::Debian { package, .. } | Need::Python { package, .. } => package,
            // The same package may be needed in both forms, so the archive's name tells them apart.
            Need::PythonSource { file, .. } => file,
            Need::Root => "root",
        }
    }

    fn is_there(&self) -> bool {
        match self {
            Need::Debian {
                proof: Proof::File(path),
                ..
            } => Path::new(path).exists(),
            Need::Debian {
                proof: Proof::Runs(words),
                ..
            } => succeeds(Command::new(words[0]).args(&words[1..])),
            Need::PythonSource { file, .. } => {
                sources().is_ok_and(|folder| folder.join(file).is_file())
            }
            Need::Root => is_root(),
            Need::Python { module, .. } => python().is_ok_and(|python| {
                succeeds(Command::new(python).args(["-c", &format!("import {module}")]))
            }),
        }
    }
}

/// The Python of the virtual environment.
///
/// # Errors
/// The folder it belongs into cannot be made.
pub(super) fn python() -> Result<PathBuf> {
    Ok(folder("python")?.join("bin/python"))
}

/// Where source packages are.
///
/// # Errors
/// The folder cannot be made.
pub(super) fn sources() -> Result<PathBuf> {
    folder("python-sources")
}

/// Fetches what is missing.
///
/// # Errors
/// It cannot be had; the error says what to type.
pub(super) fn install(needs: &[&Need]) -> Result<()> {
    let debian = missing(needs, |need| matches!(need, Need::Debian { .. }));
    if !debian.is_empty() {
        let mut install = Command::new("apt-get");
        install
            .args(["install", "--yes", "--no-install-recommends"])
            .args(&debian);
        if !is_root() {
            bail!(
                "only root can install packages; type: sudo apt-get update && sudo {}",
                shown(&install)
            );
        }
        run(Command::new("apt-get")
            .arg("update")
            .env("DEBIAN_FRONTEND", "noninteractive"))?;
        run(install.env("DEBIAN_FRONTEND", "noninteractive"))?;
    }
    let python_packages = missing(needs, |need| matches!(need, Need::Python { .. }));
    if !python_packages.is_empty() {
        run(Command::new("python3")
            .args(["-m", "venv"])
            .arg(folder("python")?))?;
        let mut pip = Command::new(python()?);
        run(pip
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ])
            .args(&python_packages))?;
    }
    for need in needs.iter().filter(|need| !need.is_there()) {
        if let Need::PythonSource { package, .. } = need {
            run(Command::new(python()?)
                .args(["-m", "pip", "download", "--quiet"])
                .args(["--disable-pip-version-check", "--no-deps"])
                .args(["--no-binary", ":all:", "--dest"])
                .arg(sources()?)
                .arg(package))?;
        }
    }
    Ok(())
}

/// Says what is still missing.
///
/// # Errors
/// Something is.
pub(super) fn demand(needs: &[&Need]) -> Result<()> {
    if needs.contains(&&Need::Root) && !is_root() {
        bail!("only root can do this; type: sudo cargo xtask interop");
    }
    let missing = missing(needs, |_| true);
    if !missing.is_empty() {
        bail!(
            "missing: {}; `cargo xtask interop --install` fetches them",
            missing.join(", ")
        );
    }
    Ok(())
}

/// The names of those that are not there, each once.
fn missing(needs: &[&Need], kind: impl Fn(&Need) -> bool) -> Vec<&'static str> {
    let mut names = Vec::new();
    for need in needs.iter().filter(|need| kind(need)) {
        if !names.contains(&need.name()) && !need.is_there() {
            names.push(need.name());
        }
    }
    names
}

fn is_root() -> bool {
    succeeds(Command::new("sh").args(["-c", "test \"$(id -u)\" = 0"]))
}

fn succeeds(command: &mut Command) -> bool {
    let quiet = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    const THERE: Need = Need::Debian {
        package: "bash",
        proof: Proof::Runs(&["bash", "-c", "true"]),
    };
    const GONE: Need = Need::Debian {
        package: "no-such-thing",
        proof: Proof::File("/no/such/file"),
    };
    const BROKEN: Need = Need::Debian {
        package: "broken",
        proof: Proof::Runs(&["/no/such/program"]),
    };

    #[test]
    fn what_is_missing_is_named_once() {
        assert!(demand(&[&THERE]).is_ok());
        let error = demand(&[&THERE, &GONE, &GONE, &BROKEN])
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("missing: no-such-thing, broken; "),
            "{error}"
        );
    }
}
