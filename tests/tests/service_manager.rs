//! What a service manager is told, which here is this test.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use rustix::time::{ClockId, clock_gettime};
use uartnet_tests::{DEADLINE, Daemon, Session, Signal, exit_code, uartd_command};

struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    fn at(path: &Path) -> Manager {
        let socket = UnixDatagram::bind(path).expect("a socket");
        socket.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        Manager { socket }
    }

    fn hears(&self) -> String {
        let mut buffer = [0; 256];
        let count = self.socket.recv(&mut buffer).expect("it is told");
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    }
}

fn monotonic_micros() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1000
}

#[test]
fn a_service_manager_is_told_of_start_reload_and_stop() {
    let folder = tempfile::tempdir().expect("a folder");
    let manager = Manager::at(&folder.path().join("notify"));
    let file = folder.path().join("bench.toml");
    let right = "[[port]]\nname = \"a\"\ndevice = \"sim:echo\"\n\
                 [[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\n";
    fs::write(&file, right).expect("a file");
    let mut command = uartd_command().expect("a binary");
    command
        .env("NOTIFY_SOCKET", folder.path().join("notify"))
        .arg("--config")
        .arg(&file);
    let mut daemon = Daemon::run(&mut command, 1).expect("a gateway");
    assert_eq!(manager.hears(), "READY=1");
    drop(Session::open(daemon.address()));

    // Also where nothing comes of it, what it is told last is that we are ready.
    for text in [right, "nonsense"] {
        fs::write(&file, text).expect("a file");
        let before = monotonic_micros();
        daemon.process().signal(Signal::HUP).expect("a process");
        let reloading = manager.hears();
        let since = reloading
            .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
            .unwrap_or_else(|| panic!("{reloading:?}"));
        let since: i64 = since.parse().expect("a number");
        assert!(before <= since && since <= monotonic_micros());
        assert_eq!(manager.hears(), "READY=1");
    }

    daemon.process().signal(Signal::TERM).expect("a process");
    assert_eq!(manager.hears(), "STOPPING=1");
    assert_eq!(exit_code(daemon.wait().expect("it ends")), 0);
}

#[test]
fn a_service_manager_that_is_not_there_keeps_nobody_from_working() {
    let mut command = uartd_command().expect("a binary");
    command.env("NOTIFY_SOCKET", "/nonexistent/notify").args([
        "--listen",
        "uartnet=127.0.0.1:0",
        "a=sim:echo",
    ]);
    let daemon = Daemon::run(&mut command, 1).expect("a gateway");
    daemon
        .wait_log("the service manager cannot be told anything")
        .expect("a warning");
    drop(Session::open(daemon.address()));
}
