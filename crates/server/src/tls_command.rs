//! `uartd tls`: makes the key and certificate by which clients know this gateway, and shows them; and the certificates by which
//! it knows its clients. Not how TLS is spoken.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Subcommand;
use uart_iface::PortName;

use crate::stdio;
use crate::tls::{Authority, default_files, make, read_fingerprint};
use crate::token_command::{Grants, Place, lifetime};

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
    /// Make an authority that signs the certificates of clients, for listeners with client_ca
    #[command(after_help = "Example:\n  uartd tls ca >> uartd.toml\n\n\
        The line for the [[listen]] that is to ask for certificates, alone, goes to stdout.")]
    Ca {
        /// Replace the authority that is there; no certificate that it has signed is accepted any more
        #[arg(long)]
        force: bool,
        /// Beside which file of tokens it is kept
        #[command(flatten)]
        place: Place,
    },
    /// Make a key and a certificate for a client, signed by the authority of uartd tls ca
    #[command(
        after_help = "Examples:\n  uartd tls client ci --port board0 --access write >> uartd.toml\n  \
        uartd tls client anna --access admin --expires 1y --out anna.pem\n\n\
        The [[identity]] of the configuration, alone, goes to stdout: uartd reload puts it in force."
    )]
    Client {
        /// What it is called, in logs and to other clients
        name: PortName,
        /// What it grants
        #[command(flatten)]
        grants: Grants,
        /// For how long: 90d, 12h, 1y [default: until its identity is taken out]
        #[arg(short, long, value_name = "TIME", value_parser = lifetime)]
        expires: Option<Duration>,
        /// The file of its key and certificate [default: NAME.pem]
        #[arg(short, long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Replace the file that is there
        #[arg(long)]
        force: bool,
        /// Beside which file of tokens the authority is kept
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
            TlsCommand::Ca { force, place } => {
                let authority = Authority::beside(&files(place)?.0);
                authority.make(*force)?;
                let certificate = std::path::absolute(&authority.certificate)?;
                stdio::tell(&format!(
                    "made {} (keep it secret) and {}\n\
                     Next: a certificate for whoever may use the gateway, and its lines in the configuration:\n    \
                     uartd tls client NAME --access read >> uartd.toml\n\
                     The [[listen]] that is to ask for certificates gets this, beside tls = true:\n",
                    authority.key.display(),
                    certificate.display(),
                ));
                let line = toml_line("client_ca", &certificate.display().to_string());
                Ok(stdio::print(&line)?)
            }
            TlsCommand::Client {
                name,
                grants: Grants { ports, access },
                expires,
                out,
                force,
                place,
            } => {
                let authority = Authority::beside(&files(place)?.0);
                let file = match out {
                    Some(file) => file.clone(),
                    None => PathBuf::from(format!("{name}.pem")),
                };
                let fingerprint = authority.make_client(&file, name.as_str(), *expires, *force)?;
                let shown = file.display();
                stdio::tell(&format!(
                    "made {shown}: a key and its certificate; bring it to {name} by a way that others do not see\n\
                     There: uart --cert {shown} --gateway tls://…, or socat OPENSSL:…,cert={shown}\n\
                     The configuration of the gateway gets this:\n",
                ));
                let mut table = String::from("\n[[identity]]\n");
                table += &toml_line("name", name.as_str());
                table += &toml_line("fingerprint", &fingerprint.to_string());
                table += &toml_line("access", &access.to_string());
                if !ports.is_empty() {
                    let ports: Vec<String> =
                        ports.iter().map(|port| format!("\"{port}\"")).collect();
                    table += &format!("ports = [{}]\n", ports.join(", "));
                }
                Ok(stdio::print(&table)?)
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

/// A key and a text, as TOML.
fn toml_line(key: &str, text: &str) -> String {
    format!("{key} = {}\n", toml::Value::from(text))
}

fn files(place: &Place) -> anyhow::Result<(PathBuf, PathBuf)> {
    let tokens = place.path()?;
    default_files(Some(&tokens)).context("there is no place for the key: give --tokens PATH")
}
