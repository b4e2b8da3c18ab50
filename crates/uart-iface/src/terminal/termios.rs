//! Line settings and raw mode in the terms of Linux termios, and back. Not how a port is opened or read.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::termios::{
    ControlModes, InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, Termios,
    tcgetattr, tcsetattr,
};

use super::stream::Stream;
use crate::{Baud, DataBits, FlowControl, LineSettings, Parity, PortError, StopBits};

/// Why settings were not taken.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// This cannot be expressed, or the driver knows nothing like it; what was in force before still is.
    Unsupported(String),
    /// The call that failed, and its error.
    Os(&'static str, Errno),
}

impl Refusal {
    /// What it means for the port whose terminal this is.
    pub(crate) fn error(self, stream: &Stream) -> PortError {
        match self {
            Refusal::Unsupported(wanted) => PortError::Unsupported {
                device: stream.device().to_owned(),
                wanted,
            },
            Refusal::Os(doing, errno) => stream.error(doing, errno),
        }
    }
}

/// Puts the terminal, which is as it was found `before`, into raw mode, sets it up, and returns the settings it really took.
#[cfg(feature = "backends")]
pub(crate) fn set_up(
    fd: BorrowedFd<'_>,
    before: &Termios,
    wanted: LineSettings,
) -> Result<LineSettings, Refusal> {
    let mut termios = before.clone();
    make_raw(&mut termios);
    change(fd, before, termios, wanted)
}

/// Changes the settings of a terminal that is in raw mode, and returns those it really took. Equal settings do not
/// touch it.
pub(crate) fn apply(fd: BorrowedFd<'_>, wanted: LineSettings) -> Result<LineSettings, Refusal> {
    let before = get(fd)?;
    if decode(&before) == Some(wanted) {
        return Ok(wanted);
    }
    change(fd, &before, before.clone(), wanted)
}

/// Changes the settings of a terminal as [`apply`] does, but only from those that `is_expected` accepts, and returns those it
/// really took; `None` if others are in force. No call of the kernel compares and sets in one, so what somebody else sets
/// between the two is replaced as if it had been set before.
#[cfg(feature = "virtual")]
pub(crate) fn apply_if(
    fd: BorrowedFd<'_>,
    is_expected: impl FnOnce(LineSettings) -> bool,
    wanted: LineSettings,
) -> Result<Option<LineSettings>, Refusal> {
    let before = get(fd)?;
    if !decode(&before).is_some_and(is_expected) {
        return Ok(None);
    }
    change(fd, &before, before.clone(), wanted).map(Some)
}

/// The settings in force; `None` at speed 0, the hung-up state that no setting of ours expresses.
pub(crate) fn in_force(fd: BorrowedFd<'_>) -> Result<Option<LineSettings>, Errno> {
    tcgetattr(fd).map(|termios| decode(&termios))
}

/// EXTPROC: the other side of a pseudo-terminal does the line's processing, so the terminal does none of its own input,
/// never echoes, and tells every change of its settings.
#[cfg(feature = "virtual")]
pub(crate) fn set_external(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut termios = tcgetattr(fd)?;
    if termios.local_modes.contains(LocalModes::EXTPROC) {
        return Ok(());
    }
    termios.local_modes |= LocalModes::EXTPROC;
    tcsetattr(fd, OptionalActions::Now, &termios)
}

/// Puts the terminal into raw mode and leaves its line settings.
pub(crate) fn set_raw(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut termios = tcgetattr(fd)?;
    make_raw(&mut termios);
    tcsetattr(fd, OptionalActions::Now, &termios)
}

fn get(fd: BorrowedFd<'_>) -> Result<Termios, Refusal> {
    tcgetattr(fd).map_err(|errno| Refusal::Os("TCGETS2", errno))
}

/// `OptionalActions::Now` throughout: the other two wait for the output to drain, which without CTS is for ever.
fn change(
    fd: BorrowedFd<'_>,
    before: &Termios,
    mut termios: Termios,
    wanted: LineSettings,
) -> Result<LineSettings, Refusal> {
    encode(wanted, &mut termios)?;
    match tcsetattr(fd, OptionalActions::Now, &termios) {
        Ok(()) => {}
        Err(Errno::INVAL | Errno::RANGE) => return Err(Refusal::Unsupported(wanted.to_string())),
        Err(errno) => return Err(Refusal::Os("TCSETS2", errno)),
    }
    if let Some(taken) = decode(&get(fd)?) {
        return Ok(taken);
    }
    // Some drivers answer a baud rate that is beyond them with speed 0.
    tcsetattr(fd, OptionalActions::Now, before).map_err(|errno| Refusal::Os("TCSETS2", errno))?;
    Err(Refusal::Unsupported(format!("{} baud", wanted.baud)))
}

/// Every byte as it is, in both directions. A break arrives as a zero byte; a character with a wrong parity bit arrives
/// as it was received (INPCK is off). The driver counts both.
fn make_raw(termios: &mut Termios) {
    termios.input_modes = InputModes::empty();
    termios.output_modes = OutputModes::empty();
    termios.local_modes = LocalModes::empty();
    // CLOCAL: carrier detect is an input like others, its loss no hang-up. Without HUPCL, closing leaves DTR alone.
    termios.control_modes |= ControlModes::CREAD | ControlModes::CLOCAL;
    termios.control_modes -= ControlModes::HUPCL;
    termios.special_codes[SpecialCodeIndex::VMIN] = 1; // with 0, "nothing there" would look like a hang-up
    termios.special_codes[SpecialCodeIndex::VTIME] = 0;
    termios.special_codes[SpecialCodeIndex::VSTART] = 0x11;
    termios.special_codes[SpecialCodeIndex::VSTOP] = 0x13;
}

fn encode(wanted: LineSettings, termios: &mut Termios) -> Result<(), Refusal> {
    let unsupported = |what: String| Err(Refusal::Unsupported(what));
    let control = &mut termios.control_modes;
    *control -= ControlModes::CSIZE;
    *control |= match wanted.data_bits {
        DataBits::Five => ControlModes::CS5,
        DataBits::Six => ControlModes::CS6,
        DataBits::Seven => ControlModes::CS7,
        DataBits::Eight => ControlModes::CS8,
    };
    *control -= ControlModes::PARENB | ControlModes::PARODD | ControlModes::CMSPAR;
    *control |= match wanted.parity {
        Parity::None => ControlModes::empty(),
        Parity::Odd => ControlModes::PARENB | ControlModes::PARODD,
        Parity::Even => ControlModes::PARENB,
        Parity::Mark => ControlModes::PARENB | ControlModes::CMSPAR | ControlModes::PARODD,
        Parity::Space => ControlModes::PARENB | ControlModes::CMSPAR,
    };
    // As in the 16550 UART, CSTOPB means 1.5 stop bits with 5 data bits, and 2 with more.
    let five = wanted.data_bits == DataBits::Five;
    let two_stop_bits = match wanted.stop_bits {
        StopBits::One => false,
        StopBits::OnePointFive if five => true,
        StopBits::Two if !five => true,
        StopBits::OnePointFive | StopBits::Two => {
            return unsupported(format!(
                "{} stop bits with {} data bits",
                wanted.stop_bits, wanted.data_bits
            ));
        }
    };
    control.set(ControlModes::CSTOPB, two_stop_bits);
    control.set(ControlModes::CRTSCTS, wanted.flow == FlowControl::RtsCts);
    let xon_xoff = InputModes::IXON | InputModes::IXOFF;
    termios.input_modes -= xon_xoff | InputModes::IXANY;
    if wanted.flow == FlowControl::XonXoff {
        termios.input_modes |= xon_xoff;
    }
    // Rates without a constant of their own travel as BOTHER and a number.
    termios
        .set_speed(wanted.baud.get())
        .or_else(|_| unsupported(format!("{} baud", wanted.baud)))
}

fn decode(termios: &Termios) -> Option<LineSettings> {
    let control = termios.control_modes;
    let size = control & ControlModes::CSIZE;
    let data_bits = match size {
        _ if size == ControlModes::CS5 => DataBits::Five,
        _ if size == ControlModes::CS6 => DataBits::Six,
        _ if size == ControlModes::CS7 => DataBits::Seven,
        _ => DataBits::Eight,
    };
    let parity = match (
        control.contains(ControlModes::PARENB),
        control.contains(ControlModes::CMSPAR),
        control.contains(ControlModes::PARODD),
    ) {
        (false, _, _) => Parity::None,
        (true, false, true) => Parity::Odd,
        (true, false, false) => Parity::Even,
        (true, true, true) => Parity::Mark,
        (true, true, false) => Parity::Space,
    };
    let stop_bits = match (control.contains(ControlModes::CSTOPB), data_bits) {
        (false, _) => StopBits::One,
        (true, DataBits::Five) => StopBits::OnePointFive,
        (true, _) => StopBits::Two,
    };
    let flow = if control.contains(ControlModes::CRTSCTS) {
        FlowControl::RtsCts
    } else if termios
        .input_modes
        .contains(InputModes::IXON | InputModes::IXOFF)
    {
        FlowControl::XonXoff
    } else {
        FlowControl::None
    };
    Some(LineSettings {
        baud: Baud::new(termios.output_speed())?,
        data_bits,
        parity,
        stop_bits,
        flow,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
    use std::os::fd::{AsFd, OwnedFd};

    use super::super::ioctl::set_packet_mode;

    /// Every combination of everything but the baud rate, and a few rates.
    fn all_settings() -> Vec<LineSettings> {
        let mut all = Vec::new();
        for rate in [
            1,
            50,
            9600,
            74_880,
            115_200,
            4_000_000,
            12_000_000,
            u32::MAX,
        ] {
            for bits in ["5", "6", "7", "8"] {
                for parity in ["n", "o", "e", "m", "s"] {
                    for stop in ["1", "1.5", "2"] {
                        for flow in ["none", "rtscts", "xonxoff"] {
                            let text = format!("{rate}-{bits}{parity}{stop}-{flow}");
                            all.push(text.parse().unwrap());
                        }
                    }
                }
            }
        }
        all
    }

    /// Our side of a pseudo-terminal, and the terminal side.
    fn pseudo_terminal() -> (OwnedFd, OwnedFd) {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).unwrap();
        unlockpt(&master).unwrap();
        let terminal = ioctl_tiocgptpeer(&master, flags).unwrap();
        (master, terminal)
    }

    #[test]
    fn what_termios_can_express_comes_back_and_the_rest_is_refused_by_name() {
        let (_master, terminal) = pseudo_terminal();
        let mut termios = tcgetattr(terminal).unwrap();
        let mut refused = 0;
        for settings in all_settings() {
            match encode(settings, &mut termios) {
                Ok(()) => assert_eq!(decode(&termios), Some(settings)),
                Err(Refusal::Unsupported(what)) => {
                    let five = settings.data_bits == DataBits::Five;
                    let inexpressible = if five {
                        StopBits::Two
                    } else {
                        StopBits::OnePointFive
                    };
                    assert_eq!(settings.stop_bits, inexpressible, "{settings}");
                    assert!(what.contains("stop bits with"), "{what}");
                    refused += 1;
                }
                Err(other) => panic!("{settings}: {other:?}"),
            }
        }
        assert_eq!(refused, 8 * 4 * 5 * 3);
    }

    #[test]
    fn raw_mode_leaves_nothing_that_changes_swallows_or_adds_bytes() {
        let (_master, terminal) = pseudo_terminal();
        set_up(
            terminal.as_fd(),
            &tcgetattr(&terminal).unwrap(),
            "9600-8n1".parse().unwrap(),
        )
        .unwrap();
        let termios = tcgetattr(&terminal).unwrap();
        assert_eq!(termios.input_modes, InputModes::empty());
        assert_eq!(termios.output_modes, OutputModes::empty());
        assert_eq!(termios.local_modes, LocalModes::empty());
        let control = termios.control_modes;
        assert!(control.contains(ControlModes::CREAD | ControlModes::CLOCAL));
        assert!(!control.contains(ControlModes::HUPCL));
    }

    #[test]
    fn settings_in_force_do_not_touch_the_terminal() {
        const SETTINGS_CHANGED: u8 = 0x40; // TIOCPKT_IOCTL
        let (master, terminal) = pseudo_terminal();
        set_up(
            terminal.as_fd(),
            &tcgetattr(&terminal).unwrap(),
            LineSettings::default(),
        )
        .unwrap();
        // Only a terminal in this mode tells its master.
        let mut termios = tcgetattr(&terminal).unwrap();
        termios.local_modes |= LocalModes::EXTPROC;
        tcsetattr(&terminal, OptionalActions::Now, &termios).unwrap();
        set_packet_mode(master.as_fd()).unwrap();
        rustix::io::ioctl_fionbio(&master, true).unwrap();
        let told = || {
            let mut byte = [0];
            rustix::io::read(&master, &mut byte).map(|_| byte[0])
        };

        apply(terminal.as_fd(), LineSettings::default()).unwrap();
        in_force(terminal.as_fd()).unwrap();
        assert_eq!(told(), Err(Errno::AGAIN));
        apply(terminal.as_fd(), "9600-8n1".parse().unwrap()).unwrap();
        assert_eq!(told(), Ok(SETTINGS_CHANGED));
    }
}
