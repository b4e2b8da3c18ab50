//! asciinema plays a port's recording: what it shows is what the board said.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use uartnet_tests::{Daemon, Process};

use super::needs::{Need, Proof};
use super::{Case, ask, folder, shortened};

pub(super) const CASE: Case = Case {
    name: "asciinema",
    what: "asciinema shows what the board said, from a log in format asciicast",
    needs: &[
        Need::Debian {
            package: "asciinema",
            proof: Proof::Runs(&["asciinema", "--version"]),
        },
        Need::Debian {
            package: "bsdutils",
            proof: Proof::Runs(&["script", "--version"]),
        },
    ],
    run,
};

fn run() -> Result<()> {
    let folder = folder(CASE.name)?;
    let (cast, raw) = (folder.join("board0.cast"), folder.join("board0.raw"));
    for old in std::fs::read_dir(&folder)? {
        std::fs::remove_file(old?.path())?;
    }
    let mut daemon = Daemon::with_config(&format!(
        "[[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\n\
         [[port]]\nname = \"board0\"\ndevice = \"sim:interpreter\"\n\
         [[port.log]]\npath = \"{}\"\nformat = \"asciicast\"\nwhat = \"all\"\n\
         [[port.log]]\npath = \"{}\"\nformat = \"raw\"\n",
        cast.display(),
        raw.display()
    ))?;
    for command in ["ID?", "LED ON", "HELP"] {
        ask(&daemon, "board0", command)?;
    }
    daemon.stop()?;
    let said = std::fs::read(&raw).context("the raw log")?;

    // It wants a terminal of its own for its keys, although it has none when it shows all at once.
    let shown = folder.join("shown");
    let typed = format!("asciinema cat '{}' > '{}'", cast.display(), shown.display());
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &typed, "/dev/null"]);
    let mut playing = Process::spawn(script.env("LC_ALL", "C.UTF-8"))?;
    let status = playing.wait()?;
    ensure!(status.success(), "{status}: {}", playing.said());
    let played = std::fs::read(&shown).context("what it shows")?;
    println!("$ asciinema cat board0.cast");
    let text = String::from_utf8_lossy(&played);
    text.lines()
        .take(3)
        .for_each(|line| println!("  {}", shortened(line)));
    ensure!(
        played == said,
        "it shows {:?}, and the board said {:?}",
        text,
        String::from_utf8_lossy(&said)
    );
    Ok(())
}
