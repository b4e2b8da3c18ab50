//! Starts everything, keeps ports going, and stops everything: no more clients, sessions told, what is queued drained, the
//! rest cut and counted. Not what any of the parts does.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinError, spawn_local};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uart_iface::SpecError;
use uartnet_hub::{Access, Epoch};

use crate::config::{Config, DeviceSpec, StreamOptions};
use crate::conn_task::{self, Account, Ending, Stream};
use crate::endpoint::{Connection, EndpointKind};
use crate::gateway::{Gateway, PortHandle};
use crate::listener::{BindError, Listener, Listening};
use crate::nudge::Nudge;
use crate::port_task::PortTask;

/// How many refused clients are answered at once; more than these are just closed.
const REFUSED_AT_ONCE: usize = 64;
/// How long a port whose task has failed stays as it is before it is tried again.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How the daemon is told to stop: once, and once more.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Stop gracefully.
    pub stop: CancellationToken,
    /// Stop at once.
    pub cut: CancellationToken,
}

impl Shutdown {
    /// The first SIGTERM or SIGINT stops gracefully, the second cuts. Must be called within [`runtime`].
    ///
    /// # Errors
    /// The operating system refused a handler.
    pub fn on_signals() -> io::Result<Shutdown> {
        let shutdown = Shutdown::default();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let (stop, cut) = (shutdown.stop.clone(), shutdown.cut.clone());
        spawn_local(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                    _ = hang_up.recv() => {
                        tracing::warn!("SIGHUP: the configuration cannot be reloaded yet; restart to change it");
                        continue;
                    }
                }
                if stop.is_cancelled() {
                    return cut.cancel();
                }
                stop.cancel();
            }
        });
        Ok(shutdown)
    }
}

/// What a stop came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Connections that had not ended by themselves in time.
    pub connections_cut: u64,
    /// Bytes their clients had not taken.
    pub bytes_unsent: u64,
    /// Bytes accepted for a UART that it had not taken.
    pub bytes_unwritten: u64,
}

/// Why the daemon could not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A listener.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A device.
    #[error(transparent)]
    Device(#[from] SpecError),
}

/// The runtime [`run`] needs: everything on one thread.
///
/// # Errors
/// The operating system refused a file descriptor.
pub fn runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
}

/// Runs the gateway until it has stopped. `listening` is called once for each listener, as soon as all accept.
/// Must run in [`runtime`] or in a [`tokio::task::LocalSet`].
///
/// # Errors
/// It could not start; nothing is left running then. A device that is absent is no error.
pub async fn run(
    config: Config,
    shutdown: Shutdown,
    mut listening: impl FnMut(&Listening),
) -> Result<Summary, RunError> {
    let gateway = Rc::new(Gateway::new(&config, new_epoch(), Instant::now()));
    let mut listeners = Vec::new();
    for wanted in &config.listeners {
        listeners.push((Listener::bind(&wanted.address)?, wanted));
    }

    let cut = shutdown.cut.child_token();
    let ports = TaskTracker::new();
    for (config, handle) in config.ports.iter().zip(gateway.ports()) {
        let task = PortTask::new(handle.clone(), config.device.device()?);
        ports.spawn_local(keep(
            task,
            handle.clone(),
            config.device.clone(),
            cut.clone(),
        ));
    }

    let service = Rc::new(Service {
        gateway: gateway.clone(),
        ending: Ending {
            stop: shutdown.stop.clone(),
            cut: cut.clone(),
        },
        connections: TaskTracker::new(),
        served: Cell::new(0),
        refused: Cell::new(0),
        max_connections: config.gateway.max_connections,
        summary: Cell::default(),
    });
    let accepting = TaskTracker::new();
    for (listener, wanted) in listeners {
        listening(&Listening {
            protocol: wanted.endpoint.name(),
            address: listener.address().clone(),
            port: wanted.port.clone(),
        });
        let port = wanted.port.as_ref();
        let offer = Offer {
            endpoint: wanted.endpoint,
            port: port.and_then(|name| gateway.port(name.as_str())).cloned(),
            options: wanted.stream.clone(),
        };
        accepting.spawn_local(accept(listener, offer, service.clone()));
    }

    let asked = tokio::select! {
        () = shutdown.stop.cancelled() => "stopping",
        () = shutdown.cut.cancelled() => "stopping at once",
    };
    tracing::info!(connections = service.served.get(), "{asked}");
    shutdown.stop.cancel();
    accepting.close();
    accepting.wait().await;
    drain(&service, &ports, config.gateway.drain).await;
    cut.cancel();
    service.connections.wait().await;
    ports.close();
    ports.wait().await;
    Ok(service.account())
}

/// Lets clients and UARTs have what they are owed, for as long as that may take.
async fn drain(service: &Service, ports: &TaskTracker, limit: Duration) {
    let now = Instant::now();
    for port in service.gateway.ports() {
        port.shut_down(now);
    }
    service.connections.close();
    let drained = async {
        // Clients first: as long as they are there, their asks and control operations need the ports.
        service.connections.wait().await;
        for port in service.gateway.ports() {
            port.drain();
        }
        ports.close();
        ports.wait().await;
    };
    let cut = service
        .ending
        .cut
        .run_until_cancelled(timeout(limit, drained))
        .await;
    if !matches!(cut, Some(Ok(()))) {
        tracing::warn!("not everything could be drained; cutting the rest");
    }
}

/// What a listener offers to whoever connects.
struct Offer {
    endpoint: &'static dyn EndpointKind,
    port: Option<Rc<PortHandle>>,
    options: StreamOptions,
}

/// What every connection shares.
struct Service {
    gateway: Rc<Gateway>,
    ending: Ending,
    connections: TaskTracker,
    served: Cell<usize>,
    refused: Cell<usize>,
    max_connections: usize,
    summary: Cell<Summary>,
}

impl Service {
    fn admit(self: &Rc<Self>, stream: Stream, offer: &Offer) {
        let endpoint = offer.endpoint;
        let peer = stream.peer();
        if let Err(error) = stream.tune() {
            tracing::debug!(peer, %error, "a client left as it came");
            return;
        }
        if self.served.get() >= self.max_connections {
            return self.refuse(stream, endpoint, peer);
        }
        let nudge = Rc::<Nudge>::default();
        let connection = Connection {
            gateway: self.gateway.clone(),
            port: offer.port.clone(),
            options: offer.options.clone(),
            peer: peer.clone(),
            // Who may do what is decided here, for every protocol, as soon as there are credentials. Until then the
            // configuration admits local clients only.
            access: Access::Admin,
            nudge: nudge.clone(),
        };
        let session = endpoint.session(Instant::now(), connection);
        let served = Counted::new(self, |service| &service.served);
        let serve = async move {
            let mut record = Record {
                service: served,
                protocol: endpoint.name(),
                peer,
                account: Account::default(),
            };
            tracing::debug!(peer = record.peer, protocol = record.protocol, "connected");
            let ending = record.service.service.ending.clone();
            let end = conn_task::serve(stream, session, nudge, ending, &mut record.account).await;
            if let Err(error) = end {
                tracing::debug!(peer = record.peer, %error, "connection lost");
            }
        };
        self.connections.spawn_local(serve);
    }

    fn refuse(self: &Rc<Self>, stream: Stream, endpoint: &'static dyn EndpointKind, peer: String) {
        let limit = self.max_connections;
        tracing::warn!(
            peer,
            limit,
            "refused: as many connections as are allowed are open"
        );
        if self.refused.get() >= REFUSED_AT_ONCE {
            return;
        }
        let answer = endpoint.busy(&format!(
            "all {limit} connections of this gateway are in use"
        ));
        let refused = Counted::new(self, |service| &service.refused);
        self.connections.spawn_local(async move {
            conn_task::refuse(stream, answer, refused.service.ending.clone()).await;
        });
    }

    fn account(&self) -> Summary {
        let mut summary = self.summary.get();
        for port in self.gateway.ports() {
            let unwritten = port.info().write_queue as u64;
            if unwritten > 0 {
                tracing::warn!(port = %port.name(), bytes = unwritten, "cut before the UART took them");
            }
            summary.bytes_unwritten += unwritten;
        }
        tracing::info!(
            connections_cut = summary.connections_cut,
            bytes_unsent = summary.bytes_unsent,
            bytes_unwritten = summary.bytes_unwritten,
            "stopped"
        );
        summary
    }
}

/// One of a counted kind, for as long as it lives; also when its task panics.
struct Counted {
    service: Rc<Service>,
    counter: fn(&Service) -> &Cell<usize>,
}

impl Counted {
    fn new(service: &Rc<Service>, counter: fn(&Service) -> &Cell<usize>) -> Counted {
        counter(service).update(|count| count + 1);
        Counted {
            service: service.clone(),
            counter,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.counter)(&self.service).update(|count| count - 1);
    }
}

/// What is told of a connection when it is over, however it ends.
struct Record {
    service: Counted,
    protocol: &'static str,
    peer: String,
    account: Account,
}

impl Drop for Record {
    fn drop(&mut self) {
        let Account {
            received,
            sent,
            unsent,
            cut,
        } = self.account;
        let (peer, protocol) = (&self.peer, self.protocol);
        if std::thread::panicking() {
            tracing::error!(
                peer,
                protocol,
                received,
                sent,
                "connection ended by a defect of ours"
            );
        } else if cut {
            tracing::warn!(peer, protocol, received, sent, unsent, "connection cut");
        } else {
            tracing::debug!(peer, protocol, received, sent, "disconnected");
        }
        if cut {
            self.service.service.summary.update(|mut summary| {
                summary.connections_cut += 1;
                summary.bytes_unsent += unsent;
                summary
            });
        }
    }
}

/// Accepts until the daemon stops.
async fn accept(mut listener: Listener, offer: Offer, service: Rc<Service>) {
    let stop = service.ending.stop.clone();
    while let Some(stream) = stop.run_until_cancelled(listener.accept()).await {
        service.admit(stream, &offer);
    }
}

/// Keeps a port's task going: a defect in one port must not take the daemon with it.
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

/// An epoch no earlier start has had: the hash keys that std draws from the operating system, mixed with the time.
fn new_epoch() -> Epoch {
    let mut hasher = RandomState::new().build_hasher();
    if let Ok(since) = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        hasher.write_u128(since.as_nanos());
    }
    hasher.write_u32(std::process::id());
    Epoch(hasher.finish())
}
