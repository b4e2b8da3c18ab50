//! From `[[identity]]` to whom a certificate is of. Whether anybody asks for certificates is seen too: an identity that
//! nobody asks for is a mistake.

use std::sync::Arc;

use toml::Spanned;
use uart_iface::PortName;
use uartnet_hub::Access;
use uartnet_proto::KeyFingerprint;

use super::ListenerConfig;
use super::check::{From, Names, Values};
use super::problem::{Report, Wrong};
use super::raw::{RawIdentity, Written};
use super::values;
use crate::access::{AlternativeName, Holder, Holders, Scope};
use crate::tls::TlsFiles;

/// What each grants, but for nothing.
const ACCESS: &[(&str, Access)] = &[
    ("read", Access::Read),
    ("write", Access::Write),
    ("admin", Access::Admin),
];

const FINGERPRINT: &str =
    "write sha256: and 64 hex digits: the fingerprint of the key, as uartd tls client prints it";

/// Who is known by a certificate.
pub(super) fn holders(
    written: &[From<'_, Spanned<RawIdentity>>],
    ports: &Names,
    listeners: &[Arc<ListenerConfig>],
    report: &mut Report,
) -> Holders {
    let mut holders: Vec<Holder> = Vec::new();
    for From { source, raw: table } in written {
        let mut values = Values { source, report };
        let holder = holder(&mut values, table, ports);
        let (Some(holder), Some(name)) = (holder, &table.get_ref().name) else {
            continue;
        };
        if holders.iter().any(|other| other.name == holder.name) {
            let problem = format!("there are two identities named \"{}\"", holder.name);
            values.add(name, Wrong::new(problem, "give each its own name"));
        } else if holder.is_known()
            && let Some(other) = holders.iter().find(|other| by(other) == by(&holder))
        {
            let problem = format!(
                "\"{}\" could never be told from \"{}\": they are known by the same",
                holder.name, other.name
            );
            let help = "the first whom a certificate fits is meant; take one of them out";
            values.add(name, Wrong::new(problem, help));
        }
        holders.push(holder);
    }
    if let (Some(From { source, raw: table }), false) = (
        written.first(),
        listeners.iter().any(|it| asks_for_certificate(it)),
    ) {
        let problem = "nobody is asked for a certificate, so nobody could be this";
        let help = "write client_ca = \"FILE\" in the [[listen]] that is to ask for certificates";
        Values { source, report }.add(table, Wrong::new(problem, help));
    }
    Holders::new(holders)
}

/// Whether clients must show a certificate there.
pub(super) fn asks_for_certificate(listener: &ListenerConfig) -> bool {
    let tls = listener.tls.as_ref();
    tls.is_some_and(TlsFiles::ask_for_certificate)
}

/// What they are known by.
fn by(holder: &Holder) -> impl PartialEq {
    (
        holder.fingerprint,
        holder.common_name.clone(),
        holder.san.clone(),
    )
}

fn holder(
    values: &mut Values<'_, '_>,
    table: &Spanned<RawIdentity>,
    ports: &Names,
) -> Option<Holder> {
    let raw = table.get_ref();
    let name = values.required(
        table,
        "[[identity]]",
        ("name", &raw.name),
        "name = \"ci\"",
        |text| {
            text.parse::<PortName>().map_err(|error| {
                let problem = format!(
                    "\"{text}\" is not the name of an identity: {}",
                    error.problem
                );
                Wrong::new(problem, "write e.g. \"ci\"")
            })
        },
    );
    let fingerprint = values.get(&raw.fingerprint, |text| {
        text.parse::<KeyFingerprint>()
            .map_err(|_| Wrong::new(format!("\"{text}\" is not a fingerprint"), FINGERPRINT))
    });
    let common_name = values.get(&raw.common_name, |text| match text {
        "" => Err(Wrong::new("\"\" is not a common name", "write e.g. \"ci\"")),
        text => Ok(text.to_owned()),
    });
    let san = values.get(&raw.san, |text| {
        let help = "write e.g. \"DNS:ci.example.org\", \"email:ci@example.org\", \"URI:urn:ci\" or \"IP:192.0.2.7\"";
        text.parse::<AlternativeName>()
            .map_err(|error| Wrong::new(error.to_string(), help))
    });
    let known = [&raw.fingerprint, &raw.common_name, &raw.san];
    if known.into_iter().all(Option::is_none) {
        let problem = "this [[identity]] does not say which certificate it is known by";
        let help =
            "write fingerprint = \"sha256:…\" (uartd tls client prints it), common_name or san";
        values.add(table, Wrong::new(problem, help));
    }
    let mut access = Access::Read;
    values.set(&mut access, &raw.access, |text| {
        values::word(text, "an access", ACCESS)
    });
    let scope = match &raw.ports {
        None => Scope::All,
        Some(list) => scope(values, list, ports),
    };
    Some(Holder {
        name: name?,
        fingerprint,
        common_name,
        san,
        access,
        scope,
    })
}

fn scope(values: &mut Values<'_, '_>, list: &Spanned<Vec<Written>>, ports: &Names) -> Scope {
    if list.get_ref().is_empty() {
        let problem = "this identity is let in to no port";
        let help = "write e.g. ports = [\"board0\"], or take ports out to mean all of them";
        values.add(list, Wrong::new(problem, help));
    }
    let names = list.get_ref().iter();
    Scope::Only(
        names
            .filter_map(|name| values.one(name, |text| ports.find(text)).flatten())
            .collect(),
    )
}
