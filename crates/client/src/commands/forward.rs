//! `uart forward`: a TCP listener on this machine for programs that speak TCP and not the gateway's protocol. Each of its
//! clients has a session of its own with the gateway. Here are the listener and the clients that speak raw bytes; those
//! that speak RFC 2217 are in `rfc2217`.

mod rfc2217;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::{Buf, Bytes};
use clap::ValueEnum;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use uart_iface::PortName;
use uartnet_client::{ClientError, FollowOptions, Followed, Follower, Gateway, ReadEvent};
use uartnet_proto::message::{Mode, StartAt};

use super::{at, connect};
use crate::cli::Common;
use crate::exit::{Exit, UsageError};
use crate::notice::Notices;
use crate::stop::Stop;
use crate::{duration, output, start};

/// How many clients are served at once.
const CLIENTS: usize = 256;

/// How much is read from a client in one go.
const PIECE: usize = 4096;

/// How long what a client sent before it went away may take to reach the UART.
const DRAIN: Duration = Duration::from_secs(5);

/// Offer a port on this machine to software that speaks TCP
///
/// Bytes in, bytes out, for many clients at once; what is written by one is not shown to the others, what the board says is shown
/// to all. Clients stay connected while the gateway cannot be reached.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  uart forward board0 2000
  uart forward board0 127.0.0.1:0 --from start
  uart forward board0 2000 --as rfc2217    pyserial: rfc2217://127.0.0.1:2000
  nc 127.0.0.1 2000")]
pub(crate) struct Forward {
    /// The port
    port: PortName,
    /// Where to listen: ADDRESS:PORT, or PORT of 127.0.0.1; port 0 is any that is free
    #[arg(value_name = "LISTEN")]
    listen: Listen,
    /// What clients speak
    #[arg(long = "as", default_value = "raw", value_name = "PROTOCOL")]
    protocol: Protocol,
    /// From where each client reads: live, start, last:BYTES, OFFSET@EPOCH
    #[arg(long, default_value = "live", value_name = "PLACE", value_parser = start::parse)]
    from: StartAt,
    /// Pass nothing on to the board
    #[arg(long)]
    read_only: bool,
    /// How long a client that has sent its last byte still hears a silent board
    #[arg(long, default_value = "500ms", value_name = "DURATION", value_parser = duration::parse)]
    linger: Duration,
    /// Listen where other machines can connect, without encryption and for anybody
    #[arg(long)]
    insecure: bool,
}

/// What clients speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Protocol {
    /// Bytes of the UART, and nothing else
    Raw,
    /// Telnet with RFC 2217: line settings, signals, break and purge too
    Rfc2217,
}

/// An address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Listen(SocketAddr);

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Listen, String> {
        if let Ok(port) = text.parse() {
            let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
            return Ok(Listen(SocketAddr::new(loopback, port)));
        }
        let written_out = match text.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => text.to_owned(),
        };
        let address = written_out.parse().map(Listen);
        address.map_err(|_| "write PORT, ADDRESS:PORT or [::1]:PORT".to_owned())
    }
}

impl Forward {
    pub(crate) async fn run(self, common: Common) -> Result<Exit> {
        let Listen(address) = self.listen;
        if !address.ip().is_loopback() && !self.insecure {
            return Err(UsageError(format!(
                "everybody who reaches {address} could use the port; listen on 127.0.0.1, or add --insecure"
            ))
            .into());
        }
        let mut stop = Stop::new()?;
        let gateway = common.gateway().await?;
        connect(&common).await?.info(&self.port).await?;
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address}"))?;
        let address = listener.local_addr()?;
        let protocol = match self.protocol {
            Protocol::Raw => "raw",
            Protocol::Rfc2217 => "rfc2217",
        };
        output::line(&format!("listening {protocol} {address} {}", self.port))?;

        let mut clients = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) if clients.len() < CLIENTS => {
                        let _ = stream.set_nodelay(true); // slower, not wrong
                        match self.protocol {
                            Protocol::Raw => clients.spawn(self.client(&common, gateway.clone(), stream, peer).run()),
                            Protocol::Rfc2217 => clients.spawn(self.access(&common, peer).run(stream)),
                        };
                    }
                    Ok((_, peer)) => {
                        output::notice(&format!("{peer} turned away: {CLIENTS} clients are connected"));
                    }
                    Err(error) => {
                        // Too many open files; the connection stays in the queue.
                        output::notice(&format!("cannot accept a connection: {error}"));
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(_) = clients.join_next() => {}
                () = stop.asked() => break,
            }
        }
        Ok(Exit::Done)
    }

    fn options(&self, common: &Common) -> FollowOptions {
        FollowOptions {
            port: self.port.clone(),
            from: self.from.clone(),
            mode: if self.read_only {
                Mode::Read
            } else {
                Mode::Write
            },
            reconnect: true,
            connect_timeout: common.connect_timeout,
        }
    }

    fn access(&self, common: &Common, peer: SocketAddr) -> rfc2217::Client {
        rfc2217::Client {
            peer,
            common: common.clone(),
            options: self.options(common),
            read_only: self.read_only,
            linger: self.linger,
        }
    }

    fn client(
        &self,
        common: &Common,
        gateway: Gateway,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> Client {
        Client {
            peer,
            stream,
            follower: Follower::new(gateway, self.options(common)),
            notices: Notices::default(),
            read_only: self.read_only,
            linger: self.linger,
            to_client: Bytes::new(),
            heard: Instant::now(),
        }
    }
}

/// A client of the listener and its session with the gateway.
struct Client {
    peer: SocketAddr,
    stream: TcpStream,
    follower: Follower,
    notices: Notices,
    read_only: bool,
    linger: Duration,
    /// What the client has not taken yet; the gateway is not read before that.
    to_client: Bytes,
    /// When the board last said something, or took something.
    heard: Instant,
}

impl Client {
    async fn run(mut self) {
        if let Err(error) = self.serve().await {
            self.tell(&error.to_string());
        }
        let written = async {
            while self.follower.unwritten() > 0 {
                self.follower.next().await?;
            }
            Ok::<(), ClientError>(())
        };
        if timeout(DRAIN, written).await.is_err() {
            self.tell(&format!(
                "{} bytes were not written",
                self.follower.unwritten()
            ));
        }
    }

    /// Until the client is gone, or has sent its last byte and the board has been silent since.
    async fn serve(&mut self) -> Result<(), ClientError> {
        let (mut reading, mut writing) = self.stream.split();
        let mut buffer = vec![0; PIECE];
        let mut sent_all = false;
        loop {
            let hears = !sent_all && self.follower.write_room() >= PIECE;
            let follows = self.to_client.is_empty();
            let finished = sent_all && follows && self.follower.unwritten() == 0;
            tokio::select! {
                read = reading.read(&mut buffer), if hears => {
                    match read {
                        Ok(0) => {
                            sent_all = true;
                            self.heard = Instant::now();
                        }
                        Ok(_) if self.read_only => {}
                        Ok(count) => {
                            self.follower.write(&buffer[..count]);
                        }
                        Err(_) => return Ok(()),
                    }
                }
                written = writing.write(&self.to_client), if !follows => match written {
                    Ok(count) => self.to_client.advance(count),
                    Err(_) => return Ok(()),
                },
                followed = self.follower.next(), if follows => {
                    self.heard = Instant::now();
                    match followed? {
                        Followed::Read(ReadEvent::Data { bytes, .. }) => self.to_client = bytes,
                        other => if let Some(sentence) = self.notices.tell(&other) {
                            output::notice(&format!("{}: {sentence}", self.peer));
                        },
                    }
                }
                () = at(finished.then(|| self.heard + self.linger)) => return Ok(()),
            }
        }
    }

    fn tell(&self, sentence: &str) {
        let sentence = crate::sanitize::harmless(sentence.as_bytes());
        output::notice(&format!("{}: {sentence}", self.peer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_to_listen_are_understood() {
        for (text, address) in [
            ("2000", "127.0.0.1:2000"),
            ("localhost:0", "127.0.0.1:0"),
            ("127.0.0.1:23", "127.0.0.1:23"),
            ("[::1]:23", "[::1]:23"),
            ("0.0.0.0:23", "0.0.0.0:23"),
        ] {
            assert_eq!(text.parse::<Listen>().unwrap().0.to_string(), address);
        }
        for text in ["", "70000", "host:23", ":23", "127.0.0.1", "::1:x"] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }
}
