//! One byte stream to a gateway that carries frames both ways at once. Not what a frame means; that is [`crate::Session`].

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use uartnet_proto::frame::{self, FrameDecoder};

use crate::{Address, ClientError, Gateway, TlsOptions, tls};

/// The largest frame taken from a gateway, in bytes. A reply of 1 MiB (the largest a board may give where nothing else is
/// configured) fits however much JSON has to escape of it.
pub const MAX_FRAME: usize = 16 << 20;

/// How much is read in one go, in bytes.
const READ: usize = 16 << 10;

/// Anything a connection can run over.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A byte stream that carries frames. What is sent is queued, and written while [`Connection::receive`] waits, so that
/// neither side can block the other.
pub struct Connection {
    stream: Box<dyn Stream>,
    gateway: Address,
    private: bool,
    decoder: FrameDecoder,
    read_buffer: Box<[u8]>,
    outgoing: BytesMut,
    sending: Sending,
    read_ended: bool,
}

/// What becomes of the sending half.
#[derive(Debug)]
enum Sending {
    Open,
    /// To be shut down when everything queued is written.
    Finishing,
    Shut,
    /// Writing failed. The gateway may have said why before it closed, so reading goes on.
    Failed(io::Error),
}

impl Connection {
    /// Connects within `limit`. Every address of a host name is tried in turn.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`], [`ClientError::ConnectTimedOut`], [`ClientError::Tls`].
    pub async fn connect(gateway: &Gateway, limit: Duration) -> Result<Connection, ClientError> {
        Connection::dial(
            open(&gateway.address, &gateway.tls),
            &gateway.address,
            limit,
        )
        .await
    }

    /// As [`Connection::connect`], over the stream that `dialling` makes; the flag says whether only this machine can hear it.
    pub(crate) async fn dial(
        dialling: impl Future<Output = io::Result<(Box<dyn Stream>, bool)>>,
        gateway: &Address,
        limit: Duration,
    ) -> Result<Connection, ClientError> {
        let (stream, private) = dial(dialling, gateway, limit).await?;
        let mut connection = Connection::over(stream, gateway.clone());
        connection.private = private;
        Ok(connection)
    }

    /// Speaks over a stream that is there already; `gateway` is what errors call its other end.
    pub fn over(stream: Box<dyn Stream>, gateway: Address) -> Connection {
        Connection {
            stream,
            gateway,
            private: false,
            decoder: FrameDecoder::new(MAX_FRAME),
            read_buffer: vec![0; READ].into_boxed_slice(),
            outgoing: BytesMut::new(),
            sending: Sending::Open,
            read_ended: false,
        }
    }

    /// The gateway at the other end.
    pub fn gateway(&self) -> &Address {
        &self.gateway
    }

    /// Whether nobody but this machine can read what it carries.
    pub fn is_private(&self) -> bool {
        self.private
    }

    /// How many bytes are queued to be written.
    pub fn unsent(&self) -> usize {
        self.outgoing.len()
    }

    /// Queues one frame whose payload is `parts` one after the other. Nothing is sent after [`Connection::finish`].
    pub fn send(&mut self, parts: &[&[u8]]) {
        if matches!(self.sending, Sending::Open) {
            frame::encode(parts, &mut self.outgoing);
        }
    }

    /// Shuts the sending half down when everything queued is written.
    pub fn finish(&mut self) {
        if matches!(self.sending, Sending::Open) {
            self.sending = Sending::Finishing;
        }
    }

    /// The next payload, or `None` when the gateway closed at the end of a frame. Writes what is queued meanwhile.
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`ClientError::Lost`] when the stream broke or ended inside a frame, [`ClientError::Frame`] when what came is no frame.
    pub async fn receive(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            match self.decoder.poll_frame() {
                Ok(Some(payload)) => return Ok(Some(payload)),
                Ok(None) => {}
                Err(cause) => {
                    let gateway = self.gateway.clone();
                    return Err(ClientError::Frame { gateway, cause });
                }
            }
            if self.read_ended {
                // A connection that is cut ends anywhere; that says nothing against who was at its other end.
                if let Err(end) = self.decoder.handle_end() {
                    return Err(self.lost(io::Error::new(io::ErrorKind::UnexpectedEof, end)));
                }
                return match std::mem::replace(&mut self.sending, Sending::Shut) {
                    Sending::Failed(cause) => Err(self.lost(cause)),
                    _ => Ok(None),
                };
            }
            poll_fn(|cx| self.poll_exchange(cx))
                .await
                .map_err(|cause| self.lost(cause))?;
        }
    }

    /// Writes what can be written, then reads once. Ready when something was read or the other end closed.
    fn poll_exchange(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            self.sending = Sending::Failed(error);
            self.outgoing.clear();
        }
        let mut buffer = ReadBuf::new(&mut self.read_buffer);
        match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
            Ok(()) if buffer.filled().is_empty() => self.read_ended = true,
            Ok(()) => self.decoder.handle_input(buffer.filled()),
            Err(error) => return Poll::Ready(Err(error)),
        }
        Poll::Ready(Ok(()))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.outgoing))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.outgoing.advance(written),
            }
        }
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        if matches!(self.sending, Sending::Finishing) {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.sending = Sending::Shut;
        }
        Poll::Ready(Ok(()))
    }

    fn lost(&self, cause: io::Error) -> ClientError {
        // In TLS 1.3 a refusal comes when this side has shaken hands already.
        if let Some(cause) = tls::refusal(&cause) {
            return ClientError::Tls {
                gateway: self.gateway.clone(),
                cause,
            };
        }
        let cause = match cause.kind() {
            // rustls says it with a link for programmers.
            io::ErrorKind::UnexpectedEof if cause.to_string().contains("close_notify") => {
                io::Error::new(cause.kind(), "it was cut, without the end that TLS has")
            }
            _ => cause,
        };
        ClientError::Lost {
            gateway: self.gateway.clone(),
            cause,
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("gateway", &self.gateway)
            .field("unsent", &self.outgoing.len())
            .field("sending", &self.sending)
            .field("read_ended", &self.read_ended)
            .finish_non_exhaustive()
    }
}

/// What `dialling` makes, within `limit`.
pub(crate) async fn dial<T>(
    dialling: impl Future<Output = io::Result<T>>,
    gateway: &Address,
    limit: Duration,
) -> Result<T, ClientError> {
    let gateway = || gateway.clone();
    match tokio::time::timeout(limit, dialling).await {
        Err(_) => Err(ClientError::ConnectTimedOut {
            gateway: gateway(),
            awaited: "no connection",
            limit,
        }),
        Ok(Err(cause)) => Err(match tls::failure_in(&cause) {
            Some(cause) => ClientError::Tls {
                gateway: gateway(),
                cause,
            },
            None => ClientError::Unreachable {
                gateway: gateway(),
                cause,
            },
        }),
        Ok(Ok(made)) => Ok(made),
    }
}

/// A stream to an address, made ready for small writes and for peers that vanish; and whether nobody else can hear it.
pub(crate) async fn open(
    gateway: &Address,
    options: &TlsOptions,
) -> io::Result<(Box<dyn Stream>, bool)> {
    match gateway {
        Address::Unix(path) => Ok((Box::new(UnixStream::connect(path).await?), true)),
        Address::Tcp { host, port } => {
            let stream = lookup(host, *port).await?;
            let private = stream.peer_addr()?.ip().to_canonical().is_loopback();
            Ok((Box::new(stream), private))
        }
        Address::Tls { host, port } => {
            let stream = lookup(host, *port).await?;
            Ok((tls::connect(stream, host, options).await?, true))
        }
    }
}

/// A connection to the first address of this host that answers.
pub(crate) async fn lookup(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
    for address in lookup_host((host, port)).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                prepare(&stream)?;
                return Ok(stream);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// No delay for small writes; and a peer that is gone without a word is noticed within half a minute, whether this side
/// only listens (keepalive) or has written something (user timeout).
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(15))
        .with_interval(Duration::from_secs(5))
        .with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(Duration::from_secs(30)))?;
    Ok(())
}
