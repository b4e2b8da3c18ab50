//! Machines of our own, and a cable between two of them that can be pulled: network namespaces and a veth pair of the
//! kernel's. Nothing of it reaches the network of the machine this runs on, and all of it is gone when this process is.

use std::process::Command;

use anyhow::{Context, Result};
use uartnet_tests::Process;

use super::needs::{Need, Proof};
use crate::run::output;

/// What making machines takes.
pub(super) const NEEDS: [Need; 2] = [
    Need::Debian {
        package: "iproute2",
        proof: Proof::Runs(&["ip", "-V"]),
    },
    Need::Root,
];

/// The name of the one cable that a machine has.
const CABLE: &str = "cable0";

/// A network of its own, as another machine has it. Programs that run in it see the files of this one.
#[derive(Debug)]
pub(super) struct Machine {
    /// The network lives as long as this process, which ends with us: then it reads the end of its input.
    holder: Process,
}

/// A cable between two machines.
#[derive(Debug)]
pub(super) struct Cable<'a> {
    ends: [&'a Machine; 2],
}

impl Machine {
    /// A machine with nothing but loopback.
    ///
    /// # Errors
    /// The system lets us make none.
    pub(super) fn new() -> Result<Machine> {
        let mut unshare = Command::new("unshare");
        unshare.args(["--net", "sh", "-c"]);
        unshare.arg("ip link set lo up && echo up && exec cat");
        let holder = Process::spawn(&mut unshare)?;
        holder
            .stdout
            .wait_for("up\n")
            .with_context(|| holder.said())?;
        Ok(Machine { holder })
    }

    /// This command, in the network of this machine.
    pub(super) fn on(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside.args(["--net", "--target", &self.holder.id().to_string(), "--"]);
        inside.arg(command.get_program()).args(command.get_args());
        same_environment(&mut inside, command);
        inside
    }

    fn ip(&self, arguments: &[&str]) -> Result<()> {
        output(&mut self.on(Command::new("ip").args(arguments))).map(drop)
    }
}

impl Cable<'_> {
    /// Connects two machines, which get these IPv4 addresses of one network (`10.0.0.1/24`).
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn between<'a>(ends: [&'a Machine; 2], addresses: [&str; 2]) -> Result<Cable<'a>> {
        let second = ends[1].holder.id().to_string();
        ends[0].ip(&[
            "link", "add", CABLE, "type", "veth", "peer", "name", CABLE, "netns", &second,
        ])?;
        for (machine, address) in ends.iter().zip(addresses) {
            machine.ip(&["addr", "add", address, "dev", CABLE])?;
            machine.ip(&["link", "set", CABLE, "up"])?;
        }
        Ok(Cable { ends })
    }

    /// Pulls it out of the second machine: from now on nothing gets through, and neither end is told that a connection is
    /// over.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn pull(&self) -> Result<()> {
        self.ends[1].ip(&["link", "set", CABLE, "down"])
    }

    /// Plugs it in again.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn plug(&self) -> Result<()> {
        self.ends[1].ip(&["link", "set", CABLE, "up"])
    }
}

/// Gives a command what another one was given as its environment.
pub(super) fn same_environment(command: &mut Command, other: &Command) {
    for (name, value) in other.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
}
