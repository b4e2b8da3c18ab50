//! `uartd tls`: makes the key and certificate by which clients know this gateway, and shows them. Not how TLS is spoken.

use std::path::PathBuf;

use anyhow::Context;
use clap::Subcommand;

use crate::stdio;
use crate::tls::{default_files, make, read_fingerprint};
use crate::token_command::Place;

/// What to do with the key and the certificate.
#[derive(Debug, Subcommand)]
pub enum TlsCommand {
    /// Make a key and a certificate, for listeners that speak TLS
    #[command(
        after_help = "Examples:\n  uartd tls init\n  uartd tls init --name bench1.example.org --name 203.0.113.7\n\n\
        The fingerprint of the key, alone, goes to stdout: clients know the gateway by it."
    )]
    Init {
        /// A name or IP address that the certificate is for, beside this machine's own; may be given several times
        #[arg(short, long = "name", value_name = "NAME")]
        names: Vec<String>,
        /// Replace the key that is there; whoever knows the gateway by it must get to know it anew
        #[arg(long)]
        force: bool,
        /// Beside which file of tokens they are kept
        #[command(flatten)]
        place: Place,
    },
    /// Show where they are, and the fingerprint
    #[command(after_help = "Example:\n  uartd tls show")]
    Show {
        /// Beside which file of tokens they are kept
        #[command(flatten)]
        place: Place,
    },
}

impl TlsCommand {
    /// Does it.
    ///
    /// # Errors
    /// The files cannot be written or read, or are there already.
    pub fn run(&self) -> anyhow::Result<()> {
        match self {
            TlsCommand::Init {
                names,
                force,
                place,
            } => {
                let (certificate, key) = files(place)?;
                let made = make(&certificate, &key, names, *force)?;
                let name = names.first().unwrap_or(&made.names[0]);
                stdio::tell(&format!(
                    "made {} (keep it secret) and {}\n\
                     for {}\n\
                     Next: a token for whoever may use the gateway, and the gateway:\n    \
                     uartd token create NAME --access read\n    \
                     uartd --listen uartnet=0.0.0.0:8443 --tls board0=/dev/ttyUSB0\n\
                     And on the other machine, once, with the token at hand:\n    \
                     uart --gateway tls://{name}:8443 --pin {} login\n\
                     This is the fingerprint of the key:\n",
                    key.display(),
                    certificate.display(),
                    made.names.join(", "),
                    made.fingerprint,
                ));
                Ok(stdio::print(&format!("{}\n", made.fingerprint))?)
            }
            TlsCommand::Show { place } => {
                let (certificate, key) = files(place)?;
                let fingerprint = read_fingerprint(&certificate)?;
                stdio::tell(&format!(
                    "certificate {}\nkey {}\nfingerprint of the key:\n",
                    certificate.display(),
                    key.display(),
                ));
                Ok(stdio::print(&format!("{fingerprint}\n"))?)
            }
        }
    }
}

fn files(place: &Place) -> anyhow::Result<(PathBuf, PathBuf)> {
    let tokens = place.path()?;
    default_files(Some(&tokens)).context("there is no place for the key: give --tokens PATH")
}
