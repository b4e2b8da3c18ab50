//! `resumer ADDRESS PORT FILE TOTAL`: writes so many bytes of [`content`] to a board that echoes, and appends what comes back
//! to a file. It may be killed at any moment: started again, it goes on at the end of the file and where the gateway says
//! that its writes were accepted. It keeps nothing else.

use std::env;
use std::fs::OpenOptions;
use std::io::Write;

use serde_json::json;
use uartnet_tests::{Session, content};

/// How much may be under way to the board and back: what the sockets hold in any case, so that one thread is enough.
const WINDOW: u64 = 128 * 1024;
const PIECE: u64 = 8 * 1024;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, port, file, total] = arguments.as_slice() else {
        panic!("resumer ADDRESS PORT FILE TOTAL, not {arguments:?}");
    };
    let total: u64 = total.parse().expect("a number of bytes");
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(file)
        .expect("a file");
    let mut received = file.metadata().expect("its length").len();

    let mut session = Session::open(address.parse().expect("an address"));
    let epoch = session.welcome["epoch"].clone();
    let opened = session.request(json!({
        "open": port, "mode": "write", "writer": "resumer",
        "from": {"at": {"offset": received, "epoch": epoch}},
    }));
    assert_eq!(opened["offset"], received, "{opened}");
    let mut written = opened["write_offset"].as_u64().expect("a write offset");
    while received < total {
        while written < total && written < received + WINDOW {
            let piece = content(written..total.min(written + PIECE));
            session.write(written, &piece);
            written += piece.len() as u64;
        }
        let (offset, bytes) = session.read_some();
        assert_eq!(offset, received, "the offset of what came");
        file.write_all(&bytes).expect("the file takes it");
        received += bytes.len() as u64;
    }
}
