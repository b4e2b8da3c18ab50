//! A port's task with a device that the test scripts.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::task::Waker;

use bytes::Bytes;
use tokio::task::unconstrained;
use uart_iface::testing::{Call, Fault};
use uart_iface::{
    FlowControl, InputSignals, LineSettings, OutputChange, OutputSignals, PortStatus, Purge,
};
use uartnet_hub::{
    Access, Ask, AskOutcome, Attach, Control, Epoch, HubConfig, Notice, OnLag, OnLoss, Profile,
    ReadFrom, ReplyEnd, Sequence, WritePolicy,
};

use super::*;
use crate::config::{Config, DeviceSpec, GatewayConfig, PortConfig};
use crate::gateway::{Gateway, PortClient};
use crate::keeper::Keeping;
use crate::nudge::Nudge;

/// The device, as the test sees it.
#[derive(Debug)]
struct Bench {
    unplugged: bool,
    /// What is waiting to be read, and how a read that finds nothing ends.
    waiting: VecDeque<Vec<u8>>,
    read_error: Option<PortError>,
    /// It always has more.
    floods: bool,
    panics: bool,
    inputs: VecDeque<InputSignals>,
    /// What the status says of them.
    inputs_now: InputSignals,
    refuses: bool,
    line: Option<LineSettings>,
    outputs: Option<OutputSignals>,
    reader: Option<Waker>,
    /// Everything that was done to it, in order.
    log: Vec<String>,
}

impl Default for Bench {
    fn default() -> Bench {
        Bench {
            unplugged: false,
            waiting: VecDeque::new(),
            read_error: None,
            floods: false,
            panics: false,
            inputs: VecDeque::new(),
            inputs_now: InputSignals::ABSENT_LINES,
            refuses: false,
            line: None,
            outputs: None,
            reader: None,
            log: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Fake(Rc<RefCell<Bench>>);

impl Fake {
    fn log(&self, what: impl Into<String>) {
        self.0.borrow_mut().log.push(what.into());
    }

    fn logged(&self) -> Vec<String> {
        std::mem::take(&mut self.0.borrow_mut().log)
    }

    /// The board sends these pieces, one a read.
    fn says(&self, pieces: &[&str]) {
        let mut bench = self.0.borrow_mut();
        bench
            .waiting
            .extend(pieces.iter().map(|piece| piece.as_bytes().to_vec()));
        if let Some(reader) = bench.reader.take() {
            reader.wake();
        }
    }

    fn fails(&self, error: PortError) {
        let mut bench = self.0.borrow_mut();
        bench.read_error = Some(error);
        if let Some(reader) = bench.reader.take() {
            reader.wake();
        }
    }
}

fn gone() -> PortError {
    PortError::Gone {
        device: "fake".into(),
        reason: "hung up".into(),
    }
}

impl Device for Fake {
    fn spec(&self) -> &str {
        "fake"
    }

    fn open(
        &mut self,
        line: LineSettings,
        outputs: OutputSignals,
    ) -> Result<Box<dyn Port>, OpenError> {
        if self.0.borrow().unplugged {
            return Err(OpenError::NotFound {
                spec: "fake".into(),
            });
        }
        self.log(format!("open {line} {outputs}"));
        let mut bench = self.0.borrow_mut();
        bench.line = Some(line);
        bench.outputs = Some(outputs);
        Ok(Box::new(self.clone()))
    }
}

impl Port for Fake {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<Result<usize, PortError>> {
        let mut bench = self.0.borrow_mut();
        assert!(!bench.panics, "the backend has a defect");
        if bench.floods {
            buf.fill(b'~');
            return Poll::Ready(Ok(buf.len()));
        }
        if let Some(piece) = bench.waiting.pop_front() {
            bench.log.push(format!("read {}", piece.escape_ascii()));
            buf[..piece.len()].copy_from_slice(&piece);
            return Poll::Ready(Ok(piece.len()));
        }
        if let Some(error) = bench.read_error.take() {
            return Poll::Ready(Err(error));
        }
        bench.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_write(
        &mut self,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, PortError>> {
        self.log(format!("write {}", bytes.escape_ascii()));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_inputs(&mut self, _cx: &mut Context<'_>) -> Poll<Result<InputSignals, PortError>> {
        match self.0.borrow_mut().inputs.pop_front() {
            Some(inputs) => Poll::Ready(Ok(inputs)),
            None => Poll::Pending,
        }
    }

    fn apply(&mut self, wanted: LineSettings) -> Result<LineSettings, PortError> {
        self.log(format!("apply {wanted}"));
        if self.0.borrow().refuses {
            return Err(PortError::Unsupported {
                device: "fake".into(),
                wanted: "anything".into(),
            });
        }
        self.0.borrow_mut().line = Some(wanted);
        Ok(wanted)
    }

    fn set_outputs(&mut self, change: OutputChange) -> Result<OutputSignals, PortError> {
        let outputs = OutputSignals::ASSERTED.with(change);
        self.log(format!("set {outputs}"));
        Ok(outputs)
    }

    fn set_break(&mut self, on: bool) -> Result<(), PortError> {
        self.log(format!("break {on}"));
        Ok(())
    }

    fn purge(&mut self, _queues: Purge) -> Result<(), PortError> {
        Ok(())
    }

    fn status(&mut self) -> Result<PortStatus, PortError> {
        let bench = self.0.borrow();
        Ok(PortStatus {
            line: bench.line.unwrap(),
            outputs: bench.outputs.unwrap(),
            inputs: bench.inputs_now,
            has_modem_lines: true,
            errors: None,
        })
    }

    fn can_pause(&self) -> bool {
        let line = self.0.borrow().line;
        line.is_some_and(|line| line.flow != FlowControl::None)
    }
}

pub(super) fn config() -> HubConfig {
    HubConfig {
        history: 1 << 20,
        write: WritePolicy::Shared,
        lease_idle: None,
        on_lag: OnLag::Gap,
        stall_limit: Duration::from_secs(1),
        write_queue: 4096,
        on_loss: OnLoss::Discard,
        ask_queue: 8,
        ask_wait: Duration::from_secs(30),
        typing_hold: Duration::ZERO,
        profile: Some(Profile::new(ReplyEnd::Line { count: 1 })),
        sequences: Vec::new(),
        byte_pacing: Duration::ZERO,
        line_pacing: Duration::ZERO,
    }
}

fn handle() -> Rc<PortHandle> {
    handle_with(config())
}

pub(super) fn handle_with(hub: HubConfig) -> Rc<PortHandle> {
    handle_of("/dev/ttyTEST", hub)
}

fn handle_of(device: &str, hub: HubConfig) -> Rc<PortHandle> {
    gateway_of(device, hub).ports()[0].clone()
}

pub(super) fn gateway_of(device: &str, hub: HubConfig) -> Gateway {
    let port = PortConfig {
        name: "board0".parse().unwrap(),
        device: DeviceSpec::parse(device).unwrap(),
        line: LineSettings::default(),
        hub: hub.into(),
        logs: Vec::new(),
    };
    let config = Config {
        gateway: GatewayConfig::default(),
        ports: vec![port],
        listeners: Vec::new(),
        holders: Default::default(),
    };
    Gateway::new(&config, Epoch(1), Instant::now())
}

/// A client that waits for notices.
#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) client: PortClient,
    nudge: Rc<Nudge>,
}

impl Watcher {
    pub(super) fn new(handle: &Rc<PortHandle>) -> Watcher {
        Watcher::with(handle, OnLag::Gap)
    }

    fn with(handle: &Rc<PortHandle>, on_lag: OnLag) -> Watcher {
        let attach = Attach {
            label: "test".into(),
            access: Access::Admin,
            read: Some(ReadFrom::Live),
            on_lag: Some(on_lag),
            can_carry_gap: true,
            writer: None,
        };
        let nudge = Rc::<Nudge>::default();
        let (client, _) = handle.attach(Instant::now(), attach, &nudge);
        Watcher { client, nudge }
    }

    /// The next notice that the test is interested in.
    pub(super) async fn notice<T>(&mut self, is_it: impl Fn(Notice) -> Option<T>) -> T {
        poll_fn(|cx| {
            loop {
                while let Some(notice) = self.client.poll_notice(Instant::now(), usize::MAX) {
                    if let Some(found) = is_it(notice) {
                        return Poll::Ready(found);
                    }
                }
                if !self.nudge.poll(cx) {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    async fn state(&mut self) -> DeviceState {
        self.notice(|notice| match notice {
            Notice::State { state, .. } => Some(state),
            _ => None,
        })
        .await
    }

    async fn outcome(&mut self) -> AskOutcome {
        self.notice(|notice| match notice {
            Notice::AskDone { outcome, .. } => Some(outcome),
            _ => None,
        })
        .await
    }

    pub(super) fn ask(&self, command: &'static str) {
        let ask = Ask {
            command: Bytes::from_static(command.as_bytes()),
            profile: None,
            timeout: None,
            wait: None,
        };
        let now = Instant::now();
        self.client
            .with_hub(now, |hub, client| hub.ask(now, client, ask));
    }

    pub(super) fn control(&self, control: Control) {
        let now = Instant::now();
        self.client
            .with_hub(now, |hub, client| hub.control(now, client, control));
    }
}

/// Runs a test beside the task of a port with this device.
fn with_task<T>(fake: &Fake, test: impl AsyncFnOnce(Rc<PortHandle>, Watcher) -> T) -> T {
    let runtime = crate::runtime().unwrap();
    runtime.block_on(async {
        let handle = handle();
        let watcher = Watcher::new(&handle);
        let task = PortTask::new(handle.clone(), Box::new(fake.clone()));
        let running = tokio::task::spawn_local(unconstrained(task));
        let limit = Duration::from_secs(60);
        let result = uartnet_reactor::timeout(limit, test(handle, watcher))
            .await
            .expect("in time");
        running.abort();
        result
    })
}

#[test]
fn what_had_arrived_is_read_before_a_command_is_written() {
    let fake = Fake::default();
    with_task(&fake, async |_, mut watcher| {
        watcher.ask("ID?");
        fake.says(&["old line\r\n", "> "]);
        watcher
            .notice(|notice| {
                matches!(notice, Notice::Data { bytes, .. } if bytes.ends_with(b"> ")).then_some(())
            })
            .await;
        tokio::task::yield_now().await;
        fake.says(&["ID?\r\nboard 7\r\n"]);
        let outcome = watcher.outcome().await;
        assert!(
            matches!(&outcome, AskOutcome::Reply { reply, .. } if reply == "board 7"),
            "{outcome:?}"
        );
        assert_eq!(
            fake.logged()[1..4],
            ["read old line\\r\\n", "read > ", "write ID?\\r"].map(str::to_owned)
        );
    });
}

#[test]
fn settings_are_in_force_before_what_is_written_after_them() {
    let fake = Fake::default();
    with_task(&fake, async |_, mut watcher| {
        watcher.control(Control::SetLine("9600".parse().unwrap()));
        watcher.ask("ID?");
        fake.says(&["x"]);
        watcher
            .notice(|notice| matches!(notice, Notice::Data { .. }).then_some(()))
            .await;
        assert_eq!(
            fake.logged()[1..],
            ["read x", "apply 9600-8n1", "write ID?\\r"].map(str::to_owned)
        );
    });
}

#[test]
fn a_device_that_comes_back_is_opened_as_it_was() {
    let fake = Fake::default();
    with_task(&fake, async |handle, mut watcher| {
        assert!(matches!(watcher.state().await, DeviceState::Present { .. }));
        watcher.control(Control::SetLine("9600-8n1-rtscts".parse().unwrap()));
        watcher.control(Control::SetOutputs(OutputChange {
            dtr: Some(false),
            rts: None,
        }));
        watcher
            .notice(|notice| matches!(notice, Notice::Signals { .. }).then_some(()))
            .await;
        watcher.ask("SLOW");
        fake.0.borrow_mut().unplugged = true;
        fake.fails(gone());
        let outcome = watcher.outcome().await;
        assert!(
            matches!(
                &outcome,
                AskOutcome::DeviceLost { .. } | AskOutcome::Refused(_)
            ),
            "{outcome:?}"
        );
        let state = watcher.state().await;
        assert_eq!(
            state,
            DeviceState::Absent {
                reason: "hung up".into()
            }
        );
        assert_eq!(
            handle.line().flow,
            FlowControl::RtsCts,
            "it is still listed so"
        );
        let state = watcher.state().await;
        assert_eq!(
            state,
            DeviceState::Absent {
                reason: "cannot open fake: no such device".into()
            }
        );
        fake.logged();
        fake.0.borrow_mut().unplugged = false;
        assert!(matches!(watcher.state().await, DeviceState::Present { .. }));
        assert_eq!(fake.logged()[0], "open 9600-8n1-rtscts dtr=off rts=on");
    });
}

/// Waits so long that only what is seen can end them.
static HOURS: Waits = Waits {
    first: Duration::from_secs(3600),
    unseen: Duration::from_secs(3600),
    seen: Duration::from_secs(3600),
    apart: Duration::ZERO,
};

#[test]
fn a_device_is_opened_because_its_return_was_seen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("serial/by-id/board");
    let bench = uart_iface::testing::Bench::new();
    bench.plugged_by(&path);
    let runtime = crate::runtime().unwrap();
    let story = async {
        let handle = handle();
        let mut watcher = Watcher::new(&handle);
        let task = PortTask::with_waits(handle.clone(), bench.device(), &HOURS);
        let running = tokio::task::spawn_local(unconstrained(task));
        let missing = watcher.state().await;
        let reason = "cannot open bench:: no such device".to_owned();
        assert_eq!(missing, DeviceState::Absent { reason });
        // What happens before the task's first turn is for the wait, not for the eye.
        tokio::task::yield_now().await;
        for _ in 0..3 {
            // The whole way to it comes and goes, as udev does it.
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            assert!(matches!(watcher.state().await, DeviceState::Present { .. }));
            std::fs::remove_dir_all(folder.path().join("serial")).unwrap();
            bench.says(b"the read finds out");
            assert!(matches!(watcher.state().await, DeviceState::Absent { .. }));
        }
        running.abort();
    };
    runtime
        .block_on(async { uartnet_reactor::timeout(Duration::from_secs(60), story).await })
        .expect("it is noticed");
}

#[test]
fn a_device_that_may_be_used_only_later_is_opened_then() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tty0");
    std::fs::write(&path, "").unwrap();
    let bench = uart_iface::testing::Bench::new();
    bench.plugged_by(&path);
    bench.plan(Call::Open, 0, Fault::Denied);
    let runtime = crate::runtime().unwrap();
    let story = async {
        let handle = handle();
        let mut watcher = Watcher::new(&handle);
        let task = PortTask::with_waits(handle.clone(), bench.device(), &HOURS);
        let running = tokio::task::spawn_local(unconstrained(task));
        let DeviceState::Absent { reason } = watcher.state().await else {
            panic!("it is denied");
        };
        tokio::task::yield_now().await;
        assert!(reason.contains("permission denied"), "{reason}");
        // The rule of udev comes after the device file.
        let permissions = std::fs::Permissions::from_mode(0o660);
        std::fs::set_permissions(&path, permissions).unwrap();
        assert!(matches!(watcher.state().await, DeviceState::Present { .. }));
        running.abort();
    };
    runtime
        .block_on(async { uartnet_reactor::timeout(Duration::from_secs(60), story).await })
        .expect("it is noticed");
}

#[test]
fn a_board_that_vanishes_in_the_middle_of_a_sequence_is_not_held_in_reset() {
    let bench = uart_iface::testing::Bench::new();
    let reset = Sequence {
        name: "reset".into(),
        steps: ["rts=off", "1h", "rts=on"]
            .map(|step| step.parse().unwrap())
            .into(),
    };
    let runtime = crate::runtime().unwrap();
    runtime.block_on(async {
        let handle = handle_with(HubConfig {
            sequences: vec![reset],
            ..config()
        });
        let mut watcher = Watcher::new(&handle);
        let task = PortTask::new(handle.clone(), bench.device());
        let running = tokio::task::spawn_local(unconstrained(task));
        watcher.control(Control::SetOutputs(OutputChange {
            dtr: Some(false),
            rts: None,
        }));
        watcher.control(Control::Run("reset".into()));
        let held = watcher.notice(|notice| match notice {
            Notice::Signals { outputs, .. } if !outputs.rts => Some(outputs),
            _ => None,
        });
        assert!(!held.await.dtr);
        bench.unplug();
        let ended = watcher.notice(|notice| match notice {
            Notice::ControlDone { result, .. } if result.is_err() => Some(result),
            _ => None,
        });
        assert!(ended.await.is_err());
        bench.plug_in();
        watcher
            .notice(|notice| match notice {
                Notice::State {
                    state: DeviceState::Present { outputs, .. },
                    ..
                } => Some(outputs),
                _ => None,
            })
            .await;
        let opened_with = bench.openings().last().unwrap().with.1;
        let before = OutputSignals {
            dtr: false,
            rts: true,
        };
        assert_eq!(opened_with, before);
        running.abort();
    });
}

#[test]
fn an_error_of_reading_is_a_loss_an_error_of_an_action_is_an_answer() {
    let fake = Fake::default();
    with_task(&fake, async |_, mut watcher| {
        watcher.state().await;
        fake.0.borrow_mut().refuses = true;
        watcher.control(Control::SetLine("9600".parse().unwrap()));
        let result = watcher
            .notice(|notice| match notice {
                Notice::ControlDone { result, .. } => Some(result),
                _ => None,
            })
            .await;
        assert_eq!(result.unwrap_err().to_string(), "fake cannot do anything");
        let source = io::Error::from_raw_os_error(5);
        fake.fails(PortError::Io {
            device: "fake".into(),
            doing: "read",
            source,
        });
        let DeviceState::Absent { reason } = watcher.state().await else {
            panic!("it must be lost");
        };
        assert!(reason.starts_with("fake: read: "), "{reason}");
        assert!(matches!(watcher.state().await, DeviceState::Present { .. }));
        assert_eq!(
            fake.logged().last().unwrap(),
            "open 115200-8n1 dtr=on rts=on"
        );
    });
}

#[test]
fn a_flood_starves_nobody_and_commands_are_still_written() {
    let fake = Fake::default();
    fake.0.borrow_mut().floods = true;
    with_task(&fake, async |_, watcher| {
        watcher.ask("STOP");
        let mut turns = 0;
        while !fake
            .0
            .borrow()
            .log
            .iter()
            .any(|line| line == "write STOP\\r")
        {
            tokio::task::yield_now().await;
            turns += 1;
            assert!(turns < 1000, "it is written soon");
        }
    });
}

#[test]
fn inputs_are_told_one_after_the_other() {
    let fake = Fake::default();
    let with = |cts, dsr| InputSignals {
        cts,
        dsr,
        ri: false,
        dcd: false,
    };
    let (one, other, last) = (with(true, false), with(false, false), with(false, true));
    fake.0.borrow_mut().inputs = [one, other, one, other, one, other, last].into();
    with_task(&fake, async |_, mut watcher| {
        let told = watcher
            .notice(|notice| match notice {
                Notice::Signals { inputs, .. } if inputs.dsr => Some(inputs),
                _ => None,
            })
            .await;
        assert_eq!(told, last);
    });
}

#[test]
fn who_asks_is_told_the_inputs_as_they_are_and_so_are_readers() {
    let fake = Fake::default();
    let runtime = crate::runtime().unwrap();
    runtime.block_on(async {
        let handle = handle();
        let _task = PortTask::new(handle.clone(), Box::new(fake.clone()));
        let ringing = InputSignals {
            ri: true,
            ..InputSignals::ABSENT_LINES
        };
        fake.0.borrow_mut().inputs_now = ringing;
        handle.look(Instant::now());
        let DeviceState::Present { inputs, .. } = handle.info().state else {
            panic!("it must be open");
        };
        assert_eq!(inputs, ringing, "though nobody reads the port");
        let mut watcher = Watcher::new(&handle);
        watcher.state().await;
        fake.0.borrow_mut().inputs_now = InputSignals::ABSENT_LINES;
        handle.look(Instant::now());
        let told = watcher.notice(|notice| match notice {
            Notice::Signals { inputs, .. } => Some(inputs),
            _ => None,
        });
        assert_eq!(told.await, InputSignals::ABSENT_LINES);
    });
}

#[test]
fn flow_control_that_is_set_later_decides_about_stalling() {
    let fake = Fake::default();
    with_task(&fake, async |handle, _| {
        let piece = "x".repeat(64 * 1024);
        let more_than_the_history = [&*piece; 17];
        for (line, stalls) in [
            ("115200-8n1-rtscts", true),
            ("115200-8n1", false),
            ("115200-8n1-xonxoff", true),
        ] {
            let mut reader = Watcher::with(&handle, OnLag::Auto);
            reader.control(Control::SetLine(line.parse().unwrap()));
            reader
                .notice(|notice| matches!(notice, Notice::ControlDone { .. }).then_some(()))
                .await;
            fake.says(&more_than_the_history);
            while !fake.0.borrow().waiting.is_empty() && !handle.info().stalled {
                tokio::task::yield_now().await;
            }
            assert_eq!(handle.info().stalled, stalls, "{line}");
            // Without flow control the laggard is not waited for any more.
            reader.control(Control::SetLine("115200-8n1".parse().unwrap()));
            while !fake.0.borrow().waiting.is_empty() {
                tokio::task::yield_now().await;
            }
        }
    });
}

#[test]
fn a_port_that_drains_ends_when_a_break_is_over() {
    let fake = Fake::default();
    let runtime = crate::runtime().unwrap();
    runtime.block_on(async {
        let handle = handle();
        let watcher = Watcher::new(&handle);
        let task = PortTask::new(handle.clone(), Box::new(fake.clone()));
        watcher.control(Control::Break(Duration::from_millis(20)));
        watcher.ask("last words");
        handle.drain();
        fake.says(&["last words\r\nheard\r\n"]);
        drop(watcher);
        task.await;
        let log = fake.logged();
        let on = log
            .iter()
            .position(|line| line == "break true")
            .expect("it begins");
        let off = log
            .iter()
            .position(|line| line == "break false")
            .expect("it ends");
        assert!(on < off, "{log:?}");
        assert!(handle.uart().borrow().is_none(), "the device is closed");
    });
}

#[test]
fn a_port_that_never_falls_silent_drains_too() {
    let fake = Fake::default();
    fake.0.borrow_mut().floods = true;
    crate::runtime().unwrap().block_on(async {
        let handle = handle();
        let task = PortTask::new(handle.clone(), Box::new(fake.clone()));
        handle.drain();
        let ended = uartnet_reactor::timeout(Duration::from_secs(10), task).await;
        ended.expect("it floods on");
    });
}

#[test]
fn a_defect_of_a_backend_ends_neither_the_daemon_nor_the_port() {
    let fake = Fake::default();
    let runtime = crate::runtime().unwrap();
    runtime.block_on(async {
        let handle = handle_of("sim:echo", config());
        let mut watcher = Watcher::new(&handle);
        let task = PortTask::new(handle.clone(), Box::new(fake.clone()));
        fake.0.borrow_mut().panics = true;
        let kept = tokio::task::spawn_local(unconstrained(Keeping::new(handle, task)));
        let mut states = Vec::new();
        while states.len() < 3 {
            states.push(watcher.state().await);
        }
        let [
            _,
            DeviceState::Absent { reason },
            DeviceState::Present { .. },
        ] = &states[..]
        else {
            panic!("{states:?}");
        };
        assert_eq!(reason, "internal error: the backend has a defect");
        kept.abort();
        assert!(kept.await.unwrap_err().is_cancelled());
    });
}
