//! Somebody who types the commands of a page of the documentation as they stand there, in a home of their own.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::{Process, binaries, exit_code};

/// Types commands.
#[derive(Debug)]
pub struct Typist {
    home: TempDir,
    /// The port on the page, and the one in its place: other tests run beside this one.
    port: (&'static str, u16),
}

impl Typist {
    /// Somebody with an empty home, who types another port in place of the page's: one that is free at this address.
    ///
    /// # Panics
    /// There is none.
    pub fn new((page, free_at): (&'static str, &str)) -> Typist {
        let listener = TcpListener::bind(free_at).expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        Typist {
            home: tempfile::tempdir().expect("a folder"),
            port: (page, port),
        }
    }

    /// The port in place of the page's.
    pub fn port(&self) -> u16 {
        self.port.1
    }

    /// A file at home.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes a file at home.
    ///
    /// # Panics
    /// It cannot.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), self.with_port(text)).expect("a file");
    }

    /// The commands of the first `console` block below this heading.
    ///
    /// # Panics
    /// There is none.
    pub fn commands(&self, page: &str, heading: &str) -> Vec<String> {
        let block = self.block(page, heading, "console");
        let lines = block.lines();
        lines
            .map(|line| line.strip_prefix("$ ").expect("a command").to_owned())
            .collect()
    }

    /// The first block of this kind below this heading.
    ///
    /// # Panics
    /// There is none.
    pub fn block(&self, page: &str, heading: &str, kind: &str) -> String {
        let (_, section) = page
            .split_once(&format!("{heading}\n"))
            .expect("the heading");
        let (_, block) = section
            .split_once(&format!("```{kind}\n"))
            .expect("a block");
        let (block, _) = block.split_once("```").expect("its end");
        self.with_port(block)
    }

    /// A command, about to be typed.
    ///
    /// # Panics
    /// The binaries do not build.
    pub fn shell(&self, command: &str) -> Command {
        let folder = binaries().expect("binaries").uartd.parent();
        let folder = folder.expect("a folder").to_owned();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::iter::once(folder).chain(std::env::split_paths(&path));
        let home = self.home.path();
        let mut shell = Command::new("bash");
        shell
            .current_dir(home)
            .env("HOME", home)
            // Root keeps its state elsewhere than at home.
            .env("STATE_DIRECTORY", home.join("state"))
            .env("PATH", std::env::join_paths(paths).expect("a path"));
        for variable in [
            "UART_GATEWAY",
            "UART_TOKEN",
            "UARTD_LOG",
            "XDG_CONFIG_HOME",
            "XDG_STATE_HOME",
        ] {
            shell.env_remove(variable);
        }
        // The shell becomes the command, so that a signal reaches it.
        shell.args(["-c", &format!("exec {command}")]);
        shell
    }

    /// The exit code of a command, what it said on stdout, and on stderr.
    ///
    /// # Panics
    /// It does not end.
    pub fn run(&self, command: &str) -> (i32, String, String) {
        let mut process = Process::spawn(&mut self.shell(command)).expect("a shell");
        process.end_input();
        let status = process.wait().expect("its end");
        process.stderr.wait_end().expect("its end");
        let (stdout, stderr) = (process.stdout.text(), process.stderr.text());
        (exit_code(status), stdout, stderr)
    }

    fn with_port(&self, text: &str) -> String {
        text.replace(self.port.0, &self.port.1.to_string())
    }
}
