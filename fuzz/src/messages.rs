//! Messages of a session: what was understood is written such that it is understood as the same, and what was not
//! understood has a short answer.

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use uartnet_proto::message::{FromClient, FromServer, MessageError, Request, begins_session};

/// The target.
pub fn messages(data: &[u8]) {
    let payload = Bytes::copy_from_slice(data);
    let from_client = FromClient::decode(&payload);
    if let Ok(FromClient::Control(Request::Hello(_), _)) = from_client {
        assert!(begins_session(&payload), "a hello that begins no session");
    }
    stable(from_client, FromClient::encode, FromClient::decode);
    stable(
        FromServer::decode(&payload),
        FromServer::encode,
        FromServer::decode,
    );
}

fn stable<M: PartialEq + Debug>(
    decoded: Result<M, MessageError>,
    encode: fn(&M, &mut BytesMut),
    decode: fn(&Bytes) -> Result<M, MessageError>,
) {
    let message = match decoded {
        Ok(message) => message,
        Err(error) => {
            // A character may take four bytes, and its escape more.
            let answer = error.answer();
            assert!(answer.message.len() < 4096, "{error}");
            return;
        }
    };
    let (mut once, mut twice) = (BytesMut::new(), BytesMut::new());
    encode(&message, &mut once);
    let once = once.freeze();
    let again = decode(&once);
    assert_eq!(again.as_ref(), Ok(&message), "written as {once:?}");
    encode(&message, &mut twice);
    assert_eq!(twice, once);
}
