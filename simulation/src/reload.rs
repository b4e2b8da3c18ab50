//! The file that the daemon reads, and how it changes while the daemon runs. Not what a change of it means, which is
//! `crates/server/src/plan.rs`, nor who puts it in force, which is `daemon.rs`.

use std::sync::Arc;
use std::time::Duration;

use uart_iface::{Baud, LineSettings};
use uartnet_hub::{Access, HubConfig};
use uartnet_server::access::Allowed;
use uartnet_server::config::{
    Config, DeviceSpec, GatewayConfig, ListenAddress, ListenerConfig, PortConfig, StreamOptions,
};
use uartnet_server::endpoint::ENDPOINTS;

use crate::plan::{self, Plan};
use crate::random::Random;

/// How long a graceful stop may take, of the daemon and of a part of it.
pub(crate) const DRAIN: Duration = Duration::from_secs(5);

/// The protocols there are listeners for.
const PROTOCOLS: [&str; 3] = ["uartnet", "raw", "rfc2217"];

/// What the file says.
#[derive(Debug, Clone)]
pub(crate) struct File {
    max_frame: usize,
    drain: Duration,
    hub: Arc<HubConfig>,
    line: LineSettings,
    /// How often another device was named.
    device: u32,
    has_port: bool,
    /// The listener that is not in it.
    pub(crate) missing: Option<&'static str>,
    /// The listener that permits less, and what.
    less: Option<(&'static str, Option<Access>)>,
}

/// What a change means for those who are told nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nobody may notice.
    Nothing,
    /// The port is another.
    Port,
    /// Something was taken away, and is to be given back.
    TakenAway,
}

impl File {
    pub(crate) fn new(plan: &Plan) -> File {
        File {
            max_frame: plan.max_frame,
            drain: DRAIN,
            hub: plan.hub.clone().into(),
            line: LineSettings::default(),
            device: 0,
            has_port: true,
            missing: None,
            less: None,
        }
    }

    pub(crate) fn hub(&self) -> &HubConfig {
        &self.hub
    }

    /// Somebody edits it.
    pub(crate) fn change(&mut self, random: &mut Random) -> Change {
        let whom = random.pick(&PROTOCOLS);
        match random.below(10) {
            0 => {}
            1 => {
                self.max_frame = random.pick(&[200, 1000, 65_536]);
                self.drain += Duration::from_secs(1);
            }
            2 => {
                self.line.baud = Baud::new(random.pick(&[300, 9600, 115_200])).unwrap();
                return Change::Port;
            }
            3..=5 => {
                let profile = self.hub.profile.clone().expect("it has an interpreter");
                self.hub = plan::hub(random, profile).into();
                return Change::Port;
            }
            6 => {
                self.device += 1;
                return Change::Port;
            }
            7 => {
                self.has_port = false;
                return Change::TakenAway;
            }
            8 => {
                self.missing = Some(whom);
                return Change::TakenAway;
            }
            _ => {
                let access = random.pick(&[None, Some(Access::Read), Some(Access::Write)]);
                self.less = Some((whom, access));
                return Change::TakenAway;
            }
        }
        Change::Nothing
    }

    /// Everything is in it again.
    pub(crate) fn mend(&mut self) {
        self.has_port = true;
        self.missing = None;
        self.less = None;
    }

    /// What it comes to.
    pub(crate) fn config(&self) -> Config {
        let port = PortConfig {
            name: "board0".parse().unwrap(),
            device: DeviceSpec::parse(&format!("/dev/ttyTEST{}", self.device)).unwrap(),
            line: self.line,
            hub: self.hub.clone(),
            logs: Vec::new(),
        };
        let offered = PROTOCOLS.into_iter();
        let offered = offered.filter(|protocol| Some(*protocol) != self.missing);
        Config {
            gateway: GatewayConfig {
                name: "bench1".into(),
                max_frame: self.max_frame,
                drain: self.drain,
                ..GatewayConfig::default()
            },
            ports: Vec::from_iter(self.has_port.then_some(port)),
            listeners: offered.map(|protocol| self.listener(protocol)).collect(),
            holders: Default::default(),
        }
    }

    fn listener(&self, protocol: &str) -> Arc<ListenerConfig> {
        let mut endpoints = ENDPOINTS.iter();
        let less = self.less.filter(|(whom, _)| *whom == protocol);
        Arc::new(ListenerConfig {
            endpoint: *endpoints.find(|it| it.name() == protocol).unwrap(),
            address: ListenAddress::parse(&format!("unix:/{protocol}")).unwrap(),
            port: Some("board0".parse().unwrap()),
            tls: None,
            insecure: false,
            access: less.map_or(Some(Access::Admin), |(_, access)| access),
            allowed: Allowed::default(),
            stream: StreamOptions::default(),
        })
    }
}
