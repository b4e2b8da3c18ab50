//! Starts everything, puts another configuration in force, and stops everything: no more clients, sessions told, what is
//! queued drained, the rest cut and counted. Not what any of the parts does.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tokio::sync::Notify;
use tokio::task::{spawn_blocking, spawn_local};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uart_iface::{PortName, SpecError};
use uartnet_hub::Epoch;
use uartnet_reactor::timeout;

use crate::access::{Audit, Clock, Event, Gate, Rules, TokenFileError, keep_fresh};
use crate::admission::{Admission, Limits, Offer};
use crate::config::{
    Config, ConfigError, GatewayConfig, ListenAddress, ListenerConfig, PortConfig, collide,
};
use crate::conn_task::Ending;
use crate::gateway::{Gateway, PortHandle};
use crate::keeper::KeptPort;
use crate::listener::{BindError, Listener, Listening};
use crate::plan::{ListenerFate, Plan, PortChange};
use crate::reload;
use crate::running_listener::RunningListener;
use crate::signals::Signals;
use crate::tls::{LiveTls, TlsError, Wanted};

/// What the daemon is told to do from outside of it: by signals, or by a test.
#[derive(Debug, Clone, Default)]
pub struct Orders {
    /// Stop gracefully.
    pub stop: CancellationToken,
    /// Stop at once.
    pub cut: CancellationToken,
    /// Read the configuration again.
    pub reload: Arc<Notify>,
}

impl Orders {
    /// The first SIGTERM or SIGINT stops gracefully, the second cuts; SIGHUP reloads. Must be called within a
    /// [`Runtime`](crate::Runtime).
    ///
    /// # Errors
    /// The operating system refused a handler.
    pub fn on_signals() -> io::Result<Orders> {
        let orders = Orders::default();
        let end = Signals::catch(&[SIGTERM, SIGINT])?;
        let hang_up = Signals::catch(&[SIGHUP])?;
        let Orders { stop, cut, reload } = orders.clone();
        spawn_local(async move {
            loop {
                tokio::select! {
                    () = end.next() => {}
                    () = hang_up.next() => {
                        reload.notify_one();
                        continue;
                    }
                }
                if stop.is_cancelled() {
                    return cut.cancel();
                }
                stop.cancel();
            }
        });
        Ok(orders)
    }
}

/// How the configuration is read again. It may take its time: it runs on a thread of its own.
pub type ReadConfig = Arc<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// What [`run`] tells as it happens.
#[derive(Debug, Clone, Copy)]
pub enum News<'a> {
    /// This listener accepts.
    Listening(&'a Listening),
    /// A configuration is in force, all of it: the first one, or after [`News::Reloading`] another one, or the same as before.
    Ready,
    /// The configuration is read again.
    Reloading,
    /// No more clients are let in.
    Stopping,
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
    /// The key or the certificate of a listener.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The audit log.
    #[error(transparent)]
    Audit(#[from] io::Error),
}

/// Runs the gateway until it has stopped. [`News::Listening`] is told once for each listener, as soon as it accepts: at first
/// when all do, and again for those that a reload adds. Must run in a
/// [`Runtime`](crate::Runtime) or in a [`tokio::task::LocalSet`].
///
/// # Errors
/// It could not start; nothing is left running then. A device that is absent is no error.
pub async fn run(
    config: Config,
    read_again: ReadConfig,
    orders: Orders,
    mut tell_news: impl FnMut(News<'_>),
) -> Result<Summary, RunError> {
    let mut daemon = Daemon::start(config, &orders, &mut |line| {
        tell_news(News::Listening(line));
    })?;
    tell_news(News::Ready);
    let asked = loop {
        let gateway = daemon.gateway.clone();
        tokio::select! {
            () = orders.stop.cancelled() => break "stopping",
            () = orders.cut.cancelled() => break "stopping at once",
            () = orders.reload.notified() => {}
            () = gateway.reloads().asked() => {}
        }
        tell_news(News::Reloading);
        // Whoever asks from now on means a file that may be newer.
        let tickets = gateway.reloads().take();
        let read = read_on_a_thread(&read_again);
        let outcome = match orders.stop.run_until_cancelled(read).await {
            Some(Ok(config)) => {
                let mut listening = |line: &Listening| tell_news(News::Listening(line));
                daemon.reload(config, &mut listening).await
            }
            Some(Err(why)) => Err(why),
            None => Err("uartd: the gateway is stopping\n".to_owned()),
        };
        tell(&outcome);
        tell_news(News::Ready);
        for ticket in tickets {
            ticket.answer(outcome.clone());
        }
    };
    tell_news(News::Stopping);
    tracing::info!(connections = daemon.admission.served(), "{asked}");
    orders.stop.cancel();
    Ok(daemon.stop().await)
}

/// A file may be on a disk that sleeps; the UARTs are not to wait for it.
async fn read_on_a_thread(read: &ReadConfig) -> Result<Config, String> {
    let read = read.clone();
    match spawn_blocking(move || read()).await {
        Ok(read) => read.map_err(|error| error.told()),
        Err(error) => Err(format!("uartd: internal error: {error}\n")),
    }
}

fn tell(outcome: &reload::Outcome) {
    match outcome {
        Ok(changes) if changes.is_empty() => tracing::info!("reloaded: nothing has changed"),
        Ok(changes) => {
            for change in changes {
                tracing::info!("reloaded: {change}");
            }
        }
        Err(why) => tracing::error!("not reloaded, nothing has changed:\n{}", why.trim_end()),
    }
}

/// Everything that runs.
struct Daemon {
    config: Config,
    gateway: Rc<Gateway>,
    admission: Rc<Admission>,
    /// In the order of the configuration.
    ports: Vec<KeptPort>,
    /// In the order of the configuration.
    listeners: Vec<RunningListener>,
    /// Ports that are no longer wanted, as long as they drain.
    leaving: TaskTracker,
    ending: Ending,
}

impl Daemon {
    /// Binds, opens and accepts.
    fn start(
        config: Config,
        orders: &Orders,
        listening: &mut dyn FnMut(&Listening),
    ) -> Result<Daemon, RunError> {
        let offers = offers(&config)?;
        let mut bound = Vec::new();
        for wanted in &config.listeners {
            bound.push(Listener::bind(&wanted.address)?);
        }
        let gateway = Rc::new(Gateway::new(&config, new_epoch(), Instant::now()));
        let ending = Ending {
            stop: orders.stop.clone(),
            cut: orders.cut.child_token(),
        };
        let gate = gate(&config, &gateway)?;
        let mut ports = Vec::new();
        for (port, handle) in config.ports.iter().zip(gateway.ports()) {
            ports.push(KeptPort::start(
                handle,
                port,
                &config.gateway.name,
                &ending.cut,
                Vec::new(),
            )?);
        }
        let admission = Rc::new(Admission::new(gate.clone(), limits(&config.gateway)));
        let fresh = keep_fresh(gate.clone());
        let cut = ending.cut.clone();
        spawn_local(async move { cut.run_until_cancelled(fresh).await });
        let (cut, telling) = (ending.cut.clone(), gate.clone());
        spawn_local(async move { cut.run_until_cancelled(telling.keep_telling()).await });
        let listeners = bound.into_iter().zip(offers).map(|(listener, offer)| {
            warn_insecure(&gate, &offer.config);
            let listener = RunningListener::start(listener, offer, &admission, &ending);
            listening(&listener.listening());
            listener
        });
        Ok(Daemon {
            listeners: listeners.collect(),
            config,
            gateway,
            admission,
            ports,
            leaving: TaskTracker::new(),
            ending,
        })
    }

    /// Puts another configuration in force. Says what that changed; if it is refused, nothing has changed.
    async fn reload(
        &mut self,
        new: Config,
        listening: &mut dyn FnMut(&Listening),
    ) -> reload::Outcome {
        let plan = Plan::new(&self.config, &new);
        // Everything that can be refused comes first.
        if let Some(key) = ["tokens", "audit"]
            .into_iter()
            .find(|key| plan.gateway.has(key))
        {
            return Err(format!(
                "uartd: \"{key}\" in [gateway] has changed, which takes a restart of uartd\n"
            ));
        }
        let offers = offers(&new).map_err(|error| format!("uartd: {error}\n"))?;
        let bound = self
            .bind(&plan, &new)
            .map_err(|error| format!("uartd: {error}\n"))?;
        let identities = identities(&new.ports).map_err(|error| format!("uartd: {error}\n"))?;

        self.gateway.reconfigure(&new.gateway);
        self.admission.set_limits(limits(&new.gateway));
        self.admission.gate().set_rules(rules(&new.gateway));
        self.admission.gate().set_holders(new.holders.clone());
        self.change_ports(&plan, &new, &identities).await;
        self.change_listeners(&plan, &new, offers.into_iter().zip(bound), listening);
        self.config = new;
        let changes = plan.sentences();
        let event = Event::Reloaded { changes: &changes };
        self.admission
            .gate()
            .audit()
            .record(SystemTime::now(), &event);
        Ok(changes)
    }

    /// Binds every listener that is new.
    fn bind(&self, plan: &Plan, new: &Config) -> Result<Vec<Option<Listener>>, BindError> {
        let bind = |address: &ListenAddress| match Listener::bind(address) {
            Err(in_use @ BindError::InUse { .. }) => {
                let leaving = plan
                    .listeners_gone
                    .iter()
                    .map(|(at, _)| &self.listeners[*at]);
                let ours: Vec<_> = leaving
                    .filter(|old| collide(old.address(), address))
                    .filter_map(|old| old.socket())
                    .collect();
                if ours.is_empty() {
                    return Err(in_use);
                }
                Listener::bind_in_place_of(address, &ours)
            }
            bound => bound,
        };
        let fates = plan.listeners.iter().zip(&new.listeners);
        fates
            .map(|((fate, _), wanted)| match fate {
                ListenerFate::Kept(..) => Ok(None),
                ListenerFate::New => bind(&wanted.address).map(Some),
            })
            .collect()
    }

    /// Puts the ports in force. A port that stays keeps its clients and its history, also with another device.
    async fn change_ports(&mut self, plan: &Plan, new: &Config, identities: &[Option<String>]) {
        let mut before: HashMap<PortName, KeptPort> = std::mem::take(&mut self.ports)
            .into_iter()
            .map(|port| (port.handle().name().clone(), port))
            .collect();
        let mut closing = Vec::new();
        for change in &plan.ports {
            match change {
                PortChange::Gone(name) => {
                    if let Some(port) = before.remove(name) {
                        let old = self.config.ports.iter().find(|it| &it.name == name);
                        let device = old.and_then(|port| port.device.device().ok());
                        let identity = device.and_then(|device| device.identity());
                        closing.push((identity, port.closing()));
                        self.leaving.spawn_local(port.leave(new.gateway.drain));
                    }
                }
                PortChange::Changed(name, keys) if keys.has("device") => {
                    if let Some(port) = before.get(name) {
                        port.cut().await;
                    }
                }
                PortChange::Changed(..) | PortChange::New(_) => {}
            }
        }
        let now = Instant::now();
        for (config, identity) in new.ports.iter().zip(identities) {
            let change = plan
                .ports
                .iter()
                .find(|change| change.port() == &config.name);
            let kept = before.remove(&config.name);
            let (handle, opens) = match (kept, change) {
                (Some(port), None) => {
                    self.ports.push(port);
                    continue;
                }
                (Some(port), Some(PortChange::Changed(_, keys))) => {
                    port.handle().reconfigure(now, config);
                    if keys.has("log") && !keys.has("device") {
                        port.set_logs(&config.logs, &new.gateway.name);
                    }
                    if !keys.has("device") {
                        self.ports.push(port);
                        continue;
                    }
                    port.handle().change_device(now, config);
                    (port.handle().clone(), config)
                }
                _ => (Rc::new(PortHandle::new(config, new_epoch(), now)), config),
            };
            let theirs = closing
                .iter()
                .filter(|(other, _)| other.is_some() && other == identity);
            let before = theirs.map(|(_, closing)| closing.clone()).collect();
            match KeptPort::start(handle, opens, &new.gateway.name, &self.ending.cut, before) {
                Ok(port) => self.ports.push(port),
                // It was understood before.
                Err(error) => {
                    tracing::error!(port = %config.name, %error, "the port is not served")
                }
            }
        }
        let handles = self.ports.iter().map(|port| port.handle().clone());
        self.gateway.set_ports(handles.collect());
    }

    /// Puts the listeners in force. Whoever came by a listener that stays is not concerned.
    fn change_listeners(
        &mut self,
        plan: &Plan,
        new: &Config,
        offered: impl Iterator<Item = (Rc<Offer>, Option<Listener>)>,
        listening: &mut dyn FnMut(&Listening),
    ) {
        let mut before: Vec<Option<RunningListener>> = std::mem::take(&mut self.listeners)
            .into_iter()
            .map(Some)
            .collect();
        for ((fate, _), (offer, bound)) in plan.listeners.iter().zip(offered) {
            let kept = match fate {
                ListenerFate::Kept(at, keys) => before[*at].take().map(|it| (it, keys)),
                ListenerFate::New => None,
            };
            match (kept, bound) {
                (Some((listener, keys)), _) => {
                    if !keys.is_empty() {
                        warn_insecure(self.admission.gate(), &offer.config);
                    }
                    listener.set_offer(Instant::now(), offer);
                    if keys.has("protocol") || keys.has("port") {
                        listening(&listener.listening());
                    }
                    self.listeners.push(listener);
                }
                (None, Some(bound)) => {
                    warn_insecure(self.admission.gate(), &offer.config);
                    let listener =
                        RunningListener::start(bound, offer, &self.admission, &self.ending);
                    listening(&listener.listening());
                    self.listeners.push(listener);
                }
                (None, None) => {}
            }
        }
        for gone in before.into_iter().flatten() {
            gone.leave(new.gateway.drain);
        }
    }

    /// Lets clients and UARTs have what they are owed, for as long as that may take, and ends the rest.
    async fn stop(self) -> Summary {
        self.gateway.reloads().end();
        for listener in &self.listeners {
            listener.close();
        }
        self.leaving.close();
        let drained = timeout(self.config.gateway.drain, self.drain());
        let drained = self.ending.cut.run_until_cancelled(drained).await;
        if !matches!(drained, Some(Ok(()))) {
            tracing::warn!("not everything could be drained; cutting the rest");
        }
        self.ending.cut.cancel();
        self.admission.wait().await;
        for port in &self.ports {
            port.cut().await;
        }
        self.leaving.wait().await;
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
        self.leaving.wait().await;
    }

    fn account(&self) -> Summary {
        let gate = self.admission.gate();
        gate.tell_left_out();
        gate.audit().record(SystemTime::now(), &Event::Stopped);
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
    let holders = config.holders.clone();
    let config = &config.gateway;
    let rules = rules(config);
    let audit = Audit::open(config.audit.clone())?;
    let tokens = config.tokens.clone();
    let gate = Gate::new(gateway.clone(), Clock::System, rules, tokens, audit)?;
    gate.set_holders(holders);
    let version = env!("CARGO_PKG_VERSION");
    let event = Event::Started { version };
    gate.audit().record(SystemTime::now(), &event);
    Ok(gate)
}

/// What each listener offers. Its certificate is read.
fn offers(config: &Config) -> Result<Vec<Rc<Offer>>, TlsError> {
    let offer = |listener: &Arc<ListenerConfig>| {
        let wanted = Wanted {
            holders: config.holders.clone(),
            anybody: listener.access.is_some(),
        };
        let tls = listener.tls.as_ref();
        Ok(Rc::new(Offer {
            tls: tls.map(|files| LiveTls::new(files, wanted)).transpose()?,
            config: listener.clone(),
        }))
    };
    config.listeners.iter().map(offer).collect()
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
        "insecure = true: whoever reaches this listener has {access} access without a credential{}",
        if config.tls.is_some() {
            ""
        } else {
            ", and nothing is encrypted"
        }
    );
    let event = Event::Insecure {
        protocol,
        address: &address,
    };
    gate.audit().record(SystemTime::now(), &event);
}

fn rules(config: &GatewayConfig) -> Rules {
    Rules {
        hello_timeout: config.hello_timeout,
        max_unauthenticated: config.max_unauthenticated,
    }
}

fn limits(config: &GatewayConfig) -> Limits {
    Limits {
        connections: config.max_connections,
        per_peer: config.max_connections_per_peer,
        dead_peer: config.dead_peer,
    }
}

/// Which device each port has, where it can be opened only once.
fn identities(ports: &[PortConfig]) -> Result<Vec<Option<String>>, SpecError> {
    ports
        .iter()
        .map(|port| Ok(port.device.device()?.identity()))
        .collect()
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
