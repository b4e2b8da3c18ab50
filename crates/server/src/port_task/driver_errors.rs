//! What a driver counts (TIOCGICOUNT), from the device through the port's task to what `uart info --json` shows.

use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use tokio::task::unconstrained;
use uart_iface::ErrorCounters;
use uart_iface::testing::{Bench, Call, Fault};
use uartnet_hub::Access;

use super::PortTask;
use super::tests::{config, gateway_of};
use crate::access::{Audit, Clock, Gate, Identity, Origin, Rules, Visitor};
use crate::config::StreamOptions;
use crate::endpoint::{Connection, ENDPOINTS, Output};
use crate::gateway::Gateway;
use crate::nudge::Nudge;

/// What `info` says of the counters.
fn counters(gateway: &Rc<Gateway>) -> Value {
    let now = Instant::now();
    let clock = Clock::From(now, SystemTime::UNIX_EPOCH);
    let rules = Rules {
        hello_timeout: Duration::from_secs(10),
        max_unauthenticated: 1,
    };
    let gate = Gate::new(gateway.clone(), clock, rules, None, Audit::default()).unwrap();
    let identity = Identity::anonymous(Some(Access::Read));
    let arrival = gate.arrive(
        now,
        Origin::of(None),
        "peer".to_owned(),
        "uartnet",
        identity,
    );
    let visitor = Visitor::new(now, arrival.unwrap(), Rc::<Nudge>::default());
    let connection = Connection {
        visitor,
        port: None,
        options: StreamOptions::default(),
    };
    let native = ENDPOINTS.iter().find(|it| it.name() == "uartnet").unwrap();
    let mut session = native.session(now, connection);
    session.handle_input(now, br#"24_{"hello":"uartnet/1"}20_{"info":"board0"}"#);
    let mut out = Output::new();
    session.poll_output(now, &mut out);
    let said = String::from_utf8(out.take()).unwrap();
    let (_, details) = said.rsplit_once("_{\"port\":").unwrap();
    let details: Value = serde_json::from_str(&format!("{{\"port\":{details}")).unwrap();
    details["port"]["counters"].clone()
}

#[test]
fn what_the_driver_counts_is_told_to_who_asks() {
    let told = [
        "framing_errors",
        "parity_errors",
        "overruns",
        "buffer_overruns",
        "breaks",
    ];
    crate::runtime().unwrap().block_on(async {
        let gateway = Rc::new(gateway_of("/dev/ttyTEST", config()));
        let bench = Bench::new();
        let handle = gateway.ports()[0].clone();
        let task = PortTask::new(handle, bench.device());
        let running = tokio::task::spawn_local(unconstrained(task));
        while bench.openings().is_empty() {
            tokio::task::yield_now().await;
        }
        tokio::task::yield_now().await;
        for name in told {
            assert_eq!(counters(&gateway)[name], 0, "{name}");
        }
        bench.set_errors(ErrorCounters {
            framing: 1,
            parity: 20,
            overrun: 300,
            buffer_overrun: 4000,
            breaks: 50_000,
        });
        let after = counters(&gateway);
        for (name, count) in told.iter().zip([1, 20, 300, 4000, 50_000]) {
            assert_eq!(after[name], json!(count), "{name}");
        }
        // Nothing stands for what nobody can count any more.
        bench.plan(Call::Open, 0, Fault::Busy);
        bench.unplug();
        while bench.openings().iter().any(|opening| !opening.closed) {
            tokio::task::yield_now().await;
        }
        assert_eq!(counters(&gateway)[told[0]], Value::Null);
        running.abort();
    });
}
