//! Frames: the decoder gives what a plain reading of docs/wire.md gives, however the stream is cut, and keeps no more
//! memory than it says.

use bytes::{Bytes, BytesMut};
use uartnet_proto::frame::{self, FrameDecoder};

use crate::choices::{Choices, understood};

/// Largest frames to choose from; each is at an edge of what LEN can be.
const MAX_FRAMES: [usize; 8] = [2, 9, 10, 11, 99, 100, 1000, 65_536];

/// How a stream ends, with the position of what decided it.
#[derive(Debug, PartialEq, Eq)]
enum End {
    BetweenFrames,
    InsideFrame(u64),
    Broken(u64),
}

/// The target.
pub fn frames(data: &[u8]) {
    let Some((mut choices, stream)) = understood(data) else {
        return;
    };
    let max_frame = MAX_FRAMES[choices.below(MAX_FRAMES.len())];
    let (payloads, end) = reference(&stream, max_frame);
    let (decoded, decoded_end) = decode(&stream, max_frame, &mut choices);
    assert_eq!(decoded_end, end, "with frames of {max_frame} bytes at most");
    assert!(
        decoded == payloads,
        "with frames of {max_frame} bytes at most: {} payloads are not the {} of the reference",
        decoded.len(),
        payloads.len()
    );

    let mut again = BytesMut::new();
    for payload in &payloads {
        let before = again.len();
        let (first, second) = payload.split_at(payload.len() / 2);
        frame::encode(&[first, second], &mut again);
        assert_eq!(again.len() - before, frame::frame_len(payload.len()));
    }
    assert!(
        again.len() <= stream.len(),
        "the encoder is longer than what it encodes again"
    );
    assert_eq!(
        reference(&again, max_frame),
        (payloads, End::BetweenFrames),
        "encoded again"
    );
}

fn decode(mut stream: &[u8], max_frame: usize, choices: &mut Choices) -> (Vec<Bytes>, End) {
    let mut decoder = FrameDecoder::new(max_frame);
    let mut payloads = Vec::new();
    while let Some(piece) = choices.piece(&mut stream) {
        decoder.handle_input(piece);
        loop {
            let unfinished = decoder.buffered_is_unfinished();
            match decoder.poll_frame() {
                Ok(Some(payload)) => {
                    assert!(!unfinished, "it gave what it said it had not");
                    payloads.push(payload);
                }
                Ok(None) => {
                    assert!(unfinished, "it did not give what it said it had");
                    break;
                }
                Err(error) => {
                    assert!(!unfinished, "{error}");
                    assert_eq!(decoder.poll_frame(), Err(error.clone()));
                    assert_eq!(decoder.handle_end(), Err(error.clone()));
                    assert_eq!(decoder.allocated(), 0);
                    assert!(error.to_string().len() < 200, "{error}");
                    return (payloads, End::Broken(error.at()));
                }
            }
        }
        // 8 is the least that a vector allocates.
        let (allocated, kept) = (decoder.allocated(), decoder.buffered());
        assert!(
            allocated <= (2 * kept).max(8) && (kept > 0 || allocated == 0),
            "{allocated} bytes of memory for {kept} of a frame"
        );
        assert!(kept < max_frame, "{kept} bytes of a frame are kept");
    }
    match decoder.handle_end() {
        Ok(()) => (payloads, End::BetweenFrames),
        Err(error) => (payloads, End::InsideFrame(error.at())),
    }
}

/// What docs/wire.md says, read from the whole stream at once.
fn reference(stream: &[u8], max_frame: usize) -> (Vec<Bytes>, End) {
    let mut payloads = Vec::new();
    let mut begin = 0;
    while begin < stream.len() {
        let mut len = 0;
        let mut at = begin;
        loop {
            let Some(&byte) = stream.get(at) else {
                return (payloads, End::InsideFrame(at as u64));
            };
            match byte {
                b'_' if at > begin && len > at - begin => break,
                b'1'..=b'9' => len = 10 * len + usize::from(byte - b'0'),
                b'0' if at > begin => len *= 10,
                _ => return (payloads, End::Broken(at as u64)),
            }
            if len > max_frame {
                return (payloads, End::Broken(at as u64));
            }
            at += 1;
        }
        let Some(payload) = stream.get(at + 1..begin + len) else {
            return (payloads, End::InsideFrame(stream.len() as u64));
        };
        payloads.push(Bytes::copy_from_slice(payload));
        begin += len;
    }
    (payloads, End::BetweenFrames)
}
