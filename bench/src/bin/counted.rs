//! The pure parts, each doing the same work a given number of times, so that its instructions can be counted (by
//! `cargo xtask bench --check`, under valgrind): a count is the same on a noisy machine.
//!
//! `uartnet-counted NAME TIMES` does it; without arguments it prints the names, one a line with what each is.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context, Result};
use bytes::BytesMut;
use uart_iface::{InputSignals, LineSettings, OutputSignals};
use uartnet_hub::{Access, Attach, DeviceState, Epoch, Hub, Notice, ReadFrom};
use uartnet_proto::frame::{FrameDecoder, encode};
use uartnet_server::config::{Given, load};
use uartnet_telnet::{Event, Policy, Telnet, TelnetOption};

/// A piece of work: done once per call.
type Work = Box<dyn FnMut() -> Result<()>>;
/// Its name, what it is, and how it is prepared.
type Piece = (&'static str, &'static str, fn() -> Result<Work>);

/// Every piece. The names stand in `bench/instructions.json`, too.
const PIECES: &[Piece] = &[
    (
        "frame-encode",
        "a frame of 64 bytes is written",
        frame_encode,
    ),
    ("frame-decode", "a frame of 64 bytes is read", frame_decode),
    (
        "telnet-send",
        "4096 bytes with 16 escapes are sent",
        telnet_send,
    ),
    (
        "telnet-receive",
        "4112 bytes of telnet are understood",
        telnet_receive,
    ),
    (
        "hub-fan-out-1",
        "64 bytes go from the UART to one reader",
        || hub_fan_out(1),
    ),
    (
        "hub-fan-out-100",
        "64 bytes go from the UART to 100 readers",
        || hub_fan_out(100),
    ),
    (
        "hub-write",
        "64 bytes go from a client to the UART",
        hub_write,
    ),
];

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(name) = arguments.next() else {
        for (name, what, _) in PIECES {
            println!("{name}\t{what}");
        }
        return Ok(());
    };
    let times: u64 = arguments.next().context("how many times?")?.parse()?;
    let piece = PIECES.iter().find(|piece| piece.0 == name);
    let mut work = piece.with_context(|| format!("there is no {name}"))?.2()?;
    for _ in 0..times {
        work()?;
    }
    Ok(())
}

fn frame_encode() -> Result<Work> {
    let mut out = BytesMut::with_capacity(4096);
    Ok(Box::new(move || {
        out.clear();
        encode(&[black_box(&[b'x'; 64])], &mut out);
        black_box(&out);
        Ok(())
    }))
}

fn frame_decode() -> Result<Work> {
    let mut wire = BytesMut::new();
    encode(&[&[b'x'; 64]], &mut wire);
    let mut decoder = FrameDecoder::new(65_536);
    Ok(Box::new(move || {
        decoder.handle_input(black_box(&wire));
        black_box(decoder.poll_frame()?.context("no frame")?);
        Ok(())
    }))
}

fn bytes_with_escapes() -> Vec<u8> {
    (0..4096_u32)
        .map(|index| {
            if index % 256 == 7 {
                0xFF
            } else {
                (index % 251) as u8
            }
        })
        .collect()
}

/// One end of a connection that has agreed on BINARY, as every serial client asks for.
fn binary() -> Telnet {
    const OPTIONS: &[TelnetOption] = &[TelnetOption::BINARY];
    let mut telnet = Telnet::new(Policy {
        us: OPTIONS,
        him: OPTIONS,
    });
    telnet.handle_input(b"\xff\xfb\x00\xff\xfd\x00", &mut BytesMut::new(), |_, _| {});
    telnet
}

fn telnet_send() -> Result<Work> {
    let data = bytes_with_escapes();
    let mut telnet = binary();
    let mut out = BytesMut::with_capacity(8192);
    Ok(Box::new(move || {
        out.clear();
        telnet.send_data(black_box(&data), &mut out);
        black_box(&out);
        Ok(())
    }))
}

fn telnet_receive() -> Result<Work> {
    let mut wire = Vec::new();
    for byte in bytes_with_escapes() {
        wire.extend(std::iter::repeat_n(byte, if byte == 0xFF { 2 } else { 1 }));
    }
    let mut telnet = binary();
    let mut out = BytesMut::with_capacity(8192);
    Ok(Box::new(move || {
        out.clear();
        let mut understood = 0;
        telnet.handle_input(black_box(&wire), &mut out, |event, _| {
            if let Event::Data(data) = event {
                understood += data.len();
            }
        });
        black_box(understood);
        Ok(())
    }))
}

/// The hub of a port that is configured by nothing but its device, which is there.
fn hub(now: Instant) -> Result<Hub> {
    let given = Given {
        ports: vec!["p0=loopback:".to_owned()],
        ..Given::default()
    };
    let config = load(&given)?.config;
    let mut hub = Hub::new(config.ports[0].hub.clone(), Epoch(1));
    let state = DeviceState::Present {
        line: LineSettings::default(),
        outputs: OutputSignals::ASSERTED,
        inputs: InputSignals::ABSENT_LINES,
    };
    hub.handle_opened(now, state, true);
    Ok(hub)
}

fn attach(read: Option<ReadFrom>) -> Attach {
    Attach {
        label: "bench".into(),
        access: Access::Admin,
        read,
        on_lag: None,
        can_carry_gap: true,
        writer: None,
    }
}

fn hub_fan_out(readers: usize) -> Result<Work> {
    let now = Instant::now();
    let mut hub = hub(now)?;
    let clients: Vec<_> = (0..readers)
        .map(|_| hub.attach(now, attach(Some(ReadFrom::Live))).client)
        .collect();
    for client in &clients {
        while hub.poll_notice(now, *client, 65_536).is_some() {}
    }
    while hub.poll_wake().is_some() {}
    Ok(Box::new(move || {
        hub.handle_uart_data(now, &[b'x'; 64]);
        while let Some(client) = hub.poll_wake() {
            let notice = hub.poll_notice(now, client, 65_536);
            anyhow::ensure!(
                matches!(&notice, Some(Notice::Data { bytes, .. }) if bytes.len() == 64),
                "{notice:?}"
            );
            black_box(hub.poll_notice(now, client, 65_536));
        }
        Ok(())
    }))
}

fn hub_write() -> Result<Work> {
    let now = Instant::now();
    let mut hub = hub(now)?;
    let client = hub.attach(now, attach(None)).client;
    while hub.poll_notice(now, client, 65_536).is_some() {}
    Ok(Box::new(move || {
        hub.write(now, client, &[b'x'; 64])?;
        while let Some(count) = hub.poll_transmit(now).map(<[u8]>::len) {
            hub.handle_transmitted(now, count);
        }
        while hub.poll_wake().is_some() {}
        while hub.poll_notice(now, client, 65_536).is_some() {}
        Ok(())
    }))
}
