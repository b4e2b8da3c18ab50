//! What control operations mean for the rest of the hub: what is in force after them, and who holds it. Their order and
//! timing are in `sequencer`, what a device's line settings go back to is in `line_hold`.

use std::time::Instant;

use uart_iface::LineSettings;

use super::Hub;
use crate::client::Client;
use crate::sequencer::{Kind, Work, Worked};
use crate::transmit::Turn;
use crate::{Action, ActionDone, ClientId, DeviceState};

impl Hub {
    /// The next thing to do to the device, and its place in the order of everything.
    pub(super) fn next_action(&mut self, now: Instant) -> Option<(Action, Turn)> {
        loop {
            let free = self.is_free();
            let next = self.sequencer.poll_action(now, free)?;
            let action = match next.work {
                Work::Act(action) => {
                    if let (Action::Apply(_), Some(line)) = (action, self.line()) {
                        self.sequencer.note_line(line);
                    }
                    action
                }
                Work::SetBaud(baud) => {
                    let line = self.line()?;
                    self.sequencer.note_line(line);
                    Action::Apply(LineSettings { baud, ..line })
                }
                Work::GiveLineBack => {
                    self.line_holds.left(next.client);
                    match (self.line_holds.owed(), self.line()) {
                        (Some(owed), Some(line)) if owed != line => Action::Apply(owed),
                        (_, Some(line)) => {
                            self.line_holds.given_back();
                            self.sequencer.handle_done(now, &Ok(ActionDone::Line(line)));
                            continue;
                        }
                        (_, None) => return None,
                    }
                }
            };
            return Some((action, next.turn));
        }
    }

    /// The device has done this, or has not.
    pub(super) fn worked(
        &mut self,
        now: Instant,
        worked: Worked,
        result: &Result<ActionDone, String>,
    ) {
        let before = self.line();
        match *result {
            Ok(ActionDone::Line(line)) => {
                self.update_present(now, |now_line, _, _| *now_line = line);
                match (worked.work, worked.kind, before) {
                    (Work::GiveLineBack, ..) => self.line_holds.given_back(),
                    (Work::Act(_), Kind::HoldsLine, Some(before)) => {
                        self.line_holds.held(worked.client, line, before);
                        // It may have left before it had what it wanted.
                        let client = self.clients.get(worked.client);
                        if client.is_none_or(Client::is_cut) {
                            self.give_line_back(worked.client);
                        }
                    }
                    // Whether it stays shows at its end.
                    (_, Kind::Steps, _) => {}
                    _ => self.line_holds.set(),
                }
            }
            Ok(ActionDone::Outputs(outputs)) => {
                self.update_present(now, |_, now_outputs, _| *now_outputs = outputs);
            }
            Err(_) if worked.work == Work::GiveLineBack => self.line_holds.given_back(),
            Ok(ActionDone::Done) | Err(_) => {}
        }
    }

    /// This client holds no line settings any more.
    pub(super) fn give_line_back(&mut self, client: ClientId) {
        if self.line_holds.left(client) && self.is_present() {
            let turn = self.new_turn();
            self.sequencer.give_line_back(turn);
        }
    }

    /// The device is there again: what could not be given back to it while it was not is given back now.
    pub(super) fn settle_line(&mut self) {
        if self.line_holds.owed().is_some() {
            let turn = self.new_turn();
            self.sequencer.give_line_back(turn);
        }
    }

    fn line(&self) -> Option<LineSettings> {
        match self.state {
            DeviceState::Present { line, .. } => Some(line),
            DeviceState::Absent { .. } => None,
        }
    }
}
