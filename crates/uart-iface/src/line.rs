//! Line settings: what both ends of a UART must agree on, and `115200-8n1` as their written form.
//! Not how a device is told; that is the backends' work.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

/// Symbols per second, 1 to 4,294,967,295. Which of them a device can do is the device's to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Baud(NonZeroU32);

/// Data bits per character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataBits {
    /// 5
    Five,
    /// 6
    Six,
    /// 7
    Seven,
    /// 8
    Eight,
}

/// The parity bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Parity {
    /// `n`: no parity bit.
    None,
    /// `o`: the number of ones is odd.
    Odd,
    /// `e`: the number of ones is even.
    Even,
    /// `m`: always one.
    Mark,
    /// `s`: always zero.
    Space,
}

/// Stop bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StopBits {
    /// 1
    One,
    /// 1.5
    OnePointFive,
    /// 2
    Two,
}

/// Who may hold the sender up, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FlowControl {
    /// `none`: nobody; a UART that is too fast overruns.
    #[default]
    None,
    /// `rtscts`: the RTS and CTS lines.
    RtsCts,
    /// `xonxoff`: the characters 0x11 and 0x13, which are then not data.
    XonXoff,
}

/// Baud rate, data bits, parity, stop bits and flow control.
///
/// Written `115200-8n1`, or `115200-8n1-rtscts` when there is flow control; `115200` alone means `-8n1`;
/// 1.5 stop bits are written `115200-8n1.5`. Letters are read in either case and printed in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LineSettings {
    /// Symbols per second.
    pub baud: Baud,
    /// Data bits per character.
    pub data_bits: DataBits,
    /// The parity bit.
    pub parity: Parity,
    /// Stop bits.
    pub stop_bits: StopBits,
    /// Who may hold the sender up.
    pub flow: FlowControl,
}

/// A text that is not a line setting, with the offending part and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not a line setting: {problem}")]
pub struct LineError {
    /// The whole text, as it was given.
    pub text: String,
    /// What is wrong with it, and what would be right.
    pub problem: String,
}

impl Baud {
    /// 115,200, what most boards speak today.
    pub const DEFAULT: Baud = Baud(NonZeroU32::new(115_200).expect("not zero"));

    /// `None` for zero, which no UART runs at.
    pub fn new(symbols_per_second: u32) -> Option<Baud> {
        NonZeroU32::new(symbols_per_second).map(Baud)
    }

    /// Symbols per second.
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

impl LineSettings {
    /// The time one character takes on the wire: start, data, parity and stop bits.
    pub fn character_time(&self) -> Duration {
        todo!()
    }
}

impl Default for LineSettings {
    /// `115200-8n1`, no flow control.
    fn default() -> Self {
        LineSettings {
            baud: Baud::DEFAULT,
            data_bits: DataBits::Eight,
            parity: Parity::None,
            stop_bits: StopBits::One,
            flow: FlowControl::None,
        }
    }
}

impl FromStr for LineSettings {
    type Err = LineError;
    fn from_str(_text: &str) -> Result<Self, LineError> {
        todo!()
    }
}

impl fmt::Display for LineSettings {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

impl FromStr for FlowControl {
    type Err = LineError;
    fn from_str(_text: &str) -> Result<Self, LineError> {
        todo!()
    }
}

impl fmt::Display for FlowControl {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
