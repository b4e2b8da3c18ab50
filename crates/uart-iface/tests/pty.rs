//! The pty backend, with the test and other programs as the board.
//! Apart from the tests of the tty backend: a program that is being started has all our descriptors for a moment, and
//! theirs ask who has a terminal open.
#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

mod sim_support;
mod terminal;

use std::fs;
use std::future::poll_fn;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use rustix::termios::{InputModes, tcgetattr};
use sim_support::{AnyPort, read_some, write_all};
use terminal::{far_reads, far_writes, open_terminal};
use uart_iface::backend::parse_device;
use uart_iface::{LineSettings, OpenError, OutputSignals, Purge};

fn open(spec: &str) -> Result<AnyPort, OpenError> {
    parse_device(spec)
        .unwrap()
        .open(settings("115200-8n1"), OutputSignals::ASSERTED)
}

fn settings(text: &str) -> LineSettings {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_foreign_program_plays_the_board_behind_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("board0");
    let spec = format!("pty:{}", link.display());
    let mut device = parse_device(&spec).unwrap();
    assert!(!link.exists(), "made at the first opening, not before");
    let mut port = device
        .open(settings("7200-7o1"), OutputSignals::ASSERTED)
        .unwrap();
    assert_eq!(port.status().unwrap().line, settings("7200-7o1"));
    assert!(port.can_pause());

    // A program that knows nothing of terminals, in both directions.
    let mut program = Command::new("sh")
        .arg("-c")
        .arg("printf 'ready\\n' > \"$0\"; head -c 6 \"$0\" > \"$0.got\"")
        .arg(&link)
        .spawn()
        .unwrap();
    let mut ready = Vec::new();
    while !ready.ends_with(b"\n") {
        ready.extend(read_some(&mut port).await);
    }
    assert_eq!(ready, b"ready\n");
    write_all(&mut port, b"hello\r").await;
    assert!(program.wait().unwrap().success());
    assert_eq!(fs::read(dir.path().join("board0.got")).unwrap(), b"hello\r");

    // The terminal and its raw mode survive that nobody has it open, and a reopening of the port.
    let target = fs::read_link(&link).unwrap();
    drop(port);
    let mut port = device
        .open(settings("9600-8n1"), OutputSignals::ASSERTED)
        .unwrap();
    assert_eq!(fs::read_link(&link).unwrap(), target);
    let far = open_terminal(&link);
    assert_eq!(tcgetattr(&far).unwrap().input_modes, InputModes::empty());
    write_all(&mut port, b"\x03\x04\r\n\x11\x13\xff").await;
    assert_eq!(far_reads(&far, 7).await, b"\x03\x04\r\n\x11\x13\xff");

    drop(device);
    assert!(
        fs::symlink_metadata(&link).is_err(),
        "the link goes with the device"
    );
}

#[tokio::test]
async fn a_purge_reaches_both_halves_of_a_pseudo_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("board0");
    let mut device = parse_device(&format!("pty:{}", link.display())).unwrap();
    let mut port = device
        .open(settings("9600-8n1"), OutputSignals::ASSERTED)
        .unwrap();
    let far = open_terminal(&link);
    for (purge, kept_sent, kept_received) in [
        (Purge::Transmit, false, true),
        (Purge::Receive, true, false),
        (Purge::Both, false, false),
    ] {
        // The first byte proves that the rest of the same write has arrived where it waits.
        write_all(&mut port, b"1sent").await;
        assert_eq!(far_reads(&far, 1).await, b"1");
        far_writes(&far, b"1received").await;
        let mut byte = [0];
        poll_fn(|cx| port.poll_read(cx, &mut byte)).await.unwrap();
        port.purge(purge).unwrap();
        write_all(&mut port, b".").await;
        far_writes(&far, b".").await;
        let expected: &[u8] = if kept_sent { b"sent." } else { b"." };
        assert_eq!(far_reads(&far, expected.len()).await, expected, "{purge:?}");
        let expected: &[u8] = if kept_received { b"received." } else { b"." };
        let mut received = Vec::new();
        while received.len() < expected.len() {
            received.extend(read_some(&mut port).await);
        }
        assert_eq!(received, expected, "{purge:?}");
    }
}

#[tokio::test]
async fn a_stale_link_is_replaced_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("board0");
    let spec = format!("pty:{}", link.display());

    // Left behind by a crash: the pseudo-terminal is no more, or it is somebody's who did not make this link.
    symlink("/dev/pts/999999", &link).unwrap();
    let mut device = parse_device(&spec).unwrap();
    let port = device
        .open(settings("9600-8n1"), OutputSignals::ASSERTED)
        .unwrap();
    assert_ne!(fs::read_link(&link).unwrap(), Path::new("/dev/pts/999999"));

    // In use: by the first device, while it lives.
    match open(&spec) {
        Err(OpenError::Busy { path, pid }) => {
            assert_eq!(path, link);
            assert_eq!(pid, Some(std::process::id()));
        }
        other => panic!("{other:?}"),
    }
    drop((port, device));
    open(&spec).unwrap();

    for precious in ["file", "elsewhere"] {
        let path = dir.path().join(precious);
        match precious {
            "file" => fs::write(&path, "precious").unwrap(),
            _ => symlink("/etc/hostname", &path).unwrap(),
        }
        let refused = open(&format!("pty:{}", path.display()));
        let message = refused.map(|_| ()).unwrap_err().to_string();
        assert!(message.contains("something else is there"), "{message}");
        assert!(fs::symlink_metadata(&path).is_ok());
    }
    let nowhere = open(&format!("pty:{}/no/such/folder", dir.path().display()));
    assert!(matches!(nowhere, Err(OpenError::Io { .. })), "{nowhere:?}");
}

#[tokio::test]
async fn a_link_that_was_cleaned_away_is_made_again_at_the_next_opening() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("board0");
    let mut device = parse_device(&format!("pty:{}", link.display())).unwrap();
    let port = device
        .open(settings("9600-8n1"), OutputSignals::ASSERTED)
        .unwrap();
    let target = fs::read_link(&link).unwrap();
    drop(port);
    fs::remove_file(&link).unwrap();
    let _port = device
        .open(settings("9600-8n1"), OutputSignals::ASSERTED)
        .unwrap();
    assert_eq!(fs::read_link(&link).unwrap(), target);
}

#[test]
fn specs_of_a_pty_are_full_paths() {
    for (spec, problem) in [
        ("pty:", "full path of the link"),
        ("pty:board0", "full path of the link"),
        ("pty:/tmp/", "full path of the link"),
        ("pty:/dev/pts/3", "write its path alone: /dev/pts/3"),
    ] {
        let error = parse_device(spec).unwrap_err();
        assert_eq!(error.spec, spec);
        assert!(error.problem.contains(problem), "{error}");
    }
}
