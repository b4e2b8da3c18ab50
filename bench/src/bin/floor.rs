//! The floor: the least that a gateway can do. One thread, one epoll, no protocol, no history, no copies but the ones the
//! kernel makes: wait, read, write. It is what `uartd` is measured against, and not a gateway: one stalled client stops
//! everybody, and what is sent while nobody is connected is gone.
//!
//! `uartnet-floor TTY…` listens on a port of 127.0.0.1 for each TTY and prints `listening raw ADDRESS TTY`, as `uartd` does.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::PathBuf;

use anyhow::{Context, Result};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use uartnet_bench::tty::open_raw;

/// How much is read at once, in bytes.
const READ: usize = 64 * 1024;
/// Events taken at once.
const EVENTS: usize = 256;

struct Relay {
    epoll: rustix::fd::OwnedFd,
    ports: Vec<Port>,
    clients: Vec<Option<Client>>,
    buffer: Box<[u8]>,
}

struct Port {
    tty: File,
    listener: TcpListener,
    clients: Vec<usize>,
    /// What the tty has yet to take; the clients that sent it are not read meanwhile.
    pending: Vec<u8>,
    waiting: Vec<usize>,
    /// Clients that have not taken everything; the tty is not read meanwhile.
    behind: usize,
}

struct Client {
    stream: TcpStream,
    port: usize,
    pending: Vec<u8>,
    /// Whether the tty makes it wait.
    held: bool,
}

/// Which file descriptor an event is about.
#[derive(Clone, Copy)]
enum Source {
    Listener(usize),
    Tty(usize),
    Client(usize),
}

impl Source {
    fn data(self) -> EventData {
        let (kind, index) = match self {
            Source::Listener(index) => (0, index),
            Source::Tty(index) => (1, index),
            Source::Client(index) => (2, index),
        };
        EventData::new_u64(kind << 32 | index as u64)
    }

    fn from(data: EventData) -> Source {
        let index = (data.u64() & 0xFFFF_FFFF) as usize;
        match data.u64() >> 32 {
            0 => Source::Listener(index),
            1 => Source::Tty(index),
            _ => Source::Client(index),
        }
    }
}

fn main() -> Result<()> {
    let mut relay = Relay {
        epoll: epoll::create(CreateFlags::CLOEXEC)?,
        ports: Vec::new(),
        clients: Vec::new(),
        buffer: vec![0; READ].into_boxed_slice(),
    };
    for path in std::env::args_os().skip(1).map(PathBuf::from) {
        relay
            .add(&path)
            .with_context(|| path.display().to_string())?;
    }
    relay.run()
}

impl Relay {
    fn add(&mut self, path: &std::path::Path) -> Result<()> {
        let tty = open_raw(path)?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let index = self.ports.len();
        epoll::add(&self.epoll, &tty, Source::Tty(index).data(), EventFlags::IN)?;
        let source = Source::Listener(index);
        epoll::add(&self.epoll, &listener, source.data(), EventFlags::IN)?;
        println!(
            "listening raw {} {}",
            listener.local_addr()?,
            path.display()
        );
        self.ports.push(Port {
            tty,
            listener,
            clients: Vec::new(),
            pending: Vec::new(),
            waiting: Vec::new(),
            behind: 0,
        });
        Ok(())
    }

    fn run(&mut self) -> Result<()> {
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            events.clear();
            match epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                None,
            ) {
                Err(rustix::io::Errno::INTR) => continue,
                waited => waited?,
            };
            for event in &events {
                // Copied out: the kernel's structure is packed.
                let (data, flags) = (event.data, event.flags);
                match Source::from(data) {
                    Source::Listener(port) => self.accept(port)?,
                    Source::Tty(port) => {
                        if flags.contains(EventFlags::OUT) {
                            self.flush_tty(port)?;
                        }
                        if flags.intersects(EventFlags::IN | EventFlags::HUP) {
                            self.read_tty(port)?;
                        }
                    }
                    Source::Client(client) => {
                        if flags.contains(EventFlags::OUT) {
                            self.flush_client(client)?;
                        }
                        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                            self.read_client(client)?;
                        }
                    }
                }
            }
        }
    }

    fn accept(&mut self, port: usize) -> Result<()> {
        loop {
            let stream = match self.ports[port].listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let free = self.clients.iter().position(Option::is_none);
            let index = free.unwrap_or_else(|| {
                self.clients.push(None);
                self.clients.len() - 1
            });
            let source = Source::Client(index);
            epoll::add(&self.epoll, &stream, source.data(), EventFlags::IN)?;
            self.ports[port].clients.push(index);
            self.clients[index] = Some(Client {
                stream,
                port,
                pending: Vec::new(),
                held: false,
            });
        }
    }

    fn read_tty(&mut self, port: usize) -> Result<()> {
        if self.ports[port].behind > 0 {
            return Ok(());
        }
        let len = match (&self.ports[port].tty).read(&mut self.buffer) {
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("the tty is gone"),
        };
        let mut gone = Vec::new();
        let owner = &mut self.ports[port];
        for &index in &owner.clients {
            let Some(client) = &mut self.clients[index] else {
                continue;
            };
            match write_some(&mut &client.stream, &self.buffer[..len]) {
                Ok(taken) if taken < len => {
                    client.pending.extend_from_slice(&self.buffer[taken..len]);
                    owner.behind += 1;
                    let interest = EventFlags::IN | EventFlags::OUT;
                    let data = Source::Client(index).data();
                    epoll::modify(&self.epoll, &client.stream, data, interest)?;
                }
                Ok(_) => {}
                Err(_) => gone.push(index),
            }
        }
        for index in gone {
            self.leave(index)?;
        }
        if self.ports[port].behind > 0 {
            self.interest_in_tty(port)?;
        }
        Ok(())
    }

    fn flush_client(&mut self, index: usize) -> Result<()> {
        let Some(client) = &mut self.clients[index] else {
            return Ok(());
        };
        if client.pending.is_empty() {
            return Ok(());
        }
        match write_some(&mut &client.stream, &client.pending) {
            Ok(taken) => drop(client.pending.drain(..taken)),
            Err(_) => return self.leave(index),
        }
        if client.pending.is_empty() {
            let port = client.port;
            self.ports[port].behind -= 1;
            self.interest_in_client(index)?;
            self.interest_in_tty(port)?;
        }
        Ok(())
    }

    fn read_client(&mut self, index: usize) -> Result<()> {
        let Some(client) = &mut self.clients[index] else {
            return Ok(());
        };
        if client.held {
            return Ok(());
        }
        let port = client.port;
        let len = match (&client.stream).read(&mut self.buffer) {
            Ok(0) => return self.leave(index),
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(_) => return self.leave(index),
        };
        let owner = &mut self.ports[port];
        let taken = if owner.pending.is_empty() {
            write_some(&mut &owner.tty, &self.buffer[..len])?
        } else {
            0
        };
        if taken < len {
            owner.pending.extend_from_slice(&self.buffer[taken..len]);
            owner.waiting.push(index);
            client.held = true;
            self.interest_in_client(index)?;
            self.interest_in_tty(port)?;
        }
        Ok(())
    }

    fn flush_tty(&mut self, port: usize) -> Result<()> {
        let owner = &mut self.ports[port];
        let taken = write_some(&mut &owner.tty, &owner.pending)?;
        owner.pending.drain(..taken);
        if owner.pending.is_empty() {
            for index in std::mem::take(&mut owner.waiting) {
                if let Some(client) = &mut self.clients[index] {
                    client.held = false;
                    self.interest_in_client(index)?;
                }
            }
            self.interest_in_tty(port)?;
        }
        Ok(())
    }

    fn leave(&mut self, index: usize) -> Result<()> {
        if let Some(client) = self.clients[index].take() {
            let port = &mut self.ports[client.port];
            port.clients.retain(|other| *other != index);
            port.waiting.retain(|other| *other != index);
            port.behind -= usize::from(!client.pending.is_empty());
            self.interest_in_tty(client.port)?;
        }
        Ok(())
    }

    fn interest_in_tty(&self, index: usize) -> io::Result<()> {
        let port = &self.ports[index];
        let mut interest = EventFlags::empty();
        interest.set(EventFlags::IN, port.behind == 0);
        interest.set(EventFlags::OUT, !port.pending.is_empty());
        Ok(epoll::modify(
            &self.epoll,
            port.tty.as_fd(),
            Source::Tty(index).data(),
            interest,
        )?)
    }

    fn interest_in_client(&self, index: usize) -> io::Result<()> {
        let Some(client) = &self.clients[index] else {
            return Ok(());
        };
        let mut interest = EventFlags::empty();
        interest.set(EventFlags::IN, !client.held);
        interest.set(EventFlags::OUT, !client.pending.is_empty());
        Ok(epoll::modify(
            &self.epoll,
            &client.stream,
            Source::Client(index).data(),
            interest,
        )?)
    }
}

/// How much was taken; nothing if it would block.
fn write_some(to: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    match to.write(bytes) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        written => written,
    }
}
