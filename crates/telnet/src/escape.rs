//! Escaping of outgoing bytes: doubled IAC everywhere, and the rules for CR outside BINARY (RFC 854, "The NVT printer").
//! Not framing of subnegotiations or negotiations.

use bytes::{BufMut, BytesMut};

use crate::codes::IAC;

/// Appends `bytes` with every IAC doubled.
pub(crate) fn double_iac(mut bytes: &[u8], out: &mut BytesMut) {
    while let Some(at) = memchr::memchr(IAC, bytes) {
        out.put_slice(&bytes[..=at]);
        out.put_u8(IAC);
        bytes = &bytes[at + 1..];
    }
    out.put_slice(bytes);
}

/// The state of outgoing data outside BINARY: a CR must be followed by LF or NUL, whatever the data says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct NvtEscape {
    after_cr: bool,
}

impl NvtEscape {
    /// Whether [`NvtEscape::escape`] would append these bytes as they are, and decide nothing about the next.
    pub(crate) fn keeps(self, bytes: &[u8]) -> bool {
        !self.after_cr && memchr::memchr2(IAC, b'\r', bytes).is_none()
    }

    /// Appends `bytes` as an NVT would send them. A CR at the very end is sent at once; what must follow it is decided
    /// by the next byte.
    pub(crate) fn escape(&mut self, mut bytes: &[u8], out: &mut BytesMut) {
        loop {
            if self.after_cr {
                let Some(&next) = bytes.first() else { return };
                self.after_cr = false;
                if next != b'\n' {
                    out.put_u8(0);
                }
            }
            let Some(at) = memchr::memchr(b'\r', bytes) else {
                return double_iac(bytes, out);
            };
            double_iac(&bytes[..=at], out);
            bytes = &bytes[at + 1..];
            self.after_cr = true;
        }
    }

    /// Everything that follows is BINARY: a CR that still waits for its second half gets it.
    pub(crate) fn finish(&mut self, out: &mut BytesMut) {
        if std::mem::take(&mut self.after_cr) {
            out.put_u8(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nvt(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut escape, mut out) = (NvtEscape::default(), BytesMut::new());
        for piece in pieces {
            escape.escape(piece, &mut out);
        }
        out.to_vec()
    }

    #[test]
    fn every_iac_is_doubled_and_nothing_else() {
        let mut out = BytesMut::new();
        double_iac(b"\xffa\xff\xffb\r\0", &mut out);
        assert_eq!(&out[..], b"\xff\xffa\xff\xff\xff\xffb\r\0");
    }

    #[test]
    fn a_bare_cr_is_followed_by_nul_and_a_line_end_stays_one() {
        assert_eq!(nvt(&[b"a\rb\r\nc\r"]), b"a\r\0b\r\nc\r");
        assert_eq!(nvt(&[b"\r", b"\n"]), b"\r\n");
        assert_eq!(nvt(&[b"\r", b"", b"x"]), b"\r\0x");
        assert_eq!(nvt(&[b"\r\r\r\n"]), b"\r\0\r\0\r\n");
        assert_eq!(
            nvt(&[b"\r", b"\0"]),
            b"\r\0\0",
            "a NUL that is data is not taken for the filler"
        );
        assert_eq!(nvt(&[b"\r\xff"]), b"\r\0\xff\xff");
    }

    #[test]
    fn switching_to_binary_completes_a_waiting_cr() {
        let (mut escape, mut out) = (NvtEscape::default(), BytesMut::new());
        escape.escape(b"x\r", &mut out);
        escape.finish(&mut out);
        escape.finish(&mut out);
        assert_eq!(&out[..], b"x\r\0");
    }
}
