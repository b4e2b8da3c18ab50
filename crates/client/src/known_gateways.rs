//! The gateways that are known by their keys: a file with one line a gateway, `HOST:PORT sha256:…`. Not whether to trust
//! one that is not in it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use uartnet_client::Address;
use uartnet_proto::KeyFingerprint;

use crate::private_file::{append, folder, read, replace};

/// A gateway that is known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) key: KeyFingerprint,
    /// Where it stands.
    pub(crate) path: PathBuf,
    /// In which line, from 1.
    pub(crate) line: usize,
}

/// The key of the gateway at this address, if it is known.
///
/// # Errors
/// The file cannot be used, or its line for the gateway makes no sense.
pub(crate) fn look_up(gateway: &Address) -> Result<Option<Known>> {
    let Some(path) = path() else { return Ok(None) };
    look_up_in(path, &read_text()?, &name(gateway))
}

/// Writes down that the gateway has this key. Says where.
///
/// # Errors
/// It cannot be written down.
pub(crate) fn remember(gateway: &Address, key: KeyFingerprint) -> Result<PathBuf> {
    let path = path()
        .context("there is no place for known gateways: neither XDG_STATE_HOME nor HOME is set")?;
    // Who may not be read is not added to either.
    read(&path)?;
    append(&path, &format!("{} {key}", name(gateway)))?;
    Ok(path)
}

/// Forgets the key of the gateway. Whether it was known.
///
/// # Errors
/// The file cannot be used.
pub(crate) fn forget(gateway: &Address) -> Result<bool> {
    let Some(path) = path() else { return Ok(false) };
    let (before, name) = (read(&path)?, name(gateway));
    let mut after = String::new();
    for line in before.lines().filter(|line| !is_of(line, &name)) {
        after.push_str(line);
        after.push('\n');
    }
    let found = after.len() < before.len();
    if found {
        replace(&path, &after)?;
    }
    Ok(found)
}

fn path() -> Option<PathBuf> {
    Some(folder("XDG_STATE_HOME", ".local/state")?.join("uart/known_gateways"))
}

fn read_text() -> Result<String> {
    path().map_or(Ok(String::new()), |path: PathBuf| read(&path))
}

/// How a gateway is called in the file: without the scheme, since there is one only.
fn name(gateway: &Address) -> String {
    let address = gateway.to_string();
    address
        .strip_prefix("tls://")
        .unwrap_or(&address)
        .to_owned()
}

fn is_of(line: &str, name: &str) -> bool {
    line.split_whitespace().next() == Some(name)
}

fn look_up_in(path: PathBuf, text: &str, name: &str) -> Result<Option<Known>> {
    let Some((index, line)) = text.lines().enumerate().find(|(_, line)| is_of(line, name)) else {
        return Ok(None);
    };
    let line_number = index + 1;
    let Some(Ok(key)) = line.split_whitespace().nth(1).map(str::parse) else {
        bail!("{}: {}", place(&path, line_number), "this is no key");
    };
    Ok(Some(Known {
        key,
        path,
        line: line_number,
    }))
}

/// `FILE:LINE`
pub(crate) fn place(path: &Path, line: usize) -> String {
    format!("{}:{line}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_found_by_its_whole_name() {
        let key = KeyFingerprint([7; 32]);
        let text = format!("# mine\nbench1:80 {key}\nbench1:8000 {key} the one upstairs\n");
        let look = |name: &str| look_up_in(PathBuf::from("/f"), &text, name).unwrap();
        assert_eq!(look("bench1:8000").map(|known| known.line), Some(3));
        assert_eq!(look("bench1:800"), None);
        assert_eq!(look("ench1:8000"), None);
        let error = look_up_in("/f".into(), "a:1 sha256:12", "a:1").unwrap_err();
        assert!(error.to_string().starts_with("/f:1: "), "{error}");
    }

    #[test]
    fn the_name_in_the_file_has_no_scheme() {
        let address = "tls://[::1]:1".parse().unwrap();
        assert_eq!(name(&address), "[::1]:1");
    }
}
