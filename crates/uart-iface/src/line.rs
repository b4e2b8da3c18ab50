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
    /// The whole text as it was given, cut at 80 characters.
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
    /// The time one character takes on the wire: start, data, parity and stop bits. Rounded up to the nanosecond.
    pub fn character_time(&self) -> Duration {
        let data_bits = match self.data_bits {
            DataBits::Five => 5,
            DataBits::Six => 6,
            DataBits::Seven => 7,
            DataBits::Eight => 8,
        };
        let parity_bits = u64::from(self.parity != Parity::None);
        let stop_half_bits = match self.stop_bits {
            StopBits::One => 2,
            StopBits::OnePointFive => 3,
            StopBits::Two => 4,
        };
        let half_bits = 2 * (1 + data_bits + parity_bits) + stop_half_bits;
        let half_bits_per_second = 2 * u64::from(self.baud.get());
        Duration::from_nanos((half_bits * 1_000_000_000).div_ceil(half_bits_per_second))
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

    fn from_str(text: &str) -> Result<Self, LineError> {
        parse_settings(text).map_err(|problem| LineError::new(text, problem))
    }
}

impl fmt::Display for LineSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}-{}{}{}",
            self.baud, self.data_bits, self.parity, self.stop_bits
        )?;
        match self.flow {
            FlowControl::None => Ok(()),
            flow => write!(f, "-{flow}"),
        }
    }
}

impl FromStr for FlowControl {
    type Err = LineError;

    fn from_str(text: &str) -> Result<Self, LineError> {
        parse_flow(text).map_err(|problem| LineError::new(text, problem))
    }
}

impl fmt::Display for FlowControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FlowControl::None => "none",
            FlowControl::RtsCts => "rtscts",
            FlowControl::XonXoff => "xonxoff",
        })
    }
}

impl fmt::Display for Baud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for DataBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DataBits::Five => "5",
            DataBits::Six => "6",
            DataBits::Seven => "7",
            DataBits::Eight => "8",
        })
    }
}

impl fmt::Display for Parity {
    /// The letter it has in `8n1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Parity::None => "n",
            Parity::Odd => "o",
            Parity::Even => "e",
            Parity::Mark => "m",
            Parity::Space => "s",
        })
    }
}

impl fmt::Display for StopBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StopBits::One => "1",
            StopBits::OnePointFive => "1.5",
            StopBits::Two => "2",
        })
    }
}

impl LineError {
    fn new(text: &str, problem: String) -> LineError {
        LineError {
            text: text.chars().take(80).collect(),
            problem,
        }
    }
}

/// `BAUD[-CHARACTER[-FLOW]]`; the error is the problem alone.
fn parse_settings(text: &str) -> Result<LineSettings, String> {
    let defaults = LineSettings::default();
    let mut parts = text.split('-');
    let baud = parse_baud(parts.next().unwrap_or_default())?;
    let (data_bits, parity, stop_bits) = match parts.next() {
        Some(character) => parse_character(character)?,
        None => (defaults.data_bits, defaults.parity, defaults.stop_bits),
    };
    let flow = parts.next().map_or(Ok(defaults.flow), parse_flow)?;
    if let Some(surplus) = parts.next() {
        return Err(format!(
            "nothing may follow the flow control, but \"-{}\" does",
            shortened(surplus)
        ));
    }
    Ok(LineSettings {
        baud,
        data_bits,
        parity,
        stop_bits,
        flow,
    })
}

fn parse_baud(text: &str) -> Result<Baud, String> {
    if text.is_empty() {
        return Err("it must begin with the baud rate, as in 115200-8n1".to_owned());
    }
    // The standard library would also take a sign.
    let only_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|_| only_digits)
        .and_then(Baud::new)
        .ok_or_else(|| {
            format!(
                "the baud rate \"{}\" should be a number from 1 to {}",
                shortened(text),
                u32::MAX
            )
        })
}

/// The `8n1` of a line setting.
fn parse_character(text: &str) -> Result<(DataBits, Parity, StopBits), String> {
    if let Ok(flow) = parse_flow(text) {
        return Err(format!(
            "flow control comes after the character format, as in 115200-8n1-{flow}"
        ));
    }
    let mut letters = text.chars();
    let data_bits = match letters.next() {
        Some('5') => DataBits::Five,
        Some('6') => DataBits::Six,
        Some('7') => DataBits::Seven,
        Some('8') => DataBits::Eight,
        None => return Err("the character format is missing, as in 115200-8n1".to_owned()),
        Some(other) => {
            return Err(format!("the data bits \"{other}\" should be 5, 6, 7 or 8"));
        }
    };
    let parity = match letters.next().map(|letter| letter.to_ascii_lowercase()) {
        Some('n') => Parity::None,
        Some('o') => Parity::Odd,
        Some('e') => Parity::Even,
        Some('m') => Parity::Mark,
        Some('s') => Parity::Space,
        None => {
            return Err(format!(
                "the parity is missing after the data bits \"{data_bits}\", as in {data_bits}n1"
            ));
        }
        Some(other) => {
            return Err(format!(
                "the parity \"{other}\" should be n (none), o (odd), e (even), m (mark) or s (space)"
            ));
        }
    };
    let stop_bits = match letters.as_str() {
        "1" => StopBits::One,
        "1.5" => StopBits::OnePointFive,
        "2" => StopBits::Two,
        "" => {
            return Err(format!(
                "the stop bits are missing after \"{data_bits}{parity}\", as in {data_bits}{parity}1"
            ));
        }
        other => {
            return Err(format!(
                "the stop bits \"{}\" should be 1, 1.5 or 2",
                shortened(other)
            ));
        }
    };
    Ok((data_bits, parity, stop_bits))
}

fn parse_flow(text: &str) -> Result<FlowControl, String> {
    [FlowControl::None, FlowControl::RtsCts, FlowControl::XonXoff]
        .into_iter()
        .find(|flow| flow.to_string().eq_ignore_ascii_case(text))
        .ok_or_else(|| {
            format!(
                "the flow control \"{}\" should be none, rtscts or xonxoff",
                shortened(text)
            )
        })
}

/// An offending part, short enough for a message.
fn shortened(part: &str) -> String {
    match part.char_indices().nth(20) {
        Some((end, _)) => format!("{}…", &part[..end]),
        None => part.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn written_forms_mean_what_they_say() {
        let default = LineSettings::default();
        for (text, settings, printed) in [
            ("115200-8n1", default, "115200-8n1"),
            ("115200", default, "115200-8n1"),
            ("115200-8N1-NONE", default, "115200-8n1"),
            (
                "9600-7E2-rtscts",
                LineSettings {
                    baud: Baud::new(9600).unwrap(),
                    data_bits: DataBits::Seven,
                    parity: Parity::Even,
                    stop_bits: StopBits::Two,
                    flow: FlowControl::RtsCts,
                },
                "9600-7e2-rtscts",
            ),
            (
                "4294967295-5m1.5-XonXoff",
                LineSettings {
                    baud: Baud::new(u32::MAX).unwrap(),
                    data_bits: DataBits::Five,
                    parity: Parity::Mark,
                    stop_bits: StopBits::OnePointFive,
                    flow: FlowControl::XonXoff,
                },
                "4294967295-5m1.5-xonxoff",
            ),
        ] {
            assert_eq!(text.parse(), Ok(settings), "{text}");
            assert_eq!(settings.to_string(), printed);
        }
    }

    #[test]
    fn a_refusal_names_the_offending_part_and_what_would_be_right() {
        for (text, problem) in [
            ("", "must begin with the baud rate"),
            ("-8n1", "must begin with the baud rate"),
            ("0-8n1", "\"0\" should be a number from 1"),
            ("fast", "\"fast\" should be a number from 1"),
            ("+9600", "\"+9600\" should be a number"),
            (" 9600", "\" 9600\" should be a number"),
            (
                "4294967296",
                "\"4294967296\" should be a number from 1 to 4294967295",
            ),
            ("９６００", "\"９６００\" should be a number"),
            ("9600-", "character format is missing"),
            ("9600-9n1", "data bits \"9\" should be 5, 6, 7 or 8"),
            ("9600-8", "parity is missing after the data bits \"8\""),
            ("9600-8x1", "parity \"x\" should be n (none)"),
            ("9600-7e", "stop bits are missing after \"7e\", as in 7e1"),
            ("9600-8n3", "stop bits \"3\" should be 1, 1.5 or 2"),
            ("9600-8n1.50", "stop bits \"1.50\" should be"),
            ("9600-8n1 ", "stop bits \"1 \" should be"),
            (
                "9600-8n1-",
                "flow control \"\" should be none, rtscts or xonxoff",
            ),
            ("9600-8n1-cts", "flow control \"cts\" should be"),
            (
                "9600-rtscts",
                "comes after the character format, as in 115200-8n1-rtscts",
            ),
            (
                "9600-8n1-rtscts-x",
                "nothing may follow the flow control, but \"-x\" does",
            ),
        ] {
            let error = text.parse::<LineSettings>().unwrap_err();
            assert_eq!(error.text, text);
            assert!(error.problem.contains(problem), "{text}: {error}");
        }
        let error = "xoff".parse::<FlowControl>().unwrap_err().to_string();
        assert_eq!(
            error,
            "\"xoff\" is not a line setting: the flow control \"xoff\" should be none, rtscts or xonxoff"
        );
    }

    #[test]
    fn a_very_long_text_makes_a_short_error() {
        for text in [
            "9".repeat(1 << 20),
            format!("9600-8n{}", "é".repeat(1 << 20)),
        ] {
            let error = text.parse::<LineSettings>().unwrap_err().to_string();
            assert!(error.chars().count() < 250, "{error}");
        }
    }

    #[test]
    fn character_time_counts_every_bit() {
        for (text, nanoseconds) in [
            ("1000000-8n1", 10_000),
            ("1000000-8e2", 12_000),
            ("1000000-5n1.5", 7_500),
            ("1000000-7s1", 10_000),
            ("1-8n1", 10_000_000_000),
            ("115200-8n1", 86_806),
            ("4294967295-8n1", 3),
        ] {
            let settings: LineSettings = text.parse().unwrap();
            let expected = Duration::from_nanos(nanoseconds);
            assert_eq!(settings.character_time(), expected, "{text}");
        }
    }

    fn any_settings() -> impl Strategy<Value = LineSettings> {
        use proptest::sample::select;
        (
            1..=u32::MAX,
            select(vec![
                DataBits::Five,
                DataBits::Six,
                DataBits::Seven,
                DataBits::Eight,
            ]),
            select(vec![
                Parity::None,
                Parity::Odd,
                Parity::Even,
                Parity::Mark,
                Parity::Space,
            ]),
            select(vec![StopBits::One, StopBits::OnePointFive, StopBits::Two]),
            select(vec![
                FlowControl::None,
                FlowControl::RtsCts,
                FlowControl::XonXoff,
            ]),
        )
            .prop_map(|(baud, data_bits, parity, stop_bits, flow)| LineSettings {
                baud: Baud::new(baud).unwrap(),
                data_bits,
                parity,
                stop_bits,
                flow,
            })
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(settings in any_settings()) {
            let text = settings.to_string();
            prop_assert_eq!(text.parse(), Ok(settings));
            prop_assert_eq!(text.to_uppercase().parse(), Ok(settings));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}|[0-9]{1,11}-[0-9noemsx.]{0,5}(-[a-z]{0,8})?") {
            if let Ok(settings) = text.parse::<LineSettings>() {
                prop_assert_eq!(settings.to_string().parse(), Ok(settings));
            }
        }
    }
}
