//! `uart signal`: DTR, RTS and break by hand.

use std::str::FromStr;
use std::time::Duration;

use anyhow::Result;
use uartnet_client::Target;
use uartnet_proto::message::{Break, Request, Signals};

use super::{Controlled, info};
use crate::cli::Common;
use crate::exit::Exit;
use crate::output;

/// Drive DTR and RTS, or hold TX at space for a while (break)
///
/// The changes are made in the order they are written. For timing that the network cannot disturb, configure a sequence and
/// use `uart run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  uart signal board0 dtr=off rts=on
  uart signal board0 break=250ms")]
pub(crate) struct Signal {
    /// The port; or rfc2217://HOST:PORT (tls+ in front for TLS)
    port: Target,
    /// dtr=on, dtr=off, rts=on, rts=off, break=DURATION
    #[arg(required = true)]
    change: Vec<Change>,
    /// One JSON object a request
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Dtr(bool),
    Rts(bool),
    Break(Duration),
}

impl FromStr for Change {
    type Err = String;

    fn from_str(text: &str) -> Result<Change, String> {
        let (name, value) = text
            .split_once('=')
            .ok_or("write dtr=on, rts=off or break=250ms")?;
        let on_off = || match value {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err(format!("{name} is \"on\" or \"off\"")),
        };
        match name {
            "dtr" => on_off().map(Change::Dtr),
            "rts" => on_off().map(Change::Rts),
            "break" => match humantime::parse_duration(value) {
                Ok(length) if length >= Duration::from_millis(1) => Ok(Change::Break(length)),
                Ok(_) => Err("a break takes at least 1ms".to_owned()),
                Err(error) => Err(format!("{error}; write break=250ms")),
            },
            _ => Err("only dtr, rts and break can be driven".to_owned()),
        }
    }
}

impl Signal {
    pub(crate) async fn run(self, common: Common) -> Result<Exit> {
        let mut port = Controlled::connect(&self.port, &common).await?;
        for request in requests(&self.port, &self.change) {
            let done = port.control(request).await?;
            if self.json {
                output::json(&done)?;
            } else if let Some(outputs) = done.outputs {
                output::line(&info::outputs_text(outputs))?;
            }
        }
        Ok(Exit::Done)
    }
}

/// One request for lines that change together, one for each break.
fn requests(port: &Target, changes: &[Change]) -> Vec<Request> {
    let mut requests = Vec::new();
    for change in changes {
        if let Change::Break(length) = change {
            let ms = length.as_millis().try_into().unwrap_or(u64::MAX);
            requests.push(Request::Break(Break {
                port: port.to_string(),
                ms,
            }));
            continue;
        }
        let mut signals = match requests.pop() {
            Some(Request::Signals(signals)) => signals,
            other => {
                requests.extend(other);
                Signals {
                    signals: port.to_string(),
                    dtr: None,
                    rts: None,
                }
            }
        };
        // A line that is driven twice has an order that one request cannot carry.
        let again = matches!(change, Change::Dtr(_) if signals.dtr.is_some())
            || matches!(change, Change::Rts(_) if signals.rts.is_some());
        if again {
            requests.push(Request::Signals(signals));
            signals = Signals {
                signals: port.to_string(),
                dtr: None,
                rts: None,
            };
        }
        match change {
            Change::Dtr(on) => signals.dtr = Some(*on),
            Change::Rts(on) => signals.rts = Some(*on),
            Change::Break(_) => {}
        }
        requests.push(Request::Signals(signals));
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<Request> {
        let changes: Vec<Change> = text.split(' ').map(|word| word.parse().unwrap()).collect();
        requests(&"b".parse().unwrap(), &changes)
    }

    fn signals(dtr: Option<bool>, rts: Option<bool>) -> Request {
        Request::Signals(Signals {
            signals: "b".to_owned(),
            dtr,
            rts,
        })
    }

    #[test]
    fn lines_change_together_and_in_order() {
        let hold = Request::Break(Break {
            port: "b".to_owned(),
            ms: 250,
        });
        assert_eq!(parsed("dtr=on rts=off"), [signals(Some(true), Some(false))]);
        assert_eq!(
            parsed("rts=on break=250ms rts=off"),
            [signals(None, Some(true)), hold, signals(None, Some(false))]
        );
        assert_eq!(
            parsed("dtr=on dtr=off"),
            [signals(Some(true), None), signals(Some(false), None)]
        );
    }

    #[test]
    fn what_cannot_be_driven_is_refused() {
        for (text, reason) in [
            ("dtr", "write dtr=on"),
            ("dtr=1", "\"on\" or \"off\""),
            ("cts=on", "only dtr"),
            ("break=0s", "at least 1ms"),
            ("break=long", "write break=250ms"),
        ] {
            let error = text.parse::<Change>().unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
