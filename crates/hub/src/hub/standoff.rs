//! Asks and typed lines in each other's way, and who is told of it. The rule itself is in `typing`.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::Hub;
use crate::time::after;
use crate::{AskTurn, ClientId};

/// What is over sooner is told to nobody: most asks take milliseconds, and most lines a second.
const WORTH_TELLING: Duration = Duration::from_secs(1);

/// One that lasts.
#[derive(Debug)]
pub(super) struct Standoff {
    kind: Kind,
    since: Instant,
    /// Who was told, once it was time to.
    told: Option<BTreeSet<ClientId>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Asks wait for a line that is being typed.
    AskWaits,
    /// Typed bytes wait for an ask that runs.
    AskRuns,
}

impl Hub {
    /// Looks who is in whose way now, and tells those it concerns.
    pub(super) fn watch_standoff(&mut self, now: Instant) {
        if self.standoff.is_none() && self.asks.is_at_rest() {
            return;
        }
        self.look_for_standoff(now);
    }

    #[cold]
    fn look_for_standoff(&mut self, now: Instant) {
        let kind =
            if self.is_free() && self.asks.next().is_some() && self.typing.typist(now).is_some() {
                Some(Kind::AskWaits)
            } else if self.asks.running_client().is_some() && self.writes.len() > 0 {
                Some(Kind::AskRuns)
            } else {
                None
            };
        if self.standoff.as_ref().map(|standoff| standoff.kind) != kind {
            let over = std::mem::replace(
                &mut self.standoff,
                kind.map(|kind| {
                    Box::new(Standoff {
                        kind,
                        since: now,
                        told: None,
                    })
                }),
            );
            let told = over.and_then(|over| over.told);
            self.tell_turn(told.into_iter().flatten());
        }
        let Some(standoff) = &mut self.standoff else {
            return;
        };
        if standoff.told.is_some() || now < after(standoff.since, WORTH_TELLING) {
            return;
        }
        let concerned = match standoff.kind {
            Kind::AskWaits => self.typing.typist(now),
            Kind::AskRuns => self.writes.front_writer(),
        };
        let concerned = concerned.into_iter();
        let concerned = concerned.flat_map(|writer| self.writers.owners(writer));
        let told: BTreeSet<ClientId> = concerned.collect();
        standoff.told = Some(told.clone());
        self.tell_turn(told);
    }

    /// When somebody has to be told.
    pub(super) fn standoff_timeout(&self) -> Option<Instant> {
        let standoff = self.standoff.as_ref()?;
        let untold = standoff.told.is_none();
        untold.then(|| after(standoff.since, WORTH_TELLING))
    }

    /// What there is to tell this client.
    pub(super) fn ask_turn(&self, client: ClientId) -> AskTurn {
        let standoff = self.standoff.as_deref();
        let concerns = |standoff: &&Standoff| {
            let told = standoff.told.as_ref();
            told.is_some_and(|told| told.contains(&client))
        };
        match standoff.filter(concerns).map(|standoff| standoff.kind) {
            Some(Kind::AskWaits) => AskTurn::Waits {
                whose: self
                    .asks
                    .next()
                    .map_or_else(String::new, |(_, id)| self.label(id)),
                hold: self.config.typing_hold,
            },
            Some(Kind::AskRuns) => AskTurn::Runs {
                whose: self
                    .asks
                    .running_client()
                    .map_or_else(String::new, |id| self.label(id)),
            },
            None => AskTurn::Over,
        }
    }

    fn tell_turn(&mut self, clients: impl IntoIterator<Item = ClientId>) {
        for id in clients {
            if let Some(client) = self.clients.get_mut(id).filter(|client| !client.is_cut()) {
                client.news.ask_turn = true;
                self.wakes.news(id, &mut client.wake);
            }
        }
    }
}
