//! What the hub tells whom: the next notice of a client, news for all of them, ends, and being cut off.
//! What a client has yet to be told is kept in `client`.

use std::time::Instant;

use uart_iface::{InputSignals, LineSettings, OutputSignals};

use super::Hub;
use crate::client::{Closing, News, UNREAD_NOTICES, Writes};
use crate::journal::Happening;
use crate::reader::{Reader, Taken};
use crate::sequencer::Ended;
use crate::{
    AskId, AskOutcome, ClientId, CloseReason, DeviceState, GapWhy, Notice, Offset, ReceiveErrors,
};

impl Hub {
    pub(super) fn next_notice(
        &mut self,
        now: Instant,
        id: ClientId,
        limit: usize,
    ) -> Option<Notice> {
        if self.clients.get(id)?.has_more_than_data()
            && let Some(notice) = self.next_but_data(id)
        {
            return Some(notice);
        }
        let client = self.clients.get_mut(id)?;
        let reader = client.reader.as_mut().filter(|_| limit > 0)?;
        let stalled = reader.stalls();
        let taken = reader.take(now, &self.history, limit)?;
        let resumes = stalled && !reader.stalls();
        if !reader.has_until(self.history.end()) && matches!(client.closing, Closing::No) {
            client.wake.tells_all();
        }
        if resumes {
            self.update_paused();
        }
        Some(match taken {
            Taken::Data { offset, bytes } => Notice::Data { offset, bytes },
            Taken::Gap { from, to, why } => {
                let counters = self.counters.get_or_insert_default();
                counters.gaps += 1;
                if why != GapWhy::NewEpoch {
                    counters.gap_bytes += to.0 - from.0;
                }
                Notice::Gap { from, to, why }
            }
        })
    }

    /// What goes before data: ends, news, what became of writes, and last that the client is cut off.
    fn next_but_data(&mut self, id: ClientId) -> Option<Notice> {
        let client = self.clients.get_mut(id)?;
        if let Some(end) = client.pop_end() {
            return Some(end);
        }
        if !client.news.is_none()
            && let Some(news) = self.next_news(id)
        {
            return Some(news);
        }
        let client = self.clients.get_mut(id)?;
        if matches!(client.closing, Closing::Told) {
            return None;
        }
        if client.writes == Writes::Moved {
            if let Some(writer) = client.writer
                && let Some(about_writes) = self.writers.poll_notice(writer)
            {
                return Some(about_writes);
            }
            client.writes = Writes::Told;
        }
        let reason = match &client.closing {
            Closing::Now(reason) => Some(*reason.clone()),
            Closing::Owed(end) => {
                let data = client
                    .reader
                    .as_ref()
                    .is_some_and(|reader| *end > 0 && reader.has_until(*end));
                let owed = data
                    || self.asks.has(id)
                    || self.sequencer.has(id)
                    || client
                        .writer
                        .is_some_and(|writer| self.writers.has_queued(writer));
                (!owed).then_some(if self.removed {
                    CloseReason::Removed
                } else {
                    CloseReason::Shutdown
                })
            }
            Closing::No | Closing::Told => None,
        };
        let reason = reason?;
        client.closing = Closing::Told;
        client.reader = None;
        self.update_paused();
        Some(Notice::Closed(reason))
    }

    pub(super) fn next_news(&mut self, id: ClientId) -> Option<Notice> {
        let news = &mut self.clients.get_mut(id)?.news;
        if news.state {
            // The state says line settings and signals as well.
            *news = News {
                lease: news.lease,
                ask_turn: news.ask_turn,
                errors: news.errors,
                ..News::default()
            };
            let (at, losses) = (Offset(self.state_at), self.counters().device_losses);
            return Some(Notice::State {
                state: self.state.clone(),
                at,
                losses,
            });
        }
        if let DeviceState::Present {
            line,
            outputs,
            inputs,
        } = self.state
        {
            if std::mem::take(&mut news.line) {
                return Some(Notice::Line(line));
            }
            if std::mem::take(&mut news.signals) {
                return Some(Notice::Signals { outputs, inputs });
            }
        }
        let errors = std::mem::take(&mut news.errors);
        if errors != ReceiveErrors::default() {
            return Some(Notice::Errors(errors));
        }
        if std::mem::take(&mut news.ask_turn) {
            return Some(Notice::AskTurn(self.ask_turn(id)));
        }
        if std::mem::take(&mut news.lease) {
            let holder = self.arbiter.holder();
            let yours = holder == Some(id);
            return Some(Notice::Lease {
                holder: holder.map(|holder| self.label(holder)),
                yours,
            });
        }
        None
    }

    /// Notes news for every client and wakes those who got some. `note` is told whether the client is a reader.
    pub(super) fn publish(&mut self, note: impl Fn(&mut News, bool)) {
        for (id, client) in self.clients.iter_mut() {
            if client.is_cut() {
                continue;
            }
            note(&mut client.news, client.reader.is_some());
            self.wakes.news(id, &mut client.wake);
        }
    }

    /// Changes what is known about the present device, and tells readers if that is a change.
    pub(super) fn update_present(
        &mut self,
        now: Instant,
        change: impl FnOnce(&mut LineSettings, &mut OutputSignals, &mut InputSignals),
    ) {
        let DeviceState::Present {
            line,
            outputs,
            inputs,
        } = &mut self.state
        else {
            return;
        };
        let before = (*line, *outputs, *inputs);
        change(line, outputs, inputs);
        let (new_line, new_signals) = (
            before.0 != *line,
            (before.1, before.2) != (*outputs, *inputs),
        );
        let (line, outputs, inputs) = (*line, *outputs, *inputs);
        if new_line {
            self.note(now, || Happening::Line(line));
        }
        if new_signals {
            self.note(now, || Happening::Signals { outputs, inputs });
        }
        if new_line || new_signals {
            self.publish(|news, is_reader| {
                news.line |= new_line && is_reader;
                news.signals |= new_signals && is_reader;
            });
        }
    }

    /// The UART has taken bytes that this client wrote.
    pub(super) fn tell_writer(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        if client.writes != Writes::Unwatched {
            client.writes = Writes::Moved;
        } else if matches!(client.closing, Closing::No) {
            return;
        }
        // They may be the last thing that whoever is being cut off was owed.
        self.wakes.news(id, &mut client.wake);
    }

    /// There is something to tell these clients, maybe of their writes.
    pub(super) fn tell_clients(&mut self, clients: impl IntoIterator<Item = ClientId>) {
        for id in clients {
            if let Some(client) = self.clients.get_mut(id) {
                client.writes = Writes::Moved;
                self.wakes.news(id, &mut client.wake);
            }
        }
    }

    pub(super) fn tell_room(&mut self) {
        if self.writes.room() == 0 {
            return;
        }
        for id in self.wakes.take_for_room() {
            if let Some(client) = self.clients.get_mut(id) {
                self.wakes.room(id, &mut client.wake);
            }
        }
    }

    /// Tells the ends that the parts have come to.
    pub(super) fn settle(&mut self, now: Instant) {
        // Called with every byte; most ports are asked nothing.
        if self.asks.is_settled() && self.sequencer.is_at_rest() && self.standoff.is_none() {
            return;
        }
        self.settle_ends(now);
    }

    #[cold]
    fn settle_ends(&mut self, now: Instant) {
        while let Some((client, ask, outcome)) = self.asks.poll_end() {
            self.end_ask(now, client, ask, outcome);
        }
        while let Some(ended) = self.sequencer.poll_end() {
            self.end_control(now, ended);
        }
        self.watch_standoff(now);
        if self.sequencer.take_line_stays() {
            self.line_holds.set();
        }
    }

    pub(super) fn end_ask(
        &mut self,
        now: Instant,
        client: ClientId,
        ask: AskId,
        outcome: AskOutcome,
    ) {
        self.counters_mut().count_ask(&outcome);
        self.note_ask(now, client, &outcome);
        self.end(now, client, Notice::AskDone { ask, outcome });
    }

    pub(super) fn end_control(
        &mut self,
        now: Instant,
        Ended {
            client,
            id,
            result,
            steps,
        }: Ended,
    ) {
        let end = Notice::ControlDone {
            control: id,
            result,
            steps,
        };
        self.end(now, client, end);
    }

    pub(super) fn end(&mut self, now: Instant, id: ClientId, end: Notice) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        client.push_end(end);
        self.wakes.news(id, &mut client.wake);
        let losses = client
            .writer
            .map_or(0, |writer| self.writers.untold_losses(writer));
        let notices = client.unread() + losses;
        if notices > UNREAD_NOTICES && !client.is_cut() {
            self.cut(now, id, CloseReason::Unread { notices });
        }
    }

    /// Cuts a client off: it is told why, and nothing is done for it any more.
    pub(super) fn cut(&mut self, now: Instant, id: ClientId, reason: CloseReason) {
        let unread = matches!(reason, CloseReason::Unread { .. });
        if !unread {
            self.counters_mut().cuts += 1;
            // It is told the ends of its asks before it is told that it is cut off.
            self.asks.cancel_all(now, id);
            self.settle(now);
        }
        if let Some(client) = self.clients.get_mut(id).filter(|client| !client.is_cut()) {
            if unread {
                client.forget_ends();
            }
            client.closing = Closing::Now(Box::new(reason));
            client.reader = None;
            self.wakes.news(id, &mut client.wake);
        }
        self.asks.cancel_all(now, id);
        self.release_lease(now, id);
        self.give_line_back(id);
        self.update_paused();
        self.settle(now);
    }

    pub(super) fn update_paused(&mut self) {
        self.paused = self
            .clients
            .values()
            .filter_map(|client| client.reader.as_ref())
            .any(Reader::stalls);
    }
}
