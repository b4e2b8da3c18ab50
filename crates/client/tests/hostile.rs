//! Gateways that misbehave: every one ends in an error value that says what was wrong, never in a panic or a wait for ever.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod support;

use std::time::Duration;

use serde_json::json;
use support::Gateway;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use uartnet_client::{Address, ClientError, Connection, Session};

/// In one piece, counted by hand: 4 bytes of LEN and 101 of payload.
const WELCOME: &[u8] = br#"105_{"welcome":"uartnet/1","gateway":"g","server":"s","epoch":"00000000000000aa","max_frame":65536,"x":0}"#;

fn address() -> Address {
    "bench1:8000".parse().unwrap()
}

fn connection() -> (Connection, DuplexStream) {
    // A small buffer, so that neither side gets its bytes across in one piece.
    let (ours, theirs) = duplex(8);
    (Connection::over(Box::new(ours), address()), theirs)
}

/// What becomes of a session whose gateway says these bytes and then closes.
async fn said(bytes: &[u8]) -> Result<(), ClientError> {
    let (connection, theirs) = connection();
    let bytes = bytes.to_vec();
    let (mut read, mut write) = tokio::io::split(theirs);
    let reader = tokio::spawn(async move { read.read_to_end(&mut Vec::new()).await });
    let writer = tokio::spawn(async move {
        // The client may have closed before it has heard all of it.
        let _ = write.write_all(&bytes).await;
        let _ = write.shutdown().await;
    });
    let result = async {
        Session::begin(connection, None)
            .await?
            .list()
            .await
            .map(drop)
    }
    .await;
    reader.abort();
    writer.abort();
    result
}

#[tokio::test]
async fn bytes_that_are_no_frames_are_an_error_that_says_what_is_wrong() {
    for (bytes, words) in [
        (&b""[..], "closed the connection"),
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            "does not speak uartnet: byte 0",
        ),
        (b"_", "does not speak uartnet: byte 0"),
        (b"0_", "does not speak uartnet"),
        (b"+5_abc", "does not speak uartnet"),
        (b"1_", "does not speak uartnet"),
        (b"99999999999999999999_", "16777216"),
        (b"16777217_", "16777216"),
        (b"16777216_only the beginning", "the stream ends"),
        (b"10", "the stream ends"),
        (b"5_he", "the stream ends"),
        (b"2_", "no message"),
        (b"7_hello", "no message"),
        (b"4_{}", "closed the connection"),
        (b"5_7:x", "data where a welcome"),
    ] {
        expect_error(bytes, words).await;
    }
}

#[tokio::test]
async fn payloads_that_are_no_welcome_are_an_error_that_says_what_is_wrong() {
    for (payload, words) in [
        (r#"{"pong":}"#, "no message"),
        (r#"{"pong":7}"#, "pong where a welcome"),
        (r#"{"future":7}"#, "closed the connection"),
        (r#"{"welcome":"uartnet/1"}"#, "no message: welcome: "),
        (
            r#"{"welcome":"uartnet/9","gateway":"g","server":"s","epoch":"00","max_frame":1}"#,
            "uartnet/9",
        ),
        (
            r#"{"error":"version","message":"too old"}"#,
            "too old (version)",
        ),
        ("error: busy: come later", "come later (busy)"),
        ("error: lazy: come later", "no message"),
    ] {
        expect_error(&support::frame(payload.as_bytes()), words).await;
    }
}

#[tokio::test]
async fn every_wrong_answer_is_an_error_that_says_what_is_wrong() {
    for (payload, words) in [
        (r#"{"ports":"all","id":1}"#, "no message: ports: "),
        (r#"{"ports":[],"id":2}"#, "closed the connection"),
        (r#"{"pong":1}"#, "closed the connection"),
        (r#"{"pong":1,"id":1}"#, "answered pong where ports"),
        (r#"{"done":"list","id":1}"#, "answered done where ports"),
        (
            r#"{"error":"forbidden","message":"not for you","id":1}"#,
            "not for you (forbidden)",
        ),
        (
            r#"{"error":"shutdown","message":"the gateway stops"}"#,
            "the gateway stops (shutdown)",
        ),
        (
            r#"{"error":"busy","message":"of another","id":7}"#,
            "closed the connection",
        ),
        (r#"{"ports":["#, "no message"),
    ] {
        let bytes = [WELCOME, &support::frame(payload.as_bytes())].concat();
        expect_error(&bytes, words).await;
    }
    expect_error(
        &[WELCOME, b"x"].concat(),
        "does not speak uartnet: byte 105",
    )
    .await;
}

async fn expect_error(bytes: &[u8], words: &str) {
    let shown = String::from_utf8_lossy(bytes).into_owned();
    match tokio::time::timeout(support::PATIENCE, said(bytes)).await {
        Ok(Err(error)) => assert!(error.to_string().contains(words), "{shown}: {error}"),
        Ok(Ok(())) => panic!("{shown} was taken"),
        Err(_) => panic!("{shown} is waited for"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_gateway_is_pinged_and_then_given_up() {
    let (connection, mut theirs) = connection();
    let peer = tokio::spawn(async move {
        theirs.write_all(WELCOME).await.unwrap();
        let mut heard = Vec::new();
        theirs.read_to_end(&mut heard).await.unwrap();
        String::from_utf8(heard).unwrap()
    });
    let mut session = Session::begin(connection, None).await.unwrap();
    let error = session.next().await.unwrap_err();
    assert!(
        matches!(error, ClientError::Silent { silence, .. } if silence == Duration::from_secs(30)),
        "{error}"
    );
    drop(session);
    assert!(peer.await.unwrap().contains("{\"ping\":0}"));
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_lives_and_never_answers_is_not_waited_for_for_ever() {
    let (connection, mut theirs) = connection();
    let peer = tokio::spawn(async move {
        theirs.write_all(WELCOME).await.unwrap();
        let (mut read, mut write) = tokio::io::split(theirs);
        tokio::spawn(async move { read.read_to_end(&mut Vec::new()).await });
        while write.write_all(b"13_{\"pong\":0}").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let mut session = Session::begin(connection, None).await.unwrap();
    let error = session.list().await.unwrap_err();
    assert!(
        matches!(
            error,
            ClientError::NoAnswer {
                question: "list",
                ..
            }
        ),
        "{error}"
    );
    drop(session);
    peer.await.unwrap();
}

#[tokio::test]
async fn neither_side_blocks_the_other() {
    // Both send far more than fits between them before either would have to read.
    let (mut connection, theirs) = connection();
    let (mut read, mut write) = tokio::io::split(theirs);
    let peer = tokio::spawn(async move {
        for _ in 0..1000 {
            write.write_all(b"9_message").await.unwrap_or_default();
        }
        let mut heard = Vec::new();
        read.read_to_end(&mut heard).await.unwrap();
        write.shutdown().await.unwrap();
        heard.len()
    });
    for _ in 0..1000 {
        connection.send(&[b"mes", b"sage"]);
    }
    connection.finish();
    let mut received = 0;
    while let Some(payload) = connection.receive().await.unwrap() {
        assert_eq!(payload, "message");
        received += 1;
    }
    assert_eq!((received, peer.await.unwrap()), (1000, 9000));
}

#[tokio::test]
async fn a_frame_cut_anywhere_is_an_error_not_an_end() {
    for length in 1..WELCOME.len() {
        let (mut connection, mut theirs) = connection();
        let bytes = WELCOME[..length].to_vec();
        tokio::spawn(async move { theirs.write_all(&bytes).await });
        let error = connection.receive().await.unwrap_err();
        assert!(
            matches!(error, ClientError::Lost { .. }),
            "cut at {length}: {error}"
        );
    }
}

#[tokio::test]
async fn the_last_words_of_a_gateway_that_closed_are_heard() {
    // The client still writes when the gateway has already said why it closes.
    let gateway = Gateway::start(|door| {
        let mut peer = door.welcome();
        peer.say(json!({"error": "bad-frame", "message": "byte 7: that is no digit"}));
    });
    let address: Address = gateway.address.parse().unwrap();
    let mut session = Session::connect(&address.into(), support::PATIENCE)
        .await
        .unwrap();
    gateway.finish();
    let error = session.list().await.unwrap_err();
    assert!(
        error.to_string().contains("that is no digit (bad-frame)"),
        "{error}"
    );
}
