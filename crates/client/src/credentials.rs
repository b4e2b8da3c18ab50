//! Where tokens come from: `UART_TOKEN`, or a file that nobody else may read, which `uart login` writes. Never a command
//! line, which every process can see. Not how a token is presented.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use uartnet_client::Address;
use uartnet_proto::message::Secret;

use crate::private_file;

/// The variable that stands above the file.
const VARIABLE: &str = "UART_TOKEN";

const HEADING: &str = "\
# The tokens that \"uart login\" has stored. Nobody else may read this file.\n";

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    #[serde(default, rename = "gateway")]
    gateways: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    address: String,
    token: Secret,
}

/// The token for the gateway at this address, if there is one.
///
/// # Errors
/// `UART_TOKEN` is no text, or the file cannot be used.
pub(crate) fn token_for(gateway: &Address) -> Result<Option<Secret>> {
    match std::env::var(VARIABLE) {
        Ok(token) if token.is_empty() => {}
        Ok(token) => return Ok(Some(token.into())),
        Err(std::env::VarError::NotPresent) => {}
        Err(std::env::VarError::NotUnicode(_)) => bail!("{VARIABLE} is not text"),
    }
    let Some(path) = path() else { return Ok(None) };
    let address = gateway.to_string();
    let stored = read(&path)?.gateways.into_iter();
    Ok(stored
        .filter(|entry| entry.address == address)
        .map(|entry| entry.token)
        .next())
}

/// Whether `UART_TOKEN` is what is presented, and not what is stored.
pub(crate) fn is_from_environment() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|token| !token.is_empty())
}

/// Keeps the token for this gateway, instead of an earlier one. Says where.
pub(crate) fn store(gateway: &Address, token: Secret) -> Result<PathBuf> {
    let path = path()
        .context("there is no place for the token: neither XDG_CONFIG_HOME nor HOME is set")?;
    let mut stored = read(&path)?;
    let address = gateway.to_string();
    stored.gateways.retain(|entry| entry.address != address);
    stored.gateways.push(Entry { address, token });
    write(&path, &stored)?;
    Ok(path)
}

/// Forgets the token for this gateway. Whether there was one.
pub(crate) fn forget(gateway: &Address) -> Result<bool> {
    let Some(path) = path() else { return Ok(false) };
    let mut stored = read(&path)?;
    let (before, address) = (stored.gateways.len(), gateway.to_string());
    stored.gateways.retain(|entry| entry.address != address);
    let found = stored.gateways.len() < before;
    if found {
        write(&path, &stored)?;
    }
    Ok(found)
}

fn path() -> Option<PathBuf> {
    Some(private_file::folder("XDG_CONFIG_HOME", ".config")?.join("uart/credentials.toml"))
}

fn read(path: &Path) -> Result<Stored> {
    let text = private_file::read(path)?;
    // What is wrong with it is not shown: it would show what stands there.
    toml::from_str(&text)
        .ok()
        .with_context(|| format!("{} is not what uart login writes", path.display()))
}

fn write(path: &Path, stored: &Stored) -> Result<()> {
    let text = format!("{HEADING}\n{}", toml::to_string(stored)?);
    private_file::replace(path, &text)
}
