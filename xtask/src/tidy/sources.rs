//! What holds for every source file: its first line, `unsafe`, and names that must not be written down.

use anyhow::Result;

use super::tree::Tree;

/// The one file that may contain unsafe code: the serial ioctls that no safe crate offers.
const UNSAFE_FILE: &str = "crates/uart-iface/src/terminal/ioctl.rs";

/// Written in pieces, so that this file does not contain what it looks for.
const REGISTRY_HOSTS: &[&str] = &[
    concat!("crates", ".io"),
    concat!("docs", ".rs/"),
    concat!("pypi", ".org"),
    concat!("python", "hosted.org"),
    concat!("npm", "js.org"),
    concat!("npm", "js.com"),
    concat!("deb.", "debian.org"),
    concat!("proxy.", "golang.org"),
];

/// Cargo itself writes its registry's name into each entry of a lock file.
const MAY_NAME_REGISTRY: &str = "Cargo.lock";

/// Source files whose first line does not say what they are for.
pub(super) fn without_purpose(tree: &Tree) -> Result<Vec<String>> {
    let silent = |text: &str| {
        !text
            .lines()
            .next()
            .is_some_and(|line| line.starts_with("//! ") && line.len() > 20)
    };
    Ok(tree
        .with_ending(".rs")
        .filter(|(_, text)| silent(text))
        .map(|(path, _)| {
            format!("{path}:1: begins without `//!` and a sentence that says what it is for")
        })
        .collect())
}

/// Unsafe code outside its one file.
pub(super) fn unsafe_elsewhere(tree: &Tree) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (path, text) in tree
        .with_ending(".rs")
        .filter(|(path, _)| *path != UNSAFE_FILE)
    {
        for (number, line) in numbered(text) {
            if holds_unsafe(line.split("//").next().unwrap_or_default()) {
                found.push(format!(
                    "{path}:{number}: unsafe code belongs into {UNSAFE_FILE}"
                ));
            }
        }
    }
    Ok(found)
}

/// Places that name a package registry.
pub(super) fn registry_hosts(tree: &Tree) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (path, text) in tree
        .all()
        .filter(|(path, _)| !path.ends_with(MAY_NAME_REGISTRY))
    {
        for (number, line) in numbered(text) {
            for host in REGISTRY_HOSTS.iter().filter(|host| line.contains(**host)) {
                found.push(format!("{path}:{number}: names {host}"));
            }
        }
    }
    Ok(found)
}

/// The lines of a text, counted from 1.
pub(super) fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
}

/// Whether a line of code uses the keyword as code does: before a block, a function, a trait, an implementation, or to
/// allow the lint. Prose in a string is not meant.
fn holds_unsafe(code: &str) -> bool {
    let keyword = concat!("un", "safe");
    ["{", "fn", "impl", "trait", "extern"]
        .iter()
        .any(|next| code.contains(&format!("{keyword} {next}")))
        || code.contains(&format!("allow({keyword}"))
        || code.trim_end().ends_with(&format!(" {keyword}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_line_must_say_something() {
        let tree = Tree::of(&[
            (
                "crates/a/src/lib.rs",
                "//! What a is for, in one sentence.\n",
            ),
            ("crates/a/src/b.rs", "//! TODO\n"),
            ("crates/a/src/c.rs", "use std::fmt;\n"),
            ("crates/a/src/d.rs", ""),
        ]);
        let found = without_purpose(&tree).unwrap();
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("crates/a/src/b.rs:1: "), "{found:?}");
    }

    #[test]
    fn unsafe_code_is_found_and_prose_is_not() {
        let keyword = concat!("un", "safe");
        let code =
            format!("//! {keyword} {{\nlet x = {keyword} {{ y }};\n#![allow({keyword}_code)]\n");
        let prose =
            format!("// {keyword} fn\nlet a = \"an {keyword} idea\";\n{keyword}_code = \"deny\"\n");
        let tree = Tree::of(&[("a.rs", &code), ("b.rs", &prose), (UNSAFE_FILE, &code)]);
        let found = unsafe_elsewhere(&tree).unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].starts_with("a.rs:2: ") && found[1].starts_with("a.rs:3: "),
            "{found:?}"
        );
    }

    #[test]
    fn a_registry_is_found_everywhere_but_in_the_lock_file() {
        let text = format!("one\nsee {}\n", REGISTRY_HOSTS[0]);
        let tree = Tree::of(&[
            ("README.md", &text),
            ("Cargo.lock", &text),
            ("fuzz/libfuzzer/Cargo.lock", &text),
        ]);
        let found = registry_hosts(&tree).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("README.md:2: "), "{found:?}");
    }
}
