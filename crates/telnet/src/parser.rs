//! The incremental parser: bytes in any pieces to tokens. It knows the shape of telnet, not what options mean.
//! Data is handed on as slices of the input; only a subnegotiation is kept, and only up to a bound.

use crate::codes::{Command, DO, DONT, IAC, SB, SE, TelnetOption, WILL, WONT};
use crate::options::{Negotiation, Verb};

/// The longest subnegotiation that is understood, in bytes between its option and its end. A longer one is skipped whole
/// and told as [`crate::Event::SubnegotiationTooLong`]. RFC 2217's longest is a signature; what is seen of these is below 100.
pub const MAX_SUBNEGOTIATION: usize = 1024;

/// One piece of what the peer sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// Data, not empty, IAC undoubled.
    Data(&'a [u8]),
    Command(Command),
    Negotiation(Negotiation),
    Subnegotiation {
        option: Option<TelnetOption>,
        payload: &'a [u8],
    },
    SubnegotiationTooLong {
        option: TelnetOption,
    },
}

#[derive(Debug, Default)]
pub(crate) struct Parser {
    state: State,
    /// Of the subnegotiation under way; empty otherwise. The first byte is the option.
    subnegotiation: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Data,
    /// After IAC.
    Iac,
    /// After IAC and this verb.
    Verb(Verb),
    /// Inside a subnegotiation.
    Sub,
    /// Inside a subnegotiation, after IAC.
    SubIac,
}

impl Parser {
    /// Whether what comes next is data, unless it is an IAC.
    pub(crate) fn expects_data(&self) -> bool {
        self.state == State::Data
    }

    /// Takes the next token off the front of `input`, which is left with what follows it. `None`: all of it was taken
    /// and more is needed.
    pub(crate) fn next<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8]) -> Option<Token<'a>> {
        loop {
            let (&byte, rest) = input.split_first()?;
            match self.state {
                State::Data => {
                    if byte != IAC {
                        let end = memchr::memchr(IAC, input).unwrap_or(input.len());
                        let (data, rest) = input.split_at(end);
                        *input = rest;
                        return Some(Token::Data(data));
                    }
                    *input = rest;
                    self.state = State::Iac;
                }
                State::Iac => {
                    let token = &input[..1];
                    *input = rest;
                    self.state = State::Data;
                    match byte {
                        IAC => return Some(Token::Data(token)),
                        WILL => self.state = State::Verb(Verb::Will),
                        WONT => self.state = State::Verb(Verb::Wont),
                        DO => self.state = State::Verb(Verb::Do),
                        DONT => self.state = State::Verb(Verb::Dont),
                        SB => self.begin_subnegotiation(),
                        command => return Some(Token::Command(Command::from_byte(command))),
                    }
                }
                State::Verb(verb) => {
                    *input = rest;
                    self.state = State::Data;
                    return Some(Token::Negotiation(Negotiation {
                        verb,
                        option: TelnetOption(byte),
                    }));
                }
                State::Sub => {
                    if byte == IAC {
                        *input = rest;
                        self.state = State::SubIac;
                        continue;
                    }
                    let end = memchr::memchr(IAC, input).unwrap_or(input.len());
                    let (part, rest) = input.split_at(end);
                    *input = rest;
                    self.keep(part);
                }
                State::SubIac => {
                    *input = rest;
                    match byte {
                        SE => {
                            self.state = State::Data;
                            return Some(self.end_subnegotiation());
                        }
                        IAC => {
                            self.state = State::Sub;
                            self.keep(&[IAC]);
                        }
                        // RFC 855 allows nothing else here. A peer that forgot to double an IAC meant data; one that begins
                        // anew had its last subnegotiation cut off.
                        SB => self.begin_subnegotiation(),
                        other => {
                            self.state = State::Sub;
                            self.keep(&[IAC, other]);
                        }
                    }
                }
            }
        }
    }

    fn begin_subnegotiation(&mut self) {
        self.state = State::Sub;
        self.subnegotiation.clear();
    }

    /// Keeps at most the option, the longest payload, and one byte more that shows it was too long.
    fn keep(&mut self, part: &[u8]) {
        let room = (MAX_SUBNEGOTIATION + 2).saturating_sub(self.subnegotiation.len());
        self.subnegotiation
            .extend_from_slice(&part[..part.len().min(room)]);
    }

    fn end_subnegotiation(&mut self) -> Token<'_> {
        match self.subnegotiation.split_first() {
            None => Token::Subnegotiation {
                option: None,
                payload: &[],
            },
            Some((&option, payload)) if payload.len() > MAX_SUBNEGOTIATION => {
                Token::SubnegotiationTooLong {
                    option: TelnetOption(option),
                }
            }
            Some((&option, payload)) => Token::Subnegotiation {
                option: Some(TelnetOption(option)),
                payload,
            },
        }
    }
}
