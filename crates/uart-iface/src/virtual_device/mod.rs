//! A virtual serial device: a pseudo-terminal that programs of this machine take for a serial port, seen from the side
//! that plays the UART. Not what becomes of bytes and wishes; and not the backend `pty`, where a program plays the board.
//!
//! What a program does to its terminal is noticed in packet mode (TIOCPKT, tty_ioctl(4)) and with EXTPROC set. What a
//! pseudo-terminal cannot carry stays unknown: data bits and parity (the kernel forces 8N), a break, DTR and RTS.

mod carried;
mod packets;
mod users;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::task::{Context, Poll, ready};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::termios::{QueueSelector, tcflush};

pub use crate::terminal::link::LinkError;
pub use carried::Carried;

use crate::terminal::ioctl;
use crate::terminal::link::Link;
use crate::terminal::pair::Pair;
use crate::terminal::stream::Stream;
use crate::terminal::termios;
use crate::{LineSettings, PortError, Purge};
use packets::{Packet, Packets};
use users::Users;

/// The most bytes one read gives: what the line discipline holds.
const READ: usize = 4096;

/// A virtual serial device. It, and its link, end when this is dropped.
#[derive(Debug)]
pub struct VirtualDevice {
    /// Before the pseudo-terminal: nobody should follow a link to what is no more.
    link: Option<Link>,
    stream: Stream,
    terminal: OwnedFd,
    path: PathBuf,
    users: Users,
    packets: Packets,
    /// What the terminal was last seen or made to be set to.
    known: Carried,
    /// The next notice of thrown-away input is about our own doing.
    own_flush: bool,
    /// Openings and closings to tell.
    comings: VecDeque<Happened>,
    /// What programs threw away, to tell.
    purged: VecDeque<Purge>,
    buffer: Box<[u8]>,
}

/// What a program did with the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// It was opened; so many times it is open.
    Opened(usize),
    /// It was closed; so many times it is still open. What the last one had not read is gone.
    Closed(usize),
    /// Bytes were written.
    Data(Vec<u8>),
    /// Settings were changed, to these. What was written before has been told before.
    Settings(Carried),
    /// Bytes are to be thrown away (tcflush): received and not read ones, of which the device has none left, or written and
    /// not yet sent ones, of which it has told all.
    Purged(Purge),
}

impl VirtualDevice {
    /// Makes a device in raw mode with these settings, as far as it can carry them, that may be opened by whom `mode`
    /// (permission bits, `0o600`) says. Must be called where descriptors can be
    /// [watched](uartnet_reactor::Watched::new).
    ///
    /// # Errors
    /// The call that failed: there are no more pseudo-terminals, descriptors or inotify instances.
    pub fn make(mode: u32, line: LineSettings) -> Result<VirtualDevice, PortError> {
        let failed = |(doing, source)| PortError::Io {
            device: "the virtual device".to_owned(),
            doing,
            source,
        };
        let os = |doing: &'static str| move |errno: Errno| failed((doing, io::Error::from(errno)));
        let pair = Pair::make().map_err(failed)?;
        rustix::fs::fchmod(&pair.theirs, Mode::from_raw_mode(mode)).map_err(os("fchmod"))?;
        termios::set_external(pair.theirs.as_fd()).map_err(os("TCSETS2"))?;
        ioctl::set_packet_mode(pair.ours.as_fd()).map_err(os("TIOCPKT"))?;
        let users = Users::watch(&pair.path).map_err(|error| failed(("inotify", error)))?;
        let stream = Stream::new(pair.ours, &pair.path.to_string_lossy())
            .map_err(|error| failed(("epoll", error)))?;
        let mut device = VirtualDevice {
            link: None,
            stream,
            terminal: pair.theirs,
            path: pair.path,
            users,
            packets: Packets::default(),
            known: Carried::of(line),
            own_flush: false,
            comings: VecDeque::new(),
            purged: VecDeque::new(),
            buffer: vec![0; READ + 1].into_boxed_slice(),
        };
        let wanted = device.known.to_line();
        let taken = termios::apply(device.stream.as_fd(), wanted)
            .map_err(|refusal| refusal.error(&device.stream))?;
        device.known = Carried::of(taken);
        Ok(device)
    }

    /// Links the device at `path`. A link that a crash left behind is replaced; nothing else ever is.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn link_at(&mut self, path: &Path) -> Result<(), LinkError> {
        self.link = None;
        self.link = Some(Link::place(path, &self.path)?);
        Ok(())
    }

    // --- getters

    /// Where programs open it: `/dev/pts/5`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many times programs have it open, by what was seen so far.
    pub fn users(&self) -> usize {
        self.users.count()
    }

    // --- commands

    /// Makes the device's settings those of the line, as far as it can carry them, without telling that as a change. If a
    /// program has changed them and that was not told yet, that is the newer word: it stays, and will be told. What a program
    /// changes in the very moment counts as changed before: it is replaced.
    ///
    /// # Errors
    /// The terminal refuses: this baud rate is beyond termios.
    pub fn reflect(&mut self, line: LineSettings) -> Result<(), PortError> {
        let wanted = Carried::of(line);
        if wanted == self.known || self.packets.holds_settings() {
            return Ok(());
        }
        let known = self.known;
        let is_known = |in_force| Carried::of(in_force) == known;
        match termios::apply_if(self.stream.as_fd(), is_known, wanted.to_line()) {
            Ok(Some(taken)) => self.known = Carried::of(taken),
            Ok(None) => {}
            Err(refusal) => return Err(refusal.error(&self.stream)),
        }
        Ok(())
    }

    /// Throws away what programs have not read.
    ///
    /// # Errors
    /// TCFLSH failed.
    pub fn discard_unread(&mut self) -> Result<(), PortError> {
        // What we wrote waits partly in our side's buffers and partly in the terminal's.
        tcflush(self.stream.as_fd(), QueueSelector::OFlush)
            .and_then(|()| tcflush(&self.terminal, QueueSelector::IFlush))
            .map_err(|errno| self.stream.error("TCFLSH", errno))?;
        self.own_flush = true;
        Ok(())
    }

    // --- the world spoke

    /// The next [`Happened::Opened`] or [`Happened::Closed`] up to this moment, also one that nobody was woken for yet.
    /// [`VirtualDevice::poll_happened`] tells those that were not taken here.
    ///
    /// # Errors
    /// The terminal failed.
    pub fn next_coming(&mut self) -> Result<Option<Happened>, PortError> {
        self.look_at_users()?;
        Ok(self.comings.pop_front())
    }

    /// What a program did next.
    ///
    /// # Errors
    /// The terminal failed.
    pub fn poll_happened(&mut self, cx: &mut Context<'_>) -> Poll<Result<Happened, PortError>> {
        loop {
            if self.users.poll_changed(cx).is_ready() {
                self.look_at_users()?;
            }
            if let Some(coming) = self.comings.pop_front() {
                return Poll::Ready(Ok(coming));
            }
            if let Some(purged) = self.purged.pop_front() {
                return Poll::Ready(Ok(Happened::Purged(purged)));
            }
            if let Some(settings) = self.packets.poll_settings() {
                return Poll::Ready(Ok(Happened::Settings(settings)));
            }
            let limit = self.packets.read_limit(READ);
            let count = ready!(
                self.stream
                    .poll_read_packet(cx, &mut self.buffer[..limit + 1])
            )?;
            match Packet::parse(&self.buffer[..count]) {
                Packet::Data(bytes) => {
                    self.packets.handle_data(bytes.len());
                    return Poll::Ready(Ok(Happened::Data(bytes.to_vec())));
                }
                Packet::Status { purged, settings } => self.handle_status(purged, settings)?,
            }
        }
    }

    /// Writes bytes for programs to read, and says how many were taken.
    ///
    /// # Errors
    /// The terminal failed.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, PortError>> {
        self.stream.poll_write(cx, bytes)
    }

    fn look_at_users(&mut self) -> Result<(), PortError> {
        while let Some(coming) = self.users.next_change(&self.path, self.terminal.as_fd()) {
            match coming {
                Happened::Opened(_) => self.packets.handle_opened(),
                Happened::Closed(0) => self.discard_unread()?,
                _ => {}
            }
            self.comings.push_back(coming);
        }
        Ok(())
    }

    fn handle_status(&mut self, purged: Option<Purge>, settings: bool) -> Result<(), PortError> {
        let own = std::mem::take(&mut self.own_flush);
        match purged {
            Some(Purge::Receive) if own => {}
            Some(Purge::Both) if own => self.purged.push_back(Purge::Transmit),
            Some(purged) => {
                if purged != Purge::Transmit {
                    // The program's flush reached what it could have read at once, not what waited behind that.
                    self.discard_unread()?;
                }
                self.purged.push_back(purged);
            }
            None => self.own_flush = own,
        }
        if settings {
            self.handle_settings()?;
        }
        Ok(())
    }

    /// Looks what the settings are. Everything that helps to tell what was written before the change comes first.
    fn handle_settings(&mut self) -> Result<(), PortError> {
        let queued = self.queued()?;
        self.look_at_users()?;
        let seen = (|| {
            // A program that sets all local modes clears EXTPROC, and would go on unheard. What another one changes
            // between the two calls is undone; that window cannot be closed.
            termios::set_external(self.stream.as_fd())?;
            termios::in_force(self.stream.as_fd())
        })();
        let seen = seen.map_err(|errno| self.stream.error("TCGETS2", errno))?;
        // Speed 0 is a hang-up, which nothing here can pass on.
        let Some(seen) = seen.map(Carried::of) else {
            return Ok(());
        };
        if seen != self.known {
            self.known = seen;
            self.packets.handle_settings(seen, queued);
        }
        Ok(())
    }

    /// How many written bytes wait to be read.
    fn queued(&self) -> Result<usize, PortError> {
        // What was just written is not counted until poll(2) or read(2) finds nothing and has it moved.
        let mut fds = [PollFd::new(&self.stream, PollFlags::IN)];
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        rustix::event::poll(&mut fds, Some(&at_once))
            .and_then(|_| ioctl::input_queue(self.stream.as_fd()))
            .map_err(|errno| self.stream.error("TIOCINQ", errno))
    }
}
