//! What can be done with a port, and the access each takes: the one table, from which the hub decides about its clients
//! and the gateway about who sees a port at all. Not who has which access; that is the gateway's.

use std::fmt;

use crate::{Access, Control};

macro_rules! rights {
    ($($(#[$doc:meta])* $variant:ident = $words:literal needs $access:ident,)+) => {
        /// Something that can be done with a port.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Right {
            $($(#[$doc])* $variant,)+
        }

        impl Right {
            /// Every right, in the order documentation shows them.
            pub const ALL: &[Right] = &[$(Right::$variant),+];

            /// The least access it takes.
            pub fn needs(self) -> Access {
                match self {
                    $(Right::$variant => Access::$access,)+
                }
            }

            /// What it is called in logs and documentation.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Right::$variant => $words,)+
                }
            }
        }
    };
}

rights! {
    /// Know that the port exists, its settings, its state and its counters.
    See = "see" needs Read,
    /// Get what the UART sends.
    Read = "read" needs Read,
    /// Read back what the gateway wrote down of it: also what others sent.
    ReadLog = "log" needs Read,
    /// Send bytes to the UART, and take or release the lease that may be needed for it.
    Write = "write" needs Write,
    /// Send a command and get its reply.
    Ask = "ask" needs Write,
    /// Change line settings, for everybody.
    SetLine = "set" needs Write,
    /// Drive DTR and RTS, send a break, throw queued bytes away.
    Signals = "signals" needs Write,
    /// Run a named sequence.
    Run = "run" needs Write,
    /// Take the lease from whoever has it.
    Steal = "steal" needs Admin,
}

impl Right {
    /// The right that a control operation takes.
    pub fn to_control(control: &Control) -> Right {
        match control {
            Control::SetLine(_) | Control::HoldLine(_) | Control::GiveLineBack => Right::SetLine,
            Control::SetOutputs(_)
            | Control::Break(_)
            | Control::HoldBreak(_)
            | Control::Purge(_) => Right::Signals,
            Control::Run(_) => Right::Run,
        }
    }
}

impl Access {
    /// Whether whoever has this access has the right.
    pub fn allows(self, right: Right) -> bool {
        self >= right.needs()
    }
}

impl Access {
    /// The access of this name.
    pub fn named(name: &str) -> Option<Access> {
        let all = [Access::Read, Access::Write, Access::Admin];
        all.into_iter().find(|access| access.to_string() == name)
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
