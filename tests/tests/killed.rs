//! Processes killed with `kill -9` at random moments: whoever takes over goes on where the dead one was, and what cannot be
//! known any more is said.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uartnet_tests::{
    DEADLINE, Daemon, Process, Relay, Session, Signal, differs_at, exit_code, uart, uart_command,
    uartd_command,
};

/// Moments that are the same in every run.
struct Moments(u64);

impl Moments {
    fn below(&mut self, count: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % count
    }
}

fn info(daemon: &Daemon, port: &str) -> Value {
    let assert = uart(daemon).args(["info", port, "--json"]).assert().code(0);
    serde_json::from_slice(&assert.get_output().stdout).unwrap()
}

#[test]
fn a_client_killed_again_and_again_gets_10_mb_each_way_once() {
    const TOTAL: u64 = 10_000_000;
    const KILLS: u64 = 12;
    let daemon = Daemon::start(&["board1=sim:echo"]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("received");
    let mut command = Command::new(env!("CARGO_BIN_EXE_resumer"));
    command
        .args([daemon.gateway(), "board1"])
        .arg(&file)
        .arg(TOTAL.to_string());
    let mut moments = Moments(0x5eed);
    for kill in 0..KILLS {
        let moment = (kill * TOTAL + moments.below(TOTAL)) / (KILLS + 1);
        let mut client = Process::spawn(&mut command).unwrap();
        let begun = Instant::now();
        while fs::metadata(&file).map_or(0, |file| file.len()) < moment {
            assert!(client.ended().unwrap().is_none(), "{}", client.said());
            assert!(begun.elapsed() < DEADLINE, "stuck before {moment}");
            thread::sleep(Duration::from_micros(200)); // a file that grows tells nobody
        }
        client.signal(Signal::KILL).unwrap();
        assert_eq!(exit_code(client.wait().unwrap()), 128 + 9);
    }
    let mut client = Process::spawn(&mut command).unwrap();
    assert_eq!(exit_code(client.wait().unwrap()), 0, "{}", client.said());

    let received = fs::read(&file).unwrap();
    assert_eq!(received.len() as u64, TOTAL);
    assert_eq!(differs_at(&received), None);
    // The board got each byte once, whatever became of who had sent it.
    let counters = &info(&daemon, "board1")["counters"];
    for (counter, count) in [
        ("bytes_written", TOTAL),
        ("bytes_read", TOTAL),
        ("bytes_write_lost", 0),
        ("gap_bytes", 0),
        ("readers", 0),
    ] {
        assert_eq!(counters[counter], count, "{counter}: {counters}");
    }
}

#[test]
fn a_watcher_of_a_daemon_that_is_killed_is_told_the_new_epoch_and_what_it_missed() {
    const LIVES: usize = 4;
    const HISTORY: u64 = 4096;
    let mut moments = Moments(0xdead);
    let start = |address: &str| {
        let mut command = uartd_command().unwrap();
        command.args(["--listen", &format!("uartnet={address}")]);
        Daemon::run(command.arg("board1=sim:echo,history=4KiB"), 1).unwrap()
    };
    let mut daemon = start("127.0.0.1:0");
    let address = daemon.address();
    let relay = Relay::to(address).unwrap();
    let mut command = uart_command(&relay.address().to_string()).unwrap();
    let watcher = Process::spawn(command.args(["watch", "board1", "--json"])).unwrap();
    let line = format!("{}\n", "x".repeat(1023));
    // The epochs, and how many bytes each had before the watcher came (back).
    let mut lives = Vec::new();
    let mut before = 0;
    for life in 1..=LIVES {
        let again = |text: &str| text.matches("\"event\":\"opened\"").count() == life;
        watcher.stdout.wait("the port to be opened", again).unwrap();
        let mut session = Session::open(address);
        let epoch = session.welcome["epoch"].as_str().unwrap();
        lives.push((epoch.to_owned(), before));
        session.request(json!({"open": "board1", "mode": "write"}));
        let mark = format!("life {life}\n");
        session.write(0, &mark);
        watcher.stdout.wait_for(mark.trim_end()).unwrap();
        if life == LIVES {
            break;
        }
        // It dies while bytes flow, and the next life forgets some before the watcher is back.
        let mut offset = mark.len() as u64;
        for _ in 0..moments.below(200) {
            session.write(offset, &line);
            offset += line.len() as u64;
        }
        daemon.process().signal(Signal::KILL).unwrap();
        assert_eq!(exit_code(daemon.wait().unwrap()), 128 + 9);
        relay.cut();
        daemon = start(&address.to_string());
        let mut session = Session::open(address);
        session.request(json!({"open": "board1", "mode": "write"}));
        before = 0;
        for _ in 0..8 + moments.below(8) {
            session.write(before, &line);
            session.read_until("\n");
            before += line.len() as u64;
        }
        relay.mend();
    }

    let text = watcher.stdout.text();
    let mut records = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut next_of = |kind: &str| {
        let found = records.find(|record| record["event"] == kind);
        found.unwrap_or_else(|| panic!("no more {kind} in {text}"))
    };
    for (life, (epoch, before)) in lives.iter().enumerate() {
        assert_eq!(next_of("opened")["epoch"], *epoch);
        assert!(lives[..life].iter().all(|(earlier, _)| earlier != epoch));
        if life > 0 {
            let news = next_of("new-epoch");
            assert!(news["had"].as_u64() >= Some(7), "{news}");
            // What the new life still had begins where the gap ends.
            let mut missed_to = news["offset"].as_u64().unwrap();
            if missed_to == 0 {
                let gap = next_of("gap");
                assert_eq!(gap["from"], 0, "{gap}");
                missed_to = gap["to"].as_u64().unwrap();
            }
            assert_eq!(missed_to, before - HISTORY);
        }
    }
    let marks: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|record: &Value| {
            record["text"]
                .as_str()
                .is_some_and(|text| text.starts_with("life"))
        })
        .collect();
    for (life, ((_, before), mark)) in lives.iter().zip(&marks).enumerate() {
        assert_eq!(
            mark["text"],
            format!("life {}", life + 1),
            "each once, in order"
        );
        assert_eq!(mark["offset"], *before, "{mark}");
    }
    assert_eq!(marks.len(), LIVES);
}
