//! The file tokens are kept in: nobody else may read it, and it is replaced as a whole or not at all. Not what a token is.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use uart_iface::PortName;
use uartnet_hub::Access;

use super::identity::Scope;
use super::token::{Fingerprint, Token, Tokens};
use crate::kept_file;

/// A file bigger than this holds no tokens, in bytes.
const LARGEST: u64 = 4 << 20;
/// More tokens than this would make every hello slow.
const MOST: usize = 4096;

const HEADING: &str = "\
# The tokens of a uartd gateway, written by \"uartd token\". The secrets are not in here, only their SHA-256.\n\
# Nobody but the user that uartd runs as may read this file.\n";

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// The operating system refused.
    #[error("cannot {doing} {}: {cause}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file, or its folder.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// Others may read or write it.
    #[error("{} can be used by others (its mode is {mode:03o}); write: chmod 600 {}", path.display(), path.display())]
    NotPrivate {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It belongs to somebody else.
    #[error("{} belongs to user {owner}, and this is user {us}", path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who we are.
        us: u32,
    },
    /// What is in it is not understood.
    #[error("{}: {problem}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// The file, locked for somebody who changes it.
#[derive(Debug)]
pub struct TokenFile {
    path: PathBuf,
    /// The folder; its lock is held as long as this lives.
    _folder: File,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, rename = "token")]
    tokens: Vec<WrittenToken>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenToken {
    name: String,
    sha256: String,
    access: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ports: Option<Vec<String>>,
    created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<String>,
}

/// Where tokens are kept if nobody says: in systemd's state directory of the service, else in `/var/lib/uartd` for root, else
/// in the user's own state directory. `None`: the environment names no home.
pub fn default_path() -> Option<PathBuf> {
    let variable = |name| {
        std::env::var_os(name)
            .filter(|value: &OsString| !value.is_empty())
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let folder = variable("STATE_DIRECTORY")
        .or_else(|| {
            rustix::process::geteuid()
                .is_root()
                .then(|| "/var/lib/uartd".into())
        })
        .or_else(|| variable("XDG_STATE_HOME").map(|state| state.join("uartd")))
        .or_else(|| variable("HOME").map(|home| home.join(".local/state/uartd")))?;
    Some(folder.join("tokens.toml"))
}

/// Reads the file. One that does not exist holds no tokens.
///
/// # Errors
/// It cannot be read, others can, or it makes no sense.
pub fn read(path: &Path) -> Result<Tokens, TokenFileError> {
    let io = |doing| {
        move |cause| TokenFileError::Io {
            doing,
            path: path.to_owned(),
            cause,
        }
    };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Tokens::default()),
        file => file.map_err(io("read"))?,
    };
    check_private(path, &file.metadata().map_err(io("look at"))?)?;
    let wrong = |problem: String| TokenFileError::Wrong {
        path: path.to_owned(),
        problem,
    };
    let mut text = String::new();
    file.take(LARGEST + 1)
        .read_to_string(&mut text)
        .map_err(io("read"))?;
    if text.len() as u64 > LARGEST {
        return Err(wrong("it is too big".to_owned()));
    }
    let written: Written = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    understand(written).map_err(wrong)
}

/// # Errors
/// Somebody else may use the file, or owns it: they would decide who is let in.
fn check_private(path: &Path, meta: &fs::Metadata) -> Result<(), TokenFileError> {
    let path = path.to_owned();
    let mode = meta.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(TokenFileError::NotPrivate { path, mode });
    }
    let (owner, us) = (meta.uid(), rustix::process::geteuid().as_raw());
    if owner != us && owner != 0 {
        return Err(TokenFileError::NotOurs { path, owner, us });
    }
    Ok(())
}

impl TokenFile {
    /// Locks the file against others who change it, and reads it. Its folder is made if it is not there.
    ///
    /// # Errors
    /// As [`read`].
    pub fn open(path: &Path) -> Result<(TokenFile, Tokens), TokenFileError> {
        let folder_path = kept_file::folder(path);
        let io = |doing| {
            move |cause: io::Error| TokenFileError::Io {
                doing,
                path: folder_path.to_owned(),
                cause,
            }
        };
        kept_file::make_folder(path).map_err(io("make"))?;
        let folder = File::open(folder_path).map_err(io("open"))?;
        flock(&folder, FlockOperation::LockExclusive).map_err(|error| io("lock")(error.into()))?;
        let tokens = read(path)?;
        let file = TokenFile {
            path: path.to_owned(),
            _folder: folder,
        };
        Ok((file, tokens))
    }

    /// Replaces the file. Who reads it meanwhile gets the old or the new one, also when the power fails.
    ///
    /// # Errors
    /// It could not be written; the old one is still there.
    pub fn replace(&self, tokens: &Tokens) -> Result<(), TokenFileError> {
        if tokens.list().len() > MOST {
            return Err(TokenFileError::Wrong {
                path: self.path.clone(),
                problem: format!("it would have more than {MOST} tokens"),
            });
        }
        kept_file::replace(&self.path, &write(tokens), 0o600).map_err(|(doing, cause)| {
            TokenFileError::Io {
                doing,
                path: self.path.clone(),
                cause,
            }
        })
    }
}

fn write(tokens: &Tokens) -> String {
    let time = |time: SystemTime| humantime::format_rfc3339_seconds(time).to_string();
    let written = Written {
        tokens: tokens
            .list()
            .iter()
            .map(|token| WrittenToken {
                name: token.name.to_string(),
                sha256: token.fingerprint.to_string(),
                access: token.access.to_string(),
                ports: match &token.scope {
                    Scope::All => None,
                    Scope::Only(names) => Some(names.iter().map(PortName::to_string).collect()),
                },
                created: time(token.created),
                expires: token.expires.map(time),
                revoked: token.revoked.map(time),
            })
            .collect(),
    };
    let body = toml::to_string(&written).expect("texts and lists of texts have a form in TOML");
    format!("{HEADING}\n{body}")
}

fn understand(written: Written) -> Result<Tokens, String> {
    if written.tokens.len() > MOST {
        return Err(format!("it has more than {MOST} tokens"));
    }
    let mut names = BTreeSet::new();
    let mut tokens = Vec::new();
    for token in written.tokens {
        let name = port_name(&token.name)?;
        let about = |problem: String| format!("token {name}: {problem}");
        if !names.insert(name.clone()) {
            return Err(about("there are two of this name".to_owned()));
        }
        let time = |text: &str| {
            humantime::parse_rfc3339_weak(text)
                .map_err(|error| about(format!("\"{text}\" is not a time: {error}")))
        };
        let scope = match token.ports {
            None => Scope::All,
            Some(ports) => Scope::Only(
                ports
                    .iter()
                    .map(|name| port_name(name).map_err(about))
                    .collect::<Result<_, _>>()?,
            ),
        };
        tokens.push(Token {
            fingerprint: Fingerprint::parse(&token.sha256)
                .ok_or_else(|| about("sha256 must have 64 hex digits".to_owned()))?,
            access: Access::named(&token.access)
                .ok_or_else(|| about("access must be read, write or admin".to_owned()))?,
            scope,
            created: time(&token.created)?,
            expires: token.expires.as_deref().map(time).transpose()?,
            revoked: token.revoked.as_deref().map(time).transpose()?,
            name,
        });
    }
    Ok(Tokens::new(tokens))
}

fn port_name(text: &str) -> Result<PortName, String> {
    text.parse().map_err(|error: uart_iface::NameError| {
        format!("\"{}\" is not a name: {}", error.text, error.problem)
    })
}
