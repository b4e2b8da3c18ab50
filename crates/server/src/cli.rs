//! The command line of `uartd`: what may be typed, and the help that teaches it. What the arguments mean together is
//! checked by [`crate::config`].

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use tracing_subscriber::filter::Targets;
use uart_iface::backend::{BACKENDS, sim::BOARDS};

use crate::config::{DEFAULT_LISTENER, DEFAULT_PORT, Given, ListenAddress, SETTINGS};
use crate::endpoint::ENDPOINTS;
use crate::telemetry;
use crate::tls_command::TlsCommand;
use crate::token_command::TokenCommand;

/// Puts the UART of any microcontroller board on the network
#[derive(Debug, Parser)]
#[command(
    name = "uartd",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_precedence_over_arg = true,
    after_help = examples(),
    after_long_help = format!("{}\n\n{}", examples(), lists()),
)]
pub struct Cli {
    /// What to do, instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// What to serve, and how.
    #[command(flatten)]
    pub serve: Serve,
}

/// What `uartd` does besides serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check a configuration file, and say what it sets up
    #[command(after_help = "Example:\n  uartd check bench.toml\n\n\
        Prints its ports and listeners, or everything that is wrong with it.\n\
        Nothing is opened. Exit code: 0 right, 1 wrong.")]
    Check {
        /// The file
        file: PathBuf,
    },
    /// Let a running gateway read its configuration again, and say what that changed
    #[command(
        after_help = "Examples:\n  uartd reload\n  uartd reload --gateway unix:/run/uartd.sock\n\n\
        What the file says no differently is left alone: connections, offsets, and what is under way.\n\
        A file that is wrong changes nothing. Sending SIGHUP to uartd does the same, and the answer is in its log.\n\
        It needs admin access: where the listener gives none, set UART_TOKEN.\n\
        Exit code: 0 reloaded, 1 not."
    )]
    Reload {
        /// Where it listens, with the protocol uartnet
        #[arg(short, long, value_name = "ADDR", env = "UART_GATEWAY", default_value = "127.0.0.1:8000", value_parser = gateway_address)]
        gateway: ListenAddress,
    },
    /// Make, list and revoke the tokens by which clients say who they are
    #[command(
        after_help = "Examples:\n  uartd token create anna --access admin\n  uartd token list\n  uartd token revoke anna"
    )]
    Token {
        /// What to do
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Make and show the key and certificate by which clients know this gateway
    #[command(after_help = "Examples:\n  uartd tls init\n  uartd tls show")]
    Tls {
        /// What to do
        #[command(subcommand)]
        command: TlsCommand,
    },
    /// List the serial devices of this machine, and what can be used without one
    #[command(after_help = "Examples:\n  uartd devices\n  uartd devices --json\n\n\
        Write the first column into a configuration: it is the most stable name the device has.")]
    Devices {
        /// Print JSON, for programs
        #[arg(long)]
        json: bool,
    },
}

/// What to serve, and how.
#[derive(Debug, clap::Args)]
pub struct Serve {
    /// Read this configuration file; ports and listeners given here are added to its own
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Listen here; may be given several times
    ///
    /// ADDR is IP:PORT, :PORT (this machine only) or unix:PATH; port 0 lets the system choose.
    /// A protocol that speaks to one port takes its name too, unless there is only one port.
    #[arg(short, long, value_name = "PROTO=ADDR[,PORT]")]
    pub listen: Vec<String>,

    /// Speak TLS on each --listen, with the key and certificate that "uartd tls init" has made
    #[arg(long, requires = "listen")]
    pub tls: bool,

    /// Let each --listen be reached from other machines, by anybody
    #[arg(long, requires = "listen")]
    pub insecure: bool,

    /// The file of tokens [default: tokens.toml in the state directory]
    #[arg(long, value_name = "PATH")]
    pub tokens: Option<PathBuf>,

    /// The gateway's name, as clients see it [default: this machine's name]
    #[arg(long)]
    pub name: Option<String>,

    /// What to log to stderr: a level (error, warn, info, debug, trace, off), or levels of parts of the program
    #[arg(
        long,
        value_name = "LEVEL",
        env = "UARTD_LOG",
        default_value = telemetry::DEFAULT_LEVELS,
        hide_default_value = true,
        value_parser = telemetry::levels,
    )]
    pub log: Targets,

    /// A port: its name, what is behind it, and settings (line settings such as 9600-7e1, or KEY=VALUE)
    #[arg(value_name = "NAME=DEVICE[,SETTINGS]")]
    pub ports: Vec<String>,
}

impl Serve {
    /// The part of it that makes a configuration, and what is logged.
    pub fn into_given(self) -> (Given, Targets) {
        let given = Given {
            file: self.config,
            name: self.name,
            tokens: self.tokens,
            listen: self.listen,
            tls: self.tls,
            insecure: self.insecure,
            ports: self.ports,
        };
        (given, self.log)
    }
}

fn gateway_address(text: &str) -> Result<ListenAddress, String> {
    if text.starts_with("tls://") {
        return Err("TLS is not spoken here; name a listener on a Unix socket (unix:PATH), or send SIGHUP to uartd".to_owned());
    }
    ListenAddress::parse(text)
}

fn examples() -> String {
    format!(
        "Examples:\n  \
         uartd                                        a simulated board: {DEFAULT_PORT} on {DEFAULT_LISTENER}\n  \
         uartd board0=/dev/ttyUSB0                    a real board, at 115200-8n1\n  \
         uartd board0=/dev/ttyUSB0,9600-7e1,timeout=5s\n  \
         uartd uboot=/dev/ttyUSB0,profile=u-boot       U-Boot, so that \"uart ask uboot version\" works\n  \
         uartd --listen uartnet=:9000 a=sim:interpreter b=sim:echo\n  \
         uartd --config bench.toml --log debug\n  \
         uartd check bench.toml\n  \
         uartd reload\n  \
         uartd devices"
    )
}

/// What can stand in the arguments, from the lists that decide it.
fn lists() -> String {
    let mut text = String::from("Devices:\n");
    for backend in BACKENDS {
        text.push_str(&format!(
            "  {}\n      {}\n",
            backend.examples().join("  "),
            backend.summary()
        ));
    }
    text.push_str("\nSimulated boards:\n");
    for board in BOARDS {
        text.push_str(&format!(
            "  sim:{}\n      {}\n",
            board.name(),
            board.summary()
        ));
    }
    text.push_str("\nProtocols:\n");
    for endpoint in ENDPOINTS {
        text.push_str(&format!(
            "  {}\n      {}\n",
            endpoint.name(),
            endpoint.summary()
        ));
    }
    text.push_str(&format!(
        "\nSettings:\n  115200-8n1, or KEY=VALUE with one of\n  {}\n",
        SETTINGS.join(", ")
    ));
    text.push_str("\nExit codes: 0 done, 1 failed, 2 usage.");
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn clap_agrees_with_itself() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_of_every_command_shows_an_example() {
        let mut command = Cli::command();
        for help in [
            command.render_help().to_string(),
            command.render_long_help().to_string(),
        ] {
            assert!(help.contains("Examples:\n  uartd"), "{help}");
        }
        let mut seen = 0;
        for sub in command
            .get_subcommands_mut()
            .filter(|sub| sub.get_name() != "help")
        {
            let help = sub.render_help().to_string();
            assert!(
                help.contains(&format!("\n  uartd {}", sub.get_name())),
                "{help}"
            );
            seen += 1;
        }
        assert_eq!(seen, 5);
    }

    #[test]
    fn long_help_lists_everything_there_is() {
        let help = Cli::command().render_long_help().to_string();
        for backend in BACKENDS {
            assert!(help.contains(backend.summary()), "{}", backend.scheme());
            assert!(
                backend
                    .examples()
                    .iter()
                    .all(|example| help.contains(example)),
                "{}",
                backend.scheme()
            );
        }
        for board in BOARDS {
            assert!(
                help.contains(&format!("sim:{}\n", board.name())) && help.contains(board.summary()),
                "{}",
                board.name()
            );
        }
        for endpoint in ENDPOINTS {
            assert!(help.contains(endpoint.summary()), "{}", endpoint.name());
        }
    }

    #[test]
    fn arguments_are_kept_in_order() {
        let cli = Cli::try_parse_from([
            "uartd",
            "a=sim:echo",
            "-l",
            "uartnet=:1",
            "b=sim:echo,9600",
            "--listen",
            "raw=:2,a",
        ])
        .unwrap();
        let (given, _) = cli.serve.into_given();
        assert_eq!(given.ports, ["a=sim:echo", "b=sim:echo,9600"]);
        assert_eq!(given.listen, ["uartnet=:1", "raw=:2,a"]);
    }

    #[test]
    fn what_does_not_belong_together_is_a_usage_error() {
        for arguments in [
            &["uartd", "--insecure"][..],
            &["uartd", "--tls"],
            &["uartd", "--log", "loud"],
            &["uartd", "check"],
            &["uartd", "check", "a.toml", "b.toml"],
            &["uartd", "devices", "--jsn"],
            &["uartd", "--listen"],
        ] {
            let error = Cli::try_parse_from(arguments).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{arguments:?}");
        }
    }
}
