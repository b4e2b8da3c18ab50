//! Whom to take for the gateway: what was given, what is known from before, or, the first time, what a person says. Not
//! how that is verified.

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Context, Result};
use uartnet_client::{
    Address, ClientError, ForeignAddress, ForeignGateway, OwnCertificate, TlsOptions, Trust, key_of,
};
use uartnet_proto::KeyFingerprint;

use crate::cli::Common;
use crate::exit::UsageError;
use crate::{known_gateways, output};

/// What can be said of TLS on the command line.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct TlsArguments {
    /// Take whoever has this key for the gateway (uartd tls show prints it)
    #[arg(long, global = true, value_name = "sha256:…", conflicts_with = "ca")]
    pub(crate) pin: Option<KeyFingerprint>,
    /// Take whoever has a certificate for its name from these authorities for the gateway: a PEM file, or `system`
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca: Option<String>,
    /// Take whoever answers for the gateway, if none is known yet at this address, and remember its key
    #[arg(long, global = true)]
    pub(crate) accept_new: bool,
    /// Show this certificate to a gateway that asks for one (PEM; uartd tls client makes one)
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) cert: Option<String>,
    /// The key of --cert (PEM), where it is in a file of its own
    #[arg(long, global = true, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<String>,
}

/// Finds out whom to take for the gateway.
///
/// # Errors
/// Nothing is known of it and nobody says that it is right, or a file cannot be used.
pub(crate) async fn establish(common: &Common) -> Result<TlsOptions> {
    let gateway = &common.gateway;
    at(common, gateway, || {
        format!("{gateway} is spoken to in the clear; write --gateway tls://…")
    })
    .await
}

/// As [`establish`], for a gateway that is not uartnet's.
///
/// # Errors
/// As [`establish`].
pub(crate) async fn foreign(common: &Common, address: &ForeignAddress) -> Result<ForeignGateway> {
    let in_the_clear = || format!("{address} is spoken to in the clear; write tls+{address}");
    Ok(ForeignGateway {
        tls: at(common, address.address(), in_the_clear).await?,
        address: address.clone(),
    })
}

async fn at(
    common: &Common,
    gateway: &Address,
    in_the_clear: impl FnOnce() -> String,
) -> Result<TlsOptions> {
    let arguments = &common.tls;
    if !matches!(gateway, Address::Tls { .. }) {
        if arguments.pin.is_some() || arguments.ca.is_some() || arguments.cert.is_some() {
            let problem = format!("--pin, --ca and --cert are for TLS, and {}", in_the_clear());
            return Err(UsageError(problem).into());
        }
        return Ok(TlsOptions::default());
    }
    let own = match &arguments.cert {
        Some(certificate) => {
            let key = arguments.key.as_ref().unwrap_or(certificate);
            Some(OwnCertificate::read(certificate, key)?)
        }
        None => None,
    };
    let trust = match (&arguments.pin, &arguments.ca) {
        (Some(key), _) => Trust::Key {
            key: *key,
            known: Some(", as --pin says; what it really is, uartd tls show says there".to_owned()),
        },
        (None, Some(file)) => Trust::authorities(file)?,
        (None, None) => known_or_new(common, gateway).await?,
    };
    Ok(TlsOptions { trust, own })
}

async fn known_or_new(common: &Common, gateway: &Address) -> Result<Trust> {
    if let Some(known) = known_gateways::look_up(gateway)? {
        let place = known_gateways::place(&known.path, known.line);
        return Ok(Trust::Key {
            key: known.key,
            known: Some(format!(
                ", as {place} says; if it was changed on purpose, type: uart forget --gateway {gateway}"
            )),
        });
    }
    let key = key_of(gateway, common.connect_timeout)
        .await?
        .with_context(|| format!("{gateway} has no key"))?;
    if !common.tls.accept_new && !ask(gateway, key)? {
        return Err(ClientError::UnknownKey {
            gateway: gateway.clone(),
            key,
        }
        .into());
    }
    remember(gateway, key)?;
    Ok(Trust::Key { key, known: None })
}

/// Remembers the key of the gateway, and says so.
///
/// # Errors
/// It cannot be written down.
pub(crate) fn remember(gateway: &Address, key: KeyFingerprint) -> Result<()> {
    let path = known_gateways::remember(gateway, key)?;
    output::notice(&format!(
        "the gateway at {gateway} is known by its key {key} from now on ({})",
        path.display()
    ));
    Ok(())
}

/// Asks the person, if there is one.
fn ask(gateway: &Address, key: KeyFingerprint) -> Result<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(false);
    }
    let mut stderr = io::stderr();
    write!(
        stderr,
        "The gateway at {gateway} is not known yet. Its key is\n    {key}\n\
         which is what \"uartd tls show\" must print on the gateway.\n\
         Is that so? Type yes, or paste what it prints: "
    )
    .and_then(|()| stderr.flush())?;
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .context("cannot read the answer")?;
    Ok(is_consent(answer.trim(), key))
}

fn is_consent(answer: &str, key: KeyFingerprint) -> bool {
    answer.eq_ignore_ascii_case("yes") || answer.parse() == Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consent_is_yes_or_the_right_key() {
        let key = KeyFingerprint([1; 32]);
        for (answer, consents) in [
            ("yes", true),
            ("YES", true),
            (&key.to_string()[..], true),
            (&KeyFingerprint([2; 32]).to_string(), false),
            ("y", false),
            ("no", false),
            ("", false),
        ] {
            assert_eq!(is_consent(answer, key), consents, "{answer}");
        }
    }
}
