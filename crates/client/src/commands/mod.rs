//! The commands, one file each: its options, its help, and what it does with a gateway. Nothing here knows frames.

pub(crate) mod ask;
pub(crate) mod attach;
pub(crate) mod expect;
pub(crate) mod forget;
pub(crate) mod forward;
pub(crate) mod info;
pub(crate) mod log;
pub(crate) mod login;
pub(crate) mod ls;
#[cfg(target_os = "linux")]
pub(crate) mod pty;
pub(crate) mod purge;
pub(crate) mod run;
pub(crate) mod send;
pub(crate) mod set;
pub(crate) mod signal;
pub(crate) mod watch;

use anyhow::Result;
use tokio::time::{Instant, sleep_until};
use uartnet_client::{Foreign, ForeignAddress, Session, Target};
use uartnet_proto::message::{Done, Request};

use crate::cli::{Cli, Command, Common};
use crate::exit::Exit;
use crate::trust;

/// Does what was typed.
pub(crate) async fn run(cli: Cli) -> Result<Exit> {
    let common = cli.common;
    match cli.command {
        Command::Send(send) => send.run(common).await,
        Command::Ask(ask) => ask.run(common).await,
        Command::Expect(expect) => expect.run(common).await,
        Command::Ls(ls) => ls.run(common).await,
        Command::Login(login) => login.run(common).await,
        Command::Logout(logout) => logout.run(common).await,
        Command::Forget(forget) => forget.run(&common),
        Command::Info(info) => info.run(common).await,
        Command::Log(log) => log.run(common).await,
        Command::Attach(attach) => attach.run(common).await,
        Command::Watch(watch) => watch.run(common).await,
        #[cfg(target_os = "linux")]
        Command::Pty(pty) => pty.run(common).await,
        Command::Forward(forward) => forward.run(common).await,
        Command::Set(set) => set.run(common).await,
        Command::Signal(signal) => signal.run(common).await,
        Command::Run(run) => run.run(common).await,
        Command::Purge(purge) => purge.run(common).await,
    }
}

/// A session with the gateway that was named.
async fn connect(common: &Common) -> Result<Session> {
    Ok(Session::connect(&common.gateway().await?, common.connect_timeout).await?)
}

/// The gateway there, which is not uartnet's. Connected to when it is first used, and again if that is wanted.
async fn foreign(common: &Common, address: &ForeignAddress, reconnect: bool) -> Result<Foreign> {
    let gateway = trust::foreign(common, address).await?;
    Ok(Foreign::new(gateway, reconnect, common.connect_timeout))
}

/// Whoever does what is asked for: a gateway, or a gateway that is not uartnet's.
enum Controlled {
    Gateway(Box<Session>),
    Foreign(Box<Foreign>),
}

impl Controlled {
    async fn connect(target: &Target, common: &Common) -> Result<Controlled> {
        Ok(match target {
            Target::Port(_) => Controlled::Gateway(Box::new(connect(common).await?)),
            Target::Foreign(address) => {
                Controlled::Foreign(Box::new(foreign(common, address, false).await?))
            }
        })
    }

    async fn control(&mut self, request: Request) -> Result<Done> {
        Ok(match self {
            Controlled::Gateway(session) => session.control(request).await?,
            Controlled::Foreign(foreign) => foreign.control(request).await?,
        })
    }
}

/// Ready at an instant, or never.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
