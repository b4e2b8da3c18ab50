//! A client of `uart forward --as rfc2217`: its socket, the session with the gateway, and [`Access`] between them.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use uartnet_client::{FollowOptions, Followed, Follower, ReadEvent};

use super::{DRAIN, PIECE};
use crate::access::{Access, Step};
use crate::cli::Common;
use crate::commands::{at, connect};
use crate::notice::Notices;
use crate::output;

/// How many bytes of the board wait for a client that has asked for silence before the gateway is read no further.
const HELD: usize = 64 << 10;

/// A client of the listener and its session with the gateway.
pub(super) struct Client {
    pub(super) peer: SocketAddr,
    pub(super) common: Common,
    pub(super) options: FollowOptions,
    pub(super) read_only: bool,
    pub(super) linger: Duration,
}

/// A client whose port is known.
struct Served {
    client: Client,
    follower: Follower,
    access: Access,
    notices: Notices,
    /// On its way to the client; the gateway is not read before the client has taken it.
    said: BytesMut,
    /// Bytes of the board that wait for the end of the silence the client has asked for.
    held: BytesMut,
    /// Bytes for the UART that there is no room for.
    unwritten: Bytes,
    /// When the board last said something, or took something.
    heard: Instant,
}

impl Client {
    pub(super) async fn run(self, mut stream: TcpStream) {
        let peer = self.peer;
        if let Err(error) = self.serve(&mut stream).await {
            tell(peer, &format!("{error:#}"));
        }
    }

    async fn serve(self, stream: &mut TcpStream) -> Result<()> {
        let port = self.options.port.clone();
        let details = connect(&self.common).await?.info(&port).await?;
        let mut follower = Follower::new(self.common.gateway().await?, self.options.clone());
        // What the client wants at once is to find a connection.
        follower.next().await?;
        let mut said = BytesMut::new();
        let access = Access::new(port, &details, &mut said)?;
        let mut served = Served {
            follower,
            client: self,
            access,
            notices: Notices::default(),
            said,
            held: BytesMut::new(),
            unwritten: Bytes::new(),
            heard: Instant::now(),
        };
        served.run(stream).await?;
        served.finish().await
    }
}

impl Served {
    /// Until the client is gone, or has sent its last byte and the board has been silent since.
    async fn run(&mut self, stream: &mut TcpStream) -> Result<()> {
        let (mut reading, mut writing) = stream.split();
        let mut buffer = vec![0; PIECE];
        let mut sent_all = false;
        loop {
            self.work();
            let hears = !sent_all && self.access.wants_input() && self.unwritten.is_empty();
            let follows = self.said.is_empty() && self.held.len() < HELD;
            let finished = sent_all && follows && self.is_done();
            tokio::select! {
                read = reading.read(&mut buffer), if hears => match read {
                    Ok(0) => {
                        sent_all = true;
                        self.heard = Instant::now();
                    }
                    Ok(count) => self.access.handle_input(&buffer[..count], &mut self.said),
                    Err(_) => return Ok(()),
                },
                written = writing.write(&self.said), if !self.said.is_empty() => match written {
                    Ok(count) => self.said.advance(count),
                    Err(_) => return Ok(()),
                },
                followed = self.follower.next(), if follows => {
                    self.heard = Instant::now();
                    self.handle_followed(&followed?);
                }
                () = at(finished.then(|| self.heard + self.client.linger)) => return Ok(()),
            }
        }
    }

    /// What the client sent before it went away still goes to the UART, within [`DRAIN`].
    async fn finish(&mut self) -> Result<()> {
        let written = async {
            loop {
                self.work();
                self.said.clear();
                self.held.clear();
                if self.is_done() {
                    return anyhow::Ok(());
                }
                let followed = self.follower.next().await?;
                self.handle_followed(&followed);
            }
        };
        match timeout(DRAIN, written).await {
            Ok(result) => result,
            Err(_) => {
                let left = self.follower.unwritten() + self.unwritten.len();
                tell(
                    self.client.peer,
                    &format!("{left} bytes were not written, or a request not answered"),
                );
                Ok(())
            }
        }
    }

    /// Whether everything the client sent was written and answered.
    fn is_done(&self) -> bool {
        self.access.is_idle() && self.unwritten.is_empty() && self.follower.unwritten() == 0
    }

    /// Hands on what can be handed on.
    fn work(&mut self) {
        loop {
            let taken = self.follower.write(&self.unwritten);
            self.unwritten.advance(taken);
            if !self.unwritten.is_empty() {
                break;
            }
            match self.access.poll_step(&mut self.said) {
                None => break,
                Some(Step::Write(_)) if self.client.read_only => {}
                Some(Step::Write(bytes)) => self.unwritten = bytes,
                Some(Step::Ask(request)) => {
                    let may = !self.client.read_only;
                    let id = may.then(|| self.follower.request_in_order(request));
                    self.access.handle_asked(id.flatten(), &mut self.said);
                    if self.access.discards() {
                        self.held.clear();
                    }
                }
            }
        }
        if !self.access.is_suspended() && !self.held.is_empty() {
            let held = self.held.split();
            self.access.send_data(&held, &mut self.said);
        }
    }

    fn handle_followed(&mut self, followed: &Followed) {
        match followed {
            Followed::Read(ReadEvent::Data { .. }) if self.access.discards() => {}
            Followed::Read(ReadEvent::Data { bytes, .. }) => self.held.extend_from_slice(bytes),
            // After each opening the device's state is told, and that is a reason to look.
            Followed::Event(event) => {
                let worth_a_look = self.access.handle_event(event, &mut self.said);
                if worth_a_look {
                    self.look();
                }
            }
            Followed::Lost(..) => self.access.handle_lost(&mut self.said),
            Followed::Answer(id, answer) => {
                if let Some(refused) = self.access.handle_answer(*id, answer, &mut self.said) {
                    tell(self.client.peer, &refused);
                }
            }
            _ => {}
        }
        if let Some(sentence) = self.notices.tell(followed) {
            tell(self.client.peer, &sentence);
        }
    }

    /// Asks how the port is, signals included.
    fn look(&mut self) {
        let id = self.follower.request(self.access.look());
        self.access.handle_looking(id);
    }
}

/// There is no place for this in what the client reads.
fn tell(peer: SocketAddr, sentence: &str) {
    let sentence = crate::sanitize::harmless(sentence.as_bytes());
    output::notice(&format!("{peer}: {sentence}"));
}
