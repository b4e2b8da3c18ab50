//! Line settings that last only as long as a client wants them: who holds which, and what the device goes back to. Not how
//! they are applied; that is `sequencer`'s.
//!
//! - The last who came has its settings in force. When it leaves, those of the one before it are given back to the device;
//!   when nobody is left, what was in force before the first.
//! - Somebody who holds settings that are not in force (others came later) leaves without a trace.
//! - Settings that somebody sets to stay are never touched: they end every hold.
//! - What has to be given back while the device is absent is given back when it returns.

use uart_iface::LineSettings;

use crate::ClientId;

#[derive(Debug, Default)]
pub(crate) struct LineHolds {
    /// What was in force before the first of the holders.
    before: Option<LineSettings>,
    /// The last one's are in force, unless something is owed.
    holders: Vec<(ClientId, LineSettings)>,
    /// The device has yet to be given what it goes back to.
    owed: bool,
}

impl LineHolds {
    /// This client holds these settings from now on; the device has taken them. `before` was in force until now.
    pub(crate) fn held(&mut self, client: ClientId, line: LineSettings, before: LineSettings) {
        self.before.get_or_insert(before);
        self.holders.retain(|(holder, _)| *holder != client);
        self.holders.push((client, line));
        self.owed = false;
    }

    /// Somebody has set what is to stay.
    pub(crate) fn set(&mut self) {
        *self = LineHolds::default();
    }

    /// This client holds nothing any more. Says whether something has to be given back to the device for that.
    pub(crate) fn left(&mut self, client: ClientId) -> bool {
        let in_force = self
            .holders
            .last()
            .is_some_and(|(holder, _)| *holder == client);
        self.holders.retain(|(holder, _)| *holder != client);
        self.owed |= in_force;
        in_force
    }

    /// The device was to go back to this, and vanished before it could.
    pub(crate) fn owe(&mut self, line: LineSettings) {
        self.before.get_or_insert(line);
        self.owed = true;
    }

    /// What has to be given back to the device now.
    pub(crate) fn owed(&self) -> Option<LineSettings> {
        let earlier = self.holders.last().map(|(_, line)| *line);
        earlier.or(self.before).filter(|_| self.owed)
    }

    /// It was given back, or the device does not take it.
    pub(crate) fn given_back(&mut self) {
        self.owed = false;
        if self.holders.is_empty() {
            self.before = None;
        }
    }
}
