//! Writers' own offsets: what was accepted from whom, what the UART has taken, what was lost, and what of that its
//! writer has yet to be told. Not the bytes; those are in `transmit`.
//!
//! A writer with a name outlives its client: when a client of the same name attaches, it goes on at the same offset and
//! is told what became of the bytes it does not know about, the newest losses again too. The name belongs to its newest client; an older one that is
//! still attached writes no more (its bytes under way are those that the newer one sends again), and is told too what
//! becomes of the bytes it wrote under the name.
//!
//! Who has no name has a record from its first byte on: most clients only read.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use crate::queue::Queue;
use crate::slots::{Identity, Slots};
use crate::{Access, ClientId, Notice};

/// How many names without a client are remembered; the one unused for longest is forgotten first.
const NAMES: usize = 1024;

/// How many losses that were told are remembered with a name, to be told again to its next client: the connection may have
/// broken before they arrived.
const LOSSES: usize = 64;

/// The longest name, in bytes.
const NAME_LEN: usize = 160;

/// One record here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WriterId(NonZeroU64);

impl Identity for WriterId {
    fn new(number: u64) -> WriterId {
        WriterId(NonZeroU64::new(number).expect("no number is 0"))
    }

    fn number(self) -> u64 {
        self.0.get()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Writers {
    records: Slots<WriterId, Writer>,
    names: BTreeMap<Box<str>, WriterId>,
    /// Named records without a client, the one unused for longest first.
    unowned: Queue<WriterId>,
}

#[derive(Debug, Default)]
struct Writer {
    name: Option<Box<str>>,
    /// The client this record's notices go to.
    owner: Option<ClientId>,
    /// How many of its writes are queued; a nameless record goes with the last of them.
    queued: usize,
    /// The next write offset.
    accepted: u64,
    /// The write offset below which the UART has taken everything that was not told as lost.
    taken: u64,
    /// How far `taken` was told.
    told: u64,
    lost: Queue<Lost>,
    /// The newest losses of a named record that were told.
    lost_told: Queue<Lost>,
    /// The write offset below which every byte was taken or lost.
    settled: u64,
    /// The records of clients that had its name before, and the write offset below which its bytes may be theirs.
    earlier: Box<[(WriterId, u64)]>,
}

#[derive(Debug, Clone)]
struct Lost {
    from: u64,
    to: u64,
    reason: String,
}

impl Writers {
    /// A client attaches, perhaps under a name. Says its record; `None`: it has no name. If another client had the name, that
    /// one goes on at the same offset with a record of its own, which is said too.
    pub(crate) fn attach(
        &mut self,
        client: ClientId,
        name: Option<&str>,
        access: Access,
    ) -> (Option<WriterId>, Option<(ClientId, WriterId)>) {
        // Someone who may not write has no use for a name, and must not take somebody else's.
        let name =
            name.filter(|name| access >= Access::Write && (1..=NAME_LEN).contains(&name.len()));
        let known = name.and_then(|name| self.names.get(name)).copied();
        if let Some(id) = known
            && let Some(record) = self.records.get_mut(id)
        {
            let (before, at) = (record.owner.replace(client), record.accepted);
            let told = std::mem::take(&mut record.told);
            let (taken, lost) = (record.taken, record.lost.clone());
            let mut untold =
                std::mem::replace(&mut record.lost, std::mem::take(&mut record.lost_told));
            record.lost.append(&mut untold);
            self.unowned.retain(|&unowned| unowned != id);
            let split_off = before.map(|before| {
                let own = Writer {
                    owner: Some(before),
                    accepted: at,
                    taken,
                    told,
                    lost,
                    ..Writer::default()
                };
                (before, self.records.insert(|_| own))
            });
            if let Some((_, own)) = split_off {
                self.forget_earlier(id);
                if let Some(record) = self.records.get_mut(id) {
                    let mut earlier = std::mem::take(&mut record.earlier).into_vec();
                    earlier.push((own, at));
                    record.earlier = earlier.into();
                }
            }
            return (Some(id), split_off);
        }
        let id = name.map(|name| {
            let id = self.records.insert(|_| Writer {
                name: Some(name.into()),
                owner: Some(client),
                ..Writer::default()
            });
            self.names.insert(name.into(), id);
            id
        });
        (id, None)
    }

    /// A client without a name writes for the first time.
    pub(crate) fn begin(&mut self, client: ClientId) -> WriterId {
        self.records.insert(|_| Writer {
            owner: Some(client),
            ..Writer::default()
        })
    }

    /// The record's client left.
    pub(crate) fn detach(&mut self, id: WriterId) {
        let Some(record) = self.records.get_mut(id) else {
            return;
        };
        record.owner = None;
        if record.name.is_some() {
            self.unowned.push_back(id);
            if self.unowned.len() > NAMES
                && let Some(forgotten) = self.unowned.pop_front()
                && let Some(name) = self
                    .records
                    .remove(forgotten)
                    .and_then(|record| record.name)
            {
                self.names.remove(&name);
            }
        } else if record.queued == 0 {
            self.records.remove(id);
        }
    }

    /// The next write offset.
    pub(crate) fn write_offset(&self, id: WriterId) -> u64 {
        self.records.get(id).map_or(0, |record| record.accepted)
    }

    /// The clients that are told what becomes of this record's bytes.
    pub(crate) fn owners(&self, id: WriterId) -> impl Iterator<Item = ClientId> {
        let record = self.records.get(id);
        let owner = record.and_then(|record| record.owner);
        let earlier = record.map_or(&[][..], |record| &record.earlier);
        let records = earlier
            .iter()
            .filter_map(|(earlier, _)| self.records.get(*earlier));
        owner
            .into_iter()
            .chain(records.filter_map(|record| record.owner))
    }

    /// Whether bytes of this record are queued.
    pub(crate) fn has_queued(&self, id: WriterId) -> bool {
        self.records.get(id).is_some_and(|record| record.queued > 0)
    }

    /// `len` bytes were accepted and are queued as one write. Says the write offset of the first.
    pub(crate) fn accept(&mut self, id: WriterId, len: usize) -> u64 {
        let Some(record) = self.records.get_mut(id) else {
            return 0;
        };
        record.queued += 1;
        let from = record.accepted;
        record.accepted += len as u64;
        from
    }

    /// Two queued writes have become one.
    pub(crate) fn merged(&mut self, id: WriterId) {
        self.finished(id);
    }

    /// The UART took a queued write's bytes up to this write offset; `whole`: all that were left of it. Says who is told, if
    /// that is one client; else they are the [owners](Writers::owners), if there are any.
    pub(crate) fn taken(&mut self, id: WriterId, up_to: u64, whole: bool) -> Option<ClientId> {
        // Almost always there is one, and nothing but its own record to look at.
        if let Some(record) = self.records.get_mut(id)
            && record.earlier.is_empty()
            && let Some(owner) = record.owner
        {
            record.settled = record.settled.max(up_to);
            record.taken = record.taken.max(up_to);
            record.queued -= usize::from(whole && record.queued > 0);
            return Some(owner);
        }
        self.each_concerned(id, up_to, |record, limit| {
            record.taken = record.taken.max(up_to.min(limit));
        });
        if whole {
            self.finished(id);
        }
        None
    }

    /// What was left of a queued write will never reach the UART.
    pub(crate) fn lost(&mut self, id: WriterId, from: u64, to: u64, reason: &str) {
        self.each_concerned(id, to, |record, limit| {
            let to = to.min(limit);
            match record.lost.back_mut() {
                _ if from >= to => {}
                Some(last) if last.to == from && last.reason == reason => last.to = to,
                _ => record.lost.push_back(Lost {
                    from,
                    to,
                    reason: reason.to_owned(),
                }),
            }
        });
        self.finished(id);
    }

    /// The next thing to tell the record's client, by write offset: whoever hears of a loss knows of all that is before it,
    /// should it hear no more.
    pub(crate) fn poll_notice(&mut self, id: WriterId) -> Option<Notice> {
        let record = self.records.get_mut(id)?;
        let loss = record.lost.front().map_or(u64::MAX, |lost| lost.from);
        let up_to = record.taken.min(loss);
        if up_to > record.told {
            record.told = up_to;
            return Some(Notice::Written { up_to });
        }
        let lost = record.lost.pop_front()?;
        if record.name.is_some() {
            record.lost_told.push_back(lost.clone());
            if record.lost_told.len() > LOSSES {
                record.lost_told.pop_front();
            }
        }
        let Lost { from, to, reason } = lost;
        Some(Notice::WriteLost { from, to, reason })
    }

    /// How many losses its client has yet to be told.
    pub(crate) fn untold_losses(&self, id: WriterId) -> usize {
        self.records.get(id).map_or(0, |record| record.lost.len())
    }

    /// The bytes up to this write offset are settled: of a record, and of those of its earlier clients that they concern,
    /// each with the write offset below which they do.
    fn each_concerned(&mut self, id: WriterId, up_to: u64, mut tell: impl FnMut(&mut Writer, u64)) {
        let Some(record) = self.records.get_mut(id) else {
            return;
        };
        if record.earlier.is_empty() {
            record.settled = record.settled.max(up_to);
            return tell(record, u64::MAX);
        }
        self.forget_earlier(id);
        let Some(record) = self.records.get_mut(id) else {
            return;
        };
        record.settled = record.settled.max(up_to);
        tell(record, u64::MAX);
        for (earlier, limit) in record.earlier.clone() {
            if let Some(earlier) = self.records.get_mut(earlier) {
                tell(earlier, limit);
            }
        }
    }

    /// Drops earlier clients that have left, or whose bytes are all settled.
    fn forget_earlier(&mut self, id: WriterId) {
        let Some(record) = self.records.get_mut(id) else {
            return;
        };
        if record.earlier.is_empty() {
            return;
        }
        let settled = record.settled;
        let mut earlier = std::mem::take(&mut record.earlier).into_vec();
        earlier.retain(|(earlier, limit)| settled < *limit && self.records.get(*earlier).is_some());
        if let Some(record) = self.records.get_mut(id) {
            record.earlier = earlier.into();
        }
    }

    fn finished(&mut self, id: WriterId) {
        let Some(record) = self.records.get_mut(id) else {
            return;
        };
        record.queued = record.queued.saturating_sub(1);
        if record.queued == 0 && record.owner.is_none() && record.name.is_none() {
            self.records.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notices(writers: &mut Writers, id: WriterId) -> Vec<Notice> {
        std::iter::from_fn(|| writers.poll_notice(id)).collect()
    }

    fn named(writers: &mut Writers, client: u64, name: &str) -> WriterId {
        let (id, _) = writers.attach(ClientId(client), Some(name), Access::Write);
        id.unwrap()
    }

    #[test]
    fn a_name_keeps_its_offset_and_what_it_was_not_told() {
        let mut writers = Writers::default();
        let first = named(&mut writers, 1, "logger");
        assert_eq!(writers.accept(first, 10), 0);
        assert_eq!(writers.accept(first, 5), 10);
        writers.detach(first);
        writers.taken(first, 4, false);
        writers.lost(first, 4, 10, "gone");
        writers.lost(first, 10, 15, "gone");

        let again = named(&mut writers, 1, "logger");
        assert_eq!(writers.write_offset(again), 15);
        assert_eq!(
            notices(&mut writers, again),
            [
                Notice::Written { up_to: 4 },
                Notice::WriteLost {
                    from: 4,
                    to: 15,
                    reason: "gone".into()
                },
            ]
        );
    }

    #[test]
    fn what_was_taken_and_what_was_lost_is_told_in_the_order_of_the_bytes() {
        let mut writers = Writers::default();
        let id = named(&mut writers, 1, "logger");
        for len in [4, 6, 5] {
            writers.accept(id, len);
        }
        writers.taken(id, 4, true);
        writers.lost(id, 4, 10, "purged");
        writers.taken(id, 15, true);
        let told = [
            Notice::Written { up_to: 4 },
            Notice::WriteLost {
                from: 4,
                to: 10,
                reason: "purged".into(),
            },
            Notice::Written { up_to: 15 },
        ];
        assert_eq!(notices(&mut writers, id), told);
        // The connection may have broken before it arrived.
        writers.detach(id);
        assert_eq!(named(&mut writers, 2, "logger"), id);
        assert_eq!(notices(&mut writers, id), told, "again");
    }

    #[test]
    fn names_are_bounded_and_nameless_records_go() {
        let mut writers = Writers::default();
        for i in 0..3 * NAMES {
            let id = named(&mut writers, 1, &format!("w{i}"));
            writers.accept(id, 1);
            writers.taken(id, 1, true);
            writers.detach(id);
            let nameless = writers.begin(ClientId(1));
            writers.accept(nameless, 3);
            writers.detach(nameless);
            writers.taken(nameless, 3, true);
        }
        assert_eq!(
            (
                writers.records.len(),
                writers.names.len(),
                writers.unowned.len()
            ),
            (NAMES, NAMES, NAMES)
        );
        let forgotten = named(&mut writers, 1, "w0");
        assert_eq!(writers.write_offset(forgotten), 0);
        let kept = named(&mut writers, 1, &format!("w{}", 3 * NAMES - 1));
        assert_eq!(writers.write_offset(kept), 1);
    }

    #[test]
    fn only_who_may_write_gets_a_name_and_only_one_of_reasonable_length() {
        let mut writers = Writers::default();
        let long = "x".repeat(NAME_LEN);
        for (name, access, names) in [
            ("x", Access::Read, 0),
            ("", Access::Write, 0),
            (&format!("{long}x"), Access::Write, 0),
            (&long, Access::Write, 1),
        ] {
            writers.attach(ClientId(1), Some(name), access);
            assert_eq!(writers.names.len(), names, "{name}");
        }
    }

    #[test]
    fn a_name_belongs_to_its_newest_client() {
        let mut writers = Writers::default();
        let first = named(&mut writers, 1, "logger");
        writers.accept(first, 10);
        let (second, split_off) = writers.attach(ClientId(2), Some("logger"), Access::Write);
        assert_eq!(
            (
                second,
                writers.owners(first).collect(),
                writers.write_offset(first)
            ),
            (Some(first), vec![ClientId(2), ClientId(1)], 10)
        );
        let (displaced, own) = split_off.unwrap();
        assert_eq!((displaced, writers.write_offset(own)), (ClientId(1), 10));
        writers.taken(first, 10, true);
        assert_eq!(
            notices(&mut writers, first),
            [Notice::Written { up_to: 10 }]
        );
        notices(&mut writers, own);
        writers.accept(own, 3);
        writers.taken(own, 13, true);
        assert_eq!(notices(&mut writers, own), [Notice::Written { up_to: 13 }]);
    }
    #[test]
    fn whoever_lost_its_name_is_told_what_became_of_its_bytes_and_no_others() {
        let mut writers = Writers::default();
        let name = named(&mut writers, 1, "logger");
        writers.accept(name, 10);
        writers.taken(name, 2, false);
        assert_eq!(notices(&mut writers, name), [Notice::Written { up_to: 2 }]);
        let (_, own) = writers.attach(ClientId(2), Some("logger"), Access::Write);
        let own = own.unwrap().1;
        writers.accept(name, 5);
        assert_eq!(notices(&mut writers, own), []);
        writers.taken(name, 4, false);
        assert_eq!(notices(&mut writers, own), [Notice::Written { up_to: 4 }]);
        writers.lost(name, 4, 15, "gone");
        let lost = |to| Notice::WriteLost {
            from: 4,
            to,
            reason: "gone".into(),
        };
        assert_eq!(notices(&mut writers, own), [lost(10)]);
        assert_eq!(
            notices(&mut writers, name),
            [Notice::Written { up_to: 4 }, lost(15)]
        );
        // Nothing is kept of it once it is settled, or has left.
        writers.accept(name, 1);
        writers.taken(name, 16, true);
        assert!(writers.owners(name).eq([ClientId(2)]));
    }
}
