//! `uartd token`: makes, lists and revokes tokens, in the file a running daemon watches. Not who is let in by them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use clap::Subcommand;
use uart_iface::PortName;
use uartnet_hub::Access;

use crate::access::{Scope, Secret, Token, TokenFile, Tokens, default_path, read};
use crate::config::{self, Given};
use crate::kept_file;
use crate::stdio;

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token, and show its secret this once
    #[command(after_help = "Examples:\n  uartd token create anna --access admin\n  \
        uartd token create ci --port board0 --access read --expires 90d --out ci.token\n\n\
        The secret alone goes to stdout, or into a new file that nobody else may read. Who has it says: uart login")]
    Create {
        /// What it is called, in logs and to other clients
        name: String,
        /// What it grants
        #[command(flatten)]
        grants: Grants,
        /// For how long: 90d, 12h, 1y [default: until it is revoked]
        #[arg(short, long, value_name = "TIME", value_parser = lifetime)]
        expires: Option<Duration>,
        /// Write the secret into this file, which must not be there yet and is for nobody else, and not to stdout
        #[arg(short, long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Where tokens are kept
        #[command(flatten)]
        place: Place,
    },
    /// List the tokens, without their secrets
    #[command(after_help = "Example:\n  uartd token list")]
    List {
        /// Where tokens are kept
        #[command(flatten)]
        place: Place,
    },
    /// Revoke a token; who uses it is shown out at once
    #[command(after_help = "Example:\n  uartd token revoke ci")]
    Revoke {
        /// The token
        name: String,
        /// Where tokens are kept
        #[command(flatten)]
        place: Place,
    },
}

/// What a credential grants.
#[derive(Debug, clap::Args)]
pub struct Grants {
    /// A port it is for; may be given several times [default: every port]
    #[arg(short, long = "port", value_name = "PORT")]
    pub(crate) ports: Vec<PortName>,
    /// What it allows: read, write (read, write, ask, control) or admin (all that, and steal a lease)
    #[arg(short, long, default_value = "read", value_parser = access)]
    pub(crate) access: Access,
}

/// Where tokens are kept.
#[derive(Debug, clap::Args)]
pub struct Place {
    /// The configuration of the daemon, which says where tokens are kept
    #[arg(short, long, value_name = "FILE", conflicts_with = "tokens")]
    config: Option<PathBuf>,
    /// The file of tokens
    #[arg(long, value_name = "PATH")]
    tokens: Option<PathBuf>,
}

impl TokenCommand {
    /// Does it.
    ///
    /// # Errors
    /// The file cannot be used, or there is no such token, or there is one.
    pub fn run(&self) -> anyhow::Result<()> {
        let now = SystemTime::now();
        match self {
            TokenCommand::Create {
                name,
                grants: Grants { ports, access },
                expires,
                out,
                place,
            } => {
                let secret = Secret::generate()
                    .ok()
                    .context("the operating system has no random bytes")?;
                let token = Token {
                    name: token_name(name)?,
                    fingerprint: secret.fingerprint(),
                    access: *access,
                    scope: if ports.is_empty() {
                        Scope::All
                    } else {
                        Scope::Only(ports.iter().cloned().collect())
                    },
                    created: now,
                    expires: expires.and_then(|long| now.checked_add(long)),
                    revoked: None,
                };
                let path = place.path()?;
                let told = described(&token, &path, out.as_deref());
                let shown = format!("{}\n", secret.reveal());
                if let Some(out) = out {
                    kept_file::write_new(out, &shown, 0o600)
                        .with_context(|| format!("cannot write a new file {}", out.display()))?;
                }
                if let Err(error) = create(&path, token, now) {
                    // What is in it is of no use.
                    out.as_ref().map(fs::remove_file);
                    return Err(error);
                }
                stdio::tell(&told);
                match out {
                    Some(_) => Ok(()),
                    None => Ok(stdio::print(&shown)?),
                }
            }
            TokenCommand::List { place } => {
                let tokens = read(&place.path()?)?;
                Ok(stdio::print(&table(&tokens, now))?)
            }
            TokenCommand::Revoke { name, place } => revoke(&place.path()?, name, now),
        }
    }
}

impl Place {
    /// The file of tokens.
    ///
    /// # Errors
    /// The configuration is wrong, or there is no place.
    pub(crate) fn path(&self) -> anyhow::Result<PathBuf> {
        if let Some(path) = &self.tokens {
            return Ok(path.clone());
        }
        let path = match &self.config {
            None => default_path(),
            Some(file) => {
                let given = Given {
                    file: Some(file.clone()),
                    ..Given::default()
                };
                config::load(&given)?.config.gateway.tokens
            }
        };
        path.context("there is no place for tokens: give --tokens PATH")
    }
}

fn create(path: &Path, token: Token, now: SystemTime) -> anyhow::Result<()> {
    let (file, tokens) = TokenFile::open(path)?;
    let name = token.name.clone();
    if let Some(known) = tokens.named(name.as_str())
        && known.check(now).is_ok()
    {
        bail!("there is a token {name} already; revoke it first, or choose another name");
    }
    // One that is no longer in force makes room for its successor.
    let others = tokens.list().iter().filter(|known| known.name != name);
    let all = others.map(|known| (**known).clone()).chain([token]);
    Ok(file.replace(&Tokens::new(all))?)
}

fn revoke(path: &Path, name: &str, now: SystemTime) -> anyhow::Result<()> {
    let (file, tokens) = TokenFile::open(path)?;
    let Some(token) = tokens.named(name) else {
        bail!(
            "there is no token \"{}\" in {}",
            harmless(name),
            path.display()
        );
    };
    if token.revoked.is_some() {
        bail!("token {} was revoked before", token.name);
    }
    let all = tokens.list().iter().map(|known| Token {
        revoked: if known.name == token.name {
            Some(now)
        } else {
            known.revoked
        },
        ..(**known).clone()
    });
    file.replace(&Tokens::new(all))?;
    stdio::tell(&format!("token {name} is revoked\n"));
    Ok(())
}

fn described(token: &Token, path: &Path, out: Option<&Path>) -> String {
    let expires = match token.expires {
        None => "until it is revoked".to_owned(),
        Some(expires) => format!("until {}", date(expires)),
    };
    let secret = match out {
        None => "This is its secret. It is not shown again:".to_owned(),
        Some(out) => format!(
            "Its secret is in {0}, and nowhere else; who has it says: uart login < {0}",
            out.display()
        ),
    };
    format!(
        "token {}: {} access to {}, {expires}; kept in {}\n{secret}\n",
        token.name,
        token.access,
        ports(&token.scope),
        path.display()
    )
}

fn table(tokens: &Tokens, now: SystemTime) -> String {
    let mut rows =
        vec![["NAME", "ACCESS", "PORTS", "CREATED", "EXPIRES", "STATE"].map(str::to_owned)];
    for token in tokens.list() {
        rows.push([
            token.name.to_string(),
            token.access.to_string(),
            ports(&token.scope),
            date(token.created),
            token.expires.map_or("never".to_owned(), date),
            match (token.revoked, token.check(now)) {
                (Some(_), _) => "revoked",
                (None, Ok(())) => "in force",
                (None, Err(_)) => "expired",
            }
            .to_owned(),
        ]);
    }
    stdio::columns(&rows)
}

fn ports(scope: &Scope) -> String {
    match scope {
        Scope::All => "all ports".to_owned(),
        Scope::Only(names) => {
            let names: Vec<&str> = names.iter().map(PortName::as_str).collect();
            names.join(",")
        }
    }
}

fn date(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// A name as it may be sent to a terminal.
fn harmless(name: &str) -> String {
    name.chars().take(80).flat_map(char::escape_debug).collect()
}

/// The same characters as in a port's name, so that it is one word wherever it stands.
fn token_name(text: &str) -> anyhow::Result<PortName> {
    text.parse().map_err(|error: uart_iface::NameError| {
        let name = harmless(text);
        anyhow::anyhow!("\"{name}\" is not a token name: {}", error.problem)
    })
}

/// How much somebody may do, as it is typed.
fn access(text: &str) -> Result<Access, String> {
    Access::named(text).ok_or_else(|| "write read, write or admin".to_owned())
}

/// How long something is in force, as it is typed.
pub(crate) fn lifetime(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(long) if !long.is_zero() => Ok(long),
        _ => Err("write a time such as 90d, 12h or 1y".to_owned()),
    }
}
