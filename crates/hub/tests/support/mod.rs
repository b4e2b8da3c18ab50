//! A hub with a clock of its own, and short ways to speak to it.
#![allow(dead_code, unreachable_pub)] // a module of several test programs, each of which uses a part of it

pub mod model;

use std::time::{Duration, Instant};

use bytes::Bytes;
use uart_iface::{InputSignals, LineSettings, OutputSignals};
use uartnet_hub::*;

pub const MS: Duration = Duration::from_millis(1);

pub fn config() -> HubConfig {
    HubConfig {
        history: 1 << 20,
        write: WritePolicy::Shared,
        lease_idle: None,
        on_lag: OnLag::Auto,
        stall_limit: Duration::from_secs(1),
        write_queue: 64 * 1024,
        on_loss: OnLoss::Discard,
        ask_queue: 64,
        ask_wait: LONGEST_TIMEOUT,
        typing_hold: Duration::ZERO,
        profile: None,
        sequences: Vec::new(),
        byte_pacing: Duration::ZERO,
        line_pacing: Duration::ZERO,
    }
}

pub fn present() -> DeviceState {
    DeviceState::Present {
        line: LineSettings::default(),
        outputs: OutputSignals::ASSERTED,
        inputs: InputSignals::ABSENT_LINES,
    }
}

pub fn client(label: &str) -> Attach {
    Attach {
        label: label.into(),
        access: Access::Write,
        read: None,
        on_lag: None,
        can_carry_gap: true,
        writer: None,
    }
}

pub fn reader(label: &str, read: ReadFrom) -> Attach {
    Attach {
        read: Some(read),
        ..client(label)
    }
}

/// A hub, and the time it is told.
pub struct Bench {
    pub hub: Hub,
    pub now: Instant,
}

impl Bench {
    /// The device is there and can be paused.
    pub fn new(config: HubConfig) -> Bench {
        let mut bench = Bench {
            hub: Hub::new(config, Epoch(1)),
            now: Instant::now(),
        };
        bench.hub.handle_opened(bench.now, present(), true);
        bench
    }

    /// Attaches and takes the state notice.
    pub fn attach(&mut self, attach: Attach) -> ClientId {
        let id = self.hub.attach(self.now, attach).client;
        assert!(matches!(self.poll(id), Some(Notice::State { .. })));
        id
    }

    pub fn poll(&mut self, id: ClientId) -> Option<Notice> {
        self.hub.poll_notice(self.now, id, usize::MAX)
    }

    /// Everything there is to tell.
    pub fn notices(&mut self, id: ClientId) -> Vec<Notice> {
        std::iter::from_fn(|| self.poll(id)).collect()
    }

    pub fn data(&mut self, bytes: impl AsRef<[u8]>) {
        self.hub.handle_uart_data(self.now, bytes.as_ref());
    }

    pub fn write(&mut self, id: ClientId, text: &str) -> Result<(), Refusal> {
        self.hub.write(self.now, id, text.as_bytes())
    }

    /// The UART takes everything it is offered now.
    pub fn transmit(&mut self) -> Vec<u8> {
        let mut taken = Vec::new();
        while let Some(bytes) = self.hub.poll_transmit(self.now) {
            let count = bytes.len();
            taken.extend_from_slice(bytes);
            self.hub.handle_transmitted(self.now, count);
        }
        taken
    }

    /// Time passes, with a look at every deadline on the way.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.hub.poll_timeout().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.hub.handle_timeout(self.now);
            assert!(
                self.hub.poll_timeout().is_none_or(|next| next > self.now),
                "no progress at a deadline"
            );
        }
        self.now = end;
        self.hub.handle_timeout(end);
    }

    pub fn wakes(&mut self) -> Vec<ClientId> {
        std::iter::from_fn(|| self.hub.poll_wake()).collect()
    }
}

pub fn data(offset: u64, bytes: &str) -> Notice {
    Notice::Data {
        offset: Offset(offset),
        bytes: Bytes::copy_from_slice(bytes.as_bytes()),
    }
}
