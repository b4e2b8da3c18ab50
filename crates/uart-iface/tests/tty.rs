//! The tty backend on pseudo-terminals that the test made.
#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

mod sim_support;
mod terminal;

use std::fs;
use std::future::poll_fn;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::mpsc;
use std::task::Poll;
use std::thread;

use rustix::fs::{FlockOperation, flock};
use rustix::termios::{ControlModes, tcgetattr};
use sim_support::{AnyPort, read_some, write_all};
use terminal::{PATIENCE, far_reads, far_writes, open_terminal, pseudo_terminal};
use tokio::time::timeout;
use uart_iface::backend::parse_device;
use uart_iface::watch::Watch;
use uart_iface::{
    InputSignals, LineSettings, OpenError, OutputChange, OutputSignals, PortError, Purge,
};

fn open(spec: &str) -> Result<AnyPort, OpenError> {
    open_at(spec, "115200-8n1")
}

fn open_at(spec: &str, line: &str) -> Result<AnyPort, OpenError> {
    let line = line.parse().unwrap();
    parse_device(spec)
        .unwrap()
        .open(line, OutputSignals::ASSERTED)
}

fn open_path(path: &Path) -> Result<AnyPort, OpenError> {
    open(path.to_str().unwrap())
}

fn settings(text: &str) -> LineSettings {
    text.parse().unwrap()
}

/// What can be read next, at least one byte, or why there is nothing.
async fn read(port: &mut AnyPort) -> Result<usize, PortError> {
    let mut buf = [0; 64];
    poll_fn(|cx| port.poll_read(cx, &mut buf)).await
}

#[tokio::test]
async fn what_the_terminal_took_is_told_and_not_what_was_asked() {
    let (far, path) = pseudo_terminal();
    // Pseudo-terminals keep 8 data bits without parity, and take the rest.
    let mut port = open_at(path.to_str().unwrap(), "9600-7e2-rtscts").unwrap();
    assert_eq!(port.status().unwrap().line, settings("9600-8n2-rtscts"));

    for (wanted, taken) in [
        ("74880-8n1", "74880-8n1"),
        ("12000000-5m1-xonxoff", "12000000-8n1-xonxoff"),
        ("115200-7e1", "115200-8n1"),
        ("1-8n1", "1-8n1"),
    ] {
        assert_eq!(
            port.apply(settings(wanted)).unwrap(),
            settings(taken),
            "{wanted}"
        );
        assert_eq!(port.status().unwrap().line, settings(taken));
    }
    let termios = tcgetattr(&far).unwrap();
    assert!(termios.control_modes.contains(ControlModes::CS8));
}

#[tokio::test]
async fn what_cannot_be_said_is_refused_by_name_and_changes_nothing() {
    let (_far, path) = pseudo_terminal();
    let mut port = open_path(&path).unwrap();
    for (wanted, named) in [
        ("9600-8n1.5", "1.5 stop bits with 8 data bits"),
        ("9600-5n2", "2 stop bits with 5 data bits"),
    ] {
        match port.apply(settings(wanted)) {
            Err(PortError::Unsupported { device, wanted }) => {
                assert_eq!(device, path.to_str().unwrap());
                assert_eq!(wanted, named);
            }
            other => panic!("{wanted}: {other:?}"),
        }
        assert_eq!(port.status().unwrap().line, settings("115200-8n1"));
    }
    drop(port);
    let refused = open_at(path.to_str().unwrap(), "9600-8n1.5");
    assert!(
        matches!(refused, Err(OpenError::Setup { .. })),
        "{refused:?}"
    );
    open_path(&path).unwrap();
}

#[tokio::test]
async fn without_modem_lines_the_wish_is_remembered() {
    let (_far, path) = pseudo_terminal();
    let mut port = open_path(&path).unwrap();
    let status = port.status().unwrap();
    assert!(!status.has_modem_lines);
    assert_eq!(status.inputs, InputSignals::ABSENT_LINES);
    assert_eq!(status.outputs, OutputSignals::ASSERTED);
    assert_eq!(status.errors, None);

    let change = OutputChange {
        dtr: Some(false),
        rts: None,
    };
    let outputs = OutputSignals {
        dtr: false,
        rts: true,
    };
    assert_eq!(port.set_outputs(change).unwrap(), outputs);
    assert_eq!(port.status().unwrap().outputs, outputs);
    poll_fn(|cx| {
        assert!(port.poll_inputs(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    assert!(port.can_pause());
}

#[tokio::test]
async fn one_opening_at_a_time_and_the_holder_is_named() {
    let (_far, path) = pseudo_terminal();
    let port = open_path(&path).unwrap();
    match open_path(&path) {
        Err(OpenError::Busy { path: busy, pid }) => {
            assert_eq!(busy, path);
            assert_eq!(pid, Some(std::process::id()));
        }
        other => panic!("{other:?}"),
    }
    drop(port);
    let port = open_path(&path).unwrap();
    drop(port);

    // Another program's lock counts as well.
    let foreign = open_terminal(&path);
    flock(&foreign, FlockOperation::NonBlockingLockExclusive).unwrap();
    assert!(matches!(open_path(&path), Err(OpenError::Busy { .. })));
    drop(foreign);
    open_path(&path).unwrap();
}

#[tokio::test]
async fn exclusive_use_is_respected_also_by_root() {
    let (_far, path) = pseudo_terminal();
    let foreign = open_terminal(&path);
    rustix::termios::ioctl_tiocexcl(&foreign).unwrap();
    assert!(matches!(open_path(&path), Err(OpenError::Busy { .. })));
    // The mark stays on a pseudo-terminal when the program that made it has died. The kernel lets only root pass it.
    drop(foreign);
    let mark_left_behind = open_path(&path);
    if rustix::process::geteuid().is_root() {
        mark_left_behind.unwrap();
    } else {
        assert!(matches!(mark_left_behind, Err(OpenError::Busy { .. })));
    }
}

#[tokio::test]
async fn what_is_no_serial_device_is_refused_and_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "untouched").unwrap();
    for path in [file.as_path(), dir.path(), Path::new("/dev/null")] {
        match open_path(path) {
            Err(OpenError::NotATty { path: named }) => assert_eq!(named, path),
            other => panic!("{}: {other:?}", path.display()),
        }
    }
    assert_eq!(fs::read(&file).unwrap(), b"untouched");
    let absent = dir.path().join("absent");
    match open_path(&absent) {
        Err(OpenError::NotFound { spec }) => assert_eq!(spec, absent.to_str().unwrap()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_terminal_that_vanishes_is_gone_and_can_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("board");
    let (far, path) = pseudo_terminal();
    symlink(&path, &link).unwrap();
    let mut device = parse_device(link.to_str().unwrap()).unwrap();
    let mut port = device
        .open(settings("9600-8n1"), OutputSignals::ASSERTED)
        .unwrap();

    far_writes(&far, b"last words").await;
    assert_eq!(read_some(&mut port).await, b"last words");
    drop(far);
    let gone = read(&mut port).await;
    assert!(matches!(gone, Err(PortError::Gone { .. })), "{gone:?}");
    let gone = poll_fn(|cx| port.poll_write(cx, b"x")).await;
    assert!(matches!(gone, Err(PortError::Gone { .. })), "{gone:?}");
    for gone in [
        port.apply(settings("115200-8n1")).map(|_| ()),
        port.status().map(|_| ()),
        port.purge(Purge::Both),
    ] {
        assert!(matches!(gone, Err(PortError::Gone { .. })), "{gone:?}");
    }
    drop(port);
    let reopened = device.open(settings("9600-8n1"), OutputSignals::ASSERTED);
    assert!(
        matches!(reopened, Err(OpenError::NotFound { .. })),
        "{reopened:?}"
    );

    fs::remove_file(&link).unwrap();
    let (far, path) = pseudo_terminal();
    symlink(&path, &link).unwrap();
    let mut port = device
        .open(settings("9600-8n1"), OutputSignals::ASSERTED)
        .unwrap();
    far_writes(&far, b"back").await;
    assert_eq!(read_some(&mut port).await, b"back");
}

#[tokio::test]
async fn a_pending_read_is_woken_by_the_hang_up() {
    let (far, path) = pseudo_terminal();
    let mut port = open_path(&path).unwrap();
    far_writes(&far, b"x").await;
    assert_eq!(read_some(&mut port).await, b"x");
    let (gone, ()) = tokio::join!(read(&mut port), async {
        tokio::task::yield_now().await;
        drop(far);
    });
    assert!(matches!(gone, Err(PortError::Gone { .. })), "{gone:?}");
}

#[tokio::test]
async fn no_wake_up_is_lost_whatever_the_size_of_the_buffer() {
    let (far, path) = pseudo_terminal();
    let mut port = open_path(&path).unwrap();
    let sent: Vec<u8> = (0..300_000_u32).map(|i| (i ^ (i >> 8)) as u8).collect();
    for size in [1, 7, 64, 4095, 4096, 65_536] {
        let ((), received) = tokio::join!(far_writes(&far, &sent), async {
            let mut received = Vec::<u8>::new();
            let mut buf = vec![0; size];
            while received.len() < sent.len() {
                let count = poll_fn(|cx| port.poll_read(cx, &mut buf)).await.unwrap();
                received.extend(&buf[..count]);
            }
            received
        });
        assert!(received == sent, "with a buffer of {size} bytes");
    }
}

#[tokio::test]
async fn a_full_terminal_makes_the_writer_wait_and_loses_nothing() {
    let (far, path) = pseudo_terminal();
    let mut port = open_path(&path).unwrap();
    let sent: Vec<u8> = (0..1_000_000_u32).map(|i| (i ^ (i >> 8)) as u8).collect();
    let mut filled = 0;
    poll_fn(|cx| {
        while let Poll::Ready(count) = port.poll_write(cx, &sent[filled..]) {
            filled += count.unwrap();
        }
        if filled == 0 {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
    assert!(
        filled < sent.len(),
        "a terminal without a reader took {filled} bytes"
    );
    let (received, ()) = tokio::join!(far_reads(&far, sent.len()), async {
        write_all(&mut port, &sent[filled..]).await;
    });
    assert!(received == sent);
}

#[tokio::test]
async fn whoever_waits_to_read_is_woken_before_while_and_after_the_writer_waits_for_room() {
    let (far, path) = pseudo_terminal();
    let mut port = open_path(&path).unwrap();
    for _ in 0..3 {
        // Nobody but the terminal wakes this task, which already waits to read when it begins to wait for room.
        let (full, is_full) = mpsc::channel();
        let mut board = far.try_clone().unwrap();
        let board = thread::spawn(move || {
            is_full.recv().unwrap();
            board.write_all(b"x").unwrap();
        });
        let mut filled = 0;
        let mut buf = [0; 64];
        let reading = poll_fn(|cx| {
            let read = port.poll_read(cx, &mut buf);
            while let Poll::Ready(count) = port.poll_write(cx, &[b'y'; 1000]) {
                filled += count.unwrap();
            }
            full.send(()).ok();
            read
        });
        let read = timeout(PATIENCE, reading).await.expect("woken");
        assert_eq!(read.unwrap(), 1);
        board.join().unwrap();
        far_reads(&far, filled).await;
        // So many that it is not watched for room any more.
        for _ in 0..200 {
            write_all(&mut port, b"z").await;
            far_reads(&far, 1).await;
        }
    }
}

#[tokio::test]
async fn the_return_of_a_terminal_shows_also_behind_links_and_in_dev_pts() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("serial/by-id/board");
    let device = parse_device(link.to_str().unwrap()).unwrap();
    let mut watch = Watch::new(device.signs()).unwrap();
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    assert!(watch.has_changed().unwrap());
    let (far, path) = pseudo_terminal();
    symlink(&path, &link).unwrap();
    assert!(watch.has_changed().unwrap());
    let _port = open_path(&link).unwrap();
    // Its other end goes, and with it the terminal; the link stays.
    assert!(!watch.has_changed().unwrap(), "opening it changes nothing");
    drop(far);
    drop(_port);
    assert!(watch.has_changed().unwrap());
}

#[tokio::test]
async fn who_has_a_device_is_said_also_if_it_is_another_port_of_ours() {
    let (_far, path) = pseudo_terminal();
    let _first = open_path(&path).unwrap();
    let error = open_path(&path).unwrap_err().to_string();
    let says = ": busy, held by this process: two ports name the same device";
    assert!(error.ends_with(says), "{error}");
}
