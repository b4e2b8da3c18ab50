//! The adapter that makes a simulated board a port, on a clock that the tests move.

mod sim_support;

use std::time::Duration;

use sim_support::{ask, open, read_until, write_all};

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn the_article_is_answered() {
    let mut port = open("sim:interpreter");
    assert_eq!(
        read_until(&mut port, "> ").await,
        "\r\nUART interpreter 1.0, type HELP\r\n> "
    );
    assert_eq!(
        ask(&mut port, "Hello IoT!").await,
        "Hello IoT!\r\nHello from the UART interpreter!\r\n> "
    );
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn echo_gives_back_a_megabyte_without_losing_a_byte() {
    let mut port = open("sim:echo");
    let sent: Vec<u8> = (0..1_000_000u32).map(|i| (i ^ (i >> 8)) as u8).collect();
    let received = sim_support::through(&mut port, &sent).await;
    assert!(received == sent);
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_board_does_things_by_itself_when_their_time_has_come() {
    let start = tokio::time::Instant::now();
    let mut port = open("sim:interpreter?prompt=off&echo=off");
    read_until(&mut port, "HELP\r\n").await;
    write_all(&mut port, b"STREAM 250\r").await;
    assert_eq!(read_until(&mut port, "\r\n").await, "OK\r\n");
    for n in 1..=8 {
        let line = read_until(&mut port, "\r\n").await;
        assert!(line.starts_with(&format!("T {n} ")), "{line}");
    }
    assert_eq!(start.elapsed(), Duration::from_secs(2));
}
