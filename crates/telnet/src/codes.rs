//! The numbers of the telnet protocol: command bytes and option codes. Not what they do.

/// Interpret As Command, the byte that begins everything which is not data.
pub const IAC: u8 = 255;
/// End of subnegotiation.
pub const SE: u8 = 240;
/// No operation.
pub const NOP: u8 = 241;
/// The data mark of a Synch.
pub const DM: u8 = 242;
/// The NVT character BRK.
pub const BRK: u8 = 243;
/// Interrupt Process.
pub const IP: u8 = 244;
/// Abort Output.
pub const AO: u8 = 245;
/// Are You There.
pub const AYT: u8 = 246;
/// Erase Character.
pub const EC: u8 = 247;
/// Erase Line.
pub const EL: u8 = 248;
/// Go Ahead.
pub const GA: u8 = 249;
/// Begin of subnegotiation.
pub const SB: u8 = 250;
/// The sender wants to begin, or confirms it performs, an option.
pub const WILL: u8 = 251;
/// The sender refuses to perform, or stops, an option.
pub const WONT: u8 = 252;
/// The sender asks the other side to perform, or confirms it may, an option.
pub const DO: u8 = 253;
/// The sender asks the other side to stop, or not to perform, an option.
pub const DONT: u8 = 254;

/// A command of two bytes that a peer can send (RFC 854, "TELNET COMMAND STRUCTURE").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    /// No operation.
    Nop,
    /// The data mark of a Synch.
    DataMark,
    /// Break.
    Break,
    /// Interrupt Process.
    InterruptProcess,
    /// Abort Output.
    AbortOutput,
    /// Are You There.
    AreYouThere,
    /// Erase Character.
    EraseCharacter,
    /// Erase Line.
    EraseLine,
    /// Go Ahead.
    GoAhead,
    /// Anything else, a stray SE included.
    Other(u8),
}

impl Command {
    pub(crate) fn from_byte(byte: u8) -> Command {
        match byte {
            NOP => Command::Nop,
            DM => Command::DataMark,
            BRK => Command::Break,
            IP => Command::InterruptProcess,
            AO => Command::AbortOutput,
            AYT => Command::AreYouThere,
            EC => Command::EraseCharacter,
            EL => Command::EraseLine,
            GA => Command::GoAhead,
            other => Command::Other(other),
        }
    }
}

/// An option's code. The known ones are constants; any byte is an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TelnetOption(pub u8);

impl TelnetOption {
    /// TRANSMIT-BINARY (RFC 856).
    pub const BINARY: TelnetOption = TelnetOption(0);
    /// ECHO (RFC 857).
    pub const ECHO: TelnetOption = TelnetOption(1);
    /// SUPPRESS-GO-AHEAD (RFC 858).
    pub const SUPPRESS_GO_AHEAD: TelnetOption = TelnetOption(3);
    /// COM-PORT-OPTION (RFC 2217).
    pub const COM_PORT: TelnetOption = TelnetOption(44);
}
