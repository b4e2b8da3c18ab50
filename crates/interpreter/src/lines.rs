//! Lines out of a stream of bytes. What they mean is the matchers' business.

/// Cuts lines. A line ends with LF, with CRs and LF, or with CRs alone; the last is known when something else follows.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    line: Vec<u8>,
    cr: bool,
}

/// A line that has ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// What stood in it.
    pub(crate) content: Vec<u8>,
    /// Whether the byte that showed its end belongs to the next line.
    pub(crate) before: bool,
}

impl Lines {
    /// Reads on. The line that has ended with this byte, or before it.
    pub(crate) fn push(&mut self, byte: u8) -> Option<Line> {
        match (byte, self.cr) {
            (b'\r', _) => {
                self.cr = true;
                None
            }
            (b'\n', _) => Some(self.end(false)),
            (_, true) => {
                let ended = self.end(true);
                self.line.push(byte);
                Some(ended)
            }
            (_, false) => {
                self.line.push(byte);
                None
            }
        }
    }

    /// Nothing came after a CR: it was the end of a line.
    pub(crate) fn settle(&mut self) -> Option<Line> {
        self.cr.then(|| self.end(false))
    }

    /// Whether a CR waits to be known as the end of a line.
    pub(crate) fn is_undecided(&self) -> bool {
        self.cr && !self.line.is_empty()
    }

    /// What stands in the line that has not ended.
    pub(crate) fn current(&self) -> &[u8] {
        if self.cr { &[] } else { &self.line }
    }

    /// How many bytes are kept.
    pub(crate) fn len(&self) -> usize {
        self.line.len()
    }

    /// Keeps no more than so many bytes of the line, its last ones.
    pub(crate) fn cut(&mut self, keep: usize) {
        let beyond = self.line.len().saturating_sub(keep);
        self.line.drain(..beyond);
    }

    fn end(&mut self, before: bool) -> Line {
        self.cr = false;
        Line {
            content: std::mem::take(&mut self.line),
            before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_in_every_way() {
        for (bytes, expected, current) in [
            (
                &b"a\nb\r\nc\rd\r\r\n\ne"[..],
                &["a", "b", "c", "d", ""][..],
                "e",
            ),
            (b"\r\n\r\nOK\r\n", &["", "", "OK"], ""),
            (b"a\r", &[], ""),
        ] {
            let mut lines = Lines::default();
            let ended: Vec<Vec<u8>> = bytes
                .iter()
                .filter_map(|&byte| lines.push(byte))
                .map(|line| line.content)
                .collect();
            assert_eq!(
                ended,
                expected
                    .iter()
                    .map(|line| line.as_bytes().to_vec())
                    .collect::<Vec<_>>()
            );
            assert_eq!(lines.current(), current.as_bytes());
        }
    }
}
