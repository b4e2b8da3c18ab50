//! Stdin, read by a thread of its own: a terminal, a pipe or a file, none of which can be read without blocking in a way
//! that other processes sharing it would not notice. Not what the input means.

use std::io::{self, BufRead, Read};

use tokio::sync::mpsc::{Receiver, channel};

/// The longest line taken, in bytes. No gateway takes a longer frame anyway.
const LINE: u64 = 1 << 20;

/// What is read from stdin, in pieces as they arrive. The channel ends with the input.
pub(crate) fn pieces() -> Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = channel(1);
    spawn(move || {
        let mut buffer = [0; 4096];
        loop {
            let piece = match io::stdin().lock().read(&mut buffer) {
                Ok(0) => return,
                Ok(length) => Ok(buffer[..length].to_vec()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let failed = piece.is_err();
            if sender.blocking_send(piece).is_err() || failed {
                return;
            }
        }
    });
    receiver
}

/// The lines of stdin, without their ends (LF or CR LF). The channel ends with the input.
pub(crate) fn lines() -> Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = channel(1);
    spawn(move || {
        loop {
            let line = match read_line(&mut io::stdin().lock()) {
                Ok(Some(line)) => Ok(line),
                Ok(None) => return,
                Err(error) => Err(error),
            };
            let failed = line.is_err();
            if sender.blocking_send(line).is_err() || failed {
                return;
            }
        }
    });
    receiver
}

/// The thread ends with its input, or with the process.
fn spawn(read: impl FnOnce() + Send + 'static) {
    std::thread::spawn(read);
}

fn read_line(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    if input.by_ref().take(LINE).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.ends_with(b"\n") {
        line.pop();
        if line.ends_with(b"\r") {
            line.pop();
        }
    } else if line.len() as u64 == LINE {
        let problem = format!("a line of the input is longer than {LINE} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_without_their_ends() {
        let mut input = &b"one\ntwo\r\n\nlast"[..];
        let lines: Vec<Vec<u8>> = std::iter::from_fn(|| read_line(&mut input).unwrap()).collect();
        assert_eq!(lines, [&b"one"[..], b"two", b"", b"last"]);
    }

    #[test]
    fn an_endless_line_is_refused_not_kept() {
        let mut input = io::BufReader::new(io::repeat(b'x'));
        assert!(
            read_line(&mut input)
                .unwrap_err()
                .to_string()
                .contains("longer than")
        );
    }
}
