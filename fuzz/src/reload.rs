//! Reloads: any life of a configuration file that is edited again and again. What the plan of each reload says has changed is
//! compared with the two configurations themselves, written out whole; and where it is carried out, the other one comes out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fs;

use uartnet_server::config::{Config, Given, load};
use uartnet_server::plan::{ListenerFate, Plan};

const PORTS: [&str; 4] = ["a", "b", "c", "d"];
/// Of the first, which the system chooses a port for, there may be several.
const ADDRESSES: [&str; 4] = ["127.0.0.1:0", "127.0.0.1:8001", "unix:/tmp/a", "[::1]:8002"];
/// What is always there, so that hardly any line of the others is wrong for want of it.
const ALWAYS: &str = "\
[[port]]
name = 'always'
device = 'loopback:'
[[port]]
name = 'ever'
device = 'sim:echo'
[[listen]]
protocol = 'rfc2217'
address = '127.0.0.1:8000'
port = 'always'
tls = true
certificate = 'c'
key = 'k'
client_ca = 'ca'
[[identity]]
name = 'always'
common_name = 'always'
";
const GATEWAY: [&str; 10] = [
    "name = 'bench'",
    "drain = '1s'",
    "max_connections = 7",
    "max_connections_per_peer = 7",
    "dead_peer = '30s'",
    "max_frame = '1KiB'",
    "tokens = '/tmp/tokens'",
    "audit = '/tmp/audit'",
    "hello_timeout = '1s'",
    "max_unauthenticated = 3",
];
/// Lines of a port; of those that begin alike, one is there. Tables come last.
const PORT: [&str; 23] = [
    "device = 'loopback:'",
    "device = 'sim:interpreter'",
    "line = '9600-8n1'",
    "flow = 'rtscts'",
    "history = '2MiB'",
    "write = 'exclusive'",
    "write = 'none'",
    "lease_idle = '1m'",
    "on_lag = 'gap'",
    "stall_limit = '1s'",
    "write_queue = '8KiB'",
    "on_loss = 'keep'",
    "ask_queue = 3",
    "ask_wait = '3s'",
    "typing_hold = '1s'",
    "write_pacing = '1ms/byte'",
    "write_pacing = '1ms/line'",
    "[port.interpreter]\nprofile = 'line'",
    "[port.interpreter]\nprofile = 'prompt'\nprompt = '> '",
    "[[port.log]]\npath = '/tmp/NAME'",
    "[[port.log]]\npath = '/tmp/NAME'\nformat = 'raw'",
    "[[port.sequence]]\nname = 'reset'\nsteps = ['dtr=off']",
    "[[port.sequence]]\nname = 'reset'\nsteps = ['dtr=on']",
];
const LISTENER: [&str; 15] = [
    "protocol = 'uartnet'",
    "protocol = 'raw'",
    "port = 'ever'",
    "insecure = true",
    "access = 'read'",
    "access = 'write'",
    "allow = ['10.0.0.0/8']",
    "allow = ['::1']",
    "from = 'start'",
    "when_absent = 'refuse'",
    "banner = 'hello'",
    "tls = true\ncertificate = 'c'\nkey = 'k'",
    "tls = true\ncertificate = 'c'\nkey = 'other'",
    "tls = true\ncertificate = 'c'\nkey = 'k'\nclient_ca = 'ca'",
    "tls = true\ncertificate = 'c'\nkey = 'k'\nclient_ca = 'other'",
];
const IDENTITY: [&str; 5] = [
    "common_name = 'NAME'",
    "common_name = 'other NAME'",
    "san = 'DNS:NAME'",
    "access = 'write'",
    "ports = ['a']",
];

/// The target. Each three bytes are an edit of the file: of what, which one, and which line of it; or, by the first of
/// them, a reload.
pub fn reload(data: &[u8]) {
    let mut file = File::default();
    let mut in_force = file.read().expect("a board and a listener are enough");
    for edit in data.chunks_exact(3) {
        let [what, which, line] = [edit[0], edit[1], edit[2]].map(usize::from);
        if what % 8 == 7 {
            // As with the daemon, a file that is wrong changes nothing.
            if let Some(config) = file.read() {
                check(&in_force, &config);
                check(&config, &in_force);
                check(&config, &config);
                in_force = config;
            }
        } else {
            file.edit(what, which, line);
        }
    }
}

/// What the file says, table by table.
#[derive(Default)]
struct File {
    gateway: Lines,
    ports: Vec<(&'static str, Lines)>,
    listeners: Vec<(&'static str, Lines)>,
    identities: Vec<(&'static str, Lines)>,
}

type Lines = BTreeSet<&'static str>;

impl File {
    fn edit(&mut self, what: usize, which: usize, line: usize) {
        match what % 8 {
            0 => toggle_line(&mut self.gateway, &GATEWAY, line),
            1 => toggle_table(&mut self.ports, PORTS[which % 4], line),
            2 => edit_table(&mut self.ports, which, &PORT, line),
            3 if which.is_multiple_of(8) && self.listeners.len() < 6 => {
                self.listeners.push((ADDRESSES[0], Lines::new()));
            }
            3 => toggle_table(&mut self.listeners, ADDRESSES[which % 4], line),
            4 => edit_table(&mut self.listeners, which, &LISTENER, line),
            5 => toggle_table(&mut self.identities, PORTS[which % 4], line),
            _ => edit_table(&mut self.identities, which, &IDENTITY, line),
        }
    }

    /// What the daemon makes of it, if it is not wrong.
    fn read(&self) -> Option<Config> {
        let gateway = written_out(&[], &self.gateway, "");
        let mut text = format!("[gateway]\n{gateway}{ALWAYS}");
        for (name, lines) in &self.ports {
            let lines = written_out(&["device = 'sim:echo'"], lines, name);
            text += &format!("[[port]]\nname = '{name}'\n{lines}");
        }
        for (address, lines) in &self.listeners {
            let is_uartnet = lines.contains("protocol = 'uartnet'");
            let mut lines = lines.clone();
            lines.retain(|line| takes(is_uartnet, address, line));
            let lines = written_out(&["protocol = 'rfc2217'", "port = 'always'"], &lines, "");
            text += &format!("[[listen]]\naddress = '{address}'\n{lines}");
        }
        for (name, lines) in &self.identities {
            let lines = written_out(&["common_name = 'NAME'"], lines, name);
            text += &format!("[[identity]]\nname = '{name}'\n{lines}");
        }
        let folder = tempfile::tempdir().expect("a folder of our own");
        let path = folder.path().join("any.toml");
        fs::write(&path, text).expect("a file in our own folder");
        let given = Given {
            file: Some(path),
            ..Given::default()
        };
        Some(load(&given).ok()?.config)
    }
}

/// Whether a listener there may have the line, which may be `uartnet`'s.
fn takes(is_uartnet: bool, address: &str, line: &str) -> bool {
    let is_any = |heads: &[&str]| heads.iter().any(|head| line.starts_with(head));
    let of_a_conversation = is_any(&["from", "when_absent", "banner"]);
    let of_a_network = is_any(&["tls", "allow"]);
    !(is_uartnet && of_a_conversation || address.starts_with("unix") && of_a_network)
}

/// The lines, and these for keys that none of them has.
fn written_out(defaults: &[&'static str], lines: &Lines, name: &str) -> String {
    let missing = |default: &&&str| lines.iter().all(|line| key(line) != key(default));
    // From z to [, because tables of a table come behind its keys.
    let lines = defaults.iter().filter(missing).chain(lines.iter().rev());
    lines
        .map(|line| line.replace("NAME", name) + "\n")
        .collect()
}

/// Puts a table in at some place, or takes out the one that is called so.
fn toggle_table<T: PartialEq>(tables: &mut Vec<(T, Lines)>, name: T, place: usize) {
    match tables.iter().position(|(other, _)| *other == name) {
        Some(index) => drop(tables.remove(index)),
        None => tables.insert(place % (tables.len() + 1), (name, Lines::new())),
    }
}

fn edit_table<T>(tables: &mut [(T, Lines)], which: usize, known: &[&'static str], line: usize) {
    if !tables.is_empty() {
        let (_, lines) = &mut tables[which % tables.len()];
        toggle_line(lines, known, line);
    }
}

/// Puts a line in, in place of one with the same key, or takes it out.
fn toggle_line(lines: &mut Lines, known: &[&'static str], line: usize) {
    let line = known[line % known.len()];
    if !lines.remove(line) {
        lines.retain(|other| key(other) != key(line));
        lines.insert(line);
    }
}

fn key(line: &str) -> Option<&str> {
    line.split(['=', '\n']).next()
}

/// Whether the plan says what has changed, and nothing else.
fn check(old: &Config, new: &Config) {
    let plan = Plan::new(old, new);
    check_listeners(&plan, old, new);
    assert_eq!(
        plan.gateway.is_empty(),
        written(&old.gateway) == written(&new.gateway)
    );
    let ports = |config: &Config| -> BTreeMap<String, String> {
        let ports = config.ports.iter();
        let named = ports.map(|port| (format!("port {}", port.name), written(port)));
        named.collect()
    };
    let told: Vec<String> = plan.ports.iter().map(ToString::to_string).collect();
    assert_eq!(begins(&told), differences(&ports(old), &ports(new)));
    let identities = |config: &Config| -> BTreeMap<String, String> {
        let holders = config.holders.list().iter();
        let named = holders.map(|it| (format!("identity {}", it.name), written(it)));
        named.collect()
    };
    let mut expected = differences(&identities(old), &identities(new));
    if expected.is_empty() && written(&old.holders) != written(&new.holders) {
        expected.push("identities changed: their order".to_owned());
    }
    assert_eq!(begins(&plan.identities), expected);
    assert_eq!(plan.sentences().is_empty(), contents(old) == contents(new));
}

/// What has become of each that is not the same in both, in order.
fn differences(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<String> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let different = names
        .iter()
        .filter(|name| old.get(**name) != new.get(**name));
    let became = different.map(|name| match (old.get(*name), new.get(*name)) {
        (None, _) => format!("{name} added"),
        (_, None) => format!("{name} removed"),
        _ => format!("{name} changed: …"),
    });
    became.collect()
}

/// Sentences in order, without which keys have changed, of which there must be some.
fn begins(sentences: &[String]) -> Vec<String> {
    let begin = |sentence: &String| match sentence.split_once(": ") {
        Some((_, "their order")) | None => sentence.clone(),
        Some((_, "")) => panic!("nothing of it has changed: {sentence}"),
        Some((begin, _)) => format!("{begin}: …"),
    };
    let mut begins: Vec<String> = sentences.iter().map(begin).collect();
    begins.sort_unstable();
    begins
}

/// Each listener of before goes or becomes one of the new ones, of the same address; none comes anew where one could have
/// stayed, and none is changed where it could have stayed as it was.
fn check_listeners(plan: &Plan, old: &Config, new: &Config) {
    assert_eq!(plan.listeners.len(), new.listeners.len());
    let mut used: Vec<usize> = plan
        .listeners_gone
        .iter()
        .map(|(index, _)| *index)
        .collect();
    let (mut kept, mut unchanged) = (0, 0);
    for ((fate, _), after) in plan.listeners.iter().zip(&new.listeners) {
        let ListenerFate::Kept(index, keys) = fate else {
            continue;
        };
        let before = &old.listeners[*index];
        assert_eq!(before.address, after.address);
        assert_eq!(
            keys.is_empty(),
            written(before) == written(after),
            "{plan:?}"
        );
        used.push(*index);
        kept += 1;
        unchanged += usize::from(keys.is_empty());
    }
    used.sort_unstable();
    assert!(used.into_iter().eq(0..old.listeners.len()), "{plan:?}");
    let addresses =
        |config: &Config| counted(config.listeners.iter().map(|it| written(&it.address)));
    assert_eq!(kept, in_both(&addresses(old), &addresses(new)), "{plan:?}");
    let wholes = |config: &Config| counted(config.listeners.iter().map(written));
    assert_eq!(unchanged, in_both(&wholes(old), &wholes(new)), "{plan:?}");
}

/// All that a configuration says; the order of ports and of listeners says nothing.
fn contents(config: &Config) -> [BTreeMap<String, usize>; 3] {
    let rest = [written(&config.gateway), written(&config.holders)];
    [
        counted(config.ports.iter().map(written)),
        counted(config.listeners.iter().map(written)),
        counted(rest.into_iter()),
    ]
}

fn counted(all: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for each in all {
        *counts.entry(each).or_default() += 1;
    }
    counts
}

fn in_both(one: &BTreeMap<String, usize>, other: &BTreeMap<String, usize>) -> usize {
    let of_other = |name| other.get(name).copied().unwrap_or(0);
    one.iter()
        .map(|(name, count)| of_other(name).min(*count))
        .sum()
}

/// Everything that is in it, also what nobody remembered to compare.
fn written(any: &(impl Debug + ?Sized)) -> String {
    format!("{any:?}")
}
