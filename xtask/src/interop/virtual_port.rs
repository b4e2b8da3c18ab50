//! What the cases of programs that open a serial device share: a gateway's port, and `uart pty` that makes a device of it.
//! Not what a program does with the device.

use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use uartnet_tests::{Process, exit_code, open_board, uart_command};

use super::folder;
use super::gateway::{Gateway, PORT};
use crate::run::shown;

/// A port of a gateway with a virtual serial device that stands for it.
#[derive(Debug)]
pub(super) struct VirtualPort {
    /// Before the gateway: it is stopped first.
    pty: Process,
    /// The gateway.
    pub(super) gateway: Gateway,
    /// What programs open.
    pub(super) link: PathBuf,
}

impl VirtualPort {
    /// Starts a gateway with this device spec, and `uart pty --link` for its port, with the link in the case's folder.
    ///
    /// # Errors
    /// One of the two does not come up.
    pub(super) fn start(case: &str, device: &str) -> Result<VirtualPort> {
        VirtualPort::of(case, Gateway::start(device)?)
    }

    /// The same with a board that a program plays; returns where it opens its end, too.
    ///
    /// # Errors
    /// As [`VirtualPort::start`].
    pub(super) fn with_board(case: &str) -> Result<(VirtualPort, PathBuf)> {
        let board = folder(case)?.join("board0");
        let port = VirtualPort::start(case, &format!("pty:{}", board.display()))?;
        Ok((port, board))
    }

    fn of(case: &str, gateway: Gateway) -> Result<VirtualPort> {
        let link = folder(case)?.join("virtual0");
        let mut command = uart_command(gateway.daemon.gateway())?;
        command.args(["pty", PORT, "--link"]).arg(&link);
        println!("$ {}", shown(&command));
        let pty = Process::spawn(&mut command)?;
        pty.stdout
            .wait("the device's line", |text| text.ends_with('\n'))
            .with_context(|| pty.said())?;
        Ok(VirtualPort { pty, gateway, link })
    }

    /// The device, opened as programs do.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(super) fn open(&self) -> Result<File> {
        open_board(&self.link)
    }

    /// Waits until these line settings are in force at the real port.
    ///
    /// # Errors
    /// They never are.
    pub(super) fn wait_line(&self, line: &str) -> Result<()> {
        self.gateway
            .wait_info(line, |info| info["line"] == line)
            .with_context(|| self.pty.said())
            .map(drop)
    }

    /// Ends `uart pty`, and demands that it ends well, leaves no link, and has not said any of what a case may not see.
    ///
    /// # Errors
    /// It does.
    pub(super) fn end(mut self) -> Result<()> {
        let code = exit_code(self.pty.stop()?);
        let said = self.pty.stderr.text();
        ensure!(code == 0, "uart pty ended with exit code {code}\n{said}");
        ensure!(
            fs::symlink_metadata(&self.link).is_err(),
            "uart pty left its link behind"
        );
        for lost in ["missed", "thrown away", "were not written"] {
            ensure!(!said.contains(lost), "bytes were lost\n{said}");
        }
        Ok(())
    }
}
