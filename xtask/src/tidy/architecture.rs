//! What ARCHITECTURE.md says of the crates: which there are, what each builds on, and what each does not know.
//!
//! The table is understood as it is written for people: a header with the columns `builds on` and `does not know`, a row
//! for each folder. A word in these columns counts when it is the name of a folder in `crates/` or of a package; every
//! other word is prose. `all of the above` and `internals` mean what they say.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

use super::sources::numbered;
use super::tree::Tree;
use crate::run::{cargo, output};

const MAP: &str = "ARCHITECTURE.md";

/// Crates that ARCHITECTURE.md names and that are not there, and the other way round.
pub(super) fn crate_names(tree: &Tree) -> Result<Vec<String>> {
    let text = tree.text(MAP)?;
    let crates = tree.crates();
    let mut found = Vec::new();
    let mut named = Vec::new();
    for (number, line) in numbered(text) {
        for rest in line.split("crates/").skip(1) {
            let name: String = rest
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
                .collect();
            if !name.is_empty() && !crates.contains(&name.as_str()) {
                found.push(format!("{MAP}:{number}: there is no crates/{name}"));
            }
            named.push(name);
        }
    }
    let forgotten = crates
        .iter()
        .filter(|name| !named.iter().any(|other| other == *name));
    found.extend(forgotten.map(|name| format!("{MAP} does not mention crates/{name}")));
    Ok(found)
}

/// Where the table of who knows whom is not what cargo says.
pub(super) fn who_knows_whom(tree: &Tree) -> Result<Vec<String>> {
    let rows = rows(tree.text(MAP)?);
    let packages = packages()?;
    let lock = tree.text("Cargo.lock")?;
    let mut found: Vec<String> = packages
        .keys()
        .filter(|folder| !rows.iter().any(|row| row.folder == **folder))
        .map(|folder| format!("the table in {MAP} has no row for `{folder}`"))
        .collect();
    for (index, row) in rows.iter().enumerate() {
        let Some(package) = packages.get(&row.folder) else {
            found.push(format!(
                "{MAP}:{}: there is no package in `{}`",
                row.line, row.folder
            ));
            continue;
        };
        let reached = reached(&package.name)?;
        found.extend(problems(
            row,
            &rows[..index],
            package,
            &reached,
            &packages,
            lock,
        ));
    }
    Ok(found)
}

/// One row of the table.
#[derive(Debug)]
struct Row {
    line: usize,
    folder: String,
    builds_on: String,
    does_not_know: String,
}

/// One package of the workspace.
#[derive(Debug)]
struct Package {
    name: String,
    /// The names of the packages it needs, and whether each is one of ours; of others only those it needs with any features.
    needs: Vec<(String, bool)>,
}

fn rows(text: &str) -> Vec<Row> {
    let mut columns: Option<(usize, usize)> = None;
    let mut rows = Vec::new();
    for (line, content) in numbered(text) {
        if !content.trim_start().starts_with('|') {
            columns = None;
            continue;
        }
        let cells: Vec<&str> = content
            .trim()
            .trim_matches('|')
            .split('|')
            .map(str::trim)
            .collect();
        let Some((builds_on, does_not_know)) = columns else {
            let column = |title: &str| {
                cells
                    .iter()
                    .position(|cell| cell.eq_ignore_ascii_case(title))
            };
            columns = column("builds on").zip(column("does not know"));
            continue;
        };
        let cell = |index: usize| cells.get(index).map(|cell| (*cell).to_owned());
        let folder = cells[0].split('`').nth(1).map(str::to_owned);
        if let (Some(folder), Some(builds_on), Some(does_not_know)) =
            (folder, cell(builds_on), cell(does_not_know))
        {
            rows.push(Row {
                line,
                folder,
                builds_on,
                does_not_know,
            });
        }
    }
    rows
}

fn problems(
    row: &Row,
    above: &[Row],
    package: &Package,
    reached: &[String],
    packages: &BTreeMap<String, Package>,
    lock: &str,
) -> Vec<String> {
    let mut found = Vec::new();
    let mut say =
        |sentence: String| found.push(format!("{MAP}:{}: `{}` {sentence}", row.line, row.folder));
    let folder_of = |name: &str| {
        packages
            .iter()
            .find(|(_, other)| other.name == name)
            .map(|(folder, _)| folder.as_str())
    };
    let named = |column: &str, name: &str| {
        let short = folder_of(name).map(|folder| folder.trim_start_matches("crates/"));
        words(column).any(|word| word == name || Some(word) == short)
    };
    let all_above = row.builds_on.contains("all of the above");

    for (name, ours) in &package.needs {
        let is_above =
            folder_of(name).is_some_and(|folder| above.iter().any(|other| other.folder == folder));
        let allowed = named(&row.builds_on, name) || all_above && is_above;
        // Only a crate that stays free of tokio is held to a complete list of what it builds on.
        if !allowed && (*ours || named(&row.does_not_know, "tokio")) {
            say(format!("builds on {name}, and the table does not say so"));
        }
    }
    for word in words(&row.builds_on) {
        let name = packages
            .get(&format!("crates/{word}"))
            .map(|other| other.name.as_str());
        if let Some(name) = name
            && !package.needs.iter().any(|(needed, _)| needed == name)
        {
            say(format!("is said to build on {word}, and does not"));
        }
    }
    for word in words(&row.does_not_know) {
        let forbidden: Vec<&str> = if word == "internals" {
            let inner = packages
                .iter()
                .filter(|(folder, _)| folder.starts_with("crates/"));
            inner.map(|(_, other)| other.name.as_str()).collect()
        } else if let Some(other) = packages.get(&format!("crates/{word}")) {
            vec![&other.name]
        } else if lock.contains(&format!("\nname = \"{word}\"\n")) {
            vec![word]
        } else {
            continue;
        };
        for name in forbidden
            .iter()
            .filter(|name| reached.iter().any(|reached| reached == *name))
        {
            say(format!("must not know {name}, and reaches it"));
        }
    }
    found
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')))
        .filter(|word| !word.is_empty())
}

/// The workspace's packages by folder, from cargo.
fn packages() -> Result<BTreeMap<String, Package>> {
    let metadata = output(&mut cargo(&[
        "metadata",
        "--no-deps",
        "--format-version",
        "1",
    ]))?;
    let metadata: Value =
        serde_json::from_str(&metadata).context("cargo metadata printed no JSON")?;
    let root = metadata["workspace_root"]
        .as_str()
        .context("cargo metadata names no workspace_root")?;
    let list = metadata["packages"]
        .as_array()
        .context("cargo metadata lists no packages")?;
    list.iter()
        .map(|package| understand(package, root).context("cargo metadata has an odd package"))
        .collect()
}

fn understand(package: &Value, root: &str) -> Option<(String, Package)> {
    let manifest = package["manifest_path"].as_str()?;
    let folder = manifest
        .strip_prefix(root)?
        .trim_start_matches('/')
        .strip_suffix("/Cargo.toml")?;
    let needs = package["dependencies"].as_array()?.iter();
    let is_ours = |need: &Value| need["path"].is_string();
    let needs = needs.filter(|need| need["kind"].is_null());
    let needs = needs.filter(|need| need["optional"] == false || is_ours(need));
    let needs = needs.filter_map(|need| Some((need["name"].as_str()?.to_owned(), is_ours(need))));
    Some((
        folder.to_owned(),
        Package {
            name: package["name"].as_str()?.to_owned(),
            needs: needs.collect(),
        },
    ))
}

/// The names of all packages that this one reaches, itself left out, with its default features and nothing else built.
fn reached(name: &str) -> Result<Vec<String>> {
    let tree = output(&mut cargo(&[
        "tree", "-p", name, "--edges", "normal", "--prefix", "none", "--format", "{p}",
    ]))?;
    Ok(tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .skip(1)
        .map(str::to_owned)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
text

| crate | what | builds on | does not know |
|---|---|---|---|
| `crates/proto` | frames | bytes, serde | tokio, clocks |
| `crates/hub` | one port | `proto` (vocabulary), bytes | tokio, `client` |
| `crates/server` | the daemon | all of the above, tokio | `client` |
| `crates/client` | the client | `proto` | `server`, the hub |
| `tests` | end to end | the binaries | internals |
";

    fn package(name: &str, needs: &[(&str, bool)]) -> Package {
        let needs = needs
            .iter()
            .map(|(name, ours)| ((*name).to_owned(), *ours))
            .collect();
        Package {
            name: name.to_owned(),
            needs,
        }
    }

    fn world() -> BTreeMap<String, Package> {
        BTreeMap::from([
            (
                "crates/proto".to_owned(),
                package("u-proto", &[("bytes", false), ("serde", false)]),
            ),
            (
                "crates/hub".to_owned(),
                package("u-hub", &[("u-proto", true), ("bytes", false)]),
            ),
            (
                "crates/server".to_owned(),
                package(
                    "u-server",
                    &[("u-proto", true), ("u-hub", true), ("tokio", false)],
                ),
            ),
            (
                "crates/client".to_owned(),
                package("u-client", &[("u-proto", true), ("clap", false)]),
            ),
            ("tests".to_owned(), package("u-tests", &[])),
        ])
    }

    fn judge(folder: &str, package: &Package, reached: &[&str]) -> Vec<String> {
        let rows = rows(TABLE);
        let index = rows.iter().position(|row| row.folder == folder).unwrap();
        let reached: Vec<String> = reached.iter().map(|name| (*name).to_owned()).collect();
        let lock = "\nname = \"tokio\"\nversion\n\nname = \"bytes\"\n";
        problems(
            &rows[index],
            &rows[..index],
            package,
            &reached,
            &world(),
            lock,
        )
    }

    #[test]
    fn the_table_is_read() {
        let rows = rows(TABLE);
        assert_eq!(rows.len(), 5);
        assert_eq!(
            (
                rows[0].line,
                rows[0].folder.as_str(),
                rows[0].builds_on.as_str()
            ),
            (5, "crates/proto", "bytes, serde")
        );
    }

    #[test]
    fn a_workspace_as_described_is_tidy() {
        for (folder, package) in world() {
            let needs: Vec<&str> = package
                .needs
                .iter()
                .map(|(name, _)| name.as_str())
                .collect();
            let found = judge(&folder, &package, &needs);
            assert!(found.is_empty(), "{found:?}");
        }
    }

    #[test]
    fn every_kind_of_lie_is_found() {
        for (folder, needs, reached, said) in [
            (
                "crates/proto",
                &[("bytes", false), ("rand", false)][..],
                &[][..],
                "builds on rand",
            ),
            (
                "crates/proto",
                &[("bytes", false)],
                &["tokio"],
                "must not know tokio",
            ),
            (
                "crates/hub",
                &[("u-proto", true), ("u-server", true)],
                &[],
                "builds on u-server",
            ),
            (
                "crates/hub",
                &[("bytes", false)],
                &[],
                "said to build on proto",
            ),
            (
                "crates/hub",
                &[("u-proto", true)],
                &["u-client"],
                "must not know u-client",
            ),
            (
                "crates/server",
                &[("u-client", true)],
                &["u-client"],
                "builds on u-client",
            ),
            (
                "crates/client",
                &[("u-proto", true)],
                &["u-hub"],
                "must not know u-hub",
            ),
            ("tests", &[], &["u-proto"], "must not know u-proto"),
        ] {
            let found = judge(folder, &package("it", needs), reached);
            assert!(
                found.iter().any(|sentence| sentence.contains(said)),
                "{folder}: {found:?} lacks {said:?}"
            );
        }
    }

    #[test]
    fn crates_are_named_both_ways() {
        let tree = Tree::of(&[
            (MAP, "`crates/proto` and crates/gone/src/x.rs\n"),
            ("crates/proto/Cargo.toml", ""),
            ("crates/hub/Cargo.toml", ""),
        ]);
        let found = crate_names(&tree).unwrap();
        assert_eq!(
            found,
            [
                "ARCHITECTURE.md:1: there is no crates/gone",
                "ARCHITECTURE.md does not mention crates/hub"
            ]
        );
    }
}
