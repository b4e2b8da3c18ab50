//! Reads a text log back, a page at a time, over all its files. It blocks, so it works where the writer does.
//!
//! Who reads on gives back the [`Cursor`] of the page before. A page ends after a bounded number of bytes looked at,
//! whatever was found in them.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use uartnet_proto::message::{Blob, LogContent, LogRecord};

use super::event::Event;
use super::files::Files;
use super::text::{self, Content, Record};
use super::writer::{Committed, Shared, lock};

/// How many bytes of files one page looks at.
const LOOKED_AT: u64 = 2 << 20;
/// A line that is longer than this is none of ours.
const LONGEST_LINE: u64 = 64 * 1024;

/// What is wanted of a log.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    /// Nothing from before this.
    pub(crate) since: Option<When>,
    /// Nothing from then on.
    pub(crate) until: Option<When>,
    /// On from here.
    pub(crate) after: Option<Cursor>,
    /// Nothing from here on.
    pub(crate) to: Option<Cursor>,
    /// How many bytes the records may have as JSON, about.
    pub(crate) limit: usize,
}

/// A moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// This one.
    At(SystemTime),
    /// So long before now.
    Ago(Duration),
}

impl When {
    fn resolve(self, now: SystemTime) -> SystemTime {
        match self {
            When::At(time) => time,
            When::Ago(ago) => now.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH),
        }
    }
}

/// A place in a log: a file's number, and a byte in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Cursor {
    number: u64,
    byte: u64,
}

/// A piece of a log.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) records: Vec<LogRecord>,
    /// Where the next page begins.
    pub(crate) next: Cursor,
    /// Where the log ended when the page was begun. Who reads up to there comes to an end, however fast it grows.
    pub(crate) end: Cursor,
    /// Whether there is more now.
    pub(crate) more: bool,
    /// What stood at the cursor was deleted before it was read.
    pub(crate) skipped: bool,
}

/// Reads a page.
///
/// # Errors
/// A file cannot be read.
pub(super) fn read(
    files: &Files,
    shared: &Shared,
    query: &Query,
    now: SystemTime,
) -> io::Result<Page> {
    let since = query.since.map(|since| since.resolve(now));
    let until = query.until.map(|until| until.resolve(now));
    let mut page = Page {
        end: lock(shared).end(),
        ..Page::default()
    };
    let mut at = match query.after {
        Some(cursor) => cursor,
        None => Cursor {
            number: first_file(files, shared, since)?,
            byte: 0,
        },
    };
    let mut looked_at = 0;
    let mut left = query.limit;
    loop {
        let Some(mut opened) = open(files, shared, at.number)? else {
            page.next = at;
            return Ok(page);
        };
        if opened.number != at.number || at.byte > opened.length {
            page.skipped |= query.after.is_some();
            at = Cursor {
                number: opened.number,
                byte: 0,
            };
        }
        if query.to.is_some_and(|to| at >= to) {
            page.next = at;
            return Ok(page);
        }
        opened.file.seek(SeekFrom::Start(at.byte))?;
        let mut lines =
            BufReader::new(&mut opened.file).take(opened.length.saturating_sub(at.byte));
        let mut last = None;
        loop {
            let mut line = Vec::new();
            let count = lines
                .by_ref()
                .take(LONGEST_LINE)
                .read_until(b'\n', &mut line)? as u64;
            if count == 0 {
                break;
            }
            looked_at += count;
            let record = line
                .strip_suffix(b"\n")
                .and_then(text::decode)
                .unwrap_or_else(|| damaged(last.as_ref(), count));
            if until.is_some_and(|until| record.time >= until) {
                page.next = at;
                return Ok(page);
            }
            if since.is_none_or(|since| record.time >= since) {
                let told = told(&record);
                let size = serde_json::to_string(&told).map_or(0, |json| json.len() + 1);
                if size > left && !page.records.is_empty() {
                    page.next = at;
                    page.more = true;
                    return Ok(page);
                }
                left = left.saturating_sub(size);
                page.records.push(told);
            }
            at.byte += count;
            last = Some(record);
            let is_there = query.to.is_some_and(|to| at >= to);
            if is_there || looked_at >= LOOKED_AT {
                page.next = at;
                page.more = !is_there;
                return Ok(page);
            }
        }
        if opened.is_newest {
            page.next = at;
            return Ok(page);
        }
        at = Cursor {
            number: at.number + 1,
            byte: 0,
        };
    }
}

struct Opened {
    file: File,
    number: u64,
    /// How much of it may be read.
    length: u64,
    is_newest: bool,
}

/// The file with this number, or the oldest one after it.
fn open(files: &Files, shared: &Shared, number: u64) -> io::Result<Option<Opened>> {
    let committed = lock(shared);
    for old in files.old()? {
        if old.number < number || old.number >= committed.number {
            continue;
        }
        let Some(file) = if_there(File::open(&old.path))? else {
            continue;
        };
        return Ok(Some(Opened {
            length: file.metadata()?.len(),
            file,
            number: old.number,
            is_newest: false,
        }));
    }
    let Some(file) = if_there(File::open(files.path()))?.filter(|_| committed.number > 0) else {
        return Ok(None);
    };
    Ok(Some(Opened {
        length: committed.length,
        file,
        number: committed.number,
        is_newest: true,
    }))
}

/// The number of the file in which records since then begin: the newest that begins before.
fn first_file(files: &Files, shared: &Shared, since: Option<SystemTime>) -> io::Result<u64> {
    let Some(since) = since else { return Ok(0) };
    let mut numbers: Vec<u64> = files.old()?.iter().map(|old| old.number).collect();
    numbers.push(lock(shared).number);
    for number in numbers.into_iter().rev() {
        let Some(mut opened) = open(files, shared, number)? else {
            continue;
        };
        let mut line = Vec::new();
        let length = opened.length.min(LONGEST_LINE);
        BufReader::new(&mut opened.file)
            .take(length)
            .read_until(b'\n', &mut line)?;
        let begins = text::decode(line.strip_suffix(b"\n").unwrap_or(&line));
        if begins.is_some_and(|first| first.time <= since) {
            return Ok(number);
        }
    }
    Ok(0)
}

fn if_there(file: io::Result<File>) -> io::Result<Option<File>> {
    match file {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is told of a line that is no record.
fn damaged(last: Option<&Record>, bytes: u64) -> Record {
    Record {
        time: last.map_or(SystemTime::UNIX_EPOCH, |last| last.time),
        offset: last.map_or(0, |last| last.offset),
        content: Content::Event(Event::Damaged { bytes }),
    }
}

fn told(record: &Record) -> LogRecord {
    LogRecord {
        time: humantime::format_rfc3339_micros(record.time).to_string(),
        offset: record.offset,
        content: match &record.content {
            Content::Received(bytes) => LogContent::Received(Blob(bytes.clone().into())),
            Content::Sent(bytes) => LogContent::Sent(Blob(bytes.clone().into())),
            // Made of texts and numbers, so that it is JSON.
            Content::Event(event) => {
                LogContent::Event(serde_json::to_value(event).unwrap_or_default())
            }
        },
    }
}

impl Committed {
    /// Where the log ends.
    fn end(&self) -> Cursor {
        Cursor {
            number: self.number,
            byte: self.length,
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.number, self.byte)
    }
}

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Cursor, ()> {
        let (number, byte) = text.split_once(':').ok_or(())?;
        let parse = |digits: &str| digits.parse().map_err(|_| ());
        Ok(Cursor {
            number: parse(number)?,
            byte: parse(byte)?,
        })
    }
}
