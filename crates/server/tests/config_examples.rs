//! Each file in examples/ is a configuration to start from: it is right, and it sets up what its name promises.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

use std::fs;
use std::path::Path;

use uartnet_hub::{OnLag, ReplyEnd, WritePolicy};
use uartnet_server::config::{self, Config, Given, LogFormat, PortConfig};

fn example(name: &str) -> Config {
    let file = Path::new("../../examples").join(name);
    match config::load(&Given {
        file: Some(file),
        ..Given::default()
    }) {
        Ok(loaded) => loaded.config,
        Err(error) => panic!("{error}"),
    }
}

fn port<'a>(config: &'a Config, name: &str) -> &'a PortConfig {
    config
        .ports
        .iter()
        .find(|port| port.name.as_str() == name)
        .expect(name)
}

fn reply_end(port: &PortConfig) -> Option<&ReplyEnd> {
    port.hub.profile.as_ref().map(|profile| &profile.end)
}

#[test]
fn there_are_these_and_no_others() {
    let mut names: Vec<String> = fs::read_dir("../../examples")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "bench.toml",
            "console-server.toml",
            "firmware", // no configuration, but a board
            "simulated.toml",
            "systemd",
            "uboot.toml"
        ]
    );
}

#[test]
fn bench_has_two_boards_that_keep_their_names() {
    let config = example("bench.toml");
    assert_eq!((config.ports.len(), config.listeners.len()), (2, 1));
    assert!(
        config
            .ports
            .iter()
            .all(|port| port.device.as_str().starts_with("usb:"))
    );
    let board0 = port(&config, "board0");
    assert_eq!(reply_end(board0), Some(&ReplyEnd::Line { count: 1 }));
    let sequences: Vec<_> = board0
        .hub
        .sequences
        .iter()
        .map(|sequence| (sequence.name.as_str(), sequence.steps.len()))
        .collect();
    assert_eq!(sequences, [("reset", 4), ("bootloader", 5)]);
    assert_eq!(port(&config, "board1").line.to_string(), "9600-7e1-rtscts");
    assert_eq!(
        config.listeners[0].port.as_ref().unwrap().as_str(),
        "board0"
    );
}

#[test]
fn simulated_has_a_board_of_every_temper() {
    let config = example("simulated.toml");
    for board in ["interpreter", "echo", "noisy", "flaky"] {
        let spec = format!("sim:{board}");
        let found = config.ports.iter().any(|port| port.device.as_str() == spec);
        assert!(found, "{spec}");
    }
    assert_eq!(config.ports.len(), 6);
    assert!(matches!(
        reply_end(port(&config, "interpreter")),
        Some(ReplyEnd::Prompt(_))
    ));
    assert_eq!(reply_end(port(&config, "echo")), Some(&ReplyEnd::None));
}

#[test]
fn a_console_server_lets_one_type_and_all_watch() {
    let config = example("console-server.toml");
    assert_eq!((config.ports.len(), config.listeners.len()), (4, 2));
    let exclusive = config
        .ports
        .iter()
        .filter(|port| port.hub.write == WritePolicy::Exclusive);
    let idle: Vec<_> = exclusive
        .map(|port| port.hub.lease_idle.unwrap().as_secs())
        .collect();
    assert_eq!(idle, [900, 900, 900]);
    assert_eq!(port(&config, "ups").hub.write, WritePolicy::None);
    let formats: Vec<_> = port(&config, "switch1")
        .logs
        .iter()
        .map(|log| log.format)
        .collect();
    assert_eq!(formats, [LogFormat::Text, LogFormat::Asciicast]);
    assert!(
        config
            .ports
            .iter()
            .all(|port| port.hub.on_lag == OnLag::Auto)
    );
    assert!(
        config
            .listeners
            .iter()
            .all(|listener| !listener.insecure && listener.port.is_none())
    );
}

#[test]
fn uboot_is_asked_by_its_prompt() {
    let config = example("uboot.toml");
    assert_eq!((config.ports.len(), config.listeners.len()), (1, 1));
    let uboot = port(&config, "uboot");
    assert_eq!(reply_end(uboot), Some(&ReplyEnd::Prompt("=> ".into())));
    assert_eq!(uboot.hub.sequences.len(), 2);
    assert_eq!(config.listeners[0].port.as_ref(), Some(&uboot.name));
}
