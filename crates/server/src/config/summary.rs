//! A configuration in a few lines, for `uartd check`.

use uartnet_hub::{HubConfig, ReplyEnd, WritePolicy};

use super::{Config, ListenerConfig, PortConfig, values};
use crate::access::{Allowed, Holder, Scope};
use crate::stdio::columns;

impl Config {
    /// Its ports, listeners and identities, one a line.
    pub fn summary(&self) -> String {
        let count = |count: usize, what: &str| {
            format!("{count} {what}{}", if count == 1 { "" } else { "s" })
        };
        format!(
            "gateway \"{}\", {}, {}\n{}{}{}",
            self.gateway.name,
            count(self.ports.len(), "port"),
            count(self.listeners.len(), "listener"),
            columns(&self.ports.iter().map(port).collect::<Vec<_>>()),
            columns(
                &self
                    .listeners
                    .iter()
                    .map(|it| listener(it))
                    .collect::<Vec<_>>()
            ),
            columns(
                &self
                    .holders
                    .list()
                    .iter()
                    .map(|holder| identity(holder))
                    .collect::<Vec<_>>()
            ),
        )
    }
}

fn port(port: &PortConfig) -> [String; 5] {
    [
        "port".to_owned(),
        port.name.to_string(),
        port.device.as_str().to_owned(),
        port.line.to_string(),
        sharing(&port.hub),
    ]
}

fn sharing(hub: &HubConfig) -> String {
    let write = match hub.write {
        WritePolicy::Shared => "shared",
        WritePolicy::Exclusive => "exclusive",
        WritePolicy::None => "read-only",
    };
    let mut words = vec![
        write.to_owned(),
        format!("history {}", values::size_text(hub.history)),
    ];
    words.push(match hub.profile.as_ref().map(|profile| &profile.end) {
        None => "no interpreter".to_owned(),
        Some(ReplyEnd::None) => "profile none".to_owned(),
        Some(ReplyEnd::Line { count: 1 }) => "replies of 1 line".to_owned(),
        Some(ReplyEnd::Line { count }) => format!("replies of {count} lines"),
        Some(ReplyEnd::Prompt(prompt)) => format!("prompt \"{}\"", prompt.escape_ascii()),
        Some(ReplyEnd::Quiet(quiet)) => format!(
            "replies end after {} of quiet",
            values::duration_text(*quiet)
        ),
        Some(
            ReplyEnd::PromptLike(_)
            | ReplyEnd::Until { .. }
            | ReplyEnd::At { .. }
            | ReplyEnd::RawRepl
            | ReplyEnd::ModbusRtu { .. },
        ) => match &hub.profile {
            Some(profile) => format!("profile {}", profile.name),
            None => String::new(),
        },
    });
    if !hub.sequences.is_empty() {
        let names: Vec<&str> = hub
            .sequences
            .iter()
            .map(|sequence| sequence.name.as_str())
            .collect();
        words.push(format!("sequences {}", names.join(" ")));
    }
    words.join(", ")
}

fn listener(listener: &ListenerConfig) -> [String; 5] {
    [
        "listen".to_owned(),
        listener.endpoint.name().to_owned(),
        listener.address.to_string(),
        listener
            .port
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        [
            listener.tls.as_ref().map(|files| match files.client_ca {
                None => "TLS".to_owned(),
                Some(_) => "TLS with certificates of clients".to_owned(),
            }),
            listener.insecure.then(|| "insecure".to_owned()),
            match &listener.allowed {
                Allowed::Everywhere => None,
                allowed => Some(format!("only from {allowed}")),
            },
        ]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", "),
    ]
}

fn identity(holder: &Holder) -> [String; 4] {
    [
        "identity".to_owned(),
        holder.name.to_string(),
        format!("{} access", holder.access),
        match &holder.scope {
            Scope::All => "every port".to_owned(),
            Scope::Only(ports) => values::listed(ports.iter()),
        },
    ]
}
