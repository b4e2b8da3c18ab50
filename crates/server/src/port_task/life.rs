//! What a port's task decides about a device that comes and goes: when it is tried again, what it is opened with, and what
//! is worth a line in the log. It awaits nothing and opens nothing.

use std::time::{Duration, Instant};

use uart_iface::{LineSettings, OpenError, OutputSignals, PortError, PortStatus};

/// How long an absent device is left alone between two tries. Each wait is twice the one before, up to a bound.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waits {
    /// The first one, also after each sign of its return.
    pub(crate) first: Duration,
    /// The longest, where its return may show nowhere.
    pub(crate) unseen: Duration,
    /// The longest, where its return is seen: there are file systems and mounts of which nothing is told.
    pub(crate) seen: Duration,
    /// No two tries are closer to each other than this, whatever is seen.
    pub(crate) apart: Duration,
}

impl Waits {
    /// Those of every port outside of tests.
    pub(crate) const USUAL: Waits = Waits {
        first: Duration::from_millis(100),
        unseen: Duration::from_secs(2),
        seen: Duration::from_secs(30),
        apart: Duration::from_millis(20),
    };
}

/// A device's comings and goings.
#[derive(Debug)]
pub(super) struct Life {
    waits: &'static Waits,
    /// The settings it has by its configuration.
    configured: LineSettings,
    /// The settings last in force.
    line: LineSettings,
    /// The signals last in force.
    outputs: OutputSignals,
    /// What they are to be when it is opened again.
    steady: OutputSignals,
    wait: Duration,
    due: Instant,
    tried: Instant,
    /// Whether its return would be seen if it is watched for.
    shows: bool,
    /// Whether it is watched for.
    watched: bool,
    /// Since when it is open; it must stay for a while to count as back.
    opened: Option<Instant>,
    /// The sentence of the last failure, so that a device that stays away is told once.
    told: Option<Box<str>>,
    /// What the one last opened said of itself.
    identity: Option<Box<str>>,
}

/// What became of an attempt to open a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failed {
    /// It is to be told, with this reason.
    Tell(String),
    /// It was told before.
    Known,
    /// It refuses the settings last in force, which it had not from its configuration: with those it should be tried at
    /// once.
    Refuses(String),
}

impl Life {
    /// It is tried at once, with these settings.
    pub(super) fn new(now: Instant, configured: LineSettings, waits: &'static Waits) -> Life {
        Life {
            configured,
            line: configured,
            outputs: OutputSignals::ASSERTED,
            steady: OutputSignals::ASSERTED,
            wait: waits.first,
            due: now,
            tried: now,
            shows: false,
            watched: false,
            opened: None,
            told: None,
            identity: None,
            waits,
        }
    }

    /// What it is opened with: the settings last in force, and the signals before any sequence that its loss cut short.
    /// A board must not be held in reset for ever because it vanished while it was being reset.
    pub(super) fn to_open(&self) -> (LineSettings, OutputSignals) {
        (self.line, self.steady)
    }

    /// When it is tried again.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// It is open. Says what it was when it was last opened, if it says now that it is another one.
    pub(super) fn handle_opened(
        &mut self,
        now: Instant,
        status: &PortStatus,
        identity: Option<&str>,
    ) -> Option<Box<str>> {
        self.told = None;
        self.line = status.line;
        self.outputs = status.outputs;
        self.steady = status.outputs;
        self.opened = Some(now);
        let identity = identity?;
        let before = self.identity.replace(identity.into());
        before.filter(|before| **before != *identity)
    }

    /// Its configuration gives it these settings from now on.
    pub(super) fn handle_configured(&mut self, line: LineSettings) {
        self.configured = line;
        self.line = line;
    }

    /// Its settings were changed.
    pub(super) fn handle_line(&mut self, line: LineSettings) {
        self.line = line;
    }

    /// Its signals were changed.
    pub(super) fn handle_outputs(&mut self, outputs: OutputSignals) {
        self.outputs = outputs;
    }

    /// No sequence is under way, so its signals are as somebody wants them to be.
    pub(super) fn handle_steady(&mut self) {
        self.steady = self.outputs;
    }

    /// It could not be opened.
    pub(super) fn handle_failed(&mut self, now: Instant, error: &OpenError) -> Failed {
        if let OpenError::Setup {
            source: PortError::Unsupported { .. },
            ..
        } = error
            && self.line != self.configured
        {
            self.line = self.configured;
            return Failed::Refuses(error.to_string());
        }
        self.shows = match error {
            OpenError::NotFound { .. }
            | OpenError::NoDeviceFile { .. }
            | OpenError::Ambiguous { .. }
            | OpenError::Denied { .. }
            | OpenError::NotATty { .. } => true,
            // Nobody tells when a lock is released, a driver is in the mood, or /sys is mounted.
            OpenError::Busy { .. }
            | OpenError::NoSysfs { .. }
            | OpenError::Setup { .. }
            | OpenError::Io { .. } => false,
        };
        self.back_off(now);
        self.tell(error.to_string())
    }

    /// It was open, and is gone.
    pub(super) fn handle_lost(&mut self, now: Instant, reason: String) -> Failed {
        // A device that comes and goes at once is as absent as one that does not come.
        if let Some(opened) = self.opened.take()
            && now.saturating_duration_since(opened) >= self.waits.unseen
        {
            self.wait = self.waits.first;
        }
        self.shows = false;
        self.outputs = self.steady;
        self.back_off(now);
        self.tell(reason)
    }

    /// It is watched for from now on. What happened just before that was not seen.
    pub(super) fn handle_watched(&mut self, now: Instant) {
        self.watched = true;
        self.wait = self.waits.first;
        self.due = self.due.min(now + self.wait);
    }

    /// It cannot be watched for.
    pub(super) fn handle_unwatched(&mut self, now: Instant) {
        self.watched = false;
        self.due = self.due.min(now + self.longest());
    }

    /// Something changed where it should come back.
    pub(super) fn handle_sign(&mut self, now: Instant) {
        self.wait = self.waits.first;
        self.due = self.due.min(now.max(self.tried + self.waits.apart));
    }

    fn back_off(&mut self, now: Instant) {
        let wait = self.wait.min(self.longest());
        self.tried = now;
        self.due = now + wait;
        self.wait = (wait * 2).min(self.waits.seen);
    }

    fn longest(&self) -> Duration {
        if self.shows && self.watched {
            self.waits.seen
        } else {
            self.waits.unseen
        }
    }

    fn tell(&mut self, reason: String) -> Failed {
        if self.told.as_deref() == Some(&reason) {
            return Failed::Known;
        }
        self.told = Some(reason.as_str().into());
        Failed::Tell(reason)
    }
}

#[cfg(test)]
mod tests {
    use uart_iface::InputSignals;

    use super::*;

    fn life(now: Instant) -> Life {
        Life::new(now, LineSettings::default(), &Waits::USUAL)
    }

    fn missing() -> OpenError {
        OpenError::NotFound { spec: "x".into() }
    }

    fn busy() -> OpenError {
        OpenError::Busy {
            path: "x".into(),
            pid: None,
        }
    }

    fn status(line: &str, outputs: OutputSignals) -> PortStatus {
        PortStatus {
            line: line.parse().unwrap(),
            outputs,
            inputs: InputSignals::ABSENT_LINES,
            has_modem_lines: true,
            errors: None,
        }
    }

    /// The waits in milliseconds of a device that stays away, and is tried whenever it is due.
    fn waits(life: &mut Life, now: &mut Instant, error: &OpenError, count: usize) -> Vec<u128> {
        let each = (0..count).map(|_| {
            life.handle_failed(*now, error);
            let wait = life.due() - *now;
            *now = life.due();
            wait.as_millis()
        });
        each.collect()
    }

    #[test]
    fn it_is_tried_less_and_less_often_and_least_where_its_return_is_seen() {
        let mut now = Instant::now();
        let mut life = life(now);
        let first = waits(&mut life, &mut now, &missing(), 7);
        assert_eq!(first, [100, 200, 400, 800, 1600, 2000, 2000], "unwatched");
        life.handle_watched(now);
        let watched = waits(&mut life, &mut now, &missing(), 11);
        let doubled = [
            100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000,
        ];
        assert_eq!(watched, doubled);
        // That it is free again is nothing that can be seen.
        assert_eq!(waits(&mut life, &mut now, &busy(), 2), [2000, 2000]);
        waits(&mut life, &mut now, &missing(), 5);
        life.handle_failed(now, &missing());
        assert_eq!(life.due() - now, Duration::from_secs(30));
        life.handle_unwatched(now);
        assert_eq!(life.due() - now, Duration::from_secs(2));
    }

    #[test]
    fn a_sign_of_it_has_it_tried_at_once_but_not_without_end() {
        let mut now = Instant::now();
        let mut life = life(now);
        life.handle_watched(now);
        waits(&mut life, &mut now, &missing(), 9);
        life.handle_failed(now, &missing());
        now += Duration::from_secs(1);
        life.handle_sign(now);
        assert_eq!(life.due(), now);
        // It was there and could not be used yet, and something changes all the time.
        life.handle_failed(now, &missing());
        assert_eq!(life.due() - now, Duration::from_millis(100));
        life.handle_sign(now);
        life.handle_sign(now + Duration::from_millis(1));
        assert_eq!(life.due() - now, Duration::from_millis(20));
    }

    #[test]
    fn one_that_comes_and_goes_at_once_is_as_absent_as_one_that_does_not_come() {
        let mut now = Instant::now();
        let mut life = life(now);
        let open = status("115200-8n1", OutputSignals::ASSERTED);
        let lose_after = |life: &mut Life, now: &mut Instant, stays: u64| {
            life.handle_opened(*now, &open, None);
            *now += Duration::from_millis(stays);
            life.handle_lost(*now, "hung up".into());
            let wait = life.due() - *now;
            *now = life.due();
            wait.as_millis()
        };
        let waited: Vec<u128> = [10, 10, 10, 10, 10, 1999, 2000, 10]
            .into_iter()
            .map(|stays| lose_after(&mut life, &mut now, stays))
            .collect();
        assert_eq!(waited, [100, 200, 400, 800, 1600, 2000, 100, 200]);
    }

    #[test]
    fn a_reason_is_told_once_until_it_was_open_or_there_is_another() {
        let now = Instant::now();
        let mut life = life(now);
        let told = |life: &mut Life, error: &OpenError| {
            matches!(life.handle_failed(now, error), Failed::Tell(_))
        };
        assert!(told(&mut life, &missing()));
        assert!(!told(&mut life, &missing()));
        assert!(told(&mut life, &busy()));
        assert!(told(&mut life, &missing()));
        life.handle_opened(now, &status("9600-8n1", OutputSignals::ASSERTED), None);
        assert_eq!(
            life.handle_lost(now, "hung up".into()),
            Failed::Tell("hung up".into())
        );
        assert_eq!(life.handle_lost(now, "hung up".into()), Failed::Known);
        assert!(told(&mut life, &missing()));
    }

    #[test]
    fn it_is_opened_as_it_was_before_the_sequence_that_was_cut_short() {
        let now = Instant::now();
        let mut life = life(now);
        let (dtr, held) = (
            OutputSignals {
                dtr: true,
                rts: false,
            },
            OutputSignals {
                dtr: false,
                rts: true,
            },
        );
        assert_eq!(
            life.to_open(),
            (LineSettings::default(), OutputSignals::ASSERTED)
        );
        life.handle_opened(now, &status("115200-8n1", OutputSignals::ASSERTED), None);
        life.handle_line("9600-7e1".parse().unwrap());
        life.handle_outputs(dtr);
        life.handle_steady();
        life.handle_outputs(held); // by a sequence
        life.handle_lost(now, "hung up".into());
        assert_eq!(life.to_open(), ("9600-7e1".parse().unwrap(), dtr));
        life.handle_failed(now, &missing());
        life.handle_steady();
        assert_eq!(life.to_open().1, dtr);
    }

    #[test]
    fn one_that_refuses_the_settings_last_in_force_gets_those_of_its_configuration() {
        let now = Instant::now();
        let mut life = life(now);
        let refuses = OpenError::Setup {
            spec: "x".into(),
            source: PortError::Unsupported {
                device: "x".into(),
                wanted: "mark parity".into(),
            },
        };
        life.handle_opened(now, &status("9600-7m1", OutputSignals::ASSERTED), None);
        life.handle_lost(now, "hung up".into());
        assert!(matches!(
            life.handle_failed(now, &refuses),
            Failed::Refuses(reason) if reason.contains("mark parity")
        ));
        assert_eq!(life.to_open().0, LineSettings::default());
        assert!(matches!(life.handle_failed(now, &refuses), Failed::Tell(_)));
    }

    #[test]
    fn another_device_in_its_place_is_noticed() {
        let now = Instant::now();
        let mut life = life(now);
        let open = status("115200-8n1", OutputSignals::ASSERTED);
        let mut opened = |identity| life.handle_opened(now, &open, identity);
        assert_eq!(opened(Some("A")), None);
        assert_eq!(opened(Some("A")), None);
        assert_eq!(opened(None), None, "it says nothing of itself");
        assert_eq!(opened(Some("B")), Some("A".into()));
    }
}
