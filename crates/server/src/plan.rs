//! What has to change when the configuration has changed: the difference of two configurations, as a list. Pure: nothing
//! is opened, bound or closed here.
//!
//! A port is known by its name, a listener by its address. Every key of the configuration is compared by name, so that
//! one that is added later does not compile before it is compared too.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use uart_iface::PortName;
use uartnet_hub::HubConfig;

use crate::access::{Holder, Holders};
use crate::config::{Config, GatewayConfig, ListenAddress, ListenerConfig, PortConfig};
use crate::tls::TlsFiles;

/// What has to change. Empty: nothing.
#[derive(Debug, Default)]
pub struct Plan {
    /// The keys of `[gateway]` that have changed.
    pub gateway: Keys,
    /// Ports, those that go first.
    pub ports: Vec<PortChange>,
    /// Listeners that go, as indices into the old configuration's.
    pub listeners_gone: Vec<(usize, ListenerName)>,
    /// What becomes of each listener of the new configuration.
    pub listeners: Vec<(ListenerFate, ListenerName)>,
    /// Those who are known by a certificate, as sentences: what they may do is asked of the new configuration.
    pub identities: Vec<String>,
}

/// Keys of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys(Vec<&'static str>);

/// What becomes of a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortChange {
    /// It is no longer there.
    Gone(PortName),
    /// It is new.
    New(PortName),
    /// These keys of it have changed.
    Changed(PortName, Keys),
}

/// What becomes of a listener that is in the new configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenerFate {
    /// It was not there.
    New,
    /// It is this one of the old configuration, with these keys changed, if any.
    Kept(usize, Keys),
}

/// How a listener is called when its change is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerName {
    protocol: &'static str,
    address: ListenAddress,
}

impl Plan {
    /// What has to change so that `new` is in force where `old` was.
    pub fn new(old: &Config, new: &Config) -> Plan {
        let (listeners_gone, listeners) = listeners(&old.listeners, &new.listeners);
        Plan {
            gateway: gateway(&old.gateway, &new.gateway),
            ports: ports(&old.ports, &new.ports),
            listeners_gone,
            listeners,
            identities: identities(&old.holders, &new.holders),
        }
    }

    /// What changes, one sentence each.
    pub fn sentences(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        if !self.gateway.is_empty() {
            sentences.push(format!("gateway changed: {}", self.gateway));
        }
        sentences.extend(self.ports.iter().map(ToString::to_string));
        for (_, name) in &self.listeners_gone {
            sentences.push(format!("listener {name} removed"));
        }
        for (fate, name) in &self.listeners {
            match fate {
                ListenerFate::New => sentences.push(format!("listener {name} added")),
                ListenerFate::Kept(_, keys) if keys.is_empty() => {}
                ListenerFate::Kept(_, keys) => {
                    sentences.push(format!("listener {name} changed: {keys}"));
                }
            }
        }
        sentences.extend(self.identities.iter().cloned());
        sentences
    }
}

impl Keys {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this one is among them.
    pub fn has(&self, key: &str) -> bool {
        self.0.contains(&key)
    }

    fn add(&mut self, key: &'static str, differs: bool) {
        if differs && !self.has(key) {
            self.0.push(key);
        }
    }
}

impl PortChange {
    /// Which port.
    pub fn port(&self) -> &PortName {
        match self {
            PortChange::Gone(name) | PortChange::New(name) | PortChange::Changed(name, _) => name,
        }
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

impl fmt::Display for PortChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PortChange::Gone(name) => write!(f, "port {name} removed"),
            PortChange::New(name) => write!(f, "port {name} added"),
            PortChange::Changed(name, keys) => write!(f, "port {name} changed: {keys}"),
        }
    }
}

impl ListenerName {
    fn of(listener: &ListenerConfig) -> ListenerName {
        ListenerName {
            protocol: listener.endpoint.name(),
            address: listener.address.clone(),
        }
    }
}

impl fmt::Display for ListenerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.protocol, self.address)
    }
}

fn gateway(old: &GatewayConfig, new: &GatewayConfig) -> Keys {
    let GatewayConfig {
        name,
        drain,
        max_connections,
        max_connections_per_peer,
        dead_peer,
        max_frame,
        tokens,
        audit,
        hello_timeout,
        max_unauthenticated,
    } = old;
    let mut keys = Keys::default();
    keys.add("name", *name != new.name);
    keys.add("drain", *drain != new.drain);
    keys.add("max_connections", *max_connections != new.max_connections);
    keys.add(
        "max_connections_per_peer",
        *max_connections_per_peer != new.max_connections_per_peer,
    );
    keys.add("dead_peer", *dead_peer != new.dead_peer);
    keys.add("max_frame", *max_frame != new.max_frame);
    keys.add("tokens", *tokens != new.tokens);
    keys.add("audit", *audit != new.audit);
    keys.add("hello_timeout", *hello_timeout != new.hello_timeout);
    keys.add(
        "max_unauthenticated",
        *max_unauthenticated != new.max_unauthenticated,
    );
    keys
}

fn ports(old: &[PortConfig], new: &[PortConfig]) -> Vec<PortChange> {
    let gone = old
        .iter()
        .filter(|port| new.iter().all(|other| other.name != port.name))
        .map(|port| PortChange::Gone(port.name.clone()));
    let rest = new.iter().filter_map(|port| {
        let Some(before) = old.iter().find(|other| other.name == port.name) else {
            return Some(PortChange::New(port.name.clone()));
        };
        let keys = port_keys(before, port);
        (!keys.is_empty()).then(|| PortChange::Changed(port.name.clone(), keys))
    });
    gone.chain(rest).collect()
}

fn port_keys(old: &PortConfig, new: &PortConfig) -> Keys {
    let PortConfig {
        name: _,
        device,
        line,
        hub,
        logs,
    } = old;
    let HubConfig {
        history,
        write,
        lease_idle,
        on_lag,
        stall_limit,
        write_queue,
        on_loss,
        ask_queue,
        ask_wait,
        typing_hold,
        profile,
        sequences,
        byte_pacing,
        line_pacing,
    } = &**hub;
    let mut keys = Keys::default();
    keys.add("device", *device != new.device);
    keys.add("line", *line != new.line);
    keys.add("log", *logs != new.logs);
    keys.add("history", *history != new.hub.history);
    keys.add("write", *write != new.hub.write);
    keys.add("lease_idle", *lease_idle != new.hub.lease_idle);
    keys.add("on_lag", *on_lag != new.hub.on_lag);
    keys.add("stall_limit", *stall_limit != new.hub.stall_limit);
    keys.add("write_queue", *write_queue != new.hub.write_queue);
    keys.add("on_loss", *on_loss != new.hub.on_loss);
    keys.add("ask_queue", *ask_queue != new.hub.ask_queue);
    keys.add("ask_wait", *ask_wait != new.hub.ask_wait);
    keys.add("typing_hold", *typing_hold != new.hub.typing_hold);
    keys.add("interpreter", *profile != new.hub.profile);
    keys.add("sequence", *sequences != new.hub.sequences);
    keys.add("write_pacing", *byte_pacing != new.hub.byte_pacing);
    keys.add("write_pacing", *line_pacing != new.hub.line_pacing);
    keys
}

type Listeners = (
    Vec<(usize, ListenerName)>,
    Vec<(ListenerFate, ListenerName)>,
);

/// Listeners that did not change find each other first, so that of two with the same address (port 0 may be written
/// twice) each stays what it was.
fn listeners(old: &[Arc<ListenerConfig>], new: &[Arc<ListenerConfig>]) -> Listeners {
    let mut taken = HashSet::new();
    let mut kept: Vec<Option<usize>> = vec![None; new.len()];
    let same_address =
        |old: &ListenerConfig, new: &ListenerConfig| -> bool { old.address == new.address };
    let same = |old: &ListenerConfig, new: &ListenerConfig| {
        same_address(old, new) && listener_keys(old, new).is_empty()
    };
    for is_it in [&same as &dyn Fn(_, _) -> bool, &same_address] {
        for (listener, kept) in new.iter().zip(&mut kept) {
            if kept.is_none() {
                let found = old
                    .iter()
                    .enumerate()
                    .find(|(index, other)| !taken.contains(index) && is_it(other, listener));
                *kept = found.map(|(index, _)| index);
                taken.extend(*kept);
            }
        }
    }
    let gone = old
        .iter()
        .enumerate()
        .filter(|(index, _)| !taken.contains(index))
        .map(|(index, listener)| (index, ListenerName::of(listener)));
    let fates = new.iter().zip(kept).map(|(listener, kept)| {
        let fate = kept.map_or(ListenerFate::New, |index| {
            ListenerFate::Kept(index, listener_keys(&old[index], listener))
        });
        (fate, ListenerName::of(listener))
    });
    (gone.collect(), fates.collect())
}

fn listener_keys(old: &ListenerConfig, new: &ListenerConfig) -> Keys {
    let ListenerConfig {
        endpoint,
        address: _,
        port,
        tls,
        insecure,
        access,
        allowed,
        stream,
    } = old;
    let mut keys = Keys::default();
    keys.add("protocol", endpoint.name() != new.endpoint.name());
    keys.add("port", *port != new.port);
    let own = |tls: &Option<TlsFiles>| {
        let TlsFiles {
            certificate,
            key,
            client_ca: _,
        } = tls.clone()?;
        Some((certificate, key))
    };
    let client_ca = |tls: &Option<TlsFiles>| tls.clone()?.client_ca;
    keys.add("tls", own(tls) != own(&new.tls));
    keys.add("client_ca", client_ca(tls) != client_ca(&new.tls));
    keys.add("insecure", *insecure != new.insecure);
    keys.add("access", *access != new.access);
    keys.add("allow", *allowed != new.allowed);
    keys.add("from", stream.from != new.stream.from);
    keys.add("when_absent", stream.when_absent != new.stream.when_absent);
    keys.add("banner", stream.banner != new.stream.banner);
    keys
}

/// An identity is known by its name. Which of two that fit is meant depends on their order.
fn identities(old: &Holders, new: &Holders) -> Vec<String> {
    let named = |holders: &Holders, name: &PortName| {
        let mut list = holders.list().iter();
        list.find(|holder| holder.name == *name).cloned()
    };
    let gone = old.list().iter();
    let gone = gone.filter(|holder| named(new, &holder.name).is_none());
    let gone = gone.map(|holder| format!("identity {} removed", holder.name));
    let rest = new.list().iter().filter_map(|holder| {
        let Some(before) = named(old, &holder.name) else {
            return Some(format!("identity {} added", holder.name));
        };
        let keys = identity_keys(&before, holder);
        (!keys.is_empty()).then(|| format!("identity {} changed: {keys}", holder.name))
    });
    let mut sentences: Vec<String> = gone.chain(rest).collect();
    if sentences.is_empty() && old != new {
        sentences.push("identities changed: their order".to_owned());
    }
    sentences
}

fn identity_keys(old: &Holder, new: &Holder) -> Keys {
    let Holder {
        name: _,
        fingerprint,
        common_name,
        san,
        access,
        scope,
    } = old;
    let mut keys = Keys::default();
    keys.add("fingerprint", *fingerprint != new.fingerprint);
    keys.add("common_name", *common_name != new.common_name);
    keys.add("san", *san != new.san);
    keys.add("access", *access != new.access);
    keys.add("ports", *scope != new.scope);
    keys
}

#[cfg(test)]
mod tests;
