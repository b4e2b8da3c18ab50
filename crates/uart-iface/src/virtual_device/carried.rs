//! What the termios of a pseudo-terminal can carry of line settings. Pure.

use crate::{Baud, DataBits, FlowControl, LineSettings, Parity, StopBits};

/// The part of line settings that a pseudo-terminal carries: the kernel forces its data bits to 8 and its parity to none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Carried {
    /// Symbols per second.
    pub baud: Baud,
    /// CSTOPB: more than one stop bit.
    pub more_stop_bits: bool,
    /// Who may hold the sender up.
    pub flow: FlowControl,
}

impl Carried {
    /// What can be carried of these.
    pub fn of(line: LineSettings) -> Carried {
        Carried {
            baud: line.baud,
            more_stop_bits: line.stop_bits != StopBits::One,
            flow: line.flow,
        }
    }

    /// `line` with everything that is carried replaced. As in the 16550 UART, CSTOPB means 1.5 stop bits with 5 data
    /// bits, and 2 with more.
    #[must_use]
    pub fn onto(self, line: LineSettings) -> LineSettings {
        LineSettings {
            baud: self.baud,
            stop_bits: match (self.more_stop_bits, line.data_bits) {
                (false, _) => StopBits::One,
                (true, DataBits::Five) => StopBits::OnePointFive,
                (true, _) => StopBits::Two,
            },
            flow: self.flow,
            ..line
        }
    }

    /// As the terminal has it.
    pub(super) fn to_line(self) -> LineSettings {
        self.onto(LineSettings {
            data_bits: DataBits::Eight,
            parity: Parity::None,
            ..LineSettings::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_carried_replaces_and_the_rest_stays() {
        for (before, carried, after) in [
            ("9600-7e1", "74880-8n1-rtscts", "74880-7e1-rtscts"),
            ("9600-7e1", "9600-8n2", "9600-7e2"),
            ("9600-5m2", "9600-8n2-xonxoff", "9600-5m1.5-xonxoff"),
            ("9600-5n1.5", "9600-8n1", "9600-5n1"),
        ] {
            let carried = Carried::of(carried.parse().unwrap());
            let result = carried.onto(before.parse().unwrap());
            assert_eq!(result.to_string(), after);
            assert_eq!(Carried::of(result), carried);
        }
    }
}
