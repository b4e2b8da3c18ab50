//! `cargo xtask demo`: uartnet at work, told as it happens; then a checklist of what was to be seen. Everything runs as
//! real processes: one `uartd`, and a `uart` for each command.

use std::io::Write;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use uartnet_tests::{
    Daemon, Process, Relay, binaries, exit_code, uart_command, uartd_command, wait_telemetry,
};

use crate::run::shown;

/// What `cargo xtask demo` can be told.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Leave the gateway running at the end, until Ctrl-C
    #[arg(long)]
    keep: bool,
}

/// Shows it, and checks that all of it was right.
///
/// # Errors
/// Something differs from what it should be, or cannot be started.
pub(crate) fn demo(options: &Options) -> Result<()> {
    println!("Building uartd and uart …");
    binaries()?;
    let mut demo = Demo::start()?;
    demo.exchange()?;
    demo.asks()?;
    demo.two_watchers()?;
    demo.cut_watcher()?;
    if options.keep {
        demo.judge()?;
        return demo.keep();
    }
    demo.stop()?;
    demo.judge()
}

struct Demo {
    gateway: Daemon,
    checklist: Vec<(bool, String)>,
}

impl Demo {
    fn start() -> Result<Demo> {
        title("A gateway with two simulated boards");
        let mut uartd = uartd_command()?;
        uartd.args([
            "--listen",
            "uartnet=127.0.0.1:0,board0",
            "board0=sim:interpreter",
            "board1=sim:echo",
        ]);
        typed(&uartd);
        let gateway = Daemon::run(&mut uartd, 1)?;
        for listening in gateway.listening() {
            let port = listening.port.as_deref().unwrap_or_default();
            say(format!(
                "listening {} {} {port}",
                listening.protocol, listening.address
            ));
        }
        println!(
            "\n  (From here on, UART_GATEWAY={} is set.)",
            gateway.gateway()
        );
        let mut demo = Demo {
            gateway,
            checklist: Vec::new(),
        };
        let ls = demo.uart(&["ls"])?;
        demo.check(
            "the gateway lists both boards",
            ls.0 == 0 && ls.1.contains("board0") && ls.1.contains("board1"),
        );
        Ok(demo)
    }

    fn exchange(&mut self) -> Result<()> {
        title("The first message, as the article has it: 13_Hello IoT!");
        let (code, answer) = self.uart(&["send", "Hello IoT!"])?;
        let greeted = code == 0 && answer == "Hello from the UART interpreter!\n";
        self.check(
            "`Hello IoT!` reaches the board, and its answer comes back",
            greeted,
        );
        Ok(())
    }

    fn asks(&mut self) -> Result<()> {
        title("Commands, each with its own answer");
        for (command, expected) in [
            ("ID?", "uart-interpreter 1.0"),
            ("LED ON", "OK\n"),
            ("LED?", "ON\n"),
            ("TEMP?", " C\n"),
        ] {
            let (code, answer) = self.uart(&["ask", "board0", command])?;
            self.check(
                &format!("{command} is answered"),
                code == 0 && answer.contains(expected),
            );
        }
        let (code, answer) = self.uart(&["ask", "board0", "FLY"])?;
        self.check(
            "what the board does not know is its own error",
            code == 0 && answer.starts_with("ERR 1 "),
        );
        let (code, answer) = self.uart(&["ask", "board7", "ID?"])?;
        self.check(
            "a port that does not exist is refused with exit code 1",
            code == 1 && answer.is_empty(),
        );
        let (code, _) = self.uart(&["ask", "board0", "SLEEP 1200", "--timeout", "800ms"])?;
        self.check("no answer in time is exit code 4", code == 4);
        let (code, answer) = self.uart(&["ask", "board0", "LED?"])?;
        self.check(
            "a late answer is not given to the next command",
            code == 0 && answer == "ON\n",
        );
        Ok(())
    }

    fn two_watchers(&mut self) -> Result<()> {
        title("Two watchers at once, each with the board's telemetry");
        let arguments = [
            "watch",
            "board0",
            "--timestamps",
            "relative",
            "--lines",
            "8",
        ];
        let mut watchers = [self.spawn(&arguments)?, self.spawn(&arguments)?];
        self.uart(&["ask", "board0", "STREAM 50"])?;
        for (number, watcher) in watchers.iter_mut().enumerate() {
            let status = watcher.wait()?;
            let text = watcher.stdout.text();
            println!("  watcher {}:", number + 1);
            text.lines().for_each(|line| say(format!("  {line}")));
            let telemetry = text.lines().filter(|line| line.contains(" T ")).count();
            let seen = exit_code(status) == 0 && telemetry >= 2;
            self.check(&format!("watcher {} sees the telemetry", number + 1), seen);
        }
        self.uart(&["ask", "board0", "STREAM OFF"])?;
        Ok(())
    }

    fn cut_watcher(&mut self) -> Result<()> {
        title("A watcher whose connection is cut");
        let relay = Relay::to(self.gateway.address())?;
        let arguments = ["watch", "board0", "--from", "start", "--raw"];
        let whole = self.spawn(&arguments)?;
        println!(
            "  … and the same through a relay at {} that will be cut:",
            relay.address()
        );
        let mut through_relay = uart_command(&relay.address().to_string())?;
        let cut = Process::spawn(through_relay.args(arguments))?;
        self.uart(&["ask", "board0", "STREAM 20"])?;

        wait_telemetry(&cut, 20)?;
        relay.cut();
        say("✂ the connection is cut");
        relay.wait_refused(1)?;
        let missing_from = cut.stdout.bytes().len();
        wait_telemetry(&whole, 50)?;
        let behind = whole.stdout.bytes().len() - missing_from;
        say(format!(
            "the board goes on: the other watcher is {behind} bytes ahead"
        ));
        relay.mend();
        wait_telemetry(&cut, 55)?;
        self.uart(&["ask", "board0", "STREAM OFF"])?;
        let (_, identity) = self.uart(&["ask", "board0", "ID?"])?;

        let last = format!("{}\r\n> ", identity.trim_end());
        for watcher in [&whole, &cut] {
            watcher.stdout.wait(&last, |text| text.ends_with(&last))?;
        }
        cut.stderr.text().lines().for_each(say);
        let (whole, cut_bytes) = (whole.stdout.bytes(), cut.stdout.bytes());
        say(format!(
            "uncut watcher: {} bytes; cut watcher: {} bytes",
            whole.len(),
            cut_bytes.len()
        ));
        self.check(
            "the cut watcher came back by itself",
            relay.relayed() >= 2 && behind > 0,
        );
        self.check(
            "it has every byte that the uncut watcher has, and no other",
            cut_bytes == whole,
        );
        let (_, info) = self.quiet(&["info", "board0", "--json"])?;
        let info: Value =
            serde_json::from_str(&info).context("`uart info --json` printed no JSON")?;
        let end = info["history_end"].as_u64();
        say(format!(
            "the gateway has received {} bytes of board0",
            end.unwrap_or_default()
        ));
        self.check(
            "that is every byte the board sent, from offset 0 on",
            end == u64::try_from(whole.len()).ok(),
        );
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        title("The gateway stops");
        let status = self.gateway.stop()?;
        say(format!("uartd ended with exit code {}", exit_code(status)));
        let gracefully = exit_code(status) == 0 && !self.gateway.log().contains("panicked at");
        self.check("uartd stops gracefully", gracefully);
        Ok(())
    }

    fn judge(&self) -> Result<()> {
        title("Checklist");
        for (right, what) in &self.checklist {
            println!("  {} {what}", if *right { "✓" } else { "✗" });
        }
        let wrong = self.checklist.iter().filter(|(right, _)| !right).count();
        if wrong > 0 {
            println!("\nWhat uartd logged:\n{}", self.gateway.log());
        }
        let all = self.checklist.len();
        ensure!(
            wrong == 0,
            "{wrong} of {all} things are not as they should be"
        );
        println!("\nAll {all} right.");
        Ok(())
    }

    /// Leaves it to a person, until Ctrl-C, which reaches the gateway too.
    fn keep(mut self) -> Result<()> {
        title("Now you");
        let uart = &binaries()?.uart;
        println!("  The gateway goes on. In another terminal:\n");
        println!("    export UART_GATEWAY={}", self.gateway.gateway());
        println!(
            "    export PATH={}:$PATH",
            uart.parent().unwrap_or(uart).display()
        );
        println!("    uart ask board0 HELP");
        println!("    uart attach board0\n");
        println!("  Ctrl-C here stops it.");
        std::io::stdout().flush().context("nobody reads this")?;
        while self.gateway.process().ended()?.is_none() {
            thread::sleep(Duration::from_millis(100));
        }
        self.gateway.wait()?;
        Ok(())
    }

    /// Types a `uart` command, shows what it answers, and returns its exit code and what it printed.
    fn uart(&self, arguments: &[&str]) -> Result<(i32, String)> {
        typed(&self.command(arguments)?);
        let (code, stdout, stderr) = self.finish(arguments)?;
        stdout.lines().chain(stderr.lines()).for_each(say);
        if code != 0 {
            say(format!("(exit code {code})"));
        }
        Ok((code, stdout))
    }

    /// The same without showing it.
    fn quiet(&self, arguments: &[&str]) -> Result<(i32, String)> {
        let (code, stdout, _) = self.finish(arguments)?;
        Ok((code, stdout))
    }

    fn finish(&self, arguments: &[&str]) -> Result<(i32, String, String)> {
        let mut process = Process::spawn(&mut self.command(arguments)?)?;
        process.end_input();
        let status = process.wait()?;
        Ok((
            exit_code(status),
            process.stdout.text(),
            process.stderr.text(),
        ))
    }

    /// Types a command that goes on in the background.
    fn spawn(&self, arguments: &[&str]) -> Result<Process> {
        let mut command = self.command(arguments)?;
        println!("\n$ {} &", shown(&command));
        Process::spawn(&mut command)
    }

    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(&binaries()?.uart);
        command
            .env("UART_GATEWAY", self.gateway.gateway())
            .args(arguments);
        Ok(command)
    }

    fn check(&mut self, what: &str, right: bool) {
        self.checklist.push((right, what.to_owned()));
    }
}

fn title(text: &str) {
    println!("\n── {text}");
}

fn typed(command: &Command) {
    println!("\n$ {}", shown(command));
}

fn say(line: impl AsRef<str>) {
    println!("  {}", line.as_ref());
}
