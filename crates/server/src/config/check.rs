//! From what was written to what the daemon may assume. Every mistake is noted with its place, and the check goes on, so
//! that a person sees all of them at once. Nothing is opened or bound here.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use uart_iface::{LineSettings, PortName};
use uartnet_hub::{Access, HubConfig, OnLag, OnLoss, Sequence, Step, WritePolicy};

use super::identity;
use super::interpreter::{self, OwnInterpreter};
use super::log::{self, Taken};
use super::problem::{Place, Report, Source, Wrong};
use super::raw::{RawGateway, RawIdentity, RawListener, RawPort, RawSequence, Written};
use super::{
    Config, DeviceSpec, GatewayConfig, ListenAddress, ListenerConfig, PortConfig, StreamOptions,
    WhenAbsent, limits, values,
};
use crate::access::{Allowed, AuditTo, Prefix, PrefixError};
use crate::endpoint::{ENDPOINTS, EndpointKind, PortNeed};
use crate::tls::{TlsFiles, default_files};

/// Something that was written, and the text it stands in.
#[derive(Debug)]
pub(super) struct From<'a, T> {
    pub(super) source: &'a Source,
    pub(super) raw: T,
}

/// Everything that was written, in the file and on the command line.
#[derive(Debug)]
pub(super) struct Everything<'a> {
    /// `--tokens`, which stands above the file.
    pub(super) tokens: Option<&'a Path>,
    /// One at most from the file, and one from the command line, which goes first.
    pub(super) gateway: Vec<From<'a, RawGateway>>,
    pub(super) ports: Vec<From<'a, Spanned<RawPort>>>,
    pub(super) listeners: Vec<From<'a, Spanned<RawListener>>>,
    pub(super) identities: Vec<From<'a, Spanned<RawIdentity>>>,
}

/// The checked configuration. What is wrong is added to the report; the result is of no use then.
pub(super) fn check(everything: &Everything<'_>, report: &mut Report) -> Config {
    let mut gateway = gateway(&everything.gateway, report);
    if let Some(path) = everything.tokens {
        gateway.tokens = Some(path.to_owned());
    }
    let (ports, names) = ports(&everything.ports, report);
    let default_tls = default_files(gateway.tokens.as_deref());
    let listeners = listeners(
        &everything.listeners,
        &names,
        ENDPOINTS,
        default_tls.as_ref(),
        report,
    );
    let holders = identity::holders(&everything.identities, &names, &listeners, report);
    if everything.identities.is_empty() {
        unused_authorities(&everything.listeners, &listeners, report);
    }
    Config {
        gateway,
        ports,
        listeners,
        holders: Arc::new(holders),
    }
}

fn gateway(written: &[From<'_, RawGateway>], report: &mut Report) -> GatewayConfig {
    let mut gateway = GatewayConfig::default();
    for From { source, raw } in written {
        let mut values = Values { source, report };
        values.set(&mut gateway.name, &raw.name, gateway_name);
        values.set(&mut gateway.drain, &raw.drain, |text| {
            values::duration(text, limits::DRAIN.range())
        });
        let limit = &limits::MAX_CONNECTIONS;
        values.set(&mut gateway.max_connections, &raw.max_connections, |text| {
            values::count(text, limit.range())
        });
        let written = &raw.max_connections_per_peer;
        values.set(&mut gateway.max_connections_per_peer, written, |text| {
            values::count(text, limits::MAX_CONNECTIONS_PER_PEER).map(Some)
        });
        values.set(&mut gateway.dead_peer, &raw.dead_peer, |text| {
            values::duration(text, limits::DEAD_PEER.range())
        });
        values.set(&mut gateway.max_frame, &raw.max_frame, |text| {
            values::size(text, limits::MAX_FRAME.range())
        });
        values.set(&mut gateway.tokens, &raw.tokens, |text| {
            values::path(text, "/var/lib/uartd/tokens.toml").map(Some)
        });
        values.set(&mut gateway.audit, &raw.audit, |text| match text {
            "stderr" => Ok(AuditTo::Stderr),
            path => values::path(path, "/var/log/uartd/audit.jsonl").map(AuditTo::File),
        });
        values.set(&mut gateway.hello_timeout, &raw.hello_timeout, |text| {
            values::duration(text, limits::HELLO_TIMEOUT.range())
        });
        let limit = &limits::MAX_UNAUTHENTICATED;
        let written = &raw.max_unauthenticated;
        values.set(&mut gateway.max_unauthenticated, written, |text| {
            values::count(text, limit.range())
        });
    }
    gateway
}

fn gateway_name(text: &str) -> Result<String, Wrong> {
    if (1..=64).contains(&text.chars().count()) && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(
        format!("\"{text}\" is not a gateway name"),
        "write 1 to 64 printable characters",
    ))
}

/// The names of the ports, as far as they are known.
pub(super) struct Names {
    known: Vec<PortName>,
    /// No port's name is missing or wrong.
    complete: bool,
}

impl Names {
    /// The port of this name. `None`: it may be the one whose name is wrong, which was said already.
    pub(super) fn find(&self, text: &str) -> Result<Option<PortName>, Wrong> {
        match self.known.iter().find(|name| name.as_str() == text) {
            Some(name) => Ok(Some(name.clone())),
            None if !self.complete => Ok(None),
            None => {
                let help = values::help_with_words(text, self.known.iter().map(PortName::as_str));
                Err(Wrong::new(format!("there is no port \"{text}\""), help))
            }
        }
    }
}

fn ports(written: &[From<'_, Spanned<RawPort>>], report: &mut Report) -> (Vec<PortConfig>, Names) {
    let mut named: Vec<(PortName, Place<'_>)> = Vec::new();
    let mut taken: Vec<(String, Place<'_>)> = Vec::new();
    let mut log_files = Taken::new();
    let mut complete = true;
    let mut hubs: Vec<Arc<HubConfig>> = Vec::new();
    let mut ports = Vec::new();
    for From { source, raw: table } in written {
        let raw = table.get_ref();
        let mut values = Values { source, report };
        let name = values.required(
            table,
            "[[port]]",
            ("name", &raw.name),
            "name = \"board0\"",
            |text| {
                text.parse::<PortName>()
                    .map_err(|error| Wrong::new(error.to_string(), "write e.g. \"board0\""))
            },
        );
        complete &= name.is_some();
        if let (Some(name), Some(written)) = (&name, &raw.name) {
            let place = Place {
                source,
                span: written.span(),
            };
            match named.iter().find(|(other, _)| other == name) {
                None => named.push((name.clone(), place)),
                Some((_, first)) => {
                    let help = format!(
                        "the other one is {}; give each its own name",
                        first.described()
                    );
                    values.report.add(
                        &place,
                        Wrong::new(format!("there are two ports named \"{name}\""), help),
                    );
                }
            }
        }
        let logs = log::logs(&mut values, &raw.logs, &mut log_files);
        let Some((device, line, hub)) = port(&mut values, table) else {
            continue;
        };
        if let (Some(identity), Some(written)) = (device.identity, &raw.device) {
            let place = Place {
                source,
                span: written.span(),
            };
            match taken.iter().find(|(other, _)| *other == identity) {
                None => taken.push((identity, place)),
                Some((_, first)) => {
                    let wrong = same_device(&device.spec, first);
                    values.report.add(&place, wrong);
                }
            }
        }
        if let Some(name) = name {
            // Most ports of a gateway with many are alike.
            let alike = hubs.iter().find(|other| ***other == hub).cloned();
            let hub = alike.unwrap_or_else(|| {
                hubs.push(Arc::new(hub));
                hubs[hubs.len() - 1].clone()
            });
            ports.push(PortConfig {
                name,
                device: device.spec,
                line,
                hub,
                logs,
            });
        }
    }
    (
        ports,
        Names {
            known: named.into_iter().map(|(name, _)| name).collect(),
            complete,
        },
    )
}

/// Opening it twice would fail, or steal bytes from the other port.
fn same_device(spec: &DeviceSpec, first: &Place<'_>) -> Wrong {
    let message = format!("two ports cannot share the device \"{}\"", spec.as_str());
    let help = format!(
        "the other one is {}; give each its own, one port serves many clients",
        first.described()
    );
    Wrong::new(message, help)
}

/// A device spec that was understood, and what is known of the device without opening it.
struct Device {
    spec: DeviceSpec,
    interpreter: OwnInterpreter,
    identity: Option<String>,
}

fn port(
    values: &mut Values<'_, '_>,
    table: &Spanned<RawPort>,
) -> Option<(Device, LineSettings, HubConfig)> {
    let raw = table.get_ref();
    let device = values.required(
        table,
        "[[port]]",
        ("device", &raw.device),
        "device = \"/dev/ttyUSB0\"",
        |text| {
            let wrong = |error: uart_iface::SpecError| {
                Wrong::new(error.to_string(), "\"uartd devices\" lists what is there")
            };
            let spec = DeviceSpec::parse(text).map_err(wrong)?;
            let device = spec.device().map_err(wrong)?;
            Ok(Device {
                spec,
                interpreter: OwnInterpreter {
                    profile: device.profile(),
                    prompt: device.prompt().map(str::to_owned),
                },
                identity: device.identity(),
            })
        },
    );
    let mut line = LineSettings::default();
    values.set(&mut line, &raw.line, |text| {
        text.parse().map_err(|error: uart_iface::LineError| {
            Wrong::new(error.to_string(), "write e.g. \"115200-8n1\"")
        })
    });
    values.set(&mut line.flow, &raw.flow, |text| {
        values::word(text, "a flow control", values::FLOW)
    });

    let mut hub = HubConfig {
        history: limits::HISTORY.default,
        write: WritePolicy::default(),
        lease_idle: None,
        on_lag: OnLag::default(),
        stall_limit: limits::STALL_LIMIT.default,
        write_queue: limits::WRITE_QUEUE.default,
        on_loss: OnLoss::default(),
        ask_queue: limits::ASK_QUEUE.default,
        ask_wait: limits::ASK_WAIT.default,
        typing_hold: limits::TYPING_HOLD.default,
        profile: interpreter::profile(
            values,
            raw.interpreter.as_ref(),
            device.as_ref().map(|device| &device.interpreter),
        ),
        sequences: sequences(values, &raw.sequences),
        byte_pacing: std::time::Duration::ZERO,
        line_pacing: std::time::Duration::ZERO,
    };
    values.set(&mut hub.history, &raw.history, |text| {
        values::size(text, limits::HISTORY.range())
    });
    values.set(&mut hub.write, &raw.write, |text| {
        values::word(text, "a write policy", values::WRITE)
    });
    values.set(&mut hub.lease_idle, &raw.lease_idle, |text| {
        values::duration_or_never(text, limits::LEASE_IDLE)
    });
    values.set(&mut hub.on_lag, &raw.on_lag, |text| {
        values::word(text, "a way to treat laggards", values::ON_LAG)
    });
    values.set(&mut hub.stall_limit, &raw.stall_limit, |text| {
        values::duration(text, limits::STALL_LIMIT.range())
    });
    values.set(&mut hub.write_queue, &raw.write_queue, |text| {
        values::size(text, limits::WRITE_QUEUE.range())
    });
    values.set(&mut hub.on_loss, &raw.on_loss, |text| {
        values::word(text, "a thing to do on loss", values::ON_LOSS)
    });
    values.set(&mut hub.ask_queue, &raw.ask_queue, |text| {
        values::count(text, limits::ASK_QUEUE.range())
    });
    values.set(&mut hub.ask_wait, &raw.ask_wait, |text| {
        values::duration(text, limits::ASK_WAIT.range())
    });
    values.set(&mut hub.typing_hold, &raw.typing_hold, |text| {
        values::duration(text, limits::TYPING_HOLD.range())
    });
    if let Some((per_byte, per_line)) = values.get(&raw.write_pacing, values::pacing) {
        (hub.byte_pacing, hub.line_pacing) = (per_byte, per_line);
    }
    Some((device?, line, hub))
}

fn sequences(values: &mut Values<'_, '_>, tables: &[Spanned<RawSequence>]) -> Vec<Sequence> {
    let mut sequences: Vec<Sequence> = Vec::new();
    for table in tables {
        let raw = table.get_ref();
        let taken: Vec<&str> = sequences
            .iter()
            .map(|sequence| sequence.name.as_str())
            .collect();
        let name = values.required(
            table,
            "[[port.sequence]]",
            ("name", &raw.name),
            "name = \"reset\"",
            |text| {
                // The same characters as in a port's name, so that it is one word on every command line.
                if let Err(error) = text.parse::<PortName>() {
                    return Err(Wrong::new(
                        format!(
                            "\"{}\" is not a sequence name: {}",
                            error.text, error.problem
                        ),
                        "write e.g. \"reset\"",
                    ));
                }
                if taken.contains(&text) {
                    return Err(Wrong::new(
                        format!("this port has two sequences named \"{text}\""),
                        "give each its own name",
                    ));
                }
                Ok(text.to_owned())
            },
        );
        const EXAMPLE: &str = "steps = [\"dtr=off\", \"100ms\", \"dtr=on\"]";
        let Some(steps) = &raw.steps else {
            values.missing(table, "[[port.sequence]]", "steps", EXAMPLE);
            continue;
        };
        if steps.get_ref().is_empty() {
            values.add(
                steps,
                Wrong::new("a sequence without steps", format!("write e.g. {EXAMPLE}")),
            );
        }
        let steps = steps.get_ref().iter().filter_map(|step| {
            values.one(step, |text| {
                text.parse::<Step>()
                    .map_err(|error| Wrong::new(error.to_string(), format!("write e.g. {EXAMPLE}")))
            })
        });
        let steps = steps.collect();
        sequences.extend(name.map(|name| Sequence { name, steps }));
    }
    sequences
}

fn listeners(
    written: &[From<'_, Spanned<RawListener>>],
    ports: &Names,
    endpoints: &[&'static dyn EndpointKind],
    default_tls: Option<&(PathBuf, PathBuf)>,
    report: &mut Report,
) -> Vec<Arc<ListenerConfig>> {
    let mut bound: Vec<(ListenAddress, Place<'_>)> = Vec::new();
    let mut listeners = Vec::new();
    for From { source, raw: table } in written {
        let raw = table.get_ref();
        let mut values = Values { source, report };
        let endpoint = values.required(
            table,
            "[[listen]]",
            ("protocol", &raw.protocol),
            "protocol = \"uartnet\"",
            |text| protocol(text, endpoints),
        );
        let address = values.required(
            table,
            "[[listen]]",
            ("address", &raw.address),
            "address = \"127.0.0.1:8000\"",
            values::address,
        );
        let tls = tls_of_listener(&mut values, raw, address.as_ref(), default_tls);
        let beyond = address.as_ref().is_some_and(reaches_beyond_this_machine);
        let mut insecure = false;
        values.set(&mut insecure, &raw.insecure, values::flag);
        let by_certificate = tls.as_ref().is_some_and(TlsFiles::ask_for_certificate);
        let default = match by_certificate || (beyond && tls.is_some() && !insecure) {
            true => None,
            false => Some(Access::Admin),
        };
        let access = access_of_listener(&mut values, table, endpoint, by_certificate, default);
        let allowed = allowed_of_listener(&mut values, raw, address.as_ref());
        if let (Some(address), Some(written)) = (&address, &raw.address) {
            if !insecure && beyond && !by_certificate && (tls.is_none() || access.is_some()) {
                let wrong = insecure_wrong(address, tls.is_some(), access, endpoint, source);
                values.add(written, wrong);
            }
            let place = Place {
                source,
                span: written.span(),
            };
            match bound.iter().find(|(other, _)| collide(other, address)) {
                None => bound.push((address.clone(), place)),
                Some((other, first)) => {
                    let help = format!("{other} is taken {}; give each its own", first.described());
                    values.report.add(
                        &place,
                        Wrong::new(
                            format!("two listeners cannot share the address {address}"),
                            help,
                        ),
                    );
                }
            }
        }
        let port = match endpoint {
            Some(endpoint) => port_of_listener(&mut values, table, endpoint, ports),
            None => None,
        };
        let stream = stream_options(&mut values, raw, endpoint);
        if let (Some(endpoint), Some(address)) = (endpoint, address) {
            listeners.push(Arc::new(ListenerConfig {
                stream,
                endpoint,
                address,
                port,
                tls,
                insecure,
                access,
                allowed,
            }));
        }
    }
    listeners
}

/// The keys that only some endpoints have a use for.
fn stream_options(
    values: &mut Values<'_, '_>,
    raw: &RawListener,
    endpoint: Option<&dyn EndpointKind>,
) -> StreamOptions {
    for (key, written) in [
        ("from", &raw.from),
        ("when_absent", &raw.when_absent),
        ("banner", &raw.banner),
    ] {
        if let (Some(endpoint), Some(written)) = (endpoint, written)
            && !endpoint.options().contains(&key)
        {
            let problem = format!("a {} listener has no \"{key}\"", endpoint.name());
            values.add(written, Wrong::new(problem, "take it out"));
        }
    }
    let mut options = StreamOptions::default();
    values.set(&mut options.from, &raw.from, values::read_from);
    values.set(&mut options.when_absent, &raw.when_absent, |text| {
        let choices = [("hold", WhenAbsent::Hold), ("refuse", WhenAbsent::Refuse)];
        values::word(text, "a thing to do", &choices)
    });
    values.set(&mut options.banner, &raw.banner, |text| {
        Ok(Some(Arc::new(text.to_owned())))
    });
    options
}

fn protocol(
    text: &str,
    endpoints: &[&'static dyn EndpointKind],
) -> Result<&'static dyn EndpointKind, Wrong> {
    let found = endpoints.iter().find(|endpoint| endpoint.name() == text);
    found.copied().ok_or_else(|| {
        let help = values::help_with_words(text, endpoints.iter().map(|endpoint| endpoint.name()));
        Wrong::new(format!("\"{text}\" is not a protocol"), help)
    })
}

/// The port a listener speaks to: the one it names, or the only one there is.
fn port_of_listener(
    values: &mut Values<'_, '_>,
    table: &Spanned<RawListener>,
    endpoint: &dyn EndpointKind,
    ports: &Names,
) -> Option<PortName> {
    let protocol = endpoint.name();
    let Some(written) = &table.get_ref().port else {
        if endpoint.port_need() == PortNeed::One && ports.complete && ports.known.len() > 1 {
            let help = format!(
                "say which; there are {}",
                values::listed(ports.known.iter())
            );
            values.add(
                table,
                Wrong::new(
                    format!("{protocol} speaks to one port, and this listener names none"),
                    help,
                ),
            );
        }
        return match (endpoint.port_need(), ports.known.as_slice()) {
            (PortNeed::One | PortNeed::Optional, [only]) => Some(only.clone()),
            _ => None,
        };
    };
    if endpoint.port_need() == PortNeed::All {
        let wrong = Wrong::new(
            format!("{protocol} speaks to every port"),
            "take the port out",
        );
        values.add(written, wrong);
        return None;
    }
    values.one(written, |text| ports.find(text))?
}

/// What clients without a credential may do, or those with a certificate of no identity. Beyond this machine only
/// `insecure` lets anybody in, and then it means what it says unless something else is written.
fn access_of_listener(
    values: &mut Values<'_, '_>,
    table: &Spanned<RawListener>,
    endpoint: Option<&dyn EndpointKind>,
    by_certificate: bool,
    default: Option<Access>,
) -> Option<Access> {
    let raw = table.get_ref();
    let mut access = default;
    values.set(&mut access, &raw.access, |text| {
        values::word(text, "an access", values::ACCESS)
    });
    if let (None, Some(endpoint)) = (access, endpoint)
        && !endpoint.carries_token()
        && !by_certificate
    {
        let problem = format!(
            "nobody could use this listener: {} cannot carry a token",
            endpoint.name()
        );
        let help = "write client_ca = \"FILE\" beside tls, so that certificates are asked for (uartd tls ca), or \
            access = \"read\" or \"write\" for everybody who reaches it, or use uart forward or uart pty, which carry \
            a token, with a uartnet listener";
        match &raw.access {
            Some(written) => values.add(written, Wrong::new(problem, help)),
            None => values.add(table, Wrong::new(problem, help)),
        }
    }
    access
}

/// From which addresses clients may come.
fn allowed_of_listener(
    values: &mut Values<'_, '_>,
    raw: &RawListener,
    address: Option<&ListenAddress>,
) -> Allowed {
    const EXAMPLE: &str = "write e.g. allow = [\"10.0.0.0/8\", \"fd00::/8\"]";
    let Some(written) = &raw.allow else {
        return Allowed::Everywhere;
    };
    if let Some(ListenAddress::Unix(_)) = address {
        let problem = "who comes by a Unix socket has no address";
        values.add(written, Wrong::new(problem, "take allow out"));
    }
    if written.get_ref().is_empty() {
        let problem = "nobody could use this listener: it allows no address";
        values.add(written, Wrong::new(problem, EXAMPLE));
    }
    let prefixes = written.get_ref().iter().filter_map(|prefix| {
        values.one(prefix, |text| {
            text.parse::<Prefix>().map_err(|error| {
                let help = match &error {
                    PrefixError::Bits { network, .. } => {
                        format!("begin with {network}, or take the / out to allow one address")
                    }
                    _ => EXAMPLE.to_owned(),
                };
                Wrong::new(error.to_string(), help)
            })
        })
    });
    Allowed::Only(prefixes.collect())
}

/// With which files a listener speaks TLS.
fn tls_of_listener(
    values: &mut Values<'_, '_>,
    raw: &RawListener,
    address: Option<&ListenAddress>,
    default: Option<&(PathBuf, PathBuf)>,
) -> Option<TlsFiles> {
    let mut wanted = false;
    values.set(&mut wanted, &raw.tls, values::flag);
    let path = |text: &str| values::path(text, "/etc/uartd/certificate.pem");
    let certificate = values.get(&raw.certificate, path);
    let key = values.get(&raw.key, path);
    let client_ca = values.get(&raw.client_ca, |text| {
        values::path(text, "/etc/uartd/client-ca.pem")
    });
    if let (Some(_), Some(written), false) = (&client_ca, &raw.client_ca, wanted) {
        let problem = "certificates of clients are shown over TLS, and this listener speaks none";
        values.add(written, Wrong::new(problem, "write tls = true beside it"));
    }
    for (path, written, other, missing) in [
        (&certificate, &raw.certificate, &raw.key, "key"),
        (&key, &raw.key, &raw.certificate, "certificate"),
    ] {
        let (Some(_), Some(written)) = (path, written) else {
            continue;
        };
        if !wanted {
            let problem = "this listener speaks no TLS";
            values.add(written, Wrong::new(problem, "write tls = true beside it"));
        } else if other.is_none() {
            let help = format!("write its {missing} too, or neither of them");
            values.add(written, Wrong::new("a certificate belongs to a key", help));
        }
    }
    let written = raw.tls.as_ref().filter(|_| wanted)?;
    if let Some(ListenAddress::Unix(_)) = address {
        let problem = "a Unix socket does not leave this machine, and needs no TLS";
        values.add(written, Wrong::new(problem, "take tls out"));
    }
    let own = certificate.zip(key);
    let Some((certificate, key)) = own.or_else(|| default.cloned()) else {
        let problem = "there is no place for the certificate";
        let help = "write certificate = \"FILE\" and key = \"FILE\"";
        values.add(written, Wrong::new(problem, help));
        return None;
    };
    Some(TlsFiles {
        certificate,
        key,
        client_ca,
    })
}

/// A listener that asks for certificates, where nobody is known by one, lets nobody in.
fn unused_authorities(
    written: &[From<'_, Spanned<RawListener>>],
    listeners: &[Arc<ListenerConfig>],
    report: &mut Report,
) {
    let useless = |listener: &ListenerConfig| {
        identity::asks_for_certificate(listener) && listener.access.is_none()
    };
    if !listeners.iter().any(|it| useless(it)) {
        return;
    }
    for From { source, raw } in written {
        if let (Some(client_ca), None) = (&raw.get_ref().client_ca, &raw.get_ref().access) {
            let problem =
                "nobody could use this listener: no [[identity]] says whose certificate is known";
            let help = "append what uartd tls client NAME prints, or write access = \"read\" or \"write\" for \
                every certificate that its authorities have signed";
            Values { source, report }.add(client_ca, Wrong::new(problem, help));
        }
    }
}

fn reaches_beyond_this_machine(address: &ListenAddress) -> bool {
    match address {
        ListenAddress::Tcp(address) => !address.ip().to_canonical().is_loopback(),
        ListenAddress::Unix(_) => false,
    }
}

/// Nobody can reach a board by mistake: the sentence that stops the start, with the commands that make it right.
fn insecure_wrong(
    address: &ListenAddress,
    tls: bool,
    access: Option<Access>,
    endpoint: Option<&dyn EndpointKind>,
    source: &Source,
) -> Wrong {
    let carries_token = endpoint.is_none_or(|endpoint| endpoint.carries_token());
    let problem = match (tls, access) {
        (false, Some(_)) => "nothing asks them who they are",
        (false, None) => "nothing hides their tokens on the way",
        (true, _) => "this lets in whoever does not say who they are",
    };
    let port = match address {
        ListenAddress::Tcp(address) if address.port() != 0 => address.port(),
        _ => 8000,
    };
    let local = if source.is_argument {
        format!(":{port}")
    } else {
        format!("127.0.0.1:{port}")
    };
    let insecure = if source.is_argument {
        "--insecure"
    } else {
        "insecure = true"
    };
    let right = match (carries_token, tls, source.is_argument) {
        (true, false, true) => {
            "type: uartd tls init, then: uartd token create NAME, and add --tls".to_owned()
        }
        (true, false, false) => {
            "type: uartd tls init, then: uartd token create NAME, and write tls = true below it"
                .to_owned()
        }
        (true, true, _) => {
            "take access out, so that everybody needs a token (uartd token create NAME)".to_owned()
        }
        (false, _, false) => format!(
            "type: {}uartd tls ca, and write {}client_ca below it, so that certificates are asked for (uartd tls \
            client NAME); or let uart forward or uart pty carry it over a uartnet listener with TLS",
            if tls { "" } else { "uartd tls init, then: " },
            if tls { "" } else { "tls = true and " },
        ),
        (false, _, true) => format!(
            "listen on {local}, and let uart forward or uart pty carry it over a uartnet listener with TLS"
        ),
    };
    Wrong::new(
        format!("{address} can be reached from other machines, and {problem}"),
        format!(
            "{right}. Or listen on {local} or unix:PATH only. {insecure} lets anybody who reaches it use the ports"
        ),
    )
}

/// Whether the system would refuse to bind the second of these.
pub(crate) fn collide(one: &ListenAddress, other: &ListenAddress) -> bool {
    let (ListenAddress::Tcp(one), ListenAddress::Tcp(other)) = (one, other) else {
        return one == other;
    };
    one.port() != 0 && one.port() == other.port() && (covers(one, other) || covers(other, one))
}

/// Whether listening on `wide` includes the IP address of `narrow`: `[::]` listens on IPv4 too.
fn covers(wide: &SocketAddr, narrow: &SocketAddr) -> bool {
    let (wide, narrow) = (wide.ip().to_canonical(), narrow.ip().to_canonical());
    wide == narrow || (wide.is_unspecified() && (wide.is_ipv6() || narrow.is_ipv4()))
}

/// Reads the values of one table, and notes what is wrong with them.
pub(super) struct Values<'r, 'a> {
    pub(super) source: &'a Source,
    pub(super) report: &'r mut Report,
}

impl Values<'_, '_> {
    /// A value that stands there, if it is right.
    pub(super) fn one<T>(
        &mut self,
        written: &Written,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        parse(&written.get_ref().0)
            .map_err(|wrong| self.add(written, wrong))
            .ok()
    }

    /// A value that may stand there, if it does and is right.
    pub(super) fn get<T>(
        &mut self,
        written: &Option<Written>,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        self.one(written.as_ref()?, parse)
    }

    /// Like [`Values::get`], over a default.
    pub(super) fn set<T>(
        &mut self,
        value: &mut T,
        written: &Option<Written>,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) {
        if let Some(right) = self.get(written, parse) {
            *value = right;
        }
    }

    /// A value without which the table makes no sense.
    pub(super) fn required<T, V>(
        &mut self,
        table: &Spanned<T>,
        kind: &str,
        (key, written): (&str, &Option<Written>),
        example: &str,
        parse: impl FnOnce(&str) -> Result<V, Wrong>,
    ) -> Option<V> {
        if written.is_none() {
            self.missing(table, kind, key, example);
        }
        self.get(written, parse)
    }

    pub(super) fn missing<T>(&mut self, table: &Spanned<T>, kind: &str, key: &str, example: &str) {
        self.add(
            table,
            Wrong::new(
                format!("this {kind} has no {key}"),
                format!("write e.g. {example}"),
            ),
        );
    }

    pub(super) fn add<T>(&mut self, at: &Spanned<T>, wrong: Wrong) {
        self.report.add(
            &Place {
                source: self.source,
                span: at.span(),
            },
            wrong,
        );
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::config::argument::{self, OfEveryListener};
    use crate::endpoint::{Connection, Session};

    #[derive(Debug)]
    struct Fake(&'static str, PortNeed);

    impl EndpointKind for Fake {
        fn name(&self) -> &'static str {
            self.0
        }
        fn summary(&self) -> &'static str {
            "for this test"
        }
        fn port_need(&self) -> PortNeed {
            self.1
        }
        fn session(&self, _: Instant, _: Connection) -> Box<dyn Session> {
            unreachable!("nobody connects to a configuration")
        }
    }

    const FAKES: &[&dyn EndpointKind] = &[
        &Fake("one", PortNeed::One),
        &Fake("optional", PortNeed::Optional),
        &Fake("all", PortNeed::All),
    ];

    #[test]
    fn a_listener_gets_the_port_its_protocol_needs() {
        let only = &["a"][..];
        let two = &["a", "b"][..];
        for (listener, ports, expected) in [
            ("one=:1", only, Ok(Some("a"))),
            ("one=:1,a", only, Ok(Some("a"))),
            ("one=:1,b", two, Ok(Some("b"))),
            (
                "one=:1",
                two,
                Err("one speaks to one port, and this listener names none"),
            ),
            ("one=:1,c", two, Err("there is no port \"c\"")),
            ("optional=:1", only, Ok(Some("a"))),
            ("optional=:1", two, Ok(None)),
            ("optional=:1,b", two, Ok(Some("b"))),
            ("optional=:1,c", two, Err("there is no port \"c\"")),
            ("all=:1", only, Ok(None)),
            ("all=:1", two, Ok(None)),
            ("all=:1,a", two, Err("all speaks to every port")),
            ("none=:1", only, Err("\"none\" is not a protocol")),
        ] {
            let source = Source {
                name: "--listen".into(),
                text: listener.into(),
                is_argument: true,
            };
            let mut report = Report::default();
            let raw = argument::listener(&source, OfEveryListener::default(), &mut report).unwrap();
            let known = ports.iter().map(|name| name.parse().unwrap()).collect();
            let names = Names {
                known,
                complete: true,
            };
            let checked = listeners(
                &[From {
                    source: &source,
                    raw,
                }],
                &names,
                FAKES,
                None,
                &mut report,
            );
            match (report.result(), expected) {
                (Ok(()), Ok(port)) => {
                    assert_eq!(
                        checked[0].port.as_ref().map(PortName::as_str),
                        port,
                        "{listener}"
                    );
                }
                (Err(problems), Err(message)) => {
                    let text = problems.to_string();
                    assert!(
                        text.starts_with(&format!("error: {message}\n")),
                        "{listener}: {text}"
                    );
                }
                (got, _) => panic!("{listener} with {ports:?}: {got:?}"),
            }
        }
    }

    #[test]
    fn addresses_collide_as_the_system_sees_it() {
        for (one, other, expected) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "127.0.0.1:2", false),
            ("127.0.0.1:1", "127.0.0.2:1", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("127.0.0.1:1", "0.0.0.0:1", true),
            ("[::1]:1", "0.0.0.0:1", false),
            ("[::1]:1", "[::]:1", true),
            ("127.0.0.1:1", "[::]:1", true),
            ("127.0.0.1:1", "[::1]:1", false),
            ("unix:/a", "unix:/a", true),
            ("unix:/a", "unix:/b", false),
            ("unix:/a", "127.0.0.1:1", false),
        ] {
            let address = |text| values::address(text).unwrap();
            assert_eq!(
                collide(&address(one), &address(other)),
                expected,
                "{one} {other}"
            );
            assert_eq!(
                collide(&address(other), &address(one)),
                expected,
                "{other} {one}"
            );
        }
    }

    #[test]
    fn only_loopback_and_unix_sockets_stay_on_this_machine() {
        for (text, beyond) in [
            ("127.0.0.1:1", false),
            ("127.9.9.9:1", false),
            ("[::1]:1", false),
            ("[::ffff:127.0.0.1]:1", false),
            ("unix:/a", false),
            ("0.0.0.0:1", true),
            ("[::]:1", true),
            ("10.0.0.1:1", true),
            ("[::ffff:10.0.0.1]:1", true),
        ] {
            assert_eq!(
                reaches_beyond_this_machine(&values::address(text).unwrap()),
                beyond,
                "{text}"
            );
        }
    }
}
