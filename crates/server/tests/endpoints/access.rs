//! Every endpoint × every right × every identity: who may do what is the same whatever is spoken. The world is asked
//! whether it happened, not the endpoint.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use uart_iface::{LineSettings, OutputChange};
use uartnet_hub::{Access, Action, HubConfig, Right, Sequence, Step, WritePolicy};
use uartnet_proto::KeyFingerprint;
use uartnet_server::access::{
    Credential, Grant, Holder, Holders, Identity, Scope, Secret, Subject, Token,
};
use uartnet_server::config::StreamOptions;
use uartnet_server::endpoint::ENDPOINTS;

use crate::support::{Client, DATE, World, hub, interpreter};

/// A way to speak to a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Plain,
    Session,
    Raw,
    Rfc2217,
}

/// The ways of an endpoint. Whoever adds one says here how each right is tried over it.
fn ways(endpoint: &str) -> &'static [Way] {
    match endpoint {
        "uartnet" => &[Way::Plain, Way::Session],
        "raw" => &[Way::Raw],
        "rfc2217" => &[Way::Rfc2217],
        other => panic!("nobody has said how access to {other} is tried"),
    }
}

fn token(access: Access, ports: &[&str]) -> Identity {
    let names: BTreeSet<_> = ports.iter().map(|name| name.parse().unwrap()).collect();
    Identity {
        credential: Credential::Token(Rc::new(Token {
            name: "ci".parse().unwrap(),
            fingerprint: Secret::generate().unwrap().fingerprint(),
            access,
            scope: Scope::All,
            created: DATE,
            expires: None,
            revoked: None,
        })),
        grant: Grant::Ports {
            access,
            scope: Scope::Only(names),
        },
    }
}

/// Whoever has a certificate, of somebody who is known or of nobody.
fn certificate(access: Access, ports: &[&str], known: bool) -> Identity {
    let names: BTreeSet<_> = ports.iter().map(|name| name.parse().unwrap()).collect();
    let subject = Subject {
        key: KeyFingerprint([1; 32]),
        common_name: None,
        names: Vec::new(),
        ends: DATE + Duration::from_secs(3600),
    };
    let holder = Holder {
        name: "ci".parse().unwrap(),
        fingerprint: Some(subject.key).filter(|_| known),
        common_name: None,
        san: None,
        access,
        scope: Scope::Only(names),
    };
    let world = World::new(hub());
    world.gate.set_holders(Arc::new(Holders::new([holder])));
    let identity = world
        .gate
        .known_by(subject, Some(access).filter(|_| !known));
    let shown = identity.credential.to_string();
    assert_eq!(shown == "certificate ci", known, "{shown}");
    identity
}

fn identities() -> Vec<Identity> {
    let levels = [Access::Read, Access::Write, Access::Admin];
    let mut identities = vec![
        Identity::anonymous(None),
        token(Access::Admin, &["board1"]),
        token(Access::Admin, &[]),
        certificate(Access::Admin, &["board1"], true),
        certificate(Access::Admin, &[], true),
    ];
    for access in levels {
        identities.push(Identity::anonymous(Some(access)));
        identities.push(token(access, &["board0"]));
        identities.push(certificate(access, &["board0"], true));
        identities.push(certificate(access, &[], false));
    }
    identities
}

/// A port where the right can be tried at all.
fn world(way: Way, right: Right) -> World {
    let reset = Sequence {
        name: "reset".to_owned(),
        steps: [Step::Outputs(OutputChange {
            dtr: Some(false),
            rts: None,
        })]
        .into(),
    };
    let config = HubConfig {
        write: if right == Right::Steal {
            WritePolicy::Exclusive
        } else {
            WritePolicy::Shared
        },
        sequences: vec![reset],
        ..if right == Right::Ask || way == Way::Session {
            interpreter()
        } else {
            hub()
        }
    };
    World::new(config)
}

/// Tries the right, and says whether it came about. `None`: this way has no word for it.
fn try_it(world: &World, way: Way, right: Right, client: &mut Client) -> Option<bool> {
    match way {
        Way::Session => Some(try_by_session(world, right, client)),
        Way::Plain => match right {
            Right::Write | Right::Ask => {
                client.sends_frame(world, "LED?");
                Some(world.board_heard().starts_with("LED?"))
            }
            // A frame is a command, and there is nothing else to say.
            Right::See
            | Right::Read
            | Right::ReadLog
            | Right::SetLine
            | Right::Signals
            | Right::Run
            | Right::Steal => None,
        },
        Way::Raw => match right {
            Right::Read => Some(hears_the_board(world, client)),
            Right::Write => Some(writes(world, client, b"LED?")),
            // There are only bytes.
            Right::See
            | Right::ReadLog
            | Right::Ask
            | Right::SetLine
            | Right::Signals
            | Right::Run
            | Right::Steal => None,
        },
        Way::Rfc2217 => match right {
            Right::Read => Some(hears_the_board(world, client)),
            Right::Write => Some(writes(world, client, b"LED?")),
            Right::SetLine => {
                // IAC SB COM-PORT-OPTION SET-BAUDRATE 9600
                writes(world, client, b"\xff\xfa\x2c\x01\x00\x00\x25\x80\xff\xf0");
                let done = world.device_does();
                let said = client.hears_bytes(world);
                let happened = !done.is_empty();
                let in_force: &[u8] = if happened {
                    &[0, 0, 0x25, 0x80]
                } else {
                    &[0, 1, 0xc2, 0] // 115200
                };
                let mut answer = vec![0xff, 0xfa, 0x2c, 101];
                answer.extend_from_slice(in_force);
                let acknowledged = said.windows(8).any(|at| at == answer);
                assert!(
                    acknowledged || client.finished().is_some(),
                    "a command is acknowledged with what is in force: {said:?}"
                );
                Some(happened)
            }
            Right::Signals => {
                let mut happened = Vec::new();
                // SET-CONTROL: DTR off; break on; PURGE-DATA: transmit
                for request in [b"\x05\x09", b"\x05\x05", b"\x0c\x02"] {
                    let bytes = [b"\xff\xfa\x2c", &request[..], b"\xff\xf0"].concat();
                    writes(world, client, &bytes);
                    happened.push(!world.device_does().is_empty());
                    client.hears_bytes(world);
                }
                all_or_none(&happened)
            }
            // Telnet has no word for them.
            Right::See | Right::ReadLog | Right::Ask | Right::Run | Right::Steal => None,
        },
    }
}

fn try_by_session(world: &World, right: Right, client: &mut Client) -> bool {
    let mut holder = world.client();
    if right == Right::Steal {
        holder.sends_frame(world, r#"{"hello":"uartnet/1"}"#);
        holder.sends_frame(world, r#"{"open":"board0","mode":"write"}"#);
        holder.hears(world);
        assert!(world.port().info().lease.is_some());
    }
    client.sends_frame(world, r#"{"hello":"uartnet/1"}"#);
    client.hears(world);
    let mut say = |request: &str| {
        if client.session.wants_input() {
            client.sends_frame(world, request);
        }
        client.hears(world)
    };
    match right {
        Right::See => {
            let (listed, told) = (say(r#"{"list":"ports"}"#), say(r#"{"info":"board0"}"#));
            let listed = listed.contains("board0");
            assert_eq!(listed, told.contains(r#"{"port":"#), "{told}");
            listed
        }
        Right::Read => {
            say(r#"{"open":"board0"}"#);
            world.board_says("still here");
            client.hears(world).contains("still here")
        }
        Right::ReadLog => {
            // The port keeps none, which only somebody who may read it is told.
            say(r#"{"log":"board0"}"#).contains(r#""error":"no-log""#)
        }
        Right::Write => {
            let opened = say(r#"{"open":"board0","mode":"write"}"#).contains("opened");
            say("0:LED?");
            let wrote = !world.board_heard().is_empty();
            assert_eq!(opened, wrote);
            // Nor by a port that is opened for reading.
            say(r#"{"open":"board0"}"#);
            say("0:LED?");
            assert!(wrote || world.board_heard().is_empty());
            wrote
        }
        Right::Ask => {
            say(r#"{"ask":"board0","command":"LED?"}"#);
            !world.board_heard().is_empty()
        }
        Right::SetLine => {
            say(r#"{"set":"board0","line":"9600-8n1"}"#);
            let line: LineSettings = "9600-8n1".parse().unwrap();
            world.device_does() == [Action::Apply(line)]
        }
        Right::Signals => {
            let mut happened = Vec::new();
            for request in [
                r#"{"signals":"board0","dtr":false}"#,
                r#"{"purge":"board0","queues":"both"}"#,
                r#"{"break":"board0","ms":1}"#,
            ] {
                say(request);
                happened.push(!world.device_does().is_empty());
            }
            all_or_none(&happened).unwrap()
        }
        Right::Run => {
            say(r#"{"run":"board0","sequence":"reset"}"#);
            !world.device_does().is_empty()
        }
        Right::Steal => {
            say(r#"{"open":"board0","mode":"write"}"#);
            say(r#"{"lease":"board0","action":"steal"}"#);
            holder.hears(world).contains(r#""yours":false"#)
        }
    }
}

fn hears_the_board(world: &World, client: &mut Client) -> bool {
    client.hears_bytes(world);
    world.board_says("still here");
    let heard = client.hears_bytes(world);
    heard.windows(10).any(|at| at == b"still here")
}

fn writes(world: &World, client: &mut Client, bytes: &[u8]) -> bool {
    client.hears_bytes(world);
    if client.session.wants_input() {
        client.sends(world, bytes);
    }
    world.board_heard_bytes() == bytes
}

fn all_or_none(happened: &[bool]) -> Option<bool> {
    let first = *happened.first()?;
    assert!(happened.iter().all(|it| *it == first), "{happened:?}");
    Some(first)
}

#[test]
fn every_way_into_a_port_allows_what_the_table_says_and_nothing_else() {
    let mut tried = BTreeSet::new();
    for endpoint in ENDPOINTS {
        for &way in ways(endpoint.name()) {
            for &right in Right::ALL {
                for identity in identities() {
                    let world = world(way, right);
                    let allowed = identity.grant.on(world.port().name());
                    let expected = allowed.is_some_and(|access| access.allows(right));
                    let what = format!("{way:?} {right} {identity:?}");
                    let options = StreamOptions::default();
                    let mut client =
                        world.connect(endpoint.name(), Some("board0"), identity, options);
                    let Some(happened) = try_it(&world, way, right, &mut client) else {
                        continue;
                    };
                    assert_eq!(happened, expected, "{what}");
                    tried.insert((right.as_str(), happened));
                }
            }
        }
    }
    assert_eq!(tried.len(), 2 * Right::ALL.len(), "each came out both ways");
}

/// Every request that names a port.
const ABOUT_A_PORT: &[&str] = &[
    r#"{"info":"PORT"}"#,
    r#"{"open":"PORT"}"#,
    r#"{"open":"PORT","mode":"write","writer":"anna"}"#,
    r#"{"close":"PORT"}"#,
    r#"{"ask":"PORT","command":"LED?"}"#,
    r#"{"set":"PORT","line":"9600-8n1"}"#,
    r#"{"set":"PORT","line":"nonsense"}"#,
    r#"{"signals":"PORT","dtr":true}"#,
    r#"{"break":"PORT","ms":1}"#,
    r#"{"break":"PORT","ms":0}"#,
    r#"{"purge":"PORT","queues":"both"}"#,
    r#"{"run":"PORT","sequence":"reset"}"#,
    r#"{"run":"PORT","sequence":"none"}"#,
    r#"{"lease":"PORT","action":"take"}"#,
    r#"{"lease":"PORT","action":"steal"}"#,
    r#"{"log":"PORT"}"#,
    r#"{"log":"PORT","since":"nonsense"}"#,
];

#[test]
fn a_hidden_port_answers_as_one_that_does_not_exist() {
    let world = world(Way::Session, Right::Steal);
    let identity = token(Access::Admin, &["board1"]);
    let mut client = world.connect("uartnet", None, identity, StreamOptions::default());
    client.sends_frame(&world, r#"{"hello":"uartnet/1"}"#);
    client.hears(&world);
    for request in ABOUT_A_PORT {
        let mut ask = |port: &str| {
            client.sends_frame(&world, &request.replace("PORT", port));
            client.hears(&world).replace(port, "PORT")
        };
        let (hidden, missing) = (ask("board0"), ask("board9"));
        assert_eq!(hidden, missing, "{request}");
        assert!(hidden.contains("\"error\""), "{request}: {hidden}");
    }
    client.sends_frame(&world, r#"{"list":"ports"}"#);
    let listed = client.hears(&world);
    assert!(
        listed.contains("board1") && !listed.contains("board0"),
        "{listed}"
    );
}

#[test]
fn who_may_see_some_ports_is_told_nothing_of_the_gateway_as_a_whole() {
    let world = World::new(hub());
    for (identity, sees_all) in [
        (token(Access::Admin, &["board0"]), false),
        (token(Access::Admin, &[]), false),
        (Identity::anonymous(Some(Access::Read)), true),
    ] {
        let ports = u64::from(identity.grant.on(world.port().name()).is_some());
        let mut client = world.connect("uartnet", None, identity, StreamOptions::default());
        client.sends_frame(&world, r#"{"hello":"uartnet/1"}"#);
        client.hears(&world);
        client.sends_frame(&world, r#"{"status":"gateway"}"#);
        let said = client.hears(&world);
        assert_eq!(said.contains("connections"), sees_all, "{said}");
        let ports = format!(r#""ports":{}"#, if sees_all { 2 } else { ports });
        assert!(said.contains(&ports), "{said}");
    }
}

#[test]
fn only_who_may_do_everything_everywhere_has_the_configuration_read_again() {
    let world = World::new(hub());
    for identity in identities() {
        let what = format!("{identity:?}");
        let may_see_some = identity.grant != Grant::Nothing;
        let expected = identity.grant.everywhere() == Some(Access::Admin);
        let mut client = world.connect("uartnet", None, identity, StreamOptions::default());
        client.sends_frame(&world, r#"{"hello":"uartnet/1"}"#);
        client.hears(&world);
        let mut said = String::new();
        if client.session.wants_input() {
            client.sends_frame(&world, r#"{"reload":"config","id":1}"#);
            said = client.hears(&world);
        }
        let forbidden = said.contains(r#""error":"forbidden""#);
        assert_eq!(forbidden, may_see_some && !expected, "{what}: {said}");
        // Whoever may waits for the daemon, which this world has not.
        assert_eq!(
            world.gateway.reloads().take().len(),
            usize::from(expected),
            "{what}"
        );
    }
}

#[test]
fn a_refusal_says_which_access_is_missing() {
    let world = world(Way::Session, Right::Steal);
    let mut reader = world.client_of(None, Access::Read);
    reader.sends_frame(&world, r#"{"hello":"uartnet/1"}"#);
    reader.hears(&world);
    for request in [
        r#"{"open":"board0","mode":"write"}"#,
        r#"{"ask":"board0","command":"LED?"}"#,
        r#"{"set":"board0","line":"9600-8n1"}"#,
        r#"{"run":"board0","sequence":"reset"}"#,
    ] {
        reader.sends_frame(&world, request);
        let said = reader.hears(&world);
        let words = "this needs write access, and this client has read access";
        assert!(
            said.contains(r#""error":"forbidden""#) && said.contains(words),
            "{said}"
        );
    }
    let mut writer = world.client_of(None, Access::Write);
    writer.sends_frame(&world, r#"{"hello":"uartnet/1"}"#);
    writer.sends_frame(&world, r#"{"open":"board0","mode":"write"}"#);
    writer.hears(&world);
    writer.sends_frame(&world, r#"{"lease":"board0","action":"steal"}"#);
    let said = writer.hears(&world);
    let words = "this needs admin access, and this client has write access";
    assert!(
        said.contains(r#""error":"forbidden""#) && said.contains(words),
        "{said}"
    );
}

#[test]
fn nobody_takes_over_a_writer_of_somebody_elses() {
    let world = World::new(hub());
    let open = |identity: Identity| {
        let mut client = world.connect("uartnet", None, identity, StreamOptions::default());
        client.sends_frame(&world, r#"{"hello":"uartnet/1"}"#);
        client.sends_frame(
            &world,
            r#"{"open":"board0","mode":"write","writer":"anna"}"#,
        );
        let said = client.hears(&world);
        (client, said)
    };
    let (mut anna, _) = open(token(Access::Write, &["board0"]));
    anna.sends_frame(&world, "0:abc");
    assert_eq!(world.board_heard(), "abc");
    let (_, other) = open(Identity::anonymous(Some(Access::Write)));
    assert!(other.contains(r#""write_offset":0"#), "{other}");
    // A token and an identity of the same name are not the same.
    let (_, other) = open(certificate(Access::Write, &["board0"], true));
    assert!(other.contains(r#""write_offset":0"#), "{other}");
    let (_, again) = open(token(Access::Write, &["board0"]));
    assert!(again.contains(r#""write_offset":3"#), "{again}");
}
