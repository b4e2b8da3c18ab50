//! The telemetry of the simulated interpreter (`STREAM`), as the tests and the demo wait for it.

use anyhow::{Context, Result};

use crate::Process;

/// Waits until a watcher has shown telemetry line `number` or a later one: a board that is busy leaves lines out.
///
/// # Errors
/// It does not come; the error has everything the watcher said.
pub fn wait_telemetry(watcher: &Process, number: u64) -> Result<()> {
    let what = format!("telemetry line {number}");
    let seen = watcher
        .stdout
        .wait(&what, |text| newest_telemetry(text) >= number);
    seen.with_context(|| watcher.said()).map(drop)
}

/// The highest number of a line `T <number> <temperature> <adc>` in a text; 0 when there is none.
fn newest_telemetry(text: &str) -> u64 {
    let numbers = text
        .split("T ")
        .skip(1)
        .filter_map(|rest| rest.split_once(' '));
    numbers
        .filter_map(|(number, _)| number.parse().ok())
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::newest_telemetry;

    #[test]
    fn only_whole_numbers_of_telemetry_count() {
        assert_eq!(newest_telemetry("> PROMPT ON\r\nOK\r\n> "), 0);
        assert_eq!(
            newest_telemetry("\r\nT 9 19.5 3\r\n> \r\nT 12 19.5 3\r\n> \r\nT 13"),
            12
        );
        assert_eq!(newest_telemetry("{\"text\":\"T 7 19.5 3\"}"), 7);
    }
}
