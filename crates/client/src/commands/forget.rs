//! `uart forget`: the key by which a gateway is known is forgotten.

use anyhow::{Result, bail};

use crate::cli::Common;
use crate::exit::Exit;
use crate::{known_gateways, output};

/// Forget the key by which the gateway is known
///
/// For a gateway whose key was changed on purpose: the next command gets to know it anew.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  uart forget --gateway tls://bench1:8443")]
pub(crate) struct Forget {}

impl Forget {
    pub(crate) fn run(self, common: &Common) -> Result<Exit> {
        if !known_gateways::forget(&common.gateway)? {
            bail!("no key of {} is known", common.gateway);
        }
        output::notice(&format!("the key of {} is forgotten", common.gateway));
        Ok(Exit::Done)
    }
}
