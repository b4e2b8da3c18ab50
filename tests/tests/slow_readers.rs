//! Readers that have stopped reading: what they cost the others, the board and the gateway's memory, and what they are
//! told. On real sockets, with more bytes than the kernel keeps for them.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread;

use rustix::net::sockopt::set_socket_recv_buffer_size;
use serde_json::{Value, json};
use uartnet_tests::{Daemon, Peer, Session, make_raw, open_board};

const READERS: usize = 10;
/// The board waits for the readers after each of these, as one that sends at 2 MB/s does.
const CHUNK: usize = 256 * 1024;
const CHUNKS: usize = 48;
const HISTORY: usize = 1024 * 1024;
/// What may wait for a reader that stopped, in the kernel and in the gateway, beside the history that all share.
const HELD: usize = 1024 * 1024;
/// What of that the gateway itself may hold; `conn_task.rs` has the test.
const OUTPUT: usize = 64 * 1024;
/// Beside the history: what eleven connections may have in hand, and the allocator.
const MEMORY: usize = 4 * 1024 * 1024;

/// All that the board says: each 16 bytes are their offset.
fn script() -> Arc<[u8]> {
    let lines = (0..CHUNK * CHUNKS).step_by(16);
    let text: String = lines.map(|offset| format!("{offset:014}\r\n")).collect();
    text.into_bytes().into()
}

#[test]
fn ten_readers_get_every_byte_beside_those_that_stopped_who_are_told_or_cut() {
    let folder = tempfile::tempdir().expect("a folder");
    let link = folder.path().join("board");
    // A reader that stopped must not hold the board up, even where stalling for an hour was asked for.
    let mut daemon = Daemon::with_config(&format!(
        "[[port]]\nname = \"board0\"\ndevice = \"pty:{}\"\non_lag = \"stall\"\nstall_limit = \"1h\"\n\
         history = {HISTORY}\n\
         [[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\n\
         [[listen]]\nprotocol = \"raw\"\naddress = \"127.0.0.1:0\"\n",
        link.display()
    ))
    .expect("a gateway");
    let raw = daemon.listening()[1].address.parse().expect("an address");
    let mut board = open_board(&link).expect("the link leads to a device");
    make_raw(&board).expect("a terminal device");

    let mut stopped = Session::open(daemon.address());
    let opened = stopped.request(json!({"open": "board0"}));
    assert_eq!(opened["offset"], 0, "{opened}");
    let mut stopped_raw = Peer::connect(raw);
    for stream in [stopped.peer().stream(), stopped_raw.stream()] {
        set_socket_recv_buffer_size(stream, 64 * 1024).expect("a small buffer");
    }
    let mut watcher = Session::open(daemon.address());
    let before = daemon.process().resident().expect("its memory");

    let script = script();
    let mut chunks_read = Vec::new();
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let (read, reads) = mpsc::channel();
        chunks_read.push(reads);
        let (peer, script) = (Peer::connect(raw), script.clone());
        readers.push(thread::spawn(move || {
            let mut bytes = vec![0; CHUNK];
            for (number, chunk) in script.chunks(CHUNK).enumerate() {
                peer.stream().read_exact(&mut bytes).expect("all of it");
                assert!(bytes == chunk, "in chunk {number}");
                read.send(()).expect("the board");
            }
        }));
    }
    // They begin at the byte that comes next, so all of them must be there.
    while watcher.request(json!({"info": "board0"}))["port"]["counters"]["readers"] != READERS + 2 {
        thread::yield_now();
    }
    for chunk in script.chunks(CHUNK) {
        board.write_all(chunk).expect("bytes");
        for reads in &chunks_read {
            reads.recv().expect("every reader is there");
        }
    }
    for reader in readers {
        reader.join().expect("a reader that has everything");
    }

    let grown = daemon
        .process()
        .resident()
        .expect("its memory")
        .saturating_sub(before);
    assert!(grown <= HISTORY + MEMORY, "{grown} bytes");

    for stream in [stopped.peer().stream(), stopped_raw.stream()] {
        let held = unacknowledged_by(stream);
        assert!(held > 0, "{held} bytes: it has not stopped");
        assert!(held + OUTPUT <= HELD, "the kernel holds {held} bytes");
    }

    let total = script.len();
    let missed = missed_by(&mut stopped, &script);
    assert!(
        missed > 0,
        "the kernel held all {total} bytes, so this test tests nothing"
    );
    let info = watcher.request(json!({"info": "board0"}));
    let counters = &info["port"]["counters"];
    assert_eq!(counters["bytes_read"], total, "{counters}");
    assert_eq!(counters["gap_bytes"], missed, "{counters}");
    assert_eq!(counters["gaps"], 1, "{counters}");
    assert_eq!(counters["cuts"], 1, "{counters}");

    // raw cannot say what is missing, so what it gets is right, and then it ends.
    let (got, _) = stopped_raw.rest();
    assert!(got.len() < total, "it cannot have everything");
    assert!(got == script[..got.len()], "it got something else");
}

/// How many bytes the other end of this connection has been given by its program, and could not deliver to us: `tx_queue` in
/// proc(5) of the socket that is connected to ours.
fn unacknowledged_by(stream: &TcpStream) -> usize {
    let port =
        |address: std::io::Result<SocketAddr>| format!(":{:04X}", address.expect("bound").port());
    let (ours, theirs) = (port(stream.local_addr()), port(stream.peer_addr()));
    let sockets = fs::read_to_string("/proc/net/tcp").expect("the sockets of this machine");
    let queues = sockets.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, local, remote, _, queues, ..] = fields.as_slice() else {
            return None;
        };
        (local.ends_with(&theirs) && remote.ends_with(&ours)).then(|| (*queues).to_owned())
    });
    let queues = queues.expect("it is connected");
    let (sending, _) = queues.split_once(':').expect("two queues");
    usize::from_str_radix(sending, 16).expect("a number")
}

/// Reads to the end: every byte once and in order, or in a gap with its exact place. Says how many were in gaps.
fn missed_by(session: &mut Session, script: &[u8]) -> usize {
    let (mut next, mut missed) = (0, 0);
    while next < script.len() {
        let payload = session.peer().frame();
        if payload[0] == b'{' {
            let event: Value = serde_json::from_slice(&payload).expect("control");
            if event["event"] == "gap" {
                assert_eq!(event["from"], next, "{event}");
                let to = event["to"].as_u64().expect("an offset");
                let to = usize::try_from(to).expect("a small offset");
                missed += to - next;
                next = to;
            }
            continue;
        }
        let colon = payload.iter().position(|byte| *byte == b':');
        let (offset, data) = payload.split_at(colon.expect("an offset"));
        assert_eq!(String::from_utf8_lossy(offset), next.to_string());
        let data = &data[1..];
        assert!(data == &script[next..next + data.len()], "at {next}");
        next += data.len();
    }
    missed
}
