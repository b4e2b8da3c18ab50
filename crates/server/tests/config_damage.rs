//! Configurations nobody would write: damaged files and arbitrary arguments end in an error that can be shown, never in a
//! panic.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

use std::fs;

use proptest::prelude::*;
use uartnet_server::config::{self, Given};

/// A file with every key, so that damage meets every parser.
const EVERYTHING: &str = include_str!("config_valid/everything.toml");

/// Pieces that mean something to TOML or to a value.
const PIECES: [&str; 14] = [
    "\"",
    "'",
    "[",
    "]]",
    "=",
    "\n",
    "\\",
    "\u{0}",
    "é",
    "{",
    "-1",
    "99999999999999999999",
    "port",
    "0x",
];

/// Loads a text as a file; what is said about it must be fit for a terminal.
fn load_file(text: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("damaged.toml");
    fs::write(&file, text).unwrap();
    let given = Given {
        file: Some(file),
        ..Given::default()
    };
    if let Err(error) = config::load(&given) {
        assert!(!error.is_usage(), "{error}");
        assert_fit_for_a_terminal(&error.to_string());
    }
}

fn assert_fit_for_a_terminal(text: &str) {
    assert!(!text.is_empty());
    assert!(text.len() < 100_000, "{} bytes", text.len());
    let control = text.chars().find(|c| c.is_control() && *c != '\n');
    assert_eq!(control, None, "{text:?}");
}

#[test]
fn a_file_that_ends_anywhere_is_survived() {
    for end in 0..=EVERYTHING.len() {
        load_file(&EVERYTHING.as_bytes()[..end]);
    }
}

#[test]
fn a_deep_or_endless_value_is_survived() {
    for text in [
        "a.".repeat(50_000),
        format!("a = {}", "[".repeat(100_000)),
        format!("a = {}", "{a = ".repeat(100_000)),
        format!("[{}]", "a.".repeat(100_000)),
        format!("[gateway]\nname = \"{}\"", "x".repeat(500_000)),
        "[[port]]\n".repeat(50_000),
        (0..30_000)
            .map(|number| format!("key{number} = {number}\n"))
            .collect(),
    ] {
        load_file(text.as_bytes());
    }
}

proptest! {
    #[test]
    fn a_damaged_file_is_survived(at in 0..EVERYTHING.len(), length in 0..20_usize, piece in 0..PIECES.len()) {
        let end = (at + length).min(EVERYTHING.len());
        let mut bytes = EVERYTHING.as_bytes()[..at].to_vec();
        bytes.extend_from_slice(PIECES[piece].as_bytes());
        bytes.extend_from_slice(&EVERYTHING.as_bytes()[end..]);
        load_file(&bytes);
    }

    #[test]
    fn any_argument_is_survived(port in "\\PC{0,30}|[a-z]=(/dev/|sim:|usb:|loopback:)[a-z0-9:?=,.é\u{1b}-]{0,30}", listen in "\\PC{0,30}|uartnet=[0-9a-f:.,\\[\\]unix/]{0,20}") {
        let given = Given { ports: vec![port], listen: vec![listen], ..Given::default() };
        if let Err(error) = config::load(&given) {
            prop_assert!(error.is_usage(), "{}", error);
            assert_fit_for_a_terminal(&error.to_string());
        }
    }
}
