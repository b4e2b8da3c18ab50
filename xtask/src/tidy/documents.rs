//! What documents refer to: links, paths, example configurations, tasks.

use anyhow::Result;
use clap::CommandFactory;

use super::sources::numbered;
use super::tree::Tree;

/// Folders whose paths are recognised where a document writes them as code.
const FOLDERS: &[&str] = &[
    "crates/",
    "tests/",
    "xtask/",
    "docs/",
    "examples/",
    "fuzz/",
    "simulation/",
];

/// The changelog tells of the past, where files had other names.
const HISTORY: &str = "CHANGELOG.md";

/// Links to files of this repository that are not there, or to headings that are not in them.
pub(super) fn broken_links(tree: &Tree) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (path, text) in tree.with_ending(".md") {
        for (number, line) in prose(text) {
            for target in link_targets(line) {
                if target.contains("://") || target.starts_with("mailto:") {
                    continue;
                }
                if let Some(problem) = problem_with_link(tree, path, &target) {
                    found.push(format!(
                        "{path}:{number}: the link to {target} leads nowhere: {problem}"
                    ));
                }
            }
        }
    }
    Ok(found)
}

/// Paths written as code that are not there. `NAME` in a path stands for the reader's own.
pub(super) fn missing_paths(tree: &Tree) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (path, text) in tree.with_ending(".md").filter(|(path, _)| *path != HISTORY) {
        for (number, line) in prose(text) {
            for span in code_spans(line) {
                let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
                let is_path = FOLDERS.iter().any(|folder| span.starts_with(folder))
                    && span.chars().all(plain)
                    && !span.contains("NAME");
                if is_path && !tree.has(span) {
                    found.push(format!("{path}:{number}: there is no {span}"));
                }
            }
        }
    }
    Ok(found)
}

/// Tests that documents name, as `FILE::NAME`, and that are not there.
pub(super) fn missing_tests(tree: &Tree) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (path, text) in tree.with_ending(".md").filter(|(path, _)| *path != HISTORY) {
        for (number, line) in prose(text) {
            for span in code_spans(line) {
                let Some((file, name)) = span.split_once("::") else {
                    continue;
                };
                if !FOLDERS.iter().any(|folder| file.starts_with(folder)) {
                    continue;
                }
                let is_there = |text: &str| text.contains(&format!("fn {name}("));
                if !tree.text(file).is_ok_and(is_there) {
                    found.push(format!(
                        "{path}:{number}: there is no test {name} in {file}"
                    ));
                }
            }
        }
    }
    Ok(found)
}

/// Example configurations that no document leads to.
pub(super) fn unmentioned_examples(tree: &Tree) -> Result<Vec<String>> {
    let examples = tree
        .with_ending(".toml")
        .filter_map(|(path, _)| path.strip_prefix("examples/"));
    Ok(examples
        .filter(|name| {
            !tree
                .with_ending(".md")
                .any(|(_, text)| text.contains(*name))
        })
        .map(|name| format!("examples/{name} is mentioned in no document"))
        .collect())
}

/// `cargo xtask` commands that do not exist.
pub(super) fn unknown_tasks(tree: &Tree) -> Result<Vec<String>> {
    let command = crate::Cli::command();
    let known: Vec<&str> = command
        .get_subcommands()
        .map(|task| task.get_name())
        .collect();
    let mut found = Vec::new();
    for (path, text) in tree.with_ending(".md").filter(|(path, _)| *path != HISTORY) {
        for (number, line) in numbered(text) {
            for rest in line.split("cargo xtask ").skip(1) {
                let task: String = rest
                    .chars()
                    .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
                    .collect();
                if !task.is_empty() && !task.starts_with('-') && !known.contains(&task.as_str()) {
                    found.push(format!(
                        "{path}:{number}: there is no task \"{task}\"; there are {}",
                        known.join(", ")
                    ));
                }
            }
        }
    }
    Ok(found)
}

/// The two commands that README owes its reader.
pub(super) fn readme_without_commands(tree: &Tree) -> Result<Vec<String>> {
    let readme = tree.text("README.md")?;
    Ok(["cargo xtask demo", "cargo xtask test"]
        .iter()
        .filter(|command| !readme.contains(**command))
        .map(|command| format!("README.md does not name `{command}`"))
        .collect())
}

/// The lines outside fenced blocks, counted from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    numbered(text).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// What stands between backticks.
fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The targets of `[text](target)`. Code is left out, for it may show a link without being one.
fn link_targets(line: &str) -> Vec<String> {
    let outside_code = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
    let targets = outside_code.split("](").skip(1);
    targets
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.trim().to_owned())
        .collect()
}

fn problem_with_link(tree: &Tree, from: &str, target: &str) -> Option<String> {
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let file = if path.is_empty() {
        from.to_owned()
    } else {
        resolve(from, path)
    };
    if !tree.has(&file) {
        return Some(format!("there is no {file}"));
    }
    if anchor.is_empty() || !file.ends_with(".md") {
        return None;
    }
    let text = tree.text(&file).ok()?;
    let mut headings = prose(text)
        .filter(|(_, line)| line.starts_with('#'))
        .map(|(_, line)| slug(line));
    headings
        .all(|heading| heading != anchor)
        .then(|| format!("{file} has no heading \"{anchor}\""))
}

/// The path from the root that `path` means in the file `from`.
fn resolve(from: &str, path: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// The anchor that a heading gets: lower case, blanks as hyphens, punctuation left out.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_must_lead_somewhere() {
        let tree = Tree::of(&[
            (
                "README.md",
                "# A `b`, c\n[x](docs/wire.md#frames-and-more) [y](#a-b-c) [z](https://h/) `[q](nowhere)`\n",
            ),
            (
                "docs/wire.md",
                "## Frames, and more\n[up](../README.md) [gone](config.md)\n[no](wire.md#missing)\n",
            ),
        ]);
        let found = broken_links(&tree).unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].starts_with("docs/wire.md:2: ") && found[0].contains("docs/config.md"),
            "{found:?}"
        );
        assert!(found[1].contains("missing"), "{found:?}");
    }

    #[test]
    fn a_test_that_is_named_must_be_there() {
        let tree = Tree::of(&[
            (
                "docs/guarantees.md",
                "`tests/a.rs::there` `tests/a.rs::gone`\n`tests/b.rs::there` `std::fmt`\n",
            ),
            ("tests/a.rs", "#[test]\nfn there() {}\n"),
        ]);
        let found = missing_tests(&tree).unwrap();
        assert_eq!(
            found,
            [
                "docs/guarantees.md:1: there is no test gone in tests/a.rs",
                "docs/guarantees.md:2: there is no test there in tests/b.rs"
            ]
        );
    }

    #[test]
    fn fenced_blocks_are_not_prose() {
        let tree = Tree::of(&[("README.md", "```\n[x](nowhere) `crates/none`\n```\n")]);
        assert!(broken_links(&tree).unwrap().is_empty());
        assert!(missing_paths(&tree).unwrap().is_empty());
    }

    #[test]
    fn paths_written_as_code_must_exist() {
        let text = "`crates/hub` and `crates/hub/src/lib.rs`, `crates/gone`, `crates/*/src`, `crates/NAME`\n";
        let tree = Tree::of(&[
            ("A.md", text),
            ("CHANGELOG.md", text),
            ("crates/hub/src/lib.rs", ""),
        ]);
        assert_eq!(
            missing_paths(&tree).unwrap(),
            ["A.md:1: there is no crates/gone"]
        );
    }

    #[test]
    fn examples_must_be_mentioned() {
        let tree = Tree::of(&[
            ("examples/a.toml", ""),
            ("examples/b.toml", ""),
            ("docs/c.md", "see examples/a.toml"),
        ]);
        assert_eq!(
            unmentioned_examples(&tree).unwrap(),
            ["examples/b.toml is mentioned in no document"]
        );
    }

    #[test]
    fn tasks_must_exist() {
        let tree = Tree::of(&[(
            "A.md",
            "`cargo xtask demo`, cargo xtask dance, `cargo xtask`, cargo xtask --help\n",
        )]);
        let found = unknown_tasks(&tree).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("\"dance\""), "{found:?}");
    }

    #[test]
    fn readme_must_name_both_commands() {
        let tree = Tree::of(&[("README.md", "cargo xtask demo\n")]);
        assert_eq!(
            readme_without_commands(&tree).unwrap(),
            ["README.md does not name `cargo xtask test`"]
        );
    }
}
