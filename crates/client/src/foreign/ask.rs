//! Asks at a gateway that is not uartnet's: one command, its reply, found here by the profile. Nobody keeps other clients of
//! that gateway from talking in between, and a reply that comes too late may be taken for that of the next command.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until, timeout};
use uartnet_interpreter::{Echoes, Found, Profile, Reply as Matcher};
use uartnet_proto::message::{Blob, ErrorAnswer, ErrorCode, Reply};

use super::{Foreign, ForeignGateway};
use crate::{ClientError, Followed, ReadEvent};

/// Asks a board behind a gateway that is not uartnet's.
#[derive(Debug)]
pub struct Asker {
    foreign: Foreign,
    profile: Profile,
    /// What the last reply has shown of the board's echo.
    echoes: Echoes,
}

impl Asker {
    /// Connects.
    ///
    /// # Errors
    /// [`ClientError::Foreign`].
    pub async fn connect(
        gateway: impl Into<ForeignGateway>,
        limit: Duration,
        profile: Profile,
    ) -> Result<Asker, ClientError> {
        let mut foreign = Foreign::new(gateway, false, limit);
        foreign.next().await?;
        Ok(Asker {
            foreign,
            profile,
            echoes: Echoes::Unknown,
        })
    }

    /// One command, without its end of line, and its reply. What had arrived before is not a part of it.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with `timeout` (and what had arrived), `board-error`, `bad-command`, or `too-big`; [`ClientError::Foreign`].
    pub async fn ask(&mut self, command: &Bytes) -> Result<Reply, ClientError> {
        // What has arrived is there at the first look. A board that never stops is asked all the same.
        let looking = Instant::now();
        while looking.elapsed() < self.profile.timeout
            && let Ok(followed) = timeout(Duration::ZERO, self.foreign.next()).await
        {
            followed?;
        }
        let line = self
            .profile
            .frame(command)
            .map_err(|error| refused(ErrorCode::BadCommand, error.to_string(), None))?;
        if self.foreign.write(&line) < line.len() {
            let message = format!("a command of {} bytes is too long", command.len());
            return Err(refused(ErrorCode::BadCommand, message, None));
        }
        let begin = Instant::now();
        let deadline = begin + self.profile.timeout;
        let mut matcher = Matcher::new(&self.profile, command, self.echoes);
        let mut from = None;
        loop {
            let due = matcher.poll_timeout().map(Instant::from_std);
            let due = due.map_or(deadline, |due| due.min(deadline));
            let found = tokio::select! {
                biased;
                followed = self.foreign.next() => match followed? {
                    Followed::Read(ReadEvent::Data { offset, bytes }) => {
                        from.get_or_insert(offset);
                        matcher.handle_data(Instant::now().into_std(), &bytes)
                    }
                    _ => None,
                },
                () = sleep_until(due) => matcher.handle_timeout(Instant::now().into_std()),
            };
            if let Some(found) = found {
                if matcher.echoed() == Some(true) {
                    self.echoes = Echoes::Usual;
                }
                let from = from.unwrap_or_default();
                let to = from.saturating_add(found.consumed);
                return answer(found, from, to, begin.elapsed());
            }
            if matcher.is_beyond(self.profile.max_reply) {
                let message = format!("the reply is longer than {} bytes", self.profile.max_reply);
                return Err(refused(ErrorCode::TooBig, message, None));
            }
            if Instant::now() >= deadline {
                let limit = humantime::format_duration(self.profile.timeout);
                let message = format!("no whole reply within {limit}");
                let partial = Some(Blob(matcher.discard()));
                return Err(refused(ErrorCode::Timeout, message, partial));
            }
        }
    }
}

/// What the gateway of uartnet would answer.
fn answer(found: Found, from: u64, to: u64, took: Duration) -> Result<Reply, ClientError> {
    let some = |bytes: Bytes| (!bytes.is_empty()).then_some(Blob(bytes));
    let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let unsolicited = some(found.unsolicited);
    match found.refused {
        None => Ok(Reply {
            reply: Blob(found.reply),
            from,
            to,
            took_us,
            unsolicited,
        }),
        Some(board) => Err(ClientError::Refused(Box::new(ErrorAnswer {
            partial: some(board.before),
            words: Some(Blob(found.reply)),
            from: Some(from),
            to: Some(to),
            took_us: Some(took_us),
            unsolicited,
            ..ErrorAnswer::new(ErrorCode::BoardError, board.sentence)
        }))),
    }
}

fn refused(error: ErrorCode, message: String, partial: Option<Blob>) -> ClientError {
    ClientError::Refused(Box::new(ErrorAnswer {
        partial,
        ..ErrorAnswer::new(error, message)
    }))
}
