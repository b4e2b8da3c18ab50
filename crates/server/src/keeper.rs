//! Keeps a port's task going: a defect in one port takes neither the port nor the daemon with it. Not what the task does.

use std::any::Any;
use std::cell::RefCell;
use std::future::{Future, poll_fn, ready};
use std::mem::replace;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uart_iface::SpecError;

use crate::config::{DeviceSpec, LogConfig, PortConfig};
use crate::gateway::PortHandle;
use crate::in_place::InPlace;
use crate::log::Logs;
use crate::port_task::PortTask;

/// How long a port whose task has failed stays as it is before it is tried again.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// A port whose task is kept going.
#[derive(Debug)]
pub(crate) struct KeptPort {
    handle: Rc<PortHandle>,
    /// Ends the task at once.
    cut: CancellationToken,
    /// The one task.
    task: TaskTracker,
    logs: RefCell<Logs>,
    /// The daemon waits for nothing any more.
    all_cut: CancellationToken,
}

impl KeptPort {
    /// Starts the logs and the task of this port, the task when those before it that had its device have closed it. It ends
    /// when the port has [drained](PortHandle::drain) or `cut` is cancelled. Must be called within the daemon's runtime.
    ///
    /// # Errors
    /// None in practice: the device spec was understood before.
    pub(crate) fn start(
        handle: Rc<PortHandle>,
        config: &PortConfig,
        gateway: &str,
        cut: &CancellationToken,
        before: Vec<Closing>,
    ) -> Result<KeptPort, SpecError> {
        let device = &config.device;
        let opens = device.device()?;
        // First the logs: how the device is opened is in them.
        let logs = Logs::start(&handle, &config.logs, gateway);
        let (all_cut, cut) = (cut.clone(), cut.child_token());
        let task = TaskTracker::new();
        if before.is_empty() {
            let first = PortTask::new(handle.clone(), opens);
            let kept = keep(first, handle.clone(), device.clone(), cut.clone());
            task.spawn_local(InPlace::new(Box::pin(kept)));
        } else {
            let (handle, device, cut) = (handle.clone(), device.clone(), cut.clone());
            let kept = async move {
                let closed = async {
                    for closing in before {
                        closing.0.wait().await;
                    }
                };
                if cut.run_until_cancelled(closed).await.is_some() {
                    keep(PortTask::new(handle.clone(), opens), handle, device, cut).await;
                }
            };
            task.spawn_local(InPlace::new(Box::pin(kept)));
        }
        task.close();
        Ok(KeptPort {
            handle,
            cut,
            task,
            logs: RefCell::new(logs),
            all_cut,
        })
    }

    /// The port.
    pub(crate) fn handle(&self) -> &Rc<PortHandle> {
        &self.handle
    }

    /// What is written down of it from now on.
    pub(crate) fn set_logs(&self, logs: &[LogConfig]) {
        self.logs.borrow_mut().set(logs);
    }

    /// Until the task has ended, the device is closed, and its logs are written to their end.
    pub(crate) async fn wait(&self) {
        self.task.wait().await;
        let ended = self.logs.borrow_mut().end();
        ended.wait(&self.all_cut).await;
    }

    /// The same, for whoever opens the device next.
    pub(crate) fn closing(&self) -> Closing {
        Closing(self.task.clone())
    }

    /// Closes the device at once: what is queued to it is not written.
    pub(crate) async fn cut(&self) {
        self.cut.cancel();
        self.wait().await;
    }

    /// Ends a port that is no longer wanted: its clients are told, and what is queued to the device is written for as
    /// long as `limit`.
    pub(crate) async fn leave(self, limit: Duration) {
        self.handle.remove(Instant::now());
        self.handle.drain();
        if timeout(limit, self.wait()).await.is_err() {
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

/// Runs a port's task, and another one if it panics.
///
/// What may panic is in a box of its own and no task of its own, which would cost every port another one.
pub(crate) fn keep(
    task: PortTask,
    handle: Rc<PortHandle>,
    device: DeviceSpec,
    cut: CancellationToken,
) -> impl Future<Output = ()> {
    let mut running: Pin<Box<dyn Future<Output = ()>>> = Box::pin(task.run(cut.clone()));
    async move {
        while let Err(panic) = poll_fn(|cx| poll_caught(&mut running, cx)).await {
            // With it the device is closed.
            drop(replace(&mut running, Box::pin(ready(()))));
            let reason = format!("internal error: {}", panic_text(&*panic));
            tracing::error!(port = %handle.name(), reason, "the port's task failed; starting it again");
            let now = Instant::now();
            handle.drive(now, |hub| hub.handle_lost(now, &reason));
            let wait = cut.run_until_cancelled(tokio::time::sleep(AFTER_FAILURE));
            if Box::pin(wait).await.is_none() {
                return;
            }
            running = match device.device() {
                Ok(device) => Box::pin(PortTask::new(handle.clone(), device).run(cut.clone())),
                Err(error) => {
                    tracing::error!(port = %handle.name(), %error, "the port stays absent");
                    return;
                }
            };
        }
    }
}

type Panic = Box<dyn Any + Send>;

/// The future must not be polled again after a panic.
fn poll_caught(
    running: &mut Pin<Box<dyn Future<Output = ()>>>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Panic>> {
    // What it left half done is its port, which counts as lost then.
    match catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}
