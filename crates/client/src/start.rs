//! From where to read, as a person types it: `live`, `start`, `last:N`, `OFFSET@EPOCH`.

use uartnet_client::ForeignAddress;
use uartnet_proto::message::StartAt;

use crate::exit::UsageError;

/// Understands the text of `--from`.
pub(crate) fn parse(text: &str) -> Result<StartAt, String> {
    let number = |text: &str| {
        text.parse::<u64>()
            .map_err(|_| format!("\"{text}\" is not a number of bytes"))
    };
    match text {
        "live" => return Ok(StartAt::Live),
        "start" => return Ok(StartAt::Start),
        _ => {}
    }
    if let Some(count) = text.strip_prefix("last:") {
        return number(count).map(StartAt::Last);
    }
    let Some((offset, epoch)) = text.split_once('@') else {
        return Err("write live, start, last:BYTES or OFFSET@EPOCH".to_owned());
    };
    if epoch.len() != 16 || !epoch.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(format!(
            "\"{epoch}\" is not an epoch; `uart info` shows its 16 hex digits"
        ));
    }
    Ok(StartAt::At {
        offset: number(offset)?,
        epoch: epoch.to_ascii_lowercase(),
    })
}

/// A gateway that is not uartnet's keeps no history.
///
/// # Errors
/// Something that is not live is wanted.
pub(crate) fn only_live(from: &StartAt, address: &ForeignAddress) -> Result<(), UsageError> {
    if *from == StartAt::Live {
        return Ok(());
    }
    let problem =
        format!("{address} is no uartnet gateway and keeps no history: --from can only be live");
    Err(UsageError(problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_understood() {
        let epoch = "00000000000000aa".to_owned();
        for (text, start) in [
            ("live", StartAt::Live),
            ("start", StartAt::Start),
            ("last:1000", StartAt::Last(1000)),
            (
                "81920@00000000000000AA",
                StartAt::At {
                    offset: 81920,
                    epoch,
                },
            ),
        ] {
            assert_eq!(parse(text), Ok(start));
        }
    }

    #[test]
    fn other_texts_are_refused_with_the_reason() {
        for (text, reason) in [
            ("", "write live"),
            ("now", "write live"),
            ("last:", "not a number"),
            ("last:-1", "not a number"),
            ("last:99999999999999999999", "not a number"),
            ("5@12", "not an epoch"),
            ("x@00000000000000aa", "not a number"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
