//! The stable codes of errors: one list, from which their names, their parsing and their documentation come.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// The stable codes of errors. A client must expect codes it does not know.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[$doc])* $variant,)+
            /// A code from a newer gateway.
            Unknown,
        }

        impl ErrorCode {
            /// Every code this crate knows.
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$variant),+];

            /// The code as it travels.
            pub fn as_str(&self) -> &'static str {
                match self {
                    $(ErrorCode::$variant => $name,)+
                    ErrorCode::Unknown => "unknown",
                }
            }
        }
    };
}

error_codes! {
    /// A frame is broken; the connection closes.
    BadFrame = "bad-frame",
    /// A payload is neither data nor a message, or a message has a wrong field.
    BadMessage = "bad-message",
    /// A control message of a kind this gateway does not know.
    UnknownMessage = "unknown-message",
    /// The protocol of hello is not spoken here; the connection closes.
    Version = "version",
    /// There is no such port (or this client may not know of it).
    UnknownPort = "unknown-port",
    /// Something that needs an open port came without one, or a second open.
    NotOpen = "not-open",
    /// Client data whose offset does not follow what was accepted.
    BadOffset = "bad-offset",
    /// A newer client writes under this client's writer name.
    TakenOver = "taken-over",
    /// A queue is full.
    Busy = "busy",
    /// The turn of an ask did not come in time.
    Waited = "waited",
    /// No whole reply in time.
    Timeout = "timeout",
    /// The device is not there.
    Absent = "absent",
    /// The device vanished while it was being used.
    DeviceLost = "device-lost",
    /// The device cannot do that, or failed doing it.
    Device = "device",
    /// Whoever this is is not let in: a credential is missing, or not in force. The connection closes.
    Unauthorized = "unauthorized",
    /// The credential does not allow that.
    Forbidden = "forbidden",
    /// The port is read-only.
    ReadOnly = "read-only",
    /// Somebody else holds the write lease.
    Leased = "leased",
    /// The port is shared; there is no lease to take.
    NotExclusive = "not-exclusive",
    /// The port has no interpreter profile, so it cannot be asked.
    NoProfile = "no-profile",
    /// The command, or the reply, cannot be what it is.
    BadCommand = "bad-command",
    /// The board itself answered with an error, as its interpreter profile tells.
    BoardError = "board-error",
    /// The reply is larger than allowed.
    TooBig = "too-big",
    /// There is no such sequence.
    NoSequence = "no-sequence",
    /// No log of the port can be read.
    NoLog = "no-log",
    /// The configuration that was to be read again is wrong, or cannot be put in force.
    BadConfig = "bad-config",
    /// The ask was taken back.
    Cancelled = "cancelled",
    /// The gateway stops.
    Shutdown = "shutdown",
}

impl ErrorCode {
    /// The code with this name; `None` if this crate does not know it.
    pub fn known(name: &str) -> Option<ErrorCode> {
        ErrorCode::ALL
            .iter()
            .find(|code| code.as_str() == name)
            .cloned()
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ErrorCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ErrorCode, D::Error> {
        let name = String::deserialize(deserializer)?;
        Ok(ErrorCode::known(&name).unwrap_or(ErrorCode::Unknown))
    }
}
