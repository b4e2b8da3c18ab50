//! What a port's owner changes while it is in use: its settings, and whether it is wanted any longer. Clients, their
//! places, and what is under way stay as they are.

use std::sync::Arc;
use std::time::Instant;

use uart_iface::LineSettings;

use super::{Hub, HubConfig};
use crate::ClientId;
use crate::client::Closing;

impl Hub {
    /// The port's settings are these from now on.
    ///
    /// What waits or is under way goes on as it was accepted, also where a queue is shorter now. Readers that chose no
    /// [`crate::OnLag`] of their own follow the new one. A shorter history forgets its oldest bytes: readers that had not
    /// taken them are told, or cut off, as if they had lagged. A lease ends where the port is no longer exclusive.
    pub fn reconfigure(&mut self, now: Instant, config: impl Into<Arc<HubConfig>>) {
        self.config = config.into();
        // Everything that is kept outside of `config` has its line here.
        let HubConfig {
            history,
            write,
            lease_idle,
            on_lag,
            write_queue,
            ask_queue,
            byte_pacing,
            line_pacing,
            ..
        } = *self.config;
        self.writes.set_limit(write_queue);
        self.asks.set_limits(ask_queue, write_queue);
        self.pacing.set(byte_pacing, line_pacing);
        if self.arbiter.reconfigure(write, lease_idle) {
            self.publish(|news, _| news.lease = true);
        }
        self.history.set_limit(history);
        self.journal.forget_before(self.history.start());
        let (end, can_pause) = (self.history.end(), self.can_pause);
        let mut cut = Vec::new();
        for (id, client) in self.clients.iter_mut() {
            let Some(reader) = &mut client.reader else {
                continue;
            };
            reader.handle_on_lag(on_lag, can_pause);
            if let Some(reason) = reader.arrived(now, &self.history, end, can_pause) {
                cut.push((id, reason));
            }
        }
        for (id, reason) in cut {
            self.cut(now, id, reason);
        }
        self.update_paused();
        self.tell_room();
        self.settle(now);
    }

    /// The device's line settings were changed by its owner, for no client.
    pub fn handle_line(&mut self, now: Instant, line: LineSettings) {
        self.update_present(now, |now_line, _, _| *now_line = line);
    }

    /// The port is being removed: as [`Hub::shut_down`], except that clients are told so.
    pub fn remove(&mut self, now: Instant) {
        self.removed |= !self.shutting_down;
        self.shut_down(now);
    }

    /// This client is to leave: it gets [`crate::CloseReason::Shutdown`] after what it is still owed.
    pub fn dismiss(&mut self, _now: Instant, client: ClientId) {
        let end = self.history.end();
        if let Some(it) = self.clients.get_mut(client)
            && matches!(it.closing, Closing::No)
        {
            it.closing = Closing::Owed(end);
            self.wakes.news(client, &mut it.wake);
        }
    }
}
