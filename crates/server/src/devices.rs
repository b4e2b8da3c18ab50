//! `uartd devices`: the serial devices of this machine, and what can be used without one. As text for people, or as JSON.

use serde_json::json;
use uart_iface::backend::{FoundDevice, sim::BOARDS};

use crate::stdio::columns;

/// The devices as a table, in the order given: stable names first.
pub fn table(found: &[FoundDevice]) -> String {
    let mut text = String::new();
    if found.is_empty() {
        text.push_str("There is no serial device on this machine now.\n");
    } else {
        let head = ["DEVICE", "PATH", "DESCRIPTION"].map(str::to_owned);
        let rows = found.iter().map(|device| {
            [
                device.spec.clone(),
                device.path.display().to_string(),
                device.description.clone(),
            ]
        });
        text.push_str(&columns(
            &std::iter::once(head).chain(rows).collect::<Vec<_>>(),
        ));
    }
    text.push_str("\nWithout hardware there are simulated boards:\n");
    let boards = BOARDS
        .iter()
        .map(|board| [format!("sim:{}", board.name()), board.summary().to_owned()]);
    text.push_str(&columns(&boards.collect::<Vec<_>>()));
    let spec = found
        .first()
        .map_or("sim:interpreter", |device| &device.spec);
    text.push_str(&format!("\nServe one with: uartd board0={spec}\n"));
    text
}

/// The devices as one JSON object.
pub fn json(found: &[FoundDevice]) -> String {
    let devices = found.iter().map(|device| {
        json!({
            "spec": device.spec,
            "path": device.path.to_string_lossy(),
            "links": device.links.iter().map(|link| link.to_string_lossy()).collect::<Vec<_>>(),
            "description": device.description,
        })
    });
    let simulated = BOARDS.iter().map(
        |board| json!({ "spec": format!("sim:{}", board.name()), "description": board.summary() }),
    );
    let all = json!({ "devices": devices.collect::<Vec<_>>(), "simulated": simulated.collect::<Vec<_>>() });
    format!("{all:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter() -> FoundDevice {
        FoundDevice {
            spec: "usb:0403:6001:A5069RR4".into(),
            path: "/dev/ttyUSB0".into(),
            links: vec!["/dev/serial/by-id/usb-FTDI-if00-port0".into()],
            description: "FTDI FT232R USB UART".into(),
        }
    }

    #[test]
    fn a_table_shows_what_to_write_and_what_to_type_next() {
        let text = table(&[adapter()]);
        let mut lines = text.lines();
        assert!(
            lines
                .next()
                .is_some_and(|head| head.starts_with("  DEVICE ")),
            "{text}"
        );
        assert!(
            lines
                .next()
                .is_some_and(|row| row.starts_with("  usb:0403:6001:A5069RR4  /dev/ttyUSB0  FTDI")),
            "{text}"
        );
        assert!(
            text.ends_with("uartd board0=usb:0403:6001:A5069RR4\n"),
            "{text}"
        );
    }

    #[test]
    fn without_devices_it_says_so_and_shows_the_simulated_ones() {
        let text = table(&[]);
        assert!(text.starts_with("There is no serial device"), "{text}");
        assert!(text.ends_with("uartd board0=sim:interpreter\n"), "{text}");
        for board in BOARDS {
            assert!(text.contains(&format!("  sim:{} ", board.name())), "{text}");
        }
    }

    #[test]
    fn json_has_the_same() {
        let value: serde_json::Value = serde_json::from_str(&json(&[adapter()])).unwrap();
        assert_eq!(value["devices"][0]["spec"], "usb:0403:6001:A5069RR4");
        assert_eq!(
            value["devices"][0]["links"][0],
            "/dev/serial/by-id/usb-FTDI-if00-port0"
        );
        assert_eq!(value["simulated"].as_array().unwrap().len(), BOARDS.len());
    }
}
