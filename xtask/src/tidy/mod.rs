//! `cargo xtask tidy`: what ARCHITECTURE.md, the documents and the sources claim of themselves and can be checked, is
//! checked, and the commands of README and docs/interpreters.md are run. Every check is one entry of [`CHECKS`].

mod architecture;
mod documents;
mod readme;
mod sources;
mod transcript;
mod tree;

use anyhow::{Result, ensure};

use tree::Tree;

/// What `cargo xtask tidy` can be told.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only read: do not run the commands of README and docs/interpreters.md
    #[arg(long)]
    no_run: bool,
}

struct Check {
    what: &'static str,
    find: fn(&Tree) -> Result<Vec<String>>,
}

/// Every check. Each returns what it found wrong, a sentence each, with file and line where there is one.
const CHECKS: &[Check] = &[
    Check {
        what: "every source file says in its first line what it is for",
        find: sources::without_purpose,
    },
    Check {
        what: "unsafe code stands in one file only",
        find: sources::unsafe_elsewhere,
    },
    Check {
        what: "no file names a package registry's host",
        find: sources::registry_hosts,
    },
    Check {
        what: "ARCHITECTURE.md names every crate, and no other",
        find: architecture::crate_names,
    },
    Check {
        what: "crates know whom ARCHITECTURE.md says, and nobody else",
        find: architecture::who_knows_whom,
    },
    Check {
        what: "links between documents resolve",
        find: documents::broken_links,
    },
    Check {
        what: "paths that documents name exist",
        find: documents::missing_paths,
    },
    Check {
        what: "tests that documents name exist",
        find: documents::missing_tests,
    },
    Check {
        what: "every example configuration is mentioned in a document",
        find: documents::unmentioned_examples,
    },
    Check {
        what: "tasks that documents name exist",
        find: documents::unknown_tasks,
    },
    Check {
        what: "README says how to see it work and how to test it",
        find: documents::readme_without_commands,
    },
];

const RUN_README: Check = Check {
    what: "the commands of README and docs/interpreters.md do what they show",
    find: readme::run_commands,
};

/// Runs every check and prints what each found.
///
/// # Errors
/// Something was found, or a check could not be made.
pub(crate) fn tidy(options: &Options) -> Result<()> {
    let tree = Tree::read(&crate::run::root())?;
    let mut untidy = 0;
    for check in CHECKS
        .iter()
        .chain((!options.no_run).then_some(&RUN_README))
    {
        let found = (check.find)(&tree)
            .unwrap_or_else(|error| vec![format!("cannot be checked: {error:#}")]);
        println!(
            "{} {}",
            if found.is_empty() { "✓" } else { "✗" },
            check.what
        );
        found.iter().for_each(|sentence| println!("    {sentence}"));
        untidy += found.len();
    }
    ensure!(untidy == 0, "{untidy} untidy places");
    Ok(())
}
