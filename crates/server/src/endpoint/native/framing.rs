//! How payloads become frames in an [`Output`], none of them longer than the client's decoder may take.
//! Not what is said; that is `plain` and `session`.

use std::fmt::Write as _;

use bytes::{Bytes, BytesMut};
use uartnet_proto::frame::{encode, frame_len};
use uartnet_proto::message::{Answer, ErrorAnswer, ErrorCode, FromServer, data_header, data_room};

use crate::endpoint::Output;

/// How many bytes of a UART one frame carries at most: small enough for a client to start showing it early, large
/// enough for its header not to matter.
const DATA: usize = 32 * 1024;
/// The digits of an offset, and `:`.
const DATA_HEADER: usize = 21;

/// How many bytes of a UART one frame carries at most, where frames have this limit.
pub(super) fn data_limit(max_frame: usize) -> usize {
    DATA.min(data_room(max_frame))
}

/// Appends one frame.
pub(super) fn say(out: &mut Output, payload: &[u8]) {
    out.append(|tail| encode(&[payload], tail));
}

/// Appends a data frame; the bytes stay shared.
pub(super) fn say_data(out: &mut Output, offset: u64, bytes: Bytes) {
    let mut header = BytesMut::with_capacity(DATA_HEADER);
    data_header(offset, &mut header);
    let len = frame_len(header.len() + bytes.len());
    out.append(|tail| {
        // Writing to a buffer that grows cannot fail.
        let _ = write!(tail, "{len}_");
        tail.extend_from_slice(&header);
    });
    out.push_shared(bytes);
}

/// Appends a control frame. An answer that is larger than a frame may be becomes the error `too-big`.
pub(super) fn say_answer(out: &mut Output, max_frame: usize, answer: Answer, id: Option<u64>) {
    let mut payload = BytesMut::new();
    FromServer::Control(answer, id).encode(&mut payload);
    let len = frame_len(payload.len());
    if len > max_frame {
        let message = format!(
            "the answer takes a frame of {len} bytes, and the largest allowed has {max_frame}"
        );
        let error = ErrorAnswer::new(ErrorCode::TooBig, message);
        payload.clear();
        FromServer::Control(Answer::Error(error), id).encode(&mut payload);
    }
    say(out, &payload);
}

/// Appends an error that answers no request in particular.
pub(super) fn say_error(out: &mut Output, error: ErrorCode, message: String) {
    say_answer(
        out,
        usize::MAX,
        Answer::Error(ErrorAnswer::new(error, message)),
        None,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_frame_is_what_the_proto_would_write() {
        for len in [0, 1, 5, 94, 1024, 32 * 1024] {
            let bytes = Bytes::from(vec![b'x'; len]);
            let mut out = Output::new();
            say_data(&mut out, 81_920, bytes.clone());
            let mut expected = BytesMut::new();
            encode(&[b"81920:", &bytes], &mut expected);
            assert_eq!(out.take(), expected);
        }
    }

    #[test]
    fn no_data_frame_is_longer_than_allowed() {
        for max_frame in [64, 128, 1000, 65_536] {
            let mut out = Output::new();
            say_data(
                &mut out,
                u64::MAX,
                Bytes::from(vec![0; data_limit(max_frame)]),
            );
            assert!(out.len() <= max_frame, "{} > {max_frame}", out.len());
        }
    }

    #[test]
    fn an_answer_that_does_not_fit_becomes_an_error_that_says_so() {
        let mut out = Output::new();
        let answer = ErrorAnswer::new(ErrorCode::Device, "x".repeat(300));
        say_answer(&mut out, 200, Answer::Error(answer), Some(4));
        let said = String::from_utf8(out.take()).unwrap();
        assert!(
            said.contains(r#""error":"too-big""#) && said.contains(r#""id":4"#),
            "{said}"
        );
    }
}
