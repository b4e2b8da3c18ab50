//! What can be typed: the commands and the options all of them share. Each command's own options are in its file.

use std::time::Duration;

use clap::{Parser, Subcommand};
use uartnet_client::{Address, Gateway};

#[cfg(target_os = "linux")]
use crate::commands::pty;
use crate::commands::{
    ask, attach, expect, forget, forward, info, log, login, ls, purge, run, send, set, signal,
    watch,
};
use crate::trust::{self, TlsArguments};
use crate::{credentials, duration};

/// Talks to boards through a uartd gateway.
#[derive(Debug, Parser)]
#[command(
    name = "uart",
    version,
    arg_required_else_help = true,
    after_help = "\
Examples:
  uart ls                          which ports are there
  uart ask sim0 \"LED ON\"           one command, the board's answer and nothing else
  uart ask sim0 --file setup.txt   a script, one command a line
  uart expect sim0 'T \\d+'         wait until the board says that
  uart attach sim0                 type to the board; Ctrl-] ? helps, Ctrl-] . quits
  uart watch board0 board1         lines of several boards with timestamps

Exit codes:
  0  done
  1  the board or the gateway said no
  2  usage
  3  the gateway cannot be reached, or what answers there does not speak uartnet
  4  timed out"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command needs.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Common {
    /// The gateway: HOST:PORT, tls://HOST:PORT or unix:PATH
    #[arg(
        long,
        global = true,
        env = "UART_GATEWAY",
        default_value = "127.0.0.1:8000",
        value_name = "ADDR"
    )]
    pub(crate) gateway: Address,
    /// How long connecting may take, greeting included
    #[arg(
        long,
        global = true,
        default_value = "5s",
        value_name = "DURATION",
        value_parser = duration::parse
    )]
    pub(crate) connect_timeout: Duration,
    /// Present the token also where others can read it on its way
    #[arg(long, global = true)]
    pub(crate) insecure_token: bool,
    /// For tls://, tls+rfc2217:// and tls+tcp://
    #[command(flatten)]
    pub(crate) tls: TlsArguments,
}

impl Common {
    /// The gateway, with the token that is known for it, and whom to take for it.
    pub(crate) async fn gateway(&self) -> anyhow::Result<Gateway> {
        Ok(Gateway {
            address: self.gateway.clone(),
            token: credentials::token_for(&self.gateway)?,
            insecure: self.insecure_token,
            tls: trust::establish(self).await?,
        })
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Send(send::Send),
    Ask(ask::Ask),
    Expect(expect::Expect),
    Ls(ls::Ls),
    Login(login::Login),
    Logout(login::Logout),
    Forget(forget::Forget),
    Info(info::Info),
    Log(log::Log),
    Attach(attach::Attach),
    Watch(watch::Watch),
    #[cfg(target_os = "linux")]
    Pty(pty::Pty),
    Forward(forward::Forward),
    Set(set::Set),
    Signal(signal::Signal),
    Run(run::Run),
    Purge(purge::Purge),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_of_every_command_shows_an_example() {
        let commands = Cli::command();
        let mut shown = 0;
        for command in commands.get_subcommands() {
            let help = command.clone().render_long_help().to_string();
            let example = format!("  uart {}", command.get_name());
            assert!(
                help.contains("Example") && help.contains(&example),
                "{help}"
            );
            shown += 1;
        }
        assert!(shown >= 8, "only {shown} commands");
    }

    #[test]
    fn the_documentation_knows_every_command_and_option() {
        let page = include_str!("../../../docs/client.md");
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            assert!(page.contains(&format!("`uart {name}`")), "uart {name}");
            for option in command
                .get_arguments()
                .filter_map(|option| option.get_long())
            {
                assert!(
                    page.contains(&format!("--{option}")),
                    "uart {name} --{option}"
                );
            }
        }
    }
}
