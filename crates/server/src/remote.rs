//! What a running `uartd` is told from the command line, over its own protocol. Not what it does then.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use uartnet_proto::VERSION;
use uartnet_proto::frame::{DEFAULT_MAX_FRAME, FrameDecoder, FrameError, encode};
use uartnet_proto::message::{
    Answer, ErrorAnswer, ErrorCode, FromClient, FromServer, Hello, MessageError, Reload, Request,
    Secret,
};

use crate::config::ListenAddress;

/// How long an answer may take: ports that are closed may have to wait for their driver.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much is read at once.
const READ: usize = 4096;
/// What begins like this is no frame, but what TLS says to whoever speaks none: a record of type alert (RFC 8446 section 5.1).
const TLS_ALERT: &[u8] = b"\x15\x03";

/// Why a running gateway did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// It cannot be reached.
    #[error(
        "cannot reach a gateway at {address}: {cause}; does uartd run, and listen there (--gateway)?"
    )]
    Unreachable {
        /// Where.
        address: ListenAddress,
        /// What the operating system said.
        cause: io::Error,
    },
    /// It speaks TLS, which is not spoken here.
    #[error(
        "the listener at {address} speaks TLS, and uartd reload does not; send SIGHUP to uartd instead (kill -HUP PID, \
         or systemctl reload uartd: the answer is in its log), or give it a listener on a Unix socket as well \
         (protocol \"uartnet\", address \"unix:PATH\"), and name that: uartd reload --gateway unix:PATH"
    )]
    Tls {
        /// Where.
        address: ListenAddress,
    },
    /// It was lost on the way.
    #[error("the gateway at {address} was lost: {cause}")]
    Lost {
        /// Where.
        address: ListenAddress,
        /// What the operating system said.
        cause: io::Error,
    },
    /// What is there is no gateway.
    #[error("what answers at {address} is not a uartnet gateway: {problem}")]
    Foreign {
        /// Where.
        address: ListenAddress,
        /// How we know.
        problem: String,
    },
    /// The configuration is wrong, or cannot be put in force. Its text is all there is to say, in lines.
    #[error("{0}")]
    BadConfig(String),
    /// It said no.
    #[error("the gateway refuses: {}: {}", .0.error, .0.message)]
    Refused(Box<ErrorAnswer>),
}

/// Tells the gateway at this address, as whoever this token belongs to, to read its configuration again. Says what
/// changed.
///
/// # Errors
/// Nothing has changed, and why.
pub fn reload(address: &ListenAddress, token: Option<String>) -> Result<Vec<String>, RemoteError> {
    let mut line = Line::connect(address)?;
    let hello = Request::Hello(Hello {
        hello: VERSION.to_owned(),
        token: token.map(Secret::from),
        client: Some(concat!("uartd reload ", env!("CARGO_PKG_VERSION")).to_owned()),
    });
    line.request(hello)?;
    let reload = Request::Reload(Reload {
        reload: "config".to_owned(),
    });
    match line.request(reload)? {
        Answer::Reloaded(reloaded) => Ok(reloaded.reloaded),
        other => Err(line.foreign(format!("it answered \"{}\"", other.kind()))),
    }
}

/// A connection to a gateway, one request at a time.
struct Line {
    stream: Box<dyn ReadWrite>,
    decoder: FrameDecoder,
    address: ListenAddress,
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

impl Line {
    fn connect(address: &ListenAddress) -> Result<Line, RemoteError> {
        let stream = open(address).map_err(|cause| RemoteError::Unreachable {
            address: address.clone(),
            cause,
        })?;
        Ok(Line {
            stream,
            decoder: FrameDecoder::new(DEFAULT_MAX_FRAME.max(16 << 20)),
            address: address.clone(),
        })
    }

    fn request(&mut self, request: Request) -> Result<Answer, RemoteError> {
        let (mut payload, mut frame) = (BytesMut::new(), BytesMut::new());
        FromClient::Control(request, None).encode(&mut payload);
        encode(&[&payload], &mut frame);
        self.stream.write_all(&frame).map_err(|e| self.lost(e))?;
        loop {
            let payload = self.payload()?;
            let answer = FromServer::decode(&payload);
            match answer.map_err(|error: MessageError| self.foreign(error.to_string()))? {
                FromServer::Control(Answer::Event(_), _) | FromServer::Data { .. } => {}
                FromServer::Control(Answer::Error(error), _) => {
                    return Err(match error.error {
                        ErrorCode::BadConfig => RemoteError::BadConfig(error.message),
                        _ => RemoteError::Refused(Box::new(error)),
                    });
                }
                FromServer::Control(answer, _) => return Ok(answer),
            }
        }
    }

    fn payload(&mut self) -> Result<Bytes, RemoteError> {
        loop {
            let frame = self.decoder.poll_frame();
            if let Some(payload) = frame.map_err(|e: FrameError| self.foreign(e.to_string()))? {
                return Ok(payload);
            }
            let mut bytes = [0; READ];
            match self.stream.read(&mut bytes).map_err(|e| self.lost(e))? {
                0 => return Err(self.lost(io::ErrorKind::UnexpectedEof.into())),
                _ if bytes.starts_with(TLS_ALERT) => {
                    let address = self.address.clone();
                    return Err(RemoteError::Tls { address });
                }
                count => self.decoder.handle_input(&bytes[..count]),
            }
        }
    }

    fn lost(&self, cause: io::Error) -> RemoteError {
        RemoteError::Lost {
            address: self.address.clone(),
            cause,
        }
    }

    fn foreign(&self, problem: String) -> RemoteError {
        RemoteError::Foreign {
            address: self.address.clone(),
            problem,
        }
    }
}

fn open(address: &ListenAddress) -> io::Result<Box<dyn ReadWrite>> {
    Ok(match address {
        ListenAddress::Tcp(address) => {
            let stream = TcpStream::connect_timeout(address, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_nodelay(true)?;
            Box::new(stream)
        }
        ListenAddress::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Box::new(stream)
        }
    })
}
