//! Keeps a port's task going: a defect in one port takes neither the port nor the daemon with it. Not what the task does.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::{JoinError, spawn_local};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uart_iface::SpecError;

use crate::config::{DeviceSpec, PortConfig};
use crate::gateway::PortHandle;
use crate::log::Logs;
use crate::port_task::PortTask;

/// How long a port whose task has failed stays as it is before it is tried again.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// A port whose task is kept going.
#[derive(Debug)]
pub(crate) struct KeptPort {
    /// The one task.
    task: TaskTracker,
    logs: RefCell<Logs>,
    cut: CancellationToken,
}

impl KeptPort {
    /// Starts the logs and the task of this port. It ends when the port has [drained](PortHandle::drain) or `cut` is cancelled.
    /// Must be called within the daemon's runtime.
    ///
    /// # Errors
    /// None in practice: the device spec was understood before.
    pub(crate) fn start(
        handle: Rc<PortHandle>,
        config: &PortConfig,
        gateway: &str,
        cut: &CancellationToken,
    ) -> Result<KeptPort, SpecError> {
        let device = &config.device;
        // First the logs: how the device is opened is in them.
        let logs = Logs::start(&handle, &config.logs, gateway);
        let first = PortTask::new(handle.clone(), device.device()?);
        let task = TaskTracker::new();
        task.spawn_local(keep(first, handle, device.clone(), cut.clone()));
        task.close();
        Ok(KeptPort {
            task,
            logs: RefCell::new(logs),
            cut: cut.clone(),
        })
    }

    /// Until the task has ended, the device is closed, and its logs are written to their end.
    pub(crate) async fn wait(&self) {
        self.task.wait().await;
        let ended = self.logs.borrow_mut().end();
        ended.wait(&self.cut).await;
    }
}

/// Runs a port's task, and another one if it panics.
pub(crate) async fn keep(
    mut task: PortTask,
    handle: Rc<PortHandle>,
    device: DeviceSpec,
    cut: CancellationToken,
) {
    loop {
        let Err(failed) = spawn_local(task.run(cut.clone())).await else {
            return;
        };
        let reason = format!("internal error: {}", panic_text(failed));
        tracing::error!(port = %handle.name(), reason, "the port's task failed; starting it again");
        let now = Instant::now();
        handle.drive(now, |hub| hub.handle_lost(now, &reason));
        if cut
            .run_until_cancelled(tokio::time::sleep(AFTER_FAILURE))
            .await
            .is_none()
        {
            return;
        }
        task = match device.device() {
            Ok(device) => PortTask::new(handle.clone(), device),
            Err(error) => {
                tracing::error!(port = %handle.name(), %error, "the port stays absent");
                return;
            }
        };
    }
}

fn panic_text(failed: JoinError) -> String {
    let Ok(payload) = failed.try_into_panic() else {
        return "the task was aborted".to_owned();
    };
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}
