//! Ports and listeners given on the command line, alone and together with a file: what they set up, and what is said
//! about the wrong ones.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

use std::fs;
use std::path::PathBuf;

use uartnet_hub::ReplyEnd;
use uartnet_server::config::{
    self, ConfigError, DEFAULT_LISTENER, DEFAULT_PORT, Given, ListenAddress, Loaded,
};

fn given(ports: &[&str], listen: &[&str]) -> Given {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Given {
        ports: owned(ports),
        listen: owned(listen),
        ..Given::default()
    }
}

fn load(given: &Given) -> Loaded {
    config::load(given).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(given: &Given) -> String {
    let error = config::load(given).unwrap_err();
    assert!(error.is_usage(), "{error}");
    error.to_string()
}

/// The ports as `name device line`, the listeners as `protocol address port`.
fn outline(loaded: &Loaded) -> Vec<String> {
    let ports = loaded
        .config
        .ports
        .iter()
        .map(|port| format!("{} {} {}", port.name, port.device.as_str(), port.line));
    let listeners = loaded.config.listeners.iter().map(|listener| {
        let port = listener.port.as_ref().map_or("-", |port| port.as_str());
        format!("{} {} {port}", listener.endpoint.name(), listener.address)
    });
    ports.chain(listeners).collect()
}

#[test]
fn nothing_given_is_a_simulated_board_and_says_so() {
    let loaded = load(&Given::default());
    assert_eq!(
        outline(&loaded),
        [
            "sim0 sim:interpreter 115200-8n1",
            "uartnet 127.0.0.1:8000 sim0"
        ]
    );
    for part in [DEFAULT_PORT, DEFAULT_LISTENER] {
        assert!(
            loaded.assumed.told().contains(part),
            "{}",
            loaded.assumed.told()
        );
    }
    let text = next_step(&loaded, "127.0.0.1:8000").unwrap();
    assert!(text.contains(" uart ask sim0 \"LED ON\"\n"), "{text}");
}

fn next_step(loaded: &Loaded, address: &str) -> Option<String> {
    let address = match address.strip_prefix("unix:") {
        Some(path) => ListenAddress::Unix(path.into()),
        None => ListenAddress::Tcp(address.parse().unwrap()),
    };
    loaded.assumed.next_step("uartnet", &address)
}

#[test]
fn what_to_type_next_names_the_gateway_where_it_is_not_the_default() {
    let loaded = load(&given(&[], &["uartnet=127.0.0.1:0"]));
    assert!(
        loaded.assumed.told().contains(DEFAULT_PORT)
            && !loaded.assumed.told().contains(DEFAULT_LISTENER)
    );
    for address in ["127.0.0.1:9000", "unix:/tmp/a.sock", "[::1]:8000"] {
        let text = next_step(&loaded, address).unwrap();
        assert!(
            text.contains(&format!(" uart --gateway {address} ask sim0 \"LED ON\"\n")),
            "{text}"
        );
    }
}

#[test]
fn everything_given_needs_no_introduction() {
    let loaded = load(&given(&["a=/dev/ttyUSB0"], &["uartnet=:9000"]));
    assert_eq!(loaded.assumed.told(), "");
    assert_eq!(next_step(&loaded, "127.0.0.1:9000"), None);
}

#[test]
fn ports_and_listeners_are_what_they_say() {
    let loaded = load(&given(
        &[
            "a=/dev/ttyUSB0",
            "b=sim:interpreter?pace=line,9600-7e1,flow=xonxoff,history=4KiB",
            "c=loopback:,flow=rtscts",
        ],
        &[
            "uartnet=[::1]:0,b",
            "uartnet=:0",
            "uartnet=unix:/tmp/x,y/uartd.sock",
            "uartnet=unix:/tmp/uartd.sock,c",
        ],
    ));
    assert_eq!(
        outline(&loaded),
        [
            "a /dev/ttyUSB0 115200-8n1",
            "b sim:interpreter?pace=line 9600-7e1-xonxoff",
            "c loopback: 115200-8n1-rtscts",
            "uartnet [::1]:0 b",
            "uartnet 127.0.0.1:0 -",
            "uartnet unix:/tmp/x,y/uartd.sock -",
            "uartnet unix:/tmp/uartd.sock c",
        ]
    );
    assert_eq!(loaded.config.ports[1].hub.history, 4096);
}

#[test]
fn every_setting_reaches_its_place() {
    let port = "a=/dev/ttyUSB0,9600,flow=rtscts,profile=prompt,prompt==> ,eol=lf,echo=false,timeout=5s,history=2KiB,\
                write=exclusive,on_lag=gap,pacing=2ms/line";
    let loaded = load(&given(
        &[port, "b=/dev/ttyUSB1,lines=2", "c=/dev/ttyUSB2,quiet=7ms"],
        &[],
    ));
    let shown = format!("{:#?}", loaded.config.ports[0]);
    for part in [
        "9600",
        "RtsCts",
        "b\"=> \"",
        "eol: b\"\\n\"",
        "strip_echo: false",
        "timeout: 5s",
        "history: 2048",
        "Exclusive",
        "Gap",
        "line_pacing: 2ms",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let ends: Vec<_> = loaded.config.ports[1..]
        .iter()
        .map(|port| port.hub.profile.clone().unwrap().end)
        .collect();
    assert_eq!(
        ends,
        [
            ReplyEnd::Line { count: 2 },
            ReplyEnd::Quiet(std::time::Duration::from_millis(7))
        ]
    );
}

#[test]
fn each_mistake_is_shown_in_its_argument() {
    for (argument, message, mark, help) in [
        (
            "board0",
            "\"board0\" is not a port",
            (1, 6),
            "write NAME=DEVICE",
        ),
        (
            "chek",
            "\"chek\" is not a port",
            (1, 4),
            "did you mean the command \"check\"",
        ),
        ("check", "\"check\" is not a port", (1, 5), "stands first"),
        ("", "\"\" is not a port", (1, 1), "write NAME=DEVICE"),
        ("=/dev/ttyUSB0", "\"\" is not a port name", (1, 1), ""),
        ("a b=/dev/ttyUSB0", "\"a b\" is not a port name", (1, 3), ""),
        ("a=", "\"\" is not a device", (3, 1), ""),
        (
            "a=ttyUSB0",
            "\"ttyUSB0\" is not a device",
            (3, 7),
            "uartd devices",
        ),
        (
            "a=/dev/ttyUSB0,9600-7x1",
            "\"9600-7x1\" is not a line setting",
            (16, 8),
            "",
        ),
        (
            "a=/dev/ttyUSB0,fast",
            "\"fast\" is not a setting",
            (16, 4),
            "KEY=VALUE",
        ),
        (
            "a=/dev/ttyUSB0,",
            "\"\" is not a setting",
            (16, 1),
            "KEY=VALUE",
        ),
        (
            "a=/dev/ttyUSB0,promt=x",
            "unknown setting \"promt\"",
            (16, 7),
            "did you mean \"prompt\"",
        ),
        (
            "a=/dev/ttyUSB0,history=1,history=2",
            "history given twice",
            (26, 9),
            "",
        ),
        (
            "a=/dev/ttyUSB0,9600,19200",
            "line settings given twice",
            (21, 5),
            "",
        ),
        (
            "a=/dev/ttyUSB0,history=lots",
            "\"lots\" is not a size",
            (24, 4),
            "64KiB",
        ),
        (
            "a=/dev/ttyUSB0,profile=line,quiet=1s",
            "\"quiet\" has no meaning",
            (35, 2),
            "the profiles quiet, modbus-rtu and custom",
        ),
        ("é=/dev/ttyUSB0,é=1", "unknown setting \"é\"", (16, 3), ""),
    ] {
        let text = refused(&given(&[argument], &[]));
        assert!(
            text.starts_with(&format!("error: {message}")),
            "{argument}: {text}"
        );
        assert!(
            text.contains(&format!("--> argument, column {}\n", mark.0)),
            "{argument}: {text}"
        );
        let marks = format!("\n  | {}{}\n", " ".repeat(mark.0 - 1), "^".repeat(mark.1));
        assert!(text.contains(&marks), "{argument}: {text}");
        assert!(text.contains(help), "{argument}: {text}");
    }
}

#[test]
fn each_wrong_listener_is_shown_in_its_argument() {
    for (argument, message, help) in [
        (
            "127.0.0.1:8000",
            "\"127.0.0.1:8000\" is not a listener",
            "PROTO=ADDR",
        ),
        (
            "uartnett=:8000",
            "\"uartnett\" is not a protocol",
            "did you mean \"uartnet\"",
        ),
        ("uartnet=", "\"\" is not an address", "127.0.0.1:8000"),
        (
            "uartnet=:8000,b",
            "there is no port \"b\"",
            "there is only a",
        ),
        ("uartnet=:8000,", "there is no port \"\"", "there is only a"),
        (
            "uartnet=0.0.0.0:8000",
            "0.0.0.0:8000 can be reached from other machines",
            "--insecure",
        ),
    ] {
        let text = refused(&given(&["a=/dev/ttyUSB0"], &[argument]));
        assert!(
            text.starts_with(&format!("error: {message}")),
            "{argument}: {text}"
        );
        assert!(
            text.contains("--> --listen, column ") && text.contains(help),
            "{argument}: {text}"
        );
    }
}

#[test]
fn insecure_lets_the_listeners_of_the_command_line_be_reached() {
    let insecure = Given {
        insecure: true,
        ..given(&["a=/dev/ttyUSB0"], &["uartnet=0.0.0.0:8000"])
    };
    assert!(load(&insecure).config.listeners[0].insecure);
}

#[test]
fn arguments_add_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(
        &folder,
        b"[gateway]\nname = \"bench1\"\n[[port]]\nname = \"a\"\ndevice = \"/dev/ttyUSB0\"\n",
    );
    let both = Given {
        file: Some(file.clone()),
        name: Some("bench2".into()),
        ..given(&["b=/dev/ttyUSB1"], &["uartnet=:9000,b"])
    };
    let loaded = load(&both);
    assert_eq!(loaded.config.gateway.name, "bench2");
    assert_eq!(
        outline(&loaded),
        [
            "a /dev/ttyUSB0 115200-8n1",
            "b /dev/ttyUSB1 115200-8n1",
            "uartnet 127.0.0.1:9000 b"
        ]
    );

    let alone = load(&Given {
        file: Some(file.clone()),
        ..Given::default()
    });
    assert_eq!(alone.config.gateway.name, "bench1");
    assert_eq!(
        outline(&alone),
        ["a /dev/ttyUSB0 115200-8n1", "uartnet 127.0.0.1:8000 a"]
    );
    assert!(!alone.assumed.default_port && alone.assumed.default_listener);

    let twice = Given {
        file: Some(file),
        ..given(&["a=/dev/ttyUSB1"], &[])
    };
    assert!(refused(&twice).contains("the other one is in line 4"));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.toml");
    let error = from_file(missing.clone());
    assert!(matches!(error, ConfigError::Unreadable { .. }) && !error.is_usage());
    assert!(
        error
            .to_string()
            .starts_with(&format!("cannot read {}: ", missing.display())),
        "{error}"
    );

    let error = from_file(folder.path().to_owned());
    assert!(matches!(error, ConfigError::Unreadable { .. }), "{error}");

    let error = from_file(write(&folder, b"[gateway]\n# caf\xe9\n"));
    assert!(
        matches!(
            error,
            ConfigError::NotUtf8 {
                line: 2,
                byte: 0xe9,
                offset: 15,
                ..
            }
        ),
        "{error:?}"
    );

    let error = from_file(write(&folder, "#".repeat((1 << 20) + 1).as_bytes()));
    assert!(
        matches!(error, ConfigError::TooBig { .. }) && error.to_string().contains("1MiB"),
        "{error}"
    );
    let error = from_file(write(&folder, "#".repeat(1 << 20).as_bytes()));
    assert!(error.to_string().contains("there is no port"), "{error}");
    // A file that never ends is not read for ever.
    assert!(matches!(
        from_file("/dev/zero".into()),
        ConfigError::TooBig { .. }
    ));
}

#[test]
fn a_wrong_name_of_the_gateway_is_a_usage_error() {
    let text = refused(&Given {
        name: Some("a\u{1b}b".into()),
        ..Given::default()
    });
    assert!(
        text.contains("--> --name, column 1") && !text.contains('\u{1b}'),
        "{text}"
    );
}

fn from_file(file: PathBuf) -> ConfigError {
    config::load(&Given {
        file: Some(file),
        ..Given::default()
    })
    .unwrap_err()
}

fn write(folder: &tempfile::TempDir, bytes: &[u8]) -> PathBuf {
    let file = folder.path().join("bench.toml");
    fs::write(&file, bytes).unwrap();
    file
}
