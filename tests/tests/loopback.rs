//! The emulated plug: what is sent comes back, and the modem lines are connected to each other.

use serde_json::{Value, json};
use uartnet_tests::{Daemon, Session, uart};

fn inputs(daemon: &Daemon) -> Value {
    let output = uart(daemon)
        .args(["info", "plug", "--json"])
        .assert()
        .code(0)
        .get_output()
        .stdout
        .clone();
    let info: Value = serde_json::from_slice(&output).expect("JSON");
    info["inputs"].clone()
}

#[test]
fn signals_driven_are_signals_observed() {
    let daemon = Daemon::start(&["plug=loopback:"]).unwrap();
    // Nobody reads the port: they are looked at because somebody asks.
    for (dtr, rts) in [("off", "off"), ("on", "off"), ("off", "on"), ("on", "on")] {
        uart(&daemon)
            .args([
                "signal",
                "plug",
                &format!("dtr={dtr}"),
                &format!("rts={rts}"),
            ])
            .assert()
            .code(0);
        let inputs = inputs(&daemon);
        assert_eq!(inputs["cts"], rts == "on", "rts={rts}: {inputs}");
        assert_eq!(inputs["dsr"], dtr == "on", "dtr={dtr}: {inputs}");
        assert_eq!(inputs["dcd"], dtr == "on", "dtr={dtr}: {inputs}");
    }
}

#[test]
fn a_change_of_signals_is_told_to_whoever_watches() {
    let daemon = Daemon::start(&["plug=loopback:"]).unwrap();
    let mut session = Session::open(daemon.address());
    session.request(json!({"open": "plug"}));
    let done = session.request(json!({"signals": "plug", "rts": false}));
    assert_eq!(done["outputs"]["rts"], false, "{done}");
    let event = session
        .control(|control| control["event"] == "signals" && control["inputs"]["cts"] == false);
    assert_eq!(event["port"], "plug");
}

#[test]
fn bytes_come_back_and_sequences_run() {
    let daemon = Daemon::with_config(
        "[[port]]\nname = \"plug\"\ndevice = \"loopback:\"\n\
         [[port.sequence]]\nname = \"reset\"\nsteps = [\"dtr=off\", \"rts=off\", \"10ms\", \"dtr=on\"]\n\
         [[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\n",
    )
    .unwrap();
    let mut session = Session::open(daemon.address());
    session.request(json!({"open": "plug", "mode": "write"}));
    session.write(0, "there and back");
    assert_eq!(session.read_until("back").1, b"there and back");
    uart(&daemon)
        .args(["run", "plug", "reset"])
        .assert()
        .code(0);
    let inputs = inputs(&daemon);
    assert_eq!(
        (&inputs["dsr"], &inputs["cts"]),
        (&json!(true), &json!(false)),
        "{inputs}"
    );
    uart(&daemon)
        .args(["run", "plug", "no-such"])
        .assert()
        .code(1);
}
