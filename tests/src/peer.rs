//! A TCP peer that speaks in bytes written by hand. It frames and unframes by code of its own, which shares nothing
//! with `uartnet-proto`. What goes wrong here is a panic: that is how a test fails.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::DEADLINE;

/// A frame around this payload: `13_Hello IoT!`.
pub fn frame(payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut length = payload.len() + 2;
    while length.to_string().len() + 1 + payload.len() != length {
        length += 1;
    }
    let mut bytes = format!("{length}_").into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// One TCP connection; every read and write has a deadline.
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
}

impl Peer {
    /// Connects.
    ///
    /// # Panics
    /// Nobody listens.
    pub fn connect(address: SocketAddr) -> Peer {
        let stream = TcpStream::connect_timeout(&address, DEADLINE)
            .unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"));
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a deadline for reading");
        stream
            .set_write_timeout(Some(DEADLINE))
            .expect("a deadline for writing");
        stream.set_nodelay(true).expect("no delay");
        Peer { stream }
    }

    /// Sends bytes as they are, in one segment if they fit one.
    ///
    /// # Panics
    /// The other side has gone.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream
            .write_all(bytes.as_ref())
            .expect("the other side takes what is sent");
    }

    /// Sends bytes as they are, and does not mind when the other side has gone.
    pub fn send_anyway(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).ok();
    }

    /// Ends the sending side only.
    pub fn finish(&mut self) {
        // The other side may have closed already, which is what some tests are about.
        self.stream.shutdown(Shutdown::Write).ok();
    }

    /// The payload of the next frame.
    ///
    /// # Panics
    /// What comes is no frame, or nothing comes.
    pub fn frame(&mut self) -> Vec<u8> {
        self.next_frame()
            .expect("a frame, not the end of the stream")
    }

    /// The payload of the next frame, as text.
    ///
    /// # Panics
    /// As [`Peer::frame`], and when it is not UTF-8.
    pub fn text(&mut self) -> String {
        String::from_utf8(self.frame()).expect("text")
    }

    /// The payload of the next frame; `None` at an orderly end of the stream.
    ///
    /// # Panics
    /// What comes is no frame, or nothing comes.
    pub fn next_frame(&mut self) -> Option<Vec<u8>> {
        let mut prefix = Vec::new();
        loop {
            let mut byte = [0];
            match self.stream.read(&mut byte) {
                Ok(0) if prefix.is_empty() => return None,
                Ok(0) => panic!(
                    "the stream ended inside a prefix: {:?}",
                    String::from_utf8_lossy(&prefix)
                ),
                Ok(_) if byte[0] == b'_' => break,
                Ok(_) => prefix.push(byte[0]),
                // A machine that was stopped and goes on says so to whoever waits with a timeout.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("no frame came: {error}; of its prefix there was {prefix:?}"),
            }
            assert!(
                prefix.len() <= 9 && prefix.iter().all(u8::is_ascii_digit),
                "no prefix of a frame: {prefix:?}"
            );
        }
        let length: usize = String::from_utf8_lossy(&prefix).parse().expect("a number");
        let mut payload = vec![
            0;
            length
                .checked_sub(prefix.len() + 1)
                .expect("a length that covers its own prefix")
        ];
        self.stream
            .read_exact(&mut payload)
            .expect("the whole frame");
        Some(payload)
    }

    /// Everything up to the end of the stream, and whether that was an orderly end (not a reset).
    ///
    /// # Panics
    /// The stream does not end.
    pub fn rest(&mut self) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            Ok(_) => (bytes, true),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!(
                    "no end within {DEADLINE:?}; there was {:?}",
                    String::from_utf8_lossy(&bytes)
                )
            }
            Err(_) => (bytes, false),
        }
    }

    /// Demands an orderly end of the stream, with nothing before it.
    ///
    /// # Panics
    /// Something else comes.
    pub fn expect_end(&mut self) {
        let (bytes, orderly) = self.rest();
        assert!(
            bytes.is_empty(),
            "instead of the end came {:?}",
            String::from_utf8_lossy(&bytes)
        );
        assert!(orderly, "instead of an orderly end came a reset");
    }

    /// The stream itself.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

#[cfg(test)]
mod tests {
    use super::frame;

    #[test]
    fn frames_are_the_articles() {
        assert_eq!(frame("Hello IoT!"), b"13_Hello IoT!");
        assert_eq!(frame(""), b"2_");
        assert_eq!(frame("7 bytes"), b"9_7 bytes");
        assert_eq!(frame("8 bytes!"), b"11_8 bytes!");
        assert_eq!(frame([b'x'; 96])[..3], *b"99_");
        assert_eq!(frame([b'x'; 97])[..4], *b"101_");
    }
}
