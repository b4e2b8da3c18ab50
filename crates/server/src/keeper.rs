//! Keeps a port's task going: a defect in one port takes neither the port nor the daemon with it. Not what the task does.

use std::any::Any;
use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uart_iface::SpecError;
use uart_iface::backend::parse_device;
use uartnet_reactor::{Sleep, sleep, timeout};

use crate::config::{LogConfig, PortConfig};
use crate::crew;
use crate::gateway::PortHandle;
use crate::log::Logs;
use crate::port_task::PortTask;

/// How long a port whose task has failed stays as it is before it is tried again.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// A port whose task is kept going.
#[derive(Debug)]
pub(crate) struct KeptPort {
    handle: Rc<PortHandle>,
    /// Ends the task at once.
    task: crew::Id,
    /// Of the one task.
    tracker: TaskTracker,
    /// Made for the first log that it has.
    logs: RefCell<Option<Box<Logs>>>,
    /// The daemon waits for nothing any more.
    all_cut: CancellationToken,
}

impl KeptPort {
    /// Starts the logs and the task of this port, the task when those before it that had its device have closed it. It ends
    /// when the port has [drained](PortHandle::drain) or is [cut](KeptPort::cut). Must be called within the daemon's
    /// runtime.
    ///
    /// # Errors
    /// None in practice: the device spec was understood before.
    pub(crate) fn start(
        handle: Rc<PortHandle>,
        config: &PortConfig,
        gateway: &str,
        all_cut: &CancellationToken,
        before: Vec<Closing>,
    ) -> Result<KeptPort, SpecError> {
        let opens = config.device.device()?;
        // First the logs: how the device is opened is in them.
        let logs = (!config.logs.is_empty())
            .then(|| Box::new(Logs::start(&handle, &config.logs, gateway)));
        let tracker = TaskTracker::new();
        let task = if before.is_empty() {
            let first = PortTask::new(handle.clone(), opens);
            crew::join(tracker.track_future(Keeping::new(handle.clone(), first)))
        } else {
            let handle = handle.clone();
            let kept = async move {
                for closing in before {
                    closing.0.wait().await;
                }
                let first = PortTask::new(handle.clone(), opens);
                Keeping::new(handle, first).await;
            };
            crew::join(Box::pin(tracker.track_future(kept)))
        };
        tracker.close();
        Ok(KeptPort {
            handle,
            task,
            tracker,
            logs: RefCell::new(logs),
            all_cut: all_cut.clone(),
        })
    }

    /// The port.
    pub(crate) fn handle(&self) -> &Rc<PortHandle> {
        &self.handle
    }

    /// What is written down of it from now on, in a gateway of this name.
    pub(crate) fn set_logs(&self, configs: &[LogConfig], gateway: &str) {
        match &mut *self.logs.borrow_mut() {
            Some(logs) => logs.set(configs),
            logs => *logs = Some(Box::new(Logs::start(&self.handle, configs, gateway))),
        }
    }

    /// Until the task has ended, the device is closed, and its logs are written to their end.
    pub(crate) async fn wait(&self) {
        self.tracker.wait().await;
        let ended = self.logs.borrow_mut().as_mut().map(|logs| logs.end());
        if let Some(ended) = ended {
            ended.wait(&self.all_cut).await;
        }
    }

    /// The same, for whoever opens the device next.
    pub(crate) fn closing(&self) -> Closing {
        Closing(self.tracker.clone())
    }

    /// Closes the device at once: what is queued to it is not written.
    pub(crate) async fn cut(&self) {
        crew::abort(self.task);
        self.wait().await;
    }

    /// Ends a port that is no longer wanted: its clients are told, and what is queued to the device is written for as
    /// long as `limit`.
    pub(crate) async fn leave(self, limit: Duration) {
        self.handle.remove(Instant::now());
        self.handle.drain();
        let ended = timeout(limit, self.wait());
        if !matches!(self.all_cut.run_until_cancelled(ended).await, Some(Ok(()))) {
            self.cut().await;
        }
        let unwritten = self.handle.info().write_queue;
        if unwritten > 0 {
            tracing::warn!(port = %self.handle.name(), bytes = unwritten, "removed before the UART took them");
        }
        tracing::info!(port = %self.handle.name(), "port removed");
    }
}

/// Something that may still have a device open.
#[derive(Debug, Clone)]
pub(crate) struct Closing(TaskTracker);

/// Runs a port's task, and another one if it panics. What may panic is no task of its own, which would cost every port
/// another one.
#[derive(Debug)]
pub(crate) struct Keeping {
    handle: Rc<PortHandle>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Running(PortTask),
    /// It has failed, and is started again after this.
    Failed(Box<Sleep>),
}

impl Keeping {
    /// Keeps this task of this port going.
    pub(crate) fn new(handle: Rc<PortHandle>, first: PortTask) -> Keeping {
        Keeping {
            handle,
            stage: Stage::Running(first),
        }
    }

    fn handle_panic(&mut self, panic: &(dyn Any + Send)) {
        // With it the device is closed.
        self.stage = Stage::Failed(Box::new(sleep(AFTER_FAILURE)));
        let reason = format!("internal error: {}", panic_text(panic));
        tracing::error!(port = %self.handle.name(), reason, "the port's task failed; starting it again");
        let now = Instant::now();
        self.handle.drive(now, |hub| hub.handle_lost(now, &reason));
    }
}

impl Future for Keeping {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.stage {
                // What it left half done is its port, which counts as lost then.
                Stage::Running(task) => {
                    match catch_unwind(AssertUnwindSafe(|| Pin::new(task).poll(cx))) {
                        Ok(polled) => return polled,
                        Err(panic) => self.handle_panic(&*panic),
                    }
                }
                Stage::Failed(sleep) => {
                    ready!(Pin::new(&mut **sleep).poll(cx));
                    let device = match parse_device(&self.handle.device()) {
                        Ok(device) => device,
                        Err(error) => {
                            tracing::error!(port = %self.handle.name(), %error, "the port stays absent");
                            return Poll::Ready(());
                        }
                    };
                    self.stage = Stage::Running(PortTask::new(self.handle.clone(), device));
                }
            }
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}
