//! Times on the command line: `500ms`, `2s`, `1m30s`.

use std::time::Duration;

/// A time, of any length.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write e.g. 500ms or 2s"))
}

/// How long a gateway may take for something: it counts whole milliseconds, and at least one.
pub(crate) fn parse_limit(text: &str) -> Result<Duration, String> {
    match parse(text)? {
        time if time < Duration::from_millis(1) => Err("it must be at least 1ms".to_owned()),
        time => Ok(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_and_limits_are_not_zero() {
        assert_eq!(parse("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse("0s"), Ok(Duration::ZERO));
        assert_eq!(parse_limit("1ms"), Ok(Duration::from_millis(1)));
        for wrong in ["", "5", "banana", "-1s", "99999999999999999999s"] {
            assert!(
                parse(wrong).unwrap_err().contains("write e.g. 500ms"),
                "{wrong}"
            );
        }
        for wrong in ["0s", "999us", "x"] {
            assert!(parse_limit(wrong).is_err(), "{wrong}");
        }
    }
}
