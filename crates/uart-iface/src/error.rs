//! What can go wrong with a device spec, with opening a device, and with an opened port; each with its operands.

use std::io;
use std::path::PathBuf;

/// A device spec that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is not a device: {problem}", spec.escape_debug())]
pub struct SpecError {
    /// The spec as it was given, cut at 80 characters.
    pub spec: String,
    /// What is wrong with it, and what would be right.
    pub problem: String,
}

impl SpecError {
    /// The error for `spec`, which is cut at 80 characters so that a message stays one line.
    pub fn new(spec: &str, problem: impl Into<String>) -> SpecError {
        SpecError {
            spec: spec.chars().take(80).collect(),
            problem: problem.into(),
        }
    }
}

/// Why a device could not be opened. All of them can pass by themselves (it is plugged in, released, permitted), so
/// the daemon keeps trying.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no such device now.
    #[error("cannot open {spec}: no such device")]
    NotFound {
        /// The device spec.
        spec: String,
    },
    /// It is known by what it is on USB, and that cannot be looked up, as in a container without /sys.
    #[error(
        "cannot open {spec}: there is no {}, so what is plugged in cannot be told; name the device by a path, e.g. below /dev/serial/by-id",
        path.display()
    )]
    NoSysfs {
        /// The device spec.
        spec: String,
        /// Where it would be looked up.
        path: PathBuf,
    },
    /// The machine has the device, and here is no file for it, as in a container that was not given it.
    #[error("cannot open {spec}: the machine has it as {0}, but there is no {0} here", path.display())]
    NoDeviceFile {
        /// The device spec.
        spec: String,
        /// The device file.
        path: PathBuf,
    },
    /// More than one device fits the spec.
    #[error("cannot open {spec}: it fits {}; write which one is meant", matches.join(" and "))]
    Ambiguous {
        /// The device spec.
        spec: String,
        /// The specs of the devices it fits, each of which names one.
        matches: Vec<String>,
    },
    /// Somebody else has it.
    #[error("cannot open {}: busy{}", path.display(), held_by(*pid))]
    Busy {
        /// The device file.
        path: PathBuf,
        /// Who has it, where that can be found out.
        pid: Option<u32>,
    },
    /// We are not allowed to.
    #[error("cannot open {}: permission denied; {hint}", path.display())]
    Denied {
        /// The device file.
        path: PathBuf,
        /// What to do about it.
        hint: String,
    },
    /// The path exists, but it is not a serial device.
    #[error("cannot open {}: not a serial device", path.display())]
    NotATty {
        /// The path.
        path: PathBuf,
    },
    /// The device refused the line settings it was to be opened with.
    #[error("cannot set up {spec}: {source}")]
    Setup {
        /// The device spec.
        spec: String,
        /// What it refused.
        source: PortError,
    },
    /// Anything else the operating system said.
    #[error("cannot open {spec}: {doing}: {source}")]
    Io {
        /// The device spec.
        spec: String,
        /// The call that failed, e.g. `TIOCEXCL`.
        doing: &'static str,
        /// Its error.
        source: io::Error,
    },
}

/// What can go wrong with an opened port.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The device is no longer there.
    #[error("{device} is gone: {reason}")]
    Gone {
        /// The device spec.
        device: String,
        /// How we know: hang-up, end of file, the OS error.
        reason: String,
    },
    /// The device cannot do that.
    #[error("{device} cannot do {wanted}")]
    Unsupported {
        /// The device spec.
        device: String,
        /// What it was asked to do, e.g. `mark parity`.
        wanted: String,
    },
    /// An operation failed; the port is still there.
    #[error("{device}: {doing}: {source}")]
    Io {
        /// The device spec.
        device: String,
        /// The call that failed.
        doing: &'static str,
        /// Its error.
        source: io::Error,
    },
}

fn held_by(pid: Option<u32>) -> String {
    match pid {
        None => String::new(),
        Some(pid) if pid == std::process::id() => {
            ", held by this process: two ports name the same device".to_owned()
        }
        Some(pid) => format!(", held by pid {pid}"),
    }
}
