//! Who waits for what so that a log is written: the hub for news, the disk on a thread of its own, the clock. Nothing
//! here waits for a disk on the thread that carries bytes.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use tokio::task::{AbortHandle, JoinHandle, spawn_blocking};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uartnet_hub::{Hub, LogPlace};
use uartnet_reactor::{Alarm, sleep};

use super::event::Event;
use super::files::Files;
use super::piece::{Batch, Clocks, Piece, What, gather};
use super::writer::{Identity, Shared, Writer, Written};
use super::{Log, LogCounters, page};
use crate::config::LogConfig;
use crate::gateway::PortHandle;

/// How long news waits for more, so that a stream of single bytes is not a write each.
const COALESCE: Duration = Duration::from_millis(20);
/// So many bytes do not wait, nor does a quarter of the history.
const EAGER: u64 = 64 * 1024;
/// The first wait after a failure; it doubles up to [`LAST_RETRY`].
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// The longest wait after a failure.
const LAST_RETRY: Duration = Duration::from_secs(15);
/// How long a log may take to come to its end when everything is cut.
const AFTER_CUT: Duration = Duration::from_secs(1);

/// The logs of one port.
#[derive(Debug)]
pub(crate) struct Logs {
    port: Rc<PortHandle>,
    gateway: Box<str>,
    running: Vec<Running>,
    tasks: TaskTracker,
    /// Those that were ended and may still be at work on their files.
    ended: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Running {
    log: Rc<Log>,
    task: JoinHandle<()>,
}

impl Logs {
    /// Begins these logs; what happens to the port from now on will be in them. Must be called within the daemon's
    /// runtime.
    pub(crate) fn start(port: &Rc<PortHandle>, configs: &[LogConfig], gateway: &str) -> Logs {
        let mut logs = Logs {
            gateway: gateway.into(),
            port: port.clone(),
            running: Vec::new(),
            tasks: TaskTracker::new(),
            ended: Vec::new(),
        };
        logs.set(configs);
        logs
    }

    /// These are the logs from now on: those that stay as they are go on, the others end, and new ones begin.
    pub(crate) fn set(&mut self, configs: &[LogConfig]) {
        let (stay, go) = self
            .running
            .drain(..)
            .partition(|running| configs.contains(&running.log.config));
        self.running = stay;
        let here = self.port.look_into_hub(Hub::log_end);
        for Running { log, task } in go {
            // What comes from now on is for the logs that follow.
            log.until.set(Some(here));
            log.end();
            self.ended.push(task);
        }
        let now = Instant::now();
        if !configs.is_empty() {
            self.port.drive(now, |hub| hub.keep_journal(now, true));
        }
        for config in configs {
            if self.running.iter().any(|it| it.log.config == *config) {
                continue;
            }
            let place = self.port.look_into_hub(Hub::log_end);
            // How the device is found; where nothing has ever happened, whatever does will be told.
            let first =
                (place != LogPlace::default()).then(|| Event::state(&self.port.info().state));
            let log = Rc::new(Log::new(config.clone(), place));
            // Two that write the same file, one after the other.
            let before = std::mem::take(&mut self.ended);
            let work = work(
                self.port.clone(),
                log.clone(),
                self.identity(),
                first,
                before,
            );
            let (port, tasks) = (self.port.clone(), self.tasks.clone());
            let task = self.tasks.spawn_local(async move {
                work.await;
                // The last one of a port that keeps none any more.
                if tasks.len() == 1 && port.logs().is_empty() {
                    let now = Instant::now();
                    port.drive(now, |hub| hub.keep_journal(now, false));
                }
            });
            self.running.push(Running { log, task });
        }
        self.port
            .set_logs(self.running.iter().map(|it| it.log.clone()).collect());
    }

    /// What a log says it is of.
    fn identity(&self) -> Identity {
        Identity {
            gateway: self.gateway.to_string(),
            port: self.port.name().to_string(),
            device: self.port.device(),
            epoch: self.port.info().epoch.to_string(),
        }
    }

    /// The port has come to its end: the logs are written to theirs.
    pub(crate) fn end(&self) -> EndingLogs {
        for running in &self.running {
            running.log.end();
        }
        self.tasks.close();
        EndingLogs {
            port: self.port.clone(),
            tasks: self.tasks.clone(),
            abort: self
                .running
                .iter()
                .map(|running| running.task.abort_handle())
                .collect(),
        }
    }
}

/// Logs that are being written to their end.
#[derive(Debug)]
pub(crate) struct EndingLogs {
    port: Rc<PortHandle>,
    tasks: TaskTracker,
    abort: Vec<AbortHandle>,
}

impl EndingLogs {
    /// Until they are, or for a moment longer than `cut`.
    pub(crate) async fn wait(self, cut: &CancellationToken) {
        let cut = async {
            cut.cancelled().await;
            sleep(AFTER_CUT).await;
        };
        tokio::select! {
            () = self.tasks.wait() => {}
            () = cut => {
                tracing::warn!(port = %self.port.name(), "a log was not written to its end in time");
                self.abort.iter().for_each(AbortHandle::abort);
            }
        }
    }
}

/// Writes a log and answers questions to it, until it ends.
async fn work(
    port: Rc<PortHandle>,
    log: Rc<Log>,
    identity: Identity,
    first: Option<Event>,
    before: Vec<JoinHandle<()>>,
) {
    for task in before {
        let _ = task.await;
    }
    let shared = Shared::default();
    let files = Arc::new(Files::new(log.config.path.clone()));
    let mut writing = Writing {
        first,
        place: log.place.get(),
        writer: None,
        trouble: None,
        retry: FIRST_RETRY,
        alarm: Alarm::default(),
        port,
        log: log.clone(),
        identity,
        shared: shared.clone(),
    };
    tokio::select! {
        () = writing.run() => {}
        () = answer(&log, files, shared) => {}
    }
    log.refuse_questions();
}

/// Answers questions, one at a time.
async fn answer(log: &Log, files: Arc<Files>, shared: Shared) {
    loop {
        poll_fn(|cx| match log.asked.poll(cx) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
        loop {
            let question = log.questions.borrow_mut().pop_front();
            let Some(question) = question else { break };
            let (files, shared, query) = (files.clone(), shared.clone(), question.query.clone());
            let page =
                spawn_blocking(move || page::read(&files, &shared, &query, SystemTime::now()))
                    .await;
            question
                .answer
                .fill(page.unwrap_or_else(|failed| Err(io::Error::other(failed))));
        }
    }
}

/// One log being written.
struct Writing {
    port: Rc<PortHandle>,
    log: Rc<Log>,
    identity: Identity,
    shared: Shared,
    /// `None` while it is at work, and before the first time.
    writer: Option<Writer>,
    place: LogPlace,
    /// The state in which the log found the device, until that is written.
    first: Option<Event>,
    trouble: Option<Trouble>,
    retry: Duration,
    alarm: Alarm,
}

/// Why nothing can be written, and since when.
struct Trouble {
    reason: String,
    since: SystemTime,
}

impl Writing {
    async fn run(&mut self) {
        loop {
            let ending = self.log.ending.get();
            let clocks = Clocks::read();
            let mut batch = self
                .port
                .look_into_hub(|hub| gather(hub, self.place, self.log.until.get(), clocks, ending));
            let last = ending && !batch.more;
            self.add_own_words(&mut batch, clocks, last);
            let is_due = self.sync_due(clocks.wall);
            if batch.pieces.is_empty() && !is_due.is_some_and(|wait| wait.is_zero()) {
                let synced = is_due.map(|wait| clocks.now + wait);
                self.wait([batch.again, synced].into_iter().flatten().min())
                    .await;
                continue;
            }
            let more = batch.more;
            let is_written = self.write(batch, clocks, last).await;
            if last {
                return;
            }
            if is_written {
                self.retry = FIRST_RETRY;
            } else {
                self.wait_to_retry().await;
            }
            if more {
                // A flood on this port leaves time for the others.
                tokio::task::yield_now().await;
            }
        }
    }

    /// What the log itself has to say: before what happened, how it found the device and why it could not be written;
    /// behind it, that it ends.
    fn add_own_words(&self, batch: &mut Batch, clocks: Clocks, last: bool) {
        let piece = |event: &Event, after| Piece {
            time: clocks.wall,
            what: What::Event(event.clone()),
            after,
        };
        let mut own = Vec::new();
        if let Some(first) = &self.first {
            own.push(piece(first, self.place));
        }
        if let Some(trouble) = &self.trouble {
            let event = Event::Trouble {
                reason: trouble.reason.clone(),
                since: humantime::format_rfc3339_micros(trouble.since).to_string(),
            };
            own.push(piece(&event, self.place));
        }
        // What it says first must not be later than what follows.
        if let Some(first) = batch.pieces.first() {
            own.iter_mut()
                .for_each(|own| own.time = own.time.min(first.time));
        }
        batch.pieces.splice(..0, own);
        if last {
            batch.pieces.push(piece(&Event::Stop, batch.next));
        }
    }

    /// Whether everything was written.
    async fn write(&mut self, batch: Batch, clocks: Clocks, last: bool) -> bool {
        let mut writer = self.writer.take().unwrap_or_else(|| {
            Writer::new(
                self.log.config.clone(),
                self.identity.clone(),
                self.place.offset,
                self.shared.clone(),
            )
        });
        let next = batch.next;
        let work = spawn_blocking(move || {
            let mut written = writer.write(&batch.pieces, clocks.wall);
            if written.error.is_none() {
                written.error = writer.sync(clocks.wall, last).err();
            }
            (writer, batch.pieces, written)
        });
        let (pieces, written) = match work.await {
            Ok((writer, pieces, written)) => {
                self.writer = Some(writer);
                (pieces, written)
            }
            Err(failed) => {
                let error = io::Error::other(format!("internal error: {failed}"));
                let written = Written {
                    error: Some(error),
                    ..Written::default()
                };
                (Vec::new(), written)
            }
        };
        let reached = match (&written.error, written.committed) {
            (None, _) => next,
            (Some(_), Some(place)) => place,
            (Some(_), None) => self.place,
        };
        self.count(&pieces, reached, &written);
        if written.error.is_none() || reached > self.place {
            self.first = None;
        }
        self.place = reached;
        self.log.place.set(reached);
        self.note_trouble(written.error, clocks.wall)
    }

    fn count(&self, pieces: &[Piece], reached: LogPlace, written: &Written) {
        let mut counters: LogCounters = self.log.counters.get();
        counters.records += written.records;
        counters.bytes += written.bytes;
        counters.write_errors += u64::from(written.error.is_some());
        let is_written = |piece: &&Piece| {
            written.error.is_none() || piece.after <= reached && reached > self.place
        };
        for piece in pieces.iter().filter(is_written) {
            match &piece.what {
                What::Event(Event::Gap { from, to }) => counters.lost_bytes += to - from,
                What::Event(Event::Missed { records }) => counters.lost_records += records,
                _ => {}
            }
        }
        self.log.counters.set(counters);
    }

    /// Tells of the first failure, and of the success after it. Whether there is none.
    fn note_trouble(&mut self, error: Option<io::Error>, now: SystemTime) -> bool {
        let (port, path) = (self.port.name(), self.log.config.path.display());
        match (error, &self.trouble) {
            (None, None) => true,
            (None, Some(_)) => {
                tracing::info!(%port, %path, "the log is written again");
                self.trouble = None;
                true
            }
            (Some(error), known) => {
                if known.is_none() {
                    tracing::warn!(%port, %path, %error, "the log cannot be written");
                    self.trouble = Some(Trouble {
                        reason: error.to_string(),
                        since: now,
                    });
                }
                false
            }
        }
    }

    /// In how long what was written should be on the disk; `None`: there is nothing, or nobody wants it.
    fn sync_due(&self, now: SystemTime) -> Option<Duration> {
        self.writer.as_ref()?.sync_due(now)
    }

    /// Until there is something to do: enough news, news that has waited, this moment, or the end.
    async fn wait(&mut self, until: Option<Instant>) {
        let (port, log, alarm) = (&self.port, &self.log, &mut self.alarm);
        let mut news = None;
        poll_fn(|cx| {
            loop {
                let end = port.look_into_hub(Hub::log_end).offset.0;
                let lag = end.saturating_sub(log.place.get().offset.0);
                // As much as is read at once at most, which is a quarter of a short history.
                let eager = EAGER.min(port.read_size() as u64);
                if log.ending.get() || news.is_some() && lag >= eager {
                    return Poll::Ready(());
                }
                let waited = news.map(|news: Instant| news + COALESCE);
                if alarm
                    .poll(cx, [until, waited].into_iter().flatten().min())
                    .is_ready()
                {
                    return Poll::Ready(());
                }
                if !log.news.poll(cx) {
                    return Poll::Pending;
                }
                news.get_or_insert_with(Instant::now);
            }
        })
        .await;
    }

    /// Until it is time to try again, or the end.
    async fn wait_to_retry(&mut self) {
        let until = Instant::now() + self.retry;
        self.retry = (self.retry * 2).min(LAST_RETRY);
        let (log, alarm) = (&self.log, &mut self.alarm);
        poll_fn(|cx| {
            loop {
                if log.ending.get() || alarm.poll(cx, Some(until)).is_ready() {
                    return Poll::Ready(());
                }
                if !log.news.poll(cx) {
                    return Poll::Pending;
                }
            }
        })
        .await;
    }
}

impl Log {
    fn end(&self) {
        self.ending.set(true);
        self.news.ring();
    }

    /// Whoever still waits for a page is told that there will be none.
    fn refuse_questions(&self) {
        self.questions.borrow_mut().clear();
    }
}
