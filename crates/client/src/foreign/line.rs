//! Line settings in the numbers of RFC 2217, and back. Pure.

use uart_iface::{Baud, DataBits, FlowControl, LineSettings, Parity, StopBits};
use uartnet_telnet::access_client::Setting;
use uartnet_telnet::com_port::value::{control, parity, stop_size};

/// The settings that make a line, in the order in which RFC 2217 wants them set.
pub const LINE: [Setting; 5] = [
    Setting::Baud,
    Setting::DataSize,
    Setting::Parity,
    Setting::StopSize,
    Setting::Flow,
];

/// The number for one setting of a line.
pub fn number(line: LineSettings, setting: Setting) -> Option<u32> {
    let code: u8 = match setting {
        Setting::Baud => return Some(line.baud.get()),
        Setting::DataSize => match line.data_bits {
            DataBits::Five => 5,
            DataBits::Six => 6,
            DataBits::Seven => 7,
            DataBits::Eight => 8,
        },
        Setting::Parity => match line.parity {
            Parity::None => parity::NONE,
            Parity::Odd => parity::ODD,
            Parity::Even => parity::EVEN,
            Parity::Mark => parity::MARK,
            Parity::Space => parity::SPACE,
        },
        Setting::StopSize => match line.stop_bits {
            StopBits::One => stop_size::ONE,
            StopBits::OnePointFive => stop_size::ONE_AND_A_HALF,
            StopBits::Two => stop_size::TWO,
        },
        Setting::Flow => match line.flow {
            FlowControl::None => control::FLOW_NONE,
            FlowControl::XonXoff => control::FLOW_XON_XOFF,
            FlowControl::RtsCts => control::FLOW_HARDWARE,
        },
        _ => return None,
    };
    Some(code.into())
}

/// `line` with one setting replaced. A number that is none of RFC 2217's changes nothing: `None`.
pub fn with(line: LineSettings, setting: Setting, number: u32) -> Option<LineSettings> {
    let mut line = line;
    if setting == Setting::Baud {
        line.baud = Baud::new(number)?;
        return Some(line);
    }
    match (setting, u8::try_from(number).ok()?) {
        (Setting::DataSize, 5) => line.data_bits = DataBits::Five,
        (Setting::DataSize, 6) => line.data_bits = DataBits::Six,
        (Setting::DataSize, 7) => line.data_bits = DataBits::Seven,
        (Setting::DataSize, 8) => line.data_bits = DataBits::Eight,
        (Setting::Parity, parity::NONE) => line.parity = Parity::None,
        (Setting::Parity, parity::ODD) => line.parity = Parity::Odd,
        (Setting::Parity, parity::EVEN) => line.parity = Parity::Even,
        (Setting::Parity, parity::MARK) => line.parity = Parity::Mark,
        (Setting::Parity, parity::SPACE) => line.parity = Parity::Space,
        (Setting::StopSize, stop_size::ONE) => line.stop_bits = StopBits::One,
        (Setting::StopSize, stop_size::TWO) => line.stop_bits = StopBits::Two,
        (Setting::StopSize, stop_size::ONE_AND_A_HALF) => line.stop_bits = StopBits::OnePointFive,
        (Setting::Flow, control::FLOW_NONE) => line.flow = FlowControl::None,
        (Setting::Flow, control::FLOW_XON_XOFF) => line.flow = FlowControl::XonXoff,
        (Setting::Flow, control::FLOW_HARDWARE) => line.flow = FlowControl::RtsCts,
        // Held up by DCD or DSR: not known here.
        _ => return None,
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_comes_back_from_its_numbers() {
        for text in [
            "115200-8n1",
            "255-5o1.5-xonxoff",
            "9600-6e2-rtscts",
            "4000000-7m1",
            "75-8s1",
        ] {
            let line: LineSettings = text.parse().unwrap();
            let back = LINE.into_iter().fold(LineSettings::default(), |made, one| {
                with(made, one, number(line, one).unwrap()).unwrap()
            });
            assert_eq!(back, line);
        }
    }

    #[test]
    fn the_numbers_are_the_rfcs() {
        let line: LineSettings = "9600-7e1.5-rtscts".parse().unwrap();
        let numbers = LINE.map(|one| number(line, one).unwrap());
        assert_eq!(numbers, [9600, 7, 3, 3, 3]);
        for (setting, number) in [
            (Setting::Baud, 0),
            (Setting::DataSize, 9),
            (Setting::Parity, 6),
            (Setting::StopSize, 0),
            (Setting::Flow, 17),
            (Setting::DataSize, 264),
        ] {
            assert_eq!(with(line, setting, number), None, "{setting:?} {number}");
        }
    }
}
