//! The messages of a session: control (JSON objects) and data (`<offset>:<bytes>`), to and from payloads.
//! Not frames; a WebSocket or MQTT carries the same payloads without them.
//!
//! A control message is a JSON object. The one key that names its kind also carries its main operand
//! (`{"ask":"board0","command":"LED ON","id":4}`); unknown other keys are ignored, a message without any known kind is an
//! error. Every request may carry an `id`, which its answer repeats. A field that may be absent may also be `null`.

mod answer;
mod blob;
mod data;
mod error;
mod error_code;
mod event;
mod kind;
mod request;
mod secret;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;

pub use answer::*;
pub use blob::Blob;
pub use data::{data_header, data_room};
pub use error::MessageError;
pub use error_code::ErrorCode;
pub use event::{Event, GapWhy};
pub use request::*;
pub use secret::Secret;

use crate::text::shown;
use kind::{Head, Id, Kinds, bad_field, kinds};

/// A payload of a session, as a client sends it.
#[derive(Debug, Clone, PartialEq)]
pub enum FromClient {
    /// A request, with the id its answer repeats.
    Control(Request, Option<u64>),
    /// Bytes for the UART of the open port.
    Data {
        /// The client's own write offset of the first byte.
        offset: u64,
        /// The bytes.
        bytes: Bytes,
    },
}

/// A payload of a session, as a server sends it.
#[derive(Debug, Clone, PartialEq)]
pub enum FromServer {
    /// An answer, with the id of its request, or an event (no id).
    Control(Answer, Option<u64>),
    /// Bytes of the open port's UART.
    Data {
        /// The port's offset of the first byte.
        offset: u64,
        /// The bytes.
        bytes: Bytes,
    },
}

/// Whether the first payload of a connection begins a session: a JSON object with the key `hello`.
/// Everything else begins a plain conversation.
pub fn begins_session(payload: &[u8]) -> bool {
    payload.first() == Some(&b'{')
        && std::str::from_utf8(payload).is_ok_and(|text| {
            Head::parse(text, REQUEST_KINDS).is_ok_and(|head| head.kinds.contains(&"hello"))
        })
}

impl FromClient {
    /// Understands a payload. A request that names two kinds is refused, whichever was meant.
    ///
    /// # Errors
    /// [`MessageError`]; the connection can go on.
    pub fn decode(payload: &Bytes) -> Result<FromClient, MessageError> {
        match Shape::of(payload)? {
            Shape::Data => {
                let (offset, bytes) = data::decode(payload)?;
                Ok(FromClient::Data { offset, bytes })
            }
            Shape::Control => {
                let (text, head) = control_head::<Request>(payload)?;
                if let [first, second, ..] = head.kinds[..] {
                    return Err(MessageError::TwoKinds {
                        first,
                        second,
                        id: head.id(),
                    });
                }
                let (request, id) = control(text, &head)?;
                Ok(FromClient::Control(request, id))
            }
        }
    }

    /// Appends the payload (without its frame).
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            FromClient::Control(request, id) => encode_control(request, *id, out),
            FromClient::Data { offset, bytes } => encode_data(*offset, bytes, out),
        }
    }
}

impl FromServer {
    /// Understands a payload, also one of a newer gateway: events and error codes this crate does not know become
    /// `Unknown`, and where two keys name a kind, the first of [`ANSWER_KINDS`] is the kind.
    ///
    /// # Errors
    /// [`MessageError`]; the connection can go on.
    pub fn decode(payload: &Bytes) -> Result<FromServer, MessageError> {
        match Shape::of(payload)? {
            Shape::Data => {
                let (offset, bytes) = data::decode(payload)?;
                Ok(FromServer::Data { offset, bytes })
            }
            Shape::Control => {
                let (text, head) = control_head::<Answer>(payload)?;
                let (answer, id) = control(text, &head)?;
                Ok(FromServer::Control(answer, id))
            }
        }
    }

    /// Appends the payload (without its frame).
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            FromServer::Control(answer, id) => encode_control(answer, *id, out),
            FromServer::Data { offset, bytes } => encode_data(*offset, bytes, out),
        }
    }
}

/// What the first byte of a payload says it is.
enum Shape {
    Control,
    Data,
}

impl Shape {
    fn of(payload: &[u8]) -> Result<Shape, MessageError> {
        match payload.first() {
            Some(b'{') => Ok(Shape::Control),
            Some(b'0'..=b'9') => Ok(Shape::Data),
            Some(&other) => Err(MessageError::NeitherControlNorData {
                found: shown(other),
            }),
            None => Err(MessageError::NeitherControlNorData {
                found: "an empty one".to_owned(),
            }),
        }
    }
}

/// The text of a control payload, and what its keys say.
fn control_head<M: Kinds>(payload: &[u8]) -> Result<(&str, Head), MessageError> {
    let text = std::str::from_utf8(payload).map_err(|error| MessageError::NotJson {
        problem: format!("byte {} is not UTF-8", error.valid_up_to()),
    })?;
    Ok((text, Head::parse(text, M::KINDS)?))
}

/// The message that a control payload is.
fn control<M: Kinds>(text: &str, head: &Head) -> Result<(M, Option<u64>), MessageError> {
    let Some(&kind) = head.kinds.first() else {
        return Err(head.unknown_kind());
    };
    if head.id == Id::Wrong {
        return Err(bad_field(
            kind,
            None,
            "id must be one whole number from 0 to 18446744073709551615",
        ));
    }
    Ok((M::from_fields(kind, head.id(), text)?, head.id()))
}

fn encode_control<M: Kinds>(message: &M, id: Option<u64>, out: &mut BytesMut) {
    /// The id stands beside the fields.
    #[derive(Serialize)]
    struct WithId<'a, M> {
        #[serde(flatten)]
        message: &'a M,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
    }
    serde_json::to_writer(out.writer(), &WithId { message, id }).expect(
        "a message is made of texts, numbers and maps with text keys, all of which JSON has",
    );
}

fn encode_data(offset: u64, bytes: &[u8], out: &mut BytesMut) {
    data_header(offset, out);
    out.extend_from_slice(bytes);
}
