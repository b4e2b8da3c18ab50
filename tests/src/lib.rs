//! Support for the end-to-end tests and for xtask: the two real, freshly built binaries as processes, and peers that
//! speak to them with bytes written by hand. It knows no crate of the workspace, so it cannot share their mistakes.
//!
//! Everything here ends by itself: each wait has [`DEADLINE`], and each process is stopped when its guard is dropped.

mod binaries;
mod board;
mod collected;
mod conformance;
mod content;
mod daemon;
mod peer;
mod process;
mod relay;
mod session;
mod telemetry;
mod terminal;
mod tls;
mod typist;
mod uart;

use std::time::Duration;

pub use binaries::{Binaries, binaries};
pub use board::Board;
pub use collected::Collected;
pub use conformance::{Conformed, conformance};
pub use content::{content, differs_at};
pub use daemon::{Daemon, Listening};
pub use peer::{Peer, frame};
pub use process::{Process, exit_code, send_signal, send_signal_to_group};
pub use relay::{Relay, echo_through_cuts};
pub use rustix::process::Signal;
pub use session::Session;
pub use telemetry::wait_telemetry;
pub use terminal::{Terminal, Tty, make_raw, open_board, read_exactly};
pub use tls::{Authority, Keys, Says, TlsPeer, certificates};
pub use typist::Typist;
pub use uart::{uart, uart_command, uartd, uartd_command};

/// How long anything may take before it counts as hung. Generous on purpose: no test measures speed, and the machine may
/// be busy with something else.
pub const DEADLINE: Duration = Duration::from_secs(60);
