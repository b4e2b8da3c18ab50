//! How pages of a log are asked for and told in a session's messages. Not how a log is read; that is `crate::log`'s.

use std::io;
use std::rc::Rc;
use std::time::Instant;

use uartnet_proto::frame::frame_len;
use uartnet_proto::message::{self, Answer, ErrorCode, Records};

use super::failure::Failure;
use super::talk::Answered;
use crate::access::AllowedPort;
use crate::log::{Cursor, NoPage, Page, PageSlot, Query, When};

/// How many bytes the records of one page have at most, about.
const PAGE: usize = 48 * 1024;
/// What an answer has beside its records.
const AROUND: usize = 128;

/// The pages a session waits for.
#[derive(Debug, Default)]
pub(super) struct Pages {
    awaited: Vec<(Rc<PageSlot>, Option<u64>)>,
}

impl Pages {
    pub(super) fn len(&self) -> usize {
        self.awaited.len()
    }

    pub(super) fn ask(
        &mut self,
        now: Instant,
        port: &AllowedPort,
        wanted: &message::Log,
        max_frame: usize,
        id: Option<u64>,
    ) -> Result<(), Failure> {
        let query = Query {
            since: when("since", wanted.since.as_deref())?,
            until: when("until", wanted.until.as_deref())?,
            after: place("after", "next", wanted.after.as_deref())?,
            to: place("to", "end", wanted.to.as_deref())?,
            limit: PAGE.min(max_frame.saturating_sub(frame_len(AROUND))),
        };
        let slot = port.read_log(now, query).map_err(|no_page| {
            let code = match &no_page {
                NoPage::Refused(refusal) => return Failure::from(refusal),
                NoPage::NoLog => ErrorCode::NoLog,
                NoPage::TooMany { .. } => ErrorCode::Busy,
            };
            Failure::new(code, no_page.to_string())
        })?;
        self.awaited.push((slot, id));
        Ok(())
    }

    /// The next page that is there.
    pub(super) fn poll(&mut self) -> Option<Answered> {
        let mut pages = self.awaited.iter().enumerate();
        let (index, page) = pages.find_map(|(index, (slot, _))| Some((index, slot.take()?)))?;
        let (_, id) = self.awaited.remove(index);
        Some((answer(page), id))
    }
}

fn answer(page: io::Result<Page>) -> Answer {
    match page {
        Ok(page) => Answer::Records(Records {
            records: page.records,
            next: page.next.to_string(),
            end: Some(page.end.to_string()),
            more: page.more,
            skipped: page.skipped,
        }),
        Err(error) => {
            let sentence = format!("the log cannot be read: {error}");
            Answer::Error(Failure::new(ErrorCode::NoLog, sentence).answer())
        }
    }
}

/// A place in a log, as a page told it.
fn place(field: &str, told_as: &str, text: Option<&str>) -> Result<Option<Cursor>, Failure> {
    let parsed = text.map(str::parse).transpose();
    parsed.map_err(|()| {
        let sentence = format!("log: {field} must be what \"{told_as}\" of a page said");
        Failure::new(ErrorCode::BadMessage, sentence)
    })
}

/// A time, or how long ago.
fn when(field: &str, text: Option<&str>) -> Result<Option<When>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let when = humantime::parse_rfc3339_weak(text)
        .map(When::At)
        .or_else(|_| humantime::parse_duration(text).map(When::Ago));
    when.map(Some).map_err(|_| {
        let shown: String = text.chars().take(40).collect();
        let sentence = format!(
            "log: {field}: \"{shown}\" is neither a time like 2026-11-22T20:15:33Z nor one like 10m"
        );
        Failure::new(ErrorCode::BadMessage, sentence)
    })
}
