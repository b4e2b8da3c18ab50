//! A gateway whose every byte the test writes, and the real `uart` binary. No code of the product's codec is used here, so
//! that a mistake in it cannot hide itself.

#![allow(dead_code)] // each test binary uses a part of this

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

/// Nothing in these tests takes that long; whatever does, hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const EPOCH: &str = "00000000000000aa";

/// A gateway that does what a test says, connection by connection.
pub(crate) struct Gateway {
    pub(crate) address: String,
    script: Option<JoinHandle<()>>,
}

/// Where a script takes connections from.
pub(crate) struct Door(TcpListener);

/// One connection, as the gateway sees it.
pub(crate) struct Peer {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Gateway {
    pub(crate) fn start(script: impl FnOnce(Door) + Send + 'static) -> Gateway {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let script = std::thread::spawn(move || script(Door(listener)));
        Gateway {
            address,
            script: Some(script),
        }
    }

    /// Waits for the end of the script; a step of it that failed fails the test.
    pub(crate) fn finish(mut self) {
        if let Some(script) = self.script.take()
            && let Err(panic) = script.join()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Door {
    pub(crate) fn accept(&self) -> Peer {
        let (stream, _) = self.0.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Peer {
            stream,
            buffer: Vec::new(),
        }
    }

    /// A connection on which hello is answered with welcome.
    pub(crate) fn welcome(&self) -> Peer {
        self.welcome_with(65536)
    }

    /// The same, by a gateway that takes frames of at most `max_frame` bytes.
    pub(crate) fn welcome_with(&self, max_frame: u64) -> Peer {
        let mut peer = self.accept();
        let hello = peer.expect("hello");
        assert_eq!(hello["hello"], "uartnet/1");
        peer.say(json!({
            "welcome": "uartnet/1", "gateway": "bench1", "server": "by hand", "epoch": EPOCH, "max_frame": max_frame
        }));
        peer
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }
}

impl Peer {
    pub(crate) fn frame(&mut self, payload: &[u8]) {
        self.raw(&frame(payload));
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub(crate) fn say(&mut self, message: Value) {
        self.frame(message.to_string().as_bytes());
    }

    /// Answers a request.
    pub(crate) fn answer(&mut self, request: &Value, mut answer: Value) {
        answer["id"] = request["id"].clone();
        self.say(answer);
    }

    pub(crate) fn data(&mut self, offset: u64, bytes: &str) {
        self.frame(format!("{offset}:{bytes}").as_bytes());
    }

    /// The payload of the next frame, `None` at the end of the stream.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(mark) = self.buffer.iter().position(|byte| *byte == b'_') {
                let len: usize = std::str::from_utf8(&self.buffer[..mark])
                    .unwrap()
                    .parse()
                    .unwrap();
                if self.buffer.len() >= len {
                    let payload = self.buffer[mark + 1..len].to_vec();
                    self.buffer.drain(..len);
                    return Some(payload);
                }
            }
            let mut piece = [0; 4096];
            match self
                .stream
                .read(&mut piece)
                .expect("the client says nothing")
            {
                0 => return None,
                length => self.buffer.extend_from_slice(&piece[..length]),
            }
        }
    }

    /// The next control message, which must be of this kind.
    pub(crate) fn expect(&mut self, kind: &str) -> Value {
        let payload = self.next().expect("the client closed");
        let text = String::from_utf8_lossy(&payload).into_owned();
        let message: Value = serde_json::from_slice(&payload).unwrap_or_else(|_| panic!("{text}"));
        assert!(
            message.get(kind).is_some(),
            "{kind} was expected, not {text}"
        );
        message
    }

    /// The next data, which must have this offset.
    pub(crate) fn expect_data(&mut self, offset: u64) -> String {
        let payload = String::from_utf8(self.next().expect("the client closed")).unwrap();
        let (at, bytes) = payload
            .split_once(':')
            .unwrap_or_else(|| panic!("no data: {payload}"));
        assert_eq!(at, offset.to_string(), "{payload}");
        bytes.to_owned()
    }

    /// Opens the port a client asks for.
    pub(crate) fn open(&mut self, offset: u64) -> Value {
        self.open_in(EPOCH, offset, 0)
    }

    pub(crate) fn open_in(&mut self, epoch: &str, offset: u64, write_offset: u64) -> Value {
        let open = self.expect("open");
        let port = open["open"].clone();
        self.answer(
            &open,
            json!({"opened": port, "epoch": epoch, "offset": offset, "end": offset, "write_offset": write_offset}),
        );
        open
    }

    /// Waits until the client has gone.
    pub(crate) fn until_end(&mut self) {
        while self.next().is_some() {}
    }
}

/// One frame; its LEN is found by trying.
pub(crate) fn frame(payload: &[u8]) -> Vec<u8> {
    let whole = |digits: usize| digits + 1 + payload.len();
    let digits = (1..)
        .find(|digits| whole(*digits).to_string().len() == *digits)
        .unwrap();
    let mut frame = format!("{}_", whole(digits)).into_bytes();
    frame.extend_from_slice(payload);
    frame
}

/// What a run of `uart` came to.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn expect(&self, code: i32, stdout: &str) {
        assert_eq!(
            (self.code, self.stdout.as_str()),
            (Some(code), stdout),
            "{}",
            self.stderr
        );
    }
}

pub(crate) fn uart(gateway: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_uart"));
    command
        .args(arguments)
        .env("UART_GATEWAY", gateway)
        .env_remove("NO_COLOR");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs `uart` to its end, with this input.
pub(crate) fn run(gateway: &str, arguments: &[&str], input: &[u8]) -> Ran {
    let mut child = uart(gateway, arguments)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    // A client that does not read its input, or that ends before all of it is read, is not this line's business.
    let _ = child.stdin.take().unwrap().write_all(input);
    finish(child)
}

/// Waits for the end of a `uart`; one that hangs is killed and fails the test.
pub(crate) fn finish(child: Child) -> Ran {
    let id = rustix::process::Pid::from_child(&child);
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(output) = receiver.recv_timeout(PATIENCE) else {
        let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
        panic!("uart does not end");
    };
    let output = output.unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
