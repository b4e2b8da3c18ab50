//! Every call to a device × every way it can end, at several moments of a port's life with clients that write, ask and
//! control: whatever fails, every byte and every request is accounted for, and the device comes back as it was.

use std::rc::Rc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tokio::task::unconstrained;
use uart_iface::testing::{Bench, CALLS, Call, FAULTS, Fault};
use uart_iface::{FlowControl, OutputChange, OutputSignals, Purge};
use uartnet_hub::{
    ActionDone, AskOutcome, Control, DeviceState, HubConfig, Notice, OnLoss, Refusal,
};

use super::life::Waits;
use super::tests::{Watcher, config, handle_with};
use super::*;

/// Not so many that it is slow, and enough that the loss finds some in the queue.
const WRITES: usize = 24;
const WRITE_LEN: usize = 11;
const ASKS: usize = 4;

/// What a client wrote: in which order the device should hear it, as far as it does.
#[derive(Debug, Default)]
struct Written {
    /// For each byte accepted, which opening of the device it was meant for.
    meant_for: Vec<usize>,
    /// The write offsets that were told as lost.
    lost: Vec<(u64, u64)>,
    /// The write offset below which all was told.
    told: u64,
}

impl Written {
    fn is_lost(&self, offset: usize) -> bool {
        let at = offset as u64;
        self.lost.iter().any(|&(from, to)| (from..to).contains(&at))
    }

    fn settled(&self) -> u64 {
        let lost = self.lost.iter().map(|&(_, to)| to).max();
        self.told.max(lost.unwrap_or(0))
    }
}

/// The byte at a write offset; asks are upper case, so that what is heard can be told apart.
fn byte_at(offset: usize) -> u8 {
    b'a' + (offset % 26) as u8
}

/// What a run came to.
#[derive(Debug)]
struct Run {
    written: Written,
    asks: Vec<AskOutcomeKind>,
    controls: usize,
    states: Vec<DeviceState>,
    /// As told with the last state.
    losses: u64,
    bench: Bench,
    handle: Rc<PortHandle>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AskOutcomeKind {
    Reply,
    Other,
}

fn run(plan: &[(Call, usize, Fault)], keep: bool) -> Run {
    let bench = Bench::new();
    bench.answers(|line| [line, b"\r\nok\r\n"].concat());
    for &(call, after, fault) in plan {
        bench.plan(call, after, fault);
    }
    let runtime = crate::runtime().unwrap();
    let limit = Duration::from_secs(60);
    let run = async { uartnet_reactor::timeout(limit, live(bench, keep)).await };
    runtime
        .block_on(run)
        .unwrap_or_else(|_| panic!("{plan:?}: it hangs"))
}

/// No test is to wait for a device that comes back.
static SOON: Waits = Waits {
    first: Duration::from_millis(1),
    unseen: Duration::from_millis(1),
    seen: Duration::from_millis(1),
    apart: Duration::ZERO,
};

async fn live(bench: Bench, keep: bool) -> Run {
    let on_loss = if keep { OnLoss::Keep } else { OnLoss::Discard };
    let handle = handle_with(HubConfig {
        write_queue: 4096,
        on_loss,
        ..config()
    });
    let mut client = Watcher::new(&handle);
    let task = PortTask::with_waits(handle.clone(), bench.device(), &SOON);
    let running = tokio::task::spawn_local(unconstrained(task));
    let now = Instant::now();
    client
        .client
        .with_hub(now, |hub, id| hub.watch_errors(id, true));

    let mut written = Written::default();
    let (mut asks, mut controls, mut states) = (Vec::new(), 0, Vec::new());
    let mut last_losses = 0;
    let (mut asked, mut controlled) = (0, 0);
    let control = [
        Control::SetLine("9600-8n1".parse().unwrap()),
        Control::SetOutputs(OutputChange {
            dtr: Some(false),
            rts: None,
        }),
        Control::Break(Duration::from_millis(1)),
        Control::Purge(Purge::Receive),
        Control::SetLine("19200-8n1-rtscts".parse().unwrap()),
        Control::SetOutputs(OutputChange {
            dtr: None,
            rts: Some(false),
        }),
    ];
    for step in 0..WRITES {
        write(&client, &bench, &mut written).await;
        if step % (WRITES / ASKS) == 0 {
            client.ask("ASK");
            asked += 1;
        }
        if let Some(control) = control.get(step / 2).filter(|_| step % 2 == 0) {
            client.control(control.clone());
            controlled += 1;
        }
        // Sometimes the port's task has a turn in between, sometimes much has gathered.
        if step % 3 == 0 {
            tokio::task::yield_now().await;
        }
    }
    // Until every request has its end, and the device is there.
    let is_open = |state: Option<&DeviceState>| matches!(state, Some(DeviceState::Present { .. }));
    while asks.len() < asked
        || controls < controlled
        || (written.settled() as usize) < written.meant_for.len()
        || !is_open(states.last())
    {
        match client.notice(Some).await {
            Notice::AskDone { outcome, .. } => asks.push(match outcome {
                AskOutcome::Reply { .. } => AskOutcomeKind::Reply,
                _ => AskOutcomeKind::Other,
            }),
            Notice::ControlDone { .. } => controls += 1,
            Notice::Written { up_to } => written.told = up_to,
            Notice::WriteLost { from, to, .. } => written.lost.push((from, to)),
            Notice::State { state, losses, .. } => {
                states.push(state);
                last_losses = losses;
            }
            _ => {}
        }
    }
    assert!(!running.is_finished(), "the port's task has ended");
    running.abort();
    let ended = running.await.expect_err("it was cut");
    assert!(ended.is_cancelled(), "{ended}");
    while let Some(notice) = client.client.poll_notice(Instant::now(), usize::MAX) {
        let again = matches!(
            notice,
            Notice::AskDone { .. } | Notice::ControlDone { .. } | Notice::WriteLost { .. }
        );
        assert!(!again, "one end too many: {notice:?}");
        if let Notice::State { state, losses, .. } = notice {
            states.push(state);
            last_losses = losses;
        }
    }
    assert_eq!((asks.len(), controls), (asked, controlled));
    Run {
        written,
        asks,
        controls,
        states,
        losses: last_losses,
        bench,
        handle,
    }
}

/// Writes the next bytes; while the device is away, nothing is accepted.
async fn write(client: &Watcher, bench: &Bench, written: &mut Written) {
    let from = written.meant_for.len();
    let bytes: Vec<u8> = (from..from + WRITE_LEN).map(byte_at).collect();
    let accepted = client.client.with_hub(Instant::now(), |hub, id| {
        hub.write(Instant::now(), id, &bytes)
    });
    match accepted {
        Ok(()) => {
            let opening = bench.openings().len();
            written.meant_for.extend([opening; WRITE_LEN]);
        }
        Err(Refusal::Absent { .. }) => tokio::task::yield_now().await,
        Err(refusal) => panic!("{refusal}"),
    }
}

/// What must be true whatever has failed.
fn check(run: &Run, keep: bool) {
    let Run {
        written,
        bench,
        handle,
        ..
    } = run;
    assert_eq!(bench.misuse(), [""; 0]);
    let openings = bench.openings();
    assert!(openings.iter().all(|opening| opening.closed));

    // Written and lost are all that was accepted, and the device heard exactly what was not lost, in order.
    let accepted = written.meant_for.len();
    assert_eq!(written.settled() as usize, accepted, "{written:?}");
    let lost: u64 = written.lost.iter().map(|(from, to)| to - from).sum();
    let counters = handle.info().counters;
    assert_eq!(counters.bytes_write_lost, lost);
    let all_heard: usize = openings.iter().map(|opening| opening.heard.len()).sum();
    assert_eq!(counters.bytes_written as usize, all_heard);
    let mut expected = (0..accepted).filter(|&offset| !written.is_lost(offset));
    for (number, opening) in openings.iter().enumerate() {
        let writes = opening
            .heard
            .iter()
            .filter(|byte| byte.is_ascii_lowercase());
        for &byte in writes {
            let offset = expected.next().expect("it was accepted");
            assert_eq!(byte, byte_at(offset), "at {offset}");
            if !keep {
                let meant_for = written.meant_for[offset];
                assert_eq!(
                    meant_for,
                    number + 1,
                    "byte {offset} reached another opening"
                );
            }
        }
    }
    assert_eq!(expected.next(), None, "told as written, and not heard");
    if keep {
        assert_eq!(lost, 0);
    }

    // It is opened again as it was.
    for pair in openings.windows(2) {
        assert_eq!(pair[1].with, (pair[0].line, pair[0].outputs));
    }
}

fn absent_reasons(run: &Run) -> Vec<String> {
    let reasons = run.states.iter().filter_map(|state| match state {
        DeviceState::Absent { reason } => Some(reason.clone()),
        DeviceState::Present { .. } => None,
    });
    reasons.collect()
}

/// Whether the device is given up for it: not where the port remains as good as it was.
fn ends_the_opening(call: Call, fault: Fault) -> bool {
    let carries = matches!(call, Call::Read | Call::Write | Call::Inputs | Call::Status);
    call == Call::Open || fault == Fault::Gone || fault == Fault::Io && carries
}

#[test]
fn without_a_fault_everything_is_done() {
    for keep in [false, true] {
        let run = run(&[], keep);
        check(&run, keep);
        assert_eq!(run.bench.openings().len(), 1);
        assert_eq!(run.asks, [AskOutcomeKind::Reply; ASKS]);
        assert_eq!(run.controls, 6);
        let last = &run.bench.openings()[0];
        assert_eq!(last.line.flow, FlowControl::RtsCts);
        let off = OutputSignals {
            dtr: false,
            rts: false,
        };
        assert_eq!(last.outputs, off);
        for call in CALLS {
            assert!(run.bench.calls().contains(&call), "{call:?} is never made");
        }
    }
}

#[test]
fn every_call_can_fail_in_every_way_at_any_moment() {
    let mut happened = 0;
    for call in CALLS {
        for fault in FAULTS.into_iter().filter(|fault| fault.fits(call)) {
            for after in [0, 1, 2, 3, 5, 8, 13] {
                for keep in [false, true] {
                    let run = run(&[(call, after, fault)], keep);
                    check(&run, keep);
                    if run.bench.planned() > 0 {
                        continue; // it was not called that often
                    }
                    happened += 1;
                    let lost = ends_the_opening(call, fault);
                    let what = format!("{call:?} {fault:?} after {after}: {:?}", run.states);
                    let openings = run.bench.openings().len();
                    let lost_open = lost && call != Call::Open;
                    assert_eq!(openings, if lost_open { 2 } else { 1 }, "{what}");
                    // It may be back before the client looks, which then is told how often it was away; unless it had
                    // never been there.
                    let was_present = lost_open && (call, after) != (Call::Status, 0);
                    assert_eq!(run.losses, u64::from(was_present), "{what}");
                    for reason in absent_reasons(&run) {
                        let known = [
                            "cannot set up",
                            "planned",
                            "not opened yet",
                            "no such device",
                            "busy",
                            "os error",
                        ];
                        assert!(known.iter().any(|it| reason.contains(it)), "{what}");
                    }
                }
            }
        }
    }
    assert!(happened > 180, "only {happened} faults have happened");
}

#[test]
fn controls_that_fail_are_answered_and_change_nothing() {
    for (call, control) in [
        (Call::Apply, Control::SetLine("9600".parse().unwrap())),
        (Call::Purge, Control::Purge(Purge::Both)),
        (Call::SetBreak, Control::HoldBreak(true)),
    ] {
        let bench = Bench::new();
        bench.plan(call, 0, Fault::Io);
        let runtime = crate::runtime().unwrap();
        runtime.block_on(async {
            let handle = handle_with(config());
            let mut client = Watcher::new(&handle);
            let task = PortTask::new(handle.clone(), bench.device());
            let running = tokio::task::spawn_local(unconstrained(task));
            let mut done = async |control| {
                client.control(control);
                let done = client.notice(|notice| match notice {
                    Notice::ControlDone { result, .. } => Some(result),
                    _ => None,
                });
                done.await
            };
            let failed: Result<ActionDone, _> = done(control.clone()).await;
            assert!(failed.is_err(), "{call:?}");
            assert!(done(control).await.is_ok(), "{call:?}: it is still there");
            assert_eq!(bench.openings().len(), 1);
            running.abort();
        });
    }
}

/// Any fault that fits its call, at any moment.
fn planned() -> impl Strategy<Value = (Call, usize, Fault)> {
    let fault = prop_oneof![
        Just(Fault::Gone),
        Just(Fault::Io),
        Just(Fault::Busy),
        (1..20usize).prop_map(Fault::Short),
        (1..5usize).prop_map(Fault::Stall),
    ];
    let call = proptest::sample::select(&CALLS[..]);
    (call, 0..40usize, fault).prop_filter("it fits", |(call, _, fault)| fault.fits(*call))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_number_of_faults_is_accounted_for(plan in proptest::collection::vec(planned(), 0..12), keep: bool) {
        check(&run(&plan, keep), keep);
    }
}
