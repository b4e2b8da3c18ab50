//! One end of one telnet connection: the parser, the options and the data rules put together.
//! What to offer, and what a subnegotiation means, is the caller's.

use bytes::{BufMut, BytesMut};

use crate::codes::{Command, IAC, SB, SE, TelnetOption};
use crate::escape::{NvtEscape, double_iac};
use crate::options::{Options, Policy, Side, Verb};
use crate::parser::{Parser, Token};

/// What the peer did.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// It sent data (not empty), unescaped.
    Data(&'a [u8]),
    /// It sent a command of two bytes.
    Command(Command),
    /// An option was switched on or off, by agreement. A subnegotiation of an option that we asked for, and had no answer
    /// about, counts as the agreement and stands behind this.
    Option {
        /// Who performs it.
        side: Side,
        /// The option.
        option: TelnetOption,
        /// Whether it is performed from here on.
        on: bool,
    },
    /// It asked for an option that our policy refuses; the refusal has been appended to the output.
    Refused {
        /// Who was to perform it.
        side: Side,
        /// The option.
        option: TelnetOption,
    },
    /// It sent a subnegotiation, whether or not the option is agreed on.
    Subnegotiation {
        /// The option; `None` for the empty subnegotiation.
        option: Option<TelnetOption>,
        /// What stood between the option and the end, unescaped; at most [`crate::MAX_SUBNEGOTIATION`] bytes.
        payload: &'a [u8],
    },
    /// It sent a subnegotiation that is too long to be kept; it was skipped.
    SubnegotiationTooLong {
        /// The option.
        option: TelnetOption,
    },
}

/// One end of one connection.
#[derive(Debug)]
pub struct Telnet {
    parser: Parser,
    options: Options,
    escape: NvtEscape,
    /// Outside BINARY, the last data byte received was CR: a NUL that follows is its filler.
    after_cr: bool,
    /// Data is thrown away until the data mark arrives (RFC 854, "The TELNET Synch signal").
    in_synch: bool,
}

impl Telnet {
    /// An end that lets these options be switched on when the peer asks. Nothing is sent by itself: [`Telnet::want`] does.
    pub fn new(policy: Policy) -> Telnet {
        Telnet {
            parser: Parser::default(),
            options: Options::new(policy),
            escape: NvtEscape::default(),
            after_cr: false,
            in_synch: false,
        }
    }

    // --- getters

    /// Whether this side performs the option now.
    pub fn is_on(&self, side: Side, option: TelnetOption) -> bool {
        self.options.is_on(side, option)
    }

    /// Whether a wish of ours ([`Telnet::want`]) waits for the peer's answer.
    pub fn is_undecided(&self, side: Side, option: TelnetOption) -> bool {
        self.options.is_undecided(side, option)
    }

    /// Whether this input is data from its first byte to its last, and stands for itself: [`Telnet::handle_input`] would do
    /// nothing but hand it on.
    pub fn is_plain(&self, input: &[u8]) -> bool {
        let escaped = if self.options.is_on(Side::Him, TelnetOption::BINARY) {
            memchr::memchr(IAC, input)
        } else if self.after_cr {
            return false;
        } else {
            memchr::memchr2(IAC, b'\r', input)
        };
        escaped.is_none() && !self.in_synch && self.parser.expects_data()
    }

    /// Whether [`Telnet::send_data`] would append this data as it is.
    pub fn sends_as_it_is(&self, data: &[u8]) -> bool {
        if self.options.is_on(Side::Us, TelnetOption::BINARY) {
            memchr::memchr(IAC, data).is_none()
        } else {
            self.escape.keeps(data)
        }
    }

    // --- the peer spoke

    /// Takes bytes of the connection, in any pieces, and calls `on_event` for each event in order. Answers to negotiations
    /// are appended to `out` (at most three bytes for three bytes of input) before the event that tells of them;
    /// `on_event` gets `out` too, so that what it answers stands in order.
    pub fn handle_input(
        &mut self,
        mut input: &[u8],
        out: &mut BytesMut,
        mut on_event: impl FnMut(Event<'_>, &mut BytesMut),
    ) {
        while let Some(token) = self.parser.next(&mut input) {
            match token {
                Token::Data(_) if self.in_synch => {}
                Token::Data(data) if self.options.is_on(Side::Him, TelnetOption::BINARY) => {
                    self.after_cr = false;
                    on_event(Event::Data(data), out);
                }
                Token::Data(data) => strip_cr_nul(&mut self.after_cr, data, |data| {
                    on_event(Event::Data(data), out)
                }),
                Token::Command(command) => {
                    if command == Command::DataMark {
                        self.in_synch = false;
                    }
                    on_event(Event::Command(command), out);
                }
                Token::Negotiation(negotiation) => {
                    let side = match negotiation.verb {
                        Verb::Will | Verb::Wont => Side::Him,
                        Verb::Do | Verb::Dont => Side::Us,
                    };
                    let option = negotiation.option;
                    let outcome = self.options.handle(negotiation);
                    if outcome.switched == Some(true) {
                        settle_cr(&mut self.escape, &mut self.after_cr, side, option, out);
                    }
                    if let Some(verb) = outcome.send {
                        negotiate(verb, option, out);
                    }
                    match outcome.switched {
                        Some(on) => on_event(Event::Option { side, option, on }, out),
                        None if outcome.send.is_some() => {
                            on_event(Event::Refused { side, option }, out)
                        }
                        None => {}
                    }
                }
                Token::Subnegotiation { option, payload } => {
                    // pyserial 3.5 sends no WILL when our DO overtakes it, and begins.
                    if let Some(option) = option
                        && let Some(side) = self.options.handle_use(option)
                    {
                        settle_cr(&mut self.escape, &mut self.after_cr, side, option, out);
                        on_event(
                            Event::Option {
                                side,
                                option,
                                on: true,
                            },
                            out,
                        );
                    }
                    on_event(Event::Subnegotiation { option, payload }, out)
                }
                Token::SubnegotiationTooLong { option } => {
                    on_event(Event::SubnegotiationTooLong { option }, out)
                }
            }
        }
    }

    /// TCP says that urgent data is on its way: data is thrown away until the data mark. The socket must deliver urgent
    /// data in line (SO_OOBINLINE), or the data mark is lost and what follows the IAC is misread.
    pub fn handle_urgent(&mut self) {
        self.in_synch = true;
    }

    // --- we speak

    /// Asks for an option to be switched on or off; the answer is an [`Event::Option`] later, or nothing if it is refused.
    pub fn want(&mut self, side: Side, option: TelnetOption, on: bool, out: &mut BytesMut) {
        if let Some(verb) = self.options.want(side, option, on) {
            negotiate(verb, option, out);
        }
    }

    /// Appends data, escaped as the options in force ask for.
    pub fn send_data(&mut self, data: &[u8], out: &mut BytesMut) {
        if self.options.is_on(Side::Us, TelnetOption::BINARY) {
            double_iac(data, out);
        } else {
            self.escape.escape(data, out);
        }
    }

    /// Appends a subnegotiation, its payload escaped.
    pub fn send_subnegotiation(
        &mut self,
        option: TelnetOption,
        payload: &[u8],
        out: &mut BytesMut,
    ) {
        subnegotiate(option, payload, out);
    }

    /// Appends a command of two bytes, e.g. [`crate::codes::BRK`].
    pub fn send_command(&mut self, command: u8, out: &mut BytesMut) {
        out.put_slice(&[IAC, command]);
    }
}

/// BINARY, once it is on, changes what a CR means, for what follows the negotiation.
fn settle_cr(
    escape: &mut NvtEscape,
    after_cr: &mut bool,
    side: Side,
    option: TelnetOption,
    out: &mut BytesMut,
) {
    if option != TelnetOption::BINARY {
        return;
    }
    match side {
        Side::Us => escape.finish(out),
        Side::Him => *after_cr = false,
    }
}

/// Subnegotiations depend on no state of the connection.
pub(crate) fn subnegotiate(option: TelnetOption, payload: &[u8], out: &mut BytesMut) {
    out.put_slice(&[IAC, SB, option.0]);
    double_iac(payload, out);
    out.put_slice(&[IAC, SE]);
}

fn negotiate(verb: Verb, option: TelnetOption, out: &mut BytesMut) {
    out.put_slice(&[IAC, verb.byte(), option.0]);
}

/// Outside BINARY a CR that is only a CR is sent as CR NUL; the NUL is not data (RFC 854).
fn strip_cr_nul(after_cr: &mut bool, mut data: &[u8], mut emit: impl FnMut(&[u8])) {
    while !data.is_empty() {
        if std::mem::take(after_cr) && data[0] == 0 {
            data = &data[1..];
            continue;
        }
        // Up to and including the next CR.
        let end = memchr::memchr(b'\r', data).map_or(data.len(), |at| at + 1);
        let (piece, rest) = data.split_at(end);
        *after_cr = piece.last() == Some(&b'\r');
        emit(piece);
        data = rest;
    }
}
