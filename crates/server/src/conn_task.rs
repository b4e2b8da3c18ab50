//! The one place that awaits a client's socket: it carries bytes between it and a session, and closes it properly.
//! What the bytes mean is the session's business.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::spawn_local;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use uart_iface::peer_process;
use uartnet_reactor::{Alarm, timeout};

use crate::clock;
use crate::crew;
use crate::endpoint::{Finish, Output, Session};
use crate::nudge::Nudge;
use crate::scratch::with_scratch;
use crate::socket::{Behind, Socket};

/// How long, and for how many bytes, a closing connection reads what its client is still sending.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 * 1024;

/// How many bytes the kernel may hold for one client that are not sent yet. It would take up to 4 MiB (`tcp_wmem`) for a
/// client that stopped reading. What is sent and not acknowledged is not in it, so a long way costs no speed.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 512 * 1024;

/// How often a machine that is silent is asked whether it is still there, before its connection is dead.
const PROBES: u32 = 3;

/// How long what a client sent may wait to be read when its connection is broken: a UART held up by its flow control may
/// never take what came before it. A full write queue takes less than this at 9600 baud.
const AFTER_BREAK: Duration = Duration::from_secs(300);

/// Reads and writes in one turn, so that a busy connection leaves time for the others.
const ROUNDS_A_TURN: usize = 16;
/// Pieces in one vectored write.
const SLICES: usize = 16;

/// A client's socket, whatever it is made of.
#[derive(Debug)]
pub(crate) enum Stream {
    /// TCP.
    Tcp(Socket),
    /// A Unix socket.
    Unix(Socket),
    /// TCP, and TLS over it, shaken hands. What TLS holds of what it could not send is at most its buffer limit (64 KiB).
    Tls(Box<TlsStream<Socket>>),
}

/// What a connection needs to come to an end.
#[derive(Debug, Clone)]
pub(crate) struct Ending {
    /// The daemon stops: sessions are told.
    pub(crate) stop: CancellationToken,
    /// The drain deadline has passed: whatever is left is cut.
    pub(crate) cut: CancellationToken,
}

/// How the connections of one listener learn that they are to end: one task waits for all of them and rings their nudges.
/// Two waits in each of them would be a third of what an idle connection weighs.
#[derive(Debug)]
pub(crate) struct Bells {
    /// Of the whole daemon.
    all: Ending,
    /// Of those of this listener, made for the first of them.
    ending: OnceCell<Ending>,
    stopped: Cell<bool>,
    cut: Cell<bool>,
    /// Whether there is a task that waits.
    watched: Cell<bool>,
    nudges: RefCell<Vec<Weak<Nudge>>>,
}

/// How a connection went, for the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Account {
    /// Bytes received from the client.
    pub(crate) received: u64,
    /// Bytes its socket took.
    pub(crate) sent: u64,
    /// Bytes it was not given because it was cut.
    pub(crate) unsent: u64,
    /// Whether it was cut.
    pub(crate) cut: bool,
}

impl Bells {
    /// Nobody is there yet. They end when all end, at the latest.
    pub(crate) fn new(all: Ending) -> Bells {
        Bells {
            all,
            ending: OnceCell::new(),
            stopped: Cell::new(false),
            cut: Cell::new(false),
            watched: Cell::new(false),
            nudges: RefCell::default(),
        }
    }

    /// What is waited for.
    pub(crate) fn ending(&self) -> &Ending {
        self.ending.get_or_init(|| Ending {
            stop: self.all.stop.child_token(),
            cut: self.all.cut.child_token(),
        })
    }

    fn enter(self: &Rc<Self>, nudge: &Rc<Nudge>) {
        if !self.watched.replace(true) {
            spawn_local(self.clone().watch());
        }
        let mut nudges = self.nudges.borrow_mut();
        // Before it would grow, and so not for each who comes.
        if nudges.len() == nudges.capacity() {
            nudges.retain(|nudge| nudge.strong_count() > 0);
        }
        nudges.push(Rc::downgrade(nudge));
    }

    async fn watch(self: Rc<Self>) {
        let Ending { stop, cut } = self.ending();
        // A daemon that is cut stops, too.
        tokio::select! {
            () = stop.cancelled() => {}
            () = cut.cancelled() => {}
        }
        self.stopped.set(stop.is_cancelled());
        self.ring();
        cut.cancelled().await;
        self.cut.set(true);
        self.ring();
    }

    fn ring(&self) {
        let nudges = self.nudges.borrow();
        nudges
            .iter()
            .filter_map(Weak::upgrade)
            .for_each(|nudge| nudge.ring());
    }
}

/// Serves one connection until it is over, or says what the operating system said when it broke.
///
/// It is a future of its own and no `async fn`, which would keep twice what it is given; and what a connection rarely has
/// is in a box, because an idle one is hardly more than this.
pub(crate) struct Serving<S> {
    stage: Stage<S>,
    account: Account,
    bells: Rc<Bells>,
}

enum Stage<S> {
    Talking(Connection<S>),
    /// What there is to do once the session is over. Says how many more bytes were received.
    Closing(Pin<Box<dyn Future<Output = (io::Result<()>, u64)>>>),
    Over,
}

impl<S: Session> Serving<S> {
    /// This conversation, over this socket.
    pub(crate) fn new(
        stream: Stream,
        session: S,
        nudge: Rc<Nudge>,
        bells: Rc<Bells>,
    ) -> Serving<S> {
        bells.enter(&nudge);
        let connection = Connection {
            stream,
            session,
            nudge,
            output: None,
            silent: false,
            alarm: Alarm::default(),
            input: Input::Open,
            stopped: false,
            broken: None,
        };
        Serving {
            stage: Stage::Talking(connection),
            account: Account::default(),
            bells,
        }
    }

    /// How it went so far.
    pub(crate) fn account(&self) -> Account {
        self.account
    }
}

impl<S: Session + Unpin> Future for Serving<S> {
    type Output = io::Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Serving {
            stage,
            account,
            bells,
        } = self.get_mut();
        loop {
            let finish = match stage {
                Stage::Talking(connection) if bells.cut.get() => {
                    account.cut = true;
                    account.unsent = connection.output.as_ref().map_or(0, |it| it.len() as u64);
                    *stage = Stage::Over;
                    return Poll::Ready(Ok(()));
                }
                Stage::Talking(connection) => {
                    ready!(connection.poll(cx, account, bells.stopped.get()))
                }
                Stage::Closing(closing) => {
                    let (closed, received) = ready!(closing.as_mut().poll(cx));
                    account.received += received;
                    *stage = Stage::Over;
                    return Poll::Ready(closed);
                }
                Stage::Over => return Poll::Ready(Ok(())),
            };
            // The session leaves its ports here, before the last second and not after.
            let Stage::Talking(Connection { stream, broken, .. }) =
                std::mem::replace(stage, Stage::Over)
            else {
                continue;
            };
            if let Some(broken) = broken {
                return Poll::Ready(Err(broken.error));
            }
            let cut = bells.ending().cut.clone();
            *stage = Stage::Closing(Box::pin(async move {
                let mut received = 0;
                let closed = cut
                    .run_until_cancelled(close(stream, finish, &mut received))
                    .await;
                (closed.unwrap_or(Ok(())), received)
            }));
        }
    }
}

async fn close(mut stream: Stream, finish: Finish, received: &mut u64) -> io::Result<()> {
    match finish {
        Finish::Linger => linger(stream, received).await,
        // Dropping the socket would do, but says nothing when the client has gone before.
        Finish::Close => stream.end().await,
    }
}

/// Tells a client that it cannot be served, and closes.
pub(crate) async fn refuse(mut stream: Stream, answer: Bytes, ending: Ending) {
    let mut output = Output::new();
    output.push_shared(answer);
    let say = async {
        poll_fn(|cx| stream.poll_flush_output(cx, &mut output)).await?;
        linger(stream, &mut 0).await
    };
    let said = ending.cut.run_until_cancelled(say).await.unwrap_or(Ok(()));
    if let Err(error) = said {
        tracing::debug!(%error, "a refused client had left");
    }
}

struct Connection<S> {
    stream: Stream,
    session: S,
    nudge: Rc<Nudge>,
    /// What the socket has not taken, if there is any.
    output: Option<Box<Output>>,
    /// The session has said all it has to say until something happens to it, or its nudge is rung.
    silent: bool,
    alarm: Alarm,
    input: Input,
    /// The session was told to stop.
    stopped: bool,
    broken: Option<Box<Broken>>,
}

/// What is known of the client's input.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Input {
    /// There may be some.
    Open,
    /// There was none, and the connection's task is woken when there is.
    Awaited,
    /// The client has shut down its sending half.
    Ended,
}

impl Input {
    /// Behind what was read.
    fn behind(behind: Behind) -> Input {
        match behind {
            Behind::Unknown => Input::Open,
            Behind::Nothing => Input::Awaited,
        }
    }
}

/// The socket takes nothing more: the client is gone, or going. What it sent before is still read and carried out.
struct Broken {
    error: io::Error,
    /// Until when what it sent is still read.
    give_up: Instant,
}

/// A connection that is polled, with what it has only meanwhile.
struct Round<'a, S> {
    connection: &'a mut Connection<S>,
    account: &'a mut Account,
    /// Read from the clock when it is needed, and again after everything that takes time, which is what the kernel is asked
    /// for.
    now: Option<Instant>,
    /// The socket was found empty in this turn.
    is_empty: bool,
}

impl<S: Session> Connection<S> {
    /// Whether there is nothing to write, and nobody to ask for it: nothing has happened since that was found out.
    fn is_quiet(&self) -> bool {
        self.silent && self.output.is_none() && !self.stream.keeps()
    }

    /// Whether there is nothing to read either: its turn is over, unless it is time for something.
    fn is_at_rest(&self) -> bool {
        self.input == Input::Awaited && self.is_quiet()
    }

    fn poll(&mut self, cx: &mut Context<'_>, account: &mut Account, stop: bool) -> Poll<Finish> {
        self.nudge.awake();
        if stop && !self.stopped {
            self.stopped = true;
            self.silent = false;
            self.session.handle_stop(Instant::now());
        }
        let mut round = Round {
            connection: self,
            account,
            now: None,
            is_empty: false,
        };
        round.poll(cx)
    }
}

impl<S: Session> Round<'_, S> {
    /// One turn. First whether to stop, then output, input, and time, because both may have moved the session's timeout;
    /// again until none of them moves.
    ///
    /// *Output before input*: what the client is owed goes out before it may ask for more. The session is asked for output
    /// only when the socket has taken all of it, so a client that does not read costs an [`Output`], and its lag is an
    /// offset in the hub. Input is read only if the session wants it, so a client that writes faster than the UART
    /// feels it.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Finish> {
        for _ in 0..ROUNDS_A_TURN {
            if self.connection.nudge.take() {
                self.connection.silent = false;
            }
            if !self.connection.is_quiet()
                && self.write(cx).is_ready()
                && let Some(finish) = self.connection.session.finished()
            {
                return Poll::Ready(finish);
            }
            if self.read(cx).is_ready() && !self.connection.is_at_rest() {
                // What the client sent is at the UART before any more of it is read.
                if crew::gives_way() {
                    return Poll::Pending;
                }
                continue;
            }
            let timed = self.time(cx);
            if timed.is_pending() {
                if !self.connection.nudge.poll(cx) {
                    return Poll::Pending;
                }
                self.connection.silent = false;
            }
        }
        let _timed = self.time(cx);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The session, to which something is about to happen.
    fn session(&mut self) -> &mut S {
        self.connection.silent = false;
        &mut self.connection.session
    }

    fn now(&mut self) -> Instant {
        *self.now.get_or_insert_with(clock::latest)
    }

    /// Ready when the session has nothing more to say and the socket took everything.
    fn write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let kept = self.connection.output.take();
        let mut output = kept.map_or_else(Output::new, |it| *it);
        let written = self.write_output(cx, &mut output);
        if !output.is_empty() {
            self.connection.output = Some(Box::new(output));
        }
        written
    }

    fn write_output(&mut self, cx: &mut Context<'_>, output: &mut Output) -> Poll<()> {
        loop {
            let before = output.len();
            let flushed = self.connection.stream.poll_flush_output(cx, output);
            if before > 0 {
                self.account.sent += (before - output.len()) as u64;
                self.now = None;
                clock::passes();
            }
            if let Err(error) = ready!(flushed) {
                self.account.unsent += output.take().len() as u64;
                self.handle_broken(error);
            }
            if self.connection.silent {
                return Poll::Ready(());
            }
            let now = self.now();
            self.connection.session.poll_output(now, output);
            // Only a full output stops it before it has said everything.
            self.connection.silent = !output.is_full();
            if self.connection.broken.is_some() {
                self.account.unsent += output.take().len() as u64;
            }
        }
    }

    /// Ready when something was read.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.connection.input == Input::Ended {
            return Poll::Pending;
        }
        if !self.connection.session.wants_input() {
            // Should its task be woken by some, it is not looked at.
            self.connection.input = Input::Open;
            return Poll::Pending;
        }
        if self.connection.input == Input::Awaited && (self.is_empty || crew::was_only_rung()) {
            return Poll::Pending;
        }
        self.connection.input = Input::Awaited;
        with_scratch(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            let stream = &mut self.connection.stream;
            let read = ready!(stream.poll_read(cx, &mut buffer));
            let now = clock::read();
            self.now = Some(now);
            match read {
                Ok(more) if !buffer.filled().is_empty() => {
                    self.connection.input = more;
                    self.is_empty = more == Input::Awaited;
                    self.account.received += buffer.filled().len() as u64;
                    let Connection {
                        session, silent, ..
                    } = &mut *self.connection;
                    session.handle_input(now, buffer.filled());
                    *silent &= session.stays_silent();
                }
                Ok(_) => self.handle_end_of_input(now),
                Err(error) => {
                    self.connection.input = Input::Open;
                    let kept = self.connection.output.take();
                    self.account.unsent += kept.map_or(0, |it| it.len() as u64);
                    self.handle_broken(error);
                    self.handle_end_of_input(now);
                }
            }
            Poll::Ready(())
        })
    }

    /// Ready when the session's time, or that of a broken connection, had come.
    fn time(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut at = self.connection.session.poll_timeout();
        if let Some(Broken { give_up, .. }) = self.connection.broken.as_deref()
            && self.connection.input != Input::Ended
        {
            at = Some(at.map_or(*give_up, |at| at.min(*give_up)));
        }
        ready!(self.connection.alarm.poll(cx, at));
        self.handle_timeout(Instant::now());
        Poll::Ready(())
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.session().handle_timeout(now);
        let broken = self.connection.broken.as_ref();
        if broken.is_some_and(|it| it.give_up <= now) && self.connection.input != Input::Ended {
            self.handle_end_of_input(now);
        }
    }

    fn handle_end_of_input(&mut self, now: Instant) {
        self.connection.input = Input::Ended;
        self.session().handle_end_of_input(now);
        if self.connection.broken.is_some() {
            self.session().handle_gone(now);
        }
    }

    /// The connection is broken. A client that closes at once after sending breaks it for what we say, and what it sent
    /// can still be read.
    fn handle_broken(&mut self, error: io::Error) {
        if self.connection.broken.is_none() {
            let now = Instant::now();
            self.connection.broken = Some(Box::new(Broken {
                error,
                give_up: now + AFTER_BREAK,
            }));
            if self.connection.input == Input::Ended {
                self.session().handle_gone(now);
            }
        }
    }
}

/// Shuts the sending half down, then reads and discards for a while: closing with unread input makes TCP take back what
/// is still on its way to the client.
async fn linger(mut stream: Stream, received: &mut u64) -> io::Result<()> {
    stream.end().await?;
    let mut left = LINGER_BYTES;
    let discard = poll_fn(|cx| {
        while left > 0 {
            let count = with_scratch(|buffer| {
                let mut buffer = ReadBuf::new(buffer);
                ready!(stream.poll_read(cx, &mut buffer))?;
                Poll::Ready(io::Result::Ok(buffer.filled().len()))
            });
            match ready!(count)? {
                0 => break,
                count => {
                    *received += count as u64;
                    left = left.saturating_sub(count);
                }
            }
        }
        Poll::Ready(Ok(()))
    });
    timeout(LINGER, discard).await.unwrap_or(Ok(()))
}

impl Stream {
    /// Who is at the other end, for logs and for other clients' refusals.
    pub(crate) fn peer(&self) -> String {
        match self {
            Stream::Tcp(_) | Stream::Tls(_) => match self.peer_address() {
                Some(peer) => peer.to_string(),
                None => "unknown".to_owned(),
            },
            Stream::Unix(stream) => match peer_process(stream.as_fd()) {
                Ok(Some(pid)) => format!("pid {pid}"),
                Ok(None) | Err(_) => "a local process".to_owned(),
            },
        }
    }

    /// The IP address at the other end, if it has one.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        Some(self.peer_address()?.ip())
    }

    fn peer_address(&self) -> Option<SocketAddr> {
        SockRef::from(self.tcp()?).peer_addr().ok()?.as_socket()
    }

    /// The TCP connection underneath, if there is one.
    fn tcp(&self) -> Option<&Socket> {
        match self {
            Stream::Tcp(stream) => Some(stream),
            Stream::Tls(stream) => Some(stream.get_ref().0),
            Stream::Unix(_) => None,
        }
    }

    /// Bytes go at once, few wait in the kernel, none is taken out of its place, and a client whose machine vanished is noticed within `dead_peer`,
    /// which is at least 5 s.
    pub(crate) fn tune(&self, dead_peer: Duration) -> io::Result<()> {
        let Some(stream) = self.tcp() else {
            return Ok(());
        };
        let socket = SockRef::from(stream);
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_keepalive(&keepalive(dead_peer))?;
        // An urgent byte is a byte of the stream like any other. Telnet's Synch sends the IAC of its data mark as one.
        socket.set_out_of_band_inline(true)?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(dead_peer))?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_notsent_lowat(UNSENT)?;
        Ok(())
    }

    /// Ends the sending half: the other side can tell that from a connection that was cut. TLS has to send its own end
    /// first, for which a client that does not read is given [`LINGER`].
    async fn end(&mut self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) | Stream::Unix(stream) => stream.end(),
            Stream::Tls(stream) => {
                let end = poll_fn(|cx| Pin::new(&mut *stream).poll_shutdown(cx));
                let late = Err(io::ErrorKind::TimedOut.into());
                timeout(LINGER, end).await.unwrap_or(late)
            }
        }
    }

    /// Whether it may keep what it took, and has to be flushed.
    fn keeps(&self) -> bool {
        matches!(self, Stream::Tls(_))
    }

    /// What is known of the input behind what was read.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Input>> {
        match self {
            Stream::Tcp(stream) | Stream::Unix(stream) => {
                stream.poll_read_ahead(cx, buffer).map_ok(Input::behind)
            }
            Stream::Tls(stream) => Pin::new(stream)
                .poll_read(cx, buffer)
                .map_ok(|()| Input::Open),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, output: &Output) -> Poll<io::Result<usize>> {
        if let Some(piece) = output.as_one_piece() {
            return match self {
                Stream::Tcp(stream) | Stream::Unix(stream) => stream.poll_send(cx, piece),
                Stream::Tls(stream) => Pin::new(stream).poll_write(cx, piece),
            };
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let filled = output.slices(&mut slices);
        let slices = &slices[..filled];
        match self {
            Stream::Tcp(stream) | Stream::Unix(stream) => stream.poll_send_all(cx, slices),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    /// Ready when everything is written.
    fn poll_flush_output(
        &mut self,
        cx: &mut Context<'_>,
        output: &mut Output,
    ) -> Poll<io::Result<()>> {
        while !output.is_empty() {
            let count = ready!(self.poll_write(cx, output))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            output.advance(count);
        }
        match self {
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tcp(_) | Stream::Unix(_) => Poll::Ready(Ok(())),
        }
    }
}

/// For a connection on which nothing is under way: half of the time it may be silent, in the rest it is asked. The kernel
/// counts in whole seconds. (What is under way and not acknowledged is what TCP_USER_TIMEOUT is for.)
fn keepalive(dead_peer: Duration) -> TcpKeepalive {
    let seconds = dead_peer.as_secs();
    let every = (seconds / (2 * u64::from(PROBES))).max(1);
    let silence = seconds.saturating_sub(u64::from(PROBES) * every).max(1);
    TcpKeepalive::new()
        .with_time(Duration::from_secs(silence))
        .with_interval(Duration::from_secs(every))
        .with_retries(PROBES)
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream, UnixStream};
    use tokio::task::LocalSet;

    use super::*;

    /// It says goodbye at the first byte, and looks at nothing more.
    #[derive(Debug, Default)]
    struct Curt {
        heard: bool,
        said: bool,
    }

    impl Session for Curt {
        fn handle_input(&mut self, _now: Instant, _bytes: &[u8]) {
            self.heard = true;
        }

        fn handle_end_of_input(&mut self, _now: Instant) {}

        fn handle_stop(&mut self, _now: Instant) {
            self.heard = true;
        }

        fn poll_output(&mut self, _now: Instant, out: &mut Output) {
            if self.heard && !self.said {
                self.said = true;
                out.push(b"goodbye");
            }
        }

        fn wants_input(&self) -> bool {
            !self.heard
        }

        fn finished(&self) -> Option<Finish> {
            self.said.then_some(Finish::Linger)
        }
    }

    /// A connection, and its other end.
    fn unix_pair() -> (Stream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let ours = ours.into_std().unwrap();
        (Stream::Unix(Socket::new(ours.into()).unwrap()), theirs)
    }

    /// The same, of TCP.
    async fn tcp_pair() -> (Stream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (accepted, client) = tokio::join!(listener.accept(), client);
        let ours = accepted.unwrap().0.into_std().unwrap();
        let ours = Socket::new(ours.into()).unwrap();
        (Stream::Tcp(ours), client.unwrap())
    }

    async fn serve(
        stream: Stream,
        session: impl Session + Unpin,
        nudge: Rc<Nudge>,
        ending: Ending,
        account: &mut Account,
    ) -> io::Result<()> {
        let served = async {
            let bells = Rc::new(Bells::new(ending));
            let mut serving = Serving::new(stream, session, nudge, bells);
            let served = (&mut serving).await;
            *account = serving.account();
            served
        };
        LocalSet::new().run_until(served).await
    }

    fn ending() -> Ending {
        Ending {
            stop: CancellationToken::new(),
            cut: CancellationToken::new(),
        }
    }

    #[tokio::test]
    async fn what_a_client_still_sends_is_read_so_that_the_last_word_reaches_it() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        let (ours, mut theirs) = unix_pair();
        let client = async {
            theirs.write_all(b"x").await.unwrap();
            let mut last = String::new();
            theirs.read_to_string(&mut last).await.unwrap();
            // Nobody would take this from a socket that is closed.
            theirs.write_all(&[b'y'; 100_000]).await.unwrap();
            drop(theirs);
            last
        };
        let mut account = Account::default();
        let session = Curt::default();
        let served = serve(ours, session, Rc::default(), ending(), &mut account);
        let (served, last) = tokio::join!(served, client);
        served.unwrap();
        assert_eq!(last, "goodbye");
        assert_eq!(
            (account.received, account.sent, account.cut),
            (100_001, 7, false)
        );
    }

    #[tokio::test]
    async fn a_cut_connection_says_how_much_its_client_did_not_take() {
        /// It always has more to say.
        #[derive(Debug)]
        struct Chatter;

        impl Session for Chatter {
            fn handle_input(&mut self, _now: Instant, _bytes: &[u8]) {}

            fn handle_end_of_input(&mut self, _now: Instant) {}

            fn handle_stop(&mut self, _now: Instant) {}

            fn poll_output(&mut self, _now: Instant, out: &mut Output) {
                while !out.is_full() {
                    out.push(&[b'x'; 1000]);
                }
            }

            fn wants_input(&self) -> bool {
                true
            }

            fn finished(&self) -> Option<Finish> {
                None
            }
        }

        let (ours, theirs) = unix_pair();
        let ending = ending();
        let cut = ending.cut.clone();
        let mut account = Account::default();
        let served = serve(ours, Chatter, Rc::default(), ending, &mut account);
        let cutting = async {
            // Once its socket is full, everything there is to do has been done.
            for _ in 0..1000 {
                tokio::task::yield_now().await;
            }
            cut.cancel();
        };
        let (served, ()) = tokio::join!(served, cutting);
        served.unwrap();
        assert!(account.cut && account.sent > 0);
        assert!(
            account.unsent > 0 && account.unsent <= Output::FULL as u64 + 1000,
            "{account:?}"
        );
        drop(theirs);
    }

    /// A session that, when its nudge is rung, sets itself a timeout, and has finished when that is reached.
    #[derive(Debug, Default)]
    struct Timed {
        polled: usize,
        at: Option<Instant>,
        finished: Option<Finish>,
    }

    impl Session for Timed {
        fn handle_input(&mut self, _now: Instant, _bytes: &[u8]) {}

        fn handle_end_of_input(&mut self, _now: Instant) {}

        fn handle_stop(&mut self, _now: Instant) {}

        fn handle_timeout(&mut self, _now: Instant) {
            self.finished = Some(Finish::Close);
        }

        fn poll_timeout(&self) -> Option<Instant> {
            self.at.filter(|_| self.finished.is_none())
        }

        fn poll_output(&mut self, now: Instant, _out: &mut Output) {
            self.polled += 1;
            if self.polled == 2 {
                self.at = Some(now + Duration::from_secs(60));
            }
        }

        fn wants_input(&self) -> bool {
            false
        }

        fn finished(&self) -> Option<Finish> {
            self.finished
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_that_is_set_while_output_is_asked_for_is_kept() {
        let (stream, _client) = unix_pair();
        let nudge = Rc::<Nudge>::default();
        let (ending, mut account) = (ending(), Account::default());
        let session = Timed::default();
        let serve = serve(stream, session, nudge.clone(), ending, &mut account);
        let ring = async {
            tokio::task::yield_now().await;
            nudge.ring();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            served = serve => served.unwrap(),
            () = ring => {}
            () = tokio::time::sleep(Duration::from_secs(3600)) => panic!("it sleeps for ever"),
        }
    }

    #[tokio::test]
    async fn who_is_at_the_other_end_is_named() {
        let (unix, _theirs) = unix_pair();
        assert_eq!(unix.peer(), format!("pid {}", std::process::id()));
        assert_eq!(unix.address(), None);
        let (tcp, theirs) = tcp_pair().await;
        let theirs = theirs.local_addr().unwrap();
        assert_eq!(tcp.peer(), theirs.to_string());
        assert_eq!(tcp.address(), Some(theirs.ip()));
    }

    /// Its input rings its own nudge, as a first write does that takes the lease, and it has something to say then.
    #[derive(Debug)]
    struct RingsItself {
        nudge: Rc<Nudge>,
        heard: bool,
        said: bool,
    }

    impl Session for RingsItself {
        fn handle_input(&mut self, _now: Instant, _bytes: &[u8]) {
            self.heard = true;
            self.nudge.ring();
        }

        fn handle_end_of_input(&mut self, _now: Instant) {}

        fn handle_stop(&mut self, _now: Instant) {}

        fn poll_output(&mut self, _now: Instant, out: &mut Output) {
            if self.heard && !self.said {
                self.said = true;
                out.push(b"taken");
            }
        }

        fn stays_silent(&self) -> bool {
            true
        }

        fn wants_input(&self) -> bool {
            true
        }

        fn finished(&self) -> Option<Finish> {
            self.said.then_some(Finish::Close)
        }
    }

    #[tokio::test]
    async fn who_is_rung_by_its_own_input_is_asked_although_it_stays_silent() {
        let (stream, client) = tcp_pair().await;
        let nudge = Rc::<Nudge>::default();
        let session = RingsItself {
            nudge: nudge.clone(),
            heard: false,
            said: false,
        };
        let mut account = Account::default();
        let served = serve(stream, session, nudge, ending(), &mut account);
        let send = async { SockRef::from(&client).send(b"LED ?").unwrap() };
        let conversation = async { tokio::join!(served, send).0 };
        let served = tokio::time::timeout(Duration::from_secs(10), conversation).await;
        served.expect("it is never asked").unwrap();
        assert_eq!((account.received, account.sent), (5, 5));
    }

    /// It is over when it has heard a z, and notes the bytes as they come.
    #[derive(Debug, Default)]
    struct Listens {
        heard: Rc<RefCell<Vec<u8>>>,
    }

    impl Session for Listens {
        fn handle_input(&mut self, _now: Instant, bytes: &[u8]) {
            self.heard.borrow_mut().extend_from_slice(bytes);
        }

        fn handle_end_of_input(&mut self, _now: Instant) {}

        fn handle_stop(&mut self, _now: Instant) {}

        fn poll_output(&mut self, _now: Instant, _out: &mut Output) {}

        fn wants_input(&self) -> bool {
            true
        }

        fn finished(&self) -> Option<Finish> {
            self.heard.borrow().contains(&b'z').then_some(Finish::Close)
        }
    }

    /// It has nothing to say but at the end, which may be a z, and notes how often it is asked.
    #[derive(Debug, Default)]
    struct Mute {
        asked: Rc<Cell<usize>>,
        over: bool,
    }

    impl Session for Mute {
        fn handle_input(&mut self, _now: Instant, bytes: &[u8]) {
            self.over |= bytes.contains(&b'z');
        }

        fn handle_end_of_input(&mut self, _now: Instant) {
            self.over = true;
        }

        fn handle_stop(&mut self, _now: Instant) {}

        fn poll_output(&mut self, _now: Instant, out: &mut Output) {
            self.asked.set(self.asked.get() + 1);
            if self.over {
                out.push(b"goodbye");
            }
        }

        fn stays_silent(&self) -> bool {
            !self.over
        }

        fn wants_input(&self) -> bool {
            true
        }

        fn finished(&self) -> Option<Finish> {
            self.over.then_some(Finish::Close)
        }
    }

    #[tokio::test]
    async fn who_stays_silent_is_asked_when_something_else_happens() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        let (ours, mut theirs) = unix_pair();
        let nudge = Rc::<Nudge>::default();
        let session = Mute::default();
        let asked = session.asked.clone();
        let (rung, seen) = (nudge.clone(), asked.clone());
        let client = async {
            for _ in 0..3 {
                theirs.write_all(b"x").await.unwrap();
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
            }
            let at_first = seen.get();
            rung.ring();
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            let rung = seen.get();
            theirs.write_all(b"z").await.unwrap();
            let mut last = String::new();
            theirs.read_to_string(&mut last).await.unwrap();
            (at_first, rung, last)
        };
        let mut account = Account::default();
        let served = serve(ours, session, nudge, ending(), &mut account);
        let (served, told) = tokio::join!(served, client);
        served.unwrap();
        assert_eq!(told, (1, 2, "goodbye".to_owned()));
        assert_eq!((account.received, asked.get()), (4, 3));
    }

    #[tokio::test]
    async fn an_end_that_comes_with_the_last_bytes_is_seen() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        let (stream, mut client) = tcp_pair().await;
        let mut account = Account::default();
        let session = Mute::default();
        let served = serve(stream, session, Rc::default(), ending(), &mut account);
        // The socket is waited for, and then both are there before any is read.
        let send = async {
            client.write_all(b"last").await.unwrap();
            client.shutdown().await.unwrap();
            let mut said = String::new();
            client.read_to_string(&mut said).await.unwrap();
            said
        };
        let conversation = async { tokio::join!(served, send) };
        let talked = tokio::time::timeout(Duration::from_secs(60), conversation).await;
        let (served, said) = talked.expect("it is stuck");
        served.unwrap();
        assert_eq!((said.as_str(), account.received), ("goodbye", 4));
    }

    #[tokio::test]
    async fn what_follows_an_urgent_byte_is_read_without_anything_more_being_sent() {
        let (stream, client) = tcp_pair().await;
        stream.tune(Duration::from_secs(5)).unwrap();
        let session = Listens::default();
        let heard = session.heard.clone();
        let mut account = Account::default();
        let served = serve(stream, session, Rc::default(), ending(), &mut account);
        // The socket is waited for, and then all of it is there before any is read: a gateway that has much to do.
        let send = async {
            let socket = SockRef::from(&client);
            socket.send(b"IAC").unwrap();
            socket.send_out_of_band(b"!").unwrap();
            socket.send(b"a line that ends with z").unwrap();
        };
        let conversation = async { tokio::join!(served, send).0 };
        let served = tokio::time::timeout(Duration::from_secs(60), conversation).await;
        assert!(served.is_ok(), "stuck after {:?}", heard.borrow());
        assert_eq!(&**heard.borrow(), b"IAC!a line that ends with z");
    }

    #[tokio::test]
    async fn the_socket_notices_a_dead_peer_within_the_time_it_is_given() {
        let (stream, _client) = tcp_pair().await;
        for seconds in [5, 6, 11, 30, 90, 3600] {
            let dead_peer = Duration::from_secs(seconds);
            stream.tune(dead_peer).unwrap();
            let Stream::Tcp(tcp) = &stream else {
                unreachable!("it was made above")
            };
            let socket = SockRef::from(tcp);
            assert!(socket.keepalive().unwrap());
            let silence = socket.tcp_keepalive_time().unwrap();
            let every = socket.tcp_keepalive_interval().unwrap();
            let probes = socket.tcp_keepalive_retries().unwrap();
            assert_eq!(silence + every * probes, dead_peer);
            assert!(silence >= Duration::from_secs(1) && every >= Duration::from_secs(1));
            #[cfg(target_os = "linux")]
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(dead_peer));
        }
    }
}
