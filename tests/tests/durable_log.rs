//! Durable logs: what a port says is in the files once and in order, whatever happens to the disk and to the daemon.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use uartnet_tests::{
    Daemon, Process, Relay, Session, Signal, binaries, uart, uart_command, uartd_command,
};

/// A daemon whose port `board0` keeps logs in this folder.
fn config(folder: &Path, device: &str, history: &str, logs: &[&str]) -> String {
    let mut text = format!(
        "[[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\n\
         [[port]]\nname = \"board0\"\ndevice = \"{device}\"\nhistory = \"{history}\"\n"
    );
    for log in logs {
        text += &format!(
            "[[port.log]]\n{}\n",
            log.replace("DIR", folder.to_str().expect("UTF-8"))
        );
    }
    text
}

fn text_of(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

/// What a command of `uart` prints.
fn say(daemon: &Daemon, words: &[&str]) -> Vec<u8> {
    let assert = uart(daemon).args(words).assert().code(0);
    assert.get_output().stdout.clone()
}

fn info(daemon: &Daemon) -> Value {
    serde_json::from_slice(&say(daemon, &["info", "board0", "--json"])).expect("JSON")
}

/// Asks until it is so.
fn wait_for(daemon: &Daemon, what: &str, mut is_so: impl FnMut(&Value) -> bool) -> Value {
    let deadline = std::time::Instant::now() + uartnet_tests::DEADLINE;
    loop {
        let info = info(daemon);
        if is_so(&info) {
            return info;
        }
        assert!(std::time::Instant::now() < deadline, "{what}: {info}");
        std::thread::yield_now();
    }
}

/// The records of the log, as `uart log --json` shows them.
fn records(daemon: &Daemon) -> Vec<Value> {
    let shown = say(daemon, &["log", "board0", "--json", "--sent", "--events"]);
    let lines = text_of(&shown);
    lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.as_bytes().to_vec(),
        other => {
            let hex = other["hex"].as_str().expect("hex");
            (0..hex.len() / 2)
                .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex"))
                .collect()
        }
    }
}

/// Received bytes and gaps cover the offsets from 0 on without a hole and without an overlap. Gives the bytes, with zeros in
/// the gaps, and how many bytes those have.
fn account(records: &[Value]) -> (Vec<u8>, u64) {
    let (mut all, mut missing) = (Vec::new(), 0);
    for record in records {
        if !record["received"].is_null() {
            assert_eq!(record["offset"], all.len(), "{record}");
            all.extend(bytes(&record["received"]));
        } else if record["event"]["event"] == "gap" {
            let [from, to] =
                ["from", "to"].map(|key| record["event"][key].as_u64().expect("a number"));
            assert_eq!(from, all.len() as u64, "{record}");
            all.resize(usize::try_from(to).expect("small"), 0);
            missing += to - from;
        }
    }
    (all, missing)
}

/// The newest file and the old ones, oldest first.
fn files(folder: &Path, stem: &str, ending: &str) -> Vec<PathBuf> {
    let mut old: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&format!("{stem}.0")) && name.ends_with(ending)
        })
        .collect();
    old.sort();
    old.push(folder.join(format!("{stem}.{ending}")));
    old
}

#[test]
fn what_was_received_and_sent_and_what_happened_is_read_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let logs = [
        "path = \"DIR/b.log\"",
        "path = \"DIR/b.raw\"\nformat = \"raw\"",
    ];
    let daemon =
        Daemon::with_config(&config(folder.path(), "sim:interpreter", "1MiB", &logs)).expect("up");
    say(&daemon, &["ask", "board0", "LED ON"]);
    let end = info(&daemon)["history_end"].clone();
    let info = wait_for(&daemon, "everything is written", |info| {
        info["counters"]["log_lag"] == 0
    });
    assert!(info["counters"]["log_records"].as_u64() > Some(5), "{info}");
    assert_eq!(info["counters"]["log_lost_bytes"], 0);

    let records = records(&daemon);
    let (received, missing) = account(&records);
    assert_eq!(
        (received.len() as u64, missing),
        (end.as_u64().expect("a number"), 0)
    );
    assert!(text_of(&received).ends_with("LED ON\r\nOK\r\n> "));
    assert_eq!(say(&daemon, &["log", "board0", "--raw"]), received);
    assert_eq!(
        fs::read(folder.path().join("b.raw")).expect("raw"),
        received
    );
    let sent: Vec<u8> = records
        .iter()
        .filter(|record| !record["sent"].is_null())
        .flat_map(|record| bytes(&record["sent"]))
        .collect();
    assert_eq!(text_of(&sent), "LED ON\r");
    let events: Vec<&str> = records
        .iter()
        .filter_map(|record| record["event"]["event"].as_str())
        .collect();
    assert_eq!(events, ["log", "present", "ask"]);

    let shown = text_of(&say(&daemon, &["log", "board0", "--since", "1h"]));
    assert!(
        shown.contains("Z < OK\n") && !shown.contains("Z > "),
        "{shown}"
    );
    let later = say(
        &daemon,
        &["log", "board0", "--since", "2100-01-01T00:00:00Z"],
    );
    assert_eq!(text_of(&later), "");
    let until = say(
        &daemon,
        &["log", "board0", "--until", "2000-01-01T00:00:00Z"],
    );
    assert_eq!(text_of(&until), "");
}

#[test]
fn a_port_without_a_log_says_so() {
    let daemon = Daemon::start(&["board0=sim:interpreter"]).expect("up");
    let assert = uart(&daemon).args(["log", "board0"]).assert().code(1);
    let said = text_of(&assert.get_output().stderr);
    assert!(said.contains("keeps no text log"), "{said}");
    let assert = uart(&daemon)
        .args(["log", "board0", "--since", "soon"])
        .assert();
    assert.code(2);
    assert!(info(&daemon)["counters"]["log_records"].is_null());
}

#[test]
fn a_flood_is_in_the_rotated_files_once_and_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let logs = [
        "path = \"DIR/b.log\"\nrotate_size = \"1MiB\"\nsync = \"100ms\"",
        "path = \"DIR/b.raw\"\nformat = \"raw\"\nrotate_size = \"300KiB\"",
    ];
    let flood = "sim:flood?rate=2MB/s&bytes=6000000";
    // More history than the flood has bytes: how fast this disk is does not matter.
    let daemon = Daemon::with_config(&config(folder.path(), flood, "16MiB", &logs)).expect("up");
    wait_for(&daemon, "the flood is written", |info| {
        info["history_end"] == 6_000_000 && info["counters"]["log_lag"] == 0
    });
    let history = say(
        &daemon,
        &[
            "watch", "board0", "--from", "start", "--raw", "--bytes", "6000000",
        ],
    );
    assert_eq!(history.len(), 6_000_000);

    let raw = files(folder.path(), "b", "raw");
    assert!(raw.len() >= 20, "{raw:?}");
    let all: Vec<u8> = raw
        .iter()
        .flat_map(|path| fs::read(path).expect("a file"))
        .collect();
    assert!(all == history, "the raw files are not what was received");
    let text = files(folder.path(), "b", "log");
    assert!(text.len() >= 5, "{text:?}");
    for path in &text {
        let content = fs::read(path).expect("a file");
        assert!(content.len() <= 1 << 20 && content.ends_with(b"\n"));
    }
    let back = say(&daemon, &["log", "board0", "--raw"]);
    assert!(back == history, "the log is not what was received");
}

#[test]
fn a_log_that_goes_on_growing_is_read_to_where_it_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let logs = ["path = \"DIR/b.log\""];
    let flood = "sim:flood?rate=500kB/s";
    let daemon = Daemon::with_config(&config(folder.path(), flood, "16MiB", &logs)).expect("up");
    let grows_to = |bytes: u64| {
        wait_for(&daemon, "it is written", |info| {
            info["counters"]["log_bytes"].as_u64() > Some(bytes)
        })["counters"]["log_bytes"]
            .as_u64()
            .expect("a number")
    };
    let written = grows_to(500_000);
    let mut session = Session::open(daemon.address());
    let mut wanted = json!({"log": "board0"});
    let mut page = session.request(wanted.clone());
    let end = page["end"].clone();
    grows_to(2 * written);
    wanted["to"] = end.clone();
    let mut pages = 1;
    while page["more"] == true {
        assert_ne!(page["next"], end);
        wanted["after"] = page["next"].clone();
        page = session.request(wanted.clone());
        pages += 1;
    }
    assert_eq!(page["next"], end, "all up to it, and nothing beyond it");
    assert!(pages > 3, "{pages}");
    wanted["to"] = json!("somewhere");
    let refused = session.request(wanted);
    assert_eq!(refused["error"], "bad-message", "{refused}");
    // And so does the command, which would follow this port for ever.
    assert!(say(&daemon, &["log", "board0", "--raw"]).len() > 100_000);
}

#[test]
fn following_a_log_goes_on_where_it_was_when_the_connection_is_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let logs = ["path = \"DIR/b.log\""];
    let board = "sim:interpreter";
    let daemon = Daemon::with_config(&config(folder.path(), board, "1MiB", &logs)).expect("up");
    let relay = Relay::to(daemon.address()).expect("a relay");
    let address = relay.address().to_string();
    let follow = |more: &[&str]| {
        let mut command = uart_command(&address).expect("the binaries");
        command.args(["log", "board0", "--follow", "--raw"]);
        Process::spawn(command.args(more)).expect("started")
    };
    let (going_on, mut ending) = (follow(&[]), follow(&["--no-reconnect"]));
    for process in [&going_on, &ending] {
        process.stdout.wait_for("> ").expect("the log so far");
    }
    relay.cut();
    relay.wait_refused(1).expect("it tries again");
    say(&daemon, &["ask", "board0", "ID?"]);
    relay.mend();
    going_on
        .stdout
        .wait_for("1.0 #00000000\r\n> ")
        .expect("the rest");
    let said = going_on.stderr.text();
    assert!(
        said.contains("connection lost") && said.contains("connected again"),
        "{said}"
    );
    assert_eq!(ending.wait().expect("ended").code(), Some(3));
    let end = info(&daemon)["history_end"].clone();
    assert_eq!(going_on.stdout.bytes().len() as u64, end, "once each");
}

#[test]
fn a_killed_daemon_leaves_a_log_that_the_next_goes_on_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let logs = ["path = \"DIR/b.log\""];
    let config = config(folder.path(), "sim:flood?rate=500kB/s", "16MiB", &logs);
    let file = folder.path().join("b.log");
    for life in 1..=3 {
        let mut daemon = Daemon::with_config(&config).expect("up");
        wait_for(&daemon, "something is written", |info| {
            info["counters"]["log_bytes"].as_u64() > Some(100_000)
        });
        daemon.process().signal(Signal::KILL).expect("killed");
        daemon.wait().expect("ended");
        // As a kill in the middle of a write would leave it.
        let whole = fs::read(&file).expect("the log");
        fs::write(&file, &whole[..whole.len() - life]).expect("cut");
    }
    let daemon = Daemon::with_config(&config).expect("up");
    wait_for(&daemon, "something is written", |info| {
        info["counters"]["log_bytes"].as_u64() > Some(1000)
    });
    let mut lives = 0;
    let mut damaged = 0;
    let mut life = Vec::new();
    for record in records(&daemon) {
        match record["event"]["event"].as_str() {
            Some("log") => {
                lives += 1;
                assert_eq!(account(&life).1, 0, "no life has a hole");
                life.clear();
            }
            Some("damaged") => damaged += 1,
            _ => life.push(record),
        }
    }
    assert_eq!((lives, damaged), (4, 3));
}

#[test]
fn a_full_disk_stops_nobody_and_its_price_is_told() {
    for (history, is_all_there) in [("16MiB", true), ("16KiB", false)] {
        let folder = tempfile::tempdir().expect("a folder");
        let logs = ["path = \"DIR/b.log\"\nsync = \"never\""];
        let file = folder.path().join("uartd.toml");
        let flood = "sim:flood?rate=500kB/s&bytes=1000000";
        fs::write(&file, config(folder.path(), flood, history, &logs)).expect("written");
        let mut daemon = start_with_little_room(&file);
        daemon.wait_log("the log cannot be written").expect("told");
        let full = wait_for(&daemon, "the flood goes on", |info| {
            info["history_end"] == 1_000_000
                && info["counters"]["log_write_errors"].as_u64() > Some(0)
        });
        assert!(full["counters"]["log_lag"].as_u64() > Some(0), "{full}");
        assert!(
            fs::metadata(folder.path().join("b.log"))
                .expect("the log")
                .len()
                <= 200 * 512
        );

        lift_limit(daemon.process().id());
        let after = wait_for(&daemon, "the log is written again", |info| {
            info["counters"]["log_lag"] == 0
        });
        daemon.wait_log("the log is written again").expect("told");
        let records = records(&daemon);
        let (all, missing) = account(&records);
        assert_eq!(all.len(), 1_000_000);
        assert_eq!(after["counters"]["log_lost_bytes"], missing);
        assert_eq!(missing == 0, is_all_there, "{missing} bytes are missing");
        let trouble = records
            .iter()
            .filter(|record| record["event"]["event"] == "trouble");
        assert_eq!(trouble.count(), 1);
    }
}

/// What is counted of a log is what is in its files, and what they say is missing, also after the disk was full for so long
/// that more happened than is remembered.
#[test]
fn every_counter_of_a_log_is_what_is_in_its_files() {
    const TOTAL: u64 = 3 << 20;
    let folder = tempfile::tempdir().expect("a folder");
    let logs = ["path = \"DIR/b.log\"\nwhat = \"all\"\nsync = \"never\"\nrotate_size = \"1GiB\""];
    let file = folder.path().join("uartd.toml");
    let board = "sim:echo";
    fs::write(&file, config(folder.path(), board, "16KiB", &logs)).expect("written");
    let mut daemon = start_with_little_room(&file);
    let mut session = Session::open(daemon.address());
    session.request(json!({"open": "board0", "mode": "write"}));
    let line = format!("{}\n", "x".repeat(1023));
    let mut offset = 0;
    while offset < TOTAL {
        session.write(offset, &line);
        session.read_until("\n");
        offset += line.len() as u64;
    }
    wait_for(
        &daemon,
        "a write fails, and what is behind is counted",
        |info| {
            let count = |name: &str| info["counters"][name].as_u64().expect("a number");
            // Read while the disk is full; it may take a little more now and then.
            let in_log = say(&daemon, &["log", "board0", "--raw"]).len() as u64;
            count("log_write_errors") > 0
                && count("log_lag") + count("log_lost_bytes") == TOTAL - in_log
        },
    );

    lift_limit(daemon.process().id());
    let read = || fs::read_to_string(folder.path().join("b.log")).expect("the log");
    let after = wait_for(&daemon, "all is written and counted", |info| {
        let (counters, text) = (&info["counters"], read());
        counters["log_lag"] == 0
            && counters["log_records"] == text.lines().count()
            && counters["log_bytes"] == text.len()
    });
    let counters = &after["counters"];
    let text = read();
    let events = |kind: &str| -> Vec<Value> {
        let named = format!("{{\"event\":\"{kind}\"");
        let found = text
            .lines()
            .filter_map(|line| line.find(&named).map(|at| &line[at..]));
        found
            .map(|event| serde_json::from_str(event).expect("JSON"))
            .collect()
    };
    let sum = |kind: &str, count: fn(&Value) -> Option<u64>| -> u64 {
        let events = events(kind);
        events
            .iter()
            .map(|event| count(event).expect("a number"))
            .sum()
    };
    let missing = sum("gap", |gap| {
        Some(gap["to"].as_u64()? - gap["from"].as_u64()?)
    });
    let missed = sum("missed", |missed| missed["records"].as_u64());
    assert!(missing > 0 && missed > 0, "{counters}");
    assert_eq!(counters["log_lost_bytes"], missing, "{counters}");
    assert_eq!(counters["log_lost_records"], missed, "{counters}");
    let errors = daemon.log().matches("the log cannot be written").count() as u64;
    assert!(
        counters["log_write_errors"].as_u64() >= Some(errors),
        "{counters}"
    );
}

/// A daemon whose files can have 100 KiB.
fn start_with_little_room(file: &Path) -> Daemon {
    // A limit on the size of files that this process may write (in units of 512 bytes) is a full disk that needs no
    // mount: the write that crosses it is cut short, and the next one fails.
    let mut shell = Command::new("sh");
    shell
        .args([
            "-c",
            "trap '' XFSZ; ulimit -S -f 200; exec \"$0\" --config \"$1\"",
        ])
        .arg(&binaries().expect("the binaries").uartd)
        .arg(file);
    Daemon::run(&mut shell, 1).expect("up")
}

/// Files may be as long as they like again.
fn lift_limit(pid: u32) {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    prlimit(pid, Resource::Fsize, unlimited).expect("the limit");
}

#[test]
fn a_graceful_stop_writes_everything() {
    let folder = tempfile::tempdir().expect("a folder");
    let logs = [
        "path = \"DIR/b.log\"",
        "path = \"DIR/b.cast\"\nformat = \"asciicast\"",
    ];
    let mut daemon =
        Daemon::with_config(&config(folder.path(), "sim:interpreter", "1MiB", &logs)).expect("up");
    say(&daemon, &["ask", "board0", "ID?"]);
    let end = info(&daemon)["history_end"].clone();
    daemon.stop().expect("stopped");
    let text = fs::read_to_string(folder.path().join("b.log")).expect("the log");
    let last = text.lines().last().expect("a record");
    assert!(
        last.ends_with(&format!("! {end} {{\"event\":\"stop\"}}")),
        "{text}"
    );
    assert!(text.contains("uart-interpreter 1.0"), "{text}");
    let cast = fs::read_to_string(folder.path().join("b.cast")).expect("the recording");
    assert!(cast.contains("uart-interpreter 1.0"), "{cast}");
}

#[test]
fn a_reload_that_changes_a_ports_logs_loses_no_record_between_the_old_and_the_new() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("uartd.toml");
    let write = |logs: &[&str]| {
        let flood = "sim:flood?rate=200kB/s";
        let text = config(folder.path(), flood, "4MiB", logs);
        fs::write(&file, text).expect("written");
    };
    write(&["path = \"DIR/a.log\""]);
    let mut command = uartd_command().expect("the binaries");
    let daemon = Daemon::run(command.arg("--config").arg(&file), 1).expect("up");
    let reload = |logs: &[&str]| {
        wait_for(&daemon, "something is written", |info| {
            info["counters"]["log_bytes"].as_u64() > Some(50_000)
        });
        write(logs);
        let output = uartd_command()
            .expect("the binaries")
            .args(["reload", "--gateway", daemon.gateway()])
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{output:?}");
        text_of(&output.stdout)
    };
    // Changed to another file; then that one stays as it is, and one is added; then there is none.
    let changes = reload(&["path = \"DIR/b.log\""]);
    assert!(changes.contains("board0 changed: log"), "{changes}");
    reload(&["path = \"DIR/b.log\"", "path = \"DIR/c.log\""]);
    reload(&["path = \"DIR/c.log\""]);
    reload(&[]);
    wait_for(&daemon, "none is kept", |info| {
        info["counters"]["log_bytes"].is_null()
    });

    let records = |name: &str| -> Vec<String> {
        let path = folder.path().join(name);
        let deadline = std::time::Instant::now() + uartnet_tests::DEADLINE;
        loop {
            let text = fs::read_to_string(&path).expect("a log");
            if text.ends_with("{\"event\":\"stop\"}\n") {
                return text.lines().map(str::to_owned).collect();
            }
            assert!(std::time::Instant::now() < deadline, "{name} has no end");
            std::thread::yield_now();
        }
    };
    let offset = |line: &String| -> u64 {
        let word = line.split(' ').nth(2).expect("an offset");
        word.parse().expect("a number")
    };
    let [a, b, c] = ["a.log", "b.log", "c.log"].map(records);
    for log in [&a, &b, &c] {
        assert!(!log.iter().any(|line| line.contains("\"gap\"")), "a gap");
    }
    let first = |log: &[String]| {
        let mut received = log.iter().filter(|line| line.contains("Z < "));
        received.next().map(offset)
    };
    assert_eq!(first(&a), Some(0));
    assert_eq!(first(&b), a.last().map(offset), "b goes on where a ends");
    assert!(first(&c) < b.last().map(offset), "b goes on beside c");
    assert!(c.last().map(offset) > b.last().map(offset));
}
