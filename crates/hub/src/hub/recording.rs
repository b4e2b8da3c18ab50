//! What the hub notes for those who write a port down, and how they read it. What is noted, and for how long, is in
//! `journal`.

use std::time::Instant;

use super::Hub;
use crate::journal::{AskEnd, Happening};
use crate::{AskOutcome, ClientId, LogPlace, Logged, Offset};

impl Hub {
    /// Whether what happens is kept for somebody who writes the port down. At first it is not, and costs nothing.
    pub fn keep_journal(&mut self, now: Instant, on: bool) {
        self.journal.keep(now, on);
    }

    /// Where somebody begins who writes down what happens from now on.
    pub fn log_end(&self) -> LogPlace {
        LogPlace {
            offset: Offset(self.history.end()),
            happening: self.journal.end(),
        }
    }

    /// What comes next at a place, which moves behind it; received bytes in pieces of at most `limit`. Of what has left the
    /// history or the journal, it says how much that was. `None`: nothing now, or no journal is kept.
    pub fn read_log(&self, place: &mut LogPlace, limit: usize) -> Option<Logged> {
        self.journal.read(&self.history, place, limit)
    }

    /// Whether there is something to write down that was not there when this was last asked.
    pub fn take_log_news(&mut self) -> bool {
        self.journal.take_news()
    }

    /// Something happened at the end of what was received so far.
    pub(super) fn note(&mut self, now: Instant, what: impl FnOnce() -> Happening) {
        self.journal.happened(now, self.history.end(), what);
    }

    pub(super) fn note_state(&mut self, now: Instant) {
        let end = self.history.end();
        let state = &self.state;
        self.journal
            .happened(now, end, || Happening::State(state.clone()));
    }

    pub(super) fn note_ask(&mut self, now: Instant, client: ClientId, outcome: &AskOutcome) {
        let end = self.history.end();
        let clients = &self.clients;
        self.journal.happened(now, end, || Happening::Asked {
            client: clients
                .get(client)
                .map(|client| client.label.as_ref().to_owned())
                .unwrap_or_default(),
            end: AskEnd::of(outcome),
        });
    }
}

impl AskEnd {
    fn of(outcome: &AskOutcome) -> AskEnd {
        let how = match outcome {
            AskOutcome::Reply { from, to, took, .. } => {
                return AskEnd::Replied {
                    from: *from,
                    to: *to,
                    took: *took,
                };
            }
            AskOutcome::BoardError(_) => "board_error",
            AskOutcome::TimedOut { .. } => "timed_out",
            AskOutcome::DeviceLost { .. } => "device_lost",
            AskOutcome::Refused(_) => "refused",
            AskOutcome::TooBig { .. } => "too_big",
            AskOutcome::Cancelled => "cancelled",
        };
        AskEnd::Failed { how }
    }
}
