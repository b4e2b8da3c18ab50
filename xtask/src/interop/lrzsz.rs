//! lrzsz over `raw` and over `uart pty`: 4 MB by zmodem, ymodem and xmodem, to the board and from it. Over `raw`, one end has
//! the connection as its standard input and output; all others sit behind socat at a device.
//!
//! Why socat: at its end lrzsz waits until all it wrote is sent (tcdrain), and then throws away what waits in its terminal
//! (tcflush). A pseudo-terminal says at once that all is sent, so its last bytes, which the other end waits for, would
//! now and then be thrown away before anybody could read them. On a UART, and on a socket, that does not happen.

use std::fs;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use uartnet_tests::{Process, exit_code};

use super::gateway::Gateway;
use super::needs::{Need, Proof};
use super::pipes::SOCAT;
use super::virtual_port::VirtualPort;
use super::{Case, folder};

pub(super) const CASE: Case = Case {
    name: "lrzsz",
    what: "4 MB by zmodem, ymodem and xmodem over raw, to the board and from it",
    needs: &[LRZSZ, SOCAT],
    run,
};

pub(super) const VIRTUAL: Case = Case {
    name: "lrzsz-pty",
    what: "4 MB by zmodem, ymodem and xmodem over uart pty, to the board and from it",
    needs: &[LRZSZ, SOCAT],
    run: run_virtual,
};

const LRZSZ: Need = Need::Debian {
    package: "lrzsz",
    proof: Proof::File("/usr/bin/rz"),
};

/// A whole number of xmodem's blocks, since xmodem fills the last one up.
const SIZE: u32 = 4 * 1024 * 1024;

/// Who sends and who receives, and the name that the received file has. Xmodem carries none.
const PROTOCOLS: [(&str, &[&str], &[&str]); 3] = [
    ("zmodem", &["sz", "-q", FILE], &["rz", "-q", "-y"]),
    ("ymodem", &["sb", "-q", "-k", FILE], &["rb", "-q", "-y"]),
    ("xmodem", &["sx", "-q", "-k", FILE], &["rx", "-q", FILE]),
];
const FILE: &str = "four-megabytes";

fn run() -> Result<()> {
    let device = folder(CASE.name)?.join("board0");
    let gateway = Gateway::start(&format!("pty:{}", device.display()))?;
    let address = gateway.address("raw")?;
    transfer(CASE.name, &device, |words, place| {
        let connection = TcpStream::connect(address).context("the gateway takes no connection")?;
        // Without it Nagle's algorithm holds each block back until the one before was acknowledged by TCP.
        connection.set_nodelay(true).context("TCP_NODELAY")?;
        start_client(connection, words, place)
    })
}

fn run_virtual() -> Result<()> {
    let (port, board) = VirtualPort::with_board(VIRTUAL.name)?;
    transfer(VIRTUAL.name, &board, |words, place| {
        start_board(&port.link, words, place)
    })?;
    port.end()
}

/// Every protocol both ways, between a program at the device of the board and the one that `start` starts.
fn transfer(
    case: &str,
    device: &Path,
    start: impl Fn(&[&str], &Path) -> Result<Process>,
) -> Result<()> {
    let folder = folder(case)?;
    let sent = folder.join(FILE);
    let bytes: Vec<u8> = (0..SIZE)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 21) as u8)
        .collect();
    fs::write(&sent, &bytes).with_context(|| format!("cannot write {}", sent.display()))?;
    let received = folder.join("received");

    for (protocol, send, receive) in PROTOCOLS {
        for to_board in [true, false] {
            fs::remove_dir_all(&received).ok();
            fs::create_dir(&received)
                .with_context(|| format!("cannot make {}", received.display()))?;
            let (at_client, at_board) = if to_board {
                (send, receive)
            } else {
                (receive, send)
            };
            let place = |words| if words == send { &folder } else { &received };
            let begin = Instant::now();
            let mut board = start_board(device, at_board, place(at_board))?;
            let mut client = start(at_client, place(at_client))?;
            for (process, words) in [(&mut client, at_client), (&mut board, at_board)] {
                let code = exit_code(process.wait()?);
                ensure!(
                    code == 0,
                    "{} ended with exit code {code}: {}",
                    words[0],
                    process.stderr.text()
                );
            }
            let arrived = fs::read(received.join(FILE)).context("no file was received")?;
            ensure!(arrived == bytes, "{protocol}: the file has changed");
            println!(
                "  {protocol} {}: 4 MB, unchanged, in {:.1} s",
                if to_board {
                    "to the board"
                } else {
                    "from the board"
                },
                begin.elapsed().as_secs_f32()
            );
        }
    }
    Ok(())
}

/// Starts a program of lrzsz with the connection as its standard input and output.
fn start_client(connection: TcpStream, words: &[&str], folder: &Path) -> Result<Process> {
    let input = OwnedFd::from(connection);
    let output = input
        .try_clone()
        .context("the connection cannot be shared")?;
    Process::start(
        Command::new(words[0])
            .args(&words[1..])
            .current_dir(folder)
            .stdin(input)
            .stdout(output)
            .stderr(Stdio::piped()),
    )
}

/// Starts a program of lrzsz behind the device.
fn start_board(device: &Path, words: &[&str], folder: &Path) -> Result<Process> {
    Process::start(
        Command::new("/usr/bin/socat")
            .arg(format!("FILE:{},rawer,noctty", device.display()))
            .arg(format!("EXEC:{}", words.join(" ")))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    )
}
