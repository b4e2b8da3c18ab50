//! An opened tty as a [`Port`]: a real serial port, or the terminal side of a pseudo-terminal. Not how it is found.

use std::fs::{self, File};
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::termios::{QueueSelector, tcflush, tcgetattr};
use uartnet_reactor::{Sleep, sleep};

use super::claim::{self, Claim};
use super::sysfs::System;
use crate::terminal::holders::holder_of;
use crate::terminal::ioctl::{self, ModemBits, RawCounts};
use crate::terminal::stream::Stream;
use crate::terminal::termios::{self, Refusal};
use crate::{
    FlowControl, InputSignals, LineSettings, OpenError, OutputChange, OutputSignals, Port,
    PortError, PortStatus, Purge,
};

/// How often the input lines are looked at. Asking to be told (TIOCMIWAIT) would need a thread for every port.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// An opened tty. The fields are dropped in this order: the claim's close is the last one.
#[derive(Debug)]
pub(in crate::backend) struct TtyPort {
    stream: Stream,
    is_pseudo_terminal: bool,
    /// In force when last read back; what is told while the terminal is at speed 0.
    line: LineSettings,
    /// As last wanted, or as read back where there are lines.
    outputs: OutputSignals,
    /// `None`: there are no modem lines.
    modem: Option<Box<Modem>>,
    counts_at_open: Option<Box<RawCounts>>,
    identity: Option<Box<str>>,
    _claim: Claim,
}

/// The modem lines, as they are looked at.
#[derive(Debug, Default)]
struct Modem {
    told_inputs: Option<InputSignals>,
    /// Until they are looked at again. `None`: they never were.
    next_look: Option<Sleep>,
}

impl TtyPort {
    /// Opens the tty at `path` for us alone, in raw mode. `spec` is what error messages call it.
    pub(in crate::backend) fn open(
        spec: &str,
        path: &Path,
        line: LineSettings,
        outputs: OutputSignals,
    ) -> Result<TtyPort, OpenError> {
        let failed = |doing| {
            move |errno: Errno| OpenError::Io {
                spec: spec.to_owned(),
                doing,
                source: errno.into(),
            }
        };
        let fd = open_file(spec, path)?;
        let as_found = match tcgetattr(&fd) {
            Ok(termios) => termios,
            Err(Errno::NOTTY | Errno::INVAL) => {
                return Err(OpenError::NotATty {
                    path: path.to_owned(),
                });
            }
            Err(errno) => return Err(failed("TCGETS2")(errno)),
        };
        let is_pseudo_terminal = claim::is_pseudo_terminal(fd.as_fd());
        let claim = Claim::take(spec, path, fd.as_fd(), is_pseudo_terminal)?;

        let mut modem = None;
        let mut counts_at_open = None;
        let mut identity = None;
        // A pseudo-terminal has none of this, and is not asked: a gateway may begin with hundreds of them.
        if !is_pseudo_terminal {
            // The kernel has asserted DTR and RTS by now; what is wanted comes as soon as possible after it.
            modem = match ioctl::modem_lines(fd.as_fd()) {
                Ok(lines) => Some(lines),
                Err(Errno::NOTTY | Errno::INVAL) => None,
                Err(errno) => return Err(failed("TIOCMGET")(errno)),
            };
            counts_at_open = ioctl::error_counts(fd.as_fd()).ok().map(Box::new);
            // Not every driver has it, and not everyone may ask; the port works without.
            let _ = ioctl::ask_for_low_latency(fd.as_fd());
            let spec = System::default().usb_spec_of(path);
            identity = spec.map(String::into_boxed_str);
        }

        let stream = Stream::new(fd, spec).map_err(|source| OpenError::Io {
            spec: spec.to_owned(),
            doing: "epoll",
            source,
        })?;
        let mut port = TtyPort {
            stream,
            is_pseudo_terminal,
            line,
            outputs,
            modem: modem.map(|_| Box::default()),
            counts_at_open,
            identity,
            _claim: claim,
        };
        let setup = |source| OpenError::Setup {
            spec: spec.to_owned(),
            source,
        };
        if let Some(lines) = modem {
            port.drive(lines, outputs).map_err(setup)?;
        }
        let taken = termios::set_up(port.stream.as_fd(), &as_found, line);
        port.line = taken.map_err(|refusal| setup(refusal.error(&port.stream)))?;
        Ok(port)
    }

    /// Makes the output lines `wanted`, given that all lines are `now`.
    fn drive(&mut self, now: ModemBits, wanted: OutputSignals) -> Result<(), PortError> {
        let fd = self.stream.as_fd();
        let (doing, done) = match Drive::from(now, wanted) {
            Drive::Nothing => return Ok(()),
            Drive::Assert(lines) => ("TIOCMBIS", ioctl::assert_modem_lines(fd, lines)),
            Drive::Release(lines) => ("TIOCMBIC", ioctl::release_modem_lines(fd, lines)),
            Drive::Set(lines) => ("TIOCMSET", ioctl::set_modem_lines(fd, lines)),
        };
        done.map_err(|errno| self.stream.error(doing, errno))
    }
}

impl Port for TtyPort {
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

    fn poll_inputs(&mut self, cx: &mut Context<'_>) -> Poll<Result<InputSignals, PortError>> {
        let Some(modem) = &mut self.modem else {
            return Poll::Pending;
        };
        loop {
            if let Some(next_look) = &mut modem.next_look {
                ready!(Pin::new(next_look).poll(cx));
            }
            modem.next_look = Some(sleep(LOOK_EVERY));
            let inputs = inputs_of(modem_lines(&self.stream)?);
            if modem.told_inputs.replace(inputs) != Some(inputs) {
                return Poll::Ready(Ok(inputs));
            }
        }
    }

    fn apply(&mut self, wanted: LineSettings) -> Result<LineSettings, PortError> {
        let taken = termios::apply(self.stream.as_fd(), wanted);
        self.line = taken.map_err(|refusal| refusal.error(&self.stream))?;
        Ok(self.line)
    }

    fn set_outputs(&mut self, change: OutputChange) -> Result<OutputSignals, PortError> {
        if self.modem.is_some() {
            let lines = modem_lines(&self.stream)?;
            self.drive(lines, outputs_of(lines).with(change))?;
            self.outputs = outputs_of(modem_lines(&self.stream)?);
        } else {
            self.outputs = self.outputs.with(change);
        }
        Ok(self.outputs)
    }

    fn set_break(&mut self, on: bool) -> Result<(), PortError> {
        match ioctl::set_break(self.stream.as_fd(), on) {
            Ok(()) => Ok(()),
            Err(Errno::NOTTY | Errno::INVAL | Errno::OPNOTSUPP) => {
                Err(Refusal::Unsupported("a break".to_owned()).error(&self.stream))
            }
            Err(errno) => Err(self.stream.error("TIOCSBRK", errno)),
        }
    }

    fn purge(&mut self, queues: Purge) -> Result<(), PortError> {
        let queues = match queues {
            Purge::Receive => QueueSelector::IFlush,
            Purge::Transmit => QueueSelector::OFlush,
            Purge::Both => QueueSelector::IOFlush,
        };
        tcflush(self.stream.as_fd(), queues).map_err(|errno| self.stream.error("TCFLSH", errno))
    }

    fn status(&mut self) -> Result<PortStatus, PortError> {
        let fd = self.stream.as_fd();
        if let Some(line) =
            termios::in_force(fd).map_err(|errno| self.stream.error("TCGETS2", errno))?
        {
            self.line = line;
        }
        let mut inputs = InputSignals::ABSENT_LINES;
        if let Some(modem) = &mut self.modem {
            let lines = modem_lines(&self.stream)?;
            self.outputs = outputs_of(lines);
            inputs = inputs_of(lines);
            modem.told_inputs = Some(inputs);
        }
        let errors = match &self.counts_at_open {
            None => None,
            Some(at_open) => ioctl::error_counts(self.stream.as_fd())
                .map(|now| Some(now.since(at_open)))
                .map_err(|errno| self.stream.error("TIOCGICOUNT", errno))?,
        };
        Ok(PortStatus {
            line: self.line,
            outputs: self.outputs,
            inputs,
            has_modem_lines: self.modem.is_some(),
            errors,
        })
    }

    fn can_pause(&self) -> bool {
        self.is_pseudo_terminal || self.line.flow != FlowControl::None
    }

    fn identity(&self) -> Option<&str> {
        self.identity.as_deref()
    }
}

/// What to tell the driver so that the output lines become what is wanted.
#[derive(Debug, PartialEq, Eq)]
enum Drive {
    Nothing,
    /// These lines, and no other.
    Assert(ModemBits),
    /// These lines, and no other.
    Release(ModemBits),
    /// All lines at once, for a change in both directions: boards that are reset through both lines would see the
    /// state in between.
    Set(ModemBits),
}

impl Drive {
    fn from(now: ModemBits, wanted: OutputSignals) -> Drive {
        let (mut asserted, mut released) = (ModemBits::NONE, ModemBits::NONE);
        for (line, wanted) in [(ModemBits::DTR, wanted.dtr), (ModemBits::RTS, wanted.rts)] {
            if now.has(line) != wanted {
                asserted = asserted.with(line, wanted);
                released = released.with(line, !wanted);
            }
        }
        match (asserted == ModemBits::NONE, released == ModemBits::NONE) {
            (true, true) => Drive::Nothing,
            (false, true) => Drive::Assert(asserted),
            (true, false) => Drive::Release(released),
            (false, false) => {
                let all = now.with(ModemBits::DTR, wanted.dtr);
                Drive::Set(all.with(ModemBits::RTS, wanted.rts))
            }
        }
    }
}

/// Opens the file without waiting for a carrier, and without it becoming our controlling terminal.
fn open_file(spec: &str, path: &Path) -> Result<OwnedFd, OpenError> {
    let not_found = || OpenError::NotFound {
        spec: spec.to_owned(),
    };
    // Asked first, because opening other things (a watchdog, a tape) can already do something to them.
    match fs::metadata(path) {
        Ok(metadata) if metadata.file_type().is_char_device() => {}
        Ok(_) => {
            return Err(OpenError::NotATty {
                path: path.to_owned(),
            });
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(denied(path));
        }
        Err(_) => return Err(not_found()),
    }
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::NOENT => not_found(),
        Errno::BUSY => OpenError::Busy {
            path: path.to_owned(),
            pid: holder_of(path, None),
        },
        Errno::ACCESS | Errno::PERM => denied(path),
        errno => OpenError::Io {
            spec: spec.to_owned(),
            doing: "open",
            source: errno.into(),
        },
    })
}

fn denied(path: &Path) -> OpenError {
    let group = fs::metadata(path)
        .ok()
        .and_then(|metadata| group_name(metadata.gid()));
    let hint = match group {
        Some(group) if group != "root" => {
            format!("add the user that runs this to the group \"{group}\", and log in again")
        }
        _ => "run this as a user that may read and write it".to_owned(),
    };
    OpenError::Denied {
        path: path.to_owned(),
        hint,
    }
}

fn group_name(gid: u32) -> Option<String> {
    use std::io::Read;
    let mut groups = String::new();
    let file = File::open("/etc/group").ok()?;
    file.take(1 << 20).read_to_string(&mut groups).ok()?;
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(gid)).then(|| name.to_owned())
    })
}

fn modem_lines(stream: &Stream) -> Result<ModemBits, PortError> {
    ioctl::modem_lines(stream.as_fd()).map_err(|errno| stream.error("TIOCMGET", errno))
}

fn outputs_of(lines: ModemBits) -> OutputSignals {
    OutputSignals {
        dtr: lines.has(ModemBits::DTR),
        rts: lines.has(ModemBits::RTS),
    }
}

fn inputs_of(lines: ModemBits) -> InputSignals {
    InputSignals {
        cts: lines.has(ModemBits::CTS),
        dsr: lines.has(ModemBits::DSR),
        ri: lines.has(ModemBits::RI),
        dcd: lines.has(ModemBits::DCD),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lines_that_differ_are_driven_and_both_at_once_if_they_cross() {
        let (none, dtr, rts) = (ModemBits::NONE, ModemBits::DTR, ModemBits::RTS);
        let both = dtr.with(ModemBits::RTS, true);
        // The driver tells the inputs too, and ignores them when it is told.
        let cts = |lines: ModemBits| lines.with(ModemBits::CTS, true);
        for (now, wanted, drive) in [
            (both, (true, true), Drive::Nothing),
            (none, (false, false), Drive::Nothing),
            (none, (true, true), Drive::Assert(both)),
            (cts(dtr), (true, true), Drive::Assert(rts)),
            (cts(both), (false, true), Drive::Release(dtr)),
            (both, (false, false), Drive::Release(both)),
            (dtr, (false, true), Drive::Set(rts)),
            (cts(rts), (true, false), Drive::Set(cts(dtr))),
        ] {
            let (wanted_dtr, wanted_rts) = wanted;
            let wanted = OutputSignals {
                dtr: wanted_dtr,
                rts: wanted_rts,
            };
            assert_eq!(Drive::from(now, wanted), drive, "{now:?} to {wanted}");
        }
    }

    #[test]
    fn a_group_is_known_by_its_number() {
        assert_eq!(group_name(0).as_deref(), Some("root"));
        assert_eq!(group_name(u32::MAX), None);
    }
}
