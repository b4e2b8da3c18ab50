//! A client's bytes on their way into the hub: what its write queue has no room for is held, and nothing more is taken from
//! the client until it is gone. Not what the hub does with them.

use std::time::Instant;

use bytes::{Buf, Bytes};
use uartnet_hub::Refusal;

use crate::gateway::PortClient;

/// The write side of one client.
#[derive(Debug)]
pub(super) struct Writer {
    /// The write offset of the next byte the hub will accept.
    next: u64,
    held: Option<Box<Held>>,
    /// The write offset below which everything was written or lost.
    settled: u64,
}

/// What the hub had no room for; never empty.
#[derive(Debug)]
struct Held {
    bytes: Bytes,
    /// How often the device had been lost then; `None`: they may wait for the next one.
    since: Option<u64>,
}

impl Writer {
    /// A writer whose first byte has this write offset.
    pub(super) fn new(next: u64) -> Writer {
        Writer {
            next,
            held: None,
            settled: next,
        }
    }

    /// The write offset of the next byte, were everything held accepted.
    pub(super) fn end(&self) -> u64 {
        self.next + self.held_len() as u64
    }

    /// Whether bytes are held: the client must not be read.
    pub(super) fn holds(&self) -> bool {
        self.held.is_some()
    }

    /// How many bytes are held.
    pub(super) fn held_len(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.bytes.len())
    }

    /// How many bytes are held, or accepted and neither written nor lost.
    pub(super) fn unsettled(&self) -> u64 {
        self.end() - self.settled
    }

    /// Whether bytes are held, or accepted and neither written nor lost.
    pub(super) fn is_unsettled(&self) -> bool {
        self.unsettled() > 0
    }

    /// Everything below this write offset was written or lost.
    pub(super) fn settle(&mut self, up_to: u64) {
        self.settled = self.settled.max(up_to);
    }

    /// Queues bytes behind each other. What there is no room for now is held.
    ///
    /// # Errors
    /// The hub does not accept them; [`Writer::end`] says how far it did. Nothing is held then.
    pub(super) fn push(
        &mut self,
        now: Instant,
        client: &PortClient,
        bytes: &[u8],
    ) -> Result<(), Refusal> {
        debug_assert!(
            !self.holds(),
            "the client must not be read while bytes are held"
        );
        let accepted = self.hand_over(now, client, bytes)?;
        let bytes = &bytes[accepted..];
        if !bytes.is_empty() {
            self.held = Some(Box::new(Held {
                bytes: Bytes::copy_from_slice(bytes),
                since: client.port().losses_that_discard(),
            }));
        }
        Ok(())
    }

    /// Tries again with what is held. If the device was lost meanwhile, that was meant for a device that is no more, unless
    /// the port [keeps](uartnet_hub::OnLoss::Keep) it.
    ///
    /// # Errors
    /// As [`Writer::push`].
    pub(super) fn resume(&mut self, now: Instant, client: &PortClient) -> Result<(), Refusal> {
        let Some(mut held) = self.held.take() else {
            return Ok(());
        };
        let losses = client.port().losses_that_discard();
        if losses != held.since {
            return Err(Refusal::Absent {
                reason: "it was lost while these bytes waited for room".to_owned(),
            });
        }
        match self.hand_over(now, client, &held.bytes) {
            Ok(accepted) => held.bytes.advance(accepted),
            Err(Refusal::Absent { .. }) if losses.is_none() => {}
            Err(refusal) => return Err(refusal),
        }
        self.held = Some(held).filter(|held| !held.bytes.is_empty());
        Ok(())
    }

    /// Says how many bytes there was room for.
    fn hand_over(
        &mut self,
        now: Instant,
        client: &PortClient,
        bytes: &[u8],
    ) -> Result<usize, Refusal> {
        let mut rest = bytes;
        let mut len = rest.len();
        while len > 0 {
            match client.write(now, &rest[..len]) {
                Ok(()) => {
                    self.next += len as u64;
                    rest = &rest[len..];
                    len = rest.len();
                }
                // Larger than the queue will ever have room for: it goes in pieces, and others may come between them.
                Err(Refusal::Busy { limit, .. })
                    if len > limit.div_ceil(2) && rest.len() > limit =>
                {
                    len = limit.div_ceil(2).max(1).min(len - 1);
                }
                Err(Refusal::Busy { .. }) => break,
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(bytes.len() - rest.len())
    }
}
