//! Where tokens come from: `UART_TOKEN`, or a file that nobody else may read, which `uart login` writes. Never a command
//! line, which every process can see. Not how a token is presented.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use uartnet_client::Address;
use uartnet_proto::message::Secret;

/// The variable that stands above the file.
const VARIABLE: &str = "UART_TOKEN";
/// A file bigger than this holds no credentials, in bytes.
const LARGEST: u64 = 1 << 20;

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
    let folder = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let config = folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")))?;
    Some(config.join("uart/credentials.toml"))
}

fn read(path: &Path) -> Result<Stored> {
    let cannot_read = || format!("cannot read {}", path.display());
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Stored::default()),
        file => file.with_context(cannot_read)?,
    };
    let mode = file.metadata().with_context(cannot_read)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        let path = path.display();
        bail!("{path} can be used by others (its mode is {mode:03o}); write: chmod 600 {path}");
    }
    let mut text = String::new();
    file.take(LARGEST)
        .read_to_string(&mut text)
        .with_context(cannot_read)?;
    // What is wrong with it is not shown: it would show what stands there.
    toml::from_str(&text)
        .ok()
        .with_context(|| format!("{} is not what uart login writes", path.display()))
}

/// Replaced as a whole or not at all.
fn write(path: &Path, stored: &Stored) -> Result<()> {
    let cannot_write = || format!("cannot write {}", path.display());
    let folder = path.parent().context("the file has no folder")?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(cannot_write)?;
    let fresh = path.with_extension(format!("toml.{}", std::process::id()));
    fs::remove_file(&fresh).ok();
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)
        .with_context(cannot_write)?;
    let text = format!("{HEADING}\n{}", toml::to_string(stored)?);
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&fresh, path))
        .with_context(cannot_write)
}
