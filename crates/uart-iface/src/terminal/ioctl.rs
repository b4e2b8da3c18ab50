//! The serial ioctls that no safe crate offers, each as one safe function, and a socket option of which that is true too. Not
//! what they are used for. The only file of the workspace with `unsafe`; every call hands the kernel a live descriptor and,
//! where the request has an operand, a pointer to a local of the type it is documented with.
#![allow(unsafe_code)] // the one exception of the workspace, see above
#![cfg_attr(not(feature = "backends"), allow(dead_code))] // a virtual device needs a part of this

use std::ffi::{c_char, c_int, c_uchar, c_uint, c_ulong, c_ushort};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use crate::ErrorCounters;

/// The modem lines as TIOCMGET has them: a set of `TIOCM_*` bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ModemBits(c_int);

impl ModemBits {
    pub(crate) const NONE: ModemBits = ModemBits(0);
    pub(crate) const DTR: ModemBits = ModemBits(libc::TIOCM_DTR);
    pub(crate) const RTS: ModemBits = ModemBits(libc::TIOCM_RTS);
    pub(crate) const CTS: ModemBits = ModemBits(libc::TIOCM_CTS);
    pub(crate) const DSR: ModemBits = ModemBits(libc::TIOCM_DSR);
    pub(crate) const RI: ModemBits = ModemBits(libc::TIOCM_RI);
    pub(crate) const DCD: ModemBits = ModemBits(libc::TIOCM_CD);

    pub(crate) fn has(self, line: ModemBits) -> bool {
        self.0 & line.0 != 0
    }

    #[must_use]
    pub(crate) fn with(self, line: ModemBits, asserted: bool) -> ModemBits {
        if asserted {
            ModemBits(self.0 | line.0)
        } else {
            ModemBits(self.0 & !line.0)
        }
    }
}

/// TIOCMGET: the modem lines now. A device without them answers ENOTTY or EINVAL.
pub(crate) fn modem_lines(fd: BorrowedFd<'_>) -> Result<ModemBits, Errno> {
    let mut bits: c_int = 0;
    // SAFETY: TIOCMGET writes one int.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCMGET, &mut bits) })?;
    Ok(ModemBits(bits))
}

/// TIOCMSET: drives all output lines at once.
pub(crate) fn set_modem_lines(fd: BorrowedFd<'_>, lines: ModemBits) -> Result<(), Errno> {
    // SAFETY: TIOCMSET reads one int.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCMSET, &lines.0) })
}

/// TIOCMBIS: asserts these output lines, and leaves the others.
pub(crate) fn assert_modem_lines(fd: BorrowedFd<'_>, lines: ModemBits) -> Result<(), Errno> {
    // SAFETY: TIOCMBIS reads one int.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCMBIS, &lines.0) })
}

/// TIOCMBIC: releases these output lines, and leaves the others.
pub(crate) fn release_modem_lines(fd: BorrowedFd<'_>, lines: ModemBits) -> Result<(), Errno> {
    // SAFETY: TIOCMBIC reads one int.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCMBIC, &lines.0) })
}

/// TIOCSBRK, TIOCCBRK: begins or ends a break.
pub(crate) fn set_break(fd: BorrowedFd<'_>, on: bool) -> Result<(), Errno> {
    let request = if on { libc::TIOCSBRK } else { libc::TIOCCBRK };
    // SAFETY: neither has an operand.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), request) })
}

/// TIOCGEXCL: whether somebody asked for exclusive use (TIOCEXCL). The kernel refuses a second open by itself, but
/// not to root.
pub(crate) fn is_exclusive(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    let mut exclusive: c_int = 0;
    // SAFETY: TIOCGEXCL writes one int.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGEXCL, &mut exclusive) })?;
    Ok(exclusive != 0)
}

/// TIOCOUTQ: how many bytes were written and not yet sent.
pub(crate) fn output_queue(fd: BorrowedFd<'_>) -> Result<usize, Errno> {
    let mut bytes: c_int = 0;
    // SAFETY: TIOCOUTQ writes one int.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, &mut bytes) })?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// TIOCINQ: how many bytes can be read now.
#[cfg(feature = "virtual")]
pub(crate) fn input_queue(fd: BorrowedFd<'_>) -> Result<usize, Errno> {
    let mut bytes: c_int = 0;
    // SAFETY: TIOCINQ, which is FIONREAD, writes one int.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &mut bytes) })?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// TIOCGICOUNT: what the driver counted since it was loaded, in 32 bits that wrap.
pub(crate) fn error_counts(fd: BorrowedFd<'_>) -> Result<RawCounts, Errno> {
    let mut raw = SerialIcounter::default();
    // SAFETY: TIOCGICOUNT writes a struct serial_icounter_struct, which SerialIcounter mirrors.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGICOUNT, &mut raw) })?;
    Ok(RawCounts(raw))
}

/// What the driver counted at one moment.
#[derive(Debug, Clone)]
pub(crate) struct RawCounts(SerialIcounter);

impl RawCounts {
    /// What came on top since `earlier`. Right as long as none of them wrapped twice between two looks.
    pub(crate) fn since(&self, earlier: &RawCounts) -> ErrorCounters {
        let grown = |now: c_int, then: c_int| u64::from(now.wrapping_sub(then).cast_unsigned());
        let (now, then) = (&self.0, &earlier.0);
        ErrorCounters {
            framing: grown(now.frame, then.frame),
            parity: grown(now.parity, then.parity),
            overrun: grown(now.overrun, then.overrun),
            buffer_overrun: grown(now.buf_overrun, then.buf_overrun),
            breaks: grown(now.brk, then.brk),
        }
    }
}

/// TIOCGSERIAL and TIOCSSERIAL: asks the driver to hand bytes over at once rather than to collect them (FTDI adapters
/// otherwise hold them back for 16 ms). Does nothing when the driver does that already.
pub(crate) fn ask_for_low_latency(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    const ASYNC_LOW_LATENCY: c_int = 1 << 13; // linux/tty_flags.h
    let mut serial = SerialStruct::default();
    // SAFETY: TIOCGSERIAL writes a struct serial_struct, which SerialStruct mirrors.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGSERIAL, &mut serial) })?;
    if serial.flags & ASYNC_LOW_LATENCY != 0 {
        return Ok(());
    }
    serial.flags |= ASYNC_LOW_LATENCY;
    // SAFETY: TIOCSSERIAL reads a struct serial_struct; this one came from the kernel but for one flag.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSSERIAL, &serial) })
}

/// SO_PEERCRED (unix(7)): the process at the other end of a Unix socket, as it was when it connected. `None`: one that cannot be
/// seen from here, in a PID namespace of its own; rustix has no room for that.
///
/// # Errors
/// It is no Unix socket.
#[cfg(feature = "backends")]
pub fn peer_process(socket: BorrowedFd<'_>) -> io::Result<Option<u32>> {
    let mut peer = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    let (level, option) = (libc::SOL_SOCKET, libc::SO_PEERCRED);
    let at = (&raw mut peer).cast();
    // SAFETY: SO_PEERCRED writes one struct ucred, for which there is room, and the length of it.
    check(unsafe { libc::getsockopt(socket.as_raw_fd(), level, option, at, &mut len) })?;
    Ok(u32::try_from(peer.pid).ok().filter(|pid| *pid != 0))
}

fn check(result: c_int) -> Result<(), Errno> {
    if result == -1 {
        let error = io::Error::last_os_error();
        return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO));
    }
    Ok(())
}

/// `struct serial_icounter_struct` of linux/serial.h.
#[derive(Debug, Clone, Default)]
#[repr(C)]
struct SerialIcounter {
    cts: c_int,
    dsr: c_int,
    rng: c_int,
    dcd: c_int,
    rx: c_int,
    tx: c_int,
    frame: c_int,
    overrun: c_int,
    parity: c_int,
    brk: c_int,
    buf_overrun: c_int,
    reserved: [c_int; 9],
}

/// `struct serial_struct` of linux/serial.h, its pointer as a number of the same size.
#[derive(Debug, Default)]
#[repr(C)]
struct SerialStruct {
    type_: c_int,
    line: c_int,
    port: c_uint,
    irq: c_int,
    flags: c_int,
    xmit_fifo_size: c_int,
    custom_divisor: c_int,
    baud_base: c_int,
    close_delay: c_ushort,
    io_type: c_char,
    reserved_char: c_uchar,
    hub6: c_int,
    closing_wait: c_ushort,
    closing_wait2: c_ushort,
    iomem_base: usize,
    iomem_reg_shift: c_ushort,
    port_high: c_uint,
    iomap_base: c_ulong,
}

/// TIOCPKT: the master of a pseudo-terminal is told what happens to its terminal side, one byte before each read.
/// Tests see by it whether a terminal was touched.
#[cfg(any(test, feature = "virtual"))]
pub(crate) fn set_packet_mode(master: BorrowedFd<'_>) -> Result<(), Errno> {
    let on: c_int = 1;
    // SAFETY: TIOCPKT reads one int.
    check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCPKT, &on) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirrored_structs_have_the_kernels_size() {
        assert_eq!(size_of::<SerialIcounter>(), 80);
        #[cfg(target_pointer_width = "64")]
        assert_eq!(size_of::<SerialStruct>(), 72);
    }

    #[test]
    fn counters_are_told_since_opening_and_survive_the_wrap() {
        let counts = |frame, brk| {
            RawCounts(SerialIcounter {
                frame,
                brk,
                parity: 7,
                ..SerialIcounter::default()
            })
        };
        let grown = counts(c_int::MIN + 1, 12).since(&counts(c_int::MAX, 2));
        let expected = ErrorCounters {
            framing: 2,
            breaks: 10,
            ..ErrorCounters::default()
        };
        assert_eq!(grown, expected);
    }
}
