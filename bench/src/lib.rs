//! What measures `uartd`: boards on pseudo-terminals, the servers that are compared, workloads with checked content, and the
//! kernel's accounting. Not a test: what is asserted of behaviour stands in `tests/`; what stands here are ratios.

pub mod content;
pub mod goal;
pub mod kernel;
pub mod peer;
pub mod plot;
pub mod report;
pub mod stats;
pub mod subject;
pub mod tty;
pub mod workload;
