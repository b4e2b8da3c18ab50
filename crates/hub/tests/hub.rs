//! What clients of one port see of each other and of the device: one behaviour a test.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

mod support;

use std::time::Duration;

use bytes::Bytes;
use support::*;
use uart_iface::{InputSignals, LineSettings, OutputChange, OutputSignals, Purge};
use uartnet_hub::*;

#[test]
fn every_reader_gets_every_byte_from_where_it_wants() {
    let mut bench = Bench::new(config());
    bench.data("0123456789");
    let start = bench.attach(reader("start", ReadFrom::Start));
    let last = bench.attach(reader("last", ReadFrom::Last(3)));
    let more = bench.attach(reader("more than there is", ReadFrom::Last(99)));
    let live = bench.attach(reader("live", ReadFrom::Live));
    let at = |offset, epoch| ReadFrom::At {
        offset: Offset(offset),
        epoch: Epoch(epoch),
    };
    let middle = bench.attach(reader("middle", at(4, 1)));
    let beyond = bench.attach(reader("beyond", at(400, 1)));
    let epoch = bench.attach(reader("other epoch", at(4, 2)));
    let nothing = bench.attach(client("only asks"));
    assert_eq!(bench.notices(start), [data(0, "0123456789")]);
    assert_eq!(bench.notices(last), [data(7, "789")]);
    assert_eq!(bench.notices(more), [data(0, "0123456789")]);
    assert_eq!(bench.notices(live), []);
    assert_eq!(bench.notices(middle), [data(4, "456789")]);
    assert_eq!(bench.notices(beyond), []);
    let gap = Notice::Gap {
        from: Offset(0),
        to: Offset(0),
        why: GapWhy::NewEpoch,
    };
    assert_eq!(bench.notices(epoch), [gap, data(0, "0123456789")]);
    bench.data("abc");
    for id in [start, last, more, live, middle, beyond, epoch] {
        assert_eq!(
            bench.hub.poll_notice(bench.now, id, 2),
            Some(data(10, "ab"))
        );
        assert_eq!(bench.hub.poll_notice(bench.now, id, 2), Some(data(12, "c")));
        assert_eq!(bench.hub.poll_notice(bench.now, id, 2), None);
    }
    assert_eq!(bench.notices(nothing), []);
}

#[test]
fn a_client_is_woken_once_until_it_found_nothing() {
    let mut bench = Bench::new(config());
    let id = bench
        .hub
        .attach(bench.now, reader("a", ReadFrom::Live))
        .client;
    assert_eq!(bench.wakes(), [id], "for the state");
    bench.data("x");
    assert_eq!(bench.wakes(), [], "it has not looked yet");
    assert_eq!(bench.notices(id).len(), 2);
    bench.data("y");
    bench.data("z");
    assert_eq!(bench.wakes(), [id]);
    bench.notices(id);
    bench.data("w");
    bench.notices(id);
    assert_eq!(bench.wakes(), [], "it looked before it was woken");
}

#[test]
fn an_offset_that_has_left_the_history_is_a_gap_of_known_size() {
    let mut bench = Bench::new(HubConfig {
        history: 4,
        ..config()
    });
    bench.data("0123456789");
    let from = ReadFrom::At {
        offset: Offset(2),
        epoch: Epoch(1),
    };
    let attached = bench.hub.attach(bench.now, reader("a", from));
    assert_eq!((attached.offset, attached.end), (Offset(2), Offset(10)));
    let gap = Notice::Gap {
        from: Offset(2),
        to: Offset(6),
        why: GapWhy::Expired,
    };
    assert_eq!(bench.notices(attached.client)[1..], [gap, data(6, "6789")]);
    assert_eq!(bench.hub.info().counters.gap_bytes, 4);

    let raw = bench.attach(Attach {
        can_carry_gap: false,
        ..reader("raw", from)
    });
    let cut = CloseReason::Lagged {
        from: Offset(2),
        to: Offset(6),
    };
    assert_eq!(bench.notices(raw), [Notice::Closed(cut)]);
    assert_eq!(bench.write(raw, "x"), Err(Refusal::NotAttached));
}

#[test]
fn a_laggard_gets_one_exact_gap_or_is_cut_off() {
    let mut bench = Bench::new(HubConfig {
        history: 4,
        on_lag: OnLag::Gap,
        ..config()
    });
    let gapped = bench.attach(reader("gap", ReadFrom::Live));
    let cut = bench.attach(Attach {
        on_lag: Some(OnLag::Disconnect),
        ..reader("cut", ReadFrom::Live)
    });
    let raw = bench.attach(Attach {
        can_carry_gap: false,
        ..reader("raw", ReadFrom::Live)
    });
    for chunk in ["abc", "defg", "hi"] {
        bench.data(chunk);
    }
    assert!(!bench.hub.reading_paused());
    let gap = Notice::Gap {
        from: Offset(0),
        to: Offset(5),
        why: GapWhy::Lagged,
    };
    let data = data(5, "fg");
    assert_eq!(bench.notices(gapped)[..2], [gap, data]);
    for id in [cut, raw] {
        let reason = CloseReason::Lagged {
            from: Offset(0),
            to: Offset(3),
        };
        assert_eq!(bench.notices(id), [Notice::Closed(reason)]);
        assert_eq!(bench.notices(id), []);
    }
    let info = bench.hub.info();
    assert_eq!(
        (
            info.counters.gaps,
            info.counters.gap_bytes,
            info.counters.cuts
        ),
        (1, 5, 2)
    );
    assert_eq!((info.clients, info.readers), (3, 1));
}

#[test]
fn a_laggard_that_makes_progress_holds_the_uart_up_and_loses_nothing() {
    let mut bench = Bench::new(HubConfig {
        history: 1000,
        ..config()
    });
    let slow = bench.attach(reader("slow", ReadFrom::Live));
    let size = bench.hub.read_size();
    assert_eq!(size, 250);
    let mut sent = 0;
    let mut got = 0;
    for _ in 0..200 {
        if !bench.hub.reading_paused() {
            bench.data(vec![b'x'; size]);
            sent += size as u64;
        }
        bench.pass(20 * MS);
        match bench.hub.poll_notice(bench.now, slow, 100) {
            Some(Notice::Data { offset, bytes }) => {
                assert_eq!(offset, Offset(got));
                got += bytes.len() as u64;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(sent - got <= 1000 && bench.hub.info().counters.gaps == 0);
}

#[test]
fn a_laggard_that_stopped_delays_the_others_by_the_grace_only_and_once() {
    let mut bench = Bench::new(HubConfig {
        history: 1000,
        ..config()
    });
    let stopped = bench.attach(reader("stopped", ReadFrom::Live));
    let live = bench.attach(reader("live", ReadFrom::Live));
    let mut paused = Duration::ZERO;
    for _ in 0..1000 {
        if bench.hub.reading_paused() {
            paused += MS;
        } else {
            bench.data(vec![b'x'; 100]);
        }
        bench.notices(live);
        bench.pass(MS);
    }
    assert!(paused > Duration::ZERO && paused <= 50 * MS, "{paused:?}");
    let Some(Notice::Gap {
        from: Offset(0),
        to,
        why: GapWhy::Lagged,
    }) = bench.poll(stopped)
    else {
        panic!()
    };
    assert_eq!(to, bench.hub.info().start);
}

#[test]
fn a_reader_that_had_nothing_to_take_has_not_stopped() {
    let mut bench = Bench::new(HubConfig {
        history: 1000,
        ..config()
    });
    let idle = bench.attach(reader("idle", ReadFrom::Live));
    bench.pass(Duration::from_secs(10));
    bench.data([0; 250]);
    bench.pass(30 * MS);
    bench.data([0; 250]);
    bench.data([0; 250]);
    bench.data([0; 250]);
    assert!(bench.hub.reading_paused(), "it had 30 ms so far");
    bench.pass(19 * MS);
    assert!(bench.hub.reading_paused());
    bench.hub.poll_notice(bench.now, idle, 1);
    bench.pass(49 * MS);
    assert!(bench.hub.reading_paused(), "it took something");
    bench.pass(MS);
    assert!(!bench.hub.reading_paused());
}

#[test]
fn nobody_waits_for_a_reader_that_stopped_before_it_lagged() {
    let mut bench = Bench::new(HubConfig {
        history: 1000,
        ..config()
    });
    bench.attach(reader("stopped", ReadFrom::Live));
    bench.data([0; 250]);
    bench.pass(50 * MS);
    for _ in 0..10 {
        bench.data([0; 250]);
        assert!(!bench.hub.reading_paused());
    }
}

#[test]
fn nobody_waits_for_a_reader_whose_byte_is_gone_already() {
    let mut bench = Bench::new(HubConfig {
        history: 1000,
        ..config()
    });
    let slow = bench.attach(reader("slow", ReadFrom::Live));
    bench.data([0; 800]);
    assert!(bench.hub.reading_paused());
    bench.data([0; 800]);
    assert!(!bench.hub.reading_paused());
    let gap = Notice::Gap {
        from: Offset(0),
        to: Offset(600),
        why: GapWhy::Lagged,
    };
    assert_eq!(bench.poll(slow), Some(gap));
}

#[test]
fn a_slow_laggard_is_given_up_after_the_stall_limit() {
    let mut bench = Bench::new(HubConfig {
        history: 1000,
        stall_limit: 300 * MS,
        ..config()
    });
    let slow = bench.attach(Attach {
        can_carry_gap: false,
        ..reader("slow", ReadFrom::Live)
    });
    bench.data([0; 800]);
    assert!(bench.hub.reading_paused());
    for _ in 0..30 {
        assert!(bench.hub.reading_paused());
        bench.pass(10 * MS);
        bench.hub.poll_notice(bench.now, slow, 1);
    }
    assert!(!bench.hub.reading_paused());
    bench.data([0; 250]);
    assert_eq!(
        bench.poll(slow),
        Some(Notice::Closed(CloseReason::Lagged {
            from: Offset(30),
            to: Offset(50)
        }))
    );
}

#[test]
fn reading_resumes_at_half_the_history() {
    let mut bench = Bench::new(HubConfig {
        history: 1000,
        ..config()
    });
    let slow = bench.attach(reader("slow", ReadFrom::Live));
    bench.data([0; 800]);
    bench.hub.poll_notice(bench.now, slow, 299);
    assert!(bench.hub.reading_paused());
    bench.hub.poll_notice(bench.now, slow, 1);
    assert!(!bench.hub.reading_paused());
}

#[test]
fn auto_does_not_stall_what_cannot_be_paused() {
    let mut bench = Bench::new(HubConfig {
        history: 1000,
        ..config()
    });
    bench.attach(reader("slow", ReadFrom::Live));
    bench.data([0; 800]);
    assert!(bench.hub.reading_paused());
    bench.hub.handle_lost(bench.now, "unplugged");
    bench.hub.handle_opened(bench.now, present(), false);
    assert!(!bench.hub.reading_paused());
    bench.data([0; 100]);
    assert!(!bench.hub.reading_paused());
}

#[test]
fn writes_that_are_kept_wait_for_the_next_device_and_asks_do_not() {
    let mut bench = Bench::new(HubConfig {
        on_loss: OnLoss::Keep,
        byte_pacing: Duration::from_millis(10),
        profile: Some(Profile::new(ReplyEnd::Line { count: 1 })),
        ..config()
    });
    let id = bench.attach(client("a"));
    bench.write(id, "hello").unwrap();
    assert_eq!(bench.hub.poll_transmit(bench.now).unwrap(), b"h");
    bench.hub.handle_transmitted(bench.now, 1);
    let ask = Ask {
        command: "ID?".into(),
        profile: None,
        timeout: None,
        wait: None,
    };
    bench.hub.ask(bench.now, id, ask);
    bench.hub.handle_lost(bench.now, "unplugged");
    let told = bench.notices(id);
    assert!(matches!(told[0], Notice::AskDone { .. }), "{told:?}");
    assert!(!told.iter().any(|it| matches!(it, Notice::WriteLost { .. })));
    assert_eq!(bench.hub.poll_transmit(bench.now), None);
    assert!(bench.write(id, "x").is_err(), "nothing new is taken");
    assert_eq!(bench.hub.info().write_queue, 4);

    bench.hub.handle_opened(bench.now, present(), true);
    let mut heard = Vec::new();
    for _ in 0..10 {
        heard.extend(bench.transmit());
        bench.pass(Duration::from_millis(10));
    }
    assert_eq!(heard, b"ello");
    assert!(bench.notices(id).contains(&Notice::Written { up_to: 5 }));
    assert_eq!(bench.hub.info().counters.bytes_write_lost, 0);
}

#[test]
fn who_does_not_watch_its_writes_hears_only_of_losses_and_of_the_end() {
    let mut bench = Bench::new(config());
    let id = bench.attach(client("a"));
    bench.hub.watch_writes(id, false);
    bench.notices(id);
    bench.write(id, "hello").unwrap();
    assert_eq!(bench.transmit(), b"hello");
    assert_eq!(bench.hub.poll_wake(), None);
    assert_eq!(bench.notices(id), []);

    bench.hub.watch_writes(id, true);
    assert_eq!(bench.hub.poll_wake(), Some(id));
    assert_eq!(bench.notices(id), [Notice::Written { up_to: 5 }]);

    bench.hub.watch_writes(id, false);
    bench.write(id, "old").unwrap();
    assert_eq!(bench.transmit(), b"old");
    for reason in ["unplugged", "unplugged again"] {
        bench.hub.handle_opened(bench.now, present(), true);
        bench.write(id, "lost").unwrap();
        bench.hub.handle_lost(bench.now, reason);
    }
    assert_eq!(bench.hub.poll_wake(), Some(id));
    let lost = |from, reason: &str| Notice::WriteLost {
        from,
        to: from + 4,
        reason: format!("the device is absent: {reason}"),
    };
    let mut told = Vec::new();
    while let Some(notice) = bench.poll(id) {
        // Whatever it says meanwhile.
        bench.hub.watch_writes(id, false);
        told.push(notice);
    }
    assert_eq!(
        told[1..],
        [
            Notice::Written { up_to: 8 },
            lost(8, "unplugged"),
            lost(12, "unplugged again"),
        ]
    );

    bench.hub.handle_opened(bench.now, present(), true);
    bench.write(id, "last").unwrap();
    bench.hub.shut_down(bench.now);
    bench.notices(id);
    assert_eq!(bench.hub.poll_wake(), None, "it is owed the end of a write");
    assert_eq!(bench.transmit(), b"last");
    assert_eq!(bench.hub.poll_wake(), Some(id));
    assert_eq!(bench.notices(id), [Notice::Closed(CloseReason::Shutdown)]);
}

#[test]
fn what_is_written_is_told_and_so_is_what_is_lost() {
    let mut bench = Bench::new(config());
    let id = bench.attach(client("a"));
    bench.write(id, "hello").unwrap();
    bench.write(id, "").unwrap();
    let offered = bench.hub.poll_transmit(bench.now).unwrap();
    assert_eq!(offered, b"hello");
    bench.hub.handle_transmitted(bench.now, 2);
    bench.write(id, " world").unwrap();
    bench.hub.handle_lost(bench.now, "unplugged");
    let reason = "the device is absent: unplugged".to_owned();
    assert_eq!(
        bench.notices(id)[1..],
        [
            Notice::Written { up_to: 2 },
            Notice::WriteLost {
                from: 2,
                to: 11,
                reason
            },
        ]
    );
    assert_eq!(
        bench.write(id, "x"),
        Err(Refusal::Absent {
            reason: "unplugged".into()
        })
    );
    bench.hub.handle_opened(bench.now, present(), true);
    bench.write(id, "again").unwrap();
    assert_eq!(bench.transmit(), b"again");
    assert_eq!(bench.notices(id)[1..], [Notice::Written { up_to: 16 }]);
    let counters = bench.hub.info().counters;
    assert_eq!(
        (
            counters.bytes_written,
            counters.bytes_write_lost,
            counters.device_losses
        ),
        (7, 9, 1)
    );
}

#[test]
fn a_full_queue_refuses_and_room_wakes() {
    let mut bench = Bench::new(HubConfig {
        write_queue: 8,
        ..config()
    });
    let id = bench.attach(client("a"));
    bench.notices(id);
    bench.wakes();
    bench.write(id, "12345").unwrap();
    assert_eq!(
        bench.write(id, "6789"),
        Err(Refusal::Busy {
            what: "bytes",
            queued: 5,
            limit: 8
        })
    );
    assert_eq!(bench.hub.write_room(), 3);
    assert_eq!(bench.wakes(), []);
    assert_eq!(bench.transmit(), b"12345");
    assert_eq!(bench.wakes(), [id]);
    bench.write(id, "6789").unwrap();
}

#[test]
fn room_wakes_also_a_client_that_has_other_things_to_be_told() {
    let mut bench = Bench::new(HubConfig {
        write_queue: 4,
        ..config()
    });
    let id = bench.attach(reader("echo of its own", ReadFrom::Live));
    bench.data("it does not take this");
    bench.wakes();
    bench.write(id, "1234").unwrap();
    bench.write(id, "5").unwrap_err();
    bench.transmit();
    assert_eq!(bench.wakes(), [id]);
}

#[test]
fn a_named_writer_goes_on_where_it_was() {
    let mut bench = Bench::new(config());
    let named = || Attach {
        writer: Some("logger".into()),
        ..client("a")
    };
    let first = bench.hub.attach(bench.now, named());
    assert_eq!(first.write_offset, 0);
    bench.write(first.client, "12345").unwrap();
    bench.hub.detach(bench.now, first.client);
    assert_eq!(bench.transmit(), b"12345", "what it wrote is still written");
    let again = bench.hub.attach(bench.now, named());
    assert_eq!(again.write_offset, 5);
    assert_eq!(
        bench.notices(again.client)[1..],
        [Notice::Written { up_to: 5 }]
    );
    assert_eq!(bench.hub.attach(bench.now, client("b")).write_offset, 0);
}

#[test]
fn an_exclusive_port_has_one_writer_at_a_time() {
    let idle = Some(Duration::from_secs(10));
    let mut bench = Bench::new(HubConfig {
        write: WritePolicy::Exclusive,
        lease_idle: idle,
        ..config()
    });
    let a = bench.attach(client("a"));
    let b = bench.attach(client("b"));
    let admin = bench.attach(Attach {
        access: Access::Admin,
        ..client("admin")
    });
    let lease = |holder: Option<&str>, yours| Notice::Lease {
        holder: holder.map(str::to_owned),
        yours,
    };
    bench.write(a, "x").unwrap();
    assert_eq!(bench.notices(a), [lease(Some("a"), true)]);
    assert_eq!(bench.notices(b), [lease(Some("a"), false)]);
    let refused = Refusal::Leased { holder: "a".into() };
    assert_eq!(bench.write(b, "y"), Err(refused.clone()));
    assert_eq!(bench.hub.take_lease(bench.now, b), Err(refused.clone()));
    let ask = Ask {
        command: "z".into(),
        profile: Some(Profile::new(ReplyEnd::None)),
        timeout: None,
        wait: None,
    };
    bench.hub.ask(bench.now, b, ask);
    assert!(
        matches!(bench.poll(b), Some(Notice::AskDone { outcome: AskOutcome::Refused(r), .. }) if r == refused)
    );
    bench.hub.control(bench.now, b, Control::Break(MS));
    assert!(
        matches!(bench.poll(b), Some(Notice::ControlDone { result: Err(ControlError::Refused(r)), .. }) if r == refused)
    );

    bench.hub.steal_lease(bench.now, admin).unwrap();
    assert_eq!(bench.notices(a), [lease(Some("admin"), false)]);
    bench.hub.release_lease(bench.now, a);
    assert_eq!(bench.hub.info().lease.as_deref(), Some("admin"));
    bench.pass(Duration::from_secs(10));
    assert_eq!(bench.notices(b), [lease(None, false)]);
    bench.hub.take_lease(bench.now, b).unwrap();
    let late = bench.hub.attach(bench.now, client("late")).client;
    assert_eq!(bench.notices(late)[1..], [lease(Some("b"), false)]);
    bench.hub.detach(bench.now, b);
    assert_eq!(bench.notices(late), [lease(None, false)]);
    assert_eq!(bench.hub.info().lease, None);
}

#[test]
fn a_lease_goes_with_its_writers_name_and_with_nothing_else() {
    let mut bench = Bench::new(HubConfig {
        write: WritePolicy::Exclusive,
        ..config()
    });
    let named = |label: &str, access| Attach {
        access,
        writer: Some("anna".into()),
        ..client(label)
    };
    let lease = |holder: &str, yours| Notice::Lease {
        holder: Some(holder.to_owned()),
        yours,
    };
    // The connection is dead, and nobody has noticed.
    let old = bench.attach(named("old", Access::Write));
    bench.write(old, "abc").unwrap();
    bench.notices(old);
    let other = bench.attach(client("other"));
    bench.notices(other);

    // Who may not write takes over no name, and with it no lease.
    bench.attach(named("reader", Access::Read));
    let refused = Refusal::Leased {
        holder: "old".into(),
    };
    assert_eq!(bench.write(other, "x"), Err(refused));

    let new = bench.hub.attach(bench.now, named("new", Access::Write));
    assert_eq!(new.write_offset, 3);
    let new = new.client;
    assert!(bench.notices(new).contains(&lease("new", true)));
    assert_eq!(bench.notices(other), [lease("new", false)]);
    assert!(bench.notices(old).contains(&lease("new", false)));
    let refused = Refusal::Leased {
        holder: "new".into(),
    };
    assert_eq!(bench.write(old, "y"), Err(refused.clone()));
    assert_eq!(bench.write(other, "x"), Err(refused));
    bench.write(new, "def").unwrap();
    // The end of the old connection, when it is noticed at last, frees nothing.
    bench.hub.detach(bench.now, old);
    assert_eq!(bench.hub.info().lease.as_deref(), Some("new"));

    // A lease of somebody else stays where it is.
    bench.hub.release_lease(bench.now, new);
    bench.hub.take_lease(bench.now, other).unwrap();
    bench.attach(named("newest", Access::Write));
    assert_eq!(bench.hub.info().lease.as_deref(), Some("other"));
}

#[test]
fn an_idle_lease_stays_while_its_holders_bytes_are_queued() {
    let idle = Some(Duration::from_secs(10));
    let mut bench = Bench::new(HubConfig {
        write: WritePolicy::Exclusive,
        lease_idle: idle,
        ..config()
    });
    let a = bench.attach(client("a"));
    bench.write(a, "x").unwrap();
    bench.pass(Duration::from_secs(15));
    assert_eq!(bench.hub.info().lease.as_deref(), Some("a"));
    bench.transmit();
    bench.pass(Duration::from_secs(10));
    assert_eq!(bench.hub.info().lease, None);
}

#[test]
fn changes_are_told_to_readers_only_and_only_the_newest() {
    let mut bench = Bench::new(config());
    let a = bench.attach(reader("a", ReadFrom::Live));
    let b = bench.attach(client("b"));
    assert!(bench.hub.has_readers());
    let line: LineSettings = LineSettings {
        stop_bits: uart_iface::StopBits::Two,
        ..LineSettings::default()
    };
    let control = bench.hub.control(bench.now, b, Control::SetLine(line));
    assert_eq!(bench.hub.poll_action(bench.now), Some(Action::Apply(line)));
    bench
        .hub
        .handle_action_done(bench.now, Ok(ActionDone::Line(line)));
    assert_eq!(
        bench.notices(b),
        [Notice::ControlDone {
            control,
            result: Ok(ActionDone::Line(line)),
            steps: Vec::new(),
        }]
    );
    assert_eq!(bench.notices(a), [Notice::Line(line)]);

    let change = OutputChange {
        dtr: Some(false),
        rts: None,
    };
    bench.hub.control(bench.now, b, Control::SetOutputs(change));
    bench.hub.poll_action(bench.now);
    let outputs = OutputSignals::ASSERTED.with(change);
    bench
        .hub
        .handle_action_done(bench.now, Ok(ActionDone::Outputs(outputs)));
    let inputs = InputSignals {
        ri: true,
        ..InputSignals::ABSENT_LINES
    };
    bench.hub.handle_inputs(bench.now, inputs);
    bench.hub.handle_inputs(bench.now, inputs);
    assert_eq!(bench.notices(a), [Notice::Signals { outputs, inputs }]);

    bench.hub.handle_lost(bench.now, "one");
    bench.hub.handle_lost(bench.now, "two");
    bench.data("!");
    let state = |state, losses| Notice::State {
        state,
        at: Offset(0),
        losses,
    };
    let absent = DeviceState::Absent {
        reason: "two".into(),
    };
    assert_eq!(bench.notices(a), [state(absent, 1), data(0, "!")]);
}

#[test]
fn while_a_sequence_runs_nothing_is_written() {
    let steps = ["rts=on", "100ms", "rts=off"]
        .iter()
        .map(|step| step.parse().unwrap())
        .collect();
    let sequences = vec![Sequence {
        name: "reset".into(),
        steps,
    }];
    let mut bench = Bench::new(HubConfig {
        sequences,
        ..config()
    });
    let a = bench.attach(client("a"));
    bench.write(a, "before").unwrap();
    bench
        .hub
        .control(bench.now, a, Control::Run("reset".into()));
    assert_eq!(bench.transmit(), b"");
    assert!(bench.hub.poll_action(bench.now).is_some());
    bench
        .hub
        .handle_action_done(bench.now, Ok(ActionDone::Outputs(OutputSignals::ASSERTED)));
    bench.pass(99 * MS);
    assert_eq!(
        (bench.hub.poll_action(bench.now), bench.transmit()),
        (None, vec![])
    );
    bench.pass(MS);
    assert!(bench.hub.poll_action(bench.now).is_some());
    bench
        .hub
        .handle_action_done(bench.now, Ok(ActionDone::Outputs(OutputSignals::ASSERTED)));
    assert_eq!(bench.transmit(), b"before");
}

#[test]
fn a_purge_drops_what_was_written_before_it() {
    let mut bench = Bench::new(config());
    let a = bench.attach(client("a"));
    bench.write(a, "old").unwrap();
    bench.hub.control(bench.now, a, Control::Purge(Purge::Both));
    bench.write(a, "new").unwrap();
    assert_eq!(
        bench.hub.poll_action(bench.now),
        Some(Action::Purge(Purge::Both))
    );
    bench
        .hub
        .handle_action_done(bench.now, Ok(ActionDone::Done));
    assert_eq!(bench.transmit(), b"new");
    let notices = bench.notices(a);
    assert_eq!(
        notices[1..],
        [
            Notice::WriteLost {
                from: 0,
                to: 3,
                reason: "purged".into()
            },
            Notice::Written { up_to: 6 },
        ]
    );

    bench.write(a, "kept").unwrap();
    bench
        .hub
        .control(bench.now, a, Control::Purge(Purge::Receive));
    bench.hub.poll_action(bench.now);
    assert_eq!(bench.transmit(), b"kept");
}

#[test]
fn pacing_holds_bytes_back() {
    let mut bench = Bench::new(HubConfig {
        line_pacing: 50 * MS,
        ..config()
    });
    let a = bench.attach(client("a"));
    bench.write(a, "one\r\ntwo\r").unwrap();
    assert_eq!(bench.transmit(), b"one\r\n");
    bench.pass(49 * MS);
    assert_eq!(bench.transmit(), b"");
    bench.pass(MS);
    assert_eq!(bench.transmit(), b"two\r");
}

#[test]
fn shutting_down_owes_what_is_under_way() {
    let mut bench = Bench::new(config());
    let profile = Some(Profile::new(ReplyEnd::Line { count: 1 }));
    let ask = |command: &'static str| Ask {
        command: command.into(),
        profile: profile.clone(),
        timeout: None,
        wait: None,
    };
    let a = bench.attach(reader("asks", ReadFrom::Live));
    let b = bench.attach(client("writes"));
    let c = bench.attach(client("nothing"));
    let first = bench.hub.ask(bench.now, a, ask("first"));
    bench.write(b, "bytes").unwrap();
    let second = bench.hub.ask(bench.now, a, ask("second"));
    assert_eq!(bench.transmit(), b"first\r");
    bench.hub.shut_down(bench.now);

    let refused = AskOutcome::Refused(Refusal::Shutdown);
    assert_eq!(
        bench.notices(a),
        [Notice::AskDone {
            ask: second,
            outcome: refused.clone()
        }]
    );
    assert_eq!(bench.notices(b), []);
    assert_eq!(bench.notices(c), [Notice::Closed(CloseReason::Shutdown)]);
    assert_eq!(bench.write(b, "x"), Err(Refusal::Shutdown));

    bench.data("OK\r\n");
    let notices = bench.notices(a);
    assert!(
        matches!(&notices[0], Notice::AskDone { ask, outcome: AskOutcome::Reply { .. } } if *ask == first)
    );
    assert_eq!(notices[1..], [Notice::Closed(CloseReason::Shutdown)]);
    assert_eq!(bench.transmit(), b"bytes");
    assert_eq!(
        bench.notices(b),
        [
            Notice::Written { up_to: 5 },
            Notice::Closed(CloseReason::Shutdown)
        ]
    );
    let late = bench.attach(reader("late", ReadFrom::Start));
    assert_eq!(bench.notices(late), [Notice::Closed(CloseReason::Shutdown)]);
}

#[test]
fn shutting_down_wakes_a_client_whose_writes_have_become_another_ones() {
    let mut bench = Bench::new(config());
    let named = || Attach {
        writer: Some("logger".into()),
        ..client("a")
    };
    let first = bench.attach(named());
    bench.write(first, "x").unwrap();
    bench.hub.shut_down(bench.now);
    assert_eq!(
        bench.notices(first),
        [],
        "it waits for what becomes of its byte"
    );
    bench.wakes();
    let second = bench.attach(named());
    assert_eq!(bench.wakes(), [first, second]);
    assert_eq!(
        bench.notices(first),
        [Notice::Closed(CloseReason::Shutdown)]
    );
}

#[test]
fn who_reads_no_answers_is_cut_off_before_they_pile_up() {
    let mut bench = Bench::new(config());
    let rude = bench.attach(client("rude"));
    for _ in 0..10_000 {
        let ask = Ask {
            command: "x".into(),
            profile: None,
            timeout: None,
            wait: None,
        };
        bench.hub.ask(bench.now, rude, ask);
    }
    assert_eq!(
        bench.notices(rude),
        [Notice::Closed(CloseReason::Unread { notices: 1025 })]
    );
}

#[test]
fn strangers_are_refused() {
    let mut bench = Bench::new(config());
    let nobody = ClientId(99);
    assert_eq!(bench.write(nobody, "x"), Err(Refusal::NotAttached));
    assert_eq!(
        bench.hub.take_lease(bench.now, nobody),
        Err(Refusal::NotAttached)
    );
    bench.hub.ask(
        bench.now,
        nobody,
        Ask {
            command: Bytes::new(),
            profile: None,
            timeout: None,
            wait: None,
        },
    );
    bench.hub.control(bench.now, nobody, Control::Break(MS));
    bench.hub.detach(bench.now, nobody);
    assert_eq!(bench.poll(nobody), None);
    let watcher = bench.attach(Attach {
        access: Access::Read,
        ..client("watcher")
    });
    let refused = Refusal::Access {
        needed: Access::Write,
        has: Access::Read,
    };
    assert_eq!(bench.write(watcher, "x"), Err(refused));
}

#[test]
fn a_port_is_reconfigured_while_it_is_used() {
    let mut bench = Bench::new(HubConfig {
        history: 8,
        write: WritePolicy::Exclusive,
        on_lag: OnLag::Gap,
        ..config()
    });
    bench.data("01234567");
    let behind = bench.attach(reader("behind", ReadFrom::Start));
    let raw = bench.attach(Attach {
        can_carry_gap: false,
        ..reader("raw", ReadFrom::Start)
    });
    bench.write(behind, "half").unwrap();
    bench.notices(raw);
    let raw_behind = bench.attach(Attach {
        can_carry_gap: false,
        ..reader("raw, behind", ReadFrom::Last(8))
    });
    let settings = HubConfig {
        history: 3,
        write: WritePolicy::Shared,
        write_queue: 2,
        profile: Some(Profile::new(ReplyEnd::None)),
        ..config()
    };
    bench.hub.reconfigure(bench.now, settings.clone());
    let info = bench.hub.info();
    assert_eq!(
        (info.history, info.start, info.end),
        (3, Offset(5), Offset(8))
    );
    assert_eq!((info.write, info.lease), (WritePolicy::Shared, None));

    // A shorter history is told as lagging is.
    let free = Notice::Lease {
        holder: None,
        yours: false,
    };
    let gap = Notice::Gap {
        from: Offset(0),
        to: Offset(5),
        why: GapWhy::Lagged,
    };
    assert_eq!(bench.notices(behind), [free.clone(), gap, data(5, "567")]);
    assert_eq!(bench.notices(raw), [free], "it had everything");
    let lagged = CloseReason::Lagged {
        from: Offset(0),
        to: Offset(5),
    };
    assert_eq!(
        bench.notices(raw_behind).last(),
        Some(&Notice::Closed(lagged))
    );

    // What was accepted is still written; there is room again when it is.
    assert!(matches!(bench.write(raw, "x"), Err(Refusal::Busy { .. })));
    assert_eq!(bench.transmit(), b"half");
    assert_eq!(bench.write(raw, "xy"), Ok(()));

    // A longer history keeps more from then on.
    bench.hub.reconfigure(
        bench.now,
        HubConfig {
            history: 5,
            write: WritePolicy::None,
            ..settings
        },
    );
    bench.data("89");
    assert_eq!(bench.hub.info().start, Offset(5));
    assert_eq!(bench.write(raw, "x"), Err(Refusal::ReadOnly));
    assert_eq!(bench.transmit(), b"xy");
}

#[test]
fn who_is_asked_to_leave_gets_what_it_is_owed_first() {
    let mut bench = Bench::new(config());
    let leaves = bench.attach(reader("leaves", ReadFrom::Live));
    let stays = bench.attach(reader("stays", ReadFrom::Live));
    bench.write(leaves, "last words").unwrap();
    bench.data("owed");
    bench.hub.dismiss(bench.now, leaves);
    bench.data("not owed");
    assert_eq!(
        bench.hub.poll_notice(bench.now, leaves, 4),
        Some(data(0, "owed"))
    );
    assert_eq!(bench.transmit(), b"last words");
    let rest = bench.notices(leaves);
    assert_eq!(
        rest.last(),
        Some(&Notice::Closed(CloseReason::Shutdown)),
        "{rest:?}"
    );
    bench.data("!");
    assert_eq!(bench.notices(stays).len(), 3);
    assert_eq!(bench.write(stays, "x"), Ok(()));
}

#[test]
fn the_clients_of_a_removed_port_are_told_so() {
    let mut bench = Bench::new(config());
    let id = bench.attach(reader("a", ReadFrom::Live));
    bench.hub.remove(bench.now);
    assert_eq!(bench.write(id, "x"), Err(Refusal::Removed));
    assert_eq!(bench.notices(id), [Notice::Closed(CloseReason::Removed)]);
}

#[test]
fn very_many_readers_are_told_of_what_arrives_in_a_moment_together_and_few_at_once() {
    for (count, bundles) in [(255, false), (256, true)] {
        let mut bench = Bench::new(config());
        let readers: Vec<ClientId> = (0..count)
            .map(|_| bench.attach(reader("one of many", ReadFrom::Live)))
            .collect();
        bench.data("how many there are is known from here on");
        let woken = |bench: &mut Bench| {
            let woken = bench.wakes().len();
            let heard = readers.iter().all(|id| !bench.notices(*id).is_empty());
            (woken, heard)
        };
        woken(&mut bench);
        bench.now += 1000 * MS;
        bench.data("after a while of silence");
        assert_eq!(woken(&mut bench), (count, true), "at once");
        bench.now += 10 * MS;
        bench.data("soon after it");
        if !bundles {
            assert_eq!(bench.hub.poll_timeout(), None);
            assert_eq!(woken(&mut bench), (count, true));
            continue;
        }
        assert_eq!(bench.wakes(), []);
        assert_eq!(bench.hub.poll_timeout(), Some(bench.now + 10 * MS));
        bench.now += 9 * MS;
        bench.data("and sooner");
        bench.hub.handle_timeout(bench.now);
        assert_eq!(bench.wakes(), []);
        bench.now += MS;
        bench.hub.handle_timeout(bench.now);
        assert_eq!(bench.wakes().len(), count);
        for id in &readers {
            let data = bench.notices(*id);
            let len = data.iter().map(|notice| match notice {
                Notice::Data { bytes, .. } => bytes.len(),
                _ => 0,
            });
            assert_eq!(len.sum::<usize>(), 23, "nothing is lost");
        }
        assert_eq!(bench.hub.poll_timeout(), None);
        bench.now += MS;
        bench.data("few");
        assert_eq!(bench.wakes(), []);
        bench.data("many ".repeat(1000));
        assert_eq!(bench.wakes().len(), count, "many bytes do not wait");
        assert_eq!(bench.hub.poll_timeout(), None);
    }
}
