//! The `rfc2217` endpoint against a real hub: what a client sets reaches the device, and what is acknowledged is what
//! the device took. The wire is written by hand.

use std::time::Duration;

use uart_iface::{InputSignals, OutputChange, OutputSignals, Purge};
use uartnet_hub::{Action, ActionDone, ReceiveErrors};
use uartnet_server::config::StreamOptions;

use crate::support::{Client, World, hub};

/// WILL BINARY, DO BINARY, WILL SGA, DO SGA, WILL ECHO, DO COM-PORT.
const HELLO: &[u8] = b"\xff\xfb\x00\xff\xfd\x00\xff\xfb\x03\xff\xfd\x03\xff\xfb\x01\xff\xfd\x2c";
/// WILL COM-PORT, DO BINARY, WILL BINARY.
const AGREE: &[u8] = b"\xff\xfb\x2c\xff\xfd\x00\xff\xfb\x00";
/// NOTIFY-MODEMSTATE with DCD, DSR and CTS, as for a device without modem lines.
const FIRST_NOTICE: &[u8] = b"\xff\xfa\x2c\x6b\xb0\xff\xf0";

/// A subnegotiation of the COM-PORT-OPTION without 0xFF in it.
fn sub(payload: &[u8]) -> Vec<u8> {
    [b"\xff\xfa\x2c", payload, b"\xff\xf0"].concat()
}

fn agreed(world: &World) -> Client {
    let mut client = world.client_by("rfc2217", StreamOptions::default());
    assert_eq!(client.hears_bytes(world), HELLO);
    client.sends(world, AGREE);
    assert_eq!(client.hears_bytes(world), FIRST_NOTICE);
    client
}

/// Says something, lets the device do what comes of it, and gives what it did and what was answered.
fn exchange(world: &World, client: &mut Client, said: &[u8]) -> (Vec<Action>, Vec<u8>) {
    client.sends(world, said);
    let (mut done, mut heard) = (Vec::new(), client.hears_bytes(world));
    loop {
        let more = world.device_does();
        if more.is_empty() {
            return (done, heard);
        }
        done.extend(more);
        heard.extend(client.hears_bytes(world));
    }
}

#[test]
fn four_settings_in_one_segment_reach_the_device_one_after_the_other() {
    let world = World::new(hub());
    let mut client = agreed(&world);
    let said = [
        sub(b"\x01\x00\x00\x25\x80"),
        sub(b"\x02\x07"),
        sub(b"\x03\x03"),
        sub(b"\x04\x02"),
    ];
    let (done, heard) = exchange(&world, &mut client, &said.concat());
    let lines: Vec<String> = done
        .iter()
        .map(|action| match action {
            Action::Apply(line) => line.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(lines, ["9600-8n1", "9600-7n1", "9600-7e1", "9600-7e2"]);
    let acks = [
        sub(b"\x65\x00\x00\x25\x80"),
        sub(b"\x66\x07"),
        sub(b"\x67\x03"),
        sub(b"\x68\x02"),
    ];
    assert_eq!(heard, acks.concat());
}

#[test]
fn what_the_device_refuses_is_acknowledged_with_the_value_in_force_and_the_next_wish_begins_from_there()
 {
    let world = World::new(hub());
    let mut client = agreed(&world);
    client.sends(&world, [sub(b"\x04\x03"), sub(b"\x03\x02")].concat());
    let refuse = |hub: &mut uartnet_hub::Hub| {
        assert!(
            matches!(hub.poll_action(world.now), Some(Action::Apply(line)) if line.to_string() == "115200-8n1.5")
        );
        hub.handle_action_done(world.now, Err("cannot do 1.5 stop bits".into()));
    };
    world.port().with_hub(world.now, refuse);
    assert_eq!(client.hears_bytes(&world), sub(b"\x68\x01"));
    let (done, heard) = exchange(&world, &mut client, b"");
    assert!(
        matches!(done[..], [Action::Apply(line)] if line.to_string() == "115200-8o1"),
        "{done:?}"
    );
    assert_eq!(heard, sub(b"\x67\x02"));
}

#[test]
fn signals_break_and_purge_reach_the_device_and_are_acknowledged() {
    let world = World::new(hub());
    let mut client = agreed(&world);
    let outputs = |dtr, rts| Action::SetOutputs(OutputChange { dtr, rts });
    for (wish, action, ack) in [
        (b"\x05\x09", outputs(Some(false), None), b"\x69\x09"),
        (b"\x05\x0c", outputs(None, Some(false)), b"\x69\x0c"),
        (b"\x05\x05", Action::SetBreak(true), b"\x69\x05"),
        (b"\x05\x06", Action::SetBreak(false), b"\x69\x06"),
        (b"\x0c\x01", Action::Purge(Purge::Receive), b"\x70\x01"),
        (b"\x0c\x02", Action::Purge(Purge::Transmit), b"\x70\x02"),
        (b"\x0c\x03", Action::Purge(Purge::Both), b"\x70\x03"),
    ] {
        let (done, heard) = exchange(&world, &mut client, &sub(wish));
        assert_eq!(done, [action]);
        assert_eq!(heard, sub(ack));
    }
}

#[test]
fn a_break_is_ended_when_its_client_leaves() {
    let world = World::new(hub());
    let mut client = agreed(&world);
    exchange(&world, &mut client, &sub(b"\x05\x05"));
    let mut other = agreed(&world);
    other.sends(&world, "held back");
    assert_eq!(world.board_heard(), "", "nothing is written during a break");
    drop(client);
    assert_eq!(world.device_does(), [Action::SetBreak(false)]);
    assert_eq!(world.board_heard(), "held back");
}

#[test]
fn data_is_escaped_both_ways_and_keeps_its_place_between_settings() {
    let world = World::new(hub());
    let mut client = agreed(&world);
    world.board_says(b"\xff\r\0\n");
    assert_eq!(client.hears_bytes(&world), b"\xff\xff\r\0\n");
    let said = [&b"old"[..], &sub(b"\x01\x00\x00\x25\x80"), b"new\xff\xff"].concat();
    client.sends(&world, said);
    assert_eq!(
        world.board_heard_bytes(),
        b"old",
        "the rest waits for the baud rate"
    );
    world.device_does();
    client.hears_bytes(&world);
    assert_eq!(world.board_heard_bytes(), b"new\xff");
}

#[test]
fn purging_what_was_received_skips_what_this_client_has_not_got_yet() {
    let world = World::new(hub());
    let (mut client, mut other) = (agreed(&world), agreed(&world));
    world.board_says("stale");
    client.sends(&world, sub(b"\x0c\x01"));
    world.device_does();
    assert_eq!(client.hears_bytes(&world), sub(b"\x70\x01"));
    world.board_says("fresh");
    assert_eq!(client.hears_bytes(&world), b"fresh");
    assert_eq!(
        other.hears_bytes(&world),
        b"stalefresh",
        "it is nobody else's business"
    );
}

#[test]
fn one_clients_setting_is_acknowledged_to_it_alone() {
    let world = World::new(hub());
    let (mut one, mut two) = (agreed(&world), agreed(&world));
    let (_, heard) = exchange(&world, &mut one, &sub(b"\x01\x00\x00\x25\x80"));
    assert_eq!(heard, sub(b"\x65\x00\x00\x25\x80"));
    assert_eq!(two.hears_bytes(&world), b"");
    let (done, heard) = exchange(&world, &mut two, &sub(b"\x01\x00\x00\x00\x00"));
    assert_eq!(
        (done, heard),
        (vec![], sub(b"\x65\x00\x00\x25\x80")),
        "and the other knows it when it asks"
    );
}

#[test]
fn changes_of_modem_lines_are_notified() {
    let world = World::new(hub());
    let mut client = agreed(&world);
    let inputs = InputSignals {
        cts: false,
        ..InputSignals::ABSENT_LINES
    };
    world
        .port()
        .with_hub(world.now, |hub| hub.handle_inputs(world.now, inputs));
    assert_eq!(client.hears_bytes(&world), sub(b"\x6b\xa1"));
}

#[test]
fn receive_errors_are_notified_to_those_who_asked_for_them() {
    let world = World::new(hub());
    let (mut client, mut other) = (agreed(&world), agreed(&world));
    let errors = ReceiveErrors {
        framing: true,
        break_seen: true,
        ..ReceiveErrors::default()
    };
    let port = world.port();
    assert!(!port.with_hub(world.now, |hub| hub.wants_errors()));
    client.sends(&world, sub(b"\x0a\x1e"));
    assert_eq!(client.hears_bytes(&world), sub(b"\x6e\x1e"));
    assert!(port.with_hub(world.now, |hub| hub.wants_errors()));
    port.with_hub(world.now, |hub| hub.handle_errors(world.now, errors));
    assert_eq!(client.hears_bytes(&world), sub(b"\x6a\x18"));
    assert_eq!(client.hears_bytes(&world), b"", "each is told once");
    assert_eq!(other.hears_bytes(&world), b"");
    client.sends(&world, sub(b"\x0a\x00"));
    assert!(
        !port.with_hub(world.now, |hub| hub.wants_errors()),
        "the device is left alone again"
    );
}

#[test]
fn while_suspended_a_client_gets_acknowledgements_but_no_data() {
    let world = World::new(hub());
    let mut client = agreed(&world);
    client.sends(&world, sub(b"\x08"));
    world.board_says("later");
    let (_, heard) = exchange(&world, &mut client, &sub(b"\x05\x09"));
    assert_eq!(heard, sub(b"\x69\x09"));
    let mut other = agreed(&world);
    world.board_says("!");
    assert_eq!(
        other.hears_bytes(&world),
        b"!",
        "the device is not paused for it"
    );
    client.sends(&world, sub(b"\x09"));
    assert_eq!(client.hears_bytes(&world), b"later!");
}

#[test]
fn an_absent_device_is_answered_for_with_what_was_in_force_and_lines_that_are_down() {
    let world = World::new(hub());
    let mut client = agreed(&world);
    world.vanish("unplugged");
    assert_eq!(
        client.hears_bytes(&world),
        sub(b"\x6b\x0b"),
        "DCD, DSR and CTS fell"
    );
    let (done, heard) = exchange(&world, &mut client, &sub(b"\x01\x00\x00\x25\x80"));
    assert_eq!((done, heard), (vec![], sub(b"\x65\x00\x01\xc2\x00")));
    world.appear();
    assert_eq!(client.hears_bytes(&world), sub(b"\x6b\xbb"));
    let (done, _) = exchange(&world, &mut client, &sub(b"\x01\x00\x00\x25\x80"));
    assert_eq!(done.len(), 1);
}

#[test]
fn plain_telnet_can_type_and_read() {
    let mut world = World::new(hub());
    let mut client = world.client_by("rfc2217", StreamOptions::default());
    assert_eq!(client.hears_bytes(&world), HELLO);
    // DONT and WONT everything: what is left is an NVT.
    client.sends(
        &world,
        b"\xff\xfe\x00\xff\xfc\x00\xff\xfe\x03\xff\xfc\x03\xff\xfe\x01\xff\xfc\x2c",
    );
    client.sends(&world, b"LED ON\r\0");
    assert_eq!(world.board_heard(), "LED ON\r");
    world.board_says("OK\r> ");
    assert_eq!(client.hears_bytes(&world), b"OK\r\0> ");
    client.sends(&world, b"\xff\xf3");
    assert_eq!(world.device_does(), [Action::SetBreak(true)]);
    world.pass(Duration::from_millis(250));
    assert_eq!(world.device_does(), [Action::SetBreak(false)]);
}

#[test]
fn the_outputs_are_told_as_the_device_has_them() {
    let world = World::new(hub());
    let mut client = agreed(&world);
    client.sends(&world, sub(b"\x05\x08"));
    let refuse = |hub: &mut uartnet_hub::Hub| {
        assert!(hub.poll_action(world.now).is_some());
        let outputs = OutputSignals {
            dtr: false,
            rts: true,
        };
        hub.handle_action_done(world.now, Ok(ActionDone::Outputs(outputs)));
    };
    world.port().with_hub(world.now, refuse);
    assert_eq!(client.hears_bytes(&world), sub(b"\x69\x09"));
}
