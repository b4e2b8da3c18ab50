//! The bytes of `uartnet/1`, written by hand from docs/wire.md, not by our encoder: whole frames, each field beside
//! what it means.
//!
//! If your change turns this file red, it breaks programs that are out there: revert the change, do not edit a golden.
//! A new message, or a new field that may be absent, is a new golden below the others. Only a new protocol version may
//! do more, in a file of its own.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use uartnet_proto::frame::{self, FrameDecoder};
use uartnet_proto::message::*;
use uartnet_proto::{DATA_RECEIVED, VERSION, plain};

#[test]
fn requests_are_these_bytes() {
    let hello = Hello {
        hello: "uartnet/1".into(),
        token: Some("secret".into()),
        client: Some("uart 0.1.0".into()),
    };
    request(
        concat!(
            "63_",                       // LEN
            r#"{"hello":"uartnet/1","#,  // the kind; the protocol spoken
            r#""token":"secret","#,      // the credential, may be absent
            r#""client":"uart 0.1.0"}"#, // the program, for the log, may be absent
        ),
        Request::Hello(hello),
        None,
    );
    request(
        concat!(
            "24_",                      // LEN
            r#"{"hello":"uartnet/1"}"#, // the shortest hello
        ),
        Request::Hello(Hello {
            hello: VERSION.into(),
            token: None,
            client: None,
        }),
        None,
    );
    request(
        concat!(
            "26_",                 // LEN
            r#"{"list":"ports","#, // the kind; what to list
            r#""id":1}"#,          // the answer repeats it
        ),
        Request::List(List {
            list: "ports".into(),
        }),
        Some(1),
    );
    request(
        concat!(
            "27_",                  // LEN
            r#"{"info":"board0","#, // the kind; the port
            r#""id":2}"#,           // the answer repeats it
        ),
        Request::Info(Info {
            info: "board0".into(),
        }),
        Some(2),
    );
    let open = |mode, from, on_lag, writer: Option<&str>| {
        Request::Open(Open {
            open: "board0".into(),
            mode,
            from,
            on_lag,
            writer: writer.map(str::to_owned),
        })
    };
    request(
        concat!(
            "55_",                  // LEN
            r#"{"open":"board0","#, // the kind; the port
            r#""mode":"read","#,    // read or write
            r#""from":"live","#,    // what arrives from now on
            r#""id":3}"#,           // the answer repeats it
        ),
        open(Mode::Read, StartAt::Live, None, None),
        Some(3),
    );
    request(
        concat!(
            "141_",                                                          // LEN
            r#"{"open":"board0","#,                                          // the kind; the port
            r#""mode":"write","#,                                            // read or write
            r#""from":{"at":{"offset":81920,"epoch":"00c0ffee00c0ffee"}},"#, // a byte of that epoch
            r#""on_lag":"gap","#, // auto, gap, disconnect or stall; absent: the port's own
            r#""writer":"anna's laptop","#, // the name the write offset is kept under, may be absent
            r#""id":4}"#,                   // the answer repeats it
        ),
        open(
            Mode::Write,
            StartAt::At {
                offset: 81_920,
                epoch: "00c0ffee00c0ffee".into(),
            },
            Some(OnLag::Gap),
            Some("anna's laptop"),
        ),
        Some(4),
    );
    request(
        concat!(
            "72_",                      // LEN
            r#"{"open":"board0","#,     // the kind; the port
            r#""mode":"read","#,        // read or write
            r#""from":{"last":1000},"#, // the newest 1000 bytes kept
            r#""on_lag":"stall"}"#,     // hold the board up for a while
        ),
        open(Mode::Read, StartAt::Last(1_000), Some(OnLag::Stall), None),
        None,
    );
    request(
        concat!(
            "71_",                       // LEN
            r#"{"open":"board0","#,      // the kind; the port
            r#""mode":"read","#,         // read or write
            r#""from":"start","#,        // the oldest byte kept
            r#""on_lag":"disconnect"}"#, // cut me off
        ),
        open(Mode::Read, StartAt::Start, Some(OnLag::Disconnect), None),
        None,
    );
    request(
        concat!(
            "28_",                   // LEN
            r#"{"close":"board0","#, // the kind; the port
            r#""id":5}"#,            // the answer repeats it
        ),
        Request::Close(Close {
            close: "board0".into(),
        }),
        Some(5),
    );
    let ask = |command: &'static [u8], timeout_ms, wait_ms| {
        Request::Ask(Ask {
            ask: "board0".into(),
            command: Blob(Bytes::from_static(command)),
            timeout_ms,
            wait_ms,
        })
    };
    request(
        concat!(
            "63_",                    // LEN
            r#"{"ask":"board0","#,    // the kind; the port
            r#""command":"LED ON","#, // without its end of line
            r#""timeout_ms":2000,"#,  // from the moment its turn comes, may be absent
            r#""id":6}"#,             // the answer repeats it
        ),
        ask(b"LED ON", Some(2_000), None),
        Some(6),
    );
    request(
        concat!(
            "50_",                 // LEN
            r#"{"ask":"board0","#, // the kind; the port
            r#""command":"ID?","#, // without its end of line
            r#""wait_ms":5000}"#,  // for its turn, may be absent
        ),
        ask(b"ID?", None, Some(5_000)),
        None,
    );
    request(
        concat!(
            "46_",                            // LEN
            r#"{"ask":"board0","#,            // the kind; the port
            r#""command":{"hex":"01ff10"}}"#, // bytes that are not UTF-8
        ),
        ask(&[0x01, 0xff, 0x10], None, None),
        None,
    );
    request(
        concat!(
            "22_",             // LEN
            r#"{"cancel":6,"#, // the kind; the id of the ask
            r#""id":7}"#,      // the answer repeats it
        ),
        Request::Cancel(Cancel { cancel: 6 }),
        Some(7),
    );
    request(
        concat!(
            "44_",                   // LEN
            r#"{"set":"board0","#,   // the kind; the port
            r#""line":"9600-7e2","#, // the settings wanted
            r#""id":8}"#,            // the answer repeats it
        ),
        Request::Set(Set {
            set: "board0".into(),
            line: "9600-7e2".into(),
            hold: None,
        }),
        Some(8),
    );
    request(
        concat!(
            "49_",                   // LEN
            r#"{"set":"board0","#,   // the kind; the port
            r#""line":"9600-8n1","#, // the settings wanted
            r#""hold":true}"#,       // for as long as this session wants them
        ),
        Request::Set(Set {
            set: "board0".into(),
            line: "9600-8n1".into(),
            hold: Some(true),
        }),
        None,
    );
    request(
        concat!(
            "32_",                 // LEN
            r#"{"set":"board0","#, // the kind; the port
            r#""hold":false}"#,    // it does not want them any more
        ),
        Request::Set(Set {
            set: "board0".into(),
            line: String::new(),
            hold: Some(false),
        }),
        None,
    );
    request(
        concat!(
            "53_",                     // LEN
            r#"{"signals":"board0","#, // the kind; the port
            r#""dtr":true,"#,          // asserted; absent: as it is
            r#""rts":false,"#,         // not asserted; absent: as it is
            r#""id":9}"#,              // the answer repeats it
        ),
        Request::Signals(Signals {
            signals: "board0".into(),
            dtr: Some(true),
            rts: Some(false),
        }),
        Some(9),
    );
    request(
        concat!(
            "38_",                   // LEN
            r#"{"break":"board0","#, // the kind; the port
            r#""ms":250,"#,          // milliseconds
            r#""id":10}"#,           // the answer repeats it
        ),
        Request::Break(Break {
            port: "board0".into(),
            ms: 250,
        }),
        Some(10),
    );
    for (queues, name) in [
        (
            Queues::Receive,
            concat!("40_", r#"{"purge":"board0","queues":"receive"}"#),
        ),
        (
            Queues::Transmit,
            concat!("41_", r#"{"purge":"board0","queues":"transmit"}"#),
        ),
        (
            Queues::Both,
            concat!("37_", r#"{"purge":"board0","queues":"both"}"#),
        ),
    ] {
        request(
            name,
            Request::Purge(Purge {
                purge: "board0".into(),
                queues,
            }),
            None,
        );
    }
    request(
        concat!(
            "46_",                    // LEN
            r#"{"run":"board0","#,    // the kind; the port
            r#""sequence":"reset","#, // one of those that info lists
            r#""id":11}"#,            // the answer repeats it
        ),
        Request::Run(Run {
            run: "board0".into(),
            sequence: "reset".into(),
        }),
        Some(11),
    );
    for (action, golden) in [
        (
            LeaseAction::Take,
            concat!("37_", r#"{"lease":"board0","action":"take"}"#),
        ),
        (
            LeaseAction::Release,
            concat!("40_", r#"{"lease":"board0","action":"release"}"#),
        ),
        (
            LeaseAction::Steal,
            concat!("38_", r#"{"lease":"board0","action":"steal"}"#),
        ),
    ] {
        request(
            golden,
            Request::Lease(Lease {
                lease: "board0".into(),
                action,
            }),
            None,
        );
    }
    request(
        concat!(
            "30_",                    // LEN
            r#"{"reload":"config","#, // the kind; all there is
            r#""id":10}"#,            // the answer repeats it
        ),
        Request::Reload(Reload {
            reload: "config".into(),
        }),
        Some(10),
    );
    request(
        concat!(
            "21_",           // LEN
            r#"{"ping":7,"#, // the kind; pong repeats it
            r#""id":12}"#,   // the answer repeats it
        ),
        Request::Ping(Ping { ping: 7 }),
        Some(12),
    );
    request(
        concat!(
            "103_",                               // LEN
            r#"{"log":"board0","#,                // the kind and its port
            r#""since":"10m","#,                  // nothing from before
            r#""until":"2026-11-22T20:15:00Z","#, // nothing from then on
            r#""after":"3:8192","#,               // on from here
            r#""to":"4:300","#,                   // and not beyond this
            r#""id":13}"#,                        // the answer repeats it
        ),
        Request::Log(Log {
            log: "board0".into(),
            since: Some("10m".into()),
            until: Some("2026-11-22T20:15:00Z".into()),
            after: Some("3:8192".into()),
            to: Some("4:300".into()),
        }),
        Some(13),
    );
    request(
        concat!(
            "31_",                     // LEN
            r#"{"status":"gateway","#, // the kind; all whose status there is
            r#""id":14}"#,             // the answer repeats it
        ),
        Request::Status(Status {
            status: "gateway".into(),
        }),
        Some(14),
    );
}

#[test]
fn answers_are_these_bytes() {
    answer(
        concat!(
            "114_",                           // LEN
            r#"{"welcome":"uartnet/1","#,     // the kind; the protocol spoken
            r#""gateway":"bench1","#,         // the gateway's name
            r#""server":"uartd 0.1.0","#,     // the program
            r#""epoch":"00c0ffee00c0ffee","#, // which life of the daemon offsets belong to
            r#""max_frame":65536}"#,          // the longest frame either side may send, in bytes
        ),
        Answer::Welcome(Welcome {
            welcome: "uartnet/1".into(),
            gateway: "bench1".into(),
            server: "uartd 0.1.0".into(),
            epoch: "00c0ffee00c0ffee".into(),
            max_frame: 65_536,
            identity: None,
        }),
        None,
    );
    let summary = PortSummary {
        name: "board0".into(),
        device: "/dev/ttyUSB0".into(),
        state: State::Present,
        line: "115200-8n1".into(),
        profile: "line".into(),
        write: "shared".into(),
        clients: 2,
    };
    answer(
        concat!(
            "148_",                        // LEN
            r#"{"ports":[{"#,              // the kind; one object a port
            r#""name":"board0","#,         // the port
            r#""device":"/dev/ttyUSB0","#, // the device spec
            r#""state":"present","#,       // present or absent
            r#""line":"115200-8n1","#,     // the settings in force
            r#""profile":"line","#,        // the interpreter profile
            r#""write":"shared","#,        // shared, exclusive or none
            r#""clients":2}],"#,           // attached now
            r#""id":1}"#,                  // the id of the list
        ),
        Answer::Ports(Ports {
            ports: vec![summary.clone()],
        }),
        Some(1),
    );
    answer(
        concat!(
            "429_",                                                        // LEN
            r#"{"port":{"#,                                                // the kind; one object
            r#""name":"board0","#,                                         // what list says, first
            r#""device":"/dev/ttyUSB0","#,                                 //
            r#""state":"present","#,                                       //
            r#""line":"115200-8n1","#,                                     //
            r#""profile":"line","#,                                        //
            r#""write":"shared","#,                                        //
            r#""clients":2,"#,                                             //
            r#""outputs":{"dtr":true,"rts":false},"#, // the lines the gateway drives; absent with the device
            r#""inputs":{"cts":true,"dsr":false,"ri":false,"dcd":true},"#, // the lines it observes
            r#""epoch":"00c0ffee00c0ffee","#,         // which life of the daemon offsets belong to
            r#""history_start":1000,"#,               // the offset of the oldest byte kept
            r#""history_end":90000,"#,                // the offset of the next byte
            r#""history_size":1048576,"#,             // bytes kept at most
            r#""lease":"127.0.0.1:5122","#,           // who holds the write lease, may be absent
            r#""sequences":["reset"],"#,              // those that run knows
            r#""stalled":false,"#,                    // whether the UART is not read now
            r#""counters":{"gaps":0,"write_queue":17}},"#, // by name, in the order of the alphabet
            r#""id":2}"#,                             // the id of the info
        ),
        Answer::Port(Box::new(PortInfo {
            port: PortDetails {
                summary: summary.clone(),
                absent_reason: None,
                outputs: Some(Outputs {
                    dtr: true,
                    rts: false,
                }),
                inputs: Some(Inputs {
                    cts: true,
                    dsr: false,
                    ri: false,
                    dcd: true,
                }),
                epoch: "00c0ffee00c0ffee".into(),
                history_start: 1_000,
                history_end: 90_000,
                history_size: 1_048_576,
                lease: Some("127.0.0.1:5122".into()),
                sequences: vec!["reset".into()],
                sequence_steps: BTreeMap::new(),
                stalled: false,
                counters: BTreeMap::from([("write_queue".into(), 17), ("gaps".into(), 0)]),
            },
        })),
        Some(2),
    );
    answer(
        concat!(
            "294_",                               // LEN
            r#"{"port":{"#,                       // the kind; one object
            r#""name":"board0","#,                // what list says, first
            r#""device":"/dev/ttyUSB0","#,        //
            r#""state":"absent","#,               //
            r#""line":"115200-8n1","#,            // the settings it will be opened with
            r#""profile":"line","#,               //
            r#""write":"shared","#,               //
            r#""clients":2,"#,                    //
            r#""absent_reason":"no such file","#, // a sentence; only where the device is absent
            r#""epoch":"00c0ffee00c0ffee","#,     // which life of the daemon offsets belong to
            r#""history_start":0,"#,              // the offset of the oldest byte kept
            r#""history_end":0,"#,                // the offset of the next byte
            r#""history_size":4096,"#,            // bytes kept at most
            r#""sequences":[],"#,                 // those that run knows
            r#""stalled":false,"#,                // whether the UART is not read now
            r#""counters":{}}}"#,                 // by name
        ),
        Answer::Port(Box::new(PortInfo {
            port: PortDetails {
                summary: PortSummary {
                    state: State::Absent,
                    ..summary
                },
                absent_reason: Some("no such file".into()),
                outputs: None,
                inputs: None,
                epoch: "00c0ffee00c0ffee".into(),
                history_start: 0,
                history_end: 0,
                history_size: 4_096,
                lease: None,
                sequences: vec![],
                sequence_steps: BTreeMap::new(),
                stalled: false,
                counters: BTreeMap::new(),
            },
        })),
        None,
    );
    answer(
        concat!(
            "103_",                           // LEN
            r#"{"opened":"board0","#,         // the kind; the port
            r#""epoch":"00c0ffee00c0ffee","#, // which life of the daemon offsets belong to
            r#""offset":81920,"#, // of the first byte that will be sent, or told as a gap
            r#""end":90000,"#,    // of the next byte the UART will deliver
            r#""write_offset":120,"#, // that the client's next data must carry
            r#""id":4}"#,         // the id of the open
        ),
        Answer::Opened(Opened {
            opened: "board0".into(),
            epoch: "00c0ffee00c0ffee".into(),
            offset: 81_920,
            end: 90_000,
            write_offset: 120,
        }),
        Some(4),
    );
    answer(
        concat!(
            "29_",                    // LEN
            r#"{"closed":"board0","#, // the kind; the port
            r#""id":5}"#,             // the id of the close
        ),
        Answer::Closed(Closed {
            closed: "board0".into(),
        }),
        Some(5),
    );
    answer(
        concat!(
            "59_",                // LEN
            r#"{"reply":"on","#,  // the kind; the board's answer
            r#""from":120,"#,     // the first offset looked at
            r#""to":131,"#,       // the first offset after the reply
            r#""took_us":1804,"#, // microseconds
            r#""id":6}"#,         // the id of the ask
        ),
        Answer::Reply(Reply {
            reply: Blob("on".into()),
            from: 120,
            to: 131,
            took_us: 1_804,
            unsolicited: None,
        }),
        Some(6),
    );
    answer(
        concat!(
            "53_",                       // LEN
            r#"{"reply":{"hex":"80"},"#, // bytes that are not UTF-8
            r#""from":0,"to":1,"took_us":0}"#,
        ),
        Answer::Reply(Reply {
            reply: Blob(Bytes::from_static(&[0x80])),
            from: 0,
            to: 1,
            took_us: 0,
            unsolicited: None,
        }),
        None,
    );
    answer(
        concat!(
            "104_",                                     // LEN
            r#"{"reply":"+CSQ: 18,99","#,               // the kind; the board's answer
            r#""from":7,"to":51,"took_us":20311,"#,     // as above
            r#""unsolicited":"+CREG: 1\r\nRING\r\n","#, // what was not the command's, may be absent
            r#""id":6}"#,                               // the id of the ask
        ),
        Answer::Reply(Reply {
            reply: Blob("+CSQ: 18,99".into()),
            from: 7,
            to: 51,
            took_us: 20_311,
            unsolicited: Some(Blob("+CREG: 1\r\nRING\r\n".into())),
        }),
        Some(6),
    );
    answer(
        concat!(
            "42_",                   // LEN
            r#"{"done":"set","#,     // the kind; the kind of the request
            r#""line":"9600-7e2","#, // what the hardware took
            r#""id":8}"#,            // the id of the set
        ),
        Answer::Done(Done {
            done: "set".into(),
            line: Some("9600-7e2".into()),
            outputs: None,
            steps: vec![],
        }),
        Some(8),
    );
    answer(
        concat!(
            "63_",                                    // LEN
            r#"{"done":"signals","#,                  // the kind; the kind of the request
            r#""outputs":{"dtr":true,"rts":false},"#, // the state of both
            r#""id":9}"#,                             // the id of the signals
        ),
        Answer::Done(Done {
            done: "signals".into(),
            line: None,
            outputs: Some(Outputs {
                dtr: true,
                rts: false,
            }),
            steps: vec![],
        }),
        Some(9),
    );
    answer(
        concat!(
            "82_",                        // LEN
            r#"{"done":"run","#,          // the kind; the kind of the request
            r#""steps":[{"#,              // of the sequence, in their order
            r#""step":"rts=off","#,       // as it is written
            r#""at_us":100012,"#,         // since the sequence began
            r#""took_us":41}],"id":12}"#, // how long it took; the id of the run
        ),
        Answer::Done(Done {
            done: "run".into(),
            line: None,
            outputs: None,
            steps: vec![StepTime {
                step: "rts=off".into(),
                at_us: 100_012,
                took_us: 41,
            }],
        }),
        Some(12),
    );
    answer(
        concat!(
            "40_",                              // LEN
            r#"{"reloaded":["port a added"],"#, // the kind; what has changed
            r#""id":10}"#,                      // the id of the reload
        ),
        Answer::Reloaded(Reloaded {
            reloaded: vec!["port a added".into()],
        }),
        Some(10),
    );
    answer(
        concat!(
            "21_",           // LEN
            r#"{"pong":7,"#, // the kind; the number of the ping
            r#""id":12}"#,   // the id of the ping
        ),
        Answer::Pong(Pong { pong: 7 }),
        Some(12),
    );
    answer(
        concat!(
            "84_",                                       // LEN
            r#"{"error":"timeout","#,                    // the kind; the code
            r#""message":"no whole reply within 2 s","#, // a sentence
            r#""partial":"temp","#,                      // what had arrived, may be absent
            r#""id":6}"#,                                // the id of the ask
        ),
        Answer::Error(ErrorAnswer {
            partial: Some(Blob("temp".into())),
            ..ErrorAnswer::new(ErrorCode::Timeout, "no whole reply within 2 s")
        }),
        Some(6),
    );
    answer(
        concat!(
            "73_",                                  // LEN
            r#"{"error":"leased","#,                // the kind; the code
            r#""message":"anna holds the lease","#, // a sentence
            r#""write_offset":120}"#, // what the next data must carry, where data was refused
        ),
        Answer::Error(ErrorAnswer {
            write_offset: Some(120),
            ..ErrorAnswer::new(ErrorCode::Leased, "anna holds the lease")
        }),
        None,
    );
    answer(
        concat!(
            "166_",                                   // LEN
            r#"{"error":"board-error","#,             // the kind; the code
            r#""message":"the board says no","#,      // a sentence
            r#""partial":"half","#, // what it said before its words, may be absent
            r#""words":"+CME ERROR: 10","#, // its words
            r#""from":120,"to":140,"took_us":1804,"#, // as of a reply
            r#""unsolicited":"RING\r\n","#, // what was not the command's, may be absent
            r#""id":6}"#,           // the id of the ask
        ),
        Answer::Error(ErrorAnswer {
            partial: Some(Blob("half".into())),
            words: Some(Blob("+CME ERROR: 10".into())),
            from: Some(120),
            to: Some(140),
            took_us: Some(1_804),
            unsolicited: Some(Blob("RING\r\n".into())),
            ..ErrorAnswer::new(ErrorCode::BoardError, "the board says no")
        }),
        Some(6),
    );
}

#[test]
fn answers_about_logs_and_the_gateway_are_these_bytes() {
    let record = |second: &str, offset, content| LogRecord {
        time: format!("2026-11-22T20:15:{second}Z"),
        offset,
        content,
    };
    answer(
        concat!(
            "294_", // LEN
            r#"{"records":[{"time":"2026-11-22T20:15:33.123456Z","offset":81920,"received":"up\r\n"},"#,
            r#"{"time":"2026-11-22T20:15:34.000001Z","offset":120,"sent":{"hex":"ff00"}},"#,
            r#"{"time":"2026-11-22T20:15:35.000001Z","offset":81924,"event":{"event":"stop"}}],"#,
            r#""next":"3:8192","end":"4:300","more":true,"#, // where the next page begins, where the log ends
            r#""id":13}"#,                                   // that of the request
        ),
        Answer::Records(Records {
            records: vec![
                record(
                    "33.123456",
                    81920,
                    LogContent::Received(Blob("up\r\n".into())),
                ),
                record(
                    "34.000001",
                    120,
                    LogContent::Sent(Blob(Bytes::from_static(b"\xff\0"))),
                ),
                record(
                    "35.000001",
                    81924,
                    LogContent::Event(serde_json::json!({"event": "stop"})),
                ),
            ],
            next: "3:8192".into(),
            end: Some("4:300".into()),
            more: true,
            skipped: false,
        }),
        Some(13),
    );
    answer(
        concat!(
            "155_", // LEN
            r#"{"status":{"name":"bench1","server":"uartd 0.1.0","epoch":"00c0ffee00c0ffee","#,
            r#""uptime_s":60,"ports":2,"present":1,"counters":{"connections":3}},"#,
            r#""id":14}"#, // that of the request
        ),
        Answer::Status(Box::new(StatusAnswer {
            status: GatewayStatus {
                name: "bench1".into(),
                server: "uartd 0.1.0".into(),
                epoch: "00c0ffee00c0ffee".into(),
                uptime_s: 60,
                ports: 2,
                present: 1,
                counters: BTreeMap::from([("connections".into(), 3)]),
            },
        })),
        Some(14),
    );
}

#[test]
fn error_codes_are_these_names() {
    let names = [
        "bad-frame",
        "bad-message",
        "unknown-message",
        "version",
        "unknown-port",
        "not-open",
        "bad-offset",
        "taken-over",
        "busy",
        "waited",
        "timeout",
        "absent",
        "device-lost",
        "device",
        "unauthorized",
        "forbidden",
        "read-only",
        "leased",
        "not-exclusive",
        "no-profile",
        "bad-command",
        "board-error",
        "too-big",
        "no-sequence",
        "no-log",
        "bad-config",
        "cancelled",
        "shutdown",
    ];
    assert_eq!(
        ErrorCode::ALL
            .iter()
            .map(ErrorCode::as_str)
            .collect::<Vec<_>>(),
        names
    );
    for name in names {
        let golden = format!("{{\"error\":\"{name}\",\"message\":\"m\"}}");
        let code = ErrorCode::known(name).unwrap();
        let error = ErrorAnswer::new(code, "m");
        let message = FromServer::Control(Answer::Error(error), None);
        assert_eq!(
            FromServer::decode(&Bytes::from(golden.clone())),
            Ok(message.clone())
        );
        let mut out = BytesMut::new();
        message.encode(&mut out);
        assert_eq!(out, golden);
    }
}

#[test]
fn events_are_these_bytes() {
    let port = || "board0".to_owned();
    for (why, golden) in [
        (
            GapWhy::Lagged,
            concat!(
                "73_",                 // LEN
                r#"{"event":"gap","#,  // the kind; which event
                r#""port":"board0","#, // the port, in every event
                r#""from":81920,"#,    // the first offset missed
                r#""to":82432,"#,      // the first that follows
                r#""why":"lagged"}"#,  // lagged, expired or new-epoch
            ),
        ),
        (
            GapWhy::Expired,
            concat!(
                "74_",
                r#"{"event":"gap","port":"board0","from":81920,"to":82432,"why":"expired"}"#
            ),
        ),
        (
            GapWhy::NewEpoch,
            concat!(
                "76_",
                r#"{"event":"gap","port":"board0","from":81920,"to":82432,"why":"new-epoch"}"#
            ),
        ),
    ] {
        event(
            golden,
            Event::Gap {
                port: port(),
                from: 81_920,
                to: 82_432,
                why,
            },
        );
    }
    event(
        concat!(
            "96_",                      // LEN
            r#"{"event":"state","#,     // the kind; which event
            r#""port":"board0","#,      // the port
            r#""state":"absent","#,     // present or absent
            r#""reason":"unplugged","#, // a sentence; only where absent
            r#""at":81920,"#,           // the offset at which that was
            r#""losses":1}"#,           // how often the device was lost in this epoch
        ),
        Event::State {
            port: port(),
            state: State::Absent,
            reason: Some("unplugged".into()),
            line: None,
            at: 81_920,
            losses: 1,
        },
    );
    event(
        concat!(
            "96_",                     // LEN
            r#"{"event":"state","#,    // the kind; which event
            r#""port":"board0","#,     // the port
            r#""state":"present","#,   // present or absent
            r#""line":"115200-8n1","#, // the settings in force; only where present
            r#""at":81920,"#,          // the offset at which that was
            r#""losses":1}"#,          // how often the device was lost in this epoch
        ),
        Event::State {
            port: port(),
            state: State::Present,
            reason: None,
            line: Some("115200-8n1".into()),
            at: 81_920,
            losses: 1,
        },
    );
    event(
        concat!(
            "53_",                   // LEN
            r#"{"event":"line","#,   // the kind; which event
            r#""port":"board0","#,   // the port
            r#""line":"9600-8n1"}"#, // the settings in force
        ),
        Event::Line {
            port: port(),
            line: "9600-8n1".into(),
        },
    );
    event(
        concat!(
            "129_",                                                        // LEN
            r#"{"event":"signals","#,                                      // the kind; which event
            r#""port":"board0","#,                                         // the port
            r#""outputs":{"dtr":true,"rts":true},"#, // the lines the gateway drives
            r#""inputs":{"cts":false,"dsr":true,"ri":true,"dcd":false}}"#, // the lines it observes
        ),
        Event::Signals {
            port: port(),
            outputs: Outputs {
                dtr: true,
                rts: true,
            },
            inputs: Inputs {
                cts: false,
                dsr: true,
                ri: true,
                dcd: false,
            },
        },
    );
    event(
        concat!(
            "76_",                           // LEN
            r#"{"event":"lease","#,          // the kind; which event
            r#""port":"board0","#,           // the port
            r#""holder":"127.0.0.1:5122","#, // absent: nobody
            r#""yours":false}"#,             // whether the holder is you
        ),
        Event::Lease {
            port: port(),
            holder: Some("127.0.0.1:5122".into()),
            yours: false,
        },
    );
    event(
        concat!(
            "92_",                       // LEN
            r#"{"event":"ask-turn","#,   // the kind; which event
            r#""port":"board0","#,       // the port
            r#""turn":"waits","#,        // who waits for whom
            r#""by":"127.0.0.1:5122","#, // who asks, may be absent
            r#""hold_ms":10000}"#,       // after how much silence it goes ahead, may be absent
        ),
        Event::AskTurn {
            port: port(),
            turn: "waits".into(),
            by: Some("127.0.0.1:5122".into()),
            hold_ms: Some(10_000),
        },
    );
    event(
        concat!(
            "51_",                    // LEN
            r#"{"event":"written","#, // the kind; which event
            r#""port":"board0","#,    // the port
            r#""offset":120}"#,       // your bytes below this write offset are with the UART
        ),
        Event::Written {
            port: port(),
            offset: 120,
        },
    );
    event(
        concat!(
            "82_",                       // LEN
            r#"{"event":"write-lost","#, // the kind; which event
            r#""port":"board0","#,       // the port
            r#""from":120,"#,            // the first write offset lost
            r#""to":140,"#,              // the first that follows
            r#""reason":"unplugged"}"#,  // a sentence
        ),
        Event::WriteLost {
            port: port(),
            from: 120,
            to: 140,
            reason: "unplugged".into(),
        },
    );
    event(
        concat!(
            "55_",                   // LEN
            r#"{"event":"closed","#, // the kind; which event
            r#""port":"board0","#,   // the port
            r#""reason":"lagged"}"#, // lagged or shutdown
        ),
        Event::Closed {
            port: port(),
            reason: "lagged".into(),
        },
    );
}

#[test]
fn data_is_these_bytes_in_both_directions() {
    for (golden, offset, bytes) in [
        (&b"4_0:"[..], 0, &b""[..]),                    // LEN; offset; no bytes
        (b"11_81920:on", 81_920, b"on"),                // 8 bytes of payload, 2 digits, "_"
        (b"8_7:{\x00\xff:", 7, b"{\x00\xff:"),          // any bytes at all
        (b"25_18446744073709551615:x", u64::MAX, b"x"), // the largest offset
    ] {
        let bytes = Bytes::from_static(bytes);
        let client = FromClient::Data {
            offset,
            bytes: bytes.clone(),
        };
        let server = FromServer::Data { offset, bytes };
        let payload = unframed(golden);
        assert_eq!(FromClient::decode(&payload), Ok(client.clone()));
        assert_eq!(FromServer::decode(&payload), Ok(server.clone()));
        assert_eq!(framed(|out| client.encode(out)), golden);
        assert_eq!(framed(|out| server.encode(out)), golden);
    }
}

#[test]
fn a_plain_conversation_is_these_bytes() {
    for (golden, payload) in [
        (concat!("13_", "Hello IoT!"), "Hello IoT!".to_owned()),
        (
            concat!("37_", "Server notification: data received"),
            DATA_RECEIVED.to_owned(),
        ),
        (
            concat!(
                "41_",                 // LEN
                "error: ",             // not the board's words
                "no-profile: ",        // the code
                "there is no telling", // the sentence
            ),
            plain::failure(&ErrorCode::NoProfile, "there is no telling"),
        ),
    ] {
        assert_eq!(unframed(golden.as_bytes()), payload);
        assert_eq!(
            framed(|out| out.extend_from_slice(payload.as_bytes())),
            golden.as_bytes()
        );
    }
    assert_eq!(
        plain::as_failure(b"error: no-profile: there is: no telling"),
        Some((ErrorCode::NoProfile, "there is: no telling"))
    );
    for other in [
        "error: 5",
        "error: out-of-tune: x",
        "ERR 5",
        "Error: busy: x",
        " error: busy: x",
        "error:busy: x",
    ] {
        assert_eq!(plain::as_failure(other.as_bytes()), None, "{other}");
    }
    assert_eq!(plain::as_failure(b"error: busy: \xff"), None);
}

#[track_caller]
fn request(golden: &str, request: Request, id: Option<u64>) {
    let message = FromClient::Control(request, id);
    assert_eq!(
        FromClient::decode(&unframed(golden.as_bytes())),
        Ok(message.clone())
    );
    assert_eq!(framed(|out| message.encode(out)), golden);
}

#[track_caller]
fn answer(golden: &str, answer: Answer, id: Option<u64>) {
    let message = FromServer::Control(answer, id);
    assert_eq!(
        FromServer::decode(&unframed(golden.as_bytes())),
        Ok(message.clone())
    );
    assert_eq!(framed(|out| message.encode(out)), golden);
}

#[track_caller]
fn event(golden: &str, event: Event) {
    answer(golden, Answer::Event(event), None);
}

/// The payload of the one frame these bytes are.
#[track_caller]
fn unframed(golden: &[u8]) -> Bytes {
    let mut decoder = FrameDecoder::new(frame::DEFAULT_MAX_FRAME);
    decoder.handle_input(golden);
    let payload = decoder.poll_frame().unwrap().unwrap();
    assert_eq!(decoder.buffered(), 0, "LEN is too small");
    payload
}

/// The frame of what is encoded.
fn framed(encode: impl FnOnce(&mut BytesMut)) -> BytesMut {
    let mut payload = BytesMut::new();
    encode(&mut payload);
    let mut out = BytesMut::new();
    frame::encode(&[&payload], &mut out);
    out
}
