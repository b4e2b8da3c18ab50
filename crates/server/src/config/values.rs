//! How single values are written: sizes, durations, counts, pacing, end-of-line texts, addresses, words of a list.
//! Each parser knows the value alone; where it stands in a file is the caller's to say.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;

use uart_iface::{FlowControl, suggest};
use uartnet_hub::{Access, OnLag, OnLoss, ReadFrom, WritePolicy};

use super::problem::Wrong;
use super::{ListenAddress, limits};

pub(super) const FLOW: &[(&str, FlowControl)] = &[
    ("none", FlowControl::None),
    ("rtscts", FlowControl::RtsCts),
    ("xonxoff", FlowControl::XonXoff),
];

pub(super) const WRITE: &[(&str, WritePolicy)] = &[
    ("shared", WritePolicy::Shared),
    ("exclusive", WritePolicy::Exclusive),
    ("none", WritePolicy::None),
];

pub(super) const ACCESS: &[(&str, Option<Access>)] = &[
    ("none", None),
    ("read", Some(Access::Read)),
    ("write", Some(Access::Write)),
    ("admin", Some(Access::Admin)),
];

pub(super) const ON_LAG: &[(&str, OnLag)] = &[
    ("auto", OnLag::Auto),
    ("gap", OnLag::Gap),
    ("disconnect", OnLag::Disconnect),
    ("stall", OnLag::Stall),
];

/// What can be written for `on_loss`.
pub(super) const ON_LOSS: &[(&str, OnLoss)] =
    &[("discard", OnLoss::Discard), ("keep", OnLoss::Keep)];

/// A number of bytes: `1000`, `64KiB`, `1MiB`.
pub(super) fn size(text: &str, range: RangeInclusive<usize>) -> Result<usize, Wrong> {
    let help = || {
        format!(
            "write a number of bytes from {} to {}, e.g. \"64KiB\"",
            size_text(*range.start()),
            size_text(*range.end())
        )
    };
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim();
    let scale = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => Some(1_u128),
        "kib" => Some(1 << 10),
        "mib" => Some(1 << 20),
        "gib" => Some(1 << 30),
        _ => None,
    };
    let (Ok(number), Some(scale)) = (number.parse::<u128>(), scale) else {
        let unit = match unit.to_ascii_lowercase().as_str() {
            "k" | "kb" => "KiB",
            "m" | "mb" => "MiB",
            "g" | "gb" => "GiB",
            _ => return Err(Wrong::new(format!("\"{text}\" is not a size"), help())),
        };
        let suggestion = format!("{number}{unit}");
        return Err(Wrong::new(
            format!("\"{text}\" is not a size"),
            format!("units are B, KiB, MiB and GiB; did you mean \"{suggestion}\"?"),
        ));
    };
    let bytes = number
        .checked_mul(scale)
        .and_then(|bytes| usize::try_from(bytes).ok());
    bytes
        .filter(|bytes| range.contains(bytes))
        .ok_or_else(|| Wrong::new(format!("\"{text}\" is out of range"), help()))
}

/// A number of bytes as a person writes it, in the largest unit that needs no fraction.
pub(crate) fn size_text(bytes: usize) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes >= 1 << shift && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// A length of time: `50ms`, `2s`, `1m 30s`.
pub(super) fn duration(text: &str, range: RangeInclusive<Duration>) -> Result<Duration, Wrong> {
    let help = || {
        format!(
            "write a time from {} to {}, e.g. \"500ms\" or \"2s\"",
            duration_text(*range.start()),
            duration_text(*range.end())
        )
    };
    let duration = humantime::parse_duration(text)
        .map_err(|_| Wrong::new(format!("\"{text}\" is not a time"), help()))?;
    if range.contains(&duration) {
        Ok(duration)
    } else {
        Err(Wrong::new(format!("\"{text}\" is out of range"), help()))
    }
}

/// A length of time as a person writes it.
pub(crate) fn duration_text(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// A length of time, or `never`.
pub(super) fn duration_or_never(
    text: &str,
    range: RangeInclusive<Duration>,
) -> Result<Option<Duration>, Wrong> {
    if text == "never" {
        return Ok(None);
    }
    duration(text, range).map(Some).map_err(|wrong| Wrong {
        help: format!("{}, or \"never\"", wrong.help),
        ..wrong
    })
}

/// A whole number.
pub(super) fn count(text: &str, range: RangeInclusive<usize>) -> Result<usize, Wrong> {
    let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    let count = text
        .parse()
        .ok()
        .filter(|count| is_number && range.contains(count));
    count.ok_or_else(|| {
        let what = if is_number {
            "out of range"
        } else {
            "not a whole number"
        };
        let (min, max) = range.into_inner();
        Wrong::new(
            format!("\"{text}\" is {what}"),
            format!("write a whole number from {min} to {max}"),
        )
    })
}

/// `true` or `false`.
pub(super) fn flag(text: &str) -> Result<bool, Wrong> {
    word(text, "true or false", &[("true", true), ("false", false)])
}

/// One of a few words. `kind` is what the words are: `a write policy`.
pub(super) fn word<T: Copy>(text: &str, kind: &str, choices: &[(&str, T)]) -> Result<T, Wrong> {
    match choices.iter().find(|(word, _)| *word == text) {
        Some((_, choice)) => Ok(*choice),
        None => Err(Wrong::new(
            format!("\"{text}\" is not {kind}"),
            help_with_words(text, choices.iter().map(|(word, _)| *word)),
        )),
    }
}

/// What would be right where one of these words has to stand.
pub(super) fn help_with_words<'a>(
    typed: &str,
    words: impl Iterator<Item = &'a str> + Clone,
) -> String {
    /// A longer list would bury the suggestion.
    const LISTED_BESIDE_A_SUGGESTION: usize = 6;
    let all = match words.clone().count() {
        1 => format!("there is only {}", listed(words.clone())),
        _ => format!("there are {}", listed(words.clone())),
    };
    match suggest::closest(typed, words.clone()) {
        Some(meant) if words.count() > LISTED_BESIDE_A_SUGGESTION => {
            format!("did you mean \"{meant}\"?")
        }
        Some(meant) => format!("did you mean \"{meant}\"? {all}"),
        None => all,
    }
}

/// `a, b and c`.
pub(super) fn listed(words: impl Iterator<Item = impl Display>) -> String {
    let mut words: Vec<String> = words.map(|word| word.to_string()).collect();
    match words.pop() {
        None => "none".to_owned(),
        Some(last) if words.is_empty() => last,
        Some(last) => format!("{} and {last}", words.join(", ")),
    }
}

/// Time between writes to the UART: `1ms/byte` or `50ms/line`. Gives the time after each byte, and after each line.
/// The path of a file. One that is not absolute begins where the daemon was started.
pub(super) fn path(text: &str, example: &str) -> Result<PathBuf, Wrong> {
    if text.is_empty() || text.contains('\0') {
        return Err(Wrong::new(
            format!("\"{text}\" is not the path of a file"),
            format!("write e.g. \"{example}\""),
        ));
    }
    Ok(text.into())
}

pub(super) fn pacing(text: &str) -> Result<(Duration, Duration), Wrong> {
    const HELP: &str = "write a time per byte or per line, e.g. \"1ms/byte\" or \"50ms/line\"";
    let Some((time, unit)) = text.split_once('/') else {
        return Err(Wrong::new(format!("\"{text}\" is not a pacing"), HELP));
    };
    let time = duration(time.trim(), limits::PACING)?;
    match unit.trim() {
        "byte" => Ok((time, Duration::ZERO)),
        "line" => Ok((Duration::ZERO, time)),
        _ => Err(Wrong::new(format!("\"{text}\" is not a pacing"), HELP)),
    }
}

/// `live`, `start`, or the newest bytes: `last:4KiB`.
pub(super) fn read_from(text: &str) -> Result<ReadFrom, Wrong> {
    match (text, text.strip_prefix("last:")) {
        ("live", _) => Ok(ReadFrom::Live),
        ("start", _) => Ok(ReadFrom::Start),
        (_, Some(bytes)) => size(bytes, 0..=usize::MAX).map(|bytes| ReadFrom::Last(bytes as u64)),
        _ => Err(Wrong::new(
            format!("\"{text}\" is not a place to read from"),
            "write live, start, or last:SIZE, e.g. last:4KiB",
        )),
    }
}

/// What ends a command: `cr`, `lf`, `crlf`, or the text itself with escapes.
pub(super) fn eol(text: &str) -> Result<Bytes, Wrong> {
    match text {
        "cr" => return Ok(Bytes::from_static(b"\r")),
        "lf" => return Ok(Bytes::from_static(b"\n")),
        "crlf" => return Ok(Bytes::from_static(b"\r\n")),
        _ => {}
    }
    escaped(text, limits::EOL).map_err(|what| {
        Wrong::new(
            format!("\"{text}\" is not an end of line: {what}"),
            r#"write "cr", "lf", "crlf", or 1 to 16 bytes of text, in which \r \n \t \0 \e \\ and \xHH are escapes"#,
        )
    })
}

/// What stops a command: `ctrl-c` or another letter, or the text itself with escapes.
pub(super) fn interrupt(text: &str) -> Result<Bytes, Wrong> {
    let control = text
        .strip_prefix("ctrl-")
        .map(|letter| match *letter.as_bytes() {
            [letter] if letter.is_ascii_alphabetic() => Ok(Bytes::from(vec![letter & 0x1f])),
            _ => Err("one letter follows ctrl-".to_owned()),
        });
    control.unwrap_or_else(|| escaped(text, limits::EOL)).map_err(|what| {
        Wrong::new(
            format!("\"{text}\" is not an interrupt: {what}"),
            r#"write "ctrl-c", or 1 to 16 bytes of text, in which \r \n \t \0 \e \\ and \xHH are escapes"#,
        )
    })
}

/// What a reply ends with: text with escapes.
pub(super) fn until(text: &str) -> Result<Bytes, Wrong> {
    escaped(text, limits::PROMPT).map_err(|what| {
        Wrong::new(
            format!("\"{text}\" is not what a reply can end with: {what}"),
            r#"write 1 to 256 bytes of text, in which \r \n \t \0 \e \\ and \xHH are escapes"#,
        )
    })
}

/// Text with the escapes `\r \n \t \0 \e \\ \xHH`, 1 to `most` bytes; or what is wrong with it.
fn escaped(text: &str, most: usize) -> Result<Bytes, String> {
    let bytes = uartnet_hub::unescape(text)?;
    match bytes.len() {
        0 => Err("it is empty".to_owned()),
        len if len > most => Err(format!("it is longer than {most} bytes")),
        _ => Ok(bytes.into()),
    }
}

/// Where to listen: `IP:PORT`, `localhost:PORT`, `:PORT` (which is loopback), `unix:PATH`.
pub(super) fn address(text: &str) -> Result<ListenAddress, Wrong> {
    const HELP: &str = "write IP:PORT (\"127.0.0.1:8000\", \"[::1]:8000\"), \":8000\" for this machine only, or \"unix:PATH\"; port 0 lets the system choose";
    let wrong = |why: &str| {
        Err(Wrong::new(
            format!("\"{text}\" is not an address: {why}"),
            HELP,
        ))
    };
    if let Some(path) = text.strip_prefix("unix:") {
        // sockaddr_un holds 108 bytes on Linux, one of them the final zero.
        return match path.len() {
            0 => wrong("the path is empty"),
            1..=107 if !path.contains('\0') => Ok(ListenAddress::Unix(PathBuf::from(path))),
            1..=107 => wrong("the path contains a zero byte"),
            _ => wrong("the path of a Unix socket has at most 107 bytes"),
        };
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(ListenAddress::Tcp(address));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return wrong(if text.parse::<IpAddr>().is_ok() {
            "the port is missing"
        } else {
            "it has no \":PORT\""
        });
    };
    let digits = !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit());
    let Some(port) = port.parse::<u16>().ok().filter(|_| digits) else {
        return wrong("the port is a number from 0 to 65535");
    };
    match host {
        "" | "localhost" => Ok(ListenAddress::Tcp((Ipv4Addr::LOCALHOST, port).into())),
        // An IPv6 address without brackets: its last group would be taken for the port.
        _ if host.contains(':') => wrong("an IPv6 address stands in brackets"),
        _ => wrong("the part before the port is an IP address, \"localhost\", or empty"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("1", 1),
            ("1000", 1000),
            ("64KiB", 65_536),
            ("1 MiB", 1 << 20),
            ("1mib", 1 << 20),
            ("1GiB", 1 << 30),
            ("7B", 7),
        ] {
            assert_eq!(size(text, 1..=1 << 30).unwrap(), bytes, "{text}");
        }
        for (text, message, help) in [
            ("", "is not a size", "from 1 to 1MiB"),
            ("MiB", "is not a size", "64KiB"),
            ("1.5MiB", "is not a size", "64KiB"),
            ("-1", "is not a size", "64KiB"),
            ("10MB", "is not a size", "did you mean \"10MiB\""),
            ("0", "out of range", "from 1 to 1MiB"),
            ("2MiB", "out of range", "from 1 to 1MiB"),
            ("99999999999999999999GiB", "out of range", "from 1 to 1MiB"),
            (
                "999999999999999999999999999999999999999999",
                "is not a size",
                "from 1 to 1MiB",
            ),
        ] {
            let wrong = size(text, 1..=1 << 20).unwrap_err();
            assert!(
                wrong.message.contains(message) && wrong.help.contains(help),
                "{text}: {wrong:?}"
            );
        }
    }

    #[test]
    fn sizes_are_printed_as_they_are_read() {
        for bytes in [0, 1, 1000, 1024, 65_536, 1 << 20, (1 << 20) + 1, 3 << 30] {
            assert_eq!(size(&size_text(bytes), 0..=usize::MAX).unwrap(), bytes);
        }
    }

    #[test]
    fn durations() {
        let range = Duration::from_millis(1)..=Duration::from_secs(60);
        assert_eq!(
            duration("50ms", range.clone()).unwrap(),
            Duration::from_millis(50)
        );
        assert_eq!(
            duration("1m", range.clone()).unwrap(),
            Duration::from_secs(60)
        );
        assert_eq!(duration_or_never("never", range.clone()).unwrap(), None);
        for text in [
            "",
            "2",
            "2 parsecs",
            "-1s",
            "0s",
            "61s",
            "9999999999999999999999s",
            "never",
        ] {
            assert!(
                duration(text, range.clone())
                    .unwrap_err()
                    .help
                    .contains("from 1ms to 1m,"),
                "{text}"
            );
        }
    }

    #[test]
    fn pacings() {
        assert_eq!(
            pacing("1ms/byte").unwrap(),
            (Duration::from_millis(1), Duration::ZERO)
        );
        assert_eq!(
            pacing("50ms / line").unwrap(),
            (Duration::ZERO, Duration::from_millis(50))
        );
        for text in ["1ms", "1ms/word", "/byte", "1/byte", "11s/line"] {
            assert!(!pacing(text).unwrap_err().help.is_empty(), "{text}");
        }
    }

    #[test]
    fn ends_of_line() {
        for (text, bytes) in [
            ("cr", b"\r".as_slice()),
            ("lf", b"\n"),
            ("crlf", b"\r\n"),
            (";", b";"),
            ("\n", b"\n"),
            ("\\r\\n", b"\r\n"),
            ("\\x03\\\\\\0", b"\x03\\\0"),
            ("é", "é".as_bytes()),
        ] {
            assert_eq!(eol(text).unwrap(), bytes, "{text:?}");
        }
        for text in [
            "",
            "\\",
            "\\q",
            "\\x",
            "\\x1",
            "\\xg1",
            "\\x+1",
            "\\xé",
            "12345678901234567",
        ] {
            assert!(eol(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn addresses() {
        for (text, shown) in [
            ("127.0.0.1:8000", "127.0.0.1:8000"),
            ("0.0.0.0:0", "0.0.0.0:0"),
            ("[::1]:8000", "[::1]:8000"),
            (":8000", "127.0.0.1:8000"),
            ("localhost:80", "127.0.0.1:80"),
            ("unix:/run/uartd.sock", "unix:/run/uartd.sock"),
        ] {
            assert_eq!(address(text).unwrap().to_string(), shown);
        }
        for (text, why) in [
            ("", "no \":PORT\""),
            ("8000", "no \":PORT\""),
            ("127.0.0.1", "port is missing"),
            ("::1", "brackets"),
            ("127.0.0.1:", "0 to 65535"),
            ("127.0.0.1:+80", "0 to 65535"),
            ("127.0.0.1:65536", "0 to 65535"),
            ("example.org:80", "IP address"),
            ("256.0.0.1:80", "IP address"),
            ("unix:", "empty"),
            (&format!("unix:/{}", "x".repeat(107)), "107"),
        ] {
            let message = address(text).unwrap_err().message;
            assert!(message.contains(why), "{text}: {message}");
        }
    }
}
