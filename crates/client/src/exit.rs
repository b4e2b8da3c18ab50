//! How the process ends: the exit codes, and what is said on stderr before.

use std::io;
use std::process::ExitCode;

use uartnet_client::ClientError;
use uartnet_proto::message::{Blob, ErrorAnswer, ErrorCode};

use crate::{credentials, output, sanitize};

/// How a command ended. docs/client.md and `uart --help` list the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0
    Done,
    /// 1: the board or the gateway said no.
    Refused,
    /// 2: what was typed makes no sense.
    Usage,
    /// 3: the gateway cannot be reached, or does not speak uartnet.
    Unreachable,
    /// 4: no answer in time.
    TimedOut,
    /// 128 and its number: a signal ended it.
    Signal(u8),
    /// That of a command which was run.
    Of(u8),
}

/// Something typed that makes no sense, and that only shows after parsing.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

impl Exit {
    pub(crate) fn of(error: &anyhow::Error) -> Exit {
        if error.is::<UsageError>() {
            return Exit::Usage;
        }
        match error.downcast_ref::<ClientError>() {
            Some(ClientError::Refused(answer)) => Exit::of_code(&answer.error),
            Some(ClientError::NoAnswer { .. }) => Exit::TimedOut,
            Some(ClientError::Unprotected { .. }) => Exit::Usage,
            Some(_) => Exit::Unreachable,
            None => Exit::Refused,
        }
    }

    /// How a command ends to which the gateway answered with this error.
    pub(crate) fn of_code(code: &ErrorCode) -> Exit {
        match code {
            ErrorCode::Timeout | ErrorCode::Waited => Exit::TimedOut,
            _ => Exit::Refused,
        }
    }

    fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Refused => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 3,
            Exit::TimedOut => 4,
            Exit::Signal(number) => 128 + number,
            Exit::Of(code) => code,
        }
    }
}

/// Says on stderr what went wrong, and gives the exit code. Whoever closed our stdout has seen enough: that is no error.
pub(crate) fn report(result: anyhow::Result<Exit>) -> ExitCode {
    let exit = match result {
        Ok(exit) => exit,
        Err(error) if is_broken_pipe(&error) => Exit::Done,
        Err(error) => {
            complain(&error);
            if let Some(ClientError::Refused(answer)) = error.downcast_ref()
                && let Some(advice) = advice(answer, credentials::is_from_environment())
            {
                output::complain(advice);
            }
            Exit::of(&error)
        }
    };
    ExitCode::from(exit.code())
}

/// What to do about it, where the gateway's sentence does not say so.
fn advice(answer: &ErrorAnswer, from_environment: bool) -> Option<&'static str> {
    match answer.error {
        ErrorCode::Forbidden => Some(
            "whoever runs the gateway decides that, by your token (uartd token create NAME --access …) or certificate",
        ),
        // Certificates have sentences of their own.
        ErrorCode::Unauthorized if answer.message.contains("certificate") => None,
        ErrorCode::Unauthorized if !answer.message.contains("token") => None,
        ErrorCode::Unauthorized if from_environment => Some(
            "that was the token in UART_TOKEN, which stands above uart login; one that is in force comes from whoever runs the \
             gateway (uartd token create NAME)",
        ),
        ErrorCode::Unauthorized if answer.message.contains("uart login") => None,
        ErrorCode::Unauthorized => Some(
            "one that is in force comes from whoever runs the gateway (uartd token create NAME), then: uart login",
        ),
        _ => None,
    }
}

/// Says on stderr what went wrong, what had arrived until then, and what the board itself said of it.
pub(crate) fn complain(error: &anyhow::Error) {
    let sentence = sanitize::harmless(format!("{error:#}").as_bytes());
    output::complain(&sentence);
    let Some(ClientError::Refused(answer)) = error.downcast_ref() else {
        return;
    };
    let text = |bytes: &Option<Blob>| {
        let text = bytes.as_ref().map(|bytes| sanitize::harmless(&bytes.0));
        text.filter(|text| !text.is_empty())
    };
    if let Some(partial) = text(&answer.partial) {
        output::complain(&format!("what had arrived: \"{partial}\""));
    }
    // Words of one line are in the sentence already.
    if let Some(words) = text(&answer.words).filter(|words| !sentence.contains(words)) {
        output::complain(&format!("the board's words: \"{words}\""));
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_refused_is_told_what_to_do() {
        let not_in_force = "this token is not in force here";
        let no_token = "this listener lets in who has a token; then: uart login";
        let certificate = "the certificate has expired";
        let beside = "this listener knows you by your certificate, and takes no token beside it";
        for (error, message, from_environment, advised) in [
            (ErrorCode::Forbidden, "no", false, "--access"),
            (ErrorCode::Unauthorized, not_in_force, true, "UART_TOKEN"),
            (ErrorCode::Unauthorized, not_in_force, false, "uart login"),
            (ErrorCode::Unauthorized, no_token, false, ""),
            (ErrorCode::Unauthorized, certificate, true, ""),
            (ErrorCode::Unauthorized, beside, true, ""),
            (ErrorCode::UnknownPort, "no", true, ""),
        ] {
            let advice = advice(&ErrorAnswer::new(error, message), from_environment);
            assert_eq!(advice.is_none(), advised.is_empty(), "{message}");
            assert!(advice.unwrap_or_default().contains(advised), "{message}");
        }
    }

    fn refused(error: ErrorCode) -> anyhow::Error {
        ClientError::Refused(Box::new(ErrorAnswer::new(error, "no"))).into()
    }

    #[test]
    fn every_kind_of_failure_has_its_exit_code() {
        let gateway = || "g:1".parse().unwrap();
        let limit = std::time::Duration::from_secs(1);
        for (error, code) in [
            (refused(ErrorCode::UnknownPort), 1),
            (refused(ErrorCode::Timeout), 4),
            (refused(ErrorCode::Waited), 4),
            (refused(ErrorCode::BoardError), 1),
            (ClientError::Unprotected { gateway: gateway() }.into(), 2),
            (
                ClientError::NoAnswer {
                    gateway: gateway(),
                    question: "list",
                    limit,
                }
                .into(),
                4,
            ),
            (ClientError::Closed { gateway: gateway() }.into(), 3),
            (
                ClientError::ConnectTimedOut {
                    gateway: gateway(),
                    awaited: "no connection",
                    limit,
                }
                .into(),
                3,
            ),
            (UsageError("what?".to_owned()).into(), 2),
            (
                anyhow::Error::from(ClientError::Closed { gateway: gateway() })
                    .context("after 1 of 2"),
                3,
            ),
            (anyhow::anyhow!("anything else"), 1),
        ] {
            assert_eq!(Exit::of(&error).code(), code, "{error:#}");
        }
    }
}
