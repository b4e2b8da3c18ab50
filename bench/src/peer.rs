//! Clients of each protocol, written by hand so that they share no mistake with what is measured: they send bytes and get
//! bytes, and pay for escapes and frames themselves.

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use rustix::event::PollFlags;

use crate::subject::Protocol;
use crate::tty::{SILENCE, read_some, wait, write_all};

const IAC: u8 = 255;
const SB: u8 = 250;
const SE: u8 = 240;
const WILL: u8 = 251;
const DO: u8 = 253;
const BINARY: u8 = 0;

/// A connection that carries a board's bytes.
#[derive(Debug)]
pub struct Peer {
    /// Its sending half.
    pub sender: Sender,
    /// Its receiving half.
    pub receiver: Receiver,
}

/// The half that sends.
#[derive(Debug)]
pub struct Sender {
    stream: TcpStream,
    protocol: Protocol,
    sent: u64,
    wire: Vec<u8>,
}

/// The half that receives.
#[derive(Debug)]
pub struct Receiver {
    stream: TcpStream,
    decoder: Decoder,
    buffer: Box<[u8]>,
    bytes: Vec<u8>,
}

#[derive(Debug)]
enum Decoder {
    Raw,
    Telnet(Telnet),
    Session(Frames),
}

impl Peer {
    /// Connects and does what must be done before bytes can pass.
    ///
    /// # Errors
    /// The server does not answer as it should.
    pub fn connect(address: SocketAddr, protocol: Protocol) -> Result<Peer> {
        let opening = format!("{{\"open\":\"{}\",\"mode\":\"write\"}}", "p0");
        Peer::connect_to(address, protocol, &opening)
    }

    /// The same for a session that opens its port in another way.
    ///
    /// # Errors
    /// As for [`Peer::connect`].
    pub fn connect_to(address: SocketAddr, protocol: Protocol, opening: &str) -> Result<Peer> {
        let stream =
            TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let decoder = match protocol {
            Protocol::Raw => Decoder::Raw,
            Protocol::Rfc2217 => Decoder::Telnet(Telnet::default()),
            Protocol::Session => Decoder::Session(Frames::default()),
        };
        let mut peer = Peer {
            sender: Sender {
                stream: stream.try_clone()?,
                protocol,
                sent: 0,
                wire: Vec::new(),
            },
            receiver: Receiver {
                stream,
                decoder,
                buffer: vec![0; 64 * 1024].into_boxed_slice(),
                bytes: Vec::new(),
            },
        };
        peer.begin(opening)?;
        Ok(peer)
    }

    fn begin(&mut self, opening: &str) -> Result<()> {
        let stream = &mut self.sender.stream;
        match &self.receiver.decoder {
            Decoder::Raw => return Ok(()),
            Decoder::Telnet(_) => {
                write_all(
                    stream,
                    &[IAC, WILL, BINARY, IAC, DO, BINARY, IAC, WILL, 3, IAC, DO, 3],
                )?;
            }
            Decoder::Session(_) => {
                write_all(stream, &frame(b"{\"hello\":\"uartnet/1\"}"))?;
                write_all(stream, &frame(opening.as_bytes()))?;
            }
        }
        let begin = Instant::now();
        while !self.receiver.decoder.has_begun() {
            ensure!(
                begin.elapsed() < SILENCE,
                "the server did not agree to anything"
            );
            self.receiver.fill()?;
        }
        Ok(())
    }
}

impl Sender {
    /// Sends these bytes to the board.
    ///
    /// # Errors
    /// The server is gone, or takes nothing.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let wire = match self.protocol {
            Protocol::Raw => bytes,
            Protocol::Rfc2217 => {
                self.wire.clear();
                for piece in bytes.split_inclusive(|byte| *byte == IAC) {
                    self.wire.extend_from_slice(piece);
                    if piece.last() == Some(&IAC) {
                        self.wire.push(IAC);
                    }
                }
                &self.wire
            }
            Protocol::Session => {
                self.wire.clear();
                let mut offset = self.sent;
                for piece in bytes.chunks(32 * 1024) {
                    let payload = [format!("{offset}:").as_bytes(), piece].concat();
                    self.wire.extend_from_slice(&frame(&payload));
                    offset += piece.len() as u64;
                }
                &self.wire
            }
        };
        self.sent += bytes.len() as u64;
        write_all(&mut self.stream, wire)
    }

    /// Sends a control message of a session, or anything else, as it is on the wire.
    ///
    /// # Errors
    /// As for [`Sender::send`].
    pub fn send_wire(&mut self, wire: &[u8]) -> Result<()> {
        write_all(&mut self.stream, wire)
    }
}

impl Receiver {
    /// Reads until the buffer is full of the board's bytes.
    ///
    /// # Errors
    /// The server has closed, or is silent.
    pub fn receive_exactly(&mut self, buffer: &mut [u8]) -> Result<()> {
        while self.bytes.len() < buffer.len() {
            self.fill()?;
        }
        buffer.copy_from_slice(&self.bytes[..buffer.len()]);
        self.bytes.drain(..buffer.len());
        Ok(())
    }

    /// The board's bytes that are there, at least one.
    ///
    /// # Errors
    /// The server has closed, or is silent.
    pub fn receive(&mut self) -> Result<Vec<u8>> {
        while self.bytes.is_empty() {
            self.fill()?;
        }
        Ok(std::mem::take(&mut self.bytes))
    }

    /// The board's bytes that are there without waiting.
    ///
    /// # Errors
    /// The server has closed.
    pub fn receive_now(&mut self) -> Result<&[u8]> {
        self.bytes.clear();
        match (&self.stream).read(&mut self.buffer) {
            Ok(0) => bail!("the server has closed"),
            Ok(len) => self.decoder.decode(&self.buffer[..len], &mut self.bytes)?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        Ok(&self.bytes)
    }

    /// How many control messages that carry this key a session has had.
    pub fn messages(&self) -> u64 {
        match &self.decoder {
            Decoder::Session(frames) => frames.replies,
            _ => 0,
        }
    }

    /// Waits for one more reply to an ask.
    ///
    /// # Errors
    /// The server has closed, is silent, or answered with an error.
    pub fn wait_reply(&mut self) -> Result<()> {
        let before = self.messages();
        while self.messages() == before {
            self.fill()?;
        }
        Ok(())
    }

    /// The socket, to wait on.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    fn fill(&mut self) -> Result<()> {
        ensure!(
            wait(&self.stream, PollFlags::IN, SILENCE)?,
            "the server is silent"
        );
        let len = read_some(&mut &self.stream, &mut self.buffer)?;
        self.decoder.decode(&self.buffer[..len], &mut self.bytes)
    }
}

impl Decoder {
    fn has_begun(&self) -> bool {
        match self {
            Decoder::Raw => true,
            Decoder::Telnet(telnet) => telnet.will && telnet.does,
            Decoder::Session(frames) => frames.opened,
        }
    }

    fn decode(&mut self, wire: &[u8], bytes: &mut Vec<u8>) -> Result<()> {
        match self {
            Decoder::Raw => bytes.extend_from_slice(wire),
            Decoder::Telnet(telnet) => telnet.decode(wire, bytes),
            Decoder::Session(frames) => frames.decode(wire, bytes)?,
        }
        Ok(())
    }
}

/// As much of telnet as a client of a known server needs.
#[derive(Debug, Default)]
struct Telnet {
    state: TelnetState,
    /// The server sends, and takes, binary.
    will: bool,
    does: bool,
}

#[derive(Debug, Default, Clone, Copy)]
enum TelnetState {
    #[default]
    Data,
    Iac,
    Option(u8),
    Sub,
    SubIac,
}

impl Telnet {
    fn decode(&mut self, wire: &[u8], bytes: &mut Vec<u8>) {
        let mut rest = wire;
        while let Some(&byte) = rest.first() {
            if let TelnetState::Data = self.state {
                let Some(plain) = rest.iter().position(|byte| *byte == IAC) else {
                    return bytes.extend_from_slice(rest);
                };
                bytes.extend_from_slice(&rest[..plain]);
                rest = &rest[plain + 1..];
                self.state = TelnetState::Iac;
                continue;
            }
            rest = &rest[1..];
            self.state = match (self.state, byte) {
                (TelnetState::Iac, IAC) => {
                    bytes.push(IAC);
                    TelnetState::Data
                }
                (TelnetState::Iac, SB) => TelnetState::Sub,
                (TelnetState::Iac, verb @ WILL..=254) => TelnetState::Option(verb),
                (TelnetState::Sub, IAC) => TelnetState::SubIac,
                (TelnetState::Sub, _) => TelnetState::Sub,
                (TelnetState::SubIac, SE) => TelnetState::Data,
                (TelnetState::SubIac, _) => TelnetState::Sub,
                (TelnetState::Option(verb), BINARY) => {
                    self.will |= verb == WILL;
                    self.does |= verb == DO;
                    TelnetState::Data
                }
                _ => TelnetState::Data,
            };
        }
    }
}

/// As much of the native protocol as a client of a known server needs.
#[derive(Debug, Default)]
struct Frames {
    held: Vec<u8>,
    opened: bool,
    replies: u64,
}

impl Frames {
    fn decode(&mut self, wire: &[u8], bytes: &mut Vec<u8>) -> Result<()> {
        self.held.extend_from_slice(wire);
        let mut at = 0;
        while let Some(mark) = self.held[at..]
            .iter()
            .take(8)
            .position(|byte| *byte == b'_')
        {
            let len: usize = std::str::from_utf8(&self.held[at..at + mark])?.parse()?;
            let Some(payload) = self.held.get(at + mark + 1..at + len) else {
                break;
            };
            if payload.first() == Some(&b'{') {
                let text = std::str::from_utf8(payload)?;
                ensure!(
                    !text.starts_with("{\"error\""),
                    "the server answered {text}"
                );
                self.opened |= text.starts_with("{\"opened\"");
                self.replies += u64::from(text.starts_with("{\"reply\""));
            } else {
                let colon = payload
                    .iter()
                    .position(|byte| *byte == b':')
                    .context("no data")?;
                bytes.extend_from_slice(&payload[colon + 1..]);
            }
            at += len;
        }
        self.held.drain(..at);
        Ok(())
    }
}

/// The payload in its frame.
pub fn frame(payload: &[u8]) -> Vec<u8> {
    let mut len = payload.len() + 2;
    while len != payload.len() + 1 + len.to_string().len() {
        len += 1;
    }
    [len.to_string().as_bytes(), b"_", payload].concat()
}
