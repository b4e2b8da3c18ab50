//! What a running gateway is to its endpoints: its name, its epoch, and its ports with their hubs.
//! Not who reads a clock, a UART or a socket; those are `port_task` and `conn_task`.
//!
//! A hub is reached only through methods that *settle* it afterwards: every client the hub wants to wake is woken, and
//! the port's task is kicked if the caller may have given it something to do. So nobody can forget to.

use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use uart_iface::{ErrorCounters, LineSettings, Port, PortName};
use uartnet_hub::{
    Ask, AskId, Attach, Attached, ClientId, Control, ControlId, Epoch, Hub, HubInfo, Notice,
    Profile, Refusal, Right, Sequence,
};

use crate::access::Overseer;
use crate::config::{Config, GatewayConfig, PortConfig};
use crate::log::Log;
use crate::nudge::Nudge;
use crate::reload::Reloads;

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    name: RefCell<Rc<str>>,
    epoch: Epoch,
    began: Instant,
    connections: Connections,
    max_frame: Cell<usize>,
    reloads: Reloads,
    ports: RefCell<Vec<Rc<PortHandle>>>,
}

impl Gateway {
    /// A gateway with these ports; every device is absent.
    pub fn new(config: &Config, epoch: Epoch, now: Instant) -> Gateway {
        let ports = config
            .ports
            .iter()
            .map(|port| Rc::new(PortHandle::new(port, epoch, now)));
        Gateway {
            name: RefCell::new(config.gateway.name.as_str().into()),
            epoch,
            began: now,
            connections: Connections::default(),
            max_frame: Cell::new(config.gateway.max_frame),
            reloads: Reloads::default(),
            ports: RefCell::new(ports.collect()),
        }
    }

    /// Its name, as clients see it.
    pub fn name(&self) -> Rc<str> {
        self.name.borrow().clone()
    }

    /// Which life of the daemon this is.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The largest frame accepted or sent, in bytes, on a connection that begins now.
    pub fn max_frame(&self) -> usize {
        self.max_frame.get()
    }

    /// Where clients ask for the configuration to be read again.
    pub fn reloads(&self) -> &Reloads {
        &self.reloads
    }

    /// What the daemon as a whole is told by its configuration.
    pub fn reconfigure(&self, config: &GatewayConfig) {
        self.name.replace(config.name.as_str().into());
        self.max_frame.set(config.max_frame);
    }

    /// The ports are these from now on, in this order.
    pub fn set_ports(&self, ports: Vec<Rc<PortHandle>>) {
        self.ports.replace(ports);
    }

    /// When it was made.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// Those who connected, over all listeners.
    pub(crate) fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Its ports, in the order of the configuration.
    pub fn ports(&self) -> Vec<Rc<PortHandle>> {
        self.ports.borrow().clone()
    }

    /// The port of this name.
    pub fn port(&self, name: &str) -> Option<Rc<PortHandle>> {
        let ports = self.ports.borrow();
        ports
            .iter()
            .find(|port| port.name.as_str() == name)
            .cloned()
    }
}

/// Counts those who connect, over all listeners.
#[derive(Debug, Default)]
pub(crate) struct Connections(Cell<ConnectionCounters>);

/// What became of those who connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectionCounters {
    /// Let in.
    pub accepted: u64,
    /// Sent away, because there were too many.
    pub refused: u64,
    /// Of those let in, cut off because they had not ended in time.
    pub cut: u64,
    /// Of those let in, gone.
    pub ended: u64,
}

impl Connections {
    /// What happened so far.
    pub(crate) fn counters(&self) -> ConnectionCounters {
        self.0.get()
    }

    /// Somebody was let in.
    pub(crate) fn accepted(&self) {
        self.count(|counters| &mut counters.accepted);
    }

    /// Somebody was sent away.
    pub(crate) fn refused(&self) {
        self.count(|counters| &mut counters.refused);
    }

    /// Somebody is gone, by themselves or because they were cut off.
    pub(crate) fn ended(&self, cut: bool) {
        self.count(|counters| &mut counters.ended);
        if cut {
            self.count(|counters| &mut counters.cut);
        }
    }

    fn count(&self, which: impl FnOnce(&mut ConnectionCounters) -> &mut u64) {
        let mut counters = self.0.get();
        *which(&mut counters) += 1;
        self.0.set(counters);
    }
}

/// One port: what is known of it without its hub, and the only way to its hub.
#[derive(Debug)]
pub struct PortHandle {
    name: PortName,
    epoch: Epoch,
    device: RefCell<Arc<str>>,
    /// The line settings in the configuration.
    configured_line: Cell<LineSettings>,
    line: Cell<LineSettings>,
    /// The line settings that the configuration wants now, until the port's task has seen to it.
    wanted_line: Cell<Option<LineSettings>>,
    /// The opened device, while its task is not at work on it.
    uart: RefCell<Option<Box<dyn Port>>>,
    hub: RefCell<Hub>,
    /// The bell of each client, by its [slot](ClientId::slot).
    clients: RefCell<Vec<Option<Rc<Nudge>>>>,
    logs: RefCell<Vec<Rc<Log>>>,
    kick: Nudge,
    draining: Cell<bool>,
    latest: Cell<Instant>,
}

impl PortHandle {
    /// A port whose device is absent. Its offsets belong to this epoch.
    pub fn new(config: &PortConfig, epoch: Epoch, now: Instant) -> PortHandle {
        PortHandle {
            name: config.name.clone(),
            epoch,
            device: RefCell::new(config.device.text()),
            configured_line: Cell::new(config.line),
            line: Cell::new(config.line),
            wanted_line: Cell::new(None),
            uart: RefCell::default(),
            hub: RefCell::new(Hub::new(config.hub.clone(), epoch)),
            clients: RefCell::default(),
            logs: RefCell::default(),
            kick: Nudge::default(),
            draining: Cell::new(false),
            latest: Cell::new(now),
        }
    }

    /// Its name.
    pub fn name(&self) -> &PortName {
        &self.name
    }

    /// Which life of the port its offsets belong to.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Its device spec.
    pub fn device(&self) -> String {
        self.device.borrow().as_ref().to_owned()
    }

    /// How its interpreter is talked to; `None`: it has none that we know.
    pub fn profile(&self) -> Option<Profile> {
        self.hub.borrow().profile().cloned()
    }

    /// Its sequences, and those that every port has.
    pub fn sequences(&self) -> Vec<Sequence> {
        self.hub.borrow().sequences()
    }

    /// The line settings in force, or those the device will be opened with.
    pub fn line(&self) -> LineSettings {
        self.line.get()
    }

    /// Looks at the device, so that the hub knows its input lines as they are now, also where nobody reads the port. Returns
    /// the errors its driver has counted; `None` if there is no device, or it does not count.
    pub fn look(&self, now: Instant) -> Option<ErrorCounters> {
        let status = self.uart.borrow_mut().as_mut()?.status().ok()?;
        self.drive(now, |hub| hub.handle_inputs(now, status.inputs));
        status.errors
    }

    /// Everything countable.
    pub fn info(&self) -> HubInfo {
        self.hub.borrow().info()
    }

    /// Lets somebody speak to the hub: its clients are woken as it wishes, and the port's task looks what there is to do.
    pub fn with_hub<R>(&self, now: Instant, speak: impl FnOnce(&mut Hub) -> R) -> R {
        let result = self.drive(now, speak);
        self.kick.ring();
        result
    }

    /// [`PortHandle::with_hub`] for the port's own task, which looks by itself what there is to do.
    pub fn drive<R>(&self, now: Instant, speak: impl FnOnce(&mut Hub) -> R) -> R {
        self.work(|hub| (speak(hub), Some(now)))
    }

    /// [`PortHandle::drive`] for a whole round of the port's own task, which finds out by itself what time it is, and says so at
    /// last; `None`: there was no need to.
    pub(crate) fn work<R>(&self, work: impl FnOnce(&mut Hub) -> (R, Option<Instant>)) -> R {
        let mut hub = self.hub.borrow_mut();
        let (result, now) = work(&mut hub);
        if let Some(now) = now {
            self.latest.set(now);
        }
        if hub.wants_to_wake() {
            self.wake_clients(&mut hub);
        }
        result
    }

    /// A new client; `nudge` is rung whenever it has something to poll for.
    pub fn attach(
        self: &Rc<Self>,
        now: Instant,
        attach: Attach,
        nudge: &Rc<Nudge>,
    ) -> (PortClient, Attached) {
        let attached = self.with_hub(now, |hub| {
            let attached = hub.attach(now, attach);
            let mut clients = self.clients.borrow_mut();
            let slot = attached.client.slot();
            if slot >= clients.len() {
                clients.resize(slot + 1, None);
            }
            clients[slot] = Some(nudge.clone());
            attached
        });
        (
            PortClient {
                port: self.clone(),
                id: attached.client,
                overseer: None,
            },
            attached,
        )
    }

    /// The logs that are kept of it.
    pub(crate) fn logs(&self) -> Ref<'_, [Rc<Log>]> {
        Ref::map(self.logs.borrow(), Vec::as_slice)
    }

    /// These are the logs that are kept of it: they are woken when there is something to write.
    pub(crate) fn set_logs(&self, logs: Vec<Rc<Log>>) {
        self.logs.replace(logs);
    }

    /// Lets somebody look into the hub who changes nothing.
    pub(crate) fn look_into_hub<R>(&self, look: impl FnOnce(&Hub) -> R) -> R {
        look(&self.hub.borrow())
    }

    /// What the configuration says of the port from now on. Another device is its keeper's business.
    pub fn reconfigure(&self, now: Instant, config: &PortConfig) {
        self.device.replace(config.device.text());
        if self.configured_line.replace(config.line) != config.line {
            self.wanted_line.set(Some(config.line));
            if self.uart.borrow().is_none() {
                self.line.set(config.line);
            }
        }
        self.with_hub(now, |hub| hub.reconfigure(now, config.hub.clone()));
    }

    /// The device is closed, and the one of this configuration is to be opened in its place.
    pub fn change_device(&self, now: Instant, config: &PortConfig) {
        self.wanted_line.set(None);
        self.line.set(config.line);
        let reason = format!(
            "the configuration names another device, {}",
            config.device.as_str()
        );
        self.with_hub(now, |hub| hub.handle_lost(now, &reason));
    }

    /// Whether [`PortHandle::take_wanted_line`] has some.
    pub(crate) fn wants_line(&self) -> bool {
        self.wanted_line.get().is_some()
    }

    /// The line settings that the configuration wants and the device does not have yet; once.
    pub fn take_wanted_line(&self) -> Option<LineSettings> {
        self.wanted_line.take()
    }

    /// [`Hub::reading_paused`].
    pub fn reading_paused(&self) -> bool {
        self.hub.borrow().reading_paused()
    }

    /// [`Hub::read_size`].
    pub fn read_size(&self) -> usize {
        self.hub.borrow().read_size()
    }

    /// [`Hub::losses_that_discard`].
    pub(crate) fn losses_that_discard(&self) -> Option<u64> {
        self.hub.borrow().losses_that_discard()
    }

    /// [`Hub::runs_sequence`].
    pub(crate) fn runs_sequence(&self) -> bool {
        self.hub.borrow().runs_sequence()
    }

    /// [`Hub::poll_timeout`].
    pub fn timeout(&self) -> Option<Instant> {
        self.hub.borrow().poll_timeout()
    }

    /// The daemon stops: nothing new is accepted, clients are told; what is queued is still carried out.
    pub fn shut_down(&self, now: Instant) {
        self.with_hub(now, |hub| hub.shut_down(now));
    }

    /// The port is no longer wanted: as [`PortHandle::shut_down`], except that clients are told so.
    pub fn remove(&self, now: Instant) {
        self.with_hub(now, |hub| hub.remove(now));
    }

    /// The port's task may end once nothing is left to do for anybody.
    pub fn drain(&self) {
        self.draining.set(true);
        self.kick.ring();
    }

    /// Whether [`PortHandle::drain`] was called and nothing is left to do.
    pub fn has_drained(&self) -> bool {
        self.draining.get() && self.hub.borrow().is_idle()
    }

    /// The opened device, for the port's own task to work on, and back again.
    pub(crate) fn uart(&self) -> &RefCell<Option<Box<dyn Port>>> {
        &self.uart
    }

    /// The bell of the port's task.
    pub fn kick(&self) -> &Nudge {
        &self.kick
    }

    /// The line settings have changed, by whomever.
    pub fn set_line(&self, line: LineSettings) {
        self.line.set(line);
    }

    fn poll_notice(&self, now: Instant, client: ClientId, limit: usize) -> Option<Notice> {
        let mut hub = self.hub.borrow_mut();
        let was_paused = hub.reading_paused();
        let notice = hub.poll_notice(now, client, limit);
        // The one thing a reader's progress can mean for the UART. Kicking its task after every read that clients take
        // would cost it a turn each time.
        if hub.reading_paused() != was_paused {
            self.kick.ring();
        }
        if hub.wants_to_wake() {
            self.wake_clients(&mut hub);
        }
        notice
    }

    fn wake_clients(&self, hub: &mut Hub) {
        while let Some(client) = hub.poll_wake() {
            if let Some(Some(nudge)) = self.clients.borrow().get(client.slot()) {
                nudge.ring();
            }
        }
        if hub.take_log_news() {
            self.logs.borrow().iter().for_each(|log| log.wake());
        }
    }
}

/// A client of a port. Dropping it is leaving.
#[derive(Debug)]
pub struct PortClient {
    port: Rc<PortHandle>,
    id: ClientId,
    /// Who writes down what it does.
    overseer: Option<Overseer>,
}

impl PortClient {
    /// The port it is a client of.
    pub fn port(&self) -> &Rc<PortHandle> {
        &self.port
    }

    /// The same client, with somebody who writes down what it does.
    pub(crate) fn overseen_by(mut self, overseer: Overseer) -> PortClient {
        self.overseer = Some(overseer);
        self
    }

    /// [`Hub::write`].
    ///
    /// # Errors
    /// As there.
    pub fn write(&self, now: Instant, bytes: &[u8]) -> Result<(), Refusal> {
        self.see(now, Right::Write);
        self.with_lease(now, |hub, id| hub.write(now, id, bytes))
    }

    /// [`Hub::ask`].
    pub fn ask(&self, now: Instant, ask: Ask) -> AskId {
        self.see(now, Right::Ask);
        self.with_hub(now, |hub, id| hub.ask(now, id, ask))
    }

    /// [`Hub::control`].
    pub fn control(&self, now: Instant, control: Control) -> ControlId {
        if let Some(overseer) = &self.overseer {
            overseer.see_control(now, self.port.name(), &control);
        }
        self.with_hub(now, |hub, id| hub.control(now, id, control))
    }

    /// [`Hub::take_lease`].
    ///
    /// # Errors
    /// As there.
    pub fn take_lease(&self, now: Instant) -> Result<(), Refusal> {
        self.see(now, Right::Write);
        self.with_lease(now, |hub, id| hub.take_lease(now, id))
    }

    /// [`Hub::steal_lease`].
    ///
    /// # Errors
    /// As there.
    pub fn steal_lease(&self, now: Instant) -> Result<(), Refusal> {
        self.see(now, Right::Steal);
        self.with_lease(now, |hub, id| hub.steal_lease(now, id))
    }

    fn see(&self, now: Instant, right: Right) {
        if let Some(overseer) = &self.overseer {
            overseer.see(now, self.port.name(), right);
        }
    }

    /// [`PortClient::with_hub`] for what may make this client the holder of the lease.
    fn with_lease<R>(&self, now: Instant, speak: impl FnOnce(&mut Hub, ClientId) -> R) -> R {
        let (result, before, is_mine) = self.with_hub(now, |hub, id| {
            let before = hub.lease_holder();
            let label = before
                .filter(|holder| *holder != id)
                .map(|holder| hub.label(holder));
            let result = speak(hub, id);
            let is_mine = hub.lease_holder() == Some(id) && before != Some(id);
            (result, label, is_mine)
        });
        if let Some(overseer) = self.overseer.as_ref().filter(|_| is_mine) {
            overseer.see_lease(now, self.port.name(), before.as_deref());
        }
        result
    }

    /// Lets this client speak to the hub.
    pub fn with_hub<R>(&self, now: Instant, speak: impl FnOnce(&mut Hub, ClientId) -> R) -> R {
        self.port.with_hub(now, |hub| speak(hub, self.id))
    }

    /// The next thing to tell this client; data in pieces of at most `limit` bytes.
    pub fn poll_notice(&self, now: Instant, limit: usize) -> Option<Notice> {
        self.port.poll_notice(now, self.id, limit)
    }

    /// [`Hub::finds_nothing`].
    pub(crate) fn finds_nothing(&self) -> bool {
        self.port.hub.borrow_mut().finds_nothing(self.id)
    }
}

impl Drop for PortClient {
    fn drop(&mut self) {
        if let Some(nudge) = self.port.clients.borrow_mut().get_mut(self.id.slot()) {
            *nudge = None;
        }
        // A session may be dropped at any moment, without a clock; the newest time the port was told is good enough.
        let now = self.port.latest.get();
        self.port.with_hub(now, |hub| hub.detach(now, self.id));
    }
}
