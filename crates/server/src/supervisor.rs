//! Starts everything, and stops everything: no more clients, sessions told, what is queued drained, the rest cut and
//! counted. Not what any of the parts does.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::rc::Rc;
use std::time::{Instant, SystemTime};

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_local;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uart_iface::SpecError;
use uartnet_hub::Epoch;

use crate::access::{Audit, Clock, Event, Gate, Rules, TokenFileError, keep_fresh};
use crate::admission::{Admission, Offer};
use crate::config::{Config, ListenerConfig};
use crate::conn_task::Ending;
use crate::gateway::Gateway;
use crate::keeper::KeptPort;
use crate::listener::{BindError, Listener, Listening};

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
    /// The file of tokens.
    #[error(transparent)]
    Tokens(#[from] TokenFileError),
    /// The audit log.
    #[error(transparent)]
    Audit(#[from] io::Error),
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
    let daemon = Daemon::start(config, &shutdown, &mut listening)?;
    let asked = tokio::select! {
        () = shutdown.stop.cancelled() => "stopping",
        () = shutdown.cut.cancelled() => "stopping at once",
    };
    tracing::info!(connections = daemon.admission.served(), "{asked}");
    shutdown.stop.cancel();
    Ok(daemon.stop().await)
}

/// Everything that runs.
struct Daemon {
    config: Config,
    gateway: Rc<Gateway>,
    admission: Rc<Admission>,
    ports: Vec<KeptPort>,
    listeners: Vec<RunningListener>,
    ending: Ending,
}

impl Daemon {
    /// Binds, opens and accepts.
    fn start(
        config: Config,
        shutdown: &Shutdown,
        listening: &mut dyn FnMut(&Listening),
    ) -> Result<Daemon, RunError> {
        let mut bound = Vec::new();
        for wanted in &config.listeners {
            bound.push((Listener::bind(&wanted.address)?, wanted.clone()));
        }
        let gateway = Rc::new(Gateway::new(&config, new_epoch(), Instant::now()));
        let ending = Ending {
            stop: shutdown.stop.clone(),
            cut: shutdown.cut.child_token(),
        };
        let gate = gate(&config, &gateway)?;
        let mut ports = Vec::new();
        for (port, handle) in config.ports.iter().zip(gateway.ports()) {
            ports.push(KeptPort::start(
                handle,
                port,
                &config.gateway.name,
                &ending.cut,
            )?);
        }
        let admission = Rc::new(Admission::new(gate.clone(), config.gateway.max_connections));
        let fresh = keep_fresh(gate.clone());
        let cut = ending.cut.clone();
        spawn_local(async move { cut.run_until_cancelled(fresh).await });
        let mut listeners = Vec::new();
        for (listener, config) in bound {
            warn_insecure(&gate, &config);
            listening(&Listening {
                protocol: config.endpoint.name(),
                address: listener.address().clone(),
                port: config.port.clone(),
            });
            listeners.push(RunningListener::start(
                listener, config, &admission, &ending,
            ));
        }
        Ok(Daemon {
            config,
            gateway,
            admission,
            ports,
            listeners,
            ending,
        })
    }

    /// Lets clients and UARTs have what they are owed, for as long as that may take, and ends the rest.
    async fn stop(self) -> Summary {
        for listener in &self.listeners {
            listener.closed().await;
        }
        let drained = timeout(self.config.gateway.drain, self.drain());
        let drained = self.ending.cut.run_until_cancelled(drained).await;
        if !matches!(drained, Some(Ok(()))) {
            tracing::warn!("not everything could be drained; cutting the rest");
        }
        self.ending.cut.cancel();
        self.admission.wait().await;
        for port in &self.ports {
            port.wait().await;
        }
        self.account()
    }

    async fn drain(&self) {
        let now = Instant::now();
        for port in self.gateway.ports() {
            port.shut_down(now);
        }
        // Clients first: as long as they are there, their asks and control operations need the ports.
        self.admission.wait().await;
        for port in self.gateway.ports() {
            port.drain();
        }
        for port in &self.ports {
            port.wait().await;
        }
    }

    fn account(&self) -> Summary {
        let date = SystemTime::now();
        self.admission.gate().audit().record(date, &Event::Stopped);
        let cut = self.admission.cut_short();
        let mut summary = Summary {
            connections_cut: cut.connections,
            bytes_unsent: cut.unsent,
            bytes_unwritten: 0,
        };
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

/// The gate that this configuration wants.
fn gate(config: &Config, gateway: &Rc<Gateway>) -> Result<Rc<Gate>, RunError> {
    let config = &config.gateway;
    let rules = Rules {
        hello_timeout: config.hello_timeout,
        max_unauthenticated: config.max_unauthenticated,
    };
    let audit = Audit::open(config.audit.clone())?;
    let tokens = config.tokens.clone();
    let gate = Gate::new(gateway.clone(), Clock::System, rules, tokens, audit)?;
    let version = env!("CARGO_PKG_VERSION");
    let event = Event::Started { version };
    gate.audit().record(SystemTime::now(), &event);
    Ok(gate)
}

/// What was permitted on purpose is said at every start, so that nobody forgets it.
fn warn_insecure(gate: &Gate, config: &ListenerConfig) {
    if !config.insecure {
        return;
    }
    let (protocol, address) = (config.endpoint.name(), config.address.to_string());
    let access = config.access.map_or("no".to_owned(), |it| it.to_string());
    tracing::warn!(
        protocol,
        address,
        "insecure = true: whoever reaches this listener has {access} access without a credential, and nothing is encrypted"
    );
    let event = Event::Insecure {
        protocol,
        address: &address,
    };
    gate.audit().record(SystemTime::now(), &event);
}

/// A listener that accepts, until the daemon stops.
struct RunningListener {
    /// The one task.
    accepting: TaskTracker,
}

impl RunningListener {
    fn start(
        listener: Listener,
        config: ListenerConfig,
        admission: &Rc<Admission>,
        ending: &Ending,
    ) -> RunningListener {
        let offer = Rc::new(Offer { config });
        let accepting = TaskTracker::new();
        accepting.spawn_local(accept(listener, offer, admission.clone(), ending.clone()));
        accepting.close();
        RunningListener { accepting }
    }

    /// Until it no longer accepts.
    async fn closed(&self) {
        self.accepting.wait().await;
    }
}

async fn accept(
    mut listener: Listener,
    offer: Rc<Offer>,
    admission: Rc<Admission>,
    ending: Ending,
) {
    while let Some(stream) = ending.stop.run_until_cancelled(listener.accept()).await {
        admission.admit(stream, &offer, &ending);
    }
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
