//! What a visitor does with a port, as far as it is written down: what they change, take, and are refused. It decides
//! nothing; the hub does, by the same table.

use std::rc::Rc;
use std::time::Instant;

use uart_iface::{OutputChange, PortName, Purge};
use uartnet_hub::{Access, Control, Right};

use super::audit::Event;
use super::visitor::Visitor;

/// How much of a client's own words is written down, in characters.
const SHOWN: usize = 80;

/// Looks on while a visitor is a client of a port.
#[derive(Debug)]
pub(crate) struct Overseer {
    pub(super) visitor: Rc<Visitor>,
    /// What they may do as this client.
    pub(super) access: Access,
}

impl Overseer {
    /// They try to do this.
    pub(crate) fn see(&self, now: Instant, port: &PortName, right: Right) {
        if !self.access.allows(right) {
            self.visitor.note_refused(now, port, right, self.access);
        }
    }

    /// They ask for a control operation.
    pub(crate) fn see_control(&self, now: Instant, port: &PortName, control: &Control) {
        let right = Right::to_control(control);
        self.see(now, port, right);
        if self.access.allows(right) {
            let what = described(control);
            self.visitor.record(now, |who| Event::Control {
                who,
                port: Some(port.as_str()),
                right: right.as_str(),
                what: &what,
            });
        }
    }

    /// They hold the lease now, which `from` held before.
    pub(crate) fn see_lease(&self, now: Instant, port: &PortName, from: Option<&str>) {
        self.visitor.record(now, |who| Event::Lease {
            who,
            port: port.as_str(),
            from,
            how: if from.is_some() { "stolen" } else { "taken" },
        });
    }
}

fn described(control: &Control) -> String {
    let on = |on: bool| if on { "on" } else { "off" };
    match control {
        Control::SetLine(line) => line.to_string(),
        Control::HoldLine(line) => format!("{line} until it leaves"),
        Control::GiveLineBack => "as it was before".to_owned(),
        Control::SetOutputs(OutputChange { dtr, rts }) => [("dtr", dtr), ("rts", rts)]
            .into_iter()
            .filter_map(|(name, to)| to.map(|to| format!("{name}={}", on(to))))
            .collect::<Vec<_>>()
            .join(" "),
        Control::Break(long) => format!("break {}ms", long.as_millis()),
        Control::HoldBreak(held) => format!("break={}", on(*held)),
        Control::Purge(Purge::Receive) => "purge receive".to_owned(),
        Control::Purge(Purge::Transmit) => "purge transmit".to_owned(),
        Control::Purge(Purge::Both) => "purge both".to_owned(),
        Control::Run(name) => name.chars().take(SHOWN).collect(),
    }
}
