//! What the hub accepts, from whom, and with which words it refuses. The rules of the lease are in `arbiter`.

use std::time::Instant;

use super::Hub;
use crate::arbiter::Denied;
use crate::ask::Accepted;
use crate::client::{Client, UNREAD_BYTES};
use crate::writer::WriterId;
use crate::{Access, Ask, AskId, ClientId, DeviceState, LONGEST_TIMEOUT, Refusal, ReplyEnd, Right};

impl Hub {
    pub(super) fn accepting(&self, client: ClientId) -> Result<&Client, Refusal> {
        let client = self
            .clients
            .get(client)
            .filter(|client| !client.is_cut())
            .ok_or(Refusal::NotAttached)?;
        if self.shutting_down {
            Err(self.stopping())
        } else {
            Ok(client)
        }
    }

    /// Why nothing is accepted while the port shuts down.
    pub(super) fn stopping(&self) -> Refusal {
        if self.removed {
            Refusal::Removed
        } else {
            Refusal::Shutdown
        }
    }

    /// Whether this client may do this. Says as which writer, if it is one.
    pub(super) fn may(&self, id: ClientId, right: Right) -> Result<Option<WriterId>, Refusal> {
        let client = self.accepting(id)?;
        let allowed = self.arbiter.may(id, client.access, right);
        allowed.map_err(|denied| self.refusal(denied, client.access))?;
        Ok(client.writer)
    }

    pub(super) fn check_present(&self) -> Result<(), Refusal> {
        match &self.state {
            DeviceState::Present { .. } => Ok(()),
            DeviceState::Absent { reason } => Err(Refusal::Absent {
                reason: reason.clone(),
            }),
        }
    }

    pub(super) fn accept_ask(
        &mut self,
        now: Instant,
        id: AskId,
        client: ClientId,
        ask: Ask,
    ) -> Result<Accepted, Refusal> {
        self.may(client, Right::Ask)?;
        let profile = ask
            .profile
            .or_else(|| self.config.profile.clone())
            .ok_or(Refusal::NoProfile)?;
        // Nothing could ever be told from an empty prompt.
        if matches!(&profile.end, ReplyEnd::Prompt(prompt) if prompt.is_empty()) {
            return Err(Refusal::NoProfile);
        }
        let frame = profile.frame(&ask.command)?;
        self.check_present()?;
        self.check_unread(client)?;
        self.asks.room_for(ask.command.len())?;
        let timeout = ask.timeout.unwrap_or(profile.timeout);
        let wait = ask.wait.unwrap_or(self.config.ask_wait);
        for (what, asked) in [("a timeout", timeout), ("a wait", wait)] {
            if asked > LONGEST_TIMEOUT {
                return Err(Refusal::TooLong {
                    what,
                    asked,
                    limit: LONGEST_TIMEOUT,
                });
            }
        }
        Ok(Accepted {
            id,
            turn: self.new_turn(),
            command: ask.command,
            frame,
            profile,
            timeout,
            wait,
            since: now,
        })
    }

    /// What asks that wait for their turn wait for, as a part of a sentence.
    pub(super) fn holdup(&self, now: Instant) -> String {
        let what = if let Some(client) = self.asks.running_client() {
            format!("an ask of {} runs", self.label(client))
        } else if self.asks.is_running() {
            "the port waits for the late reply to an ask that had none in time".to_owned()
        } else if let Some(writer) = self.typing.typist(now) {
            let owner = self.writers.owners(writer).next();
            let who = owner.map_or_else(|| "somebody".to_owned(), |owner| self.label(owner));
            format!("{who} is typing a line")
        } else if self.sequencer.holds_transmit() {
            "a control operation holds the port".to_owned()
        } else if self.writes.len() > 0 {
            format!("{} bytes wait to be written", self.writes.len())
        } else {
            "the UART takes no bytes".to_owned()
        };
        match self.asks.waiting() {
            0 => what,
            1 => format!("{what}, and 1 more waits"),
            more => format!("{what}, and {more} more wait"),
        }
    }

    /// Who does not read its replies gets no more of them.
    pub(super) fn check_unread(&self, client: ClientId) -> Result<(), Refusal> {
        let unread = self.clients.get(client).map_or(0, Client::unread_bytes);
        if unread > UNREAD_BYTES {
            return Err(Refusal::Busy {
                what: "bytes of unread replies",
                queued: unread,
                limit: UNREAD_BYTES,
            });
        }
        Ok(())
    }

    pub(super) fn lease_changed(
        &mut self,
        access: Access,
        result: Result<bool, Denied>,
    ) -> Result<(), Refusal> {
        if result.map_err(|denied| self.refusal(denied, access))? {
            self.publish(|news, _| news.lease = true);
        }
        Ok(())
    }

    pub(super) fn refusal(&self, denied: Denied, has: Access) -> Refusal {
        denied.refusal(has, |holder| self.label(holder))
    }

    /// Who holds the lease.
    pub fn lease_holder(&self) -> Option<ClientId> {
        self.arbiter.holder()
    }

    /// What this client is called; empty if it has left.
    pub fn label(&self, client: ClientId) -> String {
        self.clients
            .get(client)
            .map(|client| client.label.as_ref().to_owned())
            .unwrap_or_default()
    }
}
