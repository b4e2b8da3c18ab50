//! How to talk to a board's interpreter: what ends a command, what an echo is, and where a reply ends. Sans-IO: time is an
//! argument. It does not know whose turn it is, nor what becomes of a reply that comes too late: those are the hub's
//! decisions, and a client that asks through a gateway which is not uartnet's has neither question.

mod profile;
mod reply;

pub use profile::{Profile, ReplyEnd};
pub use reply::{Echoes, Found, Reply, SETTLE, prompt_at_end};
