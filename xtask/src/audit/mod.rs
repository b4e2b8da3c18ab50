//! `cargo xtask audit`: whether what is depended on may be. Licences, bans, sources and duplicate versions need nothing but the
//! toolchain; known vulnerabilities need a database and a program that reads it, and who has neither is told so.

mod licence;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::run::{cargo, output, root, run};

/// What `cargo xtask audit` can be told.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Leave out known vulnerabilities: what is left needs nothing but the toolchain
    #[arg(long)]
    no_advisories: bool,
    /// The database of advisories, as a folder; without it, the one that cargo-deny keeps
    #[arg(long, env = "UARTNET_ADVISORIES", value_name = "FOLDER")]
    database: Option<PathBuf>,
}

/// What deny.toml says, as far as we read it ourselves.
#[derive(Debug, Deserialize)]
struct Rules {
    licenses: Licences,
    bans: Bans,
}

#[derive(Debug, Deserialize)]
struct Licences {
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Debug, Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
}

/// What cargo says of the packages that are built in.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
}

/// Checks everything that can be checked.
///
/// # Errors
/// Something may not be depended on, is known to be vulnerable, or that could not be found out.
pub(crate) fn audit(options: &Options) -> Result<()> {
    let rules =
        std::fs::read_to_string(root().join("deny.toml")).context("cannot read deny.toml")?;
    let rules: Rules = toml::from_str(&rules).context("deny.toml")?;
    let metadata = metadata()?;
    let foreign = || metadata.packages.iter().filter(|it| it.source.is_some());
    println!("{} packages of others", foreign().count());
    let wrong = wrong(&metadata.packages, &rules);
    wrong.iter().for_each(|sentence| println!("✗ {sentence}"));
    duplicates(&metadata.packages)
        .iter()
        .for_each(|sentence| println!("· {sentence}"));
    ensure!(wrong.is_empty(), "{} packages may not be used", wrong.len());
    println!("✓ licences, bans and sources are as deny.toml wants them");
    if options.no_advisories {
        println!("· known vulnerabilities were NOT looked for (--no-advisories)");
        return Ok(());
    }
    advisories(options)
}

/// The machine we are on: what is built for others may not even be downloaded.
fn host() -> Result<String> {
    let compiler = output(Command::new("rustc").arg("-vV"))?;
    let host = compiler
        .lines()
        .find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

fn metadata() -> Result<Metadata> {
    let told = output(&mut cargo(&[
        "metadata",
        "--format-version=1",
        "--locked",
        "--offline",
        "--filter-platform",
        &host()?,
    ]))?;
    serde_json::from_str(&told).context("cargo metadata")
}

/// A sentence for each package that may not be used.
fn wrong(packages: &[Package], rules: &Rules) -> Vec<String> {
    let mut wrong = Vec::new();
    for Package {
        name,
        version,
        license,
        source,
    } in packages
    {
        let Some(source) = source else { continue };
        if rules.bans.deny.iter().any(|ban| ban.name == *name) {
            wrong.push(format!("{name} {version} is banned"));
        }
        if !source.starts_with("registry+") {
            wrong.push(format!("{name} {version} does not come from the registry"));
        }
        match license {
            None => wrong.push(format!("{name} {version} names no licence")),
            Some(text) if !licence::is_allowed(text, &rules.licenses.allow) => {
                wrong.push(format!("{name} {version} is under \"{text}\""));
            }
            Some(_) => {}
        }
    }
    wrong
}

/// A sentence for each package that is there in several versions.
fn duplicates(packages: &[Package]) -> Vec<String> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages {
        versions
            .entry(&package.name)
            .or_default()
            .push(&package.version);
    }
    let several = versions.iter().filter(|(_, versions)| versions.len() > 1);
    several
        .map(|(name, versions)| format!("{name} is there in versions {}", versions.join(" and ")))
        .collect()
}

/// Known vulnerabilities, by cargo-deny or cargo-audit, from a database that is here.
fn advisories(options: &Options) -> Result<()> {
    let has = |tool: &str| output(&mut cargo(&[tool, "--version"])).is_ok();
    let mut command = match &options.database {
        Some(folder) if has("audit") => {
            let mut command = cargo(&["audit", "--no-fetch", "--stale", "--db"]);
            command.arg(folder);
            command
        }
        None if has("deny") => {
            let mut command = cargo(&["deny", "--offline", "--target"]);
            command.arg(host()?).args(["check", "advisories"]);
            command
        }
        None if has("audit") => cargo(&["audit", "--no-fetch", "--stale"]),
        _ => bail!(
            "known vulnerabilities were NOT looked for: install cargo-deny (or cargo-audit, which --database needs) \
             and its database; --no-advisories leaves this out"
        ),
    };
    run(&mut command).context(
        "vulnerabilities are known, or they were NOT looked for because there is no database here",
    )?;
    println!("✓ no vulnerability is known in what is used");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, license: Option<&str>, source: Option<&str>) -> Package {
        Package {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            license: license.map(str::to_owned),
            source: source.map(str::to_owned),
        }
    }

    #[test]
    fn what_may_not_be_used_is_named_with_the_reason() {
        let rules = Rules {
            licenses: Licences {
                allow: vec!["MIT".to_owned()],
            },
            bans: Bans {
                deny: vec![Ban {
                    name: "openssl-sys".to_owned(),
                }],
            },
        };
        let registry = Some("registry+somewhere");
        for (package, reason) in [
            (package("a", Some("MIT"), registry), None),
            (package("ours", None, None), None),
            (
                package("b", Some("GPL-3.0"), registry),
                Some("b 1.0.0 is under \"GPL-3.0\""),
            ),
            (
                package("c", None, registry),
                Some("c 1.0.0 names no licence"),
            ),
            (
                package("d", Some("MIT"), Some("git+somewhere")),
                Some("d 1.0.0 does not come from the registry"),
            ),
            (
                package("openssl-sys", Some("MIT"), registry),
                Some("openssl-sys 1.0.0 is banned"),
            ),
        ] {
            let wrong = wrong(&[package], &rules);
            assert_eq!(wrong.first().map(String::as_str), reason);
        }
    }

    #[test]
    fn a_second_version_is_told() {
        let old = package("a", None, None);
        let mut new = package("a", None, None);
        new.version = "2.0.0".to_owned();
        assert_eq!(
            duplicates(&[old, package("b", None, None), new]),
            ["a is there in versions 1.0.0 and 2.0.0"]
        );
    }
}
