//! Sees that the file of tokens has changed, so that a revoked token is of no use at once. Not what then happens; that is
//! the gate's.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::gate::Gate;
use crate::kept_file;

/// Reads the file of tokens again whenever it has changed. Never ends.
pub(crate) async fn keep_fresh(gate: Rc<Gate>) {
    let Some(path) = gate.token_path() else {
        return std::future::pending().await;
    };
    let refresh = || gate.refresh(Instant::now());
    kept_file::keep_fresh("the file of tokens", &[path], Duration::ZERO, refresh).await;
}
