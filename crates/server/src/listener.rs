//! Listening sockets: bound with an error that says what to do, accepted from with back-off and a limit.
//! Not what is spoken on them.

use std::fmt;
use std::fs::{self, Permissions};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as BlockingUnixStream;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use rustix::net::{SocketFlags, accept_with};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use uart_iface::PortName;
use uartnet_reactor::{Half, Interest, Sleep, Watched, sleep};

use crate::config::ListenAddress;
use crate::conn_task::Stream;
use crate::socket;

/// How many connections may wait to be accepted: a burst of clients is served, not refused.
const BACKLOG: i32 = 1024;
/// The waits after an accept that failed for want of something that comes back (descriptors, memory).
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LAST_WAIT: Duration = Duration::from_secs(1);

/// When nothing has failed for so long, the want is over. A gateway at its limit accepts one client for each that leaves,
/// and fails again at once: that is one trouble, not many.
const CALM: Duration = Duration::from_secs(1);

/// Accepting has failed lately.
#[derive(Debug)]
struct Failing {
    wait: Option<Sleep>,
    /// How long to wait the next time.
    next_wait: Duration,
    /// When accepting was last found to fail, and that was waited out.
    last: Instant,
}

impl Default for Failing {
    fn default() -> Failing {
        Failing {
            wait: None,
            next_wait: FIRST_WAIT,
            last: Instant::now(),
        }
    }
}

impl Failing {
    fn is_over(&self) -> bool {
        self.last.elapsed() >= CALM
    }

    fn handle_failed(&mut self) {
        self.wait = Some(sleep(self.next_wait));
        self.next_wait = (self.next_wait * 2).min(LAST_WAIT);
    }

    /// Ready when it is time to try again.
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(wait) = &mut self.wait {
            ready!(Pin::new(wait).poll(cx));
            self.wait = None;
            self.last = Instant::now();
        }
        Poll::Ready(())
    }
}

/// A listener that accepts. Its `Display` is the line `uartd` prints: `listening <protocol> <address> [port]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// The protocol.
    pub protocol: &'static str,
    /// Where, with the port number the system chose.
    pub address: ListenAddress,
    /// The port it speaks to.
    pub port: Option<PortName>,
}

/// Why a listener could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else listens there.
    #[error(
        "cannot listen on {address}: the address is in use already; is another uartd running? choose another one (--listen, or address in the file)"
    )]
    InUse {
        /// Where.
        address: ListenAddress,
    },
    /// The address is not one of this machine's.
    #[error("cannot listen on {address}: no interface of this machine has this address")]
    NotOurs {
        /// Where.
        address: ListenAddress,
    },
    /// We are not allowed to.
    #[error("cannot listen on {address}: permission denied{hint}")]
    Denied {
        /// Where.
        address: ListenAddress,
        /// What to do about it.
        hint: &'static str,
    },
    /// The path of a Unix socket is something else.
    #[error(
        "cannot listen on {address}: there is something at this path that is not a socket; move it away"
    )]
    NotASocket {
        /// Where.
        address: ListenAddress,
    },
    /// Anything else.
    #[error("cannot listen on {address}: {doing}: {cause}")]
    Io {
        /// Where.
        address: ListenAddress,
        /// The call that failed.
        doing: &'static str,
        /// Its error.
        cause: io::Error,
    },
}

/// A bound socket.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: Rc<Bound>,
    address: ListenAddress,
    failing: Option<Box<Failing>>,
    /// Held for its end.
    _file: Option<Box<SocketFile>>,
}

/// The socket of a listener.
#[derive(Debug)]
pub(crate) enum Bound {
    Tcp(Watched<Socket>),
    Unix(Watched<Socket>),
}

impl Listener {
    /// Binds and listens. Must be called where descriptors can be [watched](Watched::new).
    ///
    /// # Errors
    /// [`BindError`], which names the address.
    pub(crate) fn bind(address: &ListenAddress) -> Result<Listener, BindError> {
        let (socket, address, file) = match address {
            ListenAddress::Tcp(wanted) => {
                let (listener, bound) = bind_tcp(*wanted, false)
                    .map_err(|(doing, cause)| explain(address, doing, cause))?;
                (Bound::Tcp(listener), ListenAddress::Tcp(bound), None)
            }
            ListenAddress::Unix(path) => {
                remove_stale(path, address)?;
                let (listener, file) =
                    bind_unix(path).map_err(|(doing, cause)| explain(address, doing, cause))?;
                (Bound::Unix(listener), address.clone(), Some(Box::new(file)))
            }
        };
        Ok(Listener {
            socket: Rc::new(socket),
            address,
            failing: None,
            _file: file,
        })
    }

    /// Binds an address that only a listener of our own occupies, which is about to be closed: 0.0.0.0:8000 in the place
    /// of 127.0.0.1:8000. Until then there are both.
    ///
    /// # Errors
    /// As [`Listener::bind`].
    pub(crate) fn bind_in_place_of(
        address: &ListenAddress,
        leaving: &[Rc<Bound>],
    ) -> Result<Listener, BindError> {
        let ListenAddress::Tcp(wanted) = address else {
            return Listener::bind(address);
        };
        // Only while we bind: whoever else comes finds the address in use.
        let share = |on| leaving.iter().try_for_each(|socket| socket.share(on));
        let bound = share(true).and_then(|()| bind_tcp(*wanted, true));
        let unshared = share(false);
        let (listener, bound) = bound
            .and_then(|bound| unshared.map(|()| bound))
            .map_err(|(doing, cause)| explain(address, doing, cause))?;
        Ok(Listener {
            socket: Rc::new(Bound::Tcp(listener)),
            address: ListenAddress::Tcp(bound),
            failing: None,
            _file: None,
        })
    }

    /// Its socket, which is closed when nobody holds it any more.
    pub(crate) fn socket(&self) -> &Rc<Bound> {
        &self.socket
    }

    /// Where it listens, with the port number the system chose.
    pub(crate) fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// The next client. What cannot be accepted now is waited for, and told once.
    pub(crate) fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Stream> {
        loop {
            if let Some(failing) = &mut self.failing {
                ready!(failing.poll_wait(cx));
            }
            match ready!(self.socket.poll_accept(cx)) {
                Ok(stream) => {
                    if let Some(failing) = &mut self.failing {
                        failing.next_wait = FIRST_WAIT;
                    }
                    if self.failing.take_if(|it| it.is_over()).is_some() {
                        tracing::info!(address = %self.address, "accepting again");
                    }
                    return Poll::Ready(stream);
                }
                // The client had left before it was its turn: not our trouble.
                Err(error) if is_the_peers(&error) => {}
                Err(error) => {
                    self.failing.take_if(|it| it.is_over());
                    if self.failing.is_none() {
                        tracing::error!(address = %self.address, %error, "cannot accept; trying again");
                    }
                    self.failing.get_or_insert_default().handle_failed();
                }
            }
        }
    }
}

impl Bound {
    fn poll_accept(&self, cx: &Context<'_>) -> Poll<io::Result<Stream>> {
        let (Bound::Tcp(listener) | Bound::Unix(listener)) = self;
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let accept = |listener: &Socket| Ok(accept_with(listener, flags)?);
        let accepted = ready!(listener.poll_io(cx, Half::Read, accept))?;
        let client = socket::Socket::new(accepted)?;
        Poll::Ready(Ok(match self {
            Bound::Tcp(_) => Stream::Tcp(client),
            Bound::Unix(_) => Stream::Unix(client),
        }))
    }

    /// Whether another socket may be bound to the same TCP port.
    fn share(&self, on: bool) -> Result<(), Failed> {
        match self {
            Bound::Tcp(listener) => share(&SockRef::from(listener), on),
            Bound::Unix(_) => Ok(()),
        }
    }
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "listening {} {}", self.protocol, self.address)?;
        self.port
            .as_ref()
            .map_or(Ok(()), |port| write!(f, " {port}"))
    }
}

type Failed = (&'static str, io::Error);

fn bind_tcp(address: SocketAddr, shared: bool) -> Result<(Watched<Socket>, SocketAddr), Failed> {
    let (domain, kind) = (Domain::for_address(address), Type::STREAM.nonblocking());
    let socket = Socket::new(domain, kind, None).map_err(|e| ("socket", e))?;
    // A restarted daemon must not wait for the last one's connections to be forgotten.
    socket
        .set_reuse_address(true)
        .map_err(|e| ("SO_REUSEADDR", e))?;
    if shared {
        share(&socket, true)?;
    }
    socket.bind(&address.into()).map_err(|e| ("bind", e))?;
    socket.listen(BACKLOG).map_err(|e| ("listen", e))?;
    if shared {
        share(&socket, false)?;
    }
    let bound = socket.local_addr().map_err(|e| ("getsockname", e))?;
    let listener = Watched::new(socket, Interest::Read).map_err(|e| ("epoll", e))?;
    Ok((listener, bound.as_socket().unwrap_or(address)))
}

fn share(socket: &Socket, on: bool) -> Result<(), Failed> {
    socket.set_reuse_port(on).map_err(|e| ("SO_REUSEPORT", e))
}

fn bind_unix(path: &Path) -> Result<(Watched<Socket>, SocketFile), Failed> {
    let socket =
        Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None).map_err(|e| ("socket", e))?;
    let address = SockAddr::unix(path).map_err(|e| ("the path", e))?;
    socket.bind(&address).map_err(|e| ("bind", e))?;
    let file = SocketFile::new(path).map_err(|e| ("stat", e))?;
    // Nobody can connect before `listen`, so nobody slips in before the mode is right.
    fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(|e| ("chmod", e))?;
    socket.listen(BACKLOG).map_err(|e| ("listen", e))?;
    let listener = Watched::new(socket, Interest::Read).map_err(|e| ("epoll", e))?;
    Ok((listener, file))
}

/// Removes a socket file that a daemon left behind when it was killed; nobody answers on it.
fn remove_stale(path: &Path, address: &ListenAddress) -> Result<(), BindError> {
    let Ok(found) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !found.file_type().is_socket() {
        return Err(BindError::NotASocket {
            address: address.clone(),
        });
    }
    match BlockingUnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            tracing::info!(%address, "removing the socket of a daemon that is gone");
            fs::remove_file(path).map_err(|cause| explain(address, "unlink", cause))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(explain(address, "connect", error))
        }
        Ok(_) | Err(_) => Err(BindError::InUse {
            address: address.clone(),
        }),
    }
}

fn explain(address: &ListenAddress, doing: &'static str, cause: io::Error) -> BindError {
    let address = address.clone();
    match cause.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { address },
        io::ErrorKind::AddrNotAvailable => BindError::NotOurs { address },
        io::ErrorKind::PermissionDenied => {
            let hint = match &address {
                ListenAddress::Tcp(tcp) if tcp.port() < 1024 => {
                    "; ports below 1024 are for root, choose a higher one"
                }
                ListenAddress::Tcp(_) => "",
                ListenAddress::Unix(_) => {
                    "; its folder must be writable for the user uartd runs as"
                }
            };
            BindError::Denied { address, hint }
        }
        _ => BindError::Io {
            address,
            doing,
            cause,
        },
    }
}

/// Errors of `accept` that belong to the connection that was to be accepted.
fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted
    )
}

/// The file of a Unix socket, removed when we end, unless it is no longer ours.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<SocketFile> {
        Ok(SocketFile {
            path: path.to_owned(),
            identity: identity(path)?,
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            // It may have vanished in between; then it is as it should be.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unix(path: &Path) -> ListenAddress {
        ListenAddress::Unix(path.to_owned())
    }

    #[tokio::test]
    async fn a_tcp_listener_tells_the_port_the_system_chose() {
        let any = ListenAddress::Tcp("127.0.0.1:0".parse().unwrap());
        let listener = Listener::bind(&any).unwrap();
        let ListenAddress::Tcp(bound) = listener.address() else {
            panic!("{listener:?}")
        };
        assert_ne!(bound.port(), 0);

        let error = Listener::bind(listener.address()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "cannot listen on {bound}: the address is in use already; is another uartd running? choose another one (--listen, or address in the file)"
            )
        );
    }

    #[tokio::test]
    async fn an_error_says_its_cause_once() {
        let folder = tempfile::tempdir().unwrap();
        let error = Listener::bind(&unix(&folder.path().join("no/socket"))).unwrap_err();
        // Whoever prints the chain of causes prints the sentence alone.
        let said = format!("{:#}", anyhow::Error::new(error));
        assert_eq!(said.matches("No such file").count(), 1, "{said}");
    }

    #[tokio::test]
    async fn a_unix_socket_is_private_and_removed_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = Listener::bind(&unix(&path)).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_a_live_one_and_a_file_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        // Dropping a std listener leaves its file, as a killed daemon does.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let live = Listener::bind(&unix(&path)).unwrap();
        assert!(matches!(
            Listener::bind(&unix(&path)).unwrap_err(),
            BindError::InUse { .. }
        ));

        let file = folder.path().join("notes");
        fs::write(&file, "keep me").unwrap();
        assert!(matches!(
            Listener::bind(&unix(&file)).unwrap_err(),
            BindError::NotASocket { .. }
        ));
        assert_eq!(fs::read_to_string(&file).unwrap(), "keep me");
        drop(live);
    }

    #[tokio::test]
    async fn a_successors_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let old = Listener::bind(&unix(&path)).unwrap();
        fs::rename(&path, folder.path().join("aside")).unwrap();
        let _new = Listener::bind(&unix(&path)).unwrap();
        drop(old);
        assert!(path.exists());
    }

    #[test]
    fn the_line_on_stdout() {
        let mut listening = Listening {
            protocol: "uartnet",
            address: ListenAddress::Tcp("127.0.0.1:8000".parse().unwrap()),
            port: Some("sim0".parse().unwrap()),
        };
        assert_eq!(
            listening.to_string(),
            "listening uartnet 127.0.0.1:8000 sim0"
        );
        listening.port = None;
        listening.address = unix(Path::new("/run/uartd"));
        assert_eq!(listening.to_string(), "listening uartnet unix:/run/uartd");
    }
}
