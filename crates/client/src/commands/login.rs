//! `uart login` and `uart logout`: a token is tried at the gateway and kept, or forgotten.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use anyhow::{Context, Result, bail};
use uartnet_client::{Gateway, Session};
use uartnet_proto::message::Secret;

use crate::cli::Common;
use crate::exit::{Exit, UsageError};
use crate::terminal::RawTerminal;
use crate::{credentials, known_gateways, output, sanitize, trust};

/// The longest token read, in bytes.
const LONGEST: u64 = 1024;

/// Store the token by which the gateway knows you
///
/// The token is asked for, or read from stdin, tried at the gateway, and kept in a file that nobody else may read. It is
/// presented by every command to the gateway at this address. UART_TOKEN stands above it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  uart login --gateway bench1:8000
  pass show bench1 | uart login --gateway bench1:8000")]
pub(crate) struct Login {}

/// Forget the token for the gateway
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  uart logout --gateway bench1:8000")]
pub(crate) struct Logout {}

impl Login {
    pub(crate) async fn run(self, common: Common) -> Result<Exit> {
        let token = if io::stdin().is_terminal() {
            type_token(&format!("Token for {}: ", common.gateway))?
        } else {
            read_token(&mut io::stdin().lock())?
        };
        let gateway = Gateway {
            address: common.gateway.clone(),
            token: Some(token.clone()),
            insecure: common.insecure_token,
            tls: trust::establish(&common).await?,
        };
        let session = Session::connect(&gateway, common.connect_timeout).await?;
        let welcome = session.welcome();
        let Some(name) = &welcome.identity else {
            bail!(
                "{} lets in anybody, and did not look at the token",
                common.gateway
            );
        };
        let (name, called) = (harmless(name), harmless(&welcome.gateway));
        let path = credentials::store(&common.gateway, token)?;
        if let Some(key) = common.tls.pin {
            known_gateways::forget(&common.gateway)?;
            trust::remember(&common.gateway, key)?;
        }
        output::notice(&format!(
            "{called} knows you as {name}; the token for {} is kept in {}",
            common.gateway,
            path.display()
        ));
        Ok(Exit::Done)
    }
}

impl Logout {
    pub(crate) async fn run(self, common: Common) -> Result<Exit> {
        if !credentials::forget(&common.gateway)? {
            bail!("no token for {} is stored", common.gateway);
        }
        output::notice(&format!("the token for {} is forgotten", common.gateway));
        Ok(Exit::Done)
    }
}

fn harmless(text: &str) -> String {
    sanitize::harmless(text.as_bytes())
}

fn read_token(input: &mut dyn BufRead) -> Result<Secret> {
    let mut line = String::new();
    input
        .take(LONGEST)
        .read_line(&mut line)
        .context("cannot read the token")?;
    checked(line.trim())
}

/// What is typed is not shown, and the terminal is as it was afterwards, also after Ctrl-C.
fn type_token(prompt: &str) -> Result<Secret> {
    let mut stderr = io::stderr();
    write!(stderr, "{prompt}").and_then(|()| stderr.flush())?;
    let typed = {
        let _raw = RawTerminal::enter().context("cannot hide what is typed")?;
        typed_line(&mut io::stdin().lock().bytes())
    };
    writeln!(stderr)?;
    checked(typed?.trim())
}

fn typed_line(input: &mut dyn Iterator<Item = io::Result<u8>>) -> Result<String> {
    let mut line = Vec::new();
    loop {
        match input.next().transpose()? {
            Some(b'\r' | b'\n') | None => break,
            Some(0x03 | 0x04) => bail!("nothing was stored"),
            Some(0x08 | 0x7f) => {
                line.pop();
            }
            Some(0x15) => line.clear(),
            Some(byte) if (line.len() as u64) < LONGEST => line.push(byte),
            Some(_) => {}
        }
    }
    String::from_utf8(line).context("this is no token")
}

/// A token as it looks; whether it is one, only the gateway knows.
fn checked(text: &str) -> Result<Secret> {
    let digits = text.strip_prefix("uart_").unwrap_or_default();
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let said =
            "this is no token: one is \"uart_\" and 64 hex digits, as uartd token create shows it";
        return Err(UsageError(said.to_owned()).into());
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_typed_as_on_any_terminal() {
        for (typed, line) in [
            (&b"abc\rdef"[..], Some("abc")),
            (b"abx\x7fc\n", Some("abc")),
            (b"xyz\x15abc\r", Some("abc")),
            (b"\x7fabc", Some("abc")),
            (b"abc\x03", None),
            (b"\xff\r", None),
        ] {
            let read = typed_line(&mut typed.iter().map(|byte| Ok(*byte)));
            assert_eq!(read.ok().as_deref(), line, "{typed:?}");
        }
    }

    #[test]
    fn what_cannot_be_a_token_is_not_shown_again() {
        let whole = format!("uart_{}", "0f".repeat(32));
        assert!(checked(&whole).is_ok());
        for wrong in ["", "hunter2", &whole[..68], &whole.replace('f', "g")] {
            let error = checked(wrong).unwrap_err().to_string();
            assert!(wrong.is_empty() || !error.contains(wrong), "{error}");
        }
    }
}
