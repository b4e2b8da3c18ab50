//! What an idle port and an idle connection weigh: bytes allotted by the running daemon, counted by the allocator, so that
//! the figures are the same on every machine. What they cost a process in memory is more by what the allocator itself needs;
//! `cargo xtask bench memory` measures that.
//!
//! A process of its own, and one test: the allocator counts for all threads.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::alloc::System;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::task::spawn_local;
use uartnet_reactor::timeout;
use uartnet_server::config::{Given, ListenAddress, load};
use uartnet_server::{News, Orders, ReadConfig, run, runtime};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// An idle port with a listener of its own and what the configuration says of both.
const PORT: usize = 2360;
/// An idle client of `raw`.
const RAW: usize = 780;
/// An idle client of `rfc2217`.
const RFC2217: usize = 1040;

/// How many are compared with how many more, so that what is there only once counts for nothing, nor does what a growing
/// table has in reserve.
const FEW: usize = 64;
const MANY: usize = 128;

fn allotted() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// A daemon at work on so many pseudo-terminals, and what `look` finds of it.
async fn with_daemon<T>(
    protocol: &str,
    ports: usize,
    look: impl AsyncFnOnce(std::net::SocketAddr) -> T,
) -> T {
    let boards: Vec<_> = (0..ports)
        .map(|_| {
            let board = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
            grantpt(&board).unwrap();
            unlockpt(&board).unwrap();
            let path = ptsname(&board, Vec::new()).unwrap();
            (board, path.into_string().unwrap())
        })
        .collect();
    let given = Given {
        ports: (boards.iter().enumerate())
            .map(|(index, (_, path))| format!("p{index}={path}"))
            .collect(),
        listen: (0..ports)
            .map(|index| format!("{protocol}=127.0.0.1:0,p{index}"))
            .collect(),
        ..Given::default()
    };
    let config = load(&given).unwrap().config;
    drop(given);
    let orders = Orders::default();
    let never: ReadConfig = Arc::new(|| panic!("nobody asked for a reload"));
    let (tell, told) = tokio::sync::oneshot::channel();
    let mut tell = Some(tell);
    let mut first = None;
    let running = spawn_local(run(config, never, orders.clone(), move |news| match news {
        News::Listening(line) => {
            if let ListenAddress::Tcp(address) = line.address {
                first.get_or_insert(address);
            }
        }
        News::Ready => {
            if let (Some(tell), Some(address)) = (tell.take(), first) {
                tell.send(address).unwrap();
            }
        }
        News::Reloading | News::Stopping => {}
    }));
    let address = told.await.unwrap();
    settle().await;
    let found = look(address).await;
    orders.stop.cancel();
    running.await.unwrap().unwrap();
    found
}

/// Until everybody has done what there was to do.
async fn settle() {
    let mut before = allotted();
    loop {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        uartnet_reactor::sleep(Duration::from_millis(20)).await;
        let now = allotted();
        if now == before {
            return;
        }
        before = now;
    }
}

async fn each_port() -> usize {
    let base = allotted();
    let few = with_daemon("raw", FEW, async |_| allotted() - base).await;
    settle().await;
    let base = allotted();
    let many = with_daemon("raw", MANY, async |_| allotted() - base).await;
    (many - few) / (MANY - FEW)
}

async fn each_connection(protocol: &str, hello: &[u8]) -> usize {
    use std::io::Write as _;
    with_daemon(protocol, 1, async |address| {
        let connect = |count: usize| -> Vec<TcpStream> {
            let clients = (0..count).map(|_| TcpStream::connect(address).unwrap());
            let mut clients: Vec<TcpStream> = clients.collect();
            clients
                .iter_mut()
                .for_each(|client| client.write_all(hello).unwrap());
            clients
        };
        let first = connect(FEW);
        settle().await;
        let few = allotted();
        let more = connect(MANY - FEW);
        settle().await;
        let each = (allotted() - few) / (MANY - FEW);
        drop((first, more));
        each
    })
    .await
}

#[test]
fn what_does_nothing_weighs_little() {
    const IAC: u8 = 255;
    let binary = [IAC, 251, 0, IAC, 253, 0, IAC, 251, 44];
    let story = async {
        // What is made once and for all is there from now on.
        each_port().await;
        [
            ("a port", each_port().await, PORT),
            ("a client of raw", each_connection("raw", b"").await, RAW),
            (
                "a client of rfc2217",
                each_connection("rfc2217", &binary).await,
                RFC2217,
            ),
        ]
    };
    let weights = runtime()
        .unwrap()
        .block_on(async { timeout(DEADLINE, story).await.expect("in time") });
    for (what, weight, bound) in weights {
        println!("{what}: {weight} bytes, at most {bound}");
    }
    for (what, weight, bound) in weights {
        assert!(
            weight <= bound,
            "{what} weighs {weight} bytes, more than {bound}"
        );
    }
}
