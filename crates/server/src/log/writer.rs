//! Writes one log: records into files that are begun and put by, each record whole and once. It blocks, so it works on a
//! thread of its own and never on the one that carries bytes.
//!
//! What is written is *committed* in steps: a step is in the file whole, or the file is cut back to where it was. So
//! whoever asked for it to be written knows exactly where to go on, whatever the disk did.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use uartnet_hub::{LogPlace, Offset};

use super::cast::Recorder;
use super::event::{Event, FORMAT};
use super::files::Files;
use super::piece::{Piece, What};
use super::text;
use crate::config::{LogConfig, LogFormat, Sync, WhatToLog};

/// A step is committed when it has this many bytes.
const STEP: usize = 256 * 1024;
/// How many bytes of a raw log are one record: it can be rotated behind any of them.
const RAW_RECORD: usize = 4096;
/// How often it is looked whether the file is still where it was.
const LOOK: Duration = Duration::from_secs(1);

/// Who a log is of.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) gateway: String,
    pub(crate) port: String,
    pub(crate) device: String,
    pub(crate) epoch: String,
}

/// How far the newest file may be read by others, and which number it will have.
#[derive(Debug, Default)]
pub(super) struct Committed {
    pub(super) number: u64,
    pub(super) length: u64,
}

/// Held while files are renamed, so that who looks for them finds them where they are.
pub(super) type Shared = Arc<Mutex<Committed>>;

pub(super) fn lock(shared: &Shared) -> MutexGuard<'_, Committed> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What came of writing.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// How far the port is written down now; `None`: no further than before.
    pub(super) committed: Option<LogPlace>,
    /// Records and bytes.
    pub(super) records: u64,
    pub(super) bytes: u64,
    /// Why not everything was written.
    pub(super) error: Option<io::Error>,
}

/// Writes one log.
#[derive(Debug)]
pub(super) struct Writer {
    config: LogConfig,
    identity: Identity,
    files: Files,
    shared: Shared,
    recorder: Recorder,
    /// What it was when something was last committed.
    committed: Recorder,
    /// How far received bytes are written down.
    offset: u64,
    open: Option<Open>,
    /// The next record goes into another file.
    begin_another: bool,
    synced: SystemTime,
    looked: SystemTime,
}

/// The newest file.
#[derive(Debug)]
struct Open {
    file: File,
    /// Committed bytes.
    length: u64,
    begun: SystemTime,
    /// Something is not known to be on the disk.
    unsynced: bool,
}

/// What is to be committed next.
#[derive(Debug, Default)]
struct Step {
    bytes: Vec<u8>,
    records: u64,
    after: Option<LogPlace>,
}

impl Writer {
    /// A writer that goes on at this offset.
    pub(super) fn new(
        config: LogConfig,
        identity: Identity,
        offset: Offset,
        shared: Shared,
    ) -> Writer {
        Writer {
            files: Files::new(config.path.clone()),
            config,
            identity,
            shared,
            recorder: Recorder::new(),
            committed: Recorder::new(),
            offset: offset.0,
            open: None,
            begin_another: false,
            synced: SystemTime::UNIX_EPOCH,
            looked: SystemTime::UNIX_EPOCH,
        }
    }

    /// Writes pieces as far as possible.
    pub(super) fn write(&mut self, pieces: &[Piece], now: SystemTime) -> Written {
        let mut written = Written::default();
        // A file begins no later than its first record.
        let begins = pieces.first().map_or(now, |first| first.time.min(now));
        if let Err(error) = self.try_write(pieces, begins, &mut written) {
            self.recorder = self.committed.clone();
            written.error = Some(error);
        }
        written
    }

    /// What was written is on the disk when this returns, if it is time for that, or `at_once`.
    pub(super) fn sync(&mut self, now: SystemTime, at_once: bool) -> io::Result<()> {
        let is_due = match self.config.sync {
            Sync::Never => false,
            Sync::Always => true,
            Sync::Every(time) => {
                at_once || now.duration_since(self.synced).is_ok_and(|it| it >= time)
            }
        };
        if let Some(open) = self.open.as_mut().filter(|open| open.unsynced && is_due) {
            open.file.sync_data()?;
            open.unsynced = false;
            self.synced = now;
        }
        Ok(())
    }

    /// In how long what was written should be [synced](Writer::sync); `None`: there is nothing, or nobody wants it.
    pub(super) fn sync_due(&self, now: SystemTime) -> Option<Duration> {
        self.open.as_ref().filter(|open| open.unsynced)?;
        match self.config.sync {
            Sync::Never => None,
            Sync::Always => Some(Duration::ZERO),
            Sync::Every(time) => {
                let since = now.duration_since(self.synced).unwrap_or_default();
                Some(time.saturating_sub(since))
            }
        }
    }

    fn try_write(
        &mut self,
        pieces: &[Piece],
        now: SystemTime,
        written: &mut Written,
    ) -> io::Result<()> {
        self.look(now);
        let mut step = Step::default();
        let sent = self.config.what == WhatToLog::All;
        match self.config.format {
            LogFormat::Text => {
                let encoded = text::encode(pieces, sent);
                let mut from = 0;
                for unit in &encoded.units {
                    let bytes = &encoded.bytes[from..unit.end];
                    from = unit.end;
                    self.make_room(bytes.len(), &mut step, now, written)?;
                    step.add(bytes, unit.records, unit.after);
                }
            }
            LogFormat::Raw => {
                for piece in pieces {
                    self.add_raw(piece, &mut step, now, written)?;
                }
            }
            LogFormat::Asciicast => {
                for piece in pieces {
                    // Times count from the beginning of the file, so it is decided before which file that is.
                    self.make_room(2 * piece.what.len() + 64, &mut step, now, written)?;
                    let (bytes, records) = self.recorder.encode(piece, sent);
                    step.add(&bytes, records, piece.after);
                }
            }
        }
        self.commit(&mut step, written)
    }

    fn add_raw(
        &mut self,
        piece: &Piece,
        step: &mut Step,
        now: SystemTime,
        written: &mut Written,
    ) -> io::Result<()> {
        let What::Received(from, bytes) = &piece.what else {
            return Ok(());
        };
        let mut from = *from;
        for record in bytes.chunks(RAW_RECORD) {
            from += record.len() as u64;
            self.make_room(record.len(), step, now, written)?;
            let after = LogPlace {
                offset: Offset(from),
                ..piece.after
            };
            step.add(record, 1, after);
        }
        Ok(())
    }

    /// Sees to it that a record of so many bytes can follow the step: in the file there is, or in another one.
    fn make_room(
        &mut self,
        length: usize,
        step: &mut Step,
        now: SystemTime,
        written: &mut Written,
    ) -> io::Result<()> {
        if step.bytes.len() >= STEP {
            self.commit(step, written)?;
        }
        if let Some(open) = &self.open {
            let size = open.length + step.bytes.len() as u64;
            let full = size > 0 && size + length as u64 > self.config.rotate_size;
            let old = self
                .config
                .rotate_age
                .is_some_and(|most| now.duration_since(open.begun).is_ok_and(|age| age >= most));
            if full || old {
                self.commit(step, written)?;
                self.put_by(now)?;
            }
        }
        if self.open.is_none() {
            self.begin(step, now)?;
        }
        Ok(())
    }

    /// Opens the newest file, or begins it.
    fn begin(&mut self, step: &mut Step, now: SystemTime) -> io::Result<()> {
        let file = self.files.open(self.config.mode)?;
        let known = file.metadata()?;
        let newest = self.files.old()?.last().map_or(0, |old| old.number);
        {
            let mut committed = lock(&self.shared);
            committed.number = newest + 1;
            committed.length = known.len();
        }
        self.open = Some(Open {
            length: known.len(),
            begun: known.created().or_else(|_| known.modified()).unwrap_or(now),
            unsynced: false,
            file,
        });
        if known.len() > 0 && !self.can_go_on(known.len())? {
            self.put_by(now)?;
            return self.begin(step, now);
        }
        if known.len() == 0 {
            let pruned = self
                .files
                .prune(self.config.keep, self.config.rotate_size, now);
            if let Err(error) = pruned {
                let path = self.config.path.display();
                tracing::warn!(%path, %error, "an old log file cannot be deleted");
            }
        }
        step.bytes.extend(self.head(now));
        // Of text it is a record as any other.
        step.records += u64::from(self.config.format == LogFormat::Text);
        Ok(())
    }

    /// Whether records can follow what is in the file, from an earlier life.
    fn can_go_on(&self, length: u64) -> io::Result<bool> {
        let Some(open) = self.open.as_ref().filter(|_| !self.begin_another) else {
            return Ok(false);
        };
        match self.config.format {
            LogFormat::Raw => Ok(true),
            // A recording has one beginning.
            LogFormat::Asciicast => Ok(false),
            LogFormat::Text => {
                let mut last = [0];
                open.file.read_exact_at(&mut last, length - 1)?;
                let mut first = [0; 256];
                let count = open.file.read_at(&mut first, 0)?;
                let first = String::from_utf8_lossy(&first[..count]);
                if !first.contains(FORMAT) {
                    let what = format!(
                        "{} is there already, and is not a log of ours",
                        self.config.path.display()
                    );
                    return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
                }
                // A record that was cut short stays the last of its file, where it can be told.
                Ok(last == *b"\n")
            }
        }
    }

    /// What stands before the first record that this life writes into a file.
    fn head(&mut self, now: SystemTime) -> Vec<u8> {
        let Identity {
            gateway,
            port,
            device,
            epoch,
        } = self.identity.clone();
        match self.config.format {
            LogFormat::Text => {
                let mut head = Vec::new();
                let event = Event::Log {
                    format: FORMAT.to_owned(),
                    gateway,
                    port,
                    device,
                    epoch,
                };
                text::write_event(&mut head, now, self.offset, &event);
                head
            }
            LogFormat::Raw => Vec::new(),
            LogFormat::Asciicast => self.recorder.header(now, &format!("{port} of {gateway}")),
        }
    }

    /// The newest file becomes an old one.
    fn put_by(&mut self, now: SystemTime) -> io::Result<()> {
        self.sync(now, true)?;
        let mut committed = lock(&self.shared);
        self.files.put_by(committed.number)?;
        committed.number += 1;
        committed.length = 0;
        drop(committed);
        self.open = None;
        self.begin_another = false;
        if self.config.sync != Sync::Never {
            self.files.sync_folder()?;
        }
        Ok(())
    }

    /// Writes the step, whole or not at all.
    fn commit(&mut self, step: &mut Step, written: &mut Written) -> io::Result<()> {
        let Some(open) = self.open.as_mut().filter(|_| !step.bytes.is_empty()) else {
            return Ok(());
        };
        if let Err(error) = open.file.write_all(&step.bytes) {
            if open.file.set_len(open.length).is_err() {
                // A piece of the step may be in the file for good.
                self.begin_another = true;
            }
            self.open = None;
            return Err(error);
        }
        open.length += step.bytes.len() as u64;
        open.unsynced = true;
        lock(&self.shared).length = open.length;
        written.committed = step.after.or(written.committed);
        written.records += step.records;
        written.bytes += step.bytes.len() as u64;
        if let Some(after) = step.after {
            self.offset = after.offset.0;
        }
        self.committed = self.recorder.clone();
        *step = Step::default();
        Ok(())
    }

    /// Somebody may have moved the file, or deleted it: then another one is begun.
    fn look(&mut self, now: SystemTime) {
        if now.duration_since(self.looked).is_ok_and(|it| it < LOOK) {
            return;
        }
        self.looked = now;
        let is_there = |open: &Open| {
            let ours = open.file.metadata()?;
            let there = std::fs::metadata(self.files.path())?;
            io::Result::Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino()))
        };
        if self
            .open
            .as_ref()
            .is_some_and(|open| !is_there(open).unwrap_or(false))
        {
            self.open = None;
        }
    }
}

impl Step {
    fn add(&mut self, bytes: &[u8], records: u64, after: LogPlace) {
        self.bytes.extend_from_slice(bytes);
        self.records += records;
        self.after = Some(after);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::files::Keep;
    use super::super::page::{self, Query, When};
    use super::*;
    use uartnet_proto::message::LogContent;

    fn config(folder: &Path, format: LogFormat) -> LogConfig {
        LogConfig {
            path: folder.join("board0.log"),
            format,
            what: WhatToLog::All,
            rotate_size: 4096,
            rotate_age: None,
            keep: Keep {
                files: None,
                size: None,
                age: None,
            },
            sync: Sync::Always,
            mode: 0o600,
        }
    }

    fn writer(config: &LogConfig, shared: &Shared) -> Writer {
        let identity = Identity {
            gateway: "bench1".to_owned(),
            port: "board0".to_owned(),
            device: "sim:echo".to_owned(),
            epoch: "00c0ffee00c0ffee".to_owned(),
        };
        Writer::new(config.clone(), identity, Offset(0), shared.clone())
    }

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + second)
    }

    /// A piece of received bytes, and what follows it.
    fn received(second: u64, from: u64, bytes: &[u8]) -> Piece {
        Piece {
            time: at(second),
            what: What::Received(from, bytes.to_vec().into()),
            after: LogPlace {
                offset: Offset(from + bytes.len() as u64),
                happening: 0,
            },
        }
    }

    fn write(writer: &mut Writer, pieces: &[Piece]) -> Written {
        let now = pieces.last().unwrap().time;
        let written = writer.write(pieces, now);
        assert!(written.error.is_none(), "{:?}", written.error);
        written
    }

    /// All that the files hold, page by page: received bytes, and how many events of each kind.
    fn read_all(files: &Files, shared: &Shared, limit: usize) -> (Vec<u8>, Vec<String>) {
        let (mut bytes, mut events) = (Vec::new(), Vec::new());
        let mut query = Query {
            limit,
            ..Query::default()
        };
        loop {
            let page = page::read(files, shared, &query, at(0)).unwrap();
            assert!(!page.skipped);
            for record in page.records {
                match record.content {
                    LogContent::Received(blob) => {
                        assert_eq!(record.offset, bytes.len() as u64);
                        bytes.extend_from_slice(&blob.0);
                    }
                    LogContent::Sent(_) => {}
                    LogContent::Event(event) => {
                        events.push(event["event"].as_str().unwrap().to_owned());
                    }
                }
            }
            query.after = Some(page.next);
            if !page.more {
                return (bytes, events);
            }
        }
    }

    #[test]
    fn files_are_rotated_between_records_and_read_back_whole() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), LogFormat::Text);
        let shared = Shared::default();
        let files = Files::new(config.path.clone());
        let mut writer = writer(&config, &shared);
        let mut sent = Vec::new();
        for round in 0..40 {
            let line = format!("line {round} {}\r\n", "x".repeat(round * 20));
            let piece = received(round as u64, sent.len() as u64, line.as_bytes());
            sent.extend_from_slice(line.as_bytes());
            let written = write(&mut writer, &[piece]);
            assert_eq!(written.committed.unwrap().offset.0, sent.len() as u64);
        }
        let old = files.old().unwrap();
        assert!(old.len() >= 3, "{old:?}");
        for path in old.iter().map(|old| &old.path).chain([&config.path]) {
            let text = fs::read_to_string(path).unwrap();
            assert!(text.len() <= 4096 && text.ends_with('\n'));
            assert!(text.lines().next().unwrap().contains(FORMAT));
            assert!(
                text.lines()
                    .all(|line| text::decode(line.as_bytes()).is_some())
            );
        }
        for limit in [1, 500, usize::MAX] {
            let (bytes, events) = read_all(&files, &shared, limit);
            assert_eq!(bytes, sent);
            assert_eq!(events, vec!["log"; old.len() + 1]);
        }
        let since = Query {
            since: Some(When::At(at(30))),
            until: Some(When::Ago(Duration::from_secs(5))),
            limit: usize::MAX,
            ..Query::default()
        };
        let page = page::read(&files, &shared, &since, at(40)).unwrap();
        let lines = page
            .records
            .iter()
            .filter(|record| matches!(record.content, LogContent::Received(_)));
        assert_eq!(lines.count(), 5, "30, 31, 32, 33, 34");
    }

    #[test]
    fn raw_files_are_the_bytes_wherever_they_are_rotated() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), LogFormat::Raw);
        let mut writer = writer(&config, &Shared::default());
        let all: Vec<u8> = (0..50_000_u32).map(|at| (at % 251) as u8).collect();
        let mut from = 0;
        for chunk in all.chunks(7_000) {
            write(&mut writer, &[received(0, from, chunk)]);
            from += chunk.len() as u64;
        }
        let files = Files::new(config.path.clone());
        let old = files.old().unwrap();
        assert!(old.len() > 5);
        let mut back = Vec::new();
        for path in old.iter().map(|old| &old.path).chain([&config.path]) {
            let part = fs::read(path).unwrap();
            assert!(part.len() <= 4096);
            back.extend(part);
        }
        assert_eq!(back, all);
    }

    #[test]
    fn another_life_goes_on_in_the_file_unless_its_last_record_was_cut() {
        for (cut, files_after) in [(0, 0), (1, 1), (10, 1)] {
            let folder = tempfile::tempdir().unwrap();
            let config = config(folder.path(), LogFormat::Text);
            let shared = Shared::default();
            write(
                &mut writer(&config, &shared),
                &[received(0, 0, b"one two\n")],
            );
            let whole = fs::read(&config.path).unwrap();
            fs::write(&config.path, &whole[..whole.len() - cut]).unwrap();

            let shared = Shared::default();
            write(&mut writer(&config, &shared), &[received(1, 0, b"three\n")]);
            let files = Files::new(config.path.clone());
            assert_eq!(files.old().unwrap().len(), files_after, "{cut} cut off");
            let page = page::read(
                &files,
                &shared,
                &Query {
                    limit: usize::MAX,
                    ..Query::default()
                },
                at(1),
            );
            let page = page.unwrap();
            let damaged = page.records.iter().filter(|record| {
                matches!(&record.content, LogContent::Event(event) if event["event"] == "damaged")
            });
            assert_eq!(damaged.count(), usize::from(cut > 0));
            assert!(matches!(
                &page.records.last().unwrap().content,
                LogContent::Received(blob) if &blob.0[..] == b"three\n"
            ));
        }
    }

    #[test]
    fn a_recording_has_one_beginning_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), LogFormat::Asciicast);
        for life in 1..=2 {
            let mut writer = writer(&config, &Shared::default());
            for round in 0..20 {
                write(&mut writer, &[received(life, round * 300, &[b'x'; 300])]);
            }
        }
        let files = Files::new(config.path.clone());
        let old = files.old().unwrap();
        assert!(old.len() >= 3, "{}", old.len());
        for path in old.iter().map(|old| &old.path).chain([&config.path]) {
            let text = fs::read_to_string(path).unwrap();
            let lines: Vec<serde_json::Value> = text
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            assert_eq!(lines[0]["version"], 2);
            assert!(lines.len() > 1 && lines[1..].iter().all(serde_json::Value::is_array));
        }
    }

    #[test]
    fn what_is_there_and_no_log_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), LogFormat::Text);
        fs::write(&config.path, "somebody's letters\n").unwrap();
        let mut writer = writer(&config, &Shared::default());
        let written = writer.write(&[received(0, 0, b"x\n")], at(0));
        assert!(
            written
                .error
                .unwrap()
                .to_string()
                .contains("not a log of ours")
        );
        assert_eq!(written.committed, None);
        assert_eq!(
            fs::read_to_string(&config.path).unwrap(),
            "somebody's letters\n"
        );
        fs::remove_file(&config.path).unwrap();
        write(&mut writer, &[received(1, 0, b"x\n")]);
    }

    #[test]
    fn a_file_that_was_moved_away_is_begun_again() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), LogFormat::Text);
        let mut writer = writer(&config, &Shared::default());
        write(&mut writer, &[received(0, 0, b"one\n")]);
        fs::rename(&config.path, folder.path().join("elsewhere")).unwrap();
        write(&mut writer, &[received(2, 4, b"two\n")]);
        let text = fs::read_to_string(&config.path).unwrap();
        assert!(text.contains("< 4 two") && text.contains(FORMAT), "{text}");
    }
}
