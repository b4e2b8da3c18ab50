//! One connection to a gateway that is not uartnet's: a byte stream, and what is spoken over it. Not what to do when it
//! ends; that is [`super::Foreign`].

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use uart_iface::LineSettings;
use uartnet_proto::message::{ErrorCode, Request};
use uartnet_telnet::access_client::{AccessClient, Told};

use super::controls::{Controls, cannot, error_answer};
use super::{ForeignAddress, ForeignError, ForeignGateway, Scheme};
use crate::{Followed, Stream};

/// How much is read in one go, in bytes.
const READ: usize = 16 << 10;

/// How much of what a server says before it closes is kept as its reason.
const MAX_WORDS: usize = 200;

pub(super) struct Conversation {
    address: ForeignAddress,
    stream: Box<dyn Stream>,
    protocol: Protocol,
    read_buffer: Box<[u8]>,
    /// Encoded, and not yet taken by the operating system.
    outgoing: BytesMut,
    /// The bytes for the UART that end with `outgoing`.
    in_flight: Bytes,
    /// Whether some of `outgoing` was taken since `in_flight` was given.
    begun: bool,
    happened: VecDeque<Happened>,
    ended: bool,
}

/// What is spoken.
enum Protocol {
    Tcp,
    Rfc2217(Box<(AccessClient, Controls)>),
}

/// What happened in a conversation.
#[derive(Debug)]
pub(super) enum Happened {
    /// Bytes of the UART arrived.
    Data(Bytes),
    /// So many bytes for the UART were taken by the operating system.
    Sent(usize),
    /// Anything else.
    Followed(Followed),
}

impl Conversation {
    /// Connects, agrees on the protocol and learns what the line is. `wanted` is what an earlier connection had set it to.
    pub(super) async fn begin(
        ForeignGateway { address, tls }: ForeignGateway,
        limit: Duration,
        wanted: Option<LineSettings>,
    ) -> Result<Conversation, ForeignError> {
        let timed_out = |awaited| ForeignError::TimedOut {
            address: address.clone(),
            awaited,
            limit,
        };
        let deadline = Instant::now() + limit;
        let opening = crate::connection::open(address.address(), &tls);
        let stream = match timeout(limit, opening).await {
            Err(_) => return Err(timed_out("no connection")),
            Ok(Err(cause)) => {
                return Err(ForeignError::unreachable(address, cause));
            }
            Ok(Ok((stream, _))) => stream,
        };
        let mut conversation = Conversation::over(stream, address.clone(), wanted);
        match timeout_at(deadline, conversation.agree()).await {
            Err(_) => return Err(timed_out("no agreement on RFC 2217")),
            Ok(agreed) => agreed?,
        }
        // Bounded by the time that the server has for its acknowledgements.
        conversation.look().await?;
        Ok(conversation)
    }

    fn over(
        stream: Box<dyn Stream>,
        address: ForeignAddress,
        wanted: Option<LineSettings>,
    ) -> Conversation {
        let mut outgoing = BytesMut::new();
        let protocol = match address.scheme() {
            Scheme::Tcp => Protocol::Tcp,
            Scheme::Rfc2217 => {
                let client = AccessClient::new(now(), &mut outgoing);
                let controls = Controls::new(address.clone(), wanted);
                Protocol::Rfc2217(Box::new((client, controls)))
            }
        };
        Conversation {
            address,
            stream,
            protocol,
            read_buffer: vec![0; READ].into_boxed_slice(),
            outgoing,
            in_flight: Bytes::new(),
            begun: false,
            happened: VecDeque::new(),
            ended: false,
        }
    }

    // --- getters

    /// The line settings in force, if the server has told all of them.
    pub(super) fn line(&self) -> Option<LineSettings> {
        match &self.protocol {
            Protocol::Tcp => None,
            Protocol::Rfc2217(both) => both.1.line(),
        }
    }

    /// What the line was last set to, if it was.
    pub(super) fn wanted(&self) -> Option<LineSettings> {
        match &self.protocol {
            Protocol::Tcp => None,
            Protocol::Rfc2217(both) => both.1.wanted(),
        }
    }

    /// Whether bytes for the UART can be given: none are on their way, and the server takes them.
    pub(super) fn wants_data(&self) -> bool {
        let server = match &self.protocol {
            Protocol::Tcp => true,
            Protocol::Rfc2217(both) => both.0.wants_data(),
        };
        server && self.in_flight.is_empty()
    }

    /// How many bytes for the UART were given and not yet taken by the operating system.
    pub(super) fn unsent(&self) -> usize {
        self.in_flight.len()
    }

    // --- commands

    /// Gives bytes for the UART.
    pub(super) fn give(&mut self, bytes: Bytes) {
        match &mut self.protocol {
            Protocol::Tcp => self.outgoing.extend_from_slice(&bytes),
            Protocol::Rfc2217(both) => both.0.send_data(&bytes, &mut self.outgoing),
        }
        if self.in_flight.is_empty() {
            self.in_flight = bytes;
            self.begun = false;
        } else {
            self.in_flight = [&self.in_flight[..], &bytes[..]].concat().into();
        }
    }

    /// Begins what is asked for; its answer happens later.
    pub(super) fn request(&mut self, id: u64, request: &Request) {
        let mut happened = VecDeque::new();
        match &mut self.protocol {
            Protocol::Tcp => {
                let message = format!(
                    "{}: {} carries bytes only; if the gateway speaks RFC 2217, write {}",
                    cannot(&self.address, request),
                    self.address.beginning(Scheme::Tcp),
                    self.address.beginning(Scheme::Rfc2217),
                );
                let answer = error_answer(ErrorCode::UnknownMessage, message);
                happened.push_back(Followed::Answer(id, answer));
            }
            Protocol::Rfc2217(both) => {
                let (client, controls) = &mut **both;
                let out = &mut self.outgoing;
                controls.handle_request(id, request, now(), client, out, &mut happened);
            }
        }
        self.happened
            .extend(happened.into_iter().map(Happened::Followed));
    }

    /// Ends it. What was given and may or may not have been sent, and what certainly was not.
    pub(super) fn end(self) -> (Bytes, Bytes) {
        if self.begun {
            (self.in_flight, Bytes::new())
        } else {
            (Bytes::new(), self.in_flight)
        }
    }

    // --- what happened

    /// What happened next; `None`: nothing to tell, but other things may be possible than before. Dropping the future loses
    /// nothing.
    ///
    /// # Errors
    /// The connection is over.
    pub(super) async fn next(&mut self) -> Result<Option<Happened>, ForeignError> {
        if let Some(happened) = self.happened.pop_front() {
            return Ok(Some(happened));
        }
        self.exchange().await?;
        Ok(self.happened.pop_front())
    }

    async fn agree(&mut self) -> Result<(), ForeignError> {
        loop {
            match &self.protocol {
                Protocol::Rfc2217(both) if !both.0.is_agreed() => {}
                _ => return Ok(()),
            }
            self.exchange().await?;
        }
    }

    async fn look(&mut self) -> Result<(), ForeignError> {
        if let Protocol::Rfc2217(both) = &mut self.protocol {
            let (client, controls) = &mut **both;
            controls.look(now(), client, &mut self.outgoing);
        }
        while let Protocol::Rfc2217(both) = &self.protocol
            && both.1.is_looking()
        {
            self.exchange().await?;
        }
        if let Protocol::Rfc2217(both) = &mut self.protocol {
            let (client, controls) = &mut **both;
            controls.restore(now(), client, &mut self.outgoing);
        }
        Ok(())
    }

    /// Writes and reads what can be, or lets time pass.
    async fn exchange(&mut self) -> Result<(), ForeignError> {
        if self.ended {
            return Err(self.closed());
        }
        let timeout = match &self.protocol {
            Protocol::Tcp => None,
            Protocol::Rfc2217(both) => earlier(both.0.poll_timeout(), both.1.poll_timeout()),
        };
        let timeout = async {
            match timeout {
                Some(at) => sleep_until(Instant::from_std(at)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            result = poll_fn(|cx| self.poll_exchange(cx)) => result.map_err(|cause| ForeignError::lost(&self.address, cause))?,
            () = timeout => {}
        }
        self.handle_timeout();
        self.collect()
    }

    /// Writes what can be written, then reads once. Ready when everything was written, something was read or the other end
    /// closed.
    fn poll_exchange(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.outgoing.is_empty() {
            match self.poll_send(cx) {
                Poll::Ready(Ok(())) => {
                    let sent = std::mem::take(&mut self.in_flight).len();
                    if sent > 0 {
                        self.happened.push_back(Happened::Sent(sent));
                        return Poll::Ready(Ok(()));
                    }
                }
                // It may have said why before it closed.
                Poll::Ready(Err(error)) => {
                    return match self.read(cx) {
                        Poll::Ready(Ok(())) if !self.ended => Poll::Ready(Ok(())),
                        _ => Poll::Ready(Err(error)),
                    };
                }
                Poll::Pending => {}
            }
        }
        self.read(cx)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.outgoing))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => {
                    self.begun = true;
                    self.outgoing.advance(written);
                }
            }
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut buffer = ReadBuf::new(&mut self.read_buffer);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        let input = buffer.filled();
        match &mut self.protocol {
            _ if input.is_empty() => self.ended = true,
            Protocol::Tcp => self
                .happened
                .push_back(Happened::Data(Bytes::copy_from_slice(input))),
            Protocol::Rfc2217(both) => both.0.handle_input(input, &mut self.outgoing),
        }
        Poll::Ready(Ok(()))
    }

    fn handle_timeout(&mut self) {
        if let Protocol::Rfc2217(both) = &mut self.protocol {
            let (client, controls) = &mut **both;
            client.handle_timeout(now());
            controls.handle_timeout(now(), client, &mut self.outgoing);
        }
    }

    /// Takes what the server told.
    fn collect(&mut self) -> Result<(), ForeignError> {
        if let Protocol::Rfc2217(both) = &mut self.protocol {
            let (client, controls) = &mut **both;
            let mut followed = VecDeque::new();
            while let Some(told) = client.poll_told() {
                match told {
                    Told::Data(bytes) => self.happened.push_back(Happened::Data(bytes)),
                    Told::NotSpoken => {
                        let address = self.address.clone();
                        return Err(ForeignError::NotSpoken { address });
                    }
                    told => controls.handle_told(told, &mut followed),
                }
                self.happened
                    .extend(followed.drain(..).map(Happened::Followed));
            }
        }
        if self.ended && self.happened.is_empty() {
            return Err(self.closed());
        }
        Ok(())
    }

    fn closed(&self) -> ForeignError {
        let mut words = Vec::new();
        for happened in &self.happened {
            if let Happened::Data(bytes) = happened {
                words.extend_from_slice(&bytes[..bytes.len().min(MAX_WORDS)]);
            }
        }
        words.truncate(MAX_WORDS);
        ForeignError::Closed {
            address: self.address.clone(),
            words: String::from_utf8_lossy(&words).trim().to_owned(),
        }
    }
}

fn earlier(
    a: Option<std::time::Instant>,
    b: Option<std::time::Instant>,
) -> Option<std::time::Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}
