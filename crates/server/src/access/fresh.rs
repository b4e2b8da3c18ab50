//! Sees that the file of tokens has changed, so that a revoked token is of no use at once. Not what then happens; that is
//! the gate's.

use std::rc::Rc;
use std::time::{Duration, Instant};

use uart_iface::watch::{Target, Watch, WatchError};

use super::gate::Gate;

/// How often the file is looked at where changes cannot be told.
const LOOK: Duration = Duration::from_secs(2);

/// Reads the file of tokens again whenever it has changed. Never ends.
pub(crate) async fn keep_fresh(gate: Rc<Gate>) {
    let Some(path) = gate.token_path() else {
        return std::future::pending().await;
    };
    let mut told = false;
    loop {
        let error = match Watch::new([Target::content(&path)]) {
            Ok(watch) => follow(&gate, watch).await,
            Err(error) => error,
        };
        if !told {
            tracing::warn!(%error, "the file of tokens is looked at every {LOOK:?} instead");
            told = true;
        }
        tokio::time::sleep(LOOK).await;
        gate.refresh(Instant::now());
    }
}

async fn follow(gate: &Gate, mut watch: Watch) -> WatchError {
    loop {
        // What changed before it was watched counts too.
        gate.refresh(Instant::now());
        if let Err(error) = watch.changed().await {
            return error;
        }
    }
}
