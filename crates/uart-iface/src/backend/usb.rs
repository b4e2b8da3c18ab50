//! The usb backend: a USB serial adapter by what it is (vendor, product, serial number), whatever the kernel calls it
//! today. Which device file that is, is looked up at every opening; the rest is a tty.

use crate::backend::tty::{SerialTty, System, TtyPort, UsbIdentity, usb_spec};
use crate::backend::{Backend, Device, FoundDevice};
use crate::watch::Target;
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
        let class = self.system.class();
        if !class.is_dir() {
            return Err(OpenError::NoSysfs {
                spec: self.spec.clone(),
                path: class,
            });
        }
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

    /// How the adapter is described. Whether two descriptions fit the same adapter is known only when it is there.
    fn identity(&self) -> Option<String> {
        Some(format!("usb {:?}", self.wanted))
    }

    fn open(
        &mut self,
        line: LineSettings,
        outputs: OutputSignals,
    ) -> Result<Box<dyn Port>, OpenError> {
        let path = self.resolve()?.path(&self.system);
        let opened = TtyPort::open(&self.spec, &path, line, outputs);
        let port = opened.map_err(|error| match error {
            OpenError::NotFound { spec } => OpenError::NoDeviceFile { spec, path },
            error => error,
        })?;
        Ok(Box::new(port))
    }

    /// Whatever it is called when it comes back, its device file will stand there, at first with the permissions of
    /// nobody. Until then nothing is known of it but where the file of one that is known to sysfs should be.
    fn signs(&self) -> Vec<Target> {
        let file = self.resolve().ok().map(|tty| tty.path(&self.system));
        let directory = Target::entries(&self.system.dev);
        file.map(Target::presence)
            .into_iter()
            .chain([directory])
            .collect()
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
        usb_spec(
            (self.vendor, self.product),
            self.serial.as_deref(),
            self.interface,
        )
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};
    use tempfile::TempDir;

    use super::*;
    use crate::watch::Watch;

    #[test]
    fn a_spec_says_which_adapter_is_meant() {
        for (text, serial, interface) in [
            ("0403:6001", None, None),
            ("0403:6001:A5069RR4", Some("A5069RR4"), None),
            ("0403:6001:if02", None, Some(2)),
            ("0403:6001:A5:if0A", Some("A5"), Some(10)),
            // As Espressif's chips have them.
            (
                "0403:6001:7C:DF:A1:E0:12:34",
                Some("7C:DF:A1:E0:12:34"),
                None,
            ),
            ("0403:6001:iffy", Some("iffy"), None),
            ("0403:6001:if+1", Some("if+1"), None),
        ] {
            let expected = Wanted {
                vendor: 0x0403,
                product: 0x6001,
                serial: serial.map(str::to_owned),
                interface,
            };
            assert_eq!(Wanted::parse(text), Ok(expected.clone()), "{text}");
            assert_eq!(
                Wanted::parse(&expected.to_spec()["usb:".len()..]),
                Ok(expected)
            );
        }
    }

    #[test]
    fn a_refused_spec_names_the_part_and_what_would_be_right() {
        for (spec, problem) in [
            (
                "usb:",
                "vendor id is missing: four hexadecimal digits, as in usb:0403:6001",
            ),
            ("usb:0403", "product id is missing"),
            ("usb:0403:", "product id is missing"),
            ("usb:403:6001", "vendor id \"403\" should be four"),
            ("usb:+403:6001", "vendor id \"+403\" should be four"),
            ("usb:0403:60x1", "product id \"60x1\" should be four"),
            (
                "usb:0403:6001:",
                "serial number after the last \":\" is missing",
            ),
            (
                "usb:0403:6001::if00",
                "serial number after the last \":\" is missing",
            ),
        ] {
            let error = Usb.parse(spec, &spec["usb:".len()..]).unwrap_err();
            assert!(error.to_string().contains(problem), "{error}");
        }
    }

    #[tokio::test]
    async fn an_adapter_is_found_by_what_it_is_and_under_its_name_of_today() {
        let fake = Fake::new();
        let mut device = fake.device("0403:6001:A5069RR4");
        let open =
            |device: &mut UsbDevice| device.open(LineSettings::default(), OutputSignals::ASSERTED);
        assert!(matches!(open(&mut device), Err(OpenError::NotFound { .. })));

        fake.adapter("1-1", "0403:6001", Some("A5069RR4"), &[("ttyUSB0", "00")]);
        let terminal = fake.plug_in("ttyUSB0");
        let port = open(&mut device).unwrap();
        assert!(format!("{port:?}").contains("usb:0403:6001:A5069RR4"));
        drop((port, terminal));

        fake.unplug("1-1", "ttyUSB0");
        assert!(matches!(open(&mut device), Err(OpenError::NotFound { .. })));
        fake.adapter("1-2", "0403:6001", Some("A5069RR4"), &[("ttyUSB7", "00")]);
        let _terminal = fake.plug_in("ttyUSB7");
        open(&mut device).unwrap();
    }

    #[tokio::test]
    async fn its_return_shows_whatever_it_is_called_then() {
        let fake = Fake::new();
        let device = fake.device("0403:6001:A5069RR4");
        let mut watch = Watch::new(device.signs()).unwrap();
        fake.adapter("1-1", "0403:6001", Some("A5069RR4"), &[("ttyUSB7", "00")]);
        assert!(!watch.has_changed().unwrap(), "/sys tells nothing");
        let _terminal = fake.plug_in("ttyUSB7");
        assert!(watch.has_changed().unwrap());
    }

    #[test]
    fn in_a_container_it_is_said_what_is_missing() {
        let fake = Fake::new();
        fake.adapter("1-1", "0403:6001", Some("A"), &[("ttyUSB0", "00")]);
        let mut device = fake.device("0403:6001");
        let mut open = || device.open(LineSettings::default(), OutputSignals::ASSERTED);
        let dev = fake.system().dev.join("ttyUSB0").display().to_string();
        assert_eq!(
            open().unwrap_err().to_string(),
            format!(
                "cannot open usb:0403:6001: the machine has it as {dev}, but there is no {dev} here"
            )
        );
        fs::remove_dir_all(fake.system().sys).unwrap();
        let error = open().unwrap_err().to_string();
        assert!(
            error.contains("/sys/class/tty, so what is plugged in cannot be told; name"),
            "{error}"
        );
    }

    #[test]
    fn what_is_behind_a_path_is_known_by_what_it_is() {
        let fake = Fake::new();
        fake.adapter("1-1", "0403:6001", Some("A"), &[("ttyUSB0", "00")]);
        fake.on_board("ttyS0", "4");
        let system = fake.system();
        for tty in ["ttyUSB0", "ttyS0"] {
            fs::write(system.dev.join(tty), "").unwrap();
        }
        fake.link("serial/by-id/usb-FTDI_A-if00-port0", "ttyUSB0");
        for (path, spec) in [
            ("ttyUSB0", Some("usb:0403:6001:A:if00")),
            (
                "serial/by-id/usb-FTDI_A-if00-port0",
                Some("usb:0403:6001:A:if00"),
            ),
            ("ttyS0", None),
            ("ttyUSB1", None),
        ] {
            let found = system.usb_spec_of(&system.dev.join(path));
            assert_eq!(found.as_deref(), spec, "{path}");
        }
    }

    #[test]
    fn a_spec_that_fits_several_is_answered_with_the_specs_to_choose_from() {
        let fake = Fake::new();
        fake.adapter("1-1", "0403:6001", Some("A"), &[("ttyUSB0", "00")]);
        fake.adapter("1-2", "0403:6001", Some("B"), &[("ttyUSB1", "00")]);
        fake.adapter(
            "1-3",
            "0403:6011",
            Some("C"),
            &[("ttyUSB2", "00"), ("ttyUSB3", "01")],
        );
        let resolve = |spec| fake.device(spec).resolve();
        assert_eq!(
            resolve("0403:6001").unwrap_err().to_string(),
            "cannot open usb:0403:6001: it fits usb:0403:6001:A and usb:0403:6001:B; write which one is meant"
        );
        assert_eq!(
            resolve("0403:6011:C").unwrap_err().to_string(),
            "cannot open usb:0403:6011:C: it fits usb:0403:6011:C:if00 and usb:0403:6011:C:if01; \
             write which one is meant"
        );
        assert_eq!(resolve("0403:6001:B").unwrap().name, "ttyUSB1");
        assert_eq!(resolve("0403:6011:if01").unwrap().name, "ttyUSB3");
    }

    #[test]
    fn adapters_are_listed_by_the_most_stable_name_they_have() {
        let fake = Fake::new();
        fake.adapter("1-1", "0403:6001", Some("A5069RR4"), &[("ttyUSB10", "00")]);
        fake.adapter("1-2", "1a86:7523", None, &[("ttyUSB2", "00")]);
        fake.adapter("1-3", "2341:0043", None, &[("ttyACM0", "00")]);
        fake.adapter("1-4", "2341:0043", None, &[("ttyACM1", "00")]);
        fake.link("serial/by-path/pci-0000:00:14.0-usb-0:4:1.0", "ttyACM1");
        fake.link(
            "serial/by-path/pci-0000:00:14.0-usb-0:1:1.0-port0",
            "ttyUSB10",
        );
        fake.link("serial/by-id/usb-FTDI_A5069RR4-if00-port0", "ttyUSB10");

        let found = found_in(&fake.system());
        let dev = fake.system().dev.display().to_string();
        let specs: Vec<&str> = found.iter().map(|device| device.spec.as_str()).collect();
        assert_eq!(
            specs,
            [
                // Two that say the same of themselves: by their place, or for want of a link by their name of today.
                &format!("{dev}/ttyACM0"),
                &format!("{dev}/serial/by-path/pci-0000:00:14.0-usb-0:4:1.0"),
                "usb:1a86:7523",
                "usb:0403:6001:A5069RR4",
            ]
        );
        let ftdi = &found[3];
        assert_eq!(ftdi.path, fake.system().dev.join("ttyUSB10"));
        let links: Vec<String> = ftdi
            .links
            .iter()
            .map(|link| link.display().to_string())
            .collect();
        assert_eq!(links.len(), 2);
        assert!(
            links[0].contains("by-id") && links[1].contains("by-path"),
            "{links:?}"
        );
        assert_eq!(
            ftdi.description,
            "Maker Thing[2J, serial A5069RR4, interface 00 Port, driver ftdi_sio"
        );
        // What is listed can be written into a config.
        for spec in specs {
            crate::backend::parse_device(spec).unwrap();
        }
    }

    #[test]
    fn on_board_ports_are_listed_only_if_the_kernel_found_a_uart() {
        let fake = Fake::new();
        fake.on_board("ttyS0", "4");
        fake.on_board("ttyS1", "0");
        fake.virtual_console("tty1");
        fake.adapter("1-1", "0403:6001", None, &[("ttyUSB0", "00")]);
        let system = fake.system();
        let ttys = system.serial_ttys();
        let names: Vec<&str> = ttys.iter().map(|tty| tty.name.as_str()).collect();
        assert_eq!(names, ["ttyS0", "ttyUSB0"]);
        assert_eq!(
            ttys[0].found_as(&system, None).description,
            "driver serial, the kernel's console"
        );
    }

    /// A /sys and a /dev of the test's own, laid out as the kernel does.
    struct Fake(TempDir);

    impl Fake {
        fn new() -> Fake {
            let fake = Fake(tempfile::tempdir().unwrap());
            fs::create_dir_all(fake.0.path().join("sys/class/tty")).unwrap();
            fs::create_dir_all(fake.0.path().join("dev")).unwrap();
            fake
        }

        fn system(&self) -> System {
            System {
                sys: self.0.path().join("sys"),
                dev: self.0.path().join("dev"),
            }
        }

        fn device(&self, wanted: &str) -> UsbDevice {
            UsbDevice {
                spec: format!("usb:{wanted}"),
                wanted: Wanted::parse(wanted).unwrap(),
                system: self.system(),
            }
        }

        /// `ids` is `VID:PID`; `ttys` are names with interface numbers.
        fn adapter(&self, place: &str, ids: &str, serial: Option<&str>, ttys: &[(&str, &str)]) {
            let (vendor, product) = ids.split_once(':').unwrap();
            let usb = self
                .system()
                .sys
                .join("devices/pci0000:00/usb1")
                .join(place);
            self.attribute(&usb, "idVendor", vendor);
            self.attribute(&usb, "idProduct", product);
            self.attribute(&usb, "manufacturer", "Maker");
            // A device may say anything of itself, also what would clear a terminal.
            self.attribute(&usb, "product", "Thing\x1b[2J");
            if let Some(serial) = serial {
                self.attribute(&usb, "serial", serial);
            }
            for (tty, number) in ttys {
                let interface = usb.join(format!("{place}:1.{number}"));
                self.attribute(&interface, "bInterfaceNumber", number);
                self.attribute(&interface, "interface", "Port");
                let port = interface.join(tty);
                fs::create_dir_all(&port).unwrap();
                symlink("../../bus/usb-serial/drivers/ftdi_sio", port.join("driver")).unwrap();
                self.class_entry(tty, &port);
            }
        }

        fn on_board(&self, tty: &str, port_type: &str) {
            let uart = self.system().sys.join("devices/pnp0").join(tty);
            let port = uart.join("00:00:0.0");
            fs::create_dir_all(&port).unwrap();
            symlink("../../../bus/serial-base/drivers/port", port.join("driver")).unwrap();
            symlink("../../bus/pnp/drivers/serial", uart.join("driver")).unwrap();
            self.class_entry(tty, &port);
            let class_entry = self.system().sys.join("class/tty").join(tty);
            self.attribute(&class_entry, "type", port_type);
            self.attribute(&class_entry, "console", "Y");
        }

        fn virtual_console(&self, tty: &str) {
            fs::create_dir_all(self.system().sys.join("class/tty").join(tty)).unwrap();
        }

        fn class_entry(&self, tty: &str, device: &Path) {
            let entry = device.join("tty").join(tty);
            fs::create_dir_all(&entry).unwrap();
            symlink(device, entry.join("device")).unwrap();
            symlink(&entry, self.system().sys.join("class/tty").join(tty)).unwrap();
        }

        fn attribute(&self, folder: &Path, name: &str, text: &str) {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join(name), format!("{text}\n")).unwrap();
        }

        fn link(&self, link: &str, tty: &str) {
            let link = self.system().dev.join(link);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(format!("../../{tty}"), link).unwrap();
        }

        /// Puts a terminal behind the device file, for as long as what is returned lives.
        fn plug_in(&self, tty: &str) -> std::os::fd::OwnedFd {
            let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
            unlockpt(&master).unwrap();
            let path = ptsname(&master, Vec::new()).unwrap();
            symlink(path.to_str().unwrap(), self.system().dev.join(tty)).unwrap();
            master
        }

        fn unplug(&self, place: &str, tty: &str) {
            let sys = self.system().sys;
            fs::remove_dir_all(sys.join("devices/pci0000:00/usb1").join(place)).unwrap();
            fs::remove_file(sys.join("class/tty").join(tty)).unwrap();
            fs::remove_file(self.system().dev.join(tty)).unwrap();
        }
    }
}
