//! `cargo xtask demo`: uartnet at work.

use anyhow::{Result, bail};

/// What `cargo xtask demo` can be told.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Leave the gateway running at the end, until Ctrl-C
    #[arg(long)]
    keep: bool,
}

/// TODO
pub(crate) fn demo(_options: &Options) -> Result<()> {
    bail!("not written yet")
}
