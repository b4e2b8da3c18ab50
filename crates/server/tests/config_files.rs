//! Whole configuration files: what the right ones set up, and what is said about the wrong ones, word for word.
//! Each `x.toml` has its expected text beside it as `x.expected`. To write them anew after a deliberate change, run with
//! `UARTD_WRITE_EXPECTED=1` and read the difference.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use uart_iface::OutputChange;
use uartnet_hub::{Access, OnLag, Profile, ReplyEnd, Step, WritePolicy};
use uartnet_interpreter::{Settings, Until, find};
use uartnet_proto::KeyFingerprint;
use uartnet_server::access::Scope;
use uartnet_server::config::{self, ConfigError, GatewayConfig, Given, ListenAddress, Loaded};

fn load(file: &Path) -> Result<Loaded, ConfigError> {
    config::load(&Given {
        file: Some(file.to_owned()),
        name: None,
        ..Given::default()
    })
}

fn loaded(file: &Path) -> Loaded {
    load(file).unwrap_or_else(|error| panic!("{}:\n{error}", file.display()))
}

#[test]
fn right_files_set_up_what_they_say() {
    let machine = format!("\"{}\"", GatewayConfig::default().name);
    let count = compare_each("tests/config_valid", |file| {
        let summary = loaded(file).config.summary();
        summary.replace(&machine, "\"this-machine\"")
    });
    assert_eq!(count, 4);
}

#[test]
fn every_key_reaches_its_place() {
    let config = loaded(Path::new("tests/config_valid/everything.toml")).config;
    let gateway = &config.gateway;
    assert_eq!(gateway.name, "bench1");
    assert_eq!(gateway.drain, Duration::from_secs(10));
    assert_eq!((gateway.max_connections, gateway.max_frame), (100, 1 << 20));
    assert_eq!(gateway.max_connections_per_peer, Some(10));
    assert_eq!(gateway.dead_peer, Duration::from_secs(30));

    let [board0, board1] = config.ports.as_slice() else {
        panic!("{config:#?}");
    };
    assert_eq!(board0.name.as_str(), "board0");
    assert_eq!(board0.device.as_str(), "usb:0403:6001:A5069RR4");
    assert_eq!(board0.line.to_string(), "9600-7e1-rtscts");
    let hub = &board0.hub;
    assert_eq!(hub.history, 65_536);
    assert_eq!(hub.write, WritePolicy::Exclusive);
    assert_eq!(hub.lease_idle, Some(Duration::from_secs(600)));
    assert_eq!(hub.on_lag, OnLag::Stall);
    assert_eq!(hub.stall_limit, Duration::from_secs(1));
    assert_eq!((hub.write_queue, hub.ask_queue), (4096, 16));
    assert_eq!(hub.byte_pacing, Duration::from_millis(1));
    assert_eq!(hub.line_pacing, Duration::ZERO);
    let profile = Profile {
        name: "prompt",
        error: Some("^ERR".parse().unwrap()),
        interrupt: "\x03".into(),
        end: ReplyEnd::Prompt("=> ".into()),
        eol: "\n".into(),
        strip_echo: false,
        timeout: Duration::from_millis(500),
        max_reply: 16_384,
    };
    assert_eq!(hub.profile, Some(profile));
    let outputs = |dtr, rts| Step::Outputs(OutputChange { dtr, rts });
    let steps: Vec<(&str, Vec<Step>)> = hub
        .sequences
        .iter()
        .map(|sequence| {
            (
                sequence.name.as_str(),
                sequence.steps.iter().cloned().collect(),
            )
        })
        .collect();
    assert_eq!(
        steps,
        [
            (
                "reset",
                vec![
                    outputs(Some(false), None),
                    outputs(None, Some(true)),
                    Step::Delay(Duration::from_millis(100)),
                    outputs(None, Some(false)),
                ]
            ),
            (
                "wake",
                vec![
                    Step::Break(true),
                    Step::Delay(Duration::from_millis(10)),
                    Step::Break(false),
                ]
            ),
        ]
    );

    assert_eq!(board1.hub.write, WritePolicy::None);
    assert_eq!(board1.hub.on_lag, OnLag::Gap);
    assert_eq!(board1.hub.byte_pacing, Duration::ZERO);
    assert_eq!(board1.hub.line_pacing, Duration::from_millis(50));
    assert_eq!(board1.hub.profile, None);

    let [plain, insecure, unix, by_certificate] = config.listeners.as_slice() else {
        panic!("{config:#?}");
    };
    assert_eq!(plain.port.as_ref(), Some(&board0.name));
    assert!(!plain.insecure && insecure.insecure && !unix.insecure);
    assert_eq!(insecure.address.to_string(), "0.0.0.0:9000");
    assert_eq!(unix.address, ListenAddress::Unix("/run/uartd.sock".into()));
    let files = by_certificate.tls.as_ref().unwrap();
    assert_eq!(files.client_ca, Some("/etc/uartd/client-ca.pem".into()));
    assert_eq!(
        (by_certificate.access, by_certificate.insecure),
        (None, false)
    );

    let [ci, anna] = config.holders.list() else {
        panic!("{config:#?}");
    };
    assert_eq!(ci.fingerprint, Some(KeyFingerprint([0x0f; 32])));
    assert_eq!((ci.access, ci.name.as_str()), (Access::Write, "ci"));
    let both = [&board0.name, &board1.name].map(Clone::clone);
    assert_eq!(ci.scope, Scope::Only(both.into()));
    assert_eq!(anna.common_name.as_deref(), Some("Anna Ö"));
    assert_eq!(anna.san, "email:anna@example.org".parse().ok());
    assert_eq!((anna.access, &anna.scope), (Access::Read, &Scope::All));
}

#[test]
fn interpreters_are_talked_to_as_written_or_as_the_device_knows() {
    let config = loaded(Path::new("tests/config_valid/interpreters.toml")).config;
    let own_prompt = config.ports[6]
        .device
        .device()
        .unwrap()
        .prompt()
        .map(str::to_owned);
    let own_prompt = ReplyEnd::Prompt(own_prompt.expect("sim:interpreter has a prompt").into());
    let expected = [
        ("unknown", None),
        ("none", Some(Profile::new(ReplyEnd::None))),
        ("line", Some(Profile::new(ReplyEnd::Line { count: 1 }))),
        ("lines", Some(Profile::new(ReplyEnd::Line { count: 3 }))),
        ("prompt", Some(Profile::new(ReplyEnd::Prompt("> ".into())))),
        (
            "quiet",
            Some(Profile {
                eol: "\r\0".into(),
                ..Profile::new(ReplyEnd::Quiet(Duration::from_millis(20)))
            }),
        ),
        ("own-prompt", Some(Profile::new(own_prompt.clone()))),
        (
            "own-prompt-slower",
            Some(Profile {
                timeout: Duration::from_secs(10),
                ..Profile::new(own_prompt)
            }),
        ),
        ("own-prompt-refused", Some(Profile::new(ReplyEnd::None))),
        (
            "prompt-regex",
            Some(Profile {
                interrupt: "\x03".into(),
                ..Profile::new(ReplyEnd::PromptLike(r"\w+[#>] ".parse().unwrap()))
            }),
        ),
        (
            "at",
            Some(Profile::new(ReplyEnd::At {
                unsolicited: ["RING".into(), "+CREG:".into()].into(),
            })),
        ),
        (
            "u-boot",
            find("u-boot").unwrap().profile(&Settings::default()).ok(),
        ),
        (
            "micropython",
            Some(Profile {
                timeout: Duration::from_secs(60),
                ..Profile::new(ReplyEnd::RawRepl)
            }),
        ),
        (
            "modbus",
            Some(Profile::new(ReplyEnd::ModbusRtu {
                quiet: Duration::from_millis(2),
            })),
        ),
        (
            "grbl",
            Some(Profile {
                eol: "\n".into(),
                strip_echo: false,
                error: Some("^error:".parse().unwrap()),
                ..Profile::new(ReplyEnd::Until {
                    until: Until::Line("^(ok|error:)".parse().unwrap()),
                    quiet: None,
                })
            }),
        ),
        (
            "custom",
            Some(Profile {
                interrupt: "\x03".into(),
                ..Profile::new(ReplyEnd::Until {
                    until: Until::Text("\x04".into()),
                    quiet: Some(Duration::from_secs(1)),
                })
            }),
        ),
    ];
    let found: Vec<_> = config
        .ports
        .iter()
        .map(|port| (port.name.as_str(), port.hub.profile.clone()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn wrong_files_are_answered_word_for_word() {
    let count = compare_each("tests/config_invalid", |file| {
        let error = load(file).expect_err(&file.display().to_string());
        assert!(
            !error.is_usage(),
            "a mistake in a file is not one on the command line: {}",
            file.display()
        );
        format!("{error}\n")
    });
    assert_eq!(count, 32);
}

/// Compares what `describe` says about each `.toml` file of a folder with what is expected; returns how many there are.
fn compare_each(folder: &str, describe: impl Fn(&Path) -> String) -> usize {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    for file in &files {
        let text = describe(file);
        let expected = file.with_extension("expected");
        if std::env::var_os("UARTD_WRITE_EXPECTED").is_some() {
            fs::write(&expected, &text).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(text, expected, "{}", file.display());
    }
    files.len()
}
