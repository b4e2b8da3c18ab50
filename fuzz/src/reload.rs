//! Reload: whatever one configuration says and whatever another, what the plan names is what has to change so that the
//! second is in force where the first was: all of it, and nothing else.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;

use uartnet_server::config::{Config, GatewayConfig, Given, ListenerConfig, PortConfig, load};
use uartnet_server::plan::{Keys, ListenerFate, Plan, PortChange};

/// What stands between the two files, on a line of its own.
const BETWEEN: &str = "\n====\n";

/// The target: two configuration files.
pub fn reload(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Some((old, new)) = text.split_once(BETWEEN) else {
        return;
    };
    let (Some(old), Some(new)) = (configuration(old), configuration(new)) else {
        return;
    };
    changes_nothing(&old);
    changes_nothing(&new);
    leads_to(&old, &new);
    leads_to(&new, &old);
}

fn configuration(text: &str) -> Option<Config> {
    let folder = tempfile::tempdir().expect("a folder of our own");
    let file = folder.path().join("any.toml");
    fs::write(&file, text).expect("a file in our own folder");
    let given = Given {
        file: Some(file),
        ..Given::default()
    };
    let mut config = load(&given).ok()?.config;
    // Paths are taken from where the file is, which differs between the two.
    for port in &mut config.ports {
        for log in &mut port.logs {
            log.path = log.path.file_name()?.into();
        }
    }
    Some(config)
}

fn changes_nothing(config: &Config) {
    let plan = Plan::new(config, config);
    assert!(plan.gateway.is_empty() && plan.ports.is_empty() && plan.listeners_gone.is_empty());
    for (index, (fate, _)) in plan.listeners.iter().enumerate() {
        assert_eq!(*fate, ListenerFate::Kept(index, Keys::default()));
    }
    assert_eq!(plan.sentences(), [""; 0]);
}

fn leads_to(old: &Config, new: &Config) {
    let plan = Plan::new(old, new);
    let mut gateway = old.gateway.clone();
    follow_gateway(&mut gateway, &new.gateway, &plan.gateway);
    same(&gateway, &new.gateway);
    ports(old, new, &plan.ports);
    listeners(old, new, &plan);
    let told = plan.sentences();
    let control = |sentence: &String| sentence.chars().any(char::is_control);
    assert!(!told.iter().any(control), "{told:?}");
    let silent = shown(&old.ports) == shown(&new.ports)
        && shown(&old.listeners) == shown(&new.listeners)
        && shown(&old.gateway) == shown(&new.gateway)
        && old.holders == new.holders;
    assert!(!silent || told.is_empty(), "{told:?}");
}

/// Each port is named once at most, and only if it changes; following what is named leads to the new ports.
fn ports(old: &Config, new: &Config, changes: &[PortChange]) {
    let mut ports = old.ports.clone();
    let mut named = BTreeSet::new();
    for change in changes {
        let name = change.port();
        assert!(named.insert(name.to_string()), "{name} twice: {changes:?}");
        let at = ports.iter().position(|port| port.name == *name);
        let wanted = new.ports.iter().find(|port| port.name == *name);
        match (change, at, wanted) {
            (PortChange::Gone(_), Some(at), None) => drop(ports.remove(at)),
            (PortChange::New(_), None, Some(wanted)) => ports.push(wanted.clone()),
            (PortChange::Changed(_, keys), Some(at), Some(wanted)) => {
                assert_ne!(shown(&ports[at]), shown(wanted), "untouched, but named");
                follow_port(&mut ports[at], wanted, keys);
            }
            _ => panic!("{change:?} of {old:?} to {new:?}"),
        }
    }
    let mut wanted = new.ports.clone();
    ports.sort_by(|a, b| a.name.cmp(&b.name));
    wanted.sort_by(|a, b| a.name.cmp(&b.name));
    same(&ports, &wanted);
}

/// Each old listener goes or is kept as one new one, and kept where there is one of its address.
fn listeners(old: &Config, new: &Config, plan: &Plan) {
    let mut left: BTreeSet<usize> = (0..old.listeners.len()).collect();
    for (at, _) in &plan.listeners_gone {
        assert!(left.remove(at), "{at} goes twice");
    }
    assert_eq!(plan.listeners.len(), new.listeners.len());
    for ((fate, _), wanted) in plan.listeners.iter().zip(&new.listeners) {
        match fate {
            ListenerFate::New => {
                let mut gone = plan.listeners_gone.iter();
                let goes = gone.any(|(at, _)| old.listeners[*at].address == wanted.address);
                assert!(!goes, "{wanted:?} would be bound beside itself");
            }
            ListenerFate::Kept(at, keys) => {
                assert!(left.remove(at), "{at} becomes two");
                let mut kept = ListenerConfig::clone(&old.listeners[*at]);
                let untouched = shown(&kept) == shown(&**wanted);
                assert!(!untouched || keys.is_empty(), "untouched, but {keys}");
                follow_listener(&mut kept, wanted, keys);
                same(&kept, wanted);
            }
        }
    }
    assert!(left.is_empty(), "{left:?} are forgotten");
}

fn follow_gateway(config: &mut GatewayConfig, new: &GatewayConfig, keys: &Keys) {
    let new = new.clone();
    follow(keys, "name", &mut config.name, new.name);
    follow(keys, "drain", &mut config.drain, new.drain);
    let (all, peer) = (
        &mut config.max_connections,
        &mut config.max_connections_per_peer,
    );
    follow(keys, "max_connections", all, new.max_connections);
    follow(
        keys,
        "max_connections_per_peer",
        peer,
        new.max_connections_per_peer,
    );
    follow(keys, "dead_peer", &mut config.dead_peer, new.dead_peer);
    follow(keys, "max_frame", &mut config.max_frame, new.max_frame);
    follow(keys, "tokens", &mut config.tokens, new.tokens);
    follow(keys, "audit", &mut config.audit, new.audit);
    follow(
        keys,
        "hello_timeout",
        &mut config.hello_timeout,
        new.hello_timeout,
    );
    let unknown = &mut config.max_unauthenticated;
    follow(
        keys,
        "max_unauthenticated",
        unknown,
        new.max_unauthenticated,
    );
}

fn follow_port(config: &mut PortConfig, new: &PortConfig, keys: &Keys) {
    let new = new.clone();
    follow(keys, "device", &mut config.device, new.device);
    follow(keys, "line", &mut config.line, new.line);
    follow(keys, "log", &mut config.logs, new.logs);
    let mut hub = (*config.hub).clone();
    let new = (*new.hub).clone();
    follow(keys, "history", &mut hub.history, new.history);
    follow(keys, "write", &mut hub.write, new.write);
    follow(keys, "lease_idle", &mut hub.lease_idle, new.lease_idle);
    follow(keys, "on_lag", &mut hub.on_lag, new.on_lag);
    follow(keys, "stall_limit", &mut hub.stall_limit, new.stall_limit);
    follow(keys, "write_queue", &mut hub.write_queue, new.write_queue);
    follow(keys, "on_loss", &mut hub.on_loss, new.on_loss);
    follow(keys, "ask_queue", &mut hub.ask_queue, new.ask_queue);
    follow(keys, "ask_wait", &mut hub.ask_wait, new.ask_wait);
    follow(keys, "typing_hold", &mut hub.typing_hold, new.typing_hold);
    follow(keys, "interpreter", &mut hub.profile, new.profile);
    follow(keys, "sequence", &mut hub.sequences, new.sequences);
    follow(keys, "write_pacing", &mut hub.byte_pacing, new.byte_pacing);
    follow(keys, "write_pacing", &mut hub.line_pacing, new.line_pacing);
    config.hub = hub.into();
}

fn follow_listener(config: &mut ListenerConfig, new: &ListenerConfig, keys: &Keys) {
    let new = new.clone();
    follow(keys, "protocol", &mut config.endpoint, new.endpoint);
    follow(keys, "port", &mut config.port, new.port);
    match (&mut config.tls, &new.tls) {
        (Some(tls), Some(new)) => {
            let new = new.clone();
            follow(keys, "tls", &mut tls.certificate, new.certificate);
            follow(keys, "tls", &mut tls.key, new.key);
            follow(keys, "client_ca", &mut tls.client_ca, new.client_ca);
        }
        (tls, _) => follow(keys, "tls", tls, new.tls),
    }
    follow(keys, "insecure", &mut config.insecure, new.insecure);
    follow(keys, "access", &mut config.access, new.access);
    follow(keys, "allow", &mut config.allowed, new.allowed);
    let (stream, new) = (&mut config.stream, new.stream);
    follow(keys, "from", &mut stream.from, new.from);
    follow(
        keys,
        "when_absent",
        &mut stream.when_absent,
        new.when_absent,
    );
    follow(keys, "banner", &mut stream.banner, new.banner);
}

/// What a key that is named stands for is taken over, and nothing else.
fn follow<T>(keys: &Keys, key: &str, value: &mut T, new: T) {
    if keys.has(key) {
        *value = new;
    }
}

/// All there is to it, readable.
fn shown(what: &impl Debug) -> String {
    format!("{what:#?}")
}

fn same<T: Debug>(is: &T, wanted: &T) {
    assert_eq!(
        shown(is),
        shown(wanted),
        "following the plan leads elsewhere"
    );
}
