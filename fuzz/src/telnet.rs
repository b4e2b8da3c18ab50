//! The telnet codec: any bytes in any pieces give the events that they give in one piece, the answers are no longer than
//! what they answer, and what one end sends as data is what the other end gets.

use bytes::BytesMut;
use uartnet_telnet::{Command, Event, MAX_SUBNEGOTIATION, Policy, Side, Telnet, TelnetOption};

use crate::choices::{Choices, understood};

const OPTIONS: &[TelnetOption] = &[
    TelnetOption::BINARY,
    TelnetOption::SUPPRESS_GO_AHEAD,
    TelnetOption::COM_PORT,
];

const POLICY: Policy = Policy {
    us: OPTIONS,
    him: OPTIONS,
};

/// An event that is kept.
#[derive(Debug, PartialEq, Eq)]
enum Kept {
    Data(Vec<u8>),
    Command(Command),
    Option(Side, TelnetOption, bool),
    Refused(Side, TelnetOption),
    Subnegotiation(Option<TelnetOption>, Vec<u8>),
    TooLong(TelnetOption),
}

/// One end that has heard everything.
#[derive(Debug, PartialEq, Eq)]
struct Heard {
    events: Vec<Kept>,
    answers: BytesMut,
}

/// The target.
pub fn telnet(data: &[u8]) {
    let Some((mut choices, input)) = understood(data) else {
        return;
    };
    let whole = hear(&[&input]);
    let mut rest = &input[..];
    let pieces: Vec<&[u8]> = std::iter::from_fn(|| choices.piece(&mut rest)).collect();
    assert_eq!(hear(&pieces), whole, "cutting the stream made a difference");
    assert!(
        whole.answers.len() <= input.len(),
        "{} bytes are answered with {}",
        input.len(),
        whole.answers.len()
    );
    let told: usize = whole.events.iter().map(length).sum();
    assert!(
        told <= input.len(),
        "{} bytes became {told} of events",
        input.len()
    );
    for binary in [false, true] {
        carry(&input, binary, &mut choices);
    }
}

fn hear(pieces: &[&[u8]]) -> Heard {
    let mut telnet = Telnet::new(POLICY);
    // Wishes of ours under way, so that every state of the Q method is met.
    let mut wishes = BytesMut::new();
    telnet.want(Side::Him, TelnetOption::COM_PORT, true, &mut wishes);
    telnet.want(Side::Us, TelnetOption::BINARY, true, &mut wishes);
    telnet.want(Side::Us, TelnetOption::BINARY, false, &mut wishes);
    telnet.want(Side::Him, TelnetOption::ECHO, true, &mut wishes);

    let mut events = Vec::new();
    let mut answers = BytesMut::new();
    for piece in pieces {
        telnet.handle_input(piece, &mut answers, |event, _| keep(event, &mut events));
    }
    Heard { events, answers }
}

fn keep(event: Event<'_>, events: &mut Vec<Kept>) {
    let kept = match event {
        Event::Data(data) => {
            assert!(!data.is_empty(), "an event without data");
            if let Some(Kept::Data(last)) = events.last_mut() {
                return last.extend_from_slice(data);
            }
            Kept::Data(data.to_vec())
        }
        Event::Command(command) => Kept::Command(command),
        Event::Option { side, option, on } => Kept::Option(side, option, on),
        Event::Refused { side, option } => Kept::Refused(side, option),
        Event::Subnegotiation { option, payload } => {
            assert!(
                payload.len() <= MAX_SUBNEGOTIATION,
                "{} bytes were kept",
                payload.len()
            );
            Kept::Subnegotiation(option, payload.to_vec())
        }
        Event::SubnegotiationTooLong { option } => Kept::TooLong(option),
    };
    events.push(kept);
}

/// How many bytes of the stream an event must have taken at least.
fn length(event: &Kept) -> usize {
    match event {
        Kept::Data(data) => data.len(),
        Kept::Command(_) => 2,
        Kept::Option(..) => 0, // a subnegotiation may be the agreement
        Kept::Refused(..) => 3,
        Kept::Subnegotiation(option, payload) => 4 + usize::from(option.is_some()) + payload.len(),
        Kept::TooLong(_) => 5 + MAX_SUBNEGOTIATION,
    }
}

/// Sends `data` from one end to another, both in the same mode, in pieces.
fn carry(data: &[u8], binary: bool, choices: &mut Choices) {
    let (mut sender, mut receiver) = (Telnet::new(POLICY), Telnet::new(POLICY));
    let (mut wire, mut unsent) = (BytesMut::new(), BytesMut::new());
    if binary {
        sender.want(Side::Us, TelnetOption::BINARY, true, &mut wire);
        receiver.handle_input(&wire.split(), &mut unsent, |_, _| {});
        sender.handle_input(&unsent.split(), &mut wire, |_, _| {});
        assert!(
            sender.is_on(Side::Us, TelnetOption::BINARY),
            "the ends did not agree"
        );
    }
    let mut received = Vec::with_capacity(data.len());
    let mut rest = data;
    let mut sent = 0;
    while let Some(piece) = choices.piece(&mut rest) {
        sender.send_data(piece, &mut wire);
        sent += wire.len();
        let wire = wire.split();
        let mut left = &wire[..];
        while let Some(piece) = choices.piece(&mut left) {
            receiver.handle_input(piece, &mut unsent, |event, _| match event {
                Event::Data(data) => received.extend_from_slice(data),
                other => panic!("data arrived as {other:?}"),
            });
        }
    }
    assert!(
        received == data,
        "binary = {binary}: what arrived is not what was sent"
    );
    assert!(
        sent <= 2 * data.len() && unsent.is_empty(),
        "{sent} bytes for {}",
        data.len()
    );
}
