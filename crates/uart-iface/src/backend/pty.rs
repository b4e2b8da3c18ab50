//! The pty backend: we make a pseudo-terminal and link its terminal side at a path, where a foreign program opens it
//! and plays the board. Not the way to use a pseudo-terminal that somebody else made; that is a tty by its path.
//!
//! Bytes that we write wait in the pseudo-terminal until a program reads them. A pseudo-terminal has no wire: line
//! settings are taken as they are wanted and mean nothing, a break goes nowhere, and there are no modem lines.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::termios::{QueueSelector, tcflush};

use crate::backend::{Backend, Device};
use crate::terminal::link::{Link, LinkError};
use crate::terminal::pair::Pair;
use crate::terminal::stream::Stream;
use crate::watch::Target;
use crate::{
    InputSignals, LineSettings, OpenError, OutputChange, OutputSignals, Port, PortError,
    PortStatus, Purge, SpecError,
};

/// Pseudo-terminals of our own making.
#[derive(Debug)]
pub(super) struct Pty;

impl Backend for Pty {
    fn scheme(&self) -> &'static str {
        "pty"
    }

    fn summary(&self) -> &'static str {
        "a pseudo-terminal made here and linked at PATH, for a program that plays the board"
    }

    fn examples(&self) -> &'static [&'static str] {
        &["pty:/tmp/board0"]
    }

    fn parse(&self, spec: &str, rest: &str) -> Result<Box<dyn Device>, SpecError> {
        if !rest.starts_with('/') || rest.ends_with('/') {
            let problem =
                "after \"pty:\" comes the full path of the link to make, as in pty:/tmp/board0";
            return Err(SpecError::new(spec, problem));
        }
        if rest.starts_with("/dev/pts/") {
            let problem =
                format!("to use a pseudo-terminal that is there, write its path alone: {rest}");
            return Err(SpecError::new(spec, problem));
        }
        Ok(Box::new(PtyDevice {
            spec: spec.to_owned(),
            path: rest.into(),
            pair: None,
            link: None,
        }))
    }
}

/// Keeps its pseudo-terminal and its link from the first opening until it is dropped.
#[derive(Debug)]
struct PtyDevice {
    spec: String,
    path: PathBuf,
    pair: Option<Arc<Pair>>,
    link: Option<Link>,
}

impl Device for PtyDevice {
    fn spec(&self) -> &str {
        &self.spec
    }

    /// What stands where the link should be may go, and the directory may come.
    fn signs(&self) -> Vec<Target> {
        vec![Target::presence(&self.path)]
    }

    /// There is one link at a path.
    fn identity(&self) -> Option<String> {
        Some(format!("pty {}", self.path.display()))
    }

    fn open(
        &mut self,
        line: LineSettings,
        outputs: OutputSignals,
    ) -> Result<Box<dyn Port>, OpenError> {
        let failed = |(doing, source)| OpenError::Io {
            spec: self.spec.clone(),
            doing,
            source,
        };
        let not_linked = |error| match error {
            LinkError::Busy { path, pid } => OpenError::Busy {
                path,
                pid: Some(pid),
            },
            LinkError::Io { source, .. } => failed(("making the link", source)),
            LinkError::Occupied { .. } => failed((
                "making the link",
                io::Error::other("something else is there; choose another path, or remove it"),
            )),
        };
        let pair = match &self.pair {
            Some(pair) => Arc::clone(pair),
            None => Arc::new(Pair::make().map_err(failed)?),
        };
        self.pair = Some(Arc::clone(&pair));
        // Somebody may have cleaned up where the link was. The old one goes first, because its end removes what is there.
        if !self.link.as_ref().is_some_and(Link::is_in_place) {
            self.link = None;
            self.link = Some(Link::place(&self.path, &pair.path).map_err(not_linked)?);
        }
        let ours = pair
            .ours
            .try_clone()
            .map_err(|error| failed(("dup", error)))?;
        let stream = Stream::new(ours, &self.spec).map_err(|error| failed(("epoll", error)))?;
        Ok(Box::new(PtyPort {
            stream,
            pair,
            line,
            outputs,
        }))
    }
}

#[derive(Debug)]
struct PtyPort {
    stream: Stream,
    pair: Arc<Pair>,
    line: LineSettings,
    outputs: OutputSignals,
}

impl Port for PtyPort {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<Result<usize, PortError>> {
        self.stream.poll_read(cx, buf)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, PortError>> {
        self.stream.poll_write(cx, bytes)
    }

    fn poll_inputs(&mut self, _cx: &mut Context<'_>) -> Poll<Result<InputSignals, PortError>> {
        Poll::Pending
    }

    fn apply(&mut self, wanted: LineSettings) -> Result<LineSettings, PortError> {
        self.line = wanted;
        Ok(self.line)
    }

    fn set_outputs(&mut self, change: OutputChange) -> Result<OutputSignals, PortError> {
        self.outputs = self.outputs.with(change);
        Ok(self.outputs)
    }

    fn set_break(&mut self, _on: bool) -> Result<(), PortError> {
        Ok(())
    }

    fn purge(&mut self, queues: Purge) -> Result<(), PortError> {
        // What one side has written waits partly in its own buffers and partly in the other side's.
        let (ours, theirs) = match queues {
            Purge::Receive => (QueueSelector::IFlush, QueueSelector::OFlush),
            Purge::Transmit => (QueueSelector::OFlush, QueueSelector::IFlush),
            Purge::Both => (QueueSelector::IOFlush, QueueSelector::IOFlush),
        };
        tcflush(&self.pair.theirs, theirs)
            .and_then(|()| tcflush(&self.pair.ours, ours))
            .map_err(|errno| self.stream.error("TCFLSH", errno))
    }

    fn status(&mut self) -> Result<PortStatus, PortError> {
        Ok(PortStatus {
            line: self.line,
            outputs: self.outputs,
            inputs: InputSignals::ABSENT_LINES,
            has_modem_lines: false,
            errors: None,
        })
    }

    /// A program that writes to a full pseudo-terminal waits.
    fn can_pause(&self) -> bool {
        true
    }
}
