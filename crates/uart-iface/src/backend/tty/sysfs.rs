//! What sysfs knows of the serial ports that are there: name, driver, USB identity. Nothing is opened to find out.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::backend::FoundDevice;

/// Where the system's files are, so that tests can bring their own.
#[derive(Debug, Clone)]
pub(in crate::backend) struct System {
    /// `/sys`
    pub(in crate::backend) sys: PathBuf,
    /// `/dev`
    pub(in crate::backend) dev: PathBuf,
}

/// A serial port that is there now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::backend) struct SerialTty {
    /// `ttyUSB0`
    pub(in crate::backend) name: String,
    /// Its driver's name, e.g. `ftdi_sio`.
    driver: Option<String>,
    /// The kernel prints its messages there.
    is_console: bool,
    /// What it is on USB, if it is there.
    pub(in crate::backend) usb: Option<UsbIdentity>,
}

/// What a USB adapter says of itself. Texts come from the device and were cleared of control characters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::backend) struct UsbIdentity {
    pub(in crate::backend) vendor: u16,
    pub(in crate::backend) product: u16,
    pub(in crate::backend) serial: Option<String>,
    /// `bInterfaceNumber`: which one of several in one adapter.
    pub(in crate::backend) interface: Option<u8>,
    manufacturer_text: Option<String>,
    product_text: Option<String>,
    interface_text: Option<String>,
}

impl Default for System {
    fn default() -> Self {
        System {
            sys: "/sys".into(),
            dev: "/dev".into(),
        }
    }
}

impl System {
    /// Where the kernel lists its terminals.
    pub(in crate::backend) fn class(&self) -> PathBuf {
        self.sys.join("class/tty")
    }

    /// All serial ports with something behind them, in the order of their names. Virtual consoles and
    /// pseudo-terminals are none; nor is a `ttyS` whose UART the kernel did not find.
    pub(in crate::backend) fn serial_ttys(&self) -> Vec<SerialTty> {
        let names = fs::read_dir(self.class()).into_iter().flatten().flatten();
        let mut ttys: Vec<SerialTty> = names
            .filter_map(|entry| serial_tty(&entry.path(), entry.file_name().into_string().ok()?))
            .collect();
        ttys.sort_by_key(|tty| natural(&tty.name));
        ttys
    }

    /// What the tty of this device file says it is, as a spec, if it is a USB adapter.
    pub(in crate::backend) fn usb_spec_of(&self, path: &Path) -> Option<String> {
        let path = fs::canonicalize(path).ok()?;
        let name = path.file_name()?.to_str()?;
        let tty = serial_tty(&self.class().join(name), name.to_owned())?;
        tty.usb.map(|usb| usb.spec())
    }

    /// The links below `/dev/serial` that point to `tty`, in the order by-id, by-path.
    fn links_to(&self, tty: &SerialTty) -> Vec<PathBuf> {
        let mut links = Vec::new();
        for folder in ["serial/by-id", "serial/by-path"] {
            let entries = fs::read_dir(self.dev.join(folder)).into_iter().flatten();
            let mut found: Vec<PathBuf> = entries
                .flatten()
                .map(|entry| entry.path())
                .filter(|link| {
                    fs::read_link(link)
                        .is_ok_and(|target| target.file_name() == Some(tty.name.as_ref()))
                })
                .collect();
            found.sort();
            links.append(&mut found);
        }
        links
    }
}

impl SerialTty {
    /// Its device file.
    pub(in crate::backend) fn path(&self, system: &System) -> PathBuf {
        system.dev.join(&self.name)
    }

    /// This port for the list of devices. Without a `spec` of its backend, its most stable path names it.
    pub(in crate::backend) fn found_as(
        &self,
        system: &System,
        spec: Option<String>,
    ) -> FoundDevice {
        let path = self.path(system);
        let links = system.links_to(self);
        let stable = links.first().unwrap_or(&path);
        FoundDevice {
            spec: spec.unwrap_or_else(|| stable.display().to_string()),
            description: self.description(),
            path,
            links,
        }
    }

    fn description(&self) -> String {
        let mut parts = Vec::new();
        if let Some(usb) = &self.usb {
            let names = [&usb.manufacturer_text, &usb.product_text];
            let names: Vec<&str> = names.into_iter().flatten().map(String::as_str).collect();
            if !names.is_empty() {
                parts.push(names.join(" "));
            }
            if let Some(serial) = &usb.serial {
                parts.push(format!("serial {serial}"));
            }
            match (usb.interface, &usb.interface_text) {
                (Some(number), Some(text)) => parts.push(format!("interface {number:02x} {text}")),
                (Some(number), None) => parts.push(format!("interface {number:02x}")),
                (None, _) => {}
            }
        }
        if let Some(driver) = &self.driver {
            parts.push(format!("driver {driver}"));
        }
        if self.is_console {
            parts.push("the kernel's console".to_owned());
        }
        parts.join(", ")
    }
}

impl UsbIdentity {
    /// The spec that says all of it which a spec can say.
    fn spec(&self) -> String {
        usb_spec(
            (self.vendor, self.product),
            self.serial.as_deref(),
            self.interface,
        )
    }
}

/// `usb:VID:PID[:SERIAL][:ifNN]`
pub(in crate::backend) fn usb_spec(
    (vendor, product): (u16, u16),
    serial: Option<&str>,
    interface: Option<u8>,
) -> String {
    let mut spec = format!("usb:{vendor:04x}:{product:04x}");
    if let Some(serial) = serial {
        spec.push_str(&format!(":{serial}"));
    }
    if let Some(interface) = interface {
        spec.push_str(&format!(":if{interface:02x}"));
    }
    spec
}

fn serial_tty(class_entry: &Path, name: String) -> Option<SerialTty> {
    // Only a tty with hardware has a device.
    let device = fs::canonicalize(class_entry.join("device")).ok()?;
    let port_type = text(&class_entry.join("type"));
    if port_type.as_deref() == Some("0") {
        return None; // PORT_UNKNOWN, linux/serial_core.h
    }
    let driver = device.ancestors().find_map(|folder| {
        let link = fs::read_link(folder.join("driver")).ok()?;
        // Between a UART and its driver, kernels since 6.5 have a bus whose drivers say nothing.
        let says_nothing = link.iter().any(|part| part == "serial-base");
        (!says_nothing)
            .then_some(link)?
            .file_name()?
            .to_str()
            .map(str::to_owned)
    });
    let console = text(&class_entry.join("console"));
    Some(SerialTty {
        name,
        driver,
        is_console: console.as_deref() == Some("Y"),
        usb: usb_identity(&device),
    })
}

/// Looks for the USB interface and the USB device that `device` belongs to, on the way up to the root.
fn usb_identity(device: &Path) -> Option<UsbIdentity> {
    let hex = |path: PathBuf| u16::from_str_radix(&text(&path)?, 16).ok();
    let interface = device
        .ancestors()
        .find(|folder| folder.join("bInterfaceNumber").exists());
    let adapter = device
        .ancestors()
        .find(|folder| folder.join("idVendor").exists())?;
    Some(UsbIdentity {
        vendor: hex(adapter.join("idVendor"))?,
        product: hex(adapter.join("idProduct"))?,
        serial: text(&adapter.join("serial")),
        interface: interface
            .and_then(|folder| hex(folder.join("bInterfaceNumber")))
            .and_then(|number| number.try_into().ok()),
        manufacturer_text: text(&adapter.join("manufacturer")),
        product_text: text(&adapter.join("product")),
        interface_text: interface.and_then(|folder| text(&folder.join("interface"))),
    })
}

/// The text of a sysfs attribute, if there is any. What USB devices say of themselves is theirs to choose, so control
/// characters are taken out before anything of it reaches a terminal.
fn text(attribute: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    let file = File::open(attribute).ok()?;
    file.take(4096).read_to_end(&mut bytes).ok()?;
    let text: String = String::from_utf8_lossy(&bytes)
        .chars()
        .filter(|character| !character.is_control())
        .collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Sorts `ttyUSB10` after `ttyUSB9`.
fn natural(name: &str) -> (String, u64) {
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (stem, number) = name.split_at(name.len() - digits);
    (stem.to_owned(), number.parse().unwrap_or(0))
}
