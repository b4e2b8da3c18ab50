//! Whether a gateway that says nothing is still there: when to ping it, when to give it up. Pure: time is an argument.

use std::time::{Duration, Instant};

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LivenessAction {
    /// Send a ping.
    Ping,
    /// Give the connection up: it has been silent for this long.
    GiveUp(Duration),
    /// Nothing yet.
    Wait,
}

/// The silence of one connection.
#[derive(Debug, Clone)]
pub struct Liveness {
    heard: Instant,
    pinged: bool,
}

impl Liveness {
    /// The silence after which a ping is sent.
    pub const PING_AFTER: Duration = Duration::from_secs(10);
    /// The silence after which the connection is given up.
    pub const GIVE_UP_AFTER: Duration = Duration::from_secs(30);

    /// A connection that was heard from now.
    pub fn new(now: Instant) -> Liveness {
        Liveness {
            heard: now,
            pinged: false,
        }
    }

    /// A whole message arrived.
    pub fn handle_message(&mut self, now: Instant) {
        self.heard = now;
        self.pinged = false;
    }

    /// Time passed: call it when [`Liveness::poll_timeout`] is reached.
    pub fn handle_timeout(&mut self, now: Instant) -> LivenessAction {
        let silence = now.saturating_duration_since(self.heard);
        if silence >= Liveness::GIVE_UP_AFTER {
            LivenessAction::GiveUp(silence)
        } else if silence >= Liveness::PING_AFTER && !self.pinged {
            self.pinged = true;
            LivenessAction::Ping
        } else {
            LivenessAction::Wait
        }
    }

    /// When [`Liveness::handle_timeout`] should be called next.
    pub fn poll_timeout(&self) -> Instant {
        self.heard
            + if self.pinged {
                Liveness::GIVE_UP_AFTER
            } else {
                Liveness::PING_AFTER
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_pinged_once_and_then_given_up() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        assert_eq!(
            liveness.handle_timeout(start + Duration::from_secs(9)),
            LivenessAction::Wait
        );
        assert_eq!(liveness.poll_timeout(), start + Liveness::PING_AFTER);
        assert_eq!(
            liveness.handle_timeout(liveness.poll_timeout()),
            LivenessAction::Ping
        );
        assert_eq!(
            liveness.handle_timeout(start + Duration::from_secs(20)),
            LivenessAction::Wait
        );
        assert_eq!(liveness.poll_timeout(), start + Liveness::GIVE_UP_AFTER);
        assert_eq!(
            liveness.handle_timeout(liveness.poll_timeout()),
            LivenessAction::GiveUp(Liveness::GIVE_UP_AFTER)
        );
    }

    #[test]
    fn any_message_begins_the_silence_anew() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        liveness.handle_timeout(start + Liveness::PING_AFTER);
        liveness.handle_message(start + Duration::from_secs(11));
        assert_eq!(liveness.poll_timeout(), start + Duration::from_secs(21));
        assert_eq!(
            liveness.handle_timeout(start + Duration::from_secs(21)),
            LivenessAction::Ping
        );
    }
}
