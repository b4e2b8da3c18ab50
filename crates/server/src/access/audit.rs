//! The audit log: who came from where with which credential, what they took or changed, and what they were refused, as
//! one JSON object a line. No secrets and no bytes of boards are in it. Not the log for people; that is `telemetry`.
//!
//! A line is one `write` to the page cache, so a slow disk delays the daemon no more than any write to a file may. What
//! strangers cause is bounded to [`STRANGERS`] lines in [`PERIOD`], the rest is counted in a line of its own; a file
//! that has reached [`LARGEST`] bytes becomes `PATH.1`, instead of the one before. What cannot be written is counted and
//! told in the log, and here as well when it can be: half a line is taken back, and how many are missing is said in
//! their place.

use std::cell::{Cell, RefCell};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};

use super::identity::Credential;
use crate::{harmless, stdio};

/// How many lines strangers may cause in one period.
const STRANGERS: u32 = 100;
const PERIOD: Duration = Duration::from_secs(10);
/// How big the file may become, in bytes.
const LARGEST: u64 = 64 << 20;

/// Where the audit log goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AuditTo {
    /// Nowhere.
    #[default]
    Nowhere,
    /// stderr, beside the log.
    Stderr,
    /// A file that only the user of uartd may read.
    File(PathBuf),
}

/// The audit log.
#[derive(Debug, Default)]
pub struct Audit {
    to: AuditTo,
    file: RefCell<Option<Open>>,
    lost: Cell<u64>,
    /// How many of those lost are not yet told by a line here.
    missing: Cell<u64>,
    strangers: Cell<Bucket>,
}

#[derive(Debug)]
struct Open {
    file: File,
    size: u64,
}

/// What strangers have caused in the running period.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    since: Option<SystemTime>,
    written: u32,
    suppressed: u64,
}

/// Somebody, as every line about them says it.
#[derive(Debug, Clone, Serialize)]
pub struct Who<'a> {
    /// Where they are.
    pub peer: &'a str,
    /// What they speak.
    pub protocol: &'static str,
    /// Who they are, as text: `anonymous`, `token NAME`.
    #[serde(rename = "as", serialize_with = "as_text")]
    pub credential: Credential,
}

/// Something that is written down.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[allow(missing_docs)] // docs/security.md says what each line and field is
pub enum Event<'a> {
    /// The daemon has started.
    Started { version: &'a str },
    /// The daemon stops.
    Stopped,
    /// Another configuration is in force.
    Reloaded { changes: &'a [String] },
    /// A listener that lets anybody in from other machines, or carries secrets in the clear.
    Insecure { protocol: &'a str, address: &'a str },
    /// Somebody is in.
    Admitted {
        #[serde(flatten)]
        who: Who<'a>,
    },
    /// Somebody who was in has left, or was shown out.
    Left {
        #[serde(flatten)]
        who: Who<'a>,
        /// Requests that were refused after the first of their kind.
        #[serde(skip_serializing_if = "is_zero")]
        more_refused: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        why: Option<&'a str>,
    },
    /// Somebody was not let in.
    TurnedAway {
        peer: &'a str,
        protocol: &'a str,
        why: &'a str,
    },
    /// Something was refused: the first time on this connection.
    Refused {
        #[serde(flatten)]
        who: Who<'a>,
        /// `None`: it is about the gateway.
        #[serde(skip_serializing_if = "Option::is_none")]
        port: Option<&'a str>,
        right: &'a str,
        why: &'a str,
    },
    /// A control operation was asked for by somebody who may.
    Control {
        #[serde(flatten)]
        who: Who<'a>,
        /// `None`: it is about the gateway.
        #[serde(skip_serializing_if = "Option::is_none")]
        port: Option<&'a str>,
        right: &'a str,
        what: &'a str,
    },
    /// Somebody has the lease of a port now.
    Lease {
        #[serde(flatten)]
        who: Who<'a>,
        port: &'a str,
        /// From whom it was stolen.
        #[serde(skip_serializing_if = "Option::is_none")]
        from: Option<&'a str>,
        how: &'a str,
    },
    /// A token is in force, or no longer.
    Token { token: &'a str, what: &'a str },
    /// So many lines about strangers were left out.
    Suppressed { lines: u64 },
    /// So many lines could not be written here.
    Lost { lines: u64 },
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(flatten)]
    event: &'a Event<'a>,
}

impl Audit {
    /// An audit log that goes there.
    ///
    /// # Errors
    /// The file cannot be opened; the error names it.
    pub fn open(to: AuditTo) -> io::Result<Audit> {
        let file = match &to {
            AuditTo::File(path) => Some(Open::new(path).map_err(|error| name(path, &error))?),
            AuditTo::Stderr | AuditTo::Nowhere => None,
        };
        Ok(Audit {
            to,
            file: RefCell::new(file),
            ..Audit::default()
        })
    }

    /// Opens the file again, which somebody may have moved away.
    pub fn reopen(&self) {
        if let AuditTo::File(path) = &self.to {
            match Open::new(path) {
                Ok(open) => *self.file.borrow_mut() = Some(open),
                Err(error) => {
                    let error = name(path, &error);
                    tracing::error!(%error, "the audit log goes on where it was");
                }
            }
        }
    }

    /// How many lines could not be written.
    pub fn lost(&self) -> u64 {
        self.lost.get()
    }

    /// Writes down what somebody who was let in, or the daemon itself, has done.
    pub fn record(&self, date: SystemTime, event: &Event<'_>) {
        if self.to == AuditTo::Nowhere {
            return;
        }
        let missing = match self.missing.get() {
            0 => Ok(String::new()),
            lines => line(date, &Event::Lost { lines }),
        };
        let lines = match missing.and_then(|missing| Ok(missing + &line(date, event)?)) {
            Ok(lines) => lines,
            Err(error) => return self.lose(&error.into()),
        };
        match &self.to {
            AuditTo::Nowhere => {}
            AuditTo::Stderr => stdio::tell(&lines),
            AuditTo::File(path) => match self.append(path, lines.as_bytes()) {
                Ok(()) => self.missing.set(0),
                Err(error) => self.lose(&error),
            },
        }
    }

    /// Writes down what a stranger has done, unless strangers have caused too many lines.
    pub fn record_stranger(&self, date: SystemTime, event: &Event<'_>) {
        let mut bucket = self.strangers.take();
        let running = bucket.since.is_some_and(|since| {
            date.duration_since(since)
                .is_ok_and(|elapsed| elapsed < PERIOD)
        });
        if !running {
            let lines = bucket.suppressed;
            bucket = Bucket {
                since: Some(date),
                ..Bucket::default()
            };
            if lines > 0 {
                self.record(date, &Event::Suppressed { lines });
            }
        }
        if bucket.written < STRANGERS {
            bucket.written += 1;
            self.record(date, event);
        } else {
            bucket.suppressed += 1;
        }
        self.strangers.set(bucket);
    }

    /// Appends these lines, or nothing.
    fn append(&self, path: &Path, lines: &[u8]) -> io::Result<()> {
        let mut file = self.file.borrow_mut();
        if file.as_ref().is_none_or(|open| open.size >= LARGEST) {
            if file.take().is_some() {
                let mut old = path.as_os_str().to_owned();
                old.push(".1");
                fs::rename(path, old)?;
            }
            *file = Some(Open::new(path)?);
        }
        if let Some(open) = file.as_mut() {
            if let Err(error) = open.file.write_all(lines) {
                // What a full disk had still taken; less there than we know of is somebody else's doing.
                if open.file.metadata()?.len() > open.size {
                    open.file.set_len(open.size)?;
                }
                return Err(error);
            }
            open.size += lines.len() as u64;
        }
        Ok(())
    }

    fn lose(&self, error: &io::Error) {
        let lost = self.lost.get() + 1;
        self.lost.set(lost);
        self.missing.set(self.missing.get() + 1);
        // A full disk would fill the log as well.
        if lost.is_power_of_two() {
            tracing::error!(lost, %error, "the audit log cannot be written");
        }
    }
}

fn line(date: SystemTime, event: &Event<'_>) -> serde_json::Result<String> {
    let time = humantime::format_rfc3339_millis(date).to_string();
    Ok(harmless::json(&Line { time, event })? + "\n")
}

impl Open {
    fn new(path: &Path) -> io::Result<Open> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        let size = file.metadata()?.len();
        Ok(Open { file, size })
    }
}

fn name(path: &Path, error: &io::Error) -> io::Error {
    let text = format!("cannot open the audit log {}: {error}", path.display());
    io::Error::new(error.kind(), text)
}

fn as_text<S: Serializer>(credential: &Credential, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(credential)
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn stranger() -> Event<'static> {
        Event::TurnedAway {
            peer: "10.0.0.1:1",
            protocol: "uartnet",
            why: "no",
        }
    }

    fn lines(path: &Path) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(path).unwrap();
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn a_line_is_a_json_object_in_a_private_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let audit = Audit::open(AuditTo::File(path.clone())).unwrap();
        let date = SystemTime::UNIX_EPOCH + Duration::from_millis(1500);
        audit.record(
            date,
            &Event::Admitted {
                who: Who {
                    peer: "10.0.0.1:1",
                    protocol: "raw",
                    credential: Credential::Anonymous,
                },
            },
        );
        let expected = serde_json::json!({
            "time": "1970-01-01T00:00:01.500Z", "event": "admitted",
            "peer": "10.0.0.1:1", "protocol": "raw", "as": "anonymous",
        });
        assert_eq!(lines(&path), [expected]);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // As logrotate does.
        fs::rename(&path, folder.path().join("old")).unwrap();
        audit.reopen();
        audit.record(date, &Event::Stopped);
        assert_eq!(lines(&path).len(), 1);
    }

    #[test]
    fn strangers_do_not_fill_the_disk_and_what_is_left_out_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let audit = Audit::open(AuditTo::File(path.clone())).unwrap();
        let date = SystemTime::UNIX_EPOCH;
        for _ in 0..1000 {
            audit.record_stranger(date, &stranger());
        }
        assert_eq!(lines(&path).len(), STRANGERS as usize);
        audit.record_stranger(date + PERIOD, &stranger());
        let lines = lines(&path);
        assert_eq!(lines.len(), STRANGERS as usize + 2);
        assert_eq!(lines[STRANGERS as usize]["lines"], 1000 - STRANGERS);
    }

    #[test]
    fn a_full_file_becomes_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        File::create(&path).unwrap().set_len(LARGEST).unwrap();
        let audit = Audit::open(AuditTo::File(path.clone())).unwrap();
        audit.record(SystemTime::UNIX_EPOCH, &Event::Stopped);
        assert_eq!(lines(&path).len(), 1);
        let old = folder.path().join("audit.jsonl.1");
        assert_eq!(fs::metadata(old).unwrap().len(), LARGEST);
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        let audit = Audit::open(AuditTo::File("/dev/full".into())).unwrap();
        audit.record(SystemTime::UNIX_EPOCH, &Event::Stopped);
        assert_eq!(audit.lost(), 1);
        assert!(Audit::open(AuditTo::File("/nowhere/at/all".into())).is_err());
    }
}
