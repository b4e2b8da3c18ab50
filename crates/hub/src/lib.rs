//! One port's shared life as a pure state machine: history by absolute offset, readers and their gaps, who may write,
//! asks and the matching of their replies, control operations with timing. It knows no tokio, no socket, no protocol
//! and no clock: `now` is an argument.
//!
//! [`Hub`] has four kinds of methods, told apart by name:
//!
//! - **getters**;
//! - **`handle_*`**: the world spoke (the UART delivered bytes, took bytes, vanished; time passed);
//! - **commands** (`attach`, `write`, `ask`, `control`, …): a client spoke;
//! - **`poll_*`**: what to do now. After any of the above, the owner asks `poll_wake` until it has nothing more, and the
//!   port's task does `poll_action`, `poll_transmit`, and sleeps until `poll_timeout`.
//!
//! The port's task reads at most [`Hub::read_size`] bytes at once, and not while [`Hub::reading_paused`], which any of
//! these methods may change: that is what makes "a laggard that is waited for loses nothing" true.
//! It must read the UART until it has nothing more *before* it transmits: that is what makes "bytes which
//! arrived before the command are never part of its reply" true.

mod arbiter;
mod ask;
mod bundle;
mod client;
mod control;
mod history;
mod hub;
mod journal;
mod line_hold;
mod queue;
mod reader;
mod resync;
mod right;
mod sequencer;
mod slots;
mod step;
mod time;
mod transmit;
mod typing;
mod vocabulary;
mod writer;

pub use control::{Action, ActionDone, Control, ControlError, StepPlace, StepTime};
pub use hub::{Hub, HubConfig};
pub use journal::{AskEnd, Happening, LogPlace, Logged};
pub use right::Right;
pub use step::{Expected, Sequence, SequenceError, Step, unescape};
pub use uartnet_interpreter::{Profile, ReplyEnd};
pub use vocabulary::*;
