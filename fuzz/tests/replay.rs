//! Replays every corpus against its target, with nothing but cargo: what was found once is not found again, and what was
//! written by hand still does what it was written for. An empty corpus is a failure, not a success.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use uartnet_fuzz::{TARGETS, Target};

/// A corpus of fewer files has lost some.
const FEWEST: usize = 10;
/// One of more files, or of longer ones, was not minimised.
const MOST: usize = 120;
const LONGEST: usize = 1024;

fn corpus_of(target: &str) -> Vec<PathBuf> {
    let folder = root().join("corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn replay(name: &str) {
    let target: &Target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let files = corpus_of(name);
    assert!(
        (FEWEST..=MOST).contains(&files.len()),
        "{} files",
        files.len()
    );
    let mut failed = Vec::new();
    for file in files {
        let data = fs::read(&file).unwrap();
        assert!(
            data.len() <= LONGEST,
            "{} has {} bytes",
            file.display(),
            data.len()
        );
        if catch_unwind(|| (target.run)(&data)).is_err() {
            failed.push(file);
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
    (target.run)(b"");
}

macro_rules! replays {
    ($($name:ident),+) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })+

        const REPLAYED: &[&str] = &[$(stringify!($name)),+];
    };
}

replays!(
    telnet, rfc2217, frames, messages, spec, config, hub, session, reload
);

#[test]
fn every_target_has_a_replay_a_corpus_and_a_way_in_for_libfuzzer() {
    let names: BTreeSet<String> = TARGETS.iter().map(|target| target.name.into()).collect();
    assert_eq!(names.len(), TARGETS.len());
    assert_eq!(names, REPLAYED.iter().map(|name| (*name).into()).collect());
    let in_folder = |folder: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        let stem = |path: PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
        entries.map(|entry| stem(entry.unwrap().path())).collect()
    };
    assert_eq!(names, in_folder("corpus"));
    assert_eq!(names, in_folder("libfuzzer/fuzz_targets"));
    let manifest = fs::read_to_string(root().join("libfuzzer/Cargo.toml")).unwrap();
    for name in &names {
        assert!(manifest.contains(&format!("[[bin]]\nname = \"{name}\"\n")));
    }
}
