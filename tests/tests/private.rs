//! What our programs write is for their user alone, whatever the umask of whoever started them.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use uartnet_tests::{Daemon, binaries, uart};

/// A command of a shell that denies nobody anything.
fn generous(program: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "umask 000; exec \"$0\" \"$@\""])
        .arg(program);
    shell.stdin(Stdio::null());
    shell
}

/// Everything below a folder.
fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.symlink_metadata().unwrap().is_dir() {
            walk(&path, found);
        }
        found.push(path);
    }
}

#[test]
fn nothing_that_is_written_is_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let config = home.join("uartd.toml");
    let text = "[gateway]\naudit = \"DIR/state/audit\"\ntokens = \"DIR/state/tokens.toml\"\n\
         [[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\n\
         [[listen]]\nprotocol = \"uartnet\"\naddress = \"unix:DIR/uartd.sock\"\n\
         [[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\ntls = true\n\
         [[port]]\nname = \"board0\"\ndevice = \"pty:DIR/board\"\n\
         [[port]]\nname = \"board1\"\ndevice = \"sim:flood?bytes=200000\"\n\
         [[port.log]]\npath = \"DIR/logs/b.log\"\nrotate_size = \"64KiB\"\n\
         [[port.log]]\npath = \"DIR/logs/b.raw\"\nformat = \"raw\"\nrotate_size = \"64KiB\"\n\
         [[port.log]]\npath = \"DIR/logs/b.cast\"\nformat = \"asciicast\"\n"
        .replace("DIR", home.to_str().unwrap());
    fs::write(&config, text).unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
    let programs = binaries().unwrap();

    let mut create = generous(&programs.uartd);
    let token = home.join("ci.token");
    create
        .args(["token", "create", "ci", "--config"])
        .arg(&config)
        .arg("--out")
        .arg(&token);
    let created = create.output().unwrap();
    assert!(created.status.success(), "{created:?}");
    assert!(created.stdout.is_empty(), "{created:?}");
    let secret = fs::read_to_string(token).unwrap();

    let client = home.join("ci.pem");
    for command in [
        &["init"][..],
        &["ca"],
        &["client", "ci", "--out", client.to_str().unwrap()],
    ] {
        let mut tls = generous(&programs.uartd);
        let tls = tls.arg("tls").args(command).arg("--config").arg(&config);
        assert!(tls.output().unwrap().status.success(), "{command:?}");
    }

    let mut serve = generous(&programs.uartd);
    let daemon = Daemon::run(serve.arg("--config").arg(&config), 3).unwrap();
    // What `uart` keeps of who it is.
    let mut login = generous(&programs.uart);
    login
        .args(["--gateway", daemon.gateway(), "login"])
        .env("XDG_CONFIG_HOME", home.join("client"))
        .stdin(Stdio::piped());
    let mut login = login.spawn().unwrap();
    use std::io::Write as _;
    let mut input = login.stdin.take().unwrap();
    input.write_all(secret.as_bytes()).unwrap();
    drop(input);
    assert!(login.wait().unwrap().success());
    // And of gateways.
    let tls = daemon.listening().last().unwrap();
    let mut trust = generous(&programs.uart);
    trust
        .args(["--gateway", &format!("tls://{}", tls.address)])
        .args(["--accept-new", "ls"])
        .env("XDG_CONFIG_HOME", home.join("client"))
        .env("XDG_STATE_HOME", home.join("client-state"));
    let trusted = trust.output().unwrap();
    assert!(trusted.status.success(), "{trusted:?}");
    // Until every log is there, old files too.
    let deadline = std::time::Instant::now() + uartnet_tests::DEADLINE;
    loop {
        let info = uart(&daemon)
            .args(["info", "board1", "--json"])
            .output()
            .unwrap();
        let info: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
        if info["history_end"] == 200_000 && info["counters"]["log_lag"] == 0 {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{info}");
    }

    let mut found = Vec::new();
    walk(home, &mut found);
    for expected in [
        "state/audit",
        "state/tokens.toml",
        "uartd.sock",
        "board",
        "logs/b.log",
        "logs/b.000001.log",
        "logs/b.raw",
        "logs/b.000001.raw",
        "logs/b.cast",
        "client/uart/credentials.toml",
        "client-state/uart/known_gateways",
        "state/key.pem",
        "state/client-ca-key.pem",
        "state/certificate.pem",
        "ci.pem",
        "ci.token",
    ] {
        assert!(
            found.contains(&home.join(expected)),
            "{expected}: {found:?}"
        );
    }
    for path in &found {
        let about = path.symlink_metadata().unwrap();
        let mode = about.permissions().mode() & 0o777;
        let kind = about.file_type();
        // A link has no mode of its own. A folder's group may look into it, since a log can be given to its group. A
        // certificate is shown to whoever connects.
        let public = ["state/certificate.pem", "state/client-ca.pem"];
        let for_others = match () {
            () if kind.is_symlink() => 0,
            () if public.iter().any(|it| *path == home.join(it)) => 0o133,
            () if kind.is_dir() => 0o027,
            () => 0o177,
        };
        assert_eq!(mode & for_others, 0, "{} has mode {mode:o}", path.display());
        assert!(kind.is_socket() || !kind.is_fifo());
    }
    // Who plays the board is on this machine, and is the same user.
    let board = fs::metadata(home.join("board")).unwrap();
    assert_eq!(board.permissions().mode() & 0o007, 0, "{board:?}");
}
