//! The plain conversation: each frame is one command for the listener's port and is answered by exactly one frame, in order.
//! Not the frames themselves; those are `mod`'s.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use uartnet_hub::{Ask, AskId, AskOutcome, Notice, ReplyEnd};
use uartnet_proto::DATA_RECEIVED;
use uartnet_proto::frame::frame_len;
use uartnet_proto::message::ErrorCode;

use super::failure::{Failure, Replied, replied};
use super::{OUTSTANDING, framing};
use crate::access::Wish;
use crate::endpoint::writer::Writer;
use crate::endpoint::{Connection, Output};
use crate::gateway::PortClient;

/// One plain conversation.
#[derive(Debug)]
pub(super) struct Plain {
    board: Option<Board>,
    /// One for each frame that is not answered yet, in their order.
    answers: VecDeque<Awaited>,
    max_frame: usize,
    over: bool,
}

/// The port it speaks to.
#[derive(Debug)]
struct Board {
    client: PortClient,
    /// Whether there is an interpreter that answers; else bytes are written as they are, and acknowledged.
    answers: bool,
    writer: Writer,
}

/// An answer to be given when its turn comes.
#[derive(Debug)]
enum Awaited {
    Reply(AskId),
    /// These write offsets must have been written.
    Written {
        from: u64,
        to: u64,
    },
    Ready(Bytes),
}

impl Plain {
    pub(super) fn new(now: Instant, connection: &Connection) -> Plain {
        let board = connection.port().map(|port| {
            let wish = Wish {
                read_only: false,
                read: None,
                on_lag: None,
                can_carry_gap: false,
                writer: None,
            };
            let (client, attached) = port.attach(now, wish);
            let answers = port
                .profile()
                .is_some_and(|profile| profile.end != ReplyEnd::None);
            Board {
                client,
                answers,
                writer: Writer::new(attached.write_offset),
            }
        });
        Plain {
            board,
            answers: VecDeque::new(),
            max_frame: connection.visitor.max_frame(),
            over: false,
        }
    }

    pub(super) fn wants_payload(&self) -> bool {
        self.answers.len() < OUTSTANDING
            && !self
                .board
                .as_ref()
                .is_some_and(|board| board.writer.holds())
    }

    pub(super) fn handle_payload(&mut self, now: Instant, payload: Bytes) {
        let awaited = match &mut self.board {
            Some(board) if board.answers => {
                let ask = Ask {
                    command: payload,
                    profile: None,
                    timeout: None,
                    wait: None,
                };
                Awaited::Reply(board.client.ask(now, ask))
            }
            Some(board) => {
                let from = board.writer.end();
                let to = from + payload.len() as u64;
                match board.writer.push(now, &board.client, &payload) {
                    Ok(()) if from == to => {
                        Awaited::Ready(Bytes::from_static(DATA_RECEIVED.as_bytes()))
                    }
                    Ok(()) => Awaited::Written { from, to },
                    Err(refusal) => Awaited::Ready(Failure::from(&refusal).plain()),
                }
            }
            None => {
                let sentence =
                    "this listener has no port of its own; begin a session, or name a port for it";
                Awaited::Ready(Failure::new(ErrorCode::UnknownPort, sentence).plain())
            }
        };
        self.answers.push_back(awaited);
    }

    pub(super) fn poll_output(&mut self, now: Instant, out: &mut Output) {
        self.resume(now);
        while !out.is_full() {
            if let Some(Awaited::Ready(answer)) = self.answers.front() {
                framing::say(out, answer);
                self.answers.pop_front();
                continue;
            }
            let Some(board) = &self.board else { return };
            let Some(notice) = board.client.poll_notice(now, usize::MAX) else {
                return;
            };
            self.handle_notice(notice);
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    pub(super) fn owes(&self) -> bool {
        !self.answers.is_empty()
    }

    pub(super) fn awaits_board(&self) -> bool {
        self.answers
            .iter()
            .any(|awaited| matches!(awaited, Awaited::Reply(_)))
    }

    /// Bytes that are held belong to the last frame taken.
    fn resume(&mut self, now: Instant) {
        let Some(board) = &mut self.board else { return };
        if board.writer.holds()
            && let Err(refusal) = board.writer.resume(now, &board.client)
            && let Some(last) = self.answers.back_mut()
        {
            *last = Awaited::Ready(Failure::from(&refusal).plain());
        }
    }

    fn handle_notice(&mut self, notice: Notice) {
        match notice {
            Notice::AskDone { ask, outcome } => {
                let answer = self.answer(outcome);
                let awaited = self
                    .answers
                    .iter_mut()
                    .find(|it| matches!(it, Awaited::Reply(id) if *id == ask));
                if let Some(awaited) = awaited {
                    *awaited = Awaited::Ready(answer);
                }
            }
            Notice::Written { up_to } => {
                for awaited in &mut self.answers {
                    if matches!(awaited, Awaited::Written { to, .. } if *to <= up_to) {
                        *awaited = Awaited::Ready(Bytes::from_static(DATA_RECEIVED.as_bytes()));
                    }
                }
            }
            Notice::WriteLost {
                from: lost_from,
                to: lost_to,
                reason,
            } => {
                let failure = Failure::new(
                    ErrorCode::DeviceLost,
                    format!("not everything was written: {reason}"),
                );
                for awaited in &mut self.answers {
                    if matches!(awaited, Awaited::Written { from, to } if *from < lost_to && lost_from < *to)
                    {
                        *awaited = Awaited::Ready(failure.plain());
                    }
                }
            }
            Notice::Closed(_) => {
                self.over = true;
                let failure = Failure::new(
                    ErrorCode::Cancelled,
                    "the port was closed before this had an end",
                );
                for awaited in &mut self.answers {
                    if !matches!(awaited, Awaited::Ready(_)) {
                        *awaited = Awaited::Ready(failure.plain());
                    }
                }
            }
            // A plain conversation has no words for these.
            Notice::Data { .. }
            | Notice::Gap { .. }
            | Notice::State { .. }
            | Notice::Line(_)
            | Notice::Signals { .. }
            | Notice::Errors(_)
            | Notice::Lease { .. }
            | Notice::AskTurn(_)
            | Notice::ControlDone { .. } => {}
        }
    }

    fn answer(&self, outcome: AskOutcome) -> Bytes {
        match replied(outcome) {
            Ok(Replied { reply, .. }) if frame_len(reply.len()) <= self.max_frame => reply,
            Ok(Replied { reply, .. }) => {
                let (got, limit) = (reply.len(), self.max_frame);
                let sentence =
                    format!("the reply has {got} bytes, and the largest frame allowed has {limit}");
                Failure::new(ErrorCode::TooBig, sentence).plain()
            }
            Err(failure) => failure.plain(),
        }
    }
}
