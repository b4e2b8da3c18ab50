//! Who must say who they are, and what becomes of those who do not, cannot, lie, or are no longer let in.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use uart_iface::PortName;
use uartnet_hub::{Access, WritePolicy};
use uartnet_proto::KeyFingerprint;
use uartnet_server::access::{
    Audit, AuditTo, Holder, Holders, Identity, Origin, Scope, Secret, Subject, Token, TokenFile,
    Tokens,
};
use uartnet_server::config::StreamOptions;
use uartnet_server::endpoint::{ENDPOINTS, Finish};

use crate::support::{Client, DATE, World, frame, gate, interpreter};

const HOUR: Duration = Duration::from_secs(3600);

/// A world whose gate has a file of tokens and an audit log.
struct Guarded {
    world: World,
    folder: TempDir,
}

impl Guarded {
    fn new(tokens: &[&Token]) -> Guarded {
        let mut world = World::new(hub_with_everything());
        let folder = tempfile::tempdir().unwrap();
        let guarded_by = |folder: &TempDir| folder.path().join("tokens.toml");
        let audit = Audit::open(AuditTo::File(folder.path().join("audit"))).unwrap();
        write(guarded_by(&folder), tokens);
        world.gate = gate(world.now, &world.gateway, Some(guarded_by(&folder)), audit);
        Guarded { world, folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("tokens.toml")
    }

    fn audit(&self) -> String {
        fs::read_to_string(self.folder.path().join("audit")).unwrap()
    }

    /// A client of a listener that lets nobody in without a credential.
    fn stranger(&self) -> Client {
        self.stranger_by("uartnet")
    }

    fn stranger_by(&self, protocol: &str) -> Client {
        let nobody = Identity::anonymous(None);
        self.world
            .connect(protocol, Some("board0"), nobody, StreamOptions::default())
    }

    /// Says hello with this secret, and returns what is said to it at once.
    fn hello(&self, client: &mut Client, secret: &str) -> String {
        let hello = format!(r#"{{"hello":"uartnet/1","token":"{secret}","id":1}}"#);
        client.sends_frame(&self.world, &hello);
        client.hears(&self.world)
    }

    /// Says hello as whoever the connection is known as.
    fn hello_without(&self, client: &mut Client) -> String {
        client.sends_frame(&self.world, r#"{"hello":"uartnet/1","id":1}"#);
        client.hears(&self.world)
    }

    /// Time passes for this client.
    fn pass(&mut self, client: &mut Client, time: Duration) -> String {
        self.world.pass(time);
        client.session.handle_timeout(self.world.now);
        client.hears(&self.world)
    }
}

fn hub_with_everything() -> uartnet_hub::HubConfig {
    uartnet_hub::HubConfig {
        write: WritePolicy::Exclusive,
        ..interpreter()
    }
}

fn write(path: PathBuf, tokens: &[&Token]) {
    let (file, _) = TokenFile::open(&path).unwrap();
    let tokens = tokens.iter().map(|token| (*token).clone());
    file.replace(&Tokens::new(tokens)).unwrap();
}

fn token(name: &str, secret: &Secret) -> Token {
    let ports: [PortName; 1] = ["board0".parse().unwrap()];
    Token {
        name: name.parse().unwrap(),
        fingerprint: secret.fingerprint(),
        access: Access::Admin,
        scope: Scope::Only(ports.into()),
        created: DATE,
        expires: None,
        revoked: None,
    }
}

fn secret() -> Secret {
    Secret::generate().unwrap()
}

const REFUSED: &str = r#"{"error":"unauthorized","message":"this token is not in force here"}"#;

#[test]
fn a_token_in_force_lets_in_and_shows_its_ports() {
    let secret = secret();
    let guarded = Guarded::new(&[&token("ci", &secret)]);
    let mut client = guarded.stranger();
    assert_eq!(guarded.world.gate.unauthenticated(), 1);
    let welcome = guarded.hello(&mut client, secret.reveal());
    assert!(welcome.contains(r#""identity":"ci""#), "{welcome}");
    assert_eq!(guarded.world.gate.unauthenticated(), 0);
    client.sends_frame(&guarded.world, r#"{"list":"ports"}"#);
    let listed = client.hears(&guarded.world);
    assert!(
        listed.contains("board0") && !listed.contains("board1"),
        "{listed}"
    );
    // A frame of any length that is allowed.
    let long = format!(r#"{{"ping":1,"and":"{}"}}"#, "x".repeat(10_000));
    client.sends_frame(&guarded.world, &long);
    assert!(client.hears(&guarded.world).contains("pong"));
}

#[test]
fn unknown_expired_and_revoked_tokens_get_the_same_answer_at_the_same_time() {
    let (old, gone) = (secret(), secret());
    let expired = Token {
        expires: Some(DATE),
        ..token("old", &old)
    };
    let revoked = Token {
        revoked: Some(DATE),
        ..token("gone", &gone)
    };
    for (secret, why) in [
        (secret(), "no token has this secret"),
        (old, "token old has expired"),
        (gone, "token gone was revoked"),
    ] {
        let mut guarded = Guarded::new(&[&expired, &revoked]);
        let mut client = guarded.stranger();
        assert_eq!(guarded.hello(&mut client, secret.reveal()), "");
        assert!(!client.session.wants_input(), "nothing more is listened to");
        let at_once = guarded.pass(&mut client, Duration::from_millis(249));
        assert_eq!((at_once.as_str(), client.finished()), ("", None));
        let said = guarded.pass(&mut client, Duration::from_millis(1));
        assert_eq!(said.as_bytes(), frame(REFUSED));
        assert_eq!(client.finished(), Some(Finish::Linger));
        assert_eq!(guarded.world.gate.failures(), 1);
        drop(client);
        assert_eq!(guarded.world.gate.unauthenticated(), 0);
        let audit = guarded.audit();
        assert!(audit.contains(why), "{audit}");
        assert!(!audit.contains(secret.reveal()), "{audit}");
    }
}

#[test]
fn who_guesses_waits_longer_each_time_and_others_do_not() {
    let good = secret();
    let of_all = Token {
        scope: Scope::All,
        ..token("ci", &good)
    };
    let mut guarded = Guarded::new(&[&of_all]);
    let mut waited = Duration::ZERO;
    for _ in 0..4 {
        let mut client = guarded.stranger();
        guarded.hello(&mut client, secret().reveal());
        waited = Duration::ZERO;
        while client.finished().is_none() {
            guarded.pass(&mut client, Duration::from_millis(250));
            waited += Duration::from_millis(250);
        }
    }
    assert_eq!(waited, Duration::from_secs(2));
    let _silent = guarded.stranger();
    let mut client = guarded.stranger();
    let welcome = guarded.hello(&mut client, good.reveal());
    assert!(welcome.contains("welcome"), "{welcome}");
    client.sends_frame(&guarded.world, r#"{"status":"gateway"}"#);
    let status = client.hears(&guarded.world);
    assert!(
        status.contains(r#""tokens_refused":4,"unauthenticated":1"#),
        "{status}"
    );
}

#[test]
fn who_needs_a_token_and_has_none_is_told_what_to_do() {
    for (says, told) in [
        (r#"{"hello":"uartnet/1"}"#, r#""error":"unauthorized""#),
        (r#"{"hello":"uartnet/1"}"#, "uart login"),
        ("LED ON", "error: unauthorized: "),
        ("LED ON", "UART_TOKEN"),
        ("", "error: unauthorized: "),
    ] {
        let guarded = Guarded::new(&[]);
        let mut client = guarded.stranger();
        client.sends_frame(&guarded.world, says);
        let said = client.hears(&guarded.world);
        assert!(said.contains(told), "{says}: {said}");
        assert_eq!(client.finished(), Some(Finish::Linger));
        assert_eq!(guarded.world.board_heard(), "");
        assert_eq!(guarded.world.port().info().clients, 0);
    }
}

#[test]
fn who_has_said_nothing_is_not_listened_to_for_long() {
    let guarded = Guarded::new(&[]);
    let mut client = guarded.stranger();
    client.sends(&guarded.world, b"4097_{");
    let said = client.hears(&guarded.world);
    assert!(
        said.contains("bad-frame") && said.contains("4096"),
        "{said}"
    );
    let mut client = guarded.stranger();
    let long = format!(r#"{{"hello":"uartnet/1","x":"{}"}}"#, "x".repeat(4000));
    client.sends_frame(&guarded.world, &long);
    assert!(client.hears(&guarded.world).contains("unauthorized"));
}

#[test]
fn every_endpoint_shows_out_who_does_not_say_who_they_are_in_time() {
    for endpoint in ENDPOINTS {
        // Slowly, byte by byte: each is progress, and none of them helps.
        let mut guarded = Guarded::new(&[]);
        let mut client = guarded.stranger_by(endpoint.name());
        let mut hello = frame(r#"{"hello":"uartnet/1"}"#).into_iter();
        for _ in 0..9 {
            guarded.pass(&mut client, Duration::from_secs(1));
            if client.session.wants_input() {
                let byte = hello.next().unwrap();
                client.sends(&guarded.world, [byte]);
            }
        }
        guarded.pass(&mut client, Duration::from_secs(1));
        client.hears_bytes(&guarded.world);
        assert!(client.finished().is_some(), "{}", endpoint.name());
        guarded.world.board_says("secret");
        assert!(client.hears_bytes(&guarded.world).is_empty());
    }
}

#[test]
fn those_who_have_not_said_who_they_are_are_bounded() {
    let guarded = Guarded::new(&[]);
    let world = &guarded.world;
    let arrive = |address: &str, identity: Identity| {
        let origin = Origin::of(Some(address.parse().unwrap()));
        let peer = address.to_owned();
        world
            .gate
            .arrive(world.now, origin, peer, "uartnet", identity)
    };
    let nobody = || Identity::anonymous(None);
    let mut places: Vec<_> = (0..16)
        .map(|_| arrive("10.0.0.1", nobody()).unwrap())
        .collect();
    let refused = arrive("10.0.0.1", nobody()).unwrap_err();
    assert!(refused.of_origin);
    for _ in 0..4 {
        places.push(arrive("10.0.0.2", nobody()).unwrap());
    }
    assert!(!arrive("10.0.0.3", nobody()).unwrap_err().of_origin);
    // Who need not say who they are does not count.
    arrive("10.0.0.1", Identity::anonymous(Some(Access::Read))).unwrap();
    // Nor who has shown it otherwise.
    places[0].identify(Identity::anonymous(Some(Access::Read)));
    places.push(arrive("10.0.0.1", nobody()).unwrap());
    assert_eq!(world.gate.unauthenticated(), 20);
    drop(places);
    assert_eq!(world.gate.unauthenticated(), 0);
}

#[test]
fn a_revoked_token_ends_its_open_sessions_at_once_and_no_others() {
    let (ci, anna) = (secret(), secret());
    let (ci_token, anna_token) = (token("ci", &ci), token("anna", &anna));
    let guarded = Guarded::new(&[&ci_token, &anna_token]);
    let world = &guarded.world;
    let mut clients: Vec<Client> = [&ci, &anna]
        .into_iter()
        .map(|secret| {
            let mut client = guarded.stranger();
            guarded.hello(&mut client, secret.reveal());
            client.sends_frame(world, r#"{"open":"board0"}"#);
            client.hears(world);
            client
        })
        .collect();
    let revoked = Token {
        revoked: Some(DATE),
        ..ci_token
    };
    write(guarded.path(), &[&revoked, &anna_token]);
    world.board_says("said while nobody looked; ");
    world.gate.refresh(world.now);
    assert!(clients[0].nudge.take(), "it is woken to be told");
    let said = clients[0].hears(world);
    let told = r#"{"error":"unauthorized","message":"token ci was revoked"}"#;
    assert_eq!(said.as_bytes(), frame(told), "and nothing else");
    assert_eq!(clients[0].finished(), Some(Finish::Linger));
    assert_eq!(world.port().info().clients, 1, "it has left its port");
    world.board_says("still here");
    assert!(clients[1].hears(world).ends_with("still here"));
    // Its name in other hands is another token.
    write(guarded.path(), &[&token("anna", &secret())]);
    world.gate.refresh(world.now);
    assert!(clients[1].hears(world).contains("token anna was changed"));
    let audit = guarded.audit();
    assert!(
        audit.contains(r#""event":"token","token":"ci","what":"revoked""#),
        "{audit}"
    );
}

#[test]
fn a_token_that_is_taken_back_a_moment_ago_lets_nobody_in() {
    let ci = secret();
    let mut guarded = Guarded::new(&[&token("ci", &ci)]);
    write(guarded.path(), &[]);
    let mut client = guarded.stranger();
    guarded.hello(&mut client, ci.reveal());
    let said = guarded.pass(&mut client, Duration::from_secs(1));
    assert!(said.contains("unauthorized"), "{said}");
}

#[test]
fn an_expiring_token_ends_its_open_session_then() {
    let ci = secret();
    let expiring = Token {
        expires: Some(DATE + HOUR),
        ..token("ci", &ci)
    };
    let mut guarded = Guarded::new(&[&expiring]);
    let mut client = guarded.stranger();
    guarded.hello(&mut client, ci.reveal());
    // It never sleeps longer than a minute, because a date can be set.
    let next = client.session.poll_timeout().unwrap();
    assert_eq!(next - guarded.world.now, Duration::from_secs(60));
    let said = guarded.pass(&mut client, HOUR - Duration::from_millis(1));
    assert_eq!((said.as_str(), client.finished()), ("", None));
    let next = client.session.poll_timeout().unwrap();
    assert_eq!(next - guarded.world.now, Duration::from_millis(1));
    let said = guarded.pass(&mut client, Duration::from_millis(1));
    assert!(said.contains("token ci has expired"), "{said}");
    assert!(client.finished().is_some());
    // Without an end there is no timer.
    let mut unending = Guarded::new(&[&token("ci", &ci)]);
    let mut client = unending.stranger();
    unending.hello(&mut client, ci.reveal());
    assert_eq!(client.session.poll_timeout(), None);
    unending.pass(&mut client, 10_000 * HOUR);
    assert_eq!(client.finished(), None);
}

#[test]
fn a_token_counts_also_where_nobody_needs_one() {
    let ci = secret();
    let reading = Token {
        access: Access::Read,
        ..token("ci", &ci)
    };
    let mut guarded = Guarded::new(&[&reading]);
    let mut client = guarded.world.client();
    guarded.hello(&mut client, ci.reveal());
    client.sends_frame(&guarded.world, r#"{"ask":"board0","command":"LED?"}"#);
    assert!(client.hears(&guarded.world).contains("forbidden"));
    let mut client = guarded.world.client();
    guarded.hello(&mut client, "uart_wrong");
    let said = guarded.pass(&mut client, Duration::from_secs(1));
    assert!(said.contains("unauthorized"), "{said}");
}

#[test]
fn a_file_that_cannot_be_used_lets_nobody_in_and_throws_nobody_out() {
    use std::os::unix::fs::PermissionsExt;
    let ci = secret();
    let mut guarded = Guarded::new(&[&token("ci", &ci)]);
    let mut inside = guarded.stranger();
    guarded.hello(&mut inside, ci.reveal());
    let open = |path: &PathBuf, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    open(&guarded.path(), 0o644);
    guarded.world.gate.refresh(guarded.world.now);
    assert_eq!(inside.finished(), None);
    let mut client = guarded.stranger();
    guarded.hello(&mut client, ci.reveal());
    let said = guarded.pass(&mut client, Duration::from_secs(1));
    assert_eq!(said.as_bytes(), frame(REFUSED));
    open(&guarded.path(), 0o600);
    let mut client = guarded.stranger();
    assert!(guarded.hello(&mut client, ci.reveal()).contains("welcome"));
}

#[test]
fn the_audit_log_says_who_did_what_and_holds_neither_secrets_nor_what_boards_say() {
    let (anna, ci) = (secret(), secret());
    let reading = Token {
        access: Access::Read,
        ..token("ci", &ci)
    };
    let mut guarded = Guarded::new(&[&token("anna", &anna), &reading]);
    let wrong = secret();
    let mut guessing = guarded.stranger();
    guarded.hello(&mut guessing, wrong.reveal());
    guarded.pass(&mut guessing, Duration::from_secs(1));
    let world = &guarded.world;
    let mut holder = world.client();
    holder.sends_frame(world, r#"{"hello":"uartnet/1"}"#);
    holder.sends_frame(world, r#"{"open":"board0","mode":"write"}"#);
    let mut thief = guarded.stranger();
    guarded.hello(&mut thief, anna.reveal());
    for request in [
        r#"{"open":"board0","mode":"write"}"#,
        r#"{"lease":"board0","action":"steal"}"#,
        r#"{"set":"board0","line":"9600-7e1"}"#,
        r#"{"signals":"board0","dtr":false,"rts":true}"#,
        r#"{"break":"board0","ms":250}"#,
        r#"{"run":"board0","sequence":"re\nset"}"#,
        "0:password of the board",
    ] {
        thief.sends_frame(world, request);
    }
    world.board_says("hidden treasure");
    thief.hears(world);
    let mut reader = guarded.stranger();
    guarded.hello(&mut reader, ci.reveal());
    for _ in 0..3 {
        reader.sends_frame(world, r#"{"ask":"board0","command":"open the door"}"#);
        reader.hears(world);
    }
    drop((holder, thief, reader));
    let audit = guarded.audit();
    let lines: Vec<serde_json::Value> = audit
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let has = |wanted: serde_json::Value| {
        let wanted = wanted.as_object().unwrap();
        let matches = lines
            .iter()
            .filter(|line| wanted.iter().all(|(key, value)| &line[key] == value));
        assert_eq!(matches.count(), 1, "{wanted:?} in {audit}");
    };
    let peer = "127.0.0.1:5122";
    has(
        serde_json::json!({"event": "turned-away", "peer": peer, "protocol": "uartnet", "why": "no token has this secret"}),
    );
    has(serde_json::json!({"event": "admitted", "as": "anonymous", "peer": peer}));
    has(serde_json::json!({"event": "admitted", "as": "token anna", "peer": peer}));
    has(serde_json::json!({"event": "lease", "as": "anonymous", "port": "board0", "how": "taken"}));
    has(
        serde_json::json!({"event": "lease", "as": "token anna", "port": "board0", "how": "stolen", "from": peer}),
    );
    has(
        serde_json::json!({"event": "control", "as": "token anna", "right": "set", "what": "9600-7e1"}),
    );
    has(serde_json::json!({"event": "control", "right": "signals", "what": "dtr=off rts=on"}));
    has(serde_json::json!({"event": "control", "right": "signals", "what": "break 250ms"}));
    has(serde_json::json!({"event": "control", "right": "run", "what": "re\nset"}));
    has(
        serde_json::json!({"event": "refused", "as": "token ci", "port": "board0", "right": "ask", "why": "needs write access, has read"}),
    );
    has(serde_json::json!({"event": "left", "as": "token ci", "more_refused": 2}));
    for hidden in [
        anna.reveal(),
        ci.reveal(),
        wrong.reveal(),
        &anna.fingerprint().to_string(),
        "password",
        "treasure",
        "open the door",
    ] {
        assert!(!audit.contains(hidden), "{hidden} in {audit}");
    }
}

#[test]
fn the_audit_log_says_who_asked_for_a_reload_and_who_was_refused_it() {
    let (anna, ci) = (secret(), secret());
    let everywhere = Token {
        scope: Scope::All,
        ..token("anna", &anna)
    };
    let guarded = Guarded::new(&[&everywhere, &token("ci", &ci)]);
    for secret in [&anna, &ci] {
        let mut client = guarded.stranger();
        guarded.hello(&mut client, secret.reveal());
        for _ in 0..3 {
            client.sends_frame(&guarded.world, r#"{"reload":"config"}"#);
            client.hears(&guarded.world);
        }
    }
    let audit = guarded.audit();
    let lines: Vec<serde_json::Value> = audit
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &serde_json::Value| line["right"] == "reload")
        .collect();
    let told = |event: &str, credential: &str| {
        let is_it = |line: &&serde_json::Value| line["event"] == event && line["as"] == credential;
        lines.iter().filter(is_it).count()
    };
    // The second and third of a session wait for the first.
    assert_eq!(told("control", "token anna"), 1, "{audit}");
    assert_eq!(told("refused", "token ci"), 1, "{audit}");
    assert_eq!(lines.len(), 2, "{audit}");
    assert!(lines.iter().all(|line| line["port"].is_null()), "{audit}");
    assert!(audit.contains(r#""more_refused":2"#), "{audit}");
}

#[test]
fn a_certificate_that_ends_while_it_is_used_ends_the_connection() {
    let mut guarded = Guarded::new(&[]);
    let key = KeyFingerprint([1; 32]);
    let holder = Holder {
        name: "ci".parse().unwrap(),
        fingerprint: Some(key),
        common_name: None,
        san: None,
        access: Access::Admin,
        scope: Scope::All,
    };
    let holders = Holders::new([holder]);
    guarded.world.gate.set_holders(holders.into());
    let subject = Subject {
        key,
        common_name: None,
        names: Vec::new(),
        ends: DATE + HOUR,
    };
    for protocol in ["uartnet", "raw", "rfc2217"] {
        let identity = guarded.world.gate.known_by(subject.clone(), None);
        let options = StreamOptions::default();
        let mut client = guarded
            .world
            .connect(protocol, Some("board0"), identity, options);
        if protocol == "uartnet" {
            let welcome = guarded.hello_without(&mut client);
            assert!(welcome.contains(r#""identity":"ci""#), "{welcome}");
        }
        let begun = guarded.world.now;
        // A date is looked at every minute, and at the end to the second.
        let mut looked = 0;
        let mut said = Vec::new();
        while client.finished().is_none() {
            let at = client.session.poll_timeout().unwrap();
            guarded.world.pass(at - guarded.world.now);
            client.session.handle_timeout(guarded.world.now);
            said = client.hears_bytes(&guarded.world);
            looked += 1;
        }
        let took = guarded.world.now - begun;
        assert_eq!((took, looked), (HOUR, 60), "{protocol}");
        let said = String::from_utf8_lossy(&said);
        let told = said.contains("the certificate has expired");
        assert_eq!(told, protocol == "uartnet", "{said}");
        // Nor does it let in again.
        let identity = guarded.world.gate.known_by(subject.clone(), None);
        let options = StreamOptions::default();
        let late = guarded
            .world
            .connect(protocol, Some("board0"), identity, options);
        assert!(!late.session.wants_input(), "{protocol}");
        guarded.world.now = begun;
    }
    assert!(
        guarded
            .audit()
            .contains(r#""as":"certificate ci","why":"the certificate has expired""#)
    );
}
