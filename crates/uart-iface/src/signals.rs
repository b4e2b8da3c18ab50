//! The modem signals: output lines we drive, input lines we observe.

use std::fmt;

/// The lines we drive. `true` is asserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OutputSignals {
    /// Data Terminal Ready.
    pub dtr: bool,
    /// Request To Send.
    pub rts: bool,
}

/// A wish to change output lines; `None` leaves a line as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct OutputChange {
    /// Data Terminal Ready.
    pub dtr: Option<bool>,
    /// Request To Send.
    pub rts: Option<bool>,
}

/// The lines we observe. `true` is asserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InputSignals {
    /// Clear To Send.
    pub cts: bool,
    /// Data Set Ready.
    pub dsr: bool,
    /// Ring Indicator.
    pub ri: bool,
    /// Data Carrier Detect.
    pub dcd: bool,
}

impl OutputSignals {
    /// Both asserted: what an operating system does when a port is opened.
    pub const ASSERTED: OutputSignals = OutputSignals {
        dtr: true,
        rts: true,
    };

    /// These signals with `change` applied.
    #[must_use]
    pub fn with(self, change: OutputChange) -> OutputSignals {
        OutputSignals {
            dtr: change.dtr.unwrap_or(self.dtr),
            rts: change.rts.unwrap_or(self.rts),
        }
    }
}

impl InputSignals {
    /// What is reported for a device that has no modem lines: CTS, DSR and DCD asserted, RI not,
    /// so that software which waits for them goes on.
    pub const ABSENT_LINES: InputSignals = InputSignals {
        cts: true,
        dsr: true,
        ri: false,
        dcd: true,
    };
}

impl fmt::Display for OutputSignals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dtr={} rts={}", on_off(self.dtr), on_off(self.rts))
    }
}

impl fmt::Display for InputSignals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cts={} dsr={} ri={} dcd={}",
            on_off(self.cts),
            on_off(self.dsr),
            on_off(self.ri),
            on_off(self.dcd)
        )
    }
}

fn on_off(asserted: bool) -> &'static str {
    if asserted { "on" } else { "off" }
}
