//! What the reads of a master in packet mode say, and in which order it was done. Pure.
//!
//! A status byte overtakes the bytes that were written before it. How many wait at that moment is known (TIOCINQ), not
//! which of them were written before the change and which right after. A program sets its port up before it writes, so
//! a change that comes before the first byte since it opened the device also comes before the bytes that wait; a later
//! change comes after them, as when the board is told a new baud rate and then the port.

use std::collections::VecDeque;

use super::Carried;
use crate::Purge;

// The bits of a status byte, asm-generic/ioctls.h.
const FLUSH_READ: u8 = 1;
const FLUSH_WRITE: u8 = 2;
const NO_STOP: u8 = 16;
const DO_STOP: u8 = 32;
const IOCTL: u8 = 64;

/// One read of a master in packet mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    /// Bytes that were written.
    Data(&'a [u8]),
    /// Something was done to the terminal.
    Status {
        /// Queues were thrown away: received bytes, written ones, or both.
        purged: Option<Purge>,
        /// Settings may have changed.
        settings: bool,
    },
}

impl Packet<'_> {
    pub(super) fn parse(read: &[u8]) -> Packet<'_> {
        match read {
            [] => Packet::Data(&[]),
            [0, bytes @ ..] => Packet::Data(bytes),
            [status, ..] => Packet::Status {
                purged: match (status & FLUSH_READ != 0, status & FLUSH_WRITE != 0) {
                    (true, true) => Some(Purge::Both),
                    (true, false) => Some(Purge::Receive),
                    (false, true) => Some(Purge::Transmit),
                    (false, false) => None,
                },
                // Without EXTPROC a change of flow control is told all the same.
                settings: status & (IOCTL | DO_STOP | NO_STOP) != 0,
            },
        }
    }
}

/// Puts changes of settings where they belong among the bytes.
#[derive(Debug)]
pub(super) struct Packets {
    /// Changes to come, each with how many bytes are to be read between the one before it (or now) and it.
    held: VecDeque<(usize, Carried)>,
    /// Nothing has been written since the device was opened.
    fresh: bool,
}

impl Default for Packets {
    fn default() -> Packets {
        Packets {
            held: VecDeque::new(),
            fresh: true,
        }
    }
}

impl Packets {
    /// A program opened the device.
    pub(super) fn handle_opened(&mut self) {
        self.fresh = true;
    }

    /// So many bytes were read, no more than [`Packets::read_limit`].
    pub(super) fn handle_data(&mut self, count: usize) {
        self.fresh &= count == 0;
        if let Some((before, _)) = self.held.front_mut() {
            *before = before.saturating_sub(count);
        }
    }

    /// The settings are these, while so many bytes wait to be read.
    pub(super) fn handle_settings(&mut self, settings: Carried, queued: usize) {
        let before = if self.fresh { 0 } else { queued };
        let waited_for: usize = self.held.iter().map(|(before, _)| before).sum();
        match (before.saturating_sub(waited_for), self.held.back_mut()) {
            (0, Some((_, held))) => *held = settings,
            (more, _) => self.held.push_back((more, settings)),
        }
    }

    /// A change whose turn it is.
    pub(super) fn poll_settings(&mut self) -> Option<Carried> {
        self.held
            .pop_front_if(|(before, _)| *before == 0)
            .map(|(_, settings)| settings)
    }

    /// Whether a change waits for the bytes before it.
    pub(super) fn holds_settings(&self) -> bool {
        !self.held.is_empty()
    }

    /// How many bytes may be read before [`Packets::poll_settings`] is asked again, at most `most`.
    pub(super) fn read_limit(&self, most: usize) -> usize {
        match self.held.front() {
            Some((before, _)) => most.min(*before).max(1),
            None => most,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn settings(baud: u32) -> Carried {
        Carried::of(format!("{baud}-8n1").parse().unwrap())
    }

    #[test]
    fn every_status_byte_is_understood() {
        let status = |purged, settings| Packet::Status { purged, settings };
        for (read, packet) in [
            (&b""[..], Packet::Data(b"")),
            (b"\0", Packet::Data(b"")),
            (b"\0\0@", Packet::Data(b"\0@")),
            (b"\x40", status(None, true)),
            (b"\x50", status(None, true)),
            (b"\x20", status(None, true)),
            (b"\x01", status(Some(Purge::Receive), false)),
            (b"\x02", status(Some(Purge::Transmit), false)),
            (b"\x03", status(Some(Purge::Both), false)),
            (b"\x41", status(Some(Purge::Receive), true)),
            (b"\x0c", status(None, false)),
        ] {
            assert_eq!(Packet::parse(read), packet, "{read:?}");
        }
    }

    #[test]
    fn a_change_comes_after_what_was_written_before_it() {
        let mut packets = Packets::default();
        packets.handle_data(1);
        packets.handle_settings(settings(9600), 10);
        assert_eq!(packets.poll_settings(), None);
        assert_eq!(packets.read_limit(4096), 10);
        packets.handle_data(4);
        packets.handle_settings(settings(4800), 8);
        assert_eq!(packets.read_limit(4096), 6);
        packets.handle_data(6);
        assert_eq!(packets.poll_settings(), Some(settings(9600)));
        assert_eq!(packets.read_limit(4096), 2);
        packets.handle_data(2);
        assert_eq!(packets.poll_settings(), Some(settings(4800)));
        assert_eq!(packets.poll_settings(), None);
    }

    #[test]
    fn the_first_change_after_opening_comes_before_what_waits() {
        let mut packets = Packets::default();
        packets.handle_settings(settings(9600), 3);
        assert_eq!(packets.poll_settings(), Some(settings(9600)));
        packets.handle_data(3);
        packets.handle_settings(settings(4800), 3);
        assert_eq!(packets.poll_settings(), None);
        packets.handle_data(3);
        assert_eq!(packets.poll_settings(), Some(settings(4800)));
        packets.handle_opened();
        packets.handle_settings(settings(2400), 3);
        assert_eq!(packets.poll_settings(), Some(settings(2400)));
    }

    #[derive(Debug, Clone)]
    enum Op {
        Write(usize),
        Change(u32),
        Read(usize),
    }

    proptest! {
        /// A program that writes and changes settings while the reader is slow: the changes arrive in order, and each
        /// after exactly the bytes that were written before it, unless one replaced the other at the same place.
        #[test]
        fn changes_keep_their_place_among_the_bytes(ops in prop::collection::vec(prop_oneof![
            (1..50_usize).prop_map(Op::Write),
            (1..1000_u32).prop_map(Op::Change),
            (1..50_usize).prop_map(Op::Read),
        ], 0..60)) {
            let mut packets = Packets::default();
            packets.handle_data(1);
            let (mut written, mut read) = (0, 0);
            let mut expected: Vec<(usize, Carried)> = Vec::new();
            let mut told = Vec::new();
            let mut take = |packets: &mut Packets, read: &mut usize, written: usize, most: usize| {
                while let Some(settings) = packets.poll_settings() {
                    told.push((*read, settings));
                }
                let count = packets.read_limit(most).min(written - *read);
                packets.handle_data(count);
                *read += count;
                while let Some(settings) = packets.poll_settings() {
                    told.push((*read, settings));
                }
            };
            for op in ops {
                match op {
                    Op::Write(count) => written += count,
                    Op::Change(baud) => {
                        packets.handle_settings(settings(baud), written - read);
                        // One that nobody could have seen in between is replaced.
                        if expected.last().is_some_and(|(at, _)| *at == written) && written > read {
                            expected.pop();
                        }
                        expected.push((written, settings(baud)));
                        take(&mut packets, &mut read, written, 1);
                    }
                    Op::Read(most) => take(&mut packets, &mut read, written, most),
                }
            }
            while read < written {
                take(&mut packets, &mut read, written, 7);
            }
            prop_assert_eq!(told, expected);
        }
    }
}
