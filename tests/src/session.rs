//! A session spoken by hand: hello, control as JSON, data as `<offset>:<bytes>`. Not uartnet's own client.

use std::collections::VecDeque;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::{Peer, frame};

/// One session. What goes wrong is a panic.
#[derive(Debug)]
pub struct Session {
    peer: Peer,
    /// What the gateway said to hello.
    pub welcome: Value,
    /// Control that came while something else was waited for, oldest first.
    kept: VecDeque<Value>,
    /// Data that came while something else was waited for.
    data: Vec<u8>,
    /// The offset of the first byte in `data`.
    offset: Option<u64>,
    next_id: u64,
}

impl Session {
    /// Connects and says hello.
    ///
    /// # Panics
    /// The gateway does not welcome us.
    pub fn open(address: SocketAddr) -> Session {
        let mut peer = Peer::connect(address);
        peer.send(frame(r#"{"hello":"uartnet/1"}"#));
        let welcome: Value = serde_json::from_slice(&peer.frame()).expect("a JSON object");
        assert_eq!(welcome["welcome"], "uartnet/1", "{welcome}");
        Session {
            peer,
            welcome,
            kept: VecDeque::new(),
            data: Vec::new(),
            offset: None,
            next_id: 1,
        }
    }

    /// Sends a request and waits for its answer, which carries the same id.
    ///
    /// # Panics
    /// No answer comes.
    pub fn request(&mut self, request: Value) -> Value {
        let id = self.send(request);
        self.answer(id)
    }

    /// Sends a request without waiting, and returns its id.
    pub fn send(&mut self, mut request: Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        request["id"] = json!(id);
        self.peer.send(frame(request.to_string()));
        id
    }

    /// Sends a payload as it is.
    pub fn send_payload(&mut self, payload: impl AsRef<[u8]>) {
        self.peer.send(frame(payload));
    }

    /// Sends data at this write offset.
    pub fn write(&mut self, offset: u64, bytes: impl AsRef<[u8]>) {
        let mut payload = format!("{offset}:").into_bytes();
        payload.extend_from_slice(bytes.as_ref());
        self.peer.send(frame(payload));
    }

    /// Waits for the answer with this id; other control is kept.
    ///
    /// # Panics
    /// No answer comes.
    pub fn answer(&mut self, id: u64) -> Value {
        self.control(|control| control["id"] == id)
    }

    /// Waits for an event of this kind; other control is kept.
    ///
    /// # Panics
    /// No such event comes.
    pub fn event(&mut self, kind: &str) -> Value {
        self.control(|control| control["event"] == kind)
    }

    /// Waits for an answer that is a refusal or failure; other control is kept.
    ///
    /// # Panics
    /// No such answer comes.
    pub fn error(&mut self) -> Value {
        self.control(|control| !control["error"].is_null())
    }

    /// Waits for control that is accepted, which may have come before; other control is kept.
    ///
    /// # Panics
    /// Nothing of that kind comes.
    pub fn control(&mut self, accept: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.kept.iter().position(&accept) {
            return self.kept.remove(at).expect("it was found just before");
        }
        loop {
            if let Some(control) = self.receive() {
                if accept(&control) {
                    return control;
                }
                self.kept.push_back(control);
            }
        }
    }

    /// Waits until the data read so far contains this text, and takes everything up to its end:
    /// the offset of the first byte, and the bytes.
    ///
    /// # Panics
    /// The data does not come, or its offsets have a hole.
    pub fn read_until(&mut self, text: &str) -> (u64, Vec<u8>) {
        loop {
            if let Some(at) = self
                .data
                .windows(text.len())
                .position(|window| window == text.as_bytes())
            {
                let taken: Vec<u8> = self.data.drain(..at + text.len()).collect();
                let offset = self.offset.expect("data has an offset");
                self.offset = Some(offset + taken.len() as u64);
                return (offset, taken);
            }
            if let Some(control) = self.receive() {
                self.kept.push_back(control);
            }
        }
    }

    /// Waits for data, and takes all that was read: the offset of the first byte, and the bytes.
    ///
    /// # Panics
    /// No data comes, or its offsets have a hole.
    pub fn read_some(&mut self) -> (u64, Vec<u8>) {
        while self.data.is_empty() {
            if let Some(control) = self.receive() {
                self.kept.push_back(control);
            }
        }
        let offset = self.offset.expect("data has an offset");
        let taken = std::mem::take(&mut self.data);
        self.offset = Some(offset + taken.len() as u64);
        (offset, taken)
    }

    /// Waits for the end of the stream, and returns the control that came before it.
    ///
    /// # Panics
    /// It does not end.
    pub fn end(mut self) -> Vec<Value> {
        while let Some(payload) = self.peer.next_frame() {
            if let Some(control) = self.understand(payload) {
                self.kept.push_back(control);
            }
        }
        self.kept.into()
    }

    /// The connection itself.
    pub fn peer(&mut self) -> &mut Peer {
        &mut self.peer
    }

    /// Takes one payload from the wire: control is returned, data is kept.
    fn receive(&mut self) -> Option<Value> {
        let payload = self.peer.frame();
        self.understand(payload)
    }

    fn understand(&mut self, payload: Vec<u8>) -> Option<Value> {
        if payload.first() == Some(&b'{') {
            let control: Value = serde_json::from_slice(&payload).expect("a JSON object");
            if control["event"] == "gap" {
                self.offset = control["to"].as_u64();
                self.data.clear();
            }
            return Some(control);
        }
        let colon = payload
            .iter()
            .position(|byte| *byte == b':')
            .expect("data with an offset");
        let offset: u64 = String::from_utf8_lossy(&payload[..colon])
            .parse()
            .expect("an offset");
        let expected = self.offset.map(|start| start + self.data.len() as u64);
        assert!(
            expected.is_none_or(|expected| expected == offset),
            "data at {offset} where {expected:?} comes next"
        );
        if self.offset.is_none() {
            self.offset = Some(offset);
        }
        self.data.extend_from_slice(&payload[colon + 1..]);
        None
    }
}
