//! Certificates of clients, as those who have them meet them: real processes, real files, every endpoint.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;

use predicates::prelude::*;
use predicates::str::contains;
use uartnet_tests::{
    Authority, Daemon, Keys, Peer, Process, Says, Signal, TlsPeer, exit_code, frame,
};

const PORTS: &str = "[[port]]\nname = \"board0\"\ndevice = \"sim:interpreter\"\n\
    [[port]]\nname = \"board1\"\ndevice = \"sim:interpreter\"\n";

/// What `raw` is asked, and how the board answers.
const ASKED: &[u8] = b"LED?\r";
const ANSWERED: &[u8] = b"LED?\r\nOFF";

/// WILL BINARY is agreed to.
const HELLO_TELNET: (&[u8], &[u8]) = (b"\xff\xfb\x00", b"\xff\xfd\x00");

/// A gateway's folder, and its authority.
struct Bench {
    keys: Keys,
}

impl Bench {
    fn new() -> Bench {
        let keys = Keys::new();
        keys.said(&["tls", "ca"]);
        Bench { keys }
    }

    /// A certificate of a client, and the identity that is printed for it.
    fn client(&self, name: &str, more: &[&str]) -> String {
        let file = self.pem(name);
        let file = file.to_str().unwrap();
        let text = self
            .keys
            .said(&[&["tls", "client", name, "--out", file], more].concat());
        format!("{text}\n")
    }

    fn pem(&self, name: &str) -> PathBuf {
        self.keys.path(&format!("{name}.pem"))
    }

    fn listener(&self, protocol: &str, more: &str) -> String {
        let ca = self.keys.path("client-ca.pem");
        format!(
            "[[listen]]\nprotocol = \"{protocol}\"\naddress = \"127.0.0.1:0\"\ntls = true\n\
             port = \"board0\"\nclient_ca = \"{}\"\n{more}\n",
            ca.display()
        )
    }

    fn start(&self, config: &str) -> Daemon {
        self.keys.start(&whole(config))
    }

    /// SIGHUP, with this configuration; it changes this.
    fn reload(&self, daemon: &mut Daemon, config: &str, change: &str) {
        let reloaded = |log: &str| log.matches("\"event\":\"reloaded\"").count();
        let before = reloaded(&daemon.log());
        fs::write(self.keys.path("uartd.toml"), whole(config)).unwrap();
        daemon.process().signal(Signal::HUP).unwrap();
        let stderr = &daemon.process().stderr;
        let log = stderr
            .wait("a reload", |log| reloaded(log) > before)
            .unwrap();
        let mut lines = log.lines().filter(|line| reloaded(line) == 1);
        let last = lines.next_back().unwrap();
        assert!(last.contains(change), "{last}");
    }

    fn connect(&self, address: SocketAddr, name: &str) -> std::io::Result<TlsPeer> {
        let file = self.pem(name);
        self.keys.try_connect(address, Some((file.clone(), file)))
    }

    /// What a TLS client meets that comes with this certificate, or none. In TLS 1.3 it is told only when it reads.
    fn refused(&self, address: SocketAddr, own: Option<PathBuf>) -> String {
        let own = own.map(|file| (file.clone(), file));
        told(self.keys.try_connect(address, own))
    }
}

/// What somebody is told who is not let in.
fn told(connected: std::io::Result<TlsPeer>) -> String {
    match connected {
        Err(error) => error.to_string(),
        Ok(mut peer) => {
            // It may well talk before it knows.
            peer.try_send(ASKED).ok();
            let error = peer.try_read().unwrap_err();
            assert_ne!(error.kind(), ErrorKind::WouldBlock, "nothing was said");
            error.to_string()
        }
    }
}

/// The configuration with what all of them have in common.
fn whole(config: &str) -> String {
    format!("[gateway]\naudit = \"stderr\"\n{PORTS}{config}")
}

fn address(daemon: &Daemon, listener: usize) -> SocketAddr {
    daemon.listening()[listener].address.parse().unwrap()
}

/// Reads until this has come.
fn hears(peer: &mut TlsPeer, what: &[u8]) {
    let mut came = Vec::new();
    while !came.windows(what.len()).any(|window| window == what) {
        came.extend(peer.read(1));
    }
}

#[test]
fn whoever_is_known_by_a_certificate_is_let_in_by_every_protocol() {
    let bench = Bench::new();
    let ci = bench.client("ci", &["--access", "write"]);
    let listeners: String = ["raw", "rfc2217", "uartnet"]
        .map(|protocol| bench.listener(protocol, ""))
        .concat();
    let daemon = bench.start(&format!("{listeners}{ci}"));
    let (hello, agreed) = HELLO_TELNET;
    let plain = (frame("LED?"), frame("OFF"));
    for (listener, (asked, answered)) in [(ASKED, ANSWERED), (hello, agreed), (&plain.0, &plain.1)]
        .into_iter()
        .enumerate()
    {
        let mut peer = bench.connect(address(&daemon, listener), "ci").unwrap();
        peer.send(asked);
        hears(&mut peer, answered);
    }
    let gateway = format!("tls://localhost:{}", address(&daemon, 2).port());
    let pem = bench.pem("ci");
    let uart = |arguments: &[&str]| {
        let mut uart = bench.keys.uart(&gateway);
        uart.arg("--accept-new").arg("--cert").arg(&pem);
        uart.args(arguments).assert()
    };
    uart(&["ask", "board1", "LED?"]).code(0).stdout("OFF\n");
    // The audit log names who it was and how they were known, for each.
    let log = daemon.wait_log("\"event\":\"admitted\"").unwrap();
    let admitted = log.matches("\"as\":\"certificate ci\"").count();
    assert!(admitted >= 4, "{log}");
    assert!(!log.contains("anonymous"), "{log}");
}

#[test]
fn whoever_is_not_is_told_why_by_an_alert_and_it_is_written_down() {
    let bench = Bench::new();
    let ci = bench.client("ci", &["--access", "admin"]);
    bench.client("stranger", &[]);
    let other = Bench::new();
    other.client("other", &[]);
    let organisation = Authority::new();
    let over = Says {
        common_name: "ci",
        dns: None,
        years: (2020, 2021),
    };
    let expired = bench.pem("expired");
    fs::write(&expired, organisation.client(over)).unwrap();
    let ca = bench.keys.path("client-ca.pem");
    let own = fs::read_to_string(&ca).unwrap();
    fs::write(&ca, own + organisation.pem()).unwrap();
    let listeners: String = ["raw", "uartnet", "rfc2217"]
        .map(|protocol| bench.listener(protocol, ""))
        .concat();
    let open = "[[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\n";
    let mut daemon = bench.start(&format!("{listeners}{open}{ci}"));
    let cases = [
        (None, "CertificateRequired", "has shown no certificate"),
        (
            Some(other.pem("other")),
            "UnknownCA",
            "no authority of this listener (client_ca) has signed",
        ),
        (Some(expired), "CertificateExpired", "certificate expired"),
        (
            Some(bench.pem("stranger")),
            "CertificateUnknown",
            "no [[identity]] is known by the certificate (sha256:",
        ),
    ];
    let mut turned_away = 0;
    for listener in 0..3 {
        for (own, alert, why) in &cases {
            let told = bench.refused(address(&daemon, listener), own.clone());
            assert!(told.contains(alert), "{alert}: {told}");
            turned_away += 1;
            let stderr = &daemon.process().stderr;
            let log = stderr.wait("a line of the audit log", |log| {
                log.matches("turned-away").count() == turned_away
            });
            let log = log.unwrap();
            let mut lines = log.lines().filter(|line| line.contains("turned-away"));
            let last = lines.next_back().unwrap();
            assert!(last.contains(why), "{why}: {last}");
        }
    }
    assert!(!daemon.log().contains("admitted"), "{}", daemon.log());
    let log = daemon.log();
    assert!(
        log.contains("CN=stranger"),
        "the log for people tells it too"
    );
    let open = format!("127.0.0.1:{}", address(&daemon, 3).port());
    bench
        .keys
        .uart(&open)
        .args(["info", "--json"])
        .assert()
        .code(0)
        .stdout(contains("\"certificates_refused\":12"));

    // And our own client says it in words.
    let gateway = format!("tls://localhost:{}", address(&daemon, 1).port());
    let uart = |own: Option<&str>| {
        let mut uart = bench.keys.uart(&gateway);
        uart.arg("--accept-new");
        if let Some(name) = own {
            uart.arg("--cert").arg(bench.pem(name));
        }
        uart.arg("ls").assert()
    };
    uart(Some("ci")).code(0);
    uart(None).code(3).stderr(contains("--cert FILE"));
    uart(Some("stranger"))
        .code(3)
        .stderr(contains("knows nobody by the certificate"));
    uart(Some("expired"))
        .code(3)
        .stderr(contains("has expired"));
}

#[test]
fn a_certificate_may_do_what_its_identity_says_and_nothing_else() {
    let bench = Bench::new();
    let reader = bench.client("reader", &["--port", "board0"]);
    let elsewhere = bench.client("elsewhere", &["--port", "board1", "--access", "admin"]);
    let listeners: String = ["raw", "rfc2217", "uartnet"]
        .map(|protocol| bench.listener(protocol, ""))
        .concat();
    let open = "[[listen]]\nprotocol = \"uartnet\"\naddress = \"127.0.0.1:0\"\n";
    let daemon = bench.start(&format!("{listeners}{open}{reader}{elsewhere}"));
    let open = format!("127.0.0.1:{}", address(&daemon, 3).port());
    let led = || {
        let mut uart = bench.keys.uart(&open);
        let asked = uart.args(["ask", "board0", "LED?"]).output().unwrap();
        String::from_utf8(asked.stdout).unwrap()
    };
    // Whoever may only read is cut off when it writes, over raw and rfc2217, and the board has heard nothing.
    for listener in [0, 1] {
        let mut peer = bench.connect(address(&daemon, listener), "reader").unwrap();
        peer.send(b"LED ON\r");
        let (heard, orderly) = peer.rest();
        assert!(
            orderly && !heard.windows(2).any(|at| at == b"OK"),
            "{heard:?}"
        );
        assert_eq!(led(), "OFF\n");
    }
    // A port that is not among its own does not exist: nothing is heard of it, nothing reaches it.
    for listener in [0, 1] {
        let mut peer = bench
            .connect(address(&daemon, listener), "elsewhere")
            .unwrap();
        peer.try_send(b"LED ON\r").ok();
        let (heard, _) = peer.rest();
        assert!(!heard.windows(3).any(|at| at == b"LED"), "{heard:?}");
        assert_eq!(led(), "OFF\n");
    }
    let gateway = format!("tls://localhost:{}", address(&daemon, 2).port());
    let uart = |name: &str, arguments: &[&str]| {
        let mut uart = bench.keys.uart(&gateway);
        uart.arg("--accept-new").arg("--cert").arg(bench.pem(name));
        uart.args(arguments).assert()
    };
    uart("reader", &["ls"])
        .code(0)
        .stdout(contains("board0").and(contains("board1").not()));
    uart("reader", &["ask", "board0", "LED ON"])
        .code(1)
        .stderr(contains("forbidden"));
    uart("elsewhere", &["ls"])
        .code(0)
        .stdout(contains("board1").and(contains("board0").not()));
    uart("elsewhere", &["ask", "board1", "LED ON"]).code(0);
    assert_eq!(led(), "OFF\n");
    let log = daemon.log();
    let refused = "\"as\":\"certificate reader\",\"port\":\"board0\",\"right\":\"write\"";
    assert!(log.contains(refused), "{log}");
}

#[test]
fn a_token_is_not_taken_beside_a_certificate() {
    let bench = Bench::new();
    let ci = bench.client("ci", &[]);
    let daemon = bench.start(&format!("{}{ci}", bench.listener("uartnet", "")));
    let secret = bench
        .keys
        .said(&["token", "create", "admin", "--access", "admin"]);
    let gateway = format!("tls://localhost:{}", daemon.address().port());
    let uart = |token: &str| {
        let mut uart = bench.keys.uart(&gateway);
        uart.env("UART_TOKEN", token);
        uart.arg("--accept-new").arg("--cert").arg(bench.pem("ci"));
        uart.args(["ls"]).assert()
    };
    for token in [secret.as_str(), "uart_nonsense"] {
        uart(token)
            .code(1)
            .stderr(contains("unauthorized").and(contains("takes no token beside it")))
            .stderr(contains("uart login").not());
    }
    let mut without = bench.keys.uart(&gateway);
    without.arg("--cert").arg(bench.pem("ci"));
    without.arg("ls").assert().code(0);
}

#[test]
fn any_certificate_of_the_authorities_will_do_where_that_is_written() {
    let bench = Bench::new();
    let ci = bench.client("ci", &["--access", "write"]);
    bench.client("stranger", &[]);
    let both = |access: &str| {
        let access = format!("access = \"{access}\"");
        let listeners = ["raw", "uartnet"].map(|protocol| bench.listener(protocol, &access));
        format!("{}{ci}", listeners.concat())
    };
    let mut daemon = bench.start(&both("read"));
    // Somebody who is known may do what is theirs, everybody else what the listener says.
    let mut known = bench.connect(address(&daemon, 0), "ci").unwrap();
    let mut stranger = bench.connect(address(&daemon, 0), "stranger").unwrap();
    known.send(ASKED);
    hears(&mut known, ANSWERED);
    hears(&mut stranger, ANSWERED);
    stranger.send(b"LED ON\r");
    stranger.rest();
    assert!(
        bench
            .refused(address(&daemon, 0), None)
            .contains("CertificateRequired")
    );
    daemon.wait_log("\"as\":\"certificate sha256:").unwrap();
    let gateway = format!("tls://localhost:{}", address(&daemon, 1).port());
    let mut ask = bench.keys.uart(&gateway);
    ask.arg("--accept-new")
        .arg("--cert")
        .arg(bench.pem("stranger"));
    ask.args(["ask", "board0", "LED?"])
        .assert()
        .code(1)
        .stderr(contains("forbidden"));

    // What they may do becomes less: they are shown out, and whoever is known stays.
    let mut stranger = bench.connect(address(&daemon, 0), "stranger").unwrap();
    known.send(ASKED);
    hears(&mut stranger, ANSWERED);
    bench.reload(&mut daemon, &both("none"), "changed: access");
    assert!(stranger.rest().1);
    known.send(ASKED);
    hears(&mut known, ANSWERED);
    let told = bench.refused(address(&daemon, 0), Some(bench.pem("stranger")));
    assert!(told.contains("CertificateUnknown"), "{told}");
    daemon
        .wait_log("certificate of no identity has become less")
        .unwrap();
    // Nor does it stay a stranger's who is an identity's by now.
    bench.reload(&mut daemon, &both("read"), "changed: access");
    let mut stranger = bench.connect(address(&daemon, 0), "stranger").unwrap();
    known.send(ASKED);
    hears(&mut stranger, ANSWERED);
    let anna = "[[identity]]\nname = \"anna\"\ncommon_name = \"stranger\"\n";
    let config = format!("{}{anna}", both("read"));
    bench.reload(&mut daemon, &config, "identity anna added");
    assert!(stranger.rest().1);
    daemon.wait_log("that of the identity anna by now").unwrap();
}

#[test]
fn an_identity_that_is_taken_out_or_changed_is_shown_out_by_a_reload() {
    let bench = Bench::new();
    let listener = bench.listener("raw", "");
    let ci = bench.client("ci", &["--access", "write"]);
    let anna = bench.client("anna", &["--access", "write"]);
    let mut daemon = bench.start(&format!("{listener}{ci}{anna}"));
    let at = daemon.address();
    let come = |name: &str| {
        let mut peer = bench.connect(at, name).unwrap();
        peer.send(ASKED);
        hears(&mut peer, ANSWERED);
        peer
    };
    // Less access, other ports, gone: each shows out whom it concerns, and nobody else.
    let both = format!("{listener}{ci}{anna}");
    for (after, change) in [
        (
            ci.replace("\"write\"", "\"read\""),
            "identity ci changed: access",
        ),
        (
            format!("{ci}ports = [\"board1\"]\n"),
            "identity ci changed: ports",
        ),
        (String::new(), "identity ci removed"),
    ] {
        let (mut ci_goes, mut anna_stays) = (come("ci"), come("anna"));
        bench.reload(&mut daemon, &format!("{listener}{anna}{after}"), change);
        assert!(ci_goes.rest().1, "{change}: it ends as TLS ends");
        anna_stays.send(ASKED);
        hears(&mut anna_stays, ANSWERED);
        if after.is_empty() {
            let told = bench.refused(at, Some(bench.pem("ci")));
            assert!(told.contains("CertificateUnknown"), "{told}");
        }
        bench.reload(&mut daemon, &both, "identity ci");
        anna_stays.send(ASKED);
        hears(&mut anna_stays, ANSWERED);
    }
    let log = daemon.log();
    assert!(log.contains("the identity ci has been changed"), "{log}");
    assert!(log.contains("the identity ci is no longer known"), "{log}");
    come("ci");
}

#[test]
fn a_session_that_is_shown_out_is_told_why() {
    let bench = Bench::new();
    let listener = bench.listener("uartnet", "");
    let ci = bench.client("ci", &["--access", "write"]);
    let anna = bench.client("anna", &[]);
    let mut daemon = bench.start(&format!("{listener}{ci}{anna}"));
    let mut session = bench.connect(daemon.address(), "ci").unwrap();
    session.send(frame("{\"hello\":\"uartnet/1\"}"));
    hears(&mut session, b"\"identity\":\"ci\"");
    bench.reload(
        &mut daemon,
        &format!("{listener}{anna}"),
        "identity ci removed",
    );
    let (said, orderly) = session.rest();
    let said = String::from_utf8_lossy(&said);
    assert!(
        orderly && said.contains("\"error\":\"unauthorized\""),
        "{said}"
    );
    assert!(
        said.contains("the identity ci is no longer known"),
        "{said}"
    );
}

#[test]
fn a_changed_authority_is_in_force_at_once_also_for_who_is_in() {
    let bench = Bench::new();
    let ci = bench.client("ci", &["--access", "write"]);
    let daemon = bench.start(&format!("{}{ci}", bench.listener("raw", "")));
    let at = daemon.address();
    let ca = bench.keys.path("client-ca.pem");
    let first = fs::read(&ca).unwrap();
    let mut inside = bench.connect(at, "ci").unwrap();
    inside.send(ASKED);
    hears(&mut inside, ANSWERED);

    // What cannot be used changes nothing.
    fs::write(&ca, "nothing").unwrap();
    daemon.wait_log("the old one stays in force").unwrap();
    inside.send(ASKED);
    hears(&mut inside, ANSWERED);

    // A second authority beside the first shows nobody out.
    let other = Bench::new();
    let second = fs::read(other.keys.path("client-ca.pem")).unwrap();
    fs::write(&ca, [&first[..], &second].concat()).unwrap();
    daemon
        .wait_log("authorities of clients are read again")
        .unwrap();
    inside.send(ASKED);
    hears(&mut inside, ANSWERED);

    fs::write(&ca, second).unwrap();
    assert!(inside.rest().1, "it ends as TLS ends");
    assert!(
        bench
            .refused(at, Some(bench.pem("ci")))
            .contains("UnknownCA")
    );
    daemon.wait_log("shown out: no authority").unwrap();
}

#[test]
fn a_listener_that_begins_to_ask_for_tls_or_certificates_keeps_nobody_without() {
    let bench = Bench::new();
    let ci = bench.client("ci", &["--access", "write"]);
    let asks = bench.listener("raw", "");
    // The same listener before: in the clear, and then with TLS but no certificates of clients.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .unwrap()
        .port();
    let at = |text: &str| text.replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
    let asks = at(&asks);
    let without = |key: &str| {
        let lines = asks.lines().filter(|line| !line.starts_with(key));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    let tls = without("client_ca");
    let clear = tls.replace("tls = true\n", "");
    let mut daemon = bench.start(&clear);
    let mut stranger = Peer::connect(daemon.address());
    stranger.send(ASKED);
    bench.reload(&mut daemon, &tls, "changed: tls");
    assert!(stranger.rest().1, "it ends in order");
    daemon.wait_log("only over TLS").unwrap();

    let mut nobody = bench.keys.connect(daemon.address());
    nobody.send(ASKED);
    hears(&mut nobody, ANSWERED);
    bench.reload(
        &mut daemon,
        &format!("{asks}{ci}"),
        "changed: client_ca, access",
    );
    assert!(nobody.rest().1);
    let mut known = bench.connect(daemon.address(), "ci").unwrap();
    known.send(ASKED);
    hears(&mut known, ANSWERED);
    // The same where whoever has no name may do as much as before.
    let read = |text: &str| format!("{text}access = \"read\"\n");
    bench.reload(&mut daemon, &read(&tls), "changed: client_ca, access");
    let mut nobody = bench.keys.connect(daemon.address());
    bench.reload(
        &mut daemon,
        &format!("{}{ci}", read(&asks)),
        "changed: client_ca",
    );
    assert!(nobody.rest().1);
    let log = daemon.log();
    let why = "everybody needs a certificate here by now";
    assert_eq!(
        log.matches(&format!("shown out: {why}")).count(),
        2,
        "{log}"
    );
    let mut known = bench.connect(daemon.address(), "ci").unwrap();
    known.send(ASKED);
    hears(&mut known, ANSWERED);

    // Nor whoever came by what is not asked for any more, also where it still is by another listener.
    let other = bench.listener("rfc2217", "");
    bench.reload(
        &mut daemon,
        &format!("{tls}{other}{ci}"),
        "changed: client_ca",
    );
    assert!(known.rest().1);
    daemon
        .wait_log("certificates are not asked for here any more")
        .unwrap();
}

#[test]
fn an_authority_of_an_organisation_names_its_clients_by_what_it_signs() {
    let bench = Bench::new();
    let organisation = Authority::new();
    let part = organisation.below();
    fs::write(bench.keys.path("client-ca.pem"), organisation.pem()).unwrap();
    let says = |common_name, dns| Says {
        common_name,
        dns,
        years: (2020, 2100),
    };
    for (name, certificate) in [
        ("by-name", organisation.client(says("ci", None))),
        // Those between it and the authority come with it.
        (
            "by-san",
            part.client(says("whatever", Some("CI.example.org"))),
        ),
        ("neither", part.client(says("CI", Some("anna.example.org")))),
    ] {
        fs::write(bench.pem(name), certificate).unwrap();
    }
    let identities = "[[identity]]\nname = \"first\"\ncommon_name = \"ci\"\naccess = \"write\"\n\
        [[identity]]\nname = \"second\"\nsan = \"DNS:ci.example.org\"\naccess = \"write\"\n";
    let daemon = bench.start(&format!("{}{identities}", bench.listener("raw", "")));
    for (certificate, identity) in [("by-name", "first"), ("by-san", "second")] {
        let mut peer = bench.connect(daemon.address(), certificate).unwrap();
        peer.send(ASKED);
        hears(&mut peer, ANSWERED);
        let who = format!("\"as\":\"certificate {identity}\"");
        daemon.wait_log(&who).unwrap();
    }
    let told = bench.refused(daemon.address(), Some(bench.pem("neither")));
    assert!(told.contains("CertificateUnknown"), "{told}");
}

#[test]
fn beyond_this_machine_raw_and_rfc2217_take_tls_and_certificates() {
    let keys = Keys::new();
    let check = |listen: &str| {
        let file = keys.path("check.toml");
        fs::write(&file, format!("{PORTS}{listen}")).unwrap();
        let mut command = assert_cmd::Command::from_std(keys.uartd());
        command.arg("check").arg(file).assert()
    };
    let identity = "[[identity]]\nname = \"ci\"\ncommon_name = \"ci\"\n";
    for protocol in ["raw", "rfc2217"] {
        let public = format!(
            "[[listen]]\nprotocol = \"{protocol}\"\naddress = \"0.0.0.0:0\"\nport = \"board0\"\n"
        );
        check(&format!(
            "{public}tls = true\nclient_ca = \"ca.pem\"\n{identity}"
        ))
        .code(0)
        .stdout(contains("certificates of clients").and(contains("identity  ci")));
        let anybody = "tls = true\nclient_ca = \"ca.pem\"\naccess = \"read\"\n";
        check(&format!("{public}{anybody}")).code(0);
        for more in [
            "",
            "tls = true\naccess = \"read\"\n",
            "access = \"write\"\n",
        ] {
            check(&format!("{public}{more}"))
                .code(1)
                .stderr(contains("uartd tls ca").and(contains("client_ca below it")));
        }
        check(&format!("{public}tls = true\n"))
            .code(1)
            .stderr(contains("uartd tls ca"));
    }
}

#[test]
fn our_client_speaks_raw_and_rfc2217_over_tls() {
    let bench = Bench::new();
    let ci = bench.client("ci", &["--access", "write"]);
    let listeners: String = ["raw", "rfc2217"]
        .map(|protocol| bench.listener(protocol, ""))
        .concat();
    let mut daemon = bench.start(&format!("{listeners}{ci}"));
    let at = |listener| format!("localhost:{}", address(&daemon, listener).port());
    let (raw, rfc2217) = (
        format!("tls+tcp://{}", at(0)),
        format!("tls+rfc2217://{}", at(1)),
    );
    let pem = bench.pem("ci");
    let uart = |arguments: &[&str]| {
        let mut uart = bench.keys.uart("unix:/nowhere");
        uart.args(arguments).assert()
    };
    let with = |more: &[&str], board: &str| {
        let ask = ["ask", board, "LED?", "--prompt", "> "];
        uart(&[&["--cert", pem.to_str().unwrap()], more, &ask].concat())
    };
    let fingerprint = bench.keys.said(&["tls", "show"]);
    let own = bench.keys.path("certificate.pem");
    let wrong = format!("sha256:{}", "0".repeat(64));
    for board in [&raw, &rfc2217] {
        // Nobody is known yet, and a program cannot be asked.
        with(&[], board)
            .code(3)
            .stderr(contains(&fingerprint).and(contains("--accept-new")));
        with(&["--pin", &wrong], board)
            .code(3)
            .stderr(contains("KEY HAS CHANGED"));
        with(&["--pin", &fingerprint], board)
            .code(0)
            .stdout("OFF\n");
        with(&["--ca", own.to_str().unwrap()], board).code(0);
        with(&["--accept-new"], board).code(0);
        with(&[], board).code(0).stdout("OFF\n");
        let gateway = board
            .replace("tls+tcp", "tls")
            .replace("tls+rfc2217", "tls");
        let file = bench.keys.path("state/uart/known_gateways");
        let known = fs::read_to_string(&file).unwrap();
        fs::write(&file, known.replace(&fingerprint, &wrong)).unwrap();
        with(&["--accept-new"], board)
            .code(3)
            .stderr(contains("KEY HAS CHANGED").and(contains("uart forget --gateway tls://")));
        uart(&["forget", "--gateway", &gateway]).code(0);
        // Without a certificate the gateway's alert comes when it has shaken hands already.
        let ask = ["ask", board, "LED?", "--prompt", "> "];
        uart(&[&["--pin", &fingerprint], &ask[..]].concat())
            .code(3)
            .stderr(contains("--cert FILE"));
        // In the clear nothing is said to it, and TLS is not for who speaks none.
        let clear = board.replace("tls+", "");
        uart(&[
            "--pin",
            &fingerprint,
            "ask",
            &clear,
            "LED?",
            "--prompt",
            "> ",
        ])
        .code(2)
        .stderr(contains("write tls+"));
    }
    let known = ["--pin", &fingerprint, "--cert", pem.to_str().unwrap()];
    uart(&[&known[..], &["set", &rfc2217, "--line", "9600-7e1"]].concat())
        .code(0)
        .stdout(contains("9600-7e1"));
    uart(&[&known[..], &["expect", &raw, "OFF", "--send", "LED?"]].concat()).code(0);

    // Who waits for a board is told when the identity is taken out, and does not try for ever.
    let mut watch = uartnet_tests::uart_command("unix:/nowhere").unwrap();
    watch.args(known).args(["expect", &raw, "never said"]);
    let admitted = |log: &str| log.matches("\"admitted\"").count();
    let before = admitted(&daemon.log());
    let mut watching = Process::spawn(&mut watch).unwrap();
    let stderr = &daemon.process().stderr;
    let inside = stderr.wait("one more client", |log| admitted(log) > before);
    inside.unwrap();
    let anna = bench.client("anna", &[]);
    bench.reload(
        &mut daemon,
        &format!("{listeners}{anna}"),
        "identity ci removed",
    );
    assert_eq!(exit_code(watching.wait().unwrap()), 3);
    assert!(
        watching.said().contains("knows nobody by the certificate"),
        "{}",
        watching.said()
    );
}

#[test]
fn a_certificate_without_its_key_or_that_is_none_lets_nobody_in_and_costs_nobody_anything() {
    let mut bench = Bench::new();
    let ci = bench.client("ci", &["--access", "write"]);
    bench.client("stranger", &[]);
    let daemon = bench.start(&format!("{}{ci}", bench.listener("raw", "")));
    let at = daemon.address();
    let mut inside = bench.connect(at, "ci").unwrap();
    let certificate = uartnet_tests::certificates(&bench.pem("ci")).remove(0);
    let shows = |bench: &Bench, chain: Vec<Vec<u8>>, key: &str| {
        told(bench.keys.try_connect_showing(at, chain, bench.pem(key)))
    };
    // A certificate is no secret: whoever has seen one has not its key.
    let copied = shows(&bench, vec![certificate.clone()], "stranger");
    assert!(copied.contains("DecryptError"), "{copied}");
    bench.keys.speak_tls12();
    let copied = shows(&bench, vec![certificate.clone()], "stranger");
    assert!(copied.contains("DecryptError"), "{copied}");
    bench.connect(at, "ci").unwrap();
    for (chain, alert) in [
        (vec![], "CertificateRequired"),
        (vec![b"nothing of the kind".to_vec()], "BadCertificate"),
        (vec![vec![0x30; 60_000]], "BadCertificate"),
        (
            vec![certificate[..certificate.len() - 1].to_vec()],
            "BadCertificate",
        ),
        // Many, which all are to be searched for who signed whom.
        (vec![certificate.clone(); 30], ""),
    ] {
        let count = chain.len();
        let said = shows(&bench, chain, "stranger");
        assert!(
            said.contains(alert),
            "{count} certificates: {alert}: {said}"
        );
    }
    // Each bit of it is signed, or the signature itself.
    for at in (0..certificate.len()).step_by(7) {
        let mut damaged = certificate.clone();
        damaged[at] ^= 1;
        let said = shows(&bench, vec![damaged], "ci");
        assert!(said.contains("alert"), "byte {at}: {said}");
    }
    inside.send(ASKED);
    hears(&mut inside, ANSWERED);
    let log = daemon.log();
    assert!(log.contains("shown without its key"), "{log}");
    assert_eq!(log.matches("\"admitted\"").count(), 2, "{log}");
    assert!(!log.contains("panicked"), "{log}");
}
