//! The usb backend: a USB serial adapter by what it is (vendor, product, serial number), whatever the kernel calls it
//! today. Which device file that is, is looked up at every opening; the rest is a tty.

use crate::backend::tty::{SerialTty, System, TtyPort, UsbIdentity};
use crate::backend::{Backend, Device, FoundDevice};
use crate::{LineSettings, OpenError, OutputSignals, Port, SpecError};

/// USB serial adapters.
#[derive(Debug)]
pub(super) struct Usb;

impl Backend for Usb {
    fn scheme(&self) -> &'static str {
        "usb"
    }

    fn summary(&self) -> &'static str {
        "a USB serial adapter by what it is: usb:VID:PID[:SERIAL][:ifNN]"
    }

    fn examples(&self) -> &'static [&'static str] {
        &[
            "usb:0403:6001:A5069RR4",
            "usb:2341:0043",
            "usb:0403:6011:FT4XYZ:if02",
        ]
    }

    fn parse(&self, spec: &str, rest: &str) -> Result<Box<dyn Device>, SpecError> {
        Ok(Box::new(UsbDevice {
            spec: spec.to_owned(),
            wanted: Wanted::parse(rest).map_err(|problem| SpecError::new(spec, problem))?,
            system: System::default(),
        }))
    }

    fn found(&self) -> Vec<FoundDevice> {
        found_in(&System::default())
    }
}

/// What an adapter must be. `None` fits all.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    vendor: u16,
    product: u16,
    serial: Option<String>,
    interface: Option<u8>,
}

impl Wanted {
    /// `VID:PID[:SERIAL][:ifNN]`; a serial number may have colons in it. The error is the problem alone.
    fn parse(text: &str) -> Result<Wanted, String> {
        let mut parts = text.splitn(3, ':');
        let vendor = usb_number("vendor id", parts.next())?;
        let product = usb_number("product id", parts.next())?;
        let mut serial = parts.next();
        let mut interface = None;
        if let Some(rest) = serial {
            let (before, last) = match rest.rsplit_once(':') {
                Some((before, last)) => (Some(before), last),
                None => (None, rest),
            };
            interface = last.strip_prefix("if").and_then(two_hex_digits);
            if interface.is_some() {
                serial = before;
            }
        }
        if serial.is_some_and(str::is_empty) {
            return Err("the serial number after the last \":\" is missing; leave the \":\" out, or write it".to_owned());
        }
        Ok(Wanted {
            vendor,
            product,
            serial: serial.map(str::to_owned),
            interface,
        })
    }

    fn fits(&self, usb: &UsbIdentity) -> bool {
        (self.vendor, self.product) == (usb.vendor, usb.product)
            && (self.serial.is_none() || self.serial == usb.serial)
            && (self.interface.is_none() || self.interface == usb.interface)
    }
}

fn usb_number(what: &str, text: Option<&str>) -> Result<u16, String> {
    let text = text.unwrap_or_default();
    let right = "four hexadecimal digits, as in usb:0403:6001";
    if text.is_empty() {
        return Err(format!("the {what} is missing: {right}"));
    }
    if text.len() != 4 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(format!("the {what} \"{text}\" should be {right}"));
    }
    u16::from_str_radix(text, 16).map_err(|error| error.to_string())
}

fn two_hex_digits(text: &str) -> Option<u8> {
    let right = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    right.then(|| u8::from_str_radix(text, 16).ok()).flatten()
}

#[derive(Debug)]
struct UsbDevice {
    spec: String,
    wanted: Wanted,
    system: System,
}

impl UsbDevice {
    /// The one tty that fits.
    fn resolve(&self) -> Result<SerialTty, OpenError> {
        let all = self.system.serial_ttys();
        let fitting = all
            .iter()
            .filter(|tty| tty.usb.as_ref().is_some_and(|usb| self.wanted.fits(usb)));
        let mut fitting: Vec<&SerialTty> = fitting.collect();
        match fitting.pop() {
            None => Err(OpenError::NotFound {
                spec: self.spec.clone(),
            }),
            Some(tty) if fitting.is_empty() => Ok(tty.clone()),
            Some(last) => Err(OpenError::Ambiguous {
                spec: self.spec.clone(),
                matches: fitting
                    .into_iter()
                    .chain([last])
                    .map(|tty| found_as(&self.system, &all, tty).spec)
                    .collect(),
            }),
        }
    }
}

impl Device for UsbDevice {
    fn spec(&self) -> &str {
        &self.spec
    }

    fn open(
        &mut self,
        line: LineSettings,
        outputs: OutputSignals,
    ) -> Result<Box<dyn Port>, OpenError> {
        let path = self.resolve()?.path(&self.system);
        let port = TtyPort::open(&self.spec, &path, line, outputs)?;
        Ok(Box::new(port))
    }
}

fn found_in(system: &System) -> Vec<FoundDevice> {
    let all = system.serial_ttys();
    let adapters = all.iter().filter(|tty| tty.usb.is_some());
    adapters.map(|tty| found_as(system, &all, tty)).collect()
}

/// `tty` with the shortest spec that no other of `all` fits; two adapters that say exactly the same of themselves can
/// only be told apart by where they are plugged in, so by a path.
fn found_as(system: &System, all: &[SerialTty], tty: &SerialTty) -> FoundDevice {
    let spec = tty.usb.as_ref().and_then(|usb| {
        let plain = Wanted {
            vendor: usb.vendor,
            product: usb.product,
            serial: usb.serial.clone(),
            interface: None,
        };
        let exact = Wanted {
            interface: usb.interface,
            ..plain.clone()
        };
        [plain, exact].into_iter().find_map(|wanted| {
            let fitting = all
                .iter()
                .filter_map(|tty| tty.usb.as_ref())
                .filter(|usb| wanted.fits(usb));
            (fitting.count() == 1).then(|| wanted.to_spec())
        })
    });
    tty.found_as(system, spec)
}

impl Wanted {
    fn to_spec(&self) -> String {
        let mut spec = format!("usb:{:04x}:{:04x}", self.vendor, self.product);
        if let Some(serial) = &self.serial {
            spec.push_str(&format!(":{serial}"));
        }
        if let Some(interface) = self.interface {
            spec.push_str(&format!(":if{interface:02x}"));
        }
        spec
    }
}
