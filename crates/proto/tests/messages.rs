//! Messages: every kind there and back, and everything a peer can get wrong.

use bytes::{Bytes, BytesMut};
use uartnet_proto::message::*;

#[test]
fn an_ask_there_and_back() {
    let payload = Bytes::from_static(br#"{"ask":"board0","command":"LED ON","id":4}"#);
    let ask = Ask {
        ask: "board0".into(),
        command: Blob("LED ON".into()),
        timeout_ms: None,
    };
    let message = FromClient::Control(Request::Ask(ask), Some(4));
    assert_eq!(FromClient::decode(&payload), Ok(message.clone()));
    let mut out = BytesMut::new();
    message.encode(&mut out);
    assert_eq!(out, payload);
}
