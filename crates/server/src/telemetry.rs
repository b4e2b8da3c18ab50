//! Logs: what is written to stderr, and how. Not what is logged; that is said where it happens.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// What is logged when nothing else is asked for: our own changes of state, and other people's warnings.
pub const DEFAULT_LEVELS: &str =
    "warn,uartd=info,uartnet_server=info,uartnet_hub=info,uart_iface=info";

/// Reads `--log`: a level, or a list of `part=level`.
///
/// # Errors
/// A sentence with what would be right.
pub fn levels(text: &str) -> Result<Targets, String> {
    // `Targets` takes a word that is no level for the name of a part, which would silence everything.
    let unknown = text.split(',').find(|part| {
        !part.contains('=') && part.parse::<tracing::Level>().is_err() && *part != "off"
    });
    let help = "write error, warn, info, debug, trace or off, or e.g. \"info,uartnet_server::port_task=trace\"";
    match unknown {
        Some(part) => Err(format!("\"{part}\" is not a level; {help}")),
        None => text.parse().map_err(|error| format!("{error}; {help}")),
    }
}

/// Begins to log to stderr; in colour only on a terminal, and only if the environment variable NO_COLOR is not set.
pub fn start(levels: Targets) {
    let colours = io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(colours);
    tracing_subscriber::registry()
        .with(levels)
        .with(lines)
        .init();
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_level_is_for_everything() {
        let levels = levels("debug").unwrap();
        assert!(
            levels.would_enable("uartnet_server", &Level::DEBUG)
                && !levels.would_enable("uartnet_server", &Level::TRACE)
        );
    }

    #[test]
    fn by_default_our_own_news_is_told() {
        let levels = levels(DEFAULT_LEVELS).unwrap();
        for (target, level, told) in [
            ("uartd", Level::INFO, true),
            ("uartnet_server::port_task", Level::INFO, true),
            ("uartnet_server::port_task", Level::DEBUG, false),
            ("mio", Level::INFO, false),
            ("mio", Level::WARN, true),
        ] {
            assert_eq!(
                levels.would_enable(target, &level),
                told,
                "{target} {level}"
            );
        }
    }

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for text in ["loud", "", "info,loud", "uartnet_server=loud"] {
            assert!(
                levels(text).unwrap_err().contains("write error, warn"),
                "{text}"
            );
        }
        assert!(levels("off").is_ok() && levels("uartnet_hub=trace").is_ok());
    }
}
