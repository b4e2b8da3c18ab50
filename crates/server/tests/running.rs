//! The running daemon in process: real loopback sockets, simulated boards, port 0.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::tcgetattr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Builder;
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::timeout;
use uartnet_server::config::{Config, Given, ListenAddress, load};
use uartnet_server::endpoint::{Connection, EndpointKind, Finish, Output, PortNeed, Session};
use uartnet_server::{BindError, Listening, News, Orders, ReadConfig, RunError, Summary, run};

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A daemon that is running.
struct Daemon {
    listening: Vec<Listening>,
    orders: Orders,
    ended: JoinHandle<Result<Summary, RunError>>,
}

impl Daemon {
    /// Starts with these ports and listeners, as the command line would give them.
    async fn start(ports: &[&str], listen: &[&str]) -> Daemon {
        Daemon::start_with(config(ports, listen)).await
    }

    async fn start_with(config: Config) -> Daemon {
        let orders = Orders::default();
        let expected = config.listeners.len();
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let ended = spawn_local(run(config, never_again(), orders.clone(), move |news| {
            if let News::Listening(line) = news {
                tell.send(line.clone()).unwrap();
            }
        }));
        let mut listening = Vec::new();
        while listening.len() < expected {
            listening.push(told.recv().await.expect("it listens"));
        }
        Daemon {
            listening,
            orders,
            ended,
        }
    }

    fn address(&self) -> SocketAddr {
        match &self.listening[0].address {
            ListenAddress::Tcp(address) => *address,
            ListenAddress::Unix(path) => panic!("{}", path.display()),
        }
    }

    async fn client(&self) -> TcpStream {
        TcpStream::connect(self.address()).await.unwrap()
    }

    async fn stop(self) -> Summary {
        self.orders.stop.cancel();
        self.end().await
    }

    async fn end(self) -> Summary {
        timeout(DEADLINE, self.ended)
            .await
            .expect("it stops")
            .unwrap()
            .unwrap()
    }
}

/// A daemon whose configuration is not read again.
fn never_again() -> ReadConfig {
    Arc::new(|| panic!("nobody asked for a reload"))
}

fn config(ports: &[&str], listen: &[&str]) -> Config {
    let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
    let given = Given {
        ports: texts(ports),
        listen: texts(listen),
        ..Given::default()
    };
    load(&given).unwrap().config
}

/// Runs a test as the daemon runs: everything on one thread. It is tokio's, because a test is also a client.
fn on_the_runtime<F: Future>(test: F) -> F::Output {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let test = async { timeout(DEADLINE, test).await.expect("in time") };
    LocalSet::new().block_on(&runtime, test)
}

/// A frame, by code that shares nothing with `uartnet-proto`.
fn frame(payload: &str) -> Vec<u8> {
    let mut len = payload.len() + 2;
    while len.to_string().len() + 1 + payload.len() != len {
        len += 1;
    }
    format!("{len}_{payload}").into_bytes()
}

async fn read_frame(stream: &mut (impl AsyncReadExt + Unpin)) -> io::Result<String> {
    let mut len = String::new();
    loop {
        match stream.read_u8().await? {
            b'_' => break,
            digit => len.push(char::from(digit)),
        }
    }
    let mut payload = vec![0; len.parse::<usize>().unwrap() - len.len() - 1];
    stream.read_exact(&mut payload).await?;
    Ok(String::from_utf8(payload).unwrap())
}

/// Everything up to the end of the stream.
async fn read_all(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

async fn ask(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), command: &str) -> String {
    stream.write_all(&frame(command)).await.unwrap();
    read_frame(stream).await.unwrap()
}

#[test]
fn a_board_is_asked_over_a_socket() {
    on_the_runtime(async {
        let daemon = Daemon::start(&["sim0=sim:interpreter"], &["uartnet=127.0.0.1:0"]).await;
        assert_eq!(
            daemon.listening[0].to_string(),
            format!("listening uartnet {} sim0", daemon.address())
        );
        let mut client = daemon.client().await;
        for byte in b"13_Hello IoT!" {
            client.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let hello = read_frame(&mut client).await.unwrap();
        assert!(
            !hello.starts_with("error: ") && !hello.is_empty(),
            "{hello}"
        );
        assert!(!ask(&mut client, "LED ON").await.starts_with("error: "));
        client.write_all(b"5_ID?5_ID?").await.unwrap();
        client.shutdown().await.unwrap();
        let both = read_all(&mut client).await;
        let (first, second) = both.split_at(both.len() / 2);
        assert!(!first.is_empty() && first == second, "{both}");
        assert_eq!(daemon.stop().await, Summary::default());
    });
}

#[test]
fn a_unix_socket_serves_the_same() {
    on_the_runtime(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("uartd");
        let listen = format!("uartnet=unix:{}", path.display());
        let daemon = Daemon::start(&["sim0=sim:interpreter"], &[&listen]).await;
        let mut client = UnixStream::connect(&path).await.unwrap();
        assert!(!ask(&mut client, "ID?").await.starts_with("error: "));
        drop(client);
        daemon.stop().await;
        assert!(!path.exists(), "the socket is removed");
    });
}

#[test]
fn two_hundred_clients_at_once_are_all_answered() {
    on_the_runtime(async {
        let daemon = Daemon::start(&["sim0=sim:interpreter"], &["uartnet=127.0.0.1:0"]).await;
        let mut clients = Vec::new();
        for _ in 0..200 {
            clients.push(daemon.client().await);
        }
        let asks = LocalSet::new();
        let answers = clients.into_iter().map(|mut client| {
            asks.spawn_local(async move {
                let answer = ask(&mut client, "ID?").await;
                (client, answer)
            })
        });
        let answers: Vec<_> = answers.collect();
        asks.await;
        let mut texts = Vec::new();
        for answer in answers {
            texts.push(answer.await.unwrap().1);
        }
        assert!(
            texts
                .iter()
                .all(|text| *text == texts[0] && !text.starts_with("error: ")),
            "{texts:?}"
        );
        daemon.stop().await;
    });
}

#[test]
fn a_broken_frame_is_answered_and_the_answer_arrives() {
    on_the_runtime(async {
        let daemon = Daemon::start(&["sim0=sim:interpreter"], &["uartnet=127.0.0.1:0"]).await;
        let mut client = daemon.client().await;
        // More than the daemon reads before it closes would reset the connection if it did not linger.
        let garbage = [b"5_ID?".as_slice(), &[b'!'; 100_000]].concat();
        client.write_all(&garbage).await.unwrap();
        let answer = read_frame(&mut client).await.unwrap();
        assert!(!answer.starts_with("error: "), "{answer}");
        let error = read_frame(&mut client).await.unwrap();
        assert!(error.starts_with("error: bad-frame: byte 5: "), "{error}");
        assert_eq!(read_all(&mut client).await, "");
        daemon.stop().await;
    });
}

#[test]
fn a_client_that_never_reads_and_one_that_never_sends_hurt_nobody() {
    on_the_runtime(async {
        let daemon = Daemon::start(
            &["echo=sim:echo", "sim0=sim:interpreter"],
            &["uartnet=127.0.0.1:0,sim0"],
        )
        .await;
        let _silent = daemon.client().await;
        // It watches the echo and never reads; another one makes the board send much more than sockets hold.
        let mut deaf = daemon.client().await;
        deaf.write_all(&frame(r#"{"hello":"uartnet/1"}"#))
            .await
            .unwrap();
        deaf.write_all(&frame(r#"{"open":"echo","on_lag":"gap"}"#))
            .await
            .unwrap();
        let mut writer = daemon.client().await;
        writer
            .write_all(&frame(r#"{"hello":"uartnet/1"}"#))
            .await
            .unwrap();
        read_frame(&mut writer).await.unwrap();
        writer
            .write_all(&frame(r#"{"open":"echo","mode":"write"}"#))
            .await
            .unwrap();
        read_frame(&mut writer).await.unwrap();
        let (mut from, mut to) = writer.into_split();
        const TOTAL: u64 = 16 * 1024 * 1024;
        let chunk = "x".repeat(16 * 1024);
        let writing = spawn_local(async move {
            for at in (0..TOTAL).step_by(chunk.len()) {
                to.write_all(&frame(&format!("{at}:{chunk}")))
                    .await
                    .unwrap();
            }
            to
        });
        // It gets every byte, in order, in spite of the deaf one.
        let mut next = 0;
        while next < TOTAL {
            let payload = read_frame(&mut from).await.unwrap();
            if payload.starts_with('{') {
                assert!(
                    !payload.contains("error") && !payload.contains("gap"),
                    "{payload}"
                );
                continue;
            }
            let (offset, data) = payload.split_once(':').unwrap();
            assert_eq!(offset.parse::<u64>().unwrap(), next);
            next += data.len() as u64;
        }
        let _to = writing.await.unwrap();
        assert!(
            !ask(&mut daemon.client().await, "ID?")
                .await
                .starts_with("error: ")
        );
        // The deaf one hears what it missed as soon as it listens.
        let mut gap = false;
        let mut end = 0;
        while end < TOTAL {
            let payload = read_frame(&mut deaf).await.unwrap();
            gap |= payload.contains(r#""event":"gap""#);
            if let Some((offset, data)) = payload
                .split_once(':')
                .filter(|_| !payload.starts_with('{'))
            {
                end = offset.parse::<u64>().unwrap() + data.len() as u64;
            }
        }
        assert!(gap);
        daemon.stop().await;
    });
}

#[test]
fn what_a_client_sent_before_it_closed_reaches_the_board_in_full() {
    on_the_runtime(async {
        for protocol in ["raw", "rfc2217"] {
            let listen = ["uartnet=127.0.0.1:0", &format!("{protocol}=127.0.0.1:0")];
            // It echoes, so what it says to a client that is gone breaks the connection; and it is slow, so most of what
            // the client sent has not even been queued to the UART then.
            let mut config = config(&["sim0=sim:echo?pace=line,1000000-8n1"], &listen);
            Arc::make_mut(&mut config.ports[0].hub).write_queue = 1024;
            let daemon = Daemon::start_with(config).await;
            let ListenAddress::Tcp(stream) = daemon.listening[1].address else {
                panic!("{:?}", daemon.listening[1]);
            };
            const SENT: u64 = 30_000;
            // Without awaiting anything: closing a socket that has unread input would take back what was sent.
            let mut client = std::net::TcpStream::connect(stream).unwrap();
            io::Write::write_all(&mut client, &vec![b'x'; SENT as usize]).unwrap();
            drop(client);
            counts(&daemon, "bytes_written", |written| written == SENT).await;
            daemon.stop().await;
        }
    });
}

#[test]
fn an_urgent_byte_is_a_byte_of_the_stream() {
    on_the_runtime(async {
        // Telnet's Synch as inetutils telnet sends it: the IAC is urgent, the data mark is not.
        for (protocol, urgent, then, expected) in [
            ("raw", b"X", &b"cd"[..], &b"abXcd"[..]),
            ("rfc2217", b"\xff", b"\xf2cd", b"abcd"),
        ] {
            let listen = format!("{protocol}=127.0.0.1:0");
            let daemon = Daemon::start(&["plug=loopback:"], &[&listen]).await;
            let mut client = daemon.client().await;
            client.write_all(b"ab").await.unwrap();
            socket2::SockRef::from(&client)
                .send_out_of_band(urgent)
                .unwrap();
            client.write_all(then).await.unwrap();
            let mut got = Vec::new();
            while !got.ends_with(b"cd") {
                assert_ne!(client.read_buf(&mut got).await.unwrap(), 0, "{got:?}");
            }
            let hello = got.len() - expected.len().min(got.len());
            assert_eq!(&got[hello..], expected, "{protocol}: {got:?}");
            drop(client);
            daemon.stop().await;
        }
    });
}

#[test]
fn a_break_that_arrives_is_notified_to_who_asked_for_it() {
    on_the_runtime(async {
        let listen = ["rfc2217=127.0.0.1:0"];
        let daemon = Daemon::start(&["plug=loopback:"], &listen).await;
        let mut client = daemon.client().await;
        // WILL COM-PORT; SET-LINESTATE-MASK break; SET-CONTROL break on, break off.
        let said = b"\xff\xfb\x2c\xff\xfa\x2c\x0a\x10\xff\xf0\xff\xfa\x2c\x05\x05\xff\xf0\xff\xfa\x2c\x05\x06\xff\xf0";
        client.write_all(said).await.unwrap();
        let notice = b"\xff\xfa\x2c\x6a\x10\xff\xf0";
        let mut heard = Vec::new();
        while !heard.windows(notice.len()).any(|piece| piece == notice) {
            assert_ne!(client.read_buf(&mut heard).await.unwrap(), 0);
        }
        daemon.stop().await;
    });
}

#[test]
fn more_connections_than_allowed_are_told_so() {
    on_the_runtime(async {
        let mut config = config(&["sim0=sim:interpreter"], &["uartnet=127.0.0.1:0"]);
        config.gateway.max_connections = 1;
        let daemon = Daemon::start_with(config).await;
        let mut first = daemon.client().await;
        assert!(!ask(&mut first, "ID?").await.starts_with("error: "));
        let mut second = daemon.client().await;
        assert_eq!(
            read_frame(&mut second).await.unwrap(),
            "error: busy: all 1 connections of this gateway are in use"
        );
        assert_eq!(read_all(&mut second).await, "");
        drop((first, second));
        // As soon as the first is gone, another one may come.
        loop {
            let mut third = daemon.client().await;
            if !ask(&mut third, "ID?").await.starts_with("error: busy: ") {
                break;
            }
        }
        daemon.stop().await;
    });
}

#[test]
fn more_connections_of_one_address_than_it_may_have_are_told_so_and_counted() {
    on_the_runtime(async {
        let mut config = config(&["sim0=sim:interpreter"], &["uartnet=127.0.0.1:0"]);
        config.gateway.max_connections_per_peer = Some(2);
        let daemon = Daemon::start_with(config).await;
        let mut clients = [daemon.client().await, daemon.client().await];
        for client in &mut clients {
            assert!(!ask(client, "ID?").await.starts_with("error: "));
        }
        let mut third = daemon.client().await;
        assert_eq!(
            read_frame(&mut third).await.unwrap(),
            "error: busy: 2 connections of this address are in use, and it may have no more"
        );
        assert_eq!(read_all(&mut third).await, "");
        let [first, _second] = clients;
        drop(first);
        // As soon as one of them is gone, another one may come.
        loop {
            let mut fourth = daemon.client().await;
            if !ask(&mut fourth, "ID?").await.starts_with("error: busy: ") {
                break;
            }
        }
        daemon.stop().await;
    });
}

#[test]
fn a_graceful_stop_delivers_what_was_asked_and_refuses_new_clients() {
    on_the_runtime(async {
        let daemon = Daemon::start(&["sim0=sim:interpreter"], &["uartnet=127.0.0.1:0"]).await;
        let mut client = daemon.client().await;
        assert!(!ask(&mut client, "ID?").await.starts_with("error: "));
        let mut session = daemon.client().await;
        session
            .write_all(&frame(r#"{"hello":"uartnet/1"}"#))
            .await
            .unwrap();
        read_frame(&mut session).await.unwrap();
        session
            .write_all(&frame(r#"{"open":"sim0"}"#))
            .await
            .unwrap();
        let address = daemon.address();
        client.write_all(b"11_SLEEP 300").await.unwrap();
        // It is under way when the board has been given it.
        loop {
            let payload = read_frame(&mut session).await.unwrap();
            if payload.contains("SLEEP") {
                break;
            }
        }
        daemon.orders.stop.cancel();
        let answer = read_frame(&mut client).await.unwrap();
        assert!(!answer.starts_with("error: "), "{answer}");
        let mut last = String::new();
        while let Ok(payload) = read_frame(&mut session).await {
            last = payload;
        }
        assert_eq!(
            last,
            r#"{"event":"closed","port":"sim0","reason":"shutdown"}"#
        );
        assert!(TcpStream::connect(address).await.is_err());
        drop((client, session));
        assert_eq!(daemon.end().await, Summary::default());
    });
}

#[test]
fn what_does_not_end_in_time_is_cut_and_counted() {
    on_the_runtime(async {
        let mut config = config(&["sim0=sim:interpreter"], &["uartnet=127.0.0.1:0"]);
        config.gateway.drain = Duration::from_millis(50);
        let daemon = Daemon::start_with(config).await;
        let mut client = daemon.client().await;
        assert!(!ask(&mut client, "ID?").await.starts_with("error: "));
        client.write_all(b"12_SLEEP 1500").await.unwrap();
        counts(&daemon, "asks_queued", |count| count == 1).await;
        let summary = daemon.stop().await;
        assert_eq!(summary.connections_cut, 1, "{summary:?}");
    });
}

/// Asks a session for this counter of `sim0` until it is right.
async fn counts(daemon: &Daemon, name: &str, is_right: impl Fn(u64) -> bool) {
    let mut session = daemon.client().await;
    let hello = frame(r#"{"hello":"uartnet/1"}"#);
    session.write_all(&hello).await.unwrap();
    read_frame(&mut session).await.unwrap();
    let key = format!(r#""{name}":"#);
    loop {
        let info = frame(r#"{"info":"sim0"}"#);
        session.write_all(&info).await.unwrap();
        let payload = read_frame(&mut session).await.unwrap();
        let (_, rest) = payload.split_once(&key).expect(name);
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        if is_right(digits.parse().unwrap()) {
            return;
        }
    }
}

#[test]
fn what_is_queued_to_a_uart_is_written_before_a_stop() {
    on_the_runtime(async {
        // 12,000 bytes take a second, and the device takes 4096 in advance.
        let mut config = config(
            &["sim0=sim:echo?pace=line,115200-8n1"],
            &["uartnet=127.0.0.1:0"],
        );
        config.gateway.drain = DEADLINE * 2;
        let daemon = Daemon::start_with(config).await;
        let mut stays = daemon.client().await;
        stays.write_all(&frame(&"x".repeat(6000))).await.unwrap();
        let mut leaves = daemon.client().await;
        leaves.write_all(&frame(&"y".repeat(6000))).await.unwrap();
        counts(&daemon, "bytes_written", |count| count > 0).await;
        drop(leaves);
        daemon.orders.stop.cancel();
        let answer = read_frame(&mut stays).await.unwrap();
        assert_eq!(answer, "Server notification: data received");
        drop(stays);
        // It ends as soon as all is written, not when the time is over.
        assert_eq!(daemon.end().await, Summary::default());
    });
}

#[test]
fn what_a_uart_has_not_taken_in_time_is_cut_and_counted() {
    on_the_runtime(async {
        // 9000 bytes would take 300 s.
        let mut config = config(
            &["sim0=sim:echo?pace=line,300-8n1"],
            &["uartnet=127.0.0.1:0"],
        );
        config.gateway.drain = Duration::from_millis(50);
        let daemon = Daemon::start_with(config).await;
        let mut client = daemon.client().await;
        client.write_all(&frame(&"x".repeat(9000))).await.unwrap();
        counts(&daemon, "write_queue", |count| count > 0).await;
        let summary = daemon.stop().await;
        assert_eq!(summary.connections_cut, 1);
        assert!(summary.bytes_unwritten > 0, "{summary:?}");
    });
}

#[test]
fn a_second_signal_cuts_at_once() {
    on_the_runtime(async {
        let daemon = Daemon::start(&["sim0=sim:interpreter"], &["uartnet=127.0.0.1:0"]).await;
        let mut client = daemon.client().await;
        assert!(!ask(&mut client, "ID?").await.starts_with("error: "));
        client.write_all(b"12_SLEEP 1500").await.unwrap();
        daemon.orders.stop.cancel();
        daemon.orders.cut.cancel();
        daemon.end().await;
    });
}

#[test]
fn an_address_in_use_is_told_and_nothing_is_left_running() {
    on_the_runtime(async {
        let daemon = Daemon::start(&["sim0=sim:interpreter"], &["uartnet=127.0.0.1:0"]).await;
        let config = config(
            &["sim0=sim:interpreter"],
            &[&format!("uartnet={}", daemon.address())],
        );
        let error = run(config, never_again(), Orders::default(), |_| {
            panic!("it must not listen")
        })
        .await
        .unwrap_err();
        assert!(
            matches!(error, RunError::Bind(BindError::InUse { .. })),
            "{error}"
        );
        daemon.stop().await;
    });
}

/// An endpoint with a defect.
#[derive(Debug)]
struct Defective;

impl EndpointKind for Defective {
    fn name(&self) -> &'static str {
        "defective"
    }

    fn summary(&self) -> &'static str {
        "panics at the first byte"
    }

    fn port_need(&self) -> PortNeed {
        PortNeed::All
    }

    fn session(&self, _now: Instant, _connection: Connection) -> Box<dyn Session> {
        Box::new(Defective)
    }
}

impl Session for Defective {
    fn handle_input(&mut self, _now: Instant, _bytes: &[u8]) {
        panic!("a defect");
    }

    fn handle_end_of_input(&mut self, _now: Instant) {}

    fn handle_stop(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant, _out: &mut Output) {}

    fn wants_input(&self) -> bool {
        true
    }

    fn finished(&self) -> Option<Finish> {
        None
    }
}

#[test]
fn a_defect_in_a_session_ends_its_connection_alone() {
    on_the_runtime(async {
        let listen = ["uartnet=127.0.0.1:0", "uartnet=127.0.0.1:0"];
        let mut config = config(&["sim0=sim:interpreter"], &listen);
        Arc::make_mut(&mut config.listeners[1]).endpoint = &Defective;
        config.gateway.max_connections = 2;
        let daemon = Daemon::start_with(config).await;
        let ListenAddress::Tcp(defective) = daemon.listening[1].address else {
            panic!("{:?}", daemon.listening);
        };
        let mut client = daemon.client().await;
        // Each of them would take up the last connection, were it not given back.
        for _ in 0..3 {
            let mut victim = TcpStream::connect(defective).await.unwrap();
            victim.write_all(b"x").await.unwrap();
            assert_eq!(victim.read(&mut [0]).await.unwrap_or(0), 0, "it is closed");
            assert!(!ask(&mut client, "ID?").await.starts_with("error: "));
        }
        let mut another = daemon.client().await;
        assert!(!ask(&mut another, "ID?").await.starts_with("error: "));
        drop((client, another));
        assert_eq!(daemon.stop().await, Summary::default());
    });
}

/// The board's end of a pseudo-terminal that is plugged in at a path.
struct Plugged {
    end: OwnedFd,
    link: PathBuf,
}

impl Plugged {
    fn at(link: &Path) -> Plugged {
        let end = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&end).unwrap();
        unlockpt(&end).unwrap();
        let tty = ptsname(&end, Vec::new()).unwrap();
        std::os::unix::fs::symlink(tty.to_str().unwrap(), link).unwrap();
        Plugged {
            end,
            link: link.to_owned(),
        }
    }

    fn unplug(self) {
        std::fs::remove_file(&self.link).unwrap();
    }
}

/// The next event of this kind.
async fn event(session: &mut TcpStream, kind: &str) -> String {
    let wanted = format!(r#"{{"event":"{kind}""#);
    loop {
        let payload = read_frame(session).await.unwrap();
        if payload.starts_with(&wanted) {
            return payload;
        }
    }
}

#[test]
fn a_device_that_comes_and_goes_keeps_its_clients_and_its_settings() {
    on_the_runtime(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("board");
        let port = format!("board0={}", path.display());
        let daemon = Daemon::start(&[&port], &["uartnet=127.0.0.1:0"]).await;
        let mut session = daemon.client().await;
        let begin = [
            frame(r#"{"hello":"uartnet/1"}"#),
            frame(r#"{"open":"board0","mode":"write"}"#),
        ];
        session.write_all(&begin.concat()).await.unwrap();
        let state = event(&mut session, "state").await;
        assert!(state.contains(r#""state":"absent""#), "{state}");

        let board = Plugged::at(&path);
        let state = event(&mut session, "state").await;
        assert!(
            state.contains(r#""state":"present","line":"115200-8n1""#),
            "{state}"
        );
        let set = frame(r#"{"set":"board0","line":"9600-8n1"}"#);
        session.write_all(&set).await.unwrap();
        event(&mut session, "line").await;
        board.unplug();
        let state = event(&mut session, "state").await;
        assert!(
            state.contains(r#""state":"absent""#) && state.contains(r#""losses":1"#),
            "{state}"
        );

        let board = Plugged::at(&path);
        let state = event(&mut session, "state").await;
        assert!(
            state.contains(r#""state":"present","line":"9600-8n1""#),
            "{state}"
        );
        assert_eq!(tcgetattr(&board.end).unwrap().output_speed(), 9600);
        session.write_all(&frame("0:hello")).await.unwrap();
        let written = event(&mut session, "written").await;
        assert!(written.contains(r#""offset":5"#), "{written}");
        daemon.stop().await;
    });
}
