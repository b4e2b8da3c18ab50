//! What must be true of every reader, every writer and every ask, checked as things happen and once more at the end.

use std::collections::{BTreeMap, BTreeSet};

use crate::board::{is_cut_short, reply_to, written_byte};

/// What was received from the UART: by life of the daemon, every byte at its offset.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    lives: BTreeMap<u64, Life>,
}

#[derive(Debug, Default)]
struct Life {
    bytes: Vec<u8>,
    /// The oldest byte the history has.
    start: u64,
}

impl Truth {
    pub(crate) fn received(&mut self, epoch: u64, bytes: &[u8]) {
        self.lives.entry(epoch).or_default().bytes.extend(bytes);
    }

    pub(crate) fn history_starts(&mut self, epoch: u64, start: u64) {
        self.lives.entry(epoch).or_default().start = start;
    }

    pub(crate) fn end(&self, epoch: u64) -> u64 {
        self.lives
            .get(&epoch)
            .map_or(0, |life| life.bytes.len() as u64)
    }

    pub(crate) fn start(&self, epoch: u64) -> u64 {
        self.lives.get(&epoch).map_or(0, |life| life.start)
    }

    /// The bytes of these offsets.
    pub(crate) fn bytes(&self, epoch: u64, from: u64, to: u64) -> &[u8] {
        let all = self.lives.get(&epoch).map_or(&[][..], |life| &life.bytes);
        all.get(from as usize..to as usize)
            .unwrap_or_else(|| panic!("{from}..{to} of {} bytes that came", all.len()))
    }
}

/// A reader: every byte once, at its offset, or named as missed.
#[derive(Debug)]
pub(crate) struct ReaderAccount {
    who: String,
    place: Option<(u64, u64)>,
    pub(crate) read: u64,
    pub(crate) missed: u64,
}

impl ReaderAccount {
    pub(crate) fn new(who: String) -> ReaderAccount {
        ReaderAccount {
            who,
            place: None,
            read: 0,
            missed: 0,
        }
    }

    /// The epoch, and the next offset in it.
    pub(crate) fn place(&self) -> Option<(u64, u64)> {
        self.place
    }

    /// It gives up, and whoever it is begins anew: from where is yet to be told.
    pub(crate) fn gives_up(&mut self) {
        self.place = None;
    }

    pub(crate) fn begins(&mut self, epoch: u64, offset: u64) {
        assert_eq!(self.place, None, "{} begins twice", self.who);
        self.place = Some((epoch, offset));
    }

    pub(crate) fn data(&mut self, truth: &Truth, offset: u64, bytes: &[u8]) {
        let who = &self.who;
        let (epoch, next) = self.place.as_mut().expect("data before it was opened");
        assert_eq!(offset, *next, "{who}: data that does not follow");
        let to = offset + bytes.len() as u64;
        assert!(
            bytes == truth.bytes(*epoch, offset, to),
            "{who}: {offset}..{to} are not what the board sent"
        );
        *next = to;
        self.read += bytes.len() as u64;
    }

    pub(crate) fn gap(&mut self, truth: &Truth, from: u64, to: u64) {
        let who = &self.who;
        let (epoch, next) = self.place.as_mut().expect("a gap before it was opened");
        assert_eq!(from, *next, "{who}: a gap that does not follow");
        assert!(from < to, "{who}: a gap {from}..{to}");
        let start = truth.start(*epoch);
        assert!(
            to <= start,
            "{who}: {from}..{to} are told as missed, and the history has all from {start}"
        );
        *next = to;
        self.missed += to - from;
    }

    pub(crate) fn new_epoch(&mut self, truth: &Truth, epoch: u64, had: u64, offset: u64) {
        let who = &self.who;
        let (old, next) = self.place.as_mut().expect("an epoch before it was opened");
        assert_eq!(had, *next, "{who}: how far it had come");
        assert_ne!(epoch, *old, "{who}: the same epoch is told as a new one");
        let start = truth.start(epoch);
        assert!(offset <= start, "{who}: skips what the history has");
        (*old, *next) = (epoch, offset);
    }

    /// Nothing more comes.
    pub(crate) fn ends(&self, truth: &Truth, epoch: u64) {
        let end = truth.end(epoch);
        assert_eq!(self.place, Some((epoch, end)), "{}: its end", self.who);
    }
}

/// What a writer was told of one of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Written,
    Lost,
    Refused,
    /// Nobody can know.
    Uncertain,
    /// It was never given to anybody.
    TakenBack,
}

/// A writer: each byte reached the UART once and in order, or was told as lost, or named as uncertain.
#[derive(Debug)]
pub(crate) struct WriterAccount {
    who: String,
    writer: usize,
    told: Vec<Told>,
    epoch: Option<u64>,
    /// What to add to a write offset for its byte's place, from this write offset on.
    places: Vec<(u64, i64)>,
    /// Below this write offset all is settled.
    settled: u64,
}

impl WriterAccount {
    pub(crate) fn new(who: String, writer: usize) -> WriterAccount {
        WriterAccount {
            who,
            writer,
            told: Vec::new(),
            epoch: None,
            places: vec![(0, 0)],
            settled: 0,
        }
    }

    /// How many bytes it has written so far.
    pub(crate) fn len(&self) -> usize {
        self.told.len()
    }

    /// The next bytes to write.
    pub(crate) fn next(&self, count: usize) -> Vec<u8> {
        (self.told.len()..self.told.len() + count)
            .map(|place| written_byte(self.writer, place))
            .collect()
    }

    pub(crate) fn accepted(&mut self, count: usize) {
        self.told.resize(self.told.len() + count, Told::Nothing);
    }

    /// The place of the byte with this write offset.
    fn place(&self, offset: u64) -> usize {
        let (_, shift) = self
            .places
            .iter()
            .rfind(|(from, _)| *from <= offset)
            .expect("a write offset of this life");
        usize::try_from(offset as i64 + shift).expect("a place")
    }

    /// From here on this write offset is that of the byte at `place`.
    fn move_on(&mut self, offset: u64, place: usize) {
        self.places.retain(|(from, _)| *from < offset);
        self.places.push((offset, place as i64 - offset as i64));
    }

    fn tell(&mut self, from: u64, to: u64, what: Told) {
        for offset in from..to {
            let place = self.place(offset);
            let who = &self.who;
            let told = self
                .told
                .get_mut(place)
                .unwrap_or_else(|| panic!("{who}: {what:?} of a byte never written"));
            assert_eq!(*told, Told::Nothing, "{who}: byte {place} is now {what:?}");
            *told = what;
        }
    }

    /// The port was opened in this life of the daemon, which expects this write offset. `uncertain` are the bytes it was
    /// given before and cannot know about.
    pub(crate) fn opened(&mut self, epoch: u64, write_offset: u64, uncertain: &[u8]) {
        if self.epoch.replace(epoch) == Some(epoch) {
            assert!(uncertain.is_empty(), "{}: uncertain of what?", self.who);
            return;
        }
        let end = self.settled + uncertain.len() as u64;
        for (offset, byte) in (self.settled..end).zip(uncertain) {
            let place = self.place(offset);
            assert_eq!(*byte, written_byte(self.writer, place), "{}", self.who);
            assert_eq!(self.told[place], Told::Nothing, "{}", self.who);
            self.told[place] = Told::Uncertain;
        }
        let next = self.place(end);
        self.places.clear();
        self.move_on(write_offset, next);
        self.settled = write_offset;
    }

    pub(crate) fn written(&mut self, up_to: u64) {
        if up_to > self.settled {
            self.tell(self.settled, up_to, Told::Written);
            self.settled = up_to;
        }
    }

    pub(crate) fn lost(&mut self, from: u64, to: u64) {
        let (who, settled) = (&self.who, self.settled);
        assert!(from <= settled, "{who}: what became of {settled}..{from}?");
        self.tell(settled.max(from), to, Told::Lost);
        self.settled = settled.max(to);
    }

    /// The gateway refused these bytes, and expects this write offset next.
    pub(crate) fn refused(&mut self, write_offset: u64, bytes: &[u8]) {
        let end = write_offset + bytes.len() as u64;
        self.tell(write_offset, end, Told::Refused);
        self.move_on(write_offset, self.place(end));
    }

    /// So many bytes at the end were never given to the gateway.
    pub(crate) fn taken_back(&mut self, count: usize) {
        let end = self.told.len();
        let first = end - count;
        self.told[first..].fill(Told::TakenBack);
        let (_, shift) = self.places[self.places.len() - 1];
        self.move_on((first as i64 - shift) as u64, end);
    }

    /// A writer that is told nothing. `whole`: nothing happened that could cost it a byte.
    pub(crate) fn is_told_nothing(&mut self, whole: bool) {
        let what = if whole {
            Told::Written
        } else {
            Told::Uncertain
        };
        self.told.fill(what);
    }

    /// It gives up: what it was told nothing of, it never will be.
    pub(crate) fn gives_up(&mut self) {
        for told in &mut self.told {
            if *told == Told::Nothing {
                *told = Told::Uncertain;
            }
        }
        self.epoch = None;
        self.places = vec![(0, self.told.len() as i64)];
        self.settled = 0;
    }

    pub(crate) fn is_settled(&self) -> bool {
        !self.told.contains(&Told::Nothing)
    }

    /// Holds what was told against what the board got.
    pub(crate) fn check(&self, got: &[u8]) {
        let who = &self.who;
        // Every place in `got` that can be reached by what was told so far.
        let mut reached = BTreeSet::from([0]);
        for (place, told) in self.told.iter().enumerate() {
            let byte = written_byte(self.writer, place);
            let with: BTreeSet<usize> = reached
                .iter()
                .filter(|at| got.get(**at) == Some(&byte))
                .map(|at| at + 1)
                .collect();
            match told {
                Told::Written => reached = with,
                Told::Lost | Told::Refused | Told::TakenBack => {}
                Told::Uncertain | Told::Nothing => reached.extend(with),
            }
            assert!(
                !reached.is_empty(),
                "{who}: byte {place} was told as written and is not where it must be: {:?} after {:?}, then {:?}",
                written_byte(self.writer, place),
                &got[..place.min(got.len())]
                    .iter()
                    .rev()
                    .take(8)
                    .collect::<Vec<_>>(),
                &got[place.min(got.len())..]
                    .iter()
                    .take(8)
                    .collect::<Vec<_>>()
            );
        }
        assert!(
            reached.contains(&got.len()),
            "{who}: the board got {} bytes, which are not those told as written, once and in order; {:?}",
            got.len(),
            self.summary()
        );
    }

    fn summary(&self) -> BTreeMap<String, usize> {
        let mut summary = BTreeMap::new();
        for told in &self.told {
            *summary.entry(format!("{told:?}")).or_default() += 1;
        }
        summary
    }
}

/// Every ask: one end.
#[derive(Debug)]
pub(crate) struct AskAccount {
    /// Whether a reply ends with silence, so that one cut short looks whole.
    silence_ends: bool,
    asks: BTreeMap<u32, Option<AskEnd>>,
}

/// How an ask ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AskEnd {
    Reply(Vec<u8>),
    Failed(String),
    /// Its connection was lost.
    Lost,
}

impl AskAccount {
    pub(crate) fn new(silence_ends: bool) -> AskAccount {
        AskAccount {
            silence_ends,
            asks: BTreeMap::new(),
        }
    }

    /// A new ask.
    pub(crate) fn begin(&mut self) -> u32 {
        let number = self.asks.len() as u32;
        self.asks.insert(number, None);
        number
    }

    pub(crate) fn end(&mut self, number: u32, end: AskEnd) {
        if let AskEnd::Reply(reply) = &end {
            self.its_own(number, reply);
        }
        let before = self.asks.insert(number, Some(end.clone()));
        assert_eq!(before, Some(None), "ask {number} ends again: {end:?}");
    }

    pub(crate) fn open(&self) -> impl Iterator<Item = u32> {
        self.asks
            .iter()
            .filter(|(_, end)| end.is_none())
            .map(|(number, _)| *number)
    }

    pub(crate) fn ends(&self) -> impl Iterator<Item = (u32, &AskEnd)> {
        let ended = self.asks.iter();
        ended.filter_map(|(number, end)| Some((*number, end.as_ref()?)))
    }

    /// What the board said unasked may be in between, but nothing that belongs to another command.
    fn its_own(&self, number: u32, reply: &[u8]) {
        let text: String = reply
            .iter()
            .filter(|byte| **byte < 0x80)
            .map(|byte| char::from(*byte))
            .collect();
        let (text, whole) = (text.trim_end(), reply_to(number));
        let cut_short = self.silence_ends && is_cut_short(number) && whole.starts_with(text);
        assert!(
            text == whole || cut_short,
            "the reply to ask {number} is {whole:?}, not {text:?}"
        );
    }
}
