//! The virtual serial device, with the test as the program that takes it for a serial port.
#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

mod terminal;

use std::fs::{self, File};
use std::future::poll_fn;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};

use rustix::termios::{
    ControlModes, InputModes, LocalModes, OptionalActions, QueueSelector, tcflush, tcgetattr,
    tcsendbreak, tcsetattr,
};
use terminal::{PATIENCE, far_reads, far_writes, open_terminal};
use uart_iface::virtual_device::{Carried, Happened, LinkError, VirtualDevice};
use uart_iface::{LineSettings, Purge};

fn line(text: &str) -> LineSettings {
    text.parse().unwrap()
}

fn carried(text: &str) -> Carried {
    Carried::of(line(text))
}

fn device() -> VirtualDevice {
    VirtualDevice::make(0o600, line("115200-8n1")).unwrap()
}

async fn happened(device: &mut VirtualDevice) -> Happened {
    tokio::time::timeout(PATIENCE, poll_fn(|cx| device.poll_happened(cx)))
        .await
        .expect("nothing happened")
        .unwrap()
}

/// Opens the device as a program, and takes notice of it.
async fn open(device: &mut VirtualDevice) -> File {
    let program = open_terminal(device.path());
    assert!(matches!(happened(device).await, Happened::Opened(_)));
    program
}

/// Data up to so many bytes, in one piece.
async fn data(device: &mut VirtualDevice, count: usize) -> Vec<u8> {
    let mut data = Vec::new();
    while data.len() < count {
        match happened(device).await {
            Happened::Data(bytes) => data.extend(bytes),
            other => panic!("{other:?} after {data:?}"),
        }
    }
    data
}

async fn write(device: &mut VirtualDevice, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let count = tokio::time::timeout(PATIENCE, poll_fn(|cx| device.poll_write(cx, bytes)))
            .await
            .expect("the device takes nothing")
            .unwrap();
        bytes = &bytes[count..];
    }
}

/// Changes settings as a program does that knows what it wants.
fn set(program: &File, change: impl FnOnce(&mut rustix::termios::Termios)) {
    let mut termios = tcgetattr(program).unwrap();
    change(&mut termios);
    tcsetattr(program, OptionalActions::Now, &termios).unwrap();
}

#[tokio::test]
async fn every_byte_goes_both_ways_unchanged_and_without_an_echo() {
    let all: Vec<u8> = (0..=255).collect();
    let mut device = device();
    let program = open(&mut device).await;
    far_writes(&program, &all).await;
    assert_eq!(data(&mut device, 256).await, all);
    write(&mut device, &all).await;
    assert_eq!(far_reads(&program, 256).await, all);

    // A terminal as a shell leaves it would echo, edit lines and translate.
    set(&program, |termios| {
        termios.local_modes = LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        termios.input_modes = InputModes::ICRNL;
    });
    far_writes(&program, b".").await;
    assert_eq!(data(&mut device, 1).await, b".");
    write(&mut device, &all).await;
    assert_eq!(far_reads(&program, 256).await, all);
    far_writes(&program, b"end").await;
    assert_eq!(data(&mut device, 3).await, b"end", "no echo before it");
}

#[tokio::test]
async fn settings_are_noticed_and_those_in_force_are_not() {
    let mut device = device();
    let program = open(&mut device).await;
    assert_eq!(tcgetattr(&program).unwrap().output_speed(), 115_200);
    // Rewriting what is there, as every program does that opens a port.
    set(&program, |_| {});
    for (wanted, change) in [
        (
            "74880-8n1",
            (|t| t.set_speed(74_880).unwrap()) as fn(&mut rustix::termios::Termios),
        ),
        ("74880-8n2", |t| t.control_modes |= ControlModes::CSTOPB),
        ("74880-8n2-rtscts", |t| {
            t.control_modes |= ControlModes::CRTSCTS
        }),
        ("9600-8n1-xonxoff", |t| {
            t.control_modes -= ControlModes::CRTSCTS | ControlModes::CSTOPB;
            t.input_modes |= InputModes::IXON | InputModes::IXOFF;
            t.set_speed(9600).unwrap();
        }),
        // Clears EXTPROC, and is heard all the same, and so is the next one.
        ("4800-8n1", |t| {
            t.local_modes = LocalModes::empty();
            t.input_modes = InputModes::empty();
            t.set_speed(4800).unwrap();
        }),
        ("2400-8n1", |t| {
            t.local_modes = LocalModes::empty();
            t.set_speed(2400).unwrap();
        }),
    ] {
        set(&program, change);
        let told = happened(&mut device).await;
        assert_eq!(told, Happened::Settings(carried(wanted)), "{wanted}");
    }
}

#[tokio::test]
async fn data_bits_parity_and_breaks_do_not_get_through_the_kernel() {
    let mut device = device();
    let program = open(&mut device).await;
    // glibc's tcsetattr(3) makes an error of it; the system call does not.
    set(&program, |termios| {
        termios.control_modes -= ControlModes::CSIZE;
        termios.control_modes |= ControlModes::CS7 | ControlModes::PARENB;
    });
    let control = tcgetattr(&program).unwrap().control_modes;
    assert_eq!(control & ControlModes::CSIZE, ControlModes::CS8);
    assert!(!control.contains(ControlModes::PARENB));
    tcsendbreak(&program).unwrap();
    far_writes(&program, b".").await;
    assert_eq!(data(&mut device, 1).await, b".", "nothing else was told");
}

#[tokio::test]
async fn reflected_settings_are_seen_by_the_program_and_not_told_back() {
    let mut device = device();
    let program = open(&mut device).await;
    device.reflect(line("57600-7e2-rtscts")).unwrap();
    let termios = tcgetattr(&program).unwrap();
    assert_eq!(termios.output_speed(), 57_600);
    let wanted = ControlModes::CSTOPB | ControlModes::CRTSCTS;
    assert!(termios.control_modes.contains(wanted));
    far_writes(&program, b".").await;
    assert_eq!(data(&mut device, 1).await, b".");
}

#[tokio::test]
async fn what_a_program_has_just_set_is_not_overwritten() {
    let mut device = device();
    let program = open(&mut device).await;
    set(&program, |t| t.set_speed(9600).unwrap());
    device.reflect(line("57600-8n1")).unwrap();
    let told = happened(&mut device).await;
    assert_eq!(told, Happened::Settings(carried("9600-8n1")));
    assert_eq!(tcgetattr(&program).unwrap().output_speed(), 9600);
}

#[tokio::test]
async fn showing_what_is_in_force_undoes_nothing_that_a_program_sets_meanwhile() {
    const SPEEDS: std::ops::Range<u32> = 9600..9800;
    let mut device = device();
    let program = open(&mut device).await;
    let (done, is_done) = std::sync::mpsc::channel();
    let (go, may_go) = std::sync::mpsc::channel();
    let programs = std::thread::spawn(move || {
        for baud in SPEEDS {
            may_go.recv().unwrap();
            set(&program, |t| t.set_speed(baud).unwrap());
            done.send(()).unwrap();
        }
        program
    });
    let mut in_force = line("115200-8n1");
    for baud in SPEEDS {
        go.send(()).unwrap();
        while is_done.try_recv().is_err() {
            device.reflect(in_force).unwrap();
        }
        in_force = line(&format!("{baud}-8n1"));
        let told = happened(&mut device).await;
        assert_eq!(told, Happened::Settings(Carried::of(in_force)));
    }
    let program = programs.join().unwrap();
    let last = tcgetattr(&program).unwrap().output_speed();
    assert_eq!(last, in_force.baud.get());
}

#[tokio::test]
async fn a_change_keeps_its_place_among_what_is_written() {
    let mut device = device();
    let mut program = open(&mut device).await;
    // Right after opening, before anything was read: the change first.
    set(&program, |t| t.set_speed(9600).unwrap());
    program.write_all(b"hello").unwrap();
    let told = happened(&mut device).await;
    assert_eq!(told, Happened::Settings(carried("9600-8n1")));
    assert_eq!(data(&mut device, 5).await, b"hello");
    // Later: what waits was written first.
    program.write_all(b"baud 4800\r").unwrap();
    set(&program, |t| t.set_speed(4800).unwrap());
    assert_eq!(data(&mut device, 10).await, b"baud 4800\r");
    // Seen, and not told yet: what others set meanwhile is the older word.
    device.reflect(line("300-8n1")).unwrap();
    assert_eq!(tcgetattr(&program).unwrap().output_speed(), 4800);
    let told = happened(&mut device).await;
    assert_eq!(told, Happened::Settings(carried("4800-8n1")));
}

#[tokio::test]
async fn a_flush_is_told_and_leaves_nothing_of_either_half() {
    let mut device = device();
    let program = open(&mut device).await;
    let much = vec![b'x'; 6000];
    for (queue, purged) in [
        (QueueSelector::IFlush, Purge::Receive),
        (QueueSelector::OFlush, Purge::Transmit),
        (QueueSelector::IOFlush, Purge::Both),
    ] {
        if queue != QueueSelector::OFlush {
            write(&mut device, &much).await;
        }
        tcflush(&program, queue).unwrap();
        assert_eq!(happened(&mut device).await, Happened::Purged(purged));
        write(&mut device, b"fresh").await;
        assert_eq!(far_reads(&program, 5).await, b"fresh");
        far_writes(&program, b".").await;
        assert_eq!(
            data(&mut device, 1).await,
            b".",
            "our own flush is not told"
        );
    }
}

#[tokio::test]
async fn a_full_device_takes_bytes_again_after_a_flush() {
    let mut device = device();
    let program = open(&mut device).await;
    let fill = |device: &mut VirtualDevice| {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        while device.poll_write(&mut cx, &[b'x'; 1000]).is_ready() {}
    };
    write(&mut device, b"x").await;
    fill(&mut device);
    tcflush(&program, QueueSelector::IFlush).unwrap();
    assert_eq!(
        happened(&mut device).await,
        Happened::Purged(Purge::Receive)
    );
    write(&mut device, b"fresh").await;
    assert_eq!(far_reads(&program, 5).await, b"fresh");

    write(&mut device, b"x").await;
    fill(&mut device);
    drop(program);
    assert_eq!(happened(&mut device).await, Happened::Closed(0));
    let program = open(&mut device).await;
    write(&mut device, b"fresh").await;
    assert_eq!(far_reads(&program, 5).await, b"fresh");
}

#[tokio::test]
async fn programs_come_and_go_and_leave_nothing_to_the_next_one() {
    let mut device = device();
    let first = open(&mut device).await;
    let second = open_terminal(device.path());
    assert_eq!(device.next_coming().unwrap(), Some(Happened::Opened(2)));
    set(&first, |t| t.set_speed(9600).unwrap());
    let told = happened(&mut device).await;
    assert_eq!(told, Happened::Settings(carried("9600-8n1")));
    write(&mut device, &[b'x'; 6000]).await;
    drop(first);
    assert_eq!(happened(&mut device).await, Happened::Closed(1));
    drop(second);
    assert_eq!(happened(&mut device).await, Happened::Closed(0));
    assert_eq!(device.users(), 0);

    let third = open(&mut device).await;
    assert_eq!(tcgetattr(&third).unwrap().output_speed(), 9600, "kept");
    write(&mut device, b"fresh").await;
    assert_eq!(far_reads(&third, 5).await, b"fresh");
    far_writes(&third, b".").await;
    assert_eq!(data(&mut device, 1).await, b".");
}

#[tokio::test]
async fn the_device_is_its_owners_and_its_link_goes_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("board0");
    symlink("/dev/pts/999999", &link).unwrap();
    let mut device = VirtualDevice::make(0o640, line("9600-8n1")).unwrap();
    let mode = fs::metadata(device.path()).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o640);
    device.link_at(&link).unwrap();
    assert_eq!(fs::read_link(&link).unwrap(), device.path());

    let mut other = VirtualDevice::make(0o600, line("9600-8n1")).unwrap();
    match other.link_at(&link) {
        Err(LinkError::Busy { pid, .. }) => assert_eq!(pid, std::process::id()),
        other => panic!("{other:?}"),
    }
    let file = dir.path().join("precious");
    fs::write(&file, "precious").unwrap();
    let refused = other.link_at(&file).unwrap_err().to_string();
    assert!(refused.contains("something else is there"), "{refused}");
    assert_eq!(fs::read(&file).unwrap(), b"precious");

    drop(device);
    assert!(fs::symlink_metadata(&link).is_err());
}

#[tokio::test]
async fn a_program_that_opens_and_closes_beside_another_does_not_make_the_other_one_leave() {
    let mut device = device();
    // Nobody looks in between, so the kernel tells the two openings as one.
    let program = open_terminal(device.path());
    drop(open_terminal(device.path()));
    while device.next_coming().unwrap().is_some() {}
    assert_eq!(device.users(), 1);
    write(&mut device, b"heard").await;
    assert_eq!(far_reads(&program, 5).await, b"heard");
    // Two that leave at once may be told as one, too.
    let second = open_terminal(device.path());
    drop((program, second));
    while device.next_coming().unwrap().is_some() {}
    assert_eq!(device.users(), 0);
}
