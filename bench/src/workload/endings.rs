//! What happens at the ends of connections: everything sent before a close arrives, and who comes back misses nothing.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};

use super::{Bench, Metric, Place, Workload};
use crate::content::Content;
use crate::goal::Goal;
use crate::kernel;
use crate::peer::Peer;
use crate::report::Unit;
use crate::subject::{Protocol, Subject};
use crate::tty::{read_exactly, write_all};

/// A client that sends and closes.
pub(super) const CLOSE: Workload = Workload {
    name: "close",
    what: "a client that sends 256 KiB and closes at once: how much arrives",
    run: close,
};

/// A client that loses its connection again and again.
pub(super) const RECONNECT: Workload = Workload {
    name: "reconnect",
    what: "a session cut 50 times at 1 MB/s: what it misses",
    run: reconnect,
};

const SENT: usize = 256 * 1024;

fn close(bench: &mut Bench) -> Result<()> {
    let content = Content::default();
    let metric = Metric {
        name: "missing",
        unit: Unit::Bytes,
        goal: Some(Goal::AtMost(0.0)),
    };
    for protocol in [Protocol::Raw, Protocol::Rfc2217] {
        let mut running = bench.server(Subject::Uartd, protocol, 1, "", Place::OwnCpu)?;
        let mut missing = Vec::new();
        for round in 0..bench.rounds {
            bench
                .report
                .progress(&format!("close: {}, round {}", protocol.name(), round + 1));
            let address = running.server.addresses[0];
            let heard = thread::scope(|scope| -> Result<usize> {
                let client = scope.spawn(|| -> Result<()> {
                    let mut peer = Peer::connect(address, protocol)?;
                    for position in (0..SENT).step_by(16 * 1024) {
                        peer.sender.send(content.at(position as u64, 16 * 1024))?;
                    }
                    Ok(())
                });
                let mut heard = vec![0; SENT];
                let read = running.boards[0].read_exactly(&mut heard);
                client
                    .join()
                    .map_err(|_| anyhow!("the client's thread failed"))??;
                Ok(if read.is_ok() && content.is(0, &heard) {
                    SENT
                } else {
                    0
                })
            })?;
            missing.push((SENT - heard) as f64);
        }
        bench.add(
            "close",
            &format!("256 KiB, {}", protocol.name()),
            Subject::Uartd,
            metric,
            missing,
        );
    }
    Ok(())
}

fn reconnect(bench: &mut Bench) -> Result<()> {
    const CUTS: u64 = 50;
    const BETWEEN: usize = 40_000;
    let content = Content::default();
    let running = bench.server(Subject::Uartd, Protocol::Session, 1, "", Place::OwnCpu)?;
    kernel::run_on(Some(0))?;
    let address = running.server.addresses[0];
    let epoch = epoch(address)?;
    let mut end = running.boards[0].end()?;
    bench.report.progress("reconnect");
    let position = thread::scope(|scope| -> Result<u64> {
        let board = scope.spawn(|| -> Result<()> {
            for position in (0..CUTS * BETWEEN as u64).step_by(10_000) {
                write_all(&mut end, content.at(position, 10_000))?;
                thread::sleep(Duration::from_millis(10));
            }
            Ok(())
        });
        let mut position = 0;
        let mut bytes = vec![0; BETWEEN];
        for _ in 0..CUTS {
            let opening = format!(
                "{{\"open\":\"p0\",\"from\":{{\"at\":{{\"offset\":{position},\"epoch\":\"{epoch}\"}}}}}}"
            );
            let mut peer = Peer::connect_to(address, Protocol::Session, &opening)?;
            peer.receiver
                .receive_exactly(&mut bytes)
                .context("after a reconnection")?;
            ensure!(
                content.is(position, &bytes),
                "the bytes after {position} are wrong"
            );
            position += bytes.len() as u64;
        }
        board
            .join()
            .map_err(|_| anyhow!("the board's thread failed"))??;
        Ok(position)
    })?;
    let metric = Metric {
        name: "missing",
        unit: Unit::Bytes,
        goal: Some(Goal::AtMost(0.0)),
    };
    let missing = (CUTS * BETWEEN as u64 - position) as f64;
    bench.add(
        "reconnect",
        "50 cuts at 1 MB/s",
        Subject::Uartd,
        metric,
        vec![missing],
    );
    Ok(())
}

/// The epoch that the gateway says in its welcome.
fn epoch(address: std::net::SocketAddr) -> Result<String> {
    let mut stream = std::net::TcpStream::connect(address)?;
    write_all(
        &mut stream,
        &crate::peer::frame(b"{\"hello\":\"uartnet/1\"}"),
    )?;
    let mut mark = Vec::new();
    while mark.last() != Some(&b'_') {
        let mut byte = [0];
        read_exactly(&mut stream, &mut byte)?;
        mark.push(byte[0]);
    }
    let len: usize = std::str::from_utf8(&mark[..mark.len() - 1])?.parse()?;
    let mut payload = vec![0; len - mark.len()];
    read_exactly(&mut stream, &mut payload)?;
    let welcome: serde_json::Value = serde_json::from_slice(&payload)?;
    Ok(welcome["epoch"]
        .as_str()
        .context("welcome without an epoch")?
        .to_owned())
}
