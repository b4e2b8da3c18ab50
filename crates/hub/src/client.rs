//! One attached client: what it has yet to be told, and whether it was woken to be told. Not its place in the history,
//! which is `reader`, and not its writes, which are `writer`.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::reader::Reader;
use crate::writer::WriterId;
use crate::{Access, AskOutcome, ClientId, CloseReason, Notice, ReceiveErrors};

/// How many notices a client may leave unread before it is cut off.
pub(crate) const UNREAD_NOTICES: usize = 1024;

/// How many bytes of replies a client may leave unread before its further asks are refused.
pub(crate) const UNREAD_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) label: Arc<str>,
    pub(crate) access: Access,
    pub(crate) reader: Option<Reader>,
    /// Its record as a writer; `None`: it has no name, and wrote nothing yet.
    pub(crate) writer: Option<WriterId>,
    pub(crate) news: News,
    pub(crate) closing: Closing,
    pub(crate) wake: Wake,
    /// Whether a newer client writes under the name it had. It could not tell which of its own bytes that one sends again.
    pub(crate) taken_over: bool,
    /// Whether it is told of receive errors.
    pub(crate) watches_errors: bool,
    pub(crate) writes: Writes,
    /// The ends of its asks and control operations. Most clients, which only read, never have any.
    ends: Option<Box<Ends>>,
}

#[derive(Debug, Default)]
struct Ends {
    notices: VecDeque<Notice>,
    /// How many bytes of replies are in there.
    bytes: usize,
}

/// What changed and was not told. Only the newest state is told, so there is nothing to keep but that it changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) state: bool,
    pub(crate) line: bool,
    pub(crate) signals: bool,
    pub(crate) lease: bool,
    pub(crate) ask_turn: bool,
    pub(crate) errors: ReceiveErrors,
}

impl News {
    /// Whether there is none.
    pub(crate) fn is_none(&self) -> bool {
        *self == News::default()
    }
}

/// What is known of the client's writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writes {
    /// It was told what became of them.
    Told,
    /// Something may have become of them that it was not told.
    Moved,
    /// It does not want to know what the UART takes of them.
    Unwatched,
}

/// Whether the client is being cut off.
#[derive(Debug)]
pub(crate) enum Closing {
    No,
    /// When it got what it is owed: the ends of what it asked for, what became of its writes, and the bytes below this.
    Owed(u64),
    /// When it was told what happened to it.
    Now(Box<CloseReason>),
    /// It was told.
    Told,
}

impl Client {
    pub(crate) fn new(
        label: Arc<str>,
        access: Access,
        reader: Option<Reader>,
        writer: Option<WriterId>,
    ) -> Client {
        Client {
            label,
            access,
            reader,
            writer,
            news: News::default(),
            closing: Closing::No,
            wake: Wake::default(),
            taken_over: false,
            watches_errors: false,
            // A writer of its name may have been here before.
            writes: Writes::Moved,
            ends: None,
        }
    }

    /// Whether it was cut off, so that nothing is accepted from it any more.
    pub(crate) fn is_cut(&self) -> bool {
        matches!(self.closing, Closing::Now(_) | Closing::Told)
    }

    /// Whether it may be told anything but data.
    pub(crate) fn has_more_than_data(&self) -> bool {
        !matches!(self.closing, Closing::No)
            || self.writes == Writes::Moved
            || self.ends.is_some()
            || !self.news.is_none()
    }

    /// Something it asked for has ended. Once it is cut off it is told no more ends, or they could pile up.
    pub(crate) fn push_end(&mut self, end: Notice) {
        if !self.is_cut() {
            let ends = self.ends.get_or_insert_default();
            ends.bytes += reply_len(&end);
            ends.notices.push_back(end);
        }
    }

    pub(crate) fn pop_end(&mut self) -> Option<Notice> {
        let ends = self.ends.as_mut()?;
        let end = ends.notices.pop_front()?;
        ends.bytes -= reply_len(&end);
        Some(end)
    }

    /// How many ends it was not told.
    pub(crate) fn unread(&self) -> usize {
        self.ends.as_ref().map_or(0, |ends| ends.notices.len())
    }

    /// How many bytes of replies it was not told.
    pub(crate) fn unread_bytes(&self) -> usize {
        self.ends.as_ref().map_or(0, |ends| ends.bytes)
    }

    /// Forgets every end it was not told.
    pub(crate) fn forget_ends(&mut self) {
        self.ends = None;
    }
}

fn reply_len(end: &Notice) -> usize {
    let Notice::AskDone { outcome, .. } = end else {
        return 0;
    };
    match outcome {
        AskOutcome::Reply {
            reply, unsolicited, ..
        } => reply.len() + unsolicited.len(),
        AskOutcome::BoardError(board) => {
            board.words.len() + board.before.len() + board.unsolicited.len()
        }
        AskOutcome::TimedOut { partial, .. } | AskOutcome::DeviceLost { partial, .. } => {
            partial.len()
        }
        AskOutcome::Refused(_) | AskOutcome::TooBig { .. } | AskOutcome::Cancelled => 0,
    }
}

/// Whether a client must be woken, or was.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    state: WakeState,
    /// Room has come for it, and it was not woken for that yet.
    room: bool,
    queued: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum WakeState {
    /// Nothing came since it last found nothing.
    #[default]
    Asleep,
    /// Something came, and it was not woken for that yet.
    Due,
    /// It was woken, and has not found nothing since.
    Awake,
    /// It was told everything, and nothing came since: it will find nothing.
    Told,
}

/// The clients to wake.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    queue: VecDeque<ClientId>,
    /// Who was refused because the write queue was full.
    for_room: BTreeSet<ClientId>,
}

impl Wakes {
    /// There is something to tell this client.
    pub(crate) fn news(&mut self, id: ClientId, wake: &mut Wake) {
        match wake.state {
            WakeState::Asleep => {
                wake.state = WakeState::Due;
                self.push(id, wake);
            }
            // It will look again.
            WakeState::Told => wake.state = WakeState::Awake,
            WakeState::Due | WakeState::Awake => {}
        }
    }

    /// This client was refused for want of room.
    pub(crate) fn wants_room(&mut self, id: ClientId) {
        self.for_room.insert(id);
    }

    /// Whether anybody was refused for want of room.
    pub(crate) fn is_room_wanted(&self) -> bool {
        !self.for_room.is_empty()
    }

    /// There is room. Says who wanted it.
    pub(crate) fn take_for_room(&mut self) -> BTreeSet<ClientId> {
        std::mem::take(&mut self.for_room)
    }

    /// There is room for this client, which is told even while it has other things to be told: it may not be able to
    /// take those before it has got rid of its bytes.
    pub(crate) fn room(&mut self, id: ClientId, wake: &mut Wake) {
        wake.room = true;
        self.push(id, wake);
    }

    /// Whether the queue is empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The next one in the queue, whether it still needs waking or not.
    pub(crate) fn pop(&mut self) -> Option<ClientId> {
        self.queue.pop_front()
    }

    /// This client left.
    pub(crate) fn forget(&mut self, id: ClientId) {
        self.for_room.remove(&id);
    }

    fn push(&mut self, id: ClientId, wake: &mut Wake) {
        if !wake.queued {
            wake.queued = true;
            self.queue.push_back(id);
        }
    }
}

impl Wake {
    /// The client found nothing more.
    pub(crate) fn nothing_left(&mut self) {
        self.state = WakeState::Asleep;
    }

    /// The client is told everything with this.
    pub(crate) fn tells_all(&mut self) {
        self.state = WakeState::Told;
    }

    /// Whether the client was told everything, so that it finds nothing more.
    pub(crate) fn finds_nothing(&mut self) -> bool {
        let is_told = self.state == WakeState::Told;
        if is_told {
            self.nothing_left();
        }
        is_told
    }

    /// It is taken out of the queue. Says whether it needs waking.
    pub(crate) fn popped(&mut self) -> bool {
        self.queued = false;
        let is_due = self.state == WakeState::Due;
        if is_due {
            self.state = WakeState::Awake;
        }
        std::mem::take(&mut self.room) || is_due
    }
}
