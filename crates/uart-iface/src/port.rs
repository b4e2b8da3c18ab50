//! The trait every opened serial port implements, and the small types it speaks in.
//! Not how a port is found or opened; that is `backend`.

use std::fmt;
use std::task::{Context, Poll};

use crate::{InputSignals, LineSettings, OutputChange, OutputSignals, PortError};

/// An opened UART. One task owns it; nothing here blocks.
///
/// Every method may end in [`PortError::Gone`]: the device is no longer there, and the port should be dropped and
/// its device opened again. Any other error leaves the port usable.
pub trait Port: fmt::Debug {
    /// Reads what has arrived into `buf` (not empty) and says how many bytes, at least 1.
    /// `Pending` means that nothing more is waiting in the device *now*.
    ///
    /// # Errors
    /// [`PortError::Gone`] when the device vanished (hang-up, end of file and I/O errors included).
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8])
    -> Poll<Result<usize, PortError>>;

    /// Gives bytes (not empty) to the device and says how many it took, at least 1. `Pending` means its queue is
    /// full; it never waits for the device to have sent them.
    ///
    /// # Errors
    /// [`PortError::Gone`] when the device vanished.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, PortError>>;

    /// Ready with the input lines each time they differ from what this method (or [`Port::status`]) last told.
    /// A device without modem lines is always `Pending`. A real tty is looked at every 20 ms, and only as long as
    /// somebody polls this.
    ///
    /// # Errors
    /// [`PortError::Gone`] when the device vanished.
    fn poll_inputs(&mut self, cx: &mut Context<'_>) -> Poll<Result<InputSignals, PortError>>;

    /// Applies line settings at once (without draining what is queued) and returns what the device really took,
    /// read back from it. Settings equal to those in force do not touch the device.
    ///
    /// # Errors
    /// [`PortError::Unsupported`] names what the device cannot do; the settings in force before stay in force.
    fn apply(&mut self, wanted: LineSettings) -> Result<LineSettings, PortError>;

    /// Drives DTR and RTS, and returns the state of both. On a device without modem lines the wish is remembered and
    /// returned, nothing else happens.
    ///
    /// # Errors
    /// [`PortError::Gone`], [`PortError::Io`].
    fn set_outputs(&mut self, change: OutputChange) -> Result<OutputSignals, PortError>;

    /// Begins (`true`) or ends (`false`) a break condition: TX held at space.
    ///
    /// # Errors
    /// [`PortError::Gone`], [`PortError::Io`].
    fn set_break(&mut self, on: bool) -> Result<(), PortError>;

    /// Throws away what is queued inside the device and its driver. What was read before is not affected.
    ///
    /// # Errors
    /// [`PortError::Gone`], [`PortError::Io`].
    fn purge(&mut self, queues: Purge) -> Result<(), PortError>;

    /// The settings, signals and counters in force now.
    ///
    /// # Errors
    /// [`PortError::Gone`], [`PortError::Io`].
    fn status(&mut self) -> Result<PortStatus, PortError>;

    /// Whether the sender can be held up without loss by not reading (flow control in force, a pseudo-terminal,
    /// a simulated board).
    fn can_pause(&self) -> bool;

    /// What the device says it is, if it can: two openings that differ in this are of two devices.
    fn identity(&self) -> Option<&str> {
        None
    }
}

/// What a port is doing now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortStatus {
    /// The line settings in force.
    pub line: LineSettings,
    /// The lines we drive (as last wanted, if the device has no modem lines).
    pub outputs: OutputSignals,
    /// The lines we observe ([`InputSignals::ABSENT_LINES`] if the device has none).
    pub inputs: InputSignals,
    /// Whether the device has real modem lines.
    pub has_modem_lines: bool,
    /// Errors the driver counted since the device was opened; `None` if it does not count.
    pub errors: Option<ErrorCounters>,
}

/// Receive errors since the device was opened (Linux: TIOCGICOUNT).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ErrorCounters {
    /// Characters whose stop bit was not where it had to be.
    pub framing: u64,
    /// Characters with a wrong parity bit.
    pub parity: u64,
    /// Characters lost because the UART's own buffer was full.
    pub overrun: u64,
    /// Characters lost because the driver's buffer was full.
    pub buffer_overrun: u64,
    /// Break conditions received.
    pub breaks: u64,
}

/// Which queue to throw away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purge {
    /// Received, not yet read.
    Receive,
    /// Written, not yet sent.
    Transmit,
    /// Both.
    Both,
}
