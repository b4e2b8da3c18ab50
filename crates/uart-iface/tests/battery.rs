//! The conformance battery: what the `Port` trait promises, asked of every backend of the list.
//! A backend that is not covered here, with a subject or with a reason why there is none, fails it.
#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

mod sim_support;
mod terminal;

use std::fs::File;
use std::future::poll_fn;
use std::task::Poll;

use sim_support::{AnyPort, read_some, write_all};
use tempfile::TempDir;
use terminal::{PATIENCE, far_reads, far_writes, open_terminal, pseudo_terminal};
use uart_iface::backend::{BACKENDS, Backend, Device, parse_device};
use uart_iface::{InputSignals, LineSettings, OutputChange, OutputSignals, PortError, Purge};

#[tokio::test]
async fn every_backend_keeps_the_promises_of_a_port() {
    let (mut subjects, mut excused) = (0, Vec::new());
    for backend in BACKENDS {
        match coverage(*backend) {
            Coverage::Subjects(of_backend) => {
                assert!(!of_backend.is_empty(), "{}", backend.scheme());
                for mut subject in of_backend {
                    println!("{}", subject.device.spec());
                    examine(&mut subject).await;
                    subjects += 1;
                }
            }
            Coverage::Excused(reason) => excused.push((backend.scheme(), reason)),
        }
    }
    assert!(subjects >= 6, "only {subjects} subjects were examined");
    assert_eq!(excused.len(), 1, "{excused:?}");
}

/// A device under test, and what is on its other end.
struct Subject {
    device: Box<dyn Device>,
    far: Far,
    _folder: Option<TempDir>,
}

enum Far {
    /// The test plays the board. Opened after the device, because a pseudo-terminal is made by then.
    Played(Box<dyn Fn() -> File>),
    /// Every byte comes back.
    Echo,
    /// A board with a mind of its own: bytes are not compared.
    Board,
}

enum Coverage {
    Subjects(Vec<Subject>),
    Excused(&'static str),
}

fn coverage(backend: &dyn Backend) -> Coverage {
    let subject = |spec: &str, far| Subject {
        device: parse_device(spec).unwrap(),
        far,
        _folder: None,
    };
    Coverage::Subjects(match backend.scheme() {
        "" => {
            let (far, path) = pseudo_terminal();
            let far = move || far.try_clone().unwrap();
            vec![subject(path.to_str().unwrap(), Far::Played(Box::new(far)))]
        }
        "usb" => {
            return Coverage::Excused(
                "needs an adapter; src/backend/usb.rs opens one from a /sys of its own",
            );
        }
        "pty" => {
            let folder = tempfile::tempdir().unwrap();
            let link = folder.path().join("board0");
            let spec = format!("pty:{}", link.display());
            let far = Far::Played(Box::new(move || open_terminal(&link)));
            vec![Subject {
                _folder: Some(folder),
                ..subject(&spec, far)
            }]
        }
        "sim" | "loopback" => backend
            .examples()
            .iter()
            .map(|spec| {
                let echoes = *spec == "sim:echo" || *spec == "loopback:";
                subject(spec, if echoes { Far::Echo } else { Far::Board })
            })
            .collect(),
        other => panic!("the backend \"{other}\" is not covered"),
    })
}

async fn examine(subject: &mut Subject) {
    // A reopened device is as good as one opened the first time.
    for _ in 0..2 {
        let mut port = subject
            .device
            .open(LineSettings::default(), OutputSignals::ASSERTED)
            .unwrap();
        starts_as_it_was_asked_to(&mut port);
        settings_are_told_as_taken(&mut port);
        outputs_are_driven_or_remembered(&mut port);
        inputs_are_told_once(&mut port).await;
        breaks_and_purges_leave_it_usable(&mut port);
        match &subject.far {
            Far::Played(open_far) => {
                let far = open_far();
                every_byte_value_passes(&mut port, &far).await;
                a_purge_takes_what_was_not_read(&mut port, &far).await;
            }
            Far::Echo => every_byte_value_comes_back(&mut port).await,
            Far::Board => {}
        }
    }
}

fn starts_as_it_was_asked_to(port: &mut AnyPort) {
    let status = port.status().unwrap();
    assert_eq!(status.line, LineSettings::default());
    assert_eq!(status.outputs, OutputSignals::ASSERTED);
    if !status.has_modem_lines {
        assert_eq!(status.inputs, InputSignals::ABSENT_LINES);
    }
    if let Some(errors) = status.errors {
        assert_eq!(errors, Default::default());
    }
}

fn settings_are_told_as_taken(port: &mut AnyPort) {
    for wanted in [
        "9600-8n1",
        "9600-8n1",
        "74880-8n2",
        "1200-7e1",
        "300-5n1.5",
        "300-8m1.5",
        "12000000-8s1-rtscts",
        "9600-8n1-xonxoff",
        "115200-8n1",
    ] {
        let before = port.status().unwrap().line;
        let wanted: LineSettings = wanted.parse().unwrap();
        match port.apply(wanted) {
            Ok(taken) => {
                assert_eq!(taken.baud, wanted.baud, "{wanted}");
                assert_eq!(port.status().unwrap().line, taken, "{wanted}");
                assert_eq!(port.apply(taken).unwrap(), taken, "{wanted}");
            }
            Err(PortError::Unsupported { wanted: named, .. }) => {
                assert!(!named.is_empty());
                assert_eq!(port.status().unwrap().line, before, "{wanted}");
            }
            Err(error) => panic!("{wanted}: {error}"),
        }
    }
    assert_eq!(port.status().unwrap().line, LineSettings::default());
}

fn outputs_are_driven_or_remembered(port: &mut AnyPort) {
    let mut expected = OutputSignals::ASSERTED;
    for (dtr, rts) in [
        (None, None),
        (Some(false), None),
        (None, Some(false)),
        (Some(true), Some(false)),
        (Some(false), Some(true)),
        (Some(true), Some(true)),
    ] {
        let change = OutputChange { dtr, rts };
        expected = expected.with(change);
        assert_eq!(port.set_outputs(change).unwrap(), expected);
        assert_eq!(port.status().unwrap().outputs, expected);
    }
}

async fn inputs_are_told_once(port: &mut AnyPort) {
    port.status().unwrap();
    poll_fn(|cx| {
        assert!(
            port.poll_inputs(cx).is_pending(),
            "status told them already"
        );
        Poll::Ready(())
    })
    .await;
}

fn breaks_and_purges_leave_it_usable(port: &mut AnyPort) {
    for on in [true, false] {
        match port.set_break(on) {
            Ok(()) | Err(PortError::Unsupported { .. }) => {}
            Err(error) => panic!("break {on}: {error}"),
        }
    }
    for queues in [Purge::Receive, Purge::Transmit, Purge::Both] {
        port.purge(queues).unwrap();
    }
    port.status().unwrap();
}

async fn every_byte_value_passes(port: &mut AnyPort, far: &File) {
    let bytes = every_byte_value();
    write_all(port, &bytes).await;
    assert_eq!(far_reads(far, bytes.len()).await, bytes);
    far_writes(far, &bytes).await;
    assert_eq!(reads(port, bytes.len()).await, bytes);
}

async fn every_byte_value_comes_back(port: &mut AnyPort) {
    let bytes = every_byte_value();
    write_all(port, &bytes).await;
    assert_eq!(reads(port, bytes.len()).await, bytes);
}

async fn a_purge_takes_what_was_not_read(port: &mut AnyPort, far: &File) {
    far_writes(far, b"1 and more").await;
    // The first byte proves that the rest of the same write has arrived.
    let mut byte = [0];
    poll_fn(|cx| port.poll_read(cx, &mut byte)).await.unwrap();
    port.purge(Purge::Receive).unwrap();
    far_writes(far, b".").await;
    assert_eq!(reads(port, 1).await, b".");
}

async fn reads(port: &mut AnyPort, count: usize) -> Vec<u8> {
    let all = async {
        let mut bytes = Vec::new();
        while bytes.len() < count {
            bytes.extend(read_some(port).await);
        }
        bytes
    };
    tokio::time::timeout(PATIENCE, all)
        .await
        .expect("the bytes did not arrive")
}

fn every_byte_value() -> Vec<u8> {
    let up = 0..=u8::MAX;
    up.clone().chain(up.rev()).collect()
}
