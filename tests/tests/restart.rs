//! What a daemon that was killed leaves behind is in nobody's way.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;

use serde_json::json;
use uartnet_tests::{Daemon, Session, Signal, uartd_command};

#[test]
fn after_a_kill_the_next_start_with_the_same_file_works_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let free: SocketAddr = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port");
    let text = format!(
        "[[port]]\nname = \"a\"\ndevice = \"pty:{}\"\n\
         [[listen]]\nprotocol = \"uartnet\"\naddress = \"{free}\"\n\
         [[listen]]\nprotocol = \"uartnet\"\naddress = \"unix:{}\"\n",
        at("board"),
        at("socket")
    );
    fs::write(at("file"), text).expect("a file");
    for _ in 0..3 {
        let mut command = uartd_command().expect("a binary");
        command.args(["--config", &at("file")]);
        let mut daemon = Daemon::run(&mut command, 2).expect("a gateway");
        let mut session = Session::open(free);
        session.request(json!({"open": "a", "mode": "write"}));
        while session.event("state")["state"] != "present" {}
        UnixStream::connect(at("socket")).expect("somebody answers");
        // The daemon's end closes first, which is the one that leaves TIME_WAIT behind.
        daemon.process().signal(Signal::KILL).expect("a process");
        daemon.wait().expect("it ends");
        assert!(fs::symlink_metadata(at("board")).is_ok(), "nothing is left");
        assert!(
            fs::symlink_metadata(at("socket")).is_ok(),
            "nothing is left"
        );
    }
}
