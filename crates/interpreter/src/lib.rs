//! How to talk to a board's interpreter: what ends a command, what an echo is, and where a reply ends. Sans-IO: time is an
//! argument. It does not know whose turn it is, nor what becomes of a reply that comes too late: those are the hub's
//! decisions, and a client that asks through a gateway which is not uartnet's has neither question.

mod at;
mod lines;
mod modbus;
mod pattern;
mod profile;
mod profiles;
mod raw_repl;
mod reply;
mod text;

pub use pattern::{LONGEST_PATTERN, Pattern, PatternError};
pub use profile::{CommandError, Profile, Prompt, Recovery, ReplyEnd, Until};
pub use profiles::{Kind, Missing, PROFILES, Settings, find};
pub use reply::{Echoes, Found, Refused, Reply, SETTLE};
pub use text::prompt_at_end;
