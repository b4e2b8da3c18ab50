//! What must hold for any input, as one plain function each that panics where it does not. Whether the input comes from
//! libFuzzer (`fuzz/libfuzzer`) or from the corpus that every `cargo test` replays makes no difference to them.
//!
//! A target says more than "it does not crash": it compares with a plain reference, or holds the code to what its
//! documentation promises. What was once found is kept in `fuzz/corpus`, so it is never found twice.

mod choices;
mod config;
mod frames;
mod hub;
mod messages;
mod reload;
mod rfc2217;
mod session;
mod spec;
mod telnet;

pub use config::config;
pub use frames::frames;
pub use hub::hub;
pub use messages::messages;
pub use reload::reload;
pub use rfc2217::rfc2217;
pub use session::session;
pub use spec::spec;
pub use telnet::telnet;

/// One target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: that of its function, of its file in `fuzz/libfuzzer/fuzz_targets`, of its folder in `fuzz/corpus`.
    pub name: &'static str,
    /// Panics if what must hold does not.
    pub run: fn(&[u8]),
}

/// Every target. A new one is a function, a line here, a corpus, and an entry in `fuzz/libfuzzer`.
pub const TARGETS: &[Target] = &[
    Target {
        name: "telnet",
        run: telnet,
    },
    Target {
        name: "rfc2217",
        run: rfc2217,
    },
    Target {
        name: "frames",
        run: frames,
    },
    Target {
        name: "messages",
        run: messages,
    },
    Target {
        name: "spec",
        run: spec,
    },
    Target {
        name: "config",
        run: config,
    },
    Target {
        name: "hub",
        run: hub,
    },
    Target {
        name: "session",
        run: session,
    },
    Target {
        name: "reload",
        run: reload,
    },
];
