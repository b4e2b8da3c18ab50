//! The network between clients and the gateway: byte streams with bounded buffers that can be cut at any byte, or fall
//! silent without a word. Not who speaks over them.

use std::collections::VecDeque;
use std::future::ready;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use uartnet_client::{Dial, Stream};

/// A connection, seen from either end. (Clients' streams must be `Send`, so it is not an `Rc`.)
#[derive(Debug, Clone)]
pub(crate) struct Wire(Arc<Mutex<Link>>);

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the client to the gateway.
    Up,
    /// From the gateway to the client.
    Down,
}

/// What an end finds when it reads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    Bytes(Vec<u8>),
    Nothing,
    End,
    Broken,
}

#[derive(Debug)]
struct Link {
    up: Half,
    down: Half,
    broken: bool,
    /// Nothing travels any more, and nobody is told.
    silent: bool,
    /// Once so many more bytes were written, either way, it breaks.
    cut_after: Option<usize>,
}

#[derive(Debug, Default)]
struct Half {
    bytes: VecDeque<u8>,
    capacity: usize,
    /// Its writer has shut it down.
    ended: bool,
    /// Its reader has closed.
    unread: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Half {
    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()]
            .into_iter()
            .flatten()
        {
            waker.wake();
        }
    }
}

impl Link {
    fn half(&mut self, way: Way) -> &mut Half {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }

    fn wake(&mut self) {
        self.up.wake();
        self.down.wake();
    }
}

impl Wire {
    fn new(capacity: usize) -> Wire {
        let half = || Half {
            capacity,
            ..Half::default()
        };
        Wire(Arc::new(Mutex::new(Link {
            up: half(),
            down: half(),
            broken: false,
            silent: false,
            cut_after: None,
        })))
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.0.lock().unwrap()
    }

    // --- what happens to it

    /// It breaks. Of what is under way, so many bytes still arrive.
    pub(crate) fn cut(&self, up: usize, down: usize) {
        let mut link = self.link();
        link.broken = true;
        link.up.bytes.truncate(up);
        link.down.bytes.truncate(down);
        link.wake();
    }

    /// It breaks once so many more bytes were written.
    pub(crate) fn cut_after(&self, bytes: usize) {
        self.link().cut_after = Some(bytes);
    }

    /// Nothing travels any more, and nobody is told.
    pub(crate) fn fall_silent(&self) {
        self.link().silent = true;
    }

    /// How many bytes are under way: up, and down.
    pub(crate) fn under_way(&self) -> (usize, usize) {
        let link = self.link();
        (link.up.bytes.len(), link.down.bytes.len())
    }

    // --- its ends

    /// As many bytes as there is room for; `None`: it is broken.
    pub(crate) fn write(&self, way: Way, bytes: &[u8]) -> Option<usize> {
        let mut link = self.link();
        let half = link.half(way);
        let room = half.capacity.saturating_sub(half.bytes.len());
        if link.broken || link.half(way).unread {
            return None;
        }
        let mut count = bytes.len().min(room);
        if let Some(left) = link.cut_after {
            count = count.min(left);
            link.cut_after = Some(left - count);
        }
        let cut = link.cut_after == Some(0);
        let half = link.half(way);
        half.bytes.extend(&bytes[..count]);
        if let Some(reader) = half.reader.take() {
            reader.wake();
        }
        if cut {
            link.broken = true;
            link.wake();
        }
        Some(count)
    }

    /// At most so many bytes.
    pub(crate) fn read(&self, way: Way, most: usize) -> Read {
        let mut link = self.link();
        let (broken, silent) = (link.broken, link.silent);
        let half = link.half(way);
        if silent && !broken {
            return Read::Nothing;
        }
        if !half.bytes.is_empty() {
            let count = most.min(half.bytes.len());
            let bytes = half.bytes.drain(..count).collect();
            if let Some(writer) = half.writer.take() {
                writer.wake();
            }
            return Read::Bytes(bytes);
        }
        match (half.ended, broken) {
            (true, _) => Read::End,
            (false, true) => Read::Broken,
            (false, false) => Read::Nothing,
        }
    }

    /// Whether reading would find anything.
    pub(crate) fn has_news(&self, way: Way) -> bool {
        let mut link = self.link();
        let (broken, silent) = (link.broken, link.silent);
        let half = link.half(way);
        broken || !silent && (!half.bytes.is_empty() || half.ended)
    }

    /// Whether writing would get anywhere (or find out that it is broken).
    pub(crate) fn has_room(&self, way: Way) -> bool {
        let mut link = self.link();
        let broken = link.broken;
        let half = link.half(way);
        broken || half.unread || half.bytes.len() < half.capacity
    }

    /// This half's writer says no more.
    pub(crate) fn end(&self, way: Way) {
        let mut link = self.link();
        link.half(way).ended = true;
        link.half(way).wake();
    }

    /// This half's reader listens no more.
    pub(crate) fn stop_reading(&self, way: Way) {
        let mut link = self.link();
        let half = link.half(way);
        half.unread = true;
        half.bytes.clear();
        half.wake();
    }
}

/// The gateway's listeners, as clients reach them.
#[derive(Debug, Clone)]
pub(crate) struct Network(Arc<Mutex<Door>>);

#[derive(Debug)]
struct Door {
    open: bool,
    /// The protocol that nobody listens for, of those that are offered else.
    missing: Option<&'static str>,
    capacity: usize,
    /// Connections that nobody has accepted.
    waiting: VecDeque<(&'static str, Wire)>,
}

impl Network {
    /// Each connection has room for so many bytes each way.
    pub(crate) fn new(capacity: usize) -> Network {
        Network(Arc::new(Mutex::new(Door {
            open: true,
            missing: None,
            capacity,
            waiting: VecDeque::new(),
        })))
    }

    fn door(&self) -> MutexGuard<'_, Door> {
        self.0.lock().unwrap()
    }

    /// Whether anybody listens.
    pub(crate) fn set_open(&self, open: bool) {
        let mut door = self.door();
        door.open = open;
        if !open {
            for (_, wire) in door.waiting.drain(..) {
                wire.cut(0, 0);
            }
        }
    }

    /// Whether there is a listener for every protocol, or for this one not.
    pub(crate) fn set_missing(&self, protocol: Option<&'static str>) {
        let mut door = self.door();
        door.missing = protocol;
        door.waiting.retain(|(of, wire)| {
            let stays = Some(*of) != protocol;
            if !stays {
                wire.cut(0, 0);
            }
            stays
        });
    }

    /// A client connects to the listener of this protocol.
    pub(crate) fn connect(&self, protocol: &'static str) -> Option<Wire> {
        let mut door = self.door();
        if !door.open || door.missing == Some(protocol) {
            return None;
        }
        let wire = Wire::new(door.capacity);
        door.waiting.push_back((protocol, wire.clone()));
        Some(wire)
    }

    /// The next connection that nobody has accepted.
    pub(crate) fn accept(&self) -> Option<(&'static str, Wire)> {
        self.door().waiting.pop_front()
    }

    pub(crate) fn has_waiting(&self) -> bool {
        !self.door().waiting.is_empty()
    }

    /// How uartnet's own client connects.
    pub(crate) fn dial(&self) -> Box<Dial> {
        let network = self.clone();
        Box::new(move || {
            let stream = match network.connect("uartnet") {
                Some(wire) => Ok(Box::new(ClientStream(wire)) as Box<dyn Stream>),
                None => Err(io::ErrorKind::ConnectionRefused.into()),
            };
            Box::pin(ready(stream))
        })
    }
}

/// The client's end. Dropping it closes the connection; what it sent still arrives.
struct ClientStream(Wire);

impl AsyncRead for ClientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.0.read(Way::Down, buffer.remaining()) {
            Read::Bytes(bytes) => buffer.put_slice(&bytes),
            Read::End => {}
            Read::Broken => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Read::Nothing => {
                self.0.link().down.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.0.write(Way::Up, bytes) {
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Some(0) => {
                self.0.link().up.writer = Some(cx.waker().clone());
                Poll::Pending
            }
            Some(count) => Poll::Ready(Ok(count)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.end(Way::Up);
        Poll::Ready(Ok(()))
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        self.0.end(Way::Up);
        self.0.stop_reading(Way::Down);
    }
}
