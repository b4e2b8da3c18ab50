//! A TCP relay whose connections can be cut on demand: the bad network between a client and a gateway.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::DEADLINE;

/// A relay in front of one address. It ends with its guard.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Both ends of every connection that was not cut.
    streams: Vec<TcpStream>,
    /// How many connections were relayed so far.
    relayed: u64,
    /// How many connections were turned away so far.
    refused: u64,
    down: bool,
    ended: bool,
}

impl Relay {
    /// A relay to `target` on a port of its own.
    ///
    /// # Errors
    /// No port can be had.
    pub fn to(target: SocketAddr) -> Result<Relay> {
        let listener = TcpListener::bind("127.0.0.1:0").context("the relay gets no port")?;
        let address = listener.local_addr().context("the relay has no address")?;
        let shared = Arc::new(Shared::default());
        let for_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if lock(&for_thread).ended {
                    return;
                }
                if let Ok(stream) = stream {
                    relay(stream, target, &for_thread);
                }
            }
        });
        Ok(Relay { address, shared })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts every connection, and turns new ones away until [`Relay::mend`]. Bytes under way are lost.
    pub fn cut(&self) {
        let mut state = lock(&self.shared);
        state.down = true;
        for stream in state.streams.drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    /// Lets new connections through again.
    pub fn mend(&self) {
        lock(&self.shared).down = false;
    }

    /// How many connections were relayed so far.
    pub fn relayed(&self) -> u64 {
        lock(&self.shared).relayed
    }

    /// Waits until so many connections were turned away: then somebody has noticed the cut.
    ///
    /// # Errors
    /// Nobody has within [`DEADLINE`].
    pub fn wait_refused(&self, count: u64) -> Result<()> {
        let deadline = Instant::now() + DEADLINE;
        let mut state = lock(&self.shared);
        while state.refused < count {
            let left = deadline.saturating_duration_since(Instant::now());
            ensure!(
                !left.is_zero(),
                "the relay turned away {} connections within {DEADLINE:?}, not {count}",
                state.refused
            );
            state = self
                .shared
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        Ok(())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.cut();
        lock(&self.shared).ended = true;
        // The listener only looks at `ended` when somebody connects.
        TcpStream::connect(self.address).ok();
    }
}

fn relay(client: TcpStream, target: SocketAddr, shared: &Arc<Shared>) {
    let server = if lock(shared).down {
        None
    } else {
        TcpStream::connect(target).ok()
    };
    let mut state = lock(shared);
    let clones = server
        .as_ref()
        .and_then(|server| Some([client.try_clone().ok()?, server.try_clone().ok()?]));
    match (server, clones) {
        (Some(server), Some(clones)) if !state.down => {
            state.streams.extend(clones);
            state.relayed += 1;
            copy_both(client, server);
        }
        _ => state.refused += 1,
    }
    shared.changed.notify_all();
}

/// Two threads, one a direction. An end is passed on, and so is what still travels the other way.
fn copy_both(client: TcpStream, server: TcpStream) {
    for stream in [&client, &server] {
        stream.set_nodelay(true).ok();
    }
    let (Ok(client_too), Ok(server_too)) = (client.try_clone(), server.try_clone()) else {
        return;
    };
    thread::spawn(move || copy(client, server));
    thread::spawn(move || copy(server_too, client_too));
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    to.shutdown(Shutdown::Write).ok();
}

/// Sends `bytes` to a board that echoes, over a client behind this relay, and reads them back while the relay's connection is
/// cut and mended three times on the way. `read` reads exactly so many bytes. Gives what came back.
///
/// # Panics
/// The writer or the reader failed, or nothing came for too long.
pub fn echo_through_cuts(
    relay: &Relay,
    mut writer: impl Write + Send + 'static,
    mut read: impl FnMut(usize) -> Vec<u8> + Send + 'static,
    bytes: &[u8],
) -> Vec<u8> {
    let sent = bytes.to_vec();
    let writing = thread::spawn(move || writer.write_all(&sent));
    let (progress, read_so_far) = mpsc::channel();
    let length = bytes.len();
    let reading = thread::spawn(move || {
        let mut received = Vec::new();
        while received.len() < length {
            received.extend(read((length - received.len()).min(10_000)));
            // Nobody listens any more after the last cut.
            progress.send(received.len()).ok();
        }
        received
    });
    for round in 1..=3 {
        let far = |read: Result<usize, _>| read.expect("the board's echo") >= round * 50_000;
        while !far(read_so_far.recv_timeout(DEADLINE)) {}
        relay.cut();
        relay
            .wait_refused(round as u64)
            .expect("the client tries again");
        relay.mend();
    }
    writing
        .join()
        .expect("the writer")
        .expect("everything is taken");
    reading.join().expect("the reader")
}

fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    shared.state.lock().unwrap_or_else(PoisonError::into_inner)
}
