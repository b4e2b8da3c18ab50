//! docs/config.md is held to its word: it names every key there is and no other, its defaults are the defaults, each
//! mistake in its last column is answered as it says, and so is each example.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

use std::collections::BTreeSet;
use std::fs;

use clap::CommandFactory;
use uartnet_server::cli::Cli;
use uartnet_server::config::{self, Config, Given};

const PAGE: &str = include_str!("../../../docs/config.md");

/// The tables of a configuration, as the page's headings name them.
const TABLES: [&str; 7] = [
    "[gateway]",
    "[[port]]",
    "[port.interpreter]",
    "[[port.sequence]]",
    "[[port.log]]",
    "[[listen]]",
    "[[identity]]",
];

/// A row of one of the page's tables.
struct Row {
    key: String,
    unit: String,
    default: String,
    accepted: String,
    when_wrong: String,
}

#[test]
fn every_key_is_documented_and_every_documented_key_is_one() {
    for table in TABLES {
        let documented: BTreeSet<String> = rows(table).into_iter().map(|row| row.key).collect();
        let error = load(&document(table, "no-such-key", "1")).unwrap_err();
        let (_, known) = error
            .split_once("there are ")
            .unwrap_or_else(|| panic!("{error}"));
        let known = known.lines().next().unwrap().replace(" and ", ", ");
        let known: BTreeSet<String> = known.split(", ").map(str::to_owned).collect();
        assert_eq!(documented, known, "{table}");
    }
}

#[test]
fn each_mistake_is_answered_as_the_page_says() {
    let mut tried = 0;
    for table in TABLES {
        for row in rows(table) {
            let said = row.when_wrong.trim_matches('`');
            let wrong = said
                .split('"')
                .nth(1)
                .unwrap_or_else(|| panic!("no value in {said}"));
            let value = match row.key.as_str() {
                "interpreter" | "sequence" | "log" => "5".to_owned(),
                "steps" | "unsolicited" | "allow" | "ports" => format!("[\"{wrong}\"]"),
                _ => format!("\"{wrong}\""),
            };
            let error = load(&document(table, &row.key, &value)).unwrap_err();
            assert!(
                error.starts_with(&format!("error: {said}")),
                "{table} {}: {error}",
                row.key
            );
            assert!(error.ends_with("\n1 error"), "{table} {}: {error}", row.key);
            assert!(
                error.contains("\n  = "),
                "no word on what would be right: {error}"
            );
            tried += 1;
        }
    }
    assert_eq!(tried, 73);
}

#[test]
fn each_default_is_what_happens_without_the_key() {
    let mut tried = 0;
    for table in TABLES {
        for row in rows(table) {
            let Some(default) = row
                .default
                .strip_prefix('`')
                .and_then(|rest| rest.strip_suffix('`'))
            else {
                continue;
            };
            let written = load(&document(table, &row.key, default)).unwrap();
            let left_out = load(&document_without(table, &row.key)).unwrap();
            assert_eq!(
                format!("{written:#?}"),
                format!("{left_out:#?}"),
                "{table} {}",
                row.key
            );
            tried += 1;
        }
    }
    assert_eq!(tried, 39);
}

#[test]
fn each_range_is_the_range() {
    let mut tried = 0;
    for table in TABLES {
        for row in rows(table).into_iter().filter(|row| !row.unit.is_empty()) {
            let range: Vec<&str> = row.accepted.split_whitespace().collect();
            let Some(at) = range.iter().position(|word| *word == "to") else {
                panic!("{table} {}: no range in {}", row.key, row.accepted);
            };
            let to = range[at + 1].trim_end_matches([',', ':']);
            let range = format!("from {} to {to}", range[at - 1]);
            let wrong = if row.unit == "time per" {
                "\"-1/byte\""
            } else {
                "-1"
            };
            let error = load(&document(table, &row.key, wrong)).unwrap_err();
            let (_, help) = error.split_once("\n  = ").unwrap();
            assert!(
                help.contains(&range),
                "{table} {}: {range}: {error}",
                row.key
            );
            tried += 1;
        }
    }
    assert_eq!(tried, 25);
}

#[test]
fn examples_of_mistakes_are_answered_word_for_word() {
    let blocks: Vec<&str> = PAGE.split("```").skip(1).step_by(2).collect();
    let mut tried = 0;
    for pair in blocks.windows(2) {
        if let (Some(file), Some(answer)) = (
            pair[0].strip_prefix("toml\n"),
            pair[1].strip_prefix("text\n"),
        ) {
            assert_eq!(load(file).unwrap_err(), answer.trim_end());
            tried += 1;
        }
    }
    assert_eq!(tried, 3);
}

#[test]
fn every_option_and_setting_of_the_command_line_is_documented() {
    let (_, section) = PAGE.split_once("## The same on the command line").unwrap();
    let mut options = 0;
    for option in Cli::command()
        .get_arguments()
        .filter_map(|argument| argument.get_long())
    {
        if !["help", "version"].contains(&option) {
            assert!(section.contains(&format!("\n| `--{option}")), "--{option}");
            options += 1;
        }
    }
    assert_eq!(options, 7);

    let given = Given {
        ports: vec!["a=/dev/ttyUSB0,no-such-key=1".into()],
        ..Given::default()
    };
    let error = config::load(&given).unwrap_err().to_string();
    let (_, known) = error
        .split_once("there are ")
        .unwrap_or_else(|| panic!("{error}"));
    let known: Vec<&str> = known
        .lines()
        .next()
        .unwrap()
        .split([',', ' '])
        .filter(|word| !word.is_empty())
        .collect();
    assert_eq!(known.len(), 18, "seventeen and an \"and\": {known:?}");
    for key in known.iter().filter(|word| **word != "and") {
        assert!(section.contains(&format!("`{key}`")), "{key}");
    }
}

/// A right configuration, except for what `value` makes of this key.
fn document(table: &str, key: &str, value: &str) -> String {
    let mut keys = keys_for(table, key);
    keys.retain(|(other, _)| *other != key);
    keys.push((key, value));
    assemble(table, &keys)
}

fn document_without(table: &str, key: &str) -> String {
    let mut keys = keys_for(table, key);
    keys.retain(|(other, _)| *other != key);
    assemble(table, &keys)
}

/// What must stand in a table so that this key can.
fn keys_for(table: &str, key: &str) -> Vec<(&'static str, &'static str)> {
    match (table, key) {
        ("[[port]]", _) => vec![("name", "\"board0\""), ("device", "\"/dev/ttyUSB0\"")],
        ("[port.interpreter]", "prompt") => vec![("profile", "\"prompt\"")],
        ("[port.interpreter]", "prompt_regex" | "interrupt") => {
            vec![("profile", "\"u-boot\"")]
        }
        ("[port.interpreter]", "until" | "until_regex") => vec![("profile", "\"custom\"")],
        ("[port.interpreter]", "unsolicited") => vec![("profile", "\"at\"")],
        ("[port.interpreter]", "quiet") => vec![("profile", "\"quiet\"")],
        ("[port.interpreter]", _) => vec![("profile", "\"line\"")],
        ("[[port.sequence]]", _) => vec![("name", "\"reset\""), ("steps", "[\"dtr=off\"]")],
        ("[[port.log]]", _) => vec![("path", "\"/var/log/board0.log\"")],
        ("[[listen]]", "from" | "when_absent") => {
            vec![("protocol", "\"raw\""), ("address", "\"127.0.0.1:8000\"")]
        }
        ("[[listen]]", _) => vec![
            ("protocol", "\"uartnet\""),
            ("address", "\"127.0.0.1:8000\""),
        ],
        ("[[identity]]", "fingerprint") => vec![("name", "\"ci\"")],
        ("[[identity]]", _) => vec![("name", "\"ci\""), ("common_name", "\"ci\"")],
        _ => Vec::new(),
    }
}

fn assemble(table: &str, keys: &[(&str, &str)]) -> String {
    let lines: String = keys
        .iter()
        .map(|(key, value)| format!("{key} = {value}\n"))
        .collect();
    let port = "[[port]]\nname = \"board0\"\ndevice = \"/dev/ttyUSB0\"\n";
    match table {
        "[[port]]" => format!("{table}\n{lines}"),
        "[[identity]]" => {
            let listener = "[[listen]]\nprotocol = \"raw\"\naddress = \"127.0.0.1:8000\"\ntls = true\n\
                certificate = \"c.pem\"\nkey = \"k.pem\"\nclient_ca = \"ca.pem\"\n";
            format!("{table}\n{lines}{port}{listener}")
        }
        _ => format!("{port}{table}\n{lines}"),
    }
}

/// The configuration this text makes, or the whole error text.
fn load(text: &str) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bench.toml");
    fs::write(&file, text).unwrap();
    let given = Given {
        file: Some(file),
        ..Given::default()
    };
    match config::load(&given) {
        Ok(loaded) => Ok(loaded.config),
        Err(error) => Err(error
            .to_string()
            .replace(&format!("{}/", folder.path().display()), "")),
    }
}

/// The rows of the section with this heading.
fn rows(table: &str) -> Vec<Row> {
    let (_, section) = PAGE
        .split_once(&format!("\n## `{table}`\n"))
        .unwrap_or_else(|| panic!("no section {table}"));
    let section = section.split("\n## ").next().unwrap();
    let rows: Vec<Row> = section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            assert_eq!(cells.len(), 5, "{line}");
            let cell = |index: usize| cells[index].to_owned();
            Row {
                key: cell(0).trim_matches('`').to_owned(),
                unit: cell(1),
                default: cell(2),
                accepted: cell(3),
                when_wrong: cell(4),
            }
        })
        .collect();
    assert!(!rows.is_empty(), "{table}");
    rows
}
