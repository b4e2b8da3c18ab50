//! What a seed decides before anything happens: how the port is set up, who comes, and what goes wrong.

use std::time::Duration;

use bytes::Bytes;
use uartnet_hub::{HubConfig, OnLag, OnLoss, Profile, ReplyEnd, WritePolicy};

use crate::random::Random;

/// The prompt of a board that has one.
pub(crate) const PROMPT: &str = "=> ";

/// How long a reply may take.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(500);

/// Everything that can go wrong. A seed has some of them, so that each is also met alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A connection breaks, with bytes under way.
    Cut,
    /// A connection will break after so many bytes more.
    CutLater,
    /// A peer vanishes without a word.
    Vanish,
    /// Nobody can connect for a while.
    Unreachable,
    /// A client stops for a while: it reads nothing and says nothing.
    Freeze,
    /// The device vanishes, and comes back later.
    Unplug,
    /// The UART takes nothing for a while.
    HoldUp,
    /// The daemon is killed, and started again.
    Kill,
    /// The daemon is stopped gracefully, and started again.
    Stop,
    /// The daemon reads another configuration: see `reload.rs`.
    Reload,
}

pub(crate) const FAULTS: &[Fault] = &[
    Fault::Cut,
    Fault::CutLater,
    Fault::Vanish,
    Fault::Unreachable,
    Fault::Freeze,
    Fault::Unplug,
    Fault::HoldUp,
    Fault::Kill,
    Fault::Stop,
    Fault::Reload,
];

/// One run's circumstances.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) hub: HubConfig,
    /// Over which protocol bytes are written and read as they are.
    pub(crate) stream: &'static str,
    pub(crate) max_frame: usize,
    /// How many bytes a connection holds each way.
    pub(crate) capacity: usize,
    /// Whether the UART can be left unread without loss.
    pub(crate) can_pause: bool,
    pub(crate) echo: bool,
    /// Whether the board speaks unasked.
    pub(crate) chatter: bool,
    pub(crate) cancels: bool,
    /// How late a reply can be.
    pub(crate) latest: Duration,
    pub(crate) faults: Vec<Fault>,
    pub(crate) followers: usize,
    /// How many things happen.
    pub(crate) events: usize,
}

impl Plan {
    pub(crate) fn new(random: &mut Random) -> Plan {
        let stream = random.pick(&["raw", "rfc2217"]);
        let some = random.percent(85);
        let faults: Vec<Fault> = FAULTS
            .iter()
            .copied()
            .filter(|_| some && random.percent(40))
            .collect();
        let prompt = ReplyEnd::Prompt(Bytes::from_static(PROMPT.as_bytes()));
        let quiet = ReplyEnd::Quiet(Duration::from_millis(50));
        let end = match random.below(3) {
            0 => ReplyEnd::Line { count: 1 },
            1 => prompt,
            _ => quiet,
        };
        // Silence is no end of a reply where the board never falls silent.
        let chatter = random.percent(60) && !matches!(end, ReplyEnd::Quiet(_));
        let echo = random.percent(60);
        let cancels = random.percent(30);
        let profile = Profile {
            timeout: TIMEOUT,
            ..Profile::new(end)
        };
        // How late a reply may be and still not be taken for the next one's: see `crates/hub/src/ask.rs`.
        let latest = if chatter || cancels || faults.contains(&Fault::HoldUp) {
            TIMEOUT * 9 / 10
        } else if echo {
            TIMEOUT * 4
        } else {
            TIMEOUT * 17 / 10
        };
        Plan {
            hub: hub(random, profile),
            stream,
            max_frame: random.pick(&[200, 1000, 65_536]),
            capacity: random.pick(&[20, 100, 1000, 10_000]),
            can_pause: random.percent(50),
            echo,
            chatter,
            cancels,
            latest,
            faults,
            followers: random.between(1, 5),
            events: random.between(20, 80),
        }
    }
}

/// How a port is shared: any way there is.
pub(crate) fn hub(random: &mut Random, profile: Profile) -> HubConfig {
    HubConfig {
        history: random.pick(&[64, 300, 1000, 4000]),
        write: random.pick(&[
            WritePolicy::Shared,
            WritePolicy::Shared,
            WritePolicy::Exclusive,
        ]),
        lease_idle: random.percent(30).then_some(Duration::from_secs(1)),
        on_lag: random.pick(&[OnLag::Auto, OnLag::Gap, OnLag::Disconnect, OnLag::Stall]),
        stall_limit: Duration::from_millis(200),
        on_loss: random.pick(&[OnLoss::Discard, OnLoss::Discard, OnLoss::Keep]),
        write_queue: random.pick(&[16, 100, 1000]),
        ask_queue: random.pick(&[2, 50]),
        ask_wait: random.pick(&[TIMEOUT, 20 * TIMEOUT]),
        typing_hold: Duration::ZERO,
        profile: Some(profile),
        sequences: Vec::new(),
        byte_pacing: Duration::from_millis(u64::from(random.percent(10))),
        line_pacing: Duration::ZERO,
    }
}
