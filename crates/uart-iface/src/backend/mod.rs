//! The one list of backends, each named by the scheme of a device spec, and how a spec becomes an opened [`Port`].
//! Not what a port can do once it is open; that is the trait.

mod loopback;
mod pty;
pub mod sim;
mod tty;
mod usb;

use std::fmt;

use crate::watch::Target;
use crate::{LineSettings, OpenError, OutputSignals, Port, SpecError, suggest};

/// Every kind of device, in the order help and documentation show them. A new backend is one file and one line here;
/// the conformance battery in `tests/battery.rs` walks this list.
pub const BACKENDS: &[&dyn Backend] = &[
    &tty::Tty,
    &usb::Usb,
    &pty::Pty,
    &sim::Sim,
    &loopback::Loopback,
];

/// One kind of device: it parses its own options and describes itself.
pub trait Backend: Sync {
    /// The part of the spec before the first `:`, e.g. `sim`. The tty backend's is the empty string: its specs are paths.
    fn scheme(&self) -> &'static str;

    /// One line for `uartd --help` and the documentation.
    fn summary(&self) -> &'static str;

    /// Specs that parse, the most typical first.
    fn examples(&self) -> &'static [&'static str];

    /// Understands what follows the scheme. `spec` is the whole text, for error messages.
    ///
    /// # Errors
    /// What is wrong, and what would be right. Whether the device is there now is not asked here.
    fn parse(&self, spec: &str, rest: &str) -> Result<Box<dyn Device>, SpecError>;

    /// The real devices of this kind that are there now, stable names first.
    fn found(&self) -> Vec<FoundDevice> {
        Vec::new()
    }
}

/// A device that a spec names, there or not. It outlives the ports opened from it (a simulated board keeps its state,
/// a pseudo-terminal its link).
pub trait Device: fmt::Debug {
    /// The spec, as it should be shown.
    fn spec(&self) -> &str;

    /// Opens it with these settings and signals. What the hardware really took is in [`Port::status`].
    /// Must be called where descriptors can be [watched](uartnet_reactor::Watched::new).
    ///
    /// # Errors
    /// Any [`OpenError`]; all of them may pass, trying again is right.
    fn open(
        &mut self,
        line: LineSettings,
        outputs: OutputSignals,
    ) -> Result<Box<dyn Port>, OpenError>;

    /// The prompt of the board's interpreter, where the device knows it by itself (simulated boards do): then a port
    /// without an `interpreter` section talks to it by profile `prompt`.
    fn prompt(&self) -> Option<&str> {
        None
    }

    /// The name of the interpreter profile that a port without an `interpreter` section talks to it by, where the device
    /// knows it by itself.
    fn profile(&self) -> Option<&'static str> {
        self.prompt().map(|_| "prompt")
    }

    /// What to watch while it cannot be opened: a change there may be its return. Nothing, if its return shows nowhere.
    fn signs(&self) -> Vec<Target> {
        Vec::new()
    }

    /// What all specs of one device have in common, where it can be opened only once: two devices of the same identity
    /// cannot both be open. `None`: each device made from a spec is one of its own (simulated boards are).
    fn identity(&self) -> Option<String> {
        None
    }
}

/// A real device, as `uartd devices` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundDevice {
    /// What to write in a config, the most stable name it has (`usb:0403:6001:A5069RR4`, or a path).
    pub spec: String,
    /// Where it is now.
    pub path: std::path::PathBuf,
    /// Links that point to it, e.g. below `/dev/serial/by-id`.
    pub links: Vec<std::path::PathBuf>,
    /// What is known of it: driver, USB manufacturer, product, serial number, interface.
    pub description: String,
}

/// Understands a device spec: a path, or `scheme:rest`.
///
/// # Errors
/// [`SpecError`] with what would be right.
pub fn parse_device(spec: &str) -> Result<Box<dyn Device>, SpecError> {
    let refuse = |problem: String| Err(SpecError::new(spec, problem));
    if spec.is_empty() {
        return refuse(format!("it is empty; a device is {}", known_forms()));
    }
    if spec.len() > MAX_SPEC {
        return refuse(format!(
            "it is {} bytes long, and at most {MAX_SPEC} are allowed",
            spec.len()
        ));
    }
    if let Some(control) = spec.chars().find(|c| c.is_control()) {
        return refuse(format!("the character {control:?} may not stand in it"));
    }
    if spec.starts_with('/') {
        return tty::Tty.parse(spec, spec);
    }
    let Some((scheme, rest)) = spec.split_once(':') else {
        let hint = match suggest::closest(spec, schemes()) {
            Some(meant) => format!(" (did you mean \"{meant}:\"?)"),
            None if !spec.contains('/') => format!(" (did you mean \"/dev/{spec}\"?)"),
            None => String::new(),
        };
        return refuse(format!("a device is {}{hint}", known_forms()));
    };
    match BACKENDS
        .iter()
        .find(|backend| !scheme.is_empty() && backend.scheme() == scheme)
    {
        Some(backend) => backend.parse(spec, rest),
        None => {
            let hint = suggest::closest(scheme, schemes())
                .map(|meant| format!(" (did you mean \"{meant}:\"?)"))
                .unwrap_or_default();
            refuse(format!(
                "there is no kind of device called \"{scheme}\"{hint}; a device is {}",
                known_forms()
            ))
        }
    }
}

/// The longest spec accepted, in bytes.
const MAX_SPEC: usize = 1024;

/// The schemes a spec can begin with; a path has none.
fn schemes() -> impl Iterator<Item = &'static str> {
    BACKENDS
        .iter()
        .map(|backend| backend.scheme())
        .filter(|scheme| !scheme.is_empty())
}

/// "a path that begins with /, or usb:…, pty:… or sim:…", from the list.
fn known_forms() -> String {
    let mut forms: Vec<String> = vec!["a path that begins with \"/\"".to_owned()];
    forms.extend(schemes().map(|scheme| format!("{scheme}:…")));
    let last = forms.pop().unwrap_or_default();
    format!("{} or {last}", forms.join(", "))
}

/// The real devices of this machine that are there now, from every backend, stable names first: what USB adapters say
/// of themselves, then paths.
pub fn found_devices() -> Vec<FoundDevice> {
    let mut found: Vec<FoundDevice> = BACKENDS
        .iter()
        .flat_map(|backend| backend.found())
        .collect();
    found.sort_by_key(|device| device.spec.starts_with('/'));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_spec_is_told_what_would_be_right() {
        let long = format!("/{}", "x".repeat(MAX_SPEC));
        for (spec, problem) in [
            (
                "",
                "it is empty; a device is a path that begins with \"/\", usb:…",
            ),
            (":", "no kind of device called \"\"; a device is"),
            ("usv:0403:6001", "called \"usv\" (did you mean \"usb:\"?)"),
            ("PTY:/tmp/x", "(did you mean \"pty:\"?)"),
            ("tcp:1.2.3.4:5", "called \"tcp\"; a device is"),
            ("usb", "(did you mean \"usb:\"?)"),
            ("ttyUSB0", "(did you mean \"/dev/ttyUSB0\"?)"),
            ("dev/ttyUSB0", "loopback:…"),
            ("/dev/tty\0USB0", "the character '\\0' may not stand in it"),
            ("sim:echo\n", "the character '\\n' may not stand in it"),
            (&long, "it is 1025 bytes long"),
        ] {
            let error = parse_device(spec).unwrap_err();
            assert!(error.problem.contains(problem), "{error}");
            assert!(error.to_string().len() < 400, "{error}");
        }
    }

    #[test]
    fn every_backend_describes_itself_and_takes_its_own_examples() {
        for backend in BACKENDS {
            assert!(!backend.summary().is_empty());
            assert!(!backend.examples().is_empty());
            for example in backend.examples() {
                let device = parse_device(example).unwrap();
                assert_eq!(device.spec(), *example);
            }
        }
        let mut schemes: Vec<_> = BACKENDS.iter().map(|backend| backend.scheme()).collect();
        schemes.sort_unstable();
        schemes.dedup();
        assert_eq!(schemes.len(), BACKENDS.len());
    }
}
