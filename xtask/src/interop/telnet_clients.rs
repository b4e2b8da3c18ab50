//! Telnet clients that are not pyserial: C-Kermit, which knows RFC 2217 best; inetutils telnet, which knows none of it;
//! and gensiot, the client of ser2net's authors.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use uartnet_tests::{Process, Terminal, exit_code};

use super::gateway::Gateway;
use super::needs::{Need, Proof};
use super::{Case, finish, folder};
use crate::run::shown;

pub(super) const KERMIT: Case = Case {
    name: "kermit",
    what: "C-Kermit over telnet with RFC 2217: it asks for everything, sets, types and sends a break",
    needs: &[Need::Debian {
        package: "ckermit",
        proof: Proof::File("/usr/bin/kermit"),
    }],
    run: kermit,
};

pub(super) const TELNET: Case = Case {
    name: "telnet",
    what: "inetutils telnet typed at: a command, and the signals of RFC 854",
    needs: &[Need::Debian {
        package: "inetutils-telnet",
        proof: Proof::File("/usr/bin/inetutils-telnet"),
    }],
    run: telnet,
};

pub(super) const GENSIOT: Case = Case {
    name: "gensiot",
    what: "gensiot over telnet(rfc2217),tcp: a command, settings and a break",
    needs: &[Need::Debian {
        package: "gensio-bin",
        proof: Proof::File("/usr/bin/gensiot"),
    }],
    run: gensiot,
};

const GREETING: &str = "Hello from the UART interpreter!";

fn kermit() -> Result<()> {
    let gateway = Gateway::start("sim:interpreter")?;
    let address = gateway.address("rfc2217")?;
    // Each `exit` has a number of its own, which says what failed.
    let commands = format!(
        "set input echo on\n\
         set host {} {} /telnet\n\
         if fail exit 11\n\
         set speed 9600\n\
         if fail exit 12\n\
         set flow rts/cts\n\
         if fail exit 13\n\
         output Hello IoT!\\13\n\
         input 20 {GREETING}\n\
         if fail exit 14\n\
         output \\B\n\
         input 20 ^C\n\
         if fail exit 15\n\
         show communications\n\
         close\n\
         exit 0\n",
        address.ip(),
        address.port()
    );
    let file = folder(KERMIT.name)?.join("commands.ksc");
    fs::write(&file, commands).with_context(|| format!("cannot write {}", file.display()))?;
    let mut kermit = Command::new("/usr/bin/kermit");
    kermit.arg(&file).arg("-Y");
    println!("$ {}", shown(&kermit));
    let (code, said) = finish(&mut kermit)?;
    ensure!(code == 0, "it ended with exit code {code}\n{said}");
    for told in [
        "Signature            : uartd ",
        "Speed                : 9600",
        "Outbound Flow Control: rts/cts",
        "Inbound Flow Control : rts/cts",
        "Data Size            : 8",
        "DTR Signal           : 1",
        "CTS Signal On",
    ] {
        ensure!(said.contains(told), "it was not told {told:?}\n{said}");
        println!("  {told}");
    }
    gateway.wait_info("9600-8n1-rtscts", |info| info["line"] == "9600-8n1-rtscts")?;
    println!("  a command was answered, and a break arrived");
    Ok(())
}

fn telnet() -> Result<()> {
    let gateway = Gateway::start("sim:interpreter")?;
    let address = gateway.address("rfc2217")?;
    let mut telnet = Command::new("/usr/bin/inetutils-telnet");
    telnet.args([address.ip().to_string(), address.port().to_string()]);
    println!("$ {}", shown(&telnet));
    let mut terminal = Terminal::spawn(&mut telnet)?;
    terminal.tty.screen.wait_for("Escape character is")?;
    terminal.tty.wait_cooked(false)?;

    terminal.tty.type_in(b"LED ON\r")?;
    terminal.tty.screen.wait_for("LED ON\r\nOK\r\n> ")?;
    println!("  a line typed is answered, and echoed once, by the board");
    say(&mut terminal, "status", "single character mode")?;
    say(&mut terminal, "send brk", "^C\r\n> ")?;
    println!("  send brk: the board sees a break");
    // None of these is anything that the UART should see.
    for command in ["ayt", "synch", "nop", "ga"] {
        say(&mut terminal, &format!("send {command}"), "")?;
    }
    // Back from its prompt, it edits no lines.
    terminal.tty.wait_cooked(false)?;
    let before = terminal.tty.screen.bytes().len();
    terminal.tty.type_in(b"LED ?\r")?;
    terminal
        .tty
        .screen
        .wait("the answer", |screen| screen.ends_with("LED ?\r\nON\r\n> "))?;
    let screen = terminal.tty.screen.bytes();
    let answer = String::from_utf8_lossy(&screen[before..]).into_owned();
    ensure!(
        answer.trim_start() == "LED ?\r\nON\r\n> ",
        "after AYT, Synch, NOP and GA the board was sent more than was typed: {answer:?}"
    );
    println!("  send ayt, synch, nop, ga: nothing of it reaches the board");
    say(&mut terminal, "quit", "Connection closed.")?;
    let code = exit_code(terminal.process.wait()?);
    ensure!(code == 0, "telnet ended with exit code {code}");
    Ok(())
}

/// Gives telnet a command at its own prompt, and waits for what it leads to.
fn say(terminal: &mut Terminal, command: &str, leads_to: &str) -> Result<()> {
    let screen = terminal.tty.screen.clone();
    let prompts = |screen: &str| screen.matches("telnet> ").count();
    let (before, shown) = (prompts(&screen.text()), screen.bytes().len());
    terminal.tty.type_in(b"\x1d")?;
    screen.wait("telnet's prompt", |text| prompts(text) > before)?;
    terminal.tty.type_in(format!("{command}\r").as_bytes())?;
    let echoed = format!("{command}\r\n");
    screen.wait(&format!("{leads_to:?} after {command}"), |text| {
        text.get(shown..)
            .and_then(|text| text.split_once(&echoed))
            .is_some_and(|(_, after)| after.contains(leads_to))
    })?;
    Ok(())
}

fn gensiot() -> Result<()> {
    /// Ctrl-\, which begins one of gensiot's own commands.
    const ESCAPE: char = '\x1c';
    let gateway = Gateway::start("sim:interpreter")?;
    let address = gateway.address("rfc2217")?;
    let mut gensiot = Command::new("/usr/bin/gensiot");
    gensiot.args(["-i", "stdio(self)", "-e", "28"]).arg(format!(
        "telnet(rfc2217),tcp,{},{}",
        address.ip(),
        address.port()
    ));
    println!("$ {}", shown(&gensiot));
    let mut process = Process::spawn(&mut gensiot)?;
    process.type_in(b"Hello IoT!\r")?;
    process.stdout.wait_for(GREETING)?;
    println!("  a command was answered");
    process.type_in(format!("{ESCAPE}b").as_bytes())?;
    process.stdout.wait_for("^C")?;
    println!("  a break arrived");
    process.type_in(format!("{ESCAPE}s9600\n{ESCAPE}7{ESCAPE}e{ESCAPE}2").as_bytes())?;
    gateway.wait_info("9600-7e2", |info| info["line"] == "9600-7e2")?;
    println!("  9600-7e2 is in force");
    process.type_in(format!("{ESCAPE}q").as_bytes())?;
    let code = exit_code(process.wait()?);
    ensure!(code == 0, "gensiot ended with exit code {code}");
    Ok(())
}
