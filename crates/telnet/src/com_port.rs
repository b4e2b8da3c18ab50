//! RFC 2217's subnegotiations as types, in the numbers of the RFC. Not what a device can do with them, and not the state
//! of a session (masks, suspension): both are their owners'.
//!
//! A command of the client's has a code below 100; the access server's reply, or notification, has that code plus 100.

use bytes::{BufMut, BytesMut};

/// What a code adds to be the access server's.
pub const FROM_SERVER: u8 = 100;

/// The longest signature that is kept, in bytes; a longer one is cut.
pub const MAX_SIGNATURE: usize = 255;

/// One subnegotiation's meaning, the same for both directions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Message {
    /// A signature; from a client, an empty one asks for the server's.
    Signature(Vec<u8>),
    /// Symbols per second; 0 asks.
    BaudRate(u32),
    /// One of the commands whose value is one byte.
    Byte(ByteCode, u8),
    /// The sender cannot take more data.
    Suspend,
    /// The sender can take data again.
    Resume,
}

/// The commands whose value is one byte, as the client numbers them. The values are the constants of [`value`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ByteCode {
    /// SET-DATASIZE: 5 to 8 data bits; 0 asks.
    DataSize = 2,
    /// SET-PARITY; 0 asks.
    Parity = 3,
    /// SET-STOPSIZE; 0 asks.
    StopSize = 4,
    /// SET-CONTROL: flow control, break, DTR, RTS.
    Control = 5,
    /// NOTIFY-LINESTATE: receive errors and break; a client that sends it polls.
    LineState = 6,
    /// NOTIFY-MODEMSTATE: modem lines; a client that sends it polls.
    ModemState = 7,
    /// SET-LINESTATE-MASK: which line states are notified.
    LineStateMask = 10,
    /// SET-MODEMSTATE-MASK: which modem states are notified.
    ModemStateMask = 11,
    /// PURGE-DATA: which buffers to empty.
    Purge = 12,
}

const BYTE_CODES: [ByteCode; 9] = [
    ByteCode::DataSize,
    ByteCode::Parity,
    ByteCode::StopSize,
    ByteCode::Control,
    ByteCode::LineState,
    ByteCode::ModemState,
    ByteCode::LineStateMask,
    ByteCode::ModemStateMask,
    ByteCode::Purge,
];

const SIGNATURE: u8 = 0;
const SET_BAUDRATE: u8 = 1;
const FLOWCONTROL_SUSPEND: u8 = 8;
const FLOWCONTROL_RESUME: u8 = 9;

/// A subnegotiation of the COM-PORT-OPTION that means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ComPortError {
    /// There is not even a command.
    #[error("the subnegotiation is empty")]
    Empty,
    /// RFC 2217 has no such command in this direction.
    #[error("command {code} is not one of RFC 2217's in this direction")]
    Unknown {
        /// The command.
        code: u8,
    },
    /// The value is too short for the command.
    #[error("command {code} needs {needed} bytes of value and has {found}")]
    Short {
        /// The command.
        code: u8,
        /// How many bytes it needs.
        needed: usize,
        /// How many there are.
        found: usize,
    },
}

/// The values of RFC 2217.
#[expect(
    missing_docs,
    reason = "the names are the RFC's own, section by section"
)]
pub mod value {
    pub mod parity {
        pub const NONE: u8 = 1;
        pub const ODD: u8 = 2;
        pub const EVEN: u8 = 3;
        pub const MARK: u8 = 4;
        pub const SPACE: u8 = 5;
    }

    pub mod stop_size {
        pub const ONE: u8 = 1;
        pub const TWO: u8 = 2;
        pub const ONE_AND_A_HALF: u8 = 3;
    }

    pub mod control {
        pub const ASK_FLOW: u8 = 0;
        pub const FLOW_NONE: u8 = 1;
        pub const FLOW_XON_XOFF: u8 = 2;
        pub const FLOW_HARDWARE: u8 = 3;
        pub const ASK_BREAK: u8 = 4;
        pub const BREAK_ON: u8 = 5;
        pub const BREAK_OFF: u8 = 6;
        pub const ASK_DTR: u8 = 7;
        pub const DTR_ON: u8 = 8;
        pub const DTR_OFF: u8 = 9;
        pub const ASK_RTS: u8 = 10;
        pub const RTS_ON: u8 = 11;
        pub const RTS_OFF: u8 = 12;
        pub const ASK_INBOUND_FLOW: u8 = 13;
        pub const INBOUND_NONE: u8 = 14;
        pub const INBOUND_XON_XOFF: u8 = 15;
        pub const INBOUND_HARDWARE: u8 = 16;
        pub const FLOW_DCD: u8 = 17;
        pub const INBOUND_DTR: u8 = 18;
        pub const FLOW_DSR: u8 = 19;
    }

    pub mod line_state {
        pub const TIMEOUT: u8 = 128;
        pub const SHIFT_EMPTY: u8 = 64;
        pub const HOLDING_EMPTY: u8 = 32;
        pub const BREAK: u8 = 16;
        pub const FRAMING: u8 = 8;
        pub const PARITY: u8 = 4;
        pub const OVERRUN: u8 = 2;
        pub const DATA_READY: u8 = 1;
    }

    pub mod modem_state {
        pub const DCD: u8 = 128;
        pub const RI: u8 = 64;
        pub const DSR: u8 = 32;
        pub const CTS: u8 = 16;
        pub const DELTA_DCD: u8 = 8;
        pub const TRAILING_RI: u8 = 4;
        pub const DELTA_DSR: u8 = 2;
        pub const DELTA_CTS: u8 = 1;
    }

    pub mod purge {
        pub const RECEIVE: u8 = 1;
        pub const TRANSMIT: u8 = 2;
        pub const BOTH: u8 = 3;
    }
}

impl Message {
    /// Understands what a client sent. Bytes beyond a command's value are ignored: some clients pad. NOTIFY-LINESTATE and
    /// NOTIFY-MODEMSTATE, which in RFC 2217 only a server sends, are questions, whether they have a value or not.
    ///
    /// # Errors
    /// [`ComPortError`]; the session can go on as if it had not been sent.
    pub fn from_client(payload: &[u8]) -> Result<Message, ComPortError> {
        let (&code, value) = payload.split_first().ok_or(ComPortError::Empty)?;
        let question = [ByteCode::LineState, ByteCode::ModemState]
            .into_iter()
            .find(|known| *known as u8 == code && value.is_empty());
        match question {
            Some(question) => Ok(Message::Byte(question, 0)),
            None => Message::decode(code, code, value),
        }
    }

    /// Understands what an access server sent. Suspend and resume are taken with and without the 100 added, as servers
    /// are seen to send both.
    ///
    /// # Errors
    /// [`ComPortError`]; the session can go on as if it had not been sent.
    pub fn from_server(payload: &[u8]) -> Result<Message, ComPortError> {
        let (&code, value) = payload.split_first().ok_or(ComPortError::Empty)?;
        let bare = match code {
            FLOWCONTROL_SUSPEND | FLOWCONTROL_RESUME => code,
            _ => code
                .checked_sub(FROM_SERVER)
                .ok_or(ComPortError::Unknown { code })?,
        };
        Message::decode(code, bare, value)
    }

    /// Appends the payload of a client's subnegotiation, not yet escaped.
    pub fn encode_from_client(&self, out: &mut BytesMut) {
        self.encode(0, out);
    }

    /// Appends the payload of an access server's subnegotiation, not yet escaped.
    pub fn encode_from_server(&self, out: &mut BytesMut) {
        self.encode(FROM_SERVER, out);
    }

    fn decode(code: u8, bare: u8, value: &[u8]) -> Result<Message, ComPortError> {
        let short = |needed| ComPortError::Short {
            code,
            needed,
            found: value.len(),
        };
        match bare {
            SIGNATURE => Ok(Message::Signature(
                value[..value.len().min(MAX_SIGNATURE)].to_vec(),
            )),
            SET_BAUDRATE => {
                let (rate, _) = value.split_first_chunk::<4>().ok_or(short(4))?;
                Ok(Message::BaudRate(u32::from_be_bytes(*rate)))
            }
            FLOWCONTROL_SUSPEND => Ok(Message::Suspend),
            FLOWCONTROL_RESUME => Ok(Message::Resume),
            _ => {
                let known = BYTE_CODES.into_iter().find(|known| *known as u8 == bare);
                let known = known.ok_or(ComPortError::Unknown { code })?;
                value
                    .first()
                    .map(|&value| Message::Byte(known, value))
                    .ok_or(short(1))
            }
        }
    }

    fn encode(&self, add: u8, out: &mut BytesMut) {
        out.put_u8(self.code() + add);
        match self {
            Message::Signature(text) => out.put_slice(text),
            Message::BaudRate(rate) => out.put_u32(*rate),
            Message::Byte(_, value) => out.put_u8(*value),
            Message::Suspend | Message::Resume => {}
        }
    }

    fn code(&self) -> u8 {
        match self {
            Message::Signature(_) => SIGNATURE,
            Message::BaudRate(_) => SET_BAUDRATE,
            Message::Byte(code, _) => *code as u8,
            Message::Suspend => FLOWCONTROL_SUSPEND,
            Message::Resume => FLOWCONTROL_RESUME,
        }
    }
}
