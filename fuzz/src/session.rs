//! A connection to the `uartnet` endpoint: whatever a client sends, in any pieces, while the board and the device do what
//! they like. Every request with an id has exactly one answer, every frame of a plain conversation exactly one, nothing is
//! said without bound, the client is not kept waiting for ever, and the connection comes to its end.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use uart_iface::OutputSignals;
use uartnet_hub::{ActionDone, HubConfig, Sequence};
use uartnet_proto::frame::{FrameDecoder, FrameError};
use uartnet_proto::message::{Answer, FromClient, FromServer, Request, begins_session};
use uartnet_server::endpoint::Output;

use crate::choices::Choices;
use support::{Client, World, frame, interpreter};

#[path = "../../crates/server/tests/endpoints/support.rs"]
#[allow(dead_code, clippy::unwrap_used)]
// it belongs to tests, which use all of it; a panic is how one fails, as it is here
mod support;

const MAX_FRAME: usize = 4096;
/// More than any session may say at once: what it may fill, and what it may keep, with an answer on top of each.
const MOST_OUTPUT: usize = 2 * (Output::FULL + MAX_FRAME);
const SAID: [&str; 6] = ["OK\r\n", "a", "\r\n", "> ", "12:{}\n", "line of text\n"];

/// The target. Byte 0 chooses what happens in between. Of the rest, each line is sent as the payload of a frame, and one that
/// begins with `!` as it is: so most input gets as far as the session.
pub fn session(data: &[u8]) {
    let Some((seed, rest)) = data.split_first() else {
        return;
    };
    let mut run = Run::new(Choices::new(*seed));
    for line in rest.split(|byte| *byte == b'\n') {
        match line {
            [b'!', raw @ ..] => run.client_sends(raw),
            payload => match std::str::from_utf8(payload) {
                Ok(text) => run.client_sends(&frame(text)),
                Err(_) => run.client_sends(payload),
            },
        }
    }
    run.end();
}

struct Run {
    choices: Choices,
    world: World,
    client: Client,
    /// Reads what the client sends, as the endpoint does.
    theirs: FrameDecoder,
    broken: Option<FrameError>,
    sent: Vec<Bytes>,
    /// Reads what the endpoint says.
    ours: FrameDecoder,
    heard: Vec<Bytes>,
}

impl Run {
    fn new(choices: Choices) -> Run {
        let steps = |steps: &[&str]| {
            let steps = steps.iter();
            steps.map(|step| step.parse().expect("a step")).collect()
        };
        let hub = HubConfig {
            sequences: vec![Sequence {
                name: "reset".into(),
                steps: steps(&["dtr=off", "30ms", "dtr=on", "within=40ms expect=OK"]),
            }],
            ..interpreter()
        };
        let world = World::with_max_frame(hub, MAX_FRAME);
        Run {
            choices,
            client: world.client(),
            world,
            theirs: FrameDecoder::new(MAX_FRAME),
            broken: None,
            sent: Vec::new(),
            ours: FrameDecoder::new(MAX_FRAME),
            heard: Vec::new(),
        }
    }

    fn client_sends(&mut self, mut stream: &[u8]) {
        while let Some(piece) = self.choices.piece(&mut stream) {
            if !self.becomes_ready() {
                return;
            }
            self.note(piece);
            self.client.sends(&self.world, piece);
            self.something_happens();
        }
    }

    /// Whether the client can send more, at once or in the end; if not, the connection is over.
    fn becomes_ready(&mut self) -> bool {
        for _ in 0..1000 {
            if self.client.finished().is_some() {
                return false;
            }
            if self.client.session.wants_input() {
                return true;
            }
            self.hear();
            self.everything_is_done();
            self.pass(Duration::from_secs(10));
        }
        panic!("it takes nothing any more, and does not end");
    }

    fn note(&mut self, piece: &[u8]) {
        if self.broken.is_some() {
            return;
        }
        self.theirs.handle_input(piece);
        loop {
            match self.theirs.poll_frame() {
                Ok(Some(payload)) => self.sent.push(payload),
                Ok(None) => return,
                Err(error) => {
                    self.broken = Some(error);
                    return;
                }
            }
        }
    }

    fn something_happens(&mut self) {
        match self.choices.below(24) {
            0..8 => self.hear(),
            8..10 => self.everything_is_done(),
            10 => self.pass(Duration::from_millis(20)),
            11 => self.pass(Duration::from_secs(3)),
            12 => self.world.vanish("pulled out"),
            13 => self.world.appear(),
            14 => self.world.board_says([b'x'; 1500]),
            said @ 15..18 => self.world.board_says(SAID[said - 15]),
            said @ 18..21 => self.world.board_says(SAID[said - 15]),
            _ => {}
        }
    }

    /// The devices do what they are wanted to, and take all that is written to them.
    fn everything_is_done(&mut self) {
        self.world.device_does();
        self.world.board_heard_bytes();
        let now = self.world.now;
        for port in self.world.gateway.ports() {
            while port.with_hub(now, |hub| hub.poll_action(now)).is_some() {
                let done = Ok(ActionDone::Outputs(OutputSignals::ASSERTED));
                port.with_hub(now, |hub| hub.handle_action_done(now, done));
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.world.pass(time);
        let now = self.world.now;
        if self
            .client
            .session
            .poll_timeout()
            .is_some_and(|at| at <= now)
        {
            self.client.session.handle_timeout(now);
        }
    }

    fn hear(&mut self) {
        loop {
            self.client.nudge.take();
            let mut out = Output::new();
            self.client.session.poll_output(self.world.now, &mut out);
            assert!(out.len() <= MOST_OUTPUT, "{} bytes at once", out.len());
            if out.is_empty() && !self.client.nudge.take() {
                return;
            }
            self.ours.handle_input(&out.take());
            while let Some(payload) = self.ours.poll_frame().expect("frames") {
                self.heard.push(payload);
            }
        }
    }

    /// The client sends nothing more and waits for what it is owed.
    fn end(mut self) {
        if self.client.finished().is_none() {
            self.client.ends(&self.world);
        }
        self.world.appear();
        for _ in 0..1000 {
            self.hear();
            if self.client.finished().is_some() {
                break;
            }
            self.everything_is_done();
            self.hear();
            self.pass(Duration::from_secs(60 * 60));
        }
        assert!(self.client.finished().is_some(), "it does not end");
        assert_eq!(self.ours.buffered(), 0, "half a frame is said");
        match self.sent.first() {
            Some(first) if begins_session(first) => self.judge_session(),
            _ => self.judge_plain(),
        }
    }

    fn judge_session(&self) {
        let mut answers: BTreeMap<u64, usize> = BTreeMap::new();
        let mut welcomed = false;
        for payload in &self.heard {
            let control = FromServer::decode(payload).expect("a message");
            if let FromServer::Control(answer, id) = control {
                welcomed |= matches!(answer, Answer::Welcome(_));
                if let Some(id) = id {
                    *answers.entry(id).or_default() += 1;
                }
            }
        }
        if !welcomed {
            assert!(answers.len() <= 1, "{:?}", self.heard);
            return;
        }
        let mut requests: BTreeMap<u64, usize> = BTreeMap::new();
        for payload in &self.sent {
            let id = match FromClient::decode(payload) {
                // Nobody is here to read a configuration again.
                Ok(FromClient::Control(Request::Reload(_), _)) => return,
                Ok(FromClient::Control(_, id)) => id,
                Ok(FromClient::Data { .. }) => None,
                Err(error) => error.id(),
            };
            if let Some(id) = id {
                *requests.entry(id).or_default() += 1;
            }
        }
        assert_eq!(answers, requests, "of {:#?}: {:#?}", self.sent, self.heard);
    }

    fn judge_plain(&self) {
        let half = usize::from(self.broken.is_some() || self.theirs.buffered() > 0);
        assert_eq!(
            self.heard.len(),
            self.sent.len() + half,
            "to {:?}: {:?}",
            self.sent,
            self.heard
        );
    }
}
