//! The loopback plug, on a clock that the tests move.
#![allow(clippy::unwrap_used)] // the helpers of tests may fail them

mod sim_support;

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use sim_support::{
    AnyPort, Wakes, assert_took, device, open, open_at, read_count, through, try_read, write_all,
};
use uart_iface::{LineSettings, OutputChange, OutputSignals, Purge};

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn what_is_written_is_read() {
    let start = tokio::time::Instant::now();
    let mut port = open_at("loopback:", "1-8n1");
    let sent: Vec<u8> = (0..1_000_000u32).map(|i| (i ^ (i >> 8)) as u8).collect();
    assert!(through(&mut port, &sent).await == sent);
    assert_took(start, 0.0);
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn with_a_pace_it_takes_its_time() {
    let start = tokio::time::Instant::now();
    let mut port = open_at("loopback:?pace=line", "9600-8n1");
    let sent: Vec<u8> = (0..1000u32).map(|i| i as u8).collect();
    assert!(through(&mut port, &sent).await == sent);
    assert_took(start, 1000.0 * 10.0 / 9600.0);
    // At another rate, and after a pause.
    tokio::time::advance(Duration::from_secs(5)).await;
    port.apply("4800-7e1".parse().unwrap()).unwrap();
    let start = tokio::time::Instant::now();
    assert!(through(&mut port, &sent).await == sent);
    assert_took(start, 1000.0 * 10.0 / 4800.0);
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn it_holds_so_much_and_then_the_writer_waits() {
    let mut port = open("loopback:");
    let (wakes, waker) = Wakes::new();
    let mut cx = Context::from_waker(&waker);
    let mut written = 0;
    while let Poll::Ready(count) = port.poll_write(&mut cx, &[1; 10_000]) {
        written += count.unwrap();
        assert!(written <= 65_536);
    }
    assert_eq!((written, wakes.count()), (65_536, 0));
    assert!(port.can_pause());
    assert!(port.poll_read(&mut cx, &mut [0; 1]).is_ready());
    assert_eq!(wakes.count(), 1);
    assert!(matches!(
        port.poll_write(&mut cx, &[1; 10]),
        Poll::Ready(Ok(1))
    ));
    assert_eq!(read_count(&mut port, 65_536).await.len(), 65_536);
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn signals_come_back_as_the_plug_is_wired() {
    let mut device = device("loopback:");
    for (dtr, rts, inputs) in [
        (true, true, "cts=on dsr=on ri=off dcd=on"),
        (true, false, "cts=off dsr=on ri=off dcd=on"),
        (false, true, "cts=on dsr=off ri=off dcd=off"),
        (false, false, "cts=off dsr=off ri=off dcd=off"),
    ] {
        let outputs = OutputSignals { dtr, rts };
        let mut port = device.open(LineSettings::default(), outputs).unwrap();
        let status = port.status().unwrap();
        assert_eq!(
            (status.outputs, status.inputs.to_string()),
            (outputs, inputs.to_owned())
        );
        assert!(status.has_modem_lines);
    }
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_change_of_signals_is_told_once() {
    let mut port = open("loopback:");
    port.status().unwrap();
    let (wakes, waker) = Wakes::new();
    let mut cx = Context::from_waker(&waker);
    assert!(port.poll_inputs(&mut cx).is_pending());
    set(&mut port, None, Some(false));
    assert_eq!(wakes.count(), 1);
    let Poll::Ready(Ok(inputs)) = port.poll_inputs(&mut cx) else {
        panic!("nothing was told");
    };
    assert_eq!(inputs.to_string(), "cts=off dsr=on ri=off dcd=on");
    assert!(port.poll_inputs(&mut cx).is_pending());
    // There and back between two looks is no change; and what the status told is not told again.
    set(&mut port, Some(false), None);
    set(&mut port, Some(true), None);
    assert!(port.poll_inputs(&mut cx).is_pending());
    set(&mut port, Some(false), None);
    port.status().unwrap();
    assert!(port.poll_inputs(&mut cx).is_pending());
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn breaks_are_counted_where_they_begin() {
    let mut port = open("loopback:");
    for on in [true, true, false, false, true, false] {
        port.set_break(on).unwrap();
    }
    assert_eq!(port.status().unwrap().errors.unwrap().breaks, 2);
    assert_eq!(try_read(&mut port).await, b"");
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn hardware_flow_control_holds_the_writer_while_rts_is_off() {
    let mut port = open_at("loopback:", "115200-8n1-rtscts");
    set(&mut port, None, Some(false));
    let (wakes, waker) = Wakes::new();
    let mut cx = Context::from_waker(&waker);
    assert!(port.poll_write(&mut cx, b"abc").is_pending());
    set(&mut port, None, Some(true));
    assert_eq!(wakes.count(), 1);
    write_all(&mut port, b"abc").await;
    assert_eq!(try_read(&mut port).await, b"abc");
    // Without flow control CTS is only shown.
    set(&mut port, None, Some(false));
    assert!(port.poll_write(&mut cx, b"abc").is_pending());
    port.apply(LineSettings::default()).unwrap();
    assert_eq!(wakes.count(), 2);
    write_all(&mut port, b"abc").await;
    assert_eq!(try_read(&mut port).await, b"abc");
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn hardware_flow_control_stops_what_is_on_its_way() {
    let mut port = open_at("loopback:?pace=line", "1000-8n1-rtscts");
    write_all(&mut port, b"abcdef").await;
    tokio::time::advance(Duration::from_millis(25)).await;
    set(&mut port, None, Some(false));
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(try_read(&mut port).await, b"ab");
    set(&mut port, None, Some(true));
    let start = tokio::time::Instant::now();
    assert_eq!(read_count(&mut port, 4).await, b"cdef");
    assert_took(start, 0.04);
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_purge_throws_away_what_has_or_has_not_arrived() {
    for (queues, left) in [
        (Purge::Receive, &b"cdef"[..]),
        (Purge::Transmit, b"ab"),
        (Purge::Both, b""),
    ] {
        let mut port = open_at("loopback:?pace=line", "1000-8n1");
        write_all(&mut port, b"abcdef").await;
        tokio::time::advance(Duration::from_millis(25)).await;
        port.purge(queues).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(try_read(&mut port).await, left, "{queues:?}");
    }
    let mut port = open("loopback:");
    write_all(&mut port, b"abc").await;
    port.purge(Purge::Transmit).unwrap();
    assert_eq!(try_read(&mut port).await, b"abc");
    write_all(&mut port, b"abc").await;
    port.purge(Purge::Receive).unwrap();
    assert_eq!(try_read(&mut port).await, b"");
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn who_waits_to_read_is_woken_by_a_write() {
    let mut port = open("loopback:");
    let mut buf = [0; 8];
    let mut looked = false;
    // One task that owns the port: it finds nothing, writes, and must be woken to find what it wrote.
    let count = poll_fn(|cx| {
        let read = port.poll_read(cx, &mut buf);
        if read.is_pending() && !looked {
            looked = true;
            assert!(port.poll_write(cx, b"hi").is_ready());
        }
        read
    })
    .await
    .unwrap();
    assert_eq!(&buf[..count], b"hi");
}

fn set(port: &mut AnyPort, dtr: Option<bool>, rts: Option<bool>) {
    port.set_outputs(OutputChange { dtr, rts }).unwrap();
}
