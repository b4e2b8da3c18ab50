//! Configuration files: any text is a configuration or ends in errors that point into the file and fit on a terminal.

use std::fs;

use uartnet_server::config::{ConfigError, DeviceSpec, Given, load};

/// The target.
pub fn config(data: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder of our own");
    let file = folder.path().join("any.toml");
    fs::write(&file, data).expect("a file in our own folder");
    let given = Given {
        file: Some(file.clone()),
        ..Given::default()
    };
    match load(&given) {
        Ok(loaded) => {
            assert!(!loaded.config.ports.is_empty() && !loaded.config.listeners.is_empty());
            for port in &loaded.config.ports {
                assert!(DeviceSpec::parse(port.device.as_str()).is_ok(), "{port:?}");
            }
        }
        Err(error) => {
            assert!(!error.is_usage(), "{error}");
            let shown = error.to_string();
            assert!(shown.len() < 100_000, "{} bytes", shown.len());
            let control = shown.chars().find(|c| c.is_control() && *c != '\n');
            assert_eq!(control, None, "{shown:?}");
            if let ConfigError::Wrong(_) = error {
                let text = std::str::from_utf8(data).expect("only a text can be wrong");
                places(&shown, &file.display().to_string(), text);
            }
        }
    }
}

/// Every `--> FILE:LINE:COLUMN` must be in the file; its end counts.
fn places(shown: &str, file: &str, text: &str) {
    let lines: Vec<&str> = text.split('\n').collect();
    let mark = format!("--> {file}:");
    let mut found = 0;
    for place in shown.lines().filter_map(|line| line.split_once(&mark)) {
        found += 1;
        let (line, column) = place.1.split_once(':').expect("a line and a column");
        let line: usize = line.parse().expect("a number of a line");
        let column: usize = column.parse().expect("a number of a column");
        assert!((1..=lines.len()).contains(&line), "{shown}");
        let length = lines[line - 1].chars().count();
        assert!((1..=length + 1).contains(&column), "{shown}");
    }
    assert!(found > 0, "no place is named: {shown}");
}
