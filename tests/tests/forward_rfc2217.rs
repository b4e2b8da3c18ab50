//! `uart forward --as rfc2217`: what pyserial does when it opens a port, byte by byte, through `uart forward` and a gateway
//! to a plug that connects DTR with DSR and DCD, RTS with CTS, and TX with RX.
#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};

use uartnet_tests::{DEADLINE, Daemon, Process, exit_code, uart, uart_command};

/// A client that speaks telnet by hand.
struct Client {
    stream: BufReader<TcpStream>,
    data: Vec<u8>,
    /// The last modem state that was told.
    modem: Option<u8>,
}

impl Client {
    /// Connects, and agrees to BINARY and COM-PORT as pyserial does.
    fn open(address: &str) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut client = Client {
            stream: BufReader::new(stream),
            data: Vec::new(),
            modem: None,
        };
        client.send(
            b"\xff\xfd\x01\xff\xfb\x03\xff\xfd\x03\xff\xfd\x2c\xff\xfb\x2c\xff\xfb\x00\xff\xfd\x00",
        );
        client
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    fn command(&mut self, payload: &[u8]) {
        let bytes = [b"\xff\xfa\x2c", payload, b"\xff\xf0"].concat();
        self.send(&bytes);
    }

    fn byte(&mut self) -> u8 {
        let mut byte = [0];
        self.stream.read_exact(&mut byte).unwrap();
        byte[0]
    }

    /// Reads one thing: a byte of data, a negotiation, a change of the modem lines; or gives an acknowledgement.
    fn step(&mut self) -> Option<Vec<u8>> {
        match self.byte() {
            0xff => {}
            byte => {
                self.data.push(byte);
                return None;
            }
        }
        match self.byte() {
            0xff => self.data.push(0xff),
            0xfb..=0xfe => drop(self.byte()),
            0xfa => {
                let mut payload = Vec::new();
                while !payload.ends_with(b"\xff\xf0") {
                    payload.push(self.byte());
                    if payload.ends_with(b"\xff\xff") {
                        payload.pop();
                    }
                }
                payload.truncate(payload.len() - 2);
                match payload[..] {
                    [0x2c, 0x6b, modem] => self.modem = Some(modem),
                    _ => return Some(payload),
                }
            }
            other => panic!("IAC {other}"),
        }
        None
    }

    fn acknowledgement(&mut self) -> Vec<u8> {
        loop {
            if let Some(acknowledgement) = self.step() {
                return acknowledgement;
            }
        }
    }

    /// Says each, all at once, and wants each acknowledged with the same value.
    fn set(&mut self, commands: &[&[u8]]) {
        for command in commands {
            self.command(command);
        }
        for command in commands {
            let mut wanted = vec![0x2c, command[0] + 100];
            wanted.extend_from_slice(&command[1..]);
            assert_eq!(self.acknowledgement(), wanted);
        }
    }

    fn read_data(&mut self, count: usize) -> Vec<u8> {
        while self.data.len() < count {
            assert_eq!(self.step(), None, "an acknowledgement instead of data");
        }
        std::mem::take(&mut self.data)
    }

    fn wait_for_modem(&mut self, mask: u8, lines: u8) {
        while self.modem.is_none_or(|modem| modem & mask != lines) {
            assert_eq!(self.step(), None, "an acknowledgement instead of a change");
        }
    }
}

/// `uart forward board0 0 --as rfc2217`, and where it listens.
fn forward(gateway: &str, args: &[&str]) -> (Process, String) {
    let mut command = uart_command(gateway).expect("the binaries");
    let command = command.args(["forward", "board0", "0", "--as", "rfc2217"]);
    let process = Process::spawn(command.args(args)).expect("uart forward");
    let said = process
        .stdout
        .wait("a whole line", |text| text.ends_with('\n'))
        .unwrap_or_else(|error| panic!("{error:#}\n{}", process.said()));
    let words: Vec<&str> = said.split_whitespace().collect();
    let ["listening", "rfc2217", address, "board0"] = words[..] else {
        panic!("{said:?}");
    };
    (process, address.to_owned())
}

const DSR_AND_DCD: u8 = 0xa0;
const CTS: u8 = 0x10;

#[test]
fn a_port_is_opened_as_pyserial_does_and_all_of_it_reaches_the_gateway() {
    let daemon = Daemon::start(&["board0=loopback:"]).unwrap();
    let (mut process, address) = forward(daemon.gateway(), &[]);
    let mut client = Client::open(&address);
    client.wait_for_modem(0xf0, DSR_AND_DCD | CTS);

    client.set(&[b"\x01\0\0\x25\x80", b"\x02\x07", b"\x03\x03", b"\x04\x02"]);
    client.set(&[b"\x05\x01"]);
    client.set(&[b"\x05\x08", b"\x05\x0b"]);
    client.set(&[b"\x0c\x01", b"\x0c\x02"]);
    uart(&daemon)
        .args(["info", "board0"])
        .assert()
        .success()
        .stdout(predicates::str::contains("9600-7e2"));

    // 0xff is doubled in both directions, and a CR is only a CR.
    client.send(b"\x01\0\0\xff\xff\r\0");
    assert_eq!(client.read_data(6), b"\x01\0\0\xff\r\0");

    client.set(&[b"\x05\x09"]);
    client.wait_for_modem(0xf0, CTS);
    client.set(&[b"\x05\x0c"]);
    client.wait_for_modem(0xf0, 0);
    client.set(&[b"\x05\x05", b"\x05\x06"]);

    // What another one sets is in force here too, and what a client asks is answered with it.
    uart(&daemon)
        .args(["set", "board0", "--line", "19200-8n1"])
        .assert()
        .success();
    let mut other = Client::open(&address);
    other.command(b"\x01\0\0\0\0");
    assert_eq!(other.acknowledgement(), b"\x2c\x65\0\0\x4b\0");

    assert_eq!(exit_code(process.stop().unwrap()), 0);
}

#[test]
fn what_was_sent_before_the_end_is_written_and_heard() {
    let daemon = Daemon::start(&["board0=loopback:"]).unwrap();
    let (_process, address) = forward(daemon.gateway(), &[]);
    let mut client = Client::open(&address);
    let sent: Vec<u8> = (0..100_000_u32).map(|index| (index % 251) as u8).collect();
    client.send(b"\xff\xfa\x2c\x01\x00\x01\xc2\x00\xff\xf0");
    client.send(&sent);
    client.stream.get_mut().shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.acknowledgement(), b"\x2c\x65\0\x01\xc2\0");
    assert!(client.read_data(sent.len()) == sent);
    let mut rest = Vec::new();
    client.stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"");
}

#[test]
fn a_client_that_may_only_read_is_answered_with_what_is_in_force() {
    let daemon = Daemon::start(&["board0=loopback:"]).unwrap();
    let (_process, address) = forward(daemon.gateway(), &["--read-only"]);
    let mut client = Client::open(&address);
    client.command(b"\x01\0\0\x25\x80");
    assert_eq!(client.acknowledgement(), b"\x2c\x65\0\x01\xc2\0");
    client.command(b"\x05\x09");
    assert_eq!(client.acknowledgement(), b"\x2c\x69\x08");
}
